/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/node.h"

#define NODE_RECORD       1u /* first byte of the record */
#define FLAG_DRAINING     1u
#define FLAGS_SANDBOX_MIN 6u /* a number of two bits */
#define SHIFT_SANDBOX_MIN 1u

/* version, id, class, seven strings, ports and numbers, data sets; policy, disk, labels, user */
#define NODE_BYTES                                                                                 \
    (1u + SH_NODE_ID_BYTES + WIRE_CLASS_BYTES + 7u + SH_NAME_MAX + 2u * SH_ADDR_MAX +              \
     WIRE_VERSION_MAX + WIRE_ISA_MAX + WIRE_GPU_NAME_MAX + WIRE_ZONE_MAX + 32u + 2u +              \
     8u * WIRE_NODE_DATASETS_MAX + 10u + WIRE_LABELS_BYTES_MAX + 1u + WIRE_ARCH_MAX + 4u)
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

static bool is_word(char c)
{
    return is_alnum(c) || c == '.' || c == '_' || c == '/' || c == '-';
}

/* The label that begins at text: the length of its key, and of all of it; 0: none stands there. */
static size_t label_at(const char *text, size_t *key)
{
    size_t at = 0;
    while (is_word(text[at])) {
        at++;
    }
    *key = at;
    size_t value = text[at] == '=' ? at + 1 : at;
    at = value;
    while (is_word(text[at])) {
        at++;
    }
    bool good = *key >= 1 && *key <= WIRE_LABEL_MAX && at - value <= WIRE_LABEL_MAX &&
                (value == *key || at > value) && (text[at] == ',' || text[at] == '\0');
    return good ? at : 0;
}

/* A key of so many characters stands among the labels before `end`. */
static bool key_before(const char *labels, const char *end, const char *key, size_t size)
{
    bool found = false;
    for (const char *at = labels; at < end && !found;) {
        size_t length = 0;
        size_t whole = label_at(at, &length);
        found = length == size && memcmp(at, key, size) == 0;
        at += whole + 1;
    }
    return found;
}

bool wire_labels_ok(const char *labels)
{
    uint32_t count = 0;
    bool ok = strlen(labels) <= WIRE_LABELS_BYTES_MAX;
    for (const char *at = labels; ok && (*at != '\0' || at > labels); count++) {
        size_t key = 0;
        size_t size = label_at(at, &key);
        ok = size > 0 && count < WIRE_LABELS_MAX && !key_before(labels, at, at, key);
        if (!ok || at[size] == '\0') {
            break;
        }
        at += size + 1;
    }
    return ok;
}

const char *wire_policy_text(uint32_t policy)
{
    static const char *const texts[WIRE_POLICY_COUNT] = {[WIRE_POLICY_NONE] = "none",
                                                         [WIRE_POLICY_BUSY] = "busy",
                                                         [WIRE_POLICY_HOURS] = "off hours",
                                                         [WIRE_POLICY_BATTERY] = "on battery"};
    return policy < WIRE_POLICY_COUNT ? texts[policy] : "?";
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
    SH_CHECK(wire_labels_ok(node->labels));
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
    unsigned flags = node->draining ? FLAG_DRAINING : 0;
    sh_put_u8(w, (uint8_t)(flags | (unsigned)node->sandbox_min << SHIFT_SANDBOX_MIN));
    sh_put_u8(w, node->dataset_count);
    for (uint32_t i = 0; i < node->dataset_count; i++) {
        sh_put_u64(w, node->datasets[i]);
    }
    sh_put_u32(w, node->fsync_p99_us);
    wire_str_put(w, node->zone);
    sh_put_u8(w, (uint8_t)node->sandbox);
    sh_put_u8(w, (uint8_t)node->policy);
    sh_put_u64(w, node->disk_bytes);
    wire_str_put(w, node->labels);
    wire_str_put(w, node->arch);
    sh_put_u32(w, node->run_as);
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
    unsigned flags = sh_get_u8(r);
    node->draining = (flags & FLAG_DRAINING) != 0;
    node->sandbox_min = (enum wire_sandbox)((flags & FLAGS_SANDBOX_MIN) >> SHIFT_SANDBOX_MIN);
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
    uint8_t policy = sh_get_u8(r);
    r->bad = r->bad || policy >= WIRE_POLICY_COUNT;
    node->policy = r->bad ? WIRE_POLICY_NONE : (enum wire_policy)policy;
    node->disk_bytes = sh_get_u64(r);
    wire_str_get(r, node->labels, sizeof node->labels);
    wire_str_get(r, node->arch, sizeof node->arch);
    node->run_as = sh_get_u32(r);
    bool ok = wire_name_ok(node->name) && wire_addr_ok(node->addr) && node->cpus > 0 &&
              (node->api[0] == '\0' || wire_addr_ok(node->api)) &&
              (node->zone[0] == '\0' || wire_name_ok(node->zone)) && wire_labels_ok(node->labels);
    r->bad = r->bad || !ok;
    return sh_reader_end(r);
}
