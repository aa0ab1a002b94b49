/* SPDX-License-Identifier: Apache-2.0
 *
 * The expected numbers were worked out by hand (and with a pocket calculator) from the formulas in
 * PyTorch's documentation of SGD and AdamW. */
#include "kernels/optim/optim.h"
#include "tst.h"

#include <math.h>
#include <string.h>

TEST(sgd_steps_against_the_gradient)
{
    const struct kn_optim o = {.kind = KN_OPTIM_SGD, .lr = 0.1f};
    float p[2] = {1, -2};
    const float g[2] = {0.5f, 4};
    EXPECT_EQ(kn_optim_state_count(&o, 2), 0);
    kn_optim_update(&o, 0.1f, 0, p, g, 1, NULL, 2);
    EXPECT_NEAR((double)p[0], 0.95, 1e-7);
    EXPECT_NEAR((double)p[1], -2.4, 1e-7);
}

TEST(sgd_adds_weight_decay_to_the_gradient_and_keeps_velocity)
{
    const struct kn_optim o = {
        .kind = KN_OPTIM_SGD, .lr = 0.1f, .momentum = 0.5f, .weight_decay = 0.1f};
    float p[1] = {1};
    const float g[1] = {0.9f};
    float v[1] = {0};
    EXPECT_EQ(kn_optim_state_count(&o, 1), 1);
    kn_optim_update(&o, 0.1f, 0, p, g, 1, v, 1); /* g 1, v 1 */
    EXPECT_NEAR((double)p[0], 0.9, 1e-7);
    kn_optim_update(&o, 0.1f, 1, p, g, 1, v, 1); /* g 0.99, v 1.49 */
    EXPECT_NEAR((double)v[0], 1.49, 1e-6);
    EXPECT_NEAR((double)p[0], 0.751, 1e-6);
}

TEST(nesterov_looks_ahead_by_one_velocity)
{
    const struct kn_optim o = {
        .kind = KN_OPTIM_SGD, .lr = 0.1f, .momentum = 0.5f, .nesterov = true};
    float p[1] = {1};
    const float g[1] = {1};
    float v[1] = {0};
    kn_optim_update(&o, 0.1f, 0, p, g, 1, v, 1); /* v 1, step 1.5 */
    EXPECT_NEAR((double)p[0], 0.85, 1e-7);
    kn_optim_update(&o, 0.1f, 1, p, g, 1, v, 1); /* v 1.5, step 1.75 */
    EXPECT_NEAR((double)p[0], 0.675, 1e-6);
}

TEST(adamw_decays_weights_apart_from_the_moments)
{
    const struct kn_optim o = {.kind = KN_OPTIM_ADAMW,
                               .lr = 0.1f,
                               .weight_decay = 0.5f,
                               .beta1 = 0.5f,
                               .beta2 = 0.75f,
                               .eps = 1e-8f};
    float p[1] = {2};
    float state[2] = {0, 0};
    EXPECT_EQ(kn_optim_state_count(&o, 1), 2);
    /* m 2, v 4; corrected 4 and 16: ratio 1. p = 2 * 0.95 - 0.1 */
    kn_optim_update(&o, 0.1f, 0, p, (const float[]){4}, 1, state, 1);
    EXPECT_NEAR((double)p[0], 1.8, 1e-6);
    /* m 0, v 4; corrected 0 and 4 / 0.4375. p = 1.8 * 0.95 */
    kn_optim_update(&o, 0.1f, 1, p, (const float[]){-2}, 1, state, 1);
    EXPECT_NEAR((double)state[0], 0, 1e-7);
    EXPECT_NEAR((double)state[1], 4, 1e-6);
    EXPECT_NEAR((double)p[0], 1.71, 1e-6);
    /* m 0.5, v 3.25; corrected 0.5 / 0.875 and 3.25 / 0.578125 = 5.6216216, root 2.3709960 */
    kn_optim_update(&o, 0.1f, 2, p, (const float[]){1}, 1, state, 1);
    EXPECT_NEAR((double)p[0], 1.71 * 0.95 - 0.1 * (0.5 / 0.875) / 2.3709960, 1e-6);
}

TEST(a_slice_of_the_vector_may_be_updated_alone)
{
    const struct kn_optim o = kn_optim_default(KN_OPTIM_ADAMW);
    float whole[37];
    float parts[37];
    float g[37];
    float state[74] = {0};
    for (int i = 0; i < 37; i++) {
        whole[i] = (float)i * 0.1f;
        g[i] = 1.0f / (float)(i + 1);
    }
    memcpy(parts, whole, sizeof whole);
    kn_optim_update(&o, 0.01f, 3, whole, g, 1, state, 37);
    for (int i = 0; i < 37; i++) {
        float slice[2] = {0, 0};
        kn_optim_update(&o, 0.01f, 3, parts + i, g + i, 1, slice, 1);
    }
    EXPECT_MEM(whole, parts, sizeof whole);
}

static const struct kn_optim each_kind[] = {
    {.kind = KN_OPTIM_SGD, .lr = 0.1f, .weight_decay = 0.01f},
    {.kind = KN_OPTIM_SGD, .lr = 0.1f, .weight_decay = 0.01f, .momentum = 0.9f},
    {.kind = KN_OPTIM_SGD, .lr = 0.1f, .momentum = 0.9f, .nesterov = true},
    {.kind = KN_OPTIM_ADAMW, .lr = 0.1f, .beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f},
};

TEST_ROWS(a_sum_with_a_scale_gives_the_bits_of_the_mean_itself, each_kind)
{
    enum { COUNT = 37 };
    const struct kn_optim *o = &each_kind[tst_row];
    const float scale = 1.0f / 96;
    float sum[COUNT];
    float mean[COUNT];
    float params[2][COUNT];
    float state[2][2 * COUNT] = {{0}};
    for (int i = 0; i < COUNT; i++) {
        sum[i] = 17.3f / (float)(i + 1) - 2;
        mean[i] = sum[i] * scale;
        params[0][i] = params[1][i] = (float)i * 0.1f - 1;
    }
    for (uint64_t step = 0; step < 3; step++) {
        kn_optim_update(o, 0.01f, step, params[0], sum, scale, state[0], COUNT);
        kn_optim_update(o, 0.01f, step, params[1], mean, 1, state[1], COUNT);
    }
    EXPECT_MEM(params[0], params[1], sizeof params[0]);
    EXPECT_MEM(state[0], state[1], sizeof state[0]);
}

static const struct {
    struct kn_schedule s;
    uint64_t step;
    double factor;
} points[] = {
    {{.kind = KN_SCHEDULE_CONSTANT}, 1000, 1},
    {{.kind = KN_SCHEDULE_CONSTANT, .warmup_steps = 4}, 0, 0.25},
    {{.kind = KN_SCHEDULE_CONSTANT, .warmup_steps = 4}, 3, 1},
    {{.kind = KN_SCHEDULE_CONSTANT, .warmup_steps = 4}, 4, 1},
    {{.kind = KN_SCHEDULE_LINEAR, .total_steps = 11}, 0, 1},
    {{.kind = KN_SCHEDULE_LINEAR, .total_steps = 11}, 5, 0.5},
    {{.kind = KN_SCHEDULE_LINEAR, .total_steps = 11, .final = 0.2f}, 5, 0.6},
    {{.kind = KN_SCHEDULE_LINEAR, .total_steps = 11, .final = 0.2f}, 10, 0.2},
    {{.kind = KN_SCHEDULE_LINEAR, .total_steps = 11, .final = 0.2f}, 99, 0.2},
    {{.kind = KN_SCHEDULE_LINEAR, .total_steps = 15, .warmup_steps = 4}, 9, 0.5},
    {{.kind = KN_SCHEDULE_LINEAR, .total_steps = 5, .warmup_steps = 4}, 4, 0},
    {{.kind = KN_SCHEDULE_COSINE, .total_steps = 5}, 0, 1},
    {{.kind = KN_SCHEDULE_COSINE, .total_steps = 5}, 1, 0.85355339},
    {{.kind = KN_SCHEDULE_COSINE, .total_steps = 5}, 2, 0.5},
    {{.kind = KN_SCHEDULE_COSINE, .total_steps = 5, .final = 0.1f}, 4, 0.1},
    {{.kind = KN_SCHEDULE_STEP, .every = 10, .gamma = 0.5f}, 9, 1},
    {{.kind = KN_SCHEDULE_STEP, .every = 10, .gamma = 0.5f}, 10, 0.5},
    {{.kind = KN_SCHEDULE_STEP, .every = 10, .gamma = 0.5f}, 35, 0.125},
    {{.kind = KN_SCHEDULE_STEP, .every = 10, .gamma = 0.5f, .warmup_steps = 5}, 15, 0.5},
};

TEST_ROWS(schedules_pass_through_their_points, points)
{
    EXPECT_NEAR((double)kn_schedule_factor(&points[tst_row].s, points[tst_row].step),
                points[tst_row].factor, 1e-7);
}

static const struct {
    struct kn_optim o;
    const char *text;
} refused[] = {
    {{.kind = KN_OPTIM_SGD, .lr = 0}, "lr: 0, expected above 0"},
    {{.kind = KN_OPTIM_SGD, .lr = NAN}, "lr: nan, expected above 0"},
    {{.kind = KN_OPTIM_SGD, .lr = 1, .momentum = 1},
     "momentum: 1, expected at least 0 and below 1"},
    {{.kind = KN_OPTIM_SGD, .lr = 1, .nesterov = true}, "nesterov needs a momentum above 0"},
    {{.kind = KN_OPTIM_SGD, .lr = 1, .weight_decay = -1}, "weight_decay: -1, expected at least 0"},
    {{.kind = KN_OPTIM_ADAMW, .lr = 1, .beta1 = 1, .beta2 = 0, .eps = 1},
     "betas: 1, 0, expected at least 0 and below 1"},
    {{.kind = KN_OPTIM_ADAMW, .lr = 1}, "eps: 0, expected above 0"},
};

TEST_ROWS(a_bad_setting_is_named, refused)
{
    struct kn_diag diag;
    EXPECT(kn_optim_verify(&refused[tst_row].o, &diag) == KN_ERR_INVALID);
    EXPECT_STR(diag.text, refused[tst_row].text);
}

static const struct kn_schedule bad_schedules[] = {
    {.kind = KN_SCHEDULE_LINEAR, .total_steps = 4, .warmup_steps = 4},
    {.kind = KN_SCHEDULE_COSINE, .total_steps = 4, .final = 2},
    {.kind = KN_SCHEDULE_STEP, .every = 0, .gamma = 0.5f},
    {.kind = KN_SCHEDULE_STEP, .every = 3, .gamma = 0},
};

TEST_ROWS(a_bad_schedule_is_refused, bad_schedules)
{
    struct kn_diag diag;
    EXPECT(kn_schedule_verify(&bad_schedules[tst_row], &diag) == KN_ERR_INVALID);
}
