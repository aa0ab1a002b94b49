/* SPDX-License-Identifier: Apache-2.0
 *
 * The interface of agent/train/sum.h with the vectors of a subtree added in the order in which they
 * arrive: what the product must not do. Linked into negative tests in place of agent/train/sum.c,
 * beside arrival_tree.c. */
#include "train/sum.h"

#include "kernels/agg/tree.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct train_sum {
    pthread_mutex_t lock;
    uint32_t ranks;
    size_t size;
    size_t size_max;
    uint32_t count;
    struct kn_subtree own[KN_TREE_COVER_MAX];
    float *own_sum[KN_TREE_COVER_MAX];
    uint32_t arrived[KN_TREE_COVER_MAX];
    float *memory;
    float *idle[KN_TREE_RANKS_MAX];
    uint32_t idle_count;
};

enum sh_err train_sum_open(struct train_sum **out, uint32_t ranks, size_t size, uint32_t threads)
{
    struct train_sum *sum = calloc(1, sizeof *sum);
    (void)threads;
    *out = sum;
    if (sum == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    sum->ranks = ranks;
    sum->size_max = size;
    SH_CHECK(pthread_mutex_init(&sum->lock, NULL) == 0);
    return SH_OK;
}

void train_sum_close(struct train_sum *sum)
{
    if (sum != NULL) {
        SH_CHECK(pthread_mutex_destroy(&sum->lock) == 0);
        free(sum);
    }
}

size_t train_sum_bytes(const struct train_sum *sum, uint32_t low, uint32_t high)
{
    (void)low;
    (void)high;
    return sum->ranks * sum->size_max * sizeof(float);
}

void train_sum_use(struct train_sum *sum, float *memory)
{
    sum->memory = memory;
}

uint32_t train_sum_begin(struct train_sum *sum, uint32_t low, uint32_t high, size_t size)
{
    sum->size = size;
    sum->count = kn_tree_cover(low, high, sum->own);
    memset((void *)sum->own_sum, 0, sizeof sum->own_sum);
    memset(sum->arrived, 0, sizeof sum->arrived);
    for (uint32_t i = 0; i < sum->ranks; i++) {
        sum->idle[i] = sum->memory + i * sum->size_max;
    }
    sum->idle_count = sum->ranks;
    return sum->count;
}

float *train_sum_take(struct train_sum *sum)
{
    SH_CHECK(pthread_mutex_lock(&sum->lock) == 0);
    SH_CHECK(sum->idle_count > 0);
    float *vector = sum->idle[--sum->idle_count];
    SH_CHECK(pthread_mutex_unlock(&sum->lock) == 0);
    return vector;
}

uint32_t train_sum_add(struct train_sum *sum, uint32_t rank, float *vector)
{
    uint32_t i = 0;
    SH_CHECK(pthread_mutex_lock(&sum->lock) == 0);
    while (i + 1 < sum->count && sum->own[i + 1].lo <= rank) {
        i++;
    }
    if (sum->own_sum[i] == NULL) {
        sum->own_sum[i] = vector;
    } else {
        kn_tree_add(sum->own_sum[i], vector, sum->size);
        sum->idle[sum->idle_count++] = vector;
    }
    sum->arrived[i]++;
    bool complete = sum->arrived[i] == UINT32_C(1) << sum->own[i].level;
    SH_CHECK(pthread_mutex_unlock(&sum->lock) == 0);
    return complete ? i : UINT32_MAX;
}

float *train_sum_of(struct train_sum *sum, uint32_t subtree)
{
    return sum->own_sum[subtree];
}
