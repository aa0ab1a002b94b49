/* SPDX-License-Identifier: Apache-2.0
 *
 * The rules of the jobs core written down a second time, as naively as can be: arrays, searched
 * from end to end, and a job's state computed from its units by definition. The storm compares. */
#ifndef TEST_JOBS_MODEL_H
#define TEST_JOBS_MODEL_H

#include "jobs/jobs.h"
#include "jobs/view.h"

#define MODEL_JOBS_MAX   2048u
#define MODEL_UNITS_MAX  4u  /* of a job when it is submitted */
#define MODEL_UNITS_EVER 64u /* and that it ever had */
#define MODEL_NODES      8u  /* numbered from 1 */
#define MODEL_SESSIONS   2048u
#define MODEL_SLOTS      4u /* the first ones of a session */
#define MODEL_NAMES      5u /* job0 and on */

struct model_unit {
    enum jobs_state state;
    struct wire_fence fence;
    uint32_t failures;
    uint32_t commits;
    uint8_t digest;
    bool partial;
    struct wire_fence checkpoint_fence;
    uint64_t checkpoint_step;
    uint8_t checkpoint_manifest;
    uint32_t checkpoints;
    bool yields;
};

struct model_job {
    uint64_t id;
    uint8_t key; /* 0: none */
    uint8_t spec;
    uint32_t units;
    uint32_t retries;
    bool train;
    bool ensemble;
    uint64_t deadline_us; /* 0: none */
    bool any;
    bool pinned;
    bool mixed;
    uint8_t class;
    bool stop;
    bool failed;
    bool removed;
    bool gone; /* what it left */
    uint8_t name;
    uint8_t blob; /* first byte of the one it needs; 0: none */
    uint32_t keep;
    bool sweep;
    uint32_t later; /* of a sweep: the first unit that waits for all before it; 0: none does */
    bool paused;
    uint32_t target;
    uint32_t progress; /* seen last: it does not go down */
    struct model_unit unit[MODEL_UNITS_EVER];
};

struct model_version {
    uint8_t name;
    uint32_t version;
    uint8_t file;
    bool there;
    uint64_t job;
};

struct model_session {
    uint64_t id;
    bool ended;
    uint8_t node;
    uint64_t life;
    uint64_t used_us;
    uint64_t number[MODEL_SLOTS]; /* newest of each slot */
    bool accepted[MODEL_SLOTS];
};

struct model {
    uint64_t now_us;
    uint32_t session_count; /* ever opened */
    struct model_session sessions[MODEL_SESSIONS];
    bool admitted[MODEL_NODES + 1];
    uint32_t job_count;
    struct model_job jobs[MODEL_JOBS_MAX];
    uint32_t models;        /* there */
    uint32_t version_count; /* ever made */
    struct model_version versions[MODEL_JOBS_MAX];
};

void model_init(struct model *m);
/* Applies the command; gives whether it is accepted. */
bool model_apply(struct model *m, const struct jobs_cmd *cmd, struct wire_fence entry);
/* Units that are completed or may yet be. */
uint32_t model_wanted(const struct model_job *job);
enum jobs_state model_state(const struct model_job *job);

#endif
