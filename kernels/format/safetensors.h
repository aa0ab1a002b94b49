/* SPDX-License-Identifier: Apache-2.0
 *
 * safetensors files: u64 little-endian header size, a flat JSON header, then tensor bytes without
 * holes. Written canonically (names and metadata sorted, header padded with spaces to 8 bytes):
 * equal input gives equal bytes. Read as hostile: every range, size, shape and name is verified. */
#ifndef KN_FORMAT_SAFETENSORS_H
#define KN_FORMAT_SAFETENSORS_H

#include "kernels/err.h"

#include <stddef.h>
#include <stdint.h>

enum {
    KN_TENSOR_RANK_MAX = 8,
    KN_TENSOR_NAME_BYTES_MAX = 512, /* terminator included */
    KN_TENSORS_MAX = 16384,
    KN_SAFETENSORS_META_MAX = 256,      /* entries of the metadata */
    KN_SAFETENSORS_HEADER_MAX = 1 << 20 /* bytes of JSON */
};

enum kn_dtype { KN_DTYPE_F32 = 1, KN_DTYPE_I64 = 2 };

/* In a file that was read: name and data point into the file's struct and the caller's bytes.
 * `data` is little-endian and need not be aligned. */
struct kn_tensor {
    const char *name;
    enum kn_dtype dtype;
    uint32_t rank; /* 0: a scalar */
    uint64_t shape[KN_TENSOR_RANK_MAX];
    const void *data;
};

struct kn_meta {
    const char *key;
    const char *value; /* UTF-8, of any length that the header holds */
};

/* Bytes of one element; of the whole tensor, or UINT64_MAX when that overflows. */
uint64_t kn_dtype_size(enum kn_dtype dtype);
uint64_t kn_tensor_size(const struct kn_tensor *tensor);

/* Receives bytes in order; what is not KN_OK stops the writer, which answers it. */
struct kn_sink {
    enum kn_err (*put)(void *context, const void *bytes, size_t size);
    void *context;
};

/* Writes a file. Tensors and metadata may come in any order. Errors: INVALID (empty, repeated or
 * too long name or key, text that is not UTF-8, rank or shape out of range), LIMIT (header),
 * MEMORY, what the sink answers. The text of `diag` names the culprit. */
KN_MUST_USE enum kn_err kn_safetensors_write(const struct kn_tensor *tensors, uint32_t count,
                                             const struct kn_meta *metas, uint32_t meta_count,
                                             struct kn_sink sink, struct kn_diag *diag);

/* A file that was read: tensors and metadata sorted by name. */
struct kn_safetensors {
    struct kn_tensor *tensor;
    uint32_t count;
    struct kn_meta *meta;
    uint32_t meta_count;
    char *text; /* names, keys and values */
};

/* Reads a whole file from memory; `bytes` are borrowed until kn_safetensors_close. Errors: CORRUPT,
 * LIMIT, UNSUPPORTED (a dtype other than F32 and I64), MEMORY; then *file is zero. */
KN_MUST_USE enum kn_err kn_safetensors_read(struct kn_safetensors *file, const uint8_t *bytes,
                                            size_t size, struct kn_diag *diag);
void kn_safetensors_close(struct kn_safetensors *file);
/* By name, or NULL. O(log count). */
const struct kn_tensor *kn_safetensors_find(const struct kn_safetensors *file, const char *name);
const char *kn_safetensors_meta(const struct kn_safetensors *file, const char *key);

/* Feeds the sink with what a model's digest is taken over: the tensors sorted by name (bytewise),
 * for each u32 length of the name, the name, u32 dtype, u32 rank, u64 per dimension, the data, all
 * little-endian. The dtype numbers are part of the digest: never renumber. Errors as the writer. */
KN_MUST_USE enum kn_err kn_tensors_digest(const struct kn_tensor *tensors, uint32_t count,
                                          struct kn_sink sink, struct kn_diag *diag);

#endif
