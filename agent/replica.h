/* SPDX-License-Identifier: Apache-2.0
 *
 * Hosts the Raft core in the running agent: carries its messages over the control plane, its writes
 * to the disk thread, what is committed to the apply thread. Belongs to the loop thread, except
 * replica_status.
 *
 * An agent that joins has no handle yet. It stays dormant (no vote, no log) until the coordinator,
 * having admitted it, first writes to it; the handle in that message is made durable before
 * anything is answered. */
#ifndef AGENT_REPLICA_H
#define AGENT_REPLICA_H

#include "apply.h"
#include "disk.h"
#include "link/link.h"
#include "raft/raft.h"
#include "snapshots.h"

#define REPLICA_ELECTION_US     UINT64_C(150000)  /* times [1, 2); grows with what is measured */
#define REPLICA_ELECTION_MAX_US UINT64_C(5000000) /* up to this */
#define REPLICA_HEARTBEAT_US    UINT64_C(30000)
#define REPLICA_STAGGER_US      UINT64_C(5000)
#define REPLICA_NEWS_US         UINT64_C(4000)     /* followers hear so late that nothing follows */
#define REPLICA_OFFER_US        UINT64_C(5000000)  /* a snapshot that nobody fetches is given up */
#define REPLICA_STAGED_US       UINT64_C(60000000) /* a fetched one waits for a coordinator */
/* Commands that enter the log as one proposal; more are a further one. */
#define REPLICA_BATCH_ENTRIES 256u
#define REPLICA_BATCH_BYTES   RAFT_ENTRY_BYTES_MAX

struct replica;

struct replica_config {
    uint8_t me[SH_NODE_ID_BYTES];
    struct link_plane *control; /* borrowed, as all below */
    struct wal *wal;
    struct disk *disk; /* starts writing only after the first handle is known */
    struct apply *apply;
    struct snapshots *snapshots;
    uint32_t log_entries; /* a stretch of the log (compaction.h) */
    const struct wal_boot *boot;
    const struct fsm_applied *applied;
    /* The coordinator, the role or the configuration changed. */
    void (*on_change)(void *ctx);
    /* A read asked for with replica_read is answered: err OK, or none will come. */
    void (*on_read)(void *ctx, const struct raft_read *read);
    void *ctx;
};

struct replica_status {
    bool dormant;
    struct raft_status raft;
    bool leader_known;
    uint8_t leader[SH_NODE_ID_BYTES];
    uint64_t leaderless_us; /* newest gap between losing one coordinator and knowing the next */
    uint64_t leader_changes;
    uint64_t silence_us; /* longest between two messages of one coordinator; 0: none yet */
    uint64_t snapshots;  /* installed since the start */
};

SH_MUST_USE enum sh_err replica_open(struct replica **out, const struct replica_config *config,
                                     uint64_t now_us);
void replica_close(struct replica *r);
/* Once the tables are up to the commit index: the only voter of a cluster campaigns at once. */
void replica_begin(struct replica *r, uint64_t now_us);

/* Says which node a handle belongs to, from a row of the tables: it overrules what messages said.
 */
void replica_learn(struct replica *r, uint64_t handle, const uint8_t node[SH_NODE_ID_BYTES]);

void replica_receive(struct replica *r, uint64_t now_us, const uint8_t from[SH_NODE_ID_BYTES],
                     struct sh_span bytes);
void replica_disk_done(struct replica *r, uint64_t now_us, const struct disk_done *done);
void replica_apply_event(struct replica *r, uint64_t now_us, const struct apply_event *event);
void replica_snapshot_event(struct replica *r, uint64_t now_us,
                            const struct snapshots_event *event);
/* The connection to a node broke: if it led, campaign soon; a majority that still hears it is not
 * moved by that. */
void replica_peer_down(struct replica *r, uint64_t now_us, const uint8_t node[SH_NODE_ID_BYTES]);
/* A typical round trip to the coordinator; at a coordinator, to the nearest voters that are a
 * majority with it. 0: not known. */
void replica_round_trip(struct replica *r, uint64_t now_us, uint64_t rtt_us);
void replica_tick(struct replica *r, uint64_t now_us);
uint64_t replica_deadline_us(const struct replica *r);

/* Takes a copy of an encoded command, stamped with stamp_us, for the next flush, or proposes what
 * there is where there is no room. eager: another agent waits for it. NOT_LEADER: replica_leader
 * says who to send it to. INVALID, CORRUPT, VERSION: this program does not take such a command. */
SH_MUST_USE enum sh_err replica_propose(struct replica *r, uint64_t now_us, struct sh_span command,
                                        uint64_t stamp_us, bool eager);
/* Everything taken goes into the log as one proposal: one write, and one message to each follower.
 */
void replica_flush(struct replica *r, uint64_t now_us);
bool replica_under_way(const struct replica *r); /* a proposal is, as coordinator */
SH_MUST_USE enum sh_err replica_change(struct replica *r, uint64_t now_us,
                                       const struct raft_conf_change *change);
/* to 0: where this agent leads, to the fittest of the others, unless that is under way. */
void replica_transfer(struct replica *r, uint64_t now_us, uint64_t to);
/* A round of reads (reads.h); where no coordinator is known it is answered with NOT_LEADER. */
void replica_read(struct replica *r, uint64_t now_us, uint64_t number);
bool replica_leader(const struct replica *r, uint8_t out[SH_NODE_ID_BYTES]);
bool replica_leads(const struct replica *r);
/* Not admitted by any coordinator yet. */
bool replica_is_dormant(const struct replica *r);
/* Not OK: the agent must stop (its handle could not be made durable, or is void: STALE). */
enum sh_err replica_failure(const struct replica *r);

/* A copy as of the last turn of the loop; any thread. */
void replica_status(struct replica *r, struct replica_status *out);
/* Refreshes that copy; the loop calls it once a turn at most. */
void replica_publish(struct replica *r);
/* Voters of the present configuration whose nodes are known; returns how many. */
size_t replica_voters(const struct replica *r, uint8_t (*ids)[SH_NODE_ID_BYTES], size_t capacity);

#endif
