/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/sweep.h"

#include "base/host/host.h"
#include "kernels/math.h"
#include "kernels/philox.h"
#include "spec/sweep_parts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PURPOSE UINT64_C(0x7377656570) /* "sweep": parts its draws from all others of the seed */

/* ---- stages ---- */

static uint64_t power(uint64_t base, uint32_t exponent)
{
    uint64_t result = 1;
    for (uint32_t i = 0; i < exponent; i++) {
        result *= base; /* at most max_resource */
    }
    return result;
}

/* s_max: the largest exponent with eta^s <= R. */
static uint32_t brackets_of(const struct spec_sweep *sweep)
{
    uint32_t most = 0;
    uint64_t reach = sweep->eta;
    while (reach <= sweep->max_resource) {
        reach *= sweep->eta;
        most++;
    }
    return most;
}

static uint32_t hyperband_stages(const struct spec_sweep *sweep, struct spec_stage *out)
{
    uint32_t most = brackets_of(sweep);
    uint32_t count = 0;
    uint64_t first = 0;
    for (uint32_t b = 0; b <= most; b++) {
        uint32_t s = most - b;
        uint64_t draws = ((most + 1) * power(sweep->eta, s) + s) / (s + 1); /* rounded up */
        for (uint32_t i = 0; i <= s; i++) {
            uint64_t units = draws / power(sweep->eta, i);
            if (count == SPEC_STAGES_MAX || first + units > SPEC_SWEEP_UNITS_MAX) {
                return 0;
            }
            out[count++] = (struct spec_stage){
                .first = (uint32_t)first,
                .count = (uint32_t)units,
                .resource = (uint32_t)(sweep->max_resource / power(sweep->eta, s - i)),
                .after = i > 0};
            first += units;
        }
    }
    return count;
}

static uint64_t combinations(const struct spec_sweep *sweep)
{
    uint64_t count = 1;
    for (uint32_t i = 0; i < sweep->parameter_count && count <= SPEC_SWEEP_UNITS_MAX; i++) {
        count *= sweep->parameters[i].value_count;
    }
    return count;
}

uint32_t spec_sweep_stages(const struct spec_sweep *sweep,
                           struct spec_stage out[static SPEC_STAGES_MAX])
{
    uint64_t units = sweep->trials;
    switch (sweep->method) {
    case SPEC_SWEEP_NONE:
        return 0;
    case SPEC_SWEEP_HYPERBAND:
        return hyperband_stages(sweep, out);
    case SPEC_SWEEP_GRID:
        units = combinations(sweep);
        break;
    case SPEC_SWEEP_RANDOM:
        break;
    }
    if (units == 0 || units > SPEC_SWEEP_UNITS_MAX) {
        return 0;
    }
    out[0] = (struct spec_stage){.count = (uint32_t)units};
    return 1;
}

uint32_t spec_sweep_units(const struct spec_sweep *sweep)
{
    struct spec_stage stages[SPEC_STAGES_MAX];
    uint32_t count = spec_sweep_stages(sweep, stages);
    return count == 0 ? 0 : stages[count - 1].first + stages[count - 1].count;
}

/* ---- who is the best ---- */

static bool is_better(const struct spec_sweep *sweep, const struct spec_score *a,
                      const struct spec_score *b)
{
    if (!a->known || !b->known) {
        return a->known && !b->known;
    }
    return sweep->goal == SPEC_GOAL_MAX ? a->value > b->value : a->value < b->value;
}

uint32_t spec_sweep_best(const struct spec_sweep *sweep, const struct spec_score *scores,
                         uint32_t count)
{
    uint32_t best = UINT32_MAX;
    for (uint32_t i = 0; i < count; i++) {
        if (scores[i].known &&
            (best == UINT32_MAX || is_better(sweep, &scores[i], &scores[best]))) {
            best = i;
        }
    }
    return best;
}

/* The origins of a stage from those of the one before it, best first. */
static void promote(const struct spec_sweep *sweep, const struct spec_score *scores,
                    const struct spec_stage *from, const struct spec_stage *to, uint32_t *origins)
{
    bool taken[SPEC_SWEEP_UNITS_MAX] = {false};
    SH_CHECK_CMP(to->count, <=, from->count);
    for (uint32_t k = 0; k < to->count; k++) {
        uint32_t best = UINT32_MAX;
        for (uint32_t i = 0; i < from->count; i++) {
            const struct spec_score *score = &scores[from->first + i];
            if (!taken[i] &&
                (best == UINT32_MAX || is_better(sweep, score, &scores[from->first + best]))) {
                best = i;
            }
        }
        taken[best] = true;
        origins[to->first + k] = origins[from->first + best];
    }
}

void spec_sweep_origins(const struct spec_sweep *sweep, const struct spec_score *scores,
                        const bool ended[static SPEC_STAGES_MAX], uint32_t *origins)
{
    struct spec_stage stages[SPEC_STAGES_MAX];
    uint32_t count = spec_sweep_stages(sweep, stages);
    for (uint32_t s = 0; s < count; s++) {
        for (uint32_t i = 0; i < stages[s].count; i++) {
            uint32_t unit = stages[s].first + i;
            origins[unit] = stages[s].after ? SPEC_ORIGIN_NONE : unit;
        }
        if (stages[s].after && ended[s - 1]) {
            promote(sweep, scores, &stages[s - 1], &stages[s], origins);
        }
    }
}

/* ---- values ---- */

const char *spec_parameter_name(const struct spec_sweep *sweep, uint32_t parameter)
{
    SH_CHECK_CMP(parameter, <, sweep->parameter_count);
    return sweep->text + sweep->parameters[parameter].name;
}

static const char *listed(const struct spec_sweep *sweep, const struct spec_parameter *p,
                          uint32_t index)
{
    const char *at = sweep->text + p->values;
    SH_CHECK_CMP(index, <, p->value_count);
    for (; index > 0; index--) {
        at += strlen(at) + 1;
    }
    return at;
}

/* In [0, 1), of 53 bits. */
static double unit_double(const struct spec_sweep *sweep, uint32_t origin, uint32_t parameter)
{
    struct kn_stream stream = kn_stream_make(sweep->seed, PURPOSE, 0, parameter);
    uint64_t high = kn_stream_u32(stream, origin, 0) >> 5;
    uint64_t low = kn_stream_u32(stream, origin, 1) >> 6;
    return (double)(high << 26 | low) * 0x1p-53;
}

static double within(const struct spec_parameter *p, double value)
{
    char digits[40];
    (void)snprintf(digits, sizeof digits, "%.*g", SPEC_DIGITS_DRAWN, value);
    value = strtod(digits, NULL);
    return value < p->low ? p->low : value > p->high ? p->high : value;
}

static double draw(const struct spec_parameter *p, double chance)
{
    double value = p->low;
    switch (p->range) {
    case SPEC_RANGE_LIST:
        break;
    case SPEC_RANGE_UNIFORM:
        return within(p, p->low + chance * (p->high - p->low));
    case SPEC_RANGE_LOG_UNIFORM:
        value = kn_log64(p->low);
        return within(p, kn_exp64(value + chance * (kn_log64(p->high) - value)));
    case SPEC_RANGE_INT:
        return p->low + floor(chance * (p->high - p->low + 1));
    }
    SH_UNREACHABLE();
}

/* Which of its listed values a unit has; in a grid the last parameter changes fastest. */
static uint32_t index_of(const struct spec_sweep *sweep, uint32_t origin, uint32_t parameter)
{
    const struct spec_parameter *p = &sweep->parameters[parameter];
    if (sweep->method != SPEC_SWEEP_GRID) {
        return (uint32_t)(unit_double(sweep, origin, parameter) * p->value_count);
    }
    for (uint32_t i = sweep->parameter_count - 1; i > parameter; i--) {
        origin /= sweep->parameters[i].value_count;
    }
    return origin % p->value_count;
}

void spec_sweep_value(const struct spec_sweep *sweep, uint32_t origin, uint32_t parameter,
                      char out[static SPEC_SCALAR_MAX + 1])
{
    const struct spec_parameter *p = &sweep->parameters[parameter];
    if (p->range == SPEC_RANGE_LIST) {
        const char *value = listed(sweep, p, index_of(sweep, origin, parameter));
        (void)snprintf(out, SPEC_SCALAR_MAX + 1, "%s", value);
        return;
    }
    (void)snprintf(out, SPEC_SCALAR_MAX + 1, "%.15g",
                   draw(p, unit_double(sweep, origin, parameter)));
}

/* ---- the job of one unit ---- */

/* The member or element that the first word of a path names; *path moves behind it. */
static json_t *step_into(json_t *at, const char **path)
{
    char word[SPEC_PARAMETER_MAX + 1];
    if (**path == '[') {
        char *end = NULL;
        unsigned long index = strtoul(*path + 1, &end, 10);
        bool good = end > *path + 1 && *end == ']';
        *path = good ? end + 1 : *path + strlen(*path);
        return good ? json_array_get(at, index) : NULL;
    }
    *path += **path == '.' ? 1 : 0;
    size_t n = strcspn(*path, ".[");
    (void)snprintf(word, sizeof word, "%.*s", (int)n, *path);
    *path += n;
    return json_object_get(at, word);
}

/* Puts value (taken) in the place of what stands at path; false where nothing does. */
static bool put_at(json_t *root, const char *path, json_t *value)
{
    json_t *owner = root;
    const char *last = path;
    const char *at = path;
    json_t *found = step_into(root, &at);
    while (found != NULL && *at != '\0') {
        owner = found;
        last = at;
        found = step_into(found, &at);
    }
    if (found == NULL) {
        json_decref(value);
        return false;
    }
    if (*last == '[') {
        return json_array_set_new(owner, strtoul(last + 1, NULL, 10), value) == 0;
    }
    return json_object_set_new(owner, last + (*last == '.' ? 1 : 0), value) == 0;
}

bool spec_sweep_path_exists(const struct spec_job *job, const char *path)
{
    json_t *root = spec_job_json(job);
    bool found = put_at(root, path, json_null());
    json_decref(root);
    return found;
}

/* An environment variable has the text of a value. */
static json_t *text_of(const char *scalar, const json_t *value)
{
    return json_is_string(value) ? json_string(json_string_value(value)) : json_string(scalar);
}

/* Sets one value in the job and in the list of the unit's values. */
static bool set_value(const struct spec_job *job, json_t *root, json_t *params, const char *name,
                      const char *scalar)
{
    json_t *value = json_loads(scalar, JSON_DECODE_ANY, NULL);
    if (value == NULL) {
        return false;
    }
    (void)json_object_set(params, name, value);
    if (job->kind != SPEC_EXEC) {
        return put_at(root, name, value);
    }
    int set = json_object_set_new(json_object_get(root, "env"), name, text_of(scalar, value));
    json_decref(value);
    return set == 0;
}

uint32_t spec_sweep_before(const struct spec_sweep *sweep, const uint32_t *origins, uint32_t unit)
{
    struct spec_stage stages[SPEC_STAGES_MAX];
    uint32_t count = spec_sweep_stages(sweep, stages);
    uint32_t s = 0;
    while (s < count && unit - stages[s].first >= stages[s].count) {
        s++;
    }
    SH_CHECK_CMP(s, <, count);
    if (!stages[s].after || origins[unit] == SPEC_ORIGIN_NONE) {
        return UINT32_MAX;
    }
    const struct spec_stage *before = &stages[s - 1];
    for (uint32_t i = 0; i < before->count; i++) {
        if (origins[before->first + i] == origins[unit]) {
            return before->first + i;
        }
    }
    return UINT32_MAX;
}

static uint32_t resource_of(const struct spec_sweep *sweep, uint32_t unit)
{
    struct spec_stage stages[SPEC_STAGES_MAX];
    uint32_t count = spec_sweep_stages(sweep, stages);
    for (uint32_t s = 0; s < count; s++) {
        if (unit - stages[s].first < stages[s].count) {
            return stages[s].resource;
        }
    }
    SH_UNREACHABLE();
}

/* Values in the order of parameters, an empty one for what the job has; resource 0: likewise. */
static enum sh_err write_derived(const struct spec_job *job, char (*values)[SPEC_SCALAR_MAX + 1],
                                 uint32_t resource, const struct spec_start *start,
                                 struct spec_derived *out)
{
    const struct spec_sweep *sweep = &job->sweep;
    char number[16];
    size_t length = 0;
    json_t *root = spec_job_json(job);
    json_t *params = json_object();
    bool good = root != NULL && params != NULL && json_object_del(root, "sweep") == 0;
    for (uint32_t i = 0; i < sweep->parameter_count && good; i++) {
        good = values[i][0] == '\0' ||
               set_value(job, root, params, spec_parameter_name(sweep, i), values[i]);
    }
    if (good && resource > 0) {
        (void)snprintf(number, sizeof number, "%u", resource);
        good = set_value(job, root, params, sweep->resource, number);
    }
    if (good && start != NULL) {
        spec_start_put(root, start);
    }
    if (good && job->kind == SPEC_EXEC) { /* what the script is told of them: SHOAL_UNITS */
        (void)json_object_set_new(root, "replicas", json_integer(job->units));
    }
    if (!good) {
        json_decref(root);
        json_decref(params);
        return SH_ERR_NO_MEMORY;
    }
    enum sh_err err = spec_json_print(root, out->spec, sizeof out->spec, &out->size);
    enum sh_err told = spec_json_print(params, out->params, sizeof out->params, &length);
    return err != SH_OK ? err : told;
}

/* Through the schema, so that what is derived has the one canonical form of a job. */
static enum sh_err settle(struct spec_derived *out, struct spec_errors *errors)
{
    struct spec_job *plain = malloc(sizeof *plain);
    if (plain == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    enum sh_err err = spec_parse_again(out->spec, out->size, plain, errors);
    err = err != SH_OK ? err : spec_canonical(plain, out->spec, sizeof out->spec, &out->size);
    sh_blake2b(out->digest, sizeof out->digest, out->spec, out->size);
    free(plain);
    return err;
}

enum sh_err spec_sweep_with(const struct spec_job *job, char (*values)[SPEC_SCALAR_MAX + 1],
                            uint32_t resource, const struct spec_start *start,
                            struct spec_derived *out, struct spec_errors *errors)
{
    errors->count = 0;
    enum sh_err err = write_derived(job, values, resource, start, out);
    return err != SH_OK ? err : settle(out, errors);
}

enum sh_err spec_sweep_derive(const struct spec_job *job, uint32_t unit, uint32_t origin,
                              const struct spec_start *start, struct spec_derived *out,
                              struct spec_errors *errors)
{
    char values[SPEC_PARAMETERS_MAX][SPEC_SCALAR_MAX + 1];
    SH_CHECK_CMP(origin, !=, SPEC_ORIGIN_NONE);
    for (uint32_t i = 0; i < job->sweep.parameter_count; i++) {
        spec_sweep_value(&job->sweep, origin, i, values[i]);
    }
    return spec_sweep_with(job, values, resource_of(&job->sweep, unit), start, out, errors);
}
