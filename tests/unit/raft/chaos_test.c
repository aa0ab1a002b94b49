/* SPDX-License-Identifier: Apache-2.0
 *
 * Seeded storms over a small group: loss, duplication, reordering, partitions (one-way too),
 * crashes that lose every unfinished write, slow disks, membership changes, transfers, compaction.
 * Safety is checked inside net_step; afterwards the network heals and the group must get on. */
#include "net.h"
#include "tst.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

struct storm {
    uint64_t drop; /* per mille */
    uint64_t duplicate;
    uint64_t crash;
    uint64_t partition;
    uint64_t slow_disk;
    uint64_t change;
    uint64_t compact;
};

static uint64_t any_up(struct net *net)
{
    uint64_t id = sh_rng_between(&net->rng, 1, net->count);
    return net->nodes[id].up ? id : 0;
}

static void propose(struct net *net)
{
    uint64_t id = sh_rng_chance(&net->rng, 1, 8) ? any_up(net) : net_leader(net);
    if (id == 0 || net->nodes[id].live.last + 300 > NET_LOG) {
        return;
    }
    char text[32];
    net->serial++;
    (void)snprintf(text, sizeof text, "p%llu", (unsigned long long)net->serial);
    (void)net_propose(net, id, text);
}

static void change(struct net *net)
{
    uint64_t id = net_leader(net);
    if (id == 0 || net->nodes[id].live.last + 300 > NET_LOG) {
        return;
    }
    if (raft_conf_joint(&net->nodes[id].told.conf) && sh_rng_chance(&net->rng, 1, 2)) {
        (void)net_change(net, id, RAFT_AUTO, RAFT_UPDATE, 0);
        return;
    }
    static const enum raft_change_type types[] = {RAFT_ADD_VOTER, RAFT_ADD_VOTER, RAFT_ADD_LEARNER,
                                                  RAFT_REMOVE};
    struct raft_conf_change c = {
        .transition = (enum raft_transition)sh_rng_below(&net->rng, 3),
        .count = (uint32_t)sh_rng_between(&net->rng, 1, 3),
    };
    for (uint32_t i = 0; i < c.count; i++) {
        c.changes[i].type = types[sh_rng_below(&net->rng, SH_COUNT(types))];
        c.changes[i].id = sh_rng_between(&net->rng, 1, net->count);
    }
    struct raft_event event = {.type = RAFT_PROPOSE_CONF};
    event.change = &c;
    net_step(net, id, event);
}

static void partition(struct net *net)
{
    uint64_t a = sh_rng_between(&net->rng, 1, net->count);
    uint64_t b = sh_rng_between(&net->rng, 1, net->count);
    switch (sh_rng_below(&net->rng, 4)) {
    case 0:
        net_isolate(net, a, true);
        break;
    case 1:
        net->cut[a][b] = a != b; /* one way */
        break;
    default:
        for (uint64_t x = 1; x <= net->count; x++) {
            net_isolate(net, x, false);
        }
        break;
    }
}

static void odd_event(struct net *net)
{
    uint64_t id = any_up(net);
    if (id == 0) {
        return;
    }
    struct raft_event event = {0};
    uint64_t other = sh_rng_between(&net->rng, 1, net->count);
    switch (sh_rng_below(&net->rng, 6)) {
    case 0:
        event.type = RAFT_TRANSFER;
        event.peer = other;
        break;
    case 1:
        event.type = RAFT_FORGET_LEADER;
        event.hint = sh_rng_chance(&net->rng, 1, 2);
        break;
    case 2:
        event.type = RAFT_UNREACHABLE;
        event.peer = other;
        break;
    case 3:
        event.type = RAFT_SNAPSHOT_STATUS;
        event.snapshot.peer = other;
        event.snapshot.ok = sh_rng_chance(&net->rng, 1, 2);
        break;
    case 4:
        event.type = RAFT_CAMPAIGN;
        break;
    default:
        net_read(net, id);
        return;
    }
    net_step(net, id, event);
}

static void time_passes(struct net *net)
{
    net->now += sh_rng_between(&net->rng, 1, 6);
    for (uint32_t id = 1; id <= net->count; id++) {
        struct net_node *n = &net->nodes[id];
        if (n->up && raft_deadline(n->core) <= net->now + n->clock) {
            net_tick(net, id);
        }
    }
}

static void disturb(struct net *net, const struct storm *s)
{
    struct sh_rng *rng = &net->rng;
    uint64_t id = sh_rng_between(rng, 1, net->count);
    struct net_node *n = &net->nodes[id];
    if (sh_rng_chance(rng, s->crash, 1000)) {
        if (n->up) {
            net_crash(net, id);
        } else {
            net_start(net, id);
        }
    } else if (!n->up && sh_rng_chance(rng, 20, 1000)) {
        net_start(net, id);
    }
    if (sh_rng_chance(rng, s->partition, 1000)) {
        partition(net);
    }
    if (sh_rng_chance(rng, s->change, 1000)) {
        change(net);
    }
    if (n->up && sh_rng_chance(rng, s->compact, 1000) && n->applied_durable > 0 &&
        n->installing == 0) {
        net_compact(net, id, sh_rng_between(rng, 1, n->applied_durable));
    }
    if (sh_rng_chance(rng, 30, 1000)) {
        odd_event(net);
    }
}

static void storm_step(struct net *net, const struct storm *s)
{
    struct sh_rng *rng = &net->rng;
    uint64_t dice = sh_rng_below(rng, 100);
    uint64_t id = sh_rng_between(rng, 1, net->count);
    if (dice < 50 && net->pool_count > 0) {
        uint32_t at = (uint32_t)sh_rng_below(rng, net->pool_count);
        if (sh_rng_chance(rng, s->drop, 1000)) {
            net_drop_at(net, at);
        } else {
            (void)net_deliver_at(net, at, sh_rng_chance(rng, s->duplicate, 1000));
        }
    } else if (dice < 70) {
        if (net->nodes[id].up && !sh_rng_chance(rng, s->slow_disk, 1000)) {
            net_write_one(net, id);
        }
    } else if (dice < 80) {
        if (net->nodes[id].up) {
            net_apply(net, id);
        }
    } else if (dice < 88) {
        propose(net);
    } else {
        time_passes(net);
    }
    disturb(net, s);
    while (net->pool_count > 200) { /* a network has limits */
        net_drop_at(net, (uint32_t)sh_rng_below(rng, net->pool_count));
    }
}

static bool agreed(const struct net *net, uint64_t at_least)
{
    uint64_t leader = net_leader(net);
    if (leader == 0) {
        return false;
    }
    const struct raft_conf *conf = &net->nodes[leader].core->conf;
    for (uint32_t id = 1; id <= net->count; id++) {
        bool member = raft_conf_voter(conf, id) || raft_conf_learner(conf, id);
        if (member && net->nodes[id].applied < at_least) {
            return false;
        }
    }
    return true;
}

static void calm(struct net *net)
{
    for (uint64_t x = 1; x <= net->count; x++) {
        net_isolate(net, x, false);
        if (!net->nodes[x].up) {
            net_start(net, x);
        }
    }
    uint64_t target = 0;
    for (uint32_t i = 0; i < 400; i++) {
        net_advance(net, 10);
        uint64_t leader = net_leader(net);
        if (leader != 0 && target == 0 && net_propose(net, leader, "calm") == SH_OK) {
            net_settle(net);
            if (net->nodes[leader].told.role == RAFT_LEADER &&
                net->committed == net->nodes[leader].live.last) {
                target = net->committed;
            }
        }
        if (target != 0 && agreed(net, target)) {
            return;
        }
    }
    for (uint32_t id = 1; id <= net->count; id++) {
        const struct raft *r = net->nodes[id].core;
        (void)fprintf(
            stderr,
            "%u: role %d term %llu leader %llu last %llu commit %llu applied %llu/%llu voters "
            "%u/%u learners %u first %llu now %llu deadline %llu promotable %d installing %d\n",
            id, (int)r->role, (unsigned long long)r->term, (unsigned long long)r->leader,
            (unsigned long long)r->log.last, (unsigned long long)r->commit,
            (unsigned long long)r->applied, (unsigned long long)net->nodes[id].applied,
            r->conf.voter_count, r->conf.outgoing_count, r->conf.learner_count,
            (unsigned long long)r->log.first, (unsigned long long)r->now,
            (unsigned long long)raft_deadline(r), raft_promotable(r),
            (int)net->nodes[id].installing);
        struct raft_status st = net_status(net, id);
        for (uint32_t k = 0; k < st.peer_count; k++) {
            (void)fprintf(
                stderr,
                "   peer %llu state %d match %llu next %llu paused %d snap %llu active %d\n",
                (unsigned long long)st.peers[k].id, (int)st.peers[k].state,
                (unsigned long long)st.peers[k].match, (unsigned long long)st.peers[k].next,
                st.peers[k].paused, (unsigned long long)st.peers[k].pending_snapshot,
                st.peers[k].active);
        }
    }
    tst_fail(__FILE__, __LINE__, "the healed group did not agree: committed %llu",
             (unsigned long long)net->committed);
}

static struct storm draw_storm(struct sh_rng *rng)
{
    return (struct storm){
        .drop = sh_rng_below(rng, 300),
        .duplicate = sh_rng_below(rng, 300),
        .crash = sh_rng_below(rng, 8),
        .partition = sh_rng_below(rng, 10),
        .slow_disk = sh_rng_below(rng, 900),
        .change = sh_rng_chance(rng, 1, 2) ? 0 : sh_rng_below(rng, 15),
        .compact = sh_rng_below(rng, 20),
    };
}

static void run_seed(uint64_t seed, uint32_t steps, uint64_t *totals)
{
    struct raft_config config = net_config(1);
    struct sh_rng rng;
    sh_rng_init(&rng, seed ^ UINT64_C(0x5eed));
    config.pre_vote = !sh_rng_chance(&rng, 1, 4);
    config.check_quorum = !sh_rng_chance(&rng, 1, 4);
    config.election_max = config.pre_vote && sh_rng_chance(&rng, 1, 2) ? 300 : 0;
    config.abdicate = sh_rng_chance(&rng, 1, 2);
    config.limits.tail_entries = sh_rng_chance(&rng, 1, 2) ? 24 : 64;
    bool changes = sh_rng_chance(&rng, 1, 2);
    struct storm storm = draw_storm(&rng);
    storm.change = changes ? storm.change : 0;
    struct net *net = net_new(5, changes ? 0x0e : 0x3e, 0, seed, &config);
    for (uint32_t id = 1; id <= net->count; id++) {
        net->nodes[id].clock = sh_rng_below(&rng, 50);
    }
    net_campaign(net, 1);
    for (uint32_t i = 0; i < steps; i++) {
        storm_step(net, &storm);
    }
    calm(net);
    totals[0] += net->steps;
    totals[1] += net->elections;
    totals[2] += net->committed;
    totals[3] += net->installs;
    totals[4] += net->log_reads;
    totals[5] += net->reads_served;
    for (uint32_t id = 1; id <= net->count; id++) {
        net_crash(net, id);
        free(net->nodes[id].memory);
        free(net->nodes[id].disk.entries);
        free(net->nodes[id].live.entries);
    }
    net_drop_to(net, 0);
    free(net->matching);
    free(net);
}

/* Ten processes, so that a failing seed is soon found and the memory of one is soon given back. */
static const int tens[10];

TEST_ROWS(storms_break_no_safety_property_and_the_group_recovers, tens)
{
    uint64_t totals[6] = {0};
    /* Fresh pages for the logs of the next seed are cheaper than clearing those of this one. */
    (void)mallopt(M_MMAP_THRESHOLD, 1 << 20);
    uint64_t base = tst_seed() * 1000 + tst_row * 30;
    for (uint64_t seed = base; seed < base + 30; seed++) {
        (void)fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
        run_seed(seed, 4000, totals);
    }
    (void)printf(
        "# %llu steps, %llu elections, %llu committed, %llu snapshots, %llu log reads, %llu "
        "reads\n",
        (unsigned long long)totals[0], (unsigned long long)totals[1], (unsigned long long)totals[2],
        (unsigned long long)totals[3], (unsigned long long)totals[4],
        (unsigned long long)totals[5]);
    EXPECT(totals[1] > 30);
    EXPECT(totals[2] > 1000);
    EXPECT(totals[3] > 0);
    EXPECT(totals[4] > 0);
    EXPECT(totals[5] > 0);
}
