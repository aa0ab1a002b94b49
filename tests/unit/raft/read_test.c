/* SPDX-License-Identifier: Apache-2.0
 *
 * Linearizable reads by read index. */
#include "net.h"
#include "tst.h"

TEST(reads_are_served_from_leader_and_follower_after_a_quorum_confirms)
{
    struct net *net = net_three();
    net_read(net, 1);
    EXPECT_EQ(net->nodes[1].told.read_count, 0); /* not before the others answered */
    net_settle(net);
    EXPECT_EQ(net->reads_served, 1);
    net_read(net, 2);
    net_settle(net);
    EXPECT_EQ(net->reads_served, 2);
}

TEST(a_leader_that_was_replaced_serves_no_read)
{
    struct net *net = net_three();
    net_isolate(net, 1, true);
    net_step(net, 2, (struct raft_event){.type = RAFT_FORGET_LEADER});
    net_step(net, 3, (struct raft_event){.type = RAFT_FORGET_LEADER});
    net_campaign(net, 2);
    net_settle(net);
    net_propose_some(net, 2, 1);
    EXPECT(net_status(net, 1).role == RAFT_LEADER); /* it does not know yet */
    net_read(net, 1);
    net_settle(net);
    EXPECT_EQ(net->reads_served, 0);
    net_isolate(net, 1, false);
    net_advance(net, 30);
    EXPECT_EQ(net->reads_served, 0);
    EXPECT(net_status(net, 1).role == RAFT_FOLLOWER);
}

TEST(a_late_answer_to_an_older_round_does_not_serve_a_younger_read)
{
    struct net *net = net_three();
    net_read(net, 1);
    net_drop_to(net, 0); /* the round's heartbeats are lost */
    net_read(net, 1);
    struct raft_msg late = {
        .type = RAFT_MSG_HEARTBEAT_RESP, .from = 2, .to = 1, .term = 1, .ctx = 1};
    struct raft_event event = {.type = RAFT_RECEIVE};
    event.message = &late;
    net_step(net, 1, event);
    EXPECT_EQ(net->nodes[1].told.read_count, 1); /* the first read, and not the second */
    EXPECT_EQ(net->nodes[1].told.reads[0].ctx, 1);
    net_settle(net);
    net_advance(net, 20);
    EXPECT_EQ(net->reads_served, 2);
}

TEST(a_read_waits_for_the_first_commit_of_the_term)
{
    struct net *net = net_group(3, 0x0e, 0);
    net_campaign(net, 1);
    for (uint32_t i = 0; i < 1000 && net_leader(net) == 0; i++) {
        for (uint64_t id = 1; id <= 3; id++) {
            net_write_one(net, id);
        }
        if (net->pool_count > 0) {
            (void)net_deliver_at(net, net->pool_count - 1, false);
        }
    }
    EXPECT_EQ(net_commit(net, 1), 0);
    net_read(net, 1);
    EXPECT_EQ(net->reads_served, 0);
    net_settle(net);
    EXPECT_EQ(net_commit(net, 1), 1);
    EXPECT_EQ(net->reads_served, 1);
}

TEST(reads_beyond_the_limit_are_refused)
{
    struct net *net = net_three();
    net_isolate(net, 1, true);
    for (uint32_t i = 0; i < 16; i++) {
        net_read(net, 1);
    }
    net_read(net, 1);
    EXPECT_EQ(net->nodes[1].told.read_count, 1);
    EXPECT_EQ(net->nodes[1].told.reads[0].err, SH_ERR_FULL);
    net_advance(net, 250); /* it steps down: whoever waited is told */
    EXPECT_EQ(net->reads_served, 0);
}
