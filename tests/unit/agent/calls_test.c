/* SPDX-License-Identifier: Apache-2.0 */
#include "cells.h"

#include "base/host/host.h"
#include "tst.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SECOND UINT64_C(1000000)

enum { ECHO = SERVICE_CALL_SERIES, HOLD = SERVICE_CALL_DATASET };

static struct cells cells;

struct gate { /* holds the functions that pass it until it is opened */
    pthread_mutex_t lock;
    pthread_cond_t moved;
    unsigned inside;
    bool open;
    pthread_t last; /* thread of the newest one */
};

static struct gate gate;

static enum sh_err echo(void *ctx, struct sh_span request, uint8_t *reply, size_t capacity,
                        size_t *reply_size)
{
    struct gate *g = ctx;
    SH_CHECK(pthread_mutex_lock(&g->lock) == 0);
    g->last = pthread_self();
    SH_CHECK(pthread_mutex_unlock(&g->lock) == 0);
    if (request.size > capacity) {
        return SH_ERR_LIMIT;
    }
    if (request.size == 1) {
        return (enum sh_err)request.at[0];
    }
    if (request.size > 0) {
        memcpy(reply, request.at, request.size);
    }
    *reply_size = request.size;
    return SH_OK;
}

static enum sh_err hold(void *ctx, struct sh_span request, uint8_t *reply, size_t capacity,
                        size_t *reply_size)
{
    struct gate *g = ctx;
    (void)request;
    (void)reply;
    (void)capacity;
    *reply_size = 0;
    SH_CHECK(pthread_mutex_lock(&g->lock) == 0);
    g->inside++;
    SH_CHECK(pthread_cond_broadcast(&g->moved) == 0);
    while (!g->open) {
        SH_CHECK(pthread_cond_wait(&g->moved, &g->lock) == 0);
    }
    SH_CHECK(pthread_mutex_unlock(&g->lock) == 0);
    return SH_OK;
}

static void await_inside(unsigned count)
{
    EXPECT_EQ(pthread_mutex_lock(&gate.lock), 0);
    while (gate.inside < count) {
        EXPECT_EQ(pthread_cond_wait(&gate.moved, &gate.lock), 0);
    }
    EXPECT_EQ(pthread_mutex_unlock(&gate.lock), 0);
}

static void open_gate(void)
{
    EXPECT_EQ(pthread_mutex_lock(&gate.lock), 0);
    gate.open = true;
    EXPECT_EQ(pthread_cond_broadcast(&gate.moved), 0);
    EXPECT_EQ(pthread_mutex_unlock(&gate.lock), 0);
}

static void open_two(void)
{
    EXPECT_EQ(pthread_mutex_init(&gate.lock, NULL), 0);
    EXPECT_EQ(pthread_cond_init(&gate.moved, NULL), 0);
    cells_open(&cells);
    for (size_t i = 0; i < 2; i++) {
        struct calls *calls = cells_add(&cells, 0)->s->calls;
        calls_on(calls, (enum service_call_kind)ECHO, echo, &gate);
        calls_on(calls, (enum service_call_kind)HOLD, hold, &gate);
    }
}

static enum sh_err ask(enum calls_plane plane, int kind, size_t to, const void *bytes, size_t size,
                       uint8_t *reply, size_t capacity, size_t *got, uint64_t timeout_us)
{
    return calls_ask(cells.at[0].s->calls, plane, cells_id(&cells.at[to]),
                     (enum service_call_kind)kind, bytes, size, reply, capacity, got, timeout_us);
}

TEST(a_question_is_answered_by_the_function_of_its_kind_on_either_plane)
{
    uint8_t reply[16];
    size_t got = 0;
    open_two();
    for (int plane = CALLS_CONTROL; plane <= CALLS_BULK; plane++) {
        EXPECT_EQ(ask((enum calls_plane)plane, ECHO, 1, "hello", 5, reply, sizeof reply, &got,
                      5 * SECOND),
                  SH_OK);
        EXPECT_EQ(got, 5);
        EXPECT_MEM(reply, "hello", 5);
    }
    EXPECT_EQ(ask(CALLS_CONTROL, ECHO, 1, "", 0, reply, 0, &got, 5 * SECOND), SH_OK);
    EXPECT_EQ(got, 0);
    cells_close(&cells);
}

TEST(an_error_of_the_function_arrives_as_it_is_and_without_bytes)
{
    static const uint8_t codes[] = {SH_ERR_NOT_FOUND, SH_ERR_STALE, SH_ERR_TIMEOUT, 250};
    uint8_t reply[4];
    size_t got = 9;
    open_two();
    for (size_t i = 0; i < 3; i++) {
        EXPECT_EQ(ask(CALLS_CONTROL, ECHO, 1, &codes[i], 1, reply, 4, &got, 5 * SECOND), codes[i]);
        EXPECT_EQ(got, 0);
    }
    EXPECT_EQ(ask(CALLS_CONTROL, ECHO, 1, &codes[3], 1, reply, 4, &got, 5 * SECOND),
              SH_ERR_INVALID);
    EXPECT_EQ(ask(CALLS_CONTROL, SERVICE_CALL_WHY, 1, "", 0, reply, 4, &got, 5 * SECOND),
              SH_ERR_UNSUPPORTED);
    EXPECT_EQ(ask(CALLS_CONTROL, 200, 1, "", 0, reply, 4, &got, 5 * SECOND), SH_ERR_UNSUPPORTED);
    cells_close(&cells);
}

TEST(a_question_to_this_agent_itself_runs_on_the_callers_thread)
{
    uint8_t reply[8];
    size_t got = 0;
    open_two();
    EXPECT_EQ(ask(CALLS_BULK, ECHO, 0, "self", 4, reply, 8, &got, 0), SH_OK);
    EXPECT_EQ(got, 4);
    EXPECT(pthread_equal(gate.last, pthread_self()));
    EXPECT_EQ(cells_frames(&cells, CALLS_REQUEST), 0);
    cells_close(&cells);
}

TEST(an_answer_larger_than_the_caller_can_take_is_refused_whole)
{
    uint8_t reply[4] = {1, 1, 1, 1};
    size_t got = 0;
    open_two();
    EXPECT_EQ(ask(CALLS_CONTROL, ECHO, 1, "12345", 5, reply, 4, &got, 5 * SECOND), SH_ERR_LIMIT);
    EXPECT_EQ(reply[0], 1);
    cells_close(&cells);
}

TEST(a_question_larger_than_its_plane_takes_is_refused_before_it_leaves)
{
    uint8_t reply[4];
    size_t got = 0;
    uint8_t *large = calloc(1, CALLS_REQUEST_MAX + 1);
    EXPECT(large != NULL);
    open_two();
    EXPECT_EQ(ask(CALLS_CONTROL, ECHO, 1, large, CALLS_REQUEST_MAX + 1, reply, 4, &got, SECOND),
              SH_ERR_LIMIT);
    EXPECT_EQ(ask(CALLS_BULK, ECHO, 1, large, CALLS_BULK_MAX + 1, reply, 4, &got, SECOND),
              SH_ERR_LIMIT);
    EXPECT_EQ(cells_frames(&cells, CALLS_REQUEST), 0);
    free(large);
    cells_close(&cells);
}

TEST(a_question_that_nobody_answers_ends_at_its_deadline)
{
    uint8_t reply[4];
    size_t got = 0;
    open_two();
    cells_wire_of(&cells.at[1], CELLS_SWALLOW);
    uint64_t before = sh_now_us();
    EXPECT_EQ(ask(CALLS_CONTROL, ECHO, 1, "x?", 2, reply, 4, &got, 30000), SH_ERR_TIMEOUT);
    uint64_t took = sh_now_us() - before;
    EXPECT(took >= 30000 && took < 5 * SECOND);
    cells_close(&cells);
}

TEST(a_late_answer_touches_nothing)
{
    uint8_t *reply = malloc(2);
    size_t got = 0;
    EXPECT(reply != NULL);
    open_two();
    EXPECT_EQ(ask(CALLS_CONTROL, HOLD, 1, "", 0, reply, 2, &got, 1000), SH_ERR_TIMEOUT);
    free(reply);
    open_gate();
    EXPECT(cells_await(&cells, CALLS_REPLY, 1));
    cells_close(&cells);
}

struct asker {
    pthread_t thread;
    uint64_t timeout_us;
    enum calls_plane plane;
    enum sh_err err;
};

static void *ask_hold(void *arg)
{
    struct asker *a = arg;
    uint8_t reply[4];
    size_t got = 0;
    a->err = ask(a->plane, HOLD, 1, "", 0, reply, sizeof reply, &got, a->timeout_us);
    return NULL;
}

static void begin(struct asker *a, enum calls_plane plane, uint64_t timeout_us)
{
    *a = (struct asker){.timeout_us = timeout_us, .plane = plane};
    EXPECT_EQ(pthread_create(&a->thread, NULL, ask_hold, a), 0);
}

static enum sh_err end(struct asker *a)
{
    EXPECT_EQ(pthread_join(a->thread, NULL), 0);
    return a->err;
}

TEST(a_broken_connection_ends_the_questions_on_its_plane_to_that_agent_only)
{
    struct asker control;
    struct asker bulk;
    uint8_t stranger[SH_NODE_ID_BYTES] = {77};
    open_two();
    begin(&control, CALLS_CONTROL, 30 * SECOND);
    begin(&bulk, CALLS_BULK, 30 * SECOND);
    await_inside(2);
    calls_peer_down(cells.at[0].s->calls, CALLS_CONTROL, stranger);
    calls_peer_down(cells.at[0].s->calls, CALLS_BULK, cells_id(&cells.at[1]));
    EXPECT_EQ(end(&bulk), SH_ERR_UNREACHABLE);
    open_gate();
    EXPECT_EQ(end(&control), SH_OK);
    cells_close(&cells);
}

TEST(stopping_ends_who_waits_and_refuses_who_comes)
{
    struct asker a;
    uint8_t reply[4];
    size_t got = 0;
    open_two();
    begin(&a, CALLS_CONTROL, 30 * SECOND);
    await_inside(1);
    EXPECT(!calls_stopped(cells.at[0].s->calls));
    calls_stop(cells.at[0].s->calls);
    EXPECT_EQ(end(&a), SH_ERR_CANCELLED);
    EXPECT(calls_stopped(cells.at[0].s->calls));
    EXPECT_EQ(ask(CALLS_CONTROL, ECHO, 1, "ab", 2, reply, 4, &got, SECOND), SH_ERR_CANCELLED);
    open_gate();
    cells_close(&cells);
}

TEST(questions_under_way_are_bounded)
{
    static struct asker askers[CALLS_WAITING_MAX];
    uint8_t reply[4];
    size_t got = 0;
    open_two();
    for (size_t i = 0; i < CALLS_WAITING_MAX; i++) {
        begin(&askers[i], CALLS_CONTROL, 30 * SECOND);
    }
    EXPECT(cells_await(&cells, CALLS_REQUEST, CALLS_WAITING_MAX));
    EXPECT_EQ(ask(CALLS_BULK, ECHO, 1, "ab", 2, reply, 4, &got, SECOND), SH_ERR_FULL);
    open_gate();
    for (size_t i = 0; i < CALLS_WAITING_MAX; i++) {
        EXPECT_EQ(end(&askers[i]), SH_OK);
    }
    EXPECT_EQ(ask(CALLS_BULK, ECHO, 1, "ab", 2, reply, 4, &got, 5 * SECOND), SH_OK);
    cells_close(&cells);
}

/* A request frame of the second cell, handed to the first without being asked through calls. */
static void receive_request(uint64_t id, int kind, const uint8_t *bytes, size_t size)
{
    uint8_t *frame = malloc(9 + size);
    EXPECT(frame != NULL);
    struct sh_writer w = sh_writer_over(frame, 9 + size);
    sh_put_u64(&w, id);
    sh_put_u8(&w, (uint8_t)kind);
    sh_put_bytes(&w, bytes, size);
    calls_receive(cells.at[0].s->calls, CALLS_CONTROL, cells_id(&cells.at[1]), CALLS_REQUEST,
                  (struct sh_span){.at = frame, .size = w.used});
    free(frame);
}

TEST(questions_of_others_are_bounded_in_number_and_the_rest_is_answered_full)
{
    open_two();
    for (uint64_t i = 0; i < CALLS_WORKERS; i++) {
        receive_request(1000 + i, HOLD, NULL, 0);
    }
    await_inside(CALLS_WORKERS);
    for (uint64_t i = 0; i < CALLS_QUEUE_MAX; i++) {
        receive_request(2000 + i, HOLD, NULL, 0);
    }
    EXPECT_EQ(cells_frames(&cells, CALLS_REPLY), 0);
    receive_request(3000, HOLD, NULL, 0);
    EXPECT_EQ(cells_frames(&cells, CALLS_REPLY), 1);
    open_gate();
    EXPECT(cells_await(&cells, CALLS_REPLY, 1 + CALLS_WORKERS + CALLS_QUEUE_MAX));
    cells_close(&cells);
}

TEST(questions_of_others_are_bounded_in_bytes)
{
    static uint8_t bytes[CALLS_REQUEST_MAX];
    unsigned fit = CALLS_QUEUE_BYTES_MAX / CALLS_REQUEST_MAX;
    open_two();
    for (uint64_t i = 0; i < fit; i++) {
        receive_request(1000 + i, HOLD, bytes, sizeof bytes);
    }
    EXPECT_EQ(cells_frames(&cells, CALLS_REPLY), 0);
    receive_request(2000, HOLD, bytes, 1);
    EXPECT_EQ(cells_frames(&cells, CALLS_REPLY), 1);
    open_gate();
    EXPECT(cells_await(&cells, CALLS_REPLY, 1 + fit));
    receive_request(2001, HOLD, bytes, 1);
    EXPECT(cells_await(&cells, CALLS_REPLY, 2 + fit));
    cells_close(&cells);
}

TEST(an_agent_that_stops_drops_the_questions_that_wait)
{
    open_two();
    for (uint64_t i = 0; i < CALLS_WORKERS; i++) {
        receive_request(1 + i, HOLD, NULL, 0);
    }
    await_inside(CALLS_WORKERS);
    for (uint64_t i = 0; i < 50; i++) {
        receive_request(100 + i, HOLD, (const uint8_t *)"bytes", 5);
    }
    open_gate();
    cells_stop(&cells.at[0]);
    cells_close(&cells);
}

static void receive_reply(size_t from, uint64_t id, uint32_t err, size_t size)
{
    uint8_t frame[64] = {0};
    struct sh_writer w = sh_writer_over(frame, sizeof frame);
    sh_put_u64(&w, id);
    sh_put_u32(&w, err);
    calls_receive(cells.at[0].s->calls, CALLS_CONTROL, cells_id(&cells.at[from]), CALLS_REPLY,
                  (struct sh_span){.at = frame, .size = size});
}

TEST(forged_and_damaged_answers_are_not_taken)
{
    struct asker a;
    open_two();
    (void)cells_add(&cells, 0);
    begin(&a, CALLS_CONTROL, 30 * SECOND);
    await_inside(1);
    for (uint64_t id = 0; id < 8; id++) {
        receive_reply(2, id, SH_ERR_DENIED, 12); /* of an agent that was not asked */
        receive_reply(1, id + 100, SH_ERR_DENIED, 12);
        receive_reply(1, id, SH_ERR_DENIED, 11); /* cut short */
        receive_reply(1, id, SH_ERR_DENIED, 0);
    }
    receive_reply(1, 0, SH_ERR_DENIED, 12); /* no question has the number 0 */
    open_gate();
    EXPECT_EQ(end(&a), SH_OK);
    cells_close(&cells);
}

TEST(damaged_questions_are_dropped)
{
    static const uint8_t bytes[9] = {0};
    open_two();
    for (size_t size = 0; size < sizeof bytes; size++) {
        calls_receive(cells.at[0].s->calls, CALLS_CONTROL, cells_id(&cells.at[1]), CALLS_REQUEST,
                      (struct sh_span){.at = bytes, .size = size});
    }
    EXPECT_EQ(cells_frames(&cells, CALLS_REPLY), 0);
    receive_request(5, 255, NULL, 0);
    EXPECT(cells_await(&cells, CALLS_REPLY, 1));
    cells_close(&cells);
}

static void *ask_until_known(void *arg)
{
    uint8_t reply[16];
    size_t got = 0;
    enum sh_err err = SH_ERR_UNSUPPORTED;
    struct cell *asker = arg;
    while (err == SH_ERR_UNSUPPORTED) {
        err = calls_ask(asker->s->calls, CALLS_CONTROL, cells_id(&cells.at[1]), SERVICE_CALL_SERIES,
                        "ab", 2, reply, sizeof reply, &got, 10 * SECOND);
    }
    EXPECT_EQ(err, SH_OK);
    EXPECT_EQ(got, 2);
    return NULL;
}

TEST(a_question_may_come_before_the_part_that_answers_it_is_there)
{
    pthread_t thread;
    EXPECT_EQ(pthread_mutex_init(&gate.lock, NULL), 0);
    cells_open(&cells);
    struct cell *asker = cells_add(&cells, 0);
    struct cell *asked = cells_add(&cells, 0);
    EXPECT_EQ(pthread_create(&thread, NULL, ask_until_known, asker), 0);
    EXPECT(cells_await(&cells, CALLS_REPLY, 1));
    calls_on(asked->s->calls, SERVICE_CALL_SERIES, echo, &gate);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
    cells_close(&cells);
}

static enum sh_err post_nowhere(void *ctx, enum calls_plane plane,
                                const uint8_t node[SH_NODE_ID_BYTES], enum calls_frame frame,
                                const void *bytes, size_t size)
{
    (void)ctx;
    (void)plane;
    (void)node;
    (void)frame;
    (void)bytes;
    (void)size;
    return SH_ERR_FULL;
}

TEST(a_question_that_cannot_leave_ends_at_once_and_keeps_no_place)
{
    struct calls *calls = NULL;
    struct calls_config config = {.post = post_nowhere};
    const uint8_t node[SH_NODE_ID_BYTES] = {7};
    uint8_t reply[8];
    size_t got = 0;
    sh_host_init();
    EXPECT_EQ(calls_open(&calls, &config), SH_OK);
    for (unsigned i = 0; i < 2 * CALLS_WAITING_MAX; i++) {
        EXPECT_EQ(calls_ask(calls, CALLS_BULK, node, SERVICE_CALL_BLOB, "x", 1, reply, sizeof reply,
                            &got, 100 * SECOND),
                  SH_ERR_FULL);
    }
    calls_peer_down(calls, CALLS_BULK, node);
    calls_stop(calls);
    EXPECT_EQ(calls_ask(calls, CALLS_BULK, node, SERVICE_CALL_BLOB, "x", 1, reply, sizeof reply,
                        &got, 100 * SECOND),
              SH_ERR_CANCELLED);
    calls_close(calls);
}
