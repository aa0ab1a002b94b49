/* SPDX-License-Identifier: Apache-2.0 */
#include "cells.h"
#include "service.h"

#include "base/host/host.h"
#include "tst.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SECOND UINT64_C(1000000)
#define JOB    UINT64_C(7)

static struct cells cells;

static struct service *add(void)
{
    return cells_add(&cells, CELLS_BLOBS | CELLS_RECORDS)->s;
}

/* What waits for the tables, as agent.c opens it. */
static void open_waiting(struct service *s)
{
    pthread_condattr_t attr;
    EXPECT_EQ(pthread_condattr_init(&attr), 0);
    EXPECT_EQ(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC), 0);
    EXPECT_EQ(pthread_cond_init(&s->applied_more, &attr), 0);
    EXPECT_EQ(pthread_condattr_destroy(&attr), 0);
    EXPECT_EQ(pthread_mutex_init(&s->lock, NULL), 0);
}

static void close_waiting(struct service *s)
{
    EXPECT_EQ(pthread_mutex_destroy(&s->lock), 0);
    EXPECT_EQ(pthread_cond_destroy(&s->applied_more), 0);
}

static void *apply_two(void *arg)
{
    struct jobs_result nothing = {0};
    service_on_applied(arg, 11, &nothing, 1);
    service_on_applied(arg, 12, &nothing, 1);
    return NULL;
}

TEST(whoever_waits_for_the_tables_wakes_when_more_is_applied)
{
    pthread_t thread;
    cells_open(&cells);
    struct service *s = add();
    open_waiting(s);
    EXPECT_EQ(service_wait_applied(s, 0, 0), 0);
    EXPECT_EQ(pthread_create(&thread, NULL, apply_two, s), 0);
    uint64_t index = 0;
    while (index < 12) {
        uint64_t before = index;
        index = service_wait_applied(s, index, 20 * SECOND);
        EXPECT(index > before);
    }
    EXPECT_EQ(pthread_join(thread, NULL), 0);
    EXPECT_EQ(service_wait_applied(s, 11, 20 * SECOND), 12); /* at once */
    EXPECT_EQ(service_wait_applied(s, 12, 1000), 12);        /* nothing came */
    close_waiting(s);
    cells_close(&cells);
}

static void *end_waits(void *arg)
{
    service_end_waits(arg);
    return NULL;
}

/* Nothing is applied any more once the loop is over: a membership change waits for it. */
TEST(nobody_waits_for_the_tables_of_an_agent_that_ends)
{
    pthread_t thread;
    cells_open(&cells);
    struct service *s = add();
    open_waiting(s);
    EXPECT(!service_is_stopping(s));
    EXPECT_EQ(pthread_create(&thread, NULL, end_waits, s), 0);
    EXPECT_EQ(service_wait_applied(s, 5, 3600 * SECOND), 0); /* and the test with it */
    EXPECT_EQ(pthread_join(thread, NULL), 0);
    EXPECT(service_is_stopping(s));
    close_waiting(s);
    cells_close(&cells);
}

TEST(a_blob_is_put_fetched_and_read_in_parts_by_its_digest)
{
    static const char TEXT[] = "the bytes of a model";
    uint8_t digest[SH_DIGEST_BYTES];
    uint8_t unknown[SH_DIGEST_BYTES] = {1};
    char part[8] = "";
    struct service_holders holders;
    uint64_t size = 0;
    size_t got = 9;
    cells_open(&cells);
    struct service *a = add();
    struct service *b = add();
    struct service *c = add();
    EXPECT_EQ(service_blob_put(a, TEXT, sizeof TEXT, 2, digest, &holders, 20 * SECOND), SH_OK);
    EXPECT_EQ(holders.count, 2);
    EXPECT_MEM(holders.ids[0], a->trust.node, SH_NODE_ID_BYTES);
    bool b_holds = memcmp(holders.ids[1], b->trust.node, SH_NODE_ID_BYTES) == 0;
    struct service *without = b_holds ? c : b;
    EXPECT_EQ(service_blob_read(without, digest, 0, part, sizeof part, &got), SH_ERR_NOT_FOUND);
    EXPECT_EQ(got, 0);
    EXPECT_EQ(service_blob_fetch(without, digest, &size, 20 * SECOND), SH_OK);
    EXPECT_EQ(size, sizeof TEXT);
    EXPECT_EQ(service_blob_read(without, digest, 4, part, 5, &got), SH_OK);
    EXPECT_EQ(got, 5);
    EXPECT_MEM(part, "bytes", 5);
    EXPECT_EQ(service_blob_read(without, digest, sizeof TEXT, part, 5, &got), SH_OK);
    EXPECT_EQ(got, 0);
    EXPECT_EQ(service_blob_fetch(a, unknown, &size, 20 * SECOND), SH_ERR_NOT_FOUND);
    cells_close(&cells);
}

TEST(what_a_session_tells_is_read_by_any_agent)
{
    static const char *const NAMES[] = {"loss", "epoch", "lr"};
    const struct service_measure told[] = {{"loss", {.step = 1, .value = 4}},
                                           {"epoch", {.step = 1, .value = 0.5}},
                                           {"loss", {.step = 2, .value = 2}}};
    struct service_newest newest[3];
    struct service_point points[4];
    struct service_log_line line;
    size_t count = 0;
    cells_open(&cells);
    struct service *a = add();
    struct service *b = add();
    service_series_append(a, JOB, told, 3);
    line = (struct service_log_line){.own = true, .text = "placed"};
    service_log_append(a, JOB, &line, 1);
    EXPECT_EQ(service_series_newest(b, JOB, NAMES, 3, newest, 20 * SECOND), SH_OK);
    EXPECT(newest[0].known && newest[1].known && !newest[2].known);
    EXPECT_EQ(newest[0].point.step, 2);
    EXPECT_EQ(newest[1].point.step, 1);
    EXPECT_EQ(service_series_read(b, JOB, "loss", 0, points, 4, &count, 20 * SECOND), SH_OK);
    EXPECT_EQ(count, 2);
    EXPECT_NEAR(points[1].value, 2.0, 0.0);
    struct service_log_want want = {.before = UINT64_MAX, .unit = SERVICE_LINE_ALL};
    EXPECT_EQ(service_log_read(b, JOB, &want, &line, 1, &count, 20 * SECOND), SH_OK);
    EXPECT_EQ(count, 1);
    EXPECT_STR(line.text, "placed");
    cells_close(&cells);
}

static enum sh_err echo(void *ctx, struct sh_span request, uint8_t *reply, size_t capacity,
                        size_t *reply_size)
{
    (void)ctx;
    *reply_size = request.size < capacity ? request.size : capacity;
    memcpy(reply, request.at, *reply_size);
    return SH_OK;
}

TEST(a_question_goes_to_the_agent_that_is_meant)
{
    uint8_t reply[8];
    size_t got = 0;
    cells_open(&cells);
    struct service *a = add();
    struct service *b = add();
    service_on_call(b, SERVICE_CALL_DATASET, echo, NULL);
    EXPECT_EQ(service_call(a, b->trust.node, SERVICE_CALL_DATASET, "four", 4, reply, sizeof reply,
                           &got, 20 * SECOND),
              SH_OK);
    EXPECT_EQ(got, 4);
    EXPECT_MEM(reply, "four", 4);
    EXPECT(service_call(b, a->trust.node, SERVICE_CALL_DATASET, "four", 4, reply, sizeof reply,
                        &got, 20 * SECOND) != SH_OK); /* nobody answers that there */
    cells_close(&cells);
}

TEST(a_command_that_cannot_be_one_is_refused_before_it_is_sent)
{
    static uint8_t large[JOBS_CMD_BYTES_MAX + 1];
    struct jobs_result result;
    cells_open(&cells);
    struct service *s = add();
    EXPECT_EQ(service_propose(s, large, 0, SECOND, &result), SH_ERR_INVALID);
    EXPECT_EQ(service_propose(s, large, sizeof large, SECOND, &result), SH_ERR_INVALID);
    cells_close(&cells);
}
