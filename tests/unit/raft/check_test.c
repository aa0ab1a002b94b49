/* SPDX-License-Identifier: Apache-2.0
 *
 * What looks at a core must see: a broken invariant panics, and a digest tells apart what differs
 * and nothing else. Here the core's fields are set from outside. */
#include "net.h"
#include "tst.h"

#include <stdlib.h>
#include <string.h>

/* A leader of three with a learner, an entry of each kind, a read and a transfer. */
static struct raft *busy_leader(void)
{
    struct raft_config config = net_config(1);
    config.election_max = 500;
    config.abdicate = true;
    struct net *net = net_new(4, 0x0e, 0x10, 3, &config);
    net_campaign(net, 1);
    net_settle(net);
    EXPECT_EQ(net_leader(net), 1);
    net_propose_some(net, 1, 3);
    EXPECT_EQ(net_change(net, 1, RAFT_AUTO, RAFT_UPDATE, 9), SH_OK);
    net_settle(net);
    EXPECT_EQ(net_propose(net, 1, "under way"), SH_OK);
    net_read(net, 1);
    net_read(net, 1);
    struct raft_event event = {.type = RAFT_TRANSFER};
    event.peer = 2;
    net_step(net, 1, event);
    struct raft *r = net->nodes[1].core;
    EXPECT(r->read_ring.count == 2 && r->log.token_ring.count == 1 && r->log.conf_count == 1);
    EXPECT(r->peers.list[1].inflight.count == 1 && r->peers.list[3].learner);
    EXPECT_EQ(r->transferee, 2);
    return r;
}

/* Cores that differ in one number each. Some differ in a clock, which one digest leaves out. */
enum { PLAIN, CLOCK };

struct field {
    size_t at;
    size_t size;
    int kind;
};

#define FIELD(name, its_kind)                                                                      \
    {                                                                                              \
        offsetof(struct raft, name), sizeof((struct raft *)0)->name, its_kind                      \
    }

static const struct field fields[] = {
    FIELD(config.id, PLAIN),
    FIELD(term, PLAIN),
    FIELD(vote, PLAIN),
    FIELD(commit, PLAIN),
    FIELD(applied, PLAIN),
    FIELD(role, PLAIN),
    FIELD(leader, PLAIN),
    FIELD(conf_index, PLAIN),
    FIELD(install_index, PLAIN),
    FIELD(transferee, PLAIN),
    FIELD(pending_conf, PLAIN),
    FIELD(uncommitted, PLAIN),
    FIELD(read_sent, PLAIN),
    FIELD(read_acked, PLAIN),
    FIELD(conf.learners[0], PLAIN),
    FIELD(log.first, PLAIN),
    FIELD(log.conf_floor, PLAIN),
    FIELD(log.conf_at[0], PLAIN),
    FIELD(log.token_issued, PLAIN),
    FIELD(peers.list[1].id, PLAIN),
    FIELD(peers.list[1].state, PLAIN),
    FIELD(peers.list[1].flow_paused, PLAIN),
    FIELD(peers.list[1].active, PLAIN),
    FIELD(peers.list[1].learner, PLAIN),
    FIELD(peers.list[1].ballot, PLAIN),
    FIELD(peers.list[1].match, PLAIN),
    FIELD(peers.list[1].next, PLAIN),
    FIELD(peers.list[1].pending_snapshot, PLAIN),
    FIELD(peers.list[1].sent_commit, PLAIN),
    FIELD(peers.list[1].read_round, PLAIN),
    FIELD(peers.list[1].inflight_bytes, PLAIN),
    FIELD(peers.list[3].match, PLAIN),
    FIELD(config.election, CLOCK),
    FIELD(config.heartbeat, CLOCK),
    FIELD(now, CLOCK),
    FIELD(election_start, CLOCK),
    FIELD(election_timeout, CLOCK),
    FIELD(heartbeat_start, CLOCK),
    FIELD(news_due, CLOCK),
    FIELD(eager_index, CLOCK),
    FIELD(rng.s[0], CLOCK),
    FIELD(pace.least, CLOCK),
    FIELD(pace.round_trip, CLOCK),
    FIELD(pace.beat_at, CLOCK),
    FIELD(pace.write_since, CLOCK),
    FIELD(pace.writes.count[0], CLOCK),
    FIELD(pace.gaps.count[0], CLOCK),
    FIELD(peers.list[1].beat_at, CLOCK),
};

static void *at(struct raft *r, size_t offset)
{
    return (uint8_t *)r + offset;
}

TEST_ROWS(cores_that_differ_in_one_number_have_different_digests, fields)
{
    struct raft *r = busy_leader();
    const struct field *f = &fields[tst_row];
    uint64_t whole = raft_digest(r);
    uint64_t timeless = raft_digest_timeless(r);
    uint8_t *low = at(r, f->at);
    *low ^= 1;
    EXPECT(raft_digest(r) != whole);
    EXPECT_EQ(raft_digest_timeless(r) == timeless, f->kind == CLOCK);
    *low ^= 1;
    EXPECT_EQ(raft_digest(r), whole);
    EXPECT_EQ(raft_digest_timeless(r), timeless);
}

TEST(a_digest_sees_what_is_in_the_log_in_flight_and_asked_for)
{
    struct raft *r = busy_leader();
    uint64_t timeless = raft_digest_timeless(r);
    uint8_t *seen[] = {raft_part(r, r->layout.bytes),
                       (uint8_t *)raft_part(r, r->layout.runs) + 16, /* the second one's index */
                       raft_part(r, r->layout.reads)};
    for (uint32_t i = 0; i < SH_COUNT(seen); i++) {
        *seen[i] ^= 1;
        EXPECT(raft_digest_timeless(r) != timeless);
        *seen[i] ^= 1;
    }
    struct raft_inflight *rows = raft_part(r, r->layout.inflight);
    rows += (size_t)r->peers.list[2].slot * r->peers.inflight_msgs;
    uint32_t in_flight = sh_ring_at(&r->peers.list[2].inflight, 0);
    rows[in_flight].index++;
    EXPECT(raft_digest_timeless(r) != timeless);
    rows[in_flight].index--;
    rows[in_flight + 1].index++; /* a stale corner */
    EXPECT_EQ(raft_digest_timeless(r), timeless);
    struct raft_slot *slot = raft_part(r, r->layout.slots);
    slot += r->log.slot_first;
    slot->type ^= 1;
    EXPECT(raft_digest_timeless(r) != timeless);
    slot->type ^= 1;
    r->log.tokens[sh_ring_at(&r->log.token_ring, 0)].last--;
    EXPECT(raft_digest_timeless(r) != timeless);
}

TEST(a_timeless_digest_takes_numbers_of_writes_and_reads_from_the_newest)
{
    struct raft *r = busy_leader();
    r->peers.list[1].read_request = 4;
    r->request = 6;
    r->term_token = r->log.token_durable + 1;
    r->install_token = r->log.token_durable + 1;
    uint64_t timeless = raft_digest_timeless(r);
    r->peers.list[1].read_request = 14;
    r->request = 16;
    r->log.token_durable += 10;
    r->log.token_issued += 10;
    r->log.tokens[sh_ring_at(&r->log.token_ring, 0)].token += 10;
    r->term_token += 10;
    r->install_token += 10;
    EXPECT_EQ(raft_digest_timeless(r), timeless);
    r->request++; /* another distance */
    EXPECT(raft_digest_timeless(r) != timeless);
    r->request--;
    r->peers.list[1].read_request = 16; /* the newest is not none */
    timeless = raft_digest_timeless(r);
    r->peers.list[1].read_request = 0;
    EXPECT(raft_digest_timeless(r) != timeless);
    timeless = raft_digest_timeless(r);
    r->request = 3; /* nobody waits: how many were asked is nothing */
    EXPECT_EQ(raft_digest_timeless(r), timeless);
    uint64_t *tokens[] = {&r->term_token, &r->install_token};
    for (uint32_t i = 0; i < SH_COUNT(tokens); i++) {
        uint64_t token = *tokens[i];
        *tokens[i] = r->log.token_durable; /* done */
        uint64_t done = raft_digest_timeless(r);
        EXPECT(done != timeless);
        *tokens[i] = 1; /* done long ago */
        EXPECT_EQ(raft_digest_timeless(r), done);
        *tokens[i] = token;
    }
}

TEST(a_timeless_digest_knows_whether_a_hint_is_in_force)
{
    struct raft *r = busy_leader();
    uint64_t timeless = raft_digest_timeless(r);
    r->hint_deadline = 5;
    uint64_t hinted = raft_digest_timeless(r);
    EXPECT(hinted != timeless);
    r->hint_deadline = 6;
    EXPECT_EQ(raft_digest_timeless(r), hinted);
    r->hint_until = r->now;
    EXPECT_EQ(raft_digest_timeless(r), hinted); /* it is over */
    r->hint_until = r->now + 1;
    EXPECT(raft_digest_timeless(r) != hinted);
    uint64_t whole = raft_digest(r);
    r->hint_until++;
    EXPECT(raft_digest(r) != whole);
    whole = raft_digest(r);
    r->hint_deadline++;
    EXPECT(raft_digest(r) != whole);
    whole = raft_digest(r);
    r->request++;
    EXPECT(raft_digest(r) != whole);
}

TEST(a_fixed_pace_leaves_no_mark_in_a_digest)
{
    struct raft *r = busy_leader();
    r->config.election_max = 0;
    r->config.abdicate = false;
    uint64_t whole = raft_digest(r);
    r->pace.write_since++;
    r->pace.writes.count[0]++;
    r->pace.gaps.count[0]++;
    r->peers.list[1].beat_at++;
    EXPECT_EQ(raft_digest(r), whole);
}

/* What raft_check asserts, one broken thing at a time. */
#define BROKEN(name, text, change)                                                                 \
    TEST_DIES(name, text)                                                                          \
    {                                                                                              \
        struct raft *r = busy_leader();                                                            \
        raft_check(r);                                                                             \
        change;                                                                                    \
        raft_check(r);                                                                             \
    }

static struct raft_run *run_at(struct raft *r, uint32_t i)
{
    return (struct raft_run *)raft_part(r, r->layout.runs) + i;
}

static struct raft_slot *newest_slot(struct raft *r)
{
    uint32_t limit = r->config.limits.tail_entries;
    uint64_t count = r->log.last - r->log.tail_first;
    return (struct raft_slot *)raft_part(r, r->layout.slots) + (r->log.slot_first + count) % limit;
}

BROKEN(a_voter_twice_panics, "ids[i]", r->conf.voters[1] = 1)
BROKEN(an_outgoing_voter_without_number_panics, "ids[i]", r->conf.outgoing_count = 1)
BROKEN(learners_out_of_order_panic, "ids[i]", r->conf.learner_count = 2; r->conf.learners[1] = 3)
BROKEN(a_learner_to_be_out_of_its_place_panics, "ids[i]", r->conf.learners_next[2] = 3)
BROKEN(leftovers_behind_a_set_panic, "ids[i]", r->conf.voters[RAFT_VOTERS_MAX - 1] = 9)
BROKEN(a_learner_that_votes_panics, "raft_conf_voter", r->conf.learners[0] = 3)
BROKEN(a_learner_to_be_that_does_not_go_panics, "set_has(conf->outgoing",
       r->conf.learner_next_count = 1;
       r->conf.learners_next[0] = 5)
BROKEN(a_learner_to_be_that_goes_on_voting_panics, "!set_has(conf->voters",
       r->conf.outgoing_count = 1;
       r->conf.outgoing[0] = 2; r->conf.learner_next_count = 1; r->conf.learners_next[0] = 2)
BROKEN(a_wish_to_leave_without_two_sides_panics, "auto_leave", r->conf.auto_leave = true)
BROKEN(a_group_with_one_empty_side_panics, "voter_count > 0",
       memcpy(r->conf.outgoing, r->conf.voters, sizeof r->conf.voters);
       r->conf.outgoing_count = 3; memset(r->conf.voters, 0, sizeof r->conf.voters);
       r->conf.voter_count = 0)
BROKEN(members_out_of_order_panic, "p->id", r->peers.list[3].id = 2)
BROKEN(a_member_that_matches_beyond_next_panics, "p->match", r->peers.list[3].match = 900)
BROKEN(a_slot_given_twice_panics, "slots >> p->slot", r->peers.list[3].slot = r->peers.list[2].slot)
BROKEN(a_slot_of_nobody_panics, "slots", r->peers.slots |= 1u << 20)
BROKEN(a_probe_with_messages_in_flight_panics, "inflight.count == 0",
       r->peers.list[1].state = RAFT_PROBE)
BROKEN(a_snapshot_of_nobody_panics, "pending_snapshot == 0", r->peers.list[3].pending_snapshot = 1)
BROKEN(a_member_of_no_group_panics, "members", r->conf.learner_count = 0; r->conf.learners[0] = 0)
BROKEN(another_member_than_the_groups_panics, "members[i]", r->peers.list[3].id = 7)
BROKEN(terms_that_do_not_rise_panic, "runs[i].term", run_at(r, 1)->term = 0)
BROKEN(terms_that_begin_nowhere_panic, "runs[i].first", run_at(r, 1)->first = 0)
BROKEN(a_term_beyond_the_log_panics, "run_count - 1].first", run_at(r, 1)->first = 99)
BROKEN(a_payload_beyond_its_room_panics, "tail_bytes", newest_slot(r)->size = 1u << 20)
BROKEN(a_payload_with_a_gap_before_it_panics, "slot->offset", newest_slot(r)->offset += 1)
BROKEN(a_write_older_than_what_is_done_panics, "token->token",
       r->log.tokens[sh_ring_at(&r->log.token_ring, 0)].token = 1)
BROKEN(a_write_never_asked_for_panics, "token_issued",
       r->log.tokens[sh_ring_at(&r->log.token_ring, 0)].token = 99)
BROKEN(a_write_of_what_is_not_there_panics, "token->last",
       r->log.tokens[sh_ring_at(&r->log.token_ring, 0)].last = 99)
BROKEN(a_change_beyond_the_log_panics, "conf_at", r->log.conf_at[0] = 99)
BROKEN(a_disk_ahead_of_the_log_panics, "durable", r->log.durable = 99)
BROKEN(a_commit_beyond_the_log_panics, "r->commit", r->commit = 99)
BROKEN(an_applied_entry_that_is_not_committed_panics, "r->applied", r->applied = r->commit + 1)
BROKEN(a_leader_that_follows_panics, "r->leader", r->leader = 2)
BROKEN(a_leader_of_an_unwritten_term_panics, "term_token", r->term_token = 99)
BROKEN(a_member_that_holds_more_than_its_leader_panics, "p->match",
       r->peers.list[3].match = r->log.last + 1;
       r->peers.list[3].next = r->log.last + 2)
BROKEN(a_member_that_is_sent_what_is_not_there_panics, "p->next",
       r->peers.list[3].next = r->log.last + 2)
BROKEN(a_leader_that_counts_what_it_did_not_write_panics, "r->log.durable",
       r->peers.list[0].match = r->log.last;
       r->peers.list[0].next = r->log.last + 1)
BROKEN(an_answer_to_no_read_panics, "read_round", r->peers.list[3].read_round = 99)
BROKEN(a_quorum_for_no_read_panics, "read_acked", r->read_acked = 99)
BROKEN(a_transfer_to_a_stranger_panics, "transferee", r->transferee = 9)
BROKEN(a_follower_of_itself_panics, "r->leader", r->role = RAFT_FOLLOWER)
BROKEN(a_candidate_that_votes_for_another_panics, "r->vote", r->role = RAFT_CANDIDATE;
       r->leader = 0; r->vote = 2)
BROKEN(a_candidate_with_a_leader_panics, "r->leader", r->role = RAFT_CANDIDATE)
BROKEN(a_pre_candidate_with_a_leader_panics, "r->leader", r->role = RAFT_PRE_CANDIDATE)
BROKEN(a_follower_with_reads_panics, "read_ring.count", r->role = RAFT_FOLLOWER; r->leader = 2)
