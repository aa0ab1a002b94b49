/* SPDX-License-Identifier: Apache-2.0
 *
 * A cgroup (version 2) for one command: stops and kills all of it at once, whatever it forks, and
 * where the controllers are delegated limits memory and processes in the kernel. */
#ifndef EXEC_CGROUP_H
#define EXEC_CGROUP_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXEC_CGROUP_PATH_MAX 1023u

/* What this machine gives, found out once. */
struct exec_cgroup {
    char base[EXEC_CGROUP_PATH_MAX + 1]; /* where leaves are made */
    bool kill, freeze;                   /* both, or the probe fails */
    bool memory, pids;                   /* memory.max and pids.max can be set in leaves */
};

struct exec_cgroup_leaf {
    char path[EXEC_CGROUP_PATH_MAX + 1]; /* "": none */
};

/* Looks at the cgroup of this process, or at base where it is not NULL: makes a leaf there and
 * removes it. UNSUPPORTED where there is none or it lacks freeze and kill, DENIED where no leaf may
 * be made; why (size bytes) then has a line for people. */
SH_MUST_USE enum sh_err exec_cgroup_probe(struct exec_cgroup *out, const char *base, char *why,
                                          size_t size);
/* A new leaf; memory_bytes and tasks (0: none) are set where the kernel can. IO, LIMIT. */
SH_MUST_USE enum sh_err exec_cgroup_open(const struct exec_cgroup *cgroup,
                                         struct exec_cgroup_leaf *leaf, uint64_t memory_bytes,
                                         uint32_t tasks);
/* Path of leaf/cgroup.procs; out has EXEC_CGROUP_PATH_MAX + 1 bytes. "" for no leaf. */
void exec_cgroup_procs(const struct exec_cgroup_leaf *leaf, char *out);
/* False where it did not work: the caller has another way. */
bool exec_cgroup_kill(const struct exec_cgroup_leaf *leaf);
bool exec_cgroup_freeze(const struct exec_cgroup_leaf *leaf, bool frozen);
/* 0 where the kernel does not tell. */
uint64_t exec_cgroup_peak(const struct exec_cgroup_leaf *leaf);
uint64_t exec_cgroup_oom_kills(const struct exec_cgroup_leaf *leaf);
/* Removes it; one that still has processes stays behind, empty of meaning. */
void exec_cgroup_close(struct exec_cgroup_leaf *leaf);

#endif
