/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/chaos.h"

#include "sim/parts.h"

enum { ROUNDS_MAX = 64, OPEN_JOBS_MAX = 12 };

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
    c->partitions = half(c);
    c->one_way = half(c);
    c->crashes = half(c);
    c->pauses = half(c);
    c->clocks = sh_rng_chance(&c->rng, 1, 3);
    c->leaves = sh_rng_chance(&c->rng, 1, 3);
    c->slow_links = half(c);
    c->slow_disks = half(c);
    c->failing_disks = sh_rng_chance(&c->rng, 1, 4);
    c->act_us = between(c, 50 * MS, 800 * MS);
    c->submit_us = between(c, 20 * MS, 300 * MS);
    struct sim_net_options net = {
        .latency_us = half(c) ? between(c, 100, 1 * MS) : between(c, 1 * MS, 20 * MS),
        .jitter_us = half(c) ? between(c, 50, 1 * MS) : between(c, 1 * MS, 30 * MS),
        .loss_ppm = half(c) ? 0 : (uint32_t)between(c, 1000, 300000),
        .duplicate_ppm = half(c) ? 0 : (uint32_t)between(c, 1000, 300000),
        .capacity = half(c) ? 1000 : (uint32_t)between(c, 8, 64)};
    sim_set_net(sim, &net);
    sim->options.disk.write_us = between(c, 10, 2 * MS);
    sim->options.disk.sync_us = half(c) ? between(c, 100, 2 * MS) : between(c, 2 * MS, 40 * MS);
}

static uint32_t any(struct sim_chaos *c, const struct sim *sim)
{
    return (uint32_t)sh_rng_below(&c->rng, sim->agent_count);
}

static void set_links(struct sim *sim, uint32_t side, bool from_in, bool to_in, bool cut)
{
    for (uint32_t i = 0; i < sim->agent_count; i++) {
        for (uint32_t k = 0; k < sim->agent_count; k++) {
            bool in = (side >> i & 1) != 0;
            bool other_in = (side >> k & 1) != 0;
            if (i != k && in == from_in && other_in == to_in) {
                sim_cut(sim, i, k, cut);
            }
        }
    }
}

/* side: bit i is agent i. */
static void split(struct sim_chaos *c, struct sim *sim, uint32_t side)
{
    bool one_way = c->one_way && half(c);
    char names[2 * SIM_AGENTS_MAX + 1];
    uint32_t used = 0;
    for (uint32_t i = 0; i < sim->agent_count; i++) {
        if ((side >> i & 1) != 0) {
            names[used++] = sim_name(i)[0];
            names[used++] = ' ';
        }
    }
    names[used > 0 ? used - 1 : 0] = '\0';
    set_links(sim, side, true, false, true);
    set_links(sim, side, false, true, !one_way);
    sim_note(sim, SIM_NOTE_FAULT, one_way ? "%s: heard by nobody outside" : "%s: cut off", names);
}

static void mend(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->agent_count; i++) {
        for (uint32_t k = 0; k < sim->agent_count; k++) {
            sim->links[i][k].cut = false;
            sim->links[i][k].extra_us = 0;
        }
    }
    sim_note(sim, SIM_NOTE_FAULT, "all links are whole");
}

static void partition(struct sim_chaos *c, struct sim *sim)
{
    uint32_t leader;
    switch (sh_rng_below(&c->rng, 4)) {
    case 0:
        split(c, sim, (uint32_t)sh_rng_below(&c->rng, UINT64_C(1) << sim->agent_count));
        break;
    case 1:
        split(c, sim, UINT32_C(1) << any(c, sim));
        break;
    case 2:
        if (sim_leader(sim, &leader)) {
            split(c, sim, UINT32_C(1) << leader);
        }
        break;
    default:
        mend(sim);
        break;
    }
}

static void crash(struct sim_chaos *c, struct sim *sim)
{
    uint32_t agent = any(c, sim);
    if (sim->agents[agent]->up && half(c)) {
        sim_crash(sim, agent, half(c) ? SIM_KILL : SIM_POWER);
    } else {
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

static void slow_link(struct sim_chaos *c, struct sim *sim)
{
    uint32_t a = any(c, sim);
    uint32_t b = any(c, sim);
    if (a != b) {
        sim_slow_link(sim, a, b, half(c) ? 0 : between(c, 10 * MS, 400 * MS));
    }
}

static void act(struct sim_chaos *c, struct sim *sim)
{
    uint64_t what = sh_rng_below(&c->rng, 9);
    if (what == 0 && c->partitions) {
        partition(c, sim);
    } else if (what == 1 && c->crashes) {
        crash(c, sim);
    } else if (what == 2 && c->pauses) {
        pause_or_resume(c, sim);
    } else if (what == 3 && c->clocks) {
        sim_stall_clock(sim, any(c, sim), between(c, 10 * MS, 2 * SECOND));
    } else if (what == 4 && c->slow_links) {
        slow_link(c, sim);
    } else if (what == 5 && c->slow_disks) {
        sim_slow_disk(sim, any(c, sim), half(c) ? 0 : between(c, 10 * MS, 500 * MS));
    } else if (what == 6 && c->failing_disks) {
        sim_fail_disk(sim, any(c, sim), half(c));
    } else if (what == 7 && c->leaves) {
        sim_leave(sim, any(c, sim));
    } else if (what == 8) { /* what ended must come back, or nothing is left to look at */
        sim_restart(sim, any(c, sim));
        sim_resume(sim, any(c, sim));
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

/* Once a round the leader of the moment is hit, so that leadership does move. */
static void aim(struct sim_chaos *c, struct sim *sim)
{
    uint32_t leader;
    if (!sim_leader(sim, &leader)) {
        return;
    }
    c->aimed = true;
    switch (sh_rng_below(&c->rng, 4)) {
    case 0:
        sim_crash(sim, leader, SIM_KILL);
        break;
    case 1:
        sim_crash(sim, leader, SIM_POWER);
        break;
    case 2:
        sim_pause(sim, leader);
        break;
    default:
        split(c, sim, UINT32_C(1) << leader);
        break;
    }
}

void sim_chaos_storm(struct sim_chaos *chaos, struct sim *sim, uint64_t for_us)
{
    uint64_t end = sim->now_us + for_us;
    draw(chaos, sim);
    chaos->next_act_us = sim->now_us;
    chaos->next_submit_us = sim->now_us;
    chaos->aimed = false;
    chaos->aimed_us = sim->now_us + between(chaos, for_us / 8, for_us / 2);
    while (sim->now_us < end && sim_failure(sim) == NULL) {
        uint64_t next =
            chaos->next_act_us < chaos->next_submit_us ? chaos->next_act_us : chaos->next_submit_us;
        next = next < end ? next : end;
        sim_run_until(sim, next);
        if (chaos->next_submit_us <= next) {
            submit(chaos, sim);
            chaos->next_submit_us = next + between(chaos, 1, 2 * chaos->submit_us);
        }
        if (chaos->next_act_us <= next) {
            act(chaos, sim);
            chaos->next_act_us = next + between(chaos, 1, 2 * chaos->act_us);
        }
        if (!chaos->aimed && chaos->aimed_us <= next) {
            aim(chaos, sim);
        }
    }
}

/* Whoever was leaving when everything was healed ends only now. */
static void restart_those_that_left(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->agent_count; i++) {
        if (!sim->agents[i]->up && sim->agents[i]->leave_us != 0) {
            sim_restart(sim, i);
        }
    }
}

void sim_chaos_calm(struct sim *sim, uint64_t within_us)
{
    uint64_t end = sim->now_us + within_us;
    struct sim_options quiet = sim_options_default();
    sim_heal(sim);
    sim->options.net = quiet.net;
    sim->options.disk = quiet.disk;
    sim_note(sim, SIM_NOTE_FAULT, "everything is healed");
    while (sim_failure(sim) == NULL && !sim_converged(sim)) {
        restart_those_that_left(sim);
        if (sim->now_us >= end) {
            sim_check_fail(&sim->check, "liveness: %llu s after healing: %s",
                           (unsigned long long)(within_us / SECOND), sim_unconverged(sim));
            return;
        }
        sim_run_until(sim, sim->now_us + 100 * MS);
    }
}

static bool reached(const struct sim *sim, const struct sim_goal *goal)
{
    return sim->counts.events >= goal->events &&
           sim->counts.leader_changes >= goal->leader_changes && sim->check.units >= goal->units;
}

void sim_chaos_run(struct sim_chaos *chaos, struct sim *sim, const struct sim_goal *goal)
{
    if (half(chaos)) { /* else the cluster is born in the storm */
        sim_chaos_calm(sim, SIM_CONVERGE_US);
    }
    for (uint32_t round = 0; round < ROUNDS_MAX && sim_failure(sim) == NULL; round++) {
        if (reached(sim, goal)) {
            return;
        }
        sim_chaos_storm(chaos, sim, between(chaos, 5 * SECOND, 25 * SECOND));
        sim_chaos_calm(sim, SIM_CONVERGE_US);
    }
    if (!reached(sim, goal)) {
        sim_check_fail(&sim->check, "after %d storms still too few events, leaders or units",
                       ROUNDS_MAX);
    }
}
