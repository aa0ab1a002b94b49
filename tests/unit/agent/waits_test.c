/* SPDX-License-Identifier: Apache-2.0 */
#include "waits.h"

#include "tst.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND UINT64_C(1000000)
#define START  (UINT64_C(1000000) * SECOND)

enum { UNITS = 8 };

static struct waits *w;
static struct members *members;
static struct place_unit units[UNITS];
static struct place_verdict verdicts[UNITS];
static struct place_refusal refusals[UNITS];
static struct place_output out;
static uint32_t unit_count;
static uint32_t said;
static uint64_t said_job;
static char text[4096];

static void on_say(void *ctx, uint64_t job, const char *const *lines, uint32_t count)
{
    (void)ctx;
    said++;
    said_job = job;
    text[0] = '\0';
    for (uint32_t i = 0; i < count; i++) {
        size_t used = strlen(text);
        (void)snprintf(text + used, sizeof text - used, "%s\n", lines[i]);
    }
}

static void start(void)
{
    static const uint8_t me[SH_NODE_ID_BYTES] = {9};
    memset(units, 0, sizeof units);
    memset(verdicts, 0, sizeof verdicts);
    memset(refusals, 0, sizeof refusals);
    w = waits_open();
    EXPECT(w != NULL);
    EXPECT_EQ(members_open(&members, me), SH_OK);
    unit_count = 0;
    said = 0;
    out = (struct place_output){.verdicts = verdicts, .refusals = refusals};
}

static void stop(void)
{
    waits_close(w);
    members_close(members);
}

/* A unit that waits since then, and no agent fits it. */
static void waiting(uint64_t job, uint64_t since_us, enum wire_reason agents)
{
    uint32_t i = unit_count++;
    units[i] = (struct place_unit){.unit = {.job = job}, .since_us = since_us};
    (void)snprintf(units[i].need.conditions, sizeof units[i].need.conditions, "zone=lab;disk=nvme");
    verdicts[i] = (struct place_verdict){
        .unit = units[i].unit, .reason = WIRE_REASON_MIN_AGENTS, .need = 1, .position = 1};
    refusals[i] = (struct place_refusal){
        .unit = units[i].unit, .node = {7, 7}, .reason = agents, .need = 1, .have = 0};
    out.refusal_count = unit_count;
}

/* One pass; how many units it asked about. */
static uint32_t pass(uint64_t now_us)
{
    struct wire_unit asked[WAITS_ASKED_MAX];
    uint32_t count = waits_begin(w, units, unit_count, now_us, asked, 0);
    waits_end(w, members, units, unit_count, now_us, &out, on_say, NULL);
    return count;
}

TEST(a_job_says_why_once_it_has_waited_half_a_minute)
{
    start();
    waiting(7, START, WIRE_REASON_TOO_FEW_CPUS);
    EXPECT_EQ(pass(START + 29 * SECOND), 0);
    EXPECT_EQ(said, 0);
    EXPECT_EQ(pass(START + 30 * SECOND), 1);
    EXPECT_EQ(said, 1);
    EXPECT_EQ(said_job, 7);
    EXPECT(strstr(text, "waits since 30 s, because\n") == text);
    EXPECT(strstr(text, "the job: fewer agents fit than the job needs at least") != NULL);
    EXPECT(strstr(text, "07070000: has too few free cores (needs 1, has 0)") != NULL);
    for (uint64_t s = 31; s < 600; s++) {
        (void)pass(START + s * SECOND);
    }
    EXPECT_EQ(said, 1); /* the reason stays */
    stop();
}

TEST(another_reason_is_said_at_most_once_a_minute)
{
    start();
    waiting(7, START, WIRE_REASON_TOO_FEW_CPUS);
    (void)pass(START + 30 * SECOND);
    refusals[0].reason = WIRE_REASON_LABELS;
    (void)pass(START + 89 * SECOND);
    EXPECT_EQ(said, 1);
    (void)pass(START + 90 * SECOND);
    EXPECT_EQ(said, 2);
    EXPECT(strstr(text, "(disk=nvme)") != NULL); /* the second condition */
    verdicts[0].reason = WIRE_REASON_QUOTA;
    (void)pass(START + 150 * SECOND);
    EXPECT_EQ(said, 3);
    stop();
}

TEST(a_job_that_is_placed_in_that_pass_says_nothing)
{
    start();
    waiting(7, START, WIRE_REASON_TOO_FEW_CPUS);
    verdicts[0].reason = WIRE_REASON_NONE;
    EXPECT_EQ(pass(START + 40 * SECOND), 1);
    EXPECT_EQ(said, 0);
    stop();
}

TEST(a_job_of_which_a_unit_runs_does_not_wait_and_waits_anew_afterwards)
{
    start();
    waiting(7, START, WIRE_REASON_TOO_FEW_CPUS);
    (void)pass(START + 30 * SECOND);
    waiting(7, START, WIRE_REASON_TOO_FEW_CPUS);
    units[1].unit.unit = 1;
    units[0].running = true;
    EXPECT_EQ(pass(START + 200 * SECOND), 0);
    units[0].running = false;
    units[0].placed_us = START + 100 * SECOND; /* and now it waits again */
    EXPECT_EQ(pass(START + 201 * SECOND), 0);
    EXPECT_EQ(pass(START + 229 * SECOND), 0);
    EXPECT_EQ(pass(START + 230 * SECOND), 1);
    EXPECT_EQ(said, 2);
    stop();
}

TEST(many_jobs_take_turns)
{
    start();
    for (uint64_t job = 1; job <= UNITS; job++) {
        waiting(job, START, WIRE_REASON_TOO_FEW_CPUS);
    }
    EXPECT_EQ(pass(START + 60 * SECOND), WAITS_ASKED_MAX);
    EXPECT_EQ(pass(START + 61 * SECOND), WAITS_ASKED_MAX);
    EXPECT_EQ(pass(START + 62 * SECOND), 0);
    EXPECT_EQ(said, UNITS);
    stop();
}

TEST(what_somebody_asks_about_is_not_asked_twice)
{
    struct wire_unit asked[1 + WAITS_ASKED_MAX] = {{.job = 7}};
    start();
    waiting(7, START, WIRE_REASON_TOO_FEW_CPUS);
    EXPECT_EQ(waits_begin(w, units, unit_count, START + 60 * SECOND, asked, 1), 1);
    stop();
}
