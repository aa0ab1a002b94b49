/* SPDX-License-Identifier: Apache-2.0
 *
 * Batch normalisation and dropout. Sums run over lanes in vectors, over pixels and blocks in four
 * interleaved chains, and end in double. */

#define SUM_CHAINS 4

struct bn_view {
    const float *x;
    size_t block; /* floats from block to block */
    size_t area;
    size_t blocks;
    uint32_t n;
};

static struct bn_view bn_channel(const void *x, const struct kn_bn_shape *s, uint32_t n, uint32_t c)
{
    return (struct bn_view){.x = (const float *)x + (size_t)c * s->area * KN_LANES,
                            .block = (size_t)s->channels * s->area * KN_LANES,
                            .area = s->area,
                            .blocks = blocks_of(n),
                            .n = n};
}

/* a (what = 0), (a - mean)^2 (1), or b * (a - mean) (2). */
KN_INLINE kn_vec bn_term(const float *a, const float *b, kn_vec mean, int what)
{
    const kn_vec v = v_load(a);
    if (what == 0) {
        return v;
    }
    return what == 1 ? (v - mean) * (v - mean) : (v - mean) * v_load(b);
}

/* Sum of that over samples and pixels. */
KN_INLINE double bn_sum(const struct bn_view *a, const struct bn_view *b, float shift, int what)
{
    double total = 0.0;
    const kn_vec mean = v_all(shift);
    for (size_t block = 0; block < a->blocks; block++) {
        for (int group = 0; group < KN_VG; group++) {
            const float *at = a->x + block * a->block + group * KN_VW;
            const float *with = b->x + block * b->block + group * KN_VW;
            kn_vec sum[SUM_CHAINS] = {v_zero(), v_zero(), v_zero(), v_zero()};
            size_t i = 0;
            for (; i + SUM_CHAINS <= a->area; i += SUM_CHAINS) {
                _Pragma("GCC unroll 4") for (size_t k = 0; k < SUM_CHAINS; k++)
                {
                    const size_t place = (i + k) * KN_LANES;
                    sum[k] += bn_term(at + place, with + place, mean, what);
                }
            }
            for (; i < a->area; i++) {
                sum[0] += bn_term(at + i * KN_LANES, with + i * KN_LANES, mean, what);
            }
            const kn_vec all = (sum[0] + sum[1]) + (sum[2] + sum[3]);
            total += (double)v_sum(all * v_valid(a->n, block, group));
        }
    }
    return total;
}

static double bn_total(const struct bn_view *a)
{
    return bn_sum(a, a, 0.0f, 0);
}

static double bn_spread(const struct bn_view *a, float mean)
{
    return bn_sum(a, a, mean, 1);
}

static double bn_dot(const struct bn_view *x, const struct bn_view *dy, float mean)
{
    return bn_sum(x, dy, mean, 2);
}

/* y = x * scale + shift over one channel. */
static void bn_affine(float *y, const struct bn_view *x, float scale, float shift)
{
    const kn_vec a = v_all(scale);
    const kn_vec b = v_all(shift);
    for (size_t block = 0; block < x->blocks; block++) {
        const float *from = x->x + block * x->block;
        float *to = y + block * x->block;
        for (size_t i = 0; i < x->area * KN_VG; i++) {
            v_store(to + i * KN_VW, v_load(from + i * KN_VW) * a + b);
        }
    }
}

static void cpu_bn(void *y, void *stats, void *saved, const void *x, const void *gamma,
                   const void *beta, const struct kn_bn_shape *s, uint32_t n)
{
    const double values = (double)n * (double)s->area;
    for (uint32_t c = 0; c < s->channels; c++) {
        const struct bn_view view = bn_channel(x, s, n, c);
        const float mean = (float)(bn_total(&view) / values);
        const double var = bn_spread(&view, mean) / values;
        const float scale = (float)(1.0 / sqrt(var + s->eps));
        const float slope = ((const float *)gamma)[c] * scale;
        ((float *)stats)[c] = mean;
        ((float *)stats)[s->channels + c] = (float)(var + (double)mean * (double)mean);
        ((float *)saved)[c] = mean;
        ((float *)saved)[s->channels + c] = scale;
        bn_affine((float *)y + (size_t)c * s->area * KN_LANES, &view, slope,
                  ((const float *)beta)[c] - mean * slope);
    }
}

static void cpu_bn_eval(void *y, const void *x, const void *gamma, const void *beta,
                        const void *mean, const void *var, const struct kn_bn_shape *s, uint32_t n)
{
    for (uint32_t c = 0; c < s->channels; c++) {
        const struct bn_view view = bn_channel(x, s, n, c);
        const float scale = (float)(1.0 / sqrt((double)((const float *)var)[c] + s->eps));
        const float slope = ((const float *)gamma)[c] * scale;
        bn_affine((float *)y + (size_t)c * s->area * KN_LANES, &view, slope,
                  ((const float *)beta)[c] - ((const float *)mean)[c] * slope);
    }
}

static void cpu_bn_grad(void *dx, void *dgamma, void *dbeta, const void *dy, const void *x,
                        const void *gamma, const void *saved, const struct kn_bn_shape *s,
                        uint32_t n)
{
    const double values = (double)n * (double)s->area;
    for (uint32_t c = 0; c < s->channels; c++) {
        const struct bn_view in = bn_channel(x, s, n, c);
        const struct bn_view grad = bn_channel(dy, s, n, c);
        const float mean = ((const float *)saved)[c];
        const float scale = ((const float *)saved)[s->channels + c];
        const double sum = bn_total(&grad);
        const double dot = bn_dot(&in, &grad, mean) * (double)scale;
        ((float *)dgamma)[c] = (float)dot;
        ((float *)dbeta)[c] = (float)sum;
        const kn_vec slope = v_all(((const float *)gamma)[c] * scale);
        const kn_vec offset = v_all((float)(sum / values));
        const kn_vec along = v_all((float)(dot * (double)scale / values));
        float *out = (float *)dx + (size_t)c * s->area * KN_LANES;
        for (size_t block = 0; block < in.blocks; block++) {
            for (int group = 0; group < KN_VG; group++) {
                const size_t at = block * in.block + (size_t)(group * KN_VW);
                const kn_vec valid = v_valid(n, block, group) * slope;
                for (size_t i = 0; i < in.area; i++) {
                    const kn_vec off = v_load(in.x + at + i * KN_LANES) - v_all(mean);
                    const kn_vec g = v_load(grad.x + at + i * KN_LANES) - offset - off * along;
                    v_store(out + at + i * KN_LANES, g * valid);
                }
            }
        }
    }
}

/* kn_stream_block for 16 samples at once. */
static void dropout_draw(uint32_t out[4][KN_LANES], struct kn_stream s, uint64_t sample0,
                         uint32_t block)
{
    uint32_t c0[KN_LANES];
    uint32_t c1[KN_LANES];
    uint32_t c2[KN_LANES];
    uint32_t c3[KN_LANES];
    uint32_t k0 = s.key[0];
    uint32_t k1 = s.key[1];
    for (uint32_t l = 0; l < KN_LANES; l++) {
        c0[l] = block;
        c1[l] = (uint32_t)(sample0 + l);
        c2[l] = (uint32_t)((sample0 + l) >> 32);
        c3[l] = 0;
    }
    for (int round = 0; round < 10; round++) {
        for (uint32_t l = 0; l < KN_LANES; l++) {
            const uint64_t p0 = (uint64_t)0xD2511F53u * c0[l];
            const uint64_t p1 = (uint64_t)0xCD9E8D57u * c2[l];
            c0[l] = (uint32_t)(p1 >> 32) ^ c1[l] ^ k0;
            c1[l] = (uint32_t)p1;
            c2[l] = (uint32_t)(p0 >> 32) ^ c3[l] ^ k1;
            c3[l] = (uint32_t)p0;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    memcpy(out[0], c0, sizeof c0);
    memcpy(out[1], c1, sizeof c1);
    memcpy(out[2], c2, sizeof c2);
    memcpy(out[3], c3, sizeof c3);
}

static void cpu_dropout(void *y, uint8_t *keep, const void *x, double rate,
                        const struct kn_dropout_key *key, uint32_t n, size_t count)
{
    const struct kn_stream stream = kn_stream_make(key->seed, key->step, key->rank, key->node);
    const float scale = (float)(1.0 / (1.0 - rate));
    /* kn_unit_float(word) >= rate, as integers: word >> 8 >= rate * 2^24, rounded up. */
    const float bound = (float)rate * 0x1p24f;
    const uint32_t floor = (uint32_t)bound;
    const uint32_t least = (float)floor < bound ? floor + 1 : floor;
    for (size_t block = 0; block < blocks_of(n); block++) {
        for (size_t e = 0; e < count; e += 4) {
            uint32_t words[4][KN_LANES];
            dropout_draw(words, stream, block * KN_LANES, (uint32_t)(e / 4));
            const size_t last = count - e < 4 ? count - e : 4;
            for (size_t k = 0; k < last; k++) {
                const size_t at = (block * count + e + k) * KN_LANES;
                for (size_t l = 0; l < KN_LANES; l++) {
                    const uint8_t kept = (words[k][l] >> 8) >= least ? 1 : 0;
                    const float value = ((const float *)x)[at + l] * scale;
                    keep[at + l] = kept;
                    ((float *)y)[at + l] = kept != 0 ? value : 0.0f;
                }
            }
        }
    }
}

static void cpu_dropout_grad(void *dx, const void *dy, const uint8_t *keep, double rate, uint32_t n,
                             size_t count)
{
    const float scale = (float)(1.0 / (1.0 - rate));
    const size_t all = blocks_of(n) * count * KN_LANES;
    for (size_t i = 0; i < all; i++) {
        const float g = ((const float *)dy)[i] * scale;
        ((float *)dx)[i] = keep[i] != 0 ? g : 0.0f;
    }
}
