/* SPDX-License-Identifier: Apache-2.0
 *
 * A job file as the command that submits it, as an agent that accepts it would propose. */
#ifndef JOB_TEXT_H
#define JOB_TEXT_H

#include "jobs/cmd.h"
#include "spec/spec.h"

/* Fills *cmd, but for kind, need and numbers of units, and *job. The command borrows its spec until
 * the next call. Fails the test where the text is no job. */
void job_text_submit(const char *text, struct jobs_cmd *cmd, struct spec_job *job);

#endif
