/* SPDX-License-Identifier: Apache-2.0
 *
 * All descendants of a process, as /proc shows them. One reading is O(processes of the machine) and
 * not atomic: who forks meanwhile may be missed, so those who kill read again until nothing is
 * left. */
#ifndef EXEC_TREE_H
#define EXEC_TREE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define EXEC_TREE_MAX 131072u /* processes of the machine; further ones are not seen */

struct exec_task {
    pid_t pid;
    pid_t parent;
    pid_t group;
    uint32_t threads;
    uint64_t rss_bytes;
    uint64_t cpu_ticks; /* of _SC_CLK_TCK, with children that have ended */
    char state;         /* R S D Z T ... */
    uint8_t mark;
};

struct exec_tree { /* zero: empty; reused by every reading */
    struct exec_task *at;
    size_t count;
    size_t capacity;
};

/* Descendants of root, without itself. IO (no /proc), NO_MEMORY; the tree is then empty. */
SH_MUST_USE enum sh_err exec_tree_read(struct exec_tree *tree, pid_t root);
uint64_t exec_tree_rss(const struct exec_tree *tree);
/* Their memory with shared pages divided by their users; where a process does not tell, its RSS.
 * Milliseconds for each of them. */
uint64_t exec_tree_pss(const struct exec_tree *tree);
uint32_t exec_tree_threads(const struct exec_tree *tree);
uint64_t exec_tree_ticks(const struct exec_tree *tree);
/* Processes and threads of a user on this machine; 0 where /proc cannot be read. */
uint32_t exec_tree_of_user(uid_t user);
void exec_tree_close(struct exec_tree *tree);

#endif
