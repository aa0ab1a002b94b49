/* SPDX-License-Identifier: Apache-2.0 */
#include "memory_bulk.h"

#include "base/host/host.h"
#include "base/rng.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { TYPES = 128 };

struct message {
    struct message *next;
    uint64_t due_us;
    uint32_t from;
    uint64_t serial; /* of that end */
    uint16_t type;
    bool down; /* not a frame: the sender is gone */
    int fd;    /* -1: none */
    size_t size;
    uint8_t bytes[];
};

struct bulk {
    struct memory_net *net;
    uint32_t number;
    uint64_t serial; /* tells it from those that had its number before */
    uint8_t node[SH_NODE_ID_BYTES];
    pthread_t thread;
    bool running;
    bool stopping;
    bool cut;
    uint16_t cut_type;
    uint32_t cut_after;    /* 0: never */
    struct message *inbox; /* by due time */
    size_t out_bytes;      /* sent and not yet delivered */
    bulk_frame_fn frame;
    bulk_down_fn down;
    void *ctx;
};

struct memory_net {
    struct memory_net_config config;
    pthread_mutex_t lock; /* everything */
    pthread_cond_t changed;
    struct sh_rng rng;
    struct bulk *ends[MEMORY_BULK_AGENTS_MAX];
    uint64_t opened; /* ends, ever */
    uint32_t delivered[TYPES];
    uint64_t bytes[TYPES];
    uint16_t damage_type; /* 0: none */
    size_t damage_at;
};

static void lock(struct memory_net *net)
{
    SH_CHECK(pthread_mutex_lock(&net->lock) == 0);
}

static void unlock(struct memory_net *net)
{
    SH_CHECK(pthread_mutex_unlock(&net->lock) == 0);
}

/* With the lock; until_us on the clock of sh_now_us. */
static void wait_until(struct memory_net *net, uint64_t until_us)
{
    struct timespec at;
    uint64_t now = sh_now_us();
    uint64_t us = until_us > now ? until_us - now : 0;
    us = us < 1000000 ? us : 1000000;
    SH_CHECK(clock_gettime(CLOCK_MONOTONIC, &at) == 0);
    uint64_t ns = (uint64_t)at.tv_nsec + us * 1000;
    at.tv_sec += (time_t)(ns / 1000000000);
    at.tv_nsec = (long)(ns % 1000000000);
    int waited = pthread_cond_timedwait(&net->changed, &net->lock, &at);
    SH_CHECK(waited == 0 || waited == ETIMEDOUT);
}

struct memory_net *memory_net_open(const struct memory_net_config *config)
{
    struct memory_net *net = calloc(1, sizeof *net);
    pthread_condattr_t attr;
    SH_CHECK(net != NULL);
    net->config = *config;
    net->config.outbox_bytes = config->outbox_bytes > 0 ? config->outbox_bytes : 1u << 20;
    sh_rng_init(&net->rng, config->seed);
    SH_CHECK(pthread_mutex_init(&net->lock, NULL) == 0);
    SH_CHECK(pthread_condattr_init(&attr) == 0);
    SH_CHECK(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    SH_CHECK(pthread_cond_init(&net->changed, &attr) == 0);
    SH_CHECK(pthread_condattr_destroy(&attr) == 0);
    return net;
}

void memory_net_close(struct memory_net *net)
{
    for (uint32_t i = 0; i < MEMORY_BULK_AGENTS_MAX; i++) {
        SH_CHECK(net->ends[i] == NULL);
    }
    SH_CHECK(pthread_cond_destroy(&net->changed) == 0);
    SH_CHECK(pthread_mutex_destroy(&net->lock) == 0);
    free(net);
}

/* ---- delivery ---- */

/* With the lock: it is on its way no more. Its sender may have gone, and another have its number.
 */
static void settle(struct memory_net *net, const struct message *m)
{
    struct bulk *from = net->ends[m->from];
    if (from != NULL && from->serial == m->serial) {
        SH_CHECK_CMP(m->size, <=, from->out_bytes);
        from->out_bytes -= m->size;
    }
}

/* With the lock; NULL when nothing is due. */
static struct message *take_due(struct bulk *b)
{
    struct message *m = b->inbox;
    if (m == NULL || m->due_us > sh_now_us()) {
        return NULL;
    }
    b->inbox = m->next;
    settle(b->net, m);
    return m;
}

static void hand_over(struct bulk *b, const struct message *m)
{
    uint8_t node[SH_NODE_ID_BYTES];
    lock(b->net);
    const struct bulk *from = b->net->ends[m->from];
    bool passes = from != NULL && !b->cut && (m->down || !from->cut);
    if (from != NULL) {
        memcpy(node, from->node, sizeof node);
    }
    unlock(b->net);
    if (!passes) {
        return;
    }
    if (m->down) {
        b->down(b->ctx, node);
    } else {
        b->frame(b->ctx, node, m->type, (struct sh_span){.at = m->bytes, .size = m->size}, m->fd);
        lock(b->net);
        b->net->delivered[m->type]++;
        b->net->bytes[m->type] += m->size;
        SH_CHECK(pthread_cond_broadcast(&b->net->changed) == 0);
        unlock(b->net);
    }
}

static void drop(struct message *m)
{
    if (m->fd >= 0) {
        SH_CHECK(close(m->fd) == 0);
    }
    free(m);
}

static void *run(void *arg)
{
    struct bulk *b = arg;
    lock(b->net);
    while (!b->stopping) {
        struct message *m = take_due(b);
        if (m == NULL) {
            wait_until(b->net, b->inbox != NULL ? b->inbox->due_us : UINT64_MAX);
            continue;
        }
        SH_CHECK(pthread_cond_broadcast(&b->net->changed) == 0);
        unlock(b->net);
        hand_over(b, m);
        drop(m);
        lock(b->net);
    }
    unlock(b->net);
    return NULL;
}

struct bulk *memory_bulk_open(struct memory_net *net, struct service *s)
{
    struct bulk *b = calloc(1, sizeof *b);
    struct service_status status;
    SH_CHECK(b != NULL);
    service_status(s, &status);
    memcpy(b->node, status.node_id, sizeof b->node);
    b->net = net;
    lock(net);
    while (b->number < MEMORY_BULK_AGENTS_MAX && net->ends[b->number] != NULL) {
        b->number++;
    }
    SH_CHECK_CMP(b->number, <, MEMORY_BULK_AGENTS_MAX);
    net->ends[b->number] = b;
    b->serial = ++net->opened;
    unlock(net);
    return b;
}

void memory_bulk_start(struct bulk *bulk)
{
    SH_CHECK(pthread_create(&bulk->thread, NULL, run, bulk) == 0);
    bulk->running = true;
}

void memory_bulk_close(struct bulk *bulk)
{
    struct memory_net *net = bulk->net;
    lock(net);
    bulk->stopping = true;
    SH_CHECK(pthread_cond_broadcast(&net->changed) == 0);
    unlock(net);
    if (bulk->running) {
        SH_CHECK(pthread_join(bulk->thread, NULL) == 0);
    }
    lock(net);
    while (bulk->inbox != NULL) {
        struct message *m = bulk->inbox;
        bulk->inbox = m->next;
        settle(net, m);
        drop(m);
    }
    net->ends[bulk->number] = NULL;
    unlock(net);
    free(bulk);
}

void bulk_on_train(struct bulk *bulk, bulk_frame_fn frame, bulk_down_fn down, void *ctx)
{
    bulk->frame = frame;
    bulk->down = down;
    bulk->ctx = ctx;
}

/* ---- sending ---- */

static void insert(struct bulk *to, struct message *m)
{
    struct message **at = &to->inbox;
    while (*at != NULL && (*at)->due_us <= m->due_us) {
        at = &(*at)->next;
    }
    m->next = *at;
    *at = m;
}

static struct bulk *find_end(struct memory_net *net, const uint8_t *node)
{
    for (uint32_t i = 0; i < MEMORY_BULK_AGENTS_MAX; i++) {
        if (net->ends[i] != NULL && memcmp(net->ends[i]->node, node, SH_NODE_ID_BYTES) == 0) {
            return net->ends[i];
        }
    }
    return NULL;
}

/* With the lock. */
static void cut(struct bulk *b)
{
    struct memory_net *net = b->net;
    b->cut = true;
    for (uint32_t i = 0; i < MEMORY_BULK_AGENTS_MAX; i++) {
        struct message *m = calloc(1, sizeof *m);
        SH_CHECK(m != NULL);
        if (net->ends[i] == NULL || net->ends[i] == b) {
            free(m);
            continue;
        }
        m->due_us = sh_now_us();
        m->from = b->number;
        m->serial = b->serial;
        m->fd = -1;
        m->down = true;
        insert(net->ends[i], m);
    }
    SH_CHECK(pthread_cond_broadcast(&net->changed) == 0);
}

static void count_for_cut(struct bulk *b, uint16_t type)
{
    if (b->cut_after > 0 && type == b->cut_type) {
        b->cut_after--;
        if (b->cut_after == 0) {
            cut(b);
        }
    }
}

static enum sh_err post(struct bulk *bulk, const uint8_t *node, uint16_t type, struct sh_span head,
                        struct sh_span body, int fd)
{
    struct memory_net *net = bulk->net;
    size_t size = head.size + body.size;
    SH_CHECK_CMP(type, <, TYPES);
    SH_CHECK_CMP(size, <=, SH_BULK_CHUNK_BYTES + 4096);
    lock(net);
    if (bulk->out_bytes > 0 && bulk->out_bytes + size > net->config.outbox_bytes) {
        unlock(net);
        return SH_ERR_FULL;
    }
    struct bulk *to = find_end(net, node);
    bool lost = to == NULL || bulk->cut || to->cut ||
                sh_rng_chance(&net->rng, net->config.loss_percent, 100);
    if (!lost) {
        struct message *m = calloc(1, sizeof *m + size);
        SH_CHECK(m != NULL);
        m->from = bulk->number;
        m->serial = bulk->serial;
        m->type = type;
        m->fd = fd < 0 ? -1 : dup(fd);
        SH_CHECK((m->fd < 0) == (fd < 0));
        m->size = size;
        m->due_us = sh_now_us() + sh_rng_below(&net->rng, net->config.delay_us + 1);
        if (head.size > 0) {
            memcpy(m->bytes, head.at, head.size);
        }
        if (body.size > 0) {
            memcpy(m->bytes + head.size, body.at, body.size);
        }
        if (net->damage_type == type && net->damage_at < size) {
            m->bytes[net->damage_at] ^= 1;
            net->damage_type = 0;
        }
        bulk->out_bytes += size;
        insert(to, m);
        SH_CHECK(pthread_cond_broadcast(&net->changed) == 0);
    }
    count_for_cut(bulk, type);
    unlock(net);
    return SH_OK;
}

enum sh_err bulk_send(struct bulk *bulk, const uint8_t node[SH_NODE_ID_BYTES], uint16_t type,
                      struct sh_span head, struct sh_span body)
{
    return post(bulk, node, type, head, body, -1);
}

bool bulk_hand(struct bulk *bulk, const uint8_t node[SH_NODE_ID_BYTES], uint16_t type,
               struct sh_span head, int fd)
{
    return bulk->net->config.one_machine &&
           post(bulk, node, type, head, (struct sh_span){0}, fd) == SH_OK;
}

bool bulk_wait_room(struct bulk *bulk, const uint8_t node[SH_NODE_ID_BYTES], size_t size,
                    uint64_t timeout_us)
{
    (void)node;
    struct memory_net *net = bulk->net;
    uint64_t until = sh_now_us() + timeout_us;
    lock(net);
    bool room = bulk->out_bytes == 0 || bulk->out_bytes + size <= net->config.outbox_bytes;
    while (!room && sh_now_us() < until) {
        wait_until(net, until);
        room = bulk->out_bytes == 0 || bulk->out_bytes + size <= net->config.outbox_bytes;
    }
    unlock(net);
    return room;
}

/* ---- what tests do ---- */

void memory_bulk_cut(struct bulk *bulk, bool on)
{
    lock(bulk->net);
    if (on && !bulk->cut) {
        cut(bulk);
    } else {
        bulk->cut = on;
    }
    unlock(bulk->net);
}

void memory_bulk_cut_after(struct bulk *bulk, uint16_t type, uint32_t frames)
{
    lock(bulk->net);
    bulk->cut_type = type;
    bulk->cut_after = frames;
    unlock(bulk->net);
}

bool memory_bulk_is_cut(struct bulk *bulk)
{
    lock(bulk->net);
    bool is_cut = bulk->cut;
    unlock(bulk->net);
    return is_cut;
}

bool memory_net_wait(struct memory_net *net, uint16_t type, uint32_t frames, uint64_t timeout_us)
{
    uint64_t until = sh_now_us() + timeout_us;
    lock(net);
    uint32_t first = net->delivered[type];
    while (net->delivered[type] - first < frames && sh_now_us() < until) {
        wait_until(net, until);
    }
    bool enough = net->delivered[type] - first >= frames;
    unlock(net);
    return enough;
}

uint64_t memory_net_bytes(struct memory_net *net, uint16_t type)
{
    lock(net);
    uint64_t bytes = net->bytes[type];
    unlock(net);
    return bytes;
}

bool memory_bulk_wait_cut(struct bulk *bulk, uint64_t timeout_us)
{
    uint64_t until = sh_now_us() + timeout_us;
    lock(bulk->net);
    while (!bulk->cut && sh_now_us() < until) {
        wait_until(bulk->net, until);
    }
    bool is_cut = bulk->cut;
    unlock(bulk->net);
    return is_cut;
}

void memory_net_damage(struct memory_net *net, uint16_t type, size_t offset)
{
    lock(net);
    net->damage_type = type;
    net->damage_at = offset;
    unlock(net);
}
