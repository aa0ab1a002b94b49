/* SPDX-License-Identifier: Apache-2.0
 *
 * Secure aggregation: the sum of the vectors of n members, and nothing else about any of them, goes
 * to whoever aggregates. Bonawitz et al., "Practical secure aggregation for privacy-preserving
 * machine learning", CCS 2017; the sparse graph is that of Bell et al., "Secure single-server
 * aggregation with (poly)logarithmic overhead", CCS 2020.
 *
 *     R0 keys     each member makes two X25519 key pairs for this round and signs the public ones
 *                 with its identity; all get the list, check that these are members of the cluster
 *     R1 shares   each splits two secrets, t of k, among its k neighbours, sealed to each
 *     R2 masked   each sends its vector plus a mask of its own and, for each neighbour, one that
 * the neighbour takes off again R3 consent  each signs the set of those whose vectors arrived, if
 * it is in it R4 reveal   who sees t neighbours agree on one set gives, for each neighbour, a share
 * of the own mask's seed if it is in the set, else of the key of its pairwise masks: never both,
 * which would unmask it
 *
 * A member drops out at any phase by saying nothing more. With fewer than `survivors_min` vectors,
 * or fewer than t shares of some secret, there is no sum, and nothing is revealed. Fewer than t
 * members who put together with the aggregator all that they know learn nothing of another's vector
 * but what the sum tells.
 *
 * Not covered: members who send false vectors (a rule against liars needs to see vectors), and a
 * cluster whose members are mostly one person.
 *
 * client.h is a member's part, server.h the aggregator's, message.h what they say to each other;
 * all plain values, no clock, no socket. This header: who needs whom. */
#ifndef SECAGG_PLAN_H
#define SECAGG_PLAN_H

#include "base/bytes.h"
#include "base/limits.h"
#include "trust/trust.h"

#include <stdbool.h>
#include <stdint.h>

#define SECAGG_MEMBERS_MIN    3u
#define SECAGG_MEMBERS_MAX    1024u
#define SECAGG_COMPLETE_MAX   64u  /* up to so many members all are neighbours */
#define SECAGG_NEIGHBOURS_MAX 254u /* shares lie at points 1 .. 255 of a field of 256 */
#define SECAGG_KEY_BYTES      32u
#define SECAGG_DIGEST_BYTES   32u

_Static_assert(SECAGG_MEMBERS_MAX >= SH_NODES_MAX, "a round of the whole cluster");

/* Which sum this is: part of everything that is signed, sealed or derived. */
struct secagg_round {
    uint8_t cluster[SH_CLUSTER_ID_BYTES];
    uint64_t job;
    uint64_t round;
    uint64_t generation; /* of the attempt at this round: no two attempts have the same */
    uint64_t count;      /* elements of a vector */
    uint32_t bits;       /* sums are taken modulo 2^bits: 32 or 64 */
};

struct secagg_plan {
    uint32_t members;
    uint32_t neighbours;    /* k */
    uint32_t threshold;     /* t: shares that give a secret */
    uint32_t survivors_min; /* vectors below which there is no sum */
};

/* Up to SECAGG_COMPLETE_MAX members: k = n - 1, survivors ceil(2n / 3), t = one less, at least 2;
 * above: k = 12 log2 n, t = k / 2 + 1, with which 30 % of drop-outs at random leave some
 * neighbourhood too small less than once in 100 rounds of 1000 members. LIMIT: fewer than
 * SECAGG_MEMBERS_MIN (the sum of two tells each the other's) or more than SECAGG_MEMBERS_MAX. */
SH_MUST_USE enum sh_err secagg_plan(uint32_t members, struct secagg_plan *out);
/* The modulus that a sum of `members` values of value_bits bits, sign included, each times a weight
 * of at most weight_max, fits: 32, 64, or 0 for none. */
uint32_t secagg_modulus(uint32_t members, uint64_t weight_max, uint32_t value_bits);

/* Members of a round, by their index in the list of keys. */
struct secagg_set {
    uint32_t members; /* n: indices below it */
    uint64_t word[SECAGG_MEMBERS_MAX / 64];
};

static inline bool secagg_set_has(const struct secagg_set *set, uint32_t index)
{
    return index < set->members && (set->word[index / 64] >> (index % 64) & 1) != 0;
}

static inline void secagg_set_add(struct secagg_set *set, uint32_t index)
{
    SH_CHECK_CMP(index, <, set->members);
    set->word[index / 64] |= UINT64_C(1) << (index % 64);
}

uint32_t secagg_set_count(const struct secagg_set *set);
bool secagg_set_equal(const struct secagg_set *a, const struct secagg_set *b);

/* Who is whose neighbour: a ring in an order that the digest of the list of keys gives, so that
 * nobody knows beforehand, each with the k / 2 before and after it. */
struct secagg_graph {
    struct secagg_plan plan;
    uint16_t order[SECAGG_MEMBERS_MAX];
    uint16_t place[SECAGG_MEMBERS_MAX];
};

void secagg_graph_init(struct secagg_graph *graph, const struct secagg_plan *plan,
                       const uint8_t digest[static SECAGG_DIGEST_BYTES]);
/* Indices of the plan.neighbours neighbours, ascending. A share for the neighbour at [i] lies at
 * point i + 1. */
void secagg_graph_neighbours(const struct secagg_graph *graph, uint32_t member,
                             uint16_t out[static SECAGG_NEIGHBOURS_MAX]);
/* Position of `other` among member's neighbours, or SECAGG_NEIGHBOURS_MAX. */
uint32_t secagg_graph_slot(const struct secagg_graph *graph, uint32_t member, uint32_t other);

#endif
