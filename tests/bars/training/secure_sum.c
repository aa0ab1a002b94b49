/* SPDX-License-Identifier: Apache-2.0
 *
 *   secure_sum COUNT
 *
 * Secure sums of COUNT parameters and a weight among 10 and 40 members of whom 30 % fall silent, at
 * each phase in turn. Ends with status 1 where
 *   - a sum is not bit for bit the plain fixed-point sum of those whose vectors arrived;
 *   - what the aggregator saw of one member can be told from random words, or from the same words
 *     after one member less than the threshold has helped to unmask them; as a check of the check,
 *     plain vectors and those that the threshold unmasks must be told;
 *   - fewer survivors than planned still lead to a sum, or to a share that is revealed.
 * Prints times and bytes beside those of plain sums. */
#include "base/host/host.h"
#include "base/rng.h"
#include "cohort.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const phase_names[] = {"keys", "shares", "masked", "consent", "reveal"};

static void fail(const char *what, uint32_t members, uint32_t phase)
{
    (void)printf("%u members, silent from %s on: %s\n", members, phase_names[phase], what);
    exit(1);
}

/* How far the frequencies of the bytes are from equal, in deviations of chi-squared with 255
 * degrees of freedom. */
static double byte_deviations(const struct cohort *c, const uint64_t *word)
{
    double seen[256] = {0};
    double chi = 0;
    const double expected = (double)c->round.count * (double)(c->round.bits / 8) / 256.0;
    for (uint64_t i = 0; i < c->round.count; i++) {
        for (uint32_t shift = 0; shift < c->round.bits; shift += 8) {
            seen[word[i] >> shift & 255] += 1;
        }
    }
    for (size_t b = 0; b < 256; b++) {
        chi += (seen[b] - expected) * (seen[b] - expected) / expected;
    }
    return (chi - 255) / sqrt(2.0 * 255);
}

/* Correlation of what was seen with what is hidden, in deviations of that of independent words. */
static double correlation(const struct cohort *c, uint32_t member, const uint64_t *word)
{
    double both = 0;
    double seen = 0;
    double hidden = 0;
    for (uint64_t i = 0; i + 1 < c->round.count; i++) {
        const uint64_t value = cohort_value(c, member, i);
        const double x = c->round.bits == 32 ? (double)(int32_t)value : (double)(int64_t)value;
        const double y = c->round.bits == 32 ? (double)(int32_t)word[i] : (double)(int64_t)word[i];
        both += x * y;
        seen += y * y;
        hidden += x * x;
    }
    return fabs(both / sqrt(seen * hidden)) * sqrt((double)c->round.count);
}

static bool looks_random(const struct cohort *c, uint32_t member, const uint64_t *word)
{
    return fabs(byte_deviations(c, word)) < 6 && correlation(c, member, word) < 5;
}

/* The seed of a member's own mask and its key, put together from the shares that `helpers` of its
 * neighbours hold, and with them everything taken off its masked vector that they can take off. */
static void unmask_with(const struct cohort *c, uint32_t victim, uint32_t helpers, uint64_t *word)
{
    static uint8_t share[SECAGG_SECRETS][SECAGG_NEIGHBOURS_MAX][SECAGG_SHARE_BYTES];
    uint8_t point[SECAGG_NEIGHBOURS_MAX];
    uint8_t secret[SECAGG_SECRETS][SECAGG_KEY_BYTES];
    const struct secagg_client *v = &c->member[victim].client;
    uint32_t used = 0;
    for (uint32_t slot = 0; slot < v->plan.neighbours && used < helpers; slot++) {
        for (uint32_t m = 0; m < c->members; m++) {
            const struct secagg_client *h = &c->member[m].client;
            for (uint32_t i = 0; h->self == v->near[slot].index && i < h->plan.neighbours; i++) {
                if (m != victim && h->phase >= SECAGG_DELIVERED && h->near[i].index == v->self) {
                    memcpy(share[SECAGG_SELF][used], h->near[i].share[SECAGG_SELF], 32);
                    memcpy(share[SECAGG_MASK][used], h->near[i].share[SECAGG_MASK], 32);
                    point[used] = (uint8_t)(slot + 1);
                    used++;
                    break;
                }
            }
        }
    }
    for (uint32_t s = 0; s < SECAGG_SECRETS; s++) {
        secagg_combine(used, point, (const uint8_t(*)[SECAGG_SHARE_BYTES])share[s], secret[s]);
    }
    const struct secagg_slice all = {.at = word, .count = c->round.count};
    uint8_t key[SECAGG_KEY_BYTES];
    secagg_derive(key, secret[SECAGG_SELF], "self", v->digest, v->self, v->self);
    secagg_mask(c->round.bits, all, key, true);
    for (uint32_t i = 0; i < v->plan.neighbours; i++) {
        const struct secagg_neighbour *n = &v->near[i];
        const uint32_t low = n->index < v->self ? n->index : v->self;
        const uint32_t high = n->index < v->self ? v->self : n->index;
        SH_CHECK(secagg_agree(key, secret[SECAGG_MASK], n->mask_public, "mask", v->digest, low,
                              high) == SH_OK);
        if (n->shared) {
            secagg_mask(c->round.bits, all, key, n->index > v->self);
        }
    }
}

/* Of a round in which nobody has revealed anything yet. */
static void look_at_view(const struct cohort *c, uint32_t phase)
{
    uint64_t *word = calloc(c->round.count, sizeof *word);
    SH_CHECK(word != NULL);
    uint32_t victim = 0;
    for (uint32_t m = 0; m < c->members; m++) {
        if (c->member[m].masked != NULL) {
            victim = m;
            if (!looks_random(c, m, c->member[m].masked)) {
                fail("the aggregator can tell a masked vector from noise", c->members, phase);
            }
        }
    }
    for (uint64_t i = 0; i < c->round.count; i++) {
        word[i] = cohort_value(c, victim, i);
    }
    if (looks_random(c, victim, word)) {
        fail("the test cannot tell a plain vector from noise", c->members, phase);
    }
    /* The words of 64 bits: the helpers' masks are words of that width. */
    const uint32_t threshold = c->member[victim].client.plan.threshold;
    memcpy(word, c->member[victim].masked, c->round.count * sizeof *word);
    unmask_with(c, victim, threshold - 1, word);
    if (!looks_random(c, victim, word)) {
        fail("one member less than the threshold unmasks a vector", c->members, phase);
    }
    memcpy(word, c->member[victim].masked, c->round.count * sizeof *word);
    unmask_with(c, victim, threshold, word);
    for (uint64_t i = 0; i < c->round.count; i++) {
        if (word[i] != cohort_value(c, victim, i)) {
            fail("the threshold does not unmask: the test above sees nothing", c->members, phase);
        }
    }
    free(word);
}

static void silence(struct cohort *c, uint32_t count, enum cohort_phase phase)
{
    struct sh_rng rng;
    sh_rng_init(&rng, c->seed);
    while (count > 0) {
        struct cohort_member *m = &c->member[sh_rng_below(&rng, c->members)];
        if (m->silent == COHORT_STAYS) {
            m->silent = phase;
            count--;
        }
    }
}

static void one(uint32_t members, uint32_t phase, uint64_t count, uint32_t bits, bool view)
{
    struct cohort c;
    uint32_t bad = 0;
    uint64_t off = 0;
    cohort_open(&c, members, count + 1, bits, 100 * members + phase);
    c.keep = view;
    silence(&c, members * 3 / 10, (enum cohort_phase)phase);
    if (cohort_keys(&c) != SH_OK || cohort_shares(&c) != SH_OK || cohort_masked(&c) != SH_OK) {
        fail("no sum", members, phase);
    }
    if (view) {
        look_at_view(&c, phase);
    }
    if (cohort_consent(&c) != SH_OK || cohort_reveal(&c, &bad) != SH_OK) {
        fail("no sum", members, phase);
    }
    for (uint64_t i = 0; i < c.round.count; i++) {
        off += cohort_load(&c, c.sum, i) != cohort_plain(&c, i);
    }
    if (off != 0) {
        fail("the sum is not the plain fixed-point sum", members, phase);
    }
    const uint32_t in = secagg_set_count(secagg_server_survivors(c.server));
    (void)printf(
        "%u members, %" PRIu64 " parameters, modulus 2^%u, 30 %% silent from %s on: sum of "
        "%u exact; a member masks in %.1f ms, %u masks come off in %.1f ms, %.1f KB a "
        "member beside the vector%s\n",
        members, count, bits, phase_names[phase], in, (double)c.member_us / (1e3 * (double)in),
        secagg_server_masks(c.server), (double)c.server_us / 1e3,
        (double)c.bytes / (1e3 * (double)members), view ? "; view masked" : "");
    cohort_close(&c);
}

/* A plain sum of as many vectors, added word by word as the aggregator adds masked ones. */
static void plain(uint32_t members, uint64_t count)
{
    uint64_t *sum = calloc(count, sizeof *sum);
    uint64_t *vector = calloc(count, sizeof *vector);
    SH_CHECK(sum != NULL);
    SH_CHECK(vector != NULL);
    for (uint64_t i = 0; i < count; i++) {
        vector[i] = sh_mix64(i);
    }
    const uint64_t began = sh_now_us();
    for (uint32_t m = 0; m < members; m++) {
        for (uint64_t i = 0; i < count; i++) {
            sum[i] += vector[i];
        }
        vector[m] = sum[count - 1]; /* no pass can be left out */
    }
    (void)printf("%u members, %" PRIu64 " parameters: a plain sum takes %.1f ms\n", members, count,
                 (double)(sh_now_us() - began) / 1e3);
    free(sum);
    free(vector);
}

static void too_few(uint32_t members, uint64_t count)
{
    for (uint32_t phase = COHORT_SHARES; phase <= COHORT_CONSENT; phase++) {
        struct cohort c;
        uint32_t told = 0;
        cohort_open(&c, members, count, 64, members + phase);
        struct secagg_plan p;
        SH_CHECK(secagg_plan(members, &p) == SH_OK);
        silence(&c, members - p.threshold + 1, (enum cohort_phase)phase);
        if (cohort_run(&c) != SH_ERR_NO_QUORUM) {
            fail("fewer than the threshold are left, and there is a sum", members, phase);
        }
        for (uint32_t i = 0; i < members; i++) {
            told += c.told[i].count;
        }
        if (told != 0) {
            fail("fewer than the threshold are left, and shares are revealed", members, phase);
        }
        cohort_close(&c);
    }
    (void)printf("%u members, fewer than the threshold left, at three phases: no sum, no share\n",
                 members);
}

int main(int argc, char **argv)
{
    char *end = NULL;
    const uint64_t count = argc == 2 ? strtoull(argv[1], &end, 10) : 0;
    if (count < 1000 || *end != '\0') {
        (void)fprintf(stderr, "usage: secure_sum COUNT    (1000 parameters or more)\n");
        return 2;
    }
    static const uint32_t sizes[] = {10, 40};
    uint32_t rounds = 0;
    for (size_t s = 0; s < SH_COUNT(sizes); s++) {
        for (uint32_t phase = COHORT_KEYS; phase <= COHORT_REVEAL; phase++) {
            one(sizes[s], phase, count, phase % 2 == 0 ? 64 : 32, false);
            rounds++;
        }
        one(sizes[s], COHORT_MASKED, 20000, 64, true);
        too_few(sizes[s], 1000);
        plain(sizes[s], count);
    }
    (void)printf("%u rounds with 30 %% of drop-outs: every sum exact, views masked\n", rounds + 2);
    return 0;
}
