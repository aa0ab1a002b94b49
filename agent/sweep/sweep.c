/* SPDX-License-Identifier: Apache-2.0 */
#include "sweep/sweep.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct sweep {
    struct spec_job *job;
    uint32_t count;
    struct jobs_unit *units;
    struct spec_score *scores;
    uint32_t *origins;
    uint32_t *before;          /* unit that each goes on from, UINT32_MAX: none */
    struct spec_start *starts; /* where its training begins */
};

static enum sh_err read_job(struct sweep *s, const struct sh_table *t, uint64_t id)
{
    struct sh_span spec;
    struct spec_errors *errors = malloc(sizeof *errors);
    s->job = malloc(sizeof *s->job);
    enum sh_err err =
        s->job != NULL && errors != NULL ? jobs_spec_get(t, id, &spec) : SH_ERR_NO_MEMORY;
    if (err == SH_OK) {
        err = spec_parse_again((const char *)spec.at, spec.size, s->job, errors);
        err = err == SH_ERR_INVALID ? SH_ERR_CORRUPT : err;
    }
    free(errors);
    return err;
}

/* What training of a later rung goes on from: the newest checkpoint of the unit that did best
 * before, which is final now. Where none is kept it begins anew. */
static enum sh_err read_start(struct sweep *s, const struct sh_table *t, uint64_t job,
                              uint32_t unit)
{
    struct jobs_checkpoint newest;
    uint32_t count = 0;
    uint32_t before = spec_sweep_before(&s->job->sweep, s->origins, unit);
    s->before[unit] = before != UINT32_MAX && s->units[before].committed ? before : UINT32_MAX;
    if (s->before[unit] == UINT32_MAX || s->job->kind != SPEC_TRAIN) {
        return SH_OK;
    }
    enum sh_err err = jobs_checkpoint_list(t, s->units[before].id, &newest, 1, &count);
    if (err == SH_OK && count > 0) {
        s->starts[unit] = (struct spec_start){.set = true, .job = job, .step = newest.step};
        memcpy(s->starts[unit].checkpoint, newest.manifest, SH_DIGEST_BYTES);
    }
    return err;
}

static enum sh_err read_units(struct sweep *s, const struct sh_table *t, const struct jobs_job *job)
{
    bool ended[SPEC_STAGES_MAX] = {false};
    uint32_t count = 0;
    _Static_assert(SPEC_STAGES_MAX == JOBS_STAGES_MAX, "stages of a job file are those of a job");
    enum sh_err err = jobs_unit_list(t, job->id, 0, s->units, s->count, &count);
    if (err != SH_OK || count != s->count) {
        return err != SH_OK ? err : SH_ERR_CORRUPT;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct jobs_outcome *o = &s->units[i].outcome;
        bool known = s->units[i].committed && o->scored && isfinite(o->score) != 0;
        s->scores[i] = (struct spec_score){.known = known, .value = known ? o->score : 0};
    }
    for (uint32_t i = 0; i < job->stage_count; i++) {
        ended[i] = jobs_stage_open(t, job, i) == 0;
    }
    spec_sweep_origins(&s->job->sweep, s->scores, ended, s->origins);
    for (uint32_t i = 0; i < count && err == SH_OK; i++) {
        err = read_start(s, t, job->id, i);
    }
    return err;
}

enum sh_err sweep_open(struct sweep **out, const struct sh_table *t, const struct jobs_job *job)
{
    *out = NULL;
    if (job->stage_count == 0) {
        return SH_ERR_NOT_FOUND;
    }
    struct sweep *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    enum sh_err err = read_job(s, t, job->id);
    s->count = err == SH_OK ? spec_sweep_units(&s->job->sweep) : 0;
    if (err == SH_OK && (s->count == 0 || s->count != job->units)) {
        err = SH_ERR_CORRUPT;
    }
    if (err == SH_OK) {
        s->units = calloc(s->count, sizeof *s->units);
        s->scores = calloc(s->count, sizeof *s->scores);
        s->origins = calloc(s->count, sizeof *s->origins);
        s->before = calloc(s->count, sizeof *s->before);
        s->starts = calloc(s->count, sizeof *s->starts);
        bool room = s->units != NULL && s->scores != NULL && s->origins != NULL &&
                    s->before != NULL && s->starts != NULL;
        err = room ? read_units(s, t, job) : SH_ERR_NO_MEMORY;
    }
    if (err != SH_OK) {
        sweep_close(s);
        return err;
    }
    *out = s;
    return SH_OK;
}

void sweep_close(struct sweep *sweep)
{
    if (sweep != NULL) {
        free(sweep->job);
        free(sweep->units);
        free(sweep->scores);
        free(sweep->origins);
        free(sweep->before);
        free(sweep->starts);
        free(sweep);
    }
}

const struct spec_sweep *sweep_form(const struct sweep *sweep)
{
    return &sweep->job->sweep;
}

const struct jobs_unit *sweep_unit(const struct sweep *sweep, uint32_t unit)
{
    SH_CHECK_CMP(unit, <, sweep->count);
    return &sweep->units[unit];
}

uint32_t sweep_best(const struct sweep *sweep)
{
    return spec_sweep_best(&sweep->job->sweep, sweep->scores, sweep->count);
}

uint32_t sweep_before(const struct sweep *sweep, uint32_t unit)
{
    SH_CHECK_CMP(unit, <, sweep->count);
    return sweep->before[unit];
}

const struct spec_start *sweep_start(const struct sweep *sweep, uint32_t unit)
{
    SH_CHECK_CMP(unit, <, sweep->count);
    return &sweep->starts[unit];
}

enum sh_err sweep_derive(const struct sweep *sweep, uint32_t unit, struct spec_derived *out)
{
    SH_CHECK_CMP(unit, <, sweep->count);
    if (sweep->origins[unit] == SPEC_ORIGIN_NONE) {
        return SH_ERR_STALE;
    }
    const struct spec_start *start = &sweep->starts[unit];
    struct spec_errors *errors = malloc(sizeof *errors);
    enum sh_err err = errors != NULL ? spec_sweep_derive(sweep->job, unit, sweep->origins[unit],
                                                         start->set ? start : NULL, out, errors)
                                     : SH_ERR_NO_MEMORY;
    free(errors);
    return err == SH_ERR_INVALID ? SH_ERR_CORRUPT : err;
}
