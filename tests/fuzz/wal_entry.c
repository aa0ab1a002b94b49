/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a row of the raft log. What decodes was encoded by this program; what is encoded
 * decodes, and not under another index. */
#include "store/wal/wal.h"

#include "base/host/host.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(const struct wal_entry *entry, struct sh_span row)
{
    uint8_t *again = malloc(row.size);
    SH_CHECK(again != NULL);
    SH_CHECK_CMP(wal_entry_encode(entry, again), ==, row.size);
    SH_CHECK(memcmp(again, row.at, row.size) == 0);
    free(again);
}

static void check_round_trip(const uint8_t *data, size_t size)
{
    struct wal_entry in = {.index = size, .term = 3, .type = 1, .bytes = KV_SPAN(data, size)};
    struct wal_entry out;
    uint8_t *row = malloc(WAL_ENTRY_HEAD_BYTES + size);
    SH_CHECK(row != NULL);
    struct sh_span span = KV_SPAN(row, wal_entry_encode(&in, row));
    SH_CHECK(wal_entry_decode(size, span, &out) == SH_OK);
    SH_CHECK(kv_compare(in.bytes, out.bytes) == 0);
    SH_CHECK(wal_entry_decode(size + 1, span, &out) == SH_ERR_CORRUPT);
    row[size % span.size] ^= 1;
    SH_CHECK(wal_entry_decode(size, span, &out) == SH_ERR_CORRUPT);
    free(row);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wal_entry entry;
    struct sh_span row = KV_SPAN(data, size);
    if (wal_entry_decode(1, row, &entry) == SH_OK) {
        check_same(&entry, row);
    }
    if (size <= WAL_ENTRY_BYTES_MAX) {
        check_round_trip(data, size);
    }
    return 0;
}
