/* SPDX-License-Identifier: Apache-2.0 */
#include "link/plane.h"

#include "base/host/host.h"

#include <stdio.h>
#include <string.h>

#define BACKOFF_MIN_US 100000u
#define BACKOFF_MAX_US 5000000u
#define HELLO_WAIT_US                                                                              \
    2500000u                    /* connecting and HELLO together; under libzmq's handshake limit,  \
                                 * so that silence is not mistaken for a refused handshake */
#define QUIET_US         20000u /* before an address is dialled again: late events of the last */
#define WRONG_SECRET_MIN 2u     /* handshakes refused in a row; one may be a peer that died */

void link_dial_close(struct link_plane *plane, struct link_slot *slot, uint64_t now_us)
{
    if (slot->dial != LINK_DIAL_NONE) {
        link_peers_clear_rid(&plane->peers, slot, LINK_OUT);
        link_socket_undial(&plane->sides[LINK_OUT], &slot->dialled);
        slot->handshake_failed = false;
        slot->next_dial_us = now_us + QUIET_US;
    }
}

static void back_off(struct link_plane *plane, struct link_slot *slot, uint64_t now_us)
{
    uint64_t base = slot->backoff_us < BACKOFF_MIN_US ? BACKOFF_MIN_US : slot->backoff_us;
    uint64_t wait = sh_rng_between(&plane->rng, base - base / 4, base + base / 4);
    slot->backoff_us = base * 2 < BACKOFF_MAX_US ? base * 2 : BACKOFF_MAX_US;
    slot->next_dial_us = now_us + wait;
    link_plane_due(plane, slot->next_dial_us);
}

void link_dial_rest(struct link_plane *plane, struct link_slot *slot, uint64_t now_us)
{
    slot->backoff_us = BACKOFF_MAX_US;
    slot->failures++;
    link_slot_drop_pending(slot);
    back_off(plane, slot, now_us);
}

static const char *reason_of(enum link_dial_end end)
{
    switch (end) {
    case LINK_END_REFUSED:
        return "cannot connect";
    case LINK_END_SILENT:
        return "no answer";
    case LINK_END_HANDSHAKE:
        return "the connection was closed before it was ready";
    case LINK_END_OTHER_NODE:
        return "another agent answers there now";
    }
    SH_UNREACHABLE();
}

static void tell_failure(struct link_plane *plane, const struct link_slot *slot,
                         enum link_dial_end end, bool wrong_secret)
{
    char name[LINK_NAME_MAX];
    struct link_event *event =
        link_plane_emit(plane, wrong_secret ? LINK_WRONG_SECRET : LINK_UNREACHABLE);
    if (event == NULL) {
        return;
    }
    link_plane_name(&slot->dialled, name);
    event->addr = slot->dialled;
    event->node_known = slot->known;
    memcpy(event->node, slot->node, sizeof event->node);
    if (wrong_secret) {
        event->err = SH_ERR_DENIED;
        (void)snprintf(
            event->text, sizeof event->text,
            "%s (%s plane) refuses our cluster secret: it belongs to another cluster, or "
            "is not an agent of shoal",
            name, plane->spec->name);
    } else {
        event->err = SH_ERR_UNREACHABLE;
        (void)snprintf(event->text, sizeof event->text, "%s (%s plane): %s", name,
                       plane->spec->name, reason_of(end));
    }
}

void link_dial_fail(struct link_plane *plane, struct link_slot *slot, uint64_t now_us,
                    enum link_dial_end end)
{
    link_dial_close(plane, slot, now_us);
    slot->wrong_secrets = end == LINK_END_HANDSHAKE ? slot->wrong_secrets + 1 : 0;
    slot->failures++;
    plane->stats.dials_failed++;
    bool wrong_secret = slot->wrong_secrets >= WRONG_SECRET_MIN;
    plane->stats.wrong_secret += wrong_secret ? 1 : 0;
    tell_failure(plane, slot, end, wrong_secret);
    if (!slot->in_up) {
        link_slot_drop_pending(slot);
    }
    if (!slot->known && !slot->wanted) {
        link_peers_remove(&plane->peers, slot);
        return;
    }
    back_off(plane, slot, now_us);
}

static enum sh_err say_hello(struct link_plane *plane, struct link_slot *slot)
{
    uint8_t bytes[LINK_HELLO_MAX];
    struct link_hello hello = {0};
    zmq_msg_t message;
    sh_random_bytes(slot->challenge, sizeof slot->challenge);
    memcpy(hello.challenge, slot->challenge, sizeof hello.challenge);
    link_session_introduce(plane, &slot->dialled, &hello);
    size_t size = link_hello_encode(plane->trust, plane->id, &hello, plane->trust->node, bytes);
    struct sh_span payload = {.at = bytes, .size = size};
    enum sh_err err = link_socket_message(&message, FRAME_HELLO, payload, (struct sh_span){0},
                                          plane->trust->cluster);
    if (err != SH_OK) {
        return err;
    }
    err = link_socket_send(&plane->sides[LINK_OUT], slot->out_rid, LINK_RID_MAX, &message);
    if (err != SH_OK) {
        SH_CHECK(zmq_msg_close(&message) == 0);
    }
    return err;
}

void link_dial_start(struct link_plane *plane, struct link_slot *slot, uint64_t now_us)
{
    uint8_t rid[LINK_RID_MAX];
    SH_CHECK(slot->has_addr);
    SH_CHECK(slot->dial == LINK_DIAL_NONE);
    if (link_peers_dialled(&plane->peers, &slot->addr) != NULL) {
        slot->next_dial_us = now_us + BACKOFF_MIN_US; /* its HELLO tells whose address it is */
        link_plane_due(plane, slot->next_dial_us);
        return;
    }
    sh_random_bytes(rid, sizeof rid);
    rid[0] |= 1; /* libzmq's own ids begin with a zero byte */
    plane->stats.dials++;
    slot->dialled = slot->addr;
    slot->handshake_failed = false;
    if (link_peers_set_rid(&plane->peers, slot, LINK_OUT, rid, sizeof rid) != SH_OK) {
        link_dial_rest(plane, slot, now_us);
        return;
    }
    slot->dial_deadline_us = now_us + HELLO_WAIT_US;
    link_plane_due(plane, slot->dial_deadline_us);
    if (link_socket_dial(&plane->sides[LINK_OUT], &slot->dialled, rid) != SH_OK ||
        say_hello(plane, slot) != SH_OK) {
        link_dial_fail(plane, slot, now_us, LINK_END_REFUSED);
    }
}

static void close_idle(struct link_plane *plane, struct link_slot *slot, uint64_t now_us)
{
    uint64_t end_us = slot->out_used_us + plane->idle_close_us;
    if (now_us < end_us || slot->pending_ring.count > 0 || slot->blocked) {
        link_plane_due(plane, end_us > now_us ? end_us : now_us + BACKOFF_MIN_US);
        return;
    }
    link_plane_say(plane, LINK_OUT, slot, FRAME_BYE, (struct sh_span){0});
    link_dial_close(plane, slot, now_us);
    link_session_down(plane, slot, true);
}

static void tick_slot(struct link_plane *plane, struct link_slot *slot, uint64_t now_us)
{
    if (slot->pending_ring.count > 0 && (slot->in_up || slot->dial == LINK_DIAL_UP)) {
        link_plane_flush(plane, slot, now_us);
    }
    bool wants = slot->has_addr && (slot->wanted || (slot->pending_ring.count > 0 && !slot->in_up));
    switch (slot->dial) {
    case LINK_DIAL_UP:
        close_idle(plane, slot, now_us);
        break;
    case LINK_DIAL_WAITING:
        if (now_us >= slot->dial_deadline_us) {
            link_dial_fail(plane, slot, now_us, LINK_END_SILENT);
        } else {
            link_plane_due(plane, slot->dial_deadline_us);
        }
        break;
    case LINK_DIAL_NONE:
        if (wants && now_us >= slot->next_dial_us) {
            link_dial_start(plane, slot, now_us);
        } else if (wants) {
            link_plane_due(plane, slot->next_dial_us);
        }
        break;
    }
}

void link_dial_tick(struct link_plane *plane, uint64_t now_us)
{
    plane->deadline_us = UINT64_MAX;
    for (uint32_t i = 0; i < plane->peers.high; i++) {
        if (plane->peers.slots[i].used) {
            tick_slot(plane, &plane->peers.slots[i], now_us);
        }
    }
    if (plane->blocked > 0) {
        link_plane_due(plane, plane->retry_us);
    }
}
