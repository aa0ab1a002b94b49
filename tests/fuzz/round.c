/* SPDX-License-Identifier: Apache-2.0
 *
 * Input: first as one frame for the decoder; then as a script of 12-byte orders for a core among
 * three members, whose host answers only what was really ordered. */
#include "round/round.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ORDER_BYTES = 12, ELEMENTS_MAX = 20000, OPEN_MAX = 4096 };

struct host {
    struct round *round;
    struct round_update update;
    uint64_t now_us;
    uint64_t sequence;
    uint32_t ready;
    struct round_frame open[OPEN_MAX]; /* kind 0: a REDUCE, else a SEND */
    uint32_t count;
};

static void try_decoder(const uint8_t *data, size_t size)
{
    struct round_frame frame;
    struct sh_span payload;
    struct sh_span bytes = {.at = data, .size = size};
    if (round_frame_decode(bytes, &frame, &payload) == SH_OK) {
        uint8_t again[ROUND_FRAME_BYTES];
        round_frame_encode(&frame, again);
        SH_CHECK_CMP(memcmp(again, data, ROUND_FRAME_BYTES), ==, 0);
        frame.sum ^= round_frame_sum(payload.at, payload.size);
    }
}

static void step(struct host *h, struct round_event event)
{
    event.now_us = h->now_us;
    round_step(h->round, &event, &h->update);
    round_check(h->round);
    for (uint32_t i = 0; i < h->update.count; i++) {
        const struct round_action *a = &h->update.actions[i];
        if (a->kind == ROUND_REDUCE || a->kind == ROUND_SEND) {
            SH_CHECK_CMP(h->count, <, OPEN_MAX);
            h->open[h->count++] = a->header;
        }
    }
}

static void answer(struct host *h, uint32_t pick)
{
    if (h->count == 0) {
        return;
    }
    uint32_t at = pick % h->count;
    struct round_frame f = h->open[at];
    h->count--;
    h->open[at] = h->open[h->count];
    struct round_event event = {.kind = ROUND_EV_REDUCED};
    if ((int)f.kind == 0) {
        event.reduced.generation = f.generation;
        event.reduced.sequence = f.sequence;
        event.reduced.chunk = f.chunk;
    } else {
        event.kind = ROUND_EV_SEND_DONE;
        event.sent.generation = f.generation;
        event.sent.sequence = f.sequence;
        event.sent.kind = f.kind;
    }
    step(h, event);
}

static void compute(struct host *h, const uint8_t *o)
{
    struct round_event event = {.kind = ROUND_EV_BEGIN};
    uint32_t first = 0;
    uint32_t own = 0;
    round_own_subtrees(h->round, &first, &own);
    if (!round_is_running(h->round)) {
        event.begin.sequence = h->sequence++;
        event.begin.elements = 1 + (o[1] | (uint32_t)o[2] << 8) % ELEMENTS_MAX;
        h->ready = 0;
        step(h, event);
    } else if (h->ready < own) {
        step(h, (struct round_event){.kind = ROUND_EV_LOCAL_READY, .local = h->ready++});
    }
}

/* A frame that agrees with the plan unless the order says otherwise. */
static void receive(struct host *h, const uint8_t *o)
{
    struct round_event event = {.kind = ROUND_EV_FRAME};
    struct round_frame *f = &event.frame.header;
    f->kind = (enum round_frame_kind)(ROUND_FRAME_PART + o[1] % 4);
    f->from = o[2] % 4;
    f->subtree = o[3] % 9;
    f->generation = 5 + o[4] / 100;
    f->sequence = h->sequence + 1 - o[5] % 4;
    f->chunk = o[6];
    const struct round_plan *plan = round_plan(h->round);
    f->elements = plan == NULL || o[7] > 200 ? UINT64_C(77) * o[7] : plan->elements;
    if (plan != NULL && f->chunk < plan->chunks) {
        struct round_slice slice = round_plan_chunk(plan, f->chunk);
        f->segment = (uint16_t)round_plan_owner(plan, f->chunk);
        f->offset = slice.offset + o[8] / 200;
        f->count = f->kind > ROUND_FRAME_RESULT ? 1u + o[9] % 8u : slice.count + o[9] / 200u;
    }
    event.frame.from = o[10] > 250 ? 1 : f->from;
    step(h, event);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct round_member ranges[] = {{0, 3}, {3, 6}, {6, 8}};
    try_decoder(data, size);
    struct round_config config = {.elements_max = ELEMENTS_MAX,
                                  .chunk_elements = 512,
                                  .window = 20,
                                  .retry_us = 100,
                                  .stall_us = 1000};
    size_t bytes = (round_bytes(&config) + 63) / 64 * 64;
    void *memory = aligned_alloc(64, bytes);
    struct host *h = calloc(1, sizeof *h);
    if (memory == NULL || h == NULL) {
        abort();
    }
    struct sh_arena arena;
    sh_arena_init(&arena, memory, bytes);
    h->round = round_init(&config, &arena);
    struct round_event start = {.kind = ROUND_EV_START};
    start.start = (struct round_generation){
        .generation = 5, .ranks = 8, .members = 3, .me = (uint32_t)(size % 3), .range = ranges};
    step(h, start);
    for (; size >= ORDER_BYTES; data += ORDER_BYTES, size -= ORDER_BYTES) {
        switch (data[0] % 8) {
        case 0:
        case 1:
            compute(h, data);
            break;
        case 2:
            answer(h, data[1]);
            break;
        case 3:
            h->now_us += data[1] * 10u;
            step(h, (struct round_event){.kind = ROUND_EV_TIMER});
            break;
        default:
            receive(h, data);
            break;
        }
    }
    free(h);
    free(memory);
    return 0;
}
