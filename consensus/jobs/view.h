/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading the tables of the jobs core. Every function is pure over a struct sh_table, needs no
 * core, and may run on a snapshot in any thread. Views are copies. NOT_FOUND: no such row. CORRUPT:
 * a row that does not decode (the host should treat it like a failed disk). Lists fill out[0 ..
 * *count) with count at most max; they cost O(max log n) unless said otherwise. */
#ifndef SH_JOBS_VIEW_H
#define SH_JOBS_VIEW_H

#include "base/table.h"
#include "jobs/record.h"

#define JOBS_SCAN_MAX 4096u /* rows one filtered page looks at */

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
