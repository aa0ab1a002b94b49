/* SPDX-License-Identifier: Apache-2.0
 *
 * The section "train". */
#include "spec/schema.h"

#include <stdio.h>
#include <string.h>

#define LR_MAX 1000.0

#define NUMBER(name, owner, member, ...)                                                           \
    {                                                                                              \
        .key = (name), .type = SPEC_FIELD_NUMBER, .offset = offsetof(struct owner, member),        \
        __VA_ARGS__                                                                                \
    }
#define LR NUMBER("lr", spec_optimizer, lr, .low = 0, .high = LR_MAX, .low_open = true)
#define DECAY                                                                                      \
    NUMBER("weight_decay", spec_optimizer, weight_decay, .low = 0, .high = 1, .high_open = true)
#define BELOW_ONE .low = 0, .high = 1, .high_open = true

static const struct spec_field SGD[] = {LR,
                                        NUMBER("momentum", spec_optimizer, momentum, BELOW_ONE),
                                        {.key = "nesterov",
                                         .type = SPEC_FIELD_BOOL,
                                         .offset = offsetof(struct spec_optimizer, nesterov)},
                                        DECAY};
static const struct spec_field ADAMW[] = {
    LR, NUMBER("beta1", spec_optimizer, beta1, BELOW_ONE),
    NUMBER("beta2", spec_optimizer, beta2, BELOW_ONE),
    NUMBER("epsilon", spec_optimizer, epsilon, .low = 0, .high = 1, .low_open = true), DECAY};

static void optimizer_defaults(struct spec_optimizer *o, enum spec_optimizer_kind kind)
{
    *o = (struct spec_optimizer){.kind = kind};
    switch (kind) {
    case SPEC_SGD:
        o->lr = 0.01;
        break;
    case SPEC_ADAMW:
        o->lr = 0.001;
        o->beta1 = 0.9;
        o->beta2 = 0.999;
        o->epsilon = 1e-8;
        o->weight_decay = 0.01;
        break;
    }
}

static void take_optimizer_word(struct spec_decode *d, const struct spec_node *node,
                                struct spec_optimizer *o)
{
    const struct spec_node *params = NULL;
    const struct spec_choice *choice =
        spec_take_word(d, node, SPEC_OPTIMIZERS, "optimizer", NULL, &params);
    if (choice == NULL) {
        return;
    }
    optimizer_defaults(o, (enum spec_optimizer_kind)choice->value);
    if (params == NULL) {
        return;
    }
    size_t mark = spec_decode_enter(d, choice->name, 0);
    if (o->kind == SPEC_SGD) {
        spec_decode_map(d, params, SGD, SH_COUNT(SGD), o);
    } else {
        spec_decode_map(d, params, ADAMW, SH_COUNT(ADAMW), o);
    }
    const struct spec_node *nesterov = spec_tree_member(d->tree, params, "nesterov");
    if (o->nesterov && !(o->momentum > 0)) {
        (void)spec_decode_enter(d, "nesterov", 0);
        spec_decode_wrong(d, nesterov, "needs a momentum above 0");
    }
    spec_decode_leave(d, mark);
}

static void take_optimizer(struct spec_decode *d, const struct spec_node *node, void *base)
{
    take_optimizer_word(d, node, &((struct spec_train *)base)->optimizer);
}

static void take_outer(struct spec_decode *d, const struct spec_node *node, void *base)
{
    take_optimizer_word(d, node, &((struct spec_local *)base)->outer);
}

static const struct spec_field LOCAL[] = {
    {.key = "steps",
     .type = SPEC_FIELD_U32,
     .offset = offsetof(struct spec_local, steps),
     .low = 1,
     .high = SPEC_LOCAL_STEPS_MAX,
     .required = true},
    {.key = "warmup_epochs",
     .type = SPEC_FIELD_U32,
     .offset = offsetof(struct spec_local, warmup_epochs),
     .low = 0,
     .high = SPEC_EPOCHS_MAX},
    {.key = "reset", .type = SPEC_FIELD_BOOL, .offset = offsetof(struct spec_local, reset)},
    {.key = "outer", .type = SPEC_FIELD_CUSTOM, .take = take_outer}};

/* Outer rate and momentum of DiLoCo (Douillard et al. 2023, section 3). */
static void take_local(struct spec_decode *d, const struct spec_node *node, void *base)
{
    struct spec_local *local = &((struct spec_train *)base)->local;
    *local = (struct spec_local){.outer = {.kind = SPEC_SGD, .lr = 0.7, .momentum = 0.9}};
    local->outer.nesterov = true;
    spec_decode_map(d, node, LOCAL, SH_COUNT(LOCAL), local);
}

static const struct spec_field TOPK[] = {
    NUMBER("fraction", spec_wire, fraction, .low = 0, .high = 0.5, .low_open = true)};

static void take_wire(struct spec_decode *d, const struct spec_node *node, void *base)
{
    struct spec_wire *wire = &((struct spec_train *)base)->wire;
    const struct spec_node *params = NULL;
    const struct spec_choice *choice = spec_take_word(d, node, SPEC_WIRES, "wire", NULL, &params);
    if (choice == NULL) {
        return;
    }
    *wire = (struct spec_wire){.kind = (enum kn_codec_kind)choice->value};
    wire->fraction = wire->kind == KN_CODEC_TOPK ? 0.05 : 0;
    if (params == NULL) {
        return;
    }
    size_t mark = spec_decode_enter(d, choice->name, 0);
    if (wire->kind == KN_CODEC_TOPK) {
        spec_decode_map(d, params, TOPK, SH_COUNT(TOPK), wire);
    } else {
        spec_decode_wrong(d, params, "has nothing to set: write wire: %s", choice->name);
    }
    spec_decode_leave(d, mark);
}

#define WARMUP                                                                                     \
    {                                                                                              \
        .key = "warmup_steps", .type = SPEC_FIELD_U32,                                             \
        .offset = offsetof(struct spec_schedule, warmup_steps), .low = 0, .high = 1e9              \
    }
#define FINAL NUMBER("final", spec_schedule, final_factor, .low = 0, .high = 1)

static const struct spec_field CONSTANT[] = {WARMUP};
static const struct spec_field DECLINE[] = {WARMUP, FINAL};
static const struct spec_field STEP[] = {
    WARMUP,
    {.key = "every_epochs",
     .type = SPEC_FIELD_U32,
     .offset = offsetof(struct spec_schedule, every_epochs),
     .low = 1,
     .high = SPEC_EPOCHS_MAX},
    NUMBER("factor", spec_schedule, factor, .low = 0, .high = 1, .low_open = true)};

static void take_schedule(struct spec_decode *d, const struct spec_node *node, void *base)
{
    struct spec_schedule *s = &((struct spec_train *)base)->schedule;
    const struct spec_node *params = NULL;
    const struct spec_choice *choice =
        spec_take_word(d, node, SPEC_SCHEDULES, "schedule", NULL, &params);
    if (choice == NULL) {
        return;
    }
    *s = (struct spec_schedule){.kind = (enum spec_schedule_kind)choice->value};
    if (s->kind == SPEC_STEP) {
        s->every_epochs = 1;
        s->factor = 0.1;
    }
    if (params == NULL) {
        return;
    }
    size_t mark = spec_decode_enter(d, choice->name, 0);
    switch (s->kind) {
    case SPEC_CONSTANT:
        spec_decode_map(d, params, CONSTANT, SH_COUNT(CONSTANT), s);
        break;
    case SPEC_LINEAR:
    case SPEC_COSINE:
        spec_decode_map(d, params, DECLINE, SH_COUNT(DECLINE), s);
        break;
    case SPEC_STEP:
        spec_decode_map(d, params, STEP, SH_COUNT(STEP), s);
        break;
    }
    spec_decode_leave(d, mark);
}

static void take_class_name(struct spec_decode *d, const struct spec_node *node,
                            struct spec_train *train)
{
    char *name = train->classes[train->class_count];
    if (node->kind != SPEC_NODE_SCALAR || node->text[0] == '\0' ||
        strlen(node->text) > SPEC_CLASS_NAME_MAX) {
        spec_decode_wrong(d, node, "must be a class name of 1 to %u bytes", SPEC_CLASS_NAME_MAX);
        return;
    }
    (void)snprintf(name, SPEC_CLASS_NAME_MAX + 1, "%s", node->text);
    for (uint32_t i = 0; i < train->class_count; i++) {
        if (strcmp(train->classes[i], name) == 0) {
            spec_decode_wrong(d, node, "is the name of class %u already", i);
        }
    }
}

/* A number of classes, or their names in the order of the outputs. */
static void take_classes(struct spec_decode *d, const struct spec_node *node, void *base)
{
    struct spec_train *train = base;
    static const struct spec_field COUNT = {.key = "",
                                            .type = SPEC_FIELD_U32,
                                            .offset = offsetof(struct spec_train, class_count),
                                            .low = 2,
                                            .high = SPEC_CLASSES_MAX};
    if (node->kind == SPEC_NODE_SCALAR) {
        spec_decode_field(d, node, &COUNT, train);
        return;
    }
    if (node->kind != SPEC_NODE_LIST || node->count < 2 || node->count > SPEC_CLASSES_MAX) {
        spec_decode_wrong(d, node, "must be a number, or a list of names, of 2 to %u classes",
                          SPEC_CLASSES_MAX);
        return;
    }
    train->classes_named = true;
    for (const struct spec_node *n = spec_tree_first(d->tree, node); n != NULL;
         n = spec_tree_next(d->tree, n)) {
        size_t mark = spec_decode_enter(d, NULL, train->class_count);
        take_class_name(d, n, train);
        spec_decode_leave(d, mark);
        train->class_count++;
    }
}

#define TRAIN_U32(name, member, least, most)                                                       \
    {                                                                                              \
        .key = (name), .type = SPEC_FIELD_U32, .offset = offsetof(struct spec_train, member),      \
        .low = (least), .high = (most)                                                             \
    }

static const struct spec_field TRAIN[] = {
    {.key = "optimizer", .type = SPEC_FIELD_CUSTOM, .take = take_optimizer},
    {.key = "schedule", .type = SPEC_FIELD_CUSTOM, .take = take_schedule},
    {.key = "local", .type = SPEC_FIELD_CUSTOM, .take = take_local},
    {.key = "wire", .type = SPEC_FIELD_CUSTOM, .take = take_wire},
    TRAIN_U32("batch", batch, 1, SPEC_BATCH_MAX),
    TRAIN_U32("ranks", ranks, 1, SH_RANKS_MAX),
    TRAIN_U32("epochs", epochs, 1, SPEC_EPOCHS_MAX),
    {.key = "seed",
     .type = SPEC_FIELD_U64,
     .offset = offsetof(struct spec_train, seed),
     .low = 0,
     .high = 9007199254740991.0},
    {.key = "loss",
     .type = SPEC_FIELD_CHOICE,
     .offset = offsetof(struct spec_train, loss),
     .choices = SPEC_LOSSES},
    {.key = "classes", .type = SPEC_FIELD_CUSTOM, .take = take_classes}};

void spec_train_defaults(struct spec_train *train)
{
    *train = (struct spec_train){.batch = 256,
                                 .ranks = 16,
                                 .epochs = 10,
                                 .seed = 1,
                                 .loss = SPEC_CROSS_ENTROPY,
                                 .schedule = {.kind = SPEC_CONSTANT}};
    optimizer_defaults(&train->optimizer, SPEC_ADAMW);
}

void spec_take_train(struct spec_decode *d, const struct spec_node *node, void *base)
{
    spec_decode_map(d, node, TRAIN, SH_COUNT(TRAIN), base);
}
