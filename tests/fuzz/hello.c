/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as HELLO and REFUSE. The MAC would keep the fuzzer out, so it is computed over the
 * bytes first, as an agent that knows the secret could. */
#include "base/host/host.h"
#include "link/hello.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void decode(const struct trust *t, const uint8_t *data, size_t size)
{
    struct link_hello hello;
    uint8_t bytes[LINK_HELLO_MAX + 1];
    uint8_t covered[LINK_HELLO_MAX + 1];
    if (size < TRUST_MAC_BYTES || size > sizeof bytes) {
        return;
    }
    size_t body = size - TRUST_MAC_BYTES;
    covered[0] = LINK_CONTROL;
    memcpy(covered + 1, data + TRUST_MAC_BYTES, body);
    trust_hello_mac(t, (struct sh_span){.at = covered, .size = body + 1}, bytes);
    memcpy(bytes + TRUST_MAC_BYTES, data + TRUST_MAC_BYTES, body);
    struct sh_span payload = {.at = bytes, .size = size};
    enum sh_err err = link_hello_decode(t, LINK_CONTROL, payload, &hello);
    SH_CHECK(err == SH_OK || err == SH_ERR_CORRUPT);
    if (err == SH_OK) {
        SH_CHECK(strlen(hello.version) <= LINK_VERSION_MAX);
        SH_CHECK(link_hello_verify(t, LINK_CONTROL, &hello, hello.challenge) == SH_ERR_DENIED);
        (void)link_version_fits(hello.version, "1.2.3");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t seed[TRUST_KEY_BYTES] = {1};
    struct trust_secret secret = {{7}};
    struct trust t;
    char version[LINK_VERSION_MAX + 1];
    enum sh_err reason = SH_OK;
    struct sh_span payload = {.at = data, .size = size};
    sh_host_init();
    trust_ephemeral(&t, &secret, seed, 1);
    link_hello_version(payload, version);
    SH_CHECK(strlen(version) <= LINK_VERSION_MAX);
    if (link_refuse_decode(payload, &reason, version) != SH_OK) {
        SH_CHECK(reason == SH_ERR_INVALID);
    }
    decode(&t, data, size);
    return 0;
}
