/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/rl/trainer_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ACTIONS = KN_HALLWAY_ACTIONS };

#define RATE_MAX 100.0f

struct kn_rl_config kn_rl_default(void)
{
    return (struct kn_rl_config){.env = kn_hallway_default(),
                                 .areas = 16,
                                 .seed = 1,
                                 .rate = 2.0f,
                                 .value_rate = 0.1f,
                                 .discount = 0.99f,
                                 .entropy = 0.002f};
}

/* Whether low < or <= value <= high; false for not-a-number. */
static enum kn_err range_verify(const char *name, float value, bool above_zero, float high,
                                struct kn_diag *diag)
{
    if (!(value >= 0.0f) || !(value <= high) || (above_zero && !(value > 0.0f))) {
        return kn_fail(diag, KN_ERR_INVALID, "%s: %g, expected %s 0 and at most %g", name,
                       (double)value, above_zero ? "above" : "at least", (double)high);
    }
    return KN_OK;
}

enum kn_err kn_rl_verify(const struct kn_rl_config *c, struct kn_diag *diag)
{
    enum kn_err err = kn_hallway_verify(&c->env, diag);
    if (err == KN_OK && (c->areas == 0 || c->areas > KN_RL_AREAS_MAX)) {
        err =
            kn_fail(diag, KN_ERR_INVALID, "areas: %u, expected 1 to %u", c->areas, KN_RL_AREAS_MAX);
    }
    if (err == KN_OK) {
        err = range_verify("rate", c->rate, true, RATE_MAX, diag);
    }
    if (err == KN_OK) {
        err = range_verify("value_rate", c->value_rate, true, 1.0f, diag);
    }
    if (err == KN_OK) {
        err = range_verify("discount", c->discount, false, 1.0f, diag);
    }
    if (err == KN_OK) {
        err = range_verify("entropy", c->entropy, false, 1.0f, diag);
    }
    return err;
}

static size_t table_count(const struct kn_rl *t)
{
    return (size_t)t->views * (ACTIONS + 1);
}

enum kn_err kn_rl_open(struct kn_rl **out, const struct kn_rl_config *config, struct kn_diag *diag)
{
    *out = NULL;
    enum kn_err err = kn_rl_verify(config, diag);
    if (err != KN_OK) {
        return err;
    }
    struct kn_rl *t = calloc(1, sizeof *t);
    if (t == NULL) {
        return kn_fail(diag, KN_ERR_MEMORY, "no memory for a trainer");
    }
    t->config = *config;
    t->views = kn_hallway_views(&config->env);
    t->policy = calloc(2 * table_count(t) + t->views, sizeof *t->policy);
    t->step = calloc(config->env.steps_max, sizeof *t->step);
    t->action = calloc(config->env.steps_max, sizeof *t->action);
    if (t->policy == NULL || t->step == NULL || t->action == NULL) {
        kn_rl_close(t);
        return kn_fail(diag, KN_ERR_MEMORY, "no memory for a trainer of %u views", t->views);
    }
    t->value = t->policy + (size_t)t->views * ACTIONS;
    t->policy_sum = t->policy + table_count(t);
    t->value_sum = t->policy_sum + (size_t)t->views * ACTIONS;
    t->seen = t->policy_sum + table_count(t);
    *out = t;
    return KN_OK;
}

void kn_rl_close(struct kn_rl *t)
{
    if (t != NULL) {
        free(t->policy);
        free(t->step);
        free(t->action);
        free(t);
    }
}

/* What follows the walk of one area: notes it down, and passes it on. */
struct recorder {
    struct kn_rl *t;
    const struct kn_rl_events *events;
    uint32_t view; /* before the next step */
};

static void record(void *context, const struct kn_hallway *h, enum kn_hallway_action action,
                   int32_t reward_micro)
{
    struct recorder *r = context;
    if (action != KN_HALLWAY_ACTIONS) {
        KN_CHECK(h->step >= 1);
        KN_CHECK(h->step <= r->t->config.env.steps_max);
        r->t->step[h->step - 1] = (struct kn_rl_step){
            .view = r->view, .reward = (float)((double)reward_micro * KN_MICRO)};
        r->t->action[h->step - 1] = (uint8_t)action;
    }
    r->view = kn_hallway_view(h);
    if (r->events != NULL && r->events->state != NULL) {
        r->events->state(r->events->context, h, action, reward_micro);
    }
}

static struct kn_course course_of(const struct kn_rl *t)
{
    return (struct kn_course){
        .config = t->config.env, .seed = t->config.seed, .use = KN_HALLWAY_TRAIN};
}

/* Adds the gradient of one episode, from its end backwards. d log pi(a | v) / d logit is 1 - odds
 * of the action taken and -odds of the others; d entropy / d logit is -odds (log odds + entropy).
 */
static void learn_from(struct kn_rl *t, uint32_t length)
{
    float gain = 0.0f;
    for (uint32_t i = length; i > 0; i--) {
        const struct kn_rl_step *s = &t->step[i - 1];
        float odds[ACTIONS];
        gain = s->reward + t->config.discount * gain;
        const float advantage = gain - t->value[s->view];
        kn_policy_odds(t->policy, s->view, odds);
        const float *logit = t->policy + (size_t)s->view * ACTIONS;
        float *sum = t->policy_sum + (size_t)s->view * ACTIONS;
        float mean = 0.0f;
        for (int a = 0; a < ACTIONS; a++) {
            mean += odds[a] * logit[a];
        }
        for (int a = 0; a < ACTIONS; a++) {
            const float taken = t->action[i - 1] == a ? 1.0f : 0.0f;
            sum[a] += advantage * (taken - odds[a]);
            sum[a] -= t->config.entropy * odds[a] * (logit[a] - mean);
        }
        t->value_sum[s->view] += advantage;
        t->seen[s->view] += 1.0f;
    }
}

/* The tables one step on. False, and the tables as they were, where one would leave the finite
 * numbers. */
static bool step_along(struct kn_rl *t)
{
    const float areas = (float)t->config.areas;
    const size_t logits = (size_t)t->views * ACTIONS;
    bool finite = true;
    for (size_t i = 0; i < logits; i++) {
        t->policy_sum[i] = t->policy[i] + t->config.rate * (t->policy_sum[i] / areas);
        finite = finite && isfinite(t->policy_sum[i]) != 0;
    }
    for (size_t i = 0; i < t->views; i++) {
        const float mean = t->seen[i] > 0.0f ? t->value_sum[i] / t->seen[i] : 0.0f;
        t->value_sum[i] = t->value[i] + t->config.value_rate * mean;
        finite = finite && isfinite(t->value_sum[i]) != 0;
    }
    if (finite) {
        memcpy(t->policy, t->policy_sum, table_count(t) * sizeof *t->policy); /* and the values */
    }
    return finite;
}

enum kn_err kn_rl_iterate(struct kn_rl *t, const struct kn_rl_events *events, struct kn_diag *diag)
{
    const struct kn_course course = course_of(t);
    const uint64_t hash = kn_policy_hash(t->policy, kn_policy_count(&t->config.env));
    const struct kn_spread spread = t->spread;
    const uint64_t steps = t->steps;
    struct recorder recorder = {.t = t, .events = events};
    const struct kn_watch watch = {.context = &recorder, .step = record};
    memset(t->policy_sum, 0, (table_count(t) + t->views) * sizeof *t->policy_sum);
    for (uint32_t area = 0; area < t->config.areas; area++) {
        struct kn_rl_episode e = {
            .iteration = t->iteration, .area = area, .policy_hash = hash, .actions = t->action};
        kn_episode_play(&course, t->policy, KN_CHOICE_SAMPLE, t->iteration * t->config.areas + area,
                        &watch, &e.result);
        t->steps += e.result.length;
        e.steps = t->steps;
        kn_spread_add(&t->spread, e.result.return_micro);
        learn_from(t, e.result.length);
        if (events != NULL && events->episode != NULL) {
            events->episode(events->context, &e);
        }
    }
    if (!step_along(t)) {
        t->spread = spread;
        t->steps = steps;
        return kn_fail(diag, KN_ERR_NOT_FINITE,
                       "iteration %llu: the tables are not finite any more; lower the rates",
                       (unsigned long long)t->iteration);
    }
    t->iteration++;
    return KN_OK;
}

const struct kn_rl_config *kn_rl_config(const struct kn_rl *t)
{
    return &t->config;
}

uint64_t kn_rl_iterations(const struct kn_rl *t)
{
    return t->iteration;
}

uint64_t kn_rl_episodes(const struct kn_rl *t)
{
    return t->iteration * t->config.areas;
}

uint64_t kn_rl_steps(const struct kn_rl *t)
{
    return t->steps;
}

const float *kn_rl_policy(const struct kn_rl *t)
{
    return t->policy;
}

void kn_rl_summary_take(struct kn_rl *t, struct kn_rl_summary *out)
{
    *out = (struct kn_rl_summary){.steps = t->steps,
                                  .episodes = t->spread.count,
                                  .mean_reward = kn_spread_mean(&t->spread),
                                  .std_reward = kn_spread_std(&t->spread)};
    t->spread = (struct kn_spread){0};
}

enum kn_err kn_rl_replay(struct kn_rl *t, uint64_t number, uint64_t policy_hash,
                         const struct kn_watch *watch, struct kn_episode *out, struct kn_diag *diag)
{
    const struct kn_course course = course_of(t);
    const uint64_t iteration = number / t->config.areas;
    if (t->iteration > iteration) {
        return kn_fail(diag, KN_ERR_INVALID,
                       "episode %llu is of iteration %llu; this trainer has finished %llu",
                       (unsigned long long)number, (unsigned long long)iteration,
                       (unsigned long long)t->iteration);
    }
    while (t->iteration < iteration) {
        enum kn_err err = kn_rl_iterate(t, NULL, diag);
        if (err != KN_OK) {
            return err;
        }
    }
    const uint64_t hash = kn_policy_hash(t->policy, kn_policy_count(&t->config.env));
    if (hash != policy_hash) {
        return kn_fail(diag, KN_ERR_CORRUPT,
                       "episode %llu was played with policy %016llx; here it would be %016llx",
                       (unsigned long long)number, (unsigned long long)policy_hash,
                       (unsigned long long)hash);
    }
    kn_episode_play(&course, t->policy, KN_CHOICE_SAMPLE, number, watch, out);
    return KN_OK;
}
