/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange.h"
#include "tst.h"

static const uint32_t LENGTHS[] = {9000, 3, 20000, 3, 4100};
static const uint32_t LONG_LENGTHS[] = {40000, 39999};

static struct exchange_config quiet(uint32_t members, uint32_t ranks)
{
    return (struct exchange_config){.seed = tst_seed() + members * 100 + ranks,
                                    .members = members,
                                    .ranks = ranks,
                                    .chunk_elements = 1024,
                                    .window = 8,
                                    .rounds = SH_COUNT(LENGTHS),
                                    .delay_us = 3000,
                                    .elements = LENGTHS};
}

static uint64_t run_to_end(const struct exchange_config *config)
{
    struct exchange *x = exchange_new(config);
    exchange_start(x, 1, config->members);
    exchange_run(x, 600000000);
    uint64_t digest = exchange_digest(x);
    exchange_free(x);
    return digest;
}

TEST(every_split_of_the_ranks_gives_the_tree_sum)
{
    for (uint32_t ranks = 4; ranks <= 16; ranks *= 2) {
        for (uint32_t members = 1; members <= EXCHANGE_MEMBERS_MAX && members <= ranks; members++) {
            struct exchange_config config = quiet(members, ranks);
            (void)run_to_end(&config);
        }
    }
}

TEST(every_split_of_the_ranks_gives_the_tree_sum_on_a_bad_network)
{
    for (uint32_t ranks = 4; ranks <= 16; ranks *= 2) {
        for (uint32_t members = 1; members <= EXCHANGE_MEMBERS_MAX && members <= ranks; members++) {
            struct exchange_config config = quiet(members, ranks);
            config.loss_percent = 15;
            config.repeat_percent = 15;
            config.delay_us = 30000; /* longer than the pause before asking again */
            config.window = 1 + (ranks + members) % 5;
            (void)run_to_end(&config);
        }
    }
}

TEST(long_vectors_with_more_chunks_than_one_update_holds_arrive)
{
    for (uint32_t window = 1; window <= 100; window += 33) {
        struct exchange_config config = quiet(5, 8);
        config.chunk_elements = 256;
        config.window = window;
        config.rounds = SH_COUNT(LONG_LENGTHS);
        config.elements = LONG_LENGTHS;
        config.loss_percent = 3;
        (void)run_to_end(&config);
    }
}

TEST(without_loss_nothing_is_asked_for_and_no_frame_is_sent_twice)
{
    struct exchange_config config = quiet(4, 16);
    config.delay_us = 2000;
    struct exchange *x = exchange_new(&config);
    exchange_start(x, 1, 4);
    exchange_run(x, 600000000);
    while (exchange_turn(x)) {
    }
    for (uint32_t m = 0; m < 4; m++) {
        struct round_counters c = round_counters(exchange_round(x, m));
        EXPECT_EQ(c.asks_sent, 0);
        EXPECT_EQ(c.frames[ROUND_DUPLICATE], 0);
        EXPECT_EQ(c.frames[ROUND_EARLY], 0);
        EXPECT_EQ(c.frames[ROUND_OLD], 0);
        EXPECT_EQ(c.frames[ROUND_INVALID], 0);
        EXPECT(c.frames[ROUND_TAKEN] > 0);
    }
    exchange_free(x);
}

TEST(an_abort_at_any_moment_lets_the_next_generation_begin)
{
    struct sh_rng rng;
    sh_rng_init(&rng, tst_seed());
    struct exchange_config config = quiet(6, 16);
    config.loss_percent = 5;
    config.repeat_percent = 10;
    struct exchange *x = exchange_new(&config);
    for (uint64_t generation = 1; generation <= 40; generation++) {
        exchange_start(x, generation, (uint32_t)sh_rng_between(&rng, 1, 8));
        uint64_t turns = sh_rng_below(&rng, 4000);
        for (uint64_t i = 0; i < turns && !exchange_is_done(x); i++) {
            EXPECT(exchange_turn(x));
        }
        if (sh_rng_chance(&rng, 1, 2)) {
            exchange_abort(x); /* else the new generation supersedes without a word */
        }
    }
    exchange_start(x, 41, 8);
    exchange_run(x, exchange_now_us(x) + 600000000);
    exchange_free(x);
}

TEST(members_that_wait_name_the_one_that_computes_nothing)
{
    struct exchange_config config = quiet(4, 16);
    struct exchange *x = exchange_new(&config);
    exchange_mute(x, 2);
    exchange_start(x, 1, 4);
    while (exchange_now_us(x) < 5000000) {
        EXPECT(exchange_turn(x));
    }
    /* 9000 elements: members 0 and 1 are owners and lack parts of 2, everybody lacks results. */
    EXPECT_EQ(exchange_waiting_parts(x, 0), 4);
    EXPECT_EQ(exchange_waiting_parts(x, 1), 4);
    EXPECT_EQ(exchange_waiting_parts(x, 3), 0);
    EXPECT_EQ(exchange_waiting_results(x, 0), 2);
    EXPECT_EQ(exchange_waiting_results(x, 3), 3);
    EXPECT_EQ(exchange_waiting_parts(x, 2), 0);
    EXPECT_EQ(exchange_waiting_results(x, 2), 0);
    EXPECT(round_counters(exchange_round(x, 0)).stalls >= 3);
    exchange_free(x);
}

TEST(the_same_seed_gives_the_same_history)
{
    struct exchange_config config = quiet(7, 16);
    config.loss_percent = 10;
    config.repeat_percent = 10;
    uint64_t digest = run_to_end(&config);
    EXPECT_EQ(run_to_end(&config), digest);
    config.seed++;
    EXPECT(run_to_end(&config) != digest);
}
