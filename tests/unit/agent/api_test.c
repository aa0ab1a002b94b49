/* SPDX-License-Identifier: Apache-2.0
 *
 * The HTTP interface over real sockets, on the service in memory. */
#include "api_rig.h"
#include "tst.h"

#include "base/host/host.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

TEST(status_names_agent_cluster_role_and_version)
{
    start();
    json_t *v = call("GET", "/api/v1/status", NULL, 200);
    EXPECT_STR(text_of(v, "name"), "alpha");
    EXPECT_STR(text_of(v, "role"), "leader");
    EXPECT_STR(text_of(v, "version"), SHOAL_VERSION);
    EXPECT_STR(text_of(json_object_get(v, "leader"), "name"), "alpha");
    EXPECT_EQ(strlen(text_of(v, "cluster")), 32);
    EXPECT_EQ(json_array_size(json_object_get(v, "running")), 0);
    json_decref(v);
    uint64_t id = submit(TRAIN);
    (void)submit(TRAIN); /* waits */
    (void)memory_service_place(service, id);
    v = call("GET", "/api/v1/status", NULL, 200);
    const json_t *running = json_object_get(v, "running");
    EXPECT_EQ(json_array_size(running), 1);
    EXPECT_EQ(number_of(json_array_get(running, 0), "id"), (long long)id);
    EXPECT_EQ(number_of(json_array_get(running, 0), "percent"), 0);
    json_decref(v);
    stop();
}

TEST(nodes_are_listed_and_found_by_name_and_id)
{
    start();
    json_t *v = call("GET", "/api/v1/nodes", NULL, 200);
    const json_t *node = json_array_get(json_object_get(v, "nodes"), 0);
    EXPECT_STR(text_of(node, "liveness"), "alive");
    EXPECT_EQ(number_of(node, "cpus"), 2);
    char path[128];
    (void)snprintf(path, sizeof path, "/api/v1/nodes/%s", text_of(node, "id"));
    json_decref(v);
    v = call("GET", path, NULL, 200);
    EXPECT_STR(text_of(v, "name"), "alpha");
    json_decref(v);
    json_decref(call("GET", "/api/v1/nodes/alpha", NULL, 200));
    json_decref(call("GET", "/api/v1/nodes/beta", NULL, 404));
    stop();
}

TEST(a_backup_answers_what_it_holds_or_why_there_is_none)
{
    start();
    json_t *v = call("POST", "/api/v1/backup", "{\"dir\":\"/new\"}", 201);
    EXPECT_EQ(json_integer_value(json_object_get(v, "index")), 7);
    json_decref(v);
    v = call("POST", "/api/v1/backup", "{\"dir\":\"/full\"}", 409);
    EXPECT_STR(text_of(json_object_get(v, "error"), "message"), "/full is not empty");
    json_decref(v);
    json_decref(call("POST", "/api/v1/backup", "{}", 400));
    json_decref(call("POST", "/api/v1/backup", "[", 400));
    stop();
}

TEST(every_route_of_the_table_answers_json_and_no_other_path_does)
{
    start();
    json_t *v = call("GET", "/api/v1", NULL, 200);
    size_t count = json_array_size(json_object_get(v, "routes"));
    EXPECT_EQ(count, 44);
    for (size_t i = 0; i < count; i++) {
        const json_t *route = json_array_get(json_object_get(v, "routes"), i);
        EXPECT(strlen(text_of(route, "summary")) > 5);
    }
    json_decref(v);
    v = call("GET", "/api/v1/nothing", NULL, 404);
    EXPECT_STR(text_of(json_object_get(v, "error"), "code"), "NOT_FOUND");
    json_decref(v);
    json_decref(call("GET", "/", NULL, 404));
    json_decref(call("PUT", "/api/v1/jobs", "x", 405));
    stop();
}

TEST(a_submitted_job_is_committed_when_the_answer_comes)
{
    start();
    uint64_t id = submit(NOOP);
    char path[64];
    (void)snprintf(path, sizeof path, "/api/v1/jobs/%llu", (unsigned long long)id);
    json_t *v = call("GET", path, NULL, 200);
    EXPECT_STR(text_of(v, "state"), "waiting");
    EXPECT_EQ(number_of(v, "units"), 2);
    EXPECT_EQ(json_array_size(json_object_get(v, "unit_list")), 2);
    EXPECT_STR(text_of(json_object_get(v, "spec"), "name"), "n");
    json_decref(v);
    v = call("GET", "/api/v1/jobs/n", NULL, 200);
    EXPECT_EQ(number_of(v, "id"), (long long)id);
    json_decref(v);
    stop();
}

/* Every member of the row but the count of its history, which begins with the submission. */
TEST(a_submission_answers_the_row_that_is_shown_afterwards)
{
    start();
    json_t *answer = call("POST", "/api/v1/jobs?owner=me", NOOP, 201);
    char path[64];
    (void)snprintf(path, sizeof path, "/api/v1/jobs/%lld", number_of(answer, "id"));
    json_t *shown = call("GET", path, NULL, 200);
    EXPECT(json_is_false(json_object_get(answer, "duplicate")));
    EXPECT_STR(text_of(answer, "owner"), "me");
    EXPECT_EQ(json_object_size(answer), 19);
    EXPECT(json_object_del(answer, "duplicate") == 0);
    EXPECT(json_object_del(answer, "events") == 0);
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(answer, key, value)
    {
        if (!json_equal(value, json_object_get(shown, key))) {
            tst_fail(__FILE__, __LINE__, "%s differs", key);
        }
    }
    json_decref(answer);
    json_decref(shown);
    stop();
}

TEST(yaml_and_json_of_the_same_job_have_the_same_digest)
{
    start();
    json_t *a = call("POST", "/api/v1/jobs", NOOP, 201);
    json_t *b = call("POST", "/api/v1/jobs",
                     "{\"units\":2,\"name\":\"n\",\"kind\":\"noop\",\"api\":\"shoal/v1\"}", 201);
    EXPECT_STR(text_of(a, "spec_digest"), text_of(b, "spec_digest"));
    EXPECT(number_of(a, "id") != number_of(b, "id"));
    json_decref(a);
    json_decref(b);
    stop();
}

TEST(the_same_idempotency_key_gives_the_same_job_and_another_file_is_refused)
{
    start();
    struct cli_call c = {.method = "POST",
                         .path = "/api/v1/jobs",
                         .body = NOOP,
                         .size = strlen(NOOP),
                         .key = "k-1",
                         .timeout_s = 20};
    json_t *a = call_with(&c, 201);
    json_t *b = call_with(&c, 200);
    EXPECT_EQ(number_of(a, "id"), number_of(b, "id"));
    EXPECT(json_is_true(json_object_get(b, "duplicate")));
    c.body = TRAIN;
    c.size = strlen(TRAIN);
    json_t *e = call_with(&c, 409);
    EXPECT_STR(text_of(json_object_get(e, "error"), "code"), "EXISTS");
    EXPECT_STR(text_of(json_object_get(e, "error"), "value"), "k-1");
    json_decref(a);
    json_decref(b);
    json_decref(e);
    stop();
}

static const struct {
    const char *body;
    unsigned status;
    const char *code;
    const char *field;
} BAD_JOBS[] = {
    {"", 400, "INVALID", ""},
    {"api: shoal/v1\nkind: noop\nname: n\nunits: many\n", 400, "INVALID", "units"},
    {"api: shoal/v1\nkind: train\nname: t\ndata: {train: ./here}\n"
     "model: {input: [4], layers: [{dense: 3}]}\n",
     400, "INVALID", "data.train"},
    {"api: shoal/v1\nkind: train\nname: t\ndata: {train: dataset:none}\n"
     "model: {input: [4], layers: [{dense: 3}]}\n",
     404, "NOT_FOUND", "data.train"},
    {"api: shoal/v1\nkind: train\nname: t\ndata: {train: "
     "files:0000000000000000000000000000000000000000000000000000000000000000}\n"
     "model: {input: [4], layers: [{dense: 3}]}\n",
     404, "NOT_FOUND", "data.train"},
};

TEST_ROWS(a_job_that_cannot_run_is_refused_naming_the_field, BAD_JOBS)
{
    start();
    json_t *v = call("POST", "/api/v1/jobs", BAD_JOBS[tst_row].body, BAD_JOBS[tst_row].status);
    const json_t *error = json_object_get(v, "error");
    EXPECT_STR(text_of(error, "code"), BAD_JOBS[tst_row].code);
    EXPECT_STR(text_of(error, "field"), BAD_JOBS[tst_row].field);
    json_decref(v);
    v = call("GET", "/api/v1/jobs", NULL, 200);
    EXPECT_EQ(json_array_size(json_object_get(v, "jobs")), 0);
    json_decref(v);
    stop();
}

TEST(an_uploaded_blob_can_be_named_by_a_job)
{
    start();
    json_t *v = call("PUT", "/api/v1/blobs", "some bytes", 201);
    EXPECT_EQ(number_of(v, "size"), 10);
    char body[512];
    (void)snprintf(body, sizeof body,
                   "api: shoal/v1\nkind: train\nname: t\ndata: {train: files:%s}\n"
                   "model: {input: [4], layers: [{dense: 3}]}\n",
                   text_of(v, "digest"));
    json_decref(v);
    (void)submit(body);
    stop();
}

TEST(a_full_disk_answers_507)
{
    start();
    memory_service_blob_error(service, SH_ERR_NO_SPACE);
    json_t *v = call("PUT", "/api/v1/blobs", "some bytes", 507);
    EXPECT_STR(text_of(json_object_get(v, "error"), "code"), "NO_SPACE");
    json_decref(v);
    stop();
}

TEST(without_a_quorum_writes_and_reads_name_it_and_stale_reads_go_on)
{
    start();
    uint64_t id = submit(NOOP);
    memory_service_quorum(service, false);
    json_t *v = call("POST", "/api/v1/jobs", NOOP, 503);
    const json_t *error = json_object_get(v, "error");
    EXPECT_STR(text_of(error, "code"), "NO_QUORUM");
    EXPECT(strstr(text_of(error, "message"), "majority of the voters") != NULL);
    json_decref(v);
    static const char *const READS[] = {"/api/v1/jobs",        "/api/v1/jobs/n",
                                        "/api/v1/jobs/n/logs", "/api/v1/jobs/n/events",
                                        "/api/v1/models",      "/api/v1/datasets"};
    for (size_t i = 0; i < SH_COUNT(READS); i++) {
        v = call("GET", READS[i], NULL, 503);
        EXPECT_STR(text_of(json_object_get(v, "error"), "code"), "NO_QUORUM");
        EXPECT(strstr(text_of(json_object_get(v, "error"), "message"), "?stale=1") != NULL);
        json_decref(v);
    }
    json_decref(call("GET", "/api/v1/status", NULL, 200));
    json_decref(call("GET", "/api/v1/nodes", NULL, 200));
    v = call("GET", "/api/v1/jobs?stale=1", NULL, 200);
    EXPECT_EQ(json_array_size(json_object_get(v, "jobs")), 1);
    EXPECT_EQ(number_of(json_array_get(json_object_get(v, "jobs"), 0), "id"), (long long)id);
    EXPECT_EQ(number_of(json_object_get(v, "stale"), "index"), (long long)id);
    EXPECT(json_is_null(json_object_get(json_object_get(v, "stale"), "age_us")));
    json_decref(v);
    memory_service_quorum(service, true);
    v = call("GET", "/api/v1/jobs?stale=1", NULL, 200);
    EXPECT_EQ(number_of(json_object_get(v, "stale"), "age_us"), 0);
    json_decref(v);
    v = call("GET", "/api/v1/jobs?stale=0", NULL, 200);
    EXPECT(json_object_get(v, "stale") == NULL);
    json_decref(v);
    stop();
}

TEST(jobs_are_paged_and_filtered_by_state)
{
    start();
    for (int i = 0; i < 5; i++) {
        (void)submit(NOOP);
    }
    uint64_t train = submit(TRAIN);
    (void)memory_service_place(service, train);
    json_t *v = call("GET", "/api/v1/jobs?limit=4", NULL, 200);
    EXPECT_EQ(json_array_size(json_object_get(v, "jobs")), 4);
    char path[64];
    (void)snprintf(path, sizeof path, "/api/v1/jobs?limit=4&before=%lld", number_of(v, "next"));
    json_decref(v);
    v = call("GET", path, NULL, 200);
    EXPECT_EQ(json_array_size(json_object_get(v, "jobs")), 2);
    EXPECT_EQ(number_of(v, "next"), 0);
    json_decref(v);
    v = call("GET", "/api/v1/jobs?state=running,stopping", NULL, 200);
    EXPECT_EQ(json_array_size(json_object_get(v, "jobs")), 1);
    EXPECT_STR(text_of(json_array_get(json_object_get(v, "jobs"), 0), "name"), "t");
    json_decref(v);
    json_decref(call("GET", "/api/v1/jobs?state=asleep", NULL, 400));
    json_decref(call("GET", "/api/v1/jobs?limit=0", NULL, 400));
    stop();
}

/* What a path of the job answers to a call, and the message where it is refused. */
static json_t *ask_job(const char *method, uint64_t id, const char *what, const char *body,
                       unsigned status)
{
    char path[96];
    (void)snprintf(path, sizeof path, "/api/v1/jobs/%llu%s", (unsigned long long)id, what);
    return call(method, path, body, status);
}

static void expect_refused(json_t *answer, const char *field, const char *message)
{
    const json_t *error = json_object_get(answer, "error");
    EXPECT_STR(text_of(error, "field"), field);
    EXPECT_STR(text_of(error, "message"), message);
    json_decref(answer);
}

TEST(a_job_is_paused_and_resumed_and_its_state_says_what_else_it_takes)
{
    start();
    uint64_t id = submit(NOOP);
    expect_refused(ask_job("POST", id, "/resume", NULL, 409), "job",
                   "the job is waiting: only one that is pausing or paused can be resumed");
    json_t *v = ask_job("POST", id, "/pause", NULL, 202);
    EXPECT_STR(text_of(v, "state"), "paused");
    EXPECT_EQ(number_of(v, "units_without_checkpoint"), 0);
    json_decref(v);
    json_decref(ask_job("POST", id, "/pause", "{\"now\":true}", 202)); /* as it is */
    expect_refused(ask_job("POST", id, "/pause", "{\"now\":1}", 400), "now",
                   "must be true or false");
    expect_refused(ask_job("POST", id, "/pause", "{\"when\":1}", 400), "when",
                   "no such field; there is: now");
    expect_refused(ask_job("POST", id, "/pause", "[]", 400), "body", "must be a JSON object");
    v = ask_job("GET", id, "/why", NULL, 200);
    EXPECT_STR(json_string_value(json_array_get(json_object_get(v, "lines"), 0)),
               "the job: is paused until somebody resumes it (shoal resume)");
    json_decref(v);
    v = ask_job("POST", id, "/resume", NULL, 202);
    EXPECT_STR(text_of(v, "state"), "waiting");
    json_decref(v);
    json_decref(ask_job("POST", id, "/stop", NULL, 202));
    expect_refused(
        ask_job("POST", id, "/pause", NULL, 409), "job",
        "the job is stopped: only one that is waiting, running or pausing can be paused");
    json_decref(ask_job("POST", 999, "/pause", NULL, 404));
    json_decref(ask_job("POST", 999, "/resume", NULL, 404));
    stop();
}

TEST(replicas_and_priority_of_a_job_can_be_changed)
{
    start();
    uint64_t id = submit(NOOP);
    json_t *v = ask_job("PATCH", id, "", "{\"replicas\":7,\"priority\":80}", 202);
    EXPECT_EQ(number_of(v, "replicas"), 7);
    EXPECT_EQ(number_of(v, "units"), 7);
    EXPECT_EQ(number_of(v, "priority"), 80);
    json_decref(v);
    v = ask_job("PATCH", id, "", "{\"replicas\":1}", 202);
    EXPECT_EQ(number_of(v, "replicas"), 1);
    EXPECT_EQ(number_of(v, "units"), 7); /* six of them stopped */
    EXPECT_EQ(number_of(v, "priority"), 80);
    json_decref(v);
    expect_refused(ask_job("PATCH", id, "", "{\"replicas\":0}", 400), "replicas",
                   "must be a whole number from 1 to 10000");
    expect_refused(ask_job("PATCH", id, "", "{\"priority\":\"high\"}", 400), "priority",
                   "must be a whole number from 0 to 100");
    expect_refused(ask_job("PATCH", id, "", "{}", 400), "body", "must have replicas or priority");
    expect_refused(ask_job("PATCH", id, "", "{\"name\":\"x\"}", 400), "name",
                   "no such field; there is: replicas, priority");
    v = ask_job("GET", id, "/checkpoints", NULL, 200);
    EXPECT_EQ(json_array_size(json_object_get(v, "checkpoints")), 0);
    json_decref(v);
    json_decref(ask_job("POST", id, "/stop", NULL, 202));
    expect_refused(ask_job("PATCH", id, "", "{\"replicas\":2}", 409), "job",
                   "the job is stopped: only one that is waiting, running, pausing or paused, or, "
                   "for more replicas, completed can be changed");
    json_decref(ask_job("PATCH", 999, "", "{\"replicas\":2}", 404));
    stop();
}

TEST(a_job_can_be_stopped_once)
{
    start();
    uint64_t id = submit(NOOP);
    char path[64];
    (void)snprintf(path, sizeof path, "/api/v1/jobs/%llu/stop", (unsigned long long)id);
    json_t *v = call("POST", path, NULL, 202);
    EXPECT_STR(text_of(v, "state"), "stopped");
    json_decref(v);
    json_decref(call("POST", "/api/v1/jobs/999/stop", NULL, 404));
    stop();
}

TEST(why_gives_one_line_an_agent)
{
    start();
    uint64_t id = submit(NOOP);
    memory_service_why(service, "waits: no agent fits\nalpha: has too few free cores\n");
    char path[64];
    (void)snprintf(path, sizeof path, "/api/v1/jobs/%llu/why", (unsigned long long)id);
    json_t *v = call("GET", path, NULL, 200);
    const json_t *lines = json_object_get(v, "lines");
    EXPECT_EQ(json_array_size(lines), 2);
    EXPECT_STR(json_string_value(json_array_get(lines, 1)), "alpha: has too few free cores");
    json_decref(v);
    stop();
}

static void add_points(uint64_t job)
{
    static const struct service_point LOSS[] = {{1, 100, 2.5}, {2, 200, 1.5}, {3, 300, 0.25}};
    static const struct service_point VAL[] = {{2, 250, 0.75}};
    memory_service_points(service, job, "loss", LOSS, 3);
    memory_service_points(service, job, "val_accuracy", VAL, 1);
    static const struct service_log_line LINES[] = {
        {.own = true, .text = "epoch 1 begins"},
        {.generation = 4, .unit = 3, .text = "epoch 2 begins"}};
    service_log_append(service, job, LINES, 2);
}

TEST(metrics_come_as_json_and_as_one_csv_row_a_step)
{
    start();
    uint64_t id = submit(TRAIN);
    add_points(id);
    json_t *v = call("GET", "/api/v1/jobs/t/metrics?from=2", NULL, 200);
    const json_t *loss = json_object_get(json_object_get(v, "series"), "loss");
    EXPECT_EQ(json_array_size(loss), 2);
    EXPECT_EQ(json_integer_value(json_array_get(json_array_get(loss, 0), 0)), 2);
    EXPECT_NEAR(json_number_value(json_array_get(json_array_get(loss, 1), 1)), 0.25, 1e-12);
    json_decref(v);
    struct cli_call c = {
        .method = "GET", .path = "/api/v1/jobs/t/metrics?format=csv", .timeout_s = 20};
    struct cli_answer answer;
    cli_http_call(http, &c, &answer);
    EXPECT_EQ(answer.status, 200);
    EXPECT_STR(answer.body, "step,loss,val_accuracy\n1,2.5,\n2,1.5,0.75\n3,0.25,\n");
    free(answer.body);
    json_decref(call("GET", "/api/v1/jobs/t/metrics?name=speed", NULL, 404));
    stop();
}

TEST(log_lines_come_from_a_number_on)
{
    start();
    uint64_t id = submit(TRAIN);
    add_points(id);
    json_t *v = call("GET", "/api/v1/jobs/t/logs?from=1", NULL, 200);
    const json_t *lines = json_object_get(v, "lines");
    EXPECT_EQ(json_array_size(lines), 1);
    EXPECT_STR(text_of(json_array_get(lines, 0), "text"), "epoch 2 begins");
    EXPECT_EQ(number_of(v, "next"), 2);
    EXPECT_EQ(number_of(json_array_get(lines, 0), "unit"), 3);
    EXPECT_EQ(number_of(json_array_get(lines, 0), "generation"), 4);
    json_decref(v);
    v = call("GET", "/api/v1/jobs/t/logs?tail=1&unit=0", NULL, 200);
    lines = json_object_get(v, "lines");
    EXPECT_EQ(json_array_size(lines), 1);
    EXPECT_STR(text_of(json_array_get(lines, 0), "text"), "epoch 1 begins");
    json_decref(v);
    json_decref(call("GET", "/api/v1/jobs/t/logs?tail=0", NULL, 400));
    json_decref(call("GET", "/api/v1/jobs/t/logs?unit=x", NULL, 400));
    json_decref(call("GET", "/api/v1/jobs/t/logs?generation=x", NULL, 400));
    stop();
}

TEST(outputs_are_those_of_a_unit_of_a_script)
{
    start();
    (void)submit(TRAIN);
    json_t *v = call("GET", "/api/v1/jobs/t/units/0/outputs", NULL, 404);
    EXPECT(strstr(text_of(json_object_get(v, "error"), "message"), "left no outputs") != NULL);
    json_decref(v);
    json_decref(call("GET", "/api/v1/jobs/t/units/1/outputs", NULL, 404));
    json_decref(call("GET", "/api/v1/jobs/t/units/x/outputs", NULL, 404));
    json_decref(call("GET", "/api/v1/jobs/none/units/0/outputs", NULL, 404));
    stop();
}

struct seen {
    unsigned states;
    unsigned metrics;
    unsigned logs;
    unsigned history;
    bool ended;
    char last_state[16];
    uint64_t job;
    struct wire_fence fence;
};

static bool on_event(void *ctx, const char *type, const char *data)
{
    struct seen *seen = ctx;
    json_t *value = json_loads(data, JSON_REJECT_DUPLICATES, NULL);
    EXPECT(value != NULL);
    if (strcmp(type, "state") == 0) {
        seen->states++;
        (void)snprintf(seen->last_state, sizeof seen->last_state, "%s", text_of(value, "state"));
    }
    seen->history += strcmp(type, "event") == 0 ? 1 : 0;
    seen->logs += strcmp(type, "log") == 0 ? 1 : 0;
    if (strcmp(type, "metric") == 0) {
        seen->metrics++;
        if (seen->metrics == 4) {
            memory_service_commit(service, seen->job, seen->fence, "model", 5);
        }
    }
    seen->ended = strcmp(type, "end") == 0;
    json_decref(value);
    return !seen->ended;
}

TEST(the_event_stream_tells_points_lines_history_and_states_until_the_job_ends)
{
    start();
    struct seen seen = {.job = submit(TRAIN)};
    seen.fence = memory_service_place(service, seen.job);
    add_points(seen.job);
    struct cli_answer answer;
    EXPECT(cli_http_stream(http, "/api/v1/jobs/t/events", 5, on_event, NULL, &seen, &answer) ==
           CLI_STREAM_DONE);
    EXPECT_EQ(seen.metrics, 4);
    EXPECT_EQ(seen.logs, 2);
    EXPECT_EQ(seen.history, 3);
    EXPECT(seen.states >= 2);
    EXPECT_STR(seen.last_state, "completed");
    stop();
}

TEST(a_stream_resumed_from_an_id_tells_only_what_came_after)
{
    start();
    struct seen seen = {.job = submit(TRAIN)};
    seen.fence = memory_service_place(service, seen.job);
    add_points(seen.job);
    memory_service_commit(service, seen.job, seen.fence, "model", 5);
    struct cli_answer answer;
    EXPECT(cli_http_stream(http, "/api/v1/jobs/t/events?since=3-3-1", 5, on_event, NULL, &seen,
                           &answer) == CLI_STREAM_DONE);
    EXPECT_EQ(seen.metrics, 1);
    EXPECT_EQ(seen.logs, 1);
    EXPECT_EQ(seen.history, 0);
    json_decref(call("GET", "/api/v1/jobs/t/events?since=yesterday", NULL, 400));
    stop();
}

TEST(a_node_local_data_set_is_declared_by_the_agent_that_has_it)
{
    start();
    char path[512];
    (void)snprintf(path, sizeof path, "%s/table.csv", tst_dir());
    FILE *file = fopen(path, "w");
    EXPECT(file != NULL);
    EXPECT(fputs("1,2,a\n3,4,b\n", file) >= 0);
    EXPECT(fclose(file) == 0);
    char body[640];
    (void)snprintf(body, sizeof body, "{\"name\":\"mine\",\"path\":\"%s\"}", path);
    json_t *v = call("POST", "/api/v1/datasets", body, 201);
    EXPECT_STR(text_of(v, "name"), "mine");
    EXPECT_EQ(json_array_size(json_object_get(v, "holders")), 1);
    json_decref(v);
    v = call("GET", "/api/v1/datasets", NULL, 200);
    EXPECT_EQ(json_array_size(json_object_get(v, "datasets")), 1);
    json_decref(v);
    char kept[512];
    EXPECT(service_dataset_path(service, "mine", kept, sizeof kept) == SH_OK);
    EXPECT_STR(kept, path);
    (void)submit("api: shoal/v1\nkind: train\nname: t\ndata: {train: dataset:mine}\n"
                 "model: {input: [2], layers: [{dense: 2}]}\n");
    json_decref(call("POST", "/api/v1/datasets", "{\"name\":\"x\",\"path\":\"/none\"}", 404));
    json_decref(call("POST", "/api/v1/datasets", "{\"name\":\"x\",\"path\":\"here\"}", 400));
    json_decref(call("POST", "/api/v1/datasets",
                     "{\"name\":\"x\",\"path\":\"/none\",\"node\":\"beta\"}", 404));
    stop();
}

TEST(validate_answers_the_layer_table_and_submits_nothing)
{
    start();
    json_t *v = call("POST", "/api/v1/validate", TRAIN, 200);
    EXPECT_EQ(number_of(json_object_get(v, "model"), "params"), 7850);
    EXPECT_EQ(strlen(text_of(v, "spec_digest")), 64);
    json_decref(v);
    v = call("GET", "/api/v1/jobs", NULL, 200);
    EXPECT_EQ(json_array_size(json_object_get(v, "jobs")), 0);
    json_decref(v);
    stop();
}

/* Sends raw bytes and gives the first line of the answer. */
static void raw(const char *request, char *line, size_t size)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(api_port(api))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT(connect(fd, (struct sockaddr *)(void *)&to, sizeof to) == 0);
    EXPECT(send(fd, request, strlen(request), MSG_NOSIGNAL) == (ssize_t)strlen(request));
    ssize_t n = recv(fd, line, size - 1, 0);
    EXPECT(n > 0);
    line[n] = '\0';
    line[strcspn(line, "\r\n")] = '\0';
    (void)close(fd);
}

static const struct {
    const char *request;
    const char *line;
} RAW[] = {
    {"GET /api/v1/status HTTP/1.1\r\nHost: evil.example\r\n\r\n", "HTTP/1.1 403 Forbidden"},
    {"GET /api/v1/status HTTP/1.1\r\nHost: localhost:8711\r\n\r\n", "HTTP/1.1 200 OK"},
    {"GET /api/v1/status HTTP/1.1\r\nHost: [::1]:8711\r\n\r\n", "HTTP/1.1 200 OK"},
    {"POST /api/v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://evil.example\r\n"
     "Content-Length: 0\r\n\r\n",
     "HTTP/1.1 403 Forbidden"},
    {"GET /api/v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://127.0.0.1\r\n\r\n",
     "HTTP/1.1 200 OK"},
    {"POST /api/v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999\r\n\r\n",
     "HTTP/1.1 413 Content Too Large"},
    {"GET /api/v1/jobs/../../etc HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "HTTP/1.1 404 Not Found"},
};

TEST_ROWS(foreign_pages_and_oversized_bodies_are_refused_before_anything_is_done, RAW)
{
    start();
    char line[512];
    raw(RAW[tst_row].request, line, sizeof line);
    EXPECT_STR(line, RAW[tst_row].line);
    stop();
}

static const struct {
    size_t bytes;
    const char *line;
} HEADS[] = {{7u << 10, "HTTP/1.1 200 OK"},
             {API_CONNECTION_BYTES * 2, "HTTP/1.1 431 Request Header Fields Too Large"}};

TEST_ROWS(a_long_head_is_read_and_one_beyond_the_limit_refused, HEADS)
{
    start();
    char line[512];
    static char request[API_CONNECTION_BYTES * 3];
    int n = snprintf(request, sizeof request,
                     "GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\nCookie: %0*d\r\n\r\n",
                     (int)HEADS[tst_row].bytes, 7);
    EXPECT((size_t)n < sizeof request);
    raw(request, line, sizeof line);
    EXPECT_STR(line, HEADS[tst_row].line);
    stop();
}

TEST(an_api_that_others_can_reach_needs_a_token)
{
    char why[256] = "";
    char token[512];
    struct api_config config = {.listen = "0.0.0.0:0"};
    sh_host_init();
    service = memory_service_open();
    EXPECT(api_start(&config, service, &api, why, sizeof why) == SH_ERR_DENIED);
    EXPECT(strstr(why, "--api-token") != NULL);
    (void)snprintf(token, sizeof token, "%s/token", tst_dir());
    FILE *file = fopen(token, "w");
    EXPECT(file != NULL);
    EXPECT(fputs("0123456789abcdef\n", file) >= 0);
    EXPECT(fclose(file) == 0);
    config.token_file = token;
    EXPECT(api_start(&config, service, &api, why, sizeof why) == SH_OK);
    struct cli_peers peers = {.count = 1};
    (void)snprintf(peers.at[0], sizeof peers.at[0], "127.0.0.1:%u", api_port(api));
    http = cli_http_open(&peers);
    json_decref(call("GET", "/api/v1/status", NULL, 401));
    cli_http_close(http);
    (void)snprintf(peers.token, sizeof peers.token, "0123456789abcdee");
    http = cli_http_open(&peers);
    json_decref(call("GET", "/api/v1/status", NULL, 401));
    cli_http_close(http);
    (void)snprintf(peers.token, sizeof peers.token, "0123456789abcdef");
    http = cli_http_open(&peers);
    json_decref(call("GET", "/api/v1/status", NULL, 200));
    stop();
}

TEST(a_port_in_use_is_named)
{
    start();
    struct api *second = NULL;
    char why[256] = "";
    char listen[32];
    char expected[128];
    (void)snprintf(listen, sizeof listen, "127.0.0.1:%u", api_port(api));
    struct api_config config = {.listen = listen};
    EXPECT(api_start(&config, service, &second, why, sizeof why) == SH_ERR_IN_USE);
    (void)snprintf(expected, sizeof expected, "api %s: in use by another process", listen);
    EXPECT_STR(why, expected);
    stop();
}

static void *submit_many(void *ctx)
{
    (void)ctx;
    struct cli_peers peers = {.count = 1};
    (void)snprintf(peers.at[0], sizeof peers.at[0], "127.0.0.1:%u", api_port(api));
    struct cli_http *mine = cli_http_open(&peers);
    EXPECT(mine != NULL);
    for (int i = 0; i < 20; i++) {
        struct cli_call c = {.method = "POST",
                             .path = "/api/v1/jobs",
                             .body = NOOP,
                             .size = strlen(NOOP),
                             .timeout_s = 20};
        struct cli_answer answer;
        cli_http_call(mine, &c, &answer);
        EXPECT_EQ(answer.status, 201);
        free(answer.body);
    }
    cli_http_close(mine);
    return NULL;
}

TEST(many_clients_at_once_lose_nothing)
{
    start();
    pthread_t threads[8];
    for (size_t i = 0; i < 8; i++) {
        EXPECT(pthread_create(&threads[i], NULL, submit_many, NULL) == 0);
    }
    for (size_t i = 0; i < 8; i++) {
        EXPECT(pthread_join(threads[i], NULL) == 0);
    }
    json_t *v = call("GET", "/api/v1/jobs?limit=500", NULL, 200);
    EXPECT_EQ(json_array_size(json_object_get(v, "jobs")), 160);
    json_decref(v);
    stop();
}

TEST(a_client_turns_to_the_next_peer_where_one_does_not_answer)
{
    start();
    struct cli_peers peers = {.count = 2};
    (void)snprintf(peers.at[0], sizeof peers.at[0], "127.0.0.1:1");
    (void)snprintf(peers.at[1], sizeof peers.at[1], "127.0.0.1:%u", api_port(api));
    cli_http_close(http);
    http = cli_http_open(&peers);
    json_decref(call("GET", "/api/v1/status", NULL, 200));
    stop();
}

TEST(a_client_without_any_peer_says_which_it_tried)
{
    struct cli_peers peers = {.count = 2, .at = {"127.0.0.1:1", "127.0.0.1:2"}};
    struct cli_call c = {.method = "GET", .path = "/api/v1/status", .timeout_s = 5};
    struct cli_answer answer;
    http = cli_http_open(&peers);
    cli_http_call(http, &c, &answer);
    EXPECT_EQ(answer.status, 0);
    EXPECT(strstr(answer.body, "127.0.0.1:1") != NULL);
    EXPECT(strstr(answer.body, "127.0.0.1:2") != NULL);
    free(answer.body);
    cli_http_close(http);
}
