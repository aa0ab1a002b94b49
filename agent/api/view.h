/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to agent/api: JSON of the replicated tables' rows, one shape per entity wherever it shows
 * up. Times are microseconds since 1970 ("_us"), ids and digests lower-case hexadecimal. */
#ifndef API_VIEW_H
#define API_VIEW_H

#include "api/exchange.h"

#include "jobs/view.h"

/* The tables with everything that was committed before the request, or an error reply and false.
 * With ?stale=1 the tables as they are here, quorum or not, and the reply says how old they may be.
 * Close it with service_view_close, soon. */
bool api_open_view(const struct api_request *request, struct api_reply *reply,
                   struct service_view **view);
/* The tables as they are here: for what an agent says about itself, and after what it has written
 * or read already. */
bool api_open_here(const struct api_request *request, struct api_reply *reply,
                   struct service_view **view);

/* Finds the job that params[0] names: a number, or the newest job of that name. Else an error reply
 * and false. */
bool api_find_job(const struct api_request *request, struct api_reply *reply,
                  const struct sh_table *t, struct jobs_job *job);

/* As POST /jobs with this job file, for that owner. */
void api_submit_text(const struct api_request *request, struct api_reply *reply, const char *text,
                     const char *owner);
/* The same as of a view that is opened and closed for it. */
bool api_read_job(const struct api_request *request, struct api_reply *reply, struct jobs_job *job);

const char *api_kind_text(enum wire_kind kind);
#define API_ROW_BYTES 4096u
/* One line of `shoal ps`: the bytes of a JSON object; what a submission answers says whether it is
 * a duplicate. 0: no memory. */
size_t api_job_print(const struct jobs_job *job, const bool *duplicate,
                     char out[static API_ROW_BYTES]);
/* The same as a tree. */
json_t *api_job_json(const struct jobs_job *job);
json_t *api_unit_json(const struct sh_table *t, const struct jobs_unit *unit);

/* Units of a job that one answer tells of. */
#define API_UNITS_MAX 256u
struct api_units_page {
    uint32_t from;
    uint32_t count;
};
/* What from and limit of the query ask for; false with the reply made. */
SH_MUST_USE bool api_units_page(const struct api_request *request, struct api_reply *reply,
                                const struct jobs_job *job, struct api_units_page *out);
/* next: the from of the page behind this one, 0 where this is the last; left_off: units behind it.
 */
void api_put_page(json_t *out, const struct jobs_job *job, const struct api_units_page *page);
json_t *api_event_json(const struct sh_table *t, const struct jobs_event *event);
/* What there is of a job's history, oldest first. */
json_t *api_history_json(const struct sh_table *t, const struct jobs_job *job);
json_t *api_model_json(const struct sh_table *t, const struct jobs_model *model);
/* The best unit of a sweep; UINT32_MAX: the job is none, or none of its units has a score. */
uint32_t api_sweep_best(const struct sh_table *t, uint64_t job);
/* Figures by name; null where one has no value. */
json_t *api_figures_json(const struct jobs_figures *figures);
/* Evaluations of one version. */
json_t *api_evaluations_json(const struct sh_table *t, const struct jobs_model *model);
/* {id, name}: of an agent that was admitted, or the id alone. */
json_t *api_node_ref(const struct sh_table *t, const uint8_t id[static SH_NODE_ID_BYTES]);

/* Where a training job stands, from the newest points of its series. */
struct api_progress {
    bool known;
    uint64_t step;
    double loss;
    double accuracy;
    double epoch;
    double samples_per_s;
    double val_loss; /* like those above and below NaN where there is none yet */
    double val_accuracy;
};

/* Asks every agent once; gives up after API_SERIES_TIMEOUT_US. */
void api_progress_read(struct service *s, uint64_t job, struct api_progress *out);
json_t *api_progress_json(const struct api_progress *progress);

#define API_SERIES_TIMEOUT_US UINT64_C(2000000)

/* Figures of a pass of the collector. */
json_t *api_garbage_json(const struct service_garbage *garbage);

json_t *api_line_json(const struct service_log_line *line);

#define API_SCRATCH_BYTES    4096u
#define API_FETCH_TIMEOUT_US UINT64_C(60000000) /* for a blob to come from another agent */
/* Makes a blob local and tells its size; false with the reply made, about this field and value. */
bool api_fetch_blob(const struct api_request *request, struct api_reply *reply, const char *field,
                    const char *value, const uint8_t digest[static SH_DIGEST_BYTES],
                    uint64_t *size);
/* The same, and all of its bytes, given (free); NULL with the reply made. */
uint8_t *api_read_blob(const struct api_request *request, struct api_reply *reply,
                       const char *field, const char *value,
                       const uint8_t digest[static SH_DIGEST_BYTES], uint64_t *size);
/* 200 with the bytes of a blob that is local. */
void api_reply_blob(const struct api_request *request, struct api_reply *reply,
                    const uint8_t digest[static SH_DIGEST_BYTES], uint64_t size);

/* All series of a job: one row a step, one column a series. text is given (free). NO_MEMORY, and
 * what service_series_read answers. */
SH_MUST_USE enum sh_err api_series_csv(struct service *s, uint64_t job, char **text, size_t *size);
/* Names of the series a job has: those of metrics.h in their order, then the others by name.
 * NO_MEMORY, and what service_series_names answers. */
#define API_SERIES_MAX 256u
SH_MUST_USE enum sh_err api_series_names(struct service *s, uint64_t job,
                                         struct service_series_name out[static API_SERIES_MAX],
                                         size_t *count);

#endif
