/* SPDX-License-Identifier: Apache-2.0
 *
 * Stages: the units of a sweep that begin together, and what later ones wait for. */
#include "jobs/row.h"

void jobs_stages_put(struct sh_writer *w, const struct jobs_stage *stages, uint32_t count)
{
    sh_put_u8(w, (uint8_t)count);
    for (uint32_t i = 0; i < count; i++) {
        sh_put_u32(w, stages[i].first);
        sh_put_u8(w, stages[i].after);
    }
}

uint32_t jobs_stages_get(struct sh_reader *r, struct jobs_stage *out)
{
    uint32_t count = sh_get_u8(r);
    if (count > JOBS_STAGES_MAX) {
        r->bad = true;
        return 0;
    }
    for (uint32_t i = 0; i < count; i++) {
        out[i].first = sh_get_u32(r);
        out[i].after = sh_get_bool(r);
    }
    return count;
}

bool jobs_stages_ok(const struct jobs_stage *stages, uint32_t count, uint32_t units)
{
    bool ok = count <= JOBS_STAGES_MAX;
    for (uint32_t i = 0; ok && i < count; i++) {
        ok = i == 0 ? stages[i].first == 0 && !stages[i].after
                    : stages[i].first > stages[i - 1].first;
        ok = ok && stages[i].first < units;
    }
    return ok;
}

uint32_t jobs_stage_of(const struct jobs_job *job, uint32_t unit)
{
    uint32_t stage = job->stage_count - 1;
    SH_CHECK_CMP(job->stage_count, >, 0);
    while (job->stages[stage].first > unit) {
        stage--;
    }
    return stage;
}

uint32_t jobs_stage_units(const struct jobs_job *job, uint32_t stage)
{
    SH_CHECK_CMP(stage, <, job->stage_count);
    uint32_t end = stage + 1 < job->stage_count ? job->stages[stage + 1].first : job->units;
    return end - job->stages[stage].first;
}

uint32_t jobs_stage_open(const struct sh_table *t, const struct jobs_job *job, uint32_t stage)
{
    static const char LISTS[] = {'a', 'g'};
    struct wire_unit first = {.job = job->id, .unit = job->stages[stage].first};
    struct wire_unit end = {.job = job->id, .unit = first.unit + jobs_stage_units(job, stage)};
    uint32_t open = 0;
    for (size_t i = 0; i < sizeof LISTS; i++) {
        struct jobs_row_key low = jobs_row_unit(LISTS[i], first);
        struct jobs_row_key high = jobs_row_unit(LISTS[i], end);
        struct sh_span key;
        struct sh_span value;
        while (t->seek(t->ctx, jobs_row_span(&low), jobs_row_span(&high), false, &key, &value)) {
            low = jobs_row_past(key);
            open++;
        }
    }
    return open;
}

struct jobs_wait jobs_stage_wait(const struct sh_table *t, const struct jobs_job *job,
                                 uint32_t unit)
{
    uint32_t stage = job->stage_count > 0 ? jobs_stage_of(job, unit) : 0;
    if (job->stage_count == 0 || !job->stages[stage].after) {
        return (struct jobs_wait){0};
    }
    return (struct jobs_wait){.first = job->stages[stage - 1].first,
                              .units = jobs_stage_units(job, stage - 1),
                              .open = jobs_stage_open(t, job, stage - 1)};
}
