/* SPDX-License-Identifier: Apache-2.0 */
#include "train/inside.h"

#include "bulk.h"
#include "metrics.h"

#include "base/host/host.h"
#include "wire/frame.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is told ---- */

void train_tell_generation(struct train_session *x)
{
    char line[TRAIN_LINE_BYTES];
    const struct wire_placement *p = &x->at.placement;
    struct train_round round = train_course_at(&x->m->course, x->state.position);
    int used =
        snprintf(line, sizeof line, "%s: step %llu, %u agent%s:", wire_cause_text(x->at.cause),
                 (unsigned long long)round.step, p->member_count, p->member_count == 1 ? "" : "s");
    for (uint32_t i = 0; i < p->member_count && used < (int)sizeof line; i++) {
        used += snprintf(line + used, sizeof line - (size_t)used, " %s %u-%u", x->at.names[i],
                         p->members[i].rank_lo, p->members[i].rank_hi - 1u);
    }
    train_scribe_line(x->scribe, "%s", line);
}

/* Samples per second over the last rounds of steps; 0 before there are two. */
static double note_pace(struct train_session *x, const struct train_round *round)
{
    uint64_t now = sh_now_us();
    if (x->pace_count == TRAIN_PACE_STEPS) {
        memmove(&x->pace_us[0], &x->pace_us[1], (TRAIN_PACE_STEPS - 1) * sizeof x->pace_us[0]);
        x->pace_count--;
    }
    x->pace_us[x->pace_count++] = now;
    uint64_t span = now - x->pace_us[0];
    return span == 0 ? 0
                     : (double)(x->pace_count - 1) * (double)round->steps * (double)x->m->batch *
                           1e6 / (double)span;
}

static void tell_step(struct train_session *x, const struct train_round *round, double pace)
{
    const struct train_material *m = x->m;
    const struct train_tally *t = &x->state.tally;
    uint64_t step = round->step + round->steps;
    train_scribe_point(x->scribe, METRIC_LOSS, step, t->step_loss / m->batch);
    if (m->job->train.loss == SPEC_CROSS_ENTROPY) {
        train_scribe_point(x->scribe, METRIC_ACCURACY, step,
                           t->step_correct / ((double)m->batch * m->places));
    }
    train_scribe_point(x->scribe, METRIC_EPOCH, step,
                       (double)step / (double)m->course.steps_an_epoch);
    train_scribe_point(x->scribe, METRIC_LR, step, (double)train_material_rate(m, step - 1));
    train_scribe_point(x->scribe, METRIC_AGENTS, step,
                       x->mix != NULL ? x->company : x->at.placement.member_count);
    if (pace > 0) {
        train_scribe_point(x->scribe, METRIC_SPEED, step, pace);
    }
}

static void tell_evaluation(struct train_session *x, const struct train_round *round)
{
    const struct train_tally *t = &x->state.tally;
    bool test = round->kind == TRAIN_TEST;
    double correct = (double)(test ? t->test_correct : t->val_correct);
    double total = (double)(test ? t->test_total : t->val_total);
    train_scribe_point(x->scribe, test ? METRIC_TEST_LOSS : METRIC_VAL_LOSS, round->step,
                       test ? t->test_loss : t->val_loss);
    if (x->m->job->train.loss == SPEC_CROSS_ENTROPY) {
        train_scribe_point(x->scribe, test ? METRIC_TEST_ACCURACY : METRIC_VAL_ACCURACY,
                           round->step, correct / total);
    }
}

void train_tell_last(struct train_session *x)
{
    if (x->state.position == 0) {
        return;
    }
    struct train_round round = train_course_at(&x->m->course, x->state.position - 1);
    if (round.steps > 0) {
        tell_step(x, &round, 0);
    } else {
        tell_evaluation(x, &round);
    }
}

uint64_t train_pace_us(const struct train_session *x)
{
    uint32_t count = x->pace_count;
    return count > 1 ? (x->pace_us[count - 1] - x->pace_us[0]) / (count - 1) : 0;
}

/* The state as it is, given (free); NULL: no memory, which was told. */
static uint8_t *encode(struct train_session *x, size_t *size, uint64_t *step, uint64_t *work_us)
{
    uint64_t start = sh_now_us();
    *size = train_state_size(x->m);
    *step = train_course_at(&x->m->course, x->state.position).step;
    uint8_t *bytes = malloc(*size);
    if (bytes == NULL) {
        train_scribe_line(x->scribe, "no memory for the checkpoint after step %llu",
                          (unsigned long long)*step);
        return NULL;
    }
    train_state_encode(&x->state, x->at.placement.class, bytes);
    *work_us = train_pace_us(x) + (sh_now_us() - start);
    return bytes;
}

void train_leave(struct train_session *x, bool yields)
{
    size_t size = 0;
    uint64_t step = 0;
    uint64_t work_us = 0;
    bool keeps = train_may_stand(x);
    uint8_t *bytes = keeps ? encode(x, &size, &step, &work_us) : NULL;
    struct train_last last = {.fence = x->at.placement.fence,
                              .step = step,
                              .work_us = work_us,
                              .bytes = bytes,
                              .size = size,
                              .yields = yields};
    if (bytes != NULL || (yields && !keeps)) {
        train_clerk_last(x->clerk, &last);
    }
}

static void keep_checkpoint(struct train_session *x)
{
    size_t size = 0;
    uint64_t step = 0;
    uint64_t work_us = 0;
    uint8_t *bytes = encode(x, &size, &step, &work_us);
    if (bytes == NULL) {
        return;
    }
    if (!train_clerk_checkpoint(x->clerk, x->at.placement.fence, step, work_us, bytes, size)) {
        train_scribe_line(x->scribe,
                          "no checkpoint after step %llu: the last one is still on its "
                          "way",
                          (unsigned long long)step);
        free(bytes);
    }
}

/* ---- one round ---- */

/* With the lock: until there is a sum, or there will be none. */
static const float *await_sum(struct train_session *x)
{
    const float *sum = train_exchange_result(x->exchange);
    while (sum == NULL && !x->rank_failed && !train_interrupted(x)) {
        train_turn(x, UINT64_MAX);
        sum = train_exchange_result(x->exchange);
    }
    return sum;
}

enum train_turn train_fail_rank(struct train_session *x, const struct train_round *round)
{
    char text[TRAIN_WHY_BYTES];
    char what[48];
    unsigned long long step = round->step + round->steps;
    if (round->kind == TRAIN_LOCAL) {
        (void)snprintf(what, sizeof what, "steps %llu to %llu", (unsigned long long)round->step + 1,
                       step);
    } else {
        (void)snprintf(what, sizeof what, "%s %llu",
                       round->kind == TRAIN_STEP ? "step" : "evaluation after step", step);
    }
    train_lock(x);
    (void)snprintf(text, sizeof text, "%s, rank %u: %.220s", what, x->failed_rank,
                   x->rank_diag.text);
    train_exchange_stop(x->exchange, sh_now_us());
    train_unlock(x);
    train_fail(x, SH_ERR_DIVERGED, true, text);
    return TRAIN_OVER;
}

/* With the lock: members on this machine get to read what this one sends. Whoever cannot be reached
 * yet is tried again in the next round. */
static void offer_shelf(struct train_session *x)
{
    int fd = -1;
    uint8_t bytes[TRAIN_MESSAGE_BYTES];
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    struct train_offer offer = {.about = x->gang.about,
                                .number = train_exchange_shelf(x->exchange, &fd)};
    if (offer.number == 0) {
        return;
    }
    train_offer_encode(&offer, &w);
    for (uint32_t i = 0; i < x->gang.count; i++) {
        if (i != x->index && !x->offered[i]) {
            x->offered[i] = bulk_hand(x->config.bulk, x->gang.members[i].node, FRAME_TRAIN_OFFER,
                                      (struct sh_span){.at = bytes, .size = w.used}, fd);
        }
    }
}

/* GO_ON: *result is the sum over all ranks, intact until the next round but one begins. */
static enum train_turn play_round(struct train_session *x, const struct train_round *round,
                                  const float **result)
{
    const struct wire_member *self = &x->at.placement.members[x->index];
    struct train_work work = {.round = *round,
                              .params = x->state.params,
                              .buffers = x->state.buffers,
                              .optim = x->state.optim,
                              .low = self->rank_lo,
                              .high = self->rank_hi};
    struct train_vector vector = {.elements = train_material_vector(x->m, round->kind),
                                  .lossy = train_material_lossy(x->m, round->kind),
                                  .anew = round->kind == TRAIN_LOCAL && round->earlier == 0};
    (void)train_sum_begin(x->sum, work.low, work.high, vector.elements);
    train_lock(x);
    offer_shelf(x);
    train_exchange_begin(x->exchange, sh_now_us(), &vector);
    train_unlock(x);
    train_crew_begin(x->crew, &work);
    train_lock(x);
    const float *sum = await_sum(x);
    bool rank_failed = x->rank_failed;
    train_unlock(x);
    train_crew_cancel(x->crew);
    if (sum == NULL) {
        return rank_failed ? train_fail_rank(x, round) : TRAIN_INTERRUPTED;
    }
    *result = sum;
    return TRAIN_GO_ON;
}

/* ---- all of them ---- */

enum train_turn train_complete(struct train_session *x, const struct train_round *round,
                               const float *sum)
{
    char why[TRAIN_WHY_BYTES] = "";
    enum sh_err err = train_state_take(&x->state, sum, why);
    if (err != SH_OK) {
        train_fail(x, err, true, why);
        return TRAIN_OVER;
    }
    if (round->steps > 0) {
        tell_step(x, round, note_pace(x, round));
    } else {
        tell_evaluation(x, round);
    }
    uint32_t every = x->m->job->checkpoint_every_steps;
    enum train_round_kind next = train_course_at(&x->m->course, x->state.position).kind;
    bool trained = next == TRAIN_TEST || (next == TRAIN_END && round->kind != TRAIN_TEST);
    /* Members that mix their models put them together before the last checkpoint. */
    bool apart = x->mix != NULL && round->kind == TRAIN_LOCAL &&
                 round->step + round->steps == x->m->course.epochs * x->m->course.steps_an_epoch;
    if (!train_is_first(x)) {
        return TRAIN_GO_ON;
    }
    uint64_t length = train_course_length(&x->m->course);
    if (x->state.position < length) {
        train_clerk_progress(x->clerk, x->at.placement.fence,
                             (uint32_t)(x->state.position * 1000 / length));
    }
    if (every == 0 || apart) {
        return TRAIN_GO_ON;
    }
    if (trained) { /* what a run of more epochs goes on from */
        train_leave(x, false);
    } else if ((round->step + round->steps) / every > round->step / every) {
        keep_checkpoint(x);
    }
    return TRAIN_GO_ON;
}

enum train_turn train_play(struct train_session *x)
{
    enum train_turn turn = TRAIN_GO_ON;
    if (train_is_first(x)) {
        train_tell_generation(x);
    }
    while (turn == TRAIN_GO_ON) {
        const float *sum = NULL;
        struct train_round round = train_course_at(&x->m->course, x->state.position);
        if (round.kind == TRAIN_END) {
            return TRAIN_GO_ON;
        }
        turn = play_round(x, &round, &sum);
        if (turn == TRAIN_GO_ON) {
            turn = train_complete(x, &round, sum);
        }
    }
    return turn;
}

/* What a sweep compares units by. */
static void set_score(const struct train_session *x, struct jobs_outcome *o)
{
    const char *metric = x->config.part.metric;
    const struct jobs_metrics *m = &o->metrics;
    bool counted = m->val_total > 0;
    o->scored = true;
    if (strcmp(metric, METRIC_VAL_LOSS) == 0 && x->m->validations > 0) {
        o->score = m->val_loss;
    } else if (strcmp(metric, METRIC_VAL_ACCURACY) == 0 && counted) {
        o->score = (double)m->val_correct / (double)m->val_total;
    } else if (strcmp(metric, "train_loss") == 0) {
        o->score = m->train_loss;
    } else {
        o->scored = false;
    }
    o->scored = o->scored && isfinite(o->score) != 0;
}

void train_finish(struct train_session *x, bool partial)
{
    char why[TRAIN_WHY_BYTES] = "";
    struct train_result result = {.fence = x->at.placement.fence, .partial = partial};
    const struct train_tally *t = &x->state.tally;
    struct jobs_outcome *o = &result.outcome;
    o->steps = train_course_at(&x->m->course, x->state.position).step;
    o->metrics = (struct jobs_metrics){.train_loss = t->train_loss, .val_loss = t->val_loss};
    if (x->m->job->train.loss == SPEC_CROSS_ENTROPY) { /* a number is not right or wrong */
        o->metrics.test_correct = t->test_correct;
        o->metrics.test_total = t->test_total;
        o->metrics.val_correct = t->val_correct;
        o->metrics.val_total = t->val_total;
    }
    set_score(x, o);
    enum sh_err err = train_state_model_digest(&x->state, o->model);
    err = err != SH_OK ? err : train_state_digest(&x->state, o->state);
    err = err != SH_OK ? err : train_state_file(&x->state, &result.file, &result.file_size, why);
    if (err != SH_OK) {
        train_fail(x, err, false, why[0] != '\0' ? why : sh_err_text(err));
        return;
    }
    train_clerk_result(x->clerk, &result);
}
