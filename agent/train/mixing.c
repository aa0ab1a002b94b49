/* SPDX-License-Identifier: Apache-2.0
 *
 * A session whose members mix their models (train.local.average: gossip). Nobody waits for anybody:
 * a member trains its ranks for a stretch, adds what came meanwhile, gives half of its model's
 * weight away, and goes on; who is not heard is given nothing. It needs no coordinator until the
 * end, when all hand in what they have to the first member, whose model then is the average of all.
 *
 * A new generation finds members with models of their own, who bring them in with the weight of
 * their ranks, and members without, who take what they are given first. */
#include "train/inside.h"

#include "bulk.h"
#include "metrics.h"

#include "base/host/host.h"
#include "kernels/agg/tree.h"
#include "kernels/kn.h"
#include "train/blob.h"
#include "wire/frame.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_US UINT64_C(20000) /* for room to send one frame; then it is dropped */
#define LOOK_US UINT64_C(50000) /* between two ticks of one that has nothing to train */

/* ---- what members hear of each other ---- */

/* With the lock. */
static struct sh_span encode_hello(const struct train_session *x, uint32_t to, bool asks,
                                   uint8_t bytes[static TRAIN_MESSAGE_BYTES])
{
    const struct train_mate *me = &x->mates[x->gang.me];
    struct sh_writer w = sh_writer_over(bytes, TRAIN_MESSAGE_BYTES);
    const struct train_hello hello = {.about = x->gang.about,
                                      .flags = (asks ? TRAIN_HELLO_ASKS : 0) |
                                               (me->has_state ? TRAIN_HELLO_HAS : 0),
                                      .mine = x->number,
                                      .yours = x->mates[to].session,
                                      .position = me->position};
    train_hello_encode(&hello, &w);
    return (struct sh_span){.at = bytes, .size = w.used};
}

void train_mingle_hear(struct train_session *x, uint32_t from, const struct train_hello *hello)
{
    struct train_mate *mate = &x->mates[from];
    uint64_t now = sh_now_us();
    uint8_t bytes[TRAIN_MESSAGE_BYTES];
    if (hello->about.generation != x->gang.about.generation) {
        return;
    }
    if (hello->yours != 0 && hello->yours != x->number) {
        x->strange_us = now;
    }
    if (mate->session != 0 && hello->mine != mate->session) {
        if (!mate->gone) {
            train_mix_gone(x->mix, now, from);
        }
        mate->gone = true;
        mate->reachable = false;
    } else {
        mate->session = hello->mine;
        mate->reachable = true;
        mate->knows = hello->yours == x->number;
        mate->has_state = (hello->flags & TRAIN_HELLO_HAS) != 0;
        mate->position = hello->position;
        mate->heard_us = now;
        train_mix_reach(x->mix, now, from, true, !mate->has_state);
    }
    if ((hello->flags & TRAIN_HELLO_ASKS) != 0) {
        struct sh_span span = encode_hello(x, from, false, bytes);
        /* An answer that cannot leave is asked for again. */
        SH_MAY_FAIL(bulk_send(x->config.bulk, x->gang.members[from].node, FRAME_TRAIN_HELLO, span,
                              (struct sh_span){0}) == SH_OK);
    }
}

void train_mingle_down(struct train_session *x, uint32_t from)
{
    struct train_mate *mate = &x->mates[from];
    if (mate->reachable) {
        mate->reachable = false;
        train_mix_reach(x->mix, sh_now_us(), from, false, false);
    }
}

/* With the lock, which is let go: to everybody, who may answer or not. */
static void beat(struct train_session *x)
{
    for (uint32_t i = 0; i < x->gang.count; i++) {
        uint8_t bytes[TRAIN_MESSAGE_BYTES];
        if (i == x->gang.me) {
            continue;
        }
        struct sh_span span = encode_hello(x, i, !x->mates[i].reachable, bytes);
        train_unlock(x);
        /* The next one follows. */
        SH_MAY_FAIL(bulk_send(x->config.bulk, x->at.placement.members[i].node, FRAME_TRAIN_HELLO,
                              span, (struct sh_span){0}) == SH_OK);
        train_lock(x);
    }
    x->hello_at_us = sh_now_us() + TRAIN_BEAT_US;
}

/* With the lock: who has not been heard for long is not counted on, and told of. */
static void look_around(struct train_session *x)
{
    uint64_t now = sh_now_us();
    x->company = 0;
    bool leads = true;
    for (uint32_t i = 0; i < x->gang.count; i++) {
        struct train_mate *mate = &x->mates[i];
        if (i == x->gang.me) {
            x->company++;
            continue;
        }
        bool silent = now - mate->heard_us > TRAIN_SILENCE_US;
        if (silent && mate->reachable) {
            train_mingle_down(x, i);
        }
        if (silent || mate->gone) {
            train_scribe_lost(x->scribe, x->at.placement.fence, x->gang.members[i].node);
        }
        x->company += mate->reachable ? 1 : 0;
        leads = leads && (i > x->gang.me || !mate->reachable);
    }
    if (x->strange_us != 0 && now - x->strange_us < TRAIN_SILENCE_US) {
        train_scribe_lost(x->scribe, x->at.placement.fence, x->me);
    }
    train_scribe_lead(x->scribe, leads);
}

/* The first of those that are heard tells what is measured. */
static bool leads(struct train_session *x)
{
    bool first = true;
    train_lock(x);
    for (uint32_t i = 0; i < x->gang.me; i++) {
        first = first && !x->mates[i].reachable;
    }
    train_unlock(x);
    return first;
}

/* ---- waiting ---- */

static void send_frame(struct train_session *x, const struct train_mix_order *order)
{
    uint8_t head[TRAIN_UNIT_HEAD + PUSH_FRAME_BYTES];
    struct sh_span body;
    train_mix_perform(x->mix, order, head, &body);
    const uint8_t *node = x->at.placement.members[order->to].node;
    struct sh_span span = {.at = head, .size = sizeof head};
    enum sh_err err = bulk_send(x->config.bulk, node, FRAME_TRAIN_MIX, span, body);
    if (err == SH_ERR_FULL &&
        bulk_wait_room(x->config.bulk, node, sizeof head + body.size, ROOM_US)) {
        /* What does not fit is asked for again. */
        SH_MAY_FAIL(bulk_send(x->config.bulk, node, FRAME_TRAIN_MIX, span, body) == SH_OK);
    }
}

/* One turn of waiting, with the lock, which is let go meanwhile. */
static void turn_once(struct train_session *x, uint64_t until_us)
{
    struct train_mix_order order;
    uint64_t now = sh_now_us();
    uint64_t deadline = train_mix_deadline_us(x->mix);
    if (train_mix_pop(x->mix, &order)) {
        train_unlock(x);
        send_frame(x, &order);
        train_lock(x);
    } else if (deadline <= now) {
        train_mix_timer(x->mix, now);
    } else if (x->hello_at_us <= now) {
        beat(x);
        look_around(x);
    } else {
        deadline = deadline < x->hello_at_us ? deadline : x->hello_at_us;
        train_clock_wait(&x->changed, &x->lock, deadline < until_us ? deadline : until_us);
    }
}

/* What this member tells of itself. */
static void publish(struct train_session *x)
{
    train_lock(x);
    x->mates[x->gang.me].has_state = x->state.set;
    x->mates[x->gang.me].position = x->state.position;
    train_unlock(x);
}

/* ---- models that came ---- */

static void tell_gift(struct train_session *x, double apart)
{
    uint64_t step = train_course_at(&x->m->course, x->state.position).step;
    if (isfinite(apart) != 0 && step > 0) {
        train_scribe_point(x->scribe, METRIC_SPREAD, step, apart);
    }
}

/* Rounds that this member may be behind one that gives to it. */
static uint64_t lag(const struct train_session *x)
{
    uint64_t pace = train_pace_us(x);
    uint64_t rounds = pace > 0 ? TRAIN_LAG_US / pace : 0;
    return rounds > TRAIN_LAG_MIN ? rounds : TRAIN_LAG_MIN;
}

/* Who is far behind goes on where the giver is: nobody waits for the slowest. */
static void add_gift(struct train_session *x, const struct train_mix_gift *gift, uint64_t weight)
{
    double apart = 0;
    bool first = !x->state.set;
    bool known = gift->position <= train_course_length(&x->m->course);
    enum sh_err err = train_mix_add(x->mix, gift, weight, &x->state, &apart);
    const char *giver = x->at.names[gift->from];
    if (err != SH_OK) {
        train_scribe_line(x->scribe, "%s does not take the model of %s: a value is not finite",
                          x->name, giver);
        if (first) {
            train_state_begin(&x->state); /* the weight is its own now, and needs a model */
        }
    } else if (first || (known && gift->position > x->state.position + lag(x))) {
        x->state.position = known ? gift->position : 0;
        train_scribe_line(
            x->scribe, "%s %s %s after step %llu", x->name,
            first ? "begins with the model of" : "was behind and goes on beside", giver,
            (unsigned long long)train_course_at(&x->m->course, x->state.position).step);
    }
    tell_gift(x, apart);
}

/* Before the state moves; what comes before there is one is compared with the first one. */
static void note_arrivals(struct train_session *x)
{
    uint32_t buffer = x->state.set ? 0 : UINT32_MAX;
    while (buffer != UINT32_MAX) {
        train_lock(x);
        buffer = train_mix_arrived(x->mix);
        train_unlock(x);
        if (buffer != UINT32_MAX) {
            train_mix_note(x->mix, buffer, &x->state);
        }
    }
}

static void add_gifts(struct train_session *x)
{
    struct train_mix_gift gift;
    train_lock(x);
    while (train_mix_gift(x->mix, &gift)) {
        uint64_t weight = train_mix_weight(x->mix);
        train_unlock(x);
        note_arrivals(x);
        add_gift(x, &gift, weight);
        train_lock(x);
        train_mix_absorbed(x->mix, sh_now_us(), &gift);
    }
    train_unlock(x);
    publish(x);
}

static void tick(struct train_session *x)
{
    train_lock(x);
    (void)train_mix_tick(x->mix, sh_now_us(), &x->state);
    double even = train_mix_evenness(x->mix);
    train_unlock(x);
    uint64_t step = train_course_at(&x->m->course, x->state.position).step;
    if (step > 0 && isfinite(even) != 0) {
        train_scribe_point(x->scribe, METRIC_WEIGHTS, step, even);
    }
}

/* ---- computing ---- */

/* Adds to `out` what ranks [low, high) give in a round; no more than the own ones at a time. */
static enum train_turn compute(struct train_session *x, const struct train_round *round,
                               uint32_t low, uint32_t high, float *out)
{
    struct train_work work = {.round = *round,
                              .params = x->state.params,
                              .buffers = x->state.buffers,
                              .optim = x->state.optim,
                              .low = low,
                              .high = high};
    size_t size = train_material_vector(x->m, round->kind);
    uint32_t subtrees = train_sum_begin(x->sum, low, high, size);
    train_lock(x);
    x->sums_ready = 0;
    train_unlock(x);
    train_crew_begin(x->crew, &work);
    train_lock(x);
    while (x->sums_ready < subtrees && !x->rank_failed && !train_interrupted(x)) {
        turn_once(x, UINT64_MAX);
    }
    bool ready = x->sums_ready == subtrees;
    bool failed = x->rank_failed;
    train_unlock(x);
    train_crew_cancel(x->crew);
    if (!ready) {
        return failed ? train_fail_rank(x, round) : TRAIN_INTERRUPTED;
    }
    for (uint32_t i = 0; i < subtrees; i++) {
        kn_tree_add(out, train_sum_of(x->sum, i), size);
    }
    return TRAIN_GO_ON;
}

/* The own ranks stand for all: what they gave counts as much as if all had given it. */
static enum train_turn play_stretch(struct train_session *x, const struct train_round *round)
{
    const struct wire_member *self = &x->at.placement.members[x->index];
    float scale = (float)x->m->ranks / (float)(self->rank_hi - self->rank_lo);
    memset(x->vector, 0, x->m->local_vector * sizeof *x->vector);
    enum train_turn turn = compute(x, round, self->rank_lo, self->rank_hi, x->vector);
    if (turn != TRAIN_GO_ON) {
        return turn;
    }
    for (size_t i = 0; i < x->m->local_vector; i++) {
        x->vector[i] *= scale;
    }
    note_arrivals(x);
    return train_complete(x, round, x->vector);
}

/* By one member alone, on its own model and all samples. */
static enum train_turn evaluate(struct train_session *x, const struct train_round *round)
{
    const struct wire_member *self = &x->at.placement.members[x->index];
    uint32_t width = (uint32_t)self->rank_hi - self->rank_lo;
    float out[TRAIN_EVAL_SHARES] = {0};
    enum train_turn turn = TRAIN_GO_ON;
    for (uint32_t low = 0; turn == TRAIN_GO_ON && low < x->m->ranks; low += width) {
        uint32_t high = low + width < x->m->ranks ? low + width : x->m->ranks;
        turn = compute(x, round, low, high, out);
    }
    return turn == TRAIN_GO_ON ? train_complete(x, round, out) : turn;
}

/* ---- from the beginning ---- */

static enum sh_err take_memory(struct train_session *x)
{
    const struct wire_member *self = &x->at.placement.members[x->index];
    size_t bytes = train_sum_bytes(x->sum, self->rank_lo, self->rank_hi);
    train_sum_use(x->sum, NULL);
    free(x->sums);
    x->sums = aligned_alloc(KN_ALIGN, (bytes + KN_ALIGN - 1) / KN_ALIGN * KN_ALIGN);
    if (x->vector == NULL) {
        x->vector = calloc(x->m->local_vector, sizeof *x->vector);
    }
    if (x->sums == NULL || x->vector == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    train_sum_use(x->sum, x->sums);
    return SH_OK;
}

static void begin(struct train_session *x)
{
    const struct wire_placement *p = &x->at.placement;
    struct train_about about = {.unit = x->config.part.unit, .generation = p->fence.index};
    uint64_t now = sh_now_us();
    train_lock(x);
    train_gang_begin(&x->gang, about, p->members, p->member_count, x->index, x->number);
    train_mix_start(x->mix, now, about.generation, p->members, p->member_count, x->index,
                    x->state.set);
    memset(x->mates, 0, sizeof x->mates);
    for (uint32_t i = 0; i < p->member_count; i++) {
        x->mates[i].heard_us = now; /* from now on it may be silent */
        if (i != x->index) {
            train_mix_reach(x->mix, now, i, false, false);
        }
    }
    x->strange_us = 0;
    x->company = 1;
    x->rank_failed = false;
    x->met = true;
    x->hello_at_us = now;
    train_unlock(x);
    x->met_us = now;
    x->pace_count = 0;
    publish(x);
}

/* With the lock: nobody has gone a step, as far as is known by now. Who does not hear this member
 * will not give to it. */
static bool may_load(const struct train_session *x)
{
    bool long_ago = sh_now_us() - x->met_us > TRAIN_SILENCE_US;
    bool all = true;
    for (uint32_t i = 0; i < x->gang.count; i++) {
        const struct train_mate *mate = &x->mates[i];
        if (i == x->gang.me) {
            continue;
        }
        bool gives = mate->reachable && mate->has_state && mate->position > 0;
        if (gives && (mate->knows || !long_ago)) {
            return false;
        }
        all = all && mate->session != 0;
    }
    return x->strange_us == 0 && (all || long_ago);
}

/* Until this member has a model: that of others where they have gone a step, else the newest
 * checkpoint or the beginning. */
static enum train_turn settle(struct train_session *x)
{
    struct train_mix_gift gift;
    while (!x->state.set) {
        train_lock(x);
        bool interrupted = train_interrupted(x);
        bool came = train_mix_gift(x->mix, &gift);
        bool load = may_load(x) && sh_now_us() >= x->load_at_us;
        if (!interrupted && !came && !load) {
            turn_once(x, sh_now_us() + LOOK_US);
        }
        train_unlock(x);
        if (interrupted) {
            return TRAIN_INTERRUPTED;
        }
        if (came) {
            add_gifts(x);
        } else if (load) {
            enum sh_err err = train_load(x);
            if (train_is_passing(err)) {
                continue;
            }
            if (err != SH_OK) {
                return TRAIN_OVER;
            }
            train_lock(x);
            train_mix_loaded(x->mix, sh_now_us());
            train_unlock(x);
            publish(x);
        }
    }
    return TRAIN_GO_ON;
}

/* ---- to the end ---- */

/* Whether what is left of the course is to be done with the average of all. */
static bool is_last(const struct train_session *x, const struct train_round *round)
{
    uint64_t rest = train_course_length(&x->m->course) - x->state.position;
    return round->kind == TRAIN_TEST || round->kind == TRAIN_END ||
           (round->kind == TRAIN_VALIDATION && rest == (x->m->course.tests ? 2u : 1u));
}

/* Until the first member has the weight of all; the others go on answering until it is over. */
static enum train_turn gather(struct train_session *x)
{
    bool first = train_is_first(x);
    bool complete = false;
    bool interrupted = false;
    train_lock(x);
    train_mix_hand_in(x->mix, sh_now_us(), 0);
    train_unlock(x);
    while (!complete && !interrupted) {
        add_gifts(x);
        train_lock(x);
        uint64_t look = sh_now_us() + LOOK_US;
        interrupted = train_interrupted(x);
        complete = first && train_mix_has_all(x->mix);
        if (!complete && !interrupted) {
            (void)train_mix_tick(x->mix, sh_now_us(), &x->state);
        }
        struct train_mix_gift gift;
        while (!complete && !interrupted && sh_now_us() < look && !train_mix_gift(x->mix, &gift)) {
            turn_once(x, look);
            interrupted = train_interrupted(x);
        }
        train_unlock(x);
    }
    return interrupted ? TRAIN_INTERRUPTED : TRAIN_GO_ON;
}

/* The first member's: measures what all made together and hands it to the clerk. */
static enum train_turn conclude(struct train_session *x)
{
    const struct train_course *course = &x->m->course;
    uint64_t last = (course->validates ? 1u : 0u) + (course->tests ? 1u : 0u);
    enum train_turn turn = TRAIN_GO_ON;
    train_scribe_line(x->scribe, "the models of %u agent%s are one", x->gang.count,
                      x->gang.count == 1 ? "" : "s");
    x->state.position = train_course_length(course) - last;
    for (uint64_t i = 0; turn == TRAIN_GO_ON && i < last; i++) {
        struct train_round round = train_course_at(course, x->state.position);
        turn = evaluate(x, &round);
    }
    if (turn != TRAIN_GO_ON) {
        return turn;
    }
    train_finish(x, false);
    train_lock(x);
    while (!train_interrupted(x)) {
        turn_once(x, UINT64_MAX);
    }
    train_unlock(x);
    return TRAIN_OVER;
}

static enum train_turn play(struct train_session *x)
{
    enum train_turn turn = TRAIN_GO_ON;
    while (turn == TRAIN_GO_ON) {
        struct train_round round = train_course_at(&x->m->course, x->state.position);
        if (is_last(x, &round)) {
            return TRAIN_GO_ON;
        }
        if (round.kind == TRAIN_LOCAL) {
            turn = play_stretch(x, &round);
        } else if (leads(x)) {
            turn = evaluate(x, &round);
        } else {
            x->state.position++;
        }
        add_gifts(x);
        if (turn == TRAIN_GO_ON) {
            tick(x);
        }
    }
    return turn;
}

enum train_turn train_mingle(struct train_session *x)
{
    if (take_memory(x) != SH_OK) {
        train_fail(x, SH_ERR_NO_MEMORY, false, "no memory for the sums of the own ranks");
        return TRAIN_OVER;
    }
    begin(x);
    enum train_turn turn = settle(x);
    if (turn == TRAIN_GO_ON && train_is_first(x)) {
        train_tell_generation(x);
    }
    turn = turn == TRAIN_GO_ON ? play(x) : turn;
    turn = turn == TRAIN_GO_ON ? gather(x) : turn;
    turn = turn == TRAIN_GO_ON ? conclude(x) : turn;
    if (x->state.set) {
        add_gifts(x); /* what was given in this generation is not lost with it */
    }
    train_lock(x);
    train_mix_stop(x->mix, sh_now_us());
    train_unlock(x);
    return turn;
}
