/* SPDX-License-Identifier: Apache-2.0 */
#include "raft/conf.h"

#include <string.h>

_Static_assert(RAFT_PEERS_MAX <= 64, "a set of member slots fits one word");

static const char *const err_text[] = {
    [RAFT_CONF_OK] = "ok",
    [RAFT_CONF_ALREADY_JOINT] = "config is already joint",
    [RAFT_CONF_NOT_JOINT] = "can't leave a non-joint config",
    [RAFT_CONF_ZERO_JOINT] = "can't make a zero-voter config joint",
    [RAFT_CONF_JOINT_SIMPLE] = "can't apply simple config change in joint config",
    [RAFT_CONF_NO_VOTERS] = "removed all voters",
    [RAFT_CONF_MANY_CHANGED] = "more than one voter changed without entering joint config",
    [RAFT_CONF_TOO_MANY_VOTERS] = "too many voters",
    [RAFT_CONF_TOO_MANY_LEARNERS] = "too many learners",
};

const char *raft_conf_err_text(enum raft_conf_err err)
{
    SH_CHECK_CMP(err, <, SH_COUNT(err_text));
    return err_text[err];
}

/* Position of id, or where it would stand. */
static uint32_t set_at(const uint64_t *ids, uint32_t count, uint64_t id)
{
    uint32_t at = 0;
    while (at < count && ids[at] < id) {
        at++;
    }
    return at;
}

static bool set_has(const uint64_t *ids, uint32_t count, uint64_t id)
{
    uint32_t at = set_at(ids, count, id);
    return at < count && ids[at] == id;
}

/* False when there is no room. */
static bool set_add(uint64_t *ids, uint8_t *count, uint32_t capacity, uint64_t id)
{
    uint32_t at = set_at(ids, *count, id);
    if (at < *count && ids[at] == id) {
        return true;
    }
    if (*count == capacity) {
        return false;
    }
    memmove(ids + at + 1, ids + at, (*count - at) * sizeof *ids);
    ids[at] = id;
    (*count)++;
    return true;
}

static void set_del(uint64_t *ids, uint8_t *count, uint64_t id)
{
    uint32_t at = set_at(ids, *count, id);
    if (at < *count && ids[at] == id) {
        (*count)--;
        memmove(ids + at, ids + at + 1, (*count - at) * sizeof *ids);
        ids[*count] = 0; /* equal configurations are equal bytes */
    }
}

bool raft_conf_joint(const struct raft_conf *conf)
{
    return conf->outgoing_count > 0;
}

bool raft_conf_voter(const struct raft_conf *conf, uint64_t id)
{
    return set_has(conf->voters, conf->voter_count, id) ||
           set_has(conf->outgoing, conf->outgoing_count, id);
}

bool raft_conf_learner(const struct raft_conf *conf, uint64_t id)
{
    return set_has(conf->learners, conf->learner_count, id);
}

uint32_t raft_conf_members(const struct raft_conf *conf, uint64_t out[static RAFT_PEERS_MAX])
{
    uint8_t count = 0;
    bool fits = true;
    for (uint32_t i = 0; i < conf->voter_count; i++) {
        fits &= set_add(out, &count, RAFT_PEERS_MAX, conf->voters[i]);
    }
    for (uint32_t i = 0; i < conf->outgoing_count; i++) {
        fits &= set_add(out, &count, RAFT_PEERS_MAX, conf->outgoing[i]);
    }
    for (uint32_t i = 0; i < conf->learner_count; i++) {
        fits &= set_add(out, &count, RAFT_PEERS_MAX, conf->learners[i]);
    }
    SH_CHECK(fits);
    return count;
}

bool raft_conf_equal(const struct raft_conf *a, const struct raft_conf *b)
{
    return a->voter_count == b->voter_count && a->outgoing_count == b->outgoing_count &&
           a->learner_count == b->learner_count && a->learner_next_count == b->learner_next_count &&
           a->auto_leave == b->auto_leave && memcmp(a->voters, b->voters, sizeof a->voters) == 0 &&
           memcmp(a->outgoing, b->outgoing, sizeof a->outgoing) == 0 &&
           memcmp(a->learners, b->learners, sizeof a->learners) == 0 &&
           memcmp(a->learners_next, b->learners_next, sizeof a->learners_next) == 0;
}

static void check_set(const uint64_t *ids, uint32_t count, uint32_t capacity)
{
    SH_CHECK_CMP(count, <=, capacity);
    for (uint32_t i = 0; i < count; i++) {
        SH_CHECK_CMP(ids[i], >, i > 0 ? ids[i - 1] : 0);
    }
    for (uint32_t i = count; i < capacity; i++) {
        SH_CHECK_CMP(ids[i], ==, 0);
    }
}

void raft_conf_check(const struct raft_conf *conf)
{
    check_set(conf->voters, conf->voter_count, RAFT_VOTERS_MAX);
    check_set(conf->outgoing, conf->outgoing_count, RAFT_VOTERS_MAX);
    check_set(conf->learners, conf->learner_count, RAFT_LEARNERS_MAX);
    check_set(conf->learners_next, conf->learner_next_count, RAFT_VOTERS_MAX);
    for (uint32_t i = 0; i < conf->learner_count; i++) {
        SH_CHECK(!raft_conf_voter(conf, conf->learners[i]));
    }
    for (uint32_t i = 0; i < conf->learner_next_count; i++) {
        uint64_t id = conf->learners_next[i];
        SH_CHECK(set_has(conf->outgoing, conf->outgoing_count, id));
        SH_CHECK(!set_has(conf->voters, conf->voter_count, id));
    }
    SH_CHECK(SH_IMPLIES(conf->auto_leave, raft_conf_joint(conf)));
    SH_CHECK(SH_IMPLIES(raft_conf_joint(conf), conf->voter_count > 0));
}

static void remove_member(struct raft_conf *conf, uint64_t id)
{
    set_del(conf->voters, &conf->voter_count, id);
    set_del(conf->learners, &conf->learner_count, id);
    set_del(conf->learners_next, &conf->learner_next_count, id);
}

static enum raft_conf_err add_voter(struct raft_conf *conf, uint64_t id)
{
    set_del(conf->learners, &conf->learner_count, id);
    set_del(conf->learners_next, &conf->learner_next_count, id);
    if (!set_add(conf->voters, &conf->voter_count, RAFT_VOTERS_MAX, id)) {
        return RAFT_CONF_TOO_MANY_VOTERS;
    }
    return RAFT_CONF_OK;
}

static enum raft_conf_err add_learner(struct raft_conf *conf, uint64_t id)
{
    remove_member(conf, id);
    /* A voter of the outgoing side may not be a learner yet: it becomes one when that side goes. */
    if (set_has(conf->outgoing, conf->outgoing_count, id)) {
        bool fits = set_add(conf->learners_next, &conf->learner_next_count, RAFT_VOTERS_MAX, id);
        SH_CHECK(fits); /* it is a subset of outgoing */
        return RAFT_CONF_OK;
    }
    if (!set_add(conf->learners, &conf->learner_count, RAFT_LEARNERS_MAX, id)) {
        return RAFT_CONF_TOO_MANY_LEARNERS;
    }
    return RAFT_CONF_OK;
}

static enum raft_conf_err change_all(struct raft_conf *conf, const struct raft_change *changes,
                                     uint32_t count)
{
    SH_CHECK_CMP(count, <=, RAFT_CHANGES_MAX);
    enum raft_conf_err err = RAFT_CONF_OK;
    for (uint32_t i = 0; i < count && err == RAFT_CONF_OK; i++) {
        uint64_t id = changes[i].id;
        if (id == 0) {
            continue;
        }
        switch (changes[i].type) {
        case RAFT_ADD_VOTER:
            err = add_voter(conf, id);
            break;
        case RAFT_ADD_LEARNER:
            err = add_learner(conf, id);
            break;
        case RAFT_REMOVE:
            remove_member(conf, id);
            break;
        case RAFT_UPDATE:
            break;
        default:
            SH_UNREACHABLE();
        }
    }
    if (err == RAFT_CONF_OK && conf->voter_count == 0) {
        err = RAFT_CONF_NO_VOTERS;
    }
    return err;
}

static uint32_t voters_that_differ(const struct raft_conf *a, const struct raft_conf *b)
{
    uint32_t differ = 0;
    for (uint32_t i = 0; i < a->voter_count; i++) {
        differ += !set_has(b->voters, b->voter_count, a->voters[i]);
    }
    for (uint32_t i = 0; i < b->voter_count; i++) {
        differ += !set_has(a->voters, a->voter_count, b->voters[i]);
    }
    return differ;
}

enum raft_conf_err raft_conf_simple(const struct raft_conf *in, const struct raft_change *changes,
                                    uint32_t count, struct raft_conf *out)
{
    if (raft_conf_joint(in)) {
        return RAFT_CONF_JOINT_SIMPLE;
    }
    struct raft_conf next = *in;
    enum raft_conf_err err = change_all(&next, changes, count);
    if (err != RAFT_CONF_OK) {
        return err;
    }
    if (voters_that_differ(in, &next) > 1) {
        return RAFT_CONF_MANY_CHANGED;
    }
    raft_conf_check(&next);
    *out = next;
    return RAFT_CONF_OK;
}

enum raft_conf_err raft_conf_enter_joint(const struct raft_conf *in, bool auto_leave,
                                         const struct raft_change *changes, uint32_t count,
                                         struct raft_conf *out)
{
    if (raft_conf_joint(in)) {
        return RAFT_CONF_ALREADY_JOINT;
    }
    if (in->voter_count == 0) {
        return RAFT_CONF_ZERO_JOINT;
    }
    struct raft_conf next = *in;
    memcpy(next.outgoing, in->voters, sizeof next.outgoing);
    next.outgoing_count = in->voter_count;
    next.auto_leave = auto_leave;
    enum raft_conf_err err = change_all(&next, changes, count);
    if (err != RAFT_CONF_OK) {
        return err;
    }
    if ((uint32_t)next.learner_count + next.learner_next_count > RAFT_LEARNERS_MAX) {
        return RAFT_CONF_TOO_MANY_LEARNERS; /* so that leaving always fits */
    }
    raft_conf_check(&next);
    *out = next;
    return RAFT_CONF_OK;
}

enum raft_conf_err raft_conf_leave_joint(const struct raft_conf *in, struct raft_conf *out)
{
    if (!raft_conf_joint(in)) {
        return RAFT_CONF_NOT_JOINT;
    }
    struct raft_conf next = *in;
    memset(next.outgoing, 0, sizeof next.outgoing);
    next.outgoing_count = 0;
    memset(next.learners_next, 0, sizeof next.learners_next);
    next.learner_next_count = 0;
    next.auto_leave = false;
    for (uint32_t i = 0; i < in->learner_next_count; i++) {
        if (!set_add(next.learners, &next.learner_count, RAFT_LEARNERS_MAX, in->learners_next[i])) {
            return RAFT_CONF_TOO_MANY_LEARNERS;
        }
    }
    raft_conf_check(&next);
    *out = next;
    return RAFT_CONF_OK;
}

enum raft_conf_err raft_conf_apply(const struct raft_conf *in,
                                   const struct raft_conf_change *change, struct raft_conf *out)
{
    if (change->transition == RAFT_AUTO && change->count == 0) {
        return raft_conf_leave_joint(in, out);
    }
    if (change->transition != RAFT_AUTO || change->count > 1) {
        bool auto_leave = change->transition != RAFT_EXPLICIT;
        return raft_conf_enter_joint(in, auto_leave, change->changes, change->count, out);
    }
    return raft_conf_simple(in, change->changes, change->count, out);
}
