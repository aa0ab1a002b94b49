/* SPDX-License-Identifier: Apache-2.0
 *
 * Answers as text.
 *
 * predictions.csv, for people: a line of names, then one a sample in the order of the input:
 *     row,class,probability,class2,probability2,...     classes by falling probability
 *     row,value                                         of a regression, or of a script
 *
 * values, for ensembles: a line with the names of the classes as a JSON list ([]: one number a
 * sample), then one a sample with a number for each class in that order, commas between. */
#ifndef ANSWER_TABLE_H
#define ANSWER_TABLE_H

#include "infer/infer.h"

#include <stdio.h>

#define ANSWER_PREDICTIONS "predictions.csv"
#define ANSWER_VALUES      "values"

/* One cell of a CSV table. */
void answer_put_cell(FILE *out, const char *text);

void answer_table_begin(FILE *out, const struct infer *infer);
/* count samples, the first being number `first`; order has room for infer_outputs() numbers. */
void answer_table_rows(FILE *out, const struct infer *infer, const float *y, uint32_t first,
                       uint32_t count, uint32_t *order);
void answer_values_begin(FILE *out, const struct infer *infer);
void answer_values_rows(FILE *out, const struct infer *infer, const float *y, uint32_t count);

/* The same of plain numbers. */
void answer_table_numbers(FILE *out, const double *values, size_t count);
void answer_values_numbers(FILE *out, const double *values, size_t count);

#endif
