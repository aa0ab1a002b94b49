/* SPDX-License-Identifier: Apache-2.0 */
#include "lab.h"
#include "tst.h"

#include <string.h>

static void join(struct lab *lab, uint32_t first, uint32_t count)
{
    struct swim_addr addrs[SWIM_SEEDS_MAX];
    for (uint32_t i = 0; i < count; i++) {
        addrs[i] = lab_addr(first + i);
    }
    struct swim_event event = {.kind = SWIM_EV_JOIN};
    event.join.addrs = addrs;
    event.join.count = count;
    lab_step(lab, event);
}

static void run_with_answers(struct lab *lab, uint64_t for_us)
{
    uint64_t end = lab->now_us + for_us;
    uint32_t seen = lab->sent_count;
    while (swim_deadline_us(lab->swim) <= end) {
        uint64_t due = swim_deadline_us(lab->swim);
        lab_run(lab, due > lab->now_us ? due - lab->now_us : 0);
        for (; seen < lab->sent_count; seen++) {
            struct lab_sent sent = lab->sent[seen];
            if (sent.packet.type == SWIM_PING) {
                lab_ack(lab, sent.to, sent.packet.seq);
            }
        }
    }
    lab->now_us = end;
}

TEST(news_goes_to_four_members_at_once)
{
    static const enum swim_state news[] = {SWIM_ALIVE, SWIM_DEAD, SWIM_LEFT};
    for (uint32_t i = 0; i < 3; i++) {
        struct lab *lab = lab_among(10);
        lab_tell(lab, 1, lab_claim(2, news[i], 1));
        uint32_t told = lab_told(lab, LAB_ANY, 2, news[i]);
        EXPECT(told == 4 || (told == 3 && news[i] == SWIM_ALIVE)); /* not to its subject */
        lab_tell(lab, 1, lab_claim(2, news[i], 1));
        EXPECT_EQ(lab_told(lab, LAB_ANY, 2, news[i]), told);
        memset(lab, 0, sizeof *lab);
    }
}

TEST(a_suspicion_is_told_at_once_only_by_its_originator)
{
    struct lab *lab = lab_among(10);
    lab_tell(lab, 1, lab_accused(2, 0, 7));
    EXPECT_EQ(lab->sent_count, 0);
    run_with_answers(lab, 1000 * LAB_MS);
    EXPECT(lab_told(lab, LAB_ANY, 2, SWIM_SUSPECT) > 3); /* by the gossip tick */
}

TEST(a_storm_of_news_is_told_at_once_only_ten_times)
{
    struct lab *lab = lab_among(10);
    for (uint32_t i = 0; i < 30; i++) {
        lab_tell(lab, 1, lab_claim(2, SWIM_ALIVE, i + 1));
    }
    EXPECT(lab->sent_count <= 40);
    lab_run(lab, 200 * LAB_MS);
    lab_clear(lab);
    lab_tell(lab, 1, lab_claim(2, SWIM_ALIVE, 100));
    EXPECT(lab->sent_count >= 3);
}

TEST(a_rumour_dies_out_after_its_retransmissions)
{
    struct lab *lab = lab_among(10);
    lab_tell(lab, 1, lab_claim(2, SWIM_ALIVE, 1));
    run_with_answers(lab, 10000 * LAB_MS);
    EXPECT_EQ(lab_told(lab, LAB_ANY, 2, SWIM_ALIVE), 8);
    uint32_t gossips = lab_count(lab, SWIM_GOSSIP, LAB_ANY);
    run_with_answers(lab, 10000 * LAB_MS);
    EXPECT_EQ(lab_told(lab, LAB_ANY, 2, SWIM_ALIVE), 8);
    EXPECT_EQ(lab_count(lab, SWIM_GOSSIP, LAB_ANY), gossips);
}

TEST(a_packet_carries_many_claims_and_never_one_twice)
{
    struct lab *lab = lab_new(0);
    for (uint32_t i = 1; i <= 20; i++) {
        lab_tell(lab, i, lab_claim(i, SWIM_ALIVE, 0));
    }
    lab_clear(lab);
    struct swim_packet ping = {.type = SWIM_PING, .seq = 9};
    lab_id(LAB_ME, ping.target);
    lab_receive(lab, 3, ping, NULL, 0);
    const struct lab_sent *ack = lab_get(lab, SWIM_ACK, 3, 0);
    EXPECT(ack->claims >= 15);
    for (uint32_t i = 0; i < ack->claims; i++) {
        EXPECT(ack->claim[i].id[0] != 3); /* it knows that it is alive */
        for (uint32_t k = i + 1; k < ack->claims; k++) {
            EXPECT(memcmp(ack->claim[i].id, ack->claim[k].id, SH_NODE_ID_BYTES) != 0);
        }
    }
}

TEST(the_suspected_hears_of_it_with_every_packet)
{
    struct lab *lab = lab_among(10);
    lab_tell(lab, 1, lab_accused(2, 0, 7));
    run_with_answers(lab, 1500 * LAB_MS);
    lab_clear(lab);
    struct swim_packet ping = {.type = SWIM_PING, .seq = 9};
    lab_id(LAB_ME, ping.target);
    for (uint32_t i = 0; i < 3; i++) {
        lab_receive(lab, 2, ping, NULL, 0);
        EXPECT_EQ(lab_told(lab, 2, 2, SWIM_SUSPECT), i + 1);
    }
}

TEST(seeds_are_called_every_second_while_nobody_answers)
{
    struct lab *lab = lab_new(0);
    join(lab, 5, 2);
    EXPECT_EQ(lab_count(lab, SWIM_JOIN, 5), 1);
    EXPECT_EQ(lab_count(lab, SWIM_JOIN, 6), 1);
    EXPECT_EQ(lab_told(lab, 5, LAB_ME, SWIM_ALIVE), 1);
    lab_run(lab, 3500 * LAB_MS);
    EXPECT_EQ(lab_count(lab, SWIM_JOIN, 5), 4);
    lab_tell(lab, 5, lab_claim(5, SWIM_ALIVE, 0));
    lab_clear(lab);
    run_with_answers(lab, 3000 * LAB_MS);
    EXPECT_EQ(lab_count(lab, SWIM_JOIN, 5), 0);
}

TEST(its_own_address_among_the_seeds_is_left_out)
{
    struct lab *lab = lab_new(0);
    join(lab, LAB_ME, 1);
    lab_run(lab, 3000 * LAB_MS);
    EXPECT_EQ(lab->sent_count, 0);
}

TEST(a_seed_that_is_not_a_member_is_tried_now_and_then)
{
    struct lab *lab = lab_new(0);
    join(lab, 5, 1);
    lab_tell(lab, 1, lab_claim(1, SWIM_ALIVE, 0));
    lab_clear(lab);
    run_with_answers(lab, 100000 * LAB_MS);
    uint32_t tries = lab_count(lab, SWIM_JOIN, 5);
    EXPECT(tries >= 2 && tries <= 6);
}

TEST(one_that_joins_gets_the_whole_table_in_bounded_updates)
{
    static uint8_t text[500];
    struct lab *lab = lab_new(0);
    for (uint32_t i = 1; i <= 50; i++) {
        struct swim_claim claim = lab_claim(i, SWIM_ALIVE, 0);
        claim.has_meta = true;
        claim.meta_version = 1;
        claim.meta = (struct sh_span){.at = text, .size = sizeof text};
        lab_tell(lab, i, claim);
        lab_clear(lab);
    }
    struct swim_claim newcomer = lab_claim(60, SWIM_ALIVE, 0);
    lab_receive(lab, 60, (struct swim_packet){.type = SWIM_JOIN}, &newcomer, 1);
    lab_run(lab, 400 * LAB_MS);
    uint32_t records = 0;
    for (uint32_t i = 0; i < lab->sent_count; i++) {
        if (lab->sent[i].packet.type == SWIM_RECORDS) {
            EXPECT_EQ(lab->sent[i].to, 60);
            for (uint32_t k = 0; k < lab->sent[i].claims; k++) {
                records++;
                EXPECT(lab->sent[i].claim[k].id[0] == LAB_ME || lab->sent[i].claim[k].id[0] == 60 ||
                       lab->sent[i].claim[k].meta.size == sizeof text);
            }
        }
    }
    EXPECT_EQ(records, 52);
}

TEST(only_a_difference_that_stays_leads_to_a_comparison)
{
    struct swim_config config = swim_preset(SWIM_LAN);
    config.sync_every_us = UINT64_C(3600000) * LAB_MS; /* none unasked */
    struct lab *lab = lab_with(&config, 0);
    for (uint32_t i = 1; i <= 6; i++) {
        lab_tell(lab, i, lab_claim(i, SWIM_ALIVE, 0));
    }
    run_with_answers(lab, 5000 * LAB_MS);
    lab_clear(lab);
    struct swim_packet other = {.type = SWIM_GOSSIP, .fingerprint = 1};
    struct swim_packet same = {.type = SWIM_GOSSIP};
    lab_receive(lab, 1, other, NULL, 0);
    lab->now_us += 100 * LAB_MS;
    lab_receive(lab, 2, other, NULL, 0);
    EXPECT_EQ(lab_count(lab, SWIM_HASHES, LAB_ANY), 0);
    lab_receive(lab, 3, same, NULL, 0);
    run_with_answers(lab, 1500 * LAB_MS);
    lab_receive(lab, 1, other, NULL, 0);
    EXPECT_EQ(lab_count(lab, SWIM_HASHES, LAB_ANY), 0);
    lab->now_us += 100 * LAB_MS;
    for (uint32_t i = 0; i < 12; i++) {
        lab_run(lab, 100 * LAB_MS);
        lab_receive(lab, 2, other, NULL, 0);
    }
    EXPECT_EQ(lab_count(lab, SWIM_HASHES, 2), 1);
}

TEST(buckets_that_differ_are_sent_and_asked_for)
{
    struct lab *lab = lab_among(6);
    run_with_answers(lab, 1000 * LAB_MS);
    lab_clear(lab);
    struct swim_packet hashes = {.type = SWIM_HASHES}; /* of an empty table */
    lab_receive(lab, 1, hashes, NULL, 0);
    run_with_answers(lab, 50 * LAB_MS);
    const struct lab_sent *records = lab_get(lab, SWIM_RECORDS, 1, 0);
    EXPECT_EQ(records->claims, 7);
    EXPECT_EQ(records->packet.want, 0x7f); /* ids end in 0 to 6: these buckets */
    lab_clear(lab);
    struct swim_packet want = {.type = SWIM_RECORDS, .want = 0x6};
    lab_receive(lab, 2, want, NULL, 0);
    records = lab_get(lab, SWIM_RECORDS, 2, 0);
    EXPECT_EQ(records->claims, 2);
    EXPECT_EQ(records->packet.want, 0);
}

TEST(equal_buckets_are_not_answered)
{
    struct lab *lab = lab_among(6);
    run_with_answers(lab, 60000 * LAB_MS); /* it compares with somebody now and then unasked */
    struct swim_packet hashes = lab_get(lab, SWIM_HASHES, LAB_ANY, 0)->packet;
    hashes.incarnation = 0;
    lab_clear(lab);
    lab_receive(lab, 1, hashes, NULL, 0);
    run_with_answers(lab, 50 * LAB_MS);
    EXPECT_EQ(lab_count(lab, SWIM_RECORDS, LAB_ANY), 0);
}

TEST(the_dead_are_redialled_and_told_and_compared_with_when_they_answer)
{
    struct lab *lab = lab_among(4);
    lab_tell(lab, 1, lab_claim(2, SWIM_DEAD, 0));
    lab_clear(lab);
    uint64_t start = lab->now_us;
    while (lab_count(lab, SWIM_PING, 2) == 0) {
        run_with_answers(lab, 100 * LAB_MS);
        EXPECT(lab->now_us - start < 37000 * LAB_MS); /* the slow pace, chosen before the death */
    }
    const struct lab_sent *ping = lab_get(lab, SWIM_PING, 2, 0);
    EXPECT_EQ(ping->claim[0].state, SWIM_DEAD);
    EXPECT_EQ(ping->claim[0].id[0], 2);
    EXPECT(lab_count(lab, SWIM_HASHES, 2) >= 1);
    lab_clear(lab);
    run_with_answers(lab, 6100 * LAB_MS);
    EXPECT(lab_count(lab, SWIM_PING, 2) >= 1); /* then the fast one */
}

TEST(those_that_left_are_not_redialled)
{
    struct lab *lab = lab_among(4);
    lab_tell(lab, 1, lab_claim(2, SWIM_LEFT, 0));
    run_with_answers(lab, 120000 * LAB_MS);
    EXPECT_EQ(lab_count(lab, SWIM_PING, 2), 0);
}

TEST(one_that_leaves_tells_answers_for_a_second_and_probes_nobody)
{
    struct lab *lab = lab_among(10);
    lab_step(lab, (struct swim_event){.kind = SWIM_EV_LEAVE});
    EXPECT_EQ(lab_told(lab, LAB_ANY, LAB_ME, SWIM_LEFT), 8);
    EXPECT_EQ(lab_state(lab, LAB_ME), SWIM_LEFT);
    EXPECT_EQ(lab_incarnation(lab, LAB_ME), (LAB_EPOCH << 32) + 1);
    EXPECT(!swim_has_left(lab->swim));
    struct swim_packet ping = {.type = SWIM_PING, .seq = 9};
    lab_id(LAB_ME, ping.target);
    lab_receive(lab, 2, ping, NULL, 0);
    EXPECT_EQ(lab_count(lab, SWIM_ACK, 2), 1);
    lab_tell(lab, 2, lab_claim(LAB_ME, SWIM_DEAD, (LAB_EPOCH << 32) + 1));
    EXPECT_EQ(lab_incarnation(lab, LAB_ME), (LAB_EPOCH << 32) + 1);
    lab_run(lab, 999 * LAB_MS);
    EXPECT(!swim_has_left(lab->swim));
    lab_run(lab, 2 * LAB_MS);
    EXPECT(swim_has_left(lab->swim));
    EXPECT_EQ(lab_count(lab, SWIM_PING, LAB_ANY), 0);
}

TEST(one_alone_leaves_at_once)
{
    struct lab *lab = lab_new(0);
    lab_step(lab, (struct swim_event){.kind = SWIM_EV_LEAVE});
    EXPECT(swim_has_left(lab->swim));
}

TEST(equal_tables_have_equal_fingerprints)
{
    struct lab *lab = lab_among(3);
    uint64_t before = swim_fingerprint(lab->swim);
    lab_tell(lab, 1, lab_accused(2, 0, 7));
    uint64_t suspect = swim_fingerprint(lab->swim);
    EXPECT(suspect != before);
    lab_tell(lab, 2, lab_claim(2, SWIM_ALIVE, 1));
    EXPECT(swim_fingerprint(lab->swim) != before);
    EXPECT(swim_fingerprint(lab->swim) != suspect);
}

TEST(states_have_names)
{
    EXPECT_STR(swim_state_name(SWIM_ABSENT), "absent");
    EXPECT_STR(swim_state_name(SWIM_LEFT), "left");
}

TEST_DIES(time_never_goes_back, "host_us >= s->host_us")
{
    struct lab *lab = lab_among(1);
    lab->now_us--;
    lab_step(lab, (struct swim_event){.kind = SWIM_EV_TICK});
}
