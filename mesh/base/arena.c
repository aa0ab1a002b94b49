/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"
#include "base/check.h"

#include <string.h>

void sh_arena_init(struct sh_arena *arena, void *at, size_t size)
{
    SH_CHECK((uintptr_t)at % 64 == 0);
    *arena = (struct sh_arena){.at = at, .size = size};
}

void *sh_arena_take(struct sh_arena *arena, size_t count, size_t size, size_t align)
{
    SH_CHECK(align > 0 && align <= 64);
    SH_CHECK((align & (align - 1)) == 0);
    SH_CHECK(size > 0);
    SH_CHECK_CMP(count, <=, SIZE_MAX / size);
    size_t start = (arena->used + align - 1) & ~(align - 1);
    SH_CHECK_CMP(start, <=, arena->size);
    SH_CHECK_CMP(count * size, <=, arena->size - start);
    arena->used = start + count * size;
    void *out = arena->at + start;
    memset(out, 0, count * size);
    return out;
}
