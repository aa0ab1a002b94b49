/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/data/dataset_internal.h"
#include "kernels/data/image_internal.h"

#include <png.h>
#include <string.h>

static enum kn_err png_fail(const png_image *png, const char *name, struct kn_diag *diag)
{
    struct kn_quote quote = kn_quote_make(png->message, strlen(png->message));
    return kn_fail(diag, KN_ERR_CORRUPT, "%s: a damaged PNG: %s", kn_path_tail(name), quote.text);
}

enum kn_err kn_image_png(struct kn_image *image, const uint8_t *bytes, size_t size,
                         const char *name, struct kn_diag *diag)
{
    static const png_color white = {255, 255, 255};
    png_image png = {.version = PNG_IMAGE_VERSION};
    if (png_image_begin_read_from_memory(&png, bytes, size) == 0) {
        return png_fail(&png, name, diag);
    }
    uint32_t channels = (png.format & PNG_FORMAT_FLAG_COLOR) != 0 ? 3 : 1;
    png.format = channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
    enum kn_err err = kn_image_prepare_pixels(image, png.width, png.height, channels, name, diag);
    if (err != KN_OK) {
        png_image_free(&png);
        return err;
    }
    if (png_image_finish_read(&png, &white, image->pixels, 0, NULL) == 0) {
        return png_fail(&png, name, diag);
    }
    return KN_OK;
}
