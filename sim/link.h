/* SPDX-License-Identifier: Apache-2.0
 *
 * One direction of a path between two nodes: what becomes of a message that is sent over it. */
#ifndef SIM_LINK_H
#define SIM_LINK_H

#include "base/rng.h"

struct sim_net_options {
    uint64_t latency_us;    /* shortest one-way delay */
    uint64_t jitter_us;     /* mean of what is added to it, exponentially distributed */
    uint32_t loss_ppm;      /* messages that vanish */
    uint32_t duplicate_ppm; /* messages that arrive twice */
    uint32_t capacity;      /* messages on their way in one direction of a link; more are refused */
};

struct sim_link {
    bool cut;
    uint64_t extra_us;
    uint64_t clogged_us; /* until then nothing arrives */
    uint64_t newest_us;  /* when the last message sent arrives */
    uint32_t on_the_way; /* its owner counts down what has arrived */
};

struct sim_passage {
    bool refused; /* the link is full */
    bool overtakes;
    uint32_t copies; /* 0: it vanishes, silently, as on a wire */
    uint64_t at_us[2];
};

/* Exponentially distributed around mean, in integers only. */
uint64_t sim_about(struct sh_rng *rng, uint64_t mean);
/* Draws what becomes of a message sent now, and counts it as on its way. */
struct sim_passage sim_link_send(struct sim_link *link, const struct sim_net_options *net,
                                 struct sh_rng *rng, uint64_t now_us);
/* When something that is never lost arrives, as the news of a broken connection. */
uint64_t sim_link_arrival(struct sim_link *link, const struct sim_net_options *net,
                          struct sh_rng *rng, uint64_t now_us);
/* The ranges of TigerBeetle's VOPR (docs/internals/vopr.md), and milder ones for half of the seeds:
 * where everything is always bad little gets done. */
void sim_net_draw(struct sh_rng *rng, struct sim_net_options *net);

#endif
