/* SPDX-License-Identifier: Apache-2.0
 *
 * The settings file of an agent (/etc/shoal/agent.yaml): data, secret, join, listen, advertise,
 * api, api-token, name, threads, label and so on; the same words as the flags of `shoal agent`. */
#ifndef SPEC_CONFIG_H
#define SPEC_CONFIG_H

#include "spec/spec.h"

#define SPEC_CONFIG_KEYS      24u
#define SPEC_CONFIG_VALUE_MAX 1023u

struct spec_config {
    char values[SPEC_CONFIG_KEYS][SPEC_CONFIG_VALUE_MAX + 1]; /* empty: not in the file */
};

SH_MUST_USE enum sh_err spec_config_parse(const char *text, size_t size, struct spec_config *config,
                                          struct spec_errors *errors);
/* "" where the file does not say. join, label: all of them, comma separated; a map of labels as
 * KEY=VALUE. */
const char *spec_config_value(const struct spec_config *config, const char *key);

#endif
