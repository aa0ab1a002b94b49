/* SPDX-License-Identifier: Apache-2.0 */
#include "garbage.h"

#include "jobs/view.h"

#include <stdlib.h>
#include <string.h>

enum { PAGE = 256 };

struct held {
    struct blob_id id;
    uint64_t size;
    struct blob_lease lease;
    bool named;
};

struct garbage {
    struct blob *blob;
    struct series series;
    struct held *blobs; /* by id, ascending */
    size_t count;
    size_t capacity;
    uint64_t *jobs; /* that have series here; after mark those that lose them */
    size_t job_count;
    size_t job_capacity;
};

enum sh_err garbage_open(struct garbage **out, struct blob *blob, const struct series *series)
{
    struct garbage *g = calloc(1, sizeof *g);
    *out = g;
    if (g == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    g->blob = blob;
    g->series = *series;
    return SH_OK;
}

void garbage_close(struct garbage *g)
{
    if (g != NULL) {
        free(g->blobs);
        free(g->jobs);
        free(g);
    }
}

/* Room for PAGE more. */
static enum sh_err grow(void **at, size_t size, size_t count, size_t *capacity)
{
    if (*capacity - count >= PAGE) {
        return SH_OK;
    }
    size_t more = *capacity * 2 + PAGE;
    void *grown = realloc(*at, more * size);
    if (grown == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    *at = grown;
    *capacity = more;
    return SH_OK;
}

/* A damaged one has no size that is known; one that went meanwhile is left out. */
static enum sh_err list_one(struct garbage *g, const struct blob_id *id)
{
    struct held *h = &g->blobs[g->count];
    *h = (struct held){.id = *id};
    enum sh_err err = blob_size(g->blob, id, &h->size);
    if (err == SH_ERR_NOT_FOUND) {
        return SH_OK;
    }
    if (err == SH_OK || err == SH_ERR_CORRUPT || err == SH_ERR_VERSION) {
        err = blob_lease_get(g->blob, id, &h->lease);
    }
    g->count += err == SH_OK;
    return err;
}

static enum sh_err list_blobs(struct garbage *g)
{
    struct blob_id page[PAGE];
    struct blob_id last;
    uint32_t found = PAGE;
    enum sh_err err = SH_OK;
    for (bool first = true; err == SH_OK && found == PAGE; first = false) {
        err = blob_list(g->blob, first ? NULL : &last, page, PAGE, &found);
        err =
            err == SH_OK ? grow((void **)&g->blobs, sizeof *g->blobs, g->count, &g->capacity) : err;
        for (uint32_t i = 0; err == SH_OK && i < found; i++) {
            err = list_one(g, &page[i]);
            last = page[i];
        }
    }
    return err;
}

static enum sh_err list_jobs(struct garbage *g)
{
    uint32_t found = PAGE;
    uint64_t from = 0;
    enum sh_err err = SH_OK;
    while (err == SH_OK && found == PAGE) {
        err = grow((void **)&g->jobs, sizeof *g->jobs, g->job_count, &g->job_capacity);
        err = err == SH_OK ? series_jobs(&g->series, from, g->jobs + g->job_count, PAGE, &found)
                           : err;
        g->job_count += err == SH_OK ? found : 0;
        from = g->job_count > 0 ? g->jobs[g->job_count - 1] + 1 : 0;
    }
    return err;
}

enum sh_err garbage_list(struct garbage *g)
{
    g->count = 0;
    g->job_count = 0;
    enum sh_err err = list_blobs(g);
    return err == SH_OK ? list_jobs(g) : err;
}

static int by_id(const void *a, const void *b)
{
    return memcmp(a, b, SH_DIGEST_BYTES);
}

static void name(void *ctx, const uint8_t digest[static SH_DIGEST_BYTES])
{
    struct garbage *g = ctx;
    struct held *h =
        g->count == 0 ? NULL : bsearch(digest, g->blobs, g->count, sizeof *g->blobs, by_id);
    if (h != NULL) {
        h->named = true;
    }
}

enum sh_err garbage_mark(struct garbage *g, const struct sh_table *table)
{
    struct jobs_job job;
    size_t gone = 0;
    enum sh_err err = jobs_blobs_named(table, name, g);
    for (size_t i = 0; err == SH_OK && i < g->job_count; i++) {
        err = jobs_job_get(table, g->jobs[i], &job);
        if (err == SH_ERR_NOT_FOUND || (err == SH_OK && job.results_gone)) {
            g->jobs[gone] = g->jobs[i];
            gone++;
            err = SH_OK;
        }
    }
    g->job_count = gone;
    return err;
}

static enum sh_err drop_series(struct garbage *g)
{
    struct kv_batch batch;
    kv_batch_init(&batch);
    for (size_t i = 0; i < g->job_count; i++) {
        series_drop_job(&g->series, &batch, g->jobs[i]);
    }
    enum sh_err err = g->job_count > 0 ? kv_write(g->series.kv, &batch, false) : SH_OK;
    kv_batch_fini(&batch);
    return err;
}

/* OK also where somebody has written it anew, or deleted it, since it was listed. */
static enum sh_err sweep_one(struct garbage *g, const struct held *h, bool go,
                             struct service_garbage *out)
{
    enum sh_err err = go ? blob_collect(g->blob, &h->id, &h->lease, NULL) : SH_OK;
    if (err == SH_OK) {
        out->loose_blobs++;
        out->loose_bytes += h->size;
    }
    if (err == SH_ERR_IN_USE) {
        out->leased_blobs++;
        out->leased_bytes += h->size;
    }
    return err == SH_ERR_IN_USE || err == SH_ERR_NOT_FOUND ? SH_OK : err;
}

enum sh_err garbage_sweep(struct garbage *g, bool go, struct service_garbage *out)
{
    uint32_t partials = 0;
    enum sh_err err = SH_OK;
    *out = (struct service_garbage){.blobs = g->count, .jobs = g->job_count};
    for (size_t i = 0; err == SH_OK && i < g->count; i++) {
        const struct held *h = &g->blobs[i];
        out->bytes += h->size;
        if (!h->named && h->lease.left_us > 0) {
            out->leased_blobs++;
            out->leased_bytes += h->size;
        } else if (!h->named) {
            err = sweep_one(g, h, go, out);
        }
    }
    if (err == SH_OK && go) {
        err = blob_collect_partial(g->blob, &partials);
    }
    out->partials = partials;
    return err == SH_OK && go ? drop_series(g) : err;
}

bool garbage_named(const struct garbage *g, size_t *at, struct blob_id *id)
{
    while (*at < g->count && !g->blobs[*at].named) {
        (*at)++;
    }
    bool more = *at < g->count;
    if (more) {
        *id = g->blobs[*at].id;
        (*at)++;
    }
    return more;
}
