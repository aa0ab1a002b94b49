/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/attack.h"
#include "kernels/agg/vote.h"
#include "kernels/philox.h"
#include "tst.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MEMBERS = 40, COUNT = 1500 };

/* Vectors of members, and all that the rules want of a caller. */
struct cohort {
    float value[MEMBERS][COUNT];
    const float *x[MEMBERS];
    uint64_t id[MEMBERS];
    uint32_t members;
    bool bad[MEMBERS];
    double square[MEMBERS];
    double distance[MEMBERS * MEMBERS];
    double sorted[MEMBERS];
    struct kn_ballot ballot[MEMBERS];
    uint32_t order[MEMBERS];
    float rows[MEMBERS * KN_VOTE_LANES];
    float out[COUNT];
    struct kn_diag diag;
};

static struct cohort c;

static void fill(uint32_t members, float mean, float deviation)
{
    c.members = members;
    for (uint32_t i = 0; i < members; i++) {
        c.id[i] = 1000u - 7u * i;
        c.x[i] = c.value[i];
        for (uint32_t at = 0; at < COUNT; at++) {
            c.value[i][at] = mean + deviation * attack_normal(tst_seed(), i, at);
        }
    }
}

static struct kn_vote_look look_at(size_t from, size_t to)
{
    const float *x[MEMBERS];
    struct kn_vote_look look = {
        .members = c.members, .not_finite = c.bad, .square = c.square, .distance = c.distance};
    for (uint32_t i = 0; i < c.members; i++) {
        x[i] = c.x[i] + from;
    }
    kn_vote_look(&look, x, to - from);
    return look;
}

static enum kn_err combine(enum kn_vote_rule rule, uint32_t byzantine, double norm_bound,
                           struct kn_vote_verdict *verdict)
{
    const struct kn_vote vote = {.rule = rule, .byzantine = byzantine, .norm_bound = norm_bound};
    memset(c.bad, 0, sizeof c.bad);
    memset(c.square, 0, sizeof c.square);
    memset(c.distance, 0, sizeof c.distance);
    struct kn_vote_look look = look_at(0, COUNT);
    *verdict = (struct kn_vote_verdict){.ballot = c.ballot, .order = c.order};
    enum kn_err err = kn_vote_judge(&vote, &look, c.id, c.sorted, verdict, &c.diag);
    if (err == KN_OK) {
        kn_vote_merge(&vote, verdict, c.x, COUNT, c.rows, c.out);
    }
    return err;
}

static int compare(const void *a, const void *b)
{
    float left = *(const float *)a;
    float right = *(const float *)b;
    return (left > right) - (left < right);
}

/* The definition: every coordinate sorted. */
static double expected(uint32_t at, uint32_t cut, bool median)
{
    float column[MEMBERS];
    uint32_t n = c.members;
    for (uint32_t i = 0; i < n; i++) {
        column[i] = c.value[i][at];
    }
    qsort(column, n, sizeof column[0], compare);
    if (median) {
        return 0.5 * ((double)column[(n - 1) / 2] + (double)column[n / 2]);
    }
    double sum = 0;
    for (uint32_t i = cut; i < n - cut; i++) {
        sum += (double)column[i];
    }
    return sum / (double)(n - 2 * cut);
}

TEST(median_and_trimmed_mean_are_those_of_sorted_coordinates)
{
    struct kn_vote_verdict v;
    for (uint32_t n = 1; n <= MEMBERS; n++) {
        fill(n, 0.5f, 2.0f);
        EXPECT(combine(KN_VOTE_MEDIAN, 0, 0, &v) == KN_OK);
        for (uint32_t at = 0; at < COUNT; at++) {
            EXPECT_NEAR((double)c.out[at], expected(at, 0, true), 1e-7);
        }
        uint32_t cut = (n - 1) / 3;
        EXPECT(combine(KN_VOTE_TRIMMED_MEAN, cut, 0, &v) == KN_OK);
        for (uint32_t at = 0; at < COUNT; at++) {
            EXPECT_NEAR((double)c.out[at], expected(at, cut, false), 1e-6);
        }
    }
}

static double distance_of(uint32_t a, uint32_t b)
{
    double sum = 0;
    for (uint32_t at = 0; at < COUNT; at++) {
        double d = (double)c.value[a][at] - (double)c.value[b][at];
        sum += d * d;
    }
    return sum;
}

/* Position with the least sum of its n - f - 2 smallest distances, found by looking for each
 * smallest in turn. */
static uint32_t krum_of(uint32_t f)
{
    uint32_t best = 0;
    double least = INFINITY;
    for (uint32_t i = 0; i < c.members; i++) {
        bool used[MEMBERS] = {false};
        double score = 0;
        used[i] = true;
        for (uint32_t k = 0; k < c.members - f - 2; k++) {
            uint32_t near = MEMBERS;
            for (uint32_t j = 0; j < c.members; j++) {
                if (!used[j] && (near == MEMBERS || distance_of(i, j) < distance_of(i, near))) {
                    near = j;
                }
            }
            used[near] = true;
            score += distance_of(i, near);
        }
        if (score < least) {
            least = score;
            best = i;
        }
    }
    return best;
}

TEST(krum_gives_the_vector_nearest_to_its_neighbours)
{
    struct kn_vote_verdict v;
    for (uint32_t n = 7; n <= 15; n += 4) {
        fill(n, 0.0f, 1.0f);
        EXPECT(combine(KN_VOTE_KRUM, 2, 0, &v) == KN_OK);
        uint32_t best = krum_of(2);
        EXPECT_EQ(v.kept, 1);
        EXPECT_EQ(v.order[0], best);
        EXPECT_MEM(c.out, c.value[best], sizeof c.out);
    }
}

TEST(multi_krum_is_the_mean_of_the_n_minus_f_nearest)
{
    struct kn_vote_verdict v;
    fill(12, 1.0f, 1.0f);
    for (uint32_t at = 0; at < COUNT; at++) {
        c.value[3][at] += 4.0f;
        c.value[7][at] -= 4.0f;
    }
    EXPECT(combine(KN_VOTE_MULTI_KRUM, 2, 0, &v) == KN_OK);
    EXPECT_EQ(v.kept, 10);
    EXPECT(v.ballot[3].fate == KN_VOTE_OUTVOTED && v.ballot[7].fate == KN_VOTE_OUTVOTED);
    for (uint32_t at = 0; at < COUNT; at++) {
        double sum = 0;
        for (uint32_t i = 0; i < 12; i++) {
            sum += i == 3 || i == 7 ? 0 : (double)c.value[i][at];
        }
        EXPECT_NEAR((double)c.out[at], sum / 10.0, 1e-6);
    }
}

static const struct {
    enum kn_vote_rule rule;
    uint32_t byzantine;
} rules[] = {{KN_VOTE_MEAN, 0},
             {KN_VOTE_MEDIAN, 4},
             {KN_VOTE_TRIMMED_MEAN, 4},
             {KN_VOTE_KRUM, 4},
             {KN_VOTE_MULTI_KRUM, 4}};

/* Equal vectors, equal scores and both zeros among them. */
TEST_ROWS(permuted_members_give_equal_bits, rules)
{
    static float first[COUNT];
    struct kn_vote_verdict v;
    struct kn_stream s = kn_stream_make(tst_seed(), 5, 0, 0);
    fill(20, 0.0f, 1.0f);
    memcpy(c.value[4], c.value[9], sizeof c.value[4]);
    for (uint32_t at = 0; at < COUNT; at += 3) {
        for (uint32_t i = 0; i < 20; i++) {
            c.value[i][at] = i % 2 == 0 ? 0.0f : -0.0f;
        }
    }
    for (uint32_t at = 0; at < COUNT; at++) {
        c.value[11][at] *= 50.0f;
    }
    for (uint32_t turn = 0; turn < 30; turn++) {
        for (uint32_t i = 19; i > 0; i--) {
            uint32_t j = kn_stream_u32(s, turn, i) % (i + 1);
            const float *x = c.x[i];
            uint64_t id = c.id[i];
            c.x[i] = c.x[j];
            c.id[i] = c.id[j];
            c.x[j] = x;
            c.id[j] = id;
        }
        EXPECT(combine(rules[tst_row].rule, rules[tst_row].byzantine, 3.0, &v) == KN_OK);
        if (turn == 0) {
            memcpy(first, c.out, sizeof first);
        }
        EXPECT_MEM(c.out, first, sizeof first);
    }
}

/* Three owners: each merges its slice with what all three saw. */
TEST_ROWS(slices_of_several_owners_make_the_whole, rules)
{
    static const size_t cut[4] = {0, 333, 1024, COUNT};
    static double square[3][MEMBERS];
    static double distance[3][MEMBERS * MEMBERS];
    static bool bad[3][MEMBERS];
    const struct kn_vote vote = {
        .rule = rules[tst_row].rule, .byzantine = rules[tst_row].byzantine, .norm_bound = 2.5};
    struct kn_vote_verdict v = {.ballot = c.ballot, .order = c.order};
    struct kn_vote_look part[3];
    float whole[COUNT];
    fill(20, 0.2f, 1.0f);
    for (uint32_t at = 0; at < COUNT; at++) {
        c.value[2][at] *= 90.0f;
    }
    c.value[6][1100] = NAN;
    EXPECT(combine(vote.rule, vote.byzantine, vote.norm_bound, &v) == KN_OK);
    memcpy(whole, c.out, sizeof whole);
    memset(c.out, 0, sizeof c.out);
    for (uint32_t p = 0; p < 3; p++) {
        const float *x[MEMBERS];
        part[p] = (struct kn_vote_look){
            .members = 20, .not_finite = bad[p], .square = square[p], .distance = distance[p]};
        for (uint32_t i = 0; i < 20; i++) {
            x[i] = c.x[i] + cut[p];
        }
        kn_vote_look(&part[p], x, cut[p + 1] - cut[p]);
        EXPECT(bad[p][6] == (p == 2));
        if (p > 0) {
            kn_vote_add(&part[0], &part[p]);
        }
    }
    EXPECT(kn_vote_judge(&vote, &part[0], c.id, c.sorted, &v, &c.diag) == KN_OK);
    EXPECT(v.ballot[6].fate == KN_VOTE_NOT_FINITE);
    for (uint32_t p = 0; p < 3; p++) {
        const float *x[MEMBERS];
        for (uint32_t i = 0; i < 20; i++) {
            x[i] = c.x[i] + cut[p];
        }
        kn_vote_merge(&vote, &v, x, cut[p + 1] - cut[p], c.rows, c.out + cut[p]);
    }
    for (uint32_t at = 0; at < COUNT; at++) {
        EXPECT_NEAR((double)c.out[at], (double)whole[at], 1e-6);
    }
}

TEST(vectors_longer_than_the_bound_are_shortened_to_it)
{
    struct kn_vote_verdict v;
    fill(9, 0.0f, 1.0f);
    for (uint32_t at = 0; at < COUNT; at++) {
        c.value[5][at] *= 1000.0f;
    }
    EXPECT(combine(KN_VOTE_MEAN, 0, 3.0, &v) == KN_OK);
    EXPECT_EQ(v.kept, 9);
    EXPECT(v.ballot[5].fate == KN_VOTE_SHORTENED);
    EXPECT_NEAR((double)v.ballot[5].factor * v.ballot[5].norm, 3.0 * sqrt((double)COUNT),
                0.1 * 116);
    for (uint32_t i = 0; i < 9; i++) {
        EXPECT(i == 5 || v.ballot[i].fate == KN_VOTE_KEPT);
    }
}

TEST(members_whose_values_are_not_finite_are_named_and_left_out)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    struct kn_vote_verdict v;
    for (size_t k = 0; k < sizeof bad / sizeof bad[0]; k++) {
        fill(9, 1.0f, 0.1f);
        c.value[2][0] = bad[k];
        c.value[8][COUNT - 1] = bad[k];
        EXPECT(combine(KN_VOTE_MEDIAN, 2, 0, &v) == KN_OK);
        EXPECT_EQ(v.kept, 7);
        EXPECT_EQ(v.byzantine, 0);
        for (uint32_t i = 0; i < 9; i++) {
            EXPECT((v.ballot[i].fate == KN_VOTE_NOT_FINITE) == (i == 2 || i == 8));
        }
        EXPECT_NEAR((double)c.out[0], 1.0, 0.2);
    }
}

TEST(huge_finite_values_are_outvoted_like_any_other)
{
    struct kn_vote_verdict v;
    fill(9, 1.0f, 0.1f);
    for (uint32_t at = 0; at < COUNT; at++) {
        c.value[0][at] = 3e38f;
        c.value[1][at] = -3e38f;
    }
    for (uint32_t rule = KN_VOTE_MEDIAN; rule < KN_VOTE_RULES; rule++) {
        EXPECT(combine((enum kn_vote_rule)rule, 2, 0, &v) == KN_OK);
        EXPECT_NEAR((double)c.out[7], 1.0, 0.4);
    }
}

/* How far off the mean of the honest a result is, in lengths of that mean. */
static double error_of_result(uint32_t liars)
{
    double off = 0;
    double length = 0;
    for (uint32_t at = 0; at < COUNT; at++) {
        double sum = 0;
        for (uint32_t i = liars; i < c.members; i++) {
            sum += (double)c.value[i][at];
        }
        double mean = sum / (double)(c.members - liars);
        off += ((double)c.out[at] - mean) * ((double)c.out[at] - mean);
        length += mean * mean;
    }
    return sqrt(off / length);
}

static const struct {
    enum attack kind;
    double mean_at_least; /* error of the mean: above 1 the step no longer leads where it should */
    double others_at_most;
} attacks[] = {
    {ATTACK_SIGN_FLIP, 1.0, 0.6},
    {ATTACK_SCALE, 10.0, 0.6},
    {ATTACK_GAUSSIAN, 2.0, 0.6},
    {ATTACK_INNER_PRODUCT, 1.0, 0.6},
};

/* 20 members, four of them liars, honest ones half a length apart from their mean. */
TEST_ROWS(each_attack_breaks_the_mean_and_no_other_rule, attacks)
{
    float *x[MEMBERS];
    struct kn_vote_verdict v;
    fill(20, 1.0f, 0.5f);
    for (uint32_t i = 0; i < 20; i++) {
        x[i] = c.value[i];
    }
    attack_apply(attacks[tst_row].kind, x, 20, 4, COUNT, tst_seed());
    EXPECT(combine(KN_VOTE_MEAN, 0, 0, &v) == KN_OK);
    EXPECT(error_of_result(4) >= attacks[tst_row].mean_at_least);
    for (uint32_t rule = KN_VOTE_MEDIAN; rule < KN_VOTE_RULES; rule++) {
        EXPECT(combine((enum kn_vote_rule)rule, 4, 3.0, &v) == KN_OK);
        EXPECT(error_of_result(4) <= attacks[tst_row].others_at_most);
    }
}

TEST(a_nan_of_one_member_spoils_no_rule_and_would_spoil_a_plain_mean)
{
    float *x[MEMBERS];
    struct kn_vote_verdict v;
    fill(20, 1.0f, 0.5f);
    for (uint32_t i = 0; i < 20; i++) {
        x[i] = c.value[i];
    }
    attack_apply(ATTACK_NAN, x, 20, 4, COUNT, tst_seed());
    float plain = 0;
    for (uint32_t i = 0; i < 20; i++) {
        plain += c.value[i][COUNT / 2] / 20.0f;
    }
    EXPECT(isnan(plain));
    for (uint32_t rule = KN_VOTE_MEAN; rule < KN_VOTE_RULES; rule++) {
        EXPECT(combine((enum kn_vote_rule)rule, 4, 3.0, &v) == KN_OK);
        EXPECT(error_of_result(4) <= 0.6);
        for (uint32_t i = 0; i < 4; i++) {
            EXPECT(v.ballot[i].fate == KN_VOTE_NOT_FINITE);
        }
    }
}

/* Lies within the spread of the honest are not seen by any rule here. What they do stays within
 * that spread, which is all that these rules promise. Where the step is smaller than the spread it
 * turns the mean around. */
TEST(a_little_is_enough_turns_the_mean_and_moves_no_rule_beyond_the_spread)
{
    const double deviation = 1.0;
    float *x[MEMBERS];
    struct kn_vote_verdict v;
    for (uint32_t rule = KN_VOTE_MEAN; rule < KN_VOTE_RULES; rule++) {
        double sum = 0;
        fill(20, 0.15f, (float)deviation);
        for (uint32_t i = 0; i < 20; i++) {
            x[i] = c.value[i];
        }
        attack_apply(ATTACK_ALIE, x, 20, 4, COUNT, tst_seed());
        uint32_t f = rule == KN_VOTE_MEAN ? 0 : 4;
        EXPECT(combine((enum kn_vote_rule)rule, f, 3.0, &v) == KN_OK);
        for (uint32_t at = 0; at < COUNT; at++) {
            sum += (double)c.out[at];
        }
        double mean = sum / COUNT;
        EXPECT(rule != KN_VOTE_MEAN || mean < 0.0);
        EXPECT(fabs(mean - 0.15) <= 1.6 * deviation);
    }
}

TEST(what_a_rule_cannot_bear_is_refused_with_the_numbers)
{
    struct kn_vote_verdict v;
    struct kn_diag diag = {""};
    fill(8, 1.0f, 0.1f);
    EXPECT(combine(KN_VOTE_KRUM, 3, 0, &v) == KN_ERR_INVALID);
    EXPECT_STR(c.diag.text, "8 members: krum with 3 that may lie needs 9");
    EXPECT(combine(KN_VOTE_MEDIAN, 4, 0, &v) == KN_ERR_INVALID);
    EXPECT_STR(c.diag.text, "8 members: median with 4 that may lie needs 9");
    struct kn_vote vote = {.rule = KN_VOTE_MEAN, .norm_bound = NAN};
    EXPECT(kn_vote_verify(&vote, 3, &diag) == KN_ERR_INVALID);
    vote.norm_bound = 0;
    EXPECT(kn_vote_verify(&vote, KN_VOTE_MEMBERS_MAX + 1, &diag) == KN_ERR_LIMIT);
    for (uint32_t i = 0; i < 8; i++) {
        c.value[i][0] = NAN;
    }
    EXPECT(combine(KN_VOTE_MEAN, 0, 0, &v) == KN_ERR_INVALID);
}

TEST(every_rule_is_found_by_its_name_and_no_other_is)
{
    enum kn_vote_rule rule = KN_VOTE_RULES;
    for (uint32_t i = 0; i < KN_VOTE_RULES; i++) {
        EXPECT(kn_vote_find(kn_vote_name((enum kn_vote_rule)i), &rule));
        EXPECT_EQ(rule, i);
    }
    EXPECT(!kn_vote_find("Median", &rule));
}
