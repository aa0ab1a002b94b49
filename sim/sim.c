/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/sim.h"

#include "sim/parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHECK_EVENTS = 4096, /* a whole-state check of the next agent after so many */
};

struct sim_options sim_options_default(void)
{
    return (struct sim_options){
        .seed = 1,
        .agents = 5,
        .net = {.latency_us = 300, .jitter_us = 200, .capacity = 1000},
        .disk = {.write_us = 30, .sync_us = 300},
    };
}

void *sim_zeroed(size_t count, size_t size)
{
    void *out = calloc(count, size);
    SH_CHECK(out != NULL);
    return out;
}

void sim_note(struct sim *sim, enum sim_note_kind kind, const char *format, ...)
{
    if (sim->options.note == NULL) {
        return;
    }
    char text[SIM_TEXT_MAX + 1];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    struct sim_note note = {.at_us = sim->now_us, .kind = kind, .text = text};
    sim->options.note(sim->options.ctx, &note);
}

void sim_mix(struct sim *sim, uint64_t value)
{
    sim->counts.trace = sh_mix64(sim->counts.trace ^ value);
}

/* -ln(u) for u uniform in (0, 1], scaled: the leading zeros give log2 and a straight line the rest.
 */
uint64_t sim_about(struct sim *sim, uint64_t mean)
{
    uint64_t r = sh_rng_u64(&sim->rng) | 1;
    uint64_t zeros = (uint64_t)__builtin_clzll(r);
    uint64_t fraction = zeros == 63 ? 0 : (r << (zeros + 1)) >> 48; /* 16 bits of the mantissa */
    uint64_t log2 = (zeros << 16) + (65536 - fraction);             /* -log2(u), 16.16 */
    return (mean * log2 / 65536) * 45426 / 65536;                   /* times ln 2 */
}

struct sim_agent *sim_by_id(struct sim *sim, const uint8_t *id)
{
    uint32_t number = id[0]; /* sim_agent_new gives them out like this */
    if (number >= sim->agent_count || memcmp(sim->agents[number]->id, id, SH_NODE_ID_BYTES) != 0) {
        return NULL;
    }
    return sim->agents[number];
}

bool sim_runs(const struct sim_agent *a)
{
    return a->up && !a->paused;
}

const char *sim_name(uint32_t agent)
{
    static const char NAMES[SIM_AGENTS_MAX][2] = {"a", "b", "c", "d", "e", "f", "g", "h", "i",
                                                  "j", "k", "l", "m", "n", "o", "p", "q", "r",
                                                  "s", "t", "u", "v", "w", "x", "y", "z"};
    return agent < SIM_AGENTS_MAX ? NAMES[agent] : "?";
}

struct sim *sim_new(const struct sim_options *options)
{
    SH_CHECK(options->agents >= 1);
    SH_CHECK_CMP(options->agents, <=, SIM_AGENTS_MAX);
    struct sim *sim = sim_zeroed(1, sizeof *sim);
    sim->options = *options;
    sim->scratch = sim_zeroed(1, sizeof *sim->scratch);
    sim->counts.trace = options->seed;
    sh_rng_init(&sim->rng, options->seed);
    sim_queue_init(&sim->queue);
    sim_check_init(&sim->check);
    sim_ledger_init(&sim->handles);
    *sim_ledger_at(&sim->handles, 1) = 1; /* the founder's */
    for (uint32_t i = 0; i < options->agents; i++) {
        (void)sim_add(sim);
    }
    return sim;
}

void sim_free(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->agent_count; i++) {
        sim_agent_free(sim->agents[i]);
    }
    sim_queue_fini(&sim->queue);
    sim_check_fini(&sim->check);
    sim_ledger_fini(&sim->handles);
    free(sim->asks);
    free(sim->scratch);
    free(sim);
}

uint32_t sim_add(struct sim *sim)
{
    SH_CHECK_CMP(sim->agent_count, <, SIM_AGENTS_MAX);
    uint32_t number = sim->agent_count;
    sim->agents[number] = sim_agent_new(sim, number);
    sim->agent_count++;
    sim_agent_start(sim, sim->agents[number]);
    return number;
}

/* ---- events ---- */

static void set_aside(struct sim_agent *a, struct sim_event *event)
{
    if (a->backlog_count == SIM_BACKLOG_MAX) {
        free(event->body); /* its socket buffers are full */
        return;
    }
    if (a->backlog_count == a->backlog_capacity) {
        a->backlog_capacity = a->backlog_capacity == 0 ? 64 : 2 * a->backlog_capacity;
        a->backlog = realloc(a->backlog, a->backlog_capacity * sizeof *a->backlog);
        SH_CHECK(a->backlog != NULL);
    }
    a->backlog[a->backlog_count++] = *event;
}

static void on_broken(struct sim *sim, struct sim_agent *a, uint32_t peer)
{
    const struct sim_agent *other = sim->agents[peer];
    struct swim_event hint = {.kind = SWIM_EV_HINT, .now_us = sim_local(sim, a)};
    memcpy(hint.hint.node, other->id, SH_NODE_ID_BYTES);
    hint.hint.hint = SWIM_HINT_LOST;
    if (a->raft != NULL && a->leader != 0 && a->leader == other->handle) {
        struct raft_event event = {.type = RAFT_FORGET_LEADER, .hint = true};
        sim_replica_step(sim, a, &event);
    }
    sim_gossip_step(sim, a, &hint);
}

static void on_agent(struct sim *sim, struct sim_agent *a, struct sim_event *event)
{
    switch (event->kind) {
    case SIM_EV_TIMER:
        sim_agent_timer(sim, a);
        break;
    case SIM_EV_MESSAGE:
        sim_deliver(sim, event->body);
        event->body = NULL;
        break;
    case SIM_EV_DISK:
        sim_disk_event(sim, a);
        break;
    case SIM_EV_LOG:
        sim_replica_log_read(sim, a, event->body);
        break;
    case SIM_EV_APPLY:
        sim_apply_event(sim, a);
        break;
    case SIM_EV_TOLD:
    case SIM_EV_CONF:
        sim_apply_told(sim, a, event->arg, event->kind == SIM_EV_CONF);
        break;
    case SIM_EV_PLAN:
        sim_planner_pass(sim, a);
        break;
    case SIM_EV_BROKEN:
        on_broken(sim, a, (uint32_t)event->arg);
        break;
    case SIM_EV_REQUEST:
        sim_client_request(sim, a, (uint32_t)event->arg, event->attempt);
        break;
    case SIM_EV_ANSWER:
    case SIM_EV_RETRY:
        SH_UNREACHABLE();
    }
}

/* False: the event has no agent any more. */
static bool dispatch(struct sim *sim, struct sim_event *event)
{
    if (event->kind == SIM_EV_ANSWER) {
        const uint64_t *words = event->body;
        sim_client_told(sim, (uint32_t)event->arg, event->attempt,
                        sh_err_from_u32((uint32_t)words[0]), words[1]);
        return true;
    }
    if (event->kind == SIM_EV_RETRY) {
        sim_client_timer(sim, (uint32_t)event->arg, event->attempt);
        return true;
    }
    struct sim_agent *a = sim->agents[event->who];
    if (event->kind == SIM_EV_MESSAGE) {
        const struct sim_msg *msg = event->body;
        sim->links[msg->from][msg->to].on_the_way--;
    }
    if (event->life != 0 && event->life != a->life) {
        return false;
    }
    if (event->kind == SIM_EV_TIMER && event->at != a->timer_at) {
        return false; /* armed anew meanwhile */
    }
    if (!a->up) {
        sim->counts.lost += event->kind == SIM_EV_MESSAGE;
        if (event->kind == SIM_EV_REQUEST) {
            sim_client_answer(sim, a, (uint32_t)event->arg, event->attempt, SH_ERR_UNREACHABLE, 0);
        }
        return true;
    }
    if (a->paused) {
        set_aside(a, event);
        event->body = NULL;
        return true;
    }
    on_agent(sim, a, event);
    if (a->up && a->leave_us != 0) {
        sim_agent_leave(sim, a);
    }
    if (a->up) {
        sim_agent_arm(sim, a);
    }
    return true;
}

static void mix_event(struct sim *sim, const struct sim_event *event)
{
    const struct sim_agent *a = sim->agents[event->who];
    const struct sim_view *v = &sim->check.views[event->who];
    sim_mix(sim, event->at ^ (uint64_t)event->kind << 56 ^ (uint64_t)event->who << 48);
    sim_mix(sim, v->commit ^ v->applied << 20 ^ v->term << 40 ^ (uint64_t)v->role << 60 ^ a->life);
}

bool sim_step(struct sim *sim)
{
    struct sim_event event;
    if (sim->check.failure[0] != '\0' || !sim_queue_pop(&sim->queue, &event)) {
        return false;
    }
    SH_CHECK_CMP(event.at, >=, sim->now_us);
    sim->now_us = event.at;
    if (dispatch(sim, &event)) {
        sim->counts.events++;
        mix_event(sim, &event);
        if (sim->counts.events % CHECK_EVENTS == 0) {
            sim_check_agent(sim, (uint32_t)(sim->counts.events / CHECK_EVENTS % sim->agent_count));
        }
    }
    free(event.body);
    return sim->check.failure[0] == '\0';
}

void sim_run_until(struct sim *sim, uint64_t at_us)
{
    uint64_t next;
    while (sim->check.failure[0] == '\0' && sim_queue_peek(&sim->queue, &next) && next <= at_us) {
        (void)sim_step(sim);
    }
    sim->now_us = sim->now_us < at_us ? at_us : sim->now_us;
}

uint64_t sim_now_us(const struct sim *sim)
{
    return sim->now_us;
}

const char *sim_failure(const struct sim *sim)
{
    return sim->check.failure[0] != '\0' ? sim->check.failure : NULL;
}

void sim_check_agent(struct sim *sim, uint32_t agent)
{
    struct sim_agent *a = sim->agents[agent];
    if (!a->up) {
        return;
    }
    if (a->raft != NULL) {
        raft_check(a->raft);
    }
    swim_check(a->swim);
    const struct sh_table *table = fsm_begin(a->fsm);
    jobs_check(a->jobs, table);
    sim_check_all_jobs(&sim->check, agent, table);
    fsm_abort(a->fsm);
}

void sim_check_all(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->agent_count; i++) {
        sim_check_agent(sim, i);
    }
}

/* ---- faults ---- */

void sim_crash(struct sim *sim, uint32_t agent, enum sim_loss_kind kind)
{
    struct sim_agent *a = sim->agents[agent];
    if (!a->up) {
        return;
    }
    sim->counts.crashes++;
    if (kind == SIM_KILL) {
        sim_say_down(sim, agent); /* a machine without power says nothing */
    }
    sim_agent_end(sim, a);
    sim_disk_crash(sim, a, kind);
    sim_note(sim, SIM_NOTE_FAULT, kind == SIM_KILL ? "%s is killed" : "%s loses power",
             sim_name(agent));
}

void sim_leave(struct sim *sim, uint32_t agent)
{
    struct sim_agent *a = sim->agents[agent];
    if (sim_runs(a) && a->leave_us == 0) {
        a->leave_us = sim_local(sim, a);
        sim_note(sim, SIM_NOTE_FAULT, "%s is leaving", sim_name(agent));
        sim_planner_wake(sim, a);
        sim_agent_leave(sim, a);
    }
}

void sim_restart(struct sim *sim, uint32_t agent)
{
    if (!sim->agents[agent]->up) {
        sim_note(sim, SIM_NOTE_FAULT, "%s starts again", sim_name(agent));
        sim_agent_start(sim, sim->agents[agent]);
    }
}

void sim_pause(struct sim *sim, uint32_t agent)
{
    struct sim_agent *a = sim->agents[agent];
    if (sim_runs(a)) {
        a->paused = true;
        sim_note(sim, SIM_NOTE_FAULT, "%s is paused", sim_name(agent));
    }
}

void sim_resume(struct sim *sim, uint32_t agent)
{
    struct sim_agent *a = sim->agents[agent];
    if (!a->up || !a->paused) {
        return;
    }
    a->paused = false;
    sim_note(sim, SIM_NOTE_FAULT, "%s goes on", sim_name(agent));
    bool timer = false;
    for (uint32_t i = 0; i < a->backlog_count; i++) {
        struct sim_event event = a->backlog[i];
        event.at = sim->now_us;
        timer = timer || event.kind == SIM_EV_TIMER;
        if (event.kind == SIM_EV_MESSAGE) {
            const struct sim_msg *msg = event.body;
            sim->links[msg->from][msg->to].on_the_way++;
        }
        sim_queue_push(&sim->queue, event);
    }
    a->backlog_count = 0;
    a->timer_at = timer ? sim->now_us : a->timer_at;
}

void sim_slow_disk(struct sim *sim, uint32_t agent, uint64_t extra_us)
{
    sim->agents[agent]->disk.extra_us = extra_us;
}

void sim_fail_disk(struct sim *sim, uint32_t agent, bool torn)
{
    struct sim_agent *a = sim->agents[agent];
    if (a->up) {
        kv_mem_fail(a->kv, 1, SH_ERR_IO, torn);
        a->disk.torn = torn;
    }
}

void sim_lying_disk(struct sim *sim, uint32_t agent)
{
    sim->agents[agent]->disk.lying = true;
}

void sim_heal(struct sim *sim)
{
    sim->options.net.loss_ppm = 0;
    sim->options.net.duplicate_ppm = 0;
    for (uint32_t i = 0; i < sim->agent_count; i++) {
        for (uint32_t k = 0; k < sim->agent_count; k++) {
            sim->links[i][k].cut = false;
            sim->links[i][k].extra_us = 0;
        }
        sim_slow_disk(sim, i, 0);
        kv_mem_fail(sim->agents[i]->kv, 0, SH_ERR_IO, false); /* disarmed */
        sim_resume(sim, i);
        sim_restart(sim, i);
    }
}
