/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rng.h"
#include "round/frame.h"
#include "round/plan.h"
#include "tst.h"

#include <stdlib.h>

TEST(subtrees_are_the_maximal_complete_ones)
{
    struct round_subtree out[ROUND_MINE_MAX];
    EXPECT_EQ(round_subtrees_of(0, 16, 16, 0, out), 1);
    EXPECT_EQ(out[0].high, 16);
    EXPECT_EQ(round_subtrees_of(5, 10, 16, 3, out), 3);
    static const uint16_t bounds[][2] = {{5, 6}, {6, 8}, {8, 10}};
    for (size_t i = 0; i < 3; i++) {
        EXPECT_EQ(out[i].low, bounds[i][0]);
        EXPECT_EQ(out[i].high, bounds[i][1]);
        EXPECT_EQ(out[i].member, 3);
    }
}

/* Complete: size divides low. Maximal: no two neighbours are the children of one node. */
TEST(subtrees_of_every_range_of_every_tree_cover_it_once)
{
    for (uint32_t ranks = 1; ranks <= ROUND_RANKS_MAX; ranks *= 2) {
        for (uint32_t low = 0; low < ranks; low++) {
            for (uint32_t high = low + 1; high <= ranks; high++) {
                struct round_subtree out[ROUND_MINE_MAX];
                uint32_t count = round_subtrees_of(low, high, ranks, 0, out);
                uint32_t at = low;
                for (uint32_t i = 0; i < count; i++) {
                    uint32_t size = (uint32_t)out[i].high - out[i].low;
                    EXPECT_EQ(out[i].low, at);
                    EXPECT_EQ(at % size, 0);
                    at = out[i].high;
                    bool sibling = i > 0 && out[i - 1].low + size == out[i].low &&
                                   out[i - 1].low % (2 * size) == 0;
                    EXPECT(!sibling);
                }
                EXPECT_EQ(at, high);
            }
        }
    }
}

static void check_plan(uint64_t elements, uint32_t members, uint32_t chunk_elements)
{
    struct round_plan plan;
    round_plan_init(&plan, elements, members, chunk_elements);
    uint64_t at = 0;
    uint64_t longest = 0;
    uint64_t shortest = UINT64_MAX;
    for (uint32_t c = 0; c < plan.chunks; c++) {
        struct round_slice slice = round_plan_chunk(&plan, c);
        uint32_t owner = round_plan_owner(&plan, c);
        EXPECT_EQ(slice.offset, at);
        EXPECT(slice.count > 0 && slice.count <= chunk_elements);
        EXPECT_EQ(slice.offset % ROUND_ALIGN_ELEMENTS, 0);
        EXPECT_EQ(plan.offset[owner] % ROUND_PAGE_ELEMENTS, 0);
        EXPECT(slice.offset >= plan.offset[owner]);
        EXPECT(slice.offset + slice.count <= plan.offset[owner + 1]);
        at += slice.count;
    }
    EXPECT_EQ(at, elements);
    uint64_t sum = 0;
    for (uint32_t m = 0; m < members; m++) {
        uint64_t count = round_plan_segment_count(&plan, m);
        sum += count;
        longest = count > longest ? count : longest;
        shortest = m < plan.owners && count < shortest ? count : shortest;
    }
    EXPECT_EQ(sum, elements);
    EXPECT(longest - shortest <= 2 * ROUND_PAGE_ELEMENTS);
    EXPECT(longest <= round_plan_segment_max(elements + 5000, members));
    EXPECT(plan.chunks <= round_plan_chunks_max(elements, members, chunk_elements));
    EXPECT(plan.owners == 1 || elements / plan.owners >= ROUND_SEGMENT_ELEMENTS);
}

TEST(plans_cut_any_vector_into_balanced_aligned_segments)
{
    struct sh_rng rng;
    sh_rng_init(&rng, tst_seed());
    for (uint32_t i = 0; i < 2000; i++) {
        uint64_t elements = sh_rng_between(&rng, 1, UINT64_C(1) << sh_rng_between(&rng, 1, 19));
        uint32_t members = (uint32_t)sh_rng_between(&rng, 1, ROUND_MEMBERS_MAX);
        uint32_t chunk = (uint32_t)sh_rng_between(&rng, 16, 4096) * ROUND_ALIGN_ELEMENTS;
        check_plan(elements, members, chunk);
    }
}

TEST(a_tiny_vector_has_one_owner)
{
    struct round_plan plan;
    round_plan_init(&plan, 3, 8, 1024);
    EXPECT_EQ(plan.owners, 1);
    EXPECT_EQ(plan.chunks, 1);
    EXPECT_EQ(round_plan_segment_count(&plan, 0), 3);
    EXPECT_EQ(round_plan_segment_count(&plan, 7), 0);
}

static struct round_frame some_frame(void)
{
    return (struct round_frame){.kind = ROUND_FRAME_PART,
                                .from = 0x0102,
                                .subtree = 0x0304,
                                .segment = 0x06,
                                .chunk = 0x0708090a,
                                .count = 2,
                                .generation = UINT64_C(0x1112131415161718),
                                .sequence = UINT64_C(0x2122232425262728),
                                .elements = UINT64_C(0x3132333435363738),
                                .offset = UINT64_C(0x4142434445464748),
                                .sum = UINT64_C(0x5152535455565758)};
}

TEST(frames_come_back_as_they_were)
{
    uint8_t bytes[ROUND_FRAME_BYTES + 8] = {0};
    struct round_frame frame = some_frame();
    round_frame_encode(&frame, bytes);
    EXPECT_EQ(bytes[0], 2);
    EXPECT_EQ(bytes[2], 0x02);
    EXPECT_EQ(bytes[16], 0x18);
    struct round_frame back;
    struct sh_span payload;
    struct sh_span span = {.at = bytes, .size = sizeof bytes};
    EXPECT_EQ(round_frame_decode(span, &back, &payload), SH_OK);
    EXPECT(payload.at == bytes + ROUND_FRAME_BYTES);
    EXPECT_EQ(payload.size, 8);
    EXPECT_EQ(back.kind, frame.kind);
    EXPECT_EQ(back.from, frame.from);
    EXPECT_EQ(back.subtree, frame.subtree);
    EXPECT_EQ(back.segment, frame.segment);
    EXPECT_EQ(back.chunk, frame.chunk);
    EXPECT_EQ(back.count, frame.count);
    EXPECT_EQ(back.generation, frame.generation);
    EXPECT_EQ(back.sequence, frame.sequence);
    EXPECT_EQ(back.elements, frame.elements);
    EXPECT_EQ(back.offset, frame.offset);
    EXPECT_EQ(back.sum, frame.sum);
}

TEST(a_frame_says_where_its_payload_lies_or_which_shelf_its_sender_reads)
{
    uint8_t bytes[ROUND_FRAME_BYTES + 8] = {0};
    struct round_frame back;
    struct sh_span payload;
    struct round_frame lies = some_frame();
    lies.shelf = UINT64_C(0x6162636465666768);
    lies.shelf_at = UINT64_C(0x7172737475767778);
    round_frame_encode(&lies, bytes);
    struct sh_span span = {.at = bytes, .size = ROUND_FRAME_BYTES};
    EXPECT_EQ(round_frame_decode(span, &back, &payload), SH_OK);
    EXPECT_EQ(payload.size, 0);
    EXPECT_EQ(back.sum, 0);
    EXPECT_EQ(back.shelf, lies.shelf);
    EXPECT_EQ(back.shelf_at, lies.shelf_at);
    struct sh_span followed = {.at = bytes, .size = sizeof bytes};
    EXPECT_EQ(round_frame_decode(followed, &back, &payload), SH_ERR_CORRUPT);
    lies.count =
        SH_BULK_CHUNK_BYTES / ROUND_ELEMENT_BYTES + 1; /* no longer than one that follows */
    round_frame_encode(&lies, bytes);
    EXPECT_EQ(round_frame_decode(span, &back, &payload), SH_ERR_CORRUPT);
    lies = some_frame();
    lies.shelf_at = 64; /* on no shelf */
    round_frame_encode(&lies, bytes);
    EXPECT_EQ(round_frame_decode(span, &back, &payload), SH_ERR_CORRUPT);
    struct round_frame asks = some_frame();
    asks.kind = ROUND_FRAME_ASK_PART;
    asks.shelf = 5;
    round_frame_encode(&asks, bytes);
    EXPECT_EQ(round_frame_decode(span, &back, &payload), SH_OK);
    EXPECT_EQ(back.shelf, 5);
    asks.shelf_at = 64;
    round_frame_encode(&asks, bytes);
    EXPECT_EQ(round_frame_decode(span, &back, &payload), SH_ERR_CORRUPT);
}

TEST(a_coded_payload_follows_and_is_shorter_than_a_plain_one)
{
    uint8_t bytes[ROUND_FRAME_BYTES + 8] = {0};
    struct round_frame back;
    struct sh_span payload;
    struct round_frame frame = some_frame();
    frame.codec = 7;
    round_frame_encode(&frame, bytes);
    for (size_t size = 0; size <= 8; size++) {
        struct sh_span span = {.at = bytes, .size = ROUND_FRAME_BYTES + size};
        enum sh_err want = size > 0 && size < 8 ? SH_OK : SH_ERR_CORRUPT;
        EXPECT_EQ(round_frame_decode(span, &back, &payload), want);
        EXPECT(want != SH_OK || (back.codec == 7 && payload.size == size));
    }
    struct round_frame lies = some_frame();
    lies.shelf = 5;
    lies.shelf_at = 64;
    round_frame_encode(&lies, bytes);
    bytes[7] = 7; /* nothing is coded on a shelf */
    struct sh_span span = {.at = bytes, .size = ROUND_FRAME_BYTES};
    EXPECT_EQ(round_frame_decode(span, &back, &payload), SH_ERR_CORRUPT);
    bytes[1] = ROUND_FRAME_ASK_PART;
    EXPECT_EQ(round_frame_decode(span, &back, &payload), SH_ERR_CORRUPT);
}

TEST(damaged_frames_are_refused)
{
    uint8_t bytes[ROUND_FRAME_BYTES + 12] = {0};
    struct round_frame frame = some_frame();
    struct round_frame back;
    struct sh_span payload;
    round_frame_encode(&frame, bytes);
    for (size_t size = 0; size < sizeof bytes; size++) {
        struct sh_span span = {.at = bytes, .size = size};
        enum sh_err want = size == ROUND_FRAME_BYTES + 8 ? SH_OK : SH_ERR_CORRUPT;
        EXPECT_EQ(round_frame_decode(span, &back, &payload), want);
    }
    struct sh_span whole = {.at = bytes, .size = ROUND_FRAME_BYTES + 8};
    bytes[0] = 1;
    EXPECT_EQ(round_frame_decode(whole, &back, &payload), SH_ERR_VERSION);
    bytes[0] = 2;
    bytes[1] = 5;
    EXPECT_EQ(round_frame_decode(whole, &back, &payload), SH_ERR_CORRUPT);
    bytes[1] = ROUND_FRAME_ASK_PART;
    EXPECT_EQ(round_frame_decode(whole, &back, &payload), SH_ERR_CORRUPT);
}

TEST(every_changed_byte_changes_the_sum)
{
    uint8_t bytes[77];
    struct sh_rng rng;
    sh_rng_init(&rng, tst_seed());
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)sh_rng_u64(&rng);
    }
    for (size_t size = 0; size <= sizeof bytes; size++) {
        uint64_t sum = round_frame_sum(bytes, size);
        EXPECT(size == 0 || sum != round_frame_sum(bytes, size - 1));
        for (size_t i = 0; i < size; i++) {
            uint8_t kept = bytes[i];
            bytes[i] ^= (uint8_t)(1u << sh_rng_below(&rng, 8));
            EXPECT(round_frame_sum(bytes, size) != sum);
            bytes[i] = kept;
        }
        EXPECT_EQ(round_frame_sum(bytes, size), sum);
    }
}
