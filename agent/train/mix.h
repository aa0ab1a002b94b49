/* SPDX-License-Identifier: Apache-2.0
 *
 * The models that a member of a gossip job gives and is given: hosts the push core (mesh/push),
 * owns its buffers, and carries out what it asks for. The caller serialises all calls with one
 * lock, but for train_mix_perform.
 *
 * What is mixed is one vector of m->local_vector - 2 elements: parameters, buffers and, unless it
 * begins anew after each average, the optimiser's state. It is kept as it is and its weight beside
 * it: splitting copies, and adding what came moves the own vector by the part that its weight is of
 * both. A model is old when it comes: half of it would undo half of what was learnt since. So the
 * own parameters move by how much the giver's differed from them when it was split off. In terms of
 * mass: what is on its way learns what its taker learns meanwhile (overlapped and delayed
 * averaging; Assran et al. 2019, section 4, let it learn what the giver learns, whose steps then
 * grow). What could not be given away goes back as weight alone: the own vector has gone on from
 * there.
 *
 * A TRAIN_MIX frame is a unit (u64 job, u32 unit, u32 zero), then a frame of mesh/push. */
#ifndef TRAIN_MIX_H
#define TRAIN_MIX_H

#include "train/message.h"
#include "train/state.h"

#include "push/push.h"
#include "wire/job.h"

#define TRAIN_MIX_CHUNK       (SH_BULK_CHUNK_BYTES / PUSH_ELEMENT_BYTES)
#define TRAIN_MIX_BUFFERS     2u  /* of a member in each direction: copies of what is mixed */
#define TRAIN_MIX_WINDOW      8u  /* chunks of a transfer on their way */
#define TRAIN_MIX_ORDERS_MAX  64u /* further frames are dropped, as on the wire */
#define TRAIN_MIX_RETRY_US    UINT64_C(250000)  /* without an answer before saying it again */
#define TRAIN_MIX_PATIENCE_US UINT64_C(3000000) /* without a word of it before giving it up */

struct train_mix;

struct train_mix_order { /* a frame to be sent */
    uint16_t to;
    uint32_t buffer;
    uint64_t offset;
    struct push_frame header;
};

struct train_mix_gift { /* that is here to be added */
    uint32_t buffer;
    uint16_t from;
    uint64_t position; /* of the giver */
    uint64_t weight;
    const float *vector; /* borrowed until train_mix_absorbed */
};

/* Takes 2 * TRAIN_MIX_BUFFERS vectors, and as many of parameters as buffers. NO_MEMORY. */
SH_MUST_USE enum sh_err train_mix_open(struct train_mix **out, struct wire_unit unit,
                                       const struct train_material *m);
void train_mix_close(struct train_mix *x);

/* A new generation; has_state: this member has a model. Gifts of the last one are gone: add them
 * up before. */
void train_mix_start(struct train_mix *x, uint64_t now_us, uint64_t generation,
                     const struct wire_member *members, uint32_t count, uint32_t me,
                     bool has_state);
void train_mix_stop(struct train_mix *x, uint64_t now_us);
/* This member has a model that nobody gave it. */
void train_mix_loaded(struct train_mix *x, uint64_t now_us);
/* A tick at a position; copies the state where something is to be given. */
enum push_tick train_mix_tick(struct train_mix *x, uint64_t now_us,
                              const struct train_state *state);
/* All that this member has is for one, and nothing more for it unless it is that one itself. */
void train_mix_hand_in(struct train_mix *x, uint64_t now_us, uint32_t to);
/* A frame of the member `from`, whose payload matches its sum. */
void train_mix_frame(struct train_mix *x, uint64_t now_us, uint16_t from,
                     const struct push_frame *header, struct sh_span payload);
void train_mix_reach(struct train_mix *x, uint64_t now_us, uint32_t member, bool reachable,
                     bool empty);
void train_mix_gone(struct train_mix *x, uint64_t now_us, uint32_t member);
/* Call at train_mix_deadline_us. */
void train_mix_timer(struct train_mix *x, uint64_t now_us);
uint64_t train_mix_deadline_us(const struct train_mix *x);

/* The next frame to be sent; false: there is none. */
bool train_mix_pop(struct train_mix *x, struct train_mix_order *order);
/* Writes the head of the frame (TRAIN_UNIT_HEAD + PUSH_FRAME_BYTES) and borrows its body, until the
 * next tick. Needs no lock, but the thread that ticks. */
void train_mix_perform(const struct train_mix *x, const struct train_mix_order *order,
                       uint8_t *head, struct sh_span *body);

/* The buffer of a model that began to arrive since the last call; UINT32_MAX: there is none. Each
 * is answered by train_mix_note, which needs no lock, but the thread that ticks. Call once there is
 * a state, before it moves, and before a gift is added. */
uint32_t train_mix_arrived(struct train_mix *x);
void train_mix_note(struct train_mix *x, uint32_t buffer, const struct train_state *state);
/* A model that came; false: there is none. */
bool train_mix_gift(const struct train_mix *x, struct train_mix_gift *gift);
/* Moves the state by what the gift weighs; a state that is not set, or at position 0, becomes it.
 * *apart: the length of the difference by that of the own parameters, before; NaN: there is none.
 * DIVERGED: a value that is not finite came; the state stays as it is. Needs no lock, but the
 * thread that ticks. */
SH_MUST_USE enum sh_err train_mix_add(struct train_mix *x, const struct train_mix_gift *gift,
                                      uint64_t own_weight, struct train_state *state,
                                      double *apart);
/* Its weight is this member's now. */
void train_mix_absorbed(struct train_mix *x, uint64_t now_us, const struct train_mix_gift *gift);

uint64_t train_mix_weight(const struct train_mix *x);
bool train_mix_has_all(const struct train_mix *x); /* the weight of all members */
/* Least weight of a member, for its ranks, by the most, as they told; NaN: nobody has any. */
double train_mix_evenness(const struct train_mix *x);

/* Reads the head of a TRAIN_MIX frame and checks the sum of the payload. CORRUPT, VERSION. Pure. */
SH_MUST_USE enum sh_err train_mix_decode(struct sh_span bytes, struct wire_unit *unit,
                                         struct push_frame *header, struct sh_span *payload);

#endif
