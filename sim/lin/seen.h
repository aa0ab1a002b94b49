/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to sim/lin: the set of configurations visited. Exact: words are compared, not only their
 * hash. */
#ifndef LIN_SEEN_H
#define LIN_SEEN_H

#include <stdbool.h>
#include <stdint.h>

struct lin_seen_slot {
    uint64_t hash;
    uint64_t at; /* 1 + place of the words; 0: free */
};

struct lin_seen {
    struct lin_seen_slot *slots;
    uint64_t mask;
    uint64_t count;
    uint64_t *words; /* each configuration: its length, then its words */
    uint64_t used;
    uint64_t capacity;
};

void lin_seen_init(struct lin_seen *seen);
void lin_seen_fini(struct lin_seen *seen);
void lin_seen_clear(struct lin_seen *seen);
/* True: it was not there. Expected O(size). */
bool lin_seen_add(struct lin_seen *seen, const uint64_t *words, uint64_t size);
uint64_t lin_seen_bytes(const struct lin_seen *seen);

#endif
