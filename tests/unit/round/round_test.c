/* SPDX-License-Identifier: Apache-2.0
 *
 * Single rules of the round core, two or three members, frames made by hand. */
#include "round/round.h"
#include "tst.h"

#include <string.h>

enum { ELEMENTS = 8192, CHUNK = 1024, PER_SEGMENT = 4 }; /* two owners with four chunks each */

static const struct round_member RANGES[] = {{0, 2}, {2, 4}};
_Alignas(64) static uint8_t memory[1 << 16];
static struct round_update up;
static uint64_t now_us;

static struct round *two_members(uint32_t me)
{
    struct round_config config = {.elements_max = 2 * ELEMENTS,
                                  .chunk_elements = CHUNK,
                                  .window = 64,
                                  .retry_us = 1000,
                                  .stall_us = 10000};
    struct sh_arena arena;
    sh_arena_init(&arena, memory, sizeof memory);
    struct round *r = round_init(&config, &arena);
    struct round_event event = {.kind = ROUND_EV_START};
    event.start = (struct round_generation){
        .generation = 7, .ranks = 4, .members = 2, .me = me, .range = RANGES};
    round_step(r, &event, &up);
    return r;
}

static void step(struct round *r, struct round_event event)
{
    event.now_us = now_us;
    round_step(r, &event, &up);
    round_check(r);
}

static void begin(struct round *r, uint64_t sequence, uint64_t elements)
{
    struct round_event event = {.kind = ROUND_EV_BEGIN};
    event.begin.sequence = sequence;
    event.begin.elements = elements;
    step(r, event);
}

static void ready(struct round *r)
{
    step(r, (struct round_event){.kind = ROUND_EV_LOCAL_READY, .local = 0});
}

static void reduced(struct round *r, uint64_t sequence, uint32_t chunk)
{
    struct round_event event = {.kind = ROUND_EV_REDUCED};
    event.reduced.generation = 7;
    event.reduced.sequence = sequence;
    event.reduced.chunk = chunk;
    step(r, event);
}

static void sent(struct round *r, uint64_t sequence, enum round_frame_kind kind)
{
    struct round_event event = {.kind = ROUND_EV_SEND_DONE};
    event.sent.generation = 7;
    event.sent.sequence = sequence;
    event.sent.kind = kind;
    step(r, event);
}

static struct round_frame frame(enum round_frame_kind kind, uint64_t sequence, uint32_t chunk)
{
    return (struct round_frame){.kind = kind,
                                .from = 1,
                                .subtree = kind == ROUND_FRAME_PART ? 1 : 0,
                                .segment = (uint16_t)(chunk / PER_SEGMENT),
                                .chunk = chunk,
                                .count = CHUNK,
                                .generation = 7,
                                .sequence = sequence,
                                .elements = ELEMENTS,
                                .offset = chunk * (uint64_t)CHUNK};
}

static enum round_verdict take(struct round *r, struct round_frame header)
{
    struct round_event event = {.kind = ROUND_EV_FRAME};
    event.frame.from = 1;
    event.frame.header = header;
    step(r, event);
    return up.verdict;
}

static uint32_t count_actions(enum round_action_kind kind)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < up.count; i++) {
        count += up.actions[i].kind == kind ? 1 : 0;
    }
    return count;
}

/* Member 0 through one round, acknowledging all sends. */
static void whole_round(struct round *r, uint64_t sequence)
{
    begin(r, sequence, ELEMENTS);
    ready(r);
    for (uint32_t c = 0; c < PER_SEGMENT; c++) {
        sent(r, sequence, ROUND_FRAME_PART);
        (void)take(r, frame(ROUND_FRAME_PART, sequence, c));
    }
    for (uint32_t c = 0; c < PER_SEGMENT; c++) {
        reduced(r, sequence, c);
        (void)take(r, frame(ROUND_FRAME_RESULT, sequence, PER_SEGMENT + c));
    }
}

TEST(one_member_alone_reduces_every_chunk_and_is_done)
{
    static const struct round_member all = {0, 4};
    struct round *r = two_members(0);
    struct round_event event = {.kind = ROUND_EV_START};
    event.start = (struct round_generation){
        .generation = 8, .ranks = 4, .members = 1, .me = 0, .range = &all};
    step(r, event);
    begin(r, 0, CHUNK * 2);
    ready(r);
    EXPECT_EQ(count_actions(ROUND_REDUCE), 2);
    EXPECT_EQ(up.count, 2);
    event = (struct round_event){.kind = ROUND_EV_REDUCED};
    event.reduced.generation = 8;
    step(r, event);
    EXPECT_EQ(up.count, 0);
    event.reduced.chunk = 1;
    step(r, event);
    EXPECT_EQ(up.count, 1);
    EXPECT_EQ(up.actions[0].kind, ROUND_DONE);
}

TEST(local_sums_go_to_the_owner_once_ready)
{
    struct round *r = two_members(0);
    begin(r, 0, ELEMENTS);
    EXPECT_EQ(up.count, 0);
    ready(r);
    EXPECT_EQ(up.count, PER_SEGMENT);
    for (uint32_t i = 0; i < up.count; i++) {
        const struct round_action *a = &up.actions[i];
        EXPECT_EQ(a->kind, ROUND_SEND);
        EXPECT_EQ(a->to, 1);
        EXPECT_EQ(a->own, 0);
        EXPECT_EQ(a->header.kind, ROUND_FRAME_PART);
        EXPECT_EQ(a->header.subtree, 0);
        EXPECT_EQ(a->header.chunk, PER_SEGMENT + i);
        EXPECT_EQ(a->header.offset, (PER_SEGMENT + i) * CHUNK);
        EXPECT_EQ(a->header.count, CHUNK);
        EXPECT_EQ(a->header.generation, 7);
    }
}

TEST(a_chunk_is_reduced_when_the_last_of_own_and_foreign_sums_is_there)
{
    struct round *r = two_members(0);
    begin(r, 0, ELEMENTS);
    EXPECT_EQ(take(r, frame(ROUND_FRAME_PART, 0, 2)), ROUND_TAKEN);
    EXPECT_EQ(up.count, 1);
    EXPECT_EQ(up.actions[0].kind, ROUND_KEEP_PART);
    EXPECT_EQ(up.actions[0].part_offset, 2 * CHUNK);
    ready(r);
    EXPECT_EQ(count_actions(ROUND_REDUCE), 1);
    EXPECT_EQ(take(r, frame(ROUND_FRAME_PART, 0, 0)), ROUND_TAKEN);
    EXPECT_EQ(up.actions[0].kind, ROUND_KEEP_PART);
    EXPECT_EQ(up.actions[1].kind, ROUND_REDUCE);
    EXPECT_EQ(up.actions[1].header.chunk, 0);
}

TEST(a_reduced_chunk_is_sent_to_everyone_else)
{
    struct round *r = two_members(0);
    begin(r, 0, ELEMENTS);
    ready(r);
    (void)take(r, frame(ROUND_FRAME_PART, 0, 1));
    reduced(r, 0, 1);
    EXPECT_EQ(up.count, 1);
    EXPECT_EQ(up.actions[0].header.kind, ROUND_FRAME_RESULT);
    EXPECT_EQ(up.actions[0].header.chunk, 1);
    EXPECT_EQ(up.actions[0].to, 1);
}

TEST(a_repeated_frame_changes_nothing)
{
    struct round *r = two_members(0);
    begin(r, 0, ELEMENTS);
    ready(r);
    EXPECT_EQ(take(r, frame(ROUND_FRAME_PART, 0, 1)), ROUND_TAKEN);
    EXPECT_EQ(take(r, frame(ROUND_FRAME_PART, 0, 1)), ROUND_DUPLICATE);
    EXPECT_EQ(up.count, 0);
    EXPECT_EQ(take(r, frame(ROUND_FRAME_RESULT, 0, 5)), ROUND_TAKEN);
    EXPECT_EQ(take(r, frame(ROUND_FRAME_RESULT, 0, 5)), ROUND_DUPLICATE);
    EXPECT_EQ(up.count, 0);
}

TEST(parts_of_a_peer_one_round_ahead_are_kept)
{
    struct round *r = two_members(0);
    EXPECT_EQ(take(r, frame(ROUND_FRAME_PART, 0, 0)), ROUND_TAKEN);
    begin(r, 0, ELEMENTS);
    EXPECT_EQ(take(r, frame(ROUND_FRAME_PART, 0, 0)), ROUND_DUPLICATE);
    ready(r);
    EXPECT_EQ(count_actions(ROUND_REDUCE), 1);
}

TEST(parts_of_the_next_round_wait_until_the_part_buffers_are_free)
{
    struct round *r = two_members(0);
    begin(r, 0, ELEMENTS);
    ready(r);
    EXPECT_EQ(take(r, frame(ROUND_FRAME_PART, 1, 0)), ROUND_EARLY);
    EXPECT_EQ(up.count, 0);
    for (uint32_t c = 0; c < PER_SEGMENT; c++) {
        (void)take(r, frame(ROUND_FRAME_PART, 0, c));
        reduced(r, 0, c);
    }
    EXPECT_EQ(take(r, frame(ROUND_FRAME_PART, 1, 0)), ROUND_TAKEN);
    EXPECT_EQ(take(r, frame(ROUND_FRAME_PART, 2, 0)), ROUND_EARLY);
}

TEST(parts_kept_for_another_length_than_the_round_has_are_forgotten)
{
    struct round *r = two_members(0);
    EXPECT_EQ(take(r, frame(ROUND_FRAME_PART, 0, 0)), ROUND_TAKEN);
    begin(r, 0, 2 * ELEMENTS);
    ready(r);
    EXPECT_EQ(count_actions(ROUND_REDUCE), 0);
    EXPECT_EQ(take(r, frame(ROUND_FRAME_PART, 0, 0)), ROUND_INVALID);
}

TEST(frames_of_other_generations_are_dropped)
{
    struct round *r = two_members(0);
    begin(r, 0, ELEMENTS);
    struct round_frame f = frame(ROUND_FRAME_PART, 0, 0);
    f.generation = 6;
    EXPECT_EQ(take(r, f), ROUND_OLD);
    f.generation = 8;
    EXPECT_EQ(take(r, f), ROUND_EARLY);
    step(r, (struct round_event){.kind = ROUND_EV_ABORT});
    f.generation = 7;
    EXPECT_EQ(take(r, f), ROUND_OLD);
    EXPECT_EQ(round_counters(r).frames[ROUND_OLD], 2);
    EXPECT_EQ(up.count, 0);
}

struct bad_frame {
    const char *what;
    size_t field;
    uint64_t value;
    size_t size;
};

#define BAD(member, bad_value)                                                                     \
    {                                                                                              \
        .what = #member, .field = offsetof(struct round_frame, member), .value = (bad_value),      \
        .size = sizeof(((struct round_frame *)NULL)->member)                                       \
    }

static const struct bad_frame BAD_PARTS[] = {
    BAD(from, 0),
    BAD(from, 2),
    BAD(from, 999),
    BAD(subtree, 0),
    BAD(subtree, 2),
    BAD(subtree, 0xffff),
    BAD(segment, 1),
    BAD(segment, 64),
    BAD(chunk, 1),
    BAD(chunk, 4),
    BAD(chunk, 0xffffffff),
    BAD(count, 0),
    BAD(count, 1025),
    BAD(offset, 1),
    BAD(offset, UINT64_MAX),
    BAD(elements, 0),
    BAD(elements, 99),
    BAD(elements, 1 << 30),
    BAD(elements, UINT64_MAX),
};

TEST_ROWS(a_part_that_contradicts_the_plan_is_refused, BAD_PARTS)
{
    const struct bad_frame *bad = &BAD_PARTS[tst_row];
    struct round *r = two_members(0);
    begin(r, 0, ELEMENTS);
    struct round_frame f = frame(ROUND_FRAME_PART, 0, 0);
    memcpy((uint8_t *)&f + bad->field, &bad->value, bad->size);
    EXPECT_EQ(take(r, f), ROUND_INVALID);
    EXPECT_EQ(up.count, 0);
    EXPECT_EQ(take(r, frame(ROUND_FRAME_PART, 0, 0)), ROUND_TAKEN);
}

TEST(a_result_that_cannot_be_is_refused)
{
    struct round *r = two_members(0);
    begin(r, 0, ELEMENTS);
    EXPECT_EQ(take(r, frame(ROUND_FRAME_RESULT, 0, 5)), ROUND_INVALID); /* made without me */
    ready(r);
    EXPECT_EQ(take(r, frame(ROUND_FRAME_RESULT, 0, 1)), ROUND_INVALID); /* I own that chunk */
    EXPECT_EQ(take(r, frame(ROUND_FRAME_RESULT, 1, 5)), ROUND_EARLY);
    EXPECT_EQ(take(r, frame(ROUND_FRAME_RESULT, 0, 5)), ROUND_TAKEN);
}

TEST(what_is_missing_is_asked_for_after_a_pause_that_doubles)
{
    struct round *r = two_members(0);
    begin(r, 0, ELEMENTS);
    EXPECT_EQ(round_deadline_us(r), UINT64_MAX);
    ready(r);
    (void)take(r, frame(ROUND_FRAME_PART, 0, 1));
    for (uint64_t pause = 1000; pause <= 8000; pause *= 2) {
        EXPECT_EQ(round_deadline_us(r), now_us + pause < 10000 ? now_us + pause : 10000);
        now_us += pause;
        step(r, (struct round_event){.kind = ROUND_EV_TIMER});
        uint32_t asks = count_actions(ROUND_SEND);
        EXPECT_EQ(asks, 3); /* parts 0, parts 2 to 3, results 4 to 7 */
        EXPECT_EQ(up.actions[up.count - 3].header.count, 1);
        EXPECT_EQ(up.actions[up.count - 2].header.kind, ROUND_FRAME_ASK_PART);
        EXPECT_EQ(up.actions[up.count - 2].header.chunk, 2);
        EXPECT_EQ(up.actions[up.count - 2].header.count, 2);
        EXPECT_EQ(up.actions[up.count - 1].header.kind, ROUND_FRAME_ASK_RESULT);
        EXPECT_EQ(up.actions[up.count - 1].header.count, 4);
    }
}

TEST(a_question_is_answered_from_the_buffers_of_this_round)
{
    struct round *r = two_members(0);
    struct round_frame ask = frame(ROUND_FRAME_ASK_PART, 0, 5);
    ask.count = 2;
    ask.subtree = 0;
    begin(r, 0, ELEMENTS);
    EXPECT_EQ(take(r, ask), ROUND_EARLY);
    ready(r);
    EXPECT_EQ(take(r, ask), ROUND_TAKEN);
    EXPECT_EQ(up.count, 2);
    EXPECT_EQ(up.actions[0].header.kind, ROUND_FRAME_PART);
    EXPECT_EQ(up.actions[0].header.chunk, 5);
    ask.count = 4;
    EXPECT_EQ(take(r, ask), ROUND_INVALID); /* past the end */
    ask = frame(ROUND_FRAME_ASK_PART, 0, 1);
    ask.subtree = 0;
    ask.count = 1;
    EXPECT_EQ(take(r, ask), ROUND_INVALID); /* the chunk is mine, not the asker's */
}

TEST(the_last_round_is_still_answered_while_the_next_one_runs)
{
    struct round *r = two_members(0);
    whole_round(r, 0);
    EXPECT(!round_is_running(r));
    for (uint32_t c = 0; c < PER_SEGMENT; c++) {
        sent(r, 0, ROUND_FRAME_RESULT);
    }
    begin(r, 1, ELEMENTS);
    struct round_frame ask = frame(ROUND_FRAME_ASK_RESULT, 0, 1);
    ask.count = 6; /* own chunks and those of others: whoever has a result gives it */
    EXPECT_EQ(take(r, ask), ROUND_TAKEN);
    EXPECT_EQ(up.count, 6);
    EXPECT_EQ(up.actions[5].header.chunk, 6);
    EXPECT_EQ(up.actions[5].header.sequence, 0);
    EXPECT_EQ(take(r, frame(ROUND_FRAME_PART, 0, 1)), ROUND_OLD);
}

TEST(a_round_is_not_done_while_the_transport_reads_its_local_sums)
{
    struct round *r = two_members(0);
    begin(r, 0, ELEMENTS);
    ready(r);
    for (uint32_t c = 0; c < PER_SEGMENT; c++) {
        (void)take(r, frame(ROUND_FRAME_PART, 0, c));
        reduced(r, 0, c);
        (void)take(r, frame(ROUND_FRAME_RESULT, 0, PER_SEGMENT + c));
    }
    EXPECT_EQ(round_deadline_us(r), UINT64_MAX); /* nothing is late, no timer helps */
    for (uint32_t c = 0; c < PER_SEGMENT; c++) {
        EXPECT(round_is_running(r));
        sent(r, 0, ROUND_FRAME_PART);
    }
    EXPECT_EQ(up.actions[up.count - 1].kind, ROUND_DONE);
}

TEST(a_round_is_not_done_while_the_buffer_of_the_next_result_is_being_sent)
{
    struct round *r = two_members(0);
    whole_round(r, 0);
    whole_round(r, 1); /* the four result frames of round 0 are still under way */
    EXPECT(round_is_running(r));
    for (uint32_t c = 0; c < PER_SEGMENT; c++) {
        EXPECT(round_is_running(r));
        sent(r, 0, ROUND_FRAME_RESULT);
    }
    EXPECT(!round_is_running(r));
}

/* The same when a part from a peer one round ahead has already taken over that round's bookkeeping.
 */
TEST(result_sends_of_a_forgotten_round_still_hold_its_buffer)
{
    struct round *r = two_members(0);
    whole_round(r, 0); /* its four result frames stay under way */
    begin(r, 1, ELEMENTS);
    ready(r);
    for (uint32_t c = 0; c < PER_SEGMENT; c++) {
        sent(r, 1, ROUND_FRAME_PART);
        (void)take(r, frame(ROUND_FRAME_PART, 1, c));
        reduced(r, 1, c);
    }
    EXPECT_EQ(take(r, frame(ROUND_FRAME_PART, 2, 0)), ROUND_TAKEN);
    for (uint32_t c = 0; c < PER_SEGMENT; c++) {
        (void)take(r, frame(ROUND_FRAME_RESULT, 1, PER_SEGMENT + c));
    }
    for (uint32_t c = 0; c < PER_SEGMENT; c++) {
        EXPECT(round_is_running(r));
        sent(r, 0, ROUND_FRAME_RESULT);
    }
    EXPECT(!round_is_running(r));
}

TEST(a_result_its_owner_does_not_give_is_asked_of_another_member)
{
    static const struct round_member ranges[] = {{0, 2}, {2, 3}, {3, 4}};
    struct round *r = two_members(0);
    struct round_event event = {.kind = ROUND_EV_START};
    event.start = (struct round_generation){
        .generation = 8, .ranks = 4, .members = 3, .me = 2, .range = ranges};
    step(r, event);
    begin(r, 0, CHUNK); /* one chunk, owned by member 0 */
    ready(r);
    uint32_t asked[3] = {0};
    for (uint32_t i = 0; i < 6; i++) {
        now_us = round_deadline_us(r);
        step(r, (struct round_event){.kind = ROUND_EV_TIMER});
        for (uint32_t k = 0; k < up.count; k++) {
            asked[up.actions[k].to] += up.actions[k].kind == ROUND_SEND ? 1 : 0;
        }
    }
    EXPECT(asked[0] >= 2);
    EXPECT(asked[1] >= 1);
    EXPECT_EQ(asked[2], 0);
}

TEST(no_more_sends_than_the_window_are_outstanding)
{
    static const struct round_member ranges[] = {{0, 2}, {2, 4}};
    struct round_config config = {.elements_max = ELEMENTS,
                                  .chunk_elements = 128,
                                  .window = 3,
                                  .retry_us = 1000,
                                  .stall_us = 10000};
    struct sh_arena arena;
    sh_arena_init(&arena, memory, sizeof memory);
    struct round *r = round_init(&config, &arena);
    struct round_event event = {.kind = ROUND_EV_START};
    event.start = (struct round_generation){
        .generation = 7, .ranks = 4, .members = 2, .me = 1, .range = ranges};
    step(r, event);
    begin(r, 0, ELEMENTS);
    ready(r);
    EXPECT_EQ(up.count, 3);
    for (uint32_t i = 0; i < 29; i++) {
        sent(r, 0, ROUND_FRAME_PART);
        EXPECT_EQ(up.count, 1);
    }
    sent(r, 0, ROUND_FRAME_PART);
    EXPECT_EQ(up.count, 0);
}

TEST(completions_of_an_earlier_generation_are_ignored)
{
    struct round *r = two_members(0);
    begin(r, 0, ELEMENTS);
    ready(r);
    struct round_event event = {.kind = ROUND_EV_START, .now_us = now_us};
    event.start = (struct round_generation){
        .generation = 9, .ranks = 4, .members = 2, .me = 0, .range = RANGES};
    step(r, event);
    sent(r, 0, ROUND_FRAME_PART);
    reduced(r, 0, 0);
    EXPECT_EQ(up.count, 0);
}

TEST_DIES(a_send_that_was_never_ordered_cannot_be_done, "*out > 0")
{
    struct round *r = two_members(0);
    begin(r, 0, ELEMENTS);
    sent(r, 0, ROUND_FRAME_PART);
}

TEST_DIES(rounds_begin_in_order, "sequence == r->next")
{
    struct round *r = two_members(0);
    begin(r, 1, ELEMENTS);
}

TEST_DIES(a_generation_never_goes_back, "g->generation > r->generation")
{
    struct round *r = two_members(0);
    struct round_event event = {.kind = ROUND_EV_START};
    event.start = (struct round_generation){
        .generation = 7, .ranks = 4, .members = 2, .me = 0, .range = RANGES};
    step(r, event);
}

TEST_DIES(ranges_must_cover_all_ranks, "rank == g->ranks")
{
    static const struct round_member ranges[] = {{0, 1}, {1, 3}};
    struct round *r = two_members(0);
    struct round_event event = {.kind = ROUND_EV_START};
    event.start = (struct round_generation){
        .generation = 8, .ranks = 4, .members = 2, .me = 0, .range = ranges};
    step(r, event);
}

TEST(verdicts_have_names)
{
    EXPECT_STR(round_verdict_name(ROUND_NONE), "none");
    EXPECT_STR(round_verdict_name(ROUND_EARLY), "early");
    EXPECT_STR(round_verdict_name(ROUND_INVALID), "invalid");
}
