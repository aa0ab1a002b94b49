/* SPDX-License-Identifier: Apache-2.0
 *
 * What is believed about whom. A claim is taken when it outranks what is known; what is taken is
 * told on. A member that hears a bad claim about itself raises its incarnation and says so. */
#include "swim/scale.h"
#include "swim/state.h"

static const uint64_t SECOND_US = 1000000;

void swim_announce(struct swim *s)
{
    swim_row_rehash(s, 0);
    swim_row_claim_hot(s, 0);
    s->eager = true;
}

/* Answers the one who told it, too: it may be the only one who knows a way here. */
static void answer_with_self(struct swim *s, uint32_t sender, const struct swim_addr *from)
{
    struct swim_out out = swim_out_at(SWIM_GOSSIP, from, sender);
    out.about = 0;
    swim_out_push(s, &out);
}

static void apply_about_self(struct swim *s, const struct swim_claim *claim, uint32_t sender,
                             const struct swim_addr *from)
{
    struct swim_row *self = &s->row[0];
    bool answerable =
        claim->incarnation + 1 < SWIM_NUMBER_END && claim->meta_version + 1 < SWIM_NUMBER_END;
    if (s->leaving || !answerable) {
        return;
    }
    bool bad = claim->state != SWIM_ALIVE && claim->incarnation >= self->incarnation;
    /* A life whose epoch was lost with its disk reached further than this one. */
    bool earlier = claim->state == SWIM_ALIVE && claim->incarnation > self->incarnation;
    if (bad || earlier) {
        if (bad && claim->incarnation >> 32 == s->epoch) {
            swim_health_add(s, 1);
        }
        self->incarnation = claim->incarnation + 1;
        s->stats.refutations++;
        swim_announce(s);
        answer_with_self(s, sender, from);
    }
    if (claim->meta_version > self->meta_version) {
        uint8_t copy[SWIM_META_BYTES_MAX];
        memcpy(copy, self->meta, self->meta_size);
        struct sh_span meta = {.at = copy, .size = self->meta_size};
        swim_row_set_meta(s, 0, claim->meta_version + 1, meta);
    }
}

static void believe(struct swim *s, uint32_t at, const struct swim_claim *claim)
{
    struct swim_row *row = &s->row[at];
    bool news = claim->incarnation > row->incarnation || row->state == SWIM_ABSENT;
    if (news) {
        row->addr = claim->addr;
    }
    row->incarnation = claim->incarnation;
    uint64_t age_us = claim->age_s * SECOND_US;
    row->since_us = age_us < s->now_us ? s->now_us - age_us : 0;
    swim_row_set_state(s, at, claim->state);
    if (claim->state == SWIM_SUSPECT) {
        row->accusers = claim->accusers;
        memcpy(row->accuser, claim->accuser, sizeof row->accuser);
    } else if (news || claim->state != SWIM_ALIVE) {
        s->eager = true;
    }
    swim_row_rehash(s, at);
    swim_row_claim_hot(s, at);
    swim_row_touch(s, at);
}

/* Accusers that were not known yet; any makes the claim worth telling again. */
static void confirm(struct swim *s, uint32_t at, const struct swim_claim *claim)
{
    struct swim_row *row = &s->row[at];
    bool more = false;
    for (uint32_t i = 0; i < claim->accusers && row->accusers < SWIM_ACCUSERS; i++) {
        bool known = false;
        for (uint32_t k = 0; k < row->accusers; k++) {
            known = known || row->accuser[k] == claim->accuser[i];
        }
        if (!known) {
            row->accuser[row->accusers++] = claim->accuser[i];
            more = true;
        }
    }
    if (more) {
        swim_row_claim_hot(s, at);
    }
}

static void judge(struct swim *s, uint32_t at, const struct swim_claim *claim)
{
    const struct swim_row *row = &s->row[at];
    bool same = claim->incarnation == row->incarnation;
    if (claim->incarnation > row->incarnation || (same && claim->state > row->state)) {
        believe(s, at, claim);
    } else if (same && claim->state == SWIM_SUSPECT && row->state == SWIM_SUSPECT) {
        confirm(s, at, claim);
    }
}

static uint32_t add_unknown(struct swim *s, const struct swim_claim *claim)
{
    bool dead = claim->state == SWIM_DEAD || claim->state == SWIM_LEFT;
    if (dead && (claim->age_s * SECOND_US >= s->config.share_dead_us || s->free_count == 0)) {
        return SWIM_NONE;
    }
    uint32_t at = swim_row_add(s, claim->id);
    if (at != SWIM_NONE) {
        believe(s, at, claim);
    }
    return at;
}

void swim_claim_apply(struct swim *s, const struct swim_claim *claim, bool records, uint32_t sender,
                      const struct swim_addr *from)
{
    if (memcmp(claim->id, s->row[0].id, SH_NODE_ID_BYTES) == 0) {
        apply_about_self(s, claim, sender, from);
        return;
    }
    bool accusation = claim->state == SWIM_SUSPECT || claim->state == SWIM_DEAD;
    if (accusation && sender != SWIM_NONE && s->row[sender].state == SWIM_DEAD) {
        return; /* one that cannot be reached sees everybody dead */
    }
    uint32_t at = swim_row_find(s, claim->id);
    if (at == SWIM_NONE) {
        at = add_unknown(s, claim);
    } else if (records && claim->state == SWIM_DEAD && sender != SWIM_NONE &&
               (s->row[at].state == SWIM_ALIVE || s->row[at].state == SWIM_SUSPECT)) {
        /* Tables that grew apart: the other side may have buried a member that lives on this one.
         * It gets the time to refute. */
        struct swim_claim suspect = *claim;
        suspect.state = SWIM_SUSPECT;
        suspect.age_s = 0;
        suspect.accusers = 1;
        suspect.accuser[0] = swim_key(s->row[sender].id);
        judge(s, at, &suspect);
    } else {
        judge(s, at, claim);
    }
    if (at != SWIM_NONE && claim->has_meta && claim->meta_version > s->row[at].meta_version) {
        swim_row_set_meta(s, at, claim->meta_version, claim->meta);
    }
}

void swim_accuse(struct swim *s, uint32_t at)
{
    const struct swim_row *row = &s->row[at];
    SH_CHECK(row->state == SWIM_ALIVE || row->state == SWIM_SUSPECT);
    struct swim_claim claim = swim_claim_of(s, at, false);
    claim.state = SWIM_SUSPECT;
    claim.accusers = 1;
    claim.accuser[0] = swim_key(s->row[0].id);
    bool first = row->state == SWIM_ALIVE;
    judge(s, at, &claim);
    s->eager = s->eager || first; /* only its originator tells a suspicion at once */
    struct swim_out notice = swim_out_to(s, SWIM_GOSSIP, at);
    notice.about = at;
    swim_out_push(s, &notice);
}

uint64_t swim_suspect_end(const struct swim *s, uint32_t at)
{
    const struct swim_row *row = &s->row[at];
    uint32_t members = swim_members(s);
    uint32_t scale = swim_log10_milli(members);
    scale = scale < 1000 ? 1000 : scale;
    uint64_t shortest = s->config.suspicion_mult * s->config.period_us * scale / 1000;
    return row->since_us +
           swim_suspicion_us(shortest, s->config.suspicion_span, members, row->accusers);
}

void swim_expire_suspects(struct swim *s)
{
    for (uint32_t i = 0; i < s->order_count && s->count[SWIM_SUSPECT] > 0;) {
        uint32_t at = s->order[i];
        if (s->row[at].state != SWIM_SUSPECT || s->now_us < swim_suspect_end(s, at)) {
            i++;
            continue;
        }
        struct swim_claim claim = swim_claim_of(s, at, false);
        claim.state = SWIM_DEAD;
        claim.age_s = 0;
        judge(s, at, &claim); /* takes it out of order[i] */
    }
}

void swim_sweep_dead(struct swim *s)
{
    for (uint32_t i = 1; i < s->capacity; i++) {
        struct swim_row *row = &s->row[i];
        if (!row->used || (row->state != SWIM_DEAD && row->state != SWIM_LEFT)) {
            continue;
        }
        if (s->now_us - row->since_us >= s->config.forget_dead_us) {
            swim_row_forget(s, i);
            continue;
        }
        swim_row_rehash(s, i);
        if (!row->shared && row->claim_hot) {
            row->claim_hot = false;
            swim_row_cool(s, i);
        }
    }
}
