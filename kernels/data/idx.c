/* SPDX-License-Identifier: Apache-2.0
 *
 * IDX, the format of MNIST: a big-endian magic number (0, 0, type, dimensions), one u32 per
 * dimension, then the elements. Read here: unsigned bytes (type 8) of 3 dimensions (images), 4
 * (images with channels) and 1 (labels). */
#include "kernels/data/dataset_internal.h"
#include "kernels/data/gunzip.h"

#include <stdlib.h>
#include <string.h>

enum {
    DIMENSIONS_MAX = 4,
    HEADER_MAX = 4 + 4 * DIMENSIONS_MAX,
    TYPE_U8 = 8,
    DEFLATE_RATIO_MAX = 1040, /* deflate packs no byte into less than 1/1032 */
    CLASSES_OF_BYTES = 256
};

struct idx {
    uint32_t dimensions;
    uint32_t size[DIMENSIONS_MAX];
    size_t header;        /* bytes before the elements */
    size_t payload;       /* bytes of elements */
    const uint8_t *bytes; /* header and elements */
    uint8_t *unpacked;    /* owned; NULL when `bytes` is the caller's */
};

static uint32_t be32(const uint8_t *b)
{
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* Magic number and dimensions from the first bytes of the plain file. */
static enum kn_err header_read(struct idx *x, const uint8_t *head, size_t size, bool images,
                               const char *name, struct kn_diag *diag)
{
    const char *what =
        images ? "images begin with 00000803 or 00000804" : "labels begin with 00000801";
    if (size < 4) {
        return kn_fail(diag, KN_ERR_CORRUPT, "%s: %zu bytes are no IDX file", kn_path_tail(name),
                       size);
    }
    x->dimensions = head[3];
    bool known = images ? head[3] == 3 || head[3] == 4 : head[3] == 1;
    if (head[0] != 0 || head[1] != 0 || head[2] != TYPE_U8 || !known) {
        return kn_fail(diag, KN_ERR_CORRUPT, "%s: begins with %08x; IDX %s", kn_path_tail(name),
                       be32(head), what);
    }
    x->header = 4 + 4 * (size_t)x->dimensions;
    if (size < x->header) {
        return kn_fail(diag, KN_ERR_CORRUPT, "%s: truncated in its header, after %zu bytes",
                       kn_path_tail(name), size);
    }
    uint64_t payload = 1;
    for (uint32_t i = 0; i < x->dimensions; i++) {
        x->size[i] = be32(head + 4 + 4 * i);
        if (x->size[i] == 0 || payload > KN_DATA_BYTES_MAX / x->size[i]) {
            return kn_fail(diag, KN_ERR_LIMIT,
                           "%s: dimension %u is %u; none may be 0 and all together 4 GiB at most",
                           kn_path_tail(name), i + 1, x->size[i]);
        }
        payload *= x->size[i];
    }
    x->payload = (size_t)payload;
    return KN_OK;
}

static enum kn_err length_fail(const struct idx *x, size_t met, bool more, const char *name,
                               struct kn_diag *diag)
{
    return kn_fail(diag, KN_ERR_CORRUPT,
                   "%s: %s: the header promises %u entries, %zu bytes; %s %zu", kn_path_tail(name),
                   more ? "too long" : "truncated", x->size[0], x->header + x->payload,
                   more ? "there are more than" : "there are", met);
}

static enum kn_err unpack(struct idx *x, const uint8_t *bytes, size_t size, const char *name,
                          struct kn_diag *diag)
{
    size_t total = x->header + x->payload;
    if (total / DEFLATE_RATIO_MAX > size) {
        return kn_fail(
            diag, KN_ERR_CORRUPT,
            "%s: truncated: the header promises %zu bytes, %zu packed ones cannot hold them",
            kn_path_tail(name), total, size);
    }
    x->unpacked = malloc(total);
    if (x->unpacked == NULL) {
        return kn_fail(diag, KN_ERR_MEMORY, "%s: no memory for %zu bytes", kn_path_tail(name),
                       total);
    }
    x->bytes = x->unpacked;
    size_t got = 0;
    bool whole = false;
    enum kn_err err = kn_gunzip(bytes, size, x->unpacked, total, &got, &whole);
    if (err == KN_ERR_MEMORY) {
        return kn_fail(diag, err, "%s: no memory to unpack it", kn_path_tail(name));
    }
    if (got < total) {
        return length_fail(x, got, false, name, diag);
    }
    if (err != KN_OK || !whole) {
        return kn_fail(
            diag, KN_ERR_CORRUPT,
            "%s: damaged: after the promised %zu bytes the gzip stream does not end well",
            kn_path_tail(name), total);
    }
    return KN_OK;
}

static void idx_close(struct idx *x)
{
    free(x->unpacked);
    x->unpacked = NULL;
}

/* On error nothing is owed. */
static enum kn_err idx_open(struct idx *x, const uint8_t *bytes, size_t size, bool images,
                            const char *name, struct kn_diag *diag)
{
    *x = (struct idx){.bytes = bytes};
    bool packed = kn_gunzip_known(bytes, size);
    uint8_t head[HEADER_MAX];
    size_t head_size = size < HEADER_MAX ? size : HEADER_MAX;
    if (packed) {
        bool whole = false;
        enum kn_err err = kn_gunzip(bytes, size, head, HEADER_MAX, &head_size, &whole);
        if (err == KN_ERR_MEMORY) {
            return kn_fail(diag, err, "%s: no memory to unpack it", kn_path_tail(name));
        }
    } else {
        memcpy(head, bytes, head_size);
    }
    enum kn_err err = header_read(x, head, head_size, images, name, diag);
    if (err == KN_OK && packed) {
        err = unpack(x, bytes, size, name, diag);
    } else if (err == KN_OK && size != x->header + x->payload) {
        err = length_fail(x, size, size > x->header + x->payload, name, diag);
    }
    if (err != KN_OK) {
        idx_close(x);
    }
    return err;
}

enum kn_err kn_idx_decode(struct kn_dataset *set, const uint8_t *images, size_t size,
                          const char *name, const struct kn_open *options, struct kn_diag *diag)
{
    struct idx x;
    *set = (struct kn_dataset){0};
    enum kn_err err = idx_open(&x, images, size, true, name, diag);
    if (err != KN_OK) {
        return err;
    }
    bool planes = x.dimensions == 4;
    const uint32_t shape[3] = {planes ? x.size[1] : 1, x.size[planes ? 2 : 1],
                               x.size[planes ? 3 : 2]};
    err = kn_dataset_shape_verify(shape, options, name, diag);
    if (err == KN_OK) {
        err = kn_dataset_prepare(set, KN_SAMPLE_U8, shape, x.size[0], name, diag);
    }
    if (err == KN_OK) {
        memcpy(set->bytes, x.bytes + x.header, x.payload);
    } else {
        kn_dataset_close(set);
    }
    idx_close(&x);
    return err;
}

enum kn_err kn_idx_decode_labels(struct kn_dataset *set, const uint8_t *labels, size_t size,
                                 const char *name, const struct kn_open *options,
                                 struct kn_diag *diag)
{
    struct idx x;
    enum kn_err err = idx_open(&x, labels, size, false, name, diag);
    if (err != KN_OK) {
        return err;
    }
    uint32_t limit = options->class_count > 0 ? options->class_count : CLASSES_OF_BYTES;
    uint32_t most = 0;
    if (x.size[0] != set->count) {
        err = kn_fail(diag, KN_ERR_CORRUPT, "%s: %u labels for %u images", kn_path_tail(name),
                      x.size[0], set->count);
    }
    for (uint32_t i = 0; err == KN_OK && i < set->count; i++) {
        uint32_t label = x.bytes[x.header + i];
        most = label > most ? label : most;
        if (label >= limit) {
            err = kn_fail(diag, KN_ERR_CORRUPT, "%s: label %u of image %u is out of range: 0 to %u",
                          kn_path_tail(name), label, i, limit - 1);
        }
    }
    if (err == KN_OK) {
        set->label = calloc(set->count, sizeof *set->label);
        err = set->label != NULL
                  ? kn_dataset_classes(set, options,
                                       options->class_count > 0 ? options->class_count : most + 1,
                                       diag)
                  : kn_fail(diag, KN_ERR_MEMORY, "%s: no memory for labels", kn_path_tail(name));
    }
    for (uint32_t i = 0; err == KN_OK && i < set->count; i++) {
        set->label[i] = x.bytes[x.header + i];
    }
    idx_close(&x);
    return err;
}
