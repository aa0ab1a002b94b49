/* SPDX-License-Identifier: Apache-2.0
 *
 * Units that ask a model, on one agent over the in-memory service. */
#include "answer/unit.h"

#include "../agent/model_file.h"
#include "answer/table.h"
#include "base/host/host.h"
#include "bulk.h"
#include "job_text.h"
#include "jobs/view.h"
#include "memory_bulk.h"
#include "memory_service.h"
#include "spec/fileset.h"
#include "train/blob.h"
#include "train/train.h"
#include "tst.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_US  UINT64_C(20000000)
#define BLOB_MAX 65536u
#define TABLE    "c0,c1,c2,c3\n1,1,1,1\n0,0,0,0\n0.6,0.5,0.5,0.5\n"

static struct service *s;
static struct memory_net *net;
static struct bulk *bulk;
static struct answer *answer;
static struct train *train;
static uint64_t job;

static void wake(void *ctx)
{
    train_wake(ctx);
}

static void start(void)
{
    static const struct memory_net_config PLAIN = {.seed = 1};
    char cache[256];
    sh_host_init();
    net = memory_net_open(&PLAIN);
    s = memory_service_open();
    bulk = memory_bulk_open(net, s);
    EXPECT_EQ(answer_open(&answer, s), SH_OK);
    (void)snprintf(cache, sizeof cache, "%s/cache", tst_dir());
    struct train_config config = {
        .s = s, .bulk = bulk, .threads = 1, .cache = cache, .answer = answer_runner(answer)};
    EXPECT_EQ(train_open(&train, &config), SH_OK);
    EXPECT_EQ(train_start(train), SH_OK);
    memory_bulk_start(bulk);
    memory_service_on_applied(s, wake, train);
}

static void stop(void)
{
    memory_service_on_applied(s, NULL, NULL);
    train_stop(train);
    memory_bulk_close(bulk);
    train_close(train);
    answer_close(answer);
    memory_service_close(s);
    memory_net_close(net);
}

static void put(const void *bytes, size_t size, char hex[static 2 * SH_DIGEST_BYTES + 1])
{
    uint8_t digest[SH_DIGEST_BYTES];
    EXPECT_EQ(service_blob_put(s, bytes, size, 1, digest, NULL, WAIT_US), SH_OK);
    sh_hex(hex, digest, sizeof digest);
}

/* A table as `submit` packs one. */
static void put_table(const char *text, char hex[static 2 * SH_DIGEST_BYTES + 1])
{
    char why[256];
    uint8_t *bytes = NULL;
    size_t size = 0;
    struct spec_fileset_member file = {
        .path = "table.csv", .bytes = {.at = (const uint8_t *)text, .size = strlen(text)}};
    EXPECT_EQ(spec_fileset_make(&file, 1, "table.csv", &bytes, &size, why, sizeof why), SH_OK);
    put(bytes, size, hex);
    free(bytes);
}

static void put_model(char hex[static 2 * SH_DIGEST_BYTES + 1])
{
    static struct model_file file;
    model_file_make(&file, "[4]", 4, false);
    put(file.bytes, file.size, hex);
}

static void submit(const char *text, enum wire_kind kind, uint32_t units)
{
    static struct spec_job parsed;
    static struct jobs_cmd cmd;
    struct jobs_result result;
    job_text_submit(text, &cmd, &parsed);
    struct jobs_submit *c = &cmd.u.submit;
    c->kind = kind;
    c->need = (struct wire_need){
        .ranks = 1, .agents_min = 1, .agents_max = 1, .arithmetic = WIRE_ARITHMETIC_ANY};
    c->units = units;
    c->checkpoint_keep = 1;
    memory_service_apply(s, &cmd, &result);
    job = result.unit.job;
}

static void place_after(uint32_t unit, struct wire_fence previous)
{
    static struct jobs_cmd cmd;
    struct jobs_result result;
    struct service_status status;
    service_status(s, &status);
    cmd = (struct jobs_cmd){.type = JOBS_PLACE};
    struct jobs_place *c = &cmd.u.place;
    c->unit = (struct wire_unit){.job = job, .unit = unit};
    c->previous = previous;
    c->cause = WIRE_CAUSE_PLACED;
    c->member_count = 1;
    memcpy(c->members[0].node, status.node_id, SH_NODE_ID_BYTES);
    c->members[0].rank_hi = 1;
    memory_service_apply(s, &cmd, &result);
}

static void place(uint32_t unit)
{
    place_after(unit, (struct wire_fence){0});
}

static bool has_ended(const struct jobs_unit *unit)
{
    return jobs_state_final(unit->state);
}

static bool waits(const struct jobs_unit *unit)
{
    return unit->state == JOBS_WAITING;
}

static void await_that(uint32_t number, bool (*holds)(const struct jobs_unit *unit),
                       struct jobs_unit *unit)
{
    uint64_t until = sh_now_us() + WAIT_US;
    struct wire_unit id = {.job = job, .unit = number};
    for (;;) {
        struct service_view *view;
        struct service_status status;
        service_status(s, &status);
        EXPECT_EQ(service_view_open(s, &view), SH_OK);
        EXPECT_EQ(jobs_unit_get(service_view_table(view), id, unit), SH_OK);
        service_view_close(view);
        if (holds(unit)) {
            return;
        }
        EXPECT(sh_now_us() < until);
        (void)service_wait_applied(s, status.applied_index, 1000000);
    }
}

static void await(uint32_t number, struct jobs_unit *unit)
{
    await_that(number, has_ended, unit);
}

/* A file of what the unit left; static storage. */
static const char *left(const struct jobs_unit *unit, const char *path)
{
    static char text[4096];
    uint8_t *blob = NULL;
    size_t size = 0;
    struct sh_span found = {0};
    EXPECT_EQ(train_blob_read(s, unit->outcome.state, BLOB_MAX, WAIT_US, &blob, &size), SH_OK);
    EXPECT_EQ(spec_fileset_find((struct sh_span){.at = blob, .size = size}, path, &found), SH_OK);
    EXPECT(found.size < sizeof text);
    memcpy(text, found.at, found.size);
    text[found.size] = '\0';
    free(blob);
    return text;
}

static void read_job(struct jobs_job *row)
{
    struct service_view *view;
    EXPECT_EQ(service_view_open(s, &view), SH_OK);
    EXPECT_EQ(jobs_job_get(service_view_table(view), job, row), SH_OK);
    service_view_close(view);
}

#define REF(version) "{name: m, version: " version ", file: %s, job: 1, script: false}"

TEST(a_prediction_has_a_row_for_each_sample_with_classes_by_falling_probability)
{
    char model[2 * SH_DIGEST_BYTES + 1];
    char input[2 * SH_DIGEST_BYTES + 1];
    char text[1024];
    struct jobs_unit unit;
    start();
    put_model(model);
    put_table(TABLE, input);
    (void)snprintf(text, sizeof text,
                   "api: shoal/v1\nkind: predict\nname: n\nmodel: " REF("1") "\ninput: files:%s\n",
                   model, input);
    submit(text, WIRE_KIND_PREDICT, 1);
    place(0);
    await(0, &unit);
    EXPECT_EQ(unit.state, JOBS_COMPLETED);
    EXPECT_EQ(unit.outcome.steps, 3);
    EXPECT_EQ(unit.model_version, 0);
    const char *rows = left(&unit, ANSWER_PREDICTIONS);
    EXPECT(strncmp(rows, "row,class,probability,class2,probability2\n0,light,", 50) == 0);
    EXPECT(strstr(rows, "\n1,dark,") != NULL);
    EXPECT(strstr(rows, "\n2,") != NULL && strstr(rows, "\n3,") == NULL);
    stop();
}

TEST(a_damaged_model_fails_as_a_member_for_good_and_the_others_answer)
{
    char model[2 * SH_DIGEST_BYTES + 1];
    char rot[2 * SH_DIGEST_BYTES + 1];
    char input[2 * SH_DIGEST_BYTES + 1];
    char text[1024];
    struct jobs_unit unit;
    struct jobs_job row;
    start();
    put_model(model);
    put("no model at all", 15, rot);
    put_table(TABLE, input);
    (void)snprintf(text, sizeof text,
                   "api: shoal/v1\nkind: ensemble\nname: n\nmodels: [" REF("1") ", " REF(
                       "2") "]\n"
                            "input: files:%s\n",
                   model, rot, input);
    submit(text, WIRE_KIND_ENSEMBLE, 2);
    place(1);
    await(1, &unit);
    EXPECT_EQ(unit.state, JOBS_FAILED);
    EXPECT_EQ(unit.failures, 1); /* trying again could not help */
    place(0);
    await(0, &unit);
    EXPECT_EQ(unit.state, JOBS_COMPLETED);
    EXPECT(strncmp(left(&unit, ANSWER_VALUES), "[\"dark\",\"light\"]\n", 17) == 0);
    read_job(&row);
    EXPECT_EQ(row.state, JOBS_COMPLETED);
    stop();
}

TEST(an_input_that_does_not_fit_the_model_is_named_and_not_tried_again)
{
    char model[2 * SH_DIGEST_BYTES + 1];
    char input[2 * SH_DIGEST_BYTES + 1];
    char text[1024];
    struct jobs_unit unit;
    struct jobs_job row;
    start();
    put_model(model);
    put_table("c0,c1\n1,2\n", input);
    (void)snprintf(text, sizeof text,
                   "api: shoal/v1\nkind: predict\nname: n\nmodel: " REF("1") "\ninput: files:%s\n",
                   model, input);
    submit(text, WIRE_KIND_PREDICT, 1);
    place(0);
    await(0, &unit);
    read_job(&row);
    EXPECT_EQ(row.state, JOBS_FAILED);
    EXPECT_EQ(unit.failures, 1);
    EXPECT(strncmp(row.fail_text, "input: table.csv", 16) == 0);
    stop();
}

TEST(an_evaluation_counts_what_is_right_and_keeps_the_confusion)
{
    char model[2 * SH_DIGEST_BYTES + 1];
    char input[2 * SH_DIGEST_BYTES + 1];
    char text[1024];
    struct jobs_unit unit;
    start();
    put_model(model);
    put_table("c0,c1,c2,c3,shade\n1,1,1,1,light\n0,0,0,0,dark\n1,1,1,1,dark\n1,1,1,1,light\n",
              input);
    (void)snprintf(
        text, sizeof text,
        "api: shoal/v1\nkind: evaluate\nname: n\nmodel: " REF("1") "\n"
                                                                   "data: {test: \"files:%s\"}\n",
        model, input);
    submit(text, WIRE_KIND_EVALUATE, 1);
    place(0);
    await(0, &unit);
    EXPECT_EQ(unit.state, JOBS_COMPLETED);
    EXPECT_EQ(unit.outcome.figures.samples, 4);
    EXPECT_EQ(unit.outcome.metrics.test_correct, 3);
    EXPECT_NEAR(unit.outcome.figures.at[1], 0.75, 1e-15);
    EXPECT_STR(left(&unit, "confusion.csv"), "truth,dark,light\ndark,1,1\nlight,0,2\n");
    stop();
}

TEST(a_unit_that_is_asked_to_stop_before_it_answers_leaves_nothing)
{
    char model[2 * SH_DIGEST_BYTES + 1];
    char text[1024];
    struct jobs_unit unit;
    struct jobs_result result;
    start();
    put_model(model);
    (void)snprintf(text, sizeof text,
                   "api: shoal/v1\nkind: predict\nname: n\nmodel: " REF(
                       "1") "\n"
                            "input: files:00112233445566778899001122334455667788990011223344556677"
                            "88990011\n",
                   model);
    submit(text, WIRE_KIND_PREDICT, 1);
    struct jobs_cmd *cmd = calloc(1, sizeof *cmd);
    EXPECT(cmd != NULL);
    cmd->type = JOBS_STOP;
    cmd->u.stop.job = job;
    memory_service_apply(s, cmd, &result);
    await(0, &unit);
    EXPECT_EQ(unit.state, JOBS_STOPPED);
    EXPECT(!unit.committed);
    free(cmd);
    stop();
}

TEST(a_unit_that_is_to_give_way_waits_again_and_answers_when_it_goes_on)
{
    char model[2 * SH_DIGEST_BYTES + 1];
    char input[2 * SH_DIGEST_BYTES + 1];
    char text[1024];
    struct jobs_unit unit;
    struct jobs_result result;
    start();
    put_model(model);
    put_table(TABLE, input);
    (void)snprintf(text, sizeof text,
                   "api: shoal/v1\nkind: predict\nname: n\nmodel: " REF("1") "\ninput: files:%s\n",
                   model, input);
    submit(text, WIRE_KIND_PREDICT, 1);
    struct jobs_cmd *cmd = calloc(1, sizeof *cmd);
    EXPECT(cmd != NULL);
    memory_service_on_applied(s, NULL, NULL); /* the agent hears of both at once */
    place(0);
    cmd->type = JOBS_PAUSE;
    cmd->u.pause = (struct jobs_pause){.job = job, .grace_us = 600000000};
    memory_service_apply(s, cmd, &result);
    memory_service_on_applied(s, wake, train);
    train_wake(train);
    await_that(0, waits, &unit);
    EXPECT(!unit.committed);
    *cmd = (struct jobs_cmd){.type = JOBS_RESUME, .u.resume.job = job};
    memory_service_apply(s, cmd, &result);
    place_after(0, unit.placement.fence);
    await(0, &unit);
    EXPECT_EQ(unit.state, JOBS_COMPLETED);
    free(cmd);
    stop();
}
