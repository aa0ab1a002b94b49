/* SPDX-License-Identifier: Apache-2.0
 *
 * What stays of jobs and models, and what goes. */
#include "jobs/row.h"
#include "tst.h"
#include "world.h"

static struct world w;

static void start(void)
{
    world_init(&w);
    EXPECT_EQ(world_admit(&w, 1, "newt"), SH_OK);
    EXPECT_EQ(world_admit(&w, 2, "toad"), SH_OK);
}

/* A training job that runs, and its unit. keep: of keep_results; blob: its first byte, 0 for none.
 */
static struct wire_unit run_job(const char *name, uint16_t keep, uint8_t blob)
{
    struct jobs_submit *c = world_submit(&w, name);
    c->keep_results = keep;
    c->blob_count = blob != 0;
    memset(c->blobs[0], blob, sizeof c->blobs[0]);
    EXPECT_EQ(world_apply(&w), SH_OK);
    struct wire_unit unit = {.job = w.result.unit.job};
    EXPECT_EQ(world_place(&w, unit, 1, 1), SH_OK);
    return unit;
}

static void complete(struct wire_unit unit, uint8_t digest)
{
    EXPECT_EQ(world_commit(&w, unit, world_fence(&w, unit), digest, false), SH_OK);
    jobs_check(w.core, w.t);
}

static struct wire_unit trained(const char *name, uint16_t keep, uint8_t digest)
{
    struct wire_unit unit = run_job(name, keep, 0);
    EXPECT_EQ(world_checkpoint(&w, unit, world_fence(&w, unit), 7, (uint8_t)(digest + 3)), SH_OK);
    complete(unit, digest);
    return unit;
}

struct named {
    bool first[256]; /* bytes of digests */
    uint32_t count;
};

static void take(void *ctx, const uint8_t digest[static SH_DIGEST_BYTES])
{
    struct named *n = ctx;
    n->first[digest[0]] = true;
    n->count++;
}

static struct named names(void)
{
    struct named n = {.count = 0};
    EXPECT_EQ(jobs_blobs_named(w.t, take, &n), SH_OK);
    return n;
}

TEST(a_job_that_has_not_ended_is_not_removed)
{
    start();
    struct wire_unit unit = run_job("digits", 0, 0);
    uint64_t digest = jobs_digest(w.t);
    EXPECT_EQ(world_remove_job(&w, unit.job), SH_ERR_CONFLICT);
    EXPECT_EQ(w.result.code, JOBS_CODE_JOB_OPEN);
    EXPECT_EQ(jobs_digest(w.t), digest);
    EXPECT_EQ(world_remove_job(&w, 77), SH_ERR_NOT_FOUND);
    world_free(&w);
}

TEST(of_a_removed_job_no_row_is_left_but_its_changes_and_its_model)
{
    start();
    struct jobs_submit *c = world_submit(&w, "digits");
    memcpy(c->key, "once", 5);
    c->blob_count = 1;
    memset(c->blobs[0], 0x11, sizeof c->blobs[0]);
    size_t before = w.rows.count;
    uint64_t digest = jobs_digest(w.t);
    EXPECT_EQ(world_apply(&w), SH_OK);
    struct wire_unit unit = {.job = w.result.unit.job};
    EXPECT_EQ(world_place(&w, unit, 1, 1), SH_OK);
    EXPECT_EQ(world_fail(&w, unit, world_fence(&w, unit), true), SH_OK);
    EXPECT_EQ(world_remove_job(&w, unit.job), SH_OK);
    jobs_check(w.core, w.t);
    struct jobs_job job;
    EXPECT_EQ(jobs_job_get(w.t, unit.job, &job), SH_ERR_NOT_FOUND);
    EXPECT_EQ(jobs_job_by_name(w.t, "digits", &job), SH_ERR_NOT_FOUND);
    EXPECT_EQ(jobs_job_by_key(w.t, "once", &job), SH_ERR_NOT_FOUND);
    /* placed, failed, removed: a change each */
    EXPECT_EQ(w.rows.count, before + 3);
    EXPECT(jobs_digest(w.t) != digest);
    struct jobs_change changes[8];
    uint32_t count = 0;
    EXPECT_EQ(jobs_change_list(w.t, 0, changes, 8, &count), SH_OK);
    EXPECT_EQ(count, 3);
    EXPECT_EQ(changes[2].cause, WIRE_CAUSE_REMOVED);
    EXPECT_EQ(changes[2].job, unit.job);
    EXPECT_EQ(changes[2].job_state, JOBS_FAILED);
    world_free(&w);
}

TEST(a_name_leads_to_the_newest_job_that_is_left)
{
    start();
    struct wire_unit first = trained("digits", 0, 0x21);
    struct wire_unit second = trained("digits", 0, 0x31);
    struct jobs_job job;
    EXPECT_EQ(jobs_job_by_name(w.t, "digits", &job), SH_OK);
    EXPECT_EQ(job.id, second.job);
    EXPECT_EQ(world_remove_job(&w, second.job), SH_OK);
    EXPECT_EQ(jobs_job_by_name(w.t, "digits", &job), SH_OK);
    EXPECT_EQ(job.id, first.job);
    jobs_check(w.core, w.t);
    world_free(&w);
}

TEST(a_removed_key_may_be_used_for_another_job)
{
    start();
    struct jobs_submit *c = world_submit(&w, "digits");
    memcpy(c->key, "once", 5);
    EXPECT_EQ(world_apply(&w), SH_OK);
    uint64_t job = w.result.unit.job;
    EXPECT_EQ(world_stop(&w, job), SH_OK);
    EXPECT_EQ(world_remove_job(&w, job), SH_OK);
    c = world_submit(&w, "letters");
    memcpy(c->key, "once", 5);
    memset(c->spec_digest, 9, sizeof c->spec_digest);
    EXPECT_EQ(world_apply(&w), SH_OK);
    EXPECT(!w.result.duplicate);
    world_free(&w);
}

TEST(a_removed_version_is_not_given_again_and_the_newest_is_what_is_left)
{
    start();
    (void)trained("digits", 0, 0x21);
    (void)trained("digits", 0, 0x31);
    struct jobs_model model;
    EXPECT_EQ(world_remove_model(&w, "digits", 2), SH_OK);
    EXPECT_EQ(world_remove_model(&w, "digits", 2), SH_ERR_NOT_FOUND);
    EXPECT_EQ(w.result.code, JOBS_CODE_MODEL_UNKNOWN);
    EXPECT_EQ(jobs_model_get(w.t, "digits", 0, &model), SH_OK);
    EXPECT_EQ(model.version, 1);
    (void)trained("digits", 0, 0x41);
    EXPECT_EQ(jobs_model_get(w.t, "digits", 0, &model), SH_OK);
    EXPECT_EQ(model.version, 3);
    EXPECT_EQ(world_remove_model(&w, "digits", 0), SH_OK);
    EXPECT_EQ(jobs_model_get(w.t, "digits", 0, &model), SH_ERR_NOT_FOUND);
    EXPECT_EQ(world_remove_model(&w, "digits", 0), SH_ERR_NOT_FOUND);
    EXPECT_EQ(world_remove_model(&w, "digit", 0), SH_ERR_NOT_FOUND);
    jobs_check(w.core, w.t);
    world_free(&w);
}

TEST(a_model_that_an_unfinished_job_needs_is_not_removed)
{
    start();
    (void)trained("digits", 0, 0x21);
    (void)trained("digits", 0, 0x31);
    struct wire_unit user = run_job("scores", 0, 0x31);
    EXPECT_EQ(world_remove_model(&w, "digits", 2), SH_ERR_CONFLICT);
    EXPECT_EQ(w.result.code, JOBS_CODE_MODEL_IN_USE);
    EXPECT_EQ(world_remove_model(&w, "digits", 0), SH_ERR_CONFLICT);
    struct jobs_model model;
    EXPECT_EQ(jobs_model_get(w.t, "digits", 1, &model), SH_OK); /* none of them went */
    EXPECT_EQ(world_remove_model(&w, "digits", 1), SH_OK);
    complete(user, 0x41);
    EXPECT_EQ(world_remove_model(&w, "digits", 2), SH_OK);
    world_free(&w);
}

TEST(the_newest_completed_jobs_of_a_name_keep_what_they_left)
{
    start();
    struct wire_unit jobs[4];
    for (uint8_t i = 0; i < 4; i++) {
        jobs[i] = trained("digits", 2, (uint8_t)(0x10 * (i + 1)));
    }
    struct wire_unit other = trained("letters", 2, 0x60);
    struct named n = names();
    struct jobs_job job;
    struct jobs_model model;
    for (uint8_t i = 0; i < 4; i++) {
        EXPECT_EQ(jobs_job_get(w.t, jobs[i].job, &job), SH_OK);
        EXPECT_EQ(job.results_gone, i < 2);
        EXPECT_EQ(jobs_model_get(w.t, "digits", i + 1u, &model) == SH_OK, i >= 2);
        EXPECT_EQ(n.first[0x10 * (i + 1)], i >= 2);     /* the model's file */
        EXPECT_EQ(n.first[0x10 * (i + 1) + 3], i >= 2); /* the checkpoint */
    }
    EXPECT_EQ(jobs_job_get(w.t, other.job, &job), SH_OK);
    EXPECT(!job.results_gone);
    EXPECT(n.first[0x60]);
    world_free(&w);
}

TEST(jobs_that_failed_take_no_place_of_those_that_were_completed)
{
    start();
    struct wire_unit good = trained("digits", 1, 0x10);
    struct wire_unit bad = run_job("digits", 1, 0);
    EXPECT_EQ(world_fail(&w, bad, world_fence(&w, bad), true), SH_OK);
    struct jobs_job job;
    EXPECT_EQ(jobs_job_get(w.t, good.job, &job), SH_OK);
    EXPECT(!job.results_gone);
    struct wire_unit better = trained("digits", 1, 0x20);
    EXPECT_EQ(jobs_job_get(w.t, good.job, &job), SH_OK);
    EXPECT(job.results_gone);
    EXPECT_EQ(jobs_job_get(w.t, bad.job, &job), SH_OK);
    EXPECT(job.results_gone);
    EXPECT_EQ(jobs_job_get(w.t, better.job, &job), SH_OK);
    EXPECT(!job.results_gone);
    world_free(&w);
}

TEST(a_job_that_ends_after_newer_ones_may_lose_its_results_at_once)
{
    start();
    struct wire_unit slow = run_job("digits", 1, 0);
    (void)trained("digits", 1, 0x20);
    complete(slow, 0x30);
    struct jobs_job job;
    EXPECT_EQ(jobs_job_get(w.t, slow.job, &job), SH_OK);
    EXPECT(job.results_gone);
    EXPECT_EQ(job.state, JOBS_COMPLETED);
    EXPECT(!names().first[0x30]);
    world_free(&w);
}

TEST(a_data_set_that_a_job_made_is_named_as_long_as_it_is_listed)
{
    start();
    struct jobs_submit *c = world_submit(&w, "prepare");
    c->kind = WIRE_KIND_DATA_PREP;
    memcpy(c->dataset, "clean", sizeof "clean");
    EXPECT_EQ(world_apply(&w), SH_OK);
    struct wire_unit unit = {.job = w.result.unit.job};
    EXPECT_EQ(world_place(&w, unit, 1, 1), SH_OK);
    EXPECT_EQ(world_commit(&w, unit, world_fence(&w, unit), 0x50, false), SH_OK);
    EXPECT_EQ(world_remove_job(&w, unit.job), SH_OK);
    EXPECT(names().first[0x52]); /* of its outputs */
    EXPECT_EQ(world_dataset(&w, 1, "files", 0x60), SH_OK);
    EXPECT(!names().first[0x60]); /* lies where it was declared */
    EXPECT_EQ(world_dataset_remove(&w, 1, "clean"), SH_OK);
    EXPECT(!names().first[0x52]);
    world_free(&w);
}

TEST(what_unfinished_jobs_need_is_named_and_a_model_in_use_outlives_its_job)
{
    start();
    (void)trained("digits", 1, 0x10);
    struct wire_unit user = run_job("scores", 0, 0x10);
    (void)trained("digits", 1, 0x20);
    struct jobs_model model;
    EXPECT_EQ(jobs_model_get(w.t, "digits", 1, &model), SH_OK);
    EXPECT(names().first[0x10]);
    EXPECT(!names().first[0x13]); /* its checkpoint went */
    EXPECT_EQ(world_remove_job(&w, model.unit.job), SH_OK);
    jobs_check(w.core, w.t);
    EXPECT(names().first[0x10]);
    complete(user, 0x40);
    EXPECT_EQ(world_remove_job(&w, user.job), SH_OK);
    EXPECT_EQ(world_remove_model(&w, "digits", 1), SH_OK);
    EXPECT(!names().first[0x10]);
    EXPECT(names().first[0x40]); /* scores:1 is a model of its own */
    world_free(&w);
}

TEST(a_data_set_that_a_job_made_is_named_when_the_job_is_gone)
{
    start();
    struct jobs_submit *c = world_submit(&w, "prepare");
    c->kind = WIRE_KIND_DATA_PREP;
    memcpy(c->dataset, "birds", 6);
    EXPECT_EQ(world_apply(&w), SH_OK);
    struct wire_unit unit = {.job = w.result.unit.job};
    EXPECT_EQ(world_place(&w, unit, 1, 1), SH_OK);
    complete(unit, 0x50); /* its outputs are 0x52 */
    EXPECT_EQ(world_remove_job(&w, unit.job), SH_OK);
    struct jobs_dataset set;
    EXPECT_EQ(jobs_dataset_get(w.t, "birds", &set), SH_OK);
    EXPECT(names().first[set.digest[0]]);
    jobs_check(w.core, w.t);
    world_free(&w);
}

TEST(a_setting_of_the_cluster_counts_for_jobs_whose_files_do_not_say)
{
    start();
    struct wire_unit first = trained("digits", 0, 0x10);
    (void)trained("digits", 0, 0x20);
    EXPECT_EQ(world_set(&w, "keep-results", false, 1), SH_OK);
    struct jobs_job job;
    EXPECT_EQ(jobs_job_get(w.t, first.job, &job), SH_OK);
    EXPECT(!job.results_gone);
    (void)trained("digits", 2, 0x30); /* its own file says more */
    EXPECT_EQ(jobs_job_get(w.t, first.job, &job), SH_OK);
    EXPECT(job.results_gone);
    EXPECT(names().first[0x20]);
    (void)trained("digits", 0, 0x40);
    EXPECT(!names().first[0x20]);
    EXPECT(!names().first[0x30]);
    EXPECT(names().first[0x40]);
    world_free(&w);
}
