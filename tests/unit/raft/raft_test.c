/* SPDX-License-Identifier: Apache-2.0
 *
 * Scenarios of the Raft paper and dissertation, and of what this core adds. */
#include "net.h"
#include "tst.h"

#include <stdlib.h>
#include <string.h>

TEST(a_group_elects_a_leader_and_commits_its_empty_entry)
{
    struct net *net = net_group(3, 0x0e, 0);
    net_campaign(net, 1);
    net_settle(net);
    EXPECT_EQ(net_leader(net), 1);
    EXPECT_EQ(net_commit(net, 1), 1);
    EXPECT_EQ(net_propose(net, 1, "a"), SH_OK);
    net_settle(net);
    net_advance(net, 20);
    for (uint64_t id = 1; id <= 3; id++) {
        EXPECT_EQ(net->nodes[id].applied, 2);
    }
}

TEST(a_group_left_alone_elects_a_leader_within_two_timeouts)
{
    struct net *net = net_group(5, 0x3e, 0);
    EXPECT(raft_deadline(net->nodes[1].core) >= net->now + 100);
    EXPECT(raft_deadline(net->nodes[1].core) < net->now + 200);
    net_advance(net, 200);
    EXPECT(net_leader(net) != 0);
}

TEST(a_single_voter_leads_and_commits_alone)
{
    struct net *net = net_group(1, 0x02, 0);
    net_advance(net, 200);
    EXPECT_EQ(net_leader(net), 1);
    EXPECT_EQ(net_propose(net, 1, "a"), SH_OK);
    net_settle(net);
    EXPECT_EQ(net->nodes[1].applied, 2);
    net_read(net, 1);
    EXPECT_EQ(net->reads_served, 1);
}

/* Figure 7 of the Raft paper; the leader is node 1, (a) to (f) are nodes 2 to 7. */
TEST(a_new_leader_repairs_every_log_of_figure_7)
{
    static const uint64_t leader[] = {1, 1, 1, 4, 4, 5, 5, 6, 6, 6};
    static const uint64_t a[] = {1, 1, 1, 4, 4, 5, 5, 6, 6};
    static const uint64_t b[] = {1, 1, 1, 4};
    static const uint64_t c[] = {1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6};
    static const uint64_t d[] = {1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7};
    static const uint64_t e[] = {1, 1, 1, 4, 4, 4, 4};
    static const uint64_t f[] = {1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3};
    struct net *net = net_group(7, 0xfe, 0);
    for (uint64_t id = 1; id <= 7; id++) {
        net_crash(net, id);
    }
    net_set_log(net, 1, leader, SH_COUNT(leader), 7);
    net_set_log(net, 2, a, SH_COUNT(a), 6);
    net_set_log(net, 3, b, SH_COUNT(b), 7);
    net_set_log(net, 4, c, SH_COUNT(c), 6);
    net_set_log(net, 5, d, SH_COUNT(d), 7);
    net_set_log(net, 6, e, SH_COUNT(e), 4);
    net_set_log(net, 7, f, SH_COUNT(f), 7);
    for (uint64_t id = 1; id <= 7; id++) {
        net_start(net, id);
    }
    net_campaign(net, 1);
    net_settle(net);
    net_advance(net, 30);
    EXPECT_EQ(net_leader(net), 1);
    for (uint64_t id = 1; id <= 7; id++) {
        EXPECT_STR(net_terms(net, id), "1 1 1 4 4 5 5 6 6 6 8");
        EXPECT_EQ(net_commit(net, id), 11);
    }
}

/* Figure 8: an entry of an old term on a majority is not committed by counting. */
TEST(an_entry_of_an_old_term_is_not_committed_by_counting_as_in_figure_8)
{
    static const uint64_t one_two[] = {1, 2};
    static const uint64_t one[] = {1};
    static const uint64_t one_three[] = {1, 3};
    struct raft_config config = net_config(1);
    config.limits.batch_entries = 1;
    config.pre_vote = false;
    config.check_quorum = false;
    struct net *net = net_new(5, 0x3e, 0, tst_seed(), &config);
    for (uint64_t id = 1; id <= 5; id++) {
        net_crash(net, id);
    }
    net_set_log(net, 1, one_two, 2, 3);
    net_set_log(net, 2, one_two, 2, 3);
    net_set_log(net, 3, one, 1, 3);
    net_set_log(net, 4, one, 1, 3);
    net_set_log(net, 5, one_three, 2, 3);
    for (uint64_t id = 1; id <= 5; id++) {
        net_start(net, id);
    }
    net_isolate(net, 5, true);
    net_campaign(net, 1);
    /* Until S3 has the entry of term 2, and not a step further. */
    for (uint32_t i = 0; i < 10000 && net->nodes[3].disk.last < 2; i++) {
        for (uint64_t id = 1; id <= 4; id++) {
            net_write_one(net, id);
        }
        if (net->pool_count > 0) {
            (void)net_deliver_at(net, net->pool_count - 1, false);
        }
    }
    EXPECT_STR(net_terms(net, 3), "1 2"); /* now on S1, S2 and S3: a majority */
    EXPECT_EQ(net_leader(net), 1);
    struct raft_msg acked = {.type = RAFT_MSG_APP_RESP, .from = 3, .to = 1, .term = 4, .index = 2};
    struct raft_event event = {.type = RAFT_RECEIVE};
    event.message = &acked;
    net_step(net, 1, event);
    EXPECT_EQ(net_commit(net, 1), 0);
    net_crash(net, 1);
    net_drop_to(net, 0);
    net_isolate(net, 5, false);
    net_campaign(net, 5); /* its first try only finds the term out */
    net_settle(net);
    net_campaign(net, 5);
    net_settle(net);
    EXPECT_EQ(net_leader(net), 5);
    net_start(net, 1);
    net_advance(net, 30);
    for (uint64_t id = 1; id <= 5; id++) {
        EXPECT_EQ(net->nodes[id].live.entries[2].term, 3);
    }
}

TEST(a_vote_leaves_only_when_it_is_durable)
{
    struct net *net = net_group(3, 0x0e, 0);
    struct raft_msg ask = {.type = RAFT_MSG_VOTE, .from = 1, .to = 2, .term = 1};
    struct raft_event event = {.type = RAFT_RECEIVE};
    event.message = &ask;
    net_step(net, 2, event);
    EXPECT_EQ(net->pool_count, 0);
    EXPECT(net->nodes[2].held != NULL);
    net_crash(net, 2); /* the vote is forgotten, and nobody has heard of it */
    net_start(net, 2);
    EXPECT_EQ(net_status(net, 2).vote, 0);
    ask.from = 3;
    net_step(net, 2, event);
    net_write_one(net, 2);
    EXPECT_EQ(net->pool_count, 1);
    net_crash(net, 2);
    net_start(net, 2);
    EXPECT_EQ(net_status(net, 2).vote, 3);
    ask.from = 1;
    net_step(net, 2, event);
    EXPECT_EQ(net_status(net, 2).vote, 3);
}

TEST(a_vote_in_a_term_already_known_is_made_durable_too)
{
    struct net *net = net_group(3, 0x0e, 0);
    struct raft_msg m = {.type = RAFT_MSG_VOTE_RESP, .from = 1, .to = 2, .term = 5, .reject = true};
    struct raft_event event = {.type = RAFT_RECEIVE};
    event.message = &m;
    net_step(net, 2, event);
    net_settle(net);
    EXPECT_EQ(net->nodes[2].hard.term, 5);
    m.type = RAFT_MSG_VOTE;
    m.reject = false;
    net_step(net, 2, event);
    EXPECT_EQ(net_status(net, 2).vote, 1);
    EXPECT_EQ(net->pool_count, 0);
    net_write_one(net, 2);
    EXPECT_EQ(net->nodes[2].hard.vote, 1);
    EXPECT_EQ(net->pool_count, 1);
}

TEST(a_candidate_leads_only_when_its_own_term_is_durable)
{
    struct raft_config config = net_config(1);
    config.pre_vote = false;
    struct net *net = net_new(3, 0x0e, 0, tst_seed(), &config);
    net_campaign(net, 1);
    for (uint64_t id = 2; id <= 3; id++) {
        (void)net_deliver_at(net, net->pool_count - 1, false);
    }
    net_write_one(net, 2);
    net_write_one(net, 3);
    while (net->pool_count > 0) {
        (void)net_deliver_at(net, 0, false);
    }
    EXPECT(net_status(net, 1).role == RAFT_CANDIDATE); /* both others voted for it */
    net_write_one(net, 1);
    EXPECT(net_status(net, 1).role == RAFT_LEADER);
}

TEST(a_candidate_claims_only_what_is_on_its_disk)
{
    struct net *net = net_three();
    EXPECT_EQ(net_propose(net, 1, "a"), SH_OK);
    while (net->pool_count > 0) {
        (void)net_deliver_at(net, 0, false);
    }
    EXPECT_EQ(net_status(net, 2).last_index, 2);
    EXPECT_EQ(net_status(net, 2).durable_index, 1);
    net_campaign(net, 2);
    EXPECT(net->nodes[2].told.message_count > 0);
    for (uint32_t i = 0; i < net->nodes[2].told.message_count; i++) {
        EXPECT_EQ(net->nodes[2].told.messages[i].index, 1);
    }
}

TEST(a_member_that_was_cut_off_does_not_disturb_the_leader)
{
    struct net *net = net_three();
    net_isolate(net, 3, true);
    net_advance(net, 1000);
    EXPECT_EQ(net_status(net, 3).term, 1); /* pre-votes do not raise terms */
    net_isolate(net, 3, false);
    net_advance(net, 300);
    EXPECT_EQ(net_leader(net), 1);
    EXPECT_EQ(net_status(net, 1).term, 1);
    EXPECT_EQ(net_status(net, 3).leader, 1);
}

TEST(without_pre_vote_the_lease_refuses_votes_while_a_leader_is_heard)
{
    struct raft_config config = net_config(1);
    config.pre_vote = false;
    struct net *net = net_new(3, 0x0e, 0, tst_seed(), &config);
    net_campaign(net, 1);
    net_settle(net);
    net_campaign(net, 2);
    while (net->nodes[2].writes != NULL) {
        net_write_one(net, 2);
    }
    while (net->pool_count > 0) {
        (void)net_deliver_at(net, net->pool_count - 1, false);
    }
    EXPECT_EQ(net_status(net, 3).term, 1);
    EXPECT_EQ(net_status(net, 1).term, 1);
    EXPECT(net_status(net, 1).role == RAFT_LEADER);
}

TEST(a_leader_that_hears_no_majority_steps_down)
{
    struct net *net = net_three();
    net_isolate(net, 1, true);
    net_advance(net, 250);
    EXPECT(net_status(net, 1).role != RAFT_LEADER);
    EXPECT_EQ(net_propose(net, 1, "lost"), SH_ERR_NOT_LEADER);
    EXPECT(net_leader(net) != 0);
    EXPECT(net_leader(net) != 1);
}

TEST(an_entry_of_a_deposed_leader_is_replaced_everywhere)
{
    struct net *net = net_three();
    net_propose_some(net, 1, 3);
    net_isolate(net, 1, true);
    EXPECT_EQ(net_propose(net, 1, "never committed"), SH_OK);
    net_settle(net);
    net_advance(net, 400);
    uint64_t leader = net_leader(net);
    EXPECT(leader == 2 || leader == 3);
    net_propose_some(net, leader, 2);
    net_isolate(net, 1, false);
    net_advance(net, 50);
    EXPECT_STR(net_terms(net, 1), net_terms(net, leader));
    EXPECT_EQ(net_commit(net, 1), net_commit(net, leader));
}

TEST(a_learner_gets_the_log_but_does_not_count)
{
    struct net *net = net_group(4, 0x0e, 0);
    net_campaign(net, 1);
    net_settle(net);
    EXPECT_EQ(net_change(net, 1, RAFT_AUTO, RAFT_ADD_LEARNER, 4), SH_OK);
    net_settle(net);
    net_propose_some(net, 1, 3);
    net_advance(net, 20);
    EXPECT_EQ(net->nodes[4].applied, net->nodes[1].applied);
    net_isolate(net, 2, true);
    net_isolate(net, 3, true);
    uint64_t commit = net_commit(net, 1);
    EXPECT_EQ(net_propose(net, 1, "b"), SH_OK);
    net_settle(net);
    EXPECT_EQ(net_status(net, 4).last_index, commit + 1);
    EXPECT_EQ(net_commit(net, 1), commit);
    EXPECT(raft_deadline(net->nodes[4].core) == RAFT_TIME_NEVER); /* it never campaigns */
}

TEST(a_promoted_learner_counts)
{
    struct net *net = net_group(4, 0x06, 0x10);
    net_campaign(net, 1);
    net_settle(net);
    EXPECT_EQ(net_change(net, 1, RAFT_AUTO, RAFT_ADD_VOTER, 4), SH_OK);
    net_settle(net);
    EXPECT_EQ(net_status(net, 1).conf.voter_count, 3);
    EXPECT_EQ(net_status(net, 1).conf.learner_count, 0);
    net_isolate(net, 2, true);
    net_propose_some(net, 1, 1);
    EXPECT_EQ(net_commit(net, 1), net_status(net, 1).last_index);
}

static void replace_all(struct net *net, enum raft_transition transition)
{
    struct raft_conf_change change = {.transition = transition, .count = 5};
    change.changes[0] = (struct raft_change){.type = RAFT_ADD_VOTER, .id = 4};
    change.changes[1] = (struct raft_change){.type = RAFT_ADD_VOTER, .id = 5};
    change.changes[2] = (struct raft_change){.type = RAFT_ADD_VOTER, .id = 6};
    change.changes[3] = (struct raft_change){.type = RAFT_REMOVE, .id = 1};
    change.changes[4] = (struct raft_change){.type = RAFT_REMOVE, .id = 2};
    struct raft_event event = {.type = RAFT_PROPOSE_CONF};
    event.change = &change;
    net_step(net, 1, event);
    EXPECT_EQ(net->nodes[1].told.refused, SH_OK);
}

TEST(a_joint_change_replaces_voters_and_leaves_by_itself)
{
    struct net *net = net_group(6, 0x0e, 0);
    net_campaign(net, 1);
    net_settle(net);
    replace_all(net, RAFT_AUTO);
    net_settle(net);
    net_advance(net, 300);
    uint64_t leader = net_leader(net);
    EXPECT(leader >= 3); /* the old leader removed itself and stepped down */
    struct raft_status status = net_status(net, leader);
    EXPECT(!raft_conf_joint(&status.conf));
    EXPECT_EQ(status.conf.voter_count, 4);
    EXPECT(!status.conf.auto_leave);
    net_crash(net, 1);
    net_crash(net, 2);
    net_propose_some(net, leader, 2);
    EXPECT_EQ(net_commit(net, leader), net_status(net, leader).last_index);
}

TEST(while_joint_both_majorities_must_agree)
{
    struct net *net = net_group(6, 0x0e, 0);
    net_campaign(net, 1);
    net_settle(net);
    replace_all(net, RAFT_EXPLICIT);
    net_settle(net);
    EXPECT(raft_conf_joint(&net->nodes[1].told.conf));
    uint64_t commit = net_commit(net, 1);
    net_isolate(net, 4, true);
    net_isolate(net, 5, true);
    EXPECT_EQ(net_propose(net, 1, "a"), SH_OK);
    net_settle(net);
    EXPECT_EQ(net_commit(net, 1), commit); /* 1, 2, 3 and 6 have it: no majority of 3 4 5 6 */
    net_isolate(net, 4, false);
    net_isolate(net, 5, false);
    net_advance(net, 30);
    EXPECT_EQ(net_commit(net, 1), commit + 1);
    net_isolate(net, 2, true);
    net_isolate(net, 3, true);
    EXPECT_EQ(net_propose(net, 1, "b"), SH_OK);
    net_settle(net);
    EXPECT_EQ(net_commit(net, 1), commit + 1); /* 1, 4, 5 and 6 have it: no majority of 1 2 3 */
    net_isolate(net, 2, false);
    net_isolate(net, 3, false);
    net_advance(net, 30);
    EXPECT_EQ(net_commit(net, 1), commit + 2);
    EXPECT_EQ(net_change(net, 1, RAFT_AUTO, RAFT_ADD_VOTER, 2), SH_ERR_CONFLICT);
    net_settle(net);
    EXPECT_EQ(net_change(net, 1, RAFT_AUTO, RAFT_UPDATE, 0), SH_OK);
    net_settle(net);
    EXPECT(!raft_conf_joint(&net->nodes[1].told.conf));
}

/* The only voter left does not know that it is: it holds the entry that made it so, but neither
 * that it is committed nor the entries that the others hold beyond. */
TEST(the_last_voter_learns_from_refused_votes_that_it_may_lead)
{
    struct net *net = net_three();
    struct raft_conf_change change = {.transition = RAFT_EXPLICIT, .count = 2};
    change.changes[0] = (struct raft_change){.type = RAFT_REMOVE, .id = 1};
    change.changes[1] = (struct raft_change){.type = RAFT_REMOVE, .id = 2};
    struct raft_event event = {.type = RAFT_PROPOSE_CONF};
    event.change = &change;
    net_step(net, 1, event);
    net_settle(net);
    EXPECT_EQ(net_change(net, 1, RAFT_AUTO, RAFT_UPDATE, 0), SH_OK);
    uint64_t leave = net_status(net, 1).last_index;
    for (uint32_t i = 0; i < 1000 && net_commit(net, 1) < leave; i++) {
        for (uint64_t id = 1; id <= 3; id++) {
            net_write_one(net, id);
        }
        if (net->pool_count > 0) {
            (void)net_deliver_at(net, net->pool_count - 1, false);
        }
    }
    EXPECT_EQ(net_status(net, 3).last_index, leave);
    EXPECT(net_commit(net, 3) < leave);
    net_isolate(net, 3, true);
    EXPECT_EQ(net_propose(net, 1, "beyond"), SH_OK);
    net_settle(net);
    EXPECT(net_status(net, 1).role == RAFT_FOLLOWER); /* it applied its own removal */
    EXPECT_EQ(net_status(net, 2).last_index, leave + 1);
    net_isolate(net, 3, false);
    net_advance(net, 600);
    EXPECT_EQ(net_leader(net), 3);
    EXPECT_EQ(net_status(net, 3).conf.voter_count, 1);
    EXPECT(net_commit(net, 3) > leave);
}

TEST(one_change_at_a_time)
{
    struct net *net = net_three();
    net_isolate(net, 2, true);
    net_isolate(net, 3, true);
    EXPECT_EQ(net_change(net, 1, RAFT_AUTO, RAFT_ADD_LEARNER, 4), SH_OK);
    uint64_t last = net_status(net, 1).last_index;
    EXPECT_EQ(net_change(net, 1, RAFT_AUTO, RAFT_ADD_LEARNER, 5), SH_ERR_CONFLICT);
    EXPECT_EQ(net_status(net, 1).last_index, last + 1); /* an empty entry took its place */
    EXPECT(net->nodes[1].live.entries[last + 1].type == RAFT_ENTRY_NORMAL);
}

TEST(a_new_leader_waits_for_the_changes_it_inherited)
{
    struct net *net = net_three();
    EXPECT_EQ(net_change(net, 1, RAFT_AUTO, RAFT_ADD_LEARNER, 4), SH_OK);
    while (net_status(net, 2).last_index < 2) {
        (void)net_deliver_at(net, net->pool_count - 1, false);
    }
    net_crash(net, 1);
    net_drop_to(net, 0);
    while (net->nodes[2].writes != NULL) {
        net_write_one(net, 2);
    }
    net_step(net, 3, (struct raft_event){.type = RAFT_FORGET_LEADER});
    net_campaign(net, 2);
    for (uint32_t i = 0; i < 100 && net_leader(net) == 0; i++) {
        net_write_one(net, 2);
        net_write_one(net, 3);
        if (net->pool_count > 0) {
            (void)net_deliver_at(net, net->pool_count - 1, false);
        }
    }
    EXPECT_EQ(net_leader(net), 2);
    EXPECT_EQ(net_change(net, 2, RAFT_AUTO, RAFT_ADD_LEARNER, 5), SH_ERR_CONFLICT);
    net_settle(net);
    EXPECT_EQ(net_status(net, 2).conf.learner_count, 1);
    EXPECT_EQ(net_change(net, 2, RAFT_AUTO, RAFT_ADD_LEARNER, 5), SH_OK);
}

TEST(a_change_that_no_configuration_allows_is_refused_with_its_reason)
{
    struct net *net = net_group(1, 0x02, 0);
    net_advance(net, 200);
    EXPECT_EQ(net_change(net, 1, RAFT_AUTO, RAFT_REMOVE, 1), SH_ERR_CONFLICT);
    EXPECT(net->nodes[1].told.reason == RAFT_CONF_NO_VOTERS);
}

TEST(leadership_is_transferred_without_waiting_for_a_timeout)
{
    struct net *net = net_three();
    net_propose_some(net, 1, 2);
    struct raft_event event = {.type = RAFT_TRANSFER};
    event.peer = 2;
    net_step(net, 1, event);
    EXPECT_EQ(net_propose(net, 1, "refused"), SH_ERR_FULL); /* while it hands over */
    net_settle(net);
    EXPECT_EQ(net_leader(net), 2);
    EXPECT_EQ(net_status(net, 2).term, 2);
    event.peer = 9;
    net_step(net, 2, event);
    EXPECT_EQ(net->nodes[2].told.refused, SH_ERR_INVALID);
}

TEST(a_transfer_to_a_silent_member_is_given_up)
{
    struct net *net = net_three();
    net_isolate(net, 2, true);
    struct raft_event event = {.type = RAFT_TRANSFER};
    event.peer = 2;
    net_step(net, 1, event);
    net_settle(net);
    net_advance(net, 110);
    EXPECT_EQ(net_leader(net), 1);
    EXPECT_EQ(net_propose(net, 1, "a"), SH_OK);
}

TEST(a_broken_connection_to_the_leader_elects_another_at_once)
{
    struct net *net = net_three();
    net_crash(net, 1);
    struct raft_event event = {.type = RAFT_FORGET_LEADER};
    event.hint = true;
    net_step(net, 2, event);
    net_step(net, 3, event);
    uint64_t before = net->now;
    while (net_leader(net) == 0) {
        net_advance(net, 1);
    }
    EXPECT(net->now - before <= 10); /* two ranks of five units; a timeout is a hundred */
}

TEST(a_false_hint_does_not_depose_a_leader_that_a_majority_hears)
{
    struct net *net = net_three();
    struct raft_event event = {.type = RAFT_FORGET_LEADER};
    event.hint = true;
    net_step(net, 2, event);
    net_advance(net, 100);
    EXPECT_EQ(net_leader(net), 1);
    EXPECT_EQ(net_status(net, 1).term, 1);
    EXPECT_EQ(net_status(net, 2).leader, 1);
}

static void receive_append(struct net *net, uint64_t to, uint64_t from, uint64_t term,
                           uint64_t prev, uint64_t prev_term, uint64_t entry_term)
{
    struct raft_entry entry = {.term = entry_term, .index = prev + 1};
    struct raft_msg m = {.type = RAFT_MSG_APP,
                         .from = from,
                         .to = to,
                         .term = term,
                         .index = prev,
                         .log_term = prev_term,
                         .entries = &entry,
                         .entry_count = 1};
    struct raft_event event = {.type = RAFT_RECEIVE};
    event.message = &m;
    net_step(net, to, event);
}

TEST(only_what_a_message_vouches_for_is_committed)
{
    struct net *net = net_group(3, 0x0e, 0);
    receive_append(net, 1, 2, 1, 0, 0, 1);
    receive_append(net, 1, 2, 1, 1, 1, 1); /* 1/2: the leader of term 2 does not have it */
    struct raft_msg m = {.type = RAFT_MSG_APP,
                         .from = 3,
                         .to = 1,
                         .term = 2,
                         .index = 1,
                         .log_term = 1,
                         .commit = 2};
    struct raft_event event = {.type = RAFT_RECEIVE};
    event.message = &m;
    net_step(net, 1, event);
    EXPECT_EQ(net_status(net, 1).last_index, 2);
    EXPECT_EQ(net_commit(net, 1), 1);
}

/* An entry is replaced while it is being written, by one of the same index and another term. */
TEST(the_end_of_a_write_that_was_overtaken_promises_nothing)
{
    struct net *net = net_group(3, 0x0e, 0);
    receive_append(net, 1, 2, 1, 0, 0, 1);
    receive_append(net, 1, 3, 2, 0, 0, 2);
    receive_append(net, 1, 2, 3, 0, 0, 3);
    EXPECT_EQ(net_status(net, 1).durable_index, 0);
    net_write_one(net, 1); /* 1/1 is on disk now */
    EXPECT_EQ(net->nodes[1].disk.entries[1].term, 1);
    EXPECT_EQ(net_status(net, 1).durable_index, 0);
    net_write_one(net, 1); /* 2/1 */
    EXPECT_EQ(net_status(net, 1).durable_index, 0);
    net_write_one(net, 1); /* 3/1 */
    EXPECT_EQ(net->nodes[1].disk.entries[1].term, 3);
    EXPECT_EQ(net_status(net, 1).durable_index, 1);
}

TEST(a_follower_far_behind_is_fed_from_the_hosts_log)
{
    struct net *net = net_three();
    net_crash(net, 3);
    net_propose_some(net, 1, 200); /* three times the tail */
    net_start(net, 3);
    net_advance(net, 100);
    EXPECT(net->log_reads > 0);
    EXPECT_EQ(net->nodes[3].applied, net->nodes[1].applied);
    EXPECT_EQ(net->installs, 0);
}

TEST(a_follower_behind_the_compaction_gets_a_snapshot)
{
    struct net *net = net_three();
    net_crash(net, 3);
    net_propose_some(net, 1, 50);
    net_advance(net, 20);
    net->nodes[1].applied_durable = net->nodes[1].applied;
    net_compact(net, 1, 40);
    EXPECT_EQ(net_status(net, 1).first_index, 41);
    net_start(net, 3);
    net_advance(net, 100);
    EXPECT_EQ(net->installs, 1);
    EXPECT_EQ(net->nodes[3].applied, net->nodes[1].applied);
    net_crash(net, 3);
    net_start(net, 3);
    EXPECT(net->nodes[3].applied >= 41);
}

TEST(what_is_not_committed_is_bounded)
{
    struct raft_config config = net_config(1);
    config.check_quorum = false;
    config.limits.uncommitted_bytes = 100;
    struct net *net = net_new(3, 0x0e, 0, tst_seed(), &config);
    net_campaign(net, 1);
    net_settle(net);
    net_isolate(net, 1, true);
    uint32_t accepted = 0;
    while (net_propose(net, 1, "ten bytes.") == SH_OK) {
        accepted++;
    }
    EXPECT_EQ(accepted, 10);
    EXPECT_EQ(net->nodes[1].told.refused, SH_ERR_FULL);
    net_isolate(net, 1, false);
    net_advance(net, 30);
    EXPECT_EQ(net_propose(net, 1, "ten bytes."), SH_OK);
}

TEST(a_full_tail_refuses_proposals_and_recovers)
{
    struct raft_config config = net_config(1);
    config.limits.uncommitted_bytes = 0;
    struct net *net = net_new(3, 0x0e, 0, tst_seed(), &config);
    net_campaign(net, 1);
    net_settle(net);
    uint32_t accepted = 0;
    while (net_propose(net, 1, "x") == SH_OK) { /* its disk never finishes */
        accepted++;
    }
    EXPECT(accepted >= 32);
    EXPECT(accepted <= 64);
    net_settle(net);
    EXPECT_EQ(net_propose(net, 1, "x"), SH_OK);
}

TEST(an_unreachable_follower_is_probed_until_it_answers)
{
    struct net *net = net_three();
    struct raft_event event = {.type = RAFT_UNREACHABLE};
    event.peer = 2;
    net_step(net, 1, event);
    EXPECT(net_status(net, 1).peers[1].state == RAFT_PROBE);
    net_advance(net, 20); /* heartbeat, answer, probe, answer */
    EXPECT(net_status(net, 1).peers[1].state == RAFT_REPLICATE);
}

TEST(a_refusal_that_comes_late_does_not_slow_replication)
{
    struct net *net = net_three();
    net_propose_some(net, 1, 3);
    struct raft_msg m = {.type = RAFT_MSG_APP_RESP,
                         .from = 2,
                         .to = 1,
                         .term = 1,
                         .index = 2,
                         .reject = true,
                         .hint = 1,
                         .log_term = 1};
    struct raft_event event = {.type = RAFT_RECEIVE};
    event.message = &m;
    net_step(net, 1, event);
    EXPECT(net_status(net, 1).peers[1].state == RAFT_REPLICATE);
    EXPECT_EQ(net->nodes[1].told.message_count, 0);
}

TEST(messages_in_flight_are_bounded)
{
    struct net *net = net_three();
    for (uint32_t i = 0; i < 20; i++) {
        EXPECT_EQ(net_propose(net, 1, "x"), SH_OK);
    }
    struct raft_status status = net_status(net, 1);
    EXPECT_EQ(status.peers[1].inflight, 8);
    EXPECT(status.peers[1].inflight_full);
    EXPECT(status.peers[1].paused);
    net_settle(net);
    EXPECT_EQ(net_commit(net, 1), 21);
    EXPECT_EQ(net_status(net, 1).peers[1].inflight, 0);
}

TEST(a_member_does_not_campaign_with_an_unapplied_change)
{
    struct net *net = net_three();
    EXPECT_EQ(net_change(net, 1, RAFT_AUTO, RAFT_ADD_LEARNER, 9), SH_OK);
    for (uint32_t i = 0; i < 100; i++) {
        for (uint64_t id = 1; id <= 3; id++) {
            net_write_one(net, id);
        }
        if (net->pool_count > 0) {
            (void)net_deliver_at(net, net->pool_count - 1, false);
        }
    }
    EXPECT_EQ(net_commit(net, 2), 2); /* committed, not applied */
    net_campaign(net, 2);
    EXPECT(net_status(net, 2).role == RAFT_FOLLOWER);
    net_settle(net);
    net_campaign(net, 2);
    EXPECT(net_status(net, 2).role == RAFT_PRE_CANDIDATE);
}

TEST(a_follower_forwards_proposals_only_when_told_to)
{
    struct raft_config config = net_config(1);
    struct net *net = net_new(3, 0x0e, 0, tst_seed(), &config);
    net_campaign(net, 1);
    net_settle(net);
    EXPECT_EQ(net_propose(net, 2, "a"), SH_ERR_NOT_LEADER);
    config.forward_proposals = true;
    struct net *other = net_new(3, 0x0e, 0, tst_seed(), &config);
    net_campaign(other, 1);
    net_settle(other);
    EXPECT_EQ(net_propose(other, 2, "a"), SH_OK);
    net_settle(other);
    EXPECT_EQ(net_commit(other, 1), 2);
}

TEST(a_clone_goes_the_same_way_as_its_original)
{
    struct net *net = net_three();
    net_propose_some(net, 1, 5);
    size_t size = raft_bytes(&net->nodes[1].config.limits);
    void *memory = aligned_alloc(64, size);
    struct raft *clone = raft_clone(memory, net->nodes[1].core);
    EXPECT_EQ(raft_digest(clone), raft_digest(net->nodes[1].core));
    struct raft_entry entry = {.size = 3, .data = (const uint8_t *)"abc"};
    struct raft_event event = {.type = RAFT_PROPOSE, .now = net->now + 1};
    event.propose.entries = &entry;
    event.propose.count = 1;
    struct raft_update a;
    struct raft_update b;
    raft_step(clone, &event, &a);
    EXPECT(raft_digest(clone) != raft_digest(net->nodes[1].core));
    raft_step(net->nodes[1].core, &event, &b);
    EXPECT_EQ(raft_digest(clone), raft_digest(net->nodes[1].core));
    EXPECT_EQ(a.message_count, b.message_count);
    EXPECT_EQ(a.append_count, 1);
    struct raft_entry seen;
    EXPECT(raft_entry(clone, a.append[0].index, &seen));
    EXPECT_MEM(seen.data, entry.data, 3);
    raft_check(clone);
    free(memory);
}

TEST(equal_seeds_give_equal_runs)
{
    uint64_t digests[2] = {0};
    for (uint32_t run = 0; run < 2; run++) {
        struct raft_config config = net_config(1);
        struct net *net = net_new(5, 0x3e, 0, 42, &config);
        net_advance(net, 300);
        net_propose_some(net, net_leader(net), 5);
        for (uint64_t id = 1; id <= 5; id++) {
            digests[run] = sh_mix64(digests[run] ^ raft_digest(net->nodes[id].core));
        }
    }
    EXPECT_EQ(digests[0], digests[1]);
}

TEST_DIES(a_boot_state_that_contradicts_itself_panics, "boot->applied")
{
    struct net *net = net_group(1, 0x02, 0);
    net_crash(net, 1);
    net->nodes[1].applied_durable = 5;
    net->conf_known[5] = true;
    net_start(net, 1);
}
