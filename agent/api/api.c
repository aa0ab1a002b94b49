/* SPDX-License-Identifier: Apache-2.0
 *
 * libmicrohttpd underneath, with HTTP_THREADS that share the connections. They never wait: whatever
 * may is done by a worker while the connection is suspended, and the library leaves a suspended
 * connection alone, so an exchange belongs to one thread at a time. A proposal suspends it
 * likewise, without a worker. */
#include "api/address.h"
#include "api/browse.h"
#include "api/datasets.h"
#include "api/exchange.h"
#include "api/workers.h"

#include "base/host/host.h"

#include <errno.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* One alone is always ready to run and so shares a processor with all that wake one another, while
 * another processor idles. */
#define HTTP_THREADS       2u
#define THREAD_STACK_BYTES ((size_t)512 * 1024)
#define STREAM_BLOCK_BYTES ((size_t)64 * 1024)
/* Of all request bodies in memory at one time. */
#define BODIES_BYTES_MAX (UINT64_C(2) << 30)
#define BODY_START_BYTES ((size_t)16 * 1024)
/* Larger ones are not parsed on an HTTP thread. */
#define QUICK_BODY_BYTES ((size_t)16 * 1024)

struct api {
    struct MHD_Daemon *daemon;
    struct service *service;
    uint16_t port;
    bool token_set;
    uint8_t token[SH_DIGEST_BYTES]; /* its digest: compared without regard to its length */
    atomic_bool stopping;           /* no connection is suspended any more */
    atomic_uint streams;
    atomic_uint_fast64_t body_bytes; /* reserved by requests in progress */
    atomic_uint connections;
    struct api_workers *workers;
    pthread_mutex_t lock; /* what follows */
    pthread_cond_t resumed;
    uint32_t suspended; /* connections */
};

enum step {
    STEP_TAKE,    /* the request comes in */
    STEP_RUN,     /* the route is to be called */
    STEP_PROPOSE, /* its proposal is to be begun */
    STEP_ANSWER,  /* the proposal has ended: its reply is to be made */
    STEP_SEND,    /* there is a reply; that of a refused request ignores what still comes in */
};

/* One request and its reply. A connection has one for all its requests, which come one by one. */
struct exchange {
    const struct api_route *route;
    struct MHD_Connection *connection;
    enum step step;
    struct api_request request;
    uint8_t *body;
    size_t capacity;
    uint64_t reserved; /* of api.body_bytes */
    struct api_reply reply;
    struct api_work work;
    enum sh_err proposed; /* how the proposal ended, with a result or without one */
    bool has_result;
    struct jobs_result result;
    char *block;     /* of a stream: STREAM_BLOCK_BYTES, of which */
    long block_size; /* were made; 0: the end, negative: it broke */
    long block_sent;
    bool block_made;
};

const char *api_query(const struct api_request *request, const char *name)
{
    return MHD_lookup_connection_value((struct MHD_Connection *)(uintptr_t)request->connection,
                                       MHD_GET_ARGUMENT_KIND, name);
}

const char *api_header(const struct api_request *request, const char *name)
{
    return MHD_lookup_connection_value((struct MHD_Connection *)(uintptr_t)request->connection,
                                       MHD_HEADER_KIND, name);
}

bool api_number(const char *text, uint64_t max, uint64_t *out)
{
    size_t n = strspn(text, "0123456789");
    if (n == 0 || n > 19 || text[n] != '\0') {
        return false;
    }
    *out = strtoull(text, NULL, 10);
    return *out <= max;
}

bool api_query_u64(const struct api_request *request, const char *name, uint64_t max,
                   uint64_t fallback, uint64_t *out)
{
    const char *text = api_query(request, name);
    if (text == NULL) {
        *out = fallback;
        return true;
    }
    return api_number(text, max, out);
}

bool api_stream_take(const struct api_request *request, struct api_reply *reply)
{
    if (atomic_fetch_add(&request->api->streams, 1) < API_STREAMS_MAX) {
        return true;
    }
    api_stream_drop(request->api);
    api_reply_error(reply, SH_ERR_FULL, "", "", "this agent serves %u streams already",
                    API_STREAMS_MAX);
    return false;
}

void api_stream_drop(struct api *api)
{
    unsigned before = atomic_fetch_sub(&api->streams, 1);
    SH_CHECK_CMP(before, >, 0);
}

bool api_is_stopping(const struct api *api)
{
    return atomic_load(&api->stopping) || service_is_stopping(api->service);
}

uint16_t api_port(const struct api *api)
{
    return api->port;
}

static bool token_is_right(const struct api *api, const char *header)
{
    static const char SCHEME[] = "Bearer ";
    if (!api->token_set) {
        return true;
    }
    if (header == NULL || strncmp(header, SCHEME, strlen(SCHEME)) != 0) {
        return false;
    }
    const char *given = header + strlen(SCHEME);
    uint8_t digest[SH_DIGEST_BYTES];
    sh_blake2b(digest, sizeof digest, given, strlen(given));
    return memcmp(digest, api->token, sizeof digest) == 0;
}

static void refuse(struct exchange *x, enum sh_err err, unsigned status, const char *message)
{
    api_reply_error(&x->reply, err, "", "", "%s", message);
    x->reply.status = status;
    x->step = STEP_SEND;
}

static bool reserve(struct api *api, struct exchange *x, uint64_t bytes)
{
    uint64_t before = atomic_fetch_add(&api->body_bytes, bytes);
    x->reserved += bytes;
    return before + bytes <= BODIES_BYTES_MAX;
}

/* Room for a body of that size, more than there is. */
static bool grow_body(struct api *api, struct exchange *x, size_t capacity)
{
    if (!reserve(api, x, capacity - x->capacity)) {
        refuse(x, SH_ERR_FULL, 503, "too many uploads at the same time, try again");
        return false;
    }
    uint8_t *body = realloc(x->body, capacity);
    if (body == NULL) {
        refuse(x, SH_ERR_NO_MEMORY, 500, sh_err_text(SH_ERR_NO_MEMORY));
        return false;
    }
    x->body = body;
    x->capacity = capacity;
    return true;
}

/* Room for `more` bytes of body beyond those taken, of a request that does not say its length. */
static bool make_room(struct api *api, struct exchange *x, size_t more)
{
    size_t wanted = x->request.body_size + more;
    if (wanted <= x->capacity) {
        return true;
    }
    size_t capacity = x->capacity > 0 ? x->capacity : BODY_START_BYTES;
    while (capacity < wanted) {
        capacity *= 2;
    }
    return grow_body(api, x, capacity);
}

static void check_request(struct api *api, struct exchange *x, const char *method, const char *url)
{
    bool wrong_method = false;
    const char *host = api_header(&x->request, MHD_HTTP_HEADER_HOST);
    const char *origin = api_header(&x->request, MHD_HTTP_HEADER_ORIGIN);
    const char *length = api_header(&x->request, MHD_HTTP_HEADER_CONTENT_LENGTH);
    if (!token_is_right(api, api_header(&x->request, MHD_HTTP_HEADER_AUTHORIZATION))) {
        refuse(x, SH_ERR_DENIED, 401, "missing or wrong token: send Authorization: Bearer TOKEN");
        return;
    }
    if (!api->token_set && (!api_host_is_plain(host) || !api_origin_is_host(origin, host))) {
        refuse(x, SH_ERR_DENIED, 403, "requests made by pages of other sites are refused");
        return;
    }
    x->route = api_route_find(method, url, x->request.params, &wrong_method);
    if (x->route == NULL) {
        refuse(x, wrong_method ? SH_ERR_UNSUPPORTED : SH_ERR_NOT_FOUND, wrong_method ? 405 : 404,
               wrong_method ? "this path does not take that method"
                            : "no such path; GET /api/v1 lists them all");
        return;
    }
    uint64_t size = length != NULL ? strtoull(length, NULL, 10) : 0;
    if (size > x->route->body_max) {
        refuse(x, SH_ERR_LIMIT, 413, "the request is larger than this path takes");
        return;
    }
    if (size > 0) {
        (void)grow_body(api, x, (size_t)size);
    }
}

static void take_body(struct api *api, struct exchange *x, const char *data, size_t size)
{
    if (x->step == STEP_SEND) {
        return;
    }
    if (x->request.body_size + size > x->route->body_max) {
        refuse(x, SH_ERR_LIMIT, 413, "the request is larger than this path takes");
        return;
    }
    if (make_room(api, x, size)) {
        memcpy(x->body + x->request.body_size, data, size);
        x->request.body_size += size;
    }
}

/* ---- suspended connections ---- */

/* False where the API is stopping: the connection is to be closed. */
static bool suspend(struct exchange *x)
{
    struct api *api = x->request.api;
    SH_CHECK(pthread_mutex_lock(&api->lock) == 0);
    bool good = !atomic_load(&api->stopping);
    api->suspended += good ? 1 : 0;
    SH_CHECK(pthread_mutex_unlock(&api->lock) == 0);
    if (good) {
        MHD_suspend_connection(x->connection);
    }
    return good;
}

/* Gives x back to its HTTP thread. */
static void resume(struct exchange *x)
{
    struct api *api = x->request.api;
    MHD_resume_connection(x->connection);
    SH_CHECK(pthread_mutex_lock(&api->lock) == 0);
    SH_CHECK_CMP(api->suspended, >, 0);
    api->suspended--;
    if (api->suspended == 0 && atomic_load(&api->stopping)) {
        SH_CHECK(pthread_cond_signal(&api->resumed) == 0);
    }
    SH_CHECK(pthread_mutex_unlock(&api->lock) == 0);
}

/* On a worker, or here where none can be had. */
static void hand_over(struct exchange *x, void (*run)(void *), void (*refused)(struct exchange *))
{
    x->work = (struct api_work){.run = run, .ctx = x};
    if (!api_workers_run(x->request.api->workers, &x->work)) {
        refused(x);
        resume(x);
    }
}

/* ---- steps of an exchange ---- */

static void close_proposal(struct api_reply *reply)
{
    if (reply->proposal.answer != NULL) {
        reply->proposal.close(reply->proposal.ctx);
        reply->proposal.answer = NULL;
    }
}

/* Runs the route, or makes the reply of its proposal. */
static void advance(struct exchange *x, bool may_wait)
{
    struct api_reply *reply = &x->reply;
    x->request.may_wait = may_wait;
    reply->must_wait = false;
    if (x->step == STEP_RUN) {
        x->request.body = x->body;
        x->route->run(&x->request, reply);
    } else {
        SH_CHECK(x->step == STEP_ANSWER);
        reply->proposal.answer(reply->proposal.ctx, &x->request, reply, x->proposed,
                               x->has_result ? &x->result : NULL);
    }
    SH_CHECK(!may_wait || !reply->must_wait);
    if (reply->must_wait) {
        return;
    }
    if (x->step == STEP_RUN && reply->proposal.answer != NULL) {
        x->step = STEP_PROPOSE;
        return;
    }
    x->step = STEP_SEND;
    SH_CHECK(reply->status != 0);
    close_proposal(reply);
    free(x->body); /* here, because giving back a large one takes its time */
    x->body = NULL;
}

static void take_outcome(void *ctx, enum sh_err err, const struct jobs_result *result)
{
    struct exchange *x = ctx;
    x->proposed = err;
    x->has_result = result != NULL;
    if (result != NULL) {
        x->result = *result;
    }
    resume(x);
}

static void propose(struct exchange *x)
{
    struct sh_span command = x->reply.proposal.command;
    x->step = STEP_ANSWER;
    enum sh_err err = service_propose_begin(x->request.service, command.at, command.size,
                                            API_WRITE_TIMEOUT_US, take_outcome, x);
    if (err != SH_OK) {
        take_outcome(x, err, NULL);
    }
}

static void work_on(void *ctx)
{
    struct exchange *x = ctx;
    advance(x, true);
    if (x->step == STEP_PROPOSE) {
        propose(x);
    } else {
        resume(x);
    }
}

static void no_worker(struct exchange *x)
{
    close_proposal(&x->reply);
    refuse(x, SH_ERR_NO_MEMORY, 503, "no thread can be started for this request, try again");
}

/* ---- replies ---- */

static void fill_block(void *ctx)
{
    struct exchange *x = ctx;
    const struct api_stream *stream = &x->reply.stream;
    x->block_sent = 0;
    x->block_size = stream->read(stream->ctx, x->block, STREAM_BLOCK_BYTES);
    x->block_made = true;
    resume(x);
}

static void break_stream(struct exchange *x)
{
    x->block_size = -1;
    x->block_made = true;
}

/* What there is of the block; an empty one is filled while the connection is suspended. */
static ssize_t read_stream(void *cls, uint64_t position, char *out, size_t size)
{
    struct exchange *x = cls;
    (void)position;
    if (x->block_made && x->block_size == 0) {
        return MHD_CONTENT_READER_END_OF_STREAM;
    }
    if (x->block_made && x->block_size < 0) {
        return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    size_t left = x->block_made ? (size_t)(x->block_size - x->block_sent) : 0;
    if (left == 0) {
        if (!suspend(x)) {
            return MHD_CONTENT_READER_END_WITH_ERROR;
        }
        x->block_made = false;
        hand_over(x, fill_block, break_stream);
        return 0;
    }
    size_t n = left < size ? left : size;
    memcpy(out, x->block + x->block_sent, n);
    x->block_sent += (long)n;
    return (ssize_t)n;
}

/* Takes the body of the reply; a stream is read from x. */
static struct MHD_Response *make_response(struct exchange *x)
{
    struct api_reply *reply = &x->reply;
    if (reply->stream.read == NULL) {
        struct MHD_Response *response =
            MHD_create_response_from_buffer(reply->size, reply->body, MHD_RESPMEM_MUST_FREE);
        if (response == NULL) {
            free(reply->body);
        }
        reply->body = NULL;
        return response;
    }
    x->block = malloc(STREAM_BLOCK_BYTES);
    if (x->block == NULL) {
        return NULL;
    }
    return MHD_create_response_from_callback(reply->stream.size == UINT64_MAX ? MHD_SIZE_UNKNOWN
                                                                              : reply->stream.size,
                                             STREAM_BLOCK_BYTES, read_stream, x, NULL);
}

/* For answers that are no JSON. */
static enum MHD_Result add_stale_headers(struct MHD_Response *response,
                                         const struct api_reply *reply)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)reply->index);
    enum MHD_Result good = MHD_add_response_header(response, "Shoal-Index", text);
    if (good == MHD_YES && reply->age_us != UINT64_MAX) {
        (void)snprintf(text, sizeof text, "%llu", (unsigned long long)reply->age_us);
        good = MHD_add_response_header(response, "Shoal-Age-Us", text);
    }
    return good;
}

static enum MHD_Result send_reply(struct exchange *x)
{
    const struct api_reply *reply = &x->reply;
    struct MHD_Response *response = make_response(x);
    if (response == NULL) {
        return MHD_NO;
    }
    enum MHD_Result good =
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, reply->type);
    if (good == MHD_YES && reply->location[0] != '\0') {
        good = MHD_add_response_header(response, MHD_HTTP_HEADER_LOCATION, reply->location);
    }
    if (good == MHD_YES && reply->file_name[0] != '\0') {
        char disposition[192];
        (void)snprintf(disposition, sizeof disposition, "attachment; filename=\"%s\"",
                       reply->file_name);
        good = MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_DISPOSITION, disposition);
    }
    if (good == MHD_YES && reply->stale) {
        good = add_stale_headers(response, reply);
    }
    if (good == MHD_YES && reply->status == 401) {
        good = MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
    }
    if (good == MHD_YES) {
        good = MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    }
    if (good == MHD_YES) {
        good = MHD_queue_response(x->connection, reply->status, response);
    }
    MHD_destroy_response(response);
    return good;
}

/* All of the request is here, or the connection was resumed. */
static enum MHD_Result proceed(struct exchange *x)
{
    bool quick = x->step == STEP_ANSWER || (x->step == STEP_RUN && x->route->quick &&
                                            x->request.body_size <= QUICK_BODY_BYTES);
    if (quick) {
        advance(x, false);
    }
    if (x->step == STEP_SEND) {
        return send_reply(x);
    }
    if (!suspend(x)) {
        return MHD_NO;
    }
    if (x->step == STEP_PROPOSE) {
        propose(x);
    } else {
        hand_over(x, work_on, no_worker);
    }
    return MHD_YES;
}

static enum MHD_Result answer(void *cls, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *data_size, void **con_cls)
{
    struct api *api = cls;
    struct exchange *x = *con_cls;
    (void)version;
    if (x == NULL) {
        x = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
        if (x == NULL) {
            return MHD_NO; /* there was no memory for it */
        }
        *con_cls = x;
        *x = (struct exchange){
            .connection = connection,
            .request = {.service = api->service, .api = api, .connection = connection}};
        check_request(api, x, method, url);
        /* A refused upload is answered at once, before its bytes travel. */
        return x->step == STEP_SEND ? send_reply(x) : MHD_YES;
    }
    if (*data_size > 0) {
        take_body(api, x, data, *data_size);
        *data_size = 0;
        return MHD_YES;
    }
    x->step = x->step == STEP_TAKE ? STEP_RUN : x->step;
    return proceed(x);
}

static void finish(void *cls, struct MHD_Connection *connection, void **con_cls,
                   enum MHD_RequestTerminationCode code)
{
    struct api *api = cls;
    struct exchange *x = *con_cls;
    (void)connection;
    (void)code;
    if (x == NULL) {
        return;
    }
    if (x->reply.stream.read != NULL) {
        x->reply.stream.close(x->reply.stream.ctx);
    }
    close_proposal(&x->reply);
    free(x->block);
    free(x->reply.body);
    free(x->body);
    (void)atomic_fetch_sub(&api->body_bytes, x->reserved);
    *con_cls = NULL;
}

/* At its own limit the library would let a client wait for another one to end. */
static enum MHD_Result admit(void *cls, const struct sockaddr *from, socklen_t size)
{
    struct api *api = cls;
    (void)from;
    (void)size;
    return atomic_load(&api->connections) < API_CONNECTIONS_MAX ? MHD_YES : MHD_NO;
}

/* Its exchange comes and goes with a connection. */
static void note_connection(void *cls, struct MHD_Connection *connection, void **context,
                            enum MHD_ConnectionNotificationCode code)
{
    struct api *api = cls;
    (void)connection;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        *context = malloc(sizeof(struct exchange));
        (void)atomic_fetch_add(&api->connections, 1);
    } else {
        free(*context);
        SH_CHECK_CMP(atomic_fetch_sub(&api->connections, 1), >, 0);
    }
}

/* The first line of the file, without blanks at its ends. */
static enum sh_err read_token(struct api *api, const char *path, char *why, size_t why_size)
{
    FILE *file = fopen(path, "re");
    char line[API_TOKEN_BYTES_MAX + 3] = "";
    if (file == NULL || fgets(line, sizeof line, file) == NULL) {
        (void)snprintf(why, why_size, "api token file %s: %s", path,
                       file == NULL ? strerror(errno) : "it is empty");
        if (file != NULL) {
            (void)fclose(file); /* was read only */
        }
        return SH_ERR_IO;
    }
    (void)fclose(file); /* was read only */
    size_t n = strcspn(line, " \t\r\n");
    if (n < 16 || n > API_TOKEN_BYTES_MAX) {
        (void)snprintf(why, why_size, "api token file %s: the token must have 16 to %u characters",
                       path, API_TOKEN_BYTES_MAX);
        return SH_ERR_INVALID;
    }
    sh_blake2b(api->token, sizeof api->token, line, n);
    api->token_set = true;
    return SH_OK;
}

static enum sh_err start_daemon(struct api *api, int fd, char *why, size_t why_size)
{
    api->daemon = MHD_start_daemon(
        MHD_USE_POLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, admit, api, answer, api,
        MHD_OPTION_THREAD_POOL_SIZE, HTTP_THREADS, MHD_OPTION_LISTEN_SOCKET, fd,
        /* No larger, because the library clears all of it after every request. */
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)API_CONNECTION_BYTES,
        MHD_OPTION_CONNECTION_LIMIT, API_CONNECTIONS_MAX + 1u, MHD_OPTION_CONNECTION_TIMEOUT,
        API_IDLE_TIMEOUT_S, MHD_OPTION_THREAD_STACK_SIZE, THREAD_STACK_BYTES,
        MHD_OPTION_NOTIFY_COMPLETED, finish, api, MHD_OPTION_NOTIFY_CONNECTION, note_connection,
        api, MHD_OPTION_END);
    if (api->daemon == NULL) {
        (void)snprintf(why, why_size, "api: the HTTP threads cannot be started: %s",
                       strerror(errno));
        return SH_ERR_IO;
    }
    return SH_OK;
}

/* What is the same for every API. */
static struct api *make_api(struct service *s)
{
    struct api *api = calloc(1, sizeof *api);
    if (api == NULL || api_workers_open(API_CONNECTIONS_MAX, &api->workers) != SH_OK) {
        free(api);
        return NULL;
    }
    api->service = s;
    SH_CHECK(pthread_mutex_init(&api->lock, NULL) == 0);
    SH_CHECK(pthread_cond_init(&api->resumed, NULL) == 0);
    return api;
}

static void free_api(struct api *api)
{
    api_workers_close(api->workers);
    SH_CHECK(pthread_cond_destroy(&api->resumed) == 0);
    SH_CHECK(pthread_mutex_destroy(&api->lock) == 0);
    free(api);
}

enum sh_err api_start(const struct api_config *config, struct service *s, struct api **out,
                      char *why, size_t why_size)
{
    struct api *api = make_api(s);
    if (api == NULL) {
        (void)snprintf(why, why_size, "api: out of memory");
        return SH_ERR_NO_MEMORY;
    }
    bool wants_token = config->token_file != NULL && config->token_file[0] != '\0';
    enum sh_err err = SH_OK;
    if (wants_token) {
        err = read_token(api, config->token_file, why, why_size);
    }
    int fd = -1;
    bool loopback = false;
    if (err == SH_OK) {
        err = api_listen(config->listen, &fd, &api->port, &loopback, why, why_size);
    }
    if (err == SH_OK && !loopback && !wants_token) {
        (void)snprintf(why, why_size,
                       "api %s: other machines could reach it, so it needs --api-token FILE",
                       config->listen);
        err = SH_ERR_DENIED;
    }
    if (err == SH_OK) {
        err = start_daemon(api, fd, why, why_size);
    }
    if (err != SH_OK) {
        if (fd >= 0) {
            (void)close(fd); /* nothing was sent */
        }
        free_api(api);
        return err;
    }
    service_on_call(s, SERVICE_CALL_DATASET, api_dataset_call, s);
    service_on_call(s, SERVICE_CALL_BROWSE, api_browse_call, s);
    *out = api;
    return SH_OK;
}

void api_stop(struct api *api)
{
    SH_CHECK(pthread_mutex_lock(&api->lock) == 0);
    atomic_store(&api->stopping, true);
    while (api->suspended > 0) { /* each has a deadline */
        SH_CHECK(pthread_cond_wait(&api->resumed, &api->lock) == 0);
    }
    SH_CHECK(pthread_mutex_unlock(&api->lock) == 0);
    MHD_stop_daemon(api->daemon);
    free_api(api);
}
