/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/data/digits.h"
#include "kernels/data/dataset_internal.h"
#include "kernels/data/recordings.h"
#include "kernels/data/source.h"

#include <string.h>

typedef enum kn_err (*decode_function)(struct kn_dataset *set, const uint8_t *bytes, size_t size,
                                       const char *name, const struct kn_open *options,
                                       struct kn_diag *diag);

static enum kn_err file_decode(struct kn_dataset *set, const char *path,
                               const struct kn_open *options, struct kn_diag *diag,
                               decode_function decode)
{
    struct kn_file file;
    enum kn_err err = kn_file_read(&file, path, diag);
    if (err == KN_OK) {
        err = decode(set, file.bytes, file.size, path, options, diag);
        kn_file_close(&file);
    }
    return err;
}

static enum kn_err idx_open(struct kn_dataset *set, const struct kn_source *s,
                            const struct kn_open *options, struct kn_diag *diag)
{
    enum kn_err err = file_decode(set, s->file, options, diag, kn_idx_decode);
    if (err == KN_OK && s->labels[0] != '\0') {
        err = file_decode(set, s->labels, options, diag, kn_idx_decode_labels);
    }
    return err;
}

struct folder {
    struct kn_dataset *set;
    const struct kn_open *options;
    struct kn_diag *diag;
};

static enum kn_err picture_add(void *context, const char *class_name, const char *path)
{
    const struct folder *f = context;
    struct kn_file file;
    enum kn_err err = kn_file_read(&file, path, f->diag);
    if (err == KN_OK) {
        err = kn_pictures_add(f->set, class_name, file.bytes, file.size, path, f->options, f->diag);
        kn_file_close(&file);
    }
    return err;
}

static enum kn_err digits_open(struct kn_dataset *set, enum kn_part part, const char *path,
                               const struct kn_open *options, struct kn_diag *diag)
{
    enum kn_err err = kn_digits_open(set, part);
    if (err != KN_OK) {
        return kn_fail(diag, err, "%s: no memory for its images", path);
    }
    err = kn_dataset_shape_verify(set->shape, options, path, diag);
    uint32_t classes = options->class_count;
    if (err == KN_OK && classes > 0 && classes < set->class_count) {
        err = kn_fail(diag, KN_ERR_CORRUPT, "%s: label 9 is out of range: 0 to %u", path,
                      classes - 1);
    }
    return err;
}

enum kn_err kn_dataset_open(struct kn_dataset *set, const char *path, const struct kn_open *options,
                            struct kn_diag *diag)
{
    struct kn_source s;
    struct folder folder = {.set = set, .options = options, .diag = diag};
    struct kn_open unlabelled = *options;
    *set = (struct kn_dataset){0};
    enum kn_err err = kn_source_find(&s, path, options, diag);
    if (err == KN_OK && options->text != NULL) {
        err = s.kind == KN_SOURCE_CSV
                  ? KN_OK
                  : kn_fail(diag, KN_ERR_NOT_FOUND, "%s: no file of text", kn_path_tail(path));
    }
    if (err == KN_OK && options->audio != NULL && s.kind != KN_SOURCE_RECORDING &&
        s.kind != KN_SOURCE_RECORDINGS) {
        err = kn_fail(diag, KN_ERR_NOT_FOUND, "%s: no .wav recording, nor a folder of them",
                      kn_path_tail(path));
    }
    if (err != KN_OK) {
        return err;
    }
    switch (s.kind) {
    case KN_SOURCE_DIGITS:
        err = digits_open(set, s.part, path, options, diag);
        break;
    case KN_SOURCE_IDX:
        err = idx_open(set, &s, options, diag);
        break;
    case KN_SOURCE_CSV:
        err = file_decode(set, s.file, options, diag,
                          options->text != NULL ? kn_text_decode : kn_csv_decode);
        break;
    case KN_SOURCE_PICTURE:
        unlabelled.unlabelled = true;
        folder.options = &unlabelled;
        err = picture_add(&folder, "", s.file);
        break;
    case KN_SOURCE_FOLDER:
        err = kn_folder_walk(s.file, KN_WALK_PICTURES, picture_add, &folder, diag);
        break;
    case KN_SOURCE_PICTURES:
        err = kn_class_walk(s.file, KN_WALK_PICTURES, "", picture_add, &folder, diag);
        break;
    case KN_SOURCE_RECORDING:
        err = file_decode(set, s.file, options, diag, kn_recording_decode);
        break;
    case KN_SOURCE_RECORDINGS:
        err = kn_recordings_open(set, s.file, options, diag);
        break;
    }
    if (err != KN_OK) {
        kn_dataset_close(set);
    }
    return err;
}

struct listing {
    enum kn_err (*each)(void *context, const char *file);
    void *context;
};

static enum kn_err list_one(void *context, const char *class_name, const char *file)
{
    const struct listing *l = context;
    (void)class_name;
    return l->each(l->context, file);
}

enum kn_err kn_dataset_files(const char *path, const struct kn_open *options,
                             enum kn_err (*each)(void *context, const char *file), void *context,
                             struct kn_diag *diag)
{
    struct kn_source s;
    struct listing listing = {.each = each, .context = context};
    enum kn_err err = kn_source_find(&s, path, options, diag);
    if (err != KN_OK || s.kind == KN_SOURCE_DIGITS) {
        return err;
    }
    if (s.kind == KN_SOURCE_FOLDER) {
        return kn_folder_walk(s.file, KN_WALK_PICTURES, list_one, &listing, diag);
    }
    if (s.kind == KN_SOURCE_RECORDINGS) {
        return kn_recordings_walk(s.file, list_one, &listing, diag);
    }
    if (s.kind == KN_SOURCE_PICTURES) {
        return kn_class_walk(s.file, KN_WALK_PICTURES, "", list_one, &listing, diag);
    }
    err = each(context, s.file);
    if (err == KN_OK && s.labels[0] != '\0') {
        err = each(context, s.labels);
    }
    return err;
}
