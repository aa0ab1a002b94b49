/* SPDX-License-Identifier: Apache-2.0
 *
 * The section "data". */
#include "spec/schema.h"
#include "spec/source.h"

static void take_source(struct spec_decode *d, const struct spec_node *node,
                        struct spec_source *out)
{
    const char *right = "must be builtin:NAME, dataset:NAME, or a path";
    if (node->kind == SPEC_NODE_SCALAR) {
        right = spec_source_read(node->text, out);
    }
    if (right != NULL) {
        spec_decode_wrong(d, node, "%s", right);
    }
}

static void take_train_source(struct spec_decode *d, const struct spec_node *node, void *base)
{
    take_source(d, node, &((struct spec_data *)base)->train);
}

static void take_test_source(struct spec_decode *d, const struct spec_node *node, void *base)
{
    take_source(d, node, &((struct spec_data *)base)->test);
}

static void take_validation(struct spec_decode *d, const struct spec_node *node, void *base)
{
    struct spec_data *data = base;
    double fraction = 0;
    if (!spec_scalar_number(node, &fraction)) {
        data->validation_fraction = 0;
        take_source(d, node, &data->validation);
    } else if (fraction < 0 || fraction > 0.5) {
        spec_decode_wrong(d, node, "must be a part of data.train from 0 to 0.5, or a data set");
    } else {
        data->validation_fraction = fraction;
    }
}

static void take_audio(struct spec_decode *d, const struct spec_node *node, void *base)
{
    spec_take_audio(d, node, &((struct spec_data *)base)->reading);
}

static void take_text(struct spec_decode *d, const struct spec_node *node, void *base)
{
    spec_take_text(d, node, &((struct spec_data *)base)->reading);
}

static const struct spec_field DATA[] = {
    {.key = "train", .type = SPEC_FIELD_CUSTOM, .take = take_train_source, .required = true},
    {.key = "validation", .type = SPEC_FIELD_CUSTOM, .take = take_validation},
    {.key = "test", .type = SPEC_FIELD_CUSTOM, .take = take_test_source},
    {.key = "label", .type = SPEC_FIELD_TEXT, .offset = offsetof(struct spec_data, label)},
    {.key = "normalize",
     .type = SPEC_FIELD_CHOICE,
     .offset = offsetof(struct spec_data, normalize),
     .choices = SPEC_NORMALIZES},
    {.key = "audio", .type = SPEC_FIELD_CUSTOM, .take = take_audio},
    {.key = "text", .type = SPEC_FIELD_CUSTOM, .take = take_text}};

void spec_data_defaults(struct spec_data *data)
{
    *data = (struct spec_data){.validation_fraction = 0.1, .normalize = SPEC_NORMALIZE_STANDARD};
}

void spec_take_data(struct spec_decode *d, const struct spec_node *node, void *base)
{
    spec_decode_map(d, node, DATA, SH_COUNT(DATA), base);
}
