/* SPDX-License-Identifier: Apache-2.0
 *
 * What a submission says of a job: the largest command of the jobs core (jobs/cmd.h). */
#ifndef SH_JOBS_SUBMIT_H
#define SH_JOBS_SUBMIT_H

#include "jobs/part.h"

#define JOBS_KEY_MAX      127u   /* characters of an idempotency key */
#define JOBS_UNITS_MAX    10000u /* units of one job */
#define JOBS_RETRIES_MAX  100u
#define JOBS_PRIORITY_MAX 100u
#define JOBS_RESULTS_MAX  1000u /* jobs of one name that keep their results */

struct jobs_submit {
    char key[JOBS_KEY_MAX + 1]; /* "": none. Same key: the same job, never a second */
    enum wire_kind kind;
    char name[SH_NAME_MAX + 1]; /* of the job and of the model it makes */
    char owner[SH_NAME_MAX + 1];
    struct sh_span spec; /* canonical JSON; decode borrows it from the command's bytes */
    uint8_t spec_digest[SH_DIGEST_BYTES];
    struct wire_need need; /* of each unit */
    bool reproducible;
    uint8_t priority;        /* 0 to JOBS_PRIORITY_MAX, higher first */
    uint8_t retries;         /* failures of a unit that are tried again; node loss uses up none */
    uint8_t checkpoint_keep; /* 1 to JOBS_KEEP_MAX */
    /* Once this job has ended, of all jobs of its name the so many newest that were completed keep
     * what they left, and those before them lose it; 0: as the cluster's setting says. */
    uint16_t keep_results;
    uint32_t units; /* 1 to JOBS_UNITS_MAX */
    uint32_t blob_count;
    uint8_t blobs[JOBS_BLOBS_MAX]
                 [SH_DIGEST_BYTES]; /* what it uploads; an agent fetches them first */
    struct jobs_about about;
    uint64_t deadline_us;          /* from now on: what has not ended then is left out; 0: none */
    char dataset[SH_NAME_MAX + 1]; /* DATA_PREP: what its outputs become, else "" */
    bool federated; /* its members train on what each of them holds of need.dataset */
    /* Of a sweep, ascending from unit 0; none: it is no sweep. A unit of a sweep that fails for
     * good stops no other; the job has failed when none was completed. */
    uint32_t stage_count;
    struct jobs_stage stages[JOBS_STAGES_MAX];
};

#endif
