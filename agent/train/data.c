/* SPDX-License-Identifier: Apache-2.0 */
#include "train/data.h"

#include "spec/fileset.h"
#include "train/blob.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = TRAIN_DATA_PATH_BYTES, WHY_BYTES = 512 };

static void say(char *why, enum spec_role role, const char *text)
{
    (void)snprintf(why, TRAIN_WHY_BYTES, "%s: %s", spec_dataset_field(role), text);
}

static void remove_tree(const char *path)
{
    /* What stays behind costs disk space only and is replaced by the next session of the unit. */
    SH_MAY_FAIL(spec_fileset_remove(path, NULL, 0));
}

/* The text of an error in an unpacked file names it as its owner knows it. */
static void strip_folder(char *text, const char *folder)
{
    size_t length = strlen(folder);
    char *at = strstr(text, folder);
    if (length > 0 && at != NULL) {
        char *rest = at + length + (at[length] == '/' ? 1 : 0);
        memmove(at, rest, strlen(rest) + 1);
    }
}

static void say_field(char *why, const char *field, const char *text, const char *more)
{
    (void)snprintf(why, TRAIN_WHY_BYTES, "%s: %s: %.200s", field, text, more);
}

enum sh_err train_data_unpack(const struct train_material_source *source, const char *field,
                              const uint8_t digest[static SH_DIGEST_BYTES],
                              struct train_data_files *files, char *why)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    char bad[WHY_BYTES] = "its path is too long";
    enum sh_err err = train_blob_read(source->s, digest, 2 * SPEC_FILESET_BYTES_MAX,
                                      source->wait_us, &bytes, &size);
    if (err != SH_OK) {
        say_field(why, field, "the uploaded files cannot be fetched", sh_err_text(err));
        return err;
    }
    int n = snprintf(files->folder, sizeof files->folder, "%s-%s", source->cache, field);
    struct sh_span blob = {.at = bytes, .size = size};
    err = n > 0 && n < (int)sizeof files->folder ? SH_OK : SH_ERR_LIMIT;
    if (err == SH_OK) {
        remove_tree(files->folder);
        err = spec_fileset_extract(blob, false, files->folder, files->path, sizeof files->path, bad,
                                   sizeof bad);
    }
    free(bytes);
    if (err != SH_OK) {
        say_field(why, field, "the uploaded files cannot be unpacked", bad);
    }
    return err;
}

void train_data_discard(const struct train_data_files *files, char *text)
{
    remove_tree(files->folder);
    strip_folder(text, files->folder);
}

static enum sh_err open_files(const struct train_material_source *source,
                              const struct spec_job *job, enum spec_role role,
                              const struct kn_dataset *reference, struct kn_dataset *set, char *why)
{
    struct train_data_files files;
    const struct spec_source *from = spec_dataset_source(job, role);
    enum sh_err err =
        train_data_unpack(source, spec_dataset_field(role), from->digest, &files, why);
    if (err != SH_OK) {
        return err;
    }
    struct kn_diag diag = {.text = ""};
    err = spec_dataset_open(job, role, files.path, reference, set, &diag);
    train_data_discard(&files, diag.text);
    if (err != SH_OK) {
        say(why, role, diag.text);
    }
    return err;
}

static enum sh_err open_declared(const struct train_material_source *source,
                                 const struct spec_job *job, enum spec_role role,
                                 const struct kn_dataset *reference, struct kn_dataset *set,
                                 char *why)
{
    char path[PATH_BYTES];
    const char *name = spec_dataset_source(job, role)->name;
    enum sh_err err = service_dataset_path(source->s, name, path, sizeof path);
    if (err != SH_OK) {
        char text[160];
        (void)snprintf(text, sizeof text, "data set %s: %s", name,
                       err == SH_ERR_NOT_FOUND ? "not declared on this agent" : sh_err_text(err));
        say(why, role, text);
        return err;
    }
    struct kn_diag diag = {.text = ""};
    err = spec_dataset_open(job, role, path, reference, set, &diag);
    if (err != SH_OK) {
        say(why, role, diag.text);
    }
    return err;
}

enum sh_err train_data_open(const struct train_material_source *source, const struct spec_job *job,
                            enum spec_role role, const struct kn_dataset *reference,
                            struct kn_dataset *set, char *why)
{
    struct kn_diag diag = {.text = ""};
    enum sh_err err = SH_OK;
    memset(set, 0, sizeof *set);
    switch (spec_dataset_source(job, role)->kind) {
    case SPEC_SOURCE_NONE:
        return SH_OK;
    case SPEC_SOURCE_BUILTIN:
        err = spec_dataset_open(job, role, "", reference, set, &diag);
        if (err != SH_OK) {
            say(why, role, diag.text);
        }
        return err;
    case SPEC_SOURCE_DATASET:
        return open_declared(source, job, role, reference, set, why);
    case SPEC_SOURCE_FILES:
        return open_files(source, job, role, reference, set, why);
    case SPEC_SOURCE_PATH:
        say(why, role, "a path is known to the submitter only");
        return SH_ERR_INVALID;
    }
    SH_UNREACHABLE();
}
