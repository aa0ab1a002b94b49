/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to sim/: what clients asked for, and what they were told. */
#ifndef SIM_ASKED_H
#define SIM_ASKED_H

#include "sim/sim.h"

struct sim_ask { /* a client's request */
    struct sim_job job;
    bool retry;
    bool waiting; /* an attempt is under way */
    uint64_t begun_us;
    uint64_t acked_us;
    uint32_t attempt;
    uint32_t agent;
    struct sim_request seen;
};

struct sim_read { /* of one job, by a client */
    uint32_t request;
    uint32_t progress; /* 1 + units committed; 0: there is no such job */
    uint64_t job;
    uint64_t begun_us;
    uint64_t done_us; /* 0: no answer */
};

#endif
