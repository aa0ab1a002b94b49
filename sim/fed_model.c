/* SPDX-License-Identifier: Apache-2.0
 *
 * What members send, and what becomes of the model. Each honest member pulls the model towards a
 * centre of its own; the truth is the mean of all those centres, and the unit of length is their
 * deviation. The update of a member is a function of seed, member, round and the model that the
 * round began with; what liars send, of all honest updates that count beside theirs (attack.h).
 * The same updates make three models: one by the rule under test, one by plain averaging in fixed
 * point, one by averages of clipped updates. */
#include "sim/fed.h"

#include "base/check.h"
#include "kernels/agg/clip.h"
#include "kernels/agg/fixed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WEIGHT_MAX = 100, CLIP_BITS = 20, COMPARED_EVERY = 8, MODELS_LEAST = 12 };

#define RATE      0.5 /* of the way to its centre that a member goes in a round */
#define NOISE     0.5 /* deviation of what its batches add, before the rate */
#define BEGIN     10.0
#define DEVIATION 1.118034 /* sqrt(1 + NOISE^2): of what honest members send, before the rate */
#define CLIP      (3 * RATE * DEVIATION * 4) /* times sqrt(SIM_FED_DIMS) */
#define NEAR      1.0                        /* deviations: where the rule's model must end */
#define FAR       100.0                      /* where that of plain averaging ends at least */

/* Of mean 0 and deviation 1, nearly normal: four uniform numbers. */
static float about_zero(uint64_t seed)
{
    uint64_t r = sh_mix64(seed);
    int64_t sum = (int64_t)(r & 65535) + (int64_t)(r >> 16 & 65535) + (int64_t)(r >> 32 & 65535) +
                  (int64_t)(r >> 48);
    return (float)((double)(sum - 2 * 65535) / (65536.0 * 0.57735026918962576));
}

static float centre(const struct sim_fed_model *m, uint32_t member, uint32_t dim)
{
    return about_zero(sh_mix64(m->seed ^ sh_mix64(member * 64 + dim)));
}

static void honest(const struct sim_fed_model *m, uint32_t which, struct sim_fed_update u,
                   float *out)
{
    uint64_t salt = sh_mix64(m->seed + u.base * 1000003 + u.member);
    for (uint32_t d = 0; d < SIM_FED_DIMS; d++) {
        double pull = (double)centre(m, u.member, d) - (double)m->at[which][u.base][d];
        out[d] = (float)(RATE * (pull + NOISE * (double)about_zero(salt ^ sh_mix64(d))));
    }
}

static float *row(const struct sim_fed_model *m, uint32_t i)
{
    return m->rows + (size_t)i * SIM_FED_DIMS;
}

/* Liars first. */
static void fill(const struct sim_fed_model *m, uint32_t which, uint64_t round,
                 const struct sim_fed_update *list, uint32_t count, uint32_t liars)
{
    float *x[SIM_FED_MEMBERS_MAX];
    uint32_t attack = m->attack < ATTACKS ? m->attack : (uint32_t)(round % ATTACKS);
    for (uint32_t i = 0; i < count; i++) {
        x[i] = row(m, i);
        honest(m, which, list[i], x[i]);
    }
    if (liars > 0 && liars < count) {
        attack_apply((enum attack)attack, x, count, liars, SIM_FED_DIMS, round);
    }
}

/* ---- three ways to combine ---- */

static void combine_rule(struct sim_fed *w, const struct sim_fed_update *list, uint32_t count,
                         bool backwards, float *out)
{
    struct sim_fed_model *m = &w->model;
    struct kn_diag diag = {.text = ""};
    const float *x[SIM_FED_MEMBERS_MAX];
    uint64_t id[SIM_FED_MEMBERS_MAX];
    for (uint32_t i = 0; i < count; i++) {
        uint32_t from = backwards ? count - 1 - i : i;
        x[i] = row(m, from);
        id[i] = list[from].member;
    }
    struct kn_vote_look look = {.members = count};
    struct kn_vote_verdict verdict = {0};
    bool krum = m->vote.rule == KN_VOTE_MULTI_KRUM;
    double *scratch = calloc(count, sizeof *scratch);
    look.not_finite = calloc(count, sizeof *look.not_finite);
    look.square = calloc(count, sizeof *look.square);
    look.distance = krum ? calloc((size_t)count * count, sizeof *look.distance) : NULL;
    verdict.ballot = calloc(count, sizeof *verdict.ballot);
    verdict.order = calloc(count, sizeof *verdict.order);
    SH_CHECK(scratch != NULL && look.not_finite != NULL && look.square != NULL);
    SH_CHECK((!krum || look.distance != NULL) && verdict.ballot != NULL && verdict.order != NULL);
    kn_vote_look(&look, x, SIM_FED_DIMS);
    if (kn_vote_judge(&m->vote, &look, id, scratch, &verdict, &diag) == KN_OK) {
        kn_vote_merge(&m->vote, &verdict, x, SIM_FED_DIMS, m->merge, out);
    } else {
        sim_ether_break(&w->net, "%u updates cannot be judged: %s", count, diag.text);
    }
    free(scratch);
    free(look.not_finite);
    free(look.square);
    free(look.distance);
    free(verdict.ballot);
    free(verdict.order);
}

/* As a leader without a rule does: a vector that is not finite, or too large, is refused. */
static void combine_plain(const struct sim_fed_model *m, const struct sim_fed_update *list,
                          uint32_t count, bool backwards, float *out)
{
    kn_fixed memory[SIM_FED_DIMS];
    struct kn_fixed_sum sum;
    kn_fixed_begin(&sum, memory, SIM_FED_DIMS);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t from = backwards ? count - 1 - i : i;
        size_t bad = 0;
        if (kn_fixed_verify(row(m, from), SIM_FED_DIMS, &bad)) {
            kn_fixed_add(&sum, row(m, from),
                         1 + (uint32_t)(sh_mix64(list[from].member) % WEIGHT_MAX));
        }
    }
    memset(out, 0, SIM_FED_DIMS * sizeof *out);
    if (sum.weight > 0) {
        kn_fixed_divide(&sum, sum.weight, out);
    }
}

/* The mean of what is left of each within the bound: it is within the bound itself, exactly. */
static void combine_clipped(struct sim_fed *w, uint32_t count, float *out)
{
    const struct sim_fed_model *m = &w->model;
    int64_t sum[SIM_FED_DIMS] = {0};
    double length = 0;
    uint32_t used = 0;
    for (uint32_t i = 0; i < count; i++) {
        int64_t one[SIM_FED_DIMS];
        if (kn_clip(row(m, i), SIM_FED_DIMS, CLIP, CLIP_BITS, one, NULL, NULL) == KN_OK) {
            used++;
            for (uint32_t d = 0; d < SIM_FED_DIMS; d++) {
                sum[d] += one[d];
            }
        }
    }
    for (uint32_t d = 0; d < SIM_FED_DIMS; d++) {
        double mean = used > 0 ? (double)sum[d] / ((double)used * (double)(1 << CLIP_BITS)) : 0;
        out[d] = (float)mean;
        length += mean * mean;
    }
    if (length > CLIP * CLIP) {
        sim_ether_break(&w->net, "clipped updates have a mean of length %f", sqrt(length));
    }
}

/* ---- a round ---- */

static void advance(struct sim_fed *w, uint32_t which, uint64_t round, const float *change)
{
    struct sim_fed_model *m = &w->model;
    bool has_m = m->server.kind != KN_SERVER_AVG;
    kn_server_update(&m->server, m->at[which][round + 1], change, has_m ? m->state[which] : NULL,
                     NULL, SIM_FED_DIMS);
}

static void compare(struct sim_fed *w, const struct sim_fed_update *list, uint32_t count,
                    const float *got, bool rule)
{
    float again[SIM_FED_DIMS];
    if (rule) {
        combine_rule(w, list, count, true, again);
    } else {
        combine_plain(&w->model, list, count, true, again);
    }
    if (memcmp(again, got, sizeof again) != 0) {
        sim_ether_break(&w->net, "%s depends on the order of its updates",
                        rule ? kn_vote_name(w->model.vote.rule) : "the mean");
    }
}

void sim_fed_model_commit(struct sim_fed *w, uint64_t round, const struct sim_fed_update *list,
                          uint32_t count, uint32_t liars)
{
    struct sim_fed_model *m = &w->model;
    bool compares = m->models % COMPARED_EVERY == 0;
    float change[SIM_FED_DIMS];
    for (uint32_t i = 0; i < SIM_FED_MODELS; i++) {
        memcpy(m->at[i][round + 1], m->at[i][round], sizeof m->at[i][round]);
    }
    if (count == 0) {
        return;
    }
    SH_CHECK_CMP(liars, <=, m->vote.byzantine);
    fill(m, SIM_FED_RULE, round, list, count, liars);
    combine_rule(w, list, count, false, change);
    if (compares) {
        compare(w, list, count, change, true);
    }
    advance(w, SIM_FED_RULE, round, change);
    fill(m, SIM_FED_PLAIN, round, list, count, liars);
    combine_plain(m, list, count, false, change);
    if (compares) {
        compare(w, list, count, change, false);
    }
    advance(w, SIM_FED_PLAIN, round, change);
    fill(m, SIM_FED_CLIP, round, list, count, liars);
    combine_clipped(w, count, change);
    advance(w, SIM_FED_CLIP, round, change);
    m->models++;
    w->counts.models++;
    for (uint32_t d = 0; d < SIM_FED_DIMS; d++) {
        uint32_t bits;
        memcpy(&bits, &m->at[SIM_FED_RULE][round + 1][d], sizeof bits);
        sim_ether_mix(&w->net, bits);
    }
}

/* ---- the end ---- */

/* Root of the mean square over the coordinates, in deviations. */
static double distance(const struct sim_fed_model *m, uint32_t which, uint64_t round)
{
    double sum = 0;
    for (uint32_t d = 0; d < SIM_FED_DIMS; d++) {
        double off = (double)m->at[which][round][d] - (double)m->truth[d];
        sum += off * off;
    }
    return sqrt(sum / SIM_FED_DIMS) / DEVIATION;
}

static uint64_t thousandths(double value)
{
    return value < 1e9 ? (uint64_t)(value * 1000) : UINT64_C(1000000000000); /* or no number */
}

/* ALIE hides among the honest, and what is no number is refused by whoever averages, too. */
static bool spoils_averages(uint32_t attack)
{
    return attack != ATTACK_ALIE && attack != ATTACK_NAN && attack < ATTACKS;
}

void sim_fed_model_judge(struct sim_fed *w)
{
    const struct sim_fed_model *m = &w->model;
    double near = distance(m, SIM_FED_RULE, w->ledger.round);
    double plain = distance(m, SIM_FED_PLAIN, w->ledger.round);
    w->counts.estimate = thousandths(near);
    w->counts.plain = thousandths(plain);
    w->counts.spoils = spoils_averages(m->attack);
    if (m->models < MODELS_LEAST) {
        sim_ether_break(&w->net, "only %llu rounds made a model", (unsigned long long)m->models);
    } else if (!(near <= NEAR)) {
        sim_ether_break(
            &w->net, "%s under %s ends %.2f deviations from the truth", kn_vote_name(m->vote.rule),
            m->attack < ATTACKS ? attack_name((enum attack)m->attack) : "all attacks", near);
    } else if (w->counts.spoils && plain < FAR) {
        sim_ether_break(&w->net, "plain averaging under %s ends %.2f deviations from the truth",
                        attack_name((enum attack)m->attack), plain);
    }
}

void sim_fed_model_init(struct sim_fed *w, struct sh_rng *rng)
{
    static const enum kn_vote_rule RULES[] = {KN_VOTE_MEDIAN, KN_VOTE_TRIMMED_MEAN,
                                              KN_VOTE_MULTI_KRUM};
    struct sim_fed_model *m = &w->model;
    uint32_t honest_count = 0;
    m->seed = sh_rng_u64(rng);
    m->members = w->member_count;
    m->vote.rule = RULES[sh_rng_below(rng, SH_COUNT(RULES))];
    m->vote.norm_bound = sh_rng_chance(rng, 1, 2) ? 3.0 : 0;
    m->attack = (uint32_t)sh_rng_below(rng, ATTACKS + 1);
    m->server = kn_server_default(sh_rng_chance(rng, 1, 2) ? KN_SERVER_AVG : KN_SERVER_AVGM);
    if (m->server.kind == KN_SERVER_AVGM) {
        m->server.beta1 = 0.5f;
        m->server.lr = 0.5f;
    }
    m->rows = calloc((size_t)w->member_count * SIM_FED_DIMS, sizeof *m->rows);
    m->merge = calloc((size_t)w->member_count * KN_VOTE_LANES, sizeof *m->merge);
    SH_CHECK(m->rows != NULL && m->merge != NULL);
    double sums[SIM_FED_DIMS] = {0};
    for (uint32_t i = 0; i < w->member_count; i++) {
        honest_count += !w->members[i].liar;
        for (uint32_t d = 0; d < SIM_FED_DIMS && !w->members[i].liar; d++) {
            sums[d] += (double)centre(m, i, d);
        }
    }
    for (uint32_t d = 0; d < SIM_FED_DIMS; d++) {
        m->truth[d] = (float)(sums[d] / honest_count);
        for (uint32_t i = 0; i < SIM_FED_MODELS; i++) {
            m->at[i][0][d] = (float)(BEGIN * DEVIATION);
        }
    }
}

void sim_fed_model_fini(struct sim_fed *w)
{
    free(w->model.rows);
    free(w->model.merge);
}
