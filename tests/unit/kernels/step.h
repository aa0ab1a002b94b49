/* SPDX-License-Identifier: Apache-2.0
 *
 * One step of a whole model, as tests of every kind of model look at it: in double, in float beside
 * it, and again in another workspace. */
#ifndef STEP_H
#define STEP_H

#include "models.h"

#include <math.h>
#include <stdio.h>

static const struct kn_step_key key = {.seed = 11, .step = 3, .rank = 1};

static inline double *reference_step(const struct kn_model *m, const double *params,
                                     const struct kn_batch *batch)
{
    struct kn_work *w;
    double *out = kept_bytes(kn_model_vector_count(m) * sizeof *out);
    memset(out, 0xFF, kn_model_vector_count(m) * sizeof *out);
    OK(kn_work_open(&w, m, kn_ops_ref(), batch->n, true));
    kept(w);
    OK(kn_model_step(w, params, batch, &key, out, &diag));
    kn_work_close(w);
    return out;
}

static inline void expect_near(const float *got, const double *want, size_t count)
{
    double apart = 0;
    double size = 0;
    for (size_t i = 0; i < count; i++) {
        EXPECT(isfinite(got[i]));
        apart += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        size += want[i] * want[i];
    }
    printf("# %.3g\n", sqrt(apart / size));
    EXPECT(sqrt(apart / size) < 5e-6);
}

static inline void expect_close_in_float(const struct kn_model *m, const struct kn_ops *ops)
{
    const size_t count = kn_model_vector_count(m);
    float *buffers;
    float *params = init_params(m, &buffers);
    const struct data d = data_of(m, 21);
    const struct kn_batch batch = {.n = 21, .x = d.x, .labels = d.labels, .targets = d.targets};
    const double *want = reference_step(m, doubles(params, kn_model_param_count(m)), &batch);
    struct kn_work *w;
    float *got = kept_bytes(count * sizeof *got);
    memset(got, 0xFF, count * sizeof *got);
    OK(kn_work_open(&w, m, ops, 40, true));
    kept(w);
    OK(kn_model_step(w, params, &batch, &key, got, &diag));
    expect_near(got, want, count);
    EXPECT_NEAR((double)got[count - 1], want[count - 1], 0);
}

static inline void expect_repeats(const struct kn_model *m)
{
    const size_t count = kn_model_vector_count(m);
    float *buffers;
    float *params = init_params(m, &buffers);
    const struct data d = data_of(m, 30);
    struct kn_work *small;
    struct kn_work *large;
    float *a = kept_bytes(count * sizeof *a);
    float *b = kept_bytes(count * sizeof *b);
    OK(kn_work_open(&small, m, kn_ops_cpu(), 7, true));
    kept(small);
    OK(kn_work_open(&large, m, kn_ops_cpu(), 30, true));
    kept(large);
    const struct kn_batch seven = {.n = 7, .x = d.x, .labels = d.labels};
    const struct kn_batch thirty = {.n = 30, .x = d.x, .labels = d.labels};
    OK(kn_model_step(small, params, &seven, &key, a, &diag));
    OK(kn_model_step(large, params, &thirty, &key, b, &diag)); /* leaves its values behind */
    OK(kn_model_step(large, params, &seven, &key, b, &diag));
    EXPECT_MEM(a, b, count * sizeof *a);
    OK(kn_model_step(small, params, &seven, &key, b, &diag));
    EXPECT_MEM(a, b, count * sizeof *a);
}

#endif
