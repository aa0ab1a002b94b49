/* SPDX-License-Identifier: Apache-2.0
 * Private to sim/: the world of federated rounds. fed.c has time and faults, fed_seat.c who leads,
 * fed_member.c who trains, fed_model.c what becomes of the model. */
#ifndef SIM_FED_H
#define SIM_FED_H

#include "sim/attack.h"
#include "sim/ether.h"
#include "sim/train.h"

#include "fed/fed.h"
#include "kernels/agg/server.h"
#include "kernels/agg/vote.h"

enum {
    SIM_FED_SEATS_MAX = 5,
    SIM_FED_DIMS = 16,
    SIM_FED_ROUNDS_MAX = 60 /* a set of rounds is a word of 64 bits */
};

enum sim_fed_word_kind {
    SIM_FED_INVITE = 1,
    SIM_FED_REPLY,
    SIM_FED_UPDATE,
    SIM_FED_FAILED,
    SIM_FED_VERDICT
};

struct sim_fed_word {
    enum sim_fed_word_kind kind;
    bool accepted;
    enum fed_verdict verdict;
    uint64_t fence; /* of the leader that it is from or to */
    uint64_t round;
};

/* Work of a node: arg of its WORK events is one of these and something to know it by. */
enum sim_fed_work {
    SIM_FED_TIMER = 1, /* a seat's core */
    SIM_FED_ASK_AGAIN, /* number: the member */
    SIM_FED_COMMIT,
    SIM_FED_LOOK,   /* a seat looks who is there */
    SIM_FED_DONE,   /* a member has trained */
    SIM_FED_RESEND, /* its word had no answer yet */
    SIM_FED_STORM,  /* nobody's */
    SIM_FED_ELECT,
    SIM_FED_WATCH /* a round must be closed by now; number: the seat */
};

#define SIM_FED_ARG(work, id) ((uint64_t)(work) | (uint64_t)(id) << 8)

struct sim_fed_update { /* number of an update: its place */
    uint32_t member;
    uint64_t base;
};

struct sim_fed_asked {
    bool waiting; /* for a REPLY */
    uint32_t tries;
    uint64_t round;
    uint64_t rounds; /* bit r: asked in round r of this reign */
    uint64_t taken;  /* bit r: the update of round r was taken or kept in it */
    bool present;    /* as the core was told */
};

struct sim_fed_seat {
    struct fed *core; /* NULL: it does not lead, as far as it knows */
    void *memory;
    uint64_t fence;
    uint64_t armed_us; /* when the newest TIMER is due */
    uint64_t timer;    /* number of it */
    uint64_t frozen_us;
    uint64_t lost_us; /* frozen for so long since OPEN */
    bool closing;
    enum fed_outcome outcome;
    struct sim_fed_asked *asked; /* [members] */
    struct sim_fed_update *updates;
    uint64_t update_count;
    uint64_t update_room;
};

struct sim_fed_member {
    bool liar;
    uint32_t slow; /* times as slow as others */
    uint32_t seat; /* who asked last */
    uint64_t fence;
    uint64_t work; /* round it trains for; FED_NONE: none */
    uint64_t work_id;
    uint64_t owes; /* round of a word that is not answered yet; FED_NONE: none */
    bool failed;   /* and it says so */
    uint32_t tries;
    uint64_t counted; /* bit r: its update of round r is in a committed model */
};

/* Three models from the same updates: the rule's, that of plain averaging, that of clipped sums. */
enum { SIM_FED_RULE, SIM_FED_PLAIN, SIM_FED_CLIP, SIM_FED_MODELS };

struct sim_fed_model {
    uint64_t seed;
    uint32_t members;
    struct kn_vote vote;
    struct kn_server server;
    uint32_t attack; /* ATTACKS: another one each round */
    float at[SIM_FED_MODELS][SIM_FED_ROUNDS_MAX + 2][SIM_FED_DIMS]; /* that round r begins with */
    float state[SIM_FED_MODELS][SIM_FED_DIMS];
    float truth[SIM_FED_DIMS];
    float *rows; /* [members * DIMS], [members * LANES] */
    float *merge;
    uint64_t models;
};

struct sim_fed {
    struct sim_ether net;
    struct fed_config config;
    struct sim_fed_seat seats[SIM_FED_SEATS_MAX];
    uint32_t seat_count;
    struct sim_fed_member *members; /* node seat_count + i */
    uint32_t member_count;
    struct sim_fed_model model;
    uint64_t fence;  /* of the newest reign */
    uint32_t leader; /* its seat; SIM_NOBODY: none yet */
    uint64_t leaderless_us;
    struct fed_resume ledger; /* as committed */
    bool ended;
    bool healed;
    uint64_t storm_rounds;
    uint64_t act_us;
    uint64_t train_us; /* mean time that training takes */
    uint32_t bad;      /* of 1000 trainings that fail, decline or vanish */
    struct sim_fed_counts counts;
};

/* ---- fed_seat.c ---- */
void sim_fed_reign(struct sim_fed *w, uint32_t seat); /* the majority has chosen it */
void sim_fed_resign(struct sim_fed *w, uint32_t seat);
bool sim_fed_majority(struct sim_fed *w, uint32_t seat); /* it reaches one */
void sim_fed_seat_hear(struct sim_fed *w, uint32_t seat, uint32_t member,
                       const struct sim_fed_word *word);
void sim_fed_seat_work(struct sim_fed *w, uint32_t seat, const struct sim_event *event);
void sim_fed_seat_look(struct sim_fed *w, uint32_t seat, bool wrongly);
void sim_fed_watch(struct sim_fed *w, const struct sim_event *event);
uint64_t sim_fed_bound_us(const struct sim_fed *w); /* of a round, from OPEN to CLOSE */

/* ---- fed_member.c ---- */
void sim_fed_member_begin(struct sim_fed *w, uint32_t member); /* its process starts */
void sim_fed_member_hear(struct sim_fed *w, uint32_t member, uint32_t seat,
                         const struct sim_fed_word *word);
void sim_fed_member_work(struct sim_fed *w, uint32_t member, const struct sim_event *event);

/* ---- fed_model.c ---- */
void sim_fed_model_init(struct sim_fed *w, struct sh_rng *rng);
void sim_fed_model_fini(struct sim_fed *w);
/* The round's model from these updates, liars first; count 0: it stays as it was. */
void sim_fed_model_commit(struct sim_fed *w, uint64_t round, const struct sim_fed_update *updates,
                          uint32_t count, uint32_t liars);
void sim_fed_model_judge(struct sim_fed *w); /* in the end */

#endif
