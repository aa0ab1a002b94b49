/* SPDX-License-Identifier: Apache-2.0 */
#include "roster.h"

#include "../jobs/world.h"
#include "tst.h"

#include <stdio.h>
#include <string.h>

static struct world w;
static struct roster *r;
static struct service_member members[3];
static const struct backlog_datasets NO_DATASETS;

static void start(void)
{
    world_init(&w);
    w.now_us = UINT64_C(1000000000000);
    EXPECT_EQ(world_admit(&w, 1, "alpha"), SH_OK);
    EXPECT_EQ(world_admit(&w, 2, "beta"), SH_OK);
    r = roster_open();
    EXPECT(r != NULL);
    for (unsigned i = 0; i < SH_COUNT(members); i++) {
        struct wire_node *n = &members[i].node;
        members[i] = (struct service_member){.liveness = SERVICE_ALIVE};
        world_node(n->id, i + 1);
        n->cpus = 2;
        n->slots = 4;
        (void)snprintf(n->name, sizeof n->name, "%s", i == 0 ? "alpha" : i == 1 ? "beta" : "gone");
        (void)snprintf(n->arch, sizeof n->arch, "x86_64");
        (void)snprintf(n->isa, sizeof n->isa, "v3");
    }
}

static void stop(void)
{
    roster_close(r);
    world_free(&w);
}

static const struct place_node *collect(uint32_t wanted)
{
    EXPECT_EQ(roster_collect(r, w.t, members, SH_COUNT(members), &NO_DATASETS, w.now_us), wanted);
    return roster_nodes(r);
}

static bool holds(const struct place_node *n, const char *condition)
{
    struct place_condition parsed;
    EXPECT_EQ(place_condition_parse(condition, &parsed), SH_OK);
    return place_condition_holds(&parsed, n->labels, n->label_count);
}

TEST(labels_are_those_that_follow_and_those_that_were_given)
{
    char text[ROSTER_LABELS_BYTES];
    start();
    struct wire_node *n = &members[0].node;
    (void)snprintf(n->zone, sizeof n->zone, "lab");
    (void)snprintf(n->gpu, sizeof n->gpu, "NVIDIA H200 (x)");
    n->sandbox = WIRE_SANDBOX_STRICT;
    (void)snprintf(n->labels, sizeof n->labels, "disk=nvme,fast");
    roster_labels(n, text, sizeof text);
    EXPECT_STR(text, "name=alpha,zone=lab,arch=x86_64,isa=v3,gpu=NVIDIA-H200--x-,sandbox=strict,"
                     "disk=nvme,fast");
    const struct place_node *nodes = collect(2);
    EXPECT(holds(&nodes[0], "name in (alpha, gamma)"));
    EXPECT(holds(&nodes[0], "isa>=avx2") && !holds(&nodes[0], "isa>=avx512"));
    EXPECT(holds(&nodes[0], "fast") && holds(&nodes[0], "disk=nvme"));
    EXPECT(!holds(&nodes[1], "fast") && holds(&nodes[1], "!zone") && holds(&nodes[1], "!sandbox"));
    stop();
}

TEST(a_node_with_less_than_its_own_minimum_is_too_weak_for_commands)
{
    start();
    members[0].node.sandbox_min = WIRE_SANDBOX_BASIC;
    const struct place_node *nodes = collect(2);
    EXPECT(!nodes[0].commands && nodes[0].too_weak);
    EXPECT(!nodes[1].commands && !nodes[1].too_weak);
    members[0].node.sandbox = WIRE_SANDBOX_BASIC;
    nodes = collect(2);
    EXPECT(nodes[0].commands && !nodes[0].too_weak);
    stop();
}

TEST(as_many_and_as_long_labels_as_there_may_be_are_all_there)
{
    char text[ROSTER_LABELS_BYTES];
    start();
    struct wire_node *n = &members[0].node;
    memset(n->name, 'n', SH_NAME_MAX);
    memset(n->zone, 'z', WIRE_ZONE_MAX);
    memset(n->arch, 'a', WIRE_ARCH_MAX);
    memset(n->isa, 'i', WIRE_ISA_MAX);
    memset(n->version, 'v', WIRE_VERSION_MAX);
    memset(n->gpu, 'g', WIRE_GPU_NAME_MAX);
    n->sandbox = WIRE_SANDBOX_STRICT;
    for (unsigned i = 0; i < WIRE_LABELS_MAX; i++) {
        size_t used = strlen(n->labels);
        (void)snprintf(n->labels + used, sizeof n->labels - used, "%s%c=1234567890123",
                       i > 0 ? "," : "", (char)('A' + i));
    }
    EXPECT_EQ(strlen(n->labels), WIRE_LABELS_BYTES_MAX);
    EXPECT(wire_labels_ok(n->labels));
    roster_labels(n, text, sizeof text);
    EXPECT(strlen(text) < sizeof text - 1);
    const struct place_node *nodes = collect(2);
    EXPECT(holds(&nodes[0], "P=1234567890123"));
    EXPECT_EQ(nodes[0].label_count, 7 + WIRE_LABELS_MAX);
    stop();
}

TEST(an_agent_is_what_gossip_and_the_tables_say_of_it)
{
    start();
    members[0].node.gpus = 3;
    members[0].node.gpu_bytes = 5;
    members[0].node.disk_bytes = 7;
    members[0].node.policy = WIRE_POLICY_BATTERY;
    members[1].liveness = SERVICE_SUSPECT;
    EXPECT_EQ(world_mark(&w, 2, JOBS_MARK_DRAIN), SH_OK);
    const struct place_node *nodes = collect(2); /* the third one is not admitted */
    EXPECT_EQ(nodes[0].gpus, 3);
    EXPECT_EQ(nodes[0].gpu_bytes, 5);
    EXPECT_EQ(nodes[0].disk_bytes, 7);
    EXPECT_EQ(nodes[0].policy, WIRE_POLICY_BATTERY);
    EXPECT(!nodes[0].draining && nodes[1].draining);
    EXPECT_EQ(nodes[1].liveness, PLACE_SUSPECT);
    stop();
}

static void break_node(unsigned node)
{
    for (unsigned i = 0; i < 4; i++) {
        struct jobs_submit *c = world_submit(&w, "job");
        c->retries = 9;
        EXPECT_EQ(world_apply(&w), SH_OK);
        struct wire_unit unit = w.result.unit;
        EXPECT_EQ(world_place(&w, unit, node, 1), SH_OK);
        EXPECT_EQ(world_fail(&w, unit, world_fence(&w, unit), false), SH_OK);
    }
}

TEST(an_agent_stays_in_quarantine_until_its_self_test_passed)
{
    start();
    break_node(2);
    const struct place_node *nodes = collect(2);
    EXPECT_EQ(nodes[1].quarantined_until_us, w.now_us + JOBS_QUARANTINE_US);
    EXPECT(!nodes[1].parole);
    w.now_us += JOBS_QUARANTINE_US;
    nodes = collect(2);
    EXPECT_EQ(nodes[1].quarantined_until_us, w.now_us + 1); /* its time is over; it has not told */
    EXPECT_EQ(world_mark(&w, 2, JOBS_MARK_FIT), SH_OK);
    nodes = collect(2);
    EXPECT(nodes[1].quarantined_until_us <= w.now_us);
    EXPECT(nodes[1].parole);
    EXPECT_EQ(nodes[0].quarantined_until_us, 0);
    stop();
}
