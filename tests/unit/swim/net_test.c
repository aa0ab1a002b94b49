/* SPDX-License-Identifier: Apache-2.0
 *
 * The protocol as a whole, in virtual time. The bounds follow from the LAN preset: a period of 0.5
 * s, a suspicion of at least 4 max(1, log10 n) periods. */
#include "net.h"
#include "tst.h"

#include <string.h>

static const uint64_t SECOND_US = 1000000;

static struct net_config lan(uint32_t nodes)
{
    return (struct net_config){.seed = tst_seed(),
                               .swim = swim_preset(SWIM_LAN),
                               .nodes = nodes,
                               .jitter_us = 500,
                               .control = true};
}

/* All nodes know one seed, node 0. */
static struct net *start_all(const struct net_config *config)
{
    struct net *net = net_new(config);
    for (uint32_t i = 0; i < config->nodes; i++) {
        net_start(net, i, i == 0 ? UINT32_MAX : 0);
    }
    return net;
}

static struct net *joined(const struct net_config *config)
{
    struct net *net = start_all(config);
    EXPECT(net_run_until(net, net_is_converged, 30 * SECOND_US));
    net_run(net, 5 * SECOND_US);
    return net;
}

struct join_row {
    uint32_t nodes;
    uint32_t loss_permille;
    uint64_t limit_us;
};

static const struct join_row JOINS[] = {{2, 0, 100000},    {3, 0, 500000},    {10, 0, 1000000},
                                        {50, 50, 8000000}, {200, 0, 4000000}, {200, 50, 10000000}};

TEST_ROWS(members_that_know_one_seed_find_each_other, JOINS)
{
    struct net_config config = lan(JOINS[tst_row].nodes);
    config.loss_permille = JOINS[tst_row].loss_permille;
    struct net *net = start_all(&config);
    EXPECT(net_run_until(net, net_is_converged, JOINS[tst_row].limit_us));
    EXPECT_EQ(net_false_deaths(net), 0);
    net_free(net);
}

TEST(a_chain_of_seeds_makes_one_cluster)
{
    struct net_config config = lan(20);
    struct net *net = net_new(&config);
    for (uint32_t i = 0; i < 20; i++) {
        net_start(net, i, i == 0 ? UINT32_MAX : i - 1);
        net_run(net, 100000);
    }
    EXPECT(net_run_until(net, net_is_converged, 5 * SECOND_US));
    net_free(net);
}

TEST(a_late_member_is_known_to_all_within_a_second)
{
    struct net_config config = lan(100);
    struct net *net = net_new(&config);
    for (uint32_t i = 0; i < 99; i++) {
        net_start(net, i, i == 0 ? UINT32_MAX : 0);
    }
    net_run(net, 15 * SECOND_US);
    EXPECT(net_is_converged(net));
    net_start(net, 99, 42);
    EXPECT(net_run_until(net, net_is_converged, SECOND_US));
    net_free(net);
}

TEST(a_seed_that_starts_later_is_found)
{
    struct net_config config = lan(3);
    struct net *net = net_new(&config);
    net_start(net, 1, 0);
    net_start(net, 2, 0);
    net_run(net, 10 * SECOND_US);
    EXPECT_EQ(swim_counts(net_swim(net, 1)).alive, 1);
    net_start(net, 0, UINT32_MAX);
    EXPECT(net_run_until(net, net_is_converged, 3 * SECOND_US));
    net_free(net);
}

struct crash_row {
    uint32_t nodes;
    uint32_t loss_permille;
    uint64_t suspect_us;
    uint64_t dead_us;
};

/* Suspected within a few periods; dead after the shortest suspicion and the time that three more
 * accusers need. */
static const struct crash_row CRASHES[] = {{3, 0, 2000000, 4000000},
                                           {10, 0, 3000000, 6000000},
                                           {10, 50, 3000000, 7000000},
                                           {100, 0, 4000000, 9000000},
                                           {100, 50, 4000000, 9000000}};

TEST_ROWS(a_crash_is_known_to_all_in_time, CRASHES)
{
    const struct crash_row *row = &CRASHES[tst_row];
    for (uint64_t seed = 0; seed < 3; seed++) {
        struct net_config config = lan(row->nodes);
        config.seed += seed;
        config.loss_permille = row->loss_permille;
        struct net *net = joined(&config);
        uint64_t start = net_now_us(net);
        net_crash(net, 1);
        EXPECT(net_run_until(net, net_is_converged, row->dead_us + SECOND_US));
        EXPECT(net_first_us(net, SWIM_SUSPECT, 1) - start <= row->suspect_us);
        EXPECT(net_first_us(net, SWIM_DEAD, 1) - start <= row->dead_us);
        EXPECT(net_first_us(net, SWIM_DEAD, 1) - start >= 2 * SECOND_US);
        EXPECT_EQ(net_view(net, 0, 1), SWIM_DEAD);
        EXPECT_EQ(net_false_deaths(net), 0);
        net_free(net);
    }
}

TEST(many_crashes_at_once_are_found)
{
    struct net_config config = lan(60);
    struct net *net = joined(&config);
    for (uint32_t i = 30; i < 60; i++) {
        net_crash(net, i);
    }
    EXPECT(net_run_until(net, net_is_converged, 60 * SECOND_US));
    EXPECT_EQ(net_false_deaths(net), 0);
    EXPECT_EQ(swim_counts(net_swim(net, 0)).dead, 30);
    net_free(net);
}

TEST(a_refused_port_makes_a_suspect_within_200_ms)
{
    struct net_config config = lan(5);
    struct net *net = joined(&config);
    uint64_t start = net_now_us(net);
    net_crash(net, 1);
    net_hint(net, 0, 1, SWIM_HINT_REFUSED);
    net_run(net, 200000);
    EXPECT_EQ(net_view(net, 0, 1), SWIM_SUSPECT);
    EXPECT_EQ(net_view(net, 4, 1), SWIM_SUSPECT);
    EXPECT(net_run_until(net, net_is_converged, 8 * SECOND_US));
    EXPECT(net_first_us(net, SWIM_SUSPECT, 1) - start <= 160000);
    net_free(net);
}

TEST(a_wrong_hint_harms_nobody)
{
    struct net_config config = lan(5);
    struct net *net = joined(&config);
    for (uint32_t i = 0; i < 50; i++) {
        net_hint(net, 0, 1 + i % 4, i % 2 == 0 ? SWIM_HINT_REFUSED : SWIM_HINT_LOST);
        net_run(net, 20000);
    }
    EXPECT_EQ(net_first_us(net, SWIM_SUSPECT, 1), 0);
    EXPECT(net_is_converged(net));
    net_free(net);
}

/* 60 members: the shortest suspicion is 3.5 s, which it survives when it runs again in time. */
TEST(a_stopped_process_is_suspected_and_refutes_when_it_goes_on)
{
    struct net_config config = lan(60);
    struct net *net = joined(&config);
    uint64_t incarnation = 0;
    struct swim_member member;
    EXPECT(swim_at(net_swim(net, 7), 0, &member));
    incarnation = member.incarnation;
    net_pause(net, 7, 3500000);
    net_run(net, 3400000);
    EXPECT_EQ(net_view(net, 0, 7), SWIM_SUSPECT);
    EXPECT(net_run_until(net, net_is_converged, 2 * SECOND_US));
    EXPECT_EQ(net_first_us(net, SWIM_DEAD, 7), 0);
    EXPECT(swim_at(net_swim(net, 7), 0, &member));
    EXPECT(member.incarnation > incarnation);
    EXPECT_EQ(member.incarnation >> 32, 1);
    EXPECT_EQ(swim_stats(net_swim(net, 7)).stalls, 1);
    net_free(net);
}

TEST(a_long_stop_ends_in_death_and_return_and_accuses_nobody)
{
    struct net_config config = lan(30);
    struct net *net = joined(&config);
    net_pause(net, 7, 30 * SECOND_US);
    net_run(net, 29 * SECOND_US);
    EXPECT_EQ(net_view(net, 0, 7), SWIM_DEAD);
    EXPECT(net_run_until(net, net_is_converged, 5 * SECOND_US));
    for (uint32_t i = 0; i < 30; i++) {
        EXPECT(i == 7 || net_first_us(net, SWIM_SUSPECT, i) == 0);
    }
    EXPECT_EQ(net_false_deaths(net), 0);
    net_free(net);
}

TEST(halves_parted_for_a_minute_heal_by_themselves)
{
    struct net_config config = lan(50);
    struct net *net = joined(&config);
    for (uint32_t i = 25; i < 50; i++) {
        net_set_side(net, i, 1);
    }
    net_run(net, 60 * SECOND_US);
    EXPECT_EQ(swim_counts(net_swim(net, 0)).alive, 25);
    EXPECT_EQ(swim_counts(net_swim(net, 49)).dead, 25);
    (void)net_false_deaths(net);
    for (uint32_t i = 25; i < 50; i++) {
        net_set_side(net, i, 0);
    }
    EXPECT(net_run_until(net, net_is_converged, 35 * SECOND_US));
    EXPECT_EQ(net_false_deaths(net), 0); /* merging buries nobody */
    net_free(net);
}

TEST(one_member_cut_off_for_ten_minutes_comes_back)
{
    struct net_config config = lan(10);
    struct net *net = joined(&config);
    net_set_side(net, 3, 1);
    net_run(net, 600 * SECOND_US);
    EXPECT_EQ(swim_counts(net_swim(net, 3)).alive, 1);
    net_set_side(net, 3, 0);
    EXPECT(net_run_until(net, net_is_converged, 40 * SECOND_US));
    net_free(net);
}

TEST(five_percent_loss_kills_nobody_in_ten_minutes)
{
    struct net_config config = lan(50);
    config.loss_permille = 50;
    struct net *net = joined(&config);
    uint64_t bytes = net_bytes(net);
    net_run(net, 600 * SECOND_US);
    EXPECT_EQ(net_false_deaths(net), 0);
    EXPECT(net_is_converged(net));
    EXPECT((net_bytes(net) - bytes) / 600 / 50 < 400); /* a second and member, unsealed */
    net_free(net);
}

TEST(twenty_percent_loss_without_a_control_plane_kills_nobody)
{
    struct net_config config = lan(40);
    config.loss_permille = 200;
    config.control = false;
    struct net *net = start_all(&config);
    net_run(net, 120 * SECOND_US);
    EXPECT_EQ(net_false_deaths(net), 0);
    EXPECT_EQ(swim_counts(net_swim(net, 0)).dead, 0);
    net_free(net);
}

TEST(repeated_and_reordered_packets_change_nothing)
{
    struct net_config config = lan(30);
    config.repeat_permille = 300;
    config.jitter_us = 40000;
    struct net *net = joined(&config);
    net_run(net, 60 * SECOND_US);
    EXPECT(net_is_converged(net));
    for (uint32_t i = 0; i < 30; i++) {
        EXPECT_EQ(net_first_us(net, SWIM_SUSPECT, i), 0);
    }
    net_free(net);
}

/* It sends and hears nothing: it is buried, and its accusations are not believed. */
TEST(a_deaf_member_does_not_pull_the_others_down)
{
    struct net_config config = lan(30);
    struct net *net = joined(&config);
    net_set_deaf(net, 5, true);
    net_run(net, 60 * SECOND_US);
    for (uint32_t i = 0; i < 30; i++) {
        EXPECT(i == 5 || net_view(net, i, 5) == SWIM_DEAD);
        EXPECT(i == 5 || swim_counts(net_swim(net, i)).alive >= 28);
    }
    net_set_deaf(net, 5, false);
    EXPECT(net_run_until(net, net_is_converged, 40 * SECOND_US));
    net_free(net);
}

static bool everyone_saw_9_leave(struct net *net)
{
    for (uint32_t i = 0; i < net_nodes(net); i++) {
        if (i != 9 && net_view(net, i, 9) != SWIM_LEFT) {
            return false;
        }
    }
    return true;
}

TEST(one_that_leaves_is_known_to_have_left_and_is_not_called_back)
{
    struct net_config config = lan(40);
    struct net *net = joined(&config);
    net_leave(net, 9);
    net_run(net, SECOND_US + 1);
    EXPECT(swim_has_left(net_swim(net, 9)));
    net_crash(net, 9);
    EXPECT(net_run_until(net, everyone_saw_9_leave, 5 * SECOND_US));
    net_run(net, 30 * SECOND_US);
    EXPECT(net_is_converged(net));
    EXPECT_EQ(net_first_us(net, SWIM_DEAD, 9), 0);
    net_start(net, 9, 3); /* with a new epoch it may come back */
    EXPECT(net_run_until(net, net_is_converged, 5 * SECOND_US));
    net_free(net);
}

/* Memberlist leaves such a cluster stuck: the old deaths outrank incarnation 1 of the new lives. */
TEST(a_mass_restart_is_not_held_back_by_old_deaths)
{
    struct net_config config = lan(20);
    struct net *net = joined(&config);
    for (uint32_t i = 1; i < 20; i++) {
        net_crash(net, i);
    }
    net_run(net, 150 * SECOND_US); /* a lone survivor doubts itself first and probes slowly */
    EXPECT_EQ(swim_counts(net_swim(net, 0)).dead, 19);
    for (uint32_t i = 1; i < 20; i++) {
        net_start(net, i, i % 2 == 0 ? 0 : i - 1);
    }
    EXPECT(net_run_until(net, net_is_converged, 10 * SECOND_US));
    net_free(net);
}

TEST(a_restart_without_a_seed_is_found_by_the_others)
{
    struct net_config config = lan(10);
    struct net *net = joined(&config);
    net_crash(net, 4);
    net_run(net, 20 * SECOND_US);
    EXPECT_EQ(net_view(net, 0, 4), SWIM_DEAD);
    net_start(net, 4, UINT32_MAX);
    EXPECT(net_run_until(net, net_is_converged, 35 * SECOND_US));
    net_free(net);
}

static bool everyone_has_news(struct net *net)
{
    for (uint32_t i = 0; i < net_nodes(net); i++) {
        struct swim_member owner;
        struct swim_member seen;
        if (!swim_at(net_swim(net, 3), 0, &owner) ||
            !swim_find(net_swim(net, i), owner.id, &seen) || seen.meta.size != 4 ||
            memcmp(seen.meta.at, "news", 4) != 0) {
            return false;
        }
    }
    return true;
}

TEST(meta_reaches_everybody_and_the_newest_wins)
{
    struct net_config config = lan(60);
    config.loss_permille = 50;
    struct net *net = joined(&config);
    net_set_meta(net, 3, "olds");
    net_run(net, 100000);
    net_set_meta(net, 3, "news");
    EXPECT(net_run_until(net, everyone_has_news, 3 * SECOND_US));
    net_run(net, 10 * SECOND_US);
    EXPECT(everyone_has_news(net));
    EXPECT(net_is_converged(net));
    net_free(net);
}

TEST(all_presets_form_a_cluster_and_find_a_crash)
{
    for (uint32_t preset = SWIM_LAN; preset <= SWIM_LOCAL; preset++) {
        struct net_config config = lan(8);
        config.swim = swim_preset((enum swim_preset)preset);
        struct net *net = start_all(&config);
        EXPECT(net_run_until(net, net_is_converged, 30 * SECOND_US));
        net_run(net, 5 * SECOND_US);
        EXPECT_EQ(net_false_deaths(net), 0);
        uint64_t start = net_now_us(net);
        net_crash(net, 1);
        EXPECT(net_run_until(net, net_is_converged, 60 * config.swim.period_us));
        EXPECT(net_first_us(net, SWIM_DEAD, 1) - start >= 4 * config.swim.period_us);
        net_free(net);
    }
}

static uint64_t history(uint64_t seed)
{
    struct net_config config = lan(20);
    config.seed = seed;
    config.loss_permille = 100;
    config.repeat_permille = 100;
    struct net *net = start_all(&config);
    net_run(net, 10 * SECOND_US);
    net_crash(net, 1);
    net_pause(net, 2, 3 * SECOND_US);
    net_run(net, 20 * SECOND_US);
    uint64_t digest = net_digest(net);
    net_free(net);
    return digest;
}

TEST(the_same_seed_gives_the_same_history)
{
    uint64_t digest = history(tst_seed());
    EXPECT_EQ(history(tst_seed()), digest);
    EXPECT(history(tst_seed() + 1) != digest);
}
