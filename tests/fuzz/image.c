/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a picture; what is decoded is brought to a model's input. */
#include "kernels/data/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct kn_image_fit grey = {.shape = {1, 28, 28}, .invert = true, .centre = true};
    static const struct kn_image_fit colour = {.shape = {3, 9, 31}};
    static uint8_t out[3 * 28 * 31];
    struct kn_image image;
    struct kn_diag diag;
    if (kn_image_decode(&image, data, size, "f", &diag) == KN_OK) {
        KN_CHECK(kn_image_prepare(&image, &grey, out) == KN_OK);
        KN_CHECK(kn_image_prepare(&image, &colour, out) == KN_OK);
        kn_image_close(&image);
    }
    return 0;
}
