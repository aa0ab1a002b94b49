/* SPDX-License-Identifier: Apache-2.0
 *
 * The consensus core: Raft (Ongaro, "Consensus: bridging theory and practice", 2014) with pre-vote,
 * check-quorum, leader transfer, read index, learners, joint membership change and asynchronous
 * persistence. A value: it changes only in raft_step, asks for everything in the update, and is
 * told everything by events. Its externally visible behaviour follows etcd's raft.
 *
 * Host's duties
 *  1. Persist what an update asks (hard state, entries, snapshot), each update as one atomic write,
 *     in their order. When all of it up to a token is durable, send the messages with after <=
 *     token and step PERSISTED(token). An update without token (only the commit index moved) may
 *     be left out; one with a token always brings the hard state, and entries must never become
 *     durable without it: who holds a membership change must know the one before as committed.
 *  2. Send messages with after == 0 at once. Loss, duplication and reordering are tolerated.
 *  3. Apply entries up to apply_to, in order; for each CONF entry step CONF_APPLIED and keep
 *     update.conf with the applied state, then (at any later time) step APPLIED(index).
 *  4. Answer every log read with LOG_READ, sooner or later.
 *  5. A SNAP message is a wish: stream a snapshot of at least that index to msg.to by other means.
 *     The receiving host steps RECEIVE with a SNAP message of the true index, term and conf once
 *     all of it is staged. An update with install set says: put it in place, replacing state and
 *     log; apply nothing meanwhile (another one may come before it is durable). Without install
 *     the staged state is to be thrown away. The sending host steps SNAPSHOT_STATUS with how the
 *     transfer ended, always.
 *  6. Step TICK at or after raft_deadline().
 *
 * Everything an update points at is borrowed until the next call of raft_step on the same core, and
 * payloads of APP messages sent in answer to LOG_READ point into that event's own entries.
 * A core has no pointers into itself: raft_clone copies its bytes. */
#ifndef RAFT_RAFT_H
#define RAFT_RAFT_H

#include "base/arena.h"
#include "raft/conf.h"
#include "raft/message.h"

#define RAFT_TIME_NEVER UINT64_MAX

enum raft_role { RAFT_FOLLOWER, RAFT_PRE_CANDIDATE, RAFT_CANDIDATE, RAFT_LEADER };
enum raft_progress_state { RAFT_PROBE, RAFT_REPLICATE, RAFT_SNAPSHOT };

/* Capacities; they size the core's one block. */
struct raft_limits {
    uint32_t tail_entries;   /* newest entries held in memory; > batch_entries */
    uint32_t tail_bytes;     /* their payloads */
    uint32_t batch_entries;  /* entries in one message or one proposal, <= RAFT_MSG_ENTRIES_MAX */
    uint32_t batch_bytes;    /* payload of one message (at least one entry is always sent) */
    uint32_t inflight_msgs;  /* unanswered APPs per member */
    uint64_t inflight_bytes; /* their payloads; 0: no limit */
    uint64_t uncommitted_bytes; /* payloads a leader accepts beyond its commit index; 0: no limit */
    uint32_t reads;             /* reads waiting for a quorum */
    uint32_t term_runs;         /* terms remembered; older entries count as compacted */
};
extern const struct raft_limits raft_limits_default; /* about 5 MiB */

struct raft_trace; /* raft/trace.h */

struct raft_config {
    uint64_t id;        /* not 0 */
    uint64_t seed;      /* of the election jitter */
    uint64_t election;  /* time without a leader before campaigning; randomised to [1, 2) times */
    uint64_t heartbeat; /* < election */
    /* 0: the election timeout stays as it is. Else it is the least one, and grows up to this with
     * 10 round trips, and with 3 of this member's writes and 3 gaps between heartbeats, of both the
     * 99th percentile of late, by which one alone decides nothing. Needs pre_vote: members with
     * unlike timeouts could else keep each other from being elected, one that cannot win by running
     * before all others again and again. */
    uint64_t election_max;
    uint64_t stagger; /* disconnect hint: campaign after rank * stagger + [0, stagger / 2]; a
                         pre-vote without an answer is asked again after it; 0: neither */
    /* Where no entries are under way to a member anyway, it learns this much later that something
     * was committed, unless one of its own proposals was (PROPOSE, eager). 0: at once. */
    uint64_t news_delay;
    bool pre_vote;
    bool check_quorum;
    bool step_down_on_removal;
    bool forward_proposals; /* a follower sends proposals on to the leader, unacknowledged */
    bool abdicate;          /* lead no longer once the own disk is silent for an election timeout */
    bool unchecked_changes; /* append membership changes without judging them first */
    struct raft_limits limits;
    void (*trace)(void *ctx, const struct raft_trace *trace); /* NULL: none */
    void *trace_ctx;
};

struct raft_hard {
    uint64_t term;
    uint64_t vote;   /* 0: none */
    uint64_t commit; /* a change of it alone may be lost, see duty 1 */
};

struct raft_run { /* entries from first on, up to the next run, have this term */
    uint64_t first;
    uint64_t term;
};

/* What the host found on its disk. A fresh member: all zero, first_index 1. The founder of a group
 * puts its conf here; a joiner has an empty conf and learns it from the log or a snapshot. */
struct raft_boot {
    struct raft_hard hard;
    struct raft_conf conf; /* as of applied */
    uint64_t applied;
    uint64_t first_index;        /* oldest entry held; last + 1 when the log is empty */
    uint64_t last_index;         /* first_index - 1 when the log is empty */
    uint64_t last_conf_index;    /* newest CONF entry in the log; last_index when not known */
    const struct raft_run *runs; /* ascending; runs[0].first == first_index - 1 (0 has term 0);
                                    runs[1] may have its term too */
    uint32_t run_count;          /* >= 1 */
};

enum raft_event_type {
    RAFT_TICK,
    RAFT_RECEIVE,
    RAFT_PERSISTED,
    RAFT_PROPOSE,
    RAFT_PROPOSE_CONF,
    RAFT_APPLIED,
    RAFT_CONF_APPLIED,
    RAFT_LOG_READ,
    RAFT_COMPACTED,
    RAFT_SNAPSHOT_STATUS,
    RAFT_UNREACHABLE,
    RAFT_READ_INDEX,
    RAFT_TRANSFER,
    RAFT_CAMPAIGN,
    RAFT_FORGET_LEADER,
    RAFT_ROUND_TRIP,
};

struct raft_event {
    enum raft_event_type type;
    uint64_t now; /* never falls (an earlier time counts as the latest one seen) */
    union {
        const struct raft_msg *message; /* RECEIVE; to == id; borrowed during the call */
        uint64_t token;                 /* PERSISTED: this one and all before it */
        struct {                        /* PROPOSE: term and index are ignored, payload is copied */
            const struct raft_entry *entries;
            uint32_t count; /* 1 .. batch_entries; all or none are accepted */
            bool eager;     /* some member waits for it: news of its commit is not delayed */
        } propose;
        const struct raft_conf_change *change; /* PROPOSE_CONF */
        uint64_t index;                        /* APPLIED: all up to it; COMPACTED: up to it gone */
        struct {                               /* CONF_APPLIED: the committed CONF entry */
            uint64_t index;
            const uint8_t *data;
            uint32_t size;
        } conf;
        struct { /* LOG_READ: entries[0].index is what was asked; count 0: compacted meanwhile */
            uint64_t request;
            const struct raft_entry *entries;
            uint32_t count;
        } read;
        struct { /* SNAPSHOT_STATUS */
            uint64_t peer;
            bool ok;
        } snapshot;
        /* UNREACHABLE; TRANSFER: who shall lead, 0: the fittest of those heard from, unless a
         * transfer is under way (NOT_FOUND: nobody else votes) */
        uint64_t peer;
        uint64_t ctx; /* READ_INDEX: caller's number, returned with the answer */
        bool hint;    /* FORGET_LEADER: the connection broke, campaign soon instead of waiting */
        /* ROUND_TRIP: a typical one to the leader; at a leader, to the majority nearest */
        uint64_t round_trip;
    };
};

struct raft_read {
    uint64_t ctx;
    uint64_t index;  /* serve once applied >= index */
    enum sh_err err; /* not OK: NOT_LEADER or FULL, ask again */
};

struct raft_log_read {
    uint64_t request;
    uint64_t from;      /* answer with one or more entries from here */
    uint32_t max_count; /* no more than this */
    uint64_t max_bytes; /* of payload, but at least one entry */
};

struct raft_update {
    /* To be made durable, all of it together, in the order of updates. */
    uint64_t token;    /* 0: nothing here must be durable (hard.commit may still have moved) */
    bool hard_changed; /* always where token != 0 */
    bool must_sync;    /* token != 0 */
    bool install;      /* snapshot replaces state and log; written before append */
    struct raft_hard hard;
    struct raft_snapshot snapshot;
    const struct raft_entry *append; /* replaces everything from append[0].index on */
    uint32_t append_count;

    uint32_t message_count;
    const struct raft_msg *messages; /* see raft_msg.after */

    uint64_t commit;   /* always set; equals hard.commit */
    uint64_t apply_to; /* always set; entries up to here are committed and durable here */

    bool soft_changed; /* role, leader or term; these three are always set */
    enum raft_role role;
    uint64_t leader; /* 0: none known */
    uint64_t term;

    bool conf_changed; /* by CONF_APPLIED or an installed snapshot */
    struct raft_conf conf;

    uint32_t read_count;
    const struct raft_read *reads;
    uint32_t log_read_count;
    const struct raft_log_read *log_reads;

    /* Outcome of PROPOSE, PROPOSE_CONF, TRANSFER and READ_INDEX: OK; NOT_LEADER; FULL; INVALID;
     * CONFLICT: the change is not possible now or at all (an empty entry took its place); reason.
     */
    enum sh_err refused;
    enum raft_conf_err reason;
    uint64_t proposed_index; /* of the first proposed entry, when this core appended it */
    uint64_t proposed_term;
};

struct raft_peer_status {
    uint64_t id;
    enum raft_progress_state state;
    uint64_t match;
    uint64_t next;
    uint64_t pending_snapshot;
    uint32_t inflight;
    bool inflight_full;
    bool paused;
    bool active; /* heard from since the last quorum check */
    bool learner;
};

struct raft_status {
    uint64_t id;
    uint64_t term;
    uint64_t vote;
    uint64_t leader;
    enum raft_role role;
    bool promotable; /* a voter of its own configuration */
    uint64_t first_index;
    uint64_t last_index;
    uint64_t last_term;
    uint64_t durable_index; /* entries up to here are known durable */
    uint64_t commit;
    uint64_t applied;
    uint64_t transferee;
    uint64_t election;         /* the least election timeout at present, */
    uint64_t election_timeout; /* and as randomised */
    struct raft_conf conf;
    uint32_t peer_count; /* leader only */
    struct raft_peer_status peers[RAFT_PEERS_MAX];
};

struct raft;

size_t raft_bytes(const struct raft_limits *limits);
/* So many leading bytes of a core's block are its value; what lies behind them is scratch of one
 * step. Whoever keeps many cores keeps these, and copies them back into a block to step one. */
size_t raft_value_bytes(const struct raft_limits *limits);
/* Carved from the arena; config and boot are copied. Panics on a boot state that contradicts
 * itself. */
struct raft *raft_init(struct sh_arena *arena, const struct raft_config *config,
                       const struct raft_boot *boot, uint64_t now);
/* dst: raft_bytes(limits of src) bytes, aligned to 64. */
struct raft *raft_clone(void *dst, const struct raft *src);
void raft_step(struct raft *raft, const struct raft_event *event, struct raft_update *update);
uint64_t raft_deadline(const struct raft *raft); /* RAFT_TIME_NEVER: nothing waits for time */
void raft_check(const struct raft *raft); /* panics on a broken invariant; O(tail + members) */
void raft_status(const struct raft *raft, struct raft_status *status);
/* Equal for cores that will behave equally from now on; O(tail bytes). */
uint64_t raft_digest(const struct raft *raft);
/* The same for hosts that always give the same time: leaves out clocks and the generator, and takes
 * numbers of writes and log reads in relation to the newest. */
uint64_t raft_digest_timeless(const struct raft *raft);
/* An entry of the in-memory tail, borrowed until the next step; false: read it from the log. */
bool raft_entry(const struct raft *raft, uint64_t index, struct raft_entry *entry);
/* Term of a log entry; false outside the log or below what is remembered. O(log terms). */
bool raft_term_at(const struct raft *raft, uint64_t index, uint64_t *term);

#endif
