/* SPDX-License-Identifier: Apache-2.0 */
#include "link/plane.h"

#include "base/host/host.h"

#include <stdio.h>
#include <string.h>

void link_session_introduce(const struct link_plane *plane, const struct link_addr *peer,
                            struct link_hello *hello)
{
    struct link_addr *said[LINK_PLANES] = {&hello->control, &hello->bulk};
    (void)snprintf(hello->version, sizeof hello->version, "%s", plane->version);
    for (unsigned i = 0; i < LINK_PLANES; i++) {
        *said[i] = plane->advertise[i];
    }
    hello->gossip = plane->gossip;
    struct link_addr *all[] = {&hello->control, &hello->bulk, &hello->gossip};
    for (unsigned i = 0; i < SH_COUNT(all); i++) {
        if (link_addr_is_loopback(all[i]) && !link_addr_is_loopback(peer)) {
            memset(all[i]->ip, 0, sizeof all[i]->ip); /* "where you see me" */
        }
    }
}

/* Who sent the message, by libzmq's account; port unknown. */
static struct link_addr seen_at(const struct link_arrival *arrival)
{
    struct link_addr addr = {0};
    const char *ip = zmq_msg_gets(arrival->message, "Peer-Address");
    char text[SH_ADDR_MAX + 1];
    if (ip != NULL && strlen(ip) < sizeof text - 4) {
        (void)snprintf(text, sizeof text, strchr(ip, ':') != NULL ? "[%s]:1" : "%s:1", ip);
        if (link_addr_parse(text, 0, &addr) == SH_OK) {
            addr.port = 0;
        }
    }
    return addr;
}

static struct link_addr fill(struct link_addr said, const struct link_addr *seen)
{
    if (said.port != 0 && link_addr_is_unspecified(&said)) {
        memcpy(said.ip, seen->ip, sizeof said.ip);
    }
    return said;
}

static void describe(struct link_peer *peer, const struct link_hello *hello,
                     const struct link_addr *seen)
{
    peer->boot_epoch = hello->boot_epoch;
    memcpy(peer->version, hello->version, sizeof peer->version);
    peer->control = fill(hello->control, seen);
    peer->bulk = fill(hello->bulk, seen);
    peer->gossip = fill(hello->gossip, seen);
    if (link_addr_towards(seen, &peer->local) != SH_OK) {
        peer->local = (struct link_addr){0};
    }
}

static void mark_up(struct link_plane *plane, struct link_slot *slot,
                    const struct link_hello *hello, const struct link_addr *seen, uint64_t now_us)
{
    slot->boot_epoch = hello->boot_epoch;
    slot->wanted = false;
    if (!slot->up) {
        struct link_event *event = link_plane_emit(plane, LINK_UP);
        SH_CHECK(event != NULL);
        slot->up = true;
        event->node_known = true;
        memcpy(event->node, slot->node, sizeof event->node);
        event->addr = *seen;
        describe(&event->peer, hello, seen);
        const struct link_addr *here =
            plane->id == LINK_CONTROL ? &event->peer.control : &event->peer.bulk;
        if (!slot->has_addr && here->port != 0) {
            slot->has_addr = true;
            slot->addr = *here;
        }
    }
    link_plane_flush(plane, slot, now_us);
}

void link_session_down(struct link_plane *plane, struct link_slot *slot, bool graceful)
{
    if (slot->in_up || slot->dial == LINK_DIAL_UP || !slot->up) {
        return;
    }
    link_plane_unblock(plane, slot);
    slot->up = false;
    struct link_event *event = link_plane_emit(plane, LINK_DOWN);
    SH_CHECK(event != NULL);
    event->graceful = graceful;
    event->node_known = true;
    memcpy(event->node, slot->node, sizeof event->node);
    event->addr = slot->addr;
}

/* Said of either side. */
static const char *refusal_of(enum sh_err err)
{
    switch ((unsigned)err) {
    case SH_ERR_CLUSTER:
        return "the two belong to different clusters";
    case SH_ERR_DENIED:
        return "the identity is not proven";
    case SH_ERR_STALE:
        return "a later start of the same identity is connected (was a data directory copied?)";
    case SH_ERR_CONFLICT:
        return "both have one identity: an agent that dials itself, or a copied data directory";
    case SH_ERR_LIMIT:
        return "there is no room for another peer";
    default:
        return sh_err_text(err);
    }
}

static void tell_refusal(struct link_plane *plane, enum sh_err err, const struct link_addr *addr,
                         const char *version, bool by_peer)
{
    char name[LINK_NAME_MAX];
    struct link_event *event = link_plane_emit(plane, LINK_REFUSED);
    plane->stats.refused++;
    if (event == NULL) {
        return;
    }
    link_plane_name(addr, name);
    event->err = err;
    event->addr = *addr;
    if (err == SH_ERR_VERSION) {
        (void)snprintf(event->text, sizeof event->text,
                       "mixed program versions: this agent runs shoal %s, %s runs shoal %s",
                       plane->version, name, version);
    } else {
        (void)snprintf(event->text, sizeof event->text, "%s %s (%s plane): %s", name,
                       by_peer ? "refuses this agent" : "is refused", plane->spec->name,
                       refusal_of(err));
    }
}

/* Answers an inbound HELLO that is not accepted. */
static void refuse_in(struct link_plane *plane, const struct link_arrival *arrival, enum sh_err err,
                      const char *version)
{
    uint8_t bytes[LINK_HELLO_MAX];
    struct link_slot nobody = {.in_rid_size = arrival->rid_size};
    struct link_addr seen = seen_at(arrival);
    memcpy(nobody.in_rid, arrival->rid, arrival->rid_size);
    size_t size = link_refuse_encode(err, plane->version, bytes);
    struct sh_span payload = {.at = bytes, .size = size};
    link_plane_say(plane, LINK_IN, &nobody, FRAME_REFUSE, payload);
    tell_refusal(plane, err, &seen, version, false);
}

/* What every HELLO must satisfy. */
static enum sh_err judge(const struct link_plane *plane, const struct frame_header *header,
                         struct sh_span payload, struct link_hello *out)
{
    char version[LINK_VERSION_MAX + 1];
    link_hello_version(payload, version);
    *out = (struct link_hello){0};
    memcpy(out->version, version, sizeof version);
    if (memcmp(header->cluster, plane->trust->cluster, sizeof header->cluster) != 0) {
        return SH_ERR_CLUSTER;
    }
    if (header->major != FRAME_MAJOR || !link_version_fits(version, plane->version)) {
        return SH_ERR_VERSION;
    }
    enum sh_err err = link_hello_decode(plane->trust, plane->id, payload, out);
    if (err == SH_OK && memcmp(out->node, plane->trust->node, sizeof out->node) == 0) {
        err = SH_ERR_CONFLICT;
    }
    return err;
}

/* The CURVE key of the connection is the one of the identity claimed. */
static enum sh_err check_key(const struct link_arrival *arrival, const struct link_hello *hello,
                             char user[static LINK_USER_HEX + 1])
{
    uint8_t expected[TRUST_KEY_BYTES];
    uint8_t shown[TRUST_KEY_BYTES];
    const char *text = zmq_msg_gets(arrival->message, "User-Id");
    if (text == NULL || sh_unhex(shown, sizeof shown, text) != SH_OK ||
        trust_client_key(hello->sign_public, expected) != SH_OK ||
        !trust_key_equal(expected, shown)) {
        return SH_ERR_DENIED;
    }
    sh_hex(user, shown, sizeof shown);
    return SH_OK;
}

/* The slot of a node that is about to be up with this epoch; NULL and why not. A later life ends
 * what is left of the earlier one; an earlier life is refused while a later one is connected. */
static struct link_slot *slot_for(struct link_plane *plane, const struct link_hello *hello,
                                  uint64_t now_us, enum sh_err *err)
{
    struct link_slot *slot = link_peers_by_node(&plane->peers, hello->node);
    *err = SH_OK;
    if (slot == NULL) {
        slot = link_peers_add(&plane->peers);
        if (slot == NULL || link_peers_name(&plane->peers, slot, hello->node) != SH_OK) {
            *err = SH_ERR_LIMIT;
            if (slot != NULL) {
                link_peers_remove(&plane->peers, slot);
            }
            return NULL;
        }
    } else if (slot->up && hello->boot_epoch < slot->boot_epoch) {
        *err = SH_ERR_STALE;
        return NULL;
    } else if (slot->up && hello->boot_epoch > slot->boot_epoch) {
        link_peers_clear_rid(&plane->peers, slot, LINK_IN);
        if (slot->dial == LINK_DIAL_UP) {
            link_dial_close(plane, slot, now_us);
        }
        link_session_down(plane, slot, false);
    }
    return slot;
}

static void answer_hello(struct link_plane *plane, struct link_slot *slot,
                         const struct link_hello *asked, const struct link_addr *seen)
{
    uint8_t bytes[LINK_HELLO_MAX];
    struct link_hello hello = {.listener = true};
    memcpy(hello.challenge, asked->challenge, sizeof hello.challenge);
    link_session_introduce(plane, seen, &hello);
    size_t size = link_hello_encode(plane->trust, plane->id, &hello, asked->node, bytes);
    link_plane_say(plane, LINK_IN, slot, FRAME_HELLO, (struct sh_span){.at = bytes, .size = size});
}

static void hello_in(struct link_plane *plane, const struct link_arrival *arrival,
                     const struct frame_header *header, struct sh_span payload, uint64_t now_us)
{
    struct link_hello hello;
    char user[LINK_USER_HEX + 1];
    struct link_slot *slot = NULL;
    enum sh_err err = judge(plane, header, payload, &hello);
    if (err == SH_OK) {
        err = hello.listener ? SH_ERR_DENIED : check_key(arrival, &hello, user);
    }
    if (err == SH_OK) {
        link_plane_settle(plane, now_us);
        slot = slot_for(plane, &hello, now_us, &err);
    }
    if (err == SH_OK) {
        link_peers_clear_rid(&plane->peers, slot, LINK_IN); /* a connection it has given up */
        err = link_peers_set_rid(&plane->peers, slot, LINK_IN, arrival->rid, arrival->rid_size);
    }
    if (err != SH_OK) {
        refuse_in(plane, arrival, err, hello.version);
        return;
    }
    struct link_addr seen = seen_at(arrival);
    memcpy(slot->in_user, user, sizeof user);
    slot->in_fd = zmq_msg_get(arrival->message, ZMQ_SRCFD);
    slot->prefer_in = slot->dial != LINK_DIAL_UP;
    answer_hello(plane, slot, &hello, &seen);
    mark_up(plane, slot, &hello, &seen, now_us);
}

/* Hands the connection dialled by from to the slot of the node that answered there. */
static struct link_slot *move_dial(struct link_plane *plane, struct link_slot *from,
                                   struct link_slot *to, uint64_t now_us)
{
    struct link_slot old = *from;
    if (to->dial == LINK_DIAL_UP) { /* reached by another address already */
        link_dial_close(plane, from, now_us);
    } else {
        link_dial_close(plane, to, now_us);
        link_peers_clear_rid(&plane->peers, from, LINK_OUT);
        SH_CHECK(link_peers_set_rid(&plane->peers, to, LINK_OUT, old.out_rid, LINK_RID_MAX) ==
                 SH_OK);
        to->dialled = old.dialled;
        to->out_fd = old.out_fd;
        if (!to->has_addr) {
            to->has_addr = true;
            to->addr = old.dialled;
        }
    }
    if (!from->known) {
        link_peers_remove(&plane->peers, from);
    } else {
        link_dial_fail(plane, from, now_us, LINK_END_OTHER_NODE);
    }
    return to;
}

static void refused_out(struct link_plane *plane, struct link_slot *slot, enum sh_err err,
                        const char *version, bool by_peer, uint64_t now_us)
{
    tell_refusal(plane, err, &slot->dialled, version, by_peer);
    link_dial_close(plane, slot, now_us);
    link_session_down(plane, slot, false);
    if (!slot->known && (!slot->wanted || err == SH_ERR_CONFLICT)) {
        link_peers_remove(&plane->peers, slot);
    } else {
        link_dial_rest(plane, slot, now_us);
    }
}

static void hello_out(struct link_plane *plane, struct link_slot *slot,
                      const struct frame_header *header, struct sh_span payload, uint64_t now_us)
{
    struct link_hello hello;
    struct link_slot *owner = NULL;
    if (slot->dial != LINK_DIAL_WAITING) {
        return; /* a peer says HELLO once */
    }
    enum sh_err err = judge(plane, header, payload, &hello);
    if (err == SH_OK) {
        err = link_hello_verify(plane->trust, plane->id, &hello, slot->challenge);
    }
    if (err == SH_OK && !slot->known && link_peers_by_node(&plane->peers, hello.node) == NULL) {
        err = link_peers_name(&plane->peers, slot, hello.node) == SH_OK ? SH_OK : SH_ERR_LIMIT;
    }
    if (err == SH_OK) {
        owner = slot_for(plane, &hello, now_us, &err);
    }
    if (err != SH_OK) {
        uint8_t bytes[LINK_HELLO_MAX];
        size_t size = link_refuse_encode(err, plane->version, bytes);
        link_plane_say(plane, LINK_OUT, slot, FRAME_REFUSE,
                       (struct sh_span){.at = bytes, .size = size});
        refused_out(plane, slot, err, hello.version, false, now_us);
        return;
    }
    if (owner != slot) {
        slot = move_dial(plane, slot, owner, now_us);
    }
    struct link_addr seen = slot->dialled;
    slot->dial = LINK_DIAL_UP;
    slot->failures = 0;
    slot->wrong_secrets = 0;
    slot->backoff_us = 0;
    slot->out_used_us = now_us;
    slot->prefer_in = slot->prefer_in && slot->in_up;
    link_plane_due(plane, now_us + plane->idle_close_us);
    mark_up(plane, slot, &hello, &seen, now_us);
}

static void bye(struct link_plane *plane, enum link_side side, struct link_slot *slot,
                uint64_t now_us)
{
    if (side == LINK_IN) {
        link_peers_clear_rid(&plane->peers, slot, LINK_IN);
    } else {
        link_dial_close(plane, slot, now_us);
    }
    link_session_down(plane, slot, true);
}

static void refuse(struct link_plane *plane, enum link_side side, struct link_slot *slot,
                   const struct link_arrival *arrival, struct sh_span payload, uint64_t now_us)
{
    enum sh_err err;
    char version[LINK_VERSION_MAX + 1];
    if (link_refuse_decode(payload, &err, version) != SH_OK) {
        plane->stats.malformed++;
        return;
    }
    if (side == LINK_OUT) {
        refused_out(plane, slot, err, version, true, now_us);
        return;
    }
    struct link_addr seen = seen_at(arrival);
    tell_refusal(plane, err, &seen, version, true);
    link_peers_clear_rid(&plane->peers, slot, LINK_IN);
    link_session_down(plane, slot, false);
}

void link_session_take(struct link_plane *plane, enum link_side side, struct link_slot *slot,
                       const struct link_arrival *arrival, const struct frame_header *header,
                       struct sh_span payload, uint64_t now_us)
{
    if (header->type == FRAME_HELLO && side == LINK_IN && slot == NULL) {
        hello_in(plane, arrival, header, payload, now_us);
    } else if (header->type == FRAME_HELLO && side == LINK_OUT && slot != NULL) {
        link_plane_settle(plane, now_us);
        slot = link_peers_by_rid(&plane->peers, LINK_OUT, arrival->rid, arrival->rid_size);
        if (slot != NULL) { /* not lost meanwhile */
            hello_out(plane, slot, header, payload, now_us);
        }
    } else if (header->type == FRAME_REFUSE && slot != NULL) {
        refuse(plane, side, slot, arrival, payload, now_us);
    } else if (header->type == FRAME_BYE && slot != NULL) {
        bye(plane, side, slot, now_us);
    }
}
