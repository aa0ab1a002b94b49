/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/save.h"

#include "base/host/host.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GET_TIMEOUT_S 3600u
#define NAME_MAX_SIZE 1100u

/* Compares what was written with the digest that the cluster agreed on. */
static int check_digest(struct cli *c, FILE *file, const char *wanted)
{
    struct sh_blake2b hash;
    uint8_t digest[SH_DIGEST_BYTES];
    char hex[2 * SH_DIGEST_BYTES + 1];
    char block[16384];
    rewind(file);
    sh_blake2b_start(&hash, sizeof digest);
    for (size_t n = fread(block, 1, sizeof block, file); n > 0;
         n = fread(block, 1, sizeof block, file)) {
        sh_blake2b_add(&hash, block, n);
    }
    sh_blake2b_end(&hash, digest, sizeof digest);
    sh_hex(hex, digest, sizeof digest);
    return strcmp(hex, wanted) == 0
               ? CLI_OK
               : cli_fail(c, CLI_INVALID, "CORRUPT", "the file that came has digest %s, not %s",
                          hex, wanted);
}

static int fetch(struct cli *c, FILE *file, const struct cli_save *save)
{
    struct cli_answer answer;
    struct cli_call call = {
        .method = "GET", .path = save->path, .save = file, .timeout_s = GET_TIMEOUT_S};
    cli_http_call(c->http, &call, &answer);
    if (answer.status != 200) {
        return cli_fail_answer(c, &answer);
    }
    free(answer.body);
    if (fflush(file) != 0) {
        return cli_fail(c, CLI_INTERNAL, "IO", "writing the file: %s", strerror(errno));
    }
    return save->digest != NULL ? check_digest(c, file, save->digest) : CLI_OK;
}

static int copy_out(struct cli *c, FILE *file)
{
    char block[16384];
    rewind(file);
    for (size_t n = fread(block, 1, sizeof block, file); n > 0;
         n = fread(block, 1, sizeof block, file)) {
        if (fwrite(block, 1, n, c->out) != n) {
            return cli_fail(c, CLI_INTERNAL, "IO", "standard output: %s", strerror(errno));
        }
    }
    return CLI_OK;
}

static int to_output(struct cli *c, const struct cli_save *save)
{
    FILE *file = tmpfile();
    if (file == NULL) {
        return cli_fail(c, CLI_INTERNAL, "IO", "temporary file: %s", strerror(errno));
    }
    int status = fetch(c, file, save);
    status = status == CLI_OK ? copy_out(c, file) : status;
    (void)fclose(file); /* was read only by now */
    return status;
}

static int to_file(struct cli *c, const struct cli_save *save, const char *part)
{
    FILE *file = fopen(part, "w+be");
    if (file == NULL) {
        return cli_fail(c, CLI_INTERNAL, "IO", "%s: %s", part, strerror(errno));
    }
    int status = fetch(c, file, save);
    if (fclose(file) != 0 && status == CLI_OK) {
        status = cli_fail(c, CLI_INTERNAL, "IO", "%s: %s", part, strerror(errno));
    }
    if (status == CLI_OK && rename(part, save->name) != 0) {
        status = cli_fail(c, CLI_INTERNAL, "IO", "%s: %s", save->name, strerror(errno));
    }
    if (status != CLI_OK) {
        (void)unlink(part);
    }
    return status;
}

int cli_save(struct cli *c, const struct cli_save *save)
{
    char part[NAME_MAX_SIZE];
    if (strcmp(save->name, "-") == 0) {
        return to_output(c, save);
    }
    if (snprintf(part, sizeof part, "%s.part", save->name) >= (int)sizeof part) {
        return cli_fail(c, CLI_USAGE, "USAGE", "--output: too long");
    }
    int status = to_file(c, save, part);
    if (status != CLI_OK) {
        return status;
    }
    if (!c->json) {
        (void)fprintf(c->out, "%s\n", save->name);
        return CLI_OK;
    }
    json_t *said = json_pack("{s:s}", "file", save->name);
    if (save->digest != NULL) {
        (void)json_object_set_new(said, "file_digest", json_string(save->digest));
    }
    return cli_print_json(c, said);
}
