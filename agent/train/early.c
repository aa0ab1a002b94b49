/* SPDX-License-Identifier: Apache-2.0 */
#include "train/early.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

bool train_early_keep(struct train_early *early, uint64_t generation,
                      const uint8_t node[static SH_NODE_ID_BYTES], struct sh_span frame)
{
    if (early->count == TRAIN_EARLY_MAX || frame.size > TRAIN_EARLY_BYTES - early->bytes) {
        return false;
    }
    uint8_t *bytes = malloc(frame.size);
    if (bytes == NULL) {
        return false;
    }
    memcpy(bytes, frame.at, frame.size);
    struct train_early_frame *f = &early->at[early->count++];
    *f = (struct train_early_frame){.generation = generation, .bytes = bytes, .size = frame.size};
    memcpy(f->node, node, SH_NODE_ID_BYTES);
    early->bytes += frame.size;
    return true;
}

static struct train_early_frame remove_at(struct train_early *early, uint32_t index)
{
    struct train_early_frame f = early->at[index];
    early->count--;
    early->bytes -= f.size;
    memmove(&early->at[index], &early->at[index + 1], (early->count - index) * sizeof early->at[0]);
    return f;
}

bool train_early_take(struct train_early *early, uint64_t generation, struct train_early_frame *out)
{
    uint32_t i = 0;
    while (i < early->count) {
        if (early->at[i].generation == generation) {
            *out = remove_at(early, i);
            return true;
        }
        if (early->at[i].generation < generation) {
            free(remove_at(early, i).bytes);
        } else {
            i++;
        }
    }
    return false;
}

void train_early_clear(struct train_early *early)
{
    while (early->count > 0) {
        free(remove_at(early, early->count - 1).bytes);
    }
    SH_CHECK_CMP(early->bytes, ==, 0);
}
