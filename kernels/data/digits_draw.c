/* SPDX-License-Identifier: Apache-2.0
 *
 * One image of builtin:digits: a glyph's points are jittered, rounded off, turned, stretched and
 * slanted, placed, bent by an elastic grid, and drawn with a soft pen over stray marks; noise comes
 * last. Lengths are in 1/256 pixel, angles' sines in 1/4096; no product reaches 2^31 unless it is
 * taken in 64 bits. The constants were chosen so that a small CNN reaches 98 % while a linear model
 * and a small MLP stay well below (tests/bars/skeleton/digits_difficulty.sh). */
#include "kernels/data/digits.h"
#include "kernels/data/digits_glyph.h"
#include "kernels/data/permutation.h"
#include "kernels/philox.h"

#include <string.h>

#define DIGITS_SEED UINT64_C(0x73686f616c2d3031)

enum {
    SIDE = KN_DIGITS_SIDE,
    AREA = SIDE * SIDE,
    PIXEL = 256,
    ONE = 4096,
    POINTS_MAX = 4 * KN_GLYPH_POINTS_MAX, /* each rounding at most doubles a path */
    SINE_STEPS = 64,                      /* per quarter turn */
    GRID = 4,                             /* nodes of the elastic grid per side */
    CELL = SIDE * PIXEL / (GRID - 1),

    POINT_JITTER = 5, /* of a control point, in the glyph's box of 64 x 96 */
    TURN_MAX = 12,    /* steps of 90 / 64 degrees */
    SLANT_MAX = 1000, /* horizontal shift per height, in 1 / ONE */
    SCALE_MIN = 640,  /* height of a glyph: size * 96 / 4096 pixels */
    SCALE_MAX = 880,
    WIDTH_MIN = 200, /* of the size, in 1 / 256 */
    WIDTH_MAX = 300,
    BEND_MAX = 260, /* displacement of a grid node */
    MARGIN = 580,   /* kept free on every side where the glyph is placed */
    PEN_MIN = 200,  /* half the width of a stroke */
    PEN_MAX = 380,
    PEN_EDGE = 200, /* over which a stroke fades */
    INK_MIN = 150,
    INK_MAX = 255,
    MARKS = 2, /* stray marks under the digit */
    MARK_LENGTH_MAX = 900,
    MARK_PEN_MIN = 130,
    MARK_PEN_MAX = 250,
    MARK_INK_MIN = 60,
    MARK_INK_MAX = 130,
    NOISE_MAX = 60 /* largest amplitude, of 255 */
};

struct point {
    int32_t x;
    int32_t y;
};

struct path {
    uint32_t count;
    struct point at[POINTS_MAX];
};

struct dice {
    struct kn_stream stream;
    uint64_t sample;
    uint32_t used;
    uint32_t word[4];
};

struct pose {
    int32_t xx; /* box units to 1/256 pixel, in 1 / ONE */
    int32_t xy;
    int32_t yx;
    int32_t yy;
    struct point bend[GRID][GRID];
};

/* 4096 sin(i / 64 of a quarter turn). */
static const int32_t sine[SINE_STEPS + 1] = {
    0,    101,  201,  301,  401,  501,  601,  700,  799,  897,  995,  1092, 1189,
    1285, 1380, 1474, 1567, 1660, 1751, 1842, 1931, 2019, 2106, 2191, 2276, 2359,
    2440, 2520, 2598, 2675, 2751, 2824, 2896, 2967, 3035, 3102, 3166, 3229, 3290,
    3349, 3406, 3461, 3513, 3564, 3612, 3659, 3703, 3745, 3784, 3822, 3857, 3889,
    3920, 3948, 3973, 3996, 4017, 4036, 4052, 4065, 4076, 4085, 4091, 4095, 4096,
};

/* Uniform in [low, high]. */
static int32_t dice_roll(struct dice *d, int32_t low, int32_t high)
{
    if (d->used % 4 == 0) {
        kn_stream_block(d->word, d->stream, d->sample, d->used / 4);
    }
    uint32_t word = d->word[d->used % 4];
    d->used++;
    uint32_t span = (uint32_t)(high - low) + 1;
    return low + (int32_t)((uint64_t)word * span >> 32);
}

/* Triangular in [-reach, reach]. */
static int32_t dice_swing(struct dice *d, int32_t reach)
{
    int32_t a = dice_roll(d, 0, reach);
    return a - dice_roll(d, 0, reach);
}

static int32_t clamp(int32_t v, int32_t low, int32_t high)
{
    return v < low ? low : (v > high ? high : v);
}

static int32_t least(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

static int32_t most(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

static void pose_roll(struct pose *o, struct dice *d)
{
    int32_t turn = dice_swing(d, TURN_MAX);
    int32_t s = turn < 0 ? -sine[-turn] : sine[turn];
    int32_t c = sine[SINE_STEPS - (turn < 0 ? -turn : turn)];
    int32_t size = dice_roll(d, SCALE_MIN, SCALE_MAX);
    int32_t width = size * dice_roll(d, WIDTH_MIN, WIDTH_MAX) / 256;
    int32_t slant = dice_swing(d, SLANT_MAX);
    o->xx = c * width / 256;
    o->xy = (c * slant / ONE - s) * size / 256;
    o->yx = s * width / 256;
    o->yy = (s * slant / ONE + c) * size / 256;
    for (int32_t j = 0; j < GRID; j++) {
        for (int32_t i = 0; i < GRID; i++) {
            o->bend[j][i].x = dice_swing(d, BEND_MAX);
            o->bend[j][i].y = dice_swing(d, BEND_MAX);
        }
    }
}

/* A point of the box, relative to the middle of the box. */
static struct point pose_apply(const struct pose *o, int32_t x, int32_t y)
{
    int32_t bx = (2 * x - KN_GLYPH_WIDTH) * 8;
    int32_t by = (2 * y - KN_GLYPH_HEIGHT) * 8;
    return (struct point){(o->xx * bx + o->xy * by) / ONE, (o->yx * bx + o->yy * by) / ONE};
}

static int32_t blend(int32_t a, int32_t b, int32_t weight)
{
    return (a * (CELL - weight) + b * weight) / CELL;
}

/* Moves a point of the canvas as the elastic grid says there (bilinear). */
static struct point pose_bend(const struct pose *o, struct point p)
{
    int32_t x = clamp(p.x, 0, SIDE * PIXEL - 1);
    int32_t y = clamp(p.y, 0, SIDE * PIXEL - 1);
    int32_t i = least(x / CELL, GRID - 2);
    int32_t j = least(y / CELL, GRID - 2);
    int32_t u = x - i * CELL;
    int32_t v = y - j * CELL;
    const struct point *a = &o->bend[j][i];
    const struct point *b = &o->bend[j + 1][i];
    return (struct point){p.x + blend(blend(a[0].x, a[1].x, u), blend(b[0].x, b[1].x, u), v),
                          p.y + blend(blend(a[0].y, a[1].y, u), blend(b[0].y, b[1].y, u), v)};
}

/* Cuts every corner at a quarter of its sides (Chaikin); points that stand twice stay put. */
static void path_round(struct path *p)
{
    struct path from = *p;
    uint32_t n = 0;
    p->at[n] = from.at[0];
    n++;
    for (uint32_t i = 0; i + 1 < from.count; i++) {
        struct point a = from.at[i];
        struct point b = from.at[i + 1];
        p->at[n] = (struct point){(3 * a.x + b.x) / 4, (3 * a.y + b.y) / 4};
        p->at[n + 1] = (struct point){(a.x + 3 * b.x) / 4, (a.y + 3 * b.y) / 4};
        n += 2;
    }
    p->at[n] = from.at[from.count - 1];
    p->count = n + 1;
}

static void path_trace(struct path *p, const struct kn_glyph_stroke *s, const struct pose *o,
                       struct dice *d)
{
    p->count = s->count;
    for (uint32_t n = 0; n < s->count; n++) {
        int32_t jitter_x = dice_swing(d, POINT_JITTER);
        int32_t jitter_y = dice_swing(d, POINT_JITTER);
        bool corner = n > 0 && memcmp(s->point[n], s->point[n - 1], sizeof s->point[n]) == 0;
        p->at[n] = corner ? p->at[n - 1]
                          : pose_apply(o, s->point[n][0] + jitter_x, s->point[n][1] + jitter_y);
    }
    path_round(p);
    path_round(p);
}

/* Where along one axis something that spans [low, high] goes so that a margin stays free. */
static int32_t place(struct dice *d, int32_t low, int32_t high)
{
    int32_t room = most(SIDE * PIXEL - 2 * MARGIN - (high - low), 0);
    return (SIDE * PIXEL - room) / 2 - (low + high) / 2 + dice_roll(d, 0, room);
}

static void paths_place(struct path *path, uint32_t count, const struct pose *o, struct dice *d)
{
    struct point low = {INT32_MAX, INT32_MAX};
    struct point high = {INT32_MIN, INT32_MIN};
    for (uint32_t k = 0; k < count; k++) {
        for (uint32_t n = 0; n < path[k].count; n++) {
            struct point p = path[k].at[n];
            low = (struct point){least(low.x, p.x), least(low.y, p.y)};
            high = (struct point){most(high.x, p.x), most(high.y, p.y)};
        }
    }
    int32_t shift_x = place(d, low.x, high.x);
    int32_t shift_y = place(d, low.y, high.y);
    for (uint32_t k = 0; k < count; k++) {
        for (uint32_t n = 0; n < path[k].count; n++) {
            struct point p = path[k].at[n];
            path[k].at[n] = pose_bend(o, (struct point){p.x + shift_x, p.y + shift_y});
        }
    }
}

/* A canvas: squared distance of every pixel's centre to the nearest stroke, within the pen's reach.
 */
static void canvas_clear(int32_t square[AREA])
{
    for (int32_t i = 0; i < AREA; i++) {
        square[i] = INT32_MAX;
    }
}

static void canvas_segment(int32_t square[AREA], struct point a, struct point b, int32_t reach)
{
    int32_t x0 = clamp((least(a.x, b.x) - reach) / PIXEL, 0, SIDE - 1);
    int32_t x1 = clamp((most(a.x, b.x) + reach) / PIXEL, 0, SIDE - 1);
    int32_t y0 = clamp((least(a.y, b.y) - reach) / PIXEL, 0, SIDE - 1);
    int32_t y1 = clamp((most(a.y, b.y) + reach) / PIXEL, 0, SIDE - 1);
    int32_t dx = b.x - a.x;
    int32_t dy = b.y - a.y;
    int32_t length2 = most(dx * dx + dy * dy, 1);
    for (int32_t y = y0; y <= y1; y++) {
        for (int32_t x = x0; x <= x1; x++) {
            int32_t px = x * PIXEL + PIXEL / 2 - a.x;
            int32_t py = y * PIXEL + PIXEL / 2 - a.y;
            int32_t along = clamp(px * dx + py * dy, 0, length2);
            int32_t t = (int32_t)((int64_t)along * 1024 / length2);
            int32_t ex = px - dx * t / 1024;
            int32_t ey = py - dy * t / 1024;
            square[y * SIDE + x] = least(square[y * SIDE + x], ex * ex + ey * ey);
        }
    }
}

static int32_t root(int32_t square)
{
    int32_t r = 0;
    for (int32_t bit = 1 << 10; bit > 0; bit >>= 1) {
        if ((r + bit) * (r + bit) <= square) {
            r += bit;
        }
    }
    return r;
}

static void canvas_ink(const int32_t square[AREA], int32_t pen, int32_t level, uint8_t *pixels)
{
    int32_t reach = pen + PEN_EDGE / 2;
    for (int32_t i = 0; i < AREA; i++) {
        if (square[i] < reach * reach) {
            int32_t cover = least((reach - root(square[i])) * 256 / PEN_EDGE, 256);
            pixels[i] = (uint8_t)most(cover * level / 256, pixels[i]);
        }
    }
}

static void mark_draw(struct dice *d, uint8_t *pixels)
{
    int32_t square[AREA];
    struct point a;
    struct point b;
    a.x = dice_roll(d, 0, SIDE * PIXEL);
    a.y = dice_roll(d, 0, SIDE * PIXEL);
    b.x = a.x + dice_swing(d, MARK_LENGTH_MAX);
    b.y = a.y + dice_swing(d, MARK_LENGTH_MAX);
    int32_t pen = dice_roll(d, MARK_PEN_MIN, MARK_PEN_MAX);
    int32_t level = dice_roll(d, MARK_INK_MIN, MARK_INK_MAX);
    canvas_clear(square);
    canvas_segment(square, a, b, pen + PEN_EDGE);
    canvas_ink(square, pen, level, pixels);
}

static void glyph_draw(struct dice *d, const struct kn_glyph *g, uint8_t *pixels)
{
    struct pose pose;
    struct path path[KN_GLYPH_STROKES_MAX];
    int32_t square[AREA];
    pose_roll(&pose, d);
    for (uint32_t k = 0; k < g->count; k++) {
        path_trace(&path[k], &g->stroke[k], &pose, d);
    }
    paths_place(path, g->count, &pose, d);
    int32_t pen = dice_roll(d, PEN_MIN, PEN_MAX);
    int32_t level = dice_roll(d, INK_MIN, INK_MAX);
    canvas_clear(square);
    for (uint32_t k = 0; k < g->count; k++) {
        for (uint32_t n = 1; n < path[k].count; n++) {
            canvas_segment(square, path[k].at[n - 1], path[k].at[n], pen + PEN_EDGE);
        }
    }
    canvas_ink(square, pen, level, pixels);
}

int32_t kn_digits_draw(enum kn_part part, uint32_t i,
                       uint8_t pixels[KN_DIGITS_SIDE * KN_DIGITS_SIDE])
{
    uint32_t count = part == KN_PART_TRAIN ? KN_DIGITS_TRAIN_COUNT : KN_DIGITS_TEST_COUNT;
    struct kn_permutation order;
    kn_permutation_init(&order, count, DIGITS_SEED, KN_PERMUTATION_DIGITS, (uint64_t)part);
    uint32_t digit = kn_permutation_at(&order, i) % KN_DIGITS_CLASSES;
    struct dice d = {.stream = kn_stream_make(DIGITS_SEED, (uint64_t)part, 0, 0), .sample = i};
    memset(pixels, 0, AREA);
    for (int32_t k = 0; k < MARKS; k++) {
        mark_draw(&d, pixels);
    }
    uint32_t way = (uint32_t)dice_roll(&d, 0, (int32_t)kn_glyph_count(digit) - 1);
    glyph_draw(&d, kn_glyph_get(digit, way), pixels);
    int32_t noise = dice_roll(&d, 0, NOISE_MAX);
    for (int32_t k = 0; k < AREA; k++) {
        pixels[k] = (uint8_t)clamp(pixels[k] + dice_swing(&d, noise), 0, 255);
    }
    return (int32_t)digit;
}
