/* SPDX-License-Identifier: Apache-2.0
 *
 * What an agent works on, as pure time. A noop unit takes a while and is committed by its first
 * member. A training unit is a gang in lock-step: all members say HELLO with what they have, begin
 * at the furthest (or at the newest checkpoint), and nobody enters a step before all have finished
 * the one before. The first member proposes checkpoints and the result; members report those that
 * fall silent, and themselves after a restart. */
#include "sim/parts.h"

#include <stdio.h>
#include <string.h>

enum { SAY_HELLO = 1, SAY_DONE = 2 };

#define TELL_STEPS 7u                /* between two words of how far a unit is */
#define NOOP_US    UINT64_C(20000)   /* mean time of a noop unit */
#define SAY_US     UINT64_C(200000)  /* between two repetitions of a word nobody answered */
#define SILENT_US  UINT64_C(2000000) /* a member that is silent for so long is reported */
#define REPORT_US  UINT64_C(1000000) /* between two reports */
#define COMMAND_US                                                                                 \
    UINT64_C(2000000) /* deadline of one command; tried again while the fence holds */

static struct sim_session *find(struct sim_agent *a, struct wire_unit unit)
{
    for (uint32_t i = 0; i < SIM_SESSIONS_MAX; i++) {
        if (a->sessions[i].used && wire_unit_equal(a->sessions[i].unit, unit)) {
            return &a->sessions[i];
        }
    }
    return NULL;
}

static uint64_t session_due(const struct sim_session *s)
{
    uint64_t due = s->computing ? s->due_us : UINT64_MAX;
    return s->resend_us < due ? s->resend_us : due;
}

static void settle_due(struct sim_agent *a)
{
    a->work_due_us = UINT64_MAX;
    for (uint32_t i = 0; i < SIM_SESSIONS_MAX; i++) {
        if (a->sessions[i].used && session_due(&a->sessions[i]) < a->work_due_us) {
            a->work_due_us = session_due(&a->sessions[i]);
        }
    }
}

uint64_t sim_work_deadline(const struct sim_agent *a)
{
    return a->work_due_us;
}

/* ---- words between members ---- */

static void say(struct sim *sim, struct sim_agent *a, const struct sim_session *s, uint32_t member)
{
    uint8_t bytes[64];
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    const struct sim_agent *to = sim_by_id(sim, s->gang.members[member].node);
    if (to == NULL) {
        return; /* that node is gone with its disk */
    }
    sh_put_u8(&w, s->joined ? SAY_DONE : SAY_HELLO);
    wire_unit_put(&w, s->unit);
    wire_fence_put(&w, s->gang.fence);
    sh_put_u32(&w, s->joined ? s->done[s->me] : s->step);
    SH_CHECK(!w.full);
    (void)sim_send(sim, a->number, to->number, SIM_TRAIN, bytes, w.used); /* lost: said again */
}

static void say_all(struct sim *sim, struct sim_agent *a, struct sim_session *s)
{
    for (uint32_t i = 0; i < s->gang.member_count; i++) {
        if (i != s->me) {
            say(sim, a, s, i);
        }
    }
    s->resend_us = sim_local(sim, a) + SAY_US;
}

static void report(struct sim *sim, struct sim_agent *a, const struct sim_session *s,
                   const uint8_t *lost)
{
    uint8_t bytes[128];
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    const struct sim_agent *leader = sim_by_handle(sim, a->leader);
    if (leader == NULL) {
        return;
    }
    wire_unit_put(&w, s->unit);
    wire_fence_put(&w, s->gang.fence);
    sh_put_bytes(&w, a->id, SH_NODE_ID_BYTES);
    sh_put_bytes(&w, lost, SH_NODE_ID_BYTES);
    SH_CHECK(!w.full);
    if (leader == a) {
        sim_planner_report(sim, a, (struct sh_span){.at = bytes, .size = w.used});
    } else {
        (void)sim_send(sim, a->number, leader->number, SIM_LOST, bytes, w.used);
    }
}

/* ---- commands ---- */

static void propose(struct sim *sim, struct sim_agent *a, struct sim_session *s,
                    const struct jobs_cmd *cmd)
{
    s->command++;
    s->proposing = sim_propose(sim, a, SIM_FROM_SESSION, (uint32_t)(s - a->sessions), s->command,
                               cmd, COMMAND_US);
}

static void fill_digest(uint8_t *out, struct wire_unit unit, uint32_t step)
{
    for (uint32_t i = 0; i < SH_DIGEST_BYTES; i++) {
        out[i] = (uint8_t)sh_mix64(unit.job * 1000003 + unit.unit * 1009 + step + i);
    }
}

static void commit(struct sim *sim, struct sim_agent *a, struct sim_session *s)
{
    struct jobs_cmd *cmd = &sim->scratch->cmd;
    *cmd = (struct jobs_cmd){.type = JOBS_COMMIT};
    cmd->u.commit.unit = s->unit;
    cmd->u.commit.fence = s->gang.fence;
    if (s->train) {
        cmd->u.commit.outcome.steps = s->steps;
        fill_digest(cmd->u.commit.outcome.file, s->unit, s->steps);
        fill_digest(cmd->u.commit.outcome.model, s->unit, s->steps);
        fill_digest(cmd->u.commit.outcome.state, s->unit, s->steps);
        cmd->u.commit.holder_count = 1;
        memcpy(cmd->u.commit.holders[0], a->id, SH_NODE_ID_BYTES);
    }
    propose(sim, a, s, cmd);
}

static void checkpoint(struct sim *sim, struct sim_agent *a, struct sim_session *s)
{
    struct jobs_cmd *cmd = &sim->scratch->cmd;
    *cmd = (struct jobs_cmd){.type = JOBS_CHECKPOINT};
    cmd->u.checkpoint.unit = s->unit;
    cmd->u.checkpoint.fence = s->gang.fence;
    cmd->u.checkpoint.step = s->step;
    fill_digest(cmd->u.checkpoint.manifest, s->unit, s->step);
    cmd->u.checkpoint.holder_count = 1;
    memcpy(cmd->u.checkpoint.holders[0], a->id, SH_NODE_ID_BYTES);
    s->checkpointed = s->step;
    propose(sim, a, s, cmd);
}

static void tell_progress(struct sim *sim, struct sim_agent *a, struct sim_session *s)
{
    struct jobs_cmd *cmd = &sim->scratch->cmd;
    *cmd = (struct jobs_cmd){.type = JOBS_PROGRESS};
    cmd->u.progress.unit = s->unit;
    cmd->u.progress.fence = s->gang.fence;
    cmd->u.progress.permille = (uint16_t)(s->step * 1000 / s->steps);
    propose(sim, a, s, cmd);
}

/* Of the first member: what there is becomes a checkpoint; then the unit waits again. */
static void give_way(struct sim *sim, struct sim_agent *a, struct sim_session *s)
{
    if (s->joined && s->step > s->checkpointed) {
        checkpoint(sim, a, s);
        return;
    }
    struct jobs_cmd *cmd = &sim->scratch->cmd;
    *cmd = (struct jobs_cmd){.type = JOBS_EXPIRE};
    cmd->u.expire.unit = s->unit;
    cmd->u.expire.fence = s->gang.fence;
    cmd->u.expire.cause = WIRE_CAUSE_PREEMPTED;
    propose(sim, a, s, cmd);
}

void sim_work_answer(struct sim *sim, struct sim_agent *a, uint32_t session, uint32_t command,
                     enum sh_err err)
{
    struct sim_session *s = &a->sessions[session];
    if (s->used && s->command == command) {
        s->proposing = false;
        sim_mix(sim, (uint64_t)err);
        settle_due(a);
    }
}

/* ---- steps ---- */

static void compute(struct sim *sim, struct sim_agent *a, struct sim_session *s)
{
    s->computing = true;
    s->due_us = sim_local(sim, a) + 1 + sim_about(&sim->rng, s->step_us);
}

/* Everyone has finished this step: on to the next, or to the result. */
static void advance(struct sim *sim, struct sim_agent *a, struct sim_session *s)
{
    for (;;) {
        for (uint32_t i = 0; i < s->gang.member_count; i++) {
            if (s->done[i] <= s->step) {
                return;
            }
        }
        s->step++;
        if (s->yielding && s->step < s->steps) {
            return; /* the first member gives the unit back (give_way) */
        }
        if (s->step >= s->steps) {
            s->committing = true;
            if (s->me == 0 && !s->proposing) {
                commit(sim, a, s);
            }
            return;
        }
        bool due = s->every > 0 && s->step % s->every == 0 && s->step > s->checkpointed;
        if (s->me == 0 && due && !s->proposing) {
            checkpoint(sim, a, s);
        } else if (s->me == 0 && s->step % TELL_STEPS == 0 && !s->proposing) {
            tell_progress(sim, a, s);
        }
        compute(sim, a, s);
    }
}

static void join_if_all(struct sim *sim, struct sim_agent *a, struct sim_session *s)
{
    uint32_t furthest = 0;
    for (uint32_t i = 0; i < s->gang.member_count; i++) {
        if (s->hello[i] == 0) {
            return;
        }
        furthest = s->hello[i] > furthest ? s->hello[i] : furthest;
    }
    s->joined = true;
    s->step = furthest - 1;
    s->checkpointed = s->step > s->checkpointed ? s->step : s->checkpointed;
    for (uint32_t i = 0; i < s->gang.member_count; i++) {
        s->done[i] = s->done[i] > s->step ? s->done[i] : s->step;
    }
    say_all(sim, a, s); /* the last HELLO of ours may have been lost: DONE says it too */
    if (s->step >= s->steps) {
        s->committing = true;
    } else {
        compute(sim, a, s);
    }
}

static void begin(struct sim *sim, struct sim_agent *a, struct sim_session *s)
{
    uint64_t now = sim_local(sim, a);
    s->joined = false;
    s->computing = false;
    s->committing = false;
    s->proposing = false;
    s->command++;
    s->report_us = now + REPORT_US;
    memset(s->hello, 0, sizeof s->hello);
    memset(s->done, 0, sizeof s->done);
    for (uint32_t i = 0; i < s->gang.member_count; i++) {
        s->heard_us[i] = now;
    }
    s->hello[s->me] = s->step + 1;
    if (!s->train) {
        s->joined = true;
        s->resend_us = UINT64_MAX;
        if (s->me == 0) {
            compute(sim, a, s);
        }
    } else if (s->orphan) {
        s->resend_us = now + 1;
    } else {
        say_all(sim, a, s);
        join_if_all(sim, a, s);
    }
}

void sim_work_receive(struct sim *sim, struct sim_agent *a, const struct sim_msg *msg)
{
    struct sh_reader r = sh_reader_over(msg->bytes, msg->size);
    uint8_t kind = sh_get_u8(&r);
    struct wire_unit unit = wire_unit_get(&r);
    struct wire_fence fence = wire_fence_get(&r);
    uint32_t value = sh_get_u32(&r);
    SH_CHECK(!r.bad);
    struct sim_session *s = find(a, unit);
    if (s == NULL || s->orphan || !wire_fence_equal(s->gang.fence, fence)) {
        return;
    }
    uint32_t from =
        wire_member_find(s->gang.members, s->gang.member_count, sim->agents[msg->from]->id);
    SH_CHECK_CMP(from, <, s->gang.member_count);
    s->heard_us[from] = sim_local(sim, a);
    if (kind == SAY_HELLO) {
        s->hello[from] = value + 1;
        if (s->joined) {
            say(sim, a, s, from); /* it has not heard that all are here */
        }
    } else {
        s->hello[from] = s->hello[from] > 0 ? s->hello[from] : value + 1;
        s->done[from] = value > s->done[from] ? value : s->done[from];
        if (s->joined && value < s->done[s->me] && s->committing) {
            say(sim, a, s, from);
        }
    }
    if (!s->joined) {
        join_if_all(sim, a, s);
    } else if (!s->computing && !s->committing) {
        advance(sim, a, s);
    }
    settle_due(a);
}

static void report_silent(struct sim *sim, struct sim_agent *a, struct sim_session *s, uint64_t now)
{
    if (s->report_us > now) {
        return;
    }
    s->report_us = now + REPORT_US;
    for (uint32_t i = 0; i < s->gang.member_count; i++) {
        if (i != s->me && now - s->heard_us[i] > SILENT_US) {
            report(sim, a, s, s->gang.members[i].node);
        }
    }
}

static void tick(struct sim *sim, struct sim_agent *a, struct sim_session *s, uint64_t now)
{
    if (s->computing && s->due_us <= now) {
        s->computing = false;
        s->done[s->me] = s->step + 1;
        if (s->train) {
            say_all(sim, a, s);
            advance(sim, a, s);
        } else {
            s->committing = true;
            s->resend_us = now;
        }
    }
    if (s->resend_us > now) {
        return;
    }
    s->resend_us = now + SAY_US;
    if (s->orphan) {
        s->resend_us = now + REPORT_US;
        report(sim, a, s, a->id);
        return;
    }
    if (s->committing && s->me == 0 && !s->proposing) {
        commit(sim, a, s);
    } else if (s->yielding && s->me == 0 && !s->proposing && !s->computing) {
        give_way(sim, a, s);
    }
    if (s->train) {
        say_all(sim, a, s);
        report_silent(sim, a, s, now);
    }
}

void sim_work_tick(struct sim *sim, struct sim_agent *a)
{
    uint64_t now = sim_local(sim, a);
    if (a->work_due_us > now) {
        return;
    }
    for (uint32_t i = 0; i < SIM_SESSIONS_MAX; i++) {
        if (a->sessions[i].used && session_due(&a->sessions[i]) <= now) {
            tick(sim, a, &a->sessions[i], now);
        }
    }
    settle_due(a);
}

/* ---- from tables to sessions ---- */

static void read_spec(struct sim_session *s, const struct sh_table *table)
{
    char text[128] = "";
    struct sh_span spec;
    unsigned long long step_us = 0;
    SH_CHECK(jobs_spec_get(table, s->unit.job, &spec) == SH_OK);
    SH_CHECK_CMP(spec.size, <, sizeof text);
    memcpy(text, spec.at, spec.size);
    s->train = sscanf(text, "{\"every\":%u,\"step_us\":%llu,\"steps\":%u}", &s->every, &step_us,
                      &s->steps) == 3;
    s->step_us = s->train ? step_us : NOOP_US;
    s->steps = s->train ? s->steps : 1;
}

static struct sim_session *open_session(struct sim_agent *a, const struct jobs_unit *u,
                                        const struct sh_table *table)
{
    for (uint32_t i = 0; i < SIM_SESSIONS_MAX; i++) {
        struct sim_session *s = &a->sessions[i];
        if (!s->used) {
            uint32_t command = s->command;
            *s = (struct sim_session){
                .used = true, .unit = u->id, .command = command, .resend_us = UINT64_MAX};
            read_spec(s, table);
            return s;
        }
    }
    a->work_left_out = true;
    return NULL;
}

static void match_unit(struct sim *sim, struct sim_agent *a, const struct sh_table *table,
                       const struct jobs_unit *u, bool restarted)
{
    struct sim_session *s = find(a, u->id);
    bool in_force = u->state == JOBS_RUNNING || u->state == JOBS_STOPPING;
    uint32_t me = wire_member_find(u->placement.members, u->placement.member_count, a->id);
    if (!in_force || me == u->placement.member_count) {
        if (s != NULL) {
            s->used = false;
        }
        return;
    }
    if (s != NULL && wire_fence_equal(s->gang.fence, u->placement.fence)) {
        s->yielding = u->yield.cause != WIRE_CAUSE_NONE;
        return;
    }
    bool fresh = s == NULL;
    s = fresh ? open_session(a, u, table) : s;
    if (s == NULL) {
        return;
    }
    s->gang = u->placement;
    s->yielding = u->yield.cause != WIRE_CAUSE_NONE;
    s->me = me;
    s->orphan = fresh && restarted && s->train;
    s->step = u->checkpoint_step > s->step ? (uint32_t)u->checkpoint_step : s->step;
    s->checkpointed = (uint32_t)u->checkpoint_step;
    begin(sim, a, s);
}

static void match_all(struct sim *sim, struct sim_agent *a, const struct sh_table *table,
                      bool restarted)
{
    struct sim_scratch *s = sim->scratch;
    uint32_t count = 0;
    a->work_left_out = false;
    SH_CHECK(jobs_gang_list(table, (struct wire_unit){0}, s->units, SIM_UNITS_MAX, &count) ==
             SH_OK);
    for (uint32_t i = 0; i < count; i++) {
        match_unit(sim, a, table, &s->units[i], restarted);
    }
    SH_CHECK(jobs_waiting_list(table, (struct wire_unit){0}, s->units, SIM_UNITS_MAX, &count) ==
             SH_OK);
    for (uint32_t i = 0; i < count; i++) {
        match_unit(sim, a, table, &s->units[i], restarted);
    }
}

void sim_work_match(struct sim *sim, struct sim_agent *a, const struct sh_table *table,
                    const struct jobs_result *result)
{
    struct sim_scratch *s = sim->scratch;
    if (result == NULL) {
        match_all(sim, a, table, true);
    } else if (result->touched_more || (a->work_left_out && result->touched_count > 0)) {
        match_all(sim, a, table, false);
    } else {
        for (uint32_t i = 0; i < result->touched_count; i++) {
            if (jobs_unit_get(table, result->touched[i], &s->units[0]) == SH_OK) {
                match_unit(sim, a, table, &s->units[0], false);
            }
        }
    }
    settle_due(a);
}

/* What the sessions here are at may have ended without an entry that said so here. */
void sim_work_replaced(struct sim *sim, struct sim_agent *a, const struct sh_table *table)
{
    struct jobs_unit *unit = &sim->scratch->units[0];
    for (uint32_t i = 0; i < SIM_SESSIONS_MAX; i++) {
        struct sim_session *s = &a->sessions[i];
        if (s->used && jobs_unit_get(table, s->unit, unit) == SH_OK) {
            match_unit(sim, a, table, unit, false);
        } else {
            s->used = false;
        }
    }
    match_all(sim, a, table, false);
    settle_due(a);
}
