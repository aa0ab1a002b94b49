/* SPDX-License-Identifier: Apache-2.0 */
#include "reads.h"

#include "base/check.h"
#include "base/host/host.h"
#include "tst.h"

#include <pthread.h>
#include <stdatomic.h>

#define SECOND UINT64_C(1000000)
#define NEVER  (1000 * SECOND)

static struct {
    struct reads *reads;
    atomic_uint_fast64_t asked; /* newest round */
    atomic_uint rounds;
} rig;

static void ask(void *ctx, uint64_t number)
{
    (void)ctx;
    atomic_store(&rig.asked, number);
    (void)atomic_fetch_add(&rig.rounds, 1);
}

static void open_rig(uint64_t resend_us)
{
    sh_host_init();
    atomic_store(&rig.asked, 0);
    atomic_store(&rig.rounds, 0);
    EXPECT_EQ(reads_open(&rig.reads, ask, NULL, resend_us), SH_OK);
}

struct reader {
    pthread_t thread;
    enum sh_err err;
    uint64_t index;
};

static void *read_one(void *arg)
{
    struct reader *reader = arg;
    reader->err = reads_wait(rig.reads, 20 * SECOND, &reader->index);
    return NULL;
}

static void start(struct reader *reader)
{
    EXPECT_EQ(pthread_create(&reader->thread, NULL, read_one, reader), 0);
}

static void join(struct reader *reader)
{
    EXPECT_EQ(pthread_join(reader->thread, NULL), 0);
}

static void await_round(uint64_t number)
{
    uint64_t deadline = sh_now_us() + 20 * SECOND;
    while (atomic_load(&rig.asked) < number) {
        EXPECT(sh_now_us() < deadline);
        (void)sched_yield();
    }
}

TEST(a_reader_gets_the_index_of_a_round_that_began_after_it_came)
{
    struct reader first;
    struct reader second;
    open_rig(NEVER);
    start(&first);
    await_round(1);
    start(&second);
    /* While the first round is under way the second reader begins none. */
    uint64_t index = 0;
    EXPECT_EQ(reads_wait(rig.reads, 10000, &index), SH_ERR_TIMEOUT);
    EXPECT_EQ(atomic_load(&rig.asked), 1);
    reads_done(rig.reads, 1, 7, SH_OK);
    join(&first);
    EXPECT_EQ(first.err, SH_OK);
    EXPECT_EQ(first.index, 7);
    await_round(2);
    reads_done(rig.reads, 2, 9, SH_OK);
    join(&second);
    EXPECT_EQ(second.err, SH_OK);
    EXPECT_EQ(second.index, 9);
    reads_close(rig.reads);
}

TEST(many_readers_share_a_round)
{
    struct reader first;
    uint64_t index = 0;
    open_rig(NEVER);
    start(&first);
    await_round(1);
    for (unsigned i = 0; i < 200; i++) {
        EXPECT_EQ(reads_wait(rig.reads, 0, &index), SH_ERR_TIMEOUT);
    }
    EXPECT_EQ(atomic_load(&rig.asked), 1);
    reads_done(rig.reads, 1, 3, SH_OK);
    join(&first);
    EXPECT_EQ(atomic_load(&rig.asked), 2);
    reads_done(rig.reads, 2, 5, SH_OK);
    EXPECT_EQ(atomic_load(&rig.rounds), 2);
    reads_close(rig.reads);
}

TEST(a_round_without_an_answer_is_begun_again_and_a_late_answer_of_it_still_counts)
{
    struct reader reader;
    open_rig(1000);
    start(&reader);
    await_round(2); /* round 1 or its answer was lost */
    reads_done(rig.reads, 1, 4, SH_OK);
    join(&reader);
    EXPECT_EQ(reader.err, SH_OK);
    EXPECT_EQ(reader.index, 4);
    reads_close(rig.reads);
}

TEST(a_refused_round_waits_for_the_next_coordinator)
{
    struct reader reader;
    open_rig(NEVER);
    start(&reader);
    await_round(1);
    reads_done(rig.reads, 1, 0, SH_ERR_NOT_LEADER);
    reads_kick(rig.reads);
    EXPECT(atomic_load(&rig.asked) >= 2);
    reads_done(rig.reads, atomic_load(&rig.asked), 6, SH_OK);
    join(&reader);
    EXPECT_EQ(reader.err, SH_OK);
    EXPECT_EQ(reader.index, 6);
    reads_kick(rig.reads); /* nobody waits */
    uint64_t asked = atomic_load(&rig.asked);
    reads_kick(rig.reads);
    EXPECT_EQ(atomic_load(&rig.asked), asked);
    reads_close(rig.reads);
}

TEST(stopping_ends_every_wait)
{
    struct reader reader;
    open_rig(NEVER);
    start(&reader);
    await_round(1);
    reads_stop(rig.reads);
    join(&reader);
    EXPECT_EQ(reader.err, SH_ERR_CANCELLED);
    EXPECT_EQ(reads_wait(rig.reads, SECOND, &reader.index), SH_ERR_CANCELLED);
    reads_close(rig.reads);
}

TEST(the_age_counts_from_the_newest_answer_that_the_tables_have_reached)
{
    open_rig(NEVER);
    EXPECT_EQ(reads_age_us(rig.reads, 100), UINT64_MAX);
    await_round(1); /* asking for the age asks the coordinator, and does not wait for it */
    EXPECT_EQ(reads_age_us(rig.reads, 100), UINT64_MAX);
    EXPECT_EQ(atomic_load(&rig.asked), 1);
    reads_done(rig.reads, 1, 50, SH_OK);
    EXPECT_EQ(reads_age_us(rig.reads, 49), UINT64_MAX);
    uint64_t young = reads_age_us(rig.reads, 50);
    EXPECT(young < 20 * SECOND);
    EXPECT(reads_age_us(rig.reads, 50) >= young);
    reads_close(rig.reads);
}
