/* SPDX-License-Identifier: Apache-2.0
 *
 * A closed round whose updates go into a secure sum: what rounds/sum.h wants of its host. */
#include "rounds/combine.h"
#include "rounds/inside.h"
#include "rounds/sum.h"

#include "base/host/host.h"
#include "kernels/agg/fixed.h"
#include "train/blob.h"
#include "train/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEP_US (UINT64_C(2) * ROUNDS_ASK_US) /* for one answer */

static const struct rounds_slot *slot_of(const struct rounds_entries *list, uint32_t i)
{
    return &list->x->slots[list->x->taken[list->place[i]].slot];
}

static enum sh_err ask(void *ctx, uint32_t i, struct sh_span question, uint8_t *reply,
                       size_t capacity, size_t *size)
{
    struct rounds_entries *list = ctx;
    if (train_worker_is_interrupted(list->x->w)) {
        return SH_ERR_CANCELLED;
    }
    return service_call(list->x->w->s, slot_of(list, i)->node, SERVICE_CALL_ROUNDS, question.at,
                        question.size, reply, capacity, size, STEP_US);
}

static enum sh_err fetch(void *ctx, uint32_t i, const uint8_t digest[SH_DIGEST_BYTES],
                         uint8_t **bytes)
{
    struct rounds_entries *list = ctx;
    const size_t want = list->x->model.floats * sizeof(uint64_t);
    size_t size = 0;
    (void)i;
    enum sh_err err = train_blob_read(list->x->w->s, digest, want, ROUNDS_FETCH_US, bytes, &size);
    if (err == SH_OK && size != want) {
        free(*bytes);
        *bytes = NULL;
        err = SH_ERR_CORRUPT;
    }
    return err;
}

static bool rest(void *ctx)
{
    struct train_worker *w = ((struct rounds_entries *)ctx)->x->w;
    train_worker_lock(w);
    if (!train_worker_has_news(w)) {
        train_clock_wait(&w->changed, &w->lock, sh_now_us() + ROUNDS_AGAIN_US);
    }
    const bool goes_on = !train_worker_has_news(w);
    train_worker_unlock(w);
    return goes_on;
}

/* What the sum of words is divided by: the scales of those who are in, or with privacy, which has
 * none, how many they are. */
static double divisor(const struct spec_federated *fed, const struct rounds_sum *sum)
{
    double in = 0;
    for (uint32_t i = 0; i < sum->count; i++) {
        const bool counts = sum->members[i].part == ROUNDS_SUM_IN;
        in += counts ? (fed->privacy.on ? 1.0 : sum->members[i].scale) : 0;
    }
    const uint32_t bits = fed->privacy.on ? rounds_privacy_bits(&fed->privacy) : KN_FIXED_BITS;
    return in * (double)(UINT64_C(1) << bits);
}

static void note_parts(struct rounds_entries *list, const struct rounds_sum *sum)
{
    for (uint32_t i = 0; i < sum->count; i++) {
        list->out[i] = sum->members[i].part != ROUNDS_SUM_IN;
        (void)snprintf(list->whys[i], sizeof list->whys[i], "%s", sum->members[i].why);
    }
}

enum sh_err rounds_secure_change(struct rounds_lead *x, struct rounds_entries *list, float *out)
{
    const struct spec_federated *fed = &x->w->job->federated;
    const size_t floats = x->model.floats;
    struct rounds_sum sum = {.unit = x->w->config.unit,
                             .round = fed_round(x->fed),
                             .floats = floats,
                             .count = list->count,
                             .deadline_us = (uint64_t)fed->deadline_s * 1000000,
                             .ask = ask,
                             .fetch = fetch,
                             .rest = rest,
                             .ctx = list};
    SH_CHECK_CMP(list->count, <=, SPEC_AGENTS_MAX);
    memcpy(sum.cluster, rounds_member_cluster(x->member), sizeof sum.cluster);
    sum.members = calloc(list->count + 1, sizeof *sum.members);
    uint64_t *words = calloc(floats, sizeof *words);
    enum sh_err err = sum.members != NULL && words != NULL ? SH_OK : SH_ERR_NO_MEMORY;
    for (uint32_t i = 0; err == SH_OK && i < list->count; i++) {
        memcpy(sum.members[i].node, slot_of(list, i)->node, SH_NODE_ID_BYTES);
        sum.members[i].scale = (double)list->weights[i] / (double)list->weight;
    }
    err = err != SH_OK ? err : rounds_sum_run(&sum, words);
    if (err == SH_ERR_NO_QUORUM && train_worker_is_interrupted(x->w)) {
        err = SH_ERR_CANCELLED;
    }
    if (err == SH_OK || err == SH_ERR_NO_QUORUM) {
        note_parts(list, &sum);
    }
    const double unit = err == SH_OK ? divisor(fed, &sum) : 1;
    for (size_t i = 0; err == SH_OK && i < floats; i++) {
        out[i] = (float)((double)(int64_t)words[i] / unit);
    }
    free(words);
    free(sum.members);
    return err;
}
