/* SPDX-License-Identifier: Apache-2.0
 *
 * Episodes: played with a policy, replayed from the actions that were taken, evaluated by the
 * hundred. Each is a pure function of its arguments, with the same bits everywhere. */
#ifndef KN_RL_EPISODE_H
#define KN_RL_EPISODE_H

#include "kernels/rl/hallway.h"

#include <stddef.h>

/* A policy: kn_hallway_views(config) * KN_HALLWAY_ACTIONS finite floats, the preference (logit) for
 * action a where the walker sees v at [v * KN_HALLWAY_ACTIONS + a]. Zeros walk at random. One
 * tensor, for whoever stores it as a model. */

/* Floats of a policy. */
size_t kn_policy_count(const struct kn_hallway_config *config);
/* For a policy that somebody stored: NOT_FINITE names the first float that is not finite. Playing
 * with one that is not verified ends, but means nothing. */
KN_MUST_USE enum kn_err kn_policy_verify(const float *policy, size_t count, struct kn_diag *diag);
/* Over the bits of the floats; what an episode names its policy by. Not proof against forgery:
 * where that matters, compare the digest of the stored policy too. O(count). */
uint64_t kn_policy_hash(const float *policy, size_t count);
/* Probabilities of the actions where v is seen: softmax with this library's own exp. */
void kn_policy_odds(const float *policy, uint32_t view, float odds[KN_HALLWAY_ACTIONS]);

enum kn_choice {
    KN_CHOICE_SAMPLE = 0, /* by chance, as the odds say: what training does */
    KN_CHOICE_GREEDY = 1  /* the likeliest action, the first of equals */
};

/* What became of an episode. */
struct kn_episode {
    uint64_t number;
    int64_t return_micro;
    uint32_t length; /* steps */
    enum kn_hallway_end end;
    uint64_t hash; /* of all its states and actions (kn_hallway.hash) */
};

/* Called during an episode, on the caller's thread: at its beginning (action KN_HALLWAY_ACTIONS,
 * reward 0) and after every step. state is borrowed for the call. */
struct kn_watch {
    void *context;
    void (*step)(void *context, const struct kn_hallway *state, enum kn_hallway_action action,
                 int32_t reward_micro);
};

/* Which episode of which run. */
struct kn_course {
    struct kn_hallway_config config; /* valid, CHECKed */
    uint64_t seed;
    enum kn_hallway_use use;
};

/* Plays episode `number` with the policy (borrowed). watch may be NULL. O(steps). */
void kn_episode_play(const struct kn_course *course, const float *policy, enum kn_choice choice,
                     uint64_t number, const struct kn_watch *watch, struct kn_episode *out);

/* The same episode from the actions that were taken in it (length bytes, each an action), without
 * its policy. INVALID names the step: an action that does not exist, or the episode ended before
 * its last action or goes on after it. */
KN_MUST_USE enum kn_err kn_episode_replay(const struct kn_course *course, uint64_t number,
                                          const uint8_t *actions, uint32_t length,
                                          const struct kn_watch *watch, struct kn_episode *out,
                                          struct kn_diag *diag);

struct kn_evaluation {
    uint64_t episodes;
    uint64_t right; /* episodes that ended at the right goal */
    uint64_t wrong;
    uint64_t late;
    double mean_return; /* of rewards, not of millionths; 0 for no episodes */
    double std_return;  /* of the population */
    double mean_length;
    uint64_t hash; /* over the episodes' hashes, in order */
};

/* Episodes 0 .. episodes - 1 of use EVALUATE (whatever course->use says). */
void kn_evaluate(const struct kn_course *course, const float *policy, enum kn_choice choice,
                 uint64_t episodes, struct kn_evaluation *out);

#endif
