/* SPDX-License-Identifier: Apache-2.0 */
#include "raft/conf.h"
#include "raft/message.h"
#include "tst.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct raft_msg append_message(struct raft_entry entries[3])
{
    static const uint8_t payload[] = {'a', 'b', 'c'};
    for (uint64_t i = 0; i < 3; i++) {
        entries[i] = (struct raft_entry){.term = 5 + i / 2,
                                         .index = 11 + i,
                                         .type = i == 1 ? RAFT_ENTRY_CONF : RAFT_ENTRY_NORMAL,
                                         .size = i == 1 ? 0 : (uint32_t)i,
                                         .data = payload};
    }
    return (struct raft_msg){.type = RAFT_MSG_APP,
                             .from = 1,
                             .to = 2,
                             .term = 7,
                             .log_term = 4,
                             .index = 10,
                             .commit = 9,
                             .entries = entries,
                             .entry_count = 3};
}

TEST(messages_come_back_as_they_were)
{
    struct raft_entry entries[3];
    struct raft_msg m = append_message(entries);
    uint8_t bytes[4096];
    size_t size = raft_msg_encode(&m, bytes, sizeof bytes);
    EXPECT(size > 0 && size <= raft_msg_bound(&m));
    struct raft_entry got[8];
    struct raft_msg back;
    EXPECT_EQ(raft_msg_decode(bytes, size, got, 8, &back), SH_OK);
    EXPECT_EQ(back.term, 7);
    EXPECT_EQ(back.log_term, 4);
    EXPECT_EQ(back.index, 10);
    EXPECT_EQ(back.commit, 9);
    EXPECT_EQ(back.entry_count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        EXPECT_EQ(got[i].term, entries[i].term);
        EXPECT_EQ(got[i].index, entries[i].index);
        EXPECT(got[i].type == entries[i].type);
        EXPECT_EQ(got[i].size, entries[i].size);
        EXPECT_MEM(got[i].data, entries[i].data, got[i].size);
    }
}

TEST(a_snapshot_message_carries_its_configuration)
{
    struct raft_msg m = {.type = RAFT_MSG_SNAP, .from = 1, .to = 2, .term = 3};
    m.snapshot.index = 20;
    m.snapshot.term = 2;
    m.snapshot.conf = (struct raft_conf){.voters = {1, 2},
                                         .voter_count = 2,
                                         .outgoing = {2, 9},
                                         .outgoing_count = 2,
                                         .learners = {4},
                                         .learner_count = 1,
                                         .learners_next = {9},
                                         .learner_next_count = 1,
                                         .auto_leave = true};
    uint8_t bytes[4096];
    size_t size = raft_msg_encode(&m, bytes, sizeof bytes);
    struct raft_msg back;
    EXPECT_EQ(raft_msg_decode(bytes, size, NULL, 0, &back), SH_OK);
    EXPECT_EQ(back.snapshot.index, 20);
    EXPECT(raft_conf_equal(&back.snapshot.conf, &m.snapshot.conf));
}

TEST(every_cut_message_is_corrupt)
{
    struct raft_entry entries[3];
    struct raft_msg m = append_message(entries);
    uint8_t bytes[4096];
    size_t size = raft_msg_encode(&m, bytes, sizeof bytes);
    struct raft_entry got[8];
    struct raft_msg back;
    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *exact = malloc(cut > 0 ? cut : 1);
        memcpy(exact, bytes, cut);
        EXPECT_EQ(raft_msg_decode(exact, cut, got, 8, &back), SH_ERR_CORRUPT);
        free(exact);
    }
}

TEST(too_many_entries_are_a_limit_and_later_versions_are_told_apart)
{
    struct raft_entry entries[3];
    struct raft_msg m = append_message(entries);
    uint8_t bytes[4096];
    size_t size = raft_msg_encode(&m, bytes, sizeof bytes);
    struct raft_entry got[8];
    struct raft_msg back;
    EXPECT_EQ(raft_msg_decode(bytes, size, got, 2, &back), SH_ERR_LIMIT);
    bytes[0]++;
    EXPECT_EQ(raft_msg_decode(bytes, size, got, 8, &back), SH_ERR_VERSION);
    EXPECT_EQ(raft_msg_encode(&m, bytes, size - 1), 0);
}

TEST(terms_that_fall_are_corrupt)
{
    struct raft_entry entries[3];
    struct raft_msg m = append_message(entries);
    entries[2].term = 4;
    uint8_t bytes[4096];
    size_t size = raft_msg_encode(&m, bytes, sizeof bytes);
    struct raft_entry got[8];
    struct raft_msg back;
    EXPECT_EQ(raft_msg_decode(bytes, size, got, 8, &back), SH_ERR_CORRUPT);
}

TEST(a_change_that_leaves_is_no_bytes)
{
    struct raft_conf_change leave = {.transition = RAFT_AUTO};
    uint8_t bytes[RAFT_CHANGE_BYTES_MAX];
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    raft_conf_change_encode(&leave, &w);
    EXPECT_EQ(w.used, 0);
    struct raft_conf_change back = {.count = 1};
    struct sh_reader r = sh_reader_over(bytes, 0);
    EXPECT_EQ(raft_conf_change_decode(&r, &back), SH_OK);
    EXPECT_EQ(back.count, 0);
}

TEST(a_configuration_with_a_learner_that_votes_is_corrupt)
{
    struct raft_conf conf = {
        .voters = {1, 2, 3}, .voter_count = 3, .learners = {5}, .learner_count = 1};
    uint8_t bytes[RAFT_CONF_BYTES_MAX];
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    raft_conf_encode(&conf, &w);
    uint8_t *learner = memchr(bytes, 5, w.used);
    EXPECT(learner != NULL);
    *learner = 3;
    struct sh_reader r = sh_reader_over(bytes, w.used);
    EXPECT_EQ(raft_conf_decode(&r, &conf), SH_ERR_CORRUPT);
}

/* A configuration that foreign bytes claim; encoded by hand, for raft_conf_encode asserts. */
static size_t conf_bytes(const struct raft_conf *conf, uint8_t bytes[RAFT_CONF_BYTES_MAX])
{
    const uint64_t *sets[] = {conf->voters, conf->outgoing, conf->learners, conf->learners_next};
    const uint8_t counts[] = {conf->voter_count, conf->outgoing_count, conf->learner_count,
                              conf->learner_next_count};
    struct sh_writer w = sh_writer_over(bytes, RAFT_CONF_BYTES_MAX);
    sh_put_u8(&w, 1);
    for (uint32_t i = 0; i < SH_COUNT(sets); i++) {
        sh_put_u8(&w, counts[i]);
        for (uint32_t k = 0; k < counts[i]; k++) {
            sh_put_u64(&w, sets[i][k]);
        }
    }
    sh_put_u8(&w, conf->auto_leave);
    EXPECT(!w.full);
    return w.used;
}

/* Joint, with one voter on its way to be a learner. */
static struct raft_conf joint_conf(void)
{
    return (struct raft_conf){.voters = {1, 2},
                              .voter_count = 2,
                              .outgoing = {1, 3, 5},
                              .outgoing_count = 3,
                              .learners = {4, 6},
                              .learner_count = 2,
                              .learners_next = {3, 5},
                              .learner_next_count = 2,
                              .auto_leave = true};
}

static enum sh_err decoded(const struct raft_conf *conf, struct raft_conf *out)
{
    uint8_t bytes[RAFT_CONF_BYTES_MAX];
    struct sh_reader r = sh_reader_over(bytes, conf_bytes(conf, bytes));
    return raft_conf_decode(&r, out);
}

TEST(every_configuration_that_breaks_a_rule_is_corrupt)
{
    struct raft_conf out;
    struct raft_conf good = joint_conf();
    EXPECT_EQ(decoded(&good, &out), SH_OK);
    EXPECT(raft_conf_equal(&out, &good));
    struct raft_conf bad[12];
    for (uint32_t i = 0; i < SH_COUNT(bad); i++) {
        bad[i] = good;
    }
    bad[0].voters[1] = 1;        /* one twice */
    bad[1].outgoing[1] = 1;      /* not the first two */
    bad[2].outgoing[2] = 2;      /* falls, above the first */
    bad[3].voters[0] = 0;        /* nobody */
    bad[4].learners[1] = 5;      /* votes on the outgoing side */
    bad[5].learners[0] = 2;      /* votes on the incoming side */
    bad[6].learners_next[1] = 7; /* does not vote */
    bad[7].learners_next[0] = 1; /* goes on voting */
    bad[8].outgoing_count = 0;   /* nothing to leave, */
    bad[8].learner_next_count = 0;
    bad[9].voter_count = 0; /* nobody votes any more */
    bad[9].learners_next[0] = 3;
    bad[10].learner_count = RAFT_LEARNERS_MAX; /* too many, once it is left */
    for (uint32_t i = 0; i < RAFT_LEARNERS_MAX; i++) {
        bad[10].learners[i] = 10 + i;
    }
    bad[11].learners_next[1] = 3; /* twice */
    for (uint32_t i = 0; i < SH_COUNT(bad); i++) {
        (void)fprintf(stderr, "row %u\n", i);
        EXPECT_EQ(decoded(&bad[i], &out), SH_ERR_CORRUPT);
    }
    bad[8].auto_leave = false; /* the same without the wish is a plain one */
    EXPECT_EQ(decoded(&bad[8], &out), SH_OK);
    bad[10].learner_count = RAFT_LEARNERS_MAX - 2; /* as many as fit */
    EXPECT_EQ(decoded(&bad[10], &out), SH_OK);
}

TEST(configurations_are_equal_only_in_all_their_parts)
{
    struct raft_conf one = joint_conf();
    struct raft_conf others[10];
    for (uint32_t i = 0; i < SH_COUNT(others); i++) {
        others[i] = one;
        EXPECT(raft_conf_equal(&one, &others[i]));
    }
    others[0].voters[1] = 9;
    others[1].outgoing[2] = 9;
    others[2].learners[1] = 9;
    others[3].learners_next[1] = 9;
    others[4].auto_leave = false;
    others[5].voter_count--;
    others[6].outgoing_count--;
    others[7].learner_count--;
    others[8].learner_next_count--;
    others[9].learners[RAFT_LEARNERS_MAX - 1] = 9;
    for (uint32_t i = 0; i < SH_COUNT(others); i++) {
        EXPECT(!raft_conf_equal(&one, &others[i]));
    }
}

TEST(a_configuration_holds_as_many_as_it_may_and_no_more)
{
    struct raft_conf conf = {.voter_count = RAFT_VOTERS_MAX, .learner_count = RAFT_LEARNERS_MAX};
    for (uint32_t i = 0; i < RAFT_LEARNERS_MAX; i++) {
        conf.voters[i % RAFT_VOTERS_MAX] = i % RAFT_VOTERS_MAX + 1;
        conf.learners[i] = 100 + i;
    }
    uint8_t bytes[RAFT_CONF_BYTES_MAX + 8] = {0};
    size_t size = conf_bytes(&conf, bytes);
    struct raft_conf out;
    struct sh_reader r = sh_reader_over(bytes, size);
    EXPECT_EQ(raft_conf_decode(&r, &out), SH_OK);
    EXPECT(raft_conf_equal(&out, &conf));
    for (size_t cut = 0; cut < size; cut++) {
        r = sh_reader_over(bytes, cut);
        EXPECT_EQ(raft_conf_decode(&r, &out), SH_ERR_CORRUPT);
        EXPECT(r.bad);
    }
    bytes[1]++; /* one voter more than there is room for */
    r = sh_reader_over(bytes, sizeof bytes);
    EXPECT_EQ(raft_conf_decode(&r, &out), SH_ERR_CORRUPT);
    bytes[0]++;
    r = sh_reader_over(bytes, sizeof bytes);
    EXPECT_EQ(raft_conf_decode(&r, &out), SH_ERR_VERSION);
}

TEST(changes_come_back_as_they_were_and_damaged_ones_are_corrupt)
{
    struct raft_conf_change change = {.transition = RAFT_EXPLICIT, .count = RAFT_CHANGES_MAX};
    for (uint32_t i = 0; i < RAFT_CHANGES_MAX; i++) {
        change.changes[i] =
            (struct raft_change){.type = (enum raft_change_type)(1 + i % 4), .id = i * 3};
    }
    uint8_t bytes[RAFT_CHANGE_BYTES_MAX];
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    raft_conf_change_encode(&change, &w);
    struct raft_conf_change back = {.count = 0};
    struct sh_reader r = sh_reader_over(bytes, w.used);
    EXPECT_EQ(raft_conf_change_decode(&r, &back), SH_OK);
    EXPECT_EQ(back.transition, RAFT_EXPLICIT);
    EXPECT_EQ(back.count, RAFT_CHANGES_MAX);
    for (uint32_t i = 0; i < RAFT_CHANGES_MAX; i++) {
        EXPECT_EQ(back.changes[i].type, change.changes[i].type);
        EXPECT_EQ(back.changes[i].id, i * 3);
    }
    for (size_t cut = 1; cut < w.used; cut++) { /* no bytes at all mean something */
        r = sh_reader_over(bytes, cut);
        EXPECT_EQ(raft_conf_change_decode(&r, &back), SH_ERR_CORRUPT);
    }
    static const struct {
        size_t at;
        uint8_t value;
        enum sh_err err;
    } damage[] = {{0, 2, SH_ERR_VERSION}, {1, 3, SH_ERR_CORRUPT}, {2, 49, SH_ERR_CORRUPT},
                  {3, 0, SH_ERR_CORRUPT}, {3, 5, SH_ERR_CORRUPT}, {12, 0, SH_ERR_CORRUPT}};
    for (uint32_t i = 0; i < SH_COUNT(damage); i++) {
        uint8_t other[RAFT_CHANGE_BYTES_MAX + 16] = {0};
        memcpy(other, bytes, w.used);
        other[damage[i].at] = damage[i].value;
        r = sh_reader_over(other, sizeof other);
        back.count = 7;
        EXPECT_EQ(raft_conf_change_decode(&r, &back), damage[i].err);
        EXPECT_EQ(back.count, 7); /* and nothing was touched */
    }
}

/* Encodes m, alters what cannot be encoded, decodes. */
static enum sh_err round_trip(const struct raft_msg *m, size_t at, uint8_t value)
{
    uint8_t bytes[4096];
    size_t size = raft_msg_encode(m, bytes, sizeof bytes);
    EXPECT(size > at);
    if (at > 0) {
        bytes[at] = value;
    }
    static struct raft_entry got[RAFT_MSG_ENTRIES_MAX];
    struct raft_msg back;
    return raft_msg_decode(bytes, size, got, RAFT_MSG_ENTRIES_MAX, &back);
}

TEST(a_message_says_who_to_whom_and_in_which_term)
{
    for (uint32_t type = RAFT_MSG_APP; type <= RAFT_MSG_TRANSFER; type++) {
        bool termless =
            type == RAFT_MSG_PROP || type == RAFT_MSG_READ_INDEX || type == RAFT_MSG_TRANSFER;
        struct raft_msg m = {.type = (enum raft_msg_type)type, .from = 1, .to = 2};
        m.snapshot = (struct raft_snapshot){.index = 1, .term = 1};
        EXPECT_EQ(round_trip(&m, 0, 0), termless ? SH_OK : SH_ERR_CORRUPT);
        m.term = 1;
        EXPECT_EQ(round_trip(&m, 0, 0), termless ? SH_ERR_CORRUPT : SH_OK);
        m.term = termless ? 0 : 1;
        m.from = 0;
        EXPECT_EQ(round_trip(&m, 0, 0), SH_ERR_CORRUPT);
        m.from = 1;
        m.to = 0;
        EXPECT_EQ(round_trip(&m, 0, 0), SH_ERR_CORRUPT);
    }
    struct raft_msg m = {.type = RAFT_MSG_VOTE, .from = 1, .to = 2, .term = 3};
    EXPECT_EQ(round_trip(&m, 1, 0), SH_ERR_VERSION);                     /* no such type */
    EXPECT_EQ(round_trip(&m, 1, RAFT_MSG_TRANSFER + 1), SH_ERR_VERSION); /* nor this */
    EXPECT_EQ(round_trip(&m, 2, 8), SH_ERR_VERSION);                     /* an unknown flag */
    EXPECT_EQ(round_trip(&m, 2, 4), SH_ERR_CORRUPT); /* a vote with a snapshot */
    m.type = RAFT_MSG_SNAP;
    m.snapshot = (struct raft_snapshot){.index = 1, .term = 3};
    EXPECT_EQ(round_trip(&m, 2, 0), SH_ERR_CORRUPT); /* a snapshot without one */
    EXPECT_EQ(round_trip(&m, 0, 0), SH_OK);
    m.snapshot.term = 4; /* from the future */
    EXPECT_EQ(round_trip(&m, 0, 0), SH_ERR_CORRUPT);
    m.snapshot = (struct raft_snapshot){.index = 0, .term = 1};
    EXPECT_EQ(round_trip(&m, 0, 0), SH_ERR_CORRUPT);
}

TEST(every_number_and_flag_of_a_message_comes_back)
{
    struct raft_msg m = {.type = RAFT_MSG_APP_RESP,
                         .from = 11,
                         .to = 12,
                         .term = 13,
                         .log_term = 14,
                         .index = 15,
                         .commit = 16,
                         .hint = 17,
                         .ctx = 18};
    for (uint32_t flags = 0; flags < 4; flags++) {
        m.reject = (flags & 1) != 0;
        m.force = (flags & 2) != 0;
        uint8_t bytes[256];
        size_t size = raft_msg_encode(&m, bytes, sizeof bytes);
        struct raft_msg back;
        EXPECT_EQ(raft_msg_decode(bytes, size, NULL, 0, &back), SH_OK);
        EXPECT(back.type == m.type && back.from == 11 && back.to == 12 && back.term == 13);
        EXPECT(back.log_term == 14 && back.index == 15 && back.commit == 16 && back.hint == 17);
        EXPECT_EQ(back.ctx, 18);
        EXPECT_EQ(back.reject, m.reject);
        EXPECT_EQ(back.force, m.force);
        EXPECT_EQ(back.entry_count, 0);
    }
}

TEST(only_appends_and_proposals_carry_entries)
{
    struct raft_entry entry = {.term = 3, .index = 1};
    for (uint32_t type = RAFT_MSG_APP; type <= RAFT_MSG_TRANSFER; type++) {
        struct raft_msg m = {.type = (enum raft_msg_type)type, .from = 1, .to = 2, .term = 3};
        m.snapshot = (struct raft_snapshot){.index = 1, .term = 1};
        m.term = type == RAFT_MSG_PROP || type == RAFT_MSG_READ_INDEX || type == RAFT_MSG_TRANSFER
                     ? 0
                     : 3;
        m.entries = &entry;
        m.entry_count = 1;
        bool carries = type == RAFT_MSG_APP || type == RAFT_MSG_PROP;
        EXPECT_EQ(round_trip(&m, 0, 0), carries ? SH_OK : SH_ERR_CORRUPT);
    }
}

TEST(entries_lie_between_the_terms_before_them_and_of_their_message)
{
    struct raft_entry entries[3];
    struct raft_msg m = append_message(entries);
    entries[0].term = m.log_term;
    entries[2].term = m.term;
    EXPECT_EQ(round_trip(&m, 0, 0), SH_OK); /* both ends are allowed */
    entries[2].term = m.term + 1;
    EXPECT_EQ(round_trip(&m, 0, 0), SH_ERR_CORRUPT);
    entries[2].term = m.term;
    entries[0].term = m.log_term - 1;
    EXPECT_EQ(round_trip(&m, 0, 0), SH_ERR_CORRUPT);
    entries[0].term = m.log_term;
    m.index = UINT64_MAX - 2; /* the entries would be numbered beyond all numbers */
    EXPECT_EQ(round_trip(&m, 0, 0), SH_ERR_CORRUPT);
    m.index = UINT64_MAX - RAFT_MSG_ENTRIES_MAX;
    EXPECT_EQ(round_trip(&m, 0, 0), SH_OK);
    m.entry_count = 1;
    entries[0].type = (enum raft_entry_type)2;
    EXPECT_EQ(round_trip(&m, 0, 0), SH_ERR_VERSION); /* of a later program */
    entries[0].type = RAFT_ENTRY_CONF;
    entries[0].data = (const uint8_t *)"\1\3";
    entries[0].size = 2; /* no change that can be read */
    EXPECT_EQ(round_trip(&m, 0, 0), SH_ERR_CORRUPT);
}

TEST(a_message_holds_as_many_entries_as_it_may_and_fits_its_bound)
{
    static struct raft_entry entries[RAFT_MSG_ENTRIES_MAX];
    static struct raft_entry got[RAFT_MSG_ENTRIES_MAX];
    for (uint32_t i = 0; i < RAFT_MSG_ENTRIES_MAX; i++) {
        entries[i] = (struct raft_entry){.term = 1, .size = i % 3, .data = (const uint8_t *)"ab"};
    }
    struct raft_msg m = {.type = RAFT_MSG_APP,
                         .from = 1,
                         .to = 2,
                         .term = 1,
                         .entries = entries,
                         .entry_count = RAFT_MSG_ENTRIES_MAX};
    size_t bound = raft_msg_bound(&m);
    EXPECT_EQ(bound, RAFT_MSG_OVERHEAD_MAX + RAFT_MSG_ENTRIES_MAX * RAFT_ENTRY_OVERHEAD + 1023);
    uint8_t *bytes = malloc(bound);
    size_t size = raft_msg_encode(&m, bytes, bound);
    EXPECT(size > 0);
    struct raft_msg back;
    EXPECT_EQ(raft_msg_decode(bytes, size, got, RAFT_MSG_ENTRIES_MAX, &back), SH_OK);
    EXPECT_EQ(back.entry_count, RAFT_MSG_ENTRIES_MAX);
    EXPECT_EQ(got[RAFT_MSG_ENTRIES_MAX - 1].index, RAFT_MSG_ENTRIES_MAX);
    EXPECT_EQ(raft_msg_decode(bytes, size, got, RAFT_MSG_ENTRIES_MAX - 1, &back), SH_ERR_LIMIT);
    m.type = RAFT_MSG_PROP;
    m.term = 0;
    size = raft_msg_encode(&m, bytes, bound);
    EXPECT_EQ(raft_msg_decode(bytes, size, got, RAFT_MSG_ENTRIES_MAX, &back), SH_OK);
    EXPECT_EQ(got[5].index, 0); /* where they will stand the leader says */
    free(bytes);
}

TEST_DIES(a_configuration_that_breaks_a_rule_is_not_encoded, "ids[i]")
{
    struct raft_conf conf = {.voters = {2, 1}, .voter_count = 2};
    uint8_t bytes[RAFT_CONF_BYTES_MAX];
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    raft_conf_encode(&conf, &w);
}

TEST_DIES(a_change_without_a_kind_is_not_encoded, "type")
{
    struct raft_conf_change change = {.count = 1};
    uint8_t bytes[RAFT_CHANGE_BYTES_MAX];
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    raft_conf_change_encode(&change, &w);
}

TEST_DIES(a_configuration_without_room_is_not_cut, "full")
{
    struct raft_conf conf = {.voters = {1, 2}, .voter_count = 2};
    uint8_t bytes[16];
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    raft_conf_encode(&conf, &w);
}
