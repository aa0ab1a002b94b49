/* SPDX-License-Identifier: Apache-2.0
 *
 * An agent's end of one command: its keeper, the pipes, and what is said between the two. */
#ifndef EXEC_COMMAND_H
#define EXEC_COMMAND_H

#include "exec/keeper.h"
#include "exec/order.h"

enum exec_pipe {
    EXEC_PIPE_STDOUT,
    EXEC_PIPE_STDERR,
    EXEC_PIPE_METRICS,
    EXEC_PIPE_STATUS,
    EXEC_PIPES
};

struct exec_link {
    pid_t keeper;
    int control;           /* -1: the keeper has gone */
    int pipes[EXEC_PIPES]; /* ends to read, not blocking; -1: at its end */
};

/* Starts a keeper with this order. options: for bwrap, NUL after each, NULL where it is not
 * wrapped. LIMIT (the order is too large), NO_MEMORY, IO (also: the program cannot be started);
 * nothing is left behind then. */
SH_MUST_USE enum sh_err exec_link_open(struct exec_link *link, const char *keeper,
                                       const struct exec_order *order, const char *options,
                                       size_t options_size);
/* Does nothing where the keeper has gone. */
void exec_link_say(struct exec_link *link, enum exec_op op);
/* False: nothing to read now, or the keeper has gone (control is then -1). */
bool exec_link_hear(struct exec_link *link, struct exec_event *event);
/* Whether all pipes are at their ends and the keeper has gone: nothing can come any more. */
bool exec_link_over(const struct exec_link *link);
/* abandoned: the keeper still has something that cannot be killed; it goes on with that by itself,
 * is not waited for, and stays a zombie of this process when it has ended. */
void exec_link_close(struct exec_link *link, bool abandoned);

#endif
