/* SPDX-License-Identifier: Apache-2.0
 *
 * Push-sum averaging of one member, as a value: to whom half of what it has goes, what of it is
 * whose, and that nothing of it is lost or counted twice. There is no leader and no round that all
 * have to complete. It names buffers and moves no element; the host copies, adds and sends as told.
 *
 * Model. Member i has a vector x of mass and a weight w; what it takes for the average is z = x/w.
 * A host may as well keep z and think of x as w z. At tick t it splits both and gives a part to one
 * member (Kempe, Dobra, Gehrke 2003): to the one 2^(t mod ceil(log2 p)) places on among the p that
 * it takes for reachable (Assran et al. 2019, one-peer exponential graph). Members whose ticks have
 * equal numbers, p a power of two, hold the exact average after log2 p of them. They need not agree
 * on t nor on who is reachable: the sums of x and w over all members are what the average is made
 * of, and every split and every addition keeps them.
 *
 * Weights are whole numbers, PUSH_UNIT a share. A generation says who the members are and how many
 * shares each has. Who has a state when it begins gets its shares' weight (mints it); who has none
 * has weight 0, takes the first vector that is given to it as its own, and mints then. So once all
 * have a state the weights of a generation add up to push_total, and a member that has that much
 * has the average of all. A new generation forgets weights and transfers, and keeps the hosts'
 * vectors: what a member learnt on its own comes back with the weight of its shares.
 *
 * A transfer, one at a time between two members in one direction:
 *
 *      giver                              taker
 *      OPEN: splits off    -- OFFER -->   takes a buffer, or RETURN
 *                          <-- ASK ----   chunks, at most `window` on their way
 *                          -- DATA --->   KEEP
 *                          <-- TAKE ---   all is here
 *      from now on given   -- GIVE --->   ABSORB: it is the taker's
 *      done                <- TAKEN ---
 *
 * Frames may be lost, repeated, reordered. Until GIVE the giver may take back what it split off
 * (RESTORE): when the taker is silent for patience_us, returns it, or is unreachable. After GIVE
 * only the taker knows, so the giver repeats it until the answer: TAKEN, or RETURN from a taker
 * that had dropped the transfer, and will not take one with that number again. A taker that is GONE
 * does not answer: the giver takes back, and what the gone one had is lost with it, as its own was.
 *
 * Invariants (push_check; storm_test.c looks at all members together)
 *   - minted + absorbed - given away = weight + weight split off and not resolved;
 *   - a transfer is absorbed at most once, and never both absorbed and restored while its taker
 *     lives;
 *   - without a state there is no weight and nothing is given.
 *
 * Limits. out_max and in_max transfers at a time. An OFFER that finds no buffer is returned; a tick
 * that finds none gives nothing (PUSH_TICK_FULL). After GIVEs to members that fell silent at that
 * very moment a giver may be full until they are heard, GONE, or the next generation; it goes on
 * taking. Who has less than a PUSH_LEAST part of its shares' weight gives nothing
 * (PUSH_TICK_LIGHT): a fast member does not give itself away to slow ones. A member never has more
 * than twice push_total: more is a lie and is returned.
 *
 * Host duties: one step at a time; perform the actions of an update in order, before the next step,
 * but ABSORB and RESTORE, which may wait and are answered by ABSORBED and RESTORED; before a START,
 * add up what is still to be absorbed. Call TIMER at the deadline. A SEND that is performed later
 * asks push_is_giving first: the buffer may hold another transfer by then. Pure: see DESIGN
 * section 3. */
#ifndef PUSH_PUSH_H
#define PUSH_PUSH_H

#include "base/arena.h"
#include "push/frame.h"

#include <stdbool.h>

#define PUSH_MEMBERS_MAX 1024u
#define PUSH_BUFFERS_MAX 8u                  /* out_max, in_max */
#define PUSH_WINDOW_MAX  16u                 /* chunks */
#define PUSH_SHARES_MAX  (UINT32_C(1) << 20) /* of all members together */
#define PUSH_UNIT        (UINT64_C(1) << 40) /* weight of one share: room to be halved */
#define PUSH_LEAST       64u
#define PUSH_PAUSE_MAX   8u /* times retry_us */
#define PUSH_ACTIONS_MAX 32u

_Static_assert(PUSH_ACTIONS_MAX >= PUSH_WINDOW_MAX + 2, "an ASK is answered at once");
_Static_assert(PUSH_ACTIONS_MAX >= 2 * PUSH_BUFFERS_MAX + 2, "a TIMER looks at every buffer");

struct push_config {
    uint32_t members_max;    /* 1..PUSH_MEMBERS_MAX */
    uint64_t elements_max;   /* longest vector of any generation */
    uint32_t chunk_elements; /* at most SH_BULK_CHUNK_BYTES / 4 */
    uint32_t window;      /* 1..PUSH_WINDOW_MAX, chunks asked for and not here, of one transfer */
    uint32_t out_max;     /* 1..PUSH_BUFFERS_MAX buffers of what is being given */
    uint32_t in_max;      /* 1..PUSH_BUFFERS_MAX buffers of what is being taken */
    uint64_t retry_us;    /* without an answer before a frame is sent again; doubles */
    uint64_t patience_us; /* without a frame of a transfer before it is given up; > retry_us */
};

struct push_generation {
    uint64_t generation; /* larger than any before */
    uint32_t members;    /* 1..members_max */
    uint32_t me;
    const uint32_t *shares; /* [members], each at least 1; borrowed by step */
    uint64_t elements;      /* 1..elements_max */
    bool has_state;
};

enum push_event_kind {
    PUSH_EV_START,    /* a generation; all others are reachable until said otherwise */
    PUSH_EV_LOADED,   /* this member has a state now that no transfer brought */
    PUSH_EV_TICK,     /* between two stretches of work: give a part, if that can be */
    PUSH_EV_CLOSE,    /* no more than what is here is wanted; every tick gives all to one member, or
                       * nothing where that is this one, which goes on taking */
    PUSH_EV_FRAME,    /* a frame whose payload matched its sum; from is who really sent it */
    PUSH_EV_ABSORBED, /* the in buffer was added */
    PUSH_EV_RESTORED, /* what was in the out buffer is back */
    PUSH_EV_REACH,    /* whether a member is heard, and has no state yet */
    PUSH_EV_GONE,     /* a member's state is lost; it takes no part until START */
    PUSH_EV_STOP,     /* nothing more is sent or accepted until START */
    PUSH_EV_TIMER,
};

struct push_event {
    enum push_event_kind kind;
    uint64_t now_us;
    union {
        struct push_generation start;
        struct {
            uint64_t number; /* t */
            uint64_t mark;   /* handed on to the taker */
        } tick;
        uint32_t close; /* who gets all */
        struct {
            uint16_t from;
            struct push_frame header;
        } frame;
        uint32_t buffer; /* ABSORBED, RESTORED */
        struct {
            uint32_t member;
            bool reachable;
            bool empty;
        } reach;
        uint32_t gone;
    };
};

enum push_action_kind {
    /* Split weight / (weight + push_weight) off the own vector into the out buffer, now. */
    PUSH_OPEN = 1,
    /* Send header (complete but for sum) to member `to`. DATA: payload from the out buffer. */
    PUSH_SEND,
    /* Copy the payload of the frame of this event into the in buffer, at element `offset`. */
    PUSH_KEEP,
    /* Add the in buffer, which has `weight`, to the own vector; then answer ABSORBED. */
    PUSH_ABSORB,
    /* Add the out buffer, which has `weight`, back; then answer RESTORED. */
    PUSH_RESTORE,
};

struct push_action {
    enum push_action_kind kind;
    uint16_t to;     /* OPEN, SEND */
    uint16_t from;   /* ABSORB */
    uint32_t buffer; /* all; SEND of anything but DATA: of no concern */
    uint64_t offset; /* KEEP; SEND of DATA: in elements */
    uint64_t weight; /* OPEN, ABSORB, RESTORE */
    uint64_t mark;   /* ABSORB */
    struct push_frame header;
};

/* What became of the frame of this event. */
enum push_verdict {
    PUSH_NONE,      /* the event was no frame */
    PUSH_USED,      /* did something */
    PUSH_DUPLICATE, /* known already, or about what is over */
    PUSH_OLD,       /* of an earlier generation, or of a member that is gone */
    PUSH_EARLY,     /* of a later generation */
    PUSH_INVALID,   /* contradicts the generation or its sender */
};

/* What became of a tick. */
enum push_tick {
    PUSH_TICK_NONE,  /* the event was no tick */
    PUSH_TICK_GAVE,  /* something is on its way */
    PUSH_TICK_ALONE, /* nobody to give to */
    PUSH_TICK_BUSY,  /* the last transfer to that member is not over */
    PUSH_TICK_FULL,  /* no buffer */
    PUSH_TICK_LIGHT, /* too little is left */
    PUSH_TICK_EMPTY, /* no state yet */
    PUSH_TICK_KINDS,
};

struct push_update {
    enum push_verdict verdict;
    enum push_tick tick;
    uint32_t count;
    struct push_action actions[PUSH_ACTIONS_MAX];
};

struct push_counters {
    uint64_t frames[6]; /* by verdict */
    uint64_t ticks[PUSH_TICK_KINDS];
    uint64_t given;    /* transfers that were taken */
    uint64_t absorbed; /* transfers */
    uint64_t restored; /* transfers */
    uint64_t sends;    /* frames */
};

/* Of the weights that members told of, this one's included, each divided by its shares'. */
struct push_spread {
    uint32_t members; /* that told */
    uint64_t least_ppm;
    uint64_t most_ppm;
};

struct push; /* private */

/* What init takes from an arena, alignment included. */
size_t push_bytes(const struct push_config *config);
struct push *push_init(const struct push_config *config, struct sh_arena *arena);
/* Clears and fills update. START: O(members), TICK: O(members), a frame that completes a window:
 * O(chunks) worst, else O(1). */
void push_step(struct push *p, const struct push_event *event, struct push_update *update);
/* When TIMER is due; UINT64_MAX: nothing pending. */
uint64_t push_deadline_us(const struct push *p);
/* Panics unless every invariant holds. O(members + chunks). */
void push_check(const struct push *p);

uint64_t push_weight(const struct push *p);
/* What all weights add up to once every member has a state. */
uint64_t push_total(const struct push *p);
bool push_has_state(const struct push *p);
/* That transfer is still in that out buffer. */
bool push_is_giving(const struct push *p, uint32_t buffer, uint64_t transfer);
/* Transfers split off and not resolved, among them those given without an answer. */
uint32_t push_open(const struct push *p);
struct push_spread push_spread(const struct push *p); /* O(members) */
struct push_counters push_counters(const struct push *p);

#endif
