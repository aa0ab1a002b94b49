/* SPDX-License-Identifier: Apache-2.0 */
#include "rounds/inside.h"

#include "rounds/update.h"

#include "base/host/host.h"
#include "base/rng.h"
#include "kernels/agg/fixed.h"
#include "train/blob.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOBODY ROUNDS_SLOTS_MAX

static uint32_t find_slot(const struct rounds_lead *x, const uint8_t *node)
{
    for (uint32_t i = 0; i < ROUNDS_SLOTS_MAX; i++) {
        if (x->slots[i].used && memcmp(x->slots[i].node, node, SH_NODE_ID_BYTES) == 0) {
            return i;
        }
    }
    return NOBODY;
}

uint64_t rounds_key(const struct rounds_slot *slot)
{
    return sh_hash64(0, slot->name, strlen(slot->name));
}

/* ---- who is there ---- */

static void set_gone(struct rounds_lead *x, uint32_t slot)
{
    struct fed_event e = {.kind = FED_EV_GONE, .member = slot};
    x->slots[slot].present = false;
    (void)rounds_step(x, &e);
}

static void set_there(struct rounds_lead *x, uint32_t slot)
{
    struct rounds_slot *s = &x->slots[slot];
    struct fed_event e = {.kind = FED_EV_JOIN, .member = slot};
    e.key = rounds_key(s);
    s->present = true;
    (void)rounds_step(x, &e);
}

static uint32_t take_slot(struct rounds_lead *x, const uint8_t *node, const char *name)
{
    for (uint32_t i = 0; i < ROUNDS_SLOTS_MAX; i++) {
        struct rounds_slot *s = &x->slots[i];
        if (!s->used) {
            *s = (struct rounds_slot){.used = true, .asked = FED_NONE, .delivered = FED_NONE};
            memcpy(s->node, node, sizeof s->node);
            (void)snprintf(s->name, sizeof s->name, "%s", name);
            return i;
        }
    }
    train_scribe_line(x->w->scribe, "%s is left out: more than %u agents have been members", name,
                      ROUNDS_SLOTS_MAX);
    return NOBODY;
}

void rounds_follow_members(struct rounds_lead *x)
{
    const struct wire_placement *p = &x->w->at.placement;
    for (uint32_t i = 0; i < ROUNDS_SLOTS_MAX; i++) {
        struct rounds_slot *s = &x->slots[i];
        uint32_t at = wire_member_find(p->members, p->member_count, s->node);
        if (s->used && s->present && at == p->member_count) {
            set_gone(x, i);
        }
        s->ask_us = 0; /* of a new gang everybody hears at once; one may have begun anew */
    }
    for (uint32_t i = 0; i < p->member_count; i++) {
        uint32_t slot = find_slot(x, p->members[i].node);
        slot = slot != NOBODY ? slot : take_slot(x, p->members[i].node, x->w->at.names[i]);
        if (slot != NOBODY && !x->slots[slot].present) {
            set_there(x, slot);
        }
    }
}

/* ---- asking ---- */

void rounds_invited(struct rounds_lead *x, uint32_t slot)
{
    struct rounds_slot *s = &x->slots[slot];
    s->asked = fed_round(x->fed);
    s->first_us = sh_now_us();
    s->ask_us = 0;
    s->has_figures = false;
    s->why[0] = '\0';
}

static void decline(struct rounds_lead *x, uint32_t slot, uint64_t round, const char *why)
{
    struct fed_event e = {.kind = FED_EV_REPLY, .member = slot, .round = round};
    (void)snprintf(x->slots[slot].why, sizeof x->slots[slot].why, "%s", why);
    (void)rounds_step(x, &e);
}

static void not_reached(struct rounds_lead *x, uint32_t slot, enum sh_err err)
{
    struct rounds_slot *s = &x->slots[slot];
    uint64_t now = sh_now_us();
    s->ask_us = now + ROUNDS_AGAIN_US;
    if (err == SH_ERR_UNREACHABLE) {
        train_scribe_lost(x->w->scribe, x->w->at.placement.fence, s->node);
    }
    bool asked = fed_part(x->fed, slot) == FED_PART_ASKED;
    if (asked && now >= s->first_us + ROUNDS_GIVE_UP_US) {
        decline(x, slot, s->asked,
                err == SH_ERR_NOT_FOUND ? "it does not work on the job" : sh_err_text(err));
    }
}

static void ask(struct rounds_lead *x, uint32_t slot)
{
    struct rounds_slot *s = &x->slots[slot];
    uint8_t bytes[ROUNDS_MESSAGE_BYTES];
    uint8_t reply[ROUNDS_MESSAGE_BYTES];
    size_t size = 0;
    struct rounds_report report;
    struct rounds_invite invite = {.unit = x->w->config.unit,
                                   .generation = x->w->at.placement.fence.index,
                                   .round = fed_round(x->fed),
                                   .evaluates = fed_is_evaluating(x->fed)};
    memcpy(invite.state, x->digest, sizeof invite.state);
    memcpy(invite.leader, x->w->me, sizeof invite.leader);
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    rounds_invite_encode(&invite, &w);
    SH_CHECK(!w.full);
    enum sh_err err = service_call(x->w->s, s->node, SERVICE_CALL_ROUNDS, bytes, w.used, reply,
                                   sizeof reply, &size, ROUNDS_ASK_US);
    if (err == SH_OK) {
        err = rounds_report_decode((struct sh_span){.at = reply, .size = size}, &report);
    }
    if (err != SH_OK) {
        not_reached(x, slot, err);
        return;
    }
    s->ask_us = sh_now_us() + ROUNDS_POLL_US;
    memcpy(report.node, s->node, sizeof report.node); /* it was asked itself */
    rounds_take_report(x, &report);
}

static bool is_at_work(enum fed_part part)
{
    return part == FED_PART_ASKED || part == FED_PART_WORKS;
}

uint64_t rounds_ask_due(struct rounds_lead *x)
{
    uint64_t next = UINT64_MAX;
    for (uint32_t i = 0; i < ROUNDS_SLOTS_MAX; i++) {
        const struct rounds_slot *s = &x->slots[i];
        if (!s->used || !is_at_work(fed_part(x->fed, i))) {
            continue;
        }
        if (s->ask_us <= sh_now_us() && !train_worker_is_interrupted(x->w)) {
            ask(x, i);
        }
        if (is_at_work(fed_part(x->fed, i))) {
            next = s->ask_us < next ? s->ask_us : next;
        }
    }
    return next;
}

/* ---- updates ---- */

enum sh_err rounds_read_update(struct rounds_lead *x, const struct rounds_taken *t, float *change,
                               float *variates, char *why)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    size_t bad = 0;
    size_t floats = x->model.floats;
    size_t most = rounds_update_size(floats, variates != NULL);
    enum sh_err err = train_blob_read(x->w->s, t->blob, most, ROUNDS_FETCH_US, &bytes, &size);
    if (err == SH_OK) {
        struct sh_span span = {.at = bytes, .size = size};
        err = rounds_update_decode(span, t->round, change, variates, floats);
    }
    free(bytes);
    if (err != SH_OK) {
        (void)snprintf(why, ROUNDS_WHY_BYTES, "its update cannot be had: %s", sh_err_text(err));
        return err;
    }
    bool good = kn_fixed_verify(change, floats, &bad);
    const float *numbers = change;
    if (good && variates != NULL) {
        good = kn_fixed_verify(variates, floats, &bad);
        numbers = variates;
    }
    if (!good) {
        bool finite = isfinite(numbers[bad]) != 0;
        (void)snprintf(why, ROUNDS_WHY_BYTES, "its update of %.100s is %s",
                       rounds_model_tensor(&x->model, bad),
                       finite ? "too large: more than 4194304" : "not a finite number");
        return SH_ERR_DIVERGED;
    }
    return SH_OK;
}

static uint32_t take_place(struct rounds_lead *x)
{
    for (uint32_t i = 0; i < SH_COUNT(x->taken); i++) {
        if (!x->taken[i].used) {
            return i;
        }
    }
    SH_UNREACHABLE(); /* two a slot at most: one that counts, one that is looked at */
}

static enum sh_err look_at(struct rounds_lead *x, const struct rounds_taken *t, char *why)
{
    size_t floats = x->model.floats;
    bool controls = x->controls != NULL;
    float *change = malloc(floats * sizeof *change);
    float *variates = controls ? malloc(floats * sizeof *variates) : NULL;
    enum sh_err err = SH_ERR_NO_MEMORY;
    if (change != NULL && (!controls || variates != NULL)) {
        err = rounds_read_update(x, t, change, variates, why);
    }
    free(change);
    free(variates);
    return err;
}

static void fail(struct rounds_lead *x, uint32_t slot, uint64_t round, const char *why)
{
    struct fed_event e = {.kind = FED_EV_FAILED, .member = slot, .round = round};
    struct rounds_slot *s = &x->slots[slot];
    (void)snprintf(s->why, sizeof s->why, "%.*s", (int)ROUNDS_TEXT_MAX, why);
    train_scribe_line(x->w->scribe, "round %llu goes on without %s: %.150s",
                      (unsigned long long)round + 1, s->name, s->why);
    (void)rounds_step(x, &e);
}

static void take_delivery(struct rounds_lead *x, uint32_t slot, const struct rounds_report *r)
{
    struct rounds_slot *s = &x->slots[slot];
    char why[ROUNDS_WHY_BYTES] = "";
    bool late = r->round < fed_round(x->fed) || !fed_is_open(x->fed);
    if (!late && r->evaluated != fed_is_evaluating(x->fed)) {
        return; /* not what was asked for */
    }
    if (r->round == s->delivered || (late && x->w->job->federated.algorithm != SPEC_FEDBUFF)) {
        return; /* again, or too late: the member was told */
    }
    uint32_t place = take_place(x);
    struct rounds_taken *t = &x->taken[place];
    *t =
        (struct rounds_taken){.used = true, .slot = slot, .round = r->round, .figures = r->figures};
    memcpy(t->blob, r->update, sizeof t->blob);
    bool hidden = r->evaluated || x->w->job->federated.secure; /* nobody sees it plain */
    enum sh_err err = hidden ? SH_OK : look_at(x, t, why);
    if (err != SH_OK) {
        t->used = false;
        fail(x, slot, r->round, why[0] != '\0' ? why : sh_err_text(err));
        return;
    }
    s->delivered = r->round;
    struct fed_event e = {
        .kind = FED_EV_UPDATE, .member = slot, .round = r->round, .update = place};
    enum fed_verdict verdict = rounds_step(x, &e);
    if (verdict == FED_VERDICT_TAKEN) {
        s->figures = r->figures;
        s->has_figures = true;
    } else if (verdict != FED_VERDICT_KEPT) {
        x->taken[place].used = false;
    }
}

void rounds_take_report(struct rounds_lead *x, const struct rounds_report *report)
{
    uint32_t slot = find_slot(x, report->node);
    struct fed_event e = {
        .kind = FED_EV_REPLY, .member = slot, .round = report->round, .accepted = true};
    if (slot == NOBODY || !x->slots[slot].present) {
        return;
    }
    switch (report->answer) {
    case ROUNDS_WORKS:
        (void)rounds_step(x, &e);
        break;
    case ROUNDS_DECLINES:
        decline(x, slot, report->round, report->text);
        break;
    case ROUNDS_DELIVERS:
        take_delivery(x, slot, report);
        break;
    case ROUNDS_NO_DATA:
    case ROUNDS_FAILS:
        if (is_at_work(fed_part(x->fed, slot)) && report->round == fed_round(x->fed)) {
            fail(x, slot, report->round, report->text);
        }
        break;
    }
}
