/* SPDX-License-Identifier: Apache-2.0 */
#include "apply.h"

#include "base/host/host.h"
#include "jobs/view.h"
#include "store/kv_mem.h"
#include "tst.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND UINT64_C(1000000)

static const struct kv_cf CFS[] = {
    {"meta", KV_CF_SMALL}, {"log", KV_CF_SMALL}, {"fsm", KV_CF_ROWS}};
enum { CF_META, CF_LOG, CF_FSM };

/* The tables and the log of one agent, and the thread that applies the one to the other. */
static struct {
    struct kv *kv;
    struct wal *wal;
    struct fsm *fsm;
    struct proposals *proposals;
    struct apply *apply;
    uint64_t last;   /* entry of the log */
    uint64_t number; /* of the newest proposal */
    struct jobs_result ended;
    struct queue *told; /* indexes, as on_applied gets them */
    atomic_uint results;
} rig;

static void on_applied(void *ctx, uint64_t index, const struct jobs_result *results, uint32_t count)
{
    (void)ctx;
    for (uint32_t i = 0; i < count; i++) {
        SH_CHECK(results[i].err == SH_OK);
    }
    atomic_fetch_add(&rig.results, count);
    SH_CHECK(queue_push(rig.told, &index) == SH_OK);
}

static void open_apply(void)
{
    struct fsm_applied *applied = calloc(1, sizeof *applied);
    EXPECT(applied != NULL);
    EXPECT_EQ(fsm_open(rig.kv, CF_FSM, NULL, &rig.fsm, applied), SH_OK);
    struct apply_config config = {.wal = rig.wal,
                                  .fsm = rig.fsm,
                                  .proposals = rig.proposals,
                                  .applied = applied->index,
                                  .on_applied = on_applied};
    EXPECT_EQ(apply_open(&rig.apply, &config), SH_OK);
    free(applied);
}

static enum sh_err on_send(void *ctx, uint8_t *command, size_t size)
{
    struct jobs_cmd cmd;
    (void)ctx;
    EXPECT_EQ(jobs_cmd_decode(command, size, &cmd), SH_OK);
    rig.number = cmd.number;
    free(command);
    return SH_OK;
}

static void on_end(void *ctx, enum sh_err err, const struct jobs_result *result, unsigned sends)
{
    (void)ctx;
    (void)sends;
    EXPECT_EQ(err, SH_OK);
    rig.ended = *result;
}

static void open_rig(void)
{
    struct wal_boot boot;
    struct proposals_config proposals = {.send = on_send};
    sh_host_init();
    EXPECT_EQ(queue_open(&rig.told, 1024, sizeof(uint64_t)), SH_OK);
    EXPECT_EQ(kv_mem_open(CFS, SH_COUNT(CFS), &rig.kv), SH_OK);
    EXPECT_EQ(wal_open(rig.kv, CF_LOG, CF_META, &boot, &rig.wal), SH_OK);
    EXPECT_EQ(proposals_open(&proposals, &rig.proposals), SH_OK);
    open_apply();
}

static void close_rig(void)
{
    apply_stop(rig.apply);
    apply_close(rig.apply);
    fsm_close(rig.fsm);
    proposals_stop(rig.proposals);
    proposals_close(rig.proposals);
    wal_close(rig.wal);
    kv_close(rig.kv);
    queue_close(rig.told);
}

static void append(enum raft_entry_type type, const void *bytes, size_t size)
{
    struct wal_hard hard = {.term = 1, .vote = 1};
    struct wal_entry e = {.index = ++rig.last,
                          .term = 1,
                          .type = (uint8_t)type,
                          .bytes = {.at = bytes, .size = size}};
    EXPECT_EQ(wal_save(rig.wal, &hard, &e, 1, true), SH_OK);
}

static void append_admit(uint64_t number)
{
    uint8_t command[1024];
    struct jobs_cmd cmd = {.type = JOBS_NODE_ADMIT, .stamp_us = 5, .number = number};
    struct jobs_node_admit *a = &cmd.u.node_admit;
    struct sh_writer w = sh_writer_over(command, sizeof command);
    uint64_t at = rig.last + 1;
    memcpy(a->node, &at, sizeof at);
    (void)snprintf(a->name, sizeof a->name, "node-%llu", (unsigned long long)at);
    (void)snprintf(a->addr, sizeof a->addr, "10.0.0.1:7711");
    EXPECT_EQ(jobs_cmd_encode(&cmd, &w), SH_OK);
    append(RAFT_ENTRY_NORMAL, command, w.used);
}

static struct apply_event next_event(void)
{
    struct apply_event event;
    EXPECT(queue_wait(apply_event_queue(rig.apply), &event, 10 * SECOND));
    return event;
}

static void await_applied(uint64_t index)
{
    uint64_t told = 0;
    while (told < index) {
        EXPECT(queue_wait(rig.told, &told, 10 * SECOND));
    }
    EXPECT_EQ(told, index);
    EXPECT(apply_index(rig.apply) >= index);
}

/* Skips that the thread has caught up. */
static struct apply_event next_event_but_advanced(void)
{
    struct apply_event event = next_event();
    return event.kind == APPLY_ADVANCED ? next_event() : event;
}

static uint32_t nodes_in_tables(uint64_t *index)
{
    struct fsm_view *view = NULL;
    struct jobs_counts counts;
    EXPECT_EQ(fsm_view_open(rig.fsm, &view), SH_OK);
    EXPECT_EQ(jobs_counts_get(fsm_view_table(view), &counts), SH_OK);
    *index = fsm_view_index(view);
    fsm_view_close(view);
    return counts.nodes;
}

TEST(committed_entries_reach_the_tables_and_their_proposers)
{
    uint64_t index = 0;
    uint8_t bytes[128];
    struct jobs_cmd open = {.type = JOBS_SESSION_OPEN, .u.session_open = {.life = 1, .node = {1}}};
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    open_rig();
    EXPECT_EQ(jobs_cmd_encode(&open, &w), SH_OK);
    struct sh_span command = {.at = bytes, .size = w.used};
    EXPECT_EQ(proposals_begin(rig.proposals, 0, command, 60000000, on_end, NULL), SH_OK);
    append(RAFT_ENTRY_NORMAL, NULL, 0);
    for (int i = 0; i < 600; i++) {
        append_admit(i == 300 ? rig.number : 0);
    }
    EXPECT_EQ(apply_start(rig.apply), SH_OK);
    apply_commit(rig.apply, 601);
    apply_commit(rig.apply, 4); /* a commit index that fell behind changes nothing */
    await_applied(601);
    EXPECT_EQ(nodes_in_tables(&index), 600);
    EXPECT_EQ(index, 601);
    EXPECT_EQ(atomic_load(&rig.results), 601);
    close_rig();
    EXPECT_EQ(rig.ended.handle, 302);
}

TEST(what_is_committed_before_the_start_is_applied_after_it)
{
    open_rig();
    append_admit(0);
    apply_commit(rig.apply, 1);
    struct apply_event event;
    EXPECT(!queue_pop(apply_event_queue(rig.apply), &event));
    EXPECT_EQ(apply_start(rig.apply), SH_OK);
    await_applied(1);
    close_rig();
}

TEST(a_membership_entry_takes_its_turn_through_the_loop)
{
    uint8_t change[RAFT_CHANGE_BYTES_MAX];
    struct raft_conf_change add = {.count = 1, .changes = {{.type = RAFT_ADD_VOTER, .id = 9}}};
    struct sh_writer w = sh_writer_over(change, sizeof change);
    raft_conf_change_encode(&add, &w);
    open_rig();
    append_admit(0);
    append(RAFT_ENTRY_CONF, change, w.used);
    append_admit(0);
    EXPECT_EQ(apply_start(rig.apply), SH_OK);
    apply_commit(rig.apply, 3);
    await_applied(1);
    struct apply_event event = next_event();
    EXPECT_EQ(event.kind, APPLY_CONF);
    EXPECT_EQ(event.index, 2);
    EXPECT_EQ(event.data_size, w.used);
    EXPECT_MEM(event.data, change, w.used);
    struct raft_conf conf = {.voters = {9}, .voter_count = 1};
    apply_conf(rig.apply, 1, &conf); /* the answer to another entry is not taken */
    apply_conf(rig.apply, 2, &conf);
    await_applied(2);
    await_applied(3);
    apply_stop(rig.apply);
    apply_close(rig.apply);
    fsm_close(rig.fsm);
    struct fsm_applied *applied = calloc(1, sizeof *applied);
    struct raft_conf kept;
    EXPECT(applied != NULL);
    EXPECT_EQ(fsm_open(rig.kv, CF_FSM, NULL, &rig.fsm, applied), SH_OK);
    EXPECT_EQ(applied->index, 3);
    EXPECT_EQ(applied->conf_index, 2);
    struct sh_reader r = sh_reader_over(applied->conf, applied->conf_size);
    EXPECT_EQ(raft_conf_decode(&r, &kept), SH_OK);
    EXPECT_EQ(kept.voters[0], 9);
    free(applied);
    fsm_close(rig.fsm);
    open_apply();
    close_rig();
}

TEST(stopping_ends_the_wait_for_the_loops_answer)
{
    uint8_t change[RAFT_CHANGE_BYTES_MAX];
    struct raft_conf_change none = {0};
    struct sh_writer w = sh_writer_over(change, sizeof change);
    raft_conf_change_encode(&none, &w);
    open_rig();
    append(RAFT_ENTRY_CONF, change, w.used);
    EXPECT_EQ(apply_start(rig.apply), SH_OK);
    apply_commit(rig.apply, 1);
    EXPECT_EQ(next_event().kind, APPLY_CONF);
    close_rig();
}

TEST(log_reads_are_answered_with_entries_or_with_none)
{
    open_rig();
    for (int i = 0; i < 20; i++) {
        append_admit(0);
    }
    EXPECT_EQ(apply_start(rig.apply), SH_OK);
    struct raft_log_read read = {.request = 5, .from = 4, .max_count = 10, .max_bytes = 1 << 20};
    EXPECT_EQ(apply_log_read(rig.apply, &read), SH_OK);
    struct apply_event event = next_event_but_advanced();
    EXPECT_EQ(event.kind, APPLY_LOG);
    EXPECT_EQ(event.request, 5);
    EXPECT_EQ(event.entry_count, 10);
    EXPECT_EQ(event.entries[0].index, 4);
    EXPECT_EQ(event.entries[9].index, 13);
    struct jobs_cmd cmd;
    EXPECT_EQ(jobs_cmd_decode(event.entries[9].data, event.entries[9].size, &cmd), SH_OK);
    free(event.memory);
    read.request = 6;
    read.from = 21; /* past the end */
    EXPECT_EQ(apply_log_read(rig.apply, &read), SH_OK);
    event = next_event_but_advanced();
    EXPECT_EQ(event.kind, APPLY_LOG);
    EXPECT_EQ(event.request, 6);
    EXPECT_EQ(event.entry_count, 0);
    EXPECT(event.memory == NULL);
    close_rig();
}

TEST(log_reads_that_wait_are_bounded)
{
    open_rig();
    struct raft_log_read read = {.from = 1, .max_count = 1};
    for (uint32_t i = 0; i < APPLY_READS_MAX; i++) {
        read.request = i;
        EXPECT_EQ(apply_log_read(rig.apply, &read), SH_OK);
    }
    EXPECT_EQ(apply_log_read(rig.apply, &read), SH_ERR_FULL);
    EXPECT_EQ(apply_start(rig.apply), SH_OK);
    for (uint32_t i = 0; i < APPLY_READS_MAX; i++) {
        EXPECT_EQ(next_event().request, i);
    }
    close_rig();
}

TEST(stopping_while_the_loop_does_not_listen_loses_no_memory)
{
    open_rig();
    for (int i = 0; i < 10; i++) {
        append_admit(0);
    }
    EXPECT_EQ(apply_start(rig.apply), SH_OK);
    struct raft_log_read read = {.from = 1, .max_count = 5, .max_bytes = 1 << 20};
    uint32_t asked = 0;
    while (asked <
           512 + 1 + APPLY_READS_MAX / 2) { /* answers fill the event queue, and one waits */
        read.request = asked;
        asked += apply_log_read(rig.apply, &read) == SH_OK ? 1 : 0;
    }
    close_rig();
}

struct halting {
    enum sh_err err;
    size_t size;
    uint8_t bytes[64];
};

/* An encoding of a later program, a command of one. */
static const struct halting HALTS[] = {
    {SH_ERR_VERSION, 40, {2, 1}},
    {SH_ERR_VERSION, 40, {1, 200}},
};

TEST_ROWS(an_entry_of_a_later_program_halts_applying_and_changes_nothing, HALTS)
{
    uint64_t index = 0;
    open_rig();
    append_admit(0);
    append(RAFT_ENTRY_NORMAL, HALTS[tst_row].bytes, HALTS[tst_row].size);
    append_admit(0);
    EXPECT_EQ(apply_start(rig.apply), SH_OK);
    apply_commit(rig.apply, 3);
    struct apply_event event = next_event();
    EXPECT_EQ(event.kind, APPLY_FAILED);
    EXPECT_EQ(event.err, HALTS[tst_row].err);
    EXPECT_EQ(nodes_in_tables(&index), 0);
    EXPECT_EQ(index, 0);
    close_rig();
}

TEST(a_store_that_fails_stops_applying)
{
    open_rig();
    append_admit(0);
    kv_mem_fail(rig.kv, 1, SH_ERR_NO_SPACE, false);
    EXPECT_EQ(apply_start(rig.apply), SH_OK);
    apply_commit(rig.apply, 1);
    struct apply_event event = next_event();
    EXPECT_EQ(event.kind, APPLY_FAILED);
    EXPECT_EQ(event.err, SH_ERR_NO_SPACE);
    close_rig();
}

TEST(a_commit_beyond_the_log_stops_applying)
{
    open_rig();
    append_admit(0);
    EXPECT_EQ(apply_start(rig.apply), SH_OK);
    apply_commit(rig.apply, 2);
    await_applied(1);
    struct apply_event event = next_event();
    EXPECT_EQ(event.kind, APPLY_FAILED);
    EXPECT_EQ(event.err, SH_ERR_NOT_FOUND);
    close_rig();
}
