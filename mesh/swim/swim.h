/* SPDX-License-Identifier: Apache-2.0
 *
 * Membership: who is in the cluster and who answers. SWIM (Das, Gupta, Motivala, 2002) with the
 * Lifeguard changes (Dadgar, Phillips, Currey, 2018), plus what lets a healed partition merge
 * without an operator: fingerprints with bucketed anti-entropy, redial of the dead, and a notice to
 * members that are held for dead.
 *
 * Model. Everyone probes one other member per period, in a shuffled round. No answer to the pings,
 * to indirect pings through others and to a ping over the control plane makes a member SUSPECT; it
 * has time to refute, the less the more others accuse it; then it is DEAD. Statements about members
 * (claims) ride on every packet. A claim about X at incarnation i beats all claims at smaller
 * incarnations; at equal ones LEFT beats DEAD beats SUSPECT beats ALIVE. Only X raises its
 * incarnation: boot epoch << 32 | refutations, so every restart outranks the life before it.
 *
 * Host duties. One step at a time. Drain the socket before TICK; TICK when the deadline is reached:
 * a step that comes more than stall_us after the deadline tells the core that the machine was
 * paused, and all its deadlines move by that pause. Send every packet of the update, sealed; losing
 * some is normal. Answer CONTROL_PING with CONTROL_PONG when that node answered over the control
 * plane. Node ids of packets are authenticated by the host (link/gossip.h); this core trusts every
 * member of the cluster not to lie about itself. Pure: see DESIGN section 3. */
#ifndef SWIM_SWIM_H
#define SWIM_SWIM_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/limits.h"

#include <stdbool.h>

#define SWIM_ADDR_BYTES_MAX   32u
#define SWIM_META_BYTES_MAX   832u
#define SWIM_PACKET_BYTES_MAX 1300u /* unsealed */
#define SWIM_SEEDS_MAX        16u
#define SWIM_SENDS_MAX        16u /* of one update; what does not fit comes with the next step */
#define SWIM_CHANGES_MAX      32u
#define SWIM_CONTROL_MAX      4u
#define SWIM_HEALTH_MAX       7u
#define SWIM_EPOCH_MAX        UINT32_C(0x7fffffff)

struct swim_addr { /* of a UDP endpoint; opaque, equal when its bytes are */
    uint8_t size;  /* 1..SWIM_ADDR_BYTES_MAX */
    uint8_t at[SWIM_ADDR_BYTES_MAX];
};

struct swim_config {
    uint64_t period_us;      /* T: between probes */
    uint64_t retransmit_us;  /* ping again after one and two of these; ask others after three */
    uint64_t nack_us;        /* a helper without an answer says so after this */
    uint64_t fast_us;        /* between the two pings of a probe after a refused hint */
    uint32_t helpers;        /* k: indirect probes */
    uint32_t suspicion_mult; /* shortest suspicion = this * max(1, log10 n) * T */
    uint32_t suspicion_span; /* longest suspicion = this * shortest */
    uint64_t gossip_us;      /* between gossip ticks while there is something to tell */
    uint32_t gossip_fanout;
    uint32_t eager_fanout;    /* members told at once of a new ALIVE, DEAD or LEFT */
    uint64_t sync_after_us;   /* fingerprints must differ this long before buckets are compared */
    uint64_t sync_every_us;   /* unconditional comparison, * max(1, log2(n / 32)) */
    uint64_t redial_us;       /* a dead member and a seed are tried this often for a minute, */
    uint64_t redial_slow_us;  /* then this often */
    uint64_t join_retry_us;   /* while this member knows nobody alive */
    uint64_t leave_linger_us; /* a member that left keeps answering this long */
    uint64_t share_dead_us;   /* DEAD and LEFT are told to others this long, */
    uint64_t forget_dead_us;  /* and remembered this long */
    uint64_t stall_us;        /* lateness of a step that counts as a pause of this machine */
};

enum swim_preset { SWIM_LAN, SWIM_LOCAL };

/* Default numbers: LAN T 0.5 s, LOCAL (all members on one machine) T 0.1 s. */
struct swim_config swim_preset(enum swim_preset preset);

struct swim_self {
    uint8_t id[SH_NODE_ID_BYTES];
    struct swim_addr addr; /* where others reach this member */
    uint32_t epoch;        /* durable count of starts, 1..SWIM_EPOCH_MAX, larger than any before */
    uint32_t capacity;     /* members and remembered dead, this one included: 2..SH_NODES_MAX * 4 */
    uint64_t seed;         /* of all random choices */
};

enum swim_state {
    SWIM_ABSENT, /* not known; only in swim_change */
    SWIM_ALIVE,
    SWIM_SUSPECT, /* does not answer, may still refute */
    SWIM_DEAD,    /* redialled; may come back */
    SWIM_LEFT,    /* said goodbye; not redialled; comes back with a new epoch */
};

struct swim_member {
    uint8_t id[SH_NODE_ID_BYTES];
    struct swim_addr addr;
    enum swim_state state;
    uint64_t incarnation;
    uint64_t since_us;     /* of its state, on this machine's clock */
    uint64_t rtt_us;       /* smoothed; 0: not measured yet */
    uint64_t rtt_high_us;  /* hardly ever exceeded: smoothed + 4 mean deviations (RFC 6298) */
    uint64_t rtt_mid_us;   /* the middle one of the newest five: one late answer does not move it */
    uint64_t meta_version; /* 0: its meta is not known yet */
    struct sh_span meta;   /* borrowed until the next step */
};

enum swim_event_kind {
    SWIM_EV_TICK,
    SWIM_EV_PACKET,
    SWIM_EV_JOIN,     /* addresses to find the cluster at; replaces the list of before */
    SWIM_EV_SET_META, /* this member's own; larger than SWIM_META_BYTES_MAX: update.err LIMIT */
    SWIM_EV_LEAVE,    /* LEFT is told to others; swim_has_left() says when to stop */
    SWIM_EV_HINT,     /* something suggests that node is gone: it is probed out of turn */
    SWIM_EV_CONTROL_PONG,
};

enum swim_hint {
    SWIM_HINT_LOST,    /* a connection to it broke: probe now */
    SWIM_HINT_REFUSED, /* its port is closed: two quick pings without an answer make it SUSPECT */
};

struct swim_event {
    enum swim_event_kind kind;
    uint64_t now_us; /* never goes back */
    union {
        struct {
            uint8_t node[SH_NODE_ID_BYTES]; /* who sealed it */
            struct swim_addr from;
            struct sh_span bytes; /* unsealed; borrowed by the step */
        } packet;
        struct {
            const struct swim_addr *addrs; /* borrowed by the step */
            uint32_t count;                /* up to SWIM_SEEDS_MAX; more are ignored */
        } join;
        struct sh_span meta;
        struct {
            uint8_t node[SH_NODE_ID_BYTES];
            enum swim_hint hint;
        } hint;
        struct {
            uint8_t node[SH_NODE_ID_BYTES];
            uint32_t number; /* of the CONTROL_PING */
        } pong;
    };
};

struct swim_send {
    struct swim_addr to;
    uint32_t size;
    uint8_t bytes[SWIM_PACKET_BYTES_MAX];
};

/* The difference to what was last reported about this member. */
struct swim_change {
    uint8_t id[SH_NODE_ID_BYTES];
    enum swim_state before; /* ABSENT: new */
    enum swim_state now;
    uint64_t incarnation_before;
    uint64_t incarnation;
    bool restarted; /* another epoch than before */
    bool meta;      /* its meta changed */
};

struct swim_control {
    uint8_t node[SH_NODE_ID_BYTES];
    uint32_t number;
};

struct swim_update {
    enum sh_err err; /* of SET_META; OK for all other events */
    uint32_t send_count;
    uint32_t change_count;
    uint32_t control_count;
    struct swim_send sends[SWIM_SENDS_MAX];
    struct swim_change changes[SWIM_CHANGES_MAX];
    struct swim_control control[SWIM_CONTROL_MAX]; /* ping these over the control plane */
};

struct swim_counts {
    uint32_t alive; /* this member included, unless it left */
    uint32_t suspect;
    uint32_t dead;
    uint32_t left;
};

struct swim_stats {
    uint64_t packets_out;
    uint64_t packets_in;
    uint64_t bytes_out;
    uint64_t invalid;   /* packets that do not decode */
    uint64_t misrouted; /* pings meant for another node */
    uint64_t dropped;   /* sends beyond the queue */
    uint64_t full;      /* members refused or forgotten for want of room */
    uint64_t probes;
    uint64_t probes_failed;
    uint64_t refutations;
    uint64_t syncs; /* bucket comparisons begun */
    uint64_t stalls;
};

struct swim; /* private */

/* What init takes from an arena, alignment included. */
size_t swim_bytes(const struct swim_self *self);
struct swim *swim_init(const struct swim_config *config, const struct swim_self *self,
                       uint64_t now_us, struct sh_arena *arena);
/* Clears and fills update. O(members) worst case. */
void swim_step(struct swim *s, const struct swim_event *event, struct swim_update *update);
/* When TICK is due; 0: at once (an update was full). Always finite. */
uint64_t swim_deadline_us(const struct swim *s);
/* Panics unless every invariant holds. O(capacity). */
void swim_check(const struct swim *s);

/* False when unknown. O(1). */
bool swim_find(const struct swim *s, const uint8_t node[static SH_NODE_ID_BYTES],
               struct swim_member *out);
/* Members by place 0 .. swim_places() - 1, this one at 0; false for a place without a member. A
 * member keeps its place as long as it is known. */
bool swim_at(const struct swim *s, uint32_t place, struct swim_member *out);
uint32_t swim_places(const struct swim *s);
struct swim_counts swim_counts(const struct swim *s);
struct swim_stats swim_stats(const struct swim *s);
/* Digest of all (id, incarnation, state, meta version) that are shared: equal tables, equal
 * fingerprints. */
uint64_t swim_fingerprint(const struct swim *s);
uint32_t swim_health(const struct swim *s); /* 0: fine .. SWIM_HEALTH_MAX: this machine is ill */
bool swim_has_left(const struct swim *s);   /* LEAVE was told and has been heard, stop now */
const char *swim_state_name(enum swim_state state);

#endif
