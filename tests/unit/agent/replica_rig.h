/* SPDX-License-Identifier: Apache-2.0
 *
 * One replica over a store in memory and a real control plane that reaches nobody, for the tests of
 * the replica: what the loop does, but for sockets. */
#ifndef TEST_REPLICA_RIG_H
#define TEST_REPLICA_RIG_H

#include "replica.h"

#include "store/kv_mem.h"

enum { LOG_ENTRIES = 16 };
enum { CF_META, CF_LOG, CF_FSM, RIG_CFS };

extern const struct kv_cf REPLICA_RIG_CFS[RIG_CFS];
extern const uint8_t COORDINATOR[SH_NODE_ID_BYTES];
extern const uint8_t STRANGER[SH_NODE_ID_BYTES];

struct replica_rig {
    struct kv *kv;
    struct trust trust;
    struct link *link;
    struct wal *wal;
    struct wal_boot boot;
    struct fsm *fsm;
    struct fsm_applied applied;
    struct proposals *proposals;
    struct disk *disk;
    struct apply *apply;
    struct calls *calls;
    struct snapshots *snapshots;
    struct replica *replica;
    unsigned changes;
    struct raft_read read; /* the newest answer */
};
extern struct replica_rig replica_rig;

/* Somebody who has what this agent lacks. */
struct replica_remote {
    struct kv *kv;
    struct fsm *fsm;
    struct calls *calls;
    struct snapshots *snapshots;
};
extern struct replica_remote replica_remote;

void replica_rig_open_core(void);
void replica_rig_close_core(void);
void replica_rig_open(void);
void replica_rig_close(void);
/* A store whose log makes handle 1, this agent, the only voter. */
void replica_rig_found(void);
struct replica_status replica_rig_status(void);
/* Until the tables are at index. */
void replica_rig_run_until_applied(uint64_t index);
enum raft_progress_state replica_rig_peer_state(void); /* of the only other member */
void replica_rig_receive(const uint8_t *node, struct raft_msg msg);
struct raft_msg replica_rig_heartbeat(uint64_t to); /* of term 3 */
size_t replica_rig_admit(uint8_t *command, size_t capacity);
/* Frames of calls from the agent (ctx &replica_rig) to the remote one, or back. */
enum sh_err replica_rig_post(void *ctx, enum calls_plane plane,
                             const uint8_t node[SH_NODE_ID_BYTES], enum calls_frame frame,
                             const void *bytes, size_t size);

#endif
