/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/timeline.h"

#include <inttypes.h>

static const char FACES[] = {
    [SIM_DOWN] = 'x',     [SIM_PAUSED] = 'p',    [SIM_DORMANT] = '.', [SIM_LEARNER] = 'l',
    [SIM_FOLLOWER] = 'f', [SIM_CANDIDATE] = 'c', [SIM_LEADER] = 'L'};

static const char MARKS[] = {
    [SIM_NOTE_FAULT] = '!', [SIM_NOTE_LEADER] = '*', [SIM_NOTE_GROUP] = '=',
    [SIM_NOTE_JOB] = '+',   [SIM_NOTE_CLIENT] = '?', [SIM_NOTE_SCRIPT] = '>'};

void sim_timeline_begin(struct sim_timeline *line)
{
    if (line->out == NULL) {
        return;
    }
    (void)fprintf(
        line->out,
        "agents: L leads  f follows and votes  c campaigns  l learns  . joins  p paused  "
        "x down\n"
        "lines:  ! done to them  * leadership  = membership  + jobs  ? refusals  > script\n"
        "\n      time  ");
    for (uint32_t i = 0; i < line->width; i++) {
        (void)fprintf(line->out, "%s ", sim_name(i));
    }
    (void)fputc('\n', line->out);
}

void sim_timeline_note(void *ctx, const struct sim_note *note)
{
    const struct sim_timeline *line = ctx;
    if (line->out == NULL) {
        return;
    }
    (void)fprintf(line->out, "%6" PRIu64 ".%03us  ", note->at_us / 1000000,
                  (unsigned)(note->at_us / 1000 % 1000));
    uint32_t agents = line->sim == NULL ? 0 : sim_agents(line->sim);
    for (uint32_t i = 0; i < line->width; i++) {
        (void)fprintf(line->out, "%c ", i < agents ? FACES[sim_face(line->sim, i)] : ' ');
    }
    (void)fprintf(line->out, "%c %s\n", MARKS[note->kind], note->text);
}
