/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/rl/episode.h"

#include "tst.h"

#include <math.h>
#include <string.h>

enum { EPISODES = 400 };

static struct kn_hallway_config config(uint32_t width, uint32_t length, uint32_t steps_max,
                                       uint32_t slip)
{
    return (struct kn_hallway_config){width, length, steps_max, slip};
}

/* A walker put somewhere, without slipping. */
static struct kn_hallway walker(uint32_t x, uint32_t y, bool symbol_x, bool x_east)
{
    const struct kn_hallway_config c = config(3, 4, 8, 0);
    struct kn_hallway h;
    kn_hallway_reset(&h, &c, 1, KN_HALLWAY_TRAIN, 0);
    h.x = x;
    h.y = y;
    h.symbol_x = symbol_x;
    h.x_east = x_east;
    return h;
}

struct goal {
    uint32_t x; /* one step south of the corner */
    bool symbol_x;
    bool x_east;
    enum kn_hallway_end end;
};

static const struct goal goals[] = {
    {2, true, true, KN_HALLWAY_RIGHT},   {2, true, false, KN_HALLWAY_WRONG},
    {2, false, true, KN_HALLWAY_WRONG},  {2, false, false, KN_HALLWAY_RIGHT},
    {0, true, true, KN_HALLWAY_WRONG},   {0, true, false, KN_HALLWAY_RIGHT},
    {0, false, true, KN_HALLWAY_RIGHT},  {0, false, false, KN_HALLWAY_WRONG},
    {1, true, true, KN_HALLWAY_GOES_ON}, {1, false, true, KN_HALLWAY_GOES_ON},
};

TEST_ROWS(the_goal_that_the_symbol_shows_is_the_right_one, goals)
{
    const struct goal *g = &goals[tst_row];
    struct kn_hallway h = walker(g->x, 2, g->symbol_x, g->x_east);
    const int32_t reward = kn_hallway_step(&h, KN_HALLWAY_NORTH);
    const int32_t step = -1000000 / 8;
    EXPECT(h.end == g->end);
    EXPECT(reward == step + (g->end == KN_HALLWAY_RIGHT   ? 1000000
                             : g->end == KN_HALLWAY_WRONG ? -100000
                                                          : 0));
    EXPECT(h.return_micro == reward);
}

TEST(walls_hold_the_walker)
{
    struct kn_hallway h = walker(0, 0, true, true);
    (void)kn_hallway_step(&h, KN_HALLWAY_SOUTH);
    (void)kn_hallway_step(&h, KN_HALLWAY_WEST);
    EXPECT_EQ(h.x, 0);
    EXPECT_EQ(h.y, 0);
    h = walker(2, 0, true, true);
    (void)kn_hallway_step(&h, KN_HALLWAY_EAST);
    EXPECT_EQ(h.x, 2);
    h = walker(1, 3, true, true);
    (void)kn_hallway_step(&h, KN_HALLWAY_NORTH);
    EXPECT_EQ(h.y, 3);
    EXPECT(h.end == KN_HALLWAY_GOES_ON);
}

TEST(an_episode_without_a_goal_ends_after_its_last_step)
{
    struct kn_hallway h = walker(1, 0, true, true);
    for (int i = 0; i < 8; i++) {
        EXPECT(h.end == KN_HALLWAY_GOES_ON);
        (void)kn_hallway_step(&h, KN_HALLWAY_SOUTH);
    }
    EXPECT(h.end == KN_HALLWAY_LATE);
    EXPECT(h.return_micro == -1000000);
}

TEST(who_always_slips_goes_left_or_right_of_where_it_meant_to)
{
    const struct kn_hallway_config c = config(9, 9, 64, 1000);
    uint32_t east = 0;
    uint32_t west = 0;
    for (uint64_t e = 0; e < EPISODES; e++) {
        struct kn_hallway h;
        kn_hallway_reset(&h, &c, 3, KN_HALLWAY_TRAIN, e);
        h.x = 4;
        const uint32_t y = h.y;
        (void)kn_hallway_step(&h, KN_HALLWAY_NORTH);
        EXPECT_EQ(h.y, y);
        east += h.x == 5 ? 1 : 0;
        west += h.x == 3 ? 1 : 0;
    }
    EXPECT_EQ(east + west, EPISODES);
    EXPECT(east > EPISODES / 3);
    EXPECT(west > EPISODES / 3);
}

TEST(episodes_begin_everywhere_in_the_southern_half_with_either_symbol_on_either_side)
{
    const struct kn_hallway_config c = config(3, 5, 64, 0);
    uint32_t seen[3 * 5 * 4] = {0};
    for (uint64_t e = 0; e < EPISODES; e++) {
        struct kn_hallway h;
        kn_hallway_reset(&h, &c, 1, KN_HALLWAY_TRAIN, e);
        EXPECT(kn_hallway_view(&h) < kn_hallway_views(&c));
        seen[kn_hallway_view(&h)]++;
    }
    for (uint32_t v = 0; v < 3 * 5 * 4; v++) {
        EXPECT((seen[v] > 0) == (v < 3 * 2 * 4)); /* two of five rows */
    }
}

TEST(seed_use_and_number_each_make_another_episode)
{
    const struct kn_hallway_config c = kn_hallway_default();
    struct kn_hallway base;
    struct kn_hallway other[3];
    uint32_t differ[3] = {0};
    for (uint64_t e = 0; e < 20; e++) {
        kn_hallway_reset(&base, &c, 1, KN_HALLWAY_TRAIN, e);
        kn_hallway_reset(&other[0], &c, 2, KN_HALLWAY_TRAIN, e);
        kn_hallway_reset(&other[1], &c, 1, KN_HALLWAY_EVALUATE, e);
        kn_hallway_reset(&other[2], &c, 1, KN_HALLWAY_TRAIN, e + 20);
        for (int i = 0; i < 3; i++) {
            differ[i] += other[i].hash != base.hash ? 1 : 0;
        }
    }
    for (int i = 0; i < 3; i++) {
        EXPECT(differ[i] >= 15);
    }
}

TEST(the_hash_tells_apart_paths_that_end_alike)
{
    struct kn_hallway a = walker(1, 0, true, true);
    struct kn_hallway b = a;
    (void)kn_hallway_step(&a, KN_HALLWAY_NORTH);
    (void)kn_hallway_step(&a, KN_HALLWAY_EAST);
    (void)kn_hallway_step(&b, KN_HALLWAY_EAST);
    (void)kn_hallway_step(&b, KN_HALLWAY_NORTH);
    EXPECT_EQ(kn_hallway_view(&a), kn_hallway_view(&b));
    EXPECT(a.return_micro == b.return_micro);
    EXPECT(a.hash != b.hash);
}

TEST_DIES(a_finished_episode_takes_no_step, "h->end == KN_HALLWAY_GOES_ON")
{
    struct kn_hallway h = walker(2, 2, true, true);
    (void)kn_hallway_step(&h, KN_HALLWAY_NORTH);
    (void)kn_hallway_step(&h, KN_HALLWAY_NORTH);
}

struct bad_config {
    struct kn_hallway_config c;
    const char *complaint;
};

static const struct bad_config bad_configs[] = {
    {{1, 9, 9, 0}, "width: 1, expected 2 to 64"},
    {{65, 9, 9, 0}, "width: 65, expected 2 to 64"},
    {{9, 1, 9, 0}, "length: 1, expected 2 to 64"},
    {{9, 9, 0, 0}, "steps_max: 0, expected 1 to 4096"},
    {{9, 9, 4097, 0}, "steps_max: 4097, expected 1 to 4096"},
    {{9, 9, 9, 1001}, "slip_per_mille: 1001, expected 0 to 1000"},
};

TEST_ROWS(a_hall_that_cannot_be_is_refused_by_field, bad_configs)
{
    struct kn_diag diag;
    EXPECT(kn_hallway_verify(&bad_configs[tst_row].c, &diag) == KN_ERR_INVALID);
    EXPECT_STR(diag.text, bad_configs[tst_row].complaint);
}

TEST(the_smallest_hall_can_be_walked)
{
    const struct kn_course course = {config(2, 2, 1, 0), 1, KN_HALLWAY_TRAIN};
    float policy[2 * 2 * 4 * KN_HALLWAY_ACTIONS] = {0};
    struct kn_episode e;
    EXPECT_EQ(kn_policy_count(&course.config), KN_COUNT(policy));
    kn_episode_play(&course, policy, KN_CHOICE_SAMPLE, 0, NULL, &e);
    EXPECT_EQ(e.length, 1);
}

TEST(odds_are_a_softmax_also_of_large_preferences)
{
    const float policy[] = {0, 0, 0, 0, 1, 2, 3, 4, 3e4f, -3e4f, 0, 3e4f};
    float odds[KN_HALLWAY_ACTIONS];
    kn_policy_odds(policy, 0, odds);
    EXPECT_NEAR((double)odds[3], 0.25, 1e-7);
    kn_policy_odds(policy, 1, odds);
    EXPECT_NEAR((double)odds[0], exp(1) / (exp(1) + exp(2) + exp(3) + exp(4)), 1e-6);
    kn_policy_odds(policy, 2, odds);
    EXPECT_NEAR((double)odds[0], 0.5, 1e-7);
    EXPECT_NEAR((double)odds[1], 0.0, 1e-30);
}

TEST(a_stored_policy_that_is_not_finite_is_refused_and_playing_with_it_still_ends)
{
    const struct kn_course course = {config(3, 4, 20, 0), 1, KN_HALLWAY_TRAIN};
    float policy[3 * 4 * 4 * KN_HALLWAY_ACTIONS] = {0};
    struct kn_episode e;
    struct kn_diag diag;
    EXPECT(kn_policy_verify(policy, KN_COUNT(policy), &diag) == KN_OK);
    for (size_t i = 6; i < KN_COUNT(policy); i++) {
        policy[i] = i % 3 == 0 ? NAN : -INFINITY;
    }
    EXPECT(kn_policy_verify(policy, KN_COUNT(policy), &diag) == KN_ERR_NOT_FINITE);
    EXPECT_STR(diag.text, "policy: the preference for action 2 in view 1 is not finite");
    kn_episode_play(&course, policy, KN_CHOICE_SAMPLE, 0, NULL, &e);
    EXPECT(e.length <= 20);
    kn_episode_play(&course, policy, KN_CHOICE_GREEDY, 0, NULL, &e);
    EXPECT(e.length <= 20);
}

struct tape {
    uint8_t action[KN_HALLWAY_STEPS_MAX];
    uint32_t calls;
    struct kn_hallway last;
    int64_t rewards;
};

static void tape_step(void *context, const struct kn_hallway *h, enum kn_hallway_action action,
                      int32_t reward_micro)
{
    struct tape *t = context;
    EXPECT_EQ(h->step, t->calls);
    EXPECT((action == KN_HALLWAY_ACTIONS) == (t->calls == 0));
    if (t->calls > 0) {
        t->action[t->calls - 1] = (uint8_t)action;
    }
    t->calls++;
    t->rewards += reward_micro;
    t->last = *h;
}

TEST(a_watch_sees_every_state_and_its_actions_replay_the_episode)
{
    const struct kn_course course = {kn_hallway_default(), 5, KN_HALLWAY_TRAIN};
    static float policy[5 * 9 * 4 * KN_HALLWAY_ACTIONS];
    for (uint64_t n = 0; n < 50; n++) {
        struct tape tape = {.calls = 0};
        const struct kn_watch watch = {&tape, tape_step};
        struct kn_episode played;
        struct kn_episode again;
        kn_episode_play(&course, policy, KN_CHOICE_SAMPLE, n, &watch, &played);
        EXPECT_EQ(tape.calls, played.length + 1);
        EXPECT(tape.rewards == played.return_micro);
        EXPECT_EQ(tape.last.hash, played.hash);
        EXPECT(kn_episode_replay(&course, n, tape.action, played.length, NULL, &again, NULL) ==
               KN_OK);
        EXPECT(again.return_micro == played.return_micro);
        EXPECT_EQ(again.hash, played.hash);
        EXPECT(again.end == played.end);
        EXPECT_EQ(again.number, n);
    }
}

TEST(actions_of_another_episode_are_refused_or_end_elsewhere)
{
    const struct kn_course course = {kn_hallway_default(), 5, KN_HALLWAY_TRAIN};
    static float policy[5 * 9 * 4 * KN_HALLWAY_ACTIONS];
    struct tape tape = {.calls = 0};
    const struct kn_watch watch = {&tape, tape_step};
    struct kn_episode e;
    struct kn_episode again;
    struct kn_diag diag;
    kn_episode_play(&course, policy, KN_CHOICE_SAMPLE, 0, &watch, &e);
    EXPECT(kn_episode_replay(&course, 0, tape.action, e.length - 1, NULL, &again, &diag) ==
           KN_ERR_INVALID);
    EXPECT(strstr(diag.text, "goes on") != NULL);
    tape.action[e.length] = 0;
    EXPECT(kn_episode_replay(&course, 0, tape.action, e.length + 1, NULL, &again, &diag) ==
           KN_ERR_INVALID);
    EXPECT(strstr(diag.text, "ended after") != NULL);
    tape.action[1] = KN_HALLWAY_ACTIONS;
    EXPECT(kn_episode_replay(&course, 0, tape.action, e.length, NULL, &again, &diag) ==
           KN_ERR_INVALID);
    EXPECT_STR(diag.text, "step 1: there is no action 4");
}

TEST(an_evaluation_counts_how_episodes_ended_and_is_the_same_twice)
{
    const struct kn_course course = {kn_hallway_default(), 7, KN_HALLWAY_TRAIN};
    static float policy[5 * 9 * 4 * KN_HALLWAY_ACTIONS];
    struct kn_evaluation a;
    struct kn_evaluation b;
    double sum = 0;
    double square = 0;
    struct kn_course own = course;
    own.use = KN_HALLWAY_EVALUATE;
    kn_evaluate(&course, policy, KN_CHOICE_SAMPLE, 100, &a);
    kn_evaluate(&course, policy, KN_CHOICE_SAMPLE, 100, &b);
    EXPECT_MEM(&a, &b, sizeof a);
    EXPECT_EQ(a.right + a.wrong + a.late, 100);
    EXPECT(a.right > 10);
    EXPECT(a.wrong > 10);
    for (uint64_t n = 0; n < 100; n++) {
        struct kn_episode e;
        kn_episode_play(&own, policy, KN_CHOICE_SAMPLE, n, NULL, &e);
        sum += (double)e.return_micro * 1e-6;
        square += (double)e.return_micro * 1e-6 * (double)e.return_micro * 1e-6;
    }
    EXPECT_NEAR(a.mean_return, sum / 100, 1e-12);
    EXPECT_NEAR(a.std_return, sqrt(square / 100 - sum / 100 * sum / 100), 1e-9);
    kn_evaluate(&course, policy, KN_CHOICE_SAMPLE, 0, &a);
    EXPECT_NEAR(a.mean_return, 0, 0);
}
