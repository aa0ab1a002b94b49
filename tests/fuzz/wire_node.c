/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as the record of an agent. What decodes must encode to a record that decodes the same.
 */
#include "wire/node.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_node node;
    struct wire_node again;
    uint8_t bytes[WIRE_NODE_BYTES_MAX];
    uint8_t twice[WIRE_NODE_BYTES_MAX];
    struct sh_reader r = sh_reader_over(data, size);
    if (wire_node_decode(&r, &node) != SH_OK) {
        return 0;
    }
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    wire_node_encode(&node, &w);
    SH_CHECK(!w.full);
    SH_CHECK_CMP(w.used, ==, r.used);
    struct sh_reader back = sh_reader_over(bytes, w.used);
    SH_CHECK_CMP(wire_node_decode(&back, &again), ==, SH_OK);
    struct sh_writer v = sh_writer_over(twice, sizeof twice);
    wire_node_encode(&again, &v);
    SH_CHECK_CMP(v.used, ==, w.used);
    SH_CHECK_CMP(memcmp(bytes, twice, w.used), ==, 0);
    return 0;
}
