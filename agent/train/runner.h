/* SPDX-License-Identifier: Apache-2.0
 *
 * What runs the units of one kind of job on this agent: a training session (session.h), or the
 * commands of a script (script/unit.h). The supervisor (train.h) opens a part for each unit that is
 * placed here and tells it of every later placement. */
#ifndef TRAIN_RUNNER_H
#define TRAIN_RUNNER_H

#include "service.h"

#include "wire/job.h"

#define TRAIN_PATH_MAX 3584u /* bytes of the name of a folder, with the NUL */

/* A placement with this agent among its members. */
struct train_assignment {
    struct wire_placement placement;
    enum wire_cause cause; /* why it was made */
    bool stopping;         /* the unit was asked to stop */
    bool yielding;         /* it was asked to leave a checkpoint and give way */
    uint32_t units;        /* that the job is to complete */
    char names[WIRE_MEMBERS_MAX][SH_NAME_MAX + 1];
};

struct train_part_config {
    struct wire_unit unit;
    char cache[TRAIN_PATH_MAX];           /* what folders for files in passing begin with */
    struct sh_span spec;                  /* copied */
    uint8_t spec_digest[SH_DIGEST_BYTES]; /* of the job */
    uint32_t units;                       /* of the job */
    /* Of a sweep: spec and digest are the unit's own. */
    struct sh_span params; /* its values as JSON; copied; empty: it is no sweep */
    bool goes_on;          /* with what the unit `before` of the same job left */
    uint32_t before;
    char metric[SH_NAME_MAX + 1]; /* by which it is compared with others; "": likewise */
    void (*ended)(void *ctx);     /* on the part's thread, once it is about to return */
    void *ctx;
};

struct train_part; /* one unit's part on this agent; each runner has its own */

struct train_runner {
    void *ctx; /* of open */
    /* Starts its thread. NO_MEMORY. */
    enum sh_err (*open)(void *ctx, struct train_part **out, const struct train_part_config *config,
                        const struct train_assignment *first);
    /* The newest placement, or that the unit is stopping or yielding; nothing happens when it is
     * the one in force. Any thread, never blocks. */
    void (*assign)(struct train_part *part, const struct train_assignment *assignment);
    /* NULL, or false: this agent is no member any more, so the part is to leave. True: it keeps
     * what it has until its unit ends or is placed here anew, and does nothing meanwhile. Never
     * blocks. */
    bool (*park)(struct train_part *part);
    void (*leave)(struct train_part *part); /* asks it to end; does not wait */
    bool (*has_ended)(struct train_part *part);
    /* It could not prepare for its unit, and has said so: a later placement needs a new part. */
    bool (*has_failed)(struct train_part *part);
    void (*close)(struct train_part *part); /* waits for its thread */
};

#endif
