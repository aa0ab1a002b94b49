/* SPDX-License-Identifier: Apache-2.0
 *
 * What stays of jobs: which blobs the rows name, and what goes when a job or a model is removed, or
 * when newer jobs of its name have taken the place of what a job left. */
#include "jobs/config.h"
#include "jobs/jobs.h"
#include "jobs/tx.h"

uint64_t jobs_keep_users(struct jobs_tx *tx, const uint8_t digest[static SH_DIGEST_BYTES])
{
    struct jobs_row_key key = jobs_row_blob(digest);
    struct sh_span value;
    uint64_t users = 0;
    if (tx->table->get(tx->table->ctx, jobs_row_span(&key), &value)) {
        (void)jobs_tx_found(tx, jobs_row_get_index(value, &users));
    }
    return users;
}

void jobs_keep_use(struct jobs_tx *tx, bool begins)
{
    const struct jobs_job *job = &tx->core->job;
    for (uint32_t i = 0; i < job->blob_count; i++) {
        uint64_t users = jobs_keep_users(tx, job->blobs[i]);
        SH_CHECK(begins || users > 0 || tx->broken);
        users = begins ? users + 1 : users - 1;
        if (users > 0) {
            jobs_tx_put(tx, jobs_row_blob(job->blobs[i]),
                        jobs_row_put_index(tx->core->buffer, users));
        } else {
            jobs_tx_del(tx, jobs_row_blob(job->blobs[i]));
        }
    }
}

static void del_below(struct jobs_tx *tx, const struct jobs_row_key *prefix)
{
    struct jobs_row_key low = *prefix;
    struct jobs_row_key high = jobs_row_beyond(prefix);
    struct sh_span key;
    struct sh_span value;
    while (tx->table->seek(tx->table->ctx, jobs_row_span(&low), jobs_row_span(&high), false, &key,
                           &value)) {
        struct jobs_row_key row = {.size = key.size};
        SH_CHECK_CMP(key.size, <=, sizeof row.at);
        memcpy(row.at, key.at, key.size);
        low = jobs_row_past(key);
        jobs_tx_del(tx, row);
    }
}

/* ---- models ---- */

static bool in_use(struct jobs_tx *tx, const struct jobs_model *model)
{
    return jobs_keep_users(tx, model->outcome.file) > 0;
}

/* With what it was found to be worth. */
static void del_model(struct jobs_tx *tx, const char *name, uint32_t version)
{
    struct jobs_row_key evaluations = jobs_row_evaluation(name, version, NULL);
    del_below(tx, &evaluations);
    SH_CHECK_CMP(tx->meta.models, >, 0);
    jobs_tx_del(tx, jobs_row_model(name, version));
    tx->meta.models--;
}

/* All versions of a name: looks whether they may go, or lets them go. */
static enum jobs_code each_version(struct jobs_tx *tx, const char *name, bool go)
{
    struct jobs_model *model = &tx->core->model;
    uint32_t version = 0;
    uint32_t count = 1;
    uint32_t seen = 0;
    while (count == 1) {
        (void)jobs_tx_found(tx, jobs_model_list(tx->table, name, version, model, 1, &count));
        count = tx->broken || (count == 1 && strcmp(model->name, name) != 0) ? 0 : count;
        if (count == 1 && !go && in_use(tx, model)) {
            return JOBS_CODE_MODEL_IN_USE;
        }
        if (count == 1) {
            seen++;
            version = model->version;
        }
        if (count == 1 && go) {
            del_model(tx, name, version);
        }
    }
    return seen > 0 ? JOBS_CODE_NONE : JOBS_CODE_MODEL_UNKNOWN;
}

enum jobs_code jobs_do_model_remove(struct jobs_tx *tx, const struct jobs_model_remove *c)
{
    if (c->version == 0) {
        enum jobs_code code = each_version(tx, c->name, false);
        return code == JOBS_CODE_NONE ? each_version(tx, c->name, true) : code;
    }
    struct jobs_model *model = &tx->core->model;
    if (!jobs_tx_found(tx, jobs_model_get(tx->table, c->name, c->version, model))) {
        return JOBS_CODE_MODEL_UNKNOWN;
    }
    if (in_use(tx, model)) {
        return JOBS_CODE_MODEL_IN_USE;
    }
    del_model(tx, c->name, c->version);
    return JOBS_CODE_NONE;
}

/* ---- results ---- */

/* Of a unit of core->elder. */
static void drop_unit(struct jobs_tx *tx, struct jobs_unit *unit)
{
    const char *name = tx->core->elder.name;
    struct jobs_model *model = &tx->core->model;
    struct jobs_row_key checkpoints = jobs_row_unit('c', unit->id);
    if (unit->checkpoints > 0) {
        del_below(tx, &checkpoints);
        unit->checkpoints = 0;
        jobs_tx_put(tx, jobs_row_unit('u', unit->id), jobs_row_put_unit(tx->core->buffer, unit));
    }
    if (unit->model_version != 0 &&
        jobs_tx_found(tx, jobs_model_get(tx->table, name, unit->model_version, model)) &&
        !in_use(tx, model)) {
        del_model(tx, name, unit->model_version);
    }
}

static void drop_results(struct jobs_tx *tx)
{
    struct jobs_job *job = &tx->core->elder;
    struct jobs_unit *unit = &tx->core->sibling;
    for (uint32_t i = 0; i < job->units && !tx->broken; i++) {
        struct wire_unit id = {.job = job->id, .unit = i};
        if (jobs_tx_found(tx, jobs_unit_get(tx->table, id, unit))) {
            drop_unit(tx, unit);
        }
    }
    job->results_gone = true;
    jobs_tx_put(tx, jobs_row_u64('j', job->id), jobs_row_put_job(tx->core->buffer, job));
}

/* How many jobs of the name of core->job keep what they left; 0: all. */
static uint32_t keep_of(struct jobs_tx *tx)
{
    uint64_t keep = tx->core->job.keep_results;
    if (keep == 0 && !jobs_tx_found(tx, jobs_setting_get(tx->table, "keep-results", &keep))) {
        keep = 0;
    }
    return (uint32_t)keep;
}

void jobs_keep_newest(struct jobs_tx *tx)
{
    uint32_t keep = keep_of(tx);
    struct jobs_row_key prefix = jobs_row_named(tx->core->job.name);
    struct jobs_row_key high = jobs_row_beyond(&prefix);
    struct jobs_job *elder = &tx->core->elder;
    struct sh_span key;
    struct sh_span value;
    uint32_t kept = 0;
    for (uint32_t i = 0; keep > 0 && i < JOBS_RETAIN_LOOK && !tx->broken; i++) {
        if (!tx->table->seek(tx->table->ctx, jobs_row_span(&prefix), jobs_row_span(&high), true,
                             &key, &value)) {
            break;
        }
        uint64_t id = sh_key_u64_get(key.at + prefix.size);
        high = jobs_row_then_u64(prefix, id);
        if (!jobs_tx_found(tx, jobs_job_get(tx->table, id, elder))) {
            tx->broken = true;
        } else if (jobs_state_final(elder->state) && !elder->results_gone) {
            if (kept >= keep) {
                drop_results(tx);
            } else {
                kept += elder->state == JOBS_COMPLETED;
            }
        }
    }
}

/* ---- jobs ---- */

static void del_key(struct jobs_tx *tx, const struct jobs_job *job)
{
    struct jobs_row_key key = jobs_row_name('i', job->key);
    struct sh_span value;
    struct jobs_row_idem idem;
    if (job->key[0] != '\0' && tx->table->get(tx->table->ctx, jobs_row_span(&key), &value) &&
        jobs_tx_found(tx, jobs_row_get_idem(value, &idem)) && idem.job == job->id) {
        jobs_tx_del(tx, key);
    }
}

/* The changes it made stay for those who watch, as long as others do; only the first one, which is
 * read from its row, goes with that. */
enum jobs_code jobs_do_job_remove(struct jobs_tx *tx, const struct jobs_job_remove *c)
{
    struct jobs_job *job = &tx->core->job;
    if (!jobs_tx_found(tx, jobs_job_get(tx->table, c->job, job))) {
        return JOBS_CODE_JOB_UNKNOWN;
    }
    tx->result->unit.job = job->id;
    if (!jobs_state_final(job->state)) {
        return JOBS_CODE_JOB_OPEN;
    }
    tx->core->event = (struct jobs_event){.seq = job->event_next,
                                          .unit = JOBS_EVENT_ALL_UNITS,
                                          .stamp_us = tx->meta.stamp_us,
                                          .cause = WIRE_CAUSE_REMOVED,
                                          .unit_state = job->state,
                                          .job_state = job->state};
    jobs_change_note(tx);
    struct jobs_row_key spec = jobs_row_u64('s', job->id); /* units and events lie below */
    struct jobs_row_key checkpoints = jobs_row_u64('c', job->id);
    del_below(tx, &spec);
    del_below(tx, &checkpoints);
    del_key(tx, job);
    jobs_tx_del(tx, jobs_row_then_u64(jobs_row_state(job->state), job->id));
    jobs_tx_del(tx, jobs_row_then_u64(jobs_row_named(job->name), job->id));
    jobs_tx_del(tx, jobs_row_u64('j', job->id));
    SH_CHECK_CMP(tx->meta.jobs_in[job->state], >, 0);
    tx->meta.jobs_in[job->state]--;
    tx->meta.jobs--;
    return JOBS_CODE_NONE;
}

/* ---- which blobs the rows name ---- */

struct naming {
    const struct sh_table *t;
    jobs_blob_fn fn;
    void *ctx;
};

static void name_blob(const struct naming *n, const uint8_t *digest)
{
    static const uint8_t none[SH_DIGEST_BYTES];
    if (memcmp(digest, none, sizeof none) != 0) {
        n->fn(n->ctx, digest);
    }
}

/* Some of an outcome's digests are of no blob; whoever looks for blobs finds none of those. */
static void name_outcome(const struct naming *n, const struct jobs_outcome *outcome)
{
    name_blob(n, outcome->file);
    name_blob(n, outcome->model);
    name_blob(n, outcome->state);
}

static enum sh_err name_units(const struct naming *n, const struct jobs_job *job)
{
    struct jobs_unit unit;
    struct jobs_checkpoint checkpoints[JOBS_KEEP_MAX];
    enum sh_err err = SH_OK;
    for (uint32_t i = 0; i < job->units && err == SH_OK; i++) {
        uint32_t count = 0;
        err = jobs_unit_get(n->t, (struct wire_unit){job->id, i}, &unit);
        if (err == SH_OK && unit.committed) {
            name_outcome(n, &unit.outcome);
        }
        if (err == SH_OK && unit.checkpoints > 0) {
            err = jobs_checkpoint_list(n->t, unit.id, checkpoints, JOBS_KEEP_MAX, &count);
        }
        for (uint32_t k = 0; k < count; k++) {
            name_blob(n, checkpoints[k].manifest);
        }
    }
    return err;
}

/* Sets that jobs made; those that agents declared are no blobs. */
static enum sh_err name_datasets(const struct naming *n)
{
    struct jobs_dataset set = {.name = ""};
    uint32_t count = 1;
    enum sh_err err = SH_OK;
    while (err == SH_OK && count == 1) {
        err = jobs_dataset_list(n->t, set.name, &set, 1, &count);
        if (err == SH_OK && count == 1 && set.unit.job != 0) {
            name_blob(n, set.digest);
        }
    }
    return err;
}

static enum sh_err name_job(const struct naming *n, const struct jobs_job *job)
{
    if (job->results_gone) {
        return SH_OK;
    }
    for (uint32_t i = 0; i < job->blob_count; i++) {
        name_blob(n, job->blobs[i]);
    }
    return job->kind == WIRE_KIND_NOOP ? SH_OK : name_units(n, job);
}

enum sh_err jobs_blobs_named(const struct sh_table *t, jobs_blob_fn fn, void *ctx)
{
    struct naming n = {.t = t, .fn = fn, .ctx = ctx};
    struct jobs_job job;
    struct jobs_model model = {.name = ""};
    uint64_t before = 0;
    uint32_t count = 0;
    enum sh_err err = SH_OK;
    do {
        err = jobs_job_list(t, &before, 0, &job, 1, &count);
        if (err == SH_OK && count == 1) {
            err = name_job(&n, &job);
        }
    } while (err == SH_OK && before != 0);
    for (count = 1; err == SH_OK && count == 1;) {
        err = jobs_model_list(t, model.name, model.version, &model, 1, &count);
        if (err == SH_OK && count == 1) {
            name_outcome(&n, &model.outcome);
        }
    }
    return err == SH_OK ? name_datasets(&n) : err;
}
