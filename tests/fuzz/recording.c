/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a recording, and its features where they are one. */
#include "kernels/data/data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct kn_audio audio = {.mels = 12, .frames = 9, .window_ms = 25, .hop_ms = 10};
    static const struct kn_open options = {.unlabelled = true, .audio = &audio};
    struct kn_dataset set;
    struct kn_diag diag;
    if (kn_recording_decode(&set, data, size, "f", &options, &diag) == KN_OK) {
        KN_CHECK(set.count == 1);
        KN_CHECK(set.features == 12 * 9);
        for (uint32_t i = 0; i < set.features; i++) {
            KN_CHECK(set.numbers[i] >= -14.0f && set.numbers[i] <= 30.0f);
        }
        kn_dataset_close(&set);
    }
    return 0;
}
