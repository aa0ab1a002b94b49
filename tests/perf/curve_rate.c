/* SPDX-License-Identifier: Apache-2.0
 *
 * What libzmq's CURVE carries between two processes of this machine, and nothing else: both send
 * BYTES to the other at the same time, in messages of 256 KiB.
 *
 *     curve_rate BYTES ROUNDS
 *
 * prints shortest and median time of a round in microseconds. */
#include "base/check.h"
#include "base/host/host.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

enum { MESSAGE = 256 * 1024, DEPTH = 8, KEY_TEXT = 41 };

struct keys {
    char public[KEY_TEXT];
    char secret[KEY_TEXT];
};

static void set(void *socket, int option, const void *value, size_t size)
{
    SH_CHECK(zmq_setsockopt(socket, option, value, size) == 0);
}

static void *open_socket(void *context, bool listens, const struct keys *server,
                         const struct keys *client)
{
    const int depth = DEPTH;
    const int one = 1;
    void *socket = zmq_socket(context, ZMQ_PAIR);
    SH_CHECK(socket != NULL);
    set(socket, ZMQ_SNDHWM, &depth, sizeof depth);
    set(socket, ZMQ_RCVHWM, &depth, sizeof depth);
    const struct keys *own = listens ? server : client;
    if (listens) {
        set(socket, ZMQ_CURVE_SERVER, &one, sizeof one);
    } else {
        set(socket, ZMQ_CURVE_SERVERKEY, server->public, KEY_TEXT - 1);
    }
    set(socket, ZMQ_CURVE_PUBLICKEY, own->public, KEY_TEXT - 1);
    set(socket, ZMQ_CURVE_SECRETKEY, own->secret, KEY_TEXT - 1);
    return socket;
}

static void send_one(void *socket, const uint8_t *bytes, uint64_t *sent)
{
    zmq_msg_t message;
    SH_CHECK(zmq_msg_init_size(&message, MESSAGE) == 0);
    memcpy(zmq_msg_data(&message), bytes, MESSAGE);
    *sent += zmq_msg_send(&message, socket, ZMQ_DONTWAIT) >= 0 ? 1 : 0;
    SH_CHECK(zmq_msg_close(&message) == 0);
}

static void receive_one(void *socket, uint64_t *received)
{
    zmq_msg_t message;
    SH_CHECK(zmq_msg_init(&message) == 0);
    *received += zmq_msg_recv(&message, socket, ZMQ_DONTWAIT) == MESSAGE ? 1 : 0;
    SH_CHECK(zmq_msg_close(&message) == 0);
}

/* Both begin together: each waits for a byte of the other. */
static uint64_t exchange(void *socket, const uint8_t *bytes, uint64_t count)
{
    uint64_t sent = 0;
    uint64_t received = 0;
    char byte = 0;
    SH_CHECK(zmq_send(socket, &byte, 1, 0) == 1);
    SH_CHECK(zmq_recv(socket, &byte, 1, 0) == 1);
    uint64_t start = sh_now_us();
    while (sent < count || received < count) {
        zmq_pollitem_t item = {.socket = socket, .events = ZMQ_POLLIN};
        item.events = (short)(sent < count ? ZMQ_POLLIN | ZMQ_POLLOUT : ZMQ_POLLIN);
        SH_CHECK(zmq_poll(&item, 1, -1) == 1);
        if ((item.revents & ZMQ_POLLIN) != 0) {
            receive_one(socket, &received);
        }
        if (sent < count && (item.revents & ZMQ_POLLOUT) != 0) {
            send_one(socket, bytes, &sent);
        }
    }
    return sh_now_us() - start;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void live(void *socket, uint64_t count, uint32_t rounds, bool prints)
{
    static uint8_t bytes[MESSAGE];
    uint64_t *took = calloc(rounds, sizeof *took);
    SH_CHECK(took != NULL);
    memset(bytes, 1, sizeof bytes);
    (void)exchange(socket, bytes, count); /* memory and connection come with the first one */
    for (uint32_t i = 0; i < rounds; i++) {
        took[i] = exchange(socket, bytes, count);
    }
    qsort(took, rounds, sizeof *took, compare);
    if (prints) {
        (void)printf("%llu %llu\n", (unsigned long long)took[0],
                     (unsigned long long)took[rounds / 2]);
    }
    free(took);
}

int main(int argc, char **argv)
{
    struct keys server;
    struct keys client;
    char address[64] = "";
    size_t size = sizeof address;
    int way[2];
    uint64_t count = argc == 3 ? strtoull(argv[1], NULL, 10) / MESSAGE : 0;
    uint32_t rounds = argc == 3 ? (uint32_t)strtoul(argv[2], NULL, 10) : 0;
    if (count == 0 || rounds == 0) {
        (void)fprintf(stderr, "usage: curve_rate BYTES ROUNDS; at least 262144 bytes\n");
        return 2;
    }
    sh_host_init();
    SH_CHECK(zmq_curve_keypair(server.public, server.secret) == 0);
    SH_CHECK(zmq_curve_keypair(client.public, client.secret) == 0);
    SH_CHECK(pipe(way) == 0);
    pid_t child = fork();
    SH_CHECK(child >= 0);
    void *context = zmq_ctx_new();
    void *socket = open_socket(context, child != 0, &server, &client);
    if (child == 0) {
        SH_CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
        SH_CHECK(read(way[0], address, sizeof address) == (ssize_t)sizeof address);
        SH_CHECK(zmq_connect(socket, address) == 0);
    } else {
        SH_CHECK(zmq_bind(socket, "tcp://127.0.0.1:*") == 0);
        SH_CHECK(zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, address, &size) == 0);
        SH_CHECK(write(way[1], address, sizeof address) == (ssize_t)sizeof address);
    }
    live(socket, count, rounds, child != 0);
    if (child != 0) {
        SH_CHECK(wait(NULL) == child);
    }
    SH_CHECK(zmq_close(socket) == 0 && zmq_ctx_term(context) == 0);
    return 0;
}
