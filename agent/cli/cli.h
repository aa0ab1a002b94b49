/* SPDX-License-Identifier: Apache-2.0
 *
 * The command line. cli/verbs.c is the one table of verbs: it makes the parser, --help and the list
 * that shells complete from. All verbs but `agent` and `demo` speak HTTP to --peer. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "agent.h"
#include "cli/exit.h"

#include <stdio.h>

struct cli_programs { /* what agent/main.c supplies */
    int (*agent)(const struct agent_options *options);
    int (*demo)(const struct demo_options *options);
    int (*restore)(const struct restore_options *options, uint64_t *index, char *why);
};

/* Runs argv; results go to out, everything else to err. Returns an enum cli_exit. */
int cli_main(int argc, char **argv, const struct cli_programs *programs, FILE *out, FILE *err);

#endif
