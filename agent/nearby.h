/* SPDX-License-Identifier: Apache-2.0
 *
 * The short way between two agents on one machine. Training frames between them need no encryption
 * and no network: each agent listens on a local socket named after its id, and one that has frames
 * for another tries that name first. Whoever is not there (another machine, another container) is
 * reached over the bulk plane as always; frames may go either way and carry no order.
 *
 * Both ends prove that they know the cluster secret and own the identity they name before a frame
 * passes: three messages, each a fixed layout behind a magic number.
 *
 *   dialler  "SHN1" cluster[16] node[16] key[32] nonce[32]
 *   listener "SHN2" node[16] key[32] nonce[32] mac[32] signature[64]   over SHN1 and its own fields
 *   dialler  "SHN3" mac[32] signature[64]                              over SHN1 and SHN2
 *
 * After that every message is u16 type, u16 zero, payload, from the dialler to the listener only:
 * the other direction has a connection of its own. A message may bring one descriptor
 * (SCM_RIGHTS). */
#ifndef AGENT_NEARBY_H
#define AGENT_NEARBY_H

#include "base/bytes.h"
#include "base/limits.h"

#define NEARBY_PEERS_MAX    64u
#define NEARBY_FRAME_MAX    (SH_BULK_CHUNK_BYTES + 8192u) /* payload bytes */
#define NEARBY_HANDSHAKE_US UINT64_C(2000000)             /* then the connection is closed */
#define NEARBY_RETRY_US     UINT64_C(1000000)             /* before an absent peer is tried again */

struct nearby;
struct trust;

/* On nearby's thread: a frame of a peer; payload and fd, -1 where none came with it, are borrowed
 * for the call, which must not block. */
typedef void (*nearby_frame_fn)(void *ctx, const uint8_t node[SH_NODE_ID_BYTES], uint16_t type,
                                struct sh_span payload, int fd);

/* On nearby's thread: a connection of that peer is gone (a hint). */
typedef void (*nearby_down_fn)(void *ctx, const uint8_t node[SH_NODE_ID_BYTES]);

/* trust is borrowed. IN_USE: something else has the name of this agent's socket; IO, NO_MEMORY. The
 * agent can go on without it. */
SH_MUST_USE enum sh_err nearby_open(struct nearby **out, const struct trust *trust,
                                    nearby_frame_fn frame, nearby_down_fn down, void *ctx);
SH_MUST_USE enum sh_err nearby_start(struct nearby *n);
void nearby_stop(struct nearby *n);
void nearby_close(struct nearby *n);

/* Any thread, never blocks. True: the peer's machine is this one and the frame is in its socket.
 * False: take the bulk plane; where the peer is not known yet it is looked for meanwhile. */
bool nearby_send(struct nearby *n, const uint8_t node[SH_NODE_ID_BYTES], uint16_t type,
                 struct sh_span head, struct sh_span body);
/* The same with a descriptor (borrowed), of which the peer gets a duplicate. False: the peer is not
 * here or not known yet, or the descriptor cannot be sent. */
bool nearby_hand(struct nearby *n, const uint8_t node[SH_NODE_ID_BYTES], uint16_t type,
                 struct sh_span head, int fd);

#endif
