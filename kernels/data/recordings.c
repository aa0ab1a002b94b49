/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/data/recordings.h"

#include "kernels/data/dataset_internal.h"
#include "kernels/data/mel.h"
#include "kernels/data/source.h"
#include "kernels/data/wav.h"

#include <stdlib.h>
#include <string.h>

struct reading {
    struct kn_dataset *set;
    const struct kn_open *options;
    struct kn_mel *mel; /* from the first recording on */
    uint32_t at;        /* of the next sample */
    struct kn_diag *diag;
};

static enum kn_err form_verify(const struct kn_open *options, const char *name,
                               struct kn_diag *diag)
{
    if (options->audio == NULL) {
        return kn_fail(diag, KN_ERR_CORRUPT,
                       "%s: a recording; how it becomes numbers is said by audio: {mels, frames}",
                       kn_path_tail(name));
    }
    return KN_OK;
}

/* Samples and labels of a zero set, for `count` recordings. */
static enum kn_err begin(struct kn_dataset *set, uint32_t count, bool labelled, const char *name,
                         const struct kn_open *options, struct kn_diag *diag)
{
    const uint32_t shape[3] = {1, options->audio->mels, options->audio->frames};
    enum kn_err err = kn_dataset_shape_verify(shape, options, name, diag);
    err = err == KN_OK ? kn_dataset_prepare(set, KN_SAMPLE_F32, shape, count, name, diag) : err;
    if (err == KN_OK && labelled) {
        set->label = calloc(count, sizeof *set->label);
        if (set->label == NULL) {
            return kn_fail(diag, KN_ERR_MEMORY, "%s: no memory for labels", kn_path_tail(name));
        }
        if (options->classes != NULL) {
            err = kn_dataset_classes(set, options, options->class_count, diag);
        }
    }
    return err;
}

/* The first recording decides the rate where the options do not. */
static enum kn_err rate_verify(struct reading *r, uint32_t rate, const char *name)
{
    const uint32_t due = r->mel != NULL ? r->set->rate : r->options->audio->rate;
    if (due != 0 && rate != due) {
        return kn_fail(r->diag, KN_ERR_CORRUPT, "%s: rate %u Hz, %s %u Hz", kn_path_tail(name),
                       rate, r->mel != NULL ? "the recordings before it have" : "expected", due);
    }
    if (r->mel != NULL) {
        return KN_OK;
    }
    struct kn_diag why = {.text = ""};
    const enum kn_err err = kn_mel_open(&r->mel, r->options->audio, rate, &why);
    r->set->rate = rate;
    return err == KN_OK ? KN_OK : kn_fail(r->diag, err, "%s: %.160s", kn_path_tail(name), why.text);
}

static enum kn_err add(struct reading *r, const uint8_t *bytes, size_t size, const char *name)
{
    struct kn_wav wav;
    enum kn_err err = kn_wav_decode(&wav, bytes, size, name, r->diag);
    err = err == KN_OK ? rate_verify(r, wav.rate, name) : err;
    if (err == KN_OK) {
        KN_CHECK(r->at < r->set->count);
        kn_mel_run(r->mel, wav.sample, wav.count,
                   r->set->numbers + (size_t)r->at * r->set->features);
        r->at++;
    }
    kn_wav_close(&wav);
    return err;
}

/* The class that a file's own name tells: "7_george_12.wav" is of "7". */
static void class_of_name(char out[KN_CLASS_NAME_BYTES_MAX], const char *file)
{
    const char *slash = strrchr(file, '/');
    const char *base = slash != NULL ? slash + 1 : file;
    size_t length = strcspn(base, "_.");
    length = length < KN_CLASS_NAME_BYTES_MAX ? length : KN_CLASS_NAME_BYTES_MAX - 1;
    memcpy(out, base, length);
    out[length] = '\0';
}

static enum kn_err label_add(struct reading *r, const char *folder, const char *file)
{
    char own[KN_CLASS_NAME_BYTES_MAX];
    const char *class_name = folder;
    if (r->options->audio->label == KN_AUDIO_LABEL_NAME) {
        class_of_name(own, file);
        class_name = own;
    }
    if (class_name[0] == '\0') {
        return kn_fail(r->diag, KN_ERR_CORRUPT,
                       r->options->audio->label == KN_AUDIO_LABEL_NAME
                           ? "%s: its class is the part of its name before '_', which is empty"
                           : "%s: its class is the folder it lies in; it lies in none",
                       kn_path_tail(file));
    }
    return kn_dataset_class_find(r->set, class_name, file, r->options, &r->set->label[r->at],
                                 r->diag);
}

static enum kn_err file_add(void *context, const char *folder, const char *path)
{
    struct reading *r = context;
    struct kn_file file;
    if (r->at == r->set->count) {
        return kn_fail(r->diag, KN_ERR_IO, "%s: came while the folder was read",
                       kn_path_tail(path));
    }
    enum kn_err err = r->set->label != NULL ? label_add(r, folder, path) : KN_OK;
    err = err == KN_OK ? kn_file_read(&file, path, r->diag) : err;
    if (err == KN_OK) {
        err = add(r, file.bytes, file.size, path);
        kn_file_close(&file);
    }
    return err;
}

static enum kn_err file_count(void *context, const char *folder, const char *path)
{
    uint32_t *count = context;
    (void)folder;
    (void)path;
    *count += *count < KN_DATA_SAMPLES_MAX ? 1 : 0;
    return KN_OK;
}

enum kn_err kn_recordings_open(struct kn_dataset *set, const char *folder,
                               const struct kn_open *options, struct kn_diag *diag)
{
    struct reading r = {.set = set, .options = options, .diag = diag};
    uint32_t count = 0;
    enum kn_err err = form_verify(options, folder, diag);
    err = err == KN_OK ? kn_recordings_walk(folder, file_count, &count, diag) : err;
    err = err == KN_OK ? begin(set, count, !options->unlabelled, folder, options, diag) : err;
    err = err == KN_OK ? kn_recordings_walk(folder, file_add, &r, diag) : err;
    if (err == KN_OK && r.at < count) {
        err = kn_fail(diag, KN_ERR_IO, "%s: files went while it was read", kn_path_tail(folder));
    }
    kn_mel_close(r.mel);
    return err;
}

enum kn_err kn_recording_decode(struct kn_dataset *set, const uint8_t *bytes, size_t size,
                                const char *name, const struct kn_open *options,
                                struct kn_diag *diag)
{
    struct reading r = {.set = set, .options = options, .diag = diag};
    *set = (struct kn_dataset){0};
    enum kn_err err = form_verify(options, name, diag);
    err = err == KN_OK ? begin(set, 1, false, name, options, diag) : err;
    err = err == KN_OK ? add(&r, bytes, size, name) : err;
    kn_mel_close(r.mel);
    if (err != KN_OK) {
        kn_dataset_close(set);
    }
    return err;
}
