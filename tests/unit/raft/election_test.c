/* SPDX-License-Identifier: Apache-2.0
 *
 * Elections to the tick: who waits how long after a hint, who grants what to whom, and what a new
 * term forgets. */
#include "net.h"
#include "tst.h"

enum { STAGGER = 5, ELECTION = 100 };

static void give(struct net *net, uint64_t to, struct raft_msg m)
{
    m.to = to;
    struct raft_event event = {.type = RAFT_RECEIVE};
    event.message = &m;
    net_step(net, to, event);
}

/* What a member said in its last step, of this type and to this one; NULL: nothing. */
static const struct raft_msg *said(const struct net *net, uint64_t id, enum raft_msg_type type,
                                   uint64_t to)
{
    const struct raft_update *told = &net->nodes[id].told;
    for (uint32_t i = 0; i < told->message_count; i++) {
        if (told->messages[i].type == type && told->messages[i].to == to) {
            return &told->messages[i];
        }
    }
    return NULL;
}

static void forget(struct net *net, uint64_t id, bool hint)
{
    struct raft_event event = {.type = RAFT_FORGET_LEADER};
    event.hint = hint;
    net_step(net, id, event);
}

static struct raft *core(struct net *net, uint64_t id)
{
    return net->nodes[id].core;
}

static void write_all(struct net *net, uint64_t id)
{
    while (net->nodes[id].writes != NULL) {
        net_write_one(net, id);
    }
}

/* A hint, and the pre-vote that follows it, granted by nobody yet. */
static void run_hinted(struct net *net, uint64_t id)
{
    forget(net, id, true);
    net->now = raft_deadline(core(net, id));
    net_tick(net, id);
    EXPECT(core(net, id)->role == RAFT_PRE_CANDIDATE);
}

TEST(timeouts_are_drawn_from_one_to_two_elections)
{
    struct raft *r = core(net_three(), 2);
    uint64_t least = UINT64_MAX;
    uint64_t most = 0;
    for (uint32_t i = 0; i < 5000; i++) {
        raft_draw_timeout(r);
        least = r->election_timeout < least ? r->election_timeout : least;
        most = r->election_timeout > most ? r->election_timeout : most;
    }
    EXPECT_EQ(least, ELECTION);
    EXPECT_EQ(most, 2 * ELECTION - 1);
}

TEST(a_new_term_forgets_what_the_old_one_knew)
{
    struct net *net = net_three();
    net_propose_some(net, 1, 3);
    EXPECT_EQ(net_propose(net, 1, "under way"), SH_OK);
    net_read(net, 1);
    struct raft *r = core(net, 1);
    r->hint_deadline = 9;
    r->transferee = 2;
    r->pending_conf = 3;
    r->pace.beat_at = 4;
    r->news_due = 5;
    r->now += 7;
    for (uint32_t i = 0; i < 3; i++) {
        struct raft_peer *p = &r->peers.list[i];
        p->ballot = 1;
        p->read_round = 1;
        p->beat_at = 8;
    }
    uint64_t durable = r->log.durable;
    EXPECT(durable < r->log.last);
    raft_become_follower(r, r->term + 1, 0);
    EXPECT(r->role == RAFT_FOLLOWER && r->vote == 0 && r->leader == 0 && r->term == 2);
    EXPECT(r->election_start == r->now && r->heartbeat_start == r->now && r->hint_deadline == 0);
    EXPECT(r->transferee == 0 && r->pending_conf == 0 && r->uncommitted == 0);
    EXPECT_EQ(r->news_due, 0);
    EXPECT(r->pace.beat_at == 0 && r->read_ring.count == 0 && r->read_sent == 0);
    for (uint32_t i = 0; i < 3; i++) {
        const struct raft_peer *p = &r->peers.list[i];
        EXPECT(p->state == RAFT_PROBE && !p->active && p->ballot == -1 && !p->flow_paused);
        EXPECT_EQ(p->match, i == 0 ? durable : 0);
        EXPECT_EQ(p->next, r->log.last + 1);
        EXPECT(p->sent_commit == 0 && p->read_round == 0 && p->beat_at == 0);
        EXPECT(p->inflight.count == 0 && p->inflight_bytes == 0 && p->pending_snapshot == 0);
    }
    r->vote = 3;
    raft_become_follower(r, r->term, 3);
    EXPECT(r->vote == 3 && r->leader == 3); /* in the same term the vote stands */
}

TEST(a_new_leader_counts_what_it_inherited_as_not_committed)
{
    struct net *net = net_three();
    EXPECT_EQ(net_propose(net, 1, "ten bytes."), SH_OK);
    EXPECT_EQ(net_propose(net, 1, "five."), SH_OK);
    net_drop_to(net, 3);
    while (net->pool_count > 0) {
        (void)net_deliver_at(net, net->pool_count - 1, false);
    }
    write_all(net, 2);
    net_drop_to(net, 0);
    net_crash(net, 1);
    forget(net, 2, false);
    forget(net, 3, false);
    net_campaign(net, 2);
    for (uint32_t i = 0; i < 200 && net_leader(net) == 0; i++) {
        write_all(net, 2);
        write_all(net, 3);
        if (net->pool_count > 0) {
            (void)net_deliver_at(net, net->pool_count - 1, false);
        }
    }
    struct raft *r = core(net, 2);
    EXPECT(r->role == RAFT_LEADER && r->leader == 2);
    EXPECT_EQ(r->commit, 1);
    EXPECT_EQ(r->uncommitted, 15);
    EXPECT_EQ(r->pending_conf, 3); /* all before its own first entry */
    EXPECT_EQ(r->log.last, 4);
    const struct raft_peer *self = raft_peer_at(&r->peers, 2);
    EXPECT(self->state == RAFT_REPLICATE && self->active);
    EXPECT_EQ(net->nodes[2].told.append_count, 1);
    net_settle(net);
    EXPECT_EQ(r->commit, 4);
    EXPECT_EQ(r->uncommitted, 0);
}

TEST(a_lease_lasts_exactly_an_election)
{
    struct net *net = net_three();
    struct raft *r = core(net, 2);
    uint64_t left = 0;
    r->now = r->election_start;
    EXPECT(raft_leased(r, &left));
    EXPECT_EQ(left, ELECTION);
    r->now += ELECTION - 1;
    EXPECT(raft_leased(r, &left));
    EXPECT_EQ(left, 1);
    r->now++;
    EXPECT(!raft_leased(r, &left));
    r->now--;
    r->leader = 0;
    EXPECT(!raft_leased(r, &left));
    r->leader = 1;
    r->config.check_quorum = false;
    EXPECT(!raft_leased(r, &left));
}

TEST(after_a_hint_members_run_in_their_order)
{
    struct net *net = net_group(6, 0x6e, 0x10); /* 4 learns */
    net_campaign(net, 2);
    net_settle(net);
    EXPECT_EQ(net_leader(net), 2);
    static const uint64_t ranks[] = {0, 0, 9, 1, 9, 2, 3}; /* by id; 2 is lost, 4 does not run */
    for (uint64_t id = 1; id <= 6; id++) {
        if (ranks[id] == 9) {
            continue;
        }
        forget(net, id, true);
        uint64_t wait = raft_deadline(core(net, id)) - net->now;
        EXPECT(wait >= ranks[id] * STAGGER);
        EXPECT(wait <= ranks[id] * STAGGER + STAGGER / 2);
        EXPECT_EQ(core(net, id)->hint_until, net->now + ELECTION);
        EXPECT_EQ(core(net, id)->leader, 0);
    }
    forget(net, 4, true);
    EXPECT_EQ(raft_deadline(core(net, 4)), RAFT_TIME_NEVER);
}

TEST(a_hint_hurries_nobody_where_that_could_do_harm)
{
    for (uint32_t way = 0; way < 3; way++) {
        struct raft_config config = net_config(1);
        config.stagger = way == 0 ? 0 : STAGGER;
        config.pre_vote = way != 1;
        struct net *net = net_new(3, 0x0e, 0, 1, &config);
        net_campaign(net, 1);
        net_settle(net);
        forget(net, 2, way != 2);
        EXPECT_EQ(core(net, 2)->hint_deadline, 0);
        EXPECT_EQ(core(net, 2)->hint_until, 0);
        EXPECT(raft_deadline(core(net, 2)) >= core(net, 2)->election_start + ELECTION);
    }
}

TEST(who_grants_a_pre_vote_lets_the_asker_go_first)
{
    struct net *net = net_three();
    struct raft_msg ask = {.type = RAFT_MSG_PREVOTE, .from = 2, .term = 2, .log_term = 1};
    ask.index = core(net, 3)->log.last;
    ask.commit = 1;
    ask.ctx = 1;
    forget(net, 3, true);
    uint64_t start = core(net, 3)->election_start;
    net->now += 4;
    give(net, 3, ask);
    const struct raft_msg *answer = said(net, 3, RAFT_MSG_PREVOTE_RESP, 2);
    EXPECT(answer != NULL && !answer->reject && answer->term == 2);
    EXPECT_EQ(core(net, 3)->hint_deadline, net->now + 3 * STAGGER);
    EXPECT_EQ(core(net, 3)->election_start, start); /* it promised nothing */
    EXPECT_EQ(core(net, 3)->vote, 1);
    ask.type = RAFT_MSG_VOTE;
    net->now++;
    give(net, 3, ask);
    EXPECT_EQ(core(net, 3)->vote, 2);
    EXPECT_EQ(core(net, 3)->hint_deadline, 0);
    EXPECT_EQ(core(net, 3)->election_start, net->now);
    struct net *calm = net_three();
    forget(calm, 3, false);
    ask.type = RAFT_MSG_PREVOTE;
    give(calm, 3, ask);
    EXPECT_EQ(core(calm, 3)->hint_deadline, 0); /* nothing was armed, nothing is */
}

TEST(a_candidate_runs_again_soon_after_its_vote_is_written_if_there_was_a_hint)
{
    for (uint32_t hinted = 0; hinted < 2; hinted++) {
        struct net *net = net_three();
        if (hinted == 1) {
            run_hinted(net, 2);
        } else {
            forget(net, 2, false);
            net_campaign(net, 2);
        }
        struct raft_msg yes = {.type = RAFT_MSG_PREVOTE_RESP, .from = 3, .term = 2};
        give(net, 2, yes);
        EXPECT(core(net, 2)->role == RAFT_CANDIDATE);
        EXPECT_EQ(core(net, 2)->hint_deadline, 0);
        net->now += 3;
        write_all(net, 2);
        EXPECT(core(net, 2)->role == RAFT_CANDIDATE);
        uint64_t again = net->now + (12 + 1) * STAGGER; /* 1 stands before it */
        EXPECT_EQ(core(net, 2)->hint_deadline, hinted == 1 ? again : 0);
    }
}

TEST(a_lost_vote_is_repeated_soon_only_if_there_was_a_hint)
{
    for (uint32_t hinted = 0; hinted < 2; hinted++) {
        struct net *net = net_three();
        if (hinted == 1) {
            run_hinted(net, 3);
        } else {
            forget(net, 3, false);
            net_campaign(net, 3);
        }
        struct raft_msg no = {.type = RAFT_MSG_PREVOTE_RESP, .term = 1, .reject = true};
        no.from = 1;
        give(net, 3, no);
        EXPECT(core(net, 3)->role == RAFT_PRE_CANDIDATE); /* one may be wrong */
        no.from = 2;
        give(net, 3, no);
        EXPECT(core(net, 3)->role == RAFT_FOLLOWER);
        uint64_t again = net->now + (1 + 2) * STAGGER;
        EXPECT_EQ(core(net, 3)->hint_deadline, hinted == 1 ? again : 0);
    }
}

TEST(who_refuses_a_shorter_log_runs_itself_after_an_elections_silence)
{
    static const struct {
        uint64_t silence;
        bool leaderless;
        bool armed;
    } rows[] = {{ELECTION - 1, false, false}, {ELECTION, false, true}, {1, true, true}};
    for (uint32_t i = 0; i < SH_COUNT(rows); i++) {
        struct net *net = net_three();
        if (rows[i].leaderless) {
            forget(net, 2, false);
        }
        struct raft *r = core(net, 2);
        r->config.check_quorum = false; /* else nobody is asked while the lease lasts */
        net->now = r->election_start + rows[i].silence;
        struct raft_msg ask = {.type = RAFT_MSG_PREVOTE, .from = 3, .term = 2};
        give(net, 2, ask);
        const struct raft_msg *answer = said(net, 2, RAFT_MSG_PREVOTE_RESP, 3);
        EXPECT(answer != NULL && answer->reject && answer->term == 1);
        EXPECT_EQ(r->hint_deadline, rows[i].armed ? net->now + STAGGER : 0); /* behind 1 */
        EXPECT_EQ(r->hint_until, rows[i].armed ? net->now + ELECTION : 0);
        uint64_t armed = r->hint_deadline;
        net->now++;
        give(net, 2, ask); /* asked again it does not wait again */
        EXPECT(!rows[i].armed || r->hint_deadline == armed);
    }
}

/* Of two that run at once with equal logs the one with the lower id goes on; everything else is
 * judged as ever. */
TEST(equal_rivals_do_not_vote_for_each_other)
{
    static const struct {
        uint64_t from;
        uint64_t index;
        uint64_t log_term;
        bool hinted;
        bool written;
        bool granted;
    } rows[] = {{3, 1, 1, true, true, false}, {1, 1, 1, true, true, true},
                {3, 2, 1, true, true, true},  {3, 1, 2, true, true, true},
                {3, 1, 1, false, true, true}, {3, 1, 1, true, false, true},
                {3, 0, 1, true, true, false}};
    for (uint32_t i = 0; i < SH_COUNT(rows); i++) {
        struct net *net = net_three();
        if (rows[i].hinted) {
            run_hinted(net, 2);
        } else {
            forget(net, 2, false);
            net_campaign(net, 2);
        }
        core(net, 2)->log.durable = rows[i].written ? 1 : 0;
        struct raft_msg ask = {.type = RAFT_MSG_PREVOTE, .term = 2, .from = rows[i].from};
        ask.index = rows[i].index;
        ask.log_term = rows[i].log_term;
        give(net, 2, ask);
        const struct raft_msg *answer = said(net, 2, RAFT_MSG_PREVOTE_RESP, rows[i].from);
        EXPECT(answer != NULL);
        EXPECT_EQ(!answer->reject, rows[i].granted);
    }
}

TEST(a_vote_is_given_once_a_term_and_to_no_shorter_log)
{
    static const struct {
        uint64_t voted; /* for whom, in this term */
        uint64_t index;
        uint64_t log_term;
        bool granted;
    } rows[] = {{0, 3, 2, true}, {3, 3, 2, true},  {1, 3, 2, false}, {0, 2, 2, false},
                {0, 4, 2, true}, {0, 9, 1, false}, {0, 1, 3, true},  {3, 2, 2, false}};
    for (uint32_t i = 0; i < SH_COUNT(rows); i++) {
        static const uint64_t terms[] = {1, 2, 2};
        struct net *net = net_group(3, 0x0e, 0);
        net_crash(net, 2);
        net_set_log(net, 2, terms, 3, 3);
        net->nodes[2].hard.vote = rows[i].voted;
        net_start(net, 2);
        struct raft_msg ask = {.type = RAFT_MSG_VOTE, .term = 3, .from = 3};
        ask.index = rows[i].index;
        ask.log_term = rows[i].log_term;
        give(net, 2, ask);
        const struct raft_msg *answer = said(net, 2, RAFT_MSG_VOTE_RESP, 3);
        EXPECT(answer != NULL);
        EXPECT_EQ(!answer->reject, rows[i].granted);
        EXPECT_EQ(core(net, 2)->vote, rows[i].granted ? 3 : rows[i].voted);
    }
}

TEST(a_pre_candidate_without_answers_asks_again_and_less_often)
{
    struct net *net = net_three();
    run_hinted(net, 2);
    uint64_t start = core(net, 2)->election_start;
    EXPECT_EQ(start, net->now);
    EXPECT_EQ(raft_deadline(core(net, 2)), start + STAGGER);
    uint64_t asked = 0;
    while (net->now < start + 60) {
        net->now = raft_deadline(core(net, 2));
        net_tick(net, 2);
        EXPECT(said(net, 2, RAFT_MSG_PREVOTE, 3) != NULL);
        EXPECT_EQ(core(net, 2)->election_start, start); /* its timeout goes on */
        uint64_t half = (net->now - start) / 2;
        uint64_t wait = half > STAGGER ? half : STAGGER;
        EXPECT_EQ(core(net, 2)->hint_deadline, net->now + wait);
        asked++;
    }
    EXPECT(asked >= 5 && asked <= 8);
    struct raft_msg no = {.type = RAFT_MSG_PREVOTE_RESP, .from = 3, .term = 1, .reject = true};
    give(net, 2, no);
    net->now = core(net, 2)->hint_deadline;
    net_tick(net, 2);
    EXPECT(said(net, 2, RAFT_MSG_PREVOTE, 3) != NULL); /* who refused may have changed its mind */
}

TEST(a_leader_beats_and_looks_for_its_quorum_on_time)
{
    struct net *net = net_three();
    struct raft *r = core(net, 1);
    EXPECT_EQ(raft_deadline(r), r->heartbeat_start + 10);
    net->now = r->heartbeat_start + 9;
    net_tick(net, 1);
    EXPECT_EQ(net->nodes[1].told.message_count, 0);
    net->now++;
    net_tick(net, 1);
    EXPECT(said(net, 1, RAFT_MSG_HEARTBEAT, 2) != NULL);
    EXPECT(said(net, 1, RAFT_MSG_HEARTBEAT, 3) != NULL);
    EXPECT_EQ(r->heartbeat_start, net->now);
    net->now = r->election_start + ELECTION; /* 2 and 3 were heard since it began */
    net_tick(net, 1);
    EXPECT(r->role == RAFT_LEADER && r->election_start == net->now);
    EXPECT(r->peers.list[0].active && !r->peers.list[1].active && !r->peers.list[2].active);
    r->heartbeat_start = net->now + ELECTION - 1;
    EXPECT_EQ(raft_deadline(r), net->now + ELECTION); /* the quorum, for once, is due first */
    r->heartbeat_start = net->now;
    net->now += ELECTION - 1;
    net_tick(net, 1);
    EXPECT(r->role == RAFT_LEADER);
    net->now++;
    net_tick(net, 1);
    EXPECT(r->role == RAFT_FOLLOWER);
    EXPECT_EQ(r->term, 1);
}

TEST(a_transfer_begins_with_the_log_and_ends_with_its_time)
{
    struct net *net = net_three();
    struct raft *r = core(net, 1);
    struct raft_event event = {.type = RAFT_TRANSFER};
    event.peer = 2;
    net->now += 5;
    net_step(net, 1, event);
    EXPECT(said(net, 1, RAFT_MSG_TIMEOUT_NOW, 2) != NULL); /* it has everything */
    EXPECT(r->transferee == 2 && r->election_start == net->now);
    net->now += 2;
    net_step(net, 1, event);
    EXPECT(said(net, 1, RAFT_MSG_TIMEOUT_NOW, 2) == NULL); /* once is enough */
    EXPECT_EQ(r->election_start, net->now - 2);
    event.peer = 1;
    net_step(net, 1, event); /* it shall lead on */
    EXPECT_EQ(r->transferee, 0);
    EXPECT_EQ(net->nodes[1].told.refused, SH_OK);
    EXPECT_EQ(net_propose(net, 1, "3 lacks this"), SH_OK);
    net_drop_to(net, 0);
    event.peer = 3;
    net_step(net, 1, event);
    EXPECT(said(net, 1, RAFT_MSG_TIMEOUT_NOW, 3) == NULL);
    EXPECT_EQ(r->transferee, 3);
    net->now = r->election_start + ELECTION - 1;
    net_tick(net, 1);
    EXPECT_EQ(r->transferee, 3);
    net->now++;
    net_tick(net, 1);
    EXPECT_EQ(r->transferee, 0);
}

TEST(leadership_goes_to_voters_only)
{
    struct net *net = net_group(3, 0x06, 0x08);
    net_campaign(net, 1);
    net_settle(net);
    struct raft_event event = {.type = RAFT_TRANSFER};
    event.peer = 3;
    net_step(net, 1, event);
    EXPECT_EQ(net->nodes[1].told.refused, SH_ERR_INVALID);
    EXPECT_EQ(core(net, 1)->transferee, 0);
    event.peer = 2;
    net_step(net, 2, event); /* a follower passes the wish on */
    EXPECT_EQ(net->nodes[2].told.refused, SH_OK);
    const struct raft_msg *wish = said(net, 2, RAFT_MSG_TRANSFER, 1);
    EXPECT(wish != NULL && wish->ctx == 2 && wish->term == 0);
    net_settle(net);
    EXPECT_EQ(net_leader(net), 2);
    forget(net, 1, false);
    net_step(net, 1, event); /* or says that there is no leader */
    EXPECT_EQ(net->nodes[1].told.refused, SH_ERR_NOT_LEADER);
    EXPECT_EQ(net->nodes[1].told.message_count, 0);
}

TEST(a_vote_asked_for_on_a_leaders_wish_breaks_the_lease)
{
    struct net *net = net_three();
    struct raft_msg ask = {.type = RAFT_MSG_VOTE, .from = 3, .term = 2, .log_term = 1, .index = 1};
    give(net, 2, ask);
    EXPECT_EQ(net->nodes[2].told.message_count, 0);
    EXPECT_EQ(core(net, 2)->term, 1);
    ask.force = true;
    give(net, 2, ask);
    EXPECT(said(net, 2, RAFT_MSG_VOTE_RESP, 3) != NULL);
    EXPECT_EQ(core(net, 2)->term, 2);
}

TEST(whoever_is_of_an_older_term_is_told_in_a_way_it_hears)
{
    static const enum raft_msg_type types[] = {RAFT_MSG_APP,  RAFT_MSG_HEARTBEAT, RAFT_MSG_PREVOTE,
                                               RAFT_MSG_VOTE, RAFT_MSG_APP_RESP,  RAFT_MSG_SNAP};
    for (uint32_t way = 0; way < 4; way++) {
        struct raft_config config = net_config(1);
        config.pre_vote = (way & 1) != 0;
        config.check_quorum = (way & 2) != 0;
        for (uint32_t i = 0; i < SH_COUNT(types); i++) {
            struct net *net = net_new(3, 0x0e, 0, 1, &config);
            static const uint64_t terms[] = {5};
            net_crash(net, 2);
            net_set_log(net, 2, terms, 1, 5);
            net_start(net, 2);
            struct raft_msg old = {.type = types[i], .from = 3, .term = 4};
            old.snapshot = (struct raft_snapshot){.index = 1, .term = 1};
            give(net, 2, old);
            const struct raft_update *told = &net->nodes[2].told;
            bool leads = types[i] == RAFT_MSG_APP || types[i] == RAFT_MSG_HEARTBEAT;
            bool answers = (leads && way != 0) || types[i] == RAFT_MSG_PREVOTE;
            EXPECT_EQ(told->message_count, answers);
            EXPECT(!answers || told->messages[0].term == 5);
            EXPECT(!answers || told->messages[0].to == 3);
            EXPECT(!answers || leads || told->messages[0].reject);
            EXPECT_EQ(told->term, 5);
        }
    }
}

TEST(a_message_of_a_newer_term_makes_a_follower_of_whoever_leads_it)
{
    static const struct {
        enum raft_msg_type type;
        bool reject;
        bool leads;
        bool moves;
    } rows[] = {{RAFT_MSG_APP, false, true, true},
                {RAFT_MSG_HEARTBEAT, false, true, true},
                {RAFT_MSG_SNAP, false, true, true},
                {RAFT_MSG_APP_RESP, false, false, true},
                {RAFT_MSG_HEARTBEAT_RESP, false, false, true},
                {RAFT_MSG_PREVOTE_RESP, true, false, true},
                {RAFT_MSG_PREVOTE_RESP, false, false, false},
                {RAFT_MSG_PREVOTE, false, false, false},
                {RAFT_MSG_READ_INDEX, false, false, false},
                {RAFT_MSG_PROP, false, false, false},
                {RAFT_MSG_TRANSFER, false, false, false}};
    for (uint32_t i = 0; i < SH_COUNT(rows); i++) {
        struct net *net = net_three();
        struct raft_msg m = {.type = rows[i].type, .from = 3, .term = 9, .index = 1, .log_term = 1};
        m.reject = rows[i].reject;
        m.snapshot = (struct raft_snapshot){.index = 1, .term = 1};
        give(net, 1, m);
        EXPECT_EQ(core(net, 1)->role == RAFT_FOLLOWER, rows[i].moves);
        EXPECT_EQ(core(net, 1)->term, rows[i].moves ? 9 : 1);
        EXPECT_EQ(core(net, 1)->leader, rows[i].leads ? 3 : rows[i].moves ? 0 : 1);
    }
}

TEST(every_other_voter_is_asked_and_nobody_else)
{
    struct net *net = net_group(5, 0x1e, 0x20); /* 5 learns */
    net_campaign(net, 3);
    EXPECT_EQ(net->nodes[3].told.message_count, 3);
    for (uint64_t id = 1; id <= 4; id++) {
        const struct raft_msg *ask = said(net, 3, RAFT_MSG_PREVOTE, id);
        EXPECT_EQ(ask != NULL, id != 3);
        EXPECT(ask == NULL || (ask->term == 1 && ask->index == 0 && !ask->force));
    }
}

/* Votes say what is committed. 2 runs with an entry that it does not know to be. */
TEST(whoever_runs_learns_what_is_committed_and_stops_for_a_change_only)
{
    static const struct {
        bool change;
        uint64_t commit;
        uint64_t term; /* there */
        uint64_t then; /* what 2 knows to be committed */
        bool stops;
    } rows[] = {{false, 2, 1, 2, false}, {true, 2, 1, 2, true},  {true, 1, 1, 1, false},
                {true, 2, 2, 1, false},  {true, 3, 1, 1, false}, {true, 0, 0, 1, false}};
    for (uint32_t i = 0; i < SH_COUNT(rows); i++) {
        struct net *net = net_three();
        if (rows[i].change) {
            EXPECT_EQ(net_change(net, 1, RAFT_AUTO, RAFT_ADD_LEARNER, 5), SH_OK);
        } else {
            EXPECT_EQ(net_propose(net, 1, "a"), SH_OK);
        }
        net_drop_to(net, 3);
        while (net->pool_count > 0) {
            (void)net_deliver_at(net, net->pool_count - 1, false);
        }
        write_all(net, 2);
        net_drop_to(net, 0);
        forget(net, 2, false);
        net_campaign(net, 2);
        struct raft_msg no = {.type = RAFT_MSG_PREVOTE_RESP, .from = 3, .term = 1, .reject = true};
        no.commit = rows[i].commit;
        no.ctx = rows[i].term;
        net->committed = 2; /* by 1 and 2, had the answer arrived */
        net->chain_at[2] = net->nodes[2].live.entries[2].chain;
        net->term_at[2] = 1;
        give(net, 2, no);
        EXPECT_EQ(core(net, 2)->commit, rows[i].then);
        EXPECT_EQ(core(net, 2)->role == RAFT_FOLLOWER, rows[i].stops);
        EXPECT_EQ(core(net, 2)->term, 1);
    }
}

TEST(nobody_runs_that_cannot_lead)
{
    for (uint32_t i = 0; i < 5; i++) {
        struct net *net = net_three();
        struct raft *r = core(net, 2);
        forget(net, 2, false);
        r->term = i == 1 ? RAFT_NUMBER_MAX : i == 2 ? RAFT_NUMBER_MAX - 1 : r->term;
        r->install_token = i == 3 ? r->log.token_issued + 1 : 0; /* a snapshot is under way */
        r->config.pre_vote = i != 4;
        struct raft_event event = {.type = RAFT_CAMPAIGN, .now = net->now};
        struct raft_update u;
        raft_step(r, &event, &u);
        bool runs = i != 1 && i != 3;
        EXPECT_EQ(u.message_count, runs ? 2 : 0);
        EXPECT(!runs || u.messages[0].type == (i == 4 ? RAFT_MSG_VOTE : RAFT_MSG_PREVOTE));
        EXPECT_EQ(r->role == RAFT_FOLLOWER, !runs);
        EXPECT_EQ(raft_promotable(r), i != 3);
    }
}
