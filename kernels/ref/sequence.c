/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/ref/sequence.h"

#include "kernels/math.h"

#include <math.h>

void kn_ref_layernorm(void *y, void *saved, const void *x, const void *gamma, const void *beta,
                      double eps, uint32_t rows, uint32_t width)
{
    for (size_t r = 0; r < rows; r++) {
        const double *in = (const double *)x + r * width;
        double *out = (double *)y + r * width;
        double sum = 0.0;
        double spread = 0.0;
        for (uint32_t c = 0; c < width; c++) {
            sum += in[c];
        }
        const double mean = sum / width;
        for (uint32_t c = 0; c < width; c++) {
            spread += (in[c] - mean) * (in[c] - mean);
        }
        const double scale = 1.0 / sqrt(spread / width + eps);
        for (uint32_t c = 0; c < width; c++) {
            out[c] =
                (in[c] - mean) * scale * ((const double *)gamma)[c] + ((const double *)beta)[c];
        }
        if (saved != NULL) {
            ((double *)saved)[r] = mean;
            ((double *)saved)[rows + r] = scale;
        }
    }
}

size_t kn_ref_layernorm_scratch(uint32_t rows, uint32_t width)
{
    KN_CHECK(rows >= 1 && width >= 1);
    return 0;
}

void kn_ref_layernorm_grad(void *dx, void *dgamma, void *dbeta, const void *dy, const void *x,
                           const void *gamma, const void *saved, uint32_t rows, uint32_t width,
                           void *scratch)
{
    (void)scratch;
    memset(dgamma, 0, width * sizeof(double));
    memset(dbeta, 0, width * sizeof(double));
    for (size_t r = 0; r < rows; r++) {
        const double *in = (const double *)x + r * width;
        const double *grad = (const double *)dy + r * width;
        const double mean = ((const double *)saved)[r];
        const double scale = ((const double *)saved)[rows + r];
        double sum = 0.0;
        double dot = 0.0;
        for (uint32_t c = 0; c < width; c++) {
            const double normal = (in[c] - mean) * scale;
            const double g = grad[c] * ((const double *)gamma)[c];
            sum += g;
            dot += g * normal;
            ((double *)dgamma)[c] += grad[c] * normal;
            ((double *)dbeta)[c] += grad[c];
        }
        for (uint32_t c = 0; c < width; c++) {
            const double normal = (in[c] - mean) * scale;
            const double g = grad[c] * ((const double *)gamma)[c];
            ((double *)dx)[r * width + c] = scale * (g - sum / width - normal * dot / width);
        }
    }
}

static size_t row_of(const void *x, size_t i, uint32_t vocab)
{
    const double id = ((const double *)x)[i];
    KN_CHECK(id >= 0.0 && id < (double)vocab);
    return (size_t)id;
}

void kn_ref_embed(void *y, const void *x, const void *w, const struct kn_embed_shape *s, uint32_t n)
{
    for (size_t i = 0; i < (size_t)n * s->places; i++) {
        memcpy((double *)y + i * s->width, (const double *)w + row_of(x, i, s->vocab) * s->width,
               s->width * sizeof(double));
    }
}

void kn_ref_embed_grad(void *dw, const void *dy, const void *x, const struct kn_embed_shape *s,
                       uint32_t n)
{
    memset(dw, 0, (size_t)s->vocab * s->width * sizeof(double));
    for (size_t i = 0; i < (size_t)n * s->places; i++) {
        double *to = (double *)dw + row_of(x, i, s->vocab) * s->width;
        for (uint32_t c = 0; c < s->width; c++) {
            to[c] += ((const double *)dy)[i * s->width + c];
        }
    }
}

void kn_ref_shift(void *y, const void *x, const void *b, uint32_t n, size_t count)
{
    for (size_t i = 0; i < n * count; i++) {
        ((double *)y)[i] = ((const double *)x)[i] + ((const double *)b)[i % count];
    }
}

void kn_ref_shift_grad(void *db, const void *dy, uint32_t n, size_t count)
{
    memset(db, 0, count * sizeof(double));
    for (size_t i = 0; i < n * count; i++) {
        ((double *)db)[i % count] += ((const double *)dy)[i];
    }
}

size_t kn_ref_attention_scratch(const struct kn_attention_shape *s, uint32_t n)
{
    KN_CHECK(n >= 1 && s->places >= 1 && s->heads >= 1 && s->depth >= 1);
    return s->places * sizeof(double);
}

/* Queries (part = 0), keys (1) or values (2) of one head at one place of a sample. */
static size_t part_at(const struct kn_attention_shape *s, uint32_t place, int part, uint32_t head)
{
    const size_t width = (size_t)s->heads * s->depth;
    return place * 3 * width + (size_t)part * width + (size_t)head * s->depth;
}

static double product(const double *a, const double *b, uint32_t count)
{
    double sum = 0.0;
    for (uint32_t i = 0; i < count; i++) {
        sum += a[i] * b[i];
    }
    return sum;
}

/* The probabilities of one query. */
static void query_probs(double *row, const double *x, const struct kn_attention_shape *s,
                        uint32_t head, uint32_t place)
{
    const uint32_t seen = s->causal ? place + 1 : s->places;
    const double *query = x + part_at(s, place, 0, head);
    double largest = -(double)INFINITY;
    double sum = 0.0;
    for (uint32_t j = 0; j < seen; j++) {
        row[j] = product(query, x + part_at(s, j, 1, head), s->depth) / sqrt(s->depth);
        largest = row[j] > largest ? row[j] : largest;
    }
    for (uint32_t j = 0; j < seen; j++) {
        row[j] = kn_exp64(row[j] - largest);
        sum += row[j];
    }
    for (uint32_t j = 0; j < s->places; j++) {
        row[j] = j < seen ? row[j] / sum : 0.0;
    }
}

void kn_ref_attention(void *y, void *probs, const void *x, const struct kn_attention_shape *s,
                      uint32_t n, void *scratch)
{
    const size_t width = (size_t)s->heads * s->depth;
    for (size_t i = 0; i < (size_t)n * s->heads * s->places; i++) {
        const uint32_t place = (uint32_t)(i % s->places);
        const uint32_t head = (uint32_t)(i / s->places % s->heads);
        const size_t sample = i / s->places / s->heads;
        const double *in = (const double *)x + sample * s->places * 3 * width;
        double *out = (double *)y + (sample * s->places + place) * width + head * s->depth;
        double *row = probs != NULL ? (double *)probs + i * s->places : scratch;
        query_probs(row, in, s, head, place);
        for (uint32_t d = 0; d < s->depth; d++) {
            out[d] = 0.0;
            for (uint32_t j = 0; j < s->places; j++) {
                out[d] += row[j] * in[part_at(s, j, 2, head) + d];
            }
        }
    }
}

/* What one query adds to the derivative of one sample; row is its probabilities. */
static void query_grad(double *dx, const double *dy, const double *x, const double *row,
                       const struct kn_attention_shape *s, uint32_t head, uint32_t place)
{
    const double scale = 1.0 / sqrt(s->depth);
    const size_t query = part_at(s, place, 0, head);
    double dot = 0.0;
    for (uint32_t j = 0; j < s->places; j++) {
        dot += row[j] * product(dy, x + part_at(s, j, 2, head), s->depth);
    }
    for (uint32_t j = 0; j < s->places; j++) {
        const size_t key = part_at(s, j, 1, head);
        const size_t value = part_at(s, j, 2, head);
        const double slope = row[j] * (product(dy, x + value, s->depth) - dot) * scale;
        for (uint32_t d = 0; d < s->depth; d++) {
            dx[query + d] += slope * x[key + d];
            dx[key + d] += slope * x[query + d];
            dx[value + d] += row[j] * dy[d];
        }
    }
}

void kn_ref_attention_grad(void *dx, const void *dy, const void *x, void *probs,
                           const struct kn_attention_shape *s, uint32_t n, void *scratch)
{
    (void)scratch;
    const size_t width = (size_t)s->heads * s->depth;
    const size_t size = s->places * 3 * width;
    memset(dx, 0, n * size * sizeof(double));
    for (size_t i = 0; i < (size_t)n * s->heads * s->places; i++) {
        const uint32_t place = (uint32_t)(i % s->places);
        const uint32_t head = (uint32_t)(i / s->places % s->heads);
        const size_t sample = i / s->places / s->heads;
        query_grad((double *)dx + sample * size,
                   (const double *)dy + (sample * s->places + place) * width + head * s->depth,
                   (const double *)x + sample * size, (const double *)probs + i * s->places, s,
                   head, place);
    }
}
