/* SPDX-License-Identifier: Apache-2.0
 *
 * Whole models of sequences: their derivatives, their bits, and what is refused. */
#include "step.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define PLACES 6u

TEST(the_gradient_of_a_transformer_matches_central_differences)
{
    struct kn_model *m = text_model(PLACES);
    float *buffers;
    const size_t count = kn_model_param_count(m);
    double *params = doubles(init_params(m, &buffers), count);
    const struct data d = data_of(m, 3);
    const struct kn_batch batch = {.n = 3, .x = d.x, .labels = d.labels};
    const double *got = reference_step(m, params, &batch);
    const double h = 1e-6;
    for (size_t i = 0; i < count; i += 2) {
        const double kept = params[i];
        params[i] = kept + h;
        double *above = reference_step(m, params, &batch);
        params[i] = kept - h;
        double *below = reference_step(m, params, &batch);
        params[i] = kept;
        EXPECT_NEAR(got[i], (above[count] - below[count]) / (2 * h), 2e-6);
    }
}

static const char *const ISAS[] = {"v4", "v3", "base"};

TEST_ROWS(a_step_in_float_is_close_to_the_step_in_double, ISAS)
{
    EXPECT(kn_open(NULL) == KN_OK);
    const struct kn_ops *ops = kn_ops_cpu_isa(ISAS[tst_row]);
    if (ops == NULL) {
        SKIP("this machine lacks the instruction set");
    }
    struct kn_model *m = text_model(PLACES);
    expect_close_in_float(m, ops);
}

TEST(a_step_repeats_bit_for_bit_in_any_workspace)
{
    EXPECT(kn_open(NULL) == KN_OK);
    expect_repeats(text_model(PLACES));
}

/* Also where it stands among the others. */
TEST(a_sequence_is_told_the_same_bits_whatever_stands_beside_it)
{
    EXPECT(kn_open(NULL) == KN_OK);
    struct kn_model *m = text_model(PLACES);
    float *buffers;
    float *params = init_params(m, &buffers);
    const struct data d = data_of(m, 40);
    const size_t outputs = PLACES * TEXT_VOCAB;
    float *all = kept_bytes(40 * outputs * sizeof *all);
    float *alone = kept_bytes(outputs * sizeof *alone);
    struct kn_work *w;
    OK(kn_work_open(&w, m, kn_ops_cpu(), 40, false));
    kept(w);
    OK(kn_model_predict(w, params, buffers, d.x, 40, all, &diag));
    for (size_t i = 0; i < 40; i++) {
        OK(kn_model_predict(w, params, buffers, d.x + i * PLACES, 1, alone, &diag));
        EXPECT_MEM(alone, all + i * outputs, outputs * sizeof *alone);
        float sum = 0;
        for (size_t c = 0; c < TEXT_VOCAB; c++) {
            sum += alone[outputs - TEXT_VOCAB + c];
        }
        EXPECT_NEAR((double)sum, 1, 1e-5);
    }
}

TEST(a_place_does_not_see_what_comes_after_it)
{
    EXPECT(kn_open(NULL) == KN_OK);
    struct kn_model *m = text_model(PLACES);
    float *buffers;
    float *params = init_params(m, &buffers);
    const struct data d = data_of(m, 1);
    float before[PLACES * TEXT_VOCAB];
    float after[PLACES * TEXT_VOCAB];
    struct kn_work *w;
    OK(kn_work_open(&w, m, kn_ops_cpu(), 16, false));
    kept(w);
    OK(kn_model_predict(w, params, buffers, d.x, 1, before, &diag));
    d.x[3] = d.x[3] > 0 ? 0 : 1;
    OK(kn_model_predict(w, params, buffers, d.x, 1, after, &diag));
    EXPECT_MEM(before, after, 3 * TEXT_VOCAB * sizeof *before);
    for (size_t i = 3; i < PLACES; i++) {
        EXPECT(memcmp(before + i * TEXT_VOCAB, after + i * TEXT_VOCAB,
                      TEXT_VOCAB * sizeof *before) != 0);
    }
}

/* The number two places back: no layer but attention can carry it there. */
TEST(a_transformer_learns_to_look_back)
{
    EXPECT(kn_open(NULL) == KN_OK);
    const uint32_t n = 64;
    struct kn_model *m = text_model(PLACES);
    const size_t p = kn_model_param_count(m);
    float *buffers;
    float *params = init_params(m, &buffers);
    const struct kn_optim adam = kn_optim_default(KN_OPTIM_ADAMW);
    float *state = kept_bytes(kn_optim_state_count(&adam, p) * sizeof *state);
    float *vector = kept_bytes(kn_model_vector_count(m) * sizeof *vector);
    const struct data d = data_of(m, n);
    for (uint32_t i = 0; i < n * PLACES; i++) {
        d.labels[i] = i % PLACES < 2 ? 0 : (int32_t)d.x[i - 2];
    }
    struct kn_work *w;
    OK(kn_work_open(&w, m, kn_ops_cpu(), n, true));
    kept(w);
    const struct kn_batch batch = {.n = n, .x = d.x, .labels = d.labels};
    for (uint32_t step = 0; step < 400; step++) {
        const struct kn_update u = {
            .optim = &adam, .lr = 0.01f, .step = step, .batch = n, .ranks = 1};
        OK(kn_model_step(w, params, &batch, &key, vector, &diag));
        OK(kn_model_apply(m, &u, vector, params, buffers, state, &diag));
    }
    printf("# loss %.3g, right %.0f of %u\n", (double)vector[p] / n, (double)vector[p + 1],
           n * PLACES);
    EXPECT((double)vector[p + 1] > 0.95 * n * PLACES);
    double loss;
    uint64_t correct;
    OK(kn_model_eval(w, params, buffers, &batch, &loss, &correct, &diag));
    EXPECT(correct > (uint64_t)(0.97 * n * PLACES));
}

TEST(numbers_that_are_no_rows_are_named)
{
    struct kn_model *m = text_model(PLACES);
    float *buffers;
    float *params = init_params(m, &buffers);
    const struct data d = data_of(m, 2);
    float *vector = kept_bytes(kn_model_vector_count(m) * sizeof *vector);
    const struct kn_batch batch = {.n = 2, .x = d.x, .labels = d.labels};
    const float bad[] = {-1, TEXT_VOCAB, 2.5f, NAN, INFINITY};
    struct kn_work *w;
    OK(kn_work_open(&w, m, kn_ops_cpu(), 2, true));
    kept(w);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        d.x[PLACES + 4] = bad[i];
        EXPECT(kn_model_step(w, params, &batch, &key, vector, &diag) == KN_ERR_INVALID);
        EXPECT(strstr(diag.text, "sample 1, place 4: ") != NULL);
        EXPECT(strstr(diag.text, "layer \"embedding1\" takes whole numbers from 0 to 10") != NULL);
    }
    d.x[PLACES + 4] = 0;
    d.labels[PLACES + 2] = (int32_t)TEXT_VOCAB;
    EXPECT(kn_model_step(w, params, &batch, &key, vector, &diag) == KN_ERR_INVALID);
    EXPECT_STR(diag.text, "sample 1: label 11, expected 0 to 10");
}

TEST(a_bad_layer_of_a_sequence_is_refused_by_name_with_what_it_got)
{
    struct kn_model *m;
    uint32_t in;
    uint32_t at;
    const struct kn_attention three = {.heads = 3};
    const struct kn_attention two = {.heads = 2};
    OK(kn_model_open(&m));
    kept(m);
    OK(kn_model_input(m, &(struct kn_shape){1, {8, 1, 1}}, &in, &diag));
    EXPECT(kn_model_positions(m, in, NULL, &at, &diag) == KN_ERR_INVALID);
    EXPECT_STR(diag.text, "layer \"positions1\": positions expects a sequence, got [8] from "
                          "\"input\"; put embedding before it");
    EXPECT(kn_model_attention(m, in, "look", &two, &at, &diag) == KN_ERR_INVALID);
    EXPECT_STR(diag.text, "layer \"look\": attention expects a sequence, got [8] from \"input\"; "
                          "put embedding before it");
    EXPECT(kn_model_embedding(m, in, NULL, 1, 4, &at, &diag) == KN_ERR_LIMIT);
    OK(kn_model_embedding(m, in, NULL, 5, 4, &at, &diag));
    EXPECT(kn_model_embedding(m, at, NULL, 5, 4, &in, &diag) == KN_ERR_INVALID);
    EXPECT_STR(diag.text, "layer \"embedding2\": embedding expects the model's input of [places] "
                          "numbers, got [8 places of 4] from \"embedding1\"");
    EXPECT(kn_model_attention(m, at, NULL, &three, &at, &diag) == KN_ERR_INVALID);
    EXPECT_STR(diag.text,
               "layer \"attention1\": 3 heads, expected a number that divides the width 4");
    EXPECT(kn_model_batchnorm(m, at, NULL, 1e-5f, 0.1f, &at, &diag) == KN_ERR_INVALID);
    EXPECT(strstr(diag.text, "layernorm takes sequences") != NULL);
    EXPECT(kn_model_layernorm(m, at, NULL, 0, &at, &diag) == KN_ERR_INVALID);
    EXPECT(kn_model_seal(m, at, KN_LOSS_MSE, &diag) == KN_ERR_INVALID);
    EXPECT_STR(diag.text,
               "the last layer \"embedding1\" gives [8 places of 4], expected [classes]; "
               "put flatten before the end");
}

/* A refusal in the middle of a layer of three leaves the model as it was. */
TEST(a_refused_attention_leaves_nothing_behind)
{
    struct kn_model *m;
    uint32_t at;
    uint32_t end;
    const struct kn_attention two = {.heads = 2};
    OK(kn_model_open(&m));
    kept(m);
    OK(kn_model_input(m, &(struct kn_shape){1, {8, 1, 1}}, &at, &diag));
    OK(kn_model_embedding(m, at, NULL, 5, 4, &at, &diag));
    OK(kn_model_gelu(m, at, "look.out", &at, &diag));
    const size_t params = kn_model_param_count(m);
    EXPECT(kn_model_attention(m, at, "look", &two, &end, &diag) == KN_ERR_INVALID);
    EXPECT_STR(diag.text, "layer name \"look.out\" is given twice");
    EXPECT_EQ(kn_model_param_count(m), params);
    EXPECT_EQ(kn_model_layers(m), 2);
    OK(kn_model_attention(m, at, "see", &two, &end, &diag));
    OK(kn_model_seal(m, end, KN_LOSS_CROSS_ENTROPY, &diag));
    EXPECT_EQ(kn_model_param_count(m), params + 3 * 4 * 4 + 3 * 4 + 4 * 4 + 4);
}

TEST(the_layer_table_tells_shapes_parameters_and_work_of_sequences)
{
    struct kn_model *m = text_model(PLACES);
    struct kn_layer_info layer;
    EXPECT_EQ(kn_model_places(m), PLACES);
    EXPECT_EQ(kn_model_outputs(m), TEXT_VOCAB);
    kn_model_layer(m, 0, &layer);
    EXPECT_EQ(layer.params, 110);
    EXPECT_EQ(layer.shape.rank, 2);
    kn_model_layer(m, 3, &layer);
    EXPECT_STR(layer.name, "attention1.in");
    EXPECT_EQ(layer.params, 330);
    EXPECT_EQ(layer.macs, PLACES * 10 * 30);
    kn_model_layer(m, 4, &layer);
    EXPECT_STR(layer.name, "attention1");
    EXPECT_STR(layer.kind, "attention");
    EXPECT_EQ(layer.params, 0);
    EXPECT_EQ(layer.macs, 10 * PLACES * (PLACES + 1));
    EXPECT(kn_work_bytes(m, kn_ops_cpu(), 16, true) > kn_work_bytes(m, kn_ops_cpu(), 16, false));
}
