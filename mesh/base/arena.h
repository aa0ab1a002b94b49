/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory of a core: one block from its host, carved once at init. There is no free; a core that
 * would need one keeps fixed arrays. Running out at init is a programming error (the host sized it
 * with the core's own X_bytes()), so it panics. */
#ifndef SH_BASE_ARENA_H
#define SH_BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

struct sh_arena {
    uint8_t *at;
    size_t size;
    size_t used;
};

/* at is aligned to 64 bytes and is borrowed for the life of everything carved from it. */
void sh_arena_init(struct sh_arena *arena, void *at, size_t size);
/* Zeroed, aligned to align (a power of two up to 64). */
void *sh_arena_take(struct sh_arena *arena, size_t count, size_t size, size_t align);

#define SH_ARENA_TAKE(arena, type, count)                                                          \
    ((type *)sh_arena_take((arena), (count), sizeof(type), _Alignof(type)))

#endif
