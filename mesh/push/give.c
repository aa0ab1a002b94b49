/* SPDX-License-Identifier: Apache-2.0 */
#include "push/state.h"

bool push_gives_to(const struct push *p, uint32_t to)
{
    for (uint32_t i = 0; i < p->config.out_max; i++) {
        if (p->out[i].stage != PUSH_OUT_FREE && p->out[i].to == to) {
            return true;
        }
    }
    return false;
}

/* What the transfer waits for is said, and said again after a pause. */
static void say_again(struct push *p, struct push_out *out, struct push_update *u)
{
    bool given = out->stage == PUSH_OUT_GIVEN;
    struct push_frame *f =
        push_say(p, u, given ? PUSH_FRAME_GIVE : PUSH_FRAME_OFFER, out->to, out->transfer);
    f->weight = given ? out->weight : p->weight + out->weight;
    f->elements = given ? 0 : p->elements;
    f->mark = out->mark;
    out->retry_us = p->now_us + out->pause_us;
    out->pause_us = 2 * out->pause_us < PUSH_PAUSE_MAX * p->config.retry_us
                        ? 2 * out->pause_us
                        : PUSH_PAUSE_MAX * p->config.retry_us;
}

enum push_tick push_give(struct push *p, uint32_t to, uint64_t weight, uint64_t mark,
                         struct push_update *u)
{
    SH_CHECK(weight > 0 && weight <= p->weight);
    uint32_t buffer = 0;
    while (buffer < p->config.out_max && p->out[buffer].stage != PUSH_OUT_FREE) {
        buffer++;
    }
    if (buffer == p->config.out_max) {
        return PUSH_TICK_FULL;
    }
    struct push_out *out = &p->out[buffer];
    *out = (struct push_out){.stage = PUSH_OUT_OFFERED,
                             .to = (uint16_t)to,
                             .transfer = p->next++,
                             .weight = weight,
                             .mark = mark,
                             .pause_us = p->config.retry_us,
                             .until_us = p->now_us + p->config.patience_us};
    p->weight -= weight;
    struct push_action *open = push_act(p, u, PUSH_OPEN, buffer);
    open->to = out->to;
    open->weight = weight;
    say_again(p, out, u);
    return PUSH_TICK_GAVE;
}

static void take_back(struct push *p, uint32_t buffer, struct push_update *u)
{
    struct push_out *out = &p->out[buffer];
    out->stage = PUSH_OUT_BACK;
    push_act(p, u, PUSH_RESTORE, buffer)->weight = out->weight;
}

void push_recall(struct push *p, uint32_t from, bool gone, struct push_update *u)
{
    for (uint32_t i = 0; i < p->config.out_max; i++) {
        struct push_out *out = &p->out[i];
        bool mine = out->stage == PUSH_OUT_OFFERED || (gone && out->stage == PUSH_OUT_GIVEN);
        if (mine && out->to == from) {
            take_back(p, i, u);
        }
    }
}

static enum push_verdict send_chunks(struct push *p, uint32_t buffer, const struct push_frame *f,
                                     struct push_update *u)
{
    struct push_out *out = &p->out[buffer];
    if (f->count > p->config.window || f->chunk >= p->chunks || f->count > p->chunks - f->chunk) {
        return PUSH_INVALID;
    }
    if (out->stage != PUSH_OUT_OFFERED) {
        return PUSH_DUPLICATE;
    }
    for (uint32_t c = f->chunk; c < f->chunk + f->count; c++) {
        struct push_frame *data = push_say(p, u, PUSH_FRAME_DATA, out->to, out->transfer);
        data->chunk = c;
        data->count = push_chunk_count(p, c);
        u->actions[u->count - 1].buffer = buffer;
        u->actions[u->count - 1].offset = (uint64_t)c * p->config.chunk_elements;
    }
    out->pause_us = p->config.retry_us;
    out->retry_us = p->now_us + p->config.patience_us; /* the taker asks for what it lacks */
    out->until_us = p->now_us + p->config.patience_us;
    return PUSH_USED;
}

static enum push_verdict resolve(struct push *p, uint32_t buffer, const struct push_frame *f,
                                 struct push_update *u)
{
    struct push_out *out = &p->out[buffer];
    if (f->kind == PUSH_FRAME_RETURN) {
        p->peers[out->to].closed = p->peers[out->to].closed || f->count == 1;
        take_back(p, buffer, u);
        return PUSH_USED;
    }
    if (out->stage != PUSH_OUT_GIVEN) {
        return PUSH_INVALID; /* taken before it was given */
    }
    out->stage = PUSH_OUT_FREE;
    p->given += out->weight;
    p->counters.given++;
    return PUSH_USED;
}

enum push_verdict push_hear_taker(struct push *p, uint16_t from, const struct push_frame *f,
                                  struct push_update *u)
{
    uint32_t buffer = 0;
    while (buffer < p->config.out_max &&
           (p->out[buffer].stage == PUSH_OUT_FREE || p->out[buffer].stage == PUSH_OUT_BACK ||
            p->out[buffer].to != from || p->out[buffer].transfer != f->transfer)) {
        buffer++;
    }
    bool asks = f->kind == PUSH_FRAME_ASK || f->kind == PUSH_FRAME_TAKE;
    if (f->transfer >= p->next) {
        return PUSH_INVALID;
    }
    if (buffer == p->config.out_max) { /* over */
        if (asks) {
            (void)push_say(p, u, PUSH_FRAME_VOID, from, f->transfer);
        }
        return PUSH_DUPLICATE;
    }
    if (f->kind == PUSH_FRAME_ASK) {
        return send_chunks(p, buffer, f, u);
    }
    if (!asks) {
        return resolve(p, buffer, f, u);
    }
    struct push_out *out = &p->out[buffer];
    bool first = out->stage == PUSH_OUT_OFFERED;
    out->stage = PUSH_OUT_GIVEN;
    out->pause_us = p->config.retry_us;
    say_again(p, out, u);
    return first ? PUSH_USED : PUSH_DUPLICATE;
}

void push_out_timer(struct push *p, uint32_t buffer, struct push_update *u)
{
    struct push_out *out = &p->out[buffer];
    if (out->stage == PUSH_OUT_OFFERED && p->now_us >= out->until_us) {
        take_back(p, buffer, u);
    } else if ((out->stage == PUSH_OUT_OFFERED || out->stage == PUSH_OUT_GIVEN) &&
               p->now_us >= out->retry_us) {
        say_again(p, out, u);
    }
}
