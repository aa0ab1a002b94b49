/* SPDX-License-Identifier: Apache-2.0
 *
 * Input: first as one frame for the decoder; then as a script of 8-byte orders for a core among
 * three members, two of which say what they like. */
#include "push/push.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ORDER_BYTES = 8, ELEMENTS = 1000, CHUNK = 64, ME = 1, BUFFERS = 2 };

struct host {
    struct push *push;
    struct push_update update;
    uint64_t now_us;
    uint64_t generation;
    bool absorbs[BUFFERS]; /* in buffers to be answered */
    bool restores[BUFFERS];
};

static void try_decoder(const uint8_t *data, size_t size)
{
    struct push_frame frame;
    struct sh_span payload;
    struct sh_span bytes = {.at = data, .size = size};
    if (push_frame_decode(bytes, &frame, &payload) == SH_OK) {
        uint8_t again[PUSH_FRAME_BYTES];
        push_frame_encode(&frame, again);
        SH_CHECK_CMP(memcmp(again, data, PUSH_FRAME_BYTES), ==, 0);
        SH_CHECK_CMP(payload.size, ==, size - PUSH_FRAME_BYTES);
    }
}

static void step(struct host *h, struct push_event event)
{
    event.now_us = h->now_us;
    push_step(h->push, &event, &h->update);
    push_check(h->push);
    for (uint32_t i = 0; i < h->update.count; i++) {
        const struct push_action *a = &h->update.actions[i];
        if (a->kind == PUSH_ABSORB) {
            SH_CHECK(!h->absorbs[a->buffer]);
            h->absorbs[a->buffer] = true;
        } else if (a->kind == PUSH_RESTORE) {
            SH_CHECK(!h->restores[a->buffer]);
            h->restores[a->buffer] = true;
        } else if (a->kind == PUSH_SEND) {
            uint8_t bytes[PUSH_FRAME_BYTES];
            push_frame_encode(&a->header, bytes);
            SH_CHECK(a->to != ME && a->to < 3);
        } else if (a->kind == PUSH_KEEP) {
            SH_CHECK_CMP(a->offset, <, ELEMENTS);
        }
    }
}

static void start(struct host *h, const uint8_t *o)
{
    static const uint32_t SHARES[] = {1, 3, 2};
    struct push_event event = {.kind = PUSH_EV_START};
    event.start = (struct push_generation){.generation = ++h->generation,
                                           .members = 3,
                                           .me = ME,
                                           .shares = SHARES,
                                           .elements = ELEMENTS - o[2] % 2 * 100u,
                                           .has_state = o[1] % 2 == 0};
    memset(h->absorbs, 0, sizeof h->absorbs);
    memset(h->restores, 0, sizeof h->restores);
    step(h, event);
}

static void answer(struct host *h, uint32_t buffer)
{
    if (h->absorbs[buffer]) {
        h->absorbs[buffer] = false;
        step(h, (struct push_event){.kind = PUSH_EV_ABSORBED, .buffer = buffer});
    } else if (h->restores[buffer]) {
        h->restores[buffer] = false;
        step(h, (struct push_event){.kind = PUSH_EV_RESTORED, .buffer = buffer});
    }
}

static void receive(struct host *h, const uint8_t *o)
{
    struct push_event event = {.kind = PUSH_EV_FRAME};
    struct push_frame *f = &event.frame.header;
    f->kind = (enum push_frame_kind)(PUSH_FRAME_OFFER + o[1] % 8);
    f->from = o[2] % 4;
    f->generation = h->generation + 1 - (o[2] > 250 ? 0 : 1);
    f->transfer = o[3] % 16;
    f->chunk = o[4] % 18;
    f->count = o[5] > 100 ? CHUNK : o[5] % 42;
    f->weight = (uint64_t)o[6] << (o[7] % 64);
    f->elements = o[5] % 3 == 0 ? ELEMENTS - 100 : ELEMENTS;
    event.frame.from = o[2] > 240 ? 0 : f->from;
    step(h, event);
}

static void know(struct host *h, const uint8_t *o)
{
    struct push_event event = {.kind = o[1] > 240 ? PUSH_EV_GONE : PUSH_EV_REACH};
    uint32_t member = o[2] % 2 * 2u;
    if (event.kind == PUSH_EV_GONE) {
        event.gone = member;
    } else {
        event.reach.member = member;
        event.reach.reachable = o[3] % 3 > 0;
        event.reach.empty = o[4] % 4 == 0;
    }
    step(h, event);
}

static void obey(struct host *h, const uint8_t *o)
{
    struct push_event event = {.kind = PUSH_EV_TICK};
    switch (o[0] % 16) {
    case 0:
        start(h, o);
        break;
    case 1:
        step(h, (struct push_event){.kind = o[1] > 200 ? PUSH_EV_STOP : PUSH_EV_LOADED});
        break;
    case 2:
        step(h, (struct push_event){.kind = PUSH_EV_CLOSE, .close = o[1] % 3});
        break;
    case 3:
        know(h, o);
        break;
    case 4:
        h->now_us += o[1] * 10u;
        step(h, (struct push_event){.kind = PUSH_EV_TIMER});
        break;
    case 5:
    case 6:
        answer(h, o[1] % BUFFERS);
        break;
    case 7:
    case 8:
        event.tick.number = o[1];
        step(h, event);
        break;
    default:
        receive(h, o);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_decoder(data, size);
    const struct push_config config = {.members_max = 3,
                                       .elements_max = ELEMENTS,
                                       .chunk_elements = CHUNK,
                                       .window = 4,
                                       .out_max = BUFFERS,
                                       .in_max = BUFFERS,
                                       .retry_us = 100,
                                       .patience_us = 1000};
    size_t bytes = (push_bytes(&config) + 63) / 64 * 64;
    void *memory = aligned_alloc(64, bytes);
    struct host *h = calloc(1, sizeof *h);
    if (memory == NULL || h == NULL) {
        abort();
    }
    struct sh_arena arena;
    sh_arena_init(&arena, memory, bytes);
    h->push = push_init(&config, &arena);
    for (; size >= ORDER_BYTES; data += ORDER_BYTES, size -= ORDER_BYTES) {
        obey(h, data);
    }
    free(h);
    free(memory);
    return 0;
}
