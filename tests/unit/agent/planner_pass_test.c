/* SPDX-License-Identifier: Apache-2.0 */
#include "loop.h"
#include "parts.h"
#include "planner.h"

#include "base/host/host.h"
#include "jobs/view.h"
#include "store/kv_mem.h"
#include "tst.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A planner over tables in memory. Of the loop there is what the planner asks of it: it leads, and
 * what is proposed is applied at once. */

enum { AGENTS = 3 };
#define TERM    UINT64_C(4)
#define WAIT_US UINT64_C(20000000)

static struct {
    struct service s;
    struct kv *kv;
    void *memory;
    struct jobs *jobs;
    struct planner *planner;
    pthread_mutex_t lock; /* what follows, and the tables */
    pthread_cond_t changed;
    bool leads;
    uint64_t index;
    uint32_t refused; /* commands that the tables did not take */
    uint32_t told;    /* newcomers that were told why they are not admitted */
    uint8_t told_node[SH_NODE_ID_BYTES];
} rig;

static enum sh_err apply(const void *bytes, size_t size, struct jobs_result *result)
{
    uint8_t *copy = malloc(size);
    SH_CHECK(copy != NULL);
    memcpy(copy, bytes, size);
    SH_CHECK(pthread_mutex_lock(&rig.lock) == 0);
    SH_CHECK(jobs_cmd_stamp(copy, size, sh_wall_us()));
    rig.index++;
    struct jobs_entry entry = {
        .index = rig.index, .term = TERM, .bytes = {.at = copy, .size = size}};
    jobs_apply(rig.jobs, fsm_begin(rig.s.fsm), &entry, result);
    SH_CHECK(fsm_commit(rig.s.fsm, rig.index, TERM, 0, KV_ALL, false) == SH_OK);
    rig.refused += result->err == SH_OK ? 0 : 1;
    SH_CHECK(pthread_cond_broadcast(&rig.changed) == 0);
    SH_CHECK(pthread_mutex_unlock(&rig.lock) == 0);
    free(copy);
    return result->err;
}

enum sh_err loop_post_proposal(struct loop *loop, uint8_t *bytes, size_t size)
{
    struct jobs_result result;
    (void)loop;
    SH_MAY_FAIL(apply(bytes, size, &result)); /* counted */
    free(bytes);
    return SH_OK;
}

/* Nothing waits here so long that its log says why; waits_test.c looks at that. */
void service_log_append(struct service *s, uint64_t job, const struct service_log_line *lines,
                        size_t count)
{
    (void)s;
    (void)job;
    (void)lines;
    tst_fail(__FILE__, __LINE__, "%zu lines were said", count);
}

enum sh_err loop_send(struct loop *loop, const uint8_t node[SH_NODE_ID_BYTES], uint16_t type,
                      struct sh_span bytes)
{
    (void)loop;
    (void)bytes;
    SH_CHECK(pthread_mutex_lock(&rig.lock) == 0);
    if (type == FRAME_NOT_ADMITTED) {
        rig.told++;
        memcpy(rig.told_node, node, SH_NODE_ID_BYTES);
    }
    SH_CHECK(pthread_cond_broadcast(&rig.changed) == 0);
    SH_CHECK(pthread_mutex_unlock(&rig.lock) == 0);
    return SH_OK;
}

void loop_replica_status(struct loop *loop, struct replica_status *out)
{
    (void)loop;
    *out = (struct replica_status){0};
    SH_CHECK(pthread_mutex_lock(&rig.lock) == 0);
    out->raft.role = rig.leads ? RAFT_LEADER : RAFT_FOLLOWER;
    SH_CHECK(pthread_mutex_unlock(&rig.lock) == 0);
    out->raft.term = TERM;
    out->raft.id = 1000; /* no row has it: who votes is none of these tests' */
}

bool loop_is_leaving(struct loop *loop)
{
    (void)loop;
    return false;
}

void loop_post_transfer(struct loop *loop, uint64_t to)
{
    (void)loop;
    (void)to;
}

void loop_post_change(struct loop *loop, const struct raft_conf_change *change)
{
    (void)loop;
    (void)change;
}

static void say(uint8_t id, const char *name, enum service_liveness liveness)
{
    struct service_member m = {.liveness = liveness};
    memset(m.node.id, id, SH_NODE_ID_BYTES);
    (void)snprintf(m.node.name, sizeof m.node.name, "%s", name);
    (void)snprintf(m.node.addr, sizeof m.node.addr, "10.0.0.%u:7711", (unsigned)id);
    (void)snprintf(m.node.version, sizeof m.node.version, "%s", SHOAL_VERSION);
    m.node.bulk_port = 7712;
    m.node.cpus = 4;
    m.node.slots = 1;
    m.node.ram_bytes = UINT64_C(1) << 33;
    EXPECT_EQ(members_put(rig.s.members, &m), SH_OK);
    if (rig.planner != NULL) {
        planner_wake(rig.planner);
    }
}

static enum sh_err refuse_to_post(void *ctx, enum calls_plane plane,
                                  const uint8_t node[SH_NODE_ID_BYTES], enum calls_frame frame,
                                  const void *bytes, size_t size)
{
    (void)ctx;
    (void)plane;
    (void)node;
    (void)frame;
    (void)bytes;
    (void)size;
    return SH_ERR_UNREACHABLE;
}

static void open_rig(void)
{
    static const struct kv_cf CFS[] = {{"fsm", KV_CF_ROWS}};
    struct sh_arena arena;
    pthread_condattr_t attr;
    sh_host_init();
    memset(&rig, 0, sizeof rig);
    rig.leads = true;
    EXPECT_EQ(pthread_condattr_init(&attr), 0);
    EXPECT_EQ(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC), 0);
    EXPECT_EQ(pthread_cond_init(&rig.changed, &attr), 0);
    EXPECT_EQ(pthread_condattr_destroy(&attr), 0);
    EXPECT_EQ(pthread_mutex_init(&rig.lock, NULL), 0);
    EXPECT_EQ(kv_mem_open(CFS, SH_COUNT(CFS), &rig.kv), SH_OK);
    EXPECT_EQ(fsm_open(rig.kv, 0, NULL, &rig.s.fsm, NULL), SH_OK);
    size_t bytes = (jobs_bytes() + 63) / 64 * 64;
    rig.memory = aligned_alloc(64, bytes);
    EXPECT(rig.memory != NULL);
    sh_arena_init(&arena, rig.memory, bytes);
    rig.jobs = jobs_init(&arena);
    memset(rig.s.trust.node, 1, SH_NODE_ID_BYTES);
    struct calls_config calls = {.post = refuse_to_post};
    memset(calls.me, 1, SH_NODE_ID_BYTES);
    EXPECT_EQ(members_open(&rig.s.members, rig.s.trust.node), SH_OK);
    EXPECT_EQ(calls_open(&rig.s.calls, &calls), SH_OK);
    say(1, "alpha", SERVICE_ALIVE);
    EXPECT_EQ(planner_open(&rig.planner, &rig.s), SH_OK);
    EXPECT_EQ(planner_start(rig.planner), SH_OK);
    planner_wake(rig.planner);
}

static void close_rig(void)
{
    planner_stop(rig.planner);
    calls_stop(rig.s.calls);
    planner_close(rig.planner);
    calls_close(rig.s.calls);
    members_close(rig.s.members);
    fsm_close(rig.s.fsm);
    kv_close(rig.kv);
    free(rig.memory);
    EXPECT_EQ(pthread_cond_destroy(&rig.changed), 0);
    EXPECT_EQ(pthread_mutex_destroy(&rig.lock), 0);
}

/* Until holds says so of the tables; it runs under the lock. */
static void await(bool (*holds)(const struct sh_table *t, uint64_t what), uint64_t what)
{
    struct timespec until;
    struct fsm_view *view;
    bool held = false;
    int waited = 0;
    EXPECT_EQ(clock_gettime(CLOCK_MONOTONIC, &until), 0);
    until.tv_sec += (time_t)(WAIT_US / 1000000);
    EXPECT_EQ(pthread_mutex_lock(&rig.lock), 0);
    while (!held && waited == 0) {
        EXPECT_EQ(fsm_view_open(rig.s.fsm, &view), SH_OK);
        held = holds(fsm_view_table(view), what);
        fsm_view_close(view);
        if (!held) {
            waited = pthread_cond_timedwait(&rig.changed, &rig.lock, &until);
        }
    }
    EXPECT_EQ(pthread_mutex_unlock(&rig.lock), 0);
    EXPECT(held);
}

static bool is_admitted(const struct sh_table *t, uint64_t id)
{
    struct jobs_node node;
    uint8_t wanted[SH_NODE_ID_BYTES];
    memset(wanted, (int)id, sizeof wanted);
    return jobs_node_get(t, wanted, &node) == SH_OK;
}

static bool is_told(const struct sh_table *t, uint64_t id)
{
    (void)t;
    return rig.told > 0 && rig.told_node[0] == id;
}

static bool read_unit(const struct sh_table *t, uint64_t job, struct jobs_unit *unit)
{
    return jobs_unit_get(t, (struct wire_unit){.job = job}, unit) == SH_OK;
}

static bool is_running(const struct sh_table *t, uint64_t job)
{
    struct jobs_unit unit;
    return read_unit(t, job, &unit) && unit.state == JOBS_RUNNING;
}

static uint8_t holder; /* the only byte of the id of who ran the unit first */

static bool is_moved(const struct sh_table *t, uint64_t job)
{
    struct jobs_unit unit;
    return read_unit(t, job, &unit) && unit.state == JOBS_RUNNING &&
           unit.placement.members[0].node[0] != holder;
}

static uint64_t submit(const char *name, uint16_t cpus)
{
    static uint8_t bytes[JOBS_CMD_BYTES_MAX];
    struct jobs_result result;
    struct jobs_cmd cmd = {.type = JOBS_SUBMIT};
    struct jobs_submit *j = &cmd.u.submit;
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    j->kind = WIRE_KIND_NOOP;
    (void)snprintf(j->name, sizeof j->name, "%s", name);
    j->units = 1;
    j->priority = 50;
    j->retries = 3;
    j->checkpoint_keep = 1;
    j->need = (struct wire_need){.ranks = 1, .agents_min = 1, .agents_max = 1, .cpus = cpus};
    j->need.arithmetic = WIRE_ARITHMETIC_ANY;
    j->spec = (struct sh_span){.at = (const uint8_t *)"{}", .size = 2};
    EXPECT_EQ(jobs_cmd_encode(&cmd, &w), SH_OK);
    EXPECT_EQ(apply(bytes, w.used, &result), SH_OK);
    planner_wake(rig.planner);
    return result.unit.job;
}

TEST(a_coordinator_admits_whoever_gossip_knows_and_places_what_waits)
{
    open_rig();
    await(is_admitted, 1);
    say(2, "beta", SERVICE_ALIVE);
    await(is_admitted, 2);
    await(is_running, submit("job", 1));
    EXPECT_EQ(rig.refused, 0);
    close_rig();
}

TEST(a_name_that_is_taken_is_not_admitted_and_its_bearer_told)
{
    open_rig();
    await(is_admitted, 1);
    say(3, "alpha", SERVICE_ALIVE);
    await(is_told, 3);
    say(2, "beta", SERVICE_ALIVE);
    await(is_admitted, 2);
    struct fsm_view *view;
    EXPECT_EQ(fsm_view_open(rig.s.fsm, &view), SH_OK);
    EXPECT(!is_admitted(fsm_view_table(view), 3));
    fsm_view_close(view);
    close_rig();
}

TEST(the_work_of_a_dead_agent_goes_to_another_one)
{
    open_rig();
    say(2, "beta", SERVICE_ALIVE);
    await(is_admitted, 1);
    await(is_admitted, 2);
    uint64_t job = submit("job", 1);
    await(is_running, job);
    struct jobs_unit unit;
    struct fsm_view *view;
    EXPECT_EQ(fsm_view_open(rig.s.fsm, &view), SH_OK);
    EXPECT(read_unit(fsm_view_table(view), job, &unit));
    fsm_view_close(view);
    holder = unit.placement.members[0].node[0];
    say(holder, holder == 1 ? "alpha" : "beta", SERVICE_DEAD);
    await(is_moved, job);
    close_rig();
}

static size_t why(uint64_t job, char *out, size_t size)
{
    uint8_t request[8];
    size_t got = 0;
    struct sh_writer w = sh_writer_over(request, sizeof request);
    sh_put_u64(&w, job);
    EXPECT_EQ(calls_ask(rig.s.calls, CALLS_CONTROL, rig.s.trust.node, SERVICE_CALL_WHY, request,
                        w.used, (uint8_t *)out, size - 1, &got, WAIT_US),
              SH_OK);
    out[got] = '\0';
    return got;
}

TEST(a_job_that_nobody_can_run_waits_and_why_says_so)
{
    char text[2048] = "";
    open_rig();
    await(is_admitted, 1);
    uint64_t job = submit("large", 64);
    uint64_t second = submit("small", 1);
    await(is_running, second); /* a pass has looked at both */
    uint64_t deadline = sh_now_us() + WAIT_US;
    while (why(job, text, sizeof text) == 0 && sh_now_us() < deadline) {
        planner_wake(rig.planner);
    }
    EXPECT(strstr(text, "alpha: ") != NULL);
    EXPECT(strstr(text, "needs 64, has 4") != NULL);
    close_rig();
}

static bool is_waiting(const struct sh_table *t, uint64_t job)
{
    struct jobs_unit unit;
    return read_unit(t, job, &unit) && unit.state == JOBS_WAITING && unit.failures > 0;
}

TEST(a_unit_that_failed_waits_a_while_and_goes_elsewhere)
{
    static uint8_t bytes[JOBS_CMD_BYTES_MAX];
    char text[2048] = "";
    struct jobs_result result;
    struct jobs_unit unit;
    struct fsm_view *view;
    open_rig();
    say(2, "beta", SERVICE_ALIVE);
    await(is_admitted, 1);
    await(is_admitted, 2);
    uint64_t job = submit("job", 1);
    await(is_running, job);
    EXPECT_EQ(fsm_view_open(rig.s.fsm, &view), SH_OK);
    EXPECT(read_unit(fsm_view_table(view), job, &unit));
    fsm_view_close(view);
    holder = unit.placement.members[0].node[0];
    struct jobs_cmd cmd = {.type = JOBS_FAIL};
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    cmd.u.fail = (struct jobs_fail){
        .unit = unit.id, .fence = unit.placement.fence, .reason = SH_ERR_IO, .text = "exit 1"};
    EXPECT_EQ(jobs_cmd_encode(&cmd, &w), SH_OK);
    EXPECT_EQ(apply(bytes, w.used, &result), SH_OK);
    await(is_waiting, job);
    EXPECT(why(job, text, sizeof text) > 0);
    EXPECT(strstr(text, "the job: waits a while before it is tried again") != NULL);
    await(is_moved, job); /* half of JOBS_BACKOFF_US later, at the earliest */
    close_rig();
}
