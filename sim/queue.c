/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/queue.h"

#include "base/check.h"

#include <stdlib.h>

enum { ARITY = 4, FIRST_EVENTS = 1024 };

void sim_queue_init(struct sim_queue *queue)
{
    *queue = (struct sim_queue){.capacity = FIRST_EVENTS};
    queue->heap = malloc(FIRST_EVENTS * sizeof *queue->heap);
    SH_CHECK(queue->heap != NULL);
}

void sim_queue_fini(struct sim_queue *queue)
{
    for (uint32_t i = 0; i < queue->count; i++) {
        free(queue->heap[i].body);
    }
    free(queue->heap);
    *queue = (struct sim_queue){0};
}

static bool sooner(const struct sim_event *a, const struct sim_event *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void sim_queue_push(struct sim_queue *queue, struct sim_event event)
{
    if (queue->count == queue->capacity) {
        queue->capacity *= 2;
        queue->heap = realloc(queue->heap, queue->capacity * sizeof *queue->heap);
        SH_CHECK(queue->heap != NULL);
    }
    event.order = queue->order++;
    uint32_t at = queue->count++;
    while (at > 0 && sooner(&event, &queue->heap[(at - 1) / ARITY])) {
        queue->heap[at] = queue->heap[(at - 1) / ARITY];
        at = (at - 1) / ARITY;
    }
    queue->heap[at] = event;
}

bool sim_queue_peek(const struct sim_queue *queue, uint64_t *at)
{
    if (queue->count > 0) {
        *at = queue->heap[0].at;
    }
    return queue->count > 0;
}

static uint32_t soonest_child(const struct sim_queue *queue, uint32_t at)
{
    uint32_t best = ARITY * at + 1;
    for (uint32_t i = 2; i <= ARITY && ARITY * at + i < queue->count; i++) {
        if (sooner(&queue->heap[ARITY * at + i], &queue->heap[best])) {
            best = ARITY * at + i;
        }
    }
    return best;
}

bool sim_queue_pop(struct sim_queue *queue, struct sim_event *event)
{
    if (queue->count == 0) {
        return false;
    }
    *event = queue->heap[0];
    struct sim_event last = queue->heap[--queue->count];
    uint32_t at = 0;
    while (ARITY * at + 1 < queue->count) {
        uint32_t child = soonest_child(queue, at);
        if (!sooner(&queue->heap[child], &last)) {
            break;
        }
        queue->heap[at] = queue->heap[child];
        at = child;
    }
    if (queue->count > 0) {
        queue->heap[at] = last;
    }
    return true;
}
