/* SPDX-License-Identifier: Apache-2.0
 *
 * What must never happen, looked at after every event, against everything that ever happened.
 *
 * Raft (Ongaro and Ousterhout, "In search of an understandable consensus algorithm", 2014, figure
 * 3), over all agents and all their lives:
 *   election safety        at most one leader per term
 *   leader append-only     a leader never overwrites or deletes an entry of its log
 *   log matching           (index, term) determines the entry and all before it
 *   leader completeness    what was committed in an earlier term is in the log of every leader
 *   state machine safety   nobody applies another entry at an index
 * and the rules they rest on, with the eyes of one who sees all disks: what a leader commits is on
 * the disks of a majority of every side of its configuration, and ends with an entry of its own
 * term (5.4.2); what is acknowledged is what the leader has, and a leader counts nobody for what it
 * lacks; a vote goes to no shorter log than the voter's; nobody runs before a committed
 * change of the configuration is applied, or while a snapshot is put in place; one vote per term
 * and voter; term, vote and acknowledged entries never go back on a disk; nobody applies beyond its
 * commit index, nobody commits beyond its log; an applied change of the configuration gives
 * everyone the same one. Jobs: equal digests at equal applied index; an acknowledged job exists
 * ever after; a unit is committed at most once and under its current fence; fences only grow; one
 * key, one job.
 *
 * The first violation stands; later ones are not recorded. Each call is O(1) but for what it is
 * given (entries of one update). */
#ifndef SIM_CHECK_H
#define SIM_CHECK_H

#include "sim/ledger.h"
#include "sim/sim.h"

#include "jobs/jobs.h"
#include "jobs/view.h"
#include "raft/raft.h"
#include "store/wal/wal.h"

struct sim_place { /* one index of one agent's log */
    uint64_t term;
    uint64_t chain; /* hash of this entry and all before it */
    bool conf;      /* it changes the configuration */
};

struct sim_log {
    struct sim_place *at; /* by index; at[0] is the empty log */
    uint64_t last;
    uint64_t capacity;
};

struct sim_committed {
    uint64_t term;
    uint64_t chain;
    uint64_t in_term; /* of whoever committed it first */
    bool conf;        /* it changes the configuration */
    bool applied;     /* what follows is known */
    uint64_t result;  /* hash of what jobs_apply answered, or of the configuration */
    uint64_t digest;  /* of the tables after it; 0: not a command */
};

struct sim_view {           /* what is known of one agent */
    struct sim_log live;    /* as its process has it */
    struct sim_log durable; /* as a power cut would leave it */
    struct wal_hard hard;   /* durable */
    enum raft_role role;
    uint64_t term;
    uint64_t commit;
    uint64_t applied;
    uint64_t snapshot; /* newest one that the core has taken in this life; 0: none */
    uint64_t handle;   /* 0: none yet */
    uint64_t voter;    /* number of its identity: an agent has another one after a wipe */
};

struct sim_acked {
    uint64_t job;
    uint32_t request;
};

struct sim_check {
    char failure[SIM_TEXT_MAX + 1]; /* "" while all is well */
    struct sim_view views[SIM_AGENTS_MAX];
    struct sim_ledger leaders;  /* term -> agent + 1 */
    struct sim_ledger votes;    /* (voter, term) -> candidate */
    struct sim_ledger matching; /* (index, term) -> chain */
    struct sim_ledger fences;   /* (job, unit) -> index of the current fence */
    struct sim_ledger fence_terms;
    struct sim_ledger commits;                /* (job, unit) -> index of the COMMIT */
    struct sim_ledger paused;                 /* job -> index of the PAUSE that holds; 0: none */
    struct sim_ledger progress;               /* job -> thousandths told last */
    uint64_t applied_of[JOBS_CMD_TYPE_COUNT]; /* commands that were accepted, by type */
    struct sim_ledger contents;               /* 1 + index -> hash of all rows then */
    struct sim_committed *committed;          /* by index */
    uint64_t last;                            /* highest committed by anyone */
    uint64_t capacity;
    uint64_t applied; /* highest applied by anyone */
    struct sim_acked *acked;
    uint32_t acked_count;
    uint32_t acked_capacity;
    uint32_t acked_turn;
    uint64_t jobs; /* at the highest applied index: never fewer */
    uint64_t elections;
    uint64_t units;
    uint64_t completed;
    struct jobs_cmd *cmd; /* scratch */
    struct jobs_job *job;
};

void sim_check_init(struct sim_check *check);
void sim_check_fini(struct sim_check *check);
/* Records a violation unless there is one. */
void sim_check_fail(struct sim_check *check, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The founder's disk holds these committed entries when its first process starts. */
void sim_check_found(struct sim_check *check, uint32_t agent, const struct wal_hard *hard,
                     const struct wal_entry *entries, uint32_t count);
/* A process starts with what its disk holds: durable promises must be in it. */
void sim_check_start(struct sim_check *check, uint32_t agent, const struct wal_hard *hard,
                     struct wal *wal, uint64_t applied);
/* The agent loses its disk and goes on as another voter. */
void sim_check_wipe(struct sim_check *check, uint32_t agent);
void sim_check_handle(struct sim_check *check, uint32_t agent, uint64_t handle);
/* After every step of a core. */
void sim_check_update(struct sim_check *check, uint32_t agent, const struct raft_update *update);
/* Now and then, where it leads. */
void sim_check_leader(struct sim_check *check, uint32_t agent, const struct raft_status *status);
/* A message leaves the agent. */
void sim_check_message(struct sim_check *check, uint32_t agent, const struct raft_msg *msg);
/* A write reached the disk; synced: for good. */
void sim_check_write(struct sim_check *check, uint32_t agent, const struct wal_hard *hard,
                     const struct wal_entry *entries, uint32_t count, bool synced);
/* And so did a snapshot in place of the log, and the tables with it. */
void sim_check_install(struct sim_check *check, uint32_t agent, uint64_t index, uint64_t term,
                       const struct wal_hard *hard);
/* What a CONF entry gave: the same on everyone. */
void sim_check_conf(struct sim_check *check, uint32_t agent, uint64_t index,
                    const struct raft_conf *conf);
/* An entry as read back from the log is about to be applied. */
void sim_check_apply(struct sim_check *check, uint32_t agent, const struct wal_entry *entry);
/* And was, with this result; table is that of the open transaction, command what the entry said
 * (size 0: nothing for the tables). */
void sim_check_applied(struct sim_check *check, uint32_t agent, const struct wal_entry *entry,
                       struct sh_span command, const struct jobs_result *result,
                       const struct sh_table *table);
/* The rows of an agent that has applied index: the same on everyone. */
void sim_check_contents(struct sim_check *check, uint32_t agent, uint64_t index, uint64_t contents);
/* Tables that did not come about entry by entry here: those of index, acknowledged jobs and all.
 * O(jobs). */
void sim_check_tables(struct sim_check *check, uint32_t agent, uint64_t index,
                      const struct sh_table *table);
/* A client was told that its job exists. */
void sim_check_ack(struct sim_check *check, uint32_t request, uint64_t job);
/* One acknowledged job after the other, each call the next one. */
void sim_check_one_job(struct sim_check *check, uint32_t agent, const struct sh_table *table);
void sim_check_all_jobs(struct sim_check *check, uint32_t agent, const struct sh_table *table);

#endif
