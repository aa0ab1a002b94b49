/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as the state of a trainer, also with a true hash at their end. What is taken goes on
 * training, unless that would take long. */
#include "kernels/rl/mix.h"
#include "kernels/rl/trainer.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BYTES_MAX = 1 << 16, TAIL_BYTES = 8, STEPS_MAX = 4096 };

static void judge(const uint8_t *bytes, size_t size)
{
    struct kn_rl *t;
    struct kn_diag diag;
    if (kn_rl_decode(&t, bytes, size, &diag) != KN_OK) {
        KN_CHECK(t == NULL);
        return;
    }
    static uint8_t again[BYTES_MAX];
    KN_CHECK(kn_rl_state_size(t) == size);
    kn_rl_encode(t, again);
    KN_CHECK(memcmp(again, bytes, size) == 0);
    const struct kn_rl_config *c = kn_rl_config(t);
    if (c->areas * c->env.steps_max <= STEPS_MAX) {
        const uint64_t before = kn_rl_iterations(t);
        const enum kn_err err = kn_rl_iterate(t, NULL, &diag);
        KN_CHECK(err == KN_OK || err == KN_ERR_NOT_FINITE);
        KN_CHECK(kn_rl_iterations(t) == before + (err == KN_OK ? 1 : 0));
    }
    kn_rl_close(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t bytes[BYTES_MAX];
    if (size < TAIL_BYTES || size > sizeof bytes) {
        return 0;
    }
    judge(data, size);
    memcpy(bytes, data, size);
    uint64_t hash = kn_mix64(0, size - TAIL_BYTES);
    for (size_t i = 0; i < size - TAIL_BYTES; i++) {
        hash = kn_mix64(hash, bytes[i]);
    }
    for (size_t i = 0; i < TAIL_BYTES; i++) {
        bytes[size - TAIL_BYTES + i] = (uint8_t)(hash >> (8 * i));
    }
    judge(bytes, size);
    return 0;
}
