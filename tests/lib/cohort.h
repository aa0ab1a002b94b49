/* SPDX-License-Identifier: Apache-2.0
 *
 * A whole secure sum in one process: members, an aggregator, and every message between them encoded
 * and decoded. Members fall silent where they are told to. */
#ifndef TEST_COHORT_H
#define TEST_COHORT_H

#include "secagg/client.h"
#include "secagg/server.h"

enum cohort_phase {
    COHORT_KEYS = 0,
    COHORT_SHARES = 1,
    COHORT_MASKED = 2,
    COHORT_CONSENT = 3,
    COHORT_REVEAL = 4,
    COHORT_STAYS = 5 /* to the end */
};

struct cohort_member {
    struct trust trust;
    struct secagg_client client;
    enum cohort_phase silent; /* from here on */
    uint32_t index;           /* in the list of keys */
    uint64_t *masked;         /* what it sent, when kept: count words, widened */
};

struct cohort {
    struct secagg_round round;
    uint32_t members;
    struct cohort_member *member;
    struct secagg_server *server;
    uint64_t seed;
    bool keep;                   /* keep what each sent */
    void *sum;                   /* count words of the round's width */
    struct secagg_shares *dealt; /* [members] by index: what the aggregator saw */
    struct secagg_reveal *told;  /* [members] by index; count 0: nothing */
    uint64_t member_us;          /* all members' time in masking */
    uint64_t server_us;          /* the aggregator's, in unmasking */
    uint64_t bytes;              /* of messages, without the vectors */
};

/* Panics when memory runs out. The number of members is at most SECAGG_MEMBERS_MAX. */
void cohort_open(struct cohort *c, uint32_t members, size_t count, uint32_t bits, uint64_t seed);
void cohort_close(struct cohort *c);

/* Element i of a member's vector, already times its weight; the last is the weight. Modulo 2^bits.
 */
uint64_t cohort_value(const struct cohort *c, uint32_t member, uint64_t i);
/* Puts it into a vector of the round's width, and reads it there. */
void cohort_store(const struct cohort *c, void *vector, uint64_t i, uint64_t value);
uint64_t cohort_load(const struct cohort *c, const void *vector, uint64_t i);
/* Sum of the values of those whose vectors are in, taken plainly. */
uint64_t cohort_plain(const struct cohort *c, uint64_t i);

/* The phases, in this order. Each answers what the aggregator answered when it ended the phase. */
SH_MUST_USE enum sh_err cohort_keys(struct cohort *c);
SH_MUST_USE enum sh_err cohort_shares(struct cohort *c);
SH_MUST_USE enum sh_err cohort_masked(struct cohort *c);
SH_MUST_USE enum sh_err cohort_consent(struct cohort *c);
SH_MUST_USE enum sh_err cohort_reveal(struct cohort *c, uint32_t *bad);
/* All of them, to the first that fails. */
SH_MUST_USE enum sh_err cohort_run(struct cohort *c);

bool cohort_known(void *context, const uint8_t node[SH_NODE_ID_BYTES]); /* context: the cohort */

#endif
