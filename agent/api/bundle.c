/* SPDX-License-Identifier: Apache-2.0
 *
 * What a job left as one tar archive: its file, its history, what it measured, what it wrote, the
 * newest checkpoints, models, outputs. The archive of a job that has ended has the same bytes from
 * every agent and at any time. Blobs are fetched one after the other while it is sent; one that
 * nobody holds becomes a file that says so. */
#include "api/tar.h"
#include "api/view.h"

#include "spec/fileset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE         64u
#define LINES        2000u
#define LOG_MAX      ((size_t)256 << 20) /* bytes of all lines of a job: LIMIT */
#define SERIES_US    UINT64_C(10000000)
#define FETCH_US     UINT64_C(30000000)
#define END_BLOCKS   2u
#define ROOT_BYTES   (SH_NAME_MAX + 24u)
#define PATH_BYTES   (API_TAR_PATH_MAX + 1u)
#define MISSING_TEXT "no agent that is alive holds this whole\n"

enum part_kind { PART_TEXT, PART_BLOB, PART_FILES /* a file set: an entry each */ };

struct part {
    enum part_kind kind;
    char path[160];
    char *text; /* PART_TEXT; owned */
    uint64_t size;
    uint8_t digest[SH_DIGEST_BYTES];
};

struct bundle {
    struct api *api;
    struct service *service;
    char root[ROOT_BYTES];
    uint64_t time_s;
    struct part *parts;
    size_t count;
    size_t capacity;
    size_t next; /* part */

    uint8_t head[API_TAR_HEAD_MAX]; /* what is being sent: headers, bytes, zeros */
    size_t head_size;
    size_t head_sent;
    const uint8_t *bytes; /* NULL: of the blob digest, from offset on */
    uint8_t digest[SH_DIGEST_BYTES];
    uint64_t offset;
    uint64_t left;
    size_t zeros;
    uint8_t *files; /* a file set that is gone through; NULL: none */
    struct spec_fileset set;
    struct spec_fileset_entry entry;
    bool ended;
};

/* ---- parts ---- */

/* A part whose path the caller prints; NULL: no memory. */
static struct part *add(struct bundle *b, enum part_kind kind)
{
    if (b->count == b->capacity) {
        size_t more = b->capacity * 2 + PAGE;
        struct part *grown = realloc(b->parts, more * sizeof *grown);
        if (grown == NULL) {
            return NULL;
        }
        b->parts = grown;
        b->capacity = more;
    }
    struct part *p = &b->parts[b->count++];
    *p = (struct part){.kind = kind};
    return p;
}

/* Takes text. */
static enum sh_err add_text(struct bundle *b, const char *path, char *text, size_t size)
{
    struct part *p = text != NULL ? add(b, PART_TEXT) : NULL;
    if (p == NULL) {
        free(text);
        return SH_ERR_NO_MEMORY;
    }
    (void)snprintf(p->path, sizeof p->path, "%s", path);
    p->text = text;
    p->size = size;
    return SH_OK;
}

static enum sh_err add_json(struct bundle *b, const char *path, json_t *value)
{
    char *text = value != NULL ? json_dumps(value, JSON_INDENT(1) | JSON_SORT_KEYS) : NULL;
    json_decref(value);
    return add_text(b, path, text, text != NULL ? strlen(text) : 0);
}

static enum sh_err add_spec(struct bundle *b, const struct sh_table *t, uint64_t job)
{
    struct sh_span spec;
    enum sh_err err = jobs_spec_get(t, job, &spec);
    char *text = err == SH_OK ? malloc(spec.size) : NULL;
    if (text != NULL) {
        memcpy(text, spec.at, spec.size);
    }
    return err != SH_OK ? err : add_text(b, "job.json", text, spec.size);
}

static const uint8_t *outputs_of(const struct jobs_job *job, const struct jobs_unit *unit)
{
    static const uint8_t none[SH_DIGEST_BYTES];
    bool trains = job->kind == WIRE_KIND_TRAIN || job->kind == WIRE_KIND_FINE_TUNE;
    bool has = unit->committed && !trains && job->kind != WIRE_KIND_NOOP &&
               memcmp(unit->outcome.state, none, sizeof none) != 0;
    return has ? unit->outcome.state : NULL;
}

static enum sh_err add_blob(struct bundle *b, enum part_kind kind,
                            const uint8_t digest[static SH_DIGEST_BYTES], struct part **out)
{
    *out = add(b, kind);
    if (*out == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    memcpy((*out)->digest, digest, SH_DIGEST_BYTES);
    return SH_OK;
}

static enum sh_err add_model(struct bundle *b, const struct sh_table *t, const struct jobs_job *job,
                             const struct jobs_unit *unit)
{
    struct jobs_model model;
    struct part *p = NULL;
    enum sh_err err = unit->model_version == 0
                          ? SH_ERR_NOT_FOUND
                          : jobs_model_get(t, job->name, unit->model_version, &model);
    if (err != SH_OK) {
        return err == SH_ERR_NOT_FOUND ? SH_OK : err; /* it was removed */
    }
    err = add_blob(b, PART_BLOB, model.outcome.file, &p);
    if (err == SH_OK) {
        bool script = memcmp(model.outcome.model, model.outcome.file, SH_DIGEST_BYTES) == 0;
        (void)snprintf(p->path, sizeof p->path, "models/%s-%u%s", model.name, model.version,
                       script ? "" : ".safetensors");
    }
    return err;
}

static enum sh_err add_checkpoint(struct bundle *b, const struct sh_table *t,
                                  const struct jobs_unit *unit)
{
    struct jobs_checkpoint newest;
    struct part *p = NULL;
    uint32_t count = 0;
    enum sh_err err =
        unit->checkpoints > 0 ? jobs_checkpoint_list(t, unit->id, &newest, 1, &count) : SH_OK;
    if (err == SH_OK && count == 1) {
        err = add_blob(b, PART_BLOB, newest.manifest, &p);
    }
    if (p != NULL) {
        (void)snprintf(p->path, sizeof p->path, "checkpoints/unit-%u-step-%llu", unit->id.unit,
                       (unsigned long long)newest.step);
    }
    return err;
}

static enum sh_err add_unit(struct bundle *b, const struct sh_table *t, const struct jobs_job *job,
                            const struct jobs_unit *unit)
{
    const uint8_t *outputs = outputs_of(job, unit);
    struct part *p = NULL;
    enum sh_err err = add_model(b, t, job, unit);
    err = err == SH_OK ? add_checkpoint(b, t, unit) : err;
    if (err == SH_OK && outputs != NULL) {
        err = add_blob(b, PART_FILES, outputs, &p);
    }
    if (p != NULL) {
        (void)snprintf(p->path, sizeof p->path, "outputs/unit-%u", unit->id.unit);
    }
    return err;
}

/* The job's row, its history with its times, and every unit. */
static enum sh_err add_rows(struct bundle *b, const struct sh_table *t, const struct jobs_job *job)
{
    json_t *units = json_array();
    struct jobs_unit *unit = malloc(sizeof *unit);
    enum sh_err err = unit == NULL || units == NULL ? SH_ERR_NO_MEMORY : SH_OK;
    for (uint32_t i = 0; err == SH_OK && i < job->units; i++) {
        err = jobs_unit_get(t, (struct wire_unit){job->id, i}, unit);
        if (err == SH_OK) {
            (void)json_array_append_new(units, api_unit_json(t, unit));
            err = add_unit(b, t, job, unit);
        }
    }
    free(unit);
    json_t *out = api_job_json(job);
    (void)json_object_set_new(out, "unit_list", units);
    (void)json_object_set_new(out, "history", api_history_json(t, job));
    return err == SH_OK ? add_json(b, "status.json", out) : (json_decref(out), err);
}

/* ---- what it wrote ---- */

struct scroll { /* lines of one attempt of one unit */
    uint32_t unit;
    uint64_t generation;
    char *text;
    size_t used;
    size_t capacity;
};

struct scrolls {
    struct scroll *at;
    size_t count;
    size_t capacity;
    size_t last;  /* that a line went to */
    size_t bytes; /* of all */
};

static struct scroll *scroll_for(struct scrolls *s, const struct service_log_line *line)
{
    for (size_t i = 0; i < s->count; i++) {
        struct scroll *at = &s->at[(s->last + i) % s->count];
        if (at->unit == line->unit && at->generation == line->generation) {
            s->last = (size_t)(at - s->at);
            return at;
        }
    }
    if (s->count == s->capacity) {
        size_t more = s->capacity * 2 + PAGE;
        struct scroll *grown = realloc(s->at, more * sizeof *grown);
        if (grown == NULL) {
            return NULL;
        }
        s->at = grown;
        s->capacity = more;
    }
    s->last = s->count;
    s->at[s->count] = (struct scroll){.unit = line->unit, .generation = line->generation};
    return &s->at[s->count++];
}

static enum sh_err add_line(struct scrolls *s, const struct service_log_line *line)
{
    struct scroll *at = scroll_for(s, line);
    size_t n = strlen(line->text);
    if (at == NULL || s->bytes + n > LOG_MAX) {
        return at == NULL ? SH_ERR_NO_MEMORY : SH_ERR_LIMIT;
    }
    if (at->capacity - at->used < n + 1) {
        size_t more = at->capacity * 2 + n + 4096;
        char *grown = realloc(at->text, more);
        if (grown == NULL) {
            return SH_ERR_NO_MEMORY;
        }
        at->text = grown;
        at->capacity = more;
    }
    memcpy(at->text + at->used, line->text, n);
    at->used += n;
    at->text[at->used++] = '\n';
    s->bytes += n + 1;
    return SH_OK;
}

static int by_attempt(const void *a, const void *b)
{
    const struct scroll *x = a;
    const struct scroll *y = b;
    if (x->unit != y->unit) {
        return x->unit < y->unit ? -1 : 1;
    }
    return x->generation < y->generation ? -1 : x->generation > y->generation;
}

static enum sh_err read_lines(struct bundle *b, uint64_t job, struct scrolls *s)
{
    struct service_log_want want = {.before = UINT64_MAX, .unit = SERVICE_LINE_ALL};
    struct service_log_line *lines = malloc(LINES * sizeof *lines);
    size_t count = LINES;
    enum sh_err err = lines == NULL ? SH_ERR_NO_MEMORY : SH_OK;
    while (err == SH_OK && count == LINES) {
        err = service_log_read(b->service, job, &want, lines, LINES, &count, SERIES_US);
        for (size_t i = 0; err == SH_OK && i < count; i++) {
            err = add_line(s, &lines[i]);
            want.from = lines[i].sequence + 1;
        }
    }
    free(lines);
    return err;
}

static enum sh_err add_logs(struct bundle *b, uint64_t job)
{
    struct scrolls s = {.count = 0};
    enum sh_err err = read_lines(b, job, &s);
    if (s.count > 0) {
        qsort(s.at, s.count, sizeof *s.at, by_attempt);
    }
    for (size_t i = 0; i < s.count; i++) {
        struct scroll *at = &s.at[i];
        char path[96];
        if (at->unit == SERVICE_LINE_ALL) {
            (void)snprintf(path, sizeof path, "logs/job-%llu.txt",
                           (unsigned long long)at->generation);
        } else if (at->generation == 0) { /* what agents said of it */
            (void)snprintf(path, sizeof path, "logs/unit-%u/agents.txt", at->unit);
        } else {
            (void)snprintf(path, sizeof path, "logs/unit-%u/attempt-%llu.txt", at->unit,
                           (unsigned long long)at->generation);
        }
        if (err == SH_OK) {
            err = add_text(b, path, at->text, at->used);
        } else {
            free(at->text);
        }
    }
    free(s.at);
    return err;
}

static enum sh_err add_metrics(struct bundle *b, uint64_t job)
{
    char *text = NULL;
    size_t size = 0;
    enum sh_err err = api_series_csv(b->service, job, &text, &size);
    return err == SH_OK ? add_text(b, "metrics.csv", text, size) : err;
}

/* ---- the archive ---- */

static void start_entry(struct bundle *b, const struct api_tar_entry *e)
{
    b->head_size = api_tar_head(e, b->head);
    b->head_sent = 0;
    b->left = e->type == API_TAR_FILE ? e->size : 0;
    b->zeros = api_tar_padding(b->left);
    b->offset = 0;
}

static void start_file(struct bundle *b, const char *path, uint64_t size)
{
    char full[PATH_BYTES];
    (void)snprintf(full, sizeof full, "%s/%s", b->root, path);
    struct api_tar_entry e = {
        .type = API_TAR_FILE, .path = full, .mode = 0644, .size = size, .time_s = b->time_s};
    start_entry(b, &e);
}

static void start_missing(struct bundle *b, const struct part *p)
{
    char path[sizeof p->path + 16];
    (void)snprintf(path, sizeof path, "%s.missing", p->path);
    b->bytes = (const uint8_t *)MISSING_TEXT;
    start_file(b, path, sizeof MISSING_TEXT - 1);
}

/* The whole file set in memory; false where it cannot be had. */
static bool open_files(struct bundle *b, const struct part *p)
{
    uint64_t size = 0;
    uint64_t have = 0;
    enum sh_err err = service_blob_fetch(b->service, p->digest, &size, FETCH_US);
    if (err != SH_OK || size > SPEC_FILESET_BYTES_MAX) {
        return false;
    }
    b->files = malloc(size + 1);
    while (b->files != NULL && err == SH_OK && have < size) {
        size_t n = 0;
        err = service_blob_read(b->service, p->digest, have, b->files + have, size - have, &n);
        err = err == SH_OK && n == 0 ? SH_ERR_CORRUPT : err;
        have += n;
    }
    struct sh_span blob = {.at = b->files, .size = size};
    bool good = b->files != NULL && err == SH_OK && spec_fileset_open(&b->set, blob) == SH_OK;
    if (!good) {
        free(b->files);
        b->files = NULL;
    }
    return good;
}

/* The next entry of the file set; false at its end. */
static bool next_file(struct bundle *b, const struct part *p)
{
    char full[PATH_BYTES];
    char target[SPEC_FILESET_PATH_MAX + 1] = "";
    if (spec_fileset_next(&b->set, &b->entry) != SH_OK) {
        free(b->files);
        b->files = NULL;
        return false;
    }
    const struct spec_fileset_entry *f = &b->entry;
    bool link = f->kind == SPEC_LINK;
    (void)snprintf(full, sizeof full, "%s/%s/%s%s", b->root, p->path, f->path,
                   f->kind == SPEC_FOLDER ? "/" : "");
    struct api_tar_entry e = {.type = link                     ? API_TAR_LINK
                                      : f->kind == SPEC_FOLDER ? API_TAR_FOLDER
                                                               : API_TAR_FILE,
                              .path = full,
                              .mode =
                                  f->kind == SPEC_PROGRAM || f->kind == SPEC_FOLDER ? 0755 : 0644,
                              .size = link ? 0 : f->bytes.size,
                              .time_s = b->time_s};
    if (link && f->bytes.size < sizeof target) {
        memcpy(target, f->bytes.at, f->bytes.size);
        e.target = target;
    }
    b->bytes = f->bytes.at;
    start_entry(b, &e);
    return true;
}

static void next_part(struct bundle *b)
{
    const struct part *p = &b->parts[b->next];
    if (b->files != NULL) {
        b->next += next_file(b, p) ? 0 : 1;
        return;
    }
    if (p->kind == PART_FILES) {
        if (!open_files(b, p)) {
            start_missing(b, p);
            b->next++;
        }
        return;
    }
    uint64_t size = p->size;
    b->bytes = (const uint8_t *)p->text;
    memcpy(b->digest, p->digest, sizeof b->digest);
    if (p->kind == PART_BLOB &&
        service_blob_fetch(b->service, p->digest, &size, FETCH_US) != SH_OK) {
        start_missing(b, p);
    } else {
        start_file(b, p->path, size);
    }
    b->next++;
}

/* Of what is being sent; 0: it is at its end. */
static long send_some(struct bundle *b, char *out, size_t size)
{
    size_t n = 0;
    if (b->head_sent < b->head_size) {
        n = b->head_size - b->head_sent < size ? b->head_size - b->head_sent : size;
        memcpy(out, b->head + b->head_sent, n);
        b->head_sent += n;
    } else if (b->left > 0) {
        n = b->left < size ? (size_t)b->left : size;
        if (b->bytes != NULL) {
            memcpy(out, b->bytes + b->offset, n);
        } else if (service_blob_read(b->service, b->digest, b->offset, out, n, &n) != SH_OK ||
                   n == 0) {
            return -1;
        }
        b->offset += n;
        b->left -= n;
    } else if (b->zeros > 0) {
        n = b->zeros < size ? b->zeros : size;
        memset(out, 0, n);
        b->zeros -= n;
    }
    return (long)n;
}

static long read_bundle(void *ctx, char *out, size_t size)
{
    struct bundle *b = ctx;
    long n = send_some(b, out, size);
    while (n == 0 && !b->ended && !api_is_stopping(b->api)) {
        if (b->next < b->count) {
            next_part(b);
        } else {
            b->ended = true;
            b->zeros = END_BLOCKS * API_TAR_BLOCK;
        }
        n = send_some(b, out, size);
    }
    return n == 0 && !b->ended ? -1 : n;
}

static void close_bundle(void *ctx)
{
    struct bundle *b = ctx;
    for (size_t i = 0; i < b->count; i++) {
        free(b->parts[i].text);
    }
    free(b->parts);
    free(b->files);
    free(b);
}

static int by_path(const void *a, const void *b)
{
    const struct part *x = a;
    const struct part *y = b;
    return strcmp(x->path, y->path);
}

/* From the tables; false with the reply made. */
static bool collect_rows(const struct api_request *request, struct api_reply *reply,
                         struct bundle *b, struct jobs_job *job)
{
    struct service_view *view = NULL;
    if (!api_open_view(request, reply, &view)) {
        return false;
    }
    const struct sh_table *t = service_view_table(view);
    bool good = api_find_job(request, reply, t, job);
    if (good && job->results_gone) {
        api_reply_error(reply, SH_ERR_GONE, "job", request->params[0],
                        "newer jobs of its name have taken the place of what it left");
        good = false;
    }
    enum sh_err err = good ? add_spec(b, t, job->id) : SH_OK;
    err = good && err == SH_OK ? add_rows(b, t, job) : err;
    service_view_close(view);
    if (err != SH_OK) {
        api_reply_err(reply, err);
    }
    return good && err == SH_OK;
}

void api_get_bundle(const struct api_request *request, struct api_reply *reply)
{
    struct jobs_job job;
    struct bundle *b = calloc(1, sizeof *b);
    if (b == NULL) {
        api_reply_err(reply, SH_ERR_NO_MEMORY);
        return;
    }
    b->api = request->api;
    b->service = request->service;
    if (!collect_rows(request, reply, b, &job)) {
        close_bundle(b);
        return;
    }
    enum sh_err err = add_metrics(b, job.id);
    err = err == SH_OK ? add_logs(b, job.id) : err;
    if (err != SH_OK) {
        close_bundle(b);
        api_reply_err(reply, err);
        return;
    }
    qsort(b->parts, b->count, sizeof *b->parts, by_path);
    uint64_t time_us = job.end_us > 0 ? job.end_us : job.submit_us;
    b->time_s = time_us / 1000000;
    (void)snprintf(b->root, sizeof b->root, "%s-%llu", job.name, (unsigned long long)job.id);
    (void)snprintf(reply->file_name, sizeof reply->file_name, "%s.tar", b->root);
    reply->status = 200;
    reply->type = "application/x-tar";
    reply->stream = (struct api_stream){
        .read = read_bundle, .close = close_bundle, .ctx = b, .size = UINT64_MAX};
}
