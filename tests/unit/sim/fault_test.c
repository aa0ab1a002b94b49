/* SPDX-License-Identifier: Apache-2.0 */
#include "tst.h"

#include "sim/chaos.h"
#include "sim/parts.h"
#include "sim/scenario.h"

#include <stdlib.h>
#include <string.h>

#define MS     UINT64_C(1000)
#define SECOND UINT64_C(1000000)

static const struct sim_job NOOP = {.units = 3, .agents_min = 1, .agents_max = 1};

/* Three voters and two learners. */
static struct sim *grown(void)
{
    struct sim_options options = sim_options_default();
    struct sim *sim = sim_new(&options);
    sim_run_until(sim, 10 * SECOND);
    EXPECT(sim_converged(sim));
    EXPECT_EQ(sim_look(sim, 0).voters, 3);
    return sim;
}

static void converge(struct sim *sim)
{
    sim_chaos_calm(sim, SIM_ALL, 60 * SECOND);
    EXPECT_STR(sim_failure(sim) == NULL ? "" : sim_failure(sim), "");
}

static uint64_t crashes_in(const struct sim *sim, enum sim_fault fault, enum sim_gap gap)
{
    return sim_coverage(sim).pairs[fault][gap];
}

/* Something of everything: a term, an entry, a change of the group, a new agent, a start. */
static void stir(struct sim *sim)
{
    uint32_t leader = 0;
    (void)sim_submit(sim, &NOOP, 2, true);
    sim_run_until(sim, sim_now_us(sim) + SECOND);
    if (sim_leader(sim, &leader)) {
        sim_crash(sim, leader, SIM_KILL);
        sim_run_until(sim, sim_now_us(sim) + 2 * SECOND);
        sim_restart(sim, leader);
    }
    (void)sim_add(sim);
    sim_run_until(sim, sim_now_us(sim) + 2 * SECOND);
}

static const enum sim_gap gap_rows[] = {
    SIM_GAP_STEPPED,   SIM_GAP_ELECTED,  SIM_GAP_SUBMITTED, SIM_GAP_SENT,     SIM_GAP_VOTE_ASKED,
    SIM_GAP_VOTE_KEPT, SIM_GAP_DURABLE,  SIM_GAP_RELEASED,  SIM_GAP_APPLYING, SIM_GAP_STAGED,
    SIM_GAP_APPLIED,   SIM_GAP_REPLYING, SIM_GAP_CONF_STEP, SIM_GAP_CONF_KEPT};

TEST_ROWS(whoever_dies_in_a_gap_comes_back_and_nothing_is_lost, gap_rows)
{
    static const enum sim_loss_kind KINDS[] = {SIM_KILL, SIM_POWER, SIM_TORN};
    struct sim *sim = grown();
    uint64_t hits = 0;
    for (uint32_t round = 0; round < 9 && sim_failure(sim) == NULL; round++) {
        for (uint32_t i = 0; i < sim_agents(sim); i++) {
            sim_crash_in(sim, i, KINDS[round % 3], gap_rows[tst_row]);
        }
        stir(sim);
        converge(sim);
    }
    for (enum sim_fault f = SIM_FAULT_KILL; f <= SIM_FAULT_TORN; f++) {
        EXPECT(crashes_in(sim, f, gap_rows[tst_row]) > 0);
        hits += crashes_in(sim, f, gap_rows[tst_row]);
    }
    EXPECT(hits >= 3);
    EXPECT(sim_counts(sim).acknowledged > 0);
    sim_free(sim);
}

static const enum sim_gap newcomer_rows[] = {SIM_GAP_HANDLE, SIM_GAP_HANDLE_KEPT, SIM_GAP_BOOT};

TEST_ROWS(a_new_agent_that_dies_before_it_belongs_belongs_in_the_end, newcomer_rows)
{
    struct sim *sim = grown();
    uint32_t added = sim_add(sim);
    sim_crash_in(sim, added, SIM_POWER, newcomer_rows[tst_row]);
    if (newcomer_rows[tst_row] == SIM_GAP_BOOT) {
        sim_crash(sim, added, SIM_KILL);
        sim_restart(sim, added);
    }
    sim_run_until(sim, sim_now_us(sim) + 5 * SECOND);
    EXPECT_EQ(sim_look(sim, added).face, SIM_DOWN);
    EXPECT_EQ(crashes_in(sim, SIM_FAULT_POWER, newcomer_rows[tst_row]), 1);
    converge(sim);
    EXPECT_EQ(sim_look(sim, added).members, 6);
    sim_free(sim);
}

TEST(nothing_that_a_doomed_agent_does_is_seen)
{
    struct sim *sim = grown();
    uint32_t leader = 0;
    EXPECT(sim_leader(sim, &leader));
    uint64_t messages = sim_counts(sim).messages;
    struct sim_agent *a = sim->agents[leader];
    sim_crash_in(sim, leader, SIM_KILL, SIM_GAP_STEPPED);
    while (a->up) {
        EXPECT(sim_step(sim));
        messages = a->up ? sim_counts(sim).messages : messages;
    }
    EXPECT_EQ(sim_counts(sim).messages, messages);
    EXPECT_EQ(a->disk.waiting, 0);
    sim_free(sim);
}

TEST(a_wiped_agent_comes_back_as_another_node_and_learns_everything)
{
    struct sim *sim = grown();
    uint64_t handle = sim_look(sim, 1).handle;
    uint32_t request = sim_submit(sim, &NOOP, 0, true);
    sim_run_until(sim, sim_now_us(sim) + SECOND);
    sim_wipe(sim, 1);
    EXPECT_EQ(sim_look(sim, 1).face, SIM_DOWN);
    converge(sim);
    EXPECT(sim_look(sim, 1).handle > handle);
    EXPECT(sim_request(sim, request).job != 0);
    uint32_t jobs = 0;
    EXPECT(sim_local_read(sim, 1, &jobs));
    EXPECT_EQ(jobs, 1);
    sim_free(sim);
}

TEST(the_founder_too_comes_back_as_a_stranger)
{
    struct sim *sim = grown();
    sim_wipe(sim, 0);
    converge(sim);
    EXPECT(sim_look(sim, 0).handle > 1);
    EXPECT_EQ(sim_look(sim, 0).members, 6); /* the lost identity is still listed */
    sim_free(sim);
}

TEST(whose_disk_rots_finds_out_at_the_latest_when_it_starts_and_stays_away)
{
    struct sim *sim = grown();
    EXPECT(sim_rot(sim, 1, 800));
    sim_crash(sim, 1, SIM_KILL);
    sim_restart(sim, 1);
    EXPECT_EQ(sim_look(sim, 1).face, SIM_DOWN);
    sim_restart(sim, 1);
    EXPECT_EQ(sim_look(sim, 1).face, SIM_DOWN);
    uint32_t request = sim_submit(sim, &NOOP, 0, true);
    sim_run_until(sim, sim_now_us(sim) + 5 * SECOND);
    EXPECT(sim_request(sim, request).job != 0); /* without it */
    converge(sim);                              /* with a new disk */
    EXPECT_EQ(sim->agents[1]->wipes, 1);
    sim_free(sim);
}

TEST(the_atlas_keeps_a_majority_of_the_voters_good)
{
    struct sim *sim = grown();
    uint32_t voters[3];
    uint32_t count = 0;
    for (uint32_t i = 0; i < 5; i++) {
        if (sim_look(sim, i).voter && count < 3) {
            voters[count++] = i;
        }
    }
    EXPECT_EQ(count, 3);
    EXPECT(sim_may_lose(sim, UINT32_C(1) << voters[2]));
    EXPECT(!sim_may_lose(sim, UINT32_C(1) << voters[2] | UINT32_C(1) << voters[1]));
    sim_wipe(sim, voters[2]);
    EXPECT(!sim_may_lose(sim, UINT32_C(1) << voters[1]));
    converge(sim);
    sim_run_until(sim, sim_now_us(sim) + 40 * SECOND); /* it is replaced meanwhile */
    EXPECT(sim_may_lose(sim, UINT32_C(1) << voters[1]));
    sim_free(sim);
}

TEST(what_is_said_on_a_clogged_path_arrives_afterwards)
{
    struct sim *sim = grown();
    uint64_t now = sim_now_us(sim);
    sim_clog(sim, 0, 1, 3 * SECOND);
    uint8_t byte = 0;
    while (sim->queue.count > 0 && sim->links[0][1].on_the_way > 0) {
        EXPECT(sim_step(sim)); /* what was under way before */
    }
    EXPECT(sim_send(sim, 0, 1, SIM_SWIM, &byte, 0));
    EXPECT(sim->links[0][1].newest_us >= now + 3 * SECOND);
    converge(sim);
    EXPECT_EQ(sim->links[0][1].clogged_us, 0);
    sim_free(sim);
}

TEST(a_clock_that_drifts_or_jumps_reads_what_it_should)
{
    struct sim *sim = grown();
    const struct sim_agent *a = sim->agents[2];
    uint64_t before = sim_local(sim, a);
    uint64_t world = sim_now_us(sim);
    sim_drift_clock(sim, 2, 100000);
    sim_run_until(sim, world + 10 * SECOND);
    EXPECT_EQ(sim_local(sim, a), before + 11 * SECOND);
    EXPECT(sim_world(a, before + 22 * SECOND) >= world + 20 * SECOND);
    EXPECT(sim_world(a, before + 22 * SECOND) <= world + 20 * SECOND + 2);
    sim_drift_clock(sim, 2, -100000);
    sim_run_until(sim, world + 20 * SECOND);
    EXPECT_EQ(sim_local(sim, a), before + 20 * SECOND);
    sim_jump_clock(sim, 2, 5 * SECOND);
    EXPECT_EQ(sim_local(sim, a), before + 25 * SECOND);
    sim_stall_clock(sim, 2, SECOND);
    sim_run_until(sim, world + 21 * SECOND);
    EXPECT_EQ(sim_local(sim, a), before + 25 * SECOND);
    converge(sim);
    sim_free(sim);
}

TEST(a_core_converges_while_the_others_are_away)
{
    struct sim *sim = grown();
    uint32_t out = 0;
    for (uint32_t i = 4; i > 0 && out == 0; i--) {
        out = sim_look(sim, i).voter ? UINT32_C(1) << i : 0;
    }
    EXPECT(sim_may_lose(sim, out));
    (void)sim_submit(sim, &NOOP, 0, true);
    sim_chaos_calm(sim, 31 & ~out, 60 * SECOND);
    EXPECT(sim_failure(sim) == NULL);
    EXPECT_EQ(sim_counts(sim).completed, 1);
    EXPECT(sim_converged(sim));
    converge(sim);
    sim_free(sim);
}

TEST(a_core_without_a_majority_is_a_broken_promise)
{
    struct sim *sim = grown();
    uint32_t core = 0;
    for (uint32_t i = 0; i < 5; i++) {
        core |= sim_look(sim, i).voter ? 0 : UINT32_C(1) << i;
    }
    sim_chaos_calm(sim, core, 5 * SECOND);
    EXPECT(sim_failure(sim) != NULL);
    sim_free(sim);
}

/* ---- writing down and playing again ---- */

TEST(the_acts_of_a_storm_played_again_give_the_same_trace)
{
    char error[SIM_ERROR_MAX + 1];
    struct sim_scenario *scenario = calloc(1, sizeof *scenario);
    EXPECT(scenario != NULL);
    for (uint64_t seed = 1; seed <= 4; seed++) {
        char *text = NULL;
        size_t size = 0;
        FILE *acts = open_memstream(&text, &size);
        EXPECT(acts != NULL);
        struct sim_verdict storm;
        struct sim_verdict again;
        sim_storm_record(5, 20000, seed, acts, &storm);
        EXPECT(fclose(acts) == 0);
        EXPECT_EQ(sim_scenario_parse(scenario, "acts", text, size, error), SH_OK);
        EXPECT_STR(error, "");
        EXPECT_EQ(scenario->seed, seed);
        sim_scenario_run(scenario, scenario->seed, NULL, &again);
        EXPECT(again.held);
        EXPECT_EQ(again.counts.trace, storm.counts.trace);
        free(text);
    }
    free(scenario);
}
