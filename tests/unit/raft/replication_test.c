/* SPDX-License-Identifier: Apache-2.0
 *
 * What leaves a core in one step, message by message: appends and their windows, heartbeats,
 * snapshots, reads of the host's log, proposals, and what a member says of itself. */
#include "net.h"
#include "tst.h"

#include <string.h>

static void give(struct net *net, uint64_t to, struct raft_msg m)
{
    m.to = to;
    struct raft_event event = {.type = RAFT_RECEIVE};
    event.message = &m;
    net_step(net, to, event);
}

/* What a member said in its last step, of this type and to this one; it must have. */
static const struct raft_msg *said(const struct net *net, uint64_t id, enum raft_msg_type type,
                                   uint64_t to)
{
    const struct raft_update *told = &net->nodes[id].told;
    uint32_t i = 0;
    while (i < told->message_count &&
           (told->messages[i].type != type || told->messages[i].to != to)) {
        i++;
    }
    EXPECT(i < told->message_count);
    return &told->messages[i];
}

static struct raft *core(struct net *net, uint64_t id)
{
    return net->nodes[id].core;
}

static void beat(struct net *net)
{
    net->now = core(net, 1)->heartbeat_start + 10;
    net_tick(net, 1);
}

/* Count entries of so many bytes in one proposal. */
static enum sh_err propose(struct net *net, uint64_t id, uint32_t count, uint32_t size)
{
    static const uint8_t zeros[1 << 16];
    struct raft_entry entries[64];
    for (uint32_t i = 0; i < count; i++) {
        entries[i] = (struct raft_entry){.size = size, .data = zeros};
    }
    struct raft_event event = {.type = RAFT_PROPOSE};
    event.propose.entries = entries;
    event.propose.count = count;
    struct raft_update u;
    event.now = net->now;
    raft_step(core(net, id), &event, &u);
    raft_check(core(net, id));
    net->nodes[id].told = u;
    return u.refused;
}

TEST(a_heartbeat_tells_what_is_committed_as_far_as_the_member_holds_it)
{
    struct net *net = net_three();
    EXPECT_EQ(net_propose(net, 1, "a"), SH_OK);
    while (net->pool_count > 0 && core(net, 1)->commit < 2) {
        (void)net_deliver_at(net, net->pool_count - 1, false);
        for (uint64_t id = 1; id <= 3; id++) {
            net_write_one(net, id);
        }
    }
    net_drop_to(net, 2); /* the news that came with the next append is lost */
    net_drop_to(net, 3);
    EXPECT_EQ(core(net, 2)->commit, 1);
    core(net, 1)->peers.list[2].match = 1; /* 3 is not known to have it */
    beat(net);
    EXPECT_EQ(said(net, 1, RAFT_MSG_HEARTBEAT, 2)->commit, 2);
    EXPECT_EQ(said(net, 1, RAFT_MSG_HEARTBEAT, 3)->commit, 1);
    give(net, 2, *said(net, 1, RAFT_MSG_HEARTBEAT, 2));
    EXPECT_EQ(core(net, 2)->commit, 2);
    EXPECT_EQ(said(net, 2, RAFT_MSG_HEARTBEAT_RESP, 1)->term, 1);
}

TEST(a_heartbeat_that_knows_more_than_the_log_holds_is_answered_and_not_believed)
{
    struct net *net = net_three();
    struct raft_msg m = {.type = RAFT_MSG_HEARTBEAT, .from = 1, .term = 1, .commit = 2, .ctx = 7};
    give(net, 2, m);
    EXPECT_EQ(core(net, 2)->commit, 1);
    EXPECT_EQ(said(net, 2, RAFT_MSG_HEARTBEAT_RESP, 1)->ctx, 7);
}

TEST(a_heartbeat_bears_a_round_only_while_a_read_waits)
{
    struct net *net = net_three();
    beat(net);
    EXPECT_EQ(said(net, 1, RAFT_MSG_HEARTBEAT, 2)->ctx, 0);
    net_read(net, 1); /* sends a round of its own */
    EXPECT_EQ(said(net, 1, RAFT_MSG_HEARTBEAT, 2)->ctx, 1);
    EXPECT_EQ(said(net, 1, RAFT_MSG_HEARTBEAT, 3)->ctx, 1);
    beat(net);
    EXPECT_EQ(said(net, 1, RAFT_MSG_HEARTBEAT, 2)->ctx, 2); /* each is a round */
    net_settle(net);
    EXPECT_EQ(net->reads_served, 1);
    beat(net);
    EXPECT_EQ(said(net, 1, RAFT_MSG_HEARTBEAT, 2)->ctx, 0);
    EXPECT_EQ(core(net, 1)->read_sent, 2);
}

TEST(an_append_takes_as_many_entries_and_bytes_as_a_message_may)
{
    struct raft_config config = net_config(1); /* 16 entries, 1024 bytes */
    config.limits.uncommitted_bytes = 0;
    config.limits.inflight_bytes = 0;
    static const struct {
        uint32_t count;
        uint32_t size;
        uint32_t first;
    } rows[] = {{15, 1, 15}, {16, 1, 16}, {4, 256, 4}, {4, 257, 3}, {2, 2048, 1}, {16, 0, 16}};
    for (uint32_t i = 0; i < SH_COUNT(rows); i++) {
        struct net *net = net_new(3, 0x0e, 0, 1, &config);
        net_campaign(net, 1);
        net_settle(net);
        EXPECT_EQ(propose(net, 1, rows[i].count, rows[i].size), SH_OK);
        const struct raft_msg *m = said(net, 1, RAFT_MSG_APP, 2);
        EXPECT(m->index == 1 && m->log_term == 1 && m->commit == 1);
        EXPECT_EQ(m->entry_count, rows[i].first);
        EXPECT_EQ(core(net, 1)->peers.list[1].next, 2 + rows[i].first);
        EXPECT_EQ(core(net, 1)->peers.list[1].inflight_bytes, rows[i].first * rows[i].size);
        EXPECT_EQ(core(net, 1)->uncommitted, rows[i].count * rows[i].size);
    }
}

TEST(the_largest_proposal_is_a_quarter_of_the_tail)
{
    struct net *net = net_three(); /* 8192 bytes */
    EXPECT_EQ(propose(net, 1, 1, 2049), SH_ERR_LIMIT);
    EXPECT_EQ(net->nodes[1].told.proposed_index, 0);
    EXPECT_EQ(propose(net, 2, 1, 2049), SH_ERR_LIMIT); /* not for its being no leader */
    EXPECT_EQ(propose(net, 1, 1, 2048), SH_OK);
    EXPECT_EQ(net->nodes[1].told.proposed_index, 2);
    EXPECT_EQ(net->nodes[1].told.proposed_term, 1);
    EXPECT_EQ(propose(net, 1, 2, 1), SH_OK);
    EXPECT_EQ(net->nodes[1].told.proposed_index, 3); /* of the first of two */
    struct raft_event event = {.type = RAFT_TICK, .now = net->now};
    struct raft_update u;
    raft_step(core(net, 1), &event, &u);
    EXPECT(u.proposed_index == 0 && u.proposed_term == 0 && u.append_count == 0);
}

TEST(proposals_of_others_are_taken_by_the_same_measure_and_told_to_nobody_here)
{
    static const uint8_t zeros[4096];
    struct raft_entry entries[32];
    for (uint32_t i = 0; i < SH_COUNT(entries); i++) {
        entries[i] = (struct raft_entry){.size = 2048, .data = zeros};
    }
    struct raft_msg m = {.type = RAFT_MSG_PROP, .from = 3, .entries = entries, .entry_count = 1};
    struct net *net = net_three();
    struct raft *r = core(net, 1);
    struct raft_event event = {.type = RAFT_RECEIVE, .now = net->now};
    event.message = &m;
    m.to = 1;
    struct raft_update u;
    raft_step(r, &event, &u);
    EXPECT(u.append_count == 1 && u.proposed_index == 0 && u.refused == SH_OK);
    raft_step(r, &event, &u); /* 4096 bytes may wait, and that is one and this one */
    EXPECT(u.append_count == 1);
    raft_step(r, &event, &u);
    EXPECT(u.append_count == 0 && u.refused == SH_OK); /* whoever sent it will hear nothing */
    entries[0].size = 2049;
    raft_step(r, &event, &u);
    EXPECT_EQ(u.append_count, 0);
    for (uint32_t i = 0; i < SH_COUNT(entries); i++) {
        entries[i].size = 0;
    }
    m.entry_count = 16;
    raft_step(r, &event, &u);
    EXPECT_EQ(u.append_count, 16);
    m.entry_count = 17;
    raft_step(r, &event, &u);
    EXPECT_EQ(u.append_count, 0);
    m.entry_count = 0;
    raft_step(r, &event, &u);
    EXPECT_EQ(u.append_count, 0);
    m.entry_count = 2;
    entries[1].type = RAFT_ENTRY_CONF; /* a change comes alone */
    raft_step(r, &event, &u);
    EXPECT_EQ(u.append_count, 0);
    m.entry_count = 1;
    entries[0] = (struct raft_entry){.type = RAFT_ENTRY_CONF}; /* to leave what is not joint */
    raft_step(r, &event, &u);
    EXPECT(u.append_count == 1 && u.append[0].type == RAFT_ENTRY_NORMAL);
    EXPECT(u.refused == SH_OK && u.reason == RAFT_CONF_OK && u.proposed_index == 0);
}

TEST(a_follower_forwards_to_its_leader_and_not_back_to_it)
{
    struct raft_config config = net_config(1);
    config.forward_proposals = true;
    struct net *net = net_new(3, 0x0e, 0, 1, &config);
    net_campaign(net, 1);
    net_settle(net);
    EXPECT_EQ(net_propose(net, 2, "abc"), SH_OK);
    const struct raft_msg *m = said(net, 2, RAFT_MSG_PROP, 1);
    EXPECT(m->term == 0 && m->entry_count == 1 && m->entries[0].size == 3);
    struct raft_entry entry = {.size = 0};
    struct raft_msg other = {.type = RAFT_MSG_PROP, .from = 3, .entries = &entry, .entry_count = 1};
    give(net, 2, other);
    EXPECT_EQ(said(net, 2, RAFT_MSG_PROP, 1)->entry_count, 1);
    other.from = 1; /* two that take each other for the leader would play ball */
    give(net, 2, other);
    EXPECT_EQ(net->nodes[2].told.message_count, 0);
    EXPECT_EQ(net_change(net, 2, RAFT_AUTO, RAFT_ADD_LEARNER, 4), SH_OK);
    m = said(net, 2, RAFT_MSG_PROP, 1);
    EXPECT(m->entries[0].type == RAFT_ENTRY_CONF);
    net_settle(net);
    EXPECT_EQ(core(net, 1)->conf.learner_count, 1);
    net_step(net, 2, (struct raft_event){.type = RAFT_FORGET_LEADER});
    EXPECT_EQ(net_propose(net, 2, "abc"), SH_ERR_NOT_LEADER);
}

TEST(a_follower_asks_its_leader_for_a_position_to_read_at)
{
    struct net *net = net_three();
    struct raft_event event = {.type = RAFT_READ_INDEX};
    event.ctx = 77;
    net_step(net, 2, event);
    EXPECT_EQ(net->nodes[2].told.refused, SH_OK);
    const struct raft_msg *m = said(net, 2, RAFT_MSG_READ_INDEX, 1);
    EXPECT(m->ctx == 77 && m->term == 0);
    struct raft_msg answer = {.type = RAFT_MSG_READ_INDEX_RESP, .term = 1, .ctx = 77, .index = 1};
    answer.from = 3; /* who is not the leader cannot know */
    give(net, 2, answer);
    EXPECT_EQ(net->nodes[2].told.read_count, 0);
    answer.from = 1;
    give(net, 2, answer);
    EXPECT_EQ(net->nodes[2].told.read_count, 1);
    EXPECT(net->nodes[2].told.reads[0].ctx == 77 && net->nodes[2].told.reads[0].index == 1);
    net_step(net, 2, (struct raft_event){.type = RAFT_FORGET_LEADER});
    net_step(net, 2, event);
    EXPECT_EQ(net->nodes[2].told.refused, SH_ERR_NOT_LEADER);
    EXPECT_EQ(net->nodes[2].told.message_count, 0);
}

TEST(whoever_waits_here_for_a_read_hears_that_the_leader_is_none_any_more)
{
    struct net *net = net_three();
    net_read(net, 1);
    struct raft_msg ask = {.type = RAFT_MSG_READ_INDEX, .from = 2, .ctx = 55};
    give(net, 1, ask);
    EXPECT_EQ(core(net, 1)->read_ring.count, 2);
    struct raft_msg newer = {.type = RAFT_MSG_APP_RESP, .from = 2, .term = 9};
    give(net, 1, newer);
    EXPECT(core(net, 1)->role == RAFT_FOLLOWER);
    EXPECT_EQ(net->nodes[1].told.read_count, 1);
    EXPECT_EQ(net->nodes[1].told.reads[0].ctx, 1);
    EXPECT_EQ(net->nodes[1].told.reads[0].err, SH_ERR_NOT_LEADER);
}

TEST(one_round_serves_what_waited_for_the_first_commit)
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
    net_read(net, 1);
    net_read(net, 1);
    EXPECT_EQ(core(net, 1)->read_sent, 0); /* none of them can be answered yet */
    net_settle(net);
    EXPECT_EQ(net->reads_served, 2);
    EXPECT_EQ(core(net, 1)->read_sent, 1);
}

TEST(reads_that_come_during_a_round_share_the_next)
{
    struct net *net = net_three();
    for (uint32_t i = 0; i < 5; i++) {
        net_read(net, 1);
    }
    EXPECT_EQ(core(net, 1)->read_sent, 1);
    struct raft_msg word = {.type = RAFT_MSG_HEARTBEAT_RESP, .from = 3, .term = 1, .ctx = 2};
    give(net, 1, word); /* of a round that was never begun */
    EXPECT_EQ(net->nodes[1].told.read_count, 0);
    word.ctx = 1;
    give(net, 1, word);
    EXPECT_EQ(net->nodes[1].told.read_count, 1);
    EXPECT_EQ(said(net, 1, RAFT_MSG_HEARTBEAT, 2)->ctx, 2);
    word.ctx = 2;
    give(net, 1, word);
    EXPECT_EQ(net->nodes[1].told.read_count, 4);
    EXPECT_EQ(net->nodes[1].told.message_count, 0);
}

TEST(a_member_far_behind_is_read_from_the_hosts_log_by_the_batch)
{
    struct raft_config config = net_config(1);
    config.limits.uncommitted_bytes = 0;
    struct net *net = net_new(3, 0x0e, 0, 1, &config);
    net_campaign(net, 1);
    net_settle(net);
    net_isolate(net, 3, true);
    net_propose_some(net, 1, 100); /* the tail holds 64 */
    struct raft *r = core(net, 1);
    struct raft_peer *far = raft_peer_of(&r->peers, 3);
    raft_peer_probe(far);
    EXPECT_EQ(far->next, 2);
    EXPECT_EQ(r->log.tail_first, 38);
    struct raft_event event = {.type = RAFT_TICK, .now = net->now};
    struct raft_msg word = {.type = RAFT_MSG_HEARTBEAT_RESP, .from = 3, .to = 1, .term = 1};
    event.type = RAFT_RECEIVE;
    event.message = &word;
    struct raft_update u;
    raft_step(r, &event, &u);
    EXPECT_EQ(u.log_read_count, 1);
    EXPECT(u.log_reads[0].request == 1 && u.log_reads[0].from == 2);
    EXPECT(u.log_reads[0].max_count == 16 && u.log_reads[0].max_bytes == 1024);
    EXPECT(raft_peer_paused(far));
    raft_step(r, &event, &u); /* one at a time */
    EXPECT_EQ(u.log_read_count, 0);
    far->read_request = 0;
    far->next = 30; /* eight before those in memory */
    raft_step(r, &event, &u);
    EXPECT(u.log_reads[0].request == 2 && u.log_reads[0].from == 30);
    EXPECT_EQ(u.log_reads[0].max_count, 8);
    far->read_request = 0;
    far->next = 38;
    raft_step(r, &event, &u);
    EXPECT_EQ(u.log_read_count, 0);
    EXPECT_EQ(u.messages[0].entry_count, 16);
    EXPECT_EQ(u.messages[0].index, 37);
}

TEST(a_log_read_that_nobody_waits_for_sends_nothing)
{
    struct net *net = net_three();
    net_propose_some(net, 1, 3);
    struct raft *r = core(net, 1);
    struct raft_peer *p = raft_peer_of(&r->peers, 2);
    struct raft_entry entries[2] = {{.term = 1, .index = 3}, {.term = 1, .index = 4}};
    struct raft_event event = {.type = RAFT_LOG_READ, .now = net->now};
    event.read.entries = entries;
    event.read.count = 2;
    struct raft_update u;
    raft_step(r, &event, &u); /* number 0 is nobody's, though no member waits */
    EXPECT_EQ(u.message_count, 0);
    raft_peer_probe(p);
    p->next = 3;
    p->read_request = 8;
    event.read.request = 7;
    raft_step(r, &event, &u);
    EXPECT_EQ(u.message_count, 0);
    EXPECT_EQ(p->read_request, 8);
    event.read.request = 8;
    raft_step(r, &event, &u);
    EXPECT_EQ(u.message_count, 1);
    EXPECT(u.messages[0].to == 2 && u.messages[0].index == 2 && u.messages[0].entry_count == 2);
    EXPECT(p->read_request == 0 && p->flow_paused);
    p->read_request = 9;
    p->flow_paused = false;
    p->next = 4; /* it moved meanwhile */
    event.read.request = 9;
    raft_step(r, &event, &u);
    EXPECT(u.message_count == 1 && u.messages[0].index == 3); /* from memory, where it stands now */
    p->read_request = 10;
    p->flow_paused = false;
    p->active = false;
    event.read.request = 10;
    event.read.count = 0; /* compacted: but nobody is there to take a snapshot */
    raft_step(r, &event, &u);
    EXPECT_EQ(u.message_count, 0);
    p->read_request = 11;
    p->active = true;
    event.read.request = 11;
    raft_step(r, &event, &u);
    EXPECT(u.message_count == 1 && u.messages[0].type == RAFT_MSG_SNAP);
    EXPECT_EQ(u.messages[0].snapshot.index, r->applied);
    EXPECT(p->state == RAFT_SNAPSHOT && p->pending_snapshot == r->applied);
}

TEST(a_snapshot_that_came_or_failed_is_followed_by_a_probe)
{
    for (uint32_t ok = 0; ok < 2; ok++) {
        struct net *net = net_three();
        net_propose_some(net, 1, 5);
        struct raft_peer *p = raft_peer_of(&core(net, 1)->peers, 2);
        p->match = 2;
        raft_peer_snapshot(p, 4);
        EXPECT(p->next == 5 && p->sent_commit == 4 && raft_peer_paused(p));
        struct raft_event event = {.type = RAFT_SNAPSHOT_STATUS};
        event.snapshot.peer = 2;
        event.snapshot.ok = ok == 1;
        net_step(net, 1, event);
        EXPECT(p->state == RAFT_PROBE && p->flow_paused && p->pending_snapshot == 0);
        EXPECT_EQ(p->next, ok == 1 ? 5 : 3);
        EXPECT_EQ(p->sent_commit, ok == 1 ? 4 : 2);
        net_step(net, 1, event); /* told twice it changes nothing */
        EXPECT_EQ(p->next, ok == 1 ? 5 : 3);
    }
}

TEST(a_refusal_moves_the_place_to_try_and_never_below_what_is_known)
{
    static const struct {
        enum raft_progress_state state;
        uint64_t match;
        uint64_t next;
        uint64_t refused;
        uint64_t hint;
        bool moves;
        uint64_t then;
    } rows[] = {{RAFT_REPLICATE, 5, 10, 9, 0, true, 6}, {RAFT_REPLICATE, 5, 10, 5, 0, false, 10},
                {RAFT_REPLICATE, 5, 10, 6, 0, true, 6}, {RAFT_PROBE, 0, 10, 9, 20, true, 9},
                {RAFT_PROBE, 0, 10, 9, 4, true, 5},     {RAFT_PROBE, 0, 10, 8, 4, false, 10},
                {RAFT_PROBE, 0, 10, 9, 8, true, 9},     {RAFT_PROBE, 0, 10, 9, 9, true, 9},
                {RAFT_PROBE, 6, 10, 9, 2, true, 7},     {RAFT_PROBE, 6, 10, 9, 6, true, 7},
                {RAFT_PROBE, 6, 10, 9, 5, true, 7},     {RAFT_PROBE, 0, 1, 0, 0, true, 1},
                {RAFT_PROBE, 6, 10, 9, 7, true, 8}};
    for (uint32_t i = 0; i < SH_COUNT(rows); i++) {
        struct raft_peer p = {.state = rows[i].state,
                              .match = rows[i].match,
                              .next = rows[i].next,
                              .sent_commit = rows[i].next,
                              .flow_paused = true};
        EXPECT_EQ(raft_peer_refused(&p, rows[i].refused, rows[i].hint), rows[i].moves);
        EXPECT_EQ(p.next, rows[i].then);
        EXPECT_EQ(p.sent_commit, rows[i].moves ? rows[i].then - 1 : rows[i].next);
        EXPECT_EQ(p.flow_paused, !rows[i].moves || p.state == RAFT_REPLICATE);
    }
}

TEST(a_member_is_told_of_a_commit_it_can_use_once)
{
    struct raft_peer p = {.state = RAFT_REPLICATE, .match = 5, .next = 8, .sent_commit = 4};
    EXPECT(raft_peer_wants_commit(&p, 5));
    EXPECT(!raft_peer_wants_commit(&p, 4));
    p.sent_commit = 7; /* all that was sent is covered by it */
    EXPECT(!raft_peer_wants_commit(&p, 9));
    p.sent_commit = 6;
    EXPECT(raft_peer_wants_commit(&p, 9));
    p.flow_paused = true;
    EXPECT(!raft_peer_matched(&p, 5));
    EXPECT(p.flow_paused);
    EXPECT(raft_peer_matched(&p, 6));
    EXPECT(p.match == 6 && p.next == 8 && !p.flow_paused);
    EXPECT(raft_peer_matched(&p, 8));
    EXPECT(p.match == 8 && p.next == 9);
}

TEST(a_change_ends_a_transfer_only_to_who_no_longer_votes)
{
    for (uint64_t gone = 2; gone <= 3; gone++) {
        struct net *net = net_three();
        struct raft *r = core(net, 1);
        r->transferee = 2;
        struct raft_change change = {.type = RAFT_REMOVE, .id = gone};
        struct raft_conf next;
        EXPECT_EQ(raft_conf_simple(&r->conf, &change, 1, &next), RAFT_CONF_OK);
        raft_switch_conf(r, &next, r->applied);
        EXPECT_EQ(r->transferee, gone == 2 ? 0 : 2);
        EXPECT_EQ(r->peers.count, 2);
    }
}

TEST(a_message_that_makes_no_sense_is_dropped)
{
    struct raft_msg good = {.type = RAFT_MSG_APP_RESP, .from = 2, .term = RAFT_NUMBER_MAX};
    good.index = RAFT_NUMBER_MAX;
    good.hint = RAFT_NUMBER_MAX;
    good.snapshot.index = RAFT_NUMBER_MAX;
    struct raft_entry entry = {.term = 1};
    struct raft_msg rows[8];
    for (uint32_t i = 0; i < SH_COUNT(rows); i++) {
        rows[i] = good;
    }
    rows[1].term++;
    rows[2].index++;
    rows[3].hint++;
    rows[4].snapshot.index++;
    rows[5].from = 0;
    rows[6].from = 1;
    rows[7].entries = &entry;
    rows[7].entry_count = 1;
    for (uint32_t i = 0; i < SH_COUNT(rows); i++) {
        struct net *net = net_three();
        rows[i].to = 1;
        struct raft_event event = {.type = RAFT_RECEIVE, .now = net->now};
        event.message = &rows[i];
        struct raft_update u;
        raft_step(core(net, 1), &event, &u);
        EXPECT_EQ(u.term, i == 0 ? RAFT_NUMBER_MAX : 1);
    }
}

TEST(an_append_with_an_entry_that_makes_no_sense_is_dropped)
{
    static const uint8_t bytes[4096] = {9};
    struct raft_entry good[2] = {{.term = 1, .index = 2, .data = bytes},
                                 {.term = 3, .index = 3, .size = 2048, .data = bytes}};
    for (uint32_t i = 0; i < 7; i++) {
        struct net *net = net_three();
        struct raft_entry entries[2] = {good[0], good[1]};
        entries[1].size += i == 1; /* a quarter of the tail and a byte */
        entries[1].index += i == 2;
        entries[1].term += i == 3; /* newer than who sends it */
        entries[0].term -= i == 4; /* falls */
        entries[0].type = i == 5 ? RAFT_ENTRY_CONF : RAFT_ENTRY_NORMAL; /* to leave: can be read */
        entries[1].type = i == 6 ? RAFT_ENTRY_CONF : RAFT_ENTRY_NORMAL; /* and this one not */
        struct raft_msg m = {.type = RAFT_MSG_APP, .from = 1, .to = 2, .term = 3};
        m.index = 1;
        m.log_term = 1;
        m.entries = entries;
        m.entry_count = 2;
        struct raft_event event = {.type = RAFT_RECEIVE, .now = net->now};
        event.message = &m;
        struct raft_update u;
        raft_step(core(net, 2), &event, &u);
        EXPECT_EQ(u.append_count, i == 0 || i == 5 ? 2 : 0);
        EXPECT_EQ(u.message_count, i == 0 || i == 5);
    }
}

TEST(role_leader_and_term_are_told_when_they_change_and_only_then)
{
    struct net *net = net_three();
    const struct raft_update *told = &net->nodes[2].told;
    net_tick(net, 2);
    EXPECT(!told->soft_changed);
    EXPECT(told->role == RAFT_FOLLOWER && told->leader == 1 && told->term == 1);
    net_step(net, 2, (struct raft_event){.type = RAFT_FORGET_LEADER});
    EXPECT(told->soft_changed && told->leader == 0); /* the leader alone */
    net_tick(net, 2);
    EXPECT(!told->soft_changed);
    net_campaign(net, 2);
    EXPECT(told->soft_changed && told->role == RAFT_PRE_CANDIDATE); /* the role alone */
    struct raft_msg no = {.type = RAFT_MSG_APP_RESP, .from = 3, .term = 1};
    give(net, 2, no);
    EXPECT(!told->soft_changed);
    struct raft *r = core(net, 3);
    r->leader = 0;
    net_tick(net, 3);
    struct raft_msg newer = {.type = RAFT_MSG_APP_RESP, .from = 2, .term = 4};
    give(net, 3, newer);
    EXPECT(net->nodes[3].told.soft_changed && net->nodes[3].told.term == 4); /* the term alone */
    EXPECT(net->nodes[3].told.hard_changed && net->nodes[3].told.must_sync);
}

TEST(what_is_committed_is_applied_only_as_far_as_it_is_on_disk)
{
    struct net *net = net_three();
    net->nodes[2].stalled = true;
    EXPECT_EQ(net_propose(net, 1, "a"), SH_OK);
    net_settle(net);
    net_advance(net, 10);
    EXPECT_EQ(net->nodes[2].told.commit, 2);
    EXPECT_EQ(net->nodes[2].told.apply_to, 1);
    net->nodes[2].stalled = false;
    net_settle(net);
    EXPECT_EQ(net->nodes[2].told.apply_to, 2);
    EXPECT_EQ(core(net, 2)->applied, 2);
}

TEST(an_append_that_comes_again_is_acknowledged_to_its_end)
{
    struct net *net = net_three();
    struct raft_entry entries[3];
    for (uint64_t i = 0; i < 3; i++) {
        entries[i] = (struct raft_entry){.term = 1, .index = i + 2};
    }
    struct raft_msg m = {.type = RAFT_MSG_APP, .from = 1, .term = 1, .index = 1, .log_term = 1};
    m.entries = entries;
    m.entry_count = 2;
    m.commit = 1;
    m.to = 2;
    struct raft_event event = {.type = RAFT_RECEIVE, .now = net->now};
    event.message = &m;
    struct raft_update u;
    for (uint32_t again = 0; again < 2; again++) {
        raft_step(core(net, 2), &event, &u);
        EXPECT_EQ(u.append_count, again == 0 ? 2 : 0);
        EXPECT(u.message_count == 1 && u.messages[0].index == 3 && !u.messages[0].reject);
    }
    m.commit = 9; /* only what the message vouches for */
    raft_step(core(net, 2), &event, &u);
    EXPECT_EQ(u.commit, 3);
    m.index = 3;
    m.entries = &entries[2];
    m.entry_count = 1;
    raft_step(core(net, 2), &event, &u);
    EXPECT(u.append_count == 1 && u.append[0].index == 4 && u.commit == 4);
    EXPECT_EQ(u.messages[0].index, 4);
    m.index = 0; /* behind what is committed: told how far we are */
    m.log_term = 0;
    m.entry_count = 0;
    raft_step(core(net, 2), &event, &u);
    EXPECT(u.message_count == 1 && u.messages[0].index == 4 && !u.messages[0].reject);
}

TEST(a_status_tells_of_the_members_and_of_nobody_else)
{
    static const struct raft_peer_status nobody;
    struct net *net = net_three();
    struct raft_status status = net_status(net, 1);
    EXPECT_EQ(status.peer_count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        EXPECT_EQ(status.peers[i].id, i + 1);
        EXPECT(status.peers[i].match == 1 && status.peers[i].next == 2);
    }
    EXPECT_MEM(&status.peers[3], &nobody, sizeof nobody);
    status = net_status(net, 2); /* who follows knows of nobody's progress */
    EXPECT_EQ(status.peer_count, 0);
    EXPECT_MEM(&status.peers[0], &nobody, sizeof nobody);
}

TEST(a_refusal_is_followed_to_where_the_logs_may_agree)
{
    static const uint64_t terms[] = {1, 1, 3, 3, 5, 5};
    static const struct {
        uint64_t hint;
        uint64_t log_term; /* there; 0: not known */
        uint64_t next;
    } rows[] = {{3, 0, 4}, {5, 3, 5}, {5, 4, 5}, {4, 2, 3}, {6, 5, 6}, {3, 3, 4}, {5, 9, 6}};
    for (uint32_t i = 0; i < SH_COUNT(rows); i++) {
        struct net *net = net_group(3, 0x0e, 0);
        net_crash(net, 1);
        net_set_log(net, 1, terms, SH_COUNT(terms), 5);
        net_start(net, 1);
        net_campaign(net, 1);
        for (uint32_t k = 0; k < 200 && net_leader(net) == 0; k++) {
            for (uint64_t id = 1; id <= 3; id++) {
                net_write_one(net, id);
            }
            if (net->pool_count > 0) {
                (void)net_deliver_at(net, net->pool_count - 1, false);
            }
        }
        struct raft_peer *p = raft_peer_of(&core(net, 1)->peers, 2);
        p->next = 7;
        p->flow_paused = true;
        struct raft_msg no = {.type = RAFT_MSG_APP_RESP, .from = 2, .term = 6, .index = 6};
        no.reject = true;
        no.hint = rows[i].hint;
        no.log_term = rows[i].log_term;
        no.to = 1;
        struct raft_event event = {.type = RAFT_RECEIVE, .now = net->now};
        event.message = &no;
        struct raft_update u;
        raft_step(core(net, 1), &event, &u);
        EXPECT_EQ(p->next, rows[i].next);
        EXPECT_EQ(p->state, RAFT_PROBE);
    }
}

TEST(a_snapshot_is_put_in_place_where_it_brings_something_to_a_member)
{
    static const struct {
        uint64_t index;
        uint64_t term;
        uint64_t me; /* 2 votes, 4 learns, 9: none of it */
        bool installs;
        uint64_t answer;
    } rows[] = {{9, 1, 2, true, 9},  {9, 1, 4, true, 9},  {9, 1, 9, false, 1},
                {1, 1, 2, false, 1}, {3, 1, 2, false, 3}, {3, 1, 9, false, 1},
                {2, 3, 2, true, 2},  {9, 4, 2, false, 0}, {0, 1, 2, false, 0}};
    for (uint32_t i = 0; i < SH_COUNT(rows); i++) {
        struct net *net = net_three();
        EXPECT_EQ(net_propose(net, 1, "a"), SH_OK);
        EXPECT_EQ(net_propose(net, 1, "b"), SH_OK);
        net_drop_to(net, 3);
        while (net->pool_count > 0) {
            (void)net_deliver_at(net, net->pool_count - 1, false);
        }
        struct raft *r = core(net, 2);
        EXPECT(r->log.last == 3 && r->commit == 1);
        struct raft_msg m = {.type = RAFT_MSG_SNAP, .from = 1, .to = 2, .term = 3};
        m.snapshot = (struct raft_snapshot){.index = rows[i].index, .term = rows[i].term};
        m.snapshot.conf = (struct raft_conf){.voters = {1, 3}, .voter_count = 2};
        if (rows[i].me == 2) {
            m.snapshot.conf =
                (struct raft_conf){.voters = {1, 2, 3}, .voter_count = 3, .learner_count = 0};
        } else if (rows[i].me == 4) {
            m.snapshot.conf.learners[0] = 2;
            m.snapshot.conf.learner_count = 1;
        }
        struct raft_event event = {.type = RAFT_RECEIVE, .now = net->now};
        event.message = &m;
        struct raft_update u;
        raft_step(r, &event, &u);
        raft_check(r);
        EXPECT_EQ(u.install, rows[i].installs);
        EXPECT_EQ(u.message_count, rows[i].answer != 0);
        EXPECT(rows[i].answer == 0 || u.messages[0].index == rows[i].answer);
        EXPECT_EQ(u.conf_changed, rows[i].installs);
        EXPECT_EQ(r->install_token != 0, rows[i].installs);
        if (rows[i].installs) {
            EXPECT(u.snapshot.index == rows[i].index && u.commit == rows[i].index);
            EXPECT(r->log.first == rows[i].index + 1 && r->log.last == rows[i].index);
            EXPECT(!raft_promotable(r)); /* until it is in place */
            event = (struct raft_event){.type = RAFT_PERSISTED, .now = net->now};
            event.token = u.token;
            raft_step(r, &event, &u);
            EXPECT_EQ(r->applied, rows[i].index);
            EXPECT_EQ(raft_promotable(r), rows[i].me == 2);
        }
    }
}
