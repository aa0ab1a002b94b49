/* SPDX-License-Identifier: Apache-2.0 */
#include "lab.h"
#include "tst.h"

#include <string.h>

enum { PEER = 2, TELLER = 1 };

struct precedence {
    enum swim_state known;
    uint64_t known_at;
    enum swim_state claimed;
    uint64_t claimed_at;
    enum swim_state state;
    uint64_t incarnation;
};

static const struct precedence PRECEDENCE[] = {
    {SWIM_ALIVE, 5, SWIM_ALIVE, 4, SWIM_ALIVE, 5},
    {SWIM_ALIVE, 5, SWIM_ALIVE, 6, SWIM_ALIVE, 6},
    {SWIM_ALIVE, 5, SWIM_SUSPECT, 4, SWIM_ALIVE, 5},
    {SWIM_ALIVE, 5, SWIM_SUSPECT, 5, SWIM_SUSPECT, 5},
    {SWIM_ALIVE, 5, SWIM_DEAD, 4, SWIM_ALIVE, 5},
    {SWIM_ALIVE, 5, SWIM_DEAD, 5, SWIM_DEAD, 5},
    {SWIM_ALIVE, 5, SWIM_LEFT, 4, SWIM_ALIVE, 5},
    {SWIM_ALIVE, 5, SWIM_LEFT, 6, SWIM_LEFT, 6},
    {SWIM_SUSPECT, 5, SWIM_ALIVE, 5, SWIM_SUSPECT, 5},
    {SWIM_SUSPECT, 5, SWIM_ALIVE, 6, SWIM_ALIVE, 6},
    {SWIM_SUSPECT, 5, SWIM_SUSPECT, 6, SWIM_SUSPECT, 6},
    {SWIM_SUSPECT, 5, SWIM_DEAD, 5, SWIM_DEAD, 5},
    {SWIM_DEAD, 5, SWIM_ALIVE, 5, SWIM_DEAD, 5},
    {SWIM_DEAD, 5, SWIM_SUSPECT, 5, SWIM_DEAD, 5},
    {SWIM_DEAD, 5, SWIM_SUSPECT, 6, SWIM_SUSPECT, 6},
    {SWIM_DEAD, 5, SWIM_ALIVE, 6, SWIM_ALIVE, 6},
    {SWIM_DEAD, 5, SWIM_LEFT, 5, SWIM_LEFT, 5},
    {SWIM_LEFT, 5, SWIM_ALIVE, 5, SWIM_LEFT, 5},
    {SWIM_LEFT, 5, SWIM_SUSPECT, 5, SWIM_LEFT, 5},
    {SWIM_LEFT, 5, SWIM_DEAD, 5, SWIM_LEFT, 5},
    {SWIM_LEFT, 5, SWIM_ALIVE, 6, SWIM_ALIVE, 6},
};

static struct swim_claim claim_of(enum swim_state state, uint64_t incarnation)
{
    return state == SWIM_SUSPECT ? lab_accused(PEER, incarnation, 7)
                                 : lab_claim(PEER, state, incarnation);
}

TEST_ROWS(the_higher_incarnation_wins_then_the_worse_state, PRECEDENCE)
{
    const struct precedence *row = &PRECEDENCE[tst_row];
    struct lab *lab = lab_new(0);
    lab_tell(lab, TELLER, lab_claim(TELLER, SWIM_ALIVE, 0));
    lab_tell(lab, TELLER, claim_of(row->known, row->known_at));
    EXPECT_EQ(lab_state(lab, PEER), row->known);
    lab_tell(lab, TELLER, claim_of(row->claimed, row->claimed_at));
    EXPECT_EQ(lab_state(lab, PEER), row->state);
    EXPECT_EQ(lab_incarnation(lab, PEER), row->incarnation);
}

TEST(a_change_is_reported_once_with_both_sides)
{
    struct lab *lab = lab_new(0);
    lab_tell(lab, TELLER, claim_of(SWIM_ALIVE, 5));
    lab_tell(lab, TELLER, claim_of(SWIM_ALIVE, 5));
    EXPECT_EQ(lab->change_count, 1);
    EXPECT_EQ(lab->change[0].before, SWIM_ABSENT);
    EXPECT_EQ(lab->change[0].now, SWIM_ALIVE);
    lab_tell(lab, TELLER, claim_of(SWIM_DEAD, 6));
    EXPECT_EQ(lab->change_count, 2);
    EXPECT_EQ(lab->change[1].before, SWIM_ALIVE);
    EXPECT_EQ(lab->change[1].incarnation_before, 5);
    EXPECT_EQ(lab->change[1].incarnation, 6);
    EXPECT(!lab->change[1].restarted);
}

TEST(a_restart_beats_the_death_of_the_life_before)
{
    struct lab *lab = lab_new(0);
    lab_tell(lab, TELLER, claim_of(SWIM_ALIVE, UINT64_C(1) << 32));
    lab_tell(lab, TELLER, claim_of(SWIM_DEAD, (UINT64_C(1) << 32) + 900));
    struct swim_claim again = claim_of(SWIM_ALIVE, UINT64_C(2) << 32);
    again.addr = lab_addr(33);
    lab_tell(lab, PEER, again);
    EXPECT_EQ(lab_state(lab, PEER), SWIM_ALIVE);
    EXPECT(lab->change[2].restarted);
    uint8_t id[SH_NODE_ID_BYTES];
    struct swim_member member;
    lab_id(PEER, id);
    EXPECT(swim_find(lab->swim, id, &member));
    EXPECT_EQ(member.addr.at[0], 33);
}

TEST(only_its_subject_moves_an_address)
{
    struct lab *lab = lab_among(3);
    struct swim_claim moved = lab_accused(PEER, 0, 7);
    moved.addr = lab_addr(33);
    lab_tell(lab, TELLER, moved);
    EXPECT_EQ(lab_state(lab, PEER), SWIM_SUSPECT);
    uint8_t id[SH_NODE_ID_BYTES];
    struct swim_member member;
    lab_id(PEER, id);
    EXPECT(swim_find(lab->swim, id, &member));
    EXPECT_EQ(member.addr.at[0], PEER);
}

TEST(a_member_that_hears_itself_accused_refutes)
{
    struct lab *lab = lab_among(6);
    uint64_t mine = LAB_EPOCH << 32;
    EXPECT_EQ(lab_incarnation(lab, LAB_ME), mine);
    lab_tell(lab, TELLER, lab_accused(LAB_ME, mine, 7));
    EXPECT_EQ(lab_incarnation(lab, LAB_ME), mine + 1);
    EXPECT_EQ(lab_state(lab, LAB_ME), SWIM_ALIVE);
    EXPECT_EQ(swim_health(lab->swim), 1);
    const struct lab_sent *answer = lab_get(lab, SWIM_GOSSIP, TELLER, 0);
    EXPECT_EQ(answer->claim[0].incarnation, mine + 1);
    EXPECT_EQ(answer->claim[0].state, SWIM_ALIVE);
    EXPECT(lab_told(lab, LAB_ANY, LAB_ME, SWIM_ALIVE) >= 4); /* and others at once */
    lab_tell(lab, TELLER, lab_accused(LAB_ME, mine, 7));
    EXPECT_EQ(lab_incarnation(lab, LAB_ME), mine + 1); /* answered already */
}

TEST(a_refutation_goes_back_to_whoever_told_the_accusation)
{
    struct lab *lab = lab_among(6);
    lab_tell(lab, 40,
             lab_accused(LAB_ME, LAB_EPOCH << 32, 7)); /* no member: gossip never picks it */
    const struct lab_sent *answer = lab_get(lab, SWIM_GOSSIP, 40, 0);
    EXPECT_EQ(answer->claim[0].id[0], LAB_ME);
    EXPECT_EQ(answer->claim[0].incarnation, (LAB_EPOCH << 32) + 1);
}

TEST(a_refutation_outranks_the_largest_accusation)
{
    struct lab *lab = lab_among(6);
    lab_tell(lab, TELLER, lab_claim(LAB_ME, SWIM_DEAD, (LAB_EPOCH + 4) << 32));
    EXPECT_EQ(lab_incarnation(lab, LAB_ME), ((LAB_EPOCH + 4) << 32) + 1);
    EXPECT_EQ(swim_health(lab->swim), 0); /* it speaks of another life */
    lab_tell(lab, TELLER, lab_claim(LAB_ME, SWIM_LEFT, (LAB_EPOCH + 5) << 32));
    EXPECT_EQ(lab_incarnation(lab, LAB_ME), ((LAB_EPOCH + 5) << 32) + 1);
    lab_tell(lab, TELLER, lab_claim(LAB_ME, SWIM_ALIVE, (LAB_EPOCH + 6) << 32));
    EXPECT_EQ(lab_incarnation(lab, LAB_ME), ((LAB_EPOCH + 6) << 32) + 1);
}

TEST(an_accusation_that_leaves_no_larger_number_is_ignored)
{
    struct lab *lab = lab_among(6);
    lab_tell(lab, TELLER, lab_claim(LAB_ME, SWIM_DEAD, SWIM_NUMBER_END - 1));
    EXPECT_EQ(lab_incarnation(lab, LAB_ME), LAB_EPOCH << 32);
}

struct suspicion_row {
    uint32_t accusers;
    uint64_t dead_ms;
};

/* n = 10: shortest 2 s, longest 8 s. */
static const struct suspicion_row SUSPICIONS[] = {{1, 8000}, {2, 5000}, {3, 3248}, {4, 2000}};

TEST_ROWS(every_accuser_shortens_the_time_to_refute, SUSPICIONS)
{
    struct lab *lab = lab_new(0);
    for (uint32_t i = 1; i <= 9; i++) {
        lab_tell(lab, i, lab_claim(i, SWIM_ALIVE, 0));
    }
    uint64_t start = lab->now_us;
    for (uint32_t i = 0; i < SUSPICIONS[tst_row].accusers; i++) {
        lab_tell(lab, TELLER, lab_accused(PEER, 0, 100 + i));
        lab_tell(lab, TELLER, lab_accused(PEER, 0, 100 + i)); /* counts once */
    }
    /* Answers to all probes, so that this member accuses nobody itself. */
    while (lab_state(lab, PEER) == SWIM_SUSPECT) {
        uint64_t due = swim_deadline_us(lab->swim);
        lab_run(lab, due > lab->now_us ? due - lab->now_us : 0);
        for (uint32_t i = 0; i < lab->sent_count; i++) {
            struct lab_sent sent = lab->sent[i];
            if (sent.packet.type == SWIM_PING) {
                lab_ack(lab, sent.to, sent.packet.seq);
            }
        }
        lab_clear(lab);
    }
    EXPECT_EQ(lab_state(lab, PEER), SWIM_DEAD);
    EXPECT_EQ((lab->now_us - start) / LAB_MS, SUSPICIONS[tst_row].dead_ms);
}

TEST(the_dead_are_not_believed_when_they_accuse)
{
    struct lab *lab = lab_among(6);
    lab_tell(lab, TELLER, lab_claim(3, SWIM_DEAD, 0));
    lab_tell(lab, 3, lab_accused(PEER, 0, 3));
    lab_tell(lab, 3, lab_claim(PEER, SWIM_DEAD, 0));
    EXPECT_EQ(lab_state(lab, PEER), SWIM_ALIVE);
    lab_tell(lab, 3, lab_accused(LAB_ME, LAB_EPOCH << 32, 3)); /* but this needs an answer */
    EXPECT_EQ(lab_incarnation(lab, LAB_ME), (LAB_EPOCH << 32) + 1);
}

TEST(a_death_from_a_table_comparison_is_only_a_suspicion)
{
    struct lab *lab = lab_among(6);
    struct swim_claim dead = lab_claim(PEER, SWIM_DEAD, 0);
    lab_receive(lab, TELLER, (struct swim_packet){.type = SWIM_RECORDS}, &dead, 1);
    EXPECT_EQ(lab_state(lab, PEER), SWIM_SUSPECT);
    dead = lab_claim(20, SWIM_DEAD, 0);
    lab_receive(lab, TELLER, (struct swim_packet){.type = SWIM_RECORDS}, &dead, 1);
    EXPECT_EQ(lab_state(lab, 20), SWIM_DEAD); /* nobody here knew it alive */
}

TEST(one_held_for_dead_that_speaks_is_told_so_once_a_second)
{
    struct lab *lab = lab_among(3);
    lab_tell(lab, TELLER, lab_claim(PEER, SWIM_DEAD, 4));
    lab_run(lab, 3000 * LAB_MS); /* until this rumour is old */
    lab_clear(lab);
    struct swim_packet gossip = {.type = SWIM_GOSSIP, .incarnation = 4};
    for (uint32_t i = 0; i < 10; i++) {
        lab_receive(lab, PEER, gossip, NULL, 0);
    }
    EXPECT_EQ(lab_told(lab, PEER, PEER, SWIM_DEAD), 1);
    lab->now_us += 100 * LAB_MS;
    gossip.incarnation = 5; /* it knows, and refuted */
    lab_receive(lab, PEER, gossip, NULL, 0);
    EXPECT_EQ(lab_told(lab, PEER, PEER, SWIM_DEAD), 1);
    lab_run(lab, 1000 * LAB_MS);
    gossip.incarnation = 3;
    uint32_t before = lab_told(lab, PEER, PEER, SWIM_DEAD);
    lab_receive(lab, PEER, gossip, NULL, 0);
    EXPECT_EQ(lab_told(lab, PEER, PEER, SWIM_DEAD), before + 1);
}

TEST(a_stranger_and_a_new_life_are_asked_who_they_are)
{
    struct lab *lab = lab_among(3);
    lab_receive(lab, 9, (struct swim_packet){.type = SWIM_GOSSIP}, NULL, 0);
    EXPECT_EQ(lab_count(lab, SWIM_WHO, 9), 1);
    lab_receive(lab, 2, (struct swim_packet){.type = SWIM_GOSSIP, .incarnation = 1}, NULL, 0);
    EXPECT_EQ(lab_count(lab, SWIM_WHO, 2), 1);
    for (uint32_t i = 0; i < 100; i++) {
        lab_receive(lab, 9, (struct swim_packet){.type = SWIM_GOSSIP}, NULL, 0);
    }
    EXPECT(lab_count(lab, SWIM_WHO, LAB_ANY) <= 20);
}

TEST(asked_who_it_is_a_member_tells_all_about_itself)
{
    struct lab *lab = lab_among(3);
    struct swim_event event = {.kind = SWIM_EV_SET_META};
    event.meta = (struct sh_span){.at = (const uint8_t *)"abc", .size = 3};
    lab_step(lab, event);
    lab_run(lab, 3000 * LAB_MS);
    lab_clear(lab);
    lab_receive(lab, 9, (struct swim_packet){.type = SWIM_WHO}, NULL, 0);
    const struct lab_sent *answer = lab_get(lab, SWIM_GOSSIP, 9, 0);
    EXPECT_EQ(answer->claim[0].state, SWIM_ALIVE);
    EXPECT_EQ(answer->claim[0].id[0], LAB_ME);
    EXPECT_EQ(answer->claim[0].meta.size, 3);
    EXPECT_EQ(answer->claim[0].meta_version >> 32, LAB_EPOCH);
}

static struct swim_claim with_meta(uint64_t version, const char *text)
{
    struct swim_claim claim = lab_claim(PEER, SWIM_ALIVE, 0);
    claim.has_meta = true;
    claim.meta_version = version;
    claim.meta = (struct sh_span){.at = (const uint8_t *)text, .size = strlen(text)};
    return claim;
}

TEST(the_newest_meta_is_kept)
{
    struct lab *lab = lab_among(3);
    uint8_t id[SH_NODE_ID_BYTES];
    struct swim_member member;
    lab_id(PEER, id);
    lab_tell(lab, TELLER, with_meta(7, "seven"));
    EXPECT_EQ(lab->change_count, 1);
    EXPECT(lab->change[0].meta);
    lab_tell(lab, TELLER, with_meta(6, "six"));
    EXPECT(swim_find(lab->swim, id, &member));
    EXPECT_EQ(member.meta_version, 7);
    EXPECT_MEM(member.meta.at, "seven", 5);
    EXPECT_EQ(lab->change_count, 1);
}

TEST(meta_of_an_earlier_life_is_outranked)
{
    struct lab *lab = lab_among(3);
    struct swim_claim old = with_meta(UINT64_C(99) << 32, "old");
    lab_id(LAB_ME, old.id);
    lab_tell(lab, TELLER, old);
    struct swim_member member;
    EXPECT(swim_at(lab->swim, 0, &member));
    EXPECT_EQ(member.meta_version, (UINT64_C(99) << 32) + 1);
    EXPECT_EQ(member.meta.size, 0);
}

/* Who learns of a member only after its death never gets its meta: tables must still agree. */
TEST(meta_of_the_dead_is_no_difference_between_tables)
{
    struct lab *lab = lab_among(3);
    lab_tell(lab, TELLER, lab_claim(PEER, SWIM_DEAD, 0));
    uint64_t without = swim_fingerprint(lab->swim);
    lab_tell(lab, TELLER, with_meta(7, "seven"));
    EXPECT_EQ(swim_fingerprint(lab->swim), without);
}

TEST(meta_that_is_too_long_is_refused)
{
    static const uint8_t bytes[SWIM_META_BYTES_MAX + 1];
    struct lab *lab = lab_among(1);
    struct swim_event event = {.kind = SWIM_EV_SET_META};
    event.meta = (struct sh_span){.at = bytes, .size = sizeof bytes};
    lab_step(lab, event);
    EXPECT_EQ(lab->update.err, SH_ERR_LIMIT);
    event.meta.size--;
    lab_step(lab, event);
    EXPECT_EQ(lab->update.err, SH_OK);
    struct swim_member member;
    EXPECT(swim_at(lab->swim, 0, &member));
    EXPECT_EQ(member.meta.size, SWIM_META_BYTES_MAX);
}

static struct lab *short_memory(uint32_t capacity)
{
    struct swim_config config = swim_preset(SWIM_LAN);
    config.share_dead_us = 10000 * LAB_MS;
    config.forget_dead_us = 30000 * LAB_MS;
    return lab_with(&config, capacity);
}

static bool is_in_table(struct lab *lab, uint32_t peer)
{
    lab_clear(lab);
    lab_receive(lab, 40, (struct swim_packet){.type = SWIM_JOIN}, NULL, 0);
    lab_run(lab, 100 * LAB_MS);
    uint32_t told = lab_told(lab, 40, peer, SWIM_DEAD);
    EXPECT(lab_told(lab, 40, LAB_ME, SWIM_ALIVE) > 0);
    return told > 0;
}

TEST(a_tombstone_refuses_older_life_is_shared_for_a_while_and_forgotten_at_last)
{
    struct lab *lab = short_memory(0);
    lab_tell(lab, TELLER, lab_claim(PEER, SWIM_DEAD, 5));
    uint64_t with = swim_fingerprint(lab->swim);
    EXPECT(is_in_table(lab, PEER));
    lab_run(lab, 11000 * LAB_MS);
    EXPECT(!is_in_table(lab, PEER));
    EXPECT(swim_fingerprint(lab->swim) != with);
    lab_tell(lab, TELLER, lab_claim(PEER, SWIM_ALIVE, 5));
    EXPECT_EQ(lab_state(lab, PEER), SWIM_DEAD);
    lab_run(lab, 20000 * LAB_MS);
    EXPECT_EQ(lab_state(lab, PEER), SWIM_ABSENT);
}

TEST(a_death_keeps_its_age_when_it_is_told)
{
    struct lab *lab = short_memory(0);
    struct swim_claim dead = lab_claim(PEER, SWIM_DEAD, 5);
    dead.age_s = 8;
    lab_tell(lab, TELLER, dead);
    EXPECT(is_in_table(lab, PEER));
    lab_run(lab, 3000 * LAB_MS);
    EXPECT(!is_in_table(lab, PEER));
    dead = lab_claim(3, SWIM_DEAD, 5);
    dead.age_s = 10; /* no longer shared: whoever tells it should have stopped */
    lab_tell(lab, TELLER, dead);
    EXPECT_EQ(lab_state(lab, 3), SWIM_ABSENT);
}

TEST(a_full_table_forgets_the_oldest_that_left_then_the_oldest_dead)
{
    struct lab *lab = lab_new(5);
    lab_tell(lab, 1, lab_claim(1, SWIM_ALIVE, 0));
    lab_tell(lab, 1, lab_claim(2, SWIM_DEAD, 0));
    lab_tell(lab, 1, lab_claim(3, SWIM_LEFT, 0));
    lab_tell(lab, 1, lab_claim(4, SWIM_DEAD, 0));
    lab_tell(lab, 1, lab_claim(5, SWIM_DEAD, 0)); /* news of the dead displaces nobody */
    EXPECT_EQ(lab_state(lab, 5), SWIM_ABSENT);
    lab_run(lab, 10 * LAB_MS);
    lab_tell(lab, 1, lab_claim(6, SWIM_ALIVE, 0));
    EXPECT_EQ(lab_state(lab, 3), SWIM_ABSENT);
    lab_tell(lab, 1, lab_claim(7, SWIM_ALIVE, 0));
    EXPECT_EQ(lab_state(lab, 2), SWIM_ABSENT);
    lab_tell(lab, 1, lab_claim(8, SWIM_ALIVE, 0));
    EXPECT_EQ(lab_state(lab, 4), SWIM_ABSENT);
    lab_tell(lab, 1, lab_claim(9, SWIM_ALIVE, 0));
    EXPECT_EQ(lab_state(lab, 9), SWIM_ABSENT);
    EXPECT_EQ(swim_counts(lab->swim).alive, 5);
    EXPECT(swim_stats(lab->swim).full >= 4);
}
