/* SPDX-License-Identifier: Apache-2.0 */
#include "train/scribe.h"

#include "base/host/host.h"
#include "train/clock.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct report {
    bool due;
    struct wire_fence fence;
    uint8_t node[SH_NODE_ID_BYTES];
    uint64_t sent_us; /* 0: never */
};

struct line {
    char text[TRAIN_LINE_BYTES];
};

struct train_scribe {
    struct service *s;
    struct wire_unit unit;
    pthread_t thread;
    bool running;
    pthread_mutex_t lock; /* what follows */
    pthread_cond_t changed;
    pthread_cond_t idle;
    struct service_measure *points; /* a ring of TRAIN_POINTS_MAX */
    uint32_t point_at;
    uint32_t point_count;
    struct line *lines; /* a ring of TRAIN_LINES_MAX */
    uint32_t line_at;
    uint32_t line_count;
    struct report reports[WIRE_MEMBERS_MAX];
    bool first;
    bool hurry;   /* somebody waits for everything to be written */
    bool writing; /* outside the lock */
    bool closing;
    bool apart; /* series and lines bear the unit */
    uint32_t name_count;
    struct {
        const char *name;
        char whole[SH_NAME_MAX + 1];
    } names[TRAIN_NAMES_MAX];
    uint64_t flush_at_us;
    struct service_measure *batch; /* the thread's; TRAIN_POINTS_MAX */
};

/* ---- the thread ---- */

static bool take_report(struct train_scribe *c, struct report *out)
{
    for (size_t i = 0; i < SH_COUNT(c->reports); i++) {
        if (c->reports[i].due) {
            c->reports[i].due = false;
            *out = c->reports[i];
            return true;
        }
    }
    return false;
}

static bool take_line(struct train_scribe *c, struct line *out)
{
    if (c->line_count == 0) {
        return false;
    }
    *out = c->lines[c->line_at];
    c->line_at = (c->line_at + 1) % TRAIN_LINES_MAX;
    c->line_count--;
    return true;
}

static uint32_t take_points(struct train_scribe *c, uint64_t now_us)
{
    bool due = c->hurry || c->closing || now_us >= c->flush_at_us;
    if (!c->first || !due) {
        return 0;
    }
    uint32_t count = c->point_count;
    for (uint32_t i = 0; i < count; i++) {
        c->batch[i] = c->points[(c->point_at + i) % TRAIN_POINTS_MAX];
    }
    c->point_count = 0;
    return count;
}

/* Does one thing outside the lock; false when there is nothing to do. */
static bool write_one(struct train_scribe *c)
{
    struct report report;
    struct line line;
    uint32_t count = 0;
    bool report_due = take_report(c, &report);
    bool line_due = !report_due && take_line(c, &line);
    if (!report_due && !line_due) {
        count = take_points(c, sh_now_us());
    }
    if (!report_due && !line_due && count == 0) {
        return false;
    }
    c->writing = true;
    SH_CHECK(pthread_mutex_unlock(&c->lock) == 0);
    if (report_due) {
        /* A hint: where it gets lost the next one says the same. */
        SH_MAY_FAIL(service_report_lost(c->s, c->unit, report.fence, report.node,
                                        TRAIN_REPORT_WAIT_US) == SH_OK);
    } else if (line_due) {
        struct service_log_line out = {.unit = c->unit.unit, .own = true};
        if (c->apart) { /* set before there was anything to say */
            (void)snprintf(out.text, sizeof out.text, "unit %u: %s", c->unit.unit, line.text);
        } else {
            (void)snprintf(out.text, sizeof out.text, "%s", line.text);
        }
        service_log_append(c->s, c->unit.job, &out, 1);
    } else {
        service_series_append(c->s, c->unit.job, c->batch, count);
    }
    SH_CHECK(pthread_mutex_lock(&c->lock) == 0);
    c->writing = false;
    return true;
}

static void *run(void *arg)
{
    struct train_scribe *c = arg;
    sh_thread_name("scribe-%llu", (unsigned long long)c->unit.job);
    SH_CHECK(pthread_mutex_lock(&c->lock) == 0);
    for (;;) {
        if (write_one(c)) {
            continue;
        }
        c->hurry = false;
        SH_CHECK(pthread_cond_broadcast(&c->idle) == 0);
        if (c->closing) {
            break;
        }
        bool pending = c->first && c->point_count > 0;
        train_clock_wait(&c->changed, &c->lock, pending ? c->flush_at_us : UINT64_MAX);
    }
    SH_CHECK(pthread_mutex_unlock(&c->lock) == 0);
    return NULL;
}

/* ---- life ---- */

enum sh_err train_scribe_open(struct train_scribe **out, struct service *s, struct wire_unit unit)
{
    struct train_scribe *c = calloc(1, sizeof *c);
    *out = NULL;
    if (c == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    c->s = s;
    c->unit = unit;
    SH_CHECK(pthread_mutex_init(&c->lock, NULL) == 0);
    train_clock_cond(&c->changed);
    train_clock_cond(&c->idle);
    c->points = calloc(TRAIN_POINTS_MAX, sizeof *c->points);
    c->batch = calloc(TRAIN_POINTS_MAX, sizeof *c->batch);
    c->lines = calloc(TRAIN_LINES_MAX, sizeof *c->lines);
    bool good = c->points != NULL && c->batch != NULL && c->lines != NULL;
    if (good) {
        c->running = pthread_create(&c->thread, NULL, run, c) == 0;
    }
    if (!c->running) {
        train_scribe_close(c);
        return SH_ERR_NO_MEMORY;
    }
    *out = c;
    return SH_OK;
}

void train_scribe_close(struct train_scribe *scribe)
{
    if (scribe == NULL) {
        return;
    }
    SH_CHECK(pthread_mutex_lock(&scribe->lock) == 0);
    scribe->closing = true;
    SH_CHECK(pthread_cond_signal(&scribe->changed) == 0);
    SH_CHECK(pthread_mutex_unlock(&scribe->lock) == 0);
    if (scribe->running) {
        SH_CHECK(pthread_join(scribe->thread, NULL) == 0);
    }
    SH_CHECK(pthread_cond_destroy(&scribe->idle) == 0);
    SH_CHECK(pthread_cond_destroy(&scribe->changed) == 0);
    SH_CHECK(pthread_mutex_destroy(&scribe->lock) == 0);
    free(scribe->points);
    free(scribe->batch);
    free(scribe->lines);
    free(scribe);
}

/* ---- calls ---- */

void train_scribe_lead(struct train_scribe *scribe, bool first)
{
    SH_CHECK(pthread_mutex_lock(&scribe->lock) == 0);
    scribe->first = first;
    SH_CHECK(pthread_cond_signal(&scribe->changed) == 0);
    SH_CHECK(pthread_mutex_unlock(&scribe->lock) == 0);
}

void train_scribe_apart(struct train_scribe *scribe)
{
    SH_CHECK(pthread_mutex_lock(&scribe->lock) == 0);
    scribe->apart = true;
    SH_CHECK(pthread_mutex_unlock(&scribe->lock) == 0);
}

/* With the lock. The name that lasts as long as the scribe. */
static const char *name_in_job(struct train_scribe *c, const char *name)
{
    if (!c->apart) {
        return name;
    }
    for (uint32_t i = 0; i < c->name_count; i++) {
        if (c->names[i].name == name) {
            return c->names[i].whole;
        }
    }
    SH_CHECK_CMP(c->name_count, <, TRAIN_NAMES_MAX);
    char *whole = c->names[c->name_count].whole;
    c->names[c->name_count++].name = name;
    (void)snprintf(whole, SH_NAME_MAX + 1, "%u/%s", c->unit.unit, name);
    return whole;
}

void train_scribe_point(struct train_scribe *scribe, const char *name, uint64_t step, double value)
{
    struct service_measure point = {
        .point = {.step = step, .wall_us = sh_wall_us(), .value = value}};
    SH_CHECK(pthread_mutex_lock(&scribe->lock) == 0);
    point.name = name_in_job(scribe, name);
    if (scribe->point_count == TRAIN_POINTS_MAX) {
        scribe->point_at = (scribe->point_at + 1) % TRAIN_POINTS_MAX;
        scribe->point_count--;
    }
    if (scribe->point_count == 0) {
        scribe->flush_at_us = sh_now_us() + TRAIN_FLUSH_US;
        SH_CHECK(pthread_cond_signal(&scribe->changed) == 0);
    }
    scribe->points[(scribe->point_at + scribe->point_count) % TRAIN_POINTS_MAX] = point;
    scribe->point_count++;
    SH_CHECK(pthread_mutex_unlock(&scribe->lock) == 0);
}

void train_scribe_line(struct train_scribe *scribe, const char *format, ...)
{
    struct line line;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line.text, sizeof line.text, format, args);
    va_end(args);
    SH_CHECK(pthread_mutex_lock(&scribe->lock) == 0);
    if (scribe->line_count < TRAIN_LINES_MAX) {
        scribe->lines[(scribe->line_at + scribe->line_count) % TRAIN_LINES_MAX] = line;
        scribe->line_count++;
        SH_CHECK(pthread_cond_signal(&scribe->changed) == 0);
    }
    SH_CHECK(pthread_mutex_unlock(&scribe->lock) == 0);
}

void train_scribe_lost(struct train_scribe *scribe, struct wire_fence fence,
                       const uint8_t node[static SH_NODE_ID_BYTES])
{
    struct report *place = NULL;
    uint64_t now = sh_now_us();
    SH_CHECK(pthread_mutex_lock(&scribe->lock) == 0);
    for (size_t i = 0; i < SH_COUNT(scribe->reports); i++) {
        struct report *r = &scribe->reports[i];
        bool same = r->sent_us != 0 && memcmp(r->node, node, SH_NODE_ID_BYTES) == 0;
        if (same) {
            place = r;
            break;
        }
        bool older = place == NULL || r->sent_us < place->sent_us;
        place = older ? r : place;
    }
    bool known = place->sent_us != 0 && memcmp(place->node, node, SH_NODE_ID_BYTES) == 0 &&
                 wire_fence_equal(place->fence, fence);
    if (!known || now - place->sent_us >= TRAIN_REPORT_PAUSE_US) {
        *place = (struct report){.due = true, .fence = fence, .sent_us = now};
        memcpy(place->node, node, SH_NODE_ID_BYTES);
        SH_CHECK(pthread_cond_signal(&scribe->changed) == 0);
    }
    SH_CHECK(pthread_mutex_unlock(&scribe->lock) == 0);
}

void train_scribe_flush(struct train_scribe *scribe, uint64_t timeout_us)
{
    uint64_t until = sh_now_us() + timeout_us;
    SH_CHECK(pthread_mutex_lock(&scribe->lock) == 0);
    scribe->hurry = true;
    SH_CHECK(pthread_cond_signal(&scribe->changed) == 0);
    while ((scribe->hurry || scribe->writing) && sh_now_us() < until) {
        train_clock_wait(&scribe->idle, &scribe->lock, until);
    }
    SH_CHECK(pthread_mutex_unlock(&scribe->lock) == 0);
}
