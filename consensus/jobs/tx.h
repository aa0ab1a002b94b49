/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to the jobs core: the application of one entry. Handlers check everything before their
 * first write, so a refused command leaves the rows as they were. A row that does not decode sets
 * broken; the entry is then abandoned as a whole. */
#ifndef SH_JOBS_TX_H
#define SH_JOBS_TX_H

#include "jobs/row.h"

struct jobs { /* working memory of one application; no state */
    struct jobs_cmd cmd;
    struct jobs_job job;
    struct jobs_job elder; /* of the name of job, submitted before */
    struct jobs_unit unit;
    struct jobs_unit sibling;
    struct jobs_event event;
    struct jobs_change change;
    struct jobs_model model;
    struct jobs_evaluation evaluation;
    struct jobs_dataset dataset;
    struct jobs_dataset_holder holder;
    struct jobs_checkpoint checkpoint;
    struct jobs_trouble trouble;
    struct jobs_health health;
    uint8_t buffer[JOBS_ROW_BYTES_MAX];
};

struct jobs_tx {
    struct jobs *core;
    const struct sh_table *table;
    const struct jobs_entry *entry;
    struct jobs_result *result;
    struct jobs_counts meta;
    bool fresh; /* no row that is put exists yet: looking for what is not there is dear */
    bool broken;
};

/* Rows, with the digest kept. */
void jobs_tx_put(struct jobs_tx *tx, struct jobs_row_key key, struct sh_span value);
void jobs_tx_del(struct jobs_tx *tx, struct jobs_row_key key);
bool jobs_tx_has(struct jobs_tx *tx, struct jobs_row_key key);
/* What one row adds to the digest. */
uint64_t jobs_tx_row_hash(struct sh_span key, struct sh_span value);
/* True for OK, false for NOT_FOUND; anything else breaks the transaction. */
bool jobs_tx_found(struct jobs_tx *tx, enum sh_err err);
struct wire_fence jobs_tx_fence(const struct jobs_tx *tx); /* of this entry */

/* Moves, in life.c. Each keeps the counts of the job row in core->job, which the caller writes with
 * jobs_life_settle once the whole command is done. */
void jobs_life_touch(struct jobs_tx *tx, struct wire_unit unit);
void jobs_life_move(struct jobs_tx *tx, struct jobs_unit *unit, enum jobs_state to);
/* Stops every other open unit of the job: waiting ones at once, running ones by asking. */
void jobs_life_stop_open(struct jobs_tx *tx);
/* Calls visit for the units of core->job that wait ('a') or have a gang ('g'), each read into
 * core->sibling, until it gives false; the last first when last is set. */
void jobs_life_each(struct jobs_tx *tx, char list, bool last,
                    bool (*visit)(struct jobs_tx *tx, struct jobs_unit *unit, void *ctx),
                    void *ctx);
/* The running unit is asked to leave a checkpoint and give way, for that cause, within grace_us. */
void jobs_life_yield(struct jobs_tx *tx, struct jobs_unit *unit, enum wire_cause cause,
                     uint64_t grace_us);
/* core->sibling is stopped: at once when it waits, by asking when it runs. */
void jobs_life_stop(struct jobs_tx *tx, struct jobs_unit *unit);
/* Ends them at once, as too late. */
void jobs_life_end_open(struct jobs_tx *tx);
/* In progress.c. A unit of core->job has come so far; the caller writes both rows. */
void jobs_progress_mark(struct jobs_tx *tx, struct jobs_unit *unit, uint32_t mark);
void jobs_progress_settle(struct jobs_job *job);
/* Derives the job's state from its units, appends the history event in core->event (its cause,
 * unit, reason, text and nodes are set by the caller) and writes the job row. */
void jobs_life_settle(struct jobs_tx *tx, const struct jobs_unit *unit);

/* In unit.c. Gives core->unit, which may have one, the gang whose members are in it. core->job's
 * class is pinned before. */
bool jobs_unit_class_fits(const struct jobs_job *job, const uint8_t class[static WIRE_CLASS_BYTES],
                          bool mixed);
void jobs_unit_pin_class(struct jobs_job *job, const uint8_t class[static WIRE_CLASS_BYTES],
                         bool mixed);
void jobs_unit_run(struct jobs_tx *tx, const struct wire_placement *gang);
/* Only the gang in force speaks for a unit. */
enum jobs_code jobs_unit_load_fenced(struct jobs_tx *tx, struct wire_unit id,
                                     struct wire_fence fence);
/* In keep.c. How many unfinished jobs have a blob among theirs; 0 for most. */
uint64_t jobs_keep_users(struct jobs_tx *tx, const uint8_t digest[static SH_DIGEST_BYTES]);
/* core->job begins or ends. */
void jobs_keep_use(struct jobs_tx *tx, bool begins);
/* core->job has ended: those of its name that are too old now lose what they left. */
void jobs_keep_newest(struct jobs_tx *tx);

/* In blame.c. The unit in core->unit failed: keeps where and how, when it is tried again, and what
 * that says about the agent. True: it is poison, and trying again is of no use. */
bool jobs_blame_failure(struct jobs_tx *tx, const struct jobs_fail *c);
/* It was committed: agents where it had failed are to blame, those that completed it are not. */
void jobs_blame_commit(struct jobs_tx *tx);

/* In owner.c: the gang of this unit of core->job ends or is replaced; what it used of cores is
 * charged to the owner of the job. */
void jobs_owner_charge(struct jobs_tx *tx, const struct jobs_unit *unit);
/* In evaluation.c: the unit in core->unit measured this version of a model; nothing happens where
 * that is gone. */
void jobs_evaluation_note(struct jobs_tx *tx, const char *name, uint32_t version,
                          const struct jobs_figures *figures);

/* In dataset.c: the outputs that core->job commits become a data set. What speaks against it: */
enum jobs_code jobs_dataset_check_made(struct jobs_tx *tx);
void jobs_dataset_make(struct jobs_tx *tx, const struct jobs_commit *c);

/* In change.c: keeps core->event, of core->job, as the change that this entry made. */
void jobs_change_note(struct jobs_tx *tx);
/* Index from which on changes are kept when everything up to applied is. */
uint64_t jobs_change_oldest(uint64_t applied);
/* Forgets changes that this entry moves out of the window; before meta.applied is raised. */
void jobs_change_prune(struct jobs_tx *tx);

/* In session.c. True: the command is to be applied, and its reply remembered. False: code says
 * what it comes to; the result of a replay is filled in. */
bool jobs_session_enter(struct jobs_tx *tx, enum jobs_code *code);
void jobs_session_remember(struct jobs_tx *tx, enum jobs_code code);
void jobs_session_drop_of(struct jobs_tx *tx, const uint8_t node[static SH_NODE_ID_BYTES]);
enum jobs_code jobs_do_session_open(struct jobs_tx *tx, const struct jobs_session_open *c);

enum jobs_code jobs_do_node_admit(struct jobs_tx *tx, const struct jobs_node_admit *c);
enum jobs_code jobs_do_node_remove(struct jobs_tx *tx, const struct jobs_node_remove *c);
enum jobs_code jobs_do_submit(struct jobs_tx *tx, const struct jobs_submit *c);
enum jobs_code jobs_do_place(struct jobs_tx *tx, const struct jobs_place *c);
enum jobs_code jobs_do_place_many(struct jobs_tx *tx, const struct jobs_place_many *c);
enum jobs_code jobs_do_commit_many(struct jobs_tx *tx, const struct jobs_commit_many *c);
enum jobs_code jobs_do_checkpoint(struct jobs_tx *tx, const struct jobs_checkpoint_add *c);
enum jobs_code jobs_do_progress(struct jobs_tx *tx, const struct jobs_progress *c);
enum jobs_code jobs_do_commit(struct jobs_tx *tx, const struct jobs_commit *c);
enum jobs_code jobs_do_fail(struct jobs_tx *tx, const struct jobs_fail *c);
enum jobs_code jobs_do_expire(struct jobs_tx *tx, const struct jobs_expire *c);
enum jobs_code jobs_do_stop(struct jobs_tx *tx, const struct jobs_stop *c);
enum jobs_code jobs_do_pause(struct jobs_tx *tx, const struct jobs_pause *c);
enum jobs_code jobs_do_resume(struct jobs_tx *tx, const struct jobs_resume *c);
enum jobs_code jobs_do_resize(struct jobs_tx *tx, const struct jobs_resize *c);
enum jobs_code jobs_do_deadline(struct jobs_tx *tx, const struct jobs_deadline *c);
enum jobs_code jobs_do_dataset_add(struct jobs_tx *tx, const struct jobs_dataset_add *c);
enum jobs_code jobs_do_dataset_remove(struct jobs_tx *tx, const struct jobs_dataset_remove *c);
enum jobs_code jobs_do_config_set(struct jobs_tx *tx, const struct jobs_config_set *c);
enum jobs_code jobs_do_node_mark(struct jobs_tx *tx, const struct jobs_node_mark *c);
enum jobs_code jobs_do_model_remove(struct jobs_tx *tx, const struct jobs_model_remove *c);
enum jobs_code jobs_do_job_remove(struct jobs_tx *tx, const struct jobs_job_remove *c);

#endif
