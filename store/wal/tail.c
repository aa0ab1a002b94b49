/* SPDX-License-Identifier: Apache-2.0 */
#include "store/wal/tail.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct place {
    uint64_t index; /* 0: empty */
    uint64_t term;
    uint32_t size;
    uint8_t type;
    uint8_t *bytes; /* WAL_TAIL_ENTRY_BYTES, NULL before the place is used first */
};

struct wal_tail {
    pthread_mutex_t lock;
    uint64_t first; /* what is before was compacted */
    uint64_t next;  /* what is from there on was truncated, or is not yet */
    struct place places[WAL_TAIL_ENTRIES];
};

struct wal_tail *wal_tail_open(void)
{
    struct wal_tail *tail = calloc(1, sizeof *tail);
    if (tail != NULL) {
        SH_CHECK(pthread_mutex_init(&tail->lock, NULL) == 0);
    }
    return tail;
}

void wal_tail_close(struct wal_tail *tail)
{
    if (tail != NULL) {
        SH_CHECK(pthread_mutex_destroy(&tail->lock) == 0);
        for (uint32_t i = 0; i < WAL_TAIL_ENTRIES; i++) {
            free(tail->places[i].bytes);
        }
        free(tail);
    }
}

static void lock_it(struct wal_tail *tail)
{
    SH_CHECK(pthread_mutex_lock(&tail->lock) == 0);
}

static void unlock_it(struct wal_tail *tail)
{
    SH_CHECK(pthread_mutex_unlock(&tail->lock) == 0);
}

static void put(struct wal_tail *tail, const struct wal_entry *entry)
{
    struct place *place = &tail->places[entry->index % WAL_TAIL_ENTRIES];
    bool fits = entry->bytes.size <= WAL_TAIL_ENTRY_BYTES;
    if (fits && place->bytes == NULL) {
        place->bytes = malloc(WAL_TAIL_ENTRY_BYTES);
    }
    fits = fits && place->bytes != NULL; /* without memory the store is read */
    place->index = fits ? entry->index : 0;
    if (!fits) {
        return;
    }
    place->term = entry->term;
    place->type = entry->type;
    place->size = (uint32_t)entry->bytes.size;
    if (place->size > 0) {
        memcpy(place->bytes, entry->bytes.at, place->size);
    }
}

void wal_tail_put(struct wal_tail *tail, const struct wal_entry *entries, uint32_t count)
{
    if (count == 0) {
        return;
    }
    lock_it(tail);
    for (uint32_t i = 0; i < count; i++) {
        put(tail, &entries[i]);
    }
    tail->next = entries[count - 1].index + 1; /* what was truncated lies behind it */
    unlock_it(tail);
}

void wal_tail_compact(struct wal_tail *tail, uint64_t upto)
{
    lock_it(tail);
    tail->first = upto + 1;
    unlock_it(tail);
}

void wal_tail_install(struct wal_tail *tail, uint64_t index)
{
    lock_it(tail);
    tail->first = index + 1;
    tail->next = index + 1;
    unlock_it(tail);
}

uint32_t wal_tail_read(struct wal_tail *tail, uint64_t low, uint64_t high, struct wal_entry *out,
                       uint32_t capacity, void *buffer, size_t size)
{
    uint8_t *to = buffer;
    uint32_t count = 0;
    lock_it(tail);
    uint64_t end = high < tail->next ? high : tail->next;
    for (uint64_t i = low < tail->first ? end : low; i < end && count < capacity; i++) {
        const struct place *place = &tail->places[i % WAL_TAIL_ENTRIES];
        if (place->index != i || place->size > size) {
            break;
        }
        memcpy(to, place->bytes, place->size);
        out[count++] = (struct wal_entry){.index = i,
                                          .term = place->term,
                                          .type = place->type,
                                          .bytes = KV_SPAN(to, place->size)};
        to += place->size;
        size -= place->size;
    }
    unlock_it(tail);
    return count;
}
