/* SPDX-License-Identifier: Apache-2.0
 *
 * A small model.safetensors for tests: one dense layer over four numbers with weights -1 for class
 * "dark", 1 for class "light", bias 0.5 for "dark"; inputs are normalised by mean 0.5, deviation
 * 0.25. */
#ifndef MODEL_FILE_H
#define MODEL_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct model_file {
    uint8_t bytes[65536];
    size_t size;
};

/* input: "[1,2,2]" for pictures (features 0) or "[4]" with features columns named c0, c1, ... */
void model_file_make(struct model_file *file, const char *input, uint32_t features, bool drop_bias);

#endif
