/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/agg/codec.h"

#include <string.h>

#define BITMAP      255u
#define MAGNITUDE   0x7fffffff
#define INFINITE    0x7f800000
#define BF16_MOST   0x7f7f0000 /* the largest finite one */
#define QUIET_NAN   0x7fc00000
#define SCALE_MASK  0xffffff80u /* 17 significant bits: 7 more of a multiple fill a float */
#define SCALE_LEAST 0x1p-107f   /* multiples and reciprocals are normal numbers */
#define SHIFTER     0x1.8p23f   /* added and taken away: rounds to a whole number */

static int32_t bits_of(float x)
{
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static float float_of(int32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static size_t block_of(size_t left)
{
    return left < KN_CODEC_BLOCK ? left : KN_CODEC_BLOCK;
}

/* ---- projections of one block ---- */

/* The magnitude's upper half, rounded; what is not finite keeps its kind. */
static int32_t bf16_magnitude(int32_t magnitude)
{
    int32_t low = magnitude < BF16_MOST ? magnitude : BF16_MOST;
    int32_t rounded = low + 0x7fff + ((low >> 16) & 1);
    int32_t beyond = magnitude == INFINITE ? INFINITE : QUIET_NAN;
    return (magnitude < INFINITE ? rounded : beyond) & ~0xffff;
}

static void project_bf16(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int32_t bits = bits_of(x[i]);
        x[i] = float_of((bits & ~MAGNITUDE) | bf16_magnitude(bits & MAGNITUDE));
    }
}

/* 0: the block is all zeros, or as good as; NaN: something in it is not finite. */
static float scale_of(const float *x, size_t n)
{
    int32_t most = 0;
    for (size_t i = 0; i < n; i++) {
        int32_t magnitude = bits_of(x[i]) & MAGNITUDE;
        most = magnitude > most ? magnitude : most;
    }
    if (most >= INFINITE) {
        return float_of(QUIET_NAN);
    }
    float scale = float_of(bits_of(float_of(most) / 127.0f) & (int32_t)SCALE_MASK);
    return scale < SCALE_LEAST ? 0.0f : scale;
}

static float multiple_of(float x, float inverse)
{
    return (x * inverse + SHIFTER) - SHIFTER;
}

static void project_int8(float *x, size_t n)
{
    float scale = scale_of(x, n);
    float inverse = scale > 0.0f ? 1.0f / scale : 0.0f;
    if (bits_of(scale) >= INFINITE) {
        for (size_t i = 0; i < n; i++) {
            x[i] = scale;
        }
        return;
    }
    for (size_t i = 0; i < n; i++) {
        x[i] = multiple_of(x[i], inverse) * scale + 0.0f; /* no -0 */
    }
}

static uint32_t count_from(const int16_t *magnitude, size_t n, int16_t least)
{
    int16_t count = 0;
    for (size_t i = 0; i < n; i++) {
        count = (int16_t)(count + (magnitude[i] >= least));
    }
    return (uint32_t)count;
}

/* The largest magnitude that at least want of them reach; 0: fewer than want are above 0. */
static int16_t threshold_of(const int16_t *magnitude, size_t n, uint32_t want)
{
    int16_t threshold = 0;
    for (int bit = 14; bit >= 0; bit--) {
        int16_t higher = (int16_t)(threshold | 1 << bit);
        threshold = count_from(magnitude, n, higher) >= want ? higher : threshold;
    }
    return threshold;
}

static void project_topk(float *x, size_t n, uint32_t keep)
{
    int16_t magnitude[KN_CODEC_BLOCK];
    uint32_t want = (uint32_t)((n * keep + KN_CODEC_BLOCK - 1) / KN_CODEC_BLOCK);
    project_bf16(x, n);
    for (size_t i = 0; i < n; i++) {
        magnitude[i] = (int16_t)((bits_of(x[i]) & MAGNITUDE) >> 16);
    }
    int16_t threshold = threshold_of(magnitude, n, want);
    uint32_t ties = want - count_from(magnitude, n, (int16_t)(threshold + 1));
    for (size_t i = 0; i < n; i++) {
        uint32_t tie = magnitude[i] == threshold && ties > 0 ? 1 : 0;
        bool kept = magnitude[i] > threshold || tie > 0;
        x[i] = kept && magnitude[i] > 0 ? x[i] : 0.0f;
        ties -= tie;
    }
}

static void project_block(const struct kn_codec *codec, float *x, size_t n)
{
    switch (codec->kind) {
    case KN_CODEC_F32:
        break;
    case KN_CODEC_BF16:
        project_bf16(x, n);
        break;
    case KN_CODEC_INT8:
        project_int8(x, n);
        break;
    case KN_CODEC_TOPK:
        project_topk(x, n, codec->keep);
        break;
    }
}

void kn_codec_project(const struct kn_codec *codec, float *x, size_t size, float *residual)
{
    if (codec->kind == KN_CODEC_F32) {
        return;
    }
    for (size_t at = 0; at < size; at += KN_CODEC_BLOCK) {
        size_t n = block_of(size - at);
        float *restrict to = x + at;
        float *restrict rest = residual != NULL ? residual + at : NULL;
        for (size_t i = 0; rest != NULL && i < n; i++) {
            rest[i] += to[i];
            to[i] = rest[i];
        }
        project_block(codec, to, n);
        for (size_t i = 0; rest != NULL && i < n; i++) {
            rest[i] -= to[i];
        }
    }
}

/* ---- encoding one block: bytes written ---- */

static size_t encode_bf16(const float *x, size_t n, uint8_t *out)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t half = (uint16_t)((uint32_t)bits_of(x[i]) >> 16);
        memcpy(out + 2 * i, &half, sizeof half);
    }
    return 2 * n;
}

static size_t encode_int8(const float *x, size_t n, uint8_t *out)
{
    float scale = scale_of(x, n);
    float inverse = scale > 0.0f ? 1.0f / scale : 0.0f;
    memcpy(out, &scale, sizeof scale);
    out += sizeof scale;
    if (bits_of(scale) >= INFINITE) {
        memset(out, 0, n);
        return sizeof scale + n;
    }
    for (size_t i = 0; i < n; i++) {
        out[i] = (uint8_t)(int8_t)(int32_t)multiple_of(x[i], inverse);
    }
    return sizeof scale + n;
}

static size_t bitmap_bytes(size_t n)
{
    return (n + 7) / 8;
}

static size_t encode_topk(const float *x, size_t n, uint8_t *out)
{
    uint8_t place[KN_CODEC_BLOCK];
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        place[count] = (uint8_t)i;
        count += (bits_of(x[i]) & MAGNITUDE) != 0 ? 1 : 0;
    }
    uint8_t *to = out + 1;
    out[0] = (uint8_t)(count <= bitmap_bytes(n) ? count : BITMAP);
    if (out[0] == BITMAP) {
        memset(to, 0, bitmap_bytes(n));
        for (size_t i = 0; i < count; i++) {
            to[place[i] / 8] |= (uint8_t)(1u << place[i] % 8);
        }
        to += bitmap_bytes(n);
    } else {
        memcpy(to, place, count);
        to += count;
    }
    for (size_t i = 0; i < count; i++) {
        to += encode_bf16(x + place[i], 1, to);
    }
    return (size_t)(to - out);
}

size_t kn_codec_bytes_max(enum kn_codec_kind kind, size_t size)
{
    size_t blocks = (size + KN_CODEC_BLOCK - 1) / KN_CODEC_BLOCK;
    switch (kind) {
    case KN_CODEC_F32:
        return sizeof(float) * size;
    case KN_CODEC_BF16:
        return 2 * size;
    case KN_CODEC_INT8:
        return sizeof(float) * blocks + size;
    case KN_CODEC_TOPK:
        return (1 + bitmap_bytes(KN_CODEC_BLOCK)) * blocks + 2 * size;
    }
    return 0;
}

size_t kn_codec_encode(enum kn_codec_kind kind, const float *x, size_t size, uint8_t *out)
{
    uint8_t *to = out;
    if (kind == KN_CODEC_F32) {
        memcpy(out, x, sizeof(float) * size);
        return sizeof(float) * size;
    }
    for (size_t at = 0; at < size; at += KN_CODEC_BLOCK) {
        size_t n = block_of(size - at);
        if (kind == KN_CODEC_BF16) {
            to += encode_bf16(x + at, n, to);
        } else if (kind == KN_CODEC_INT8) {
            to += encode_int8(x + at, n, to);
        } else {
            to += encode_topk(x + at, n, to);
        }
    }
    return (size_t)(to - out);
}

/* ---- decoding one block: bytes read, 0: they are no encoding ---- */

static void take_bf16(const uint8_t *bytes, float *x)
{
    uint16_t half;
    memcpy(&half, bytes, sizeof half);
    *x = float_of((int32_t)((uint32_t)half << 16));
}

static size_t decode_bf16(const uint8_t *bytes, size_t left, float *x, size_t n)
{
    if (left < 2 * n) {
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        take_bf16(bytes + 2 * i, x + i);
    }
    return 2 * n;
}

static size_t decode_int8(const uint8_t *bytes, size_t left, float *x, size_t n)
{
    float scale;
    int32_t most = 0;
    if (left < sizeof scale + n) {
        return 0;
    }
    memcpy(&scale, bytes, sizeof scale);
    const uint8_t *multiple = bytes + sizeof scale;
    for (size_t i = 0; i < n; i++) {
        int32_t m = (int8_t)multiple[i];
        x[i] = (float)m * scale + 0.0f; /* no -0 */
        m = m < 0 ? -m : m;
        most = m > most ? m : most;
    }
    int32_t bits = bits_of(scale);
    bool normal = bits >= bits_of(SCALE_LEAST) && (bits & (int32_t)~SCALE_MASK) == 0 &&
                  most == 127 && (bits_of(127.0f * scale) & MAGNITUDE) < INFINITE;
    bool empty = (bits == 0 || bits == QUIET_NAN) && most == 0;
    return normal || empty ? sizeof scale + n : 0;
}

/* The positions of a block that the bitmap names; their number. */
static size_t read_bitmap(const uint8_t *bitmap, size_t n, uint8_t *place)
{
    size_t count = 0;
    for (size_t i = 0; i < 8 * bitmap_bytes(n); i++) {
        if ((bitmap[i / 8] >> i % 8 & 1) != 0) {
            if (i >= n) {
                return 0;
            }
            place[count++] = (uint8_t)i;
        }
    }
    return count > bitmap_bytes(n) ? count : 0; /* else the list is no longer */
}

/* True: they rise and lie within the block. */
static bool is_list(const uint8_t *place, size_t count, size_t n)
{
    for (size_t i = 0; i < count; i++) {
        if (place[i] >= n || (i > 0 && place[i] <= place[i - 1])) {
            return false;
        }
    }
    return count <= bitmap_bytes(n);
}

static size_t decode_topk(const uint8_t *bytes, size_t left, float *x, size_t n)
{
    uint8_t place[KN_CODEC_BLOCK];
    if (left < 1) {
        return 0;
    }
    size_t count = bytes[0];
    size_t head = 1 + (count == BITMAP ? bitmap_bytes(n) : count);
    if (left < head) {
        return 0;
    }
    if (count == BITMAP) {
        count = read_bitmap(bytes + 1, n, place);
        if (count == 0) {
            return 0;
        }
    } else if (is_list(bytes + 1, count, n)) {
        memcpy(place, bytes + 1, count);
    } else {
        return 0;
    }
    if (left - head < 2 * count) {
        return 0;
    }
    memset(x, 0, n * sizeof *x);
    for (size_t i = 0; i < count; i++) {
        take_bf16(bytes + head + 2 * i, x + place[i]);
        if ((bits_of(x[place[i]]) & MAGNITUDE) == 0) {
            return 0;
        }
    }
    return head + 2 * count;
}

bool kn_codec_decode(enum kn_codec_kind kind, const uint8_t *bytes, size_t count, float *x,
                     size_t size)
{
    size_t used = 0;
    if (kind == KN_CODEC_F32) {
        if (count == sizeof(float) * size) {
            memcpy(x, bytes, count);
        }
        return count == sizeof(float) * size;
    }
    for (size_t at = 0; at < size; at += KN_CODEC_BLOCK) {
        size_t n = block_of(size - at);
        size_t taken = 0;
        if (kind == KN_CODEC_BF16) {
            taken = decode_bf16(bytes + used, count - used, x + at, n);
        } else if (kind == KN_CODEC_INT8) {
            taken = decode_int8(bytes + used, count - used, x + at, n);
        } else {
            taken = decode_topk(bytes + used, count - used, x + at, n);
        }
        if (taken == 0) {
            return false;
        }
        used += taken;
    }
    return used == count;
}
