/* SPDX-License-Identifier: Apache-2.0 */
#include "proposals.h"

#include "base/host/host.h"
#include "tst.h"

#include <pthread.h>
#include <stdlib.h>

#define LONG_US UINT64_C(60000000)

#define SESSION 77u

/* Where commands are sent to: keeps the number of the newest and how many there were. */
static struct {
    struct proposals *p;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned sent;
    size_t size; /* of what is proposed */
    uint8_t command[128];
    uint64_t number;
    enum sh_err answer;
} rig = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static enum sh_err on_send(void *ctx, uint8_t *command, size_t size)
{
    struct jobs_cmd cmd;
    EXPECT(ctx == &rig);
    EXPECT_EQ(jobs_cmd_decode(command, size, &cmd), SH_OK);
    EXPECT_EQ(cmd.session, SESSION);
    EXPECT_EQ(cmd.u.stop.job, 5);
    (void)pthread_mutex_lock(&rig.lock);
    enum sh_err answer = rig.answer;
    rig.sent++;
    rig.number = cmd.number;
    (void)pthread_cond_broadcast(&rig.changed);
    (void)pthread_mutex_unlock(&rig.lock);
    if (answer == SH_OK) {
        free(command);
    }
    return answer;
}

static enum sh_err on_late(void *ctx)
{
    EXPECT(ctx == &rig);
    return SH_ERR_NO_QUORUM;
}

static void open_rig(void)
{
    struct proposals_config config = {.send = on_send, .late = on_late, .ctx = &rig};
    sh_host_init();
    struct jobs_cmd stop = {.type = JOBS_STOP, .u.stop = {.job = 5}};
    struct sh_writer w = sh_writer_over(rig.command, sizeof rig.command);
    EXPECT_EQ(jobs_cmd_encode(&stop, &w), SH_OK);
    rig.size = w.used;
    rig.sent = 0;
    rig.answer = SH_OK;
    EXPECT_EQ(proposals_open(&config, &rig.p), SH_OK);
}

static void close_rig(void)
{
    proposals_stop(rig.p);
    proposals_close(rig.p);
}

/* How one proposal ended. */
struct ended {
    unsigned times;
    bool has_result;
    enum sh_err err;
    unsigned sends;
    struct jobs_result result;
};

static void on_end(void *ctx, enum sh_err err, const struct jobs_result *result, unsigned sends)
{
    struct ended *e = ctx;
    (void)pthread_mutex_lock(&rig.lock);
    e->times++;
    e->err = err;
    e->sends = sends;
    e->has_result = result != NULL;
    if (result != NULL) {
        e->result = *result;
    }
    (void)pthread_cond_broadcast(&rig.changed);
    (void)pthread_mutex_unlock(&rig.lock);
}

static enum sh_err begin(uint64_t timeout_us, struct ended *e)
{
    return proposals_begin(rig.p, SESSION, (struct sh_span){.at = rig.command, .size = rig.size},
                           timeout_us, on_end, e);
}

/* The number that it has. */
static uint64_t must_begin(uint64_t timeout_us, struct ended *e)
{
    *e = (struct ended){.times = 0};
    EXPECT_EQ(begin(timeout_us, e), SH_OK);
    return rig.number;
}

static void await_end(const struct ended *e)
{
    (void)pthread_mutex_lock(&rig.lock);
    while (e->times == 0) {
        (void)pthread_cond_wait(&rig.changed, &rig.lock);
    }
    (void)pthread_mutex_unlock(&rig.lock);
}

static void await_sent(unsigned count)
{
    (void)pthread_mutex_lock(&rig.lock);
    while (rig.sent < count) {
        (void)pthread_cond_wait(&rig.changed, &rig.lock);
    }
    (void)pthread_mutex_unlock(&rig.lock);
}

TEST(the_result_of_a_proposal_reaches_the_one_with_its_number_only)
{
    struct ended a;
    struct ended b;
    struct jobs_result result = {.err = SH_ERR_STALE, .handle = 7};
    open_rig();
    uint64_t first = must_begin(LONG_US, &a);
    uint64_t second = must_begin(LONG_US, &b);
    EXPECT(first != second && first != 0 && second != 0);
    proposals_done(rig.p, first + 1000 * PROPOSALS_MAX, &result);
    proposals_done(rig.p, 0, &result);
    proposals_done(rig.p, second, &result);
    EXPECT_EQ(a.times, 0);
    EXPECT_EQ(b.times, 1);
    EXPECT(b.has_result);
    EXPECT_EQ(b.err, SH_ERR_STALE);
    EXPECT_EQ(b.result.handle, 7);
    proposals_done(rig.p, first, &result);
    EXPECT_EQ(a.times, 1);
    close_rig();
}

TEST(the_first_of_two_entries_of_one_proposal_answers)
{
    struct ended a;
    open_rig();
    uint64_t number = must_begin(LONG_US, &a);
    proposals_done(rig.p, number, &(struct jobs_result){.handle = 1});
    proposals_done(rig.p, number, &(struct jobs_result){.handle = 2});
    EXPECT_EQ(a.times, 1);
    EXPECT_EQ(a.err, SH_OK);
    EXPECT_EQ(a.result.handle, 1);
    close_rig();
}

TEST(a_new_coordinator_is_sent_all_that_is_under_way_at_once)
{
    struct ended a;
    struct ended b;
    open_rig();
    (void)must_begin(LONG_US, &a);
    uint64_t before = sh_now_us();
    uint64_t number = must_begin(LONG_US, &b);
    proposals_done(rig.p, number, &(struct jobs_result){.handle = 1});
    unsigned sent = rig.sent;
    proposals_kick(rig.p);
    await_sent(sent + 1); /* what has ended is not sent */
    EXPECT(sh_now_us() - before < LONG_US);
    EXPECT_EQ(a.times, 0);
    close_rig();
    EXPECT_EQ(a.err, SH_ERR_CANCELLED);
}

TEST(without_an_answer_a_command_is_sent_again_after_growing_pauses)
{
    struct ended a;
    open_rig();
    uint64_t before = sh_now_us();
    uint64_t number = must_begin(LONG_US, &a);
    await_sent(3);
    EXPECT(sh_now_us() - before >= 3 * PROPOSALS_RESEND_US);
    EXPECT_EQ(rig.number, number);
    proposals_done(rig.p, number, &(struct jobs_result){.handle = 5});
    EXPECT_EQ(a.result.handle, 5);
    EXPECT_EQ(a.sends, 3);
    close_rig();
}

TEST(a_proposal_whose_time_is_over_ends_with_the_reason_and_its_place_is_free)
{
    struct ended a;
    open_rig();
    uint64_t before = sh_now_us();
    uint64_t number = must_begin(20000, &a);
    await_end(&a);
    EXPECT(sh_now_us() - before >= 20000);
    EXPECT_EQ(a.err, SH_ERR_NO_QUORUM);
    EXPECT(!a.has_result);
    proposals_done(rig.p, number, &(struct jobs_result){.handle = 1});
    EXPECT_EQ(a.times, 1);
    close_rig();
}

TEST(what_cannot_be_sent_is_refused_and_what_cannot_be_sent_again_ends)
{
    struct ended a;
    struct ended b = {.times = 0};
    open_rig();
    (void)must_begin(LONG_US, &a);
    rig.answer = SH_ERR_FULL;
    EXPECT_EQ(begin(LONG_US, &b), SH_ERR_FULL);
    proposals_kick(rig.p);
    await_end(&a);
    EXPECT_EQ(a.err, SH_ERR_FULL);
    EXPECT_EQ(b.times, 0);
    close_rig();
    EXPECT_EQ(b.times, 0);
}

TEST(proposals_under_way_are_bounded_and_their_places_are_used_again)
{
    static struct ended ended[PROPOSALS_MAX];
    struct ended more = {.times = 0};
    uint64_t number = 0;
    open_rig();
    for (size_t i = 0; i < PROPOSALS_MAX; i++) {
        uint64_t one = must_begin(LONG_US, &ended[i]);
        number = i == 100 ? one : number;
    }
    EXPECT_EQ(begin(LONG_US, &more), SH_ERR_FULL);
    proposals_done(rig.p, number, &(struct jobs_result){.handle = 1});
    EXPECT_EQ(ended[100].times, 1);
    EXPECT(must_begin(LONG_US, &more) != number);
    close_rig();
    for (size_t i = 0; i < PROPOSALS_MAX; i++) {
        EXPECT_EQ(ended[i].times, 1);
    }
}

TEST(stopping_ends_all_that_is_under_way_and_refuses_what_comes)
{
    struct ended a;
    struct ended b = {.times = 0};
    open_rig();
    (void)must_begin(LONG_US, &a);
    proposals_stop(rig.p);
    EXPECT_EQ(a.times, 1);
    EXPECT_EQ(a.err, SH_ERR_CANCELLED);
    EXPECT(!a.has_result);
    EXPECT_EQ(begin(LONG_US, &b), SH_ERR_CANCELLED);
    EXPECT_EQ(b.times, 0);
    close_rig();
}
