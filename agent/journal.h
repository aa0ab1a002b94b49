/* SPDX-License-Identifier: Apache-2.0
 *
 * What an agent tells its operator: one line an event on standard error, past tense, with UTC time
 * and the agent's name. Nothing is written in steady state. Any thread. */
#ifndef AGENT_JOURNAL_H
#define AGENT_JOURNAL_H

#include "base/check.h"

enum journal_level { JOURNAL_ERROR, JOURNAL_WARN, JOURNAL_INFO };

/* Once, before the threads start; name is borrowed for the life of the process. */
void journal_open(const char *name, enum journal_level level);
void journal_line(enum journal_level level, const char *format, ...) SH_PRINTF(2, 3);

#define journal_error(...) journal_line(JOURNAL_ERROR, __VA_ARGS__)
#define journal_warn(...)  journal_line(JOURNAL_WARN, __VA_ARGS__)
#define journal_info(...)  journal_line(JOURNAL_INFO, __VA_ARGS__)

#endif
