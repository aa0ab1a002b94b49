/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to agent/rounds: a leader from inside. lead.c has its life and loop, ask.c what goes on
 * between it and the members, load.c where it begins, commit.c how a round ends. */
#ifndef ROUNDS_INSIDE_H
#define ROUNDS_INSIDE_H

#include "rounds/combine.h"
#include "rounds/lead.h"
#include "rounds/record.h"
#include "rounds/state.h"

struct rounds_slot { /* one agent that is or was a member */
    bool used;
    bool present;
    uint8_t node[SH_NODE_ID_BYTES];
    char name[SH_NAME_MAX + 1];
    uint64_t asked;     /* round; FED_NONE: not in this life */
    uint64_t first_us;  /* when it was first tried */
    uint64_t ask_us;    /* when to ask, or to look, next */
    uint64_t delivered; /* round of its newest update that was looked at; FED_NONE */
    bool has_figures;   /* of the running round */
    struct rounds_figures figures;
    char why[ROUNDS_TEXT_MAX + 1];
};

struct rounds_taken { /* an update that the core knows by its place here */
    bool used;
    uint32_t slot;
    uint64_t round;
    struct rounds_figures figures;
    uint8_t blob[SH_DIGEST_BYTES];
};

struct rounds_entries { /* the updates that count in the round at hand, by slot */
    struct rounds_lead *x;
    uint32_t count;
    uint32_t place[ROUNDS_SLOTS_MAX]; /* in x->taken */
    uint32_t weights[ROUNDS_SLOTS_MAX];
    uint64_t stale[ROUNDS_SLOTS_MAX];
    uint64_t ids[ROUNDS_SLOTS_MAX];
    enum kn_vote_fate fates[ROUNDS_SLOTS_MAX];
    bool out[ROUNDS_SLOTS_MAX]; /* it was not added after all: */
    char whys[ROUNDS_SLOTS_MAX][ROUNDS_TEXT_MAX + 1];
    uint64_t weight; /* of all */
    char why[ROUNDS_WHY_BYTES];
};

struct rounds_lead {
    struct train_worker *w;
    struct rounds_member *member; /* this agent's own */
    /* Of the worker's thread. */
    void *memory; /* of the core */
    struct fed *fed;
    bool loaded;
    bool started;
    uint8_t digest[SH_DIGEST_BYTES]; /* blob of the newest committed state */
    struct fed_resume resume;
    struct rounds_model model;
    float *server; /* server_count */
    size_t server_count;
    float *controls; /* SCAFFOLD: model.floats; else NULL */
    char *records;
    size_t records_size;
    struct rounds_measures measures; /* of the newest round */
    double train_loss;               /* of the newest that trained; NaN */
    struct rounds_slot slots[ROUNDS_SLOTS_MAX];
    struct rounds_taken taken[2 * ROUNDS_SLOTS_MAX];
    bool closing; /* a round is to be committed: */
    struct fed_action close;
    uint8_t *pending; /* its state; NULL: not made yet */
    size_t pending_size;
    uint8_t pending_model[SH_DIGEST_BYTES];
    struct fed_resume next;
    bool scored;
    double score;
    bool ended;
    enum fed_end end;

    bool leads;     /* this and what follows with the worker's lock */
    uint64_t round; /* that reports are taken of, and later ones */
    uint32_t mail_count;
    struct rounds_report mail[ROUNDS_MAIL_MAX];
};

/* lead.c. One step of the core and what it asks for. */
enum fed_verdict rounds_step(struct rounds_lead *x, const struct fed_event *event);

/* load.c. The newest committed state, or the beginning, committed. False: it cannot be had, which
 * was told, or this gang is superseded. */
bool rounds_load(struct rounds_lead *x);
void rounds_unload(struct rounds_lead *x);
/* Takes the parts of a state over. */
enum sh_err rounds_take_state(struct rounds_lead *x, struct sh_span bytes, char *why);
/* The state as bytes, given (free), NULL: no memory. */
uint8_t *rounds_make_state(const struct rounds_lead *x, const struct fed_resume *at, size_t *size);
/* Until it is committed; false: interrupted, superseded, or it cannot be. */
bool rounds_commit_state(struct rounds_lead *x, const uint8_t *bytes, size_t size, uint64_t step,
                         uint8_t digest[static SH_DIGEST_BYTES]);

/* ask.c. Members of the placement in force come and go. */
void rounds_follow_members(struct rounds_lead *x);
/* What tells a member from others, wherever it is one. */
uint64_t rounds_key(const struct rounds_slot *slot);
void rounds_invited(struct rounds_lead *x, uint32_t slot);
/* Asks whom it is time to ask; when that is next. */
uint64_t rounds_ask_due(struct rounds_lead *x);
void rounds_take_report(struct rounds_lead *x, const struct rounds_report *report);
/* Reads an update and looks at every number of it. */
enum sh_err rounds_read_update(struct rounds_lead *x, const struct rounds_taken *t, float *change,
                               float *variates, char *why);

/* commit.c. The round that the core closed: combines, records, commits, tells the core. False: it
 * is to be tried again in the next gang, or the unit has failed. */
bool rounds_close_round(struct rounds_lead *x);

/* secure.c. The change that the updates come to as a secure sum: x->model.floats elements.
 * NO_QUORUM: too few members saw it through; CANCELLED; NO_MEMORY. Those left out are marked, with
 * the reason. */
enum sh_err rounds_secure_change(struct rounds_lead *x, struct rounds_entries *list, float *out);

#endif
