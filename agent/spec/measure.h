/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to agent/spec: durations and sizes as people write them. */
#ifndef SPEC_MEASURE_H
#define SPEC_MEASURE_H

#include <stdbool.h>
#include <stdint.h>

/* "90", "90s", "2h30m", "84h", "1d": whole seconds. */
bool spec_seconds_read(const char *text, uint64_t *seconds);
/* "1024", "512MiB", "8GiB", "20GB": whole bytes; KB, MB, GB, TB are powers of 1000. */
bool spec_bytes_read(const char *text, uint64_t *bytes);

#endif
