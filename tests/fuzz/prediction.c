/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as what a prediction command printed: what is taken is finite, and a list has no more
 * numbers than there was room for. */
#include "kernels/score/prediction.h"

#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    double list[8];
    double value = 0;
    size_t count = 0;
    struct kn_diag diag;
    if (kn_prediction_conductor(text, size, &value, &diag) == KN_OK) {
        KN_CHECK(isfinite(value) != 0);
    }
    if (kn_prediction_find(text, size, "y", &value, &diag) == KN_OK) {
        KN_CHECK(isfinite(value) != 0);
    }
    if (kn_prediction_list(text, size, list, KN_COUNT(list), &count, &diag) == KN_OK) {
        KN_CHECK(count >= 1);
        KN_CHECK(count <= KN_COUNT(list));
        for (size_t i = 0; i < count; i++) {
            KN_CHECK(isfinite(list[i]) != 0);
        }
    }
    return 0;
}
