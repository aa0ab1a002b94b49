/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to agent/spec: how a data source is written. */
#ifndef SPEC_SOURCE_H
#define SPEC_SOURCE_H

#include "spec/spec.h"

#define SPEC_SOURCE_BYTES (SPEC_PATH_MAX + 1)

/* NULL, or what would be right. */
const char *spec_source_read(const char *text, struct spec_source *out);
/* "builtin:digits", "files:HEX", ...; "" for NONE. */
void spec_source_write(const struct spec_source *source, char out[static SPEC_SOURCE_BYTES]);

#endif
