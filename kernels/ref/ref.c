/* SPDX-License-Identifier: Apache-2.0
 *
 * The reference: every formula of kn.h written out once, in double, without a trick. It is what the
 * other tables are compared with and what finite differences are compared with. */
#include "kernels/kn.h"
#include "kernels/math.h"
#include "kernels/ref/sequence.h"
#include "kernels/window.h"

#include <math.h>

static void ref_load(void *y, const float *x, uint32_t n, size_t count)
{
    double *out = y;
    for (size_t i = 0; i < n * count; i++) {
        out[i] = (double)x[i];
    }
}

static void ref_store(float *y, const void *x, uint32_t n, size_t count)
{
    const double *in = x;
    for (size_t i = 0; i < n * count; i++) {
        y[i] = (float)in[i];
    }
}

static size_t ref_dense_scratch(uint32_t n, uint32_t in, uint32_t out)
{
    KN_CHECK(n >= 1 && in >= 1 && out >= 1);
    return 0;
}

static void ref_dense(void *y, const void *x, const void *w, const void *b, uint32_t n, uint32_t in,
                      uint32_t out, void *scratch)
{
    (void)scratch;
    const double *bias = b;
    for (uint32_t s = 0; s < n; s++) {
        const double *xs = (const double *)x + (size_t)s * in;
        double *ys = (double *)y + (size_t)s * out;
        for (uint32_t o = 0; o < out; o++) {
            const double *row = (const double *)w + (size_t)o * in;
            double sum = bias != NULL ? bias[o] : 0.0;
            for (uint32_t i = 0; i < in; i++) {
                sum += row[i] * xs[i];
            }
            ys[o] = sum;
        }
    }
}

static void ref_zero(void *y, size_t count)
{
    if (y != NULL) {
        memset(y, 0, count * sizeof(double));
    }
}

static void ref_dense_grad(void *dx, void *dw, void *db, const void *dy, const void *x,
                           const void *w, uint32_t n, uint32_t in, uint32_t out, void *scratch)
{
    (void)scratch;
    ref_zero(dx, (size_t)n * in);
    ref_zero(dw, (size_t)out * in);
    ref_zero(db, out);
    for (uint32_t s = 0; s < n; s++) {
        const double *xs = (const double *)x + (size_t)s * in;
        const double *dys = (const double *)dy + (size_t)s * out;
        for (uint32_t o = 0; o < out; o++) {
            const double g = dys[o];
            if (db != NULL) {
                ((double *)db)[o] += g;
            }
            for (uint32_t i = 0; i < in; i++) {
                const size_t at = (size_t)o * in + i;
                ((double *)dw)[at] += g * xs[i];
                if (dx != NULL) {
                    ((double *)dx)[(size_t)s * in + i] += g * ((const double *)w)[at];
                }
            }
        }
    }
}

static size_t ref_conv_scratch(const struct kn_conv_shape *s, uint32_t n)
{
    KN_CHECK(n >= 1);
    kn_window_check(&s->win);
    return 0;
}

/* One output value's taps: calls back nothing, so the loops stand in each user. `kh`, `kw` run over
 * the taps inside the image. */
struct ref_taps {
    uint32_t top, bottom, left, right;
    uint32_t row, column; /* of the input under tap (top, left) */
};

static struct ref_taps ref_taps_of(const struct kn_window *w, uint32_t oh, uint32_t ow)
{
    struct ref_taps t = {
        .top = kn_tap_begin(oh, w->stride_h, w->pad_top),
        .bottom = kn_tap_end(oh, w->stride_h, w->pad_top, w->kernel_h, w->in_h),
        .left = kn_tap_begin(ow, w->stride_w, w->pad_left),
        .right = kn_tap_end(ow, w->stride_w, w->pad_left, w->kernel_w, w->in_w),
    };
    t.row = oh * w->stride_h + t.top - w->pad_top;
    t.column = ow * w->stride_w + t.left - w->pad_left;
    return t;
}

static double ref_conv_one(const double *x, const double *w, const struct kn_conv_shape *s,
                           const struct ref_taps *t)
{
    const struct kn_window *win = &s->win;
    double sum = 0.0;
    for (uint32_t c = 0; c < s->in_c; c++) {
        for (uint32_t kh = t->top; kh < t->bottom; kh++) {
            for (uint32_t kw = t->left; kw < t->right; kw++) {
                const size_t row = (size_t)c * win->in_h + t->row + kh - t->top;
                sum += x[row * win->in_w + t->column + kw - t->left] *
                       w[((size_t)c * win->kernel_h + kh) * win->kernel_w + kw];
            }
        }
    }
    return sum;
}

static void ref_conv(void *y, const void *x, const void *w, const void *b,
                     const struct kn_conv_shape *s, uint32_t n, void *scratch)
{
    (void)scratch;
    kn_window_check(&s->win);
    const struct kn_window *win = &s->win;
    const size_t in_size = (size_t)s->in_c * win->in_h * win->in_w;
    const size_t w_size = (size_t)s->in_c * win->kernel_h * win->kernel_w;
    double *out = y;
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t o = 0; o < s->out_c; o++) {
            for (uint32_t oh = 0; oh < win->out_h; oh++) {
                for (uint32_t ow = 0; ow < win->out_w; ow++) {
                    const struct ref_taps t = ref_taps_of(win, oh, ow);
                    const double sum = ref_conv_one((const double *)x + i * in_size,
                                                    (const double *)w + o * w_size, s, &t);
                    *out++ = sum + (b != NULL ? ((const double *)b)[o] : 0.0);
                }
            }
        }
    }
}

static void ref_conv_grad_one(double *dx, double *dw, double g, const double *x, const double *w,
                              const struct kn_conv_shape *s, const struct ref_taps *t)
{
    const struct kn_window *win = &s->win;
    for (uint32_t c = 0; c < s->in_c; c++) {
        for (uint32_t kh = t->top; kh < t->bottom; kh++) {
            for (uint32_t kw = t->left; kw < t->right; kw++) {
                const size_t row = (size_t)c * win->in_h + t->row + kh - t->top;
                const size_t at_x = row * win->in_w + t->column + kw - t->left;
                const size_t at_w = ((size_t)c * win->kernel_h + kh) * win->kernel_w + kw;
                dw[at_w] += g * x[at_x];
                if (dx != NULL) {
                    dx[at_x] += g * w[at_w];
                }
            }
        }
    }
}

static void ref_conv_grad(void *dx, void *dw, void *db, const void *dy, const void *x,
                          const void *w, const struct kn_conv_shape *s, uint32_t n, void *scratch)
{
    (void)scratch;
    kn_window_check(&s->win);
    const struct kn_window *win = &s->win;
    const size_t in_size = (size_t)s->in_c * win->in_h * win->in_w;
    const size_t w_size = (size_t)s->in_c * win->kernel_h * win->kernel_w;
    ref_zero(dx, n * in_size);
    ref_zero(dw, s->out_c * w_size);
    ref_zero(db, s->out_c);
    const double *grad = dy;
    for (uint32_t i = 0; i < n; i++) {
        double *dxs = dx != NULL ? (double *)dx + i * in_size : NULL;
        for (uint32_t o = 0; o < s->out_c; o++) {
            for (uint32_t oh = 0; oh < win->out_h; oh++) {
                for (uint32_t ow = 0; ow < win->out_w; ow++) {
                    const struct ref_taps t = ref_taps_of(win, oh, ow);
                    const double g = *grad++;
                    if (db != NULL) {
                        ((double *)db)[o] += g;
                    }
                    ref_conv_grad_one(dxs, (double *)dw + o * w_size, g,
                                      (const double *)x + i * in_size,
                                      (const double *)w + o * w_size, s, &t);
                }
            }
        }
    }
}

static void ref_maxpool(void *y, uint8_t *which, const void *x, const struct kn_pool_shape *s,
                        uint32_t n)
{
    kn_window_check(&s->win);
    const struct kn_window *win = &s->win;
    double *out = y;
    for (size_t plane = 0; plane < (size_t)n * s->channels; plane++) {
        const double *in = (const double *)x + plane * win->in_h * win->in_w;
        for (uint32_t oh = 0; oh < win->out_h; oh++) {
            for (uint32_t ow = 0; ow < win->out_w; ow++) {
                const struct ref_taps t = ref_taps_of(win, oh, ow);
                double best = -(double)INFINITY;
                uint32_t at = t.top * win->kernel_w + t.left;
                for (uint32_t kh = t.top; kh < t.bottom; kh++) {
                    for (uint32_t kw = t.left; kw < t.right; kw++) {
                        const double v =
                            in[(size_t)(t.row + kh - t.top) * win->in_w + t.column + kw - t.left];
                        if (v > best || isnan(v)) {
                            best = v;
                            at = kh * win->kernel_w + kw;
                        }
                    }
                }
                *out++ = best;
                if (which != NULL) {
                    *which++ = (uint8_t)at;
                }
            }
        }
    }
}

static void ref_maxpool_grad(void *dx, const void *dy, const uint8_t *which,
                             const struct kn_pool_shape *s, uint32_t n)
{
    const struct kn_window *win = &s->win;
    const size_t planes = (size_t)n * s->channels;
    const double *grad = dy;
    ref_zero(dx, planes * win->in_h * win->in_w);
    for (size_t plane = 0; plane < planes; plane++) {
        double *out = (double *)dx + plane * win->in_h * win->in_w;
        for (uint32_t oh = 0; oh < win->out_h; oh++) {
            for (uint32_t ow = 0; ow < win->out_w; ow++) {
                const uint32_t row = oh * win->stride_h + *which / win->kernel_w - win->pad_top;
                const uint32_t column = ow * win->stride_w + *which % win->kernel_w - win->pad_left;
                out[(size_t)row * win->in_w + column] += *grad++;
                which++;
            }
        }
    }
}

static void ref_avgpool(void *y, const void *x, const struct kn_pool_shape *s, uint32_t n)
{
    kn_window_check(&s->win);
    const struct kn_window *win = &s->win;
    const double area = (double)win->kernel_h * (double)win->kernel_w;
    double *out = y;
    for (size_t plane = 0; plane < (size_t)n * s->channels; plane++) {
        const double *in = (const double *)x + plane * win->in_h * win->in_w;
        for (uint32_t oh = 0; oh < win->out_h; oh++) {
            for (uint32_t ow = 0; ow < win->out_w; ow++) {
                const struct ref_taps t = ref_taps_of(win, oh, ow);
                double sum = 0.0;
                for (uint32_t kh = t.top; kh < t.bottom; kh++) {
                    for (uint32_t kw = t.left; kw < t.right; kw++) {
                        sum +=
                            in[(size_t)(t.row + kh - t.top) * win->in_w + t.column + kw - t.left];
                    }
                }
                *out++ = sum / area;
            }
        }
    }
}

static void ref_avgpool_grad(void *dx, const void *dy, const struct kn_pool_shape *s, uint32_t n)
{
    const struct kn_window *win = &s->win;
    const double area = (double)win->kernel_h * (double)win->kernel_w;
    const size_t planes = (size_t)n * s->channels;
    const double *grad = dy;
    ref_zero(dx, planes * win->in_h * win->in_w);
    for (size_t plane = 0; plane < planes; plane++) {
        double *out = (double *)dx + plane * win->in_h * win->in_w;
        for (uint32_t oh = 0; oh < win->out_h; oh++) {
            for (uint32_t ow = 0; ow < win->out_w; ow++) {
                const struct ref_taps t = ref_taps_of(win, oh, ow);
                const double g = *grad++ / area;
                for (uint32_t kh = t.top; kh < t.bottom; kh++) {
                    for (uint32_t kw = t.left; kw < t.right; kw++) {
                        out[(size_t)(t.row + kh - t.top) * win->in_w + t.column + kw - t.left] += g;
                    }
                }
            }
        }
    }
}

static void ref_relu(void *y, const void *x, uint32_t n, size_t count)
{
    for (size_t i = 0; i < n * count; i++) {
        const double v = ((const double *)x)[i];
        ((double *)y)[i] = v < 0.0 ? 0.0 : v;
    }
}

static void ref_relu_grad(void *dx, const void *dy, const void *y, uint32_t n, size_t count)
{
    for (size_t i = 0; i < n * count; i++) {
        ((double *)dx)[i] = ((const double *)y)[i] > 0.0 ? ((const double *)dy)[i] : 0.0;
    }
}

#define SQRT_HALF    0x1.6a09e667f3bcdp-1
#define SQRT_TAU_INV 0x1.9884533d43651p-2 /* 1 / sqrt(2 pi) */

static void ref_gelu(void *y, const void *x, uint32_t n, size_t count)
{
    for (size_t i = 0; i < n * count; i++) {
        const double v = ((const double *)x)[i];
        ((double *)y)[i] = v * 0.5 * (1.0 + kn_erf64(v * SQRT_HALF));
    }
}

static void ref_gelu_grad(void *dx, const void *dy, const void *x, uint32_t n, size_t count)
{
    for (size_t i = 0; i < n * count; i++) {
        const double v = ((const double *)x)[i];
        const double phi = SQRT_TAU_INV * kn_exp64(-0.5 * v * v);
        const double slope = 0.5 * (1.0 + kn_erf64(v * SQRT_HALF)) + v * phi;
        ((double *)dx)[i] = ((const double *)dy)[i] * slope;
    }
}

static void ref_bn(void *y, void *stats, void *saved, const void *x, const void *gamma,
                   const void *beta, const struct kn_bn_shape *s, uint32_t n)
{
    const double values = (double)n * (double)s->area;
    for (uint32_t c = 0; c < s->channels; c++) {
        double sum = 0.0;
        double squares = 0.0;
        double spread = 0.0;
        for (size_t k = 0; k < (size_t)n * s->area; k++) {
            const size_t at = (k / s->area * s->channels + c) * s->area + k % s->area;
            sum += ((const double *)x)[at];
            squares += ((const double *)x)[at] * ((const double *)x)[at];
        }
        const double mean = sum / values;
        for (size_t k = 0; k < (size_t)n * s->area; k++) {
            const size_t at = (k / s->area * s->channels + c) * s->area + k % s->area;
            const double d = ((const double *)x)[at] - mean;
            spread += d * d;
        }
        const double scale = 1.0 / sqrt(spread / values + s->eps);
        ((double *)stats)[c] = mean;
        ((double *)stats)[s->channels + c] = squares / values;
        ((double *)saved)[c] = mean;
        ((double *)saved)[s->channels + c] = scale;
        for (size_t k = 0; k < (size_t)n * s->area; k++) {
            const size_t at = (k / s->area * s->channels + c) * s->area + k % s->area;
            const double normal = (((const double *)x)[at] - mean) * scale;
            ((double *)y)[at] = normal * ((const double *)gamma)[c] + ((const double *)beta)[c];
        }
    }
}

static void ref_bn_grad(void *dx, void *dgamma, void *dbeta, const void *dy, const void *x,
                        const void *gamma, const void *saved, const struct kn_bn_shape *s,
                        uint32_t n)
{
    const double values = (double)n * (double)s->area;
    for (uint32_t c = 0; c < s->channels; c++) {
        const double mean = ((const double *)saved)[c];
        const double scale = ((const double *)saved)[s->channels + c];
        double sum = 0.0;
        double dot = 0.0;
        for (size_t k = 0; k < (size_t)n * s->area; k++) {
            const size_t at = (k / s->area * s->channels + c) * s->area + k % s->area;
            sum += ((const double *)dy)[at];
            dot += ((const double *)dy)[at] * (((const double *)x)[at] - mean) * scale;
        }
        ((double *)dgamma)[c] = dot;
        ((double *)dbeta)[c] = sum;
        for (size_t k = 0; k < (size_t)n * s->area; k++) {
            const size_t at = (k / s->area * s->channels + c) * s->area + k % s->area;
            const double normal = (((const double *)x)[at] - mean) * scale;
            ((double *)dx)[at] = ((const double *)gamma)[c] * scale *
                                 (((const double *)dy)[at] - sum / values - normal * dot / values);
        }
    }
}

static void ref_bn_eval(void *y, const void *x, const void *gamma, const void *beta,
                        const void *mean, const void *var, const struct kn_bn_shape *s, uint32_t n)
{
    for (size_t at = 0; at < (size_t)n * s->channels * s->area; at++) {
        const size_t c = at / s->area % s->channels;
        const double scale = 1.0 / sqrt(((const double *)var)[c] + s->eps);
        const double normal = (((const double *)x)[at] - ((const double *)mean)[c]) * scale;
        ((double *)y)[at] = normal * ((const double *)gamma)[c] + ((const double *)beta)[c];
    }
}

static void ref_dropout(void *y, uint8_t *keep, const void *x, double rate,
                        const struct kn_dropout_key *key, uint32_t n, size_t count)
{
    const struct kn_stream stream = kn_stream_make(key->seed, key->step, key->rank, key->node);
    const double scale = 1.0 / (1.0 - rate);
    for (uint32_t i = 0; i < n; i++) {
        for (size_t e = 0; e < count; e++) {
            const size_t at = i * count + e;
            const float draw = kn_unit_float(kn_stream_u32(stream, i, (uint32_t)e));
            keep[at] = draw >= (float)rate ? 1 : 0;
            ((double *)y)[at] = keep[at] != 0 ? ((const double *)x)[at] * scale : 0.0;
        }
    }
}

static void ref_dropout_grad(void *dx, const void *dy, const uint8_t *keep, double rate, uint32_t n,
                             size_t count)
{
    const double scale = 1.0 / (1.0 - rate);
    for (size_t i = 0; i < n * count; i++) {
        ((double *)dx)[i] = keep[i] != 0 ? ((const double *)dy)[i] * scale : 0.0;
    }
}

static size_t ref_loss_scratch(uint32_t n, uint32_t count)
{
    KN_CHECK(n >= 1 && count >= 1);
    return 0;
}

/* Index of the first largest; *sum = sum of e^(x - largest). */
static uint32_t ref_softmax_sum(double *sum, const double *x, uint32_t classes)
{
    uint32_t best = 0;
    for (uint32_t c = 1; c < classes; c++) {
        best = x[c] > x[best] ? c : best;
    }
    *sum = 0.0;
    for (uint32_t c = 0; c < classes; c++) {
        *sum += kn_exp64(x[c] - x[best]);
    }
    return best;
}

static void ref_cross_entropy(struct kn_loss_sum *sum, void *dx, const void *x,
                              const int32_t *labels, uint32_t n, uint32_t places, uint32_t classes,
                              void *scratch)
{
    (void)scratch;
    *sum = (struct kn_loss_sum){.loss = 0.0, .correct = 0};
    for (size_t i = 0; i < (size_t)n * places; i++) {
        const double *in = (const double *)x + i * classes;
        KN_CHECK(labels[i] >= 0);
        KN_CHECK((uint32_t)labels[i] < classes);
        const uint32_t label = (uint32_t)labels[i];
        double total;
        const uint32_t best = ref_softmax_sum(&total, in, classes);
        const double largest = in[best];
        sum->loss += (kn_log64(total) - (in[label] - largest)) / places;
        sum->correct += best == label ? 1 : 0;
        if (dx != NULL) {
            double *out = (double *)dx + i * classes;
            for (uint32_t c = 0; c < classes; c++) {
                const double p = kn_exp64(in[c] - largest) / total;
                out[c] = (c == label ? p - 1.0 : p) / places;
            }
        }
    }
}

static void ref_mse(struct kn_loss_sum *sum, void *dx, const void *x, const float *targets,
                    uint32_t n, uint32_t count, void *scratch)
{
    (void)scratch;
    *sum = (struct kn_loss_sum){.loss = 0.0, .correct = 0};
    for (size_t i = 0; i < (size_t)n * count; i++) {
        const double d = ((const double *)x)[i] - (double)targets[i];
        sum->loss += d * d / (double)count;
        if (dx != NULL) {
            ((double *)dx)[i] = 2.0 * d / (double)count;
        }
    }
}

static void ref_softmax(void *y, const void *x, uint32_t n, uint32_t classes)
{
    for (uint32_t i = 0; i < n; i++) {
        const double *in = (const double *)x + (size_t)i * classes;
        double *out = (double *)y + (size_t)i * classes;
        double total;
        const double largest = in[ref_softmax_sum(&total, in, classes)];
        for (uint32_t c = 0; c < classes; c++) {
            out[c] = kn_exp64(in[c] - largest) / total;
        }
    }
}

static void ref_add(void *y, const void *a, const void *b, uint32_t n, size_t count)
{
    for (size_t i = 0; i < n * count; i++) {
        ((double *)y)[i] = ((const double *)a)[i] + ((const double *)b)[i];
    }
}

const struct kn_ops *kn_ops_ref(void)
{
    static const struct kn_ops table = {
        .version = KN_OPS_VERSION,
        .elem_size = sizeof(double),
        .lanes = 1,
        .name = "ref",
        .load = ref_load,
        .store = ref_store,
        .dense_scratch = ref_dense_scratch,
        .dense = ref_dense,
        .dense_grad = ref_dense_grad,
        .conv_scratch = ref_conv_scratch,
        .conv = ref_conv,
        .conv_grad = ref_conv_grad,
        .maxpool = ref_maxpool,
        .maxpool_grad = ref_maxpool_grad,
        .avgpool = ref_avgpool,
        .avgpool_grad = ref_avgpool_grad,
        .relu = ref_relu,
        .relu_grad = ref_relu_grad,
        .gelu = ref_gelu,
        .gelu_grad = ref_gelu_grad,
        .bn = ref_bn,
        .bn_grad = ref_bn_grad,
        .bn_eval = ref_bn_eval,
        .dropout = ref_dropout,
        .dropout_grad = ref_dropout_grad,
        .layernorm = kn_ref_layernorm,
        .layernorm_scratch = kn_ref_layernorm_scratch,
        .layernorm_grad = kn_ref_layernorm_grad,
        .embed = kn_ref_embed,
        .embed_grad = kn_ref_embed_grad,
        .shift = kn_ref_shift,
        .shift_grad = kn_ref_shift_grad,
        .attention_scratch = kn_ref_attention_scratch,
        .attention = kn_ref_attention,
        .attention_grad = kn_ref_attention_grad,
        .loss_scratch = ref_loss_scratch,
        .cross_entropy = ref_cross_entropy,
        .mse = ref_mse,
        .softmax = ref_softmax,
        .add = ref_add,
    };
    return &table;
}
