/* SPDX-License-Identifier: Apache-2.0 */
#include "fed/fed.h"
#include "fed/state.h"

size_t fed_bytes(uint32_t members_max)
{
    return sizeof(struct fed) + members_max * (sizeof(struct fed_member) + sizeof(uint32_t)) +
           (size_t)3 * 64;
}

struct fed *fed_init(const struct fed_config *c, struct sh_arena *arena)
{
    SH_CHECK(c->members_max > 0 && c->members_max <= FED_MEMBERS_MAX);
    SH_CHECK_CMP(c->rounds, >=, 1);
    SH_CHECK(c->select >= FED_ALL && c->select <= FED_COUNT);
    SH_CHECK(c->select != FED_FRACTION || (c->fraction_ppm > 0 && c->fraction_ppm <= 1000000));
    SH_CHECK(c->select != FED_COUNT || c->count > 0);
    SH_CHECK(c->over_permille >= FED_PERMILLE && c->over_permille <= 4 * FED_PERMILLE);
    SH_CHECK(c->goal_count > 0 || (c->goal_ppm > 0 && c->goal_ppm <= 1000000));
    SH_CHECK_CMP(c->least, >=, 1);
    SH_CHECK(c->hard_us >= 1000 && c->hard_us <= UINT64_MAX / 1024);
    SH_CHECK_CMP(c->skips_max, >=, 1);
    struct fed *f = SH_ARENA_TAKE(arena, struct fed, 1);
    f->config = *c;
    f->members = SH_ARENA_TAKE(arena, struct fed_member, c->members_max);
    f->order = SH_ARENA_TAKE(arena, uint32_t, c->members_max);
    for (uint32_t i = 0; i < c->members_max; i++) {
        f->members[i].base = FED_NONE;
        f->members[i].delivered = FED_NONE;
    }
    return f;
}

struct fed_action *fed_act(const struct fed *f, struct fed_update *u, enum fed_action_kind kind)
{
    SH_CHECK(!fed_full(u));
    struct fed_action *action = &u->actions[u->count++];
    *action = (struct fed_action){.kind = kind, .round = f->at.round, .evaluates = f->evaluating};
    return action;
}

static bool is_at_work(enum fed_part part)
{
    return part == FED_PART_ASKED || part == FED_PART_WORKS;
}

void fed_set_part(struct fed *f, struct fed_member *m, enum fed_part part)
{
    f->open -= is_at_work(m->part) ? 1 : 0;
    f->live -= is_at_work(m->part) || m->part == FED_PART_DELIVERED ? 1 : 0;
    f->open += is_at_work(part) ? 1 : 0;
    f->live += is_at_work(part) || part == FED_PART_DELIVERED ? 1 : 0;
    m->part = part;
}

/* ---- rounds ---- */

static void end(struct fed *f, struct fed_update *u)
{
    f->phase = FED_PHASE_ENDED;
    f->backlog = false;
    fed_act(f, u, FED_DO_END)->end = (enum fed_end)f->at.end;
}

static bool anybody(const struct fed *f)
{
    bool some = false;
    for (uint32_t i = 0; i < f->config.members_max; i++) {
        some = some || f->members[i].present;
    }
    return some;
}

static void open_round(struct fed *f, struct fed_update *u)
{
    bool ends = f->at.end != FED_END_NONE;
    f->phase = FED_PHASE_WAITING;
    f->evaluating = ends && f->config.evaluates && f->at.end != FED_END_STARVED;
    if (ends && !f->evaluating) {
        end(f, u);
        return;
    }
    if (!anybody(f)) {
        return; /* there is no round: it opens with the next JOIN */
    }
    f->phase = FED_PHASE_OPEN;
    f->opened_us = f->now_us;
    f->soft_us = f->now_us + fed_soft_us(f);
    f->hard_us = f->now_us + f->config.hard_us;
    f->extends = 0;
    fed_cohort_open(f);
    fed_act(f, u, FED_DO_OPEN);
    fed_cohort_fill(f, u);
}

/* Who did not answer is late, or was not needed. */
static void close_round(struct fed *f, struct fed_update *u, enum fed_outcome outcome)
{
    if (fed_full(u)) {
        f->backlog = true;
        return;
    }
    bool met = f->entries >= f->goal && !f->evaluating;
    for (uint32_t i = 0; i < f->config.members_max; i++) {
        struct fed_member *m = &f->members[i];
        if (is_at_work(m->part)) {
            fed_set_part(f, m, met ? FED_PART_SPARE : FED_PART_LATE);
            m->busy = f->config.late_max > 0 && !f->evaluating;
        }
    }
    f->phase = FED_PHASE_CLOSING;
    f->outcome = outcome;
    f->backlog = false;
    fed_act(f, u, FED_DO_CLOSE)->outcome = outcome;
}

static void judge_evaluation(struct fed *f, struct fed_update *u)
{
    if ((f->open == 0 && !f->backlog) || f->now_us >= f->hard_us) {
        close_round(f, u, FED_EVALUATED);
    }
}

/* Enough agents are there, but some have failed and are not asked again. To wait is for those who
 * were lost or could not be reached, and for newcomers where there are too few. */
static bool is_hopeless(const struct fed *f)
{
    uint32_t there = 0;
    uint32_t failed = 0;
    uint32_t lost = 0;
    for (uint32_t i = 0; i < f->config.members_max; i++) {
        const struct fed_member *m = &f->members[i];
        there += m->present ? 1 : 0;
        failed += m->part == FED_PART_FAILED ? 1 : 0;
        lost += m->part == FED_PART_DROPPED || m->part == FED_PART_DECLINED ? 1 : 0;
    }
    return there >= f->config.least && failed > 0 && lost == 0;
}

static void close_short(struct fed *f, struct fed_update *u)
{
    bool carry = f->config.carry && f->entries > 0;
    close_round(f, u, carry ? FED_CARRY : FED_SKIP);
}

/* The rule, looked at after every event. */
static void judge(struct fed *f, struct fed_update *u)
{
    if (f->phase != FED_PHASE_OPEN) {
        return;
    }
    if (f->evaluating) {
        judge_evaluation(f, u);
        return;
    }
    bool enough = f->entries >= f->config.least;
    bool nobody_left = f->open == 0 && !f->backlog;
    bool soft = f->now_us >= f->soft_us;
    if (enough && (f->entries >= f->goal || nobody_left || soft)) {
        close_round(f, u, FED_COMMIT);
        return;
    }
    if (!enough && nobody_left && is_hopeless(f)) {
        close_short(f, u);
        return;
    }
    while (f->now_us >= f->hard_us && f->extends < FED_EXTENDS_MAX) {
        f->extends++;
        uint64_t span = f->config.hard_us;
        f->hard_us = f->opened_us + (f->extends == 1 ? span + span / 2 : 2 * span + span / 4);
    }
    if (f->now_us >= f->hard_us) {
        close_short(f, u);
    }
}

struct fed_resume fed_resume(const struct fed *f, bool scored, double score)
{
    const struct fed_config *c = &f->config;
    struct fed_resume next = f->at;
    SH_CHECK_CMP(f->phase, ==, FED_PHASE_CLOSING);
    if (f->evaluating) {
        return next;
    }
    next.round++;
    next.skips = f->outcome == FED_COMMIT ? 0 : next.skips + 1;
    bool better = scored && (!next.scored || score > next.best);
    if (scored) {
        next.best = better ? score : next.best;
        next.not_best = better ? 0 : next.not_best + 1;
        next.scored = true;
    }
    if (scored && c->has_target && score >= c->target) {
        next.end = FED_END_TARGET;
    } else if (c->patience > 0 && next.not_best >= c->patience) {
        next.end = FED_END_PATIENCE;
    } else if (next.skips >= c->skips_max) {
        next.end = FED_END_STARVED;
    } else if (next.round >= c->rounds) {
        next.end = FED_END_ROUNDS;
    }
    return next;
}

/* What came after CLOSE counts in the next round; carried ones do, too. */
static void pass_entries(struct fed *f)
{
    for (uint32_t i = 0; i < f->config.members_max; i++) {
        struct fed_member *m = &f->members[i];
        if (m->has_entry && !m->after_close && f->outcome != FED_CARRY) {
            m->has_entry = false;
            f->entries--;
        }
        m->after_close = false;
    }
}

static void on_committed(struct fed *f, const struct fed_event *e, struct fed_update *u)
{
    if (f->phase != FED_PHASE_CLOSING) {
        return;
    }
    f->at = fed_resume(f, e->committed.scored, e->committed.score);
    pass_entries(f);
    if (f->evaluating) {
        end(f, u);
        return;
    }
    open_round(f, u);
}

/* ---- members ---- */

static void on_start(struct fed *f, const struct fed_event *e, struct fed_update *u)
{
    for (uint32_t i = 0; i < f->config.members_max; i++) {
        struct fed_member *m = &f->members[i];
        *m = (struct fed_member){
            .key = m->key, .present = m->present, .base = FED_NONE, .delivered = FED_NONE};
    }
    f->entries = 0;
    f->open = 0;
    f->live = 0;
    f->offset_count = 0;
    f->offset_next = 0;
    f->at = e->start;
    open_round(f, u);
}

static void on_join(struct fed *f, struct fed_member *m, uint64_t key, struct fed_update *u)
{
    if (m->present) {
        return;
    }
    m->present = true;
    m->key = key;
    if (f->phase == FED_PHASE_WAITING) {
        open_round(f, u);
    } else if (f->phase == FED_PHASE_OPEN) {
        if (m->part == FED_PART_DROPPED) {
            fed_set_part(f, m, FED_PART_NONE); /* it may be asked again */
        }
        f->joined = true;
    }
}

static void on_gone(struct fed *f, struct fed_member *m)
{
    m->present = false;
    m->busy = false;
    if (f->phase == FED_PHASE_OPEN && is_at_work(m->part)) {
        fed_set_part(f, m, FED_PART_DROPPED);
    }
}

/* Somebody who was busy for an earlier round is not any more. */
static void set_free(struct fed *f, struct fed_member *m)
{
    if (m->busy) {
        m->busy = false;
        f->joined = true;
    }
}

static bool is_current(const struct fed *f, const struct fed_event *e)
{
    return f->phase == FED_PHASE_OPEN && e->round == f->at.round;
}

static void on_reply(struct fed *f, struct fed_member *m, const struct fed_event *e)
{
    if (is_current(f, e)) {
        if (m->part == FED_PART_ASKED) {
            fed_set_part(f, m, e->accepted ? FED_PART_WORKS : FED_PART_DECLINED);
        }
    } else if (!e->accepted && m->base == e->round) {
        set_free(f, m);
    }
}

static void on_failed(struct fed *f, struct fed_member *m, const struct fed_event *e)
{
    if (is_current(f, e)) {
        if (is_at_work(m->part)) {
            fed_set_part(f, m, FED_PART_FAILED);
        }
    } else if (m->base == e->round) {
        set_free(f, m);
    }
}

static void put_entry(struct fed *f, struct fed_member *m, const struct fed_event *e,
                      struct fed_update *u)
{
    if (m->has_entry) {
        fed_act(f, u, FED_DO_DROP)->update = m->entry.update;
    } else {
        f->entries++;
    }
    m->has_entry = true;
    m->entry = (struct fed_entry){.update = e->update, .base = e->round};
    m->delivered = e->round;
}

static enum fed_verdict take_late(struct fed *f, struct fed_member *m, const struct fed_event *e,
                                  struct fed_update *u)
{
    bool closing = f->phase == FED_PHASE_CLOSING && e->round == f->at.round;
    /* The round in which it would count. */
    uint64_t now = f->at.round + (f->phase == FED_PHASE_CLOSING ? 1 : 0);
    bool wanted = m->busy && m->base == e->round && f->phase != FED_PHASE_ENDED;
    set_free(f, m);
    if (wanted && !m->has_entry && now - e->round <= f->config.late_max) {
        put_entry(f, m, e, u);
        m->after_close = f->phase == FED_PHASE_CLOSING;
        return FED_VERDICT_KEPT;
    }
    return closing || e->round + 1 == f->at.round ? FED_VERDICT_LATE : FED_VERDICT_STALE;
}

static enum fed_verdict on_update(struct fed *f, struct fed_member *m, const struct fed_event *e,
                                  struct fed_update *u)
{
    if (m->delivered == e->round && m->delivered != FED_NONE) {
        return FED_VERDICT_DUPLICATE;
    }
    if (e->round > f->at.round || f->phase == FED_PHASE_NEW) {
        return FED_VERDICT_UNASKED;
    }
    if (!is_current(f, e)) {
        return take_late(f, m, e, u);
    }
    /* Who was lost and answers after all was asked in this round, too. */
    bool lost = m->part == FED_PART_DROPPED || m->part == FED_PART_NONE;
    if (!is_at_work(m->part) && !(lost && m->base == e->round)) {
        return FED_VERDICT_UNASKED;
    }
    fed_set_part(f, m, FED_PART_DELIVERED);
    fed_soft_note(f, f->now_us - f->opened_us);
    put_entry(f, m, e, u);
    return FED_VERDICT_TAKEN;
}

/* ---- step ---- */

static void take_event(struct fed *f, const struct fed_event *e, struct fed_update *u)
{
    struct fed_member *m = NULL;
    if (e->kind >= FED_EV_JOIN && e->kind <= FED_EV_FAILED) {
        SH_CHECK_CMP(e->member, <, f->config.members_max);
        m = &f->members[e->member];
    }
    switch (e->kind) {
    case FED_EV_START:
        on_start(f, e, u);
        break;
    case FED_EV_JOIN:
        on_join(f, m, e->key, u);
        break;
    case FED_EV_GONE:
        on_gone(f, m);
        break;
    case FED_EV_REPLY:
        on_reply(f, m, e);
        break;
    case FED_EV_UPDATE:
        u->verdict = on_update(f, m, e, u);
        break;
    case FED_EV_FAILED:
        on_failed(f, m, e);
        break;
    case FED_EV_COMMITTED:
        on_committed(f, e, u);
        break;
    case FED_EV_TIMER:
        break;
    }
}

void fed_step(struct fed *f, const struct fed_event *event, struct fed_update *update)
{
    SH_CHECK_CMP(event->now_us, >=, f->now_us);
    f->now_us = event->now_us;
    update->verdict = FED_VERDICT_NONE;
    update->count = 0;
    take_event(f, event, update);
    if (f->phase == FED_PHASE_OPEN) {
        fed_cohort_fill(f, update);
    }
    judge(f, update);
}

uint64_t fed_deadline_us(const struct fed *f)
{
    if (f->phase != FED_PHASE_OPEN) {
        return UINT64_MAX;
    }
    if (f->backlog) {
        return 0;
    }
    bool soft = !f->evaluating && f->now_us < f->soft_us && f->soft_us < f->hard_us;
    return soft ? f->soft_us : f->hard_us;
}

/* ---- looking ---- */

bool fed_is_open(const struct fed *f)
{
    return f->phase == FED_PHASE_OPEN;
}

bool fed_is_evaluating(const struct fed *f)
{
    return f->evaluating;
}

bool fed_has_ended(const struct fed *f)
{
    return f->phase == FED_PHASE_ENDED;
}

uint64_t fed_round(const struct fed *f)
{
    return f->at.round;
}

uint64_t fed_opened_us(const struct fed *f)
{
    return f->opened_us;
}

uint32_t fed_cohort(const struct fed *f)
{
    return f->cohort;
}

enum fed_part fed_part(const struct fed *f, uint32_t member)
{
    SH_CHECK_CMP(member, <, f->config.members_max);
    return f->members[member].part;
}

bool fed_entry(const struct fed *f, uint32_t member, struct fed_entry *entry)
{
    SH_CHECK_CMP(member, <, f->config.members_max);
    const struct fed_member *m = &f->members[member];
    *entry = m->entry;
    return m->has_entry && !m->after_close;
}

const char *fed_part_text(enum fed_part part)
{
    static const char *const TEXTS[] = {
#define X(number, name, text) [number] = (text),
        FED_PART_MAP(X)
#undef X
    };
    SH_CHECK_CMP(part, <, SH_COUNT(TEXTS));
    return TEXTS[part];
}

const char *fed_verdict_text(enum fed_verdict verdict)
{
    static const char *const TEXTS[] = {
#define X(number, name, text) [number] = (text),
        FED_VERDICT_MAP(X)
#undef X
    };
    SH_CHECK_CMP(verdict, <, SH_COUNT(TEXTS));
    return TEXTS[verdict];
}

const char *fed_outcome_name(enum fed_outcome outcome)
{
    switch (outcome) {
    case FED_COMMIT:
        return "committed";
    case FED_CARRY:
        return "carried";
    case FED_SKIP:
        return "skipped";
    case FED_EVALUATED:
        return "evaluated";
    }
    SH_UNREACHABLE();
}

const char *fed_end_text(enum fed_end end)
{
    switch (end) {
    case FED_END_NONE:
        return "goes on";
    case FED_END_ROUNDS:
        return "all rounds are over";
    case FED_END_TARGET:
        return "the target is reached";
    case FED_END_PATIENCE:
        return "no better score for as many rounds as patience allows";
    case FED_END_STARVED:
        return "too many rounds in a row without enough updates";
    }
    SH_UNREACHABLE();
}
