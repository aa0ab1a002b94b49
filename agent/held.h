/* SPDX-License-Identifier: Apache-2.0
 *
 * Encoded messages that may leave once a write is durable, in the order of those writes. One owner.
 */
#ifndef AGENT_HELD_H
#define AGENT_HELD_H

#include "base/ring.h"

#include <stddef.h>
#include <stdint.h>

#define HELD_MAX 4096u /* further ones are lost, as on a wire */

struct held_message {
    uint64_t after; /* token of the write */
    uint64_t to;
    uint8_t *bytes; /* owned */
    size_t size;
};

struct held {
    struct sh_ring ring;
    struct held_message at[HELD_MAX];
};

void held_init(struct held *h);
void held_fini(struct held *h);
/* Copies the bytes. after never falls. */
void held_add(struct held *h, uint64_t after, uint64_t to, const void *bytes, size_t size);
/* The oldest one that may leave now that everything up to durable is written; the caller frees its
 * bytes. False: none. */
bool held_take(struct held *h, uint64_t durable, struct held_message *out);

#endif
