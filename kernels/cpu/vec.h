/* SPDX-License-Identifier: Apache-2.0
 *
 * Vectors of the instruction set that the including file is compiled for: KN_VW floats. A block of
 * 16 lanes is KN_VG vectors. Included only by the isa_*.c files, once each. */
#ifndef KN_VEC_H
#define KN_VEC_H

#include "kernels/kn.h"
#include "kernels/math.h"

#include <string.h>

#if defined(__AVX512F__) || defined(__AVX2__)
#    include <immintrin.h>
#endif

#define KN_LANES 16

#if defined(__AVX512F__)
#    define KN_VW 16
#elif defined(__AVX2__)
#    define KN_VW 8
#else
#    define KN_VW 4
#endif
#define KN_VG (KN_LANES / KN_VW)

typedef float kn_vec __attribute__((vector_size(KN_VW * 4), may_alias));
typedef float kn_vec_any __attribute__((vector_size(KN_VW * 4), may_alias, aligned(4)));
typedef int32_t kn_veci __attribute__((vector_size(KN_VW * 4), may_alias));
typedef uint8_t kn_vecb __attribute__((vector_size(KN_VW), may_alias, aligned(1)));

#define KN_INLINE static inline __attribute__((always_inline))

KN_INLINE kn_vec v_load(const float *at)
{
    return *(const kn_vec *)(const void *)at;
}

KN_INLINE void v_store(float *at, kn_vec v)
{
    *(kn_vec *)(void *)at = v;
}

/* Any alignment of a float. */
KN_INLINE kn_vec v_load_any(const float *at)
{
    return *(const kn_vec_any *)(const void *)at;
}

KN_INLINE void v_store_any(float *at, kn_vec v)
{
    *(kn_vec_any *)(void *)at = v;
}

KN_INLINE kn_vec v_zero(void)
{
    return (kn_vec){0};
}

/* a * b + c: one rounding where the instruction set has it, two on the base set. */
#if defined(__AVX512F__)
KN_INLINE kn_vec v_fma(kn_vec a, kn_vec b, kn_vec c)
{
    return (kn_vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}

KN_INLINE kn_vec v_all(float f)
{
    return (kn_vec)_mm512_set1_ps(f);
}
#elif defined(__AVX2__)
KN_INLINE kn_vec v_fma(kn_vec a, kn_vec b, kn_vec c)
{
    return (kn_vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}

KN_INLINE kn_vec v_all(float f)
{
    return (kn_vec)_mm256_set1_ps(f);
}
#else
KN_INLINE kn_vec v_fma(kn_vec a, kn_vec b, kn_vec c)
{
    return a * b + c;
}

KN_INLINE kn_vec v_all(float f)
{
    return (kn_vec){f, f, f, f};
}
#endif

/* mask is all ones or all zeros in each lane. */
KN_INLINE kn_vec v_select(kn_veci mask, kn_vec yes, kn_vec no)
{
    return (kn_vec)((mask & (kn_veci)yes) | (~mask & (kn_veci)no));
}

KN_INLINE kn_veci vi_select(kn_veci mask, kn_veci yes, kn_veci no)
{
    return (mask & yes) | (~mask & no);
}

KN_INLINE kn_veci vi_all(int32_t i)
{
    return (kn_veci){0} + i;
}

/* Pairs at distance 8, 4, 2, 1: a fixed order. */
KN_INLINE float v_sum(kn_vec v)
{
#if defined(__AVX512F__)
    return _mm512_reduce_add_ps((__m512)v);
#else
    float lane[KN_VW];
    memcpy(lane, &v, sizeof lane);
    for (int width = KN_VW / 2; width >= 1; width /= 2) {
        for (int i = 0; i < width; i++) {
            lane[i] += lane[i + width];
        }
    }
    return lane[0];
#endif
}

KN_INLINE size_t blocks_of(uint32_t n)
{
    return ((size_t)n + KN_LANES - 1) / KN_LANES;
}

/* Ones in the lanes of vector `group` of `block` that hold samples, zeros in the padding. */
KN_INLINE kn_vec v_valid(uint32_t n, size_t block, int group)
{
    kn_vec mask = v_zero();
    for (int l = 0; l < KN_VW; l++) {
        const size_t sample = block * KN_LANES + (size_t)(group * KN_VW + l);
        mask[l] = sample < n ? 1.0f : 0.0f;
    }
    return mask;
}

#endif
