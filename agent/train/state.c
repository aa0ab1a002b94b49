/* SPDX-License-Identifier: Apache-2.0 */
#include "train/state.h"

#include "train/crew.h"

#include "base/host/host.h"
#include "kernels/kn.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CORRECT_BASE ((float)TRAIN_CREW_CORRECT_BASE)

static float *take_floats(size_t count)
{
    return calloc(count > 0 ? count : 1, sizeof(float));
}

enum sh_err train_state_open(struct train_state *state, const struct train_material *m)
{
    *state = (struct train_state){.m = m};
    state->params = take_floats(m->params);
    state->buffers = take_floats(m->buffers);
    state->optim = take_floats(m->optim_state);
    if (state->params == NULL || state->buffers == NULL || state->optim == NULL) {
        train_state_close(state);
        return SH_ERR_NO_MEMORY;
    }
    return SH_OK;
}

void train_state_close(struct train_state *state)
{
    free(state->params);
    free(state->buffers);
    free(state->optim);
    *state = (struct train_state){0};
}

void train_state_begin(struct train_state *state)
{
    const struct train_material *m = state->m;
    kn_model_init(m->model, m->job->train.seed, state->params, state->buffers);
    if (m->parent != NULL) {
        infer_tune_copy(m->parent, m->job, m->model, state->params, state->buffers);
    }
    memset(state->optim, 0, m->optim_state * sizeof *state->optim);
    double none = (double)NAN;
    state->tally = (struct train_tally){.train_loss = none, .val_loss = none, .test_loss = none};
    state->position = 0;
    state->set = true;
}

/* What the ranks measured in the steps of a round, loss and correct ones summed over them. */
static void note_steps(struct train_state *state, const struct train_round *round, double loss,
                       double correct)
{
    struct train_tally *t = &state->tally;
    if (round->in_epoch == 0) {
        t->epoch_loss = 0;
        t->epoch_samples = 0;
    }
    t->step_loss = loss / (double)round->steps;
    t->step_correct = correct / (double)round->steps;
    t->epoch_loss += loss;
    t->epoch_samples += state->m->batch * round->steps;
    if (round->in_epoch + round->steps == state->m->course.steps_an_epoch) {
        t->train_loss = t->epoch_loss / (double)t->epoch_samples;
    }
}

static enum sh_err take_step(struct train_state *state, const struct train_round *round,
                             const float *vector, char *why)
{
    const struct train_material *m = state->m;
    struct kn_diag diag = {.text = ""};
    struct kn_update update = {.optim = &m->optim,
                               .lr = train_material_rate(m, round->step),
                               .step = round->step,
                               .batch = m->batch,
                               .ranks = m->ranks};
    kn_fp_enter();
    enum kn_err err = kn_model_apply(m->model, &update, vector, state->params, state->buffers,
                                     state->optim, &diag);
    if (err != KN_OK) {
        (void)snprintf(why, TRAIN_WHY_BYTES, "step %llu, sum over all ranks: %s",
                       (unsigned long long)round->step + 1, diag.text);
        return SH_ERR_DIVERGED;
    }
    note_steps(state, round, (double)vector[m->vector - 2], (double)vector[m->vector - 1]);
    return SH_OK;
}

/* out[i] = sum[i] * share. */
static void share_out(const float *sum, float share, float *out, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = sum[i] * share;
    }
}

/* For the vector see train/crew.h. */
static enum sh_err take_local(struct train_state *state, const struct train_round *round,
                              const float *vector, char *why)
{
    const struct train_material *m = state->m;
    struct kn_diag diag = {.text = ""};
    const float *buffers = vector + m->params;
    const float *inner = buffers + m->buffers;
    const float *measured = vector + m->local_vector - 2;
    float share = 1.0f / (float)m->ranks;
    kn_fp_enter();
    enum kn_err err = kn_model_verify(m->model, vector, buffers, &diag);
    if (err != KN_OK || !isfinite(measured[0])) {
        (void)snprintf(why, TRAIN_WHY_BYTES, "steps %llu to %llu, sum over all ranks: %s",
                       (unsigned long long)round->step + 1,
                       (unsigned long long)(round->step + round->steps),
                       err != KN_OK ? diag.text : "the loss is not finite");
        return SH_ERR_DIVERGED;
    }
    kn_optim_update(&m->outer, m->outer.lr, round->earlier, state->params, vector, share,
                    state->optim + m->inner_state, m->params);
    share_out(buffers, share, state->buffers, m->buffers);
    if (!m->job->train.local.reset) {
        share_out(inner, share, state->optim, m->inner_state);
    }
    note_steps(state, round, (double)measured[0], (double)measured[1]);
    return SH_OK;
}

static enum sh_err take_evaluation(struct train_state *state, const struct train_round *round,
                                   const float *vector, char *why)
{
    uint64_t total = train_material_count(state->m, round->kind);
    uint64_t correct = (uint64_t)vector[1] + (uint64_t)(vector[2] * CORRECT_BASE);
    uint64_t labels = total * state->m->places;
    double loss = (double)vector[0] / (double)total;
    if (isfinite(loss) == 0) {
        (void)snprintf(
            why, TRAIN_WHY_BYTES, "the loss on the %s data after step %llu is not finite",
            round->kind == TRAIN_TEST ? "test" : "validation", (unsigned long long)round->step);
        return SH_ERR_DIVERGED;
    }
    struct train_tally *t = &state->tally;
    if (round->kind == TRAIN_TEST) {
        t->test_loss = loss;
        t->test_correct = correct;
        t->test_total = labels;
    } else {
        t->val_loss = loss;
        t->val_correct = correct;
        t->val_total = labels;
    }
    return SH_OK;
}

enum sh_err train_state_take(struct train_state *state, const float *vector, char *why)
{
    SH_CHECK(state->set);
    struct train_round round = train_course_at(&state->m->course, state->position);
    SH_CHECK(round.kind != TRAIN_END);
    enum sh_err err = SH_OK;
    if (round.kind == TRAIN_STEP) {
        err = take_step(state, &round, vector, why);
    } else if (round.kind == TRAIN_LOCAL) {
        err = take_local(state, &round, vector, why);
    } else {
        err = take_evaluation(state, &round, vector, why);
    }
    if (err == SH_OK) {
        state->position++;
    }
    return err;
}

/* ---- as bytes ---- */

size_t train_state_size(const struct train_material *m)
{
    return TRAIN_STATE_HEAD + (m->params + m->buffers + m->optim_state) * sizeof(float);
}

static void put_tally(struct sh_writer *w, const struct train_tally *t)
{
    sh_put_f64(w, t->step_loss);
    sh_put_f64(w, t->step_correct);
    sh_put_f64(w, t->epoch_loss);
    sh_put_u64(w, t->epoch_samples);
    sh_put_f64(w, t->train_loss);
    sh_put_f64(w, t->val_loss);
    sh_put_u64(w, t->val_correct);
    sh_put_u64(w, t->val_total);
    sh_put_f64(w, t->test_loss);
    sh_put_u64(w, t->test_correct);
    sh_put_u64(w, t->test_total);
}

static void get_tally(struct sh_reader *r, struct train_tally *t)
{
    t->step_loss = sh_get_f64(r);
    t->step_correct = sh_get_f64(r);
    t->epoch_loss = sh_get_f64(r);
    t->epoch_samples = sh_get_u64(r);
    t->train_loss = sh_get_f64(r);
    t->val_loss = sh_get_f64(r);
    t->val_correct = sh_get_u64(r);
    t->val_total = sh_get_u64(r);
    t->test_loss = sh_get_f64(r);
    t->test_correct = sh_get_u64(r);
    t->test_total = sh_get_u64(r);
}

void train_state_encode(const struct train_state *state,
                        const uint8_t class[static WIRE_CLASS_BYTES], uint8_t *out)
{
    _Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "floats are copied as they lie");
    static const char MAGIC[4] = {'S', 'H', 'C', '1'};
    const struct train_material *m = state->m;
    struct sh_writer w = sh_writer_over(out, train_state_size(m));
    SH_CHECK(state->set);
    sh_put_bytes(&w, MAGIC, sizeof MAGIC);
    sh_put_u32(&w, 1);
    sh_put_bytes(&w, m->spec_digest, SH_DIGEST_BYTES);
    sh_put_bytes(&w, class, WIRE_CLASS_BYTES);
    sh_put_u64(&w, m->job->train.seed);
    sh_put_u32(&w, m->ranks);
    sh_put_u32(&w, m->batch);
    sh_put_u64(&w, state->position);
    sh_put_u64(&w, train_course_at(&m->course, state->position).step);
    put_tally(&w, &state->tally);
    sh_put_u64(&w, m->params);
    sh_put_u64(&w, m->buffers);
    sh_put_u64(&w, m->optim_state);
    sh_put_u64(&w, 0);
    SH_CHECK_CMP(w.used, ==, TRAIN_STATE_HEAD);
    sh_put_bytes(&w, state->params, m->params * sizeof(float));
    sh_put_bytes(&w, state->buffers, m->buffers * sizeof(float));
    sh_put_bytes(&w, state->optim, m->optim_state * sizeof(float));
    SH_CHECK(!w.full);
}

/* Magic, version and everything that names the job. */
static enum sh_err decode_identity(struct sh_reader *r, const struct train_material *m,
                                   const uint8_t *class, bool any_job)
{
    uint8_t magic[4];
    uint8_t spec[SH_DIGEST_BYTES];
    uint8_t made[WIRE_CLASS_BYTES];
    sh_get_bytes(r, magic, sizeof magic);
    uint32_t version = sh_get_u32(r);
    sh_get_bytes(r, spec, sizeof spec);
    sh_get_bytes(r, made, sizeof made);
    uint64_t seed = sh_get_u64(r);
    uint32_t ranks = sh_get_u32(r);
    uint32_t batch = sh_get_u32(r);
    if (r->bad || memcmp(magic, "SHC1", sizeof magic) != 0) {
        return SH_ERR_CORRUPT;
    }
    if (version != 1) {
        return SH_ERR_VERSION;
    }
    bool same = (any_job || memcmp(spec, m->spec_digest, sizeof spec) == 0) &&
                seed == m->job->train.seed && ranks == m->ranks && batch == m->batch;
    if (!same || (class != NULL && memcmp(class, made, sizeof made) != 0)) {
        return SH_ERR_CONFLICT;
    }
    return SH_OK;
}

enum sh_err train_state_decode(struct train_state *state, const uint8_t *class, bool any_job,
                               struct sh_span bytes)
{
    const struct train_material *m = state->m;
    struct sh_reader r = sh_reader_over(bytes.at, bytes.size);
    struct train_tally tally;
    enum sh_err err = decode_identity(&r, m, class, any_job);
    if (err != SH_OK) {
        return err;
    }
    uint64_t position = sh_get_u64(&r);
    uint64_t step = sh_get_u64(&r);
    get_tally(&r, &tally);
    bool fits = sh_get_u64(&r) == m->params;
    fits = sh_get_u64(&r) == m->buffers && fits;
    fits = sh_get_u64(&r) == m->optim_state && fits;
    uint64_t zero = sh_get_u64(&r);
    if (r.bad || !fits || zero != 0 || bytes.size != train_state_size(m) ||
        position > train_course_length(&m->course) ||
        train_course_at(&m->course, position).step != step) {
        return SH_ERR_CORRUPT;
    }
    sh_get_bytes(&r, state->params, m->params * sizeof(float));
    sh_get_bytes(&r, state->buffers, m->buffers * sizeof(float));
    sh_get_bytes(&r, state->optim, m->optim_state * sizeof(float));
    SH_CHECK(sh_reader_end(&r) == SH_OK);
    state->position = position;
    state->tally = tally;
    state->set = true;
    return SH_OK;
}
