/* SPDX-License-Identifier: Apache-2.0 */
#include "outbox.h"

#include "base/host/host.h"
#include "tst.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Two agents' control planes on loopback. */
struct ends {
    struct trust trust[2];
    struct link *link[2];
    struct link_plane *plane[2];
    struct link_event event;
};

static struct ends ends;

static void open_ends(void)
{
    char why[LINK_TEXT_MAX + 1];
    struct trust_secret secret = {{9}};
    sh_host_init();
    for (uint8_t i = 0; i < 2; i++) {
        uint8_t seed[TRUST_KEY_BYTES] = {(uint8_t)(i + 1)};
        struct link_options options = {.trust = &ends.trust[i]};
        trust_ephemeral(&ends.trust[i], &secret, seed, 1);
        for (size_t p = 0; p < LINK_PLANES; p++) {
            EXPECT_EQ(link_addr_parse("127.0.0.1:0", 0, &options.listen[p]), SH_OK);
        }
        EXPECT_EQ(link_open(&options, &ends.link[i], why), SH_OK);
        ends.plane[i] = link_plane_of(ends.link[i], LINK_CONTROL);
    }
}

static void close_ends(void)
{
    link_close(ends.link[0], 0);
    link_close(ends.link[1], 0);
}

static void know_each_other(void)
{
    struct link_addr addr = link_plane_addr(ends.plane[1]);
    EXPECT_EQ(link_set_addr(ends.plane[0], ends.trust[1].node, &addr), SH_OK);
}

struct losses {
    unsigned count;
    uint16_t type;
};

static void note_lost(void *ctx, const uint8_t node[SH_NODE_ID_BYTES], uint16_t type)
{
    struct losses *l = ctx;
    (void)node;
    l->count++;
    l->type = type;
}

static struct outbox *fresh(size_t bytes_max)
{
    struct outbox *o = NULL;
    EXPECT_EQ(outbox_open(&o, ends.plane[0], bytes_max), SH_OK);
    return o;
}

static enum sh_err post(struct outbox *o, uint32_t number, size_t size)
{
    static uint8_t filler[1 << 16];
    struct sh_span head = {.at = (const uint8_t *)&number, .size = sizeof number};
    struct sh_span body = {.at = filler, .size = size - sizeof number};
    return outbox_post(o, ends.trust[1].node, FRAME_CALL, head, body);
}

static bool wait_room(struct outbox *o, size_t size, uint64_t timeout_us)
{
    return outbox_wait_room(o, ends.trust[1].node, size, timeout_us);
}

static bool readable(const struct outbox *o)
{
    struct pollfd p = {.fd = outbox_fd(o), .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

/* Runs both ends until the second has received so many messages, each numbered as it was sent. */
static void carry(struct outbox *o, uint32_t wanted, struct losses *losses)
{
    uint32_t got = 0;
    uint64_t deadline = sh_now_us() + 10000000;
    while (got < wanted) {
        struct pollfd fds[2] = {{.fd = link_plane_fd(ends.plane[0]), .events = POLLIN},
                                {.fd = link_plane_fd(ends.plane[1]), .events = POLLIN}};
        uint64_t now = sh_now_us();
        EXPECT(now < deadline);
        while (link_next(ends.plane[0], now, &ends.event)) {
            if (ends.event.kind == LINK_WRITABLE) {
                outbox_writable(o, now, ends.event.node, note_lost, losses);
            }
        }
        while (link_next(ends.plane[1], now, &ends.event)) {
            uint32_t number = 0;
            if (ends.event.kind == LINK_MESSAGE) {
                EXPECT(ends.event.bytes.size >= sizeof number);
                memcpy(&number, ends.event.bytes.at, sizeof number);
                EXPECT_EQ(number, got);
                got++;
            }
        }
        if (!link_pending(ends.plane[0]) && !link_pending(ends.plane[1])) {
            (void)poll(fds, 2, 20);
        }
    }
}

TEST(what_a_slow_peer_cannot_take_is_parked_and_leaves_in_order)
{
    struct losses losses = {0};
    open_ends();
    struct outbox *o = fresh(1 << 20);
    know_each_other();
    for (uint32_t i = 0; i < 3 * LINK_PENDING_MAX; i++) {
        EXPECT_EQ(post(o, i, 100), SH_OK);
    }
    EXPECT(readable(o));
    outbox_drain(o, sh_now_us(), note_lost, &losses);
    EXPECT(!readable(o));
    for (uint32_t i = 3 * LINK_PENDING_MAX; i < 4 * LINK_PENDING_MAX; i++) {
        EXPECT_EQ(post(o, i, 100), SH_OK);
    }
    outbox_drain(o, sh_now_us(), note_lost, &losses);
    carry(o, 4 * LINK_PENDING_MAX, &losses);
    EXPECT_EQ(losses.count, 0);
    EXPECT(wait_room(o, 1 << 20, 0));
    outbox_close(o);
    close_ends();
}

TEST(messages_for_an_agent_without_an_address_are_reported_lost)
{
    struct losses losses = {0};
    open_ends();
    struct outbox *o = fresh(1000);
    EXPECT_EQ(post(o, 1, 900), SH_OK);
    outbox_drain(o, sh_now_us(), note_lost, &losses);
    EXPECT_EQ(losses.count, 1);
    EXPECT_EQ(losses.type, FRAME_CALL);
    EXPECT(wait_room(o, 1000, 0));
    outbox_close(o);
    close_ends();
}

TEST(a_peer_takes_as_many_bytes_as_it_leaves_parked_ones_included)
{
    struct losses losses = {0};
    open_ends();
    struct outbox *o = fresh(200 * LINK_PENDING_MAX + 250);
    know_each_other();
    for (uint32_t i = 0; i < LINK_PENDING_MAX + 1; i++) {
        EXPECT_EQ(post(o, i, 100), SH_OK);
    }
    EXPECT_EQ(post(o, 99, 100), SH_ERR_FULL);
    EXPECT_EQ(post(o, 99, 25), SH_OK);
    EXPECT(!wait_room(o, 1, 1000));
    outbox_drain(o, sh_now_us(), note_lost, &losses);
    EXPECT(wait_room(o, 200 * LINK_PENDING_MAX, 0));
    EXPECT(!wait_room(o, 200 * LINK_PENDING_MAX + 1, 1000));
    outbox_forget(o, ends.trust[1].node);
    EXPECT(wait_room(o, 200 * LINK_PENDING_MAX + 250, 0));
    outbox_close(o);
    close_ends();
}

TEST(a_peer_takes_as_many_messages_as_it_leaves_parked_ones_included)
{
    struct losses losses = {0};
    open_ends();
    struct outbox *o = fresh(SIZE_MAX / 2);
    know_each_other();
    for (uint32_t i = 0; i < OUTBOX_MESSAGES_MAX / 2; i++) {
        EXPECT_EQ(post(o, i, 8), SH_OK);
    }
    EXPECT_EQ(post(o, 0, 8), SH_ERR_FULL);
    outbox_drain(o, sh_now_us(), note_lost, &losses);
    for (uint32_t i = 0; i < LINK_PENDING_MAX; i++) {
        EXPECT_EQ(post(o, i, 8), SH_OK);
    }
    EXPECT_EQ(post(o, 0, 8), SH_ERR_FULL);
    EXPECT_EQ(losses.count, 0);
    outbox_close(o);
    close_ends();
}

/* Of nine peers, each of which takes what it can get, the last one still gets something. */
TEST(peers_that_stand_still_leave_room_for_another_one)
{
    static const uint8_t bytes[64];
    const struct sh_span body = {.at = bytes, .size = sizeof bytes};
    open_ends();
    struct outbox *o = fresh(1024 * sizeof bytes);
    uint32_t before = 1024;
    for (uint8_t peer = 1; peer <= 9; peer++) {
        const uint8_t node[SH_NODE_ID_BYTES] = {7, peer};
        uint32_t count = 0;
        while (outbox_post(o, node, FRAME_CALL, (struct sh_span){0}, body) == SH_OK) {
            count++;
        }
        EXPECT(count >= before / 2 - 1);
        EXPECT(count >= 1);
        before = count;
    }
    outbox_close(o);
    close_ends();
}

TEST(an_outbox_is_bounded_whoever_the_peers_are)
{
    open_ends();
    struct outbox *o = fresh(1000);
    const struct sh_span body = {.at = (const uint8_t *)"123456789", .size = 10};
    uint32_t count = 0;
    uint8_t node[SH_NODE_ID_BYTES] = {0};
    while (outbox_post(o, node, FRAME_CALL, (struct sh_span){0}, body) == SH_OK) {
        count++;
        node[0] = (uint8_t)count;
    }
    EXPECT_EQ(count, 100);
    outbox_close(o);
    close_ends();
}

TEST(a_message_larger_than_the_limit_passes_an_empty_outbox)
{
    open_ends();
    struct outbox *o = fresh(10);
    EXPECT_EQ(post(o, 0, 5000), SH_OK);
    EXPECT_EQ(post(o, 0, 4), SH_ERR_FULL);
    outbox_close(o);
    close_ends();
}

TEST(a_message_larger_than_the_plane_takes_is_refused_and_takes_no_room)
{
    static const uint8_t bytes[SH_CONTROL_BYTES_MAX + 1];
    struct sh_span body = {.at = bytes, .size = sizeof bytes};
    open_ends();
    struct outbox *o = fresh(10);
    EXPECT_EQ(outbox_post(o, ends.trust[1].node, FRAME_CALL, (struct sh_span){0}, body),
              SH_ERR_LIMIT);
    EXPECT_EQ(post(o, 0, 5000), SH_OK);
    outbox_close(o);
    close_ends();
}

struct waiter {
    struct outbox *o;
    bool room;
};

static void *wait_for_room(void *arg)
{
    struct waiter *w = arg;
    w->room = wait_room(w->o, 100, 30000000);
    return NULL;
}

TEST(room_that_is_given_back_wakes_who_waits_for_it)
{
    pthread_t thread;
    struct losses losses = {0};
    open_ends();
    struct waiter w = {.o = fresh(100)};
    EXPECT_EQ(post(w.o, 0, 100), SH_OK);
    EXPECT_EQ(pthread_create(&thread, NULL, wait_for_room, &w), 0);
    outbox_drain(w.o, sh_now_us(), note_lost, &losses);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
    EXPECT(w.room);
    outbox_close(w.o);
    close_ends();
}

TEST(stopping_an_outbox_wakes_who_waits_and_refuses_posts)
{
    pthread_t thread;
    open_ends();
    struct waiter w = {.o = fresh(100)};
    EXPECT_EQ(post(w.o, 0, 100), SH_OK);
    EXPECT_EQ(pthread_create(&thread, NULL, wait_for_room, &w), 0);
    outbox_stop(w.o);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
    EXPECT(!w.room);
    EXPECT_EQ(post(w.o, 0, 10), SH_ERR_CANCELLED);
    outbox_close(w.o);
    close_ends();
}
