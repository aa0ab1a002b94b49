/* SPDX-License-Identifier: Apache-2.0
 *
 * The thread that applies committed entries to the tables, in order, several to one store write. It
 * also reads old log entries for the core, so that the loop never waits for a disk. Membership
 * entries take a turn through the loop: the core says what the configuration becomes, and that goes
 * into the same write as the applied index. */
#ifndef AGENT_APPLY_H
#define AGENT_APPLY_H

#include "jobs/jobs.h"
#include "proposals.h"
#include "queue.h"
#include "raft/raft.h"
#include "store/fsm/fsm.h"
#include "store/wal/wal.h"

#define APPLY_BATCH_ENTRIES 256u
#define APPLY_READS_MAX     64u

struct apply;

enum apply_event_kind {
    /* index: everything up to it is in the tables. After a membership entry, a snapshot, and what
     * was committed at the start; all else is seen by apply_index: it need not wake the loop. */
    APPLY_ADVANCED,
    APPLY_CONF,  /* index, data: answer with apply_conf */
    APPLY_LOG,   /* request, entries (none: not readable): the loop frees memory */
    APPLY_FAILED /* err: the agent must stop; text was written to the journal */
};

struct apply_event {
    enum apply_event_kind kind;
    uint64_t index;
    uint8_t data[RAFT_CHANGE_BYTES_MAX];
    uint32_t data_size;
    uint64_t request;
    struct raft_entry *entries;
    uint32_t entry_count;
    void *memory;
    enum sh_err err;
};

struct apply_config {
    struct wal *wal; /* borrowed; wal_read only */
    struct fsm *fsm; /* borrowed; owned by this thread until apply_stop */
    struct proposals *proposals;
    uint64_t applied; /* where the tables are */
    /* After each write, on the apply thread: results of the entries it contained, in order. results
     * NULL: a snapshot has replaced the tables. */
    void (*on_applied)(void *ctx, uint64_t index, const struct jobs_result *results,
                       uint32_t count);
    void *ctx;
};

SH_MUST_USE enum sh_err apply_open(struct apply **out, const struct apply_config *config);
/* Until then commits are noted and nothing is applied: on_applied reaches for parts that the loop
 * opens. */
SH_MUST_USE enum sh_err apply_start(struct apply *apply);
void apply_stop(struct apply *apply);
void apply_close(struct apply *apply);

/* From the loop; never block. */
void apply_commit(struct apply *apply, uint64_t apply_to);
void apply_conf(struct apply *apply, uint64_t index, const struct raft_conf *conf);
/* FULL: APPLY_READS_MAX reads wait; the answer to this one never comes. */
SH_MUST_USE enum sh_err apply_log_read(struct apply *apply, const struct raft_log_read *read);
/* A snapshot is about to replace the tables: nothing is applied from here on ... */
void apply_hold(struct apply *apply);
/* ... (any other thread) waits until that is so, false when the thread is ending ... */
bool apply_await_held(struct apply *apply);
/* ... until it is durable: the thread goes on from there. on_applied and APPLY_ADVANCED follow. */
void apply_resume(struct apply *apply);
/* Everything up to it is in the tables. Any thread. */
uint64_t apply_index(const struct apply *apply);
/* Of struct apply_event. */
struct queue *apply_event_queue(struct apply *apply);

#endif
