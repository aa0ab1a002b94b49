/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/source.h"

#include "base/host/host.h"
#include "spec/decode.h"

#include <stdio.h>
#include <string.h>

static const char *const BUILTINS[] = {"digits", "digits-test"};

/* The rest of text after prefix, or NULL. */
static const char *after(const char *text, const char *prefix)
{
    size_t n = strlen(prefix);
    return strncmp(text, prefix, n) == 0 ? text + n : NULL;
}

static const char *read_builtin(const char *name, struct spec_source *out)
{
    for (size_t i = 0; i < SH_COUNT(BUILTINS); i++) {
        if (strcmp(name, BUILTINS[i]) == 0) {
            out->kind = SPEC_SOURCE_BUILTIN;
            (void)snprintf(out->name, sizeof out->name, "%s", name);
            return NULL;
        }
    }
    return "there are: builtin:digits, builtin:digits-test";
}

const char *spec_source_read(const char *text, struct spec_source *out)
{
    *out = (struct spec_source){.kind = SPEC_SOURCE_NONE};
    const char *rest = after(text, "builtin:");
    if (rest != NULL) {
        return read_builtin(rest, out);
    }
    rest = after(text, "dataset:");
    if (rest != NULL) {
        if (!spec_is_name(rest)) {
            return "must be dataset:NAME, NAME of letters, digits, '.', '_' and '-'";
        }
        out->kind = SPEC_SOURCE_DATASET;
        (void)snprintf(out->name, sizeof out->name, "%s", rest);
        return NULL;
    }
    rest = after(text, "files:");
    if (rest != NULL) {
        if (sh_unhex(out->digest, sizeof out->digest, rest) != SH_OK) {
            return "must be files: and the 64 hexadecimal digits of a file set";
        }
        out->kind = SPEC_SOURCE_FILES;
        return NULL;
    }
    if (text[0] == '\0' || strlen(text) > SPEC_PATH_MAX) {
        return "must be builtin:NAME, dataset:NAME, or a path of at most 511 bytes";
    }
    out->kind = SPEC_SOURCE_PATH;
    (void)snprintf(out->path, sizeof out->path, "%s", text);
    return NULL;
}

void spec_source_write(const struct spec_source *source, char out[static SPEC_SOURCE_BYTES])
{
    char hex[2 * SH_DIGEST_BYTES + 1];
    switch (source->kind) {
    case SPEC_SOURCE_NONE:
        out[0] = '\0';
        break;
    case SPEC_SOURCE_BUILTIN:
        (void)snprintf(out, SPEC_SOURCE_BYTES, "builtin:%s", source->name);
        break;
    case SPEC_SOURCE_DATASET:
        (void)snprintf(out, SPEC_SOURCE_BYTES, "dataset:%s", source->name);
        break;
    case SPEC_SOURCE_FILES:
        sh_hex(hex, source->digest, sizeof source->digest);
        (void)snprintf(out, SPEC_SOURCE_BYTES, "files:%s", hex);
        break;
    case SPEC_SOURCE_PATH:
        (void)snprintf(out, SPEC_SOURCE_BYTES, "%s", source->path);
        break;
    }
}
