/* SPDX-License-Identifier: Apache-2.0
 *
 * The way from a keeper's fork to the command: everything that a process can only do to itself. */
#ifndef EXEC_CHILD_H
#define EXEC_CHILD_H

#include "exec/keeper.h"
#include "exec/order.h"

/* What did not work; written to a pipe that closes when the command starts. */
struct exec_trouble {
    uint32_t stage; /* enum exec_stage */
    int32_t error;  /* errno */
};

/* In the child of a process with one thread. report: closed on exec. */
_Noreturn void exec_child(const struct exec_order *order, int report);

#endif
