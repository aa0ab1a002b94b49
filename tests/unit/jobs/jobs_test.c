/* SPDX-License-Identifier: Apache-2.0 */
#include "expect.h"

#include <stdio.h>

static struct world w;

/* A train job on nodes 1 .. members, running. */
static struct wire_unit running(unsigned members)
{
    EXPECT_DONE(world_train(&w, "digits"));
    struct wire_unit unit = {.job = w.result.unit.job, .unit = 0};
    EXPECT_DONE(world_place(&w, unit, 1, members));
    return unit;
}

TEST(an_admitted_agent_has_the_index_of_its_entry_as_its_handle)
{
    world_cluster(&w, 2);
    struct jobs_node node;
    uint8_t id[SH_NODE_ID_BYTES];
    world_node(id, 2);
    EXPECT_EQ(jobs_node_get(w.t, id, &node), SH_OK);
    EXPECT_EQ(node.handle, 2);
    EXPECT_STR(node.name, "n2");
    EXPECT_EQ(jobs_node_by_name(w.t, "n1", &node), SH_OK);
    EXPECT_EQ(node.handle, 1);
    EXPECT_EQ(jobs_node_by_handle(w.t, 2, &node), SH_OK);
    EXPECT_STR(node.name, "n2");
    EXPECT_EQ(jobs_node_by_name(w.t, "n3", &node), SH_ERR_NOT_FOUND);
    EXPECT_EQ(jobs_node_by_handle(w.t, 3, &node), SH_ERR_NOT_FOUND);
    world_free(&w);
}

/* Admits node 1 with a handle of its choice. */
static enum sh_err admit_as(uint64_t handle)
{
    w.cmd = (struct jobs_cmd){.type = JOBS_NODE_ADMIT};
    struct jobs_node_admit *c = &w.cmd.u.node_admit;
    world_node(c->node, 1);
    c->handle = handle;
    memcpy(c->name, "founder", 8);
    memcpy(c->addr, "h:1", 4);
    return world_apply(&w);
}

TEST(the_founder_names_its_handle_and_no_handle_is_given_twice)
{
    world_init(&w);
    w.index = 4; /* entries of the log itself came before */
    EXPECT_DONE(admit_as(1));
    EXPECT_EQ(w.result.handle, 1);
    EXPECT_DONE(world_remove(&w, 1));
    EXPECT_CODE(admit_as(1), JOBS_CODE_HANDLE_USED);
    EXPECT_EQ(w.result.err, SH_ERR_CONFLICT);
    EXPECT_CODE(admit_as(w.index + 2), JOBS_CODE_HANDLE_USED);
    EXPECT_DONE(admit_as(0));
    EXPECT_EQ(w.result.handle, w.index);
    world_free(&w);
}

TEST(an_agent_admitted_again_keeps_its_handle_and_takes_its_new_name)
{
    world_cluster(&w, 2);
    EXPECT_DONE(world_admit(&w, 1, "renamed"));
    EXPECT_EQ(w.result.handle, 1);
    EXPECT(!w.result.duplicate);
    EXPECT(w.result.nodes_changed);
    struct jobs_node node;
    EXPECT_EQ(jobs_node_by_name(w.t, "n1", &node), SH_ERR_NOT_FOUND);
    EXPECT_EQ(jobs_node_by_name(w.t, "renamed", &node), SH_OK);
    EXPECT_DONE(world_admit(&w, 1, "renamed"));
    EXPECT(w.result.duplicate);
    EXPECT(!w.result.nodes_changed);
    world_free(&w);
}

TEST(a_name_belongs_to_one_agent_until_it_is_removed)
{
    world_cluster(&w, 2);
    EXPECT_CODE(world_admit(&w, 3, "n1"), JOBS_CODE_NODE_NAME_TAKEN);
    EXPECT_EQ(w.result.err, SH_ERR_EXISTS);
    EXPECT_CODE(world_admit(&w, 2, "n1"), JOBS_CODE_NODE_NAME_TAKEN);
    EXPECT_DONE(world_remove(&w, 1));
    EXPECT_EQ(w.result.handle, 1);
    EXPECT(w.result.nodes_changed);
    EXPECT_CODE(world_remove(&w, 1), JOBS_CODE_NODE_UNKNOWN);
    EXPECT(!w.result.nodes_changed);
    EXPECT_DONE(world_admit(&w, 3, "n1"));
    EXPECT_DONE(world_admit(&w, 1, "back"));
    EXPECT_EQ(w.result.handle, w.index); /* never the old handle */
    world_free(&w);
}

TEST(the_cluster_lists_a_bounded_number_of_agents)
{
    world_init(&w);
    for (unsigned i = 0; i < JOBS_NODES_MAX; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "n%u", i);
        (void)world_admit(&w, 0, "x");
        memset(&w.cmd.u.node_admit.node, 0, SH_NODE_ID_BYTES);
        w.cmd.u.node_admit.node[0] = (uint8_t)(i >> 8);
        w.cmd.u.node_admit.node[1] = (uint8_t)i;
        w.cmd.u.node_admit.node[2] = 1;
        memcpy(w.cmd.u.node_admit.name, name, sizeof name);
        if (i + 1 < JOBS_NODES_MAX) {
            EXPECT_EQ(world_apply(&w), SH_OK);
        }
    }
    EXPECT_CODE(world_apply(&w), JOBS_CODE_NODES_FULL);
    world_free(&w);
}

TEST(a_job_id_is_the_index_of_its_entry_and_its_units_wait)
{
    world_cluster(&w, 1);
    EXPECT_DONE(world_noop(&w, "work", 20));
    EXPECT_EQ(w.result.unit.job, w.index);
    EXPECT(w.result.touched_more);
    EXPECT_EQ(w.result.touched_count, JOBS_TOUCHED_MAX);
    struct jobs_job job;
    EXPECT_EQ(jobs_job_get(w.t, w.index, &job), SH_OK);
    EXPECT_EQ(job.units, 20);
    EXPECT_EQ(job.units_in[JOBS_WAITING], 20);
    EXPECT_STR(job.owner, "ada");
    EXPECT_EQ(job.submit_us, w.now_us);
    struct sh_span spec;
    EXPECT_EQ(jobs_spec_get(w.t, w.index, &spec), SH_OK);
    EXPECT_EQ(spec.size, 2);
    EXPECT_MEM(spec.at, "{}", 2);
    EXPECT_EQ(jobs_spec_get(w.t, 99, &spec), SH_ERR_NOT_FOUND);
    world_free(&w);
}

TEST(the_same_idempotency_key_gives_the_same_job)
{
    world_cluster(&w, 1);
    struct jobs_submit *c = world_submit(&w, "a");
    memcpy(c->key, "k-1", 4);
    EXPECT_DONE(world_apply(&w));
    uint64_t job = w.result.unit.job;
    EXPECT_DONE(world_apply(&w));
    EXPECT(w.result.duplicate);
    EXPECT_EQ(w.result.unit.job, job);
    EXPECT_EQ(w.result.touched_count, 0);
    struct jobs_job view;
    EXPECT_EQ(jobs_job_by_key(w.t, "k-1", &view), SH_OK);
    EXPECT_EQ(view.id, job);
    EXPECT_EQ(jobs_job_by_key(w.t, "k-2", &view), SH_ERR_NOT_FOUND);
    struct jobs_counts counts;
    EXPECT_EQ(jobs_counts_get(w.t, &counts), SH_OK);
    EXPECT_EQ(counts.jobs, 1);
    world_free(&w);
}

TEST(an_idempotency_key_of_another_job_file_is_refused_and_names_the_job)
{
    world_cluster(&w, 1);
    struct jobs_submit *c = world_submit(&w, "a");
    memcpy(c->key, "k-1", 4);
    EXPECT_DONE(world_apply(&w));
    uint64_t job = w.result.unit.job;
    c->spec_digest[0] ^= 1;
    EXPECT_CODE(world_apply(&w), JOBS_CODE_KEY_REUSED);
    EXPECT_EQ(w.result.err, SH_ERR_EXISTS);
    EXPECT_EQ(w.result.unit.job, job);
    world_free(&w);
}

TEST(unfinished_units_are_bounded)
{
    world_cluster(&w, 1);
    for (uint32_t i = 0; i < JOBS_OPEN_MAX / JOBS_UNITS_MAX; i++) {
        EXPECT_EQ(world_noop(&w, "many", JOBS_UNITS_MAX), SH_OK);
    }
    EXPECT_CODE(world_noop(&w, "one", 1), JOBS_CODE_LIVE_FULL);
    EXPECT_EQ(w.result.err, SH_ERR_FULL);
    EXPECT_EQ(world_stop(&w, w.index - 1), SH_OK);
    EXPECT_DONE(world_noop(&w, "one", 1));
    world_free(&w);
}

TEST(a_place_entry_is_the_fence_of_the_gang)
{
    world_cluster(&w, 3);
    EXPECT_DONE(world_train(&w, "digits"));
    struct wire_unit unit = {.job = w.result.unit.job};
    struct wire_placement gang;
    EXPECT_EQ(jobs_placement_get(w.t, unit, &gang), SH_ERR_NOT_FOUND);
    w.term = 4;
    w.now_us += 5;
    EXPECT_DONE(world_place(&w, unit, 1, 3));
    EXPECT_EQ(w.result.fence.term, 4);
    EXPECT_EQ(w.result.fence.index, w.index);
    EXPECT_EQ(w.result.touched_count, 1);
    EXPECT_EQ(jobs_placement_get(w.t, unit, &gang), SH_OK);
    EXPECT(wire_fence_equal(gang.fence, w.result.fence));
    EXPECT_EQ(gang.member_count, 3);
    EXPECT_EQ(gang.members[1].rank_lo, 5);
    EXPECT_EQ(world_job_state(&w, unit.job), JOBS_RUNNING);
    struct jobs_job job;
    EXPECT_EQ(jobs_job_get(w.t, unit.job, &job), SH_OK);
    EXPECT_EQ(job.start_us, w.now_us);
    EXPECT(job.pinned);
    world_free(&w);
}

TEST(a_unit_placed_anew_runs_since_its_first_gang)
{
    world_cluster(&w, 2);
    w.now_us = 3000000;
    struct wire_unit unit = running(1);
    w.now_us = 4000000;
    EXPECT_DONE(world_place(&w, unit, 1, 2));
    struct jobs_unit view;
    EXPECT_EQ(jobs_unit_get(w.t, unit, &view), SH_OK);
    EXPECT_EQ(view.since_us, 3000000);
    EXPECT_EQ(view.placed_us, 4000000);
    EXPECT_EQ(view.placements, 2);
    world_free(&w);
}

TEST(a_place_against_an_old_fence_is_stale)
{
    world_cluster(&w, 3);
    struct wire_unit unit = running(2);
    struct jobs_cmd again = w.cmd; /* names {0, 0} as the previous fence */
    w.cmd = again;
    EXPECT_CODE(world_apply(&w), JOBS_CODE_FENCE_STALE);
    EXPECT_EQ(w.result.err, SH_ERR_STALE);
    EXPECT(wire_fence_equal(w.result.fence, world_fence(&w, unit)));
    struct wire_fence first = world_fence(&w, unit);
    EXPECT_DONE(world_place(&w, unit, 1, 3));
    EXPECT(wire_fence_cmp(first, world_fence(&w, unit)) < 0);
    EXPECT_EQ(world_unit_state(&w, unit), JOBS_RUNNING);
    world_free(&w);
}

struct bad_gang {
    unsigned count;
    unsigned lo[3];
    unsigned hi[3];
    unsigned node[3];
    enum jobs_code code;
};

static const struct bad_gang bad_gangs[] = {
    {1, {0}, {16}, {1}, JOBS_CODE_MEMBER_COUNT},
    {3, {0, 5, 10}, {5, 10, 16}, {1, 2, 3}, JOBS_CODE_NONE},
    {2, {0, 8}, {8, 15}, {1, 2}, JOBS_CODE_RANKS_UNCOVERED},
    {2, {0, 9}, {8, 16}, {1, 2}, JOBS_CODE_RANKS_UNCOVERED},
    {2, {0, 7}, {8, 16}, {1, 2}, JOBS_CODE_RANKS_UNCOVERED},
    {2, {8, 0}, {16, 8}, {1, 2}, JOBS_CODE_RANKS_UNCOVERED},
    {2, {1, 8}, {8, 16}, {1, 2}, JOBS_CODE_RANKS_UNCOVERED},
    {2, {0, 8}, {8, 17}, {1, 2}, JOBS_CODE_RANKS_UNCOVERED},
    {2, {0, 8}, {8, 16}, {1, 9}, JOBS_CODE_MEMBER_UNKNOWN},
    {2, {0, 8}, {8, 16}, {2, 2}, JOBS_CODE_MEMBER_TWICE},
};

TEST_ROWS(a_gang_covers_all_ranks_with_distinct_admitted_agents, bad_gangs)
{
    const struct bad_gang *bad = &bad_gangs[tst_row];
    world_cluster(&w, 4);
    struct jobs_submit *submit = world_submit(&w, "digits");
    submit->need.agents_min = 2;
    submit->need.agents_max = 3;
    EXPECT_DONE(world_apply(&w));
    struct wire_unit unit = {.job = w.result.unit.job};
    EXPECT_CODE(world_place(&w, unit, 1, 4), JOBS_CODE_MEMBER_COUNT);
    w.cmd.u.place.member_count = bad->count;
    for (unsigned i = 0; i < bad->count; i++) {
        world_node(w.cmd.u.place.members[i].node, bad->node[i]);
        w.cmd.u.place.members[i].rank_lo = (uint16_t)bad->lo[i];
        w.cmd.u.place.members[i].rank_hi = (uint16_t)bad->hi[i];
    }
    EXPECT_CODE(world_apply(&w), bad->code);
    world_free(&w);
}

TEST(the_first_gang_pins_the_class_and_another_class_is_refused)
{
    world_cluster(&w, 3);
    struct wire_unit unit = running(2);
    (void)world_place(&w, unit, 1, 1);
    EXPECT_EQ(w.result.err, SH_OK);
    w.cmd.u.place.previous = world_fence(&w, unit);
    w.cmd.u.place.class[0] ^= 1;
    EXPECT_CODE(world_apply(&w), JOBS_CODE_CLASS_DIFFERS);
    w.cmd.u.place.class[0] ^= 1;
    w.cmd.u.place.mixed = true;
    EXPECT_CODE(world_apply(&w), JOBS_CODE_CLASS_DIFFERS);
    w.cmd.u.place.mixed = false;
    EXPECT_DONE(world_apply(&w));
    world_free(&w);
}

TEST(mode_any_mixes_classes_and_marks_job_and_model)
{
    world_cluster(&w, 3);
    struct jobs_submit *submit = world_submit(&w, "digits");
    submit->need.arithmetic = WIRE_ARITHMETIC_ANY;
    EXPECT_DONE(world_apply(&w));
    struct wire_unit unit = {.job = w.result.unit.job};
    EXPECT_DONE(world_place(&w, unit, 1, 2));
    struct jobs_job job;
    EXPECT_EQ(jobs_job_get(w.t, unit.job, &job), SH_OK);
    EXPECT(!job.mixed);
    w.cmd.u.place.previous = world_fence(&w, unit);
    w.cmd.u.place.class[3] ^= 1;
    EXPECT_DONE(world_apply(&w));
    EXPECT_EQ(jobs_job_get(w.t, unit.job, &job), SH_OK);
    EXPECT(job.mixed);
    EXPECT_DONE(world_commit(&w, unit, world_fence(&w, unit), 1, false));
    struct jobs_model model;
    EXPECT_EQ(jobs_model_get(w.t, "digits", 1, &model), SH_OK);
    EXPECT(model.mixed);
    EXPECT(!model.reproducible);
    world_free(&w);
}

TEST(a_commit_makes_the_next_version_of_the_model_and_ends_the_job)
{
    world_cluster(&w, 2);
    for (unsigned version = 1; version <= 2; version++) {
        struct wire_unit unit = running(2);
        w.now_us += 1000;
        EXPECT_DONE(world_commit(&w, unit, world_fence(&w, unit), (uint8_t)version, false));
        EXPECT_EQ(w.result.model_version, version);
        EXPECT_EQ(world_job_state(&w, unit.job), JOBS_COMPLETED);
        struct jobs_model model;
        EXPECT_EQ(jobs_model_get(w.t, "digits", 0, &model), SH_OK);
        EXPECT_EQ(model.version, version);
        EXPECT(wire_unit_equal(model.unit, unit));
        EXPECT(model.reproducible);
        EXPECT_EQ(model.holder_count, 2);
        EXPECT_EQ(model.outcome.steps, 384);
        EXPECT_EQ(model.outcome.file[5], version);
        EXPECT_NEAR(model.outcome.metrics.train_loss, 0.25, 0);
        EXPECT_EQ(model.created_us, w.now_us);
        struct jobs_job job;
        EXPECT_EQ(jobs_job_get(w.t, unit.job, &job), SH_OK);
        EXPECT_EQ(job.end_us, w.now_us);
    }
    struct jobs_model models[4];
    uint32_t count = 0;
    EXPECT_EQ(jobs_model_list(w.t, "", 0, models, 4, &count), SH_OK);
    EXPECT_EQ(count, 2);
    EXPECT_EQ(models[1].version, 2);
    EXPECT_EQ(jobs_model_list(w.t, "digits", 1, models, 4, &count), SH_OK);
    EXPECT_EQ(count, 1);
    EXPECT_EQ(jobs_model_get(w.t, "digits", 3, &models[0]), SH_ERR_NOT_FOUND);
    EXPECT_EQ(jobs_model_get(w.t, "other", 0, &models[0]), SH_ERR_NOT_FOUND);
    world_free(&w);
}

TEST(a_unit_is_committed_once_however_often_the_command_comes)
{
    world_cluster(&w, 2);
    struct wire_unit unit = running(2);
    struct wire_fence fence = world_fence(&w, unit);
    EXPECT_DONE(world_commit(&w, unit, fence, 7, false));
    EXPECT_DONE(world_commit(&w, unit, fence, 7, false));
    EXPECT(w.result.duplicate);
    EXPECT_EQ(w.result.model_version, 1);
    EXPECT_EQ(w.result.touched_count, 0);
    EXPECT_CODE(world_commit(&w, unit, fence, 8, false), JOBS_CODE_RESULT_DIFFERS);
    EXPECT_EQ(w.result.err, SH_ERR_CONFLICT);
    struct jobs_counts counts;
    EXPECT_EQ(jobs_counts_get(w.t, &counts), SH_OK);
    EXPECT_EQ(counts.models, 1);
    world_free(&w);
}

TEST(an_old_gang_speaks_for_nothing)
{
    world_cluster(&w, 3);
    struct wire_unit unit = running(2);
    struct wire_fence old = world_fence(&w, unit);
    EXPECT_DONE(world_place(&w, unit, 1, 3));
    EXPECT_CODE(world_commit(&w, unit, old, 1, false), JOBS_CODE_FENCE_STALE);
    EXPECT_CODE(world_checkpoint(&w, unit, old, 1, 1), JOBS_CODE_FENCE_STALE);
    EXPECT_CODE(world_fail(&w, unit, old, true), JOBS_CODE_FENCE_STALE);
    EXPECT_CODE(world_expire(&w, unit, old), JOBS_CODE_FENCE_STALE);
    EXPECT_EQ(w.result.err, SH_ERR_STALE);
    EXPECT_DONE(world_commit(&w, unit, world_fence(&w, unit), 1, false));
    EXPECT_CODE(world_commit(&w, unit, old, 1, false), JOBS_CODE_FENCE_STALE);
    world_free(&w);
}

TEST(commands_about_unknown_jobs_and_units_are_not_found)
{
    world_cluster(&w, 1);
    struct wire_unit nowhere = {.job = 77};
    struct wire_fence fence = {1, 1};
    EXPECT_CODE(world_place(&w, nowhere, 1, 1), JOBS_CODE_JOB_UNKNOWN);
    EXPECT_CODE(world_commit(&w, nowhere, fence, 1, false), JOBS_CODE_JOB_UNKNOWN);
    EXPECT_CODE(world_stop(&w, 77), JOBS_CODE_JOB_UNKNOWN);
    struct wire_unit unit = running(1);
    unit.unit = 1;
    EXPECT_CODE(world_expire(&w, unit, fence), JOBS_CODE_UNIT_UNKNOWN);
    EXPECT_EQ(w.result.err, SH_ERR_NOT_FOUND);
    world_free(&w);
}

TEST(an_expired_unit_waits_again_and_uses_up_no_retry)
{
    world_cluster(&w, 2);
    struct wire_unit unit = running(2);
    struct wire_fence fence = world_fence(&w, unit);
    EXPECT_DONE(world_expire(&w, unit, fence));
    EXPECT_EQ(world_job_state(&w, unit.job), JOBS_WAITING);
    EXPECT_CODE(world_expire(&w, unit, fence), JOBS_CODE_FENCE_STALE);
    EXPECT_CODE(world_commit(&w, unit, fence, 1, false), JOBS_CODE_FENCE_STALE);
    struct jobs_unit view;
    EXPECT_EQ(jobs_unit_get(w.t, unit, &view), SH_OK);
    EXPECT_EQ(view.failures, 0);
    EXPECT(wire_fence_equal(view.placement.fence, fence));
    EXPECT_DONE(world_place(&w, unit, 1, 1));
    EXPECT_EQ(world_job_state(&w, unit.job), JOBS_RUNNING);
    world_free(&w);
}

TEST(a_failure_with_a_retry_left_waits_again_then_fails_the_job)
{
    world_cluster(&w, 2);
    struct jobs_submit *submit = world_submit(&w, "digits");
    submit->retries = 1;
    EXPECT_DONE(world_apply(&w));
    struct wire_unit unit = {.job = w.result.unit.job};
    EXPECT_DONE(world_place(&w, unit, 1, 1));
    EXPECT_DONE(world_fail(&w, unit, world_fence(&w, unit), false));
    EXPECT_EQ(world_job_state(&w, unit.job), JOBS_WAITING);
    EXPECT_DONE(world_place(&w, unit, 1, 1));
    struct wire_fence fence = world_fence(&w, unit);
    EXPECT_DONE(world_fail(&w, unit, fence, false));
    struct jobs_job job;
    EXPECT_EQ(jobs_job_get(w.t, unit.job, &job), SH_OK);
    EXPECT_EQ(job.state, JOBS_FAILED);
    EXPECT_EQ(job.fail_reason, SH_ERR_DIVERGED);
    EXPECT_STR(job.fail_text, "loss is not finite at step 7, rank 3");
    struct jobs_unit view;
    EXPECT_EQ(jobs_unit_get(w.t, unit, &view), SH_OK);
    EXPECT_EQ(view.failures, 2);
    EXPECT_EQ(view.fail_reason, SH_ERR_DIVERGED);
    EXPECT_CODE(world_fail(&w, unit, fence, false), JOBS_CODE_UNIT_CLOSED);
    EXPECT_CODE(world_place(&w, unit, 1, 1), JOBS_CODE_UNIT_CLOSED);
    EXPECT_CODE(world_stop(&w, unit.job), JOBS_CODE_JOB_FINISHED);
    world_free(&w);
}

TEST(a_final_failure_uses_no_retry_and_stops_the_other_units)
{
    world_cluster(&w, 3);
    struct jobs_submit *submit = world_submit(&w, "work");
    submit->kind = WIRE_KIND_NOOP;
    submit->units = 3;
    submit->retries = 5;
    EXPECT_DONE(world_apply(&w));
    struct wire_unit unit = {.job = w.result.unit.job};
    struct wire_unit second = {.job = unit.job, .unit = 1};
    struct wire_unit third = {.job = unit.job, .unit = 2};
    EXPECT_DONE(world_place(&w, unit, 1, 1));
    EXPECT_DONE(world_place(&w, second, 2, 1));
    EXPECT_DONE(world_fail(&w, unit, world_fence(&w, unit), true));
    EXPECT_EQ(world_unit_state(&w, unit), JOBS_FAILED);
    EXPECT_EQ(world_unit_state(&w, second), JOBS_STOPPING);
    EXPECT_EQ(world_unit_state(&w, third), JOBS_STOPPED);
    EXPECT_EQ(world_job_state(&w, unit.job), JOBS_STOPPING);
    EXPECT_EQ(w.result.touched_count, 3);
    EXPECT_DONE(world_expire(&w, second, world_fence(&w, second)));
    EXPECT_EQ(world_job_state(&w, unit.job), JOBS_FAILED);
    world_free(&w);
}

TEST(each_unit_of_a_script_that_leaves_a_file_makes_a_model)
{
    world_cluster(&w, 2);
    struct jobs_submit *submit = world_submit(&w, "script");
    submit->kind = WIRE_KIND_EXEC;
    submit->units = 3;
    EXPECT_DONE(world_apply(&w));
    struct jobs_unit view;
    struct jobs_model model;
    for (uint32_t i = 0; i < 3; i++) {
        struct wire_unit unit = {.job = w.result.unit.job, .unit = i};
        EXPECT_DONE(world_place(&w, unit, 1, 1));
        EXPECT_DONE(world_commit(&w, unit, world_fence(&w, unit), i == 1 ? 0 : 1, false));
        EXPECT_EQ(jobs_unit_get(w.t, unit, &view), SH_OK);
        EXPECT_EQ(view.model_version, i == 0 ? 1 : i == 1 ? 0 : 2);
    }
    EXPECT_EQ(jobs_model_get(w.t, "script", 0, &model), SH_OK);
    EXPECT_EQ(model.version, 2);
    EXPECT_EQ(model.unit.unit, 2);
    EXPECT_EQ(world_job_state(&w, w.result.unit.job), JOBS_COMPLETED);
    world_free(&w);
}

TEST(stopping_a_waiting_job_ends_it_at_once)
{
    world_cluster(&w, 1);
    EXPECT_DONE(world_train(&w, "digits"));
    struct wire_unit unit = {.job = w.result.unit.job};
    EXPECT_DONE(world_stop(&w, unit.job));
    EXPECT_EQ(world_job_state(&w, unit.job), JOBS_STOPPED);
    EXPECT_DONE(world_stop(&w, unit.job));
    EXPECT(w.result.duplicate);
    EXPECT_CODE(world_place(&w, unit, 1, 1), JOBS_CODE_UNIT_CLOSED);
    world_free(&w);
}

TEST(stopping_a_running_job_keeps_what_there_is)
{
    world_cluster(&w, 2);
    struct wire_unit unit = running(2);
    struct wire_fence fence = world_fence(&w, unit);
    EXPECT_CODE(world_commit(&w, unit, fence, 1, true), JOBS_CODE_NOT_STOPPING);
    EXPECT_DONE(world_stop(&w, unit.job));
    EXPECT_EQ(world_job_state(&w, unit.job), JOBS_STOPPING);
    EXPECT_DONE(world_stop(&w, unit.job));
    EXPECT(w.result.duplicate);
    EXPECT_CODE(world_place(&w, unit, 1, 1), JOBS_CODE_UNIT_STOPPING);
    EXPECT_DONE(world_checkpoint(&w, unit, fence, 50, 1));
    EXPECT_DONE(world_commit(&w, unit, fence, 1, true));
    EXPECT_EQ(world_job_state(&w, unit.job), JOBS_STOPPED);
    struct jobs_model model;
    EXPECT_EQ(jobs_model_get(w.t, "digits", 0, &model), SH_OK);
    EXPECT(model.partial);
    EXPECT(!model.reproducible);
    EXPECT_DONE(world_commit(&w, unit, fence, 1, true));
    EXPECT(w.result.duplicate);
    world_free(&w);
}

TEST(a_stopping_unit_that_had_finished_completes_its_job)
{
    world_cluster(&w, 2);
    struct wire_unit unit = running(2);
    EXPECT_DONE(world_stop(&w, unit.job));
    EXPECT_DONE(world_commit(&w, unit, world_fence(&w, unit), 1, false));
    EXPECT_EQ(world_job_state(&w, unit.job), JOBS_COMPLETED);
    world_free(&w);
}

TEST(a_stopping_unit_whose_agents_are_gone_expires_to_stopped)
{
    world_cluster(&w, 2);
    struct wire_unit unit = running(2);
    EXPECT_DONE(world_stop(&w, unit.job));
    EXPECT_DONE(world_expire(&w, unit, world_fence(&w, unit)));
    EXPECT_EQ(world_job_state(&w, unit.job), JOBS_STOPPED);
    struct jobs_unit view;
    EXPECT_EQ(jobs_unit_get(w.t, unit, &view), SH_OK);
    EXPECT(!view.committed);
    world_free(&w);
}

TEST(a_stopping_unit_that_fails_leaves_the_job_stopped_with_the_reason)
{
    world_cluster(&w, 2);
    struct wire_unit unit = running(2);
    EXPECT_DONE(world_stop(&w, unit.job));
    EXPECT_DONE(world_fail(&w, unit, world_fence(&w, unit), false));
    struct jobs_job job;
    EXPECT_EQ(jobs_job_get(w.t, unit.job, &job), SH_OK);
    EXPECT_EQ(job.state, JOBS_STOPPED);
    EXPECT_EQ(job.fail_reason, SH_ERR_DIVERGED);
    EXPECT_EQ(world_unit_state(&w, unit), JOBS_FAILED);
    world_free(&w);
}

TEST(a_job_of_many_units_completes_with_its_last_unit)
{
    world_cluster(&w, 2);
    EXPECT_DONE(world_noop(&w, "work", 3));
    uint64_t job = w.result.unit.job;
    for (uint32_t i = 0; i < 3; i++) {
        struct wire_unit unit = {.job = job, .unit = i};
        EXPECT_DONE(world_place(&w, unit, 1, 1));
        EXPECT_EQ(world_job_state(&w, job), JOBS_RUNNING);
        EXPECT_DONE(world_commit(&w, unit, world_fence(&w, unit), 0, false));
        EXPECT_EQ(w.result.model_version, 0);
        EXPECT_EQ(world_job_state(&w, job), i < 2 ? JOBS_WAITING : JOBS_COMPLETED);
    }
    world_free(&w);
}

TEST(a_new_gang_may_start_over_from_an_older_step)
{
    world_cluster(&w, 2);
    struct wire_unit unit = running(2);
    EXPECT_DONE(world_checkpoint(&w, unit, world_fence(&w, unit), 100, 1));
    EXPECT_DONE(world_place(&w, unit, 2, 1));
    EXPECT_DONE(world_checkpoint(&w, unit, world_fence(&w, unit), 40, 2));
    struct jobs_unit view;
    EXPECT_EQ(jobs_unit_get(w.t, unit, &view), SH_OK);
    EXPECT_EQ(view.checkpoint_step, 40);
    EXPECT_EQ(view.checkpoints, 2);
    world_free(&w);
}

TEST(time_never_runs_backwards)
{
    world_cluster(&w, 1);
    w.now_us = 5000000;
    EXPECT_DONE(world_noop(&w, "a", 1));
    w.now_us = 3000000;
    EXPECT_DONE(world_noop(&w, "b", 1));
    EXPECT_EQ(w.result.stamp_us, 5000000);
    struct jobs_job job;
    EXPECT_EQ(jobs_job_get(w.t, w.result.unit.job, &job), SH_OK);
    EXPECT_EQ(job.submit_us, 5000000);
    world_free(&w);
}

TEST(an_unknown_command_halts_and_changes_nothing)
{
    world_cluster(&w, 1);
    struct rows before;
    rows_copy(&before, &w.rows);
    uint8_t bytes[32] = {1, 200};
    world_bytes(&w, bytes, sizeof bytes);
    EXPECT_EQ(w.result.err, SH_ERR_VERSION);
    EXPECT(w.result.halt);
    EXPECT(rows_equal(&before, &w.rows));
    bytes[0] = 2;
    bytes[1] = JOBS_STOP;
    world_bytes(&w, bytes, sizeof bytes);
    EXPECT_EQ(w.result.err, SH_ERR_VERSION);
    EXPECT(w.result.halt);
    rows_free(&before);
    world_free(&w);
}

TEST(a_damaged_command_is_refused_on_every_replica_alike)
{
    world_cluster(&w, 1);
    uint64_t digest = jobs_digest(w.t);
    world_bytes(&w, "\1\5", 2);
    EXPECT_EQ(w.result.code, JOBS_CODE_BAD_COMMAND);
    EXPECT(!w.result.halt);
    EXPECT_EQ(jobs_applied(w.t), w.index);
    EXPECT_EQ(jobs_digest(w.t), digest);
    world_free(&w);
}

TEST(a_damaged_row_halts)
{
    world_cluster(&w, 2);
    struct wire_unit unit = running(1);
    for (size_t i = 0; i < w.rows.count; i++) {
        bool unit_row = w.rows.at[i].bytes[0] == 's' && w.rows.at[i].key_size > 9 &&
                        w.rows.at[i].bytes[9] == 'u';
        if (unit_row) {
            w.rows.at[i].bytes[w.rows.at[i].key_size] = 9; /* version of the row */
        }
    }
    EXPECT_EQ(world_commit(&w, unit, (struct wire_fence){1, w.index}, 1, false), SH_ERR_CORRUPT);
    EXPECT(w.result.halt);
    EXPECT_EQ(w.result.code, JOBS_CODE_ROW_DAMAGED);
    world_free(&w);
}

TEST_DIES(an_entry_applied_twice_panics, "entry->index > tx.meta.applied")
{
    world_cluster(&w, 1);
    w.index--;
    (void)world_noop(&w, "a", 1);
}

TEST(a_result_lists_the_units_it_touched_as_far_as_it_has_room)
{
    world_cluster(&w, 1);
    EXPECT_DONE(world_noop(&w, "few", JOBS_TOUCHED_MAX));
    EXPECT_EQ(w.result.touched_count, JOBS_TOUCHED_MAX);
    EXPECT(!w.result.touched_more);
    for (uint32_t i = 0; i < JOBS_TOUCHED_MAX; i++) {
        EXPECT(w.result.touched[i].job == w.index && w.result.touched[i].unit == i);
    }
    EXPECT_DONE(world_stop(&w, w.index));
    EXPECT_EQ(w.result.touched_count, JOBS_TOUCHED_MAX);
    EXPECT(!w.result.touched_more);
    EXPECT_DONE(world_noop(&w, "many", JOBS_TOUCHED_MAX + 1));
    EXPECT_EQ(w.result.touched_count, JOBS_TOUCHED_MAX);
    EXPECT(w.result.touched_more);
    world_free(&w);
}

TEST(a_session_ends_when_it_was_not_used_for_longer_than_it_lasts)
{
    world_cluster(&w, 2);
    EXPECT_DONE(world_session(&w, 1, 5));
    uint64_t id = w.result.handle;
    uint64_t opened = w.now_us;
    struct jobs_session s;
    w.session = id;
    w.now_us = opened + JOBS_SESSION_US / 8 - 1;
    EXPECT_DONE(world_keep(&w)); /* too little to be written down */
    EXPECT_EQ(jobs_session_get(w.t, id, &s), SH_OK);
    EXPECT_EQ(s.used_us, opened);
    w.now_us++;
    EXPECT_DONE(world_keep(&w));
    EXPECT_EQ(jobs_session_get(w.t, id, &s), SH_OK);
    EXPECT_EQ(s.used_us, w.now_us);
    w.now_us += JOBS_SESSION_US;
    EXPECT_DONE(world_keep(&w)); /* the last moment */
    w.now_us += JOBS_SESSION_US + 1;
    EXPECT_CODE(world_keep(&w), JOBS_CODE_SESSION_UNKNOWN);
    EXPECT_EQ(jobs_session_get(w.t, id, &s), SH_ERR_NOT_FOUND);
    world_free(&w);
}

TEST(an_agent_that_opens_its_session_sweeps_one_that_expired)
{
    world_cluster(&w, 3);
    uint64_t ids[2];
    for (unsigned i = 0; i < 2; i++) {
        EXPECT_DONE(world_session(&w, i + 1, 5));
        ids[i] = w.result.handle;
    }
    struct jobs_session s;
    w.now_us += JOBS_SESSION_US;
    EXPECT_DONE(world_session(&w, 2, 5)); /* the same life: the same session, not yet expired */
    EXPECT(w.result.duplicate && w.result.handle == ids[1]);
    EXPECT_EQ(jobs_session_get(w.t, ids[0], &s), SH_OK);
    w.now_us++;
    EXPECT_DONE(world_session(&w, 3, 5));
    EXPECT_EQ(jobs_session_get(w.t, ids[0], &s), SH_ERR_NOT_FOUND);
    EXPECT_EQ(jobs_session_get(w.t, ids[1], &s), SH_OK); /* one at a time */
    EXPECT_DONE(world_session(&w, 2, 5));
    EXPECT(!w.result.duplicate && w.result.handle == w.index);
    EXPECT_DONE(world_session(&w, 2, 6)); /* another life */
    EXPECT(!w.result.duplicate && w.result.handle == w.index);
    EXPECT_EQ(jobs_session_get(w.t, w.index - 1, &s), SH_ERR_NOT_FOUND);
    world_free(&w);
}

TEST(a_command_that_comes_again_is_answered_as_the_first_time)
{
    world_cluster(&w, 2);
    EXPECT_DONE(world_session(&w, 1, 5));
    w.session = w.result.handle;
    w.number = 1;
    EXPECT_DONE(world_train(&w, "net"));
    struct wire_unit unit = w.result.unit;
    w.number = 2;
    EXPECT_DONE(world_place(&w, unit, 1, 2));
    struct wire_fence fence = w.result.fence;
    w.number = 3;
    EXPECT_DONE(world_commit(&w, unit, fence, 1, false));
    EXPECT(!w.result.replayed);
    for (unsigned i = 0; i < 2; i++) {
        EXPECT_DONE(world_apply(&w));
        EXPECT(w.result.replayed && !w.result.duplicate && w.result.model_version == 1);
        EXPECT(wire_unit_equal(w.result.unit, unit));
        EXPECT(wire_fence_equal(w.result.fence, fence));
    }
    w.number = 4;
    EXPECT_DONE(world_apply(&w)); /* the same words as a new command: a repetition in itself */
    EXPECT(w.result.duplicate && !w.result.replayed);
    EXPECT_DONE(world_apply(&w));
    EXPECT(w.result.duplicate && w.result.replayed);
    w.number = 5;
    EXPECT_CODE(world_stop(&w, unit.job), JOBS_CODE_JOB_FINISHED);
    EXPECT_CODE(world_apply(&w), JOBS_CODE_JOB_FINISHED);
    EXPECT(w.result.replayed);
    w.number = 6;
    EXPECT_DONE(world_admit(&w, 3, "n3"));
    EXPECT_DONE(world_apply(&w));
    EXPECT(w.result.replayed && w.result.handle == w.index - 1);
    w.number = 1 + JOBS_SESSION_SLOTS; /* the slot of the first */
    EXPECT_DONE(world_noop(&w, "work", 1));
    w.number = 1;
    EXPECT_CODE(world_apply(&w), JOBS_CODE_NUMBER_OLD);
    EXPECT(!w.result.replayed);
    EXPECT_EQ(w.result.err, SH_ERR_STALE);
    world_free(&w);
}
