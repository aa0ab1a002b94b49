/* SPDX-License-Identifier: Apache-2.0
 *
 * agent/service.h over memory, in one process: the real jobs core, tables, blobs and series, each
 * command applied at once. The second implementation of that interface; the first is the running
 * agent. What a cluster would do by itself (place, train, commit) tests do through it. Several
 * agents may share one cluster: all see the same tables, and a blob that one of them puts is on
 * all. */
#ifndef MEMORY_SERVICE_H
#define MEMORY_SERVICE_H

#include "service.h"

#define MEMORY_SERVICE_AGENTS_MAX 14u
#define MEMORY_SERVICE_HELD_MAX   512u

/* Something was applied; with the cluster's lock held. */
typedef void (*memory_service_applied_fn)(void *ctx);
/* service_report_lost was called. */
typedef void (*memory_service_lost_fn)(void *ctx, struct wire_unit unit, struct wire_fence fence,
                                       const uint8_t lost[SH_NODE_ID_BYTES]);

/* One admitted agent, "alpha", the leader. Panics when memory runs out. */
struct service *memory_service_open(void);
/* Another agent of the same cluster; ids grow in the order of joining. */
struct service *memory_service_join(struct service *s, const char *name);
void memory_service_close(struct service *s); /* the last one takes the cluster along */

/* NULL: none. */
void memory_service_on_applied(struct service *s, memory_service_applied_fn fn, void *ctx);
void memory_service_on_lost(struct service *s, memory_service_lost_fn fn, void *ctx);

/* Writes and linearizable reads answer NO_QUORUM while off. */
void memory_service_quorum(struct service *s, bool on);
/* What service_propose_begin takes from now on waits, MEMORY_SERVICE_HELD_MAX at most, more answer
 * FULL; until it is let go, by one thread. */
void memory_service_hold(struct service *s);
void memory_service_await_held(struct service *s, uint32_t count);
void memory_service_let_go(struct service *s);
/* The next write to the blob store fails so. */
void memory_service_blob_error(struct service *s, enum sh_err err);
/* Every fetch of that blob, and of no other, answers so from now on; OK: no more. */
void memory_service_fetch_error(struct service *s, const uint8_t digest[SH_DIGEST_BYTES],
                                enum sh_err err);
void memory_service_why(struct service *s, const char *text);
/* Applies a command as the leader would; expects it to succeed. */
void memory_service_apply(struct service *s, struct jobs_cmd *cmd, struct jobs_result *result);
/* Places the only unit of a job on this agent, all ranks. */
struct wire_fence memory_service_place(struct service *s, uint64_t job);
/* On these, in this order, with equal shares of the ranks. */
struct wire_fence memory_service_place_gang(struct service *s, uint64_t job,
                                            struct service *const *agents, uint32_t count,
                                            enum wire_cause cause);
/* Commits it with a model file of those bytes (NULL: none). */
void memory_service_commit(struct service *s, uint64_t job, struct wire_fence fence,
                           const void *file, size_t size);
/* Asks it to stop, and commits what it left, likewise. */
void memory_service_stop(struct service *s, uint64_t job, struct wire_fence fence, const void *file,
                         size_t size);
/* What later commits have measured, instead of 98 right of 100. */
void memory_service_measures(struct service *s, const struct jobs_metrics *measures);
/* Points of one series, as a session tells them. */
void memory_service_points(struct service *s, uint64_t job, const char *name,
                           const struct service_point *points, size_t count);

#endif
