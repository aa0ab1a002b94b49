/* SPDX-License-Identifier: Apache-2.0
 *
 * Frames of a generation that this member has not begun: the others, who stood level a moment
 * sooner, send their sums at once and would send them again only after TRAIN_RETRY_US. They are
 * kept by the name of their sender, whose number is that of his generation, up to
 * TRAIN_EARLY_BYTES; what is beyond is dropped, as on the wire, and asked for again. The caller
 * serialises all calls. */
#ifndef TRAIN_EARLY_H
#define TRAIN_EARLY_H

#include "base/bytes.h"
#include "base/limits.h"

#include <stdbool.h>

#define TRAIN_EARLY_MAX   64u                 /* frames */
#define TRAIN_EARLY_BYTES (UINT64_C(8) << 20) /* of all of them */

struct train_early_frame {
    uint64_t generation;
    uint8_t node[SH_NODE_ID_BYTES];
    uint8_t *bytes; /* as train_session_frame got them */
    size_t size;
};

struct train_early { /* zero: empty */
    struct train_early_frame at[TRAIN_EARLY_MAX];
    uint32_t count;
    uint64_t bytes;
};

/* Keeps a copy. False: it does not fit, or there is no memory. */
bool train_early_keep(struct train_early *early, uint64_t generation,
                      const uint8_t node[static SH_NODE_ID_BYTES], struct sh_span frame);
/* The frame of this generation that came first, given (free bytes); drops those of older ones.
 * False: there is none. O(count). */
bool train_early_take(struct train_early *early, uint64_t generation,
                      struct train_early_frame *out);
void train_early_clear(struct train_early *early);

#endif
