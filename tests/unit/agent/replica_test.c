/* SPDX-License-Identifier: Apache-2.0 */
#include "replica_rig.h"

#include "base/host/host.h"
#include "jobs/view.h"
#include "store/kv_ops.h"
#include "tst.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND UINT64_C(1000000)

TEST(the_only_voter_leads_at_once_and_what_it_takes_reaches_the_tables)
{
    uint8_t command[2048];
    uint8_t leader[SH_NODE_ID_BYTES];
    replica_rig_open();
    replica_rig_found();
    replica_rig_open_core();
    replica_rig_run_until_applied(2); /* its own membership, then the entry that begins its term */
    EXPECT(replica_leads(replica_rig.replica));
    EXPECT(replica_leader(replica_rig.replica, leader));
    EXPECT_MEM(leader, replica_rig.trust.node, SH_NODE_ID_BYTES);
    EXPECT(replica_rig.changes > 0);
    size_t size = replica_rig_admit(command, sizeof command);
    struct sh_span sealed = {.at = command, .size = size};
    EXPECT_EQ(replica_propose(replica_rig.replica, sh_now_us(), sealed, 1234, false), SH_OK);
    replica_flush(replica_rig.replica, sh_now_us());
    replica_rig_run_until_applied(3);
    struct fsm_view *view = NULL;
    struct jobs_node node;
    EXPECT_EQ(fsm_view_open(replica_rig.fsm, &view), SH_OK);
    EXPECT_EQ(jobs_node_by_name(fsm_view_table(view), "first", &node), SH_OK);
    EXPECT_EQ(node.admitted_us, 1234);
    fsm_view_close(view);
    replica_rig_close();
}

TEST(a_coordinator_answers_a_read_with_its_commit_index_and_a_newcomer_with_a_refusal)
{
    replica_rig_open();
    replica_rig_open_core();
    replica_read(replica_rig.replica, sh_now_us(), 4);
    EXPECT_EQ(replica_rig.read.ctx, 4);
    EXPECT_EQ(replica_rig.read.err, SH_ERR_NOT_LEADER);
    replica_rig_close_core();
    replica_rig_found();
    replica_rig_open_core();
    replica_rig_run_until_applied(2);
    replica_read(replica_rig.replica, sh_now_us(), 5);
    EXPECT_EQ(replica_rig.read.ctx, 5);
    EXPECT_EQ(replica_rig.read.err, SH_OK);
    EXPECT_EQ(replica_rig.read.index, 2);
    replica_rig_close();
}

TEST(a_restarted_voter_goes_on_with_its_log)
{
    uint8_t command[2048];
    replica_rig_open();
    replica_rig_found();
    replica_rig_open_core();
    replica_rig_run_until_applied(2);
    size_t size = replica_rig_admit(command, sizeof command);
    struct sh_span sealed = {.at = command, .size = size};
    EXPECT_EQ(replica_propose(replica_rig.replica, sh_now_us(), sealed, 1, false), SH_OK);
    replica_flush(replica_rig.replica, sh_now_us());
    replica_rig_run_until_applied(3);
    replica_rig_close_core();
    kv_mem_crash(replica_rig.kv, 0);
    replica_rig_open_core();
    replica_begin(replica_rig.replica, sh_now_us());
    replica_rig_run_until_applied(4);
    EXPECT(replica_leads(replica_rig.replica));
    EXPECT_EQ(replica_rig_status().raft.term, 3);
    replica_rig_close();
}

TEST(the_log_takes_only_commands_that_this_program_understands)
{
    uint8_t command[2048];
    uint8_t bytes[2048];
    replica_rig_open();
    replica_rig_found();
    replica_rig_open_core();
    replica_rig_run_until_applied(2);
    size_t size = replica_rig_admit(command, sizeof command);
    for (size_t cut = 0; cut < size; cut++) {
        struct sh_span part = {.at = bytes, .size = cut};
        memcpy(bytes, command, size);
        EXPECT(replica_propose(replica_rig.replica, sh_now_us(), part, 1, false) != SH_OK);
    }
    struct sh_span whole = {.at = bytes, .size = size};
    memcpy(bytes, command, size);
    bytes[0] = 2; /* encoding of a later program */
    EXPECT_EQ(replica_propose(replica_rig.replica, sh_now_us(), whole, 1, false), SH_ERR_VERSION);
    memcpy(bytes, command, size);
    bytes[1] = 200; /* command of a later program */
    EXPECT_EQ(replica_propose(replica_rig.replica, sh_now_us(), whole, 1, false), SH_ERR_VERSION);
    replica_flush(replica_rig.replica, sh_now_us());
    EXPECT_EQ(replica_rig_status().raft.last_index, 2);
    replica_rig_close();
}

TEST(commands_of_one_turn_are_one_proposal_however_many)
{
    uint8_t command[2048];
    replica_rig_open();
    replica_rig_found();
    replica_rig_open_core();
    replica_rig_run_until_applied(2);
    size_t size = replica_rig_admit(command, sizeof command);
    struct sh_span sealed = {.at = command, .size = size};
    for (uint32_t i = 0; i < REPLICA_BATCH_ENTRIES; i++) {
        EXPECT_EQ(replica_propose(replica_rig.replica, sh_now_us(), sealed, i + 1, false), SH_OK);
    }
    EXPECT_EQ(replica_rig_status().raft.last_index, 2);
    EXPECT_EQ(replica_propose(replica_rig.replica, sh_now_us(), sealed, 1, false), SH_OK);
    EXPECT_EQ(replica_rig_status().raft.last_index, 2 + REPLICA_BATCH_ENTRIES);
    replica_flush(replica_rig.replica, sh_now_us());
    EXPECT_EQ(replica_rig_status().raft.last_index, 3 + REPLICA_BATCH_ENTRIES);
    replica_rig_run_until_applied(3 + REPLICA_BATCH_ENTRIES);
    replica_rig_close();
}

TEST(a_newcomer_keeps_the_handle_that_a_coordinator_calls_it_by)
{
    replica_rig_open();
    replica_rig_open_core();
    EXPECT(replica_is_dormant(replica_rig.replica));
    EXPECT(replica_rig_status().dormant);
    EXPECT_EQ(replica_deadline_us(replica_rig.replica), UINT64_MAX);
    struct raft_msg vote = replica_rig_heartbeat(5);
    vote.type = RAFT_MSG_VOTE;
    replica_rig_receive(STRANGER, vote); /* only a coordinator knows who was admitted */
    EXPECT(replica_is_dormant(replica_rig.replica));
    replica_rig_receive(COORDINATOR, replica_rig_heartbeat(5));
    EXPECT(!replica_is_dormant(replica_rig.replica));
    EXPECT_EQ(replica_rig_status().raft.id, 5);
    EXPECT_EQ(replica_rig_status().raft.term, 3);
    replica_rig_receive(COORDINATOR, replica_rig_heartbeat(4)); /* meant for somebody else */
    EXPECT_EQ(replica_rig_status().raft.id, 5);
    replica_rig_receive(COORDINATOR, replica_rig_heartbeat(6)); /* removed and admitted anew */
    EXPECT_EQ(replica_failure(replica_rig.replica), SH_ERR_STALE);
    replica_rig_close_core();
    kv_mem_crash(replica_rig.kv, 0);
    EXPECT_EQ(wal_open(replica_rig.kv, CF_LOG, CF_META, &replica_rig.boot, &replica_rig.wal),
              SH_OK);
    EXPECT_EQ(replica_rig.boot.identity.handle, 5);
    wal_close(replica_rig.wal);
    replica_rig_open_core();
    replica_rig_close();
}

TEST(a_handle_that_cannot_be_kept_stops_the_agent)
{
    replica_rig_open();
    replica_rig_open_core();
    EXPECT_EQ(replica_failure(replica_rig.replica), SH_OK);
    kv_mem_fail(replica_rig.kv, 1, SH_ERR_NO_SPACE, false);
    replica_rig_receive(COORDINATOR, replica_rig_heartbeat(5));
    EXPECT_EQ(replica_failure(replica_rig.replica), SH_ERR_NO_SPACE);
    EXPECT(replica_is_dormant(replica_rig.replica));
    replica_rig_receive(COORDINATOR, replica_rig_heartbeat(5));
    EXPECT(replica_is_dormant(replica_rig.replica));
    replica_rig_close();
}

TEST(snapshots_and_proposals_of_peers_are_not_taken)
{
    uint8_t garbage[3] = {9, 9, 9};
    struct raft_entry entry = {.size = sizeof garbage, .data = garbage};
    replica_rig_open();
    replica_rig_found();
    replica_rig_open_core();
    replica_rig_run_until_applied(2);
    struct raft_msg snap = {.type = RAFT_MSG_SNAP, .from = 2, .to = 1, .term = 9};
    snap.snapshot =
        (struct raft_snapshot){.index = 100, .term = 9, .conf = {.voters = {2}, .voter_count = 1}};
    replica_rig_receive(STRANGER, snap);
    struct raft_msg prop = {
        .type = RAFT_MSG_PROP, .from = 2, .to = 1, .entry_count = 1, .entries = &entry};
    replica_rig_receive(STRANGER, prop);
    EXPECT(replica_leads(replica_rig.replica));
    EXPECT_EQ(replica_rig_status().raft.last_index, 2);
    replica_rig_close();
}

TEST(a_message_does_not_overrule_the_tables_about_whose_a_handle_is)
{
    uint8_t leader[SH_NODE_ID_BYTES];
    replica_rig_open();
    replica_rig_open_core();
    replica_rig_receive(STRANGER,
                        replica_rig_heartbeat(5)); /* believed as long as nobody says otherwise */
    EXPECT(replica_leader(replica_rig.replica, leader));
    EXPECT_MEM(leader, STRANGER, SH_NODE_ID_BYTES);
    replica_learn(replica_rig.replica, 1, COORDINATOR);
    EXPECT(replica_leader(replica_rig.replica, leader));
    EXPECT_MEM(leader, COORDINATOR, SH_NODE_ID_BYTES);
    struct raft_msg later = replica_rig_heartbeat(5);
    later.term = 9;
    replica_rig_receive(STRANGER, later);
    EXPECT_EQ(replica_rig_status().raft.term, 3);
    replica_rig_receive(COORDINATOR, later);
    EXPECT_EQ(replica_rig_status().raft.term, 9);
    replica_rig_close();
}

TEST(damaged_messages_are_dropped)
{
    uint8_t bytes[256];
    replica_rig_open();
    replica_rig_open_core();
    struct raft_msg msg = replica_rig_heartbeat(5);
    size_t size = raft_msg_encode(&msg, bytes, sizeof bytes);
    for (size_t cut = 0; cut < size; cut++) {
        replica_receive(replica_rig.replica, sh_now_us(), STRANGER,
                        (struct sh_span){.at = bytes, .size = cut});
    }
    msg.from = 5;
    replica_rig_receive(STRANGER, msg);
    msg.from = 0;
    replica_rig_receive(STRANGER, msg);
    EXPECT(replica_is_dormant(replica_rig.replica));
    replica_rig_close();
}

/* A leader of two whose follower needs entries that only the disk holds: the read fails, and the
 * snapshot that is offered instead, and never fetched, must not leave it waiting for good. */
TEST(a_failed_log_read_leaves_a_follower_that_is_tried_again)
{
    uint8_t change[RAFT_CHANGE_BYTES_MAX];
    struct raft_conf_change add = {.count = 1, .changes = {{.type = RAFT_ADD_LEARNER, .id = 2}}};
    struct sh_writer w = sh_writer_over(change, sizeof change);
    raft_conf_change_encode(&add, &w);
    replica_rig_open();
    replica_rig_found();
    replica_rig_open_core();
    replica_rig_run_until_applied(2);
    EXPECT_EQ(replica_change(replica_rig.replica, sh_now_us(), &add), SH_OK);
    replica_rig_run_until_applied(3);
    replica_rig_close_core();
    replica_rig_open_core(); /* now the older entries are on disk only */
    replica_begin(replica_rig.replica, sh_now_us());
    replica_rig_run_until_applied(4);
    struct raft_msg behind = {.type = RAFT_MSG_APP_RESP,
                              .from = 2,
                              .to = 1,
                              .term = replica_rig_status().raft.term,
                              .index = 3,
                              .reject = true,
                              .hint = 1,
                              .log_term = 1};
    replica_rig_receive(STRANGER, behind);
    struct apply_event none = {.kind = APPLY_LOG};
    for (uint64_t request = 1; request < 8; request++) {
        none.request = request;
        replica_apply_event(replica_rig.replica, sh_now_us(), &none);
    }
    EXPECT_EQ(replica_rig_peer_state(), RAFT_SNAPSHOT);
    EXPECT(replica_deadline_us(replica_rig.replica) < UINT64_MAX);
    replica_tick(replica_rig.replica, sh_now_us() + REPLICA_OFFER_US);
    EXPECT(replica_rig_peer_state() != RAFT_SNAPSHOT);
    replica_rig_close();
}

/* A disk that takes its time: writes wait while the gate is shut. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t opened;
    bool shut;
    const struct kv_ops *plain;
    struct kv_ops ops;
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .opened = PTHREAD_COND_INITIALIZER};

static enum sh_err gated_write(struct kv *kv, const struct kv_batch *batch, bool sync)
{
    EXPECT_EQ(pthread_mutex_lock(&gate.lock), 0);
    while (gate.shut) {
        EXPECT_EQ(pthread_cond_wait(&gate.opened, &gate.lock), 0);
    }
    EXPECT_EQ(pthread_mutex_unlock(&gate.lock), 0);
    return gate.plain->write(kv, batch, sync);
}

static void shut_gate(bool shut)
{
    EXPECT_EQ(pthread_mutex_lock(&gate.lock), 0);
    gate.shut = shut;
    EXPECT_EQ(pthread_cond_broadcast(&gate.opened), 0);
    EXPECT_EQ(pthread_mutex_unlock(&gate.lock), 0);
}

static void open_slow_rig(void)
{
    replica_rig_open();
    gate.plain = replica_rig.kv->ops;
    gate.ops = *gate.plain;
    gate.ops.write = gated_write;
    replica_rig.kv->ops = &gate.ops;
    replica_rig_open_core();
}

/* Messages that left, or would have: the plane reaches nobody. */
static uint64_t sends(void)
{
    return link_plane_stats(link_plane_of(replica_rig.link, LINK_CONTROL)).unreachable;
}

TEST(what_a_follower_promises_leaves_only_when_its_disk_has_it)
{
    uint8_t payload[3] = {1, 2, 3};
    struct raft_entry entry = {.index = 1, .term = 3, .size = sizeof payload, .data = payload};
    struct raft_msg append = {
        .type = RAFT_MSG_APP, .from = 1, .to = 5, .term = 3, .entries = &entry, .entry_count = 1};
    struct disk_done done;
    open_slow_rig();
    replica_rig_receive(COORDINATOR, replica_rig_heartbeat(5));
    EXPECT(queue_wait(disk_done_queue(replica_rig.disk), &done, 10 * SECOND)); /* of its term */
    replica_disk_done(replica_rig.replica, sh_now_us(), &done);
    shut_gate(true);
    uint64_t before = sends();
    replica_rig_receive(COORDINATOR, append);
    EXPECT_EQ(replica_rig_status().raft.last_index, 1);
    EXPECT_EQ(sends(), before); /* the acknowledgement waits */
    replica_rig_receive(COORDINATOR, replica_rig_heartbeat(5));
    EXPECT_EQ(sends(), before + 1); /* an answer that promises nothing does not */
    shut_gate(false);
    EXPECT(queue_wait(disk_done_queue(replica_rig.disk), &done, 10 * SECOND));
    replica_disk_done(replica_rig.replica, sh_now_us(), &done);
    EXPECT_EQ(sends(), before + 2);
    replica_rig_close();
}

TEST(a_peer_that_counts_up_its_term_does_not_fill_the_queue_of_a_slow_disk)
{
    open_slow_rig();
    replica_rig_receive(COORDINATOR, replica_rig_heartbeat(5));
    shut_gate(true);
    for (uint64_t term = 4; term < 4 + 2 * DISK_QUEUE_MAX; term++) {
        struct raft_msg later = replica_rig_heartbeat(5);
        later.term = term;
        replica_rig_receive(COORDINATOR, later);
    }
    uint64_t reached = replica_rig_status().raft.term;
    EXPECT(reached > 1000);
    shut_gate(false);
    struct disk_done done;
    while (disk_waiting(replica_rig.disk) > 0 ||
           queue_count(disk_done_queue(replica_rig.disk)) > 0) {
        EXPECT(queue_wait(disk_done_queue(replica_rig.disk), &done, 10 * SECOND));
        replica_disk_done(replica_rig.replica, sh_now_us(), &done);
    }
    struct raft_msg later = replica_rig_heartbeat(5);
    later.term = 4 + 2 * DISK_QUEUE_MAX;
    replica_rig_receive(COORDINATOR, later); /* repeated, it is taken once there is room */
    EXPECT_EQ(replica_rig_status().raft.term, later.term);
    replica_rig_close();
}

TEST(handles_that_only_messages_name_make_room_for_those_of_the_tables)
{
    uint8_t leader[SH_NODE_ID_BYTES];
    replica_rig_open();
    replica_rig_open_core();
    for (uint64_t from = 100; from < 100 + 2 * SH_NODES_MAX; from++) {
        struct raft_msg msg = replica_rig_heartbeat(5);
        msg.from = from;
        replica_rig_receive(STRANGER, msg);
    }
    replica_learn(replica_rig.replica, 7, COORDINATOR);
    struct raft_msg later = replica_rig_heartbeat(5);
    later.from = 7;
    later.term = 9;
    replica_rig_receive(COORDINATOR, later);
    EXPECT(replica_leader(replica_rig.replica, leader));
    EXPECT_MEM(leader, COORDINATOR, SH_NODE_ID_BYTES);
    replica_rig_close();
}

/* The agent stops then (disk.h): here only that nothing is committed that is not on the disk. */
TEST(what_a_failing_disk_did_not_take_is_never_committed)
{
    uint8_t command[2048];
    struct disk_done done;
    struct pollfd fd;
    replica_rig_open();
    replica_rig_found();
    replica_rig_open_core();
    replica_rig_run_until_applied(2);
    kv_mem_fail(replica_rig.kv, 1, SH_ERR_NO_SPACE, true);
    size_t size = replica_rig_admit(command, sizeof command);
    struct sh_span sealed = {.at = command, .size = size};
    EXPECT_EQ(replica_propose(replica_rig.replica, sh_now_us(), sealed, 1, false), SH_OK);
    replica_flush(replica_rig.replica, sh_now_us());
    fd = (struct pollfd){.fd = queue_fd(disk_done_queue(replica_rig.disk)), .events = POLLIN};
    EXPECT_EQ(poll(&fd, 1, 10000), 1);
    EXPECT(queue_pop(disk_done_queue(replica_rig.disk), &done));
    EXPECT_EQ(done.err, SH_ERR_NO_SPACE);
    EXPECT_EQ(done.token, 0);
    EXPECT_EQ(replica_rig_status().raft.commit, 2);
    EXPECT_EQ(replica_propose(replica_rig.replica, sh_now_us(), sealed, 2, false), SH_OK);
    replica_flush(replica_rig.replica, sh_now_us());
    EXPECT_EQ(poll(&fd, 1, 100), 0); /* told once, and nothing more is written */
    EXPECT_EQ(replica_rig_status().raft.commit, 2);
    replica_rig_close();
}
