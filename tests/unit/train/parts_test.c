/* SPDX-License-Identifier: Apache-2.0 */
#include "train/course.h"
#include "train/gang.h"
#include "train/message.h"
#include "train/sum.h"
#include "tst.h"

#include "base/rng.h"
#include "kernels/kn.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* ---- course ---- */

TEST(a_course_is_steps_then_validation_an_epoch_and_one_test)
{
    static const enum train_round_kind KINDS[] = {TRAIN_STEP, TRAIN_STEP, TRAIN_VALIDATION,
                                                  TRAIN_STEP, TRAIN_STEP, TRAIN_VALIDATION,
                                                  TRAIN_TEST, TRAIN_END};
    static const uint64_t STEPS[] = {0, 1, 2, 2, 3, 4, 4, 4};
    static const uint64_t EPOCHS[] = {0, 0, 0, 1, 1, 1, 2, 2};
    const struct train_course course = {
        .steps_an_epoch = 2, .epochs = 2, .validates = true, .tests = true};
    EXPECT_EQ(train_course_length(&course), 7);
    for (uint64_t p = 0; p <= 7; p++) {
        struct train_round round = train_course_at(&course, p);
        EXPECT_EQ(round.kind, KINDS[p]);
        EXPECT_EQ(round.step, STEPS[p]);
        EXPECT_EQ(round.epoch, EPOCHS[p]);
        EXPECT(round.kind != TRAIN_STEP || round.in_epoch == round.step % 2);
    }
}

TEST(a_course_without_evaluation_is_its_steps)
{
    const struct train_course course = {.steps_an_epoch = 3, .epochs = 2};
    EXPECT_EQ(train_course_length(&course), 6);
    EXPECT_EQ(train_course_at(&course, 5).kind, TRAIN_STEP);
    EXPECT_EQ(train_course_at(&course, 5).step, 5);
    EXPECT_EQ(train_course_at(&course, 6).kind, TRAIN_END);
    EXPECT_EQ(train_course_at(&course, 6).step, 6);
}

TEST(after_the_first_epochs_a_course_is_stretches_of_steps)
{
    static const struct {
        enum train_round_kind kind;
        uint64_t step, steps, epoch, earlier;
    } ROUNDS[] = {{TRAIN_STEP, 0, 1, 0, 0},   {TRAIN_STEP, 1, 1, 0, 0},
                  {TRAIN_STEP, 2, 1, 0, 0},   {TRAIN_STEP, 3, 1, 0, 0},
                  {TRAIN_STEP, 4, 1, 0, 0},   {TRAIN_VALIDATION, 5, 0, 0, 0},
                  {TRAIN_LOCAL, 5, 2, 1, 0},  {TRAIN_LOCAL, 7, 2, 1, 1},
                  {TRAIN_LOCAL, 9, 1, 1, 2},  {TRAIN_VALIDATION, 10, 0, 1, 0},
                  {TRAIN_LOCAL, 10, 2, 2, 3}, {TRAIN_LOCAL, 12, 2, 2, 4},
                  {TRAIN_LOCAL, 14, 1, 2, 5}, {TRAIN_VALIDATION, 15, 0, 2, 0},
                  {TRAIN_TEST, 15, 0, 3, 0},  {TRAIN_END, 15, 0, 3, 0}};
    const struct train_course course = {.steps_an_epoch = 5,
                                        .epochs = 3,
                                        .stretch = 2,
                                        .together = 1,
                                        .validates = true,
                                        .tests = true};
    EXPECT_EQ(train_course_length(&course), SH_COUNT(ROUNDS) - 1);
    for (uint64_t p = 0; p < SH_COUNT(ROUNDS); p++) {
        struct train_round round = train_course_at(&course, p);
        EXPECT_EQ(round.kind, ROUNDS[p].kind);
        EXPECT_EQ(round.step, ROUNDS[p].step);
        EXPECT_EQ(round.steps, ROUNDS[p].steps);
        EXPECT_EQ(round.epoch, ROUNDS[p].epoch);
        EXPECT_EQ(round.earlier, ROUNDS[p].earlier);
    }
}

TEST(a_stretch_longer_than_an_epoch_ends_with_it)
{
    const struct train_course course = {.steps_an_epoch = 4, .epochs = 2, .stretch = 100};
    EXPECT_EQ(train_course_length(&course), 2);
    EXPECT_EQ(train_course_at(&course, 1).step, 4);
    EXPECT_EQ(train_course_at(&course, 1).steps, 4);
    EXPECT_EQ(train_course_at(&course, 2).kind, TRAIN_END);
}

/* ---- gang ---- */

struct trio {
    struct train_gang gang;
    struct train_hello hello;
};

static void make_trio(struct trio *t)
{
    struct wire_member members[3];
    memset(members, 0, sizeof members);
    for (uint16_t i = 0; i < 3; i++) {
        memset(members[i].node, 9 - i, sizeof members[i].node); /* ids fall as numbers rise */
        members[i].rank_lo = i;
        members[i].rank_hi = (uint16_t)(i + 1);
    }
    struct train_about about = {.unit = {.job = 5}, .generation = 77};
    train_gang_begin(&t->gang, about, members, 3, 0, 1000);
    t->hello = (struct train_hello){.about = about, .mine = 1, .yours = 1000};
}

static void hear(struct trio *t, uint32_t from, uint32_t flags, uint64_t position, uint8_t fill)
{
    struct train_hello hello = t->hello;
    hello.mine = 100 + from;
    hello.flags = flags;
    hello.position = position;
    memset(hello.digest, fill, sizeof hello.digest);
    train_gang_hear(&t->gang, from, &hello);
}

static void stand(struct trio *t, uint64_t position, uint8_t fill)
{
    uint8_t digest[SH_DIGEST_BYTES];
    memset(digest, fill, sizeof digest);
    train_gang_stand(&t->gang, position, digest);
}

TEST(nothing_is_decided_before_everyone_is_heard)
{
    struct trio t;
    make_trio(&t);
    EXPECT_EQ(train_gang_judge(&t.gang).advice, TRAIN_WAIT);
    hear(&t, 1, 0, 0, 0);
    EXPECT_EQ(train_gang_judge(&t.gang).advice, TRAIN_WAIT);
    hear(&t, 2, 0, 0, 0);
    EXPECT_EQ(train_gang_judge(&t.gang).advice, TRAIN_LOAD);
}

TEST(who_has_no_state_begins_by_itself_where_nobody_has_gone_a_step)
{
    struct trio t;
    make_trio(&t);
    hear(&t, 1, TRAIN_HELLO_HAS, 0, 1);
    hear(&t, 2, 0, 0, 0);
    EXPECT_EQ(train_gang_judge(&t.gang).advice, TRAIN_LOAD);
    stand(&t, 0, 1);
    EXPECT_EQ(train_gang_judge(&t.gang).advice, TRAIN_WAIT);
    hear(&t, 2, TRAIN_HELLO_HAS, 0, 1);
    EXPECT_EQ(train_gang_judge(&t.gang).advice, TRAIN_GO);
}

TEST(who_is_behind_catches_up_with_the_most_advanced_of_the_smallest_id)
{
    struct trio t;
    make_trio(&t);
    stand(&t, 4, 1);
    hear(&t, 1, TRAIN_HELLO_HAS, 6, 2);
    hear(&t, 2, TRAIN_HELLO_HAS, 6, 2);
    struct train_verdict v = train_gang_judge(&t.gang);
    EXPECT_EQ(v.advice, TRAIN_CATCH_UP);
    EXPECT_EQ(v.other, 2);
    stand(&t, 6, 2);
    EXPECT_EQ(train_gang_judge(&t.gang).advice, TRAIN_GO);
}

TEST(who_is_ahead_waits_for_the_others)
{
    struct trio t;
    make_trio(&t);
    stand(&t, 7, 1);
    hear(&t, 1, TRAIN_HELLO_HAS, 6, 2);
    hear(&t, 2, 0, 0, 0);
    EXPECT_EQ(train_gang_judge(&t.gang).advice, TRAIN_WAIT);
}

TEST(different_states_at_the_same_place_are_named)
{
    struct trio t;
    make_trio(&t);
    stand(&t, 6, 1);
    hear(&t, 1, TRAIN_HELLO_HAS, 6, 2);
    hear(&t, 2, TRAIN_HELLO_HAS, 6, 2);
    struct train_verdict v = train_gang_judge(&t.gang);
    EXPECT_EQ(v.advice, TRAIN_DIFFER);
    EXPECT_EQ(v.one, 2);
    EXPECT_EQ(v.other, 0);
}

TEST(a_member_that_runs_with_an_earlier_session_of_mine_makes_me_a_stranger)
{
    struct trio t;
    make_trio(&t);
    t.hello.yours = 999;
    hear(&t, 1, TRAIN_HELLO_HAS, 6, 2);
    EXPECT_EQ(train_gang_judge(&t.gang).advice, TRAIN_WAIT);
    hear(&t, 1, TRAIN_HELLO_HAS | TRAIN_HELLO_RUNNING, 6, 2);
    EXPECT_EQ(train_gang_judge(&t.gang).advice, TRAIN_STRANGER);
}

TEST(who_runs_keeps_on_record_whom_it_began_with)
{
    struct trio t;
    struct train_hello answer;
    make_trio(&t);
    stand(&t, 6, 1);
    hear(&t, 1, TRAIN_HELLO_HAS, 6, 1);
    hear(&t, 2, TRAIN_HELLO_HAS, 6, 1);
    train_gang_go(&t.gang);
    t.hello.mine = 12345;
    train_gang_hear(&t.gang, 1, &t.hello);
    train_gang_hello(&t.gang, 1, false, &answer);
    EXPECT_EQ(answer.yours, 101);
    EXPECT_EQ(answer.flags, TRAIN_HELLO_HAS | TRAIN_HELLO_RUNNING);
}

/* ---- messages ---- */

TEST(messages_come_back_as_they_went)
{
    uint8_t bytes[TRAIN_MESSAGE_BYTES + 8];
    struct sh_writer w = sh_writer_over(bytes, TRAIN_MESSAGE_BYTES);
    struct train_hello hello = {.about = {.unit = {.job = 9, .unit = 2}, .generation = 33},
                                .flags = 5,
                                .mine = 11,
                                .yours = 12,
                                .position = 13};
    memset(hello.digest, 0x5a, sizeof hello.digest);
    train_hello_encode(&hello, &w);
    struct train_hello back;
    EXPECT_EQ(train_hello_decode((struct sh_span){.at = bytes, .size = w.used}, &back), SH_OK);
    EXPECT_EQ(back.about.unit.job, 9);
    EXPECT_EQ(back.about.unit.unit, 2);
    EXPECT_EQ(back.about.generation, 33);
    EXPECT_EQ(back.flags, 5);
    EXPECT_EQ(back.mine, 11);
    EXPECT_EQ(back.yours, 12);
    EXPECT_EQ(back.position, 13);
    EXPECT_MEM(back.digest, hello.digest, sizeof back.digest);
    for (size_t cut = 0; cut < w.used; cut++) {
        EXPECT_EQ(train_hello_decode((struct sh_span){.at = bytes, .size = cut}, &back),
                  SH_ERR_CORRUPT);
    }
    w = sh_writer_over(bytes, TRAIN_MESSAGE_BYTES);
    struct train_note note = {.about = hello.about, .position = 4, .offset = 8, .total = 16};
    train_note_encode(&note, &w);
    memset(bytes + w.used, 7, 8);
    struct train_note again;
    EXPECT_EQ(train_note_decode((struct sh_span){.at = bytes, .size = w.used + 8}, &again), SH_OK);
    EXPECT_EQ(again.piece.size, 8);
    EXPECT_EQ(again.piece.at[0], 7);
    EXPECT_EQ(train_note_decode((struct sh_span){.at = bytes, .size = w.used}, &again),
              SH_ERR_CORRUPT);
}

TEST(an_offer_names_a_shelf_and_is_taken_or_not)
{
    for (uint32_t taken = 0; taken < 2; taken++) {
        uint8_t bytes[TRAIN_MESSAGE_BYTES];
        struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
        struct train_offer offer = {
            .about = {.unit = {.job = 9}, .generation = 33}, .number = 77, .taken = taken != 0};
        struct train_offer back;
        train_offer_encode(&offer, &w);
        struct sh_span span = {.at = bytes, .size = w.used};
        EXPECT_EQ(train_offer_decode(span, &back), SH_OK);
        EXPECT_EQ(back.about.generation, 33);
        EXPECT_EQ(back.number, 77);
        EXPECT_EQ(back.taken, offer.taken);
        for (size_t cut = 0; cut < w.used; cut++) {
            EXPECT_EQ(train_offer_decode((struct sh_span){.at = bytes, .size = cut}, &back),
                      SH_ERR_CORRUPT);
        }
        bytes[w.used - 4] = 2; /* neither */
        EXPECT_EQ(train_offer_decode(span, &back), SH_ERR_CORRUPT);
        bytes[w.used - 4] = 0;
        memset(bytes + w.used - 12, 0, 8); /* of no shelf */
        EXPECT_EQ(train_offer_decode(span, &back), SH_ERR_CORRUPT);
    }
}

TEST(a_fetch_of_nothing_or_of_too_much_is_refused)
{
    static const struct {
        uint32_t size;
        enum sh_err err;
    } ROWS[] = {{0, SH_ERR_CORRUPT},
                {1, SH_OK},
                {TRAIN_PIECE_BYTES, SH_OK},
                {TRAIN_PIECE_BYTES + 1, SH_ERR_CORRUPT}};
    for (size_t i = 0; i < SH_COUNT(ROWS); i++) {
        uint8_t bytes[TRAIN_MESSAGE_BYTES];
        struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
        struct train_fetch fetch = {.about = {.generation = 1}, .size = ROWS[i].size};
        train_fetch_encode(&fetch, &w);
        EXPECT_EQ(train_fetch_decode((struct sh_span){.at = bytes, .size = w.used}, &fetch),
                  ROWS[i].err);
    }
}

/* ---- sums ---- */

enum { RANKS = 16, SIZE = 40 };

struct adder {
    struct train_sum *sum;
    pthread_mutex_t lock;
    uint32_t next;
    uint32_t high;
    uint32_t ready;
};

static float leaf(uint32_t rank, uint32_t i)
{
    return (float)sh_mix64(rank * 1000 + i) * 1e-19f;
}

static void *add_ranks(void *arg)
{
    struct adder *a = arg;
    for (;;) {
        EXPECT(pthread_mutex_lock(&a->lock) == 0);
        uint32_t rank = a->next;
        float *vector = rank < a->high ? train_sum_take(a->sum) : NULL;
        a->next++;
        EXPECT(pthread_mutex_unlock(&a->lock) == 0);
        if (vector == NULL) {
            return NULL;
        }
        for (uint32_t i = 0; i < SIZE; i++) {
            vector[i] = leaf(rank, i);
        }
        if (train_sum_add(a->sum, rank, vector) != UINT32_MAX) {
            (void)__atomic_add_fetch(&a->ready, 1, __ATOMIC_SEQ_CST);
        }
    }
}

/* Sum of [low, low + size) in the order of the tree. */
static float tree(uint32_t low, uint32_t size, uint32_t i)
{
    float level[RANKS];
    for (uint32_t r = 0; r < size; r++) {
        level[r] = leaf(low + r, i);
    }
    for (uint32_t n = size; n > 1; n /= 2) {
        for (uint32_t k = 0; k < n / 2; k++) {
            level[k] = level[2 * k] + level[2 * k + 1];
        }
    }
    return level[0];
}

TEST(sums_of_subtrees_are_the_same_whichever_thread_adds_when)
{
    static const struct {
        uint32_t low;
        uint32_t high;
        uint32_t subtrees;
    } ROWS[] = {{0, 16, 1}, {0, 5, 2}, {5, 11, 4}, {11, 16, 2}, {3, 4, 1}, {1, 15, 6}};
    for (uint32_t threads = 1; threads <= 4; threads++) {
        struct adder a = {.lock = PTHREAD_MUTEX_INITIALIZER};
        EXPECT_EQ(train_sum_open(&a.sum, RANKS, SIZE, threads), SH_OK);
        size_t all = train_sum_bytes(a.sum, 0, RANKS);
        for (size_t row = 0; row < SH_COUNT(ROWS); row++) {
            pthread_t thread[4];
            size_t bytes = train_sum_bytes(a.sum, ROWS[row].low, ROWS[row].high);
            EXPECT(bytes <= all);
            float *memory = aligned_alloc(KN_ALIGN, bytes);
            train_sum_use(a.sum, memory);
            uint32_t count = train_sum_begin(a.sum, ROWS[row].low, ROWS[row].high, SIZE);
            EXPECT_EQ(count, ROWS[row].subtrees);
            a.next = ROWS[row].low;
            a.high = ROWS[row].high;
            a.ready = 0;
            for (uint32_t t = 0; t < threads; t++) {
                EXPECT(pthread_create(&thread[t], NULL, add_ranks, &a) == 0);
            }
            for (uint32_t t = 0; t < threads; t++) {
                EXPECT(pthread_join(thread[t], NULL) == 0);
            }
            EXPECT_EQ(a.ready, count);
            uint32_t low = ROWS[row].low;
            for (uint32_t s = 0; s < count; s++) {
                uint32_t size = 1;
                while (low % (2 * size) == 0 && low + 2 * size <= ROWS[row].high) {
                    size *= 2;
                }
                const float *sum = train_sum_of(a.sum, s);
                for (uint32_t i = 0; i < SIZE; i++) {
                    float expected = tree(low, size, i);
                    EXPECT_MEM(&sum[i], &expected, sizeof expected);
                }
                low += size;
            }
            free(memory);
        }
        train_sum_close(a.sum);
    }
}
