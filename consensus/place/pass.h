/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to placement: what one pass works on. Nodes are named by their place in the order of ids,
 * units by their index in the input, needs by the number of their signature. A set of nodes is an
 * array of bits. */
#ifndef SH_PLACE_PASS_H
#define SH_PLACE_PASS_H

#include "place/place.h"

#define PLACE_NOBODY     UINT32_MAX /* no node of the input has this id */
#define PLACE_NONE       UINT32_MAX /* no unit, no signature, no entry */
#define PLACE_NO_CLASS   UINT16_MAX /* a class that no node of the input has */
#define PLACE_TRAITS_MAX 256u       /* traits told apart; those beyond are tried again and again */
#define PLACE_LEVELS     104u       /* of the score: nodes of one level are equally good */

/* Amounts of what a node has and units use. */
struct place_amount {
    uint32_t slots;
    uint32_t cpus;
    uint32_t gpus;
    uint64_t ram_bytes;
    uint64_t disk_bytes;
};

/* A node in brief: what every look at it needs. */
struct place_spot {
    uint64_t ram_left;
    uint64_t disk_left;
    uint32_t cpus_left;
    uint16_t slots_left;
    uint16_t gpus_left;
    int32_t base;   /* score, but for how full it is */
    uint16_t full;  /* per mille of what it has the least of left */
    uint16_t class; /* number */
    uint8_t level;  /* where units are spread */
    uint8_t packed; /* level where they are packed */
    bool parole;
};

/* And what is seldom needed. */
struct place_site {
    uint8_t blocked; /* enum wire_reason that keeps every unit away; 0: none */
    bool reserved;   /* for predictions */
    bool held;       /* for the head of the queue, from its time on */
    uint32_t first_use;
    struct place_amount all;
    struct place_amount used;
    struct place_amount spare; /* held: what the head leaves at its time */
    uint64_t holder;           /* newest job on it */
};

/* Something that a node has or has not, whatever runs there. */
struct place_trait {
    enum place_trait_kind {
        PLACE_TRAIT_DATASET,
        PLACE_TRAIT_COMMANDS,
        PLACE_TRAIT_SANDBOX,
        PLACE_TRAIT_CONDITION,
        PLACE_TRAIT_GPU_BYTES
    } kind;
    uint64_t number;                         /* data set, level, or bytes */
    const struct place_condition *condition; /* else NULL */
};

/* A unit on a node. */
struct place_use {
    uint32_t unit;
    uint32_t next; /* of the same node, or free ones */
};

struct place_key { /* by which units are ordered */
    uint64_t job;
    uint32_t unit;
    int32_t priority; /* effective */
    bool waits;
};

enum { PLACE_SIGN_TRAITS = PLACE_CONDITIONS_MAX + 4 };

/* What decides which nodes a unit fits. */
struct place_sign {
    uint32_t unit; /* the first one that has it */
    uint32_t next; /* of the same hash */
    uint32_t slot; /* where its candidates are, or PLACE_NONE */
    /* Too few nodes had room in epoch failed - 1; 0: that is not known. */
    uint32_t failed;
    uint32_t failed_have;
    enum wire_reason failed_reason;
    uint16_t class; /* pinned, or PLACE_NO_CLASS */
    bool pinned;
    bool pack;
    bool mixes; /* classes */
    uint8_t trait_count;
    struct place_amount need;
    uint16_t traits[PLACE_SIGN_TRAITS]; /* numbers; PLACE_TRAITS_MAX: one beyond */
};

/* Candidates of a signature. Within an epoch nodes only get fuller: who has no room is left out for
 * good. */
struct place_slot {
    uint32_t sign;
    uint32_t epoch;
    uint32_t count; /* of the set */
    uint16_t class; /* they have, or PLACE_NO_CLASS: any */
    bool exhausted; /* no class had enough of them */
    uint64_t *set;
};

/* The nodes by level, and which words of each level's set are not empty. */
struct place_levels {
    uint64_t *sets; /* PLACE_LEVELS of p->words */
    uint64_t *tops; /* PLACE_LEVELS of p->top_words */
};

/* The reservation. */
struct place_head {
    uint32_t unit; /* or PLACE_NONE */
    bool preempts;
    uint64_t at_us;
};

struct place {
    struct place_capacity capacity;
    const struct place_input *in;
    const struct place_limits *limits;
    struct place_output *out;
    uint32_t epoch; /* counts what made room within this pass */
    struct place_head head;
    uint32_t head_tries;

    struct place_spot *spots;
    struct place_site *sites;
    uint32_t *node_order; /* indices in the input, by id */
    uint32_t *scratch;    /* a list of nodes */
    uint64_t *when;       /* by node: how soon, or how dearly, it is to be had */
    struct place_use *uses;
    uint32_t use_count;     /* entries that were used so far */
    uint32_t free_use;      /* those that are free again */
    struct place_key *keys; /* by unit */
    uint32_t *queue;        /* units in planning order */
    uint8_t *ended;         /* by unit: it expires in this pass */
    int32_t *fair;          /* by owner */
    uint32_t *running;      /* by owner: units */
    uint32_t *sign_of;      /* by unit */
    struct place_sign *signs;
    uint32_t sign_count;
    uint32_t *sign_heads; /* hash table */
    uint32_t sign_mask;
    struct place_slot *slots;
    uint32_t next_slot;
    uint32_t *classes; /* by class number: a node that has it */
    uint32_t class_count;
    uint32_t *class_heads; /* hash table of class numbers */
    uint32_t class_mask;
    uint32_t *votes; /* by class number */
    struct place_trait traits[PLACE_TRAITS_MAX];
    uint32_t trait_count;
    uint32_t words;     /* of a set of nodes */
    uint32_t top_words; /* of a set of words */
    uint64_t *have;     /* sets: nodes that have the trait */
    uint64_t *open;     /* set: nodes that take new work */
    uint64_t *reserved; /* set */
    uint64_t *with_gpus;
    struct place_levels levels[2]; /* spread, packed */
};

static inline const struct place_node *place_node(const struct place *p, uint32_t node)
{
    return &p->in->nodes[p->node_order[node]];
}

/* What has become of one member of a gang. */
enum place_fate {
    PLACE_STAYS,
    PLACE_DRAINS,   /* wants to go, works as long as it must */
    PLACE_RESTARTS, /* has no session of this gang, takes part in the next */
    PLACE_GONE
};

struct place_member_fate {
    uint32_t node; /* or PLACE_NOBODY */
    enum place_fate fate;
    enum wire_cause cause; /* of GONE */
};

/* A gang in the making: node indices in member order. */
struct place_gang {
    uint32_t nodes[WIRE_MEMBERS_MAX];
    uint32_t kept; /* the first ones are members already */
    uint32_t count;
};

/* Nodes that could join a gang, best first. */
struct place_fit {
    uint32_t nodes[WIRE_MEMBERS_MAX];
    uint32_t count;
    bool scarce; /* fewer nodes than the unit needs have room for its like, wanted or not */
};

/* spot.c */
void place_spots_begin(struct place *p);
void place_use_members(struct place *p, uint32_t unit);
void place_spots_end(struct place *p); /* after the use of all members */
uint32_t place_node_find(const struct place *p, const uint8_t *id);
struct place_amount place_need(const struct place_unit *unit);
bool place_covers(const struct place_amount *all, const struct place_amount *used,
                  const struct place_amount *need);
/* Adds (or takes back) what a unit uses on a node. */
void place_use(struct place *p, uint32_t unit, uint32_t node);
void place_unuse(struct place *p, uint32_t unit, uint32_t node);
/* When a unit on a node is expected to end; never before now. */
uint64_t place_end_of(const struct place *p, uint32_t unit);
/* Units of a job on a node. */
uint32_t place_of_job(const struct place *p, uint32_t node, uint64_t job);

/* judge.c. Fills fates[0 .. unit->member_count). */
void place_judge(const struct place *p, const struct place_unit *unit,
                 struct place_member_fate *fates);

/* check.c. Why the node cannot take the unit; reason NONE when it can. For nodes that are not
 * members. */
struct place_refusal place_refuse(const struct place *p, uint32_t unit, uint32_t node);
bool place_trait_holds(const struct place *p, const struct place_trait *trait, uint32_t node);
/* Fills traits with what the unit asks for; how many. In the order in which they are refused. */
uint32_t place_traits_of(const struct place_unit *unit, struct place_trait *traits);
/* Whether it could if nothing ran and it were there. */
bool place_capable(const struct place *p, const struct place_sign *sign, uint32_t node);
/* Whether it takes new work of this kind at all now. */
bool place_is_open(const struct place *p, const struct place_sign *sign, uint32_t node);
/* A capable node that is open: whether it can now. */
bool place_has_room(const struct place *p, const struct place_sign *sign, uint32_t node);
/* The node is kept for the head, and this unit would be in its way. */
bool place_held_back(const struct place *p, uint32_t unit, uint32_t node);
/* The nodes of one word of a set that are of the signature's kind; with open those alone that take
 * its work now. */
uint64_t place_kind_word(const struct place *p, const struct place_sign *sign, uint32_t word,
                         bool open);

/* sign.c */
void place_signs_begin(struct place *p);
void place_sign_give(struct place *p, uint32_t unit);

/* fit.c. The candidates of the unit's signature, brought up to date. */
struct place_slot *place_slot_of(struct place *p, uint32_t unit);
/* At most want nodes that could join the unit's gang, best first; members are left out. With
 * ready_only only those that are ready for it. */
void place_find_fit(struct place *p, uint32_t unit, uint32_t want, bool ready_only,
                    struct place_fit *fit);
/* How many nodes, of one class where the unit wants that, could take it; with open those alone that
 * take new work. No more than enough are counted. */
uint32_t place_count(struct place *p, uint32_t unit, bool open, uint32_t enough);
/* Index in failed up to which nodes are kept away from. */
uint32_t place_failed_count(struct place *p, uint32_t unit);
/* What keeps this unit, and not every one of its signature, from the node. */
bool place_avoids(const struct place *p, uint32_t unit, uint32_t failed, uint32_t node);
bool place_is_ready(const struct place_unit *unit, const uint8_t *id);
uint32_t place_agents_max(const struct place_unit *unit);

/* queue.c. Sorts the units and gives them their place, priority and quota. */
void place_queue_begin(struct place *p);
void place_queue_give(struct place *p, uint32_t unit);
void place_queue_end(struct place *p);
/* The verdict of a unit; a place to write to even where the caller wants none. */
void place_verdict(struct place *p, uint32_t unit, enum wire_reason reason, uint64_t need,
                   uint64_t have);
bool place_is_asked(const struct place *p, uint32_t unit);

/* head.c. A waiting unit does not fit, though it could: it gets the reservation unless somebody has
 * it; others may be preempted for it. */
void place_head_try(struct place *p, uint32_t unit);
/* When the unit could start if nothing else came, and whose ends it waits for: into its verdict. */
void place_head_foresee(struct place *p, uint32_t unit);
/* Of the nodes in scratch[0 .. count): as many as the unit needs at least, those whose 'when' is
 * the least, all of one class where it wants that; they come to the front. False: there are not as
 * many. */
bool place_pick(struct place *p, uint32_t unit, uint32_t count);
/* Fills scratch with the nodes that could take the unit if nothing ran; how many. */
uint32_t place_list_open(struct place *p, uint32_t unit);

/* preempt.c. True: others expire so that this one can start with the next pass. Their nodes, in
 * front of scratch, are to be held. */
bool place_preempt(struct place *p, uint32_t unit);

/* explain.c. Why each node takes no part in the unit. gang is what it will be; full: it has as many
 * members as it may; too_soon: new members must wait. fates are of its members. */
struct place_case {
    const struct place_gang *gang;
    const struct place_member_fate *fates;
    bool ready_only;
    bool too_soon;
};
void place_explain(struct place *p, uint32_t unit, const struct place_case *c);

/* place.c. NULL when the caller's array is full; the verdict says so then. */
struct place_decision *place_decide(struct place *p, uint32_t unit, enum place_action action,
                                    enum wire_cause cause);
void place_decide_expire(struct place *p, uint32_t unit, enum wire_cause cause);

#endif
