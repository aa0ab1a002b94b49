/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/queue.h"
#include "base/host/host.h"
#include "tst.h"

#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <unistd.h>

static bool readable(struct queue *q)
{
    struct pollfd p = {.fd = queue_fd(q), .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

TEST(a_queue_is_bounded_and_its_fd_says_whether_items_wait)
{
    struct queue *q;
    EXPECT_EQ(queue_open(&q, 2, sizeof(int)), SH_OK);
    EXPECT(!readable(q));
    for (int i = 0; i < 2; i++) {
        EXPECT_EQ(queue_push(q, &i), SH_OK);
    }
    int x = 9;
    EXPECT_EQ(queue_push(q, &x), SH_ERR_FULL);
    EXPECT(readable(q));
    EXPECT(queue_pop(q, &x));
    EXPECT_EQ(x, 0);
    EXPECT(readable(q));
    EXPECT(queue_pop(q, &x));
    EXPECT_EQ(x, 1);
    EXPECT(!readable(q));
    EXPECT(!queue_pop(q, &x));
    queue_close(q);
}

TEST(an_fd_that_is_asked_for_late_says_that_items_wait)
{
    struct queue *q;
    int x = 7;
    EXPECT_EQ(queue_open(&q, 2, sizeof(int)), SH_OK);
    EXPECT_EQ(queue_push(q, &x), SH_OK);
    EXPECT(readable(q));
    EXPECT(queue_pop(q, &x));
    EXPECT(!readable(q));
    queue_close(q);
}

static void *produce(void *arg)
{
    struct queue *q = arg;
    for (int i = 0; i < 10000; i++) {
        while (queue_push(q, &i) == SH_ERR_FULL) {
            sched_yield();
        }
    }
    return NULL;
}

TEST(items_of_two_producers_all_arrive)
{
    struct queue *q;
    pthread_t threads[2];
    EXPECT_EQ(queue_open(&q, 16, sizeof(int)), SH_OK);
    for (int i = 0; i < 2; i++) {
        EXPECT_EQ(pthread_create(&threads[i], NULL, produce, q), 0);
    }
    long sum = 0;
    for (int i = 0; i < 20000; i++) {
        int x;
        EXPECT(queue_wait(q, &x, 5000000));
        sum += x;
    }
    EXPECT_EQ(sum, 9999L * 10000);
    for (int i = 0; i < 2; i++) {
        EXPECT_EQ(pthread_join(threads[i], NULL), 0);
    }
    queue_close(q);
}

TEST(who_watches_by_the_edge_and_pops_all_misses_nothing)
{
    struct queue *q;
    pthread_t threads[2];
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    EXPECT_EQ(queue_open(&q, 16, sizeof(int)), SH_OK);
    EXPECT_EQ(epoll_ctl(epoll, EPOLL_CTL_ADD, queue_fd(q), &event), 0);
    for (int i = 0; i < 2; i++) {
        EXPECT_EQ(pthread_create(&threads[i], NULL, produce, q), 0);
    }
    int count = 0;
    while (count < 20000) {
        int x;
        EXPECT_EQ(epoll_wait(epoll, &event, 1, 20000), 1);
        while (queue_pop(q, &x)) {
            count++;
        }
    }
    for (int i = 0; i < 2; i++) {
        EXPECT_EQ(pthread_join(threads[i], NULL), 0);
    }
    int none;
    EXPECT(!queue_pop(q, &none));
    EXPECT(!readable(q));
    EXPECT_EQ(close(epoll), 0);
    queue_close(q);
}

TEST(waiting_ends_at_its_deadline)
{
    struct queue *q;
    int x;
    EXPECT_EQ(queue_open(&q, 1, sizeof(int)), SH_OK);
    uint64_t start = sh_now_us();
    EXPECT(!queue_wait(q, &x, 20000));
    EXPECT(sh_now_us() - start >= 19000);
    queue_close(q);
}

static void *wait_long(void *arg)
{
    int x;
    EXPECT(!queue_wait(arg, &x, 30000000));
    return NULL;
}

TEST(stopping_wakes_a_waiter_and_refuses_pushes)
{
    struct queue *q;
    pthread_t thread;
    int x = 1;
    EXPECT_EQ(queue_open(&q, 1, sizeof(int)), SH_OK);
    EXPECT_EQ(pthread_create(&thread, NULL, wait_long, q), 0);
    queue_stop(q);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
    EXPECT_EQ(queue_push(q, &x), SH_ERR_CANCELLED);
    queue_close(q);
}
