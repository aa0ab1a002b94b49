/* SPDX-License-Identifier: Apache-2.0
 *
 * Any text as a cluster secret: what is accepted formats to the same text again. */
#include "base/host/host.h"
#include "trust/trust.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct trust_secret secret;
    char text[TRUST_SECRET_TEXT];
    sh_host_init();
    if (trust_secret_parse((struct sh_span){.at = data, .size = size}, &secret) == SH_OK) {
        struct trust_secret again;
        trust_secret_format(&secret, text);
        struct sh_span span = {.at = (const uint8_t *)text, .size = strlen(text)};
        SH_CHECK(trust_secret_parse(span, &again) == SH_OK);
        SH_CHECK(memcmp(again.bytes, secret.bytes, sizeof again.bytes) == 0);
    }
    return 0;
}
