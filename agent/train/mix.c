/* SPDX-License-Identifier: Apache-2.0 */
#include "train/mix.h"

#include "round/frame.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct train_mix {
    struct wire_unit unit;
    const struct train_material *m;
    size_t elements;
    void *memory; /* of the core */
    struct push *push;
    uint32_t me;
    uint32_t shares[WIRE_MEMBERS_MAX];
    float *out[TRAIN_MIX_BUFFERS];
    float *in[TRAIN_MIX_BUFFERS];
    float *base[TRAIN_MIX_BUFFERS]; /* own parameters when what is coming in was split off */
    bool based[TRAIN_MIX_BUFFERS];
    bool arrives[TRAIN_MIX_BUFFERS]; /* something of it is here */
    uint64_t transfer[TRAIN_MIX_BUFFERS];
    bool held[TRAIN_MIX_BUFFERS];
    struct train_mix_gift gift[TRAIN_MIX_BUFFERS];
    struct train_mix_order orders[TRAIN_MIX_ORDERS_MAX]; /* a ring */
    uint32_t head;
    uint32_t count;
};

static size_t mixed_state(const struct train_material *m)
{
    return m->job->train.local.reset ? 0 : m->inner_state;
}

enum sh_err train_mix_open(struct train_mix **out, struct wire_unit unit,
                           const struct train_material *m)
{
    struct train_mix *x = calloc(1, sizeof *x);
    struct sh_arena arena;
    *out = NULL;
    if (x == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    x->unit = unit;
    x->m = m;
    x->elements = m->params + m->buffers + mixed_state(m);
    const struct push_config config = {.members_max = WIRE_MEMBERS_MAX,
                                       .elements_max = x->elements,
                                       .chunk_elements = TRAIN_MIX_CHUNK,
                                       .window = TRAIN_MIX_WINDOW,
                                       .out_max = TRAIN_MIX_BUFFERS,
                                       .in_max = TRAIN_MIX_BUFFERS,
                                       .retry_us = TRAIN_MIX_RETRY_US,
                                       .patience_us = TRAIN_MIX_PATIENCE_US};
    size_t bytes = (push_bytes(&config) + 63) / 64 * 64;
    x->memory = aligned_alloc(64, bytes);
    bool good = x->memory != NULL;
    for (uint32_t i = 0; i < TRAIN_MIX_BUFFERS; i++) {
        x->out[i] = calloc(x->elements, sizeof(float));
        x->in[i] = calloc(x->elements, sizeof(float));
        x->base[i] = calloc(m->params, sizeof(float));
        good = good && x->out[i] != NULL && x->in[i] != NULL && x->base[i] != NULL;
    }
    if (!good) {
        train_mix_close(x);
        return SH_ERR_NO_MEMORY;
    }
    sh_arena_init(&arena, x->memory, bytes);
    x->push = push_init(&config, &arena);
    *out = x;
    return SH_OK;
}

void train_mix_close(struct train_mix *x)
{
    if (x == NULL) {
        return;
    }
    for (uint32_t i = 0; i < TRAIN_MIX_BUFFERS; i++) {
        free(x->out[i]);
        free(x->in[i]);
        free(x->base[i]);
    }
    free(x->memory);
    free(x);
}

/* ---- actions of the core ---- */

static void post(struct train_mix *x, const struct push_action *a)
{
    if (x->count == TRAIN_MIX_ORDERS_MAX) {
        return; /* said again, or asked for again */
    }
    x->orders[(x->head + x->count) % TRAIN_MIX_ORDERS_MAX] = (struct train_mix_order){
        .to = a->to, .buffer = a->buffer, .offset = a->offset, .header = a->header};
    x->count++;
}

static void copy_state(float *to, const struct train_material *m, const struct train_state *state)
{
    memcpy(to, state->params, m->params * sizeof(float));
    memcpy(to + m->params, state->buffers, m->buffers * sizeof(float));
    memcpy(to + m->params + m->buffers, state->optim, mixed_state(m) * sizeof(float));
}

/* The first chunk of a transfer: the session notes where its own parameters stand. */
static void note_arrival(struct train_mix *x, uint32_t buffer, const struct push_event *event)
{
    const struct push_frame *f = &event->frame.header;
    struct train_mix_gift *g = &x->gift[buffer];
    if (!x->arrives[buffer] || g->from != event->frame.from || x->transfer[buffer] != f->transfer) {
        x->arrives[buffer] = true;
        x->based[buffer] = false;
        x->transfer[buffer] = f->transfer;
        g->from = event->frame.from;
    }
}

static void act(struct train_mix *x, const struct push_action *a, const struct push_event *event,
                const struct train_state *state, struct sh_span payload)
{
    switch (a->kind) {
    case PUSH_OPEN:
        SH_CHECK(state != NULL);
        copy_state(x->out[a->buffer], x->m, state);
        break;
    case PUSH_SEND:
        post(x, a);
        break;
    case PUSH_KEEP:
        SH_CHECK_CMP(a->offset + payload.size / PUSH_ELEMENT_BYTES, <=, x->elements);
        memcpy(x->in[a->buffer] + a->offset, payload.at, payload.size);
        note_arrival(x, a->buffer, event);
        break;
    case PUSH_ABSORB:
        x->held[a->buffer] = true;
        x->gift[a->buffer] = (struct train_mix_gift){.buffer = a->buffer,
                                                     .from = a->from,
                                                     .position = a->mark,
                                                     .weight = a->weight,
                                                     .vector = x->in[a->buffer]};
        break;
    case PUSH_RESTORE:
        break; /* see step */
    }
}

static enum push_tick step(struct train_mix *x, struct push_event *event, uint64_t now_us,
                           const struct train_state *state, struct sh_span payload)
{
    struct push_update u;
    event->now_us = now_us;
    push_step(x->push, event, &u);
    for (uint32_t i = 0; i < u.count; i++) {
        act(x, &u.actions[i], event, state, payload);
    }
    for (uint32_t i = 0; i < u.count; i++) {
        if (u.actions[i].kind == PUSH_RESTORE) { /* the own vector is what it was, and further */
            struct push_event back = {
                .kind = PUSH_EV_RESTORED, .now_us = now_us, .buffer = u.actions[i].buffer};
            struct push_update none;
            push_step(x->push, &back, &none);
            SH_CHECK_CMP(none.count, ==, 0);
        }
    }
    return u.tick;
}

static void step_plain(struct train_mix *x, struct push_event event, uint64_t now_us)
{
    (void)step(x, &event, now_us, NULL, (struct sh_span){0});
}

/* ---- events ---- */

void train_mix_start(struct train_mix *x, uint64_t now_us, uint64_t generation,
                     const struct wire_member *members, uint32_t count, uint32_t me, bool has_state)
{
    struct push_event event = {.kind = PUSH_EV_START};
    SH_CHECK_CMP(count, <=, WIRE_MEMBERS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        x->shares[i] = (uint32_t)members[i].rank_hi - members[i].rank_lo;
    }
    x->me = me;
    x->count = 0;
    memset(x->held, 0, sizeof x->held);
    memset(x->arrives, 0, sizeof x->arrives);
    event.start = (struct push_generation){.generation = generation,
                                           .members = count,
                                           .me = me,
                                           .shares = x->shares,
                                           .elements = x->elements,
                                           .has_state = has_state};
    step_plain(x, event, now_us);
}

void train_mix_stop(struct train_mix *x, uint64_t now_us)
{
    x->count = 0;
    memset(x->held, 0, sizeof x->held);
    memset(x->arrives, 0, sizeof x->arrives);
    step_plain(x, (struct push_event){.kind = PUSH_EV_STOP}, now_us);
}

void train_mix_loaded(struct train_mix *x, uint64_t now_us)
{
    step_plain(x, (struct push_event){.kind = PUSH_EV_LOADED}, now_us);
}

enum push_tick train_mix_tick(struct train_mix *x, uint64_t now_us, const struct train_state *state)
{
    struct push_event event = {.kind = PUSH_EV_TICK};
    event.tick.number = state->position;
    event.tick.mark = state->position;
    return step(x, &event, now_us, state, (struct sh_span){0});
}

void train_mix_hand_in(struct train_mix *x, uint64_t now_us, uint32_t to)
{
    step_plain(x, (struct push_event){.kind = PUSH_EV_CLOSE, .close = to}, now_us);
}

void train_mix_frame(struct train_mix *x, uint64_t now_us, uint16_t from,
                     const struct push_frame *header, struct sh_span payload)
{
    struct push_event event = {.kind = PUSH_EV_FRAME};
    event.frame.from = from;
    event.frame.header = *header;
    (void)step(x, &event, now_us, NULL, payload);
}

void train_mix_reach(struct train_mix *x, uint64_t now_us, uint32_t member, bool reachable,
                     bool empty)
{
    struct push_event event = {.kind = PUSH_EV_REACH};
    event.reach.member = member;
    event.reach.reachable = reachable;
    event.reach.empty = empty;
    step_plain(x, event, now_us);
}

void train_mix_gone(struct train_mix *x, uint64_t now_us, uint32_t member)
{
    step_plain(x, (struct push_event){.kind = PUSH_EV_GONE, .gone = member}, now_us);
}

void train_mix_timer(struct train_mix *x, uint64_t now_us)
{
    step_plain(x, (struct push_event){.kind = PUSH_EV_TIMER}, now_us);
}

uint64_t train_mix_deadline_us(const struct train_mix *x)
{
    return push_deadline_us(x->push);
}

/* ---- frames that leave ---- */

bool train_mix_pop(struct train_mix *x, struct train_mix_order *order)
{
    while (x->count > 0) {
        *order = x->orders[x->head];
        x->head = (x->head + 1) % TRAIN_MIX_ORDERS_MAX;
        x->count--;
        if (order->header.kind != PUSH_FRAME_DATA ||
            push_is_giving(x->push, order->buffer, order->header.transfer)) {
            return true;
        }
    }
    return false;
}

void train_mix_perform(const struct train_mix *x, const struct train_mix_order *order,
                       uint8_t *head, struct sh_span *body)
{
    struct push_frame header = order->header;
    *body = (struct sh_span){0};
    if (header.kind == PUSH_FRAME_DATA) {
        body->at = (const uint8_t *)(x->out[order->buffer] + order->offset);
        body->size = (size_t)header.count * PUSH_ELEMENT_BYTES;
        header.sum = round_frame_sum(body->at, body->size);
    }
    train_unit_head_encode(x->unit, head);
    push_frame_encode(&header, head + TRAIN_UNIT_HEAD);
}

enum sh_err train_mix_decode(struct sh_span bytes, struct wire_unit *unit,
                             struct push_frame *header, struct sh_span *payload)
{
    struct sh_span frame;
    *payload = (struct sh_span){0};
    enum sh_err err = train_unit_head_decode(bytes, unit, &frame);
    err = err == SH_OK ? push_frame_decode(frame, header, payload) : err;
    if (err == SH_OK && payload->size > 0 &&
        round_frame_sum(payload->at, payload->size) != header->sum) {
        err = SH_ERR_CORRUPT;
    }
    return err;
}

/* ---- gifts ---- */

bool train_mix_gift(const struct train_mix *x, struct train_mix_gift *gift)
{
    for (uint32_t i = 0; i < TRAIN_MIX_BUFFERS; i++) {
        if (x->held[i]) {
            *gift = x->gift[i];
            return true;
        }
    }
    return false;
}

static bool is_finite(const float *vector, size_t count)
{
    float sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += vector[i] * 0; /* NaN where one is not finite */
    }
    return isfinite(sum) != 0;
}

/* The length of b - a by that of a. */
static double distance(const float *a, const float *b, size_t count)
{
    double length = 0;
    double between = 0;
    for (size_t i = 0; i < count; i++) {
        double difference = (double)b[i] - (double)a[i];
        length += (double)a[i] * (double)a[i];
        between += difference * difference;
    }
    return length > 0 ? sqrt(between / length) : 0;
}

void train_mix_note(struct train_mix *x, uint32_t buffer, const struct train_state *state)
{
    memcpy(x->base[buffer], state->params, x->m->params * sizeof(float));
}

uint32_t train_mix_arrived(struct train_mix *x)
{
    for (uint32_t i = 0; i < TRAIN_MIX_BUFFERS; i++) {
        if (x->arrives[i] && !x->based[i]) {
            x->based[i] = true;
            return i;
        }
    }
    return UINT32_MAX;
}

/* By how much the giver's parameters differed from the own ones when they were split off, so that
 * what was learnt since is not undone; what others wait to be compared with moves along. */
static void move_params(struct train_mix *x, uint32_t buffer, float part, float *own)
{
    for (size_t i = 0; i < x->m->params; i++) {
        float by = (x->in[buffer][i] - x->base[buffer][i]) * part;
        own[i] += by;
        for (uint32_t k = 0; k < TRAIN_MIX_BUFFERS; k++) {
            x->base[k][i] += by; /* of no concern where nothing arrives */
        }
    }
}

static void move(float *own, const float *other, float part, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        own[i] += (other[i] - own[i]) * part;
    }
}

enum sh_err train_mix_add(struct train_mix *x, const struct train_mix_gift *gift,
                          uint64_t own_weight, struct train_state *state, double *apart)
{
    const struct train_material *m = x->m;
    const float *buffers = gift->vector + m->params;
    const float *inner = buffers + m->buffers;
    *apart = (double)NAN;
    if (!is_finite(gift->vector, x->elements)) {
        return SH_ERR_DIVERGED;
    }
    if (!state->set) {
        train_state_begin(state);
        own_weight = 0;
    }
    bool fresh = own_weight == 0 || (state->position == 0 && gift->position > 0);
    if (fresh) {
        memcpy(state->params, gift->vector, m->params * sizeof(float));
        memcpy(state->buffers, buffers, m->buffers * sizeof(float));
        memcpy(state->optim, inner, mixed_state(m) * sizeof(float));
        for (uint32_t i = 0; i < TRAIN_MIX_BUFFERS; i++) {
            train_mix_note(x, i, state); /* what is on its way is compared with what this is now */
        }
        return SH_OK;
    }
    *apart = distance(x->base[gift->buffer], gift->vector, m->params);
    float part = (float)((double)gift->weight / ((double)own_weight + (double)gift->weight));
    move_params(x, gift->buffer, part, state->params);
    move(state->buffers, buffers, part, m->buffers);
    move(state->optim, inner, part, mixed_state(m));
    return SH_OK;
}

void train_mix_absorbed(struct train_mix *x, uint64_t now_us, const struct train_mix_gift *gift)
{
    SH_CHECK(x->held[gift->buffer]);
    x->held[gift->buffer] = false;
    x->arrives[gift->buffer] = false;
    step_plain(x, (struct push_event){.kind = PUSH_EV_ABSORBED, .buffer = gift->buffer}, now_us);
}

/* ---- looking ---- */

uint64_t train_mix_weight(const struct train_mix *x)
{
    return push_weight(x->push);
}

bool train_mix_has_all(const struct train_mix *x)
{
    return push_weight(x->push) == push_total(x->push);
}

double train_mix_evenness(const struct train_mix *x)
{
    struct push_spread s = push_spread(x->push);
    return s.most_ppm > 0 ? (double)s.least_ppm / (double)s.most_ppm : (double)NAN;
}
