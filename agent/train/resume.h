/* SPDX-License-Identifier: Apache-2.0
 *
 * Where a unit goes on from: the newest of its checkpoints that can be had. One that is of no use
 * to anybody is passed over, one that may come back is not: a unit that began anew would put its
 * own checkpoints in the place of those. */
#ifndef TRAIN_RESUME_H
#define TRAIN_RESUME_H

#include "train/scribe.h"

#include "jobs/view.h"

#define TRAIN_AGAIN_US UINT64_C(2000000)  /* before a checkpoint is asked for again */
#define TRAIN_SAY_US   UINT64_C(60000000) /* between two lines that say what is waited for */

struct train_resume {
    struct service *s;
    struct train_scribe *scribe; /* is told what cannot be used, and what is waited for */
    const char *node;            /* name of this agent */
    const char *name;            /* "checkpoint after step": as lines say it, before a number */
    struct wire_unit unit;
    bool goes_on; /* where it has none that can be used: with those of `before` of its job */
    uint32_t before;
    uint64_t from; /* those of earlier steps are not looked at */
    uint64_t bytes_max;
    const struct service_patience *patience;
    uint64_t whole_us; /* not 0: for the whole of one, in the place of patience */
    /* CORRUPT, INVALID, LIMIT, CONFLICT: it is of no use to anybody, why may say of what. Others
     * end the search. */
    enum sh_err (*take)(void *ctx, const struct jobs_checkpoint *c, struct sh_span bytes, char *why,
                        size_t size);
    void *ctx;
    uint64_t say_at_us; /* its own; 0 at first */
};

/* One pass. NOT_FOUND: there is none, or none that is or may come to be of any use: the unit begins
 * anew. What train_is_passing says: there is one that may be had later. CANCELLED; what take
 * answers. */
SH_MUST_USE enum sh_err train_resume(struct train_resume *r);

#endif
