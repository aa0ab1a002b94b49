/* SPDX-License-Identifier: Apache-2.0
 *
 * Hunts for a blob that is collected though a row names it. Three agents with stores of their own,
 * one history of commands, virtual clocks: writers put equal and different bytes on agents, name
 * them in a command later or never; jobs end, lose their results, are removed; agents restart,
 * their wall clocks jump; and each agent's passes stand still between their steps while all that
 * goes on.
 */
#include "../jobs/world.h"
#include "garbage.h"
#include "tst.h"

#include "base/rng.h"
#include "store/kv_mem.h"

#include <stdlib.h>

#define SECOND     UINT64_C(1000000)
#define GRACE_US   (100 * SECOND)
#define UPLOAD_US  (1000 * SECOND)
#define AGENTS     3u
#define CONTENTS   10u /* few: what was collected is written again */
#define WRITERS    6u
#define STEPS      3000u
#define SEEDS      12u
#define LATE_SEEDS 6u

static const struct kv_cf CFS[] = {{"blob", KV_CF_LARGE}, {"series", KV_CF_TEXT}};

struct agent {
    struct kv *kv;
    struct blob *blob;
    struct garbage *pass; /* NULL: none under way */
    bool marked;
    uint64_t life;
    uint64_t wall_skew_us;
};

struct writer { /* of bytes that a command is going to name */
    bool busy;
    uint32_t content;
    uint64_t since_us; /* of its first copy */
    bool on[AGENTS];
};

struct hunt {
    struct world w;
    struct sh_rng rng;
    uint64_t now_us;
    struct agent agents[AGENTS];
    struct writer writers[WRITERS];
    struct blob_id ids[CONTENTS];
    bool named[CONTENTS];
    bool promised[AGENTS][CONTENTS]; /* an applied command says so */
    uint64_t open_job;               /* whose unit has checkpoints; 0: none */
    bool late;                       /* commands may come after their lease: must be caught */
    uint32_t collected;
    uint32_t commands;
    uint32_t lost;
};

static struct hunt *hunt;

static void read_clock(void *ctx, uint64_t *now_us, uint64_t *wall_us)
{
    const struct agent *a = ctx;
    *now_us = hunt->now_us;
    *wall_us = hunt->now_us + a->wall_skew_us;
}

static void open_blobs(struct agent *a)
{
    EXPECT_EQ(blob_open(a->kv, 0, &a->blob), SH_OK);
    struct blob_leases leases = {
        .life = ++a->life, .grace_us = GRACE_US, .clock = read_clock, .ctx = a};
    blob_lease_begin(a->blob, &leases);
}

static void put(struct agent *a, uint32_t content)
{
    uint8_t bytes[600];
    struct blob_id id;
    memset(bytes, (int)content + 1, sizeof bytes);
    EXPECT_EQ(blob_put(a->blob, bytes, sizeof bytes, &id), SH_OK);
    hunt->ids[content] = id;
}

static void take_name(void *ctx, const uint8_t digest[static SH_DIGEST_BYTES])
{
    struct hunt *h = ctx;
    for (uint32_t i = 0; i < CONTENTS; i++) {
        h->named[i] = h->named[i] || memcmp(h->ids[i].digest, digest, SH_DIGEST_BYTES) == 0;
    }
}

static bool has(struct agent *a, uint32_t content)
{
    bool is = false;
    EXPECT_EQ(blob_has(a->blob, &hunt->ids[content], &is), SH_OK);
    return is;
}

/* Whatever a row names is with those whom the command had counted on. */
static void check(struct hunt *h)
{
    memset(h->named, 0, sizeof h->named);
    EXPECT_EQ(jobs_blobs_named(h->w.t, take_name, h), SH_OK);
    for (uint32_t c = 0; c < CONTENTS; c++) {
        for (uint32_t i = 0; i < AGENTS; i++) {
            h->promised[i][c] = h->promised[i][c] && h->named[c];
            if (h->promised[i][c] && !has(&h->agents[i], c)) {
                h->lost++;
                h->promised[i][c] = false;
            }
        }
    }
    EXPECT(h->late || h->lost == 0);
}

/* ---- commands ---- */

static void ensure_job(struct hunt *h)
{
    if (h->open_job != 0) {
        return;
    }
    struct jobs_submit *c = world_submit(&h->w, sh_rng_chance(&h->rng, 1, 2) ? "a" : "b");
    c->keep_results = (uint16_t)sh_rng_between(&h->rng, 1, 2);
    EXPECT_EQ(world_apply(&h->w), SH_OK);
    h->open_job = h->w.result.unit.job;
    EXPECT_EQ(world_place(&h->w, (struct wire_unit){h->open_job, 0}, 1, 1), SH_OK);
}

static void promise(struct hunt *h, const struct writer *writer)
{
    for (uint32_t i = 0; i < AGENTS; i++) {
        h->promised[i][writer->content] = h->promised[i][writer->content] || writer->on[i];
    }
    h->commands++;
}

/* A checkpoint, or the model that ends the job. */
static void name_it(struct hunt *h, struct writer *writer)
{
    static uint64_t step;
    ensure_job(h);
    struct wire_unit unit = {h->open_job, 0};
    struct wire_fence fence = world_fence(&h->w, unit);
    const struct blob_id *id = &h->ids[writer->content];
    memset(&h->w.cmd, 0, sizeof h->w.cmd);
    if (sh_rng_chance(&h->rng, 2, 3)) {
        h->w.cmd.type = JOBS_CHECKPOINT;
        struct jobs_checkpoint_add *c = &h->w.cmd.u.checkpoint;
        *c = (struct jobs_checkpoint_add){.unit = unit, .fence = fence, .step = ++step};
        memcpy(c->manifest, id->digest, sizeof c->manifest);
    } else {
        h->w.cmd.type = JOBS_COMMIT;
        struct jobs_commit *c = &h->w.cmd.u.commit;
        *c = (struct jobs_commit){.unit = unit, .fence = fence};
        memcpy(c->outcome.file, id->digest, sizeof c->outcome.file);
        h->open_job = 0;
    }
    EXPECT_EQ(world_apply(&h->w), SH_OK);
    promise(h, writer);
}

/* As the API does: the agent that takes a job has its blob, and its lease goes on from then. */
static void submit_upload(struct hunt *h, uint32_t content)
{
    uint32_t at = (uint32_t)sh_rng_below(&h->rng, AGENTS);
    enum sh_err err = blob_keep(h->agents[at].blob, &h->ids[content], 0);
    if (err == SH_ERR_NOT_FOUND) {
        return;
    }
    EXPECT_EQ(err, SH_OK);
    struct jobs_submit *c = world_submit(&h->w, "c");
    c->keep_results = 1;
    c->blob_count = 1;
    memcpy(c->blobs[0], h->ids[content].digest, SH_DIGEST_BYTES);
    EXPECT_EQ(world_apply(&h->w), SH_OK);
    uint64_t job = h->w.result.unit.job;
    h->promised[at][content] = true;
    h->commands++;
    if (sh_rng_chance(&h->rng, 3, 4)) {
        EXPECT_EQ(world_stop(&h->w, job), SH_OK);
    }
}

static void forget_something(struct hunt *h)
{
    uint64_t before = 0;
    struct jobs_job job;
    uint32_t count = 0;
    uint64_t back = sh_rng_below(&h->rng, 6);
    do {
        EXPECT_EQ(jobs_job_list(h->w.t, &before, 0, &job, 1, &count), SH_OK);
    } while (count == 1 && before != 0 && back-- > 0);
    if (count == 0) {
        return;
    }
    if (job.id != h->open_job && sh_rng_chance(&h->rng, 1, 2) && !jobs_state_final(job.state)) {
        (void)world_stop(&h->w, job.id);
    }
    (void)world_remove_job(&h->w, job.id);
    (void)world_remove_model(&h->w, job.name, (uint32_t)sh_rng_below(&h->rng, 3));
}

/* ---- writers ---- */

static void begin_writer(struct hunt *h, struct writer *writer)
{
    *writer = (struct writer){
        .busy = true, .content = (uint32_t)sh_rng_below(&h->rng, CONTENTS), .since_us = h->now_us};
    uint32_t first = (uint32_t)sh_rng_below(&h->rng, AGENTS);
    put(&h->agents[first], writer->content);
    writer->on[first] = true;
}

static void step_writer(struct hunt *h)
{
    struct writer *writer = &h->writers[sh_rng_below(&h->rng, WRITERS)];
    uint64_t age = h->now_us - writer->since_us;
    uint64_t most = h->late ? 4 * GRACE_US : GRACE_US;
    if (!writer->busy) {
        begin_writer(h, writer);
    } else if (age >= most) {
        writer->busy = false; /* gave up: the bytes are garbage */
    } else if (sh_rng_chance(&h->rng, 1, 2)) {
        uint32_t next = (uint32_t)sh_rng_below(&h->rng, AGENTS);
        if (!writer->on[next]) {
            put(&h->agents[next], writer->content);
            writer->on[next] = true;
        }
    } else if (sh_rng_chance(&h->rng, 1, 2)) {
        name_it(h, writer);
        writer->busy = false;
    }
}

/* ---- agents ---- */

static void step_pass(struct hunt *h, struct agent *a)
{
    struct series series = {.kv = a->kv, .cf = 1};
    if (a->pass == NULL) {
        EXPECT_EQ(garbage_open(&a->pass, a->blob, &series), SH_OK);
        EXPECT_EQ(garbage_list(a->pass), SH_OK);
        a->marked = false;
    } else if (!a->marked) {
        EXPECT_EQ(garbage_mark(a->pass, h->w.t), SH_OK);
        a->marked = true;
    } else {
        struct service_garbage found;
        EXPECT_EQ(garbage_sweep(a->pass, true, &found), SH_OK);
        h->collected += (uint32_t)found.loose_blobs;
        garbage_close(a->pass);
        a->pass = NULL;
    }
}

static void restart(struct hunt *h, struct agent *a)
{
    garbage_close(a->pass);
    a->pass = NULL;
    blob_close(a->blob);
    if (sh_rng_chance(&h->rng, 1, 2)) {
        a->wall_skew_us = sh_rng_below(&h->rng, 100000) * SECOND;
    }
    open_blobs(a);
}

static void step(struct hunt *h)
{
    struct agent *a = &h->agents[sh_rng_below(&h->rng, AGENTS)];
    uint64_t kind = sh_rng_below(&h->rng, 100);
    h->now_us += sh_rng_below(&h->rng, 12 * SECOND);
    h->w.now_us = h->now_us;
    if (kind < 45) {
        step_writer(h);
    } else if (kind < 75) {
        step_pass(h, a);
    } else if (kind < 80) {
        uint32_t content = (uint32_t)sh_rng_below(&h->rng, CONTENTS);
        put(a, content);
        EXPECT_EQ(blob_keep(a->blob, &h->ids[content], UPLOAD_US), SH_OK);
    } else if (kind < 85) {
        submit_upload(h, (uint32_t)sh_rng_below(&h->rng, CONTENTS));
    } else if (kind < 97) {
        forget_something(h);
    } else {
        restart(h, a);
    }
    check(h);
}

/* With time, what nothing names is gone, and nothing else. */
static void settle(struct hunt *h)
{
    h->now_us += 10 * UPLOAD_US;
    for (uint32_t i = 0; i < AGENTS; i++) {
        struct agent *a = &h->agents[i];
        garbage_close(a->pass);
        a->pass = NULL;
        for (uint32_t part = 0; part < 3; part++) {
            step_pass(h, a);
        }
        check(h);
        for (uint32_t c = 0; c < CONTENTS; c++) {
            EXPECT(h->named[c] || !has(a, c));
        }
    }
}

static void run_hunt(uint64_t seed, bool late)
{
    hunt = calloc(1, sizeof *hunt);
    EXPECT(hunt != NULL);
    hunt->late = late;
    hunt->now_us = SECOND;
    world_init(&hunt->w);
    sh_rng_init(&hunt->rng, seed);
    EXPECT_EQ(world_admit(&hunt->w, 1, "newt"), SH_OK);
    for (uint32_t i = 0; i < AGENTS; i++) {
        EXPECT_EQ(kv_mem_open(CFS, 2, &hunt->agents[i].kv), SH_OK);
        open_blobs(&hunt->agents[i]);
    }
    for (uint32_t c = 0; c < CONTENTS; c++) { /* to know their names */
        put(&hunt->agents[0], c);
    }
    for (uint32_t i = 0; i < STEPS; i++) {
        step(hunt);
    }
    settle(hunt);
    EXPECT(hunt->collected > 50);
    EXPECT(hunt->commands > 100);
    for (uint32_t i = 0; i < AGENTS; i++) {
        blob_close(hunt->agents[i].blob);
        kv_close(hunt->agents[i].kv);
    }
    world_free(&hunt->w);
}

static const uint8_t seeds[SEEDS];

TEST_ROWS(no_blob_that_a_row_names_is_collected_whatever_happens_meanwhile, seeds)
{
    run_hunt(tst_seed() * 1000 + tst_row, false);
    free(hunt);
}

TEST(a_command_that_comes_after_its_lease_loses_its_blob_and_the_hunt_sees_it)
{
    uint32_t lost = 0;
    for (uint64_t seed = 0; seed < LATE_SEEDS; seed++) {
        run_hunt(tst_seed() * 1000 + seed, true);
        lost += hunt->lost;
        free(hunt);
    }
    EXPECT(lost > 0);
}

TEST(series_of_jobs_that_are_gone_go_and_those_of_others_stay)
{
    struct kv *kv = NULL;
    struct blob *blob = NULL;
    struct garbage *g = NULL;
    struct world w;
    EXPECT_EQ(kv_mem_open(CFS, 2, &kv), SH_OK);
    EXPECT_EQ(blob_open(kv, 0, &blob), SH_OK);
    struct series series = {.kv = kv, .cf = 1};
    world_init(&w);
    EXPECT_EQ(world_noop(&w, "stays", 1), SH_OK);
    uint64_t stays = w.result.unit.job;
    struct kv_batch batch;
    kv_batch_init(&batch);
    struct series_point point = {.step = 1, .value = 0.5, .wall_us = 1};
    series_put_point(&series, &batch, stays, "loss", &point);
    series_put_point(&series, &batch, stays + 9, "loss", &point);
    EXPECT_EQ(kv_write(kv, &batch, false), SH_OK);
    kv_batch_fini(&batch);
    struct service_garbage found;
    EXPECT_EQ(garbage_open(&g, blob, &series), SH_OK);
    for (uint32_t go = 0; go < 2; go++) {
        uint64_t jobs[4];
        uint32_t count = 0;
        EXPECT_EQ(garbage_list(g), SH_OK);
        EXPECT_EQ(garbage_mark(g, w.t), SH_OK);
        EXPECT_EQ(garbage_sweep(g, go == 1, &found), SH_OK);
        EXPECT_EQ(found.jobs, 1);
        EXPECT_EQ(series_jobs(&series, 0, jobs, 4, &count), SH_OK);
        EXPECT_EQ(count, go == 1 ? 1 : 2);
        EXPECT_EQ(jobs[0], stays);
    }
    garbage_close(g);
    world_free(&w);
    blob_close(blob);
    kv_close(kv);
}
