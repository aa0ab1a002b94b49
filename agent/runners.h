/* SPDX-License-Identifier: Apache-2.0
 *
 * What runs units on this agent, one runner for each kind of job, and the supervisor that knows
 * them (train/train.h). */
#ifndef AGENT_RUNNERS_H
#define AGENT_RUNNERS_H

#include "script/unit.h"
#include "service.h"

/* text says why where it is more than the error. What was opened is closed by runners_close. */
SH_MUST_USE enum sh_err runners_open(struct service *s, char text[static SCRIPT_OPEN_WHY + 1]);
void runners_close(struct service *s); /* after train_stop */

#endif
