/* SPDX-License-Identifier: Apache-2.0
 *
 * The core's inside. Included by the files of this module and by their tests, by nobody else. */
#ifndef RAFT_CORE_H
#define RAFT_CORE_H

#include "base/latency.h"
#include "base/ring.h"
#include "base/rng.h"
#include "raft/progress.h"
#include "raft/quorum.h"
#include "raft/raft.h"
#include "raft/trace.h"

#define RAFT_TOKENS         64u /* writes under way told apart; more are merged */
#define RAFT_CONF_TRAIL     8u  /* CONF entries of the log whose positions are remembered */
#define RAFT_RESERVED_SLOTS 4u  /* of the tail, for a leader's own entries */
#define RAFT_NUMBER_MAX     (UINT64_C(1) << 62) /* terms and indexes beyond are nonsense */
#define RAFT_OUTBOX_SPARE   (3u * RAFT_PEERS_MAX)

struct raft_slot {   /* one entry of the tail */
    uint32_t offset; /* of the payload in the byte ring */
    uint32_t size;
    uint32_t type;
};

struct raft_token {
    uint64_t token;
    uint64_t last; /* entries up to here become durable with it */
};

struct raft_log {
    uint64_t first; /* oldest entry of the log; the term of first - 1 is known */
    uint64_t last;
    uint64_t durable;    /* the log in memory is on disk up to here */
    uint64_t tail_first; /* oldest entry in memory; last + 1: none */
    uint32_t slot_first; /* ring position of tail_first */
    uint32_t run_count;
    uint64_t conf_floor; /* entries up to here may be CONF without standing in conf_at */
    uint64_t conf_at[RAFT_CONF_TRAIL];
    uint32_t conf_count;
    struct sh_ring token_ring;
    struct raft_token tokens[RAFT_TOKENS];
    uint64_t token_issued;
    uint64_t token_durable;
};

struct raft_pending_read {
    uint64_t ctx;
    uint64_t from;
    uint64_t index;
    uint64_t round; /* served once a quorum answered this round; 0: own term not committed yet */
};

/* Byte offsets in the core's block. */
struct raft_layout {
    size_t runs;
    size_t slots;
    size_t bytes;
    size_t views;
    size_t inflight;
    size_t reads;
    size_t answers;
    size_t outbox;
    size_t log_reads;
    size_t total;
    uint32_t outbox_count;
};

struct raft_pace {
    uint64_t least;       /* election timeout, as configured */
    uint64_t round_trip;  /* as the host told; 0: unknown */
    uint64_t beat_at;     /* a follower's: the leader's newest heartbeat; 0: none yet */
    uint64_t write_since; /* while a token is out: no write has finished since then */
    struct sh_latency writes;
    struct sh_latency gaps;
};

struct raft {
    struct raft_config config; /* its election is the present one */
    struct raft_layout layout;
    struct sh_rng rng;
    uint64_t now;

    uint64_t term;
    uint64_t vote;
    uint64_t commit;
    uint64_t applied;
    struct raft_log log;

    enum raft_role role;
    uint64_t leader;
    struct raft_conf conf;
    uint64_t conf_index; /* of the entry or snapshot that conf comes from */
    struct raft_peers peers;

    uint64_t election_start;
    uint64_t election_timeout; /* randomised */
    uint64_t heartbeat_start;
    uint64_t news_due;      /* leader: when members must have heard of the commit index; 0: have */
    uint64_t eager_index;   /* leader: the last proposal that a member waits for; 0: none */
    uint64_t hint_deadline; /* 0: none */
    uint64_t hint_until; /* the leader is gone, and until then things may go fast; 0: it is not */
    uint64_t term_token; /* the current term and vote are durable with it */
    uint64_t install_token; /* a snapshot is being put in place; 0: none */
    uint64_t install_index;
    struct raft_pace pace;

    /* Leader. */
    uint64_t transferee;
    uint64_t pending_conf; /* no further change before this index is applied */
    uint64_t uncommitted;  /* payload bytes beyond commit */
    uint64_t read_sent;    /* newest read round broadcast */
    uint64_t read_acked;   /* newest that a quorum answered */
    uint64_t request;      /* last log read number */
    struct sh_ring read_ring;

    /* Last told to the host. */
    struct raft_hard told_hard;
    enum raft_role told_role;
    uint64_t told_leader;
    uint64_t told_term;

    /* Built up during one step. */
    uint64_t append_first; /* 0: nothing appended */
    bool install;
    bool conf_changed;
    struct raft_snapshot snapshot;
    uint32_t out_count;
    uint32_t answer_count;
    uint32_t log_read_count;
    enum sh_err refused;
    enum raft_conf_err reason;
    uint64_t proposed_index;
    struct raft_entry change_entry;
    uint8_t change_bytes[RAFT_CHANGE_BYTES_MAX];
};

static inline void *raft_part(const struct raft *r, size_t offset)
{
    return (void *)((uintptr_t)r + offset);
}

/* log.c. Indexes and terms only; nothing here knows of roles. */
void raft_log_init(struct raft *r, const struct raft_boot *boot);
bool raft_log_term(const struct raft *r, uint64_t index, uint64_t *term);
bool raft_log_matches(const struct raft *r, uint64_t index, uint64_t term);
uint64_t raft_log_last_term(const struct raft *r);
/* Highest index <= at whose term is <= term, and that term; at when it cannot be told (0: below).
 */
uint64_t raft_log_agree(const struct raft *r, uint64_t at, uint64_t term, uint64_t *its_term);
/* Entry last + 1, payload copied; false: no room. own: may use the reserve. */
bool raft_log_append(struct raft *r, const struct raft_entry *entry, bool own);
bool raft_log_takes_term(const struct raft *r); /* another term can still be remembered */
void raft_log_truncate(struct raft *r, uint64_t last);
void raft_log_compact(struct raft *r, uint64_t index);
void raft_log_reset(struct raft *r, uint64_t index, uint64_t term);
/* Entries [low, high] of the tail; valid until the tail changes. */
const struct raft_entry *raft_log_view(const struct raft *r, uint64_t low, uint64_t high);
uint32_t raft_log_size_at(const struct raft *r, uint64_t index); /* payload; 0: not in the tail */
bool raft_log_conf_within(const struct raft *r, uint64_t after, uint64_t upto);
uint64_t raft_log_token(struct raft *r);
void raft_log_persisted(struct raft *r, uint64_t token);
void raft_log_check(const struct raft *r);
/* base: taken off the numbers of writes. */
uint64_t raft_log_digest(const struct raft *r, uint64_t seed, uint64_t base);

/* raft.c */
struct raft_msg *raft_out(struct raft *r, enum raft_msg_type type, uint64_t to);
uint32_t raft_out_room(const struct raft *r); /* beyond what one broadcast needs */
void raft_answer_read(struct raft *r, uint64_t ctx, uint64_t index, enum sh_err err);
void raft_tell(const struct raft *r, struct raft_trace trace);

/* election.c */
void raft_become_follower(struct raft *r, uint64_t term, uint64_t leader);
void raft_become_leader(struct raft *r);
void raft_hup(struct raft *r, bool transfer);
void raft_on_vote(struct raft *r, const struct raft_msg *m);
void raft_on_vote_resp(struct raft *r, const struct raft_msg *m);
void raft_self_vote(struct raft *r);
bool raft_promotable(const struct raft *r);
bool raft_leased(const struct raft *r, uint64_t *left);
void raft_tick(struct raft *r);
void raft_draw_timeout(struct raft *r);
/* Pace: a step at now begins; a heartbeat of the leader came; an answer to one did; what the host
 * measured; a write is about to be asked for; one or more are done. */
void raft_pace_wake(struct raft *r, uint64_t now);
void raft_pace_beat(struct raft *r);
void raft_pace_answer(struct raft *r, struct raft_peer *peer);
void raft_pace_round_trip(struct raft *r, uint64_t typical);
void raft_pace_writing(struct raft *r);
void raft_pace_written(struct raft *r);
void raft_pace_abdicate(struct raft *r); /* a leader whose disk has gone silent hands over */
void raft_pace_resign(struct raft *r);   /* a leader hands over to whoever is fit for it */
/* So long after it heard the leader a member refuses to vote for another. How slow its own disk is
 * has no part in it: that says nothing of the leader, and others would wait for it. */
uint64_t raft_pace_lease(const struct raft *r);
void raft_forget_leader(struct raft *r, bool hint);
void raft_transfer(struct raft *r, uint64_t to);
void raft_timeout_now(struct raft *r, uint64_t to);

/* replication.c */
/* reserve: the entry may use what the tail keeps for the leader's own; false: no room. */
bool raft_append_own(struct raft *r, const struct raft_entry *entries, uint32_t count,
                     bool reserve);
void raft_broadcast_append(struct raft *r);
void raft_tell_news(struct raft *r); /* the commit index, to members that lack it */
void raft_broadcast_heartbeat(struct raft *r);
bool raft_send_append(struct raft *r, struct raft_peer *peer, bool even_empty);
bool raft_maybe_commit(struct raft *r);
void raft_commit_to(struct raft *r, uint64_t index);
void raft_on_append(struct raft *r, const struct raft_msg *m);
void raft_on_append_resp(struct raft *r, const struct raft_msg *m);
void raft_on_heartbeat(struct raft *r, const struct raft_msg *m);
void raft_on_heartbeat_resp(struct raft *r, const struct raft_msg *m);
void raft_on_snapshot(struct raft *r, const struct raft_msg *m);
void raft_on_durable(struct raft *r);
void raft_on_log_read(struct raft *r, const struct raft_event *event);
void raft_on_snapshot_status(struct raft *r, uint64_t peer, bool ok);
void raft_on_unreachable(struct raft *r, uint64_t peer);

/* proposal.c */
void raft_propose(struct raft *r, const struct raft_entry *entries, uint32_t count);
void raft_propose_conf(struct raft *r, const struct raft_conf_change *change);
void raft_on_proposal(struct raft *r, const struct raft_msg *m);
void raft_auto_leave(struct raft *r);

/* member.c */
void raft_switch_conf(struct raft *r, const struct raft_conf *conf, uint64_t index);
void raft_conf_applied(struct raft *r, uint64_t index, const uint8_t *data, uint32_t size);
void raft_applied_to(struct raft *r, uint64_t index);

/* read.c */
void raft_read_reset(struct raft *r);
void raft_read_ask(struct raft *r, uint64_t ctx, uint64_t from);
void raft_read_term_committed(struct raft *r);
void raft_read_ack(struct raft *r, struct raft_peer *peer, uint64_t round);
void raft_read_release(struct raft *r);

#endif
