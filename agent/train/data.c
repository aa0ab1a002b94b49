/* SPDX-License-Identifier: Apache-2.0 */
#include "train/data.h"

#include "base/host/host.h"
#include "spec/fileset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 4096, WHY_BYTES = 512 };

static void say(char *why, enum spec_role role, const char *text)
{
    (void)snprintf(why, TRAIN_WHY_BYTES, "%s: %s", spec_dataset_field(role), text);
}

static void remove_tree(const char *path)
{
    /* What stays behind costs disk space only and is replaced by the next session of the unit. */
    SH_MAY_FAIL(spec_fileset_remove(path));
}

/* The whole blob; *bytes is given (free). */
static enum sh_err read_blob(const struct train_material_source *source,
                             const uint8_t digest[static SH_DIGEST_BYTES], uint8_t **bytes,
                             size_t *size)
{
    uint64_t total = 0;
    *bytes = NULL;
    *size = 0;
    enum sh_err err = service_blob_fetch(source->s, digest, &total, source->wait_us);
    if (err != SH_OK) {
        return err;
    }
    if (total > 2 * SPEC_FILESET_BYTES_MAX) {
        return SH_ERR_LIMIT;
    }
    uint8_t *at = malloc(total > 0 ? (size_t)total : 1);
    if (at == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    size_t done = 0;
    while (err == SH_OK && done < total) {
        size_t got = 0;
        err = service_blob_read(source->s, digest, done, at + done, (size_t)total - done, &got);
        if (err == SH_OK && got == 0) {
            err = SH_ERR_CORRUPT;
        }
        done += got;
    }
    if (err != SH_OK) {
        free(at);
        return err;
    }
    *bytes = at;
    *size = (size_t)total;
    return SH_OK;
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

static enum sh_err open_files(const struct train_material_source *source,
                              const struct spec_job *job, enum spec_role role,
                              const struct kn_dataset *reference, struct kn_dataset *set, char *why)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    char folder[PATH_BYTES];
    char path[PATH_BYTES];
    enum sh_err err = read_blob(source, spec_dataset_source(job, role)->digest, &bytes, &size);
    if (err != SH_OK) {
        char text[128];
        (void)snprintf(text, sizeof text, "the uploaded files cannot be fetched: %s",
                       sh_err_text(err));
        say(why, role, text);
        return err;
    }
    int n = snprintf(folder, sizeof folder, "%s-%u", source->cache, (unsigned)role);
    struct sh_span blob = {.at = bytes, .size = size};
    char bad[WHY_BYTES] = "its path is too long";
    err = n > 0 && n < (int)sizeof folder ? SH_OK : SH_ERR_LIMIT;
    if (err == SH_OK) {
        remove_tree(folder);
        err = spec_fileset_extract(blob, 0, folder, path, sizeof path, bad, sizeof bad);
    }
    free(bytes);
    if (err != SH_OK) {
        char text[WHY_BYTES + 64];
        (void)snprintf(text, sizeof text, "the uploaded files cannot be unpacked: %s", bad);
        say(why, role, text);
        return err;
    }
    struct kn_diag diag = {.text = ""};
    err = spec_dataset_open(job, role, path, reference, set, &diag);
    remove_tree(folder);
    if (err != SH_OK) {
        strip_folder(diag.text, folder);
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
