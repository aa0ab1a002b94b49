/* SPDX-License-Identifier: Apache-2.0
 *
 * Replicated state machine of the cluster's facts: admitted agents, jobs, their units and gangs,
 * checkpoints, models, data sets. Pure: state is the rows of a table (layout in row.h), changed
 * only by jobs_apply, equal on every replica after the same entries. The core itself keeps nothing
 * but working memory, so there is nothing to rebuild after a restart or an installed snapshot.
 *
 * A unit is executed at least once and committed exactly once: COMMIT, CHECKPOINT, FAIL and EXPIRE
 * carry the fence of the gang that sends them and apply only while it is the unit's current one.
 * Time is the largest stamp applied so far; no command depends on a clock.
 *
 * A command of a session (session.c) is applied once, however often it stands in the log: the reply
 * is remembered and given again. */
#ifndef SH_JOBS_H
#define SH_JOBS_H

#include "base/arena.h"
#include "base/table.h"
#include "jobs/cmd.h"
#include "jobs/state.h"

#define JOBS_SCHEMA          6u        /* of the rows; a snapshot with another one is not taken */
#define JOBS_OPEN_MAX        100000u   /* units not ended, of all jobs: SUBMIT answers FULL */
#define JOBS_TOTAL_MAX       10000000u /* jobs ever submitted and kept; likewise */
#define JOBS_NODES_MAX       SH_NODES_MAX
#define JOBS_DATASETS_MAX    4096u  /* names; DATASET_ADD answers FULL beyond */
#define JOBS_CONFIG_MAX      1024u  /* settings that are set; CONFIG_SET answers FULL beyond */
#define JOBS_OWNERS_MAX      4096u  /* whose usage is kept: the one that used least is forgotten */
#define JOBS_HISTORY_MAX     64u    /* events kept per job, the oldest go first */
#define JOBS_WATCH_MAX       65536u /* newest log entries, at least, whose changes can be listed */
#define JOBS_EVALUATIONS_MAX 64u    /* kept per version of a model, on different data; likewise */
/* A session that no command used for so long has expired. In the cluster's time, so all agree. */
#define JOBS_SESSION_US  UINT64_C(600000000)
#define JOBS_TOUCHED_MAX 16u /* units listed in a result */
/* Jobs of one name that are looked at, newest first, for those that lose their results. */
#define JOBS_RETAIN_LOOK 1024u

struct jobs;

/* One committed entry. term and index become the fence of a PLACE and the id of a job or node. */
struct jobs_entry {
    uint64_t index; /* larger than any applied before; entries of other kinds may lie between */
    uint64_t term;
    struct sh_span bytes; /* borrowed for the call */
};

/* What exactly was refused; err alone decides what a caller does. Numbers travel to the proposer.
 */
#define JOBS_CODE_MAP(X)                                                                           \
    X(0, NONE, "applied")                                                                          \
    X(1, BAD_COMMAND, "the command is damaged or a field breaks its rules")                        \
    X(2, UNKNOWN_COMMAND, "a newer program wrote this command")                                    \
    X(3, NODE_NAME_TAKEN, "another agent has this name")                                           \
    X(4, NODE_UNKNOWN, "no such agent was admitted")                                               \
    X(5, NODES_FULL, "the cluster has as many agents as it can list")                              \
    X(6, JOB_UNKNOWN, "no such job")                                                               \
    X(7, KEY_REUSED, "this idempotency key was used for another job file")                         \
    X(8, LIVE_FULL, "too many jobs or units are unfinished")                                       \
    X(9, TOTAL_FULL, "too many jobs are kept")                                                     \
    X(10, UNIT_UNKNOWN, "the job has no such unit")                                                \
    X(11, FENCE_STALE, "the unit was placed anew or ended since")                                  \
    X(12, UNIT_CLOSED, "the unit has ended")                                                       \
    X(13, UNIT_STOPPING, "the unit is stopping")                                                   \
    X(14, JOB_FINISHED, "the job has ended")                                                       \
    X(15, RESULT_DIFFERS, "the unit is committed already with another result")                     \
    X(16, NOT_STOPPING, "a partial result is taken only from a unit that was asked to stop")       \
    X(17, RANKS_UNCOVERED, "the members do not cover the ranks exactly")                           \
    X(18, MEMBER_COUNT, "fewer or more members than the job allows")                               \
    X(19, MEMBER_UNKNOWN, "a member is not an admitted agent")                                     \
    X(20, MEMBER_TWICE, "an agent is a member twice")                                              \
    X(21, CLASS_DIFFERS, "the job is pinned to another arithmetic class")                          \
    X(22, STEP_OLD, "a checkpoint of this gang at the same or a later step exists")                \
    X(23, DATASET_DIFFERS, "another agent holds other contents under this name")                   \
    X(24, DATASETS_FULL, "too many data sets are listed")                                          \
    X(25, DATASET_UNKNOWN, "this agent holds no such data set")                                    \
    X(26, ROW_DAMAGED, "a row of the tables does not decode")                                      \
    X(27, HANDLE_USED, "this handle was given out before, or is none yet")                         \
    X(28, SESSION_UNKNOWN, "the session has expired or was ended: open another one")               \
    X(29, NUMBER_OLD, "a later command of this slot was applied already")                          \
    X(30, NOT_ALIKE, "units of this job are placed or committed one by one")                       \
    X(31, BAD_SETTING, "no such setting, or a value out of its range")                             \
    X(32, SETTINGS_FULL, "too many settings are set")                                              \
    X(33, NOT_QUARANTINED, "the agent is not in quarantine")                                       \
    X(34, JOB_PAUSED, "the job is paused")                                                         \
    X(35, NOT_PAUSED, "the job is not paused")                                                     \
    X(36, JOB_STOPPING, "the job is stopping")                                                     \
    X(37, UNIT_YIELDS, "the unit is giving way")                                                   \
    X(38, FIXED_UNITS, "how many units a job of this kind has cannot be changed")                  \
    X(39, BELOW_COMMITTED, "more units than that are committed")                                   \
    X(40, UNITS_FULL, "the job had as many units as one may have")                                 \
    X(41, DEADLINE_AHEAD, "the job has no deadline, or one that has not passed")                   \
    X(42, UNIT_EARLY, "units of the stage before it have not ended")                               \
    X(43, JOB_OPEN, "the job has not ended")                                                       \
    X(44, MODEL_UNKNOWN, "no such model")                                                          \
    X(45, MODEL_IN_USE, "a job that has not ended needs the model")

enum jobs_code {
#define X(number, name, text) JOBS_CODE_##name = number,
    JOBS_CODE_MAP(X)
#undef X
        JOBS_CODE_COUNT = 46
};

/* What the host answers to the proposer and whom it wakes. */
struct jobs_result {
    enum sh_err err;
    bool halt; /* VERSION or a damaged row: abandon the transaction and stop applying for good */
    enum jobs_code code; /* NONE when err is OK */
    uint32_t type;       /* enum jobs_cmd_type; 0 when the bytes are no command */
    bool duplicate;      /* OK, but an earlier entry had done it already */
    bool replayed;       /* the reply to an earlier entry of this session and number, given again */
    uint64_t session;    /* of the command */
    uint64_t number;
    struct wire_unit unit;   /* job (and unit) concerned; job 0 when none */
    struct wire_fence fence; /* the unit's current fence after this entry; {0, 0} when none */
    uint64_t handle;         /* NODE_ADMIT, NODE_REMOVE: the agent's; SESSION_OPEN: session */
    uint64_t stamp_us;       /* cluster time after this entry */
    uint32_t model_version;  /* COMMIT that made a model: its version, else 0 */
    bool nodes_changed;
    bool datasets_changed;
    bool touched_more; /* more units changed than are listed: look at all units of the job */
    uint32_t touched_count;
    struct wire_unit touched[JOBS_TOUCHED_MAX];
};

/* Bytes that jobs_init takes from its arena. */
size_t jobs_bytes(void);
struct jobs *jobs_init(struct sh_arena *arena);

/* Applies one entry. Reads and writes through table only, and all writes belong to one transaction
 * that the host commits together with the applied index. A refusal (err not OK) writes nothing but
 * cluster time, applied index and digest. O(log n) but for SUBMIT, STOP, PAUSE, RESIZE and
 * JOB_REMOVE: O(units of the job); MODEL_REMOVE: O(versions); the end of a job: O(JOBS_RETAIN_LOOK)
 * jobs of its name. */
void jobs_apply(struct jobs *core, const struct sh_table *table, const struct jobs_entry *entry,
                struct jobs_result *result);

/* Order-independent digest of every row, kept incrementally: equal on replicas that applied the
 * same entries. {0} rows give 0. */
uint64_t jobs_digest(const struct sh_table *table);
/* Index of the newest entry applied, 0 for none. */
uint64_t jobs_applied(const struct sh_table *table);

/* Asserts every invariant of the rows (states against counts, open units, fences, names, digest).
 * O(rows); for tests and the simulator. */
void jobs_check(struct jobs *core, const struct sh_table *table);

/* "FENCE_STALE" and its sentence; "UNKNOWN" and "?" for other numbers. */
const char *jobs_code_name(uint32_t code);
const char *jobs_code_text(uint32_t code);

#endif
