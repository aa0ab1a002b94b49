/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as what one agent may send another: the first byte chooses the decoder (a
 * question about blobs, records or logs, one for the coordinator, an answer, an agent's answer to a
 * reader), the rest is the message. Kept state is thrown away now and then. */
#include "base/host/host.h"
#include "cells.h"
#include "planner.h"
#include "records.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RUNS_OF_A_WORLD = 2000, REPLY_BYTES = 262144, POINTS = 64 };

static const enum service_call_kind KINDS[] = {
    SERVICE_CALL_BLOB, SERVICE_CALL_SERIES, SERVICE_CALL_LOGS, SERVICE_CALL_LOST, SERVICE_CALL_WHY};

struct world {
    unsigned runs;
    struct cells cells;
    struct planner *planner;
    uint8_t *reply;
    struct sh_span answer; /* what the second cell answers to every question */
};

static enum sh_err answer(void *ctx, struct sh_span request, uint8_t *reply, size_t capacity,
                          size_t *reply_size)
{
    const struct world *w = ctx;
    (void)request;
    *reply_size = w->answer.size < capacity ? w->answer.size : capacity;
    if (*reply_size > 0) {
        memcpy(reply, w->answer.at, *reply_size);
    }
    return SH_OK;
}

static void close_world(struct world *w)
{
    planner_stop(w->planner);
    planner_close(w->planner);
    cells_close(&w->cells);
    free(w->reply);
}

static void open_world(struct world *w)
{
    static const char CONTENT[] = "a blob that is here";
    struct blob_id id;
    *w = (struct world){0};
    cells_open(&w->cells);
    struct service *s = cells_add(&w->cells, CELLS_BLOBS | CELLS_RECORDS)->s;
    struct calls *other = cells_add(&w->cells, 0)->s->calls;
    for (size_t i = 0; i < 3; i++) {
        calls_on(other, KINDS[i], answer, w);
    }
    w->reply = malloc(REPLY_BYTES);
    SH_CHECK(w->reply != NULL);
    SH_CHECK(planner_open(&w->planner, s) == SH_OK);
    SH_CHECK(blob_put(s->blob, CONTENT, sizeof CONTENT, &id) == SH_OK);
}

/* What the second cell says is read as a page of points, of lines, as newest points, or as the
 * pieces of a blob. */
static void read_answer(struct world *w, struct sh_span bytes)
{
    struct service_point points[POINTS];
    struct service_log_line lines[POINTS];
    struct blob_id id = {{3}};
    uint64_t blob_bytes = 0;
    size_t count = 0;
    struct records *r = w->cells.at[0].s->records;
    w->answer = bytes;
    SH_MAY_FAIL(records_read_points(r, 1, "loss", 5, points, POINTS, &count, 100000));
    SH_CHECK_CMP(count, <=, POINTS);
    for (size_t i = 0; i < count; i++) {
        SH_CHECK_CMP(points[i].step, >=, i == 0 ? 5 : points[i - 1].step + 1);
    }
    struct service_log_want want = {.from = 5, .before = 900, .unit = SERVICE_LINE_ALL};
    SH_MAY_FAIL(records_read_lines(r, 1, &want, lines, POINTS, &count, 100000));
    SH_CHECK_CMP(count, <=, POINTS);
    struct service_series_name told[POINTS];
    SH_MAY_FAIL(records_names(r, 1, told, POINTS, &count, 100000));
    SH_CHECK_CMP(count, <=, POINTS);
    static const char *const names[] = {"loss", "accuracy", "epoch"};
    struct service_newest newest[SH_COUNT(names)];
    SH_MAY_FAIL(records_newest(r, 1, names, SH_COUNT(names), newest, 100000));
    SH_CHECK(blobs_fetch(w->cells.at[0].s->blobs, &id, &blob_bytes, 0) != SH_OK);
    w->answer = (struct sh_span){0};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world world;
    size_t got = 0;
    if (size < 1) {
        return 0;
    }
    struct sh_span bytes = {.at = data + 1, .size = size - 1};
    if (world.runs == RUNS_OF_A_WORLD) {
        close_world(&world);
        world.runs = 0;
    }
    if (world.runs++ == 0) {
        open_world(&world);
        world.runs = 1;
    }
    unsigned choice = data[0] % (SH_COUNT(KINDS) + 3);
    if (choice < SH_COUNT(KINDS)) {
        SH_MAY_FAIL(cells_ask(&world.cells.at[0], KINDS[choice], bytes.at, bytes.size, world.reply,
                              REPLY_BYTES, &got));
        SH_CHECK_CMP(got, <=, REPLY_BYTES);
    } else if (choice == SH_COUNT(KINDS)) {
        read_answer(&world, bytes);
    } else {
        enum calls_frame frame = choice == SH_COUNT(KINDS) + 1 ? CALLS_REQUEST : CALLS_REPLY;
        calls_receive(world.cells.at[0].s->calls, CALLS_CONTROL, cells_id(&world.cells.at[1]),
                      frame, bytes);
    }
    return 0;
}
