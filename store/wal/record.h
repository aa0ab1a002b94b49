/* SPDX-License-Identifier: Apache-2.0
 *
 * Records of the meta column family. Private to store/wal. Each is a version byte, its fields and a
 * hash seeded with the name it lies under. */
#ifndef SH_STORE_WAL_RECORD_H
#define SH_STORE_WAL_RECORD_H

#include "store/wal/wal.h"

#define WAL_RECORD_BYTES 64u /* the largest one */

#define WAL_KEY_IDENTITY "id"
#define WAL_KEY_HARD     "hard"
#define WAL_KEY_FIRST    "first"

/* out has WAL_RECORD_BYTES; each encode returns the size. */
size_t wal_identity_encode(const struct wal_identity *identity, uint8_t *out);
SH_MUST_USE enum sh_err wal_identity_decode(struct sh_span value, struct wal_identity *out);
size_t wal_hard_encode(const struct wal_hard *hard, uint8_t *out);
SH_MUST_USE enum sh_err wal_hard_decode(struct sh_span value, struct wal_hard *out);
size_t wal_first_encode(uint64_t index, uint64_t term, uint8_t *out);
SH_MUST_USE enum sh_err wal_first_decode(struct sh_span value, uint64_t *index, uint64_t *term);

#endif
