/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP client of the command line: a list of peers that all serve the same API. A call goes to the
 * peer that answered last; where it cannot be reached, breaks off, or has no quorum, to the next
 * one. That is safe because every call of the API may be repeated (submissions carry a key). The
 * only place that includes curl.h. */
#ifndef CLI_HTTP_H
#define CLI_HTTP_H

#include "base/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define CLI_PEERS_MAX       16u
#define CLI_REPLY_BYTES_MAX (UINT64_C(256) << 20) /* of an answer kept in memory */

struct cli_peers {
    char at[CLI_PEERS_MAX][SH_ADDR_MAX + 1]; /* HOST:PORT */
    size_t count;
    char token[128]; /* empty: none */
};

struct cli_http; /* not for two threads at a time */

struct cli_call {
    const char *method;
    const char *path; /* with its query, escaped: "/api/v1/jobs?limit=5" */
    const void *body; /* NULL: none; borrowed */
    size_t size;
    const char *key;    /* Idempotency-Key, or NULL */
    unsigned timeout_s; /* of the whole call, on one peer */
    FILE *save;         /* where the body of a 2xx answer goes, instead of memory; or NULL */
};

struct cli_answer {
    unsigned status; /* 0: no peer answered; body then says why, one line a peer */
    char *body;      /* NUL-terminated; given (free) */
    size_t size;
    char peer[SH_ADDR_MAX + 1]; /* that answered */
};

/* NULL when memory runs out. peers is copied. */
struct cli_http *cli_http_open(const struct cli_peers *peers);
void cli_http_close(struct cli_http *http);
void cli_http_call(struct cli_http *http, const struct cli_call *call, struct cli_answer *answer);
/* Percent-escapes one path word or query value; given (free). NULL when memory runs out. */
char *cli_http_escape(struct cli_http *http, const char *text);

/* One server-sent event; false ends the stream. */
typedef bool (*cli_event_fn)(void *ctx, const char *type, const char *data);
enum cli_stream_end {
    CLI_STREAM_DONE,    /* the callback ended it */
    CLI_STREAM_REFUSED, /* a peer answered an error: *answer holds it */
    CLI_STREAM_LOST     /* no peer answered for lost_s seconds; *answer says why */
};
/* Follows a stream across broken connections and peers, each time from the last event id. tick is
 * called about four times a second, also while nothing arrives; false ends the stream. */
enum cli_stream_end cli_http_stream(struct cli_http *http, const char *path, unsigned lost_s,
                                    cli_event_fn event, bool (*tick)(void *ctx), void *ctx,
                                    struct cli_answer *answer);

#endif
