/* SPDX-License-Identifier: Apache-2.0 */
#include "train/sum.h"

#include "kernels/agg/tree.h"
#include "kernels/kn.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

/* Nodes of the tree are numbered as in a heap: 1 is the root, 2n and 2n + 1 are the halves of n,
 * ranks + r is rank r. */
struct train_sum {
    pthread_mutex_t lock;
    uint32_t ranks;
    size_t size; /* of the vectors of this round */
    uint32_t count;
    struct kn_subtree own[KN_TREE_COVER_MAX];
    float *own_sum[KN_TREE_COVER_MAX];
    float *node[2 * KN_TREE_RANKS_MAX];  /* complete, its sibling is not; NULL otherwise */
    uint32_t top[2 * KN_TREE_RANKS_MAX]; /* which own subtree has this node as its root, or NONE */
    float *memory;                       /* borrowed */
    size_t size_max;
    uint32_t threads;
    float *idle[KN_TREE_RANKS_MAX];
    uint32_t idle_count;
};

static uint32_t depth_of(uint32_t ranks)
{
    uint32_t depth = 0;
    while ((UINT32_C(1) << depth) < ranks) {
        depth++;
    }
    return depth;
}

/* Vectors for the ranks [low, high). They are taken in ascending order, so a complete node waits
 * either beside the path of a rank that is being computed or beside the path of the next one, or is
 * an own subtree; and every thread holds one vector. */
static uint32_t vectors_for(const struct train_sum *sum, uint32_t low, uint32_t high)
{
    uint32_t bound = sum->threads + (sum->threads + 3) * depth_of(sum->ranks);
    return bound < high - low ? bound : high - low;
}

enum sh_err train_sum_open(struct train_sum **out, uint32_t ranks, size_t size, uint32_t threads)
{
    SH_CHECK(kn_tree_ranks_valid(ranks));
    SH_CHECK(size > 0 && threads > 0);
    struct train_sum *sum = calloc(1, sizeof *sum);
    *out = NULL;
    if (sum == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    size_t line = KN_ALIGN / sizeof(float);
    sum->ranks = ranks;
    sum->size_max = (size + line - 1) / line * line;
    sum->threads = threads;
    SH_CHECK(pthread_mutex_init(&sum->lock, NULL) == 0);
    *out = sum;
    return SH_OK;
}

void train_sum_close(struct train_sum *sum)
{
    if (sum == NULL) {
        return;
    }
    SH_CHECK(pthread_mutex_destroy(&sum->lock) == 0);
    free(sum);
}

size_t train_sum_bytes(const struct train_sum *sum, uint32_t low, uint32_t high)
{
    SH_CHECK_CMP(low, <, high);
    SH_CHECK_CMP(high, <=, sum->ranks);
    return vectors_for(sum, low, high) * sum->size_max * sizeof(float);
}

void train_sum_use(struct train_sum *sum, float *memory)
{
    SH_CHECK(pthread_mutex_lock(&sum->lock) == 0);
    sum->memory = memory;
    memset((void *)sum->own_sum, 0, sizeof sum->own_sum);
    SH_CHECK(pthread_mutex_unlock(&sum->lock) == 0);
}

uint32_t train_sum_begin(struct train_sum *sum, uint32_t low, uint32_t high, size_t size)
{
    SH_CHECK_CMP(low, <, high);
    SH_CHECK_CMP(high, <=, sum->ranks);
    SH_CHECK_CMP(size, <=, sum->size_max);
    SH_CHECK(pthread_mutex_lock(&sum->lock) == 0);
    SH_CHECK(sum->memory != NULL);
    sum->size = size;
    sum->count = kn_tree_cover(low, high, sum->own);
    memset((void *)sum->node, 0, sizeof sum->node);
    memset((void *)sum->own_sum, 0, sizeof sum->own_sum);
    memset(sum->top, 0xff, sizeof sum->top);
    for (uint32_t i = 0; i < sum->count; i++) {
        uint32_t level = sum->own[i].level;
        sum->top[(sum->ranks >> level) + (sum->own[i].lo >> level)] = i;
    }
    sum->idle_count = vectors_for(sum, low, high);
    for (uint32_t i = 0; i < sum->idle_count; i++) {
        sum->idle[i] = sum->memory + i * sum->size_max;
    }
    uint32_t count = sum->count;
    SH_CHECK(pthread_mutex_unlock(&sum->lock) == 0);
    return count;
}

float *train_sum_take(struct train_sum *sum)
{
    SH_CHECK(pthread_mutex_lock(&sum->lock) == 0);
    SH_CHECK_CMP(sum->idle_count, >, 0);
    float *vector = sum->idle[--sum->idle_count];
    SH_CHECK(pthread_mutex_unlock(&sum->lock) == 0);
    return vector;
}

/* The node's vector is complete. Its sibling's, taken out, when that is there too; else NULL after
 * leaving this one to the sibling. */
static float *meet(struct train_sum *sum, uint32_t node, float *vector)
{
    float *sibling = sum->node[node ^ 1];
    if (sibling == NULL) {
        sum->node[node] = vector;
    }
    sum->node[node ^ 1] = NULL;
    return sibling;
}

uint32_t train_sum_add(struct train_sum *sum, uint32_t rank, float *vector)
{
    uint32_t node = sum->ranks + rank;
    SH_CHECK_CMP(rank, <, sum->ranks);
    SH_CHECK(pthread_mutex_lock(&sum->lock) == 0);
    while (sum->top[node] == NONE) {
        SH_CHECK_CMP(node, >, 1);
        float *sibling = meet(sum, node, vector);
        if (sibling == NULL) {
            SH_CHECK(pthread_mutex_unlock(&sum->lock) == 0);
            return NONE;
        }
        bool left = (node & 1) == 0;
        float *sum_of_two = left ? vector : sibling;
        float *other = left ? sibling : vector;
        SH_CHECK(pthread_mutex_unlock(&sum->lock) == 0);
        kn_tree_add(sum_of_two, other, sum->size);
        SH_CHECK(pthread_mutex_lock(&sum->lock) == 0);
        sum->idle[sum->idle_count++] = other;
        vector = sum_of_two;
        node /= 2;
    }
    uint32_t subtree = sum->top[node];
    SH_CHECK(sum->own_sum[subtree] == NULL);
    sum->own_sum[subtree] = vector;
    SH_CHECK(pthread_mutex_unlock(&sum->lock) == 0);
    return subtree;
}

float *train_sum_of(struct train_sum *sum, uint32_t subtree)
{
    SH_CHECK(pthread_mutex_lock(&sum->lock) == 0);
    SH_CHECK_CMP(subtree, <, sum->count);
    float *vector = sum->own_sum[subtree];
    SH_CHECK(vector != NULL);
    SH_CHECK(pthread_mutex_unlock(&sum->lock) == 0);
    return vector;
}
