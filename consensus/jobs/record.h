/* SPDX-License-Identifier: Apache-2.0
 *
 * What the rows of the jobs core say, each read with a function of view.h. */
#ifndef SH_JOBS_RECORD_H
#define SH_JOBS_RECORD_H

#include "jobs/cmd.h"
#include "jobs/health.h"
#include "jobs/state.h"

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
    /* Thousandths (progress.c): what is told, and the sum of those of its units. */
    uint16_t progress;
    uint32_t progress_sum;
    bool paused; /* until RESUME; never of a job that is stopping or ended */
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
    bool federated;
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
    uint64_t cost_us; /* as of CHECKPOINT */
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
    uint16_t progress; /* thousandths that a gang has come at the furthest */
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
    uint8_t digest[SH_DIGEST_BYTES]; /* zero: it is local */
    bool local;                      /* each holder has its own part, which stays there */
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
    uint8_t digest[SH_DIGEST_BYTES]; /* of what it holds */
    char summary[JOBS_SUMMARY_MAX + 1];
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

#endif
