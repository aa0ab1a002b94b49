/* SPDX-License-Identifier: Apache-2.0 */
#include "held.h"

#include <stdlib.h>
#include <string.h>

void held_init(struct held *h)
{
    h->ring = sh_ring_of(HELD_MAX);
}

void held_fini(struct held *h)
{
    while (h->ring.count > 0) {
        free(h->at[sh_ring_pop(&h->ring)].bytes);
    }
}

void held_add(struct held *h, uint64_t after, uint64_t to, const void *bytes, size_t size)
{
    uint8_t *copy = sh_ring_full(&h->ring) ? NULL : malloc(size);
    if (copy == NULL) {
        return; /* lost: raft repeats it */
    }
    memcpy(copy, bytes, size);
    h->at[sh_ring_push(&h->ring)] =
        (struct held_message){.after = after, .to = to, .bytes = copy, .size = size};
}

bool held_take(struct held *h, uint64_t durable, struct held_message *out)
{
    if (h->ring.count == 0 || h->at[sh_ring_at(&h->ring, 0)].after > durable) {
        return false;
    }
    *out = h->at[sh_ring_pop(&h->ring)];
    return true;
}
