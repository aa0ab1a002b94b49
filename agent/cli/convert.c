/* SPDX-License-Identifier: Apache-2.0
 *
 * convert. */
#include "cli/context.h"

#include "spec/conductor.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* The folder that the file lies in: where its scripts are, and what names the job. */
static bool folder_of(const char *path, char out[static PATH_MAX])
{
    char whole[PATH_MAX];
    if (strcmp(path, "-") == 0 || realpath(path, whole) == NULL) {
        return false;
    }
    char *slash = strrchr(whole, '/');
    *slash = '\0';
    const char *name = strrchr(whole, '/');
    return name != NULL && snprintf(out, PATH_MAX, "%s", name + 1) < PATH_MAX;
}

int cli_run_convert(struct cli *c)
{
    char folder[PATH_MAX] = "";
    size_t size = 0;
    char *job = NULL;
    struct spec_conductor *conductor = calloc(1, sizeof *conductor);
    struct spec_errors *errors = calloc(1, sizeof *errors);
    char *text = cli_read_file(c, c->args[0], SH_SPEC_BYTES_MAX, &size);
    int status = CLI_INTERNAL; /* it was said */
    if (conductor != NULL && errors != NULL && text != NULL) {
        enum sh_err err = spec_conductor_read(text, size, conductor, errors);
        const char *name = folder_of(c->args[0], folder) ? folder : NULL;
        err = err != SH_OK ? err : spec_conductor_print(conductor, name, &job, errors);
        status = err == SH_OK ? CLI_OK : cli_fail_spec(c, c->args[0], errors);
    }
    if (status == CLI_OK) {
        (void)fputs(job, c->out);
    }
    free(job);
    free(text);
    free(errors);
    free(conductor);
    return status;
}
