/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to agent/script: a unit that asks a model which a script made. It runs the predict or
 * evaluate commands of the job that made the model, in that job's package, with the model's file in
 * its place (SHOAL_MODEL) and the input beside it (SHOAL_INPUT).
 *
 * A prediction is, the first of these that there is: the file that the job names under
 * `predictions`, a list of numbers; every line SHOAL {"prediction": NUMBER}, in their order; the
 * last PredictedBuffer=NUMBER or PredictedValue=NUMBER. */
#ifndef SCRIPT_USE_H
#define SCRIPT_USE_H

#include "script/inside.h"

struct script_use {
    const struct spec_job *asks; /* the unit's own job */
    struct spec_job *maker;      /* x->job: that which made the model */
    char model[TRAIN_PATH_MAX];  /* absolute */
    char input[TRAIN_PATH_MAX];  /* likewise; "": there is none */
    bool outside;                /* the input is no part of the working folder */
    /* Of the reader's thread while commands run, of the unit's afterwards. */
    double *numbers; /* SPEC_ENSEMBLE_NUMBERS_MAX */
    size_t count;
    bool too_many;
    bool marked; /* last is set */
    double last;
};

/* x->job was parsed; where it asks a model of a script, x->use is made and x->job becomes the job
 * that made it. NOT_FOUND: that is gone. */
SH_MUST_USE enum sh_err script_use_open(struct script_unit *x, char *why, size_t size);
void script_use_close(struct script_unit *x);
/* With the package in the working folder: the model and the input come to it. */
SH_MUST_USE enum sh_err script_use_place(struct script_unit *x, char why[static SCRIPT_WHY_BYTES]);
/* A line of the commands, on the reader's thread. */
void script_use_line(struct script_unit *x, enum exec_channel channel, const char *text,
                     size_t size);
/* The commands have succeeded: what they told. */
SH_MUST_USE enum sh_err script_use_result(struct script_unit *x, struct train_result *result,
                                          char why[static SCRIPT_WHY_BYTES]);
/* The figures of the file that the job names under `results`, which is in the working folder. */
SH_MUST_USE enum sh_err script_use_score(struct script_unit *x, struct jobs_figures *figures,
                                         char why[static SCRIPT_WHY_BYTES]);

#endif
