/* SPDX-License-Identifier: Apache-2.0
 *
 * Decoders of picture formats: internal to data/. */
#ifndef KN_DATA_IMAGE_INTERNAL_H
#define KN_DATA_IMAGE_INTERNAL_H

#include "kernels/data/image.h"

/* Sets sides and channels and allocates the pixels. LIMIT, MEMORY. */
KN_MUST_USE enum kn_err kn_image_prepare_pixels(struct kn_image *image, uint64_t width,
                                                uint64_t height, uint32_t channels,
                                                const char *name, struct kn_diag *diag);

/* Each decodes into a zero image; on error the caller closes it. */
KN_MUST_USE enum kn_err kn_image_png(struct kn_image *image, const uint8_t *bytes, size_t size,
                                     const char *name, struct kn_diag *diag);
KN_MUST_USE enum kn_err kn_image_jpeg(struct kn_image *image, const uint8_t *bytes, size_t size,
                                      const char *name, struct kn_diag *diag);
KN_MUST_USE enum kn_err kn_image_pgm(struct kn_image *image, const uint8_t *bytes, size_t size,
                                     const char *name, struct kn_diag *diag);

#endif
