/* SPDX-License-Identifier: Apache-2.0
 *
 * `shoal demo`: what this program promises, shown on one machine in about a minute. A job is
 * trained once by one agent alone. Then three agents find each other, the same job is submitted to
 * one that does not lead, the coordinator is killed in the middle of an epoch, a fourth agent
 * joins, and the model must come out with the same bytes. */
#include "agent.h"

#include "cli/exit.h"
#include "cli/http.h"
#include "cli/progress.h"
#include "demo_mesh.h"
#include "spec/json.h"

#include "base/host/host.h"

#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOURTH        "delta"
#define EPOCHS        40u
#define KILL_AT_EPOCH 10.5 /* in the middle of an epoch */
#define LINE_US       UINT64_C(2000000)
#define WAIT_US       UINT64_C(30000000)
#define LOST_S        20u

static const char JOB[] =
    "{\"api\":\"shoal/v1\",\"kind\":\"train\",\"name\":\"digits\","
    "\"data\":{\"train\":\"builtin:digits\",\"validation\":0.1,"
    "\"test\":\"builtin:digits-test\"},"
    "\"model\":{\"input\":[1,28,28],\"layers\":["
    "{\"conv2d\":{\"filters\":8,\"kernel\":5,\"padding\":\"same\"}},\"relu\","
    "{\"maxpool\":2},"
    "{\"conv2d\":{\"filters\":16,\"kernel\":5,\"padding\":\"same\"}},\"relu\","
    "{\"maxpool\":2},\"flatten\",{\"dense\":64},\"relu\",{\"dense\":10}]},"
    "\"train\":{\"optimizer\":{\"sgd\":{\"lr\":0.05,\"momentum\":0.9}},"
    "\"schedule\":\"linear\",\"batch\":256,\"ranks\":16,\"epochs\":40,"
    "\"seed\":1},"
    "\"resources\":{\"agents\":{\"min\":1,\"max\":8},\"cpus\":1},"
    "\"checkpoint\":{\"every_steps\":200,\"keep\":2}}";

struct outcome { /* of one run of the job */
    char model[2 * SH_DIGEST_BYTES + 1];
    char file[2 * SH_DIGEST_BYTES + 1];
    uint64_t correct;
    uint64_t total;
    uint64_t took_us;
};

enum phase { TRAINING, LEADERLESS, JOINING, GROWN };

struct demo {
    const struct demo_options *options;
    char dir[AGENT_PATH_MAX + 1];
    struct demo_mesh alone;
    struct demo_mesh mesh;
    struct cli_http *http;
    struct cli_progress *progress;
    uint64_t job;
    enum phase phase;
    uint64_t killed_us;
    uint64_t gap_us;
    char killed[SH_NAME_MAX + 1];
    bool fourth_worked;
    uint64_t line_us;
    bool on_line; /* the cursor stands behind a progress line */
};

/* ---- telling ---- */

static void say(struct demo *d, const char *format, ...) SH_PRINTF(2, 3);

static void say(struct demo *d, const char *format, ...)
{
    va_list args;
    if (d->on_line) {
        (void)putchar('\n');
        d->on_line = false;
    }
    va_start(args, format);
    (void)vprintf(format, args);
    va_end(args);
    (void)putchar('\n');
    (void)fflush(stdout);
}

static void show_line(struct demo *d, bool at_once)
{
    char line[CLI_PROGRESS_LINE];
    uint64_t now = sh_now_us();
    if (!d->options->terminal && !at_once && now - d->line_us < LINE_US) {
        return;
    }
    d->line_us = now;
    cli_progress_line(d->progress, line);
    if (d->options->terminal) {
        (void)printf("\r\033[K%s", line);
        d->on_line = true;
    } else {
        (void)printf("%s\n", line);
    }
    (void)fflush(stdout);
}

/* ---- asking ---- */

static struct cli_http *client(const struct demo_mesh *mesh)
{
    struct cli_peers peers = {0};
    for (size_t i = 0; i < mesh->count; i++) {
        if (mesh->agents[i].pid > 0) {
            (void)snprintf(peers.at[peers.count++], sizeof peers.at[0], "%s", mesh->agents[i].api);
        }
    }
    return cli_http_open(&peers);
}

/* The answer as JSON, or NULL when it is not a 2xx; given. */
static json_t *ask(struct cli_http *http, const char *method, const char *path, const char *body)
{
    struct cli_call call = {.method = method,
                            .path = path,
                            .body = body,
                            .size = body == NULL ? 0 : strlen(body),
                            .timeout_s = 20};
    struct cli_answer answer = {0};
    cli_http_call(http, &call, &answer);
    json_t *out = NULL;
    if (answer.status / 100 == 2) {
        out = json_loadb(answer.body, answer.size, 0, NULL);
    }
    free(answer.body);
    return out;
}

static json_t *ask_agent(const struct demo_agent *agent, const char *path)
{
    struct cli_peers peers = {.count = 1};
    (void)snprintf(peers.at[0], sizeof peers.at[0], "%s", agent->api);
    struct cli_http *http = cli_http_open(&peers);
    json_t *out = http == NULL ? NULL : ask(http, "GET", path, NULL);
    cli_http_close(http);
    return out;
}

/* Name of the coordinator as that agent sees it; empty when it knows none. */
static void leader_of(const struct demo_agent *agent, char *out, size_t size)
{
    json_t *status = ask_agent(agent, "/api/v1/status");
    const char *name =
        json_string_value(json_object_get(json_object_get(status, "leader"), "name"));
    (void)snprintf(out, size, "%s", name == NULL ? "" : name);
    json_decref(status);
}

static struct demo_agent *by_name(struct demo_mesh *mesh, const char *name)
{
    for (size_t i = 0; i < mesh->count; i++) {
        if (strcmp(mesh->agents[i].name, name) == 0) {
            return &mesh->agents[i];
        }
    }
    return NULL;
}

/* Voters and live agents as one agent sees them. */
static void count_nodes(const struct demo_agent *agent, size_t *alive, size_t *voters)
{
    json_t *nodes = ask_agent(agent, "/api/v1/nodes");
    size_t index;
    json_t *node;
    *alive = 0;
    *voters = 0;
    json_array_foreach(json_object_get(nodes, "nodes"), index, node)
    {
        const char *liveness = json_string_value(json_object_get(node, "liveness"));
        *alive += liveness != NULL && strcmp(liveness, "alive") == 0 ? 1 : 0;
        *voters += json_is_true(json_object_get(node, "voter")) ? 1 : 0;
    }
    json_decref(nodes);
}

/* Polls through the API, which is all a user has too. */
static void short_pause(void)
{
    (void)poll(NULL, 0, 50);
}

static bool wait_for_voters(const struct demo_agent *agent, size_t wanted)
{
    uint64_t deadline = sh_now_us() + WAIT_US;
    size_t alive = 0;
    size_t voters = 0;
    while (sh_now_us() < deadline) {
        count_nodes(agent, &alive, &voters);
        if (alive >= wanted && voters >= wanted) {
            return true;
        }
        short_pause();
    }
    return false;
}

/* ---- one run of the job ---- */

static uint64_t submit(struct cli_http *http, const char *key)
{
    struct cli_call call = {.method = "POST",
                            .path = "/api/v1/jobs",
                            .body = JOB,
                            .size = sizeof JOB - 1,
                            .key = key,
                            .timeout_s = 20};
    struct cli_answer answer = {0};
    cli_http_call(http, &call, &answer);
    json_t *job = json_loadb(answer.body == NULL ? "" : answer.body, answer.size, 0, NULL);
    json_int_t id = json_integer_value(json_object_get(job, "id"));
    if (answer.status / 100 != 2) {
        (void)fprintf(stderr, "submit: %s\n", answer.body == NULL ? "no answer" : answer.body);
        id = 0;
    }
    json_decref(job);
    free(answer.body);
    return (uint64_t)id;
}

static void copy_text(char *out, size_t size, const json_t *value)
{
    const char *text = json_string_value(value);
    (void)snprintf(out, size, "%s", text == NULL ? "" : text);
}

/* What the job left behind; false unless it completed. */
static bool read_outcome(struct demo *d, struct outcome *out)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/api/v1/jobs/%llu", (unsigned long long)d->job);
    json_t *job = ask(d->http, "GET", path, NULL);
    const char *state = json_string_value(json_object_get(job, "state"));
    bool completed = state != NULL && strcmp(state, "completed") == 0;
    json_t *unit = json_array_get(json_object_get(job, "unit_list"), 0);
    json_t *outcome = json_object_get(unit, "outcome");
    json_t *metrics = json_object_get(outcome, "metrics");
    copy_text(out->model, sizeof out->model, json_object_get(outcome, "model_digest"));
    copy_text(out->file, sizeof out->file, json_object_get(outcome, "file_digest"));
    out->correct = (uint64_t)json_integer_value(json_object_get(metrics, "test_correct"));
    out->total = (uint64_t)json_integer_value(json_object_get(metrics, "test_total"));
    if (!completed) {
        char *text = json_dumps(json_object_get(job, "failure"), JSON_ENCODE_ANY);
        say(d, "the job is %s %s", state == NULL ? "unknown" : state, text == NULL ? "" : text);
        free(text);
    }
    json_decref(job);
    return completed && out->model[0] != '\0';
}

static bool on_event(void *ctx, const char *type, const char *data)
{
    struct demo *d = ctx;
    cli_progress_event(d->progress, type, data);
    return strcmp(type, "end") != 0;
}

/* ---- the second run: what happens meanwhile ---- */

static struct demo_agent *survivor(struct demo *d)
{
    for (size_t i = 0; i < d->mesh.count; i++) {
        if (d->mesh.agents[i].pid > 0) {
            return &d->mesh.agents[i];
        }
    }
    return NULL;
}

static void kill_coordinator(struct demo *d)
{
    leader_of(survivor(d), d->killed, sizeof d->killed);
    struct demo_agent *leader = by_name(&d->mesh, d->killed);
    if (leader == NULL || leader->pid == 0) {
        return; /* none known at this moment: the next tick tries again */
    }
    show_line(d, true);
    say(d, "--- kill -9 of %s, the coordinator, at epoch %.2f", d->killed, d->progress->epoch);
    demo_agent_kill(leader);
    d->killed_us = sh_now_us();
    d->phase = LEADERLESS;
}

static void look_for_leader(struct demo *d)
{
    struct demo_agent *agent = survivor(d);
    json_t *status = ask_agent(agent, "/api/v1/status");
    const char *name =
        json_string_value(json_object_get(json_object_get(status, "leader"), "name"));
    if (name != NULL && strcmp(name, d->killed) != 0) {
        d->gap_us = (uint64_t)json_integer_value(json_object_get(status, "leaderless_us"));
        (void)snprintf(d->progress->leader, sizeof d->progress->leader, "%s", name);
        say(d, "--- %s coordinates now, after %.0f ms without one", name,
            (double)d->gap_us / 1000.0);
        d->phase = JOINING;
    }
    json_decref(status);
}

static void add_fourth(struct demo *d)
{
    char why[256];
    size_t at = (size_t)(survivor(d) - d->mesh.agents);
    if (demo_agent_start(&d->mesh, FOURTH, at, why) == SH_OK) {
        say(d, "--- %s, a fourth agent, joins", FOURTH);
    } else {
        say(d, "--- %s", why);
    }
    d->phase = GROWN;
}

/* Whether the fourth agent is a member of the gang. */
static void look_for_fourth(struct demo *d)
{
    char path[64];
    size_t index;
    json_t *member;
    (void)snprintf(path, sizeof path, "/api/v1/jobs/%llu", (unsigned long long)d->job);
    json_t *job = ask_agent(survivor(d), path);
    json_t *unit = json_array_get(json_object_get(job, "unit_list"), 0);
    json_array_foreach(json_object_get(unit, "members"), index, member)
    {
        const char *name = json_string_value(json_object_get(member, "name"));
        d->fourth_worked = d->fourth_worked || (name != NULL && strcmp(name, FOURTH) == 0);
    }
    if (d->fourth_worked) {
        show_line(d, true);
        say(d, "--- %s has ranks of its own now", FOURTH);
    }
    json_decref(job);
}

static bool on_tick(void *ctx)
{
    struct demo *d = ctx;
    if (d->progress->step > 0) {
        show_line(d, false);
    }
    if (d->mesh.count == 0) {
        return true; /* the undisturbed run */
    }
    if (d->phase == TRAINING && d->progress->epoch >= KILL_AT_EPOCH) {
        kill_coordinator(d);
    } else if (d->phase == LEADERLESS) {
        look_for_leader(d);
    } else if (d->phase == JOINING) {
        add_fourth(d);
    } else if (d->phase == GROWN && !d->fourth_worked) {
        look_for_fourth(d);
    }
    return true;
}

/* ---- the runs ---- */

static bool run_job(struct demo *d, struct outcome *out)
{
    char path[96];
    struct cli_answer answer = {0};
    uint64_t start = sh_now_us();
    char key[64];
    (void)snprintf(key, sizeof key, "demo-%llu", (unsigned long long)sh_random_u64());
    cli_progress_init(d->progress, EPOCHS);
    d->job = submit(d->http, key);
    if (d->job == 0) {
        return false;
    }
    (void)snprintf(path, sizeof path, "/api/v1/jobs/%llu/events", (unsigned long long)d->job);
    enum cli_stream_end end = cli_http_stream(d->http, path, LOST_S, on_event, on_tick, d, &answer);
    out->took_us = sh_now_us() - start;
    if (end != CLI_STREAM_DONE) {
        say(d, "the event stream ended: %s", answer.body == NULL ? "" : answer.body);
    } else {
        show_line(d, true);
    }
    free(answer.body);
    return end == CLI_STREAM_DONE && read_outcome(d, out);
}

static bool run_alone(struct demo *d, struct outcome *out)
{
    char why[256];
    say(d, "1. one agent alone, undisturbed");
    if (demo_agent_start(&d->alone, "alone", 0, why) != SH_OK) {
        say(d, "%s", why);
        return false;
    }
    d->http = client(&d->alone);
    bool ok = d->http != NULL && run_job(d, out);
    cli_http_close(d->http);
    d->http = NULL;
    demo_mesh_stop(&d->alone);
    if (ok) {
        say(d, "   test accuracy %.2f %%, %.1f s, model %.16s...",
            100.0 * (double)out->correct / (double)out->total, (double)out->took_us / 1e6,
            out->model);
    }
    return ok;
}

static bool start_three(struct demo *d)
{
    static const char *const NAMES[] = {"alpha", "beta", "gamma"};
    char why[256];
    for (size_t i = 0; i < SH_COUNT(NAMES); i++) {
        /* Each is told one address of one other. */
        if (demo_agent_start(&d->mesh, NAMES[i], i == 0 ? 0 : i - 1, why) != SH_OK) {
            say(d, "%s", why);
            return false;
        }
    }
    if (!wait_for_voters(&d->mesh.agents[0], SH_COUNT(NAMES))) {
        say(d, "the three agents did not become three voters in time");
        return false;
    }
    return true;
}

/* The API of an agent that follows comes first, so that the job is submitted there. */
static struct cli_http *follower_first(struct demo *d, char *follower, size_t size)
{
    struct cli_peers peers = {0};
    char leader[SH_NAME_MAX + 1];
    leader_of(&d->mesh.agents[0], leader, sizeof leader);
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < d->mesh.count; i++) {
            bool leads = strcmp(d->mesh.agents[i].name, leader) == 0;
            if (leads == (pass == 1)) {
                (void)snprintf(peers.at[peers.count++], sizeof peers.at[0], "%s",
                               d->mesh.agents[i].api);
                if (peers.count == 1) {
                    (void)snprintf(follower, size, "%s", d->mesh.agents[i].name);
                }
            }
        }
    }
    (void)snprintf(d->progress->leader, sizeof d->progress->leader, "%s", leader);
    return cli_http_open(&peers);
}

static bool fetch_model(struct demo *d, char *path, size_t size)
{
    (void)snprintf(path, size, "%s/model.safetensors", d->dir);
    FILE *file = fopen(path, "we");
    if (file == NULL) {
        say(d, "%s: %s", path, strerror(errno));
        return false;
    }
    struct cli_call call = {
        .method = "GET", .path = "/api/v1/models/digits/file", .timeout_s = 20, .save = file};
    struct cli_answer answer = {0};
    struct cli_http *http = client(&d->mesh);
    if (http != NULL) {
        cli_http_call(http, &call, &answer);
    }
    cli_http_close(http);
    free(answer.body);
    bool written = fclose(file) == 0;
    return written && answer.status == 200;
}

static bool run_mesh(struct demo *d, struct outcome *out, char *model_path, size_t size)
{
    char follower[SH_NAME_MAX + 1];
    say(d, "2. three agents, each told one address of one other");
    if (!start_three(d)) {
        return false;
    }
    d->http = follower_first(d, follower, sizeof follower);
    char leader[64];
    (void)snprintf(leader, sizeof leader, "%s", d->progress->leader);
    say(d, "   %s coordinates; the job goes to %s, which does not", leader, follower);
    bool ok = d->http != NULL && run_job(d, out);
    if (ok) {
        say(d, "   test accuracy %.2f %%, %.1f s, model %.16s...",
            100.0 * (double)out->correct / (double)out->total, (double)out->took_us / 1e6,
            out->model);
        (void)putchar('\n');
        cli_progress_plots(d->progress, stdout, 72, 8);
        ok = fetch_model(d, model_path, size);
    }
    cli_http_close(d->http);
    d->http = NULL;
    return ok;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

/* The agents' directories; the model and the journals stay. */
static void clean_up(struct demo *d)
{
    struct demo_mesh *meshes[] = {&d->alone, &d->mesh};
    for (size_t m = 0; m < 2 && !d->options->keep; m++) {
        for (size_t i = 0; i < meshes[m]->count; i++) {
            (void)nftw(meshes[m]->agents[i].dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
        }
    }
}

static bool conclude(struct demo *d, bool ok, const struct outcome *alone,
                     const struct outcome *mesh, const char *model_path)
{
    bool killed = ok && d->phase == GROWN;
    bool equal =
        ok && strcmp(alone->model, mesh->model) == 0 && strcmp(alone->file, mesh->file) == 0;
    if (ok) {
        say(d, "test accuracy   %.2f %% (%llu of %llu)",
            100.0 * (double)mesh->correct / (double)mesh->total, (unsigned long long)mesh->correct,
            (unsigned long long)mesh->total);
        say(d, "model           %s", model_path);
        say(d, "model digest    %s", mesh->model);
        say(d, "undisturbed     %s: %s", alone->model, equal ? "the same bytes" : "DIFFERENT");
        say(d, "coordinator     %s", killed ? "was killed and replaced" : "was NOT replaced");
        say(d, "fourth agent    %s", d->fourth_worked ? "took part" : "did NOT take part");
    }
    return equal && killed && d->fourth_worked;
}

static bool make_dirs(struct demo *d)
{
    if (d->options->dir[0] != '\0') {
        (void)snprintf(d->dir, sizeof d->dir, "%s", d->options->dir);
        if (mkdir(d->dir, 0700) != 0 && errno != EEXIST) {
            (void)fprintf(stderr, "shoal demo: %s: %s\n", d->dir, strerror(errno));
            return false;
        }
    } else {
        const char *tmp = getenv("TMPDIR");
        (void)snprintf(d->dir, sizeof d->dir, "%s/shoal-demo-XXXXXX", tmp == NULL ? "/tmp" : tmp);
        if (mkdtemp(d->dir) == NULL) {
            (void)fprintf(stderr, "shoal demo: %s: %s\n", d->dir, strerror(errno));
            return false;
        }
    }
    (void)snprintf(d->alone.dir, sizeof d->alone.dir, "%.1000s/undisturbed", d->dir);
    (void)snprintf(d->mesh.dir, sizeof d->mesh.dir, "%.1000s/mesh", d->dir);
    return (mkdir(d->alone.dir, 0700) == 0 || errno == EEXIST) &&
           (mkdir(d->mesh.dir, 0700) == 0 || errno == EEXIST);
}

int demo_main(const struct demo_options *options)
{
    struct demo *d = calloc(1, sizeof *d);
    struct outcome alone = {0};
    struct outcome mesh = {0};
    char model_path[AGENT_PATH_MAX + 64] = "";
    sh_host_init();
    if (d == NULL) {
        return CLI_INTERNAL;
    }
    d->options = options;
    d->progress = calloc(1, sizeof *d->progress);
    bool ok = d->progress != NULL && make_dirs(d) && run_alone(d, &alone);
    ok = ok && run_mesh(d, &mesh, model_path, sizeof model_path);
    bool held = conclude(d, ok, &alone, &mesh, model_path);
    demo_mesh_stop(&d->alone);
    demo_mesh_stop(&d->mesh);
    clean_up(d);
    say(d, held ? "all of it held" : "NOT all of it held (journals in %s)", d->dir);
    if (options->json) {
        (void)printf("{\"held\":%s,\"model_digest\":\"%s\",\"undisturbed_digest\":\"%s\","
                     "\"leaderless_ms\":%.1f,\"test_correct\":%llu,\"test_total\":%llu}\n",
                     held ? "true" : "false", mesh.model, alone.model, (double)d->gap_us / 1000.0,
                     (unsigned long long)mesh.correct, (unsigned long long)mesh.total);
    }
    free(d->progress);
    free(d);
    return held ? CLI_OK : CLI_INTERNAL;
}
