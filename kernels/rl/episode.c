/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/rl/episode.h"

#include "kernels/math.h"
#include "kernels/rl/mix.h"
#include "kernels/rl/spread.h"

size_t kn_policy_count(const struct kn_hallway_config *config)
{
    return (size_t)kn_hallway_views(config) * KN_HALLWAY_ACTIONS;
}

enum kn_err kn_policy_verify(const float *policy, size_t count, struct kn_diag *diag)
{
    for (size_t i = 0; i < count; i++) {
        if (isfinite(policy[i]) == 0) {
            return kn_fail(diag, KN_ERR_NOT_FINITE,
                           "policy: the preference for action %zu in view %zu is not finite",
                           i % KN_HALLWAY_ACTIONS, i / KN_HALLWAY_ACTIONS);
        }
    }
    return KN_OK;
}

uint64_t kn_policy_hash(const float *policy, size_t count)
{
    uint64_t hash = kn_mix64(0, count);
    for (size_t i = 0; i < count; i++) {
        hash = kn_mix64(hash, kn_f32_bits(policy[i]));
    }
    return hash;
}

void kn_policy_odds(const float *policy, uint32_t view, float odds[KN_HALLWAY_ACTIONS])
{
    const float *logit = policy + (size_t)view * KN_HALLWAY_ACTIONS;
    float top = logit[0];
    float sum = 0.0f;
    for (int a = 1; a < KN_HALLWAY_ACTIONS; a++) {
        top = logit[a] > top ? logit[a] : top;
    }
    for (int a = 0; a < KN_HALLWAY_ACTIONS; a++) {
        odds[a] = kn_exp(logit[a] - top);
        sum += odds[a];
    }
    for (int a = 0; a < KN_HALLWAY_ACTIONS; a++) {
        odds[a] = odds[a] / sum;
    }
}

static enum kn_hallway_action choose(const float *policy, enum kn_choice choice,
                                     const struct kn_hallway *h)
{
    float odds[KN_HALLWAY_ACTIONS];
    kn_policy_odds(policy, kn_hallway_view(h), odds);
    int action = 0;
    if (choice == KN_CHOICE_GREEDY) {
        for (int a = 1; a < KN_HALLWAY_ACTIONS; a++) {
            action = odds[a] > odds[action] ? a : action;
        }
        return (enum kn_hallway_action)action;
    }
    const float chance = kn_hallway_chance(h);
    float sum = odds[0];
    while (action + 1 < KN_HALLWAY_ACTIONS && chance >= sum) { /* rounding may leave sum below 1 */
        action++;
        sum += odds[action];
    }
    return (enum kn_hallway_action)action;
}

static void show(const struct kn_watch *watch, const struct kn_hallway *h,
                 enum kn_hallway_action action, int32_t reward)
{
    if (watch != NULL) {
        watch->step(watch->context, h, action, reward);
    }
}

static void begin(const struct kn_course *course, uint64_t number, const struct kn_watch *watch,
                  struct kn_hallway *h)
{
    kn_hallway_reset(h, &course->config, course->seed, course->use, number);
    show(watch, h, KN_HALLWAY_ACTIONS, 0);
}

static void advance(struct kn_hallway *h, enum kn_hallway_action action,
                    const struct kn_watch *watch)
{
    const int32_t reward = kn_hallway_step(h, action);
    show(watch, h, action, reward);
}

static struct kn_episode ended(const struct kn_hallway *h)
{
    return (struct kn_episode){.number = h->episode,
                               .return_micro = h->return_micro,
                               .length = h->step,
                               .end = h->end,
                               .hash = h->hash};
}

void kn_episode_play(const struct kn_course *course, const float *policy, enum kn_choice choice,
                     uint64_t number, const struct kn_watch *watch, struct kn_episode *out)
{
    struct kn_hallway h;
    begin(course, number, watch, &h);
    while (h.end == KN_HALLWAY_GOES_ON) {
        advance(&h, choose(policy, choice, &h), watch);
    }
    *out = ended(&h);
}

enum kn_err kn_episode_replay(const struct kn_course *course, uint64_t number,
                              const uint8_t *actions, uint32_t length, const struct kn_watch *watch,
                              struct kn_episode *out, struct kn_diag *diag)
{
    struct kn_hallway h;
    begin(course, number, watch, &h);
    for (uint32_t i = 0; i < length; i++) {
        if (actions[i] >= KN_HALLWAY_ACTIONS) {
            return kn_fail(diag, KN_ERR_INVALID, "step %u: there is no action %u", i,
                           (unsigned)actions[i]);
        }
        if (h.end != KN_HALLWAY_GOES_ON) {
            return kn_fail(diag, KN_ERR_INVALID, "the episode ended after %u of %u actions", i,
                           length);
        }
        advance(&h, (enum kn_hallway_action)actions[i], watch);
    }
    if (h.end == KN_HALLWAY_GOES_ON) {
        return kn_fail(diag, KN_ERR_INVALID, "the episode goes on after its %u actions", length);
    }
    *out = ended(&h);
    return KN_OK;
}

void kn_evaluate(const struct kn_course *course, const float *policy, enum kn_choice choice,
                 uint64_t episodes, struct kn_evaluation *out)
{
    struct kn_course own = *course;
    struct kn_spread spread = {0};
    double steps = 0.0;
    own.use = KN_HALLWAY_EVALUATE;
    *out = (struct kn_evaluation){.episodes = episodes};
    for (uint64_t i = 0; i < episodes; i++) {
        struct kn_episode e;
        kn_episode_play(&own, policy, choice, i, NULL, &e);
        out->right += e.end == KN_HALLWAY_RIGHT ? 1 : 0;
        out->wrong += e.end == KN_HALLWAY_WRONG ? 1 : 0;
        out->late += e.end == KN_HALLWAY_LATE ? 1 : 0;
        out->hash = kn_mix64(out->hash, e.hash);
        kn_spread_add(&spread, e.return_micro);
        steps += e.length;
    }
    out->mean_return = kn_spread_mean(&spread);
    out->std_return = kn_spread_std(&spread);
    out->mean_length = episodes > 0 ? steps / (double)episodes : 0.0;
}
