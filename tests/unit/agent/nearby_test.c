/* SPDX-License-Identifier: Apache-2.0 */
#include "nearby.h"
#include "tst.h"

#include "base/host/host.h"
#include "trust/trust.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define WAIT_S 10

/* One agent: what it received last. */
struct end {
    struct trust trust;
    struct nearby *nearby;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t frames;
    uint32_t downs;
    uint16_t type;
    uint8_t from[SH_NODE_ID_BYTES];
    uint8_t *bytes;
    size_t size;
    bool slow; /* frames are held up while this is set */
    bool handed;
    struct stat file; /* that the descriptor of the last frame stood for, if handed */
};

static void on_frame(void *ctx, const uint8_t node[SH_NODE_ID_BYTES], uint16_t type,
                     struct sh_span payload, int fd)
{
    struct end *e = ctx;
    EXPECT(pthread_mutex_lock(&e->lock) == 0);
    while (e->slow) {
        EXPECT(pthread_cond_wait(&e->changed, &e->lock) == 0);
    }
    e->frames++;
    e->type = type;
    memcpy(e->from, node, sizeof e->from);
    free(e->bytes);
    e->bytes = malloc(payload.size + 1);
    EXPECT(e->bytes != NULL);
    memcpy(e->bytes, payload.at, payload.size);
    e->size = payload.size;
    e->handed = fd >= 0;
    EXPECT(!e->handed || fstat(fd, &e->file) == 0);
    EXPECT(pthread_cond_broadcast(&e->changed) == 0);
    EXPECT(pthread_mutex_unlock(&e->lock) == 0);
}

static void on_down(void *ctx, const uint8_t node[SH_NODE_ID_BYTES])
{
    struct end *e = ctx;
    EXPECT(pthread_mutex_lock(&e->lock) == 0);
    memcpy(e->from, node, sizeof e->from);
    e->downs++;
    EXPECT(pthread_cond_broadcast(&e->changed) == 0);
    EXPECT(pthread_mutex_unlock(&e->lock) == 0);
}

static void end_open(struct end *e, uint8_t secret, uint8_t seed)
{
    struct trust_secret s;
    uint8_t identity[TRUST_KEY_BYTES];
    sh_host_init();
    memset(&s, secret, sizeof s);
    memset(identity, seed, sizeof identity);
    *e = (struct end){.frames = 0};
    trust_ephemeral(&e->trust, &s, identity, 1);
    EXPECT(pthread_mutex_init(&e->lock, NULL) == 0);
    EXPECT(pthread_cond_init(&e->changed, NULL) == 0);
    EXPECT_EQ(nearby_open(&e->nearby, &e->trust, on_frame, on_down, e), SH_OK);
    EXPECT_EQ(nearby_start(e->nearby), SH_OK);
}

static void end_close(struct end *e)
{
    nearby_stop(e->nearby);
    nearby_close(e->nearby);
    free(e->bytes);
    EXPECT(pthread_cond_destroy(&e->changed) == 0);
    EXPECT(pthread_mutex_destroy(&e->lock) == 0);
}

/* Until *count reaches wanted. */
static void end_await(struct end *e, const uint32_t *count, uint32_t wanted)
{
    struct timespec until;
    EXPECT(clock_gettime(CLOCK_REALTIME, &until) == 0);
    until.tv_sec += WAIT_S;
    EXPECT(pthread_mutex_lock(&e->lock) == 0);
    while (*count < wanted) {
        EXPECT(pthread_cond_timedwait(&e->changed, &e->lock, &until) == 0);
    }
    EXPECT(pthread_mutex_unlock(&e->lock) == 0);
}

static struct sh_span text(const char *t)
{
    return (struct sh_span){.at = (const uint8_t *)t, .size = strlen(t)};
}

/* Sends until the greeting is through; at most one frame arrives. */
static bool reach(struct end *from, const struct end *to, const char *head, const char *body)
{
    uint64_t until = sh_now_us() + WAIT_S * UINT64_C(1000000);
    bool sent = false;
    while (!sent && sh_now_us() < until) {
        sent = nearby_send(from->nearby, to->trust.node, 81, text(head), text(body));
    }
    return sent;
}

TEST(frames_pass_between_two_agents_of_one_cluster)
{
    struct end a;
    struct end b;
    end_open(&a, 1, 10);
    end_open(&b, 1, 20);
    EXPECT(!nearby_send(a.nearby, b.trust.node, 81, text("first"), text("")));
    EXPECT(reach(&a, &b, "head", "body"));
    end_await(&b, &b.frames, 1);
    EXPECT_EQ(b.type, 81);
    EXPECT_EQ(b.size, 8);
    EXPECT_MEM(b.bytes, "headbody", 8);
    EXPECT_MEM(b.from, a.trust.node, SH_NODE_ID_BYTES);
    EXPECT(reach(&b, &a, "", "back"));
    end_await(&a, &a.frames, 1);
    EXPECT_MEM(a.bytes, "back", 4);
    end_close(&a);
    end_close(&b);
}

TEST(the_largest_frame_passes_whole)
{
    struct end a;
    struct end b;
    uint8_t *bytes = malloc(NEARBY_FRAME_MAX);
    EXPECT(bytes != NULL);
    for (uint32_t i = 0; i < NEARBY_FRAME_MAX; i++) {
        bytes[i] = (uint8_t)(i * 7 + i / 251);
    }
    end_open(&a, 1, 10);
    end_open(&b, 1, 20);
    EXPECT(reach(&a, &b, "", "x"));
    end_await(&b, &b.frames, 1);
    struct sh_span head = {.at = bytes, .size = 100};
    struct sh_span body = {.at = bytes + 100, .size = NEARBY_FRAME_MAX - 100};
    EXPECT(nearby_send(a.nearby, b.trust.node, 82, head, body));
    end_await(&b, &b.frames, 2);
    EXPECT_EQ(b.size, NEARBY_FRAME_MAX);
    EXPECT_MEM(b.bytes, bytes, NEARBY_FRAME_MAX);
    end_close(&a);
    end_close(&b);
    free(bytes);
}

TEST(an_agent_of_another_cluster_is_not_talked_to)
{
    struct end a;
    struct end b;
    struct end c;
    end_open(&a, 1, 10);
    end_open(&b, 2, 20); /* another secret */
    end_open(&c, 1, 30);
    EXPECT(!nearby_send(a.nearby, b.trust.node, 81, text("no"), text("")));
    EXPECT(reach(&a, &c, "", "yes"));
    end_await(&c, &c.frames, 1);
    EXPECT(!nearby_send(a.nearby, b.trust.node, 81, text("no"), text("")));
    end_close(&a);
    end_close(&b);
    EXPECT_EQ(b.frames, 0);
    end_close(&c);
}

TEST(who_is_not_there_is_left_to_the_network)
{
    struct end a;
    struct end b;
    uint8_t nobody[SH_NODE_ID_BYTES] = {9};
    end_open(&a, 1, 10);
    end_open(&b, 1, 20);
    EXPECT(!nearby_send(a.nearby, nobody, 81, text("x"), text("")));
    EXPECT(reach(&a, &b, "", "x")); /* by then it has looked for nobody too */
    EXPECT(!nearby_send(a.nearby, nobody, 81, text("x"), text("")));
    end_close(&a);
    end_close(&b);
}

TEST(a_full_socket_sends_nothing_and_recovers)
{
    static uint8_t bytes[200000];
    struct end a;
    struct end b;
    end_open(&a, 1, 10);
    end_open(&b, 1, 20);
    EXPECT(reach(&a, &b, "", "x"));
    end_await(&b, &b.frames, 1);
    EXPECT(pthread_mutex_lock(&b.lock) == 0);
    b.slow = true;
    EXPECT(pthread_mutex_unlock(&b.lock) == 0);
    struct sh_span body = {.at = bytes, .size = sizeof bytes};
    uint32_t sent = 0;
    while (nearby_send(a.nearby, b.trust.node, 81, (struct sh_span){0}, body)) {
        sent++;
        EXPECT(sent < 1000);
    }
    EXPECT(pthread_mutex_lock(&b.lock) == 0);
    b.slow = false;
    EXPECT(pthread_cond_broadcast(&b.changed) == 0);
    EXPECT(pthread_mutex_unlock(&b.lock) == 0);
    end_await(&b, &b.frames, 1 + sent);
    EXPECT(reach(&a, &b, "", "again"));
    end_await(&b, &b.frames, 2 + sent);
    end_close(&a);
    end_close(&b);
}

TEST(a_peer_that_dies_is_reported_and_found_again_when_it_is_back)
{
    struct end a;
    struct end b;
    end_open(&a, 1, 10);
    end_open(&b, 1, 20);
    EXPECT(reach(&a, &b, "", "x"));
    EXPECT(reach(&b, &a, "", "x"));
    end_await(&a, &a.frames, 1);
    end_close(&b);
    end_await(&a, &a.downs, 1);
    EXPECT_MEM(a.from, b.trust.node, SH_NODE_ID_BYTES);
    end_open(&b, 1, 20);
    EXPECT(reach(&a, &b, "", "hello again"));
    end_await(&b, &b.frames, 1);
    end_close(&a);
    end_close(&b);
}

TEST(a_second_agent_with_the_same_identity_gets_no_socket)
{
    struct end a;
    struct nearby *second = NULL;
    end_open(&a, 1, 10);
    EXPECT_EQ(nearby_open(&second, &a.trust, on_frame, on_down, &a), SH_ERR_IN_USE);
    EXPECT(second == NULL);
    end_close(&a);
}

static int dial_raw(const struct end *to)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    char hex[2 * SH_NODE_ID_BYTES + 1];
    sh_hex(hex, to->trust.node, SH_NODE_ID_BYTES);
    int used = snprintf(addr.sun_path + 1, sizeof addr.sun_path - 1, "shoal/%s", hex);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    EXPECT(fd >= 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)used);
    EXPECT(connect(fd, (const struct sockaddr *)&addr, size) == 0);
    return fd;
}

/* What a stranger may say, and what the listener must do: hang up. */
static void expect_hang_up(const struct end *e, const void *bytes, size_t size)
{
    uint8_t answer[512];
    int fd = dial_raw(e);
    EXPECT(send(fd, bytes, size, MSG_NOSIGNAL) == (ssize_t)size);
    ssize_t got = recv(fd, answer, sizeof answer, 0);
    if (got > 0) { /* greeted: now the proof is due */
        EXPECT(send(fd, bytes, size, MSG_NOSIGNAL) == (ssize_t)size);
        got = recv(fd, answer, sizeof answer, 0);
    }
    EXPECT(got == 0 || (got < 0 && errno == ECONNRESET));
    EXPECT(close(fd) == 0);
}

TEST(a_stranger_on_this_machine_is_hung_up_on)
{
    struct end a;
    struct trust other;
    struct trust_secret secret;
    uint8_t seed[TRUST_KEY_BYTES] = {3};
    uint8_t first[100];
    end_open(&a, 1, 10);
    memset(&secret, 1, sizeof secret);
    trust_ephemeral(&other, &secret, seed, 1);
    struct sh_writer w = sh_writer_over(first, sizeof first);
    sh_put_bytes(&w, "SHN1", 4);
    sh_put_bytes(&w, a.trust.cluster, SH_CLUSTER_ID_BYTES);
    sh_put_bytes(&w, other.node, SH_NODE_ID_BYTES);
    sh_put_bytes(&w, other.sign_public, TRUST_KEY_BYTES);
    sh_put_bytes(&w, first, 32);
    EXPECT_EQ(w.used, sizeof first);
    expect_hang_up(&a, "x", 1);
    expect_hang_up(&a, first, sizeof first);     /* a right greeting, no proof */
    expect_hang_up(&a, first, sizeof first - 1); /* cut */
    first[25]++;
    expect_hang_up(&a, first, sizeof first); /* an id that is not that of the key */
    EXPECT_EQ(a.frames, 0);
    end_close(&a);
}

static uint64_t processor_us(void)
{
    struct timespec used;
    EXPECT(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) == 0);
    return (uint64_t)used.tv_sec * 1000000u + (uint64_t)used.tv_nsec / 1000u;
}

TEST(without_descriptors_a_caller_waits_and_nobody_spins)
{
    struct end a;
    struct rlimit limit;
    end_open(&a, 1, 10);
    EXPECT(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    rlim_t before = limit.rlim_cur;
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    char hex[2 * SH_NODE_ID_BYTES + 1];
    sh_hex(hex, a.trust.node, SH_NODE_ID_BYTES);
    int used = snprintf(addr.sun_path + 1, sizeof addr.sun_path - 1, "shoal/%s", hex);
    struct pollfd caller = {.fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0),
                            .events = POLLIN};
    EXPECT(caller.fd >= 0);
    limit.rlim_cur = (rlim_t)caller.fd + 1;
    EXPECT(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)used);
    EXPECT(connect(caller.fd, (const struct sockaddr *)&addr, size) == 0);
    EXPECT(send(caller.fd, "x", 1, MSG_NOSIGNAL) == 1);
    uint64_t start = processor_us();
    EXPECT_EQ(poll(&caller, 1, 2000), 0); /* not accepted, so not hung up on either */
    EXPECT(processor_us() - start < 200000);
    limit.rlim_cur = before;
    EXPECT(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    EXPECT_EQ(poll(&caller, 1, WAIT_S * 1000), 1);
    EXPECT(close(caller.fd) == 0);
    end_close(&a);
}

static uint32_t open_descriptors(void)
{
    uint32_t count = 0;
    DIR *dir = opendir("/proc/self/fd");
    EXPECT(dir != NULL);
    while (readdir(dir) != NULL) {
        count++;
    }
    EXPECT(closedir(dir) == 0);
    return count;
}

TEST(a_descriptor_comes_with_its_frame_and_is_closed_after_it)
{
    struct end a;
    struct end b;
    struct stat file;
    int fd = memfd_create("some", MFD_CLOEXEC);
    EXPECT(fd >= 0 && fstat(fd, &file) == 0);
    end_open(&a, 1, 10);
    end_open(&b, 1, 20);
    EXPECT(!nearby_hand(a.nearby, b.trust.node, 84, text("too early"), fd));
    EXPECT(reach(&a, &b, "", "x"));
    end_await(&b, &b.frames, 1);
    EXPECT(!b.handed);
    uint32_t before = open_descriptors();
    for (uint32_t i = 2; i < 100; i++) {
        EXPECT(nearby_hand(a.nearby, b.trust.node, 84, text("look"), fd));
        end_await(&b, &b.frames, i);
        EXPECT_EQ(b.type, 84);
        EXPECT_MEM(b.bytes, "look", 4);
        EXPECT(b.handed && b.file.st_ino == file.st_ino && b.file.st_dev == file.st_dev);
    }
    EXPECT(reach(&a, &b, "", "without"));
    end_await(&b, &b.frames, 100);
    EXPECT(!b.handed);
    EXPECT_EQ(open_descriptors(), before);
    end_close(&a);
    end_close(&b);
    EXPECT(close(fd) == 0);
}

TEST(descriptors_that_nobody_asked_for_are_closed)
{
    enum { MANY = 200 };
    struct end a;
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(MANY * sizeof(int))];
    } control = {.bytes = {0}};
    struct iovec part = {.iov_base = (void *)(uintptr_t) "x", .iov_len = 1};
    end_open(&a, 1, 10);
    uint32_t before = open_descriptors();
    for (int count = 1; count <= MANY; count += count < 4 ? 1 : 98) {
        int fds[MANY];
        uint8_t answer[512];
        int fd = dial_raw(&a);
        for (int i = 0; i < count; i++) {
            fds[i] = fd;
        }
        struct msghdr message = {.msg_iov = &part,
                                 .msg_iovlen = 1,
                                 .msg_control = control.bytes,
                                 .msg_controllen = CMSG_SPACE((size_t)count * sizeof(int))};
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        EXPECT(c != NULL);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
        memcpy(CMSG_DATA(c), fds, (size_t)count * sizeof(int));
        EXPECT_EQ(sendmsg(fd, &message, MSG_NOSIGNAL), 1);
        ssize_t got = recv(fd, answer, sizeof answer, 0);
        EXPECT(got == 0 || (got < 0 && errno == ECONNRESET));
        EXPECT(close(fd) == 0);
    }
    EXPECT_EQ(open_descriptors(), before);
    EXPECT_EQ(a.frames, 0);
    end_close(&a);
}
