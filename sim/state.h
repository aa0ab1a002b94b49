/* SPDX-License-Identifier: Apache-2.0
 * Private to sim/: the world and its agents. */
#ifndef SIM_STATE_H
#define SIM_STATE_H

#include "sim/asked.h"
#include "sim/check.h"
#include "sim/disk.h"
#include "sim/queue.h"
#include "sim/sim.h"
#include "sim/transfer.h"

#include "agent/compaction.h"
#include "agent/offers.h"
#include "base/ring.h"
#include "base/rng.h"
#include "jobs/view.h"
#include "place/place.h"
#include "raft/raft.h"
#include "roles/roles.h"
#include "store/kv_mem.h"
#include "store/wal/wal.h"
#include "swim/swim.h"
#include "wire/node.h"

#define SIM_ELECTION_US    UINT64_C(150000) /* as agent/replica.h */
#define SIM_HEARTBEAT_US   UINT64_C(30000)
#define SIM_STAGGER_US     UINT64_C(5000)
#define SIM_RESEND_US      UINT64_C(300000)  /* a proposal without an answer is sent again, */
#define SIM_RESEND_MAX_US  UINT64_C(2400000) /* then after twice the time, up to this */
#define SIM_PROPOSE_US     UINT64_C(3000000) /* deadline of a client's command */
#define SIM_PLAN_PAUSE_US  UINT64_C(200000)
#define SIM_PLAN_IDLE_US   UINT64_C(1000000)
#define SIM_PLAN_CHANGE_US UINT64_C(1000000)
#define SIM_PLAN_SETTLE_US UINT64_C(600000)
#define SIM_REPORT_US      UINT64_C(5000000)
#define SIM_LEAVE_US       UINT64_C(6000000)          /* as agent/loop.h */
#define SIM_WALL_US        UINT64_C(1800000000000000) /* wall clock when the local clock shows 0 */
#define SIM_RETRY_US       UINT64_C(200000)           /* a client asks another agent after this */

enum {
    SIM_BATCH_ENTRIES = SIM_BATCH_MAX,
    SIM_PROPOSALS_MAX = 64,
    SIM_SESSIONS_MAX = 32,
    SIM_REPORTS_MAX = 64,
    SIM_UNITS_MAX = 256,
    SIM_DECISIONS_MAX = 64,
    SIM_BACKLOG_MAX = 4096,
    SIM_HELD_MAX = 1024,
    SIM_WAITING_READS_MAX = 32, /* further ones get no answer */
    SIM_READ_BYTES = WAL_ENTRY_BYTES_MAX + 65536,
    SIM_SCRATCH_BYTES = SH_CONTROL_BYTES_MAX,
    SIM_TAIL_ENTRIES = 256,                    /* of the core; smaller than the agent's */
    SIM_DISK_QUEUE_MAX = 2 * SIM_TAIL_ENTRIES, /* in the same proportion */
    SIM_NODES_MAX = 64,                        /* identities that ever were */
};

enum sim_plane {
    SIM_RAFT,
    SIM_SWIM,
    SIM_SWIM_CONTROL,
    SIM_PROPOSE,
    SIM_LOST,
    SIM_TRAIN,
    SIM_SNAPSHOT
};

struct sim_msg {
    uint32_t from;
    uint32_t to;
    uint32_t from_wipes; /* the connection is one of these two identities */
    uint32_t to_wipes;
    enum sim_plane plane;
    uint32_t size;
    uint8_t bytes[];
};

struct sim_held { /* a message that may leave once its token is durable */
    uint64_t after;
    uint64_t to; /* handle */
    uint32_t size;
    uint8_t *bytes;
};

struct sim_change { /* a CONF entry on its way from the apply thread to the loop */
    uint64_t term;
    uint32_t size;
    uint8_t bytes[RAFT_CHANGE_BYTES_MAX];
};

struct sim_apply {
    uint64_t applied; /* the apply thread's */
    uint64_t target;
    bool waking;       /* an APPLY event is on its way */
    bool conf_waiting; /* the loop is asked to apply entry applied + 1 */
    bool hold;         /* a snapshot is about to replace the tables */
    bool failed;
};

enum sim_source { SIM_FROM_CLIENT, SIM_FROM_SESSION };

struct sim_proposal {
    uint64_t number; /* 0: free */
    enum sim_source source;
    uint32_t request;   /* FROM_CLIENT: its number; FROM_SESSION: place of the session */
    uint32_t attempt;   /* FROM_CLIENT: of the request; FROM_SESSION: of the session's commands */
    uint64_t resend_us; /* local clock, as deadline_us */
    uint64_t pause_us;  /* to the resend after that */
    uint64_t deadline_us;
    uint32_t size;
    uint8_t *bytes;
};

/* Work of this agent on one unit. */
struct sim_session {
    bool used;
    struct wire_unit unit;
    struct wire_placement gang;
    bool train;
    bool orphan;   /* found after a restart: waits for a new gang */
    uint32_t me;   /* place among the members */
    uint32_t step; /* completed */
    uint32_t steps;
    uint32_t every;
    uint64_t step_us;
    uint32_t checkpointed;               /* newest step a CHECKPOINT was proposed for */
    bool joined;                         /* every member said hello: steps run */
    bool computing;                      /* until due_us */
    uint64_t due_us;                     /* local: end of the computation */
    uint64_t resend_us;                  /* local: say again where we are */
    uint64_t heard_us[WIRE_MEMBERS_MAX]; /* local: last word of each member */
    uint32_t hello[WIRE_MEMBERS_MAX];    /* 1 + step of its HELLO; 0: none yet */
    uint32_t done[WIRE_MEMBERS_MAX];     /* steps each has contributed to */
    uint64_t report_us;                  /* local: the next report of a lost member */
    uint32_t command;                    /* counts proposals of this session */
    bool proposing;
    bool committing; /* all steps are done */
    bool yielding;   /* it is to leave a checkpoint and give way */
};

struct sim_presence {
    uint8_t id[SH_NODE_ID_BYTES];
    enum roles_presence presence;
    uint64_t since_us;
};

struct sim_report {
    uint64_t until_us; /* local; 0: free */
    struct place_report report;
};

struct sim_planner {
    bool waking;
    uint64_t led_since_us; /* local; 0: not leading */
    uint64_t term;
    struct roles_memory roles;
    uint64_t changed_us; /* when a change of voters was proposed last, and on what */
    struct raft_conf changed_from;
    uint64_t pass_due_us;  /* local: a pass at the latest */
    uint64_t drained_term; /* in which an agent was drained last */
    uint32_t presence_count;
    struct sim_presence presence[SIM_NODES_MAX];
    struct sim_report reports[SIM_REPORTS_MAX];
};

struct sim_clock {
    uint64_t from_world; /* until then it stands still */
    uint64_t from_local;
    int32_t ppm; /* so much faster than the world */
};

struct sim_agent {
    uint32_t number;
    uint8_t id[SH_NODE_ID_BYTES];
    struct wire_node node;
    bool up;
    bool paused;
    bool rotten;      /* its disk is not what was written */
    bool quarantined; /* and it knows: it does not start again */
    bool armed;       /* is to die in armed_gap */
    bool doomed;      /* has come there: what it does from here on has no effect */
    enum sim_gap armed_gap;
    enum sim_loss_kind doom_kind;
    uint32_t wipes;     /* identities before this one */
    uint64_t wiped_us;  /* world time; 0: never */
    uint64_t jumped_us; /* world time of its clock's last jump */
    uint32_t life;      /* raised by every start and end; events of an earlier life are void */
    struct sim_clock clock;
    uint64_t timer_at; /* world time of the armed TIMER; UINT64_MAX: none */
    struct sim_event *backlog;
    uint32_t backlog_count;
    uint32_t backlog_capacity;

    struct kv *kv;
    struct wal *wal;
    struct fsm *fsm;
    struct wal_identity identity;
    struct sim_disk disk;

    void *raft_memory;
    struct raft *raft; /* NULL: dormant or down */
    uint64_t handle;
    uint64_t durable;       /* newest token on disk */
    uint64_t vote_token;    /* the newest that brings another term or vote */
    struct raft_hard asked; /* newest that the disk was given */
    uint64_t leader;        /* handle */
    bool led;               /* a leader was known in this life */
    uint64_t leave_us;      /* local: when leaving began; 0: not leaving */
    bool goodbye_said;
    enum raft_role role;
    uint64_t term;
    uint64_t steps;        /* of the core, in this life */
    struct raft_conf conf; /* newest applied one of this life */
    struct compaction compaction;
    struct offers offers;
    uint64_t call_next;
    struct sim_stream streams[SIM_STREAMS_MAX];
    struct sim_pull pull;
    struct sh_ring held_ring;
    struct sim_held held[SIM_HELD_MAX];

    void *jobs_memory;
    struct jobs *jobs;
    struct sim_apply apply;

    void *swim_memory;
    struct swim *swim;
    struct swim_addr seeds[SWIM_SEEDS_MAX];
    uint32_t seed_count;

    uint64_t proposal_next;
    struct sim_proposal proposals[SIM_PROPOSALS_MAX];
    uint64_t proposals_due_us; /* earliest deadline of them */
    struct sim_planner planner;
    struct sim_session sessions[SIM_SESSIONS_MAX];
    uint64_t work_due_us; /* earliest deadline of the sessions */
    bool work_left_out;   /* there was no place for a session */
    uint32_t wait_count;
    struct raft_read waits[SIM_WAITING_READS_MAX]; /* their index is not applied here yet */
};

struct sim_scratch { /* lives within one event */
    struct raft_update update;
    struct swim_update swim;
    struct raft_entry entries[RAFT_MSG_ENTRIES_MAX];
    struct wal_entry wal[SIM_BATCH_ENTRIES];
    struct jobs_result results[SIM_BATCH_ENTRIES];
    uint8_t read[SIM_READ_BYTES];
    uint8_t bytes[SIM_SCRATCH_BYTES];
    uint8_t command[JOBS_CMD_BYTES_MAX];
    struct jobs_cmd cmd;
    struct jobs_cmd judged;
    struct jobs_unit units[SIM_UNITS_MAX];
    struct place_unit place_units[SIM_UNITS_MAX];
    struct place_node place_nodes[SIM_NODES_MAX];
    struct place_decision decisions[SIM_DECISIONS_MAX];
    struct place_report reports[SIM_REPORTS_MAX];
    struct place_verdict verdicts[SIM_UNITS_MAX];
    struct place *place; /* on memory of its own */
    struct place_output placed;
    struct fsm_applied applied;
};

struct sim {
    struct sim_options options;
    uint64_t now_us;
    struct sh_rng rng;
    struct sim_queue queue;
    struct sim_agent *agents[SIM_AGENTS_MAX];
    uint32_t agent_count;
    struct sim_link links[SIM_AGENTS_MAX][SIM_AGENTS_MAX];
    struct sim_ask *asks;
    uint32_t ask_count;
    uint32_t ask_capacity;
    struct sim_read *reads;
    uint32_t read_count;
    uint32_t read_capacity;
    struct sim_check check;
    struct sim_ledger handles; /* handle -> agent + 1, as admitted */
    struct sim_scratch *scratch;
    struct sim_counts counts;
    struct sim_coverage coverage;
    uint64_t conf_index;   /* newest CONF entry that anyone ever appended */
    uint32_t core;         /* bit i: agent i is to be there in the end */
    bool acting;           /* what is done is told to options.act */
    uint64_t overtaken_us; /* when a message last overtook another */
    uint64_t last_leader;
    uint64_t last_term;
    char text[SIM_TEXT_MAX + 1];
};

#endif
