/* SPDX-License-Identifier: Apache-2.0 */
#include "lin/seen.h"

#include "base/check.h"
#include "base/rng.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_SLOTS = 1024, FIRST_WORDS = 4096 };

void lin_seen_init(struct lin_seen *seen)
{
    *seen = (struct lin_seen){.mask = FIRST_SLOTS - 1, .capacity = FIRST_WORDS};
    seen->slots = calloc(FIRST_SLOTS, sizeof *seen->slots);
    seen->words = malloc(FIRST_WORDS * sizeof *seen->words);
    SH_CHECK(seen->slots != NULL && seen->words != NULL);
}

void lin_seen_fini(struct lin_seen *seen)
{
    free(seen->slots);
    free(seen->words);
    *seen = (struct lin_seen){0};
}

void lin_seen_clear(struct lin_seen *seen)
{
    if (seen->count > 0) {
        memset(seen->slots, 0, (seen->mask + 1) * sizeof *seen->slots);
    }
    seen->count = 0;
    seen->used = 0;
}

static void grow_slots(struct lin_seen *seen)
{
    struct lin_seen old = *seen;
    seen->mask = old.mask * 2 + 1;
    seen->slots = calloc(seen->mask + 1, sizeof *seen->slots);
    SH_CHECK(seen->slots != NULL);
    for (uint64_t i = 0; i <= old.mask; i++) {
        if (old.slots[i].at != 0) {
            uint64_t to = old.slots[i].hash & seen->mask;
            while (seen->slots[to].at != 0) {
                to = (to + 1) & seen->mask;
            }
            seen->slots[to] = old.slots[i];
        }
    }
    free(old.slots);
}

static uint64_t hash_of(const uint64_t *words, uint64_t size)
{
    uint64_t hash = size;
    for (uint64_t i = 0; i < size; i++) {
        hash = sh_mix64(hash ^ words[i]) + i;
    }
    return hash;
}

static uint64_t keep(struct lin_seen *seen, const uint64_t *words, uint64_t size)
{
    while (seen->capacity - seen->used < size + 1) {
        seen->capacity *= 2;
        seen->words = realloc(seen->words, seen->capacity * sizeof *seen->words);
        SH_CHECK(seen->words != NULL);
    }
    uint64_t at = seen->used;
    seen->words[at] = size;
    memcpy(&seen->words[at + 1], words, size * sizeof *words);
    seen->used += size + 1;
    return at;
}

bool lin_seen_add(struct lin_seen *seen, const uint64_t *words, uint64_t size)
{
    if (2 * seen->count > seen->mask) {
        grow_slots(seen);
    }
    uint64_t hash = hash_of(words, size);
    uint64_t slot = hash & seen->mask;
    while (seen->slots[slot].at != 0) {
        if (seen->slots[slot].hash == hash) {
            const uint64_t *kept = &seen->words[seen->slots[slot].at - 1];
            if (kept[0] == size && memcmp(kept + 1, words, size * sizeof *words) == 0) {
                return false;
            }
        }
        slot = (slot + 1) & seen->mask;
    }
    seen->slots[slot] = (struct lin_seen_slot){.hash = hash, .at = keep(seen, words, size) + 1};
    seen->count++;
    return true;
}

uint64_t lin_seen_bytes(const struct lin_seen *seen)
{
    return (seen->mask + 1) * sizeof *seen->slots + seen->used * sizeof *seen->words;
}
