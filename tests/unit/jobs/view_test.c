/* SPDX-License-Identifier: Apache-2.0 */
#include "tst.h"
#include "jobs/row.h"
#include "expect.h"

#include <stdio.h>
#include <stdlib.h>

static struct world w;

/* A train job on nodes 1 .. members, running. */
static struct wire_unit running(unsigned members)
{
    EXPECT_DONE(world_train(&w, "digits"));
    struct wire_unit unit = {.job = w.result.unit.job, .unit = 0};
    EXPECT_DONE(world_place(&w, unit, 1, members));
    return unit;
}

TEST(nodes_are_listed_by_id_in_pages)
{
    world_cluster(&w, 5);
    struct jobs_node nodes[3];
    uint32_t count = 0;
    EXPECT_EQ(jobs_node_list(w.t, NULL, nodes, 3, &count), SH_OK);
    EXPECT_EQ(count, 3);
    EXPECT_STR(nodes[2].name, "n3");
    uint8_t after[SH_NODE_ID_BYTES];
    memcpy(after, nodes[2].id, sizeof after);
    EXPECT_EQ(jobs_node_list(w.t, after, nodes, 3, &count), SH_OK);
    EXPECT_EQ(count, 2);
    EXPECT_STR(nodes[1].name, "n5");
    world_free(&w);
}

TEST(checkpoints_advance_and_the_newest_are_kept)
{
    world_cluster(&w, 2);
    struct wire_unit unit = running(2);
    struct wire_fence fence = world_fence(&w, unit);
    for (uint64_t step = 10; step <= 50; step += 10) {
        EXPECT_DONE(world_checkpoint(&w, unit, fence, step, (uint8_t)step));
    }
    EXPECT_DONE(world_checkpoint(&w, unit, fence, 50, 50));
    EXPECT(w.result.duplicate);
    EXPECT_CODE(world_checkpoint(&w, unit, fence, 50, 51), JOBS_CODE_STEP_OLD);
    EXPECT_CODE(world_checkpoint(&w, unit, fence, 40, 40), JOBS_CODE_STEP_OLD);
    struct jobs_checkpoint rows[8];
    uint32_t count = 0;
    EXPECT_EQ(jobs_checkpoint_list(w.t, unit, rows, 8, &count), SH_OK);
    EXPECT_EQ(count, 3);
    EXPECT_EQ(rows[0].step, 50);
    EXPECT_EQ(rows[0].manifest[0], 50);
    EXPECT_EQ(rows[2].step, 30);
    world_free(&w);
}

TEST(one_name_is_one_data_set_wherever_it_lies)
{
    world_cluster(&w, 3);
    EXPECT_DONE(world_dataset(&w, 1, "birds", 1));
    EXPECT(w.result.datasets_changed);
    EXPECT_DONE(world_dataset(&w, 2, "birds", 1));
    EXPECT_DONE(world_dataset(&w, 2, "birds", 1));
    EXPECT(w.result.duplicate);
    memcpy(w.cmd.u.dataset_add.path, "/moved", 7);
    EXPECT_DONE(world_apply(&w));
    EXPECT(!w.result.duplicate);
    EXPECT_CODE(world_dataset(&w, 3, "birds", 2), JOBS_CODE_DATASET_DIFFERS);
    EXPECT_EQ(w.result.err, SH_ERR_EXISTS);
    EXPECT_CODE(world_dataset(&w, 9, "birds", 1), JOBS_CODE_NODE_UNKNOWN);
    struct jobs_dataset set;
    EXPECT_EQ(jobs_dataset_get(w.t, "birds", &set), SH_OK);
    EXPECT_EQ(set.holders, 2);
    struct jobs_dataset_holder holders[4];
    uint32_t count = 0;
    EXPECT_EQ(jobs_dataset_holder_list(w.t, "birds", NULL, holders, 4, &count), SH_OK);
    EXPECT_EQ(count, 2);
    EXPECT_STR(holders[0].path, "/data/set");
    EXPECT_STR(holders[1].path, "/moved");
    uint8_t id[SH_NODE_ID_BYTES];
    world_node(id, 3);
    EXPECT_EQ(jobs_dataset_holder_get(w.t, "birds", id, &holders[0]), SH_ERR_NOT_FOUND);
    world_free(&w);
}

TEST(a_data_set_that_no_agent_holds_frees_its_name)
{
    world_cluster(&w, 2);
    EXPECT_DONE(world_dataset(&w, 1, "birds", 1));
    EXPECT_DONE(world_dataset(&w, 2, "birds", 1));
    EXPECT_DONE(world_dataset_remove(&w, 1, "birds"));
    EXPECT(w.result.datasets_changed);
    EXPECT_CODE(world_dataset_remove(&w, 1, "birds"), JOBS_CODE_DATASET_UNKNOWN);
    EXPECT(!w.result.datasets_changed);
    EXPECT_DONE(world_dataset_remove(&w, 2, "birds"));
    EXPECT(w.result.datasets_changed);
    EXPECT_CODE(world_dataset_remove(&w, 2, "birds"), JOBS_CODE_DATASET_UNKNOWN);
    EXPECT_DONE(world_dataset(&w, 2, "birds", 2));
    struct jobs_dataset sets[2];
    uint32_t count = 0;
    EXPECT_EQ(jobs_dataset_list(w.t, "", sets, 2, &count), SH_OK);
    EXPECT_EQ(count, 1);
    world_free(&w);
}

TEST(data_sets_are_bounded)
{
    world_cluster(&w, 1);
    for (unsigned i = 0; i <= JOBS_DATASETS_MAX; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "set%u", i);
        enum sh_err err = world_dataset(&w, 1, name, 1);
        EXPECT_EQ(err, i < JOBS_DATASETS_MAX ? SH_OK : SH_ERR_FULL);
    }
    EXPECT_EQ(w.result.code, JOBS_CODE_DATASETS_FULL);
    jobs_check(w.core, w.t);
    world_free(&w);
}

TEST(jobs_are_listed_newest_first_by_state_in_pages)
{
    world_cluster(&w, 1);
    for (unsigned i = 0; i < 5; i++) {
        EXPECT_DONE(world_noop(&w, "work", 1));
    }
    EXPECT_DONE(world_stop(&w, 3));
    struct jobs_job jobs[3];
    uint64_t before = 0;
    uint32_t count = 0;
    EXPECT_EQ(jobs_job_list(w.t, &before, 0, jobs, 3, &count), SH_OK);
    EXPECT_EQ(count, 3);
    EXPECT_EQ(jobs[0].id, 6);
    EXPECT_EQ(before, 4);
    EXPECT_EQ(jobs_job_list(w.t, &before, 0, jobs, 3, &count), SH_OK);
    EXPECT_EQ(count, 2);
    EXPECT_EQ(jobs[1].id, 2);
    EXPECT_EQ(before, 0);
    EXPECT_EQ(jobs_job_list(w.t, &before, SH_FSM_BIT(JOBS_STOPPED), jobs, 3, &count), SH_OK);
    EXPECT_EQ(count, 1);
    EXPECT_EQ(jobs[0].id, 3);
    world_free(&w);
}

TEST(every_filter_of_states_lists_the_jobs_of_those_states_and_no_others)
{
    world_cluster(&w, 2);
    for (unsigned i = 0; i < 12; i++) {
        EXPECT_DONE(world_noop(&w, "work", 1));
        struct wire_unit unit = {.job = w.result.unit.job};
        if (i % 4 != 0) {
            EXPECT_DONE(world_place(&w, unit, 1, 1));
        }
        if (i % 4 == 2) {
            EXPECT_DONE(world_commit(&w, unit, world_fence(&w, unit), 1, false));
        } else if (i % 4 == 3) {
            EXPECT_DONE(world_fail(&w, unit, world_fence(&w, unit), true));
        } else if (i % 8 >= 4) {
            EXPECT_DONE(world_stop(&w, unit.job)); /* waiting: stopped; running: stopping */
        }
    }
    for (uint32_t states = 0; states < SH_FSM_BIT(JOBS_STATE_COUNT); states++) {
        struct jobs_job all[16];
        struct jobs_job some[16];
        uint64_t before = 0;
        uint32_t count = 0;
        uint32_t got = 0;
        EXPECT_EQ(jobs_job_list(w.t, &before, 0, all, 16, &count), SH_OK);
        EXPECT_EQ(count, 12);
        EXPECT_EQ(before, 0);
        EXPECT_EQ(jobs_job_list(w.t, &before, states, some, 16, &got), SH_OK);
        uint32_t next = 0;
        for (uint32_t i = 0; i < count; i++) {
            if (states == 0 || (states & SH_FSM_BIT(all[i].state)) != 0) {
                EXPECT(next < got);
                EXPECT_EQ(some[next].id, all[i].id);
                next++;
            }
        }
        EXPECT_EQ(next, got);
    }
    world_free(&w);
}

TEST(a_name_leads_to_the_newest_job_of_that_name)
{
    struct jobs_job job;
    world_cluster(&w, 1);
    EXPECT_DONE(world_noop(&w, "work", 1));
    EXPECT_DONE(world_noop(&w, "work", 1));
    uint64_t newest = w.result.unit.job;
    EXPECT_DONE(world_noop(&w, "worker", 1));
    EXPECT_EQ(jobs_job_by_name(w.t, "work", &job), SH_OK);
    EXPECT_EQ(job.id, newest);
    EXPECT_EQ(jobs_job_by_name(w.t, "wor", &job), SH_ERR_NOT_FOUND);
    EXPECT_EQ(jobs_job_by_name(w.t, "no name", &job), SH_ERR_NOT_FOUND);
    world_free(&w);
}

TEST(waiting_units_and_gangs_are_walked_without_units_that_ended)
{
    world_cluster(&w, 2);
    EXPECT_DONE(world_noop(&w, "a", 2));
    struct wire_unit first = {.job = w.result.unit.job, .unit = 0};
    EXPECT_DONE(world_noop(&w, "b", 2));
    uint64_t second = w.result.unit.job;
    EXPECT_DONE(world_place(&w, first, 1, 1));
    EXPECT_DONE(world_commit(&w, first, world_fence(&w, first), 0, false));
    struct jobs_unit units[2];
    uint32_t count = 0;
    EXPECT_EQ(jobs_waiting_list(w.t, (struct wire_unit){0}, units, 2, &count), SH_OK);
    EXPECT_EQ(count, 2);
    EXPECT_EQ(units[0].id.job, first.job);
    EXPECT_EQ(units[0].id.unit, 1);
    EXPECT_EQ(units[1].id.job, second);
    EXPECT_EQ(jobs_waiting_list(w.t, units[1].id, units, 2, &count), SH_OK);
    EXPECT_EQ(count, 1);
    EXPECT_EQ(units[0].id.unit, 1);
    EXPECT_EQ(jobs_gang_list(w.t, (struct wire_unit){0}, units, 2, &count), SH_OK);
    EXPECT_EQ(count, 0);
    EXPECT_DONE(world_place(&w, units[0].id, 1, 1));
    EXPECT_EQ(jobs_gang_list(w.t, (struct wire_unit){0}, units, 2, &count), SH_OK);
    EXPECT_EQ(count, 1);
    EXPECT_EQ(units[0].id.job, second);
    EXPECT_EQ(jobs_gang_list(w.t, units[0].id, units, 2, &count), SH_OK);
    EXPECT_EQ(count, 0);
    EXPECT_EQ(jobs_unit_list(w.t, first.job, 0, units, 2, &count), SH_OK);
    EXPECT_EQ(count, 2);
    EXPECT_EQ(units[0].state, JOBS_COMPLETED);
    world_free(&w);
}

TEST(the_first_job_with_an_open_unit_moves_up_as_jobs_end)
{
    world_cluster(&w, 2);
    struct jobs_open_mark mark = {0};
    struct jobs_open_mark kept;
    EXPECT_EQ(jobs_open_from(w.t, &mark), 0);
    EXPECT_DONE(world_noop(&w, "a", 1));
    struct wire_unit first = {.job = w.result.unit.job, .unit = 0};
    EXPECT_DONE(world_noop(&w, "b", 1));
    struct wire_unit second = {.job = w.result.unit.job, .unit = 0};
    EXPECT_DONE(world_place(&w, first, 1, 1));
    EXPECT_EQ(jobs_open_from(w.t, &mark), first.job);
    EXPECT_DONE(world_place(&w, second, 1, 1));
    EXPECT_DONE(world_commit(&w, first, world_fence(&w, first), 0, false));
    EXPECT_EQ(jobs_open_from(w.t, &mark), second.job);
    EXPECT_DONE(world_commit(&w, second, world_fence(&w, second), 0, false));
    EXPECT_EQ(jobs_open_from(w.t, &mark), second.job);
    kept = mark;
    EXPECT_DONE(world_resize(&w, first.job, 2)); /* an earlier one opens again */
    EXPECT_EQ(jobs_open_from(w.t, &kept), first.job);
    first.unit = 1;
    EXPECT_DONE(world_place(&w, first, 1, 1));
    EXPECT_DONE(world_commit(&w, first, world_fence(&w, first), 0, false));
    EXPECT_DONE(world_noop(&w, "c", 1));
    EXPECT_EQ(jobs_open_from(w.t, &kept), w.result.unit.job);
    world_free(&w);
}

TEST(the_history_tells_each_step_and_is_bounded)
{
    world_cluster(&w, 2);
    struct wire_unit unit = running(2);
    for (unsigned i = 0; i < JOBS_HISTORY_MAX; i++) {
        w.now_us++;
        EXPECT_DONE(world_place(&w, unit, 1, 1 + i % 2));
    }
    struct jobs_event events[JOBS_HISTORY_MAX + 1];
    uint32_t count = 0;
    EXPECT_EQ(jobs_history_list(w.t, unit.job, 0, events, JOBS_HISTORY_MAX + 1, &count), SH_OK);
    EXPECT_EQ(count, JOBS_HISTORY_MAX);
    EXPECT_EQ(events[0].seq, 2);
    EXPECT_EQ(events[count - 1].seq, JOBS_HISTORY_MAX + 1);
    EXPECT_EQ(events[count - 1].stamp_us, w.now_us);
    EXPECT_EQ(events[count - 1].node_count, 2);
    EXPECT_EQ(events[count - 1].cause, WIRE_CAUSE_PLACED);
    EXPECT_EQ(jobs_history_list(w.t, unit.job, 60, events, 2, &count), SH_OK);
    EXPECT_EQ(count, 2);
    EXPECT_EQ(events[0].seq, 60);
    world_free(&w);
}

TEST(an_unknown_kind_or_mode_halts_too)
{
    world_cluster(&w, 1);
    uint8_t bytes[512];
    struct jobs_submit *c = world_submit(&w, "a");
    struct sh_writer writer = sh_writer_over(bytes, sizeof bytes);
    EXPECT_EQ(jobs_cmd_encode(&w.cmd, &writer), SH_OK);
    EXPECT_EQ(bytes[27], WIRE_KIND_TRAIN);
    bytes[27] = 99;
    world_bytes(&w, bytes, writer.used);
    EXPECT(w.result.halt);
    c->kind = (enum wire_kind)99;
    EXPECT_EQ(jobs_cmd_encode(&w.cmd, &writer), SH_ERR_INVALID);
    world_free(&w);
}

TEST(a_command_is_stamped_in_place)
{
    world_init(&w);
    w.now_us = 1;
    uint8_t bytes[64];
    w.cmd = (struct jobs_cmd){.type = JOBS_STOP, .stamp_us = 5, .u.stop.job = 9};
    struct sh_writer writer = sh_writer_over(bytes, sizeof bytes);
    EXPECT_EQ(jobs_cmd_encode(&w.cmd, &writer), SH_OK);
    EXPECT(jobs_cmd_stamp(bytes, writer.used, 77));
    EXPECT_EQ(jobs_cmd_decode(bytes, writer.used, &w.cmd), SH_OK);
    EXPECT_EQ(w.cmd.stamp_us, 77);
    EXPECT_EQ(w.cmd.u.stop.job, 9);
    EXPECT(!jobs_cmd_stamp(bytes, 9, 77));
    world_free(&w);
}

TEST(a_command_without_room_says_limit)
{
    world_init(&w);
    uint8_t bytes[8];
    w.cmd = (struct jobs_cmd){.type = JOBS_STOP, .u.stop.job = 9};
    struct sh_writer writer = sh_writer_over(bytes, sizeof bytes);
    EXPECT_EQ(jobs_cmd_encode(&w.cmd, &writer), SH_ERR_LIMIT);
    world_free(&w);
}

TEST(the_largest_submit_fits_a_command)
{
    world_cluster(&w, 1);
    struct jobs_submit *c = world_submit(&w, "a");
    uint8_t *spec = calloc(1, SH_SPEC_BYTES_MAX);
    c->spec = (struct sh_span){.at = spec, .size = SH_SPEC_BYTES_MAX};
    c->blob_count = JOBS_BLOBS_MAX;
    memset(c->key, 'k', JOBS_KEY_MAX);
    memset(c->name, 'n', SH_NAME_MAX);
    memset(c->owner, 'o', SH_NAME_MAX);
    memset(c->need.dataset, 'd', SH_NAME_MAX);
    EXPECT_DONE(world_apply(&w));
    free(spec);
    world_free(&w);
}

TEST(every_code_and_state_has_a_name_and_a_sentence)
{
    for (uint32_t i = 0; i < JOBS_CODE_COUNT; i++) {
        EXPECT(strlen(jobs_code_name(i)) > 0 && strlen(jobs_code_text(i)) > 0);
    }
    EXPECT_STR(jobs_code_name(JOBS_CODE_COUNT), "UNKNOWN");
    EXPECT_STR(jobs_code_text(JOBS_CODE_COUNT), "?");
    EXPECT_STR(jobs_code_text(999), "?");
    EXPECT_STR(jobs_state_name(JOBS_STATE_COUNT), "?");
    EXPECT_STR(jobs_state_name(JOBS_STOPPING), "stopping");
    EXPECT_STR(jobs_state_name(99), "?");
}

/* Walks a list in pages of one and compares with the whole. */
#define EXPECT_PAGED_SAME(type, most, whole, page, step, same)                                     \
    do {                                                                                           \
        struct type all[most];                                                                     \
        struct type one;                                                                           \
        uint32_t count = 0;                                                                        \
        uint32_t n = 0;                                                                            \
        EXPECT_EQ(whole, SH_OK);                                                                   \
        uint32_t total = count;                                                                    \
        EXPECT(total >= 2 && total < (most));                                                      \
        for (uint32_t i = 0; i < total; i++) {                                                     \
            EXPECT_EQ(page, SH_OK);                                                                \
            EXPECT_EQ(n, 1);                                                                       \
            EXPECT(same);                                                                          \
            step;                                                                                  \
        }                                                                                          \
        EXPECT_EQ(page, SH_OK);                                                                    \
        EXPECT_EQ(n, 0);                                                                           \
    } while (0)

#define EXPECT_PAGED(type, most, whole, page, step)                                                \
    EXPECT_PAGED_SAME(type, most, whole, page, step, memcmp(&one, &all[i], sizeof one) == 0)

/* Units have bytes that mean nothing between their fields. */
static bool same_unit(const struct jobs_unit *a, const struct jobs_unit *b)
{
    static uint8_t one[JOBS_ROW_BYTES_MAX];
    static uint8_t other[JOBS_ROW_BYTES_MAX];
    struct sh_span x = jobs_row_put_unit(one, a);
    struct sh_span y = jobs_row_put_unit(other, b);
    return x.size == y.size && memcmp(x.at, y.at, x.size) == 0;
}

TEST(every_list_in_pages_of_one_is_the_whole_list)
{
    world_cluster(&w, 3);
    for (unsigned i = 0; i < 2; i++) {
        EXPECT_DONE(world_dataset(&w, 1, i == 0 ? "bird" : "birds", 1));
        EXPECT_DONE(world_dataset(&w, 2, i == 0 ? "bird" : "birds", 1));
        EXPECT_DONE(world_dataset(&w, 3, i == 0 ? "bird" : "birds", 1));
    }
    for (unsigned i = 0; i < 4; i++) {
        EXPECT_DONE(world_train(&w, i < 2 ? "net" : "nets"));
        struct wire_unit unit = w.result.unit;
        EXPECT_DONE(world_place(&w, unit, 1, 2));
        EXPECT_DONE(world_commit(&w, unit, world_fence(&w, unit), 1, false));
    }
    EXPECT_DONE(world_noop(&w, "work", 3));
    uint64_t job = w.result.unit.job;
    const uint8_t *after = NULL;
    uint8_t id[SH_NODE_ID_BYTES];
    EXPECT_PAGED(jobs_node, 4, jobs_node_list(w.t, NULL, all, 4, &count),
                 jobs_node_list(w.t, after, &one, 1, &n), memcpy(id, one.id, sizeof id);
                 after = id);
    after = NULL;
    EXPECT_PAGED(
        jobs_dataset_holder, 4, jobs_dataset_holder_list(w.t, "bird", NULL, all, 4, &count),
        jobs_dataset_holder_list(w.t, "bird", after, &one, 1, &n), memcpy(id, one.node, sizeof id);
        after = id);
    char name[SH_NAME_MAX + 1] = "";
    EXPECT_PAGED(jobs_dataset, 3, jobs_dataset_list(w.t, "", all, 3, &count),
                 jobs_dataset_list(w.t, name, &one, 1, &n), memcpy(name, one.name, sizeof name));
    uint32_t version = 0;
    memset(name, 0, sizeof name);
    EXPECT_PAGED(jobs_model, 5, jobs_model_list(w.t, "", 0, all, 5, &count),
                 jobs_model_list(w.t, name, version, &one, 1, &n),
                 memcpy(name, one.name, sizeof name);
                 version = one.version);
    uint32_t from = 0;
    EXPECT_PAGED_SAME(jobs_unit, 4, jobs_unit_list(w.t, job, 0, all, 4, &count),
                      jobs_unit_list(w.t, job, from, &one, 1, &n), from++,
                      same_unit(&one, &all[i]));
    struct wire_unit last = {0};
    EXPECT_PAGED_SAME(jobs_unit, 4, jobs_waiting_list(w.t, last, all, 4, &count),
                      jobs_waiting_list(w.t, last, &one, 1, &n), last = one.id,
                      same_unit(&one, &all[i]));
    uint64_t before = 0;
    struct jobs_job all[6];
    struct jobs_job one;
    uint32_t count = 0;
    uint32_t n = 0;
    EXPECT_EQ(jobs_job_list(w.t, &before, 0, all, 6, &count), SH_OK);
    EXPECT_EQ(count, 5);
    EXPECT_EQ(before, 0);
    for (uint32_t i = 0; i < count; i++) {
        EXPECT_EQ(jobs_job_list(w.t, &before, 0, &one, 1, &n), SH_OK);
        EXPECT_EQ(one.id, all[i].id);
        EXPECT_EQ(before, one.id);
    }
    EXPECT_EQ(jobs_job_list(w.t, &before, 0, &one, 1, &n), SH_OK);
    EXPECT(n == 0 && before == 0);
    world_free(&w);
}

TEST(models_are_found_by_version_or_as_the_newest)
{
    world_cluster(&w, 2);
    for (unsigned i = 1; i <= 2; i++) {
        EXPECT_DONE(world_train(&w, "net"));
        struct wire_unit unit = w.result.unit;
        EXPECT_DONE(world_place(&w, unit, 1, 2));
        EXPECT_DONE(world_commit(&w, unit, world_fence(&w, unit), (uint8_t)i, false));
        EXPECT_EQ(w.result.model_version, i);
    }
    struct jobs_model model;
    EXPECT_EQ(jobs_model_get(w.t, "net", 0, &model), SH_OK);
    EXPECT_EQ(model.version, 2);
    EXPECT_EQ(model.outcome.file[0], 2);
    EXPECT_EQ(jobs_model_get(w.t, "net", 1, &model), SH_OK);
    EXPECT_EQ(model.outcome.file[0], 1);
    EXPECT_EQ(model.holder_count, 2);
    EXPECT_EQ(jobs_model_get(w.t, "net", 3, &model), SH_ERR_NOT_FOUND);
    EXPECT_EQ(jobs_model_get(w.t, "ne", 0, &model), SH_ERR_NOT_FOUND);
    EXPECT_EQ(jobs_model_get(w.t, "", 0, &model), SH_ERR_NOT_FOUND);
    world_free(&w);
}

TEST(only_a_gang_in_force_is_a_placement)
{
    world_cluster(&w, 2);
    EXPECT_DONE(world_train(&w, "net"));
    struct wire_unit unit = w.result.unit;
    struct wire_placement placement;
    EXPECT_EQ(jobs_placement_get(w.t, unit, &placement), SH_ERR_NOT_FOUND);
    EXPECT_DONE(world_place(&w, unit, 1, 2));
    EXPECT_EQ(jobs_placement_get(w.t, unit, &placement), SH_OK);
    EXPECT(placement.member_count == 2 && placement.fence.index == w.index);
    EXPECT_DONE(world_stop(&w, unit.job));
    EXPECT_EQ(jobs_placement_get(w.t, unit, &placement), SH_OK); /* it winds up */
    EXPECT_DONE(world_commit(&w, unit, world_fence(&w, unit), 1, true));
    EXPECT_EQ(jobs_placement_get(w.t, unit, &placement), SH_ERR_NOT_FOUND);
    unit.unit = 1;
    EXPECT_EQ(jobs_placement_get(w.t, unit, &placement), SH_ERR_NOT_FOUND);
    world_free(&w);
}

TEST(a_job_is_found_among_more_jobs_of_other_states_than_one_page_looks_at)
{
    world_cluster(&w, 1);
    (void)world_noop(&w, "done", 1);
    struct wire_unit unit = w.result.unit;
    EXPECT_DONE(world_place(&w, unit, 1, 1));
    EXPECT_DONE(world_commit(&w, unit, world_fence(&w, unit), 0, false));
    for (uint32_t i = 0; i <= JOBS_SCAN_MAX; i++) {
        EXPECT_EQ(world_noop(&w, "stopped", 1), SH_OK);
        EXPECT_EQ(world_stop(&w, w.result.unit.job), SH_OK);
    }
    struct jobs_job job;
    uint64_t before = 0;
    uint32_t count = 0;
    uint32_t states = SH_FSM_BIT(JOBS_COMPLETED);
    EXPECT_EQ(jobs_job_list(w.t, &before, states, &job, 1, &count), SH_OK);
    EXPECT_EQ(count, 1);
    EXPECT_EQ(job.id, unit.job);
    states = SH_FSM_BIT(JOBS_WAITING) | SH_FSM_BIT(JOBS_RUNNING);
    before = 0;
    EXPECT_EQ(jobs_job_list(w.t, &before, states, &job, 1, &count), SH_OK);
    EXPECT(count == 0 && before == 0); /* there are none, and that is known at once */
    world_free(&w);
}

TEST(damaged_counts_are_told_and_count_as_nothing)
{
    world_cluster(&w, 1);
    EXPECT(jobs_digest(w.t) != 0 && jobs_applied(w.t) == 1);
    struct jobs_counts counts;
    w.t->put(w.t->ctx, (struct sh_span){(const uint8_t *)"M", 1},
             (struct sh_span){(const uint8_t *)"?", 1});
    EXPECT_EQ(jobs_counts_get(w.t, &counts), SH_ERR_CORRUPT);
    EXPECT_EQ(jobs_digest(w.t), 0);
    EXPECT_EQ(jobs_applied(w.t), 0);
    struct jobs_change change;
    uint32_t count = 7;
    EXPECT_EQ(jobs_change_list(w.t, 0, &change, 1, &count), SH_ERR_CORRUPT);
    EXPECT_EQ(count, 0);
    world_free(&w);
}

TEST(an_empty_table_has_nothing_and_says_so)
{
    world_init(&w);
    struct jobs_counts counts;
    EXPECT_EQ(jobs_counts_get(w.t, &counts), SH_OK);
    EXPECT(counts.applied == 0 && counts.digest == 0 && counts.jobs == 0);
    EXPECT(jobs_digest(w.t) == 0 && jobs_applied(w.t) == 0);
    struct jobs_job job;
    EXPECT_EQ(jobs_job_by_key(w.t, "key", &job), SH_ERR_NOT_FOUND);
    char longer[JOBS_KEY_MAX + 2];
    memset(longer, 'k', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    EXPECT_EQ(jobs_job_by_key(w.t, longer, &job), SH_ERR_NOT_FOUND);
    struct sh_span spec;
    EXPECT_EQ(jobs_spec_get(w.t, 1, &spec), SH_ERR_NOT_FOUND);
    struct jobs_session session;
    EXPECT_EQ(jobs_session_get(w.t, 1, &session), SH_ERR_NOT_FOUND);
    world_free(&w);
}

TEST(states_move_as_they_are_drawn_and_no_end_is_left)
{
    /* From each state, in the order of their numbers, to those that are marked. */
    static const char *const units[] = {".x...x", "xxxxx.", "...xxx", "......", "......", "......"};
    static const char *const jobs[] = {".x.xxx.x", "x.xxx.xx", "...xxx..", "x.......",
                                       "........", "........", ".xxxx..x", "x..xxx.."};
    for (uint32_t from = 0; from < JOBS_UNIT_STATE_COUNT; from++) {
        for (uint32_t to = 0; to < JOBS_UNIT_STATE_COUNT; to++) {
            EXPECT_EQ(sh_fsm_allows(&jobs_unit_fsm, from, to), units[from][to] == 'x');
        }
        EXPECT_STR(sh_fsm_name(&jobs_unit_fsm, from), jobs_state_name(from));
    }
    for (uint32_t from = 0; from < JOBS_STATE_COUNT; from++) {
        for (uint32_t to = 0; to < JOBS_STATE_COUNT; to++) {
            EXPECT_EQ(sh_fsm_allows(&jobs_job_fsm, from, to), jobs[from][to] == 'x');
        }
        EXPECT_EQ(jobs_state_final((enum jobs_state)from),
                  from >= JOBS_COMPLETED && from <= JOBS_STOPPED);
        EXPECT_STR(sh_fsm_name(&jobs_job_fsm, from), jobs_state_name(from));
    }
}
