/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to agent/script: a unit's part, and how its files lie. */
#ifndef SCRIPT_INSIDE_H
#define SCRIPT_INSIDE_H

#include "script/console.h"
#include "script/devices.h"
#include "script/gpus.h"
#include "script/plan.h"
#include "script/unit.h"
#include "train/worker.h"

#define SCRIPT_WHY_BYTES  JOBS_TEXT_MAX
#define SCRIPT_NICE       10
#define SCRIPT_LAST_BYTES 128u
#define SCRIPT_TASKS_MAX  4096u /* processes and threads of one unit */

struct scripts { /* what the units of one agent share */
    struct scripts_config config;
    char work[TRAIN_PATH_MAX];
    struct exec_machine machine; /* where commands are allowed */
    struct train_runner runner;
    pthread_mutex_t lock; /* what follows; may be held while a unit's is taken */
    struct script_gpus gpus;
    bool seated[SCRIPT_UNITS_MAX]; /* by a unit, or by a client (client.h) */
    struct script_unit *units[SCRIPT_UNITS_MAX];
};

struct script_say; /* say.h */

struct script_unit {
    struct train_worker w;
    struct scripts *all;
    struct spec_job *job;   /* whose commands it runs: w.job, or use->maker */
    struct script_use *use; /* of a unit that asks a model; NULL: it runs its own job's commands */
    uint32_t seat;          /* of scripts_seat */
    uint32_t user;          /* id that its commands run as; 0: as this program */
    uint64_t number;        /* random: tells this part from one of an earlier run of the agent */

    /* Of the unit's thread. */
    struct script_console *console;
    struct script_say *say;
    struct script_plan *plan;
    uint32_t index;                 /* of this member */
    char dir[TRAIN_PATH_MAX];       /* working folder of this generation; "": none */
    uint64_t step;                  /* of the newest checkpoint */
    uint8_t saved[SH_DIGEST_BYTES]; /* digest of the newest checkpoint's blob */
    bool unsettled;                 /* files changed all the time one was taken: again, soon */
    struct script_gpu_set gpus;     /* that its commands have */
    char gpu_list[SCRIPT_GPU_TEXT_BYTES];
    char gpu_names[SCRIPT_GPU_TEXT_BYTES];
    struct script_devices devices; /* that they need */

    /* With the worker's lock. */
    bool written;                 /* the console has something */
    bool over;                    /* the commands have ended: result is set */
    char last[SCRIPT_LAST_BYTES]; /* of their lines that say something, the newest */
    struct exec_result result;
    /* How the members of the generation meet_index find each other (the first one's). */
    uint64_t meet_index; /* 0: not ready to be met */
    uint16_t port;
    uint64_t met[WIRE_MEMBERS_MAX]; /* number of the part that was told so, 0: none yet */
    uint32_t done; /* members that said that their commands succeeded, a bit each */
};

/* files.c. All on the unit's thread; OK, or why says what to tell. The working folder with the
 * package and the newest checkpoint in it, which are waited for; CANCELLED: interrupted meanwhile.
 */
SH_MUST_USE enum sh_err script_files_prepare(struct script_unit *x, bool *resumes,
                                             char why[static SCRIPT_WHY_BYTES]);
void script_files_remove(struct script_unit *x);
/* The files of a checkpoint, or NULL where they are as in the one before. *bytes is given. */
SH_MUST_USE enum sh_err script_files_checkpoint(struct script_unit *x, uint8_t **bytes,
                                                size_t *size, char why[static SCRIPT_WHY_BYTES]);
/* What the unit leaves: result->outputs, and result->file where the job names one. partial: what
 * there is of it. */
SH_MUST_USE enum sh_err script_files_result(struct script_unit *x, bool partial,
                                            struct train_result *result,
                                            char why[static SCRIPT_WHY_BYTES]);

/* meet.c. */
/* Where the first member waits for connections. False: interrupted, or it does not answer, which
 * was reported. */
SH_MUST_USE bool script_meet(struct script_unit *x, char host[static SH_ADDR_MAX + 1],
                             uint16_t *port);
/* The commands of this member failed: false when a member of its gang is gone, which is why, or
 * when interrupted meanwhile; the loss was reported. Waits until it is replaced. */
SH_MUST_USE bool script_all_there(struct script_unit *x);
/* The commands of this member succeeded: returns when those of all have, or when interrupted. */
SH_MUST_USE bool script_finish_together(struct script_unit *x);
enum sh_err script_answer(struct script_unit *x, struct sh_span request, uint8_t *reply,
                          size_t capacity, size_t *reply_size);
SH_MUST_USE enum sh_err script_request_unit(struct sh_span request, struct wire_unit *unit);

/* unit.c */
/* A seat among those that run commands here, until it is given back, and the user that comes with
 * it, as long as there are as many; unit may be NULL. */
uint32_t scripts_seat(struct scripts *all, struct script_unit *unit, uint32_t *user);
void scripts_unseat(struct scripts *all, uint32_t seat);
/* In which the commands of a job run here: what it asks for, or the agent's minimum. */
enum exec_level script_level_of(const struct scripts *all, enum spec_sandbox sandbox);
struct exec_limits script_limits_of(const struct spec_job *job);
const struct scripts_config *script_config(const struct script_unit *x);

#endif
