/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention: each lane is a sample, so that a score or a mean of values is a chain of its own. All
 * of it, forward and backward, is two shapes of product: dots of one row with many (attend_dots),
 * and a mean of many rows (attend_mix). */

#define ATTEND_TILE 8 /* chains at once: enough to hide latency */

/* out[j] = scale * sum over d of a[d] * rows[j][d], for count rows that lie step floats apart. */
static void attend_dots(float *out, const float *a, const float *rows, size_t step, size_t count,
                        size_t depth, float scale)
{
    const kn_vec by = v_all(scale);
    size_t j = 0;
    for (; j + ATTEND_TILE <= count; j += ATTEND_TILE) {
        kn_vec sum[ATTEND_TILE];
        _Pragma("GCC unroll 8") for (size_t k = 0; k < ATTEND_TILE; k++)
        {
            sum[k] = v_zero();
        }
        for (size_t d = 0; d < depth; d++) {
            const kn_vec v = v_load(a + d * KN_LANES);
            const float *at = rows + j * step + d * KN_LANES;
            _Pragma("GCC unroll 8") for (size_t k = 0; k < ATTEND_TILE; k++)
            {
                sum[k] = v_fma(v, v_load(at + k * step), sum[k]);
            }
        }
        _Pragma("GCC unroll 8") for (size_t k = 0; k < ATTEND_TILE; k++)
        {
            v_store(out + (j + k) * KN_LANES, sum[k] * by);
        }
    }
    for (; j < count; j++) {
        kn_vec sum = v_zero();
        for (size_t d = 0; d < depth; d++) {
            sum = v_fma(v_load(a + d * KN_LANES), v_load(rows + j * step + d * KN_LANES), sum);
        }
        v_store(out + j * KN_LANES, sum * by);
    }
}

/* out[d] = sum over j of p[j] * rows[j][d]; p's values lie p_step floats apart. */
static void attend_mix(float *out, const float *p, size_t p_step, const float *rows, size_t step,
                       size_t count, size_t depth)
{
    size_t d = 0;
    for (; d + ATTEND_TILE <= depth; d += ATTEND_TILE) {
        kn_vec sum[ATTEND_TILE];
        _Pragma("GCC unroll 8") for (size_t k = 0; k < ATTEND_TILE; k++)
        {
            sum[k] = v_zero();
        }
        for (size_t j = 0; j < count; j++) {
            const kn_vec v = v_load(p + j * p_step);
            const float *at = rows + j * step + d * KN_LANES;
            _Pragma("GCC unroll 8") for (size_t k = 0; k < ATTEND_TILE; k++)
            {
                sum[k] = v_fma(v, v_load(at + k * KN_LANES), sum[k]);
            }
        }
        _Pragma("GCC unroll 8") for (size_t k = 0; k < ATTEND_TILE; k++)
        {
            v_store(out + (d + k) * KN_LANES, sum[k]);
        }
    }
    for (; d < depth; d++) {
        kn_vec sum = v_zero();
        for (size_t j = 0; j < count; j++) {
            sum = v_fma(v_load(p + j * p_step), v_load(rows + j * step + d * KN_LANES), sum);
        }
        v_store(out + d * KN_LANES, sum);
    }
}

/* Probabilities from scores, in place; count of them. */
static void attend_softmax(float *row, size_t count)
{
    kn_vec largest = v_load(row);
    for (size_t j = 1; j < count; j++) {
        const kn_vec v = v_load(row + j * KN_LANES);
        largest = v_select(v > largest, v, largest);
    }
    float most[KN_VW];
    float sum[KN_VW] = {0.0f};
    memcpy(most, &largest, sizeof most);
    for (size_t j = 0; j < count; j++) {
        float *at = row + j * KN_LANES;
        for (size_t l = 0; l < KN_VW; l++) {
            at[l] = kn_exp(at[l] - most[l]);
            sum[l] += at[l];
        }
    }
    kn_vec total;
    memcpy(&total, sum, sizeof total);
    for (size_t j = 0; j < count; j++) {
        v_store(row + j * KN_LANES, v_load(row + j * KN_LANES) / total);
    }
}

/* One head of one vector of lanes. Places of x and y lie x_step and y_step floats apart. */
struct attend {
    const float *query, *key, *value;
    size_t x_step, y_step;
    size_t places, depth;
    float scale;
    bool causal;
};

static struct attend attend_of(const float *x, const struct kn_attention_shape *s, size_t block,
                               size_t head, size_t lane)
{
    const size_t width = (size_t)s->heads * s->depth;
    const float *at = x + (block * s->places * 3 * width + head * s->depth) * KN_LANES + lane;
    return (struct attend){.query = at,
                           .key = at + width * KN_LANES,
                           .value = at + 2 * width * KN_LANES,
                           .x_step = 3 * width * KN_LANES,
                           .y_step = width * KN_LANES,
                           .places = s->places,
                           .depth = s->depth,
                           .scale = 1.0f / sqrtf((float)s->depth),
                           .causal = s->causal};
}

/* Where y, or dy, of that head begins; and its probabilities. */
static size_t attend_out(const struct kn_attention_shape *s, size_t block, size_t head, size_t lane)
{
    const size_t width = (size_t)s->heads * s->depth;
    return (block * s->places * width + head * s->depth) * KN_LANES + lane;
}

static size_t attend_probs(const struct kn_attention_shape *s, size_t block, size_t head,
                           size_t lane)
{
    return (block * s->heads + head) * s->places * s->places * KN_LANES + lane;
}

static void attend_forward(const struct attend *a, float *y, float *probs, float *row)
{
    for (size_t i = 0; i < a->places; i++) {
        const size_t seen = a->causal ? i + 1 : a->places;
        float *p = probs != NULL ? probs + i * a->places * KN_LANES : row;
        attend_dots(p, a->query + i * a->x_step, a->key, a->x_step, seen, a->depth, a->scale);
        attend_softmax(p, seen);
        attend_mix(y + i * a->y_step, p, KN_LANES, a->value, a->x_step, seen, a->depth);
        for (size_t j = seen; probs != NULL && j < a->places; j++) {
            v_store(p + j * KN_LANES, v_zero());
        }
    }
}

/* dx points at the head's queries. Rows of probs become derivatives of scores, once the values'
 * derivatives have been formed from them. */
static void attend_backward(const struct attend *a, float *dx, const float *dy, float *probs,
                            float *row)
{
    const size_t line = a->places * KN_LANES;
    float *dkey = dx + (a->key - a->query);
    float *dvalue = dx + (a->value - a->query);
    for (size_t j = 0; j < a->places; j++) {
        const size_t from = a->causal ? j : 0;
        attend_mix(dvalue + j * a->x_step, probs + from * line + j * KN_LANES, line,
                   dy + from * a->y_step, a->y_step, a->places - from, a->depth);
    }
    for (size_t i = 0; i < a->places; i++) {
        const size_t seen = a->causal ? i + 1 : a->places;
        float *p = probs + i * line;
        attend_dots(row, dy + i * a->y_step, a->value, a->x_step, seen, a->depth, 1.0f);
        kn_vec dot = v_zero();
        for (size_t j = 0; j < seen; j++) {
            dot = v_fma(v_load(p + j * KN_LANES), v_load(row + j * KN_LANES), dot);
        }
        for (size_t j = 0; j < seen; j++) {
            const kn_vec off = v_load(row + j * KN_LANES) - dot;
            v_store(p + j * KN_LANES, v_load(p + j * KN_LANES) * off * v_all(a->scale));
        }
        attend_mix(dx + i * a->x_step, p, KN_LANES, a->key, a->x_step, seen, a->depth);
    }
    for (size_t j = 0; j < a->places; j++) {
        const size_t from = a->causal ? j : 0;
        attend_mix(dkey + j * a->x_step, probs + from * line + j * KN_LANES, line,
                   a->query + from * a->x_step, a->x_step, a->places - from, a->depth);
    }
}

static size_t cpu_attention_scratch(const struct kn_attention_shape *s, uint32_t n)
{
    KN_CHECK(n >= 1 && s->places >= 1 && s->heads >= 1 && s->depth >= 1);
    return (size_t)s->places * KN_LANES * sizeof(float);
}

static void cpu_attention(void *y, void *probs, const void *x, const struct kn_attention_shape *s,
                          uint32_t n, void *scratch)
{
    for (size_t i = 0; i < blocks_of(n) * s->heads * KN_VG; i++) {
        const size_t lane = i % KN_VG * KN_VW;
        const size_t head = i / KN_VG % s->heads;
        const size_t block = i / KN_VG / s->heads;
        const struct attend a = attend_of(x, s, block, head, lane);
        attend_forward(&a, (float *)y + attend_out(s, block, head, lane),
                       probs != NULL ? (float *)probs + attend_probs(s, block, head, lane) : NULL,
                       scratch);
    }
}

static void cpu_attention_grad(void *dx, const void *dy, const void *x, void *probs,
                               const struct kn_attention_shape *s, uint32_t n, void *scratch)
{
    for (size_t i = 0; i < blocks_of(n) * s->heads * KN_VG; i++) {
        const size_t lane = i % KN_VG * KN_VW;
        const size_t head = i / KN_VG % s->heads;
        const size_t block = i / KN_VG / s->heads;
        const struct attend a = attend_of(x, s, block, head, lane);
        attend_backward(&a, (float *)dx + (a.query - (const float *)x),
                        (const float *)dy + attend_out(s, block, head, lane),
                        (float *)probs + attend_probs(s, block, head, lane), scratch);
    }
}
