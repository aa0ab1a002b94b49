/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/format/json.h"
#include "kernels/format/tensor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ESCAPED_MAX = 6,   /* bytes of JSON per byte of text */
    TENSOR_BYTES = 256 /* of JSON per tensor without its name: type, 8 dimensions, 2 offsets */
};

struct header {
    char *text;
    size_t size;
};

static const struct kn_meta *meta_least(const struct kn_meta *metas, uint32_t count,
                                        const char *after)
{
    const struct kn_meta *least = NULL;
    for (uint32_t i = 0; i < count; i++) {
        bool later = after == NULL || strcmp(metas[i].key, after) > 0;
        if (later && (least == NULL || strcmp(metas[i].key, least->key) < 0)) {
            least = &metas[i];
        }
    }
    return least;
}

static enum kn_err metas_verify(const struct kn_meta *metas, uint32_t count, struct kn_diag *diag)
{
    if (count > KN_SAFETENSORS_META_MAX) {
        return kn_fail(diag, KN_ERR_LIMIT, "%u entries of metadata, at most %d", count,
                       KN_SAFETENSORS_META_MAX);
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct kn_meta *m = &metas[i];
        if (m->key == NULL || m->value == NULL || !kn_utf8_valid(m->key) ||
            !kn_utf8_valid(m->value)) {
            return kn_fail(diag, KN_ERR_INVALID, "metadata entry %u is not UTF-8", i);
        }
        for (uint32_t k = 0; k < i; k++) {
            if (strcmp(metas[k].key, m->key) == 0) {
                return kn_fail(diag, KN_ERR_INVALID, "two metadata entries named %.100s", m->key);
            }
        }
    }
    return KN_OK;
}

/* Room that the header cannot outgrow. */
static size_t header_room(const struct kn_tensor *const *order, uint32_t count,
                          const struct kn_meta *metas, uint32_t meta_count)
{
    size_t room = 64;
    for (uint32_t i = 0; i < count; i++) {
        room += ESCAPED_MAX * strlen(order[i]->name) + TENSOR_BYTES;
    }
    for (uint32_t i = 0; i < meta_count; i++) {
        room += ESCAPED_MAX * (strlen(metas[i].key) + strlen(metas[i].value)) + 8;
    }
    return room;
}

static void put_text(struct header *h, const char *text)
{
    size_t length = strlen(text);
    memcpy(h->text + h->size, text, length);
    h->size += length;
}

static void put_number(struct header *h, uint64_t number)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    put_text(h, text);
}

static void put_string(struct header *h, const char *text)
{
    h->size += kn_json_quote(text, h->text + h->size);
}

static void put_metas(struct header *h, const struct kn_meta *metas, uint32_t count)
{
    put_text(h, "\"__metadata__\":{");
    const char *after = NULL;
    for (uint32_t i = 0; i < count; i++) {
        const struct kn_meta *m = meta_least(metas, count, after);
        after = m->key;
        put_text(h, i > 0 ? "," : "");
        put_string(h, m->key);
        put_text(h, ":");
        put_string(h, m->value);
    }
    put_text(h, "}");
}

static void put_tensor(struct header *h, const struct kn_tensor *t, uint64_t begin, uint64_t end)
{
    put_string(h, t->name);
    put_text(h, t->dtype == KN_DTYPE_F32 ? ":{\"dtype\":\"F32\",\"shape\":["
                                         : ":{\"dtype\":\"I64\",\"shape\":[");
    for (uint32_t i = 0; i < t->rank; i++) {
        put_text(h, i > 0 ? "," : "");
        put_number(h, t->shape[i]);
    }
    put_text(h, "],\"data_offsets\":[");
    put_number(h, begin);
    put_text(h, ",");
    put_number(h, end);
    put_text(h, "]}");
}

/* The whole header, padded to 8 bytes, behind 8 bytes for its size. */
static enum kn_err header_make(struct header *h, const struct kn_tensor *const *order,
                               uint32_t count, const struct kn_meta *metas, uint32_t meta_count,
                               struct kn_diag *diag)
{
    h->text = malloc(header_room(order, count, metas, meta_count));
    if (h->text == NULL) {
        return kn_fail(diag, KN_ERR_MEMORY, "no memory for the header");
    }
    h->size = sizeof(uint64_t);
    put_text(h, "{");
    if (meta_count > 0) {
        put_metas(h, metas, meta_count);
    }
    uint64_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t size = kn_tensor_size(order[i]);
        if (size > INT64_MAX - at) {
            return kn_fail(diag, KN_ERR_LIMIT, "more than 2^63 bytes of tensors");
        }
        put_text(h, i > 0 || meta_count > 0 ? "," : "");
        put_tensor(h, order[i], at, at + size);
        at += size;
    }
    put_text(h, "}");
    while (h->size % 8 != 0) {
        put_text(h, " ");
    }
    uint64_t json = h->size - sizeof(uint64_t);
    if (json > KN_SAFETENSORS_HEADER_MAX) {
        return kn_fail(diag, KN_ERR_LIMIT, "a header of %llu bytes, at most %d",
                       (unsigned long long)json, KN_SAFETENSORS_HEADER_MAX);
    }
    memcpy(h->text, &json, sizeof json);
    return KN_OK;
}

enum kn_err kn_safetensors_write(const struct kn_tensor *tensors, uint32_t count,
                                 const struct kn_meta *metas, uint32_t meta_count,
                                 struct kn_sink sink, struct kn_diag *diag)
{
    struct header h = {0};
    const struct kn_tensor **order = NULL;
    enum kn_err err = metas_verify(metas, meta_count, diag);
    if (err == KN_OK) {
        err = kn_tensors_order(tensors, count, &order, diag);
    }
    if (err == KN_OK) {
        err = header_make(&h, order, count, metas, meta_count, diag);
    }
    if (err == KN_OK) {
        err = sink.put(sink.context, h.text, h.size);
    }
    for (uint32_t i = 0; i < count && err == KN_OK; i++) {
        uint64_t size = kn_tensor_size(order[i]);
        err = size > 0 ? sink.put(sink.context, order[i]->data, size) : KN_OK;
    }
    free(h.text);
    free((void *)order);
    return err;
}
