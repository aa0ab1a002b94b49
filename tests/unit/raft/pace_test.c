/* SPDX-License-Identifier: Apache-2.0
 *
 * Election timeouts that follow disk, round trip and regularity; leaders whose disk goes silent. */
#include "net.h"
#include "tst.h"

static struct net *paced(uint64_t election_max)
{
    struct raft_config config = net_config(1);
    config.election_max = election_max;
    config.abdicate = true;
    struct net *net = net_new(3, 0x0e, 0, tst_seed(), &config);
    net_campaign(net, 1);
    net_settle(net);
    EXPECT_EQ(net_leader(net), 1);
    return net;
}

/* A write of id that takes so long; the others' are done at once. */
static void slow_write(struct net *net, uint64_t id, uint64_t takes)
{
    net->nodes[id].stalled = true;
    EXPECT_EQ(net_propose(net, net_leader(net), "x"), SH_OK);
    net_advance(net, takes);
    net->nodes[id].stalled = false;
    net_settle(net);
}

static void slow_disk(struct net *net, uint64_t id, uint64_t takes)
{
    slow_write(net, id, takes);
    slow_write(net, id, takes);
}

static void round_trip(struct net *net, uint64_t id, uint64_t p99)
{
    struct raft_event event = {.type = RAFT_ROUND_TRIP};
    event.round_trip = p99;
    net_step(net, id, event);
}

TEST(on_a_calm_network_the_timeout_is_the_configured_one)
{
    struct net *net = paced(5000);
    net_advance(net, 2000);
    for (uint64_t id = 1; id <= 3; id++) {
        EXPECT_EQ(net_status(net, id).election, 100);
        EXPECT(net_status(net, id).election_timeout < 200);
    }
}

TEST(the_timeout_is_three_of_a_members_own_slow_writes)
{
    struct net *net = paced(5000);
    slow_write(net, 3, 84); /* which may have been chance */
    EXPECT_EQ(net_status(net, 3).election, 100);
    slow_write(net, 3, 84);
    EXPECT(net_status(net, 3).election >= 240);
    EXPECT(net_status(net, 3).election <= 300);
    EXPECT(net_status(net, 3).election_timeout >= net_status(net, 3).election);
    EXPECT_EQ(net_status(net, 2).election, 100);
}

TEST(the_timeout_is_ten_round_trips_and_never_beyond_its_limit)
{
    struct net *net = paced(5000);
    round_trip(net, 2, 40);
    EXPECT_EQ(net_status(net, 2).election, 400);
    round_trip(net, 2, 100000);
    EXPECT_EQ(net_status(net, 2).election, 5000);
    EXPECT(net_status(net, 2).election_timeout < 10000);
    round_trip(net, 2, 1);
    net_advance(net, 600); /* an eighth less with every heartbeat */
    EXPECT(net_status(net, 2).election <= 115);
}

TEST(a_follower_that_hears_irregularly_waits_longer)
{
    struct net *net = paced(5000);
    for (uint32_t i = 0; i < 4; i++) {
        net_cut(net, 1, 3, true);
        net_advance(net, 60);
        net_cut(net, 1, 3, false);
        net_advance(net, 30);
    }
    EXPECT(net_status(net, 3).election >= 180);
    EXPECT(net_status(net, 1).election >= 180); /* and so does the leader, that waits for it */
    EXPECT_EQ(net_status(net, 2).election, 100);
}

/* Time from the silence of leader 1 until another leads. */
static uint64_t silence(struct net *net, uint64_t most)
{
    uint64_t begun = net->now;
    net_isolate(net, 1, true);
    while (net_leader(net) == 1 && net->now - begun < most) {
        net_advance(net, 1);
    }
    EXPECT(net_leader(net) > 1);
    return net->now - begun;
}

TEST(nobody_waits_for_a_voter_with_a_slow_disk_to_give_up_a_silent_leader)
{
    struct net *net = paced(5000);
    slow_disk(net, 3, 400);
    EXPECT(net_status(net, 3).election >= 1000);
    EXPECT_EQ(net_status(net, 2).election, 100);
    EXPECT(silence(net, 1000) <= 210);
    EXPECT_EQ(net_leader(net), 2);
}

TEST(a_voter_that_hears_irregularly_does_not_give_up_a_leader_as_soon_as_others)
{
    struct net *net = paced(5000);
    for (uint32_t i = 0; i < 4; i++) {
        net_cut(net, 1, 3, true);
        net_advance(net, 90);
        net_cut(net, 1, 3, false);
        net_advance(net, 30);
    }
    EXPECT(net_status(net, 3).election >= 270);
    EXPECT_EQ(net_status(net, 2).election, 100);
    EXPECT(silence(net, 1000) >= 250); /* the last heartbeat came up to 10 before */
}

TEST(a_leader_with_a_slow_disk_is_held_by_itself_for_its_whole_timeout)
{
    struct net *net = paced(5000);
    slow_disk(net, 1, 99);
    struct raft_status leader = net_status(net, 1);
    EXPECT(leader.election >= 240);
    struct raft_msg ask = {.type = RAFT_MSG_PREVOTE,
                           .from = 2,
                           .to = 1,
                           .term = leader.term + 1,
                           .index = leader.last_index,
                           .log_term = leader.last_term};
    for (uint32_t i = 0; i < 300; i++) {
        net_step(net, 1, (struct raft_event){.type = RAFT_RECEIVE, .message = &ask});
        EXPECT_EQ(net->nodes[1].told.message_count, 0); /* not even an answer */
        net_advance(net, 1);
    }
}

/* Heartbeats are on their way while id stands still; then it gets what has come for it. */
static void stand_still(struct net *net, uint64_t id, uint64_t by)
{
    for (uint32_t i = 0; i < 2; i++) {
        net->now += 10;
        net_tick(net, 1);
        net->nodes[id].clock += by;
        net_settle(net);
        net_advance(net, 50);
    }
}

TEST(a_leader_that_stood_still_does_not_take_that_for_slow_answers)
{
    struct net *net = paced(5000);
    net_advance(net, 100);
    stand_still(net, 1, 90);
    EXPECT_EQ(net_status(net, 1).election, 100);
    EXPECT_EQ(net_leader(net), 1);
}

TEST(a_follower_that_stood_still_does_not_take_that_for_a_silent_leader)
{
    struct net *net = paced(5000);
    net_advance(net, 100);
    stand_still(net, 3, 400);
    EXPECT_EQ(net_status(net, 3).election, 100);
    EXPECT_EQ(net_leader(net), 1);
    EXPECT_EQ(net_status(net, 3).term, 1);
}

TEST(standing_still_is_no_slow_write)
{
    struct net *net = paced(5000);
    net->nodes[1].stalled = true;
    EXPECT_EQ(net_propose(net, 1, "slow once"), SH_OK);
    net_advance(net, 90);
    net->nodes[1].stalled = false;
    net_settle(net);
    net->nodes[1].stalled = true;
    EXPECT_EQ(net_propose(net, 1, "written meanwhile"), SH_OK);
    net->nodes[1].clock += 400;
    net_tick(net, 1);
    EXPECT_EQ(net_status(net, 1).transferee, 0); /* nor a silent disk */
    net->nodes[1].stalled = false;
    net_settle(net);
    EXPECT_EQ(net_status(net, 1).election, 100);
}

TEST(without_a_limit_the_timeout_never_moves)
{
    struct net *net = paced(0);
    slow_disk(net, 3, 80);
    round_trip(net, 3, 400);
    EXPECT_EQ(net_status(net, 3).election, 100);
}

TEST(a_leader_whose_disk_goes_silent_hands_over_to_one_that_writes)
{
    struct net *net = paced(5000);
    net->nodes[1].stalled = true;
    EXPECT_EQ(net_propose(net, 1, "held by the others"), SH_OK);
    net_advance(net, 99);
    EXPECT_EQ(net_leader(net), 1);
    net_advance(net, 12); /* the next heartbeat */
    EXPECT(net_leader(net) == 2 || net_leader(net) == 3);
    EXPECT_EQ(net_propose(net, net_leader(net), "goes on"), SH_OK);
    net_advance(net, 20);
    EXPECT(net_commit(net, net_leader(net)) >= 4);
    net->nodes[1].stalled = false;
    net_advance(net, 20);
    EXPECT_EQ(net_commit(net, 1), net_commit(net, net_leader(net)));
}

TEST(where_all_disks_are_silent_the_leader_stays)
{
    struct net *net = paced(5000);
    for (uint64_t id = 1; id <= 3; id++) {
        net->nodes[id].stalled = true;
    }
    EXPECT_EQ(net_propose(net, 1, "held by nobody"), SH_OK);
    net_advance(net, 900);
    EXPECT_EQ(net_leader(net), 1);
    EXPECT_EQ(net_status(net, 1).term, 1);
}

static enum sh_err resign(struct net *net, uint64_t id)
{
    net_step(net, id, (struct raft_event){.type = RAFT_TRANSFER, .peer = 0});
    enum sh_err refused = net->nodes[id].told.refused;
    net_settle(net);
    return refused;
}

TEST(a_leader_that_resigns_names_a_voter_that_it_hears_and_needs_no_disk_for_it)
{
    struct net *net = net_three();
    net_isolate(net, 2, true);
    net_advance(net, 250); /* two looks at who was heard */
    EXPECT_EQ(net_leader(net), 1);
    net->nodes[1].stalled = true;
    EXPECT_EQ(net_propose(net, 1, "held by 3 alone"), SH_OK);
    net_advance(net, 15); /* 3 was heard since the last look */
    net_isolate(net, 2, false);
    EXPECT_EQ(resign(net, 1), SH_OK);
    net_advance(net, 30);
    EXPECT_EQ(net_leader(net), 3);
    EXPECT_EQ(net_status(net, 3).term, 2);
    EXPECT_EQ(net_propose(net, 3, "goes on"), SH_OK);
    net_advance(net, 20);
    EXPECT_EQ(net_commit(net, 2), net_commit(net, 3));
}

TEST(resigning_again_while_an_heir_has_its_time_changes_nothing)
{
    struct net *net = net_three();
    net_isolate(net, 1, true);
    EXPECT_EQ(resign(net, 1), SH_OK);
    uint64_t heir = net_status(net, 1).transferee;
    EXPECT(heir == 2 || heir == 3);
    EXPECT_EQ(resign(net, 1), SH_OK);
    EXPECT_EQ(net_status(net, 1).transferee, heir);
}

TEST(only_a_leader_that_does_not_vote_alone_can_resign)
{
    struct net *net = net_three();
    EXPECT_EQ(resign(net, 2), SH_ERR_NOT_LEADER);
    EXPECT_EQ(net_leader(net), 1);
    struct net *alone = net_group(2, 0x02, 0x04);
    net_campaign(alone, 1);
    net_settle(alone);
    EXPECT_EQ(resign(alone, 1), SH_ERR_NOT_FOUND);
    EXPECT_EQ(net_leader(alone), 1);
    EXPECT_EQ(net_status(alone, 1).transferee, 0);
}

TEST(a_leader_that_was_not_told_to_keeps_office_with_a_silent_disk)
{
    struct net *net = net_three();
    net->nodes[1].stalled = true;
    EXPECT_EQ(net_propose(net, 1, "held by the others"), SH_OK);
    net_advance(net, 900);
    EXPECT_EQ(net_leader(net), 1);
}

TEST(a_timeout_is_drawn_anew_only_when_it_moves)
{
    struct net *net = paced(5000);
    uint64_t drawn = net_status(net, 2).election_timeout;
    for (uint32_t i = 0; i < 20; i++) { /* heartbeats, writes and figures that change nothing */
        slow_write(net, 1, 10);
        round_trip(net, 2, 9);
        EXPECT_EQ(net_status(net, 2).election_timeout, drawn);
    }
    round_trip(net, 2, 50);
    EXPECT_EQ(net_status(net, 2).election, 500);
    EXPECT(net_status(net, 2).election_timeout >= 500);
    drawn = net->nodes[1].core->election_timeout;
    round_trip(net, 1, 50);
    EXPECT_EQ(net_status(net, 1).election, 500);
    EXPECT_EQ(net->nodes[1].core->election_timeout, drawn); /* a leader waits for none */
}

TEST(a_round_trip_that_makes_no_sense_counts_as_unknown)
{
    struct raft_config config = net_config(1);
    config.election = 3;
    config.heartbeat = 1;
    config.election_max = 1000;
    struct net *net = net_new(1, 0x02, 0, tst_seed(), &config);
    round_trip(net, 1, UINT64_MAX);
    EXPECT_EQ(net_status(net, 1).election, 3);
    round_trip(net, 1, RAFT_NUMBER_MAX / 10);
    EXPECT_EQ(net_status(net, 1).election, 3);
    round_trip(net, 1, RAFT_NUMBER_MAX / 10 - 1);
    EXPECT_EQ(net_status(net, 1).election, 1000);
}

TEST(a_timeout_grows_at_once_and_shrinks_by_an_eighth)
{
    struct net *net = paced(5000);
    round_trip(net, 2, 80);
    EXPECT_EQ(net_status(net, 2).election, 800);
    round_trip(net, 2, 90); /* 900: not more than an eighth beyond */
    EXPECT_EQ(net_status(net, 2).election, 800);
    round_trip(net, 2, 91);
    EXPECT_EQ(net_status(net, 2).election, 910);
    round_trip(net, 2, 80); /* nor as much below */
    EXPECT_EQ(net_status(net, 2).election, 910);
    round_trip(net, 2, 79);
    EXPECT_EQ(net_status(net, 2).election, 797);
    round_trip(net, 2, 1);
    EXPECT_EQ(net_status(net, 2).election, 698);
}

static uint64_t gaps_seen(const struct raft *r)
{
    uint64_t seen = 0;
    for (uint32_t i = 0; i < SH_COUNT(r->pace.gaps.count); i++) {
        seen += r->pace.gaps.count[i];
    }
    return seen;
}

TEST(fast_heartbeats_say_nothing_of_silence)
{
    struct net *net = paced(5000);
    struct raft *r = net->nodes[2].core;
    r->pace.beat_at = 0;
    uint64_t seen = gaps_seen(r);
    static const struct {
        uint64_t gap;
        uint64_t counts;
    } rows[] = {{50, 0}, {4, 0}, {5, 1}, {1, 0}, {10, 1}}; /* the first one ends no gap */
    for (uint32_t i = 0; i < SH_COUNT(rows); i++) {
        r->now += rows[i].gap;
        raft_pace_beat(r);
        seen += rows[i].counts; /* half a heartbeat is 5 */
        EXPECT_EQ(gaps_seen(r), seen);
        EXPECT_EQ(r->pace.beat_at, r->now);
    }
}

TEST(a_silent_leader_hands_over_to_a_voter_that_is_heard_and_then_to_who_has_most)
{
    static const struct {
        uint64_t match[2]; /* of 2 and 3; the leader has written 5 */
        bool active[2];
        uint64_t heir;
    } rows[] = {{{6, 7}, {true, true}, 3},  {{7, 6}, {true, true}, 2},  {{7, 7}, {true, true}, 2},
                {{7, 7}, {false, true}, 3}, {{7, 6}, {false, true}, 3}, {{5, 5}, {true, true}, 0},
                {{5, 6}, {true, true}, 3},  {{7, 7}, {true, false}, 2}, {{6, 7}, {false, false}, 3},
                {{6, 5}, {false, true}, 2}};
    for (uint32_t i = 0; i < SH_COUNT(rows); i++) {
        struct net *net = paced(5000);
        net_propose_some(net, 1, 4);
        net->nodes[1].stalled = true;
        EXPECT_EQ(net_propose(net, 1, "6"), SH_OK);
        EXPECT_EQ(net_propose(net, 1, "7"), SH_OK);
        struct raft *r = net->nodes[1].core;
        EXPECT_EQ(r->log.durable, 5);
        for (uint32_t k = 0; k < 2; k++) {
            r->peers.list[k + 1].match = rows[i].match[k];
            r->peers.list[k + 1].next = 8;
            r->peers.list[k + 1].active = rows[i].active[k];
        }
        r->now = r->pace.write_since + r->config.election - 1;
        raft_pace_abdicate(r);
        EXPECT_EQ(r->transferee, 0);
        r->now++;
        raft_pace_abdicate(r);
        EXPECT_EQ(r->transferee, rows[i].heir);
        if (rows[i].heir != 0) {
            EXPECT_EQ(r->pace.write_since, r->now); /* one try a timeout */
        }
        r->transferee = 0;
        raft_pace_abdicate(r);
        EXPECT_EQ(r->transferee, 0);
    }
}

TEST(a_learner_neither_inherits_nor_slows_its_leader)
{
    struct raft_config config = net_config(1);
    config.election_max = 5000;
    config.abdicate = true;
    struct net *net = net_new(2, 0x02, 0x04, tst_seed(), &config);
    net_campaign(net, 1);
    net_settle(net);
    struct raft *r = net->nodes[1].core;
    struct raft_peer *learner = raft_peer_of(&r->peers, 2);
    learner->beat_at = 0;
    raft_pace_answer(r, learner);
    EXPECT_EQ(learner->beat_at, 0);
    learner->learner = false;
    raft_pace_answer(r, learner);
    EXPECT_EQ(learner->beat_at, r->now);
    learner->learner = true;
    net->nodes[1].stalled = true;
    EXPECT_EQ(net_propose(net, 1, "x"), SH_OK);
    learner->match = r->log.last;
    learner->next = r->log.last + 1;
    r->now = r->pace.write_since + 200;
    raft_pace_abdicate(r);
    EXPECT_EQ(r->transferee, 0);
}
