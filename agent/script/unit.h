/* SPDX-License-Identifier: Apache-2.0
 *
 * One agent's part in one unit of kind exec, from placement to placement until the unit ends. For
 * each generation of its gang it makes a working folder with the package and the newest checkpoint
 * in it, meets the other members, runs the commands (exec/process.h), and, as the first member,
 * leaves checkpoints and the result. The unit is done when the commands of every member have
 * succeeded; it fails as soon as those of one fail.
 *
 * Working folders are WORK/JOB-UNIT-GENERATION; what an earlier run of the agent left there is
 * removed at start. Commands run only where the agent was told to allow it. */
#ifndef SCRIPT_UNIT_H
#define SCRIPT_UNIT_H

#include "exec/sandbox.h"
#include "script/users.h"
#include "train/runner.h"

#define SCRIPT_PACKAGE_US UINT64_C(60000000) /* for the package of a federated script to come */
#define SCRIPT_MEET_US    UINT64_C(30000000) /* for the first member to answer before it is lost */
#define SCRIPT_AGAIN_US   UINT64_C(200000)   /* between two questions to it */
#define SCRIPT_CALL_US    UINT64_C(1000000)  /* of one question */
#define SCRIPT_LEAVE_US   UINT64_C(3000000)  /* for commands to end when the agent does */
#define SCRIPT_BLAME_US   UINT64_C(30000000) /* for a member that is gone to be replaced */
#define SCRIPT_GPUS_US    UINT64_C(60000000) /* for GPUs that an ending unit still has */
#define SCRIPT_SETTLE_US  UINT64_C(2000000)  /* until a checkpoint that changed is taken again */
#define SCRIPT_UNITS_MAX  64u                /* at a time on one agent */

#define SCRIPT_OPEN_WHY 1023u

struct scripts; /* what the units of one agent share */

struct scripts_config {
    struct service *s;
    bool allowed;       /* --allow-commands */
    const char *work;   /* folder for working folders, made where it is absent; copied */
    const char *keeper; /* exec/process.h; NULL: this program */
    /* Each unit runs its commands as a user and group of its own, the lowest free id of
     * SCRIPT_USERS from here on, which this agent has taken (users.h); needs root. 0: as this
     * program. */
    uint32_t run_as;
    /* Commands run in this level where their job asks for less; a machine that gives less runs
     * none. */
    enum exec_level sandbox_min;
    const char *bwrap;   /* exec/sandbox.h; NULL: EXEC_BWRAP; borrowed */
    uint32_t gpus;       /* of this machine; at most WIRE_GPUS_MAX */
    const char *visible; /* CUDA_VISIBLE_DEVICES of this agent, NULL: not set; borrowed */
};

/* Clears the work folder and looks at what this machine can give; takes seconds at most. IO,
 * NO_MEMORY, LIMIT, DENIED (run_as cannot be, or cannot reach the work folder); why then gets one
 * line of at most SCRIPT_OPEN_WHY characters. */
SH_MUST_USE enum sh_err scripts_open(struct scripts **out, const struct scripts_config *config,
                                     char why[static SCRIPT_OPEN_WHY + 1]);
void scripts_close(struct scripts *scripts); /* after the last part was closed */
/* The strongest level that commands can have here; OFF: none run, not allowed or too weak. */
enum wire_sandbox scripts_sandbox(const struct scripts *scripts);
/* Runs units; borrowed from scripts. */
const struct train_runner *scripts_runner(const struct scripts *scripts);
/* Answers SERVICE_CALL_SCRIPT; register it with ctx scripts. */
enum sh_err scripts_answer(void *ctx, struct sh_span request, uint8_t *reply, size_t capacity,
                           size_t *reply_size);

#endif
