/* SPDX-License-Identifier: Apache-2.0
 *
 * What `shoal watch` and `shoal demo` know of one job from its event stream, as one line and as
 * plots. Feed it every event; it keeps a bounded number of points (every other one is dropped when
 * full). */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define CLI_PROGRESS_POINTS 4096u
#define CLI_PROGRESS_LINE   256u

struct cli_points {
    size_t count;
    uint64_t every; /* only steps that are multiples of this are kept */
    double x[CLI_PROGRESS_POINTS];
    double y[CLI_PROGRESS_POINTS];
};

struct cli_progress {
    uint32_t epochs; /* of the job; 0: not known */
    int percent;     /* of the job, as the cluster tells it; -1: not known */
    uint64_t step;
    double epoch;
    double loss;
    double accuracy;
    double val_loss;
    double val_accuracy;
    double test_accuracy;
    double samples_per_s;
    double agents;
    char state[16];
    char leader[64];   /* set by the owner; empty: not shown */
    uint64_t first_us; /* of the first point of epoch, and what it was: the rate for the ETA */
    double first_epoch;
    uint64_t last_us;
    struct cli_points loss_points;
    struct cli_points accuracy_points;
    struct cli_points val_loss_points;
    struct cli_points val_accuracy_points;
};

/* Some 260 KiB: keep it off stacks. */
void cli_progress_init(struct cli_progress *p, uint32_t epochs);
/* One event of GET /jobs/{job}/events: type and JSON. Others than "metric" and "state" do nothing.
 */
void cli_progress_event(struct cli_progress *p, const char *type, const char *data);
/* "42 %  epoch 3/8  step 120  loss 0.1234  accuracy 95.10 %  41.2k samples/s  3 agents  leader x
 * ETA 12s" */
void cli_progress_line(const struct cli_progress *p, char out[static CLI_PROGRESS_LINE]);
/* Loss and accuracy, training and validation, one above the other. */
void cli_progress_plots(const struct cli_progress *p, FILE *out, unsigned columns, unsigned rows);

#endif
