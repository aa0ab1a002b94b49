/* SPDX-License-Identifier: Apache-2.0
 *
 * The commands of the jobs core, as they stand in the log. Byte 0 is the encoding's version, byte 1
 * the type, then u64 each the leader's time stamp, the session and the number. Fields are
 * append-only and excess bytes are ignored; a type, kind or mode that this program does not know
 * answers VERSION, and the host must then stop applying: skipping it would let replicas differ. */
#ifndef SH_JOBS_CMD_H
#define SH_JOBS_CMD_H

#include "jobs/submit.h"

#define JOBS_SESSION_SLOTS 1024u              /* commands of one session under way */
#define JOBS_SETTINGS_MAX  16u                /* settings that one CONFIG_SET changes */
#define JOBS_SETTING_MAX   (SH_NAME_MAX + 8u) /* characters of the key of a setting */
#define JOBS_MANY_MAX      512u               /* units of one PLACE_MANY or COMMIT_MANY */
#define JOBS_CMD_BYTES_MAX (SH_SPEC_BYTES_MAX + 4096u)

enum jobs_cmd_type {
    JOBS_NODE_ADMIT = 1,
    JOBS_NODE_REMOVE = 2,
    JOBS_SUBMIT = 3,
    JOBS_PLACE = 4,
    JOBS_CHECKPOINT = 5,
    JOBS_COMMIT = 6,
    JOBS_FAIL = 7,
    JOBS_EXPIRE = 8,
    JOBS_STOP = 9,
    JOBS_DATASET_ADD = 10,
    JOBS_DATASET_REMOVE = 11,
    JOBS_SESSION_OPEN = 12,
    JOBS_SESSION_KEEP = 13,
    JOBS_RESIZE = 14,
    JOBS_PAUSE = 15,
    JOBS_RESUME = 16,
    JOBS_MODEL_REMOVE = 17,
    JOBS_JOB_REMOVE = 18,
    JOBS_CONFIG_SET = 19,
    JOBS_NODE_MARK = 20,
    JOBS_PLACE_MANY = 21,
    JOBS_COMMIT_MANY = 22,
    JOBS_DEADLINE = 23,
    JOBS_PROGRESS = 24,
    JOBS_CMD_TYPE_COUNT = 25
};

/* Adds an agent, or updates the name and addresses of one that is in; its raft handle stays. A name
 * that another agent has is refused with EXISTS. */
struct jobs_node_admit {
    uint8_t node[SH_NODE_ID_BYTES];
    /* 0: its handle is the index of this entry. The founder of a cluster has a handle before there
     * is a log, and names it: larger than every handle before, at most the index of the entry. */
    uint64_t handle;
    char name[SH_NAME_MAX + 1];
    char addr[SH_ADDR_MAX + 1];
    char api[SH_ADDR_MAX + 1]; /* "" when it has none */
    uint16_t bulk_port;
};

/* Frees its name; admitted again it gets a new handle. Its data sets stay listed. */
struct jobs_node_remove {
    uint8_t node[SH_NODE_ID_BYTES];
};

/* Gives a waiting unit a gang, or a running one a new gang. Applies only where the unit's latest
 * fence is previous ({0, 0} when it never had one); the entry's (term, index) is the new fence. */
struct jobs_place {
    struct wire_unit unit;
    struct wire_fence previous;
    enum wire_cause cause; /* PLACED, MEMBER_*, GROWN or RENEWED; for the history */
    uint8_t class[WIRE_CLASS_BYTES];
    bool mixed; /* members differ in class; refused when the job wants one class */
    uint32_t member_count;
    struct wire_member members[WIRE_MEMBERS_MAX];
};

/* PLACE for units of one job that wait and never had a gang, each on one agent, all or none. They
 * share the fence, and are one event of the job's history. */
struct jobs_place_many {
    uint64_t job;
    uint8_t class[WIRE_CLASS_BYTES]; /* of every agent */
    uint32_t node_count;
    uint8_t nodes[WIRE_MEMBERS_MAX][SH_NODE_ID_BYTES];
    uint32_t count;                /* 1 to JOBS_MANY_MAX */
    uint32_t units[JOBS_MANY_MAX]; /* ascending */
    uint8_t at[JOBS_MANY_MAX];     /* place in nodes */
};

/* COMMIT for running units of one job of kind NOOP, which leave nothing, all or none. */
struct jobs_commit_many {
    uint64_t job;
    struct wire_fence fence; /* of each */
    uint32_t count;
    uint32_t units[JOBS_MANY_MAX]; /* ascending */
};

struct jobs_checkpoint_add {
    struct wire_unit unit;
    struct wire_fence fence;
    uint64_t step;
    uint8_t manifest[SH_DIGEST_BYTES];
    uint32_t holder_count;
    uint8_t holders[JOBS_HOLDERS_MAX][SH_NODE_ID_BYTES];
    uint64_t cost_us; /* measured: a step, and keeping the state; 0: not */
};

/* How far the gang has come with its unit; what is not more than before changes nothing. */
struct jobs_progress {
    struct wire_unit unit;
    struct wire_fence fence;
    uint16_t permille; /* below JOBS_PROGRESS_WHOLE: whole it is by COMMIT */
};

struct jobs_commit {
    struct wire_unit unit;
    struct wire_fence fence;
    bool partial; /* ended early on request; refused while the unit is not stopping */
    struct jobs_outcome outcome;
    uint32_t holder_count;
    uint8_t holders[JOBS_HOLDERS_MAX][SH_NODE_ID_BYTES];
};

struct jobs_fail {
    struct wire_unit unit;
    struct wire_fence fence;
    enum sh_err reason;
    bool final; /* trying again cannot help: retries are not used */
    char text[JOBS_TEXT_MAX + 1];
    uint8_t node[SH_NODE_ID_BYTES]; /* the member where it failed; zero: nobody knows */
};

/* Of a unit that gives way, its first member says with it that all is saved; cause is the one of
 * its yield then. */
struct jobs_expire {
    struct wire_unit unit;
    struct wire_fence fence;
    enum wire_cause cause; /* TOO_FEW_AGENTS or PREEMPTED, for the history */
    /* Not 0: the gang is asked to leave a checkpoint and give way, and keeps the unit until it says
     * that it has, or for so long. Running units only. */
    uint64_t grace_us;
};

struct jobs_stop {
    uint64_t job;
};

/* No unit of the job is placed until RESUME. Running ones are asked to leave a checkpoint and give
 * way within grace_us; 0: they expire at once. */
struct jobs_pause {
    uint64_t job;
    uint64_t grace_us;
};

struct jobs_resume {
    uint64_t job;
};

/* Changes what a job is, as far as that can be. More units are new ones with numbers of their own,
 * and a completed job opens again for them; fewer: waiting units are stopped first, those with the
 * largest numbers first, then running ones are asked to; never less than are committed. */
struct jobs_resize {
    uint64_t job;
    bool has_units;
    uint32_t units; /* that are to be completed; 1 to JOBS_UNITS_MAX */
    bool has_priority;
    uint8_t priority;
};

/* Ends what is open of a job whose deadline has passed; refused before. */
struct jobs_deadline {
    uint64_t job;
};

/* Says that an agent holds a data set. The same name with another digest is refused with EXISTS. */
struct jobs_dataset_add {
    char name[SH_NAME_MAX + 1];
    uint8_t digest[SH_DIGEST_BYTES];
    uint8_t node[SH_NODE_ID_BYTES];
    char path[JOBS_PATH_MAX + 1];
    char summary[JOBS_SUMMARY_MAX + 1]; /* text for people and for job checks, JSON */
    bool local; /* each holder has a part of its own; a name stays what it is */
};

/* The name is free again once no agent holds the set; at once where a job made the set. */
struct jobs_dataset_remove {
    char name[SH_NAME_MAX + 1];
    uint8_t node[SH_NODE_ID_BYTES];
};

/* One version of a model, or with version 0 all of them. Refused with CONFLICT while an unfinished
 * job has the file of one among its blobs; then none goes. A version is never given again. */
struct jobs_model_remove {
    char name[SH_NAME_MAX + 1];
    uint32_t version;
};

/* Forgets a job that has ended: its rows go, with its history, checkpoints and key. Models that it
 * made stay. CONFLICT while it has not ended. */
struct jobs_job_remove {
    uint64_t job;
};

/* A session of an admitted agent; its id is the index of the entry and comes as the result's
 * handle. The same life again gives the same session, another life of the agent ends it. */
struct jobs_session_open {
    uint8_t node[SH_NODE_ID_BYTES];
    uint64_t life; /* random, of one run of the agent */
};

/* Changes settings of the cluster (jobs/config.h), all of them or, with BAD_SETTING, none. */
struct jobs_config_set {
    uint32_t count; /* 1 to JOBS_SETTINGS_MAX */
    struct jobs_config_change {
        char key[JOBS_SETTING_MAX + 1];
        bool unset; /* back to the default */
        uint64_t value;
    } at[JOBS_SETTINGS_MAX];
};

struct jobs_node_mark {
    uint8_t node[SH_NODE_ID_BYTES];
    enum jobs_mark mark;
};

/* SESSION_KEEP has no fields: like every command of a session it says that its holder is there. */

struct jobs_cmd {
    enum jobs_cmd_type type;
    uint64_t stamp_us; /* leader's wall clock; applied as max(previous, stamp) */
    /* 0: none; the command may be applied as often as it stands in the log, so it is idempotent by
     * key, fence or content. Else it is applied once, and its number must not be 0: the slot number
     * % JOBS_SESSION_SLOTS has one command under way, and a larger number than any before it. */
    uint64_t session;
    uint64_t number; /* comes back in the result */
    union {
        struct jobs_node_admit node_admit;
        struct jobs_node_remove node_remove;
        struct jobs_submit submit;
        struct jobs_place place;
        struct jobs_place_many place_many;
        struct jobs_commit_many commit_many;
        struct jobs_checkpoint_add checkpoint;
        struct jobs_progress progress;
        struct jobs_commit commit;
        struct jobs_fail fail;
        struct jobs_expire expire;
        struct jobs_stop stop;
        struct jobs_pause pause;
        struct jobs_resume resume;
        struct jobs_resize resize;
        struct jobs_deadline deadline;
        struct jobs_dataset_add dataset_add;
        struct jobs_dataset_remove dataset_remove;
        struct jobs_session_open session_open;
        struct jobs_config_set config_set;
        struct jobs_node_mark node_mark;
        struct jobs_model_remove model_remove;
        struct jobs_job_remove job_remove;
    } u;
};

/* Appends the command. INVALID: a field breaks the rules above (nothing is written); LIMIT: no room
 * (never with JOBS_CMD_BYTES_MAX). */
SH_MUST_USE enum sh_err jobs_cmd_encode(const struct jobs_cmd *cmd, struct sh_writer *w);
/* VERSION: a type, kind or mode this program does not know; CORRUPT: truncated or damaged; INVALID:
 * a field breaks the rules. Spans of cmd borrow bytes. */
SH_MUST_USE enum sh_err jobs_cmd_decode(const void *bytes, size_t size, struct jobs_cmd *cmd);
/* Adds a placement to those of many: false, and nothing is changed, where it has to go alone (a
 * gang before, several members, another job or class, no room, an earlier unit). *many begins as
 * {0}. */
bool jobs_many_add(struct jobs_place_many *many, const struct jobs_place *place);
/* Writes the stamp into an encoded command: the leader does so just before it proposes what another
 * agent encoded. False when bytes are too short to be a command. */
bool jobs_cmd_stamp(void *bytes, size_t size, uint64_t stamp_us);
/* Writes session and number likewise. */
bool jobs_cmd_sign(void *bytes, size_t size, uint64_t session, uint64_t number);

#endif
