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
        .batch = SIM_BATCH_MAX,
        .log = SIM_LOG_MAX,
        .piece = SIM_PIECE_MAX,
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

void sim_act(struct sim *sim, const char *format, ...)
{
    if (sim->options.act == NULL || !sim->acting) {
        return;
    }
    char text[SIM_TEXT_MAX + 1];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    sim->options.act(sim->options.act_ctx, sim->now_us, text);
}

void sim_mix(struct sim *sim, uint64_t value)
{
    sim->counts.trace = sh_mix64(sim->counts.trace ^ value);
}

struct sim_agent *sim_by_id(struct sim *sim, const uint8_t *id)
{
    uint32_t number = id[0]; /* sim_agent_new gives them out like this */
    if (number >= sim->agent_count || memcmp(sim->agents[number]->id, id, SH_NODE_ID_BYTES) != 0) {
        return NULL;
    }
    return sim->agents[number];
}

/* Every agent learns from rows and messages who has which handle; the world knows it for all. A new
 * node that does not know its handle yet is found by what was learned of it. */
struct sim_agent *sim_by_handle(struct sim *sim, uint64_t handle)
{
    const uint64_t *known = handle == 0 ? NULL : sim_ledger_at(&sim->handles, handle);
    if (known == NULL || *known == 0) {
        return NULL;
    }
    struct sim_agent *a = sim->agents[(*known & UINT32_MAX) - 1];
    return *known >> 32 == a->wipes ? a : NULL;
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
    sim_planner_open(sim->scratch);
    sim->counts.trace = options->seed;
    sh_rng_init(&sim->rng, options->seed);
    sim_queue_init(&sim->queue);
    sim_check_init(&sim->check);
    sim_ledger_init(&sim->handles);
    *sim_ledger_at(&sim->handles, 1) = 1; /* the founder's */
    for (uint32_t i = 0; i < options->agents; i++) {
        (void)sim_add(sim);
    }
    sim->core = SIM_ALL;
    sim->acting = true;
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
    free(sim->reads);
    free(sim->scratch->place);
    free(sim->scratch);
    free(sim);
}

uint32_t sim_add(struct sim *sim)
{
    SH_CHECK_CMP(sim->agent_count, <, SIM_AGENTS_MAX);
    uint32_t number = sim->agent_count;
    sim_act(sim, "add agent");
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
    if (a->raft != NULL && a->leader != 0 && a->leader == other->identity.handle) {
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
        sim_apply_told(sim, a, event->arg);
        break;
    case SIM_EV_CONF:
        sim_apply_conf(sim, a, event->arg, event->body);
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
    case SIM_EV_READ:
        sim_reads_ask(sim, a, event->arg);
        break;
    case SIM_EV_SERVE:
        sim_reads_serve(sim, a);
        break;
    case SIM_EV_ANSWER:
    case SIM_EV_RETRY:
    case SIM_EV_READ_TOLD:
    case SIM_EV_WORK:
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
    if (event->kind == SIM_EV_READ_TOLD) {
        sim_reads_told(sim, event->arg, event->attempt);
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
    sim_reap(sim, a);
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

void sim_set_net(struct sim *sim, const struct sim_net_options *net)
{
    SH_CHECK_CMP(net->loss_ppm, <=, 1000000);
    SH_CHECK_CMP(net->duplicate_ppm, <=, 1000000);
    SH_CHECK_CMP(net->capacity, >, 0);
    sim_act(sim, "latency %lluus jitter %lluus", (unsigned long long)net->latency_us,
            (unsigned long long)net->jitter_us);
    sim_act(sim, "loss %u.%04u%%", net->loss_ppm / 10000, net->loss_ppm % 10000);
    sim_act(sim, "duplicate %u.%04u%%", net->duplicate_ppm / 10000, net->duplicate_ppm % 10000);
    sim_act(sim, "capacity %u", net->capacity);
    sim->options.net = *net;
}

struct sim_net_options sim_net(const struct sim *sim)
{
    return sim->options.net;
}

void sim_set_disk(struct sim *sim, const struct sim_disk_options *disk)
{
    sim_act(sim, "disk write %lluus sync %lluus", (unsigned long long)disk->write_us,
            (unsigned long long)disk->sync_us);
    sim->options.disk = *disk;
}

void sim_set_batch(struct sim *sim, uint32_t entries)
{
    SH_CHECK_CMP(entries, >=, 1);
    SH_CHECK_CMP(entries, <=, SIM_BATCH_MAX);
    sim_act(sim, "batch %u", entries);
    sim->options.batch = entries;
}

void sim_set_log(struct sim *sim, uint32_t entries)
{
    SH_CHECK_CMP(entries, >=, 1);
    SH_CHECK_CMP(entries, <=, SIM_LOG_MAX);
    sim_act(sim, "log %u", entries);
    sim->options.log = entries;
}

void sim_set_piece(struct sim *sim, uint32_t bytes)
{
    SH_CHECK_CMP(bytes, >=, 1);
    SH_CHECK_CMP(bytes, <=, SIM_PIECE_MAX);
    sim_act(sim, "piece %u", bytes);
    sim->options.piece = bytes;
}
