/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory of one test: allocated at will, reachable until its process ends. */
#ifndef KEPT_H
#define KEPT_H

#include "tst.h"

#include <stdlib.h>
#include <string.h>

#define KEPT_MAX 65536u

static void *kept_at[KEPT_MAX];
static size_t kept_count;

static inline void *kept(void *at)
{
    EXPECT(at != NULL);
    EXPECT(kept_count < KEPT_MAX);
    kept_at[kept_count++] = at;
    return at;
}

/* Aligned to 64 bytes, zero-filled. */
static inline void *kept_bytes(size_t bytes)
{
    const size_t whole = bytes / 64 * 64 + 64;
    return memset(kept(aligned_alloc(64, whole)), 0, whole);
}

#endif
