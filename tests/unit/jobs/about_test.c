/* SPDX-License-Identifier: Apache-2.0
 *
 * Jobs about models and data: ensembles and their deadlines, evaluations, lineage, data sets. */
#include "expect.h"

static struct world w;

/* A version of the model "digits". */
static void model_made(void)
{
    EXPECT_DONE(world_train(&w, "digits"));
    struct wire_unit unit = {.job = w.result.unit.job, .unit = 0};
    EXPECT_DONE(world_place(&w, unit, 1, 2));
    EXPECT_DONE(world_commit(&w, unit, world_fence(&w, unit), 1, false));
}

static struct jobs_submit *ensemble(uint32_t units, uint64_t deadline_us)
{
    struct jobs_submit *c = world_submit(&w, "together");
    c->kind = WIRE_KIND_ENSEMBLE;
    c->units = units;
    c->deadline_us = deadline_us;
    c->need.ranks = 1;
    c->need.agents_max = 1;
    return c;
}

static enum sh_err apply_deadline(uint64_t job)
{
    memset(&w.cmd, 0, sizeof w.cmd);
    w.cmd.type = JOBS_DEADLINE;
    w.cmd.u.deadline.job = job;
    return world_apply(&w);
}

TEST(an_ensemble_completes_without_the_members_that_failed)
{
    world_cluster(&w, 3);
    (void)ensemble(3, 0);
    EXPECT_DONE(world_apply(&w));
    uint64_t job = w.result.unit.job;
    for (uint32_t i = 0; i < 3; i++) {
        struct wire_unit unit = {.job = job, .unit = i};
        EXPECT_DONE(world_place(&w, unit, 1 + i, 1));
        if (i == 1) {
            EXPECT_DONE(world_fail(&w, unit, world_fence(&w, unit), true));
        } else {
            EXPECT_DONE(world_commit(&w, unit, world_fence(&w, unit), 1, false));
        }
        EXPECT_EQ(world_job_state(&w, job), i < 2 ? JOBS_WAITING : JOBS_COMPLETED);
    }
    struct jobs_counts counts;
    EXPECT_EQ(jobs_counts_get(w.t, &counts), SH_OK);
    EXPECT_EQ(counts.models, 0);
    EXPECT_CODE(apply_deadline(job), JOBS_CODE_JOB_FINISHED);
    world_free(&w);
}

TEST(an_ensemble_without_any_answer_has_failed)
{
    world_cluster(&w, 1);
    (void)ensemble(2, 0);
    EXPECT_DONE(world_apply(&w));
    for (uint32_t i = 0; i < 2; i++) {
        struct wire_unit unit = {.job = w.result.unit.job, .unit = i};
        EXPECT_DONE(world_place(&w, unit, 1, 1));
        EXPECT_DONE(world_fail(&w, unit, world_fence(&w, unit), true));
    }
    struct jobs_job job;
    EXPECT_EQ(jobs_job_get(w.t, w.result.unit.job, &job), SH_OK);
    EXPECT_EQ(job.state, JOBS_FAILED);
    EXPECT_EQ(job.cause, WIRE_CAUSE_FAILED);
    EXPECT_EQ(job.fail_reason, SH_ERR_DIVERGED);
    EXPECT(job.fail_text[0] != '\0');
    world_free(&w);
}

TEST(a_deadline_ends_what_is_open_and_not_before)
{
    world_cluster(&w, 2);
    (void)ensemble(3, 500);
    EXPECT_DONE(world_apply(&w));
    uint64_t job = w.result.unit.job;
    uint64_t first = 0;
    uint64_t at_us = 0;
    EXPECT_EQ(jobs_deadline_first(w.t, &first, &at_us), SH_OK);
    EXPECT_EQ(first, job);
    EXPECT_EQ(at_us, w.now_us + 500);
    struct wire_unit answered = {.job = job};
    struct wire_unit running = {.job = job, .unit = 1};
    struct wire_unit waiting = {.job = job, .unit = 2};
    EXPECT_DONE(world_place(&w, answered, 1, 1));
    EXPECT_DONE(world_commit(&w, answered, world_fence(&w, answered), 1, false));
    EXPECT_DONE(world_place(&w, running, 2, 1));
    w.now_us += 499;
    EXPECT_CODE(apply_deadline(job), JOBS_CODE_DEADLINE_AHEAD);
    EXPECT_EQ(world_job_state(&w, job), JOBS_RUNNING);
    w.now_us += 1;
    EXPECT_DONE(apply_deadline(job));
    EXPECT_EQ(world_unit_state(&w, running), JOBS_FAILED);
    EXPECT_EQ(world_unit_state(&w, waiting), JOBS_STOPPED);
    EXPECT_EQ(world_job_state(&w, job), JOBS_COMPLETED);
    EXPECT_CODE(world_commit(&w, running, world_fence(&w, running), 1, false),
                JOBS_CODE_UNIT_CLOSED);
    EXPECT_EQ(jobs_deadline_first(w.t, &first, &at_us), SH_ERR_NOT_FOUND);
    world_free(&w);
}

TEST(a_deadline_that_finds_no_answer_fails_the_job_whatever_waited)
{
    world_cluster(&w, 1);
    (void)ensemble(2, 500);
    EXPECT_DONE(world_apply(&w));
    w.now_us += 500;
    EXPECT_DONE(apply_deadline(w.result.unit.job));
    struct jobs_job job;
    EXPECT_EQ(jobs_job_get(w.t, w.result.unit.job, &job), SH_OK);
    EXPECT_EQ(job.state, JOBS_FAILED);
    EXPECT_EQ(job.fail_reason, SH_ERR_TIMEOUT);
    EXPECT_STR(job.fail_text, "no member had answered when the deadline passed");
    EXPECT_DONE(world_noop(&w, "other", 1));
    EXPECT_CODE(apply_deadline(w.result.unit.job), JOBS_CODE_DEADLINE_AHEAD);
    EXPECT_CODE(apply_deadline(99), JOBS_CODE_JOB_UNKNOWN);
    world_free(&w);
}

/* The unit is committed with figures: samples, and 0.5 for each. */
static void commit_figures(struct wire_unit unit, uint64_t samples)
{
    memset(&w.cmd, 0, sizeof w.cmd);
    w.cmd.type = JOBS_COMMIT;
    struct jobs_commit *c = &w.cmd.u.commit;
    c->unit = unit;
    c->fence = world_fence(&w, unit);
    memset(c->outcome.state, 0x77, sizeof c->outcome.state);
    c->outcome.figures.samples = samples;
    for (uint32_t i = 0; i < JOBS_FIGURES_MAX; i++) {
        c->outcome.figures.at[i] = 0.5;
    }
    EXPECT_DONE(world_apply(&w));
}

static void evaluate(const char *model, uint32_t version, uint8_t data, uint64_t samples)
{
    struct jobs_submit *c = world_submit(&w, "measure");
    c->kind = WIRE_KIND_EVALUATE;
    c->about.version = version;
    memcpy(c->about.model, model, strlen(model) + 1);
    memcpy(c->about.data, "data", 5);
    memset(c->about.digest, data, sizeof c->about.digest);
    EXPECT_DONE(world_apply(&w));
    struct wire_unit unit = {.job = w.result.unit.job};
    EXPECT_DONE(world_place(&w, unit, 1, 1));
    commit_figures(unit, samples);
}

TEST(an_evaluation_is_kept_with_the_version_and_the_data_it_is_about)
{
    world_cluster(&w, 2);
    model_made();
    evaluate("digits", 1, 3, 100);
    evaluate("digits", 1, 2, 200);
    evaluate("digits", 1, 3, 300); /* the newest figures count */
    evaluate("digits", 7, 2, 400); /* a version that is gone */
    struct jobs_evaluation list[4];
    uint32_t count = 0;
    EXPECT_EQ(jobs_evaluation_list(w.t, "digits", 1, list, 4, &count), SH_OK);
    EXPECT_EQ(count, 2);
    EXPECT_EQ(list[0].figures.samples, 200);
    EXPECT_EQ(list[1].figures.samples, 300);
    EXPECT(list[1].figures.at[13] > 0.4 && list[1].figures.at[13] < 0.6);
    EXPECT_STR(list[1].data, "data");
    EXPECT_EQ(list[1].digest[31], 3);
    EXPECT_EQ(jobs_evaluation_list(w.t, "digits", 7, list, 4, &count), SH_OK);
    EXPECT_EQ(count, 0);
    world_free(&w);
}

TEST(of_many_evaluations_of_a_version_the_oldest_goes)
{
    world_cluster(&w, 2);
    model_made();
    for (uint32_t i = 0; i < JOBS_EVALUATIONS_MAX + 2; i++) {
        w.now_us += 1;
        evaluate("digits", 1, (uint8_t)(200 - i), 1000 + i);
    }
    static struct jobs_evaluation list[JOBS_EVALUATIONS_MAX + 1];
    uint32_t count = 0;
    EXPECT_EQ(jobs_evaluation_list(w.t, "digits", 1, list, SH_COUNT(list), &count), SH_OK);
    EXPECT_EQ(count, JOBS_EVALUATIONS_MAX);
    EXPECT_EQ(list[count - 1].figures.samples, 1002);
    world_free(&w);
}

TEST(figures_of_a_unit_that_makes_a_model_are_of_that_model)
{
    world_cluster(&w, 2);
    struct jobs_submit *c = world_submit(&w, "script");
    c->kind = WIRE_KIND_EXEC;
    memcpy(c->about.data, "results.csv", 12);
    EXPECT_DONE(world_apply(&w));
    struct wire_unit unit = {.job = w.result.unit.job};
    EXPECT_DONE(world_place(&w, unit, 1, 1));
    memset(&w.cmd, 0, sizeof w.cmd);
    w.cmd.type = JOBS_COMMIT;
    w.cmd.u.commit.unit = unit;
    w.cmd.u.commit.fence = world_fence(&w, unit);
    memset(w.cmd.u.commit.outcome.file, 1, SH_DIGEST_BYTES);
    w.cmd.u.commit.outcome.figures.samples = 12;
    EXPECT_DONE(world_apply(&w));
    struct jobs_evaluation e;
    uint32_t count = 0;
    EXPECT_EQ(jobs_evaluation_list(w.t, "script", 1, &e, 1, &count), SH_OK);
    EXPECT_EQ(count, 1);
    EXPECT_STR(e.data, "results.csv");
    EXPECT(wire_unit_equal(e.unit, unit));
    world_free(&w);
}

TEST(a_fine_tuned_model_names_the_one_that_it_began_with)
{
    world_cluster(&w, 2);
    struct jobs_submit *c = world_submit(&w, "tuned");
    c->kind = WIRE_KIND_FINE_TUNE;
    memcpy(c->about.model, "digits", 7);
    c->about.version = 3;
    EXPECT_DONE(world_apply(&w));
    struct wire_unit unit = {.job = w.result.unit.job};
    EXPECT_DONE(world_place(&w, unit, 1, 1));
    EXPECT_DONE(world_commit(&w, unit, world_fence(&w, unit), 1, false));
    struct jobs_model model;
    EXPECT_EQ(jobs_model_get(w.t, "tuned", 1, &model), SH_OK);
    EXPECT_STR(model.parent, "digits");
    EXPECT_EQ(model.parent_version, 3);
    world_free(&w);
}

static enum sh_err prepare_data(const char *name, uint8_t digest)
{
    struct jobs_submit *c = world_submit(&w, "prepare");
    c->kind = WIRE_KIND_DATA_PREP;
    memcpy(c->dataset, name, strlen(name) + 1);
    EXPECT_DONE(world_apply(&w));
    struct wire_unit unit = {.job = w.result.unit.job};
    EXPECT_DONE(world_place(&w, unit, 1, 1));
    memset(&w.cmd, 0, sizeof w.cmd);
    w.cmd.type = JOBS_COMMIT;
    w.cmd.u.commit.unit = unit;
    w.cmd.u.commit.fence = world_fence(&w, unit);
    memset(w.cmd.u.commit.outcome.state, digest, SH_DIGEST_BYTES);
    w.cmd.u.commit.holder_count = 1;
    memset(w.cmd.u.commit.holders[0], 9, SH_NODE_ID_BYTES);
    return world_apply(&w);
}

static uint32_t named;

static void count_named(void *ctx, const uint8_t digest[SH_DIGEST_BYTES])
{
    named += digest[0] == *(const uint8_t *)ctx && digest[SH_DIGEST_BYTES - 1] == digest[0];
}

TEST(the_files_of_a_data_set_that_a_job_made_are_kept_when_the_job_is_not)
{
    uint8_t digest = 0x33;
    world_cluster(&w, 1);
    EXPECT_DONE(prepare_data("clean", digest));
    memset(&w.cmd, 0, sizeof w.cmd);
    w.cmd.type = JOBS_JOB_REMOVE;
    w.cmd.u.job_remove.job = w.result.unit.job;
    EXPECT_DONE(world_apply(&w));
    named = 0;
    EXPECT_EQ(jobs_blobs_named(w.t, count_named, &digest), SH_OK);
    EXPECT_EQ(named, 1);
    EXPECT_DONE(world_dataset_remove(&w, 1, "clean"));
    named = 0;
    EXPECT_EQ(jobs_blobs_named(w.t, count_named, &digest), SH_OK);
    EXPECT_EQ(named, 0);
    world_free(&w);
}

TEST(outputs_of_data_preparation_become_a_data_set_and_the_newest_counts)
{
    world_cluster(&w, 1);
    EXPECT_DONE(prepare_data("clean", 1));
    EXPECT(w.result.datasets_changed);
    EXPECT_DONE(prepare_data("clean", 2));
    struct jobs_dataset set;
    struct jobs_counts counts;
    EXPECT_EQ(jobs_dataset_get(w.t, "clean", &set), SH_OK);
    EXPECT_EQ(set.digest[0], 2);
    EXPECT_EQ(set.unit.job, w.result.unit.job);
    EXPECT_EQ(set.blob_holder_count, 1);
    EXPECT_EQ(jobs_counts_get(w.t, &counts), SH_OK);
    EXPECT_EQ(counts.datasets, 1);
    /* Nobody declares files under its name, and no job takes that of declared files. */
    EXPECT_CODE(world_dataset(&w, 1, "clean", 2), JOBS_CODE_DATASET_DIFFERS);
    EXPECT_DONE(world_dataset(&w, 1, "files", 5));
    EXPECT_CODE(prepare_data("files", 3), JOBS_CODE_DATASET_DIFFERS);
    jobs_check(w.core, w.t);
    EXPECT_DONE(world_dataset_remove(&w, 1, "clean"));
    EXPECT_EQ(jobs_dataset_get(w.t, "clean", &set), SH_ERR_NOT_FOUND);
    world_free(&w);
}
