/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rng.h"
#include "roles/roles.h"
#include "tst.h"

#include <string.h>

#define NOW UINT64_C(100000000)

/* A cluster whose agents come, go, die, lag and change their figures; it is asked every second, and
 * every change takes effect at once. */
#define SECOND UINT64_C(1000000)

struct fleet {
    struct roles_node nodes[40];
    struct roles_input in;
    struct roles_limits limits;
    struct roles_memory memory;
    struct roles_change change;
    uint64_t next;
    uint64_t moved_us; /* the newest voluntary move of this leader */
    uint32_t moves;
    uint32_t changes;
};

static void drop(uint64_t *at, uint32_t *count, uint64_t handle)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < *count; i++) {
        if (at[i] != handle) {
            at[kept++] = at[i];
        }
    }
    *count = kept;
}

static void apply(struct fleet *f, const struct roles_change *change)
{
    for (uint32_t i = 0; i < change->op_count; i++) {
        uint64_t handle = change->ops[i].handle;
        drop(f->in.voters, &f->in.voter_count, handle);
        drop(f->in.learners, &f->in.learner_count, handle);
        if (change->ops[i].type == ROLES_ADD_VOTER) {
            EXPECT(f->in.voter_count < SH_VOTERS_MAX);
            f->in.voters[f->in.voter_count++] = handle;
        } else if (change->ops[i].type == ROLES_ADD_LEARNER) {
            EXPECT(f->in.learner_count < ROLES_MEMBERS_MAX);
            f->in.learners[f->in.learner_count++] = handle;
        }
    }
}

static bool is_good(const struct fleet *f, uint64_t handle)
{
    bool good = false;
    for (uint32_t j = 0; j < f->in.node_count; j++) {
        good = good || (f->nodes[j].handle == handle && f->nodes[j].presence == ROLES_ALIVE &&
                        f->nodes[j].match == 1000);
    }
    return good;
}

static uint32_t good_voters(const struct fleet *f)
{
    uint32_t good = 0;
    for (uint32_t i = 0; i < f->in.voter_count; i++) {
        good += is_good(f, f->in.voters[i]);
    }
    return good;
}

static struct roles_node draw_node(struct sh_rng *rng, uint64_t handle, uint64_t now_us)
{
    static const uint32_t figures[] = {0, 300, 1500, 2500, 5000, 20000, 90000};
    return (struct roles_node){.handle = handle,
                               .presence = ROLES_ALIVE,
                               .since_us = now_us,
                               .match = 1000,
                               .domain = sh_rng_below(rng, 5),
                               .fsync_p99_us = figures[sh_rng_below(rng, 7)],
                               .rtt_p99_us = figures[sh_rng_below(rng, 7)]};
}

/* Something happens to one agent, never so that the majority is lost. */
static void stir(struct fleet *f, struct sh_rng *rng)
{
    uint32_t at = (uint32_t)sh_rng_below(rng, f->in.node_count);
    struct roles_node before = f->nodes[at];
    struct roles_node *node = &f->nodes[at];
    bool leader = before.handle == f->in.leader;
    if (sh_rng_chance(rng, 1, 3)) { /* other figures */
        struct roles_node other = draw_node(rng, before.handle, f->in.now_us);
        node->fsync_p99_us = other.fsync_p99_us;
        node->rtt_p99_us = other.rtt_p99_us;
    } else if (before.presence == ROLES_LEFT) { /* a new agent on the machine */
        *node = draw_node(rng, f->next++, f->in.now_us);
    } else if (!leader) {
        static const enum roles_presence to[] = {ROLES_ALIVE, ROLES_DEAD, ROLES_DEAD, ROLES_LEFT};
        node->presence = to[sh_rng_below(rng, 4)];
        node->match = sh_rng_chance(rng, 1, 4) ? 10 : 1000;
        node->since_us = node->presence == before.presence ? before.since_us : f->in.now_us;
    }
    if (good_voters(f) <= f->in.voter_count / 2) {
        *node = before;
    }
}

/* A second of this cluster, and what must hold of any. */
static void pass(struct fleet *f)
{
    struct roles_change *c = &f->change;
    uint32_t voters = f->in.voter_count;
    f->in.now_us += SECOND;
    roles_plan(&f->in, &f->limits, &f->memory, c);
    bool well = good_voters(f) == voters;
    bool voluntary = c->cause == ROLES_CAUSE_IMPROVE || (c->cause == ROLES_CAUSE_SHRINK && well);
    uint32_t stirred = 0;
    for (uint32_t i = 0; i < c->op_count; i++) {
        stirred += c->ops[i].type == ROLES_ADD_VOTER;
        EXPECT(c->ops[i].type != ROLES_ADD_VOTER || is_good(f, c->ops[i].handle));
    }
    if (voluntary) {
        EXPECT(f->in.now_us >= f->moved_us + f->limits.move_us);
        f->moved_us = f->in.now_us;
        f->moves++;
    }
    f->changes += c->op_count > 0;
    apply(f, c);
    EXPECT(f->in.voter_count % 2 == 1);
    EXPECT(f->in.voter_count + f->in.learner_count <= ROLES_MEMBERS_MAX);
    EXPECT(good_voters(f) > f->in.voter_count / 2);
    EXPECT(stirred <= f->in.voter_count);
}

static void found(struct fleet *f, struct sh_rng *rng)
{
    uint32_t size = (uint32_t)sh_rng_between(rng, 1, SH_COUNT(f->nodes));
    *f = (struct fleet){.next = 100, .limits = roles_limits_default(), .moved_us = NOW};
    f->limits.voters_max = 1 + 2 * (uint32_t)sh_rng_below(rng, 4);
    f->memory = roles_memory_new(NOW);
    f->in = (struct roles_input){.now_us = NOW,
                                 .leader = 1,
                                 .last_index = 1000,
                                 .nodes = f->nodes,
                                 .node_count = size,
                                 .voters = {1},
                                 .voter_count = 1};
    for (uint32_t i = 0; i < size; i++) {
        f->nodes[i] = draw_node(rng, i + 1, NOW);
    }
}

TEST(any_churn_keeps_a_working_majority_and_settles)
{
    for (uint64_t seed = tst_seed(); seed < tst_seed() + 300; seed++) {
        struct sh_rng rng;
        static struct fleet f;
        sh_rng_init(&rng, seed);
        found(&f, &rng);
        for (uint32_t second = 0; second < 400; second++) {
            if (sh_rng_chance(&rng, 1, 4)) {
                stir(&f, &rng);
            }
            pass(&f);
        }
        /* Left alone it comes to rest: first what must be done, then a move a minute. */
        for (uint32_t second = 0; second < 2400; second++) {
            pass(&f);
        }
        f.changes = 0;
        for (uint32_t second = 0; second < 300; second++) {
            pass(&f);
            EXPECT(f.change.cause != ROLES_CAUSE_WISH);
        }
        EXPECT_EQ(f.changes, 0);
    }
}

TEST(noise_in_the_figures_moves_nobody)
{
    struct sh_rng rng;
    static struct fleet f;
    sh_rng_init(&rng, tst_seed());
    found(&f, &rng);
    f.limits.voters_max = 5;
    f.in.node_count = 9;
    for (uint32_t i = 0; i < 9; i++) {
        f.nodes[i] = (struct roles_node){.handle = i + 1, .since_us = NOW, .match = 1000};
    }
    for (uint32_t second = 0; second < 3600; second++) {
        for (uint32_t i = 0; i < 9; i++) { /* three powers of two, each agent anew every second */
            f.nodes[i].fsync_p99_us = (uint32_t)sh_rng_between(&rng, 1500, 11000);
            f.nodes[i].rtt_p99_us = (uint32_t)sh_rng_between(&rng, 100, 7000);
        }
        pass(&f);
    }
    EXPECT_EQ(f.in.voter_count, 5);
    EXPECT_EQ(f.moves, 0);
}
