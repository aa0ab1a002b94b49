/* SPDX-License-Identifier: Apache-2.0
 *
 * Models over HTTP, on the service in memory. */
#include "api_rig.h"
#include "tst.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TEST(a_finished_model_is_listed_and_its_file_comes_byte_for_byte)
{
    start();
    uint64_t id = submit(TRAIN);
    struct wire_fence fence = memory_service_place(service, id);
    char *bytes = malloc(300000);
    EXPECT(bytes != NULL);
    for (size_t i = 0; i < 300000; i++) {
        bytes[i] = (char)(i * 7 + i / 256);
    }
    memory_service_commit(service, id, fence, bytes, 300000);
    json_t *v = call("GET", "/api/v1/models", NULL, 200);
    EXPECT_EQ(json_array_size(json_object_get(v, "models")), 1);
    json_decref(v);
    v = call("GET", "/api/v1/models/t:1", NULL, 200);
    EXPECT_EQ(number_of(v, "job"), (long long)id);
    EXPECT_EQ(number_of(json_object_get(v, "metrics"), "test_correct"), 98);
    json_decref(v);
    struct cli_call c = {.method = "GET", .path = "/api/v1/models/t/file", .timeout_s = 20};
    struct cli_answer answer;
    cli_http_call(http, &c, &answer);
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.size, 300000);
    EXPECT_MEM(answer.body, bytes, 300000);
    free(answer.body);
    free(bytes);
    json_decref(call("GET", "/api/v1/models/t:2", NULL, 404));
    json_decref(call("GET", "/api/v1/models/none/file", NULL, 404));
    json_decref(call("GET", "/api/v1/models/t:x", NULL, 400));
    v = call("POST", "/api/v1/predict?model=t", "1,2,3\n", 400);
    EXPECT_STR(text_of(json_object_get(v, "error"), "field"), "model");
    json_decref(v);
    stop();
}

/* A version of t that was right so often, of 100. */
static void make_version(uint64_t test_correct, uint64_t test_total, double val_loss)
{
    const struct jobs_metrics measures = {.test_correct = test_correct,
                                          .test_total = test_total,
                                          .train_loss = 0.5,
                                          .val_loss = val_loss};
    memory_service_measures(service, &measures);
    uint64_t id = submit(TRAIN);
    memory_service_commit(service, id, memory_service_place(service, id), "file", 4);
}

static long long version_of(const char *name, unsigned status)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/api/v1/models/%s", name);
    json_t *v = call("GET", path, NULL, status);
    long long version = status == 200 ? number_of(v, "version") : 0;
    json_decref(v);
    return version;
}

#define ENSEMBLE                                                                                   \
    "api: shoal/v1\nkind: ensemble\nname: e\nmodels: [t@best, t@latest]\ninput: "                  \
    "builtin:digits-test\n"

/* The ensemble is made of these versions. */
static void expect_pair(const char *ensemble, long long first, long long second)
{
    char path[64];
    json_t *v = call("POST", "/api/v1/jobs", ensemble, 201);
    (void)snprintf(path, sizeof path, "/api/v1/jobs/%lld", number_of(v, "id"));
    json_decref(v);
    v = call("GET", path, NULL, 200);
    const json_t *models = json_object_get(json_object_get(v, "spec"), "models");
    EXPECT_EQ(json_array_size(models), 2);
    EXPECT_EQ(number_of(json_array_get(models, 0), "version"), first);
    EXPECT_EQ(number_of(json_array_get(models, 1), "version"), second);
    json_decref(v);
}

TEST(the_best_and_the_latest_version_of_a_model_can_be_asked_for)
{
    start();
    make_version(90, 100, 0.5);
    EXPECT_EQ(version_of("t@best", 200), 1);
    make_version(97, 100, 0.4);
    make_version(95, 100, 0.1);
    EXPECT_EQ(version_of("t@best", 200), 2);
    EXPECT_EQ(version_of("t@latest", 200), 3);
    EXPECT_EQ(version_of("t%40best", 200), 2);
    (void)version_of("t@worst", 400);
    (void)version_of("none@best", 404);
    expect_pair(ENSEMBLE, 2, 3);
    make_version(0, 0, 0.3); /* no test set: of the losses the least */
    EXPECT_EQ(version_of("t@best", 200), 3);
    make_version(0, 0, 0);
    (void)version_of("t@best", 400);
    EXPECT_EQ(version_of("t@latest", 200), 5);
    json_t *v = call("DELETE", "/api/v1/models/t@latest", NULL, 400);
    EXPECT(strstr(text_of(json_object_get(v, "error"), "message"), "NAME:VERSION") != NULL);
    json_decref(v);
    stop();
}

/* Of a job that was stopped: the best of all, if it counted. */
static void stop_version(void)
{
    const struct jobs_metrics measures = {.test_correct = 100, .test_total = 100};
    memory_service_measures(service, &measures);
    uint64_t id = submit(TRAIN);
    memory_service_stop(service, id, memory_service_place(service, id), "half", 4);
}

#define ENSEMBLE_OF_ALL                                                                            \
    "api: shoal/v1\nkind: ensemble\nname: e\nmodels: t\ninput: builtin:digits-test\n"

static void expect_refused(json_t *answer, const char *field)
{
    const json_t *error = json_object_get(answer, "error");
    EXPECT_STR(text_of(error, "field"), field);
    EXPECT_STR(text_of(error, "message"),
               "has only versions that were stopped early: 1, 2; name one, such as t:2");
    json_decref(answer);
}

TEST(what_a_stopped_job_left_is_meant_by_its_number_alone)
{
    start();
    stop_version();
    stop_version();
    expect_refused(call("GET", "/api/v1/models/t", NULL, 404), "model");
    expect_refused(call("GET", "/api/v1/models/t@best", NULL, 404), "model");
    expect_refused(call("POST", "/api/v1/jobs", ENSEMBLE, 404), "models");
    expect_refused(call("POST", "/api/v1/jobs", ENSEMBLE_OF_ALL, 404), "models");
    EXPECT_EQ(version_of("t:2", 200), 2);
    make_version(90, 100, 0.5);
    make_version(80, 100, 0.5);
    stop_version();
    EXPECT_EQ(version_of("t", 200), 4);
    EXPECT_EQ(version_of("t@latest", 200), 4);
    EXPECT_EQ(version_of("t@best", 200), 3);
    EXPECT_EQ(version_of("t:5", 200), 5);
    expect_pair(ENSEMBLE_OF_ALL, 3, 4);
    stop();
}

TEST(units_of_a_job_and_their_checkpoints_are_paged)
{
    static const char MANY[] = "api: shoal/v1\nkind: noop\nname: n\nunits: 600\n";
    static const char *const SUFFIXES[] = {"", "/checkpoints"};
    start();
    uint64_t id = submit(MANY);
    for (size_t i = 0; i < SH_COUNT(SUFFIXES); i++) {
        long long from = 0;
        long long seen = 0;
        uint32_t pages = 0;
        do {
            char path[128];
            (void)snprintf(path, sizeof path, "/api/v1/jobs/%llu%s?from=%lld",
                           (unsigned long long)id, SUFFIXES[i], from);
            json_t *v = call("GET", path, NULL, 200);
            const json_t *units = json_object_get(v, "unit_list");
            long long next = number_of(v, "next");
            long long behind = next > 0 ? next : 600;
            EXPECT_EQ(number_of(v, "left_off"), 600 - behind);
            if (units != NULL) {
                EXPECT_EQ((long long)json_array_size(units), behind - from);
                EXPECT_EQ(number_of(json_array_get(units, 0), "unit"), from);
            }
            seen += behind - from;
            from = next;
            pages++;
            json_decref(v);
        } while (from > 0);
        EXPECT_EQ(seen, 600);
        EXPECT_EQ(pages, 3);
    }
    char path[128];
    (void)snprintf(path, sizeof path, "/api/v1/jobs/%llu?limit=257", (unsigned long long)id);
    json_t *v = call("GET", path, NULL, 400);
    EXPECT_STR(text_of(json_object_get(v, "error"), "field"), "limit");
    json_decref(v);
    stop();
}
