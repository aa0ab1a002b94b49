/* SPDX-License-Identifier: Apache-2.0
 *
 * Data sets of which each agent holds a part of its own, and the jobs that train on them. */
#include "tst.h"
#include "world.h"

#include <stdio.h>
#include <string.h>

static struct world w;

static enum jobs_code declare_local(unsigned node, const char *name, uint8_t digest)
{
    struct jobs_dataset_add *c = &w.cmd.u.dataset_add;
    w.cmd.type = JOBS_DATASET_ADD;
    memset(c, 0, sizeof *c);
    (void)snprintf(c->name, sizeof c->name, "%s", name);
    (void)snprintf(c->path, sizeof c->path, "/data/%u", node);
    (void)snprintf(c->summary, sizeof c->summary, "{\"files\":%u}", node);
    memset(c->digest, digest, sizeof c->digest);
    world_node(c->node, node);
    c->local = true;
    (void)world_apply(&w);
    jobs_check(w.core, w.t);
    return w.result.code;
}

TEST(each_agent_has_its_own_part_of_a_local_set)
{
    struct jobs_dataset set;
    struct jobs_dataset_holder holders[4];
    uint32_t count = 0;
    static const uint8_t none[SH_DIGEST_BYTES];
    world_cluster(&w, 3);
    EXPECT_EQ(declare_local(1, "words", 1), JOBS_CODE_NONE);
    EXPECT_EQ(declare_local(2, "words", 2), JOBS_CODE_NONE);
    EXPECT(!w.result.duplicate);
    EXPECT_EQ(declare_local(2, "words", 2), JOBS_CODE_NONE);
    EXPECT(w.result.duplicate);
    EXPECT_EQ(jobs_dataset_get(w.t, "words", &set), SH_OK);
    EXPECT(set.local);
    EXPECT_EQ(set.holders, 2);
    EXPECT_MEM(set.digest, none, sizeof none); /* there is none of the whole */
    EXPECT_EQ(jobs_dataset_holder_list(w.t, "words", NULL, holders, 4, &count), SH_OK);
    EXPECT_EQ(count, 2);
    EXPECT_EQ(holders[0].digest[0], 1);
    EXPECT_EQ(holders[1].digest[0], 2);
    EXPECT_STR(holders[1].path, "/data/2");
    EXPECT_STR(holders[1].summary, "{\"files\":2}");
    /* What an agent holds may change. */
    EXPECT_EQ(declare_local(2, "words", 9), JOBS_CODE_NONE);
    EXPECT(!w.result.duplicate);
    EXPECT_EQ(jobs_dataset_holder_list(w.t, "words", NULL, holders, 4, &count), SH_OK);
    EXPECT_EQ(holders[1].digest[0], 9);
    world_free(&w);
}

TEST(a_name_is_local_or_not_for_as_long_as_somebody_holds_it)
{
    world_cluster(&w, 2);
    EXPECT_EQ(declare_local(1, "words", 1), JOBS_CODE_NONE);
    EXPECT_EQ(world_dataset(&w, 2, "words", 1), SH_ERR_EXISTS);
    EXPECT_EQ(w.result.code, JOBS_CODE_DATASET_DIFFERS);
    EXPECT_EQ(world_dataset(&w, 2, "birds", 1), SH_OK);
    EXPECT_EQ(declare_local(1, "birds", 1), JOBS_CODE_DATASET_DIFFERS);
    EXPECT_EQ(world_dataset_remove(&w, 1, "words"), SH_OK);
    EXPECT_EQ(world_dataset(&w, 2, "words", 1), SH_OK);
    world_free(&w);
}

TEST(a_federated_job_trains_on_a_data_set_and_says_so_in_its_row)
{
    struct jobs_job job;
    uint8_t bytes[1024];
    struct sh_writer room = sh_writer_over(bytes, sizeof bytes);
    world_cluster(&w, 1);
    struct jobs_submit *c = world_submit(&w, "words");
    c->federated = true;
    EXPECT_EQ(jobs_cmd_encode(&w.cmd, &room), SH_ERR_INVALID); /* on which? */
    memcpy(c->need.dataset, "words", 6);
    c->kind = WIRE_KIND_RL;
    EXPECT_EQ(jobs_cmd_encode(&w.cmd, &room), SH_ERR_INVALID);
    c->kind = WIRE_KIND_TRAIN;
    EXPECT_EQ(world_apply(&w), SH_OK);
    EXPECT_EQ(jobs_job_get(w.t, w.result.unit.job, &job), SH_OK);
    EXPECT(job.federated);
    EXPECT_STR(job.need.dataset, "words");
    EXPECT_EQ(world_train(&w, "others"), SH_OK);
    EXPECT_EQ(jobs_job_get(w.t, w.result.unit.job, &job), SH_OK);
    EXPECT(!job.federated);
    jobs_check(w.core, w.t);
    world_free(&w);
}
