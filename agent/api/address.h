/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to agent/api: where to listen, and which requests a loopback API without a token
 * believes. */
#ifndef API_ADDRESS_H
#define API_ADDRESS_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Binds and listens on HOST:PORT (HOST an address or a name, [..] round IPv6). *loopback tells
 * whether only this machine can reach it. INVALID, IN_USE, DENIED, IO; why is one line. */
SH_MUST_USE enum sh_err api_listen(const char *address, int *fd, uint16_t *port, bool *loopback,
                                   char *why, size_t why_size);

/* A browser page of another site can make requests to 127.0.0.1, and a name of its own can be made
 * to resolve there. So without a token: Host must be an address or localhost, and Origin, if there
 * is one, must be this very host. NULL arguments: the header is absent. */
bool api_host_is_plain(const char *host);
bool api_origin_is_host(const char *origin, const char *host);

#endif
