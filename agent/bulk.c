/* SPDX-License-Identifier: Apache-2.0 */
#include "bulk.h"

#include "journal.h"
#include "nearby.h"
#include "outbox.h"
#include "parts.h"
#include "queue.h"

#include "base/host/host.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define TRAINING_FIRST FRAME_TRAIN_HELLO
#define TRAINING_LAST  FRAME_TRAIN_OFFER

enum { ADDRS_MAX = 256, TURN_EVENTS = 256 };

#define WAIT_US UINT64_C(60000000) /* for input; the wake descriptor ends it earlier */

struct address {
    uint8_t node[SH_NODE_ID_BYTES];
    struct link_addr addr;
};

struct bulk {
    struct service *s;
    struct link_plane *plane;
    struct outbox *outbox;
    struct queue *addresses; /* of struct address */
    struct link_event *event;
    int wake;              /* eventfd: bulk_stop */
    struct nearby *nearby; /* NULL: only the network */
    bulk_frame_fn frame;
    bulk_down_fn down;
    void *ctx;
    pthread_t thread;
    bool running;
    atomic_bool stopping;
};

static bool is_training(uint16_t type)
{
    return type >= TRAINING_FIRST && type <= TRAINING_LAST;
}

static void take_nearby(void *ctx, const uint8_t node[SH_NODE_ID_BYTES], uint16_t type,
                        struct sh_span payload, int fd)
{
    struct bulk *b = ctx;
    if (b->frame != NULL && is_training(type)) {
        b->frame(b->ctx, node, type, payload, fd);
    }
}

static void lose_nearby(void *ctx, const uint8_t node[SH_NODE_ID_BYTES])
{
    struct bulk *b = ctx;
    if (b->down != NULL) {
        b->down(b->ctx, node);
    }
}

/* Without the short way everything takes the network. */
static void open_nearby(struct bulk *b)
{
    enum sh_err err = nearby_open(&b->nearby, &b->s->trust, take_nearby, lose_nearby, b);
    if (err != SH_OK) {
        journal_warn("no short way to agents on this machine: %s", sh_err_text(err));
    }
}

enum sh_err bulk_open(struct bulk **out, struct service *s)
{
    struct bulk *b = calloc(1, sizeof *b);
    if (b == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    b->s = s;
    b->plane = link_plane_of(s->link, LINK_BULK);
    b->event = malloc(sizeof *b->event);
    b->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    enum sh_err err = b->event == NULL ? SH_ERR_NO_MEMORY
                      : b->wake < 0    ? sh_err_from_errno(errno)
                                       : SH_OK;
    if (err == SH_OK) {
        err = outbox_open(&b->outbox, b->plane, BULK_OUTBOX_BYTES_MAX);
    }
    if (err == SH_OK) {
        err = queue_open(&b->addresses, ADDRS_MAX, sizeof(struct address));
    }
    if (err != SH_OK) {
        bulk_close(b);
        return err;
    }
    open_nearby(b);
    *out = b;
    return SH_OK;
}

void bulk_on_train(struct bulk *bulk, bulk_frame_fn frame, bulk_down_fn down, void *ctx)
{
    SH_CHECK(!bulk->running);
    bulk->frame = frame;
    bulk->down = down;
    bulk->ctx = ctx;
}

/* A question or an answer that cannot leave ends at its asker's deadline; training asks again. */
static void lost(void *ctx, const uint8_t node[SH_NODE_ID_BYTES], uint16_t type)
{
    struct bulk *b = ctx;
    if (type == FRAME_CALL) {
        calls_peer_down(b->s->calls, CALLS_BULK, node);
    }
}

static void take_message(struct bulk *b, const struct link_event *e)
{
    switch (e->type) {
    case FRAME_CALL:
        calls_receive(b->s->calls, CALLS_BULK, e->node, CALLS_REQUEST, e->bytes);
        break;
    case FRAME_ANSWER:
        calls_receive(b->s->calls, CALLS_BULK, e->node, CALLS_REPLY, e->bytes);
        break;
    default:
        if (b->frame != NULL) {
            b->frame(b->ctx, e->node, e->type, e->bytes, -1);
        }
        break;
    }
}

static void take_event(struct bulk *b, uint64_t now_us, const struct link_event *e)
{
    switch (e->kind) {
    case LINK_MESSAGE:
        take_message(b, e);
        break;
    case LINK_WRITABLE:
        outbox_writable(b->outbox, now_us, e->node, lost, b);
        break;
    case LINK_DOWN:
    case LINK_UNREACHABLE:
        if (e->kind == LINK_DOWN || e->node_known) {
            outbox_forget(b->outbox, e->node);
            calls_peer_down(b->s->calls, CALLS_BULK, e->node);
            if (b->down != NULL) {
                b->down(b->ctx, e->node);
            }
        }
        break;
    case LINK_WRONG_SECRET:
    case LINK_REFUSED:
        journal_warn("bulk plane: %s", e->text);
        break;
    case LINK_UP:
        break;
    }
}

static void turn(struct bulk *b, uint64_t now_us)
{
    struct address a;
    while (queue_pop(b->addresses, &a)) {
        enum sh_err err = link_set_addr(b->plane, a.node, &a.addr);
        if (err != SH_OK) {
            journal_warn("bulk plane: no place for another peer: %s", sh_err_text(err));
        }
    }
    outbox_drain(b->outbox, now_us, lost, b);
    for (unsigned i = 0; i < TURN_EVENTS && link_next(b->plane, now_us, b->event); i++) {
        take_event(b, now_us, b->event);
    }
}

static void *run(void *arg)
{
    struct bulk *b = arg;
    struct pollfd fds[] = {{.fd = link_plane_fd(b->plane), .events = POLLIN},
                           {.fd = outbox_fd(b->outbox), .events = POLLIN},
                           {.fd = queue_fd(b->addresses), .events = POLLIN},
                           {.fd = b->wake, .events = POLLIN}};
    sh_thread_name("bulk");
    while (!atomic_load(&b->stopping)) {
        turn(b, sh_now_us());
        if (link_pending(b->plane)) {
            continue;
        }
        uint64_t now = sh_now_us();
        uint64_t due = link_deadline_us(b->plane);
        uint64_t wait_us = due <= now ? 0 : due - now;
        wait_us = wait_us < WAIT_US ? wait_us : WAIT_US;
        struct timespec t = {.tv_sec = (time_t)(wait_us / 1000000),
                             .tv_nsec = (long)(wait_us % 1000000) * 1000};
        if (ppoll(fds, SH_COUNT(fds), &t, NULL) < 0) {
            SH_CHECK(errno == EINTR);
        }
    }
    return NULL;
}

enum sh_err bulk_start(struct bulk *bulk)
{
    if (pthread_create(&bulk->thread, NULL, run, bulk) != 0) {
        return SH_ERR_NO_MEMORY;
    }
    bulk->running = true;
    if (bulk->nearby != NULL && nearby_start(bulk->nearby) != SH_OK) {
        nearby_close(bulk->nearby);
        bulk->nearby = NULL;
    }
    return SH_OK;
}

void bulk_stop(struct bulk *bulk)
{
    uint64_t one = 1;
    atomic_store(&bulk->stopping, true);
    SH_CHECK(write(bulk->wake, &one, sizeof one) == (ssize_t)sizeof one);
    outbox_stop(bulk->outbox);
    if (bulk->nearby != NULL) {
        nearby_stop(bulk->nearby);
    }
    if (bulk->running) {
        SH_CHECK(pthread_join(bulk->thread, NULL) == 0);
        bulk->running = false;
    }
}

void bulk_close(struct bulk *bulk)
{
    if (bulk == NULL) {
        return;
    }
    SH_CHECK(!bulk->running);
    nearby_close(bulk->nearby);
    outbox_close(bulk->outbox);
    queue_close(bulk->addresses);
    if (bulk->wake >= 0) {
        (void)close(bulk->wake);
    }
    free(bulk->event);
    free(bulk);
}

enum sh_err bulk_send(struct bulk *bulk, const uint8_t node[SH_NODE_ID_BYTES], uint16_t type,
                      struct sh_span head, struct sh_span body)
{
    if (bulk->nearby != NULL && is_training(type) &&
        nearby_send(bulk->nearby, node, type, head, body)) {
        return SH_OK;
    }
    return outbox_post(bulk->outbox, node, type, head, body);
}

bool bulk_hand(struct bulk *bulk, const uint8_t node[SH_NODE_ID_BYTES], uint16_t type,
               struct sh_span head, int fd)
{
    SH_CHECK(is_training(type));
    return bulk->nearby != NULL && nearby_hand(bulk->nearby, node, type, head, fd);
}

bool bulk_wait_room(struct bulk *bulk, const uint8_t node[SH_NODE_ID_BYTES], size_t size,
                    uint64_t timeout_us)
{
    return outbox_wait_room(bulk->outbox, node, size, timeout_us);
}

void bulk_set_addr(struct bulk *bulk, const uint8_t node[SH_NODE_ID_BYTES], const char *host_port)
{
    struct address a;
    memcpy(a.node, node, SH_NODE_ID_BYTES);
    if (link_addr_parse(host_port, 0, &a.addr) != SH_OK ||
        queue_push(bulk->addresses, &a) != SH_OK) {
        journal_warn("bulk plane: the address %s of a peer is not usable", host_port);
    }
}
