/* SPDX-License-Identifier: Apache-2.0
 *
 * libmicrohttpd underneath: a thread a connection, because every route may wait for the cluster. */
#include "api/address.h"
#include "api/datasets.h"
#include "api/exchange.h"

#include "base/host/host.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define THREAD_STACK_BYTES ((size_t)512 * 1024)
#define STREAM_BLOCK_BYTES ((size_t)64 * 1024)
/* Of all request bodies in memory at one time. */
#define BODIES_BYTES_MAX (UINT64_C(2) << 30)
#define BODY_START_BYTES ((size_t)16 * 1024)

struct api {
    struct MHD_Daemon *daemon;
    struct service *service;
    uint16_t port;
    bool token_set;
    uint8_t token[SH_DIGEST_BYTES]; /* its digest: compared without regard to its length */
    atomic_bool stopping;
    atomic_uint streams;
    atomic_uint_fast64_t body_bytes; /* reserved by requests in progress */
};

/* One request on its way in. */
struct exchange {
    const struct api_route *route;
    struct api_request request;
    uint8_t *body;
    size_t capacity;
    uint64_t reserved; /* of api.body_bytes */
    bool refused;      /* reply is made already; what is still sent is ignored */
    struct api_reply reply;
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
    return atomic_load(&api->stopping);
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
    x->refused = true;
}

static bool reserve(struct api *api, struct exchange *x, uint64_t bytes)
{
    uint64_t before = atomic_fetch_add(&api->body_bytes, bytes);
    x->reserved += bytes;
    return before + bytes <= BODIES_BYTES_MAX;
}

/* Room for `more` bytes of body beyond those taken. */
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
    if (length != NULL && strtoull(length, NULL, 10) > x->route->body_max) {
        refuse(x, SH_ERR_LIMIT, 413, "the request is larger than this path takes");
        return;
    }
    if (length != NULL && x->route->body_max > 0) {
        (void)make_room(api, x, (size_t)strtoull(length, NULL, 10));
    }
}

static void take_body(struct api *api, struct exchange *x, const char *data, size_t size)
{
    if (x->refused) {
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

static ssize_t read_stream(void *cls, uint64_t position, char *out, size_t size)
{
    struct api_stream *stream = cls;
    (void)position;
    long n = stream->read(stream->ctx, out, size);
    if (n == 0) {
        return MHD_CONTENT_READER_END_OF_STREAM;
    }
    return n > 0 ? (ssize_t)n : MHD_CONTENT_READER_END_WITH_ERROR;
}

static void close_stream(void *cls)
{
    struct api_stream *stream = cls;
    stream->close(stream->ctx);
    free(stream);
}

/* Takes the body or the stream of the reply. */
static struct MHD_Response *make_response(struct api_reply *reply)
{
    if (reply->stream.read == NULL) {
        struct MHD_Response *response =
            MHD_create_response_from_buffer(reply->size, reply->body, MHD_RESPMEM_MUST_FREE);
        if (response == NULL) {
            free(reply->body);
        }
        reply->body = NULL;
        return response;
    }
    struct api_stream *stream = malloc(sizeof *stream);
    struct MHD_Response *response = NULL;
    if (stream != NULL) {
        *stream = reply->stream;
        response = MHD_create_response_from_callback(
            stream->size == UINT64_MAX ? MHD_SIZE_UNKNOWN : stream->size, STREAM_BLOCK_BYTES,
            read_stream, stream, close_stream);
    }
    if (response == NULL) {
        reply->stream.close(reply->stream.ctx);
        free(stream);
    }
    reply->stream.read = NULL;
    return response;
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

static enum MHD_Result send_reply(struct MHD_Connection *connection, struct api_reply *reply)
{
    struct MHD_Response *response = make_response(reply);
    if (response == NULL) {
        return MHD_NO;
    }
    char disposition[192];
    (void)snprintf(disposition, sizeof disposition, "attachment; filename=\"%s\"",
                   reply->file_name);
    enum MHD_Result good =
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, reply->type);
    if (good == MHD_YES && reply->location[0] != '\0') {
        good = MHD_add_response_header(response, MHD_HTTP_HEADER_LOCATION, reply->location);
    }
    if (good == MHD_YES && reply->file_name[0] != '\0') {
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
        good = MHD_queue_response(connection, reply->status, response);
    }
    MHD_destroy_response(response);
    return good;
}

static enum MHD_Result answer(void *cls, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *data_size, void **con_cls)
{
    struct api *api = cls;
    struct exchange *x = *con_cls;
    (void)version;
    if (x == NULL) {
        x = calloc(1, sizeof *x);
        if (x == NULL) {
            return MHD_NO;
        }
        *con_cls = x;
        x->request.service = api->service;
        x->request.api = api;
        x->request.connection = connection;
        check_request(api, x, method, url);
        /* A refused upload is answered at once, before its bytes travel. */
        return x->refused ? send_reply(connection, &x->reply) : MHD_YES;
    }
    if (*data_size > 0) {
        take_body(api, x, data, *data_size);
        *data_size = 0;
        return MHD_YES;
    }
    if (!x->refused) {
        x->request.body = x->body;
        x->route->run(&x->request, &x->reply);
    }
    SH_CHECK(x->reply.status != 0);
    return send_reply(connection, &x->reply);
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
    free(x->reply.body);
    free(x->body);
    (void)atomic_fetch_sub(&api->body_bytes, x->reserved);
    free(x);
    *con_cls = NULL;
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
    api->daemon = MHD_start_daemon(MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD |
                                       MHD_USE_POLL | MHD_USE_ITC,
                                   0, NULL, NULL, answer, api, MHD_OPTION_LISTEN_SOCKET, fd,
                                   MHD_OPTION_CONNECTION_LIMIT, API_CONNECTIONS_MAX,
                                   MHD_OPTION_CONNECTION_TIMEOUT, API_IDLE_TIMEOUT_S,
                                   MHD_OPTION_THREAD_STACK_SIZE, THREAD_STACK_BYTES,
                                   MHD_OPTION_NOTIFY_COMPLETED, finish, api, MHD_OPTION_END);
    if (api->daemon == NULL) {
        (void)snprintf(why, why_size, "api: the HTTP threads cannot be started: %s",
                       strerror(errno));
        return SH_ERR_IO;
    }
    return SH_OK;
}

enum sh_err api_start(const struct api_config *config, struct service *s, struct api **out,
                      char *why, size_t why_size)
{
    struct api *api = calloc(1, sizeof *api);
    if (api == NULL) {
        (void)snprintf(why, why_size, "api: out of memory");
        return SH_ERR_NO_MEMORY;
    }
    api->service = s;
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
        free(api);
        return err;
    }
    service_on_call(s, SERVICE_CALL_DATASET, api_dataset_call, s);
    *out = api;
    return SH_OK;
}

void api_stop(struct api *api)
{
    atomic_store(&api->stopping, true);
    MHD_stop_daemon(api->daemon);
    free(api);
}
