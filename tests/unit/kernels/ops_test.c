/* SPDX-License-Identifier: Apache-2.0
 *
 * Every operation twice: the derivatives of ref against central differences in double, and each
 * other table against ref over many shapes with poisoned outputs. */
#include "kernels/kn.h"
#include "kernels/philox.h"
#include "device.h"
#include "grid.h"
#include "kept.h"
#include "place.h"
#include "tst.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- Values. ---------------------------------------------------------------------------------- */

static double *values(size_t count, uint32_t purpose, double from, double to)
{
    double *at = kept_bytes(count * sizeof *at);
    const struct kn_stream s = kn_stream_make(tst_seed(), 77, purpose, (uint32_t)tst_row);
    for (size_t i = 0; i < count; i++) {
        /* Rounded to float, so that both tables start from the same numbers. */
        at[i] = (double)(float)(from + (to - from) *
                                           (double)kn_unit_float(kn_stream_u32(s, 0, (uint32_t)i)));
    }
    return at;
}

static double *zeros(size_t count)
{
    return kept_bytes(count * sizeof(double));
}

static double dot(const double *a, const double *b, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += a[i] * b[i];
    }
    return sum;
}

/* --- One description for all operations. ------------------------------------------------------ */

enum what {
    DENSE,
    CONV,
    MAXPOOL,
    AVGPOOL,
    RELU,
    GELU,
    BN,
    DROPOUT,
    XENT, /* h places */
    MSE,
    ADD,
    NORM,  /* layer normalisation of n rows of c */
    EMBED, /* c places, out wide, sh numbers */
    SHIFT,
    ATTEND, /* c places, h heads, w deep; out: causal */
};

static const struct shape {
    enum what op;
    uint32_t n;
    uint32_t c, h, w;    /* input; dense, losses: c features */
    uint32_t out;        /* filters, units */
    uint32_t kh, kw;     /* kernel */
    uint32_t sh, sw;     /* stride */
    uint32_t t, l, b, r; /* padding */
} shapes[] = {
    {DENSE, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0},
    {DENSE, 3, 7, 1, 1, 5, 0, 0, 0, 0, 0, 0, 0, 0},
    {DENSE, 16, 33, 1, 1, 10, 0, 0, 0, 0, 0, 0, 0, 0},
    {DENSE, 17, 40, 1, 1, 19, 0, 0, 0, 0, 0, 0, 0, 0},
    {DENSE, 16, 100, 1, 1, 33, 0, 0, 0, 0, 0, 0, 0, 0},
    {DENSE, 5, 97, 1, 1, 8, 0, 0, 0, 0, 0, 0, 0, 0},
    {DENSE, 50, 12, 1, 1, 3, 0, 0, 0, 0, 0, 0, 0, 0},
    {CONV, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0},
    {CONV, 2, 1, 7, 7, 8, 5, 5, 1, 1, 2, 2, 2, 2},
    {CONV, 3, 8, 6, 5, 9, 5, 5, 1, 1, 2, 2, 2, 2},
    {CONV, 17, 3, 5, 6, 4, 3, 3, 1, 1, 1, 1, 1, 1},
    {CONV, 2, 2, 9, 8, 3, 3, 3, 2, 2, 1, 1, 1, 1},
    {CONV, 2, 2, 9, 8, 3, 3, 2, 2, 3, 0, 1, 1, 0},
    {CONV, 1, 3, 7, 11, 5, 1, 7, 1, 2, 0, 3, 0, 3},
    {CONV, 1, 2, 11, 7, 2, 7, 1, 3, 1, 6, 0, 0, 0},
    {CONV, 2, 4, 4, 4, 17, 1, 1, 1, 1, 0, 0, 0, 0},
    {CONV, 2, 4, 7, 7, 3, 1, 1, 2, 2, 0, 0, 0, 0},
    {CONV, 2, 2, 7, 8, 3, 2, 2, 3, 3, 0, 0, 0, 0},
    {CONV, 2, 1, 3, 3, 2, 5, 5, 1, 1, 4, 4, 4, 4},
    {CONV, 1, 1, 2, 2, 1, 5, 6, 1, 1, 2, 3, 2, 2},
    {CONV, 1, 2, 5, 5, 11, 4, 4, 1, 1, 1, 2, 2, 1},
    {CONV, 33, 2, 4, 6, 3, 3, 3, 1, 1, 1, 1, 1, 1},
    {CONV, 1, 1, 12, 13, 2, 11, 11, 1, 1, 5, 5, 5, 5},
    {MAXPOOL, 2, 3, 6, 6, 0, 2, 2, 2, 2, 0, 0, 0, 0},
    {MAXPOOL, 17, 2, 7, 5, 0, 2, 2, 2, 2, 0, 0, 0, 0},
    {MAXPOOL, 2, 2, 7, 7, 0, 3, 3, 2, 2, 1, 1, 1, 1},
    {MAXPOOL, 2, 2, 5, 8, 0, 3, 2, 1, 3, 0, 1, 0, 0},
    {MAXPOOL, 1, 1, 5, 5, 0, 2, 2, 3, 3, 0, 0, 0, 0},
    {AVGPOOL, 2, 3, 6, 6, 0, 2, 2, 2, 2, 0, 0, 0, 0},
    {AVGPOOL, 17, 2, 7, 7, 0, 3, 3, 2, 2, 1, 1, 1, 1},
    {AVGPOOL, 2, 2, 5, 8, 0, 3, 2, 1, 3, 0, 1, 0, 0},
    {AVGPOOL, 3, 2, 4, 4, 0, 4, 4, 4, 4, 0, 0, 0, 0},
    {RELU, 5, 7, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0},
    {RELU, 19, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0},
    {GELU, 5, 7, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0},
    {GELU, 19, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0},
    {BN, 4, 3, 5, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0},
    {BN, 18, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0},
    {BN, 33, 3, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0},
    {BN, 16, 2, 14, 14, 0, 0, 0, 0, 0, 0, 0, 0, 0},
    {DROPOUT, 5, 7, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0},
    {DROPOUT, 19, 6, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0},
    {XENT, 1, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0},
    {XENT, 19, 10, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0},
    {MSE, 3, 4, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0},
    {MSE, 19, 5, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0},
    {ADD, 19, 5, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0},
    {XENT, 3, 5, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0},
    {XENT, 18, 7, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0},
    {NORM, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0},
    {NORM, 5, 7, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0},
    {NORM, 33, 64, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0},
    {NORM, 48, 9, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0},
    {EMBED, 1, 1, 1, 1, 1, 0, 0, 2, 0, 0, 0, 0, 0},
    {EMBED, 5, 7, 1, 1, 3, 0, 0, 11, 0, 0, 0, 0, 0},
    {EMBED, 18, 4, 1, 1, 17, 0, 0, 5, 0, 0, 0, 0, 0},
    {SHIFT, 1, 3, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0},
    {SHIFT, 35, 6, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0},
    {ATTEND, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0},
    {ATTEND, 2, 5, 2, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0},
    {ATTEND, 3, 4, 1, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0},
    {ATTEND, 17, 19, 3, 8, 1, 0, 0, 0, 0, 0, 0, 0, 0},
    {ATTEND, 5, 9, 2, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0},
};

struct run {
    const struct kn_ops *ops;
    const struct shape *s;
    struct kn_conv_shape conv;
    struct kn_pool_shape pool;
    struct kn_bn_shape bn;
    struct kn_embed_shape embed;
    struct kn_attention_shape attention;
    struct kn_dropout_key key;
    size_t in, out, params, biases; /* per sample; parameters */
    double *x, *w, *b, *dy;         /* row-major, double: what both tables are given */
    int32_t *labels;
    float *targets;
};

static uint32_t extent(uint32_t in, uint32_t before, uint32_t after, uint32_t kernel,
                       uint32_t stride)
{
    return (in + before + after - kernel) / stride + 1;
}

/* What the operations on sequences take and give. */
static void run_sequence_of(struct run *r, const struct shape *s)
{
    if (s->op == NORM) {
        r->params = s->c;
        r->biases = s->c;
    } else if (s->op == EMBED) {
        r->embed = (struct kn_embed_shape){.places = s->c, .vocab = s->sh, .width = s->out};
        r->params = (size_t)s->sh * s->out;
        r->out = (size_t)s->c * s->out;
    } else if (s->op == SHIFT) {
        r->params = s->c;
    } else if (s->op == ATTEND) {
        r->attention = (struct kn_attention_shape){
            .places = s->c, .heads = s->h, .depth = s->w, .causal = s->out != 0};
        r->in = 3 * (size_t)s->c * s->h * s->w;
    }
}

static struct run run_of(const struct shape *s)
{
    struct run r = {.s = s, .in = (size_t)s->c * s->h * s->w, .key = {3, 9, 2, 5}};
    r.out = r.in;
    if (s->kh > 0) {
        const struct kn_window win = {.in_h = s->h,
                                      .in_w = s->w,
                                      .out_h = extent(s->h, s->t, s->b, s->kh, s->sh),
                                      .out_w = extent(s->w, s->l, s->r, s->kw, s->sw),
                                      .kernel_h = s->kh,
                                      .kernel_w = s->kw,
                                      .stride_h = s->sh,
                                      .stride_w = s->sw,
                                      .pad_top = s->t,
                                      .pad_left = s->l};
        r.conv = (struct kn_conv_shape){.win = win, .in_c = s->c, .out_c = s->out};
        r.pool = (struct kn_pool_shape){.win = win, .channels = s->c};
        r.out = (size_t)(s->op == CONV ? s->out : s->c) * win.out_h * win.out_w;
    }
    if (s->op == CONV) {
        r.params = (size_t)s->out * s->c * s->kh * s->kw;
        r.biases = s->out;
    } else if (s->op == DENSE) {
        r.params = (size_t)s->out * s->c;
        r.biases = s->out;
        r.out = s->out;
    } else if (s->op == BN) {
        r.bn = (struct kn_bn_shape){.channels = s->c, .area = s->h * s->w, .eps = 1e-3};
        r.params = s->c;
        r.biases = s->c;
    } else if (s->op == XENT || s->op == MSE) {
        r.out = 1;
    }
    run_sequence_of(&r, s);
    r.x = values(s->n * r.in, 1, -1, 1);
    r.w = values(r.params, 2, s->op == BN || s->op == NORM ? 0.5 : -1, 1);
    r.b = values(r.biases, 3, -1, 1);
    r.dy = values(s->n * r.out, 4, -1, 1);
    for (size_t i = 0; s->op == EMBED && i < s->n * r.in; i++) {
        r.x[i] = floor((r.x[i] + 1) / 2 * s->sh * 0.999);
    }
    r.labels = kept_bytes(s->n * (size_t)s->h * sizeof *r.labels);
    r.targets = kept_bytes(s->n * r.in * sizeof *r.targets);
    const double *targets = values(s->n * r.in, 5, -1, 1);
    for (uint32_t i = 0; i < s->n * s->h; i++) {
        r.labels[i] = (int32_t)(i * 7 % s->c);
    }
    for (size_t i = 0; i < s->n * r.in; i++) {
        r.targets[i] = (float)targets[i];
    }
    return r;
}

/* A buffer of the table's type and layout, from row-major doubles; padding lanes zero. */
static void *encode(const struct kn_ops *ops, const double *x, uint32_t n, size_t count)
{
    const size_t elements = kn_layout_count(ops, n, count);
    void *at = kept_bytes(elements * ops->elem_size);
    for (size_t i = 0; i < n; i++) {
        for (size_t e = 0; e < count; e++) {
            const size_t to = (i / ops->lanes * count + e) * ops->lanes + i % ops->lanes;
            if (ops->elem_size == 8) {
                ((double *)at)[to] = x[i * count + e];
            } else {
                ((float *)at)[to] = (float)x[i * count + e];
            }
        }
    }
    return place(ops, at, elements * ops->elem_size);
}

static double *decode(const struct kn_ops *ops, const void *x, uint32_t n, size_t count)
{
    double *at = zeros(n * count);
    x = placed(ops, x, kn_layout_count(ops, n, count) * ops->elem_size);
    for (size_t i = 0; i < n; i++) {
        for (size_t e = 0; e < count; e++) {
            const size_t from = (i / ops->lanes * count + e) * ops->lanes + i % ops->lanes;
            at[i * count + e] =
                ops->elem_size == 8 ? ((const double *)x)[from] : (double)((const float *)x)[from];
        }
    }
    return at;
}

/* Plain vectors: parameters. */
static void *encode_flat(const struct kn_ops *ops, const double *x, size_t count)
{
    /* One element past an aligned address: the tables promise to take any alignment. */
    unsigned char *all = kept_bytes((count + 1) * ops->elem_size);
    unsigned char *at = all + ops->elem_size;
    for (size_t i = 0; i < count; i++) {
        if (ops->elem_size == 8) {
            ((double *)(void *)at)[i] = x[i];
        } else {
            ((float *)(void *)at)[i] = (float)x[i];
        }
    }
    all = place(ops, all, (count + 1) * ops->elem_size);
    return all + ops->elem_size;
}

static double *decode_flat(const struct kn_ops *ops, const void *x, size_t count)
{
    double *at = zeros(count);
    x = placed(ops, x, count * ops->elem_size);
    for (size_t i = 0; i < count; i++) {
        at[i] = ops->elem_size == 8 ? ((const double *)x)[i] : (double)((const float *)x)[i];
    }
    return at;
}

/* Bytes of not-a-number, in float and in double. */
static void *poison_bytes(const struct kn_ops *ops, size_t bytes)
{
    return place(ops, memset(kept_bytes(bytes), 0xFF, bytes), bytes);
}

static void *poison(const struct kn_ops *ops, uint32_t n, size_t count)
{
    return poison_bytes(ops, kn_layout_count(ops, n, count) * ops->elem_size);
}

struct result {
    double *y, *dx, *dw, *db, *stats;
    uint32_t correct;
};

/* Padding lanes of a derivative are zero. */
static void expect_padding_zero(const struct kn_ops *ops, const void *x, uint32_t n, size_t count)
{
    const uint32_t blocks = (n + ops->lanes - 1) / ops->lanes;
    const double *all = decode(ops, x, blocks * ops->lanes, count);
    for (size_t i = n * count; i < blocks * ops->lanes * count; i++) {
        EXPECT(all[i] >= 0 && all[i] <= 0);
    }
}

static void run_windows(const struct run *r, const void *x, const void *w, const void *b,
                        const void *dy, void *y, void *dx, void *dw, void *db)
{
    const struct kn_ops *ops = r->ops;
    const uint32_t n = r->s->n;
    const size_t bytes = r->s->op == CONV    ? ops->conv_scratch(&r->conv, n)
                         : r->s->op == DENSE ? ops->dense_scratch(n, r->s->c, r->s->out)
                                             : 0;
    void *scratch = poison_bytes(ops, bytes);
    uint8_t *which = poison_bytes(ops, kn_layout_count(ops, n, r->out));
    switch (r->s->op) {
    case DENSE:
        ops->dense(y, x, w, b, n, r->s->c, r->s->out, scratch);
        scratch = poison_bytes(ops, bytes);
        ops->dense_grad(dx, dw, db, dy, x, w, n, r->s->c, r->s->out, scratch);
        break;
    case CONV:
        ops->conv(y, x, w, b, &r->conv, n, scratch);
        scratch = poison_bytes(ops, bytes);
        ops->conv_grad(dx, dw, db, dy, x, w, &r->conv, n, scratch);
        break;
    case MAXPOOL:
        ops->maxpool(y, which, x, &r->pool, n);
        ops->maxpool_grad(dx, dy, which, &r->pool, n);
        break;
    case AVGPOOL:
        ops->avgpool(y, x, &r->pool, n);
        ops->avgpool_grad(dx, dy, &r->pool, n);
        break;
    case RELU:
    case GELU:
    case BN:
    case DROPOUT:
    case XENT:
    case MSE:
    case ADD:
    case NORM:
    case EMBED:
    case SHIFT:
    case ATTEND:
        EXPECT(false);
    }
}

/* Tensors of one operation in the table's memory. */
struct tensors {
    void *x, *w, *b, *dy, *y, *dx, *dw, *db;
};

static void run_points(const struct run *r, const struct tensors *t)
{
    const struct kn_ops *ops = r->ops;
    const uint32_t n = r->s->n;
    if (r->s->op == RELU) {
        ops->relu(t->y, t->x, n, r->in);
        ops->relu_grad(t->dx, t->dy, t->y, n, r->in);
    } else if (r->s->op == GELU) {
        ops->gelu(t->y, t->x, n, r->in);
        ops->gelu_grad(t->dx, t->dy, t->x, n, r->in);
    } else {
        ops->add(t->y, t->x, t->dy, n, r->in);
        ops->add(t->dx, t->dy, t->dy, n, r->in);
    }
}

static void run_sequences(const struct run *r, const struct tensors *t)
{
    const struct kn_ops *ops = r->ops;
    const uint32_t n = r->s->n;
    const uint32_t c = r->s->c;
    const size_t probs = (size_t)r->s->h * c * c;
    void *saved = poison(ops, n, r->s->op == ATTEND ? probs : 2);
    void *scratch;
    if (r->s->op == NORM) {
        scratch = poison_bytes(ops, ops->layernorm_scratch(n, c));
        ops->layernorm(t->y, saved, t->x, t->w, t->b, 1e-3, n, c);
        ops->layernorm_grad(t->dx, t->dw, t->db, t->dy, t->x, t->w, saved, n, c, scratch);
    } else if (r->s->op == EMBED) {
        ops->embed(t->y, t->x, t->w, &r->embed, n);
        ops->embed_grad(t->dw, t->dy, t->x, &r->embed, n);
    } else if (r->s->op == SHIFT) {
        ops->shift(t->y, t->x, t->w, n, r->in);
        ops->shift_grad(t->dw, t->dy, n, r->in);
    } else {
        const size_t bytes = ops->attention_scratch(&r->attention, n);
        scratch = poison_bytes(ops, bytes);
        ops->attention(t->y, NULL, t->x, &r->attention, n, scratch);
        const double *alone = decode(ops, t->y, n, r->out);
        scratch = poison_bytes(ops, bytes);
        ops->attention(t->y, saved, t->x, &r->attention, n, scratch);
        EXPECT_MEM(alone, decode(ops, t->y, n, r->out), n * r->out * sizeof *alone);
        scratch = poison_bytes(ops, bytes);
        ops->attention_grad(t->dx, t->dy, t->x, saved, &r->attention, n, scratch);
    }
}

static struct result run_op(const struct run *r)
{
    const struct kn_ops *ops = r->ops;
    const uint32_t n = r->s->n;
    void *x = encode(ops, r->x, n, r->in);
    void *dy = encode(ops, r->dy, n, r->out);
    void *w = encode_flat(ops, r->w, r->params);
    void *b = encode_flat(ops, r->b, r->biases);
    void *y = poison(ops, n, r->out);
    /* Neither has a derivative of its own: numbers none, a shift the one it is given. */
    void *dx = r->s->op == EMBED   ? encode(ops, zeros(n * r->in), n, r->in)
               : r->s->op == SHIFT ? encode(ops, r->dy, n, r->in)
                                   : poison(ops, n, r->in);
    void *dw = encode_flat(ops, r->w, r->params);
    void *db = encode_flat(ops, r->b, r->biases);
    double *none = zeros(4 * (size_t)r->s->c);
    void *stats = encode_flat(ops, none, 2 * (size_t)r->s->c);
    void *saved = encode_flat(ops, none, 2 * (size_t)r->s->c);
    uint8_t *keep = poison_bytes(ops, kn_layout_count(ops, n, r->in));
    void *scratch = poison_bytes(ops, ops->loss_scratch(n, r->s->c * r->s->h));
    const struct tensors tensors = {x, w, b, dy, y, dx, dw, db};
    struct kn_loss_sum sum = {0, 0};
    switch (r->s->op) {
    case DENSE:
    case CONV:
    case MAXPOOL:
    case AVGPOOL:
        run_windows(r, x, w, b, dy, y, dx, dw, db);
        break;
    case RELU:
    case GELU:
    case ADD:
        run_points(r, &tensors);
        break;
    case BN:
        ops->bn(y, stats, saved, x, w, b, &r->bn, n);
        ops->bn_grad(dx, dw, db, dy, x, w, saved, &r->bn, n);
        break;
    case DROPOUT:
        ops->dropout(y, keep, x, 0.3, &r->key, n, r->in);
        ops->dropout_grad(dx, dy, keep, 0.3, n, r->in);
        break;
    case XENT:
        ops->cross_entropy(&sum, dx, x, r->labels, n, r->s->h, r->s->c, scratch);
        break;
    case MSE:
        ops->mse(&sum, dx, x, r->targets, n, r->s->c, scratch);
        break;
    case NORM:
    case EMBED:
    case SHIFT:
    case ATTEND:
        run_sequences(r, &tensors);
        break;
    }
    struct result result = {.dx = decode(ops, dx, n, r->in),
                            .dw = decode_flat(ops, dw, r->params),
                            .db = decode_flat(ops, db, r->biases),
                            .stats = decode_flat(ops, stats, 2 * (size_t)r->s->c),
                            .correct = sum.correct};
    expect_padding_zero(ops, dx, n, r->in);
    if (r->s->op == XENT || r->s->op == MSE) {
        result.y = zeros(n);
        result.y[0] = sum.loss;
    } else {
        result.y = decode(ops, y, n, r->out);
    }
    return result;
}

/* --- Derivatives. ----------------------------------------------------------------------------- */

/* What the derivatives are of: sum of dy * y; the loss itself. */
static double objective(const struct run *r)
{
    const struct result result = run_op(r);
    const bool loss = r->s->op == XENT || r->s->op == MSE;
    return loss ? result.y[0] : dot(result.y, r->dy, r->s->n * r->out);
}

static double worst_difference(const struct run *r, double *at, const double *derivative,
                               size_t count)
{
    const double h = 1e-5;
    double largest = 1e-3;
    double worst = 0;
    for (size_t i = 0; i < count; i++) {
        largest = fabs(derivative[i]) > largest ? fabs(derivative[i]) : largest;
    }
    const size_t step = count > 40 ? count / 37 : 1; /* 37 or more of them */
    for (size_t i = 0; i < count; i += step) {
        const double kept = at[i];
        at[i] = kept + h;
        const double above = objective(r);
        at[i] = kept - h;
        const double below = objective(r);
        at[i] = kept;
        const double error = fabs((above - below) / (2 * h) - derivative[i]) / largest;
        worst = error > worst ? error : worst;
    }
    return worst;
}

TEST_ROWS(derivatives_of_the_reference_match_central_differences, shapes)
{
    const struct shape *s = &shapes[tst_row];
    if (s->op == ADD) {
        SKIP("the derivative of a sum is the caller's");
    }
    struct run r = run_of(s);
    r.ops = kn_ops_ref();
    const struct result result = run_op(&r);
    if (s->op != EMBED) { /* numbers of rows: nothing is between them */
        EXPECT(worst_difference(&r, r.x, result.dx, s->n * r.in) < 1e-6);
    }
    EXPECT(worst_difference(&r, r.w, result.dw, r.params) < 1e-6);
    EXPECT(worst_difference(&r, r.b, result.db, r.biases) < 1e-6);
}

/* --- cpu against ref. ------------------------------------------------------------------------- */

/* ||a - b|| / ||b||, infinite when a holds what is not a number. */
static double distance(const double *a, const double *b, size_t count)
{
    double apart = 0;
    double size = 1e-30;
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(a[i])) {
            return INFINITY;
        }
        apart += (a[i] - b[i]) * (a[i] - b[i]);
        size += b[i] * b[i];
    }
    return count == 0 ? 0 : sqrt(apart / size);
}

static void expect_close(const struct run *r, const struct result *got, const struct result *want)
{
    const struct shape *s = r->s;
    const bool loss = s->op == XENT || s->op == MSE;
    const double limit = s->op == BN ? 1e-5 : s->op == GELU || s->op == XENT ? 2e-6 : 1e-6;
    const double errors[] = {distance(got->y, want->y, loss ? 1 : s->n * r->out),
                             distance(got->dx, want->dx, s->n * r->in),
                             distance(got->dw, want->dw, r->params),
                             distance(got->db, want->db, r->biases),
                             distance(got->stats, want->stats, 2 * (size_t)s->c)};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        printf("# %zu: %.3g\n", i, errors[i]);
    }
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        EXPECT(errors[i] < limit);
    }
    EXPECT_EQ(got->correct, want->correct);
}

static void expect_same(const struct run *r, const struct result *got, const struct result *again)
{
    const bool loss = r->s->op == XENT || r->s->op == MSE;
    EXPECT_MEM(got->y, again->y, (loss ? 1 : r->s->n * r->out) * sizeof(double));
    EXPECT_MEM(got->dx, again->dx, r->s->n * r->in * sizeof(double));
    EXPECT_MEM(got->dw, again->dw, r->params * sizeof(double));
    EXPECT_MEM(got->db, again->db, r->biases * sizeof(double));
    EXPECT_MEM(got->stats, again->stats, 2 * (size_t)r->s->c * sizeof(double));
    EXPECT_EQ(got->correct, again->correct);
}

static void compare_with_reference(const char *isa)
{
    struct run r = run_of(&shapes[tst_row]);
    r.ops = kn_ops_cpu_isa(isa);
    if (r.ops == NULL) {
        SKIP("this machine lacks the instruction set");
    }
    EXPECT(kn_open(NULL) == KN_OK);
    const struct result got = run_op(&r);
    const struct result again = run_op(&r);
    r.ops = kn_ops_ref();
    const struct result want = run_op(&r);
    expect_close(&r, &got, &want);
    expect_same(&r, &got, &again);
}

TEST_ROWS(avx512_agrees_with_the_reference_and_with_itself, shapes)
{
    compare_with_reference("v4");
}

TEST_ROWS(avx2_agrees_with_the_reference_and_with_itself, shapes)
{
    compare_with_reference("v3");
}

TEST_ROWS(base_agrees_with_the_reference_and_with_itself, shapes)
{
    compare_with_reference("base");
}

/* --- The cells of cuda. ----------------------------------------------------------------------- */

TEST_ROWS(cuda_cells_on_the_host_agree_with_the_reference_in_any_order, shapes)
{
    struct run r = run_of(&shapes[tst_row]);
    r.ops = grid_ops();
    const struct result got = run_op(&r);
    grid_order_set(GRID_DOWN);
    const struct result again = run_op(&r);
    r.ops = kn_ops_ref();
    const struct result want = run_op(&r);
    expect_close(&r, &got, &want);
    expect_same(&r, &got, &again);
}

/* One test for all shapes: without a device one line says so. */
TEST_LONG(a_cuda_device_agrees_with_the_reference_and_to_the_bit_with_its_cells, 300)
{
    const struct kn_ops *device = device_ops();
    for (tst_row = 0; tst_row < sizeof shapes / sizeof shapes[0]; tst_row++) {
        printf("# shape %zu\n", tst_row);
        struct run r = run_of(&shapes[tst_row]);
        r.ops = device;
        const struct result got = run_op(&r);
        r.ops = kn_ops_ref();
        const struct result want = run_op(&r);
        r.ops = grid_ops();
        const struct result cells = run_op(&r);
        expect_close(&r, &got, &want);
        expect_same(&r, &got, &cells);
    }
}

/* --- What the rows cannot say. ---------------------------------------------------------------- */

#define TABLES 3u

TEST(batch_normalisation_evaluates_with_running_statistics)
{
    const struct kn_ops *tables[TABLES] = {kn_ops_ref(), kn_ops_cpu(), grid_ops()};
    const struct kn_bn_shape shape = {.channels = 3, .area = 4, .eps = 1e-5};
    double *x = values(5 * 12, 1, -2, 2);
    double *y[TABLES];
    for (size_t i = 0; i < TABLES; i++) {
        void *at = encode(tables[i], x, 5, 12);
        void *gamma = encode_flat(tables[i], (const double[]){1, 2, -0.5}, 3);
        void *beta = encode_flat(tables[i], (const double[]){0, 1, 2}, 3);
        void *mean = encode_flat(tables[i], (const double[]){0.25, -1, 0}, 3);
        void *var = encode_flat(tables[i], (const double[]){1, 4, 0.25}, 3);
        tables[i]->bn_eval(at, at, gamma, beta, mean, var, &shape, 5);
        y[i] = decode(tables[i], at, 5, 12);
    }
    EXPECT(distance(y[1], y[0], 60) < 1e-6);
    EXPECT(distance(y[2], y[0], 60) < 1e-6);
    EXPECT_NEAR(y[0][4], (x[4] + 1) / sqrt(4 + 1e-5) * 2 + 1, 1e-12);
}

TEST(softmax_sums_to_one_and_survives_large_logits)
{
    const struct kn_ops *tables[TABLES] = {kn_ops_ref(), kn_ops_cpu(), grid_ops()};
    const double logits[] = {1000, 999, -1000, 3, 3, 3};
    for (size_t i = 0; i < TABLES; i++) {
        void *x = encode(tables[i], logits, 2, 3);
        tables[i]->softmax(x, x, 2, 3);
        const double *y = decode(tables[i], x, 2, 3);
        EXPECT_NEAR(y[0], 1 / (1 + exp(-1)), 1e-6);
        EXPECT_NEAR(y[0] + y[1] + y[2], 1, 1e-6);
        EXPECT_NEAR(y[4], 1.0 / 3, 1e-6);
    }
}

TEST(equal_logits_count_as_the_first_class)
{
    const struct kn_ops *tables[TABLES] = {kn_ops_ref(), kn_ops_cpu(), grid_ops()};
    const double logits[] = {5, 5, 5, 5};
    for (size_t i = 0; i < TABLES; i++) {
        void *x = encode(tables[i], logits, 2, 2);
        struct kn_loss_sum sum;
        tables[i]->cross_entropy(&sum, NULL, x, (const int32_t[]){0, 0}, 2, 1, 2,
                                 poison_bytes(tables[i], tables[i]->loss_scratch(2, 2)));
        EXPECT_EQ(sum.correct, 2);
        EXPECT_NEAR(sum.loss, 2 * log(2), 1e-6);
    }
}

TEST(of_equal_values_the_first_is_the_largest_of_a_window)
{
    const struct kn_ops *tables[TABLES] = {kn_ops_ref(), kn_ops_cpu(), grid_ops()};
    const struct kn_pool_shape pool = {.win = {2, 2, 1, 1, 2, 2, 2, 2, 0, 0}, .channels = 1};
    for (size_t i = 0; i < TABLES; i++) {
        void *x = encode(tables[i], (const double[]){0, 7, 7, 7}, 1, 4);
        void *dy = encode(tables[i], (const double[]){3}, 1, 1);
        void *y = poison(tables[i], 1, 1);
        void *dx = poison(tables[i], 1, 4);
        uint8_t *which = poison_bytes(tables[i], kn_layout_count(tables[i], 1, 1));
        tables[i]->maxpool(y, which, x, &pool, 1);
        tables[i]->maxpool_grad(dx, dy, which, &pool, 1);
        const double *got = decode(tables[i], dx, 1, 4);
        EXPECT_MEM(got, ((const double[]){0, 3, 0, 0}), 4 * sizeof *got);
    }
}

TEST(dropout_keeps_the_same_values_in_all_tables_and_the_stated_share)
{
    const struct kn_ops *tables[TABLES] = {kn_ops_ref(), kn_ops_cpu(), grid_ops()};
    const struct kn_dropout_key key = {.seed = 5, .step = 6, .rank = 7, .node = 8};
    double *x = values(20 * 500, 1, 1, 2);
    double *y[TABLES];
    for (size_t i = 0; i < TABLES; i++) {
        void *at = encode(tables[i], x, 20, 500);
        uint8_t *keep = poison_bytes(tables[i], kn_layout_count(tables[i], 20, 500));
        tables[i]->dropout(at, keep, at, 0.25, &key, 20, 500);
        y[i] = decode(tables[i], at, 20, 500);
    }
    size_t kept = 0;
    for (size_t i = 0; i < 10000; i++) {
        EXPECT((y[0][i] > 0) == (y[1][i] > 0));
        EXPECT((y[0][i] > 0) == (y[2][i] > 0));
        kept += y[0][i] > 0 ? 1 : 0;
    }
    EXPECT(kept > 7300 && kept < 7700);
}

TEST(not_a_number_passes_through_relu_and_maxpool)
{
    const struct kn_ops *tables[TABLES] = {kn_ops_ref(), kn_ops_cpu(), grid_ops()};
    const struct kn_pool_shape pool = {.win = {2, 2, 1, 1, 2, 2, 2, 2, 0, 0}, .channels = 1};
    for (size_t i = 0; i < TABLES; i++) {
        void *x = encode(tables[i], (const double[]){1, NAN, 3, 2}, 1, 4);
        void *y = poison(tables[i], 1, 4);
        tables[i]->relu(y, x, 1, 4);
        EXPECT(isnan(decode(tables[i], y, 1, 4)[1]));
        tables[i]->maxpool(y, NULL, x, &pool, 1);
        EXPECT(isnan(decode(tables[i], y, 1, 1)[0]));
    }
}

TEST(samples_survive_the_way_into_a_layout_and_back)
{
    const struct kn_ops *tables[TABLES] = {kn_ops_ref(), kn_ops_cpu(), grid_ops()};
    float x[37 * 5];
    float y[37 * 5];
    for (size_t i = 0; i < 37 * 5; i++) {
        x[i] = (float)i;
    }
    for (size_t i = 0; i < TABLES; i++) {
        void *at = poison(tables[i], 37, 5);
        memset(y, 0, sizeof y);
        tables[i]->load(at, x, 37, 5);
        expect_padding_zero(tables[i], at, 37, 5);
        tables[i]->store(y, at, 37, 5);
        EXPECT_MEM(x, y, sizeof x);
    }
}

TEST_DIES(a_label_out_of_range_is_a_bug_of_the_caller, "(uint32_t)label < classes")
{
    const struct kn_ops *ops = kn_ops_cpu();
    void *x = encode(ops, (const double[]){1, 2}, 1, 2);
    struct kn_loss_sum sum;
    ops->cross_entropy(&sum, NULL, x, (const int32_t[]){2}, 1, 1, 2, NULL);
}

TEST_DIES(a_label_out_of_range_is_refused_before_a_device_sees_it, "(uint32_t)labels[i] < classes")
{
    const struct kn_ops *ops = grid_ops();
    void *x = encode(ops, (const double[]){1, 2}, 1, 2);
    struct kn_loss_sum sum;
    ops->cross_entropy(&sum, NULL, x, (const int32_t[]){2}, 1, 1, 2,
                       poison_bytes(ops, ops->loss_scratch(1, 2)));
}
