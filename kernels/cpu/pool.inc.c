/* SPDX-License-Identifier: Apache-2.0
 *
 * Pooling with samples in the lanes: one output pixel at a time, the whole block in registers. */

KN_INLINE kn_veci which_load(const uint8_t *at)
{
    return __builtin_convertvector(*(const kn_vecb *)(const void *)at, kn_veci);
}

KN_INLINE void which_store(uint8_t *at, kn_veci which)
{
    *(kn_vecb *)(void *)at = __builtin_convertvector(which, kn_vecb);
}

struct pool_taps {
    uint32_t top, bottom, left, right;
    size_t first; /* offset in floats of the input under (top, left), within the plane */
};

/* The usual pool, which gets loops of its own: 2x2 windows, all of them whole. */
static bool windows_2x2(const struct kn_window *w)
{
    return w->kernel_h == 2 && w->kernel_w == 2 && w->pad_top == 0 && w->pad_left == 0 &&
           (w->out_h - 1) * w->stride_h + 2 <= w->in_h &&
           (w->out_w - 1) * w->stride_w + 2 <= w->in_w;
}

static struct pool_taps pool_taps_2x2(const struct kn_window *w, uint32_t oh, uint32_t ow)
{
    const size_t row = (size_t)oh * w->stride_h;
    return (struct pool_taps){
        .top = 0,
        .bottom = 2,
        .left = 0,
        .right = 2,
        .first = (row * w->in_w + (size_t)ow * w->stride_w) * KN_LANES,
    };
}

static struct pool_taps pool_taps_of(const struct kn_window *w, uint32_t oh, uint32_t ow)
{
    struct pool_taps t = {
        .top = kn_tap_begin(oh, w->stride_h, w->pad_top),
        .bottom = kn_tap_end(oh, w->stride_h, w->pad_top, w->kernel_h, w->in_h),
        .left = kn_tap_begin(ow, w->stride_w, w->pad_left),
        .right = kn_tap_end(ow, w->stride_w, w->pad_left, w->kernel_w, w->in_w),
    };
    const size_t row = oh * w->stride_h + t.top - w->pad_top;
    t.first = (row * w->in_w + ow * w->stride_w + t.left - w->pad_left) * KN_LANES;
    return t;
}

/* One output pixel, one vector: x at tap (top, left). */
KN_INLINE void maxpool_pixel(float *y, uint8_t *which, const float *x, size_t row,
                             uint32_t kernel_w, const struct pool_taps *t)
{
    kn_vec best = v_load(x);
    kn_veci at = vi_all((int32_t)(t->top * kernel_w + t->left));
    for (uint32_t kh = t->top; kh < t->bottom; kh++) {
        for (uint32_t kw = t->left; kw < t->right; kw++) {
            const kn_vec v = v_load(x + (kh - t->top) * row + (size_t)(kw - t->left) * KN_LANES);
            const kn_veci wins = (v > best) | (v != v);
            best = v_select(wins, v, best);
            at = vi_select(wins, vi_all((int32_t)(kh * kernel_w + kw)), at);
        }
    }
    v_store(y, best);
    if (which != NULL) {
        which_store(which, at);
    }
}

static void cpu_maxpool(void *y, uint8_t *which, const void *x, const struct kn_pool_shape *s,
                        uint32_t n)
{
    kn_window_check(&s->win);
    const struct kn_window *win = &s->win;
    const size_t planes = blocks_of(n) * s->channels;
    const size_t row = (size_t)win->in_w * KN_LANES;
    const size_t in_plane = win->in_h * row;
    const bool plain = windows_2x2(win);
    float *out = y;
    for (size_t plane = 0; plane < planes; plane++) {
        const float *in = (const float *)x + plane * in_plane;
        for (uint32_t oh = 0; oh < win->out_h; oh++) {
            for (uint32_t ow = 0; ow < win->out_w; ow++) {
                const struct pool_taps t =
                    plain ? pool_taps_2x2(win, oh, ow) : pool_taps_of(win, oh, ow);
                for (int group = 0; group < KN_VG; group++) {
                    uint8_t *mark = which != NULL ? which + group * KN_VW : NULL;
                    float *to = out + group * KN_VW;
                    const float *from = in + t.first + group * KN_VW;
                    if (plain) {
                        maxpool_pixel(to, mark, from, row, 2, &(struct pool_taps){0, 2, 0, 2, 0});
                    } else {
                        maxpool_pixel(to, mark, from, row, win->kernel_w, &t);
                    }
                }
                out += KN_LANES;
                which = which != NULL ? which + KN_LANES : NULL;
            }
        }
    }
}

/* Every input lies in at most one window: its derivative is written, not added to. */
static bool windows_apart(const struct kn_window *w)
{
    return w->stride_h >= w->kernel_h && w->stride_w >= w->kernel_w;
}

KN_INLINE void maxpool_grad_pixel(float *dx, const float *dy, const uint8_t *which, size_t row,
                                  uint32_t kernel_w, const struct pool_taps *t, bool apart)
{
    const kn_vec g = v_load(dy);
    const kn_veci at = which_load(which);
    for (uint32_t kh = t->top; kh < t->bottom; kh++) {
        for (uint32_t kw = t->left; kw < t->right; kw++) {
            float *to = dx + (kh - t->top) * row + (size_t)(kw - t->left) * KN_LANES;
            const kn_veci here = at == vi_all((int32_t)(kh * kernel_w + kw));
            const kn_vec part = v_select(here, g, v_zero());
            if (apart) {
                v_store(to, part);
            } else {
                v_store(to, v_load(to) + part);
            }
        }
    }
}

static void cpu_maxpool_grad(void *dx, const void *dy, const uint8_t *which,
                             const struct kn_pool_shape *s, uint32_t n)
{
    const struct kn_window *win = &s->win;
    const size_t planes = blocks_of(n) * s->channels;
    const size_t row = (size_t)win->in_w * KN_LANES;
    const size_t in_plane = win->in_h * row;
    const bool apart = windows_apart(win);
    const bool plain = apart && windows_2x2(win);
    const float *grad = dy;
    for (size_t plane = 0; plane < planes; plane++) {
        float *out = (float *)dx + plane * in_plane;
        if (!apart || win->kernel_h * win->out_h != win->in_h ||
            win->kernel_w * win->out_w != win->in_w) {
            memset(out, 0, in_plane * sizeof(float));
        }
        for (uint32_t oh = 0; oh < win->out_h; oh++) {
            for (uint32_t ow = 0; ow < win->out_w; ow++) {
                const struct pool_taps t =
                    plain ? pool_taps_2x2(win, oh, ow) : pool_taps_of(win, oh, ow);
                for (int group = 0; group < KN_VG; group++) {
                    float *to = out + t.first + group * KN_VW;
                    const float *g = grad + group * KN_VW;
                    const uint8_t *mark = which + group * KN_VW;
                    if (plain) {
                        maxpool_grad_pixel(to, g, mark, row, 2, &(struct pool_taps){0, 2, 0, 2, 0},
                                           true);
                    } else {
                        maxpool_grad_pixel(to, g, mark, row, win->kernel_w, &t, apart);
                    }
                }
                grad += KN_LANES;
                which += KN_LANES;
            }
        }
    }
}

static void cpu_avgpool(void *y, const void *x, const struct kn_pool_shape *s, uint32_t n)
{
    kn_window_check(&s->win);
    const struct kn_window *win = &s->win;
    const size_t planes = blocks_of(n) * s->channels;
    const size_t row = (size_t)win->in_w * KN_LANES;
    const float area = (float)(win->kernel_h * win->kernel_w);
    float *out = y;
    for (size_t plane = 0; plane < planes; plane++) {
        const float *in = (const float *)x + plane * win->in_h * row;
        for (uint32_t oh = 0; oh < win->out_h; oh++) {
            for (uint32_t ow = 0; ow < win->out_w; ow++) {
                const struct pool_taps t = pool_taps_of(win, oh, ow);
                for (int group = 0; group < KN_VG; group++) {
                    kn_vec sum = v_zero();
                    for (uint32_t kh = t.top; kh < t.bottom; kh++) {
                        for (uint32_t kw = t.left; kw < t.right; kw++) {
                            sum += v_load(in + t.first + (kh - t.top) * row +
                                          (size_t)(kw - t.left) * KN_LANES + group * KN_VW);
                        }
                    }
                    v_store(out + group * KN_VW, sum / v_all(area));
                }
                out += KN_LANES;
            }
        }
    }
}

static void cpu_avgpool_grad(void *dx, const void *dy, const struct kn_pool_shape *s, uint32_t n)
{
    const struct kn_window *win = &s->win;
    const size_t planes = blocks_of(n) * s->channels;
    const size_t row = (size_t)win->in_w * KN_LANES;
    const float area = (float)(win->kernel_h * win->kernel_w);
    const float *grad = dy;
    memset(dx, 0, planes * win->in_h * row * sizeof(float));
    for (size_t plane = 0; plane < planes; plane++) {
        float *out = (float *)dx + plane * win->in_h * row;
        for (uint32_t oh = 0; oh < win->out_h; oh++) {
            for (uint32_t ow = 0; ow < win->out_w; ow++) {
                const struct pool_taps t = pool_taps_of(win, oh, ow);
                for (int group = 0; group < KN_VG; group++) {
                    const kn_vec g = v_load(grad + group * KN_VW) / v_all(area);
                    for (uint32_t kh = t.top; kh < t.bottom; kh++) {
                        for (uint32_t kw = t.left; kw < t.right; kw++) {
                            float *to = out + t.first + (kh - t.top) * row +
                                        (size_t)(kw - t.left) * KN_LANES + group * KN_VW;
                            v_store(to, v_load(to) + g);
                        }
                    }
                }
                grad += KN_LANES;
            }
        }
    }
}
