/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/theme.h"

#include "sim/parts.h"

enum { JOINS_MAX = 5, DRIFT_PPM = 50000 };

#define MS     UINT64_C(1000)
#define SECOND (1000 * MS)

static uint64_t between(struct sim_chaos *c, uint64_t low, uint64_t high)
{
    return sh_rng_between(&c->rng, low, high);
}

static bool one_in(struct sim_chaos *c, uint32_t n)
{
    return sh_rng_chance(&c->rng, 1, n);
}

static uint32_t any(struct sim_chaos *c, const struct sim *sim)
{
    return (uint32_t)sh_rng_below(&c->rng, sim->agent_count);
}

/* Anyone but the leader of the moment: with it much of what is waited for would stand still. */
static uint32_t any_follower(struct sim_chaos *c, const struct sim *sim)
{
    uint32_t leader = SIM_AGENTS_MAX;
    uint32_t agent = any(c, sim);
    (void)sim_leader(sim, &leader);
    return agent == leader ? (agent + 1) % sim->agent_count : agent;
}

/* A snapshot takes longer to come about than what happens with every entry. */
static enum sim_gap some_gap(struct sim_chaos *c)
{
    static const enum sim_gap SELDOM[] = {
        SIM_GAP_CONF_STEP,  SIM_GAP_HANDLE_KEPT, SIM_GAP_COMPACTING, SIM_GAP_COMPACTED,
        SIM_GAP_SERVED,     SIM_GAP_PULLED,      SIM_GAP_FETCHED,    SIM_GAP_FETCHED,
        SIM_GAP_INSTALLING, SIM_GAP_INSTALLING,  SIM_GAP_INSTALLED,  SIM_GAP_INSTALLED};
    return one_in(c, 2) ? SELDOM[sh_rng_below(&c->rng, SH_COUNT(SELDOM))]
                        : (enum sim_gap)sh_rng_below(&c->rng, SIM_GAP_COUNT);
}

/* What was wrong before is well again, but for rot. */
static void next_theme(struct sim_chaos *c, struct sim *sim)
{
    struct sim_theme *t = &c->theme;
    struct sim_net_options net = {.latency_us = between(c, 100, 2 * MS),
                                  .jitter_us = between(c, 50, 2 * MS),
                                  .capacity = 1000};
    *t = (struct sim_theme){
        .on = true,
        .fault = (enum sim_fault)between(c, SIM_FAULT_DISK_FAILS, SIM_FAULT_COUNT - 1),
        .gap = some_gap(c),
        .victim = any_follower(c, sim),
        .until_us = sim->now_us + between(c, 2 * SECOND, 5 * SECOND)};
    net.loss_ppm = t->fault == SIM_FAULT_LOSS ? (uint32_t)between(c, 1000, 100000) : 0;
    net.duplicate_ppm = t->fault == SIM_FAULT_DUPLICATE ? (uint32_t)between(c, 1000, 300000) : 0;
    sim_set_net(sim, &net);
    sim_mend(sim);
    for (uint32_t i = 0; i < sim->agent_count; i++) {
        if (sim->agents[i]->disk.extra_us > 0) {
            sim_slow_disk(sim, i, 0);
        }
        if (sim->agents[i]->clock.ppm != 0) {
            sim_drift_clock(sim, i, 0);
        }
    }
}

void sim_theme_draw(struct sim_chaos *chaos, struct sim *sim)
{
    struct sim_disk_options disk = {.write_us = between(chaos, 10, MS),
                                    .sync_us = between(chaos, 100, 5 * MS)};
    for (enum sim_act a = SIM_ACT_PARTITION; a < SIM_ACT_COUNT; a++) {
        chaos->acts[a] = false;
    }
    chaos->submit_us = between(chaos, 20 * MS, 100 * MS);
    chaos->theme_us = between(chaos, 50 * MS, 200 * MS);
    sim_set_disk(sim, &disk);
    sim_set_batch(sim, SIM_BATCH_MAX);
    sim_set_log(sim, UINT32_C(4) << between(chaos, 0, 2));
    sim_set_piece(sim, UINT32_C(512) << between(chaos, 0, 4));
    next_theme(chaos, sim);
}

/* ---- the fault ---- */

static bool any_agent(const struct sim *sim, bool (*is)(const struct sim_agent *a))
{
    for (uint32_t i = 0; i < sim->agent_count; i++) {
        if (is(sim->agents[i])) {
            return true;
        }
    }
    return false;
}

static bool is_rotten(const struct sim_agent *a)
{
    return a->rotten;
}

static bool is_paused(const struct sim_agent *a)
{
    return a->paused;
}

static bool has_failed(const struct sim_agent *a)
{
    return a->disk.failed || kv_mem_armed(a->kv);
}

static bool has_left(const struct sim_agent *a)
{
    return a->leave_us != 0;
}

static bool is_stranger(const struct sim_agent *a)
{
    return a->identity.handle == 0;
}

static void trouble_disk(struct sim_chaos *c, struct sim *sim)
{
    switch ((int)c->theme.fault) {
    case SIM_FAULT_DISK_FAILS:
        if (!any_agent(sim, has_failed)) {
            sim_fail_disk(sim, any_follower(c, sim), one_in(c, 2));
        }
        break;
    case SIM_FAULT_SLOW_DISK:
        sim_slow_disk(sim, any(c, sim), between(c, 5 * MS, 100 * MS));
        break;
    case SIM_FAULT_ROT:
        if (!any_agent(sim, is_rotten)) {
            sim_chaos_lose(c, sim, SIM_ACT_ROT);
        }
        break;
    default:
        sim_chaos_lose(c, sim, SIM_ACT_WIPE);
        break;
    }
}

static void trouble_process(struct sim_chaos *c, struct sim *sim)
{
    if (c->theme.fault == SIM_FAULT_PAUSE && !any_agent(sim, is_paused)) {
        sim_pause(sim, any_follower(c, sim));
    } else if (c->theme.fault == SIM_FAULT_LEAVE && !any_agent(sim, has_left) &&
               !any_agent(sim, is_rotten)) {
        sim_leave(sim, any(c, sim));
    }
}

static void trouble_clock(struct sim_chaos *c, struct sim *sim)
{
    if (c->theme.fault == SIM_FAULT_STALL) {
        sim_stall_clock(sim, any(c, sim), between(c, 100 * MS, SECOND));
    } else if (c->theme.fault == SIM_FAULT_JUMP) {
        sim_jump_clock(sim, any(c, sim), between(c, MS, SECOND));
    } else {
        sim_drift_clock(sim, any(c, sim), (int32_t)between(c, 1, 2 * DRIFT_PPM) - DRIFT_PPM);
    }
}

static void trouble_link(struct sim_chaos *c, struct sim *sim)
{
    uint32_t a = any_follower(c, sim);
    uint32_t b = (a + 1 + (uint32_t)sh_rng_below(&c->rng, sim->agent_count - 1)) % sim->agent_count;
    switch ((int)c->theme.fault) {
    case SIM_FAULT_PARTITION:
    case SIM_FAULT_ONE_WAY:
        sim_mend(sim);
        sim_split(sim, UINT32_C(1) << a, c->theme.fault == SIM_FAULT_ONE_WAY);
        break;
    case SIM_FAULT_CLOG:
        sim_clog(sim, a, b, between(c, 100 * MS, SECOND));
        break;
    default:
        sim_slow_link(sim, a, b, between(c, 5 * MS, 100 * MS));
        break;
    }
}

static void trouble(struct sim_chaos *c, struct sim *sim)
{
    switch (c->theme.fault) {
    case SIM_FAULT_DISK_FAILS:
    case SIM_FAULT_SLOW_DISK:
    case SIM_FAULT_ROT:
    case SIM_FAULT_WIPE:
        trouble_disk(c, sim);
        break;
    case SIM_FAULT_PAUSE:
    case SIM_FAULT_LEAVE:
        trouble_process(c, sim);
        break;
    case SIM_FAULT_STALL:
    case SIM_FAULT_JUMP:
    case SIM_FAULT_DRIFT:
        trouble_clock(c, sim);
        break;
    case SIM_FAULT_PARTITION:
    case SIM_FAULT_ONE_WAY:
    case SIM_FAULT_CLOG:
    case SIM_FAULT_SLOW_LINK:
        trouble_link(c, sim);
        break;
    case SIM_FAULT_LOSS:
    case SIM_FAULT_DUPLICATE:
    case SIM_FAULT_REORDER: /* the network of this storm does it */
    case SIM_FAULT_KILL:
    case SIM_FAULT_POWER:
    case SIM_FAULT_TORN: /* a kind of every crash */
    case SIM_FAULT_COUNT:
        break;
    }
}

/* ---- the gap ---- */

static void join(struct sim_chaos *c, struct sim *sim)
{
    if (c->theme.gap == SIM_GAP_HANDLE && any_agent(sim, is_stranger)) {
        return; /* it dies there again and again */
    }
    if (c->joins < JOINS_MAX && sim->agent_count < SIM_AGENTS_MAX && one_in(c, 3)) {
        c->joins++;
        (void)sim_add(sim);
    } else if (one_in(c, 3)) {
        sim_chaos_lose(c, sim, SIM_ACT_WIPE);
    }
}

/* The victim is away until it is behind the cut of the logs. */
static void fall_behind(struct sim_chaos *c, struct sim *sim)
{
    const struct sim_agent *v = sim->agents[c->theme.victim];
    if (one_in(c, 10)) {
        join(c, sim);
    } else if (v->up && v->pull.state == SIM_IDLE && v->apply.applied + 1 >= sim->check.applied) {
        sim_crash(sim, c->theme.victim, sim_chaos_loss(c));
    }
}

static bool takes_snapshot(enum sim_gap gap)
{
    return gap >= SIM_GAP_PULLED && gap <= SIM_GAP_INSTALLED;
}

/* What makes somebody come to the gap. */
static void lure(struct sim_chaos *c, struct sim *sim)
{
    enum sim_gap gap = c->theme.gap;
    if (gap == SIM_GAP_CONF_STEP || gap == SIM_GAP_CONF_KEPT || gap == SIM_GAP_HANDLE ||
        gap == SIM_GAP_HANDLE_KEPT) {
        join(c, sim);
    } else if (gap == SIM_GAP_SERVED || takes_snapshot(gap)) {
        fall_behind(c, sim);
    } else if (gap == SIM_GAP_ELECTED || gap == SIM_GAP_VOTE_ASKED || gap == SIM_GAP_VOTE_KEPT) {
        sim_chaos_hunt(c, sim);
    } else if (gap == SIM_GAP_BOOT && one_in(c, 2)) {
        sim_crash(sim, any(c, sim), sim_chaos_loss(c));
    } /* else submits do */
}

/* One at a time, so that the others go on. Who takes a snapshot is the one that was away; who
 * learns its handle is new; who will be elected nobody knows. */
static void arm(struct sim_chaos *c, struct sim *sim)
{
    uint32_t agent = any(c, sim);
    for (uint32_t i = 0; i < sim->agent_count; i++) {
        bool victim = takes_snapshot(c->theme.gap) && i == c->theme.victim;
        if (i == agent || victim || is_stranger(sim->agents[i]) ||
            c->theme.gap == SIM_GAP_ELECTED) {
            sim_crash_in(sim, i, sim_chaos_loss(c), c->theme.gap);
        }
    }
}

static bool is_kept(const struct sim_chaos *c, const struct sim_agent *a)
{
    switch ((int)c->theme.fault) {
    case SIM_FAULT_PAUSE:
        return a->paused;
    case SIM_FAULT_LEAVE:
        return a->leave_us != 0;
    case SIM_FAULT_DISK_FAILS:
        return has_failed(a);
    default:
        return a->number == c->theme.victim && takes_snapshot(c->theme.gap);
    }
}

static void bring_back(struct sim_chaos *c, struct sim *sim)
{
    for (uint32_t i = 0; i < sim->agent_count; i++) {
        if (one_in(c, is_kept(c, sim->agents[i]) ? 8 : 2)) {
            sim_restart(sim, i);
            sim_resume(sim, i);
        }
    }
}

void sim_theme_act(struct sim_chaos *chaos, struct sim *sim)
{
    if (chaos->theme.until_us <= sim->now_us) {
        next_theme(chaos, sim);
    }
    trouble(chaos, sim);
    lure(chaos, sim);
    arm(chaos, sim); /* before: some gaps are passed in the very call that starts an agent */
    bring_back(chaos, sim);
}
