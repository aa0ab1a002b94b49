/* SPDX-License-Identifier: Apache-2.0
 *
 * The files of a unit: package, checkpoints, outputs. */
#include "script/files.h"
#include "journal.h"
#include "script/use.h"

#include "base/host/host.h"
#include "spec/package.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RESUME_DIR ".shoal/resume"
#define INPUT_DIR  ".shoal/input"

/* Where the agent and programs put what is of no use later. */
static const char *const OWN_DIRS[] = {SCRIPT_TMP_DIR, RESUME_DIR, INPUT_DIR, NULL};

static bool join(char out[static TRAIN_PATH_MAX], const char *dir, const char *below)
{
    int n = snprintf(out, TRAIN_PATH_MAX, "%s/%s", dir, below);
    return n > 0 && n < (int)TRAIN_PATH_MAX;
}

static enum sh_err make_dir(const char *dir, const char *below, char why[static SCRIPT_WHY_BYTES])
{
    char path[TRAIN_PATH_MAX];
    if (!join(path, dir, below)) {
        (void)snprintf(why, SCRIPT_WHY_BYTES, "the name of the working folder is too long");
        return SH_ERR_LIMIT;
    }
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        (void)snprintf(why, SCRIPT_WHY_BYTES, "cannot make the working folder: %s",
                       strerror(errno));
        return sh_err_from_errno(errno);
    }
    return SH_OK;
}

static enum sh_err read_blob(struct script_unit *x, const char *what,
                             const uint8_t digest[static SH_DIGEST_BYTES], uint8_t **bytes,
                             size_t *size)
{
    return train_worker_blob(&x->w, what, digest, SPEC_FILESET_BYTES_MAX, bytes, size);
}

static enum sh_err extract(struct sh_span blob, const char *dir, char why[static SCRIPT_WHY_BYTES])
{
    char path[TRAIN_PATH_MAX];
    return spec_fileset_extract(blob, true, dir, path, sizeof path, why, SCRIPT_WHY_BYTES);
}

enum sh_err script_files_folder(const struct sh_span *package, const char *dir,
                                char why[static SCRIPT_WHY_BYTES])
{
    enum sh_err err = package == NULL ? make_dir(dir, "", why) : extract(*package, dir, why);
    err = err != SH_OK ? err : make_dir(dir, ".shoal", why);
    err = err != SH_OK ? err : make_dir(dir, SCRIPT_CHECKPOINT_DIR, why);
    return err != SH_OK ? err : make_dir(dir, SCRIPT_TMP_DIR, why);
}

static enum sh_err make_folder(struct script_unit *x, char why[static SCRIPT_WHY_BYTES])
{
    const struct spec_source *package = &x->job->exec.package;
    uint8_t *bytes = NULL;
    size_t size = 0;
    if (package->kind == SPEC_SOURCE_NONE) {
        return script_files_folder(NULL, x->dir, why);
    }
    enum sh_err err = read_blob(x, "its package", package->digest, &bytes, &size);
    if (err != SH_OK) {
        (void)snprintf(why, SCRIPT_WHY_BYTES, "the package cannot be had: %s", sh_err_text(err));
        return err;
    }
    const struct sh_span blob = {.at = bytes, .size = size};
    err = script_files_folder(&blob, x->dir, why);
    free(bytes);
    return err;
}

/* ---- checkpoints ---- */

static bool make_parents(const char *root, const char *path)
{
    char at[TRAIN_PATH_MAX];
    for (const char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        int n = snprintf(at, sizeof at, "%s/%.*s", root, (int)(slash - path), path);
        if (n >= (int)sizeof at || (mkdir(at, 0700) != 0 && errno != EEXIST)) {
            return false;
        }
    }
    return true;
}

/* Moves what was extracted into its place in the working folder. */
static enum sh_err put_in_place(struct script_unit *x, struct sh_span blob, const char *from)
{
    struct spec_fileset set;
    struct spec_fileset_entry entry;
    enum sh_err err = spec_fileset_open(&set, blob);
    while (err == SH_OK) {
        char source[TRAIN_PATH_MAX];
        char target[TRAIN_PATH_MAX];
        err = spec_fileset_next(&set, &entry);
        if (err != SH_OK) {
            break;
        }
        if (!join(source, from, entry.path) || !join(target, x->dir, entry.path)) {
            return SH_ERR_LIMIT;
        }
        if (!make_parents(x->dir, entry.path) || rename(source, target) != 0) {
            return sh_err_from_errno(errno);
        }
    }
    return err == SH_ERR_NOT_FOUND ? SH_OK : err;
}

static enum sh_err take_checkpoint(void *ctx, const struct jobs_checkpoint *c, struct sh_span bytes,
                                   char *why, size_t size)
{
    struct script_unit *x = ctx;
    char from[TRAIN_PATH_MAX];
    char text[SCRIPT_WHY_BYTES] = "";
    if (!join(from, x->dir, RESUME_DIR)) {
        (void)snprintf(why, size, "the name of the working folder is too long");
        return SH_ERR_NO_SPACE;
    }
    enum sh_err err = extract(bytes, from, text);
    err = err != SH_OK ? err : put_in_place(x, bytes, from);
    (void)snprintf(why, size, "%s", text);
    if (err == SH_OK) {
        x->step = c->step;
        sh_blake2b(x->saved, sizeof x->saved, bytes.at, bytes.size);
        train_scribe_line(x->w.scribe, "goes on from checkpoint %llu", (unsigned long long)c->step);
    }
    return err;
}

/* Its own checkpoint, else, in a later rung of a sweep, one of the unit it goes on from. */
static enum sh_err resume(struct script_unit *x, bool *resumes, char why[static SCRIPT_WHY_BYTES])
{
    struct train_resume r = {.name = "checkpoint",
                             .bytes_max = SPEC_FILESET_BYTES_MAX,
                             .take = take_checkpoint,
                             .ctx = x};
    x->step = 0;
    memset(x->saved, 0, sizeof x->saved);
    enum sh_err err = train_worker_resume(&x->w, &r);
    *resumes = err == SH_OK;
    if (err != SH_OK && err != SH_ERR_NOT_FOUND) {
        (void)snprintf(why, SCRIPT_WHY_BYTES, "the newest checkpoint cannot be taken: %s",
                       sh_err_text(err));
        return err;
    }
    return SH_OK;
}

enum sh_err script_files_checkpoint(struct script_unit *x, uint8_t **bytes, size_t *size,
                                    char why[static SCRIPT_WHY_BYTES])
{
    const struct spec_exec *exec = &x->job->exec;
    const char *patterns[SPEC_PACKAGE_PATTERNS_MAX] = {SCRIPT_CHECKPOINT_DIR "/**"};
    struct spec_outputs outputs = {
        .dir = x->dir, .patterns = patterns, .pattern_count = 1, .leave = OWN_DIRS};
    if (exec->checkpoint.count > 0) {
        outputs.pattern_count = exec->checkpoint.count;
        for (uint32_t i = 0; i < exec->checkpoint.count; i++) {
            patterns[i] = spec_word(exec, exec->checkpoint, i);
        }
    }
    *bytes = NULL;
    enum sh_err err = spec_package_collect(&outputs, bytes, size, why, SCRIPT_WHY_BYTES);
    if (err != SH_OK) {
        return err;
    }
    uint8_t digest[SH_DIGEST_BYTES];
    sh_blake2b(digest, sizeof digest, *bytes, *size);
    if (memcmp(digest, x->saved, sizeof digest) == 0) {
        free(*bytes);
        *bytes = NULL;
        return SH_OK;
    }
    memcpy(x->saved, digest, sizeof digest);
    return SH_OK;
}

/* ---- beside the package ---- */

enum sh_err script_files_write(const char *path, const uint8_t *bytes, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    FILE *file = fd >= 0 ? fdopen(fd, "wb") : NULL;
    if (file == NULL) {
        return sh_err_from_errno(errno);
    }
    bool good = fwrite(bytes, 1, size, file) == size;
    return fclose(file) == 0 && good ? SH_OK : SH_ERR_IO;
}

enum sh_err script_files_put(struct script_unit *x, const uint8_t digest[static SH_DIGEST_BYTES],
                             const char *below, char path[static TRAIN_PATH_MAX],
                             char why[static SCRIPT_WHY_BYTES])
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    enum sh_err err = join(path, x->dir, below) ? SH_OK : SH_ERR_LIMIT;
    err = err == SH_OK ? read_blob(x, "its model", digest, &bytes, &size) : err;
    if (err == SH_OK && (!make_parents(x->dir, below) || !spec_fileset_remove(path, NULL, 0))) {
        err = sh_err_from_errno(errno);
    }
    err = err == SH_OK ? script_files_write(path, bytes, size) : err;
    if (err != SH_OK) {
        (void)snprintf(why, SCRIPT_WHY_BYTES, "the model cannot be put to %.120s: %s", below,
                       sh_err_text(err));
    }
    free(bytes);
    return err;
}

enum sh_err script_files_unpack(struct script_unit *x, const uint8_t digest[static SH_DIGEST_BYTES],
                                char path[static TRAIN_PATH_MAX], char why[static SCRIPT_WHY_BYTES])
{
    char dir[TRAIN_PATH_MAX];
    uint8_t *bytes = NULL;
    size_t size = 0;
    enum sh_err err = join(dir, x->dir, INPUT_DIR) ? SH_OK : SH_ERR_LIMIT;
    err = err == SH_OK ? read_blob(x, "its input", digest, &bytes, &size) : err;
    if (err != SH_OK) {
        (void)snprintf(why, SCRIPT_WHY_BYTES, "the input cannot be had: %s", sh_err_text(err));
        return err;
    }
    struct sh_span blob = {.at = bytes, .size = size};
    err = spec_fileset_extract(blob, false, dir, path, TRAIN_PATH_MAX, why, SCRIPT_WHY_BYTES);
    free(bytes);
    return err;
}

/* ---- results ---- */

/* The bytes of one output, given (free). */
static enum sh_err copy_entry(struct sh_span blob, const char *path, uint8_t **bytes, size_t *size)
{
    struct sh_span found = {0};
    enum sh_err err = spec_fileset_find(blob, path, &found);
    if (err != SH_OK) {
        return err;
    }
    *bytes = malloc(found.size + 1);
    if (*bytes == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    memcpy(*bytes, found.at, found.size);
    *size = found.size;
    return SH_OK;
}

static enum sh_err collect(struct script_unit *x, const char *const *patterns, size_t count,
                           struct train_result *result, char why[static SCRIPT_WHY_BYTES])
{
    struct spec_outputs outputs = {
        .dir = x->dir, .patterns = patterns, .pattern_count = count, .leave = OWN_DIRS};
    return spec_package_collect(&outputs, &result->outputs, &result->outputs_size, why,
                                SCRIPT_WHY_BYTES);
}

/* Each pattern alone: those that match nothing are left out. */
static size_t find_present(struct script_unit *x, const char **patterns, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        struct train_result probe = {0};
        char why[SCRIPT_WHY_BYTES];
        if (collect(x, &patterns[i], 1, &probe, why) == SH_OK) {
            patterns[kept++] = patterns[i];
            free(probe.outputs);
        }
    }
    return kept;
}

#define MEMBERS_MAX 65536u /* files of a data set that a job makes */

/* What lies at path, as a set whose root is that: a job's own folders are no part of it. */
static enum sh_err strip(struct sh_span blob, const char *path, struct spec_fileset_member *members,
                         char (*names)[SPEC_FILESET_PATH_MAX + 1], struct train_result *result,
                         char why[static SCRIPT_WHY_BYTES])
{
    struct spec_fileset set;
    struct spec_fileset_entry entry;
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    size_t folder = strlen(path);
    bool file = false;
    size_t count = 0;
    enum sh_err err = spec_fileset_open(&set, blob);
    while (err == SH_OK && (err = spec_fileset_next(&set, &entry)) == SH_OK) {
        bool plain = entry.kind == SPEC_FILE || entry.kind == SPEC_PROGRAM;
        if (!plain || count == MEMBERS_MAX) {
            (void)snprintf(why, SCRIPT_WHY_BYTES,
                           "%.160s: a data set has at most %u files and no "
                           "links",
                           entry.path, MEMBERS_MAX);
            return SH_ERR_INVALID;
        }
        file = strcmp(entry.path, path) == 0;
        (void)snprintf(names[count], sizeof names[count], "%s",
                       file ? name : entry.path + folder + 1);
        members[count] = (struct spec_fileset_member){.path = names[count], .bytes = entry.bytes};
        count++;
    }
    return err == SH_ERR_NOT_FOUND
               ? spec_fileset_make(members, count, file ? name : "", &result->outputs,
                                   &result->outputs_size, why, SCRIPT_WHY_BYTES)
               : err;
}

/* The one output becomes a data set. */
static enum sh_err make_dataset(struct script_unit *x, struct train_result *result,
                                char why[static SCRIPT_WHY_BYTES])
{
    const struct spec_exec *exec = &x->job->exec;
    const char *path = spec_word(exec, exec->outputs, 0);
    struct train_result all = {0};
    enum sh_err err = collect(x, &path, 1, &all, why);
    if (err != SH_OK) {
        return err;
    }
    struct sh_span blob = {.at = all.outputs, .size = all.outputs_size};
    struct spec_fileset set;
    err = spec_fileset_open(&set, blob);
    size_t count = err == SH_OK && set.count < MEMBERS_MAX ? set.count + 1 : MEMBERS_MAX;
    struct spec_fileset_member *members = calloc(count, sizeof *members);
    char(*names)[SPEC_FILESET_PATH_MAX + 1] = calloc(count, sizeof *names);
    bool memory = members != NULL && names != NULL;
    err = err == SH_OK && !memory ? SH_ERR_NO_MEMORY : err;
    err = err == SH_OK ? strip(blob, path, members, names, result, why) : err;
    free(members);
    free(names);
    free(all.outputs);
    return err;
}

/* What the commands left in the files that the job names. */
static enum sh_err take_outputs(struct script_unit *x, bool partial, struct train_result *result,
                                char why[static SCRIPT_WHY_BYTES])
{
    const struct spec_exec *exec = &x->job->exec;
    const char *patterns[SPEC_PACKAGE_PATTERNS_MAX];
    size_t count = 0;
    for (uint32_t i = 0; i < exec->outputs.count; i++) {
        patterns[count++] = spec_word(exec, exec->outputs, i);
    }
    count = partial ? find_present(x, patterns, count) : count;
    if (count == 0) {
        return SH_OK;
    }
    enum sh_err err = collect(x, patterns, count, result, why);
    if (err != SH_OK || exec->model.count == 0) {
        return err;
    }
    const char *model = spec_word(exec, exec->model, 0);
    struct sh_span blob = {.at = result->outputs, .size = result->outputs_size};
    err = copy_entry(blob, model, &result->file, &result->file_size);
    result->file_is_model = err == SH_OK;
    if (err == SH_ERR_NOT_FOUND && partial) {
        return SH_OK;
    }
    if (err == SH_ERR_NOT_FOUND) {
        (void)snprintf(why, SCRIPT_WHY_BYTES,
                       "model_file: %s is no file among the outputs that were made", model);
    }
    return err;
}

enum sh_err script_files_result(struct script_unit *x, bool partial, struct train_result *result,
                                char why[static SCRIPT_WHY_BYTES])
{
    if (x->use != NULL) {
        return partial ? SH_OK : script_use_result(x, result, why);
    }
    if (x->job->kind == SPEC_DATA_PREP && !partial) {
        return make_dataset(x, result, why);
    }
    enum sh_err err = take_outputs(x, partial, result, why);
    if (err == SH_OK && !partial && x->job->exec.results.count > 0) {
        err = script_use_score(x, &result->outcome.figures, why);
    }
    return err;
}

/* ---- the folder ---- */

enum sh_err script_files_prepare(struct script_unit *x, bool *resumes,
                                 char why[static SCRIPT_WHY_BYTES])
{
    int n = snprintf(x->dir, sizeof x->dir, "%s/%llu-%u-%llu", script_config(x)->work,
                     (unsigned long long)x->w.config.unit.job, x->w.config.unit.unit,
                     (unsigned long long)x->w.at.placement.fence.index);
    *resumes = false;
    if (n >= (int)sizeof x->dir) {
        x->dir[0] = '\0';
        (void)snprintf(why, SCRIPT_WHY_BYTES, "the name of the working folder is too long");
        return SH_ERR_LIMIT;
    }
    enum sh_err err = make_folder(x, why);
    if (err == SH_OK && x->use != NULL) {
        err = script_use_place(x, why);
    } else if (err == SH_OK) {
        err = resume(x, resumes, why);
    }
    return err == SH_OK && x->user != 0 ? script_files_own(x->dir, x->user, why) : err;
}

enum sh_err script_files_own(char *dir, uint32_t user, char why[static SCRIPT_WHY_BYTES])
{
    char *const roots[] = {dir, NULL};
    FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_NOSTAT, NULL);
    enum sh_err err = tree != NULL ? SH_OK : SH_ERR_NO_MEMORY;
    const FTSENT *entry;
    while (err == SH_OK && (errno = 0, entry = fts_read(tree)) != NULL) {
        if (entry->fts_info != FTS_DP && lchown(entry->fts_accpath, user, user) != 0) {
            err = sh_err_from_errno(errno);
        }
    }
    err = err == SH_OK && errno != 0 ? sh_err_from_errno(errno) : err;
    if (err != SH_OK) {
        (void)snprintf(why, SCRIPT_WHY_BYTES, "the files cannot be given to user %u: %s", user,
                       sh_err_text(err));
    }
    if (tree != NULL) {
        (void)fts_close(tree);
    }
    return err;
}

void script_files_clear(const char *dir)
{
    char why[SCRIPT_WHY_BYTES];
    if (!spec_fileset_remove(dir, why, sizeof why)) {
        journal_warn("%s cannot be removed (%s): tried again when the agent starts", dir, why);
    }
}

void script_files_remove(struct script_unit *x)
{
    if (x->dir[0] != '\0') {
        script_files_clear(x->dir);
        x->dir[0] = '\0';
    }
}
