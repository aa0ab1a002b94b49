/* SPDX-License-Identifier: Apache-2.0
 *
 * What failures say about agents and about jobs. Pure: it changes only what it is given, and time
 * is the cluster's.
 *
 * A failure counts against the agent where it happened only once the same unit has been committed
 * elsewhere, or another job has failed there within JOBS_SUSPECT_US. Three that count within some
 * minutes (a score with a half-life of ten) put the agent into quarantine: ten minutes, twice as
 * long each further time, at most six hours. Then it tests itself; until it says that the test
 * passed it stays there, and when it did not, another quarantine begins. Afterwards it is on trial:
 * two units that it completes clear it, one failure sends it back.
 *
 * A unit that fails in the same way on three agents is poison: it fails for good, and none of them
 * is to blame. */
#ifndef SH_JOBS_HEALTH_H
#define SH_JOBS_HEALTH_H

#include "wire/job.h"

#define JOBS_BLAME_MILLI       1000u /* that a failure which counts adds to the score */
#define JOBS_QUARANTINE_MILLI  2500u /* score from which on an agent is in quarantine */
#define JOBS_BLAME_HALF_US     UINT64_C(600000000)
#define JOBS_SUSPECT_US        UINT64_C(3600000000)
#define JOBS_QUARANTINE_US     UINT64_C(600000000)
#define JOBS_QUARANTINE_MAX_US UINT64_C(21600000000)
#define JOBS_TRIAL_UNITS       2u
#define JOBS_POISON_NODES      3u
#define JOBS_TROUBLE_MAX       8u                  /* failures of a unit that are kept */
#define JOBS_BACKOFF_US        UINT64_C(5000000)   /* before a unit is tried for the second time */
#define JOBS_BACKOFF_MAX_US    UINT64_C(300000000) /* twice as long each further time, up to this */

struct jobs_health { /* of an agent; all zero: nothing ever failed there */
    uint32_t score_milli;
    uint64_t score_us;    /* as of then */
    uint64_t suspect_job; /* failed there last and does not count yet; 0: none */
    uint64_t suspect_us;
    uint64_t until_us; /* in quarantine; in the past: it was */
    uint8_t strikes;   /* quarantines without a trial passed between */
    uint8_t trial;     /* units it must still complete; 0: not on trial */
    bool tested;       /* its self-test passed since the newest quarantine */
};

struct jobs_failure {
    uint8_t node[SH_NODE_ID_BYTES];
    uint64_t at_us;
    uint64_t kind; /* equal for failures that look the same */
    bool blamed;   /* it counts against the node already */
};

struct jobs_trouble { /* of a unit; all zero: it never failed */
    uint32_t count;
    struct jobs_failure failures[JOBS_TROUBLE_MAX]; /* newest first */
    uint64_t not_before_us;                         /* tried again from then on */
    uint64_t preempted_us;                          /* last time; 0: never */
};

/* A failure that counts. True: the agent is in quarantine now and was not before. */
bool jobs_health_blame(struct jobs_health *h, uint64_t now_us);
/* A unit of the job failed there. Counts at once while the agent is on trial, or when another job
 * failed there of late. True: it counts (jobs_health_blame was called). */
bool jobs_health_failed(struct jobs_health *h, uint64_t job, uint64_t now_us);
/* A unit was completed there. */
void jobs_health_completed(struct jobs_health *h, uint64_t now_us);
bool jobs_health_quarantined(const struct jobs_health *h, uint64_t now_us);
/* The time of its quarantine is over, and its self-test is awaited. */
bool jobs_health_untested(const struct jobs_health *h, uint64_t now_us);
/* The test passed, or did not. False: nothing was awaited. */
bool jobs_health_fit(struct jobs_health *h, bool fit, uint64_t now_us);
/* Ends the time of a quarantine. False: it is in none. */
bool jobs_health_parole(struct jobs_health *h, uint64_t now_us);
bool jobs_health_on_trial(const struct jobs_health *h, uint64_t now_us);
/* The score as of now. */
uint32_t jobs_health_score(const struct jobs_health *h, uint64_t now_us);

/* Equal for the same reason and text. */
uint64_t jobs_failure_kind(enum sh_err reason, const char *text);
/* Keeps the failure, drops the oldest beyond JOBS_TROUBLE_MAX. True: poison. */
bool jobs_trouble_add(struct jobs_trouble *t, const uint8_t node[static SH_NODE_ID_BYTES],
                      uint64_t kind, uint64_t now_us);
/* How long a unit waits after its n-th failure (from 1): half to all of 5 s times 2^(n - 1), at
 * most 5 min; which part follows from the unit and n. */
uint64_t jobs_backoff_us(struct wire_unit unit, uint32_t failures);

#endif
