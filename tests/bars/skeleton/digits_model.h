/* SPDX-License-Identifier: Apache-2.0
 *
 * The models of the bars on builtin:digits. */
#ifndef BARS_DIGITS_MODEL_H
#define BARS_DIGITS_MODEL_H

#include "kernels/graph/graph.h"

/* "cnn": conv5x5-8, pool, conv5x5-16, pool, dense-64, dense-10; "cnn-norm": the same with batch
 * normalisation after each convolution and dropout before the last layer; "mlp": dense-128,
 * dense-10; "linear": dense-10. Ends the program on any error. */
struct kn_model *digits_model_make(const char *kind);

#endif
