/* SPDX-License-Identifier: Apache-2.0
 *
 * Training in virtual time, with gradients that are drawn instead of computed: the real cores of
 * mesh/fed, mesh/round and agent/train/gang.h with the real sums and rules of kernels/agg, on the
 * simulator's clock, network and faults. Two worlds:
 *
 *   federated   a thousand members and a few agents that can lead, on partitions, churn,
 *               stragglers, losses and liars. Which leader commits is decided by a majority.
 *   together    synchronous training of up to WIRE_MEMBERS_MAX members over up to 256 ranks.
 *               Generations are decided by a majority of voters.
 *
 * What "committed by a majority" means is played by one ledger in the middle: whoever proposes must
 * reach a majority of the voters at that moment, and nothing newer may be committed. Raft itself is
 * the other simulation's business (sim/sim.h).
 *
 * A storm first, in which every property is judged at every event; then all is healed, and the rest
 * must be over within a bound. The first broken property ends the run. Equal seeds, equal runs. */
#ifndef SIM_TRAIN_H
#define SIM_TRAIN_H

#include <stdbool.h>
#include <stdint.h>

#define SIM_FED_MEMBERS_MAX  1000u /* members of a federated run, and the usual number of them */
#define SIM_FED_MEMBERS_MIN  500u  /* fewer are no sample: the liars among them vary too much */
#define SIM_GANG_MEMBERS_MAX 32u   /* of one gang, as WIRE_MEMBERS_MAX */

/* Where a member of synchronous training is when a fault falls on it. */
#define SIM_PHASE_MAP(X)                                                                           \
    X(0, OUT, "out")                                                                               \
    X(1, MEETS, "meets")                                                                           \
    X(2, FETCHES, "fetches")                                                                       \
    X(3, COMPUTES, "computes")                                                                     \
    X(4, PARTS, "parts")                                                                           \
    X(5, REDUCES, "reduces")                                                                       \
    X(6, RESULTS, "results")                                                                       \
    X(7, BETWEEN, "between")

enum sim_phase {
#define X(number, name, text) SIM_PHASE_##name = number,
    SIM_PHASE_MAP(X)
#undef X
        SIM_PHASE_COUNT = 8
};

enum sim_blow { /* what falls on it */
                SIM_BLOW_KILL,
                SIM_BLOW_FREEZE,
                SIM_BLOW_CUT,
                SIM_BLOW_COUNT
};

struct sim_fed_counts {
    uint64_t rounds; /* closed and committed, with a model or without */
    uint64_t models; /* with one */
    uint64_t updates;
    uint64_t late; /* updates that were refused or counted in a later round */
    uint64_t leaders;
    uint64_t longest;  /* time from OPEN to CLOSE, in thousandths of the bound */
    uint64_t estimate; /* distance from the truth in the end, in thousandths of a deviation */
    uint64_t plain;    /* that of plain averaging, */
    bool spoils;       /* under an attack that spoils averages */
};

struct sim_gang_counts {
    uint64_t generations;
    uint64_t steps;    /* of the line of states */
    uint64_t finished; /* by members */
    uint64_t fetched;  /* states */
    uint64_t slowest;  /* steps after healing, in thousandths of the bound on their time */
    uint64_t blows[SIM_BLOW_COUNT][SIM_PHASE_COUNT];
};

struct sim_train_counts {
    struct sim_fed_counts fed;
    struct sim_gang_counts gang;
};

struct sim_verdict; /* sim/scenario.h */

void sim_fed_run(uint64_t seed, uint32_t members, struct sim_verdict *verdict);
/* members 0: drawn by the seed. */
void sim_gang_run(uint64_t seed, uint32_t members, struct sim_verdict *verdict);
const char *sim_phase_name(enum sim_phase phase);
const char *sim_blow_name(enum sim_blow blow);

#endif
