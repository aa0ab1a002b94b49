/* SPDX-License-Identifier: Apache-2.0
 *
 * An agent's clock is a straight line through (from_world, from_local), after a while of standing
 * still. Whatever happens to the clock begins a new line where the old one ended. */
#include "sim/parts.h"

enum { MILLION = 1000000 };

uint64_t sim_local(const struct sim *sim, const struct sim_agent *a)
{
    const struct sim_clock *c = &a->clock;
    if (sim->now_us <= c->from_world) {
        return c->from_local;
    }
    uint64_t gone = sim->now_us - c->from_world;
    int64_t more = (int64_t)gone * c->ppm / MILLION;
    return (uint64_t)((int64_t)(c->from_local + gone) + more);
}

uint64_t sim_wall(const struct sim *sim, const struct sim_agent *a)
{
    return SIM_WALL_US + sim_local(sim, a);
}

uint64_t sim_world(const struct sim_agent *a, uint64_t local_us)
{
    const struct sim_clock *c = &a->clock;
    if (local_us == UINT64_MAX || local_us <= c->from_local) {
        return local_us == UINT64_MAX ? UINT64_MAX : c->from_world;
    }
    uint64_t gone = local_us - c->from_local;
    if (c->ppm == 0) {
        return c->from_world + gone;
    }
    uint64_t speed = (uint64_t)(MILLION + c->ppm);
    /* Rounded up, and by one more than the reading rounds down: never too early. */
    return c->from_world + gone / speed * MILLION + gone % speed * MILLION / speed + 2;
}

/* What was armed by the old line comes early and finds nothing due, or is put forward here. */
static void bend(struct sim *sim, struct sim_agent *a, uint64_t still_us, uint64_t jump_us,
                 int32_t ppm)
{
    struct sim_clock *c = &a->clock;
    uint64_t local = sim_local(sim, a);
    uint64_t from = c->from_world > sim->now_us ? c->from_world : sim->now_us;
    *c = (struct sim_clock){
        .from_world = from + still_us, .from_local = local + jump_us, .ppm = ppm};
    if (sim_runs(a)) {
        a->timer_at = UINT64_MAX;
        sim_agent_arm(sim, a);
    }
}

void sim_stall_clock(struct sim *sim, uint32_t agent, uint64_t for_us)
{
    struct sim_agent *a = sim->agents[agent];
    sim_act(sim, "stall-clock %s %lluus", sim_name(agent), (unsigned long long)for_us);
    bend(sim, a, for_us, 0, a->clock.ppm);
    sim_note(sim, SIM_NOTE_FAULT, "the clock of %s stands still for %llu ms", sim_name(agent),
             (unsigned long long)(for_us / 1000));
}

void sim_jump_clock(struct sim *sim, uint32_t agent, uint64_t by_us)
{
    struct sim_agent *a = sim->agents[agent];
    sim_act(sim, "jump-clock %s %lluus", sim_name(agent), (unsigned long long)by_us);
    bend(sim, a, 0, by_us, a->clock.ppm);
    a->jumped_us = sim->now_us;
    sim_note(sim, SIM_NOTE_FAULT, "the clock of %s jumps by %llu ms", sim_name(agent),
             (unsigned long long)(by_us / 1000));
}

void sim_drift_clock(struct sim *sim, uint32_t agent, int32_t ppm)
{
    SH_CHECK(ppm >= -SIM_DRIFT_PPM_MAX && ppm <= SIM_DRIFT_PPM_MAX);
    sim_act(sim, "drift-clock %s %s%d", sim_name(agent), ppm < 0 ? "" : "+", ppm);
    bend(sim, sim->agents[agent], 0, 0, ppm);
    sim_note(sim, SIM_NOTE_FAULT, "the clock of %s goes wrong by %d ppm", sim_name(agent), ppm);
}
