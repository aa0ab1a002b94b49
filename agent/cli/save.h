/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to agent/cli: what an agent sends as a file. */
#ifndef CLI_SAVE_H
#define CLI_SAVE_H

#include "cli/context.h"

struct cli_save {
    const char *path;   /* of the API, escaped */
    const char *name;   /* of the file; "-": standard output */
    const char *digest; /* that its bytes must have, as hexadecimal digits; NULL: any */
};

/* Fetches it into a file beside the one that is meant, which it replaces when it is whole, and
 * prints its name. Returns CLI_OK or the exit status, printed. */
int cli_save(struct cli *c, const struct cli_save *save);

#endif
