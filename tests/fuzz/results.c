/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a results.csv, scored in every way. */
#include "kernels/score/results.h"

#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void judge(const struct kn_results *r, enum kn_bucketing bucketing, enum kn_compat compat)
{
    struct kn_bucketed b;
    struct kn_diag diag;
    if (kn_results_score(r, bucketing, compat, 1.0, &b, &diag) != KN_OK) {
        KN_CHECK(bucketing == KN_BUCKETING_CARGO2000);
        KN_CHECK(compat == KN_COMPAT_FIXED);
        return;
    }
    uint64_t rows = b.unplaced;
    for (int i = 0; i < KN_BUCKETS; i++) {
        rows += b.bucket[i].rows;
    }
    KN_CHECK(rows == r->count);
    for (int m = 0; m < KN_METRICS; m++) {
        KN_CHECK(compat == KN_COMPAT_CONDUCTOR || isinf(b.mean[m]) == 0);
        KN_CHECK((b.valued[m] == 0) == (isnan(b.mean[m]) != 0));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kn_results r;
    struct kn_diag diag;
    if (kn_results_decode(&r, data, size, "t", &diag) == KN_OK) {
        judge(&r, KN_BUCKETING_GENERIC, KN_COMPAT_FIXED);
        judge(&r, KN_BUCKETING_CARGO2000, KN_COMPAT_FIXED);
        judge(&r, KN_BUCKETING_GENERIC, KN_COMPAT_CONDUCTOR);
        judge(&r, KN_BUCKETING_CARGO2000, KN_COMPAT_CONDUCTOR);
        kn_results_close(&r);
    }
    return 0;
}
