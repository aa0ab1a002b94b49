/* SPDX-License-Identifier: Apache-2.0
 *
 * The checkers on histories that never happen: each property is broken on purpose and must be
 * named; next to each stands the same history unbroken. */
#include "tst.h"

#include "base/host/host.h"
#include "sim/check.h"
#include "store/fsm/fsm.h"
#include "store/kv_mem.h"

#include <stdlib.h>
#include <string.h>

/* Agents 0, 1, 2 with handles 1, 2, 3. */
struct history {
    struct sim_check check;
    struct raft_update update;
    struct raft_entry entry;
};

static struct history *begin(void)
{
    struct history *h = calloc(1, sizeof *h);
    EXPECT(h != NULL);
    sim_check_init(&h->check);
    return h;
}

static void end(struct history *h)
{
    sim_check_fini(&h->check);
    free(h);
}

/* A step of an agent's core after which it has this role, term and commit index. */
static void step(struct history *h, uint32_t agent, enum raft_role role, uint64_t term,
                 uint64_t commit)
{
    h->update.role = role;
    h->update.term = term;
    h->update.commit = commit;
    h->update.apply_to = commit;
    sim_check_update(&h->check, agent, &h->update);
    h->update = (struct raft_update){0};
}

/* The next step also appends this entry. */
static void append(struct history *h, uint64_t index, uint64_t term, const char *text)
{
    h->entry = (struct raft_entry){.index = index,
                                   .term = term,
                                   .size = (uint32_t)strlen(text),
                                   .data = (const uint8_t *)text};
    h->update.append = &h->entry;
    h->update.append_count = 1;
}

static void write_entry(struct history *h, uint32_t agent, uint64_t index, uint64_t term,
                        const char *text)
{
    struct wal_entry e = {
        .index = index, .term = term, .bytes = {.at = (const uint8_t *)text, .size = strlen(text)}};
    struct wal_hard hard = {.term = term};
    sim_check_write(&h->check, agent, &hard, &e, 1, true);
}

static void apply(struct history *h, uint32_t agent, uint64_t index, uint64_t term,
                  const char *text)
{
    struct wal_entry e = {
        .index = index, .term = term, .bytes = {.at = (const uint8_t *)text, .size = strlen(text)}};
    sim_check_apply(&h->check, agent, &e);
}

static void expect_says(struct history *h, const char *what)
{
    if (strstr(h->check.failure, what) == NULL) {
        tst_fail(__FILE__, __LINE__, "'%s' is not in '%s'", what, h->check.failure);
    }
    end(h);
}

TEST(two_leaders_of_one_term_break_election_safety)
{
    struct history *h = begin();
    step(h, 0, RAFT_LEADER, 5, 0);
    step(h, 0, RAFT_LEADER, 5, 0);
    step(h, 1, RAFT_LEADER, 6, 0);
    EXPECT_STR(h->check.failure, "");
    EXPECT_EQ(h->check.elections, 2);
    step(h, 2, RAFT_LEADER, 6, 0);
    expect_says(h, "election safety: b and c both lead term 6");
}

TEST(a_leader_that_rewrites_its_log_breaks_append_only)
{
    struct history *h = begin();
    step(h, 0, RAFT_LEADER, 1, 0);
    append(h, 1, 1, "x");
    step(h, 0, RAFT_LEADER, 1, 0);
    append(h, 2, 1, "y");
    step(h, 0, RAFT_LEADER, 1, 0);
    EXPECT_STR(h->check.failure, "");
    append(h, 2, 1, "y");
    step(h, 0, RAFT_LEADER, 1, 0);
    expect_says(h, "leader append-only: leader a of term 1 rewrites 2");
}

TEST(a_follower_may_rewrite_what_is_not_committed)
{
    struct history *h = begin();
    append(h, 1, 1, "x");
    step(h, 0, RAFT_FOLLOWER, 1, 0);
    append(h, 1, 2, "y");
    step(h, 0, RAFT_FOLLOWER, 2, 1);
    EXPECT_STR(h->check.failure, "");
    append(h, 1, 3, "z");
    step(h, 0, RAFT_FOLLOWER, 3, 1);
    expect_says(h, "replaces entry 1, which is committed");
}

TEST(two_entries_at_one_index_and_term_break_log_matching)
{
    struct history *h = begin();
    append(h, 1, 1, "x");
    step(h, 0, RAFT_LEADER, 1, 0);
    append(h, 1, 1, "x");
    step(h, 1, RAFT_FOLLOWER, 1, 0);
    EXPECT_STR(h->check.failure, "");
    append(h, 1, 1, "other");
    step(h, 2, RAFT_FOLLOWER, 1, 0);
    expect_says(h, "log matching: agent c holds another entry 1 of term 1");
}

TEST(equal_entries_after_different_ones_break_log_matching_too)
{
    struct history *h = begin();
    append(h, 1, 1, "x");
    step(h, 0, RAFT_FOLLOWER, 1, 0);
    append(h, 1, 2, "y");
    step(h, 1, RAFT_FOLLOWER, 2, 0);
    append(h, 2, 3, "z");
    step(h, 0, RAFT_FOLLOWER, 3, 0);
    EXPECT_STR(h->check.failure, "");
    append(h, 2, 3, "z");
    step(h, 1, RAFT_FOLLOWER, 3, 0);
    expect_says(h, "log matching: agent b");
}

TEST(a_leader_without_a_committed_entry_breaks_completeness)
{
    struct history *h = begin();
    append(h, 1, 1, "x");
    step(h, 0, RAFT_LEADER, 1, 0);
    append(h, 1, 1, "x");
    step(h, 1, RAFT_FOLLOWER, 1, 0);
    step(h, 0, RAFT_LEADER, 1, 1);
    step(h, 1, RAFT_LEADER, 2, 0); /* it has it */
    EXPECT_STR(h->check.failure, "");
    step(h, 2, RAFT_LEADER, 3, 0); /* it has not */
    expect_says(h, "leader completeness: leader c of term 3 lacks entry 1, committed in term 1");
}

TEST(a_late_leader_of_an_older_term_need_not_have_what_a_newer_one_committed)
{
    struct history *h = begin();
    append(h, 1, 7, "x");
    step(h, 0, RAFT_LEADER, 7, 1);
    step(h, 1, RAFT_LEADER, 6, 0); /* elected long ago, and heard of it only now */
    EXPECT_STR(h->check.failure, "");
    end(h);
}

TEST(committing_another_entry_breaks_state_machine_safety)
{
    struct history *h = begin();
    append(h, 1, 1, "x");
    step(h, 0, RAFT_LEADER, 1, 1);
    append(h, 1, 2, "y");
    step(h, 1, RAFT_FOLLOWER, 2, 1);
    expect_says(h, "state machine safety: agent b commits another entry 1");
}

TEST(an_entry_that_changed_on_its_way_to_the_tables_is_seen)
{
    struct history *h = begin();
    append(h, 1, 1, "x");
    step(h, 0, RAFT_LEADER, 1, 1);
    write_entry(h, 0, 1, 1, "x");
    apply(h, 0, 1, 1, "x");
    EXPECT_STR(h->check.failure, "");
    append(h, 1, 1, "x");
    step(h, 1, RAFT_FOLLOWER, 1, 1);
    write_entry(h, 1, 1, 1, "x");
    apply(h, 1, 1, 1, "X");
    expect_says(h, "state machine safety: agent b applies another entry 1");
}

TEST(nobody_applies_what_is_not_committed_or_not_durable_there)
{
    struct history *h = begin();
    append(h, 1, 1, "x");
    step(h, 0, RAFT_LEADER, 1, 0);
    apply(h, 0, 1, 1, "x");
    expect_says(h, "applies 1 after 0 with commit 0");
    h = begin();
    append(h, 1, 1, "x");
    step(h, 0, RAFT_LEADER, 1, 1);
    apply(h, 0, 1, 1, "x");
    expect_says(h, "applies entry 1 before it is durable there");
}

TEST(nobody_goes_back_in_term_or_commit_or_commits_beyond_its_log)
{
    struct history *h = begin();
    step(h, 0, RAFT_FOLLOWER, 4, 0);
    step(h, 0, RAFT_FOLLOWER, 3, 0);
    expect_says(h, "goes back to term 3");
    h = begin();
    append(h, 1, 1, "x");
    step(h, 0, RAFT_LEADER, 1, 1);
    step(h, 0, RAFT_LEADER, 1, 0);
    expect_says(h, "takes back its commit index");
    h = begin();
    step(h, 0, RAFT_FOLLOWER, 1, 1);
    expect_says(h, "commits 1 beyond its log");
}

static void vote(struct history *h, uint32_t agent, uint64_t term, uint64_t candidate)
{
    struct raft_msg msg = {.type = RAFT_MSG_VOTE_RESP, .term = term, .to = candidate};
    sim_check_message(&h->check, agent, &msg);
}

static void promise(struct history *h, uint32_t agent, uint64_t term, uint64_t candidate)
{
    struct wal_hard hard = {.term = term, .vote = candidate};
    sim_check_write(&h->check, agent, &hard, NULL, 0, true);
}

TEST(one_vote_a_term_and_only_once_it_is_durable)
{
    struct history *h = begin();
    promise(h, 0, 3, 2);
    vote(h, 0, 3, 2);
    vote(h, 0, 3, 2);
    EXPECT_STR(h->check.failure, "");
    vote(h, 0, 3, 3);
    expect_says(h, "agent a votes twice in term 3");
    h = begin();
    promise(h, 0, 3, 2);
    vote(h, 0, 4, 2);
    expect_says(h, "grants a vote in term 4 before it is durable");
    h = begin();
    promise(h, 0, 3, 2);
    promise(h, 0, 3, 3);
    expect_says(h, "takes back its term or vote on disk");
}

TEST(an_acknowledgement_waits_for_the_disk)
{
    struct history *h = begin();
    struct raft_msg msg = {.type = RAFT_MSG_APP_RESP, .term = 1, .index = 1};
    append(h, 1, 1, "x");
    step(h, 1, RAFT_FOLLOWER, 1, 0);
    write_entry(h, 1, 1, 1, "x");
    sim_check_message(&h->check, 1, &msg);
    EXPECT_STR(h->check.failure, "");
    msg.index = 2;
    sim_check_message(&h->check, 1, &msg);
    expect_says(h, "acknowledges entry 2 before it is durable");
}

/* ---- the disk after a crash ---- */

struct store {
    struct kv *kv;
    struct wal *wal;
    struct wal_boot boot;
};

static void open_store(struct store *s)
{
    EXPECT_EQ(wal_open(s->kv, 1, 0, &s->boot, &s->wal), SH_OK);
}

static struct store new_store(void)
{
    static const struct kv_cf families[] = {{"meta", KV_CF_SMALL}, {"log", KV_CF_TEXT}};
    struct store s = {0};
    EXPECT_EQ(kv_mem_open(families, 2, &s.kv), SH_OK);
    open_store(&s);
    return s;
}

static void save(struct history *h, struct store *s, uint64_t index, const char *text, bool sync)
{
    struct wal_entry e = {
        .index = index, .term = 1, .bytes = {.at = (const uint8_t *)text, .size = strlen(text)}};
    struct wal_hard hard = {.term = 1, .vote = 2};
    EXPECT_EQ(wal_save(s->wal, &hard, &e, 1, sync), SH_OK);
    sim_check_write(&h->check, 0, &hard, &e, 1, true);
}

static void crash_and_start(struct history *h, struct store *s)
{
    wal_close(s->wal);
    kv_mem_crash(s->kv, 0);
    open_store(s);
    sim_check_start(&h->check, 0, &s->boot.hard, s->wal, 0);
}

static void close_store(struct store *s)
{
    wal_close(s->wal);
    kv_close(s->kv);
}

TEST(a_synced_write_that_a_crash_takes_is_seen)
{
    struct history *h = begin();
    struct store s = new_store();
    save(h, &s, 1, "x", true);
    crash_and_start(h, &s);
    EXPECT_STR(h->check.failure, "");
    save(h, &s, 2, "y", false); /* the checker is told that it was synced */
    crash_and_start(h, &s);
    close_store(&s);
    expect_says(h, "agent a had 2 durable entries and has 1 after a crash");
}

TEST(a_vote_that_a_crash_takes_is_seen)
{
    struct history *h = begin();
    struct store s = new_store();
    save(h, &s, 1, "x", true);
    promise(h, 0, 2, 3);
    crash_and_start(h, &s);
    close_store(&s);
    expect_says(h, "agent a forgot its term or vote of term 2");
}

/* ---- jobs ---- */

struct tables {
    struct kv *kv;
    struct fsm *fsm;
    void *memory;
    struct jobs *jobs;
    const struct sh_table *table;
};

static struct tables new_tables(void)
{
    static const struct kv_cf family = {"fsm", KV_CF_TEXT};
    struct tables t = {0};
    struct sh_arena arena;
    size_t size = (jobs_bytes() + 63) & ~(size_t)63;
    EXPECT_EQ(kv_mem_open(&family, 1, &t.kv), SH_OK);
    EXPECT_EQ(fsm_open(t.kv, 0, NULL, &t.fsm, NULL), SH_OK);
    t.memory = aligned_alloc(64, size);
    sh_arena_init(&arena, t.memory, size);
    t.jobs = jobs_init(&arena);
    t.table = fsm_begin(t.fsm);
    return t;
}

static void close_tables(struct tables *t)
{
    fsm_abort(t->fsm);
    fsm_close(t->fsm);
    kv_close(t->kv);
    free(t->memory);
}

static uint8_t node[SH_NODE_ID_BYTES] = {1};

/* Applies cmd as entry index of agent; the checker sees it as forged where result is given. */
static void command(struct history *h, struct tables *t, uint32_t agent, uint64_t index,
                    const struct jobs_cmd *cmd, struct jobs_result *result)
{
    uint8_t bytes[4096];
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    EXPECT_EQ(jobs_cmd_encode(cmd, &w), SH_OK);
    struct sh_span span = {.at = bytes, .size = w.used};
    struct jobs_entry entry = {.index = index, .term = 1, .bytes = span};
    struct wal_entry e = {.index = index, .term = 1, .bytes = span};
    jobs_apply(t->jobs, t->table, &entry, result);
    h->check.last = index > h->check.last ? index : h->check.last;
    sim_check_applied(&h->check, agent, &e, span, result, t->table);
}

static void submit(struct history *h, struct tables *t, uint32_t agent, uint64_t index,
                   const char *key)
{
    struct jobs_cmd cmd = {.type = JOBS_SUBMIT};
    struct jobs_result result;
    struct jobs_submit *s = &cmd.u.submit;
    memcpy(s->key, key, strlen(key));
    memcpy(s->name, "job", 4);
    memcpy(s->owner, "me", 3);
    s->kind = WIRE_KIND_NOOP;
    s->spec = (struct sh_span){.at = (const uint8_t *)"{}", .size = 2};
    s->need = (struct wire_need){
        .ranks = 1, .agents_min = 1, .agents_max = 1, .arithmetic = WIRE_ARITHMETIC_SAME};
    s->checkpoint_keep = 1;
    s->units = 1;
    command(h, t, agent, index, &cmd, &result);
    EXPECT_EQ(result.err, SH_OK);
}

TEST(tables_that_differ_after_the_same_entry_are_seen)
{
    struct history *h = begin();
    struct tables a = new_tables();
    struct tables b = new_tables();
    submit(h, &a, 0, 1, "r0");
    submit(h, &b, 1, 1, "r0");
    EXPECT_STR(h->check.failure, "");
    submit(h, &a, 0, 2, "r1");
    submit(h, &b, 1, 2, "other");
    close_tables(&a);
    close_tables(&b);
    expect_says(h, "agent b has other tables than others after entry 2");
}

TEST(an_acknowledged_job_that_is_gone_or_another_is_seen)
{
    struct history *h = begin();
    struct tables a = new_tables();
    struct tables b = new_tables();
    submit(h, &a, 0, 1, "r0");
    sim_check_ack(&h->check, 0, 1);
    sim_check_all_jobs(&h->check, 0, a.table);
    EXPECT_STR(h->check.failure, "");
    submit(h, &b, 1, 5, "r5");
    sim_check_all_jobs(&h->check, 1, b.table);
    expect_says(h, "job 1, acknowledged, does not exist on agent b");
    h = begin();
    h->check.last = 5;
    sim_check_ack(&h->check, 0, 5);
    sim_check_all_jobs(&h->check, 1, b.table);
    expect_says(h, "job 5 on agent b is another than was acknowledged");
    h = begin();
    sim_check_ack(&h->check, 0, 9);
    expect_says(h, "acknowledged before it was committed");
    close_tables(&a);
    close_tables(&b);
}

/* Tells the checker that an entry was applied with success, whatever the tables say. */
static void forge(struct history *h, struct tables *t, uint64_t index, const struct jobs_cmd *cmd)
{
    uint8_t bytes[4096];
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    EXPECT_EQ(jobs_cmd_encode(cmd, &w), SH_OK);
    struct wal_entry e = {.index = index, .term = 1};
    struct jobs_result result = {.type = (uint32_t)cmd->type, .unit.job = 1};
    sim_check_applied(&h->check, 0, &e, (struct sh_span){.at = bytes, .size = w.used}, &result,
                      t->table);
}

static struct jobs_cmd commit_of(uint64_t fence)
{
    struct jobs_cmd cmd = {.type = JOBS_COMMIT};
    cmd.u.commit.unit.job = 1;
    cmd.u.commit.fence = (struct wire_fence){.term = 1, .index = fence};
    return cmd;
}

static struct jobs_cmd place_of(uint64_t previous)
{
    struct jobs_cmd cmd = {.type = JOBS_PLACE};
    cmd.u.place.unit.job = 1;
    cmd.u.place.previous = (struct wire_fence){.term = previous > 0, .index = previous};
    cmd.u.place.cause = WIRE_CAUSE_PLACED;
    cmd.u.place.member_count = 1;
    cmd.u.place.members[0].rank_hi = 1;
    memcpy(cmd.u.place.members[0].node, node, sizeof node);
    return cmd;
}

TEST(a_unit_committed_twice_is_seen)
{
    struct history *h = begin();
    struct tables t = new_tables();
    struct jobs_cmd place = place_of(0);
    struct jobs_cmd commit = commit_of(2);
    submit(h, &t, 0, 1, "r0");
    forge(h, &t, 2, &place);
    forge(h, &t, 3, &commit);
    EXPECT_STR(h->check.failure, "");
    EXPECT_EQ(h->check.units, 1);
    forge(h, &t, 4, &commit);
    close_tables(&t);
    expect_says(h, "unit 1/0 is committed twice: at 3 and 4");
}

TEST(a_commit_under_an_old_fence_is_seen)
{
    struct history *h = begin();
    struct tables t = new_tables();
    struct jobs_cmd place = place_of(0);
    struct jobs_cmd again = place_of(2);
    struct jobs_cmd commit = commit_of(2);
    submit(h, &t, 0, 1, "r0");
    forge(h, &t, 2, &place);
    forge(h, &t, 3, &again);
    EXPECT_STR(h->check.failure, "");
    forge(h, &t, 4, &commit);
    close_tables(&t);
    expect_says(h, "unit 1/0 is committed under a fence that is not in force");
}

TEST(a_fence_that_falls_is_seen)
{
    struct history *h = begin();
    struct tables t = new_tables();
    struct jobs_cmd place = place_of(0);
    submit(h, &t, 0, 1, "r0");
    forge(h, &t, 5, &place);
    EXPECT_STR(h->check.failure, "");
    forge(h, &t, 4, &place);
    close_tables(&t);
    expect_says(h, "fences: unit 1/0 was placed at 4 after 5");
}

TEST(a_placement_of_a_paused_job_is_seen)
{
    struct history *h = begin();
    struct tables t = new_tables();
    struct jobs_cmd place = place_of(0);
    struct jobs_cmd pause = {.type = JOBS_PAUSE, .u.pause.job = 1};
    struct jobs_cmd resume = {.type = JOBS_RESUME, .u.resume.job = 1};
    submit(h, &t, 0, 1, "r0");
    forge(h, &t, 2, &pause);
    forge(h, &t, 3, &resume);
    forge(h, &t, 4, &place);
    EXPECT_STR(h->check.failure, "");
    forge(h, &t, 5, &pause);
    forge(h, &t, 6, &place);
    close_tables(&t);
    expect_says(h, "unit 1/0 of a paused job is placed at 6");
}

TEST(a_number_of_units_a_setting_and_a_mark_that_are_not_what_was_asked_for_are_seen)
{
    struct jobs_cmd cmds[3] = {
        {.type = JOBS_RESIZE}, {.type = JOBS_CONFIG_SET}, {.type = JOBS_NODE_MARK}};
    static const char *const SAYS[] = {"job 1 was to have 5 units and is to have 1",
                                       "setting reserve is not what it was set to",
                                       "an agent is not drained against its mark"};
    cmds[0].u.resize = (struct jobs_resize){.job = 1, .has_units = true, .units = 5};
    cmds[1].u.config_set.count = 1;
    memcpy(cmds[1].u.config_set.at[0].key, "reserve", 8);
    cmds[1].u.config_set.at[0].value = 340;
    cmds[2].u.node_mark.mark = JOBS_MARK_DRAIN;
    memcpy(cmds[2].u.node_mark.node, node, sizeof node);
    for (size_t i = 0; i < SH_COUNT(cmds); i++) {
        struct history *h = begin();
        struct tables t = new_tables();
        submit(h, &t, 0, 1, "r0");
        EXPECT_STR(h->check.failure, "");
        forge(h, &t, 2, &cmds[i]); /* the tables do not follow */
        close_tables(&t);
        expect_says(h, SAYS[i]);
    }
}

TEST(a_percentage_that_goes_down_is_seen)
{
    struct history *h = begin();
    struct tables t = new_tables();
    struct jobs_cmd said = {.type = JOBS_PROGRESS};
    said.u.progress.unit.job = 1;
    submit(h, &t, 0, 1, "r0");
    *sim_ledger_at(&h->check.progress, 1) = 400;
    forge(h, &t, 2, &said);
    close_tables(&t);
    expect_says(h, "job 1 goes from 400 to 0 thousandths");
}

TEST(a_job_that_disappears_is_seen)
{
    struct history *h = begin();
    struct tables t = new_tables();
    struct tables empty = new_tables();
    struct jobs_cmd stop = {.type = JOBS_STOP, .u.stop.job = 1};
    submit(h, &t, 0, 1, "r0");
    forge(h, &empty, 2, &stop);
    close_tables(&t);
    close_tables(&empty);
    expect_says(h, "jobs: entry 2 makes a job disappear");
}

TEST(a_configuration_that_differs_is_seen)
{
    struct history *h = begin();
    struct raft_conf one = {.voters = {1}, .voter_count = 1};
    struct raft_conf two = {.voters = {1, 2, 3}, .voter_count = 3};
    h->check.last = 4;
    sim_check_conf(&h->check, 0, 4, &one);
    sim_check_conf(&h->check, 1, 4, &one);
    EXPECT_STR(h->check.failure, "");
    sim_check_conf(&h->check, 2, 4, &two);
    expect_says(h, "agent c has another configuration than others after entry 4");
}

TEST(the_first_violation_stands)
{
    struct history *h = begin();
    sim_check_fail(&h->check, "first %d", 1);
    sim_check_fail(&h->check, "second");
    EXPECT_STR(h->check.failure, "first 1");
    end(h);
}
