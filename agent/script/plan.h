/* SPDX-License-Identifier: Apache-2.0
 *
 * What the commands of a unit are given: arguments and environment, made from the job and from
 * where the unit is placed. Pure.
 *
 * Always set: SHOAL_JOB, SHOAL_NAME, SHOAL_UNIT, SHOAL_UNITS, SHOAL_ATTEMPT (generation of the
 * gang), SHOAL_FENCE ("TERM.INDEX"), SHOAL_NODE, SHOAL_WORKDIR, SHOAL_CHECKPOINT_DIR,
 * SHOAL_METRICS_FD (3), SHOAL_GPUS and CUDA_VISIBLE_DEVICES (those of the unit, "" for none), and
 * what torchrun sets: RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, GROUP_RANK, MASTER_ADDR,
 * MASTER_PORT. SHOAL_RESUME_FROM where there is a checkpoint, SHOAL_PARAMS in a sweep; in federated
 * rounds SHOAL_ROUND, SHOAL_ROUNDS, SHOAL_DATASET, SHOAL_MODEL_OUT and, but for the first model,
 * SHOAL_MODEL_IN. Unless the
 * job's env says otherwise: PATH, HOME, TMPDIR, LANG, OMP_NUM_THREADS, CONDUCTOR_TYPE,
 * PYTHONUNBUFFERED, NO_COLOR. Nothing of the agent's own environment. */
#ifndef SCRIPT_PLAN_H
#define SCRIPT_PLAN_H

#include "exec/process.h"
#include "spec/spec.h"
#include "wire/job.h"

#define SCRIPT_PLAN_ENV_MAX   192u
#define SCRIPT_PLAN_BYTES     65536u
#define SCRIPT_CHECKPOINT_DIR ".shoal/checkpoint" /* below the working folder, as is the next */
#define SCRIPT_TMP_DIR        ".shoal/tmp"

struct script_round {    /* of federated rounds; borrowed */
    uint64_t number;     /* from 1; 0: the model before the first is to be made */
    uint32_t rounds;     /* of the job */
    const char *dataset; /* what this agent holds of the data set */
    const char *in;      /* the round's model; NULL: there is none yet */
    const char *out;     /* where the changed one is to be */
};

struct script_place { /* borrowed */
    struct wire_unit unit;
    struct wire_fence fence;
    uint32_t units; /* that the job is to complete */
    uint32_t member;
    uint32_t members;
    const char *node; /* name of this agent */
    const char *dir;  /* the working folder, absolute */
    const char *master_host;
    uint16_t master_port;
    const char *model;                /* file of the model that is asked; NULL: none is */
    const char *input;                /* what it is asked about; NULL: nothing */
    const char *gpus;                 /* indices of its GPUs here, "" for none */
    const char *visible;              /* the same as CUDA_VISIBLE_DEVICES names them */
    const char *params;               /* of a sweep: the unit's values as JSON; else NULL */
    const struct script_round *round; /* NULL: no federated rounds */
    bool resumes;                     /* a checkpoint lies in its place */
};

struct script_plan {
    struct exec_command commands[SPEC_COMMANDS_MAX];
    size_t command_count;
    const char *argv[SPEC_COMMANDS_MAX * (SPEC_WORDS_MAX + 1)];
    size_t argv_used;
    const char *env[SCRIPT_PLAN_ENV_MAX + 1]; /* NULL-terminated */
    size_t env_count;
    size_t used;
    char text[SCRIPT_PLAN_BYTES];
};

/* The plan borrows words of the job. LIMIT: the environment does not fit. */
SH_MUST_USE enum sh_err script_plan_make(struct script_plan *plan, const struct spec_job *job,
                                         const struct script_place *place);

#endif
