/* SPDX-License-Identifier: Apache-2.0
 *
 * Requests a second that a server answers to so many clients, each with a connection of its own
 * that it keeps and one request under way; all clients in one thread, which takes little of the
 * machine:
 *
 *   http_rate HOST:PORT METHOD PATH CLIENTS SECONDS [BODY]
 *
 * Prints "<requests/s> <median us> <99th percentile us>"; 1 where an answer is not 2xx. */
#include "base/check.h"
#include "base/host/host.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLIENTS_MAX 512u
#define SAMPLES_MAX 8000000u
#define ANSWER_MAX  (256u * 1024)
#define REQUEST_MAX 65536u
#define SILENCE_MS  20000 /* then the server counts as gone */

struct client {
    int fd;
    uint64_t sent_us;
    size_t have;
    char *answer; /* ANSWER_MAX */
};

static struct client clients[CLIENTS_MAX];
static char request[REQUEST_MAX];
static size_t request_size;
static uint32_t *took_us;
static uint32_t count;

static void stop(const char *why, const char *what)
{
    (void)fprintf(stderr, "http_rate: %s: %s\n", why, what);
    exit(1);
}

static int dial(const char *host, uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool good = fd >= 0 && inet_pton(AF_INET, host, &to.sin_addr) == 1 &&
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0 &&
                connect(fd, (const struct sockaddr *)(const void *)&to, sizeof to) == 0;
    if (!good) {
        stop("connect", strerror(errno));
    }
    return fd;
}

/* A request is smaller than the socket's buffer, which is empty: the last answer has come. */
static void ask(struct client *c)
{
    c->have = 0;
    c->sent_us = sh_now_us();
    if (send(c->fd, request, request_size, MSG_NOSIGNAL) != (ssize_t)request_size) {
        stop("send", strerror(errno));
    }
}

/* Bytes of the whole answer; 0: more must be read. */
static size_t whole(const char *text, size_t have)
{
    const char *end = strstr(text, "\r\n\r\n");
    if (end == NULL) {
        return 0;
    }
    const char *length = strcasestr(text, "\r\nContent-Length:");
    if (length == NULL || length > end) {
        stop("an answer without a length", text);
    }
    size_t size = (size_t)(end - text) + 4 + strtoul(length + 17, NULL, 10);
    return have >= size ? size : 0;
}

static void hear(struct client *c)
{
    ssize_t got = recv(c->fd, c->answer + c->have, ANSWER_MAX - 1 - c->have, 0);
    if (got <= 0) {
        stop("recv", got == 0 ? "the server closed the connection" : strerror(errno));
    }
    c->have += (size_t)got;
    c->answer[c->have] = '\0';
    size_t size = whole(c->answer, c->have);
    if (size == 0 && c->have < ANSWER_MAX - 1) {
        return;
    }
    if (size == 0 || strncmp(c->answer, "HTTP/1.1 2", 10) != 0) {
        stop("answer", c->answer);
    }
    if (count < SAMPLES_MAX) {
        took_us[count++] = (uint32_t)(sh_now_us() - c->sent_us);
    }
    ask(c);
}

static int ascending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void run(unsigned number, uint64_t seconds)
{
    struct epoll_event events[CLIENTS_MAX];
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    SH_CHECK(epoll >= 0);
    for (unsigned i = 0; i < number; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &clients[i]};
        SH_CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, clients[i].fd, &event) == 0);
        ask(&clients[i]);
    }
    uint64_t start = sh_now_us();
    uint64_t end = start + seconds * 1000000;
    while (sh_now_us() < end) {
        int n = epoll_wait(epoll, events, (int)number, SILENCE_MS);
        if (n == 0) {
            stop("epoll", "no answer for 20 s");
        }
        for (int i = 0; i < n; i++) {
            hear(events[i].data.ptr);
        }
    }
    double took = (double)(sh_now_us() - start) / 1e6;
    SH_CHECK(close(epoll) == 0);
    qsort(took_us, count, sizeof *took_us, ascending);
    if (count == 0) {
        stop("run", "no answer");
    }
    printf("%.0f %u %u\n", count / took, took_us[count / 2],
           took_us[(uint32_t)((uint64_t)count * 99 / 100)]);
}

int main(int argc, char **argv)
{
    char host[64];
    unsigned port = 0;
    if ((argc != 6 && argc != 7) || sscanf(argv[1], "%63[^:]:%u", host, &port) != 2 ||
        port > 65535) {
        stop("usage", "http_rate HOST:PORT METHOD PATH CLIENTS SECONDS [BODY]");
    }
    unsigned long number = strtoul(argv[4], NULL, 10);
    unsigned long seconds = strtoul(argv[5], NULL, 10);
    const char *body = argc == 7 ? argv[6] : "";
    if (number < 1 || number > CLIENTS_MAX || seconds < 1) {
        stop("usage", "1 to 512 clients, at least 1 second");
    }
    int n = snprintf(request, sizeof request,
                     "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"
                     "Content-Length: %zu\r\n\r\n%s",
                     argv[2], argv[3], argv[1], strlen(body), body);
    SH_CHECK(n > 0 && n < (int)sizeof request);
    request_size = (size_t)n;
    took_us = calloc(SAMPLES_MAX, sizeof *took_us);
    SH_CHECK(took_us != NULL);
    for (unsigned i = 0; i < number; i++) {
        clients[i] =
            (struct client){.fd = dial(host, (uint16_t)port), .answer = malloc(ANSWER_MAX)};
        SH_CHECK(clients[i].answer != NULL);
    }
    run((unsigned)number, seconds);
    for (unsigned i = 0; i < number; i++) {
        SH_CHECK(close(clients[i].fd) == 0);
        free(clients[i].answer);
    }
    free(took_us);
    return 0;
}
