/* SPDX-License-Identifier: Apache-2.0 */
#include "secagg/plan.h"

#include "secagg/mask.h"

#include <stdlib.h>
#include <string.h>

static uint32_t ceil_log2(uint64_t x)
{
    uint32_t bits = 0;
    while (bits < 64 && (UINT64_C(1) << bits) < x) {
        bits++;
    }
    return bits;
}

enum sh_err secagg_plan(uint32_t members, struct secagg_plan *out)
{
    *out = (struct secagg_plan){.members = members};
    if (members < SECAGG_MEMBERS_MIN || members > SECAGG_MEMBERS_MAX) {
        return SH_ERR_LIMIT;
    }
    out->survivors_min = (2 * members + 2) / 3;
    if (members <= SECAGG_COMPLETE_MAX) {
        out->neighbours = members - 1;
        out->threshold = out->survivors_min - 1 > 2 ? out->survivors_min - 1 : 2;
        out->survivors_min = out->threshold + 1;
    } else {
        out->neighbours = 12 * ceil_log2(members); /* 84 to 120 */
        if (out->neighbours > members - 1) {
            out->neighbours = (members - 1) & ~1u;
        }
        out->threshold = out->neighbours / 2 + 1;
    }
    SH_CHECK_CMP(out->threshold, <=, out->neighbours);
    SH_CHECK_CMP(2 * out->threshold, >, out->neighbours);
    return SH_OK;
}

uint32_t secagg_modulus(uint32_t members, uint64_t weight_max, uint32_t value_bits)
{
    const uint32_t bits = ceil_log2(members) + ceil_log2(weight_max) + value_bits;
    if (value_bits == 0 || value_bits > 64 || bits > 64) {
        return 0;
    }
    return bits <= 32 ? 32 : 64;
}

uint32_t secagg_set_count(const struct secagg_set *set)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < set->members; i++) {
        count += secagg_set_has(set, i);
    }
    return count;
}

bool secagg_set_equal(const struct secagg_set *a, const struct secagg_set *b)
{
    return a->members == b->members && memcmp(a->word, b->word, sizeof a->word) == 0;
}

void secagg_graph_init(struct secagg_graph *graph, const struct secagg_plan *plan,
                       const uint8_t digest[static SECAGG_DIGEST_BYTES])
{
    uint8_t key[SECAGG_KEY_BYTES];
    uint64_t drawn = 0;
    SH_CHECK_CMP(plan->members, <=, SECAGG_MEMBERS_MAX);
    graph->plan = *plan;
    secagg_derive(key, digest, "graph", digest, 0, 0);
    for (uint32_t i = 0; i < plan->members; i++) {
        graph->order[i] = (uint16_t)i;
    }
    /* Fisher and Yates; 64 bits modulo at most 1024 are uniform to one part in 2^54. */
    for (uint32_t i = plan->members - 1; i > 0; i--) {
        uint64_t word[1] = {0};
        secagg_mask(64, (struct secagg_slice){.at = word, .offset = drawn, .count = 1}, key, false);
        drawn++;
        uint32_t j = (uint32_t)(word[0] % (i + 1));
        uint16_t other = graph->order[i];
        graph->order[i] = graph->order[j];
        graph->order[j] = other;
    }
    for (uint32_t i = 0; i < plan->members; i++) {
        graph->place[graph->order[i]] = (uint16_t)i;
    }
}

static int compare(const void *a, const void *b)
{
    return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

void secagg_graph_neighbours(const struct secagg_graph *graph, uint32_t member,
                             uint16_t out[static SECAGG_NEIGHBOURS_MAX])
{
    const uint32_t n = graph->plan.members;
    const uint32_t k = graph->plan.neighbours;
    SH_CHECK_CMP(member, <, n);
    const uint32_t place = graph->place[member];
    /* Of a complete graph, with k odd or even, those after it are all others. */
    const uint32_t before = k == n - 1 ? 0 : k / 2;
    for (uint32_t i = 0; i < k; i++) {
        uint32_t step = i < before ? n - 1 - i : i - before + 1;
        out[i] = graph->order[(place + step) % n];
    }
    qsort(out, k, sizeof out[0], compare);
}

uint32_t secagg_graph_slot(const struct secagg_graph *graph, uint32_t member, uint32_t other)
{
    uint16_t near[SECAGG_NEIGHBOURS_MAX];
    secagg_graph_neighbours(graph, member, near);
    for (uint32_t i = 0; i < graph->plan.neighbours; i++) {
        if (near[i] == other) {
            return i;
        }
    }
    return SECAGG_NEIGHBOURS_MAX;
}
