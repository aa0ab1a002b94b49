/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to agent/cli: words into a run of a verb. */
#ifndef CLI_PARSE_H
#define CLI_PARSE_H

#include "cli/context.h"

#define CLI_COMMON_OPTIONS 5u
/* --json, --help, then those of verbs that talk to an agent: --peer, --token-file. */
extern const struct cli_option CLI_COMMON[CLI_COMMON_OPTIONS];
/* How many of them a verb takes. */
size_t cli_common_count(const struct cli_verb *verb);

/* The verb that words begin with, *used of them; NULL when there is none. */
const struct cli_verb *cli_find_verb(char **words, size_t count, size_t *used);
/* Fills c's arguments and options from the words after the verb; CLI_OK or CLI_USAGE, printed. */
int cli_parse(struct cli *c, char **words, size_t count);

#endif
