/* SPDX-License-Identifier: Apache-2.0
 *
 * What a replica keeps of its log, and how it gets what others have forgotten. */
#include "replica_rig.h"

#include "base/host/host.h"
#include "tst.h"

#include <poll.h>
#include <string.h>

#define SECOND UINT64_C(1000000)

static void admit_many(uint64_t first, uint64_t count)
{
    uint8_t command[2048];
    for (uint64_t i = first; i < first + count; i++) {
        size_t size = replica_rig_admit(command, sizeof command);
        struct sh_span sealed = {.at = command, .size = size};
        EXPECT_EQ(replica_propose(replica_rig.replica, sh_now_us(), sealed, i, false), SH_OK);
        replica_flush(replica_rig.replica, sh_now_us());
        replica_rig_run_until_applied(i);
    }
}

TEST(a_log_keeps_one_to_two_stretches_and_goes_on_after_a_crash)
{
    replica_rig_open();
    replica_rig_found();
    replica_rig_open_core();
    replica_rig_run_until_applied(2);
    for (uint64_t next = 3; next < 200; next += 10) {
        admit_many(next, 10);
        struct replica_status s = replica_rig_status();
        EXPECT(s.raft.last_index + 1 - s.raft.first_index <= 2 * LOG_ENTRIES + 2);
        EXPECT(s.raft.first_index == 1 || s.raft.last_index - s.raft.first_index >= LOG_ENTRIES);
    }
    replica_rig_close_core();
    kv_mem_crash(replica_rig.kv, 0);
    replica_rig_open_core();
    EXPECT(replica_rig.boot.compacted_index > 100);
    EXPECT(replica_rig.boot.last_index - replica_rig.boot.compacted_index <= 2 * LOG_ENTRIES + 2);
    replica_begin(replica_rig.replica, sh_now_us());
    replica_rig_run_until_applied(replica_rig.boot.last_index + 1);
    EXPECT(replica_leads(replica_rig.replica));
    replica_rig_close();
}

enum { REMOTE_INDEX = 50, REMOTE_NODES = 40 };

/* Tables as of index 50, where agent 5 (this one) learns from voter 1. */
static void open_remote(void)
{
    uint8_t conf_bytes[RAFT_CONF_BYTES_MAX];
    struct raft_conf conf = {.voter_count = 1, .voters = {1}, .learner_count = 1, .learners = {5}};
    struct sh_writer w = sh_writer_over(conf_bytes, sizeof conf_bytes);
    struct calls_config calls = {.post = replica_rig_post, .ctx = &replica_remote};
    struct snapshots_config snapshots = {.schema = JOBS_SCHEMA};
    raft_conf_encode(&conf, &w);
    EXPECT_EQ(kv_mem_open(REPLICA_RIG_CFS, RIG_CFS, &replica_remote.kv), SH_OK);
    EXPECT_EQ(fsm_open(replica_remote.kv, CF_FSM, NULL, &replica_remote.fsm, NULL), SH_OK);
    const struct sh_table *t = fsm_begin(replica_remote.fsm);
    for (uint8_t i = 0; i < REMOTE_NODES; i++) {
        static uint8_t value[60000];
        t->put(t->ctx, KV_SPAN(&i, 1), KV_SPAN(value, sizeof value));
    }
    EXPECT_EQ(fsm_commit(replica_remote.fsm, REMOTE_INDEX, 2, 4, KV_SPAN(conf_bytes, w.used), true),
              SH_OK);
    memcpy(calls.me, COORDINATOR, SH_NODE_ID_BYTES);
    memcpy(snapshots.me, COORDINATOR, SH_NODE_ID_BYTES);
    EXPECT_EQ(calls_open(&replica_remote.calls, &calls), SH_OK);
    snapshots.fsm = replica_remote.fsm;
    snapshots.calls = replica_remote.calls;
    EXPECT_EQ(snapshots_open(&replica_remote.snapshots, &snapshots), SH_OK);
}

static void close_remote(void)
{
    calls_stop(replica_remote.calls);
    snapshots_close(replica_remote.snapshots);
    calls_close(replica_remote.calls);
    fsm_close(replica_remote.fsm);
    kv_close(replica_remote.kv);
}

static void offer(void)
{
    replica_rig_receive(COORDINATOR,
                        (struct raft_msg){.type = RAFT_MSG_SNAP,
                                          .from = 1,
                                          .to = 5,
                                          .term = 3,
                                          .snapshot = {.index = REMOTE_INDEX - 3, .term = 2}});
}

static uint32_t rows_in_tables(void)
{
    struct fsm_view *view = NULL;
    struct sh_span value;
    uint32_t rows = 0;
    EXPECT_EQ(fsm_view_open(replica_rig.fsm, &view), SH_OK);
    const struct sh_table *t = fsm_view_table(view);
    for (uint8_t i = 0; i < REMOTE_NODES; i++) {
        rows += t->get(t->ctx, KV_SPAN(&i, 1), &value) ? 1 : 0;
    }
    fsm_view_close(view);
    return rows;
}

TEST(a_newcomer_behind_the_log_takes_the_coordinators_snapshot)
{
    replica_rig_open();
    open_remote();
    replica_rig_open_core();
    offer(); /* which also says which handle it has */
    replica_rig_receive(COORDINATOR, replica_rig_heartbeat(5));
    replica_rig_run_until_applied(REMOTE_INDEX);
    EXPECT_EQ(rows_in_tables(), REMOTE_NODES);
    struct replica_status s = replica_rig_status();
    EXPECT_EQ(s.snapshots, 1);
    EXPECT_EQ(s.raft.first_index, REMOTE_INDEX + 1);
    EXPECT_EQ(s.raft.conf.learners[0], 5);
    replica_rig_close_core();
    kv_mem_crash(replica_rig.kv, 0);
    replica_rig_open_core();
    EXPECT_EQ(replica_rig.boot.compacted_index, REMOTE_INDEX);
    EXPECT_EQ(replica_rig.boot.compacted_term, 2);
    EXPECT_EQ(replica_rig.applied.index, REMOTE_INDEX);
    EXPECT_EQ(replica_rig.applied.conf_index, 4);
    EXPECT_EQ(rows_in_tables(), REMOTE_NODES);
    replica_rig_close();
    close_remote();
}

TEST(a_snapshot_that_was_fetched_waits_for_a_coordinator_and_is_dropped_after_a_while)
{
    struct pollfd fd;
    struct snapshots_event event;
    replica_rig_open();
    open_remote();
    replica_rig_open_core();
    offer();
    fd = (struct pollfd){.fd = queue_fd(snapshots_event_queue(replica_rig.snapshots)),
                         .events = POLLIN};
    EXPECT_EQ(poll(&fd, 1, 10000), 1);
    EXPECT(queue_pop(snapshots_event_queue(replica_rig.snapshots), &event));
    uint64_t now = sh_now_us();
    replica_snapshot_event(replica_rig.replica, now,
                           &event); /* no heartbeat was heard: nobody leads */
    EXPECT_EQ(replica_rig_status().raft.applied, 0);
    EXPECT(replica_deadline_us(replica_rig.replica) <= now + REPLICA_STAGED_US);
    replica_tick(replica_rig.replica, now + REPLICA_STAGED_US);
    EXPECT_EQ(replica_rig_status().raft.applied, 0);
    replica_rig_receive(COORDINATOR, replica_rig_heartbeat(5));
    do { /* and from the beginning, as soon as the rows of the first one are deleted */
        offer();
    } while (poll(&fd, 1, 20) == 0 && sh_now_us() < now + 10 * SECOND);
    replica_rig_run_until_applied(REMOTE_INDEX);
    EXPECT_EQ(rows_in_tables(), REMOTE_NODES);
    replica_rig_close();
    close_remote();
}

TEST(ending_while_a_snapshot_is_fetched_leaves_the_old_tables)
{
    replica_rig_open();
    open_remote();
    replica_rig_open_core();
    offer();
    replica_rig_close_core();
    kv_mem_crash(replica_rig.kv, UINT32_MAX);
    replica_rig_open_core();
    EXPECT_EQ(replica_rig.applied.index, 0);
    EXPECT_EQ(rows_in_tables(), 0);
    replica_rig_close();
    close_remote();
}

/* A member that waits for a snapshot has nothing else to write: nobody would notice. */
TEST(a_store_that_fails_under_a_snapshot_is_told_to_the_loop)
{
    struct snapshots_event event = {.kind = SNAPSHOTS_STAGED};
    replica_rig_open();
    open_remote();
    replica_rig_open_core();
    struct pollfd fd = {.fd = queue_fd(disk_done_queue(replica_rig.disk)), .events = POLLIN};
    replica_rig_receive(COORDINATOR, replica_rig_heartbeat(5)); /* a handle and a term: written, */
    EXPECT_EQ(poll(&fd, 1, 10000), 1);
    kv_mem_fail(replica_rig.kv, 2, SH_ERR_NO_SPACE, false); /* and the last that is */
    offer();
    fd.fd = queue_fd(snapshots_event_queue(replica_rig.snapshots));
    EXPECT_EQ(poll(&fd, 1, 10000), 1);
    EXPECT(queue_pop(snapshots_event_queue(replica_rig.snapshots), &event));
    EXPECT_EQ(event.kind, SNAPSHOTS_FAILED);
    EXPECT_EQ(event.err, SH_ERR_NO_SPACE);
    replica_rig_close_core();
    kv_mem_crash(replica_rig.kv, UINT32_MAX);
    replica_rig_open_core();
    EXPECT_EQ(rows_in_tables(), 0);
    replica_rig_close();
    close_remote();
}

/* ---- what another agent may ask ---- */

/* The answer of the remote agent; the reply lies in reply. */
static enum sh_err ask(const void *request, size_t size, uint8_t *reply, size_t *got)
{
    return calls_ask(replica_rig.calls, CALLS_BULK, COORDINATOR, SERVICE_CALL_SNAPSHOT, request,
                     size, reply, SNAPSHOTS_PIECE_BYTES + 4, got, 10 * SECOND);
}

static enum sh_err ask_open(uint8_t node, uint64_t *stream)
{
    static uint8_t reply[SNAPSHOTS_PIECE_BYTES + 4];
    uint8_t request[1 + SH_NODE_ID_BYTES] = {1, node};
    size_t got = 0;
    enum sh_err err = ask(request, sizeof request, reply, &got);
    struct sh_reader r = sh_reader_over(reply, got);
    *stream = sh_get_u64(&r);
    return err;
}

/* The size of the chunk, 0 with an error. */
static enum sh_err ask_read(uint64_t stream, uint32_t number, uint32_t offset, uint32_t *size)
{
    static uint8_t reply[SNAPSHOTS_PIECE_BYTES + 4];
    uint8_t request[32];
    size_t got = 0;
    struct sh_writer w = sh_writer_over(request, sizeof request);
    sh_put_u8(&w, 2);
    sh_put_u64(&w, stream);
    sh_put_u32(&w, number);
    sh_put_u32(&w, offset);
    enum sh_err err = ask(request, w.used, reply, &got);
    struct sh_reader r = sh_reader_over(reply, got);
    *size = sh_get_u32(&r);
    return err;
}

TEST(two_streams_are_given_at_a_time_each_chunk_by_chunk)
{
    uint64_t first = 0;
    uint64_t second = 0;
    uint64_t third = 0;
    uint32_t size = 0;
    uint32_t again = 0;
    replica_rig_open();
    open_remote();
    replica_rig_open_core();
    EXPECT_EQ(snapshots_floor(replica_remote.snapshots), UINT64_MAX);
    EXPECT_EQ(ask_open(1, &first), SH_OK);
    EXPECT_EQ(snapshots_floor(replica_remote.snapshots), REMOTE_INDEX);
    EXPECT_EQ(ask_open(2, &second), SH_OK);
    EXPECT_EQ(ask_open(3, &third), SH_ERR_FULL);
    EXPECT_EQ(ask_read(first, 1, 0, &size), SH_ERR_INVALID); /* not before 0 */
    EXPECT_EQ(ask_read(first, 0, 0, &size), SH_OK);
    EXPECT_EQ(ask_read(first, 1, 0, &size), SH_OK);
    EXPECT(size > SNAPSHOTS_PIECE_BYTES);
    EXPECT_EQ(ask_read(first, 1, SNAPSHOTS_PIECE_BYTES, &again), SH_OK); /* asked twice, as if */
    EXPECT_EQ(ask_read(first, 1, SNAPSHOTS_PIECE_BYTES, &again), SH_OK); /* it had been lost */
    EXPECT_EQ(again, size);
    EXPECT_EQ(ask_read(first, 1, size, &again), SH_ERR_INVALID);
    EXPECT_EQ(ask_read(first, 0, 0, &again), SH_ERR_INVALID); /* gone by */
    EXPECT_EQ(ask_open(1, &third), SH_OK);                    /* it begins anew */
    EXPECT_EQ(ask_read(first, 2, 0, &size), SH_ERR_NOT_FOUND);
    EXPECT_EQ(ask_read(third, 0, 0, &size), SH_OK);
    replica_rig_close();
    close_remote();
}

TEST(damaged_questions_about_snapshots_are_refused)
{
    uint8_t request[32] = {0};
    static uint8_t reply[SNAPSHOTS_PIECE_BYTES + 4];
    size_t got = 0;
    replica_rig_open();
    open_remote();
    replica_rig_open_core();
    for (uint8_t op = 0; op < 5; op++) {
        request[0] = op;
        for (size_t size = 0; size < 13; size++) { /* shorter than any of them */
            enum sh_err err = ask(request, size, reply, &got);
            EXPECT(err == SH_ERR_INVALID || err == SH_ERR_NOT_FOUND);
        }
    }
    EXPECT_EQ(snapshots_floor(replica_remote.snapshots), UINT64_MAX);
    replica_rig_close();
    close_remote();
}
