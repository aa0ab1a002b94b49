/* SPDX-License-Identifier: Apache-2.0 */
#include "rounds/combine.h"
#include "rounds/inside.h"

#include "base/host/host.h"
#include "train/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATE_BYTES_MAX (UINT64_C(16) << 30)
#define COMMIT_TRIES    100u /* of storing a state before the unit fails */

void rounds_unload(struct rounds_lead *x)
{
    rounds_model_close(&x->model);
    free(x->server);
    free(x->controls);
    free(x->records);
    free(x->pending);
    x->server = NULL;
    x->controls = NULL;
    x->records = NULL;
    x->pending = NULL;
    x->records_size = 0;
    x->loaded = false;
}

/* ---- states ---- */

static float *copy_floats(struct sh_span span)
{
    float *out = malloc(span.size + sizeof *out);
    if (out != NULL && span.size > 0) {
        memcpy(out, span.at, span.size);
    }
    return out;
}

enum sh_err rounds_take_state(struct rounds_lead *x, struct sh_span bytes, char *why)
{
    struct rounds_state state;
    const struct spec_federated *fed = &x->w->job->federated;
    enum sh_err err = rounds_state_decode(bytes, &state);
    uint8_t *file = err == SH_OK ? malloc(state.file.size + 1) : NULL;
    if (err != SH_OK || file == NULL) {
        return err != SH_OK ? err : SH_ERR_NO_MEMORY;
    }
    rounds_unload(x);
    memcpy(file, state.file.at, state.file.size);
    err = rounds_model_open(&x->model, file, state.file.size, why, ROUNDS_WHY_BYTES);
    if (err != SH_OK) {
        return err;
    }
    x->server_count = rounds_server_count(fed, &x->model);
    bool controls = fed->algorithm == SPEC_SCAFFOLD;
    bool fits = memcmp(state.spec, x->w->config.spec_digest, sizeof state.spec) == 0 &&
                state.server.size == x->server_count * sizeof(float) &&
                state.controls.size == (controls ? x->model.floats * sizeof(float) : 0) &&
                state.at.round <= fed->rounds;
    x->server = copy_floats(state.server);
    x->controls = controls ? copy_floats(state.controls) : NULL;
    x->records = malloc(state.records.size + 1);
    if (!fits || x->server == NULL || x->records == NULL || (controls && x->controls == NULL)) {
        rounds_unload(x);
        return fits ? SH_ERR_NO_MEMORY : SH_ERR_CONFLICT;
    }
    memcpy(x->records, state.records.at, state.records.size);
    x->records_size = state.records.size;
    x->resume = state.at;
    x->loaded = true;
    return SH_OK;
}

uint8_t *rounds_make_state(const struct rounds_lead *x, const struct fed_resume *at, size_t *size)
{
    struct rounds_state state = {
        .at = *at,
        .file = {.at = x->model.bytes, .size = x->model.size},
        .server = {.at = (const uint8_t *)x->server, .size = x->server_count * sizeof(float)},
        .records = {.at = (const uint8_t *)x->records, .size = x->records_size}};
    memcpy(state.spec, x->w->config.spec_digest, sizeof state.spec);
    if (x->controls != NULL) {
        state.controls = (struct sh_span){.at = (const uint8_t *)x->controls,
                                          .size = x->model.floats * sizeof(float)};
    }
    *size = rounds_state_size(&state);
    uint8_t *bytes = malloc(*size);
    if (bytes != NULL) {
        rounds_state_encode(&state, bytes);
    }
    return bytes;
}

/* ---- committing one ---- */

static bool is_interrupted(void *ctx)
{
    return train_worker_is_interrupted(ctx);
}

static void wait_a_moment(struct rounds_lead *x)
{
    train_worker_lock(x->w);
    train_clock_wait(&x->w->changed, &x->w->lock, sh_now_us() + ROUNDS_COMMIT_US);
    train_worker_unlock(x->w);
}

bool rounds_commit_state(struct rounds_lead *x, const uint8_t *bytes, size_t size, uint64_t step,
                         uint8_t digest[static SH_DIGEST_BYTES])
{
    enum sh_err err = SH_ERR_NO_MEMORY;
    for (uint32_t tries = 0; tries < COMMIT_TRIES; tries++) {
        err = train_clerk_keep(x->w->clerk, x->w->at.placement.fence, step,
                               (struct sh_span){.at = bytes, .size = size}, digest, is_interrupted,
                               x->w);
        if (err == SH_OK) {
            uint64_t rounds = x->w->job->federated.rounds;
            uint64_t part = step < rounds ? step * 1000 / rounds : 999;
            train_clerk_progress(x->w->clerk, x->w->at.placement.fence, (uint32_t)part);
            return true;
        }
        if (err == SH_ERR_STALE || train_worker_is_interrupted(x->w)) {
            return false;
        }
        wait_a_moment(x);
    }
    char text[ROUNDS_WHY_BYTES];
    (void)snprintf(text, sizeof text, "round %llu cannot be committed: %s",
                   (unsigned long long)step, sh_err_text(err));
    train_worker_fail(x->w, err, false, true, text);
    return false;
}

/* ---- where to begin ---- */

static enum sh_err take_checkpoint(void *ctx, const struct jobs_checkpoint *c, struct sh_span bytes,
                                   char *why, size_t size)
{
    struct rounds_lead *x = ctx;
    char text[ROUNDS_WHY_BYTES] = "";
    enum sh_err err = rounds_take_state(x, bytes, text);
    if (err != SH_OK) {
        (void)snprintf(why, size, "%.150s", text);
        return err;
    }
    memcpy(x->digest, c->manifest, sizeof x->digest);
    train_scribe_line(x->w->scribe, "goes on after round %llu", (unsigned long long)c->step);
    return SH_OK;
}

/* The model of the first round, which the own trainer makes. */
static bool begin(struct rounds_lead *x)
{
    const struct spec_federated *fed = &x->w->job->federated;
    uint8_t *file = NULL;
    size_t file_size = 0;
    char why[ROUNDS_WHY_BYTES] = "";
    enum sh_err err = rounds_member_begin(x->member, &file, &file_size, why);
    err = err != SH_OK ? err : rounds_model_open(&x->model, file, file_size, why, sizeof why);
    if (err != SH_OK) {
        train_worker_fail(x->w, err, false, true, why[0] != '\0' ? why : sh_err_text(err));
        return false;
    }
    size_t floats = x->model.floats;
    x->server_count = rounds_server_count(fed, &x->model);
    x->server = calloc(x->server_count + 1, sizeof *x->server);
    x->controls = fed->algorithm == SPEC_SCAFFOLD ? calloc(floats, sizeof *x->controls) : NULL;
    x->records = calloc(1, 1);
    x->resume = (struct fed_resume){.round = 0};
    bool good = x->server != NULL && x->records != NULL &&
                (fed->algorithm != SPEC_SCAFFOLD || x->controls != NULL);
    uint8_t *bytes = NULL;
    size_t size = 0;
    if (good) {
        rounds_server_begin(fed, x->server, floats);
        bytes = rounds_make_state(x, &x->resume, &size);
    }
    if (bytes == NULL) {
        train_worker_fail(x->w, SH_ERR_NO_MEMORY, false, true, "no memory for this model");
    }
    good = bytes != NULL && rounds_commit_state(x, bytes, size, 0, x->digest);
    free(bytes);
    x->loaded = good;
    return good;
}

bool rounds_load(struct rounds_lead *x)
{
    struct train_resume r = {.name = "state after round",
                             .bytes_max = STATE_BYTES_MAX,
                             .take = take_checkpoint,
                             .ctx = x};
    enum sh_err err = train_worker_resume(x->w, &r);
    bool loaded = err == SH_OK;
    if (err == SH_ERR_NOT_FOUND) {
        rounds_unload(x);
        loaded = begin(x);
    } else if (!loaded && err != SH_ERR_CANCELLED) {
        char text[ROUNDS_WHY_BYTES];
        (void)snprintf(text, sizeof text, "the state of the newest round cannot be had: %s",
                       sh_err_text(err));
        train_worker_fail(x->w, err, false, true, text);
    }
    if (!loaded) {
        rounds_unload(x);
    }
    return loaded;
}
