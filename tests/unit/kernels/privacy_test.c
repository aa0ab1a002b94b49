/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/agg/accountant.h"
#include "kernels/agg/clip.h"
#include "kernels/agg/noise.h"
#include "kernels/philox.h"
#include "tst.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of a seed: what the tests see is the same in every run. */
struct seeded {
    struct kn_stream stream;
    uint64_t block;
};

static void fill_seeded(void *context, uint8_t *bytes, size_t size)
{
    struct seeded *s = context;
    for (size_t at = 0; at < size; at += 16) {
        uint32_t word[4];
        kn_stream_block(word, s->stream, s->block, 0);
        s->block++;
        memcpy(bytes + at, word, size - at < 16 ? size - at : 16);
    }
}

static struct seeded seeded(uint64_t number)
{
    return (struct seeded){.stream = kn_stream_make(tst_seed(), number, 0, 0)};
}

static void draw(double deviation, uint64_t number, int64_t *out, size_t count)
{
    struct seeded s = seeded(number);
    struct kn_noise noise;
    struct kn_diag diag;
    const struct kn_entropy entropy = {.fill = fill_seeded, .context = &s};
    EXPECT(kn_noise_open(&noise, entropy, deviation, &diag) == KN_OK);
    EXPECT(kn_noise_draw(&noise, out, count, &diag) == KN_OK);
    kn_noise_close(&noise);
}

enum { DRAWS = 200000 };

static const double small[] = {0.7, 1.0, 1.5, 2.0, 3.7, 9.0};

/* Chi-squared against the definition, exp(-x^2 / 2 v) / sum, where 20 draws or more are expected;
 * the rest is one cell. */
TEST_ROWS(small_noise_has_the_frequencies_of_the_discrete_gaussian, small)
{
    enum { REACH = 200 };
    static int64_t x[DRAWS];
    static double seen[2 * REACH + 1];
    const double variance = ceil(small[tst_row] * small[tst_row]);
    double total = 0;
    for (int k = -REACH; k <= REACH; k++) {
        total += exp(-(double)(k * k) / (2 * variance));
    }
    draw(small[tst_row], 100 + tst_row, x, DRAWS);
    for (size_t i = 0; i < DRAWS; i++) {
        EXPECT(x[i] >= -REACH && x[i] <= REACH);
        seen[x[i] + REACH] += 1;
    }
    double chi = 0;
    double rest_seen = DRAWS;
    double rest_expected = DRAWS;
    int cells = 0;
    for (int k = -REACH; k <= REACH; k++) {
        double expected = DRAWS * exp(-(double)(k * k) / (2 * variance)) / total;
        if (expected >= 20) {
            double off = seen[k + REACH] - expected;
            chi += off * off / expected;
            rest_seen -= seen[k + REACH];
            rest_expected -= expected;
            cells++;
        }
    }
    chi += (rest_seen - rest_expected) * (rest_seen - rest_expected) / (rest_expected + 1);
    /* mean `cells`, variance 2 cells */
    EXPECT(chi < cells + 4.5 * sqrt(2.0 * cells));
}

static int compare(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a;
    int64_t right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

static const double large[] = {100.0, 4096.5, 0x1p20, 1.7e9, 0x1p40};

/* Kolmogorov and Smirnov's distance from the normal distribution; 1.95 / sqrt(n) is exceeded once
 * in a thousand. */
TEST_ROWS(large_noise_is_normal, large)
{
    static int64_t x[DRAWS];
    const double deviation = large[tst_row];
    double sum = 0;
    double squares = 0;
    double distance = 0;
    draw(deviation, 200 + tst_row, x, DRAWS);
    qsort(x, DRAWS, sizeof x[0], compare);
    for (size_t i = 0; i < DRAWS; i++) {
        double z = (double)x[i] / deviation;
        double normal = 0.5 * erfc(-(z + 0.5 / deviation) / sqrt(2.0));
        sum += z;
        squares += z * z;
        if (i + 1 == DRAWS || x[i + 1] != x[i]) {
            double off = fabs((double)(i + 1) / DRAWS - normal);
            distance = off > distance ? off : distance;
        }
    }
    EXPECT(distance < 1.95 / sqrt(DRAWS));
    EXPECT(fabs(sum / DRAWS) < 4.0 / sqrt(DRAWS));
    EXPECT(fabs(squares / DRAWS - 1.0) < 4.0 * sqrt(2.0 / DRAWS));
}

TEST(draws_do_not_depend_on_one_another)
{
    static int64_t x[DRAWS];
    draw(50.0, 300, x, DRAWS);
    for (size_t lag = 1; lag < 20; lag++) {
        double sum = 0;
        for (size_t i = 0; i + lag < DRAWS; i++) {
            sum += (double)x[i] * (double)x[i + lag] / 2500.0;
        }
        EXPECT(fabs(sum / DRAWS) < 4.5 / sqrt(DRAWS));
    }
}

TEST(the_variance_is_never_less_than_asked_for)
{
    struct seeded s = seeded(1);
    struct kn_noise noise;
    const struct kn_entropy entropy = {.fill = fill_seeded, .context = &s};
    for (double d = 0.01; d < 1e12; d *= 1.37) {
        EXPECT(kn_noise_open(&noise, entropy, d, NULL) == KN_OK);
        EXPECT(kn_noise_variance(&noise) >= d * d * (1 - 1e-15));
        EXPECT(kn_noise_variance(&noise) <= d * d + 1.0 + d * d * 1e-15);
    }
}

static const double no_deviation[] = {0.0, -1.0, NAN, INFINITY, 0x1.1p40};

TEST_ROWS(a_deviation_that_cannot_be_drawn_is_refused, no_deviation)
{
    struct seeded s = seeded(1);
    struct kn_noise noise;
    struct kn_diag diag = {""};
    const struct kn_entropy entropy = {.fill = fill_seeded, .context = &s};
    EXPECT(kn_noise_open(&noise, entropy, no_deviation[tst_row], &diag) == KN_ERR_INVALID);
    EXPECT(strstr(diag.text, "more than 0, at most") != NULL);
}

static void fill_same(void *context, uint8_t *bytes, size_t size)
{
    memset(bytes, *(const int *)context, size);
}

TEST(a_source_that_is_not_random_ends_with_an_error_and_not_in_a_loop)
{
    int refused = 0;
    for (int value = 0; value < 256; value++) {
        struct kn_noise noise;
        struct kn_diag diag = {""};
        int64_t out[64];
        const struct kn_entropy entropy = {.fill = fill_same, .context = &value};
        EXPECT(kn_noise_open(&noise, entropy, 1000.0, &diag) == KN_OK);
        refused += kn_noise_draw(&noise, out, 64, &diag) == KN_ERR_INVALID;
    }
    EXPECT(refused >= 1); /* zeros, at least, accept every coin */
}

/* --- clipping ------------------------------------------------------------------------------- */

enum { COUNT = 5000 };

static double squares_of(const int64_t *out)
{
    double sum = 0;
    for (size_t i = 0; i < COUNT; i++) {
        sum += (double)out[i] * (double)out[i];
    }
    return sum;
}

static const struct {
    double scale;
    double bound;
    uint32_t bits;
} clips[] = {{1.0, 1.0, 16},   {1e-3, 1.0, 30}, {1e30, 8.0, 22}, {3.0, 0.5, 40},
             {1.0, 70.71, 30}, {0.0, 1.0, 30},  {1e-30, 1.0, 30}};

TEST_ROWS(a_clipped_vector_is_never_longer_than_the_bound, clips)
{
    static float x[COUNT];
    static int64_t out[COUNT];
    struct kn_stream s = kn_stream_make(tst_seed(), 9, 0, 0);
    const double grid = ldexp(1.0, (int)clips[tst_row].bits);
    double norm = 0;
    double length = 0;
    for (uint32_t i = 0; i < COUNT; i++) {
        x[i] = (float)(clips[tst_row].scale * ((double)kn_stream_u32(s, 0, i) * 0x1p-31 - 1.0));
        length += (double)x[i] * (double)x[i];
    }
    length = sqrt(length);
    EXPECT(kn_clip(x, COUNT, clips[tst_row].bound, clips[tst_row].bits, out, &norm, NULL) == KN_OK);
    EXPECT_NEAR(norm, length, 1e-9);
    EXPECT(sqrt(squares_of(out)) <= clips[tst_row].bound * grid * (1 + 1e-14));
    double factor = length > clips[tst_row].bound ? clips[tst_row].bound / length : 1.0;
    for (size_t i = 0; i < COUNT; i++) {
        EXPECT(fabs((double)out[i] - (double)x[i] * factor * grid) <=
               1.0 + 2e-6 * fabs((double)out[i]));
    }
}

TEST(values_round_towards_zero)
{
    static const float x[4] = {0.99f / 65536.0f, -0.99f / 65536.0f, 2.5f / 65536.0f,
                               -2.5f / 65536.0f};
    int64_t out[4];
    EXPECT(kn_clip(x, 4, 1.0, 16, out, NULL, NULL) == KN_OK);
    EXPECT(out[0] == 0 && out[1] == 0 && out[2] == 2 && out[3] == -2);
}

TEST(what_cannot_be_clipped_is_refused)
{
    float x[3] = {1, 2, NAN};
    int64_t out[3];
    struct kn_diag diag = {""};
    EXPECT(kn_clip(x, 3, 1.0, 16, out, NULL, &diag) == KN_ERR_NOT_FINITE);
    EXPECT_STR(diag.text, "value 2 is not finite");
    EXPECT(kn_clip(x, 2, 0.0, 16, out, NULL, &diag) == KN_ERR_INVALID);
    EXPECT(kn_clip(x, 2, NAN, 16, out, NULL, &diag) == KN_ERR_INVALID);
    EXPECT(kn_clip(x, 2, 1.0, 41, out, NULL, &diag) == KN_ERR_INVALID);
    EXPECT(kn_clip(x, 2, 0x1p40, 30, out, NULL, &diag) == KN_ERR_INVALID);
}

/* --- the accountant -------------------------------------------------------------------------- */

static const struct {
    double q;
    double noise;
    uint64_t rounds;
    double delta;
    double epsilon;
    uint32_t order;
} spent[] = {
    {256.0 / 60000.0, 1.1, 14100, 1e-5, 2.600718, 8},
    {0.01, 1.0, 1000, 1e-5, 2.107753, 8},
    {0.1, 1.0, 100, 1e-5, 7.972922, 3},
    {1.0, 5.0, 50, 1e-5, 7.087862, 4},
    {1.0, 1.0, 1, 1e-5, 4.752728, 5},
    {0.05, 2.0, 500, 1e-6, 3.103813, 8},
};

TEST_ROWS(epsilon_has_its_reference_values, spent)
{
    struct kn_ledger ledger = {{0}};
    uint32_t order = 0;
    kn_ledger_spend(&ledger, spent[tst_row].q, spent[tst_row].noise, spent[tst_row].rounds);
    EXPECT(fabs(kn_ledger_epsilon(&ledger, spent[tst_row].delta, &order) -
                spent[tst_row].epsilon) <= 1e-6);
    EXPECT_EQ(order, spent[tst_row].order);
}

TEST(one_round_after_the_other_costs_what_all_at_once_do)
{
    struct kn_ledger one = {{0}};
    struct kn_ledger all = {{0}};
    for (int i = 0; i < 500; i++) {
        kn_ledger_spend(&one, 0.05, 2.0, 1);
    }
    kn_ledger_spend(&all, 0.05, 2.0, 500);
    EXPECT_NEAR(kn_ledger_epsilon(&one, 1e-6, NULL), kn_ledger_epsilon(&all, 1e-6, NULL), 1e-12);
}

TEST(more_noise_fewer_rounds_and_a_larger_delta_cost_less)
{
    static const double q[] = {0.001, 0.1, 0.7, 1.0};
    for (size_t i = 0; i < sizeof q / sizeof q[0]; i++) {
        double before = INFINITY;
        for (double noise = 0.3; noise < 100; noise *= 1.5) {
            struct kn_ledger few = {{0}};
            struct kn_ledger many = {{0}};
            kn_ledger_spend(&few, q[i], noise, 10);
            kn_ledger_spend(&many, q[i], noise, 11);
            double epsilon = kn_ledger_epsilon(&few, 1e-5, NULL);
            EXPECT(epsilon <= before);
            EXPECT(epsilon <= kn_ledger_epsilon(&many, 1e-5, NULL));
            EXPECT(epsilon >= kn_ledger_epsilon(&few, 1e-3, NULL));
            before = epsilon;
        }
    }
}

TEST_ROWS(the_rounds_that_a_budget_allows_are_the_most_that_do, spent)
{
    const double q = spent[tst_row].q;
    const double noise = spent[tst_row].noise;
    uint64_t rounds =
        kn_ledger_rounds(q, noise, spent[tst_row].delta, spent[tst_row].epsilon + 1e-6);
    EXPECT_EQ(rounds, spent[tst_row].rounds);
}

TEST(a_budget_that_no_round_fits_allows_none)
{
    EXPECT_EQ(kn_ledger_rounds(1.0, 1.0, 1e-5, 1.0), 0);
}

TEST(nothing_spent_costs_next_to_nothing)
{
    struct kn_ledger ledger = {{0}};
    EXPECT(kn_ledger_epsilon(&ledger, 1e-5, NULL) < 0.05);
}

TEST(settings_that_make_no_sense_are_refused_by_name)
{
    struct kn_diag diag = {""};
    EXPECT(kn_privacy_verify(0.0, 1.0, &diag) == KN_ERR_INVALID);
    EXPECT(strstr(diag.text, "chance to take part") != NULL);
    EXPECT(kn_privacy_verify(1.1, 1.0, &diag) == KN_ERR_INVALID);
    EXPECT(kn_privacy_verify(NAN, 1.0, &diag) == KN_ERR_INVALID);
    EXPECT(kn_privacy_verify(0.5, 0.0, &diag) == KN_ERR_INVALID);
    EXPECT(strstr(diag.text, "noise 0") != NULL);
    EXPECT(kn_privacy_verify(0.5, NAN, &diag) == KN_ERR_INVALID);
    EXPECT(kn_privacy_verify(0.5, 1.0, &diag) == KN_OK);
}
