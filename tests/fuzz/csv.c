/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a CSV file; the first byte chooses options. What is read is gathered once. */
#include "kernels/data/data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const columns[] = {"a", "b"};
    static const char *const classes[] = {"x", "y"};
    struct kn_open options = {0};
    struct kn_dataset set;
    struct kn_diag diag;
    if (size == 0) {
        return 0;
    }
    options.regression = (data[0] & 1) != 0;
    options.unlabelled = (data[0] & 2) != 0;
    options.label = (data[0] & 4) != 0 ? ((data[0] & 64) != 0 ? "a" : "2") : NULL;
    options.columns = (data[0] & 8) != 0 ? columns : NULL;
    options.column_count = (data[0] & 8) != 0 ? 2 : 0;
    options.classes = (data[0] & 16) != 0 ? classes : NULL;
    options.class_count = (data[0] & 16) != 0 ? 2 : 0;
    options.header = (data[0] & 32) != 0 ? KN_HEADER_NO : KN_HEADER_AUTO;
    if (kn_csv_decode(&set, data + 1, size - 1, "t", &options, &diag) == KN_OK) {
        static float x[KN_FEATURES_MAX];
        const uint32_t last = set.count - 1;
        kn_dataset_gather(&set, &last, 1, x, NULL, NULL);
        if (set.label != NULL) {
            KN_CHECK((uint32_t)set.label[last] < set.class_count);
        }
        kn_dataset_close(&set);
    }
    return 0;
}
