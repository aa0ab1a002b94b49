/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/philox.h"
#include "tst.h"

/* The known answers that the authors publish with Random123. */
static const struct {
    uint32_t counter[4];
    uint32_t key[2];
    uint32_t out[4];
} known[] = {
    {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
     {0xffffffff, 0xffffffff},
     {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
     {0xa4093822, 0x299f31d0},
     {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
};

TEST_ROWS(philox_gives_the_known_answers_of_its_authors, known)
{
    uint32_t out[4];
    kn_philox4x32(out, known[tst_row].counter, known[tst_row].key);
    EXPECT_MEM(out, known[tst_row].out, sizeof out);
}

TEST(the_lanes_of_a_stream_are_its_samples)
{
    struct kn_stream s = kn_stream_make(7, 1234567890123u, 3, 5);
    uint32_t lanes[4][KN_PHILOX_LANES];
    kn_stream_lanes(lanes, s, 0xfffffff8u, 9);
    for (uint32_t l = 0; l < KN_PHILOX_LANES; l++) {
        uint32_t block[4];
        kn_stream_block(block, s, 0xfffffff8ull + l, 9);
        for (uint32_t w = 0; w < 4; w++) {
            EXPECT_EQ(lanes[w][l], block[w]);
            EXPECT_EQ(lanes[w][l], kn_stream_u32(s, 0xfffffff8ull + l, 36 + w));
        }
    }
}

TEST(every_part_of_the_place_changes_the_key)
{
    struct kn_stream s = kn_stream_make(1, 2, 3, 4);
    struct kn_stream others[] = {kn_stream_make(2, 2, 3, 4), kn_stream_make(1, 3, 3, 4),
                                 kn_stream_make(1, 2, 4, 4), kn_stream_make(1, 2, 3, 5),
                                 kn_stream_make(1ull << 32 | 1, 2, 3, 4)};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        EXPECT(others[i].key[0] != s.key[0] || others[i].key[1] != s.key[1]);
    }
}

TEST(unit_floats_lie_in_zero_to_one_without_one)
{
    EXPECT(kn_unit_float(0) >= 0.0f && kn_unit_float(0) <= 0.0f);
    EXPECT(kn_unit_float(0xffffffffu) < 1.0f);
    EXPECT(kn_unit_float(0x80000000u) >= 0.5f && kn_unit_float(0x80000000u) <= 0.5f);
}
