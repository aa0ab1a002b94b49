/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/roles.h"
#include "base/check.h"

#include <stddef.h>

#define GROUP_MAX (SH_VOTERS_MAX + ROLES_MEMBERS_MAX)

struct member {
    uint64_t handle;
    const struct roles_node *node; /* NULL: taken out of the tables, as good as one that left */
    bool voter;
};

struct scene {
    const struct roles_input *in;
    const struct roles_limits *limits;
    struct member group[GROUP_MAX]; /* voters, then learners */
    uint32_t count;
    const struct member *leader;
    uint32_t agents; /* that are there or may come back */
    bool outsiders;  /* agents that are alive and no members */
};

/* Voters that should be, most wanted first. The first ones, firm of them, vote already and are
 * well; those before spare are not gone for good. */
struct electorate {
    const struct member *at[GROUP_MAX];
    uint32_t count;
    uint32_t firm;
    uint32_t spare;
};

struct roles_limits roles_limits_default(void)
{
    return (struct roles_limits){.dead_us = 10000000,
                                 .stable_us = 1000000,
                                 .wish_us = 30000000,
                                 .move_us = 60000000,
                                 .lag_max = 64,
                                 .voters_max = 5};
}

struct roles_memory roles_memory_new(uint64_t now_us)
{
    return (struct roles_memory){.moved_us = now_us};
}

uint32_t roles_voters_target(uint32_t agents, uint32_t voters_max)
{
    SH_CHECK_CMP(voters_max % 2, ==, 1);
    SH_CHECK_CMP(voters_max, <=, SH_VOTERS_MAX);
    uint32_t target = agents >= 9 ? 7 : agents >= 7 ? 5 : agents >= 3 ? 3 : 1;
    return target < voters_max ? target : voters_max;
}

const char *roles_cause_text(uint32_t cause)
{
    static const char *const texts[ROLES_CAUSE_COUNT] = {
#define X(number, name, text) [number] = text,
        ROLES_CAUSE_MAP(X)
#undef X
    };
    return cause < ROLES_CAUSE_COUNT ? texts[cause] : "?";
}

/* ---- what is ---- */

static struct member *member_of(struct scene *s, uint64_t handle)
{
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->group[i].handle == handle) {
            return &s->group[i];
        }
    }
    return NULL;
}

static void look(struct scene *s, const struct roles_input *in, const struct roles_limits *limits)
{
    *s = (struct scene){.in = in, .limits = limits};
    for (uint32_t i = 0; i < in->voter_count; i++) {
        s->group[s->count++] = (struct member){.handle = in->voters[i], .voter = true};
    }
    for (uint32_t i = 0; i < in->learner_count; i++) {
        s->group[s->count++] = (struct member){.handle = in->learners[i]};
    }
    for (uint32_t i = 0; i < in->node_count; i++) {
        const struct roles_node *node = &in->nodes[i];
        struct member *m = member_of(s, node->handle);
        bool alive = node->presence == ROLES_ALIVE;
        s->agents += alive || node->presence == ROLES_DEAD;
        if (m != NULL) {
            m->node = node;
        }
        s->outsiders = s->outsiders || (m == NULL && alive);
    }
    s->leader = member_of(s, in->leader);
    SH_CHECK(s->leader != NULL && s->leader->node != NULL);
}

static enum roles_presence presence(const struct member *m)
{
    return m->node == NULL ? ROLES_LEFT : m->node->presence;
}

static bool goes(const struct member *m)
{
    return presence(m) == ROLES_LEAVING || presence(m) == ROLES_LEFT;
}

static bool in_sync(const struct scene *s, const struct member *m)
{
    bool alive = presence(m) == ROLES_ALIVE || presence(m) == ROLES_LEAVING;
    if (!alive || m == s->leader) {
        return alive;
    }
    /* One that never acknowledged anything may not even know that it is a member, and then would
     * neither store nor vote, however short the log. */
    return m->node->match > 0 && m->node->match + s->limits->lag_max >= s->in->last_index;
}

static bool dead_for(const struct scene *s, const struct member *m, uint64_t us)
{
    return presence(m) == ROLES_DEAD && s->in->now_us >= m->node->since_us + us;
}

static bool stays(const struct scene *s, const struct member *m)
{
    return !goes(m) && !dead_for(s, m, s->limits->dead_us);
}

/* A learner that is fit to vote. */
static bool may_vote(const struct scene *s, const struct member *m)
{
    return !m->voter && presence(m) == ROLES_ALIVE && in_sync(s, m) &&
           s->in->now_us >= m->node->since_us + s->limits->stable_us;
}

static bool majority(const struct scene *s, const struct member *const *at, uint32_t count)
{
    uint32_t good = 0;
    for (uint32_t i = 0; i < count; i++) {
        good += in_sync(s, at[i]);
    }
    return good > count / 2;
}

/* ---- who is better ---- */

/* The power of two of a latency, 0 below 1 ms; what is not known comes last. */
static uint32_t class_of(uint32_t us)
{
    uint32_t class = 0;
    for (uint32_t ms = us / 1000; ms > 0; ms /= 2) {
        class ++;
    }
    return us == 0 ? UINT8_MAX : class;
}

static bool together(const struct member *a, const struct member *b)
{
    return a->node != NULL && b->node != NULL && a->node->domain != 0 &&
           a->node->domain == b->node->domain;
}

static uint32_t companions(const struct electorate *e, const struct member *m)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < e->count; i++) {
        count += e->at[i] != m && together(e->at[i], m);
    }
    return count;
}

/* a rather than b, beside those chosen already. Both are in the tables. */
static bool before(const struct electorate *e, const struct member *a, const struct member *b)
{
    const uint64_t keys[][2] = {{companions(e, a), companions(e, b)},
                                {class_of(a->node->fsync_p99_us), class_of(b->node->fsync_p99_us)},
                                {class_of(a->node->rtt_p99_us), class_of(b->node->rtt_p99_us)},
                                {a->node->since_us, b->node->since_us},
                                {a->handle, b->handle}};
    for (uint32_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (keys[i][0] != keys[i][1]) {
            return keys[i][0] < keys[i][1];
        }
    }
    return false;
}

static bool chosen(const struct electorate *e, const struct member *m)
{
    bool found = false;
    for (uint32_t i = 0; i < e->count && !found; i++) {
        found = e->at[i] == m;
    }
    return found;
}

/* ---- who shall vote ---- */

typedef bool wanted(const struct scene *s, const struct member *m);

static bool is_firm(const struct scene *s, const struct member *m)
{
    return m->voter && stays(s, m);
}

static bool is_dead(const struct scene *s, const struct member *m)
{
    return m->voter && dead_for(s, m, s->limits->dead_us);
}

static bool is_gone(const struct scene *s, const struct member *m)
{
    (void)s;
    return m->voter && goes(m);
}

/* Adds all of a kind: each the best beside those before it, or the oldest first. */
static void choose(const struct scene *s, struct electorate *e, wanted *kind, bool best)
{
    const struct member *next = NULL;
    do {
        next = NULL;
        for (uint32_t i = 0; i < s->count; i++) {
            const struct member *m = &s->group[i];
            if (kind(s, m) && !chosen(e, m) &&
                (next == NULL || (best ? before(e, m, next) : m->handle < next->handle))) {
                next = m;
            }
        }
        if (next != NULL) {
            SH_CHECK_CMP(e->count, <, GROUP_MAX);
            e->at[e->count++] = next;
        }
    } while (next != NULL);
}

/* The leader; voters that are well; learners that may vote; then, kept only as long as nobody
 * better is there, voters that are dead and voters that left. */
static void rank_all(const struct scene *s, struct electorate *e)
{
    *e = (struct electorate){.count = 0};
    if (!goes(s->leader)) {
        e->at[e->count++] = s->leader;
    }
    choose(s, e, is_firm, true);
    e->firm = e->count;
    choose(s, e, may_vote, true);
    choose(s, e, is_dead, false);
    e->spare = e->count;
    choose(s, e, is_gone, false);
}

/* Cuts to the number wanted, and to an odd one unless that would drop a voter that is well. */
static void cut(struct electorate *e, uint32_t target)
{
    if (e->count > target) {
        e->count = target;
    } else if (e->count % 2 == 0 && e->count > e->firm) {
        e->count--;
    }
    e->firm = e->firm < e->count ? e->firm : e->count;
}

/* ---- voluntary moves ---- */

/* True once: the wish has lasted and no other move was made lately. */
static bool wish(const struct scene *s, struct roles_memory *memory, uint64_t in, uint64_t out)
{
    uint64_t now_us = s->in->now_us;
    SH_CHECK_CMP(out, !=, 0);
    if (memory->wish_in != in || memory->wish_out != out) {
        memory->wish_in = in;
        memory->wish_out = out;
        memory->wished_us = now_us;
    }
    bool ripe = now_us >= memory->wished_us + s->limits->wish_us &&
                now_us >= memory->moved_us + s->limits->move_us;
    if (ripe) {
        *memory = roles_memory_new(now_us);
    }
    return ripe;
}

static void wish_nothing(struct roles_memory *memory)
{
    memory->wish_in = 0;
    memory->wish_out = 0;
}

/* How much better in stands beside the other voters than out; 0: not worth a move. A lower figure
 * never buys what a higher one would lose, so moves cannot go in circles. */
static uint32_t gain(const struct electorate *e, const struct member *in, const struct member *out)
{
    uint32_t had = companions(e, out);
    uint32_t has = companions(e, in) - (together(in, out) ? 1 : 0);
    int disk = (int)class_of(out->node->fsync_p99_us) - (int)class_of(in->node->fsync_p99_us);
    int way = (int)class_of(out->node->rtt_p99_us) - (int)class_of(in->node->rtt_p99_us);
    if (has != had) {
        return has < had ? (had - has) << 16 : 0;
    }
    if (disk < 0) {
        return 0;
    }
    if (disk >= 2 && out->node->fsync_p99_us != 0) { /* what is not known may be as good */
        return (uint32_t)disk << 8;
    }
    return way >= 2 && out->node->rtt_p99_us != 0 ? (uint32_t)way : 0;
}

/* Where all voters are well: one of them, not the leader, for a learner that stands better. */
static bool improve(const struct scene *s, const struct electorate *now, const struct member **in,
                    const struct member **out)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        for (uint32_t j = 0; j < now->count && may_vote(s, &s->group[i]); j++) {
            uint32_t by = now->at[j] == s->leader ? 0 : gain(now, &s->group[i], now->at[j]);
            if (by > most) {
                most = by;
                *in = &s->group[i];
                *out = now->at[j];
            }
        }
    }
    return most > 0;
}

/* ---- the change ---- */

static void add_op(struct roles_change *change, enum roles_op_type type, uint64_t handle)
{
    SH_CHECK_CMP(change->op_count, <, ROLES_OPS_MAX);
    change->ops[change->op_count++] = (struct roles_op){.type = type, .handle = handle};
}

/* From the present voters to those wanted, as one change. Who goes comes first: the new set must
 * not be larger than a set may be even in between. */
static bool change_voters(const struct scene *s, const struct electorate *want,
                          struct roles_change *change)
{
    for (uint32_t i = 0; i < s->count; i++) {
        const struct member *m = &s->group[i];
        if (m->voter && !chosen(want, m)) {
            add_op(change, presence(m) == ROLES_LEFT ? ROLES_REMOVE : ROLES_ADD_LEARNER, m->handle);
        }
    }
    uint32_t taken = change->op_count;
    for (uint32_t i = 0; i < want->count; i++) {
        if (!want->at[i]->voter) {
            add_op(change, ROLES_ADD_VOTER, want->at[i]->handle);
        }
    }
    if (change->op_count > taken) {
        change->cause = taken > 0 ? ROLES_CAUSE_REPLACE : ROLES_CAUSE_PROMOTE;
    } else if (taken > 0) {
        change->cause = ROLES_CAUSE_SHRINK;
    }
    return change->op_count > 0;
}

/* Leadership goes to the voter that has most of the log. A leader that votes alone is replaced by
 * the best learner in one change, and goes with the end of it. */
static void let_leader_go(const struct scene *s, struct roles_change *change)
{
    const struct member *best = NULL;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct member *m = &s->group[i];
        bool fit = m->voter && m != s->leader && presence(m) == ROLES_ALIVE && in_sync(s, m);
        if (fit && (best == NULL || m->node->match > best->node->match ||
                    (m->node->match == best->node->match && m->handle < best->handle))) {
            best = m;
        }
    }
    if (best != NULL) {
        change->transfer_to = best->handle;
        change->cause = ROLES_CAUSE_TRANSFER;
        return;
    }
    struct electorate heirs = {.count = 0};
    choose(s, &heirs, may_vote, true);
    if (heirs.count > 0 && s->in->voter_count == 1) {
        add_op(change, ROLES_ADD_VOTER, heirs.at[0]->handle);
        add_op(change, ROLES_ADD_LEARNER, s->leader->handle);
        change->cause = ROLES_CAUSE_HAND_OVER;
    }
}

/* The oldest agent outside, of those whose failure domain has the fewest members. */
static uint64_t newcomer(struct scene *s)
{
    uint64_t best = 0;
    uint32_t best_had = 0;
    for (uint32_t i = 0; i < s->in->node_count; i++) {
        const struct roles_node *node = &s->in->nodes[i];
        if (node->presence != ROLES_ALIVE || member_of(s, node->handle) != NULL) {
            continue;
        }
        uint32_t had = 0;
        for (uint32_t j = 0; j < s->count; j++) {
            const struct roles_node *other = s->group[j].node;
            had += other != NULL && other->domain != 0 && other->domain == node->domain;
        }
        if (best == 0 || had < best_had || (had == best_had && node->handle < best)) {
            best = node->handle;
            best_had = had;
        }
    }
    return best;
}

/* Learners that left go, then new agents come, one at a time. In a full group they take the place
 * of a learner that is dead for long. */
static void change_learners(struct scene *s, struct roles_change *change)
{
    const struct member *left = NULL;
    const struct member *dead = NULL;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct member *m = &s->group[i];
        bool learner = !m->voter;
        if (learner && presence(m) == ROLES_LEFT && (left == NULL || m->handle < left->handle)) {
            left = m;
        }
        if (learner && dead_for(s, m, s->limits->dead_us + s->limits->wish_us) &&
            (dead == NULL || m->node->since_us < dead->node->since_us)) {
            dead = m;
        }
    }
    bool full = s->count >= ROLES_MEMBERS_MAX;
    if (left != NULL) {
        add_op(change, ROLES_REMOVE, left->handle);
        change->cause = ROLES_CAUSE_LEAVE;
    } else if (s->outsiders && full && dead == NULL) {
        change->cause = ROLES_CAUSE_MEMBERS_FULL;
    } else if (s->outsiders) {
        if (full) {
            add_op(change, ROLES_REMOVE, dead->handle);
        }
        add_op(change, ROLES_ADD_LEARNER, newcomer(s));
        change->cause = ROLES_CAUSE_JOIN;
    }
}

/* Fewer voters than the present ones only at leisure, as long as there are agents to keep them. */
static void want_voters(const struct scene *s, struct roles_memory *memory, struct electorate *want,
                        bool *wished)
{
    uint32_t now = s->in->voter_count;
    uint32_t target = roles_voters_target(s->agents, s->limits->voters_max);
    rank_all(s, want);
    bool leisure = target < now && now % 2 == 1 && want->spare >= now;
    *wished = leisure;
    if (leisure && !wish(s, memory, 0, target)) {
        target = now;
    }
    cut(want, target);
    SH_CHECK_CMP(want->count, >=, 1);
}

/* A better voter in the place of another. False: nothing is done now. */
static bool move_voter(const struct scene *s, struct roles_memory *memory, struct electorate *want,
                       bool *wished, struct roles_change *change)
{
    const struct member *in = NULL;
    const struct member *out = NULL;
    bool well = want->firm == want->count && want->count % 2 == 1;
    for (uint32_t i = 0; i < want->count; i++) {
        well = well && in_sync(s, want->at[i]);
    }
    *wished = well && improve(s, want, &in, &out);
    if (!*wished || !wish(s, memory, in->handle, out->handle)) {
        return false;
    }
    for (uint32_t i = 0; i < want->count; i++) {
        want->at[i] = want->at[i] == out ? in : want->at[i];
    }
    if (!majority(s, want->at, want->count)) {
        return false;
    }
    (void)change_voters(s, want, change); /* it has two ops */
    change->cause = ROLES_CAUSE_IMPROVE;
    return true;
}

static void name_standbys(const struct scene *s, const struct electorate *want,
                          struct roles_change *change)
{
    struct electorate next = *want;
    choose(s, &next, may_vote, true);
    for (uint32_t i = want->count; i < next.count && change->standby_count < ROLES_STANDBYS_MAX;
         i++) {
        change->standbys[change->standby_count++] = next.at[i]->handle;
    }
}

static void plan_members(struct scene *s, struct roles_memory *memory, struct roles_change *change)
{
    struct electorate want;
    bool wished = false;
    want_voters(s, memory, &want, &wished);
    if (!majority(s, want.at, want.count)) {
        change->cause = ROLES_CAUSE_NO_MAJORITY;
        return;
    }
    bool changed = change_voters(s, &want, change);
    if (!changed && !wished) {
        changed = move_voter(s, memory, &want, &wished, change);
    }
    if (!wished) {
        wish_nothing(memory);
    }
    name_standbys(s, &want, change);
    if (!changed) {
        change_learners(s, change);
    }
    if (wished && change->cause == ROLES_CAUSE_NONE) {
        change->cause = ROLES_CAUSE_WISH;
    }
}

void roles_plan(const struct roles_input *in, const struct roles_limits *limits,
                struct roles_memory *memory, struct roles_change *change)
{
    SH_CHECK_CMP(in->voter_count, >=, 1);
    SH_CHECK_CMP(in->voter_count, <=, SH_VOTERS_MAX);
    SH_CHECK_CMP(in->learner_count, <=, ROLES_MEMBERS_MAX);
    *change = (struct roles_change){.cause = ROLES_CAUSE_NONE};
    if (in->in_flight) { /* whoever leads may be on the outgoing side only */
        change->cause = ROLES_CAUSE_IN_FLIGHT;
        return;
    }
    struct scene s;
    look(&s, in, limits);
    struct electorate now = {.count = 0};
    for (uint32_t i = 0; i < in->voter_count; i++) {
        now.at[now.count++] = &s.group[i];
    }
    if (!majority(&s, now.at, now.count)) {
        change->cause = ROLES_CAUSE_NO_MAJORITY;
        wish_nothing(memory);
    } else if (goes(s.leader)) {
        let_leader_go(&s, change);
    } else {
        plan_members(&s, memory, change);
    }
}
