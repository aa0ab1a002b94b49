/* SPDX-License-Identifier: Apache-2.0 */
#include "train/blob.h"

#include <stdlib.h>

enum sh_err train_blob_read(struct service *s, const uint8_t digest[static SH_DIGEST_BYTES],
                            uint64_t bytes_max, uint64_t timeout_us, uint8_t **bytes, size_t *size)
{
    uint64_t total = 0;
    size_t done = 0;
    *bytes = NULL;
    *size = 0;
    enum sh_err err = service_blob_fetch(s, digest, &total, timeout_us);
    if (err == SH_OK && total > bytes_max) {
        err = SH_ERR_LIMIT;
    }
    uint8_t *out = err == SH_OK ? malloc((size_t)total + 1) : NULL;
    if (err == SH_OK && out == NULL) {
        err = SH_ERR_NO_MEMORY;
    }
    while (err == SH_OK && done < total) {
        size_t got = 0;
        err = service_blob_read(s, digest, done, out + done, (size_t)total - done, &got);
        err = err == SH_OK && got == 0 ? SH_ERR_CORRUPT : err;
        done += got;
    }
    if (err != SH_OK) {
        free(out);
        return err;
    }
    *bytes = out;
    *size = done;
    return SH_OK;
}
