/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention: a cell is a query's row of probabilities, or one number of a result, a chain of fmaf.
 */

struct attend_args {
    float *to;
    float *probs;
    const float *x;
    const float *dy;
    size_t places, heads, depth, width;
    float scale;
    int causal;
};

/* Queries (part = 0), keys (1) or values (2) at a place; row counts places over all samples. */
KN_CELL const float *attend_part(const struct attend_args *a, size_t row, size_t part, size_t head)
{
    return a->x + row * 3 * a->width + part * a->width + head * a->depth;
}

KN_CELL float attend_dot(const float *p, const float *q, size_t count)
{
    float sum = 0.0f;
    for (size_t d = 0; d < count; d++) {
        sum = fmaf(p[d], q[d], sum);
    }
    return sum;
}

/* i counts [sample][head][place]. */
KN_CELL void attend_probs_at(size_t i, const struct attend_args *a)
{
    const size_t place = i % a->places;
    const size_t head = i / a->places % a->heads;
    const size_t first = i / a->places / a->heads * a->places;
    const size_t seen = a->causal ? place + 1 : a->places;
    const float *query = attend_part(a, first + place, 0, head);
    float *row = a->probs + i * a->places;
    float largest = 0.0f;
    float sum = 0.0f;
    for (size_t j = 0; j < seen; j++) {
        row[j] = attend_dot(query, attend_part(a, first + j, 1, head), a->depth) * a->scale;
        largest = j == 0 || row[j] > largest ? row[j] : largest;
    }
    for (size_t j = 0; j < seen; j++) {
        row[j] = kn_exp(row[j] - largest);
        sum += row[j];
    }
    for (size_t j = 0; j < a->places; j++) {
        row[j] = j < seen ? row[j] / sum : 0.0f;
    }
}
KN_EACH(attend_probs_at, struct attend_args)

/* i counts [sample][place][head][depth], as y lies. */
KN_CELL void attend_mix_at(size_t i, const struct attend_args *a)
{
    const size_t head = i / a->depth % a->heads;
    const size_t place = i / a->width % a->places;
    const size_t sample = i / a->width / a->places;
    const size_t seen = a->causal ? place + 1 : a->places;
    const float *row = a->probs + ((sample * a->heads + head) * a->places + place) * a->places;
    const float *value = attend_part(a, sample * a->places, 2, head) + i % a->depth;
    float sum = 0.0f;
    for (size_t j = 0; j < seen; j++) {
        sum = fmaf(row[j], value[j * 3 * a->width], sum);
    }
    a->to[i] = sum;
}
KN_EACH(attend_mix_at, struct attend_args)

/* Derivatives of values; i as above. */
KN_CELL void attend_dv_at(size_t i, const struct attend_args *a)
{
    const size_t head = i / a->depth % a->heads;
    const size_t place = i / a->width % a->places;
    const size_t sample = i / a->width / a->places;
    const float *column = a->probs + (sample * a->heads + head) * a->places * a->places + place;
    const float *dy = a->dy + sample * a->places * a->width + i % a->width;
    float sum = 0.0f;
    for (size_t k = a->causal ? place : 0; k < a->places; k++) {
        sum = fmaf(column[k * a->places], dy[k * a->width], sum);
    }
    a->to[i / a->width * 3 * a->width + 2 * a->width + i % a->width] = sum;
}
KN_EACH(attend_dv_at, struct attend_args)

/* A query's probabilities become the derivatives of its scores. */
KN_CELL void attend_ds_at(size_t i, const struct attend_args *a)
{
    const size_t place = i % a->places;
    const size_t head = i / a->places % a->heads;
    const size_t first = i / a->places / a->heads * a->places;
    const size_t seen = a->causal ? place + 1 : a->places;
    const float *dy = a->dy + (first + place) * a->width + head * a->depth;
    float *row = a->probs + i * a->places;
    float dot = 0.0f;
    for (size_t j = 0; j < seen; j++) {
        dot = fmaf(row[j], attend_dot(dy, attend_part(a, first + j, 2, head), a->depth), dot);
    }
    for (size_t j = 0; j < seen; j++) {
        const float slope = attend_dot(dy, attend_part(a, first + j, 2, head), a->depth) - dot;
        row[j] = row[j] * slope * a->scale;
    }
}
KN_EACH(attend_ds_at, struct attend_args)

/* Derivatives of queries. */
KN_CELL void attend_dq_at(size_t i, const struct attend_args *a)
{
    const size_t head = i / a->depth % a->heads;
    const size_t place = i / a->width % a->places;
    const size_t sample = i / a->width / a->places;
    const size_t seen = a->causal ? place + 1 : a->places;
    const float *row = a->probs + ((sample * a->heads + head) * a->places + place) * a->places;
    const float *key = attend_part(a, sample * a->places, 1, head) + i % a->depth;
    float sum = 0.0f;
    for (size_t j = 0; j < seen; j++) {
        sum = fmaf(row[j], key[j * 3 * a->width], sum);
    }
    a->to[i / a->width * 3 * a->width + i % a->width] = sum;
}
KN_EACH(attend_dq_at, struct attend_args)

/* Derivatives of keys. */
KN_CELL void attend_dk_at(size_t i, const struct attend_args *a)
{
    const size_t head = i / a->depth % a->heads;
    const size_t place = i / a->width % a->places;
    const size_t sample = i / a->width / a->places;
    const float *column = a->probs + (sample * a->heads + head) * a->places * a->places + place;
    const float *query = attend_part(a, sample * a->places, 0, head) + i % a->depth;
    float sum = 0.0f;
    for (size_t k = a->causal ? place : 0; k < a->places; k++) {
        sum = fmaf(column[k * a->places], query[k * 3 * a->width], sum);
    }
    a->to[i / a->width * 3 * a->width + a->width + i % a->width] = sum;
}
KN_EACH(attend_dk_at, struct attend_args)

static struct attend_args attend_args_of(void *to, void *probs, const void *x,
                                         const struct kn_attention_shape *s)
{
    struct attend_args a;
    memset(&a, 0, sizeof a);
    a.to = (float *)to;
    a.probs = (float *)probs;
    a.x = (const float *)x;
    a.places = s->places;
    a.heads = s->heads;
    a.depth = s->depth;
    a.width = (size_t)s->heads * s->depth;
    a.scale = 1.0f / sqrtf((float)s->depth);
    a.causal = s->causal ? 1 : 0;
    return a;
}

/* The probabilities, where the caller does not want them. */
static size_t grid_attention_scratch(const struct kn_attention_shape *s, uint32_t n)
{
    KN_CHECK(n >= 1 && s->places >= 1 && s->heads >= 1 && s->depth >= 1);
    return (size_t)n * s->heads * s->places * s->places * sizeof(float);
}

static void grid_attention(void *y, void *probs, const void *x, const struct kn_attention_shape *s,
                           uint32_t n, void *scratch)
{
    struct attend_args a = attend_args_of(y, probs != NULL ? probs : scratch, x, s);
    attend_probs_at_run((size_t)n * s->heads * s->places, &a);
    attend_mix_at_run((size_t)n * s->places * a.width, &a);
}

static void grid_attention_grad(void *dx, const void *dy, const void *x, void *probs,
                                const struct kn_attention_shape *s, uint32_t n, void *scratch)
{
    (void)scratch;
    struct attend_args a = attend_args_of(dx, probs, x, s);
    const size_t all = (size_t)n * s->places * a.width;
    a.dy = (const float *)dy;
    attend_dv_at_run(all, &a);
    attend_ds_at_run((size_t)n * s->heads * s->places, &a);
    attend_dq_at_run(all, &a);
    attend_dk_at_run(all, &a);
}
