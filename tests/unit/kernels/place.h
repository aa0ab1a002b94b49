/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes of a test in the memory of a table, and back. */
#ifndef PLACE_H
#define PLACE_H

#include "kernels/kn.h"
#include "kept.h"

/* What lies at `host`, where the table can reach it: there, or in memory of the table, which keeps
 * it until the process ends. */
static inline void *place(const struct kn_ops *ops, void *host, size_t bytes)
{
    if (ops->memory == NULL) {
        return host;
    }
    void *at = ops->memory->take(bytes);
    EXPECT(at != NULL);
    ops->memory->put(at, host, bytes);
    return at;
}

/* What the table has at `at`, where the host can read it. */
static inline const void *placed(const struct kn_ops *ops, const void *at, size_t bytes)
{
    if (ops->memory == NULL) {
        return at;
    }
    void *host = kept_bytes(bytes);
    ops->memory->get(host, at, bytes);
    EXPECT(ops->memory->settle(NULL) == KN_OK);
    return host;
}

#endif
