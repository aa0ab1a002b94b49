/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to agent/api: one request and its reply, as routes see them. Routes run on worker threads
 * and may wait in service calls, each of which has a deadline. A route that is `quick` is tried on
 * an HTTP thread first, where it must not wait. */
#ifndef API_EXCHANGE_H
#define API_EXCHANGE_H

#include "api/api.h"
#include "spec/json.h"
#include "spec/spec.h"

#define API_PARAMS_MAX      2u   /* {words} of one pattern */
#define API_PARAM_BYTES_MAX 191u /* of one of them, percent-decoded */

struct api_request {
    struct service *service;
    struct api *api;
    const void *connection; /* of the HTTP library */
    char params[API_PARAMS_MAX][API_PARAM_BYTES_MAX + 1];
    const uint8_t *body; /* borrowed */
    size_t body_size;
    bool may_wait; /* false: on an HTTP thread */
};

struct api_reply;

/* A command that is to be applied before there is a reply; no thread waits for it. */
struct api_proposal {
    struct sh_span command; /* valid until close */
    /* Makes the reply of what service_propose_begin told; result is NULL without one. Is tried
     * where it must not wait too. NULL: no proposal. */
    void (*answer)(void *ctx, const struct api_request *request, struct api_reply *reply,
                   enum sh_err err, const struct jobs_result *result);
    void (*close)(void *ctx);
    void *ctx;
};

/* Bytes that are made while they are sent. */
struct api_stream {
    /* Up to size bytes into out; 0 at the end, negative where the stream broke. May block for up to
     * API_STREAM_TIMEOUT_US. */
    long (*read)(void *ctx, char *out, size_t size);
    void (*close)(void *ctx);
    void *ctx;
    uint64_t size; /* UINT64_MAX: not known beforehand */
};

struct api_reply {
    unsigned status;
    const char *type; /* Content-Type; static */
    char *body;       /* malloc'd; taken by the sender */
    size_t size;
    struct api_stream stream;     /* instead of body where read is set; close is always called */
    struct api_proposal proposal; /* first, where answer is set; close is always called */
    bool must_wait;               /* no reply yet: call again where it may wait */
    char location[64];            /* Location header, or empty */
    char file_name[128];          /* Content-Disposition, or empty */
    bool stale;                   /* a stale read; then as of index, */
    uint64_t index;
    uint64_t age_us; /* which this long ago was the newest state; UINT64_MAX: not known */
};

/* NULL when absent; borrowed from the request. */
const char *api_query(const struct api_request *request, const char *name);
const char *api_header(const struct api_request *request, const char *name);
/* A whole number in [0, max] from the query, or fallback when absent; false when it is not one. */
bool api_query_u64(const struct api_request *request, const char *name, uint64_t max,
                   uint64_t fallback, uint64_t *out);
/* A whole number up to max; false when text is none. */
bool api_number(const char *text, uint64_t max, uint64_t *out);
/* A place for a stream, given back with api_stream_drop; false with the reply made: there are
 * API_STREAMS_MAX. */
bool api_stream_take(const struct api_request *request, struct api_reply *reply);
void api_stream_drop(struct api *api);
/* True once the API is being stopped: streams end then. */
bool api_is_stopping(const struct api *api);

/* Takes value; of a stale read it gets "stale": {index, age_us}. */
void api_reply_json(struct api_reply *reply, unsigned status, json_t *value);
/* Takes text (malloc'd). */
void api_reply_text(struct api_reply *reply, const char *type, char *text, size_t size);
void api_reply_error(struct api_reply *reply, enum sh_err err, const char *field, const char *value,
                     const char *format, ...) SH_PRINTF(5, 6);
/* The same with sh_err_text as message. */
void api_reply_err(struct api_reply *reply, enum sh_err err);
/* 400 with the first error as the error and all of them as "errors". */
void api_reply_spec(struct api_reply *reply, const struct spec_errors *errors);

typedef void (*api_route_fn)(const struct api_request *request, struct api_reply *reply);

struct api_route {
    const char *method;
    const char *pattern; /* below /api/v1: "/jobs/{job}/stop" */
    const char *summary;
    api_route_fn run;
    uint64_t body_max; /* bytes; 0: none is read */
    bool quick;        /* knows request.may_wait */
};

extern const struct api_route API_ROUTES[];
extern const size_t API_ROUTE_COUNT;

/* The route for a method and path, its {words} put into params. NULL: none; *wrong_method is set
 * where the path exists under another method. */
const struct api_route *api_route_find(const char *method, const char *path,
                                       char params[static API_PARAMS_MAX][API_PARAM_BYTES_MAX + 1],
                                       bool *wrong_method);

/* The routes. */
void api_get_index(const struct api_request *request, struct api_reply *reply);
void api_get_status(const struct api_request *request, struct api_reply *reply);
void api_get_nodes(const struct api_request *request, struct api_reply *reply);
void api_get_node(const struct api_request *request, struct api_reply *reply);
void api_remove_node(const struct api_request *request, struct api_reply *reply);
void api_post_gc(const struct api_request *request, struct api_reply *reply);
void api_drain_node(const struct api_request *request, struct api_reply *reply);
void api_undrain_node(const struct api_request *request, struct api_reply *reply);
void api_parole_node(const struct api_request *request, struct api_reply *reply);
void api_get_config(const struct api_request *request, struct api_reply *reply);
void api_put_config(const struct api_request *request, struct api_reply *reply);
void api_post_backup(const struct api_request *request, struct api_reply *reply);
void api_get_jobs(const struct api_request *request, struct api_reply *reply);
void api_watch_jobs(const struct api_request *request, struct api_reply *reply);
void api_post_job(const struct api_request *request, struct api_reply *reply);
void api_get_job(const struct api_request *request, struct api_reply *reply);
void api_remove_job(const struct api_request *request, struct api_reply *reply);
void api_stop_job(const struct api_request *request, struct api_reply *reply);
void api_pause_job(const struct api_request *request, struct api_reply *reply);
void api_resume_job(const struct api_request *request, struct api_reply *reply);
void api_patch_job(const struct api_request *request, struct api_reply *reply);
void api_get_checkpoints(const struct api_request *request, struct api_reply *reply);
void api_get_why(const struct api_request *request, struct api_reply *reply);
void api_get_metrics(const struct api_request *request, struct api_reply *reply);
void api_get_sweep(const struct api_request *request, struct api_reply *reply);
void api_get_rounds(const struct api_request *request, struct api_reply *reply);
void api_get_result(const struct api_request *request, struct api_reply *reply);
void api_get_bundle(const struct api_request *request, struct api_reply *reply);
void api_get_checkpoint(const struct api_request *request, struct api_reply *reply);
void api_get_outputs(const struct api_request *request, struct api_reply *reply);
void api_get_logs(const struct api_request *request, struct api_reply *reply);
void api_get_events(const struct api_request *request, struct api_reply *reply);
void api_get_models(const struct api_request *request, struct api_reply *reply);
void api_get_model(const struct api_request *request, struct api_reply *reply);
void api_remove_model(const struct api_request *request, struct api_reply *reply);
void api_get_model_file(const struct api_request *request, struct api_reply *reply);
void api_get_datasets(const struct api_request *request, struct api_reply *reply);
void api_get_dataset(const struct api_request *request, struct api_reply *reply);
void api_get_dataset_files(const struct api_request *request, struct api_reply *reply);
void api_get_dataset_preview(const struct api_request *request, struct api_reply *reply);
void api_remove_dataset(const struct api_request *request, struct api_reply *reply);
void api_post_dataset(const struct api_request *request, struct api_reply *reply);
void api_put_blob(const struct api_request *request, struct api_reply *reply);
void api_post_predict(const struct api_request *request, struct api_reply *reply);
void api_post_validate(const struct api_request *request, struct api_reply *reply);

#endif
