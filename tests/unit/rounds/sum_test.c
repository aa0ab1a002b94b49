/* SPDX-License-Identifier: Apache-2.0
 *
 * Secure sums between whoever leads and members, over calls in one process: who falls silent,
 * refuses or lies, and that a sum is the plain one. */
#include "rounds/combine.h"
#include "rounds/masking.h"
#include "rounds/sum.h"
#include "tst.h"

#include "base/host/host.h"
#include "base/rng.h"
#include "kernels/agg/fixed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MEMBERS_MAX = 9, FLOATS = 300 };

struct peer {
    struct trust trust;
    struct rounds_masking masking;
    uint64_t *words;            /* what it masked: the blob */
    enum rounds_sum_step quiet; /* from this step on; 0: never */
    uint32_t waits;             /* answers WORKS so often before it masks */
};

static struct {
    struct peer peer[MEMBERS_MAX];
    uint32_t count;
    struct spec_federated fed;
    struct rounds_sum sum;
    struct rounds_sum_member members[MEMBERS_MAX];
    uint64_t words[FLOATS];
    const uint8_t *stranger; /* not known to anybody */
    uint32_t rests;
    uint32_t rests_max; /* then it is cancelled */
} t;

static bool known(void *context, const uint8_t node[SH_NODE_ID_BYTES])
{
    (void)context;
    return t.stranger == NULL || memcmp(node, t.stranger, SH_NODE_ID_BYTES) != 0;
}

static float value_of(uint32_t member, size_t i)
{
    return (float)((double)(int64_t)sh_mix64(member * 1000003u + i) * 0x1p-63);
}

/* The masked words of a member that was asked for them, on another thread in the program. */
static void mask(struct peer *p)
{
    char why[ROUNDS_TEXT_MAX + 1] = "";
    uint8_t digest[SH_DIGEST_BYTES] = {1};
    free(p->words);
    p->words = NULL;
    enum sh_err err = rounds_masking_work(&p->masking, &p->words, why);
    rounds_masking_made(&p->masking, digest, err);
}

static enum sh_err ask(void *ctx, uint32_t i, struct sh_span bytes, uint8_t *reply, size_t capacity,
                       size_t *size)
{
    struct peer *p = &t.peer[i];
    struct rounds_sum_question question;
    struct sh_reader r = sh_reader_over(bytes.at, bytes.size);
    struct sh_writer w = sh_writer_over(reply, capacity);
    (void)ctx;
    EXPECT(rounds_sum_question_get(&r, &question) == SH_OK);
    if (p->quiet != 0 && question.step >= p->quiet) {
        return SH_ERR_TIMEOUT;
    }
    if (p->masking.state == ROUNDS_MASKING_WANTED && p->waits == 0) {
        mask(p);
    }
    p->waits -= p->masking.state == ROUNDS_MASKING_WANTED;
    rounds_masking_answer(&p->masking, &question, &r, &w);
    EXPECT(!w.full);
    *size = w.used;
    return SH_OK;
}

static enum sh_err fetch(void *ctx, uint32_t i, const uint8_t digest[SH_DIGEST_BYTES],
                         uint8_t **bytes)
{
    (void)ctx;
    EXPECT_EQ(digest[0], 1);
    *bytes = malloc(FLOATS * sizeof(uint64_t));
    EXPECT(*bytes != NULL);
    memcpy(*bytes, t.peer[i].words, FLOATS * sizeof(uint64_t));
    return SH_OK;
}

static bool rest(void *ctx)
{
    (void)ctx;
    t.rests++;
    return t.rests < t.rests_max;
}

static void give_update(uint32_t i, uint64_t round)
{
    float *change = malloc(FLOATS * sizeof *change);
    EXPECT(change != NULL);
    for (size_t k = 0; k < FLOATS; k++) {
        change[k] = value_of(i, k);
    }
    rounds_masking_take(&t.peer[i].masking, round, change, FLOATS);
}

static void setup(uint32_t count)
{
    const struct trust_secret secret = {{9}};
    sh_host_init();
    memset(&t, 0, sizeof t);
    t.count = count;
    t.rests_max = 100;
    t.fed = (struct spec_federated){.secure = true, .least = 3};
    t.sum = (struct rounds_sum){.unit = {5, 0},
                                .round = 2,
                                .floats = FLOATS,
                                .count = count,
                                .members = t.members,
                                .deadline_us = 60000000,
                                .ask = ask,
                                .fetch = fetch,
                                .rest = rest};
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t seed[TRUST_KEY_BYTES] = {(uint8_t)(i + 1)};
        trust_ephemeral(&t.peer[i].trust, &secret, seed, 1);
        const struct rounds_masking_config config = {
            .trust = &t.peer[i].trust, .fed = &t.fed, .known = known};
        rounds_masking_init(&t.peer[i].masking, &config);
        memcpy(t.members[i].node, t.peer[i].trust.node, SH_NODE_ID_BYTES);
        t.members[i].scale = (double)(i + 1) / (double)(count * (count + 1) / 2);
        give_update(i, 2);
    }
    memcpy(t.sum.cluster, t.peer[0].trust.cluster, SH_CLUSTER_ID_BYTES);
}

static void teardown(void)
{
    for (uint32_t i = 0; i < t.count; i++) {
        rounds_masking_drop(&t.peer[i].masking);
        trust_close(&t.peer[i].trust);
        free(t.peer[i].words);
    }
}

static void expect_plain_sum(void)
{
    for (size_t k = 0; k < FLOATS; k++) {
        uint64_t plain = 0;
        for (uint32_t i = 0; i < t.count; i++) {
            double x = (double)value_of(i, k) * t.members[i].scale * 0x1p40;
            plain += t.members[i].part == ROUNDS_SUM_IN ? (uint64_t)(int64_t)nearbyint(x) : 0;
        }
        EXPECT_EQ(t.words[k], plain);
    }
}

TEST(a_secure_sum_is_the_plain_sum_of_scaled_updates)
{
    for (uint32_t count = 3; count <= MEMBERS_MAX; count++) {
        setup(count);
        t.peer[1].waits = 2;
        EXPECT_EQ(rounds_sum_run(&t.sum, t.words), SH_OK);
        for (uint32_t i = 0; i < count; i++) {
            EXPECT_EQ(t.members[i].part, ROUNDS_SUM_IN);
        }
        expect_plain_sum();
        teardown();
    }
}

static const enum rounds_sum_step steps[] = {ROUNDS_SUM_KEYS, ROUNDS_SUM_SHARES, ROUNDS_SUM_MASKED,
                                             ROUNDS_SUM_CONSENT, ROUNDS_SUM_REVEAL};

TEST_ROWS(who_falls_silent_is_left_out_and_named, steps)
{
    setup(9);
    t.peer[2].quiet = steps[tst_row];
    t.peer[7].quiet = steps[tst_row];
    EXPECT_EQ(rounds_sum_run(&t.sum, t.words), SH_OK);
    expect_plain_sum();
    for (uint32_t i = 0; i < 9; i++) {
        bool in = (i != 2 && i != 7) || steps[tst_row] >= ROUNDS_SUM_CONSENT;
        EXPECT((t.members[i].part == ROUNDS_SUM_IN) == in);
        EXPECT((t.members[i].why[0] == '\0') == in);
    }
    teardown();
}

/* Five of nine are silent at a step that nobody has consented to: a new try among the four others.
 */
TEST(too_few_begin_again_among_those_who_answer)
{
    setup(9);
    for (uint32_t i = 0; i < 5; i++) {
        t.peer[i].quiet = ROUNDS_SUM_MASKED;
    }
    EXPECT_EQ(rounds_sum_run(&t.sum, t.words), SH_OK);
    for (uint32_t i = 0; i < 9; i++) {
        EXPECT_EQ(t.members[i].part, i < 5 ? ROUNDS_SUM_SILENT : ROUNDS_SUM_IN);
    }
    expect_plain_sum();
    teardown();
}

/* After that they would tell in two sums what those who left had. */
TEST(an_update_that_went_into_a_sum_goes_into_no_other)
{
    setup(9);
    for (uint32_t i = 0; i < 5; i++) {
        t.peer[i].quiet = ROUNDS_SUM_REVEAL;
    }
    EXPECT_EQ(rounds_sum_run(&t.sum, t.words), SH_ERR_NO_QUORUM);
    for (uint32_t i = 0; i < 5; i++) {
        t.peer[i].quiet = 0;
    }
    EXPECT_EQ(rounds_sum_run(&t.sum, t.words), SH_ERR_NO_QUORUM);
    EXPECT(strstr(t.members[0].why, "superseded") != NULL);
    for (uint32_t i = 0; i < 9; i++) {
        give_update(i, 3);
    }
    t.sum.round = 3;
    EXPECT_EQ(rounds_sum_run(&t.sum, t.words), SH_OK);
    expect_plain_sum();
    teardown();
}

TEST(fewer_than_the_job_asks_for_are_told_nothing)
{
    setup(4);
    t.fed.least = 5;
    EXPECT_EQ(rounds_sum_run(&t.sum, t.words), SH_ERR_NO_QUORUM);
    EXPECT_EQ(t.members[0].part, ROUNDS_SUM_REFUSED);
    teardown();
    setup(3);
    t.peer[0].quiet = ROUNDS_SUM_KEYS;
    EXPECT_EQ(rounds_sum_run(&t.sum, t.words), SH_ERR_NO_QUORUM);
    teardown();
}

TEST(nobody_masks_with_a_stranger_and_nobody_without_an_update_takes_part)
{
    setup(5);
    t.stranger = t.peer[4].trust.node;
    EXPECT_EQ(rounds_sum_run(&t.sum, t.words), SH_ERR_NO_QUORUM);
    EXPECT_EQ(t.members[0].part, ROUNDS_SUM_REFUSED);
    teardown();
    setup(5);
    give_update(3, 1); /* of another round */
    EXPECT_EQ(rounds_sum_run(&t.sum, t.words), SH_OK);
    EXPECT_EQ(t.members[3].part, ROUNDS_SUM_REFUSED);
    EXPECT_STR(t.members[3].why, "secure sum: it has no update of this round");
    expect_plain_sum();
    teardown();
}

TEST(what_is_not_finite_never_comes_into_a_sum)
{
    setup(5);
    t.peer[2].masking.change[17] = NAN;
    EXPECT_EQ(rounds_sum_run(&t.sum, t.words), SH_OK);
    EXPECT(t.members[2].part != ROUNDS_SUM_IN);
    expect_plain_sum();
    teardown();
}

TEST(it_ends_when_it_is_not_wanted_any_more)
{
    setup(5);
    t.peer[2].waits = 1000;
    t.rests_max = 5;
    EXPECT_EQ(rounds_sum_run(&t.sum, t.words), SH_ERR_CANCELLED);
    teardown();
}

/* Members add their parts of the noise; what it comes to is at least what the job asks for. */
TEST(private_sums_have_the_noise_that_was_asked_for)
{
    const double clip = 0.5;
    const double noise = 2.0;
    double squares = 0;
    setup(6);
    t.fed.privacy = (struct spec_privacy){.on = true, .clip = clip, .noise = noise, .delta = 1e-5};
    const double unit = ldexp(1.0, (int)rounds_privacy_bits(&t.fed.privacy));
    EXPECT_EQ(rounds_sum_run(&t.sum, t.words), SH_OK);
    for (size_t k = 0; k < FLOATS; k++) {
        double plain = 0;
        for (uint32_t i = 0; i < 6; i++) {
            double length = 0;
            for (size_t n = 0; n < FLOATS; n++) {
                length += (double)value_of(i, n) * (double)value_of(i, n);
            }
            plain += (double)value_of(i, k) * clip / sqrt(length);
        }
        double off = (double)(int64_t)t.words[k] / unit - plain;
        squares += off * off;
    }
    /* Four of six members are needed, so with all of them the variance is half as much again; that
     * of 300 numbers is known to 8 %. */
    const double deviation = sqrt(squares / FLOATS);
    EXPECT(deviation > 0.85 * noise * clip);
    EXPECT(deviation < 1.45 * noise * clip);
    teardown();
}

TEST(two_members_that_mask_the_same_send_other_words)
{
    setup(4);
    EXPECT_EQ(rounds_sum_run(&t.sum, t.words), SH_OK);
    size_t equal = 0;
    for (size_t k = 0; k < FLOATS; k++) {
        uint64_t plain =
            (uint64_t)(int64_t)nearbyint((double)value_of(0, k) * t.members[0].scale * 0x1p40);
        equal += t.peer[0].words[k] == t.peer[1].words[k] || t.peer[0].words[k] == plain;
    }
    EXPECT_EQ(equal, 0);
    teardown();
}

/* --- privacy without secure sums -------------------------------------------------------
 */

static enum sh_err load(void *ctx, uint32_t i, float *change, float *variates)
{
    const float(*given)[6] = ctx;
    (void)variates;
    memcpy(change, given[i], 6 * sizeof *change);
    return SH_OK;
}

static float five[5][6] = {{1, 0, 0, 0, 0, 0},
                           {1.1f, 0, 0, 0, 0, 0},
                           {0.9f, 0, 0.1f, 0, 0, 0},
                           {1, 0.1f, 0, 0, 0, 0},
                           {-90, 50, 70, 0, 0, 0}};
static const uint64_t ids[5] = {5, 4, 3, 2, 1};

TEST(a_private_mean_is_that_of_clipped_updates_with_noise_that_differs)
{
    const uint32_t weights[5] = {1, 1, 1, 1, 1};
    enum kn_vote_fate fates[5];
    float out[200][6];
    struct spec_federated fed = {.rule = SPEC_RULE_MEAN};
    fed.privacy = (struct spec_privacy){.on = true, .clip = 1.0, .noise = 0.5, .delta = 1e-5};
    const struct rounds_updates updates = {
        .count = 5, .weights = weights, .load = load, .ctx = five, .ids = ids, .fates = fates};
    double mean[6] = {0};
    double squares = 0;
    for (uint32_t turn = 0; turn < 200; turn++) {
        EXPECT_EQ(rounds_combine(&fed, &updates, 6, 5, out[turn], NULL), SH_OK);
        for (uint32_t k = 0; k < 6; k++) {
            mean[k] += (double)out[turn][k] / 200;
        }
        squares += (double)out[turn][3] * (double)out[turn][3];
    }
    /* Four updates of length near 1 along x, one of length 1 the other way, each a fifth. */
    EXPECT(mean[0] > 0.5 && mean[0] < 0.8);
    EXPECT(sqrt(squares / 200) > 0.07 && sqrt(squares / 200) < 0.14); /* 0.5 / 5 */
    EXPECT(memcmp(out[0], out[1], sizeof out[0]) != 0);
}
