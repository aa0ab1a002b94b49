/* SPDX-License-Identifier: Apache-2.0
 *
 * Dense layers: one chain of fmaf for each output. */

struct dense_args {
    float *to;
    const float *left;
    const float *right;
    const float *bias;
    size_t n, in, out;
};

/* to[n][out] = left[n][in] right[out][in] + bias[out] */
KN_CELL void dense_at(size_t i, const struct dense_args *a)
{
    const float *x = a->left + i / a->out * a->in;
    const float *w = a->right + i % a->out * a->in;
    float sum = 0.0f;
    for (size_t k = 0; k < a->in; k++) {
        sum = fmaf(w[k], x[k], sum);
    }
    a->to[i] = a->bias != NULL ? sum + a->bias[i % a->out] : sum;
}
KN_EACH(dense_at, struct dense_args)

/* to[n][in] = left[n][out] right[out][in] */
KN_CELL void dense_dx_at(size_t i, const struct dense_args *a)
{
    const float *dy = a->left + i / a->in * a->out;
    const float *w = a->right + i % a->in;
    float sum = 0.0f;
    for (size_t k = 0; k < a->out; k++) {
        sum = fmaf(w[k * a->in], dy[k], sum);
    }
    a->to[i] = sum;
}
KN_EACH(dense_dx_at, struct dense_args)

/* to[out][in] = left[n][out] right[n][in], over the samples */
KN_CELL void dense_dw_at(size_t i, const struct dense_args *a)
{
    const float *dy = a->left + i / a->in;
    const float *x = a->right + i % a->in;
    float sum = 0.0f;
    for (size_t k = 0; k < a->n; k++) {
        sum = fmaf(dy[k * a->out], x[k * a->in], sum);
    }
    a->to[i] = sum;
}
KN_EACH(dense_dw_at, struct dense_args)

/* to[out] = sum of left[n][out] over the samples */
KN_CELL void dense_db_at(size_t i, const struct dense_args *a)
{
    float sum = 0.0f;
    for (size_t k = 0; k < a->n; k++) {
        sum += a->left[k * a->out + i];
    }
    a->to[i] = sum;
}
KN_EACH(dense_db_at, struct dense_args)

static size_t grid_dense_scratch(uint32_t n, uint32_t in, uint32_t out)
{
    KN_CHECK(n >= 1 && in >= 1 && out >= 1);
    return 0;
}

static void grid_dense(void *y, const void *x, const void *w, const void *b, uint32_t n,
                       uint32_t in, uint32_t out, void *scratch)
{
    (void)scratch;
    struct dense_args a = {(float *)y, (const float *)x, (const float *)w, (const float *)b, n, in,
                           out};
    dense_at_run((size_t)n * out, &a);
}

static void grid_dense_grad(void *dx, void *dw, void *db, const void *dy, const void *x,
                            const void *w, uint32_t n, uint32_t in, uint32_t out, void *scratch)
{
    (void)scratch;
    struct dense_args a = {(float *)dw, (const float *)dy, (const float *)x, NULL, n, in, out};
    dense_dw_at_run((size_t)out * in, &a);
    if (db != NULL) {
        a.to = (float *)db;
        dense_db_at_run(out, &a);
    }
    if (dx != NULL) {
        a.to = (float *)dx;
        a.right = (const float *)w;
        dense_dx_at_run((size_t)n * in, &a);
    }
}
