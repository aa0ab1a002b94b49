/* SPDX-License-Identifier: Apache-2.0
 *
 *   digits_accuracy MODEL SEED
 *
 * Trains a model on builtin:digits as the job file of the demonstration says (batch 256 = 16 ranks
 * x 16, 8 epochs, SGD 0.05 with momentum 0.9, linear schedule) on one thread and prints its test
 * accuracy in per cent. */
#include "digits_model.h"
#include "kernels/agg/tree.h"
#include "kernels/data/digits.h"
#include "kernels/data/permutation.h"

#include <stdio.h>
#include <stdlib.h>

enum { RANKS = 16, MICRO = 16, BATCH = RANKS * MICRO, EPOCHS = 8, LEVEL = 4, PIXELS = 784 };

struct run {
    struct kn_model *model;
    struct kn_work *work;
    struct kn_dataset train;
    float *params;
    float *buffers;
    float *state;
    float *slot[LEVEL + 1];
    uint64_t seed;
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

/* Rank r's vector of one step. */
static void rank_step(struct run *t, const struct kn_permutation *order, uint32_t in_epoch,
                      uint64_t step, uint32_t r, float *out)
{
    static float x[MICRO * PIXELS];
    int32_t label[MICRO];
    uint32_t index[MICRO];
    for (uint32_t i = 0; i < MICRO; i++) {
        index[i] = kn_permutation_at(order, in_epoch * BATCH + r * MICRO + i);
    }
    kn_dataset_gather(&t->train, index, MICRO, x, label, NULL);
    const struct kn_batch batch = {.n = MICRO, .x = x, .labels = label};
    const struct kn_step_key key = {.seed = t->seed, .step = step, .rank = r};
    must(kn_model_step(t->work, t->params, &batch, &key, out, &diag));
}

static void train(struct run *t)
{
    struct kn_optim sgd = kn_optim_default(KN_OPTIM_SGD);
    uint32_t steps = t->train.count / BATCH;
    const struct kn_schedule schedule = {.kind = KN_SCHEDULE_LINEAR,
                                         .total_steps = (uint64_t)steps * EPOCHS};
    sgd.lr = 0.05f;
    sgd.momentum = 0.9f;
    uint64_t step = 0;
    t->state = floats(kn_optim_state_count(&sgd, kn_model_param_count(t->model)));
    for (uint32_t epoch = 0; epoch < EPOCHS; epoch++) {
        struct kn_permutation order;
        kn_permutation_init(&order, t->train.count, t->seed, KN_PERMUTATION_EPOCH, epoch);
        for (uint32_t s = 0; s < steps; s++) {
            struct kn_tree_sum sum;
            kn_tree_begin(&sum, LEVEL, kn_model_vector_count(t->model), t->slot);
            for (uint32_t r = 0; r < RANKS; r++) {
                rank_step(t, &order, s, step, r, kn_tree_next(&sum));
                kn_tree_push(&sum);
            }
            const struct kn_update update = {.optim = &sgd,
                                             .lr = sgd.lr * kn_schedule_factor(&schedule, step),
                                             .step = step,
                                             .batch = BATCH,
                                             .ranks = RANKS};
            must(kn_model_apply(t->model, &update, t->slot[0], t->params, t->buffers, t->state,
                                &diag));
            step++;
        }
    }
}

static double test_accuracy(struct run *t)
{
    struct kn_dataset set;
    uint64_t correct = 0;
    must(kn_digits_open(&set, KN_PART_TEST));
    float *x = floats((size_t)MICRO * PIXELS);
    for (uint32_t at = 0; at < set.count; at += MICRO) {
        uint32_t index[MICRO];
        int32_t label[MICRO];
        double loss = 0;
        uint64_t right = 0;
        for (uint32_t i = 0; i < MICRO; i++) {
            index[i] = at + i;
        }
        kn_dataset_gather(&set, index, MICRO, x, label, NULL);
        const struct kn_batch batch = {.n = MICRO, .x = x, .labels = label};
        must(kn_model_eval(t->work, t->params, t->buffers, &batch, &loss, &right, &diag));
        correct += right;
    }
    double accuracy = 100.0 * (double)correct / (double)set.count;
    kn_dataset_close(&set);
    free(x);
    return accuracy;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        (void)fprintf(stderr, "usage: digits_accuracy cnn|cnn-norm|mlp|linear SEED\n");
        return 2;
    }
    struct run t = {.model = digits_model_make(argv[1]), .seed = strtoull(argv[2], NULL, 10)};
    must(kn_digits_open(&t.train, KN_PART_TRAIN));
    must(kn_work_open(&t.work, t.model, kn_ops_cpu(), MICRO, true));
    t.params = floats(kn_model_param_count(t.model));
    t.buffers = floats(kn_model_buffer_count(t.model));
    for (uint32_t i = 0; i <= LEVEL; i++) {
        t.slot[i] = floats(kn_model_vector_count(t.model));
    }
    kn_model_init(t.model, t.seed, t.params, t.buffers);
    train(&t);
    (void)printf("%.2f\n", test_accuracy(&t));
    for (uint32_t i = 0; i <= LEVEL; i++) {
        free(t.slot[i]);
    }
    free(t.state);
    free(t.buffers);
    free(t.params);
    kn_work_close(t.work);
    kn_model_close(t.model);
    kn_dataset_close(&t.train);
    return 0;
}
