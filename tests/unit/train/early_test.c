/* SPDX-License-Identifier: Apache-2.0 */
#include "train/early.h"
#include "tst.h"

#include <stdlib.h>
#include <string.h>

static const uint8_t ALPHA[SH_NODE_ID_BYTES] = {1};
static const uint8_t BETA[SH_NODE_ID_BYTES] = {2};

static bool keep(struct train_early *early, uint64_t generation, const uint8_t *node,
                 const char *text)
{
    struct sh_span frame = {.at = (const uint8_t *)text, .size = strlen(text)};
    return train_early_keep(early, generation, node, frame);
}

static void expect_next(struct train_early *early, uint64_t generation, const uint8_t *node,
                        const char *text)
{
    struct train_early_frame frame;
    EXPECT(train_early_take(early, generation, &frame));
    EXPECT_EQ(frame.generation, generation);
    EXPECT_MEM(frame.node, node, SH_NODE_ID_BYTES);
    EXPECT_EQ(frame.size, strlen(text));
    EXPECT_MEM(frame.bytes, text, frame.size);
    free(frame.bytes);
}

TEST(frames_of_a_generation_come_out_in_the_order_they_came_and_older_ones_are_dropped)
{
    struct train_early early = {.count = 0};
    struct train_early_frame none;
    EXPECT(keep(&early, 5, ALPHA, "old"));
    EXPECT(keep(&early, 7, ALPHA, "first"));
    EXPECT(keep(&early, 9, BETA, "later"));
    EXPECT(keep(&early, 7, BETA, "second"));
    expect_next(&early, 7, ALPHA, "first");
    expect_next(&early, 7, BETA, "second");
    EXPECT(!train_early_take(&early, 7, &none));
    EXPECT_EQ(early.count, 1);
    EXPECT_EQ(early.bytes, strlen("later"));
    expect_next(&early, 9, BETA, "later");
    EXPECT_EQ(early.bytes, 0);
}

TEST(what_is_beyond_the_limits_is_dropped)
{
    static uint8_t large[TRAIN_EARLY_BYTES / 2];
    struct train_early early = {.count = 0};
    struct sh_span half = {.at = large, .size = sizeof large};
    EXPECT(train_early_keep(&early, 1, ALPHA, half));
    EXPECT(train_early_keep(&early, 1, ALPHA, half));
    EXPECT(!keep(&early, 1, ALPHA, "x"));
    train_early_clear(&early);
    EXPECT_EQ(early.count, 0);
    for (uint32_t i = 0; i < TRAIN_EARLY_MAX; i++) {
        EXPECT(keep(&early, 1, ALPHA, "x"));
    }
    EXPECT(!keep(&early, 1, ALPHA, "x"));
    train_early_clear(&early);
    EXPECT_EQ(early.bytes, 0);
}
