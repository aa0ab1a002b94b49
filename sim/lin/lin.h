/* SPDX-License-Identifier: Apache-2.0
 *
 * Judges a history of calls: is there an order of them, one at a time, that respects which call
 * ended before which other began, and in which every answer is the one that a sequential machine
 * gives? (Herlihy and Wing, "Linearizability", 1990.) The search is that of Wing and Gong ("Testing
 * and verifying concurrent objects", 1993) with Lowe's memory of configurations ("Testing for
 * linearizability", 2017): a set of calls already ordered, and the state after them, is visited
 * once. Keys are judged apart: a history is linearizable where its part for every key is (locality,
 * section 3.1 of Herlihy and Wing).
 *
 * A call without an answer may have happened at any time after it began, or never. Four rules keep
 * such calls, and reads, from multiplying the search; none changes a verdict:
 *   of open calls that ask for the same, the one that began first is ordered first;
 *   an open call that would leave the state as it is, is not ordered at all;
 *   nor is one directly before a call after which the state is the same whatever it was;
 *   a call that never changes the state is ordered as soon as its answer is right.
 * In the worst case the search is exponential in the number of calls under way at once. */
#ifndef LIN_LIN_H
#define LIN_LIN_H

#include <stdbool.h>
#include <stdint.h>

#define LIN_NEVER      UINT64_MAX
#define LIN_OPS_MAX    (1u << 20)           /* calls of one history */
#define LIN_BUDGET     UINT64_C(20000000)   /* configurations, a good default */
#define LIN_SEEN_BYTES UINT64_C(2147483648) /* memory of configurations, per key */

enum lin_verdict {
    LIN_OK,
    LIN_ILLEGAL, /* no order explains the answers */
    LIN_UNKNOWN, /* the budget did not last */
};

struct lin_op {
    uint64_t call;   /* when it began; any unit, one clock */
    uint64_t done;   /* when its answer came, >= call; LIN_NEVER: no answer */
    uint64_t arg[3]; /* the model's: what was asked, what was answered */
    uint32_t verb;   /* the model's */
    uint32_t key;
    uint32_t line; /* for reports: where it stands */
    bool reads;    /* it changes no state, whatever the state is */
    bool sets;     /* it is possible in every state, and the state after it is always the same */
};

/* The sequential machine: whether op may be the next in this state with the answer that it had (an
 * op without answer: with any), and the state after it. Equal arguments give equal results. */
typedef bool lin_step(void *ctx, uint64_t state, const struct lin_op *op, uint64_t *next);

struct lin_report {
    enum lin_verdict verdict;
    uint32_t keys;   /* judged */
    uint32_t key;    /* the one that is not OK */
    uint32_t line;   /* ILLEGAL: the call that no order could go beyond, in the longest one found */
    uint64_t states; /* configurations visited, all keys together */
};

/* ops are sorted in place by key and call. budget: configurations for all keys together. Keys are
 * judged until one is not OK. */
void lin_check(struct lin_op *ops, uint32_t count, uint64_t init, lin_step *step, void *ctx,
               uint64_t budget, struct lin_report *report);
const char *lin_verdict_name(enum lin_verdict verdict); /* "OK", "ILLEGAL", "UNKNOWN" */

#endif
