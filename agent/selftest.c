/* SPDX-License-Identifier: Apache-2.0 */
#include "selftest.h"

#include "base/host/host.h"
#include "base/rng.h"
#include "kernels/kn.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_NAME "selftest"

enum { SAMPLES = 64, WIDTH = 256, LOOKS = 1000, FILE_WORDS = 1 << 16 };

/* Sums of WIDTH products in float beside sums in double: the error of a sound machine is some
 * hundredths of this. */
#define TOLERANCE 1e-3

/* ---- arithmetic ---- */

struct layer { /* of one table; elements are of its size */
    void *x;
    void *w;
    void *y;
    void *scratch;
};

static size_t padded(size_t size)
{
    return (size + KN_ALIGN - 1) / KN_ALIGN * KN_ALIGN;
}

static bool layer_open(const struct kn_ops *ops, struct layer *l)
{
    size_t samples = ((size_t)SAMPLES + ops->lanes - 1) / ops->lanes * ops->lanes;
    l->x = aligned_alloc(KN_ALIGN, padded(samples * WIDTH * ops->elem_size));
    l->w = aligned_alloc(KN_ALIGN, padded((size_t)WIDTH * WIDTH * ops->elem_size));
    l->y = aligned_alloc(KN_ALIGN, padded(samples * WIDTH * ops->elem_size));
    l->scratch = aligned_alloc(KN_ALIGN, padded(ops->dense_scratch(SAMPLES, WIDTH, WIDTH) + 1));
    return l->x != NULL && l->w != NULL && l->y != NULL && l->scratch != NULL;
}

static void layer_close(struct layer *l)
{
    free(l->x);
    free(l->w);
    free(l->y);
    free(l->scratch);
}

/* y[SAMPLES][WIDTH] = w x of this table, as floats. */
static bool multiply(const struct kn_ops *ops, const float *x, const float *w, float *y)
{
    struct layer l = {0};
    bool room = layer_open(ops, &l);
    if (room) {
        ops->load(l.x, x, SAMPLES, WIDTH);
        for (size_t i = 0; i < (size_t)WIDTH * WIDTH; i++) {
            if (ops->elem_size == sizeof(double)) {
                ((double *)l.w)[i] = (double)w[i];
            } else {
                ((float *)l.w)[i] = w[i];
            }
        }
        ops->dense(l.y, l.x, l.w, NULL, SAMPLES, WIDTH, WIDTH, l.scratch);
        ops->store(y, l.y, SAMPLES, WIDTH);
    }
    layer_close(&l);
    return room;
}

struct product {
    float x[SAMPLES * WIDTH];
    float w[WIDTH * WIDTH];
    float fast[SAMPLES * WIDTH];
    float again[SAMPLES * WIDTH];
    float slow[SAMPLES * WIDTH];
};

static enum sh_err check_product(struct product *p, char *why)
{
    struct sh_rng rng;
    sh_rng_init(&rng, 1);
    for (size_t i = 0; i < SH_COUNT(p->x); i++) {
        p->x[i] = (float)sh_rng_below(&rng, 2001) / 1000.0F - 1.0F;
    }
    for (size_t i = 0; i < SH_COUNT(p->w); i++) {
        p->w[i] = (float)sh_rng_below(&rng, 2001) / 1000.0F - 1.0F;
    }
    if (!multiply(kn_ops_cpu(), p->x, p->w, p->fast) ||
        !multiply(kn_ops_cpu(), p->x, p->w, p->again) ||
        !multiply(kn_ops_ref(), p->x, p->w, p->slow)) {
        return SH_ERR_NO_MEMORY;
    }
    if (memcmp(p->fast, p->again, sizeof p->fast) != 0) {
        (void)snprintf(why, SELFTEST_WHY_BYTES, "the same product gave other bits the second time");
        return SH_ERR_DIVERGED;
    }
    for (size_t i = 0; i < SH_COUNT(p->slow); i++) {
        if (!(fabs((double)p->fast[i] - (double)p->slow[i]) <= TOLERANCE)) {
            (void)snprintf(why, SELFTEST_WHY_BYTES,
                           "value %zu of a product is %.9g, and %.9g by the reference", i,
                           (double)p->fast[i], (double)p->slow[i]);
            return SH_ERR_DIVERGED;
        }
    }
    return SH_OK;
}

static enum sh_err check_arithmetic(char *why)
{
    struct product *p = malloc(sizeof *p);
    enum sh_err err = p != NULL ? check_product(p, why) : SH_ERR_NO_MEMORY;
    free(p);
    return err;
}

/* ---- memory ---- */

/* Every word another one, and then its complement: both values of every bit. */
static bool hold(volatile uint64_t *words, size_t count, uint64_t flip, size_t *bad)
{
    for (size_t i = 0; i < count; i++) {
        words[i] = ((uint64_t)i * UINT64_C(0x9e3779b97f4a7c15)) ^ flip;
    }
    for (size_t i = 0; i < count; i++) {
        if (words[i] != (((uint64_t)i * UINT64_C(0x9e3779b97f4a7c15)) ^ flip)) {
            *bad = i;
            return false;
        }
    }
    return true;
}

static enum sh_err check_memory(char *why)
{
    size_t count = SELFTEST_MEMORY_BYTES / sizeof(uint64_t);
    uint64_t *words = malloc(SELFTEST_MEMORY_BYTES);
    size_t bad = 0;
    if (words == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    bool good = hold(words, count, 0, &bad) && hold(words, count, UINT64_MAX, &bad);
    if (!good) {
        (void)snprintf(why, SELFTEST_WHY_BYTES, "word %zu of %zu in memory changed by itself", bad,
                       count);
    }
    free(words);
    return good ? SH_OK : SH_ERR_CORRUPT;
}

/* ---- disk ---- */

static enum sh_err check_disk(const struct dir *dir, char *why)
{
    size_t size = FILE_WORDS * sizeof(uint64_t);
    uint64_t *words = malloc(2 * size);
    char text[DIR_TEXT_BYTES] = "";
    size_t used = 0;
    if (words == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    uint64_t seed = sh_random_u64();
    for (size_t i = 0; i < FILE_WORDS; i++) {
        words[i] = (uint64_t)i * UINT64_C(0x9e3779b97f4a7c15) ^ seed;
    }
    enum sh_err err = dir_write(dir, FILE_NAME, words, size, text);
    err = err != SH_OK ? err : dir_read(dir, FILE_NAME, words + FILE_WORDS, size, &used, text);
    if (err == SH_OK && (used != size || memcmp(words, words + FILE_WORDS, size) != 0)) {
        (void)snprintf(text, sizeof text, "what was written and synced is not what is read");
        err = SH_ERR_CORRUPT;
    }
    err = err != SH_OK ? err : dir_remove(dir, FILE_NAME, text);
    if (err != SH_OK) {
        (void)snprintf(why, SELFTEST_WHY_BYTES, "the disk: %.200s", text);
    }
    free(words);
    return err;
}

/* ---- clock ---- */

static enum sh_err check_clock(uint64_t cluster_us, char *why)
{
    uint64_t last_us = sh_now_us();
    uint64_t wall_us = sh_wall_us();
    for (unsigned i = 0; i < LOOKS; i++) {
        uint64_t now_us = sh_now_us();
        if (now_us < last_us) {
            (void)snprintf(why, SELFTEST_WHY_BYTES, "its clock went back by %llu us",
                           (unsigned long long)(last_us - now_us));
            return SH_ERR_INVALID;
        }
        last_us = now_us;
    }
    if (wall_us + SELFTEST_CLOCK_US < cluster_us) {
        (void)snprintf(why, SELFTEST_WHY_BYTES, "its clock is %llu s behind the cluster's",
                       (unsigned long long)((cluster_us - wall_us) / 1000000));
        return SH_ERR_INVALID;
    }
    return SH_OK;
}

enum sh_err selftest_run(const struct dir *dir, uint64_t cluster_us,
                         char why[static SELFTEST_WHY_BYTES])
{
    why[0] = '\0';
    enum sh_err err = check_clock(cluster_us, why);
    err = err != SH_OK ? err : check_arithmetic(why);
    err = err != SH_OK ? err : check_memory(why);
    err = err != SH_OK ? err : check_disk(dir, why);
    if (err != SH_OK && why[0] == '\0') {
        (void)snprintf(why, SELFTEST_WHY_BYTES, "%s", sh_err_text(err));
    }
    return err;
}
