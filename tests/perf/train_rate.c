/* SPDX-License-Identifier: Apache-2.0
 *
 * Training rate of the kernels alone: ranks over threads, the tree, the update.
 *
 *   train_rate MODEL BATCH RANKS THREADS SECONDS [ISA]
 *
 * MODEL is digits (the example CNN), bn (a CNN with batch normalisation and dropout), mlp
 * (784-512-512-10), mlp128, or text (the transformer of docs/examples/shakespeare.yaml, without
 * dropout). Prints one line ending in samples/s. */
#include "kernels/agg/tree.h"
#include "kernels/graph/graph.h"
#include "kernels/philox.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define THREADS_MAX 64u

static struct kn_diag diag;

static void must(enum kn_err err)
{
    if (err != KN_OK) {
        fprintf(stderr, "train_rate: %s: %s\n", kn_err_text(err), diag.text);
        exit(1);
    }
}

static uint32_t conv(struct kn_model *m, uint32_t at, uint32_t filters, uint32_t kernel, bool bn)
{
    const struct kn_conv2d c = {
        .filters = filters, .kernel = {kernel, kernel}, .padding = KN_PADDING_SAME};
    const struct kn_pool2d pool = {.kernel = {2, 2}};
    must(kn_model_conv2d(m, at, NULL, &c, &at, &diag));
    if (bn) {
        must(kn_model_batchnorm(m, at, NULL, 1e-5f, 0.1f, &at, &diag));
    }
    must(kn_model_relu(m, at, NULL, &at, &diag));
    must(kn_model_maxpool(m, at, NULL, &pool, &at, &diag));
    return at;
}

static uint32_t hidden(struct kn_model *m, uint32_t at, uint32_t units)
{
    must(kn_model_dense(m, at, NULL, units, false, &at, &diag));
    must(kn_model_relu(m, at, NULL, &at, &diag));
    return at;
}

#define TEXT_PLACES 64u
#define TEXT_VOCAB  65u
#define TEXT_WIDTH  64u

static struct kn_model *text_model(void)
{
    struct kn_model *m;
    uint32_t at;
    const struct kn_attention heads = {.heads = 4, .causal = true};
    must(kn_model_open(&m));
    must(kn_model_input(m, &(struct kn_shape){1, {TEXT_PLACES, 1, 1}}, &at, &diag));
    must(kn_model_embedding(m, at, NULL, TEXT_VOCAB, TEXT_WIDTH, &at, &diag));
    must(kn_model_positions(m, at, NULL, &at, &diag));
    for (uint32_t half = 0; half < 4; half++) {
        const uint32_t back = at;
        must(kn_model_layernorm(m, at, NULL, 1e-5f, &at, &diag));
        if (half % 2 == 0) {
            must(kn_model_attention(m, at, NULL, &heads, &at, &diag));
        } else {
            must(kn_model_dense(m, at, NULL, 4 * TEXT_WIDTH, false, &at, &diag));
            must(kn_model_gelu(m, at, NULL, &at, &diag));
            must(kn_model_dense(m, at, NULL, TEXT_WIDTH, false, &at, &diag));
        }
        must(kn_model_add(m, at, back, NULL, &at, &diag));
    }
    must(kn_model_layernorm(m, at, NULL, 1e-5f, &at, &diag));
    must(kn_model_dense(m, at, NULL, TEXT_VOCAB, false, &at, &diag));
    must(kn_model_seal(m, at, KN_LOSS_CROSS_ENTROPY, &diag));
    return m;
}

static struct kn_model *model_of(const char *name)
{
    if (strcmp(name, "text") == 0) {
        return text_model();
    }
    struct kn_model *m;
    uint32_t at;
    must(kn_model_open(&m));
    must(kn_model_input(m, &(struct kn_shape){3, {1, 28, 28}}, &at, &diag));
    if (strcmp(name, "digits") == 0) {
        at = conv(m, at, 8, 5, false);
        at = conv(m, at, 16, 5, false);
        must(kn_model_flatten(m, at, NULL, &at, &diag));
        at = hidden(m, at, 64);
    } else if (strcmp(name, "bn") == 0) {
        at = conv(m, at, 16, 3, true);
        at = conv(m, at, 32, 3, true);
        must(kn_model_flatten(m, at, NULL, &at, &diag));
        must(kn_model_dropout(m, at, NULL, 0.25f, &at, &diag));
        at = hidden(m, at, 128);
        must(kn_model_dropout(m, at, NULL, 0.5f, &at, &diag));
    } else {
        const bool small = strcmp(name, "mlp128") == 0;
        must(kn_model_flatten(m, at, NULL, &at, &diag));
        at = hidden(m, at, small ? 128 : 512);
        if (!small) {
            at = hidden(m, at, 512);
        }
    }
    must(kn_model_dense(m, at, NULL, 10, false, &at, &diag));
    must(kn_model_seal(m, at, KN_LOSS_CROSS_ENTROPY, &diag));
    return m;
}

struct bench {
    const struct kn_model *m;
    uint32_t batch, ranks, threads;
    float *params, *buffers, *state;
    const float *x;
    const int32_t *labels;
    pthread_barrier_t begin, end;
    uint64_t step;
    bool stop;
};

struct worker {
    struct bench *b;
    struct kn_work *work;
    struct kn_subtree subtree; /* this thread's ranks */
    float *slots[KN_TREE_DEPTH_MAX];
};

static void worker_step(struct worker *w)
{
    const struct bench *b = w->b;
    const struct kn_shape in = kn_model_input_shape(b->m);
    const uint32_t micro = b->batch / b->ranks;
    struct kn_tree_sum sum;
    kn_tree_begin(&sum, w->subtree.level, kn_model_vector_count(b->m), w->slots);
    for (uint32_t r = w->subtree.lo; r < w->subtree.lo + (1u << w->subtree.level); r++) {
        const struct kn_batch batch = {.n = micro,
                                       .x = b->x + (size_t)r * micro * kn_shape_count(&in),
                                       .labels =
                                           b->labels + (size_t)r * micro * kn_model_places(b->m)};
        const struct kn_step_key key = {.seed = 1, .step = b->step, .rank = r};
        must(kn_model_step(w->work, b->params, &batch, &key, kn_tree_next(&sum), &diag));
        kn_tree_push(&sum);
    }
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    for (;;) {
        pthread_barrier_wait(&w->b->begin);
        if (w->b->stop) {
            return NULL;
        }
        worker_step(w);
        pthread_barrier_wait(&w->b->end);
    }
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static float *floats(size_t count)
{
    float *at = aligned_alloc(64, (count * sizeof *at + 63) / 64 * 64);
    if (at == NULL) {
        must(KN_ERR_MEMORY);
    }
    memset(at, 0, count * sizeof *at);
    return at;
}

static void step_all(struct bench *b, struct worker *workers, const struct kn_optim *optim,
                     float *root)
{
    struct kn_subtree subtrees[THREADS_MAX];
    const float *sums[THREADS_MAX];
    pthread_barrier_wait(&b->begin);
    worker_step(&workers[0]);
    pthread_barrier_wait(&b->end);
    for (uint32_t t = 0; t < b->threads; t++) {
        subtrees[t] = workers[t].subtree;
        sums[t] = workers[t].slots[0];
    }
    if (!kn_tree_root(subtrees, sums, b->threads, b->ranks, kn_model_vector_count(b->m), root)) {
        fprintf(stderr, "train_rate: threads do not cover the ranks\n");
        exit(1);
    }
    const struct kn_update u = {
        .optim = optim, .lr = 0.01f, .step = b->step, .batch = b->batch, .ranks = b->ranks};
    must(kn_model_apply(b->m, &u, root, b->params, b->buffers, b->state, &diag));
    b->step++;
}

static void data_fill(const struct kn_model *m, float *x, int32_t *labels, uint32_t batch)
{
    const struct kn_stream s = kn_stream_make(1, 2, 3, 4);
    const struct kn_shape in = kn_model_input_shape(m);
    const bool text = in.rank == 1;
    for (size_t i = 0; i < batch * kn_shape_count(&in); i++) {
        const float unit = kn_unit_float(kn_stream_u32(s, 0, (uint32_t)i));
        x[i] = text ? (float)(uint32_t)(unit * TEXT_VOCAB) : unit;
    }
    for (uint32_t i = 0; i < batch * kn_model_places(m); i++) {
        labels[i] = (int32_t)(kn_stream_u32(s, 1, i) % kn_model_outputs(m));
    }
}

static uint32_t log2_of(uint32_t power)
{
    uint32_t level = 0;
    while ((1u << level) < power) {
        level++;
    }
    return level;
}

static double bench_run(struct bench *b, struct worker *workers, double seconds)
{
    const struct kn_optim optim = {.kind = KN_OPTIM_SGD, .lr = 0.01f, .momentum = 0.9f};
    float *root = floats(kn_model_vector_count(b->m));
    for (int warm = 0; warm < 3; warm++) {
        step_all(b, workers, &optim, root);
    }
    const double begin = now();
    uint64_t steps = 0;
    while (now() - begin < seconds) {
        step_all(b, workers, &optim, root);
        steps++;
    }
    const double rate = (double)steps * b->batch / (now() - begin);
    free(root);
    return rate;
}

int main(int argc, char **argv)
{
    if (argc < 6) {
        fprintf(stderr,
                "usage: train_rate digits|bn|mlp|mlp128|text BATCH RANKS THREADS SECONDS [ISA]\n");
        return 2;
    }
    must(kn_open(&diag));
    const struct kn_ops *ops = argc > 6 ? kn_ops_cpu_isa(argv[6]) : kn_ops_cpu();
    struct bench b = {.m = model_of(argv[1]),
                      .batch = (uint32_t)strtoul(argv[2], NULL, 10),
                      .ranks = (uint32_t)strtoul(argv[3], NULL, 10),
                      .threads = (uint32_t)strtoul(argv[4], NULL, 10)};
    if (ops == NULL || !kn_tree_ranks_valid(b.ranks) || !kn_tree_ranks_valid(b.threads) ||
        b.threads > b.ranks || b.threads > THREADS_MAX || b.batch % b.ranks != 0 || b.batch == 0) {
        fprintf(stderr, "train_rate: ranks and threads are powers of two, threads <= ranks\n");
        return 2;
    }
    const struct kn_shape in = kn_model_input_shape(b.m);
    float *x = floats(b.batch * kn_shape_count(&in));
    int32_t *labels = calloc((size_t)b.batch * kn_model_places(b.m), sizeof *labels);
    struct worker *workers = calloc(b.threads, sizeof *workers);
    if (labels == NULL || workers == NULL) {
        must(KN_ERR_MEMORY);
    }
    data_fill(b.m, x, labels, b.batch);
    b.x = x;
    b.labels = labels;
    b.params = floats(kn_model_param_count(b.m));
    b.buffers = floats(kn_model_buffer_count(b.m));
    b.state = floats(kn_model_param_count(b.m));
    kn_model_init(b.m, 1, b.params, b.buffers);
    pthread_barrier_init(&b.begin, NULL, b.threads);
    pthread_barrier_init(&b.end, NULL, b.threads);
    pthread_t ids[THREADS_MAX];
    const uint32_t level = log2_of(b.ranks / b.threads);
    for (uint32_t t = 0; t < b.threads; t++) {
        workers[t] = (struct worker){.b = &b, .subtree = {.lo = t << level, .level = level}};
        for (uint32_t s = 0; s <= level; s++) {
            workers[t].slots[s] = floats(kn_model_vector_count(b.m));
        }
        must(kn_work_open(&workers[t].work, b.m, ops, b.batch / b.ranks, true));
        if (t > 0 && pthread_create(&ids[t], NULL, worker_main, &workers[t]) != 0) {
            return 1;
        }
    }
    const double rate = bench_run(&b, workers, strtod(argv[5], NULL));
    b.stop = true;
    pthread_barrier_wait(&b.begin);
    for (uint32_t t = 1; t < b.threads; t++) {
        pthread_join(ids[t], NULL);
    }
    printf("%s batch=%u ranks=%u threads=%u %s blas=%s samples/s %.0f\n", argv[1], b.batch, b.ranks,
           b.threads, ops->name, kn_blas_core(), rate);
    return 0;
}
