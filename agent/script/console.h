/* SPDX-License-Identifier: Apache-2.0
 *
 * What the commands of a unit say, on its way into the job's log and series. Lines come on the
 * thread that reads the pipes and are written by another: where that one lags, the reader waits,
 * and so do the commands (their pipes fill). Nothing is dropped but the lines beyond
 * SCRIPT_LINES_MAX of one attempt, which the last line says. */
#ifndef SCRIPT_CONSOLE_H
#define SCRIPT_CONSOLE_H

#include "service.h"

#include "wire/job.h"

#define SCRIPT_QUEUE_MAX 512u              /* lines that wait to be written */
#define SCRIPT_FLUSH_US  UINT64_C(100000)  /* at most this long */
#define SCRIPT_LINES_MAX UINT64_C(1000000) /* of one attempt that are kept */

struct script_console;

/* wake is called, on the reader's thread, when there is something to write. */
SH_MUST_USE enum sh_err script_console_open(struct script_console **out, struct service *s,
                                            struct wire_unit unit, void (*wake)(void *ctx),
                                            void *ctx);
void script_console_close(struct script_console *console); /* after what it has was written */

/* A new attempt: what follows is said by this member of this generation. */
void script_console_begin(struct script_console *console, uint64_t generation, uint16_t member);

/* One line of any length, NUL-terminated UTF-8. Waits while the queue is full, until a write or
 * script_console_let_go. */
void script_console_line(struct script_console *console, const char *text, size_t size);
/* A point of a series; the name is copied. Likewise. */
void script_console_point(struct script_console *console, const char *name, uint64_t step,
                          double value);
/* The reader no longer waits: lines that find no room are counted and told of. */
void script_console_let_go(struct script_console *console);

/* Writes what there is; one thread. */
void script_console_write(struct script_console *console);

#endif
