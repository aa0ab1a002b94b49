/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a text, by characters and by bytes, and read again with the classes that it has. */
#include "kernels/data/data.h"

enum { CONTEXT = 4 };

static void read_again(const uint8_t *data, size_t size, const struct kn_dataset *set,
                       const struct kn_text *text)
{
    const struct kn_open options = {.unlabelled = true,
                                    .text = text,
                                    .classes = (const char *const *)set->class_name,
                                    .class_count = set->class_count};
    static float x[CONTEXT];
    struct kn_dataset again;
    struct kn_diag diag;
    KN_CHECK(kn_text_decode(&again, data, size, "f", &options, &diag) == KN_OK);
    KN_CHECK(again.count == 1);
    KN_CHECK(again.given == CONTEXT);
    kn_dataset_gather(&again, (const uint32_t[]){0}, 1, x, NULL, NULL);
    for (size_t i = 0; i < CONTEXT; i++) {
        KN_CHECK(x[i] >= 0.0f && x[i] < (float)set->class_count);
    }
    kn_dataset_close(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct kn_text texts[] = {{KN_TOKENS_CHARACTERS, CONTEXT},
                                           {KN_TOKENS_BYTES, CONTEXT}};
    for (size_t i = 0; i < KN_COUNT(texts); i++) {
        const struct kn_open options = {.text = &texts[i]};
        struct kn_dataset set;
        struct kn_diag diag;
        if (kn_text_decode(&set, data, size, "f", &options, &diag) == KN_OK) {
            KN_CHECK(set.count >= 1);
            KN_CHECK(set.places == CONTEXT);
            read_again(data, size, &set, &texts[i]);
            kn_dataset_close(&set);
        }
    }
    return 0;
}
