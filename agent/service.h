/* SPDX-License-Identifier: Apache-2.0
 *
 * What an edge (HTTP API) or a training session may ask of the running agent. agent/loop implements
 * it; tests implement it over in-memory tables.
 *
 * Rules for all calls: any thread but the loop's own; synchronous with a deadline in microseconds;
 * on TIMEOUT the outcome is unknown and the call may be repeated where it is idempotent. Pointers
 * given to a call are borrowed until it returns. */
#ifndef AGENT_SERVICE_H
#define AGENT_SERVICE_H

#include "base/bytes.h"
#include "base/limits.h"
#include "base/table.h"
#include "jobs/jobs.h"
#include "wire/node.h"

struct service;      /* the agent as seen from here */
struct service_view; /* one consistent state of the replicated tables */

enum service_role { SERVICE_FOLLOWER, SERVICE_LEARNER, SERVICE_CANDIDATE, SERVICE_LEADER };
enum service_liveness { SERVICE_ALIVE, SERVICE_SUSPECT, SERVICE_DEAD, SERVICE_LEFT };

struct service_status {
    uint8_t cluster_id[SH_CLUSTER_ID_BYTES];
    uint8_t node_id[SH_NODE_ID_BYTES];
    char name[SH_NAME_MAX + 1];
    enum service_role role;
    uint64_t raft_handle; /* 0: not admitted yet */
    uint64_t term;
    bool leader_known;
    uint8_t leader_id[SH_NODE_ID_BYTES];
    uint64_t commit_index;
    uint64_t applied_index;
    uint64_t state_digest;  /* of the tables at applied_index */
    uint64_t leaderless_us; /* length of the newest gap without a known leader, 0: none yet */
    uint64_t election_us;   /* silence that makes this agent look for another leader, at present */
    uint64_t silence_us;    /* longest between two messages of one leader, 0: none yet */
    uint64_t log_first;     /* oldest entry of the log that is kept; last + 1: none */
    uint64_t log_last;
    uint64_t snapshots;     /* installed since the start */
    uint64_t fetched_bytes; /* of blobs, from other agents since the start */
    uint64_t uptime_us;
};

struct service_member {
    struct wire_node node; /* identity, addresses, inventory as last gossiped */
    enum service_liveness liveness;
    bool voter;
    bool one_way;        /* heard from, but not reachable, or the reverse */
    uint32_t rtt_us;     /* from here to it, as gossip measures it: a typical one of late, */
    uint32_t rtt_p99_us; /* and what is hardly ever exceeded; 0: not known */
};

void service_status(struct service *s, struct service_status *out);
/* Known members, dead ones included, sorted by node id; returns how many were written. */
size_t service_members(struct service *s, struct service_member *out, size_t capacity);

/* Replicates one encoded jobs command through the coordinator, wherever it is, and waits until this
 * agent has applied it too, so that the caller reads its own write. The command must be idempotent
 * (an idempotency key, a fence): it is sent again when the coordinator changes.
 * NO_QUORUM: no coordinator within the deadline. Other codes are those of the command. */
SH_MUST_USE enum sh_err service_propose(struct service *s, const void *command, size_t size,
                                        uint64_t timeout_us, struct jobs_result *out);
/* The same without waiting. fn is called once, from any thread and perhaps before this returns, and
 * must not wait; result is NULL where the command was not applied. command is borrowed until then.
 * Does not fail with what fn would be told; FULL, INVALID, NO_MEMORY, CANCELLED: fn is not called.
 */
typedef void (*service_proposed_fn)(void *ctx, enum sh_err err, const struct jobs_result *result);
SH_MUST_USE enum sh_err service_propose_begin(struct service *s, const void *command, size_t size,
                                              uint64_t timeout_us, service_proposed_fn fn,
                                              void *ctx);

/* Waits until the tables here show all that was committed, wherever, before this call: a view that
 * is opened then is linearizable. Many that wait share one round of messages. NO_QUORUM: no
 * coordinator within the deadline; TIMEOUT: there is one, but this agent lags too far behind. */
SH_MUST_USE enum sh_err service_read(struct service *s, uint64_t timeout_us);
/* How long ago tables at this applied index were known to lack nothing; UINT64_MAX: never since
 * this agent started. Does not wait. */
uint64_t service_age_us(struct service *s, uint64_t applied);

/* A read-only view of the tables as applied here; local, so it works without a quorum. Close it
 * soon: it pins a store snapshot. */
SH_MUST_USE enum sh_err service_view_open(struct service *s, struct service_view **out);
const struct sh_table *service_view_table(const struct service_view *view);
uint64_t service_view_index(const struct service_view *view); /* newest entry that it shows */
void service_view_close(struct service_view *view);
/* Waits until something was applied after index; returns the applied index (unchanged on timeout,
 * and once the agent is ending). */
uint64_t service_wait_applied(struct service *s, uint64_t index, uint64_t timeout_us);
/* True once the agent is ending: whatever takes long is to be given up, CANCELLED. */
bool service_is_stopping(struct service *s);

/* Why a unit is where it is, from the coordinator's newest placement pass, as UTF-8 lines. */
SH_MUST_USE enum sh_err service_why(struct service *s, uint64_t job, char *out, size_t size,
                                    uint64_t timeout_us);

/* Tells the coordinator that a member of a running gang lost another one (or, with its own id, that
 * it has no session of this gang, for example after a restart). A hint for the next placement. */
SH_MUST_USE enum sh_err service_report_lost(struct service *s, struct wire_unit unit,
                                            struct wire_fence fence,
                                            const uint8_t lost[SH_NODE_ID_BYTES],
                                            uint64_t timeout_us);

/* One question to one agent (this one too): the handler registered for that kind runs there on a
 * service thread. A reply is at most SH_CONTROL_BYTES_MAX / 2 bytes. */
typedef enum sh_err (*service_call_fn)(void *ctx, struct sh_span request, uint8_t *reply,
                                       size_t capacity, size_t *reply_size);
enum service_call_kind {
    SERVICE_CALL_SERIES = 1,
    SERVICE_CALL_LOGS = 2,
    SERVICE_CALL_DATASET = 3,
    SERVICE_CALL_BLOB = 4,     /* agent/blobs: does it hold, read a chunk, pull from me */
    SERVICE_CALL_WHY = 6,      /* agent/planner */
    SERVICE_CALL_LOST = 7,     /* agent/planner */
    SERVICE_CALL_SNAPSHOT = 8, /* agent/snapshots */
    SERVICE_CALL_SCRIPT = 9,   /* agent/script */
    SERVICE_CALL_ROUNDS = 10,  /* agent/rounds */
    SERVICE_CALL_COLLECT = 11, /* agent/housekeeping */
    SERVICE_CALL_BROWSE = 12,  /* agent/api */
    SERVICE_CALL_KIND_COUNT = 16
};
void service_on_call(struct service *s, enum service_call_kind kind, service_call_fn fn, void *ctx);
SH_MUST_USE enum sh_err service_call(struct service *s, const uint8_t node[SH_NODE_ID_BYTES],
                                     enum service_call_kind kind, const void *request, size_t size,
                                     uint8_t *reply, size_t capacity, size_t *reply_size,
                                     uint64_t timeout_us);

#define SERVICE_UPLOAD_COPIES 2u /* agents that have an upload when it is acknowledged */

struct service_holders { /* agents that have a blob durable, the one that was asked first */
    uint32_t count;
    uint8_t ids[JOBS_HOLDERS_MAX][SH_NODE_ID_BYTES];
};
/* Blobs. put returns when copies agents (or all live ones, if fewer) have it durable; holders,
 * which may be NULL, tells who, as far as there is room. fetch makes it local, from any holder,
 * verified; NOT_FOUND when no live agent has it. read needs it local. */
SH_MUST_USE enum sh_err service_blob_put(struct service *s, const void *bytes, size_t size,
                                         unsigned copies, uint8_t digest[SH_DIGEST_BYTES],
                                         struct service_holders *holders, uint64_t timeout_us);
/* How long an agent that can wait goes on with a blob on its way: as long as it comes on. */
struct service_patience {
    uint64_t quiet_us;          /* since the last byte that arrived, or the beginning: TIMEOUT */
    bool (*is_over)(void *ctx); /* NULL: never. True: nobody wants it any more, CANCELLED */
    void *ctx;
};
SH_MUST_USE enum sh_err service_blob_put_patient(struct service *s, const void *bytes, size_t size,
                                                 unsigned copies, uint8_t digest[SH_DIGEST_BYTES],
                                                 struct service_holders *holders,
                                                 const struct service_patience *patience);
SH_MUST_USE enum sh_err service_blob_fetch_patient(struct service *s,
                                                   const uint8_t digest[SH_DIGEST_BYTES],
                                                   uint64_t *size,
                                                   const struct service_patience *patience);
/* What a person uploads, to name it in a job file later: kept for a day or as long as this agent is
 * told, named or not. What put keeps has to be named in a command within minutes. */
SH_MUST_USE enum sh_err service_blob_upload(struct service *s, const void *bytes, size_t size,
                                            uint8_t digest[SH_DIGEST_BYTES], uint64_t timeout_us);
/* Which live agents hold it now, this one included. */
SH_MUST_USE enum sh_err service_blob_holders(struct service *s,
                                             const uint8_t digest[SH_DIGEST_BYTES],
                                             struct service_holders *out, uint64_t timeout_us);
SH_MUST_USE enum sh_err service_blob_fetch(struct service *s, const uint8_t digest[SH_DIGEST_BYTES],
                                           uint64_t *size, uint64_t timeout_us);
SH_MUST_USE enum sh_err service_blob_read(struct service *s, const uint8_t digest[SH_DIGEST_BYTES],
                                          uint64_t offset, void *out, size_t capacity,
                                          size_t *read_size);

/* What an agent holds, and what of it nothing needs. */
struct service_garbage {
    uint64_t at_us; /* wall clock of that pass; 0: there was none yet */
    uint64_t blobs; /* all that it held */
    uint64_t bytes;
    uint64_t loose_blobs; /* that nothing names: collected, or to be collected */
    uint64_t loose_bytes;
    uint64_t leased_blobs; /* that nothing names yet: too young to be collected */
    uint64_t leased_bytes;
    uint64_t partials; /* halves of uploads that were dropped */
    uint64_t jobs;     /* whose series and log lines went, or are to go */
};
/* An agent (this one too) looks for garbage, and with go deletes it. */
SH_MUST_USE enum sh_err service_collect(struct service *s, const uint8_t node[SH_NODE_ID_BYTES],
                                        bool go, struct service_garbage *out, uint64_t timeout_us);
/* Of this agent's last pass. Does not wait. */
void service_garbage_last(struct service *s, struct service_garbage *out);

/* Series and logs written by this agent's own work; replicated to two others every 500 ms. */
struct service_point {
    uint64_t step;
    uint64_t wall_us;
    double value;
};
struct service_measure { /* one point and the series it belongs to */
    const char *name;    /* borrowed */
    struct service_point point;
};
void service_series_append(struct service *s, uint64_t job, const struct service_measure *measures,
                           size_t count);
/* What a job says, line by line. */
#define SERVICE_LINE_BYTES 1024u /* with the NUL; whoever writes goes on in another line */
#define SERVICE_LINE_ALL   UINT32_MAX
struct service_log_line {
    uint64_t sequence; /* grows per job; unique together with the writing node */
    uint64_t wall_us;
    uint64_t generation; /* of the gang that wrote it; 0: none did */
    uint32_t unit;       /* SERVICE_LINE_ALL: about all units */
    uint16_t member;     /* of the gang */
    bool own;            /* the agent's words, not the output of the job's commands */
    char text[SERVICE_LINE_BYTES];
};
/* sequence and wall_us are set: the sequence of a line is at least the writer's wall clock in
 * microseconds times this. One write, however many lines. */
#define SERVICE_SEQUENCE_STEP 64u
void service_log_append(struct service *s, uint64_t job, const struct service_log_line *lines,
                        size_t count);
/* Waits until what this agent wrote of series and logs before is with the agents that get copies,
 * as far as they answer. FULL, TIMEOUT, CANCELLED: perhaps not all of it. */
SH_MUST_USE enum sh_err service_records_settle(struct service *s, uint64_t timeout_us);
/* Points with step >= from in step order, merged from the agents that hold some. */
SH_MUST_USE enum sh_err service_series_read(struct service *s, uint64_t job, const char *name,
                                            uint64_t from, struct service_point *out,
                                            size_t capacity, size_t *count, uint64_t timeout_us);
/* The newest point of each of these series: the one with the largest step, of equal ones the one
 * written last. O(log n) and one question to each agent. */
#define SERVICE_NEWEST_MAX 16u /* names; CHECKed */
struct service_newest {
    bool known; /* false: nobody who answered has a point of it */
    struct service_point point;
};
SH_MUST_USE enum sh_err service_series_newest(struct service *s, uint64_t job,
                                              const char *const *names, size_t count,
                                              struct service_newest *out, uint64_t timeout_us);
/* Lines with from <= sequence < before in their order, merged from the agents that hold some: the
 * first ones, or with newest the last ones that fit. */
struct service_log_want {
    uint64_t from;
    uint64_t before; /* UINT64_MAX: no end */
    bool newest;
    uint32_t unit;       /* SERVICE_LINE_ALL: of all units */
    uint64_t generation; /* 0: of all */
};
SH_MUST_USE enum sh_err service_log_read(struct service *s, uint64_t job,
                                         const struct service_log_want *want,
                                         struct service_log_line *out, size_t capacity,
                                         size_t *count, uint64_t timeout_us);
/* Names of the series that a job has, sorted; those beyond capacity are left out. */
struct service_series_name {
    char text[SH_NAME_MAX + 1];
};
SH_MUST_USE enum sh_err service_series_names(struct service *s, uint64_t job,
                                             struct service_series_name *out, size_t capacity,
                                             size_t *count, uint64_t timeout_us);

/* Everything this agent holds (tables, log, blobs, series) into a new directory of its machine, as
 * of one moment during the call. dir is absolute, absent or empty, below a directory that exists.
 * why (size bytes) gets one line on failure. EXISTS, NOT_FOUND, DENIED, NO_SPACE, INVALID, IO. */
struct service_backup {
    uint64_t index; /* what it contains at least */
    uint64_t bytes; /* of its files */
};
SH_MUST_USE enum sh_err service_backup(struct service *s, const char *dir,
                                       struct service_backup *out, char *why, size_t size);

/* A path, never given before, that folders for files in passing may begin with; whoever makes them
 * removes them, and those of an earlier run go when the agent starts. LIMIT. */
SH_MUST_USE enum sh_err service_scratch(struct service *s, char *path, size_t size);
/* Path of a data set that this agent has declared; NOT_FOUND. */
SH_MUST_USE enum sh_err service_dataset_path(struct service *s, const char *name, char *path,
                                             size_t size);

#endif
