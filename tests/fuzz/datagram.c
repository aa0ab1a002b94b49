/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a sealed datagram: never opened, never read past their end. */
#include "base/host/host.h"
#include "trust/datagram.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t seed[TRUST_KEY_BYTES] = {1};
    struct trust_secret secret = {{7}};
    struct trust t;
    struct trust_window windows[2] = {0};
    struct trust_replay replay = {.windows = windows, .capacity = 2};
    struct trust_sender sender;
    uint8_t out[2048];
    size_t opened = 0;
    sh_host_init();
    trust_ephemeral(&t, &secret, seed, 1);
    struct sh_span bytes = {.at = data, .size = size};
    SH_CHECK(trust_unseal(&t, &replay, bytes, &sender, out, sizeof out, &opened) != SH_OK);
    SH_CHECK(opened == 0);
    return 0;
}
