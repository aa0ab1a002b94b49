/* SPDX-License-Identifier: Apache-2.0
 *
 * One replica of the jobs core with short ways to say a command. Every call encodes the command,
 * applies it as the next log entry and leaves the answer in world->result. */
#ifndef TEST_JOBS_WORLD_H
#define TEST_JOBS_WORLD_H

#include "jobs/jobs.h"
#include "jobs/view.h"
#include "rows.h"

struct world {
    struct rows rows;
    const struct sh_table *t;
    void *memory;
    struct jobs *core;
    uint64_t term;
    uint64_t index; /* of the last entry */
    uint64_t now_us;
    uint64_t session; /* of the commands that follow; 0: none */
    uint64_t number;
    struct jobs_cmd cmd;
    struct jobs_result result;
};

void world_init(struct world *w);
/* That, with agents 1 to nodes, "n1" and so on. */
void world_cluster(struct world *w, unsigned nodes);
void world_free(struct world *w);
/* Applies bytes as entry index + 1. */
void world_bytes(struct world *w, const void *bytes, size_t size);
/* Encodes w->cmd, which must be valid, with stamp now_us, and applies it. */
enum sh_err world_apply(struct world *w);

void world_node(uint8_t id[static SH_NODE_ID_BYTES], unsigned number);
enum sh_err world_admit(struct world *w, unsigned node, const char *name);
enum sh_err world_remove(struct world *w, unsigned node);
/* Starts a SUBMIT in w->cmd: kind TRAIN, 16 ranks, agents 1..8, one class; change it, then apply.
 */
struct jobs_submit *world_submit(struct world *w, const char *name);
enum sh_err world_train(struct world *w, const char *name); /* that, applied */
enum sh_err world_noop(struct world *w, const char *name, uint32_t units);
/* Places a unit on nodes first .. first + count - 1, with equal shares, over its latest fence. */
enum sh_err world_place(struct world *w, struct wire_unit unit, unsigned first, unsigned count);
struct wire_fence world_fence(struct world *w, struct wire_unit unit); /* latest */
enum sh_err world_checkpoint(struct world *w, struct wire_unit unit, struct wire_fence fence,
                             uint64_t step, uint8_t manifest);
/* Units [from, to) of a job, on agents 1 to nodes in turn; under this fence. */
enum sh_err world_place_many(struct world *w, uint64_t job, uint32_t from, uint32_t to,
                             unsigned nodes);
enum sh_err world_commit_many(struct world *w, uint64_t job, uint32_t from, uint32_t to,
                              struct wire_fence fence);
enum sh_err world_commit(struct world *w, struct wire_unit unit, struct wire_fence fence,
                         uint8_t digest, bool partial);
enum sh_err world_fail(struct world *w, struct wire_unit unit, struct wire_fence fence, bool final);
/* Tried again, and blames that agent. */
enum sh_err world_fail_at(struct world *w, struct wire_unit unit, struct wire_fence fence,
                          unsigned node);
enum sh_err world_mark(struct world *w, unsigned node, enum jobs_mark mark);
enum sh_err world_set(struct world *w, const char *key, bool unset, uint64_t value);
/* Asks the unit to give way within grace_us, for that cause. */
enum sh_err world_yield(struct world *w, struct wire_unit unit, struct wire_fence fence,
                        uint64_t grace_us);
enum sh_err world_pause(struct world *w, uint64_t job, uint64_t grace_us);
enum sh_err world_resume(struct world *w, uint64_t job);
enum sh_err world_resize(struct world *w, uint64_t job, uint32_t units);
enum sh_err world_prioritize(struct world *w, uint64_t job, uint8_t priority);
enum sh_err world_expire(struct world *w, struct wire_unit unit, struct wire_fence fence);
enum sh_err world_stop(struct world *w, uint64_t job);
enum sh_err world_remove_job(struct world *w, uint64_t job);
enum sh_err world_remove_model(struct world *w, const char *name, uint32_t version);
enum sh_err world_dataset(struct world *w, unsigned node, const char *name, uint8_t digest);
enum sh_err world_dataset_remove(struct world *w, unsigned node, const char *name);

/* The session is in w->result.handle. */
enum sh_err world_session(struct world *w, unsigned node, uint64_t life);
enum sh_err world_keep(struct world *w);

enum jobs_state world_job_state(struct world *w, uint64_t job);
enum jobs_state world_unit_state(struct world *w, struct wire_unit unit);

#endif
