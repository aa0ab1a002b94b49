/* SPDX-License-Identifier: Apache-2.0 */
#include "world.h"
#include "tst.h"

#include <stdio.h>
#include <stdlib.h>

void world_init(struct world *w)
{
    *w = (struct world){.term = 1, .now_us = 1000000};
    rows_init(&w->rows);
    w->t = &w->rows.table;
    size_t size = (jobs_bytes() + 63) / 64 * 64;
    w->memory = aligned_alloc(64, size);
    EXPECT(w->memory != NULL);
    struct sh_arena arena;
    sh_arena_init(&arena, w->memory, size);
    w->core = jobs_init(&arena);
}

void world_free(struct world *w)
{
    rows_free(&w->rows);
    free(w->memory);
}

void world_bytes(struct world *w, const void *bytes, size_t size)
{
    uint8_t *exact = malloc(size > 0 ? size : 1);
    EXPECT(exact != NULL);
    memcpy(exact, bytes, size);
    struct jobs_entry entry = {
        .index = ++w->index, .term = w->term, .bytes = {.at = exact, .size = size}};
    jobs_apply(w->core, w->t, &entry, &w->result);
    free(exact);
}

enum sh_err world_apply(struct world *w)
{
    static uint8_t bytes[JOBS_CMD_BYTES_MAX];
    struct sh_writer writer = sh_writer_over(bytes, sizeof bytes);
    w->cmd.stamp_us = w->now_us;
    w->cmd.session = w->session;
    w->cmd.number = w->number;
    EXPECT_EQ(jobs_cmd_encode(&w->cmd, &writer), SH_OK);
    world_bytes(w, bytes, writer.used);
    return w->result.err;
}

static void begin(struct world *w, enum jobs_cmd_type type)
{
    memset(&w->cmd, 0, sizeof w->cmd);
    w->cmd.type = type;
}

static void copy_text(char *to, size_t size, const char *text)
{
    EXPECT(strlen(text) < size);
    memcpy(to, text, strlen(text) + 1);
}

void world_node(uint8_t id[static SH_NODE_ID_BYTES], unsigned number)
{
    memset(id, 0, SH_NODE_ID_BYTES);
    id[0] = 0xa0;
    id[SH_NODE_ID_BYTES - 1] = (uint8_t)number;
}

enum sh_err world_admit(struct world *w, unsigned node, const char *name)
{
    begin(w, JOBS_NODE_ADMIT);
    struct jobs_node_admit *c = &w->cmd.u.node_admit;
    world_node(c->node, node);
    copy_text(c->name, sizeof c->name, name);
    copy_text(c->addr, sizeof c->addr, "127.0.0.1:7711");
    copy_text(c->api, sizeof c->api, "127.0.0.1:8711");
    c->bulk_port = 7712;
    return world_apply(w);
}

void world_cluster(struct world *w, unsigned nodes)
{
    world_init(w);
    for (unsigned i = 1; i <= nodes; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "n%u", i);
        EXPECT_EQ(world_admit(w, i, name), SH_OK);
    }
}

enum sh_err world_remove(struct world *w, unsigned node)
{
    begin(w, JOBS_NODE_REMOVE);
    world_node(w->cmd.u.node_remove.node, node);
    return world_apply(w);
}

struct jobs_submit *world_submit(struct world *w, const char *name)
{
    begin(w, JOBS_SUBMIT);
    struct jobs_submit *c = &w->cmd.u.submit;
    c->kind = WIRE_KIND_TRAIN;
    copy_text(c->name, sizeof c->name, name);
    copy_text(c->owner, sizeof c->owner, "ada");
    c->spec = (struct sh_span){.at = (const uint8_t *)"{}", .size = 2};
    memset(c->spec_digest, 0x51, sizeof c->spec_digest);
    c->need = (struct wire_need){
        .ranks = 16, .agents_min = 1, .agents_max = 8, .arithmetic = WIRE_ARITHMETIC_SAME};
    c->reproducible = true;
    c->checkpoint_keep = 3;
    c->units = 1;
    return c;
}

enum sh_err world_train(struct world *w, const char *name)
{
    (void)world_submit(w, name);
    return world_apply(w);
}

enum sh_err world_noop(struct world *w, const char *name, uint32_t units)
{
    struct jobs_submit *c = world_submit(w, name);
    c->kind = WIRE_KIND_NOOP;
    c->units = units;
    c->need.ranks = 1;
    c->need.agents_max = 1;
    c->need.arithmetic = WIRE_ARITHMETIC_ANY;
    return world_apply(w);
}

struct wire_fence world_fence(struct world *w, struct wire_unit unit)
{
    struct jobs_unit view;
    return jobs_unit_get(w->t, unit, &view) == SH_OK ? view.placement.fence
                                                     : (struct wire_fence){0};
}

enum sh_err world_place(struct world *w, struct wire_unit unit, unsigned first, unsigned count)
{
    struct jobs_job job;
    begin(w, JOBS_PLACE);
    struct jobs_place *c = &w->cmd.u.place;
    unsigned ranks = jobs_job_get(w->t, unit.job, &job) == SH_OK ? job.need.ranks : 16;
    c->unit = unit;
    c->previous = world_fence(w, unit);
    c->cause = WIRE_CAUSE_PLACED;
    memset(c->class, 0xc1, sizeof c->class);
    c->member_count = count;
    for (unsigned i = 0; i < count; i++) {
        world_node(c->members[i].node, first + i);
        c->members[i].rank_lo = (uint16_t)(ranks * i / count);
        c->members[i].rank_hi = (uint16_t)(ranks * (i + 1) / count);
    }
    return world_apply(w);
}

enum sh_err world_place_many(struct world *w, uint64_t job, uint32_t from, uint32_t to,
                             unsigned nodes)
{
    begin(w, JOBS_PLACE_MANY);
    struct jobs_place_many *c = &w->cmd.u.place_many;
    c->job = job;
    memset(c->class, 0xc1, sizeof c->class);
    c->node_count = nodes;
    for (unsigned i = 0; i < nodes; i++) {
        world_node(c->nodes[i], i + 1);
    }
    for (uint32_t unit = from; unit < to; unit++) {
        c->at[c->count] = (uint8_t)(c->count % nodes);
        c->units[c->count++] = unit;
    }
    return world_apply(w);
}

enum sh_err world_commit_many(struct world *w, uint64_t job, uint32_t from, uint32_t to,
                              struct wire_fence fence)
{
    begin(w, JOBS_COMMIT_MANY);
    struct jobs_commit_many *c = &w->cmd.u.commit_many;
    c->job = job;
    c->fence = fence;
    for (uint32_t unit = from; unit < to; unit++) {
        c->units[c->count++] = unit;
    }
    return world_apply(w);
}

enum sh_err world_checkpoint(struct world *w, struct wire_unit unit, struct wire_fence fence,
                             uint64_t step, uint8_t manifest)
{
    begin(w, JOBS_CHECKPOINT);
    struct jobs_checkpoint_add *c = &w->cmd.u.checkpoint;
    c->unit = unit;
    c->fence = fence;
    c->step = step;
    memset(c->manifest, manifest, sizeof c->manifest);
    c->holder_count = 1;
    world_node(c->holders[0], 1);
    return world_apply(w);
}

enum sh_err world_commit(struct world *w, struct wire_unit unit, struct wire_fence fence,
                         uint8_t digest, bool partial)
{
    begin(w, JOBS_COMMIT);
    struct jobs_commit *c = &w->cmd.u.commit;
    c->unit = unit;
    c->fence = fence;
    c->partial = partial;
    memset(c->outcome.file, digest, sizeof c->outcome.file);
    memset(c->outcome.model, digest + 1, sizeof c->outcome.model);
    memset(c->outcome.state, digest + 2, sizeof c->outcome.state);
    c->outcome.metrics = (struct jobs_metrics){
        .test_correct = 98, .test_total = 100, .train_loss = 0.25, .val_loss = 0.5};
    c->outcome.steps = 384;
    c->holder_count = 2;
    world_node(c->holders[0], 1);
    world_node(c->holders[1], 2);
    return world_apply(w);
}

enum sh_err world_fail(struct world *w, struct wire_unit unit, struct wire_fence fence, bool final)
{
    begin(w, JOBS_FAIL);
    struct jobs_fail *c = &w->cmd.u.fail;
    c->unit = unit;
    c->fence = fence;
    c->reason = SH_ERR_DIVERGED;
    c->final = final;
    copy_text(c->text, sizeof c->text, "loss is not finite at step 7, rank 3");
    return world_apply(w);
}

enum sh_err world_fail_at(struct world *w, struct wire_unit unit, struct wire_fence fence,
                          unsigned node)
{
    begin(w, JOBS_FAIL);
    w->cmd.u.fail = (struct jobs_fail){.unit = unit, .fence = fence, .reason = SH_ERR_DIVERGED};
    copy_text(w->cmd.u.fail.text, sizeof w->cmd.u.fail.text, "exit 1");
    world_node(w->cmd.u.fail.node, node);
    return world_apply(w);
}

enum sh_err world_mark(struct world *w, unsigned node, enum jobs_mark mark)
{
    begin(w, JOBS_NODE_MARK);
    w->cmd.u.node_mark.mark = mark;
    world_node(w->cmd.u.node_mark.node, node);
    return world_apply(w);
}

enum sh_err world_set(struct world *w, const char *key, bool unset, uint64_t value)
{
    begin(w, JOBS_CONFIG_SET);
    w->cmd.u.config_set.count = 1;
    w->cmd.u.config_set.at[0] = (struct jobs_config_change){.unset = unset, .value = value};
    copy_text(w->cmd.u.config_set.at[0].key, sizeof w->cmd.u.config_set.at[0].key, key);
    return world_apply(w);
}

enum sh_err world_expire(struct world *w, struct wire_unit unit, struct wire_fence fence)
{
    begin(w, JOBS_EXPIRE);
    w->cmd.u.expire =
        (struct jobs_expire){.unit = unit, .fence = fence, .cause = WIRE_CAUSE_TOO_FEW_AGENTS};
    return world_apply(w);
}

enum sh_err world_yield(struct world *w, struct wire_unit unit, struct wire_fence fence,
                        uint64_t grace_us)
{
    begin(w, JOBS_EXPIRE);
    w->cmd.u.expire = (struct jobs_expire){
        .unit = unit, .fence = fence, .cause = WIRE_CAUSE_PREEMPTED, .grace_us = grace_us};
    return world_apply(w);
}

enum sh_err world_pause(struct world *w, uint64_t job, uint64_t grace_us)
{
    begin(w, JOBS_PAUSE);
    w->cmd.u.pause = (struct jobs_pause){.job = job, .grace_us = grace_us};
    return world_apply(w);
}

enum sh_err world_resume(struct world *w, uint64_t job)
{
    begin(w, JOBS_RESUME);
    w->cmd.u.resume.job = job;
    return world_apply(w);
}

enum sh_err world_resize(struct world *w, uint64_t job, uint32_t units)
{
    begin(w, JOBS_RESIZE);
    w->cmd.u.resize = (struct jobs_resize){.job = job, .has_units = true, .units = units};
    return world_apply(w);
}

enum sh_err world_prioritize(struct world *w, uint64_t job, uint8_t priority)
{
    begin(w, JOBS_RESIZE);
    w->cmd.u.resize = (struct jobs_resize){.job = job, .has_priority = true, .priority = priority};
    return world_apply(w);
}

enum sh_err world_stop(struct world *w, uint64_t job)
{
    begin(w, JOBS_STOP);
    w->cmd.u.stop.job = job;
    return world_apply(w);
}

enum sh_err world_remove_job(struct world *w, uint64_t job)
{
    begin(w, JOBS_JOB_REMOVE);
    w->cmd.u.job_remove.job = job;
    return world_apply(w);
}

enum sh_err world_remove_model(struct world *w, const char *name, uint32_t version)
{
    begin(w, JOBS_MODEL_REMOVE);
    memcpy(w->cmd.u.model_remove.name, name, strlen(name) + 1);
    w->cmd.u.model_remove.version = version;
    return world_apply(w);
}

enum sh_err world_dataset(struct world *w, unsigned node, const char *name, uint8_t digest)
{
    begin(w, JOBS_DATASET_ADD);
    struct jobs_dataset_add *c = &w->cmd.u.dataset_add;
    copy_text(c->name, sizeof c->name, name);
    memset(c->digest, digest, sizeof c->digest);
    world_node(c->node, node);
    copy_text(c->path, sizeof c->path, "/data/set");
    copy_text(c->summary, sizeof c->summary, "{\"samples\":100}");
    return world_apply(w);
}

enum sh_err world_dataset_remove(struct world *w, unsigned node, const char *name)
{
    begin(w, JOBS_DATASET_REMOVE);
    struct jobs_dataset_remove *c = &w->cmd.u.dataset_remove;
    copy_text(c->name, sizeof c->name, name);
    world_node(c->node, node);
    return world_apply(w);
}

enum sh_err world_session(struct world *w, unsigned node, uint64_t life)
{
    begin(w, JOBS_SESSION_OPEN);
    world_node(w->cmd.u.session_open.node, node);
    w->cmd.u.session_open.life = life;
    return world_apply(w);
}

enum sh_err world_keep(struct world *w)
{
    begin(w, JOBS_SESSION_KEEP);
    return world_apply(w);
}

enum jobs_state world_job_state(struct world *w, uint64_t job)
{
    struct jobs_job view;
    EXPECT_EQ(jobs_job_get(w->t, job, &view), SH_OK);
    return view.state;
}

enum jobs_state world_unit_state(struct world *w, struct wire_unit unit)
{
    struct jobs_unit view;
    EXPECT_EQ(jobs_unit_get(w->t, unit, &view), SH_OK);
    return view.state;
}
