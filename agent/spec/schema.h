/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to agent/spec: the tables of the schema that more than one file reads. */
#ifndef SPEC_SCHEMA_H
#define SPEC_SCHEMA_H

#include "spec/decode.h"

/* Each ends with a NULL name. */
extern const struct spec_choice SPEC_KINDS[];
extern const struct spec_choice SPEC_EXTRACTS[];
extern const struct spec_choice SPEC_SANDBOXES[];
extern const struct spec_choice SPEC_SPREADS[];
extern const struct spec_choice SPEC_BUCKETINGS[];
extern const struct spec_choice SPEC_COMPATS[];
extern const struct spec_choice SPEC_COMBINES[];
extern const struct spec_choice SPEC_LAYER_KINDS[];
extern const struct spec_choice SPEC_LOSSES[];
extern const struct spec_choice SPEC_NORMALIZES[];
extern const struct spec_choice SPEC_AUDIO_LABELS[];
extern const struct spec_choice SPEC_TOKENS[];
extern const struct spec_choice SPEC_ARITHMETICS[];
extern const struct spec_choice SPEC_OPTIMIZERS[];
extern const struct spec_choice SPEC_WIRES[];
extern const struct spec_choice SPEC_SCHEDULES[];
extern const struct spec_choice SPEC_ALGORITHMS[];
extern const struct spec_choice SPEC_RULES[];
extern const struct spec_choice SPEC_WEIGHTS[];

/* The name of a value that is in the table. */
const char *spec_choice_name(const struct spec_choice *choices, int value);
/* All names, with commas between. */
#define SPEC_CHOICE_LIST_BYTES 160u
void spec_choice_list(const struct spec_choice *choices, char out[static SPEC_CHOICE_LIST_BYTES]);
/* The entry with that name, or NULL. */
const struct spec_choice *spec_choice_find(const struct spec_choice *choices, const char *name);

/* Decode the sections; base is a struct spec_model, spec_data, spec_train. */
void spec_take_model(struct spec_decode *d, const struct spec_node *node, void *base);
void spec_take_data(struct spec_decode *d, const struct spec_node *node, void *base);
void spec_take_train(struct spec_decode *d, const struct spec_node *node, void *base);
/* The sections audio and text of data; base is a struct spec_reading. */
void spec_take_audio(struct spec_decode *d, const struct spec_node *node, void *base);
void spec_take_text(struct spec_decode *d, const struct spec_node *node, void *base);

/* A map of one key, or a bare word: {sgd: {...}} or sgd. Finds the word among choices; *params is
 * the value, or NULL for a bare word. Keys named in `extra` may stand beside it. */
const struct spec_choice *spec_take_word(struct spec_decode *d, const struct spec_node *node,
                                         const struct spec_choice *choices, const char *what,
                                         const char *extra, const struct spec_node **params);

/* The section resources; unit: of kinds whose units are not gangs, without agents. base is a struct
 * spec_job. */
void spec_take_resources(struct spec_decode *d, const struct spec_node *node, void *base);
void spec_take_unit_resources(struct spec_decode *d, const struct spec_node *node, void *base);
void spec_check_resources(struct spec_decode *d, const struct spec_job *job);

/* The keys of an exec job that no other kind has. */
#define SPEC_EXEC_FIELDS 16u
extern const struct spec_field SPEC_EXEC_JOB[SPEC_EXEC_FIELDS]; /* base: a struct spec_job */
/* The keys of jobs that use models (models.c). */
#define SPEC_EVALUATE_FIELDS  2u
#define SPEC_PREDICT_FIELDS   2u
#define SPEC_ENSEMBLE_FIELDS  4u
#define SPEC_FINE_TUNE_FIELDS 2u
extern const struct spec_field SPEC_EVALUATE_JOB[SPEC_EVALUATE_FIELDS];
extern const struct spec_field SPEC_PREDICT_JOB[SPEC_PREDICT_FIELDS];
extern const struct spec_field SPEC_ENSEMBLE_JOB[SPEC_ENSEMBLE_FIELDS];
extern const struct spec_field SPEC_FINE_TUNE_JOB[SPEC_FINE_TUNE_FIELDS];

/* Members of the checkpoint of an exec job. */
void spec_take_checkpoint_files(struct spec_decode *d, const struct spec_node *node, void *base);
void spec_take_checkpoint_every(struct spec_decode *d, const struct spec_node *node, void *base);
void spec_exec_defaults(struct spec_exec *exec);
void spec_check_exec(struct spec_decode *d, struct spec_job *job);

void spec_train_defaults(struct spec_train *train);
void spec_data_defaults(struct spec_data *data);
/* Checks between fields of a job that was decoded; skips what has an error already. */
void spec_check_job(struct spec_decode *d, struct spec_job *job);

#endif
