/* SPDX-License-Identifier: Apache-2.0 */
#include "api/reference.h"

#include "kernels/score/results.h"
#include "sweep/sweep.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_ROWS 16u
#define TOLD_MAX  8u /* versions of an error */

enum by { BY_SCORE, BY_TEST, BY_VALIDATION, BY_LOSS, BY_ACCURACY, BY_RMSE, BY_COUNT };

/* What versions are compared by. */
struct yardstick {
    enum by by;
    bool smallest;  /* is the best */
    uint64_t sweep; /* the job whose versions count, 0: all */
};

static double ratio(uint64_t part, uint64_t whole)
{
    return whole > 0 ? (double)part / (double)whole : (double)NAN;
}

/* Not a number where it was not measured. */
static double value_of(const struct jobs_model *m, enum by by)
{
    const struct jobs_metrics *metrics = &m->outcome.metrics;
    const struct jobs_figures *figures = &m->outcome.figures;
    switch (by) {
    case BY_SCORE:
        return m->outcome.scored ? m->outcome.score : (double)NAN;
    case BY_TEST:
        return ratio(metrics->test_correct, metrics->test_total);
    case BY_VALIDATION:
        return ratio(metrics->val_correct, metrics->val_total);
    case BY_LOSS: /* 0: there was no validation */
        return metrics->val_loss > 0 ? metrics->val_loss : (double)NAN;
    case BY_ACCURACY:
        return figures->samples > 0 ? figures->at[KN_METRIC_ACCURACY] : (double)NAN;
    case BY_RMSE:
        return figures->samples > 0 ? figures->at[KN_METRIC_RMSE] : (double)NAN;
    case BY_COUNT:
        break;
    }
    SH_UNREACHABLE();
}

/* A score is worth something beside those of its own sweep, or of reinforcement learning. */
static bool judge_scores(const struct sh_table *t, const struct jobs_model *m, struct yardstick *y)
{
    struct jobs_job job;
    struct sweep *sweep = NULL;
    if (jobs_job_get(t, m->unit.job, &job) != SH_OK) {
        return false;
    }
    if (job.kind == WIRE_KIND_RL) {
        y->smallest = false;
        return true;
    }
    if (sweep_open(&sweep, t, &job) != SH_OK) {
        return false;
    }
    y->sweep = job.id;
    y->smallest = sweep_form(sweep)->goal == SPEC_GOAL_MIN;
    sweep_close(sweep);
    return true;
}

static bool choose(const struct sh_table *t, const struct jobs_model *newest, struct yardstick *y)
{
    *y = (struct yardstick){.by = BY_SCORE};
    for (; y->by < BY_COUNT; y->by++) {
        bool measured = isfinite(value_of(newest, y->by));
        y->smallest = y->by == BY_LOSS || y->by == BY_RMSE;
        if (measured && (y->by != BY_SCORE || judge_scores(t, newest, y))) {
            return true;
        }
    }
    return false;
}

static bool is_better(const struct yardstick *y, const struct jobs_model *a,
                      const struct jobs_model *than)
{
    double mine = value_of(a, y->by);
    double theirs = value_of(than, y->by);
    bool counts = isfinite(mine) && (y->sweep == 0 || a->unit.job == y->sweep);
    bool equal = !(mine < theirs) && !(mine > theirs);
    return counts && (equal         ? a->version > than->version
                      : y->smallest ? mine < theirs
                                    : mine > theirs);
}

/* ---- finding ---- */

typedef void version_fn(void *ctx, const struct jobs_model *m);

/* All versions of a model in their order. */
static enum sh_err each_version(const struct sh_table *t, const char *name, version_fn *fn,
                                void *ctx)
{
    struct jobs_model *page = malloc(PAGE_ROWS * sizeof *page);
    uint32_t count = PAGE_ROWS;
    uint32_t after = 0;
    enum sh_err err = page != NULL ? SH_OK : SH_ERR_NO_MEMORY;
    while (err == SH_OK && count == PAGE_ROWS) {
        err = jobs_model_list(t, name, after, page, PAGE_ROWS, &count);
        for (uint32_t i = 0; err == SH_OK && i < count; i++) {
            bool same = strcmp(page[i].name, name) == 0;
            if (same) {
                fn(ctx, &page[i]);
            }
            after = page[i].version;
            count = same ? count : 0; /* behind the last version of the name */
        }
    }
    free(page);
    return err;
}

struct search {
    struct yardstick yardstick;
    struct jobs_model *out;
    bool found;
};

static void take_newest(void *ctx, const struct jobs_model *m)
{
    struct search *s = ctx;
    if (!m->partial) {
        *s->out = *m;
        s->found = true;
    }
}

static void take_better(void *ctx, const struct jobs_model *m)
{
    struct search *s = ctx;
    if (!m->partial && is_better(&s->yardstick, m, s->out)) {
        *s->out = *m;
    }
}

static enum sh_err find_newest(const struct sh_table *t, const char *name, struct jobs_model *out)
{
    struct search s = {.out = out};
    enum sh_err err = jobs_model_get(t, name, 0, out);
    if (err != SH_OK || !out->partial) {
        return err;
    }
    err = each_version(t, name, take_newest, &s);
    return err == SH_OK && !s.found ? SH_ERR_NOT_FOUND : err;
}

static enum sh_err find_best(const struct sh_table *t, const char *name, struct jobs_model *best)
{
    struct search s = {.out = best};
    enum sh_err err = find_newest(t, name, best);
    if (err != SH_OK) {
        return err;
    }
    return choose(t, best, &s.yardstick) ? each_version(t, name, take_better, &s) : SH_ERR_INVALID;
}

enum sh_err api_reference_find(const struct sh_table *t, const struct spec_model_ref *ref,
                               struct jobs_model *out)
{
    return ref->alias == SPEC_ALIAS_BEST ? find_best(t, ref->name, out)
           : ref->version == 0           ? find_newest(t, ref->name, out)
                                         : jobs_model_get(t, ref->name, ref->version, out);
}

/* ---- saying why not ---- */

struct told {
    char *text;
    size_t used;
    uint32_t count;
    uint32_t newest;
};

static void tell_version(void *ctx, const struct jobs_model *m)
{
    struct told *told = ctx;
    const char *comma = told->count > 0 ? ", " : "";
    size_t room = API_REFERENCE_WHY - told->used;
    told->newest = m->version;
    if (told->count++ < TOLD_MAX) {
        int n = snprintf(told->text + told->used, room, "%s%u", comma, m->version);
        told->used += n > 0 && (size_t)n < room ? (size_t)n : 0;
    }
}

void api_reference_why(const struct sh_table *t, const struct spec_model_ref *ref, enum sh_err err,
                       char why[static API_REFERENCE_WHY])
{
    static const char STOPPED[] = "has only versions that were stopped early: ";
    struct told told = {.text = why, .used = sizeof STOPPED - 1};
    if (err == SH_ERR_INVALID) {
        (void)snprintf(why, API_REFERENCE_WHY,
                       "its newest whole version was not measured: name a version, or NAME@latest");
        return;
    }
    memcpy(why, STOPPED, sizeof STOPPED);
    if (ref->version != 0 || each_version(t, ref->name, tell_version, &told) != SH_OK ||
        told.count == 0) {
        (void)snprintf(why, API_REFERENCE_WHY,
                       "no such model; shoal model list shows those that there are");
        return;
    }
    (void)snprintf(why + told.used, API_REFERENCE_WHY - told.used, "%s; name one, such as %s:%u",
                   told.count > TOLD_MAX ? ", ..." : "", ref->name, told.newest);
}
