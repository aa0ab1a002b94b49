/* SPDX-License-Identifier: Apache-2.0
 *
 * The reductions of one session: hosts the round core (mesh/round), owns its buffers, and does what
 * it asks for. The caller serialises all calls with one lock, except train_exchange_project and
 * train_exchange_perform, which the threads that compute and pop orders call without it.
 *
 * What is sent may have lost something (train/codec.h): sums do when they are complete, before
 * anyone sees them, and payloads that follow a frame are coded.
 *
 * A TRAIN_CHUNK frame is a unit (u64 job, u32 unit, u32 zero), then a frame of mesh/round.
 *
 * What is sent lies on a shelf (train/shelf.h), one a generation. A member that has said that it
 * reads it gets frames without payload, over the shelf's board (train/board.h) as long as it looks
 * there, and copies nothing: sums of others are added up where they lie, and where others add up
 * the longest vectors, their pages are laid over its own. That gives the bytes that were meant: a
 * frame is accepted only while the round it names cannot go on without it, and until then its
 * sender overwrites neither a sum nor a result of that round; see docs/INVARIANTS.md, T6. A frame
 * that names what cannot be read is dropped; the question that follows says which shelf is read,
 * and where that is none the answer carries its payload. */
#ifndef TRAIN_EXCHANGE_H
#define TRAIN_EXCHANGE_H

#include "train/message.h"
#include "train/board.h"
#include "train/codec.h"
#include "train/shelf.h"
#include "train/sum.h"

#include "round/round.h"
#include "wire/job.h"

#define TRAIN_CHUNK_ELEMENTS  (SH_BULK_CHUNK_BYTES / ROUND_ELEMENT_BYTES)
#define TRAIN_EXCHANGE_WINDOW 64u               /* SENDs under way */
#define TRAIN_RETRY_US        UINT64_C(250000)  /* without progress before asking again */
#define TRAIN_STALL_US        UINT64_C(2000000) /* without progress before naming who is late */

struct train_exchange;

struct train_exchange_config {
    struct wire_unit unit;
    uint32_t ranks;
    uint64_t elements; /* longest vector */
    uint64_t shorter;  /* longest of the vectors that are shorter than it */
    struct kn_codec codec;
    uint64_t lossy;        /* elements of a vector that may lose something, at most */
    struct train_sum *sum; /* borrowed: the own subtree sums; given memory by the exchange */
};

struct train_vector { /* of a round */
    uint64_t elements;
    uint64_t lossy; /* so many of them, the first ones, may lose something */
    bool anew;      /* it is not of the kind of those before: what they lost is forgotten */
};

/* What a thread without the lock has to do next. */
struct train_order {
    enum round_action_kind kind; /* REDUCE or SEND */
    struct round_action action;
};

/* NO_MEMORY. */
SH_MUST_USE enum sh_err train_exchange_open(struct train_exchange **out,
                                            const struct train_exchange_config *config);
void train_exchange_close(struct train_exchange *x);

/* A new generation: drops the last one. No order may be under way. NO_MEMORY: it is not started.
 * members cover the ranks; me is one of them. */
SH_MUST_USE enum sh_err train_exchange_start(struct train_exchange *x, uint64_t now_us,
                                             uint64_t generation, const struct wire_member *members,
                                             uint32_t count, uint32_t me);
/* Nothing is sent or accepted until the next start; nobody's shelf is read any more. No order may
 * be under way. */
void train_exchange_stop(struct train_exchange *x, uint64_t now_us);

/* The number of this generation's shelf, and its descriptor, lent until the next start; 0: it has
 * none that others could read. */
uint64_t train_exchange_shelf(const struct train_exchange *x, int *fd);
/* The member `from` offers its shelf of the generation that was or is to be started next; fd is
 * borrowed. True: its frames may name places there. */
bool train_exchange_offered(struct train_exchange *x, uint32_t from, uint64_t number, int fd);
/* The member `to` reads the shelf with this number. */
void train_exchange_taken(struct train_exchange *x, uint32_t to, uint64_t number);

/* The next round; its elements are the longest, or no more than the longest of the others. */
void train_exchange_begin(struct train_exchange *x, uint64_t now_us,
                          const struct train_vector *vector);
/* An own subtree sum is complete: takes from it what is not sent. Needs no lock, and comes before
 * train_exchange_ready of it. */
void train_exchange_project(struct train_exchange *x, uint32_t subtree);
/* An own subtree sum can be sent. */
void train_exchange_ready(struct train_exchange *x, uint64_t now_us, uint32_t subtree);
/* A frame of the member `from`; a payload that followed it matches its sum. */
void train_exchange_frame(struct train_exchange *x, uint64_t now_us, uint16_t from,
                          const struct round_frame *header, struct sh_span payload);
/* Call at train_exchange_deadline_us. */
void train_exchange_timer(struct train_exchange *x, uint64_t now_us);
uint64_t train_exchange_deadline_us(const struct train_exchange *x);

/* The sum over all ranks once the round begun last is complete, else NULL. Intact until the round
 * after the next begins; not to be written. */
const float *train_exchange_result(const struct train_exchange *x);
/* Members that were late since the last call, as bits. */
uint64_t train_exchange_late(struct train_exchange *x);

/* Takes what others have posted. Returns how many frames that was. O(members) where it is none. */
uint32_t train_exchange_poll(struct train_exchange *x, uint64_t now_us);
/* The round lacks only what others compute, and some of them post: looking for a while is better
 * than sleeping at once. */
bool train_exchange_is_waiting(const struct train_exchange *x);
/* Before nobody looks any more: true: whoever posts from now on sends its frame too; false: there
 * was something. While own sums are lacking all wait: the call that completes them is to look. */
bool train_exchange_rest(struct train_exchange *x, uint64_t now_us);
/* Somebody looks again; begin says so by itself. */
void train_exchange_wake(struct train_exchange *x);

/* There is an order to pop, or a result: most frames change neither, and wake nobody. */
bool train_exchange_is_busy(const struct train_exchange *x);
/* The next order, which is under way until train_exchange_done; SENDs to who looks at this board
 * are carried out here. False when nothing is to be done. */
bool train_exchange_pop(struct train_exchange *x, uint64_t now_us, struct train_order *order);
/* REDUCE: adds up. SEND: writes the head of the frame (TRAIN_UNIT_HEAD + ROUND_FRAME_BYTES) and
 * lends its body, which may lie in coded (TRAIN_CODED_MAX bytes). Needs no lock. */
void train_exchange_perform(struct train_exchange *x, const struct train_order *order,
                            uint8_t *head, uint8_t *coded, struct sh_span *body);
/* A popped order has been carried out, or given up. */
void train_exchange_done(struct train_exchange *x, uint64_t now_us,
                         const struct train_order *order);

/* Reads the head of a TRAIN_CHUNK frame and checks the sum of a payload that follows; payload is
 * empty where it lies on a shelf. CORRUPT, VERSION. Pure. */
SH_MUST_USE enum sh_err train_exchange_decode(struct sh_span bytes, struct wire_unit *unit,
                                              struct round_frame *header, struct sh_span *payload);

#endif
