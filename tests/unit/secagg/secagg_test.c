/* SPDX-License-Identifier: Apache-2.0 */
#include "base/host/host.h"
#include "base/rng.h"
#include "cohort.h"
#include "tst.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct cohort c;

static void expect_plain_sum(void)
{
    for (uint64_t i = 0; i < c.round.count; i++) {
        EXPECT_EQ(cohort_load(&c, c.sum, i), cohort_plain(&c, i));
    }
}

static const struct {
    uint32_t members;
    uint32_t bits;
} whole[] = {{3, 64},  {4, 32},  {5, 64},  {10, 64}, {10, 32},
             {33, 64}, {64, 64}, {65, 64}, {70, 32}, {90, 64}};

TEST_ROWS(the_sum_of_all_is_the_plain_sum, whole)
{
    cohort_open(&c, whole[tst_row].members, 1000, whole[tst_row].bits, tst_seed());
    EXPECT(cohort_run(&c) == SH_OK);
    EXPECT_EQ(secagg_set_count(secagg_server_survivors(c.server)), whole[tst_row].members);
    expect_plain_sum();
    cohort_close(&c);
}

static const struct {
    uint32_t members;
    enum cohort_phase phase; /* at which 30 % fall silent; COHORT_STAYS: spread over R1 to R4 */
    uint32_t bits;
} dropped[] = {
    {10, COHORT_KEYS, 64},    {10, COHORT_SHARES, 64}, {10, COHORT_MASKED, 64},
    {10, COHORT_CONSENT, 64}, {10, COHORT_REVEAL, 64}, {10, COHORT_STAYS, 64},
    {40, COHORT_KEYS, 32},    {40, COHORT_SHARES, 32}, {40, COHORT_MASKED, 32},
    {40, COHORT_CONSENT, 64}, {40, COHORT_REVEAL, 64}, {40, COHORT_STAYS, 64},
    {100, COHORT_MASKED, 64},
};

TEST_ROWS(the_sum_of_those_who_stay_is_exact_whenever_the_others_leave, dropped)
{
    const uint32_t n = dropped[tst_row].members;
    const uint32_t leave = n * 3 / 10;
    struct sh_rng rng;
    sh_rng_init(&rng, tst_seed() + tst_row);
    cohort_open(&c, n, 500, dropped[tst_row].bits, tst_seed());
    for (uint32_t left = 0; left < leave;) {
        struct cohort_member *m = &c.member[sh_rng_below(&rng, n)];
        if (m->silent == COHORT_STAYS) {
            m->silent = dropped[tst_row].phase == COHORT_STAYS
                            ? (enum cohort_phase)(COHORT_SHARES + left % 4)
                            : dropped[tst_row].phase;
            left++;
        }
    }
    EXPECT(cohort_run(&c) == SH_OK);
    expect_plain_sum();
    uint32_t in = secagg_set_count(secagg_server_survivors(c.server));
    EXPECT(in >= n - leave);
    EXPECT((in == n) ==
           (dropped[tst_row].phase >= COHORT_CONSENT && dropped[tst_row].phase != COHORT_STAYS));
    cohort_close(&c);
}

static const enum cohort_phase phases[] = {COHORT_SHARES, COHORT_MASKED, COHORT_CONSENT,
                                           COHORT_REVEAL};

/* Ten members, five of whom leave: fewer than t = 6 of anybody's nine neighbours are left. */
TEST_ROWS(too_few_survivors_end_the_round_and_nothing_is_revealed, phases)
{
    const enum cohort_phase phase = phases[tst_row];
    cohort_open(&c, 10, 50, 64, tst_seed());
    for (uint32_t i = 0; i < 5; i++) {
        c.member[i].silent = phase;
    }
    EXPECT(cohort_run(&c) == SH_ERR_NO_QUORUM);
    uint32_t told = 0;
    for (uint32_t i = 0; i < 10; i++) {
        told += c.told[i].count > 0;
    }
    /* At R4 five have spoken before it is known that the others will not: five shares, of six. */
    EXPECT_EQ(told, phase == COHORT_REVEAL ? 5 : 0);
    EXPECT(!secagg_server_ready(c.server));
    cohort_close(&c);
}

/* Runs to where consents are wanted. */
static void run_to_consent(uint32_t members)
{
    cohort_open(&c, members, 50, 64, tst_seed());
    EXPECT(cohort_keys(&c) == SH_OK);
    EXPECT(cohort_shares(&c) == SH_OK);
    EXPECT(cohort_masked(&c) == SH_OK);
}

static struct secagg_set all_but(uint32_t left_out)
{
    struct secagg_set set = {.members = c.members};
    for (uint32_t i = 0; i < c.members; i++) {
        if (i != left_out) {
            secagg_set_add(&set, i);
        }
    }
    return set;
}

TEST(a_member_signs_one_set_and_reveals_once)
{
    struct secagg_consent consent;
    static struct secagg_reveal reveal;
    run_to_consent(10);
    struct secagg_client *client = &c.member[0].client;
    const uint32_t self = c.member[0].index;
    const struct secagg_set all = all_but(c.members);
    const struct secagg_set fewer = all_but((self + 1) % 10);
    EXPECT(cohort_consent(&c) == SH_OK);
    EXPECT(secagg_client_sign(client, &fewer, &consent) == SH_ERR_CONFLICT);
    EXPECT(secagg_client_sign(client, &all, &consent) == SH_OK);
    EXPECT(secagg_client_reveal(client, secagg_server_consents(c.server), &reveal) == SH_OK);
    EXPECT_EQ(reveal.count, 9);
    EXPECT(secagg_client_reveal(client, secagg_server_consents(c.server), &reveal) ==
           SH_ERR_CONFLICT);
    EXPECT(secagg_client_sign(client, &fewer, &consent) == SH_ERR_CONFLICT);
    /* What was not told is gone. */
    struct secagg_client empty = {.phase = SECAGG_REVEALED};
    EXPECT_MEM(client, &empty, sizeof empty);
    cohort_close(&c);
}

/* The aggregator tells five members that one of the others is in and five that it is out: it would
 * get that one's seed and its key. Nobody sees six neighbours agree. */
TEST(an_aggregator_that_names_two_sets_is_told_nothing)
{
    static struct secagg_consents consents;
    static struct secagg_reveal reveal;
    run_to_consent(11);
    const uint32_t victim = 5;
    consents.count = 0;
    for (uint32_t i = 0; i < 11; i++) {
        struct secagg_set set = all_but(c.member[i].index % 2 == 0 ? victim : c.members);
        if (c.member[i].index != victim) {
            EXPECT(secagg_client_sign(&c.member[i].client, &set, &consents.at[consents.count]) ==
                   SH_OK);
            consents.count++;
        }
    }
    for (uint32_t i = 0; i < 11; i++) {
        if (c.member[i].index != victim) {
            EXPECT(secagg_client_reveal(&c.member[i].client, &consents, &reveal) ==
                   SH_ERR_NO_QUORUM);
        }
    }
    cohort_close(&c);
}

TEST(consent_counts_once_and_only_of_neighbours_in_the_set)
{
    static struct secagg_consents consents;
    static struct secagg_reveal reveal;
    run_to_consent(10);
    EXPECT(cohort_consent(&c) == SH_OK);
    const struct secagg_consents *all = secagg_server_consents(c.server);
    for (uint32_t i = 0; i < 10; i++) {
        consents.at[consents.count] = all->at[i % 5];
        consents.count++;
    }
    EXPECT(secagg_client_reveal(&c.member[0].client, &consents, &reveal) == SH_ERR_NO_QUORUM);
    consents = *all;
    for (uint32_t i = 0; i < 10; i++) {
        consents.at[i].signature[7] ^= 1;
    }
    EXPECT(secagg_client_reveal(&c.member[0].client, &consents, &reveal) == SH_ERR_NO_QUORUM);
    EXPECT(secagg_client_reveal(&c.member[0].client, all, &reveal) == SH_OK);
    cohort_close(&c);
}

TEST(sets_that_cannot_be_are_not_signed)
{
    struct secagg_consent consent;
    cohort_open(&c, 10, 50, 64, tst_seed());
    c.member[9].silent = COHORT_SHARES;
    EXPECT(cohort_keys(&c) == SH_OK);
    EXPECT(cohort_shares(&c) == SH_OK);
    EXPECT(cohort_masked(&c) == SH_OK);
    struct secagg_client *client = &c.member[0].client;
    const struct secagg_set with_silent = all_but(c.members);
    const struct secagg_set without_me = all_but(c.member[0].index);
    struct secagg_set few = {.members = 10};
    for (uint32_t i = 0; i < 6; i++) {
        secagg_set_add(&few, c.member[i].index);
    }
    struct secagg_set larger = all_but(c.member[9].index);
    larger.members = 11;
    EXPECT(secagg_client_sign(client, &with_silent, &consent) == SH_ERR_CORRUPT);
    EXPECT(secagg_client_sign(client, &without_me, &consent) == SH_ERR_CORRUPT);
    EXPECT(secagg_client_sign(client, &larger, &consent) == SH_ERR_CORRUPT);
    EXPECT(secagg_client_sign(client, &few, &consent) == SH_ERR_NO_QUORUM);
    const struct secagg_set right = all_but(c.member[9].index);
    EXPECT(secagg_client_sign(client, &right, &consent) == SH_OK);
    cohort_close(&c);
}

TEST(no_coordinate_is_masked_twice_and_none_is_left_out)
{
    static uint64_t vector[50];
    struct secagg_consent consent;
    cohort_open(&c, 10, 50, 64, tst_seed());
    EXPECT(cohort_keys(&c) == SH_OK);
    EXPECT(cohort_shares(&c) == SH_OK);
    struct secagg_client *client = &c.member[0].client;
    struct secagg_delivery delivery;
    uint32_t bad = 0;
    struct secagg_slice slice = {.at = vector, .offset = 0, .count = 30};
    EXPECT(secagg_client_mask(client, slice) == SH_ERR_CONFLICT);
    secagg_server_delivery(c.server, c.member[0].index, &delivery);
    EXPECT(secagg_client_deliver(client, &delivery, &bad) == SH_OK);
    EXPECT(secagg_client_mask(client, slice) == SH_OK);
    EXPECT(secagg_client_mask(client, slice) == SH_ERR_INVALID);
    slice.offset = 31;
    EXPECT(secagg_client_mask(client, slice) == SH_ERR_INVALID);
    slice.offset = 30;
    EXPECT(secagg_client_mask(client, slice) == SH_ERR_INVALID);
    const struct secagg_set all = all_but(c.members);
    EXPECT(secagg_client_sign(client, &all, &consent) == SH_ERR_CONFLICT);
    slice.count = 20;
    EXPECT(secagg_client_mask(client, slice) == SH_OK);
    EXPECT(secagg_client_mask(client, slice) == SH_ERR_CONFLICT);
    EXPECT(secagg_client_sign(client, &all, &consent) == SH_OK);
    cohort_close(&c);
}

/* --- lists of keys ---------------------------------------------------------------------------- */

enum roster_fault {
    FAULT_NONE,
    FAULT_SIGNATURE,
    FAULT_ROUND,
    FAULT_STRANGER,
    FAULT_ORDER,
    FAULT_TWICE,
    FAULT_WITHOUT_ME,
    FAULT_MY_KEYS,
    FAULT_NODE,
    FAULT_SMALL_ORDER,
    FAULT_TOO_FEW
};

static const struct {
    enum roster_fault fault;
    enum sh_err err;
} rosters[] = {
    {FAULT_NONE, SH_OK},
    {FAULT_SIGNATURE, SH_ERR_DENIED},
    {FAULT_ROUND, SH_ERR_DENIED},
    {FAULT_STRANGER, SH_ERR_DENIED},
    {FAULT_ORDER, SH_ERR_CORRUPT},
    {FAULT_TWICE, SH_ERR_CORRUPT},
    {FAULT_WITHOUT_ME, SH_ERR_CORRUPT},
    {FAULT_MY_KEYS, SH_ERR_CORRUPT},
    {FAULT_NODE, SH_ERR_DENIED},
    {FAULT_SMALL_ORDER, SH_ERR_DENIED},
    {FAULT_TOO_FEW, SH_ERR_LIMIT},
};

static const uint8_t *unknown_node;

static bool known_but_one(void *context, const uint8_t node[SH_NODE_ID_BYTES])
{
    return cohort_known(context, node) &&
           (unknown_node == NULL || memcmp(node, unknown_node, SH_NODE_ID_BYTES) != 0);
}

static void damage(struct secagg_roster *roster, enum roster_fault fault, uint32_t me)
{
    const uint32_t other = (me + 4) % roster->members;
    struct secagg_keys *k = &roster->keys[other];
    struct secagg_round round = c.round;
    round.round++;
    switch (fault) {
    case FAULT_NONE:
        break;
    case FAULT_SIGNATURE:
        k->signature[0] ^= 1;
        break;
    case FAULT_ROUND: /* keys of another round, rightly signed */
        for (uint32_t i = 0; i < c.members; i++) {
            if (c.member[i].index == other) {
                secagg_keys_sign(&round, &c.member[i].trust, k);
            }
        }
        break;
    case FAULT_STRANGER:
        unknown_node = k->node;
        break;
    case FAULT_ORDER:
        roster->keys[me == 0 ? 1 : 0] = roster->keys[me == 9 ? 8 : 9];
        break;
    case FAULT_TWICE:
        roster->keys[other] = roster->keys[(other + 1) % 10];
        break;
    case FAULT_WITHOUT_ME:
        memmove(&roster->keys[me], &roster->keys[me + 1], (9 - me) * sizeof *k);
        roster->members = 9;
        break;
    case FAULT_MY_KEYS:
        roster->keys[me].mask_public[3] ^= 1;
        break;
    case FAULT_NODE: /* keys of one identity under the name of another */
        memcpy(k->sign_public,
               c.member[0].index == other ? c.member[1].trust.sign_public
                                          : c.member[0].trust.sign_public,
               sizeof k->sign_public);
        break;
    case FAULT_SMALL_ORDER:
        memset(k->mask_public, 0, sizeof k->mask_public);
        for (uint32_t i = 0; i < c.members; i++) {
            if (c.member[i].index == other) {
                secagg_keys_sign(&c.round, &c.member[i].trust, k);
            }
        }
        break;
    case FAULT_TOO_FEW:
        roster->members = 2;
        break;
    }
}

TEST_ROWS(a_member_takes_part_with_the_true_keys_of_known_members_only, rosters)
{
    static struct secagg_roster roster;
    static struct secagg_shares shares;
    uint32_t bad = 0;
    cohort_open(&c, 10, 50, 64, tst_seed());
    EXPECT(cohort_keys(&c) == SH_OK);
    roster = *secagg_server_roster(c.server);
    const uint32_t me = c.member[3].index;
    damage(&roster, rosters[tst_row].fault, me);
    EXPECT_EQ(secagg_client_share(&c.member[3].client, &roster, known_but_one, &c, &shares, &bad),
              rosters[tst_row].err);
    if (rosters[tst_row].err == SH_ERR_DENIED) {
        EXPECT_EQ(bad, (me + 4) % 10);
    }
    /* After a false list this round is over for the member. */
    EXPECT(rosters[tst_row].err == SH_OK || c.member[3].client.phase == SECAGG_ENDED);
    cohort_close(&c);
}

TEST(the_aggregator_takes_keys_once_and_signed)
{
    struct secagg_keys keys;
    struct secagg_keys again;
    uint8_t random[SECAGG_KEY_BYTES] = {1};
    cohort_open(&c, 4, 50, 64, tst_seed());
    secagg_client_begin(&c.member[0].client, &c.round, &c.member[0].trust, random, &keys);
    EXPECT(secagg_server_keys(c.server, &keys) == SH_OK);
    EXPECT(secagg_server_keys(c.server, &keys) == SH_OK);
    random[0] = 2;
    secagg_client_begin(&c.member[0].client, &c.round, &c.member[0].trust, random, &again);
    EXPECT(secagg_server_keys(c.server, &again) == SH_ERR_EXISTS);
    again.seal_public[0] ^= 1;
    EXPECT(secagg_server_keys(c.server, &again) == SH_ERR_DENIED);
    EXPECT(secagg_server_open_shares(c.server) == SH_ERR_LIMIT);
    EXPECT_EQ(secagg_server_roster(c.server)->members, 1);
    cohort_close(&c);
}

/* --- who lies is named ------------------------------------------------------------------------ */

TEST(shares_that_do_not_open_name_their_sender)
{
    static struct secagg_delivery delivery;
    uint32_t bad = 0;
    cohort_open(&c, 10, 50, 64, tst_seed());
    EXPECT(cohort_keys(&c) == SH_OK);
    EXPECT(cohort_shares(&c) == SH_OK);
    secagg_server_delivery(c.server, c.member[0].index, &delivery);
    delivery.at[4].sealed[11] ^= 1;
    EXPECT(secagg_client_deliver(&c.member[0].client, &delivery, &bad) == SH_ERR_DENIED);
    EXPECT_EQ(bad, delivery.at[4].from);
    /* Those of one neighbour under the name of another do not open either. */
    secagg_server_delivery(c.server, c.member[1].index, &delivery);
    memcpy(delivery.at[2].sealed, delivery.at[3].sealed, sizeof delivery.at[2].sealed);
    EXPECT(secagg_client_deliver(&c.member[1].client, &delivery, &bad) == SH_ERR_DENIED);
    EXPECT_EQ(bad, delivery.at[2].from);
    secagg_server_delivery(c.server, c.member[2].index, &delivery);
    delivery.count = 5;
    EXPECT(secagg_client_deliver(&c.member[2].client, &delivery, &bad) == SH_ERR_NO_QUORUM);
    secagg_server_delivery(c.server, c.member[3].index, &delivery);
    EXPECT(secagg_client_deliver(&c.member[4].client, &delivery, &bad) == SH_ERR_CORRUPT);
    cohort_close(&c);
}

TEST(a_false_share_is_refused_and_the_sum_does_without_its_sender)
{
    static struct secagg_reveal reveal;
    uint32_t bad = 0;
    run_to_consent(10);
    EXPECT(cohort_consent(&c) == SH_OK);
    EXPECT(secagg_client_reveal(&c.member[0].client, secagg_server_consents(c.server), &reveal) ==
           SH_OK);
    c.member[0].silent = COHORT_REVEAL;
    struct secagg_reveal lie = reveal;
    lie.at[3].share[0] ^= 1;
    EXPECT(secagg_server_reveal(c.server, c.member[0].index, &lie) == SH_ERR_DENIED);
    lie = reveal;
    lie.at[3].secret = SECAGG_MASK;
    EXPECT(secagg_server_reveal(c.server, c.member[0].index, &lie) == SH_ERR_DENIED);
    EXPECT(secagg_server_reveal(c.server, c.member[1].index, &reveal) == SH_ERR_DENIED);
    EXPECT(cohort_reveal(&c, &bad) == SH_OK);
    expect_plain_sum();
    cohort_close(&c);
}

/* A dealer that binds itself to shares of nothing: each fits its check, together they make no
 * secret of its own. */
TEST(shares_that_make_no_secret_name_their_dealer)
{
    uint32_t bad = 0;
    cohort_open(&c, 10, 50, 64, tst_seed());
    EXPECT(cohort_keys(&c) == SH_OK);
    for (uint32_t i = 0; i < 10; i++) {
        static struct secagg_shares shares;
        EXPECT(secagg_client_share(&c.member[i].client, secagg_server_roster(c.server),
                                   cohort_known, &c, &shares, &bad) == SH_OK);
        if (i == 6) {
            shares.self_check[0] ^= 1;
        }
        EXPECT(secagg_server_shares(c.server, c.member[i].index, &shares) == SH_OK);
        EXPECT(secagg_server_shares(c.server, c.member[i].index, &shares) == SH_ERR_EXISTS);
        EXPECT(secagg_server_shares(c.server, (c.member[i].index + 1) % 10, &shares) ==
               SH_ERR_DENIED);
    }
    EXPECT(secagg_server_open_masked(c.server) == SH_OK);
    EXPECT(cohort_masked(&c) == SH_OK);
    EXPECT(cohort_consent(&c) == SH_OK);
    EXPECT(cohort_reveal(&c, &bad) == SH_ERR_DENIED);
    EXPECT_EQ(bad, c.member[6].index);
    cohort_close(&c);
}

TEST(the_aggregator_takes_each_message_once_and_in_its_phase)
{
    struct secagg_consent consent = {0};
    static struct secagg_reveal reveal;
    uint32_t bad = 0;
    run_to_consent(10);
    EXPECT(secagg_server_masked(c.server, 0) == SH_ERR_CONFLICT);
    EXPECT(secagg_server_open_masked(c.server) == SH_ERR_CONFLICT);
    EXPECT(secagg_server_open_shares(c.server) == SH_ERR_CONFLICT);
    EXPECT(secagg_server_consent(c.server, 3, &consent) == SH_ERR_DENIED);
    EXPECT(secagg_server_recover(c.server, &bad) == SH_ERR_NO_QUORUM);
    EXPECT(cohort_consent(&c) == SH_OK);
    EXPECT(secagg_server_consent(c.server, 3, &consent) == SH_ERR_EXISTS);
    EXPECT(cohort_reveal(&c, &bad) == SH_OK);
    EXPECT(secagg_server_reveal(c.server, 3, &reveal) == SH_ERR_CONFLICT);
    EXPECT(secagg_server_recover(c.server, &bad) == SH_ERR_CONFLICT);
    cohort_close(&c);
}

/* --- the plan --------------------------------------------------------------------------------- */

TEST(every_plan_keeps_more_than_half_of_a_neighbourhood_for_a_secret)
{
    struct secagg_plan plan;
    EXPECT(secagg_plan(2, &plan) == SH_ERR_LIMIT);
    EXPECT(secagg_plan(SECAGG_MEMBERS_MAX + 1, &plan) == SH_ERR_LIMIT);
    for (uint32_t n = SECAGG_MEMBERS_MIN; n <= SECAGG_MEMBERS_MAX; n++) {
        EXPECT(secagg_plan(n, &plan) == SH_OK);
        EXPECT(plan.neighbours <= n - 1 && plan.neighbours <= SECAGG_NEIGHBOURS_MAX);
        EXPECT(2 * plan.threshold > plan.neighbours && plan.threshold <= plan.neighbours);
        EXPECT(plan.threshold >= 2);
        EXPECT(plan.survivors_min <= n && 3 * plan.survivors_min >= 2 * n);
        if (n <= SECAGG_COMPLETE_MAX) { /* whoever survives has enough neighbours that do */
            EXPECT(plan.survivors_min - 1 >= plan.threshold);
        }
        if (n >= 10) { /* 30 % may leave */
            EXPECT(plan.survivors_min <= n - n * 3 / 10);
        }
    }
}

static const uint32_t graph_sizes[] = {3, 10, 64, 65, 100, 333, 1024};

TEST_ROWS(neighbours_are_mutual_and_as_many_as_planned, graph_sizes)
{
    static struct secagg_graph graph;
    static bool pair[SECAGG_MEMBERS_MAX][SECAGG_MEMBERS_MAX];
    const uint32_t n = graph_sizes[tst_row];
    const uint8_t digest[SECAGG_DIGEST_BYTES] = {1, 2, 3};
    struct secagg_plan plan;
    EXPECT(secagg_plan(n, &plan) == SH_OK);
    secagg_graph_init(&graph, &plan, digest);
    for (uint32_t u = 0; u < n; u++) {
        uint16_t near[SECAGG_NEIGHBOURS_MAX];
        secagg_graph_neighbours(&graph, u, near);
        for (uint32_t i = 0; i < plan.neighbours; i++) {
            EXPECT(near[i] < n && near[i] != u && (i == 0 || near[i - 1] < near[i]));
            pair[u][near[i]] = true;
        }
    }
    for (uint32_t u = 0; u < n; u++) {
        for (uint32_t v = 0; v < n; v++) {
            EXPECT(pair[u][v] == pair[v][u]);
        }
    }
}

TEST(another_list_gives_other_neighbours)
{
    static struct secagg_graph graph[2];
    struct secagg_plan plan;
    EXPECT(secagg_plan(1000, &plan) == SH_OK);
    for (uint8_t g = 0; g < 2; g++) {
        const uint8_t digest[SECAGG_DIGEST_BYTES] = {g};
        secagg_graph_init(&graph[g], &plan, digest);
    }
    uint32_t same = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        same += graph[0].order[i] == graph[1].order[i];
    }
    EXPECT(same < 10);
}

TEST(the_modulus_holds_the_largest_sum)
{
    EXPECT_EQ(secagg_modulus(40, 1000, 16), 32);
    EXPECT_EQ(secagg_modulus(65, 1000, 16), 64);
    EXPECT_EQ(secagg_modulus(1024, 1000, 44), 64);
    EXPECT_EQ(secagg_modulus(1024, 1024, 45), 0);
    EXPECT_EQ(secagg_modulus(2, 1, 63), 64);
    EXPECT_EQ(secagg_modulus(2, 1, 64), 0);
}

/* What the aggregator has of a member that sent nothing but zeros looks like any random words. */
TEST(masked_vectors_look_like_noise)
{
    enum { COUNT = 20000 };
    cohort_open(&c, 5, COUNT, 64, tst_seed());
    c.keep = true;
    EXPECT(cohort_keys(&c) == SH_OK);
    EXPECT(cohort_shares(&c) == SH_OK);
    EXPECT(cohort_masked(&c) == SH_OK);
    for (uint32_t m = 0; m < 5; m++) {
        double seen[256] = {0};
        double chi = 0;
        for (size_t i = 0; i < COUNT; i++) {
            for (uint32_t shift = 0; shift < 64; shift += 8) {
                seen[c.member[m].masked[i] >> shift & 255] += 1;
            }
        }
        for (size_t b = 0; b < 256; b++) {
            const double expected = COUNT * 8 / 256.0;
            chi += (seen[b] - expected) * (seen[b] - expected) / expected;
        }
        EXPECT(chi < 255 + 5 * sqrt(2.0 * 255));
    }
    cohort_close(&c);
}

TEST(a_message_cut_short_is_no_message)
{
    static uint8_t bytes[SECAGG_MESSAGE_BYTES_MAX];
    static struct secagg_roster roster;
    static struct secagg_reveal reveal;
    run_to_consent(4);
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    secagg_put_roster(&w, secagg_server_roster(c.server));
    EXPECT(!w.full);
    for (size_t size = 0; size < w.used; size++) {
        struct sh_reader r = sh_reader_over(bytes, size);
        secagg_get_roster(&r, &roster);
        EXPECT(sh_reader_end(&r) == SH_ERR_CORRUPT);
    }
    /* Of a secret that is neither of the two. */
    w = sh_writer_over(bytes, sizeof bytes);
    reveal = (struct secagg_reveal){.count = 1};
    reveal.at[0].secret = SECAGG_SECRETS;
    secagg_put_reveal(&w, &reveal);
    struct sh_reader r = sh_reader_over(bytes, w.used);
    secagg_get_reveal(&r, &reveal);
    EXPECT(sh_reader_end(&r) == SH_ERR_CORRUPT);
    cohort_close(&c);
}
