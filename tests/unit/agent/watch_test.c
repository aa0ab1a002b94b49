/* SPDX-License-Identifier: Apache-2.0
 *
 * GET /jobs?watch=1 over real sockets. */
#include "api_rig.h"
#include "tst.h"

#include "base/host/host.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct watched {
    uint64_t last; /* revision */
    unsigned changes;
    unsigned wanted;
    char ended[16]; /* type of the event that ended it */
    struct wire_fence fence;
};

static bool on_change(void *ctx, const char *type, const char *data)
{
    struct watched *w = ctx;
    json_t *value = json_loads(data, 0, NULL);
    EXPECT(value != NULL);
    if (strcmp(type, "change") == 0) {
        uint64_t revision = (uint64_t)number_of(value, "revision");
        EXPECT(revision > w->last);
        w->last = revision;
        w->changes++;
        EXPECT_STR(text_of(json_object_get(value, "job"), "name"), "t");
    } else if (strcmp(type, "revision") == 0) {
        w->last = (uint64_t)number_of(value, "revision");
    } else {
        (void)snprintf(w->ended, sizeof w->ended, "%s", type);
    }
    json_decref(value);
    return w->ended[0] == '\0' && w->changes < w->wanted;
}

static void watch_from(const char *from, struct watched *w)
{
    char path[96];
    struct cli_answer answer;
    (void)snprintf(path, sizeof path, "/api/v1/jobs?watch=1%s", from);
    EXPECT(cli_http_stream(http, path, 5, on_change, NULL, w, &answer) == CLI_STREAM_DONE);
}

TEST(a_watch_goes_on_from_the_revision_of_a_list_without_gap_or_repeat)
{
    char from[32];
    start();
    json_t *list = call("GET", "/api/v1/jobs", NULL, 200);
    (void)snprintf(from, sizeof from, "&from=%lld", number_of(list, "revision"));
    json_decref(list);
    uint64_t job = submit(TRAIN);
    struct wire_fence fence = memory_service_place(service, job);
    struct watched w = {.wanted = 2};
    watch_from(from, &w);
    EXPECT_EQ(w.last, fence.index);
    memory_service_commit(service, job, fence, NULL, 0);
    (void)snprintf(from, sizeof from, "&from=%llu", (unsigned long long)w.last);
    struct watched rest = {.wanted = 1, .last = w.last};
    watch_from(from, &rest);
    EXPECT(rest.last > w.last);
    json_t *row = call("GET", "/api/v1/jobs/t", NULL, 200);
    EXPECT_EQ(number_of(row, "events"), 3);
    json_decref(row);
    stop();
}

static void *submit_late(void *arg)
{
    uint64_t *job = arg;
    *job = submit(TRAIN);
    return NULL;
}

TEST(a_watch_from_now_waits_and_tells_what_comes)
{
    start();
    struct watched w = {.wanted = 1};
    pthread_t thread;
    uint64_t job = 0;
    /* The watch begins before or after the job: from this revision it is told either way. */
    json_t *list = call("GET", "/api/v1/jobs", NULL, 200);
    char path[64];
    (void)snprintf(path, sizeof path, "/api/v1/jobs?watch=1&from=%lld",
                   number_of(list, "revision"));
    json_decref(list);
    struct cli_peers peers = {.count = 1};
    (void)snprintf(peers.at[0], sizeof peers.at[0], "127.0.0.1:%u", api_port(api));
    struct cli_http *watcher = cli_http_open(&peers);
    struct cli_answer answer;
    EXPECT_EQ(pthread_create(&thread, NULL, submit_late, &job), 0);
    EXPECT(cli_http_stream(watcher, path, 5, on_change, NULL, &w, &answer) == CLI_STREAM_DONE);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
    EXPECT_EQ(w.last, job);
    cli_http_close(watcher);
    stop();
}

static void skip_entries(uint32_t count)
{
    struct jobs_cmd cmd = {.type = JOBS_DATASET_REMOVE, .u.dataset_remove.name = "none"};
    uint8_t bytes[128];
    struct jobs_result result;
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    EXPECT_EQ(jobs_cmd_encode(&cmd, &w), SH_OK);
    for (uint32_t i = 0; i < count; i++) {
        EXPECT_EQ(service_propose(service, bytes, w.used, 0, &result), SH_ERR_NOT_FOUND);
    }
}

TEST(a_watch_of_what_is_forgotten_or_has_not_happened_is_refused)
{
    start();
    (void)submit(TRAIN);
    json_t *v = call("GET", "/api/v1/jobs?watch=1&from=900000", NULL, 400);
    EXPECT_STR(text_of(json_object_get(v, "error"), "field"), "from");
    json_decref(v);
    json_decref(call("GET", "/api/v1/jobs?watch=1&from=x", NULL, 400));
    memory_service_quorum(service, false);
    json_decref(call("GET", "/api/v1/jobs?watch=1", NULL, 503));
    memory_service_quorum(service, true);
    skip_entries(JOBS_WATCH_MAX + 256); /* they are forgotten 256 at a time */
    v = call("GET", "/api/v1/jobs?watch=1&from=1", NULL, 410);
    EXPECT_STR(text_of(json_object_get(v, "error"), "code"), "GONE");
    EXPECT(strstr(text_of(json_object_get(v, "error"), "message"), "list again") != NULL);
    json_decref(v);
    stop();
}

/* Past HTTP: thousands of jobs, each stopped at once. */
static void submit_and_stop(uint32_t count)
{
    struct jobs_cmd cmd = {.type = JOBS_SUBMIT};
    struct jobs_submit *c = &cmd.u.submit;
    c->kind = WIRE_KIND_NOOP;
    (void)snprintf(c->name, sizeof c->name, "t");
    c->spec = (struct sh_span){.at = (const uint8_t *)"{}", .size = 2};
    c->need = (struct wire_need){
        .ranks = 1, .agents_min = 1, .agents_max = 1, .arithmetic = WIRE_ARITHMETIC_ANY};
    c->checkpoint_keep = 1;
    c->units = 1;
    uint8_t bytes[512];
    struct jobs_result result;
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    EXPECT_EQ(jobs_cmd_encode(&cmd, &w), SH_OK);
    for (uint32_t i = 0; i < count; i++) {
        EXPECT_EQ(service_propose(service, bytes, w.used, 0, &result), SH_OK);
        struct jobs_cmd stop_it = {.type = JOBS_STOP, .u.stop.job = result.unit.job};
        memory_service_apply(service, &stop_it, &result);
    }
}

/* A stream opened by hand, so that nobody reads it. */
static int open_watch(uint64_t from)
{
    char text[160];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(api_port(api))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT(connect(fd, (const struct sockaddr *)(const void *)&to, sizeof to) == 0);
    int n = snprintf(text, sizeof text,
                     "GET /api/v1/jobs?watch=1&from=%llu HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                     "Connection: close\r\n\r\n",
                     (unsigned long long)from);
    EXPECT_EQ(send(fd, text, (size_t)n, 0), n);
    return fd;
}

/* Bytes at the end of what comes until the other side ends it. */
static size_t read_tail(int fd, char *tail, size_t size)
{
    char block[4096];
    size_t used = 0;
    for (;;) {
        ssize_t n = recv(fd, block, sizeof block, 0);
        EXPECT(n >= 0);
        if (n == 0) {
            return used;
        }
        size_t got = (size_t)n < size - 1 ? (size_t)n : size - 1;
        size_t kept = used + got < size - 1 ? used : size - 1 - got;
        memmove(tail, tail + used - kept, kept);
        memcpy(tail + kept, block + (size_t)n - got, got);
        used = kept + got;
        tail[used] = '\0';
    }
}

TEST(a_watcher_that_reads_too_slowly_is_cut_off_and_told)
{
    char tail[2048];
    start();
    uint64_t first = submit(TRAIN);
    int fd = open_watch(first);
    submit_and_stop(15000); /* more than the sockets hold */
    skip_entries(JOBS_WATCH_MAX + 256);
    size_t used = read_tail(fd, tail, sizeof tail);
    EXPECT(used > 0);
    EXPECT(strstr(tail, "event: gone") != NULL);
    EXPECT(strstr(tail, "list again") != NULL);
    (void)close(fd);
    stop();
}

TEST(streams_leave_places_for_other_requests)
{
    int fds[API_STREAMS_MAX + 1];
    char head[16] = "";
    start();
    uint64_t job = submit(TRAIN);
    for (size_t i = 0; i < API_STREAMS_MAX; i++) {
        fds[i] = open_watch(job);
        EXPECT_EQ(recv(fds[i], head, 12, MSG_WAITALL), 12);
        EXPECT_MEM(head, "HTTP/1.1 200", 12);
    }
    fds[API_STREAMS_MAX] = open_watch(job);
    EXPECT_EQ(recv(fds[API_STREAMS_MAX], head, 12, MSG_WAITALL), 12);
    EXPECT_MEM(head, "HTTP/1.1 503", 12);
    json_decref(call("GET", "/api/v1/jobs", NULL, 200));
    for (size_t i = 0; i <= API_STREAMS_MAX; i++) {
        (void)close(fds[i]);
    }
    stop();
}
