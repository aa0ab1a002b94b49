/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes of configurations and changes: u8 version, then the fields in the order of the struct. */
#include "raft/conf.h"

enum { CONF_VERSION = 1, CHANGE_VERSION = 1 };

_Static_assert(1 + 4 + 1 + 8 * (RAFT_VOTERS_MAX * 3 + RAFT_LEARNERS_MAX) <= RAFT_CONF_BYTES_MAX,
               "a configuration fits");
_Static_assert(1 + 1 + 1 + 9 * RAFT_CHANGES_MAX <= RAFT_CHANGE_BYTES_MAX, "a change fits");

static void put_set(struct sh_writer *w, const uint64_t *ids, uint8_t count)
{
    sh_put_u8(w, count);
    for (uint32_t i = 0; i < count; i++) {
        sh_put_u64(w, ids[i]);
    }
}

static void get_set(struct sh_reader *r, uint64_t *ids, uint8_t *count, uint32_t capacity)
{
    uint8_t claimed = sh_get_u8(r);
    if (claimed > capacity) {
        r->bad = true;
        return;
    }
    uint64_t before = 0;
    for (uint32_t i = 0; i < claimed; i++) {
        ids[i] = sh_get_u64(r);
        if (ids[i] <= before) {
            r->bad = true;
            return;
        }
        before = ids[i];
    }
    *count = claimed;
}

void raft_conf_encode(const struct raft_conf *conf, struct sh_writer *w)
{
    raft_conf_check(conf);
    sh_put_u8(w, CONF_VERSION);
    put_set(w, conf->voters, conf->voter_count);
    put_set(w, conf->outgoing, conf->outgoing_count);
    put_set(w, conf->learners, conf->learner_count);
    put_set(w, conf->learners_next, conf->learner_next_count);
    sh_put_u8(w, conf->auto_leave);
    SH_CHECK(!w->full);
}

static bool has(const uint64_t *ids, uint32_t count, uint64_t id)
{
    bool found = false;
    for (uint32_t i = 0; i < count; i++) {
        found |= ids[i] == id;
    }
    return found;
}

/* The rules of raft_conf_check, as a judgement of foreign bytes. */
static bool conf_sound(const struct raft_conf *conf)
{
    bool sound = true;
    for (uint32_t i = 0; i < conf->learner_count; i++) {
        sound &= !raft_conf_voter(conf, conf->learners[i]);
    }
    for (uint32_t i = 0; i < conf->learner_next_count; i++) {
        sound &= has(conf->outgoing, conf->outgoing_count, conf->learners_next[i]);
        sound &= !has(conf->voters, conf->voter_count, conf->learners_next[i]);
    }
    sound &= SH_IMPLIES(conf->auto_leave, raft_conf_joint(conf));
    sound &= SH_IMPLIES(raft_conf_joint(conf), conf->voter_count > 0);
    sound &= (uint32_t)conf->learner_count + conf->learner_next_count <= RAFT_LEARNERS_MAX;
    return sound;
}

enum sh_err raft_conf_decode(struct sh_reader *r, struct raft_conf *out)
{
    struct raft_conf conf = {0};
    uint8_t version = sh_get_u8(r);
    if (!r->bad && version != CONF_VERSION) {
        return SH_ERR_VERSION;
    }
    get_set(r, conf.voters, &conf.voter_count, RAFT_VOTERS_MAX);
    get_set(r, conf.outgoing, &conf.outgoing_count, RAFT_VOTERS_MAX);
    get_set(r, conf.learners, &conf.learner_count, RAFT_LEARNERS_MAX);
    get_set(r, conf.learners_next, &conf.learner_next_count, RAFT_VOTERS_MAX);
    conf.auto_leave = sh_get_bool(r);
    if (r->bad || !conf_sound(&conf)) {
        r->bad = true;
        return SH_ERR_CORRUPT;
    }
    *out = conf;
    return SH_OK;
}

/* The change that means "leave" is no bytes at all: it fits wherever an entry fits. */
static bool is_leave(const struct raft_conf_change *change)
{
    return change->transition == RAFT_AUTO && change->count == 0;
}

void raft_conf_change_encode(const struct raft_conf_change *change, struct sh_writer *w)
{
    SH_CHECK_CMP(change->count, <=, RAFT_CHANGES_MAX);
    SH_CHECK_CMP(change->transition, <=, RAFT_EXPLICIT);
    if (is_leave(change)) {
        return;
    }
    sh_put_u8(w, CHANGE_VERSION);
    sh_put_u8(w, (uint8_t)change->transition);
    sh_put_u8(w, (uint8_t)change->count);
    for (uint32_t i = 0; i < change->count; i++) {
        SH_CHECK(change->changes[i].type >= RAFT_ADD_VOTER);
        SH_CHECK(change->changes[i].type <= RAFT_UPDATE);
        sh_put_u8(w, (uint8_t)change->changes[i].type);
        sh_put_u64(w, change->changes[i].id);
    }
    SH_CHECK(!w->full);
}

enum sh_err raft_conf_change_decode(struct sh_reader *r, struct raft_conf_change *out)
{
    struct raft_conf_change change = {0};
    if (!r->bad && sh_reader_left(r) == 0) {
        *out = change;
        return SH_OK;
    }
    uint8_t version = sh_get_u8(r);
    if (!r->bad && version != CHANGE_VERSION) {
        return SH_ERR_VERSION;
    }
    uint8_t transition = sh_get_u8(r);
    change.count = sh_get_u8(r);
    if (transition > RAFT_EXPLICIT || change.count > RAFT_CHANGES_MAX) {
        r->bad = true;
        return SH_ERR_CORRUPT;
    }
    change.transition = (enum raft_transition)transition;
    for (uint32_t i = 0; i < change.count; i++) {
        uint8_t type = sh_get_u8(r);
        r->bad |= type < RAFT_ADD_VOTER || type > RAFT_UPDATE;
        change.changes[i].type = (enum raft_change_type)type;
        change.changes[i].id = sh_get_u64(r);
    }
    if (r->bad) {
        return SH_ERR_CORRUPT;
    }
    *out = change;
    return SH_OK;
}
