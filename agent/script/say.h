/* SPDX-License-Identifier: Apache-2.0
 *
 * What the lines of a unit mean (exec/capture.h): points go to the job's series, an abort pattern
 * ends the run, a checkpoint that the commands announce is remembered until somebody asks. Only the
 * first member of a gang tells points: the others would say the same. In a job of several units a
 * series is called "UNIT/NAME". */
#ifndef SCRIPT_SAY_H
#define SCRIPT_SAY_H

#include "exec/process.h"
#include "script/console.h"
#include "spec/spec.h"

struct script_say;

SH_MUST_USE enum sh_err script_say_open(struct script_say **out, struct script_console *console);
void script_say_close(struct script_say *say);
/* What to look for; once. job is borrowed until script_say_close. As exec_capture_open. */
SH_MUST_USE enum sh_err script_say_set(struct script_say *say, const struct spec_job *job,
                                       uint32_t unit, char *why, size_t size);
/* A new attempt, which goes on from this step. */
void script_say_begin(struct script_say *say, bool first, uint64_t step);

/* On the reader's thread. False: the line says that the run is lost. */
bool script_say_line(struct script_say *say, enum exec_channel channel, unsigned flags,
                     const char *text, size_t size);

/* Any thread: the newest step that was told, and whether a checkpoint was announced since the last
 * call. */
uint64_t script_say_step(struct script_say *say);
bool script_say_checkpoint(struct script_say *say);

#endif
