/* SPDX-License-Identifier: Apache-2.0 */
#include "nearby.h"

#include "base/host/host.h"
#include "trust/trust.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    NONCE_BYTES = 32,
    FIRST_BYTES = 4 + SH_CLUSTER_ID_BYTES + SH_NODE_ID_BYTES + TRUST_KEY_BYTES + NONCE_BYTES,
    SECOND_CLAIM = 4 + SH_NODE_ID_BYTES + TRUST_KEY_BYTES + NONCE_BYTES,
    PROOF_BYTES = TRUST_MAC_BYTES + TRUST_SIGNATURE_BYTES,
    SECOND_BYTES = SECOND_CLAIM + PROOF_BYTES,
    THIRD_BYTES = 4 + PROOF_BYTES,
    FRAME_HEAD = 4,
    EVENTS_A_TURN = 32,
    FRAMES_A_TURN = 8, /* of one connection, before the others are looked at */
    IDLE_MS = 60000,
    PAUSE_MS = 500 /* between two looks at greetings under way, and without accepting anybody */
};

enum stage { FREE, WANTED, GREETED, UP, ABSENT };

/* To a peer: what we send. */
struct outward {
    enum stage stage;
    uint8_t node[SH_NODE_ID_BYTES];
    int fd;
    uint64_t until_us; /* GREETED: answer due; ABSENT: when to try again */
    uint8_t first[FIRST_BYTES];
};

/* From a peer: what we receive. */
struct inward {
    enum stage stage; /* FREE, WANTED: nothing said yet, GREETED: we answered, UP */
    uint8_t node[SH_NODE_ID_BYTES];
    uint8_t key[TRUST_KEY_BYTES];
    int fd;
    uint64_t until_us;
    uint8_t spoken[FIRST_BYTES + SECOND_BYTES];
};

struct nearby {
    const struct trust *trust;
    nearby_frame_fn frame;
    nearby_down_fn down;
    void *ctx;
    int listener;
    int epoll;
    int wake;
    pthread_t thread;
    bool running;
    atomic_bool stopping;
    uint64_t deaf_until_us; /* the thread's: nobody is accepted before; 0: everybody is */
    struct inward inward[NEARBY_PEERS_MAX]; /* the thread's */
    uint8_t *buffer;                        /* the thread's; FRAME_HEAD + NEARBY_FRAME_MAX */
    pthread_mutex_t lock;                   /* outward */
    struct outward outward[NEARBY_PEERS_MAX];
};

static void lock(struct nearby *n)
{
    SH_CHECK(pthread_mutex_lock(&n->lock) == 0);
}

static void unlock(struct nearby *n)
{
    SH_CHECK(pthread_mutex_unlock(&n->lock) == 0);
}

/* ---- sockets ---- */

/* In the abstract name space: nothing to clean up, gone with its process. */
static socklen_t name_of(const uint8_t node[SH_NODE_ID_BYTES], struct sockaddr_un *addr)
{
    char hex[2 * SH_NODE_ID_BYTES + 1];
    *addr = (struct sockaddr_un){.sun_family = AF_UNIX};
    sh_hex(hex, node, SH_NODE_ID_BYTES);
    int used = snprintf(addr->sun_path + 1, sizeof addr->sun_path - 1, "shoal/%s", hex);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)used);
}

/* False: the system has no room for another watch. */
static bool watch(struct nearby *n, int fd, uint64_t tag)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = tag};
    return epoll_ctl(n->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* Whether connections to the listener wake the thread. */
static void listen_again(struct nearby *n, bool again)
{
    struct epoll_event event = {.events = again ? EPOLLIN : 0,
                                .data.u64 = UINT64_C(2) * NEARBY_PEERS_MAX};
    SH_CHECK(epoll_ctl(n->epoll, EPOLL_CTL_MOD, n->listener, &event) == 0);
    n->deaf_until_us = again ? 0 : sh_now_us() + PAUSE_MS * UINT64_C(1000);
}

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        /* A local socket holds nothing that closing could lose. */
        SH_MAY_FAIL(close(*fd) == 0);
        *fd = -1;
    }
}

static bool send_all(int fd, const void *bytes, size_t size)
{
    return send(fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)size;
}

/* ---- proofs ---- */

static void put_claim(const struct nearby *n, struct sh_writer *w)
{
    uint8_t nonce[NONCE_BYTES];
    sh_random_bytes(nonce, sizeof nonce);
    sh_put_bytes(w, n->trust->node, SH_NODE_ID_BYTES);
    sh_put_bytes(w, n->trust->sign_public, TRUST_KEY_BYTES);
    sh_put_bytes(w, nonce, sizeof nonce);
}

/* Proves everything written so far in this exchange. */
static void put_proof(const struct nearby *n, struct sh_span spoken, struct sh_writer *w)
{
    uint8_t mac[TRUST_MAC_BYTES];
    uint8_t signature[TRUST_SIGNATURE_BYTES];
    trust_hello_mac(n->trust, spoken, mac);
    trust_sign(n->trust, spoken, signature);
    sh_put_bytes(w, mac, sizeof mac);
    sh_put_bytes(w, signature, sizeof signature);
}

static bool check_proof(const struct nearby *n, struct sh_span spoken, const uint8_t *proof,
                        const uint8_t key[TRUST_KEY_BYTES])
{
    return trust_hello_check(n->trust, spoken, proof) == SH_OK &&
           trust_verify(key, spoken, proof + TRUST_MAC_BYTES) == SH_OK;
}

static bool owns_id(const uint8_t key[TRUST_KEY_BYTES], const uint8_t node[SH_NODE_ID_BYTES])
{
    uint8_t id[SH_NODE_ID_BYTES];
    trust_node_id(key, id);
    return memcmp(id, node, sizeof id) == 0;
}

/* ---- dialling ---- */

static void drop_outward(struct outward *o)
{
    close_fd(&o->fd);
    o->stage = ABSENT;
    o->until_us = sh_now_us() + NEARBY_RETRY_US;
}

/* With the lock. */
static void dial(struct nearby *n, struct outward *o, uint64_t tag)
{
    struct sockaddr_un addr;
    socklen_t size = name_of(o->node, &addr);
    struct sh_writer w = sh_writer_over(o->first, sizeof o->first);
    sh_put_bytes(&w, "SHN1", 4);
    sh_put_bytes(&w, n->trust->cluster, SH_CLUSTER_ID_BYTES);
    put_claim(n, &w);
    SH_CHECK_CMP(w.used, ==, FIRST_BYTES);
    o->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (o->fd < 0 || connect(o->fd, (const struct sockaddr *)&addr, size) != 0 ||
        !send_all(o->fd, o->first, sizeof o->first)) {
        drop_outward(o);
        return;
    }
    /* Room for two whole frames, as far as the system allows. */
    int bytes = 2 * (int)NEARBY_FRAME_MAX;
    SH_MAY_FAIL(setsockopt(o->fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes) == 0);
    o->stage = GREETED;
    o->until_us = sh_now_us() + NEARBY_HANDSHAKE_US;
    if (!watch(n, o->fd, tag)) {
        drop_outward(o);
    }
}

static bool finish_dial(struct nearby *n, struct outward *o, const uint8_t *bytes, ssize_t size)
{
    uint8_t spoken[FIRST_BYTES + SECOND_BYTES];
    uint8_t third[THIRD_BYTES];
    const uint8_t *node = bytes + 4;
    const uint8_t *key = node + SH_NODE_ID_BYTES;
    if (size != SECOND_BYTES || memcmp(bytes, "SHN2", 4) != 0 ||
        memcmp(node, o->node, SH_NODE_ID_BYTES) != 0 || !owns_id(key, node)) {
        return false;
    }
    memcpy(spoken, o->first, FIRST_BYTES);
    memcpy(spoken + FIRST_BYTES, bytes, SECOND_BYTES);
    struct sh_span claimed = {.at = spoken, .size = FIRST_BYTES + SECOND_CLAIM};
    if (!check_proof(n, claimed, bytes + SECOND_CLAIM, key)) {
        return false;
    }
    struct sh_writer w = sh_writer_over(third, sizeof third);
    sh_put_bytes(&w, "SHN3", 4);
    put_proof(n, (struct sh_span){.at = spoken, .size = sizeof spoken}, &w);
    return send_all(o->fd, third, sizeof third);
}

/* The listener says one thing, and then nothing until it is gone. */
static void hear_outward(struct nearby *n, struct outward *o)
{
    uint8_t bytes[SECOND_BYTES + 1];
    lock(n);
    if (o->stage != GREETED && o->stage != UP) {
        unlock(n);
        return;
    }
    ssize_t size = recv(o->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
        unlock(n);
        return;
    }
    if (o->stage == GREETED && size > 0 && finish_dial(n, o, bytes, size)) {
        o->stage = UP;
    } else {
        drop_outward(o);
    }
    unlock(n);
}

/* ---- listening ---- */

static void drop_inward(struct inward *in)
{
    close_fd(&in->fd);
    in->stage = FREE;
}

static void accept_one(struct nearby *n)
{
    int fd = accept4(n->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        bool gone = errno == EAGAIN || errno == EINTR || errno == ECONNABORTED;
        if (!gone) {
            listen_again(n, false); /* out of descriptors: it would wake us until there are some */
        }
        return;
    }
    for (uint64_t i = 0; i < NEARBY_PEERS_MAX; i++) {
        struct inward *in = &n->inward[i];
        if (in->stage == FREE) {
            *in = (struct inward){
                .stage = WANTED, .fd = fd, .until_us = sh_now_us() + NEARBY_HANDSHAKE_US};
            if (!watch(n, fd, NEARBY_PEERS_MAX + i)) {
                drop_inward(in);
            }
            return;
        }
    }
    close_fd(&fd);
}

static bool greet(struct nearby *n, struct inward *in, const uint8_t *bytes, size_t size)
{
    struct sh_reader r = sh_reader_over(bytes, size);
    uint8_t magic[4];
    uint8_t cluster[SH_CLUSTER_ID_BYTES];
    sh_get_bytes(&r, magic, sizeof magic);
    sh_get_bytes(&r, cluster, sizeof cluster);
    sh_get_bytes(&r, in->node, sizeof in->node);
    sh_get_bytes(&r, in->key, sizeof in->key);
    if (size != FIRST_BYTES || memcmp(magic, "SHN1", 4) != 0 ||
        memcmp(cluster, n->trust->cluster, sizeof cluster) != 0 || !owns_id(in->key, in->node)) {
        return false;
    }
    memcpy(in->spoken, bytes, FIRST_BYTES);
    struct sh_writer w = sh_writer_over(in->spoken + FIRST_BYTES, SECOND_BYTES);
    sh_put_bytes(&w, "SHN2", 4);
    put_claim(n, &w);
    SH_CHECK_CMP(w.used, ==, SECOND_CLAIM);
    put_proof(n, (struct sh_span){.at = in->spoken, .size = FIRST_BYTES + SECOND_CLAIM}, &w);
    in->stage = GREETED;
    return send_all(in->fd, in->spoken + FIRST_BYTES, SECOND_BYTES);
}

static bool admit(struct nearby *n, struct inward *in, const uint8_t *bytes, size_t size)
{
    struct sh_span spoken = {.at = in->spoken, .size = sizeof in->spoken};
    bool good = size == THIRD_BYTES && memcmp(bytes, "SHN3", 4) == 0 &&
                check_proof(n, spoken, bytes + 4, in->key);
    in->stage = good ? UP : in->stage;
    return good;
}

static bool take_frame(struct nearby *n, const struct inward *in, const uint8_t *bytes, size_t size,
                       int fd)
{
    struct sh_reader r = sh_reader_over(bytes, size);
    uint16_t type = sh_get_u16(&r);
    uint16_t zero = sh_get_u16(&r);
    if (r.bad || zero != 0) {
        return false;
    }
    n->frame(n->ctx, in->node, type,
             (struct sh_span){.at = bytes + FRAME_HEAD, .size = size - FRAME_HEAD}, fd);
    return true;
}

/* The first descriptor in *fd, -1: none; whatever more there is room for is closed. */
static void take_descriptors(struct msghdr *message, int *fd)
{
    *fd = -1;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int got;
            memcpy(&got, CMSG_DATA(c) + i * sizeof got, sizeof got);
            if (*fd < 0) {
                *fd = got;
            } else {
                close_fd(&got);
            }
        }
    }
}

/* What recv would give, and the descriptor that came along, to be closed. */
static ssize_t receive(const struct inward *in, uint8_t *buffer, size_t size, int *fd)
{
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {.iov_base = buffer, .iov_len = size};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    ssize_t got = recvmsg(in->fd, &message, MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC);
    *fd = -1;
    if (got >= 0) {
        take_descriptors(&message, fd);
    }
    return got;
}

static void hear_inward(struct nearby *n, struct inward *in)
{
    for (uint32_t i = 0; i < FRAMES_A_TURN && in->stage != FREE; i++) {
        int fd = -1;
        ssize_t got = receive(in, n->buffer, FRAME_HEAD + NEARBY_FRAME_MAX, &fd);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        size_t size = got > 0 ? (size_t)got : 0;
        bool good = size > 0 && size <= FRAME_HEAD + NEARBY_FRAME_MAX;
        if (good && in->stage == WANTED) {
            good = greet(n, in, n->buffer, size);
        } else if (good && in->stage == GREETED) {
            good = admit(n, in, n->buffer, size);
        } else if (good) {
            good = take_frame(n, in, n->buffer, size, fd);
        }
        close_fd(&fd);
        if (!good) {
            bool was_up = in->stage == UP;
            drop_inward(in);
            if (was_up) {
                n->down(n->ctx, in->node);
            }
        }
    }
}

/* ---- the thread ---- */

/* Dials who is wanted; closes what did not get through its greeting in time. True while there is
 * something to look at again soon. */
static bool tend(struct nearby *n)
{
    uint64_t now = sh_now_us();
    if (n->deaf_until_us != 0 && now >= n->deaf_until_us) {
        listen_again(n, true);
    }
    bool greeting = n->deaf_until_us != 0;
    lock(n);
    for (uint64_t i = 0; i < NEARBY_PEERS_MAX; i++) {
        struct outward *o = &n->outward[i];
        if (o->stage == WANTED) {
            dial(n, o, i);
        } else if (o->stage == GREETED && now >= o->until_us) {
            drop_outward(o);
        }
        greeting = greeting || o->stage == GREETED;
    }
    unlock(n);
    for (uint64_t i = 0; i < NEARBY_PEERS_MAX; i++) {
        struct inward *in = &n->inward[i];
        if ((in->stage == WANTED || in->stage == GREETED) && now >= in->until_us) {
            drop_inward(in);
        }
        greeting = greeting || in->stage == WANTED || in->stage == GREETED;
    }
    return greeting;
}

static void take_event(struct nearby *n, uint64_t tag)
{
    uint64_t count;
    if (tag < NEARBY_PEERS_MAX) {
        hear_outward(n, &n->outward[tag]);
    } else if (tag < UINT64_C(2) * NEARBY_PEERS_MAX) {
        hear_inward(n, &n->inward[tag - NEARBY_PEERS_MAX]);
    } else if (tag == UINT64_C(2) * NEARBY_PEERS_MAX) {
        accept_one(n);
    } else {
        SH_MAY_FAIL(read(n->wake, &count, sizeof count) == sizeof count);
    }
}

static void *run(void *arg)
{
    struct nearby *n = arg;
    struct epoll_event events[EVENTS_A_TURN];
    bool greeting = false;
    sh_thread_name("nearby");
    while (!atomic_load(&n->stopping)) {
        int count = epoll_wait(n->epoll, events, EVENTS_A_TURN, greeting ? PAUSE_MS : IDLE_MS);
        SH_CHECK(count >= 0 || errno == EINTR);
        for (int i = 0; i < count; i++) {
            take_event(n, events[i].data.u64);
        }
        greeting = tend(n);
    }
    return NULL;
}

/* ---- life ---- */

static enum sh_err open_sockets(struct nearby *n)
{
    struct sockaddr_un addr;
    socklen_t size = name_of(n->trust->node, &addr);
    n->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    n->epoll = epoll_create1(EPOLL_CLOEXEC);
    n->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (n->listener < 0 || n->epoll < 0 || n->wake < 0 ||
        bind(n->listener, (const struct sockaddr *)&addr, size) != 0 ||
        listen(n->listener, (int)NEARBY_PEERS_MAX) != 0) {
        return sh_err_from_errno(errno);
    }
    return watch(n, n->listener, UINT64_C(2) * NEARBY_PEERS_MAX) &&
                   watch(n, n->wake, UINT64_C(2) * NEARBY_PEERS_MAX + 1)
               ? SH_OK
               : sh_err_from_errno(errno);
}

enum sh_err nearby_open(struct nearby **out, const struct trust *trust, nearby_frame_fn frame,
                        nearby_down_fn down, void *ctx)
{
    struct nearby *n = calloc(1, sizeof *n);
    *out = NULL;
    if (n == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    n->trust = trust;
    n->frame = frame;
    n->down = down;
    n->ctx = ctx;
    for (uint32_t i = 0; i < NEARBY_PEERS_MAX; i++) {
        n->inward[i].fd = -1;
        n->outward[i].fd = -1;
    }
    SH_CHECK(pthread_mutex_init(&n->lock, NULL) == 0);
    n->buffer = malloc(FRAME_HEAD + NEARBY_FRAME_MAX);
    enum sh_err err = open_sockets(n);
    if (err == SH_OK && n->buffer == NULL) {
        err = SH_ERR_NO_MEMORY;
    }
    if (err != SH_OK) {
        nearby_close(n);
        return err;
    }
    *out = n;
    return SH_OK;
}

enum sh_err nearby_start(struct nearby *n)
{
    if (pthread_create(&n->thread, NULL, run, n) != 0) {
        return SH_ERR_NO_MEMORY;
    }
    n->running = true;
    return SH_OK;
}

static void wake_thread(struct nearby *n)
{
    uint64_t one = 1;
    SH_MAY_FAIL(write(n->wake, &one, sizeof one) == sizeof one);
}

void nearby_stop(struct nearby *n)
{
    atomic_store(&n->stopping, true);
    wake_thread(n);
    if (n->running) {
        SH_CHECK(pthread_join(n->thread, NULL) == 0);
        n->running = false;
    }
}

void nearby_close(struct nearby *n)
{
    if (n == NULL) {
        return;
    }
    SH_CHECK(!n->running);
    for (uint32_t i = 0; i < NEARBY_PEERS_MAX; i++) {
        close_fd(&n->inward[i].fd);
        close_fd(&n->outward[i].fd);
    }
    close_fd(&n->listener);
    close_fd(&n->epoll);
    close_fd(&n->wake);
    SH_CHECK(pthread_mutex_destroy(&n->lock) == 0);
    free(n->buffer);
    free(n);
}

/* ---- sending ---- */

/* With the lock; the peer's place, or one for it. NULL: all are taken by others. */
static struct outward *find_outward(struct nearby *n, const uint8_t *node)
{
    struct outward *place = NULL;
    for (uint32_t i = 0; i < NEARBY_PEERS_MAX; i++) {
        struct outward *o = &n->outward[i];
        if (o->stage != FREE && memcmp(o->node, node, SH_NODE_ID_BYTES) == 0) {
            return o;
        }
        bool usable = o->stage == FREE || o->stage == ABSENT;
        bool better =
            place == NULL || (place->stage == ABSENT && o->stage == FREE) ||
            (place->stage == ABSENT && o->stage == ABSENT && o->until_us < place->until_us);
        place = usable && better ? o : place;
    }
    if (place != NULL) {
        *place = (struct outward){.stage = ABSENT, .fd = -1};
        memcpy(place->node, node, SH_NODE_ID_BYTES);
    }
    return place;
}

static void attach(struct msghdr *message, uint8_t *control, size_t size, int fd)
{
    message->msg_control = control;
    message->msg_controllen = size;
    struct cmsghdr *c = CMSG_FIRSTHDR(message);
    SH_CHECK(c != NULL);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
}

static bool put_frame(struct outward *o, uint16_t type, struct sh_span head, struct sh_span body,
                      int fd)
{
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(sizeof(int))];
    } control = {.bytes = {0}};
    uint8_t start[FRAME_HEAD];
    struct sh_writer w = sh_writer_over(start, sizeof start);
    sh_put_u16(&w, type);
    sh_put_u16(&w, 0);
    struct iovec parts[3] = {{.iov_base = start, .iov_len = sizeof start},
                             {.iov_base = (void *)(uintptr_t)head.at, .iov_len = head.size},
                             {.iov_base = (void *)(uintptr_t)body.at, .iov_len = body.size}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 3};
    if (fd >= 0) {
        attach(&message, control.bytes, sizeof control.bytes, fd);
    }
    ssize_t sent = sendmsg(o->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    /* ETOOMANYREFS: of descriptors under way. */
    if (sent < 0 && errno != EAGAIN && errno != EINTR && errno != EMSGSIZE && errno != ENOBUFS &&
        errno != ETOOMANYREFS) {
        drop_outward(o);
    }
    return sent >= 0;
}

static bool send_frame(struct nearby *n, const uint8_t *node, uint16_t type, struct sh_span head,
                       struct sh_span body, int fd)
{
    bool sent = false;
    bool dials = false;
    SH_CHECK_CMP(head.size + body.size, <=, NEARBY_FRAME_MAX);
    lock(n);
    struct outward *o = find_outward(n, node);
    if (o != NULL && o->stage == UP) {
        sent = put_frame(o, type, head, body, fd);
    } else if (o != NULL && o->stage == ABSENT && sh_now_us() >= o->until_us) {
        o->stage = WANTED;
        dials = true;
    }
    unlock(n);
    if (dials) {
        wake_thread(n);
    }
    return sent;
}

bool nearby_send(struct nearby *n, const uint8_t node[SH_NODE_ID_BYTES], uint16_t type,
                 struct sh_span head, struct sh_span body)
{
    return send_frame(n, node, type, head, body, -1);
}

bool nearby_hand(struct nearby *n, const uint8_t node[SH_NODE_ID_BYTES], uint16_t type,
                 struct sh_span head, int fd)
{
    SH_CHECK_CMP(fd, >=, 0);
    return send_frame(n, node, type, head, (struct sh_span){0}, fd);
}
