/* SPDX-License-Identifier: Apache-2.0 */
#include "link/gossip.h"

#include "base/host/host.h"
#include "trust/datagram.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/errqueue.h> /* needs struct timespec */

#define DATAGRAM_MAX  (LINK_GOSSIP_BYTES_MAX + TRUST_DATAGRAM_OVERHEAD)
#define DENIED_US     1000000u /* between two LINK_GOSSIP_DENIED */
#define DROPS_MAX     64u      /* datagrams dropped in one link_gossip_next */
#define SOCKET_BUFFER 1048576  /* bytes asked of the kernel, each way */

struct link_gossip {
    int fd;
    bool v6;
    const struct trust *trust;
    struct link_addr listen;
    struct trust_sealer sealer;
    struct trust_replay replay;
    uint64_t denied_us;
    struct link_gossip_stats stats;
    uint8_t payload[DATAGRAM_MAX + 1];
};

static enum sh_err fail(char why[static LINK_TEXT_MAX + 1], const struct link_addr *addr,
                        int number)
{
    char name[SH_ADDR_MAX + 1];
    char text[128];
    enum sh_err err = sh_err_from_errno(number);
    link_addr_format(addr, name);
    (void)snprintf(why, LINK_TEXT_MAX + 1, "gossip plane: cannot listen on %s (udp): %s", name,
                   err == SH_ERR_IN_USE ? "the port is in use by another process"
                                        : strerror_r(number, text, sizeof text));
    return err != SH_OK ? err : SH_ERR_IO;
}

static bool set(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

/* Both address families: an IPv6 socket also carries IPv4. Larger buffers are a wish. */
static bool set_options(const struct link_gossip *g)
{
    (void)set(g->fd, SOL_SOCKET, SO_RCVBUF, SOCKET_BUFFER);
    (void)set(g->fd, SOL_SOCKET, SO_SNDBUF, SOCKET_BUFFER);
    bool ok = set(g->fd, IPPROTO_IP, IP_RECVERR, 1);
    if (g->v6) {
        ok = ok && set(g->fd, IPPROTO_IPV6, IPV6_V6ONLY, 0) &&
             set(g->fd, IPPROTO_IPV6, IPV6_RECVERR, 1);
    }
    return ok;
}

static bool bind_to(struct link_gossip *g)
{
    struct sockaddr_storage storage;
    socklen_t size = link_addr_to_sockaddr(&g->listen, g->v6, &storage);
    if (bind(g->fd, (const struct sockaddr *)&storage, size) != 0) {
        return false;
    }
    size = sizeof storage;
    struct link_addr bound;
    if (getsockname(g->fd, (struct sockaddr *)&storage, &size) != 0 ||
        !link_addr_from_sockaddr(&storage, &bound)) {
        return false;
    }
    g->listen.port = bound.port;
    return true;
}

enum sh_err link_gossip_open(const struct link_gossip_options *options, struct link_gossip **out,
                             char why[static LINK_TEXT_MAX + 1])
{
    struct link_gossip *g = calloc(1, sizeof *g);
    *out = NULL;
    if (g == NULL) {
        return fail(why, &options->listen, ENOMEM);
    }
    g->trust = options->trust;
    g->listen = options->listen;
    g->v6 = !link_addr_is_v4(&g->listen);
    g->sealer = trust_sealer_new();
    g->replay.capacity = SH_NODES_MAX;
    g->replay.windows = calloc(SH_NODES_MAX, sizeof *g->replay.windows);
    g->fd = socket(g->v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (g->replay.windows == NULL || g->fd < 0 || !set_options(g) || !bind_to(g)) {
        enum sh_err err = fail(why, &g->listen, errno);
        link_gossip_close(g);
        return err;
    }
    why[0] = '\0';
    *out = g;
    return SH_OK;
}

void link_gossip_close(struct link_gossip *gossip)
{
    if (gossip == NULL) {
        return;
    }
    if (gossip->fd >= 0) {
        (void)close(gossip->fd); /* datagrams: nothing to lose */
    }
    free(gossip->replay.windows);
    free(gossip);
}

int link_gossip_fd(const struct link_gossip *gossip)
{
    return gossip->fd;
}

struct link_addr link_gossip_addr(const struct link_gossip *gossip)
{
    return gossip->listen;
}

static enum sh_err send_err(int number)
{
    switch (number) {
    case EAGAIN:
    case ENOBUFS:
        return SH_ERR_FULL;
    case EMSGSIZE:
        return SH_ERR_LIMIT;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EINVAL: /* such as a global address from a socket bound to loopback */
        return SH_ERR_UNREACHABLE;
    default:
        return sh_err_from_errno(number);
    }
}

enum sh_err link_gossip_send(struct link_gossip *gossip, const struct link_addr *to,
                             struct sh_span payload)
{
    uint8_t sealed[DATAGRAM_MAX];
    struct sockaddr_storage storage;
    if (payload.size > LINK_GOSSIP_BYTES_MAX) {
        return SH_ERR_LIMIT;
    }
    if (!gossip->v6 && !link_addr_is_v4(to)) {
        return SH_ERR_UNREACHABLE;
    }
    size_t size = trust_seal(gossip->trust, &gossip->sealer, payload, sealed, sizeof sealed);
    socklen_t width = link_addr_to_sockaddr(to, gossip->v6, &storage);
    ssize_t sent = -1;
    /* The first call may answer with an error that an earlier datagram caused (ICMP). */
    for (unsigned attempt = 0; attempt < 2 && sent < 0; attempt++) {
        sent = sendto(gossip->fd, sealed, size, MSG_DONTWAIT | MSG_NOSIGNAL,
                      (const struct sockaddr *)&storage, width);
    }
    if (sent < 0) {
        enum sh_err err = send_err(errno);
        gossip->stats.full += err == SH_ERR_FULL ? 1 : 0;
        return err;
    }
    gossip->stats.sent++;
    gossip->stats.sent_bytes += size;
    return SH_OK;
}

/* True: out says whose port was closed. */
static bool read_icmp(struct link_gossip *g, struct link_gossip_event *out)
{
    struct sockaddr_storage storage = {0};
    _Alignas(struct cmsghdr) uint8_t control[512];
    uint8_t data[1];
    struct iovec iov = {.iov_base = data, .iov_len = sizeof data};
    struct msghdr message = {.msg_name = &storage,
                             .msg_namelen = sizeof storage,
                             .msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};
    while (recvmsg(g->fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) >= 0) {
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c != NULL; c = CMSG_NXTHDR(&message, c)) {
            struct sock_extended_err error;
            bool ours = (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) ||
                        (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR);
            memcpy(&error, CMSG_DATA(c), ours ? sizeof error : 0);
            if (ours && error.ee_errno == ECONNREFUSED &&
                link_addr_from_sockaddr(&storage, &out->from)) {
                out->kind = LINK_GOSSIP_CLOSED;
                return true;
            }
        }
        message.msg_namelen = sizeof storage;
        message.msg_controllen = sizeof control;
    }
    return false;
}

/* True: out is to be given to the owner. */
static bool take(struct link_gossip *g, const uint8_t *bytes, size_t size, uint64_t now_us,
                 struct link_gossip_event *out)
{
    struct trust_sender sender;
    size_t payload_size = 0;
    g->stats.received++;
    g->stats.received_bytes += size;
    enum sh_err err =
        trust_unseal(g->trust, &g->replay, (struct sh_span){.at = bytes, .size = size}, &sender,
                     g->payload, sizeof g->payload, &payload_size);
    if (err == SH_OK) {
        out->kind = LINK_GOSSIP_DATA;
        memcpy(out->node, sender.node, sizeof out->node);
        out->boot_epoch = sender.boot_epoch;
        out->bytes = (struct sh_span){.at = g->payload, .size = payload_size};
        return true;
    }
    if (err == SH_ERR_DENIED) {
        bool first = g->stats.denied++ == 0;
        if (first || now_us >= g->denied_us + DENIED_US) {
            g->denied_us = now_us;
            out->kind = LINK_GOSSIP_DENIED;
            return true;
        }
    } else if (err == SH_ERR_STALE) {
        g->stats.stale++;
    } else {
        g->stats.malformed++;
    }
    return false;
}

bool link_gossip_next(struct link_gossip *gossip, uint64_t now_us, struct link_gossip_event *out)
{
    uint8_t bytes[DATAGRAM_MAX + 1];
    for (unsigned drops = 0; drops < DROPS_MAX; drops++) {
        struct sockaddr_storage storage = {0};
        socklen_t width = sizeof storage;
        ssize_t size = recvfrom(gossip->fd, bytes, sizeof bytes, MSG_DONTWAIT,
                                (struct sockaddr *)&storage, &width);
        *out = (struct link_gossip_event){0};
        bool empty = size < 0 && errno == EAGAIN;
        if (size < 0) {
            if (read_icmp(gossip, out)) {
                return true;
            }
            if (empty) {
                return false;
            }
        } else if (link_addr_from_sockaddr(&storage, &out->from) &&
                   take(gossip, bytes, (size_t)size, now_us, out)) {
            return true;
        }
    }
    return false;
}

struct link_gossip_stats link_gossip_counts(const struct link_gossip *gossip)
{
    return gossip->stats;
}
