/* SPDX-License-Identifier: Apache-2.0
 *
 * A trainer as bytes, little-endian: magic u32, version u32, hallway (4 u32), areas u32, seed u64,
 * rates (4 f32), iteration u64, steps u64, spread (u64, 2 f64), policy and values f32, hash u64. */
#include "kernels/math.h"
#include "kernels/rl/mix.h"
#include "kernels/rl/trainer_internal.h"

#include <math.h>
#include <string.h>

#define MAGIC   0x4c524e4bu /* "KNRL" */
#define VERSION 1u

enum {
    ACTIONS = KN_HALLWAY_ACTIONS,
    HEAD_BYTES = 2 * 4 + 5 * 4 + 8 + 4 * 4 + 2 * 8 + 3 * 8,
    TAIL_BYTES = 8
};

struct writer {
    uint8_t *at;
};

struct reader {
    const uint8_t *at;
};

static void put32(struct writer *w, uint32_t x)
{
    for (int i = 0; i < 4; i++) {
        w->at[i] = (uint8_t)(x >> (8 * i));
    }
    w->at += 4;
}

static void put64(struct writer *w, uint64_t x)
{
    put32(w, (uint32_t)x);
    put32(w, (uint32_t)(x >> 32));
}

static void put_float(struct writer *w, float x)
{
    put32(w, kn_f32_bits(x));
}

static void put_double(struct writer *w, double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    put64(w, bits);
}

static uint32_t get32(struct reader *r)
{
    uint32_t x = 0;
    for (int i = 0; i < 4; i++) {
        x |= (uint32_t)r->at[i] << (8 * i);
    }
    r->at += 4;
    return x;
}

static uint64_t get64(struct reader *r)
{
    const uint64_t low = get32(r);
    return low | (uint64_t)get32(r) << 32;
}

static float get_float(struct reader *r)
{
    return kn_f32_from_bits(get32(r));
}

static double get_double(struct reader *r)
{
    const uint64_t bits = get64(r);
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint64_t hash_of(const uint8_t *bytes, size_t size)
{
    uint64_t hash = kn_mix64(0, size);
    for (size_t i = 0; i < size; i++) {
        hash = kn_mix64(hash, bytes[i]);
    }
    return hash;
}

static size_t size_for(const struct kn_hallway_config *env)
{
    return HEAD_BYTES + (size_t)kn_hallway_views(env) * (ACTIONS + 1) * 4 + TAIL_BYTES;
}

size_t kn_rl_state_size(const struct kn_rl *t)
{
    return size_for(&t->config.env);
}

void kn_rl_encode(const struct kn_rl *t, uint8_t *bytes)
{
    struct writer w = {.at = bytes};
    put32(&w, MAGIC);
    put32(&w, VERSION);
    put32(&w, t->config.env.width);
    put32(&w, t->config.env.length);
    put32(&w, t->config.env.steps_max);
    put32(&w, t->config.env.slip_per_mille);
    put32(&w, t->config.areas);
    put64(&w, t->config.seed);
    put_float(&w, t->config.rate);
    put_float(&w, t->config.value_rate);
    put_float(&w, t->config.discount);
    put_float(&w, t->config.entropy);
    put64(&w, t->iteration);
    put64(&w, t->steps);
    put64(&w, t->spread.count);
    put_double(&w, t->spread.sum);
    put_double(&w, t->spread.square);
    KN_CHECK(w.at == bytes + HEAD_BYTES);
    for (size_t i = 0; i < (size_t)t->views * ACTIONS; i++) {
        put_float(&w, t->policy[i]);
    }
    for (size_t i = 0; i < t->views; i++) {
        put_float(&w, t->value[i]);
    }
    put64(&w, hash_of(bytes, (size_t)(w.at - bytes)));
    KN_CHECK(w.at == bytes + kn_rl_state_size(t));
}

static struct kn_rl_config config_read(struct reader *r)
{
    struct kn_rl_config c = {0};
    c.env.width = get32(r);
    c.env.length = get32(r);
    c.env.steps_max = get32(r);
    c.env.slip_per_mille = get32(r);
    c.areas = get32(r);
    c.seed = get64(r);
    c.rate = get_float(r);
    c.value_rate = get_float(r);
    c.discount = get_float(r);
    c.entropy = get_float(r);
    return c;
}

/* Position and tables; false where a number cannot be that of a trainer. */
static bool rest_read(struct kn_rl *t, struct reader *r)
{
    t->iteration = get64(r);
    t->steps = get64(r);
    t->spread.count = get64(r);
    t->spread.sum = get_double(r);
    t->spread.square = get_double(r);
    bool good =
        isfinite(t->spread.sum) != 0 && t->spread.square >= 0.0 && isfinite(t->spread.square) != 0;
    good = good && t->iteration <= UINT64_MAX / KN_RL_AREAS_MAX - 1 &&
           t->spread.count <= t->iteration * t->config.areas;
    for (size_t i = 0; i < (size_t)t->views * (ACTIONS + 1); i++) {
        t->policy[i] = get_float(r); /* the values follow the policy */
        good = good && isfinite(t->policy[i]) != 0;
    }
    return good;
}

enum kn_err kn_rl_decode(struct kn_rl **out, const uint8_t *bytes, size_t size,
                         struct kn_diag *diag)
{
    struct reader r = {.at = bytes};
    *out = NULL;
    if (size < HEAD_BYTES + TAIL_BYTES || get32(&r) != MAGIC) {
        return kn_fail(diag, KN_ERR_CORRUPT, "no state of a trainer: %zu bytes", size);
    }
    const uint32_t version = get32(&r);
    if (version != VERSION) {
        return kn_fail(diag, KN_ERR_UNSUPPORTED, "state of version %u, expected %u", version,
                       VERSION);
    }
    const struct kn_rl_config config = config_read(&r);
    enum kn_err err = kn_rl_verify(&config, diag);
    if (err != KN_OK) {
        return err;
    }
    struct reader tail = {.at = bytes + size - TAIL_BYTES};
    if (size != size_for(&config.env) || get64(&tail) != hash_of(bytes, size - TAIL_BYTES)) {
        return kn_fail(diag, KN_ERR_CORRUPT, "the state of a trainer is damaged or cut");
    }
    struct kn_rl *t;
    err = kn_rl_open(&t, &config, diag);
    if (err != KN_OK) {
        return err;
    }
    if (!rest_read(t, &r)) {
        kn_rl_close(t);
        return kn_fail(diag, KN_ERR_CORRUPT, "the state of a trainer holds impossible numbers");
    }
    *out = t;
    return KN_OK;
}
