/* SPDX-License-Identifier: Apache-2.0 */
#include "train/exchange.h"

#include "train/board.h"

#include "kernels/agg/tree.h"
#include "kernels/kn.h"

#include <stdlib.h>
#include <string.h>

struct neighbour {          /* another member, by its number */
    struct train_view view; /* of its shelf */
    bool reads;             /* it has said that it reads the shelf of this member */
    bool laid[2];           /* its segment of result[i] is seen on its shelf */
};

/* Where a foreign subtree sum of an own chunk is: on its sender's shelf or in a part buffer. */
typedef const float *part_place;

struct train_exchange {
    struct train_exchange_config config;
    void *memory; /* of the core */
    struct round *round;
    struct train_codec codec;
    float *decoded;           /* the payload of the frame at hand; NULL: none is coded */
    struct train_shelf shelf; /* of this generation: board, results, own sums */
    struct neighbour others[WIRE_MEMBERS_MAX];
    uint64_t generation; /* started last */
    uint32_t members;
    uint32_t me;
    struct round_plan plan; /* of the longest vector */
    float *result[2];       /* on the shelf: sums of the longest vector */
    float *shorter[2];      /* of others; nobody's segment is laid over them */
    float *parts;           /* of this generation: one vector per foreign subtree */
    float *part[ROUND_RANKS_MAX];
    part_place *place; /* [subtree][own chunk] */
    uint32_t places;   /* own chunks, at most */
    uint32_t lacking;  /* own subtree sums, in this round */
    struct kn_subtree subtree[ROUND_RANKS_MAX];
    uint32_t subtrees;
    uint32_t own_first;
    uint32_t own_count;
    uint64_t sequence;  /* of the next round */
    uint64_t elements;  /* of the round begun last */
    uint32_t under_way; /* orders popped and not done */
    bool done;          /* the round begun last */
    uint64_t late;
    struct train_order *orders; /* a ring */
    uint32_t capacity;
    uint32_t head;
    uint32_t count;
};

static size_t bytes_of(uint64_t elements)
{
    return (elements * sizeof(float) + KN_ALIGN - 1) / KN_ALIGN * KN_ALIGN;
}

enum sh_err train_exchange_open(struct train_exchange **out,
                                const struct train_exchange_config *config)
{
    struct train_exchange *x = calloc(1, sizeof *x);
    struct sh_arena arena;
    *out = NULL;
    if (x == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    x->config = *config;
    x->shelf.fd = -1;
    struct round_config core = {.elements_max = config->elements,
                                .chunk_elements = TRAIN_CHUNK_ELEMENTS,
                                .window = TRAIN_EXCHANGE_WINDOW,
                                .retry_us = TRAIN_RETRY_US,
                                .stall_us = TRAIN_STALL_US};
    size_t bytes = (round_bytes(&core) + 63) / 64 * 64;
    x->memory = aligned_alloc(64, bytes);
    /* SENDs are bounded by the window, REDUCEs by the chunks. */
    x->capacity = TRAIN_EXCHANGE_WINDOW +
                  round_plan_chunks_max(config->elements, ROUND_MEMBERS_MAX, TRAIN_CHUNK_ELEMENTS);
    x->orders = calloc(x->capacity, sizeof *x->orders);
    train_codec_init(&x->codec, &config->codec, config->lossy);
    bool codes = config->codec.kind != KN_CODEC_F32;
    x->decoded = codes ? malloc(SH_BULK_CHUNK_BYTES) : NULL;
    if (x->memory == NULL || x->orders == NULL || (codes && x->decoded == NULL)) {
        train_exchange_close(x);
        return SH_ERR_NO_MEMORY;
    }
    sh_arena_init(&arena, x->memory, bytes);
    x->round = round_init(&core, &arena);
    *out = x;
    return SH_OK;
}

/* Whoever carries out an order may be reading from the others' shelves. */
static void forget_others(struct train_exchange *x)
{
    SH_CHECK_CMP(x->under_way, ==, 0);
    for (uint32_t i = 0; i < WIRE_MEMBERS_MAX; i++) {
        train_view_close(&x->others[i].view);
        x->others[i].reads = false;
    }
}

void train_exchange_close(struct train_exchange *x)
{
    if (x == NULL) {
        return;
    }
    forget_others(x);
    train_shelf_close(&x->shelf);
    train_codec_fini(&x->codec);
    free(x->decoded);
    free(x->orders);
    free(x->parts);
    free((void *)x->place);
    free(x->memory);
    free(x);
}

/* ---- actions of the core ---- */

static void push(struct train_exchange *x, const struct round_action *action)
{
    SH_CHECK_CMP(x->count, <, x->capacity);
    x->orders[(x->head + x->count) % x->capacity] =
        (struct train_order){.kind = action->kind, .action = *action};
    x->count++;
}

static bool is_ask(const struct round_frame *h)
{
    return h->kind == ROUND_FRAME_ASK_PART || h->kind == ROUND_FRAME_ASK_RESULT;
}

/* Where the sum over all ranks of a round is put together. */
static float *result_of(const struct train_exchange *x, const struct round_frame *h)
{
    bool longest = h->elements == x->config.elements;
    return (longest ? x->result : x->shorter)[h->sequence & 1];
}

static part_place *place_of(struct train_exchange *x, uint32_t subtree, uint64_t part_offset)
{
    uint64_t chunk = part_offset / TRAIN_CHUNK_ELEMENTS;
    SH_CHECK_CMP(chunk, <, x->places);
    return &x->place[(size_t)subtree * x->places + chunk];
}

/* A part on a shelf stays there: its sender overwrites it only when it has the results that are
 * made of it. */
static void keep_part(struct train_exchange *x, const struct round_action *a,
                      struct sh_span payload)
{
    const struct round_frame *h = &a->header;
    float *own = x->part[h->subtree] + a->part_offset;
    if (h->shelf_at == 0) {
        memcpy(own, payload.at, payload.size);
    }
    *place_of(x, h->subtree, a->part_offset) =
        h->shelf_at == 0 ? own : (const float *)(const void *)payload.at;
}

static void keep_result(struct train_exchange *x, const struct round_frame *h,
                        struct sh_span payload)
{
    bool laid = h->elements == x->config.elements && x->others[h->segment].laid[h->sequence & 1];
    if (!laid) { /* else it is there already: its owner wrote it before it was sent */
        memcpy(result_of(x, h) + h->offset, payload.at, payload.size);
    }
}

static void act(struct train_exchange *x, const struct round_action *a, struct sh_span payload)
{
    const struct round_frame *h = &a->header;
    switch (a->kind) {
    case ROUND_KEEP_PART:
    case ROUND_KEEP_RESULT:
        SH_CHECK_CMP(payload.size, ==, (size_t)h->count * ROUND_ELEMENT_BYTES);
        if (a->kind == ROUND_KEEP_PART) {
            keep_part(x, a, payload);
        } else {
            keep_result(x, h, payload);
        }
        break;
    case ROUND_REDUCE:
    case ROUND_SEND:
        push(x, a);
        break;
    case ROUND_DONE:
        SH_CHECK_CMP(h->sequence + 1, ==, x->sequence);
        x->done = true;
        break;
    case ROUND_STALLED:
        x->late |= a->waiting_parts | a->waiting_results;
        break;
    }
}

static void step(struct train_exchange *x, const struct round_event *event, struct sh_span payload)
{
    struct round_update update;
    round_step(x->round, event, &update);
    for (uint32_t i = 0; i < update.count; i++) {
        act(x, &update.actions[i], payload);
    }
}

static void step_plain(struct train_exchange *x, const struct round_event *event)
{
    step(x, event, (struct sh_span){0});
}

/* ---- events ---- */

static enum sh_err take_parts(struct train_exchange *x, uint32_t members)
{
    size_t segment = round_plan_segment_max(x->config.elements, members);
    uint32_t foreign = x->subtrees - x->own_count;
    free(x->parts);
    free((void *)x->place);
    memset((void *)x->part, 0, sizeof x->part);
    x->places = (uint32_t)(segment / TRAIN_CHUNK_ELEMENTS) + 1;
    x->place = (part_place *)calloc((size_t)x->subtrees * x->places, sizeof *x->place);
    segment = (segment + ROUND_ALIGN_ELEMENTS - 1) / ROUND_ALIGN_ELEMENTS * ROUND_ALIGN_ELEMENTS;
    x->parts = aligned_alloc(KN_ALIGN, foreign > 0 ? bytes_of(segment) * foreign : KN_ALIGN);
    if (x->parts == NULL || x->place == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    float *at = x->parts;
    for (uint32_t i = 0; i < x->subtrees; i++) {
        bool own = i >= x->own_first && i < x->own_first + x->own_count;
        x->part[i] = own ? NULL : at;
        at += own ? 0 : segment;
    }
    return SH_OK;
}

static size_t pages_of(size_t bytes)
{
    size_t page = ROUND_PAGE_ELEMENTS * ROUND_ELEMENT_BYTES;
    return (bytes + page - 1) / page * page;
}

/* The board, two results of the longest vector and two of others, then the own sums: equal places
 * on the shelves of all members, as far as the sums. */
static enum sh_err take_shelf(struct train_exchange *x, const struct wire_member *self, bool shared)
{
    size_t board = pages_of(train_board_bytes(x->members));
    size_t longest = pages_of(bytes_of(x->config.elements));
    size_t shorter = pages_of(bytes_of(x->config.shorter));
    size_t sums = train_sum_bytes(x->config.sum, self->rank_lo, self->rank_hi);
    train_sum_use(x->config.sum, NULL);
    train_shelf_close(&x->shelf);
    enum sh_err err = train_shelf_open(&x->shelf, board + 2 * longest + 2 * shorter + sums, shared);
    if (err != SH_OK) {
        return err;
    }
    uint8_t *at = x->shelf.at + board;
    for (uint32_t i = 0; i < 2; i++) {
        x->result[i] = (float *)(void *)(at + i * longest);
        x->shorter[i] = (float *)(void *)(at + 2 * longest + i * shorter);
    }
    train_sum_use(x->config.sum, (float *)(void *)(at + 2 * longest + 2 * shorter));
    return SH_OK;
}

enum sh_err train_exchange_start(struct train_exchange *x, uint64_t now_us, uint64_t generation,
                                 const struct wire_member *members, uint32_t count, uint32_t me)
{
    struct round_member range[WIRE_MEMBERS_MAX];
    SH_CHECK(wire_members_cover(members, count, x->config.ranks));
    for (uint32_t i = 0; i < count; i++) {
        range[i] = (struct round_member){.low = members[i].rank_lo, .high = members[i].rank_hi};
    }
    struct round_event event = {.kind = ROUND_EV_START, .now_us = now_us};
    event.start = (struct round_generation){.generation = generation,
                                            .ranks = x->config.ranks,
                                            .members = count,
                                            .me = me,
                                            .range = range};
    x->count = 0;
    x->sequence = 0;
    x->done = false;
    x->late = 0;
    x->generation = generation;
    x->members = count;
    x->me = me;
    x->lacking = 0;
    SH_CHECK_CMP(x->under_way, ==, 0);
    round_plan_init(&x->plan, x->config.elements, count, TRAIN_CHUNK_ELEMENTS);
    for (uint32_t i = 0; i < WIRE_MEMBERS_MAX; i++) {
        x->others[i].reads = false;
        memset(x->others[i].laid, 0, sizeof x->others[i].laid);
    }
    step_plain(x, &event);
    const struct round_subtree *all = round_subtrees(x->round, &x->subtrees);
    round_own_subtrees(x->round, &x->own_first, &x->own_count);
    for (uint32_t i = 0; i < x->subtrees; i++) {
        uint32_t size = (uint32_t)all[i].high - all[i].low;
        x->subtree[i] = (struct kn_subtree){.lo = all[i].low};
        while ((UINT32_C(1) << x->subtree[i].level) < size) {
            x->subtree[i].level++;
        }
    }
    enum sh_err err = take_parts(x, count);
    err = err != SH_OK ? err : take_shelf(x, &members[me], count > 1);
    err = err != SH_OK ? err : train_codec_start(&x->codec, count, x->own_count);
    if (err != SH_OK) {
        train_exchange_stop(x, now_us);
    }
    return err;
}

void train_exchange_stop(struct train_exchange *x, uint64_t now_us)
{
    x->count = 0;
    x->done = false;
    x->late = 0;
    forget_others(x);
    step_plain(x, &(struct round_event){.kind = ROUND_EV_ABORT, .now_us = now_us});
}

uint64_t train_exchange_shelf(const struct train_exchange *x, int *fd)
{
    *fd = x->shelf.fd;
    return x->shelf.number;
}

bool train_exchange_offered(struct train_exchange *x, uint32_t from, uint64_t number, int fd)
{
    SH_CHECK_CMP(from, <, WIRE_MEMBERS_MAX);
    struct train_view *view = &x->others[from].view;
    if (view->at != NULL) { /* it may be in use; a generation has one shelf a member */
        return view->number == number;
    }
    /* As much as a member with all ranks would need. */
    size_t most = pages_of(train_board_bytes(WIRE_MEMBERS_MAX)) +
                  2 * pages_of(bytes_of(x->config.shorter)) +
                  (2 + (size_t)x->config.ranks) * pages_of(bytes_of(x->config.elements));
    return train_view_open(view, fd, number, most) == SH_OK;
}

void train_exchange_taken(struct train_exchange *x, uint32_t to, uint64_t number)
{
    SH_CHECK_CMP(to, <, WIRE_MEMBERS_MAX);
    x->others[to].reads = number != 0 && number == x->shelf.number;
}

/* Segments of the longest results are from now on seen where their owners make them. Of results
 * that were copied before, the same bytes are there. */
static void lay_segments(struct train_exchange *x)
{
    for (uint32_t i = 0; i < x->plan.owners; i++) {
        struct neighbour *other = &x->others[i];
        if (i == x->me || other->view.number == 0 || x->shelf.number == 0) {
            continue;
        }
        size_t first = x->plan.offset[i] * ROUND_ELEMENT_BYTES;
        size_t size = pages_of(x->plan.offset[i + 1] * ROUND_ELEMENT_BYTES) - first;
        for (uint32_t k = 0; k < 2; k++) {
            size_t place = (size_t)((uint8_t *)x->result[k] - x->shelf.at) + first;
            other->laid[k] =
                other->laid[k] || train_shelf_lay(&x->shelf, &other->view, place, size);
        }
    }
}

void train_exchange_begin(struct train_exchange *x, uint64_t now_us,
                          const struct train_vector *vector)
{
    struct round_event event = {.kind = ROUND_EV_BEGIN, .now_us = now_us};
    SH_CHECK(vector->elements == x->config.elements || vector->elements <= x->config.shorter);
    lay_segments(x);
    x->elements = vector->elements;
    x->lacking = x->own_count;
    train_exchange_wake(x);
    event.begin.sequence = x->sequence++;
    event.begin.elements = vector->elements;
    train_codec_begin(&x->codec, event.begin.sequence, vector->lossy, vector->anew);
    x->done = false;
    step_plain(x, &event);
}

void train_exchange_project(struct train_exchange *x, uint32_t subtree)
{
    train_codec_project(&x->codec, x->sequence - 1, subtree, train_sum_of(x->config.sum, subtree));
}

void train_exchange_ready(struct train_exchange *x, uint64_t now_us, uint32_t subtree)
{
    SH_CHECK_CMP(x->lacking, >, 0);
    x->lacking--;
    step_plain(
        x, &(struct round_event){.kind = ROUND_EV_LOCAL_READY, .now_us = now_us, .local = subtree});
}

/* The payload where the frame says it lies; empty: it cannot be read, and if it ought to be, the
 * shelf is worth nothing; what was taken from it before stays readable. */
static struct sh_span look_up(struct train_view *view, const struct round_frame *h)
{
    struct sh_span span =
        train_view_span(view, h->shelf, h->shelf_at, (size_t)h->count * ROUND_ELEMENT_BYTES);
    bool aligned = h->shelf_at % (ROUND_ALIGN_ELEMENTS * ROUND_ELEMENT_BYTES) == 0;
    if ((span.size == 0 || !aligned) && h->shelf == view->number) {
        view->number = 0;
    }
    return aligned ? span : (struct sh_span){0};
}

void train_exchange_frame(struct train_exchange *x, uint64_t now_us, uint16_t from,
                          const struct round_frame *header, struct sh_span payload)
{
    SH_CHECK_CMP(from, <, WIRE_MEMBERS_MAX);
    struct neighbour *other = &x->others[from];
    if (header->shelf_at != 0) {
        payload = look_up(&other->view, header);
        if (payload.size == 0) {
            return;
        }
    } else if (is_ask(header) && header->generation == x->generation) {
        other->reads = other->reads && header->shelf == x->shelf.number;
    } else if (header->codec != 0) {
        if (!train_codec_decode(&x->codec, header, payload, x->decoded)) {
            return;
        }
        payload.at = (const uint8_t *)x->decoded;
        payload.size = (size_t)header->count * ROUND_ELEMENT_BYTES;
    }
    struct round_event event = {.kind = ROUND_EV_FRAME, .now_us = now_us};
    event.frame.from = from;
    event.frame.header = *header;
    step(x, &event, payload);
}

void train_exchange_timer(struct train_exchange *x, uint64_t now_us)
{
    step_plain(x, &(struct round_event){.kind = ROUND_EV_TIMER, .now_us = now_us});
}

uint64_t train_exchange_deadline_us(const struct train_exchange *x)
{
    return round_deadline_us(x->round);
}

const float *train_exchange_result(const struct train_exchange *x)
{
    struct round_frame last = {.sequence = x->sequence - 1, .elements = x->elements};
    return x->done ? result_of(x, &last) : NULL;
}

uint64_t train_exchange_late(struct train_exchange *x)
{
    uint64_t late = x->late;
    x->late = 0;
    return late;
}

/* ---- boards ---- */

/* The board of a member whose shelf is read here; NULL: of none. */
static const uint8_t *board_of(const struct train_exchange *x, uint32_t member)
{
    const struct train_view *view = &x->others[member].view;
    return view->number != 0 && x->shelf.number != 0
               ? train_view_span(view, view->number, 0, train_board_bytes(x->members)).at
               : NULL;
}

static enum sh_err take_posted(struct train_exchange *x, uint64_t now_us, uint32_t from,
                               const uint8_t *bytes)
{
    struct round_frame header;
    struct sh_span payload;
    struct sh_span span = {.at = bytes, .size = TRAIN_BOARD_FRAME};
    enum sh_err err = round_frame_decode(span, &header, &payload);
    if (err == SH_OK) {
        train_exchange_frame(x, now_us, (uint16_t)from, &header, payload);
    }
    return err;
}

uint32_t train_exchange_poll(struct train_exchange *x, uint64_t now_us)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < x->members; i++) {
        uint8_t bytes[TRAIN_BOARD_FRAME];
        const uint8_t *theirs = i != x->me ? board_of(x, i) : NULL;
        enum sh_err err = theirs != NULL ? SH_OK : SH_ERR_NOT_FOUND;
        for (uint32_t n = 0; err == SH_OK && n < TRAIN_BOARD_FRAMES; n++) {
            err = train_board_take(x->shelf.at, x->me, theirs, i, bytes);
            if (err == SH_OK) {
                err = take_posted(x, now_us, i, bytes);
                count++;
            }
        }
        if (err != SH_OK && err != SH_ERR_NOT_FOUND) {
            x->others[i].view.number = 0;
        }
    }
    return count;
}

bool train_exchange_is_waiting(const struct train_exchange *x)
{
    bool complete = x->lacking == 0 && round_is_running(x->round);
    for (uint32_t i = 0; complete && i < x->members; i++) {
        if (i != x->me && x->others[i].reads && board_of(x, i) != NULL) {
            return true;
        }
    }
    return false;
}

void train_exchange_wake(struct train_exchange *x)
{
    if (x->shelf.number != 0) {
        train_board_set_awake(x->shelf.at, true);
    }
}

bool train_exchange_rest(struct train_exchange *x, uint64_t now_us)
{
    if (x->shelf.number == 0 || x->lacking > 0) {
        return true;
    }
    train_board_set_awake(x->shelf.at, false);
    if (train_exchange_poll(x, now_us) == 0) {
        return true;
    }
    train_board_set_awake(x->shelf.at, true);
    return false;
}

/* ---- orders ---- */

bool train_exchange_is_busy(const struct train_exchange *x)
{
    return x->count > 0 || x->done;
}

/* What a SEND sends, and its header, which names the place where the receiver can read it. */
static const float *name(struct train_exchange *x, const struct round_action *a,
                         struct round_frame *header)
{
    const float *from = NULL;
    *header = a->header;
    if (header->kind == ROUND_FRAME_PART) {
        from = train_sum_of(x->config.sum, a->own) + header->offset;
    } else if (header->kind == ROUND_FRAME_RESULT) {
        from = result_of(x, header) + header->offset;
        /* Others' segments need not lie on this shelf. */
        header->shelf = header->segment == x->me ? header->shelf : 0;
    }
    if (from != NULL && header->shelf != 0) {
        header->shelf_at = (uint64_t)((const uint8_t *)from - x->shelf.at);
    }
    return from;
}

/* True: the frame is where the receiver is going to look. Where it is going to sleep the frame
 * takes the socket too: the second of both is a repetition. */
static bool post(struct train_exchange *x, const struct round_action *a)
{
    uint8_t bytes[TRAIN_BOARD_FRAME];
    struct round_frame header;
    const uint8_t *theirs = board_of(x, a->to);
    if (is_ask(&a->header) || a->header.shelf == 0 || theirs == NULL) {
        return false;
    }
    (void)name(x, a, &header);
    if (header.shelf_at == 0) {
        return false;
    }
    round_frame_encode(&header, bytes);
    return train_board_post(x->shelf.at, x->me, theirs, a->to, bytes) &&
           train_board_is_awake(theirs);
}

bool train_exchange_pop(struct train_exchange *x, uint64_t now_us, struct train_order *order)
{
    while (x->count > 0) {
        *order = x->orders[x->head];
        x->head = (x->head + 1) % x->capacity;
        x->count--;
        x->under_way++;
        if (order->kind != ROUND_SEND) {
            return true;
        }
        struct round_frame *h = &order->action.header;
        const struct neighbour *to = &x->others[order->action.to];
        h->shelf = is_ask(h) ? to->view.number : to->reads ? x->shelf.number : 0;
        if (!post(x, &order->action)) {
            return true;
        }
        train_exchange_done(x, now_us, order);
    }
    return false;
}

static void reduce(struct train_exchange *x, const struct round_action *a)
{
    const float *sums[ROUND_RANKS_MAX];
    const struct round_frame *h = &a->header;
    for (uint32_t i = 0; i < x->subtrees; i++) {
        bool own = i >= x->own_first && i < x->own_first + x->own_count;
        sums[i] = own ? train_sum_of(x->config.sum, i - x->own_first) + h->offset
                      : *place_of(x, i, a->part_offset);
    }
    bool covered = kn_tree_root(x->subtree, sums, x->subtrees, x->config.ranks, h->count,
                                result_of(x, h) + h->offset);
    SH_CHECK(covered);
    train_codec_reduced(&x->codec, h, result_of(x, h) + h->offset);
}

void train_exchange_perform(struct train_exchange *x, const struct train_order *order,
                            uint8_t *head, uint8_t *coded, struct sh_span *body)
{
    const struct round_action *a = &order->action;
    struct round_frame header;
    *body = (struct sh_span){0};
    if (order->kind == ROUND_REDUCE) {
        reduce(x, a);
        return;
    }
    SH_CHECK(order->kind == ROUND_SEND);
    const float *from = name(x, a, &header);
    if (from != NULL && header.shelf_at == 0) {
        size_t size = train_codec_encode(&x->codec, &header, from, coded);
        header.codec = size > 0 ? (uint8_t)x->codec.codec.kind : 0;
        *body =
            (struct sh_span){.at = size > 0 ? coded : (const uint8_t *)from,
                             .size = size > 0 ? size : (size_t)header.count * ROUND_ELEMENT_BYTES};
        header.sum = round_frame_sum(body->at, body->size);
    }
    train_unit_head_encode(x->config.unit, head);
    round_frame_encode(&header, head + TRAIN_UNIT_HEAD);
}

void train_exchange_done(struct train_exchange *x, uint64_t now_us, const struct train_order *order)
{
    const struct round_frame *h = &order->action.header;
    struct round_event event = {.now_us = now_us};
    SH_CHECK_CMP(x->under_way, >, 0);
    x->under_way--;
    if (order->kind == ROUND_REDUCE) {
        event.kind = ROUND_EV_REDUCED;
        event.reduced.generation = h->generation;
        event.reduced.sequence = h->sequence;
        event.reduced.chunk = h->chunk;
    } else {
        event.kind = ROUND_EV_SEND_DONE;
        event.sent.generation = h->generation;
        event.sent.sequence = h->sequence;
        event.sent.kind = h->kind;
    }
    step_plain(x, &event);
}

enum sh_err train_exchange_decode(struct sh_span bytes, struct wire_unit *unit,
                                  struct round_frame *header, struct sh_span *payload)
{
    struct sh_span frame;
    *payload = (struct sh_span){0};
    enum sh_err err = train_unit_head_decode(bytes, unit, &frame);
    err = err == SH_OK ? round_frame_decode(frame, header, payload) : err;
    if (err == SH_OK && payload->size > 0 &&
        round_frame_sum(payload->at, payload->size) != header->sum) {
        err = SH_ERR_CORRUPT;
    }
    return err;
}
