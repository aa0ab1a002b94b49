/* SPDX-License-Identifier: Apache-2.0 */
#include "answer/table.h"

#include "spec/json.h"

#include <stdlib.h>
#include <string.h>

/* 9 significant digits give every float back, 17 every double. */
#define FLOAT_FORMAT  "%.9g"
#define DOUBLE_FORMAT "%.17g"

void answer_put_cell(FILE *out, const char *text)
{
    if (strpbrk(text, ",\"\r\n") == NULL) {
        (void)fputs(text, out);
        return;
    }
    (void)fputc('"', out);
    for (; *text != '\0'; text++) {
        (void)fputs(*text == '"' ? "\"\"" : (const char[2]){*text, '\0'}, out);
    }
    (void)fputc('"', out);
}

void answer_table_begin(FILE *out, const struct infer *infer)
{
    if (!infer_classifies(infer)) {
        (void)fputs("row,value\n", out);
        return;
    }
    (void)fputs("row,class,probability", out);
    for (uint32_t i = 2; i <= infer_outputs(infer); i++) {
        (void)fprintf(out, ",class%u,probability%u", i, i);
    }
    (void)fputc('\n', out);
}

void answer_table_rows(FILE *out, const struct infer *infer, const float *y, uint32_t first,
                       uint32_t count, uint32_t *order)
{
    uint32_t width = infer_outputs(infer);
    for (uint32_t i = 0; i < count; i++) {
        const float *row = y + (size_t)i * width;
        (void)fprintf(out, "%u", first + i);
        if (!infer_classifies(infer)) {
            (void)fprintf(out, "," FLOAT_FORMAT, (double)row[0]);
        } else {
            infer_order(row, width, order);
        }
        for (uint32_t k = 0; infer_classifies(infer) && k < width; k++) {
            (void)fputc(',', out);
            answer_put_cell(out, infer_class(infer, order[k]));
            (void)fprintf(out, "," FLOAT_FORMAT, (double)row[order[k]]);
        }
        (void)fputc('\n', out);
    }
}

void answer_values_begin(FILE *out, const struct infer *infer)
{
    json_t *names = json_array();
    for (uint32_t i = 0; infer_classifies(infer) && i < infer_outputs(infer); i++) {
        (void)json_array_append_new(names, json_string(infer_class(infer, i)));
    }
    char *text = json_dumps(names, JSON_COMPACT);
    (void)fprintf(out, "%s\n", text != NULL ? text : "");
    free(text);
    json_decref(names);
}

void answer_values_rows(FILE *out, const struct infer *infer, const float *y, uint32_t count)
{
    uint32_t width = infer_outputs(infer);
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t k = 0; k < width; k++) {
            (void)fprintf(out, "%s" FLOAT_FORMAT, k > 0 ? "," : "",
                          (double)y[(size_t)i * width + k]);
        }
        (void)fputc('\n', out);
    }
}

void answer_table_numbers(FILE *out, const double *values, size_t count)
{
    (void)fputs("row,value\n", out);
    for (size_t i = 0; i < count; i++) {
        (void)fprintf(out, "%zu," DOUBLE_FORMAT "\n", i, values[i]);
    }
}

void answer_values_numbers(FILE *out, const double *values, size_t count)
{
    (void)fputs("[]\n", out);
    for (size_t i = 0; i < count; i++) {
        (void)fprintf(out, DOUBLE_FORMAT "\n", values[i]);
    }
}
