/* SPDX-License-Identifier: Apache-2.0
 *
 * What an agent tells a keeper to run, as bytes in a memory file between two images of one program
 * on one machine: no version. */
#ifndef EXEC_ORDER_H
#define EXEC_ORDER_H

#include "base/bytes.h"
#include "exec/process.h"

#define EXEC_PATHS_MAX 64u /* of each kind, in one plan */

struct exec_order {
    const char *const *argv;     /* of bwrap where wrapped: its options arrive in EXEC_FD_ARGS */
    const char *const *env;      /* of the command; a wrapped one's is among the options */
    const char *dir;             /* where to start */
    const char *procs;           /* cgroup.procs of its cgroup, "" for none */
    const char *const *readable; /* confined: what may be read and executed, NULL-terminated */
    const char *const *writable; /* confined: what may be written too */
    bool wrapped;                /* argv is bwrap: not to be sent SIGTERM, no options by us */
    bool confined;               /* no_new_privs, Landlock and a system call filter */
    bool network;                /* confined: sockets of the internet are allowed */
    uint32_t uid, gid;           /* 0: stay */
    int nice;
    uint32_t open_files;
    uint32_t tasks;
    uint64_t data_bytes, file_bytes;
};

/* LIMIT where it does not fit. */
SH_MUST_USE enum sh_err exec_order_encode(const struct exec_order *order, void *out, size_t size,
                                          size_t *used);
/* The order and its lists borrow bytes (changed: they get NULs); memory for the lists is in *owned,
 * for free(). CORRUPT, NO_MEMORY. */
SH_MUST_USE enum sh_err exec_order_decode(struct exec_order *order, void *bytes, size_t size,
                                          void **owned);

#endif
