/* SPDX-License-Identifier: Apache-2.0
 *
 * The rules of a log as one judges who sees all disks; and the names of violations. */
#include "tst.h"

#include "sim/check.h"
#include "sim/shrink.h"

#include <stdlib.h>
#include <string.h>

/* Agents 0, 1 and 2 are the voters 1, 2 and 3. */
struct world {
    struct sim_check check;
    struct raft_update update;
    struct raft_entry entry;
    struct raft_msg msg;
};

static struct world *begin(void)
{
    struct world *w = calloc(1, sizeof *w);
    EXPECT(w != NULL);
    sim_check_init(&w->check);
    for (uint32_t i = 0; i < 3; i++) {
        sim_check_handle(&w->check, i, i + 1);
    }
    return w;
}

static void step(struct world *w, uint32_t agent, enum raft_role role, uint64_t term,
                 uint64_t commit)
{
    w->update.role = role;
    w->update.term = term;
    w->update.commit = commit;
    w->update.conf = (struct raft_conf){.voters = {1, 2, 3}, .voter_count = 3};
    sim_check_update(&w->check, agent, &w->update);
    w->update = (struct raft_update){0};
}

static void append(struct world *w, uint64_t index, uint64_t term, enum raft_entry_type type)
{
    w->entry = (struct raft_entry){.index = index, .term = term, .type = type};
    w->update.append = &w->entry;
    w->update.append_count = 1;
}

static void store(struct world *w, uint32_t agent, uint64_t index, uint64_t term)
{
    struct wal_entry e = {.index = index, .term = term, .type = RAFT_ENTRY_NORMAL};
    struct wal_hard hard = {.term = term};
    sim_check_write(&w->check, agent, &hard, &e, 1, true);
}

static void end(struct world *w, const char *says)
{
    if (strstr(w->check.failure, says) == NULL ||
        (says[0] == '\0' && w->check.failure[0] != '\0')) {
        tst_fail(__FILE__, __LINE__, "'%s' is not in '%s'", says, w->check.failure);
    }
    sim_check_fini(&w->check);
    free(w);
}

TEST(what_a_leader_commits_is_on_the_disks_of_a_majority)
{
    struct world *w = begin();
    append(w, 1, 1, RAFT_ENTRY_NORMAL);
    step(w, 0, RAFT_LEADER, 1, 0);
    store(w, 0, 1, 1);
    store(w, 2, 1, 1);
    step(w, 0, RAFT_LEADER, 1, 1);
    end(w, "");
}

TEST(committing_what_only_the_leader_has_is_seen)
{
    struct world *w = begin();
    append(w, 1, 1, RAFT_ENTRY_NORMAL);
    step(w, 0, RAFT_LEADER, 1, 0);
    store(w, 0, 1, 1);
    step(w, 0, RAFT_LEADER, 1, 1);
    end(w, "leader a commits entry 1, which no majority has on its disks");
}

TEST(who_lost_its_disk_after_it_answered_counts)
{
    struct world *w = begin();
    append(w, 1, 1, RAFT_ENTRY_NORMAL);
    step(w, 0, RAFT_LEADER, 1, 0);
    store(w, 0, 1, 1);
    store(w, 1, 1, 1);
    sim_check_wipe(&w->check, 1);
    step(w, 0, RAFT_LEADER, 1, 1);
    end(w, "");
}

TEST(another_entry_in_its_place_does_not_count)
{
    struct world *w = begin();
    append(w, 1, 2, RAFT_ENTRY_NORMAL);
    step(w, 0, RAFT_LEADER, 2, 0);
    store(w, 0, 1, 2);
    store(w, 1, 1, 1);
    store(w, 2, 1, 1);
    step(w, 0, RAFT_LEADER, 2, 1);
    end(w, "which no majority has");
}

TEST(an_old_entry_is_not_committed_by_counting)
{
    struct world *w = begin();
    append(w, 1, 1, RAFT_ENTRY_NORMAL);
    step(w, 0, RAFT_FOLLOWER, 1, 0);
    store(w, 0, 1, 1);
    store(w, 1, 1, 1);
    step(w, 0, RAFT_LEADER, 3, 1);
    end(w, "commit rule: leader a of term 3 commits entry 1 of term 1 by counting");
}

TEST(nobody_runs_before_a_committed_change_is_applied)
{
    struct world *w = begin();
    append(w, 1, 1, RAFT_ENTRY_CONF);
    step(w, 0, RAFT_FOLLOWER, 1, 1);
    step(w, 0, RAFT_PRE_CANDIDATE, 1, 1);
    end(w, "agent a runs with change 1 committed, not applied");
}

TEST(nobody_runs_while_a_snapshot_is_put_in_place)
{
    struct wal_hard hard = {.term = 1, .commit = 1};
    for (uint32_t stored = 0; stored < 2; stored++) {
        struct world *w = begin();
        append(w, 1, 1, RAFT_ENTRY_CONF);
        store(w, 0, 1, 1);
        step(w, 0, RAFT_FOLLOWER, 1, 1);
        struct raft_conf conf = {.voters = {1, 2, 3}, .voter_count = 3};
        sim_check_conf(&w->check, 0, 1, &conf);
        w->update.install = true;
        w->update.snapshot = (struct raft_snapshot){.index = 1, .term = 1, .conf = conf};
        step(w, 1, RAFT_FOLLOWER, 1, 1);
        if (stored == 1) {
            sim_check_install(&w->check, 1, 1, 1, &hard);
        }
        step(w, 1, RAFT_PRE_CANDIDATE, 1, 1);
        end(w, stored == 1 ? "" : "agent b runs while a snapshot of 1 is put in place");
    }
}

TEST(a_vote_for_a_shorter_log_is_seen)
{
    struct world *w = begin();
    step(w, 1, RAFT_CANDIDATE, 2, 0);
    append(w, 1, 1, RAFT_ENTRY_NORMAL);
    step(w, 0, RAFT_FOLLOWER, 1, 0);
    w->msg = (struct raft_msg){.type = RAFT_MSG_VOTE_RESP, .from = 1, .to = 2, .term = 2};
    w->update.messages = &w->msg;
    w->update.message_count = 1;
    step(w, 0, RAFT_FOLLOWER, 2, 0);
    end(w, "agent a votes in term 2 for a shorter log than its own");
}

/* Agent 0 leads term 2 with one entry; agent 1 follows with an entry of term 1 in its place. */
static struct world *differing(void)
{
    struct world *w = begin();
    append(w, 1, 2, RAFT_ENTRY_NORMAL);
    step(w, 0, RAFT_LEADER, 2, 0);
    append(w, 1, 1, RAFT_ENTRY_NORMAL);
    step(w, 1, RAFT_FOLLOWER, 2, 0);
    store(w, 0, 1, 2);
    store(w, 1, 1, 1);
    return w;
}

TEST(acknowledging_an_entry_that_is_another_one_is_seen)
{
    struct world *w = differing();
    w->msg =
        (struct raft_msg){.type = RAFT_MSG_APP_RESP, .from = 2, .to = 1, .term = 2, .index = 1};
    sim_check_message(&w->check, 1, &w->msg);
    end(w, "agent b acknowledges entry 1 and has another one");
}

TEST(a_leader_that_counts_a_member_for_what_it_lacks_is_seen)
{
    struct world *w = differing();
    struct raft_status status = {.term = 2, .peer_count = 1, .peers = {{.id = 2, .match = 0}}};
    sim_check_leader(&w->check, 0, &status);
    EXPECT_STR(w->check.failure, "");
    status.peers[0].match = 1;
    sim_check_leader(&w->check, 0, &status);
    end(w, "leader a counts a member for entry 1, which it lacks");
}

TEST(a_candidate_that_claims_what_its_disk_has_not_is_seen)
{
    struct world *w = begin();
    store(w, 0, 1, 1);
    w->msg = (struct raft_msg){.type = RAFT_MSG_VOTE, .from = 1, .to = 2, .term = 2, .index = 1};
    sim_check_message(&w->check, 0, &w->msg);
    EXPECT_STR(w->check.failure, "");
    w->msg.index = 2;
    sim_check_message(&w->check, 0, &w->msg);
    end(w, "candidate a claims entry 2 before it is durable");
}

TEST(violations_of_one_kind_have_one_name)
{
    char one[SIM_ERROR_MAX + 1];
    char other[SIM_ERROR_MAX + 1];
    sim_shrink_kind("election safety: b and c both lead term 16", one);
    sim_shrink_kind("election safety: a and e both lead term 7", other);
    EXPECT_STR(one, "election safety: @ and @ both lead term #");
    EXPECT_STR(one, other);
    sim_shrink_kind("liveness: 180 s after healing: nobody leads", other);
    EXPECT(strcmp(one, other) != 0);
}
