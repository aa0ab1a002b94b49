/* SPDX-License-Identifier: Apache-2.0
 *
 * Scores what it reads, for tests that compare with another computation:
 *
 *   metrics results FILE generic|cargo2000 fixed|conductor   the 14 metrics of a results.csv
 *   metrics classes FILE K BETA      lines "truth said"; figures of two classes (the second is the
 *                                    positive one) for K = 2, macro and micro figures otherwise
 *   metrics numbers FILE             lines "truth said"; figures of regression
 *
 * Prints "NAME VALUE" lines with all digits; a figure without a value is "none". Exit status 1 and
 * one line on stderr where the input is refused. */
#include "kernels/score/number.h"
#include "kernels/score/results.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BYTES_MAX = 1 << 26, PAIRS_MAX = 1 << 20, USAGE = 2 };

struct pairs {
    double truth[PAIRS_MAX];
    double said[PAIRS_MAX];
    size_t count;
};

static uint8_t text[BYTES_MAX];
static struct pairs pairs;

static void print(const char *prefix, const char *name, double value)
{
    if (isnan(value) != 0) {
        printf("%s%s none\n", prefix, name);
    } else {
        printf("%s%s %.17g\n", prefix, name, value);
    }
}

static int refuse(const struct kn_diag *diag)
{
    fprintf(stderr, "%s\n", diag->text);
    return 1;
}

static size_t read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    KN_CHECK(file != NULL);
    const size_t size = fread(text, 1, sizeof text, file);
    KN_CHECK(size < sizeof text);
    KN_CHECK(ferror(file) == 0);
    KN_CHECK(fclose(file) == 0);
    return size;
}

static void read_pairs(const char *path)
{
    char *at = (char *)text;
    text[read_file(path)] = '\0';
    while (*at != '\0') {
        const size_t first = strcspn(at, " ");
        const size_t line = strcspn(at, "\n");
        KN_CHECK(first < line && pairs.count < PAIRS_MAX);
        KN_CHECK(kn_number_parse(at, first, &pairs.truth[pairs.count]));
        KN_CHECK(kn_number_parse(at + first + 1, line - first - 1, &pairs.said[pairs.count]));
        pairs.count++;
        at += line + (at[line] == '\n' ? 1 : 0);
    }
}

static int score_results(const char *path, const char *bucketing, const char *compat)
{
    struct kn_results r;
    struct kn_bucketed b;
    struct kn_diag diag;
    const bool cargo = strcmp(bucketing, "cargo2000") == 0;
    const bool conductor = strcmp(compat, "conductor") == 0;
    if (kn_results_decode(&r, text, read_file(path), "results.csv", &diag) != KN_OK) {
        return refuse(&diag);
    }
    enum kn_err err =
        kn_results_score(&r, cargo ? KN_BUCKETING_CARGO2000 : KN_BUCKETING_GENERIC,
                         conductor ? KN_COMPAT_CONDUCTOR : KN_COMPAT_FIXED, 1.0, &b, &diag);
    kn_results_close(&r);
    if (err != KN_OK) {
        return refuse(&diag);
    }
    for (int m = 0; m < KN_METRICS; m++) {
        print("", kn_metric_name((enum kn_metric)m), b.mean[m]);
    }
    return 0;
}

static void print_classes(const char *prefix, const struct kn_class_scores *s)
{
    print(prefix, "accuracy", s->accuracy);
    print(prefix, "precision", s->precision);
    print(prefix, "recall", s->recall);
    print(prefix, "f", s->f);
    print(prefix, "specificity", s->specificity);
    print(prefix, "npv", s->npv);
    print(prefix, "fpr", s->fpr);
    print(prefix, "mcc", s->mcc);
}

static int score_classes(const char *path, uint32_t classes, double beta)
{
    static uint32_t truth[PAIRS_MAX];
    static uint32_t said[PAIRS_MAX];
    uint64_t *cell = calloc((size_t)classes * classes, sizeof *cell);
    const struct kn_confusion c = {.cell = cell, .classes = classes};
    struct kn_multi_scores multi;
    struct kn_class_scores two;
    struct kn_diag diag;
    KN_CHECK(cell != NULL);
    read_pairs(path);
    for (size_t i = 0; i < pairs.count; i++) {
        truth[i] = (uint32_t)pairs.truth[i];
        said[i] = (uint32_t)pairs.said[i];
    }
    enum kn_err err = kn_confusion_add(&c, truth, said, pairs.count, &diag);
    if (err == KN_OK) {
        err = kn_confusion_scores(&c, beta, &multi, &diag);
    }
    if (err == KN_OK && classes == 2) {
        const struct kn_binary b = kn_confusion_binary(&c, 1);
        err = kn_binary_scores(&b, beta, &two, &diag);
    }
    free(cell);
    if (err != KN_OK) {
        return refuse(&diag);
    }
    if (classes == 2) {
        print_classes("", &two);
        return 0;
    }
    print("", "accuracy", multi.accuracy);
    print("", "mcc", multi.mcc);
    print_classes("macro-", &multi.macro);
    print_classes("micro-", &multi.micro);
    return 0;
}

static int score_numbers(const char *path)
{
    struct kn_regression r;
    struct kn_diag diag;
    read_pairs(path);
    if (kn_regression_scores(pairs.truth, pairs.said, pairs.count, &r, &diag) != KN_OK) {
        return refuse(&diag);
    }
    print("", "mae", r.mae);
    print("", "mse", r.mse);
    print("", "rmse", r.rmse);
    print("", "rae", r.rae);
    print("", "rse", r.rse);
    print("", "rrse", r.rrse);
    return 0;
}

int main(int argc, char **argv)
{
    double beta = 0;
    int64_t classes = 0;
    if (argc == 5 && strcmp(argv[1], "results") == 0) {
        return score_results(argv[2], argv[3], argv[4]);
    }
    if (argc == 5 && strcmp(argv[1], "classes") == 0 &&
        kn_integer_parse(argv[3], strlen(argv[3]), 2, KN_SCORE_CLASSES_MAX, &classes) &&
        kn_number_parse(argv[4], strlen(argv[4]), &beta)) {
        return score_classes(argv[2], (uint32_t)classes, beta);
    }
    if (argc == 3 && strcmp(argv[1], "numbers") == 0) {
        return score_numbers(argv[2]);
    }
    fprintf(stderr, "usage: metrics results|classes|numbers FILE ...\n");
    return USAGE;
}
