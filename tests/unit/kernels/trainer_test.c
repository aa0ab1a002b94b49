/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/rl/mix.h"
#include "kernels/rl/trainer.h"

#include "tst.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { STATE_BYTES_MAX = 8192, HEAD_BYTES = 92, ACTIONS = KN_HALLWAY_ACTIONS };

struct state {
    uint8_t bytes[STATE_BYTES_MAX];
    size_t size;
};

static struct kn_rl *opened(const struct kn_rl_config *config)
{
    struct kn_rl *t;
    struct kn_diag diag;
    if (kn_rl_open(&t, config, &diag) != KN_OK) {
        tst_fail(__FILE__, __LINE__, "%s", diag.text);
    }
    return t;
}

static void iterate(struct kn_rl *t, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        EXPECT(kn_rl_iterate(t, NULL, NULL) == KN_OK);
    }
}

static struct state encoded(const struct kn_rl *t)
{
    struct state s;
    s.size = kn_rl_state_size(t);
    EXPECT(s.size < sizeof s.bytes);
    s.bytes[s.size] = 0xa5;
    kn_rl_encode(t, s.bytes);
    EXPECT_EQ(s.bytes[s.size], 0xa5);
    return s;
}

static struct kn_rl *decoded(const struct state *s)
{
    struct kn_rl *t;
    struct kn_diag diag;
    if (kn_rl_decode(&t, s->bytes, s->size, &diag) != KN_OK) {
        tst_fail(__FILE__, __LINE__, "%s", diag.text);
    }
    return t;
}

/* The state after so many iterations, moved to another "machine" after every `leg` of them. */
static struct state trained(const struct kn_rl_config *config, uint32_t iterations, uint32_t leg)
{
    struct kn_rl *t = opened(config);
    struct state s;
    for (uint32_t i = 1; i <= iterations; i++) {
        iterate(t, 1);
        if (i % leg == 0) {
            s = encoded(t);
            kn_rl_close(t);
            t = decoded(&s);
        }
    }
    s = encoded(t);
    kn_rl_close(t);
    return s;
}

static const uint64_t seeds[] = {1, 2, 3, 4, 5, UINT64_MAX};

TEST_ROWS(mean_reward_rises_and_the_right_goal_is_found, seeds)
{
    struct kn_rl_config config = kn_rl_default();
    struct kn_rl_summary first;
    struct kn_rl_summary last;
    struct kn_evaluation e;
    config.seed = seeds[tst_row];
    struct kn_rl *t = opened(&config);
    iterate(t, 20);
    kn_rl_summary_take(t, &first);
    iterate(t, 260);
    kn_rl_summary_take(t, &last);
    iterate(t, 20);
    kn_rl_summary_take(t, &last);
    const struct kn_course course = {.config = config.env, .seed = 99};
    kn_evaluate(&course, kn_rl_policy(t), KN_CHOICE_GREEDY, 100, &e);
    EXPECT_EQ(first.episodes, 20 * config.areas);
    EXPECT_EQ(last.episodes, 20 * config.areas);
    EXPECT_EQ(last.steps, kn_rl_steps(t));
    EXPECT(first.mean_reward < 0.4);
    EXPECT(last.mean_reward > 0.8);
    EXPECT(last.std_reward < first.std_reward);
    EXPECT(e.right >= 95);
    kn_rl_close(t);
}

static const uint32_t legs[] = {1, 2, 7, 33};

TEST_ROWS(training_that_moves_between_machines_ends_with_the_same_bytes, legs)
{
    const struct kn_rl_config config = kn_rl_default();
    const struct state whole = trained(&config, 60, 1000);
    const struct state parts = trained(&config, 60, legs[tst_row]);
    EXPECT_EQ(whole.size, parts.size);
    EXPECT_MEM(whole.bytes, parts.bytes, whole.size);
}

TEST(another_seed_or_number_of_areas_is_another_course)
{
    struct kn_rl_config config = kn_rl_default();
    struct kn_rl *a = opened(&config);
    config.seed = 2;
    struct kn_rl *b = opened(&config);
    config.seed = 1;
    config.areas = 8;
    struct kn_rl *c = opened(&config);
    const size_t count = kn_policy_count(&config.env);
    iterate(a, 3);
    iterate(b, 3);
    iterate(c, 3);
    EXPECT(kn_policy_hash(kn_rl_policy(a), count) != kn_policy_hash(kn_rl_policy(b), count));
    EXPECT(kn_policy_hash(kn_rl_policy(a), count) != kn_policy_hash(kn_rl_policy(c), count));
    kn_rl_close(a);
    kn_rl_close(b);
    kn_rl_close(c);
}

/* Changes only with the rules of the hallway, the trainer or kn_exp: runs made before cannot be
 * replayed then, so HASH_BEGIN and the version of the state change with it. */
TEST(the_bits_of_a_known_run_are_these_on_every_machine)
{
    const struct kn_rl_config config = kn_rl_default();
    struct kn_rl *t = opened(&config);
    iterate(t, 100);
    EXPECT_EQ(kn_rl_steps(t), 53267);
    EXPECT_EQ(kn_policy_hash(kn_rl_policy(t), kn_policy_count(&config.env)),
              UINT64_C(0x085e508abda8de13));
    kn_rl_close(t);
}

enum { TOLD_MAX = 512 };

struct told {
    struct kn_rl_episode episode[TOLD_MAX];
    uint32_t count;
    uint32_t states;
};

static void on_episode(void *context, const struct kn_rl_episode *e)
{
    struct told *told = context;
    EXPECT(told->count < TOLD_MAX);
    told->episode[told->count] = *e;
    told->count++;
}

static void on_state(void *context, const struct kn_hallway *h, enum kn_hallway_action action,
                     int32_t reward_micro)
{
    struct told *told = context;
    (void)h;
    (void)reward_micro;
    told->states += action != KN_HALLWAY_ACTIONS ? 1 : 0;
}

TEST(every_episode_is_told_and_telling_changes_nothing)
{
    static struct told told;
    const struct kn_rl_config config = kn_rl_default();
    const struct kn_rl_events events = {&told, on_episode, on_state};
    struct kn_rl *t = opened(&config);
    struct kn_rl *quiet = opened(&config);
    for (int i = 0; i < 10; i++) {
        EXPECT(kn_rl_iterate(t, &events, NULL) == KN_OK);
    }
    iterate(quiet, 10);
    const struct state a = encoded(t);
    const struct state b = encoded(quiet);
    EXPECT_MEM(a.bytes, b.bytes, a.size);
    EXPECT_EQ(told.count, 10 * config.areas);
    EXPECT_EQ(told.states, kn_rl_steps(t));
    EXPECT_EQ(told.episode[told.count - 1].steps, kn_rl_steps(t));
    for (uint32_t i = 0; i < told.count; i++) {
        EXPECT_EQ(told.episode[i].result.number, i);
        EXPECT_EQ(told.episode[i].iteration, i / config.areas);
        EXPECT_EQ(told.episode[i].area, i % config.areas);
    }
    kn_rl_close(t);
    kn_rl_close(quiet);
}

TEST(any_episode_is_replayed_from_the_seed_its_policy_and_its_number)
{
    static struct told told;
    const struct kn_rl_config config = kn_rl_default();
    const struct kn_rl_events events = {.context = &told, .episode = on_episode};
    struct kn_rl *t = opened(&config);
    for (int i = 0; i < 30; i++) {
        EXPECT(kn_rl_iterate(t, &events, NULL) == KN_OK);
    }
    kn_rl_close(t);
    t = opened(&config);
    for (uint32_t i = 0; i < told.count; i += 37) {
        struct kn_episode e;
        const struct kn_rl_episode *want = &told.episode[i];
        EXPECT(kn_rl_replay(t, i, want->policy_hash, NULL, &e, NULL) == KN_OK);
        EXPECT(e.return_micro == want->result.return_micro);
        EXPECT_EQ(e.hash, want->result.hash);
        EXPECT_EQ(e.length, want->result.length);
    }
    struct kn_episode e;
    struct kn_diag diag;
    EXPECT(kn_rl_replay(t, 0, told.episode[0].policy_hash, NULL, &e, &diag) == KN_ERR_INVALID);
    EXPECT(strstr(diag.text, "episode 0 is of iteration 0") != NULL);
    kn_rl_close(t);
}

TEST(an_episode_of_another_run_is_not_replayed)
{
    struct kn_rl_config config = kn_rl_default();
    struct kn_rl *t = opened(&config);
    iterate(t, 5);
    const uint64_t hash = kn_policy_hash(kn_rl_policy(t), kn_policy_count(&config.env));
    const uint64_t number = kn_rl_episodes(t);
    struct kn_episode e;
    struct kn_diag diag;
    kn_rl_close(t);
    config.seed = 2;
    t = opened(&config);
    EXPECT(kn_rl_replay(t, number, hash, NULL, &e, &diag) == KN_ERR_CORRUPT);
    EXPECT(strstr(diag.text, "was played with policy") != NULL);
    kn_rl_close(t);
}

/* The walk of one episode, as the update needs it. */
struct walk {
    uint32_t view[KN_HALLWAY_STEPS_MAX + 1];
    uint32_t action[KN_HALLWAY_STEPS_MAX];
    double reward[KN_HALLWAY_STEPS_MAX];
    uint32_t length;
};

static void on_walk(void *context, const struct kn_hallway *h, enum kn_hallway_action action,
                    int32_t reward_micro)
{
    struct walk *w = context;
    if (action != KN_HALLWAY_ACTIONS) {
        w->action[h->step - 1] = (uint32_t)action;
        w->reward[h->step - 1] = reward_micro * 1e-6;
    }
    w->view[h->step] = kn_hallway_view(h);
    w->length = h->step;
}

/* log of the probability of an action, in double, from preferences. */
static double log_odds(const double *logit, uint32_t action)
{
    double sum = 0;
    for (uint32_t a = 0; a < ACTIONS; a++) {
        sum += exp(logit[a]);
    }
    return logit[action] - log(sum);
}

/* What one iteration climbs: sum over the steps of advantage * log odds + entropy weight * entropy.
 */
static double objective(const struct walk *w, const double *policy, const double *gain,
                        double entropy)
{
    double sum = 0;
    for (uint32_t i = 0; i < w->length; i++) {
        const double *logit = policy + (size_t)w->view[i] * ACTIONS;
        sum += gain[i] * log_odds(logit, w->action[i]);
        for (uint32_t a = 0; a < ACTIONS; a++) {
            sum -= entropy * exp(log_odds(logit, a)) * log_odds(logit, a);
        }
    }
    return sum;
}

TEST(a_step_follows_the_gradient_found_by_differences)
{
    enum { VIEWS = 3 * 4 * 4 };
    static struct walk walk;
    const struct kn_rl_config config = {.env = {3, 4, 40, 100},
                                        .areas = 1,
                                        .seed = 11,
                                        .rate = 0.5f,
                                        .value_rate = 1e-30f, /* the baseline stays 0 */
                                        .discount = 0.9f,
                                        .entropy = 0.3f};
    const struct kn_rl_events events = {.context = &walk, .state = on_walk};
    double policy[VIEWS * ACTIONS];
    double gain[40] = {0};
    struct kn_rl *t = opened(&config);
    iterate(t, 4); /* so that the policy is not uniform */
    for (size_t i = 0; i < KN_COUNT(policy); i++) {
        policy[i] = (double)kn_rl_policy(t)[i];
    }
    EXPECT(kn_rl_iterate(t, &events, NULL) == KN_OK);
    EXPECT(walk.length >= 2);
    for (uint32_t i = 0; i < walk.length; i++) {
        for (uint32_t j = i; j < walk.length; j++) {
            gain[i] += pow((double)config.discount, j - i) * walk.reward[j];
        }
    }
    uint32_t moved = 0;
    for (size_t i = 0; i < KN_COUNT(policy); i++) {
        const double at = policy[i];
        const double h = 1e-5;
        policy[i] = at + h;
        const double above = objective(&walk, policy, gain, (double)config.entropy);
        policy[i] = at - h;
        const double below = objective(&walk, policy, gain, (double)config.entropy);
        policy[i] = at;
        const double want = at + (double)config.rate * (above - below) / (2 * h);
        EXPECT_NEAR((double)kn_rl_policy(t)[i], want, 2e-5);
        moved += fabs(want - at) > 1e-3 ? 1 : 0;
    }
    EXPECT(moved >= 8);
    kn_rl_close(t);
}

TEST(no_flipped_bit_and_no_cut_of_a_state_goes_unnoticed)
{
    struct kn_rl_config config = kn_rl_default();
    config.env = (struct kn_hallway_config){2, 3, 9, 0};
    struct kn_rl *t = opened(&config);
    iterate(t, 3);
    struct state s = encoded(t);
    kn_rl_close(t);
    for (size_t i = 0; i < s.size; i++) {
        for (int bit = 0; bit < 8; bit++) {
            s.bytes[i] ^= (uint8_t)(1 << bit);
            EXPECT(kn_rl_decode(&t, s.bytes, s.size, NULL) != KN_OK);
            EXPECT(t == NULL);
            s.bytes[i] ^= (uint8_t)(1 << bit);
        }
        EXPECT(kn_rl_decode(&t, s.bytes, i, NULL) == KN_ERR_CORRUPT);
    }
    t = decoded(&s);
    kn_rl_close(t);
}

/* Writes a u32 and closes the state with a true hash again. */
static void forge(struct state *s, size_t at, uint32_t word)
{
    const size_t body = s->size - 8;
    for (int i = 0; i < 4; i++) {
        s->bytes[at + (size_t)i] = (uint8_t)(word >> (8 * i));
    }
    uint64_t hash = kn_mix64(0, body);
    for (size_t i = 0; i < body; i++) {
        hash = kn_mix64(hash, s->bytes[i]);
    }
    for (int i = 0; i < 8; i++) {
        s->bytes[body + (size_t)i] = (uint8_t)(hash >> (8 * i));
    }
}

struct forgery {
    size_t at;
    uint32_t word;
    enum kn_err err;
    const char *complaint;
};

static const struct forgery forgeries[] = {
    {4, 2, KN_ERR_UNSUPPORTED, "state of version 2, expected 1"},
    {8, 1000, KN_ERR_INVALID, "width: 1000, expected 2 to 64"},
    {8, 6, KN_ERR_CORRUPT, "the state of a trainer is damaged or cut"}, /* another size */
    {24, 0, KN_ERR_INVALID, "areas: 0, expected 1 to 1024"},
    {36, 0x7fc00000, KN_ERR_INVALID, "rate: nan, expected above 0 and at most 100"},
    {44, 0x40000000, KN_ERR_INVALID, "discount: 2, expected at least 0 and at most 1"},
    {56, 0xffffffff, KN_ERR_CORRUPT, "the state of a trainer holds impossible numbers"},
    {68, 5000, KN_ERR_CORRUPT, "the state of a trainer holds impossible numbers"},
    {80, 0x7ff00000, KN_ERR_CORRUPT, "the state of a trainer holds impossible numbers"},
    {HEAD_BYTES, 0x7f800000, KN_ERR_CORRUPT, "the state of a trainer holds impossible numbers"},
};

TEST_ROWS(a_state_with_impossible_numbers_and_a_true_hash_is_refused, forgeries)
{
    const struct forgery *f = &forgeries[tst_row];
    const struct kn_rl_config config = kn_rl_default();
    struct state s = trained(&config, 2, 1000);
    struct kn_diag diag = {{0}};
    struct kn_rl *t;
    forge(&s, f->at, f->word);
    EXPECT(kn_rl_decode(&t, s.bytes, s.size, &diag) == f->err);
    EXPECT_STR(diag.text, f->complaint);
    EXPECT(t == NULL);
}

TEST(tables_that_leave_the_finite_numbers_stop_the_training_before_that_iteration)
{
    const struct kn_rl_config config = kn_rl_default();
    struct state s = trained(&config, 2, 1000);
    struct kn_diag diag;
    for (size_t at = HEAD_BYTES; at < s.size - 8; at += 16) {
        forge(&s, at, 0x7f000000);     /* 1.7e38 and */
        forge(&s, at + 4, 0xff7fffff); /* -3.4e38: their difference is out of range */
    }
    struct kn_rl *t = decoded(&s);
    EXPECT(kn_rl_iterate(t, NULL, &diag) == KN_ERR_NOT_FINITE);
    EXPECT(strstr(diag.text, "iteration 2") != NULL);
    const struct state after = encoded(t);
    EXPECT_MEM(after.bytes, s.bytes, s.size);
    kn_rl_close(t);
}

TEST(a_summary_begins_where_the_last_one_ended)
{
    const struct kn_rl_config config = kn_rl_default();
    struct kn_rl_summary s;
    struct kn_rl *t = opened(&config);
    kn_rl_summary_take(t, &s);
    EXPECT_EQ(s.episodes, 0);
    EXPECT_NEAR(s.mean_reward, 0, 0);
    iterate(t, 3);
    kn_rl_summary_take(t, &s);
    EXPECT_EQ(s.episodes, 3 * config.areas);
    kn_rl_summary_take(t, &s);
    EXPECT_EQ(s.episodes, 0);
    EXPECT_EQ(s.steps, kn_rl_steps(t));
    kn_rl_close(t);
}
