/* SPDX-License-Identifier: Apache-2.0
 *
 * The one line of states: what every step's sum and state must be, worked out apart from all
 * members by adding up the gradients of all ranks, level by level. Gradients are drawn from seed,
 * step, rank and element, of sizes that differ so much that every other order of additions gives
 * other bits. */
#include "sim/gang.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

enum { SHORT_EVERY = 5, SHORT_ELEMENTS = 3, SIZES = 20 };

#define RATE 0.01f

static void *zeroed(size_t count, size_t size)
{
    void *out = calloc(count, size);
    SH_CHECK(out != NULL);
    return out;
}

void sim_gang_line_init(struct sim_gang *w)
{
    struct sim_gang_line *l = &w->line;
    l->room = 256;
    l->sum = zeroed(l->room, sizeof *l->sum);
    l->state = zeroed(l->room + 1, sizeof *l->state);
    l->params = zeroed(w->elements, sizeof *l->params);
    l->ranks = zeroed((size_t)w->ranks * w->elements, sizeof *l->ranks);
    l->saved_params = zeroed(w->elements, sizeof *l->saved_params);
    l->saved_before_params = zeroed(w->elements, sizeof *l->saved_before_params);
    l->state[0] = sim_gang_digest(w, l->params);
}

void sim_gang_line_fini(struct sim_gang *w)
{
    struct sim_gang_line *l = &w->line;
    free(l->sum);
    free(l->state);
    free(l->params);
    free(l->ranks);
    free(l->saved_params);
    free(l->saved_before_params);
}

/* Now and then a vector is short, as in an evaluation. */
uint32_t sim_gang_length(const struct sim_gang *w, uint64_t position)
{
    return position % SHORT_EVERY == SHORT_EVERY - 1 ? SHORT_ELEMENTS : w->elements;
}

void sim_gang_gradient(const struct sim_gang *w, uint64_t position, uint32_t rank, float *out)
{
    uint64_t salt = sh_mix64(w->seed ^ sh_mix64(position * ROUND_RANKS_MAX + rank));
    uint32_t count = sim_gang_length(w, position);
    for (uint32_t e = 0; e < count; e++) {
        uint64_t r = sh_mix64(salt + e);
        out[e] = (float)(int32_t)(r >> 32) / (float)(UINT32_C(1) << (r % SIZES));
    }
}

void sim_gang_apply(const struct sim_gang *w, uint64_t position, const float *sum, float *params)
{
    uint32_t count = sim_gang_length(w, position);
    for (uint32_t e = 0; e < count; e++) {
        params[e] = 0.5f * params[e] + RATE * sum[e];
    }
}

uint64_t sim_gang_digest(const struct sim_gang *w, const float *params)
{
    return sh_words64(w->seed, params, w->elements * sizeof *params);
}

static void add_step(struct sim_gang *w)
{
    struct sim_gang_line *l = &w->line;
    uint32_t count = sim_gang_length(w, l->count);
    for (uint32_t r = 0; r < w->ranks; r++) {
        sim_gang_gradient(w, l->count, r, l->ranks + (size_t)r * w->elements);
    }
    for (uint32_t half = 1; half < w->ranks; half *= 2) {
        for (uint32_t r = 0; r < w->ranks; r += 2 * half) {
            float *left = l->ranks + (size_t)r * w->elements;
            const float *right = l->ranks + (size_t)(r + half) * w->elements;
            for (uint32_t e = 0; e < count; e++) {
                left[e] += right[e];
            }
        }
    }
    if (l->count == l->room) {
        l->room *= 2;
        l->sum = realloc(l->sum, l->room * sizeof *l->sum);
        l->state = realloc(l->state, (l->room + 1) * sizeof *l->state);
        SH_CHECK(l->sum != NULL && l->state != NULL);
    }
    sim_gang_apply(w, l->count, l->ranks, l->params);
    l->sum[l->count] = sh_words64(w->seed, l->ranks, count * sizeof(float));
    l->count++;
    l->state[l->count] = sim_gang_digest(w, l->params);
    w->counts.steps++;
    sim_ether_mix(&w->net, l->state[l->count]);
}

void sim_gang_line_finish(struct sim_gang *w, uint32_t member, uint64_t position, const float *sum,
                          const float *params)
{
    struct sim_gang_line *l = &w->line;
    unsigned long long step = position;
    if (position > l->count) {
        sim_ether_break(&w->net, "member %u finished step %llu, and nobody the one before", member,
                        step);
        return;
    }
    w->counts.finished++;
    if (position == l->count) {
        add_step(w);
    }
    uint64_t got = sh_words64(w->seed, sum, sim_gang_length(w, position) * sizeof(float));
    if (got != l->sum[position]) {
        sim_ether_break(&w->net, "the sum of step %llu at member %u is not that over the ranks",
                        step, member);
    } else if (sim_gang_digest(w, params) != l->state[position + 1]) {
        sim_ether_break(&w->net, "the state of member %u after step %llu is off the line", member,
                        step);
    }
}

void sim_gang_line_stand(struct sim_gang *w, uint32_t member)
{
    const struct sim_gang_member *m = &w->members[member];
    if (m->position > w->line.count ||
        sim_gang_digest(w, m->params) != w->line.state[m->position]) {
        sim_ether_break(&w->net, "member %u stands at step %llu with a state off the line", member,
                        (unsigned long long)m->position);
    } else if (m->playing && m->place == w->log_count && m->position < w->line.saved_before) {
        sim_ether_break(&w->net, "member %u goes on from step %llu, where that after %llu is kept",
                        member, (unsigned long long)m->position,
                        (unsigned long long)w->line.saved_before);
    }
}

void sim_gang_line_save(struct sim_gang *w, const struct sim_gang_member *m, uint64_t position)
{
    struct sim_gang_line *l = &w->line;
    if (position <= l->saved || !m->has_state || m->position != position) {
        return; /* an older one, or its bytes are gone with their member */
    }
    float *older = l->saved_before_params;
    l->saved_before = l->saved;
    l->saved_before_params = l->saved_params;
    l->saved = position;
    l->saved_params = older;
    memcpy(l->saved_params, m->params, w->elements * sizeof(float));
}
