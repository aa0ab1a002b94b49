/* SPDX-License-Identifier: Apache-2.0
 * Private to sim/: the world of synchronous training. gang.c has time and faults, gang_council.c
 * who is in the generation, gang_member.c how members meet, gang_round.c their buffers and rounds,
 * gang_line.c what the states must be. */
#ifndef SIM_GANG_H
#define SIM_GANG_H

#include "sim/ether.h"
#include "sim/train.h"

#include "round/round.h"
#include "train/gang.h"

enum {
    SIM_GANG_VOTERS_MAX = 5,
    SIM_GANG_ENTRIES_MAX = 4096, /* generations of one run */
    SIM_GANG_OPS_MAX = 512       /* things that one member's transport and threads are at */
};

enum sim_gang_word_kind {
    SIM_GANG_ENTRY = 1, /* of whoever coordinates: the newest generation, by its place */
    SIM_GANG_ALIVE,     /* the answer */
    SIM_GANG_LOST,      /* the sender lost somebody, or itself */
    SIM_GANG_SAVED,     /* the sender has written a checkpoint */
    SIM_GANG_HELLO,     /* train/message.h follows */
    SIM_GANG_FETCH,
    SIM_GANG_NOTE,
    SIM_GANG_FRAME /* round/frame.h follows, and its payload */
};

struct sim_gang_word {
    enum sim_gang_word_kind kind;
    uint32_t place;      /* ENTRY */
    uint32_t lost;       /* LOST: an agent */
    uint64_t generation; /* ENTRY to SAVED: of the sender */
    uint64_t session;    /* ALIVE */
    uint64_t position;   /* SAVED */
};

enum sim_gang_work {
    SIM_GANG_TIMER = 1, /* a member's core */
    SIM_GANG_GREET,     /* a member that meets says where it stands again */
    SIM_GANG_OP,        /* number: place of what is over */
    SIM_GANG_NEXT,      /* a member begins its next round */
    SIM_GANG_STORM,     /* nobody's, from here on */
    SIM_GANG_COUNCIL,
    SIM_GANG_DECIDE
};

#define SIM_GANG_ARG(work, id) ((uint64_t)(work) | (uint64_t)(id) << 8)

struct sim_gang_entry { /* a generation, as committed */
    uint64_t generation;
    uint32_t count;
    uint32_t agent[WIRE_MEMBERS_MAX];
    uint64_t session[WIRE_MEMBERS_MAX];
    struct wire_member members[WIRE_MEMBERS_MAX];
};

enum sim_gang_op_kind { SIM_OP_FREE, SIM_OP_LOCAL, SIM_OP_SEND, SIM_OP_REDUCE };

struct sim_gang_op {
    enum sim_gang_op_kind kind;
    uint32_t local;
    struct round_action action;
};

struct sim_gang_member {
    uint64_t session; /* drawn when its process starts */
    uint32_t place;   /* of its generation in the log, plus 1; 0: it knows none */
    bool in;          /* the generation */
    uint32_t me;
    struct train_gang gang;
    bool playing;
    uint64_t played;   /* newest generation whose rounds it began */
    bool has_state;    /* position and params */
    uint64_t position; /* steps that the state has taken */
    float *params;
    uint32_t coordinator; /* who told the newest generation */
    bool fetching;
    uint64_t met_us; /* when it began to meet */

    void *memory;
    struct round *round;
    uint64_t base; /* position of the generation's first round */
    uint64_t sequence;
    uint32_t reduced; /* own chunks of this round */
    uint32_t own_chunks;
    uint32_t locals; /* own sums that are ready */
    float *local[ROUND_MINE_MAX];
    float *part[ROUND_RANKS_MAX];
    float *result[2];
    uint64_t turn; /* raised where everything under way is void */
    uint32_t reducing;
    struct sim_gang_op ops[SIM_GANG_OPS_MAX];
    uint64_t armed_us;
    uint64_t timer;

    bool armed; /* a blow is to fall in that phase */
    enum sim_blow blow;
    enum sim_phase phase;
    uint32_t slow;
};

struct sim_gang_council {
    uint32_t voters;
    uint32_t leader; /* SIM_NOBODY: none */
    uint64_t term;
    uint64_t leaderless_us;
    uint64_t heard_us[SIM_GANG_MEMBERS_MAX]; /* by this leader; 0: never */
    uint64_t session[SIM_GANG_MEMBERS_MAX];
    uint64_t accused_us[SIM_GANG_MEMBERS_MAX]; /* since when, without a pause; 0: not */
    uint64_t accused_last_us[SIM_GANG_MEMBERS_MAX];
    uint64_t out_us[SIM_GANG_MEMBERS_MAX]; /* left out until then */
    bool anew;                             /* the same members must meet again */
    bool deciding;
    uint64_t decided_us;
};

struct sim_gang_line { /* what the state is after each step: one line, whoever computes it */
    uint64_t count;    /* steps that somebody has finished */
    uint64_t room;
    uint64_t *sum;   /* [count]: digest of the sum over all ranks */
    uint64_t *state; /* [count + 1] */
    float *params;   /* after all of them */
    float *ranks;    /* a vector for each rank */
    uint64_t saved;  /* newest committed checkpoint, and the one before */
    uint64_t saved_before;
    float *saved_params;
    float *saved_before_params;
};

struct sim_gang {
    struct sim_ether net; /* one node a member, all hubs */
    uint64_t seed;
    uint32_t count;
    uint32_t ranks;
    uint32_t elements;
    uint32_t chunk;
    uint32_t window;
    uint64_t compute_us; /* mean time of one own sum */
    uint64_t save_every;
    bool keeps;       /* who is left out keeps its state */
    bool even;        /* ranks are shared evenly */
    bool repeats;     /* messages come again long after */
    uint64_t pace_us; /* between two generations, at least */
    struct sim_gang_member *members;
    struct sim_gang_council council;
    struct sim_gang_entry *log;
    uint32_t log_count;
    struct sim_gang_line line;
    uint64_t act_us;
    uint64_t storm_us;
    bool healed;
    uint64_t healed_us;
    uint64_t due_us; /* when all must be over */
    uint64_t goal;   /* position that all must reach after healing */
    struct sim_gang_counts counts;
};

/* ---- gang_line.c ---- */
void sim_gang_line_init(struct sim_gang *w);
void sim_gang_line_fini(struct sim_gang *w);
uint32_t sim_gang_length(const struct sim_gang *w, uint64_t position); /* elements of that step */
void sim_gang_gradient(const struct sim_gang *w, uint64_t position, uint32_t rank, float *out);
void sim_gang_apply(const struct sim_gang *w, uint64_t position, const float *sum, float *params);
uint64_t sim_gang_digest(const struct sim_gang *w, const float *params);
/* A member has finished the step at that position; params: after it. Breaks the run where the sum
 * or the state is not what all others have. */
void sim_gang_line_finish(struct sim_gang *w, uint32_t member, uint64_t position, const float *sum,
                          const float *params);
/* Its state is on the line; where it begins rounds, not behind the last checkpoint but one, which
 * can always be had. */
void sim_gang_line_stand(struct sim_gang *w, uint32_t member);
void sim_gang_line_save(struct sim_gang *w, const struct sim_gang_member *m, uint64_t position);

/* ---- gang_round.c ---- */
void sim_gang_round_open(struct sim_gang *w, struct sim_gang_member *m);
void sim_gang_round_close(struct sim_gang_member *m);
/* Of the generation that it knows, from where it stands. */
void sim_gang_round_go(struct sim_gang *w, uint32_t member);
void sim_gang_round_stop(struct sim_gang *w, uint32_t member);
void sim_gang_round_frame(struct sim_gang *w, uint32_t member, uint32_t from, const uint8_t *bytes,
                          size_t size);
void sim_gang_round_op(struct sim_gang *w, uint32_t member, uint32_t number);
void sim_gang_round_timer(struct sim_gang *w, uint32_t member);
void sim_gang_round_next(struct sim_gang *w, uint32_t member);

/* ---- gang_member.c ---- */
void sim_gang_member_begin(struct sim_gang *w, uint32_t member); /* its process starts */
void sim_gang_member_end(struct sim_gang *w, uint32_t member);
void sim_gang_member_hear(struct sim_gang *w, uint32_t member, const struct sim_parcel *parcel);
void sim_gang_member_greet(struct sim_gang *w, uint32_t member);
/* Of the newest generation, by its place in the log. */
void sim_gang_member_told(struct sim_gang *w, uint32_t member, uint32_t from, uint32_t place);
enum sim_phase sim_gang_phase(const struct sim_gang_member *m);
/* Words longer than a struct sim_gang_word are followed by bytes. */
void sim_gang_say(struct sim_gang *w, uint32_t from, uint32_t to, struct sim_gang_word word,
                  const void *bytes, size_t size);
void sim_gang_report(struct sim_gang *w, uint32_t member, uint32_t lost);
const struct sim_gang_entry *sim_gang_entry_of(const struct sim_gang *w,
                                               const struct sim_gang_member *m);

/* ---- gang_council.c ---- */
void sim_gang_council_turn(struct sim_gang *w);
void sim_gang_council_decide(struct sim_gang *w, uint64_t term);
void sim_gang_council_hear(struct sim_gang *w, uint32_t voter, uint32_t from,
                           const struct sim_gang_word *word);

#endif
