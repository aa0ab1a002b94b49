/* SPDX-License-Identifier: Apache-2.0
 *
 * The disconnect hint where survivors notice at different times, or run at the same time. */
#include "net.h"
#include "tst.h"

static void hint(struct net *net, uint64_t id)
{
    struct raft_event event = {.type = RAFT_FORGET_LEADER};
    event.hint = true;
    net_step(net, id, event);
}

/* How long until somebody leads. */
static uint64_t wait_leader(struct net *net)
{
    uint64_t before = net->now;
    while (net_leader(net) == 0) {
        net_advance(net, 1);
    }
    return net->now - before;
}

TEST(a_survivor_that_notices_late_is_asked_again_soon)
{
    struct net *net = net_three();
    net_cut(net, 1, 3, true);
    EXPECT_EQ(net_propose(net, 1, "3 lacks this and cannot lead"), SH_OK);
    net_settle(net);
    net_crash(net, 1);
    hint(net, 2);
    net_advance(net, 20); /* 3 follows its leader still and ignores the question */
    EXPECT_EQ(net_leader(net), 0);
    hint(net, 3);
    EXPECT(wait_leader(net) <= 10);
    EXPECT_EQ(net_leader(net), 2);
}

TEST(survivors_that_refused_each_other_for_what_was_not_written_yet_ask_again)
{
    struct net *net = net_three();
    EXPECT_EQ(net_propose(net, 1, "on its way to two disks"), SH_OK);
    net_drop_to(net, 1);
    while (net->pool_count > 0) {
        (void)net_deliver_at(net, 0, false);
    }
    net_crash(net, 1);
    hint(net, 2);
    hint(net, 3);
    net_campaign(net, 2);
    net_campaign(net, 3);
    while (net->pool_count > 0) { /* neither has written: each claims less than the other holds */
        (void)net_deliver_at(net, 0, false);
    }
    EXPECT_EQ(net_leader(net), 0);
    EXPECT(wait_leader(net) <= 10);
}

TEST(survivors_that_run_at_the_same_time_do_not_split_the_vote)
{
    struct net *net = net_three();
    net_crash(net, 1);
    hint(net, 2);
    hint(net, 3);
    net_campaign(net, 2);
    net_campaign(net, 3);
    EXPECT(wait_leader(net) <= 10);
    EXPECT_EQ(net_status(net, 2).term, 2);
}

TEST(a_vote_that_is_lost_after_a_hint_is_repeated_before_the_timeout)
{
    struct net *net = net_three();
    net_crash(net, 1);
    hint(net, 2);
    hint(net, 3);
    while (net_status(net, 2).role != RAFT_CANDIDATE) {
        net->now++;
        net_tick(net, 2);
        while (net->pool_count > 0 && net_status(net, 2).role != RAFT_CANDIDATE) {
            (void)net_deliver_at(net, 0, false);
        }
    }
    net_drop_to(net, 0);
    EXPECT(wait_leader(net) <= 80); /* sixteen staggers; a timeout is a hundred and more */
}

TEST(a_member_that_refuses_a_shorter_log_after_a_silence_runs_itself)
{
    struct net *net = net_three();
    net_cut(net, 1, 3, true);
    EXPECT_EQ(net_propose(net, 1, "3 lacks this and cannot lead"), SH_OK);
    net_settle(net);
    net_crash(net, 1);
    net_advance(net, 99); /* nobody's timeout is shorter than 100 */
    EXPECT_EQ(net_leader(net), 0);
    net->now++;
    net_campaign(net, 3);
    EXPECT(wait_leader(net) <= 10);
    EXPECT_EQ(net_leader(net), 2);
}

TEST(a_vote_that_is_slow_to_be_written_is_not_taken_for_a_split_one)
{
    struct net *net = net_three();
    net_crash(net, 1);
    hint(net, 2);
    while (net_status(net, 2).role != RAFT_CANDIDATE) {
        net->now++;
        net_tick(net, 2);
        hint(net, 3);
        while (net->pool_count > 0 && net_status(net, 2).role != RAFT_CANDIDATE) {
            (void)net_deliver_at(net, 0, false);
        }
    }
    for (uint32_t i = 0; i < 90; i++) { /* its disk takes so long */
        net->now++;
        net_tick(net, 2);
    }
    EXPECT_EQ(net_status(net, 2).term, 2);
    EXPECT(net_status(net, 2).role == RAFT_CANDIDATE);
    net_settle(net);
    EXPECT_EQ(net_leader(net), 2);
}
