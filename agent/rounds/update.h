/* SPDX-License-Identifier: Apache-2.0
 *
 * What a member gives for a round, as a blob: by how much its training changed each float of the
 * model (rounds/model.h; variances of running statistics as second moments) and, with SCAFFOLD, its
 * control variate.
 *
 *    0 u32 magic "SHU1"   4 u32 version (1)   8 u64 round   16 u64 floats   24 u64 controls
 *   32 floats, then controls (0 or as many as floats), little-endian f32; then the end */
#ifndef ROUNDS_UPDATE_H
#define ROUNDS_UPDATE_H

#include "base/bytes.h"

#include <stdbool.h>

#define ROUNDS_UPDATE_HEAD 32u

size_t rounds_update_size(size_t floats, bool controls);
/* out has rounds_update_size bytes; controls may be NULL. */
void rounds_update_encode(uint64_t round, const float *change, const float *controls, size_t floats,
                          uint8_t *out);
/* Into change and controls (NULL: it must have none) of floats elements each. VERSION; CORRUPT;
 * CONFLICT: of another round or model. */
SH_MUST_USE enum sh_err rounds_update_decode(struct sh_span bytes, uint64_t round, float *change,
                                             float *controls, size_t floats);

#endif
