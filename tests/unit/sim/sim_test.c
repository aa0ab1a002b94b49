/* SPDX-License-Identifier: Apache-2.0 */
#include "tst.h"

#include "sim/chaos.h"
#include "sim/parts.h"
#include "sim/sim.h"

#include <stdlib.h>
#include <string.h>

#define SECOND UINT64_C(1000000)

static const struct sim_job NOOP = {.units = 3, .agents_min = 1, .agents_max = 1};

static struct sim *cluster(uint32_t agents, uint64_t seed)
{
    struct sim_options options = sim_options_default();
    options.agents = agents;
    options.seed = seed;
    return sim_new(&options);
}

/* Runs until the condition of the moment holds; false after so long. */
static bool converge(struct sim *sim, uint64_t within_us)
{
    uint64_t end = sim_now_us(sim) + within_us;
    while (!sim_converged(sim) && sim_now_us(sim) < end && sim_failure(sim) == NULL) {
        sim_run_until(sim, sim_now_us(sim) + 10000);
    }
    return sim_converged(sim);
}

/* A cluster of three or more with its three voters. */
static struct sim *grown(uint32_t agents, uint64_t seed)
{
    struct sim *sim = cluster(agents, seed);
    sim_run_until(sim, 10 * SECOND);
    EXPECT_EQ(sim_look(sim, 0).voters, 3);
    EXPECT(converge(sim, 20 * SECOND));
    return sim;
}

TEST(five_agents_grow_from_one_founder_and_complete_a_job)
{
    struct sim *sim = cluster(5, 1);
    sim_run_until(sim, 10 * SECOND);
    uint32_t request = sim_submit(sim, &NOOP, 4, true);
    sim_run_until(sim, 20 * SECOND);
    EXPECT(sim_failure(sim) == NULL);
    EXPECT(sim_request(sim, request).job != 0);
    EXPECT_EQ(sim_look(sim, 4).voters, 3);
    EXPECT_EQ(sim_look(sim, 4).members, 5);
    EXPECT_EQ(sim_counts(sim).units, 3);
    EXPECT_STR(sim_unconverged(sim), "");
    EXPECT(sim_converged(sim));
    sim_free(sim);
}

TEST(a_paused_agent_stands_still_and_takes_up_what_waited_for_it)
{
    struct sim *sim = grown(3, 2);
    uint32_t leader;
    EXPECT(sim_leader(sim, &leader));
    uint64_t term = sim_look(sim, leader).term;
    sim_pause(sim, leader);
    EXPECT_EQ(sim_look(sim, leader).face, SIM_PAUSED);
    sim_run_until(sim, sim_now_us(sim) + 3 * SECOND);
    EXPECT_EQ(sim_look(sim, leader).term, term);
    uint32_t jobs;
    EXPECT(!sim_local_read(sim, leader, &jobs));
    uint32_t next;
    EXPECT(sim_leader(sim, &next));
    EXPECT(next != leader);
    sim_resume(sim, leader);
    EXPECT(converge(sim, 20 * SECOND));
    EXPECT(sim_look(sim, leader).term > term);
    EXPECT_EQ(sim_counts(sim).leader_changes, 1);
    sim_free(sim);
}

TEST(a_clock_that_stands_still_is_behind_for_ever_and_harms_nobody)
{
    struct sim *sim = grown(3, 3);
    const struct sim_agent *a = sim->agents[1];
    uint64_t local = sim_local(sim, a);
    uint64_t world = sim_now_us(sim);
    sim_stall_clock(sim, 1, SECOND);
    sim_run_until(sim, world + SECOND / 2);
    EXPECT_EQ(sim_local(sim, a), local);
    sim_run_until(sim, world + 3 * SECOND);
    EXPECT_EQ(sim_local(sim, a), local + 2 * SECOND);
    EXPECT_EQ(sim_world(a, local + 2 * SECOND), world + 3 * SECOND);
    EXPECT(converge(sim, 20 * SECOND));
    sim_free(sim);
}

TEST(cut_links_carry_nothing_and_one_way_cuts_only_half)
{
    struct sim *sim = cluster(2, 4);
    EXPECT(converge(sim, 20 * SECOND));
    uint64_t lost = sim_counts(sim).lost;
    sim_run_until(sim, sim_now_us(sim) + SECOND);
    EXPECT_EQ(sim_counts(sim).lost, lost);
    sim_cut(sim, 0, 1, true);
    sim_run_until(sim, sim_now_us(sim) + SECOND);
    EXPECT(sim_counts(sim).lost > lost);
    sim_cut(sim, 0, 1, false);
    EXPECT(converge(sim, 30 * SECOND));
    sim_free(sim);
}

TEST(a_power_cut_loses_only_what_was_not_promised)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct sim *sim = grown(3, seed);
        for (uint32_t round = 0; round < 5; round++) {
            (void)sim_submit(sim, &NOOP, round % 3, true);
            sim_run_until(sim, sim_now_us(sim) + 3000 + 1000 * seed);
            for (uint32_t i = 0; i < 3; i++) {
                sim_crash(sim, i, SIM_POWER); /* all of them */
            }
            sim_run_until(sim, sim_now_us(sim) + 1000);
            for (uint32_t i = 0; i < 3; i++) {
                sim_restart(sim, i);
            }
            sim_run_until(sim, sim_now_us(sim) + SECOND);
        }
        EXPECT(converge(sim, 60 * SECOND));
        EXPECT_EQ(sim_counts(sim).completed, 5);
        EXPECT_EQ(sim_counts(sim).units, 15);
        sim_free(sim);
    }
}

TEST(a_disk_that_lies_about_its_fsync_is_found_out)
{
    uint32_t found = 0;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct sim *sim = grown(3, seed);
        uint32_t leader;
        EXPECT(sim_leader(sim, &leader));
        sim_lying_disk(sim, leader);
        for (uint32_t round = 0; round < 5 && sim_failure(sim) == NULL; round++) {
            (void)sim_submit(sim, &NOOP, leader, true);
            sim_run_until(sim, sim_now_us(sim) + SECOND);
            sim_crash(sim, leader, SIM_POWER);
            sim_restart(sim, leader);
            sim_run_until(sim, sim_now_us(sim) + 5 * SECOND);
        }
        const char *why = sim_failure(sim);
        /* Entries are missing "after a crash", a term or vote was forgotten "in a crash". */
        found += why != NULL && strstr(why, " a crash") != NULL;
        sim_free(sim);
    }
    EXPECT_EQ(found, 10);
}

TEST(a_write_that_fails_ends_the_agent_and_nothing_else)
{
    for (uint32_t torn = 0; torn < 2; torn++) {
        struct sim *sim = grown(3, 5);
        sim_fail_disk(sim, 2, torn != 0);
        uint32_t request = sim_submit(sim, &NOOP, 0, true);
        sim_run_until(sim, sim_now_us(sim) + 5 * SECOND);
        EXPECT(sim_request(sim, request).job != 0);
        EXPECT_EQ(sim_look(sim, 2).face, SIM_DOWN);
        sim_restart(sim, 2);
        EXPECT(converge(sim, 60 * SECOND));
        sim_free(sim);
    }
}

TEST(a_gang_survives_the_loss_of_its_members_one_by_one)
{
    static const struct sim_job TRAIN = {.train = true,
                                         .units = 1,
                                         .steps = 300,
                                         .every = 20,
                                         .step_us = 20000,
                                         .agents_min = 1,
                                         .agents_max = 3};
    struct sim *sim = grown(5, 6);
    uint32_t request = sim_submit(sim, &TRAIN, 3, true);
    for (uint32_t i = 0; i < 5; i++) {
        sim_run_until(sim, sim_now_us(sim) + SECOND);
        sim_crash(sim, i, SIM_KILL);
        sim_run_until(sim, sim_now_us(sim) + SECOND);
        sim_restart(sim, i);
    }
    EXPECT(converge(sim, 120 * SECOND));
    EXPECT(sim_request(sim, request).job != 0);
    EXPECT_EQ(sim_counts(sim).units, 1);
    sim_free(sim);
}

/* Whether the history of the job, on that agent, has a step for this cause. */
static bool happened(struct sim *sim, uint32_t agent, uint64_t job, enum wire_cause cause)
{
    static struct jobs_event events[JOBS_HISTORY_MAX];
    const struct sh_table *table = fsm_begin(sim->agents[agent]->fsm);
    uint32_t count = 0;
    bool found = false;
    EXPECT_EQ(jobs_history_list(table, job, 0, events, JOBS_HISTORY_MAX, &count), SH_OK);
    for (uint32_t i = 0; i < count; i++) {
        found = found || events[i].cause == cause;
    }
    fsm_abort(sim->agents[agent]->fsm);
    return found;
}

TEST(gangs_that_are_asked_to_give_way_do_so_and_their_jobs_complete)
{
    static const struct sim_job train = {.train = true,
                                         .units = 1,
                                         .every = 10,
                                         .step_us = 10000,
                                         .steps = 100,
                                         .agents_min = 1,
                                         .agents_max = 3};
    struct sim *sim = grown(3, 11);
    uint32_t asked = 0;
    uint32_t gave_way = 0;
    for (uint32_t i = 0; i < 12; i++) {
        uint32_t request = sim_submit(sim, &train, i % 3, true);
        sim_run_until(sim, sim_now_us(sim) + 8 * SECOND);
        EXPECT(sim_failure(sim) == NULL);
        uint64_t job = sim_request(sim, request).job;
        EXPECT(job != 0);
        asked += happened(sim, 0, job, WIRE_CAUSE_YIELD_ASKED);
        gave_way += happened(sim, 0, job, WIRE_CAUSE_PREEMPTED);
        EXPECT(happened(sim, 0, job, WIRE_CAUSE_COMMITTED));
    }
    EXPECT(asked > 0 && asked < 12);
    EXPECT_EQ(gave_way, asked);
    sim_free(sim);
}

TEST(an_agent_that_is_asked_without_a_quorum_says_so)
{
    struct sim *sim = grown(3, 7);
    sim_pause(sim, 1);
    sim_pause(sim, 2);
    sim_run_until(sim, sim_now_us(sim) + 2 * SECOND);
    uint32_t request = sim_submit(sim, &NOOP, 0, false);
    sim_run_until(sim, sim_now_us(sim) + 5 * SECOND);
    EXPECT(sim_request(sim, request).done);
    EXPECT_EQ(sim_request(sim, request).err, SH_ERR_NO_QUORUM);
    uint32_t jobs = 9;
    EXPECT(sim_local_read(sim, 0, &jobs));
    EXPECT_EQ(jobs, 0);
    sim_resume(sim, 1);
    EXPECT(!sim_converged(sim));
    sim_resume(sim, 2);
    EXPECT(converge(sim, 60 * SECOND));
    sim_free(sim);
}

TEST(a_client_that_keeps_asking_gets_one_job_whatever_happens_to_the_answers)
{
    struct sim *sim = grown(3, 8);
    struct sim_net_options net = sim_net(sim);
    net.loss_ppm = 500000;
    net.duplicate_ppm = 300000;
    sim_set_net(sim, &net);
    for (uint32_t i = 0; i < 20; i++) {
        (void)sim_submit(sim, &NOOP, i % 3, true);
    }
    sim_run_until(sim, sim_now_us(sim) + 20 * SECOND);
    sim_heal(sim, SIM_ALL);
    EXPECT(converge(sim, 60 * SECOND));
    EXPECT_EQ(sim_counts(sim).acknowledged, 20);
    EXPECT_EQ(sim_counts(sim).completed, 20);
    EXPECT_EQ(sim->check.jobs, 20);
    sim_free(sim);
}

TEST(events_come_in_the_order_of_time_and_then_of_their_making)
{
    struct sim_queue q;
    struct sim_event e;
    uint64_t last = 0;
    uint64_t last_order = 0;
    sim_queue_init(&q);
    struct sh_rng rng;
    sh_rng_init(&rng, tst_seed());
    for (uint32_t i = 0; i < 5000; i++) {
        sim_queue_push(&q, (struct sim_event){.at = sh_rng_below(&rng, 100)});
    }
    for (uint32_t i = 0; i < 5000; i++) {
        EXPECT(sim_queue_pop(&q, &e));
        EXPECT(e.at > last || (e.at == last && (i == 0 || e.order > last_order)));
        last = e.at;
        last_order = e.order;
    }
    EXPECT(!sim_queue_pop(&q, &e));
    sim_queue_fini(&q);
}

TEST(a_ledger_keeps_every_pair_while_it_grows)
{
    struct sim_ledger ledger;
    sim_ledger_init(&ledger);
    for (uint64_t key = 1; key <= 10000; key++) {
        EXPECT_EQ(*sim_ledger_at(&ledger, key * 7), 0);
        *sim_ledger_at(&ledger, key * 7) = key;
    }
    for (uint64_t key = 1; key <= 10000; key++) {
        EXPECT_EQ(*sim_ledger_at(&ledger, key * 7), key);
    }
    EXPECT_EQ(ledger.count, 10000);
    sim_ledger_fini(&ledger);
}

TEST(delays_have_the_mean_that_is_asked_for)
{
    struct sim *sim = cluster(1, 9);
    uint64_t sum = 0;
    uint64_t above = 0;
    for (uint32_t i = 0; i < 100000; i++) {
        uint64_t delay = sim_about(&sim->rng, 1000);
        sum += delay;
        above += delay > 3000;
    }
    EXPECT(sum > 95000000 && sum < 105000000);
    EXPECT(above > 4000 && above < 6500); /* e^-3 of them */
    sim_free(sim);
}

TEST(storms_end_well)
{
    for (uint64_t seed = 2000; seed < 2020; seed++) {
        struct sim *sim = cluster(5, seed);
        struct sim_chaos chaos;
        struct sim_goal goal = {.events = 5000, .leader_changes = 1, .units = 1};
        sim_chaos_init(&chaos, seed);
        sim_chaos_run(&chaos, sim, &goal);
        if (sim_failure(sim) != NULL) {
            tst_fail(__FILE__, __LINE__, "seed %llu: %s", (unsigned long long)seed,
                     sim_failure(sim));
        }
        EXPECT(sim_counts(sim).events >= 5000);
        sim_free(sim);
    }
}

static const enum jobs_cmd_type STORMED[] = {
    JOBS_SUBMIT, JOBS_PLACE, JOBS_PLACE_MANY, JOBS_CHECKPOINT, JOBS_PROGRESS,   JOBS_COMMIT,
    JOBS_EXPIRE, JOBS_PAUSE, JOBS_RESUME,     JOBS_RESIZE,     JOBS_CONFIG_SET, JOBS_NODE_MARK};

/* The first type of those that was not accepted once; 0: all were. */
static int missing(const uint64_t *seen)
{
    for (size_t i = 0; i < SH_COUNT(STORMED); i++) {
        if (seen[STORMED[i]] == 0) {
            return (int)STORMED[i];
        }
    }
    return 0;
}

TEST(storms_send_every_kind_of_command_of_jobs_and_people)
{
    static const struct sim_goal GOAL = {.events = 20000, .leader_changes = 1, .units = 1};
    uint64_t seen[JOBS_CMD_TYPE_COUNT] = {0};
    for (uint64_t seed = 1; seed <= 20 && missing(seen) != 0; seed++) {
        struct sim *sim = cluster(5, seed);
        struct sim_chaos chaos;
        sim_chaos_init(&chaos, seed);
        sim_chaos_run(&chaos, sim, &GOAL);
        EXPECT(sim_failure(sim) == NULL);
        for (size_t i = 0; i < SH_COUNT(seen); i++) {
            seen[i] += sim->check.applied_of[i];
        }
        sim_free(sim);
    }
    EXPECT_EQ(missing(seen), 0);
}
