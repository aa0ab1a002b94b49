/* SPDX-License-Identifier: Apache-2.0 */
#include "link/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const uint8_t v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool link_addr_is_v4(const struct link_addr *addr)
{
    return memcmp(addr->ip, v4_prefix, sizeof v4_prefix) == 0;
}

bool link_addr_is_loopback(const struct link_addr *addr)
{
    static const uint8_t v6[16] = {[15] = 1};
    return link_addr_is_v4(addr) ? addr->ip[12] == 127 : memcmp(addr->ip, v6, sizeof v6) == 0;
}

bool link_addr_is_unspecified(const struct link_addr *addr)
{
    static const uint8_t zero[16] = {0};
    return link_addr_is_v4(addr) ? memcmp(addr->ip + 12, zero, 4) == 0
                                 : memcmp(addr->ip, zero, sizeof zero) == 0;
}

bool link_addr_equal(const struct link_addr *a, const struct link_addr *b)
{
    return a->port == b->port && memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

void link_addr_format(const struct link_addr *addr, char out[static SH_ADDR_MAX + 1])
{
    char ip[INET6_ADDRSTRLEN];
    bool v4 = link_addr_is_v4(addr);
    const void *from = v4 ? addr->ip + 12 : addr->ip;
    SH_CHECK(inet_ntop(v4 ? AF_INET : AF_INET6, from, ip, sizeof ip) != NULL);
    (void)snprintf(out, SH_ADDR_MAX + 1, v4 ? "%s:%u" : "[%s]:%u", ip, (unsigned)addr->port);
}

/* Splits HOST:PORT, [HOST]:PORT or HOST alone. A bare IPv6 address has no port. */
static enum sh_err split(const char *text, uint16_t default_port, char host[static SH_ADDR_MAX + 1],
                         uint16_t *port)
{
    size_t size = strlen(text);
    const char *digits = NULL;
    const char *end = text + size;
    if (size == 0 || size > SH_ADDR_MAX) {
        return SH_ERR_INVALID;
    }
    if (text[0] == '[') {
        end = strchr(text, ']');
        if (end == NULL || (end[1] != '\0' && end[1] != ':')) {
            return SH_ERR_INVALID;
        }
        digits = end[1] == ':' ? end + 2 : NULL;
        text++;
    } else if (strchr(text, ':') != NULL && strchr(text, ':') == strrchr(text, ':')) {
        end = strchr(text, ':');
        digits = end + 1;
    }
    memcpy(host, text, (size_t)(end - text));
    host[end - text] = '\0';
    unsigned long value = default_port;
    if (digits != NULL) {
        char *rest = NULL;
        value = strtoul(digits, &rest, 10);
        if (digits[0] < '0' || digits[0] > '9' || *rest != '\0') {
            return SH_ERR_INVALID;
        }
    }
    *port = (uint16_t)value;
    bool wanted = digits == NULL && default_port == 0;
    return host[0] == '\0' || wanted || value > UINT16_MAX ? SH_ERR_INVALID : SH_OK;
}

static bool parse_ip(const char *host, struct link_addr *out)
{
    memcpy(out->ip, v4_prefix, sizeof v4_prefix);
    return inet_pton(AF_INET, host, out->ip + 12) == 1 || inet_pton(AF_INET6, host, out->ip) == 1;
}

enum sh_err link_addr_parse(const char *text, uint16_t default_port, struct link_addr *out)
{
    char host[SH_ADDR_MAX + 1];
    struct link_addr addr = {0};
    enum sh_err err = split(text, default_port, host, &addr.port);
    if (err == SH_OK && !parse_ip(host, &addr)) {
        err = SH_ERR_INVALID;
    }
    *out = err == SH_OK ? addr : (struct link_addr){0};
    return err;
}

static enum sh_err resolver_err(int code)
{
    switch (code) {
    case EAI_AGAIN:
        return SH_ERR_TIMEOUT;
    case EAI_NONAME:
    case EAI_NODATA:
    case EAI_FAIL:
    case EAI_ADDRFAMILY:
        return SH_ERR_NOT_FOUND;
    case EAI_MEMORY:
        return SH_ERR_NO_MEMORY;
    default:
        return SH_ERR_IO;
    }
}

static bool contains(const struct link_addr *list, uint32_t count, const struct link_addr *addr)
{
    for (uint32_t i = 0; i < count; i++) {
        if (link_addr_equal(&list[i], addr)) {
            return true;
        }
    }
    return false;
}

enum sh_err link_addr_resolve(const char *text, uint16_t default_port, struct link_addr *out,
                              uint32_t max, uint32_t *count)
{
    char host[SH_ADDR_MAX + 1];
    uint16_t port = 0;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *list = NULL;
    SH_CHECK_CMP(max, >=, 1);
    *count = 0;
    if (link_addr_parse(text, default_port, &out[0]) == SH_OK) {
        *count = 1;
        return SH_OK;
    }
    enum sh_err err = split(text, default_port, host, &port);
    if (err != SH_OK) {
        return err;
    }
    int code = getaddrinfo(host, NULL, &hints, &list);
    if (code != 0) {
        return resolver_err(code);
    }
    for (const struct addrinfo *a = list; a != NULL && *count < max; a = a->ai_next) {
        struct sockaddr_storage storage = {0};
        struct link_addr addr;
        memcpy(&storage, a->ai_addr, a->ai_addrlen);
        if (link_addr_from_sockaddr(&storage, &addr)) {
            addr.port = port;
            if (!contains(out, *count, &addr)) {
                out[(*count)++] = addr;
            }
        }
    }
    freeaddrinfo(list);
    return *count > 0 ? SH_OK : SH_ERR_NOT_FOUND;
}

uint32_t link_addr_to_sockaddr(const struct link_addr *addr, bool v6_socket,
                               struct sockaddr_storage *out)
{
    *out = (struct sockaddr_storage){0};
    if (v6_socket) {
        struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(addr->port)};
        memcpy(&in6.sin6_addr, addr->ip, sizeof addr->ip);
        memcpy(out, &in6, sizeof in6);
        return sizeof in6;
    }
    struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_port = htons(addr->port)};
    memcpy(&in4.sin_addr, addr->ip + 12, 4);
    memcpy(out, &in4, sizeof in4);
    return sizeof in4;
}

bool link_addr_from_sockaddr(const struct sockaddr_storage *in, struct link_addr *out)
{
    *out = (struct link_addr){0};
    if (in->ss_family == AF_INET) {
        struct sockaddr_in in4;
        memcpy(&in4, in, sizeof in4);
        memcpy(out->ip, v4_prefix, sizeof v4_prefix);
        memcpy(out->ip + 12, &in4.sin_addr, 4);
        out->port = ntohs(in4.sin_port);
        return true;
    }
    if (in->ss_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, in, sizeof in6);
        memcpy(out->ip, &in6.sin6_addr, sizeof out->ip);
        out->port = ntohs(in6.sin6_port);
        return true;
    }
    return false;
}

/* A connected UDP socket sends nothing; it makes the kernel choose a route. */
enum sh_err link_addr_towards(const struct link_addr *peer, struct link_addr *local)
{
    bool v6 = !link_addr_is_v4(peer);
    struct sockaddr_storage storage;
    struct link_addr target = *peer;
    target.port = target.port != 0 ? target.port : 9;
    socklen_t size = link_addr_to_sockaddr(&target, v6, &storage);
    *local = (struct link_addr){0};
    int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return SH_ERR_UNREACHABLE;
    }
    bool ok = connect(fd, (const struct sockaddr *)&storage, size) == 0;
    size = sizeof storage;
    ok = ok && getsockname(fd, (struct sockaddr *)&storage, &size) == 0;
    ok = ok && link_addr_from_sockaddr(&storage, local);
    local->port = 0;
    (void)close(fd); /* nothing was written */
    return ok ? SH_OK : SH_ERR_UNREACHABLE;
}

enum sh_err link_addr_advertise(const struct link_addr *configured, const struct link_addr *peer,
                                struct link_addr *out)
{
    enum sh_err err = SH_OK;
    *out = *configured;
    if (link_addr_is_unspecified(configured)) {
        err = link_addr_towards(peer, out);
        out->port = configured->port;
    }
    if (err == SH_OK && link_addr_is_loopback(out) && !link_addr_is_loopback(peer)) {
        err = SH_ERR_UNREACHABLE;
    }
    return err;
}

void link_addr_put(struct sh_writer *w, const struct link_addr *addr)
{
    sh_put_bytes(w, addr->ip, sizeof addr->ip);
    sh_put_u16(w, addr->port);
}

struct link_addr link_addr_get(struct sh_reader *r)
{
    struct link_addr addr;
    sh_get_bytes(r, addr.ip, sizeof addr.ip);
    addr.port = sh_get_u16(r);
    return addr;
}
