/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys from the cluster secret: BLAKE2b of a label, keyed with the secret. Internal to trust. */
#ifndef TRUST_KDF_H
#define TRUST_KDF_H

#include "trust/trust.h"

/* size is 16 to 64. Different labels give independent outputs. */
void trust_kdf(const struct trust_secret *secret, const char *label, uint8_t *out, size_t size);

#endif
