/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/roles.h"
#include "base/check.h"

#include <stddef.h>

/* Voters that should be, most wanted first, and how many of them vote already and will stay. */
struct electorate {
    uint64_t at[SH_NODES_MAX];
    uint32_t count;
    uint32_t firm; /* the first ones: present voters that are well */
};

struct roles_limits roles_limits_default(void)
{
    return (struct roles_limits){
        .dead_us = 10000000, .stable_us = 1000000, .lag_max = 64, .voters_max = 5};
}

uint32_t roles_voters_target(uint32_t agents, uint32_t voters_max)
{
    SH_CHECK_CMP(voters_max % 2, ==, 1);
    uint32_t target = agents >= 7 ? 5 : agents >= 3 ? 3 : 1;
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

static bool holds(const uint64_t *at, uint32_t count, uint64_t handle)
{
    bool found = false;
    for (uint32_t i = 0; i < count && !found; i++) {
        found = at[i] == handle;
    }
    return found;
}

static const struct roles_node *find(const struct roles_input *in, uint64_t handle)
{
    const struct roles_node *node = NULL;
    for (uint32_t i = 0; i < in->node_count && node == NULL; i++) {
        node = in->nodes[i].handle == handle ? &in->nodes[i] : NULL;
    }
    return node;
}

/* An agent that was taken out of the tables is as good as one that left. */
static enum roles_presence presence(const struct roles_input *in, uint64_t handle)
{
    const struct roles_node *node = find(in, handle);
    return node == NULL ? ROLES_LEFT : node->presence;
}

static bool goes(const struct roles_input *in, uint64_t handle)
{
    return presence(in, handle) == ROLES_LEAVING || presence(in, handle) == ROLES_LEFT;
}

static bool in_sync(const struct roles_input *in, const struct roles_limits *limits,
                    uint64_t handle)
{
    const struct roles_node *node = find(in, handle);
    bool alive = node != NULL && (node->presence == ROLES_ALIVE || node->presence == ROLES_LEAVING);
    if (!alive || handle == in->leader) {
        return alive;
    }
    /* One that never acknowledged anything may not even know that it is a member, and then would
     * neither store nor vote, however short the log. */
    return node->match > 0 && node->match + limits->lag_max >= in->last_index;
}

static bool dead_for_long(const struct roles_input *in, const struct roles_limits *limits,
                          uint64_t handle)
{
    const struct roles_node *node = find(in, handle);
    return node != NULL && node->presence == ROLES_DEAD &&
           in->now_us >= node->since_us + limits->dead_us;
}

static bool may_vote(const struct roles_input *in, const struct roles_limits *limits,
                     const struct roles_node *node)
{
    return node->presence == ROLES_ALIVE && in_sync(in, limits, node->handle) &&
           in->now_us >= node->since_us + limits->stable_us &&
           holds(in->learners, in->learner_count, node->handle);
}

static uint32_t agents(const struct roles_input *in)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < in->node_count; i++) {
        count += in->nodes[i].presence == ROLES_ALIVE || in->nodes[i].presence == ROLES_DEAD;
    }
    return count;
}

/* Inserts into at[first .. count) by handle: the agent admitted first comes first. */
static void insert(struct electorate *e, uint32_t first, uint64_t handle)
{
    SH_CHECK_CMP(e->count, <, SH_NODES_MAX);
    uint32_t i = e->count++;
    while (i > first && e->at[i - 1] > handle) {
        e->at[i] = e->at[i - 1];
        i--;
    }
    e->at[i] = handle;
}

/* The leader; voters that are well; learners that may vote; then, kept only as long as nobody
 * better is there, voters that are dead and voters that left. */
static void rank_all(const struct roles_input *in, const struct roles_limits *limits,
                     struct electorate *e)
{
    e->count = 0;
    if (!goes(in, in->leader)) {
        e->at[e->count++] = in->leader;
    }
    uint32_t first = e->count;
    for (uint32_t i = 0; i < in->voter_count; i++) {
        uint64_t v = in->voters[i];
        if (v != in->leader && !goes(in, v) && !dead_for_long(in, limits, v)) {
            insert(e, first, v);
        }
    }
    e->firm = e->count;
    for (uint32_t i = 0; i < in->node_count; i++) {
        if (may_vote(in, limits, &in->nodes[i])) {
            insert(e, e->firm, in->nodes[i].handle);
        }
    }
    first = e->count;
    for (uint32_t i = 0; i < in->voter_count; i++) {
        if (dead_for_long(in, limits, in->voters[i])) {
            insert(e, first, in->voters[i]);
        }
    }
    first = e->count;
    for (uint32_t i = 0; i < in->voter_count; i++) {
        if (goes(in, in->voters[i])) {
            insert(e, first, in->voters[i]);
        }
    }
}

/* Cuts to the number wanted, and to an odd one unless that would drop a voter that is well. */
static void cut(const struct roles_input *in, const struct roles_limits *limits,
                struct electorate *e)
{
    uint32_t target = roles_voters_target(agents(in), limits->voters_max);
    if (e->count > target) {
        e->count = target;
    } else if (e->count % 2 == 0 && e->count > e->firm) {
        e->count--;
    }
    e->firm = e->firm < e->count ? e->firm : e->count;
}

static bool majority(const struct roles_input *in, const struct roles_limits *limits,
                     const uint64_t *at, uint32_t count)
{
    uint32_t good = 0;
    for (uint32_t i = 0; i < count; i++) {
        good += in_sync(in, limits, at[i]);
    }
    return good > count / 2;
}

static void add_op(struct roles_change *change, enum roles_op_type type, uint64_t handle)
{
    SH_CHECK_CMP(change->op_count, <, ROLES_OPS_MAX);
    change->ops[change->op_count++] = (struct roles_op){.type = type, .handle = handle};
}

/* From the present voters to those wanted, as one change. */
static bool change_voters(const struct roles_input *in, const struct electorate *want,
                          struct roles_change *change)
{
    uint32_t added = 0;
    for (uint32_t i = 0; i < want->count; i++) {
        if (!holds(in->voters, in->voter_count, want->at[i])) {
            add_op(change, ROLES_ADD_VOTER, want->at[i]);
            added++;
        }
    }
    for (uint32_t i = 0; i < in->voter_count && change->op_count < ROLES_OPS_MAX; i++) {
        uint64_t v = in->voters[i];
        if (!holds(want->at, want->count, v)) {
            add_op(change, presence(in, v) == ROLES_LEFT ? ROLES_REMOVE : ROLES_ADD_LEARNER, v);
        }
    }
    uint32_t taken = change->op_count - added;
    if (added > 0) {
        change->cause = taken > 0 ? ROLES_CAUSE_REPLACE : ROLES_CAUSE_PROMOTE;
    } else if (taken > 0) {
        change->cause = ROLES_CAUSE_SHRINK;
    }
    return change->op_count > 0;
}

/* Leadership goes to the voter that has most of the log; a leader that votes alone first makes the
 * oldest learner that may vote a voter. */
static void let_leader_go(const struct roles_input *in, const struct roles_limits *limits,
                          struct roles_change *change)
{
    uint64_t best_match = 0;
    for (uint32_t i = 0; i < in->voter_count; i++) {
        const struct roles_node *node = find(in, in->voters[i]);
        bool fit = node != NULL && node->handle != in->leader && node->presence == ROLES_ALIVE &&
                   in_sync(in, limits, node->handle);
        if (fit && (change->transfer_to == 0 || node->match > best_match ||
                    (node->match == best_match && node->handle < change->transfer_to))) {
            change->transfer_to = node->handle;
            best_match = node->match;
        }
    }
    if (change->transfer_to != 0) {
        change->cause = ROLES_CAUSE_TRANSFER;
        return;
    }
    uint64_t heir = 0;
    for (uint32_t i = 0; i < in->node_count; i++) {
        const struct roles_node *node = &in->nodes[i];
        bool older = heir == 0 || node->handle < heir;
        heir = may_vote(in, limits, node) && older ? node->handle : heir;
    }
    if (heir != 0) {
        add_op(change, ROLES_ADD_VOTER, heir);
        change->cause = ROLES_CAUSE_HAND_OVER;
    }
}

/* Learners that left go, then new agents come: one at a time, the oldest first. */
static void change_learners(const struct roles_input *in, struct roles_change *change)
{
    uint64_t gone = 0;
    uint64_t comes = 0;
    for (uint32_t i = 0; i < in->learner_count; i++) {
        uint64_t handle = in->learners[i];
        bool left = presence(in, handle) == ROLES_LEFT;
        gone = left && (gone == 0 || handle < gone) ? handle : gone;
    }
    for (uint32_t i = 0; i < in->node_count; i++) {
        uint64_t handle = in->nodes[i].handle;
        bool outside = in->nodes[i].presence == ROLES_ALIVE &&
                       !holds(in->voters, in->voter_count, handle) &&
                       !holds(in->learners, in->learner_count, handle);
        comes = outside && (comes == 0 || handle < comes) ? handle : comes;
    }
    if (gone != 0) {
        add_op(change, ROLES_REMOVE, gone);
        change->cause = ROLES_CAUSE_LEAVE;
    } else if (comes != 0 && in->voter_count + in->learner_count >= ROLES_MEMBERS_MAX) {
        change->cause = ROLES_CAUSE_MEMBERS_FULL;
    } else if (comes != 0) {
        add_op(change, ROLES_ADD_LEARNER, comes);
        change->cause = ROLES_CAUSE_JOIN;
    }
}

void roles_plan(const struct roles_input *in, const struct roles_limits *limits,
                struct roles_change *change)
{
    SH_CHECK_CMP(in->node_count, <=, SH_NODES_MAX);
    SH_CHECK_CMP(in->voter_count, >=, 1);
    SH_CHECK_CMP(in->voter_count, <=, SH_VOTERS_MAX);
    SH_CHECK_CMP(in->learner_count, <=, ROLES_MEMBERS_MAX);
    SH_CHECK(find(in, in->leader) != NULL);
    *change = (struct roles_change){.cause = ROLES_CAUSE_NONE};
    if (in->in_flight) {
        change->cause = ROLES_CAUSE_IN_FLIGHT;
        return;
    }
    if (!majority(in, limits, in->voters, in->voter_count)) {
        change->cause = ROLES_CAUSE_NO_MAJORITY;
        return;
    }
    if (goes(in, in->leader)) {
        let_leader_go(in, limits, change);
        return;
    }
    struct electorate want;
    rank_all(in, limits, &want);
    cut(in, limits, &want);
    SH_CHECK_CMP(want.count, >=, 1);
    if (!majority(in, limits, want.at, want.count)) {
        change->cause = ROLES_CAUSE_NO_MAJORITY;
        return;
    }
    if (!change_voters(in, &want, change)) {
        change_learners(in, change);
    }
}
