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
/* The same as long as it comes on. */
SH_MUST_USE enum sh_err train_blob_read_patient(struct service *s,
                                                const uint8_t digest[static SH_DIGEST_BYTES],
                                                uint64_t bytes_max,
                                                const struct service_patience *patience,
                                                uint8_t **bytes, size_t *size);
/* Nobody can say yet: worth another try. */
bool train_is_passing(enum sh_err err);
/* Whether one of these agents, or with count 0 any of the cluster, is away and may bring a blob
 * that nobody else has. */
bool train_blob_may_come(struct service *s, const uint8_t (*holders)[SH_NODE_ID_BYTES],
                         uint32_t count);

#endif
