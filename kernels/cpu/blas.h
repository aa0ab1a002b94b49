/* SPDX-License-Identifier: Apache-2.0
 *
 * The three products of a dense layer on OpenBLAS, one thread each. Row-major floats. */
#ifndef KN_BLAS_H
#define KN_BLAS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* c[m][n] = a[m][k] b[k][n]; with turn_a, a is [k][m]; with turn_b, b is [n][k]. Leading dimensions
 * are the widths of the arrays as stored. */
void kn_blas_product(float *c, const float *a, bool turn_a, const float *b, bool turn_b, uint32_t m,
                     uint32_t n, uint32_t k);

/* openblas_get_config(): version and options. */
const char *kn_blas_config(void);

#endif
