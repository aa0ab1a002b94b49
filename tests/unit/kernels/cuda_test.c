/* SPDX-License-Identifier: Apache-2.0
 *
 * The way to the cuda table, whole models on tensors that the host cannot touch, and, where there
 * is a device, whole models on it. The operations one by one are in ops_test.c. */
#include "device.h"
#include "grid.h"
#include "step.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- The way in. ------------------------------------------------------------------------------ */

static enum kn_err load(const char *path)
{
    const struct kn_ops *ops = NULL;
    struct kn_cuda_device device;
    const enum kn_err err = kn_cuda_load(path, &ops, &device, &diag);
    EXPECT((err == KN_OK) == (ops != NULL));
    return err;
}

TEST(a_missing_module_is_unsupported_and_named)
{
    EXPECT(load("/nonexistent/libshoal_cuda.so") == KN_ERR_UNSUPPORTED);
    EXPECT_STR(diag.text, "no CUDA module: /nonexistent/libshoal_cuda.so: cannot open shared "
                          "object file: No such file or directory");
    EXPECT(load(NULL) == KN_ERR_UNSUPPORTED); /* none lies beside the test programs */
    EXPECT_STR(diag.text, "no CUDA module beside the program: $ORIGIN/libshoal_cuda.so: cannot "
                          "open shared object file: No such file or directory");
}

TEST(a_file_that_is_no_library_is_unsupported)
{
    char path[512];
    EXPECT(snprintf(path, sizeof path, "%s/libshoal_cuda.so", tst_dir()) > 0);
    FILE *file = fopen(path, "w");
    EXPECT(file != NULL);
    EXPECT(fputs("not a library, but longer than the header of one would be: 64 bytes are enough\n",
                 file) >= 0);
    EXPECT(fclose(file) == 0);
    EXPECT(load(path) == KN_ERR_UNSUPPORTED);
    EXPECT(strstr(diag.text, "invalid ELF header") != NULL);
}

TEST(a_library_that_is_no_module_is_unsupported)
{
    EXPECT(load("libm.so.6") == KN_ERR_UNSUPPORTED);
    EXPECT_STR(diag.text, "libm.so.6 is not a CUDA module of this program: no kn_cuda_open");
}

/* Loads the module that was built, with every device hidden. */
static void expect_no_device(void)
{
    EXPECT(setenv("CUDA_VISIBLE_DEVICES", "", 1) == 0);
    const enum kn_err err = load(device_module());
    if (strncmp(diag.text, "no CUDA module", 14) == 0) {
        SKIP(diag.text);
    }
    printf("# %s\n", diag.text);
    EXPECT(err == KN_ERR_UNSUPPORTED);
    EXPECT(strncmp(diag.text, "no CUDA driver", 14) == 0 ||
           strncmp(diag.text, "no CUDA device", 14) == 0);
}

TEST(without_a_device_the_module_says_so_and_changes_nothing)
{
    char before[KN_CLASS_BYTES];
    char after[KN_CLASS_BYTES];
    volatile float small = 0x1p-126f;
    EXPECT(kn_open(NULL) == KN_OK);
    OK(kn_class(before, &diag));
    for (int i = 0; i < 3; i++) {
        expect_no_device();
    }
    EXPECT(small * 0.5f > 0.0f); /* denormals are as they were */
    OK(kn_class(after, &diag));
    EXPECT_STR(after, before);
}

TEST(a_module_of_another_version_is_refused)
{
    void *module = dlopen(device_module(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (module == NULL) {
        SKIP(dlerror());
    }
    enum kn_err (*open)(uint32_t, const struct kn_ops **, struct kn_cuda_device *,
                        struct kn_diag *);
    *(void **)&open = dlsym(module, KN_CUDA_OPEN);
    EXPECT(open != NULL);
    const struct kn_ops *ops = NULL;
    struct kn_cuda_device device;
    EXPECT(open(KN_OPS_VERSION + 1, &ops, &device, &diag) == KN_ERR_UNSUPPORTED);
    EXPECT(ops == NULL);
    EXPECT_STR(diag.text, "the CUDA module is of version 3, the program of version 4");
    EXPECT(dlclose(module) == 0);
}

/* --- Whole models. ---------------------------------------------------------------------------- */

static const enum kn_loss losses[] = {KN_LOSS_CROSS_ENTROPY, KN_LOSS_MSE};

#define SAMPLES 21u

/* What a table makes of a model and SAMPLES samples: a step's vector; the loss sum and correct
 * count of an evaluation; predictions. */
struct outcome {
    size_t count;
    float *step;
    double loss;
    uint64_t correct;
    float *predictions;
    size_t predicted;
};

static struct outcome outcome_of(const struct kn_model *m, const struct kn_ops *ops,
                                 const struct data *d)
{
    const struct kn_shape out = kn_model_output_shape(m);
    struct outcome o = {.count = kn_model_vector_count(m),
                        .predicted = SAMPLES * kn_shape_count(&out)};
    float *buffers;
    float *params = init_params(m, &buffers);
    const struct kn_batch batch = {
        .n = SAMPLES, .x = d->x, .labels = d->labels, .targets = d->targets};
    struct kn_work *w;
    o.step = kept_bytes(o.count * sizeof *o.step);
    o.predictions = kept_bytes(o.predicted * sizeof *o.predictions);
    memset(o.step, 0xFF, o.count * sizeof *o.step);
    OK(kn_work_open(&w, m, ops, SAMPLES + 3, true));
    OK(kn_model_step(w, params, &batch, &key, o.step, &diag));
    OK(kn_model_eval(w, params, buffers, &batch, &o.loss, &o.correct, &diag));
    OK(kn_model_predict(w, params, buffers, d->x, SAMPLES, o.predictions, &diag));
    kn_work_close(w);
    return o;
}

static void expect_equal(const struct outcome *a, const struct outcome *b)
{
    EXPECT_MEM(a->step, b->step, a->count * sizeof *a->step);
    EXPECT_MEM(&a->loss, &b->loss, sizeof a->loss);
    EXPECT_EQ(a->correct, b->correct);
    EXPECT_MEM(a->predictions, b->predictions, a->predicted * sizeof *a->predictions);
}

static void expect_reference(const struct outcome *got, const struct kn_model *m,
                             const struct data *d)
{
    const struct kn_ops *ref = kn_ops_ref();
    float *buffers;
    const double *params = doubles(init_params(m, &buffers), kn_model_param_count(m));
    const double *buffers64 = doubles(buffers, kn_model_buffer_count(m));
    const struct kn_batch batch = {
        .n = SAMPLES, .x = d->x, .labels = d->labels, .targets = d->targets};
    double *step = kept_bytes(got->count * sizeof *step);
    float *predictions = kept_bytes(got->predicted * sizeof *predictions);
    double loss;
    uint64_t correct;
    struct kn_work *w;
    OK(kn_work_open(&w, m, ref, SAMPLES, true));
    OK(kn_model_step(w, params, &batch, &key, step, &diag));
    OK(kn_model_eval(w, params, buffers64, &batch, &loss, &correct, &diag));
    OK(kn_model_predict(w, params, buffers64, d->x, SAMPLES, predictions, &diag));
    kn_work_close(w);
    expect_near(got->step, step, got->count);
    expect_near(got->predictions, doubles(predictions, got->predicted), got->predicted);
    EXPECT_NEAR(got->loss, loss, 1e-5);
    EXPECT_EQ(got->correct, correct);
    EXPECT_NEAR((double)got->step[got->count - 1], step[got->count - 1], 0);
}

static void run_on_the_grid(const struct kn_model *m)
{
    const struct data d = data_of(m, SAMPLES);
    const struct outcome up = outcome_of(m, grid_ops(), &d);
    EXPECT_EQ(grid_regions(), 0);
    grid_order_set(GRID_DOWN);
    const struct outcome down = outcome_of(m, grid_ops(), &d);
    expect_equal(&up, &down);
    expect_reference(&up, m, &d);
}

TEST_ROWS(a_model_runs_on_memory_that_only_the_table_touches, losses)
{
    run_on_the_grid(wild_model(losses[tst_row]));
}

TEST(a_transformer_runs_on_memory_that_only_the_table_touches)
{
    run_on_the_grid(text_model(7));
}

TEST(values_that_are_not_finite_are_named_from_the_table_s_memory)
{
    struct kn_model *m = digits_model();
    float *buffers;
    float *params = init_params(m, &buffers);
    const struct data d = data_of(m, 2);
    float *vector = kept_bytes(kn_model_vector_count(m) * sizeof *vector);
    const struct kn_batch batch = {.n = 2, .x = d.x, .labels = d.labels};
    struct kn_work *w;
    OK(kn_work_open(&w, m, grid_ops(), 2, true));
    for (size_t i = 208; i < 3408; i++) {
        params[i] = 3e38f;
    }
    EXPECT(kn_model_step(w, params, &batch, &key, vector, &diag) == KN_ERR_NOT_FINITE);
    EXPECT_STR(diag.text, "the output of layer \"conv2\" is not finite");
    params[300] = NAN;
    EXPECT(kn_model_step(w, params, &batch, &key, vector, &diag) == KN_ERR_NOT_FINITE);
    EXPECT_STR(diag.text, "conv2.weight is not finite");
    d.x[784 + 5] = INFINITY;
    EXPECT(kn_model_step(w, params, &batch, &key, vector, &diag) == KN_ERR_NOT_FINITE);
    EXPECT_STR(diag.text, "input of sample 1 is not finite");
    kn_work_close(w);
}

/* Whichever operation fails, the call answers, and the next one is right again. */
TEST(a_failure_of_the_device_is_the_answer_of_the_call_that_met_it)
{
    struct kn_model *m = wild_model(KN_LOSS_CROSS_ENTROPY);
    float *buffers;
    float *params = init_params(m, &buffers);
    const struct data d = data_of(m, 2);
    float *good = kept_bytes(kn_model_vector_count(m) * sizeof *good);
    float *bad = kept_bytes(kn_model_vector_count(m) * sizeof *bad);
    const struct kn_batch batch = {.n = 2, .x = d.x, .labels = d.labels};
    struct kn_work *w;
    float y[2 * 4];
    double loss;
    uint64_t correct;
    OK(kn_work_open(&w, m, grid_ops(), 2, true));
    OK(kn_model_step(w, params, &batch, &key, good, &diag));
    for (uint32_t after = 0; after < 60; after++) {
        grid_fail(after);
        EXPECT(kn_model_step(w, params, &batch, &key, bad, &diag) == KN_ERR_DEVICE);
        EXPECT_STR(diag.text, "an operation failed");
    }
    for (uint32_t after = 0; after < 20; after++) {
        grid_fail(after);
        EXPECT(kn_model_eval(w, params, buffers, &batch, &loss, &correct, &diag) == KN_ERR_DEVICE);
        grid_fail(after);
        EXPECT(kn_model_predict(w, params, buffers, d.x, 2, y, &diag) == KN_ERR_DEVICE);
    }
    OK(kn_model_step(w, params, &batch, &key, bad, &diag));
    EXPECT_MEM(good, bad, kn_model_vector_count(m) * sizeof *good);
    kn_work_close(w);
}

TEST(a_table_without_memory_left_refuses_a_workspace)
{
    struct kn_work *w = NULL;
    grid_exhaust();
    EXPECT(kn_work_open(&w, digits_model(), grid_ops(), 16, true) == KN_ERR_MEMORY);
    EXPECT_EQ(grid_regions(), 0);
}

TEST(a_workspace_counts_what_it_takes_of_the_table_s_memory)
{
    const struct kn_model *m = digits_model();
    const size_t vectors =
        (2 * kn_model_param_count(m) + 2 * kn_model_buffer_count(m) + 2) * sizeof(float);
    const size_t train = kn_work_bytes(m, grid_ops(), 16, true);
    EXPECT(train > vectors + kn_work_bytes(m, grid_ops(), 16, false) / 2);
    EXPECT(train < 4u << 20);
}

/* --- On a device. ----------------------------------------------------------------------------- */

TEST_LONG(a_model_on_a_cuda_device_agrees_with_the_reference_and_to_the_bit_with_its_cells, 300)
{
    const struct kn_ops *device = device_ops();
    const struct kn_model *models[] = {wild_model(losses[0]), wild_model(losses[1]), digits_model(),
                                       text_model(7)};
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        const struct data d = data_of(models[i], SAMPLES);
        const struct outcome got = outcome_of(models[i], device, &d);
        const struct outcome again = outcome_of(models[i], device, &d);
        const struct outcome cells = outcome_of(models[i], grid_ops(), &d);
        expect_reference(&got, models[i], &d);
        expect_equal(&got, &again);
        expect_equal(&got, &cells);
    }
}
