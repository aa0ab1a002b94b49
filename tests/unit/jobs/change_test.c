/* SPDX-License-Identifier: Apache-2.0 */
#include "tst.h"
#include "world.h"

TEST(changes_after_an_index_are_those_of_the_history_in_its_order)
{
    struct world w;
    struct jobs_change change[8];
    uint32_t count = 0;
    world_init(&w);
    EXPECT_EQ(world_admit(&w, 1, "newt"), SH_OK);
    EXPECT_EQ(world_train(&w, "a"), SH_OK); /* entry 2 */
    struct wire_unit unit = {.job = 2};
    EXPECT_EQ(world_noop(&w, "b", 2), SH_OK);                                  /* entry 3 */
    EXPECT_EQ(world_place(&w, unit, 1, 1), SH_OK);                             /* entry 4 */
    EXPECT_EQ(world_stop(&w, 99), SH_ERR_NOT_FOUND);                           /* changes nothing */
    EXPECT_EQ(world_commit(&w, unit, world_fence(&w, unit), 7, false), SH_OK); /* entry 6 */
    EXPECT_EQ(jobs_change_list(w.t, 0, change, SH_COUNT(change), &count), SH_OK);
    EXPECT_EQ(count, 4);
    EXPECT_EQ(change[0].index, 2);
    EXPECT_EQ(change[1].index, 3);
    EXPECT_EQ(change[1].units_in[JOBS_WAITING], 2);
    EXPECT_EQ(change[2].index, 4);
    EXPECT_EQ(change[3].index, 6);
    EXPECT_EQ(change[3].job, 2);
    EXPECT_EQ(change[3].seq, 2);
    EXPECT_EQ(change[3].job_state, JOBS_COMPLETED);
    EXPECT_EQ(change[3].cause, WIRE_CAUSE_COMMITTED);
    EXPECT_EQ(change[3].units_in[JOBS_COMPLETED], 1);
    EXPECT_EQ(jobs_change_list(w.t, 2, change, 1, &count), SH_OK);
    EXPECT_EQ(count, 1);
    EXPECT_EQ(change[0].index, 3);
    EXPECT_EQ(jobs_change_list(w.t, 6, change, SH_COUNT(change), &count), SH_OK);
    EXPECT_EQ(count, 0);
    EXPECT_EQ(jobs_change_list(w.t, 700, change, SH_COUNT(change), &count), SH_OK);
    EXPECT_EQ(count, 0);
    jobs_check(w.core, w.t);
    world_free(&w);
}

TEST(changes_out_of_the_window_are_forgotten_and_asking_for_them_says_so)
{
    struct world w;
    struct jobs_change change[2];
    uint32_t count = 0;
    world_init(&w);
    EXPECT_EQ(world_admit(&w, 1, "newt"), SH_OK);
    EXPECT_EQ(world_train(&w, "a"), SH_OK); /* entry 2 */
    EXPECT_EQ(world_train(&w, "b"), SH_OK); /* entry 3 */
    uint32_t rows = (uint32_t)w.rows.count;
    w.index = JOBS_WATCH_MAX + 1; /* entries of other kinds lay between */
    EXPECT_EQ(world_admit(&w, 1, "newt"), SH_OK);
    EXPECT_EQ(w.index, JOBS_WATCH_MAX + 2);
    EXPECT_EQ(w.rows.count, rows - 1);
    EXPECT_EQ(jobs_change_list(w.t, 1, change, 2, &count), SH_ERR_GONE);
    EXPECT_EQ(jobs_change_list(w.t, 2, change, 2, &count), SH_OK);
    EXPECT_EQ(count, 1);
    EXPECT_EQ(change[0].index, 3);
    w.index = 3 * JOBS_WATCH_MAX;
    EXPECT_EQ(world_admit(&w, 1, "newt"), SH_OK);
    EXPECT_EQ(w.rows.count, rows - 2);
    EXPECT_EQ(jobs_change_list(w.t, 2, change, 2, &count), SH_ERR_GONE);
    EXPECT_EQ(jobs_change_list(w.t, w.index, change, 2, &count), SH_OK);
    EXPECT_EQ(count, 0);
    jobs_check(w.core, w.t);
    world_free(&w);
}
