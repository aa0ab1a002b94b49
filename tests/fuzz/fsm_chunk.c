/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a chunk of a snapshot: rows lie within the chunk, and either all of it was rows or
 * it is corrupt. */
#include "store/fsm/fsm.h"

#include "base/host/host.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sh_reader chunk = sh_reader_over(data, size);
    struct sh_span key;
    struct sh_span value;
    size_t used = 0;
    while (fsm_chunk_row(&chunk, &key, &value)) {
        SH_CHECK_CMP(key.size, <=, SH_TABLE_KEY_MAX);
        SH_CHECK_CMP(value.size, <=, SH_TABLE_VALUE_MAX);
        used += 8 + key.size + value.size;
        SH_CHECK_CMP(used, <=, size);
        SH_CHECK(key.at >= data);
        SH_CHECK(value.at + value.size <= data + size);
    }
    SH_CHECK((sh_reader_end(&chunk) == SH_OK) == (used == size));
    return 0;
}
