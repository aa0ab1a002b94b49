/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/layer_walk.h"
#include "spec/schema.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define SIDE_MAX  4096.0  /* of a kernel or stride, pixels */
#define UNITS_MAX 65536.0 /* of a dense or convolution layer */
#define HEADS_MAX 1024.0

static void take_padding(struct spec_decode *d, const struct spec_node *node, void *base)
{
    struct spec_layer *layer = base;
    double value = 0;
    if (node->kind == SPEC_NODE_SCALAR && strcmp(node->text, "same") == 0) {
        layer->padding = SPEC_PADDING_SAME;
    } else if (node->kind == SPEC_NODE_SCALAR && strcmp(node->text, "valid") == 0) {
        layer->padding = 0;
    } else if (spec_scalar_number(node, &value) && value >= 0 && value <= SIDE_MAX &&
               floor(value) >= value) {
        layer->padding = (uint32_t)value;
    } else {
        spec_decode_wrong(d, node, "must be same, valid, or pixels from 0 to %.0f", SIDE_MAX);
    }
}

#define U32(name, member, least, most)                                                             \
    {                                                                                              \
        .key = (name), .type = SPEC_FIELD_U32, .offset = offsetof(struct spec_layer, member),      \
        .low = (least), .high = (most)                                                             \
    }
#define PADDING                                                                                    \
    {                                                                                              \
        .key = "padding", .type = SPEC_FIELD_CUSTOM, .take = take_padding                          \
    }
#define BIAS                                                                                       \
    {                                                                                              \
        .key = "bias", .type = SPEC_FIELD_BOOL, .offset = offsetof(struct spec_layer, bias)        \
    }

/* In each table the first field is what a bare number stands for: {dense: 10}. */
static const struct spec_field CONV[] = {U32("filters", units, 1, UNITS_MAX),
                                         U32("kernel", kernel, 1, SIDE_MAX),
                                         U32("stride", stride, 1, SIDE_MAX), PADDING, BIAS};
static const struct spec_field POOL[] = {U32("kernel", kernel, 1, SIDE_MAX),
                                         U32("stride", stride, 1, SIDE_MAX), PADDING};
static const struct spec_field DENSE[] = {U32("units", units, 1, UNITS_MAX), BIAS};
static const struct spec_field DROPOUT[] = {{.key = "rate",
                                             .type = SPEC_FIELD_NUMBER,
                                             .offset = offsetof(struct spec_layer, rate),
                                             .low = 0,
                                             .high = 1,
                                             .high_open = true}};
static const struct spec_field BATCHNORM[] = {{.key = "momentum",
                                               .type = SPEC_FIELD_NUMBER,
                                               .offset = offsetof(struct spec_layer, momentum),
                                               .low = 0,
                                               .high = 1,
                                               .low_open = true},
                                              {.key = "epsilon",
                                               .type = SPEC_FIELD_NUMBER,
                                               .offset = offsetof(struct spec_layer, epsilon),
                                               .low = 0,
                                               .high = 1,
                                               .low_open = true}};

/* The earlier layer is known by name only once all names are: resolved by link_add. */
static void take_from(struct spec_decode *d, const struct spec_node *node, void *base)
{
    (void)base;
    if (node->kind != SPEC_NODE_SCALAR) {
        spec_decode_wrong(d, node, "must be the name of an earlier layer");
    }
}

static const struct spec_field ADD[] = {
    {.key = "from", .type = SPEC_FIELD_CUSTOM, .take = take_from}};

static const struct spec_field EMBEDDING[] = {U32("vocab", vocab, 2, UNITS_MAX),
                                              U32("width", units, 1, UNITS_MAX)};
static const struct spec_field LAYERNORM[] = {{.key = "epsilon",
                                               .type = SPEC_FIELD_NUMBER,
                                               .offset = offsetof(struct spec_layer, epsilon),
                                               .low = 0,
                                               .high = 1,
                                               .low_open = true}};
static const struct spec_field ATTENTION[] = {
    U32("heads", heads, 1, HEADS_MAX),
    {.key = "causal", .type = SPEC_FIELD_BOOL, .offset = offsetof(struct spec_layer, causal)},
    BIAS};

struct layer_shape {
    enum spec_layer_kind kind;
    const struct spec_field *fields;
    size_t count;
    bool shorthand; /* a bare value stands for the first field */
    bool required;  /* cannot be a bare word */
};

static const struct layer_shape SHAPES[] = {
    {SPEC_CONV2D, CONV, SH_COUNT(CONV), false, true},
    {SPEC_MAXPOOL, POOL, SH_COUNT(POOL), true, true},
    {SPEC_AVGPOOL, POOL, SH_COUNT(POOL), true, true},
    {SPEC_RELU, NULL, 0, false, false},
    {SPEC_GELU, NULL, 0, false, false},
    {SPEC_BATCHNORM, BATCHNORM, SH_COUNT(BATCHNORM), false, false},
    {SPEC_DROPOUT, DROPOUT, SH_COUNT(DROPOUT), true, true},
    {SPEC_FLATTEN, NULL, 0, false, false},
    {SPEC_DENSE, DENSE, SH_COUNT(DENSE), true, true},
    {SPEC_ADD, ADD, SH_COUNT(ADD), true, true},
    {SPEC_EMBEDDING, EMBEDDING, SH_COUNT(EMBEDDING), false, true},
    {SPEC_POSITIONS, NULL, 0, false, false},
    {SPEC_LAYERNORM, LAYERNORM, SH_COUNT(LAYERNORM), false, false},
    {SPEC_ATTENTION, ATTENTION, SH_COUNT(ATTENTION), true, true},
};

static const struct layer_shape *shape_of(enum spec_layer_kind kind)
{
    size_t i = 0;
    while (SHAPES[i].kind != kind) {
        i++;
        SH_CHECK_CMP(i, <, SH_COUNT(SHAPES));
    }
    return &SHAPES[i];
}

static void layer_defaults(struct spec_layer *layer, enum spec_layer_kind kind)
{
    *layer = (struct spec_layer){.kind = kind};
    layer->bias = kind == SPEC_CONV2D || kind == SPEC_DENSE || kind == SPEC_ATTENTION;
    layer->causal = kind == SPEC_ATTENTION;
    if (kind == SPEC_CONV2D) {
        layer->stride = 1;
    } else if (kind == SPEC_BATCHNORM) {
        layer->momentum = 0.1;
        layer->epsilon = 1e-5;
    } else if (kind == SPEC_LAYERNORM) {
        layer->epsilon = 1e-5;
    }
}

static void need(struct spec_decode *d, const struct spec_node *node, const char *key, bool given)
{
    size_t mark = spec_decode_enter(d, key, 0);
    if (!given) {
        spec_note(d->errors, node->at, d->path, NULL, "is missing");
    }
    spec_decode_leave(d, mark);
}

static void take_params(struct spec_decode *d, const struct spec_node *params,
                        const struct layer_shape *shape, struct spec_layer *layer)
{
    size_t before = d->errors->count;
    if (params->kind == SPEC_NODE_SCALAR && shape->shorthand) {
        spec_decode_field(d, params, &shape->fields[0], layer);
    } else if (shape->count > 0) {
        spec_decode_map(d, params, shape->fields, shape->count, layer);
    } else if (params->kind != SPEC_NODE_MAP || params->count > 0) {
        spec_decode_wrong(d, params, "takes no parameters: write it as a bare word");
    }
    if (d->errors->count > before) {
        return;
    }
    if (layer->kind == SPEC_CONV2D) {
        need(d, params, "filters", layer->units > 0);
        need(d, params, "kernel", layer->kernel > 0);
    } else if (layer->kind == SPEC_DENSE) {
        need(d, params, "units", layer->units > 0);
    } else if (layer->kind == SPEC_EMBEDDING) {
        need(d, params, "vocab", layer->vocab > 0);
        need(d, params, "width", layer->units > 0);
    } else if (layer->kind == SPEC_ATTENTION) {
        need(d, params, "heads", layer->heads > 0);
    } else if (layer->kind == SPEC_DROPOUT && params->kind == SPEC_NODE_MAP) {
        need(d, params, "rate", spec_tree_member(d->tree, params, "rate") != NULL);
    } else if (layer->kind == SPEC_MAXPOOL || layer->kind == SPEC_AVGPOOL) {
        need(d, params, "kernel", layer->kernel > 0);
        layer->stride = layer->stride > 0 ? layer->stride : layer->kernel;
    }
}

static void note_twin(struct spec_decode *d, const struct spec_node *at, const char *name,
                      const struct spec_model *model)
{
    for (uint32_t i = 0; i < model->layer_count; i++) {
        if (strcmp(model->layers[i].name, name) == 0) {
            spec_decode_wrong(d, at, "layer %u has this name already", i);
        }
    }
}

/* Sets from of an add layer; params is the value of add. */
static void link_add(struct spec_decode *d, const struct spec_node *params,
                     const struct spec_model *model, struct spec_layer *layer)
{
    const struct spec_node *from = params;
    size_t mark = d->path_length;
    if (params->kind == SPEC_NODE_MAP) {
        from = spec_tree_member(d->tree, params, "from");
        if (from == NULL) {
            need(d, params, "from", false);
            return;
        }
        (void)spec_decode_enter(d, "from", 0);
    }
    bool found = false;
    for (uint32_t i = 0; from->kind == SPEC_NODE_SCALAR && i < model->layer_count; i++) {
        if (model->layers[i].name[0] != '\0' && strcmp(model->layers[i].name, from->text) == 0) {
            layer->from = i;
            found = true;
        }
    }
    if (!found && from->kind == SPEC_NODE_SCALAR) {
        spec_decode_wrong(
            d, from, "must be the name of an earlier layer, given as {name: ..., conv2d: ...}");
    }
    spec_decode_leave(d, mark);
}

static void take_name(struct spec_decode *d, const struct spec_node *node,
                      const struct spec_model *model, struct spec_layer *layer)
{
    const struct spec_node *name = spec_tree_member(d->tree, node, "name");
    if (name == NULL) {
        return;
    }
    static const struct spec_field FIELD = {
        .key = "name", .type = SPEC_FIELD_NAME, .offset = offsetof(struct spec_layer, name)};
    size_t mark = spec_decode_enter(d, "name", 0);
    spec_decode_field(d, name, &FIELD, layer);
    if (layer->name[0] != '\0') {
        note_twin(d, name, layer->name, model);
    }
    spec_decode_leave(d, mark);
}

static void take_layer(struct spec_decode *d, const struct spec_node *node,
                       struct spec_model *model)
{
    struct spec_layer *layer = &model->layers[model->layer_count];
    const struct spec_node *params = NULL;
    const struct spec_choice *choice =
        spec_take_word(d, node, SPEC_LAYER_KINDS, "layer", "name", &params);
    layer_defaults(layer, choice != NULL ? (enum spec_layer_kind)choice->value : SPEC_RELU);
    take_name(d, node, model, layer);
    if (layer->kind == SPEC_RESIDUAL) {
        spec_decode_wrong(d, node, "needs layers: {residual: [{dense: 64}, relu]}");
    } else if (choice != NULL) {
        const struct layer_shape *shape = shape_of(layer->kind);
        if (params != NULL) {
            size_t mark = spec_decode_enter(d, params->key, 0);
            take_params(d, params, shape, layer);
            if (layer->kind == SPEC_ADD) {
                link_add(d, params, model, layer);
            }
            spec_decode_leave(d, mark);
        } else if (shape->required) {
            spec_decode_wrong(d, node, "needs parameters: {%s: {%s: ...}}", choice->name,
                              shape->fields[0].key);
        }
    }
    model->layer_count++;
}

/* What stands beside a block: {name: ..., residual: [...]}. The layer that adds has its place in
 * the list behind the block, and its name at once: no layer of the block may take it. */
static void open_block(struct spec_decode *d, const struct spec_node *node)
{
    const struct spec_node *params = NULL;
    const struct spec_choice *choice =
        spec_take_word(d, node, SPEC_LAYER_KINDS, "layer", "name", &params);
    if (choice != NULL && (params->kind != SPEC_NODE_LIST || params->count == 0)) {
        size_t mark = spec_decode_enter(d, "residual", 0);
        spec_decode_wrong(d, params, "must be a list of layers, such as [{dense: 64}, relu]");
        spec_decode_leave(d, mark);
    }
}

static void take_step(struct spec_decode *d, const struct spec_layer_walk *walk,
                      enum spec_layer_step step, uint32_t firsts[SPEC_RESIDUAL_DEPTH_MAX + 2],
                      struct spec_model *model)
{
    size_t mark = spec_layer_walk_enter(walk, d);
    if (step == SPEC_STEP_DEEP) {
        spec_decode_wrong(d, walk->node, "blocks of residual layers are at most %u deep",
                          SPEC_RESIDUAL_DEPTH_MAX);
    } else if (step == SPEC_STEP_OPEN) {
        firsts[walk->depth] = model->layer_count;
        open_block(d, walk->node);
    } else if (model->layer_count == SPEC_LAYERS_MAX) {
        spec_decode_wrong(d, walk->node, "has more than %u layers before it", SPEC_LAYERS_MAX);
    } else if (step == SPEC_STEP_LAYER) {
        take_layer(d, walk->node, model);
    } else {
        struct spec_layer *layer = &model->layers[model->layer_count];
        layer_defaults(layer, SPEC_RESIDUAL);
        layer->from = firsts[walk->depth + 1];
        take_name(d, walk->node, model, layer);
        model->layer_count++;
    }
    spec_decode_leave(d, mark);
}

static void take_layers(struct spec_decode *d, const struct spec_node *node, void *base)
{
    struct spec_model *model = base;
    uint32_t firsts[SPEC_RESIDUAL_DEPTH_MAX + 2] = {0};
    struct spec_layer_walk walk;
    if (node->kind != SPEC_NODE_LIST || node->count == 0) {
        spec_decode_wrong(d, node, "must be a list of layers, such as [flatten, {dense: 10}]");
        return;
    }
    if (node->count > SPEC_LAYERS_MAX) {
        spec_decode_wrong(d, node, "has %u layers; at most %u are allowed", node->count,
                          SPEC_LAYERS_MAX);
        return;
    }
    spec_layer_walk_init(&walk, d->tree, node);
    for (enum spec_layer_step step = spec_layer_walk_next(&walk); step != SPEC_STEP_END;
         step = spec_layer_walk_next(&walk)) {
        take_step(d, &walk, step, firsts, model);
    }
}

static void take_input(struct spec_decode *d, const struct spec_node *node, void *base)
{
    struct spec_model *model = base;
    bool list = node->kind == SPEC_NODE_LIST && (node->count == 1 || node->count == 3);
    if (!list) {
        spec_decode_wrong(d, node,
                          "must be [channels, height, width] for images or [columns] for tables");
        return;
    }
    static const struct spec_field DIM = {
        .key = "", .type = SPEC_FIELD_U32, .low = 1, .high = UNITS_MAX};
    uint32_t i = 0;
    for (uint32_t k = 0; k < SPEC_INPUT_DIMS_MAX; k++) {
        model->input[k] = 1;
    }
    for (const struct spec_node *n = spec_tree_first(d->tree, node); n != NULL;
         n = spec_tree_next(d->tree, n)) {
        size_t mark = spec_decode_enter(d, NULL, i);
        spec_decode_field(d, n, &DIM, &model->input[i]);
        spec_decode_leave(d, mark);
        i++;
    }
    model->input_dims = i;
    if (model->input[0] > SPEC_CHANNELS_MAX) {
        spec_decode_wrong(d, node, "has %u channels or columns; at most %u are allowed",
                          model->input[0], SPEC_CHANNELS_MAX);
    }
}

static const struct spec_field MODEL[] = {
    {.key = "input", .type = SPEC_FIELD_CUSTOM, .take = take_input, .required = true},
    {.key = "layers", .type = SPEC_FIELD_CUSTOM, .take = take_layers, .required = true}};

void spec_take_model(struct spec_decode *d, const struct spec_node *node, void *base)
{
    spec_decode_map(d, node, MODEL, SH_COUNT(MODEL), base);
}
