/* SPDX-License-Identifier: Apache-2.0
 *
 * Follows PyTorch: trains the models of make_torch_fixtures.py from the same weights on the same
 * batches and compares gradients and losses with what that script stored.
 *
 *   torch_parity DIRECTORY [ISA]
 *
 * Prints each figure with its limit; exit status 0 only if all hold. The batch runs as ranks summed
 * by the reduction tree, as training does. */
#include "kernels/agg/tree.h"
#include "kernels/graph/graph.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEPS_MAX      100u
#define FILE_BYTES     (1u << 20)
#define SECTIONS_MAX   8u
#define EARLY_STEPS    20u
#define EARLY_LIMIT    1e-4
#define LATE_LIMIT     1e-2
#define GRADIENT_LIMIT 1e-5

static struct kn_diag diag;

static void must(enum kn_err err)
{
    if (err != KN_OK) {
        fprintf(stderr, "torch_parity: %s: %s\n", kn_err_text(err), diag.text);
        exit(2);
    }
}

/* Reachable until the program ends. */
static void *memory(size_t bytes)
{
    static void *kept[256];
    static size_t count;
    void *at = aligned_alloc(64, (bytes + 64) / 64 * 64);
    if (at == NULL) {
        must(KN_ERR_MEMORY);
    }
    if (count == sizeof kept / sizeof kept[0]) {
        must(KN_ERR_LIMIT);
    }
    kept[count++] = at;
    return memset(at, 0, bytes);
}

/* --- The formulas of make_torch_fixtures.py. -------------------------------------------------- */

static uint32_t mix(uint32_t v)
{
    v ^= v >> 16;
    v *= 0x85EBCA6Bu;
    v ^= v >> 13;
    v *= 0xC2B2AE35u;
    return v ^ v >> 16;
}

static float unit(uint32_t purpose, uint32_t index)
{
    return (float)(mix(index * 0x9E3779B9u + purpose * 0x7F4A7C15u) >> 16) / 65536.0f;
}

static void batch_fill(float *x, int32_t *labels, uint32_t step, uint32_t size, uint32_t inputs,
                       uint32_t classes)
{
    for (uint32_t i = 0; i < size; i++) {
        const uint32_t sample = step * size + i;
        const uint32_t label = mix(sample ^ 0x5BD1E995u) % classes;
        labels[i] = (int32_t)label;
        for (uint32_t k = 0; k < inputs; k++) {
            const uint32_t band = k / (inputs / classes);
            const uint32_t place = band < classes - 1 ? band : classes - 1;
            x[i * inputs + k] =
                unit(1, sample * inputs + k) - 0.5f + (place == label ? 0.5f : 0.0f);
        }
    }
}

/* Numbers as they come, and for each place the number two places before it, turned by one. */
static void tokens_fill(float *x, int32_t *labels, uint32_t step, uint32_t size, uint32_t places,
                        uint32_t classes)
{
    for (uint32_t i = 0; i < size * places; i++) {
        const uint32_t index = step * size * places + i;
        x[i] = (float)(mix(index ^ 0x2545F491u) % classes);
        labels[i] = i % places < 2 ? 0 : (int32_t)(((uint32_t)x[i - 2] + 1) % classes);
    }
}

static void params_fill(const struct kn_model *m, float *params)
{
    for (uint32_t i = 0; i < kn_model_param_tensors(m); i++) {
        const struct kn_tensor_info *t = kn_model_param(m, i);
        const bool gamma = (t->name[0] == 'b' || t->name[0] == 'l') && t->name[1] == 'n' &&
                           strstr(t->name, ".weight") != NULL;
        const float bound =
            t->rank > 1 ? (float)(2.0 / sqrt((double)(t->count / t->dim[0]))) : 0.125f;
        for (size_t k = 0; k < t->count; k++) {
            const float u = unit(100 + i, (uint32_t)k);
            params[t->offset + k] = gamma ? u + 0.5f : (2 * u - 1) * bound;
        }
    }
}

/* --- The three models. ------------------------------------------------------------------------ */

static struct kn_model *digits_model(void)
{
    struct kn_model *m;
    uint32_t at;
    const struct kn_pool2d pool = {.kernel = {2, 2}};
    struct kn_conv2d conv = {.filters = 8, .kernel = {5, 5}, .padding = KN_PADDING_SAME};
    must(kn_model_open(&m));
    must(kn_model_input(m, &(struct kn_shape){3, {1, 28, 28}}, &at, &diag));
    for (uint32_t i = 0; i < 2; i++) {
        conv.filters = 8u << i;
        must(kn_model_conv2d(m, at, NULL, &conv, &at, &diag));
        must(kn_model_relu(m, at, NULL, &at, &diag));
        must(kn_model_maxpool(m, at, NULL, &pool, &at, &diag));
    }
    must(kn_model_flatten(m, at, NULL, &at, &diag));
    must(kn_model_dense(m, at, NULL, 64, false, &at, &diag));
    must(kn_model_relu(m, at, NULL, &at, &diag));
    must(kn_model_dense(m, at, NULL, 10, false, &at, &diag));
    must(kn_model_seal(m, at, KN_LOSS_CROSS_ENTROPY, &diag));
    return m;
}

static struct kn_model *mixed_model(void)
{
    struct kn_model *m;
    uint32_t a;
    uint32_t b;
    const struct kn_conv2d first = {.filters = 6,
                                    .kernel = {3, 5},
                                    .stride = {2, 1},
                                    .padding = KN_PADDING_EXPLICIT,
                                    .pad = {1, 1, 2, 2}};
    const struct kn_conv2d second = {
        .filters = 6, .kernel = {3, 3}, .padding = KN_PADDING_SAME, .no_bias = true};
    const struct kn_pool2d most = {
        .kernel = {3, 3}, .stride = {2, 2}, .padding = KN_PADDING_EXPLICIT, .pad = {1, 1, 1, 1}};
    const struct kn_pool2d mean = {.kernel = {2, 2}, .stride = {1, 1}};
    must(kn_model_open(&m));
    must(kn_model_input(m, &(struct kn_shape){3, {2, 9, 7}}, &a, &diag));
    must(kn_model_conv2d(m, a, NULL, &first, &a, &diag));
    must(kn_model_batchnorm(m, a, NULL, 1e-5f, 0.1f, &a, &diag));
    must(kn_model_gelu(m, a, NULL, &a, &diag));
    must(kn_model_conv2d(m, a, NULL, &second, &b, &diag));
    must(kn_model_batchnorm(m, b, NULL, 1e-3f, 0.25f, &b, &diag));
    must(kn_model_add(m, a, b, NULL, &a, &diag));
    must(kn_model_relu(m, a, NULL, &a, &diag));
    must(kn_model_maxpool(m, a, NULL, &most, &a, &diag));
    must(kn_model_avgpool(m, a, NULL, &mean, &a, &diag));
    must(kn_model_flatten(m, a, NULL, &a, &diag));
    must(kn_model_dense(m, a, NULL, 20, false, &a, &diag));
    must(kn_model_gelu(m, a, NULL, &a, &diag));
    must(kn_model_dense(m, a, NULL, 5, false, &a, &diag));
    must(kn_model_seal(m, a, KN_LOSS_CROSS_ENTROPY, &diag));
    return m;
}

#define TEXT_PLACES 12u
#define TEXT_VOCAB  11u
#define TEXT_WIDTH  16u
#define TEXT_HIDDEN 40u

static struct kn_model *text_model(void)
{
    struct kn_model *m;
    uint32_t at;
    uint32_t back;
    const struct kn_attention heads = {.heads = 2, .causal = true};
    must(kn_model_open(&m));
    must(kn_model_input(m, &(struct kn_shape){1, {TEXT_PLACES, 1, 1}}, &at, &diag));
    must(kn_model_embedding(m, at, NULL, TEXT_VOCAB, TEXT_WIDTH, &at, &diag));
    must(kn_model_positions(m, at, NULL, &at, &diag));
    for (uint32_t block = 0; block < 2; block++) {
        back = at;
        must(kn_model_layernorm(m, at, NULL, 1e-5f, &at, &diag));
        must(kn_model_attention(m, at, NULL, &heads, &at, &diag));
        must(kn_model_add(m, at, back, NULL, &at, &diag));
        back = at;
        must(kn_model_layernorm(m, at, NULL, 1e-5f, &at, &diag));
        must(kn_model_dense(m, at, NULL, TEXT_HIDDEN, false, &at, &diag));
        must(kn_model_gelu(m, at, NULL, &at, &diag));
        must(kn_model_dense(m, at, NULL, TEXT_WIDTH, false, &at, &diag));
        must(kn_model_add(m, at, back, NULL, &at, &diag));
    }
    must(kn_model_layernorm(m, at, NULL, 1e-5f, &at, &diag));
    must(kn_model_dense(m, at, NULL, TEXT_VOCAB, false, &at, &diag));
    must(kn_model_seal(m, at, KN_LOSS_CROSS_ENTROPY, &diag));
    return m;
}

/* --- Training. -------------------------------------------------------------------------------- */

struct run {
    struct kn_model *m;
    const struct kn_ops *ops;
    void (*fill)(float *x, int32_t *labels, uint32_t step, uint32_t size, uint32_t inputs,
                 uint32_t classes);
    uint32_t batch, ranks, steps;
    struct kn_optim optim;
    float *params, *buffers;
    float *gradient; /* of step 0, mean over the batch */
    double losses[STEPS_MAX];
};

static void run_train(struct run *r)
{
    const struct kn_shape in = kn_model_input_shape(r->m);
    const uint32_t places = kn_model_places(r->m);
    const uint32_t inputs = (uint32_t)kn_shape_count(&in);
    const uint32_t micro = r->batch / r->ranks;
    const size_t count = kn_model_vector_count(r->m);
    const size_t p = kn_model_param_count(r->m);
    float *x = memory(r->batch * inputs * sizeof *x);
    int32_t *labels = memory(r->batch * places * sizeof *labels);
    float *slots[KN_TREE_DEPTH_MAX];
    uint32_t level = 0;
    while (1u << level < r->ranks) {
        level++;
    }
    for (uint32_t i = 0; i <= level; i++) {
        slots[i] = memory(count * sizeof(float));
    }
    float *state = memory(kn_optim_state_count(&r->optim, p) * sizeof *state);
    r->params = memory(p * sizeof *r->params);
    r->buffers = memory((kn_model_buffer_count(r->m) + 1) * sizeof *r->buffers);
    r->gradient = memory(p * sizeof *r->gradient);
    kn_model_init(r->m, 0, r->params, r->buffers);
    params_fill(r->m, r->params);
    struct kn_work *w;
    must(kn_work_open(&w, r->m, r->ops, micro, true));
    for (uint32_t step = 0; step < r->steps; step++) {
        r->fill(x, labels, step, r->batch, inputs, kn_model_outputs(r->m));
        struct kn_tree_sum sum;
        kn_tree_begin(&sum, level, count, slots);
        for (uint32_t rank = 0; rank < r->ranks; rank++) {
            const struct kn_batch b = {.n = micro,
                                       .x = x + rank * micro * inputs,
                                       .labels = labels + rank * micro * places};
            const struct kn_step_key key = {.seed = 0, .step = step, .rank = rank};
            must(kn_model_step(w, r->params, &b, &key, kn_tree_next(&sum), &diag));
            kn_tree_push(&sum);
        }
        r->losses[step] = (double)slots[0][count - 2] / r->batch;
        const struct kn_update u = {.optim = &r->optim,
                                    .lr = r->optim.lr,
                                    .step = step,
                                    .batch = r->batch,
                                    .ranks = r->ranks};
        must(kn_model_apply(r->m, &u, slots[0], r->params, r->buffers, state, &diag));
        for (size_t i = 0; step == 0 && i < p; i++) {
            r->gradient[i] = slots[0][i] / (float)r->batch;
        }
    }
    kn_work_close(w);
}

/* --- Comparison. ------------------------------------------------------------------------------ */

struct fixture {
    char bytes[FILE_BYTES];
    size_t size;
    struct {
        char name[32];
        unsigned count;
        const char *at;
    } section[SECTIONS_MAX];
    uint32_t sections;
};

static void fixture_read(struct fixture *f, const char *directory, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        exit(2);
    }
    f->size = fread(f->bytes, 1, sizeof f->bytes, file);
    fclose(file);
    const char *line = f->bytes;
    for (f->sections = 0; *line != '\n'; f->sections++) {
        if (f->sections == SECTIONS_MAX || sscanf(line, "%31s %u", f->section[f->sections].name,
                                                  &f->section[f->sections].count) != 2) {
            fprintf(stderr, "%s: not a fixture\n", path);
            exit(2);
        }
        line = strchr(line, '\n') + 1;
    }
    const char *at = line + 1;
    for (uint32_t i = 0; i < f->sections; i++) {
        f->section[i].at = at;
        at += f->section[i].count * sizeof(float);
    }
    if (at != f->bytes + f->size) {
        fprintf(stderr, "%s: wrong size\n", path);
        exit(2);
    }
}

static const float *fixture_get(const struct fixture *f, const char *name, size_t count)
{
    for (uint32_t i = 0; i < f->sections; i++) {
        if (strcmp(f->section[i].name, name) == 0 && f->section[i].count == count) {
            float *values = memory(count * sizeof *values);
            memcpy(values, f->section[i].at, count * sizeof *values);
            return values;
        }
    }
    fprintf(stderr, "torch_parity: no section \"%s\" of %zu values\n", name, count);
    exit(2);
}

static bool figure(const char *model, const char *what, double value, double limit)
{
    const bool holds = value <= limit;
    printf("%-7s %-34s %.3g (limit %g)%s\n", model, what, value, limit, holds ? "" : "  FAILED");
    return holds;
}

/* Largest difference, as a share of the largest value of the tensor. */
static double apart(const float *a, const float *b, size_t count)
{
    double most = 0;
    double size = 1e-30;
    for (size_t i = 0; i < count; i++) {
        const double d = fabs((double)a[i] - (double)b[i]);
        most = d > most || isnan(d) ? d : most;
        size = fabs((double)b[i]) > size ? fabs((double)b[i]) : size;
    }
    return most / size;
}

static bool compare_gradient(const char *model, const struct run *r, const struct fixture *f)
{
    const float *want = fixture_get(f, "gradient", kn_model_param_count(r->m));
    double most = 0;
    for (uint32_t i = 0; i < kn_model_param_tensors(r->m); i++) {
        const struct kn_tensor_info *t = kn_model_param(r->m, i);
        /* A bias before batch normalisation has derivative 0: rounding only. */
        const bool nothing = strcmp(model, "mixed") == 0 && strcmp(t->name, "conv1.bias") == 0;
        const double d = apart(r->gradient + t->offset, want + t->offset, t->count);
        most = !nothing && !(d <= most) ? d : most;
    }
    return figure(model, "step-0 gradients", most, GRADIENT_LIMIT);
}

static bool compare_losses(const char *model, const char *optimiser, const struct run *r,
                           const struct fixture *f)
{
    const float *want = fixture_get(f, optimiser, r->steps);
    char what[64];
    double early = 0;
    double late = 0;
    for (uint32_t i = 0; i < r->steps; i++) {
        const double d = fabs(r->losses[i] - (double)want[i]) / (double)want[i];
        early = i < EARLY_STEPS && !(d <= early) ? d : early;
        late = !(d <= late) ? d : late;
    }
    snprintf(what, sizeof what, "%s, loss of %u steps", optimiser, EARLY_STEPS);
    const bool first = figure(model, what, early, EARLY_LIMIT);
    snprintf(what, sizeof what, "%s, loss of %u steps", optimiser, r->steps);
    printf("%-7s %s: first loss %.4f, last %.4f\n", model, optimiser, r->losses[0],
           r->losses[r->steps - 1]);
    return figure(model, what, late, LATE_LIMIT) && first;
}

static bool digits_follow(const char *directory, const struct kn_ops *ops)
{
    static struct fixture f;
    fixture_read(&f, directory, "digits.fix");
    struct run r = {
        .m = digits_model(), .ops = ops, .fill = batch_fill, .batch = 64, .ranks = 4, .steps = 100};
    r.optim = (struct kn_optim){.kind = KN_OPTIM_SGD, .lr = 0.01f, .momentum = 0.9f};
    run_train(&r);
    bool good = compare_gradient("digits", &r, &f);
    good = compare_losses("digits", "sgd", &r, &f) && good;
    r.optim = kn_optim_default(KN_OPTIM_ADAMW);
    run_train(&r);
    good = compare_losses("digits", "adamw", &r, &f) && good;
    kn_model_close(r.m);
    return good;
}

static bool mixed_follow(const char *directory, const struct kn_ops *ops)
{
    static struct fixture f;
    fixture_read(&f, directory, "mixed.fix");
    struct run r = {
        .m = mixed_model(), .ops = ops, .fill = batch_fill, .batch = 20, .ranks = 1, .steps = 60};
    r.optim = (struct kn_optim){.kind = KN_OPTIM_SGD,
                                .lr = 0.02f,
                                .momentum = 0.8f,
                                .weight_decay = 0.01f,
                                .nesterov = true};
    run_train(&r);
    bool good = compare_gradient("mixed", &r, &f);
    good = compare_losses("mixed", "sgd", &r, &f) && good;
    const size_t buffers = kn_model_buffer_count(r.m);
    good = figure("mixed", "running statistics",
                  apart(r.buffers, fixture_get(&f, "buffers", buffers), buffers), LATE_LIMIT) &&
           good;
    float x[20 * 126];
    float y[20 * 5];
    int32_t labels[20];
    struct kn_work *w;
    batch_fill(x, labels, 60, 20, 126, 5);
    must(kn_work_open(&w, r.m, ops, 20, false));
    must(kn_model_predict(w, r.params, r.buffers, x, 20, y, &diag));
    kn_work_close(w);
    good = figure("mixed", "probabilities in evaluation",
                  apart(y, fixture_get(&f, "probabilities", 100), 100), LATE_LIMIT) &&
           good;
    r.optim = kn_optim_default(KN_OPTIM_ADAMW);
    run_train(&r);
    good = compare_losses("mixed", "adamw", &r, &f) && good;
    kn_model_close(r.m);
    return good;
}

static bool text_follow(const char *directory, const struct kn_ops *ops)
{
    static struct fixture f;
    fixture_read(&f, directory, "text.fix");
    struct run r = {
        .m = text_model(), .ops = ops, .fill = tokens_fill, .batch = 32, .ranks = 2, .steps = 60};
    r.optim = (struct kn_optim){.kind = KN_OPTIM_SGD, .lr = 0.01f, .momentum = 0.9f};
    run_train(&r);
    bool good = compare_gradient("text", &r, &f);
    good = compare_losses("text", "sgd", &r, &f) && good;
    r.optim = kn_optim_default(KN_OPTIM_ADAMW);
    run_train(&r);
    good = compare_losses("text", "adamw", &r, &f) && good;
    float x[4 * TEXT_PLACES];
    float y[4 * TEXT_PLACES * TEXT_VOCAB];
    int32_t labels[4 * TEXT_PLACES];
    struct kn_work *w;
    tokens_fill(x, labels, 60, 4, TEXT_PLACES, TEXT_VOCAB);
    must(kn_work_open(&w, r.m, ops, 16, false));
    must(kn_model_predict(w, r.params, r.buffers, x, 4, y, &diag));
    kn_work_close(w);
    const size_t count = sizeof y / sizeof y[0];
    good = figure("text", "probabilities in evaluation",
                  apart(y, fixture_get(&f, "probabilities", count), count), LATE_LIMIT) &&
           good;
    kn_model_close(r.m);
    return good;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: torch_parity DIRECTORY [ISA]\n");
        return 2;
    }
    must(kn_open(&diag));
    const struct kn_ops *ops = argc > 2 ? kn_ops_cpu_isa(argv[2]) : kn_ops_cpu();
    if (ops == NULL) {
        fprintf(stderr, "torch_parity: this machine cannot run %s\n", argv[2]);
        return 77;
    }
    printf("core %s, %s\n", kn_blas_core(), ops->name);
    const bool digits = digits_follow(argv[1], ops);
    const bool mixed = mixed_follow(argv[1], ops);
    const bool text = text_follow(argv[1], ops);
    return digits && mixed && text ? 0 : 1;
}
