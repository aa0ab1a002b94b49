/* SPDX-License-Identifier: Apache-2.0
 *
 * Internal to data/: the labels of a CSV file on their way to classes. */
#ifndef KN_DATA_CSV_INTERNAL_H
#define KN_DATA_CSV_INTERNAL_H

#include "kernels/data/csv_cells.h"
#include "kernels/data/dataset_internal.h"

struct kn_csv_label {
    struct kn_csv_cell cell;
    uint32_t line;
    uint32_t row;
};

/* Turns the text labels of set->count rows (reordered here) into set->label and class names: those
 * of the options, or the distinct texts, in numeric order where all are numbers, else in byte
 * order. CORRUPT with line and value for a label that is empty, none of the options' classes, or
 * one too many. */
KN_MUST_USE enum kn_err kn_csv_classify(struct kn_dataset *set, struct kn_csv_label *labels,
                                        const char *name, const struct kn_open *options,
                                        struct kn_diag *diag);

#endif
