/* SPDX-License-Identifier: Apache-2.0
 *
 * What waking costs on this machine at this moment: for so many seconds one thread sends a datagram
 * over loopback 100 times a second to another, which sends it back.
 *
 *   wake_cost SECONDS
 *
 * Prints "<processor seconds>". */
#include "base/check.h"
#include "base/host/host.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAUSE_MS    10
#define SECONDS_MAX 3600u

static int open_socket(struct sockaddr_in *at)
{
    socklen_t size = sizeof *at;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    SH_CHECK(fd >= 0);
    SH_CHECK(bind(fd, (struct sockaddr *)(void *)at, sizeof *at) == 0);
    SH_CHECK(getsockname(fd, (struct sockaddr *)(void *)at, &size) == 0);
    return fd;
}

/* Whether there is a datagram within so many milliseconds; all that are there are taken. */
static bool hear(int epoll, int fd, int wait_ms, struct sockaddr_in *from, char *first)
{
    struct epoll_event event;
    char bytes[64];
    socklen_t size = sizeof *from;
    bool heard = false;
    if (epoll_wait(epoll, &event, 1, wait_ms) <= 0) {
        return false;
    }
    while (recvfrom(fd, bytes, sizeof bytes, MSG_DONTWAIT, (struct sockaddr *)(void *)from, &size) >
           0) {
        *first = bytes[0];
        heard = true;
    }
    return heard;
}

static int watch(int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    SH_CHECK(epoll >= 0);
    SH_CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
    return epoll;
}

static void say(int fd, const struct sockaddr_in *to, char first)
{
    char bytes[64] = {first};
    SH_CHECK(sendto(fd, bytes, sizeof bytes, 0, (const struct sockaddr *)(const void *)to,
                    sizeof *to) == (ssize_t)sizeof bytes);
}

static void *answer(void *arg)
{
    int fd = *(const int *)arg;
    int epoll = watch(fd);
    struct sockaddr_in from;
    char first = 'a';
    while (first != 'z') {
        if (hear(epoll, fd, 1000, &from, &first)) {
            say(fd, &from, first);
        }
    }
    SH_CHECK(close(epoll) == 0);
    return NULL;
}

int main(int argc, char **argv)
{
    unsigned long seconds = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;
    if (seconds < 1 || seconds > SECONDS_MAX) {
        (void)fprintf(stderr, "usage: wake_cost SECONDS\n");
        return 2;
    }
    struct sockaddr_in mine;
    struct sockaddr_in theirs;
    struct sockaddr_in from;
    char first;
    int fd = open_socket(&mine);
    int other = open_socket(&theirs);
    int epoll = watch(fd);
    pthread_t thread;
    SH_CHECK(pthread_create(&thread, NULL, answer, &other) == 0);
    uint64_t end = sh_now_us() + seconds * 1000000;
    while (sh_now_us() < end) {
        say(fd, &theirs, 'a');
        while (hear(epoll, fd, PAUSE_MS, &from, &first)) {
        }
    }
    say(fd, &theirs, 'z');
    SH_CHECK(pthread_join(thread, NULL) == 0);
    struct rusage used;
    SH_CHECK(getrusage(RUSAGE_SELF, &used) == 0);
    printf("%.4f\n", (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                         (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
    SH_CHECK(close(epoll) == 0);
    SH_CHECK(close(fd) == 0);
    SH_CHECK(close(other) == 0);
    return 0;
}
