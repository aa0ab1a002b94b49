/* SPDX-License-Identifier: Apache-2.0
 *
 * GET requests a second that an agent answers to so many clients, each with a connection of its own
 * that it keeps:
 *
 *   read_rate HOST:PORT /api/v1/jobs/7 CLIENTS SECONDS
 *
 * Prints "<requests/s> <median us> <99th percentile us>"; 1 where an answer is no 200. */
#include "base/check.h"
#include "base/host/host.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define CLIENTS_MAX 512u
#define SAMPLES_MAX 400000u /* of one client */
#define ANSWER_MAX  (256u * 1024)

struct client {
    pthread_t thread;
    int fd;
    uint32_t count;
    bool failed;
    uint32_t *took_us;
};

static char request[512];
static uint64_t end_us;

static int dial(const char *host, uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct timeval limit = {.tv_sec = 20};
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool good = fd >= 0 && inet_pton(AF_INET, host, &to.sin_addr) == 1 &&
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0 &&
                setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0 &&
                connect(fd, (const struct sockaddr *)(const void *)&to, sizeof to) == 0;
    if (!good) {
        perror("connect");
        exit(1);
    }
    return fd;
}

/* Bytes of the whole answer in text; 0: more must be read. */
static size_t whole(const char *text)
{
    const char *body = strstr(text, "\r\n\r\n");
    const char *length = strcasestr(text, "\r\nContent-Length:");
    if (body == NULL || length == NULL || length > body) {
        return 0;
    }
    size_t size = (size_t)(body + 4 - text) + strtoul(length + 17, NULL, 10);
    return strlen(text) >= size ? size : 0;
}

static bool exchange(int fd, char *answer)
{
    size_t used = 0;
    answer[0] = '\0';
    if (send(fd, request, strlen(request), MSG_NOSIGNAL) != (ssize_t)strlen(request)) {
        return false;
    }
    while (whole(answer) == 0) {
        ssize_t n = recv(fd, answer + used, ANSWER_MAX - used - 1, 0);
        if (n <= 0) {
            return false;
        }
        used += (size_t)n;
        answer[used] = '\0';
    }
    return strncmp(answer, "HTTP/1.1 200", 12) == 0;
}

static void *run(void *arg)
{
    struct client *c = arg;
    char *answer = malloc(ANSWER_MAX);
    uint64_t now = sh_now_us();
    SH_CHECK(answer != NULL);
    while (!c->failed && now < end_us && c->count < SAMPLES_MAX) {
        uint64_t begun = now;
        c->failed = !exchange(c->fd, answer);
        now = sh_now_us();
        c->took_us[c->count++] = (uint32_t)(now - begun);
    }
    if (c->failed) {
        (void)fprintf(stderr, "%.400s\n", answer);
    }
    free(answer);
    return NULL;
}

static int ascending(const void *a, const void *b)
{
    const uint32_t *x = a;
    const uint32_t *y = b;
    return (*x > *y) - (*x < *y);
}

static int report(struct client *clients, unsigned count, uint64_t took_us)
{
    size_t total = 0;
    bool failed = false;
    for (unsigned i = 0; i < count; i++) {
        SH_CHECK(pthread_join(clients[i].thread, NULL) == 0);
        total += clients[i].count;
        failed = failed || clients[i].failed;
    }
    uint32_t *all = calloc(total + 1, sizeof *all);
    SH_CHECK(all != NULL);
    size_t at = 0;
    for (unsigned i = 0; i < count; i++) {
        memcpy(all + at, clients[i].took_us, clients[i].count * sizeof *all);
        at += clients[i].count;
    }
    qsort(all, total, sizeof *all, ascending);
    (void)printf("%.0f %u %u\n", (double)total * 1e6 / (double)took_us, all[total / 2],
                 all[total * 99 / 100]);
    free(all);
    return failed ? 1 : 0;
}

int main(int argc, char **argv)
{
    char host[64] = "";
    unsigned port = 0;
    unsigned count = argc == 5 ? (unsigned)strtoul(argv[3], NULL, 10) : 0;
    if (count == 0 || count > CLIENTS_MAX || sscanf(argv[1], "%63[^:]:%5u", host, &port) != 2) {
        (void)fprintf(stderr, "usage: read_rate HOST:PORT PATH CLIENTS SECONDS\n");
        return 2;
    }
    sh_host_init();
    (void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", argv[2]);
    struct client *clients = calloc(count, sizeof *clients);
    SH_CHECK(clients != NULL);
    for (unsigned i = 0; i < count; i++) {
        clients[i].fd = dial(host, (uint16_t)port);
        clients[i].took_us = calloc(SAMPLES_MAX, sizeof(uint32_t));
        SH_CHECK(clients[i].took_us != NULL);
    }
    uint64_t begun = sh_now_us();
    end_us = begun + (uint64_t)(strtod(argv[4], NULL) * 1e6);
    for (unsigned i = 0; i < count; i++) {
        SH_CHECK(pthread_create(&clients[i].thread, NULL, run, &clients[i]) == 0);
    }
    int status = report(clients, count, end_us - begun);
    for (unsigned i = 0; i < count; i++) {
        (void)close(clients[i].fd);
        free(clients[i].took_us);
    }
    free(clients);
    return status;
}
