/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/format/tensor.h"
#include "kernels/format/json.h"

#include <stdlib.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#    error "tensor bytes are written as they lie in memory: a little-endian machine is needed"
#endif

uint64_t kn_dtype_size(enum kn_dtype dtype)
{
    return dtype == KN_DTYPE_I64 ? sizeof(int64_t) : sizeof(float);
}

uint64_t kn_tensor_size(const struct kn_tensor *tensor)
{
    uint64_t size = kn_dtype_size(tensor->dtype);
    for (uint32_t i = 0; i < tensor->rank; i++) {
        if (tensor->shape[i] != 0 && size > UINT64_MAX / tensor->shape[i]) {
            return UINT64_MAX;
        }
        size *= tensor->shape[i];
    }
    return size;
}

static int by_name(const void *left, const void *right)
{
    const struct kn_tensor *const *a = left;
    const struct kn_tensor *const *b = right;
    return strcmp((*a)->name, (*b)->name);
}

static enum kn_err verify(const struct kn_tensor *t, struct kn_diag *diag)
{
    size_t length = t->name != NULL ? strlen(t->name) : 0;
    if (length == 0 || length >= KN_TENSOR_NAME_BYTES_MAX || !kn_utf8_valid(t->name) ||
        strcmp(t->name, "__metadata__") == 0) {
        return kn_fail(diag, KN_ERR_INVALID, "a tensor's name has 1 to %d bytes of UTF-8, not %zu",
                       KN_TENSOR_NAME_BYTES_MAX - 1, length);
    }
    bool known = t->dtype == KN_DTYPE_F32 || t->dtype == KN_DTYPE_I64;
    if (!known || t->rank > KN_TENSOR_RANK_MAX || kn_tensor_size(t) == UINT64_MAX) {
        return kn_fail(diag, KN_ERR_INVALID, "tensor %.100s: type, rank or size out of range",
                       t->name);
    }
    return KN_OK;
}

enum kn_err kn_tensors_order(const struct kn_tensor *tensors, uint32_t count,
                             const struct kn_tensor ***order, struct kn_diag *diag)
{
    *order = NULL;
    if (count > KN_TENSORS_MAX) {
        return kn_fail(diag, KN_ERR_LIMIT, "%u tensors, at most %d", count, KN_TENSORS_MAX);
    }
    for (uint32_t i = 0; i < count; i++) {
        enum kn_err err = verify(&tensors[i], diag);
        if (err != KN_OK) {
            return err;
        }
    }
    const struct kn_tensor **list =
        (const struct kn_tensor **)calloc(count > 0 ? count : 1, sizeof *list);
    if (list == NULL) {
        return kn_fail(diag, KN_ERR_MEMORY, "no memory for %u tensors", count);
    }
    for (uint32_t i = 0; i < count; i++) {
        list[i] = &tensors[i];
    }
    qsort((void *)list, count, sizeof *list, by_name);
    for (uint32_t i = 1; i < count; i++) {
        if (strcmp(list[i - 1]->name, list[i]->name) == 0) {
            enum kn_err err =
                kn_fail(diag, KN_ERR_INVALID, "two tensors named %.100s", list[i]->name);
            free((void *)list);
            return err;
        }
    }
    *order = list;
    return KN_OK;
}

static enum kn_err digest_one(const struct kn_tensor *t, struct kn_sink sink)
{
    uint32_t length = (uint32_t)strlen(t->name);
    uint32_t dtype = (uint32_t)t->dtype;
    enum kn_err err = sink.put(sink.context, &length, sizeof length);
    if (err == KN_OK) {
        err = sink.put(sink.context, t->name, length);
    }
    if (err == KN_OK) {
        err = sink.put(sink.context, &dtype, sizeof dtype);
    }
    if (err == KN_OK) {
        err = sink.put(sink.context, &t->rank, sizeof t->rank);
    }
    if (err == KN_OK && t->rank > 0) {
        err = sink.put(sink.context, t->shape, t->rank * sizeof t->shape[0]);
    }
    uint64_t size = kn_tensor_size(t);
    return err == KN_OK && size > 0 ? sink.put(sink.context, t->data, size) : err;
}

enum kn_err kn_tensors_digest(const struct kn_tensor *tensors, uint32_t count, struct kn_sink sink,
                              struct kn_diag *diag)
{
    const struct kn_tensor **order = NULL;
    enum kn_err err = kn_tensors_order(tensors, count, &order, diag);
    for (uint32_t i = 0; i < count && err == KN_OK; i++) {
        err = digest_one(order[i], sink);
    }
    free((void *)order);
    return err;
}
