/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/http.h"

#include "base/check.h"
#include "base/host/host.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_MS      3000L
#define SILENCE_S       15L /* a stream sends a comment every half second */
#define URL_BYTES       1024u
#define STREAM_ID_BYTES 64u
#define LINE_BYTES      65536u
#define RETRY_WAIT_MS   200

struct cli_http {
    CURL *curl;
    struct cli_peers peers;
    size_t current;
};

struct cli_http *cli_http_open(const struct cli_peers *peers)
{
    SH_CHECK_CMP(peers->count, >, 0);
    struct cli_http *http = calloc(1, sizeof *http);
    if (http == NULL) {
        return NULL;
    }
    http->peers = *peers;
    http->curl = curl_easy_init();
    if (http->curl == NULL) {
        free(http);
        return NULL;
    }
    return http;
}

void cli_http_close(struct cli_http *http)
{
    if (http != NULL) {
        curl_easy_cleanup(http->curl);
        free(http);
    }
}

char *cli_http_escape(struct cli_http *http, const char *text)
{
    char *escaped = curl_easy_escape(http->curl, text, 0);
    char *copy = escaped != NULL ? strdup(escaped) : NULL;
    curl_free(escaped);
    return copy;
}

/* Where an answer's body goes. */
struct sink {
    CURL *curl;
    FILE *save;
    char *at;
    size_t used;
    size_t capacity;
    bool overflow;
};

static bool append(struct sink *s, const char *data, size_t size)
{
    if (s->used + size + 1 > s->capacity) {
        size_t wanted = 2 * (s->used + size + 1);
        char *at = wanted <= CLI_REPLY_BYTES_MAX ? realloc(s->at, wanted) : NULL;
        if (at == NULL) {
            s->overflow = true;
            return false;
        }
        s->at = at;
        s->capacity = wanted;
    }
    memcpy(s->at + s->used, data, size);
    s->used += size;
    s->at[s->used] = '\0';
    return true;
}

static size_t take_body(char *data, size_t one, size_t count, void *ctx)
{
    struct sink *s = ctx;
    size_t size = one * count;
    long status = 0;
    if (s->save != NULL) {
        (void)curl_easy_getinfo(s->curl, CURLINFO_RESPONSE_CODE, &status);
    }
    if (status / 100 == 2) {
        return fwrite(data, 1, size, s->save) == size ? size : 0;
    }
    return append(s, data, size) ? size : 0;
}

static struct curl_slist *add_header(struct curl_slist *list, const char *name, const char *value)
{
    char line[256];
    int n = snprintf(line, sizeof line, "%s: %s", name, value);
    SH_CHECK(n >= 0);
    struct curl_slist *longer = (size_t)n < sizeof line ? curl_slist_append(list, line) : NULL;
    return longer != NULL ? longer : list;
}

static struct curl_slist *headers_of(const struct cli_http *http, const char *key)
{
    /* No "Expect: 100-continue": a refusal comes at once, and the wait would cost a second. */
    struct curl_slist *list = curl_slist_append(NULL, "Expect:");
    if (http->peers.token[0] != '\0') {
        char value[160];
        (void)snprintf(value, sizeof value, "Bearer %s", http->peers.token);
        list = add_header(list, "Authorization", value);
    }
    if (key != NULL) {
        list = add_header(list, "Idempotency-Key", key);
    }
    return list;
}

static bool set_url(struct cli_http *http, const char *path)
{
    char url[URL_BYTES];
    const char *peer = http->peers.at[http->current];
    const char *scheme = strstr(peer, "://") != NULL ? "" : "http://";
    int n = snprintf(url, sizeof url, "%s%s%s", scheme, peer, path);
    return n > 0 && (size_t)n < sizeof url &&
           curl_easy_setopt(http->curl, CURLOPT_URL, url) == CURLE_OK;
}

static void set_common(struct cli_http *http, struct curl_slist *headers, char *error)
{
    CURL *c = http->curl;
    curl_easy_reset(c);
    (void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
    (void)curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    (void)curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    (void)curl_easy_setopt(c, CURLOPT_ERRORBUFFER, error);
    error[0] = '\0';
}

static void set_call(CURL *c, const struct cli_call *call, struct sink *sink)
{
    (void)curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, call->method);
    (void)curl_easy_setopt(c, CURLOPT_TIMEOUT, (long)call->timeout_s);
    (void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body);
    (void)curl_easy_setopt(c, CURLOPT_WRITEDATA, sink);
    if (call->body != NULL || strcmp(call->method, "POST") == 0) {
        (void)curl_easy_setopt(c, CURLOPT_POSTFIELDS, call->body != NULL ? call->body : "");
        (void)curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->size);
    }
}

/* One try on the current peer; the status, or 0 with the reason in error. */
static unsigned try_call(struct cli_http *http, const struct cli_call *call, struct sink *sink,
                         char *error)
{
    struct curl_slist *headers = headers_of(http, call->key);
    set_common(http, headers, error);
    set_call(http->curl, call, sink);
    long status = 0;
    CURLcode code = set_url(http, call->path) ? curl_easy_perform(http->curl) : CURLE_URL_MALFORMAT;
    if (code == CURLE_OK) {
        (void)curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &status);
    } else if (error[0] == '\0') {
        (void)snprintf(error, CURL_ERROR_SIZE, "%s", curl_easy_strerror(code));
    }
    curl_slist_free_all(headers);
    return (unsigned)status;
}

static void next_peer(struct cli_http *http)
{
    http->current = (http->current + 1) % http->peers.count;
}

/* Forgets what a failed try left behind, in memory or in the file. */
static void restart(struct sink *sink)
{
    sink->used = 0;
    if (sink->at != NULL) {
        sink->at[0] = '\0';
    }
    if (sink->save != NULL) {
        rewind(sink->save);
    }
}

void cli_http_call(struct cli_http *http, const struct cli_call *call, struct cli_answer *answer)
{
    struct sink sink = {.curl = http->curl, .save = call->save};
    struct sink reasons = {.curl = http->curl};
    char error[CURL_ERROR_SIZE];
    *answer = (struct cli_answer){0};
    for (size_t i = 0; i < http->peers.count; i++) {
        restart(&sink);
        (void)snprintf(answer->peer, sizeof answer->peer, "%s", http->peers.at[http->current]);
        answer->status = try_call(http, call, &sink, error);
        if (answer->status != 0 && answer->status != 503) {
            break;
        }
        if (answer->status == 0) {
            char line[CURL_ERROR_SIZE + SH_ADDR_MAX + 8];
            int n = snprintf(line, sizeof line, "%s%s: %s", reasons.used > 0 ? "; " : "",
                             answer->peer, error);
            (void)append(&reasons, line, (size_t)n);
        }
        if (i + 1 < http->peers.count) {
            next_peer(http);
        }
    }
    struct sink *kept = answer->status != 0 ? &sink : &reasons;
    if (kept->at == NULL) {
        (void)append(kept, "", 0);
    }
    answer->body = kept->at;
    answer->size = kept->used;
    free(kept == &sink ? reasons.at : sink.at);
}

/* Server-sent events, line by line. */
struct feed {
    CURL *curl;
    cli_event_fn event;
    bool (*tick)(void *ctx);
    void *ctx;
    struct sink refusal; /* body of an answer that is no stream */
    bool done;
    uint64_t heard_us;
    uint64_t ticked_us;
    size_t used;
    char id[STREAM_ID_BYTES];
    char type[32];
    char line[LINE_BYTES];
    char data[LINE_BYTES];
};

#define TICK_US UINT64_C(250000)

static void take_line(struct feed *f)
{
    f->line[f->used] = '\0';
    if (f->used == 0) {
        if (f->data[0] != '\0' && !f->event(f->ctx, f->type, f->data)) {
            f->done = true;
        }
        f->data[0] = '\0';
        f->type[0] = '\0';
    } else if (strncmp(f->line, "id: ", 4) == 0) {
        (void)snprintf(f->id, sizeof f->id, "%.*s", (int)sizeof f->id - 1, f->line + 4);
    } else if (strncmp(f->line, "event: ", 7) == 0) {
        (void)snprintf(f->type, sizeof f->type, "%.*s", (int)sizeof f->type - 1, f->line + 7);
    } else if (strncmp(f->line, "data: ", 6) == 0) {
        memcpy(f->data, f->line + 6, f->used - 5);
    }
    f->used = 0;
}

static size_t take_feed(char *bytes, size_t one, size_t count, void *ctx)
{
    struct feed *f = ctx;
    size_t size = one * count;
    long status = 0;
    (void)curl_easy_getinfo(f->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200) {
        return append(&f->refusal, bytes, size) ? size : 0;
    }
    f->heard_us = sh_now_us();
    for (size_t i = 0; i < size && !f->done; i++) {
        if (bytes[i] == '\n') {
            take_line(f);
        } else if (f->used < LINE_BYTES - 1) {
            f->line[f->used++] = bytes[i];
        }
    }
    return f->done ? 0 : size;
}

static bool run_tick(struct feed *f)
{
    uint64_t now = sh_now_us();
    if (f->tick != NULL && now - f->ticked_us >= TICK_US) {
        f->ticked_us = now;
        f->done = f->done || !f->tick(f->ctx);
    }
    return !f->done;
}

static int on_progress(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)a;
    (void)b;
    (void)c;
    (void)d;
    return run_tick(ctx) ? 0 : 1;
}

/* One connection; the status, 0 when none came. */
static long follow(struct cli_http *http, const char *path, struct feed *f, char *error)
{
    struct curl_slist *headers = headers_of(http, NULL);
    if (f->id[0] != '\0') {
        headers = add_header(headers, "Last-Event-ID", f->id);
    }
    set_common(http, headers, error);
    CURL *c = http->curl;
    (void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_feed);
    (void)curl_easy_setopt(c, CURLOPT_WRITEDATA, f);
    (void)curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    (void)curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
    (void)curl_easy_setopt(c, CURLOPT_XFERINFODATA, f);
    (void)curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    (void)curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, SILENCE_S);
    f->used = 0;
    f->data[0] = '\0';
    f->refusal.used = 0;
    CURLcode code = set_url(http, path) ? curl_easy_perform(c) : CURLE_URL_MALFORMAT;
    long status = 0;
    (void)curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK && error[0] == '\0') {
        (void)snprintf(error, CURL_ERROR_SIZE, "%s", curl_easy_strerror(code));
    }
    curl_slist_free_all(headers);
    return status;
}

/* Waits a moment before the next peer is tried; the tick goes on. */
static void pause_between(struct feed *f)
{
    CURLM *multi = curl_multi_init();
    if (multi != NULL) {
        (void)curl_multi_poll(multi, NULL, 0, RETRY_WAIT_MS, NULL);
        (void)curl_multi_cleanup(multi);
    }
    (void)run_tick(f);
}

enum cli_stream_end cli_http_stream(struct cli_http *http, const char *path, unsigned lost_s,
                                    cli_event_fn event, bool (*tick)(void *ctx), void *ctx,
                                    struct cli_answer *answer)
{
    struct feed *f = calloc(1, sizeof *f);
    char error[CURL_ERROR_SIZE] = "out of memory";
    *answer = (struct cli_answer){0};
    enum cli_stream_end end = CLI_STREAM_LOST;
    if (f != NULL) {
        *f = (struct feed){.curl = http->curl, .event = event, .tick = tick, .ctx = ctx};
        f->heard_us = sh_now_us();
    }
    while (f != NULL && sh_now_us() - f->heard_us < (uint64_t)lost_s * 1000000) {
        long status = follow(http, path, f, error);
        if (f->done) {
            end = CLI_STREAM_DONE;
            break;
        }
        if (status != 0 && status != 200 && status != 503) {
            answer->status = (unsigned)status;
            end = CLI_STREAM_REFUSED;
            break;
        }
        next_peer(http);
        pause_between(f);
    }
    if (end != CLI_STREAM_DONE) {
        const char *text =
            end == CLI_STREAM_REFUSED && f->refusal.at != NULL ? f->refusal.at : error;
        answer->body = strdup(text);
        answer->size = strlen(text);
        (void)snprintf(answer->peer, sizeof answer->peer, "%s", http->peers.at[http->current]);
    }
    if (f != NULL) {
        free(f->refusal.at);
        free(f);
    }
    return end;
}
