/* SPDX-License-Identifier: Apache-2.0
 *
 * A sequence of federated rounds as a value: who is asked to train on what it holds, whose update
 * counts, when a round closes, when all is over. It names updates by numbers of its host and
 * touches no tensor; the host asks members, keeps their updates, adds them up (kernels/agg) and
 * commits the new model.
 *
 * Model. Members are the host's slots [0, members_max). A round opens with a cohort: of the members
 * that are there, all, a fraction or a number, in the order of a rendezvous hash over seed, round
 * and the member's key, so that every host that leads asks the same ones. A few more are asked than
 * needed (over). Who declines, fails or is gone is replaced by the next in that order at once. The
 * round closes
 *   - when its goal is there: a part of the cohort, or a number of updates;
 *   - when nobody is left who could answer, and at least `least` have;
 *   - from the soft deadline on, which is the median and three median absolute deviations of late
 *     arrivals (in the first round half of the hard one), when at least `least` are there;
 *   - at the hard deadline with at least `least`.
 * With fewer at the hard deadline it is extended to 1.5 times, then to 2.25 times the time from
 * OPEN; there it ends without a new model: what came is dropped (SKIP) or counts in the next round
 * (CARRY). It ends so at once when all have answered and some of them failed, though enough are
 * there. So every round ends within 2.25 times hard_us of its OPEN whatever the members do; the
 * rule is looked at again after every event. skips_max such rounds in a row end the sequence:
 * STARVED.
 *
 * Late updates are refused, or with `late_max` above 0 count in a later round (FedBuff): a member
 * that is still busy is asked again only once it has answered, and its update is `late_max` rounds
 * behind at most.
 *
 * After the last round comes one of the kind that evaluates: everybody is asked to measure the
 * model, nothing is added up.
 *
 * Host duties: one step at a time; carry out an update's actions in order. Members JOIN before
 * START. Every INVITE is answered by a REPLY of that round (a member that cannot be reached
 * declined); after CLOSE comes COMMITTED, however long it takes; TIMER comes at the deadline. The
 * updates that fed_entry lists at CLOSE are the core's no more after COMMITTED, unless the outcome
 * was CARRY. Pure: see DESIGN section 3. */
#ifndef FED_FED_H
#define FED_FED_H

#include "base/arena.h"
#include "base/check.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FED_MEMBERS_MAX 1024u
#define FED_ACTIONS_MAX 32u /* of one update; what does not fit comes with the next step */
#define FED_EXTENDS_MAX 2u
#define FED_OFFSETS     64u /* newest arrivals that the soft deadline is taken from */
#define FED_PERMILLE    1000u
#define FED_NONE        UINT64_MAX /* no round, no update */

enum fed_select { FED_ALL = 1, FED_FRACTION = 2, FED_COUNT = 3 };

struct fed_config {
    uint32_t members_max; /* 1..FED_MEMBERS_MAX */
    uint64_t seed;
    uint64_t rounds; /* to train, at least 1 */
    bool evaluates;  /* one round of that kind comes last */
    enum fed_select select;
    uint32_t fraction_ppm;  /* FRACTION: millionths of the members that are there, 1..1000000 */
    uint32_t count;         /* COUNT: members, at least 1 */
    uint32_t over_permille; /* asked for every 1000 of the cohort: 1000..4000 */
    uint32_t goal_ppm;      /* millionths of the cohort whose updates close the round, 1..1000000 */
    uint32_t goal_count;    /* instead of that; 0: the part counts */
    uint32_t least;         /* updates without which no round makes a model, at least 1 */
    uint64_t hard_us;       /* at least 1000 */
    bool carry;             /* what came too few of counts in the next round */
    uint32_t late_max;      /* rounds that an update may be behind; 0: late ones are refused */
    uint32_t skips_max;     /* rounds in a row without a model that end it, at least 1 */
    uint32_t patience;      /* rounds without a better score that end it; 0: never */
    bool has_target;
    double target; /* a score that ends it */
};

/* Where to go on; all zero is the beginning. */
struct fed_resume {
    uint64_t round; /* the next one */
    uint32_t skips; /* in a row before it */
    bool scored;
    double best;       /* score so far */
    uint32_t not_best; /* rounds since then */
    uint32_t end;      /* enum fed_end: at most the round that evaluates is left */
};

/* What a member is to the running round, or was to the last one. */
#define FED_PART_MAP(X)                                                                            \
    X(0, NONE, "not asked")                                                                        \
    X(1, ASKED, "asked")                                                                           \
    X(2, WORKS, "works")                                                                           \
    X(3, DELIVERED, "delivered")                                                                   \
    X(4, DECLINED, "declined")                                                                     \
    X(5, FAILED, "failed")                                                                         \
    X(6, DROPPED, "lost")                                                                          \
    X(7, LATE, "not in time")                                                                      \
    X(8, SPARE, "not needed")

enum fed_part {
#define X(number, name, text) FED_PART_##name = number,
    FED_PART_MAP(X)
#undef X
        FED_PART_COUNT = 9
};

enum fed_outcome { FED_COMMIT = 1, FED_CARRY = 2, FED_SKIP = 3, FED_EVALUATED = 4 };

enum fed_end {
    FED_END_NONE = 0,
    FED_END_ROUNDS = 1,
    FED_END_TARGET = 2,
    FED_END_PATIENCE = 3,
    FED_END_STARVED = 4
};

enum fed_event_kind {
    FED_EV_START = 1, /* once, or again: forgets everything but who is there */
    FED_EV_JOIN,      /* a member is there; again: nothing happens */
    FED_EV_GONE,      /* it is not any more */
    FED_EV_REPLY,     /* to an INVITE */
    FED_EV_UPDATE,    /* a member's update of a round is here, verified */
    FED_EV_FAILED,    /* it has no usable one: no data, an error, not a number */
    FED_EV_COMMITTED, /* what CLOSE asked for is done */
    FED_EV_TIMER
};

struct fed_event {
    enum fed_event_kind kind;
    uint64_t now_us;
    uint32_t member; /* JOIN to FAILED: below members_max */
    uint64_t round;  /* REPLY, UPDATE, FAILED */
    union {
        struct fed_resume start;
        uint64_t key;    /* JOIN: of the member, the same wherever it is a member */
        bool accepted;   /* REPLY */
        uint64_t update; /* UPDATE: the host's number of it */
        struct {
            bool scored;  /* there is a score of a model, */
            double score; /* larger is better */
        } committed;
    };
};

/* What became of an UPDATE. */
#define FED_VERDICT_MAP(X)                                                                         \
    X(0, NONE, "")                                                                                 \
    X(1, TAKEN, "taken")                                                                           \
    X(2, KEPT, "counts in a later round")                                                          \
    X(3, DUPLICATE, "was here before")                                                             \
    X(4, LATE, "its round is closed")                                                              \
    X(5, STALE, "of an earlier round")                                                             \
    X(6, UNASKED, "was not asked for")

enum fed_verdict {
#define X(number, name, text) FED_VERDICT_##name = number,
    FED_VERDICT_MAP(X)
#undef X
        FED_VERDICT_COUNT = 7
};

enum fed_action_kind {
    FED_DO_OPEN = 1, /* a round begins */
    FED_DO_INVITE,   /* ask the member for this round; answer REPLY */
    FED_DO_DROP,     /* a newer update has taken the place of this one */
    FED_DO_CLOSE,    /* take the updates that fed_entry lists, commit, answer COMMITTED */
    FED_DO_END       /* all is over */
};

struct fed_action {
    enum fed_action_kind kind;
    uint64_t round;
    bool evaluates;           /* OPEN, INVITE, CLOSE */
    uint32_t member;          /* INVITE */
    uint64_t update;          /* DROP */
    enum fed_outcome outcome; /* CLOSE */
    enum fed_end end;         /* END */
};

struct fed_update {
    enum fed_verdict verdict;
    uint32_t count;
    struct fed_action actions[FED_ACTIONS_MAX];
};

/* An update that counts in the running round. */
struct fed_entry {
    uint64_t update;
    uint64_t base; /* round of the model that it began with; before the running one: stale */
};

struct fed; /* private */

/* What init takes from an arena, alignment included. */
size_t fed_bytes(uint32_t members_max);
struct fed *fed_init(const struct fed_config *config, struct sh_arena *arena);
/* Clears and fills update. O(members log members) where a round opens, else O(1) typical and
 * O(members) worst. */
void fed_step(struct fed *f, const struct fed_event *event, struct fed_update *update);
/* When TIMER is due; 0: at once (an update was full); UINT64_MAX: nothing pending. */
uint64_t fed_deadline_us(const struct fed *f);
/* Panics unless every invariant holds. O(members). */
void fed_check(const struct fed *f);

/* Of the running round, or, between CLOSE and COMMITTED, of the one that closed. */
bool fed_is_open(const struct fed *f);
bool fed_is_evaluating(const struct fed *f);
bool fed_has_ended(const struct fed *f);
uint64_t fed_round(const struct fed *f);
uint64_t fed_opened_us(const struct fed *f);
uint32_t fed_cohort(const struct fed *f);
enum fed_part fed_part(const struct fed *f, uint32_t member);
/* The update of a member that counts in that round; false: there is none. */
bool fed_entry(const struct fed *f, uint32_t member, struct fed_entry *entry);
/* Between CLOSE and COMMITTED: what a successor would go on from once the round is committed with
 * that score. */
struct fed_resume fed_resume(const struct fed *f, bool scored, double score);

const char *fed_part_text(enum fed_part part);
const char *fed_verdict_text(enum fed_verdict verdict);
const char *fed_outcome_name(enum fed_outcome outcome);
const char *fed_end_text(enum fed_end end);

#endif
