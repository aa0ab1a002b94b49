/* SPDX-License-Identifier: Apache-2.0
 *
 * The beginning or the whole of a gzip member in memory: internal to data/. */
#ifndef KN_DATA_GUNZIP_H
#define KN_DATA_GUNZIP_H

#include "kernels/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool kn_gunzip_known(const uint8_t *bytes, size_t size);

/* Unpacks at most `room` bytes to out. *got: how many there were; *whole: the stream ended there,
 * its checksum is right, and nothing follows it. CORRUPT: damaged or cut off before `room` bytes;
 * MEMORY. */
KN_MUST_USE enum kn_err kn_gunzip(const uint8_t *bytes, size_t size, uint8_t *out, size_t room,
                                  size_t *got, bool *whole);

#endif
