/* SPDX-License-Identifier: Apache-2.0
 *
 * The HTTP interface with many clients, slow ones, ones that vanish, and the end of the agent. */
#include "api_rig.h"
#include "tst.h"

#include "base/host/host.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define POST                                                                                       \
    "POST /api/v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 48\r\n\r\n"                  \
    "api: shoal/v1\nkind: noop\nname: n\nunits: 2      \n"

#define STATUS_REQUEST "GET /api/v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

static int dial(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(api_port(api))};
    struct timeval patience = {.tv_sec = 20};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT(fd >= 0);
    EXPECT(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0);
    EXPECT(connect(fd, (struct sockaddr *)(void *)&to, sizeof to) == 0);
    return fd;
}

static void say(int fd, const char *text)
{
    EXPECT(send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
}

/* The status of the answer, of which all is taken but what streams; 0 where the connection was
 * closed without one. */
static unsigned hear(int fd)
{
    char text[16384];
    size_t used = 0;
    size_t whole = sizeof text;
    unsigned status = 0;
    while (used < whole) {
        ssize_t n = recv(fd, text + used, sizeof text - 1 - used, 0);
        if (n <= 0) {
            return 0;
        }
        used += (size_t)n;
        text[used] = '\0';
        const char *body = strstr(text, "\r\n\r\n");
        const char *length = strstr(text, "Content-Length: ");
        if (body != NULL) {
            whole = (size_t)(body + 4 - text);
            whole += length != NULL ? strtoul(length + 16, NULL, 10) : 0;
        }
    }
    EXPECT(sscanf(text, "HTTP/1.1 %u", &status) == 1);
    return status;
}

#define CROWD 300

TEST(three_hundred_connections_wait_for_their_proposals_while_others_are_served)
{
    int fds[CROWD];
    start();
    memory_service_hold(service);
    for (int i = 0; i < CROWD; i++) {
        fds[i] = dial();
        say(fds[i], POST);
    }
    memory_service_await_held(service, CROWD);
    json_decref(call("GET", "/api/v1/status", NULL, 200));
    memory_service_let_go(service);
    for (int i = 0; i < CROWD; i++) {
        EXPECT_EQ(hear(fds[i]), 201);
        (void)close(fds[i]);
    }
    json_t *v = call("GET", "/api/v1/jobs?limit=500", NULL, 200);
    EXPECT_EQ(json_array_size(json_object_get(v, "jobs")), CROWD);
    json_decref(v);
    stop();
}

TEST(one_connection_carries_many_requests_of_all_kinds)
{
    static const char *const TEXTS[] = {
        POST, "GET /api/v1/jobs?limit=1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        "POST /api/v1/validate HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\n\r\n-"};
    static const unsigned STATUS[] = {201, 200, 400};
    start();
    int fd = dial();
    for (size_t i = 0; i < 30; i++) {
        say(fd, TEXTS[i % 3]);
        EXPECT_EQ(hear(fd), STATUS[i % 3]);
    }
    (void)close(fd);
    stop();
}

TEST(a_client_that_vanishes_before_its_answer_loses_only_that)
{
    start();
    memory_service_hold(service);
    for (int i = 0; i < 20; i++) {
        int fd = dial();
        struct linger now = {.l_onoff = 1};
        say(fd, POST);
        EXPECT(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now) == 0);
        memory_service_await_held(service, (uint32_t)i + 1);
        (void)close(fd);
    }
    memory_service_let_go(service);
    json_t *v = call("GET", "/api/v1/jobs", NULL, 200);
    EXPECT_EQ(json_array_size(json_object_get(v, "jobs")), 20);
    json_decref(v);
    stop();
}

/* A stream gives its place back when its client is gone. */
TEST(streams_of_clients_that_vanish_end)
{
    static int fds[API_STREAMS_MAX];
    start();
    for (size_t i = 0; i < API_STREAMS_MAX; i++) {
        fds[i] = dial();
        say(fds[i], "GET /api/v1/jobs?watch=1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        EXPECT_EQ(hear(fds[i]), 200);
    }
    json_decref(call("GET", "/api/v1/jobs?watch=1", NULL, 503));
    for (size_t i = 0; i < API_STREAMS_MAX; i++) {
        (void)close(fds[i]);
    }
    unsigned status = 503;
    for (uint64_t until = sh_now_us() + 30000000; status == 503 && sh_now_us() < until;) {
        (void)service_wait_applied(service, UINT64_MAX, 50000);
        int fd = dial();
        say(fd, "GET /api/v1/jobs?watch=1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        status = hear(fd);
        (void)close(fd);
    }
    EXPECT_EQ(status, 200);
    stop();
}

#define FILE_BYTES ((size_t)6 << 20)

/* Commits a model t whose file is that large; gives its bytes (free). */
static char *make_model(void)
{
    char *bytes = malloc(FILE_BYTES);
    EXPECT(bytes != NULL);
    for (size_t i = 0; i < FILE_BYTES; i++) {
        bytes[i] = (char)(i * 7 + i / 256);
    }
    uint64_t id = submit(TRAIN);
    memory_service_commit(service, id, memory_service_place(service, id), bytes, FILE_BYTES);
    return bytes;
}

TEST(a_slow_client_holds_up_nobody_and_gets_all_of_its_file)
{
    start();
    char *bytes = make_model();
    int fd = dial();
    say(fd, "GET /api/v1/models/t/file HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
    char *got = malloc(FILE_BYTES + 4096);
    EXPECT(got != NULL);
    size_t used = 0;
    for (ssize_t n = 1; n > 0; used += (size_t)n) {
        size_t room = FILE_BYTES + 4095 - used;
        n = recv(fd, got + used, room < 300000 ? room : 300000, 0);
        EXPECT(n >= 0);
        json_decref(call("GET", "/api/v1/status", NULL, 200));
    }
    got[used] = '\0';
    const char *body = strstr(got, "\r\n\r\n");
    EXPECT(body != NULL);
    EXPECT_EQ(used - (size_t)(body + 4 - got), FILE_BYTES);
    EXPECT_MEM(body + 4, bytes, FILE_BYTES);
    free(got);
    free(bytes);
    (void)close(fd);
    stop();
}

static void *let_go_soon(void *ctx)
{
    (void)service_wait_applied(ctx, UINT64_MAX, 200000);
    memory_service_let_go(ctx);
    return NULL;
}

TEST(stopping_ends_requests_and_streams_that_are_under_way)
{
    pthread_t thread;
    int fds[24];
    start();
    char *bytes = make_model();
    memory_service_hold(service);
    for (size_t i = 0; i < SH_COUNT(fds); i++) {
        static const char *const TEXTS[] = {
            POST, "GET /api/v1/jobs?watch=1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
            "GET /api/v1/models/t/file HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", /* never read */
            "POST /api/v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\napi"};
        fds[i] = dial();
        say(fds[i], TEXTS[i % 4]);
        if (i % 4 == 1) {
            EXPECT_EQ(hear(fds[i]), 200);
        }
    }
    memory_service_await_held(service, SH_COUNT(fds) / 4);
    EXPECT(pthread_create(&thread, NULL, let_go_soon, service) == 0);
    uint64_t before = sh_now_us();
    cli_http_close(http);
    api_stop(api);
    EXPECT(sh_now_us() - before < 10000000);
    EXPECT(pthread_join(thread, NULL) == 0);
    memory_service_close(service);
    for (size_t i = 0; i < SH_COUNT(fds); i++) {
        (void)close(fds[i]);
    }
    free(bytes);
}

TEST(beyond_the_most_connections_one_is_refused_until_others_end)
{
    static int fds[API_CONNECTIONS_MAX];
    struct rlimit files;
    EXPECT(getrlimit(RLIMIT_NOFILE, &files) == 0);
    files.rlim_cur = files.rlim_max; /* both ends of each connection are in this process */
    EXPECT(setrlimit(RLIMIT_NOFILE, &files) == 0);
    start();
    for (size_t i = 0; i < API_CONNECTIONS_MAX; i++) {
        fds[i] = dial();
    }
    int late = dial();
    EXPECT_EQ(hear(late), 0);
    (void)close(late);
    for (size_t i = 0; i < API_CONNECTIONS_MAX; i++) {
        (void)close(fds[i]);
    }
    unsigned status = 0;
    for (uint64_t until = sh_now_us() + 20000000; status == 0 && sh_now_us() < until;) {
        int fd = dial();
        if (send(fd, STATUS_REQUEST, strlen(STATUS_REQUEST), MSG_NOSIGNAL) > 0) {
            status = hear(fd);
        }
        (void)close(fd);
    }
    EXPECT_EQ(status, 200);
    stop();
}
