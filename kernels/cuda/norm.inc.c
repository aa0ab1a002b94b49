/* SPDX-License-Identifier: Apache-2.0
 *
 * Batch normalisation and dropout. A channel's sums run in double. */

struct bn_args {
    float *to;
    float *stats;
    float *saved_out; /* where the forward pass writes what it and the others read */
    const float *saved;
    const float *x;
    const float *dy;
    const float *gamma;
    const float *beta;
    const float *mean;
    const float *var;
    float *dgamma;
    float *dbeta;
    struct kn_bn_shape s;
    size_t n;
};

/* Where value k of channel c lies, k running over samples and area. */
KN_CELL size_t bn_place(const struct bn_args *a, size_t c, size_t k)
{
    return (k / a->s.area * a->s.channels + c) * a->s.area + k % a->s.area;
}

KN_CELL size_t bn_channel(const struct bn_args *a, size_t i)
{
    return i / a->s.area % a->s.channels;
}

KN_CELL struct kn_grid_sum bn_mean_part(size_t group, uint32_t thread, const struct bn_args *a)
{
    struct kn_grid_sum part = {0.0, 0.0};
    for (size_t k = thread; k < a->n * a->s.area; k += KN_GRID_WIDTH) {
        part.a += (double)a->x[bn_place(a, group, k)];
    }
    return part;
}

KN_CELL void bn_mean_done(size_t group, const struct kn_grid_sum *sum, const struct bn_args *a)
{
    const float mean = (float)(sum->a / (double)(a->n * a->s.area));
    a->stats[group] = mean;
    a->saved_out[group] = mean;
}
KN_SUM(bn_mean, struct bn_args)

KN_CELL struct kn_grid_sum bn_spread_part(size_t group, uint32_t thread, const struct bn_args *a)
{
    const double mean = (double)a->saved[group];
    struct kn_grid_sum part = {0.0, 0.0};
    for (size_t k = thread; k < a->n * a->s.area; k += KN_GRID_WIDTH) {
        const double off = (double)a->x[bn_place(a, group, k)] - mean;
        part.a += off * off;
    }
    return part;
}

KN_CELL void bn_spread_done(size_t group, const struct kn_grid_sum *sum, const struct bn_args *a)
{
    const double mean = (double)a->saved[group];
    const double var = sum->a / (double)(a->n * a->s.area);
    a->stats[a->s.channels + group] = (float)(var + mean * mean);
    a->saved_out[a->s.channels + group] = (float)(1.0 / sqrt(var + a->s.eps));
}
KN_SUM(bn_spread, struct bn_args)

KN_CELL void bn_at(size_t i, const struct bn_args *a)
{
    const size_t c = bn_channel(a, i);
    const float slope = a->gamma[c] * a->saved[a->s.channels + c];
    a->to[i] = fmaf(a->x[i] - a->saved[c], slope, a->beta[c]);
}
KN_EACH(bn_at, struct bn_args)

KN_CELL void bn_eval_at(size_t i, const struct bn_args *a)
{
    const size_t c = bn_channel(a, i);
    const float scale = (float)(1.0 / sqrt((double)a->var[c] + a->s.eps));
    a->to[i] = fmaf(a->x[i] - a->mean[c], a->gamma[c] * scale, a->beta[c]);
}
KN_EACH(bn_eval_at, struct bn_args)

KN_CELL struct kn_grid_sum bn_grad_part(size_t group, uint32_t thread, const struct bn_args *a)
{
    const double mean = (double)a->saved[group];
    struct kn_grid_sum part = {0.0, 0.0};
    for (size_t k = thread; k < a->n * a->s.area; k += KN_GRID_WIDTH) {
        const size_t at = bn_place(a, group, k);
        part.a += (double)a->dy[at];
        part.b += (double)a->dy[at] * ((double)a->x[at] - mean);
    }
    return part;
}

KN_CELL void bn_grad_done(size_t group, const struct kn_grid_sum *sum, const struct bn_args *a)
{
    a->dbeta[group] = (float)sum->a;
    a->dgamma[group] = (float)(sum->b * (double)a->saved[a->s.channels + group]);
}
KN_SUM(bn_grad, struct bn_args)

KN_CELL void bn_dx_at(size_t i, const struct bn_args *a)
{
    const size_t c = bn_channel(a, i);
    const float values = (float)(a->n * a->s.area);
    const float scale = a->saved[a->s.channels + c];
    const float normal = (a->x[i] - a->saved[c]) * scale;
    const float mean = a->dbeta[c] / values;
    const float along = a->dgamma[c] / values;
    a->to[i] = a->gamma[c] * scale * (a->dy[i] - mean - normal * along);
}
KN_EACH(bn_dx_at, struct bn_args)

static struct bn_args bn_args_of(void *to, const void *x, const void *gamma,
                                 const struct kn_bn_shape *s, uint32_t n)
{
    struct bn_args a;
    memset(&a, 0, sizeof a);
    a.to = (float *)to;
    a.x = (const float *)x;
    a.gamma = (const float *)gamma;
    a.s = *s;
    a.n = n;
    return a;
}

static void grid_bn(void *y, void *stats, void *saved, const void *x, const void *gamma,
                    const void *beta, const struct kn_bn_shape *s, uint32_t n)
{
    struct bn_args a = bn_args_of(y, x, gamma, s, n);
    a.stats = (float *)stats;
    a.saved_out = (float *)saved;
    a.saved = (const float *)saved;
    a.beta = (const float *)beta;
    bn_mean_run(s->channels, &a);
    bn_spread_run(s->channels, &a);
    bn_at_run((size_t)n * s->channels * s->area, &a);
}

static void grid_bn_grad(void *dx, void *dgamma, void *dbeta, const void *dy, const void *x,
                         const void *gamma, const void *saved, const struct kn_bn_shape *s,
                         uint32_t n)
{
    struct bn_args a = bn_args_of(dx, x, gamma, s, n);
    a.dy = (const float *)dy;
    a.saved = (const float *)saved;
    a.dgamma = (float *)dgamma;
    a.dbeta = (float *)dbeta;
    bn_grad_run(s->channels, &a);
    bn_dx_at_run((size_t)n * s->channels * s->area, &a);
}

static void grid_bn_eval(void *y, const void *x, const void *gamma, const void *beta,
                         const void *mean, const void *var, const struct kn_bn_shape *s, uint32_t n)
{
    struct bn_args a = bn_args_of(y, x, gamma, s, n);
    a.beta = (const float *)beta;
    a.mean = (const float *)mean;
    a.var = (const float *)var;
    bn_eval_at_run((size_t)n * s->channels * s->area, &a);
}

struct dropout_args {
    float *to;
    uint8_t *keep;
    const float *x; /* or dy */
    const uint8_t *kept;
    struct kn_stream stream;
    size_t count;
    float rate;
    float scale;
};

KN_CELL void dropout_at(size_t i, const struct dropout_args *a)
{
    const uint32_t word = kn_stream_u32(a->stream, i / a->count, (uint32_t)(i % a->count));
    const uint8_t keep = kn_unit_float(word) >= a->rate ? 1 : 0;
    a->keep[i] = keep;
    a->to[i] = keep != 0 ? a->x[i] * a->scale : 0.0f;
}
KN_EACH(dropout_at, struct dropout_args)

KN_CELL void dropout_grad_at(size_t i, const struct dropout_args *a)
{
    a->to[i] = a->kept[i] != 0 ? a->x[i] * a->scale : 0.0f;
}
KN_EACH(dropout_grad_at, struct dropout_args)

static struct dropout_args dropout_args_of(void *to, const void *x, double rate, size_t count)
{
    struct dropout_args a;
    memset(&a, 0, sizeof a);
    a.to = (float *)to;
    a.x = (const float *)x;
    a.rate = (float)rate;
    a.scale = (float)(1.0 / (1.0 - rate));
    a.count = count;
    return a;
}

static void grid_dropout(void *y, uint8_t *keep, const void *x, double rate,
                         const struct kn_dropout_key *key, uint32_t n, size_t count)
{
    struct dropout_args a = dropout_args_of(y, x, rate, count);
    a.keep = keep;
    a.stream = kn_stream_make(key->seed, key->step, key->rank, key->node);
    dropout_at_run(n * count, &a);
}

static void grid_dropout_grad(void *dx, const void *dy, const uint8_t *keep, double rate,
                              uint32_t n, size_t count)
{
    struct dropout_args a = dropout_args_of(dx, dy, rate, count);
    a.kept = keep;
    dropout_grad_at_run(n * count, &a);
}
