/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/data/digits.h"
#include "kernels/data/dataset_internal.h"

#include <stdlib.h>

enum kn_err kn_digits_open(struct kn_dataset *set, enum kn_part part)
{
    static const uint32_t shape[3] = {1, KN_DIGITS_SIDE, KN_DIGITS_SIDE};
    static const struct kn_open options = {.class_count = KN_DIGITS_CLASSES};
    uint32_t count = part == KN_PART_TRAIN ? KN_DIGITS_TRAIN_COUNT : KN_DIGITS_TEST_COUNT;
    *set = (struct kn_dataset){0};
    enum kn_err err = kn_dataset_prepare(set, KN_SAMPLE_U8, shape, count, "builtin:digits", NULL);
    if (err == KN_OK) {
        set->label = calloc(count, sizeof *set->label);
        err = set->label != NULL ? kn_dataset_classes(set, &options, KN_DIGITS_CLASSES, NULL)
                                 : KN_ERR_MEMORY;
    }
    if (err != KN_OK) {
        kn_dataset_close(set);
        return err;
    }
    for (uint32_t i = 0; i < count; i++) {
        set->label[i] = kn_digits_draw(part, i, set->bytes + (size_t)i * set->features);
    }
    return KN_OK;
}

uint64_t kn_digits_digest(const struct kn_dataset *set)
{
    static const uint64_t fnv_prime = UINT64_C(0x100000001b3);
    uint64_t digest = UINT64_C(0xcbf29ce484222325);
    for (uint32_t i = 0; i < set->count; i++) {
        const uint8_t *pixels = set->bytes + (size_t)i * set->features;
        for (uint32_t k = 0; k < set->features; k++) {
            digest = (digest ^ pixels[k]) * fnv_prime;
        }
        digest = (digest ^ (uint8_t)set->label[i]) * fnv_prime;
    }
    return digest;
}

uint64_t kn_digits_digest_expected(enum kn_part part)
{
    return part == KN_PART_TRAIN ? UINT64_C(0x43cb31d860acb394) : UINT64_C(0x9a449b49a58c6e54);
}
