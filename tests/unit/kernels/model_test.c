/* SPDX-License-Identifier: Apache-2.0 */
#include "step.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* Nothing wants the derivative with respect to the input, of which these two are made all the same.
 */
static struct kn_model *norm_model(bool batch)
{
    struct kn_model *m;
    uint32_t at;
    const struct kn_conv2d conv = conv_of(3, 3, 1);
    OK(kn_model_open(&m));
    kept(m);
    OK(kn_model_input(m, &(struct kn_shape){3, {2, 5, 4}}, &at, &diag));
    if (batch) {
        OK(kn_model_batchnorm(m, at, NULL, 1e-5f, 0.1f, &at, &diag));
    } else {
        OK(kn_model_layernorm(m, at, NULL, 1e-5f, &at, &diag));
    }
    OK(kn_model_conv2d(m, at, NULL, &conv, &at, &diag));
    OK(kn_model_layernorm(m, at, NULL, 1e-5f, &at, &diag));
    OK(kn_model_relu(m, at, NULL, &at, &diag));
    OK(kn_model_flatten(m, at, NULL, &at, &diag));
    OK(kn_model_dense(m, at, NULL, 4, false, &at, &diag));
    OK(kn_model_seal(m, at, KN_LOSS_CROSS_ENTROPY, &diag));
    return m;
}

static const enum kn_loss losses[] = {KN_LOSS_CROSS_ENTROPY, KN_LOSS_MSE};

static void expect_slopes(const struct kn_model *m)
{
    float *buffers;
    const size_t count = kn_model_param_count(m);
    double *params = doubles(init_params(m, &buffers), count);
    const struct data d = data_of(m, 3);
    const struct kn_batch batch = {.n = 3, .x = d.x, .labels = d.labels, .targets = d.targets};
    const double *got = reference_step(m, params, &batch);
    const size_t loss = count + kn_model_buffer_count(m);
    const double h = 1e-6;
    for (size_t i = 0; i < count; i += 3) {
        const double kept = params[i];
        params[i] = kept + h;
        double *above = reference_step(m, params, &batch);
        params[i] = kept - h;
        double *below = reference_step(m, params, &batch);
        params[i] = kept;
        const double slope = (above[loss] - below[loss]) / (2 * h);
        EXPECT_NEAR(got[i], slope, 2e-6);
    }
}

TEST_ROWS(the_gradient_of_a_whole_model_matches_central_differences, losses)
{
    expect_slopes(wild_model(losses[tst_row]));
}

TEST_ROWS(a_step_in_float_is_close_to_the_step_in_double, losses)
{
    expect_close_in_float(wild_model(losses[tst_row]), kn_ops_cpu());
}

static const bool batches[] = {false, true};

TEST_ROWS(norms_of_images_and_of_the_input_itself, batches)
{
    const struct kn_model *m = norm_model(batches[tst_row]);
    expect_slopes(m);
    expect_close_in_float(m, kn_ops_cpu());
}

TEST(a_step_repeats_bit_for_bit_in_any_workspace)
{
    expect_repeats(wild_model(KN_LOSS_CROSS_ENTROPY));
}

TEST(dropout_of_another_step_is_another_one)
{
    struct kn_model *m = wild_model(KN_LOSS_CROSS_ENTROPY);
    const size_t count = kn_model_vector_count(m);
    float *buffers;
    float *params = init_params(m, &buffers);
    const struct data d = data_of(m, 7);
    const struct kn_batch batch = {.n = 7, .x = d.x, .labels = d.labels};
    const struct kn_step_key other = {.seed = 11, .step = 4, .rank = 1};
    struct kn_work *w;
    float *a = kept_bytes(count * sizeof *a);
    float *b = kept_bytes(count * sizeof *b);
    OK(kn_work_open(&w, m, kn_ops_cpu(), 7, true));
    kept(w);
    OK(kn_model_step(w, params, &batch, &key, a, &diag));
    OK(kn_model_step(w, params, &batch, &other, b, &diag));
    EXPECT(memcmp(a, b, count * sizeof *a) != 0);
}

#define RANKS 8u

struct worker {
    const struct kn_model *m;
    const float *params;
    const struct data *d;
    float *out; /* RANKS vectors */
    uint32_t first, step;
};

static void *worker_run(void *arg)
{
    const struct worker *job = arg;
    const struct kn_shape in = kn_model_input_shape(job->m);
    struct kn_work *w;
    if (kn_work_open(&w, job->m, kn_ops_cpu(), 16, true) != KN_OK) {
        return arg;
    }
    for (uint32_t r = job->first; r < RANKS; r += job->step) {
        const struct kn_batch batch = {.n = 16,
                                       .x = job->d->x + 16 * r * kn_shape_count(&in),
                                       .labels = job->d->labels + 16 * r};
        const struct kn_step_key at = {.seed = 1, .step = 2, .rank = r};
        if (kn_model_step(w, job->params, &batch, &at, job->out + r * kn_model_vector_count(job->m),
                          NULL) != KN_OK) {
            return arg;
        }
    }
    kn_work_close(w);
    return NULL;
}

static const bool wild[] = {false, true};

TEST_ROWS(ranks_give_the_same_bits_on_one_thread_and_on_two, wild)
{
    EXPECT(kn_open(NULL) == KN_OK);
    struct kn_model *m = wild[tst_row] ? wild_model(KN_LOSS_CROSS_ENTROPY) : digits_model();
    const size_t count = RANKS * kn_model_vector_count(m);
    float *buffers;
    float *params = init_params(m, &buffers);
    const struct data d = data_of(m, 16 * RANKS);
    float *alone = kept_bytes(count * sizeof *alone);
    float *both = kept_bytes(count * sizeof *both);
    struct worker single = {.m = m, .params = params, .d = &d, .out = alone, .first = 0, .step = 1};
    EXPECT(worker_run(&single) == NULL);
    struct worker pair[2];
    pthread_t threads[2];
    for (uint32_t i = 0; i < 2; i++) {
        pair[i] =
            (struct worker){.m = m, .params = params, .d = &d, .out = both, .first = i, .step = 2};
        EXPECT(pthread_create(&threads[i], NULL, worker_run, &pair[i]) == 0);
    }
    for (uint32_t i = 0; i < 2; i++) {
        void *failed;
        EXPECT(pthread_join(threads[i], &failed) == 0);
        EXPECT(failed == NULL);
    }
    EXPECT_MEM(alone, both, count * sizeof *alone);
}

/* --- Evaluation, prediction, update. ---------------------------------------------------------- */

TEST(evaluation_uses_running_statistics_and_no_dropout)
{
    struct kn_model *m = wild_model(KN_LOSS_CROSS_ENTROPY);
    float *buffers;
    float *params = init_params(m, &buffers);
    for (size_t i = 0; i < kn_model_buffer_count(m); i++) {
        buffers[i] += 0.25f;
    }
    const size_t p = kn_model_param_count(m);
    const double *params64 = doubles(params, p);
    const double *buffers64 = doubles(buffers, kn_model_buffer_count(m));
    const struct data d = data_of(m, 45);
    const struct kn_batch batch = {.n = 45, .x = d.x, .labels = d.labels};
    double loss[3];
    uint64_t correct[3];
    struct kn_work *w[3];
    OK(kn_work_open(&w[0], m, kn_ops_ref(), 45, false));
    kept(w[0]);
    OK(kn_work_open(&w[1], m, kn_ops_cpu(), 20, false));
    kept(w[1]);
    OK(kn_work_open(&w[2], m, kn_ops_cpu(), 20, true));
    kept(w[2]);
    OK(kn_model_eval(w[0], params64, buffers64, &batch, &loss[0], &correct[0], &diag));
    OK(kn_model_eval(w[1], params, buffers, &batch, &loss[1], &correct[1], &diag));
    OK(kn_model_eval(w[2], params, buffers, &batch, &loss[2], &correct[2], &diag));
    EXPECT_NEAR(loss[1], loss[0], 1e-5);
    EXPECT_MEM(&loss[1], &loss[2], sizeof loss[1]);
    EXPECT_EQ(correct[1], correct[0]);
    float y[20 * 4];
    double from_probabilities = 0;
    OK(kn_model_predict(w[1], params, buffers, d.x, 20, y, &diag));
    for (uint32_t i = 0; i < 20; i++) {
        EXPECT_NEAR((double)(y[4 * i] + y[4 * i + 1] + y[4 * i + 2] + y[4 * i + 3]), 1, 1e-6);
        from_probabilities -= log((double)y[4 * i + (uint32_t)d.labels[i]]);
    }
    float alone[4];
    OK(kn_model_predict(w[1], params, buffers, d.x + 17 * 126, 1, alone, &diag));
    EXPECT_MEM(alone, y + 17 * 4, sizeof alone); /* the company of a sample changes nothing */
    const struct kn_batch some = {.n = 20, .x = d.x, .labels = d.labels};
    OK(kn_model_eval(w[1], params, buffers, &some, &loss[1], &correct[1], &diag));
    EXPECT_NEAR(from_probabilities, loss[1], 1e-5);
}

TEST(an_update_scales_the_sums_and_moves_the_running_statistics)
{
    struct kn_model *m;
    uint32_t at;
    OK(kn_model_open(&m));
    kept(m);
    OK(kn_model_input(m, &(struct kn_shape){1, {1, 1, 1}}, &at, &diag));
    OK(kn_model_batchnorm(m, at, NULL, 1e-5f, 0.25f, &at, &diag));
    OK(kn_model_seal(m, at, KN_LOSS_MSE, &diag));
    float params[2] = {1, 0};
    float buffers[2] = {2, 3};
    float vector[6] = {8, 16, 20, 60, 1, 0}; /* two gradients, mean and squares of 4 ranks */
    const struct kn_optim sgd = {.kind = KN_OPTIM_SGD, .lr = 1};
    const struct kn_update u = {.optim = &sgd, .lr = 0.5f, .step = 0, .batch = 8, .ranks = 2};
    vector[2] = 20;
    vector[3] = 240;
    OK(kn_model_apply(m, &u, vector, params, buffers, NULL, &diag));
    EXPECT_NEAR((double)params[0], 1 - 0.5 * 8 / 8, 0);
    EXPECT_NEAR((double)params[1], 0 - 0.5 * 16 / 8, 0);
    EXPECT_NEAR((double)buffers[0], 0.75 * 2 + 0.25 * 10, 0);
    EXPECT_NEAR((double)buffers[1], 0.75 * 3 + 0.25 * (120 - 100) * 8 / 7, 1e-6);
    vector[1] = INFINITY;
    EXPECT(kn_model_apply(m, &u, vector, params, buffers, NULL, &diag) == KN_ERR_NOT_FINITE);
    EXPECT_STR(diag.text, "gradient of bn1.bias[0] is not finite");
    EXPECT_NEAR((double)params[0], 0.5, 0);
}

TEST(the_digits_network_learns_a_rule)
{
    EXPECT(kn_open(NULL) == KN_OK);
    struct kn_model *m = digits_model();
    const size_t p = kn_model_param_count(m);
    EXPECT_EQ(p, 208 + 3216 + 50240 + 650);
    float *buffers;
    float *params = init_params(m, &buffers);
    float *state = kept_bytes(p * sizeof *state);
    float *vector = kept_bytes(kn_model_vector_count(m) * sizeof *vector);
    const struct data d = data_of(m, 64);
    for (uint32_t i = 0; i < 64; i++) { /* label: which of ten bands of rows is bright */
        for (uint32_t k = 0; k < 28 * 2; k++) {
            d.x[i * 784 + (uint32_t)d.labels[i] * 56 + k] = 2;
        }
    }
    struct kn_work *w;
    OK(kn_work_open(&w, m, kn_ops_cpu(), 64, true));
    kept(w);
    const struct kn_optim sgd = {.kind = KN_OPTIM_SGD, .lr = 0.02f, .momentum = 0.9f};
    const struct kn_batch batch = {.n = 64, .x = d.x, .labels = d.labels};
    for (uint32_t step = 0; step < 60; step++) {
        const struct kn_update u = {
            .optim = &sgd, .lr = 0.02f, .step = step, .batch = 64, .ranks = 1};
        OK(kn_model_step(w, params, &batch, &key, vector, &diag));
        OK(kn_model_apply(m, &u, vector, params, buffers, state, &diag));
    }
    EXPECT(vector[p] / 64 < 0.05f);
    EXPECT(vector[p + 1] >= 64);
}

TEST(initial_weights_lie_within_their_bound_and_depend_on_the_seed)
{
    struct kn_model *m = digits_model();
    float *buffers;
    float *params = init_params(m, &buffers);
    double sum = 0;
    const struct kn_tensor_info *t = kn_model_param(m, 4);
    EXPECT_STR(t->name, "dense1.weight");
    EXPECT_EQ(t->dim[1], 784);
    for (size_t i = 0; i < t->count; i++) {
        EXPECT(fabsf(params[t->offset + i]) <= sqrtf(6.0f / 784));
        sum += (double)params[t->offset + i] * (double)params[t->offset + i];
    }
    EXPECT_NEAR(sum / (double)t->count / (2.0 / 784), 1, 0.02);
    float *other = kept_bytes(kn_model_param_count(m) * sizeof *other);
    kn_model_init(m, 6, other, buffers);
    EXPECT(memcmp(params, other, kn_model_param_count(m) * sizeof *other) != 0);
}

/* --- What is refused. ------------------------------------------------------------------------- */

TEST(values_that_are_not_finite_are_named)
{
    struct kn_model *m = digits_model();
    float *buffers;
    float *params = init_params(m, &buffers);
    struct data d = data_of(m, 4);
    float *vector = kept_bytes(kn_model_vector_count(m) * sizeof *vector);
    struct kn_work *w;
    OK(kn_work_open(&w, m, kn_ops_cpu(), 4, true));
    kept(w);
    const struct kn_batch batch = {.n = 4, .x = d.x, .labels = d.labels};
    const float kept = params[300];
    params[300] = NAN;
    EXPECT(kn_model_step(w, params, &batch, &key, vector, &diag) == KN_ERR_NOT_FINITE);
    EXPECT_STR(diag.text, "conv2.weight is not finite");
    EXPECT(kn_model_verify(m, params, buffers, &diag) == KN_ERR_NOT_FINITE);
    EXPECT_STR(diag.text, "conv2.weight[92] is not finite");
    for (size_t i = 208; i < 3408; i++) {
        params[i] = 3e38f;
    }
    EXPECT(kn_model_step(w, params, &batch, &key, vector, &diag) == KN_ERR_NOT_FINITE);
    EXPECT_STR(diag.text, "the output of layer \"conv2\" is not finite");
    params[300] = kept;
    d.x[784 * 2 + 5] = INFINITY;
    EXPECT(kn_model_step(w, params, &batch, &key, vector, &diag) == KN_ERR_NOT_FINITE);
    EXPECT_STR(diag.text, "input of sample 2 is not finite");
}

TEST(a_label_out_of_range_is_named)
{
    struct kn_model *m = digits_model();
    float *buffers;
    float *params = init_params(m, &buffers);
    const struct data d = data_of(m, 4);
    float *vector = kept_bytes(kn_model_vector_count(m) * sizeof *vector);
    struct kn_work *w;
    OK(kn_work_open(&w, m, kn_ops_cpu(), 4, true));
    kept(w);
    d.labels[3] = 10;
    const struct kn_batch batch = {.n = 4, .x = d.x, .labels = d.labels};
    EXPECT(kn_model_step(w, params, &batch, &key, vector, &diag) == KN_ERR_INVALID);
    EXPECT_STR(diag.text, "sample 3: label 10, expected 0 to 9");
}

TEST(a_bad_layer_is_refused_by_name_with_what_it_got)
{
    struct kn_model *m;
    uint32_t in;
    uint32_t at;
    const struct kn_conv2d wide = {.filters = 4, .kernel = {9, 3}};
    const struct kn_conv2d padded = {
        .filters = 4, .kernel = {3, 3}, .padding = KN_PADDING_EXPLICIT, .pad = {1, 1, 3, 1}};
    const struct kn_pool2d large = {.kernel = {16, 16}, .padding = KN_PADDING_SAME};
    OK(kn_model_open(&m));
    kept(m);
    OK(kn_model_input(m, &(struct kn_shape){3, {2, 8, 6}}, &in, &diag));
    EXPECT(kn_model_dense(m, in, "fc", 3, false, &at, &diag) == KN_ERR_INVALID);
    EXPECT_STR(diag.text, "layer \"fc\": dense expects a flat input, got [2, 8, 6] from \"input\"; "
                          "put flatten before it");
    EXPECT(kn_model_conv2d(m, in, NULL, &wide, &at, &diag) == KN_ERR_INVALID);
    EXPECT_STR(diag.text, "layer \"conv1\": kernel 9x3 is larger than its padded input [2, 8, 6] "
                          "from \"input\"");
    EXPECT(kn_model_conv2d(m, in, NULL, &padded, &at, &diag) == KN_ERR_INVALID);
    EXPECT_STR(diag.text, "layer \"conv1\": padding 3 is not below the kernel 3");
    EXPECT(kn_model_maxpool(m, in, NULL, &large, &at, &diag) == KN_ERR_LIMIT);
    EXPECT_STR(diag.text, "layer \"maxpool1\": window 16x16 has more than 255 values");
    EXPECT(kn_model_batchnorm(m, in, NULL, 0, 0.1f, &at, &diag) == KN_ERR_INVALID);
    EXPECT(kn_model_dropout(m, in, NULL, 1, &at, &diag) == KN_ERR_INVALID);
    EXPECT_STR(diag.text, "layer \"dropout1\": rate 1, expected at least 0 and below 1");
    EXPECT(kn_model_relu(m, in, "A b", &at, &diag) == KN_ERR_INVALID);
    EXPECT(kn_model_relu(m, in, "input", &at, &diag) == KN_ERR_INVALID);
    EXPECT_STR(diag.text, "layer name \"input\" is given twice");
    OK(kn_model_maxpool(m, in, NULL, &pool2, &at, &diag));
    EXPECT(kn_model_add(m, in, at, NULL, &at, &diag) == KN_ERR_INVALID);
    EXPECT_STR(diag.text, "layer \"add1\": add expects equal shapes, got [2, 8, 6] from \"input\" "
                          "and [2, 4, 3] from \"maxpool1\"");
    EXPECT(kn_model_dense(m, at, NULL, 100000, false, &at, &diag) == KN_ERR_INVALID);
    EXPECT(kn_model_seal(m, at, KN_LOSS_MSE, &diag) == KN_ERR_INVALID);
    EXPECT_STR(diag.text, "the last layer \"maxpool1\" gives [2, 4, 3], expected [classes]; put "
                          "flatten before the end");
    OK(kn_model_flatten(m, at, NULL, &at, &diag));
    EXPECT(kn_model_seal(m, at, KN_LOSS_MSE, &diag) == KN_ERR_INVALID);
    EXPECT_STR(diag.text, "the model has no parameter to train");
    OK(kn_model_dense(m, at, NULL, 1, false, &at, &diag));
    EXPECT(kn_model_seal(m, at, KN_LOSS_CROSS_ENTROPY, &diag) == KN_ERR_INVALID);
    uint32_t stray;
    OK(kn_model_relu(m, in, "stray", &stray, &diag));
    EXPECT(kn_model_seal(m, at, KN_LOSS_MSE, &diag) == KN_ERR_INVALID);
    EXPECT_STR(diag.text, "no layer reads the output of \"stray\"");
}

TEST(outputs_that_grow_without_bound_are_refused)
{
    struct kn_model *m;
    uint32_t at;
    const struct kn_conv2d grow = {.filters = 60000,
                                   .kernel = {40, 40},
                                   .padding = KN_PADDING_EXPLICIT,
                                   .pad = {39, 39, 39, 39}};
    const struct kn_pool2d swell = {.kernel = {15, 15},
                                    .stride = {1, 1},
                                    .padding = KN_PADDING_EXPLICIT,
                                    .pad = {14, 14, 14, 14}};
    OK(kn_model_open(&m));
    kept(m);
    OK(kn_model_input(m, &(struct kn_shape){3, {1, 100, 65530}}, &at, &diag));
    EXPECT(kn_model_avgpool(m, at, NULL, &swell, &at, &diag) == KN_ERR_LIMIT);
    EXPECT_STR(diag.text, "layer \"avgpool1\": output [1, 114, 65544], expected at most 65536 a "
                          "dimension and 1073741824 values");
    EXPECT(kn_model_conv2d(m, at, NULL, &grow, &at, &diag) == KN_ERR_LIMIT);
    EXPECT_EQ(kn_model_layers(m), 0);
}

TEST(the_layer_table_tells_shapes_parameters_and_work)
{
    struct kn_model *m = digits_model();
    struct kn_layer_info layer;
    EXPECT_EQ(kn_model_layers(m), 10);
    kn_model_layer(m, 3, &layer);
    EXPECT_STR(layer.name, "conv2");
    EXPECT_STR(layer.kind, "conv2d");
    EXPECT_EQ(layer.shape.dim[0], 16);
    EXPECT_EQ(layer.shape.dim[2], 14);
    EXPECT_EQ(layer.params, 3216);
    EXPECT_EQ(layer.macs, 14u * 14 * 16 * 200);
    const size_t train = kn_work_bytes(m, kn_ops_cpu(), 16, true);
    const size_t eval = kn_work_bytes(m, kn_ops_cpu(), 16, false);
    EXPECT(train > eval);
    EXPECT(train < 3u << 20);
}

TEST(the_arithmetic_class_is_stable_and_names_what_decides_it)
{
    EXPECT(kn_open(NULL) == KN_OK);
    char a[KN_CLASS_BYTES];
    char b[KN_CLASS_BYTES];
    OK(kn_class(a, &diag));
    OK(kn_class(b, &diag));
    EXPECT_STR(a, b);
    EXPECT(strstr(a, "OpenBLAS") != NULL);
    EXPECT(strstr(a, kn_blas_core()) != NULL);
    EXPECT(strstr(a, "probe ") != NULL);
    printf("%s", a);
}
