/* SPDX-License-Identifier: Apache-2.0 */
#include "cells.h"

#include "base/host/host.h"
#include "records.h"
#include "store/kv_mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CF_BLOB, CF_SERIES };

static const struct kv_cf CFS[] = {{"blob", KV_CF_LARGE}, {"series", KV_CF_TEXT}};

void cells_open(struct cells *c)
{
    pthread_condattr_t attr;
    sh_host_init();
    *c = (struct cells){.budget = UINT64_MAX};
    SH_CHECK(pthread_condattr_init(&attr) == 0);
    SH_CHECK(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    SH_CHECK(pthread_mutex_init(&c->lock, NULL) == 0);
    SH_CHECK(pthread_cond_init(&c->carried, &attr) == 0);
    SH_CHECK(pthread_condattr_destroy(&attr) == 0);
}

const uint8_t *cells_id(const struct cell *cell)
{
    return cell->s->trust.node;
}

static struct cell *find(struct cells *c, const uint8_t *id)
{
    for (size_t i = 0; i < c->count; i++) {
        if (memcmp(cells_id(&c->at[i]), id, SH_NODE_ID_BYTES) == 0) {
            return &c->at[i];
        }
    }
    return NULL;
}

static enum cells_wire wire_between(struct cells *c, const struct cell *a, const struct cell *b,
                                    enum calls_frame frame)
{
    SH_CHECK(pthread_mutex_lock(&c->lock) == 0);
    enum cells_wire wire = a->wire > b->wire ? a->wire : b->wire;
    if (wire == CELLS_CARRY && c->budget == 0) {
        wire = CELLS_SWALLOW;
    }
    if (wire == CELLS_CARRY) {
        c->budget -= c->budget == UINT64_MAX ? 0 : 1;
        c->frames[frame]++;
        SH_CHECK(pthread_cond_broadcast(&c->carried) == 0);
    }
    SH_CHECK(pthread_mutex_unlock(&c->lock) == 0);
    return wire;
}

static enum sh_err post(void *ctx, enum calls_plane plane, const uint8_t node[SH_NODE_ID_BYTES],
                        enum calls_frame frame, const void *bytes, size_t size)
{
    struct cell *from = ctx;
    struct cell *to = find(from->cells, node);
    enum cells_wire wire = to == NULL ? CELLS_BREAK : wire_between(from->cells, from, to, frame);
    if (wire == CELLS_CARRY) {
        struct sh_span payload = {.at = bytes, .size = size};
        calls_receive(to->s->calls, plane, cells_id(from), frame, payload);
    } else if (wire == CELLS_BREAK && frame == CALLS_REQUEST) {
        calls_peer_down(from->s->calls, plane, node);
    }
    return SH_OK;
}

static void introduce(struct cell *to, const struct cell *about, enum service_liveness liveness)
{
    struct service_member m = {.liveness = liveness};
    memcpy(m.node.id, cells_id(about), SH_NODE_ID_BYTES);
    SH_CHECK(members_put(to->s->members, &m) == SH_OK);
}

struct cell *cells_add(struct cells *c, unsigned parts)
{
    SH_CHECK_CMP(c->count, <, CELLS_MAX);
    struct cell *cell = &c->at[c->count];
    struct service *s = calloc(1, sizeof *s);
    SH_CHECK(s != NULL);
    *cell = (struct cell){.cells = c, .s = s};
    memset(s->trust.node, (int)c->count + 1, SH_NODE_ID_BYTES);
    struct calls_config calls = {.post = post, .ctx = cell};
    memcpy(calls.me, s->trust.node, SH_NODE_ID_BYTES);
    SH_CHECK(kv_mem_open(CFS, SH_COUNT(CFS), &s->bulk_kv) == SH_OK);
    SH_CHECK(blob_open(s->bulk_kv, CF_BLOB, &s->blob) == SH_OK);
    s->series = (struct series){.kv = s->bulk_kv, .cf = CF_SERIES};
    SH_CHECK(members_open(&s->members, s->trust.node) == SH_OK);
    SH_CHECK(calls_open(&s->calls, &calls) == SH_OK);
    if ((parts & CELLS_BLOBS) != 0) {
        struct blobs_config blobs = {.store = s->blob, .calls = s->calls, .members = s->members};
        memcpy(blobs.me, s->trust.node, SH_NODE_ID_BYTES);
        SH_CHECK(blobs_open(&s->blobs, &blobs) == SH_OK);
    }
    if ((parts & CELLS_RECORDS) != 0) {
        SH_CHECK(records_open(&s->records, s) == SH_OK);
    }
    c->count++;
    for (size_t i = 0; i < c->count; i++) {
        introduce(cell, &c->at[i], SERVICE_ALIVE);
        introduce(&c->at[i], cell, SERVICE_ALIVE);
    }
    return cell;
}

void cells_stop(struct cell *cell)
{
    if (cell->s->blobs != NULL) {
        blobs_stop(cell->s->blobs);
    }
    calls_stop(cell->s->calls);
}

void cells_close(struct cells *c)
{
    for (size_t i = 0; i < c->count; i++) {
        if (!calls_stopped(c->at[i].s->calls)) {
            cells_stop(&c->at[i]);
        }
        if (c->at[i].s->records != NULL) {
            records_stop(c->at[i].s->records);
        }
    }
    for (size_t i = 0; i < c->count; i++) {
        struct service *s = c->at[i].s;
        records_close(s->records);
        blobs_close(s->blobs);
        calls_close(s->calls);
        members_close(s->members);
        blob_close(s->blob);
        kv_close(s->bulk_kv);
        free(s);
    }
    SH_CHECK(pthread_cond_destroy(&c->carried) == 0);
    SH_CHECK(pthread_mutex_destroy(&c->lock) == 0);
}

void cells_wire_of(struct cell *cell, enum cells_wire wire)
{
    SH_CHECK(pthread_mutex_lock(&cell->cells->lock) == 0);
    cell->wire = wire;
    SH_CHECK(pthread_mutex_unlock(&cell->cells->lock) == 0);
}

void cells_budget(struct cells *c, uint64_t frames)
{
    SH_CHECK(pthread_mutex_lock(&c->lock) == 0);
    c->budget = frames;
    SH_CHECK(pthread_mutex_unlock(&c->lock) == 0);
}

uint64_t cells_frames(struct cells *c, enum calls_frame frame)
{
    SH_CHECK(pthread_mutex_lock(&c->lock) == 0);
    uint64_t count = c->frames[frame];
    SH_CHECK(pthread_mutex_unlock(&c->lock) == 0);
    return count;
}

bool cells_await(struct cells *c, enum calls_frame frame, uint64_t count)
{
    struct timespec until;
    SH_CHECK(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    until.tv_sec += 5;
    SH_CHECK(pthread_mutex_lock(&c->lock) == 0);
    while (c->frames[frame] < count) {
        if (pthread_cond_timedwait(&c->carried, &c->lock, &until) == ETIMEDOUT) {
            break;
        }
    }
    bool enough = c->frames[frame] >= count;
    SH_CHECK(pthread_mutex_unlock(&c->lock) == 0);
    return enough;
}

void cells_say(struct cell *about, enum service_liveness liveness)
{
    for (size_t i = 0; i < about->cells->count; i++) {
        introduce(&about->cells->at[i], about, liveness);
    }
}

enum sh_err cells_ask(struct cell *cell, enum service_call_kind kind, const void *request,
                      size_t size, void *reply, size_t capacity, size_t *got)
{
    return calls_ask(cell->s->calls, CALLS_CONTROL, cells_id(cell), kind, request, size, reply,
                     capacity, got, 1000000);
}
