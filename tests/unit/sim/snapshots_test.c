/* SPDX-License-Identifier: Apache-2.0
 *
 * Logs that are cut, and snapshots for those that are behind the cut. */
#include "tst.h"

#include "sim/chaos.h"
#include "sim/parts.h"

#include <string.h>

#define SECOND UINT64_C(1000000)

static const struct sim_job NOOP = {.units = 3, .agents_min = 1, .agents_max = 1};

/* Five agents whose logs are cut after every few entries. */
static struct sim *grown(uint32_t piece)
{
    struct sim_options options = sim_options_default();
    options.log = 8;
    options.piece = piece;
    struct sim *sim = sim_new(&options);
    sim_run_until(sim, 10 * SECOND);
    EXPECT(sim_converged(sim));
    return sim;
}

static void converge(struct sim *sim)
{
    sim_chaos_calm(sim, SIM_ALL, 60 * SECOND);
    EXPECT_STR(sim_failure(sim) == NULL ? "" : sim_failure(sim), "");
}

/* So much that the logs of those who are there begin behind those of the others. */
static void go_on(struct sim *sim, uint32_t jobs)
{
    for (uint32_t i = 0; i < jobs; i++) {
        (void)sim_submit(sim, &NOOP, 0, true);
        sim_run_until(sim, sim_now_us(sim) + SECOND / 10);
    }
    sim_run_until(sim, sim_now_us(sim) + SECOND);
}

static uint64_t log_begin(const struct sim *sim, uint32_t agent)
{
    return wal_compacted_index(sim->agents[agent]->wal);
}

TEST(a_log_keeps_one_to_two_stretches)
{
    struct sim *sim = grown(1024);
    go_on(sim, 10);
    for (uint32_t i = 0; i < sim_agents(sim); i++) {
        uint64_t last = wal_last_index(sim->agents[i]->wal);
        EXPECT(last > 50);
        EXPECT(last - log_begin(sim, i) <= 3 * 8); /* what is applied together counts once */
    }
    sim_free(sim);
}

TEST(who_was_away_while_the_logs_were_cut_goes_on_from_a_snapshot)
{
    struct sim *sim = grown(1024);
    sim_crash(sim, 4, SIM_POWER);
    uint64_t before = sim_counts(sim).snapshots;
    go_on(sim, 10);
    sim_restart(sim, 4);
    uint64_t had = wal_last_index(sim->agents[4]->wal);
    sim_run_until(sim, sim_now_us(sim) + 5 * SECOND);
    EXPECT(sim_counts(sim).snapshots > before);
    EXPECT(log_begin(sim, 4) > had);
    converge(sim);
    sim_free(sim);
}

TEST(a_new_agent_begins_with_a_snapshot)
{
    struct sim *sim = grown(512);
    go_on(sim, 10);
    uint32_t added = sim_add(sim);
    sim_run_until(sim, sim_now_us(sim) + 5 * SECOND);
    EXPECT(log_begin(sim, added) > 0);
    EXPECT_EQ(sim_look(sim, added).state_digest, sim_look(sim, 0).state_digest);
    sim_crash(sim, added, SIM_POWER);
    sim_restart(sim, added);
    converge(sim);
    sim_free(sim);
}

TEST(a_source_that_dies_in_the_middle_gives_way_to_another)
{
    struct sim *sim = grown(64); /* many pieces */
    uint32_t leader = 0;
    sim_crash(sim, 4, SIM_KILL);
    go_on(sim, 10);
    sim_restart(sim, 4);
    const struct sim_pull *pull = &sim->agents[4]->pull;
    while (pull->in == NULL || fsm_in_rows(pull->in) < 5) {
        EXPECT(sim_step(sim));
    }
    leader = pull->source;
    sim_crash(sim, leader, SIM_KILL);
    sim_run_until(sim, sim_now_us(sim) + 10 * SECOND);
    EXPECT(pull->source != leader);
    EXPECT(log_begin(sim, 4) > 0);
    converge(sim);
    sim_free(sim);
}

static const enum sim_gap gap_rows[] = {SIM_GAP_COMPACTING, SIM_GAP_COMPACTED, SIM_GAP_SERVED,
                                        SIM_GAP_PULLED,     SIM_GAP_FETCHED,   SIM_GAP_INSTALLING,
                                        SIM_GAP_INSTALLED};

TEST_ROWS(whoever_dies_around_a_snapshot_comes_back_and_nothing_is_lost, gap_rows)
{
    static const enum sim_loss_kind KINDS[] = {SIM_KILL, SIM_POWER, SIM_TORN};
    struct sim *sim = grown(256);
    for (uint32_t round = 0; round < 9 && sim_failure(sim) == NULL; round++) {
        sim_crash(sim, round % 5, SIM_KILL);
        go_on(sim, 8);
        for (uint32_t i = 0; i < sim_agents(sim); i++) {
            sim_crash_in(sim, i, KINDS[round % 3], gap_rows[tst_row]);
        }
        sim_restart(sim, round % 5);
        go_on(sim, 5);
        converge(sim);
    }
    for (enum sim_fault f = SIM_FAULT_KILL; f <= SIM_FAULT_TORN; f++) {
        EXPECT(sim_coverage(sim).pairs[f][gap_rows[tst_row]] > 0);
    }
    sim_free(sim);
}

TEST(a_store_that_fails_under_a_snapshot_ends_the_agent)
{
    struct sim *sim = grown(256);
    sim_crash(sim, 4, SIM_KILL);
    go_on(sim, 10);
    sim_restart(sim, 4);
    while (sim->agents[4]->pull.in == NULL) {
        EXPECT(sim_step(sim));
    }
    sim_fail_disk(sim, 4, false);
    sim_run_until(sim, sim_now_us(sim) + SECOND);
    EXPECT_EQ(sim_look(sim, 4).face, SIM_DOWN);
    converge(sim);
    sim_free(sim);
}

/* ---- what the checkers see ---- */

/* Just before an agent makes a snapshot its own. */
static struct sim_agent *staged(struct sim *sim)
{
    sim_crash(sim, 4, SIM_KILL);
    go_on(sim, 10);
    sim_restart(sim, 4);
    while (sim->agents[4]->pull.state != SIM_FLIPPING) {
        EXPECT(sim_step(sim));
    }
    return sim->agents[4];
}

static void expect_failure(struct sim *sim, const char *text)
{
    sim_run_until(sim, sim_now_us(sim) + SECOND);
    EXPECT(sim_failure(sim) != NULL);
    EXPECT(strstr(sim_failure(sim), text) != NULL);
    sim_free(sim);
}

TEST(a_snapshot_that_lacks_a_row_is_seen)
{
    struct sim *sim = grown(256);
    struct sim_agent *a = staged(sim);
    uint8_t low[8] = {0, 0, 0, 2, 1}; /* rows of the second generation */
    uint8_t high[8] = {0, 0, 0, 2, 1, 'n', 0xff};
    struct kv_batch batch;
    kv_batch_init(&batch);
    kv_batch_del_range(&batch, 2, (struct sh_span){.at = low, .size = sizeof low},
                       (struct sh_span){.at = high, .size = sizeof high});
    EXPECT_EQ(kv_write(a->kv, &batch, false), SH_OK);
    kv_batch_fini(&batch);
    expect_failure(sim, "other rows than others at index");
}

TEST(a_snapshot_of_what_was_never_committed_is_seen)
{
    struct sim *sim = grown(256);
    struct sim_agent *a = sim->agents[4];
    struct raft_update update = {.install = true, .term = a->term, .conf = a->conf};
    update.snapshot = (struct raft_snapshot){
        .index = sim->check.last + 1, .term = a->term, .conf = sim->agents[0]->conf};
    update.commit = update.snapshot.index;
    sim_check_update(&sim->check, 4, &update);
    expect_failure(sim, "never committed");
}

TEST(a_snapshot_with_another_configuration_is_seen)
{
    struct sim *sim = grown(256);
    uint64_t index = sim->check.last;
    sim_check_wipe(&sim->check, 4);
    struct raft_update update = {.install = true, .term = 9, .commit = index};
    update.snapshot = (struct raft_snapshot){
        .index = index, .term = sim->check.committed[index].term, .conf = sim->agents[0]->conf};
    update.snapshot.conf.voters[--update.snapshot.conf.voter_count] = 0;
    update.conf = update.snapshot.conf;
    sim_check_update(&sim->check, 4, &update);
    expect_failure(sim, "another configuration");
}

TEST(a_snapshot_that_goes_back_is_seen)
{
    struct sim *sim = grown(256);
    uint64_t index = sim->check.views[4].commit;
    struct raft_update update = {.install = true, .term = 9, .commit = index};
    update.snapshot = (struct raft_snapshot){
        .index = index, .term = sim->check.committed[index].term, .conf = sim->agents[0]->conf};
    sim_check_update(&sim->check, 4, &update);
    expect_failure(sim, "behind its commit index");
}
