/* SPDX-License-Identifier: Apache-2.0
 *
 * A whole cluster in one process, in virtual time: the same cores that the agent runs (raft, jobs,
 * place, roles, swim over wal, fsm and kv_mem) on a simulated clock, network and disk. Everything
 * follows from one seed: equal seeds and calls give equal traces, byte for byte, on every machine.
 *
 * After every event the checkers of check.h look at what changed. The first broken property stops
 * the run; sim_failure() says which. A core that panics aborts the process, as it would anywhere.
 *
 * Agents are numbered from 0 and named a, b, c, ... in that order; agent 0 founds the cluster and
 * the others join through it. One thread owns a struct sim. */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include "sim/fault.h"
#include "sim/link.h"

#include "base/limits.h"

#include <stddef.h>

#define SIM_AGENTS_MAX   26u
#define SIM_REQUESTS_MAX 65536u /* submits of one run */
#define SIM_TEXT_MAX     255u   /* characters of a note or a failure */
#define SIM_BATCH_MAX    64u
#define SIM_LOG_MAX      (1u << 20)
#define SIM_PIECE_MAX    16384u
#define SIM_ALL          UINT32_MAX /* every agent, where bit i stands for agent i */

struct sim_disk_options {
    uint64_t write_us; /* mean time of a write */
    uint64_t sync_us;  /* mean time of an fsync, on top */
};

/* One line of the story: what a person would want to see. */
enum sim_note_kind {
    SIM_NOTE_FAULT,  /* something was done to the cluster */
    SIM_NOTE_LEADER, /* an agent leads a new term */
    SIM_NOTE_GROUP,  /* the group's members or voters changed */
    SIM_NOTE_JOB,    /* a job was acknowledged, placed anew, or ended */
    SIM_NOTE_CLIENT, /* an answer to a client that was not an acknowledgement */
    SIM_NOTE_SCRIPT, /* what a scenario says, and how it went */
};

struct sim_note {
    uint64_t at_us;
    enum sim_note_kind kind;
    const char *text; /* borrowed during the call */
};

struct sim_options {
    uint64_t seed;
    uint32_t agents; /* at the start, 1 .. SIM_AGENTS_MAX */
    struct sim_net_options net;
    struct sim_disk_options disk;
    uint32_t batch; /* entries in one message, 1 .. SIM_BATCH_MAX */
    uint32_t log;   /* entries in a stretch of the log (agent/compaction.h), 1 .. SIM_LOG_MAX */
    uint32_t piece; /* bytes of a snapshot in one message, 1 .. SIM_PIECE_MAX */
    void (*note)(void *ctx, const struct sim_note *note); /* NULL: none */
    void *ctx;
    /* What is done to the cluster from outside, as lines of a scenario; NULL: none. */
    void (*act)(void *ctx, uint64_t at_us, const char *line);
    void *act_ctx;
};

struct sim_options sim_options_default(void); /* seed 1, 5 agents, a quiet LAN and an SSD */

struct sim;

/* Founds the cluster at time 0. Panics when memory runs out, as all calls below. */
struct sim *sim_new(const struct sim_options *options);
void sim_free(struct sim *sim);

/* Handles the next event; false (and nothing done) once a property is broken. */
bool sim_step(struct sim *sim);
/* Steps until the clock shows at_us or a property is broken; then the clock shows at_us. */
void sim_run_until(struct sim *sim, uint64_t at_us);
uint64_t sim_now_us(const struct sim *sim);
/* NULL while every property holds. */
const char *sim_failure(const struct sim *sim);
/* Whole-state checks that are too dear after every event: raft_check, swim_check, jobs_check and
 * all acknowledged jobs on an agent that is up. Runs by itself now and then, on one after the
 * other. */
void sim_check_agent(struct sim *sim, uint32_t agent);
void sim_check_all(struct sim *sim);

/* A new agent that joins; its number. */
uint32_t sim_add(struct sim *sim);
void sim_set_net(struct sim *sim, const struct sim_net_options *net);
struct sim_net_options sim_net(const struct sim *sim);
void sim_set_disk(struct sim *sim, const struct sim_disk_options *disk);
void sim_set_batch(struct sim *sim, uint32_t entries); /* of agents that start from now on */
void sim_set_log(struct sim *sim, uint32_t entries);
void sim_set_piece(struct sim *sim, uint32_t bytes);

/* ---- clients ---- */

struct sim_job {
    bool train;
    uint32_t units;   /* noop; 1 for train */
    uint32_t steps;   /* train */
    uint32_t every;   /* train: steps between checkpoints, 0: none */
    uint64_t step_us; /* train: mean time of one step */
    uint16_t agents_min;
    uint16_t agents_max;
};

/* A client submits a job under an idempotency key of its own: first to that agent, and then, with
 * retry, to any other until one acknowledges it. Returns the number of the request. */
uint32_t sim_submit(struct sim *sim, const struct sim_job *job, uint32_t agent, bool retry);

struct sim_request {
    bool done;        /* answered, and not tried again */
    enum sh_err err;  /* of the newest answer */
    uint64_t job;     /* 0: not acknowledged */
    uint32_t answers; /* so far */
};
struct sim_request sim_request(const struct sim *sim, uint32_t number);

/* ---- looking ---- */

enum sim_face { /* what an agent looks like from outside */
                SIM_DOWN,
                SIM_PAUSED,
                SIM_DORMANT, /* not admitted yet */
                SIM_LEARNER,
                SIM_FOLLOWER,
                SIM_CANDIDATE,
                SIM_LEADER,
};

struct sim_agent_view {
    enum sim_face face;
    bool voter; /* of its own configuration */
    uint32_t voters;
    uint32_t members;
    bool leader_known;
    uint32_t leader; /* agent it takes for the leader, when leader_known */
    uint64_t handle;
    uint64_t term;
    uint64_t commit;
    uint64_t applied;
    uint64_t last_index;
    uint64_t log_digest;   /* of all entries up to last_index */
    uint64_t state_digest; /* of the tables */
};

struct sim_counts {
    uint64_t events;
    uint64_t elections;      /* terms with a leader */
    uint64_t leader_changes; /* elections after the first, won by another agent than the last one */
    uint64_t committed_index;
    uint64_t acknowledged; /* jobs */
    uint64_t reads;        /* of clients, answered */
    uint64_t completed;    /* jobs */
    uint64_t units;        /* committed */
    uint64_t crashes;
    uint64_t compactions;
    uint64_t snapshots; /* put in place */
    uint64_t messages;
    uint64_t lost;
    uint64_t trace; /* digest of every event so far and what came of it */
    uint64_t state; /* digest of the tables at the highest applied index */
};

uint32_t sim_agents(const struct sim *sim);
enum sim_face sim_face(const struct sim *sim, uint32_t agent);
struct sim_agent_view sim_look(const struct sim *sim, uint32_t agent);
/* Reads the number of jobs from the agent's own tables; works on any agent that is up. False when
 * it is down or paused. */
bool sim_local_read(const struct sim *sim, uint32_t agent, uint32_t *jobs);
struct sim_counts sim_counts(const struct sim *sim);
/* The running agent that leads with the highest term; false when there is none. */
bool sim_leader(const struct sim *sim, uint32_t *agent);
/* All agents of the core (those that were healed last; before that, all) are up, follow one leader,
 * have equal log, applied index and digest, no acknowledged job is unfinished, and no client waits.
 */
bool sim_converged(const struct sim *sim);
/* Why not; "" when it is. Borrowed until the next call on sim. */
const char *sim_unconverged(struct sim *sim);
/* "a", "b", ...; borrowed for ever. */
const char *sim_name(uint32_t agent);

#endif
