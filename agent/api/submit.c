/* SPDX-License-Identifier: Apache-2.0
 *
 * Job files and uploads on their way in. */
#include "api/resolve.h"

#include "base/host/host.h"
#include "spec/graph.h"
#include "spec/sweep.h"

#include <ctype.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOCATION          "/api/v1/jobs/"
#define UPLOAD_TIMEOUT_US UINT64_C(120000000)
#define FETCH_TIMEOUT_US  UINT64_C(60000000)

/* What reading a job file needs, too large for a stack. */
struct submission {
    struct spec_job job;
    struct spec_errors errors;
    struct jobs_cmd cmd;
    struct api_resolution found;
    size_t spec_size;
    char spec[SH_SPEC_BYTES_MAX];
    uint8_t bytes[JOBS_CMD_BYTES_MAX];
};

/* What of it stays while the command is under way: its bytes. */
struct submitted {
    size_t size;
    uint8_t command[];
};

/* The last one that was closed: new memory of that size would be mapped and faulted in for every
 * request. */
static _Atomic(struct submission *) spare;

static struct submission *submission_open(struct api_reply *reply)
{
    struct submission *s = atomic_exchange(&spare, NULL);
    s = s != NULL ? s : malloc(sizeof *s);
    if (s == NULL) {
        api_reply_err(reply, SH_ERR_NO_MEMORY);
        return NULL;
    }
    s->errors.count = 0;
    s->found = (struct api_resolution){.uses = false};
    s->spec_size = 0;
    return s;
}

static void submission_close(struct submission *s)
{
    free(atomic_exchange(&spare, s));
}

void api_put_blob(const struct api_request *request, struct api_reply *reply)
{
    uint8_t digest[SH_DIGEST_BYTES];
    if (request->body_size == 0) {
        api_reply_error(reply, SH_ERR_INVALID, "body", "", "there are no bytes to keep");
        return;
    }
    enum sh_err err = service_blob_upload(request->service, request->body, request->body_size,
                                          digest, UPLOAD_TIMEOUT_US);
    if (err != SH_OK) {
        api_reply_err(reply, err);
        return;
    }
    api_reply_json(reply, 201,
                   json_pack("{s:o, s:I}", "digest", spec_json_hex(digest, sizeof digest), "size",
                             (json_int_t)request->body_size));
}

static const char *const SOURCE_FIELDS[] = {"data.train", "data.validation", "data.test", "package",
                                            "input"};

static const struct spec_source *source_of(const struct spec_job *job, size_t index)
{
    const struct spec_source *sources[] = {&job->data.train, &job->data.validation, &job->data.test,
                                           &job->exec.package, &job->input};
    return sources[index];
}

/* False with the reply made where the file set cannot be had whole. */
static bool fetch_files(const struct api_request *request, struct api_reply *reply,
                        const char *field, const struct spec_source *source)
{
    uint64_t size = 0;
    char hex[2 * SH_DIGEST_BYTES + 1];
    enum sh_err err = service_blob_fetch(request->service, source->digest, &size, FETCH_TIMEOUT_US);
    const char *text = sh_err_text(err);
    sh_hex(hex, source->digest, SH_DIGEST_BYTES);
    if (err == SH_ERR_NOT_FOUND) {
        text = "no agent that is alive holds it";
    } else if (err == SH_ERR_CORRUPT) {
        text = "every copy of it is damaged: upload it again";
    }
    if (err != SH_OK) {
        api_reply_error(reply, err, field, hex, "%s", text);
    }
    return err == SH_OK;
}

/* False with the reply made where a data source cannot be used by any agent. */
static bool check_source(const struct api_request *request, struct api_reply *reply,
                         const struct sh_table *t, const char *field,
                         const struct spec_source *source, bool federated)
{
    struct jobs_dataset *set = NULL;
    enum sh_err err = SH_OK;
    bool local = false;
    switch (source->kind) {
    case SPEC_SOURCE_NONE:
    case SPEC_SOURCE_BUILTIN:
        return true;
    case SPEC_SOURCE_PATH:
        api_reply_error(reply, SH_ERR_INVALID, field, source->path,
                        "is a path on the machine of the submitter: shoal submit uploads it");
        return false;
    case SPEC_SOURCE_FILES:
        return fetch_files(request, reply, field, source);
    case SPEC_SOURCE_DATASET:
        set = malloc(sizeof *set);
        err = set == NULL ? SH_ERR_NO_MEMORY : jobs_dataset_get(t, source->name, set);
        local = err == SH_OK && set->local;
        free(set);
        if (err == SH_ERR_NOT_FOUND) {
            api_reply_error(reply, err, field, source->name,
                            "no agent has declared this data set; shoal dataset list shows those "
                            "that there are");
        } else if (err != SH_OK) {
            api_reply_err(reply, err);
        } else if (local && !federated) {
            api_reply_error(reply, SH_ERR_INVALID, field, source->name,
                            "is local: each agent has a part of its own, which stays there; a job "
                            "with a section federated: can train on it");
        }
        return err == SH_OK && (federated || !local);
    }
    SH_UNREACHABLE();
}

/* A data set may have been declared at another agent just now. */
static bool names_dataset(const struct spec_job *job)
{
    bool named = false;
    for (size_t i = 0; i < SH_COUNT(SOURCE_FIELDS); i++) {
        named = named || source_of(job, i)->kind == SPEC_SOURCE_DATASET;
    }
    return named;
}

/* The checkpoint that training starts from, as if it were a file set. */
static struct spec_source start_of(const struct spec_job *job)
{
    struct spec_source out = {.kind = job->start.set ? SPEC_SOURCE_FILES : SPEC_SOURCE_NONE};
    memcpy(out.digest, job->start.checkpoint, sizeof out.digest);
    return out;
}

static bool check_sources(const struct api_request *request, struct api_reply *reply,
                          const struct spec_job *job)
{
    struct service_view *view = NULL;
    struct spec_source start = start_of(job);
    if (job->kind == SPEC_NOOP) {
        return true;
    }
    if (job->start.set && !fetch_files(request, reply, "start.checkpoint", &start)) {
        return false;
    }
    bool good = names_dataset(job) ? api_open_view(request, reply, &view)
                                   : api_open_here(request, reply, &view);
    if (!good) {
        return false;
    }
    for (size_t i = 0; good && i < SH_COUNT(SOURCE_FIELDS); i++) {
        good = check_source(request, reply, service_view_table(view), SOURCE_FIELDS[i],
                            source_of(job, i), job->federated.on);
    }
    service_view_close(view);
    return good;
}

/* Where there is no room for more, what is left out is kept by the row of its model. */
static void add_digest(struct jobs_submit *submit, const uint8_t digest[static SH_DIGEST_BYTES])
{
    for (uint32_t i = 0; i < submit->blob_count; i++) {
        if (memcmp(submit->blobs[i], digest, SH_DIGEST_BYTES) == 0) {
            return;
        }
    }
    if (submit->blob_count < JOBS_BLOBS_MAX) {
        memcpy(submit->blobs[submit->blob_count++], digest, SH_DIGEST_BYTES);
    }
}

static void add_blob(struct jobs_submit *submit, const struct spec_source *source)
{
    if (source->kind == SPEC_SOURCE_FILES) {
        add_digest(submit, source->digest);
    }
}

_Static_assert(SPEC_RESULTS_MAX == JOBS_RESULTS_MAX, "what a job file may say a command may");
_Static_assert((int)SPEC_SANDBOX_NONE == (int)WIRE_SANDBOX_NONE &&
                   (int)SPEC_SANDBOX_STRICT == (int)WIRE_SANDBOX_STRICT,
               "levels of a job file are those of placement");
_Static_assert((int)SPEC_SPREAD_OUT == (int)WIRE_SPREAD_OUT &&
                   (int)SPEC_SPREAD_PACK == (int)WIRE_SPREAD_PACK,
               "so are ways to spread");

static enum wire_kind kind_of(const struct spec_job *job)
{
    switch (job->kind) {
    case SPEC_TRAIN:
        return WIRE_KIND_TRAIN;
    case SPEC_EXEC:
        return WIRE_KIND_EXEC;
    case SPEC_RL:
        return WIRE_KIND_RL;
    case SPEC_NOOP:
        return WIRE_KIND_NOOP;
    case SPEC_FINE_TUNE:
        return WIRE_KIND_FINE_TUNE;
    case SPEC_EVALUATE:
        return WIRE_KIND_EVALUATE;
    case SPEC_PREDICT:
        return WIRE_KIND_PREDICT;
    case SPEC_ENSEMBLE:
        return WIRE_KIND_ENSEMBLE;
    case SPEC_DATA_PREP:
        return WIRE_KIND_DATA_PREP;
    }
    SH_UNREACHABLE();
}

static bool trains(const struct spec_job *job)
{
    return job->kind == SPEC_TRAIN || job->kind == SPEC_FINE_TUNE;
}

/* A script runs once on each member, whatever its share of the ranks, and so does what a member of
 * federated rounds trains. */
static uint32_t ranks_of(const struct spec_job *job)
{
    return trains(job) && !job->federated.on ? job->train.ranks : job->agents_max;
}

static struct wire_need need_of(const struct spec_job *job, const struct api_resolution *found)
{
    struct wire_need need = {.ranks = (uint16_t)ranks_of(job),
                             .agents_min = (uint16_t)job->agents_min,
                             .agents_max = (uint16_t)job->agents_max,
                             .cpus = (uint16_t)job->cpus,
                             .ram_bytes = job->ram_bytes,
                             .gpus = (uint8_t)job->where.gpus,
                             .gpu_bytes = job->where.gpu_bytes,
                             .disk_bytes = job->where.disk_bytes,
                             .per_node_max = (uint16_t)job->where.per_node_max,
                             .spread = (enum wire_spread)job->where.spread,
                             .arithmetic = job->arithmetic == SPEC_ARITHMETIC_ANY
                                               ? WIRE_ARITHMETIC_ANY
                                               : WIRE_ARITHMETIC_SAME};
    SH_CHECK(spec_conditions(job, need.conditions, sizeof need.conditions));
    if (job->kind == SPEC_EXEC || job->kind == SPEC_DATA_PREP) {
        need.sandbox = (enum wire_sandbox)job->exec.sandbox;
    } else if (found->commands) {
        need.sandbox = (enum wire_sandbox)found->sandbox;
    }
    for (size_t i = 0; i < SH_COUNT(SOURCE_FIELDS); i++) {
        const struct spec_source *source = source_of(job, i);
        if (source->kind == SPEC_SOURCE_DATASET) {
            memcpy(need.dataset, source->name, sizeof need.dataset);
        }
    }
    return need;
}

static void set_stages(struct jobs_submit *submit, const struct spec_sweep *sweep)
{
    struct spec_stage stages[SPEC_STAGES_MAX];
    submit->stage_count = spec_sweep_stages(sweep, stages);
    for (uint32_t i = 0; i < submit->stage_count; i++) {
        submit->stages[i] = (struct jobs_stage){.first = stages[i].first, .after = stages[i].after};
    }
}

static void fill_command(struct submission *s, const char *key, const char *owner)
{
    const struct spec_job *job = &s->job;
    s->cmd = (struct jobs_cmd){.type = JOBS_SUBMIT};
    struct jobs_submit *submit = &s->cmd.u.submit;
    memcpy(submit->key, key, strlen(key) + 1);
    memcpy(submit->name, job->name, sizeof submit->name);
    memcpy(submit->owner, owner, strlen(owner) + 1);
    submit->kind = kind_of(job);
    submit->spec = (struct sh_span){.at = (const uint8_t *)s->spec, .size = s->spec_size};
    sh_blake2b(submit->spec_digest, sizeof submit->spec_digest, s->spec, s->spec_size);
    submit->need = need_of(job, &s->found);
    submit->about = s->found.about;
    submit->deadline_us = (uint64_t)job->use.deadline_s * 1000000;
    memcpy(submit->dataset, job->dataset, sizeof submit->dataset);
    submit->federated = job->federated.on;
    submit->reproducible = job->reproducible;
    submit->priority = (uint8_t)job->priority;
    submit->retries = (uint8_t)job->retries;
    submit->checkpoint_keep = (uint8_t)job->checkpoint_keep;
    submit->keep_results = (uint16_t)job->keep_results;
    submit->units = job->units;
    set_stages(submit, &job->sweep);
    for (size_t i = 0; i < SH_COUNT(SOURCE_FIELDS); i++) {
        add_blob(submit, source_of(job, i));
    }
    add_blob(submit, &s->found.package);
    for (uint32_t i = 0; i < job->use.count; i++) {
        add_digest(submit, job->use.models[i].file);
    }
    struct spec_source start = start_of(job);
    add_blob(submit, &start);
}

/* The header's key; none: the agent's session alone makes it happen once. */
static bool read_key(const struct api_request *request, struct api_reply *reply,
                     char key[static JOBS_KEY_MAX + 1])
{
    const char *given = api_header(request, "Idempotency-Key");
    if (given == NULL) {
        key[0] = '\0';
        return true;
    }
    size_t n = strlen(given);
    bool good = n > 0 && n <= JOBS_KEY_MAX;
    for (size_t i = 0; good && i < n; i++) {
        good = isgraph((unsigned char)given[i]) != 0;
    }
    if (!good) {
        api_reply_error(reply, SH_ERR_INVALID, "Idempotency-Key", "",
                        "must be 1 to %u printable characters without blanks", JOBS_KEY_MAX);
        return false;
    }
    memcpy(key, given, n + 1);
    return true;
}

static bool parse(const struct api_request *request, struct api_reply *reply, struct submission *s)
{
    enum sh_err err =
        spec_parse((const char *)request->body, request->body_size, &s->job, &s->errors);
    if (err == SH_OK) {
        err = spec_canonical(&s->job, s->spec, sizeof s->spec, &s->spec_size);
    } else if (s->errors.count > 0) {
        api_reply_spec(reply, &s->errors);
        return false;
    }
    if (err != SH_OK) {
        api_reply_err(reply, err);
    }
    return err == SH_OK;
}

/* Names become what they mean now, and the job file says so. */
static bool resolve(const struct api_request *request, struct api_reply *reply,
                    struct submission *s, const char *key)
{
    if (!api_resolve(request, reply, key, &s->job, &s->found)) {
        return false;
    }
    if (!s->found.uses) {
        return true;
    }
    enum sh_err err = spec_canonical(&s->job, s->spec, sizeof s->spec, &s->spec_size);
    /* A model section that was filled in is judged as one that was written. */
    err = err != SH_OK ? err : spec_parse(s->spec, s->spec_size, &s->job, &s->errors);
    if (err == SH_ERR_INVALID) {
        api_reply_spec(reply, &s->errors);
    } else if (err != SH_OK) {
        api_reply_err(reply, err);
    }
    return err == SH_OK;
}

/* The job as it is in the tables: it was submitted before. False with the reply made. */
static bool read_job(const struct api_request *request, struct api_reply *reply, uint64_t id,
                     struct jobs_job *job)
{
    struct service_view *view = NULL;
    if (!api_open_here(request, reply, &view)) {
        return false;
    }
    enum sh_err err = jobs_job_get(service_view_table(view), id, job);
    service_view_close(view);
    if (err != SH_OK) {
        api_reply_err(reply, err);
    }
    return err == SH_OK;
}

static void reply_submitted(const struct api_request *request, struct api_reply *reply,
                            const struct jobs_submit *submit, const struct jobs_result *result)
{
    struct jobs_job job;
    if (!result->duplicate) {
        jobs_job_begin(submit, result->unit.job, result->stamp_us, &job);
    } else if (!read_job(request, reply, result->unit.job, &job)) {
        return;
    }
    char row[API_ROW_BYTES];
    size_t size = api_job_print(&job, &result->duplicate, row);
    char *text = size > 0 ? malloc(size) : NULL;
    if (text == NULL) {
        api_reply_err(reply, SH_ERR_NO_MEMORY);
        return;
    }
    memcpy(text, row, size);
    api_reply_text(reply, "application/json", text, size);
    reply->status = result->duplicate ? 200 : 201;
    struct sh_writer location = sh_writer_over(reply->location, sizeof reply->location);
    sh_put_bytes(&location, LOCATION, strlen(LOCATION));
    spec_json_put_int(&location, NULL, (int64_t)job.id);
    sh_put_u8(&location, 0);
    SH_CHECK(!location.full);
}

static void answer_job(void *ctx, const struct api_request *request, struct api_reply *reply,
                       enum sh_err err, const struct jobs_result *result)
{
    const struct submitted *s = ctx;
    struct jobs_cmd cmd;
    SH_CHECK(jobs_cmd_decode(s->command, s->size, &cmd) == SH_OK);
    const struct jobs_submit *submit = &cmd.u.submit;
    if (err == SH_ERR_EXISTS) {
        api_reply_error(reply, err, "Idempotency-Key", submit->key,
                        "this key was used for another job file");
    } else if (err != SH_OK) {
        api_reply_err(reply, err);
    } else if (result->duplicate && !request->may_wait) {
        reply->must_wait = true; /* for a read */
    } else {
        reply_submitted(request, reply, submit, result);
    }
}

static void submit(const struct api_request *request, struct api_reply *reply, struct submission *s,
                   const char *owner)
{
    char key[JOBS_KEY_MAX + 1];
    owner = owner != NULL ? owner : "";
    if (owner[0] != '\0' && !wire_name_ok(owner)) {
        api_reply_error(reply, SH_ERR_INVALID, "owner", owner,
                        "must be a name: up to %u letters, digits, '.', '_', '-'", SH_NAME_MAX);
        return;
    }
    if (!parse(request, reply, s) || !read_key(request, reply, key)) {
        return;
    }
    if (s->job.kind != SPEC_NOOP && !request->may_wait) {
        reply->must_wait = true; /* for its data */
        return;
    }
    if (!resolve(request, reply, s, key) || !check_sources(request, reply, &s->job)) {
        return;
    }
    fill_command(s, key, owner);
    struct sh_writer w = sh_writer_over(s->bytes, sizeof s->bytes);
    enum sh_err err = jobs_cmd_encode(&s->cmd, &w);
    struct submitted *kept = err == SH_OK ? malloc(sizeof *kept + w.used) : NULL;
    if (kept == NULL) {
        api_reply_err(reply, err != SH_OK ? err : SH_ERR_NO_MEMORY);
        return;
    }
    kept->size = w.used;
    memcpy(kept->command, s->bytes, w.used);
    reply->proposal = (struct api_proposal){.command = {.at = kept->command, .size = w.used},
                                            .answer = answer_job,
                                            .close = free,
                                            .ctx = kept};
}

void api_post_job(const struct api_request *request, struct api_reply *reply)
{
    struct submission *s = submission_open(reply);
    if (s != NULL) {
        submit(request, reply, s, api_query(request, "owner"));
        submission_close(s);
    }
}

void api_submit_text(const struct api_request *request, struct api_reply *reply, const char *text,
                     const char *owner)
{
    struct submission *s = submission_open(reply);
    struct api_request with = *request;
    with.body = (const uint8_t *)text;
    with.body_size = strlen(text);
    if (s != NULL) {
        submit(&with, reply, s, owner);
        submission_close(s);
    }
}

static void validate(const struct api_request *request, struct api_reply *reply,
                     struct submission *s)
{
    struct spec_table *table = calloc(1, sizeof *table);
    if (table == NULL || !parse(request, reply, s)) {
        if (table == NULL) {
            api_reply_err(reply, SH_ERR_NO_MEMORY);
        }
        free(table);
        return;
    }
    uint8_t digest[SH_DIGEST_BYTES];
    spec_digest(&s->job, digest);
    json_t *out = json_pack("{s:o, s:o}", "spec", json_loadb(s->spec, s->spec_size, 0, NULL),
                            "spec_digest", spec_json_hex(digest, sizeof digest));
    if (s->job.model.layer_count > 0 && trains(&s->job) &&
        spec_table_make(&s->job, table) == SH_OK) {
        (void)json_object_set_new(out, "model", spec_json_table(table));
    }
    free(table);
    api_reply_json(reply, 200, out);
}

void api_post_validate(const struct api_request *request, struct api_reply *reply)
{
    struct submission *s = submission_open(reply);
    if (s != NULL) {
        validate(request, reply, s);
        submission_close(s);
    }
}
