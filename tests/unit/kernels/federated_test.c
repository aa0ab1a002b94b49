/* SPDX-License-Identifier: Apache-2.0
 *
 * The numbers of the server optimisers were worked out in double precision from the formulas of the
 * paper (Reddi et al. 2021, algorithm 2). */
#include "base/rng.h"
#include "kernels/agg/client.h"
#include "kernels/agg/fixed.h"
#include "kernels/agg/server.h"
#include "tst.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The mean of single numbers by weights, as a round forms it: changes from what there was. */
static float round_of(float model, const float *answers, const uint64_t *samples, size_t count)
{
    kn_fixed memory[1];
    struct kn_fixed_sum sum;
    float mean = 0;
    kn_fixed_begin(&sum, memory, 1);
    for (size_t i = 0; i < count; i++) {
        float change = answers[i] - model;
        kn_fixed_add(&sum, &change, kn_client_weight(samples[i], 0));
    }
    kn_fixed_divide(&sum, sum.weight, &mean);
    struct kn_server s = kn_server_default(KN_SERVER_AVG);
    kn_server_update(&s, &model, &mean, NULL, NULL, 1);
    return model;
}

TEST(a_round_knows_nothing_of_the_round_before)
{
    static const uint64_t one[] = {1, 1};
    float model = round_of(0, (const float[]){0, 2}, one, 2);
    EXPECT_NEAR((double)model, 1.0, 1e-9);
    model = round_of(model, (const float[]){10, 10}, one, 2);
    EXPECT_NEAR((double)model, 10.0, 1e-9);
}

TEST(updates_weigh_as_many_samples_as_they_saw)
{
    float model = round_of(0, (const float[]){0, 1}, (const uint64_t[]){100, 300}, 2);
    EXPECT_NEAR((double)model, 0.75, 1e-9);
    model = round_of(3, (const float[]){0.3f, -1.7f}, (const uint64_t[]){100, 300}, 2);
    EXPECT_NEAR((double)model, (100 * (double)0.3f + 300 * (double)-1.7f) / 400, 1e-6);
}

#define SIZE    1003u
#define CLIENTS 37u

static void fill(float *x, uint64_t seed)
{
    struct sh_rng rng;
    sh_rng_init(&rng, seed);
    for (size_t i = 0; i < SIZE; i++) {
        double unit = (double)(sh_rng_u64(&rng) >> 11) / 9007199254740992.0 - 0.5;
        x[i] = (float)(unit * exp((double)sh_rng_between(&rng, 0, 20) - 12.0));
    }
}

static void mean_in_order(const uint32_t *order, float *out)
{
    static kn_fixed memory[SIZE];
    static float x[SIZE];
    struct kn_fixed_sum sum;
    kn_fixed_begin(&sum, memory, SIZE);
    for (size_t i = 0; i < CLIENTS; i++) {
        fill(x, order[i] + 1);
        kn_fixed_add(&sum, x, kn_client_weight(10 + 13 * (uint64_t)order[i], 0));
    }
    kn_fixed_divide(&sum, sum.weight, out);
}

TEST(permuted_arrivals_give_the_same_bits)
{
    static float first[SIZE];
    static float other[SIZE];
    uint32_t order[CLIENTS];
    struct sh_rng rng;
    sh_rng_init(&rng, tst_seed());
    for (uint32_t i = 0; i < CLIENTS; i++) {
        order[i] = i;
    }
    mean_in_order(order, first);
    for (int turn = 0; turn < 20; turn++) {
        for (uint32_t i = CLIENTS - 1; i > 0; i--) {
            uint32_t k = (uint32_t)sh_rng_below(&rng, i + 1);
            uint32_t kept = order[i];
            order[i] = order[k];
            order[k] = kept;
        }
        mean_in_order(order, other);
        EXPECT_MEM(first, other, sizeof first);
    }
}

TEST(means_are_those_of_double_precision)
{
    static float got[SIZE];
    static float x[SIZE];
    static double want[SIZE];
    uint32_t order[CLIENTS];
    double all = 0;
    for (uint32_t i = 0; i < CLIENTS; i++) {
        double weight = 10 + 13 * (double)i;
        order[i] = i;
        fill(x, i + 1);
        all += weight;
        for (size_t k = 0; k < SIZE; k++) {
            want[k] += weight * (double)x[k];
        }
    }
    mean_in_order(order, got);
    for (size_t k = 0; k < SIZE; k++) {
        EXPECT_NEAR((double)got[k], want[k] / all, 1e-6);
    }
}

TEST(the_largest_terms_and_weights_do_not_overflow)
{
    kn_fixed memory[2];
    struct kn_fixed_sum sum;
    float mean[2];
    const float x[2] = {(float)KN_FIXED_LIMIT, -(float)KN_FIXED_LIMIT};
    kn_fixed_begin(&sum, memory, 2);
    for (uint32_t i = 0; i < KN_FIXED_TERMS_MAX; i++) {
        kn_fixed_add(&sum, x, KN_FIXED_WEIGHT_MAX);
    }
    kn_fixed_divide(&sum, sum.weight, mean);
    EXPECT_NEAR((double)mean[0], (double)KN_FIXED_LIMIT, 0);
    EXPECT_NEAR((double)mean[1], -(double)KN_FIXED_LIMIT, 0);
}

TEST_DIES(more_terms_than_are_argued_for_are_a_bug, "KN_FIXED_TERMS_MAX")
{
    kn_fixed memory[1];
    struct kn_fixed_sum sum;
    const float x = 1;
    kn_fixed_begin(&sum, memory, 1);
    for (uint32_t i = 0; i <= KN_FIXED_TERMS_MAX; i++) {
        kn_fixed_add(&sum, &x, 1);
    }
}

TEST(what_is_not_finite_or_too_large_is_found)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY, 4194305.0f, -5e6f};
    float x[3] = {1, (float)KN_FIXED_LIMIT, -(float)KN_FIXED_LIMIT};
    size_t at = 0;
    EXPECT(kn_fixed_verify(x, 3, &at));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        x[1] = bad[i];
        EXPECT(!kn_fixed_verify(x, 3, &at));
        EXPECT_EQ(at, 1);
    }
}

TEST(what_is_stale_weighs_less_and_huge_counts_saturate)
{
    EXPECT_EQ(kn_client_weight(100, 0), 102400);
    EXPECT_EQ(kn_client_weight(100, 3), 51200);
    EXPECT_EQ(kn_client_weight(0, 0), 0);
    EXPECT_EQ(kn_client_weight(UINT64_MAX, 0), kn_client_weight(KN_CLIENT_SAMPLES_MAX, 0));
    EXPECT_EQ(kn_client_metric_weight(0.5, 0), 524288);
    EXPECT_EQ(kn_client_metric_weight(2.0, 0), 1048576);
    EXPECT_EQ(kn_client_metric_weight(-1.0, 0), 0);
    EXPECT_EQ(kn_client_metric_weight((double)NAN, 0), 0);
}

static const struct {
    enum kn_server_kind kind;
    double x[2];
} SERVERS[] = {{KN_SERVER_AVG, {1.125, -2}},
               {KN_SERVER_AVGM, {2.0925, -2.2025}},
               {KN_SERVER_ADAGRAD, {1.054472589, -2.029089839}},
               {KN_SERVER_ADAM, {1.210367035, -2.082957980}},
               {KN_SERVER_YOGI, {1.209846062, -2.083019566}}};

TEST_ROWS(server_optimisers_follow_the_paper, SERVERS)
{
    static const float deltas[3][2] = {{0.5f, -0.25f}, {0.125f, 0.25f}, {-0.5f, 0}};
    struct kn_server s = kn_server_default(SERVERS[tst_row].kind);
    float x[2] = {1, -2};
    float state[4];
    EXPECT(kn_server_state_count(&s, 2) <= 4);
    kn_server_begin(&s, state, 2);
    for (size_t i = 0; i < 3; i++) {
        kn_server_update(&s, x, deltas[i], state, state + 2, 2);
    }
    EXPECT_NEAR((double)x[0], SERVERS[tst_row].x[0], 2e-6);
    EXPECT_NEAR((double)x[1], SERVERS[tst_row].x[1], 2e-6);
}

TEST(the_proximal_term_pulls_back_to_the_anchor)
{
    float g[2] = {1, 1};
    kn_client_prox(g, (const float[]){2, 0}, (const float[]){1, 1}, 0.5f, 10, 2);
    EXPECT_NEAR((double)g[0], 6, 1e-6);
    EXPECT_NEAR((double)g[1], -4, 1e-6);
}

/* One step from x = 1 with gradient 4 and rate 0.5 goes to -1: the variate becomes the gradient. */
TEST(a_control_variate_is_the_mean_gradient_on_the_way)
{
    float own[1] = {0};
    float change[1];
    float g[1] = {8};
    kn_client_control(own, change, (const float[]){0}, (const float[]){1}, (const float[]){-1},
                      0.5f, 1);
    EXPECT_NEAR((double)own[0], 4, 1e-6);
    EXPECT_NEAR((double)change[0], 4, 1e-6);
    kn_client_correct(g, (const float[]){1}, own, 2, 1);
    EXPECT_NEAR((double)g[0], 2, 1e-6);
}
