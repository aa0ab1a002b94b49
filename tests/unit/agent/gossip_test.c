/* SPDX-License-Identifier: Apache-2.0 */
#include "bulk.h"
#include "gossip.h"
#include "inventory.h"
#include "parts.h"
#include "planner.h"

#include "base/host/host.h"
#include "tst.h"
#include "wire/frame.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SECOND UINT64_C(1000000)

enum { AGENTS = 3, FRAME_BYTES_MAX = 64 };

/* Agents with real sockets on loopback and no loop: the test drives their gossip. */
struct agent {
    struct service *s;
    struct gossip *gossip;
    struct link_addr addr;
    bool silent; /* its gossip is not driven */
    pthread_mutex_t lock;
    pthread_cond_t came;
    uint32_t frames;
    uint8_t frame[FRAME_BYTES_MAX];
    uint8_t from[SH_NODE_ID_BYTES];
};

static struct agent agents[AGENTS];
static size_t agent_count;

static enum sh_err post_nowhere(void *ctx, enum calls_plane plane,
                                const uint8_t node[SH_NODE_ID_BYTES], enum calls_frame frame,
                                const void *bytes, size_t size)
{
    (void)ctx;
    (void)plane;
    (void)node;
    (void)frame;
    (void)bytes;
    (void)size;
    return SH_OK;
}

static void on_frame(void *ctx, const uint8_t node[SH_NODE_ID_BYTES], uint16_t type,
                     struct sh_span payload, int fd)
{
    struct agent *a = ctx;
    (void)fd;
    SH_CHECK(pthread_mutex_lock(&a->lock) == 0);
    if (type == FRAME_TRAIN_CHUNK && payload.size <= sizeof a->frame) {
        memcpy(a->frame, payload.at, payload.size);
        memcpy(a->from, node, SH_NODE_ID_BYTES);
        a->frames++;
    }
    SH_CHECK(pthread_cond_broadcast(&a->came) == 0);
    SH_CHECK(pthread_mutex_unlock(&a->lock) == 0);
}

static void on_down(void *ctx, const uint8_t node[SH_NODE_ID_BYTES])
{
    (void)ctx;
    (void)node;
}

/* Gossip takes the number of the control plane's port. */
static bool udp_is_free(uint16_t port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    EXPECT(fd >= 0);
    bool is_free = bind(fd, (struct sockaddr *)&at, sizeof at) == 0;
    EXPECT_EQ(close(fd), 0);
    return is_free;
}

static void open_link(struct agent *a)
{
    char why[LINK_TEXT_MAX + 1];
    struct link_options options = {.trust = &a->s->trust};
    for (size_t i = 0; i < LINK_PLANES; i++) {
        EXPECT_EQ(link_addr_parse("127.0.0.1:0", 0, &options.listen[i]), SH_OK);
    }
    for (;;) {
        EXPECT_EQ(link_open(&options, &a->s->link, why), SH_OK);
        a->addr = link_plane_addr(link_plane_of(a->s->link, LINK_CONTROL));
        if (udp_is_free(a->addr.port)) {
            return;
        }
        link_close(a->s->link, 0);
    }
}

static void describe(struct agent *a, const char *name)
{
    struct wire_node *self = &a->s->self;
    inventory_read(self, 1);
    memcpy(self->id, a->s->trust.node, SH_NODE_ID_BYTES);
    (void)snprintf(self->name, sizeof self->name, "%s", name);
    link_addr_format(&a->addr, self->addr);
    self->bulk_port = link_plane_addr(link_plane_of(a->s->link, LINK_BULK)).port;
}

static struct agent *add(const char *name)
{
    struct trust_secret secret;
    uint8_t seed[TRUST_KEY_BYTES];
    char why[LINK_TEXT_MAX + 1];
    struct agent *a = &agents[agent_count++];
    sh_host_init();
    *a = (struct agent){.s = calloc(1, sizeof *a->s)};
    EXPECT(a->s != NULL);
    EXPECT_EQ(pthread_mutex_init(&a->lock, NULL), 0);
    EXPECT_EQ(pthread_cond_init(&a->came, NULL), 0);
    memset(secret.bytes, 5, sizeof secret.bytes);
    memset(seed, (int)agent_count, sizeof seed);
    trust_ephemeral(&a->s->trust, &secret, seed, 1);
    open_link(a);
    describe(a, name);
    struct calls_config calls = {.post = post_nowhere};
    memcpy(calls.me, a->s->trust.node, SH_NODE_ID_BYTES);
    EXPECT_EQ(members_open(&a->s->members, a->s->trust.node), SH_OK);
    EXPECT_EQ(calls_open(&a->s->calls, &calls), SH_OK);
    EXPECT_EQ(planner_open(&a->s->planner, a->s), SH_OK);
    EXPECT_EQ(bulk_open(&a->s->bulk, a->s), SH_OK);
    bulk_on_train(a->s->bulk, on_frame, on_down, a);
    EXPECT_EQ(bulk_start(a->s->bulk), SH_OK);
    struct gossip_options options = {.listen = a->addr, .self = a->addr};
    EXPECT_EQ(gossip_open(&a->gossip, a->s, &options, sh_now_us(), why), SH_OK);
    gossip_tell_self(a->gossip, sh_now_us());
    return a;
}

static void close_all(void)
{
    for (size_t i = 0; i < agent_count; i++) {
        struct agent *a = &agents[i];
        gossip_close(a->gossip);
        calls_stop(a->s->calls);
        planner_stop(a->s->planner);
        bulk_stop(a->s->bulk);
        bulk_close(a->s->bulk);
        planner_close(a->s->planner);
        link_close(a->s->link, 0);
        calls_close(a->s->calls);
        members_close(a->s->members);
        trust_close(&a->s->trust);
        EXPECT_EQ(pthread_cond_destroy(&a->came), 0);
        EXPECT_EQ(pthread_mutex_destroy(&a->lock), 0);
        free(a->s);
    }
    agent_count = 0;
}

/* Waits until a datagram comes or a core is due. */
static void turn(void)
{
    struct pollfd fds[AGENTS];
    nfds_t count = 0;
    uint64_t now = sh_now_us();
    uint64_t due = now + SECOND;
    for (size_t i = 0; i < agent_count; i++) {
        if (!agents[i].silent) {
            uint64_t next = gossip_deadline_us(agents[i].gossip);
            due = next < due ? next : due;
            fds[count++] = (struct pollfd){.fd = gossip_fd(agents[i].gossip), .events = POLLIN};
        }
    }
    EXPECT(poll(fds, count, due > now ? (int)((due - now) / 1000 + 1) : 0) >= 0);
    for (size_t i = 0; i < agent_count; i++) {
        if (!agents[i].silent) {
            gossip_turn(agents[i].gossip, sh_now_us(), true);
        }
    }
}

static bool sees(const struct agent *a, const struct agent *other, enum service_liveness liveness)
{
    struct service_member m;
    return members_get(a->s->members, other->s->trust.node, &m) && m.liveness == liveness;
}

static void await(const struct agent *a, const struct agent *other, enum service_liveness liveness)
{
    uint64_t deadline = sh_now_us() + 20 * SECOND;
    while (!sees(a, other, liveness) && sh_now_us() < deadline) {
        turn();
    }
    EXPECT(sees(a, other, liveness));
}

static void join(struct agent *a, struct agent *to)
{
    gossip_seed(a->gossip, sh_now_us(), &to->addr);
    await(a, to, SERVICE_ALIVE);
    await(to, a, SERVICE_ALIVE);
}

TEST(agents_told_one_address_list_each_other_with_their_records)
{
    struct service_member m;
    struct agent *a = add("alpha");
    struct agent *b = add("beta");
    struct agent *c = add("gamma");
    EXPECT(sees(a, a, SERVICE_ALIVE));
    join(b, a);
    join(c, b); /* nobody tells alpha and gamma of each other */
    await(a, c, SERVICE_ALIVE);
    await(c, a, SERVICE_ALIVE);
    EXPECT(members_get(a->s->members, c->s->trust.node, &m));
    EXPECT_STR(m.node.name, "gamma");
    EXPECT_STR(m.node.addr, c->s->self.addr);
    EXPECT_EQ(m.node.bulk_port, c->s->self.bulk_port);
    close_all();
}

TEST(what_gossip_learned_is_where_bulk_sends)
{
    static const char TEXT[] = "half a gradient";
    struct agent *a = add("alpha");
    struct agent *b = add("beta");
    struct sh_span head = {.at = (const uint8_t *)TEXT, .size = 5};
    struct sh_span body = {.at = (const uint8_t *)TEXT + 5, .size = sizeof TEXT - 5};
    join(b, a);
    EXPECT_EQ(bulk_send(a->s->bulk, b->s->trust.node, FRAME_TRAIN_CHUNK, head, body), SH_OK);
    EXPECT_EQ(pthread_mutex_lock(&b->lock), 0);
    struct timespec until;
    EXPECT_EQ(clock_gettime(CLOCK_REALTIME, &until), 0);
    until.tv_sec += 20;
    int waited = 0;
    while (b->frames == 0 && waited == 0) {
        waited = pthread_cond_timedwait(&b->came, &b->lock, &until);
    }
    EXPECT_EQ(b->frames, 1);
    EXPECT_STR((const char *)b->frame, TEXT);
    EXPECT_MEM(b->from, a->s->trust.node, SH_NODE_ID_BYTES);
    EXPECT_EQ(pthread_mutex_unlock(&b->lock), 0);
    EXPECT(bulk_wait_room(a->s->bulk, b->s->trust.node, 1, SECOND));
    close_all();
}

TEST(an_agent_that_leaves_is_left_for_the_others)
{
    struct agent *a = add("alpha");
    struct agent *b = add("beta");
    join(b, a);
    gossip_leave(b->gossip, sh_now_us());
    await(a, b, SERVICE_LEFT);
    uint64_t deadline = sh_now_us() + 20 * SECOND;
    while (!gossip_has_left(b->gossip) && sh_now_us() < deadline) {
        turn();
    }
    EXPECT(gossip_has_left(b->gossip));
    EXPECT(!gossip_has_left(a->gossip));
    close_all();
}

TEST(an_agent_that_falls_silent_is_suspected_then_dead_and_comes_back)
{
    struct agent *a = add("alpha");
    struct agent *b = add("beta");
    join(b, a);
    b->silent = true;
    await(a, b, SERVICE_SUSPECT);
    await(a, b, SERVICE_DEAD);
    b->silent = false;
    await(a, b, SERVICE_ALIVE);
    close_all();
}

TEST(damaged_control_messages_and_too_many_addresses_change_nothing)
{
    uint8_t bytes[8] = {2, 9, 9, 9, 9}; /* a pong to a ping that was never sent */
    struct agent *a = add("alpha");
    struct agent *b = add("beta");
    struct link_addr nowhere = a->addr;
    join(b, a);
    for (size_t size = 0; size <= sizeof bytes; size++) {
        struct sh_span span = {.at = bytes, .size = size};
        gossip_control(a->gossip, sh_now_us(), b->s->trust.node, span);
        gossip_control(a->gossip, sh_now_us(), a->s->trust.node, span);
    }
    bytes[0] = 77;
    gossip_control(a->gossip, sh_now_us(), b->s->trust.node,
                   (struct sh_span){.at = bytes, .size = sizeof bytes});
    for (unsigned i = 0; i < 2 * SWIM_SEEDS_MAX; i++) {
        nowhere.port = (uint16_t)(1 + i);
        gossip_seed(a->gossip, sh_now_us(), &nowhere);
        gossip_seed(a->gossip, sh_now_us(), &nowhere);
    }
    EXPECT(sees(a, b, SERVICE_ALIVE));
    await(b, a, SERVICE_ALIVE);
    close_all();
}
