/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP/1.1 JSON interface of one agent: api/routes.c is its table of routes, all below /api/v1.
 * Every agent serves all of it; writes travel to the coordinator through service.h. One thread of
 * libmicrohttpd reads requests and sends replies, workers do what may wait; never the loop's.
 * Errors are
 *   {"error":{"code":"NO_QUORUM","field":"","value":"","message":"..."}}
 * with the HTTP status that api_status_of() gives for the code. */
#ifndef API_API_H
#define API_API_H

#include "base/err.h"
#include "base/limits.h"
#include "service.h"

#include <stddef.h>
#include <stdint.h>

#define API_CONNECTIONS_MAX   512u
#define API_CONNECTION_BYTES  (16u << 10) /* that each has; half of it for a request's head */
#define API_STREAMS_MAX       256u        /* of them streams: other requests always find a place */
#define API_BODY_BYTES_MAX    (2u << 20)  /* of a request, uploads apart */
#define API_UPLOAD_BYTES_MAX  (UINT64_C(1) << 30)  /* PUT /blobs */
#define API_PREDICT_BYTES_MAX (UINT64_C(64) << 20) /* POST /predict */
#define API_TOKEN_BYTES_MAX   127u
#define API_IDLE_TIMEOUT_S    30u                /* of a connection without traffic */
#define API_WRITE_TIMEOUT_US  UINT64_C(15000000) /* of a call that changes the replicated state */
#define API_READ_TIMEOUT_US   UINT64_C(5000000)  /* of a linearizable read */
#define API_STREAM_TIMEOUT_US UINT64_C(1000000)  /* between two comments of an idle event stream */
#define API_WATCH_AGE_US      UINT64_C(10000000) /* a watch without news of the coordinator ends */

struct api_config {
    const char *listen;     /* HOST:PORT; port 0: any free one */
    const char *token_file; /* NULL or empty: no token, loopback only */
};

struct api;

/* DENIED: listen is not a loopback address and there is no token. IN_USE: the port is taken. IO:
 * the token file cannot be read. INVALID: listen cannot be understood. why says it in one line.
 * Registers the SERVICE_CALL_DATASET handler of s. */
SH_MUST_USE enum sh_err api_start(const struct api_config *config, struct service *s,
                                  struct api **out, char *why, size_t why_size);
uint16_t api_port(const struct api *api);
/* Ends open event streams, waits for running requests, frees. */
void api_stop(struct api *api);

/* 400, 404, 409, 503, 507, ... */
unsigned api_status_of(enum sh_err err);

#endif
