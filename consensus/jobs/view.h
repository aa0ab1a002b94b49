/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading the tables of the jobs core. Every function is pure over a struct sh_table, needs no
 * core, and may run on a snapshot in any thread. Views are copies. NOT_FOUND: no such row. CORRUPT:
 * a row that does not decode (the host should treat it like a failed disk). Lists fill out[0 ..
 * *count) with count at most max; they cost O(max log n) unless said otherwise. */
#ifndef SH_JOBS_VIEW_H
#define SH_JOBS_VIEW_H

#include "base/table.h"
#include "jobs/cmd.h"
#include "jobs/health.h"
#include "jobs/state.h"

#define JOBS_SCAN_MAX        4096u      /* rows one filtered page looks at */
#define JOBS_EVENT_ALL_UNITS UINT32_MAX /* unit of an event that concerns the whole job */

struct jobs_node {
    uint8_t id[SH_NODE_ID_BYTES];
    uint64_t handle; /* raft id: index of the entry that admitted it; the founder's is given */
    char name[SH_NAME_MAX + 1];
    char addr[SH_ADDR_MAX + 1];
    char api[SH_ADDR_MAX + 1];
    uint16_t bulk_port;
    uint64_t admitted_us;
    bool draining; /* somebody wants it to finish what it has and to get nothing new */
};

struct jobs_job {
    uint64_t id;
    enum jobs_state state;
    enum wire_cause cause; /* why it is stopping or ended: STOP_ASKED, FAILED, else NONE */
    enum wire_kind kind;
    char name[SH_NAME_MAX + 1];
    char owner[SH_NAME_MAX + 1];
    char key[JOBS_KEY_MAX + 1];
    uint8_t spec_digest[SH_DIGEST_BYTES];
    struct wire_need need;
    bool reproducible; /* as asked; the outcome also needs !mixed */
    bool mixed;        /* members of more than one arithmetic class took part */
    bool pinned;       /* class is that of the first placement */
    uint8_t class[WIRE_CLASS_BYTES];
    uint8_t priority;
    uint8_t retries;
    uint8_t checkpoint_keep;
    uint16_t keep_results; /* 0: all */
    bool results_gone;     /* newer jobs of its name have taken the place of what it left */
    uint64_t submit_us;
    uint64_t start_us; /* first placement; 0: never placed */
    uint64_t end_us;   /* 0: not ended */
    uint32_t units;    /* = waiting + running + stopping + completed + failed + stopped */
    uint32_t target;   /* that are to be completed: units, until RESIZE */
    bool paused;       /* until RESUME; never of a job that is stopping or ended */
    uint32_t units_in[JOBS_UNIT_STATE_COUNT];
    uint32_t event_next; /* sequence number of the next history event */
    uint32_t fail_unit;  /* the unit that failed for good, when cause is FAILED */
    enum sh_err fail_reason;
    char fail_text[JOBS_TEXT_MAX + 1];
    uint32_t blob_count;
    uint8_t blobs[JOBS_BLOBS_MAX][SH_DIGEST_BYTES];
    struct jobs_about about;
    uint64_t deadline_us; /* cluster time; 0: none */
    char dataset[SH_NAME_MAX + 1];
    uint32_t stage_count; /* 0: no sweep */
    struct jobs_stage stages[JOBS_STAGES_MAX];
};

/* What a unit of a sweep waits for. */
struct jobs_wait {
    uint32_t first; /* unit of the stage before its own */
    uint32_t units; /* of that stage; 0: it waits for none */
    uint32_t open;  /* of those; 0: it waits no longer */
};

struct jobs_checkpoint {
    struct wire_fence fence;
    uint64_t step;
    uint64_t index; /* of its entry; the newest has the largest */
    uint64_t stamp_us;
    uint8_t manifest[SH_DIGEST_BYTES];
    uint32_t holder_count;
    uint8_t holders[JOBS_HOLDERS_MAX][SH_NODE_ID_BYTES];
};

/* A running unit was asked to leave a checkpoint and wait again. */
struct jobs_yield {
    enum wire_cause cause; /* why it waits then: PAUSED or PREEMPTED; NONE: it was not asked */
    uint64_t until_us;     /* in the cluster's time: nobody waits for it any longer */
};

struct jobs_unit {
    struct wire_unit id;
    enum jobs_state state;
    /* The latest gang. It is in force while the state is RUNNING or STOPPING; in other states its
     * fence still is what the next PLACE must name as previous. */
    struct wire_placement placement;
    uint64_t placed_us; /* stamp of the latest PLACE */
    uint64_t since_us;  /* of the present state */
    uint32_t placements;
    uint32_t failures;
    uint32_t checkpoints;     /* kept */
    uint64_t checkpoint_step; /* of the newest; 0 when none */
    enum sh_err fail_reason;  /* of the last FAIL */
    bool committed;           /* outcome is set; at most once in a unit's life */
    bool partial;
    struct jobs_outcome outcome;
    uint32_t model_version; /* 0: it made no model */
    struct jobs_yield yield;
};

struct jobs_event {
    uint32_t seq;  /* from 0, per job */
    uint32_t unit; /* or JOBS_EVENT_ALL_UNITS: submitted, asked to stop */
    uint32_t more; /* units beside it, which it is about as well */
    uint64_t stamp_us;
    uint64_t index; /* of the log entry */
    enum wire_cause cause;
    enum jobs_state unit_state; /* after it; the job's own when it concerns all units */
    enum jobs_state job_state;
    enum sh_err reason; /* of a failure, else OK */
    char text[JOBS_TEXT_MAX + 1];
    uint32_t node_count; /* members of the gang it is about */
    uint8_t nodes[WIRE_MEMBERS_MAX][SH_NODE_ID_BYTES];
};

/* What one entry changed about a job: its history event, and the counts of its units then. */
struct jobs_change {
    uint64_t index; /* of the log entry: the revision. At most one change an entry */
    uint64_t job;
    uint32_t seq;  /* of the event */
    uint32_t unit; /* or JOBS_EVENT_ALL_UNITS */
    uint32_t more; /* units beside it */
    uint64_t stamp_us;
    enum wire_cause cause;
    enum jobs_state unit_state;
    enum jobs_state job_state;
    enum sh_err reason;
    uint32_t units_in[JOBS_UNIT_STATE_COUNT];
};

struct jobs_model {
    char name[SH_NAME_MAX + 1];
    uint32_t version;      /* from 1, per name */
    struct wire_unit unit; /* lineage: what made it */
    uint8_t spec_digest[SH_DIGEST_BYTES];
    uint8_t class[WIRE_CLASS_BYTES];
    bool reproducible; /* the same job file gives the same bytes again */
    bool mixed;
    bool partial; /* stopped on request: what there was after outcome.steps */
    uint64_t created_us;
    char parent[SH_NAME_MAX + 1]; /* lineage: the model whose weights it began with; "": none */
    uint32_t parent_version;
    struct jobs_outcome outcome;
    uint32_t holder_count;
    uint8_t holders[JOBS_HOLDERS_MAX][SH_NODE_ID_BYTES];
};

/* What a version of a model was found to be worth on some data; the newest figures count. */
struct jobs_evaluation {
    char data[SH_NAME_MAX + 1];
    uint8_t digest[SH_DIGEST_BYTES]; /* of the data */
    struct wire_unit unit;           /* that measured it */
    uint64_t created_us;
    struct jobs_figures figures;
};

struct jobs_dataset {
    char name[SH_NAME_MAX + 1];
    uint8_t digest[SH_DIGEST_BYTES];
    uint32_t holders; /* agents that declared it: files of theirs; 0: a job made it */
    uint64_t created_us;
    char summary[JOBS_SUMMARY_MAX + 1]; /* of the newest declaration */
    /* Where a job made it: digest is that of a blob, a file set that any agent can fetch. */
    struct wire_unit unit; /* job 0: it was declared */
    uint32_t blob_holder_count;
    uint8_t blob_holders[JOBS_HOLDERS_MAX][SH_NODE_ID_BYTES];
};

struct jobs_dataset_holder {
    uint8_t node[SH_NODE_ID_BYTES];
    uint64_t added_us;
    char path[JOBS_PATH_MAX + 1];
};

struct jobs_session {
    uint64_t id; /* index of the entry that opened it */
    uint8_t node[SH_NODE_ID_BYTES];
    uint64_t life;
    uint64_t
        used_us; /* cluster time of a command of it, at most JOBS_SESSION_US / 8 before the last */
};

struct jobs_counts {
    uint64_t applied;      /* index */
    uint64_t applied_term; /* of that entry */
    uint64_t stamp_us;
    uint64_t digest;
    uint64_t handle_last; /* newest handle given out; never one twice */
    uint32_t nodes;
    uint32_t jobs;
    uint32_t jobs_in[JOBS_STATE_COUNT];
    uint32_t open_units;
    uint32_t models;
    uint32_t datasets;
    uint32_t sessions;
    uint32_t settings; /* that are set */
    uint32_t owners;   /* whose usage is kept */
    uint64_t reopened; /* index of the newest entry that opened a job that had ended; 0: none */
};

struct jobs_owner {   /* what jobs of an owner used of late: half of it counts after 24 hours */
    uint64_t core_ms; /* cores of members, a GPU as 16 of them, times milliseconds; as of at_us */
    uint64_t at_us;
};

/* Where the jobs begin that have work. All zero: it is not known. */
struct jobs_open_mark {
    uint64_t from;     /* the first job with a unit that has not ended, or an earlier one */
    uint64_t reopened; /* what counts.reopened was then */
};

SH_MUST_USE enum sh_err jobs_counts_get(const struct sh_table *t, struct jobs_counts *out);

SH_MUST_USE enum sh_err jobs_node_get(const struct sh_table *t,
                                      const uint8_t id[static SH_NODE_ID_BYTES],
                                      struct jobs_node *out);
SH_MUST_USE enum sh_err jobs_node_by_name(const struct sh_table *t, const char *name,
                                          struct jobs_node *out);
SH_MUST_USE enum sh_err jobs_node_by_handle(const struct sh_table *t, uint64_t handle,
                                            struct jobs_node *out);
/* By id, ascending, after an id (NULL: from the first). */
SH_MUST_USE enum sh_err jobs_node_list(const struct sh_table *t, const uint8_t *after,
                                       struct jobs_node *out, uint32_t max, uint32_t *count);

SH_MUST_USE enum sh_err jobs_job_get(const struct sh_table *t, uint64_t job, struct jobs_job *out);
/* The row of a job as SUBMIT makes it, for who has the command and its result: id and stamp_us of
 * that. */
void jobs_job_begin(const struct jobs_submit *submit, uint64_t id, uint64_t stamp_us,
                    struct jobs_job *out);
/* The job submitted under an idempotency key. */
SH_MUST_USE enum sh_err jobs_job_by_key(const struct sh_table *t, const char *key,
                                        struct jobs_job *out);
/* The newest job of that name. */
SH_MUST_USE enum sh_err jobs_job_by_name(const struct sh_table *t, const char *name,
                                         struct jobs_job *out);
/* Newest first, ids below *before (0: from the newest), of the states in the bit set (SH_FSM_BIT;
 * 0: all). *before becomes the cursor of the next page, 0 at the end; a page may be short of max
 * without being the last (JOBS_SCAN_MAX rows are looked at). */
SH_MUST_USE enum sh_err jobs_job_list(const struct sh_table *t, uint64_t *before, uint32_t states,
                                      struct jobs_job *out, uint32_t max, uint32_t *count);
SH_MUST_USE enum sh_err jobs_session_get(const struct sh_table *t, uint64_t session,
                                         struct jobs_session *out);
/* The canonical spec; borrowed until the next call on the table. */
SH_MUST_USE enum sh_err jobs_spec_get(const struct sh_table *t, uint64_t job, struct sh_span *out);

SH_MUST_USE enum sh_err jobs_unit_get(const struct sh_table *t, struct wire_unit id,
                                      struct jobs_unit *out);
/* The gang in force: NOT_FOUND unless the unit is running or stopping. */
SH_MUST_USE enum sh_err jobs_placement_get(const struct sh_table *t, struct wire_unit id,
                                           struct wire_placement *out);
/* Units of one job from number `from`, ascending. */
SH_MUST_USE enum sh_err jobs_unit_list(const struct sh_table *t, uint64_t job, uint32_t from,
                                       struct jobs_unit *out, uint32_t max, uint32_t *count);
/* The stage that a unit belongs to, and the units of it; job->stage_count > 0. */
uint32_t jobs_stage_of(const struct jobs_job *job, uint32_t unit);
uint32_t jobs_stage_units(const struct jobs_job *job, uint32_t stage);
/* Units of a stage that have not ended. O(those log n). */
uint32_t jobs_stage_open(const struct sh_table *t, const struct jobs_job *job, uint32_t stage);
struct jobs_wait jobs_stage_wait(const struct sh_table *t, const struct jobs_job *job,
                                 uint32_t unit);
/* Units that wait, and units that have a gang (running or stopping), over all jobs, by (job, unit),
 * after *after ({0, 0}: from the first). What planner and agents walk. */
SH_MUST_USE enum sh_err jobs_waiting_list(const struct sh_table *t, struct wire_unit after,
                                          struct jobs_unit *out, uint32_t max, uint32_t *count);
SH_MUST_USE enum sh_err jobs_gang_list(const struct sh_table *t, struct wire_unit after,
                                       struct jobs_unit *out, uint32_t max, uint32_t *count);
/* Brings mark up to date and gives mark->from: who keeps it need not look at earlier jobs, whose
 * rows of the lists are deleted, but slow to step over until the store has merged them away. */
uint64_t jobs_open_from(const struct sh_table *t, struct jobs_open_mark *mark);
/* Kept checkpoints, newest first; the holders of the newest may be gone, so try the next. */
SH_MUST_USE enum sh_err jobs_checkpoint_list(const struct sh_table *t, struct wire_unit id,
                                             struct jobs_checkpoint *out, uint32_t max,
                                             uint32_t *count);
/* Events of a job with seq >= from, oldest first. */
SH_MUST_USE enum sh_err jobs_history_list(const struct sh_table *t, uint64_t job, uint32_t from,
                                          struct jobs_event *out, uint32_t max, uint32_t *count);
/* The same of a job whose row was read already. */
SH_MUST_USE enum sh_err jobs_history_of(const struct sh_table *t, const struct jobs_job *job,
                                        uint32_t from, struct jobs_event *out, uint32_t max,
                                        uint32_t *count);

/* Where an open unit failed, and when it may be tried again. NOT_FOUND: it never failed. */
SH_MUST_USE enum sh_err jobs_trouble_get(const struct sh_table *t, struct wire_unit id,
                                         struct jobs_trouble *out);
/* NOT_FOUND: nothing speaks against the agent. */
SH_MUST_USE enum sh_err jobs_health_get(const struct sh_table *t,
                                        const uint8_t id[static SH_NODE_ID_BYTES],
                                        struct jobs_health *out);

/* As of now. An owner who used nothing has zeros. CORRUPT. */
SH_MUST_USE enum sh_err jobs_owner_get(const struct sh_table *t, const char *owner, uint64_t now_us,
                                       struct jobs_owner *out);

/* Changes of jobs by entries after index `after`, ascending, over all jobs. Whoever lists jobs in a
 * table of applied index A and goes on with the changes after A misses none and sees none twice, on
 * any replica. GONE: some of them are older than JOBS_WATCH_MAX entries and were forgotten. */
SH_MUST_USE enum sh_err jobs_change_list(const struct sh_table *t, uint64_t after,
                                         struct jobs_change *out, uint32_t max, uint32_t *count);

/* Calls fn for every blob that a row names, some more than once, and for digests of some results
 * that are no blobs: what unfinished jobs need, what jobs whose results are kept left, checkpoints,
 * models, data sets that jobs made. O(rows). */
typedef void (*jobs_blob_fn)(void *ctx, const uint8_t digest[static SH_DIGEST_BYTES]);
SH_MUST_USE enum sh_err jobs_blobs_named(const struct sh_table *t, jobs_blob_fn fn, void *ctx);

/* version 0: the newest that there is. */
SH_MUST_USE enum sh_err jobs_model_get(const struct sh_table *t, const char *name, uint32_t version,
                                       struct jobs_model *out);
/* By (name, version), ascending, after that pair ("" and 0: from the first). */
SH_MUST_USE enum sh_err jobs_model_list(const struct sh_table *t, const char *after_name,
                                        uint32_t after_version, struct jobs_model *out,
                                        uint32_t max, uint32_t *count);

/* Evaluations of one version, by digest of the data; there are at most JOBS_EVALUATIONS_MAX. */
SH_MUST_USE enum sh_err jobs_evaluation_list(const struct sh_table *t, const char *name,
                                             uint32_t version, struct jobs_evaluation *out,
                                             uint32_t max, uint32_t *count);

/* The open job whose deadline comes first. NOT_FOUND: none has one. */
SH_MUST_USE enum sh_err jobs_deadline_first(const struct sh_table *t, uint64_t *job,
                                            uint64_t *deadline_us);

SH_MUST_USE enum sh_err jobs_dataset_get(const struct sh_table *t, const char *name,
                                         struct jobs_dataset *out);
/* By name, ascending, after a name ("": from the first). */
SH_MUST_USE enum sh_err jobs_dataset_list(const struct sh_table *t, const char *after,
                                          struct jobs_dataset *out, uint32_t max, uint32_t *count);
/* NOT_FOUND: that agent does not hold it. */
SH_MUST_USE enum sh_err jobs_dataset_holder_get(const struct sh_table *t, const char *name,
                                                const uint8_t node[static SH_NODE_ID_BYTES],
                                                struct jobs_dataset_holder *out);
SH_MUST_USE enum sh_err jobs_dataset_holder_list(const struct sh_table *t, const char *name,
                                                 const uint8_t *after,
                                                 struct jobs_dataset_holder *out, uint32_t max,
                                                 uint32_t *count);

#endif
