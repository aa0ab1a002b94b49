/* SPDX-License-Identifier: Apache-2.0
 *
 * jobs_check must see what it is there for: one row after another is changed behind the core's
 * back. */
#include "jobs/row.h"
#include "tst.h"
#include "world.h"

static struct world w;
static uint8_t buffer[JOBS_ROW_BYTES_MAX];
static struct wire_unit trained;  /* completed, with a model */
static struct wire_unit running;  /* of three units: one runs, two wait */
static struct wire_unit stopped;  /* of one unit */
static struct wire_unit stopping; /* of two, with a gang each */

static void busy(void)
{
    world_init(&w);
    for (unsigned i = 1; i <= 3; i++) {
        EXPECT_EQ(world_admit(&w, i, i == 1 ? "n1" : i == 2 ? "n2" : "n3"), SH_OK);
    }
    EXPECT_EQ(world_dataset(&w, 1, "birds", 1), SH_OK);
    EXPECT_EQ(world_dataset(&w, 2, "birds", 1), SH_OK);
    EXPECT_EQ(world_session(&w, 1, 5), SH_OK);
    w.session = w.result.handle;
    w.number = 1;
    EXPECT_EQ(world_train(&w, "digits"), SH_OK);
    w.session = 0;
    w.number = 0;
    trained = w.result.unit;
    EXPECT_EQ(world_place(&w, trained, 1, 2), SH_OK);
    EXPECT_EQ(world_checkpoint(&w, trained, world_fence(&w, trained), 5, 1), SH_OK);
    EXPECT_EQ(world_commit(&w, trained, world_fence(&w, trained), 1, false), SH_OK);
    EXPECT_EQ(world_noop(&w, "work", 3), SH_OK);
    running = w.result.unit;
    EXPECT_EQ(world_place(&w, running, 1, 1), SH_OK);
    EXPECT_EQ(world_noop(&w, "idle", 1), SH_OK);
    stopped = w.result.unit;
    EXPECT_EQ(world_stop(&w, stopped.job), SH_OK);
    EXPECT_EQ(world_noop(&w, "both", 2), SH_OK);
    stopping = w.result.unit;
    EXPECT_EQ(world_place(&w, stopping, 1, 1), SH_OK);
    EXPECT_EQ(world_place(&w, (struct wire_unit){stopping.job, 1}, 2, 1), SH_OK);
    EXPECT_EQ(world_stop(&w, stopping.job), SH_OK);
    jobs_check(w.core, w.t);
}

static void put(struct jobs_row_key key, struct sh_span value)
{
    w.t->put(w.t->ctx, jobs_row_span(&key), value);
}

static void present(struct jobs_row_key key)
{
    put(key, (struct sh_span){(const uint8_t *)"\1", 1});
}

static void waiting(struct wire_unit unit, bool placed, uint64_t since_us)
{
    struct jobs_row_waiting row = {.placed = placed, .since_us = since_us};
    put(jobs_row_unit('a', unit), jobs_row_put_waiting(buffer, &row));
}

static void gone(struct jobs_row_key key)
{
    struct sh_span value;
    EXPECT(w.t->get(w.t->ctx, jobs_row_span(&key), &value));
    w.t->del(w.t->ctx, jobs_row_span(&key));
}

#define BROKEN(name, text, change)                                                                 \
    TEST_DIES(name, text)                                                                          \
    {                                                                                              \
        busy();                                                                                    \
        change;                                                                                    \
        jobs_check(w.core, w.t);                                                                   \
    }

/* A row read, changed and written back. */
#define JOB(which, change)                                                                         \
    struct jobs_job job;                                                                           \
    EXPECT_EQ(jobs_job_get(w.t, (which).job, &job), SH_OK);                                        \
    change;                                                                                        \
    put(jobs_row_u64('j', (which).job), jobs_row_put_job(buffer, &job))
#define UNIT(which, change)                                                                        \
    struct jobs_unit unit;                                                                         \
    EXPECT_EQ(jobs_unit_get(w.t, (which), &unit), SH_OK);                                          \
    change;                                                                                        \
    put(jobs_row_unit('u', unit.id), jobs_row_put_unit(buffer, &unit))
#define META(change)                                                                               \
    struct jobs_counts counts;                                                                     \
    EXPECT_EQ(jobs_counts_get(w.t, &counts), SH_OK);                                               \
    change;                                                                                        \
    put(jobs_row_letter('M'), jobs_row_put_meta(buffer, &counts))

BROKEN(a_unit_without_any_row_panics, "jobs_unit_get",
       gone(jobs_row_unit('a', (struct wire_unit){running.job, 1})))
BROKEN(a_waiting_unit_that_is_not_listed_panics, "jobs_row_unit('a', id)",
       EXPECT_EQ(world_expire(&w, running, world_fence(&w, running)), SH_OK);
       jobs_check(w.core, w.t); gone(jobs_row_unit('a', running)))
BROKEN(a_running_unit_listed_as_waiting_panics, "jobs_row_unit('a', id)", waiting(running, true, 1))
BROKEN(a_placed_unit_listed_as_never_placed_panics, "waiting.placed", waiting(running, false, 1))
BROKEN(a_placed_unit_without_its_row_panics, "waiting.placed",
       waiting((struct wire_unit){running.job, 1}, true, 1))
BROKEN(a_unit_that_waits_since_the_future_panics, "waiting.since_us",
       waiting((struct wire_unit){running.job, 1}, false, w.now_us + 1))
BROKEN(a_gang_that_is_not_listed_panics, "jobs_row_unit('g', id)",
       gone(jobs_row_unit('g', running)))
BROKEN(a_stopping_gang_that_is_not_listed_panics, "jobs_row_unit('g', id)",
       gone(jobs_row_unit('g', stopping)))
BROKEN(an_ended_unit_listed_with_a_gang_panics, "jobs_row_unit('g', id)",
       present(jobs_row_unit('g', trained)))
BROKEN(a_unit_of_nobody_listed_as_waiting_panics, "open_units",
       waiting((struct wire_unit){running.job, 3}, false, 1))
BROKEN(a_unit_beyond_its_job_panics, "tally->units",
       UNIT(running, unit.id.unit = 3; unit.state = JOBS_STOPPED))
BROKEN(a_unit_under_another_number_panics, "wire_unit_equal",
       UNIT(stopping, put(jobs_row_unit('u', (struct wire_unit){stopping.job, 1}),
                          jobs_row_put_unit(buffer, &unit))))
BROKEN(a_fence_from_the_future_panics, "placement.fence.index",
       UNIT(running, unit.placement.fence.index = w.index + 1))
BROKEN(a_gang_that_leaves_ranks_out_panics, "wire_members_cover",
       UNIT(running, unit.placement.members[0].rank_hi++))
BROKEN(a_completed_unit_without_a_result_panics, "unit->committed",
       UNIT(trained, unit.committed = false))
BROKEN(a_result_of_a_running_unit_panics, "ended", UNIT(running, unit.committed = true))
BROKEN(more_checkpoints_than_are_kept_panic, "checkpoint_keep", UNIT(trained, unit.checkpoints = 9))
BROKEN(fewer_checkpoints_than_are_told_panic, "tally->checkpoints",
       UNIT(trained, unit.checkpoints = 2))
BROKEN(a_miscounted_state_panics, "job->units_in[i]", JOB(running, job.units_in[JOBS_STOPPED]++))
BROKEN(a_miscounted_first_state_panics, "job->units_in[i]",
       JOB(running, job.units_in[JOBS_WAITING]++))
BROKEN(an_open_job_that_ended_panics, "job->end_us == 0", JOB(running, job.end_us = 5))
BROKEN(a_job_that_ended_with_open_units_panics, "(open == 0) == ended",
       JOB(running, job.state = JOBS_STOPPED))
BROKEN(a_completed_job_with_another_end_panics, "in[JOBS_COMPLETED] + spared == job->units",
       JOB(stopped, job.state = JOBS_COMPLETED))
BROKEN(a_waiting_job_that_runs_panics, "in[JOBS_RUNNING] == 0",
       JOB(running, job.state = JOBS_WAITING))
BROKEN(a_running_job_without_a_gang_panics, "in[JOBS_RUNNING] > 0",
       JOB(stopping, job.state = JOBS_RUNNING))
BROKEN(a_stopping_job_whose_units_wait_panics, "in[JOBS_WAITING] + in[JOBS_RUNNING] == 0",
       JOB(running, job.state = JOBS_STOPPING))
BROKEN(a_job_without_its_file_panics, "jobs_row_u64('s', job->id)",
       gone(jobs_row_u64('s', running.job)))
BROKEN(a_file_without_its_job_panics, "sum->jobs", present(jobs_row_u64('s', 99)))
BROKEN(an_ended_job_that_is_not_listed_panics, "jobs_row_state",
       gone(jobs_row_then_u64(jobs_row_state(JOBS_STOPPED), stopped.job)))
BROKEN(an_open_job_listed_as_ended_panics, "jobs_row_state",
       present(jobs_row_then_u64(jobs_row_state(JOBS_RUNNING), running.job)))
BROKEN(a_job_listed_as_ended_twice_panics, "ended",
       present(jobs_row_then_u64(jobs_row_state(JOBS_FAILED), stopped.job)))
BROKEN(a_name_that_leads_nowhere_panics, "jobs_row_name('k', job->name)",
       gone(jobs_row_name('k', "work")))
BROKEN(an_agent_that_its_name_does_not_find_panics, "jobs_node_by_name",
       gone(jobs_row_name('m', "n2")))
BROKEN(an_agent_that_its_handle_does_not_find_panics, "jobs_node_by_handle",
       gone(jobs_row_u64('h', 2)))
BROKEN(two_names_of_one_agent_panic, "sum->nodes", uint8_t id[SH_NODE_ID_BYTES]; world_node(id, 2);
       put(jobs_row_name('m', "other"), jobs_row_put_node_id(buffer, id)))
BROKEN(two_handles_of_one_agent_panic, "sum->nodes", uint8_t id[SH_NODE_ID_BYTES];
       world_node(id, 2); put(jobs_row_u64('h', 77), jobs_row_put_node_id(buffer, id)))
BROKEN(a_handle_of_another_agent_panics, "same.id", uint8_t id[SH_NODE_ID_BYTES]; world_node(id, 2);
       struct jobs_node node; EXPECT_EQ(jobs_node_get(w.t, id, &node), SH_OK); node.name[1] = '1';
       node.handle = 1; put(jobs_row_id('n', id), jobs_row_put_node(buffer, &node)))
BROKEN(a_model_of_no_result_panics, "unit.committed", struct jobs_model model;
       EXPECT_EQ(jobs_model_get(w.t, "digits", 1, &model), SH_OK); model.unit = running;
       put(jobs_row_model("digits", 1), jobs_row_put_model(buffer, &model)))
BROKEN(a_model_of_another_version_panics, "model_version", struct jobs_model model;
       EXPECT_EQ(jobs_model_get(w.t, "digits", 1, &model), SH_OK); model.version = 2;
       put(jobs_row_model("digits", 2), jobs_row_put_model(buffer, &model)))
BROKEN(a_set_that_nobody_holds_panics, "set->holders", struct jobs_dataset set;
       EXPECT_EQ(jobs_dataset_get(w.t, "birds", &set), SH_OK); set.holders = 0;
       put(jobs_row_name('d', "birds"), jobs_row_put_dataset(buffer, &set)))
BROKEN(a_set_with_fewer_holders_than_it_says_panics, "tally->holders", uint8_t id[SH_NODE_ID_BYTES];
       world_node(id, 2); gone(jobs_row_holder("birds", id)))
BROKEN(a_change_of_the_future_panics, "change->index", struct jobs_change change;
       uint32_t count = 0; EXPECT_EQ(jobs_change_list(w.t, 0, &change, 1, &count), SH_OK);
       change.index = w.index + 1;
       put(jobs_row_u64('w', change.index), jobs_row_put_change(buffer, &change)))
BROKEN(a_change_under_another_number_panics, "sh_key_u64_get", struct jobs_change change;
       uint32_t count = 0; EXPECT_EQ(jobs_change_list(w.t, 0, &change, 1, &count), SH_OK);
       change.index--;
       put(jobs_row_u64('w', change.index + 1), jobs_row_put_change(buffer, &change)))
BROKEN(a_change_before_its_job_panics, "change->job", struct jobs_change change; uint32_t count = 0;
       EXPECT_EQ(jobs_change_list(w.t, 0, &change, 1, &count), SH_OK);
       change.job = change.index + 1;
       put(jobs_row_u64('w', change.index), jobs_row_put_change(buffer, &change)))
BROKEN(a_first_change_with_a_row_panics, "change->job", struct jobs_change change;
       uint32_t count = 0; EXPECT_EQ(jobs_change_list(w.t, 0, &change, 1, &count), SH_OK);
       EXPECT_EQ(change.job, change.index);
       put(jobs_row_u64('w', change.index), jobs_row_put_change(buffer, &change)))
BROKEN(a_change_out_of_the_window_panics, "jobs_change_oldest", META(counts.applied = 1u << 20))
BROKEN(a_change_of_no_job_panics, "change->job", struct jobs_change change; uint32_t count = 0;
       EXPECT_EQ(jobs_change_list(w.t, 0, &change, 1, &count), SH_OK); change.job = 1;
       put(jobs_row_u64('w', change.index), jobs_row_put_change(buffer, &change)))
BROKEN(a_session_of_nobody_panics, "jobs_row_id('n', s.node)", struct jobs_session s;
       EXPECT_EQ(jobs_session_get(w.t, 6, &s), SH_OK); world_node(s.node, 9);
       put(jobs_row_u64('x', 6), jobs_row_put_session(buffer, &s)))
BROKEN(a_session_used_in_the_future_panics, "s.used_us", struct jobs_session s;
       EXPECT_EQ(jobs_session_get(w.t, 6, &s), SH_OK); s.used_us = w.now_us + 1;
       put(jobs_row_u64('x', 6), jobs_row_put_session(buffer, &s)))
BROKEN(a_session_that_its_agent_does_not_find_panics, "of_node", uint8_t id[SH_NODE_ID_BYTES];
       world_node(id, 1); gone(jobs_row_id('y', id)))
BROKEN(an_agent_that_finds_another_session_panics, "id == s.id", uint8_t id[SH_NODE_ID_BYTES];
       world_node(id, 1); put(jobs_row_id('y', id), jobs_row_put_index(buffer, 7)))
BROKEN(an_agent_that_finds_no_session_panics, "sum->sessions", uint8_t id[SH_NODE_ID_BYTES];
       world_node(id, 2); put(jobs_row_id('y', id), jobs_row_put_index(buffer, 6)))
BROKEN(a_reply_in_another_slot_panics, "reply.number", struct jobs_reply reply = {.number = 5};
       put(jobs_row_unit('z', (struct wire_unit){6, 4}), jobs_row_put_reply(buffer, &reply)))
BROKEN(a_reply_of_no_session_panics, "jobs_row_u64('x', session)",
       struct jobs_reply reply = {.number = 5};
       put(jobs_row_unit('z', (struct wire_unit){5, 5}), jobs_row_put_reply(buffer, &reply)))
BROKEN(a_row_of_no_kind_panics, "letter", present(jobs_row_letter('\0')))
BROKEN(a_row_of_an_unknown_kind_panics, "letter", present(jobs_row_letter('Z')))
BROKEN(a_setting_that_is_none_panics, "jobs_setting_ok",
       put(jobs_row_name('v', "speed"), jobs_row_put_index(buffer, 1)))
BROKEN(a_setting_out_of_range_panics, "jobs_setting_ok",
       put(jobs_row_name('v', "reserve"), jobs_row_put_index(buffer, 1001)))
BROKEN(an_owner_of_the_future_panics, "owner.at_us",
       struct jobs_owner owner = {.at_us = UINT64_MAX};
       put(jobs_row_name('t', "ada"), jobs_row_put_owner(buffer, &owner)))
BROKEN(miscounted_settings_panic, "sum->settings", META(counts.settings++))
BROKEN(miscounted_owners_panic, "sum->owners", META(counts.owners++))
BROKEN(miscounted_nodes_panic, "tx.meta.nodes", META(counts.nodes++))
BROKEN(miscounted_jobs_panic, "tx.meta.jobs", META(counts.jobs++))
BROKEN(miscounted_open_units_panic, "tx.meta.open_units", META(counts.open_units++))
BROKEN(miscounted_models_panic, "tx.meta.models", META(counts.models++))
BROKEN(miscounted_sets_panic, "tx.meta.datasets", META(counts.datasets++))
BROKEN(miscounted_sessions_panic, "tx.meta.sessions", META(counts.sessions++))
BROKEN(miscounted_failed_jobs_panic, "tx.meta.jobs_in", META(counts.jobs_in[JOBS_FAILED]++))
BROKEN(miscounted_waiting_jobs_panic, "tx.meta.jobs_in", META(counts.jobs_in[JOBS_WAITING]++))
BROKEN(miscounted_stopped_jobs_panic, "tx.meta.jobs_in", META(counts.jobs_in[JOBS_STOPPED]++))
BROKEN(a_digest_of_other_rows_panics, "tx.meta.digest", META(counts.digest++))
BROKEN(a_row_that_no_digest_knows_panics, "tx.meta.digest",
       put(jobs_row_name('l', "other"), jobs_row_put_number(buffer, 1)))
