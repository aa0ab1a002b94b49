/* SPDX-License-Identifier: Apache-2.0
 *
 * Element-wise operations, losses, and the way in and out of the table's memory. */

struct point_args {
    float *to;
    const float *a;
    const float *b;
};

KN_CELL void relu_at(size_t i, const struct point_args *a)
{
    const float v = a->a[i];
    a->to[i] = v < 0.0f ? 0.0f : v;
}
KN_EACH(relu_at, struct point_args)

KN_CELL void relu_grad_at(size_t i, const struct point_args *a)
{
    a->to[i] = a->b[i] > 0.0f ? a->a[i] : 0.0f;
}
KN_EACH(relu_grad_at, struct point_args)

#define GELU_SQRT_HALF    0x1.6a09e6p-1f
#define GELU_SQRT_TAU_INV 0x1.988454p-2f /* 1 / sqrt(2 pi) */

KN_CELL void gelu_at(size_t i, const struct point_args *a)
{
    const float v = a->a[i];
    a->to[i] = v * 0.5f * (1.0f + kn_erf(v * GELU_SQRT_HALF));
}
KN_EACH(gelu_at, struct point_args)

KN_CELL void gelu_grad_at(size_t i, const struct point_args *a)
{
    const float v = a->b[i];
    const float phi = GELU_SQRT_TAU_INV * kn_exp(-0.5f * v * v);
    a->to[i] = a->a[i] * (0.5f * (1.0f + kn_erf(v * GELU_SQRT_HALF)) + v * phi);
}
KN_EACH(gelu_grad_at, struct point_args)

KN_CELL void add_at(size_t i, const struct point_args *a)
{
    a->to[i] = a->a[i] + a->b[i];
}
KN_EACH(add_at, struct point_args)

static void grid_load(void *y, const float *x, uint32_t n, size_t count)
{
    grid_put(y, x, n * count * sizeof(float));
}

static void grid_store(float *y, const void *x, uint32_t n, size_t count)
{
    grid_get(y, x, n * count * sizeof(float));
}

static void grid_relu(void *y, const void *x, uint32_t n, size_t count)
{
    struct point_args a = {(float *)y, (const float *)x, NULL};
    relu_at_run(n * count, &a);
}

static void grid_relu_grad(void *dx, const void *dy, const void *y, uint32_t n, size_t count)
{
    struct point_args a = {(float *)dx, (const float *)dy, (const float *)y};
    relu_grad_at_run(n * count, &a);
}

static void grid_gelu(void *y, const void *x, uint32_t n, size_t count)
{
    struct point_args a = {(float *)y, (const float *)x, NULL};
    gelu_at_run(n * count, &a);
}

static void grid_gelu_grad(void *dx, const void *dy, const void *x, uint32_t n, size_t count)
{
    struct point_args a = {(float *)dx, (const float *)dy, (const float *)x};
    gelu_grad_at_run(n * count, &a);
}

static void grid_add(void *y, const void *a, const void *b, uint32_t n, size_t count)
{
    struct point_args args = {(float *)y, (const float *)a, (const float *)b};
    add_at_run(n * count, &args);
}

/* --- Losses. ---------------------------------------------------------------------------------- */

struct loss_args {
    struct kn_loss_sum *sum;
    float *to;
    const float *x;
    const int32_t *labels;
    const float *targets;
    size_t n;
    uint32_t count;
    uint32_t places; /* cross-entropy: n is the number of all of them, count that of classes */
};

/* The first largest of a sample's outputs, its number, and the sum of e^(x - largest). */
struct row_softmax {
    float largest;
    float sum;
    uint32_t best;
};

KN_CELL struct row_softmax softmax_row(const float *x, uint32_t classes)
{
    struct row_softmax s = {x[0], 0.0f, 0};
    for (uint32_t c = 1; c < classes; c++) {
        s.best = x[c] > s.largest ? c : s.best;
        s.largest = x[c] > s.largest ? x[c] : s.largest;
    }
    for (uint32_t c = 0; c < classes; c++) {
        s.sum += kn_exp(x[c] - s.largest);
    }
    return s;
}

/* One group: all samples. */
KN_CELL struct kn_grid_sum xent_part(size_t group, uint32_t thread, const struct loss_args *a)
{
    (void)group;
    struct kn_grid_sum part = {0.0, 0.0};
    for (size_t i = thread; i < a->n; i += KN_GRID_WIDTH) {
        const float *x = a->x + i * a->count;
        const struct row_softmax s = softmax_row(x, a->count);
        const uint32_t label = (uint32_t)a->labels[i];
        part.a += (double)(kn_log(s.sum) - (x[label] - s.largest)) / a->places;
        part.b += s.best == label ? 1.0 : 0.0;
    }
    return part;
}

KN_CELL void xent_done(size_t group, const struct kn_grid_sum *sum, const struct loss_args *a)
{
    a->sum[group].loss = sum->a;
    a->sum[group].correct = (uint32_t)sum->b;
}
KN_SUM(xent, struct loss_args)

/* One sample's outputs, which may be replaced by what is written. */
KN_CELL void softmax_at(size_t i, const struct loss_args *a)
{
    const float *x = a->x + i * a->count;
    float *to = a->to + i * a->count;
    const struct row_softmax s = softmax_row(x, a->count);
    const float part = 1.0f / (float)a->places;
    for (uint32_t c = 0; c < a->count; c++) {
        to[c] = kn_exp(x[c] - s.largest) / s.sum * part;
    }
    if (a->labels != NULL) {
        to[a->labels[i]] -= part;
    }
}
KN_EACH(softmax_at, struct loss_args)

KN_CELL struct kn_grid_sum mse_part(size_t group, uint32_t thread, const struct loss_args *a)
{
    (void)group;
    struct kn_grid_sum part = {0.0, 0.0};
    for (size_t i = thread; i < a->n * a->count; i += KN_GRID_WIDTH) {
        const double off = (double)a->x[i] - (double)a->targets[i];
        part.a += off * off;
    }
    return part;
}

KN_CELL void mse_done(size_t group, const struct kn_grid_sum *sum, const struct loss_args *a)
{
    a->sum[group].loss = sum->a / (double)a->count;
    a->sum[group].correct = 0;
}
KN_SUM(mse, struct loss_args)

KN_CELL void mse_at(size_t i, const struct loss_args *a)
{
    a->to[i] = (a->x[i] - a->targets[i]) * (2.0f / (float)a->count);
}
KN_EACH(mse_at, struct loss_args)

/* Scratch: the sum, then the labels or targets. */
static size_t grid_loss_scratch(uint32_t n, uint32_t count)
{
    KN_CHECK(n >= 1 && count >= 1);
    return KN_ALIGN + (size_t)n * count * sizeof(float);
}

static struct loss_args loss_args_of(void *to, const void *x, uint32_t n, uint32_t count,
                                     void *scratch)
{
    struct loss_args a;
    memset(&a, 0, sizeof a);
    a.sum = (struct kn_loss_sum *)scratch;
    a.to = (float *)to;
    a.x = (const float *)x;
    a.n = n;
    a.count = count;
    a.places = 1;
    return a;
}

static void grid_cross_entropy(struct kn_loss_sum *sum, void *dx, const void *x,
                               const int32_t *labels, uint32_t n, uint32_t places, uint32_t classes,
                               void *scratch)
{
    const size_t rows = (size_t)n * places;
    for (size_t i = 0; i < rows; i++) {
        KN_CHECK(labels[i] >= 0);
        KN_CHECK((uint32_t)labels[i] < classes);
    }
    struct loss_args a = loss_args_of(dx, x, n, classes, scratch);
    void *given = (unsigned char *)scratch + KN_ALIGN;
    grid_put(given, labels, rows * sizeof *labels);
    a.labels = (const int32_t *)given;
    a.n = rows;
    a.places = places;
    xent_run(1, &a);
    if (dx != NULL) {
        softmax_at_run(rows, &a);
    }
    memset(sum, 0, sizeof *sum);
    grid_get(sum, scratch, sizeof *sum);
}

static void grid_mse(struct kn_loss_sum *sum, void *dx, const void *x, const float *targets,
                     uint32_t n, uint32_t count, void *scratch)
{
    struct loss_args a = loss_args_of(dx, x, n, count, scratch);
    void *given = (unsigned char *)scratch + KN_ALIGN;
    grid_put(given, targets, (size_t)n * count * sizeof *targets);
    a.targets = (const float *)given;
    mse_run(1, &a);
    if (dx != NULL) {
        mse_at_run((size_t)n * count, &a);
    }
    memset(sum, 0, sizeof *sum);
    grid_get(sum, scratch, sizeof *sum);
}

static void grid_softmax(void *y, const void *x, uint32_t n, uint32_t classes)
{
    struct loss_args a = loss_args_of(y, x, n, classes, NULL);
    softmax_at_run(n, &a);
}
