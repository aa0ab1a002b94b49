/* SPDX-License-Identifier: Apache-2.0
 *
 * Layer normalisation, embedding, and one shift for all samples. Sums of a row or over rows run in
 * double. */

struct rows_args {
    float *to;
    float *saved_out;
    float *dgamma;
    float *dbeta;
    const float *saved;
    const float *x;
    const float *dy;
    const float *gamma;
    const float *beta;
    double eps;
    size_t rows;
    size_t width;
};

KN_CELL void layernorm_at(size_t r, const struct rows_args *a)
{
    const float *x = a->x + r * a->width;
    float *to = a->to + r * a->width;
    double sum = 0.0;
    double spread = 0.0;
    for (size_t c = 0; c < a->width; c++) {
        sum += (double)x[c];
    }
    const float mean = (float)(sum / (double)a->width);
    for (size_t c = 0; c < a->width; c++) {
        const double off = (double)x[c] - (double)mean;
        spread += off * off;
    }
    const float scale = (float)(1.0 / sqrt(spread / (double)a->width + a->eps));
    for (size_t c = 0; c < a->width; c++) {
        to[c] = fmaf((x[c] - mean) * scale, a->gamma[c], a->beta[c]);
    }
    if (a->saved_out != NULL) {
        a->saved_out[r] = mean;
        a->saved_out[a->rows + r] = scale;
    }
}
KN_EACH(layernorm_at, struct rows_args)

/* A group is a value's place in the row. */
KN_CELL struct kn_grid_sum layernorm_part(size_t group, uint32_t thread, const struct rows_args *a)
{
    struct kn_grid_sum part = {0.0, 0.0};
    for (size_t r = thread; r < a->rows; r += KN_GRID_WIDTH) {
        const size_t at = r * a->width + group;
        const float normal = (a->x[at] - a->saved[r]) * a->saved[a->rows + r];
        part.a += (double)a->dy[at] * (double)normal;
        part.b += (double)a->dy[at];
    }
    return part;
}

KN_CELL void layernorm_done(size_t group, const struct kn_grid_sum *sum, const struct rows_args *a)
{
    a->dgamma[group] = (float)sum->a;
    a->dbeta[group] = (float)sum->b;
}
KN_SUM(layernorm, struct rows_args)

/* A whole row, whose derivative may be replaced by what is written. */
KN_CELL void layernorm_dx_at(size_t r, const struct rows_args *a)
{
    const float *x = a->x + r * a->width;
    const float *dy = a->dy + r * a->width;
    float *to = a->to + r * a->width;
    const float mean = a->saved[r];
    const float scale = a->saved[a->rows + r];
    double sum = 0.0;
    double dot = 0.0;
    for (size_t c = 0; c < a->width; c++) {
        const float g = dy[c] * a->gamma[c];
        sum += (double)g;
        dot += (double)g * (double)((x[c] - mean) * scale);
    }
    const float even = (float)(sum / (double)a->width);
    const float along = (float)(dot / (double)a->width);
    for (size_t c = 0; c < a->width; c++) {
        const float normal = (x[c] - mean) * scale;
        to[c] = scale * (dy[c] * a->gamma[c] - even - normal * along);
    }
}
KN_EACH(layernorm_dx_at, struct rows_args)

static struct rows_args rows_args_of(void *to, const void *x, const void *gamma, uint32_t rows,
                                     uint32_t width)
{
    struct rows_args a;
    memset(&a, 0, sizeof a);
    a.to = (float *)to;
    a.x = (const float *)x;
    a.gamma = (const float *)gamma;
    a.rows = rows;
    a.width = width;
    return a;
}

static void grid_layernorm(void *y, void *saved, const void *x, const void *gamma, const void *beta,
                           double eps, uint32_t rows, uint32_t width)
{
    struct rows_args a = rows_args_of(y, x, gamma, rows, width);
    a.saved_out = (float *)saved;
    a.beta = (const float *)beta;
    a.eps = eps;
    layernorm_at_run(rows, &a);
}

static size_t grid_layernorm_scratch(uint32_t rows, uint32_t width)
{
    KN_CHECK(rows >= 1 && width >= 1);
    return 0;
}

static void grid_layernorm_grad(void *dx, void *dgamma, void *dbeta, const void *dy, const void *x,
                                const void *gamma, const void *saved, uint32_t rows, uint32_t width,
                                void *scratch)
{
    (void)scratch;
    struct rows_args a = rows_args_of(dx, x, gamma, rows, width);
    a.dy = (const float *)dy;
    a.saved = (const float *)saved;
    a.dgamma = (float *)dgamma;
    a.dbeta = (float *)dbeta;
    layernorm_run(width, &a);
    layernorm_dx_at_run(rows, &a);
}

struct embed_args {
    float *to;
    const float *x;
    const float *from; /* w, or dy */
    size_t rows;
    size_t width;
};

KN_CELL void embed_at(size_t i, const struct embed_args *a)
{
    const size_t row = (size_t)a->x[i / a->width];
    a->to[i] = a->from[row * a->width + i % a->width];
}
KN_EACH(embed_at, struct embed_args)

/* One value of one row of the table: all places that show it, in their order. */
KN_CELL void embed_dw_at(size_t i, const struct embed_args *a)
{
    const float row = (float)(i / a->width);
    float sum = 0.0f;
    for (size_t r = 0; r < a->rows; r++) {
        if (!(a->x[r] < row) && !(a->x[r] > row)) {
            sum += a->from[r * a->width + i % a->width];
        }
    }
    a->to[i] = sum;
}
KN_EACH(embed_dw_at, struct embed_args)

static void grid_embed(void *y, const void *x, const void *w, const struct kn_embed_shape *s,
                       uint32_t n)
{
    struct embed_args a = {(float *)y, (const float *)x, (const float *)w, (size_t)n * s->places,
                           s->width};
    embed_at_run(a.rows * s->width, &a);
}

static void grid_embed_grad(void *dw, const void *dy, const void *x, const struct kn_embed_shape *s,
                            uint32_t n)
{
    struct embed_args a = {(float *)dw, (const float *)x, (const float *)dy, (size_t)n * s->places,
                           s->width};
    embed_dw_at_run((size_t)s->vocab * s->width, &a);
}

struct shift_args {
    float *to;
    const float *x;
    const float *b;
    size_t n;
    size_t count;
};

KN_CELL void shift_at(size_t i, const struct shift_args *a)
{
    a->to[i] = a->x[i] + a->b[i % a->count];
}
KN_EACH(shift_at, struct shift_args)

KN_CELL void shift_db_at(size_t i, const struct shift_args *a)
{
    float sum = 0.0f;
    for (size_t k = 0; k < a->n; k++) {
        sum += a->x[k * a->count + i];
    }
    a->to[i] = sum;
}
KN_EACH(shift_db_at, struct shift_args)

static void grid_shift(void *y, const void *x, const void *b, uint32_t n, size_t count)
{
    struct shift_args a = {(float *)y, (const float *)x, (const float *)b, n, count};
    shift_at_run(n * count, &a);
}

static void grid_shift_grad(void *db, const void *dy, uint32_t n, size_t count)
{
    struct shift_args a = {(float *)db, (const float *)dy, NULL, n, count};
    shift_db_at_run(count, &a);
}
