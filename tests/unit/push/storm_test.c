/* SPDX-License-Identifier: Apache-2.0
 *
 * A thousand members that average while frames are lost, repeated and overtake each other, members
 * die, are slow, and are parted: not a unit of mass is lost or counted twice, and once it is calm
 * all come to the same average in a number of ticks that grows with the logarithm of their number.
 */
#include "flock.h"
#include "tst.h"

/* WAITS: ticks until the last transfer of the storm is given up and the last partition is
 * forgotten. */
enum { TICK_US = 50000, PART_OF_SPREAD = 1000, WAITS = 16 };

static const struct flock_config BAD = {.loss_percent = 10,
                                        .repeat_percent = 5,
                                        .delay_us = 8000,
                                        .tick_us = TICK_US,
                                        .learns = true,
                                        .see_us = 100000};

static void kill_some(struct flock *f, struct sh_rng *rng, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t member = (uint32_t)sh_rng_below(rng, flock_config(f)->members);
        if (flock_member(f, member)->alive) {
            flock_kill(f, member);
        }
    }
}

static void slow_some(struct flock *f, struct sh_rng *rng, bool on)
{
    for (uint32_t i = 0; i < flock_config(f)->members; i++) {
        flock_member(f, i)->slow = on && sh_rng_chance(rng, 1, 10) ? 8 : 1;
    }
}

static void storm(struct flock *f, struct sh_rng *rng, uint32_t turns)
{
    uint32_t members = flock_config(f)->members;
    flock_run(f, flock_now_us(f) + (uint64_t)20 * TICK_US);
    slow_some(f, rng, true);
    for (uint32_t turn = 0; turn < turns; turn++) {
        kill_some(f, rng, members / 100 + (sh_rng_chance(rng, 1, 4) ? 1 : 0));
        flock_part(f, turn % 3 == 1);
        for (uint32_t i = 0; i < 10; i++) {
            flock_run(f, flock_now_us(f) + TICK_US);
            flock_count(f);
        }
    }
    flock_part(f, false);
    slow_some(f, rng, false);
}

static uint32_t log2_of(uint32_t members)
{
    uint32_t hops = 0;
    while ((UINT32_C(1) << hops) < members) {
        hops++;
    }
    return hops;
}

/* In so many ticks of calm all living members come to differ by less than a thousandth of what they
 * differed by when it began. */
static void calm_down(struct flock *f, uint32_t ticks_max)
{
    flock_config(f)->loss_percent = 0;
    flock_config(f)->repeat_percent = 0;
    flock_config(f)->learns = false;
    double before = flock_spread(f);
    uint32_t ticks = 0;
    while (flock_spread(f) * PART_OF_SPREAD > before) {
        flock_run(f, flock_now_us(f) + TICK_US);
        flock_count(f);
        ticks++;
        EXPECT(ticks <= ticks_max);
    }
}

static void play(uint32_t members, uint32_t generations, uint32_t turns)
{
    struct sh_rng rng;
    struct flock_config config = BAD;
    config.seed = tst_seed() + members;
    config.members = members;
    sh_rng_init(&rng, config.seed + 1);
    struct flock *f = flock_new(&config);
    for (uint32_t g = 0; g < generations; g++) {
        *flock_config(f) = config;
        flock_start(f, 100000);
        flock_count(f);
        storm(f, &rng, turns);
        calm_down(f, WAITS + 8 * log2_of(members));
    }
    EXPECT_EQ(flock_verdicts(f, PUSH_INVALID), 0);
    EXPECT(members < 1000 || flock_verdicts(f, PUSH_DUPLICATE) > 0);
    EXPECT(members < 1000 || flock_verdicts(f, PUSH_OLD) > 0);
    flock_free(f);
}

TEST(a_few_members_in_a_storm_lose_nothing_and_agree_when_it_is_over)
{
    for (uint32_t members = 2; members <= 9; members++) {
        play(members, 12, 4);
    }
}

TEST(a_thousand_members_in_a_storm_lose_nothing_and_agree_when_it_is_over)
{
    play(1000, 2, tst_slower() > 1 ? 1 : 4);
}
