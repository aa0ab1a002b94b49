/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/link.h"

#define MS UINT64_C(1000)

/* -ln(u) for u uniform in (0, 1], scaled: the leading zeros give log2 and a straight line the rest.
 */
uint64_t sim_about(struct sh_rng *rng, uint64_t mean)
{
    uint64_t r = sh_rng_u64(rng) | 1;
    uint64_t zeros = (uint64_t)__builtin_clzll(r);
    uint64_t fraction = zeros == 63 ? 0 : (r << (zeros + 1)) >> 48; /* 16 bits of the mantissa */
    uint64_t log2 = (zeros << 16) + (65536 - fraction);             /* -log2(u), 16.16 */
    return (mean * log2 / 65536) * 45426 / 65536;                   /* times ln 2 */
}

static uint64_t arrival(struct sim_link *link, const struct sim_net_options *net,
                        struct sh_rng *rng, uint64_t now_us, bool *overtakes)
{
    uint64_t from = link->clogged_us > now_us ? link->clogged_us : now_us;
    uint64_t at = from + net->latency_us + link->extra_us +
                  sim_about(rng, net->jitter_us + link->extra_us / 8);
    *overtakes = *overtakes || at < link->newest_us;
    link->newest_us = at > link->newest_us ? at : link->newest_us;
    return at;
}

uint64_t sim_link_arrival(struct sim_link *link, const struct sim_net_options *net,
                          struct sh_rng *rng, uint64_t now_us)
{
    bool overtakes = false;
    return arrival(link, net, rng, now_us, &overtakes);
}

struct sim_passage sim_link_send(struct sim_link *link, const struct sim_net_options *net,
                                 struct sh_rng *rng, uint64_t now_us)
{
    struct sim_passage p = {.refused = link->on_the_way >= net->capacity};
    if (p.refused || link->cut || sh_rng_chance(rng, net->loss_ppm, 1000000)) {
        return p;
    }
    p.copies = sh_rng_chance(rng, net->duplicate_ppm, 1000000) ? 2 : 1;
    for (uint32_t i = 0; i < p.copies; i++) {
        p.at_us[i] = arrival(link, net, rng, now_us, &p.overtakes);
    }
    link->on_the_way += p.copies;
    return p;
}

static bool half(struct sh_rng *rng)
{
    return sh_rng_chance(rng, 1, 2);
}

void sim_net_draw(struct sh_rng *rng, struct sim_net_options *net)
{
    net->latency_us =
        half(rng) ? sh_rng_between(rng, 100, 1 * MS) : sh_rng_between(rng, 1 * MS, 30 * MS);
    net->jitter_us =
        half(rng) ? sh_rng_between(rng, 50, 1 * MS) : sh_rng_between(rng, 1 * MS, 100 * MS);
    net->loss_ppm = half(rng) ? 0 : (uint32_t)sh_rng_between(rng, 1000, 300000);
    net->duplicate_ppm = half(rng) ? 0 : (uint32_t)sh_rng_between(rng, 1000, 500000);
    net->capacity = half(rng) ? 1000 : (uint32_t)sh_rng_between(rng, 2, 64);
}
