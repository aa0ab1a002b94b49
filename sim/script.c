/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs a scenario: one command after the other, each at its time. */
#include "sim/chaos.h"
#include "sim/parts.h"
#include "sim/scenario.h"
#include "sim/timeline.h"

#include "base/check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { LOOK_US = 10000 }; /* how often a waiting expectation is looked at */

struct script {
    const struct sim_scenario *scenario;
    struct sim *sim;
    struct sim_chaos chaos;
    struct sim_verdict *verdict;
    uint32_t last;                    /* agent that 'last' means */
    uint32_t requests[SIM_LINES_MAX]; /* of the submit on that line of the scenario */
};

__attribute__((format(printf, 3, 4))) static void fail(struct script *s,
                                                       const struct sim_command *c,
                                                       const char *format, ...)
{
    char *why = s->verdict->why;
    size_t room = sizeof s->verdict->why;
    va_list args;
    if (why[0] != '\0') {
        return; /* the first one counts */
    }
    /* The place always fits; of a long reason the end is cut off. */
    int used = snprintf(why, room, "%s:%u: ", s->scenario->file, c->line);
    SH_CHECK(used > 0 && (size_t)used < room);
    va_start(args, format);
    (void)vsnprintf(why + used, room - (size_t)used, format, args);
    va_end(args);
}

/* False: there is none, and the script says so. */
static bool resolve(struct script *s, const struct sim_command *c, uint32_t ref, uint32_t *agent)
{
    bool found = true;
    *agent = ref;
    if (ref == SIM_REF_LEADER) {
        found = sim_leader(s->sim, agent);
    } else if (ref == SIM_REF_FOLLOWER) {
        *agent = 0;
        while (*agent < sim_agents(s->sim) && sim_face(s->sim, *agent) != SIM_FOLLOWER) {
            (*agent)++;
        }
        found = *agent < sim_agents(s->sim);
    } else if (ref == SIM_REF_LAST) {
        *agent = s->last;
    }
    if (!found) {
        fail(s, c, "there is no such agent now; put 'expect leader within 5s' before it");
        return false;
    }
    s->last = *agent;
    return true;
}

/* ---- doing ---- */

static void cut_sides(struct script *s, const struct sim_command *c)
{
    uint8_t side[SIM_AGENTS_MAX];
    uint8_t others = UINT8_MAX; /* nobody: they keep all their links */
    memset(side, UINT8_MAX, sizeof side);
    for (uint32_t i = 0; i < c->agent_count; i++) {
        uint32_t agent = 0;
        if (c->agents[i] == SIM_REF_OTHERS) {
            others = c->side[i];
        } else if (resolve(s, c, c->agents[i], &agent)) {
            side[agent] = c->side[i];
        }
    }
    for (uint32_t i = 0; i < sim_agents(s->sim); i++) {
        side[i] = side[i] == UINT8_MAX ? others : side[i];
    }
    for (uint32_t i = 0; i < sim_agents(s->sim); i++) {
        for (uint32_t k = 0; k < sim_agents(s->sim); k++) {
            if (side[i] != side[k] && side[i] != UINT8_MAX && side[k] != UINT8_MAX) {
                sim_cut(s->sim, i, k, true);
            }
        }
    }
}

static void set_net(struct script *s, const struct sim_command *c)
{
    struct sim_net_options net = sim_net(s->sim);
    switch ((int)c->verb) {
    case SIM_DO_LATENCY:
        net.latency_us = c->time_us[0];
        net.jitter_us = c->has_second ? c->time_us[1] : net.jitter_us;
        break;
    case SIM_DO_LOSS:
        net.loss_ppm = c->ppm;
        break;
    case SIM_DO_CAPACITY:
        net.capacity = (uint32_t)c->number;
        break;
    default:
        net.duplicate_ppm = c->ppm;
        break;
    }
    sim_set_net(s->sim, &net);
}

static void heal_links(struct script *s)
{
    struct sim_net_options net = sim_net(s->sim);
    for (uint32_t i = 0; i < sim_agents(s->sim); i++) {
        for (uint32_t k = 0; k < i; k++) {
            sim_cut(s->sim, i, k, false);
            sim_cut(s->sim, k, i, false);
            sim_slow_link(s->sim, i, k, 0);
        }
    }
    net.loss_ppm = 0;
    net.duplicate_ppm = 0;
    sim_set_net(s->sim, &net);
}

static void set_link(struct script *s, const struct sim_command *c)
{
    uint32_t a = 0;
    uint32_t b = 0;
    if (c->agent_count == 0) {
        heal_links(s);
        return;
    }
    if (!resolve(s, c, c->agents[0], &a) || !resolve(s, c, c->agents[1], &b)) {
        return;
    }
    if (a == b) {
        fail(s, c, "both ends of this link are the same agent");
        return;
    }
    if (c->verb == SIM_DO_SLOW_LINK) {
        sim_slow_link(s->sim, a, b, c->time_us[0]);
        return;
    }
    if (c->verb == SIM_DO_CLOG) {
        sim_clog(s->sim, a, b, c->time_us[0]);
        return;
    }
    bool cut = c->verb == SIM_DO_CUT;
    sim_cut(s->sim, a, b, cut);
    if (!c->one_way) {
        sim_cut(s->sim, b, a, cut);
    }
    if (!cut) {
        sim_slow_link(s->sim, a, b, 0);
    }
}

static void end(struct script *s, const struct sim_command *c, uint32_t agent)
{
    enum sim_loss_kind kind = c->verb == SIM_DO_KILL    ? SIM_KILL
                              : c->verb == SIM_DO_CRASH ? SIM_POWER
                                                        : SIM_TORN;
    if (c->in_gap) {
        sim_crash_in(s->sim, agent, kind, c->gap);
    } else {
        sim_crash(s->sim, agent, kind);
    }
}

static void hit(struct script *s, const struct sim_command *c, uint32_t agent)
{
    switch ((int)c->verb) {
    case SIM_DO_SLOW_DISK:
        sim_slow_disk(s->sim, agent, c->time_us[0]);
        break;
    case SIM_DO_FAIL_DISK:
        sim_fail_disk(s->sim, agent, c->counted);
        break;
    case SIM_DO_STALL_CLOCK:
        sim_stall_clock(s->sim, agent, c->time_us[0]);
        break;
    case SIM_DO_JUMP_CLOCK:
        sim_jump_clock(s->sim, agent, c->time_us[0]);
        break;
    case SIM_DO_DRIFT_CLOCK:
        sim_drift_clock(s->sim, agent, c->drift);
        break;
    case SIM_DO_ROT:
        (void)sim_rot(s->sim, agent, c->number); /* false: there is nothing to rot */
        break;
    case SIM_DO_WIPE:
        sim_wipe(s->sim, agent);
        break;
    case SIM_DO_CRASH:
    case SIM_DO_TEAR:
    case SIM_DO_KILL:
        end(s, c, agent);
        break;
    case SIM_DO_RESTART:
        sim_restart(s->sim, agent);
        break;
    case SIM_DO_LEAVE:
        sim_leave(s->sim, agent);
        break;
    case SIM_DO_TRANSFER:
        sim_transfer(s->sim, agent);
        break;
    case SIM_DO_PAUSE:
        sim_pause(s->sim, agent);
        break;
    default:
        sim_resume(s->sim, agent);
        break;
    }
}

static void hit_all(struct script *s, const struct sim_command *c)
{
    for (uint32_t i = 0; i < c->agent_count; i++) {
        uint32_t agent = 0;
        if (c->agents[i] == SIM_REF_ALL) {
            for (uint32_t k = 0; k < sim_agents(s->sim); k++) {
                hit(s, c, k);
            }
        } else if (resolve(s, c, c->agents[i], &agent)) {
            hit(s, c, agent);
        }
    }
}

static uint32_t side_of(struct script *s, const struct sim_command *c)
{
    uint32_t side = 0;
    for (uint32_t i = 0; i < c->agent_count; i++) {
        uint32_t agent = 0;
        if (resolve(s, c, c->agents[i], &agent)) {
            side |= UINT32_C(1) << agent;
        }
    }
    return side;
}

static void set_sides(struct script *s, const struct sim_command *c)
{
    if (c->verb == SIM_DO_MEND) {
        sim_mend(s->sim);
    } else {
        sim_split(s->sim, side_of(s, c), c->verb == SIM_DO_MUTE);
    }
}

static void set_disk(struct script *s, const struct sim_command *c)
{
    struct sim_disk_options disk = {.write_us = c->time_us[0], .sync_us = c->time_us[1]};
    sim_set_disk(s->sim, &disk);
}

static void submit(struct script *s, const struct sim_command *c)
{
    uint32_t agent = 0;
    if (resolve(s, c, c->agents[0], &agent)) {
        uint32_t request = sim_submit(s->sim, &c->job, agent, !c->once);
        s->requests[(size_t)(c - s->scenario->commands)] = request;
    }
}

/* ---- expecting ---- */

static bool among(const struct script *s, const struct sim_command *c, uint32_t agent)
{
    for (uint32_t i = 0; i < c->agent_count; i++) {
        if (c->agents[i] == agent || (c->agents[i] == SIM_REF_LAST && s->last == agent)) {
            return true;
        }
    }
    return c->agent_count == 0;
}

static bool no_leader(const struct script *s, const struct sim_command *c)
{
    for (uint32_t i = 0; i < sim_agents(s->sim); i++) {
        struct sim_agent_view v = sim_look(s->sim, i);
        if (among(s, c, i) && (v.face == SIM_LEADER || v.leader_known)) {
            return false;
        }
    }
    return true;
}

static struct sim_request request_of(const struct script *s, const char *name)
{
    for (uint32_t i = s->scenario->count; i > 0; i--) {
        const struct sim_command *c = &s->scenario->commands[i - 1];
        if (c->verb == SIM_DO_SUBMIT && strcmp(c->name, name) == 0) {
            return sim_request(s->sim, s->requests[i - 1]);
        }
    }
    SH_UNREACHABLE();
}

static bool holds(struct script *s, const struct sim_command *c)
{
    uint32_t agent = 0;
    uint32_t jobs = 0;
    struct sim_counts counts = sim_counts(s->sim);
    bool led = sim_leader(s->sim, &agent);
    switch (c->want) {
    case SIM_WANT_LEADER:
        return led && among(s, c, agent);
    case SIM_WANT_NO_LEADER:
        return no_leader(s, c);
    case SIM_WANT_FACE:
        return resolve(s, c, c->agents[0], &agent) && sim_face(s->sim, agent) == c->face;
    case SIM_WANT_ANSWER:
        return request_of(s, c->name).answers > 0 && request_of(s, c->name).err == c->err;
    case SIM_WANT_ACK:
        return request_of(s, c->name).job != 0;
    case SIM_WANT_DONE:
        return counts.acknowledged > 0 && counts.completed >= counts.acknowledged;
    case SIM_WANT_READS:
        return resolve(s, c, c->agents[0], &agent) && sim_local_read(s->sim, agent, &jobs) &&
               (!c->counted || jobs == c->number);
    case SIM_WANT_EQUAL:
        return sim_converged(s->sim);
    case SIM_WANT_VOTERS:
        return led && sim_look(s->sim, agent).voters == c->number;
    case SIM_WANT_MEMBERS:
        return led && sim_look(s->sim, agent).members == c->number;
    case SIM_WANT_UNITS:
        return counts.units >= c->number;
    }
    SH_UNREACHABLE();
}

static void expect(struct script *s, const struct sim_command *c)
{
    uint64_t start = sim_now_us(s->sim);
    while (!holds(s, c)) {
        uint64_t now = sim_now_us(s->sim);
        if (sim_failure(s->sim) != NULL || s->verdict->why[0] != '\0') {
            return;
        }
        if (now - start >= c->within_us) {
            bool equal = c->want == SIM_WANT_EQUAL;
            fail(s, c, "expected, and not so after %" PRIu64 " ms:%s%s%s", c->within_us / 1000,
                 strstr(c->text, "expect") + strlen("expect"), equal ? "; " : "",
                 equal ? sim_unconverged(s->sim) : "");
            return;
        }
        sim_run_until(s->sim, now + LOOK_US);
    }
    sim_note(s->sim, SIM_NOTE_SCRIPT, "held after %" PRIu64 " ms",
             (sim_now_us(s->sim) - start) / 1000);
}

static void demand(struct script *s, const struct sim_command *c)
{
    if (c->verb == SIM_DO_PRESS) {
        sim_chaos_press(s->sim);
    } else {
        sim_chaos_calm(s->sim, c->agent_count == 0 ? SIM_ALL : side_of(s, c), SIM_CONVERGE_US);
    }
}

/* ---- running ---- */

static void set_host(struct script *s, const struct sim_command *c)
{
    uint32_t size = (uint32_t)c->number;
    if (c->verb == SIM_DO_BATCH) {
        sim_set_batch(s->sim, size);
    } else if (c->verb == SIM_DO_LOG) {
        sim_set_log(s->sim, size);
    } else if (c->verb == SIM_DO_PIECE) {
        sim_set_piece(s->sim, size);
    } else {
        set_disk(s, c);
    }
}

static void perform(struct script *s, const struct sim_command *c)
{
    switch (c->verb) {
    case SIM_DO_SEED:
    case SIM_DO_AGENTS:
    case SIM_DO_END:
        break;
    case SIM_DO_ISOLATE:
    case SIM_DO_MUTE:
    case SIM_DO_MEND:
        set_sides(s, c);
        break;
    case SIM_DO_BATCH:
    case SIM_DO_LOG:
    case SIM_DO_PIECE:
    case SIM_DO_DISK:
        set_host(s, c);
        break;
    case SIM_DO_PRESS:
    case SIM_DO_CALM:
        demand(s, c);
        break;
    case SIM_DO_LATENCY:
    case SIM_DO_LOSS:
    case SIM_DO_DUPLICATE:
    case SIM_DO_CAPACITY:
        set_net(s, c);
        break;
    case SIM_DO_PARTITION:
        cut_sides(s, c);
        break;
    case SIM_DO_HEAL:
    case SIM_DO_CUT:
    case SIM_DO_CLOG:
    case SIM_DO_SLOW_LINK:
        set_link(s, c);
        break;
    case SIM_DO_SLOW_DISK:
    case SIM_DO_FAIL_DISK:
    case SIM_DO_ROT:
    case SIM_DO_WIPE:
    case SIM_DO_STALL_CLOCK:
    case SIM_DO_JUMP_CLOCK:
    case SIM_DO_DRIFT_CLOCK:
    case SIM_DO_CRASH:
    case SIM_DO_TEAR:
    case SIM_DO_KILL:
    case SIM_DO_LEAVE:
    case SIM_DO_TRANSFER:
    case SIM_DO_RESTART:
    case SIM_DO_PAUSE:
    case SIM_DO_RESUME:
        hit_all(s, c);
        break;
    case SIM_DO_ADD:
        (void)sim_add(s->sim);
        break;
    case SIM_DO_SUBMIT:
        submit(s, c);
        break;
    case SIM_DO_CHAOS:
        sim_chaos_storm(&s->chaos, s->sim, c->time_us[0]);
        sim_chaos_calm(s->sim, SIM_ALL, SIM_CONVERGE_US);
        break;
    case SIM_DO_EXPECT:
        expect(s, c);
        break;
    case SIM_VERB_COUNT:
        SH_UNREACHABLE();
    }
}

static uint32_t agents_at_most(const struct sim_scenario *scenario)
{
    uint32_t count = scenario->agents;
    for (uint32_t i = 0; i < scenario->count; i++) {
        count += scenario->commands[i].verb == SIM_DO_ADD;
    }
    return count;
}

static void conclude(struct sim *sim, struct sim_verdict *verdict)
{
    if (sim_failure(sim) == NULL) {
        sim_check_all(sim);
    }
    if (sim_failure(sim) != NULL) {
        (void)snprintf(verdict->why, sizeof verdict->why, "%s", sim_failure(sim));
    }
    verdict->held = verdict->why[0] == '\0';
    verdict->time_us = sim_now_us(sim);
    verdict->agents = sim_agents(sim);
    verdict->counts = sim_counts(sim);
    verdict->coverage = sim_coverage(sim);
}

void sim_scenario_run(const struct sim_scenario *scenario, uint64_t seed, FILE *out,
                      struct sim_verdict *verdict)
{
    struct sim_options options = sim_options_default();
    struct sim_timeline line = {.out = out, .width = agents_at_most(scenario)};
    struct script *s = sim_zeroed(1, sizeof *s);
    *verdict = (struct sim_verdict){0};
    options.seed = seed;
    options.agents = scenario->agents;
    options.note = out == NULL ? NULL : sim_timeline_note;
    options.ctx = &line;
    sim_timeline_begin(&line);
    *s = (struct script){.scenario = scenario, .sim = sim_new(&options), .verdict = verdict};
    line.sim = s->sim;
    sim_chaos_init(&s->chaos, seed);
    for (uint32_t i = 0; i < scenario->count && verdict->why[0] == '\0'; i++) {
        const struct sim_command *c = &scenario->commands[i];
        if (c->timed && c->at_us > sim_now_us(s->sim)) { /* nothing happens between equal times */
            sim_run_until(s->sim, c->at_us);
        }
        if (sim_failure(s->sim) != NULL) {
            break;
        }
        sim_note(s->sim, SIM_NOTE_SCRIPT, "%s", c->text);
        perform(s, c);
        if (c->verb == SIM_DO_END) {
            break;
        }
    }
    conclude(s->sim, verdict);
    sim_free(s->sim);
    free(s);
}

static void write_act(void *ctx, uint64_t at_us, const char *line)
{
    (void)fprintf(ctx, "at %" PRIu64 "us %s\n", at_us, line); /* judged when the file is closed */
    (void)fflush(ctx); /* a core that panics leaves what led to it */
}

static void storm(uint32_t agents, uint64_t events, uint64_t seed, FILE *out, FILE *acts,
                  struct sim_verdict *verdict)
{
    struct sim_options options = sim_options_default();
    struct sim_timeline line = {.out = out, .width = agents};
    struct sim_chaos chaos;
    struct sim_goal goal = {.events = events, .leader_changes = agents > 2, .units = 1};
    *verdict = (struct sim_verdict){0};
    options.seed = seed;
    options.agents = agents;
    options.note = out == NULL ? NULL : sim_timeline_note;
    options.ctx = &line;
    options.act = acts == NULL ? NULL : write_act;
    options.act_ctx = acts;
    sim_timeline_begin(&line);
    struct sim *sim = sim_new(&options);
    line.sim = sim;
    sim_chaos_init(&chaos, seed);
    sim_chaos_run(&chaos, sim, &goal);
    conclude(sim, verdict);
    sim_free(sim);
}

void sim_storm_run(uint32_t agents, uint64_t events, uint64_t seed, FILE *out,
                   struct sim_verdict *verdict)
{
    storm(agents, events, seed, out, NULL, verdict);
}

void sim_storm_record(uint32_t agents, uint64_t events, uint64_t seed, FILE *acts,
                      struct sim_verdict *verdict)
{
    (void)fprintf(acts, "seed %" PRIu64 "\nagents %" PRIu32 "\n", seed, agents);
    storm(agents, events, seed, NULL, acts, verdict);
}
