/* SPDX-License-Identifier: Apache-2.0
 *
 * Limits that no kernel keeps for a whole command: looked at about once a second, ten times as
 * often from half of a limit on. A look that takes long is followed by a longer pause, at most ten
 * times the usual one. */
#ifndef EXEC_WATCH_H
#define EXEC_WATCH_H

#include "exec/process.h"
#include "exec/tree.h"

struct exec_watch {
    const struct exec_limits *limits; /* borrowed */
    const char *dir;                  /* borrowed */
    pid_t root;                       /* whose descendants count */
    uint32_t tasks_extra;             /* of the sandbox, beside the limit */
    struct exec_tree tree;
    uint32_t tasks_before;
    uint64_t peak_bytes;
    uint64_t tree_at_us; /* when to look next */
    uint64_t disk_at_us;
};

void exec_watch_start(struct exec_watch *watch, const struct exec_limits *limits, const char *dir,
                      pid_t root, uint64_t now_us);
/* Looks at what is due. OK, or OOM, TASKS, DISK and a sentence in text (EXEC_TEXT_BYTES). */
enum exec_cause exec_watch_look(struct exec_watch *watch, uint64_t now_us, char *text);
uint64_t exec_watch_next(const struct exec_watch *watch);
void exec_watch_end(struct exec_watch *watch);

#endif
