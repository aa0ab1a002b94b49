/* SPDX-License-Identifier: Apache-2.0
 *
 * sweep. */
#include "cli/context.h"
#include "cli/format.h"
#include "cli/table.h"

#include "spec/sweep.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* "train.seed=1 train.optimizer.sgd.lr=0.1" */
static void put_values(struct cli_table *t, const json_t *values)
{
    char text[SPEC_PARAMS_MAX];
    size_t used = 0;
    const char *name = NULL;
    json_t *value = NULL;
    text[0] = '\0';
    json_object_foreach((json_t *)(uintptr_t)values, name, value)
    {
        char *one =
            json_is_string(value) ? NULL : json_dumps(value, SPEC_JSON_PRINT | JSON_ENCODE_ANY);
        int n = snprintf(text + used, sizeof text - used, "%s%s=%s", used > 0 ? " " : "", name,
                         one != NULL ? one : json_string_value(value));
        used = n > 0 && used + (size_t)n < sizeof text ? used + (size_t)n : used;
        free(one);
    }
    cli_table_put(t, used > 0 ? text : "(waits for earlier units)");
}

static void put_unit(struct cli_table *t, const json_t *unit, bool best)
{
    char text[CLI_FORMAT_BYTES + 16];
    (void)snprintf(text, sizeof text, "%s%lld", best ? "* " : "", cli_integer(unit, "unit"));
    cli_table_put(t, text);
    cli_table_put(t, cli_text(unit, "state"));
    cli_format_number(cli_real(unit, "score"), text);
    cli_table_put(t, text);
    if (json_object_get(unit, "model_version") != NULL) {
        (void)snprintf(text, sizeof text, "%lld", cli_integer(unit, "model_version"));
        cli_table_put(t, text);
    } else {
        cli_table_put(t, "-");
    }
    put_values(t, json_object_get(unit, "values"));
}

/* The units in the order they are shown: as they are numbered, or the best first. */
static size_t order(const json_t *units, bool ranked, bool largest, const json_t **out)
{
    size_t count = json_array_size(units);
    for (size_t i = 0; i < count; i++) {
        const json_t *unit = json_array_get(units, i);
        double score = cli_real(unit, "score");
        size_t at = i;
        while (ranked && at > 0 && !isnan(score)) {
            double before = cli_real(out[at - 1], "score");
            if (!isnan(before) && (largest ? before >= score : before <= score)) {
                break;
            }
            out[at] = out[at - 1];
            at--;
        }
        out[at] = unit;
    }
    return count;
}

static int print_sweep(struct cli *c, const json_t *sweep, uint64_t top)
{
    static const char *const NAMES[] = {">UNIT", "STATE", ">SCORE", ">MODEL", "VALUES", NULL};
    const json_t *units = json_object_get(sweep, "units");
    const json_t *best = json_object_get(sweep, "best");
    bool largest = strcmp(cli_text(sweep, "goal"), "max") == 0;
    const json_t **shown = calloc(json_array_size(units) + 1, sizeof *shown);
    struct cli_table t;
    if (shown == NULL) {
        return cli_fail(c, CLI_INTERNAL, "NO_MEMORY", "no memory");
    }
    size_t count = order(units, top > 0, largest, shown);
    (void)fprintf(c->out, "job %lld %s is %s; the %s %s is best\n", cli_integer(sweep, "job"),
                  cli_text(sweep, "name"), cli_text(sweep, "state"), largest ? "largest" : "least",
                  cli_text(sweep, "metric"));
    cli_table_init(&t, NAMES);
    for (size_t i = 0; i < count && (top == 0 || i < top); i++) {
        put_unit(&t, shown[i],
                 json_is_integer(best) &&
                     json_integer_value(best) == cli_integer(shown[i], "unit"));
    }
    cli_table_print(&t, c->out);
    free(shown);
    return CLI_OK;
}

int cli_run_sweep(struct cli *c)
{
    uint64_t top = 0;
    int status = CLI_OK;
    if (!cli_number(c, "--top", 1, SPEC_SWEEP_UNITS_MAX, 0, &top)) {
        return CLI_USAGE;
    }
    json_t *sweep = cli_get(c, "/jobs/", c->args[0], "/sweep", &status);
    if (sweep == NULL) {
        return status;
    }
    if (c->json) {
        return cli_print_json(c, sweep);
    }
    status = print_sweep(c, sweep, top);
    json_decref(sweep);
    return status;
}
