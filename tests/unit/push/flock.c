/* SPDX-License-Identifier: Apache-2.0 */
#include "flock.h"
#include "push/state.h"
#include "tst.h"

#include <stdlib.h>
#include <string.h>

#define RETRY_US    UINT64_C(20000)
#define PATIENCE_US UINT64_C(300000)
#define VALUE_MAX   1000

enum mail_kind { MAIL_FRAME, MAIL_TICK, MAIL_START, MAIL_SEE, MAIL_GONE };

struct mail {
    uint64_t at_us;
    uint64_t number; /* of the mail: those of one moment keep their order */
    enum mail_kind kind;
    uint32_t to;
    uint32_t about; /* SEE, GONE; FRAME: who sent it */
    uint64_t generation;
    struct push_frame frame;
    int64_t payload[FLOCK_CHUNK];
};

struct flock {
    struct flock_config config;
    struct sh_rng rng;
    struct flock_member *members;
    uint32_t *shares;
    uint64_t generation;
    uint64_t now_us;
    struct mail *heap;
    size_t count;
    size_t room;
    uint64_t mails;
    struct flock_mass expected;
    uint64_t verdicts[6];
};

/* ---- mail ---- */

static bool before(const struct mail *a, const struct mail *b)
{
    return a->at_us < b->at_us || (a->at_us == b->at_us && a->number < b->number);
}

static void post(struct flock *f, struct mail m)
{
    if (f->count == f->room) {
        f->room = f->room == 0 ? 4096 : 2 * f->room;
        f->heap = realloc(f->heap, f->room * sizeof *f->heap);
        EXPECT(f->heap != NULL);
    }
    m.number = f->mails++;
    size_t at = f->count++;
    for (; at > 0 && before(&m, &f->heap[(at - 1) / 2]); at = (at - 1) / 2) {
        f->heap[at] = f->heap[(at - 1) / 2];
    }
    f->heap[at] = m;
}

static struct mail take(struct flock *f)
{
    struct mail top = f->heap[0];
    struct mail last = f->heap[--f->count];
    size_t at = 0;
    for (size_t child = 1; child < f->count; child = 2 * at + 1) {
        child += child + 1 < f->count && before(&f->heap[child + 1], &f->heap[child]) ? 1 : 0;
        if (before(&last, &f->heap[child])) {
            break;
        }
        f->heap[at] = f->heap[child];
        at = child;
    }
    f->heap[at] = last;
    return top;
}

static void send(struct flock *f, uint32_t from, const struct push_action *a)
{
    const struct flock_config *c = &f->config;
    const struct flock_member *m = &f->members[from];
    uint32_t copies = 1 + (sh_rng_below(&f->rng, 100) < c->repeat_percent ? 1 : 0);
    struct mail mail = {.kind = MAIL_FRAME, .to = a->to, .about = from, .frame = a->header};
    for (uint32_t i = 0; a->header.kind == PUSH_FRAME_DATA && i < a->header.count; i++) {
        mail.payload[i] = m->out[a->buffer].of[a->offset + i];
    }
    for (; copies > 0; copies--) {
        bool lost = sh_rng_below(&f->rng, 100) < c->loss_percent;
        mail.at_us = f->now_us + (c->delay_us > 0 ? 1 + sh_rng_below(&f->rng, c->delay_us) : 1);
        if (!lost && m->side == f->members[a->to].side) {
            post(f, mail);
        }
    }
}

/* ---- mass ---- */

static void add(struct flock_mass *to, const struct flock_mass *what, int sign)
{
    for (uint32_t i = 0; i <= FLOCK_ELEMENTS; i++) {
        to->of[i] += sign * what->of[i];
    }
}

static int64_t part_of(int64_t value, uint64_t weight, uint64_t of)
{
    __extension__ typedef __int128 wide;
    return (int64_t)((wide)value * (wide)weight / (wide)of);
}

static void open_out(struct flock_member *m, const struct push_action *a)
{
    uint64_t all = a->weight + push_weight(m->push);
    struct flock_mass *out = &m->out[a->buffer];
    for (uint32_t i = 0; i < FLOCK_ELEMENTS; i++) {
        out->of[i] = part_of(m->own.of[i], a->weight, all);
        m->own.of[i] -= out->of[i];
    }
    out->of[FLOCK_ELEMENTS] = (int64_t)a->weight;
    m->out_open[a->buffer] = true;
    m->out_taken[a->buffer] = false;
    m->out_transfer[a->buffer] = m->push->out[a->buffer].transfer;
}

/* Of the generation that is counted; members leave the last one at different moments. */
static bool counts(const struct flock *f, const struct flock_member *m)
{
    return m->push->generation == f->generation;
}

/* The taker has said that it takes it: from now on it is the taker's. */
static void hold(struct flock *f, struct flock_member *m, const struct push_action *a)
{
    struct flock_member *giver = &f->members[a->from];
    uint64_t transfer = m->push->in[a->buffer].transfer;
    m->in[a->buffer].of[FLOCK_ELEMENTS] = (int64_t)a->weight;
    m->in_held[a->buffer] = true;
    if (giver->push->generation != m->push->generation) {
        return; /* the giver has begun the next one already */
    }
    for (uint32_t i = 0; i < FLOCK_BUFFERS; i++) {
        if (giver->out_open[i] && giver->out_transfer[i] == transfer) {
            EXPECT(!giver->out_taken[i]);
            EXPECT_MEM(&giver->out[i], &m->in[a->buffer], sizeof giver->out[i]);
            giver->out_taken[i] = true;
            if (!giver->alive && counts(f, m)) {
                add(&f->expected, &giver->out[i], 1); /* it was counted out when its giver died */
            }
            return;
        }
    }
    tst_fail(__FILE__, __LINE__, "a transfer was absorbed that nobody gives");
}

static void absorb(struct flock *f, uint32_t member, uint32_t buffer)
{
    struct flock_member *m = &f->members[member];
    struct flock_mass *in = &m->in[buffer];
    bool first = !push_has_state(m->push);
    for (uint32_t i = 0; i < FLOCK_ELEMENTS; i++) {
        m->own.of[i] = first ? in->of[i] : m->own.of[i] + in->of[i];
        if (first) { /* its own shares begin with what was given */
            uint64_t mint = f->shares[member] * PUSH_UNIT;
            int64_t more = part_of(in->of[i], mint, (uint64_t)in->of[FLOCK_ELEMENTS]);
            m->own.of[i] += more;
            f->expected.of[i] += counts(f, m) ? more : 0;
        }
    }
    if (first && counts(f, m)) {
        f->expected.of[FLOCK_ELEMENTS] += (int64_t)(f->shares[member] * PUSH_UNIT);
    }
    m->in_held[buffer] = false;
    flock_step(f, member, &(struct push_event){.kind = PUSH_EV_ABSORBED, .buffer = buffer});
}

static void restore(struct flock *f, uint32_t member, uint32_t buffer)
{
    struct flock_member *m = &f->members[member];
    for (uint32_t i = 0; i < FLOCK_ELEMENTS; i++) {
        m->own.of[i] += m->out[buffer].of[i];
    }
    if (m->out_taken[buffer]) { /* by one that is gone */
        EXPECT(m->push->peers[m->push->out[buffer].to].gone);
        if (counts(f, m)) {
            add(&f->expected, &m->out[buffer], 1);
        }
    }
    m->out_open[buffer] = false;
    flock_step(f, member, &(struct push_event){.kind = PUSH_EV_RESTORED, .buffer = buffer});
}

static struct flock_mass mass_of(const struct flock_member *m)
{
    struct flock_mass all = m->own;
    all.of[FLOCK_ELEMENTS] = (int64_t)push_weight(m->push);
    for (uint32_t i = 0; i < FLOCK_BUFFERS; i++) {
        if (m->in_held[i]) {
            add(&all, &m->in[i], 1);
        }
        if (m->out_open[i] && !m->out_taken[i]) {
            add(&all, &m->out[i], 1);
        }
    }
    return all;
}

void flock_count(struct flock *f)
{
    struct flock_mass all = {0};
    for (uint32_t i = 0; i < f->config.members; i++) {
        const struct flock_member *m = &f->members[i];
        if (m->alive) {
            struct flock_mass one = mass_of(m);
            add(&all, &one, 1);
        }
    }
    EXPECT_MEM(&all, &f->expected, sizeof all);
}

/* ---- steps ---- */

void flock_step(struct flock *f, uint32_t member, struct push_event *event)
{
    struct flock_member *m = &f->members[member];
    struct push_update u;
    event->now_us = f->now_us;
    push_step(m->push, event, &u);
    push_check(m->push);
    f->verdicts[u.verdict]++;
    /* Transfers that are resolved are of no concern any more. */
    for (uint32_t i = 0; i < FLOCK_BUFFERS; i++) {
        if (m->out_open[i] && m->push->out[i].stage == PUSH_OUT_FREE) {
            EXPECT(m->out_taken[i]);
            m->out_open[i] = false;
        }
    }
    for (uint32_t i = 0; i < u.count; i++) {
        const struct push_action *a = &u.actions[i];
        switch (a->kind) {
        case PUSH_OPEN:
            open_out(m, a);
            break;
        case PUSH_SEND:
            send(f, member, a);
            break;
        case PUSH_ABSORB:
            hold(f, m, a);
            break;
        case PUSH_KEEP:
        case PUSH_RESTORE:
            break;
        }
    }
    for (uint32_t i = 0; i < u.count; i++) {
        if (u.actions[i].kind == PUSH_RESTORE) {
            restore(f, member, u.actions[i].buffer);
        }
    }
}

static void hear(struct flock *f, const struct mail *mail)
{
    struct flock_member *m = &f->members[mail->to];
    struct push_event e = {.kind = PUSH_EV_FRAME};
    e.frame.from = (uint16_t)mail->about;
    e.frame.header = mail->frame;
    for (uint32_t i = 0; i < FLOCK_BUFFERS; i++) { /* KEEP, whichever buffer it will be */
        const struct push_in *in = &m->push->in[i];
        bool mine = mail->frame.kind == PUSH_FRAME_DATA && in->stage == PUSH_IN_FILLING &&
                    in->from == mail->about && in->transfer == mail->frame.transfer &&
                    mail->frame.generation == m->push->generation;
        for (uint32_t k = 0; mine && k < mail->frame.count; k++) {
            m->in[i].of[mail->frame.chunk * FLOCK_CHUNK + k] = mail->payload[k];
        }
    }
    flock_step(f, mail->to, &e);
    /* Members add what came when they next tick, or at once where they have nothing yet. */
    for (uint32_t i = 0; i < FLOCK_BUFFERS; i++) {
        if (m->in_held[i] && (f->config.tick_us == 0 || !push_has_state(m->push))) {
            absorb(f, mail->to, i);
        }
    }
}

/* What work does to a vector between two ticks: moves the average of its owner by up to 1. */
static void learn(struct flock *f, uint32_t member)
{
    struct flock_member *m = &f->members[member];
    uint64_t weight = push_weight(m->push);
    for (uint32_t i = 0; f->config.learns && weight > 0 && i < FLOCK_ELEMENTS; i++) {
        int64_t more = (int64_t)sh_rng_below(&f->rng, 2 * weight) - (int64_t)weight;
        m->own.of[i] += more;
        f->expected.of[i] += more;
    }
}

static void tick_one(struct flock *f, uint32_t member, uint64_t number)
{
    struct push_event e = {.kind = PUSH_EV_TICK};
    e.tick.number = number;
    for (uint32_t i = 0; i < FLOCK_BUFFERS; i++) {
        if (f->members[member].in_held[i]) {
            absorb(f, member, i);
        }
    }
    if (counts(f, &f->members[member]) && push_has_state(f->members[member].push)) {
        learn(f, member);
    }
    flock_step(f, member, &e);
}

static void begin(struct flock *f, uint32_t member)
{
    struct flock_member *m = &f->members[member];
    struct push_event e = {.kind = PUSH_EV_START};
    bool has = m->alive;
    uint64_t mint = f->shares[member] * PUSH_UNIT;
    uint64_t weight = push_weight(m->push);
    /* Whole numbers as they come out: what a generation begins with is what counts. */
    for (uint32_t i = 0; i < FLOCK_ELEMENTS; i++) {
        int64_t value = (int64_t)sh_rng_below(&f->rng, 2 * VALUE_MAX) - VALUE_MAX;
        m->own.of[i] = !has         ? 0
                       : weight > 0 ? part_of(m->own.of[i], mint, weight)
                                    : value * (int64_t)mint;
        f->expected.of[i] += m->own.of[i];
    }
    f->expected.of[FLOCK_ELEMENTS] += has ? (int64_t)mint : 0;
    m->alive = true;
    m->told_gone = false;
    memset(m->in_held, 0, sizeof m->in_held);
    memset(m->out_open, 0, sizeof m->out_open);
    e.start = (struct push_generation){.generation = f->generation,
                                       .members = f->config.members,
                                       .me = member,
                                       .shares = f->shares,
                                       .elements = FLOCK_ELEMENTS,
                                       .has_state = has};
    flock_step(f, member, &e);
}

/* How the others see it now. */
static void see(struct flock *f, uint32_t member, uint32_t about)
{
    const struct flock_member *a = &f->members[member];
    const struct flock_member *b = &f->members[about];
    struct push_event e = {.kind = PUSH_EV_REACH};
    e.reach.member = about;
    e.reach.reachable = b->alive && a->side == b->side;
    e.reach.empty = b->alive && !push_has_state(b->push);
    flock_step(f, member, &e);
}

static void deliver(struct flock *f, const struct mail *mail)
{
    struct flock_member *m = &f->members[mail->to];
    bool current = mail->generation == f->generation;
    if (mail->kind == MAIL_START) {
        begin(f, mail->to);
        return;
    }
    if (!m->alive) {
        return;
    }
    switch (mail->kind) {
    case MAIL_FRAME:
        hear(f, mail);
        break;
    case MAIL_TICK:
        if (current) {
            tick_one(f, mail->to, m->ticks++);
            post(f, (struct mail){.kind = MAIL_TICK,
                                  .to = mail->to,
                                  .generation = f->generation,
                                  .at_us = f->now_us + f->config.tick_us * m->slow * 9 / 10 +
                                           sh_rng_below(&f->rng, f->config.tick_us / 5)});
        }
        break;
    case MAIL_SEE:
        if (current) {
            see(f, mail->to, mail->about);
        }
        break;
    case MAIL_GONE:
        if (current) {
            struct push_event e = {.kind = PUSH_EV_GONE, .gone = mail->about};
            flock_step(f, mail->to, &e);
        }
        break;
    case MAIL_START:
        break;
    }
}

/* The first of all deadlines. O(members). */
static uint32_t first_timer(const struct flock *f, uint64_t *at_us)
{
    uint32_t first = 0;
    *at_us = UINT64_MAX;
    for (uint32_t i = 0; i < f->config.members; i++) {
        uint64_t at = f->members[i].alive ? push_deadline_us(f->members[i].push) : UINT64_MAX;
        if (at < *at_us) {
            *at_us = at;
            first = i;
        }
    }
    return first;
}

/* Timers are looked at every TIMER_US, as a host does that is late. */
#define TIMER_US UINT64_C(1000)

static void run_timers(struct flock *f)
{
    uint64_t at = 0;
    for (uint32_t i = 0; i < f->config.members; i++) {
        if (f->members[i].alive && push_deadline_us(f->members[i].push) <= f->now_us) {
            flock_step(f, i, &(struct push_event){.kind = PUSH_EV_TIMER});
        }
    }
    (void)first_timer(f, &at);
    EXPECT(at > f->now_us); /* no deadline that stays where it is */
}

void flock_run(struct flock *f, uint64_t until_us)
{
    uint64_t look_us = f->now_us + TIMER_US;
    while (f->now_us < until_us) {
        uint64_t mail = f->count > 0 ? f->heap[0].at_us : UINT64_MAX;
        if (mail <= look_us && mail <= until_us) {
            struct mail m = take(f);
            f->now_us = m.at_us > f->now_us ? m.at_us : f->now_us;
            deliver(f, &m);
        } else {
            f->now_us = look_us < until_us ? look_us : until_us;
            look_us = f->now_us + TIMER_US;
            run_timers(f);
        }
    }
}

void flock_tick(struct flock *f, uint64_t number)
{
    for (uint32_t i = 0; i < f->config.members; i++) {
        if (f->members[i].alive) {
            tick_one(f, i, number);
        }
    }
    uint64_t open = 1;
    for (uint64_t until = f->now_us + 10000000; open > 0;) {
        flock_run(f, f->now_us + TIMER_US);
        open = f->count;
        for (uint32_t i = 0; i < f->config.members; i++) {
            open += f->members[i].alive ? push_open(f->members[i].push) : 0;
        }
        EXPECT(f->now_us < until);
    }
}

/* ---- life ---- */

struct flock *flock_new(const struct flock_config *config)
{
    struct flock *f = calloc(1, sizeof *f);
    EXPECT(f != NULL);
    f->config = *config;
    f->now_us = 1;
    f->members = calloc(config->members, sizeof *f->members);
    f->shares = calloc(config->members, sizeof *f->shares);
    EXPECT(f->members != NULL && f->shares != NULL);
    sh_rng_init(&f->rng, config->seed);
    const struct push_config core = {.members_max = config->members,
                                     .elements_max = FLOCK_ELEMENTS,
                                     .chunk_elements = FLOCK_CHUNK,
                                     .window = 2,
                                     .out_max = FLOCK_BUFFERS,
                                     .in_max = FLOCK_BUFFERS,
                                     .retry_us = RETRY_US,
                                     .patience_us = PATIENCE_US};
    size_t bytes = (push_bytes(&core) + 63) / 64 * 64;
    for (uint32_t i = 0; i < config->members; i++) {
        struct flock_member *m = &f->members[i];
        struct sh_arena arena;
        m->memory = aligned_alloc(64, bytes);
        EXPECT(m->memory != NULL);
        sh_arena_init(&arena, m->memory, bytes);
        m->push = push_init(&core, &arena);
        m->alive = true;
        m->slow = 1;
        f->shares[i] = 1;
    }
    return f;
}

void flock_free(struct flock *f)
{
    for (uint32_t i = 0; i < f->config.members; i++) {
        free(f->members[i].memory);
    }
    free(f->members);
    free(f->shares);
    free(f->heap);
    free(f);
}

void flock_start(struct flock *f, uint64_t spread_us)
{
    f->generation++;
    f->expected = (struct flock_mass){0};
    for (uint32_t i = 0; i < f->config.members; i++) {
        struct flock_member *m = &f->members[i];
        uint64_t at = f->now_us + sh_rng_below(&f->rng, spread_us + 1);
        post(f, (struct mail){.kind = MAIL_START, .to = i, .at_us = at});
        if (f->config.tick_us > 0) {
            post(f, (struct mail){.kind = MAIL_TICK,
                                  .to = i,
                                  .generation = f->generation,
                                  .at_us = at + sh_rng_below(&f->rng, f->config.tick_us)});
        }
        m->ticks = 0;
    }
    flock_run(f, f->now_us + spread_us + 1);
    for (uint32_t i = 0; i < f->config.members; i++) {
        for (uint32_t k = 0; !push_has_state(f->members[i].push) && k < f->config.members; k++) {
            if (k != i) {
                see(f, k, i);
            }
        }
    }
}

static void tell_all(struct flock *f, uint32_t about, enum mail_kind kind, uint64_t after_us)
{
    for (uint32_t i = 0; i < f->config.members; i++) {
        if (i != about) {
            post(f, (struct mail){.kind = kind,
                                  .to = i,
                                  .about = about,
                                  .generation = f->generation,
                                  .at_us =
                                      f->now_us + after_us / 2 + sh_rng_below(&f->rng, after_us)});
        }
    }
}

void flock_kill(struct flock *f, uint32_t member)
{
    struct flock_member *m = &f->members[member];
    struct flock_mass lost = mass_of(m);
    EXPECT(m->alive);
    add(&f->expected, &lost, -1);
    m->alive = false;
    tell_all(f, member, MAIL_SEE, f->config.see_us);
    tell_all(f, member, MAIL_GONE, 4 * f->config.see_us);
}

void flock_part(struct flock *f, bool part)
{
    for (uint32_t i = 0; i < f->config.members; i++) {
        f->members[i].side = part ? (uint32_t)sh_rng_below(&f->rng, 2) : 0;
    }
    for (uint32_t i = 0; i < f->config.members; i++) {
        if (f->members[i].alive) {
            tell_all(f, i, MAIL_SEE, f->config.see_us);
        }
    }
}

/* ---- looking ---- */

struct flock_member *flock_member(struct flock *f, uint32_t member)
{
    return &f->members[member];
}

struct flock_config *flock_config(struct flock *f)
{
    return &f->config;
}

uint64_t flock_now_us(const struct flock *f)
{
    return f->now_us;
}

uint64_t flock_verdicts(const struct flock *f, enum push_verdict verdict)
{
    return f->verdicts[verdict];
}

double flock_average(struct flock *f, uint32_t member, uint32_t element)
{
    const struct flock_member *m = &f->members[member];
    return (double)m->own.of[element] / (double)push_weight(m->push);
}

double flock_mean(struct flock *f, uint32_t element)
{
    return (double)f->expected.of[element] / (double)f->expected.of[FLOCK_ELEMENTS];
}

double flock_spread(struct flock *f)
{
    double spread = 0;
    for (uint32_t e = 0; e < FLOCK_ELEMENTS; e++) {
        double low = 0;
        double high = 0;
        bool first = true;
        for (uint32_t i = 0; i < f->config.members; i++) {
            const struct flock_member *m = &f->members[i];
            if (!m->alive || push_weight(m->push) == 0) {
                continue;
            }
            double value = flock_average(f, i, e);
            low = first || value < low ? value : low;
            high = first || value > high ? value : high;
            first = false;
        }
        spread = high - low > spread ? high - low : spread;
    }
    return spread;
}
