/* SPDX-License-Identifier: Apache-2.0
 *
 * Network addresses as values. IPv4 is kept IPv4-mapped (::ffff:a.b.c.d), so one comparison serves
 * both. Text form: "10.0.0.7:7711", "[2001:db8::1]:7711". */
#ifndef LINK_ADDR_H
#define LINK_ADDR_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/limits.h"

#include <stdbool.h>
#include <stdint.h>

struct sockaddr_storage;

#define LINK_ADDR_WIRE_BYTES 18u

struct link_addr {
    uint8_t ip[16]; /* all zero: unknown or unspecified IPv6 */
    uint16_t port;  /* 0: unknown */
};

/* Numeric only: INVALID for a name or anything else. A missing port becomes default_port (0: then a
 * port is required). */
SH_MUST_USE enum sh_err link_addr_parse(const char *text, uint16_t default_port,
                                        struct link_addr *out);
/* Numeric or DNS name; up to max answers, in resolver order without duplicates. Blocks as long as
 * the system resolver does: never on the loop thread. INVALID: not HOST:PORT. NOT_FOUND: no such
 * name. TIMEOUT: the resolver does not answer. */
SH_MUST_USE enum sh_err link_addr_resolve(const char *text, uint16_t default_port,
                                          struct link_addr *out, uint32_t max, uint32_t *count);
void link_addr_format(const struct link_addr *addr, char out[static SH_ADDR_MAX + 1]);
bool link_addr_equal(const struct link_addr *a, const struct link_addr *b);
bool link_addr_is_v4(const struct link_addr *addr);
bool link_addr_is_loopback(const struct link_addr *addr);
bool link_addr_is_unspecified(const struct link_addr *addr); /* 0.0.0.0 or :: */

/* IP that the kernel would use as source towards peer (port 0); UNREACHABLE without a route. */
SH_MUST_USE enum sh_err link_addr_towards(const struct link_addr *peer, struct link_addr *local);
/* Address to advertise to peer: the configured one if it names an IP, else the IP used towards
 * peer; never loopback to a peer that is not on loopback, then UNREACHABLE. Port from configured.
 */
SH_MUST_USE enum sh_err link_addr_advertise(const struct link_addr *configured,
                                            const struct link_addr *peer, struct link_addr *out);

void link_addr_put(struct sh_writer *w, const struct link_addr *addr); /* LINK_ADDR_WIRE_BYTES */
struct link_addr link_addr_get(struct sh_reader *r);
/* A socket address for a v4 or v6 socket; size is given back. */
uint32_t link_addr_to_sockaddr(const struct link_addr *addr, bool v6_socket,
                               struct sockaddr_storage *out);
bool link_addr_from_sockaddr(const struct sockaddr_storage *in, struct link_addr *out);

#endif
