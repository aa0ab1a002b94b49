/* SPDX-License-Identifier: Apache-2.0
 *
 * Exchanges that lose something on the way, beside a definition: every member's sums over its own
 * subtrees are projected with what they lost before, added in the order of the tree, and the sum is
 * projected with what its owner lost before. Members 0 and 1 are on one machine; the net between
 * the others loses frames. */
#include "train/exchange.h"
#include "tst.h"

#include "base/rng.h"
#include "kernels/agg/tree.h"
#include "kernels/kn.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    MEMBERS = 3,
    RANKS = 8,
    ELEMENTS = 3 * 4096 + 500,
    LOSSY = ELEMENTS - 270,
    SUBTREES = 5,
    SHORTER = 5000
};

static const uint16_t CUTS[] = {0, 3, 6, 8};
static const struct kn_subtree TREE[SUBTREES] = {{0, 1}, {2, 0}, {3, 0}, {4, 1}, {6, 1}};

static const struct kn_codec CODECS[] = {{.kind = KN_CODEC_F32},
                                         {.kind = KN_CODEC_BF16},
                                         {.kind = KN_CODEC_INT8},
                                         {.kind = KN_CODEC_TOPK, .keep = 13},
                                         {.kind = KN_CODEC_TOPK, .keep = 128}};

struct member {
    struct train_sum *sum;
    struct train_exchange *x;
};

struct gang {
    struct kn_codec codec;
    struct member member[MEMBERS];
    struct wire_member list[MEMBERS];
    struct sh_rng rng;
    uint64_t now_us;
    uint64_t generation;
    uint32_t round;
    uint32_t loss_percent;
    uint64_t sent; /* bytes of payloads */
    uint32_t coded;
    float *residual[SUBTREES + MEMBERS]; /* of the definition: of sums, of owners */
    float *expected;
};

static void gang_start(struct gang *g)
{
    g->generation++;
    for (uint32_t i = 0; i < MEMBERS; i++) {
        EXPECT_EQ(
            train_exchange_start(g->member[i].x, g->now_us, g->generation, g->list, MEMBERS, i),
            SH_OK);
    }
    for (uint32_t i = 0; i < SUBTREES + MEMBERS; i++) {
        memset(g->residual[i], 0, LOSSY * sizeof(float));
    }
    for (uint32_t i = 0; i < 2; i++) {
        int fd = -1;
        uint64_t number = train_exchange_shelf(g->member[i].x, &fd);
        if (number != 0 && train_exchange_offered(g->member[1 - i].x, i, number, fd)) {
            train_exchange_taken(g->member[i].x, 1 - i, number);
        }
    }
}

static void gang_open(struct gang *g, const struct kn_codec *codec)
{
    *g = (struct gang){.codec = *codec, .now_us = 1000};
    sh_rng_init(&g->rng, tst_seed());
    g->expected = calloc(ELEMENTS, sizeof(float));
    EXPECT(g->expected != NULL);
    for (uint32_t i = 0; i < SUBTREES + MEMBERS; i++) {
        g->residual[i] = calloc(LOSSY, sizeof(float));
        EXPECT(g->residual[i] != NULL);
    }
    for (uint32_t i = 0; i < MEMBERS; i++) {
        struct member *m = &g->member[i];
        memset(g->list[i].node, (int)i + 1, sizeof g->list[i].node);
        g->list[i].rank_lo = CUTS[i];
        g->list[i].rank_hi = CUTS[i + 1];
        EXPECT_EQ(train_sum_open(&m->sum, RANKS, ELEMENTS, 1), SH_OK);
        struct train_exchange_config config = {.ranks = RANKS,
                                               .elements = ELEMENTS,
                                               .shorter = SHORTER,
                                               .codec = *codec,
                                               .lossy = LOSSY,
                                               .sum = m->sum};
        EXPECT_EQ(train_exchange_open(&m->x, &config), SH_OK);
    }
    gang_start(g);
}

static void gang_close(struct gang *g)
{
    for (uint32_t i = 0; i < MEMBERS; i++) {
        train_exchange_close(g->member[i].x);
        train_sum_close(g->member[i].sum);
    }
    for (uint32_t i = 0; i < SUBTREES + MEMBERS; i++) {
        free(g->residual[i]);
    }
    free(g->expected);
}

/* Of many sizes, so that much is lost. */
static float leaf(const struct gang *g, uint32_t rank, uint32_t i)
{
    float unit = (float)(int64_t)sh_mix64(g->round * 1000003 + rank * 100003 + i) * 0x1p-63f;
    return i % 5 == 0 ? unit : unit * 0.01f;
}

/* Each owner's segment, with what this owner lost of it before. */
static void define_result(struct gang *g, const struct train_vector *v)
{
    struct kn_codec result = g->codec;
    struct round_plan plan;
    result.kind = result.kind == KN_CODEC_TOPK ? KN_CODEC_BF16 : result.kind;
    round_plan_init(&plan, v->elements, MEMBERS, TRAIN_CHUNK_ELEMENTS);
    for (uint32_t i = 0; i < plan.owners; i++) {
        uint64_t at = plan.offset[i];
        uint64_t end = plan.offset[i + 1] < v->lossy ? plan.offset[i + 1] : v->lossy;
        float *residual = g->residual[SUBTREES + i];
        if (v->anew) {
            memset(residual, 0, LOSSY * sizeof(float));
        }
        kn_codec_project(&result, g->expected + at, end > at ? end - at : 0,
                         result.kind == KN_CODEC_INT8 ? residual + at : NULL);
    }
}

static void define(struct gang *g, const struct train_vector *v)
{
    static float sums[SUBTREES][ELEMENTS];
    const float *at[SUBTREES];
    for (uint32_t s = 0; s < SUBTREES; s++) {
        for (uint32_t i = 0; i < v->elements; i++) {
            sums[s][i] = leaf(g, TREE[s].lo, i);
            sums[s][i] += TREE[s].level == 1 ? leaf(g, TREE[s].lo + 1, i) : 0.0f;
        }
        bool keeps = g->codec.kind == KN_CODEC_INT8 || g->codec.kind == KN_CODEC_TOPK;
        if (v->anew) {
            memset(g->residual[s], 0, LOSSY * sizeof(float));
        }
        kn_codec_project(&g->codec, sums[s], v->lossy, keeps ? g->residual[s] : NULL);
        at[s] = sums[s];
    }
    EXPECT(kn_tree_root(TREE, at, SUBTREES, RANKS, v->elements, g->expected));
    define_result(g, v);
}

static void compute(struct gang *g, uint32_t i, const struct train_vector *v)
{
    struct member *m = &g->member[i];
    (void)train_sum_begin(m->sum, g->list[i].rank_lo, g->list[i].rank_hi, v->elements);
    train_exchange_begin(m->x, g->now_us, v);
    for (uint32_t rank = g->list[i].rank_lo; rank < g->list[i].rank_hi; rank++) {
        float *vector = train_sum_take(m->sum);
        for (uint32_t k = 0; k < v->elements; k++) {
            vector[k] = leaf(g, rank, k);
        }
        uint32_t subtree = train_sum_add(m->sum, rank, vector);
        if (subtree != UINT32_MAX) {
            train_exchange_project(m->x, subtree);
            train_exchange_ready(m->x, g->now_us, subtree);
        }
    }
}

static void deliver(struct gang *g, uint32_t from, uint32_t to, struct sh_span head,
                    struct sh_span body)
{
    static uint8_t frame[TRAIN_UNIT_HEAD + ROUND_FRAME_BYTES + SH_BULK_CHUNK_BYTES];
    struct wire_unit unit;
    struct round_frame header;
    struct sh_span payload;
    memcpy(frame, head.at, head.size);
    memcpy(frame + head.size, body.at != NULL ? body.at : frame, body.size);
    struct sh_span whole = {.at = frame, .size = head.size + body.size};
    EXPECT_EQ(train_exchange_decode(whole, &unit, &header, &payload), SH_OK);
    EXPECT_EQ(header.shelf_at != 0 && from + to != 1, false);
    g->sent += body.size;
    g->coded += header.codec != 0;
    if (sh_rng_below(&g->rng, 100) >= g->loss_percent) {
        train_exchange_frame(g->member[to].x, g->now_us, (uint16_t)from, &header, payload);
    }
}

static bool turn(struct gang *g, uint32_t i)
{
    struct train_exchange *x = g->member[i].x;
    struct train_order order;
    bool any = train_exchange_poll(x, g->now_us) > 0;
    while (train_exchange_pop(x, g->now_us, &order)) {
        static uint8_t coded[TRAIN_CODED_MAX];
        uint8_t head[TRAIN_UNIT_HEAD + ROUND_FRAME_BYTES];
        struct sh_span body;
        train_exchange_perform(x, &order, head, coded, &body);
        if (order.kind == ROUND_SEND) {
            deliver(g, i, order.action.to, (struct sh_span){.at = head, .size = sizeof head}, body);
        }
        train_exchange_done(x, g->now_us, &order);
        any = true;
    }
    return any;
}

static void gang_turn(struct gang *g)
{
    bool any = true;
    while (any) {
        any = false;
        for (uint32_t i = 0; i < MEMBERS; i++) {
            any = turn(g, i) || any;
        }
    }
}

static void gang_begin(struct gang *g, const struct train_vector *v)
{
    g->round++;
    g->sent = 0;
    g->coded = 0;
    define(g, v);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        compute(g, i, v);
    }
}

static void gang_end(struct gang *g, const struct train_vector *v)
{
    gang_turn(g);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        for (uint32_t tries = 0; train_exchange_result(g->member[i].x) == NULL; tries++) {
            EXPECT(tries < 100);
            g->now_us += 8 * TRAIN_RETRY_US;
            for (uint32_t k = 0; k < MEMBERS; k++) {
                train_exchange_timer(g->member[k].x, g->now_us);
            }
            gang_turn(g);
        }
        EXPECT_MEM(train_exchange_result(g->member[i].x), g->expected, v->elements * sizeof(float));
    }
}

static void gang_round(struct gang *g, const struct train_vector *v)
{
    gang_begin(g, v);
    gang_end(g, v);
}

static const struct train_vector STEP = {.elements = ELEMENTS, .lossy = LOSSY};

TEST_ROWS(all_members_hold_the_bits_of_the_definition_whatever_is_lost, CODECS)
{
    struct gang g;
    gang_open(&g, &CODECS[tst_row]);
    for (uint32_t round = 0; round < 12; round++) {
        g.loss_percent = round % 3 == 0 ? 0 : 25;
        gang_round(&g, &STEP);
        EXPECT_EQ(g.coded > 0, CODECS[tst_row].kind != KN_CODEC_F32);
    }
    gang_close(&g);
}

TEST_ROWS(a_generation_begins_without_what_the_last_one_lost, CODECS)
{
    struct gang g;
    gang_open(&g, &CODECS[tst_row]);
    for (uint32_t round = 0; round < 4; round++) {
        gang_round(&g, &STEP);
        if (round % 2 == 1) {
            for (uint32_t i = 0; i < MEMBERS; i++) {
                train_exchange_stop(g.member[i].x, g.now_us);
            }
            gang_start(&g);
        }
    }
    gang_close(&g);
}

TEST_ROWS(rounds_of_other_kinds_are_exact_and_do_not_touch_what_was_lost, CODECS)
{
    static const struct train_vector SHARES = {.elements = 3};
    static const struct train_vector SHORT = {.elements = SHORTER, .lossy = 4700};
    static const struct train_vector ANEW = {.elements = ELEMENTS, .lossy = LOSSY, .anew = true};
    const struct train_vector *const COURSE[] = {&STEP, &SHARES, &STEP, &SHORT, &ANEW, &STEP};
    struct gang g;
    gang_open(&g, &CODECS[tst_row]);
    for (size_t i = 0; i < SH_COUNT(COURSE); i++) {
        gang_round(&g, COURSE[i]);
        EXPECT(COURSE[i]->lossy > 0 || g.coded == 0);
    }
    gang_close(&g);
}

static const struct {
    const struct kn_codec *codec;
    double missing;
} KEPT[] = {{&CODECS[2], 1e-3}, {&CODECS[3], 0.2 /* BF16's rounding of 60 sums */}};

TEST_ROWS(what_is_lost_of_sums_comes_later, KEPT)
{
    struct gang g;
    static double given[LOSSY];
    static double told[LOSSY];
    gang_open(&g, KEPT[tst_row].codec);
    for (uint32_t round = 0; round < 60; round++) {
        gang_round(&g, &STEP);
        for (uint32_t i = 0; i < LOSSY; i++) {
            for (uint32_t rank = 0; rank < RANKS; rank++) {
                given[i] += (double)leaf(&g, rank, i);
            }
            told[i] += (double)train_exchange_result(g.member[0].x)[i];
        }
    }
    double missing = 0;
    for (uint32_t i = 0; i < LOSSY; i++) {
        double kept = 0;
        for (uint32_t s = 0; s < SUBTREES + MEMBERS; s++) {
            kept += (double)g.residual[s][i];
        }
        missing = fmax(missing, fabs(told[i] + kept - given[i]));
    }
    EXPECT(missing < KEPT[tst_row].missing);
    gang_close(&g);
}

TEST(fewer_bytes_are_sent)
{
    static const double LESS[] = {1.0, 1.9, 3.5, 5.0, 1.2};
    uint64_t plain = 0;
    for (size_t i = 0; i < SH_COUNT(CODECS); i++) {
        struct gang g;
        gang_open(&g, &CODECS[i]);
        gang_round(&g, &STEP);
        plain = i == 0 ? g.sent : plain;
        EXPECT((double)plain >= LESS[i] * (double)g.sent);
        gang_close(&g);
    }
}

TEST(a_member_by_itself_loses_nothing)
{
    struct gang g;
    struct wire_member all = {.rank_lo = 0, .rank_hi = RANKS};
    gang_open(&g, &CODECS[2]);
    struct member *m = &g.member[0];
    EXPECT_EQ(train_exchange_start(m->x, g.now_us, 2, &all, 1, 0), SH_OK);
    g.list[0] = all;
    compute(&g, 0, &STEP);
    EXPECT(turn(&g, 0));
    g.codec.kind = KN_CODEC_F32;
    define(&g, &STEP);
    EXPECT_MEM(train_exchange_result(m->x), g.expected, ELEMENTS * sizeof(float));
    gang_close(&g);
}

/* What no member of this job would have coded so is as good as lost. */
TEST(frames_that_are_coded_in_another_way_are_dropped)
{
    static const uint8_t NUMBERS[] = {KN_CODEC_BF16, KN_CODEC_INT8, KN_CODEC_TOPK, 4, 255};
    struct gang g;
    struct round_plan plan;
    gang_open(&g, &CODECS[2]);
    round_plan_init(&plan, ELEMENTS, MEMBERS, TRAIN_CHUNK_ELEMENTS);
    for (uint32_t lies = 0; lies < 400; lies++) {
        uint8_t bytes[64];
        for (size_t i = 0; i < sizeof bytes; i++) {
            bytes[i] = (uint8_t)sh_rng_below(&g.rng, lies % 2 == 0 ? 2 : 256);
        }
        if (lies == 0) {
            gang_begin(&g, &STEP);
        }
        struct round_frame header = {.kind = ROUND_FRAME_PART,
                                     .from = 2,
                                     .subtree = 4,
                                     .codec = NUMBERS[lies % SH_COUNT(NUMBERS)],
                                     .count = round_plan_chunk(&plan, 0).count,
                                     .generation = g.generation,
                                     .elements = ELEMENTS};
        struct sh_span payload = {.at = bytes, .size = sh_rng_below(&g.rng, sizeof bytes)};
        train_exchange_frame(g.member[0].x, g.now_us, 2, &header, payload);
    }
    gang_end(&g, &STEP);
    gang_close(&g);
}
