/* SPDX-License-Identifier: Apache-2.0 */
#include "raft/conf.h"
#include "raft/message.h"
#include "tst.h"

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
