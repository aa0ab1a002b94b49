/* SPDX-License-Identifier: Apache-2.0 */
#include "rounds/record.h"

#include "base/text.h"
#include "kernels/agg/client.h"
#include "spec/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void rounds_measures_begin(struct rounds_measures *m)
{
    *m = (struct rounds_measures){.samples = 0};
}

void rounds_measures_add(struct rounds_measures *m, const struct rounds_figures *f)
{
    m->samples += f->samples;
    if (isfinite(f->train_loss) != 0) {
        m->trained += f->samples;
        m->train_loss += f->train_loss * (double)f->samples;
    }
    m->val_loss += f->val_loss;
    m->val_correct += f->val_correct;
    m->val_total += f->val_total;
    m->test_loss += f->test_loss;
    m->test_correct += f->test_correct;
    m->test_total += f->test_total;
}

static double mean(double sum, uint64_t count)
{
    return count > 0 ? sum / (double)count : (double)NAN;
}

void rounds_measures_end(struct rounds_measures *m)
{
    m->train_loss = mean(m->train_loss, m->trained);
    m->val_loss = mean(m->val_loss, m->val_total);
    m->test_loss = mean(m->test_loss, m->test_total);
}

static void put_number(json_t *out, const char *key, double value)
{
    if (isfinite(value) != 0) {
        (void)json_object_set_new(out, key, json_real(value));
    }
}

static void put_count(json_t *out, const char *key, uint64_t value)
{
    (void)json_object_set_new(out, key, json_integer((json_int_t)value));
}

static void put_measured(json_t *out, const char *loss_key, const char *correct_key,
                         const char *total_key, double loss, uint64_t correct, uint64_t total)
{
    if (total > 0) {
        put_number(out, loss_key, loss);
        put_count(out, correct_key, correct);
        put_count(out, total_key, total);
    }
}

static json_t *row_json(const struct rounds_row *row)
{
    const struct rounds_figures *f = row->figures;
    json_t *out = json_pack("{s:s, s:s}", "agent", row->name, "part", fed_part_text(row->part));
    if (out == NULL) {
        return json_null();
    }
    if (row->why[0] != '\0') {
        char why[ROUNDS_TEXT_MAX + 1]; /* part of it is another agent's */
        (void)sh_text_copy(why, sizeof why, row->why);
        (void)json_object_set_new(out, "why", json_string(why));
    }
    if (row->counts) {
        put_number(out, "weight", (double)row->weight / KN_CLIENT_WEIGHT_UNIT);
        if (row->stale > 0) {
            put_count(out, "stale", row->stale);
        }
    }
    if (f != NULL) {
        put_count(out, "samples", f->samples);
        put_count(out, "steps", f->steps);
        put_count(out, "ms", f->took_us / 1000);
        put_number(out, "train_loss", f->train_loss);
        put_measured(out, "val_loss", "val_correct", "val_total", mean(f->val_loss, f->val_total),
                     f->val_correct, f->val_total);
        put_measured(out, "test_loss", "test_correct", "test_total",
                     mean(f->test_loss, f->test_total), f->test_correct, f->test_total);
    }
    return out;
}

char *rounds_record_line(const struct rounds_record *record, const struct rounds_measures *measures,
                         const struct rounds_row *rows, uint32_t count)
{
    json_t *members = json_array();
    uint32_t updates = 0;
    for (uint32_t i = 0; i < count; i++) {
        updates += rows[i].counts ? 1 : 0;
        (void)json_array_append_new(members, row_json(&rows[i]));
    }
    json_t *out =
        json_pack("{s:I, s:s, s:i, s:i, s:I, s:o, s:o}", "round", (json_int_t)record->round + 1,
                  "outcome", fed_outcome_name(record->outcome), "cohort", (int)record->cohort,
                  "updates", (int)updates, "ms", (json_int_t)(record->took_us / 1000), "model",
                  spec_json_hex(record->model, sizeof record->model), "members", members);
    if (out == NULL) {
        return NULL;
    }
    put_number(out, "epsilon", record->epsilon);
    put_count(out, "samples", measures->samples);
    put_number(out, "train_loss", measures->train_loss);
    put_measured(out, "val_loss", "val_correct", "val_total", measures->val_loss,
                 measures->val_correct, measures->val_total);
    put_measured(out, "test_loss", "test_correct", "test_total", measures->test_loss,
                 measures->test_correct, measures->test_total);
    char *text = json_dumps(out, SPEC_JSON_PRINT);
    json_decref(out);
    size_t n = text != NULL ? strlen(text) : 0;
    char *line = text != NULL ? realloc(text, n + 2) : NULL;
    if (line == NULL) {
        free(text);
        return NULL;
    }
    line[n] = '\n';
    line[n + 1] = '\0';
    return line;
}
