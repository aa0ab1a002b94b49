/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/health.h"
#include "tst.h"

#define MINUTE UINT64_C(60000000)
#define START  (UINT64_C(1000) * MINUTE)

static void id(uint8_t *out, uint8_t number)
{
    memset(out, number, SH_NODE_ID_BYTES);
}

TEST(three_failures_that_count_within_minutes_are_a_quarantine)
{
    struct jobs_health h = {0};
    EXPECT(!jobs_health_blame(&h, START));
    EXPECT(!jobs_health_blame(&h, START + MINUTE));
    EXPECT(!jobs_health_quarantined(&h, START + MINUTE));
    EXPECT(jobs_health_blame(&h, START + 2 * MINUTE));
    EXPECT(jobs_health_quarantined(&h, START + 2 * MINUTE));
    EXPECT(jobs_health_quarantined(&h, START + 12 * MINUTE - 1));
    EXPECT(!jobs_health_fit(&h, true, START + 12 * MINUTE - 1)); /* nobody asked yet */
    EXPECT(!jobs_health_untested(&h, START + 12 * MINUTE - 1));
    EXPECT(jobs_health_untested(&h, START + 12 * MINUTE));
    EXPECT(jobs_health_quarantined(&h, START + 12 * MINUTE));
    EXPECT(jobs_health_fit(&h, true, START + 12 * MINUTE));
    EXPECT(!jobs_health_quarantined(&h, START + 12 * MINUTE));
    EXPECT(jobs_health_on_trial(&h, START + 12 * MINUTE));
    EXPECT(!jobs_health_fit(&h, true, START + 12 * MINUTE)); /* said already */
}

TEST(an_agent_whose_self_test_failed_stays_in_quarantine)
{
    struct jobs_health h = {0};
    EXPECT(!jobs_health_parole(&h, START)); /* is in none */
    for (uint32_t i = 0; i < 3; i++) {
        (void)jobs_health_blame(&h, START);
    }
    EXPECT(jobs_health_parole(&h, START + MINUTE));
    EXPECT(jobs_health_untested(&h, START + MINUTE));
    EXPECT(!jobs_health_blame(&h, START + MINUTE)); /* what began before ends there */
    jobs_health_completed(&h, START + MINUTE);
    EXPECT_EQ(h.trial, JOBS_TRIAL_UNITS);
    EXPECT(jobs_health_fit(&h, false, START + 2 * MINUTE));
    EXPECT_EQ(h.until_us, START + 2 * MINUTE + 2 * JOBS_QUARANTINE_US);
    EXPECT(!jobs_health_on_trial(&h, h.until_us));
}

TEST(failures_that_are_far_apart_do_not_add_up)
{
    struct jobs_health h = {0};
    for (uint64_t i = 0; i < 20; i++) {
        EXPECT(!jobs_health_blame(&h, START + i * 10 * MINUTE));
        EXPECT(jobs_health_score(&h, START + i * 10 * MINUTE) < 2000);
    }
    EXPECT_EQ(jobs_health_score(&h, START + 1000 * MINUTE), 0);
}

TEST(a_failure_counts_when_another_job_failed_there_of_late)
{
    struct jobs_health h = {0};
    EXPECT(!jobs_health_failed(&h, 7, START));
    EXPECT(!jobs_health_failed(&h, 7, START + MINUTE)); /* the same job again */
    EXPECT_EQ(jobs_health_score(&h, START + MINUTE), 0);
    EXPECT(jobs_health_failed(&h, 8, START + 2 * MINUTE));
    EXPECT(jobs_health_failed(&h, 9, START + 3 * MINUTE));
    EXPECT(!jobs_health_quarantined(&h, START + 3 * MINUTE));
    EXPECT(jobs_health_failed(&h, 10, START + 4 * MINUTE));
    EXPECT(jobs_health_quarantined(&h, START + 4 * MINUTE));
    struct jobs_health late = {0};
    EXPECT(!jobs_health_failed(&late, 7, START));
    EXPECT(!jobs_health_failed(&late, 8, START + JOBS_SUSPECT_US));
    EXPECT(jobs_health_failed(&late, 7, START + 2 * JOBS_SUSPECT_US - 1));
}

TEST(a_quarantine_is_twice_as_long_each_time_up_to_six_hours)
{
    static const uint64_t minutes[] = {10, 20, 40, 80, 160, 320, 360, 360};
    struct jobs_health h = {0};
    uint64_t now = START;
    for (uint32_t i = 0; i < 2; i++) {
        EXPECT(!jobs_health_blame(&h, now));
    }
    for (uint32_t i = 0; i < SH_COUNT(minutes); i++) {
        EXPECT(jobs_health_blame(&h, now)); /* on trial one is enough */
        EXPECT_EQ(h.until_us, now + minutes[i] * MINUTE);
        EXPECT(!jobs_health_blame(&h, now + MINUTE)); /* in quarantine nothing counts */
        now = h.until_us;
        EXPECT(jobs_health_fit(&h, true, now));
        jobs_health_completed(&h, now); /* one of the two it needs */
        EXPECT(jobs_health_on_trial(&h, now));
    }
}

TEST(two_completed_units_end_a_trial_and_clear_the_agent)
{
    struct jobs_health h = {0};
    for (uint32_t i = 0; i < 3; i++) {
        (void)jobs_health_blame(&h, START);
    }
    jobs_health_completed(&h, START + MINUTE); /* in quarantine: it began before */
    EXPECT_EQ(h.trial, JOBS_TRIAL_UNITS);
    EXPECT(jobs_health_fit(&h, true, START + 10 * MINUTE));
    jobs_health_completed(&h, START + 10 * MINUTE);
    EXPECT_EQ(h.trial, 1);
    jobs_health_completed(&h, START + 11 * MINUTE);
    EXPECT_EQ(h.trial, 0);
    EXPECT_EQ(h.strikes, 0);
    EXPECT(!jobs_health_on_trial(&h, START + 11 * MINUTE));
}

TEST(the_same_failure_on_three_agents_is_poison)
{
    struct jobs_trouble t = {0};
    uint8_t node[SH_NODE_ID_BYTES];
    uint64_t kind = jobs_failure_kind(SH_ERR_IO, "exit 1");
    id(node, 1);
    EXPECT(!jobs_trouble_add(&t, node, kind, START));
    EXPECT(!jobs_trouble_add(&t, node, kind, START));
    id(node, 2);
    EXPECT(!jobs_trouble_add(&t, node, kind, START));
    id(node, 3);
    EXPECT(!jobs_trouble_add(&t, node, jobs_failure_kind(SH_ERR_IO, "exit 2"), START));
    EXPECT(!jobs_trouble_add(&t, node, jobs_failure_kind(SH_ERR_INVALID, "exit 1"), START));
    EXPECT(jobs_trouble_add(&t, node, kind, START + 1));
    EXPECT_EQ(t.count, 6);
    EXPECT_EQ(t.failures[0].at_us, START + 1);
}

TEST(the_oldest_failures_of_a_unit_are_forgotten)
{
    struct jobs_trouble t = {0};
    uint8_t node[SH_NODE_ID_BYTES];
    for (uint8_t i = 0; i < JOBS_TROUBLE_MAX + 3; i++) {
        id(node, i);
        EXPECT(!jobs_trouble_add(&t, node, i, START + i));
    }
    EXPECT_EQ(t.count, JOBS_TROUBLE_MAX);
    EXPECT_EQ(t.failures[0].node[0], JOBS_TROUBLE_MAX + 2);
    EXPECT_EQ(t.failures[JOBS_TROUBLE_MAX - 1].node[0], 3);
}

TEST(a_unit_waits_longer_after_each_failure_up_to_five_minutes)
{
    uint64_t least = UINT64_MAX;
    uint64_t most = 0;
    for (uint32_t unit = 0; unit < 1000; unit++) {
        struct wire_unit at = {.job = 7, .unit = unit};
        for (uint32_t n = 1; n < 40; n++) {
            uint64_t full = n < 7 ? JOBS_BACKOFF_US << (n - 1) : JOBS_BACKOFF_MAX_US;
            uint64_t wait = jobs_backoff_us(at, n);
            EXPECT(wait >= full / 2 && wait <= full);
            least = n == 1 && wait < least ? wait : least;
            most = n == 1 && wait > most ? wait : most;
        }
    }
    EXPECT(least < JOBS_BACKOFF_US * 51 / 100 && most > JOBS_BACKOFF_US * 99 / 100);
}
