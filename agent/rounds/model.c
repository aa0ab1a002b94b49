/* SPDX-License-Identifier: Apache-2.0 */
#include "rounds/model.h"

#include "base/host/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t count_of(const struct kn_tensor *t)
{
    return t->dtype == KN_DTYPE_F32 ? (size_t)(kn_tensor_size(t) / sizeof(float)) : 0;
}

enum sh_err rounds_model_open(struct rounds_model *m, uint8_t *bytes, size_t size, char *why,
                              size_t why_size)
{
    struct kn_diag diag = {.text = ""};
    *m = (struct rounds_model){.bytes = bytes, .size = size};
    enum kn_err err = kn_safetensors_read(&m->file, bytes, size, &diag);
    if (err != KN_OK) {
        (void)snprintf(why, why_size, "the model is no safetensors file: %.120s", diag.text);
        rounds_model_close(m);
        return err == KN_ERR_MEMORY ? SH_ERR_NO_MEMORY : SH_ERR_CORRUPT;
    }
    for (uint32_t i = 0; i < m->file.count; i++) {
        m->floats += count_of(&m->file.tensor[i]);
    }
    if (m->floats == 0) {
        (void)snprintf(why, why_size, "the model has no tensor of 32-bit floats");
        rounds_model_close(m);
        return SH_ERR_CORRUPT;
    }
    return SH_OK;
}

void rounds_model_close(struct rounds_model *m)
{
    kn_safetensors_close(&m->file);
    free(m->bytes);
    *m = (struct rounds_model){.bytes = NULL};
}

void rounds_model_get(const struct rounds_model *m, float *out)
{
    _Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "floats are copied as they lie");
    for (uint32_t i = 0; i < m->file.count; i++) {
        const struct kn_tensor *t = &m->file.tensor[i];
        size_t count = count_of(t);
        if (count > 0) {
            memcpy(out, t->data, count * sizeof *out);
            out += count;
        }
    }
}

void rounds_model_put(struct rounds_model *m, const float *in)
{
    for (uint32_t i = 0; i < m->file.count; i++) {
        const struct kn_tensor *t = &m->file.tensor[i];
        size_t count = count_of(t);
        if (count > 0) {
            size_t at = (size_t)((const uint8_t *)t->data - m->bytes);
            memcpy(m->bytes + at, in, count * sizeof *in);
            in += count;
        }
    }
}

bool rounds_model_alike(const struct rounds_model *a, const struct rounds_model *b)
{
    bool alike = a->file.count == b->file.count;
    for (uint32_t i = 0; alike && i < a->file.count; i++) {
        const struct kn_tensor *x = &a->file.tensor[i];
        const struct kn_tensor *y = &b->file.tensor[i];
        alike = strcmp(x->name, y->name) == 0 && x->dtype == y->dtype && x->rank == y->rank &&
                memcmp(x->shape, y->shape, x->rank * sizeof x->shape[0]) == 0;
    }
    return alike;
}

const char *rounds_model_tensor(const struct rounds_model *m, size_t element)
{
    for (uint32_t i = 0; i < m->file.count; i++) {
        size_t count = count_of(&m->file.tensor[i]);
        if (element < count) {
            return m->file.tensor[i].name;
        }
        element -= count;
    }
    SH_UNREACHABLE();
}

static enum kn_err add_bytes(void *context, const void *bytes, size_t size)
{
    sh_blake2b_add(context, bytes, size);
    return KN_OK;
}

enum sh_err rounds_model_digest(const struct rounds_model *m,
                                uint8_t digest[static SH_DIGEST_BYTES])
{
    struct sh_blake2b hash;
    struct kn_diag diag = {.text = ""};
    sh_blake2b_start(&hash, SH_DIGEST_BYTES);
    struct kn_sink sink = {.put = add_bytes, .context = &hash};
    enum kn_err err = kn_tensors_digest(m->file.tensor, m->file.count, sink, &diag);
    sh_blake2b_end(&hash, digest, SH_DIGEST_BYTES);
    return err == KN_OK ? SH_OK : SH_ERR_NO_MEMORY;
}

#define MEAN     "running_mean"
#define VARIANCE "running_var"

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text);
    size_t m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

void rounds_model_each(const struct rounds_model *m,
                       void (*each)(void *ctx, const struct rounds_stretch *stretch), void *ctx)
{
    size_t from = 0;
    for (uint32_t i = 0; i < m->file.count; i++) {
        const struct kn_tensor *t = &m->file.tensor[i];
        struct rounds_stretch s = {.from = from, .count = count_of(t)};
        s.statistics = ends_with(t->name, MEAN) || ends_with(t->name, VARIANCE);
        from += s.count;
        if (s.count > 0) {
            each(ctx, &s);
        }
    }
}

/* Where the means lie that belong to these variances: a tensor of the same name but for its end.
 * False: there are none. */
static bool find_means(const struct rounds_model *m, const struct kn_tensor *variance, size_t *from)
{
    size_t stem = strlen(variance->name) - strlen(VARIANCE);
    *from = 0;
    for (uint32_t i = 0; i < m->file.count; i++) {
        const struct kn_tensor *t = &m->file.tensor[i];
        bool same =
            strncmp(t->name, variance->name, stem) == 0 && strcmp(t->name + stem, MEAN) == 0;
        if (same && count_of(t) == count_of(variance)) {
            return true;
        }
        *from += count_of(t);
    }
    return false;
}

/* Adds sign times the squares of the means to the variances. */
static void add_squares(const struct rounds_model *m, float *x, float sign)
{
    size_t from = 0;
    size_t means = 0;
    for (uint32_t i = 0; i < m->file.count; i++) {
        const struct kn_tensor *t = &m->file.tensor[i];
        size_t count = count_of(t);
        bool paired = count > 0 && ends_with(t->name, VARIANCE) && find_means(m, t, &means);
        for (size_t k = 0; paired && k < count; k++) {
            float value = x[from + k] + sign * (x[means + k] * x[means + k]);
            x[from + k] = value > 0 ? value : 0; /* rounding may leave less */
        }
        from += count;
    }
}

void rounds_model_to_moments(const struct rounds_model *m, float *x)
{
    add_squares(m, x, 1.0f);
}

void rounds_model_from_moments(const struct rounds_model *m, float *x)
{
    add_squares(m, x, -1.0f);
}
