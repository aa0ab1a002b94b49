/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a file of IDX images (first half) and labels (second half); the first byte says
 * where the halves meet. */
#include "kernels/data/data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct kn_open options = {0};
    struct kn_dataset set;
    struct kn_diag diag;
    if (size == 0) {
        return 0;
    }
    size_t middle = 1 + (size - 1) * data[0] / 255;
    if (kn_idx_decode(&set, data + 1, middle - 1, "images", &options, &diag) == KN_OK) {
        if (kn_idx_decode_labels(&set, data + middle, size - middle, "labels", &options, &diag) ==
            KN_OK) {
            KN_CHECK((uint32_t)set.label[set.count - 1] < set.class_count);
        }
        kn_dataset_close(&set);
    }
    return 0;
}
