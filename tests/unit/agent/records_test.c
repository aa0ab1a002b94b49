/* SPDX-License-Identifier: Apache-2.0 */
#include "cells.h"
#include "records.h"

#include "base/host/host.h"
#include "store/kv_mem.h"
#include "tst.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND UINT64_C(1000000)
#define JOB    UINT64_C(42)

enum { OP_PUT = 1, OP_GET = 2, OP_NEWEST = 3 };

static struct cells cells;
static struct service_point points[2 * RECORDS_PAGE_MAX + 100];
static struct service_log_line lines[RECORDS_LINES_MAX + 100];

static void open_cells(size_t count)
{
    cells_open(&cells);
    for (size_t i = 0; i < count; i++) {
        (void)cells_add(&cells, CELLS_RECORDS);
    }
}

static struct records *records_of(size_t i)
{
    return cells.at[i].s->records;
}

/* Points with steps [from, to), value and time as given, in the store of one cell only. */
static void store_points(size_t cell, uint64_t from, uint64_t to, double value, uint64_t wall_us)
{
    struct kv_batch batch;
    kv_batch_init(&batch);
    for (uint64_t step = from; step < to; step++) {
        struct series_point p = {.step = step, .value = value, .wall_us = wall_us};
        series_put_point(&cells.at[cell].s->series, &batch, JOB, "loss", &p);
    }
    EXPECT_EQ(kv_write(cells.at[cell].s->bulk_kv, &batch, false), SH_OK);
    kv_batch_fini(&batch);
}

static const struct service_log_want ALL = {.before = UINT64_MAX, .unit = SERVICE_LINE_ALL};

/* As records_lines.c keeps them: generation, unit, member, own, text. */
static void store_line(size_t cell, uint64_t sequence, uint32_t unit, const char *text)
{
    struct kv_batch batch;
    uint8_t bytes[64];
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    sh_put_u64(&w, 7);
    sh_put_u32(&w, unit);
    sh_put_u16(&w, 0);
    sh_put_u8(&w, 1);
    sh_put_bytes(&w, text, strlen(text));
    struct series_row row = {.seq = sequence, .text = {.at = bytes, .size = w.used}};
    kv_batch_init(&batch);
    series_put_line(&cells.at[cell].s->series, &batch, JOB, &row);
    EXPECT_EQ(kv_write(cells.at[cell].s->bulk_kv, &batch, false), SH_OK);
    kv_batch_fini(&batch);
}

static size_t read_points(size_t cell, uint64_t from, size_t capacity)
{
    size_t count = 99;
    EXPECT(capacity <= SH_COUNT(points));
    EXPECT_EQ(records_read_points(records_of(cell), JOB, "loss", from, points, capacity, &count,
                                  5 * SECOND),
              SH_OK);
    return count;
}

TEST(points_of_several_agents_are_merged_by_step_and_the_newest_wins)
{
    open_cells(3);
    store_points(0, 0, 6, 1, 100);
    store_points(1, 4, 9, 2, 200);
    store_points(2, 5, 6, 3, 150);
    EXPECT_EQ(read_points(0, 0, 100), 9);
    for (size_t i = 0; i < 9; i++) {
        EXPECT_EQ(points[i].step, i);
        EXPECT_NEAR(points[i].value, i < 4 ? 1.0 : 2.0, 0.0);
    }
    EXPECT_EQ(read_points(2, 3, 100), 6);
    EXPECT_EQ(points[0].step, 3);
    EXPECT_EQ(read_points(2, 0, 5), 5);
    EXPECT_EQ(points[4].step, 4);
    EXPECT_EQ(read_points(1, 0, 0), 0);
    EXPECT_EQ(read_points(1, 9, 100), 0);
    cells_close(&cells);
}

TEST(more_points_than_one_answer_carries_are_read_without_a_gap)
{
    open_cells(2);
    store_points(0, 0, RECORDS_PAGE_MAX + 50, 1, 100);
    store_points(1, RECORDS_PAGE_MAX + 20, 2 * RECORDS_PAGE_MAX + 60, 2, 200);
    EXPECT_EQ(read_points(1, 0, SH_COUNT(points)), 2 * RECORDS_PAGE_MAX + 60);
    for (size_t i = 0; i < 2 * RECORDS_PAGE_MAX + 60; i++) {
        EXPECT_EQ(points[i].step, i);
    }
    cells_close(&cells);
}

TEST(a_point_at_the_last_step_of_all_ends_the_reading)
{
    open_cells(1);
    store_points(0, UINT64_MAX - 1, UINT64_MAX, 1, 1);
    struct kv_batch batch;
    struct series_point p = {.step = UINT64_MAX};
    kv_batch_init(&batch);
    series_put_point(&cells.at[0].s->series, &batch, JOB, "loss", &p);
    EXPECT_EQ(kv_write(cells.at[0].s->bulk_kv, &batch, false), SH_OK);
    kv_batch_fini(&batch);
    EXPECT_EQ(read_points(0, 0, 2), 2);
    cells_close(&cells);
}

TEST(lines_of_several_agents_are_merged_in_their_order)
{
    size_t count = 0;
    char text[32];
    open_cells(2);
    for (uint64_t i = 0; i < RECORDS_LINES_MAX + 50; i++) {
        (void)snprintf(text, sizeof text, "line %llu", (unsigned long long)i);
        store_line((size_t)(i % 2), i, (uint32_t)(i % 5), text);
        if (i % 3 == 0) {
            store_line((size_t)(1 - i % 2), i, (uint32_t)(i % 5), text);
        }
    }
    EXPECT_EQ(
        records_read_lines(records_of(0), JOB, &ALL, lines, SH_COUNT(lines), &count, 5 * SECOND),
        SH_OK);
    EXPECT_EQ(count, RECORDS_LINES_MAX + 50);
    for (uint64_t i = 0; i < count; i++) {
        (void)snprintf(text, sizeof text, "line %llu", (unsigned long long)i);
        EXPECT_EQ(lines[i].sequence, i);
        EXPECT_STR(lines[i].text, text);
    }
    struct service_log_want want = ALL;
    want.from = 200;
    EXPECT_EQ(records_read_lines(records_of(1), JOB, &want, lines, 10, &count, 5 * SECOND), SH_OK);
    EXPECT_EQ(count, 10);
    EXPECT_EQ(lines[0].sequence, 200);
    cells_close(&cells);
}

TEST(the_newest_lines_of_one_unit_are_found_from_the_end)
{
    enum { COUNT = 4 * RECORDS_LINES_MAX };
    size_t count = 0;
    char text[32];
    open_cells(2);
    for (uint64_t i = 0; i < COUNT; i++) {
        (void)snprintf(text, sizeof text, "line %llu", (unsigned long long)i);
        store_line((size_t)(i % 2), i, (uint32_t)(i % 4), text);
    }
    struct service_log_want want = {.before = UINT64_MAX, .newest = true, .unit = 3};
    EXPECT_EQ(records_read_lines(records_of(0), JOB, &want, lines, 100, &count, 5 * SECOND), SH_OK);
    EXPECT_EQ(count, 100);
    for (uint64_t i = 0; i < count; i++) {
        EXPECT_EQ(lines[i].sequence, COUNT - 1 - 4 * (99 - i));
        EXPECT_EQ(lines[i].unit, 3);
    }
    /* More than one page, and not more than there are. */
    want.unit = SERVICE_LINE_ALL;
    want.from = COUNT - RECORDS_LINES_MAX - 50;
    EXPECT_EQ(
        records_read_lines(records_of(1), JOB, &want, lines, SH_COUNT(lines), &count, 5 * SECOND),
        SH_OK);
    EXPECT_EQ(count, RECORDS_LINES_MAX + 50);
    EXPECT_EQ(lines[0].sequence, want.from);
    EXPECT_EQ(lines[count - 1].sequence, COUNT - 1);
    want.generation = 8; /* nobody's */
    EXPECT_EQ(records_read_lines(records_of(1), JOB, &want, lines, 10, &count, 5 * SECOND), SH_OK);
    EXPECT_EQ(count, 0);
    cells_close(&cells);
}

TEST(the_series_of_a_job_are_those_of_all_agents)
{
    struct service_series_name names[4];
    struct service_measure m = {"loss", {.step = 3, .value = 0.25}};
    size_t count = 0;
    open_cells(2);
    records_points(records_of(0), JOB, &m, 1);
    m.name = "f1";
    records_points(records_of(1), JOB, &m, 1);
    m.name = "bleu";
    records_points(records_of(1), JOB, &m, 1);
    EXPECT_EQ(records_names(records_of(0), JOB, names, 4, &count, 5 * SECOND), SH_OK);
    EXPECT_EQ(count, 3);
    EXPECT_STR(names[0].text, "bleu");
    EXPECT_STR(names[1].text, "f1");
    EXPECT_STR(names[2].text, "loss");
    EXPECT_EQ(records_names(records_of(1), JOB, names, 2, &count, 5 * SECOND), SH_OK);
    EXPECT_EQ(count, 2);
    EXPECT_EQ(records_names(records_of(1), JOB + 1, names, 4, &count, 5 * SECOND), SH_OK);
    EXPECT_EQ(count, 0);
    cells_close(&cells);
}

TEST(what_an_agent_writes_reaches_two_others_and_outlives_it)
{
    size_t count = 0;
    struct service_measure m = {"loss", {.step = 3, .wall_us = 5, .value = 0.25}};
    open_cells(4);
    records_points(records_of(0), JOB, &m, 1);
    struct service_log_line said = {
        .generation = 9, .unit = 2, .member = 1, .text = "an epoch ended"};
    records_lines(records_of(0), JOB, &said, 1);
    EXPECT(cells_await(&cells, CALLS_REPLY, 2));
    cells_wire_of(&cells.at[0], CELLS_SWALLOW);
    cells_say(&cells.at[0], SERVICE_DEAD);
    EXPECT_EQ(read_points(1, 0, 10), 1);
    EXPECT_EQ(points[0].step, 3);
    EXPECT_NEAR(points[0].value, 0.25, 0.0);
    EXPECT_EQ(records_read_lines(records_of(2), JOB, &ALL, lines, 10, &count, 5 * SECOND), SH_OK);
    EXPECT_EQ(count, 1);
    EXPECT_STR(lines[0].text, "an epoch ended");
    EXPECT_EQ(lines[0].generation, 9);
    EXPECT_EQ(lines[0].unit, 2);
    EXPECT_EQ(lines[0].member, 1);
    EXPECT(!lines[0].own);
    size_t holders = 0;
    for (size_t i = 1; i < 4; i++) {
        struct series_point stored;
        uint32_t found = 0;
        EXPECT_EQ(series_points(&cells.at[i].s->series, JOB, "loss", 0, &stored, 1, &found), SH_OK);
        holders += found;
    }
    EXPECT_EQ(holders, RECORDS_COPIES);
    cells_close(&cells);
}

TEST(lines_of_one_agent_keep_their_order_and_the_longest_is_kept_whole)
{
    size_t count = 0;
    struct service_log_line line = {.unit = 0};
    memset(line.text, 'x', sizeof line.text - 1);
    open_cells(1);
    records_lines(records_of(0), JOB, &line, 1);
    for (int i = 0; i < 20; i++) {
        (void)snprintf(line.text, sizeof line.text, "%d", i);
        records_lines(records_of(0), JOB, &line, 1);
    }
    EXPECT_EQ(records_read_lines(records_of(0), JOB, &ALL, lines, 100, &count, 0), SH_OK);
    EXPECT_EQ(count, 21);
    EXPECT_EQ(strlen(lines[0].text), sizeof lines[0].text - 1);
    for (size_t i = 1; i < count; i++) {
        EXPECT_EQ(strtol(lines[i].text, NULL, 10), (long)i - 1);
        EXPECT(lines[i].sequence > lines[i - 1].sequence);
    }
    cells_close(&cells);
}

TEST(an_agent_that_does_not_answer_costs_its_points_only)
{
    open_cells(3);
    store_points(0, 0, 2, 1, 1);
    store_points(2, 2, 4, 1, 1);
    cells_wire_of(&cells.at[1], CELLS_BREAK);
    EXPECT_EQ(read_points(0, 0, 10), 4);
    cells_close(&cells);
}

static void newest(size_t cell, const char *const *names, size_t count, struct service_newest *out)
{
    EXPECT_EQ(records_newest(records_of(cell), JOB, names, count, out, 5 * SECOND), SH_OK);
}

TEST(the_newest_points_of_several_series_cost_one_question_to_each_agent)
{
    static const char *const names[] = {"loss", "accuracy", "loss"};
    struct service_newest out[3];
    open_cells(3);
    newest(0, names, 3, out);
    EXPECT(!out[0].known);
    EXPECT(!out[1].known);
    store_points(0, 0, 6, 1, 100);
    store_points(1, 4, 9, 2, 200);
    store_points(2, 8, 9, 3, 300);
    uint64_t before = cells_frames(&cells, CALLS_REQUEST);
    newest(0, names, 3, out);
    EXPECT_EQ(cells_frames(&cells, CALLS_REQUEST) - before, 2);
    EXPECT(out[0].known);
    EXPECT(!out[1].known);
    EXPECT(out[2].known);
    EXPECT_EQ(out[0].point.step, 8);
    EXPECT_EQ(out[0].point.wall_us, 300);
    EXPECT_NEAR(out[0].point.value, 3.0, 0.0);
    store_points(0, 0, 1, 7, 900); /* an older step that was written later */
    newest(2, names, 1, out);
    EXPECT_EQ(out[0].point.step, 8);
    newest(1, names, 0, out);
    cells_close(&cells);
}

TEST(a_point_at_step_zero_with_no_clock_is_one)
{
    static const char *const names[] = {"loss"};
    struct service_newest out[1];
    open_cells(2);
    store_points(1, 0, 1, 4, 0);
    newest(0, names, 1, out);
    EXPECT(out[0].known);
    EXPECT_NEAR(out[0].point.value, 4.0, 0.0);
    cells_close(&cells);
}

TEST(an_agent_that_keeps_silent_leaves_time_for_those_that_answer)
{
    static const char *const names[] = {"loss"};
    struct service_newest out[1];
    open_cells(4);
    store_points(3, 1, 2, 1, 1);
    cells_wire_of(&cells.at[1], CELLS_SWALLOW);
    cells_wire_of(&cells.at[2], CELLS_SWALLOW);
    EXPECT_EQ(records_newest(records_of(0), JOB, names, 1, out, SECOND / 5), SH_OK);
    EXPECT(out[0].known);
    cells_close(&cells);
}

TEST(points_of_several_series_are_written_at_once_or_not_at_all)
{
    static const char *const names[] = {"loss", "accuracy"};
    const struct service_measure both[] = {{"loss", {.step = 1, .value = 0.5}},
                                           {"accuracy", {.step = 1, .value = 0.25}}};
    struct service_newest out[2];
    open_cells(1);
    kv_mem_fail(cells.at[0].s->bulk_kv, 2, SH_ERR_NO_SPACE, false);
    records_points(records_of(0), JOB, both, 2); /* the first write; the second would fail */
    newest(0, names, 2, out);
    EXPECT_NEAR(out[0].point.value, 0.5, 0.0);
    EXPECT_NEAR(out[1].point.value, 0.25, 0.0);
    cells_close(&cells);
}

TEST(a_store_that_refuses_writes_loses_records_and_nothing_else)
{
    open_cells(1);
    kv_mem_fail(cells.at[0].s->bulk_kv, 1, SH_ERR_NO_SPACE, false);
    struct service_measure m = {"loss", {.step = 1}};
    records_points(records_of(0), JOB, &m, 1);
    records_points(records_of(0), JOB, &m, 1);
    EXPECT_EQ(read_points(0, 0, 10), 0);
    cells_close(&cells);
}

/* An agent whose answers are damaged: points before what was asked, a count without points. */
static enum sh_err answer_badly(void *ctx, struct sh_span request, uint8_t *reply, size_t capacity,
                                size_t *reply_size)
{
    struct sh_writer w = sh_writer_over(reply, capacity);
    (void)ctx;
    (void)request;
    sh_put_u32(&w, UINT32_MAX);
    for (uint64_t i = 0; i < 3; i++) {
        sh_put_u64(&w, i);
        sh_put_u64(&w, UINT64_MAX);
        sh_put_f64(&w, -1);
    }
    sh_put_u32(&w, 1);
    *reply_size = w.used;
    return SH_OK;
}

TEST(a_damaged_answer_of_another_agent_ends_where_it_is_damaged)
{
    cells_open(&cells);
    (void)cells_add(&cells, CELLS_RECORDS);
    struct calls *other = cells_add(&cells, 0)->s->calls;
    calls_on(other, SERVICE_CALL_SERIES, answer_badly, NULL);
    calls_on(other, SERVICE_CALL_LOGS, answer_badly, NULL);
    store_points(0, 1, 8, 1, 1);
    EXPECT_EQ(read_points(0, 2, 100), 6);
    EXPECT_EQ(points[0].step, 2);
    EXPECT_EQ(points[5].step, 7);
    size_t count = 9;
    struct service_log_want want = ALL;
    want.from = 5;
    EXPECT_EQ(records_read_lines(records_of(0), JOB, &want, lines, 10, &count, 5 * SECOND), SH_OK);
    EXPECT_EQ(count, 0);
    cells_close(&cells);
}

/* One newest point and the flag of another one that does not come. */
static enum sh_err answer_half(void *ctx, struct sh_span request, uint8_t *reply, size_t capacity,
                               size_t *reply_size)
{
    struct sh_writer w = sh_writer_over(reply, capacity);
    (void)ctx;
    (void)request;
    sh_put_u8(&w, 1);
    sh_put_u64(&w, 9);
    sh_put_u64(&w, 1);
    sh_put_f64(&w, 5);
    sh_put_u8(&w, 1);
    *reply_size = w.used;
    return SH_OK;
}

TEST(half_an_answer_about_newest_points_counts_as_far_as_it_goes)
{
    static const char *const names[] = {"loss", "loss", "accuracy"};
    struct service_newest out[3];
    cells_open(&cells);
    (void)cells_add(&cells, CELLS_RECORDS);
    calls_on(cells_add(&cells, 0)->s->calls, SERVICE_CALL_SERIES, answer_half, NULL);
    store_points(0, 1, 8, 1, 1);
    newest(0, names, 3, out);
    EXPECT_EQ(out[0].point.step, 9);
    EXPECT_EQ(out[1].point.step, 7);
    EXPECT(!out[2].known);
    cells_close(&cells);
}

TEST(damaged_questions_about_records_are_refused)
{
    uint8_t request[64];
    uint8_t reply[64];
    size_t got = 0;
    open_cells(1);
    struct sh_writer w = sh_writer_over(request, sizeof request);
    sh_put_u8(&w, OP_PUT);
    sh_put_u32(&w, UINT32_MAX);
    sh_put_u64(&w, JOB);
    EXPECT_EQ(cells_ask(&cells.at[0], SERVICE_CALL_SERIES, request, w.used, reply, 64, &got),
              SH_ERR_CORRUPT);
    w.used = 0;
    sh_put_u8(&w, OP_GET);
    sh_put_u64(&w, JOB);
    sh_put_u64(&w, 0);
    for (size_t size = 0; size < w.used; size++) {
        EXPECT(cells_ask(&cells.at[0], SERVICE_CALL_SERIES, request, size, reply, 64, &got) !=
               SH_OK);
        EXPECT(cells_ask(&cells.at[0], SERVICE_CALL_LOGS, request, size, reply, 64, &got) != SH_OK);
    }
    sh_put_str(&w, "");
    EXPECT_EQ(cells_ask(&cells.at[0], SERVICE_CALL_SERIES, request, w.used, reply, 64, &got),
              SH_ERR_CORRUPT);
    request[0] = 9;
    EXPECT_EQ(cells_ask(&cells.at[0], SERVICE_CALL_SERIES, request, w.used, reply, 64, &got),
              SH_ERR_INVALID);
    w.used = 0;
    sh_put_u8(&w, OP_NEWEST);
    sh_put_u64(&w, JOB);
    sh_put_u8(&w, 2);
    sh_put_str(&w, "loss");
    for (size_t size = 0; size <= w.used; size++) {
        EXPECT(cells_ask(&cells.at[0], SERVICE_CALL_SERIES, request, size, reply, 64, &got) !=
               SH_OK);
    }
    sh_put_str(&w, "");
    EXPECT_EQ(cells_ask(&cells.at[0], SERVICE_CALL_SERIES, request, w.used, reply, 64, &got),
              SH_ERR_CORRUPT);
    static const char *const nameless[] = {""};
    struct service_newest out[1];
    EXPECT_EQ(records_newest(records_of(0), JOB, nameless, 1, out, 0), SH_ERR_INVALID);
    size_t count = 0;
    EXPECT_EQ(records_read_points(records_of(0), JOB, "", 0, points, 1, &count, 0), SH_ERR_INVALID);
    cells_close(&cells);
}
