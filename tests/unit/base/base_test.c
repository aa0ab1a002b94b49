/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"
#include "base/bytes.h"
#include "base/decay.h"
#include "base/fsm.h"
#include "base/host/host.h"
#include "base/map.h"
#include "base/ring.h"
#include "base/rng.h"
#include "tst.h"

#include <stdlib.h>
#include <string.h>

TEST(writer_and_reader_give_back_what_was_put)
{
    uint8_t buffer[128];
    struct sh_writer w = sh_writer_over(buffer, sizeof buffer);
    sh_put_u8(&w, 0xab);
    sh_put_u16(&w, 0x1234);
    sh_put_u32(&w, 0xdeadbeef);
    sh_put_u64(&w, UINT64_C(0x0123456789abcdef));
    sh_put_f32(&w, -0.0f);
    sh_put_f64(&w, 1e300);
    sh_put_str(&w, "shoal");
    EXPECT(!w.full);
    EXPECT_EQ(buffer[1], 0x34);
    struct sh_reader r = sh_reader_over(buffer, w.used);
    char text[6];
    EXPECT_EQ(sh_get_u8(&r), 0xab);
    EXPECT_EQ(sh_get_u16(&r), 0x1234);
    EXPECT_EQ(sh_get_u32(&r), 0xdeadbeef);
    EXPECT_EQ(sh_get_u64(&r), UINT64_C(0x0123456789abcdef));
    EXPECT(1.0f / sh_get_f32(&r) < 0);
    EXPECT_NEAR(sh_get_f64(&r), 1e300, 0);
    sh_get_str(&r, text, sizeof text);
    EXPECT_STR(text, "shoal");
    EXPECT_EQ(sh_reader_left(&r), 0);
    EXPECT_EQ(sh_reader_end(&r), SH_OK);
}

TEST(every_truncation_is_corrupt_and_reads_zero)
{
    uint8_t buffer[32];
    struct sh_writer w = sh_writer_over(buffer, sizeof buffer);
    sh_put_u32(&w, 7);
    sh_put_blob(&w, "abcd", 4);
    for (size_t size = 0; size < w.used; size++) {
        struct sh_reader r = sh_reader_over(buffer, size);
        (void)sh_get_u32(&r);
        struct sh_span blob = sh_get_blob(&r, 16);
        EXPECT_EQ(sh_reader_end(&r), SH_ERR_CORRUPT);
        EXPECT_EQ(blob.size, 0);
        EXPECT_EQ(sh_get_u64(&r), 0);
    }
}

TEST(a_blob_longer_than_its_limit_is_refused)
{
    uint8_t buffer[32];
    struct sh_writer w = sh_writer_over(buffer, sizeof buffer);
    sh_put_blob(&w, "abcd", 4);
    struct sh_reader at_limit = sh_reader_over(buffer, w.used);
    EXPECT_EQ(sh_get_blob(&at_limit, 4).size, 4);
    struct sh_reader past = sh_reader_over(buffer, w.used);
    EXPECT_EQ(sh_get_blob(&past, 3).size, 0);
    EXPECT(past.bad);
}

TEST(strings_with_a_nul_or_too_long_are_refused)
{
    uint8_t buffer[32];
    char out[4];
    struct sh_writer w = sh_writer_over(buffer, sizeof buffer);
    sh_put_blob(&w, "a\0b", 3);
    struct sh_reader r = sh_reader_over(buffer, w.used);
    sh_get_str(&r, out, sizeof out);
    EXPECT(r.bad);
    EXPECT_STR(out, "");
    w = sh_writer_over(buffer, sizeof buffer);
    sh_put_str(&w, "abcd");
    r = sh_reader_over(buffer, w.used);
    sh_get_str(&r, out, sizeof out);
    EXPECT(r.bad);
}

TEST(a_full_writer_keeps_what_it_has)
{
    uint8_t buffer[5];
    struct sh_writer w = sh_writer_over(buffer, sizeof buffer);
    sh_put_u32(&w, 1);
    sh_put_u16(&w, 2);
    sh_put_u8(&w, 3);
    EXPECT(w.full);
    EXPECT_EQ(w.used, 4);
}

TEST(key_order_is_numeric_order)
{
    uint8_t a[8];
    uint8_t b[8];
    sh_key_u64(a, 255);
    sh_key_u64(b, 256);
    EXPECT(memcmp(a, b, 8) < 0);
    EXPECT_EQ(sh_key_u64_get(b), 256);
}

TEST(rng_repeats_and_respects_bounds)
{
    struct sh_rng a;
    struct sh_rng b;
    sh_rng_init(&a, 42);
    sh_rng_init(&b, 42);
    unsigned seen[5] = {0};
    for (int i = 0; i < 1000; i++) {
        uint64_t x = sh_rng_below(&a, 5);
        EXPECT_EQ(x, sh_rng_below(&b, 5));
        seen[x]++;
    }
    for (size_t i = 0; i < 5; i++) {
        EXPECT(seen[i] > 120);
    }
    EXPECT_EQ(sh_rng_between(&a, 7, 7), 7);
    EXPECT(!sh_rng_chance(&a, 0, 10));
    EXPECT(sh_rng_chance(&a, 10, 10));
}

TEST(rng_matches_the_published_vector)
{
    struct sh_rng r = {.s = {1, 2, 3, 4}};
    EXPECT_EQ(sh_rng_u64(&r), 41943041);
    EXPECT_EQ(sh_rng_u64(&r), 58720359);
    EXPECT_EQ(sh_rng_u64(&r), UINT64_C(3588806011781223));
}

TEST(map_agrees_with_a_naive_one)
{
    _Alignas(64) static uint8_t memory[1 << 16];
    struct sh_arena arena;
    struct sh_map map;
    struct sh_rng rng;
    uint64_t model[64] = {0};
    sh_arena_init(&arena, memory, sizeof memory);
    sh_map_init(&map, &arena, 64);
    EXPECT(arena.used <= sh_map_bytes(64));
    sh_rng_init(&rng, tst_seed());
    for (int i = 0; i < 20000; i++) {
        uint64_t key = sh_rng_below(&rng, 63) + 1;
        uint64_t value = sh_rng_u64(&rng) | 1;
        if (sh_rng_chance(&rng, 1, 2)) {
            EXPECT_EQ(sh_map_put(&map, key, value), SH_OK);
            model[key] = value;
        } else {
            EXPECT_EQ(sh_map_del(&map, key), model[key] != 0);
            model[key] = 0;
        }
        for (uint64_t k = 1; k < 64; k++) {
            uint64_t got = 0;
            EXPECT_EQ(sh_map_get(&map, k, &got), model[k] != 0);
            EXPECT_EQ(got, model[k]);
        }
    }
}

TEST(a_full_map_says_so_and_still_overwrites)
{
    _Alignas(64) static uint8_t memory[4096];
    struct sh_arena arena;
    struct sh_map map;
    sh_arena_init(&arena, memory, sizeof memory);
    sh_map_init(&map, &arena, 2);
    EXPECT_EQ(sh_map_put(&map, 1, 1), SH_OK);
    EXPECT_EQ(sh_map_put(&map, 2, 2), SH_OK);
    EXPECT_EQ(sh_map_put(&map, 3, 3), SH_ERR_FULL);
    EXPECT_EQ(sh_map_put(&map, 2, 9), SH_OK);
}

TEST_DIES(an_arena_that_runs_out_panics, "count * size <= arena->size - start")
{
    _Alignas(64) static uint8_t memory[64];
    struct sh_arena arena;
    sh_arena_init(&arena, memory, sizeof memory);
    (void)sh_arena_take(&arena, 65, 1, 1);
}

TEST(arena_memory_is_zero_and_aligned)
{
    _Alignas(64) static uint8_t memory[256];
    memset(memory, 0xdb, sizeof memory);
    struct sh_arena arena;
    sh_arena_init(&arena, memory, sizeof memory);
    (void)sh_arena_take(&arena, 3, 1, 1);
    uint64_t *x = SH_ARENA_TAKE(&arena, uint64_t, 2);
    EXPECT_EQ((uintptr_t)x % 8, 0);
    EXPECT_EQ(x[0] | x[1], 0);
}

TEST(ring_is_first_in_first_out)
{
    int slots[3];
    struct sh_ring ring = sh_ring_of(3);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 3; i++) {
            slots[sh_ring_push(&ring)] = 10 * round + i;
        }
        EXPECT(sh_ring_full(&ring));
        for (int i = 0; i < 3; i++) {
            EXPECT_EQ(slots[sh_ring_pop(&ring)], 10 * round + i);
        }
    }
}

TEST_DIES(popping_an_empty_ring_panics, "i < r->count")
{
    struct sh_ring ring = sh_ring_of(3);
    (void)sh_ring_pop(&ring);
}

static const struct sh_fsm_state DOOR[] = {
    {.name = "open", .next = SH_FSM_BIT(1)},
    {.name = "shut", .next = SH_FSM_BIT(0) | SH_FSM_BIT(2)},
    {.name = "bricked", .next = 0},
};
static const struct sh_fsm DOOR_FSM = {.name = "door", .states = DOOR, .count = 3};

TEST(fsm_allows_what_its_table_says)
{
    EXPECT(sh_fsm_allows(&DOOR_FSM, 0, 1));
    EXPECT(!sh_fsm_allows(&DOOR_FSM, 0, 2));
    EXPECT_EQ(sh_fsm_move(&DOOR_FSM, 1, 2), 2);
    EXPECT(sh_fsm_is_final(&DOOR_FSM, 2));
    EXPECT_STR(sh_fsm_name(&DOOR_FSM, 1), "shut");
    EXPECT_STR(sh_fsm_name(&DOOR_FSM, 7), "?");
}

TEST_DIES(an_illegal_move_panics, "sh_fsm_allows(fsm, from, to)")
{
    (void)sh_fsm_move(&DOOR_FSM, 0, 2);
}

/* A compound condition: the macro must negate all of it. */
TEST_DIES(check_negates_the_whole_condition, "a || b")
{
    bool a = false;
    bool b = false;
    SH_CHECK(a || b);
}

TEST(check_of_a_true_compound_passes)
{
    bool a = false;
    bool b = true;
    SH_CHECK(a || b);
    SH_CHECK_CMP(1 + 1, ==, 2);
}

TEST(errors_have_names_and_texts)
{
    for (uint32_t i = 0; i < SH_ERR_COUNT; i++) {
        EXPECT(sh_err_name((enum sh_err)i) != NULL);
        EXPECT(sh_err_text((enum sh_err)i) != NULL);
        EXPECT_EQ(sh_err_from_u32(i), i);
    }
    EXPECT_STR(sh_err_name(SH_ERR_NO_QUORUM), "NO_QUORUM");
    EXPECT_EQ(sh_err_from_u32(9999), SH_ERR_INVALID);
}

TEST(blake2b_matches_rfc_7693)
{
    sh_host_init();
    uint8_t whole[32];
    uint8_t parts[32];
    char hex[65];
    sh_blake2b(whole, 32, "abc", 3);
    struct sh_blake2b h;
    sh_blake2b_start(&h, 32);
    sh_blake2b_add(&h, "a", 1);
    sh_blake2b_add(&h, "bc", 2);
    sh_blake2b_end(&h, parts, 32);
    EXPECT_MEM(whole, parts, 32);
    sh_hex(hex, whole, 32);
    EXPECT_STR(hex, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
    EXPECT_EQ(sh_unhex(parts, 32, hex), SH_OK);
    EXPECT_MEM(whole, parts, 32);
    EXPECT_EQ(sh_unhex(parts, 32, "zz"), SH_ERR_INVALID);
}

TEST(the_clock_never_goes_back)
{
    uint64_t last = sh_now_us();
    for (int i = 0; i < 1000; i++) {
        uint64_t now = sh_now_us();
        EXPECT(now >= last);
        last = now;
    }
}

TEST(the_digest_of_words_sees_every_byte_the_size_and_the_seed)
{
    uint8_t bytes[41] = {0};
    uint64_t seen[2 * sizeof bytes + 1];
    size_t count = 0;
    for (size_t i = 0; i < sizeof bytes; i++) { /* a byte that is set, and a size */
        bytes[i] = 1;
        seen[count++] = sh_words64(7, bytes, sizeof bytes);
        bytes[i] = 0;
        seen[count++] = sh_words64(7, bytes, i);
    }
    seen[count++] = sh_words64(8, bytes, sizeof bytes);
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < i; k++) {
            EXPECT(seen[i] != seen[k]);
        }
    }
    EXPECT_EQ(sh_words64(1, "the same on every machine", 25), UINT64_C(0xb79709b22dd77056));
}

TEST(what_decays_is_halved_every_half_life)
{
    for (uint64_t half = 1; half < UINT64_C(1) << 61; half = half * 7 + 3) {
        EXPECT_EQ(sh_decay(4096, 0, half), 4096);
        EXPECT_EQ(sh_decay(4096, half, half), 2048);
        EXPECT_EQ(sh_decay(4096, 3 * half, half), 512);
    }
    EXPECT_EQ(sh_decay(UINT64_MAX, 0, 86400), UINT64_MAX);
    EXPECT_EQ(sh_decay(UINT64_MAX, 63, 1), 1);
    EXPECT_EQ(sh_decay(UINT64_MAX, 64, 1), 0);
}

TEST(between_half_lives_decay_is_exponential)
{
    /* 10^9 * 2^(-i / 8) */
    static const uint64_t values[] = {1000000000, 917004043, 840896415, 771105413,
                                      707106781,  648419777, 594603558, 545253866};
    uint64_t before = UINT64_MAX;
    for (uint32_t i = 0; i < SH_COUNT(values); i++) {
        uint64_t got = sh_decay(1000000000, 300 * i, 2400);
        EXPECT(got <= values[i] && got + 30000 >= values[i]);
    }
    for (uint64_t age = 0; age < 100000; age += 37) {
        uint64_t got = sh_decay(1000000, age, 9999);
        EXPECT(got <= before);
        before = got;
    }
}
