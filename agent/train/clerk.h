/* SPDX-License-Identifier: Apache-2.0
 *
 * Carries what a session has made to where it lasts, on a thread of its own: checkpoints while the
 * steps go on, and the result of the unit. Blobs first, on two agents where there are two, then the
 * command that names them, under the fence of the gang. */
#ifndef TRAIN_CLERK_H
#define TRAIN_CLERK_H

#include "train/scribe.h"

#include "jobs/cmd.h"

#define TRAIN_COPIES     2u                 /* agents that hold a blob, where there are as many */
#define TRAIN_BLOB_US    UINT64_C(10000000) /* without another byte of a blob that got to one */
#define TRAIN_CMD_US     UINT64_C(2000000)  /* for one try of a command */
#define TRAIN_SETTLE_US  UINT64_C(1000000)  /* for the last lines and points to be with others */
#define TRAIN_REFUSAL_US UINT64_C(300000)   /* before the next try */
#define TRAIN_TELL_US    UINT64_C(5000000)  /* between two words of how far the unit is, */
#define TRAIN_TELL_STEP  10u                /* which are so many thousandths apart at least */
#define TRAIN_TRIES_MAX  20u                /* of storing a result before the unit fails */

struct train_clerk;

struct train_result {
    struct wire_fence fence;
    bool failed;
    /* failed: */
    enum sh_err reason;
    bool final;
    char text[JOBS_TEXT_MAX + 1];
    uint8_t node[SH_NODE_ID_BYTES]; /* the member where; zero: nobody's fault that is known */
    /* else: */
    bool partial;
    struct jobs_outcome outcome; /* file is filled in by the clerk */
    uint8_t *file;               /* of the model, NULL: it made none; taken (free) */
    size_t file_size;
    uint8_t *outputs; /* NULL: none; else its blob becomes outcome.state; taken (free) */
    size_t outputs_size;
    bool file_is_model; /* outcome.model is that of the file */
};

/* The last checkpoint of a gang. */
struct train_last {
    struct wire_fence fence;
    uint64_t step;
    uint64_t work_us; /* as of train_clerk_checkpoint */
    uint8_t *bytes;   /* NULL: there is nothing to keep; taken (free) */
    size_t size;
    bool yields; /* once it is kept, the unit waits again */
};

/* scribe is borrowed. */
SH_MUST_USE enum sh_err train_clerk_open(struct train_clerk **out, struct service *s,
                                         struct train_scribe *scribe, struct wire_unit unit);
/* Gives up what is not done; blocks while a call of service.h is under way. */
void train_clerk_close(struct train_clerk *clerk);

/* Stores and announces a checkpoint. work_us: what it took so far, a step and putting the state in
 * bytes; with what storing takes it says how long a gang needs to give way. Takes bytes (free).
 * False: the one before is still under way; bytes stay the caller's. Storing goes on as long as
 * bytes get to other agents and the gang is not superseded. A checkpoint that cannot be stored is
 * logged and forgotten. A result that comes meanwhile waits for it. */
bool train_clerk_checkpoint(struct train_clerk *clerk, struct wire_fence fence, uint64_t step,
                            uint64_t work_us, uint8_t *bytes, size_t size);
/* The same on the caller's thread, which waits; is_over (of ctx) says that it is not to wait any
 * longer: CANCELLED. bytes are borrowed, digest is that of their blob. OK only once it is
 * committed; STALE: the fence is; else what storing or proposing answers, and it may be tried again
 * with the same bytes. */
SH_MUST_USE enum sh_err train_clerk_keep(struct train_clerk *clerk, struct wire_fence fence,
                                         uint64_t step, struct sh_span bytes,
                                         uint8_t digest[static SH_DIGEST_BYTES],
                                         bool (*is_over)(void *ctx), void *ctx);
/* How far the unit is: told now and then, under the newest fence. permille: below 1000. Cheap. */
void train_clerk_progress(struct train_clerk *clerk, struct wire_fence fence, uint32_t permille);
/* Stores and announces the last checkpoint of a gang, before any result and instead of one that
 * waits. One that yields is tried until it is kept, or superseded as a result is. */
void train_clerk_last(struct train_clerk *clerk, const struct train_last *last);
/* Stores and proposes the result until it is acknowledged, refused for good, or replaced by another
 * result or by train_clerk_drop. Takes result->file and result->outputs. */
void train_clerk_result(struct train_clerk *clerk, const struct train_result *result);
/* The gang is superseded: nothing under its fence is proposed any more. */
void train_clerk_drop(struct train_clerk *clerk);

#endif
