/* SPDX-License-Identifier: Apache-2.0 */
#include "api/address.h"

#include "base/host/host.h"
#include "base/limits.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 64

struct host_port {
    char host[SH_ADDR_MAX + 1];
    char port[8];
};

static bool split(const char *address, struct host_port *out)
{
    const char *colon = strrchr(address, ':');
    if (colon == NULL || strlen(colon + 1) == 0 || strlen(colon + 1) > 5 ||
        strspn(colon + 1, "0123456789") != strlen(colon + 1)) {
        return false;
    }
    size_t n = (size_t)(colon - address);
    if (n >= 2 && address[0] == '[' && address[n - 1] == ']') {
        address++;
        n -= 2;
    }
    if (n == 0 || n > SH_ADDR_MAX) {
        return false;
    }
    memcpy(out->host, address, n);
    out->host[n] = '\0';
    (void)snprintf(out->port, sizeof out->port, "%s", colon + 1);
    return true;
}

static bool is_loopback(const struct sockaddr *at)
{
    if (at->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)at;
        return ntohl(in->sin_addr.s_addr) >> 24 == 127;
    }
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)at;
    return at->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage at;
    socklen_t size = sizeof at;
    if (getsockname(fd, (struct sockaddr *)(void *)&at, &size) != 0) {
        return 0;
    }
    if (at.ss_family == AF_INET) {
        return ntohs(((const struct sockaddr_in *)(const void *)&at)->sin_port);
    }
    return ntohs(((const struct sockaddr_in6 *)(const void *)&at)->sin6_port);
}

static enum sh_err bind_one(const struct addrinfo *at, int *fd)
{
    int s = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s < 0) {
        return sh_err_from_errno(errno);
    }
    int one = 1;
    if (setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        bind(s, at->ai_addr, at->ai_addrlen) != 0 || listen(s, BACKLOG) != 0) {
        enum sh_err err = sh_err_from_errno(errno);
        (void)close(s); /* nothing was sent */
        return err;
    }
    *fd = s;
    return SH_OK;
}

enum sh_err api_listen(const char *address, int *fd, uint16_t *port, bool *loopback, char *why,
                       size_t why_size)
{
    struct host_port to;
    struct addrinfo *found = NULL;
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    if (!split(address, &to)) {
        (void)snprintf(why, why_size, "api %s: must be HOST:PORT", address);
        return SH_ERR_INVALID;
    }
    int failed = getaddrinfo(to.host, to.port, &hints, &found);
    if (failed != 0) {
        (void)snprintf(why, why_size, "api %s: %s", address, gai_strerror(failed));
        return SH_ERR_INVALID;
    }
    enum sh_err err = bind_one(found, fd);
    *loopback = is_loopback(found->ai_addr);
    freeaddrinfo(found);
    if (err != SH_OK) {
        (void)snprintf(why, why_size, "api %s: %s", address, sh_err_text(err));
        return err;
    }
    *port = port_of(*fd);
    return SH_OK;
}

bool api_host_is_plain(const char *host)
{
    if (host == NULL) {
        return true; /* HTTP/1.0, no browser */
    }
    char name[SH_ADDR_MAX + 1];
    bool bracket = host[0] == '[';
    size_t n = strcspn(bracket ? host + 1 : host, bracket ? "]" : ":");
    if (n > SH_ADDR_MAX) {
        return false;
    }
    memcpy(name, bracket ? host + 1 : host, n);
    name[n] = '\0';
    uint8_t bytes[16];
    return strcmp(name, "localhost") == 0 || inet_pton(AF_INET, name, bytes) == 1 ||
           inet_pton(AF_INET6, name, bytes) == 1;
}

bool api_origin_is_host(const char *origin, const char *host)
{
    if (origin == NULL) {
        return true;
    }
    const char *after = strstr(origin, "://");
    return after != NULL && host != NULL && strcmp(after + 3, host) == 0;
}
