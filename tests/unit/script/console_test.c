/* SPDX-License-Identifier: Apache-2.0 */
#include "script/console.h"

#include "memory_service.h"
#include "tst.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define JOB UINT64_C(7)

static struct service *service;
static struct script_console *console;
static struct service_log_line lines[2 * SCRIPT_QUEUE_MAX];

static void nothing(void *ctx)
{
    (void)ctx;
}

static void start(void)
{
    struct wire_unit unit = {.job = JOB, .unit = 2};
    service = memory_service_open();
    EXPECT_EQ(script_console_open(&console, service, unit, nothing, NULL), SH_OK);
    script_console_begin(console, 40, 1);
}

static void stop(void)
{
    script_console_close(console);
    memory_service_close(service);
}

static size_t read_lines(void)
{
    struct service_log_want want = {.before = UINT64_MAX, .unit = SERVICE_LINE_ALL};
    size_t count = 0;
    EXPECT_EQ(service_log_read(service, JOB, &want, lines, SH_COUNT(lines), &count, 0), SH_OK);
    return count;
}

TEST(lines_and_points_are_written_with_who_said_them)
{
    struct service_point points[4];
    size_t count = 0;
    start();
    script_console_line(console, "hello", 5);
    script_console_line(console, "", 0);
    script_console_point(console, "2/loss", 3, 0.5);
    EXPECT_EQ(read_lines(), 0);
    script_console_write(console);
    EXPECT_EQ(read_lines(), 2);
    EXPECT_STR(lines[0].text, "hello");
    EXPECT_STR(lines[1].text, "");
    EXPECT_EQ(lines[0].unit, 2);
    EXPECT_EQ(lines[0].member, 1);
    EXPECT_EQ(lines[0].generation, 40);
    EXPECT(!lines[0].own);
    EXPECT_EQ(service_series_read(service, JOB, "2/loss", 0, points, 4, &count, 0), SH_OK);
    EXPECT_EQ(count, 1);
    EXPECT_EQ(points[0].step, 3);
    stop();
}

TEST(a_long_line_becomes_several_and_no_character_is_torn)
{
    char text[3 * SERVICE_LINE_BYTES];
    size_t size = 0;
    while (size + 2 < sizeof text) {
        memcpy(text + size, "\xc3\xa9", 2);
        size += 2;
    }
    text[size] = '\0';
    start();
    script_console_line(console, text, size);
    script_console_write(console);
    size_t count = read_lines();
    EXPECT_EQ(count, 4);
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        size_t n = strlen(lines[i].text);
        EXPECT_EQ(n % 2, 0);
        EXPECT(memcmp(lines[i].text, text + total, n) == 0);
        total += n;
    }
    EXPECT_EQ(total, size);
    stop();
}

static void *write_all(void *arg)
{
    atomic_bool *said = arg;
    while (!atomic_load(said)) {
        script_console_write(console);
    }
    return NULL;
}

TEST(whoever_speaks_waits_for_whoever_writes)
{
    pthread_t writer;
    atomic_bool said = false;
    char text[32];
    start();
    EXPECT(pthread_create(&writer, NULL, write_all, &said) == 0);
    for (unsigned i = 0; i < 4 * SCRIPT_QUEUE_MAX; i++) {
        int n = snprintf(text, sizeof text, "line %u", i);
        script_console_line(console, text, (size_t)n);
    }
    atomic_store(&said, true);
    EXPECT(pthread_join(writer, NULL) == 0);
    script_console_write(console);
    struct service_log_want want = {
        .from = 3 * SCRIPT_QUEUE_MAX, .before = UINT64_MAX, .unit = SERVICE_LINE_ALL};
    size_t count = 0;
    EXPECT_EQ(service_log_read(service, JOB, &want, lines, SH_COUNT(lines), &count, 0), SH_OK);
    EXPECT_EQ(count, SCRIPT_QUEUE_MAX);
    EXPECT_STR(lines[count - 1].text, "line 2047");
    stop();
}

TEST(let_go_what_finds_no_room_is_counted_and_told)
{
    start();
    for (unsigned i = 0; i < SCRIPT_QUEUE_MAX; i++) {
        script_console_line(console, "x", 1);
    }
    script_console_let_go(console);
    script_console_line(console, "lost", 4);
    script_console_line(console, "lost", 4);
    script_console_write(console);
    EXPECT_EQ(read_lines(), SCRIPT_QUEUE_MAX + 1);
    EXPECT(lines[SCRIPT_QUEUE_MAX].own);
    EXPECT(strncmp(lines[SCRIPT_QUEUE_MAX].text, "2 lines are not kept", 20) == 0);
    stop();
}
