/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/graph/plan.h"

#include <string.h>

struct planner {
    struct kn_plan *plan;
    const struct kn_ops *ops;
    uint32_t n_max;
    bool train;
};

static size_t round_up(size_t bytes)
{
    return (bytes + KN_ALIGN - 1) / KN_ALIGN * KN_ALIGN;
}

static uint32_t slot_add(struct kn_plan *plan, size_t bytes, uint32_t birth, uint32_t death)
{
    KN_CHECK(plan->slot_count < KN_SLOTS_MAX);
    KN_CHECK(birth <= death);
    plan->slots[plan->slot_count] =
        (struct kn_slot){.bytes = round_up(bytes), .birth = birth, .death = death};
    return plan->slot_count++;
}

static void slot_live(struct kn_plan *plan, uint32_t slot, uint32_t time)
{
    KN_CHECK(slot < plan->slot_count);
    struct kn_slot *s = &plan->slots[slot];
    s->birth = time < s->birth ? time : s->birth;
    s->death = time > s->death ? time : s->death;
}

static uint32_t time_backward(const struct kn_plan *plan, uint32_t task)
{
    return 2 * plan->count - task;
}

static void tasks_make(struct kn_plan *plan, const struct kn_model *m)
{
    plan->count = m->node_count;
    for (uint32_t i = 0; i < m->node_count; i++) {
        const struct kn_node *node = &m->nodes[i];
        plan->tasks[i] = (struct kn_task){.node = node,
                                          .src = {node->in[0], node->in[1]},
                                          .count = kn_shape_count(&node->shape),
                                          .readers = node->readers,
                                          .value = KN_NO_SLOT,
                                          .gradient = KN_NO_SLOT,
                                          .extra = KN_NO_SLOT};
    }
}

/* max(relu(x)) = relu(max(x)), and both send the gradient to the same place: to the first largest
 * where it is positive, else nowhere. */
static void tasks_swap(struct kn_plan *plan)
{
    for (uint32_t i = 0; i < plan->count; i++) {
        struct kn_task *pool = &plan->tasks[i];
        if (pool->node->op != KN_OP_MAXPOOL) {
            continue;
        }
        struct kn_task *relu = &plan->tasks[pool->src[0]];
        if (relu->node->op == KN_OP_RELU && relu->readers == 1) {
            const struct kn_node *node = pool->node;
            pool->node = relu->node;
            relu->node = node;
            relu->count = pool->count;
        }
    }
}

static bool reads_output(enum kn_op op)
{
    return op == KN_OP_RELU;
}

static bool reads_input(enum kn_op op)
{
    return op == KN_OP_DENSE || op == KN_OP_CONV2D || op == KN_OP_GELU || op == KN_OP_BATCHNORM ||
           op == KN_OP_LAYERNORM || op == KN_OP_EMBEDDING || op == KN_OP_ATTENTION;
}

/* Whether nothing but task i ever needs the value of its source again. */
static bool may_overwrite(const struct kn_plan *plan, uint32_t source, bool train)
{
    for (;;) {
        const struct kn_task *t = &plan->tasks[source];
        if (t->readers != 1 || (train && reads_output(t->node->op))) {
            return false;
        }
        if (t->node->op != KN_OP_FLATTEN) {
            return true;
        }
        source = t->src[0];
    }
}

static bool runs_in_place(const struct kn_plan *plan, uint32_t task, bool train)
{
    const struct kn_task *t = &plan->tasks[task];
    switch (t->node->op) {
    case KN_OP_FLATTEN:
        return true;
    case KN_OP_RELU:
    case KN_OP_DROPOUT:
    case KN_OP_ADD:
    case KN_OP_POSITIONS:
        return may_overwrite(plan, t->src[0], train);
    case KN_OP_GELU:
    case KN_OP_BATCHNORM:
    case KN_OP_LAYERNORM:
        return !train && may_overwrite(plan, t->src[0], train);
    case KN_OP_INPUT:
    case KN_OP_DENSE:
    case KN_OP_CONV2D:
    case KN_OP_MAXPOOL:
    case KN_OP_AVGPOOL:
    case KN_OP_EMBEDDING:
    case KN_OP_ATTENTION:
    case KN_OP_COUNT:
        return false;
    }
    return false;
}

/* Bytes of what forward keeps for backward beside values. */
static size_t extra_bytes(const struct planner *p, const struct kn_task *t)
{
    const struct kn_attention_shape *a = &t->node->attention;
    switch (t->node->op) {
    case KN_OP_MAXPOOL:
    case KN_OP_DROPOUT:
        return kn_layout_count(p->ops, p->n_max, t->count);
    case KN_OP_BATCHNORM:
        return 2u * t->node->shape.dim[0] * (size_t)p->ops->elem_size;
    case KN_OP_LAYERNORM:
        return 2u * kn_layout_count(p->ops, p->n_max, kn_shape_places(&t->node->shape)) *
               p->ops->elem_size;
    case KN_OP_ATTENTION:
        return kn_layout_count(p->ops, p->n_max, (size_t)a->heads * a->places * a->places) *
               p->ops->elem_size;
    case KN_OP_INPUT:
    case KN_OP_DENSE:
    case KN_OP_CONV2D:
    case KN_OP_AVGPOOL:
    case KN_OP_RELU:
    case KN_OP_GELU:
    case KN_OP_ADD:
    case KN_OP_FLATTEN:
    case KN_OP_EMBEDDING:
    case KN_OP_POSITIONS:
    case KN_OP_COUNT:
        break;
    }
    return 0;
}

static void values_plan(struct planner *p)
{
    struct kn_plan *plan = p->plan;
    for (uint32_t i = 0; i < plan->count; i++) {
        struct kn_task *t = &plan->tasks[i];
        const size_t elements = kn_layout_count(p->ops, p->n_max, t->count);
        if (runs_in_place(plan, i, p->train)) {
            t->value = plan->tasks[t->src[0]].value;
        } else {
            t->value = slot_add(plan, elements * p->ops->elem_size, i, i);
        }
        slot_live(plan, t->value, i);
        for (uint32_t k = 0; k < t->node->in_count; k++) {
            slot_live(plan, plan->tasks[t->src[k]].value, i);
        }
        if (p->train && reads_input(t->node->op)) {
            slot_live(plan, plan->tasks[t->src[0]].value, time_backward(plan, i));
        }
        if (p->train && reads_output(t->node->op)) {
            slot_live(plan, t->value, time_backward(plan, i));
        }
        const size_t extra = p->train ? extra_bytes(p, t) : 0;
        if (extra > 0) {
            t->extra = slot_add(plan, extra, i, time_backward(plan, i));
        }
    }
    slot_live(plan, plan->tasks[plan->count - 1].value, plan->count);
}

/* Whether the derivative of the source is formed where that of the task lies. */
static bool gradient_in_place(const struct kn_plan *plan, uint32_t task)
{
    const struct kn_task *t = &plan->tasks[task];
    switch (t->node->op) {
    case KN_OP_FLATTEN:
    case KN_OP_RELU:
    case KN_OP_DROPOUT:
    case KN_OP_GELU:
    case KN_OP_BATCHNORM:
    case KN_OP_POSITIONS:
    case KN_OP_LAYERNORM:
        return plan->tasks[t->src[0]].readers == 1;
    case KN_OP_INPUT:
    case KN_OP_DENSE:
    case KN_OP_CONV2D:
    case KN_OP_MAXPOOL:
    case KN_OP_AVGPOOL:
    case KN_OP_ADD:
    case KN_OP_EMBEDDING:
    case KN_OP_ATTENTION:
    case KN_OP_COUNT:
        return false;
    }
    return false;
}

static void gradient_give(struct planner *p, uint32_t task, uint32_t source, bool *first)
{
    struct kn_plan *plan = p->plan;
    struct kn_task *s = &plan->tasks[source];
    const uint32_t now = time_backward(plan, task);
    *first = s->gradient == KN_NO_SLOT;
    if (*first && gradient_in_place(plan, task)) {
        s->gradient = plan->tasks[task].gradient;
    } else if (*first) {
        const size_t elements = kn_layout_count(p->ops, p->n_max, s->count);
        s->gradient = slot_add(plan, elements * p->ops->elem_size, now, now);
    }
    slot_live(plan, s->gradient, now);
    slot_live(plan, s->gradient, time_backward(plan, source));
}

static void gradients_plan(struct planner *p)
{
    struct kn_plan *plan = p->plan;
    const uint32_t last = plan->count - 1;
    size_t spare = 0;
    for (uint32_t i = 0; i <= last; i++) {
        struct kn_task *t = &plan->tasks[i];
        t->grad = t->node->param_count > 0;
        for (uint32_t k = 0; k < t->node->in_count; k++) {
            t->grad = t->grad || plan->tasks[t->src[k]].grad;
        }
    }
    const size_t bytes = kn_layout_count(p->ops, p->n_max, plan->tasks[last].count);
    plan->tasks[last].gradient =
        slot_add(plan, bytes * p->ops->elem_size, plan->count, time_backward(plan, last));
    for (uint32_t i = last + 1; i-- > 0;) {
        struct kn_task *t = &plan->tasks[i];
        bool *const firsts[2] = {&t->first, &t->first2};
        for (uint32_t k = 0; k < t->node->in_count && t->grad; k++) {
            const struct kn_task *s = &plan->tasks[t->src[k]];
            if (!s->grad) {
                continue;
            }
            gradient_give(p, i, t->src[k], firsts[k]);
            const size_t elements = kn_layout_count(p->ops, p->n_max, s->count);
            if (!*firsts[k] && t->node->op != KN_OP_ADD && elements > spare) {
                spare = elements;
            }
        }
    }
    plan->spare = KN_NO_SLOT;
    if (spare > 0) {
        plan->spare = slot_add(plan, spare * p->ops->elem_size, 0, 2 * plan->count);
    }
}

static size_t task_scratch(const struct planner *p, const struct kn_task *t)
{
    const struct kn_node *node = t->node;
    const uint32_t rows =
        (uint32_t)kn_layout_count(p->ops, p->n_max, kn_shape_places(&node->shape));
    switch ((uint32_t)node->op) {
    case KN_OP_DENSE: {
        const size_t in = p->plan->tasks[t->src[0]].count / kn_shape_places(&node->shape);
        return p->ops->dense_scratch(node->shape.rank == 2 ? rows : p->n_max, (uint32_t)in,
                                     kn_shape_width(&node->shape));
    }
    case KN_OP_CONV2D:
        return p->ops->conv_scratch(&node->conv, p->n_max);
    case KN_OP_LAYERNORM:
        return p->ops->layernorm_scratch(rows, kn_shape_width(&node->shape));
    case KN_OP_ATTENTION:
        return p->ops->attention_scratch(&node->attention, p->n_max);
    default:
        return 0;
    }
}

static void scratch_plan(struct planner *p)
{
    size_t most = 0;
    for (uint32_t i = 0; i < p->plan->count; i++) {
        const size_t bytes = task_scratch(p, &p->plan->tasks[i]);
        most = bytes > most ? bytes : most;
    }
    const size_t outputs = p->plan->tasks[p->plan->count - 1].count;
    const size_t loss = p->ops->loss_scratch(p->n_max, (uint32_t)outputs);
    most = loss > most ? loss : most;
    p->plan->scratch = slot_add(p->plan, most, 0, 2 * p->plan->count);
}

static bool lives_meet(const struct kn_slot *a, const struct kn_slot *b)
{
    return a->birth <= b->death && b->birth <= a->death;
}

/* Lowest offset at which slot `s` meets none of the slots already placed (ascending by offset). */
static size_t slot_fit(const struct kn_plan *plan, const uint32_t *placed, uint32_t count,
                       const struct kn_slot *s)
{
    size_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct kn_slot *other = &plan->slots[placed[i]];
        if (!lives_meet(s, other) || other->offset + other->bytes <= at) {
            continue;
        }
        if (other->offset >= at + s->bytes) {
            break;
        }
        at = other->offset + other->bytes;
    }
    return at;
}

/* Greedy by size: the largest first, each at the lowest place that is free during its life. */
static void slots_place(struct kn_plan *plan)
{
    uint32_t placed[KN_SLOTS_MAX];
    bool done[KN_SLOTS_MAX] = {false};
    for (uint32_t count = 0; count < plan->slot_count; count++) {
        uint32_t pick = KN_NO_SLOT;
        for (uint32_t i = 0; i < plan->slot_count; i++) {
            if (!done[i] &&
                (pick == KN_NO_SLOT || plan->slots[i].bytes > plan->slots[pick].bytes)) {
                pick = i;
            }
        }
        KN_CHECK(pick != KN_NO_SLOT);
        struct kn_slot *s = &plan->slots[pick];
        s->offset = slot_fit(plan, placed, count, s);
        done[pick] = true;
        uint32_t at = count;
        while (at > 0 && plan->slots[placed[at - 1]].offset > s->offset) {
            placed[at] = placed[at - 1];
            at--;
        }
        placed[at] = pick;
        plan->bytes = s->offset + s->bytes > plan->bytes ? s->offset + s->bytes : plan->bytes;
    }
}

void kn_plan_make(struct kn_plan *plan, const struct kn_model *m, const struct kn_ops *ops,
                  uint32_t n_max, bool train)
{
    KN_CHECK(m->sealed);
    KN_CHECK(ops->version == KN_OPS_VERSION);
    KN_CHECK(m->output == m->node_count - 1);
    memset(plan, 0, sizeof *plan);
    struct planner p = {.plan = plan, .ops = ops, .n_max = n_max, .train = train};
    tasks_make(plan, m);
    tasks_swap(plan);
    plan->spare = KN_NO_SLOT;
    values_plan(&p);
    if (train) {
        gradients_plan(&p);
    }
    scratch_plan(&p);
    slots_place(plan);
}
