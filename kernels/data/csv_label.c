/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/data/csv_internal.h"

#include <stdlib.h>
#include <string.h>

static int compare_text(const void *left, const void *right)
{
    const struct kn_csv_label *a = left;
    const struct kn_csv_label *b = right;
    size_t size = a->cell.size < b->cell.size ? a->cell.size : b->cell.size;
    int order = memcmp(a->cell.at, b->cell.at, size);
    if (order != 0) {
        return order;
    }
    if (a->cell.size != b->cell.size) {
        return a->cell.size < b->cell.size ? -1 : 1;
    }
    return a->row < b->row ? -1 : (a->row > b->row ? 1 : 0);
}

static int compare_number(const void *left, const void *right)
{
    const struct kn_csv_label *a = left;
    const struct kn_csv_label *b = right;
    float x = 0;
    float y = 0;
    (void)kn_csv_number(&a->cell, &x); /* all labels were found to be numbers before */
    (void)kn_csv_number(&b->cell, &y);
    if (x < y || x > y) {
        return x < y ? -1 : 1;
    }
    return compare_text(left, right);
}

static bool same_text(const struct kn_csv_label *a, const struct kn_csv_label *b)
{
    return a->cell.size == b->cell.size && memcmp(a->cell.at, b->cell.at, a->cell.size) == 0;
}

static enum kn_err label_fail(const struct kn_csv_label *label, const char *problem,
                              const char *name, struct kn_diag *diag)
{
    struct kn_quote quote = kn_quote_make(label->cell.at, label->cell.size);
    return kn_fail(diag, KN_ERR_CORRUPT, "%s:%u: label \"%s\" %s", kn_path_tail(name), label->line,
                   quote.text, problem);
}

/* The class of a label among the options' names, or -1. */
static int32_t given_class(const struct kn_csv_label *label, const struct kn_open *options)
{
    for (uint32_t k = 0; k < options->class_count; k++) {
        if (kn_csv_equal(&label->cell, options->classes[k])) {
            return (int32_t)k;
        }
    }
    return -1;
}

/* labels[i] is the first of a run of equal ones: its class, added to the set where it is new. */
static enum kn_err class_of_run(struct kn_dataset *set, const struct kn_csv_label *label,
                                const char *name, const struct kn_open *options, int32_t *class,
                                struct kn_diag *diag)
{
    char text[KN_CLASS_NAME_BYTES_MAX];
    if (options->classes != NULL) {
        *class = given_class(label, options);
        return *class >= 0 ? KN_OK
                           : label_fail(label, "is none of the classes of the model", name, diag);
    }
    if (options->class_count > 0 && set->class_count == options->class_count) {
        return label_fail(label, "is one class more than the model has outputs", name, diag);
    }
    if (kn_csv_text(&label->cell, text, sizeof text) >= sizeof text) {
        return label_fail(label, "is too long for a class name", name, diag);
    }
    *class = (int32_t)set->class_count;
    return kn_dataset_class_add(set, text, diag);
}

enum kn_err kn_csv_classify(struct kn_dataset *set, struct kn_csv_label *labels, const char *name,
                            const struct kn_open *options, struct kn_diag *diag)
{
    bool numbers = true;
    for (uint32_t i = 0; i < set->count; i++) {
        float number;
        numbers = numbers && kn_csv_number(&labels[i].cell, &number);
        if (labels[i].cell.size == 0) {
            return label_fail(&labels[i], "is empty", name, diag);
        }
        if (memchr(labels[i].cell.at, '\0', labels[i].cell.size) != NULL) {
            return label_fail(&labels[i], "holds a zero byte", name, diag);
        }
    }
    set->label = calloc(set->count, sizeof *set->label);
    if (set->label == NULL) {
        return kn_fail(diag, KN_ERR_MEMORY, "%s: no memory for labels", kn_path_tail(name));
    }
    qsort(labels, set->count, sizeof *labels, numbers ? compare_number : compare_text);
    enum kn_err err = KN_OK;
    int32_t class = -1;
    if (options->classes != NULL) {
        err = kn_dataset_classes(set, options, options->class_count, diag);
    }
    for (uint32_t i = 0; i < set->count && err == KN_OK; i++) {
        if (i == 0 || !same_text(&labels[i - 1], &labels[i])) {
            err = class_of_run(set, &labels[i], name, options, &class, diag);
        }
        set->label[labels[i].row] = class;
    }
    return err;
}
