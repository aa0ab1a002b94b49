/* SPDX-License-Identifier: Apache-2.0 */
#include "link/plane.h"

#include "base/host/host.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define RETRY_US        1000u    /* a blocked sender is told to try again after this long */
#define DROPS_MAX       64u      /* messages dropped in one link_next */
#define LOOKS           64u      /* messages between two looks at quiet sockets */
#define WRONG_SECRET_US 1000000u /* between two events of the listener */

/* sign: what link_next sets to false when the descriptor is readable. */
static bool watch_fd(int epoll_fd, void *socket, bool *sign)
{
    int fd = LINK_NO_FD;
    size_t size = sizeof fd;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = sign};
    return zmq_getsockopt(socket, ZMQ_FD, &fd, &size) == 0 &&
           epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* What has signalled is not quiet any more. */
static void look(struct link_plane *plane)
{
    struct epoll_event events[2 * LINK_SIDES];
    int n = epoll_wait(plane->epoll_fd, events, 2 * LINK_SIDES, 0);
    SH_CHECK(n >= 0 || errno == EINTR);
    for (int i = 0; i < n; i++) {
        *(bool *)events[i].data.ptr = false;
    }
}

enum sh_err link_plane_open(struct link_plane *plane, void *context)
{
    plane->spec = &link_plane_specs[plane->id];
    plane->deadline_us = UINT64_MAX;
    plane->event_ring = sh_ring_of(LINK_EVENTS_MAX);
    plane->events = calloc(LINK_EVENTS_MAX, sizeof *plane->events);
    plane->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    sh_rng_init(&plane->rng, sh_random_u64());
    if (plane->events == NULL || plane->epoll_fd < 0) {
        return SH_ERR_NO_MEMORY;
    }
    enum sh_err err = link_peers_init(&plane->peers);
    for (unsigned side = 0; side < LINK_SIDES && err == SH_OK; side++) {
        struct link_socket *s = &plane->sides[side];
        err = link_socket_open(s, context, plane->trust, plane->id, (enum link_side)side);
        if (err == SH_OK && (!watch_fd(plane->epoll_fd, s->socket, &s->quiet) ||
                             !watch_fd(plane->epoll_fd, s->monitor, &s->monitor_quiet))) {
            err = SH_ERR_IO;
        }
    }
    return err == SH_OK ? link_socket_bind(&plane->sides[LINK_IN], &plane->listen) : err;
}

static void release_current(struct link_plane *plane)
{
    if (plane->has_current) {
        SH_CHECK(zmq_msg_close(&plane->current) == 0);
        plane->has_current = false;
    }
}

void link_plane_close(struct link_plane *plane, uint32_t flush_ms)
{
    release_current(plane);
    for (uint32_t i = 0; i < plane->peers.high; i++) {
        const struct link_slot *slot = &plane->peers.slots[i];
        if (slot->used && slot->in_up) {
            link_plane_say(plane, LINK_IN, slot, FRAME_BYE, (struct sh_span){0});
        }
        if (slot->used && slot->dial == LINK_DIAL_UP) {
            link_plane_say(plane, LINK_OUT, slot, FRAME_BYE, (struct sh_span){0});
        }
    }
    for (unsigned side = 0; side < LINK_SIDES; side++) {
        link_socket_close(&plane->sides[side], (int)flush_ms);
    }
    link_peers_free(&plane->peers);
    free(plane->events);
    plane->events = NULL;
    if (plane->epoll_fd >= 0) {
        SH_CHECK(close(plane->epoll_fd) == 0);
    }
    plane->epoll_fd = LINK_NO_FD;
}

struct link_event *link_plane_emit(struct link_plane *plane, enum link_event_kind kind)
{
    bool diagnosis = kind != LINK_UP && kind != LINK_DOWN;
    uint32_t limit = diagnosis ? LINK_EVENTS_DIAGNOSES : LINK_EVENTS_MAX;
    if (plane->event_ring.count >= limit) {
        plane->stats.events_lost++;
        return NULL;
    }
    struct link_event *event = &plane->events[sh_ring_push(&plane->event_ring)];
    *event = (struct link_event){.kind = kind};
    return event;
}

void link_plane_due(struct link_plane *plane, uint64_t at_us)
{
    plane->deadline_us = at_us < plane->deadline_us ? at_us : plane->deadline_us;
}

void link_plane_name(const struct link_addr *addr, char out[static LINK_NAME_MAX])
{
    if (link_addr_is_unspecified(addr)) {
        (void)snprintf(out, LINK_NAME_MAX, "an unknown address");
        return;
    }
    link_addr_format(addr, out);
    if (addr->port == 0) {
        *strrchr(out, ':') = '\0';
    }
}

/* --- sending -------------------------------------------------------------------------------- */
void link_plane_say(struct link_plane *plane, enum link_side side, const struct link_slot *slot,
                    uint16_t type, struct sh_span payload)
{
    zmq_msg_t message;
    const uint8_t *rid = side == LINK_IN ? slot->in_rid : slot->out_rid;
    size_t size = side == LINK_IN ? slot->in_rid_size : LINK_RID_MAX;
    if (size == 0 || link_socket_message(&message, type, payload, (struct sh_span){0},
                                         plane->trust->cluster) != SH_OK) {
        return;
    }
    if (link_socket_send(&plane->sides[side], rid, size, &message) != SH_OK) {
        SH_CHECK(zmq_msg_close(&message) == 0);
    }
}

void link_plane_unblock(struct link_plane *plane, struct link_slot *slot)
{
    if (slot->blocked) {
        SH_CHECK_CMP(plane->blocked, >, 0);
        plane->blocked--;
        slot->blocked = false;
    }
}

static void block(struct link_plane *plane, struct link_slot *slot, uint64_t now_us)
{
    plane->stats.full++;
    if (!slot->blocked) {
        slot->blocked = true;
        plane->retry_us = plane->blocked == 0 ? now_us + RETRY_US : plane->retry_us;
        plane->blocked++;
    }
    link_plane_due(plane, plane->retry_us);
}

/* Takes the message when OK. A connection found gone is cleared and the other one tried. */
static enum sh_err send_now(struct link_plane *plane, struct link_slot *slot, zmq_msg_t *message,
                            uint64_t now_us)
{
    uint64_t size = zmq_msg_size(message);
    for (unsigned attempt = 0; attempt < LINK_SIDES; attempt++) {
        bool in = slot->in_up && (slot->prefer_in || slot->dial != LINK_DIAL_UP);
        enum sh_err err = SH_ERR_UNREACHABLE;
        if (in) {
            err =
                link_socket_send(&plane->sides[LINK_IN], slot->in_rid, slot->in_rid_size, message);
        } else if (slot->dial == LINK_DIAL_UP) {
            err = link_socket_send(&plane->sides[LINK_OUT], slot->out_rid, LINK_RID_MAX, message);
            slot->out_used_us = now_us;
        }
        if (err == SH_OK) {
            plane->stats.sent++;
            plane->stats.sent_bytes += size;
        }
        if (err != SH_ERR_UNREACHABLE) {
            return err;
        }
        if (in) {
            link_peers_clear_rid(&plane->peers, slot, LINK_IN);
        } else if (slot->dial == LINK_DIAL_UP) {
            link_dial_close(plane, slot, now_us);
        }
    }
    link_session_down(plane, slot, false);
    return SH_ERR_UNREACHABLE;
}

void link_plane_flush(struct link_plane *plane, struct link_slot *slot, uint64_t now_us)
{
    enum sh_err err = SH_OK;
    while (slot->pending_ring.count > 0 && err == SH_OK) {
        uint32_t at = sh_ring_at(&slot->pending_ring, 0);
        err = send_now(plane, slot, &slot->pending[at], now_us);
        if (err == SH_OK) {
            (void)sh_ring_pop(&slot->pending_ring);
        }
    }
    if (err != SH_OK) {
        link_plane_due(plane, now_us + RETRY_US);
    }
}

static enum sh_err hold(struct link_plane *plane, struct link_slot *slot, zmq_msg_t *message,
                        uint64_t now_us)
{
    if (sh_ring_full(&slot->pending_ring)) {
        block(plane, slot, now_us);
        return SH_ERR_FULL;
    }
    zmq_msg_t *place = &slot->pending[sh_ring_push(&slot->pending_ring)];
    SH_CHECK(zmq_msg_init(place) == 0);
    SH_CHECK(zmq_msg_move(place, message) == 0);
    return SH_OK;
}

/* Sends, or holds while a dial is under way. */
static enum sh_err pass(struct link_plane *plane, struct link_slot *slot, zmq_msg_t *message,
                        uint64_t now_us)
{
    bool connected = slot->in_up || slot->dial == LINK_DIAL_UP;
    if (connected && slot->pending_ring.count == 0) {
        enum sh_err err = send_now(plane, slot, message, now_us);
        if (err == SH_ERR_FULL) {
            block(plane, slot, now_us);
        }
        if (err != SH_ERR_UNREACHABLE) {
            return err;
        }
        connected = false;
    }
    if (!connected && slot->dial == LINK_DIAL_NONE) {
        bool resting = slot->failures > 0 && now_us < slot->next_dial_us;
        if (!slot->has_addr || resting) {
            return SH_ERR_UNREACHABLE;
        }
        if (now_us >= slot->next_dial_us) {
            link_dial_start(plane, slot, now_us);
        }
        if (slot->failures > 0 && slot->dial == LINK_DIAL_NONE) {
            return SH_ERR_UNREACHABLE;
        }
        link_plane_due(plane, slot->next_dial_us);
    }
    return hold(plane, slot, message, now_us);
}

_Static_assert(sizeof(struct link_message) == sizeof(zmq_msg_t), "a message is one of libzmq");
_Static_assert(_Alignof(struct link_message) >= _Alignof(zmq_msg_t), "and as aligned");

static zmq_msg_t *inner(struct link_message *message)
{
    return (zmq_msg_t *)(void *)message->opaque;
}

enum sh_err link_message_make(struct link_message *out, const struct link_plane *plane,
                              uint16_t type, struct sh_span head, struct sh_span body)
{
    SH_CHECK(frame_type_on(type, plane->spec->frame_plane));
    if (head.size > plane->spec->bytes_max || body.size > plane->spec->bytes_max - head.size) {
        return SH_ERR_LIMIT;
    }
    return link_socket_message(inner(out), type, head, body, plane->trust->cluster);
}

enum sh_err link_pass(struct link_plane *plane, uint64_t now_us,
                      const uint8_t node[static SH_NODE_ID_BYTES], struct link_message *message)
{
    if (memcmp(node, plane->trust->node, SH_NODE_ID_BYTES) == 0) {
        return SH_ERR_INVALID;
    }
    struct link_slot *slot = link_peers_by_node(&plane->peers, node);
    enum sh_err err = slot != NULL ? pass(plane, slot, inner(message), now_us) : SH_ERR_UNREACHABLE;
    plane->stats.unreachable += err == SH_ERR_UNREACHABLE ? 1 : 0;
    return err;
}

void link_message_drop(struct link_message *message)
{
    SH_CHECK(zmq_msg_close(inner(message)) == 0);
}

enum sh_err link_send(struct link_plane *plane, uint64_t now_us,
                      const uint8_t node[static SH_NODE_ID_BYTES], uint16_t type,
                      struct sh_span head, struct sh_span body)
{
    struct link_message message;
    enum sh_err err = link_message_make(&message, plane, type, head, body);
    if (err == SH_OK) {
        err = link_pass(plane, now_us, node, &message);
        link_message_drop(&message);
    }
    return err;
}

/* --- receiving ------------------------------------------------------------------------------ */
/* The inbound connection that the message came by, when it has said HELLO under this key. */
static struct link_slot *sender_of(const struct link_plane *plane, enum link_side side,
                                   const struct link_arrival *arrival)
{
    struct link_slot *slot =
        link_peers_by_rid(&plane->peers, side, arrival->rid, arrival->rid_size);
    if (slot != NULL && side == LINK_IN) {
        const char *user = zmq_msg_gets(arrival->message, "User-Id");
        if (user == NULL || strcmp(user, slot->in_user) != 0) {
            return NULL; /* another client took over a routing id */
        }
    }
    return slot;
}

static void deliver(struct link_plane *plane, struct link_slot *slot, enum link_side side,
                    const struct frame_header *header, struct sh_span payload, uint64_t now_us,
                    struct link_event *out)
{
    plane->stats.received++;
    plane->stats.received_bytes += payload.size + FRAME_HEADER_BYTES;
    slot->out_used_us = side == LINK_OUT ? now_us : slot->out_used_us;
    out->kind = LINK_MESSAGE;
    out->node_known = true;
    memcpy(out->node, slot->node, sizeof out->node);
    out->type = header->type;
    out->bytes = payload;
    out->text[0] = '\0';
}

/* True: out is a message for the owner, borrowed from plane->current. */
static bool take(struct link_plane *plane, enum link_side side, const struct link_arrival *arrival,
                 uint64_t now_us, struct link_event *out)
{
    struct frame_header header;
    struct sh_span payload;
    struct sh_span bytes = {.at = zmq_msg_data(arrival->message),
                            .size = zmq_msg_size(arrival->message)};
    enum sh_err err = arrival->whole && arrival->rid_size > 0
                          ? frame_decode(bytes, &header, &payload)
                          : SH_ERR_CORRUPT;
    if (err == SH_ERR_CORRUPT || (err == SH_ERR_VERSION && header.type >= FRAME_BYE)) {
        plane->stats.malformed++;
        return false;
    }
    struct link_slot *slot = sender_of(plane, side, arrival);
    if (header.type <= FRAME_BYE) {
        link_session_take(plane, side, slot, arrival, &header, payload, now_us);
        return false;
    }
    bool ready = slot != NULL && (side == LINK_IN || slot->dial == LINK_DIAL_UP);
    bool sound = frame_type_on(header.type, plane->spec->frame_plane) &&
                 memcmp(header.cluster, plane->trust->cluster, sizeof header.cluster) == 0;
    plane->stats.before_hello += !ready ? 1 : 0;
    plane->stats.malformed += ready && !sound ? 1 : 0;
    if (ready && sound) {
        deliver(plane, slot, side, &header, payload, now_us, out);
    }
    return ready && sound;
}

/* One message for the owner, from the two sides in turn. */
static bool receive(struct link_plane *plane, uint64_t now_us, struct link_event *out)
{
    unsigned empty = 0;
    for (unsigned drops = 0; drops < DROPS_MAX && empty < LINK_SIDES;) {
        enum link_side side = plane->turn++ % 2 == 0 ? LINK_IN : LINK_OUT;
        struct link_arrival arrival;
        if (!link_socket_receive(&plane->sides[side], &arrival, &plane->current)) {
            empty++;
            continue;
        }
        empty = 0;
        plane->has_current = true;
        if (take(plane, side, &arrival, now_us, out)) {
            return true;
        }
        release_current(plane);
        drops++;
        if (plane->event_ring.count > 0) {
            break; /* what the message caused comes before what follows it */
        }
    }
    return false;
}

/* --- monitors ------------------------------------------------------------------------------- */
static void remember_accept(struct link_plane *plane, int fd)
{
    struct sockaddr_storage storage;
    socklen_t size = sizeof storage;
    struct link_accept *a = &plane->accepts[plane->accepts_next++ % LINK_ACCEPTS_MAX];
    *a = (struct link_accept){.fd = fd};
    /* The connection may be gone by now, or its number reused: good enough for a diagnosis. */
    if (getpeername(fd, (struct sockaddr *)&storage, &size) != 0 ||
        !link_addr_from_sockaddr(&storage, &a->addr)) {
        a->addr = (struct link_addr){0};
    }
}

static struct link_addr accepted_from(const struct link_plane *plane, int fd)
{
    for (unsigned i = 0; i < LINK_ACCEPTS_MAX; i++) {
        unsigned at = (plane->accepts_next - 1 - i) % LINK_ACCEPTS_MAX;
        if (plane->accepts[at].fd == fd) {
            return plane->accepts[at].addr;
        }
    }
    return (struct link_addr){0};
}

static void tell_wrong_secret(struct link_plane *plane, int fd, uint64_t now_us)
{
    char name[LINK_NAME_MAX];
    plane->stats.wrong_secret++;
    bool recent =
        plane->stats.wrong_secret > 1 && now_us < plane->wrong_secret_us + WRONG_SECRET_US;
    struct link_event *event = recent ? NULL : link_plane_emit(plane, LINK_WRONG_SECRET);
    if (event == NULL) {
        return;
    }
    plane->wrong_secret_us = now_us;
    event->err = SH_ERR_DENIED;
    event->addr = accepted_from(plane, fd);
    event->addr.port = 0;
    link_plane_name(&event->addr, name);
    (void)snprintf(event->text, sizeof event->text,
                   "an agent at %s was refused (%s plane): it holds another cluster secret", name,
                   plane->spec->name);
}

static void apply_in(struct link_plane *plane, const struct link_wire *wire, uint64_t now_us)
{
    if (wire->kind == LINK_WIRE_CONNECTED) {
        remember_accept(plane, wire->fd);
    } else if (wire->kind == LINK_WIRE_HANDSHAKE_FAILED) {
        plane->handshake_failed = true;
        plane->handshake_crypto = wire->crypto;
    } else if (wire->kind == LINK_WIRE_DISCONNECTED && plane->handshake_failed) {
        plane->handshake_failed = false;
        if (plane->handshake_crypto) {
            tell_wrong_secret(plane, wire->fd, now_us);
        }
    } else if (wire->kind == LINK_WIRE_DISCONNECTED) {
        struct link_slot *slot = link_peers_by_fd(&plane->peers, wire->fd);
        if (slot != NULL) {
            link_peers_clear_rid(&plane->peers, slot, LINK_IN);
            link_session_down(plane, slot, false);
        }
    }
}

static void apply_out(struct link_plane *plane, const struct link_wire *wire, uint64_t now_us)
{
    struct link_slot *slot = link_peers_dialled(&plane->peers, &wire->addr);
    if (slot == NULL) {
        return; /* of a connection that is closed already */
    }
    if (wire->kind == LINK_WIRE_CONNECTED && slot->out_fd == LINK_NO_FD) {
        slot->out_fd = wire->fd;
    } else if (wire->kind == LINK_WIRE_HANDSHAKE_FAILED) {
        slot->handshake_failed = slot->dial == LINK_DIAL_WAITING;
    } else if (wire->kind == LINK_WIRE_NOT_CONNECTED && slot->dial == LINK_DIAL_WAITING &&
               slot->out_fd == LINK_NO_FD) {
        link_dial_fail(plane, slot, now_us, LINK_END_REFUSED);
    } else if (wire->kind == LINK_WIRE_DISCONNECTED && slot->out_fd == wire->fd) {
        if (slot->dial == LINK_DIAL_WAITING) {
            link_dial_fail(plane, slot, now_us, LINK_END_HANDSHAKE);
        } else {
            link_dial_close(plane, slot, now_us);
            link_session_down(plane, slot, false);
        }
    }
}

static void apply(struct link_plane *plane, enum link_side side, uint64_t now_us)
{
    plane->has_deferred[side] = false;
    if (side == LINK_IN) {
        apply_in(plane, &plane->deferred[side], now_us);
    } else {
        apply_out(plane, &plane->deferred[side], now_us);
    }
}

void link_plane_settle(struct link_plane *plane, uint64_t now_us)
{
    look(plane);
    for (unsigned side = 0; side < LINK_SIDES; side++) {
        do {
            if (plane->has_deferred[side]) {
                apply(plane, (enum link_side)side, now_us);
            }
            plane->has_deferred[side] =
                link_socket_watch(&plane->sides[side], &plane->deferred[side]);
        } while (plane->has_deferred[side]);
    }
}

/* An event is read, then the messages that came before it are taken, then it is applied. */
static bool watch(struct link_plane *plane, uint64_t now_us)
{
    for (unsigned side = 0; side < LINK_SIDES; side++) {
        if (plane->has_deferred[side]) {
            apply(plane, (enum link_side)side, now_us);
            return true;
        }
    }
    for (unsigned side = 0; side < LINK_SIDES; side++) {
        if (link_socket_watch(&plane->sides[side], &plane->deferred[side])) {
            plane->has_deferred[side] = true;
            look(plane); /* for those messages */
            return true;
        }
    }
    return false;
}

/* --- the owner's view ----------------------------------------------------------------------- */
static bool pop_event(struct link_plane *plane, struct link_event *out)
{
    if (plane->event_ring.count == 0) {
        return false;
    }
    *out = plane->events[sh_ring_pop(&plane->event_ring)];
    return true;
}

/* Tells the owners of blocked sends to try again; libzmq cannot say for which peer there is room.
 */
static void offer_retries(struct link_plane *plane, uint64_t now_us)
{
    if (plane->blocked == 0 || now_us < plane->retry_us) {
        return;
    }
    for (uint32_t i = 0; i < plane->peers.high; i++) {
        struct link_slot *slot = &plane->peers.slots[i];
        bool room = slot->used && slot->blocked && !sh_ring_full(&slot->pending_ring);
        struct link_event *event = room ? link_plane_emit(plane, LINK_WRITABLE) : NULL;
        if (event != NULL) {
            link_plane_unblock(plane, slot);
            event->node_known = true;
            memcpy(event->node, slot->node, sizeof event->node);
        }
    }
    if (plane->blocked > 0) {
        plane->retry_us = now_us + RETRY_US;
        link_plane_due(plane, plane->retry_us);
    }
}

/* Where all are quiet, and now and then, because one may be busy without end. */
static void rouse(struct link_plane *plane)
{
    bool quiet = true;
    for (unsigned side = 0; side < LINK_SIDES; side++) {
        quiet = quiet && link_socket_quiet(&plane->sides[side]);
    }
    if (quiet || plane->looks++ % LOOKS == 0) {
        look(plane);
    }
}

bool link_next(struct link_plane *plane, uint64_t now_us, struct link_event *out)
{
    release_current(plane);
    rouse(plane);
    if (now_us >= plane->deadline_us) {
        link_dial_tick(plane, now_us);
    }
    for (;;) {
        if (pop_event(plane, out) || receive(plane, now_us, out)) {
            return true;
        }
        if (plane->event_ring.count == 0 && !watch(plane, now_us)) {
            offer_retries(plane, now_us);
            if (plane->event_ring.count == 0) {
                return false;
            }
        }
    }
}

bool link_pending(struct link_plane *plane)
{
    bool pending = plane->event_ring.count > 0;
    for (unsigned side = 0; side < LINK_SIDES && !pending; side++) {
        pending = plane->has_deferred[side] || link_socket_pending(&plane->sides[side]);
    }
    return pending;
}

uint64_t link_deadline_us(const struct link_plane *plane)
{
    return plane->deadline_us;
}

int link_plane_fd(const struct link_plane *plane)
{
    return plane->epoll_fd;
}

struct link_addr link_plane_addr(const struct link_plane *plane)
{
    return plane->listen;
}

uint32_t link_plane_bytes_max(const struct link_plane *plane)
{
    return plane->spec->bytes_max;
}

struct link_stats link_plane_stats(const struct link_plane *plane)
{
    return plane->stats;
}
