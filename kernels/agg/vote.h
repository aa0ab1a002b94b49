/* SPDX-License-Identifier: Apache-2.0
 *
 * Rules that combine the vectors of n members so that f of them, lying as they please, cannot move
 * the result far. All members count alike: a weight is the member's own word.
 *
 *     mean           no defence; what the others are measured against
 *     median         of each coordinate. Yin et al., "Byzantine-vote distributed learning", 2018
 *     trimmed mean   of each coordinate without its f smallest and f largest, the same paper
 *     Krum           the vector with the least sum of squared distances to its n - f - 2 nearest
 *     multi-Krum     the mean of the n - f with the least. Blanchard et al., "Machine learning with
 *                    adversaries", NIPS 2017
 *
 * In front of each: members with a value that is not finite are left out, and, where asked for, a
 * vector longer than `norm_bound` times the median length is shortened to that. A member left out
 * is one of the f.
 *
 * Three steps, so that several owners of slices can share the work. Each looks at its slice of all
 * vectors; what they saw is added; all judge the same sums alike; each merges its slice:
 *
 *     kn_vote_look    [offset, count) of every vector -> squares and distances    O(n^2 count)
 *     kn_vote_add     what another owner saw                                      O(n^2)
 *     kn_vote_judge   -> who is kept, and shortened by what                       O(n^2 log n)
 *     kn_vote_merge   [offset, count) of every vector -> of the result            O(n log^2 n *
 *                                                                                     count)
 *
 * Members may come in any order. What decides is values and ids, never positions: permuted members
 * give the same bits. So do equal slices, whoever looked at them, when they are added in one order.
 *
 * Distances are taken as such, not from a Gram matrix: |a|^2 + |b|^2 - 2ab cancels just where two
 * vectors are near, which is where Krum decides; and partial distances add up as partial products
 * do. Nothing here allocates. All memory is the caller's. */
#ifndef KN_AGG_VOTE_H
#define KN_AGG_VOTE_H

#include "kernels/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KN_VOTE_MEMBERS_MAX 1024u
#define KN_VOTE_LANES       64u /* coordinates sorted together */

enum kn_vote_rule {
    KN_VOTE_MEAN = 0,
    KN_VOTE_MEDIAN = 1,
    KN_VOTE_TRIMMED_MEAN = 2,
    KN_VOTE_KRUM = 3,
    KN_VOTE_MULTI_KRUM = 4,
    KN_VOTE_RULES = 5
};

struct kn_vote {
    enum kn_vote_rule rule;
    uint32_t byzantine; /* f: members that may lie */
    double norm_bound;  /* times the median length; 0: none */
};

/* "mean", "median", "trimmed_mean", "krum", "multi_krum". */
const char *kn_vote_name(enum kn_vote_rule rule);
/* True, and the rule of that name. */
bool kn_vote_find(const char *name, enum kn_vote_rule *rule);
/* Members that a rule needs to bear f liars: 2f + 1, Krum 2f + 3, the mean 1. */
uint32_t kn_vote_members_min(enum kn_vote_rule rule, uint32_t byzantine);
/* LIMIT: too many members. INVALID: too few for f, or a norm bound that is no number above 0. */
KN_MUST_USE enum kn_err kn_vote_verify(const struct kn_vote *vote, uint32_t members,
                                       struct kn_diag *diag);

/* What is seen of n vectors. The caller lends the arrays, zeroed. */
struct kn_vote_look {
    uint32_t members;
    bool *not_finite; /* [members] */
    double *square;   /* [members]: squared length */
    double *distance; /* [members * members]: squared distances; NULL: the rule is not Krum's */
};

/* Adds a slice of count coordinates; x[i] is its begin in member i's vector. */
void kn_vote_look(struct kn_vote_look *look, const float *const *x, size_t count);
/* Adds what was seen of other slices, of the same members in the same order. */
void kn_vote_add(struct kn_vote_look *look, const struct kn_vote_look *other);

enum kn_vote_fate {
    KN_VOTE_KEPT = 0,
    KN_VOTE_SHORTENED = 1,  /* kept, by factor */
    KN_VOTE_OUTVOTED = 2,   /* not chosen by Krum or multi-Krum */
    KN_VOTE_NOT_FINITE = 3, /* has a value that is no number */
    KN_VOTE_FATES = 4
};
/* "kept", "longer than the bound", ... */
const char *kn_vote_fate_text(enum kn_vote_fate fate);

struct kn_ballot {
    enum kn_vote_fate fate;
    float factor; /* what the vector is multiplied by; 1 but where shortened */
    double norm;  /* length */
    double score; /* Krum's: small is near the others */
};

struct kn_vote_verdict {
    struct kn_ballot *ballot; /* [members], lent by the caller */
    uint32_t *order;          /* [members], lent: positions of those kept, ascending by id */
    uint32_t kept;
    uint32_t byzantine; /* f without those who are left out for not being finite */
};

/* id[i] names member i: distinct; equal scores are decided by it. `scratch` has members doubles.
 * INVALID when those with finite values are too few for the rule, LIMIT as kn_vote_verify. */
KN_MUST_USE enum kn_err kn_vote_judge(const struct kn_vote *vote, const struct kn_vote_look *look,
                                      const uint64_t *id, double *scratch,
                                      struct kn_vote_verdict *verdict, struct kn_diag *diag);

/* A slice of the result: out[0, count). x as in kn_vote_look; `scratch` has KN_VOTE_LANES *
 * kept floats. out overlaps no vector. */
void kn_vote_merge(const struct kn_vote *vote, const struct kn_vote_verdict *verdict,
                   const float *const *x, size_t count, float *scratch, float *out);

#endif
