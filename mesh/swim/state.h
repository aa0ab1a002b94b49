/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to mesh/swim: the state behind swim/swim.h, shared by its sources. All times in it are
 * core times: the host's clock less the pauses of this machine (skew_us), so that one addition
 * moves all deadlines by a pause. */
#ifndef SWIM_STATE_H
#define SWIM_STATE_H

#include "base/map.h"
#include "base/ring.h"
#include "base/rng.h"
#include "swim/packet.h"

#define SWIM_NONE   UINT32_MAX
#define SWIM_PROBES 8u  /* one regular, the others after hints */
#define SWIM_RELAYS 64u /* pings on behalf of others */
#define SWIM_SYNCS  8u  /* transfers of records to others */
#define SWIM_OUTBOX 512u
#define SWIM_RTTS   5u /* of which the middle one is typical */

struct swim_row { /* place 0 is this member */
    bool used;
    uint8_t id[SH_NODE_ID_BYTES];
    struct swim_addr addr;
    enum swim_state state;
    uint64_t incarnation;
    uint64_t since_us;
    uint64_t rtt_us; /* smoothed, and its mean deviation */
    uint64_t rtt_dev_us;
    uint32_t rtt_last_us[SWIM_RTTS]; /* the newest ones; a ring of rtt_count % SWIM_RTTS */
    uint32_t rtt_count;              /* measured so far */
    uint64_t notice_us;              /* when it was last told that it is held for dead */
    uint64_t meta_version;
    uint16_t meta_size;
    uint8_t meta[SWIM_META_BYTES_MAX];

    bool shared; /* hash is part of its bucket and the fingerprint */
    uint64_t hash;
    uint32_t order_at; /* place in order: ALIVE and SUSPECT others */
    uint32_t hot_at;   /* place in hot: something about it is still to be told */
    bool claim_hot;
    bool meta_hot;
    uint32_t claim_sent;
    uint32_t meta_sent;
    uint32_t accusers; /* SUSPECT: at least one */
    uint64_t accuser[SWIM_ACCUSERS];

    uint64_t packed; /* number of the last packet that carried its claim */

    bool dirty; /* differs from what was reported */
    enum swim_state told_state;
    uint64_t told_incarnation;
    uint64_t told_meta;
};

struct swim_probe {
    bool used;
    bool fast;
    bool asked; /* helpers and control plane */
    uint32_t row;
    uint32_t seq; /* of its pings, and number of its CONTROL_PING */
    uint32_t pings;
    uint32_t nacks_expected;
    uint32_t nacks;
    uint64_t start_us;
    uint64_t next_us;
    uint64_t deadline_us;
};

struct swim_relay {
    bool used;
    bool nacked;
    struct swim_addr asker;
    uint32_t asker_seq;
    uint32_t seq;
    uint64_t nack_us;
    uint64_t end_us;
};

struct swim_sync {
    bool used;
    struct swim_addr to;
    uint64_t mask; /* buckets whose records are sent */
    uint64_t want; /* buckets asked for in return, with the first packet */
    uint32_t at;   /* next row */
    bool begun;
    uint64_t next_us;
};

struct swim_out {
    enum swim_packet_type type;
    struct swim_addr to;
    uint32_t row;   /* of the receiver, SWIM_NONE when unknown */
    uint32_t about; /* row whose claim comes first, or SWIM_NONE */
    bool with_meta; /* of about */
    uint32_t seq;
    uint8_t target[SH_NODE_ID_BYTES];
    struct swim_addr addr;
};

struct swim_tokens { /* a bucket that limits what strangers or storms can make this member send */
    uint32_t count;
    uint64_t us; /* when the last one was added */
};

struct swim {
    struct swim_config config;
    uint32_t epoch;
    uint32_t capacity;
    struct sh_rng rng;
    uint64_t now_us; /* core time of this step */
    uint64_t skew_us;
    uint64_t host_us;     /* of the last step */
    uint64_t promised_us; /* host time of the deadline given after the last step */

    struct swim_row *row;
    uint32_t *free; /* stack of unused places */
    uint32_t free_count;
    struct sh_map map;
    uint32_t *order; /* probe order of ALIVE and SUSPECT others */
    uint32_t order_count;
    uint32_t order_next;
    uint32_t *hot;
    uint32_t hot_count;
    uint32_t count[SWIM_LEFT + 1]; /* by state, this member included */
    uint64_t bucket[SWIM_BUCKETS];
    uint64_t fingerprint;
    uint32_t dirty_count;

    uint32_t health;
    uint32_t next_seq;
    struct swim_probe probe[SWIM_PROBES];
    struct swim_relay relay[SWIM_RELAYS];
    struct swim_sync sync[SWIM_SYNCS];
    struct swim_out *out;
    struct sh_ring out_ring;
    struct swim_control control[SWIM_CONTROL_MAX * 2];
    uint32_t control_count;

    bool leaving;
    uint64_t leave_end_us;
    struct swim_addr seed[SWIM_SEEDS_MAX];
    uint32_t seed_count;
    bool eager; /* something new has to be told at once */
    struct swim_tokens eager_tokens;
    struct swim_tokens who_tokens;
    uint64_t packet;   /* number of the packet being filled */
    uint64_t probe_us; /* next times */
    uint64_t gossip_us;
    uint64_t join_us;
    uint64_t redial_us;
    uint64_t sync_us;
    uint64_t sweep_us;
    uint32_t redial_seq;
    bool differs; /* the last contact had another fingerprint */
    uint64_t differs_us;
    bool backlog;
    struct swim_stats stats;
};

/* rows.c: the table and its derived lists */
uint64_t swim_key(const uint8_t *id); /* of a node id: never 0 */
uint32_t swim_bucket_of(const uint8_t *id);
uint32_t swim_row_find(const struct swim *s, const uint8_t *id); /* SWIM_NONE when unknown */
/* A new row without state; forgets an old tombstone if need be. SWIM_NONE: no room. */
uint32_t swim_row_add(struct swim *s, const uint8_t *id);
void swim_row_forget(struct swim *s, uint32_t at);
void swim_row_set_state(struct swim *s, uint32_t at, enum swim_state state);
/* After any change of state, incarnation, meta version or age. */
void swim_row_rehash(struct swim *s, uint32_t at);
void swim_row_touch(struct swim *s, uint32_t at); /* reports it with the next update */
void swim_row_claim_hot(struct swim *s, uint32_t at);
void swim_row_meta_hot(struct swim *s, uint32_t at);
void swim_row_cool(struct swim *s,
                   uint32_t at); /* takes it from hot when nothing is left to tell */
void swim_row_set_meta(struct swim *s, uint32_t at, uint64_t version, struct sh_span meta);
uint32_t swim_members(const struct swim *s); /* ALIVE and SUSPECT */
/* Up to count different ALIVE or SUSPECT others but not `but`; returns how many. */
uint32_t swim_pick(struct swim *s, uint32_t count, uint32_t but, uint32_t *out);

/* claim.c: what is believed */
void swim_claim_apply(struct swim *s, const struct swim_claim *claim, bool records, uint32_t sender,
                      const struct swim_addr *from);
void swim_accuse(struct swim *s, uint32_t at); /* it did not answer this member */
void swim_announce(struct swim *s);            /* tells this member's own claim to everyone */
uint64_t swim_suspect_end(const struct swim *s, uint32_t at);
void swim_expire_suspects(struct swim *s);
void swim_sweep_dead(struct swim *s);

/* probe.c: who answers */
void swim_health_add(struct swim *s, int32_t change);
void swim_probe_tick(struct swim *s);
uint64_t swim_probe_deadline(const struct swim *s);
void swim_probe_hint(struct swim *s, uint32_t at, enum swim_hint hint);
void swim_probe_cancel(struct swim *s, uint32_t at);
void swim_probe_ack(struct swim *s, uint32_t seq, const struct swim_addr *from);
void swim_probe_nack(struct swim *s, uint32_t seq);
void swim_probe_relay(struct swim *s, const struct swim_packet *packet,
                      const struct swim_addr *asker);

/* spread.c: what is told to whom */
struct swim_out swim_out_to(const struct swim *s, enum swim_packet_type type, uint32_t row);
struct swim_out swim_out_at(enum swim_packet_type type, const struct swim_addr *to, uint32_t row);
void swim_out_push(struct swim *s, const struct swim_out *out);
void swim_gossip_tick(struct swim *s);
void swim_gossip_to(struct swim *s, uint32_t fanout);
void swim_eager(struct swim *s); /* at the end of a step */
bool swim_tokens_take(struct swim_tokens *t, uint64_t now_us, uint64_t every_us, uint32_t burst);
uint32_t swim_seq(struct swim *s); /* never 0 */
void swim_drain(struct swim *s, struct swim_update *update);
struct swim_claim swim_claim_of(const struct swim *s, uint32_t at, bool with_meta);
/* Room for one packet in the update, its writer opened with header and body; false: the update is
 * full. */
bool swim_send_begin(struct swim *s, struct swim_update *update, const struct swim_addr *to,
                     struct swim_packet *packet, struct sh_writer *w);
void swim_send_end(struct swim *s, struct swim_update *update, struct sh_writer *w,
                   uint32_t claims);
bool swim_addr_equal(const struct swim_addr *a, const struct swim_addr *b);

/* sync.c: tables that differ, seeds, the dead */
void swim_sync_begin(struct swim *s, const struct swim_addr *to);
void swim_sync_add(struct swim *s, const struct swim_addr *to, uint64_t mask, uint64_t want);
void swim_sync_drain(struct swim *s, struct swim_update *update);
void swim_sync_compare(struct swim *s, const struct swim_packet *packet,
                       const struct swim_addr *from);
void swim_sync_tick(struct swim *s);
void swim_sync_join(struct swim *s, const struct swim_addr *addrs, uint32_t count);
uint64_t swim_sync_deadline(const struct swim *s);

/* receive.c */
void swim_receive(struct swim *s, const uint8_t *node, const struct swim_addr *from,
                  struct sh_span bytes);

#endif
