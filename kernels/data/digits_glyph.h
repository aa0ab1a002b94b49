/* SPDX-License-Identifier: Apache-2.0
 *
 * The strokes that builtin:digits draws: internal to data/. Coordinates lie in a box 64 wide and 96
 * high, y downwards; a point that stands twice in a row is a corner, others are rounded. */
#ifndef KN_DATA_DIGITS_GLYPH_H
#define KN_DATA_DIGITS_GLYPH_H

#include <stdint.h>

enum {
    KN_GLYPH_WIDTH = 64,
    KN_GLYPH_HEIGHT = 96,
    KN_GLYPH_STROKES_MAX = 2,
    KN_GLYPH_POINTS_MAX = 15
};

struct kn_glyph_stroke {
    uint32_t count;
    int8_t point[KN_GLYPH_POINTS_MAX][2];
};

struct kn_glyph {
    uint32_t count;
    struct kn_glyph_stroke stroke[KN_GLYPH_STROKES_MAX];
};

/* The ways to write a digit 0..9. */
uint32_t kn_glyph_count(uint32_t digit);
const struct kn_glyph *kn_glyph_get(uint32_t digit, uint32_t way);

#endif
