/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/data/dataset_internal.h"
#include "kernels/data/image.h"

#include <stdlib.h>
#include <string.h>

/* Room for one sample more; doubles where the count is a power of two. */
static enum kn_err grow(struct kn_dataset *set, bool labelled, const char *name,
                        struct kn_diag *diag)
{
    if (set->count == 0 || (set->count & (set->count - 1)) != 0) {
        return KN_OK; /* begin() made room for the first */
    }
    uint64_t room = 2 * (uint64_t)set->count;
    if (room > KN_DATA_SAMPLES_MAX || room * set->features > KN_DATA_BYTES_MAX) {
        return kn_fail(diag, KN_ERR_LIMIT, "%s: more than 4 GiB of pictures", kn_path_tail(name));
    }
    uint8_t *bytes = realloc(set->bytes, room * set->features);
    set->bytes = bytes != NULL ? bytes : set->bytes;
    int32_t *label = labelled ? realloc(set->label, room * sizeof *label) : NULL;
    set->label = label != NULL ? label : set->label;
    if (bytes == NULL || (labelled && label == NULL)) {
        return kn_fail(diag, KN_ERR_MEMORY, "%s: no memory for more pictures", kn_path_tail(name));
    }
    return KN_OK;
}

/* Shape and first sample's room of a zero set. */
static enum kn_err begin(struct kn_dataset *set, const struct kn_image *image, const char *name,
                         const struct kn_open *options, struct kn_diag *diag)
{
    const uint32_t natural[3] = {image->channels, image->height, image->width};
    const uint32_t *shape = options->shape[0] != 0 ? options->shape : natural;
    if (shape[0] != 1 && shape[0] != 3) {
        return kn_fail(diag, KN_ERR_CORRUPT,
                       "%s: a picture has 1 or 3 channels, the model takes %u", kn_path_tail(name),
                       shape[0]);
    }
    enum kn_err err = kn_dataset_prepare(set, KN_SAMPLE_U8, shape, 1, name, diag);
    set->count = 0;
    if (err == KN_OK && !options->unlabelled) {
        set->label = calloc(1, sizeof *set->label);
        err = set->label != NULL
                  ? KN_OK
                  : kn_fail(diag, KN_ERR_MEMORY, "%s: no memory for labels", kn_path_tail(name));
    }
    if (err == KN_OK && !options->unlabelled && options->classes != NULL) {
        err = kn_dataset_classes(set, options, options->class_count, diag);
    }
    if (err != KN_OK) {
        kn_dataset_close(set);
    }
    return err;
}

static enum kn_err add(struct kn_dataset *set, const char *class_name, const struct kn_image *image,
                       const char *name, const struct kn_open *options, struct kn_diag *diag)
{
    enum kn_err err = set->features == 0 ? begin(set, image, name, options, diag)
                                         : grow(set, set->label != NULL, name, diag);
    if (err != KN_OK) {
        return err;
    }
    bool fits = image->channels == set->shape[0] && image->height == set->shape[1] &&
                image->width == set->shape[2];
    if (options->shape[0] == 0 && !fits) {
        return kn_fail(diag, KN_ERR_CORRUPT,
                       "%s: %u x %u x %u, the pictures before it %u x %u x %u", kn_path_tail(name),
                       image->channels, image->height, image->width, set->shape[0], set->shape[1],
                       set->shape[2]);
    }
    int32_t class = 0;
    if (set->label != NULL) {
        err = kn_dataset_class_find(set, class_name, name, options, &class, diag);
    }
    if (err != KN_OK) {
        return err;
    }
    struct kn_image_fit fit = {.shape = {set->shape[0], set->shape[1], set->shape[2]}};
    err = kn_image_prepare(image, &fit, set->bytes + (size_t)set->count * set->features);
    if (err != KN_OK) {
        return kn_fail(diag, err, "%s: cannot be brought to %u x %u x %u", kn_path_tail(name),
                       fit.shape[0], fit.shape[1], fit.shape[2]);
    }
    if (set->label != NULL) {
        set->label[set->count] = class;
    }
    set->count++;
    return KN_OK;
}

enum kn_err kn_pictures_add(struct kn_dataset *set, const char *class_name, const uint8_t *bytes,
                            size_t size, const char *name, const struct kn_open *options,
                            struct kn_diag *diag)
{
    struct kn_image image;
    enum kn_err err = kn_image_decode(&image, bytes, size, name, diag);
    if (err == KN_OK) {
        err = add(set, class_name, &image, name, options, diag);
    }
    kn_image_close(&image);
    return err;
}
