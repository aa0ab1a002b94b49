/* SPDX-License-Identifier: Apache-2.0
 *
 * Learns the hallway by policy gradient: REINFORCE with a baseline (Williams, 1992; Sutton and
 * Barto, "Reinforcement Learning", 2nd edition, 13.4), both as tables over what the walker sees.
 *
 * An iteration plays one episode in each of `areas` areas with the policy of the moment, then takes
 * one step along the mean gradient, summed in the order of the areas. Episode e is that of area
 * e mod areas in iteration e / areas. Policy, curve and every episode follow from the config alone:
 * whoever computes them, in one go or in parts on several machines, gets the same bits. (Plain IEEE
 * operations in a fixed order and this library's own exp; built without contraction or fast-math.)
 */
#ifndef KN_RL_TRAINER_H
#define KN_RL_TRAINER_H

#include "kernels/rl/episode.h"

#define KN_RL_AREAS_MAX 1024u

struct kn_rl_config {
    struct kn_hallway_config env;
    uint32_t areas; /* 1 .. KN_RL_AREAS_MAX: env_config.num_of_areas */
    uint64_t seed;
    float rate;       /* of the policy, above 0 and at most 100 */
    float value_rate; /* of the baseline, above 0 and at most 1: its part of the way to the mean
                         return */
    float discount;   /* [0, 1]: a reward's worth one step earlier */
    float entropy;    /* [0, 1]: reward for staying undecided, against early certainty */
};

/* The default hallway, 16 areas, seed 1, rates 2 and 0.1, discount 0.99, entropy 0.002. */
struct kn_rl_config kn_rl_default(void);
/* INVALID, naming the field. */
KN_MUST_USE enum kn_err kn_rl_verify(const struct kn_rl_config *c, struct kn_diag *diag);

struct kn_rl;

/* A trainer before its first iteration; it owns 11 floats a view. INVALID or MEMORY. */
KN_MUST_USE enum kn_err kn_rl_open(struct kn_rl **out, const struct kn_rl_config *config,
                                   struct kn_diag *diag);
void kn_rl_close(struct kn_rl *t); /* NULL is nothing */

/* One finished episode of training; pointers are borrowed for the call. */
struct kn_rl_episode {
    struct kn_episode result;
    uint64_t iteration;
    uint32_t area;
    uint64_t policy_hash;   /* of the policy it was played with */
    const uint8_t *actions; /* result.length of them, for kn_episode_replay */
    uint64_t steps;         /* of training, up to the end of this episode */
};

/* Called on the caller's thread during kn_rl_iterate. Either may be NULL. */
struct kn_rl_events {
    void *context;
    void (*episode)(void *context, const struct kn_rl_episode *episode);
    /* As of struct kn_watch, for every step of every area. */
    void (*state)(void *context, const struct kn_hallway *state, enum kn_hallway_action action,
                  int32_t reward_micro);
};

/* One iteration. events may be NULL; they do not change what is learnt. NOT_FINITE where the step
 * would take policy or baseline out of the finite numbers, naming the iteration: the trainer is as
 * it was before it, though its episodes have been told. O(areas * steps + views). */
KN_MUST_USE enum kn_err kn_rl_iterate(struct kn_rl *t, const struct kn_rl_events *events,
                                      struct kn_diag *diag);

const struct kn_rl_config *kn_rl_config(const struct kn_rl *t);
uint64_t kn_rl_iterations(const struct kn_rl *t);
uint64_t kn_rl_episodes(const struct kn_rl *t);
uint64_t kn_rl_steps(const struct kn_rl *t); /* of the environment, all areas together */
/* Borrowed until the next iteration; kn_policy_count(&config.env) floats. */
const float *kn_rl_policy(const struct kn_rl *t);

/* What was gained since the last summary: one point of the curve. */
struct kn_rl_summary {
    uint64_t steps;     /* of training so far */
    uint64_t episodes;  /* in this summary */
    double mean_reward; /* of their returns; 0 for none */
    double std_reward;
};
/* Begins the next one. */
void kn_rl_summary_take(struct kn_rl *t, struct kn_rl_summary *out);

/* The whole state as bytes: config, position, tables, the summary under way; little-endian, closed
 * by a hash. Training that goes on from them ends with the same bytes as training that never
 * stopped. */
size_t kn_rl_state_size(const struct kn_rl *t);
void kn_rl_encode(const struct kn_rl *t, uint8_t *bytes); /* kn_rl_state_size of them */
/* From foreign bytes: CORRUPT, INVALID (a config out of range), UNSUPPORTED (another version) or
 * MEMORY; then *out is NULL. */
KN_MUST_USE enum kn_err kn_rl_decode(struct kn_rl **out, const uint8_t *bytes, size_t size,
                                     struct kn_diag *diag);

/* Plays episode `number` of training again. The trainer stands at or before its iteration (fresh
 * from the config, or decoded from any earlier state) and is taken there, silently; then the policy
 * must be the one named and the episode is played. INVALID: the trainer is past it; CORRUPT:
 * another policy, so another config, seed or arithmetic than the run that is asked about;
 * NOT_FINITE as of iterate. O(iterations between). */
KN_MUST_USE enum kn_err kn_rl_replay(struct kn_rl *t, uint64_t number, uint64_t policy_hash,
                                     const struct kn_watch *watch, struct kn_episode *out,
                                     struct kn_diag *diag);

#endif
