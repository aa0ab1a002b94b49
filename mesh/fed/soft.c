/* SPDX-License-Identifier: Apache-2.0 */
#include "fed/state.h"

#define FLOOR_PARTS 20u /* of the hard deadline: a hiccup of a machine makes nobody late */
#define MEDIAN_PART 4u  /* arrivals at one moment still have some spread */

void fed_soft_note(struct fed *f, uint64_t offset_us)
{
    f->offsets[f->offset_next] = offset_us;
    f->offset_next = (f->offset_next + 1) % FED_OFFSETS;
    f->offset_count += f->offset_count < FED_OFFSETS ? 1 : 0;
}

static uint64_t median(uint64_t *values, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        uint64_t value = values[i];
        uint32_t at = i;
        for (; at > 0 && values[at - 1] > value; at--) {
            values[at] = values[at - 1];
        }
        values[at] = value;
    }
    return values[count / 2];
}

uint64_t fed_soft_us(const struct fed *f)
{
    uint64_t hard = f->config.hard_us;
    uint64_t values[FED_OFFSETS];
    if (f->offset_count == 0) {
        return hard / 2;
    }
    for (uint32_t i = 0; i < f->offset_count; i++) {
        values[i] = f->offsets[i];
    }
    uint64_t middle = median(values, f->offset_count);
    for (uint32_t i = 0; i < f->offset_count; i++) {
        uint64_t offset = f->offsets[i];
        values[i] = offset > middle ? offset - middle : middle - offset;
    }
    uint64_t spread = median(values, f->offset_count);
    uint64_t least = middle / MEDIAN_PART;
    uint64_t soft = middle + 3 * (spread > least ? spread : least);
    uint64_t floor = hard / FLOOR_PARTS;
    soft = soft > floor ? soft : floor;
    return soft < hard ? soft : hard;
}
