/* SPDX-License-Identifier: Apache-2.0 */
#include "link/plane.h"

#include <string.h>

/* The address that is being joined without a known agent, else NULL. */
static struct link_slot *joining(const struct link_plane *plane, const struct link_addr *addr)
{
    for (uint32_t i = 0; i < plane->peers.high; i++) {
        struct link_slot *slot = &plane->peers.slots[i];
        if (slot->used && !slot->known && link_addr_equal(&slot->addr, addr)) {
            return slot;
        }
    }
    return NULL;
}

enum sh_err link_connect(struct link_plane *plane, uint64_t now_us, const struct link_addr *addr)
{
    if (addr->port == 0 || link_addr_is_unspecified(addr)) {
        return SH_ERR_INVALID;
    }
    const struct link_slot *there = link_peers_dialled(&plane->peers, addr);
    if (joining(plane, addr) != NULL || (there != NULL && there->dial == LINK_DIAL_UP)) {
        return SH_OK;
    }
    struct link_slot *slot = link_peers_add(&plane->peers);
    if (slot == NULL) {
        return SH_ERR_FULL;
    }
    slot->wanted = true;
    slot->has_addr = true;
    slot->addr = *addr;
    slot->next_dial_us = now_us;
    link_plane_due(plane, now_us);
    return SH_OK;
}

void link_forget_addr(struct link_plane *plane, const struct link_addr *addr)
{
    struct link_slot *slot = joining(plane, addr);
    if (slot != NULL) {
        link_dial_close(plane, slot, 0);
        link_peers_remove(&plane->peers, slot);
    }
}

enum sh_err link_set_addr(struct link_plane *plane, const uint8_t node[static SH_NODE_ID_BYTES],
                          const struct link_addr *addr)
{
    struct link_slot *slot = link_peers_by_node(&plane->peers, node);
    if (addr->port == 0 || link_addr_is_unspecified(addr) ||
        memcmp(node, plane->trust->node, SH_NODE_ID_BYTES) == 0) {
        return SH_ERR_INVALID;
    }
    if (slot == NULL) {
        slot = link_peers_add(&plane->peers);
        if (slot == NULL) {
            return SH_ERR_FULL;
        }
        if (link_peers_name(&plane->peers, slot, node) != SH_OK) {
            link_peers_remove(&plane->peers, slot);
            return SH_ERR_FULL;
        }
    }
    if (!slot->has_addr || !link_addr_equal(&slot->addr, addr)) {
        slot->has_addr = true;
        slot->addr = *addr;
        slot->failures = 0; /* of the old address */
        slot->wrong_secrets = 0;
        slot->backoff_us = 0;
        if (slot->dial == LINK_DIAL_NONE) {
            slot->next_dial_us = 0;
        }
    }
    return SH_OK;
}

void link_forget(struct link_plane *plane, const uint8_t node[static SH_NODE_ID_BYTES])
{
    struct link_slot *slot = link_peers_by_node(&plane->peers, node);
    if (slot == NULL) {
        return;
    }
    if (slot->dial == LINK_DIAL_UP) {
        link_plane_say(plane, LINK_OUT, slot, FRAME_BYE, (struct sh_span){0});
    }
    link_dial_close(plane, slot, 0);
    link_slot_drop_pending(slot);
    slot->has_addr = false;
    link_session_down(plane, slot, true);
    if (!slot->in_up) {
        link_plane_unblock(plane, slot);
        link_peers_remove(&plane->peers, slot);
    }
}

bool link_is_up(const struct link_plane *plane, const uint8_t node[static SH_NODE_ID_BYTES])
{
    const struct link_slot *slot = link_peers_by_node(&plane->peers, node);
    return slot != NULL && slot->up;
}
