/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to agent/cli: settings of an agent from flags, SHOAL_* variables, the settings file and
 * the defaults, in that order; `shoal agent` runs with them, `shoal config show` prints them. */
#ifndef CLI_SETTINGS_H
#define CLI_SETTINGS_H

#include "cli/context.h"

enum cli_origin { CLI_FROM_DEFAULT, CLI_FROM_FILE, CLI_FROM_ENV, CLI_FROM_FLAG };

#define CLI_SETTINGS_COUNT 24u

struct cli_setting {
    const char *key; /* "data"; the flag is --KEY, the variable SHOAL_KEY with '_' for '-' */
    char value[AGENT_PATH_MAX + 1]; /* of join and label: all, comma separated */
    enum cli_origin origin;
    char file[AGENT_PATH_MAX + 1]; /* FROM_FILE */
};

struct cli_settings {
    struct cli_setting at[CLI_SETTINGS_COUNT];
};

/* CLI_OK or the exit status, printed. */
int cli_settings_read(struct cli *c, struct cli_settings *settings);
const char *cli_settings_value(const struct cli_settings *settings, const char *key);
enum cli_origin cli_settings_origin(const struct cli_settings *settings, const char *key);

#endif
