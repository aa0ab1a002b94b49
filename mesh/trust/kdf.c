/* SPDX-License-Identifier: Apache-2.0 */
#include "trust/kdf.h"

#include <sodium.h>

#include <string.h>

void trust_kdf(const struct trust_secret *secret, const char *label, uint8_t *out, size_t size)
{
    SH_CHECK(crypto_generichash(out, size, (const uint8_t *)label, strlen(label), secret->bytes,
                                sizeof secret->bytes) == 0);
}
