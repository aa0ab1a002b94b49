/* SPDX-License-Identifier: Apache-2.0 */
#include "replica_rig.h"

#include "base/host/host.h"
#include "jobs/view.h"
#include "tst.h"

#include <pthread.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND UINT64_C(1000000)

const struct kv_cf REPLICA_RIG_CFS[RIG_CFS] = {
    {"meta", KV_CF_SMALL}, {"log", KV_CF_SMALL}, {"fsm", KV_CF_ROWS}};

const uint8_t COORDINATOR[SH_NODE_ID_BYTES] = {200};
const uint8_t STRANGER[SH_NODE_ID_BYTES] = {201};

struct replica_rig replica_rig;
struct replica_remote replica_remote;

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
    replica_rig.changes++;
}

static void on_read(void *ctx, const struct raft_read *read)
{
    (void)ctx;
    replica_rig.read = *read;
}

static void open_wire(void)
{
    static const uint8_t seed[TRUST_KEY_BYTES] = {3};
    char why[LINK_TEXT_MAX + 1];
    struct trust_secret secret = {{9}};
    struct link_options options = {.trust = &replica_rig.trust};
    trust_ephemeral(&replica_rig.trust, &secret, seed, 1);
    for (size_t i = 0; i < LINK_PLANES; i++) {
        EXPECT_EQ(link_addr_parse("127.0.0.1:0", 0, &options.listen[i]), SH_OK);
    }
    EXPECT_EQ(link_open(&options, &replica_rig.link, why), SH_OK);
}

static bool quiet(void *ctx)
{
    (void)ctx;
    return apply_await_held(replica_rig.apply);
}

/* Around what the remote's workers answer: the one that asked may be gone by then. */
static pthread_mutex_t answers = PTHREAD_MUTEX_INITIALIZER;

/* A coordinator that answers with a stream of its own store. */
enum sh_err replica_rig_post(void *ctx, enum calls_plane plane,
                             const uint8_t node[SH_NODE_ID_BYTES], enum calls_frame frame,
                             const void *bytes, size_t size)
{
    struct sh_span span = {.at = bytes, .size = size};
    if (ctx != &replica_rig) {
        (void)pthread_mutex_lock(&answers);
        if (replica_rig.calls != NULL) {
            calls_receive(replica_rig.calls, plane, COORDINATOR, frame, span);
        }
        (void)pthread_mutex_unlock(&answers);
    } else if (replica_remote.calls != NULL) {
        calls_receive(replica_remote.calls, plane, replica_rig.trust.node, frame, span);
    } else if (frame == CALLS_REQUEST) {
        calls_peer_down(replica_rig.calls, plane, node);
    }
    return SH_OK;
}

static void open_snapshots(void)
{
    struct calls_config calls = {.post = replica_rig_post, .ctx = &replica_rig};
    struct snapshots_config snapshots = {
        .fsm = replica_rig.fsm, .schema = JOBS_SCHEMA, .quiet = quiet};
    memcpy(calls.me, replica_rig.trust.node, SH_NODE_ID_BYTES);
    memcpy(snapshots.me, replica_rig.trust.node, SH_NODE_ID_BYTES);
    (void)pthread_mutex_lock(&answers);
    EXPECT_EQ(calls_open(&replica_rig.calls, &calls), SH_OK);
    (void)pthread_mutex_unlock(&answers);
    snapshots.calls = replica_rig.calls;
    EXPECT_EQ(snapshots_open(&replica_rig.snapshots, &snapshots), SH_OK);
}

void replica_rig_open_core(void)
{
    EXPECT_EQ(wal_open(replica_rig.kv, CF_LOG, CF_META, &replica_rig.boot, &replica_rig.wal),
              SH_OK);
    EXPECT_EQ(fsm_open(replica_rig.kv, CF_FSM, NULL, &replica_rig.fsm, &replica_rig.applied),
              SH_OK);
    struct proposals_config proposals = {.ctx = NULL}; /* none is begun */
    EXPECT_EQ(proposals_open(&proposals, &replica_rig.proposals), SH_OK);
    EXPECT_EQ(disk_open(&replica_rig.disk, replica_rig.wal), SH_OK);
    struct apply_config apply = {.wal = replica_rig.wal,
                                 .fsm = replica_rig.fsm,
                                 .proposals = replica_rig.proposals,
                                 .applied = replica_rig.applied.index,
                                 .on_applied = on_applied};
    EXPECT_EQ(apply_open(&replica_rig.apply, &apply), SH_OK);
    open_snapshots();
    struct replica_config config = {.control = link_plane_of(replica_rig.link, LINK_CONTROL),
                                    .wal = replica_rig.wal,
                                    .disk = replica_rig.disk,
                                    .apply = replica_rig.apply,
                                    .snapshots = replica_rig.snapshots,
                                    .log_entries = LOG_ENTRIES,
                                    .boot = &replica_rig.boot,
                                    .applied = &replica_rig.applied,
                                    .on_change = on_change,
                                    .on_read = on_read};
    memcpy(config.me, replica_rig.trust.node, SH_NODE_ID_BYTES);
    EXPECT_EQ(replica_open(&replica_rig.replica, &config, sh_now_us()), SH_OK);
    EXPECT_EQ(apply_start(replica_rig.apply), SH_OK);
    EXPECT_EQ(snapshots_start(replica_rig.snapshots), SH_OK);
}

void replica_rig_close_core(void)
{
    calls_stop(replica_rig.calls);
    snapshots_stop(replica_rig.snapshots);
    apply_stop(replica_rig.apply);
    disk_stop(replica_rig.disk);
    replica_close(replica_rig.replica);
    apply_close(replica_rig.apply);
    disk_close(replica_rig.disk);
    snapshots_close(replica_rig.snapshots);
    (void)pthread_mutex_lock(&answers);
    calls_close(replica_rig.calls);
    replica_rig.calls = NULL;
    (void)pthread_mutex_unlock(&answers);
    proposals_stop(replica_rig.proposals);
    proposals_close(replica_rig.proposals);
    fsm_close(replica_rig.fsm);
    wal_close(replica_rig.wal);
}

void replica_rig_open(void)
{
    sh_host_init();
    EXPECT_EQ(kv_mem_open(REPLICA_RIG_CFS, RIG_CFS, &replica_rig.kv), SH_OK);
    open_wire();
}

void replica_rig_close(void)
{
    replica_rig_close_core();
    link_close(replica_rig.link, 0);
    kv_close(replica_rig.kv);
}

/* A store whose log makes handle 1, this agent, the only voter. */
void replica_rig_found(void)
{
    uint8_t change[RAFT_CHANGE_BYTES_MAX];
    struct raft_conf_change founder = {.count = 1, .changes = {{.type = RAFT_ADD_VOTER, .id = 1}}};
    struct sh_writer w = sh_writer_over(change, sizeof change);
    raft_conf_change_encode(&founder, &w);
    struct wal_entry e = {
        .index = 1, .term = 1, .type = RAFT_ENTRY_CONF, .bytes = {.at = change, .size = w.used}};
    struct wal_hard hard = {.term = 1, .vote = 1, .commit = 1};
    struct wal_identity identity = {.handle = 1};
    EXPECT_EQ(wal_open(replica_rig.kv, CF_LOG, CF_META, &replica_rig.boot, &replica_rig.wal),
              SH_OK);
    EXPECT_EQ(wal_save(replica_rig.wal, &hard, &e, 1, true), SH_OK);
    EXPECT_EQ(wal_put_identity(replica_rig.wal, &identity), SH_OK);
    wal_close(replica_rig.wal);
}

struct replica_status replica_rig_status(void)
{
    struct replica_status out;
    replica_publish(replica_rig.replica);
    replica_status(replica_rig.replica, &out);
    return out;
}

/* What the loop does, but for sockets, until the tables are at index. */
void replica_rig_run_until_applied(uint64_t index)
{
    uint64_t deadline = sh_now_us() + 10 * SECOND;
    while (replica_rig_status().raft.applied < index) {
        struct disk_done done;
        struct apply_event event;
        struct snapshots_event staged;
        struct pollfd fds[3] = {
            {.fd = queue_fd(disk_done_queue(replica_rig.disk)), .events = POLLIN},
            {.fd = queue_fd(apply_event_queue(replica_rig.apply)), .events = POLLIN},
            {.fd = queue_fd(snapshots_event_queue(replica_rig.snapshots)), .events = POLLIN}};
        uint64_t now = sh_now_us();
        EXPECT(now < deadline);
        while (queue_pop(disk_done_queue(replica_rig.disk), &done)) {
            EXPECT_EQ(done.err, SH_OK);
            replica_disk_done(replica_rig.replica, now, &done);
        }
        while (queue_pop(apply_event_queue(replica_rig.apply), &event)) {
            EXPECT(event.kind != APPLY_FAILED);
            replica_apply_event(replica_rig.replica, now, &event);
        }
        while (queue_pop(snapshots_event_queue(replica_rig.snapshots), &staged)) {
            replica_snapshot_event(replica_rig.replica, now, &staged);
        }
        replica_tick(replica_rig.replica, now);
        (void)poll(fds, 3, 20);
    }
}

enum raft_progress_state replica_rig_peer_state(void)
{
    struct replica_status s = replica_rig_status();
    for (uint32_t i = 0; i < s.raft.peer_count; i++) {
        if (s.raft.peers[i].id != s.raft.id) {
            return s.raft.peers[i].state;
        }
    }
    tst_fail(__FILE__, __LINE__, "no other member");
}

void replica_rig_receive(const uint8_t *node, struct raft_msg msg)
{
    uint8_t bytes[4096];
    size_t size = raft_msg_encode(&msg, bytes, sizeof bytes);
    EXPECT(size > 0);
    replica_receive(replica_rig.replica, sh_now_us(), node,
                    (struct sh_span){.at = bytes, .size = size});
}

struct raft_msg replica_rig_heartbeat(uint64_t to)
{
    return (struct raft_msg){.type = RAFT_MSG_HEARTBEAT, .from = 1, .to = to, .term = 3};
}

size_t replica_rig_admit(uint8_t *command, size_t capacity)
{
    struct jobs_cmd cmd = {.type = JOBS_NODE_ADMIT, .stamp_us = 5};
    struct sh_writer w = sh_writer_over(command, capacity);
    (void)snprintf(cmd.u.node_admit.name, sizeof cmd.u.node_admit.name, "first");
    (void)snprintf(cmd.u.node_admit.addr, sizeof cmd.u.node_admit.addr, "10.0.0.1:7711");
    EXPECT_EQ(jobs_cmd_encode(&cmd, &w), SH_OK);
    return w.used;
}
