/* SPDX-License-Identifier: Apache-2.0
 *
 * Leading federated rounds, on the first member of a gang: it hosts the core (mesh/fed), asks the
 * members, fetches and looks at their updates, combines those that count, and commits each round as
 * a checkpoint under the fence of the gang. The next round opens only then, so whoever leads the
 * next generation goes on from there, and of a round that was not committed members still have what
 * they made. Belongs to one thread, but rounds_lead_hear. */
#ifndef ROUNDS_LEAD_H
#define ROUNDS_LEAD_H

#include "rounds/member.h"
#include "train/worker.h"

#define ROUNDS_SLOTS_MAX  256u               /* agents that were ever members, of one leader */
#define ROUNDS_MAIL_MAX   256u               /* reports that wait to be looked at */
#define ROUNDS_ASK_US     UINT64_C(1000000)  /* for a member to answer an invitation */
#define ROUNDS_AGAIN_US   UINT64_C(200000)   /* between two tries to reach one */
#define ROUNDS_GIVE_UP_US UINT64_C(10000000) /* of tries: then it counts as declined */
#define ROUNDS_POLL_US    UINT64_C(2000000)  /* between two looks at a member that works */
#define ROUNDS_FETCH_US   UINT64_C(10000000) /* for an update to come */
#define ROUNDS_COMMIT_US  UINT64_C(300000)   /* between two tries to commit a round */

struct rounds_lead;

enum rounds_turn {
    ROUNDS_INTERRUPTED,
    ROUNDS_DONE,  /* all rounds are over: rounds_lead_result */
    ROUNDS_FAILED /* the clerk was told */
};

/* Of the worker w, whose thread calls everything here but rounds_lead_hear; member is this agent's
 * own; both are borrowed. NO_MEMORY. */
SH_MUST_USE enum sh_err rounds_lead_open(struct rounds_lead **out, struct train_worker *w,
                                         struct rounds_member *member);
void rounds_lead_close(struct rounds_lead *lead);

/* Goes on with the rounds as the first member of w->at, until train_worker_is_interrupted. */
enum rounds_turn rounds_lead_run(struct rounds_lead *lead);
/* The newest committed model, as the result of the unit; loads it where it was not yet. False:
 * there is none, and the clerk was told. */
bool rounds_lead_result(struct rounds_lead *lead, bool partial, struct train_result *result);

/* Another member leads now: nothing that is not committed is kept. */
void rounds_lead_leave(struct rounds_lead *lead);

/* A member's report. Any thread, never blocks. */
enum rounds_heard rounds_lead_hear(struct rounds_lead *lead, const struct rounds_report *report);

#endif
