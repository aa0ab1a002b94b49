/* SPDX-License-Identifier: Apache-2.0 */
#include "train/session.h"

#include "bulk.h"
#include "journal.h"
#include "train/inside.h"

#include "base/host/host.h"
#include "kernels/kn.h"
#include "train/blob.h"
#include "wire/frame.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_US                                                                                    \
    UINT64_C(50000) /* one wait for room; then it is looked whether sending still helps */

/* ---- waiting ---- */

bool train_interrupted(const struct train_session *x)
{
    return x->leaving || x->parked || x->next.stopping != x->at.stopping ||
           x->next.yielding != x->at.yielding ||
           !wire_fence_equal(x->next.placement.fence, x->at.placement.fence);
}

void train_send(struct train_session *x, uint32_t member, uint16_t type, struct sh_span head,
                struct sh_span body)
{
    const uint8_t *node = x->at.placement.members[member].node;
    uint64_t until = sh_now_us() + TRAIN_SEND_US;
    enum sh_err err = bulk_send(x->config.bulk, node, type, head, body);
    while (err == SH_ERR_FULL && sh_now_us() < until) {
        train_lock(x);
        bool interrupted = train_interrupted(x);
        train_unlock(x);
        if (interrupted) {
            return;
        }
        if (bulk_wait_room(x->config.bulk, node, head.size + body.size, ROOM_US)) {
            err = bulk_send(x->config.bulk, node, type, head, body);
        }
    }
    /* A frame that cannot leave is asked for again by who misses it. */
}

/* One order, without the lock in between. */
static void carry_out(struct train_session *x, const struct train_order *order)
{
    uint8_t head[TRAIN_UNIT_HEAD + ROUND_FRAME_BYTES];
    uint8_t coded[TRAIN_CODED_MAX];
    struct sh_span body;
    train_unlock(x);
    train_exchange_perform(x->exchange, order, head, coded, &body);
    if (order->kind == ROUND_SEND) {
        struct sh_span span = {.at = head, .size = sizeof head};
        train_send(x, order->action.to, FRAME_TRAIN_CHUNK, span, body);
    }
    train_lock(x);
    train_exchange_done(x->exchange, sh_now_us(), order);
}

static void note_late(struct train_session *x)
{
    uint64_t late = train_exchange_late(x->exchange);
    for (uint32_t i = 0; i < x->at.placement.member_count; i++) {
        if ((late >> i & 1) != 0 && i != x->index) {
            train_scribe_lost(x->scribe, x->at.placement.fence, x->at.placement.members[i].node);
        }
    }
}

/* With the lock: all that can be done now, which was something. */
static bool carry_on(struct train_session *x)
{
    struct train_order order;
    bool any = train_exchange_poll(x->exchange, sh_now_us()) > 0;
    while (train_exchange_pop(x->exchange, sh_now_us(), &order)) {
        carry_out(x, &order);
        any = true;
    }
    return any;
}

/* With the lock: while only sums of members on this machine are missing, looks for a while at what
 * they post. They are about as far, and what they do is done before a thread would be woken for it.
 * True: there was something, or others did something meanwhile, whose signal nobody waited for. */
static bool linger(struct train_session *x)
{
    uint64_t until = sh_now_us() + TRAIN_LINGER_US;
    uint32_t asked = x->asked_count;
    bool any = false;
    bool waiting = train_exchange_is_waiting(x->exchange);
    if (!waiting || train_interrupted(x)) {
        return false;
    }
    while (waiting && !train_interrupted(x) && sh_now_us() < until) {
        train_unlock(x);
        SH_CHECK(sched_yield() == 0);
        train_lock(x);
        if (carry_on(x)) {
            until = sh_now_us() + TRAIN_LINGER_US;
            any = true;
        }
        waiting = train_exchange_is_waiting(x->exchange);
    }
    return any || !waiting || train_interrupted(x) || x->asked_count != asked;
}

void train_turn(struct train_session *x, uint64_t until_us)
{
    if (carry_on(x)) {
        return;
    }
    if (x->asked_count > 0) {
        struct train_asked asked = x->asked[0];
        x->asked_count--;
        memmove(&x->asked[0], &x->asked[1], x->asked_count * sizeof x->asked[0]);
        train_unlock(x);
        train_serve(x, &asked);
        train_lock(x);
        return;
    }
    if (train_exchange_deadline_us(x->exchange) <= sh_now_us()) {
        train_exchange_timer(x->exchange, sh_now_us());
        note_late(x);
        return;
    }
    if (linger(x) || !train_exchange_rest(x->exchange, sh_now_us())) {
        return;
    }
    /* The last own sum sets a deadline and wakes nobody for it. */
    uint64_t deadline = sh_now_us() + TRAIN_RETRY_US;
    deadline = deadline < until_us ? deadline : until_us;
    uint64_t core = train_exchange_deadline_us(x->exchange);
    train_clock_wait(&x->changed, &x->lock, deadline < core ? deadline : core);
    train_exchange_wake(x->exchange);
}

void train_fail(struct train_session *x, enum sh_err reason, bool final, const char *text)
{
    struct train_result result = {
        .fence = x->at.placement.fence, .failed = true, .reason = reason, .final = final};
    (void)snprintf(result.text, sizeof result.text, "%s", text);
    memcpy(result.node, x->me, sizeof result.node);
    journal_warn("job %llu: %s", (unsigned long long)x->config.part.unit.job, text);
    train_clerk_result(x->clerk, &result);
}

/* ---- the crew's calls ---- */

/* What the sum makes possible is done right here: waking the session's thread for it would cost
 * more than most of it takes. */
static void on_ready(void *ctx, uint32_t subtree)
{
    struct train_session *x = ctx;
    if (x->mix == NULL) {
        train_exchange_project(x->exchange, subtree);
    }
    train_lock(x);
    if (x->mix != NULL) {
        x->sums_ready++;
        SH_CHECK(pthread_cond_signal(&x->changed) == 0);
        train_unlock(x);
        return;
    }
    train_exchange_ready(x->exchange, sh_now_us(), subtree);
    do {
        (void)carry_on(x);
        (void)linger(x);
    } while (!train_exchange_rest(x->exchange, sh_now_us()));
    if (train_exchange_result(x->exchange) != NULL) {
        SH_CHECK(pthread_cond_signal(&x->changed) == 0);
    }
    train_unlock(x);
}

static void on_failed(void *ctx, uint32_t rank, const struct kn_diag *diag)
{
    struct train_session *x = ctx;
    train_lock(x);
    if (!x->rank_failed || rank < x->failed_rank) {
        x->failed_rank = rank;
        x->rank_diag = *diag;
    }
    x->rank_failed = true;
    SH_CHECK(pthread_cond_signal(&x->changed) == 0);
    train_unlock(x);
}

/* ---- preparing ---- */

static enum sh_err equip(struct train_session *x)
{
    const struct train_material *m = x->m;
    uint32_t threads = x->config.threads < m->ranks ? x->config.threads : m->ranks;
    size_t shorter = 0;
    size_t longest = train_material_longest(m, &shorter);
    enum sh_err err = train_state_open(&x->state, m);
    err = err != SH_OK ? err : train_sum_open(&x->sum, m->ranks, longest, threads);
    struct train_exchange_config exchange = {.unit = x->config.part.unit,
                                             .ranks = m->ranks,
                                             .elements = longest,
                                             .shorter = shorter,
                                             .codec = m->codec,
                                             .lossy = m->params,
                                             .sum = x->sum};
    struct train_exchange *opened = NULL;
    err = err != SH_OK ? err : train_exchange_open(&opened, &exchange);
    struct train_mix *mix = NULL;
    if (err == SH_OK && m->job->train.local.average == SPEC_AVERAGE_GOSSIP) {
        err = train_mix_open(&mix, x->config.part.unit, m);
    }
    train_lock(x);
    x->exchange = opened;
    x->mix = mix;
    train_unlock(x);
    struct train_crew_config crew = {.m = m,
                                     .sum = x->sum,
                                     .threads = threads,
                                     .ready = on_ready,
                                     .failed = on_failed,
                                     .ctx = x};
    return err != SH_OK ? err : train_crew_open(&x->crew, &crew);
}

static bool prepare(struct train_session *x)
{
    char why[TRAIN_WHY_BYTES] = "";
    bool final = false;
    struct train_material_source source = {.s = x->config.s,
                                           .spec = x->config.part.spec,
                                           .cache = x->config.part.cache,
                                           .wait_us = TRAIN_DATA_US};
    memcpy(source.spec_digest, x->config.part.spec_digest, sizeof source.spec_digest);
    enum sh_err err = train_material_open(&x->m, &source, why, &final);
    if (err == SH_OK) {
        err = equip(x);
        (void)snprintf(why, sizeof why, "%s: no memory for this model", x->name);
    }
    if (err == SH_OK) {
        return true;
    }
    train_lock(x);
    x->failed = true;
    x->at = x->next;
    train_unlock(x);
    train_fail(x, err, final, why);
    return false;
}

/* ---- life ---- */

/* The next assignment into x->at; false: leave. */
static bool take_assignment(struct train_session *x)
{
    train_lock(x);
    while (!train_interrupted(x) || (x->parked && !x->leaving)) {
        train_turn(x, UINT64_MAX);
    }
    bool leaving = x->leaving;
    bool same = wire_fence_equal(x->at.placement.fence, x->next.placement.fence);
    if (!leaving) {
        x->at = x->next;
        const struct wire_placement *p = &x->at.placement;
        x->index = wire_member_find(p->members, p->member_count, x->me);
        SH_CHECK_CMP(x->index, <, p->member_count);
        train_exchange_stop(x->exchange, sh_now_us());
        if (!same) {
            x->met = false;
            x->asked_count = 0;
        }
    }
    train_unlock(x);
    if (!leaving && !same) {
        train_clerk_drop(x->clerk);
    }
    return !leaving;
}

/* The unit ends or is given back, by its first member. The others stand for what they have, anew if
 * they had met already: now, and while take_assignment waits. */
static void stand_by(struct train_session *x)
{
    if (x->mix == NULL) {
        train_lock(x);
        x->met = false;
        train_unlock(x);
        (void)train_meet(x, sh_now_us());
    }
}

/* Who has made rounds in this generation is as far as anybody. Who has not, having been restarted
 * or come late, looks first for what others have. False: there is nothing more to be done. */
static bool seek_state(struct train_session *x)
{
    bool played = x->playing == x->at.placement.fence.index;
    enum train_turn turn =
        x->mix != NULL || played ? TRAIN_GO_ON : train_meet(x, sh_now_us() + TRAIN_STOP_US);
    return turn == TRAIN_GO_ON || turn == TRAIN_LATE;
}

/* The unit was asked to stop: the first member keeps what there is. */
static void stop_unit(struct train_session *x)
{
    if (!train_is_first(x)) {
        stand_by(x);
        return;
    }
    if (!seek_state(x)) {
        return;
    }
    enum sh_err err = train_may_stand(x) ? SH_OK : train_load(x);
    if (train_is_passing(err)) {
        train_fail(x, err, false, "stopped, and its newest checkpoint cannot be had now");
    }
    if (err != SH_OK) {
        return;
    }
    train_finish(x, x->state.position < train_course_length(&x->m->course));
}

/* The unit is to give way: the first member leaves what there is, wherever it stands; nothing where
 * the newest checkpoint is as good. */
static void give_way(struct train_session *x)
{
    if (!train_is_first(x)) {
        stand_by(x); /* they stand still until their gang ends */
        return;
    }
    if (!seek_state(x)) {
        return;
    }
    if (x->state.set && x->state.position == train_course_length(&x->m->course)) {
        train_finish(x, false);
    } else {
        train_leave(x, true);
    }
}

static void follow(struct train_session *x)
{
    train_scribe_lead(x->scribe, train_is_first(x));
    if (x->at.stopping) {
        stop_unit(x);
        return;
    }
    if (x->at.yielding) {
        give_way(x);
        return;
    }
    if (x->mix != NULL) {
        (void)train_mingle(x);
        return;
    }
    enum train_turn turn = train_meet(x, UINT64_MAX);
    turn = turn == TRAIN_GO_ON ? train_begin_rounds(x) : turn;
    turn = turn == TRAIN_GO_ON ? train_play(x) : turn;
    if (turn == TRAIN_GO_ON && train_is_first(x)) {
        train_finish(x, false);
    }
}

static void wait_to_leave(struct train_session *x)
{
    train_lock(x);
    while (!x->leaving) {
        train_clock_wait(&x->changed, &x->lock, UINT64_MAX);
    }
    train_unlock(x);
}

static void *run(void *arg)
{
    struct train_session *x = arg;
    sh_thread_name("session-%llu", (unsigned long long)x->config.part.unit.job);
    if (prepare(x)) {
        while (take_assignment(x)) {
            follow(x);
        }
    } else {
        wait_to_leave(x);
    }
    train_lock(x);
    x->ended = true;
    train_unlock(x);
    x->config.part.ended(x->config.part.ctx);
    return NULL;
}

static void release(struct train_session *x)
{
    train_crew_close(x->crew);
    train_clerk_close(x->clerk);
    train_scribe_close(x->scribe);
    train_exchange_close(x->exchange);
    train_mix_close(x->mix);
    free(x->sums);
    free(x->vector);
    train_sum_close(x->sum);
    if (x->state.m != NULL) {
        train_state_close(&x->state);
    }
    train_material_close(x->m);
    SH_CHECK(pthread_cond_destroy(&x->changed) == 0);
    SH_CHECK(pthread_mutex_destroy(&x->lock) == 0);
    train_early_clear(&x->early);
    free(x->catch.bytes);
    free(x->catch.have);
    free(x->served);
    free(x->spec);
    free(x);
}

enum sh_err train_session_open(struct train_session **out,
                               const struct train_session_config *config,
                               const struct train_assignment *first)
{
    struct train_session *x = calloc(1, sizeof *x);
    struct service_status status;
    *out = NULL;
    if (x == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    service_status(config->s, &status);
    x->config = *config;
    x->next = *first;
    x->number = sh_random_u64() | 1;
    memcpy(x->me, status.node_id, sizeof x->me);
    (void)snprintf(x->name, sizeof x->name, "%s", status.name);
    SH_CHECK(pthread_mutex_init(&x->lock, NULL) == 0);
    train_clock_cond(&x->changed);
    x->spec = malloc(config->part.spec.size + 1);
    enum sh_err err = x->spec != NULL ? SH_OK : SH_ERR_NO_MEMORY;
    if (err == SH_OK) {
        memcpy(x->spec, config->part.spec.at, config->part.spec.size);
        x->config.part.spec.at = x->spec;
        err = train_scribe_open(&x->scribe, config->s, config->part.unit);
    }
    if (err == SH_OK && config->part.units > 1) {
        train_scribe_apart(x->scribe);
    }
    if (err == SH_OK && config->part.params.size > 0) {
        train_scribe_line(x->scribe, "its values: %.*s", (int)config->part.params.size,
                          (const char *)config->part.params.at);
    }
    x->config.part.params = (struct sh_span){0};
    err = err != SH_OK ? err : train_clerk_open(&x->clerk, config->s, x->scribe, config->part.unit);
    if (err == SH_OK && pthread_create(&x->thread, NULL, run, x) != 0) {
        err = SH_ERR_NO_MEMORY;
    }
    if (err != SH_OK) {
        release(x);
        return err;
    }
    *out = x;
    return SH_OK;
}

void train_session_close(struct train_session *x)
{
    train_session_leave(x);
    SH_CHECK(pthread_join(x->thread, NULL) == 0);
    release(x);
}

/* ---- calls ---- */

void train_session_assign(struct train_session *x, const struct train_assignment *assignment)
{
    train_lock(x);
    if (wire_fence_cmp(assignment->placement.fence, x->next.placement.fence) >= 0) {
        x->parked =
            x->parked && wire_fence_equal(assignment->placement.fence, x->at.placement.fence);
        x->next = *assignment;
        SH_CHECK(pthread_cond_signal(&x->changed) == 0);
    }
    train_unlock(x);
}

bool train_session_park(struct train_session *x)
{
    train_lock(x);
    bool keeps = x->mix != NULL && !x->failed && !x->leaving;
    if (keeps && !x->parked) {
        x->parked = true;
        SH_CHECK(pthread_cond_signal(&x->changed) == 0);
    }
    train_unlock(x);
    return keeps;
}

void train_session_leave(struct train_session *x)
{
    train_lock(x);
    x->leaving = true;
    SH_CHECK(pthread_cond_signal(&x->changed) == 0);
    train_unlock(x);
}

bool train_session_has_ended(struct train_session *x)
{
    train_lock(x);
    bool ended = x->ended;
    train_unlock(x);
    return ended;
}

bool train_session_has_failed(struct train_session *x)
{
    train_lock(x);
    bool failed = x->failed;
    train_unlock(x);
    return failed;
}

/* With the lock: the sender's index in the generation in force. */
static bool find_sender(const struct train_session *x, const uint8_t *node, uint32_t *from)
{
    if (!x->met) {
        return false;
    }
    *from = wire_member_find(x->gang.members, x->gang.count, node);
    return *from < x->gang.count && *from != x->gang.me;
}

static void take_fetch(struct train_session *x, uint32_t from, const struct train_fetch *fetch)
{
    if (fetch->about.generation == x->gang.about.generation && x->asked_count < TRAIN_FETCHES_MAX) {
        x->asked[x->asked_count++] = (struct train_asked){.member = from, .fetch = *fetch};
    }
}

static void take_offer(struct train_session *x, uint32_t from, const struct train_offer *offer,
                       int fd)
{
    uint8_t bytes[TRAIN_MESSAGE_BYTES];
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    if (offer->about.generation != x->gang.about.generation) {
        return;
    }
    if (offer->taken) {
        train_exchange_taken(x->exchange, from, offer->number);
    } else if (fd >= 0 && train_exchange_offered(x->exchange, from, offer->number, fd)) {
        struct train_offer answer = *offer;
        answer.taken = true;
        train_offer_encode(&answer, &w);
        /* Without the answer the frames of this generation carry their payload. */
        SH_MAY_FAIL(bulk_send(x->config.bulk, x->gang.members[from].node, FRAME_TRAIN_OFFER,
                              (struct sh_span){.at = bytes, .size = w.used},
                              (struct sh_span){0}) == SH_OK);
    }
}

static void take_message(struct train_session *x, const uint8_t *node, uint16_t type,
                         struct sh_span payload, int fd)
{
    struct train_offer offer;
    struct train_hello hello;
    struct train_fetch fetch;
    struct train_note note;
    uint32_t from = 0;
    if (!find_sender(x, node, &from)) {
        return;
    }
    if (type == FRAME_TRAIN_HELLO && train_hello_decode(payload, &hello) == SH_OK) {
        if (x->mix != NULL) {
            train_mingle_hear(x, from, &hello);
        } else {
            train_hear(x, from, &hello);
        }
    } else if (type == FRAME_TRAIN_FETCH && train_fetch_decode(payload, &fetch) == SH_OK) {
        take_fetch(x, from, &fetch);
    } else if (type == FRAME_TRAIN_NOTE && train_note_decode(payload, &note) == SH_OK) {
        train_catch_note(x, from, &note);
    } else if (type == FRAME_TRAIN_OFFER && train_offer_decode(payload, &offer) == SH_OK) {
        take_offer(x, from, &offer, fd);
    }
}

/* With the lock; true: there is something to do. */
static bool take_chunk(struct train_session *x, const uint8_t *node, struct sh_span bytes,
                       const struct round_frame *header, struct sh_span payload)
{
    uint32_t from = 0;
    if (header->generation > x->playing) {
        SH_MAY_FAIL(train_early_keep(&x->early, header->generation, node, bytes)); /* asked again */
        return false;
    }
    /* Before it has met anybody a session may have no exchange yet. */
    if (!find_sender(x, node, &from)) {
        return false;
    }
    (void)train_exchange_poll(x->exchange, sh_now_us());
    train_exchange_frame(x->exchange, sh_now_us(), (uint16_t)from, header, payload);
    return train_exchange_is_busy(x->exchange);
}

/* With the lock; a frame of another generation is told apart by the core. */
static void take_mix(struct train_session *x, const uint8_t *node, const struct push_frame *header,
                     struct sh_span payload)
{
    uint32_t from = 0;
    if (x->mix != NULL && find_sender(x, node, &from)) {
        train_mix_frame(x->mix, sh_now_us(), (uint16_t)from, header, payload);
    }
}

void train_take_early(struct train_session *x)
{
    struct train_early_frame frame;
    while (train_early_take(&x->early, x->playing, &frame)) {
        struct wire_unit unit;
        struct round_frame header;
        struct sh_span payload = {0};
        struct sh_span bytes = {.at = frame.bytes, .size = frame.size};
        SH_CHECK(train_exchange_decode(bytes, &unit, &header, &payload) == SH_OK); /* as before */
        (void)take_chunk(x, frame.node, bytes, &header, payload);
        free(frame.bytes);
    }
}

void train_session_frame(struct train_session *x, const uint8_t node[static SH_NODE_ID_BYTES],
                         uint16_t type, struct sh_span payload, int fd)
{
    struct wire_unit unit;
    struct round_frame header;
    struct sh_span chunk = {0};
    bool wake = true;
    struct push_frame mix;
    bool is_chunk = type == FRAME_TRAIN_CHUNK;
    bool is_mix = type == FRAME_TRAIN_MIX;
    if (is_mix && train_mix_decode(payload, &unit, &mix, &chunk) != SH_OK) {
        return;
    }
    if (is_chunk && train_exchange_decode(payload, &unit, &header, &chunk) != SH_OK) {
        return;
    }
    train_lock(x);
    if (is_chunk) {
        wake = take_chunk(x, node, payload, &header, chunk);
    } else if (is_mix) {
        take_mix(x, node, &mix, chunk);
    } else {
        take_message(x, node, type, payload, fd);
    }
    if (wake) {
        SH_CHECK(pthread_cond_signal(&x->changed) == 0);
    }
    train_unlock(x);
}

void train_session_down(struct train_session *x, const uint8_t node[static SH_NODE_ID_BYTES])
{
    uint32_t from = 0;
    train_lock(x);
    if (find_sender(x, node, &from)) {
        train_scribe_lost(x->scribe, x->at.placement.fence, node);
        if (x->mix != NULL) {
            train_mingle_down(x, from);
        }
    }
    train_unlock(x);
}
