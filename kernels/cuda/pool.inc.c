/* SPDX-License-Identifier: Apache-2.0
 *
 * Pooling. Derivatives gather: an input asks every window that covers it, in the order of the
 * windows. */

struct pool_args {
    float *to;
    uint8_t *which;
    const float *x;        /* or dy */
    const uint8_t *winner; /* of the forward pass */
    struct kn_pool_shape s;
};

/* The taps of one window inside its image, and where the first of them lies. */
struct pool_taps {
    uint32_t top, bottom, left, right;
    size_t first;
};

KN_CELL struct pool_taps pool_taps_of(const struct kn_window *win, size_t i)
{
    const uint32_t ow = (uint32_t)(i % win->out_w);
    const uint32_t oh = (uint32_t)(i / win->out_w % win->out_h);
    const size_t plane = i / win->out_w / win->out_h;
    struct pool_taps t;
    t.top = kn_tap_begin(oh, win->stride_h, win->pad_top);
    t.left = kn_tap_begin(ow, win->stride_w, win->pad_left);
    t.bottom = kn_tap_end(oh, win->stride_h, win->pad_top, win->kernel_h, win->in_h);
    t.right = kn_tap_end(ow, win->stride_w, win->pad_left, win->kernel_w, win->in_w);
    const size_t row = (size_t)oh * win->stride_h + t.top - win->pad_top;
    const size_t column = (size_t)ow * win->stride_w + t.left - win->pad_left;
    t.first = (plane * win->in_h + row) * win->in_w + column;
    return t;
}

KN_CELL void maxpool_at(size_t i, const struct pool_args *a)
{
    const struct kn_window *win = &a->s.win;
    const struct pool_taps t = pool_taps_of(win, i);
    float best = kn_f32_from_bits(0xFF800000u);
    uint32_t at = t.top * win->kernel_w + t.left;
    for (uint32_t kh = t.top; kh < t.bottom; kh++) {
        for (uint32_t kw = t.left; kw < t.right; kw++) {
            const float v = a->x[t.first + (size_t)(kh - t.top) * win->in_w + kw - t.left];
            if (v > best || kn_grid_nan(v)) {
                best = v;
                at = kh * win->kernel_w + kw;
            }
        }
    }
    a->to[i] = best;
    if (a->which != NULL) {
        a->which[i] = (uint8_t)at;
    }
}
KN_EACH(maxpool_at, struct pool_args)

KN_CELL void avgpool_at(size_t i, const struct pool_args *a)
{
    const struct kn_window *win = &a->s.win;
    const struct pool_taps t = pool_taps_of(win, i);
    float sum = 0.0f;
    for (uint32_t kh = t.top; kh < t.bottom; kh++) {
        for (uint32_t kw = t.left; kw < t.right; kw++) {
            sum += a->x[t.first + (size_t)(kh - t.top) * win->in_w + kw - t.left];
        }
    }
    a->to[i] = sum / ((float)win->kernel_h * (float)win->kernel_w);
}
KN_EACH(avgpool_at, struct pool_args)

/* Along one axis: the windows that cover input `at`, first and one past the last. */
KN_CELL uint32_t pool_cover_begin(uint32_t at, uint32_t stride, uint32_t pad, uint32_t kernel)
{
    return at + pad < kernel ? 0 : (at + pad - kernel) / stride + 1;
}

KN_CELL uint32_t pool_cover_end(uint32_t at, uint32_t stride, uint32_t pad, uint32_t out)
{
    const uint32_t end = (at + pad) / stride + 1;
    return end < out ? end : out;
}

/* Sum of the derivatives of the windows over the input at i: of all of them, or of those that it
 * won. */
KN_CELL float pool_gather(size_t i, const struct pool_args *a)
{
    const struct kn_window *win = &a->s.win;
    const uint32_t iw = (uint32_t)(i % win->in_w);
    const uint32_t ih = (uint32_t)(i / win->in_w % win->in_h);
    const size_t plane = i / win->in_w / win->in_h;
    const uint32_t top = pool_cover_begin(ih, win->stride_h, win->pad_top, win->kernel_h);
    const uint32_t bottom = pool_cover_end(ih, win->stride_h, win->pad_top, win->out_h);
    const uint32_t left = pool_cover_begin(iw, win->stride_w, win->pad_left, win->kernel_w);
    const uint32_t right = pool_cover_end(iw, win->stride_w, win->pad_left, win->out_w);
    float sum = 0.0f;
    for (uint32_t oh = top; oh < bottom; oh++) {
        const uint32_t kh = ih + win->pad_top - oh * win->stride_h;
        for (uint32_t ow = left; ow < right; ow++) {
            const uint32_t kw = iw + win->pad_left - ow * win->stride_w;
            const size_t at = (plane * win->out_h + oh) * win->out_w + ow;
            if (a->winner == NULL || a->winner[at] == kh * win->kernel_w + kw) {
                sum += a->x[at];
            }
        }
    }
    return sum;
}

KN_CELL void maxpool_grad_at(size_t i, const struct pool_args *a)
{
    a->to[i] = pool_gather(i, a);
}
KN_EACH(maxpool_grad_at, struct pool_args)

KN_CELL void avgpool_grad_at(size_t i, const struct pool_args *a)
{
    a->to[i] = pool_gather(i, a) / ((float)a->s.win.kernel_h * (float)a->s.win.kernel_w);
}
KN_EACH(avgpool_grad_at, struct pool_args)

static size_t pool_outputs(const struct kn_pool_shape *s, uint32_t n)
{
    kn_window_check(&s->win);
    return (size_t)n * s->channels * s->win.out_h * s->win.out_w;
}

static size_t pool_inputs(const struct kn_pool_shape *s, uint32_t n)
{
    kn_window_check(&s->win);
    return (size_t)n * s->channels * s->win.in_h * s->win.in_w;
}

static void grid_maxpool(void *y, uint8_t *which, const void *x, const struct kn_pool_shape *s,
                         uint32_t n)
{
    struct pool_args a = {(float *)y, which, (const float *)x, NULL, *s};
    maxpool_at_run(pool_outputs(s, n), &a);
}

static void grid_maxpool_grad(void *dx, const void *dy, const uint8_t *which,
                              const struct kn_pool_shape *s, uint32_t n)
{
    KN_CHECK(which != NULL);
    struct pool_args a = {(float *)dx, NULL, (const float *)dy, which, *s};
    maxpool_grad_at_run(pool_inputs(s, n), &a);
}

static void grid_avgpool(void *y, const void *x, const struct kn_pool_shape *s, uint32_t n)
{
    struct pool_args a = {(float *)y, NULL, (const float *)x, NULL, *s};
    avgpool_at_run(pool_outputs(s, n), &a);
}

static void grid_avgpool_grad(void *dx, const void *dy, const struct kn_pool_shape *s, uint32_t n)
{
    struct pool_args a = {(float *)dx, NULL, (const float *)dy, NULL, *s};
    avgpool_grad_at_run(pool_inputs(s, n), &a);
}
