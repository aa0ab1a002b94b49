/* SPDX-License-Identifier: Apache-2.0 */
#include "digits_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(enum kn_err err, const struct kn_diag *diag)
{
    if (err != KN_OK) {
        (void)fprintf(stderr, "%s: %s\n", kn_err_text(err), diag->text);
        exit(1);
    }
}

/* A convolution, its normalisation where wanted, and a pool. */
static uint32_t block(struct kn_model *m, uint32_t at, uint32_t filters, bool norm)
{
    const struct kn_conv2d conv = {
        .filters = filters, .kernel = {5, 5}, .padding = KN_PADDING_SAME};
    const struct kn_pool2d pool = {.kernel = {2, 2}};
    struct kn_diag diag = {""};
    must(kn_model_conv2d(m, at, NULL, &conv, &at, &diag), &diag);
    if (norm) {
        must(kn_model_batchnorm(m, at, NULL, 1e-5f, 0.1f, &at, &diag), &diag);
    }
    must(kn_model_relu(m, at, NULL, &at, &diag), &diag);
    must(kn_model_maxpool(m, at, NULL, &pool, &at, &diag), &diag);
    return at;
}

struct kn_model *digits_model_make(const char *kind)
{
    const struct kn_shape input = {.rank = 3, .dim = {1, 28, 28}};
    bool norm = strcmp(kind, "cnn-norm") == 0;
    bool cnn = norm || strcmp(kind, "cnn") == 0;
    bool mlp = strcmp(kind, "mlp") == 0;
    struct kn_diag diag = {""};
    struct kn_model *m = NULL;
    uint32_t at = 0;
    if (!cnn && !mlp && strcmp(kind, "linear") != 0) {
        (void)fprintf(stderr, "no model %s\n", kind);
        exit(2);
    }
    must(kn_model_open(&m), &diag);
    must(kn_model_input(m, &input, &at, &diag), &diag);
    at = cnn ? block(m, at, 8, norm) : at;
    at = cnn ? block(m, at, 16, norm) : at;
    must(kn_model_flatten(m, at, NULL, &at, &diag), &diag);
    if (cnn || mlp) {
        must(kn_model_dense(m, at, NULL, cnn ? 64 : 128, false, &at, &diag), &diag);
        must(kn_model_relu(m, at, NULL, &at, &diag), &diag);
    }
    if (norm) {
        must(kn_model_dropout(m, at, NULL, 0.25f, &at, &diag), &diag);
    }
    must(kn_model_dense(m, at, NULL, 10, false, &at, &diag), &diag);
    must(kn_model_seal(m, at, KN_LOSS_CROSS_ENTROPY, &diag), &diag);
    return m;
}
