/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to sim/: snapshots on their way from agent to agent. */
#ifndef SIM_TRANSFER_H
#define SIM_TRANSFER_H

#include "raft/raft.h"
#include "store/fsm/snapshot.h"

#define SIM_OFFER_US      UINT64_C(5000000) /* as agent/replica.h, as the next */
#define SIM_STAGED_US     UINT64_C(60000000)
#define SIM_PULL_STUCK_US UINT64_C(2000000) /* as agent/snapshots.h: its calls, */
#define SIM_PULL_IDLE_US  UINT64_C(10000000)
#define SIM_PULL_PAUSE_US UINT64_C(2000000)
#define SIM_PULL_RETRY_US UINT64_C(100000)
#define SIM_PULL_ASK_US   UINT64_C(300000) /* a question is asked again; there TCP does it */

enum { SIM_STREAMS_MAX = 2 }; /* as agent/snapshots.h */

struct sim_install { /* a snapshot whose rows are in the store, beside the live ones */
    uint64_t index;
    uint64_t term;
    struct kv_batch flip; /* makes them live */
};

/* A snapshot that is given to another agent. */
struct sim_stream {
    uint64_t id; /* 0: free */
    uint32_t to;
    uint32_t to_wipes;
    uint64_t index;
    uint64_t used_us; /* local */
    struct fsm_out *out;
    uint32_t number; /* of the chunk in bytes; UINT32_MAX: none yet */
    size_t size;
    uint8_t *bytes; /* FSM_SNAPSHOT_CHUNK_MAX */
};

enum sim_pull_state { SIM_IDLE, SIM_PULLING, SIM_BACKING_OFF, SIM_STAGED, SIM_FLIPPING };

/* The one that is taken from another agent. */
struct sim_pull {
    enum sim_pull_state state;
    bool ordered;
    uint32_t order; /* whom to pull from next */
    uint32_t order_wipes;
    uint32_t source;       /* whom it is pulled from now, */
    uint32_t source_wipes; /* as long as it is that identity */
    uint64_t stream;       /* 0: not opened yet */
    uint64_t call;         /* number of the question under way */
    uint64_t due_us;       /* local: it is asked again, or the pause is over */
    uint64_t piece_us;     /* local: when the newest one came */
    struct fsm_in *in;
    size_t used;                 /* of the chunk that is fetched */
    uint8_t *chunk;              /* FSM_SNAPSHOT_CHUNK_MAX */
    uint64_t staged_until_us;    /* local; 0: none waits for the core */
    struct raft_snapshot staged; /* that one */
    struct sim_install *install; /* the core has taken it: for the next write */
    uint64_t install_token;      /* 0: none is being put in place */
};

#endif
