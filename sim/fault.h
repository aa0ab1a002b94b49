/* SPDX-License-Identifier: Apache-2.0
 *
 * What can go wrong in a simulated cluster. Every call that changes something is told to
 * sim_options.act as a line of a scenario, so that a run can be written down and played again.
 *
 * A crash in a gap: the host passes through numbered places between persisting, sending and
 * applying. An agent that is to die in one of them does nothing any more from there on, as far as
 * disk, network and clients can see, and is gone when the event is over.
 *
 * The atlas (sim_may_lose): what a disk has lost for good, the agent's identity has lost with it;
 * it never votes again. At most so many may be lost that a majority of the voters of every
 * configuration in force keeps a good copy, so that what was committed can always be known. */
#ifndef SIM_FAULT_H
#define SIM_FAULT_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct sim;
struct sim_agent;

enum sim_loss_kind {
    SIM_KILL,  /* the process ends; what it wrote stays */
    SIM_POWER, /* the machine too: what was not synced may be lost, newest first */
    SIM_TORN,  /* the same, and of the write under way a part may have arrived */
};

/* Where a crash can fall, in the order of a host's work. */
enum sim_gap {
    SIM_GAP_STEPPED,    /* the core was stepped; nothing is written, nothing sent */
    SIM_GAP_ELECTED,    /* the same, and it has just become leader */
    SIM_GAP_SUBMITTED,  /* the disk has the write; no message is sent */
    SIM_GAP_SENT,       /* messages are sent; the own write is not durable */
    SIM_GAP_VOTE_ASKED, /* a new term or vote is with the disk, not durable */
    SIM_GAP_VOTE_KEPT,  /* it is durable; the answer is not sent */
    SIM_GAP_DURABLE,    /* entries are durable; the answer is not sent */
    SIM_GAP_RELEASED,   /* answers are sent; the core does not know that it is durable */
    SIM_GAP_APPLYING,   /* committed entries are about to be applied */
    SIM_GAP_STAGED,     /* they are applied in a transaction that is not committed */
    SIM_GAP_APPLIED,    /* the tables have changed; nobody is told */
    SIM_GAP_REPLYING,   /* the client's answer is known and not sent */
    SIM_GAP_CONF_STEP,  /* the core has a new configuration; the disk has not */
    SIM_GAP_CONF_KEPT,  /* both have it; nothing follows from it yet */
    SIM_GAP_HANDLE,     /* a new agent learns its handle; it is not kept */
    SIM_GAP_HANDLE_KEPT,
    SIM_GAP_BOOT,       /* this start is counted; the core is not there yet */
    SIM_GAP_COMPACTING, /* the core has forgotten a part of the log; the disk has not */
    SIM_GAP_COMPACTED,  /* the disk has, too; nothing follows from it yet */
    SIM_GAP_SERVED,     /* a piece of a snapshot is on its way to another agent */
    SIM_GAP_PULLED,     /* a part of a snapshot lies beside the live tables */
    SIM_GAP_FETCHED,    /* all of it does; the core has not been asked */
    SIM_GAP_INSTALLING, /* the core has taken it; the batch that makes it live is not durable */
    SIM_GAP_INSTALLED,  /* it is; nothing follows from it yet */
    SIM_GAP_COUNT
};

/* What can be in force when a crash falls into a gap; the first three are kinds of the crash. */
enum sim_fault {
    SIM_FAULT_KILL,
    SIM_FAULT_POWER,
    SIM_FAULT_TORN,
    SIM_FAULT_DISK_FAILS, /* some fsync is going to fail, or has, and the agent has stopped */
    SIM_FAULT_SLOW_DISK,
    SIM_FAULT_ROT,  /* some record on some disk is rotten */
    SIM_FAULT_WIPE, /* an identity was lost with its disk and its agent is not admitted anew */
    SIM_FAULT_PAUSE,
    SIM_FAULT_LEAVE,
    SIM_FAULT_STALL, /* a clock stands still */
    SIM_FAULT_JUMP,  /* a clock has jumped in the last seconds */
    SIM_FAULT_DRIFT, /* a clock is fast or slow */
    SIM_FAULT_PARTITION,
    SIM_FAULT_ONE_WAY,
    SIM_FAULT_CLOG,
    SIM_FAULT_SLOW_LINK,
    SIM_FAULT_LOSS,
    SIM_FAULT_DUPLICATE,
    SIM_FAULT_REORDER, /* messages have overtaken others in the last seconds */
    SIM_FAULT_COUNT
};

struct sim_coverage { /* crashes in a gap while a fault was in force */
    uint64_t pairs[SIM_FAULT_COUNT][SIM_GAP_COUNT];
};

const char *sim_gap_name(enum sim_gap gap);       /* "vote-kept" */
const char *sim_fault_name(enum sim_fault fault); /* "power" */

void sim_crash(struct sim *sim, uint32_t agent, enum sim_loss_kind kind); /* nothing if down */
/* As soon as the agent comes to that gap; a later call replaces an earlier one. */
void sim_crash_in(struct sim *sim, uint32_t agent, enum sim_loss_kind kind, enum sim_gap gap);
/* As SIGTERM: hands leadership over, says goodbye, ends; a restart comes back. */
void sim_leave(struct sim *sim, uint32_t agent);
/* Whoever leads hands over to this agent, if it can. */
void sim_transfer(struct sim *sim, uint32_t to);
/* Nothing if up, or if its disk is known to be rotten: that one waits for a wipe. */
void sim_restart(struct sim *sim, uint32_t agent);
void sim_pause(struct sim *sim, uint32_t agent); /* as SIGSTOP: time goes on, nothing happens */
void sim_resume(struct sim *sim, uint32_t agent);

/* Would every configuration in force keep a majority of voters with good disks if these agents
 * (bit i: agent i) lost theirs too? */
bool sim_may_lose(const struct sim *sim, uint32_t agents);
/* A new, empty disk for an agent, which thereby is another node: it joins as a stranger. The caller
 * asks the atlas. An agent that is up is killed first; it stays down. */
void sim_wipe(struct sim *sim, uint32_t agent);
/* One bit of one record of its log or its meta rows turns; which one follows from where. The agent
 * finds out when it reads it, at the latest when it starts, and stops for good. The caller asks the
 * atlas. False: there is no record. */
bool sim_rot(struct sim *sim, uint32_t agent, uint64_t where);

/* Its clock stands still for so long, and is behind for ever. */
void sim_stall_clock(struct sim *sim, uint32_t agent, uint64_t for_us);
void sim_jump_clock(struct sim *sim, uint32_t agent, uint64_t by_us); /* forward, at once */
#define SIM_DRIFT_PPM_MAX 500000
/* Its clock is that much faster; between -SIM_DRIFT_PPM_MAX and SIM_DRIFT_PPM_MAX. */
void sim_drift_clock(struct sim *sim, uint32_t agent, int32_t ppm);

void sim_cut(struct sim *sim, uint32_t from, uint32_t to, bool cut); /* one direction */
/* Between these agents (bit i: agent i) and all others; one_way: only what these say is lost. */
void sim_split(struct sim *sim, uint32_t agents, bool one_way);
void sim_mend(struct sim *sim);                                                 /* all links */
void sim_slow_link(struct sim *sim, uint32_t a, uint32_t b, uint64_t extra_us); /* both ways */
/* What is said from one to the other in that time arrives after it. */
void sim_clog(struct sim *sim, uint32_t from, uint32_t to, uint64_t for_us);

void sim_slow_disk(struct sim *sim, uint32_t agent, uint64_t extra_us); /* every fsync */
/* Its next write fails; the agent stops as the real one does. torn: the bytes arrived all the same.
 */
void sim_fail_disk(struct sim *sim, uint32_t agent, bool torn);
/* From now on its fsync says yes and does nothing. No correct host survives power cuts on such a
 * disk: for tests of the checkers. */
void sim_lying_disk(struct sim *sim, uint32_t agent);

/* All links whole and fast, default loss, all disks well, all clocks right, those of agents (bit i:
 * agent i) up and running: with a new disk where the old one is rotten. The others are killed. */
void sim_heal(struct sim *sim, uint32_t agents);
struct sim_coverage sim_coverage(const struct sim *sim);

#endif
