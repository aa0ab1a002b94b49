/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cpu/blas.h"

#include "kernels/kn.h"

#include <cblas.h>
#include <limits.h>
#include <string.h>

void kn_blas_product(float *c, const float *a, bool turn_a, const float *b, bool turn_b, uint32_t m,
                     uint32_t n, uint32_t k)
{
    KN_CHECK(m <= INT_MAX);
    KN_CHECK(n <= INT_MAX);
    KN_CHECK(k <= INT_MAX);
    const blasint lda = (blasint)(turn_a ? m : k);
    const blasint ldb = (blasint)(turn_b ? k : n);
    cblas_sgemm(CblasRowMajor, turn_a ? CblasTrans : CblasNoTrans,
                turn_b ? CblasTrans : CblasNoTrans, (blasint)m, (blasint)n, (blasint)k, 1.0f, a,
                lda, b, ldb, 0.0f, c, (blasint)n);
}

enum kn_err kn_open(struct kn_diag *diag)
{
    const char *config = openblas_get_config();
    if (sizeof(blasint) != sizeof(int) || strstr(config, "USE64BITINT") != NULL) {
        return kn_fail(diag, KN_ERR_UNSUPPORTED, "OpenBLAS with 64-bit integers: %s", config);
    }
    openblas_set_num_threads(1);
    return KN_OK;
}

const char *kn_blas_core(void)
{
    return openblas_get_corename();
}

const char *kn_blas_config(void)
{
    return openblas_get_config();
}
