/* SPDX-License-Identifier: Apache-2.0
 *
 * Layer normalisation, embedding, and one shift for all samples. A row lies in one lane, so that
 * its sums are chains of its own: four interleaved ones, ended by one tree. */

#define ROW_CHAINS 4

KN_INLINE kn_vec row_term(const float *a, kn_vec mean, bool square)
{
    const kn_vec v = v_load(a) - mean;
    if (square) {
        return v * v;
    }
    return v;
}

/* In each lane the sum of a - mean, or of its squares, over width values. */
KN_INLINE kn_vec row_sum(const float *a, kn_vec mean, uint32_t width, bool square)
{
    kn_vec sum[ROW_CHAINS] = {v_zero(), v_zero(), v_zero(), v_zero()};
    size_t c = 0;
    for (; c + ROW_CHAINS <= width; c += ROW_CHAINS) {
        _Pragma("GCC unroll 4") for (size_t k = 0; k < ROW_CHAINS; k++)
        {
            sum[k] += row_term(a + (c + k) * KN_LANES, mean, square);
        }
    }
    for (; c < width; c++) {
        sum[0] += row_term(a + c * KN_LANES, mean, square);
    }
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

KN_INLINE kn_vec row_scale(kn_vec var, float eps)
{
    float lane[KN_VW];
    memcpy(lane, &var, sizeof lane);
    for (int l = 0; l < KN_VW; l++) {
        lane[l] = 1.0f / sqrtf(lane[l] + eps);
    }
    kn_vec scale;
    memcpy(&scale, lane, sizeof scale);
    return scale;
}

static void cpu_layernorm(void *y, void *saved, const void *x, const void *gamma, const void *beta,
                          double eps, uint32_t rows, uint32_t width)
{
    const kn_vec part = v_all(1.0f / (float)width);
    for (size_t block = 0; block < blocks_of(rows); block++) {
        for (int group = 0; group < KN_VG; group++) {
            const size_t at = block * width * KN_LANES + (size_t)(group * KN_VW);
            const float *in = (const float *)x + at;
            float *out = (float *)y + at;
            const kn_vec mean = row_sum(in, v_zero(), width, false) * part;
            const kn_vec scale = row_scale(row_sum(in, mean, width, true) * part, (float)eps);
            for (size_t c = 0; c < width; c++) {
                const kn_vec normal = (v_load(in + c * KN_LANES) - mean) * scale;
                v_store(out + c * KN_LANES, normal * v_all(((const float *)gamma)[c]) +
                                                v_all(((const float *)beta)[c]));
            }
            if (saved != NULL) {
                float *to = (float *)saved + block * KN_LANES + (size_t)(group * KN_VW);
                memcpy(to, &mean, sizeof mean);
                memcpy(to + blocks_of(rows) * KN_LANES, &scale, sizeof scale);
            }
        }
    }
}

/* The sums of dgamma and dbeta, lanes apart. */
static size_t cpu_layernorm_scratch(uint32_t rows, uint32_t width)
{
    KN_CHECK(rows >= 1 && width >= 1);
    return 2 * (size_t)width * KN_LANES * sizeof(float);
}

/* One vector of rows: writes dx, adds to the sums. */
static void layernorm_rows(float *dx, float *sums, const float *dy, const float *x,
                           const float *gamma, const float *saved, size_t saved_step,
                           uint32_t width)
{
    const kn_vec part = v_all(1.0f / (float)width);
    const kn_vec mean = v_load_any(saved);
    const kn_vec scale = v_load_any(saved + saved_step);
    kn_vec sum = v_zero();
    kn_vec dot = v_zero();
    for (size_t c = 0; c < width; c++) {
        const kn_vec grad = v_load(dy + c * KN_LANES);
        const kn_vec normal = (v_load(x + c * KN_LANES) - mean) * scale;
        const kn_vec g = grad * v_all(gamma[c]);
        float *total = sums + 2 * c * KN_LANES;
        sum += g;
        dot += g * normal;
        v_store(total, v_load(total) + grad * normal);
        v_store(total + KN_LANES, v_load(total + KN_LANES) + grad);
    }
    const kn_vec even = sum * part;
    const kn_vec along = dot * part;
    for (size_t c = 0; c < width; c++) {
        const kn_vec normal = (v_load(x + c * KN_LANES) - mean) * scale;
        const kn_vec g = v_load(dy + c * KN_LANES) * v_all(gamma[c]);
        v_store(dx + c * KN_LANES, scale * (g - even - normal * along));
    }
}

static void cpu_layernorm_grad(void *dx, void *dgamma, void *dbeta, const void *dy, const void *x,
                               const void *gamma, const void *saved, uint32_t rows, uint32_t width,
                               void *scratch)
{
    float *sums = scratch;
    memset(sums, 0, 2 * (size_t)width * KN_LANES * sizeof *sums);
    for (size_t block = 0; block < blocks_of(rows); block++) {
        for (size_t lane = 0; lane < KN_LANES; lane += KN_VW) {
            const size_t at = block * width * KN_LANES + lane;
            layernorm_rows(
                (float *)dx + at, sums + lane, (const float *)dy + at, (const float *)x + at, gamma,
                (const float *)saved + block * KN_LANES + lane, blocks_of(rows) * KN_LANES, width);
        }
    }
    memset(dgamma, 0, width * sizeof(float));
    memset(dbeta, 0, width * sizeof(float));
    for (size_t c = 0; c < width; c++) {
        channel_sums((float *)dgamma + c, sums + 2 * c * KN_LANES, 1, 1);
        channel_sums((float *)dbeta + c, sums + (2 * c + 1) * KN_LANES, 1, 1);
    }
}

/* Rows of w for 16 lanes at one place. */
static void embed_rows(size_t row[KN_LANES], const float *x, const struct kn_embed_shape *s)
{
    for (size_t l = 0; l < KN_LANES; l++) {
        KN_CHECK(x[l] >= 0.0f && x[l] < (float)s->vocab);
        row[l] = (size_t)x[l] * s->width;
    }
}

static void cpu_embed(void *y, const void *x, const void *w, const struct kn_embed_shape *s,
                      uint32_t n)
{
    for (size_t i = 0; i < blocks_of(n) * s->places; i++) {
        size_t row[KN_LANES];
        float *to = (float *)y + i * s->width * KN_LANES;
        embed_rows(row, (const float *)x + i * KN_LANES, s);
        for (size_t c = 0; c < s->width; c++) {
            for (size_t l = 0; l < KN_LANES; l++) {
                to[c * KN_LANES + l] = ((const float *)w)[row[l] + c];
            }
        }
    }
}

/* Lanes of padding add zeros, to row 0. */
static void cpu_embed_grad(void *dw, const void *dy, const void *x, const struct kn_embed_shape *s,
                           uint32_t n)
{
    memset(dw, 0, (size_t)s->vocab * s->width * sizeof(float));
    for (size_t i = 0; i < blocks_of(n) * s->places; i++) {
        size_t row[KN_LANES];
        const float *from = (const float *)dy + i * s->width * KN_LANES;
        embed_rows(row, (const float *)x + i * KN_LANES, s);
        for (size_t l = 0; l < KN_LANES; l++) {
            float *to = (float *)dw + row[l];
            for (size_t c = 0; c < s->width; c++) {
                to[c] += from[c * KN_LANES + l];
            }
        }
    }
}

static void cpu_shift(void *y, const void *x, const void *b, uint32_t n, size_t count)
{
    for (size_t block = 0; block < blocks_of(n); block++) {
        for (size_t e = 0; e < count; e++) {
            const size_t at = (block * count + e) * KN_LANES;
            const kn_vec by = v_all(((const float *)b)[e]);
            for (size_t l = 0; l < KN_LANES; l += KN_VW) {
                v_store((float *)y + at + l, v_load((const float *)x + at + l) + by);
            }
        }
    }
}

static void cpu_shift_grad(void *db, const void *dy, uint32_t n, size_t count)
{
    memset(db, 0, count * sizeof(float));
    for (size_t block = 0; block < blocks_of(n); block++) {
        for (size_t e = 0; e < count; e++) {
            channel_sums((float *)db + e, (const float *)dy + (block * count + e) * KN_LANES, 1, 1);
        }
    }
}
