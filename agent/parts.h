/* SPDX-License-Identifier: Apache-2.0
 *
 * The parts of a running agent and who may touch them. Opened in the order of the fields by
 * agent.c, closed in the reverse one. Private to agent/: edges use service.h. */
#ifndef AGENT_PARTS_H
#define AGENT_PARTS_H

#include "agent.h"
#include "apply.h"
#include "blobs.h"
#include "calls.h"
#include "disk.h"
#include "members.h"
#include "proposals.h"
#include "reads.h"
#include "replica.h"
#include "script/users.h"
#include "service.h"
#include "snapshots.h"
#include "train/runner.h"
#include "store/blob/blob.h"
#include "store/dir.h"
#include "store/series/series.h"
#include "trust/trust.h"

#include <pthread.h>
#include <stdatomic.h>

struct api;
struct housekeeping;
struct bulk;
struct loop;
struct planner;
struct records;
struct answer;
struct rounds;
struct scripts;
struct train;
struct vitals;

struct service {
    const struct agent_options *options;
    uint64_t start_us;
    struct dir *dir;
    struct trust trust;
    struct wire_node self; /* as gossiped; the loop's once it runs */
    struct kv *state;
    struct kv *bulk_kv;
    struct wal *wal;
    struct wal_boot boot;
    struct fsm *fsm;
    struct fsm_applied applied;
    struct blob *blob;
    struct series series;
    struct link *link;
    struct members *members;     /* any thread */
    struct proposals *proposals; /* any thread */
    struct reads *reads;         /* any thread */
    struct calls *calls;         /* any thread */
    struct blobs *blobs;         /* any thread */
    struct records *records;     /* any thread */
    struct snapshots *snapshots; /* told by the loop */
    struct disk *disk;           /* submitted to by the loop */
    struct apply *apply;         /* told by the loop */
    struct loop *loop;           /* posted to by any thread */
    struct bulk *bulk;           /* posted to by any thread */
    struct planner *planner;     /* woken by any thread */
    struct housekeeping *housekeeping;
    struct vitals *vitals;     /* read and woken by any thread */
    struct script_users users; /* that its units run as */
    struct scripts *scripts;
    struct answer *answer;
    struct rounds *rounds;
    struct train_runner rl; /* of units of kind rl */
    struct train *train;
    struct api *api;

    uint64_t life;                /* of this run, for its session */
    atomic_uint_fast64_t session; /* that commands are proposed in; 0: none yet */

    pthread_mutex_t lock; /* what follows: who waits for the tables */
    pthread_cond_t applied_more;
    uint64_t applied_index;
    atomic_bool ending; /* nothing more is applied; read without the lock, too */
};

/* Of proposals_open. */
enum sh_err service_send(void *ctx, uint8_t *envelope, size_t size);
enum sh_err service_late(void *ctx);
/* Of reads_open. */
void service_ask_read(void *ctx, uint64_t number);
/* Tells the loop every admitted agent and its addresses. */
void service_learn_nodes(struct service *s, const struct sh_table *table);
/* On the apply thread: these results are in the tables. */
void service_on_applied(void *ctx, uint64_t index, const struct jobs_result *results,
                        uint32_t count);
/* The loop is over, and with it applying: whoever waits for the tables goes on without them. */
void service_end_waits(struct service *s);

#endif
