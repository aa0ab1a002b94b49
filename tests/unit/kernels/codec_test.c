/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/agg/codec.h"

#include "tst.h"

#include <math.h>
#include <string.h>

enum { SIZE = 5 * KN_CODEC_BLOCK + 77, ROUNDS = 40 };

static const struct kn_codec CODECS[] = {{.kind = KN_CODEC_F32},
                                         {.kind = KN_CODEC_BF16},
                                         {.kind = KN_CODEC_INT8},
                                         {.kind = KN_CODEC_TOPK, .keep = 1},
                                         {.kind = KN_CODEC_TOPK, .keep = 13},
                                         {.kind = KN_CODEC_TOPK, .keep = 100},
                                         {.kind = KN_CODEC_TOPK, .keep = KN_CODEC_BLOCK}};

static uint64_t random_state;

static uint32_t random_u32(void)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(random_state >> 32);
}

/* Finite floats of both signs; `spread` powers of two on both sides of 1. */
static void fill(float *x, size_t size, uint32_t spread)
{
    for (size_t i = 0; i < size; i++) {
        uint32_t exponent = 127 - spread + random_u32() % (2 * spread + 1);
        uint32_t bits = (random_u32() & 0x807fffff) | exponent << 23;
        memcpy(&x[i], &bits, sizeof bits);
    }
}

static void expect_exact(const struct kn_codec *codec, const float *x, size_t size)
{
    static uint8_t bytes[6 * SIZE];
    float back[SIZE];
    float again[SIZE];
    size_t used = kn_codec_encode(codec->kind, x, size, bytes);
    EXPECT(used <= kn_codec_bytes_max(codec->kind, size));
    EXPECT(kn_codec_decode(codec->kind, bytes, used, back, size));
    EXPECT_MEM(back, x, size * sizeof *x);
    memcpy(again, x, size * sizeof *x);
    kn_codec_project(codec, again, size, NULL);
    EXPECT_MEM(again, x, size * sizeof *x);
    EXPECT(used == 0 || !kn_codec_decode(codec->kind, bytes, used - 1, back, size));
    EXPECT(!kn_codec_decode(codec->kind, bytes, used + 1, back, size));
}

TEST_ROWS(a_projected_vector_is_its_own_projection_and_decodes_to_the_same_bits, CODECS)
{
    static const uint32_t SPREADS[] = {0, 1, 8, 60, 126};
    random_state = tst_seed();
    for (uint32_t round = 0; round < ROUNDS; round++) {
        float x[SIZE];
        size_t size = round % 2 == 0 ? SIZE : random_u32() % SIZE;
        fill(x, size, SPREADS[round % 5]);
        for (size_t i = 0; i < size; i += 1 + random_u32() % 40) {
            x[i] = random_u32() % 2 == 0 ? 0.0f : -0.0f;
        }
        kn_codec_project(&CODECS[tst_row], x, size, NULL);
        expect_exact(&CODECS[tst_row], x, size);
    }
}

/* What each says of its error, of every magnitude. */
static float bound(const struct kn_codec *codec, const float *x, size_t i, size_t block, size_t n)
{
    float most = 0;
    for (size_t k = 0; k < n; k++) {
        most = fmaxf(most, fabsf(x[block + k]));
    }
    if (codec->kind == KN_CODEC_BF16) {
        return fabsf(x[i]) / 256.0f;
    }
    return codec->kind == KN_CODEC_INT8 ? most / 127.0f * 0.5001f + 0x1p-100f : 0.0f;
}

TEST_ROWS(what_is_lost_is_at_most_half_a_step, CODECS)
{
    const struct kn_codec *codec = &CODECS[tst_row];
    random_state = tst_seed();
    for (uint32_t round = 0; round < ROUNDS && codec->kind != KN_CODEC_TOPK; round++) {
        float x[SIZE];
        float y[SIZE];
        fill(x, SIZE, 1 + round * 3);
        memcpy(y, x, sizeof y);
        kn_codec_project(codec, y, SIZE, NULL);
        for (size_t i = 0; i < SIZE; i++) {
            size_t block = i / KN_CODEC_BLOCK * KN_CODEC_BLOCK;
            size_t n = SIZE - block < KN_CODEC_BLOCK ? SIZE - block : KN_CODEC_BLOCK;
            EXPECT(fabsf(x[i] - y[i]) <= bound(codec, x, i, block, n));
        }
    }
}

TEST(bf16_rounds_to_nearest_and_ties_to_even_and_stays_finite)
{
    static const struct {
        uint32_t from;
        uint32_t to;
    } ROWS[] = {{0x3f800000, 0x3f800000}, {0x3f807fff, 0x3f800000}, {0x3f808000, 0x3f800000},
                {0x3f808001, 0x3f810000}, {0x3f818000, 0x3f820000}, {0xbf818000, 0xbf820000},
                {0x80000000, 0x80000000}, {0x00000001, 0x00000000}, {0x00008001, 0x00010000},
                {0x7f7fffff, 0x7f7f0000}, {0xff7fffff, 0xff7f0000}, {0x7f800000, 0x7f800000},
                {0xff800000, 0xff800000}, {0x7f800001, 0x7fc00000}, {0x7fffffff, 0x7fc00000}};
    const struct kn_codec bf16 = {.kind = KN_CODEC_BF16};
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        float x;
        uint32_t bits;
        memcpy(&x, &ROWS[i].from, sizeof x);
        kn_codec_project(&bf16, &x, 1, NULL);
        memcpy(&bits, &x, sizeof bits);
        EXPECT_EQ(bits, ROWS[i].to);
    }
}

TEST(topk_keeps_the_largest_of_each_block_and_of_equal_ones_the_first)
{
    float x[KN_CODEC_BLOCK + 64] = {0};
    const struct kn_codec codec = {.kind = KN_CODEC_TOPK, .keep = 4};
    x[7] = -3.0f;
    x[100] = 2.0f;
    x[101] = -2.0f;
    x[102] = 2.0f;
    x[103] = 2.0f;
    x[200] = 1.0f;
    x[KN_CODEC_BLOCK + 5] = 1.0f;
    x[KN_CODEC_BLOCK + 6] = -1.5f;
    kn_codec_project(&codec, x, KN_CODEC_BLOCK + 64, NULL);
    for (uint32_t i = 0; i < KN_CODEC_BLOCK + 64; i++) {
        /* A quarter of a block keeps one. */
        bool kept = i == 7 || (i >= 100 && i <= 102) || i == KN_CODEC_BLOCK + 6;
        EXPECT_EQ(fabsf(x[i]) > 0.0f, kept);
    }
    uint8_t bytes[128];
    EXPECT_EQ(kn_codec_encode(KN_CODEC_TOPK, x, KN_CODEC_BLOCK + 64, bytes), 1 + 4 * 3 + 1 + 3);
}

/* Elements of many sizes, most below what a step can say. */
TEST_ROWS(what_one_step_loses_a_later_one_brings, CODECS)
{
    const struct kn_codec *codec = &CODECS[tst_row];
    double given[SIZE] = {0};
    double told[SIZE] = {0};
    float residual[SIZE] = {0};
    random_state = tst_seed();
    for (uint32_t round = 0; round < 200; round++) {
        float x[SIZE];
        fill(x, SIZE, 4);
        for (size_t i = 0; i < SIZE; i++) {
            x[i] = (x[i] + 0.01f) * (i % 7 == 0 ? 1.0f : 0.001f);
            given[i] += (double)x[i];
        }
        kn_codec_project(codec, x, SIZE, residual);
        expect_exact(codec, x, SIZE);
        for (size_t i = 0; i < SIZE; i++) {
            told[i] += (double)x[i];
        }
    }
    for (size_t i = 0; i < SIZE; i++) {
        double scale = i % 7 == 0 ? 1.0 : 0.001;
        EXPECT_NEAR(told[i] + (double)residual[i], given[i], 1e-3 * scale);
    }
}

/* A slice from a block's start gives what the whole vector gives there. */
TEST_ROWS(blocks_stand_for_themselves, CODECS)
{
    const struct kn_codec *codec = &CODECS[tst_row];
    float whole[SIZE];
    float parts[SIZE];
    static uint8_t bytes[2][6 * SIZE];
    random_state = tst_seed();
    fill(whole, SIZE, 20);
    memcpy(parts, whole, sizeof parts);
    kn_codec_project(codec, whole, SIZE, NULL);
    kn_codec_project(codec, parts, 2 * KN_CODEC_BLOCK, NULL);
    kn_codec_project(codec, parts + 2 * KN_CODEC_BLOCK, SIZE - 2 * KN_CODEC_BLOCK, NULL);
    EXPECT_MEM(parts, whole, sizeof whole);
    size_t used = kn_codec_encode(codec->kind, whole, SIZE, bytes[0]);
    size_t first = kn_codec_encode(codec->kind, whole, 2 * KN_CODEC_BLOCK, bytes[1]);
    size_t rest = kn_codec_encode(codec->kind, whole + 2 * KN_CODEC_BLOCK,
                                  SIZE - 2 * KN_CODEC_BLOCK, bytes[1] + first);
    EXPECT_EQ(first + rest, used);
    EXPECT_MEM(bytes[0], bytes[1], used);
}

TEST_ROWS(what_is_not_finite_stays_so, CODECS)
{
    static const float BAD[] = {NAN, INFINITY, -INFINITY};
    const struct kn_codec *codec = &CODECS[tst_row];
    random_state = tst_seed();
    for (uint32_t i = 0; i < 3 * ROUNDS; i++) {
        float x[SIZE];
        fill(x, SIZE, 126);
        size_t at = random_u32() % SIZE;
        x[at] = BAD[i % 3];
        kn_codec_project(codec, x, SIZE, NULL);
        EXPECT(!isfinite(x[at]));
        expect_exact(codec, x, SIZE);
    }
}

TEST_ROWS(finite_values_of_any_size_stay_finite, CODECS)
{
    static const uint32_t BITS[] = {0x7f7fffff, 0xff7fffff, 0x00000001, 0x807fffff, 0x00800000};
    const struct kn_codec *codec = &CODECS[tst_row];
    float x[SIZE];
    for (size_t i = 0; i < SIZE; i++) {
        memcpy(&x[i], &BITS[i % 5], sizeof x[i]);
    }
    kn_codec_project(codec, x, SIZE, NULL);
    for (size_t i = 0; i < SIZE; i++) {
        EXPECT(isfinite(x[i]));
    }
    expect_exact(codec, x, SIZE);
}

/* The sum of projected vectors of several members, as their owner sends it. */
TEST(a_sum_of_sparse_vectors_is_encoded_sparse_until_a_bitmap_is_shorter)
{
    const struct kn_codec topk = {.kind = KN_CODEC_TOPK, .keep = 13};
    const struct kn_codec bf16 = {.kind = KN_CODEC_BF16};
    float sum[SIZE] = {0};
    static uint8_t bytes[6 * SIZE];
    size_t before = 0;
    random_state = tst_seed();
    for (uint32_t member = 0; member < 64; member++) {
        float x[SIZE];
        fill(x, SIZE, 3);
        kn_codec_project(&topk, x, SIZE, NULL);
        for (size_t i = 0; i < SIZE; i++) {
            sum[i] += x[i];
        }
        kn_codec_project(&bf16, sum, SIZE, NULL);
        float back[SIZE];
        size_t used = kn_codec_encode(KN_CODEC_TOPK, sum, SIZE, bytes);
        EXPECT(kn_codec_decode(KN_CODEC_TOPK, bytes, used, back, SIZE));
        EXPECT_MEM(back, sum, sizeof sum);
        EXPECT(used >= before);
        before = used;
    }
    EXPECT(before > 2 * SIZE * 9 / 10 && before <= kn_codec_bytes_max(KN_CODEC_TOPK, SIZE));
}

/* Of elements so small that a member tells one of them only now and then, and not all members at
 * once: the share that the owner of their sum tells everybody. */
static double arrives(uint32_t members, float *owed)
{
    static float lost[16][KN_CODEC_BLOCK];
    const struct kn_codec int8 = {.kind = KN_CODEC_INT8};
    double given = 0;
    double told = 0;
    memset(lost, 0, sizeof lost);
    for (uint32_t round = 0; round < 400; round++) {
        float sum[KN_CODEC_BLOCK] = {0};
        for (uint32_t m = 0; m < members; m++) {
            float x[KN_CODEC_BLOCK] = {1.0f};
            for (size_t i = 1; i < KN_CODEC_BLOCK; i++) {
                x[i] = 0.004f * (float)(random_u32() >> 8) * 0x1p-24f;
                given += (double)x[i];
            }
            kn_codec_project(&int8, x, KN_CODEC_BLOCK, lost[m]);
            for (size_t i = 0; i < KN_CODEC_BLOCK; i++) {
                sum[i] += x[i];
            }
        }
        kn_codec_project(&int8, sum, KN_CODEC_BLOCK, owed);
        for (size_t i = 1; i < KN_CODEC_BLOCK; i++) {
            told += (double)sum[i];
        }
    }
    return told / given;
}

TEST(small_elements_arrive_where_the_owner_keeps_what_its_sum_lost)
{
    random_state = tst_seed();
    for (uint32_t members = 2; members <= 16; members *= 2) {
        float owed[KN_CODEC_BLOCK] = {0};
        EXPECT(arrives(members, NULL) < 0.4);
        EXPECT_NEAR(arrives(members, owed), 1.0, 0.02);
    }
}

TEST(the_encodings_are_as_small_as_they_say)
{
    static const struct {
        struct kn_codec codec;
        double ratio;
    } ROWS[] = {{{.kind = KN_CODEC_BF16}, 2.0},
                {{.kind = KN_CODEC_INT8}, 3.93},
                {{.kind = KN_CODEC_TOPK, .keep = 13}, 25.0},
                {{.kind = KN_CODEC_TOPK, .keep = 26}, 12.9}};
    static uint8_t bytes[6 * SIZE];
    random_state = tst_seed();
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        float x[SIZE];
        fill(x, SIZE, 6);
        kn_codec_project(&ROWS[i].codec, x, SIZE, NULL);
        size_t used = kn_codec_encode(ROWS[i].codec.kind, x, SIZE, bytes);
        EXPECT((double)sizeof x >= ROWS[i].ratio * (double)used);
    }
}
