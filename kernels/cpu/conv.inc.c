/* SPDX-License-Identifier: Apache-2.0
 *
 * Convolution with samples in the lanes: every output pixel is a vector over 16 samples, so taps
 * outside the image are skipped and no shape is awkward. One register tile computes TILE_OUT
 * channels of up to TILE_PIX neighbouring pixels; weights are packed [tile][in][kh][kw][TILE_OUT].
 * Each output is one chain of multiply-adds in the order (in, kh, kw). */

#if defined(__AVX512F__)
#    define TILE_OUT 8 /* 24 sums, 3 inputs, 1 weight of 32 registers */
#else
#    define TILE_OUT 4 /* 12 sums, 3 inputs, 1 weight of 16 registers */
#endif
#define TILE_PIX 3

/* A correlation on a grid of outputs: the forward pass, or one parity class of the gradient. */
struct grid {
    uint32_t in_c, in_h, in_w;
    uint32_t out_c;
    uint32_t rows, columns; /* outputs computed */
    uint32_t taps_h, taps_w;
    uint32_t step_h, step_w;                    /* input pixels between neighbouring outputs */
    int32_t top, left;                          /* input position of tap 0 of output 0 */
    size_t y_first, y_row, y_column, y_channel; /* floats */
};

/* What a tile needs to run: taps already cut to the image. */
struct tile {
    const float *x; /* first tap of the first pixel, channel 0 */
    const float *w; /* its weights */
    const float *bias;
    float *y;
    uint32_t in_c;
    uint32_t taps_h, taps_w;
    size_t x_channel, x_row, x_pixel;
    size_t w_channel, w_row;
    size_t y_channel, y_pixel;
    uint32_t outs; /* channels wanted, at most TILE_OUT */
};

#define TILE_DEFINE(PIX)                                                                           \
    static void tile_##PIX(const struct tile *t)                                                   \
    {                                                                                              \
        kn_vec sum[TILE_OUT][PIX];                                                                 \
        _Pragma("GCC unroll 8") for (int o = 0; o < TILE_OUT; o++)                                 \
        {                                                                                          \
            _Pragma("GCC unroll 8") for (int p = 0; p < PIX; p++)                                  \
            {                                                                                      \
                sum[o][p] = v_all(t->bias[o]);                                                     \
            }                                                                                      \
        }                                                                                          \
        const size_t x_pixel = t->x_pixel;                                                         \
        for (uint32_t c = 0; c < t->in_c; c++) {                                                   \
            for (uint32_t kh = 0; kh < t->taps_h; kh++) {                                          \
                const float *x = t->x + c * t->x_channel + kh * t->x_row;                          \
                const float *w = t->w + c * t->w_channel + kh * t->w_row;                          \
                for (uint32_t kw = 0; kw < t->taps_w; kw++) {                                      \
                    kn_vec in[PIX];                                                                \
                    _Pragma("GCC unroll 8") for (int p = 0; p < PIX; p++)                          \
                    {                                                                              \
                        in[p] = v_load(x + (size_t)p * x_pixel);                                   \
                    }                                                                              \
                    _Pragma("GCC unroll 8") for (int o = 0; o < TILE_OUT; o++)                     \
                    {                                                                              \
                        const kn_vec weight = v_all(w[o]);                                         \
                        _Pragma("GCC unroll 8") for (int p = 0; p < PIX; p++)                      \
                        {                                                                          \
                            sum[o][p] = v_fma(weight, in[p], sum[o][p]);                           \
                        }                                                                          \
                    }                                                                              \
                    x += KN_LANES;                                                                 \
                    w += TILE_OUT;                                                                 \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
        _Pragma("GCC unroll 8") for (int o = 0; o < TILE_OUT; o++)                                 \
        {                                                                                          \
            if ((uint32_t)o < t->outs) {                                                           \
                _Pragma("GCC unroll 8") for (int p = 0; p < PIX; p++)                              \
                {                                                                                  \
                    v_store(t->y + (size_t)o * t->y_channel + (size_t)p * t->y_pixel, sum[o][p]);  \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
    }

TILE_DEFINE(1)
TILE_DEFINE(2)
TILE_DEFINE(3)

/* Taps [*begin, *end) of output o lie inside [0, in). */
static void taps_cut(uint32_t o, uint32_t step, int32_t first, uint32_t taps, uint32_t in,
                     uint32_t *begin, uint32_t *end)
{
    const int64_t at = (int64_t)o * step + first;
    const int64_t room = (int64_t)in - at;
    *begin = at < 0 ? (uint32_t)-at : 0;
    *end = room < (int64_t)taps ? (room > 0 ? (uint32_t)room : 0) : taps;
    *begin = *begin < *end ? *begin : *end;
}

/* Pixels [from, from + count) of one row and one tile of channels, all with taps [left, right). */
static void grid_run(const struct grid *g, const struct tile *row, uint32_t from, uint32_t count,
                     uint32_t left, uint32_t right, const float *x_row, float *y_row)
{
    struct tile t = *row;
    t.taps_w = right - left;
    t.w = row->w + (size_t)left * TILE_OUT;
    for (uint32_t done = 0; done < count;) {
        const uint32_t left_over = count - done;
        const uint32_t width = left_over < TILE_PIX ? left_over : TILE_PIX;
        const int64_t column = (int64_t)(from + done) * g->step_w + g->left + left;
        t.x = x_row + (t.taps_w > 0 ? column * KN_LANES : 0);
        t.y = y_row + (from + done) * g->y_column;
        if (width == 3) {
            tile_3(&t);
        } else if (width == 2) {
            tile_2(&t);
        } else {
            tile_1(&t);
        }
        done += width;
    }
}

/* First output whose taps all lie right of the left edge, and one past the last left of the right.
 */
static void grid_interior(const struct grid *g, uint32_t *from, uint32_t *to)
{
    *from = 0;
    *to = 0;
    for (uint32_t o = 0; o < g->columns; o++) {
        uint32_t begin;
        uint32_t end;
        taps_cut(o, g->step_w, g->left, g->taps_w, g->in_w, &begin, &end);
        if (begin == 0 && end == g->taps_w) {
            *from = *to == 0 ? o : *from;
            *to = o + 1;
        }
    }
}

static void grid_row(const struct grid *g, const struct tile *base, uint32_t oh, const float *x,
                     float *y, uint32_t from, uint32_t to)
{
    uint32_t top;
    uint32_t bottom;
    struct tile t = *base;
    taps_cut(oh, g->step_h, g->top, g->taps_h, g->in_h, &top, &bottom);
    t.taps_h = bottom - top;
    t.w = base->w + top * base->w_row;
    const int64_t first = t.taps_h > 0 ? (int64_t)oh * g->step_h + g->top + top : 0;
    const float *x_row = x + (size_t)first * g->in_w * KN_LANES;
    float *y_row = y + oh * g->y_row;
    for (uint32_t o = 0; o < g->columns;) {
        uint32_t left = 0;
        uint32_t right = g->taps_w;
        uint32_t count = 1;
        if (o == from && to > from) {
            count = to - from;
        } else {
            taps_cut(o, g->step_w, g->left, g->taps_w, g->in_w, &left, &right);
        }
        grid_run(g, &t, o, count, left, right, x_row, y_row);
        o += count;
    }
}

static uint32_t tiles_of(uint32_t channels)
{
    return (channels + TILE_OUT - 1) / TILE_OUT;
}

/* bias: TILE_OUT * tiles floats. One block of samples at x and y. */
static void grid_block(const struct grid *g, float *y, const float *x, const float *packed,
                       const float *bias)
{
    const size_t w_tile = (size_t)g->in_c * g->taps_h * g->taps_w * TILE_OUT;
    uint32_t from;
    uint32_t to;
    grid_interior(g, &from, &to);
    for (uint32_t tile = 0; tile < tiles_of(g->out_c); tile++) {
        const uint32_t left = g->out_c - tile * TILE_OUT;
        struct tile t = {
            .w = packed + tile * w_tile,
            .bias = bias + (size_t)tile * TILE_OUT,
            .in_c = g->in_c,
            .x_channel = (size_t)g->in_h * g->in_w * KN_LANES,
            .x_row = (size_t)g->in_w * KN_LANES,
            .x_pixel = (size_t)g->step_w * KN_LANES,
            .w_channel = (size_t)g->taps_h * g->taps_w * TILE_OUT,
            .w_row = (size_t)g->taps_w * TILE_OUT,
            .y_channel = g->y_channel,
            .y_pixel = g->y_column,
            .outs = left < TILE_OUT ? left : TILE_OUT,
        };
        float *y_tile = y + g->y_first + (size_t)tile * TILE_OUT * g->y_channel;
        for (uint32_t oh = 0; oh < g->rows; oh++) {
            for (int group = 0; group < KN_VG; group++) {
                grid_row(g, &t, oh, x + group * KN_VW, y_tile + group * KN_VW, from, to);
            }
        }
    }
}

static size_t round_lanes(size_t floats)
{
    return (floats + KN_LANES - 1) / KN_LANES * KN_LANES;
}

/* Floats of packed weights with `out` channels out and `in` channels in, and of a bias. */
static size_t packed_floats(uint32_t out, uint32_t in, uint32_t taps)
{
    return round_lanes((size_t)tiles_of(out) * TILE_OUT * in * taps);
}

static size_t bias_floats(uint32_t out)
{
    return round_lanes((size_t)tiles_of(out) * TILE_OUT);
}

static void bias_pack(float *packed, const float *b, uint32_t out)
{
    memset(packed, 0, bias_floats(out) * sizeof(float));
    if (b != NULL) {
        memcpy(packed, b, out * sizeof(float));
    }
}

static void conv_pack(float *packed, const float *w, const struct kn_conv_shape *s)
{
    const size_t taps = (size_t)s->in_c * s->win.kernel_h * s->win.kernel_w;
    memset(packed, 0,
           packed_floats(s->out_c, s->in_c, s->win.kernel_h * s->win.kernel_w) * sizeof(float));
    for (uint32_t o = 0; o < s->out_c; o++) {
        float *to = packed + (o / TILE_OUT) * taps * TILE_OUT + o % TILE_OUT;
        for (size_t k = 0; k < taps; k++) {
            to[k * TILE_OUT] = w[o * taps + k];
        }
    }
}

/* Weights of one parity class of the gradient: taps first_h, first_h + stride_h, ... turned round,
 * channels exchanged. */
static void class_pack(float *packed, const float *w, const struct kn_conv_shape *s,
                       const struct grid *g, uint32_t first_h, uint32_t first_w)
{
    const struct kn_window *win = &s->win;
    memset(packed, 0, packed_floats(g->out_c, g->in_c, g->taps_h * g->taps_w) * sizeof(float));
    for (uint32_t out = 0; out < g->out_c; out++) {
        for (uint32_t in = 0; in < g->in_c; in++) {
            for (uint32_t t = 0; t < g->taps_h * g->taps_w; t++) {
                const uint32_t kh = first_h + (g->taps_h - 1 - t / g->taps_w) * win->stride_h;
                const uint32_t kw = first_w + (g->taps_w - 1 - t % g->taps_w) * win->stride_w;
                const size_t tile = out / TILE_OUT;
                const size_t taps = (size_t)g->taps_h * g->taps_w;
                packed[((tile * g->in_c + in) * taps + t) * TILE_OUT + out % TILE_OUT] =
                    w[(((size_t)in * s->in_c + out) * win->kernel_h + kh) * win->kernel_w + kw];
            }
        }
    }
}

static void cpu_conv(void *y, const void *x, const void *w, const void *b,
                     const struct kn_conv_shape *s, uint32_t n, void *scratch)
{
    kn_window_check(&s->win);
    const struct kn_window *win = &s->win;
    float *bias = scratch;
    float *packed = bias + bias_floats(s->out_c);
    bias_pack(bias, b, s->out_c);
    conv_pack(packed, w, s);
    const struct grid g = {
        .in_c = s->in_c,
        .in_h = win->in_h,
        .in_w = win->in_w,
        .out_c = s->out_c,
        .rows = win->out_h,
        .columns = win->out_w,
        .taps_h = win->kernel_h,
        .taps_w = win->kernel_w,
        .step_h = win->stride_h,
        .step_w = win->stride_w,
        .top = -(int32_t)win->pad_top,
        .left = -(int32_t)win->pad_left,
        .y_row = (size_t)win->out_w * KN_LANES,
        .y_column = KN_LANES,
        .y_channel = (size_t)win->out_h * win->out_w * KN_LANES,
    };
    const size_t in_size = (size_t)s->in_c * win->in_h * win->in_w * KN_LANES;
    const size_t out_size = (size_t)s->out_c * win->out_h * win->out_w * KN_LANES;
    for (size_t block = 0; block < blocks_of(n); block++) {
        grid_block(&g, (float *)y + block * out_size, (const float *)x + block * in_size, packed,
                   bias);
    }
}

/* Along one axis: inputs at, at + stride, ... (at < stride) are reached by taps first, first +
 * stride, ...; with j counting those inputs and the taps turned round, j reads output j + offset
 * first. */
struct axis_class {
    uint32_t count; /* inputs of the class */
    uint32_t first; /* smallest tap */
    uint32_t taps;  /* may be 0: the kernel is shorter than the stride */
    int32_t offset;
};

static struct axis_class axis_class_of(uint32_t at, uint32_t in, uint32_t stride, uint32_t pad,
                                       uint32_t kernel)
{
    struct axis_class c = {.count = (in - at + stride - 1) / stride,
                           .first = (at + pad) % stride,
                           .taps = 0,
                           .offset = 0};
    if (c.first < kernel) {
        c.taps = (kernel - c.first + stride - 1) / stride;
        c.offset = (int32_t)((at + pad) / stride) - (int32_t)(c.taps - 1);
    }
    return c;
}

/* dx for inputs of one parity class of rows and columns. */
static void conv_dx_class(float *dx, const float *dy, const float *w, const struct kn_conv_shape *s,
                          uint32_t n, const uint32_t at[2], float *scratch)
{
    const struct kn_window *win = &s->win;
    const struct axis_class rows =
        axis_class_of(at[0], win->in_h, win->stride_h, win->pad_top, win->kernel_h);
    const struct axis_class columns =
        axis_class_of(at[1], win->in_w, win->stride_w, win->pad_left, win->kernel_w);
    const struct grid g = {
        .in_c = s->out_c,
        .in_h = win->out_h,
        .in_w = win->out_w,
        .out_c = s->in_c,
        .rows = rows.count,
        .columns = columns.count,
        .taps_h = columns.taps > 0 ? rows.taps : 0,
        .taps_w = columns.taps,
        .step_h = 1,
        .step_w = 1,
        .top = rows.offset,
        .left = columns.offset,
        .y_first = ((size_t)at[0] * win->in_w + at[1]) * KN_LANES,
        .y_row = (size_t)win->stride_h * win->in_w * KN_LANES,
        .y_column = (size_t)win->stride_w * KN_LANES,
        .y_channel = (size_t)win->in_h * win->in_w * KN_LANES,
    };
    float *bias = scratch;
    float *packed = bias + bias_floats(s->in_c);
    bias_pack(bias, NULL, s->in_c);
    class_pack(packed, w, s, &g, rows.first, columns.first);
    const size_t in_size = (size_t)s->in_c * win->in_h * win->in_w * KN_LANES;
    const size_t out_size = (size_t)s->out_c * win->out_h * win->out_w * KN_LANES;
    for (size_t block = 0; block < blocks_of(n); block++) {
        grid_block(&g, dx + block * in_size, dy + block * out_size, packed, bias);
    }
}

/* --- Gradient of the weights. ----------------------------------------------------------------- */

/* Channels of a tile with few taps and with many: 8 x 3 or 4 x 5 sums of 32 registers, 4 x 3 or 2 x
 * 5 of 16. */
#if defined(__AVX512F__)
#    define GRAD_OUT_FEW  8
#    define GRAD_OUT_MANY 4
#else
#    define GRAD_OUT_FEW  4
#    define GRAD_OUT_MANY 2
#endif
#define GRAD_TAPS_FEW 3
#define GRAD_TAPS     5

/* Sums over pixels of derivative times input for some channels and some taps of one kernel row.
 * x is the zero-padded plane: no tap is outside it. */
struct grad_tile {
    const float *dy; /* first row and channel */
    const float *x;  /* input under the first tap */
    float *dw;       /* (channel, tap) at channel * dw_channel + tap */
    uint32_t rows, columns;
    size_t dy_row, x_row, x_pixel;
    size_t dy_at[GRAD_OUT_FEW]; /* of each channel; where fewer are wanted, the last again */
    size_t dw_channel;
    uint32_t outs;
};

#define GRAD_DEFINE(TAPS, OUT)                                                                     \
    static void grad_tile_##TAPS(const struct grad_tile *t)                                        \
    {                                                                                              \
        kn_vec sum[OUT][TAPS];                                                                     \
        _Pragma("GCC unroll 8") for (int o = 0; o < OUT; o++)                                      \
        {                                                                                          \
            _Pragma("GCC unroll 8") for (int k = 0; k < TAPS; k++)                                 \
            {                                                                                      \
                sum[o][k] = v_zero();                                                              \
            }                                                                                      \
        }                                                                                          \
        const float *first[OUT];                                                                   \
        _Pragma("GCC unroll 8") for (int o = 0; o < OUT; o++)                                      \
        {                                                                                          \
            first[o] = t->dy + t->dy_at[o];                                                        \
        }                                                                                          \
        const size_t x_pixel = t->x_pixel;                                                         \
        for (uint32_t row = 0; row < t->rows; row++) {                                             \
            size_t dy = row * t->dy_row;                                                           \
            const float *x = t->x + row * t->x_row;                                                \
            for (uint32_t column = 0; column < t->columns; column++) {                             \
                kn_vec g[OUT];                                                                     \
                _Pragma("GCC unroll 8") for (int o = 0; o < OUT; o++)                              \
                {                                                                                  \
                    g[o] = v_load(first[o] + dy);                                                  \
                }                                                                                  \
                _Pragma("GCC unroll 8") for (int k = 0; k < TAPS; k++)                             \
                {                                                                                  \
                    const kn_vec in = v_load(x + k * KN_LANES);                                    \
                    _Pragma("GCC unroll 8") for (int o = 0; o < OUT; o++)                          \
                    {                                                                              \
                        sum[o][k] = v_fma(g[o], in, sum[o][k]);                                    \
                    }                                                                              \
                }                                                                                  \
                dy += KN_LANES;                                                                    \
                x += x_pixel;                                                                      \
            }                                                                                      \
        }                                                                                          \
        for (int o = 0; o < OUT; o++) {                                                            \
            for (int k = 0; k < TAPS && (uint32_t)o < t->outs; k++) {                              \
                t->dw[(size_t)o * t->dw_channel + (size_t)k] += v_sum(sum[o][k]);                  \
            }                                                                                      \
        }                                                                                          \
    }

GRAD_DEFINE(1, GRAD_OUT_FEW)
GRAD_DEFINE(2, GRAD_OUT_FEW)
GRAD_DEFINE(3, GRAD_OUT_FEW)
GRAD_DEFINE(4, GRAD_OUT_MANY)
GRAD_DEFINE(5, GRAD_OUT_MANY)

static void grad_tile_run(const struct grad_tile *t, uint32_t taps)
{
    switch (taps) {
    case 1:
        grad_tile_1(t);
        break;
    case 2:
        grad_tile_2(t);
        break;
    case 3:
        grad_tile_3(t);
        break;
    case 4:
        grad_tile_4(t);
        break;
    default:
        KN_CHECK(taps == GRAD_TAPS);
        grad_tile_5(t);
        break;
    }
}

/* Columns of the padded plane: all that any tap of any output touches. */
static uint32_t padded_width(const struct kn_window *win)
{
    return (win->out_w - 1) * win->stride_w + win->kernel_w;
}

/* One channel with columns of zeros before and after; columns past the last tap are cut. */
static void plane_pad(float *padded, const float *x, const struct kn_window *win)
{
    const uint32_t width = padded_width(win);
    const uint32_t room = width - win->pad_left;
    const uint32_t copy = room < win->in_w ? room : win->in_w;
    for (uint32_t row = 0; row < win->in_h; row++) {
        float *to = padded + (size_t)row * width * KN_LANES;
        memset(to, 0, win->pad_left * KN_LANES * sizeof(float));
        memcpy(to + (size_t)win->pad_left * KN_LANES, x + (size_t)row * win->in_w * KN_LANES,
               copy * KN_LANES * sizeof(float));
        memset(to + (size_t)(win->pad_left + copy) * KN_LANES, 0,
               (room - copy) * KN_LANES * sizeof(float));
    }
}

/* Outputs [*from, *to) whose row under tap kh lies inside the image. */
static void rows_cut(const struct kn_window *win, uint32_t kh, uint32_t *from, uint32_t *to)
{
    const uint32_t stride = win->stride_h;
    *from = kh < win->pad_top ? (win->pad_top - kh + stride - 1) / stride : 0;
    const uint32_t end = win->in_h + win->pad_top;
    *to = end > kh ? (end - kh + stride - 1) / stride : 0;
    *to = *to < win->out_h ? *to : win->out_h;
    *from = *from < *to ? *from : *to;
}

/* Taps kw .. kw + taps - 1 of every kernel row, channels as t says: one input channel. */
static void conv_dw_rows(const struct grad_tile *tile, const float *padded,
                         const struct kn_window *win, uint32_t kw, uint32_t taps)
{
    const size_t width = padded_width(win);
    struct grad_tile t = *tile;
    for (uint32_t kh = 0; kh < win->kernel_h; kh++) {
        uint32_t from;
        uint32_t to;
        rows_cut(win, kh, &from, &to);
        if (from < to) {
            const size_t row = from * win->stride_h + kh - win->pad_top;
            t.rows = to - from;
            t.x = padded + (row * width + kw) * KN_LANES;
            t.dy = tile->dy + from * t.dy_row;
            t.dw = tile->dw + kh * win->kernel_w + kw;
            grad_tile_run(&t, taps);
        }
    }
}

/* Adds one block's part; padded: the planes of all input channels. The derivatives of a tile's
 * channels stay in the second-level cache while the planes pass by. */
static void conv_dw_block(float *dw, const float *dy, const float *padded,
                          const struct kn_conv_shape *s)
{
    const struct kn_window *win = &s->win;
    const size_t plane = (size_t)win->in_h * padded_width(win) * KN_LANES;
    const size_t taps_all = (size_t)win->kernel_h * win->kernel_w;
    const size_t dy_channel = (size_t)win->out_h * win->out_w * KN_LANES;
    struct grad_tile t = {
        .columns = win->out_w,
        .dy_row = (size_t)win->out_w * KN_LANES,
        .x_row = (size_t)win->stride_h * padded_width(win) * KN_LANES,
        .x_pixel = (size_t)win->stride_w * KN_LANES,
        .dw_channel = s->in_c * taps_all,
    };
    for (uint32_t kw = 0; kw < win->kernel_w; kw += GRAD_TAPS) {
        const uint32_t left = win->kernel_w - kw;
        const uint32_t taps = left < GRAD_TAPS ? left : GRAD_TAPS;
        const uint32_t most = taps <= GRAD_TAPS_FEW ? GRAD_OUT_FEW : GRAD_OUT_MANY;
        for (uint32_t o = 0; o < s->out_c; o += most) {
            t.outs = s->out_c - o < most ? s->out_c - o : most;
            for (uint32_t k = 0; k < most; k++) {
                t.dy_at[k] = (k < t.outs ? k : t.outs - 1) * dy_channel;
            }
            t.dy = dy + o * dy_channel;
            for (uint32_t c = 0; c < s->in_c; c++) {
                t.dw = dw + o * t.dw_channel + c * taps_all;
                conv_dw_rows(&t, padded + c * plane, win, kw, taps);
            }
        }
    }
}

/* db[c] += sum over one block's pixels and lanes. */
static void channel_sums(float *db, const float *dy, uint32_t channels, size_t area)
{
    for (uint32_t c = 0; c < channels; c++) {
        const float *at = dy + c * area * KN_LANES;
        kn_vec sum[4] = {v_zero(), v_zero(), v_zero(), v_zero()};
        const size_t count = area * KN_VG;
        size_t i = 0;
        for (; i + 4 <= count; i += 4) {
            _Pragma("GCC unroll 4") for (size_t k = 0; k < 4; k++)
            {
                sum[k] += v_load(at + (i + k) * KN_VW);
            }
        }
        for (; i < count; i++) {
            sum[0] += v_load(at + i * KN_VW);
        }
        db[c] += v_sum((sum[0] + sum[1]) + (sum[2] + sum[3]));
    }
}

static size_t cpu_conv_scratch(const struct kn_conv_shape *s, uint32_t n)
{
    KN_CHECK(n >= 1);
    kn_window_check(&s->win);
    const uint32_t taps = s->win.kernel_h * s->win.kernel_w;
    const size_t forward = bias_floats(s->out_c) + packed_floats(s->out_c, s->in_c, taps);
    const size_t data = bias_floats(s->in_c) + packed_floats(s->in_c, s->out_c, taps);
    const size_t planes = (size_t)s->in_c * s->win.in_h * padded_width(&s->win) * KN_LANES;
    size_t most = forward > data ? forward : data;
    most = planes > most ? planes : most;
    return most * sizeof(float);
}

static void cpu_conv_grad(void *dx, void *dw, void *db, const void *dy, const void *x,
                          const void *w, const struct kn_conv_shape *s, uint32_t n, void *scratch)
{
    kn_window_check(&s->win);
    const struct kn_window *win = &s->win;
    const size_t in_plane = (size_t)win->in_h * win->in_w * KN_LANES;
    const size_t plane = (size_t)win->in_h * padded_width(win) * KN_LANES;
    const size_t out_size = (size_t)s->out_c * win->out_h * win->out_w * KN_LANES;
    memset(dw, 0, (size_t)s->out_c * s->in_c * win->kernel_h * win->kernel_w * sizeof(float));
    if (db != NULL) {
        memset(db, 0, s->out_c * sizeof(float));
    }
    for (size_t block = 0; block < blocks_of(n); block++) {
        const float *dy_block = (const float *)dy + block * out_size;
        for (uint32_t c = 0; c < s->in_c; c++) {
            plane_pad((float *)scratch + c * plane,
                      (const float *)x + (block * s->in_c + c) * in_plane, win);
        }
        for (int group = 0; group < KN_VG; group++) {
            conv_dw_block(dw, dy_block + group * KN_VW, (const float *)scratch + group * KN_VW, s);
        }
        if (db != NULL) {
            channel_sums(db, dy_block, s->out_c, (size_t)win->out_h * win->out_w);
        }
    }
    for (uint32_t i = 0; i < win->stride_h * win->stride_w && dx != NULL; i++) {
        const uint32_t at[2] = {i / win->stride_w, i % win->stride_w};
        if (at[0] < win->in_h && at[1] < win->in_w) {
            conv_dx_class(dx, dy, w, s, n, at, scratch);
        }
    }
}
