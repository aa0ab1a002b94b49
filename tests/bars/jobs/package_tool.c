/* SPDX-License-Identifier: Apache-2.0
 *
 * The calls of spec/package.h on the command line, for hostile_packages.py:
 *
 *   pack DIR OUT | archive FILE OUT | collect DIR OUT PATTERN... | extract BLOB DIR | manifest BLOB
 *
 * Exit status 0, or 1 with "NAME why" on stderr. */
#include "spec/package.h"

#include "base/host/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint8_t *bytes;
static size_t size;
static char why[1024];

/* The whole of a file. */
static enum sh_err load(const char *path, struct sh_span *span)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        return SH_ERR_IO;
    }
    long length = ftell(file);
    rewind(file);
    uint8_t *at = malloc(length > 0 ? (size_t)length : 1);
    bool whole = at != NULL && fread(at, 1, (size_t)length, file) == (size_t)length;
    (void)fclose(file); /* was read only */
    *span = (struct sh_span){.at = at, .size = (size_t)length};
    return whole ? SH_OK : SH_ERR_IO;
}

static enum sh_err store(enum sh_err err, const char *path)
{
    if (err != SH_OK) {
        return err;
    }
    FILE *file = fopen(path, "wb");
    bool whole = file != NULL && fwrite(bytes, 1, size, file) == size;
    return whole && fclose(file) == 0 ? SH_OK : SH_ERR_IO;
}

static enum sh_err extract(const char *blob, const char *dir)
{
    char path[4096];
    struct sh_span span;
    enum sh_err err = load(blob, &span);
    return err != SH_OK ? err
                        : spec_fileset_extract(span, true, dir, path, sizeof path, why, sizeof why);
}

static enum sh_err manifest(const char *blob)
{
    char *text = NULL;
    size_t length = 0;
    struct sh_span span;
    enum sh_err err = load(blob, &span);
    if (err == SH_OK) {
        err = spec_package_manifest(span, &text, &length);
    }
    if (err == SH_OK) {
        (void)fwrite(text, 1, length, stdout);
    }
    return err;
}

static enum sh_err archive(const char *path, const char *out)
{
    struct sh_span span;
    enum sh_err err = load(path, &span);
    if (err == SH_OK) {
        err = spec_package_pack_archive(span, &bytes, &size, why, sizeof why);
    }
    return store(err, out);
}

int main(int argc, char **argv)
{
    const char *verb = argc > 2 ? argv[1] : "";
    enum sh_err err = SH_ERR_INVALID;
    sh_host_init();
    if (argc == 4 && strcmp(verb, "pack") == 0) {
        err = store(spec_package_pack(argv[2], &bytes, &size, why, sizeof why), argv[3]);
    } else if (argc == 4 && strcmp(verb, "archive") == 0) {
        err = archive(argv[2], argv[3]);
    } else if (argc >= 4 && strcmp(verb, "collect") == 0) {
        struct spec_outputs outputs = {.dir = argv[2],
                                       .patterns = (const char *const *)argv + 4,
                                       .pattern_count = (size_t)argc - 4};
        err = store(spec_package_collect(&outputs, &bytes, &size, why, sizeof why), argv[3]);
    } else if (argc == 4 && strcmp(verb, "extract") == 0) {
        err = extract(argv[2], argv[3]);
    } else if (argc == 3 && strcmp(verb, "manifest") == 0) {
        err = manifest(argv[2]);
    }
    if (err != SH_OK) {
        (void)fprintf(stderr, "%s %s\n", sh_err_name(err), why);
    }
    free(bytes);
    return err == SH_OK ? 0 : 1;
}
