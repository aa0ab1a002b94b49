/* SPDX-License-Identifier: Apache-2.0
 *
 * What this agent works on. A supervisor walks the open units of the tables whenever something was
 * applied and makes this agent's work match: a noop unit placed here is committed; a training unit
 * placed here has a session (session.h) that follows its gang from placement to placement; work
 * whose unit ended or moved away is stopped. */
#ifndef TRAIN_TRAIN_H
#define TRAIN_TRAIN_H

#include "service.h"

#define TRAIN_UNITS_MAX    1024u             /* open units looked at with one view of the tables */
#define TRAIN_SESSIONS_MAX 8u                /* at a time; further units wait for one to end */
#define TRAIN_OPEN_TRIES   5u                /* to begin a unit, then it has failed here */
#define TRAIN_OPEN_US      UINT64_C(500000)  /* between two of them */
#define TRAIN_PROPOSE_US   UINT64_C(2000000) /* of one command; tried again while its fence holds */

struct bulk;
struct train;
struct train_runner;

struct train_config {
    struct service *s;
    struct bulk *bulk;
    unsigned threads;  /* cores that training may use */
    const char *cache; /* folder for files in passing, made where it is absent; copied */
    const struct train_runner *exec;   /* of units that run commands; borrowed */
    const struct train_runner *answer; /* of units that ask models; borrowed */
    const struct train_runner *rl;     /* of units of kind rl; borrowed */
    const struct train_runner *rounds; /* of units of federated rounds; borrowed */
};

/* Sets the bulk plane's training frames. */
SH_MUST_USE enum sh_err train_open(struct train **out, const struct train_config *config);
SH_MUST_USE enum sh_err train_start(struct train *t);
/* Ends every session; waits for their threads. */
void train_stop(struct train *t);
void train_close(struct train *t);
/* The tables changed. Any thread, never blocks. */
void train_wake(struct train *t);

#endif
