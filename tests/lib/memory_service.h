/* SPDX-License-Identifier: Apache-2.0
 *
 * agent/service.h over memory, in one process: the real jobs core, tables, blobs and series, each
 * command applied at once, no other agents. The second implementation of that interface; the first
 * is the running agent. What a cluster would do by itself (place, train, commit) tests do through
 * it. */
#ifndef MEMORY_SERVICE_H
#define MEMORY_SERVICE_H

#include "service.h"

/* One admitted agent, "alpha", the leader. Panics when memory runs out. */
struct service *memory_service_open(void);
void memory_service_close(struct service *s);

/* Writes answer NO_QUORUM while off. */
void memory_service_quorum(struct service *s, bool on);
/* The next write to the blob store fails so. */
void memory_service_blob_error(struct service *s, enum sh_err err);
void memory_service_why(struct service *s, const char *text);
/* Applies a command as the leader would; expects it to succeed. */
void memory_service_apply(struct service *s, struct jobs_cmd *cmd, struct jobs_result *result);
/* Places the only unit of a job on this agent, all ranks. */
struct wire_fence memory_service_place(struct service *s, uint64_t job);
/* Commits it with a model file of those bytes (NULL: none). */
void memory_service_commit(struct service *s, uint64_t job, struct wire_fence fence,
                           const void *file, size_t size);

#endif
