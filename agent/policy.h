/* SPDX-License-Identifier: Apache-2.0
 *
 * When the owner of a machine lets it work for the cluster. What runs goes on; new units go
 * elsewhere. */
#ifndef AGENT_POLICY_H
#define AGENT_POLICY_H

#include "wire/node.h"

#define POLICY_SUPPLIES "/sys/class/power_supply"

struct policy_rules {    /* all zero: always */
    uint16_t busy_milli; /* of its cores used by others, from which on it is busy; 0: never */
    bool hours;          /* works only from `from` on and before `to`, in minutes of the day; */
    uint16_t from;       /* over midnight where from is the later one */
    uint16_t to;
    bool mains; /* only where no battery feeds it */
};

struct policy_state {
    uint16_t load_milli; /* of its cores that others use */
    uint16_t minute;     /* of the local day */
    bool battery;
};

/* before: what it was; a busy machine is free again a tenth below where it became busy. */
enum wire_policy policy_judge(const struct policy_rules *rules, const struct policy_state *state,
                              enum wire_policy before);
/* "20:00-08:00" into hours, from and to; false: it is none, or both are the same time. */
bool policy_hours_read(const char *text, struct policy_rules *rules);
/* By the supplies of a folder as Linux has it: a battery that discharges, and no mains. Where
 * nothing is told: false. */
bool policy_on_battery(const char *folder);

#endif
