/* SPDX-License-Identifier: Apache-2.0 */
#include "compaction.h"

#include "base/check.h"

#include <stdbool.h>

void compaction_init(struct compaction *c, uint64_t entries, uint64_t compacted, uint64_t last)
{
    SH_CHECK_CMP(entries, >, 0);
    SH_CHECK_CMP(compacted, <=, last);
    *c = (struct compaction){.entries = entries,
                             .bytes = COMPACTION_BYTES,
                             .before = compacted,
                             .begun = compacted,
                             .last = last};
}

void compaction_append(struct compaction *c, uint64_t last, uint64_t bytes)
{
    c->last = last;
    c->filled += bytes;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t compaction_due(struct compaction *c, uint64_t applied, uint64_t floor)
{
    bool full = c->last > c->begun + c->entries || c->filled > c->bytes;
    if (!full || applied <= c->begun) {
        return 0; /* what was replaced may have made the stretch look longer than it is */
    }
    uint64_t upto = least(c->begun, floor);
    if (upto <= c->before) {
        upto = 0;
    } else {
        c->before = upto;
    }
    c->begun = least(applied, c->last);
    c->filled = 0;
    return upto;
}

void compaction_reset(struct compaction *c, uint64_t index)
{
    c->before = index;
    c->begun = index;
    c->last = index;
    c->filled = 0;
}
