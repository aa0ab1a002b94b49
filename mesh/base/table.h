/* SPDX-License-Identifier: Apache-2.0
 *
 * Ordered byte-string tables as a pure core sees them. A replicated state machine reads and writes
 * through this interface only; its host binds it to a kv transaction (store/kv.h) whose writes
 * become visible to the reads of the same transaction and durable together with the applied index.
 *
 * Keys are at most SH_TABLE_KEY_MAX bytes and compare as unsigned bytes. Values returned by get and
 * scan are borrowed until the next call on the same table. Calls cannot fail: a host whose disk
 * fails abandons the whole transaction and stops the agent; it never shows the core half a state.
 */
#ifndef SH_BASE_TABLE_H
#define SH_BASE_TABLE_H

#include "base/bytes.h"

#define SH_TABLE_KEY_MAX   256u
#define SH_TABLE_VALUE_MAX (1u << 19)

struct sh_table {
    void *ctx;
    /* False when absent. O(log n). */
    bool (*get)(void *ctx, struct sh_span key, struct sh_span *value);
    void (*put)(void *ctx, struct sh_span key, struct sh_span value);
    void (*del)(void *ctx, struct sh_span key);
    /* The first pair with low <= key < high (high.size 0: no upper bound), or, with reverse, the
     * last one. False when there is none. Iterate by calling again past the returned key. */
    bool (*seek)(void *ctx, struct sh_span low, struct sh_span high, bool reverse,
                 struct sh_span *key, struct sh_span *value);
};

#endif
