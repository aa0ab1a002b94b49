/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys of rows: none hides behind another. */
#include "jobs/row.h"
#include "tst.h"

#include <string.h>

TEST(no_key_of_a_name_is_the_beginning_of_anothers)
{
    uint8_t node[SH_NODE_ID_BYTES];
    memset(node, 'b', sizeof node);
    struct jobs_row_key keys[] = {jobs_row_holder("a", NULL), jobs_row_holder("ab", NULL),
                                  jobs_row_holder("a", node)};
    EXPECT_EQ(keys[0].size, 3);
    EXPECT_EQ(keys[2].size, 3 + SH_NODE_ID_BYTES);
    EXPECT(memcmp(keys[0].at, keys[1].at, keys[0].size) != 0);
    EXPECT(memcmp(keys[0].at, keys[2].at, keys[0].size) == 0);
    struct jobs_row_key model = jobs_row_model("a", 0x62006263);
    struct jobs_row_key other = jobs_row_model("ab", 0);
    EXPECT(memcmp(model.at, other.at, 3) != 0);
    EXPECT_EQ(model.size, 2 + 1 + 4);
    for (uint32_t state = 0; state + 1 < JOBS_STATE_COUNT; state++) {
        struct jobs_row_key low = jobs_row_state((enum jobs_state)state);
        struct jobs_row_key next = jobs_row_state((enum jobs_state)(state + 1));
        struct jobs_row_key beyond = jobs_row_beyond(&low);
        EXPECT(low.size == 2 && beyond.size == 2);
        EXPECT_MEM(beyond.at, next.at, 2);
    }
}

TEST(beyond_a_key_of_largest_bytes_comes_the_next_of_what_is_before_them)
{
    struct jobs_row_key key = jobs_row_u64('j', UINT64_MAX);
    struct jobs_row_key beyond = jobs_row_beyond(&key);
    EXPECT(beyond.size == 1 && beyond.at[0] == 'k');
    key = jobs_row_u64('j', 0x1ff);
    beyond = jobs_row_beyond(&key);
    EXPECT_EQ(beyond.size, 8);
    EXPECT_EQ(beyond.at[7], 2);
    struct jobs_row_key past = jobs_row_past(jobs_row_span(&key));
    EXPECT(past.size == key.size + 1 && past.at[key.size] == 0);
    EXPECT_MEM(past.at, key.at, key.size);
}
