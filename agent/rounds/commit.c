/* SPDX-License-Identifier: Apache-2.0 */
#include "rounds/combine.h"
#include "rounds/inside.h"

#include "metrics.h"

#include "base/host/host.h"
#include "kernels/agg/accountant.h"
#include "kernels/agg/client.h"
#include "kernels/agg/vote.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_NAMES 120u

static uint32_t weigh(const struct spec_federated *fed, const struct rounds_figures *f,
                      uint64_t stale)
{
    if (fed->weight == SPEC_WEIGHT_EQUAL) {
        return kn_client_weight(1, stale);
    }
    if (fed->weight == SPEC_WEIGHT_SAMPLES) {
        return kn_client_weight(f->samples, stale);
    }
    double accuracy = f->val_total > 0 ? (double)f->val_correct / (double)f->val_total : 0;
    return kn_client_metric_weight(accuracy, stale);
}

static void list_entries(struct rounds_lead *x, struct rounds_entries *list)
{
    const struct spec_federated *fed = &x->w->job->federated;
    struct fed_entry entry;
    *list = (struct rounds_entries){.x = x};
    for (uint32_t i = 0; i < ROUNDS_SLOTS_MAX; i++) {
        if (!fed_entry(x->fed, i, &entry)) {
            continue;
        }
        SH_CHECK_CMP(entry.update, <, SH_COUNT(x->taken));
        uint32_t at = list->count++;
        /* What was carried began with the very model that is changed now. */
        uint64_t stale = fed->late_max > 0 ? fed_round(x->fed) - entry.base : 0;
        list->place[at] = (uint32_t)entry.update;
        list->stale[at] = stale;
        list->ids[at] = rounds_key(&x->slots[i]);
        list->fates[at] = KN_VOTE_KEPT;
        list->weights[at] = weigh(fed, &x->taken[entry.update].figures, stale);
        list->weight += list->weights[at];
    }
}

static enum sh_err load_entry(void *ctx, uint32_t i, float *change, float *variates)
{
    struct rounds_entries *list = ctx;
    return rounds_read_update(list->x, &list->x->taken[list->place[i]], change, variates,
                              list->why);
}

/* Members in all (N of SCAFFOLD, option II). Who gave an update is one of them, though it be gone
 * by now: where everybody has to, a loss in this moment changes no bit of the model. */
static uint32_t count_members(const struct rounds_lead *x, uint32_t updates)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < ROUNDS_SLOTS_MAX; i++) {
        count += x->slots[i].used && x->slots[i].present ? 1 : 0;
    }
    return count > updates ? count : updates;
}

static bool all_finite(const float *x, size_t count)
{
    bool finite = true;
    for (size_t i = 0; i < count; i++) {
        finite = finite && isfinite(x[i]) != 0;
    }
    return finite;
}

/* What a rule made of the updates, for the record. */
static void tell_fates(struct rounds_entries *list)
{
    for (uint32_t i = 0; i < list->count; i++) {
        if (list->fates[i] != KN_VOTE_KEPT) {
            list->out[i] = list->fates[i] != KN_VOTE_SHORTENED;
            (void)snprintf(list->whys[i], sizeof list->whys[i], "its update: %s",
                           kn_vote_fate_text(list->fates[i]));
        }
    }
}

/* The next model into params. DIVERGED: it has numbers that are not finite. */
static enum sh_err combine(struct rounds_lead *x, struct rounds_entries *list, float *params,
                           float *change, float *variates)
{
    const struct spec_federated *fed = &x->w->job->federated;
    size_t floats = x->model.floats;
    struct rounds_updates updates = {.count = list->count,
                                     .weights = list->weights,
                                     .load = load_entry,
                                     .ctx = list,
                                     .ids = list->ids,
                                     .fates = list->fates};
    enum sh_err err = fed->secure ? rounds_secure_change(x, list, change)
                                  : rounds_combine(fed, &updates, floats,
                                                   count_members(x, list->count), change, variates);
    tell_fates(list);
    if (err != SH_OK) {
        return err;
    }
    rounds_model_get(&x->model, params);
    rounds_model_to_moments(&x->model, params);
    rounds_server_apply(fed, &x->model, params, change, x->server);
    rounds_model_from_moments(&x->model, params);
    if (!all_finite(params, floats)) {
        (void)snprintf(list->why, sizeof list->why,
                       "the model after round %llu has numbers that are not finite",
                       (unsigned long long)fed_round(x->fed) + 1);
        return SH_ERR_DIVERGED;
    }
    rounds_model_put(&x->model, params);
    for (size_t i = 0; variates != NULL && i < floats; i++) {
        x->controls[i] += variates[i];
    }
    return SH_OK;
}

static enum sh_err change_model(struct rounds_lead *x, struct rounds_entries *list)
{
    size_t floats = x->model.floats;
    bool controls = x->controls != NULL;
    float *params = malloc(floats * sizeof *params);
    float *change = malloc(floats * sizeof *change);
    float *variates = controls ? malloc(floats * sizeof *variates) : NULL;
    enum sh_err err = SH_ERR_NO_MEMORY;
    if (params != NULL && change != NULL && (!controls || variates != NULL)) {
        err = combine(x, list, params, change, variates);
    }
    free(params);
    free(change);
    free(variates);
    return err;
}

/* ---- what is told ---- */

static void measure(struct rounds_lead *x, const struct rounds_entries *list)
{
    const struct spec_federated *fed = &x->w->job->federated;
    struct rounds_measures *m = &x->measures;
    rounds_measures_begin(m);
    for (uint32_t i = 0; i < list->count; i++) {
        struct rounds_figures f = x->taken[list->place[i]].figures;
        /* Where all have the same test data, this agent's figures are those of all. */
        bool own =
            memcmp(x->slots[x->taken[list->place[i]].slot].node, x->w->me, SH_NODE_ID_BYTES) == 0;
        if (x->w->job->data.test.kind != SPEC_SOURCE_DATASET && !own) {
            f.test_loss = 0;
            f.test_correct = 0;
            f.test_total = 0;
        }
        rounds_measures_add(m, &f);
    }
    rounds_measures_end(m);
    bool loss = fed->has_target ? fed->target_loss : x->w->job->train.loss == SPEC_MSE;
    x->scored = m->val_total > 0 && isfinite(m->val_loss) != 0;
    x->score = loss ? -m->val_loss : (double)m->val_correct / (double)m->val_total;
}

/* An evaluation is told once: one by an earlier leader gives way. */
static void drop_evaluation(struct rounds_lead *x)
{
    static const char MARK[] = "\"outcome\":\"evaluated\"";
    size_t from = x->records_size;
    while (from > 0 && (from == x->records_size || x->records[from - 1] != '\n')) {
        from--;
    }
    size_t size = x->records_size - from;
    if (size > 0 && memmem(x->records + from, size, MARK, sizeof MARK - 1) != NULL) {
        x->records_size = from;
    }
}

/* What the models so far may have told of one member; NaN: no privacy was asked for. Rounds without
 * a model are counted as if they had one. */
static double epsilon_after(const struct rounds_lead *x)
{
    const struct spec_privacy *p = &x->w->job->federated.privacy;
    struct kn_ledger ledger = {{0}};
    if (!p->on || x->close.evaluates) {
        return (double)NAN;
    }
    kn_ledger_spend(&ledger, 1.0, p->noise, fed_round(x->fed) + 1);
    return kn_ledger_epsilon(&ledger, p->delta, NULL);
}

static bool add_record(struct rounds_lead *x, const struct rounds_entries *list, uint64_t took_us)
{
    struct rounds_row rows[ROUNDS_SLOTS_MAX];
    struct rounds_record record = {.round = fed_round(x->fed),
                                   .outcome = x->close.outcome,
                                   .cohort = fed_cohort(x->fed),
                                   .took_us = took_us,
                                   .epsilon = epsilon_after(x)};
    uint32_t count = 0;
    memcpy(record.model, x->pending_model, sizeof record.model);
    for (uint32_t i = 0; i < ROUNDS_SLOTS_MAX; i++) {
        const struct rounds_slot *s = &x->slots[i];
        struct rounds_row row = {.name = s->name, .part = fed_part(x->fed, i), .why = s->why};
        for (uint32_t k = 0; k < list->count; k++) {
            const struct rounds_taken *t = &x->taken[list->place[k]];
            if (t->slot == i) {
                row.counts = x->close.outcome == FED_COMMIT && !list->out[k];
                row.why = list->whys[k][0] != '\0' ? list->whys[k] : row.why;
                row.weight = list->weights[k];
                row.stale = list->stale[k];
                row.figures = &t->figures;
            }
        }
        if (s->used && (row.part != FED_PART_NONE || row.figures != NULL)) {
            rows[count++] = row;
        }
    }
    if (x->close.evaluates) {
        drop_evaluation(x);
    }
    char *line = rounds_record_line(&record, &x->measures, rows, count);
    size_t n = line != NULL ? strlen(line) : 0;
    char *all = line != NULL ? realloc(x->records, x->records_size + n + 1) : NULL;
    if (all != NULL) {
        memcpy(all + x->records_size, line, n + 1);
        x->records = all;
        x->records_size += n;
    }
    free(line);
    return all != NULL;
}

static void name_missing(const struct rounds_lead *x, char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    for (uint32_t i = 0; i < ROUNDS_SLOTS_MAX && used + 1 < size; i++) {
        enum fed_part part = fed_part(x->fed, i);
        bool missing = part != FED_PART_NONE && part != FED_PART_DELIVERED;
        if (x->slots[i].used && missing) {
            int n = snprintf(out + used, size - used, "%s%s %s", used > 0 ? ", " : "; ",
                             x->slots[i].name, fed_part_text(part));
            used += n > 0 ? (size_t)n : 0;
        }
    }
}

static void tell(struct rounds_lead *x, const struct rounds_entries *list)
{
    char missing[LINE_NAMES];
    const struct rounds_measures *m = &x->measures;
    uint64_t round = fed_round(x->fed);
    struct train_scribe *scribe = x->w->scribe;
    bool classes = x->w->job->train.loss == SPEC_CROSS_ENTROPY;
    name_missing(x, missing, sizeof missing);
    train_scribe_line(scribe, "round %llu %s: %u of %u updates%s", (unsigned long long)round + 1,
                      fed_outcome_name(x->close.outcome), list->count, fed_cohort(x->fed), missing);
    if (m->val_total > 0) {
        train_scribe_point(scribe, METRIC_VAL_LOSS, round, m->val_loss);
        if (classes) {
            train_scribe_point(scribe, METRIC_VAL_ACCURACY, round,
                               (double)m->val_correct / (double)m->val_total);
        }
    }
    if (x->close.evaluates) {
        if (m->test_total > 0) {
            train_scribe_point(scribe, METRIC_TEST_LOSS, round, m->test_loss);
        }
        if (m->test_total > 0 && classes) {
            train_scribe_point(scribe, METRIC_TEST_ACCURACY, round,
                               (double)m->test_correct / (double)m->test_total);
        }
        return;
    }
    if (isfinite(m->train_loss) != 0) {
        train_scribe_point(scribe, METRIC_LOSS, round + 1, m->train_loss);
    }
    train_scribe_point(scribe, METRIC_AGENTS, round + 1, list->count);
    double epsilon = epsilon_after(x);
    if (isfinite(epsilon) != 0) {
        train_scribe_point(scribe, METRIC_EPSILON, round + 1, epsilon);
    }
    for (uint32_t i = 0; i < list->count; i++) {
        if (list->out[i]) {
            train_scribe_line(scribe, "round %llu goes on without %s: %.150s",
                              (unsigned long long)round + 1,
                              x->slots[x->taken[list->place[i]].slot].name, list->whys[i]);
        }
    }
    train_scribe_point(scribe, METRIC_EPOCH, round + 1,
                       (double)(round + 1) * x->w->job->federated.local_epochs);
}

/* ---- the end of a round ---- */

/* The state after the round, once: however often it is proposed, it is the same. */
static bool make_pending(struct rounds_lead *x)
{
    struct rounds_entries *list = malloc(sizeof *list);
    uint64_t took = sh_now_us() - fed_opened_us(x->fed);
    enum sh_err err = list != NULL ? SH_OK : SH_ERR_NO_MEMORY;
    char why[ROUNDS_WHY_BYTES] = "";
    if (err == SH_OK) {
        list_entries(x, list);
        measure(x, list);
        if (x->close.outcome == FED_COMMIT && list->weight > 0) {
            err = change_model(x, list);
            (void)snprintf(why, sizeof why, "%s", list->why);
        }
        if (err == SH_ERR_NO_QUORUM) {
            /* Too few saw the secure sum through: a round without a model. */
            x->close.outcome = FED_SKIP;
            err = SH_OK;
        }
    }
    err = err != SH_OK ? err : rounds_model_digest(&x->model, x->pending_model);
    if (err == SH_OK && !add_record(x, list, took)) {
        err = SH_ERR_NO_MEMORY;
    }
    if (err == SH_OK) {
        x->next = fed_resume(x->fed, x->scored, x->score);
        x->pending = rounds_make_state(x, &x->next, &x->pending_size);
        err = x->pending != NULL ? SH_OK : SH_ERR_NO_MEMORY;
    }
    if (err == SH_OK) {
        tell(x, list);
    } else if (err != SH_ERR_CANCELLED) { /* else a new placement: its leader closes the round */
        train_worker_fail(x->w, err, err == SH_ERR_DIVERGED, false,
                          why[0] != '\0' ? why : sh_err_text(err));
    }
    free(list);
    return err == SH_OK;
}

/* What the closed round used is not needed any more. */
static void forget_taken(struct rounds_lead *x)
{
    struct fed_entry entry;
    bool kept[SH_COUNT(x->taken)] = {false};
    for (uint32_t i = 0; i < ROUNDS_SLOTS_MAX; i++) {
        if (fed_entry(x->fed, i, &entry)) {
            kept[entry.update] = true;
        }
    }
    for (uint32_t i = 0; i < SH_COUNT(x->taken); i++) {
        x->taken[i].used = x->taken[i].used && kept[i];
    }
}

bool rounds_close_round(struct rounds_lead *x)
{
    if (x->pending == NULL && !make_pending(x)) {
        rounds_unload(x); /* whoever is next goes on from what is committed */
        return false;
    }
    uint64_t step = x->next.round + (x->close.evaluates ? 1 : 0);
    if (!rounds_commit_state(x, x->pending, x->pending_size, step, x->digest)) {
        return false;
    }
    free(x->pending);
    x->pending = NULL;
    x->closing = false;
    x->resume = x->next;
    x->train_loss = x->close.evaluates ? x->train_loss : x->measures.train_loss;
    struct fed_event e = {.kind = FED_EV_COMMITTED};
    e.committed.scored = x->scored;
    e.committed.score = x->score;
    (void)rounds_step(x, &e);
    forget_taken(x);
    return true;
}
