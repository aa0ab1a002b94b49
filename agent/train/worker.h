/* SPDX-License-Identifier: Apache-2.0
 *
 * What the parts have in common that do a unit on a thread of their own: the newest placement,
 * which any thread may bring, and the one in force, which is the worker's; scribe and clerk; the
 * life from open to close. Each kind of part begins with a worker and says with its duty what it
 * does. (A training session, session.h, answers frames while it waits and has a life of its own.)
 */
#ifndef TRAIN_WORKER_H
#define TRAIN_WORKER_H

#include "train/clerk.h"
#include "train/resume.h"
#include "train/runner.h"

#include "spec/spec.h"

#include <pthread.h>

#define TRAIN_FETCH_US UINT64_C(10000000) /* without another byte of what a unit needs */

struct train_worker;

/* All on the worker's thread, but release. */
struct train_duty {
    const char *name; /* of the thread, before the number of the job */
    /* What does not depend on a placement. Where it cannot, the unit has failed, for good but for
     * NO_MEMORY, and why says of what. NULL: nothing to do. */
    enum sh_err (*prepare)(struct train_worker *w, char *why, size_t size);
    /* Does what w->at asks for, until that is done or train_worker_is_interrupted. Not called
     * again for a generation whose result is with the clerk. anew: of another generation than
     * before. */
    void (*follow)(struct train_worker *w, bool anew);
    void (*end)(struct train_worker *w);     /* the last call; NULL: nothing to do */
    void (*release)(struct train_worker *w); /* train_worker_fini, and frees what it is part of */
};

struct train_worker {
    struct service *s;
    const struct train_duty *duty;
    struct train_part_config config; /* spec and params are its own, and end with a NUL */
    uint8_t me[SH_NODE_ID_BYTES];
    char node[SH_NAME_MAX + 1]; /* name of this agent */
    pthread_t thread;

    /* Of its thread. */
    struct spec_job *job; /* what spec says */
    struct train_scribe *scribe;
    struct train_clerk *clerk;
    struct train_assignment at; /* in force */
    bool finished;              /* in this generation: its result is with the clerk */

    pthread_mutex_t lock; /* what follows, and what the part has beside it */
    pthread_cond_t changed;
    struct train_assignment next; /* the newest */
    bool leaving;
    bool failed;
    bool ended;
};

/* Copies config and makes scribe and clerk; fini whatever it answers. NO_MEMORY. */
SH_MUST_USE enum sh_err train_worker_init(struct train_worker *w, struct service *s,
                                          const struct train_duty *duty,
                                          const struct train_part_config *config,
                                          const struct train_assignment *first);
void train_worker_fini(struct train_worker *w); /* blocks as train_clerk_close does */
/* Starts its thread, which gives the worker to *out; where it cannot, releases it. err: what became
 * of making it. */
SH_MUST_USE enum sh_err train_worker_start(struct train_worker *w, enum sh_err err,
                                           struct train_part **out);
/* A runner of parts that are workers. */
struct train_runner train_worker_runner(void *ctx,
                                        enum sh_err (*open)(void *ctx, struct train_part **out,
                                                            const struct train_part_config *config,
                                                            const struct train_assignment *first));

void train_worker_lock(struct train_worker *w);
void train_worker_unlock(struct train_worker *w);
void train_worker_signal(struct train_worker *w); /* with the lock: something changed */
/* With the lock: what is in force is not what is wanted any more. */
bool train_worker_has_news(const struct train_worker *w);
bool train_worker_is_interrupted(struct train_worker *w); /* likewise, without the lock */

/* From its thread, for the generation in force. As train_resume, and what is passing is waited for,
 * but by a unit that is stopping. Sets whose and where in r. CANCELLED: interrupted. */
SH_MUST_USE enum sh_err train_worker_resume(struct train_worker *w, struct train_resume *r);
/* A blob that the unit cannot do without: waited for in the same way, with a line in the log that
 * says for what. *bytes is given (free). CANCELLED: interrupted. NOT_FOUND: nobody has it and all
 * are there; CORRUPT, LIMIT, NO_MEMORY. */
SH_MUST_USE enum sh_err train_worker_blob(struct train_worker *w, const char *what,
                                          const uint8_t digest[static SH_DIGEST_BYTES],
                                          uint64_t bytes_max, uint8_t **bytes, size_t *size);

/* Hands a failure of the unit to the clerk; mine: it may be this agent's fault. */
void train_worker_fail(struct train_worker *w, enum sh_err reason, bool final, bool mine,
                       const char *text);
/* Hands the result to the clerk, which takes what train_clerk_result takes. */
void train_worker_finish(struct train_worker *w, const struct train_result *result);

#endif
