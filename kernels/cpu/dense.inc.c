/* SPDX-License-Identifier: Apache-2.0
 *
 * Dense layers. A microbatch of one block is a product with only 16 columns, which OpenBLAS packs
 * longer than it multiplies: those run here, straight from the row-major weights. Larger batches
 * are laid out as [value][sample] and go to OpenBLAS. */

#define DENSE_ROWS  8 /* outputs of a forward tile */
#define DENSE_PHASE 2 /* inputs k, k + 1 have sums of their own: enough chains to hide latency */
#if defined(__AVX512F__)
#    define DENSE_COLUMNS 24 /* inputs of a tile of the derivative */
#    define DENSE_GRAD_W  6  /* vectors of inputs in a tile of the weights' gradient */
#else
#    define DENSE_COLUMNS 12
#    define DENSE_GRAD_W  3
#endif
#define DENSE_GRAD_OUT 4

/* y[o] for 8 consecutive outputs: w points at the first row. */
static void dense_tile(float *y, const float *x, const float *w, const float *bias, size_t in)
{
    kn_vec sum[DENSE_ROWS][DENSE_PHASE];
    _Pragma("GCC unroll 8") for (int r = 0; r < DENSE_ROWS; r++)
    {
        sum[r][0] = v_all(bias[r]);
        sum[r][1] = v_zero();
    }
    size_t k = 0;
    for (; k + DENSE_PHASE <= in; k += DENSE_PHASE) {
        const kn_vec a = v_load(x + k * KN_LANES);
        const kn_vec b = v_load(x + (k + 1) * KN_LANES);
        _Pragma("GCC unroll 8") for (int r = 0; r < DENSE_ROWS; r++)
        {
            sum[r][0] = v_fma(v_all(w[(size_t)r * in + k]), a, sum[r][0]);
            sum[r][1] = v_fma(v_all(w[(size_t)r * in + k + 1]), b, sum[r][1]);
        }
    }
    if (k < in) {
        const kn_vec a = v_load(x + k * KN_LANES);
        _Pragma("GCC unroll 8") for (int r = 0; r < DENSE_ROWS; r++)
        {
            sum[r][0] = v_fma(v_all(w[(size_t)r * in + k]), a, sum[r][0]);
        }
    }
    _Pragma("GCC unroll 8") for (int r = 0; r < DENSE_ROWS; r++)
    {
        v_store(y + r * KN_LANES, sum[r][0] + sum[r][1]);
    }
}

/* The same sums for one output, for what is left over after tiles of 8. */
static void dense_row(float *y, const float *x, const float *w, float bias, size_t in)
{
    kn_vec sum[DENSE_PHASE] = {v_all(bias), v_zero()};
    for (size_t k = 0; k < in; k++) {
        sum[k % DENSE_PHASE] = v_fma(v_all(w[k]), v_load(x + k * KN_LANES), sum[k % DENSE_PHASE]);
    }
    v_store(y, sum[0] + sum[1]);
}

static void dense_block(float *y, const float *x, const float *w, const float *b, uint32_t in,
                        uint32_t out)
{
    const float none[DENSE_ROWS] = {0.0f};
    for (int group = 0; group < KN_VG; group++) {
        const float *xg = x + group * KN_VW;
        float *yg = y + group * KN_VW;
        uint32_t o = 0;
        for (; o + DENSE_ROWS <= out; o += DENSE_ROWS) {
            dense_tile(yg + (size_t)o * KN_LANES, xg, w + (size_t)o * in, b != NULL ? b + o : none,
                       in);
        }
        for (; o < out; o++) {
            dense_row(yg + (size_t)o * KN_LANES, xg, w + (size_t)o * in, b != NULL ? b[o] : 0.0f,
                      in);
        }
    }
}

/* dx[i] for DENSE_COLUMNS consecutive inputs: w and dx point at the first. */
static void dense_dx_tile(float *dx, const float *dy, const float *w, size_t in, size_t out)
{
    kn_vec sum[DENSE_COLUMNS];
    _Pragma("GCC unroll 32") for (int i = 0; i < DENSE_COLUMNS; i++)
    {
        sum[i] = v_zero();
    }
    for (size_t o = 0; o < out; o++) {
        const kn_vec g = v_load(dy + o * KN_LANES);
        const float *row = w + o * in;
        _Pragma("GCC unroll 32") for (int i = 0; i < DENSE_COLUMNS; i++)
        {
            sum[i] = v_fma(v_all(row[i]), g, sum[i]);
        }
    }
    _Pragma("GCC unroll 32") for (int i = 0; i < DENSE_COLUMNS; i++)
    {
        v_store(dx + i * KN_LANES, sum[i]);
    }
}

static void dense_dx_one(float *dx, const float *dy, const float *w, size_t in, size_t out)
{
    kn_vec sum = v_zero();
    for (size_t o = 0; o < out; o++) {
        sum = v_fma(v_all(w[o * in]), v_load(dy + o * KN_LANES), sum);
    }
    v_store(dx, sum);
}

static void dense_dx_block(float *dx, const float *dy, const float *w, uint32_t in, uint32_t out)
{
    for (int group = 0; group < KN_VG; group++) {
        const float *dyg = dy + group * KN_VW;
        float *dxg = dx + group * KN_VW;
        uint32_t i = 0;
        for (; i + DENSE_COLUMNS <= in; i += DENSE_COLUMNS) {
            dense_dx_tile(dxg + (size_t)i * KN_LANES, dyg, w + i, in, out);
        }
        for (; i < in; i++) {
            dense_dx_one(dxg + (size_t)i * KN_LANES, dyg, w + i, in, out);
        }
    }
}

/* turned[lane][i], rows of `width` floats, from x[i][lane]; the tail of a row is zero. */
static void lanes_turn(float *turned, const float *x, uint32_t count, size_t width)
{
    for (size_t l = 0; l < KN_LANES; l++) {
        for (size_t i = count; i < width; i++) {
            turned[l * width + i] = 0.0f;
        }
    }
    for (size_t i = 0; i < count; i++) {
        for (size_t l = 0; l < KN_LANES; l++) {
            turned[l * width + i] = x[i * KN_LANES + l];
        }
    }
}

#define DENSE_GRAD_DEFINE(NAME, OUT, WIDTH)                                                        \
    static void NAME(float *dw, const float *dy, const float *turned, size_t width, size_t in)     \
    {                                                                                              \
        kn_vec sum[OUT][WIDTH];                                                                    \
        _Pragma("GCC unroll 8") for (int o = 0; o < OUT; o++)                                      \
        {                                                                                          \
            _Pragma("GCC unroll 8") for (int v = 0; v < WIDTH; v++)                                \
            {                                                                                      \
                sum[o][v] = v_zero();                                                              \
            }                                                                                      \
        }                                                                                          \
        for (size_t l = 0; l < KN_LANES; l++) {                                                    \
            kn_vec xs[WIDTH];                                                                      \
            _Pragma("GCC unroll 8") for (int v = 0; v < WIDTH; v++)                                \
            {                                                                                      \
                xs[v] = v_load(turned + l * width + (size_t)v * KN_VW);                            \
            }                                                                                      \
            _Pragma("GCC unroll 8") for (int o = 0; o < OUT; o++)                                  \
            {                                                                                      \
                const kn_vec g = v_all(dy[(size_t)o * KN_LANES + l]);                              \
                _Pragma("GCC unroll 8") for (int v = 0; v < WIDTH; v++)                            \
                {                                                                                  \
                    sum[o][v] = v_fma(g, xs[v], sum[o][v]);                                        \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
        _Pragma("GCC unroll 8") for (int o = 0; o < OUT; o++)                                      \
        {                                                                                          \
            _Pragma("GCC unroll 8") for (int v = 0; v < WIDTH; v++)                                \
            {                                                                                      \
                v_store_any(dw + (size_t)o * in + (size_t)v * KN_VW, sum[o][v]);                   \
            }                                                                                      \
        }                                                                                          \
    }

DENSE_GRAD_DEFINE(dense_dw_wide, DENSE_GRAD_OUT, DENSE_GRAD_W)
DENSE_GRAD_DEFINE(dense_dw_wide_one, 1, DENSE_GRAD_W)
DENSE_GRAD_DEFINE(dense_dw_narrow, DENSE_ROWS, 1)
DENSE_GRAD_DEFINE(dense_dw_narrow_one, 1, 1)

#define DENSE_GRAD_SPAN (DENSE_GRAD_W * KN_VW)

static size_t dense_turned_width(uint32_t in)
{
    return ((size_t)in + KN_LANES - 1) / KN_LANES * KN_LANES;
}

/* One vector of inputs, all outputs; a vector that overhangs the row is computed beside it. */
static void dense_dw_column(float *dw, const float *dy, const float *turned, size_t width,
                            size_t in, uint32_t out, size_t valid)
{
    uint32_t o = 0;
    for (; valid == KN_VW && o + DENSE_ROWS <= out; o += DENSE_ROWS) {
        dense_dw_narrow(dw + o * in, dy + (size_t)o * KN_LANES, turned, width, in);
    }
    for (; o < out; o++) {
        _Alignas(KN_ALIGN) float edge[KN_VW];
        dense_dw_narrow_one(edge, dy + (size_t)o * KN_LANES, turned, width, KN_VW);
        memcpy(dw + o * in, edge, valid * sizeof(float));
    }
}

static void dense_dw_block(float *dw, const float *dy, const float *turned, uint32_t in,
                           uint32_t out)
{
    const size_t width = dense_turned_width(in);
    size_t i = 0;
    for (; i + DENSE_GRAD_SPAN <= in; i += DENSE_GRAD_SPAN) {
        uint32_t o = 0;
        for (; o + DENSE_GRAD_OUT <= out; o += DENSE_GRAD_OUT) {
            dense_dw_wide(dw + (size_t)o * in + i, dy + (size_t)o * KN_LANES, turned + i, width,
                          in);
        }
        for (; o < out; o++) {
            dense_dw_wide_one(dw + (size_t)o * in + i, dy + (size_t)o * KN_LANES, turned + i, width,
                              in);
        }
    }
    for (; i < in; i += KN_VW) {
        dense_dw_column(dw + i, dy, turned + i, width, in, out, in - i < KN_VW ? in - i : KN_VW);
    }
}

/* [value][sample] of all blocks, from blocks of lanes; and back. */
static void blocks_join(float *joined, const float *x, size_t blocks, size_t count)
{
    for (size_t b = 0; b < blocks; b++) {
        for (size_t e = 0; e < count; e++) {
            memcpy(joined + (e * blocks + b) * KN_LANES, x + (b * count + e) * KN_LANES,
                   KN_LANES * sizeof(float));
        }
    }
}

static void blocks_split(float *x, const float *joined, size_t blocks, size_t count)
{
    for (size_t b = 0; b < blocks; b++) {
        for (size_t e = 0; e < count; e++) {
            memcpy(x + (b * count + e) * KN_LANES, joined + (e * blocks + b) * KN_LANES,
                   KN_LANES * sizeof(float));
        }
    }
}

static size_t cpu_dense_scratch(uint32_t n, uint32_t in, uint32_t out)
{
    KN_CHECK(n >= 1 && in >= 1 && out >= 1);
    const size_t turned = KN_LANES * dense_turned_width(in);
    const size_t joined = blocks_of(n) * KN_LANES * 2 * ((size_t)in + out);
    return (turned > joined ? turned : joined) * sizeof(float);
}

static void cpu_dense(void *y, const void *x, const void *w, const void *b, uint32_t n, uint32_t in,
                      uint32_t out, void *scratch)
{
    const size_t blocks = blocks_of(n);
    if (blocks == 1) {
        dense_block(y, x, w, b, in, out);
        return;
    }
    const size_t lanes = blocks * KN_LANES;
    float *joined_x = scratch;
    float *joined_y = joined_x + in * lanes;
    blocks_join(joined_x, x, blocks, in);
    kn_blas_product(joined_y, w, false, joined_x, false, out, (uint32_t)lanes, in);
    for (size_t o = 0; o < out && b != NULL; o++) {
        for (size_t l = 0; l < lanes; l++) {
            joined_y[o * lanes + l] += ((const float *)b)[o];
        }
    }
    blocks_split(y, joined_y, blocks, out);
}

static void cpu_dense_grad(void *dx, void *dw, void *db, const void *dy, const void *x,
                           const void *w, uint32_t n, uint32_t in, uint32_t out, void *scratch)
{
    const size_t blocks = blocks_of(n);
    if (db != NULL) {
        memset(db, 0, out * sizeof(float));
        for (size_t b = 0; b < blocks; b++) {
            channel_sums(db, (const float *)dy + b * out * KN_LANES, out, 1);
        }
    }
    if (blocks == 1) {
        lanes_turn(scratch, x, in, dense_turned_width(in));
        dense_dw_block(dw, dy, scratch, in, out);
        if (dx != NULL) {
            dense_dx_block(dx, dy, w, in, out);
        }
        return;
    }
    const size_t lanes = blocks * KN_LANES;
    float *joined_x = scratch;
    float *joined_dy = joined_x + in * lanes;
    float *joined_dx = joined_dy + out * lanes;
    blocks_join(joined_x, x, blocks, in);
    blocks_join(joined_dy, dy, blocks, out);
    kn_blas_product(dw, joined_dy, false, joined_x, true, out, in, (uint32_t)lanes);
    if (dx != NULL) {
        kn_blas_product(joined_dx, w, true, joined_dy, false, in, (uint32_t)lanes, out);
        blocks_split(dx, joined_dx, blocks, in);
    }
}
