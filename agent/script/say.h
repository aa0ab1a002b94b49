/* SPDX-License-Identifier: Apache-2.0
 *
 * What the lines of a unit mean (exec/capture.h): points go to the job's series, an abort pattern
 * ends the run, a checkpoint that the commands announce is remembered until somebody asks. Only the
 * first member of a gang tells points: the others would say the same. In a job of several units a
 * series is called "UNIT/NAME". */
#ifndef SCRIPT_SAY_H
#define SCRIPT_SAY_H

#include "exec/capture.h"
#include "script/console.h"
#include "spec/spec.h"

struct script_say;

SH_MUST_USE enum sh_err script_say_open(struct script_say **out, struct script_console *console);
void script_say_close(struct script_say *say);
struct script_about { /* borrowed until script_say_close */
    const struct spec_job *job;
    uint32_t unit;
    const char *metric; /* what a sweep compares units by; "": none */
};
/* What to look for; once. As exec_capture_open. */
SH_MUST_USE enum sh_err script_say_set(struct script_say *say, const struct script_about *about,
                                       char *why, size_t size);
/* A new attempt, which goes on from this step. */
void script_say_begin(struct script_say *say, bool first, uint64_t step);

/* On the reader's thread. False: the line says that the run is lost. */
bool script_say_line(struct script_say *say, enum exec_channel channel, unsigned flags,
                     const char *text, size_t size);

/* Any thread: the newest step that was told, and whether a checkpoint was announced since the last
 * call. */
uint64_t script_say_step(struct script_say *say);
uint32_t script_say_permille(struct script_say *say); /* told as progress; below 1000 */
bool script_say_checkpoint(struct script_say *say);
/* The newest value of about->metric that is finite; false: there was none. */
bool script_say_score(struct script_say *say, double *score);

/* The predictions of the line that was read last; on the reader's thread. */
struct script_said {
    size_t count;
    double at[EXEC_FACTS_MAX];
};
struct script_said script_say_predictions(const struct script_say *say);

#endif
