/* SPDX-License-Identifier: Apache-2.0
 *
 * Questions from agent to agent over either plane. A caller waits with a deadline; at the other end
 * a few worker threads run the registered functions, so that neither the loop nor the bulk thread
 * ever waits for an answer.
 *
 * Wire: request {u64 id, u8 kind, bytes}, reply {u64 id, u32 err, bytes}. Ids are this agent's own.
 * Limits: CALLS_WAITING_MAX questions under way here (FULL), CALLS_QUEUE_MAX questions or
 * CALLS_QUEUE_BYTES_MAX bytes of others with the workers (the asker is answered FULL). */
#ifndef AGENT_CALLS_H
#define AGENT_CALLS_H

#include "service.h"

#define CALLS_WAITING_MAX     64u
#define CALLS_QUEUE_MAX       128u
#define CALLS_QUEUE_BYTES_MAX (16u << 20)
#define CALLS_WORKERS         3u
#define CALLS_REQUEST_MAX     (SH_CONTROL_BYTES_MAX / 2)
#define CALLS_BULK_MAX        SH_BULK_CHUNK_BYTES /* of a request or a reply on the bulk plane */
#define CALLS_REPLY_MAX       (SH_CONTROL_BYTES_MAX / 2)

enum calls_plane { CALLS_CONTROL, CALLS_BULK };
enum calls_frame { CALLS_REQUEST, CALLS_REPLY };

struct calls;

/* Hands a frame to the thread that owns the plane; bytes are borrowed. Must not block. */
typedef enum sh_err (*calls_post_fn)(void *ctx, enum calls_plane plane,
                                     const uint8_t node[SH_NODE_ID_BYTES], enum calls_frame frame,
                                     const void *bytes, size_t size);

struct calls_config {
    uint8_t me[SH_NODE_ID_BYTES];
    calls_post_fn post;
    void *ctx;
};

SH_MUST_USE enum sh_err calls_open(struct calls **out, const struct calls_config *config);
/* Fails everybody who waits with CANCELLED, now and from now on, drops the questions that no worker
 * has begun and joins the workers. */
void calls_stop(struct calls *calls);
bool calls_stopped(struct calls *calls);
void calls_close(struct calls *calls);

/* One function a kind; until there is one a question of that kind gets UNSUPPORTED. Peers may ask
 * before all parts of this agent are there. */
void calls_on(struct calls *calls, enum service_call_kind kind, service_call_fn fn, void *ctx);

/* Any thread but a plane's owner. A question to this agent itself runs on the caller's thread.
 * Errors: those of the function that answers; LIMIT (the request is larger than the plane takes, or
 * the reply than capacity), FULL, TIMEOUT, UNREACHABLE, CANCELLED. */
SH_MUST_USE enum sh_err calls_ask(struct calls *calls, enum calls_plane plane,
                                  const uint8_t node[SH_NODE_ID_BYTES], enum service_call_kind kind,
                                  const void *request, size_t size, uint8_t *reply, size_t capacity,
                                  size_t *reply_size, uint64_t timeout_us);

/* From the plane's owner; never blocks; foreign bytes never panic. */
void calls_receive(struct calls *calls, enum calls_plane plane,
                   const uint8_t node[SH_NODE_ID_BYTES], enum calls_frame frame,
                   struct sh_span payload);
/* The node's connection is gone: who waits for it gets UNREACHABLE at once. */
void calls_peer_down(struct calls *calls, enum calls_plane plane,
                     const uint8_t node[SH_NODE_ID_BYTES]);

#endif
