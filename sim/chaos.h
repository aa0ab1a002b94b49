/* SPDX-License-Identifier: Apache-2.0
 *
 * Storms. Each round draws its own parameters from the seed (which faults at all, how often, how
 * bad: swarm testing; half of them with themes, theme.h), lets faults and submits rain for a while
 * (safety: only the checkers judge), then heals, by turns only a core with a majority of the voters
 * or everyone, and demands that these converge within a bound (liveness): one leader, all
 * acknowledged jobs completed, no client waiting, all logs and tables equal. */
#ifndef SIM_CHAOS_H
#define SIM_CHAOS_H

#include "sim/sim.h"

#include "base/rng.h"

#define SIM_CONVERGE_US UINT64_C(180000000) /* bound of the second phase, virtual */

enum sim_act {
    SIM_ACT_PARTITION,
    SIM_ACT_CRASH,
    SIM_ACT_PAUSE,
    SIM_ACT_LEAVE,
    SIM_ACT_TRANSFER,
    SIM_ACT_STALL,
    SIM_ACT_JUMP,
    SIM_ACT_DRIFT,
    SIM_ACT_CLOG,
    SIM_ACT_SLOW_LINK,
    SIM_ACT_SLOW_DISK,
    SIM_ACT_FAIL_DISK,
    SIM_ACT_ROT,
    SIM_ACT_WIPE,
    SIM_ACT_COUNT
};

struct sim_theme { /* sim/theme.h */
    bool on;
    enum sim_fault fault;
    enum sim_gap gap;
    uint32_t victim; /* who is to be behind */
    uint64_t until_us;
};

struct sim_chaos {
    struct sh_rng rng; /* of its own, so that a scenario's storms do not depend on its text */
    bool acts[SIM_ACT_COUNT];
    uint32_t wipes;
    uint32_t joins;
    struct sim_theme theme;
    uint64_t theme_us;  /* mean time between two acts of the theme */
    uint64_t act_us;    /* mean time between two acts */
    uint64_t submit_us; /* mean time between two submits */
    uint64_t gap_us;    /* mean time between two crashes armed for a gap */
    uint64_t hunt_us;   /* mean time between two hits at the leader of the moment */
    uint64_t next_act_us;
    uint64_t next_hunt_us;
    uint64_t next_gap_us;
    uint64_t next_submit_us;
    uint64_t next_theme_us;
};

/* What the bar asks of every seed. */
struct sim_goal {
    uint64_t events;
    uint64_t leader_changes;
    uint64_t units;
};

void sim_chaos_init(struct sim_chaos *chaos, uint64_t seed);
/* Faults rain for so long; afterwards they are still there. */
void sim_chaos_storm(struct sim_chaos *chaos, struct sim *sim, uint64_t for_us);
/* Heals these agents (bit i: agent i; SIM_ALL) and kills the others; runs until the core has
 * converged or the bound has passed: then it is a failure. */
void sim_chaos_calm(struct sim *sim, uint32_t core, uint64_t within_us);
/* Where somebody leads: for some seconds submits come faster than a round trip takes. Some of them
 * must be acknowledged before they end, else it is a failure. */
void sim_chaos_press(struct sim *sim);
/* Storm and calm by turns until the goal is reached. */
void sim_chaos_run(struct sim_chaos *chaos, struct sim *sim, const struct sim_goal *goal);

#endif
