/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rng.h"
#include "secagg/mask.h"
#include "secagg/shamir.h"
#include "tst.h"

#include <string.h>

static void draw(struct sh_rng *rng, uint8_t *out, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        out[i] = (uint8_t)sh_rng_u64(rng);
    }
}

/* {53} {ca} = {01}, FIPS 197, 4.2: the line with slope 53 through 0 passes 01 at ca. */
TEST(the_field_is_that_of_aes)
{
    uint8_t secret[SECAGG_KEY_BYTES] = {0};
    uint8_t slope[SECAGG_SHARE_BYTES];
    static uint8_t share[SECAGG_NEIGHBOURS_MAX][SECAGG_SHARE_BYTES];
    memset(slope, 0x53, sizeof slope);
    secagg_split(secret, 2, slope, SECAGG_NEIGHBOURS_MAX, share);
    EXPECT_EQ(share[0xca - 1][0], 0x01);
    EXPECT_EQ(share[0][0], 0x53);
}

static const struct {
    uint32_t threshold;
    uint32_t shares;
} sizes[] = {{2, 2}, {2, 3}, {6, 9}, {26, 39}, {61, 120}, {254, 254}};

TEST_ROWS(any_threshold_of_the_shares_gives_the_secret_and_one_less_another, sizes)
{
    static uint8_t share[SECAGG_NEIGHBOURS_MAX][SECAGG_SHARE_BYTES];
    static uint8_t random[SECAGG_NEIGHBOURS_MAX * SECAGG_SHARE_BYTES];
    const uint32_t t = sizes[tst_row].threshold;
    const uint32_t n = sizes[tst_row].shares;
    struct sh_rng rng;
    sh_rng_init(&rng, tst_seed());
    for (int turn = 0; turn < 20; turn++) {
        uint8_t secret[SECAGG_KEY_BYTES];
        uint8_t given[SECAGG_KEY_BYTES];
        uint8_t point[SECAGG_NEIGHBOURS_MAX];
        static uint8_t chosen[SECAGG_NEIGHBOURS_MAX][SECAGG_SHARE_BYTES];
        draw(&rng, secret, sizeof secret);
        draw(&rng, random, sizeof random);
        secagg_split(secret, t, random, n, share);
        for (uint32_t i = 0; i < n; i++) {
            point[i] = (uint8_t)(i + 1);
        }
        for (uint32_t i = 0; i < t; i++) {
            uint32_t j = i + (uint32_t)sh_rng_below(&rng, n - i);
            uint8_t other = point[i];
            point[i] = point[j];
            point[j] = other;
            memcpy(chosen[i], share[point[i] - 1], SECAGG_SHARE_BYTES);
        }
        secagg_combine(t, point, (const uint8_t(*)[SECAGG_SHARE_BYTES])chosen, given);
        EXPECT_MEM(given, secret, sizeof secret);
        secagg_combine(t - 1, point, (const uint8_t(*)[SECAGG_SHARE_BYTES])chosen, given);
        EXPECT(memcmp(given, secret, sizeof secret) != 0);
    }
}

/* With one share missing, each of its 256 values makes another secret: whoever lacks it knows of
 * the byte what it knew before. */
TEST(one_share_less_than_the_threshold_leaves_every_secret_possible)
{
    static uint8_t share[9][SECAGG_SHARE_BYTES];
    uint8_t random[5 * SECAGG_SHARE_BYTES];
    uint8_t secret[SECAGG_KEY_BYTES];
    static const uint8_t point[6] = {2, 3, 5, 6, 8, 9};
    uint8_t chosen[6][SECAGG_SHARE_BYTES];
    struct sh_rng rng;
    sh_rng_init(&rng, tst_seed());
    draw(&rng, secret, sizeof secret);
    draw(&rng, random, sizeof random);
    secagg_split(secret, 6, random, 9, share);
    for (uint32_t i = 0; i < 6; i++) {
        memcpy(chosen[i], share[point[i] - 1], SECAGG_SHARE_BYTES);
    }
    for (uint32_t byte = 0; byte < SECAGG_KEY_BYTES; byte++) {
        bool possible[256] = {false};
        for (uint32_t guess = 0; guess < 256; guess++) {
            uint8_t given[SECAGG_KEY_BYTES];
            chosen[5][byte] = (uint8_t)guess;
            secagg_combine(6, point, (const uint8_t(*)[SECAGG_SHARE_BYTES])chosen, given);
            possible[given[byte]] = true;
        }
        for (uint32_t value = 0; value < 256; value++) {
            EXPECT(possible[value]);
        }
    }
}

static void mask32(uint32_t *value, const uint8_t *key, uint64_t offset, size_t count,
                   bool subtract)
{
    struct secagg_slice slice = {.at = value, .offset = offset, .count = count};
    secagg_mask(32, slice, key, subtract);
}

static void mask64(uint64_t *value, const uint8_t *key, uint64_t offset, size_t count,
                   bool subtract)
{
    struct secagg_slice slice = {.at = value, .offset = offset, .count = count};
    secagg_mask(64, slice, key, subtract);
}

/* RFC 8439, A.1, test vector 1. */
TEST(masks_are_words_of_chacha20)
{
    const uint8_t key[SECAGG_KEY_BYTES] = {0};
    uint32_t narrow[2] = {0};
    uint64_t wide[1] = {0};
    mask32(narrow, key, 0, 2, false);
    mask64(wide, key, 0, 1, false);
    EXPECT_EQ(narrow[0], 0xade0b876u);
    EXPECT_EQ(narrow[1], 0x903df1a0u);
    EXPECT_EQ(wide[0], 0x903df1a0ade0b876u);
}

TEST(a_slice_of_a_mask_is_that_part_of_the_whole)
{
    enum { COUNT = 6000 };
    static uint64_t whole[COUNT];
    static uint64_t parts[COUNT];
    static uint32_t whole32[COUNT];
    static uint32_t parts32[COUNT];
    const uint8_t key[SECAGG_KEY_BYTES] = {9};
    struct sh_rng rng;
    sh_rng_init(&rng, tst_seed());
    mask64(whole, key, 12345, COUNT, false);
    mask32(whole32, key, 12345, COUNT, true);
    for (size_t at = 0; at < COUNT;) {
        size_t n = (size_t)sh_rng_between(&rng, 1, 2500);
        n = n < COUNT - at ? n : COUNT - at;
        mask64(parts + at, key, 12345 + at, n, false);
        mask32(parts32 + at, key, 12345 + at, n, true);
        at += n;
    }
    EXPECT_MEM(parts, whole, sizeof whole);
    EXPECT_MEM(parts32, whole32, sizeof whole32);
    mask64(parts, key, 12345, COUNT, true);
    for (size_t i = 0; i < COUNT; i++) {
        EXPECT_EQ(parts[i], 0);
    }
}

TEST(a_stream_does_not_repeat_itself)
{
    static uint8_t bytes[4][1024];
    struct secagg_stream s = {.key = {3}};
    for (size_t i = 0; i < 4; i++) {
        secagg_stream_fill(&s, bytes[i], sizeof bytes[i]);
        for (size_t j = 0; j < i; j++) {
            EXPECT(memcmp(bytes[i], bytes[j], sizeof bytes[i]) != 0);
        }
    }
}
