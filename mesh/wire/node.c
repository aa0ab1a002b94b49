/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/node.h"

#define NODE_RECORD   1u /* first byte of the record */
#define FLAG_DRAINING 1u

/* version, id, class, seven strings, ports and numbers, data sets */
#define NODE_BYTES                                                                                 \
    (1u + SH_NODE_ID_BYTES + WIRE_CLASS_BYTES + 7u + SH_NAME_MAX + 2u * SH_ADDR_MAX +              \
     WIRE_VERSION_MAX + WIRE_ISA_MAX + WIRE_GPU_NAME_MAX + WIRE_ZONE_MAX + 32u + 2u +              \
     8u * WIRE_NODE_DATASETS_MAX)
_Static_assert(NODE_BYTES <= WIRE_NODE_BYTES_MAX, "the record fits gossip metadata");
_Static_assert(SH_ADDR_MAX <= UINT8_MAX, "a string of a record has an u8 length");

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool wire_name_ok(const char *name)
{
    size_t size = strlen(name);
    bool ok = size >= 1 && size <= SH_NAME_MAX && is_alnum(name[0]);
    for (size_t i = 0; ok && i < size; i++) {
        ok = is_alnum(name[i]) || name[i] == '.' || name[i] == '_' || name[i] == '-';
    }
    return ok;
}

bool wire_addr_ok(const char *addr)
{
    size_t size = strlen(addr);
    bool ok = size >= 1 && size <= SH_ADDR_MAX && addr[0] != ':';
    bool port = false;
    for (size_t i = 0; ok && i < size; i++) {
        ok = addr[i] > ' ' && addr[i] <= '~';
        port = port || addr[i] == ':';
    }
    return ok && port;
}

uint64_t wire_dataset_tag(const uint8_t digest[static SH_DIGEST_BYTES])
{
    struct sh_reader r = sh_reader_over(digest, SH_DIGEST_BYTES);
    return sh_get_u64(&r);
}

void wire_str_put(struct sh_writer *w, const char *text)
{
    size_t size = strlen(text);
    SH_CHECK_CMP(size, <=, UINT8_MAX);
    sh_put_u8(w, (uint8_t)size);
    sh_put_bytes(w, text, size);
}

void wire_str_get(struct sh_reader *r, char *out, size_t size)
{
    SH_CHECK_CMP(size, >, 0);
    size_t length = sh_get_u8(r);
    if (length >= size) {
        r->bad = true;
        length = 0;
    }
    sh_get_bytes(r, out, length);
    out[length] = '\0';
    if (r->bad || strlen(out) != length) {
        r->bad = true;
        out[0] = '\0';
    }
}

void wire_node_encode(const struct wire_node *node, struct sh_writer *w)
{
    SH_CHECK(wire_name_ok(node->name));
    SH_CHECK_CMP(node->dataset_count, <=, WIRE_NODE_DATASETS_MAX);
    sh_put_u8(w, NODE_RECORD);
    sh_put_bytes(w, node->id, sizeof node->id);
    wire_str_put(w, node->name);
    wire_str_put(w, node->addr);
    wire_str_put(w, node->api);
    sh_put_u16(w, node->bulk_port);
    sh_put_bytes(w, node->class, sizeof node->class);
    wire_str_put(w, node->version);
    wire_str_put(w, node->isa);
    wire_str_put(w, node->gpu);
    sh_put_u8(w, node->gpus);
    sh_put_u64(w, node->gpu_bytes);
    sh_put_u16(w, node->cpus);
    sh_put_u64(w, node->ram_bytes);
    sh_put_u16(w, node->slots);
    sh_put_u16(w, node->speed);
    sh_put_u16(w, node->load);
    sh_put_u8(w, node->draining ? FLAG_DRAINING : 0);
    sh_put_u8(w, node->dataset_count);
    for (uint32_t i = 0; i < node->dataset_count; i++) {
        sh_put_u64(w, node->datasets[i]);
    }
    sh_put_u32(w, node->fsync_p99_us);
    wire_str_put(w, node->zone);
    sh_put_u8(w, (uint8_t)node->sandbox);
}

enum sh_err wire_node_decode(struct sh_reader *r, struct wire_node *node)
{
    *node = (struct wire_node){0};
    uint8_t record = sh_get_u8(r);
    if (!r->bad && record != NODE_RECORD) {
        return SH_ERR_VERSION;
    }
    sh_get_bytes(r, node->id, sizeof node->id);
    wire_str_get(r, node->name, sizeof node->name);
    wire_str_get(r, node->addr, sizeof node->addr);
    wire_str_get(r, node->api, sizeof node->api);
    node->bulk_port = sh_get_u16(r);
    sh_get_bytes(r, node->class, sizeof node->class);
    wire_str_get(r, node->version, sizeof node->version);
    wire_str_get(r, node->isa, sizeof node->isa);
    wire_str_get(r, node->gpu, sizeof node->gpu);
    node->gpus = sh_get_u8(r);
    node->gpu_bytes = sh_get_u64(r);
    node->cpus = sh_get_u16(r);
    node->ram_bytes = sh_get_u64(r);
    node->slots = sh_get_u16(r);
    node->speed = sh_get_u16(r);
    node->load = sh_get_u16(r);
    node->draining = (sh_get_u8(r) & FLAG_DRAINING) != 0;
    node->dataset_count = sh_get_u8(r);
    if (node->dataset_count > WIRE_NODE_DATASETS_MAX) {
        r->bad = true;
        node->dataset_count = 0;
    }
    for (uint32_t i = 0; i < node->dataset_count; i++) {
        node->datasets[i] = sh_get_u64(r);
    }
    node->fsync_p99_us = sh_get_u32(r);
    wire_str_get(r, node->zone, sizeof node->zone);
    uint8_t sandbox = sh_get_u8(r);
    r->bad = r->bad || sandbox > WIRE_SANDBOX_STRICT;
    node->sandbox = r->bad ? WIRE_SANDBOX_OFF : (enum wire_sandbox)sandbox;
    bool ok = wire_name_ok(node->name) && wire_addr_ok(node->addr) && node->cpus > 0 &&
              (node->api[0] == '\0' || wire_addr_ok(node->api)) &&
              (node->zone[0] == '\0' || wire_name_ok(node->zone));
    r->bad = r->bad || !ok;
    return sh_reader_end(r);
}
