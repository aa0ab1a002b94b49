/* SPDX-License-Identifier: Apache-2.0
 *
 * What a leader sends a member that does not answer, and what becomes of a leader that votes alone.
 */
#include "net.h"
#include "tst.h"

static struct net *of_three(const struct raft_config *config)
{
    struct net *net = net_new(3, 0x0e, 0, tst_seed(), config);
    net_campaign(net, 1);
    net_settle(net);
    EXPECT_EQ(net_leader(net), 1);
    return net;
}

static const struct raft_peer_status *peer_of(const struct raft_status *status, uint64_t id)
{
    const struct raft_peer_status *found = NULL;
    for (uint32_t i = 0; i < status->peer_count; i++) {
        found = status->peers[i].id == id ? &status->peers[i] : found;
    }
    EXPECT(found != NULL);
    return found;
}

TEST(bytes_in_flight_are_bounded)
{
    struct raft_config config = net_config(1);
    config.limits.inflight_bytes = 40;
    struct net *net = of_three(&config);
    for (uint32_t i = 0; i < 7; i++) { /* fewer than the messages that may be in flight */
        EXPECT_EQ(net_propose(net, 1, "ten bytes."), SH_OK);
    }
    struct raft_status status = net_status(net, 1);
    EXPECT_EQ(peer_of(&status, 2)->inflight, 4);
    EXPECT(peer_of(&status, 2)->inflight_full);
    EXPECT(peer_of(&status, 2)->next < status.last_index + 1);
    net_settle(net);
    EXPECT_EQ(net_commit(net, 1), 8);
    EXPECT_EQ(net_commit(net, 3), 8);
}

enum { NEWS_DELAY = 3 };

static struct net *of_three_that_tell_late(void)
{
    struct raft_config config = net_config(1);
    config.news_delay = NEWS_DELAY;
    struct net *net = of_three(&config);
    net_advance(net, NEWS_DELAY);
    EXPECT_EQ(net_commit(net, 3), 1);
    return net;
}

TEST(members_hear_of_a_commit_with_the_next_entries)
{
    struct net *net = of_three_that_tell_late();
    EXPECT_EQ(net_propose(net, 1, "first"), SH_OK);
    net_settle(net);
    EXPECT_EQ(net_commit(net, 1), 2);
    EXPECT_EQ(net_commit(net, 2), 1);
    EXPECT_EQ(net_propose(net, 1, "second"), SH_OK);
    net_settle(net);
    EXPECT_EQ(net_commit(net, 1), 3);
    EXPECT_EQ(net_commit(net, 2), 2);
    EXPECT_EQ(net_commit(net, 3), 2);
}

TEST(members_hear_of_a_commit_a_little_later_without_entries)
{
    struct net *net = of_three_that_tell_late();
    EXPECT_EQ(net_propose(net, 1, "last"), SH_OK);
    net_settle(net);
    EXPECT_EQ(raft_deadline(net->nodes[1].core), net->now + NEWS_DELAY);
    net_tick(net, 1); /* before it is due */
    net_advance(net, NEWS_DELAY - 1);
    net_tick(net, 1);
    net_settle(net);
    EXPECT_EQ(net_commit(net, 2), 1);
    net_advance(net, 1);
    EXPECT_EQ(net_commit(net, 2), 2);
    EXPECT_EQ(net_commit(net, 3), 2);
    EXPECT(raft_deadline(net->nodes[1].core) > net->now + NEWS_DELAY);
}

TEST(members_hear_at_once_of_what_one_of_them_waits_for)
{
    struct net *net = of_three_that_tell_late();
    struct raft_entry entry = {.type = RAFT_ENTRY_NORMAL, .size = 1, .data = (const uint8_t *)"x"};
    struct raft_event event = {.type = RAFT_PROPOSE};
    event.propose.entries = &entry;
    event.propose.count = 1;
    event.propose.eager = true;
    net_step(net, 1, event);
    net_settle(net);
    EXPECT_EQ(net_commit(net, 2), 2);
    EXPECT_EQ(net_propose(net, 1, "nobody waits"), SH_OK);
    net_settle(net);
    EXPECT_EQ(net_commit(net, 1), 3);
    EXPECT_EQ(net_commit(net, 2), 2);
}

TEST(a_member_that_is_probed_gets_one_message_at_a_time)
{
    struct raft_config config = net_config(1);
    struct net *net = of_three(&config);
    struct raft_event event = {.type = RAFT_UNREACHABLE};
    event.peer = 2;
    net_step(net, 1, event);
    for (uint32_t i = 0; i < 5; i++) {
        EXPECT_EQ(net_propose(net, 1, "x"), SH_OK);
    }
    struct raft_status status = net_status(net, 1);
    EXPECT(peer_of(&status, 2)->state == RAFT_PROBE);
    EXPECT_EQ(peer_of(&status, 2)->next, 2);
    EXPECT(peer_of(&status, 2)->paused);
    EXPECT_EQ(peer_of(&status, 3)->inflight, 5);
    net_settle(net);
    EXPECT_EQ(net_commit(net, 2), 6);
}

TEST(forgetting_the_leader_without_a_hint_only_frees_the_vote)
{
    struct raft_config config = net_config(1);
    struct net *net = of_three(&config);
    net_step(net, 2, (struct raft_event){.type = RAFT_FORGET_LEADER});
    EXPECT_EQ(net_status(net, 2).leader, 0);
    EXPECT_EQ(net_status(net, 2).term, 1);
    net_campaign(net, 3); /* its pre-vote is granted by 2, which follows nobody */
    net_settle(net);
    EXPECT_EQ(net_leader(net), 3);
    net_step(net, 3, (struct raft_event){.type = RAFT_FORGET_LEADER});
    EXPECT_EQ(net_leader(net), 3); /* a leader does not forget itself */
}

TEST(a_leader_that_votes_alone_is_replaced_in_one_change)
{
    struct raft_config config = net_config(1);
    struct net *net = net_new(2, 0x02, 0x04, tst_seed(), &config);
    net_campaign(net, 1);
    net_settle(net);
    net_propose_some(net, 1, 3);
    struct raft_conf_change change = {
        .count = 2,
        .changes = {{.type = RAFT_ADD_VOTER, .id = 2}, {.type = RAFT_ADD_LEARNER, .id = 1}}};
    struct raft_event event = {.type = RAFT_PROPOSE_CONF};
    event.change = &change;
    net_step(net, 1, event);
    EXPECT_EQ(net->nodes[1].told.refused, SH_OK);
    net_settle(net);
    EXPECT_EQ(net_leader(net), 0); /* it stepped down with the end of the change, */
    net_crash(net, 1);             /* and may go: the heir knows that it votes alone */
    net_advance(net, 200);
    EXPECT_EQ(net_leader(net), 2);
    struct raft_status status = net_status(net, 2);
    EXPECT(!raft_conf_joint(&status.conf));
    EXPECT_EQ(status.conf.voter_count, 1);
    EXPECT(raft_conf_learner(&status.conf, 1));
    EXPECT_EQ(net_propose(net, 2, "goes on"), SH_OK);
    net_settle(net);
    EXPECT_EQ(net_commit(net, 2), net_status(net, 2).last_index);
}
