/* SPDX-License-Identifier: Apache-2.0 */
#include "cells.h"
#include "planner.h"

#include "base/host/host.h"
#include "tst.h"

static struct cells cells;

static struct planner *fresh(void)
{
    struct planner *p = NULL;
    cells_open(&cells);
    EXPECT_EQ(planner_open(&p, cells_add(&cells, 0)->s), SH_OK);
    return p;
}

TEST(an_agent_that_does_not_lead_answers_no_question_for_the_coordinator)
{
    uint8_t request[128] = {0};
    uint8_t reply[512];
    size_t got = 0;
    struct planner *p = fresh();
    struct wire_unit unit = {.job = 3};
    struct wire_fence fence = {.term = 1, .index = 5};
    struct sh_writer w = sh_writer_over(request, sizeof request);
    wire_unit_put(&w, unit);
    wire_fence_put(&w, fence);
    w.used += 2 * SH_NODE_ID_BYTES;
    EXPECT_EQ(cells_ask(&cells.at[0], SERVICE_CALL_LOST, request, w.used, reply, 512, &got),
              SH_ERR_NOT_LEADER);
    EXPECT_EQ(cells_ask(&cells.at[0], SERVICE_CALL_WHY, request, 8, reply, 512, &got),
              SH_ERR_NOT_LEADER);
    for (size_t size = 0; size < w.used; size++) {
        EXPECT_EQ(cells_ask(&cells.at[0], SERVICE_CALL_LOST, request, size, reply, 512, &got),
                  SH_ERR_CORRUPT);
    }
    for (size_t size = 0; size < 8; size++) {
        EXPECT_EQ(cells_ask(&cells.at[0], SERVICE_CALL_WHY, request, size, reply, 512, &got),
                  SH_ERR_CORRUPT);
    }
    planner_stop(p);
    planner_close(p);
    cells_close(&cells);
}

TEST(a_planner_that_never_started_is_stopped_and_closed)
{
    struct planner *p = fresh();
    planner_wake(p);
    planner_stop(p);
    planner_stop(p);
    planner_close(p);
    cells_close(&cells);
}
