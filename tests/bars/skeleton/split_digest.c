/* SPDX-License-Identifier: Apache-2.0
 *
 * How many different results do different splits of 16 ranks give? First one step of a linear model
 * under every one of the 2^15 contiguous splits, then a few steps of a CNN with batch normalisation
 * and dropout under some splits, sums arriving in a random order each time. Prints two lines of "N
 * splits, D digests"; D is 1 where summation is a fixed tree. */
#include "digits_model.h"
#include "kernels/agg/tree.h"
#include "kernels/data/digits.h"
#include "kernels/data/permutation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RANKS = 16,
    MICRO = 16,
    PIXELS = 784,
    STEPS = 4,
    SPLITS = 1 << (RANKS - 1),
    DIGESTS_MAX = 64
};

struct parts {
    struct kn_subtree subtree[RANKS];
    const float *sum[RANKS];
    uint32_t count;
};

struct digests {
    uint64_t value[DIGESTS_MAX];
    uint32_t count; /* different ones, at most DIGESTS_MAX */
};

struct run {
    struct kn_model *model;
    struct kn_work *work;
    const struct kn_dataset *data;
    size_t size; /* of a rank's vector */
    float *params;
    float *buffers;
    float *vector[RANKS];
    float *pool[RANKS]; /* level + 1 vectors per subtree: never more than ranks */
    uint32_t pool_used;
    uint64_t random;
};

static struct kn_diag diag;

static void must(enum kn_err err)
{
    if (err != KN_OK) {
        (void)fprintf(stderr, "%s: %s\n", kn_err_text(err), diag.text);
        exit(1);
    }
}

static float *floats(size_t count)
{
    float *f = calloc(count > 0 ? count : 1, sizeof *f);
    must(f != NULL ? KN_OK : KN_ERR_MEMORY);
    return f;
}

static uint32_t below(struct run *t, uint32_t bound)
{
    t->random = t->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(t->random >> 33) % bound;
}

static void digest_add(struct digests *d, const float *vector, size_t size)
{
    uint64_t digest = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < size; i++) {
        uint32_t bits;
        memcpy(&bits, &vector[i], sizeof bits);
        digest = (digest ^ bits) * UINT64_C(0x100000001b3);
        digest ^= digest >> 29;
    }
    uint32_t k = 0;
    while (k < d->count && d->value[k] != digest) {
        k++;
    }
    if (k == d->count && k < DIGESTS_MAX) {
        d->value[k] = digest;
        d->count++;
    }
}

/* Every rank's vector of one step. */
static void ranks_compute(struct run *t, uint64_t step)
{
    static float x[MICRO * PIXELS];
    struct kn_permutation order;
    kn_permutation_init(&order, t->data->count, 1, KN_PERMUTATION_EPOCH, 0);
    for (uint32_t r = 0; r < RANKS; r++) {
        uint32_t index[MICRO];
        int32_t label[MICRO];
        for (uint32_t i = 0; i < MICRO; i++) {
            index[i] = kn_permutation_at(&order, ((uint32_t)step * RANKS + r) * MICRO + i);
        }
        kn_dataset_gather(t->data, index, MICRO, x, label, NULL);
        const struct kn_batch batch = {.n = MICRO, .x = x, .labels = label};
        const struct kn_step_key key = {.seed = 1, .step = step, .rank = r};
        must(kn_model_step(t->work, t->params, &batch, &key, t->vector[r], &diag));
    }
}

/* The subtree sums that an agent with ranks [lo, hi) ships. */
static void ship(struct run *t, struct parts *p, uint32_t lo, uint32_t hi)
{
    struct kn_subtree cover[KN_TREE_COVER_MAX];
    uint32_t count = kn_tree_cover(lo, hi, cover);
    for (uint32_t c = 0; c < count; c++) {
        struct kn_tree_sum sum;
        kn_tree_begin(&sum, cover[c].level, t->size, &t->pool[t->pool_used]);
        t->pool_used += cover[c].level + 1;
        for (uint32_t r = cover[c].lo; r < cover[c].lo + (1U << cover[c].level); r++) {
            memcpy(kn_tree_next(&sum), t->vector[r], t->size * sizeof(float));
            kn_tree_push(&sum);
        }
        p->subtree[p->count] = cover[c];
        p->sum[p->count] = kn_tree_done(&sum);
        p->count++;
    }
}

static void shuffle(struct run *t, struct parts *p)
{
    for (uint32_t i = p->count; i > 1; i--) {
        uint32_t j = below(t, i);
        struct kn_subtree subtree = p->subtree[i - 1];
        const float *sum = p->sum[i - 1];
        p->subtree[i - 1] = p->subtree[j];
        p->sum[i - 1] = p->sum[j];
        p->subtree[j] = subtree;
        p->sum[j] = sum;
    }
}

/* Bit k of `cuts`: an agent ends after rank k. */
static void reduce(struct run *t, uint32_t cuts, float *root)
{
    struct parts all = {.count = 0};
    uint32_t lo = 0;
    t->pool_used = 0;
    for (uint32_t hi = 1; hi <= RANKS; hi++) {
        if (hi == RANKS || ((cuts >> (hi - 1)) & 1) != 0) {
            ship(t, &all, lo, hi);
            lo = hi;
        }
    }
    shuffle(t, &all);
    if (!kn_tree_root(all.subtree, all.sum, all.count, RANKS, t->size, root)) {
        (void)fprintf(stderr, "the split %04x does not cover the ranks\n", cuts);
        exit(1);
    }
}

static void run_open(struct run *t, const char *kind, const struct kn_dataset *data)
{
    *t = (struct run){.model = digits_model_make(kind), .data = data, .random = 1};
    t->size = kn_model_vector_count(t->model);
    must(kn_work_open(&t->work, t->model, kn_ops_cpu(), MICRO, true));
    t->params = floats(kn_model_param_count(t->model));
    t->buffers = floats(kn_model_buffer_count(t->model));
    for (uint32_t i = 0; i < RANKS; i++) {
        t->vector[i] = floats(t->size);
    }
    for (uint32_t i = 0; i < sizeof t->pool / sizeof t->pool[0]; i++) {
        t->pool[i] = floats(t->size);
    }
    kn_model_init(t->model, 1, t->params, t->buffers);
}

static void run_close(struct run *t)
{
    for (uint32_t i = 0; i < RANKS; i++) {
        free(t->vector[i]);
    }
    for (uint32_t i = 0; i < sizeof t->pool / sizeof t->pool[0]; i++) {
        free(t->pool[i]);
    }
    free(t->buffers);
    free(t->params);
    kn_work_close(t->work);
    kn_model_close(t->model);
}

static void every_split(const struct kn_dataset *data)
{
    struct run t;
    struct digests d = {.count = 0};
    run_open(&t, "linear", data);
    ranks_compute(&t, 0);
    float *root = floats(t.size);
    for (uint32_t cuts = 0; cuts < SPLITS; cuts++) {
        reduce(&t, cuts, root);
        digest_add(&d, root, t.size);
    }
    (void)printf("%d splits of one step, %u digests\n", SPLITS, d.count);
    free(root);
    run_close(&t);
}

/* STEPS of SGD under one split, another one at every step where `cuts` is 0xffff. */
static void train(struct run *t, uint32_t cuts)
{
    struct kn_optim sgd = kn_optim_default(KN_OPTIM_SGD);
    sgd.momentum = 0.9f;
    float *state = floats(kn_optim_state_count(&sgd, kn_model_param_count(t->model)));
    float *root = floats(t->size);
    for (uint64_t step = 0; step < STEPS; step++) {
        const struct kn_update update = {
            .optim = &sgd, .lr = 0.05f, .step = step, .batch = RANKS * MICRO, .ranks = RANKS};
        ranks_compute(t, step);
        reduce(t, cuts == 0xffff ? below(t, SPLITS) : cuts, root);
        must(kn_model_apply(t->model, &update, root, t->params, t->buffers, state, &diag));
    }
    free(root);
    free(state);
}

static void some_trainings(const struct kn_dataset *data)
{
    /* one agent; two; three (5, 6, 5 ranks); sixteen; 1 and 15; odd ones; a new split every step */
    static const uint32_t cuts[] = {0x0000, 0x0080, 0x0410, 0x7fff, 0x0001, 0x2a49, 0xffff};
    struct digests d = {.count = 0};
    uint32_t count = sizeof cuts / sizeof cuts[0];
    for (uint32_t i = 0; i < count; i++) {
        struct run t;
        run_open(&t, "cnn-norm", data);
        t.random = i;
        train(&t, cuts[i]);
        size_t params = kn_model_param_count(t.model);
        size_t buffers = kn_model_buffer_count(t.model);
        float *all = floats(params + buffers);
        memcpy(all, t.params, params * sizeof *all);
        memcpy(all + params, t.buffers, buffers * sizeof *all);
        digest_add(&d, all, params + buffers);
        free(all);
        run_close(&t);
    }
    (void)printf("%u splits of a training, %u digests\n", count, d.count);
}

int main(void)
{
    struct kn_dataset data;
    must(kn_digits_open(&data, KN_PART_TRAIN));
    every_split(&data);
    some_trainings(&data);
    kn_dataset_close(&data);
    return 0;
}
