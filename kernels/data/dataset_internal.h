/* SPDX-License-Identifier: Apache-2.0
 *
 * Building data sets: for the loaders of data/ only. */
#ifndef KN_DATA_DATASET_INTERNAL_H
#define KN_DATA_DATASET_INTERNAL_H

#include "kernels/data/data.h"

/* Prepares a zero set for `count` samples of a shape: samples (zero), mean 0, deviation 1. LIMIT,
 * MEMORY. On any error the caller closes the set. */
KN_MUST_USE enum kn_err kn_dataset_prepare(struct kn_dataset *set, enum kn_sample kind,
                                           const uint32_t shape[3], uint32_t count,
                                           const char *name, struct kn_diag *diag);
/* True when the options ask for no shape or for this one; else CORRUPT with both in the text. */
KN_MUST_USE enum kn_err kn_dataset_shape_verify(const uint32_t shape[3],
                                                const struct kn_open *options, const char *name,
                                                struct kn_diag *diag);
/* Appends a class name (copied). LIMIT, MEMORY. */
KN_MUST_USE enum kn_err kn_dataset_class_add(struct kn_dataset *set, const char *name,
                                             struct kn_diag *diag);
/* The number of the class of that name: among the set's, else a new one. CORRUPT: the options name
 * the classes and it is none of them, or have no room for one more; `name` is of the file. LIMIT,
 * MEMORY. Cost O(classes). */
KN_MUST_USE enum kn_err kn_dataset_class_find(struct kn_dataset *set, const char *class_name,
                                              const char *name, const struct kn_open *options,
                                              int32_t *class, struct kn_diag *diag);
/* Class names from the options: options->classes, or "0", "1", ... up to class_count. */
KN_MUST_USE enum kn_err kn_dataset_classes(struct kn_dataset *set, const struct kn_open *options,
                                           uint32_t class_count, struct kn_diag *diag);

/* `text` for a message: at most 40 bytes, unprintable ones as '?', "..." where it was cut. */
struct kn_quote {
    char text[44];
};
struct kn_quote kn_quote_make(const char *text, size_t size);
/* The last 80 bytes of a path, for a message. */
const char *kn_path_tail(const char *path);

#endif
