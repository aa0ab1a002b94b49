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
    EXPECT_EQ(jobs_change_list(w.t, 4, change, SH_COUNT(change), &count), SH_OK);
    EXPECT_EQ(count, 1);
    EXPECT_EQ(change[0].index, 6);
    EXPECT_EQ(jobs_change_list(w.t, 6, change, SH_COUNT(change), &count), SH_OK);
    EXPECT_EQ(count, 0);
    EXPECT_EQ(jobs_change_list(w.t, 700, change, SH_COUNT(change), &count), SH_OK);
    EXPECT_EQ(count, 0);
    jobs_check(w.core, w.t);
    world_free(&w);
}

TEST(the_first_change_of_a_job_is_that_of_its_submission_whatever_came_after)
{
    struct world w;
    struct jobs_change change;
    uint32_t count = 0;
    world_init(&w);
    EXPECT_EQ(world_admit(&w, 1, "newt"), SH_OK);
    w.now_us += 5;
    EXPECT_EQ(world_noop(&w, "a", 3), SH_OK);
    struct wire_unit unit = w.result.unit;
    uint64_t stamp_us = w.result.stamp_us;
    w.now_us += 5;
    EXPECT_EQ(world_place(&w, unit, 1, 1), SH_OK);
    EXPECT_EQ(world_stop(&w, unit.job), SH_OK);
    EXPECT_EQ(jobs_change_list(w.t, 0, &change, 1, &count), SH_OK);
    EXPECT_EQ(count, 1);
    EXPECT_EQ(change.index, unit.job);
    EXPECT_EQ(change.job, unit.job);
    EXPECT_EQ(change.seq, 0);
    EXPECT_EQ(change.unit, JOBS_EVENT_ALL_UNITS);
    EXPECT_EQ(change.stamp_us, stamp_us);
    EXPECT_EQ(change.cause, WIRE_CAUSE_SUBMITTED);
    EXPECT_EQ(change.unit_state, JOBS_WAITING);
    EXPECT_EQ(change.job_state, JOBS_WAITING);
    EXPECT_EQ(change.units_in[JOBS_WAITING], 3);
    struct jobs_event event;
    EXPECT_EQ(jobs_history_list(w.t, unit.job, 0, &event, 1, &count), SH_OK);
    EXPECT_EQ(count, 1);
    EXPECT_EQ(event.seq, 0);
    EXPECT_EQ(event.index, unit.job);
    EXPECT_EQ(event.stamp_us, stamp_us);
    EXPECT_EQ(event.cause, WIRE_CAUSE_SUBMITTED);
    EXPECT_EQ(event.unit, JOBS_EVENT_ALL_UNITS);
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
    w.index = 254;
    EXPECT_EQ(world_place(&w, (struct wire_unit){.job = 2}, 1, 1), SH_OK); /* entry 255 */
    EXPECT_EQ(world_place(&w, (struct wire_unit){.job = 3}, 1, 1), SH_OK); /* entry 256 */
    uint32_t rows = (uint32_t)w.rows.count;
    w.index = JOBS_WATCH_MAX + 253; /* entries of other kinds lay between */
    EXPECT_EQ(world_admit(&w, 1, "newt"), SH_OK);
    EXPECT_EQ(w.rows.count, rows); /* they go in strides of 256 */
    EXPECT_EQ(jobs_change_list(w.t, 254, change, 2, &count), SH_OK);
    EXPECT_EQ(count, 2);
    EXPECT_EQ(world_admit(&w, 1, "newt"), SH_OK);
    EXPECT_EQ(w.index, JOBS_WATCH_MAX + 255);
    EXPECT_EQ(w.rows.count, rows - 1);
    EXPECT_EQ(jobs_change_list(w.t, 254, change, 2, &count), SH_ERR_GONE);
    EXPECT_EQ(jobs_change_list(w.t, 255, change, 2, &count), SH_OK);
    EXPECT_EQ(count, 1);
    EXPECT_EQ(change[0].index, 256);
    w.index = 3 * JOBS_WATCH_MAX;
    EXPECT_EQ(world_admit(&w, 1, "newt"), SH_OK);
    EXPECT_EQ(w.rows.count, rows - 2);
    EXPECT_EQ(jobs_change_list(w.t, 255, change, 2, &count), SH_ERR_GONE);
    EXPECT_EQ(jobs_change_list(w.t, w.index, change, 2, &count), SH_OK);
    EXPECT_EQ(count, 0);
    jobs_check(w.core, w.t);
    world_free(&w);
}
