/* SPDX-License-Identifier: Apache-2.0
 *
 * What changes about this machine while its agent runs: how busy others keep it, free disk, its
 * owner's policy. And the self-test that ends a quarantine. A thread of its own, because it looks
 * at every process of the machine and waits for the disk. */
#ifndef AGENT_VITALS_H
#define AGENT_VITALS_H

#include "service.h"

#define VITALS_EVERY_US UINT64_C(5000000)

struct vitals;

struct vitals_state {
    uint16_t load_milli; /* of its cores that others use */
    uint64_t disk_bytes; /* free where the agent keeps its files */
    enum wire_policy policy;
};

/* Measures once, what needs two looks is 0, and writes it into the agent's own record. */
SH_MUST_USE enum sh_err vitals_open(struct vitals **out, struct service *s);
SH_MUST_USE enum sh_err vitals_start(struct vitals *v);
void vitals_stop(struct vitals *v);
void vitals_close(struct vitals *v);
/* Any thread, never blocks. */
void vitals_read(struct vitals *v, struct vitals_state *out);
/* The tables say something new about agents: perhaps this one is to test itself. Likewise. */
void vitals_wake(struct vitals *v);

#endif
