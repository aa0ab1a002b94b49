/* SPDX-License-Identifier: Apache-2.0 */
#include "rounds/combine.h"

#include "base/host/host.h"
#include "kernels/agg/clip.h"
#include "kernels/agg/fixed.h"
#include "kernels/agg/noise.h"
#include "kernels/agg/server.h"
#include "secagg/mask.h"

#include <stdlib.h>
#include <string.h>

/* Sums of changes by their weights, and of variates, each counting once. */
struct mean {
    struct kn_fixed_sum change;
    struct kn_fixed_sum variates;
    kn_fixed *memory;
    float *x;
    float *v;
};

static bool mean_open(struct mean *mean, size_t floats, bool variates)
{
    size_t sums = variates ? 2 : 1;
    *mean = (struct mean){.memory = malloc(sums * floats * sizeof(kn_fixed))};
    mean->x = malloc(floats * sizeof *mean->x);
    mean->v = variates ? malloc(floats * sizeof *mean->v) : NULL;
    if (mean->memory == NULL || mean->x == NULL || (variates && mean->v == NULL)) {
        return false;
    }
    kn_fixed_begin(&mean->change, mean->memory, floats);
    if (variates) {
        kn_fixed_begin(&mean->variates, mean->memory + floats, floats);
    }
    return true;
}

static void mean_close(struct mean *mean)
{
    free(mean->memory);
    free(mean->x);
    free(mean->v);
}

/* The weighted mean. */
static enum sh_err take_mean(const struct rounds_updates *updates, size_t floats, uint32_t members,
                             float *out, float *variates)
{
    struct mean mean;
    enum sh_err err = mean_open(&mean, floats, variates != NULL) ? SH_OK : SH_ERR_NO_MEMORY;
    for (uint32_t i = 0; err == SH_OK && i < updates->count; i++) {
        err = updates->load(updates->ctx, i, mean.x, mean.v);
        if (err == SH_OK) {
            kn_fixed_add(&mean.change, mean.x, updates->weights[i]);
        }
        if (err == SH_OK && variates != NULL) {
            kn_fixed_add(&mean.variates, mean.v, 1);
        }
    }
    if (err == SH_OK) {
        kn_fixed_divide(&mean.change, mean.change.weight, out);
    }
    if (err == SH_OK && variates != NULL) {
        kn_fixed_divide(&mean.variates, members, variates);
    }
    mean_close(&mean);
    return err;
}

/* All updates at once, as rules against liars compare them. */
struct vote {
    struct kn_vote rule;
    struct kn_vote_look look;
    struct kn_vote_verdict verdict;
    float *memory; /* floats a member, then what merging needs */
    const float **x;
    double *scratch;
};

static bool vote_open(struct vote *v, const struct spec_federated *fed, uint32_t count,
                      size_t floats)
{
    size_t n = count;
    *v = (struct vote){.rule = spec_federated_vote(fed)};
    bool krum = v->rule.rule == KN_VOTE_KRUM || v->rule.rule == KN_VOTE_MULTI_KRUM;
    v->look.members = count;
    v->look.not_finite = calloc(n, sizeof *v->look.not_finite);
    v->look.square = calloc(n, sizeof *v->look.square);
    v->look.distance = krum ? calloc(n * n, sizeof *v->look.distance) : NULL;
    v->verdict.ballot = calloc(n, sizeof *v->verdict.ballot);
    v->verdict.order = calloc(n, sizeof *v->verdict.order);
    v->memory = malloc((n * floats + n * KN_VOTE_LANES) * sizeof *v->memory);
    v->x = calloc(n, sizeof *v->x);
    v->scratch = calloc(n, sizeof *v->scratch);
    for (uint32_t i = 0; v->memory != NULL && v->x != NULL && i < count; i++) {
        v->x[i] = v->memory + i * floats;
    }
    return v->look.not_finite != NULL && v->look.square != NULL &&
           (!krum || v->look.distance != NULL) && v->verdict.ballot != NULL &&
           v->verdict.order != NULL && v->memory != NULL && v->x != NULL && v->scratch != NULL;
}

static void vote_close(struct vote *v)
{
    free(v->look.not_finite);
    free(v->look.square);
    free(v->look.distance);
    free(v->verdict.ballot);
    free(v->verdict.order);
    free(v->memory);
    free((void *)v->x);
    free(v->scratch);
}

static enum sh_err take_vote(const struct spec_federated *fed, const struct rounds_updates *updates,
                             size_t floats, float *out)
{
    struct vote v;
    struct kn_diag diag = {.text = ""};
    uint32_t count = updates->count;
    enum sh_err err = vote_open(&v, fed, count, floats) ? SH_OK : SH_ERR_NO_MEMORY;
    for (uint32_t i = 0; err == SH_OK && i < count; i++) {
        err = updates->load(updates->ctx, i, v.memory + i * floats, NULL);
    }
    if (err == SH_OK) {
        kn_vote_look(&v.look, v.x, floats);
        err = kn_vote_judge(&v.rule, &v.look, updates->ids, v.scratch, &v.verdict, &diag) == KN_OK
                  ? SH_OK
                  : SH_ERR_INVALID;
    }
    if (err == SH_OK) {
        kn_vote_merge(&v.rule, &v.verdict, v.x, floats, v.memory + count * floats, out);
        for (uint32_t i = 0; i < count; i++) {
            updates->fates[i] = v.verdict.ballot[i].fate;
        }
    }
    vote_close(&v);
    return err;
}

/* ---- privacy ---- */

uint32_t rounds_privacy_bits(const struct spec_privacy *privacy)
{
    uint32_t bits = KN_CLIP_BITS_MAX;
    while (bits > 0 && privacy->clip * (double)(UINT64_C(1) << bits) > 0x1p30) {
        bits--;
    }
    return bits;
}

/* Adds a clipped update. Its numbers were looked at when it came. */
static enum sh_err add_clipped(const struct spec_privacy *p, const float *x, size_t floats,
                               int64_t *clipped, int64_t *sum)
{
    if (kn_clip(x, floats, p->clip, rounds_privacy_bits(p), clipped, NULL, NULL) != KN_OK) {
        return SH_ERR_DIVERGED;
    }
    for (size_t i = 0; i < floats; i++) {
        sum[i] += clipped[i];
    }
    return SH_OK;
}

static enum sh_err add_noise(const struct spec_privacy *p, size_t floats, int64_t *noise,
                             int64_t *sum)
{
    struct secagg_stream stream = {.used = 0};
    const struct kn_entropy entropy = {.fill = secagg_stream_fill, .context = &stream};
    const double step = (double)(UINT64_C(1) << rounds_privacy_bits(p));
    struct kn_noise source;
    sh_random_bytes(stream.key, sizeof stream.key);
    bool good = kn_noise_open(&source, entropy, p->noise * p->clip * step, NULL) == KN_OK &&
                kn_noise_draw(&source, noise, floats, NULL) == KN_OK;
    for (size_t i = 0; good && i < floats; i++) {
        sum[i] += noise[i];
    }
    kn_noise_close(&source);
    secagg_stream_end(&stream);
    return good ? SH_OK : SH_ERR_UNSUPPORTED;
}

/* The mean of clipped updates with noise on their sum. */
static enum sh_err take_private(const struct spec_privacy *p, const struct rounds_updates *updates,
                                size_t floats, float *out)
{
    int64_t *sum = calloc(floats, sizeof *sum);
    int64_t *one = malloc(floats * sizeof *one);
    enum sh_err err = sum != NULL && one != NULL ? SH_OK : SH_ERR_NO_MEMORY;
    for (uint32_t i = 0; err == SH_OK && i < updates->count; i++) {
        err = updates->load(updates->ctx, i, out, NULL);
        err = err != SH_OK ? err : add_clipped(p, out, floats, one, sum);
    }
    err = err != SH_OK ? err : add_noise(p, floats, one, sum);
    const double unit = (double)updates->count * (double)(UINT64_C(1) << rounds_privacy_bits(p));
    for (size_t i = 0; err == SH_OK && i < floats; i++) {
        out[i] = (float)((double)sum[i] / unit);
    }
    free(sum);
    free(one);
    return err;
}

enum sh_err rounds_combine(const struct spec_federated *fed, const struct rounds_updates *updates,
                           size_t floats, uint32_t members, float *out, float *variates)
{
    for (uint32_t i = 0; i < updates->count; i++) {
        updates->fates[i] = KN_VOTE_KEPT;
    }
    if (fed->privacy.on) {
        return take_private(&fed->privacy, updates, floats, out);
    }
    return fed->rule == SPEC_RULE_MEAN ? take_mean(updates, floats, members, out, variates)
                                       : take_vote(fed, updates, floats, out);
}

/* ---- the server's optimiser ---- */

static struct kn_server server_of(const struct spec_federated *fed)
{
    static const enum kn_server_kind KINDS[] = {
        [SPEC_FEDAVG] = KN_SERVER_AVG,   [SPEC_FEDAVGM] = KN_SERVER_AVGM,
        [SPEC_FEDPROX] = KN_SERVER_AVG,  [SPEC_FEDADAGRAD] = KN_SERVER_ADAGRAD,
        [SPEC_FEDADAM] = KN_SERVER_ADAM, [SPEC_FEDYOGI] = KN_SERVER_YOGI,
        [SPEC_SCAFFOLD] = KN_SERVER_AVG, [SPEC_FEDBUFF] = KN_SERVER_AVG};
    struct kn_server s = {.kind = KINDS[fed->algorithm], .lr = (float)fed->lr};
    s.beta1 = (float)fed->beta1;
    s.beta2 = (float)fed->beta2;
    s.tau = (float)fed->tau;
    return s;
}

size_t rounds_server_count(const struct spec_federated *fed, const struct rounds_model *model)
{
    struct kn_server s = server_of(fed);
    return kn_server_state_count(&s, model->floats);
}

void rounds_server_begin(const struct spec_federated *fed, float *state, size_t floats)
{
    struct kn_server s = server_of(fed);
    kn_server_begin(&s, state, floats);
}

struct applying {
    struct kn_server server;
    size_t floats;
    float *params;
    const float *change;
    float *state;
};

static void apply_stretch(void *ctx, const struct rounds_stretch *stretch)
{
    static const struct kn_server PLAIN = {.kind = KN_SERVER_AVG, .lr = 1.0f};
    struct applying *a = ctx;
    float *params = a->params + stretch->from;
    const float *change = a->change + stretch->from;
    if (stretch->statistics) {
        kn_server_update(&PLAIN, params, change, NULL, NULL, stretch->count);
        return;
    }
    bool has_m = a->server.kind != KN_SERVER_AVG;
    bool has_v = has_m && a->server.kind != KN_SERVER_AVGM;
    float *m = has_m ? a->state + stretch->from : NULL;
    float *v = has_v ? a->state + a->floats + stretch->from : NULL;
    kn_server_update(&a->server, params, change, m, v, stretch->count);
}

void rounds_server_apply(const struct spec_federated *fed, const struct rounds_model *model,
                         float *params, const float *change, float *state)
{
    struct applying a = {.server = server_of(fed),
                         .floats = model->floats,
                         .params = params,
                         .change = change,
                         .state = state};
    rounds_model_each(model, apply_stretch, &a);
}
