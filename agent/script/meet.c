/* SPDX-License-Identifier: Apache-2.0
 *
 * Members of a gang ask the first one where to connect to, and tell it that they are done. */
#include "script/inside.h"

#include "base/host/host.h"
#include "jobs/view.h"
#include "train/clock.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum op {
    OP_WHERE = 1, /* to the first member: where it waits for connections */
    OP_DONE = 2,  /* to the first member: my commands have succeeded */
    OP_THERE = 3  /* to any: do you work on this generation, and have met the first member */
};
enum { REQUEST_BYTES = 64, REPLY_BYTES = 16 };

/* ---- the first member ---- */

/* A port that is free now. The commands bind it a moment later: where somebody else was quicker
 * they fail, and are tried again. */
static uint16_t free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool good = fd >= 0 && bind(fd, (const struct sockaddr *)(const void *)&at, sizeof at) == 0 &&
                getsockname(fd, (struct sockaddr *)(void *)&at, &size) == 0;
    if (fd >= 0) {
        SH_MAY_FAIL(close(fd) == 0);
    }
    return good ? ntohs(at.sin_port) : 0;
}

static void host_of(const char *addr, char host[static SH_ADDR_MAX + 1])
{
    const char *colon = strrchr(addr, ':');
    size_t n = colon != NULL ? (size_t)(colon - addr) : strlen(addr);
    (void)snprintf(host, SH_ADDR_MAX + 1, "%.*s", (int)n, addr);
}

/* Where others reach the first member. */
static bool first_host(struct script_unit *x, char host[static SH_ADDR_MAX + 1])
{
    struct service_view *view;
    struct jobs_node node;
    if (service_view_open(script_config(x)->s, &view) != SH_OK) {
        return false;
    }
    enum sh_err err =
        jobs_node_get(service_view_table(view), x->w.at.placement.members[0].node, &node);
    service_view_close(view);
    if (err == SH_OK) {
        host_of(node.addr, host);
    }
    return err == SH_OK;
}

/* ---- asking it ---- */

static struct sh_writer request_begin(const struct script_unit *x, uint8_t *bytes, enum op op)
{
    struct sh_writer w = sh_writer_over(bytes, REQUEST_BYTES);
    wire_unit_put(&w, x->w.config.unit);
    sh_put_u8(&w, (uint8_t)op);
    wire_fence_put(&w, x->w.at.placement.fence);
    sh_put_u16(&w, (uint16_t)x->index);
    sh_put_u64(&w, x->number);
    SH_CHECK(!w.full);
    return w;
}

/* NOT_FOUND: it does not work on this generation (yet, or any more); CONFLICT: it does, and has
 * answered an earlier run of this agent. */
static enum sh_err ask(struct script_unit *x, uint32_t member, enum op op, uint16_t *port)
{
    uint8_t bytes[REQUEST_BYTES];
    uint8_t reply[REPLY_BYTES];
    size_t size = 0;
    struct sh_writer w = request_begin(x, bytes, op);
    enum sh_err err = service_call(script_config(x)->s, x->w.at.placement.members[member].node,
                                   SERVICE_CALL_SCRIPT, bytes, w.used, reply, sizeof reply, &size,
                                   SCRIPT_CALL_US);
    if (err == SH_OK) {
        struct sh_reader r = sh_reader_over(reply, size);
        *port = sh_get_u16(&r);
        err = sh_reader_end(&r);
    }
    return err;
}

/* False when interrupted. */
static bool pause_before_next(struct script_unit *x)
{
    uint64_t until = sh_now_us() + SCRIPT_AGAIN_US;
    train_worker_lock(&x->w);
    while (!train_worker_has_news(&x->w) && sh_now_us() < until) {
        train_clock_wait(&x->w.changed, &x->w.lock, until);
    }
    bool go_on = !train_worker_has_news(&x->w);
    train_worker_unlock(&x->w);
    return go_on;
}

/* Asks until there is an answer; one that never comes is reported, and asked on for. */
static bool insist(struct script_unit *x, enum op op, uint16_t *port)
{
    uint64_t report_at = sh_now_us() + SCRIPT_MEET_US;
    enum sh_err err = ask(x, 0, op, port);
    while (err != SH_OK) {
        if (err == SH_ERR_CONFLICT) { /* this agent restarted: the others run without it */
            train_scribe_lost(x->w.scribe, x->w.at.placement.fence, x->w.me);
        } else if (sh_now_us() >= report_at) {
            train_scribe_lost(x->w.scribe, x->w.at.placement.fence,
                              x->w.at.placement.members[0].node);
        }
        if (!pause_before_next(x)) {
            return false;
        }
        err = ask(x, 0, op, port);
    }
    return true;
}

/* The first member restarted where others have met an earlier run of it. */
static bool others_have_met(struct script_unit *x)
{
    bool met = false;
    for (uint32_t i = 1; i < x->w.at.placement.member_count && !met; i++) {
        uint16_t port = 0;
        met = ask(x, i, OP_THERE, &port) == SH_OK && port != 0;
    }
    return met;
}

static void wait_for_another(struct script_unit *x)
{
    do {
        train_scribe_lost(x->w.scribe, x->w.at.placement.fence, x->w.me);
    } while (pause_before_next(x));
}

bool script_meet(struct script_unit *x, char host[static SH_ADDR_MAX + 1], uint16_t *port)
{
    (void)snprintf(host, SH_ADDR_MAX + 1, "127.0.0.1");
    *port = 0;
    while (x->w.at.placement.member_count > 1 && !first_host(x, host)) {
        if (!pause_before_next(x)) { /* the tables could not be read: they are looked at again */
            return false;
        }
    }
    if (x->index > 0 && !insist(x, OP_WHERE, port)) {
        return false;
    }
    if (x->index == 0 && others_have_met(x)) {
        wait_for_another(x);
        return false;
    }
    *port = x->index == 0 ? free_port() : *port;
    train_worker_lock(&x->w);
    x->meet_index = x->w.at.placement.fence.index;
    x->port = *port;
    memset(x->met, 0, sizeof x->met);
    x->done = 1;
    train_worker_unlock(&x->w);
    return true;
}

bool script_all_there(struct script_unit *x)
{
    uint64_t until = sh_now_us() + SCRIPT_BLAME_US;
    bool gone = false;
    for (uint32_t i = 0; i < x->w.at.placement.member_count; i++) {
        uint16_t port = 0;
        if (i != x->index && ask(x, i, OP_THERE, &port) != SH_OK) {
            train_scribe_lost(x->w.scribe, x->w.at.placement.fence,
                              x->w.at.placement.members[i].node);
            gone = true;
        }
    }
    bool go_on = true;
    while (gone && go_on && sh_now_us() < until) {
        go_on = pause_before_next(x);
    }
    return go_on;
}

bool script_finish_together(struct script_unit *x)
{
    uint16_t port = 0;
    uint32_t count = x->w.at.placement.member_count;
    uint32_t all = count == WIRE_MEMBERS_MAX ? UINT32_MAX : (1u << count) - 1;
    if (x->index > 0) {
        return insist(x, OP_DONE, &port);
    }
    train_worker_lock(&x->w);
    while (!train_worker_has_news(&x->w) && x->done != all) {
        train_clock_wait(&x->w.changed, &x->w.lock, UINT64_MAX);
    }
    bool together = x->done == all;
    train_worker_unlock(&x->w);
    return together;
}

/* ---- answering ---- */

enum sh_err script_request_unit(struct sh_span request, struct wire_unit *unit)
{
    struct sh_reader r = sh_reader_over(request.at, request.size);
    *unit = wire_unit_get(&r);
    return r.bad ? SH_ERR_CORRUPT : SH_OK;
}

enum sh_err script_answer(struct script_unit *x, struct sh_span request, uint8_t *reply,
                          size_t capacity, size_t *reply_size)
{
    struct sh_reader r = sh_reader_over(request.at, request.size);
    struct sh_writer w = sh_writer_over(reply, capacity);
    (void)wire_unit_get(&r);
    uint8_t op = sh_get_u8(&r);
    struct wire_fence fence = wire_fence_get(&r);
    uint16_t member = sh_get_u16(&r);
    uint64_t number = sh_get_u64(&r);
    if (r.bad || member >= WIRE_MEMBERS_MAX || op < OP_WHERE || op > OP_THERE) {
        return SH_ERR_CORRUPT;
    }
    train_worker_lock(&x->w);
    bool ready = x->meet_index != 0 && x->meet_index == fence.index;
    bool works = ready || wire_fence_equal(x->w.at.placement.fence, fence);
    bool again = ready && op == OP_WHERE && x->met[member] != 0 && x->met[member] != number;
    sh_put_u16(&w, ready ? x->port : 0);
    if (ready && op != OP_THERE) {
        x->met[member] = again ? x->met[member] : number;
        x->done |= op == OP_DONE ? 1u << member : 0;
        train_worker_signal(&x->w);
    }
    train_worker_unlock(&x->w);
    *reply_size = w.used;
    if (w.full) {
        return SH_ERR_LIMIT;
    }
    bool good = op == OP_THERE ? works : ready;
    return !good ? SH_ERR_NOT_FOUND : again ? SH_ERR_CONFLICT : SH_OK;
}
