/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/graph.h"
#include "spec/json.h"

static json_t *shape_json(const struct kn_shape *shape)
{
    json_t *out = json_array();
    for (uint32_t i = 0; i < shape->rank; i++) {
        (void)json_array_append_new(out, json_integer(shape->dim[i]));
    }
    return out;
}

json_t *spec_json_table(const struct spec_table *table)
{
    json_t *rows = json_array();
    for (uint32_t i = 0; i < table->count; i++) {
        const struct spec_layer_row *r = &table->rows[i];
        (void)json_array_append_new(rows,
                                    json_pack("{s:s, s:s, s:o, s:I, s:I}", "name", r->name, "kind",
                                              r->kind, "output", shape_json(&r->output), "params",
                                              (json_int_t)r->params, "macs", (json_int_t)r->macs));
    }
    return json_pack("{s:o, s:o, s:I, s:I, s:I, s:I}", "layers", rows, "input",
                     shape_json(&table->input), "params", (json_int_t)table->params, "macs",
                     (json_int_t)table->macs, "bytes_shared", (json_int_t)table->bytes_shared,
                     "bytes_rank", (json_int_t)table->bytes_rank);
}
