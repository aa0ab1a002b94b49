/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/progress.h"

#include "base/check.h"
#include "cli/context.h"
#include "cli/format.h"
#include "cli/plot.h"
#include "metrics.h"

#include <math.h>
#include <string.h>

void cli_progress_init(struct cli_progress *p, uint32_t epochs)
{
    memset(p, 0, sizeof *p);
    p->epochs = epochs;
    p->percent = -1;
    p->epoch = (double)NAN;
    p->loss = (double)NAN;
    p->accuracy = (double)NAN;
    p->val_loss = (double)NAN;
    p->val_accuracy = (double)NAN;
    p->test_accuracy = (double)NAN;
    p->samples_per_s = (double)NAN;
    p->agents = (double)NAN;
    p->loss_points.every = 1;
    p->accuracy_points.every = 1;
    p->val_loss_points.every = 1;
    p->val_accuracy_points.every = 1;
}

/* A step that is redone (after a rescale, from a checkpoint) takes the place of what it said
 * before. */
static void add_point(struct cli_points *points, uint64_t step, double value)
{
    while (points->count > 0 && points->x[points->count - 1] >= (double)step) {
        points->count--;
    }
    if (points->count == CLI_PROGRESS_POINTS) {
        points->every *= 2;
        size_t kept = 0;
        for (size_t i = 0; i < points->count; i += 2) {
            points->x[kept] = points->x[i];
            points->y[kept] = points->y[i];
            kept++;
        }
        points->count = kept;
    }
    if (points->every == 1 || step % points->every == 0) {
        points->x[points->count] = (double)step;
        points->y[points->count] = value;
        points->count++;
    }
}

static void take_epoch(struct cli_progress *p, double value, uint64_t at_us)
{
    p->epoch = value;
    p->last_us = at_us;
    if (p->first_us == 0) {
        p->first_us = at_us;
        p->first_epoch = value;
    }
}

static void take_metric(struct cli_progress *p, const json_t *event)
{
    const char *name = cli_text(event, "name");
    double value = cli_real(event, "value");
    uint64_t step = (uint64_t)cli_integer(event, "step");
    if (strcmp(name, METRIC_LOSS) == 0) {
        p->loss = value;
        p->step = step;
        add_point(&p->loss_points, step, value);
    } else if (strcmp(name, METRIC_ACCURACY) == 0) {
        p->accuracy = value;
        add_point(&p->accuracy_points, step, value);
    } else if (strcmp(name, METRIC_VAL_LOSS) == 0) {
        p->val_loss = value;
        add_point(&p->val_loss_points, step, value);
    } else if (strcmp(name, METRIC_VAL_ACCURACY) == 0) {
        p->val_accuracy = value;
        add_point(&p->val_accuracy_points, step, value);
    } else if (strcmp(name, METRIC_TEST_ACCURACY) == 0) {
        p->test_accuracy = value;
    } else if (strcmp(name, METRIC_EPOCH) == 0) {
        take_epoch(p, value, (uint64_t)cli_integer(event, "at_us"));
    } else if (strcmp(name, METRIC_SPEED) == 0) {
        p->samples_per_s = value;
    } else if (strcmp(name, METRIC_AGENTS) == 0) {
        p->agents = value;
    }
}

void cli_progress_event(struct cli_progress *p, const char *type, const char *data)
{
    json_t *event = json_loads(data, JSON_REJECT_DUPLICATES, NULL);
    if (strcmp(type, "metric") == 0) {
        take_metric(p, event);
    } else if (strcmp(type, "state") == 0) {
        (void)snprintf(p->state, sizeof p->state, "%s", cli_text(event, "state"));
        const json_t *percent = json_object_get(event, "percent");
        p->percent = json_is_integer(percent) ? (int)json_integer_value(percent) : p->percent;
    }
    json_decref(event);
}

/* Time left at the mean rate since the first point; false where there is none to tell. */
static bool time_left(const struct cli_progress *p, uint64_t *us)
{
    double done = p->epoch - p->first_epoch;
    if (p->epochs == 0 || !(done > 0) || p->last_us <= p->first_us) {
        return false;
    }
    double left = (double)p->epochs - p->epoch;
    *us = left > 0 ? (uint64_t)(left / done * (double)(p->last_us - p->first_us)) : 0;
    return true;
}

struct line {
    char *at;
    size_t left;
};

static void put(struct line *l, const char *label, const char *text, const char *unit)
{
    int n = snprintf(l->at, l->left, "  %s%s%s", label, text, unit);
    if (n > 0 && (size_t)n < l->left) {
        l->at += n;
        l->left -= (size_t)n;
    }
}

void cli_progress_line(const struct cli_progress *p, char out[static CLI_PROGRESS_LINE])
{
    char text[CLI_FORMAT_BYTES];
    struct line l = {.at = out, .left = CLI_PROGRESS_LINE};
    char percent[16] = "";
    if (p->percent >= 0) {
        (void)snprintf(percent, sizeof percent, "%d %%  ", p->percent);
    }
    if (isnan(p->loss)) {
        (void)snprintf(out, CLI_PROGRESS_LINE, "%s%s", percent, p->state);
        return;
    }
    int n = snprintf(out, l.left, "%sepoch %.2f/%u", percent, isnan(p->epoch) ? 0 : p->epoch,
                     p->epochs);
    SH_CHECK(n > 0);
    l.at += n;
    l.left -= (size_t)n;
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)p->step);
    put(&l, "step ", text, "");
    cli_format_number(p->loss, text);
    put(&l, "loss ", text, "");
    if (!isnan(p->accuracy)) {
        cli_format_percent(p->accuracy, text);
        put(&l, "accuracy ", text, "");
    }
    if (!isnan(p->val_accuracy)) {
        cli_format_percent(p->val_accuracy, text);
        put(&l, "validation ", text, "");
    }
    if (!isnan(p->samples_per_s)) {
        cli_format_count(p->samples_per_s, text);
        put(&l, "", text, " samples/s");
    }
    if (!isnan(p->agents)) {
        cli_format_count(p->agents, text);
        put(&l, "", text, " agents");
    }
    if (p->leader[0] != '\0') {
        put(&l, "leader ", p->leader, "");
    }
    uint64_t us = 0;
    if (time_left(p, &us)) {
        cli_format_duration(us, text);
        put(&l, "ETA ", text, "");
    }
}

void cli_progress_plots(const struct cli_progress *p, FILE *out, unsigned columns, unsigned rows)
{
    unsigned width = columns > CLI_PLOT_LABEL + 20 ? columns - CLI_PLOT_LABEL - 1 : 20;
    struct cli_curve loss[2] = {
        {p->loss_points.x, p->loss_points.y, p->loss_points.count},
        {p->val_loss_points.x, p->val_loss_points.y, p->val_loss_points.count}};
    struct cli_curve accuracy[2] = {
        {p->accuracy_points.x, p->accuracy_points.y, p->accuracy_points.count},
        {p->val_accuracy_points.x, p->val_accuracy_points.y, p->val_accuracy_points.count}};
    cli_plot_draw(out, "loss (training, validation) by step", loss, 2, width, rows);
    if (isnan(p->loss) || !isnan(p->accuracy)) { /* where a number is predicted there is none */
        cli_plot_draw(out, "accuracy (training, validation) by step", accuracy, 2, width, rows);
    }
}
