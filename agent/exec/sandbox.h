/* SPDX-License-Identifier: Apache-2.0
 *
 * How far a command is kept from the rest of the machine.
 *
 *   strict  bubblewrap: namespaces of its own (user, mount, process, network, ...), no capability;
 *           sees /usr read-only, a few files of /etc, its package, its working directory, a /tmp of
 *           its own, and nothing else
 *   basic   no namespaces: no_new_privs, Landlock for files and signals, a system call filter for
 *           the network. /tmp is not there: TMPDIR has to be in the working directory. Without
 *           network not even 127.0.0.1
 *   none    limits only
 *
 * What a machine can give is found out by running something in it, and what it gives is told by
 * exec_machine.gives: nothing is claimed that is not there. */
#ifndef EXEC_SANDBOX_H
#define EXEC_SANDBOX_H

#include "exec/cgroup.h"
#include "exec/order.h"
#include "exec/process.h"

#define EXEC_BWRAP     "/usr/bin/bwrap"
#define EXEC_PROBE_US  10000000u
#define EXEC_TMP_BYTES 268435456u /* default of tmp_bytes and shm_bytes */

enum exec_level { EXEC_LEVEL_NONE, EXEC_LEVEL_BASIC, EXEC_LEVEL_STRICT, EXEC_LEVELS };
/* "none", "basic", "strict". */
const char *exec_level_name(enum exec_level level);
SH_MUST_USE enum sh_err exec_level_parse(const char *name, enum exec_level *out);

enum exec_gives {
    EXEC_GIVES_FILES = 1,   /* files of others cannot be read or written */
    EXEC_GIVES_NETWORK = 2, /* without `network` nothing can be reached */
    EXEC_GIVES_SIGNALS = 4, /* processes of others cannot be signalled */
    EXEC_GIVES_TMP = 8,     /* a private /tmp, bounded */
    EXEC_GIVES_HIDDEN = 16  /* processes of others cannot be seen */
};

struct exec_sandbox { /* borrowed by the spec; paths are absolute */
    enum exec_level level;
    bool network;           /* asked for, or a gang that needs it */
    const char *package;    /* read-only; NULL: none, or it was copied into dir */
    const char *package_at; /* strict: where it appears; NULL: where it is */
    const char *const
        *read_only;             /* further paths, data sets for instance; NULL-terminated or NULL */
    const char *const *devices; /* device files, likewise */
    uint64_t tmp_bytes, shm_bytes; /* strict: sizes of /tmp and /dev/shm; 0: EXEC_TMP_BYTES */
    const char *bwrap;             /* NULL: EXEC_BWRAP */
};

struct exec_machine {
    bool has[EXEC_LEVELS];
    unsigned gives[EXEC_LEVELS];            /* enum exec_gives; 0 where it has not */
    char why[EXEC_LEVELS][EXEC_TEXT_BYTES]; /* where it has not: a sentence */
    int landlock;                           /* version, 0: none */
    bool has_cgroup;
    struct exec_cgroup cgroup;
    char why_cgroup[EXEC_TEXT_BYTES];
};

/* Runs `true` at every level as uid and gid (0: as we are), once, at start; takes at most
 * EXEC_PROBE_US a level. keeper, bwrap: as in the spec and the plan. dir: an empty directory that
 * this user can write. */
void exec_sandbox_probe(struct exec_machine *out, const char *keeper, const char *bwrap,
                        const char *dir, uint32_t uid, uint32_t gid);
/* The best level there is. */
enum exec_level exec_machine_best(const struct exec_machine *machine);

/* Options of bwrap for a plan, NUL after each, to be given by --args. Pure. LIMIT where they do
 * not fit; INVALID for an environment entry without "=". */
SH_MUST_USE enum sh_err exec_sandbox_options(const struct exec_sandbox *plan, const char *dir,
                                             const char *const *env, char *out, size_t size,
                                             size_t *used);
/* The lists of an order of level basic: at most EXEC_PATHS_MAX each, NULL included. LIMIT. Pure. */
struct exec_lists {
    const char *readable[EXEC_PATHS_MAX];
    const char *writable[EXEC_PATHS_MAX];
};
SH_MUST_USE enum sh_err exec_sandbox_lists(const struct exec_sandbox *plan, const char *dir,
                                           struct exec_lists *out);

#endif
