/* SPDX-License-Identifier: Apache-2.0 */
#include "link/peers.h"

#include "base/host/host.h"
#include "base/rng.h"

#include <stdlib.h>
#include <string.h>

enum sh_err link_peers_init(struct link_peers *p)
{
    struct sh_arena arena;
    size_t size = sh_map_bytes(LINK_PEERS_MAX) + sh_map_bytes(2 * LINK_PEERS_MAX);
    size = (size + 127) / 64 * 64;
    *p = (struct link_peers){.seed = sh_random_u64()};
    p->slots = calloc(LINK_PEERS_MAX, sizeof *p->slots);
    p->memory = aligned_alloc(64, size);
    if (p->slots == NULL || p->memory == NULL) {
        link_peers_free(p);
        return SH_ERR_NO_MEMORY;
    }
    sh_arena_init(&arena, p->memory, size);
    sh_map_init(&p->by_node, &arena, LINK_PEERS_MAX);
    sh_map_init(&p->by_rid, &arena, 2 * LINK_PEERS_MAX);
    return SH_OK;
}

void link_peers_free(struct link_peers *p)
{
    for (uint32_t i = 0; i < p->high; i++) {
        if (p->slots[i].used) {
            link_slot_drop_pending(&p->slots[i]);
        }
    }
    free(p->slots);
    free(p->memory);
    *p = (struct link_peers){0};
}

static uint64_t key_of(const struct link_peers *p, uint64_t kind, const void *bytes, size_t size)
{
    uint64_t key = sh_hash64(p->seed + kind, bytes, size);
    return key != 0 ? key : 1;
}

struct link_slot *link_peers_by_node(const struct link_peers *p,
                                     const uint8_t node[static SH_NODE_ID_BYTES])
{
    uint64_t index;
    if (!sh_map_get(&p->by_node, key_of(p, 7, node, SH_NODE_ID_BYTES), &index)) {
        return NULL;
    }
    struct link_slot *slot = &p->slots[index];
    return memcmp(slot->node, node, SH_NODE_ID_BYTES) == 0 ? slot : NULL;
}

struct link_slot *link_peers_by_rid(const struct link_peers *p, enum link_side side,
                                    const uint8_t *rid, size_t size)
{
    uint64_t index;
    if (size == 0 || !sh_map_get(&p->by_rid, key_of(p, (uint64_t)side, rid, size), &index)) {
        return NULL;
    }
    struct link_slot *slot = &p->slots[index];
    bool same = side == LINK_OUT
                    ? size == LINK_RID_MAX && memcmp(slot->out_rid, rid, size) == 0
                    : size == slot->in_rid_size && memcmp(slot->in_rid, rid, size) == 0;
    return same ? slot : NULL;
}

struct link_slot *link_peers_dialled(const struct link_peers *p, const struct link_addr *addr)
{
    for (uint32_t i = 0; i < p->high; i++) {
        struct link_slot *slot = &p->slots[i];
        if (slot->used && slot->dial != LINK_DIAL_NONE && link_addr_equal(&slot->dialled, addr)) {
            return slot;
        }
    }
    return NULL;
}

struct link_slot *link_peers_by_fd(const struct link_peers *p, int fd)
{
    for (uint32_t i = 0; i < p->high; i++) {
        struct link_slot *slot = &p->slots[i];
        if (slot->used && slot->in_up && slot->in_fd == fd) {
            return slot;
        }
    }
    return NULL;
}

static bool is_idle(const struct link_slot *slot)
{
    return slot->known && !slot->up && !slot->wanted && slot->dial == LINK_DIAL_NONE &&
           slot->pending_ring.count == 0;
}

struct link_slot *link_peers_add(struct link_peers *p)
{
    struct link_slot *found = NULL;
    for (uint32_t i = 0; i < LINK_PEERS_MAX && found == NULL; i++) {
        found = !p->slots[i].used ? &p->slots[i] : NULL;
    }
    for (uint32_t i = 0; i < LINK_PEERS_MAX && found == NULL; i++) {
        if (is_idle(&p->slots[i])) {
            found = &p->slots[i];
            link_peers_remove(p, found);
        }
    }
    if (found == NULL) {
        return NULL;
    }
    *found = (struct link_slot){.used = true, .out_fd = LINK_NO_FD, .in_fd = LINK_NO_FD};
    found->pending_ring = sh_ring_of(LINK_PENDING_MAX);
    uint32_t index = (uint32_t)(found - p->slots);
    p->high = p->high > index ? p->high : index + 1;
    return found;
}

enum sh_err link_peers_name(struct link_peers *p, struct link_slot *slot,
                            const uint8_t node[static SH_NODE_ID_BYTES])
{
    uint64_t key = key_of(p, 7, node, SH_NODE_ID_BYTES);
    uint64_t taken;
    SH_CHECK(slot->used && !slot->known);
    if (sh_map_get(&p->by_node, key, &taken)) {
        return SH_ERR_FULL; /* another node with the same key: 2^-64 for a pair */
    }
    enum sh_err err = sh_map_put(&p->by_node, key, (uint64_t)(slot - p->slots));
    if (err == SH_OK) {
        memcpy(slot->node, node, SH_NODE_ID_BYTES);
        slot->known = true;
    }
    return err;
}

void link_peers_remove(struct link_peers *p, struct link_slot *slot)
{
    SH_CHECK(slot->used);
    link_peers_clear_rid(p, slot, LINK_IN);
    link_peers_clear_rid(p, slot, LINK_OUT);
    link_slot_drop_pending(slot);
    if (slot->known) {
        SH_CHECK(sh_map_del(&p->by_node, key_of(p, 7, slot->node, SH_NODE_ID_BYTES)));
    }
    *slot = (struct link_slot){0};
}

enum sh_err link_peers_set_rid(struct link_peers *p, struct link_slot *slot, enum link_side side,
                               const uint8_t *rid, size_t size)
{
    uint64_t key = key_of(p, (uint64_t)side, rid, size);
    uint64_t taken;
    SH_CHECK_CMP(size, <=, LINK_RID_MAX);
    SH_CHECK_CMP(size, >, 0);
    if (sh_map_get(&p->by_rid, key, &taken)) {
        return SH_ERR_FULL;
    }
    enum sh_err err = sh_map_put(&p->by_rid, key, (uint64_t)(slot - p->slots));
    if (err == SH_OK && side == LINK_IN) {
        memcpy(slot->in_rid, rid, size);
        slot->in_rid_size = size;
        slot->in_up = true;
    } else if (err == SH_OK) {
        SH_CHECK_CMP(size, ==, LINK_RID_MAX);
        memcpy(slot->out_rid, rid, size);
        slot->dial = LINK_DIAL_WAITING;
    }
    return err;
}

void link_peers_clear_rid(struct link_peers *p, struct link_slot *slot, enum link_side side)
{
    if (side == LINK_IN && slot->in_up) {
        SH_CHECK(sh_map_del(&p->by_rid, key_of(p, LINK_IN, slot->in_rid, slot->in_rid_size)));
        slot->in_up = false;
        slot->in_fd = LINK_NO_FD;
        slot->in_rid_size = 0;
    }
    if (side == LINK_OUT && slot->dial != LINK_DIAL_NONE) {
        SH_CHECK(sh_map_del(&p->by_rid, key_of(p, LINK_OUT, slot->out_rid, LINK_RID_MAX)));
        slot->dial = LINK_DIAL_NONE;
        slot->out_fd = LINK_NO_FD;
    }
}

void link_slot_drop_pending(struct link_slot *slot)
{
    while (slot->pending_ring.count > 0) {
        uint32_t at = sh_ring_pop(&slot->pending_ring);
        SH_CHECK(zmq_msg_close(&slot->pending[at]) == 0);
    }
}
