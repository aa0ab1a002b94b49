/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include "base/host/host.h"
#include "tst.h"

#include <poll.h>
#include <string.h>

struct rig_agent *rig_add_on(struct rig *rig, uint8_t secret, uint8_t id, const char *version,
                             uint64_t epoch, uint64_t idle_us, const char *address)
{
    struct trust_secret key;
    uint8_t seed[TRUST_KEY_BYTES];
    char why[LINK_TEXT_MAX + 1];
    sh_host_init();
    EXPECT(rig->count < RIG_MAX);
    struct rig_agent *a = &rig->agents[rig->count++];
    memset(key.bytes, secret, sizeof key.bytes);
    memset(seed, id, sizeof seed);
    *a = (struct rig_agent){0};
    trust_ephemeral(&a->trust, &key, seed, epoch);
    struct link_options options = {
        .trust = &a->trust, .program_version = version, .idle_close_us = idle_us};
    for (unsigned i = 0; i < LINK_PLANES; i++) {
        EXPECT_EQ(link_addr_parse(address, 0, &options.listen[i]), SH_OK);
    }
    enum sh_err err = link_open(&options, &a->link, why);
    if (err != SH_OK) {
        tst_fail(__FILE__, __LINE__, "link_open: %s", why);
    }
    return a;
}

struct rig_agent *rig_add(struct rig *rig, uint8_t secret, uint8_t id, const char *version)
{
    return rig_add_on(rig, secret, id, version, 1, 0, "127.0.0.1:0");
}

void rig_stop(struct rig_agent *agent)
{
    link_close(agent->link, 100);
    agent->link = NULL;
}

void rig_close(struct rig *rig)
{
    for (uint32_t i = 0; i < rig->count; i++) {
        link_close(rig->agents[i].link, 0);
        trust_close(&rig->agents[i].trust);
    }
    rig->count = 0;
}

struct link_plane *rig_plane(struct rig_agent *agent, enum link_plane_id id)
{
    return link_plane_of(agent->link, id);
}

struct link_addr rig_addr(struct rig_agent *agent, enum link_plane_id id)
{
    return link_plane_addr(rig_plane(agent, id));
}

static void take_message(struct rig_agent *a, enum link_plane_id id, const struct link_event *e)
{
    struct rig_plane *p = &a->planes[id];
    p->messages++;
    p->bytes += e->bytes.size;
    memset(p->data, 0, sizeof p->data);
    size_t size = e->bytes.size < sizeof p->data ? e->bytes.size : sizeof p->data;
    memcpy(p->data, e->bytes.at, size);
    if (size >= 8) {
        struct sh_reader r = sh_reader_over(e->bytes.at, e->bytes.size);
        uint64_t number = sh_get_u64(&r);
        p->numbers_wrong += number != p->numbers_next ? 1 : 0;
        p->numbers_next = number + 1;
    }
    if (p->echo) {
        uint8_t copy[64];
        memcpy(copy, p->data, sizeof copy);
        struct sh_span head = {.at = copy, .size = size};
        p->echo_lost += link_send(rig_plane(a, id), sh_now_us(), e->node, e->type, head,
                                  (struct sh_span){0}) != SH_OK
                            ? 1
                            : 0;
    }
}

static void handle(struct rig_agent *a, enum link_plane_id id, const struct link_event *e)
{
    struct rig_plane *p = &a->planes[id];
    p->last[e->kind] = *e;
    switch (e->kind) {
    case LINK_MESSAGE:
        take_message(a, id, e);
        break;
    case LINK_UP:
        p->ups++;
        break;
    case LINK_DOWN:
        p->downs++;
        p->hints += e->graceful ? 0 : 1;
        break;
    case LINK_UNREACHABLE:
        p->unreachable++;
        break;
    case LINK_WRONG_SECRET:
        p->wrong_secret++;
        break;
    case LINK_REFUSED:
        p->refused++;
        break;
    case LINK_WRITABLE:
        p->writable++;
        break;
    }
}

static void drain(struct rig_agent *a, enum link_plane_id id)
{
    struct link_event event;
    for (unsigned budget = 0; budget < 4096; budget++) {
        if (!link_next(rig_plane(a, id), sh_now_us(), &event)) {
            break;
        }
        handle(a, id, &event);
    }
}

void rig_turn(struct rig *rig, int wait_ms)
{
    struct pollfd fds[RIG_MAX * LINK_PLANES];
    nfds_t count = 0;
    uint64_t now = sh_now_us();
    for (uint32_t i = 0; i < rig->count; i++) {
        for (unsigned j = 0; j < LINK_PLANES && rig->agents[i].link != NULL; j++) {
            struct link_plane *plane = rig_plane(&rig->agents[i], (enum link_plane_id)j);
            fds[count++] = (struct pollfd){.fd = link_plane_fd(plane), .events = POLLIN};
            uint64_t due = link_deadline_us(plane);
            uint64_t left_ms = due <= now ? 0 : (due - now + 999) / 1000;
            wait_ms = link_pending(plane) ? 0 : wait_ms;
            wait_ms = left_ms < (uint64_t)wait_ms ? (int)left_ms : wait_ms;
        }
    }
    EXPECT(poll(fds, count, wait_ms) >= 0);
    for (uint32_t i = 0; i < rig->count; i++) {
        for (unsigned j = 0; j < LINK_PLANES && rig->agents[i].link != NULL; j++) {
            drain(&rig->agents[i], (enum link_plane_id)j);
        }
    }
}

uint64_t rig_await(struct rig *rig, const uint64_t *counter, uint64_t wanted, uint64_t limit_ms,
                   const char *what)
{
    uint64_t start = sh_now_us();
    while (*counter < wanted) {
        if (sh_now_us() > start + limit_ms * 1000) {
            tst_fail(__FILE__, __LINE__, "%s within %llu ms: %llu", what,
                     (unsigned long long)limit_ms, (unsigned long long)*counter);
        }
        rig_turn(rig, 20);
    }
    return sh_now_us() - start;
}

void rig_run(struct rig *rig, uint64_t us)
{
    uint64_t end = sh_now_us() + us;
    while (sh_now_us() < end) {
        rig_turn(rig, 5);
    }
}

enum sh_err rig_send(struct rig_agent *from, enum link_plane_id id, const struct rig_agent *to,
                     uint16_t type, const void *bytes, size_t size)
{
    return link_send(rig_plane(from, id), sh_now_us(), to->trust.node, type,
                     (struct sh_span){.at = bytes, .size = size}, (struct sh_span){0});
}

void rig_join(struct rig *rig, struct rig_agent *from, struct rig_agent *to, enum link_plane_id id)
{
    struct link_addr addr = rig_addr(to, id);
    uint64_t ups = to->planes[id].ups;
    EXPECT_EQ(link_connect(rig_plane(from, id), sh_now_us(), &addr), SH_OK);
    RIG_AWAIT(rig, from->planes[id].ups, 1, 5000);
    RIG_AWAIT(rig, to->planes[id].ups, ups + 1, 5000);
}
