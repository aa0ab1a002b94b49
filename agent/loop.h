/* SPDX-License-Identifier: Apache-2.0
 *
 * The one event loop: steps the consensus and membership cores and owns the control plane and the
 * gossip socket. It never waits for a disk, a worker or a peer. A turn: read the clock, take what
 * has arrived (bounded), step, send, publish; then sleep until the next deadline or input. */
#ifndef AGENT_LOOP_H
#define AGENT_LOOP_H

#include "gossip.h"
#include "replica.h"

#define LOOP_OUTBOX_BYTES_MAX (16u << 20)
#define LOOP_POSTS_MAX        1024u
/* While a proposal is under way the next one gathers so many commands, or so long: each costs every
 * agent a write and some messages, however many commands it has. */
#define LOOP_GATHER_COMMANDS 128u
#define LOOP_GATHER_US       UINT64_C(4000)
#define LOOP_DOORS_MAX       64u  /* addresses to join at */
#define LOOP_REASON_BYTES    512u /* of a NOT_ADMITTED message {u32 err, str}, NUL included */
#define LOOP_KEEP_US         (JOBS_SESSION_US / 4) /* between two words that our session is held */
#define LOOP_LEAVE_US        UINT64_C(6000000)     /* longest graceful leave */
#define LOOP_RESIGN_US       UINT64_C(500000)      /* longest handing over with a failed disk */

struct loop;

/* Opens the replica and gossip on what the service holds. why: LINK_TEXT_MAX + 1 bytes. */
SH_MUST_USE enum sh_err loop_open(struct loop **out, struct service *s,
                                  const struct gossip_options *gossip, char *why);
void loop_close(struct loop *loop);
/* On the calling thread, until loop_leave is done or a failure that must stop the agent (its code).
 */
SH_MUST_USE enum sh_err loop_run(struct loop *loop);

/* ---- from any thread ---- */

/* An encoded command; bytes are given. FULL: nothing was taken. */
SH_MUST_USE enum sh_err loop_post_proposal(struct loop *loop, uint8_t *bytes, size_t size);
void loop_post_change(struct loop *loop, const struct raft_conf_change *change);
void loop_post_transfer(struct loop *loop, uint64_t to);
/* A round of reads. FULL: it is begun again. */
void loop_post_read(struct loop *loop, uint64_t number);
/* A row of the tables: which node a handle is, and where. */
void loop_post_node(struct loop *loop, uint64_t handle, const uint8_t node[SH_NODE_ID_BYTES],
                    const char *addr, uint16_t bulk_port);
void loop_post_join(struct loop *loop, const struct link_addr *addr);
/* Leaves gracefully: hands over what it leads, says goodbye, then loop_run returns. Safe in a
 * signal handler. */
void loop_leave(struct loop *loop);
bool loop_is_leaving(struct loop *loop);
SH_MUST_USE enum sh_err loop_send(struct loop *loop, const uint8_t node[SH_NODE_ID_BYTES],
                                  uint16_t type, struct sh_span bytes);
void loop_replica_status(struct loop *loop, struct replica_status *out);

#endif
