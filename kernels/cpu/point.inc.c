/* SPDX-License-Identifier: Apache-2.0
 *
 * Element-wise operations, losses, and the way in and out of the layout. */

static void cpu_load(void *y, const float *x, uint32_t n, size_t count)
{
    float *out = y;
    for (size_t block = 0; block < blocks_of(n); block++) {
        const size_t first = block * KN_LANES;
        const size_t lanes = n - first < KN_LANES ? n - first : KN_LANES;
        float *to = out + block * count * KN_LANES;
        if (lanes < KN_LANES) {
            memset(to, 0, count * KN_LANES * sizeof(float));
        }
        for (size_t e = 0; e < count; e++) {
            for (size_t l = 0; l < lanes; l++) {
                to[e * KN_LANES + l] = x[(first + l) * count + e];
            }
        }
    }
}

static void cpu_store(float *y, const void *x, uint32_t n, size_t count)
{
    const float *in = x;
    for (size_t i = 0; i < n; i++) {
        const float *from = in + i / KN_LANES * count * KN_LANES + i % KN_LANES;
        for (size_t e = 0; e < count; e++) {
            y[i * count + e] = from[e * KN_LANES];
        }
    }
}

static size_t all_of(uint32_t n, size_t count)
{
    return blocks_of(n) * count * KN_LANES;
}

static void cpu_relu(void *y, const void *x, uint32_t n, size_t count)
{
    const size_t all = all_of(n, count);
    for (size_t i = 0; i < all; i += KN_VW) {
        const kn_vec v = v_load((const float *)x + i);
        v_store((float *)y + i, v_select(v < v_zero(), v_zero(), v));
    }
}

static void cpu_relu_grad(void *dx, const void *dy, const void *y, uint32_t n, size_t count)
{
    const size_t all = all_of(n, count);
    for (size_t i = 0; i < all; i += KN_VW) {
        const kn_vec g = v_load((const float *)dy + i);
        const kn_vec v = v_load((const float *)y + i);
        v_store((float *)dx + i, v_select(v > v_zero(), g, v_zero()));
    }
}

static void cpu_gelu(void *y, const void *x, uint32_t n, size_t count)
{
    const size_t all = all_of(n, count);
    for (size_t i = 0; i < all; i++) {
        const float v = ((const float *)x)[i];
        ((float *)y)[i] = v * 0.5f * (1.0f + kn_erf(v * 0x1.6a09e6p-1f));
    }
}

static void cpu_gelu_grad(void *dx, const void *dy, const void *x, uint32_t n, size_t count)
{
    const size_t all = all_of(n, count);
    for (size_t i = 0; i < all; i++) {
        const float v = ((const float *)x)[i];
        const float phi = 0x1.988454p-2f * kn_exp(-0.5f * v * v);
        const float slope = 0.5f * (1.0f + kn_erf(v * 0x1.6a09e6p-1f)) + v * phi;
        ((float *)dx)[i] = ((const float *)dy)[i] * slope;
    }
}

static void cpu_add(void *y, const void *a, const void *b, uint32_t n, size_t count)
{
    const size_t all = all_of(n, count);
    for (size_t i = 0; i < all; i += KN_VW) {
        v_store((float *)y + i, v_load((const float *)a + i) + v_load((const float *)b + i));
    }
}

static size_t cpu_loss_scratch(uint32_t n, uint32_t count)
{
    KN_CHECK(n >= 1 && count >= 1);
    return 0;
}

/* Per lane: first largest of the classes, its number, and the sum of e^(x - largest). */
struct lane_softmax {
    float largest[KN_LANES];
    float sum[KN_LANES];
    uint32_t best[KN_LANES];
};

static void softmax_lanes(struct lane_softmax *s, const float *x, uint32_t classes)
{
    for (size_t l = 0; l < KN_LANES; l++) {
        s->largest[l] = x[l];
        s->best[l] = 0;
        s->sum[l] = 0.0f;
    }
    for (uint32_t c = 1; c < classes; c++) {
        for (size_t l = 0; l < KN_LANES; l++) {
            const float v = x[c * KN_LANES + l];
            s->best[l] = v > s->largest[l] ? c : s->best[l];
            s->largest[l] = v > s->largest[l] ? v : s->largest[l];
        }
    }
    for (uint32_t c = 0; c < classes; c++) {
        for (size_t l = 0; l < KN_LANES; l++) {
            s->sum[l] += kn_exp(x[c * KN_LANES + l] - s->largest[l]);
        }
    }
}

/* One block at one place: labels of its lanes lie `places` apart. */
static void xent_block(struct kn_loss_sum *sum, float *dx, const float *x, const int32_t *labels,
                       size_t lanes, uint32_t places, uint32_t classes)
{
    struct lane_softmax s;
    softmax_lanes(&s, x, classes);
    for (size_t l = 0; l < lanes; l++) {
        const int32_t label = labels[l * places];
        KN_CHECK(label >= 0);
        KN_CHECK((uint32_t)label < classes);
        const float at = x[(size_t)label * KN_LANES + l];
        sum->loss += (double)(kn_log(s.sum[l]) - (at - s.largest[l])) / places;
        sum->correct += s.best[l] == (uint32_t)label ? 1 : 0;
    }
    if (dx == NULL) {
        return;
    }
    const float part = 1.0f / (float)places;
    for (size_t c = 0; c < classes; c++) {
        for (size_t l = 0; l < KN_LANES; l++) {
            const float p = kn_exp(x[c * KN_LANES + l] - s.largest[l]) / s.sum[l];
            dx[c * KN_LANES + l] = l < lanes ? p * part : 0.0f;
        }
    }
    for (size_t l = 0; l < lanes; l++) {
        dx[(size_t)labels[l * places] * KN_LANES + l] -= part;
    }
}

static void cpu_cross_entropy(struct kn_loss_sum *sum, void *dx, const void *x,
                              const int32_t *labels, uint32_t n, uint32_t places, uint32_t classes,
                              void *scratch)
{
    (void)scratch;
    *sum = (struct kn_loss_sum){.loss = 0.0, .correct = 0};
    for (size_t first = 0; first < n; first += KN_LANES) {
        const size_t lanes = n - first < KN_LANES ? n - first : KN_LANES;
        for (uint32_t place = 0; place < places; place++) {
            const size_t at = (first * places + (size_t)place * KN_LANES) * classes;
            xent_block(sum, dx != NULL ? (float *)dx + at : NULL, (const float *)x + at,
                       labels + first * places + place, lanes, places, classes);
        }
    }
}

static void cpu_mse(struct kn_loss_sum *sum, void *dx, const void *x, const float *targets,
                    uint32_t n, uint32_t count, void *scratch)
{
    (void)scratch;
    *sum = (struct kn_loss_sum){.loss = 0.0, .correct = 0};
    const float scale = 2.0f / (float)count;
    if (dx != NULL && n % KN_LANES != 0) {
        float *last = (float *)dx + (blocks_of(n) - 1) * count * KN_LANES;
        memset(last, 0, (size_t)count * KN_LANES * sizeof(float));
    }
    for (size_t i = 0; i < n; i++) {
        const size_t at = i / KN_LANES * count * KN_LANES + i % KN_LANES;
        float total = 0.0f;
        for (size_t e = 0; e < count; e++) {
            const float d = ((const float *)x)[at + e * KN_LANES] - targets[i * count + e];
            total += d * d;
            if (dx != NULL) {
                ((float *)dx)[at + e * KN_LANES] = d * scale;
            }
        }
        sum->loss += (double)total / (double)count;
    }
}

static void cpu_softmax(void *y, const void *x, uint32_t n, uint32_t classes)
{
    for (size_t block = 0; block < blocks_of(n); block++) {
        const float *in = (const float *)x + block * classes * KN_LANES;
        float *out = (float *)y + block * classes * KN_LANES;
        struct lane_softmax s;
        softmax_lanes(&s, in, classes);
        for (size_t c = 0; c < classes; c++) {
            for (size_t l = 0; l < KN_LANES; l++) {
                out[c * KN_LANES + l] = kn_exp(in[c * KN_LANES + l] - s.largest[l]) / s.sum[l];
            }
        }
    }
}
