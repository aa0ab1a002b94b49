/* SPDX-License-Identifier: Apache-2.0 */
#include "flock.h"
#include "push/state.h"
#include "tst.h"

#include <string.h>

/* ---- all together ---- */

TEST(a_power_of_two_of_members_has_the_exact_average_after_log_ticks)
{
    uint32_t ticks = 0;
    for (uint32_t members = 2; members <= 256; members *= 2) {
        ticks++;
        struct flock *f =
            flock_new(&(struct flock_config){.seed = 7 + members, .members = members});
        flock_start(f, 0);
        double before = flock_spread(f);
        for (uint32_t t = 0; t < ticks; t++) {
            EXPECT(flock_spread(f) > 0);
            flock_tick(f, t);
            flock_count(f);
        }
        EXPECT(before > 0);
        EXPECT(!(flock_spread(f) > 0));
        for (uint32_t i = 0; i < members; i++) {
            EXPECT_EQ(push_weight(flock_member(f, i)->push), PUSH_UNIT);
            struct push_spread s = push_spread(flock_member(f, i)->push);
            EXPECT_EQ(s.least_ppm, s.most_ppm);
        }
        for (uint32_t e = 0; e < FLOCK_ELEMENTS; e++) {
            EXPECT_NEAR(flock_average(f, 0, e), flock_mean(f, e), 0);
        }
        flock_free(f);
    }
}

TEST(whoever_closes_hands_in_all_and_the_heir_has_the_average_of_all)
{
    struct flock *f = flock_new(&(struct flock_config){
        .seed = tst_seed(), .members = 5, .loss_percent = 20, .delay_us = 3000});
    flock_start(f, 0);
    flock_tick(f, 0);
    for (uint32_t i = 0; i < 5; i++) {
        flock_step(f, i, &(struct push_event){.kind = PUSH_EV_CLOSE, .close = 2});
    }
    flock_tick(f, 1);
    flock_tick(f, 2);
    flock_count(f);
    const struct push *heir = flock_member(f, 2)->push;
    EXPECT_EQ(push_weight(heir), push_total(heir));
    EXPECT_EQ(push_counters(heir).ticks[PUSH_TICK_ALONE], 2);
    for (uint32_t e = 0; e < FLOCK_ELEMENTS; e++) {
        EXPECT_NEAR(flock_average(f, 2, e), flock_mean(f, e), 0);
    }
    flock_free(f);
}

TEST(who_has_no_state_is_given_one_first_and_begins_with_it)
{
    struct flock *f =
        flock_new(&(struct flock_config){.seed = tst_seed(), .members = 6, .see_us = 1000});
    flock_start(f, 0);
    flock_kill(f, 4);
    flock_start(f, 0);
    const struct push *newcomer = flock_member(f, 4)->push;
    EXPECT(!push_has_state(newcomer));
    EXPECT_EQ(push_weight(newcomer), 0);
    flock_tick(f, 0);
    flock_count(f);
    EXPECT(push_has_state(newcomer));
    uint64_t sum = 0;
    for (uint32_t i = 0; i < 6; i++) {
        sum += push_weight(flock_member(f, i)->push);
    }
    EXPECT_EQ(sum, push_total(newcomer));
    EXPECT_EQ(push_counters(newcomer).ticks[PUSH_TICK_EMPTY], 1);
    flock_free(f);
}

/* ---- one member ---- */

enum { ME = 0, OTHER = 1, THIRD = 2, RETRY_US = 100, PATIENCE_US = 1000 };

static const uint32_t SHARES[] = {1, 1, 2};

struct one {
    _Alignas(64) uint8_t memory[8192];
    struct push *push;
    struct push_update u;
    uint64_t now_us;
};

static void step(struct one *o, struct push_event e)
{
    e.now_us = o->now_us;
    push_step(o->push, &e, &o->u);
    push_check(o->push);
}

static void begin(struct one *o, uint32_t members, bool has_state)
{
    struct sh_arena arena;
    const struct push_config config = {.members_max = 3,
                                       .elements_max = 10,
                                       .chunk_elements = 4,
                                       .window = 2,
                                       .out_max = 1,
                                       .in_max = 1,
                                       .retry_us = RETRY_US,
                                       .patience_us = PATIENCE_US};
    memset(o->memory, 0, sizeof o->memory);
    EXPECT(push_bytes(&config) <= sizeof o->memory);
    sh_arena_init(&arena, o->memory, sizeof o->memory);
    o->push = push_init(&config, &arena);
    o->now_us = 10;
    struct push_event e = {.kind = PUSH_EV_START};
    e.start = (struct push_generation){.generation = 3,
                                       .members = members,
                                       .me = ME,
                                       .shares = SHARES,
                                       .elements = 10,
                                       .has_state = has_state};
    step(o, e);
}

static enum push_tick tick(struct one *o, uint64_t number)
{
    struct push_event e = {.kind = PUSH_EV_TICK};
    e.tick.number = number;
    e.tick.mark = 77;
    step(o, e);
    return o->u.tick;
}

static enum push_verdict hear(struct one *o, struct push_frame f)
{
    struct push_event e = {.kind = PUSH_EV_FRAME};
    f.generation = f.generation == 0 ? 3 : f.generation;
    f.from = f.from == 0 ? OTHER : f.from;
    e.frame.from = f.from;
    e.frame.header = f;
    step(o, e);
    return o->u.verdict;
}

static enum push_verdict say(struct one *o, enum push_frame_kind kind, uint64_t transfer)
{
    return hear(o, (struct push_frame){.kind = kind, .transfer = transfer});
}

/* The only action is a SEND of that kind. */
static bool said(const struct one *o, enum push_frame_kind kind)
{
    return o->u.count == 1 && o->u.actions[0].kind == PUSH_SEND &&
           o->u.actions[0].header.kind == kind;
}

static void timer(struct one *o, uint64_t after_us)
{
    o->now_us += after_us;
    step(o, (struct push_event){.kind = PUSH_EV_TIMER});
}

static void offer(struct one *o, uint16_t from, uint64_t transfer)
{
    (void)hear(o, (struct push_frame){.kind = PUSH_FRAME_OFFER,
                                      .from = from,
                                      .transfer = transfer,
                                      .weight = 5,
                                      .elements = 10});
}

static void fill(struct one *o, uint64_t transfer)
{
    for (uint32_t c = 0; c < 3; c++) {
        (void)hear(o, (struct push_frame){.kind = PUSH_FRAME_DATA,
                                          .transfer = transfer,
                                          .chunk = c,
                                          .count = c < 2 ? 4 : 2});
    }
}

static struct push_frame gift(uint64_t transfer, uint64_t weight)
{
    return (struct push_frame){
        .kind = PUSH_FRAME_GIVE, .transfer = transfer, .weight = weight, .mark = 9};
}

TEST(a_tick_splits_off_half_and_offers_it_until_an_answer)
{
    struct one o;
    begin(&o, 2, true);
    EXPECT_EQ(tick(&o, 0), PUSH_TICK_GAVE);
    EXPECT_EQ(o.u.count, 2);
    EXPECT_EQ(o.u.actions[0].kind, PUSH_OPEN);
    EXPECT_EQ(o.u.actions[0].weight, PUSH_UNIT / 2);
    EXPECT_EQ(o.u.actions[1].header.kind, PUSH_FRAME_OFFER);
    EXPECT_EQ(o.u.actions[1].header.mark, 77);
    EXPECT_EQ(push_weight(o.push), PUSH_UNIT / 2);
    EXPECT(push_is_giving(o.push, 0, 1));
    EXPECT_EQ(push_deadline_us(o.push), o.now_us + RETRY_US);
    timer(&o, RETRY_US);
    EXPECT(said(&o, PUSH_FRAME_OFFER));
    EXPECT_EQ(push_deadline_us(o.push), o.now_us + (uint64_t)2 * RETRY_US);
    EXPECT_EQ(tick(&o, 1), PUSH_TICK_BUSY);
}

TEST(what_nobody_takes_is_taken_back)
{
    struct one o;
    begin(&o, 2, true);
    (void)tick(&o, 0);
    timer(&o, PATIENCE_US);
    EXPECT_EQ(o.u.count, 1);
    EXPECT_EQ(o.u.actions[0].kind, PUSH_RESTORE);
    EXPECT_EQ(push_weight(o.push), PUSH_UNIT / 2);
    EXPECT_EQ(tick(&o, 1), PUSH_TICK_BUSY);
    step(&o, (struct push_event){.kind = PUSH_EV_RESTORED, .buffer = 0});
    EXPECT_EQ(push_weight(o.push), PUSH_UNIT);
    EXPECT_EQ(push_deadline_us(o.push), UINT64_MAX);
    EXPECT_EQ(say(&o, PUSH_FRAME_TAKE, 1), PUSH_DUPLICATE);
    EXPECT(said(&o, PUSH_FRAME_VOID));
    EXPECT_EQ(say(&o, PUSH_FRAME_TAKE, 2), PUSH_INVALID);
}

TEST(what_was_given_is_the_takers_and_is_said_again_until_it_answers)
{
    struct one o;
    begin(&o, 2, true);
    (void)tick(&o, 0);
    EXPECT_EQ(
        hear(&o,
             (struct push_frame){.kind = PUSH_FRAME_ASK, .transfer = 1, .chunk = 1, .count = 2}),
        PUSH_USED);
    EXPECT_EQ(o.u.count, 2);
    EXPECT_EQ(o.u.actions[1].offset, 8);
    EXPECT_EQ(o.u.actions[1].header.count, 2);
    EXPECT_EQ(say(&o, PUSH_FRAME_TAKEN, 1), PUSH_INVALID); /* before it was given */
    EXPECT_EQ(say(&o, PUSH_FRAME_TAKE, 1), PUSH_USED);
    EXPECT(said(&o, PUSH_FRAME_GIVE));
    EXPECT(!push_is_giving(o.push, 0, 1));
    for (uint32_t i = 0; i < 40; i++) {
        timer(&o, (uint64_t)PUSH_PAUSE_MAX * RETRY_US);
        EXPECT(said(&o, PUSH_FRAME_GIVE));
    }
    struct push_event cut = {.kind = PUSH_EV_REACH};
    cut.reach.member = OTHER;
    step(&o, cut);
    EXPECT_EQ(o.u.count, 0);
    EXPECT_EQ(tick(&o, 1), PUSH_TICK_ALONE);
    EXPECT_EQ(say(&o, PUSH_FRAME_TAKEN, 1), PUSH_USED);
    EXPECT_EQ(push_open(o.push), 0);
    EXPECT_EQ(push_weight(o.push), PUSH_UNIT / 2);
    EXPECT_EQ(say(&o, PUSH_FRAME_TAKEN, 1), PUSH_DUPLICATE);
}

TEST(what_was_given_to_one_that_is_gone_is_taken_back)
{
    struct one o;
    begin(&o, 2, true);
    (void)tick(&o, 0);
    (void)say(&o, PUSH_FRAME_TAKE, 1);
    step(&o, (struct push_event){.kind = PUSH_EV_GONE, .gone = OTHER});
    EXPECT_EQ(o.u.actions[0].kind, PUSH_RESTORE);
    EXPECT_EQ(say(&o, PUSH_FRAME_TAKEN, 1), PUSH_OLD);
    step(&o, (struct push_event){.kind = PUSH_EV_RESTORED, .buffer = 0});
    EXPECT_EQ(push_weight(o.push), PUSH_UNIT);
    EXPECT_EQ(tick(&o, 1), PUSH_TICK_ALONE);
}

TEST(without_a_buffer_a_tick_gives_nothing_and_an_offer_is_returned)
{
    struct one o;
    begin(&o, 3, true);
    EXPECT_EQ(tick(&o, 0), PUSH_TICK_GAVE);
    EXPECT_EQ(tick(&o, 1), PUSH_TICK_FULL);
    offer(&o, OTHER, 4);
    EXPECT(said(&o, PUSH_FRAME_ASK));
    offer(&o, THIRD, 8);
    EXPECT(said(&o, PUSH_FRAME_RETURN));
    EXPECT_EQ(o.u.actions[0].header.count, 0);
}

TEST(a_gift_is_absorbed_once_however_often_it_comes)
{
    struct one o;
    begin(&o, 2, true);
    offer(&o, OTHER, 4);
    EXPECT_EQ(o.u.actions[0].header.count, 2);
    fill(&o, 4);
    EXPECT_EQ(o.u.actions[o.u.count - 1].header.kind, PUSH_FRAME_TAKE);
    EXPECT_EQ(hear(&o, gift(4, 100)), PUSH_USED);
    EXPECT_EQ(o.u.actions[0].header.kind, PUSH_FRAME_TAKEN);
    EXPECT_EQ(o.u.actions[1].kind, PUSH_ABSORB);
    EXPECT_EQ(o.u.actions[1].mark, 9);
    EXPECT_EQ(push_weight(o.push), PUSH_UNIT);
    EXPECT_EQ(hear(&o, gift(4, 100)), PUSH_DUPLICATE);
    EXPECT(said(&o, PUSH_FRAME_TAKEN));
    step(&o, (struct push_event){.kind = PUSH_EV_ABSORBED, .buffer = 0});
    EXPECT_EQ(push_weight(o.push), PUSH_UNIT + 100);
    EXPECT_EQ(hear(&o, gift(4, 100)), PUSH_DUPLICATE);
    EXPECT(said(&o, PUSH_FRAME_TAKEN));
    offer(&o, OTHER, 4);
    EXPECT(said(&o, PUSH_FRAME_TAKEN));
}

TEST(a_transfer_that_was_dropped_is_returned_and_never_taken)
{
    struct one o;
    begin(&o, 2, true);
    offer(&o, OTHER, 4);
    fill(&o, 4);
    timer(&o, PATIENCE_US);
    EXPECT_EQ(o.u.count, 0);
    EXPECT_EQ(hear(&o, gift(4, 100)), PUSH_DUPLICATE);
    EXPECT(said(&o, PUSH_FRAME_RETURN));
    offer(&o, OTHER, 4);
    EXPECT(said(&o, PUSH_FRAME_RETURN));
    EXPECT_EQ(hear(&o, gift(5, 100)), PUSH_USED); /* of which nothing is here */
    EXPECT(said(&o, PUSH_FRAME_RETURN));
    offer(&o, OTHER, 5);
    EXPECT(said(&o, PUSH_FRAME_RETURN));
    EXPECT_EQ(push_weight(o.push), PUSH_UNIT);
}

/* Else their weight is missing until they lose patience. */
TEST(who_hands_in_returns_what_is_on_its_way_at_once)
{
    struct one o;
    begin(&o, 2, true);
    offer(&o, OTHER, 1);
    step(&o, (struct push_event){.kind = PUSH_EV_CLOSE, .close = OTHER});
    EXPECT(said(&o, PUSH_FRAME_RETURN));
    EXPECT_EQ(o.u.actions[0].header.transfer, 1);
    EXPECT_EQ(o.u.actions[0].header.count, 1); /* and nothing more is wanted */
    begin(&o, 2, true);
    offer(&o, OTHER, 1);
    fill(&o, 1);
    step(&o, (struct push_event){.kind = PUSH_EV_CLOSE, .close = OTHER});
    EXPECT(said(&o, PUSH_FRAME_RETURN));
    (void)hear(&o, gift(1, 5));
    EXPECT(said(&o, PUSH_FRAME_RETURN));
}

TEST(missing_chunks_are_asked_for_again)
{
    struct one o;
    begin(&o, 2, true);
    offer(&o, OTHER, 1);
    (void)hear(&o,
               (struct push_frame){.kind = PUSH_FRAME_DATA, .transfer = 1, .chunk = 1, .count = 4});
    EXPECT_EQ(o.u.actions[0].kind, PUSH_KEEP);
    EXPECT_EQ(o.u.actions[0].offset, 4);
    EXPECT_EQ(o.u.actions[1].header.chunk, 2); /* the window goes on */
    timer(&o, RETRY_US);
    EXPECT(said(&o, PUSH_FRAME_ASK));
    EXPECT_EQ(o.u.actions[0].header.chunk, 0);
    EXPECT_EQ(o.u.actions[0].header.count, 1);
}

TEST(who_gave_away_nearly_all_keeps_the_rest)
{
    struct one o;
    begin(&o, 2, true);
    uint64_t number = 1;
    while (tick(&o, 0) == PUSH_TICK_GAVE) {
        (void)say(&o, PUSH_FRAME_TAKE, number);
        (void)say(&o, PUSH_FRAME_TAKEN, number);
        number++;
    }
    EXPECT_EQ(o.u.tick, PUSH_TICK_LIGHT);
    EXPECT_EQ(push_weight(o.push), PUSH_UNIT / PUSH_LEAST / 2);
    EXPECT_EQ(push_spread(o.push).least_ppm, 1000000 / PUSH_LEAST / 2);
}

TEST(lies_are_refused)
{
    struct one o;
    begin(&o, 2, true);
    offer(&o, OTHER, 4);
    EXPECT_EQ(
        hear(&o, (struct push_frame){.kind = PUSH_FRAME_OFFER, .transfer = 5, .elements = 11}),
        PUSH_INVALID);
    EXPECT_EQ(
        hear(&o,
             (struct push_frame){.kind = PUSH_FRAME_DATA, .transfer = 4, .chunk = 2, .count = 4}),
        PUSH_INVALID);
    EXPECT_EQ(say(&o, PUSH_FRAME_OFFER, 0), PUSH_INVALID);
    fill(&o, 4);
    EXPECT_EQ(hear(&o, gift(4, push_total(o.push) + 1)), PUSH_INVALID);
    EXPECT_EQ(
        hear(&o, (struct push_frame){.kind = PUSH_FRAME_TAKE, .transfer = 1, .generation = 4}),
        PUSH_EARLY);
    EXPECT_EQ(
        hear(&o, (struct push_frame){.kind = PUSH_FRAME_TAKE, .transfer = 1, .generation = 2}),
        PUSH_OLD);
    (void)tick(&o, 0);
    EXPECT_EQ(
        hear(&o,
             (struct push_frame){.kind = PUSH_FRAME_ASK, .transfer = 1, .chunk = 2, .count = 2}),
        PUSH_INVALID);
}
