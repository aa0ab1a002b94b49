/* SPDX-License-Identifier: Apache-2.0
 *
 * Convolution: forward and the derivative of the input gather in one chain of fmaf for each
 * element; the derivative of a weight is a sum over samples and pixels, shared among a group. */

struct conv_args {
    float *to;
    const float *x; /* or dy */
    const float *w; /* or x */
    const float *bias;
    struct kn_conv_shape s;
    size_t n;
};

/* to[n][out_c][out_h][out_w] */
KN_CELL void conv_at(size_t i, const struct conv_args *a)
{
    const struct kn_window *win = &a->s.win;
    const uint32_t ow = (uint32_t)(i % win->out_w);
    const uint32_t oh = (uint32_t)(i / win->out_w % win->out_h);
    const size_t plane = i / win->out_w / win->out_h;
    const size_t o = plane % a->s.out_c;
    const uint32_t top = kn_tap_begin(oh, win->stride_h, win->pad_top);
    const uint32_t left = kn_tap_begin(ow, win->stride_w, win->pad_left);
    const uint32_t bottom = kn_tap_end(oh, win->stride_h, win->pad_top, win->kernel_h, win->in_h);
    const uint32_t right = kn_tap_end(ow, win->stride_w, win->pad_left, win->kernel_w, win->in_w);
    const size_t row = (size_t)oh * win->stride_h + top - win->pad_top;
    const size_t column = (size_t)ow * win->stride_w + left - win->pad_left;
    const float *x = a->x + plane / a->s.out_c * a->s.in_c * win->in_h * win->in_w;
    const float *w = a->w + o * a->s.in_c * win->kernel_h * win->kernel_w;
    float sum = 0.0f;
    for (uint32_t c = 0; c < a->s.in_c; c++) {
        for (uint32_t kh = top; kh < bottom; kh++) {
            for (uint32_t kw = left; kw < right; kw++) {
                sum = fmaf(x[(row + kh - top) * win->in_w + column + kw - left],
                           w[(size_t)kh * win->kernel_w + kw], sum);
            }
        }
        x += (size_t)win->in_h * win->in_w;
        w += (size_t)win->kernel_h * win->kernel_w;
    }
    a->to[i] = a->bias != NULL ? sum + a->bias[o] : sum;
}
KN_EACH(conv_at, struct conv_args)

/* The contribution of one output channel to the derivative of the input at (ih, iw). */
KN_CELL float conv_dx_channel(float sum, const float *dy, const float *w,
                              const struct kn_window *win, uint32_t ih, uint32_t iw)
{
    for (uint32_t kh = 0; kh < win->kernel_h; kh++) {
        const uint32_t down = ih + win->pad_top;
        if (down < kh || (down - kh) % win->stride_h != 0 ||
            (down - kh) / win->stride_h >= win->out_h) {
            continue;
        }
        const float *row = dy + (size_t)((down - kh) / win->stride_h) * win->out_w;
        for (uint32_t kw = 0; kw < win->kernel_w; kw++) {
            const uint32_t across = iw + win->pad_left;
            if (across >= kw && (across - kw) % win->stride_w == 0 &&
                (across - kw) / win->stride_w < win->out_w) {
                sum = fmaf(row[(across - kw) / win->stride_w], w[(size_t)kh * win->kernel_w + kw],
                           sum);
            }
        }
    }
    return sum;
}

/* to[n][in_c][in_h][in_w] from x = dy */
KN_CELL void conv_dx_at(size_t i, const struct conv_args *a)
{
    const struct kn_window *win = &a->s.win;
    const uint32_t iw = (uint32_t)(i % win->in_w);
    const uint32_t ih = (uint32_t)(i / win->in_w % win->in_h);
    const size_t plane = i / win->in_w / win->in_h;
    const size_t taps = (size_t)win->kernel_h * win->kernel_w;
    const size_t area = (size_t)win->out_h * win->out_w;
    const float *dy = a->x + plane / a->s.in_c * a->s.out_c * area;
    const float *w = a->w + plane % a->s.in_c * taps;
    float sum = 0.0f;
    for (uint32_t o = 0; o < a->s.out_c; o++) {
        sum = conv_dx_channel(sum, dy, w, win, ih, iw);
        dy += area;
        w += a->s.in_c * taps;
    }
    a->to[i] = sum;
}
KN_EACH(conv_dx_at, struct conv_args)

/* to[out_c][in_c][kernel_h][kernel_w] from x = dy and w = x; a group is one weight. */
KN_CELL struct kn_grid_sum conv_dw_part(size_t group, uint32_t thread, const struct conv_args *a)
{
    const struct kn_window *win = &a->s.win;
    const uint32_t kw = (uint32_t)(group % win->kernel_w);
    const uint32_t kh = (uint32_t)(group / win->kernel_w % win->kernel_h);
    const size_t c = group / win->kernel_w / win->kernel_h % a->s.in_c;
    const size_t o = group / win->kernel_w / win->kernel_h / a->s.in_c;
    const size_t area = (size_t)win->out_h * win->out_w;
    float sum = 0.0f;
    for (size_t k = thread; k < a->n * area; k += KN_GRID_WIDTH) {
        const size_t down = k % area / win->out_w * win->stride_h + kh;
        const size_t across = k % win->out_w * win->stride_w + kw;
        if (down < win->pad_top || down - win->pad_top >= win->in_h || across < win->pad_left ||
            across - win->pad_left >= win->in_w) {
            continue;
        }
        const size_t row = (k / area * a->s.in_c + c) * win->in_h + down - win->pad_top;
        sum = fmaf(a->x[(k / area * a->s.out_c + o) * area + k % area],
                   a->w[row * win->in_w + across - win->pad_left], sum);
    }
    struct kn_grid_sum part = {(double)sum, 0.0};
    return part;
}

KN_CELL void conv_dw_done(size_t group, const struct kn_grid_sum *sum, const struct conv_args *a)
{
    a->to[group] = (float)sum->a;
}
KN_SUM(conv_dw, struct conv_args)

/* to[out_c] from x = dy; a group is one channel. */
KN_CELL struct kn_grid_sum conv_db_part(size_t group, uint32_t thread, const struct conv_args *a)
{
    const size_t area = (size_t)a->s.win.out_h * a->s.win.out_w;
    struct kn_grid_sum part = {0.0, 0.0};
    for (size_t k = thread; k < a->n * area; k += KN_GRID_WIDTH) {
        part.a += (double)a->x[(k / area * a->s.out_c + group) * area + k % area];
    }
    return part;
}

KN_CELL void conv_db_done(size_t group, const struct kn_grid_sum *sum, const struct conv_args *a)
{
    a->to[group] = (float)sum->a;
}
KN_SUM(conv_db, struct conv_args)

static size_t grid_conv_scratch(const struct kn_conv_shape *s, uint32_t n)
{
    KN_CHECK(n >= 1);
    kn_window_check(&s->win);
    return 0;
}

static void grid_conv(void *y, const void *x, const void *w, const void *b,
                      const struct kn_conv_shape *s, uint32_t n, void *scratch)
{
    (void)scratch;
    kn_window_check(&s->win);
    struct conv_args a = {(float *)y, (const float *)x, (const float *)w, (const float *)b, *s, n};
    conv_at_run((size_t)n * s->out_c * s->win.out_h * s->win.out_w, &a);
}

static void grid_conv_grad(void *dx, void *dw, void *db, const void *dy, const void *x,
                           const void *w, const struct kn_conv_shape *s, uint32_t n, void *scratch)
{
    (void)scratch;
    kn_window_check(&s->win);
    struct conv_args a = {(float *)dw, (const float *)dy, (const float *)x, NULL, *s, n};
    conv_dw_run((size_t)s->out_c * s->in_c * s->win.kernel_h * s->win.kernel_w, &a);
    if (db != NULL) {
        a.to = (float *)db;
        conv_db_run(s->out_c, &a);
    }
    if (dx != NULL) {
        a.to = (float *)dx;
        a.w = (const float *)w;
        conv_dx_at_run((size_t)n * s->in_c * s->win.in_h * s->win.in_w, &a);
    }
}
