/* SPDX-License-Identifier: Apache-2.0
 *
 * The in-memory service's series and logs. */
#include "memory_inside.h"

#include "base/host/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void write_batch(struct service *s, struct kv_batch *batch)
{
    memory_must(kv_write(s->c->kv, batch, false));
    kv_batch_fini(batch);
}

enum sh_err service_records_settle(struct service *s, uint64_t timeout_us)
{
    (void)s; /* nobody else is there */
    (void)timeout_us;
    return SH_OK;
}

void service_series_append(struct service *s, uint64_t job, const struct service_measure *measures,
                           size_t count)
{
    struct kv_batch batch;
    kv_batch_init(&batch);
    for (size_t i = 0; i < count; i++) {
        const struct service_point *point = &measures[i].point;
        struct series_point p = {point->step, point->value, point->wall_us};
        series_put_point(&s->c->series, &batch, job, measures[i].name, &p);
    }
    write_batch(s, &batch);
}

void memory_service_points(struct service *s, uint64_t job, const char *name,
                           const struct service_point *points, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct service_measure m = {.name = name, .point = points[i]};
        service_series_append(s, job, &m, 1);
    }
}

enum sh_err service_series_newest(struct service *s, uint64_t job, const char *const *names,
                                  size_t count, struct service_newest *out, uint64_t timeout_us)
{
    (void)timeout_us;
    for (size_t i = 0; i < count; i++) {
        struct series_point p = {0};
        enum sh_err err = series_newest(&s->c->series, job, names[i], &p);
        if (err != SH_OK && err != SH_ERR_NOT_FOUND) {
            return err;
        }
        out[i] =
            (struct service_newest){.known = err == SH_OK, .point = {p.step, p.wall_us, p.value}};
    }
    return SH_OK;
}

/* Lines lie in the store as they are in memory. */
void service_log_append(struct service *s, uint64_t job, const struct service_log_line *lines,
                        size_t count)
{
    struct kv_batch batch;
    kv_batch_init(&batch);
    (void)pthread_mutex_lock(&s->c->lock);
    for (size_t i = 0; i < count; i++) {
        struct series_row row = {.seq = s->c->line++,
                                 .wall_us = sh_wall_us(),
                                 .text = {.at = (const uint8_t *)&lines[i], .size = sizeof *lines}};
        series_put_line(&s->c->series, &batch, job, &row);
    }
    (void)pthread_mutex_unlock(&s->c->lock);
    write_batch(s, &batch);
}

enum sh_err service_series_names(struct service *s, uint64_t job, struct service_series_name *out,
                                 size_t capacity, size_t *count, uint64_t timeout_us)
{
    (void)timeout_us;
    struct series_name *names = malloc(capacity * sizeof *names);
    uint32_t got = 0;
    enum sh_err err = names == NULL
                          ? SH_ERR_NO_MEMORY
                          : series_names(&s->c->series, job, names, (uint32_t)capacity, &got);
    for (uint32_t i = 0; err == SH_OK && i < got; i++) {
        memcpy(out[i].text, names[i].text, sizeof out[i].text);
    }
    free(names);
    *count = got;
    return err;
}

enum sh_err service_series_read(struct service *s, uint64_t job, const char *name, uint64_t from,
                                struct service_point *out, size_t capacity, size_t *count,
                                uint64_t timeout_us)
{
    (void)timeout_us;
    struct series_point *points = malloc(capacity * sizeof *points);
    uint32_t got = 0;
    enum sh_err err = points == NULL ? SH_ERR_NO_MEMORY
                                     : series_points(&s->c->series, job, name, from, points,
                                                     (uint32_t)capacity, &got);
    for (uint32_t i = 0; err == SH_OK && i < got; i++) {
        out[i] = (struct service_point){points[i].step, points[i].wall_us, points[i].value};
    }
    free(points);
    *count = got;
    return err;
}

enum sh_err service_log_read(struct service *s, uint64_t job, const struct service_log_want *want,
                             struct service_log_line *out, size_t capacity, size_t *count,
                             uint64_t timeout_us)
{
    (void)timeout_us;
    struct series_row row;
    uint64_t from = want->from;
    uint32_t got = 1;
    enum sh_err err = SH_OK;
    *count = 0;
    while (err == SH_OK && got > 0) {
        struct service_log_line line;
        err = series_lines(&s->c->series, job, from, &row, 1, &line, sizeof line, &got);
        if (err != SH_OK || got == 0 || (*count == capacity && !want->newest)) {
            break;
        }
        from = row.seq + 1;
        line.sequence = row.seq;
        line.wall_us = row.wall_us;
        bool unit = want->unit == SERVICE_LINE_ALL || line.unit == want->unit;
        if (unit && row.seq < want->before &&
            (want->generation == 0 || line.generation == want->generation)) {
            if (*count == capacity) {
                memmove(out, out + 1, (capacity - 1) * sizeof *out);
                (*count)--;
            }
            out[(*count)++] = line;
        }
    }
    return err;
}
