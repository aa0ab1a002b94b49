/* SPDX-License-Identifier: Apache-2.0
 *
 * Whole blobs in memory. */
#ifndef TRAIN_BLOB_H
#define TRAIN_BLOB_H

#include "service.h"

/* Fetches it from whoever has it and reads all of it; *bytes is given (free). LIMIT: it has more
 * than bytes_max. NOT_FOUND: no live agent has it. CORRUPT, NO_MEMORY, and what fetching answers.
 */
SH_MUST_USE enum sh_err train_blob_read(struct service *s,
                                        const uint8_t digest[static SH_DIGEST_BYTES],
                                        uint64_t bytes_max, uint64_t timeout_us, uint8_t **bytes,
                                        size_t *size);

#endif
