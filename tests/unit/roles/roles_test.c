/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/roles.h"
#include "tst.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW    UINT64_C(100000000)
#define SECOND UINT64_C(1000000)

/* A situation in words: handles with a letter for what is special about them.
 *   d dead for long   D dead for a moment   l alive and behind   n alive for a moment
 *   g leaving         x left                b alive, some entries behind
 *   (none) alive, in sync, for long
 * and the change that follows: +promoted ~learner -removed >leadership. */
struct situation {
    const char *what;
    const char *voters;
    const char *learners;
    const char *nodes; /* the first is the leader */
    const char *change;
};

static const struct situation situations[] = {
    {"alone", "1", "", "1", "NONE"},
    {"a second agent follows", "1", "", "1 2", "JOIN ~2"},
    {"two agents: one votes", "1", "2", "1 2", "NONE"},
    {"the oldest newcomer first", "1", "2", "1 2 4 3", "JOIN ~3"},
    {"a third: two learners vote in one change", "1", "2 3", "1 2 3", "PROMOTE +2 +3"},
    {"not before both caught up", "1", "2 3", "1 2 3l", "NONE"},
    {"nor before they are stable", "1", "2 3", "1 2 3n", "NONE"},
    {"never to two voters", "1", "2 3", "1 2 3d", "NONE"},
    {"joining goes on while one is behind", "1", "2 3", "1 2 3l 4", "JOIN ~4"},
    {"three of four vote", "1 2 3", "4", "1 2 3 4", "NONE"},
    {"a dead voter is waited for", "1 2 3", "4", "1 2 3D 4", "NONE"},
    {"then replaced in one change", "1 2 3", "4", "1 2 3d 4", "REPLACE ~3 +4"},
    {"not by one that is behind", "1 2 3", "4", "1 2 3d 4l", "NONE"},
    {"not by one that is dead", "1 2 3", "4", "1 2 3d 4d", "NONE"},
    {"not by one that is leaving", "1 2 3", "4", "1 2 3d 4g", "NONE"},
    {"the oldest that may", "1 2 3", "4 5", "1 2 3d 5 4", "REPLACE ~3 +4"},
    {"one dead of three and nobody else: stays", "1 2 3", "", "1 2 3d", "NONE"},
    {"a dead learner stays", "1 2 3", "4", "1 2 3 4d", "NONE"},
    {"a voter that left is replaced", "1 2 3", "4", "1 2 3x 4", "REPLACE -3 +4"},
    {"a voter taken from the tables too", "1 2 3", "4", "1 2 4", "REPLACE -3 +4"},
    {"it stays while the next is behind", "1 2 3", "4", "1 2 3x 4l", "NONE"},
    {"three to two: one votes", "1 2 3", "", "1 2 3x", "SHRINK ~2 -3"},
    {"the leader is the one that stays", "1 2 3", "", "2 1 3x", "SHRINK ~1 -3"},
    {"a leaving voter becomes a learner", "1 2 3", "4", "1 2 3g 4", "REPLACE ~3 +4"},
    {"a learner that left goes", "1 2 3", "4", "1 2 3 4x", "LEAVE -4"},
    {"and so does one that the tables forgot", "1 2 3", "4", "1 2 3", "LEAVE -4"},
    {"five of seven", "1 2 3", "4 5 6 7", "1 2 3 4 5 6 7", "PROMOTE +4 +5"},
    {"never to four", "1 2 3", "4 5 6 7", "1 2 3 4l 5 6l 7l", "NONE"},
    {"replace and grow at once", "1 2 3", "4 5 6 7", "1 2 3d 4 5 6 7", "REPLACE ~3 +4 +5 +6"},
    {"replace, but do not grow to four", "1 2 3", "4 5 6 7", "1 2 3d 4 5l 6l 7l", "REPLACE ~3 +4"},
    {"seven to six: three would do", "1 2 3 4 5", "6", "1 2 3 4 5 6", "WISH"},
    {"a dead one is replaced even so", "1 2 3 4 5", "6", "1 2d 3 4 5 6", "REPLACE ~2 +6"},
    {"no majority: nothing", "1 2 3", "4", "1 2d 3d 4", "NO_MAJORITY"},
    {"nor with two of five", "1 2 3 4 5", "6 7", "1 2 3d 4l 5d 6 7", "NO_MAJORITY"},
    {"with three of five", "1 2 3 4 5", "6 7", "1 2 3 4l 5d 6 7", "REPLACE ~5 +6"},
    {"not into a set of which two of five are in sync", "1 2 3 4 5", "6 7", "1 2 3d 4l 5l 6 7",
     "NO_MAJORITY"},
    {"nor into one whose wanted voters are behind", "1 2 3 4 5", "", "1 2g 3g 4l 5l",
     "NO_MAJORITY"},
    {"a majority that is behind is none", "1 2 3", "4", "1 2l 3l 4", "NO_MAJORITY"},
    {"a leaving leader hands over", "1 2 3", "", "1g 2 3", "TRANSFER >2"},
    {"not to one that is dead", "1 2 3", "", "1g 2d 3", "TRANSFER >3"},
    {"voting alone it gives vote and lead to an heir", "1", "2", "1g 2", "HAND_OVER +2 ~1"},
    {"a last agent just goes", "1", "", "1g", "NONE"},
    {"leadership goes to the longest log", "1 2 3", "", "1g 2b 3", "TRANSFER >3"},
    {"of equal ones to the oldest", "1 3 2", "", "1g 3 2", "TRANSFER >2"},
    {"a leader leaves nothing to a learner while others vote", "1 2 3", "4", "1g 2d 3 4",
     "TRANSFER >3"},
    {"the oldest learner that left goes first", "1", "5 4 3", "1 3x 4x 5", "LEAVE -3"},
    {"an heir that is behind is none yet", "1", "2", "1g 2l", "NONE"},
};

static uint32_t handles(const char *text, uint64_t *out)
{
    uint32_t count = 0;
    char *end = NULL;
    for (const char *at = text; *at != '\0'; at = end) {
        out[count++] = strtoull(at, &end, 10);
        end += strspn(end, " ");
    }
    return count;
}

static struct roles_node node_of(uint64_t handle, char mark)
{
    struct roles_node node = {.handle = handle, .presence = ROLES_ALIVE, .match = 1000};
    node.presence = mark == 'd' || mark == 'D' ? ROLES_DEAD : node.presence;
    node.presence = mark == 'g' ? ROLES_LEAVING : node.presence;
    node.presence = mark == 'x' ? ROLES_LEFT : node.presence;
    node.match = mark == 'l' ? 10 : mark == 'b' ? 990 : node.match;
    node.since_us = mark == 'n' || mark == 'D' ? NOW - 1000 : 0;
    return node;
}

static uint32_t nodes_of(const char *text, struct roles_node *out)
{
    uint32_t count = 0;
    char *end = NULL;
    for (const char *at = text; *at != '\0'; at = end) {
        uint64_t handle = strtoull(at, &end, 10);
        char mark = *end == ' ' ? '\0' : *end;
        out[count++] = node_of(handle, mark);
        end += strcspn(end, " ");
        end += strspn(end, " ");
    }
    return count;
}

static const char *const cause_names[ROLES_CAUSE_COUNT] = {
#define X(number, name, text) [number] = #name,
    ROLES_CAUSE_MAP(X)
#undef X
};

static void print(const struct roles_change *change, char *out, size_t size)
{
    static const char marks[] = {'+', '~', '-'};
    int used = snprintf(out, size, "%s", cause_names[change->cause]);
    for (uint32_t i = 0; i < change->op_count; i++) {
        used += snprintf(out + used, size - (size_t)used, " %c%llu", marks[change->ops[i].type],
                         (unsigned long long)change->ops[i].handle);
    }
    if (change->transfer_to != 0) {
        (void)snprintf(out + used, size - (size_t)used, " >%llu",
                       (unsigned long long)change->transfer_to);
    }
}

TEST_ROWS(each_situation_has_its_change, situations)
{
    const struct situation *s = &situations[tst_row];
    struct roles_node nodes[16];
    struct roles_input in = {.now_us = NOW, .last_index = 1000, .nodes = nodes};
    in.node_count = nodes_of(s->nodes, nodes);
    in.leader = nodes[0].handle;
    in.voter_count = handles(s->voters, in.voters);
    in.learner_count = handles(s->learners, in.learners);
    struct roles_limits limits = roles_limits_default();
    struct roles_memory memory = roles_memory_new(0);
    struct roles_change change;
    char text[128];
    roles_plan(&in, &limits, &memory, &change);
    print(&change, text, sizeof text);
    EXPECT_STR(text, s->change);
    in.in_flight = true;
    roles_plan(&in, &limits, &memory, &change);
    EXPECT_EQ(change.cause, ROLES_CAUSE_IN_FLIGHT);
    EXPECT_EQ(change.op_count, 0);
}

TEST(while_a_change_is_in_flight_the_leader_may_be_on_the_outgoing_side_only)
{
    struct roles_node nodes[2];
    struct roles_input in = {.now_us = NOW, .last_index = 1000, .nodes = nodes, .leader = 1};
    struct roles_limits limits = roles_limits_default();
    struct roles_memory memory = roles_memory_new(0);
    struct roles_change change;
    in.node_count = nodes_of("1g 7", nodes);
    in.voter_count = handles("7", in.voters);
    in.in_flight = true;
    roles_plan(&in, &limits, &memory, &change);
    EXPECT_EQ(change.cause, ROLES_CAUSE_IN_FLIGHT);
}

TEST(the_number_of_voters_is_odd_and_bounded)
{
    static const uint32_t targets[] = {1, 1, 1, 3, 3, 3, 3, 5, 5};
    for (uint32_t n = 0; n < 9; n++) {
        EXPECT_EQ(roles_voters_target(n, 5), targets[n]);
    }
    EXPECT_EQ(roles_voters_target(1000, 5), 5);
    EXPECT_EQ(roles_voters_target(1000, 3), 3);
    EXPECT_EQ(roles_voters_target(1000, 1), 1);
    EXPECT_EQ(roles_voters_target(8, 7), 5);
    EXPECT_EQ(roles_voters_target(9, 7), 7);
    EXPECT_STR(roles_cause_text(ROLES_CAUSE_NONE), "nothing to change");
    EXPECT_STR(roles_cause_text(ROLES_CAUSE_COUNT - 1),
               "a better voter takes the place of another");
    EXPECT_STR(roles_cause_text(ROLES_CAUSE_COUNT), "?");
}

TEST(a_learner_that_never_acknowledged_anything_does_not_vote_in_a_short_log)
{
    struct roles_node nodes[3] = {{.handle = 1, .match = 12}, {.handle = 2}, {.handle = 3}};
    struct roles_input in = {.now_us = NOW,
                             .leader = 1,
                             .last_index = 12,
                             .nodes = nodes,
                             .node_count = 3,
                             .voters = {1},
                             .voter_count = 1,
                             .learners = {2, 3},
                             .learner_count = 2};
    struct roles_limits limits = roles_limits_default();
    struct roles_memory memory = roles_memory_new(0);
    struct roles_change change;
    roles_plan(&in, &limits, &memory, &change);
    EXPECT_EQ(change.op_count, 0);
    nodes[1].match = 1;
    nodes[2].match = 1;
    roles_plan(&in, &limits, &memory, &change);
    EXPECT_EQ(change.cause, ROLES_CAUSE_PROMOTE);
}

TEST(a_full_group_takes_nobody_in)
{
    struct roles_node nodes[ROLES_MEMBERS_MAX + 1];
    struct roles_input in = {.now_us = NOW, .leader = 1, .last_index = 1000, .nodes = nodes};
    for (uint32_t i = 0; i <= ROLES_MEMBERS_MAX; i++) {
        nodes[i] = node_of(i + 1, '\0');
    }
    in.node_count = ROLES_MEMBERS_MAX + 1;
    in.voter_count = 5;
    for (uint32_t i = 0; i < 5; i++) {
        in.voters[i] = i + 1;
    }
    in.learner_count = ROLES_MEMBERS_MAX - 5;
    for (uint32_t i = 0; i < in.learner_count; i++) {
        in.learners[i] = i + 6;
    }
    struct roles_limits limits = roles_limits_default();
    struct roles_memory memory = roles_memory_new(0);
    struct roles_change change;
    roles_plan(&in, &limits, &memory, &change);
    EXPECT_EQ(change.cause, ROLES_CAUSE_MEMBERS_FULL);
    EXPECT_EQ(change.op_count, 0);
}

TEST_DIES(a_leader_that_is_no_agent_panics, "s->leader->node")
{
    struct roles_node node = node_of(1, '\0');
    struct roles_input in = {.leader = 2, .nodes = &node, .node_count = 1, .voter_count = 1};
    struct roles_limits limits = roles_limits_default();
    struct roles_memory memory = roles_memory_new(0);
    struct roles_change change;
    roles_plan(&in, &limits, &memory, &change);
}

/* A look, at a time, at a group whose first agent leads; voters and learners by their handles. */
static struct roles_change look_at(uint64_t now_us, struct roles_memory *memory,
                                   struct roles_node *nodes, uint32_t count, const char *voters,
                                   const char *learners)
{
    struct roles_input in = {.now_us = now_us, .last_index = 1000, .nodes = nodes};
    in.node_count = count;
    in.leader = nodes[0].handle;
    in.voter_count = handles(voters, in.voters);
    in.learner_count = handles(learners, in.learners);
    struct roles_limits limits = roles_limits_default();
    struct roles_change change;
    roles_plan(&in, &limits, memory, &change);
    return change;
}

static struct roles_change look(struct roles_node *nodes, uint32_t count, const char *voters,
                                const char *learners)
{
    struct roles_memory memory = roles_memory_new(0);
    return look_at(NOW, &memory, nodes, count, voters, learners);
}

TEST(a_limit_of_time_or_log_is_reached_with_its_last_unit)
{
    struct roles_node nodes[4];
    (void)nodes_of("1 2 3 4", nodes);
    nodes[2].presence = ROLES_DEAD;
    nodes[2].since_us = NOW - 10000000; /* for ten seconds */
    EXPECT_EQ(look(nodes, 4, "1 2 3", "4").cause, ROLES_CAUSE_REPLACE);
    nodes[2].since_us++;
    EXPECT_EQ(look(nodes, 4, "1 2 3", "4").cause, ROLES_CAUSE_NONE);
    nodes[2].since_us--;
    nodes[3].match = 1000 - 64;
    EXPECT_EQ(look(nodes, 4, "1 2 3", "4").cause, ROLES_CAUSE_REPLACE);
    nodes[3].match--;
    EXPECT_EQ(look(nodes, 4, "1 2 3", "4").cause, ROLES_CAUSE_NONE);
    nodes[3].match = 1000;
    nodes[3].since_us = NOW - 1000000; /* for a second */
    EXPECT_EQ(look(nodes, 4, "1 2 3", "4").cause, ROLES_CAUSE_REPLACE);
    nodes[3].since_us++;
    EXPECT_EQ(look(nodes, 4, "1 2 3", "4").cause, ROLES_CAUSE_NONE);
}

TEST(newcomers_come_from_where_fewest_members_are_and_the_oldest_first)
{
    struct roles_node nodes[6];
    (void)nodes_of("1 2 3 7 6 5", nodes);
    static const struct {
        uint64_t domains[6]; /* 0: fails alone */
        uint64_t taken;
    } rows[] = {{{0, 0, 0, 0, 0, 0}, 5}, {{1, 1, 2, 1, 2, 1}, 6}, {{1, 1, 2, 3, 2, 1}, 7},
                {{1, 1, 2, 2, 2, 2}, 5}, {{1, 2, 2, 0, 1, 1}, 7}, {{1, 1, 1, 1, 2, 0}, 5}};
    for (uint32_t i = 0; i < SH_COUNT(rows); i++) {
        for (uint32_t k = 0; k < 6; k++) {
            nodes[k].domain = rows[i].domains[k];
        }
        struct roles_change change = look(nodes, 6, "1 2 3", "");
        EXPECT_EQ(change.cause, ROLES_CAUSE_JOIN);
        EXPECT_EQ(change.op_count, 1);
        EXPECT_EQ(change.ops[0].handle, rows[i].taken);
    }
}

TEST(a_full_group_gives_the_place_of_a_learner_that_is_dead_for_long)
{
    struct roles_node nodes[ROLES_MEMBERS_MAX + 1];
    char learners[256] = "";
    for (uint32_t i = 0; i <= ROLES_MEMBERS_MAX; i++) {
        nodes[i] = node_of(i + 1, '\0');
        if (i >= 5 && i < ROLES_MEMBERS_MAX) {
            (void)snprintf(learners + strlen(learners), sizeof learners - strlen(learners), "%u ",
                           i + 1);
        }
    }
    nodes[9].presence = ROLES_DEAD;
    nodes[9].since_us = NOW - 40000000 + 1; /* dead_us and wish_us, but for a moment */
    EXPECT_EQ(look(nodes, 33, "1 2 3 4 5", learners).cause, ROLES_CAUSE_MEMBERS_FULL);
    nodes[9].since_us--;
    nodes[10].presence = ROLES_DEAD;
    nodes[10].since_us = NOW - 40000001; /* longer */
    struct roles_change change = look(nodes, 33, "1 2 3 4 5", learners);
    EXPECT_EQ(change.cause, ROLES_CAUSE_JOIN);
    EXPECT_EQ(change.op_count, 2);
    EXPECT(change.ops[0].type == ROLES_REMOVE && change.ops[0].handle == 11);
    EXPECT(change.ops[1].type == ROLES_ADD_LEARNER && change.ops[1].handle == 33);
}

TEST(standbys_are_the_two_learners_that_would_vote_next)
{
    struct roles_node nodes[7];
    (void)nodes_of("1 2 3 4 5l 6 7", nodes);
    struct roles_change change = look(nodes, 7, "1 2 3", "4 5 6 7");
    EXPECT_EQ(change.cause, ROLES_CAUSE_PROMOTE);
    EXPECT_EQ(change.standby_count, 1); /* 4 and 6 vote now, 5 is behind */
    EXPECT_EQ(change.standbys[0], 7);
    nodes[6].presence = ROLES_LEAVING; /* six agents: three vote, and nothing changes */
    change = look(nodes, 7, "1 2 3", "4 5 6 7");
    EXPECT_EQ(change.standby_count, 2);
    EXPECT(change.standbys[0] == 4 && change.standbys[1] == 6);
}

TEST(a_better_voter_is_wished_for_only_while_all_voters_are_well)
{
    struct roles_node nodes[4];
    (void)nodes_of("1 2 3 4", nodes);
    nodes[1].domain = 7;
    nodes[2].domain = 7;
    nodes[3].domain = 8; /* where nobody votes yet */
    EXPECT_EQ(look(nodes, 4, "1 2 3", "4").cause, ROLES_CAUSE_WISH);
    nodes[1].match = 10; /* behind */
    EXPECT_EQ(look(nodes, 4, "1 2 3", "4").cause, ROLES_CAUSE_NONE);
    nodes[1].match = 1000;
    nodes[2].presence = ROLES_DEAD; /* for a moment */
    nodes[2].since_us = NOW - 5;
    EXPECT_EQ(look(nodes, 4, "1 2 3", "4").cause, ROLES_CAUSE_NONE);
    nodes[2].presence = ROLES_ALIVE;
    nodes[3].presence = ROLES_LEAVING; /* and there is one to be had */
    EXPECT_EQ(look(nodes, 4, "1 2 3", "4").cause, ROLES_CAUSE_NONE);
}

/* Of a voter and of a learner: 99th percentiles of their disks and ways, in us. */
TEST(a_voter_gives_way_for_a_disk_or_a_way_of_a_quarter_and_for_no_less)
{
    static const struct {
        uint32_t out_disk;
        uint32_t in_disk;
        uint32_t out_way;
        uint32_t in_way;
        bool wished;
    } rows[] = {{4000, 1000, 500, 500, true},  {3999, 1000, 500, 500, false},
                {2000, 999, 500, 500, true},   {1999, 999, 500, 500, false},
                {0, 500, 500, 500, false},     {500, 0, 4000, 500, false},
                {500, 500, 4000, 1000, true},  {500, 500, 3999, 1000, false},
                {500, 500, 0, 500, false},     {500, 1000, 64000, 500, false},
                {1000, 500, 4000, 1000, true}, {4000, 1000, 500, 64000, true},
                {0, 0, 4000, 1000, true},      {500, 500, 500, 0, false}};
    for (uint32_t i = 0; i < SH_COUNT(rows); i++) {
        struct roles_node nodes[4];
        (void)nodes_of("1 2 3 4", nodes);
        for (uint32_t k = 0; k < 2; k++) {
            nodes[k].fsync_p99_us = 500;
            nodes[k].rtt_p99_us = 500;
        }
        nodes[2].fsync_p99_us = rows[i].out_disk;
        nodes[2].rtt_p99_us = rows[i].out_way;
        nodes[3].fsync_p99_us = rows[i].in_disk;
        nodes[3].rtt_p99_us = rows[i].in_way;
        enum roles_cause cause = look(nodes, 4, "1 2 3", "4").cause;
        EXPECT_EQ(cause, rows[i].wished ? ROLES_CAUSE_WISH : ROLES_CAUSE_NONE);
    }
}

TEST(a_wish_must_last_and_moves_keep_their_distance)
{
    struct roles_node nodes[4];
    (void)nodes_of("1 2 3 4", nodes);
    nodes[1].domain = 7;
    nodes[2].domain = 7;
    nodes[3].domain = 8;
    struct roles_memory memory = roles_memory_new(NOW - 60 * SECOND);
    EXPECT_EQ(look_at(NOW, &memory, nodes, 4, "1 2 3", "4").cause, ROLES_CAUSE_WISH);
    nodes[3].domain = 7; /* not for a moment: it begins anew */
    EXPECT_EQ(look_at(NOW + 5, &memory, nodes, 4, "1 2 3", "4").cause, ROLES_CAUSE_NONE);
    nodes[3].domain = 8;
    EXPECT_EQ(look_at(NOW + 6, &memory, nodes, 4, "1 2 3", "4").cause, ROLES_CAUSE_WISH);
    uint64_t ripe = NOW + 6 + 30 * SECOND;
    EXPECT_EQ(look_at(ripe - 1, &memory, nodes, 4, "1 2 3", "4").cause, ROLES_CAUSE_WISH);
    struct roles_change change = look_at(ripe, &memory, nodes, 4, "1 2 3", "4");
    EXPECT_EQ(change.cause, ROLES_CAUSE_IMPROVE);
    EXPECT(change.op_count == 2 && change.ops[0].type == ROLES_ADD_LEARNER);
    EXPECT(change.ops[0].handle == 2 && change.ops[1].handle == 4);
    EXPECT(change.ops[1].type == ROLES_ADD_VOTER);
    EXPECT_EQ(memory.moved_us, ripe);
    /* It is said once; the same again has to be wished for again, and a minute must pass. */
    EXPECT_EQ(look_at(ripe + 1, &memory, nodes, 4, "1 2 3", "4").cause, ROLES_CAUSE_WISH);
    uint64_t next = ripe + 60 * SECOND;
    EXPECT_EQ(look_at(next - 1, &memory, nodes, 4, "1 2 3", "4").cause, ROLES_CAUSE_WISH);
    EXPECT_EQ(look_at(next, &memory, nodes, 4, "1 2 3", "4").cause, ROLES_CAUSE_IMPROVE);
}

TEST(fewer_voters_are_wished_for_and_then_the_least_wanted_goes)
{
    struct roles_node nodes[6];
    (void)nodes_of("1 2 3 4 5 6", nodes);
    struct roles_memory memory = roles_memory_new(NOW - 60 * SECOND);
    EXPECT_EQ(look_at(NOW, &memory, nodes, 6, "1 2 3 4 5", "6").cause, ROLES_CAUSE_WISH);
    uint64_t ripe = NOW + 30 * SECOND;
    EXPECT_EQ(look_at(ripe - 1, &memory, nodes, 6, "1 2 3 4 5", "6").cause, ROLES_CAUSE_WISH);
    struct roles_change change = look_at(ripe, &memory, nodes, 6, "1 2 3 4 5", "6");
    EXPECT_EQ(change.cause, ROLES_CAUSE_SHRINK);
    EXPECT(change.op_count == 2 && change.ops[0].handle == 4 && change.ops[1].handle == 5);
}
