/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/data/image.h"
#include "kernels/data/dataset_internal.h"
#include "kernels/data/image_internal.h"

#include <stdlib.h>
#include <string.h>

enum picture { PICTURE_UNKNOWN, PICTURE_PNG, PICTURE_JPEG, PICTURE_PGM };

static enum picture recognise(const uint8_t *bytes, size_t size)
{
    static const uint8_t png[8] = {0x89, 'P', 'N', 'G', 0x0d, 0x0a, 0x1a, 0x0a};
    static const uint8_t jpeg[3] = {0xff, 0xd8, 0xff};
    if (size >= sizeof png && memcmp(bytes, png, sizeof png) == 0) {
        return PICTURE_PNG;
    }
    if (size >= sizeof jpeg && memcmp(bytes, jpeg, sizeof jpeg) == 0) {
        return PICTURE_JPEG;
    }
    return size >= 2 && bytes[0] == 'P' && bytes[1] == '5' ? PICTURE_PGM : PICTURE_UNKNOWN;
}

bool kn_image_known(const uint8_t *bytes, size_t size)
{
    return recognise(bytes, size) != PICTURE_UNKNOWN;
}

void kn_image_close(struct kn_image *image)
{
    free(image->pixels);
    *image = (struct kn_image){0};
}

enum kn_err kn_image_prepare_pixels(struct kn_image *image, uint64_t width, uint64_t height,
                                    uint32_t channels, const char *name, struct kn_diag *diag)
{
    if (width == 0 || height == 0 || width > KN_IMAGE_SIDE_MAX || height > KN_IMAGE_SIDE_MAX ||
        width * height > KN_IMAGE_PIXELS_MAX) {
        return kn_fail(diag, KN_ERR_LIMIT,
                       "%s: a picture of %llu x %llu; at most %d a side and %d pixels can be read",
                       kn_path_tail(name), (unsigned long long)width, (unsigned long long)height,
                       KN_IMAGE_SIDE_MAX, KN_IMAGE_PIXELS_MAX);
    }
    image->pixels = calloc(height, width * channels);
    if (image->pixels == NULL) {
        return kn_fail(diag, KN_ERR_MEMORY, "%s: no memory for its pixels", kn_path_tail(name));
    }
    image->width = (uint32_t)width;
    image->height = (uint32_t)height;
    image->channels = channels;
    return KN_OK;
}

/* The next decimal number of a PGM header; white space and comments before it are skipped. */
static bool pgm_number(const uint8_t *bytes, size_t size, size_t *at, uint64_t *number)
{
    bool comment = false;
    while (*at < size && (comment || bytes[*at] < '0' || bytes[*at] > '9')) {
        comment = comment ? bytes[*at] != '\n' : bytes[*at] == '#';
        bool blank = bytes[*at] == ' ' || (bytes[*at] >= '\t' && bytes[*at] <= '\r');
        if (!comment && !blank) {
            return false;
        }
        (*at)++;
    }
    *number = 0;
    size_t first = *at;
    while (*at < size && bytes[*at] >= '0' && bytes[*at] <= '9' && *number < UINT32_MAX) {
        *number = 10 * *number + (uint64_t)(bytes[*at] - '0');
        (*at)++;
    }
    return *at > first && *at < size;
}

enum kn_err kn_image_pgm(struct kn_image *image, const uint8_t *bytes, size_t size,
                         const char *name, struct kn_diag *diag)
{
    size_t at = 2;
    uint64_t width = 0;
    uint64_t height = 0;
    uint64_t most = 0;
    if (!pgm_number(bytes, size, &at, &width) || !pgm_number(bytes, size, &at, &height) ||
        !pgm_number(bytes, size, &at, &most) || most == 0 || most > 255) {
        return kn_fail(diag, KN_ERR_CORRUPT,
                       "%s: a PGM begins with P5, width, height and a greatest value of 1 to 255",
                       kn_path_tail(name));
    }
    enum kn_err err = kn_image_prepare_pixels(image, width, height, 1, name, diag);
    if (err != KN_OK) {
        return err;
    }
    at++; /* the one byte of white space after the header */
    size_t pixels = (size_t)(width * height);
    if (size - at < pixels) {
        return kn_fail(diag, KN_ERR_CORRUPT, "%s: truncated: %zu bytes for %zu pixels",
                       kn_path_tail(name), size - at, pixels);
    }
    for (size_t i = 0; i < pixels; i++) {
        uint32_t value = bytes[at + i] < most ? bytes[at + i] : (uint32_t)most;
        image->pixels[i] = (uint8_t)((value * 255 + (uint32_t)most / 2) / (uint32_t)most);
    }
    return KN_OK;
}

enum kn_err kn_image_decode(struct kn_image *image, const uint8_t *bytes, size_t size,
                            const char *name, struct kn_diag *diag)
{
    enum kn_err err = KN_ERR_CORRUPT;
    *image = (struct kn_image){0};
    switch (recognise(bytes, size)) {
    case PICTURE_PNG:
        err = kn_image_png(image, bytes, size, name, diag);
        break;
    case PICTURE_JPEG:
        err = kn_image_jpeg(image, bytes, size, name, diag);
        break;
    case PICTURE_PGM:
        err = kn_image_pgm(image, bytes, size, name, diag);
        break;
    case PICTURE_UNKNOWN:
        err = kn_fail(diag, KN_ERR_CORRUPT, "%s: not a PNG, JPEG or binary PGM picture",
                      kn_path_tail(name));
        break;
    }
    if (err != KN_OK) {
        kn_image_close(image);
    }
    return err;
}

/* Channel c of a pixel as a picture of `channels` channels shows it; grey is the luma of BT.601. */
static uint32_t sample(const struct kn_image *image, size_t pixel, uint32_t channels, uint32_t c)
{
    const uint8_t *p = image->pixels + pixel * image->channels;
    if (image->channels == channels) {
        return p[c];
    }
    return channels == 3 ? p[0] : (77U * p[0] + 150U * p[1] + 29U * p[2] + 128U) >> 8;
}

/* Mean of channel c over the rectangle that output pixel (x, y) of a width x height picture covers.
 * Lengths are in units in which input and output pixels both have whole sides. */
static uint8_t area_mean(const struct kn_image *image, const uint32_t shape[3], uint32_t c,
                         uint32_t x, uint32_t y)
{
    uint64_t wide = image->width;
    uint64_t high = image->height;
    uint64_t x0 = x * wide;
    uint64_t y0 = y * high;
    uint64_t sum = 0;
    for (uint64_t j = y0 / shape[1]; j * shape[1] < y0 + high; j++) {
        uint64_t top = j * shape[1] > y0 ? j * shape[1] : y0;
        uint64_t end = (j + 1) * shape[1] < y0 + high ? (j + 1) * shape[1] : y0 + high;
        uint64_t row = 0;
        for (uint64_t i = x0 / shape[2]; i * shape[2] < x0 + wide; i++) {
            uint64_t left = i * shape[2] > x0 ? i * shape[2] : x0;
            uint64_t right = (i + 1) * shape[2] < x0 + wide ? (i + 1) * shape[2] : x0 + wide;
            row += (right - left) * sample(image, j * wide + i, shape[0], c);
        }
        sum += row * (end - top);
    }
    return (uint8_t)((sum + wide * high / 2) / (wide * high));
}

/* Mean of the outermost pixels of channel c: what surrounds a centred picture. */
static uint8_t border_mean(const struct kn_image *image, uint32_t channels, uint32_t c)
{
    uint64_t sum = 0;
    uint64_t count = 0;
    size_t wide = image->width;
    for (size_t y = 0; y < image->height; y++) {
        bool edge = y == 0 || y + 1 == image->height;
        for (size_t x = 0; x < wide; x += edge || x + 1 == wide ? 1 : wide - 1) {
            sum += sample(image, y * wide + x, channels, c);
            count++;
        }
    }
    return (uint8_t)((sum + count / 2) / count);
}

enum kn_err kn_image_prepare(const struct kn_image *image, const struct kn_image_fit *fit,
                             uint8_t *out)
{
    const uint32_t *to = fit->shape;
    if ((to[0] != 1 && to[0] != 3) || to[1] == 0 || to[2] == 0 || to[1] > KN_IMAGE_SIDE_MAX ||
        to[2] > KN_IMAGE_SIDE_MAX) {
        return KN_ERR_INVALID;
    }
    uint32_t inner[3] = {to[0], to[1], to[2]};
    if (fit->centre && (uint64_t)image->width * to[1] > (uint64_t)image->height * to[2]) {
        inner[1] = (uint32_t)((uint64_t)image->height * to[2] / image->width);
        inner[1] = inner[1] > 0 ? inner[1] : 1;
    } else if (fit->centre) {
        inner[2] = (uint32_t)((uint64_t)image->width * to[1] / image->height);
        inner[2] = inner[2] > 0 ? inner[2] : 1;
    }
    uint32_t top = (to[1] - inner[1]) / 2;
    uint32_t left = (to[2] - inner[2]) / 2;
    for (uint32_t c = 0; c < to[0]; c++) {
        uint8_t fill = border_mean(image, to[0], c);
        uint8_t *plane = out + (size_t)c * to[1] * to[2];
        memset(plane, fill, (size_t)to[1] * to[2]);
        for (uint32_t y = 0; y < inner[1]; y++) {
            for (uint32_t x = 0; x < inner[2]; x++) {
                plane[(size_t)(top + y) * to[2] + left + x] = area_mean(image, inner, c, x, y);
            }
        }
    }
    for (size_t i = 0; fit->invert && i < (size_t)to[0] * to[1] * to[2]; i++) {
        out[i] = (uint8_t)(255 - out[i]);
    }
    return KN_OK;
}
