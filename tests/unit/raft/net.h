/* SPDX-License-Identifier: Apache-2.0
 *
 * A deterministic group of cores for tests: bytes on a pool of messages, disks that write in order
 * and lose what was not finished in a crash, state machines reduced to chains of hashes. After
 * every step of any core it checks, against everything that ever happened: election safety, leader
 * append-only, log matching, leader completeness, state machine safety (the five properties of
 * the Raft paper, figure 3), one vote per term across crashes, and freshness of reads. */
#ifndef RAFT_TEST_NET_H
#define RAFT_TEST_NET_H

#include "base/rng.h"
#include "raft/core.h"
#include "raft/raft.h"

#define NET_NODES 8u
#define NET_LOG   4096u /* entries of one log */
#define NET_TERMS 4096u /* terms of one run */
#define NET_READS 256u

struct net_entry {
    uint64_t term;
    enum raft_entry_type type;
    uint32_t size;
    uint8_t data[RAFT_CHANGE_BYTES_MAX];
    uint64_t chain; /* hash of this entry and all before it */
};

struct net_log {
    uint64_t first; /* oldest held; entries[first - 1] keeps term and chain */
    uint64_t last;
    struct net_entry *entries; /* by index */
};

struct net_write {
    uint64_t token;
    bool must_sync;
    bool install;
    struct raft_hard hard;
    struct raft_snapshot snapshot;
    uint64_t snapshot_chain;
    uint64_t append_first; /* 0: none */
    uint32_t append_count;
    struct net_entry *append;
    struct net_write *next;
};

struct net_msg {
    uint64_t from;
    uint64_t to;
    uint64_t after; /* held by the sender's disk until then; 0: on the way */
    bool snapshot;  /* its sender is told how the transfer ended */
    size_t size;
    uint8_t *bytes;
    struct net_msg *next;
};

struct net_node {
    bool up;
    struct raft_config config;
    void *memory;
    struct raft *core;
    struct raft_hard hard;    /* durable */
    struct net_log disk;      /* durable */
    struct net_log live;      /* as written by the running process */
    uint64_t applied;         /* of the running process */
    uint64_t applied_durable; /* what a restart finds */
    uint64_t apply_to;
    uint32_t installing;      /* snapshots not yet in place */
    struct net_write *writes; /* oldest first, not done */
    struct net_msg *held;
    struct raft_update told; /* scalars of the last update */
    uint64_t clock;          /* added to the net's time */
    bool stalled;            /* net_settle finishes none of its writes */
};

struct net {
    struct net *older; /* one made before it in this process */
    uint32_t count;
    struct net_node nodes[NET_NODES + 1]; /* by id, from 1 */
    struct net_msg *pool;
    uint32_t pool_count;
    uint64_t now;
    bool cut[NET_NODES + 1][NET_NODES + 1];
    struct sh_rng rng;
    uint64_t steps;
    uint64_t serial; /* of proposals */
    /* History. */
    uint64_t leaders[NET_TERMS];
    uint64_t votes[NET_NODES + 1][NET_TERMS];
    uint64_t committed;         /* highest by anyone */
    uint64_t chain_at[NET_LOG]; /* of committed entries */
    uint64_t term_at[NET_LOG];
    struct raft_conf conf_at[NET_LOG]; /* after applying, where a change stands */
    bool conf_known[NET_LOG];
    uint64_t elections;
    uint64_t reads_served;
    uint64_t installs;
    uint64_t log_reads;
    struct {
        uint64_t ctx;
        uint64_t at_least;
    } reads[NET_READS];
    uint64_t read_serial;
    struct {
        uint64_t key;
        uint64_t chain;
    } * matching; /* (index, term) -> chain */
};

struct raft_config net_config(uint64_t id);
/* voters and learners are bit sets of ids (bit id). Memory lives until the process ends. */
struct net *net_new(uint32_t count, uint32_t voters, uint32_t learners, uint64_t seed,
                    const struct raft_config *config);
void net_start(struct net *net, uint64_t id);
void net_crash(struct net *net, uint64_t id);

/* Steps a core; what it asks for goes to disk and network. */
void net_step(struct net *net, uint64_t id, struct raft_event event);
void net_tick(struct net *net, uint64_t id);
void net_write_one(struct net *net, uint64_t id); /* the oldest write becomes durable */
void net_apply(struct net *net, uint64_t id);
bool net_deliver_at(struct net *net, uint32_t at, bool keep); /* position in the pool */
void net_drop_at(struct net *net, uint32_t at);
/* Writes, applies and delivers until nothing is left to do; time stands still. */
void net_settle(struct net *net);
void net_drop_to(struct net *net, uint64_t id); /* messages on the way to id; 0: all */
void net_cut(struct net *net, uint64_t a, uint64_t b, bool cut);
void net_isolate(struct net *net, uint64_t id, bool cut);
void net_advance(struct net *net, uint64_t by); /* time passes and due cores tick; then settles */

/* A group of net_config's; of three whose leader is 1; count entries proposed to id and committed.
 */
struct net *net_group(uint32_t count, uint32_t voters, uint32_t learners);
struct net *net_three(void);
void net_propose_some(struct net *net, uint64_t id, uint32_t count);
void net_campaign(struct net *net, uint64_t id);
enum sh_err net_propose(struct net *net, uint64_t id, const char *text);
enum sh_err net_change(struct net *net, uint64_t id, enum raft_transition transition,
                       enum raft_change_type type, uint64_t member);
void net_compact(struct net *net, uint64_t id, uint64_t index);
void net_read(struct net *net, uint64_t id);
uint64_t net_leader(const struct net *net); /* leader of the highest term that is up; 0: none */
uint64_t net_commit(const struct net *net, uint64_t id);
struct raft_status net_status(const struct net *net, uint64_t id);
/* Terms of a node's live log, "1:1 2:1 3:2" from its first entry. Static storage. */
const char *net_terms(const struct net *net, uint64_t id);
/* Replaces a stopped node's disk: terms[i] is of entry i + 1. */
void net_set_log(struct net *net, uint64_t id, const uint64_t *terms, uint32_t count,
                 uint64_t hard_term);

#endif
