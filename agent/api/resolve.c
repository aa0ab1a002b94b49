/* SPDX-License-Identifier: Apache-2.0 */
#include "api/resolve.h"

#include "api/reference.h"
#include "base/host/host.h"
#include "infer/tune.h"
#include "spec/models.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_ROWS 64u

/* One resolution under way. */
struct resolve {
    const struct api_request *request;
    struct api_reply *reply;
    const struct sh_table *t;
    struct spec_job *job;
    struct api_resolution *out;
    struct jobs_model *row;
    struct spec_job *maker; /* the script that made the model looked at last */
    uint64_t maker_id;      /* its job; 0: none yet */
};

static bool uses_models(const struct spec_job *job)
{
    return job->kind == SPEC_FINE_TUNE || job->kind == SPEC_EVALUATE || job->kind == SPEC_PREDICT ||
           job->kind == SPEC_ENSEMBLE;
}

/* ---- data sets that jobs made ---- */

static size_t list_sources(struct spec_job *job, struct spec_source *out[static 4])
{
    out[0] = &job->data.train;
    out[1] = &job->data.validation;
    out[2] = &job->data.test;
    out[3] = &job->input;
    return 4;
}

static bool names_dataset(struct spec_job *job)
{
    struct spec_source *sources[4];
    bool named = false;
    for (size_t i = 0; i < list_sources(job, sources); i++) {
        named = named || sources[i]->kind == SPEC_SOURCE_DATASET;
    }
    return named;
}

/* Of a set that a job made, any agent can fetch the bytes; declared files stay where they are. */
static void resolve_datasets(struct resolve *r)
{
    struct spec_source *sources[4];
    struct jobs_dataset *set = malloc(sizeof *set);
    for (size_t i = 0; set != NULL && i < list_sources(r->job, sources); i++) {
        struct spec_source *source = sources[i];
        if (source->kind == SPEC_SOURCE_DATASET &&
            jobs_dataset_get(r->t, source->name, set) == SH_OK && set->unit.job != 0) {
            *source = (struct spec_source){.kind = SPEC_SOURCE_FILES};
            memcpy(source->digest, set->digest, sizeof source->digest);
            r->out->uses = true;
        }
    }
    free(set);
}

/* ---- models ---- */

static const char *field_of(const struct spec_job *job)
{
    return job->kind == SPEC_ENSEMBLE ? "models" : job->kind == SPEC_FINE_TUNE ? "from" : "model";
}

static bool refuse(struct resolve *r, enum sh_err err, const struct spec_model_ref *ref,
                   const char *what)
{
    char text[SPEC_MODEL_REF_BYTES];
    spec_model_ref_write(ref, text);
    api_reply_error(r->reply, err, field_of(r->job), text, "%s", what);
    return false;
}

static bool refuse_reference(struct resolve *r, enum sh_err err, const struct spec_model_ref *ref)
{
    char why[API_REFERENCE_WHY];
    api_reference_why(r->t, ref, err, why);
    return refuse(r, err, ref, why);
}

static void take_row(struct spec_model_ref *ref, const struct jobs_model *row)
{
    memcpy(ref->name, row->name, sizeof ref->name);
    ref->version = row->version;
    ref->alias = SPEC_ALIAS_NONE;
    ref->resolved = true;
    /* What a script calls its model has any form. */
    ref->script = memcmp(row->outcome.model, row->outcome.file, SH_DIGEST_BYTES) == 0;
    ref->job = row->unit.job;
    memcpy(ref->file, row->outcome.file, sizeof ref->file);
}

static bool resolve_ref(struct resolve *r, struct spec_model_ref *ref)
{
    struct spec_model_ref before = *ref;
    enum sh_err err = api_reference_find(r->t, ref, r->row);
    if (err == SH_ERR_NOT_FOUND || err == SH_ERR_INVALID) {
        return refuse_reference(r, err, ref);
    }
    if (err != SH_OK) {
        api_reply_err(r->reply, err);
        return false;
    }
    take_row(ref, r->row);
    if (before.resolved && memcmp(before.file, ref->file, sizeof ref->file) != 0) {
        return refuse(r, SH_ERR_CONFLICT, ref, "this version has another file than the job names");
    }
    return true;
}

/* All versions of the one model that is named, in their order, but what was stopped early. */
static bool resolve_all(struct resolve *r)
{
    struct spec_use *use = &r->job->use;
    struct spec_model_ref named = use->models[0];
    struct jobs_model *page = malloc(PAGE_ROWS * sizeof *page);
    uint32_t count = page != NULL ? PAGE_ROWS : 0;
    uint32_t version = 0;
    bool more = page != NULL;
    use->count = 0;
    while (more && count == PAGE_ROWS) {
        more = jobs_model_list(r->t, named.name, version, page, PAGE_ROWS, &count) == SH_OK;
        for (uint32_t i = 0; more && i < count; i++) {
            more = strcmp(page[i].name, named.name) == 0;
            bool member = more && !page[i].partial;
            version = page[i].version;
            if (member && use->count < SPEC_MODELS_MAX) {
                take_row(&use->models[use->count++], &page[i]);
            } else if (member) {
                free(page);
                return refuse(r, SH_ERR_LIMIT, &named,
                              "has more versions than an ensemble has members: list some");
            }
        }
    }
    free(page);
    use->all = false;
    return use->count > 0 || refuse_reference(r, SH_ERR_NOT_FOUND, &named);
}

static bool resolve_models(struct resolve *r)
{
    struct spec_use *use = &r->job->use;
    if (use->all) {
        return resolve_all(r);
    }
    for (uint32_t i = 0; i < use->count; i++) {
        if (!resolve_ref(r, &use->models[i])) {
            return false;
        }
        for (uint32_t k = 0; k < i; k++) {
            if (use->models[k].version == use->models[i].version &&
                strcmp(use->models[k].name, use->models[i].name) == 0) {
                return refuse(r, SH_ERR_INVALID, &use->models[i], "is a member twice");
            }
        }
    }
    return true;
}

/* ---- models of scripts ---- */

static bool read_maker(struct resolve *r, const struct spec_model_ref *ref)
{
    struct sh_span spec;
    struct spec_errors *errors = malloc(sizeof *errors);
    if (r->maker_id == ref->job || errors == NULL) {
        free(errors);
        return r->maker_id == ref->job;
    }
    enum sh_err err = jobs_spec_get(r->t, ref->job, &spec);
    err = err != SH_OK ? err : spec_parse((const char *)spec.at, spec.size, r->maker, errors);
    free(errors);
    r->maker_id = err == SH_OK ? ref->job : 0;
    if (err != SH_OK) {
        char text[96];
        (void)snprintf(text, sizeof text, "job %llu, which made it, is gone, and its commands too",
                       (unsigned long long)ref->job);
        return refuse(r, SH_ERR_NOT_FOUND, ref, text);
    }
    return true;
}

static bool check_script(struct resolve *r, const struct spec_model_ref *ref)
{
    if (!read_maker(r, ref)) {
        return false;
    }
    const struct spec_exec *exec = &r->maker->exec;
    bool measures = r->job->kind == SPEC_EVALUATE;
    if (measures ? exec->evaluate_count == 0 : exec->predict_count == 0) {
        return refuse(r, SH_ERR_INVALID, ref,
                      measures ? "the job that made it has no evaluate commands"
                               : "the job that made it has no predict commands");
    }
    struct api_resolution *out = r->out;
    out->sandbox = exec->sandbox > out->sandbox ? exec->sandbox : out->sandbox;
    bool first = !out->commands;
    bool same = memcmp(&out->package.digest, &exec->package.digest, SH_DIGEST_BYTES) == 0;
    out->package = first || same ? exec->package : (struct spec_source){.kind = SPEC_SOURCE_NONE};
    out->commands = true;
    return true;
}

static bool check_kinds(struct resolve *r)
{
    const struct spec_use *use = &r->job->use;
    for (uint32_t i = 0; i < use->count; i++) {
        const struct spec_model_ref *ref = &use->models[i];
        if (ref->script && r->job->kind == SPEC_FINE_TUNE) {
            return refuse(r, SH_ERR_INVALID, ref,
                          "was made by a script; only what shoal trained can be trained on");
        }
        if (ref->script != use->models[0].script) {
            return refuse(r, SH_ERR_INVALID, ref,
                          "an ensemble has models of scripts or models that shoal trained, not "
                          "both");
        }
        if (ref->script && !check_script(r, ref)) {
            return false;
        }
    }
    bool measures = r->job->kind == SPEC_EVALUATE;
    const struct spec_source *asked = measures ? &r->job->data.test : &r->job->input;
    if (use->models[0].script && asked->kind == SPEC_SOURCE_BUILTIN) {
        api_reply_error(r->reply, SH_ERR_INVALID, measures ? "data.test" : "input", asked->name,
                        "is built in; the model was made by a script, which takes files");
        return false;
    }
    if (measures && !use->models[0].script && r->job->data.test.kind == SPEC_SOURCE_NONE) {
        api_reply_error(r->reply, SH_ERR_INVALID, "data.test", "",
                        "is missing: what the model is to be measured on");
        return false;
    }
    return true;
}

/* ---- what the job is about ---- */

/* A name for people, and what tells these data from others. */
static void describe_data(struct resolve *r, const struct spec_source *source)
{
    struct jobs_about *about = &r->out->about;
    char hex[2 * SH_DIGEST_BYTES + 1];
    struct jobs_dataset *set = NULL;
    switch (source->kind) {
    case SPEC_SOURCE_NONE: /* a script's own */
        (void)snprintf(about->data, sizeof about->data, "of the package");
        break;
    case SPEC_SOURCE_BUILTIN:
        (void)snprintf(about->data, sizeof about->data, "builtin:%.40s", source->name);
        sh_blake2b(about->digest, sizeof about->digest, about->data, strlen(about->data));
        break;
    case SPEC_SOURCE_DATASET:
        (void)snprintf(about->data, sizeof about->data, "dataset:%.54s", source->name);
        set = malloc(sizeof *set);
        if (set != NULL && jobs_dataset_get(r->t, source->name, set) == SH_OK) {
            memcpy(about->digest, set->digest, sizeof about->digest);
        }
        free(set);
        break;
    case SPEC_SOURCE_FILES:
        sh_hex(hex, source->digest, sizeof source->digest);
        (void)snprintf(about->data, sizeof about->data, "files:%.16s", hex);
        memcpy(about->digest, source->digest, sizeof about->digest);
        break;
    case SPEC_SOURCE_PATH:
        break; /* refused later */
    }
}

static void describe(struct resolve *r)
{
    const struct spec_job *job = r->job;
    struct jobs_about *about = &r->out->about;
    if (uses_models(job) && job->kind != SPEC_ENSEMBLE) {
        memcpy(about->model, job->use.models[0].name, sizeof about->model);
        about->version = job->use.models[0].version;
    }
    if (job->kind == SPEC_EVALUATE) {
        describe_data(r, &job->data.test);
    } else if (job->kind == SPEC_EXEC && job->exec.results.count > 0) {
        (void)snprintf(about->data, sizeof about->data, "%.*s", (int)SH_NAME_MAX,
                       spec_word(&job->exec, job->exec.results, 0));
    }
}

/* ---- the model section of fine-tuning ---- */

static bool resolve_tuned(struct resolve *r)
{
    struct spec_job *job = r->job;
    const struct spec_model_ref *ref = &job->use.models[0];
    struct kn_diag why = {.text = ""};
    uint64_t size = 0;
    uint8_t *bytes =
        api_read_blob(r->request, r->reply, field_of(job), ref->name, ref->file, &size);
    if (bytes == NULL) {
        return false;
    }
    struct infer *parent = NULL;
    enum sh_err err = infer_open(bytes, (size_t)size, &parent, &why);
    if (err == SH_OK) {
        infer_tune_fill(parent, job);
        err = infer_tune_check(parent, job, &why);
        infer_close(parent);
    }
    free(bytes);
    return err == SH_OK || refuse(r, err, ref, why.text);
}

/* ---- all of it ---- */

/* A job that was submitted under this key before: its names mean what they meant then. */
static void take_earlier(struct resolve *r, const char *key)
{
    struct jobs_job row;
    struct sh_span spec;
    struct spec_errors *errors = malloc(sizeof *errors);
    struct spec_job *earlier = malloc(sizeof *earlier);
    bool known = key[0] != '\0' && errors != NULL && earlier != NULL &&
                 jobs_job_by_key(r->t, key, &row) == SH_OK &&
                 jobs_spec_get(r->t, row.id, &spec) == SH_OK &&
                 spec_parse((const char *)spec.at, spec.size, earlier, errors) == SH_OK &&
                 earlier->kind == r->job->kind;
    if (known) {
        struct spec_source *now[4];
        struct spec_source *then[4];
        struct spec_use *use = &r->job->use;
        for (size_t i = 0; i < list_sources(r->job, now) && list_sources(earlier, then) > 0; i++) {
            bool made = now[i]->kind == SPEC_SOURCE_DATASET && then[i]->kind == SPEC_SOURCE_FILES;
            *now[i] = made ? *then[i] : *now[i];
        }
        bool all = use->all && strcmp(use->models[0].name, earlier->use.models[0].name) == 0;
        bool listed = !use->all && use->count == earlier->use.count;
        for (uint32_t i = 0; listed && i < use->count; i++) {
            listed = strcmp(use->models[i].name, earlier->use.models[i].name) == 0;
        }
        for (uint32_t i = 0; (all || listed) && i < earlier->use.count; i++) {
            bool newest = all || use->models[i].version == 0;
            use->models[i] = newest ? earlier->use.models[i] : use->models[i];
        }
        use->count = all ? earlier->use.count : use->count;
        use->all = use->all && !all;
    }
    free(earlier);
    free(errors);
}

static bool resolve_in_view(struct resolve *r, const char *key)
{
    take_earlier(r, key);
    resolve_datasets(r);
    if (uses_models(r->job)) {
        r->out->uses = true;
        if (!resolve_models(r) || !check_kinds(r)) {
            return false;
        }
        r->job->units = r->job->use.count;
    }
    describe(r);
    return true;
}

bool api_resolve(const struct api_request *request, struct api_reply *reply, const char *key,
                 struct spec_job *job, struct api_resolution *out)
{
    struct service_view *view = NULL;
    struct resolve r = {.request = request, .reply = reply, .job = job, .out = out};
    *out = (struct api_resolution){.uses = false};
    if (!uses_models(job) && !names_dataset(job)) {
        describe(&r);
        return true;
    }
    r.row = malloc(sizeof *r.row);
    r.maker = malloc(sizeof *r.maker);
    bool good = r.row != NULL && r.maker != NULL;
    if (!good) {
        api_reply_err(reply, SH_ERR_NO_MEMORY);
    }
    good = good && api_open_view(request, reply, &view);
    if (good) {
        r.t = service_view_table(view);
        good = resolve_in_view(&r, key);
        service_view_close(view);
    }
    good = good && (job->kind != SPEC_FINE_TUNE || resolve_tuned(&r));
    free(r.row);
    free(r.maker);
    return good;
}
