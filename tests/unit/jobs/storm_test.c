/* SPDX-License-Identifier: Apache-2.0
 *
 * Storms of random commands: most plausible, many late, repeated or wrong. After each, the core
 * must say what the naive model says. */
#include "base/rng.h"
#include "model.h"
#include "tst.h"
#include "world.h"

#include <stdio.h>
#include <stdlib.h>

#define STORMS   20u
#define COMMANDS 8000u

struct logged {
    uint8_t *bytes;
    size_t size;
    uint64_t term;
};

struct storm {
    struct world w;
    struct model m;
    struct sh_rng rng;
    struct wire_fence old; /* of some gang, some time ago */
    struct logged log[COMMANDS];
    uint32_t count;
    uint32_t accepted;
    uint32_t replayed; /* answered from memory */
    uint32_t late;     /* deadlines that passed */
    uint32_t unknown;  /* sessions that had expired or ended */
};

static void random_node(struct storm *s)
{
    uint8_t number = (uint8_t)sh_rng_between(&s->rng, 1, MODEL_NODES);
    if (sh_rng_chance(&s->rng, 3, 4)) {
        s->w.cmd.type = JOBS_NODE_ADMIT;
        struct jobs_node_admit *c = &s->w.cmd.u.node_admit;
        world_node(c->node, number);
        (void)snprintf(c->name, sizeof c->name, "n%u", number);
        (void)snprintf(c->addr, sizeof c->addr, "h:%u", (unsigned)sh_rng_below(&s->rng, 3));
    } else {
        s->w.cmd.type = JOBS_NODE_REMOVE;
        world_node(s->w.cmd.u.node_remove.node, number);
    }
}

static void random_submit(struct storm *s)
{
    char name[16];
    (void)snprintf(name, sizeof name, "job%u", (unsigned)sh_rng_below(&s->rng, 5));
    struct jobs_submit *c = world_submit(&s->w, name);
    c->kind = sh_rng_chance(&s->rng, 1, 2) ? WIRE_KIND_TRAIN : WIRE_KIND_NOOP;
    if (c->kind == WIRE_KIND_NOOP && sh_rng_chance(&s->rng, 1, 2)) {
        c->kind = WIRE_KIND_ENSEMBLE;
        c->deadline_us = sh_rng_below(&s->rng, 20000);
    }
    c->units = (uint32_t)sh_rng_between(&s->rng, 1, MODEL_UNITS_MAX);
    if (c->kind != WIRE_KIND_ENSEMBLE) {
        c->stage_count = (uint32_t)sh_rng_below(&s->rng, c->units > 1 ? 3 : 2);
    }
    if (c->kind == WIRE_KIND_TRAIN && c->stage_count == 0) {
        c->units = 1;
    }
    if (c->stage_count == 2) {
        c->stages[1].first = (uint32_t)sh_rng_between(&s->rng, 1, c->units - 1);
        c->stages[1].after = true;
    }
    c->retries = (uint8_t)sh_rng_below(&s->rng, 3);
    c->need.agents_max = 4;
    c->need.arithmetic = sh_rng_chance(&s->rng, 1, 2) ? WIRE_ARITHMETIC_SAME : WIRE_ARITHMETIC_ANY;
    memset(c->spec_digest, (int)sh_rng_below(&s->rng, 3), sizeof c->spec_digest);
    c->keep_results = (uint16_t)(sh_rng_chance(&s->rng, 1, 2) ? 0 : sh_rng_between(&s->rng, 1, 4));
    c->blob_count = sh_rng_chance(&s->rng, 1, 3);
    memset(c->blobs[0], (int)sh_rng_between(&s->rng, 1, 3), sizeof c->blobs[0]);
    if (sh_rng_chance(&s->rng, 1, 4)) {
        c->key[0] = 'k';
        c->key[1] = (char)sh_rng_between(&s->rng, 'A', 'Z');
    }
}

/* Mostly one of the last jobs, mostly a unit that exists. */
static struct wire_unit random_unit(struct storm *s, const struct model_unit **view)
{
    static const struct model_unit nobody;
    *view = &nobody;
    if (s->m.job_count == 0 || sh_rng_chance(&s->rng, 1, 50)) {
        return (struct wire_unit){.job = sh_rng_between(&s->rng, 1, 9)};
    }
    uint32_t back = (uint32_t)sh_rng_below(&s->rng, s->m.job_count < 6 ? s->m.job_count : 6);
    const struct model_job *job = &s->m.jobs[s->m.job_count - 1 - back];
    uint32_t unit = (uint32_t)sh_rng_below(&s->rng, job->units + sh_rng_chance(&s->rng, 1, 20));
    *view = unit < job->units ? &job->unit[unit] : &nobody;
    return (struct wire_unit){.job = job->id, .unit = unit};
}

static struct wire_fence random_fence(struct storm *s, struct wire_fence current)
{
    if (sh_rng_chance(&s->rng, 1, 20)) {
        s->old = current;
    }
    if (sh_rng_chance(&s->rng, 1, 8)) {
        return s->old;
    }
    current.term += sh_rng_chance(&s->rng, 1, 50);
    return current;
}

static void random_place(struct storm *s)
{
    const struct model_unit *view = NULL;
    struct jobs_place *c = &s->w.cmd.u.place;
    s->w.cmd.type = JOBS_PLACE;
    c->unit = random_unit(s, &view);
    c->previous = random_fence(s, view->fence);
    c->cause = WIRE_CAUSE_PLACED;
    memset(c->class, (int)sh_rng_below(&s->rng, 8) / 7, sizeof c->class);
    c->mixed = sh_rng_chance(&s->rng, 1, 10);
    c->member_count = (uint32_t)sh_rng_between(&s->rng, 1, 5);
    uint32_t first = (uint32_t)sh_rng_between(&s->rng, 1, MODEL_NODES);
    for (uint32_t i = 0; i < c->member_count; i++) {
        world_node(c->members[i].node, 1 + (first + i) % MODEL_NODES);
        c->members[i].rank_lo = (uint16_t)(16 * i / c->member_count);
        c->members[i].rank_hi = (uint16_t)(16 * (i + 1) / c->member_count);
    }
    if (sh_rng_chance(&s->rng, 1, 10)) {
        c->members[0].rank_hi++;
    }
}

/* Some units from one on, which have a gang already or not. */
static void random_many(struct storm *s)
{
    const struct model_unit *view = NULL;
    struct wire_unit first = random_unit(s, &view);
    uint32_t count = (uint32_t)sh_rng_between(&s->rng, 1, 6);
    if (sh_rng_chance(&s->rng, 1, 2)) {
        s->w.cmd.type = JOBS_COMMIT_MANY;
        struct jobs_commit_many *c = &s->w.cmd.u.commit_many;
        *c = (struct jobs_commit_many){.job = first.job, .count = count};
        c->fence = random_fence(s, view->fence);
        for (uint32_t i = 0; i < count; i++) {
            c->units[i] = first.unit + i;
        }
        return;
    }
    s->w.cmd.type = JOBS_PLACE_MANY;
    struct jobs_place_many *c = &s->w.cmd.u.place_many;
    *c = (struct jobs_place_many){.job = first.job, .count = count, .node_count = 2};
    memset(c->class, (int)sh_rng_below(&s->rng, 8) / 7, sizeof c->class);
    world_node(c->nodes[0], (unsigned)sh_rng_between(&s->rng, 1, MODEL_NODES));
    world_node(c->nodes[1], (unsigned)sh_rng_between(&s->rng, 1, MODEL_NODES));
    for (uint32_t i = 0; i < count; i++) {
        c->units[i] = first.unit + i;
        c->at[i] = (uint8_t)sh_rng_below(&s->rng, 2);
    }
}

static void random_report(struct storm *s)
{
    const struct model_unit *view = NULL;
    struct wire_unit unit = random_unit(s, &view);
    struct wire_fence fence = random_fence(s, view->fence);
    uint64_t kind = sh_rng_below(&s->rng, 10);
    if (kind < 1) {
        s->w.cmd.type = JOBS_PROGRESS;
        s->w.cmd.u.progress = (struct jobs_progress){.unit = unit, .fence = fence};
        s->w.cmd.u.progress.permille = (uint16_t)sh_rng_below(&s->rng, JOBS_PROGRESS_WHOLE);
    } else if (kind < 3) {
        s->w.cmd.type = JOBS_CHECKPOINT;
        struct jobs_checkpoint_add *c = &s->w.cmd.u.checkpoint;
        *c = (struct jobs_checkpoint_add){.unit = unit, .fence = fence};
        c->step = view->checkpoint_step + sh_rng_below(&s->rng, 3);
        memset(c->manifest, (int)c->step % 7, sizeof c->manifest);
    } else if (kind < 6) {
        s->w.cmd.type = JOBS_COMMIT;
        struct jobs_commit *c = &s->w.cmd.u.commit;
        *c = (struct jobs_commit){.unit = unit, .fence = fence};
        c->partial = sh_rng_chance(&s->rng, 1, 3);
        memset(c->outcome.file, (int)sh_rng_below(&s->rng, 4), sizeof c->outcome.file);
    } else if (kind < 8) {
        s->w.cmd.type = JOBS_FAIL;
        s->w.cmd.u.fail = (struct jobs_fail){.unit = unit,
                                             .fence = fence,
                                             .reason = SH_ERR_DIVERGED,
                                             .final = sh_rng_chance(&s->rng, 1, 4)};
    } else {
        s->w.cmd.type = JOBS_EXPIRE;
        s->w.cmd.u.expire =
            (struct jobs_expire){.unit = unit, .fence = fence, .cause = WIRE_CAUSE_TOO_FEW_AGENTS};
        s->w.cmd.u.expire.grace_us = sh_rng_below(&s->rng, 2);
    }
}

/* Stops, pauses, resumes or resizes. */
static void random_wish(struct storm *s)
{
    const struct model_unit *view = NULL;
    uint64_t id = random_unit(s, &view).job;
    uint64_t kind = sh_rng_below(&s->rng, 10);
    if (kind < 2) {
        s->w.cmd.type = JOBS_STOP;
        s->w.cmd.u.stop.job = id;
    } else if (kind < 4) {
        s->w.cmd.type = JOBS_PAUSE;
        s->w.cmd.u.pause = (struct jobs_pause){.job = id, .grace_us = sh_rng_below(&s->rng, 3)};
    } else if (kind < 7) {
        s->w.cmd.type = JOBS_RESUME;
        s->w.cmd.u.resume.job = id;
    } else if (kind < 8) {
        s->w.cmd.type = JOBS_DEADLINE;
        s->w.cmd.u.deadline.job = id;
    } else {
        uint32_t units = (uint32_t)sh_rng_between(&s->rng, 1, MODEL_UNITS_MAX + 2);
        for (uint32_t i = 0; i < s->m.job_count; i++) {
            const struct model_job *job = &s->m.jobs[i];
            bool full = job->id == id && job->units + units > MODEL_UNITS_EVER;
            units = full ? 1 : units; /* never more than there are */
        }
        s->w.cmd.type = JOBS_RESIZE;
        s->w.cmd.u.resize = (struct jobs_resize){.job = id, .has_units = true, .units = units};
    }
}

static void random_removal(struct storm *s)
{
    if (sh_rng_chance(&s->rng, 2, 3) && s->m.job_count > 0) { /* of any age: most have ended */
        s->w.cmd.type = JOBS_JOB_REMOVE;
        s->w.cmd.u.job_remove.job = s->m.jobs[sh_rng_below(&s->rng, s->m.job_count)].id;
        return;
    }
    struct jobs_model_remove *c = &s->w.cmd.u.model_remove;
    s->w.cmd.type = JOBS_MODEL_REMOVE;
    (void)snprintf(c->name, sizeof c->name, "job%u", (unsigned)sh_rng_below(&s->rng, MODEL_NAMES));
    c->version = sh_rng_chance(&s->rng, 1, 10) ? 0 : (uint32_t)sh_rng_between(&s->rng, 1, 30);
}

static void random_session(struct storm *s)
{
    s->w.cmd.type = JOBS_SESSION_OPEN;
    world_node(s->w.cmd.u.session_open.node, (uint8_t)sh_rng_between(&s->rng, 1, MODEL_NODES));
    s->w.cmd.u.session_open.life = sh_rng_below(&s->rng, 2);
}

/* Mostly one of the newest sessions, mostly a number that its slot has not seen. */
static void random_sender(struct storm *s)
{
    struct jobs_cmd *cmd = &s->w.cmd;
    uint32_t back =
        (uint32_t)sh_rng_below(&s->rng, s->m.session_count < 8 ? s->m.session_count : 8);
    const struct model_session *from = &s->m.sessions[s->m.session_count - 1 - back];
    uint64_t slot = sh_rng_below(&s->rng, MODEL_SLOTS);
    uint64_t round = from->number[slot] / JOBS_SESSION_SLOTS + sh_rng_below(&s->rng, 8);
    round = round > 2 && sh_rng_chance(&s->rng, 1, 10) ? round - 2 : round + 1;
    cmd->session = sh_rng_chance(&s->rng, 1, 100) ? from->id + 1 : from->id;
    cmd->number = round * JOBS_SESSION_SLOTS + slot;
    if (sh_rng_chance(&s->rng, 1, 40)) {
        memset(&cmd->u, 0, sizeof cmd->u);
        cmd->type = JOBS_SESSION_KEEP;
    }
}

static void random_command(struct storm *s)
{
    uint64_t kind = sh_rng_below(&s->rng, 100);
    memset(&s->w.cmd, 0, sizeof s->w.cmd);
    if (kind < 5) {
        random_node(s);
    } else if (kind < 7) {
        random_session(s);
    } else if (kind < 20) {
        random_submit(s);
    } else if (kind < 26) {
        random_many(s);
    } else if (kind < 52) {
        random_place(s);
    } else if (kind < 86) {
        random_report(s);
    } else if (kind < 93) {
        random_removal(s);
    } else {
        random_wish(s);
    }
    if (s->w.cmd.type != JOBS_SESSION_OPEN && s->m.session_count > 0 &&
        sh_rng_chance(&s->rng, 1, 3)) {
        random_sender(s);
    }
    s->w.cmd.stamp_us = s->w.now_us;
}

/* Encodes a new command, or takes one from the log again, as a network would. */
static void next_entry(struct storm *s)
{
    static uint8_t bytes[JOBS_CMD_BYTES_MAX];
    struct logged *entry = &s->log[s->count];
    if (s->count > 0 && sh_rng_chance(&s->rng, 1, 15)) {
        uint64_t back = sh_rng_between(&s->rng, 1, s->count < 30 ? s->count : 30);
        *entry = s->log[s->count - back];
    } else {
        random_command(s);
        struct sh_writer writer = sh_writer_over(bytes, sizeof bytes);
        EXPECT_EQ(jobs_cmd_encode(&s->w.cmd, &writer), SH_OK);
        entry->size = writer.used;
    }
    const uint8_t *from = entry->bytes != NULL ? entry->bytes : bytes;
    uint8_t *copy = malloc(entry->size);
    EXPECT(copy != NULL);
    memcpy(copy, from, entry->size);
    *entry = (struct logged){.bytes = copy, .size = entry->size, .term = s->w.term};
    EXPECT_EQ(jobs_cmd_decode(entry->bytes, entry->size, &s->w.cmd), SH_OK);
}

static void compare_job(struct storm *s, struct model_job *job)
{
    struct jobs_job view;
    if (job->removed) {
        EXPECT_EQ(jobs_job_get(s->w.t, job->id, &view), SH_ERR_NOT_FOUND);
        return;
    }
    EXPECT_EQ(jobs_job_get(s->w.t, job->id, &view), SH_OK);
    EXPECT_EQ(view.results_gone, job->gone);
    EXPECT_EQ(view.state, model_state(job));
    EXPECT_EQ(view.mixed, job->mixed);
    EXPECT_EQ(view.units, job->units);
    EXPECT_EQ(view.target, job->target);
    bool reopened = job->progress == JOBS_PROGRESS_WHOLE && view.state != JOBS_COMPLETED;
    EXPECT(view.progress >= job->progress || (reopened && view.progress + 1u == job->progress));
    job->progress = view.progress;
    for (uint32_t i = 0; i < job->units; i++) {
        struct jobs_unit unit;
        const struct model_unit *want = &job->unit[i];
        EXPECT_EQ(jobs_unit_get(s->w.t, (struct wire_unit){job->id, i}, &unit), SH_OK);
        EXPECT_EQ(unit.state, want->state);
        EXPECT_EQ(unit.yield.cause != WIRE_CAUSE_NONE, want->yields);
        EXPECT(wire_fence_equal(unit.placement.fence, want->fence));
        EXPECT_EQ(unit.failures, want->failures);
        EXPECT_EQ(unit.committed, want->commits == 1);
        EXPECT(want->commits <= 1);
        EXPECT_EQ(unit.checkpoints, want->checkpoints);
        EXPECT_EQ(unit.checkpoint_step, want->checkpoint_step);
    }
}

static void compare_models(struct storm *s)
{
    for (uint32_t i = 0; i < s->m.version_count; i++) {
        const struct model_version *want = &s->m.versions[i];
        struct jobs_model model;
        char name[16];
        (void)snprintf(name, sizeof name, "job%u", (unsigned)want->name);
        enum sh_err err = jobs_model_get(s->w.t, name, want->version, &model);
        EXPECT_EQ(err, want->there ? SH_OK : SH_ERR_NOT_FOUND);
    }
}

/* Every submitted job that was not removed is there, in the one state that the model gives. */
static void compare_all(struct storm *s)
{
    struct jobs_counts counts;
    uint32_t in[JOBS_STATE_COUNT] = {0};
    uint32_t there = 0;
    jobs_check(s->w.core, s->w.t);
    for (uint32_t i = 0; i < s->m.job_count; i++) {
        compare_job(s, &s->m.jobs[i]);
        in[model_state(&s->m.jobs[i])] += !s->m.jobs[i].removed;
        there += !s->m.jobs[i].removed;
    }
    compare_models(s);
    EXPECT_EQ(jobs_counts_get(s->w.t, &counts), SH_OK);
    EXPECT_EQ(counts.jobs, there);
    EXPECT_EQ(counts.models, s->m.models);
    uint32_t sessions = 0;
    for (uint32_t i = 0; i < s->m.session_count; i++) {
        struct jobs_session session;
        const struct model_session *want = &s->m.sessions[i];
        enum sh_err err = jobs_session_get(s->w.t, want->id, &session);
        EXPECT_EQ(err, want->ended ? SH_ERR_NOT_FOUND : SH_OK);
        EXPECT(want->ended || session.used_us == want->used_us);
        sessions += !want->ended;
    }
    EXPECT_EQ(counts.sessions, sessions);
    for (uint32_t i = 0; i < JOBS_STATE_COUNT; i++) {
        EXPECT_EQ(counts.jobs_in[i], in[i]);
    }
}

static void step(struct storm *s)
{
    s->w.term += sh_rng_chance(&s->rng, 1, 200);
    s->w.now_us += sh_rng_below(&s->rng, 2000);
    s->w.now_us -= sh_rng_chance(&s->rng, 1, 30) ? 1500 : 0;
    s->w.now_us += sh_rng_chance(&s->rng, 1, 400) ? JOBS_SESSION_US / 3 : 0;
    next_entry(s);
    struct wire_unit unit = {0};
    struct wire_fence before = {0};
    if (s->w.cmd.type == JOBS_PLACE) {
        unit = s->w.cmd.u.place.unit;
        before = world_fence(&s->w, unit);
    }
    struct jobs_cmd cmd = s->w.cmd;
    world_bytes(&s->w, s->log[s->count].bytes, s->log[s->count].size);
    struct wire_fence entry = {.term = s->w.term, .index = s->w.index};
    bool accepted = model_apply(&s->m, &cmd, entry);
    if (accepted != (s->w.result.err == SH_OK)) {
        tst_fail(__FILE__, __LINE__, "command %u of type %u: the model says %d, the core %s",
                 s->count, (unsigned)cmd.type, accepted,
                 jobs_code_name((uint32_t)s->w.result.code));
    }
    if (cmd.type == JOBS_PLACE && accepted && !s->w.result.replayed) {
        EXPECT(wire_fence_cmp(before, world_fence(&s->w, unit)) < 0);
    }
    s->accepted += accepted;
    s->replayed += s->w.result.replayed;
    s->unknown += s->w.result.code == JOBS_CODE_SESSION_UNKNOWN;
    s->count++;
    struct model_job *job = NULL;
    for (uint32_t i = 0; i < s->m.job_count; i++) {
        job = s->m.jobs[i].id == s->w.result.unit.job ? &s->m.jobs[i] : job;
    }
    s->late += cmd.type == JOBS_DEADLINE && accepted && !s->w.result.replayed;
    if (job != NULL) {
        compare_job(s, job);
    }
}

static void replay(struct world *w, const struct storm *s, uint32_t from)
{
    for (uint32_t i = from; i < s->count; i++) {
        w->term = s->log[i].term;
        world_bytes(w, s->log[i].bytes, s->log[i].size);
    }
}

static void storm(uint64_t seed)
{
    struct storm *s = calloc(1, sizeof *s);
    EXPECT(s != NULL);
    struct world copy;
    uint32_t copied = COMMANDS / 3 + (uint32_t)seed;
    world_init(&s->w);
    world_init(&copy);
    model_init(&s->m);
    sh_rng_init(&s->rng, seed);
    while (s->count < COMMANDS) {
        step(s);
        if (s->count % 1000 == 0) {
            compare_all(s);
        }
        if (s->count == copied) {
            rows_free(&copy.rows);
            rows_copy(&copy.rows, &s->w.rows);
            copy.t = &copy.rows.table;
            copy.index = s->w.index;
        }
    }
    compare_all(s);
    EXPECT(s->accepted > COMMANDS / 5);
    EXPECT(s->m.version_count > 5);
    EXPECT(s->m.models < s->m.version_count);
    uint32_t removed = 0;
    uint32_t gone = 0;
    for (uint32_t i = 0; i < s->m.job_count; i++) {
        removed += s->m.jobs[i].removed;
        gone += s->m.jobs[i].gone;
    }
    EXPECT(removed > 10);
    EXPECT(gone > 10);
    EXPECT(s->replayed > COMMANDS / 250);
    EXPECT(s->unknown > 20);
    EXPECT(s->late > 0);

    struct world again;
    world_init(&again);
    replay(&again, s, 0);
    EXPECT_EQ(jobs_digest(again.t), jobs_digest(s->w.t));
    EXPECT(rows_equal(&again.rows, &s->w.rows));
    replay(&copy, s, copied);
    EXPECT_EQ(jobs_digest(copy.t), jobs_digest(s->w.t));
    EXPECT(rows_equal(&copy.rows, &s->w.rows));
    world_free(&again);
    world_free(&copy);
    world_free(&s->w);
    for (uint32_t i = 0; i < s->count; i++) {
        free(s->log[i].bytes);
    }
    free(s);
}

static const uint8_t seeds[STORMS];

TEST_ROWS(a_storm_of_commands_leaves_what_the_naive_model_leaves, seeds)
{
    storm(tst_seed() * 1000 + tst_row);
}
