/* SPDX-License-Identifier: Apache-2.0 */
#include "patience.h"

#include <jansson.h>
#include <stdlib.h>

#define UNITS_PAGE 64u
#define SECOND_US  UINT64_C(1000000)

static uint64_t within(uint64_t value, uint64_t least, uint64_t most)
{
    return value < least ? least : value > most ? most : value;
}

/* Between SIGTERM and SIGKILL; 0 of jobs without commands. */
static uint64_t grace_of(const struct sh_table *table, uint64_t job)
{
    struct sh_span spec;
    if (jobs_spec_get(table, job, &spec) != SH_OK) {
        return 0;
    }
    json_t *file = json_loadb((const char *)spec.at, spec.size, 0, NULL);
    json_int_t grace = json_integer_value(json_object_get(file, "grace"));
    json_decref(file);
    return grace > 0 ? (uint64_t)grace * SECOND_US : 0;
}

static uint64_t of_unit(const struct sh_table *table, const struct jobs_unit *unit, uint64_t now_us)
{
    struct jobs_checkpoint newest = {.cost_us = 0};
    uint32_t count = 0;
    bool kept = unit->checkpoints > 0 &&
                jobs_checkpoint_list(table, unit->id, &newest, 1, &count) == SH_OK && count == 1;
    if (kept && newest.cost_us > 0) {
        uint64_t cost = within(newest.cost_us, 0, PATIENCE_MOST_US);
        return within(PATIENCE_TIMES * cost, PATIENCE_LEAST_US, PATIENCE_MOST_US);
    }
    uint64_t worked = now_us > unit->placed_us ? now_us - unit->placed_us : 0;
    return within(kept ? 0 : worked, PATIENCE_USUAL_US, PATIENCE_MOST_US);
}

uint64_t patience_of_unit(const struct sh_table *table, struct wire_unit unit, uint64_t now_us)
{
    struct jobs_unit row;
    if (jobs_unit_get(table, unit, &row) != SH_OK) {
        return PATIENCE_USUAL_US;
    }
    return of_unit(table, &row, now_us) + grace_of(table, unit.job);
}

uint64_t patience_of_job(const struct sh_table *table, uint64_t job, uint64_t now_us)
{
    struct jobs_unit *units = malloc(UNITS_PAGE * sizeof *units);
    uint64_t longest = units != NULL ? PATIENCE_LEAST_US : PATIENCE_USUAL_US;
    uint32_t from = 0;
    uint32_t count = UNITS_PAGE;
    while (units != NULL && count == UNITS_PAGE &&
           jobs_unit_list(table, job, from, units, UNITS_PAGE, &count) == SH_OK) {
        for (uint32_t i = 0; i < count; i++) {
            bool runs = units[i].state == JOBS_RUNNING;
            uint64_t its = runs ? of_unit(table, &units[i], now_us) : 0;
            longest = its > longest ? its : longest;
        }
        from += count;
    }
    free(units);
    return longest + grace_of(table, job);
}
