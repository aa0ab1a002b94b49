/* SPDX-License-Identifier: Apache-2.0 */
#include "proposals.h"

#include "base/host/host.h"
#include "tst.h"

#include <pthread.h>
#include <string.h>

static struct proposals *fresh(void)
{
    struct proposals *p = NULL;
    sh_host_init();
    EXPECT_EQ(proposals_open(&p), SH_OK);
    return p;
}

TEST(the_result_of_a_proposal_reaches_who_waits_for_its_number_only)
{
    uint64_t a = 0;
    uint64_t b = 0;
    struct jobs_result result = {.err = SH_ERR_STALE, .handle = 7};
    struct jobs_result out = {0};
    struct proposals *p = fresh();
    EXPECT_EQ(proposals_begin(p, &a), SH_OK);
    EXPECT_EQ(proposals_begin(p, &b), SH_OK);
    EXPECT(a != b && a != 0 && b != 0);
    proposals_done(p, a + 1000, &result);
    proposals_done(p, 0, &result);
    EXPECT(!proposals_wait(p, a, 1000, &out));
    proposals_done(p, b, &result);
    EXPECT(!proposals_wait(p, a, 1000, &out));
    EXPECT(proposals_wait(p, b, 1000, &out));
    EXPECT_EQ(out.err, SH_ERR_STALE);
    EXPECT_EQ(out.handle, 7);
    proposals_end(p, a);
    proposals_end(p, b);
    proposals_close(p);
}

TEST(the_first_of_two_entries_of_one_proposal_answers)
{
    uint64_t a = 0;
    struct jobs_result out = {0};
    struct proposals *p = fresh();
    EXPECT_EQ(proposals_begin(p, &a), SH_OK);
    proposals_done(p, a, &(struct jobs_result){.handle = 1});
    proposals_done(p, a, &(struct jobs_result){.handle = 2});
    EXPECT(proposals_wait(p, a, 1000, &out));
    EXPECT_EQ(out.handle, 1);
    proposals_end(p, a);
    proposals_done(p, a, &(struct jobs_result){.handle = 3});
    proposals_close(p);
}

TEST(a_new_coordinator_ends_one_wait_of_each_even_if_it_came_before_the_wait)
{
    uint64_t a = 0;
    struct jobs_result out = {0};
    struct proposals *p = fresh();
    EXPECT_EQ(proposals_begin(p, &a), SH_OK);
    proposals_kick(p);
    uint64_t before = sh_now_us();
    EXPECT(!proposals_wait(p, a, 30000000, &out));
    EXPECT(sh_now_us() - before < 20000000);
    EXPECT(!proposals_wait(p, a, 1000, &out));
    proposals_end(p, a);
    proposals_close(p);
}

TEST(proposals_under_way_are_bounded_and_their_places_are_used_again)
{
    uint64_t numbers[PROPOSALS_MAX];
    uint64_t more = 0;
    struct proposals *p = fresh();
    for (size_t i = 0; i < PROPOSALS_MAX; i++) {
        EXPECT_EQ(proposals_begin(p, &numbers[i]), SH_OK);
    }
    EXPECT_EQ(proposals_begin(p, &more), SH_ERR_FULL);
    proposals_end(p, numbers[100]);
    EXPECT_EQ(proposals_begin(p, &more), SH_OK);
    EXPECT(more != numbers[100]);
    proposals_close(p);
}

struct waiter {
    struct proposals *p;
    uint64_t number;
    struct jobs_result out;
    bool done;
};

static void *wait_long(void *arg)
{
    struct waiter *w = arg;
    w->done = proposals_wait(w->p, w->number, 30000000, &w->out);
    return NULL;
}

TEST(stopping_wakes_who_waits_and_refuses_who_comes)
{
    pthread_t thread;
    struct waiter w = {.p = fresh()};
    EXPECT_EQ(proposals_begin(w.p, &w.number), SH_OK);
    EXPECT_EQ(pthread_create(&thread, NULL, wait_long, &w), 0);
    proposals_stop(w.p);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
    EXPECT(w.done);
    EXPECT_EQ(w.out.err, SH_ERR_CANCELLED);
    uint64_t more = 0;
    EXPECT_EQ(proposals_begin(w.p, &more), SH_ERR_CANCELLED);
    proposals_end(w.p, w.number);
    proposals_close(w.p);
}
