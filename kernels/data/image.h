/* SPDX-License-Identifier: Apache-2.0
 *
 * Pictures: decoding and bringing them to a model's input shape. */
#ifndef KN_DATA_IMAGE_H
#define KN_DATA_IMAGE_H

#include "kernels/data/data.h"

/* 8 bits per channel, interleaved rows: byte (y * width + x) * channels + c. channels is 1 (grey)
 * or 3 (RGB); transparency is laid over white. */
struct kn_image {
    uint32_t width;
    uint32_t height;
    uint32_t channels;
    uint8_t *pixels; /* owned: kn_image_close */
};

/* True when the bytes begin like a picture that kn_image_decode reads. */
bool kn_image_known(const uint8_t *bytes, size_t size);
/* PNG, JPEG or binary PGM, recognised by its first bytes. Errors: CORRUPT, LIMIT (sides, pixels),
 * MEMORY, each with text in `diag`. `name` is used in that text only. */
KN_MUST_USE enum kn_err kn_image_decode(struct kn_image *image, const uint8_t *bytes, size_t size,
                                        const char *name, struct kn_diag *diag);
void kn_image_close(struct kn_image *image);

struct kn_image_fit {
    uint32_t shape[3]; /* channels (1 or 3), height, width wanted */
    bool invert;       /* dark strokes on light ground become light on dark */
    bool centre;       /* keep the aspect ratio, centre, fill with the border's mean */
};

/* Grey or RGB as wanted, resized by area (each output pixel is the exact mean of the input
 * rectangle it covers, in integers), into CHW bytes: shape[0] * shape[1] * shape[2] of them.
 * Errors: INVALID for a shape out of range. */
KN_MUST_USE enum kn_err kn_image_prepare(const struct kn_image *image,
                                         const struct kn_image_fit *fit, uint8_t *out);

#endif
