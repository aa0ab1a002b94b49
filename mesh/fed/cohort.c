/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rng.h"
#include "fed/state.h"

#define PPM UINT64_C(1000000)

static uint64_t up(uint64_t value, uint64_t parts, uint64_t whole)
{
    return (value * parts + whole - 1) / whole;
}

/* True when member a is asked before b. */
static bool before(const struct fed *f, uint32_t a, uint32_t b)
{
    const struct fed_member *x = &f->members[a];
    const struct fed_member *y = &f->members[b];
    if (x->score != y->score) {
        return x->score > y->score;
    }
    return x->key != y->key ? x->key > y->key : a < b;
}

static void sink(struct fed *f, uint32_t at, uint32_t count)
{
    uint32_t moved = f->order[at];
    for (uint32_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
        if (child + 1 < count && before(f, f->order[child], f->order[child + 1])) {
            child++;
        }
        if (!before(f, moved, f->order[child])) {
            break;
        }
        f->order[at] = f->order[child];
        at = child;
    }
    f->order[at] = moved;
}

/* Heap sort: the heap's root is the one that comes last. */
static void sort(struct fed *f)
{
    for (uint32_t i = f->order_count / 2; i > 0; i--) {
        sink(f, i - 1, f->order_count);
    }
    for (uint32_t count = f->order_count; count > 1; count--) {
        uint32_t last = f->order[0];
        f->order[0] = f->order[count - 1];
        f->order[count - 1] = last;
        sink(f, 0, count - 1);
    }
}

static uint32_t cohort_of(const struct fed *f, uint32_t there)
{
    const struct fed_config *c = &f->config;
    uint64_t cohort = there;
    if (!f->evaluating && c->select == FED_FRACTION) {
        cohort = up(there, c->fraction_ppm, PPM);
    } else if (!f->evaluating && c->select == FED_COUNT) {
        cohort = c->count;
    }
    cohort = cohort < c->least ? c->least : cohort;
    return (uint32_t)(cohort < there ? cohort : there);
}

void fed_cohort_open(struct fed *f)
{
    const struct fed_config *c = &f->config;
    uint64_t salt = sh_mix64(c->seed ^ sh_mix64(f->at.round + 1));
    f->order_count = 0;
    f->order_next = 0;
    f->open = 0;
    f->live = 0;
    f->joined = false;
    uint32_t there = 0;
    for (uint32_t i = 0; i < c->members_max; i++) {
        struct fed_member *m = &f->members[i];
        m->part = FED_PART_NONE;
        m->score = sh_mix64(m->key ^ salt);
        there += m->present ? 1 : 0;
        if (m->present && !m->busy) {
            f->order[f->order_count++] = i;
        }
    }
    sort(f);
    f->cohort = cohort_of(f, there);
    bool all = f->evaluating || c->select == FED_ALL;
    uint32_t whole = f->cohort > c->least || f->evaluating ? f->cohort : c->least;
    f->wanted = all ? whole : (uint32_t)up(whole, c->over_permille, FED_PERMILLE);
    f->goal = c->goal_count > 0 ? c->goal_count : (uint32_t)up(f->cohort, c->goal_ppm, PPM);
    f->goal = f->goal < c->least ? c->least : f->goal;
}

/* Whose update is here already, late or carried, has done its part. */
static bool may_be_asked(const struct fed *f, const struct fed_member *m)
{
    bool idle = m->present && !m->busy && m->part == FED_PART_NONE;
    return idle && (f->evaluating || !m->has_entry);
}

/* The next one of the order, then the best of those who came since; members_max: nobody. */
static uint32_t next_member(struct fed *f)
{
    uint32_t nobody = f->config.members_max;
    while (f->order_next < f->order_count) {
        uint32_t member = f->order[f->order_next++];
        if (may_be_asked(f, &f->members[member])) {
            return member;
        }
    }
    uint32_t best = nobody;
    for (uint32_t i = 0; f->joined && i < nobody; i++) {
        if (may_be_asked(f, &f->members[i]) && (best == nobody || before(f, i, best))) {
            best = i;
        }
    }
    f->joined = best != nobody;
    return best;
}

void fed_cohort_fill(struct fed *f, struct fed_update *u)
{
    uint32_t nobody = f->config.members_max;
    f->backlog = false;
    while (f->live < f->wanted) {
        if (fed_full(u)) {
            f->backlog = true;
            return;
        }
        uint32_t member = next_member(f);
        if (member == nobody) {
            return;
        }
        struct fed_member *m = &f->members[member];
        m->base = f->at.round;
        fed_set_part(f, m, FED_PART_ASKED);
        fed_act(f, u, FED_DO_INVITE)->member = member;
    }
}
