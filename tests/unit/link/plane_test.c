/* SPDX-License-Identifier: Apache-2.0 */
#include "base/host/host.h"
#include "link/gossip.h"
#include "rig.h"
#include "tst.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct rig rig;

TEST(two_agents_meet_by_address_and_talk_both_ways_on_both_planes)
{
    struct rig_agent *a = rig_add(&rig, 1, 10, NULL);
    struct rig_agent *b = rig_add(&rig, 1, 11, NULL);
    for (unsigned i = 0; i < LINK_PLANES; i++) {
        enum link_plane_id id = (enum link_plane_id)i;
        uint16_t type = id == LINK_CONTROL ? FRAME_RAFT : FRAME_TRAIN_CHUNK;
        rig_join(&rig, a, b, id);
        EXPECT_MEM(a->planes[i].last[LINK_UP].node, b->trust.node, SH_NODE_ID_BYTES);
        EXPECT_MEM(b->planes[i].last[LINK_UP].node, a->trust.node, SH_NODE_ID_BYTES);
        EXPECT_EQ(rig_send(a, id, b, type, "there", 5), SH_OK);
        EXPECT_EQ(rig_send(b, id, a, type, "back", 4), SH_OK); /* by the same connection */
        RIG_AWAIT(&rig, b->planes[i].messages, 1, 2000);
        RIG_AWAIT(&rig, a->planes[i].messages, 1, 2000);
        EXPECT_STR((const char *)b->planes[i].data, "there");
        EXPECT_STR((const char *)a->planes[i].data, "back");
        EXPECT_EQ(b->planes[i].last[LINK_MESSAGE].type, type);
        EXPECT_EQ(link_plane_stats(rig_plane(b, id)).dials, 0);
        EXPECT(link_is_up(rig_plane(b, id), a->trust.node));
    }
    rig_close(&rig);
}

TEST(hello_tells_epoch_version_and_every_address)
{
    struct rig_agent *a = rig_add_on(&rig, 1, 10, NULL, 41, 0, "127.0.0.1:0");
    struct rig_agent *b = rig_add_on(&rig, 1, 11, "0.1.9", 7, 0, "127.0.0.1:0");
    rig_join(&rig, a, b, LINK_CONTROL);
    const struct link_event *up = &b->planes[LINK_CONTROL].last[LINK_UP];
    struct link_addr control = rig_addr(a, LINK_CONTROL);
    struct link_addr bulk = rig_addr(a, LINK_BULK);
    EXPECT_EQ(up->peer.boot_epoch, 41);
    EXPECT_STR(up->peer.version, SHOAL_VERSION);
    EXPECT(link_addr_equal(&up->peer.control, &control));
    EXPECT(link_addr_equal(&up->peer.bulk, &bulk));
    EXPECT_EQ(up->peer.gossip.port, 0);
    EXPECT(link_addr_is_loopback(&up->peer.local));
    EXPECT_EQ(a->planes[LINK_CONTROL].last[LINK_UP].peer.boot_epoch, 7);
    EXPECT_STR(a->planes[LINK_CONTROL].last[LINK_UP].peer.version, "0.1.9");
    rig_close(&rig);
}

TEST(hello_tells_where_gossip_is_heard)
{
    char why[LINK_TEXT_MAX + 1];
    struct link_gossip *ends[2];
    struct link_gossip_event event;
    struct link_event up = {.kind = LINK_MESSAGE};
    struct rig_agent *a = rig_add(&rig, 1, 10, NULL);
    struct rig_agent *b = rig_add(&rig, 1, 11, NULL);
    struct link_gossip_options udp = {.trust = &a->trust};
    EXPECT_EQ(link_addr_parse("127.0.0.1:0", 0, &udp.listen), SH_OK);
    EXPECT_EQ(link_gossip_open(&udp, &ends[0], why), SH_OK);
    udp.trust = &b->trust;
    EXPECT_EQ(link_gossip_open(&udp, &ends[1], why), SH_OK);
    rig_stop(a);
    struct link_options tcp = {.trust = &a->trust, .gossip = link_gossip_addr(ends[0])};
    tcp.listen[LINK_CONTROL] = udp.listen;
    tcp.listen[LINK_BULK] = udp.listen;
    EXPECT_EQ(link_open(&tcp, &a->link, why), SH_OK);
    rig_join(&rig, a, b, LINK_CONTROL);
    up = b->planes[LINK_CONTROL].last[LINK_UP];
    struct sh_span ping = {.at = (const uint8_t *)"ping", .size = 4};
    EXPECT_EQ(link_gossip_send(ends[1], &up.peer.gossip, ping), SH_OK);
    struct pollfd fd = {.fd = link_gossip_fd(ends[0]), .events = POLLIN};
    EXPECT_EQ(poll(&fd, 1, 2000), 1);
    EXPECT(link_gossip_next(ends[0], sh_now_us(), &event));
    EXPECT_MEM(event.node, b->trust.node, SH_NODE_ID_BYTES);
    link_gossip_close(ends[0]);
    link_gossip_close(ends[1]);
    rig_close(&rig);
}

/* Drives only the bulk planes of the two agents: sends the chunks and counts them. */
enum { THREAD_CHUNKS = 400, THREAD_CHUNK_BYTES = 65536 };
struct bulk_work {
    struct rig_agent *from;
    struct rig_agent *to;
    unsigned arrived;
    atomic_bool done;
};

static void *move_bulk(void *arg)
{
    static uint8_t chunk[THREAD_CHUNK_BYTES];
    struct bulk_work *work = arg;
    struct link_plane *planes[2] = {rig_plane(work->from, LINK_BULK),
                                    rig_plane(work->to, LINK_BULK)};
    struct link_event event;
    unsigned sent = 0;
    uint64_t end = sh_now_us() + 20000000;
    while (work->arrived < THREAD_CHUNKS && sh_now_us() < end) {
        struct pollfd fds[2] = {{.fd = link_plane_fd(planes[0]), .events = POLLIN},
                                {.fd = link_plane_fd(planes[1]), .events = POLLIN}};
        while (sent < THREAD_CHUNKS && rig_send(work->from, LINK_BULK, work->to, FRAME_TRAIN_CHUNK,
                                                chunk, sizeof chunk) == SH_OK) {
            sent++;
        }
        bool waiting = link_pending(planes[0]) || link_pending(planes[1]);
        (void)poll(fds, 2, waiting ? 0 : 1);
        for (unsigned i = 0; i < 2; i++) {
            while (link_next(planes[i], sh_now_us(), &event)) {
                work->arrived += i == 1 && event.kind == LINK_MESSAGE ? 1 : 0;
            }
        }
    }
    atomic_store(&work->done, true);
    return NULL;
}

TEST(control_and_bulk_can_belong_to_two_threads)
{
    struct rig_agent *a = rig_add(&rig, 1, 10, NULL);
    struct rig_agent *b = rig_add(&rig, 1, 11, NULL);
    struct bulk_work work = {.from = a, .to = b};
    struct link_event event;
    uint64_t pings = 0;
    pthread_t thread;
    rig_join(&rig, a, b, LINK_CONTROL);
    rig_join(&rig, a, b, LINK_BULK);
    EXPECT_EQ(pthread_create(&thread, NULL, move_bulk, &work), 0);
    while (!atomic_load(&work.done)) {
        struct pollfd fd = {.fd = link_plane_fd(rig_plane(b, LINK_CONTROL)), .events = POLLIN};
        enum sh_err err = rig_send(a, LINK_CONTROL, b, FRAME_RAFT, "x", 1);
        EXPECT(err == SH_OK || err == SH_ERR_FULL);
        EXPECT(poll(&fd, 1, 1) >= 0);
        while (link_next(rig_plane(b, LINK_CONTROL), sh_now_us(), &event)) {
            pings += event.kind == LINK_MESSAGE ? 1 : 0;
        }
        while (link_next(rig_plane(a, LINK_CONTROL), sh_now_us(), &event)) {
            EXPECT(event.kind != LINK_DOWN);
        }
    }
    EXPECT_EQ(pthread_join(thread, NULL), 0);
    EXPECT_EQ(work.arrived, THREAD_CHUNKS);
    EXPECT(pings > 0);
    rig_close(&rig);
}

TEST(an_agent_listening_on_every_address_is_known_by_the_one_it_was_seen_at)
{
    struct rig_agent *a = rig_add_on(&rig, 1, 10, NULL, 1, 0, "0.0.0.0:0");
    struct rig_agent *b = rig_add(&rig, 1, 11, NULL);
    rig_join(&rig, a, b, LINK_CONTROL);
    struct link_addr expected;
    EXPECT_EQ(link_addr_parse("127.0.0.1:1", 0, &expected), SH_OK);
    expected.port = rig_addr(a, LINK_CONTROL).port;
    EXPECT(link_addr_equal(&b->planes[LINK_CONTROL].last[LINK_UP].peer.control, &expected));
    rig_close(&rig);
}

TEST(ipv6_addresses_work_as_ipv4_ones_do)
{
    struct link_addr addr;
    struct link_addr local;
    EXPECT_EQ(link_addr_parse("[::1]:1", 0, &addr), SH_OK);
    if (link_addr_towards(&addr, &local) != SH_OK) {
        SKIP("no IPv6 on this machine");
    }
    struct rig_agent *a = rig_add_on(&rig, 1, 10, NULL, 1, 0, "[::1]:0");
    struct rig_agent *b = rig_add_on(&rig, 1, 11, NULL, 1, 0, "[::]:0");
    rig_join(&rig, b, a, LINK_CONTROL);
    struct rig_agent *c = rig_add(&rig, 1, 12, NULL); /* IPv4 to a socket for both */
    EXPECT_EQ(link_addr_parse("127.0.0.1:1", 0, &addr), SH_OK);
    addr.port = rig_addr(b, LINK_CONTROL).port;
    EXPECT_EQ(link_connect(rig_plane(c, LINK_CONTROL), sh_now_us(), &addr), SH_OK);
    RIG_AWAIT(&rig, c->planes[LINK_CONTROL].ups, 1, 3000);
    EXPECT_EQ(rig_send(b, LINK_CONTROL, c, FRAME_RAFT, "x", 1), SH_OK);
    RIG_AWAIT(&rig, c->planes[LINK_CONTROL].messages, 1, 2000);
    rig_close(&rig);
}

TEST(a_node_with_a_known_address_is_dialled_by_the_first_send_and_nothing_is_lost)
{
    struct rig_agent *a = rig_add(&rig, 1, 10, NULL);
    struct rig_agent *b = rig_add(&rig, 1, 11, NULL);
    struct link_addr addr = rig_addr(b, LINK_CONTROL);
    EXPECT_EQ(rig_send(a, LINK_CONTROL, b, FRAME_RAFT, "x", 1), SH_ERR_UNREACHABLE);
    EXPECT_EQ(link_set_addr(rig_plane(a, LINK_CONTROL), b->trust.node, &addr), SH_OK);
    for (uint64_t i = 0; i < LINK_PENDING_MAX; i++) {
        uint8_t number[8] = {(uint8_t)i};
        EXPECT_EQ(rig_send(a, LINK_CONTROL, b, FRAME_RAFT, number, 8), SH_OK);
    }
    EXPECT_EQ(rig_send(a, LINK_CONTROL, b, FRAME_RAFT, "x", 1), SH_ERR_FULL);
    RIG_AWAIT(&rig, b->planes[LINK_CONTROL].messages, LINK_PENDING_MAX, 3000);
    RIG_AWAIT(&rig, a->planes[LINK_CONTROL].writable, 1, 1000);
    EXPECT_EQ(b->planes[LINK_CONTROL].numbers_wrong, 0);
    EXPECT_EQ(b->planes[LINK_CONTROL].numbers_next, LINK_PENDING_MAX);
    rig_close(&rig);
}

TEST(crossing_dials_of_two_agents_make_one_peer_on_each_side)
{
    struct rig_agent *a = rig_add(&rig, 1, 10, NULL);
    struct rig_agent *b = rig_add(&rig, 1, 11, NULL);
    struct link_addr to_b = rig_addr(b, LINK_CONTROL);
    struct link_addr to_a = rig_addr(a, LINK_CONTROL);
    EXPECT_EQ(link_connect(rig_plane(a, LINK_CONTROL), sh_now_us(), &to_b), SH_OK);
    EXPECT_EQ(link_connect(rig_plane(b, LINK_CONTROL), sh_now_us(), &to_a), SH_OK);
    rig_run(&rig, 500000);
    EXPECT_EQ(a->planes[LINK_CONTROL].ups, 1);
    EXPECT_EQ(b->planes[LINK_CONTROL].ups, 1);
    EXPECT_EQ(a->planes[LINK_CONTROL].downs + b->planes[LINK_CONTROL].downs, 0);
    for (uint64_t i = 0; i < 100; i++) {
        uint8_t number[8] = {(uint8_t)i};
        EXPECT_EQ(rig_send(a, LINK_CONTROL, b, FRAME_RAFT, number, 8), SH_OK);
        EXPECT_EQ(rig_send(b, LINK_CONTROL, a, FRAME_RAFT, number, 8), SH_OK);
    }
    RIG_AWAIT(&rig, a->planes[LINK_CONTROL].messages, 100, 2000);
    RIG_AWAIT(&rig, b->planes[LINK_CONTROL].messages, 100, 2000);
    EXPECT_EQ(a->planes[LINK_CONTROL].numbers_wrong + b->planes[LINK_CONTROL].numbers_wrong, 0);
    rig_close(&rig);
}

TEST(a_wrong_secret_is_told_on_both_sides_within_two_seconds_on_both_planes)
{
    struct rig_agent *a = rig_add(&rig, 1, 10, NULL);
    struct rig_agent *b = rig_add(&rig, 2, 11, NULL);
    for (unsigned i = 0; i < LINK_PLANES; i++) {
        enum link_plane_id id = (enum link_plane_id)i;
        struct link_addr addr = rig_addr(b, id);
        EXPECT_EQ(link_connect(rig_plane(a, id), sh_now_us(), &addr), SH_OK);
        RIG_AWAIT(&rig, a->planes[i].wrong_secret, 1, 2000);
        RIG_AWAIT(&rig, b->planes[i].wrong_secret, 1, 2000);
        EXPECT(strstr(a->planes[i].last[LINK_WRONG_SECRET].text, "cluster secret") != NULL);
        EXPECT(strstr(b->planes[i].last[LINK_WRONG_SECRET].text, "cluster secret") != NULL);
        EXPECT(link_addr_equal(&a->planes[i].last[LINK_WRONG_SECRET].addr, &addr));
        EXPECT_EQ(a->planes[i].ups + b->planes[i].ups, 0);
    }
    rig_close(&rig);
}

TEST(an_agent_with_the_right_secret_still_joins_where_a_stranger_was_refused)
{
    struct rig_agent *a = rig_add(&rig, 1, 10, NULL);
    struct rig_agent *stranger = rig_add(&rig, 2, 11, NULL);
    struct rig_agent *b = rig_add(&rig, 1, 12, NULL);
    struct link_addr addr = rig_addr(a, LINK_CONTROL);
    EXPECT_EQ(link_connect(rig_plane(stranger, LINK_CONTROL), sh_now_us(), &addr), SH_OK);
    RIG_AWAIT(&rig, a->planes[LINK_CONTROL].wrong_secret, 1, 2000);
    rig_join(&rig, b, a, LINK_CONTROL);
    EXPECT_EQ(stranger->planes[LINK_CONTROL].ups, 0);
    rig_close(&rig);
}

TEST(mixed_program_versions_are_refused_and_both_sides_name_both)
{
    struct rig_agent *a = rig_add(&rig, 1, 10, "1.2.3");
    struct rig_agent *b = rig_add(&rig, 1, 11, "1.3.0");
    struct link_addr addr = rig_addr(b, LINK_CONTROL);
    EXPECT_EQ(link_connect(rig_plane(a, LINK_CONTROL), sh_now_us(), &addr), SH_OK);
    RIG_AWAIT(&rig, a->planes[LINK_CONTROL].refused, 1, 2000);
    RIG_AWAIT(&rig, b->planes[LINK_CONTROL].refused, 1, 2000);
    for (unsigned i = 0; i < 2; i++) {
        const struct link_event *e = &rig.agents[i].planes[LINK_CONTROL].last[LINK_REFUSED];
        EXPECT_EQ(e->err, SH_ERR_VERSION);
        EXPECT(strstr(e->text, "mixed program versions") != NULL);
        EXPECT(strstr(e->text, "1.2.3") != NULL);
        EXPECT(strstr(e->text, "1.3.0") != NULL);
        EXPECT_EQ(rig.agents[i].planes[LINK_CONTROL].ups, 0);
    }
    rig_close(&rig);
}

TEST(a_patch_release_may_differ)
{
    struct rig_agent *a = rig_add(&rig, 1, 10, "1.2.3");
    struct rig_agent *b = rig_add(&rig, 1, 11, "1.2.9");
    rig_join(&rig, a, b, LINK_CONTROL);
    rig_close(&rig);
}

TEST(an_agent_of_another_cluster_id_is_refused_on_both_sides)
{
    struct rig_agent *a = rig_add(&rig, 1, 10, NULL);
    struct rig_agent *b = rig_add(&rig, 1, 11, NULL);
    struct link_addr addr = rig_addr(b, LINK_CONTROL);
    b->trust.cluster[0] ^= 1;
    EXPECT_EQ(link_connect(rig_plane(a, LINK_CONTROL), sh_now_us(), &addr), SH_OK);
    RIG_AWAIT(&rig, a->planes[LINK_CONTROL].refused, 1, 2000);
    RIG_AWAIT(&rig, b->planes[LINK_CONTROL].refused, 1, 2000);
    EXPECT_EQ(a->planes[LINK_CONTROL].last[LINK_REFUSED].err, SH_ERR_CLUSTER);
    EXPECT_EQ(b->planes[LINK_CONTROL].last[LINK_REFUSED].err, SH_ERR_CLUSTER);
    EXPECT_EQ(a->planes[LINK_CONTROL].ups + b->planes[LINK_CONTROL].ups, 0);
    rig_close(&rig);
}

TEST(knowing_the_listening_key_alone_does_not_pass_hello)
{
    struct rig_agent *a = rig_add(&rig, 1, 10, NULL);
    struct rig_agent *b = rig_add(&rig, 1, 11, NULL);
    struct link_addr addr = rig_addr(b, LINK_CONTROL);
    a->trust.hello_key[0] ^= 1;
    EXPECT_EQ(link_connect(rig_plane(a, LINK_CONTROL), sh_now_us(), &addr), SH_OK);
    RIG_AWAIT(&rig, b->planes[LINK_CONTROL].refused, 1, 2000);
    EXPECT_EQ(b->planes[LINK_CONTROL].last[LINK_REFUSED].err, SH_ERR_DENIED);
    RIG_AWAIT(&rig, a->planes[LINK_CONTROL].refused, 1, 2000);
    EXPECT_EQ(b->planes[LINK_CONTROL].ups, 0);
    rig_close(&rig);
}

TEST(claiming_the_identity_of_another_agent_is_denied)
{
    struct rig_agent *a = rig_add(&rig, 1, 10, NULL);
    struct rig_agent *b = rig_add(&rig, 1, 11, NULL);
    struct rig_agent *victim = rig_add(&rig, 1, 12, NULL);
    struct link_addr addr = rig_addr(b, LINK_CONTROL);
    /* The CURVE key stays the thief's own: sockets took theirs when they were opened. */
    memcpy(a->trust.sign_public, victim->trust.sign_public, TRUST_KEY_BYTES);
    memcpy(a->trust.node, victim->trust.node, SH_NODE_ID_BYTES);
    EXPECT_EQ(link_connect(rig_plane(a, LINK_CONTROL), sh_now_us(), &addr), SH_OK);
    RIG_AWAIT(&rig, b->planes[LINK_CONTROL].refused, 1, 2000);
    EXPECT_EQ(b->planes[LINK_CONTROL].last[LINK_REFUSED].err, SH_ERR_DENIED);
    EXPECT(!link_is_up(rig_plane(b, LINK_CONTROL), victim->trust.node));
    rig_close(&rig);
}

TEST(a_listener_that_claims_the_identity_of_another_agent_is_denied)
{
    struct rig_agent *a = rig_add(&rig, 1, 10, NULL);
    struct rig_agent *b = rig_add(&rig, 1, 11, NULL);
    struct rig_agent *victim = rig_add(&rig, 1, 12, NULL);
    struct link_addr addr = rig_addr(b, LINK_CONTROL);
    memcpy(b->trust.sign_public, victim->trust.sign_public, TRUST_KEY_BYTES);
    memcpy(b->trust.node, victim->trust.node, SH_NODE_ID_BYTES);
    EXPECT_EQ(link_connect(rig_plane(a, LINK_CONTROL), sh_now_us(), &addr), SH_OK);
    RIG_AWAIT(&rig, a->planes[LINK_CONTROL].refused, 1, 2000);
    EXPECT_EQ(a->planes[LINK_CONTROL].last[LINK_REFUSED].err, SH_ERR_DENIED);
    EXPECT(!link_is_up(rig_plane(a, LINK_CONTROL), victim->trust.node));
    RIG_AWAIT(&rig, b->planes[LINK_CONTROL].refused, 1, 2000); /* it was told */
    rig_close(&rig);
}

TEST(an_agent_that_dials_itself_notices_and_stops)
{
    struct rig_agent *a = rig_add(&rig, 1, 10, NULL);
    struct link_addr addr = rig_addr(a, LINK_CONTROL);
    EXPECT_EQ(link_connect(rig_plane(a, LINK_CONTROL), sh_now_us(), &addr), SH_OK);
    RIG_AWAIT(&rig, a->planes[LINK_CONTROL].refused, 2, 2000);
    EXPECT_EQ(a->planes[LINK_CONTROL].last[LINK_REFUSED].err, SH_ERR_CONFLICT);
    rig_run(&rig, 300000);
    EXPECT_EQ(link_plane_stats(rig_plane(a, LINK_CONTROL)).dials, 1);
    EXPECT_EQ(rig_send(a, LINK_CONTROL, a, FRAME_RAFT, "x", 1), SH_ERR_INVALID);
    rig_close(&rig);
}

TEST(an_unreachable_address_is_told_and_dialled_again_until_it_answers)
{
    struct rig_agent *a = rig_add(&rig, 1, 10, NULL);
    struct rig_agent *b = rig_add(&rig, 1, 11, NULL);
    char address[SH_ADDR_MAX + 1];
    struct link_addr addr = rig_addr(b, LINK_CONTROL);
    rig_stop(b);
    EXPECT_EQ(link_connect(rig_plane(a, LINK_CONTROL), sh_now_us(), &addr), SH_OK);
    RIG_AWAIT(&rig, a->planes[LINK_CONTROL].unreachable, 2, 3000);
    link_addr_format(&addr, address);
    EXPECT(strstr(a->planes[LINK_CONTROL].last[LINK_UNREACHABLE].text, address) != NULL);
    EXPECT_EQ(a->planes[LINK_CONTROL].wrong_secret, 0);
    /* The control port again, bulk wherever: both are given the same text by the rig. */
    char why[LINK_TEXT_MAX + 1];
    struct link_options options = {.trust = &b->trust};
    options.listen[LINK_CONTROL] = addr;
    EXPECT_EQ(link_addr_parse("127.0.0.1:0", 0, &options.listen[LINK_BULK]), SH_OK);
    EXPECT_EQ(link_open(&options, &b->link, why), SH_OK);
    RIG_AWAIT(&rig, a->planes[LINK_CONTROL].ups, 1, 6000);
    rig_close(&rig);
}

TEST(a_forgotten_address_is_not_dialled_any_more)
{
    struct rig_agent *a = rig_add(&rig, 1, 10, NULL);
    struct rig_agent *b = rig_add(&rig, 1, 11, NULL);
    struct link_addr addr = rig_addr(b, LINK_CONTROL);
    rig_stop(b);
    EXPECT_EQ(link_connect(rig_plane(a, LINK_CONTROL), sh_now_us(), &addr), SH_OK);
    RIG_AWAIT(&rig, a->planes[LINK_CONTROL].unreachable, 1, 3000);
    link_forget_addr(rig_plane(a, LINK_CONTROL), &addr);
    uint64_t dials = link_plane_stats(rig_plane(a, LINK_CONTROL)).dials;
    rig_run(&rig, 600000);
    EXPECT_EQ(link_plane_stats(rig_plane(a, LINK_CONTROL)).dials, dials);
    rig_close(&rig);
}

TEST(a_graceful_end_is_told_apart_from_a_lost_connection)
{
    struct rig_agent *a = rig_add(&rig, 1, 10, NULL);
    struct rig_agent *b = rig_add(&rig, 1, 11, NULL);
    rig_join(&rig, a, b, LINK_CONTROL);
    rig_stop(b);
    RIG_AWAIT(&rig, a->planes[LINK_CONTROL].downs, 1, 2000);
    EXPECT(a->planes[LINK_CONTROL].last[LINK_DOWN].graceful);
    EXPECT_MEM(a->planes[LINK_CONTROL].last[LINK_DOWN].node, b->trust.node, SH_NODE_ID_BYTES);
    EXPECT(!link_is_up(rig_plane(a, LINK_CONTROL), b->trust.node));
    rig_close(&rig);
}

TEST(what_was_sent_before_a_graceful_end_arrives)
{
    struct rig_agent *a = rig_add(&rig, 1, 10, NULL);
    struct rig_agent *b = rig_add(&rig, 1, 11, NULL);
    rig_join(&rig, a, b, LINK_CONTROL);
    for (uint64_t i = 0; i < 50; i++) {
        uint8_t number[8] = {(uint8_t)i};
        EXPECT_EQ(rig_send(b, LINK_CONTROL, a, FRAME_RAFT, number, 8), SH_OK);
    }
    rig_stop(b);
    RIG_AWAIT(&rig, a->planes[LINK_CONTROL].downs, 1, 2000);
    EXPECT_EQ(a->planes[LINK_CONTROL].messages, 50);
    EXPECT_EQ(a->planes[LINK_CONTROL].numbers_wrong, 0);
    rig_close(&rig);
}

TEST(an_idle_connection_is_closed_and_dialled_again_when_needed)
{
    struct rig_agent *a = rig_add_on(&rig, 1, 10, NULL, 1, 200000, "127.0.0.1:0");
    struct rig_agent *b = rig_add(&rig, 1, 11, NULL);
    rig_join(&rig, a, b, LINK_CONTROL);
    RIG_AWAIT(&rig, a->planes[LINK_CONTROL].downs, 1, 3000);
    RIG_AWAIT(&rig, b->planes[LINK_CONTROL].downs, 1, 3000);
    EXPECT_EQ(a->planes[LINK_CONTROL].hints + b->planes[LINK_CONTROL].hints, 0);
    EXPECT_EQ(rig_send(a, LINK_CONTROL, b, FRAME_RAFT, "again", 5), SH_OK);
    RIG_AWAIT(&rig, b->planes[LINK_CONTROL].messages, 1, 3000);
    rig_close(&rig);
}

TEST(a_message_beyond_the_limit_of_its_plane_is_refused_and_one_at_it_arrives)
{
    struct rig_agent *a = rig_add(&rig, 1, 10, NULL);
    struct rig_agent *b = rig_add(&rig, 1, 11, NULL);
    uint8_t *bytes = calloc(1, SH_CONTROL_BYTES_MAX + 1);
    EXPECT(bytes != NULL);
    for (unsigned i = 0; i < LINK_PLANES; i++) {
        enum link_plane_id id = (enum link_plane_id)i;
        uint16_t type = id == LINK_CONTROL ? FRAME_RAFT : FRAME_TRAIN_CHUNK;
        rig_join(&rig, a, b, id);
        size_t max = link_plane_bytes_max(rig_plane(a, id));
        EXPECT_EQ(rig_send(a, id, b, type, bytes, max + 1), SH_ERR_LIMIT);
        EXPECT_EQ(rig_send(a, id, b, type, bytes, max), SH_OK);
        RIG_AWAIT(&rig, b->planes[i].messages, 1, 3000);
        EXPECT_EQ(b->planes[i].bytes, max);
    }
    free(bytes);
    rig_close(&rig);
}

TEST(head_and_body_arrive_as_one_payload)
{
    struct rig_agent *a = rig_add(&rig, 1, 10, NULL);
    struct rig_agent *b = rig_add(&rig, 1, 11, NULL);
    rig_join(&rig, a, b, LINK_BULK);
    struct sh_span head = {.at = (const uint8_t *)"head", .size = 4};
    struct sh_span body = {.at = (const uint8_t *)"body", .size = 4};
    EXPECT_EQ(link_send(rig_plane(a, LINK_BULK), sh_now_us(), b->trust.node, FRAME_TRAIN_CHUNK,
                        head, body),
              SH_OK);
    RIG_AWAIT(&rig, b->planes[LINK_BULK].messages, 1, 2000);
    EXPECT_STR((const char *)b->planes[LINK_BULK].data, "headbody");
    EXPECT_EQ(link_send(rig_plane(a, LINK_BULK), sh_now_us(), b->trust.node, FRAME_TRAIN_CHUNK,
                        (struct sh_span){0}, (struct sh_span){0}),
              SH_OK);
    RIG_AWAIT(&rig, b->planes[LINK_BULK].messages, 2, 2000);
    EXPECT_EQ(b->planes[LINK_BULK].bytes, 8);
    rig_close(&rig);
}

TEST(a_peer_that_does_not_read_fills_its_own_queue_only)
{
    struct rig_agent *a = rig_add(&rig, 1, 10, NULL);
    struct rig_agent *b = rig_add(&rig, 1, 11, NULL);
    struct rig_agent *c = rig_add(&rig, 1, 12, NULL);
    static uint8_t chunk[SH_BULK_CHUNK_BYTES];
    rig_join(&rig, b, a, LINK_BULK);
    rig_join(&rig, c, a, LINK_BULK);
    struct rig slow = {.count = 0};
    struct rig only = {.count = 0};
    slow.agents[slow.count++] = *b; /* b is not driven from here on */
    only.agents[only.count++] = *a;
    only.agents[only.count++] = *c;
    a = &only.agents[0];
    c = &only.agents[1];
    enum sh_err err = SH_OK;
    unsigned sent = 0;
    for (; sent < 4096 && err == SH_OK; sent++) {
        err = rig_send(a, LINK_BULK, b, FRAME_TRAIN_CHUNK, chunk, sizeof chunk);
    }
    EXPECT_EQ(err, SH_ERR_FULL);
    for (unsigned i = 0; i < 200; i++) {
        uint64_t before = c->planes[LINK_BULK].messages;
        EXPECT_EQ(rig_send(a, LINK_BULK, c, FRAME_TRAIN_CHUNK, chunk, sizeof chunk), SH_OK);
        RIG_AWAIT(&only, c->planes[LINK_BULK].messages, before + 1, 2000);
    }
    EXPECT(a->planes[LINK_BULK].writable > 0);
    uint64_t expected = sent - 1; /* the last one was refused */
    RIG_AWAIT(&slow, slow.agents[0].planes[LINK_BULK].messages, expected, 10000);
    rig.count = 0;
    rig_close(&slow);
    rig_close(&only);
}

TEST(sends_to_a_dead_peer_fail_and_harm_no_other)
{
    struct rig_agent *a = rig_add(&rig, 1, 10, NULL);
    struct rig_agent *b = rig_add(&rig, 1, 11, NULL);
    struct rig_agent *c = rig_add(&rig, 1, 12, NULL);
    rig_join(&rig, b, a, LINK_CONTROL);
    rig_join(&rig, c, a, LINK_CONTROL);
    rig_stop(b);
    RIG_AWAIT(&rig, a->planes[LINK_CONTROL].downs, 1, 2000);
    uint64_t failed = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        uint8_t number[8] = {(uint8_t)i, (uint8_t)(i >> 8)};
        failed += rig_send(a, LINK_CONTROL, b, FRAME_RAFT, "x", 1) != SH_OK ? 1 : 0;
        enum sh_err err = SH_ERR_FULL;
        while (err == SH_ERR_FULL) { /* c is slower than this loop: no fault of b */
            err = rig_send(a, LINK_CONTROL, c, FRAME_RAFT, number, 8);
            rig_turn(&rig, err == SH_OK ? 0 : 1);
        }
        EXPECT_EQ(err, SH_OK);
    }
    RIG_AWAIT(&rig, c->planes[LINK_CONTROL].messages, 1000, 3000);
    EXPECT_EQ(c->planes[LINK_CONTROL].numbers_wrong, 0);
    EXPECT(failed > 900);
    rig_close(&rig);
}

TEST(a_later_start_of_an_agent_replaces_the_earlier_one)
{
    struct rig_agent *a = rig_add(&rig, 1, 10, NULL);
    struct rig_agent *old = rig_add_on(&rig, 1, 11, NULL, 5, 0, "127.0.0.1:0");
    rig_join(&rig, old, a, LINK_CONTROL);
    struct rig_agent *later = rig_add_on(&rig, 1, 11, NULL, 6, 0, "127.0.0.1:0");
    rig_join(&rig, later, a, LINK_CONTROL);
    EXPECT_EQ(a->planes[LINK_CONTROL].ups, 2);
    EXPECT_EQ(a->planes[LINK_CONTROL].hints, 1);
    EXPECT_EQ(a->planes[LINK_CONTROL].last[LINK_UP].peer.boot_epoch, 6);
    EXPECT_EQ(rig_send(a, LINK_CONTROL, later, FRAME_RAFT, "x", 1), SH_OK);
    RIG_AWAIT(&rig, later->planes[LINK_CONTROL].messages, 1, 2000);
    EXPECT_EQ(old->planes[LINK_CONTROL].messages, 0);
    rig_close(&rig);
}

TEST(an_earlier_start_is_refused_while_a_later_one_is_connected)
{
    struct rig_agent *a = rig_add(&rig, 1, 10, NULL);
    struct rig_agent *later = rig_add_on(&rig, 1, 11, NULL, 6, 0, "127.0.0.1:0");
    struct rig_agent *old = rig_add_on(&rig, 1, 11, NULL, 5, 0, "127.0.0.1:0");
    rig_join(&rig, later, a, LINK_CONTROL);
    struct link_addr addr = rig_addr(a, LINK_CONTROL);
    EXPECT_EQ(link_connect(rig_plane(old, LINK_CONTROL), sh_now_us(), &addr), SH_OK);
    RIG_AWAIT(&rig, old->planes[LINK_CONTROL].refused, 1, 2000);
    EXPECT_EQ(old->planes[LINK_CONTROL].last[LINK_REFUSED].err, SH_ERR_STALE);
    EXPECT(strstr(old->planes[LINK_CONTROL].last[LINK_REFUSED].text, "copied") != NULL);
    EXPECT_EQ(a->planes[LINK_CONTROL].downs, 0);
    rig_close(&rig);
}

TEST(an_address_taken_over_by_another_agent_is_not_mistaken_for_the_old_one)
{
    struct rig_agent *a = rig_add(&rig, 1, 10, NULL);
    struct rig_agent *b = rig_add(&rig, 1, 11, NULL);
    struct rig_agent *c = rig_add(&rig, 1, 12, NULL);
    struct link_addr addr = rig_addr(b, LINK_CONTROL);
    EXPECT_EQ(link_set_addr(rig_plane(a, LINK_CONTROL), c->trust.node, &addr), SH_OK); /* wrong */
    EXPECT_EQ(rig_send(a, LINK_CONTROL, c, FRAME_RAFT, "for c", 5), SH_OK);
    RIG_AWAIT(&rig, a->planes[LINK_CONTROL].unreachable, 1, 2000);
    EXPECT_MEM(a->planes[LINK_CONTROL].last[LINK_UNREACHABLE].node, c->trust.node,
               SH_NODE_ID_BYTES);
    RIG_AWAIT(&rig, a->planes[LINK_CONTROL].ups, 1, 2000);
    EXPECT_MEM(a->planes[LINK_CONTROL].last[LINK_UP].node, b->trust.node, SH_NODE_ID_BYTES);
    EXPECT_EQ(rig_send(a, LINK_CONTROL, b, FRAME_RAFT, "for b", 5), SH_OK);
    RIG_AWAIT(&rig, b->planes[LINK_CONTROL].messages, 1, 2000);
    EXPECT_STR((const char *)b->planes[LINK_CONTROL].data, "for b");
    rig_close(&rig);
}

TEST(two_hundred_reconnections_lose_no_peer_and_leak_no_descriptor)
{
    struct rig_agent *a = rig_add(&rig, 1, 10, NULL);
    struct rig_agent *b = rig_add(&rig, 1, 11, NULL);
    struct link_addr addr = rig_addr(b, LINK_CONTROL);
    for (uint64_t i = 1; i <= 200; i++) {
        EXPECT_EQ(link_set_addr(rig_plane(a, LINK_CONTROL), b->trust.node, &addr), SH_OK);
        EXPECT_EQ(rig_send(a, LINK_CONTROL, b, FRAME_RAFT, "x", 1), SH_OK);
        RIG_AWAIT(&rig, b->planes[LINK_CONTROL].messages, i, 3000);
        link_forget(rig_plane(a, LINK_CONTROL), b->trust.node);
        RIG_AWAIT(&rig, b->planes[LINK_CONTROL].downs, i, 3000);
        RIG_AWAIT(&rig, a->planes[LINK_CONTROL].downs, i, 3000);
    }
    EXPECT_EQ(b->planes[LINK_CONTROL].ups, 200);
    EXPECT_EQ(a->planes[LINK_CONTROL].hints, 0);
    rig_run(&rig, 300000);
    struct rig_agent *c = rig_add(&rig, 1, 12, NULL);
    EXPECT(link_plane_fd(rig_plane(c, LINK_CONTROL)) < 150);
    rig_close(&rig);
}

static const struct {
    enum link_plane_id id;
    const char *says;
} ports[] = {{LINK_CONTROL, "control plane"}, {LINK_BULK, "bulk plane"}};

TEST_ROWS(a_port_in_use_is_named_with_its_plane_and_address, ports)
{
    struct rig_agent *a = rig_add(&rig, 1, 10, NULL);
    struct link *second = NULL;
    char why[LINK_TEXT_MAX + 1];
    char address[SH_ADDR_MAX + 1];
    struct link_options options = {.trust = &a->trust};
    enum link_plane_id id = ports[tst_row].id;
    for (unsigned i = 0; i < LINK_PLANES; i++) {
        EXPECT_EQ(link_addr_parse("127.0.0.1:0", 0, &options.listen[i]), SH_OK);
    }
    options.listen[id] = rig_addr(a, id);
    EXPECT_EQ(link_open(&options, &second, why), SH_ERR_IN_USE);
    EXPECT(second == NULL);
    EXPECT(strstr(why, ports[tst_row].says) != NULL);
    link_addr_format(&options.listen[id], address);
    EXPECT(strstr(why, address) != NULL);
    rig_close(&rig);
}
