/* SPDX-License-Identifier: Apache-2.0 */
#include "base/host/host.h"
#include "link/gossip.h"
#include "tst.h"

#include <poll.h>
#include <string.h>

struct end {
    struct trust trust;
    struct link_gossip *gossip;
    struct link_addr addr;
    struct link_gossip_event event;
};

static char why[LINK_TEXT_MAX + 1];

static void open_end(struct end *e, uint8_t secret, uint8_t id, uint64_t epoch, const char *address)
{
    struct trust_secret key;
    uint8_t seed[TRUST_KEY_BYTES];
    sh_host_init();
    memset(key.bytes, secret, sizeof key.bytes);
    memset(seed, id, sizeof seed);
    *e = (struct end){0};
    trust_ephemeral(&e->trust, &key, seed, epoch);
    struct link_gossip_options options = {.trust = &e->trust};
    EXPECT_EQ(link_addr_parse(address, 0, &options.listen), SH_OK);
    EXPECT_EQ(link_gossip_open(&options, &e->gossip, why), SH_OK);
    e->addr = link_gossip_addr(e->gossip);
    EXPECT(e->addr.port != 0);
}

static void close_end(struct end *e)
{
    link_gossip_close(e->gossip);
    trust_close(&e->trust);
}

static bool next(struct end *e, int limit_ms)
{
    uint64_t end_us = sh_now_us() + (uint64_t)limit_ms * 1000;
    struct pollfd fd = {.fd = link_gossip_fd(e->gossip), .events = POLLIN};
    while (!link_gossip_next(e->gossip, sh_now_us(), &e->event)) {
        if (sh_now_us() >= end_us) {
            return false;
        }
        EXPECT(poll(&fd, 1, 20) >= 0);
    }
    return true;
}

static enum sh_err send_to(struct end *from, const struct end *to, const void *bytes, size_t size)
{
    return link_gossip_send(from->gossip, &to->addr, (struct sh_span){.at = bytes, .size = size});
}

TEST(a_datagram_arrives_with_its_sender_and_address)
{
    struct end a;
    struct end b;
    open_end(&a, 1, 10, 4, "127.0.0.1:0");
    open_end(&b, 1, 11, 1, "127.0.0.1:0");
    EXPECT_EQ(send_to(&a, &b, "ping", 4), SH_OK);
    EXPECT(next(&b, 2000));
    EXPECT_EQ(b.event.kind, LINK_GOSSIP_DATA);
    EXPECT_EQ(b.event.bytes.size, 4);
    EXPECT_MEM(b.event.bytes.at, (const uint8_t *)"ping", 4);
    EXPECT_MEM(b.event.node, a.trust.node, SH_NODE_ID_BYTES);
    EXPECT_EQ(b.event.boot_epoch, 4);
    EXPECT(link_addr_equal(&b.event.from, &a.addr));
    EXPECT(!next(&b, 0));
    close_end(&a);
    close_end(&b);
}

TEST(the_largest_payload_passes_and_one_byte_more_is_refused)
{
    struct end a;
    struct end b;
    uint8_t bytes[LINK_GOSSIP_BYTES_MAX + 1] = {0};
    open_end(&a, 1, 10, 1, "127.0.0.1:0");
    open_end(&b, 1, 11, 1, "127.0.0.1:0");
    EXPECT_EQ(send_to(&a, &b, bytes, LINK_GOSSIP_BYTES_MAX), SH_OK);
    EXPECT(next(&b, 2000));
    EXPECT_EQ(b.event.bytes.size, LINK_GOSSIP_BYTES_MAX);
    EXPECT_EQ(send_to(&a, &b, bytes, LINK_GOSSIP_BYTES_MAX + 1), SH_ERR_LIMIT);
    close_end(&a);
    close_end(&b);
}

TEST(a_closed_port_is_hinted_with_its_address)
{
    struct end a;
    struct end b;
    open_end(&a, 1, 10, 1, "127.0.0.1:0");
    open_end(&b, 1, 11, 1, "127.0.0.1:0");
    struct link_addr gone = b.addr;
    close_end(&b);
    EXPECT_EQ(link_gossip_send(a.gossip, &gone, (struct sh_span){0}), SH_OK);
    EXPECT(next(&a, 2000));
    EXPECT_EQ(a.event.kind, LINK_GOSSIP_CLOSED);
    EXPECT(link_addr_equal(&a.event.from, &gone));
    EXPECT(!next(&a, 0));
    close_end(&a);
}

TEST(a_closed_port_does_not_stop_datagrams_to_others)
{
    struct end a;
    struct end b;
    struct end c;
    open_end(&a, 1, 10, 1, "127.0.0.1:0");
    open_end(&b, 1, 11, 1, "127.0.0.1:0");
    open_end(&c, 1, 12, 1, "127.0.0.1:0");
    struct link_addr gone = b.addr;
    close_end(&b);
    for (unsigned i = 0; i < 50; i++) {
        EXPECT_EQ(link_gossip_send(a.gossip, &gone, (struct sh_span){0}), SH_OK);
        EXPECT_EQ(send_to(&a, &c, "x", 1), SH_OK);
        EXPECT(next(&c, 2000));
    }
    close_end(&a);
    close_end(&c);
}

TEST(a_datagram_under_another_secret_is_told_once_a_second)
{
    struct end a;
    struct end b;
    open_end(&a, 2, 10, 1, "127.0.0.1:0");
    open_end(&b, 1, 11, 1, "127.0.0.1:0");
    for (unsigned i = 0; i < 20; i++) {
        EXPECT_EQ(send_to(&a, &b, "x", 1), SH_OK);
    }
    EXPECT(next(&b, 2000));
    EXPECT_EQ(b.event.kind, LINK_GOSSIP_DENIED);
    EXPECT(link_addr_equal(&b.event.from, &a.addr));
    EXPECT(!next(&b, 100));
    EXPECT_EQ(link_gossip_counts(b.gossip).denied, 20);
    close_end(&a);
    close_end(&b);
}

TEST(a_later_life_of_a_sender_silences_the_earlier_one)
{
    struct end old;
    struct end later;
    struct end b;
    open_end(&old, 1, 10, 1, "127.0.0.1:0");
    open_end(&later, 1, 10, 2, "127.0.0.1:0");
    open_end(&b, 1, 11, 1, "127.0.0.1:0");
    EXPECT_EQ(send_to(&old, &b, "1", 1), SH_OK);
    EXPECT(next(&b, 2000));
    EXPECT_EQ(send_to(&later, &b, "2", 1), SH_OK);
    EXPECT(next(&b, 2000));
    EXPECT_EQ(b.event.boot_epoch, 2);
    EXPECT_EQ(send_to(&old, &b, "3", 1), SH_OK);
    EXPECT(!next(&b, 100));
    EXPECT_EQ(link_gossip_counts(b.gossip).stale, 1);
    close_end(&old);
    close_end(&later);
    close_end(&b);
}

TEST(a_gossip_port_in_use_is_named_with_its_plane_and_address)
{
    struct end a;
    struct link_gossip *second = NULL;
    char address[SH_ADDR_MAX + 1];
    open_end(&a, 1, 10, 1, "127.0.0.1:0");
    struct link_gossip_options options = {.trust = &a.trust, .listen = a.addr};
    EXPECT_EQ(link_gossip_open(&options, &second, why), SH_ERR_IN_USE);
    EXPECT(second == NULL);
    EXPECT(strstr(why, "gossip plane") != NULL);
    link_addr_format(&a.addr, address);
    EXPECT(strstr(why, address) != NULL);
    close_end(&a);
}

TEST(an_ipv6_socket_also_carries_ipv4)
{
    struct end a;
    struct end b;
    struct link_addr local;
    struct link_addr v6;
    EXPECT_EQ(link_addr_parse("[::1]:9", 0, &v6), SH_OK);
    if (link_addr_towards(&v6, &local) != SH_OK) {
        SKIP("no IPv6 on this machine");
    }
    open_end(&a, 1, 10, 1, "[::]:0");
    open_end(&b, 1, 11, 1, "127.0.0.1:0");
    EXPECT_EQ(send_to(&a, &b, "x", 1), SH_OK);
    EXPECT(next(&b, 2000));
    EXPECT(link_addr_is_v4(&b.event.from));
    struct link_addr back = b.event.from;
    EXPECT_EQ(link_gossip_send(b.gossip, &back, (struct sh_span){0}), SH_OK);
    EXPECT(next(&a, 2000));
    EXPECT(link_addr_equal(&a.event.from, &b.addr)); /* the same value either way */
    EXPECT_EQ(link_gossip_send(b.gossip, &v6, (struct sh_span){0}), SH_ERR_UNREACHABLE);
    close_end(&a);
    close_end(&b);
}
