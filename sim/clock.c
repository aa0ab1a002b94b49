/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/parts.h"

uint64_t sim_local(const struct sim *sim, const struct sim_agent *a)
{
    const struct sim_clock *c = &a->clock;
    if (sim->now_us < c->stall_until) {
        return c->stall_from + c->base - c->lag;
    }
    return sim->now_us + c->base - c->lag - (c->stall_until - c->stall_from);
}

uint64_t sim_wall(const struct sim *sim, const struct sim_agent *a)
{
    return SIM_WALL_US + sim_local(sim, a);
}

uint64_t sim_world(const struct sim_agent *a, uint64_t local_us)
{
    const struct sim_clock *c = &a->clock;
    if (local_us == UINT64_MAX) {
        return UINT64_MAX;
    }
    uint64_t at = local_us + c->lag;
    at = at > c->base ? at - c->base : 0;
    return at > c->stall_from ? at + (c->stall_until - c->stall_from) : at;
}

void sim_stall_clock(struct sim *sim, uint32_t agent, uint64_t for_us)
{
    struct sim_agent *a = sim->agents[agent];
    struct sim_clock *c = &a->clock;
    if (sim->now_us < c->stall_until) {
        c->stall_until += for_us; /* it stands still already */
    } else {
        c->lag += c->stall_until - c->stall_from;
        c->stall_from = sim->now_us;
        c->stall_until = sim->now_us + for_us;
    }
    sim_note(sim, SIM_NOTE_FAULT, "the clock of %s stands still for %llu ms", sim_name(agent),
             (unsigned long long)(for_us / 1000));
    /* An armed timer that comes too early finds nothing due and is armed again. */
}
