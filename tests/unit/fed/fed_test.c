/* SPDX-License-Identifier: Apache-2.0
 *
 * Stories about single rounds are in tests/golden/fed. */
#include "fed/fed.h"
#include "tst.h"

#include <stdlib.h>
#include <string.h>

#define MEMBERS 100u

static struct fed *found(const struct fed_config *config)
{
    struct sh_arena arena;
    size_t size = (fed_bytes(config->members_max) + 63) / 64 * 64;
    void *memory = aligned_alloc(64, size);
    EXPECT(memory != NULL);
    memset(memory, 0, size);
    sh_arena_init(&arena, memory, size);
    struct fed *f = fed_init(config, &arena);
    EXPECT((void *)f == memory);
    return f;
}

static struct fed_config halves(uint64_t seed)
{
    return (struct fed_config){.members_max = MEMBERS,
                               .seed = seed,
                               .rounds = 1000,
                               .select = FED_FRACTION,
                               .fraction_ppm = 500000,
                               .over_permille = 1000,
                               .goal_ppm = 1000000,
                               .least = 1,
                               .hard_us = 1000000,
                               .skips_max = 3};
}

/* Who is asked in a round, as bits, where the members joined from `first` on around. */
static void asked_in(uint64_t seed, uint64_t round, uint32_t first, bool asked[MEMBERS])
{
    struct fed_config config = halves(seed);
    struct fed *f = found(&config);
    struct fed_update u;
    memset(asked, 0, MEMBERS * sizeof *asked);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        uint32_t slot = (i + first) % MEMBERS; /* slots differ from host to host, keys do not */
        fed_step(f, &(struct fed_event){.kind = FED_EV_JOIN, .member = i, .key = slot}, &u);
        EXPECT_EQ(u.count, 0);
    }
    struct fed_event e = {.kind = FED_EV_START, .start = {.round = round}};
    fed_step(f, &e, &u);
    for (bool more = true; more;) {
        for (uint32_t i = 0; i < u.count; i++) {
            if (u.actions[i].kind == FED_DO_INVITE) {
                asked[(u.actions[i].member + first) % MEMBERS] = true;
            }
        }
        more = fed_deadline_us(f) == 0;
        fed_step(f, &(struct fed_event){.kind = FED_EV_TIMER}, &u);
    }
    fed_check(f);
    free(f);
}

TEST(every_host_draws_the_same_cohort_from_seed_and_round)
{
    bool one[MEMBERS];
    bool other[MEMBERS];
    uint32_t count = 0;
    asked_in(7, 3, 0, one);
    asked_in(7, 3, 41, other);
    EXPECT_MEM(one, other, sizeof one);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        count += one[i];
    }
    EXPECT_EQ(count, 50);
    asked_in(7, 4, 0, other);
    EXPECT(memcmp(one, other, sizeof one) != 0);
    asked_in(8, 3, 0, other);
    EXPECT(memcmp(one, other, sizeof one) != 0);
}

TEST(over_many_rounds_everybody_is_asked_about_as_often)
{
    uint32_t times[MEMBERS] = {0};
    bool asked[MEMBERS];
    for (uint64_t round = 0; round < 200; round++) {
        asked_in(1, round, 0, asked);
        for (uint32_t i = 0; i < MEMBERS; i++) {
            times[i] += asked[i];
        }
    }
    for (uint32_t i = 0; i < MEMBERS; i++) { /* 100 on average, deviation 7 */
        EXPECT(times[i] > 65 && times[i] < 135);
    }
}

TEST(a_successor_goes_on_where_the_state_says)
{
    struct fed_config config = halves(1);
    struct fed_update u;
    config.select = FED_ALL;
    config.patience = 2;
    struct fed *f = found(&config);
    fed_step(f, &(struct fed_event){.kind = FED_EV_JOIN, .member = 9, .key = 9}, &u);
    struct fed_event start = {.kind = FED_EV_START,
                              .start = {.round = 5, .scored = true, .best = 0.5, .not_best = 1}};
    fed_step(f, &start, &u);
    EXPECT_EQ(fed_round(f), 5);
    fed_step(f, &(struct fed_event){.kind = FED_EV_UPDATE, .member = 9, .round = 5}, &u);
    EXPECT_EQ(u.actions[0].kind, FED_DO_CLOSE);
    struct fed_resume next = fed_resume(f, true, 0.4);
    EXPECT_EQ(next.round, 6);
    EXPECT_EQ(next.end, FED_END_PATIENCE);
    next = fed_resume(f, true, 0.6);
    EXPECT_EQ(next.end, FED_END_NONE);
    EXPECT_EQ(next.not_best, 0);
    start.start = fed_resume(f, true, 0.4);
    fed_step(f, &start, &u); /* nothing is left to be done */
    EXPECT_EQ(u.actions[0].kind, FED_DO_END);
    EXPECT_EQ(u.actions[0].end, FED_END_PATIENCE);
    free(f);
}

TEST(an_update_that_comes_while_a_round_is_committed_is_none_of_its_entries)
{
    struct fed_config config = halves(1);
    struct fed_update u;
    struct fed_entry entry;
    config.select = FED_ALL;
    config.goal_count = 1;
    config.late_max = 1;
    struct fed *f = found(&config);
    for (uint32_t i = 0; i < 2; i++) {
        fed_step(f, &(struct fed_event){.kind = FED_EV_JOIN, .member = i, .key = i}, &u);
    }
    fed_step(f, &(struct fed_event){.kind = FED_EV_START}, &u);
    fed_step(f, &(struct fed_event){.kind = FED_EV_UPDATE, .member = 0, .update = 7}, &u);
    EXPECT_EQ(u.actions[0].kind, FED_DO_CLOSE);
    fed_step(f, &(struct fed_event){.kind = FED_EV_UPDATE, .member = 1, .update = 8}, &u);
    EXPECT_EQ(u.verdict, FED_VERDICT_KEPT);
    EXPECT(fed_entry(f, 0, &entry));
    EXPECT(!fed_entry(f, 1, &entry));
    fed_step(f, &(struct fed_event){.kind = FED_EV_COMMITTED}, &u);
    EXPECT(!fed_entry(f, 0, &entry));
    EXPECT(fed_entry(f, 1, &entry));
    EXPECT_EQ(entry.update, 8);
    fed_check(f);
    free(f);
}

TEST_DIES(a_configuration_without_a_goal_is_a_bug, "goal")
{
    struct fed_config config = halves(1);
    config.goal_ppm = 0;
    found(&config);
}
