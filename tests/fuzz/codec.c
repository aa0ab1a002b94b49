/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a coded vector (kernels/agg/codec.h): byte 0 names the codec, bytes 1 and 2 how many
 * elements; then as floats to be projected. What is decoded encodes to the same bytes, and what is
 * projected stays as it is. */
#include "base/check.h"
#include "kernels/agg/codec.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD = 3, SIZE_MAX_ELEMENTS = 2048 };

static void try_decoder(enum kn_codec_kind kind, const uint8_t *bytes, size_t count, size_t size)
{
    float *x = malloc((size + 1) * sizeof *x);
    uint8_t *again = malloc(kn_codec_bytes_max(kind, size) + 1);
    SH_CHECK(x != NULL && again != NULL);
    if (kn_codec_decode(kind, bytes, count, x, size)) {
        SH_CHECK_CMP(kn_codec_encode(kind, x, size, again), ==, count);
        SH_CHECK_CMP(memcmp(again, bytes, count), ==, 0);
    }
    free(again);
    free(x);
}

static void try_projection(const struct kn_codec *codec, const uint8_t *bytes, size_t count)
{
    size_t size = count / sizeof(float);
    float *x = malloc((size + 1) * sizeof *x);
    float *back = malloc((size + 1) * sizeof *back);
    uint8_t *coded = malloc(kn_codec_bytes_max(codec->kind, size) + 1);
    SH_CHECK(x != NULL && back != NULL && coded != NULL);
    memcpy(x, bytes, size * sizeof *x);
    kn_codec_project(codec, x, size, NULL);
    size_t used = kn_codec_encode(codec->kind, x, size, coded);
    SH_CHECK_CMP(used, <=, kn_codec_bytes_max(codec->kind, size));
    SH_CHECK(kn_codec_decode(codec->kind, coded, used, back, size));
    SH_CHECK_CMP(memcmp(back, x, size * sizeof *x), ==, 0);
    kn_codec_project(codec, back, size, NULL);
    SH_CHECK_CMP(memcmp(back, x, size * sizeof *x), ==, 0);
    free(coded);
    free(back);
    free(x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEAD) {
        return 0;
    }
    struct kn_codec codec = {.kind = (enum kn_codec_kind)(data[0] % 4), .keep = data[1] + 1u};
    size_t elements = (data[1] | (size_t)data[2] << 8) % SIZE_MAX_ELEMENTS;
    try_decoder(codec.kind, data + HEAD, size - HEAD, elements);
    try_projection(&codec, data + HEAD, size - HEAD);
    return 0;
}
