/* SPDX-License-Identifier: Apache-2.0
 *
 * How the members of one generation agree on where to go on from. Each tells all others where it
 * stands (HELLO); once a member has heard everyone it knows what to do: whoever is behind the most
 * advanced one fetches its state; where nobody has a state or gone a step, everyone takes the
 * newest checkpoint or begins anew; when all stand at the same place with the same state, the
 * rounds begin. Pure. */
#ifndef TRAIN_GANG_H
#define TRAIN_GANG_H

#include "train/message.h"

struct train_peer {
    bool heard;
    bool has_state;
    bool running;
    uint64_t session; /* its number */
    uint64_t knows;   /* number of my session as it knows it, 0: none */
    uint64_t position;
    uint8_t digest[SH_DIGEST_BYTES];
};

struct train_gang {
    struct train_about about;
    uint32_t count;
    uint32_t me;
    struct wire_member members[WIRE_MEMBERS_MAX];
    struct train_peer peers[WIRE_MEMBERS_MAX]; /* peers[me] is this member */
};

enum train_advice {
    TRAIN_WAIT,     /* for somebody to be heard or to catch up */
    TRAIN_LOAD,     /* nobody has gone a step: take the newest checkpoint, what is held, or begin */
    TRAIN_CATCH_UP, /* fetch the state of member `other` */
    TRAIN_GO,       /* begin the rounds */
    TRAIN_DIFFER,   /* `one` and `other` stand at the same place with different states */
    TRAIN_STRANGER  /* the others run already with an earlier session of this agent */
};

struct train_verdict {
    enum train_advice advice;
    uint32_t one;
    uint32_t other;
};

/* A generation of which nobody is heard yet. me is a member; session is this member's number. */
void train_gang_begin(struct train_gang *gang, struct train_about about,
                      const struct wire_member *members, uint32_t count, uint32_t me,
                      uint64_t session);
/* Where this member stands. Nobody stands for a state that is older than the newest checkpoint that
 * it knows of, until LOAD has shown that none newer can be had: all others would go back to it. */
void train_gang_stand(struct train_gang *gang, uint64_t position,
                      const uint8_t digest[static SH_DIGEST_BYTES]);
/* The rounds begin. From now on it stays on record whom this member began with. */
void train_gang_go(struct train_gang *gang);
/* A HELLO of another member of this generation; ignored once the rounds have begun. */
void train_gang_hear(struct train_gang *gang, uint32_t from, const struct train_hello *hello);
/* What to do now. */
struct train_verdict train_gang_judge(const struct train_gang *gang);
/* Everyone is heard, and nobody is further than this member. */
bool train_gang_leads(const struct train_gang *gang);
/* The HELLO to member `to`; asks: an answer is wanted. */
void train_gang_hello(const struct train_gang *gang, uint32_t to, bool asks,
                      struct train_hello *hello);

#endif
