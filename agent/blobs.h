/* SPDX-License-Identifier: Apache-2.0
 *
 * Blobs among agents: copies to others, fetches from them, over the bulk plane. The store checks
 * digests (store/blob), so a damaged or lying peer costs a retry and never a wrong byte.
 *
 * Copies go to the live agents in an order that follows from the blob's name, so that they spread
 * and everybody looks for holders in the same order. A copy is pushed piece by piece, each
 * acknowledged, the last one when the whole blob is durable there; a fetch pulls pieces from any
 * holder and goes on with the next holder where one fails. Both resume from what is there already.
 * At most BLOBS_PUSHED_MAX pushes are received at a time (FULL). */
#ifndef AGENT_BLOBS_H
#define AGENT_BLOBS_H

#include "calls.h"
#include "members.h"
#include "store/blob/blob.h"

#define BLOBS_PIECE_BYTES  196608u
#define BLOBS_PUSHED_MAX   8u
#define BLOBS_HOLDERS_MAX  32u                /* agents that are asked or given to */
#define BLOBS_ASKED_MAX    256u               /* blobs of one question */
#define BLOBS_PUSH_IDLE_US UINT64_C(60000000) /* of a push, then its place is free */
#define BLOBS_CALL_US      UINT64_C(5000000)  /* one piece */

struct blobs;

struct blobs_config {
    struct blob *store;      /* borrowed */
    struct calls *calls;     /* borrowed; its SERVICE_CALL_BLOB handler is set by blobs_open */
    struct members *members; /* borrowed */
    uint8_t me[SH_NODE_ID_BYTES];
};

SH_MUST_USE enum sh_err blobs_open(struct blobs **out, const struct blobs_config *config);
/* Whoever waits in put, copy or fetch gets CANCELLED at its next step, and so does everyone later.
 */
void blobs_stop(struct blobs *blobs);
void blobs_close(struct blobs *blobs); /* after calls_stop */

/* Stores bytes here and returns when copies agents, or all live ones if fewer, have them durable.
 * TIMEOUT: durable here, not yet there. With OK holders, which may be NULL, tells who has it, as
 * far as there is room. */
SH_MUST_USE enum sh_err blobs_put(struct blobs *blobs, const void *bytes, size_t size,
                                  unsigned copies, struct blob_id *id,
                                  struct service_holders *holders, uint64_t timeout_us);
/* The same with the deadline of one that can wait: TIMEOUT when no byte got anywhere for so long.
 */
SH_MUST_USE enum sh_err blobs_put_patient(struct blobs *blobs, const void *bytes, size_t size,
                                          unsigned copies, struct blob_id *id,
                                          struct service_holders *holders,
                                          const struct service_patience *patience);
/* As put, and nobody of those that have it collects it for keep_us. */
SH_MUST_USE enum sh_err blobs_upload(struct blobs *blobs, const void *bytes, size_t size,
                                     unsigned copies, uint64_t keep_us, struct blob_id *id,
                                     uint64_t timeout_us);
/* Once: is told what was put or uploaded here, when enough have it. Must not wait. */
void blobs_on_put(struct blobs *blobs, void (*fn)(void *ctx, const struct blob_id *id), void *ctx);
/* Which of these blobs, BLOBS_ASKED_MAX at most, another agent holds complete. */
SH_MUST_USE enum sh_err blobs_ask_held(struct blobs *blobs, const uint8_t node[SH_NODE_ID_BYTES],
                                       const struct blob_id *ids, uint32_t count, bool *has,
                                       uint64_t timeout_us);
/* The same for a blob that is here; NOT_FOUND or CORRUPT when it is not, or not whole. */
SH_MUST_USE enum sh_err blobs_copy(struct blobs *blobs, const struct blob_id *id, unsigned copies,
                                   struct service_holders *holders, uint64_t timeout_us);
/* Bytes of blobs that came from other agents on this one's asking, since it started. */
uint64_t blobs_fetched_bytes(const struct blobs *blobs);
/* Makes it local: reads the copy that is here through, fetches one where there is none or it is
 * damaged. NOT_FOUND: every live agent answered and none has it. CORRUPT: every copy
 * is damaged. TIMEOUT: some did not answer. */
SH_MUST_USE enum sh_err blobs_fetch(struct blobs *blobs, const struct blob_id *id, uint64_t *size,
                                    uint64_t timeout_us);
SH_MUST_USE enum sh_err blobs_fetch_patient(struct blobs *blobs, const struct blob_id *id,
                                            uint64_t *size,
                                            const struct service_patience *patience);

#endif
