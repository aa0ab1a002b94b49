/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/upload.h"

#include "base/host/host.h"
#include "cli/format.h"
#include "spec/dataset.h"
#include "spec/fileset.h"
#include "spec/package.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define UPLOAD_TIMEOUT_S 600u
#define WHY_BYTES        1024u

static const enum spec_role ROLES[] = {SPEC_ROLE_TRAIN, SPEC_ROLE_VALIDATION, SPEC_ROLE_TEST};

int cli_read_job(struct cli *c, struct spec_job *job)
{
    size_t size = 0;
    struct spec_errors *errors = calloc(1, sizeof *errors);
    char *text = cli_read_file(c, c->args[0], SH_SPEC_BYTES_MAX, &size);
    int status = CLI_INTERNAL;
    if (errors != NULL && text != NULL) {
        const char *name = strcmp(c->args[0], "-") == 0 ? "standard input" : c->args[0];
        enum sh_err err = spec_parse(text, size, job, errors);
        status = err == SH_OK ? CLI_OK : cli_fail_spec(c, name, errors);
    }
    free(text);
    free(errors);
    return status;
}

/* The path as this process opens it. */
static bool resolve(const struct cli *c, const char *path, char out[static PATH_MAX])
{
    const char *slash = strrchr(c->args[0], '/');
    int folder = path[0] != '/' && slash != NULL ? (int)(slash - c->args[0]) + 1 : 0;
    return snprintf(out, PATH_MAX, "%.*s%s", folder, c->args[0], path) < PATH_MAX;
}

static int fail_data(struct cli *c, const char *field, enum sh_err err, const char *why)
{
    return cli_fail(c, cli_exit_of(sh_err_name(err)), sh_err_name(err), "%s: %s: %s", c->args[0],
                    field, why);
}

/* CLI_OK with a zero set where the source is no path. */
static int open_role(struct cli *c, const struct spec_job *job, enum spec_role role,
                     const struct kn_dataset *reference, struct kn_dataset *set)
{
    char path[PATH_MAX];
    struct kn_diag why = {.text = ""};
    const struct spec_source *source = spec_dataset_source(job, role);
    if (source->kind != SPEC_SOURCE_PATH) {
        return CLI_OK;
    }
    if (!resolve(c, source->path, path)) {
        return fail_data(c, spec_dataset_field(role), SH_ERR_LIMIT, "its path is too long");
    }
    enum sh_err err = spec_dataset_open(job, role, path, reference, set, &why);
    return err == SH_OK ? CLI_OK : fail_data(c, spec_dataset_field(role), err, why.text);
}

int cli_check_data(struct cli *c, const struct spec_job *job, uint32_t *samples)
{
    struct kn_dataset train = {0};
    *samples = 0;
    /* What is left out, the model says that it begins from. */
    bool trains = job->kind == SPEC_TRAIN || job->kind == SPEC_FINE_TUNE;
    if (!trains || job->model.layer_count == 0) {
        return CLI_OK;
    }
    int status = open_role(c, job, SPEC_ROLE_TRAIN, NULL, &train);
    *samples = train.count;
    for (size_t i = 1; status == CLI_OK && i < SH_COUNT(ROLES); i++) {
        struct kn_dataset other = {0};
        status = open_role(c, job, ROLES[i], train.count > 0 ? &train : NULL, &other);
        kn_dataset_close(&other);
    }
    kn_dataset_close(&train);
    return status;
}

static int put_blob(struct cli *c, const uint8_t *bytes, size_t size,
                    uint8_t digest[static SH_DIGEST_BYTES])
{
    int status = CLI_OK;
    struct cli_call call = {.method = "PUT",
                            .path = "/api/v1/blobs",
                            .body = bytes,
                            .size = size,
                            .timeout_s = UPLOAD_TIMEOUT_S};
    json_t *answer = cli_ask(c, &call, &status);
    if (answer == NULL) {
        return status;
    }
    uint8_t own[SH_DIGEST_BYTES];
    sh_blake2b(own, sizeof own, bytes, size);
    bool good = sh_unhex(digest, SH_DIGEST_BYTES, cli_text(answer, "digest")) == SH_OK &&
                memcmp(own, digest, sizeof own) == 0;
    json_decref(answer);
    return good ? CLI_OK
                : cli_fail(c, CLI_INTERNAL, "CORRUPT", "the upload arrived with another digest");
}

/* A path becomes the digest of what was uploaded. */
static int upload_source(struct cli *c, const char *field, enum spec_pack use,
                         struct spec_source *source)
{
    char path[PATH_MAX];
    char why[WHY_BYTES] = "its path is too long";
    uint8_t *bytes = NULL;
    size_t size = 0;
    if (source->kind != SPEC_SOURCE_PATH) {
        return CLI_OK;
    }
    enum sh_err err = resolve(c, source->path, path)
                          ? spec_fileset_pack(path, use, &bytes, &size, why, sizeof why)
                          : SH_ERR_LIMIT;
    if (err != SH_OK) {
        return fail_data(c, field, err, why);
    }
    if (!c->json) {
        char text[CLI_FORMAT_BYTES];
        cli_format_bytes(size, text);
        (void)fprintf(c->err, "uploading %s (%s)\n", path, text);
    }
    uint8_t digest[SH_DIGEST_BYTES];
    int status = put_blob(c, bytes, size, digest);
    free(bytes);
    if (status == CLI_OK) {
        *source = (struct spec_source){.kind = SPEC_SOURCE_FILES};
        memcpy(source->digest, digest, sizeof digest);
    }
    return status;
}

static int fail_package(struct cli *c, enum sh_err err, const char *path, const char *why)
{
    return cli_fail(c, cli_exit_of(sh_err_name(err)), sh_err_name(err), "%s: package: %s: %s",
                    c->args[0], path, why[0] != '\0' ? why : sh_err_text(err));
}

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* A folder, or an archive. */
static int pack_package(struct cli *c, const char *path, uint8_t **bytes, size_t *size)
{
    char why[WHY_BYTES] = "";
    if (is_folder(path)) {
        enum sh_err err = spec_package_pack(path, bytes, size, why, sizeof why);
        return err == SH_OK ? CLI_OK : fail_package(c, err, path, why);
    }
    size_t packed = 0;
    char *archive = cli_read_file(c, path, SPEC_FILESET_BYTES_MAX, &packed);
    if (archive == NULL) {
        return CLI_INTERNAL; /* it was said */
    }
    struct sh_span span = {.at = (const uint8_t *)archive, .size = packed};
    enum sh_err err = spec_package_pack_archive(span, bytes, size, why, sizeof why);
    free(archive);
    return err == SH_OK ? CLI_OK : fail_package(c, err, path, why);
}

/* NULL bytes where the job has no package here. */
static int take_package(struct cli *c, const struct spec_job *job, uint8_t **bytes, size_t *size)
{
    char path[PATH_MAX];
    const struct spec_source *package = &job->exec.package;
    *bytes = NULL;
    if (package->kind != SPEC_SOURCE_PATH) {
        return CLI_OK;
    }
    if (!resolve(c, package->path, path)) {
        return fail_package(c, SH_ERR_LIMIT, package->path, "its path is too long");
    }
    return pack_package(c, path, bytes, size);
}

static int upload_package(struct cli *c, struct spec_job *job)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    uint8_t digest[SH_DIGEST_BYTES];
    int status = take_package(c, job, &bytes, &size);
    if (status != CLI_OK || bytes == NULL) {
        return status;
    }
    if (!c->json) {
        char text[CLI_FORMAT_BYTES];
        cli_format_bytes(size, text);
        (void)fprintf(c->err, "uploading the package (%s)\n", text);
    }
    status = put_blob(c, bytes, size, digest);
    free(bytes);
    if (status == CLI_OK) {
        job->exec.package = (struct spec_source){.kind = SPEC_SOURCE_FILES};
        memcpy(job->exec.package.digest, digest, sizeof digest);
    }
    return status;
}

int cli_check_package(struct cli *c, const struct spec_job *job)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    int status = take_package(c, job, &bytes, &size);
    free(bytes);
    return status;
}

int cli_upload_data(struct cli *c, struct spec_job *job)
{
    struct {
        const char *field;
        enum spec_pack use;
        struct spec_source *source;
    } sources[] = {{"data.train", SPEC_PACK_TRAIN, &job->data.train},
                   {"data.validation", SPEC_PACK_TRAIN, &job->data.validation},
                   {"data.test", SPEC_PACK_TEST, &job->data.test},
                   {"input", SPEC_PACK_INPUT, &job->input}};
    int status = upload_package(c, job);
    for (size_t i = 0; status == CLI_OK && i < SH_COUNT(sources); i++) {
        status = upload_source(c, sources[i].field, sources[i].use, sources[i].source);
    }
    return status;
}
