/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/data/mel.h"

#include "kernels/math.h"

#include <stdlib.h>
#include <string.h>

#define PI           0x1.921fb54442d18p1
#define LN_10        0x1.26bb1bbb55516p1
#define MEL_FACTOR   2595.0
#define MEL_CORNER   700.0
#define MS_A_SECOND  1000u
#define WINDOW_LEAST 2u

struct filter {
    uint32_t first; /* bin */
    uint32_t count; /* bins */
    size_t weight;  /* index of the first */
};

struct kn_mel {
    struct kn_audio form;
    uint32_t window, hop; /* samples */
    uint32_t size;        /* N */
    double *hann;         /* [window] */
    double *cosine;       /* [N / 2] of 2 pi i / N */
    double *sine;
    double *real; /* [N] */
    double *imaginary;
    double *power;  /* [N / 2 + 1] */
    double *weight; /* of all filters */
    struct filter *filters;
};

static double mel_of(double hertz)
{
    return MEL_FACTOR / LN_10 * kn_log64(1.0 + hertz / MEL_CORNER);
}

static double hertz_of(double mel)
{
    return MEL_CORNER * (kn_exp64(mel * LN_10 / MEL_FACTOR) - 1.0);
}

/* Height of a triangle at `f`; edges ascending. */
static double triangle(const double edge[3], double f)
{
    const double rise = (f - edge[0]) / (edge[1] - edge[0]);
    const double fall = (edge[2] - f) / (edge[2] - edge[1]);
    const double least = rise < fall ? rise : fall;
    return least > 0.0 ? least : 0.0;
}

static enum kn_err filters_make(struct kn_mel *mel, uint32_t rate, struct kn_diag *diag)
{
    const uint32_t bins = mel->size / 2 + 1;
    const double top = mel_of(0.5 * rate);
    const double step = top / (mel->form.mels + 1.0);
    size_t used = 0;
    for (uint32_t m = 0; m < mel->form.mels; m++) {
        const double edge[3] = {hertz_of(m * step), hertz_of((m + 1) * step),
                                hertz_of((m + 2) * step)};
        struct filter *f = &mel->filters[m];
        *f = (struct filter){.weight = used};
        for (uint32_t b = 0; b < bins; b++) {
            const double height = triangle(edge, (double)b * rate / mel->size);
            if (height > 0.0) {
                f->first = f->count == 0 ? b : f->first;
                f->count++;
                mel->weight[used++] = height;
            }
        }
        if (f->count == 0) {
            return kn_fail(diag, KN_ERR_INVALID,
                           "%u mels are too many for windows of %u ms at %u Hz: filter %u lies "
                           "between two frequencies; take fewer mels or a longer window",
                           mel->form.mels, mel->form.window_ms, rate, m);
        }
    }
    return KN_OK;
}

static void tables_make(struct kn_mel *mel)
{
    for (uint32_t i = 0; i < mel->window; i++) {
        mel->hann[i] = 0.5 - 0.5 * kn_cos64(2.0 * PI * i / mel->window);
    }
    for (uint32_t i = 0; i < mel->size / 2; i++) {
        const double angle = 2.0 * PI * i / mel->size;
        mel->cosine[i] = kn_cos64(angle);
        mel->sine[i] = kn_cos64(angle - 0.5 * PI);
    }
}

static bool arrays_take(struct kn_mel *mel)
{
    const size_t bins = mel->size / 2 + 1;
    mel->hann = calloc(mel->window, sizeof(double));
    mel->cosine = calloc(mel->size / 2, sizeof(double));
    mel->sine = calloc(mel->size / 2, sizeof(double));
    mel->real = calloc(mel->size, sizeof(double));
    mel->imaginary = calloc(mel->size, sizeof(double));
    mel->power = calloc(bins, sizeof(double));
    mel->weight = calloc(2 * bins, sizeof(double)); /* a frequency lies below two triangles */
    mel->filters = calloc(mel->form.mels, sizeof *mel->filters);
    return mel->hann != NULL && mel->cosine != NULL && mel->sine != NULL && mel->real != NULL &&
           mel->imaginary != NULL && mel->power != NULL && mel->weight != NULL &&
           mel->filters != NULL;
}

enum kn_err kn_mel_open(struct kn_mel **out, const struct kn_audio *form, uint32_t rate,
                        struct kn_diag *diag)
{
    KN_CHECK(form->mels >= 1 && form->mels <= KN_MELS_MAX);
    KN_CHECK(form->frames >= 1 && form->frames <= KN_FRAMES_MAX);
    KN_CHECK(form->window_ms <= KN_WINDOW_MS_MAX && form->hop_ms <= KN_WINDOW_MS_MAX);
    const uint32_t window = (uint32_t)((uint64_t)form->window_ms * rate / MS_A_SECOND);
    const uint32_t hop = (uint32_t)((uint64_t)form->hop_ms * rate / MS_A_SECOND);
    if (window < WINDOW_LEAST || hop < 1) {
        return kn_fail(diag, KN_ERR_INVALID,
                       "a window of %u ms every %u ms is less than a sample at %u Hz",
                       form->window_ms, form->hop_ms, rate);
    }
    struct kn_mel *mel = calloc(1, sizeof *mel);
    if (mel == NULL) {
        return kn_fail(diag, KN_ERR_MEMORY, "no memory for a window of %u samples", window);
    }
    *mel = (struct kn_mel){.form = *form, .window = window, .hop = hop, .size = WINDOW_LEAST};
    while (mel->size < window) {
        mel->size *= 2;
    }
    enum kn_err err = KN_OK;
    if (!arrays_take(mel)) {
        err = kn_fail(diag, KN_ERR_MEMORY, "no memory for a window of %u samples", window);
    }
    if (err == KN_OK) {
        tables_make(mel);
        err = filters_make(mel, rate, diag);
    }
    if (err != KN_OK) {
        kn_mel_close(mel);
        mel = NULL;
    }
    *out = mel;
    return err;
}

void kn_mel_close(struct kn_mel *mel)
{
    if (mel == NULL) {
        return;
    }
    free(mel->hann);
    free(mel->cosine);
    free(mel->sine);
    free(mel->real);
    free(mel->imaginary);
    free(mel->power);
    free(mel->weight);
    free(mel->filters);
    free(mel);
}

/* Puts value i at the place whose bits are those of i backwards. */
static void bits_turn(double *at, uint32_t size)
{
    uint32_t turned = 0;
    for (uint32_t i = 0; i < size; i++) {
        if (turned > i) {
            const double kept = at[i];
            at[i] = at[turned];
            at[turned] = kept;
        }
        uint32_t bit = size / 2;
        while (bit > 0 && (turned & bit) != 0) {
            turned ^= bit;
            bit /= 2;
        }
        turned |= bit;
    }
}

/* In place, decimation in time (Cooley and Tukey 1965). */
static void transform(struct kn_mel *mel)
{
    double *re = mel->real;
    double *im = mel->imaginary;
    bits_turn(re, mel->size); /* im is zero */
    for (uint32_t half = 1; half < mel->size; half *= 2) {
        const uint32_t stride = mel->size / (2 * half);
        for (uint32_t start = 0; start < mel->size; start += 2 * half) {
            for (uint32_t k = 0; k < half; k++) {
                const double c = mel->cosine[k * stride];
                const double s = -mel->sine[k * stride];
                const uint32_t a = start + k;
                const uint32_t b = a + half;
                const double x = re[b] * c - im[b] * s;
                const double y = re[b] * s + im[b] * c;
                re[b] = re[a] - x;
                im[b] = im[a] - y;
                re[a] += x;
                im[a] += y;
            }
        }
    }
}

static void frame_run(struct kn_mel *mel, const float *sample, uint32_t count, float *out)
{
    memset(mel->real, 0, mel->size * sizeof *mel->real);
    memset(mel->imaginary, 0, mel->size * sizeof *mel->imaginary);
    for (uint32_t i = 0; i < count; i++) {
        mel->real[i] = (double)sample[i] * mel->hann[i];
    }
    transform(mel);
    for (uint32_t b = 0; b <= mel->size / 2; b++) {
        mel->power[b] = mel->real[b] * mel->real[b] + mel->imaginary[b] * mel->imaginary[b];
    }
    for (uint32_t m = 0; m < mel->form.mels; m++) {
        const struct filter *f = &mel->filters[m];
        double energy = 0.0;
        for (uint32_t b = 0; b < f->count; b++) {
            energy += mel->weight[f->weight + b] * mel->power[f->first + b];
        }
        out[(size_t)m * mel->form.frames] = (float)kn_log64(energy + KN_MEL_FLOOR);
    }
}

void kn_mel_run(struct kn_mel *mel, const float *sample, uint32_t count, float *out)
{
    const float silence = (float)kn_log64(KN_MEL_FLOOR);
    for (uint32_t k = 0; k < mel->form.frames; k++) {
        const uint64_t first = (uint64_t)k * mel->hop;
        if (first < count) {
            const uint64_t left = count - first;
            frame_run(mel, sample + first, left < mel->window ? (uint32_t)left : mel->window,
                      out + k);
            continue;
        }
        for (uint32_t m = 0; m < mel->form.mels; m++) {
            out[(size_t)m * mel->form.frames + k] = silence;
        }
    }
}
