/* SPDX-License-Identifier: Apache-2.0 */
#include "script/console.h"

#include "base/host/host.h"
#include "base/text.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct point {
    char name[SH_NAME_MAX + 1];
    struct service_point at;
};

struct script_console {
    struct service *s;
    struct wire_unit unit;
    void (*wake)(void *ctx);
    void *ctx;
    struct service_log_line *writing; /* SCRIPT_QUEUE_MAX, the writer's */
    struct point *points_writing;     /* likewise */
    pthread_mutex_t lock;             /* what follows */
    pthread_cond_t room;
    uint64_t generation;
    uint16_t member;
    struct service_log_line *lines; /* SCRIPT_QUEUE_MAX */
    size_t line_count;
    struct point *points; /* SCRIPT_QUEUE_MAX */
    size_t point_count;
    uint64_t said; /* lines of this attempt */
    uint64_t lost;
    bool let_go;
};

/* ---- the reader ---- */

/* With the lock: true when there is room. */
static bool make_room(struct script_console *c, const size_t *count)
{
    while (*count == SCRIPT_QUEUE_MAX && !c->let_go) {
        SH_CHECK(pthread_cond_wait(&c->room, &c->lock) == 0);
    }
    return *count < SCRIPT_QUEUE_MAX;
}

static void add(struct script_console *c, const char *text, size_t size)
{
    SH_CHECK_CMP(size, <, SERVICE_LINE_BYTES);
    if (c->said >= SCRIPT_LINES_MAX || !make_room(c, &c->line_count)) {
        c->lost++;
        return;
    }
    c->said++;
    struct service_log_line *line = &c->lines[c->line_count++];
    line->generation = c->generation;
    line->unit = c->unit.unit;
    line->member = c->member;
    line->own = false;
    memcpy(line->text, text, size);
    line->text[size] = '\0';
}

/* As much as fits one line, never half a character. */
static size_t piece(const char *text, size_t size)
{
    return size < SERVICE_LINE_BYTES ? size : sh_text_fit(text, SERVICE_LINE_BYTES - 1);
}

void script_console_line(struct script_console *console, const char *text, size_t size)
{
    SH_CHECK(pthread_mutex_lock(&console->lock) == 0);
    do {
        size_t n = piece(text, size);
        add(console, text, n);
        text += n;
        size -= n;
    } while (size > 0);
    SH_CHECK(pthread_mutex_unlock(&console->lock) == 0);
    console->wake(console->ctx);
}

void script_console_point(struct script_console *console, const char *name, uint64_t step,
                          double value)
{
    SH_CHECK(pthread_mutex_lock(&console->lock) == 0);
    if (make_room(console, &console->point_count)) {
        struct point *p = &console->points[console->point_count++];
        (void)snprintf(p->name, sizeof p->name, "%s", name);
        p->at = (struct service_point){.step = step, .wall_us = sh_wall_us(), .value = value};
    }
    SH_CHECK(pthread_mutex_unlock(&console->lock) == 0);
    console->wake(console->ctx);
}

void script_console_let_go(struct script_console *console)
{
    SH_CHECK(pthread_mutex_lock(&console->lock) == 0);
    console->let_go = true;
    SH_CHECK(pthread_cond_broadcast(&console->room) == 0);
    SH_CHECK(pthread_mutex_unlock(&console->lock) == 0);
}

void script_console_begin(struct script_console *console, uint64_t generation, uint16_t member)
{
    SH_CHECK(pthread_mutex_lock(&console->lock) == 0);
    console->generation = generation;
    console->member = member;
    console->said = 0;
    console->lost = 0;
    console->let_go = false;
    SH_CHECK(pthread_mutex_unlock(&console->lock) == 0);
}

/* ---- the writer ---- */

static void write_points(struct script_console *c, size_t count)
{
    struct service_measure measures[64];
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        measures[used++] = (struct service_measure){.name = c->points_writing[i].name,
                                                    .point = c->points_writing[i].at};
        if (used == SH_COUNT(measures) || i + 1 == count) {
            service_series_append(c->s, c->unit.job, measures, used);
            used = 0;
        }
    }
}

static void say_lost(struct script_console *c, uint64_t lost, uint64_t generation, uint16_t member)
{
    struct service_log_line line = {
        .generation = generation, .unit = c->unit.unit, .member = member, .own = true};
    (void)snprintf(line.text, sizeof line.text,
                   "%llu lines are not kept: an attempt may say %llu, and at its end no more than "
                   "wait to be written",
                   (unsigned long long)lost, (unsigned long long)SCRIPT_LINES_MAX);
    service_log_append(c->s, c->unit.job, &line, 1);
}

void script_console_write(struct script_console *console)
{
    struct script_console *c = console;
    SH_CHECK(pthread_mutex_lock(&c->lock) == 0);
    size_t lines = c->line_count;
    size_t points = c->point_count;
    uint64_t lost = c->let_go ? c->lost : 0;
    uint64_t generation = c->generation;
    uint16_t member = c->member;
    memcpy(c->writing, c->lines, lines * sizeof *c->lines);
    memcpy(c->points_writing, c->points, points * sizeof *c->points);
    c->line_count = 0;
    c->point_count = 0;
    c->lost -= lost;
    SH_CHECK(pthread_cond_broadcast(&c->room) == 0);
    SH_CHECK(pthread_mutex_unlock(&c->lock) == 0);
    if (points > 0) {
        write_points(c, points);
    }
    if (lines > 0) {
        service_log_append(c->s, c->unit.job, c->writing, lines);
    }
    if (lost > 0) {
        say_lost(c, lost, generation, member);
    }
}

/* ---- life ---- */

enum sh_err script_console_open(struct script_console **out, struct service *s,
                                struct wire_unit unit, void (*wake)(void *ctx), void *ctx)
{
    struct script_console *c = calloc(1, sizeof *c);
    *out = NULL;
    if (c == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    c->s = s;
    c->unit = unit;
    c->wake = wake;
    c->ctx = ctx;
    SH_CHECK(pthread_mutex_init(&c->lock, NULL) == 0);
    SH_CHECK(pthread_cond_init(&c->room, NULL) == 0);
    c->lines = calloc(SCRIPT_QUEUE_MAX, sizeof *c->lines);
    c->writing = calloc(SCRIPT_QUEUE_MAX, sizeof *c->writing);
    c->points = calloc(SCRIPT_QUEUE_MAX, sizeof *c->points);
    c->points_writing = calloc(SCRIPT_QUEUE_MAX, sizeof *c->points_writing);
    if (c->lines == NULL || c->writing == NULL || c->points == NULL || c->points_writing == NULL) {
        script_console_close(c);
        return SH_ERR_NO_MEMORY;
    }
    *out = c;
    return SH_OK;
}

void script_console_close(struct script_console *console)
{
    if (console == NULL) {
        return;
    }
    SH_CHECK(pthread_cond_destroy(&console->room) == 0);
    SH_CHECK(pthread_mutex_destroy(&console->lock) == 0);
    free(console->lines);
    free(console->writing);
    free(console->points);
    free(console->points_writing);
    free(console);
}
