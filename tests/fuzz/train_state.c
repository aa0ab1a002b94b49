/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a checkpoint of one small job. What decodes must encode to the bytes it came from;
 * what does not must leave the state as it was. */
#include "train/state.h"

#include <string.h>

enum { PARAMS = 6, BUFFERS = 4, OPTIM = 12 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t CLASS[WIRE_CLASS_BYTES] = "class of machine";
    static struct spec_job job = {.train = {.seed = 1}};
    struct train_material m = {.job = &job,
                               .ranks = 8,
                               .batch = 64,
                               .params = PARAMS,
                               .buffers = BUFFERS,
                               .optim_state = OPTIM,
                               .course = {.steps_an_epoch = 4, .epochs = 3, .validates = true}};
    struct train_state state;
    memset(m.spec_digest, 0x51, sizeof m.spec_digest);
    if (train_state_open(&state, &m) != SH_OK) {
        return 0;
    }
    state.position = 77;
    enum sh_err err =
        train_state_decode(&state, CLASS, false, (struct sh_span){.at = data, .size = size});
    if (err == SH_OK) {
        uint8_t again[TRAIN_STATE_HEAD + (PARAMS + BUFFERS + OPTIM) * sizeof(float)];
        SH_CHECK_CMP(size, ==, sizeof again);
        SH_CHECK(state.set);
        train_state_encode(&state, CLASS, again);
        SH_CHECK(memcmp(again, data, size) == 0);
    } else {
        SH_CHECK(!state.set);
        SH_CHECK_CMP(state.position, ==, 77);
    }
    train_state_close(&state);
    return 0;
}
