/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to sim/: what its files offer each other. */
#ifndef SIM_PARTS_H
#define SIM_PARTS_H

#include "sim/state.h"

/* ---- sim.c ---- */
void sim_note(struct sim *sim, enum sim_note_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void sim_mix(struct sim *sim, uint64_t value); /* into the trace digest */
/* A line for options.act. */
void sim_act(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
struct sim_agent *sim_by_handle(struct sim *sim, uint64_t handle); /* NULL: nobody (any more) */
struct sim_agent *sim_by_id(struct sim *sim, const uint8_t *id);   /* NULL: unknown */
bool sim_runs(const struct sim_agent *a);                          /* up and not paused */
void *sim_zeroed(size_t count, size_t size);

/* ---- fault.c ---- */
/* The host comes to a gap. True: the agent is doomed; its caller does nothing more. */
bool sim_gap(struct sim *sim, struct sim_agent *a, enum sim_gap gap);
void sim_reap(struct sim *sim, struct sim_agent *a); /* the end of one that is doomed */

/* ---- clock.c ---- */
uint64_t sim_local(const struct sim *sim, const struct sim_agent *a);
uint64_t sim_wall(const struct sim *sim, const struct sim_agent *a);
/* World time at which the agent's clock reaches local_us. */
uint64_t sim_world(const struct sim_agent *a, uint64_t local_us);

/* ---- net.c ---- */
/* False: the link is full. Everything else that goes wrong is silent, as on a wire. */
bool sim_send(struct sim *sim, uint32_t from, uint32_t to, enum sim_plane plane, const void *bytes,
              size_t size);
void sim_deliver(struct sim *sim, struct sim_msg *msg); /* takes msg */
void sim_say_down(struct sim *sim, uint32_t from);      /* its connections break */

/* ---- disk.c ---- */
/* Owns the write from here. */
void sim_disk_submit(struct sim *sim, struct sim_agent *a, struct sim_write *write);
void sim_disk_event(struct sim *sim, struct sim_agent *a);
void sim_disk_crash(struct sim *sim, struct sim_agent *a, enum sim_loss_kind kind);

/* ---- agent.c ---- */
struct sim_agent *sim_agent_new(struct sim *sim, uint32_t number);
void sim_agent_free(struct sim_agent *a);
void sim_agent_start(struct sim *sim, struct sim_agent *a);
/* The process ends: everything in memory is gone. The disk is dealt with by sim_disk_crash. */
void sim_agent_end(struct sim *sim, struct sim_agent *a);
void sim_agent_wipe(struct sim *sim, struct sim_agent *a); /* one that is down */
bool sim_agent_rot(struct sim_agent *a, uint64_t where);
void sim_agent_fail(struct sim *sim, struct sim_agent *a, enum sh_err err, const char *what);
void sim_agent_leave(struct sim *sim, struct sim_agent *a); /* goes on with leaving */
void sim_agent_timer(struct sim *sim, struct sim_agent *a);
void sim_agent_arm(struct sim *sim, struct sim_agent *a);

/* ---- replica.c ---- */
enum sh_err sim_replica_wake(struct sim *sim, struct sim_agent *a, const struct wal_boot *boot,
                             const struct fsm_applied *applied);
void sim_replica_receive(struct sim *sim, struct sim_agent *a, struct sh_span bytes);
void sim_replica_durable(struct sim *sim, struct sim_agent *a, uint64_t token);
void sim_replica_step(struct sim *sim, struct sim_agent *a, struct raft_event *event);
/* Carries out what raft_step has just asked for. */
void sim_replica_absorb(struct sim *sim, struct sim_agent *a);
void sim_replica_log_read(struct sim *sim, struct sim_agent *a, const struct raft_log_read *read);
/* An agent that votes alone and has just started campaigns at once. */
void sim_replica_begin(struct sim *sim, struct sim_agent *a);
/* CONF_APPLIED: a->conf is what it gave. */
void sim_replica_conf(struct sim *sim, struct sim_agent *a, const struct raft_event *event);
void sim_replica_clear(struct sim_agent *a); /* held messages */
enum sh_err sim_replica_propose(struct sim *sim, struct sim_agent *a, uint8_t *command,
                                size_t size);

/* ---- streams.c ---- */
enum sim_stream_op { SIM_STREAM_OPEN = 1, SIM_STREAM_READ, SIM_STREAM_DONE, SIM_STREAM_ANSWER };
/* A question of another agent about a snapshot. */
void sim_streams_answer(struct sim *sim, struct sim_agent *a, const struct sim_msg *msg);
bool sim_streams_serving(const struct sim *sim, const struct sim_agent *a, uint32_t to);
uint64_t sim_streams_floor(const struct sim_agent *a); /* UINT64_MAX: the log is not held back */
void sim_streams_tick(struct sim *sim, struct sim_agent *a);
uint64_t sim_streams_deadline(const struct sim_agent *a);
void sim_streams_clear(struct sim_agent *a);

/* ---- snapshots.c ---- */
void sim_snapshots_begin(struct sim *sim, struct sim_agent *a, const struct wal_boot *boot);
void sim_snapshots_receive(struct sim *sim, struct sim_agent *a, const struct sim_msg *msg);
/* The coordinator says that its log begins behind what this member has. */
void sim_snapshots_offer(struct sim *sim, struct sim_agent *a, const struct raft_msg *msg);
/* The member has put its snapshot in place, or failed to. */
void sim_snapshots_sent(struct sim *sim, struct sim_agent *a, uint32_t to, bool ok);
/* The install batch is on the disk; on_disk: the tables are those of the snapshot. */
bool sim_snapshots_switch(struct sim *sim, struct sim_agent *a);
void sim_snapshots_durable(struct sim *sim, struct sim_agent *a); /* and the core knows */
void sim_snapshots_compact(struct sim *sim, struct sim_agent *a, uint64_t applied);
void sim_snapshots_tick(struct sim *sim, struct sim_agent *a);
uint64_t sim_snapshots_deadline(const struct sim_agent *a);
/* The process has ended: what it pulled and had not handed over stays behind in its store. */
void sim_snapshots_abandon(struct sim_agent *a);
void sim_install_free(struct sim_install *install);
/* Of all rows. */
uint64_t sim_contents(const struct sh_table *table);

/* ---- apply.c ---- */
void sim_apply_to(struct sim *sim, struct sim_agent *a, uint64_t target);
void sim_apply_event(struct sim *sim, struct sim_agent *a);
void sim_apply_told(struct sim *sim, struct sim_agent *a, uint64_t index);
/* The loop applies a change of the configuration, for which the apply thread waits. */
void sim_apply_conf(struct sim *sim, struct sim_agent *a, uint64_t index,
                    const struct sim_change *change);
void sim_apply_hold(struct sim_agent *a);
void sim_apply_resume(struct sim *sim, struct sim_agent *a); /* with the tables of a snapshot */
void sim_learn_nodes(struct sim *sim, struct sim_agent *a, const struct sh_table *table);

/* ---- proposals.c ---- */
/* False: too many are under way. */
bool sim_propose(struct sim *sim, struct sim_agent *a, enum sim_source source, uint32_t request,
                 uint32_t attempt, const struct jobs_cmd *cmd, uint64_t timeout_us);
/* The planner's: nobody waits for it. */
void sim_propose_plainly(struct sim *sim, struct sim_agent *a, const struct jobs_cmd *cmd);
void sim_proposals_done(struct sim *sim, struct sim_agent *a, const struct jobs_result *result);
void sim_proposals_receive(struct sim *sim, struct sim_agent *a, struct sh_span bytes);
void sim_proposals_kick(struct sim *sim, struct sim_agent *a); /* a new coordinator is known */
void sim_proposals_tick(struct sim *sim, struct sim_agent *a);
uint64_t sim_proposals_deadline(const struct sim_agent *a);
void sim_proposals_clear(struct sim_agent *a);

/* ---- gossip.c ---- */
void sim_gossip_open(struct sim *sim, struct sim_agent *a);
void sim_gossip_leave(struct sim *sim, struct sim_agent *a);
void sim_gossip_step(struct sim *sim, struct sim_agent *a, const struct swim_event *event);
void sim_gossip_receive(struct sim *sim, struct sim_agent *a, const struct sim_msg *msg);
void sim_gossip_seed(struct sim *sim, struct sim_agent *a, uint32_t other);
enum swim_state sim_gossip_state(const struct sim_agent *a, const uint8_t *id);

/* ---- planner.c ---- */
void sim_planner_open(struct sim_scratch *s);
void sim_planner_wake(struct sim *sim, struct sim_agent *a);
void sim_planner_pass(struct sim *sim, struct sim_agent *a);
void sim_planner_report(struct sim *sim, struct sim_agent *a, struct sh_span bytes);
uint64_t sim_planner_deadline(const struct sim_agent *a);

/* ---- wish.c ---- */
/* At the end of a pass of the coordinator. */
void sim_wish_pass(struct sim *sim, struct sim_agent *a, const struct sh_table *table);

/* ---- work.c ---- */
/* Makes the sessions match the tables where result says that they changed. NULL: the agent has just
 * started and looks at everything. */
void sim_work_match(struct sim *sim, struct sim_agent *a, const struct sh_table *table,
                    const struct jobs_result *result);
/* A snapshot has replaced the tables. */
void sim_work_replaced(struct sim *sim, struct sim_agent *a, const struct sh_table *table);
void sim_work_receive(struct sim *sim, struct sim_agent *a, const struct sim_msg *msg);
void sim_work_answer(struct sim *sim, struct sim_agent *a, uint32_t session, uint32_t command,
                     enum sh_err err);
void sim_work_tick(struct sim *sim, struct sim_agent *a);
uint64_t sim_work_deadline(const struct sim_agent *a);

/* ---- client.c ---- */
void sim_client_request(struct sim *sim, struct sim_agent *a, uint32_t request, uint32_t attempt);
void sim_client_answer(struct sim *sim, struct sim_agent *a, uint32_t request, uint32_t attempt,
                       enum sh_err err, uint64_t job); /* from the agent, on its way */
void sim_client_told(struct sim *sim, uint32_t request, uint32_t attempt, enum sh_err err,
                     uint64_t job);
void sim_client_timer(struct sim *sim, uint32_t request, uint32_t attempt);

/* ---- reads.c ---- */
void sim_reads_begin(struct sim *sim, uint32_t request, uint64_t job); /* plans some */
void sim_reads_ask(struct sim *sim, struct sim_agent *a, uint64_t number);
void sim_reads_take(struct sim *sim, struct sim_agent *a, const struct raft_update *update);
void sim_reads_applied(struct sim *sim, struct sim_agent *a);
void sim_reads_serve(struct sim *sim, struct sim_agent *a);
void sim_reads_told(struct sim *sim, uint64_t number, uint32_t progress);
/* What clients saw so far is linearizable, or that is a failure. */
void sim_reads_judge(struct sim *sim);

#endif
