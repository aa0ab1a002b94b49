/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/chaos.h"

#include "sim/parts.h"
#include "sim/theme.h"

enum {
    ROUNDS_MAX = 64,
    OPEN_JOBS_MAX = 12,
    WIPES_MAX = 8,
    DRIFT_PPM = 50000,
    PRESS_SUBMITS = 60,
    PRESS_TURNS = 8
};

#define PRESS_US UINT64_C(10000) /* between two submits */

#define MS     UINT64_C(1000)
#define SECOND (1000 * MS)

void sim_chaos_init(struct sim_chaos *chaos, uint64_t seed)
{
    *chaos = (struct sim_chaos){0};
    sh_rng_init(&chaos->rng, sh_mix64(seed) ^ UINT64_C(0x63686173));
}

static uint64_t between(struct sim_chaos *c, uint64_t low, uint64_t high)
{
    return sh_rng_between(&c->rng, low, high);
}

static bool half(struct sim_chaos *c)
{
    return sh_rng_chance(&c->rng, 1, 2);
}

static void draw(struct sim_chaos *c, struct sim *sim)
{
    for (enum sim_act a = SIM_ACT_PARTITION; a < SIM_ACT_COUNT; a++) {
        c->acts[a] = half(c);
    }
    c->act_us = between(c, 20 * MS, 600 * MS);
    c->submit_us = between(c, 20 * MS, 300 * MS);
    c->gap_us = between(c, 100 * MS, 1500 * MS);
    c->hunt_us = half(c) ? between(c, 200 * MS, 1500 * MS) : between(c, 5 * SECOND, 15 * SECOND);
    struct sim_net_options net;
    sim_net_draw(&c->rng, &net);
    struct sim_disk_options disk = {.write_us = between(c, 10, 2 * MS),
                                    .sync_us = half(c) ? between(c, 100, 2 * MS)
                                                       : between(c, 2 * MS, 80 * MS)};
    sim_set_net(sim, &net);
    sim_set_disk(sim, &disk);
    sim_set_batch(sim, half(c) ? SIM_BATCH_MAX : UINT32_C(1) << between(c, 0, 3));
    sim_set_log(sim, sh_rng_chance(&c->rng, 1, 4) ? SIM_LOG_MAX : UINT32_C(4) << between(c, 0, 5));
    sim_set_piece(sim, UINT32_C(512) << between(c, 0, 5));
}

static uint32_t any(struct sim_chaos *c, const struct sim *sim)
{
    return (uint32_t)sh_rng_below(&c->rng, sim->agent_count);
}

/* Of two or more. */
static uint32_t any_other(struct sim_chaos *c, const struct sim *sim, uint32_t than)
{
    uint32_t agent = (uint32_t)sh_rng_below(&c->rng, sim->agent_count - 1);
    return agent + (agent >= than);
}

static void partition(struct sim_chaos *c, struct sim *sim)
{
    uint32_t leader;
    bool one_way = half(c);
    switch (sh_rng_below(&c->rng, 4)) {
    case 0:
        sim_split(sim, (uint32_t)sh_rng_below(&c->rng, UINT64_C(1) << sim->agent_count), one_way);
        break;
    case 1:
        sim_split(sim, UINT32_C(1) << any(c, sim), one_way);
        break;
    case 2:
        if (sim_leader(sim, &leader)) {
            sim_split(sim, UINT32_C(1) << leader, one_way);
        }
        break;
    default:
        sim_mend(sim);
        break;
    }
}

enum sim_loss_kind sim_chaos_loss(struct sim_chaos *c)
{
    static const enum sim_loss_kind KINDS[] = {SIM_KILL, SIM_POWER, SIM_TORN};
    return KINDS[sh_rng_below(&c->rng, SH_COUNT(KINDS))];
}

static void crash(struct sim_chaos *c, struct sim *sim)
{
    uint32_t agent = any(c, sim);
    if (sim->agents[agent]->up && half(c)) {
        sim_crash(sim, agent, sim_chaos_loss(c));
    } else {
        sim_restart(sim, agent);
    }
}

/* What happens seldom is waited for on several agents. */
static bool is_rare(enum sim_gap gap)
{
    return gap == SIM_GAP_ELECTED || gap == SIM_GAP_CONF_STEP || gap == SIM_GAP_CONF_KEPT ||
           gap == SIM_GAP_REPLYING || gap == SIM_GAP_VOTE_KEPT;
}

/* Whoever runs is to die at the next gap of some kind; whoever waits for its handle, there. */
static void crash_in_gap(struct sim_chaos *c, struct sim *sim)
{
    uint32_t agent = any(c, sim);
    enum sim_gap gap = (enum sim_gap)sh_rng_below(&c->rng, SIM_GAP_COUNT);
    for (uint32_t i = 0; i < sim->agent_count; i++) {
        const struct sim_agent *a = sim->agents[i];
        if (sim_runs(a) && a->raft == NULL && half(c)) {
            sim_crash_in(sim, i, sim_chaos_loss(c), half(c) ? SIM_GAP_HANDLE : SIM_GAP_HANDLE_KEPT);
        } else if (i == agent || (is_rare(gap) && half(c))) {
            sim_crash_in(sim, i, sim_chaos_loss(c), gap);
        }
    }
    if (gap == SIM_GAP_BOOT && half(c)) {
        sim_crash(sim, agent, sim_chaos_loss(c));
        sim_restart(sim, agent);
    }
}

static void pause_or_resume(struct sim_chaos *c, struct sim *sim)
{
    uint32_t agent = any(c, sim);
    if (sim->agents[agent]->paused) {
        sim_resume(sim, agent);
    } else if (half(c)) {
        sim_pause(sim, agent);
    }
}

static void trouble_link(struct sim_chaos *c, struct sim *sim, enum sim_act what)
{
    uint32_t a = any(c, sim);
    uint32_t b = any(c, sim);
    if (a == b) {
        return;
    }
    if (what == SIM_ACT_CLOG) {
        sim_clog(sim, a, b, between(c, 1 * MS, 5 * SECOND));
    } else {
        sim_slow_link(sim, a, b, half(c) ? 0 : between(c, 10 * MS, 400 * MS));
    }
}

/* Who leaves makes the group shrink, perhaps to one voter, and that one must not be rotten. */
static bool any_rotten(const struct sim *sim)
{
    for (uint32_t i = 0; i < sim->agent_count; i++) {
        if (sim->agents[i]->rotten) {
            return true;
        }
    }
    return false;
}

static bool any_left(const struct sim *sim)
{
    for (uint32_t i = 0; i < sim->agent_count; i++) {
        if (sim->agents[i]->leave_us != 0) {
            return true;
        }
    }
    return false;
}

/* What a disk loses for good stays within what the atlas allows. */
void sim_chaos_lose(struct sim_chaos *c, struct sim *sim, enum sim_act what)
{
    uint32_t agent = any(c, sim);
    const struct sim_agent *a = sim->agents[agent];
    if (a->quarantined && c->wipes < WIPES_MAX) {
        c->wipes++;
        sim_wipe(sim, agent);
        sim_restart(sim, agent);
    } else if (a->rotten || !sim_may_lose(sim, UINT32_C(1) << agent)) {
        return;
    } else if (what == SIM_ACT_ROT) {
        if (!any_left(sim)) {
            (void)sim_rot(sim, agent, sh_rng_u64(&c->rng)); /* false: it has nothing to lose */
        }
    } else if (c->wipes < WIPES_MAX) {
        c->wipes++;
        sim_wipe(sim, agent);
    }
}

static void drift(struct sim_chaos *c, struct sim *sim)
{
    uint64_t ppm = half(c) ? between(c, 0, 400) : between(c, 0, 2 * DRIFT_PPM);
    int32_t middle = ppm <= 400 ? 200 : DRIFT_PPM;
    sim_drift_clock(sim, any(c, sim), (int32_t)ppm - middle);
}

static void act(struct sim_chaos *c, struct sim *sim)
{
    enum sim_act what = (enum sim_act)sh_rng_below(&c->rng, SIM_ACT_COUNT + 1);
    if (what == SIM_ACT_COUNT) { /* what ended must come back, or nothing is left to look at */
        sim_restart(sim, any(c, sim));
        sim_resume(sim, any(c, sim));
        return;
    }
    if (!c->acts[what]) {
        return;
    }
    switch (what) {
    case SIM_ACT_PARTITION:
        partition(c, sim);
        break;
    case SIM_ACT_CRASH:
        crash(c, sim);
        break;
    case SIM_ACT_PAUSE:
        pause_or_resume(c, sim);
        break;
    case SIM_ACT_LEAVE:
        if (!any_rotten(sim)) {
            sim_leave(sim, any(c, sim));
        }
        break;
    case SIM_ACT_TRANSFER:
        sim_transfer(sim, any(c, sim));
        break;
    case SIM_ACT_STALL:
        sim_stall_clock(sim, any(c, sim), between(c, 10 * MS, 2 * SECOND));
        break;
    case SIM_ACT_JUMP:
        sim_jump_clock(sim, any(c, sim), between(c, 1 * MS, 5 * SECOND));
        break;
    case SIM_ACT_DRIFT:
        drift(c, sim);
        break;
    case SIM_ACT_CLOG:
    case SIM_ACT_SLOW_LINK:
        trouble_link(c, sim, what);
        break;
    case SIM_ACT_SLOW_DISK:
        sim_slow_disk(sim, any(c, sim), half(c) ? 0 : between(c, 10 * MS, SECOND));
        break;
    case SIM_ACT_FAIL_DISK:
        sim_fail_disk(sim, any(c, sim), half(c));
        break;
    case SIM_ACT_ROT:
    case SIM_ACT_WIPE:
        sim_chaos_lose(c, sim, what);
        break;
    case SIM_ACT_COUNT:
        SH_UNREACHABLE();
    }
}

static void submit(struct sim_chaos *c, struct sim *sim)
{
    struct sim_counts counts = sim_counts(sim);
    uint64_t waiting = 0;
    for (uint32_t i = 0; i < sim->ask_count; i++) {
        waiting += !sim->asks[i].seen.done;
    }
    if (sim->check.jobs + waiting >= counts.completed + OPEN_JOBS_MAX) {
        return;
    }
    struct sim_job job = {.units = (uint32_t)between(c, 1, 4), .agents_min = 1, .agents_max = 1};
    if (sh_rng_chance(&c->rng, 1, 5)) {
        job = (struct sim_job){.train = true,
                               .units = 1,
                               .steps = (uint32_t)between(c, 5, 60),
                               .every = (uint32_t)between(c, 0, 20),
                               .step_us = between(c, 1 * MS, 30 * MS),
                               .agents_min = (uint16_t)between(c, 1, sim->agent_count > 1 ? 2 : 1),
                               .agents_max = (uint16_t)between(c, 2, 4)};
    }
    (void)sim_submit(sim, &job, any(c, sim), true);
}

/* Those hit before come back, or most of them, and the leader of the moment is hit: with all the
 * terms begun in half-replicated logs that this makes, most of what can go wrong in a log does. */
void sim_chaos_hunt(struct sim_chaos *c, struct sim *sim)
{
    uint32_t leader;
    for (uint32_t i = 0; i < sim->agent_count; i++) {
        if (sh_rng_chance(&c->rng, 3, 4)) {
            sim_restart(sim, i);
            sim_resume(sim, i);
        }
    }
    if (half(c)) {
        sim_mend(sim);
    }
    if (!sim_leader(sim, &leader) || sim->agent_count < 2) {
        return;
    }
    switch (sh_rng_below(&c->rng, 6)) {
    case 0:
        sim_crash(sim, leader, sim_chaos_loss(c));
        break;
    case 1:
        sim_pause(sim, leader);
        break;
    case 2:
        sim_split(sim, UINT32_C(1) << leader | UINT32_C(1) << any(c, sim), half(c));
        break;
    case 3:
        sim_split(sim, UINT32_C(1) << leader, half(c));
        break;
    case 4:
        sim_slow_disk(sim, leader, between(c, 10 * MS, SECOND));
        break;
    default:
        sim_clog(sim, leader, any_other(c, sim, leader), between(c, 50 * MS, SECOND));
        break;
    }
}

static uint64_t soonest(const struct sim_chaos *c, uint64_t end)
{
    uint64_t next = c->next_act_us < c->next_submit_us ? c->next_act_us : c->next_submit_us;
    next = c->next_gap_us < next ? c->next_gap_us : next;
    next = c->next_hunt_us < next ? c->next_hunt_us : next;
    next = c->next_theme_us < next ? c->next_theme_us : next;
    return next < end ? next : end;
}

void sim_chaos_storm(struct sim_chaos *chaos, struct sim *sim, uint64_t for_us)
{
    uint64_t end = sim->now_us + for_us;
    draw(chaos, sim);
    chaos->theme.on = false;
    chaos->next_theme_us = UINT64_MAX;
    if (half(chaos)) {
        sim_theme_draw(chaos, sim);
        chaos->next_theme_us = sim->now_us + 1;
    }
    chaos->next_act_us = sim->now_us + 1;
    chaos->next_submit_us = sim->now_us + 1;
    chaos->next_gap_us = sim->now_us + 1;
    chaos->next_hunt_us = sim->now_us + between(chaos, SECOND, for_us / 2);
    if (chaos->theme.on) { /* it brings what it needs */
        chaos->next_gap_us = UINT64_MAX;
        chaos->next_hunt_us = UINT64_MAX;
    }
    while (sim->now_us < end && sim_failure(sim) == NULL) {
        uint64_t next = soonest(chaos, end);
        sim_run_until(sim, next);
        if (chaos->next_submit_us <= next) {
            submit(chaos, sim);
            chaos->next_submit_us = next + between(chaos, 1, 2 * chaos->submit_us);
        }
        if (chaos->next_act_us <= next) {
            act(chaos, sim);
            chaos->next_act_us = next + between(chaos, 1, 2 * chaos->act_us);
        }
        if (chaos->next_gap_us <= next) {
            crash_in_gap(chaos, sim);
            chaos->next_gap_us = next + between(chaos, 1, 2 * chaos->gap_us);
        }
        if (chaos->next_hunt_us <= next) {
            sim_chaos_hunt(chaos, sim);
            chaos->next_hunt_us = next + between(chaos, 1, 2 * chaos->hunt_us);
        }
        if (chaos->next_theme_us <= next) {
            sim_theme_act(chaos, sim);
            chaos->next_theme_us = next + between(chaos, 1, 2 * chaos->theme_us);
        }
    }
}

/* Whoever was leaving, or armed to end, when everything was healed ends only now; and rot may be
 * found only now. */
static void bring_back(struct sim *sim, uint32_t core)
{
    for (uint32_t i = 0; i < sim->agent_count; i++) {
        const struct sim_agent *a = sim->agents[i];
        if ((core >> i & 1) != 0 && !a->up) {
            if (a->quarantined) {
                sim_wipe(sim, i);
            }
            sim_restart(sim, i);
        }
    }
}

static void tell_calm(struct sim *sim, uint32_t core)
{
    char names[2 * SIM_AGENTS_MAX + 1];
    uint32_t used = 0;
    for (uint32_t i = 0; i < sim->agent_count; i++) {
        if ((core >> i & 1) != 0) {
            names[used++] = ' ';
            names[used++] = sim_name(i)[0];
        }
    }
    names[used] = '\0';
    sim_act(sim, "calm%s", core == SIM_ALL ? "" : names);
    sim_note(sim, SIM_NOTE_FAULT, "everything is healed%s%s", core == SIM_ALL ? "" : " for",
             core == SIM_ALL ? "" : names);
}

void sim_chaos_calm(struct sim *sim, uint32_t core, uint64_t within_us)
{
    uint64_t end = sim->now_us + within_us;
    struct sim_options quiet = sim_options_default();
    tell_calm(sim, core);
    bool acting = sim->acting;
    sim->acting = false;
    sim_heal(sim, core);
    sim->options.net = quiet.net;
    sim->options.disk = quiet.disk;
    while (sim_failure(sim) == NULL && !sim_converged(sim)) {
        bring_back(sim, core);
        if (sim->now_us >= end) {
            sim_check_fail(&sim->check, "liveness: %llu s after healing: %s",
                           (unsigned long long)(within_us / SECOND), sim_unconverged(sim));
            break;
        }
        sim_run_until(sim, sim->now_us + 100 * MS);
    }
    sim_reads_judge(sim);
    sim->acting = acting;
}

void sim_chaos_press(struct sim *sim)
{
    struct sim_job job = {.units = 1, .agents_min = 1, .agents_max = 1};
    struct sim_options quiet = sim_options_default();
    uint32_t leader;
    sim_act(sim, "press");
    if (!sim_leader(sim, &leader)) {
        return;
    }
    bool acting = sim->acting;
    uint64_t before = sim->counts.acknowledged;
    uint64_t term = sim->agents[leader]->term;
    sim->acting = false;
    sim->options.net.latency_us = 15 * MS;
    for (uint32_t i = 0; i < PRESS_SUBMITS && sim_failure(sim) == NULL; i++) {
        (void)sim_submit(sim, &job, leader, true);
        sim_run_until(sim, sim->now_us + PRESS_US);
    }
    bool leads = sim->agents[leader]->role == RAFT_LEADER && sim->agents[leader]->term == term;
    if (leads && sim->agents[leader]->up && sim->counts.acknowledged == before) {
        sim_check_fail(&sim->check, "liveness: nothing is acknowledged while submits keep coming");
    }
    sim->options.net = quiet.net;
    sim->acting = acting;
}

/* A majority of the voters at least, and somebody left out; SIM_ALL where that cannot be. */
static uint32_t some_core(struct sim_chaos *c, const struct sim *sim)
{
    uint32_t all = (UINT32_C(1) << sim->agent_count) - 1;
    uint32_t out = (uint32_t)sh_rng_below(&c->rng, all);
    return out != 0 && sim_may_lose(sim, out) ? all & ~out : SIM_ALL;
}

static bool reached(const struct sim *sim, const struct sim_goal *goal)
{
    return sim->counts.events >= goal->events &&
           sim->counts.leader_changes >= goal->leader_changes && sim->check.units >= goal->units;
}

void sim_chaos_run(struct sim_chaos *chaos, struct sim *sim, const struct sim_goal *goal)
{
    if (half(chaos)) { /* else the cluster is born in the storm */
        sim_chaos_calm(sim, SIM_ALL, SIM_CONVERGE_US);
    }
    for (uint32_t round = 0; round < ROUNDS_MAX && sim_failure(sim) == NULL; round++) {
        if (reached(sim, goal)) {
            return;
        }
        sim_chaos_storm(chaos, sim, between(chaos, 5 * SECOND, 25 * SECOND));
        uint32_t core = some_core(chaos, sim);
        if (core != SIM_ALL && sim_failure(sim) == NULL) {
            sim_chaos_calm(sim, core, SIM_CONVERGE_US);
        }
        if (sim_failure(sim) == NULL) {
            sim_chaos_calm(sim, SIM_ALL, SIM_CONVERGE_US);
        }
        if (sh_rng_chance(&chaos->rng, 1, PRESS_TURNS) && sim_failure(sim) == NULL) {
            sim_chaos_press(sim);
            sim_chaos_calm(sim, SIM_ALL, SIM_CONVERGE_US);
        }
    }
    if (!reached(sim, goal)) {
        sim_check_fail(&sim->check, "after %d storms still too few events, leaders or units",
                       ROUNDS_MAX);
    }
}
