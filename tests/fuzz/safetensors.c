/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a safetensors file; every byte of what is read is touched, and it must be writable
 * again. */
#include "kernels/format/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum kn_err add_up(void *context, const void *bytes, size_t size)
{
    uint64_t *sum = context;
    for (size_t i = 0; i < size; i++) {
        *sum += ((const uint8_t *)bytes)[i];
    }
    return KN_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kn_safetensors f;
    struct kn_diag diag;
    uint64_t sum = 0;
    if (kn_safetensors_read(&f, data, size, &diag) == KN_OK) {
        const struct kn_sink sink = {add_up, &sum};
        enum kn_err err =
            kn_safetensors_write(f.tensor, f.count, f.meta, f.meta_count, sink, &diag);
        KN_CHECK(err == KN_OK || err == KN_ERR_LIMIT); /* escapes may lengthen the header */
        err = kn_tensors_digest(f.tensor, f.count, sink, &diag);
        KN_CHECK(err == KN_OK);
        kn_safetensors_close(&f);
    }
    return 0;
}
