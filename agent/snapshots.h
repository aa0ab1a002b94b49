/* SPDX-License-Identifier: Apache-2.0
 *
 * Snapshots of the tables from agent to agent, over the bulk plane. Who lacks what the log no
 * longer has is told so by the coordinator, and pulls: one piece of one chunk is under way at a
 * time, so a transfer needs no more than a chunk of memory at either end and leaves the bulk plane
 * to others between any two pieces. Pieces that are lost are asked for again.
 *
 * Here: SNAPSHOTS_SERVED_MAX streams for others (FULL beyond), each given up after
 * SNAPSHOTS_IDLE_US without a question; and one thread that pulls. What it has pulled lies in the
 * store beside the live tables until the loop decides.
 *
 * Wire (SERVICE_CALL_SNAPSHOT): OPEN {u8 1, node} -> {u64 stream}; READ {u8 2, u64 stream, u32
 * chunk, u32 offset} -> {u32 size of the chunk, bytes from offset}, chunk being the newest one
 * asked for or the next; DONE {u8 3, u64 stream, u32 err}. Chunks are those of
 * store/fsm/snapshot.h. */
#ifndef AGENT_SNAPSHOTS_H
#define AGENT_SNAPSHOTS_H

#include "calls.h"
#include "disk.h"
#include "queue.h"
#include "raft/raft.h"
#include "store/fsm/snapshot.h"

#define SNAPSHOTS_SERVED_MAX  2u
#define SNAPSHOTS_PIECE_BYTES (192u << 10)
#define SNAPSHOTS_CALL_US     UINT64_C(2000000)  /* for one piece */
#define SNAPSHOTS_IDLE_US     UINT64_C(10000000) /* without a piece: given up, at both ends */
#define SNAPSHOTS_BACKOFF_US                                                                       \
    UINT64_C(2000000) /* after a failure, before the next one is pulled                            \
                       */

struct snapshots;

struct snapshots_config {
    uint8_t me[SH_NODE_ID_BYTES];
    struct fsm *fsm;     /* borrowed */
    struct calls *calls; /* borrowed */
    uint32_t schema;     /* of the rows */
    /* Of every disk_install that is handed out. */
    bool (*quiet)(void *ctx);
    void *ctx;
};

enum snapshots_event_kind {
    SNAPSHOTS_STAGED, /* snapshot: pulled and whole; answer with snapshots_take or snapshots_drop */
    SNAPSHOTS_SENT,   /* node, ok: that agent has put one in place, or failed to */
    SNAPSHOTS_FAILED  /* err: the own store takes no more writes; the agent must stop */
};

struct snapshots_event {
    enum snapshots_event_kind kind;
    struct raft_snapshot snapshot;
    uint8_t node[SH_NODE_ID_BYTES];
    bool ok;
    enum sh_err err;
};

SH_MUST_USE enum sh_err snapshots_open(struct snapshots **out,
                                       const struct snapshots_config *config);
SH_MUST_USE enum sh_err snapshots_start(struct snapshots *s);
/* After calls_stop. */
void snapshots_stop(struct snapshots *s);
void snapshots_close(struct snapshots *s);

/* ---- from the loop; never block ---- */

/* node says that it has a snapshot for this agent. Nothing where one is being pulled or was pulled
 * and waits; but one that is stuck gives way to another node's. */
void snapshots_pull(struct snapshots *s, const uint8_t node[SH_NODE_ID_BYTES]);
/* Of struct snapshots_event. */
struct queue *snapshots_event_queue(struct snapshots *s);
/* The staged snapshot, for one disk write; then snapshots_installed when that is durable. */
struct disk_install *snapshots_take(struct snapshots *s);
void snapshots_installed(struct snapshots *s);
/* The staged snapshot is not wanted any more: its rows are deleted. */
void snapshots_drop(struct snapshots *s);

/* Whether this node has asked for a piece within SNAPSHOTS_IDLE_US. */
bool snapshots_serving(struct snapshots *s, const uint8_t node[SH_NODE_ID_BYTES]);
/* The least index that a stream in progress ends with: the log behind it will be asked for.
 * UINT64_MAX: none. */
uint64_t snapshots_floor(struct snapshots *s);
uint64_t snapshots_count(struct snapshots *s); /* installed since the start */

#endif
