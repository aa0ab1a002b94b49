/* SPDX-License-Identifier: Apache-2.0 */
#include "replica.h"

#include "base/host/host.h"
#include "jobs/view.h"
#include "store/kv_mem.h"
#include "store/kv_ops.h"
#include "tst.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND UINT64_C(1000000)

enum { LOG_ENTRIES = 16 };

static const struct kv_cf CFS[] = {
    {"meta", KV_CF_SMALL}, {"log", KV_CF_SMALL}, {"fsm", KV_CF_SMALL}};
enum { CF_META, CF_LOG, CF_FSM };

static const uint8_t COORDINATOR[SH_NODE_ID_BYTES] = {200};
static const uint8_t STRANGER[SH_NODE_ID_BYTES] = {201};

/* One replica over a store in memory and a real control plane that reaches nobody. */
static struct {
    struct kv *kv;
    struct trust trust;
    struct link *link;
    struct wal *wal;
    struct wal_boot boot;
    struct fsm *fsm;
    struct fsm_applied applied;
    struct proposals *proposals;
    struct disk *disk;
    struct apply *apply;
    struct calls *calls;
    struct snapshots *snapshots;
    struct replica *replica;
    unsigned changes;
    struct raft_read read; /* the newest answer */
} rig;

/* Somebody who has what this agent lacks. */
static struct {
    struct kv *kv;
    struct fsm *fsm;
    struct calls *calls;
    struct snapshots *snapshots;
} remote;

static void on_applied(void *ctx, uint64_t index, const struct jobs_result *results, uint32_t count)
{
    (void)ctx;
    (void)index;
    (void)results;
    (void)count;
}

static void on_change(void *ctx)
{
    (void)ctx;
    rig.changes++;
}

static void on_read(void *ctx, const struct raft_read *read)
{
    (void)ctx;
    rig.read = *read;
}

static void open_wire(void)
{
    static const uint8_t seed[TRUST_KEY_BYTES] = {3};
    char why[LINK_TEXT_MAX + 1];
    struct trust_secret secret = {{9}};
    struct link_options options = {.trust = &rig.trust};
    trust_ephemeral(&rig.trust, &secret, seed, 1);
    for (size_t i = 0; i < LINK_PLANES; i++) {
        EXPECT_EQ(link_addr_parse("127.0.0.1:0", 0, &options.listen[i]), SH_OK);
    }
    EXPECT_EQ(link_open(&options, &rig.link, why), SH_OK);
}

static bool quiet(void *ctx)
{
    (void)ctx;
    return apply_await_held(rig.apply);
}

/* A coordinator that answers with a stream of its own store. */
static enum sh_err post(void *ctx, enum calls_plane plane, const uint8_t node[SH_NODE_ID_BYTES],
                        enum calls_frame frame, const void *bytes, size_t size)
{
    struct calls *to = ctx == &rig ? remote.calls : rig.calls;
    const uint8_t *from = ctx == &rig ? rig.trust.node : COORDINATOR;
    (void)node;
    if (to != NULL) {
        calls_receive(to, plane, from, frame, (struct sh_span){.at = bytes, .size = size});
    } else if (frame == CALLS_REQUEST) {
        calls_peer_down(rig.calls, plane, node);
    }
    return SH_OK;
}

static void open_snapshots(void)
{
    struct calls_config calls = {.post = post, .ctx = &rig};
    struct snapshots_config snapshots = {.fsm = rig.fsm, .schema = JOBS_SCHEMA, .quiet = quiet};
    memcpy(calls.me, rig.trust.node, SH_NODE_ID_BYTES);
    memcpy(snapshots.me, rig.trust.node, SH_NODE_ID_BYTES);
    EXPECT_EQ(calls_open(&rig.calls, &calls), SH_OK);
    snapshots.calls = rig.calls;
    EXPECT_EQ(snapshots_open(&rig.snapshots, &snapshots), SH_OK);
}

static void open_core(void)
{
    EXPECT_EQ(wal_open(rig.kv, CF_LOG, CF_META, &rig.boot, &rig.wal), SH_OK);
    EXPECT_EQ(fsm_open(rig.kv, CF_FSM, NULL, &rig.fsm, &rig.applied), SH_OK);
    EXPECT_EQ(proposals_open(&rig.proposals), SH_OK);
    EXPECT_EQ(disk_open(&rig.disk, rig.wal), SH_OK);
    struct apply_config apply = {.wal = rig.wal,
                                 .fsm = rig.fsm,
                                 .proposals = rig.proposals,
                                 .applied = rig.applied.index,
                                 .on_applied = on_applied};
    memcpy(apply.me, rig.trust.node, SH_NODE_ID_BYTES);
    EXPECT_EQ(apply_open(&rig.apply, &apply), SH_OK);
    open_snapshots();
    struct replica_config config = {.control = link_plane_of(rig.link, LINK_CONTROL),
                                    .wal = rig.wal,
                                    .disk = rig.disk,
                                    .apply = rig.apply,
                                    .snapshots = rig.snapshots,
                                    .log_entries = LOG_ENTRIES,
                                    .boot = &rig.boot,
                                    .applied = &rig.applied,
                                    .on_change = on_change,
                                    .on_read = on_read};
    memcpy(config.me, rig.trust.node, SH_NODE_ID_BYTES);
    EXPECT_EQ(replica_open(&rig.replica, &config, sh_now_us()), SH_OK);
    EXPECT_EQ(apply_start(rig.apply), SH_OK);
    EXPECT_EQ(snapshots_start(rig.snapshots), SH_OK);
}

static void close_core(void)
{
    calls_stop(rig.calls);
    snapshots_stop(rig.snapshots);
    apply_stop(rig.apply);
    disk_stop(rig.disk);
    replica_close(rig.replica);
    apply_close(rig.apply);
    disk_close(rig.disk);
    snapshots_close(rig.snapshots);
    calls_close(rig.calls);
    proposals_close(rig.proposals);
    fsm_close(rig.fsm);
    wal_close(rig.wal);
}

static void open_rig(void)
{
    sh_host_init();
    EXPECT_EQ(kv_mem_open(CFS, SH_COUNT(CFS), &rig.kv), SH_OK);
    open_wire();
}

static void close_rig(void)
{
    close_core();
    link_close(rig.link, 0);
    kv_close(rig.kv);
}

/* A store whose log makes handle 1, this agent, the only voter. */
static void found(void)
{
    uint8_t change[RAFT_CHANGE_BYTES_MAX];
    struct raft_conf_change founder = {.count = 1, .changes = {{.type = RAFT_ADD_VOTER, .id = 1}}};
    struct sh_writer w = sh_writer_over(change, sizeof change);
    raft_conf_change_encode(&founder, &w);
    struct wal_entry e = {
        .index = 1, .term = 1, .type = RAFT_ENTRY_CONF, .bytes = {.at = change, .size = w.used}};
    struct wal_hard hard = {.term = 1, .vote = 1, .commit = 1};
    struct wal_identity identity = {.handle = 1};
    EXPECT_EQ(wal_open(rig.kv, CF_LOG, CF_META, &rig.boot, &rig.wal), SH_OK);
    EXPECT_EQ(wal_save(rig.wal, &hard, &e, 1, true), SH_OK);
    EXPECT_EQ(wal_put_identity(rig.wal, &identity), SH_OK);
    wal_close(rig.wal);
}

static struct replica_status status(void)
{
    struct replica_status out;
    replica_publish(rig.replica);
    replica_status(rig.replica, &out);
    return out;
}

/* What the loop does, but for sockets, until the tables are at index. */
static void run_until_applied(uint64_t index)
{
    uint64_t deadline = sh_now_us() + 10 * SECOND;
    while (status().raft.applied < index) {
        struct disk_done done;
        struct apply_event event;
        struct snapshots_event staged;
        struct pollfd fds[3] = {
            {.fd = queue_fd(disk_done_queue(rig.disk)), .events = POLLIN},
            {.fd = queue_fd(apply_event_queue(rig.apply)), .events = POLLIN},
            {.fd = queue_fd(snapshots_event_queue(rig.snapshots)), .events = POLLIN}};
        uint64_t now = sh_now_us();
        EXPECT(now < deadline);
        while (queue_pop(disk_done_queue(rig.disk), &done)) {
            EXPECT_EQ(done.err, SH_OK);
            replica_disk_done(rig.replica, now, &done);
        }
        while (queue_pop(apply_event_queue(rig.apply), &event)) {
            EXPECT(event.kind != APPLY_FAILED);
            replica_apply_event(rig.replica, now, &event);
        }
        while (queue_pop(snapshots_event_queue(rig.snapshots), &staged)) {
            replica_snapshot_event(rig.replica, now, &staged);
        }
        replica_tick(rig.replica, now);
        (void)poll(fds, 3, 20);
    }
}

static enum raft_progress_state peer_state(void)
{
    struct replica_status s = status();
    for (uint32_t i = 0; i < s.raft.peer_count; i++) {
        if (s.raft.peers[i].id != s.raft.id) {
            return s.raft.peers[i].state;
        }
    }
    tst_fail(__FILE__, __LINE__, "no other member");
}

static void receive(const uint8_t *node, struct raft_msg msg)
{
    uint8_t bytes[4096];
    size_t size = raft_msg_encode(&msg, bytes, sizeof bytes);
    EXPECT(size > 0);
    replica_receive(rig.replica, sh_now_us(), node, (struct sh_span){.at = bytes, .size = size});
}

static struct raft_msg heartbeat(uint64_t to)
{
    return (struct raft_msg){.type = RAFT_MSG_HEARTBEAT, .from = 1, .to = to, .term = 3};
}

static size_t seal_admit(uint8_t *envelope, size_t capacity)
{
    uint8_t command[1024];
    struct jobs_cmd cmd = {.type = JOBS_NODE_ADMIT, .stamp_us = 5};
    struct sh_writer w = sh_writer_over(command, sizeof command);
    (void)snprintf(cmd.u.node_admit.name, sizeof cmd.u.node_admit.name, "first");
    (void)snprintf(cmd.u.node_admit.addr, sizeof cmd.u.node_admit.addr, "10.0.0.1:7711");
    EXPECT_EQ(jobs_cmd_encode(&cmd, &w), SH_OK);
    EXPECT(PROPOSALS_ENVELOPE_HEAD + w.used <= capacity);
    proposals_seal(envelope, rig.trust.node, 0, command, w.used);
    return PROPOSALS_ENVELOPE_HEAD + w.used;
}

TEST(the_only_voter_leads_at_once_and_what_it_takes_reaches_the_tables)
{
    uint8_t envelope[2048];
    uint8_t leader[SH_NODE_ID_BYTES];
    open_rig();
    found();
    open_core();
    run_until_applied(2); /* its own membership, then the entry that begins its term */
    EXPECT(replica_leads(rig.replica));
    EXPECT(replica_leader(rig.replica, leader));
    EXPECT_MEM(leader, rig.trust.node, SH_NODE_ID_BYTES);
    EXPECT(rig.changes > 0);
    size_t size = seal_admit(envelope, sizeof envelope);
    struct sh_span sealed = {.at = envelope, .size = size};
    EXPECT_EQ(replica_propose(rig.replica, sh_now_us(), sealed, 1234), SH_OK);
    replica_flush(rig.replica, sh_now_us());
    run_until_applied(3);
    struct fsm_view *view = NULL;
    struct jobs_node node;
    EXPECT_EQ(fsm_view_open(rig.fsm, &view), SH_OK);
    EXPECT_EQ(jobs_node_by_name(fsm_view_table(view), "first", &node), SH_OK);
    EXPECT_EQ(node.admitted_us, 1234);
    fsm_view_close(view);
    close_rig();
}

TEST(a_coordinator_answers_a_read_with_its_commit_index_and_a_newcomer_with_a_refusal)
{
    open_rig();
    open_core();
    replica_read(rig.replica, sh_now_us(), 4);
    EXPECT_EQ(rig.read.ctx, 4);
    EXPECT_EQ(rig.read.err, SH_ERR_NOT_LEADER);
    close_core();
    found();
    open_core();
    run_until_applied(2);
    replica_read(rig.replica, sh_now_us(), 5);
    EXPECT_EQ(rig.read.ctx, 5);
    EXPECT_EQ(rig.read.err, SH_OK);
    EXPECT_EQ(rig.read.index, 2);
    close_rig();
}

TEST(a_restarted_voter_goes_on_with_its_log)
{
    uint8_t envelope[2048];
    open_rig();
    found();
    open_core();
    run_until_applied(2);
    size_t size = seal_admit(envelope, sizeof envelope);
    struct sh_span sealed = {.at = envelope, .size = size};
    EXPECT_EQ(replica_propose(rig.replica, sh_now_us(), sealed, 1), SH_OK);
    replica_flush(rig.replica, sh_now_us());
    run_until_applied(3);
    close_core();
    kv_mem_crash(rig.kv, 0);
    open_core();
    replica_begin(rig.replica, sh_now_us());
    run_until_applied(4);
    EXPECT(replica_leads(rig.replica));
    EXPECT_EQ(status().raft.term, 3);
    close_rig();
}

TEST(the_log_takes_only_commands_that_this_program_understands)
{
    uint8_t envelope[2048];
    uint8_t bytes[2048];
    open_rig();
    found();
    open_core();
    run_until_applied(2);
    size_t size = seal_admit(envelope, sizeof envelope);
    for (size_t cut = 0; cut < size; cut++) {
        struct sh_span part = {.at = bytes, .size = cut};
        memcpy(bytes, envelope, size);
        EXPECT(replica_propose(rig.replica, sh_now_us(), part, 1) != SH_OK);
    }
    struct sh_span whole = {.at = bytes, .size = size};
    memcpy(bytes, envelope, size);
    bytes[0] = 2; /* envelope of a later program */
    EXPECT_EQ(replica_propose(rig.replica, sh_now_us(), whole, 1), SH_ERR_INVALID);
    memcpy(bytes, envelope, size);
    bytes[PROPOSALS_ENVELOPE_HEAD + 1] = 200; /* command of a later program */
    EXPECT_EQ(replica_propose(rig.replica, sh_now_us(), whole, 1), SH_ERR_VERSION);
    replica_flush(rig.replica, sh_now_us());
    EXPECT_EQ(status().raft.last_index, 2);
    close_rig();
}

TEST(commands_of_one_turn_are_one_proposal_however_many)
{
    uint8_t envelope[2048];
    open_rig();
    found();
    open_core();
    run_until_applied(2);
    size_t size = seal_admit(envelope, sizeof envelope);
    struct sh_span sealed = {.at = envelope, .size = size};
    for (uint32_t i = 0; i < REPLICA_BATCH_ENTRIES; i++) {
        EXPECT_EQ(replica_propose(rig.replica, sh_now_us(), sealed, i + 1), SH_OK);
    }
    EXPECT_EQ(status().raft.last_index, 2);
    EXPECT_EQ(replica_propose(rig.replica, sh_now_us(), sealed, 1), SH_OK);
    EXPECT_EQ(status().raft.last_index, 2 + REPLICA_BATCH_ENTRIES);
    replica_flush(rig.replica, sh_now_us());
    EXPECT_EQ(status().raft.last_index, 3 + REPLICA_BATCH_ENTRIES);
    run_until_applied(3 + REPLICA_BATCH_ENTRIES);
    close_rig();
}

TEST(a_newcomer_keeps_the_handle_that_a_coordinator_calls_it_by)
{
    open_rig();
    open_core();
    EXPECT(replica_is_dormant(rig.replica));
    EXPECT(status().dormant);
    EXPECT_EQ(replica_deadline_us(rig.replica), UINT64_MAX);
    struct raft_msg vote = heartbeat(5);
    vote.type = RAFT_MSG_VOTE;
    receive(STRANGER, vote); /* only a coordinator knows who was admitted */
    EXPECT(replica_is_dormant(rig.replica));
    receive(COORDINATOR, heartbeat(5));
    EXPECT(!replica_is_dormant(rig.replica));
    EXPECT_EQ(status().raft.id, 5);
    EXPECT_EQ(status().raft.term, 3);
    receive(COORDINATOR, heartbeat(6)); /* meant for somebody else */
    EXPECT_EQ(status().raft.id, 5);
    close_core();
    kv_mem_crash(rig.kv, 0);
    EXPECT_EQ(wal_open(rig.kv, CF_LOG, CF_META, &rig.boot, &rig.wal), SH_OK);
    EXPECT_EQ(rig.boot.identity.handle, 5);
    wal_close(rig.wal);
    open_core();
    close_rig();
}

TEST(a_handle_that_cannot_be_kept_stops_the_agent)
{
    open_rig();
    open_core();
    EXPECT_EQ(replica_failure(rig.replica), SH_OK);
    kv_mem_fail(rig.kv, 1, SH_ERR_NO_SPACE, false);
    receive(COORDINATOR, heartbeat(5));
    EXPECT_EQ(replica_failure(rig.replica), SH_ERR_NO_SPACE);
    EXPECT(replica_is_dormant(rig.replica));
    receive(COORDINATOR, heartbeat(5));
    EXPECT(replica_is_dormant(rig.replica));
    close_rig();
}

TEST(snapshots_and_proposals_of_peers_are_not_taken)
{
    uint8_t garbage[3] = {9, 9, 9};
    struct raft_entry entry = {.size = sizeof garbage, .data = garbage};
    open_rig();
    found();
    open_core();
    run_until_applied(2);
    struct raft_msg snap = {.type = RAFT_MSG_SNAP, .from = 2, .to = 1, .term = 9};
    snap.snapshot =
        (struct raft_snapshot){.index = 100, .term = 9, .conf = {.voters = {2}, .voter_count = 1}};
    receive(STRANGER, snap);
    struct raft_msg prop = {
        .type = RAFT_MSG_PROP, .from = 2, .to = 1, .entry_count = 1, .entries = &entry};
    receive(STRANGER, prop);
    EXPECT(replica_leads(rig.replica));
    EXPECT_EQ(status().raft.last_index, 2);
    close_rig();
}

TEST(a_message_does_not_overrule_the_tables_about_whose_a_handle_is)
{
    uint8_t leader[SH_NODE_ID_BYTES];
    open_rig();
    open_core();
    receive(STRANGER, heartbeat(5)); /* believed as long as nobody says otherwise */
    EXPECT(replica_leader(rig.replica, leader));
    EXPECT_MEM(leader, STRANGER, SH_NODE_ID_BYTES);
    replica_learn(rig.replica, 1, COORDINATOR);
    EXPECT(replica_leader(rig.replica, leader));
    EXPECT_MEM(leader, COORDINATOR, SH_NODE_ID_BYTES);
    struct raft_msg later = heartbeat(5);
    later.term = 9;
    receive(STRANGER, later);
    EXPECT_EQ(status().raft.term, 3);
    receive(COORDINATOR, later);
    EXPECT_EQ(status().raft.term, 9);
    close_rig();
}

TEST(damaged_messages_are_dropped)
{
    uint8_t bytes[256];
    open_rig();
    open_core();
    struct raft_msg msg = heartbeat(5);
    size_t size = raft_msg_encode(&msg, bytes, sizeof bytes);
    for (size_t cut = 0; cut < size; cut++) {
        replica_receive(rig.replica, sh_now_us(), STRANGER,
                        (struct sh_span){.at = bytes, .size = cut});
    }
    msg.from = 5;
    receive(STRANGER, msg);
    msg.from = 0;
    receive(STRANGER, msg);
    EXPECT(replica_is_dormant(rig.replica));
    close_rig();
}

/* A leader of two whose follower needs entries that only the disk holds: the read fails, and the
 * snapshot that is offered instead, and never fetched, must not leave it waiting for good. */
TEST(a_failed_log_read_leaves_a_follower_that_is_tried_again)
{
    uint8_t change[RAFT_CHANGE_BYTES_MAX];
    struct raft_conf_change add = {.count = 1, .changes = {{.type = RAFT_ADD_LEARNER, .id = 2}}};
    struct sh_writer w = sh_writer_over(change, sizeof change);
    raft_conf_change_encode(&add, &w);
    open_rig();
    found();
    open_core();
    run_until_applied(2);
    EXPECT_EQ(replica_change(rig.replica, sh_now_us(), &add), SH_OK);
    run_until_applied(3);
    close_core();
    open_core(); /* now the older entries are on disk only */
    replica_begin(rig.replica, sh_now_us());
    run_until_applied(4);
    struct raft_msg behind = {.type = RAFT_MSG_APP_RESP,
                              .from = 2,
                              .to = 1,
                              .term = status().raft.term,
                              .index = 3,
                              .reject = true,
                              .hint = 1,
                              .log_term = 1};
    receive(STRANGER, behind);
    struct apply_event none = {.kind = APPLY_LOG};
    for (uint64_t request = 1; request < 8; request++) {
        none.request = request;
        replica_apply_event(rig.replica, sh_now_us(), &none);
    }
    EXPECT_EQ(peer_state(), RAFT_SNAPSHOT);
    EXPECT(replica_deadline_us(rig.replica) < UINT64_MAX);
    replica_tick(rig.replica, sh_now_us() + REPLICA_OFFER_US);
    EXPECT(peer_state() != RAFT_SNAPSHOT);
    close_rig();
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
    open_rig();
    gate.plain = rig.kv->ops;
    gate.ops = *gate.plain;
    gate.ops.write = gated_write;
    rig.kv->ops = &gate.ops;
    open_core();
}

/* Messages that left, or would have: the plane reaches nobody. */
static uint64_t sends(void)
{
    return link_plane_stats(link_plane_of(rig.link, LINK_CONTROL)).unreachable;
}

TEST(what_a_follower_promises_leaves_only_when_its_disk_has_it)
{
    uint8_t payload[3] = {1, 2, 3};
    struct raft_entry entry = {.index = 1, .term = 3, .size = sizeof payload, .data = payload};
    struct raft_msg append = {
        .type = RAFT_MSG_APP, .from = 1, .to = 5, .term = 3, .entries = &entry, .entry_count = 1};
    struct disk_done done;
    open_slow_rig();
    receive(COORDINATOR, heartbeat(5));
    EXPECT(queue_wait(disk_done_queue(rig.disk), &done, 10 * SECOND)); /* of its term */
    replica_disk_done(rig.replica, sh_now_us(), &done);
    shut_gate(true);
    uint64_t before = sends();
    receive(COORDINATOR, append);
    EXPECT_EQ(status().raft.last_index, 1);
    EXPECT_EQ(sends(), before); /* the acknowledgement waits */
    receive(COORDINATOR, heartbeat(5));
    EXPECT_EQ(sends(), before + 1); /* an answer that promises nothing does not */
    shut_gate(false);
    EXPECT(queue_wait(disk_done_queue(rig.disk), &done, 10 * SECOND));
    replica_disk_done(rig.replica, sh_now_us(), &done);
    EXPECT_EQ(sends(), before + 2);
    close_rig();
}

TEST(a_peer_that_counts_up_its_term_does_not_fill_the_queue_of_a_slow_disk)
{
    open_slow_rig();
    receive(COORDINATOR, heartbeat(5));
    shut_gate(true);
    for (uint64_t term = 4; term < 4 + 2 * DISK_QUEUE_MAX; term++) {
        struct raft_msg later = heartbeat(5);
        later.term = term;
        receive(COORDINATOR, later);
    }
    uint64_t reached = status().raft.term;
    EXPECT(reached > 1000);
    shut_gate(false);
    struct disk_done done;
    while (disk_waiting(rig.disk) > 0 || queue_count(disk_done_queue(rig.disk)) > 0) {
        EXPECT(queue_wait(disk_done_queue(rig.disk), &done, 10 * SECOND));
        replica_disk_done(rig.replica, sh_now_us(), &done);
    }
    struct raft_msg later = heartbeat(5);
    later.term = 4 + 2 * DISK_QUEUE_MAX;
    receive(COORDINATOR, later); /* repeated, it is taken once there is room */
    EXPECT_EQ(status().raft.term, later.term);
    close_rig();
}

TEST(handles_that_only_messages_name_make_room_for_those_of_the_tables)
{
    uint8_t leader[SH_NODE_ID_BYTES];
    open_rig();
    open_core();
    for (uint64_t from = 100; from < 100 + 2 * SH_NODES_MAX; from++) {
        struct raft_msg msg = heartbeat(5);
        msg.from = from;
        receive(STRANGER, msg);
    }
    replica_learn(rig.replica, 7, COORDINATOR);
    struct raft_msg later = heartbeat(5);
    later.from = 7;
    later.term = 9;
    receive(COORDINATOR, later);
    EXPECT(replica_leader(rig.replica, leader));
    EXPECT_MEM(leader, COORDINATOR, SH_NODE_ID_BYTES);
    close_rig();
}

/* ---- compaction and snapshots ---- */

static void admit_many(uint64_t first, uint64_t count)
{
    uint8_t envelope[2048];
    for (uint64_t i = first; i < first + count; i++) {
        size_t size = seal_admit(envelope, sizeof envelope);
        struct sh_span sealed = {.at = envelope, .size = size};
        EXPECT_EQ(replica_propose(rig.replica, sh_now_us(), sealed, i), SH_OK);
        replica_flush(rig.replica, sh_now_us());
        run_until_applied(i);
    }
}

TEST(a_log_keeps_one_to_two_stretches_and_goes_on_after_a_crash)
{
    open_rig();
    found();
    open_core();
    run_until_applied(2);
    for (uint64_t next = 3; next < 200; next += 10) {
        admit_many(next, 10);
        struct replica_status s = status();
        EXPECT(s.raft.last_index + 1 - s.raft.first_index <= 2 * LOG_ENTRIES + 2);
        EXPECT(s.raft.first_index == 1 || s.raft.last_index - s.raft.first_index >= LOG_ENTRIES);
    }
    close_core();
    kv_mem_crash(rig.kv, 0);
    open_core();
    EXPECT(rig.boot.compacted_index > 100);
    EXPECT(rig.boot.last_index - rig.boot.compacted_index <= 2 * LOG_ENTRIES + 2);
    replica_begin(rig.replica, sh_now_us());
    run_until_applied(rig.boot.last_index + 1);
    EXPECT(replica_leads(rig.replica));
    close_rig();
}

enum { REMOTE_INDEX = 50, REMOTE_NODES = 40 };

/* Tables as of index 50, where agent 5 (this one) learns from voter 1. */
static void open_remote(void)
{
    uint8_t conf_bytes[RAFT_CONF_BYTES_MAX];
    struct raft_conf conf = {.voter_count = 1, .voters = {1}, .learner_count = 1, .learners = {5}};
    struct sh_writer w = sh_writer_over(conf_bytes, sizeof conf_bytes);
    struct calls_config calls = {.post = post, .ctx = &remote};
    struct snapshots_config snapshots = {.schema = JOBS_SCHEMA};
    raft_conf_encode(&conf, &w);
    EXPECT_EQ(kv_mem_open(CFS, SH_COUNT(CFS), &remote.kv), SH_OK);
    EXPECT_EQ(fsm_open(remote.kv, CF_FSM, NULL, &remote.fsm, NULL), SH_OK);
    const struct sh_table *t = fsm_begin(remote.fsm);
    for (uint8_t i = 0; i < REMOTE_NODES; i++) {
        static uint8_t value[60000];
        t->put(t->ctx, KV_SPAN(&i, 1), KV_SPAN(value, sizeof value));
    }
    EXPECT_EQ(fsm_commit(remote.fsm, REMOTE_INDEX, 2, 4, KV_SPAN(conf_bytes, w.used), true), SH_OK);
    memcpy(calls.me, COORDINATOR, SH_NODE_ID_BYTES);
    memcpy(snapshots.me, COORDINATOR, SH_NODE_ID_BYTES);
    EXPECT_EQ(calls_open(&remote.calls, &calls), SH_OK);
    snapshots.fsm = remote.fsm;
    snapshots.calls = remote.calls;
    EXPECT_EQ(snapshots_open(&remote.snapshots, &snapshots), SH_OK);
}

static void close_remote(void)
{
    calls_stop(remote.calls);
    snapshots_close(remote.snapshots);
    calls_close(remote.calls);
    fsm_close(remote.fsm);
    kv_close(remote.kv);
}

static void offer(void)
{
    receive(COORDINATOR, (struct raft_msg){.type = RAFT_MSG_SNAP,
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
    EXPECT_EQ(fsm_view_open(rig.fsm, &view), SH_OK);
    const struct sh_table *t = fsm_view_table(view);
    for (uint8_t i = 0; i < REMOTE_NODES; i++) {
        rows += t->get(t->ctx, KV_SPAN(&i, 1), &value) ? 1 : 0;
    }
    fsm_view_close(view);
    return rows;
}

TEST(a_newcomer_behind_the_log_takes_the_coordinators_snapshot)
{
    open_rig();
    open_remote();
    open_core();
    offer(); /* which also says which handle it has */
    receive(COORDINATOR, heartbeat(5));
    run_until_applied(REMOTE_INDEX);
    EXPECT_EQ(rows_in_tables(), REMOTE_NODES);
    struct replica_status s = status();
    EXPECT_EQ(s.snapshots, 1);
    EXPECT_EQ(s.raft.first_index, REMOTE_INDEX + 1);
    EXPECT_EQ(s.raft.conf.learners[0], 5);
    close_core();
    kv_mem_crash(rig.kv, 0);
    open_core();
    EXPECT_EQ(rig.boot.compacted_index, REMOTE_INDEX);
    EXPECT_EQ(rig.boot.compacted_term, 2);
    EXPECT_EQ(rig.applied.index, REMOTE_INDEX);
    EXPECT_EQ(rig.applied.conf_index, 4);
    EXPECT_EQ(rows_in_tables(), REMOTE_NODES);
    close_rig();
    close_remote();
}

TEST(a_snapshot_that_was_fetched_waits_for_a_coordinator_and_is_dropped_after_a_while)
{
    struct pollfd fd;
    struct snapshots_event event;
    open_rig();
    open_remote();
    open_core();
    offer();
    fd = (struct pollfd){.fd = queue_fd(snapshots_event_queue(rig.snapshots)), .events = POLLIN};
    EXPECT_EQ(poll(&fd, 1, 10000), 1);
    EXPECT(queue_pop(snapshots_event_queue(rig.snapshots), &event));
    uint64_t now = sh_now_us();
    replica_snapshot_event(rig.replica, now, &event); /* no heartbeat was heard: nobody leads */
    EXPECT_EQ(status().raft.applied, 0);
    EXPECT(replica_deadline_us(rig.replica) <= now + REPLICA_STAGED_US);
    replica_tick(rig.replica, now + REPLICA_STAGED_US);
    EXPECT_EQ(status().raft.applied, 0);
    receive(COORDINATOR, heartbeat(5));
    do { /* and from the beginning, as soon as the rows of the first one are deleted */
        offer();
    } while (poll(&fd, 1, 20) == 0 && sh_now_us() < now + 10 * SECOND);
    run_until_applied(REMOTE_INDEX);
    EXPECT_EQ(rows_in_tables(), REMOTE_NODES);
    close_rig();
    close_remote();
}

TEST(ending_while_a_snapshot_is_fetched_leaves_the_old_tables)
{
    open_rig();
    open_remote();
    open_core();
    offer();
    close_core();
    kv_mem_crash(rig.kv, UINT32_MAX);
    open_core();
    EXPECT_EQ(rig.applied.index, 0);
    EXPECT_EQ(rows_in_tables(), 0);
    close_rig();
    close_remote();
}
