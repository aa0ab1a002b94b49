/* SPDX-License-Identifier: Apache-2.0 */
#include "link/socket.h"

#include "base/host/host.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CURVE_OVERHEAD  64 /* at least the 33 bytes that CURVE adds to a message on the wire */
#define ENDPOINT_MAX    160u
#define MONITOR_BACKLOG 8192 /* events; libzmq's I/O thread waits when more are not fetched */
#define MONITOR_EVENTS                                                                             \
    (ZMQ_EVENT_CONNECTED | ZMQ_EVENT_CONNECT_RETRIED | ZMQ_EVENT_CLOSED | ZMQ_EVENT_ACCEPTED |     \
     ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |                               \
     ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)

/* Redialling is ours: libzmq's own would come back on a connection that has not said HELLO. The
 * day is never reached, because a lost connection is closed at once. */
#define RECONNECT_NEVER_MS 86400000
#define CONNECT_TIMEOUT_MS 2000
#define HANDSHAKE_MS       3000
#define UNACKED_MS         10000 /* data unacknowledged this long ends a half-open connection */
#define LINGER_MS          100   /* lets BYE and REFUSE leave when a dialled connection is closed */

/* Bulk waits behind bulk only: own port, own I/O thread, few and small messages in flight. */
const struct link_plane_spec link_plane_specs[LINK_PLANES] = {
    [LINK_CONTROL] = {.name = "control",
                      .frame_plane = FRAME_CONTROL,
                      .bytes_max = SH_CONTROL_BYTES_MAX,
                      .io_thread = 1,
                      .hwm = 256,
                      .heartbeat_ms = 1000,
                      .heartbeat_timeout_ms = 3000,
                      .tos = 0xc0},
    [LINK_BULK] = {.name = "bulk",
                   .frame_plane = FRAME_BULK,
                   .bytes_max = LINK_BULK_BYTES_MAX,
                   .io_thread = 2,
                   .hwm = 8,
                   .heartbeat_ms = 5000,
                   .heartbeat_timeout_ms = 15000,
                   .tos = 0x20},
};

static bool set_int(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof value) == 0;
}

static bool set_bytes(void *socket, int option, const void *bytes, size_t size)
{
    return zmq_setsockopt(socket, option, bytes, size) == 0;
}

static bool set_common(void *socket, const struct link_plane_spec *spec)
{
    int64_t largest = (int64_t)spec->bytes_max + FRAME_HEADER_BYTES + CURVE_OVERHEAD;
    return set_int(socket, ZMQ_LINGER, LINGER_MS) && set_int(socket, ZMQ_ROUTER_MANDATORY, 1) &&
           set_int(socket, ZMQ_ROUTER_HANDOVER, 0) && set_int(socket, ZMQ_SNDHWM, spec->hwm) &&
           set_int(socket, ZMQ_RCVHWM, spec->hwm) &&
           set_bytes(socket, ZMQ_MAXMSGSIZE, &largest, sizeof largest) &&
           set_bytes(socket, ZMQ_AFFINITY, &spec->io_thread, sizeof spec->io_thread) &&
           set_int(socket, ZMQ_RECONNECT_IVL, RECONNECT_NEVER_MS) &&
           set_int(socket, ZMQ_CONNECT_TIMEOUT, CONNECT_TIMEOUT_MS) &&
           set_int(socket, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS) &&
           set_int(socket, ZMQ_TCP_MAXRT, UNACKED_MS) && set_int(socket, ZMQ_BACKLOG, 1024) &&
           set_int(socket, ZMQ_HEARTBEAT_IVL, spec->heartbeat_ms) &&
           set_int(socket, ZMQ_HEARTBEAT_TIMEOUT, spec->heartbeat_timeout_ms) &&
           set_int(socket, ZMQ_TOS, spec->tos);
}

static bool set_keys(void *socket, const struct trust *trust, enum link_side side)
{
    if (side == LINK_IN) {
        return set_int(socket, ZMQ_CURVE_SERVER, 1) &&
               set_bytes(socket, ZMQ_ZAP_DOMAIN, "shoal", 5) &&
               set_bytes(socket, ZMQ_CURVE_PUBLICKEY, trust->server_public, TRUST_KEY_BYTES) &&
               set_bytes(socket, ZMQ_CURVE_SECRETKEY, trust->server_secret, TRUST_KEY_BYTES);
    }
    return set_bytes(socket, ZMQ_CURVE_SERVERKEY, trust->server_public, TRUST_KEY_BYTES) &&
           set_bytes(socket, ZMQ_CURVE_PUBLICKEY, trust->client_public, TRUST_KEY_BYTES) &&
           set_bytes(socket, ZMQ_CURVE_SECRETKEY, trust->client_secret, TRUST_KEY_BYTES);
}

static bool open_monitor(struct link_socket *s, void *context, enum link_plane_id plane,
                         enum link_side side)
{
    char name[64];
    (void)snprintf(name, sizeof name, "inproc://monitor-%u-%u", (unsigned)plane, (unsigned)side);
    s->monitor = zmq_socket(context, ZMQ_PAIR);
    return s->monitor != NULL && zmq_socket_monitor(s->socket, name, MONITOR_EVENTS) == 0 &&
           set_int(s->monitor, ZMQ_LINGER, 0) && set_int(s->monitor, ZMQ_RCVHWM, MONITOR_BACKLOG) &&
           zmq_connect(s->monitor, name) == 0;
}

enum sh_err link_socket_open(struct link_socket *s, void *context, const struct trust *trust,
                             enum link_plane_id plane, enum link_side side)
{
    const struct link_plane_spec *spec = &link_plane_specs[plane];
    *s = (struct link_socket){.socket = zmq_socket(context, ZMQ_ROUTER)};
    if (s->socket == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    if (!set_common(s->socket, spec) || !set_keys(s->socket, trust, side) ||
        !open_monitor(s, context, plane, side)) {
        enum sh_err err = sh_err_from_errno(errno);
        link_socket_close(s, 0);
        return err != SH_OK ? err : SH_ERR_IO;
    }
    return SH_OK;
}

void link_socket_close(struct link_socket *s, int linger_ms)
{
    if (s->socket != NULL) {
        SH_CHECK(set_int(s->socket, ZMQ_LINGER, linger_ms));
        SH_CHECK(zmq_socket_monitor(s->socket, NULL, 0) == 0);
        SH_CHECK(zmq_close(s->socket) == 0);
    }
    if (s->monitor != NULL) {
        SH_CHECK(zmq_close(s->monitor) == 0);
    }
    *s = (struct link_socket){0};
}

static void endpoint_of(const struct link_addr *addr, char out[static ENDPOINT_MAX])
{
    char text[SH_ADDR_MAX + 1];
    link_addr_format(addr, text);
    (void)snprintf(out, ENDPOINT_MAX, "tcp://%s", text);
}

static bool addr_of(const char *endpoint, struct link_addr *out)
{
    static const char scheme[] = "tcp://";
    size_t skip = sizeof scheme - 1;
    *out = (struct link_addr){0};
    return strncmp(endpoint, scheme, skip) == 0 &&
           link_addr_parse(endpoint + skip, 0, out) == SH_OK;
}

enum sh_err link_socket_bind(struct link_socket *s, struct link_addr *addr)
{
    char endpoint[ENDPOINT_MAX];
    struct link_addr bound;
    endpoint_of(addr, endpoint);
    if (addr->port == 0) { /* libzmq writes "any" as a star */
        strrchr(endpoint, ':')[1] = '*';
        strrchr(endpoint, ':')[2] = '\0';
    }
    if (!set_int(s->socket, ZMQ_IPV6, link_addr_is_v4(addr) ? 0 : 1) ||
        zmq_bind(s->socket, endpoint) != 0) {
        enum sh_err err = sh_err_from_errno(errno);
        return err != SH_OK ? err : SH_ERR_IO;
    }
    size_t size = sizeof endpoint;
    if (zmq_getsockopt(s->socket, ZMQ_LAST_ENDPOINT, endpoint, &size) != 0 ||
        !addr_of(endpoint, &bound)) {
        return SH_ERR_IO;
    }
    addr->port = bound.port;
    return SH_OK;
}

enum sh_err link_socket_dial(struct link_socket *s, const struct link_addr *addr,
                             const uint8_t rid[static LINK_RID_MAX])
{
    char endpoint[ENDPOINT_MAX];
    s->quiet = false;
    endpoint_of(addr, endpoint);
    if (!set_int(s->socket, ZMQ_IPV6, link_addr_is_v4(addr) ? 0 : 1) ||
        !set_bytes(s->socket, ZMQ_CONNECT_ROUTING_ID, rid, LINK_RID_MAX) ||
        zmq_connect(s->socket, endpoint) != 0) {
        enum sh_err err = sh_err_from_errno(errno);
        return err != SH_OK ? err : SH_ERR_IO;
    }
    return SH_OK;
}

void link_socket_undial(struct link_socket *s, const struct link_addr *addr)
{
    char endpoint[ENDPOINT_MAX];
    s->quiet = false;
    endpoint_of(addr, endpoint);
    if (zmq_disconnect(s->socket, endpoint) != 0) {
        SH_CHECK(errno == ENOENT); /* libzmq had given it up itself */
    }
}

enum sh_err link_socket_message(zmq_msg_t *out, uint16_t type, struct sh_span head,
                                struct sh_span body,
                                const uint8_t cluster[static SH_CLUSTER_ID_BYTES])
{
    size_t length = head.size + body.size;
    SH_CHECK_CMP(length, <=, UINT32_MAX);
    if (zmq_msg_init_size(out, FRAME_HEADER_BYTES + length) != 0) {
        return SH_ERR_NO_MEMORY;
    }
    uint8_t *at = zmq_msg_data(out);
    frame_encode(at, type, (uint32_t)length, cluster);
    if (head.size > 0) {
        memcpy(at + FRAME_HEADER_BYTES, head.at, head.size);
    }
    if (body.size > 0) {
        memcpy(at + FRAME_HEADER_BYTES + head.size, body.at, body.size);
    }
    return SH_OK;
}

enum sh_err link_socket_send(struct link_socket *s, const uint8_t *rid, size_t rid_size,
                             zmq_msg_t *message)
{
    s->quiet = false;
    if (zmq_send(s->socket, rid, rid_size, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0) {
        return errno == EAGAIN ? SH_ERR_FULL : SH_ERR_UNREACHABLE;
    }
    /* The room was claimed by the routing id: this part is taken, or dropped with its pipe. */
    if (zmq_msg_send(message, s->socket, ZMQ_DONTWAIT) < 0) {
        return SH_ERR_UNREACHABLE;
    }
    return SH_OK;
}

static bool has_more(const zmq_msg_t *message)
{
    return zmq_msg_more(message) != 0;
}

/* Parts beyond the first belong to no message of ours. */
static void drop_rest(void *socket)
{
    bool more = true;
    while (more) {
        zmq_msg_t part;
        SH_CHECK(zmq_msg_init(&part) == 0);
        more = zmq_msg_recv(&part, socket, ZMQ_DONTWAIT) >= 0 && has_more(&part);
        SH_CHECK(zmq_msg_close(&part) == 0);
    }
}

bool link_socket_receive(struct link_socket *s, struct link_arrival *out, zmq_msg_t *message)
{
    zmq_msg_t id;
    if (s->quiet) {
        return false;
    }
    SH_CHECK(zmq_msg_init(&id) == 0);
    if (zmq_msg_recv(&id, s->socket, ZMQ_DONTWAIT) < 0) {
        s->quiet = errno == EAGAIN;
        SH_CHECK(zmq_msg_close(&id) == 0);
        return false;
    }
    size_t size = zmq_msg_size(&id);
    out->rid_size = size <= LINK_RID_MAX ? size : 0;
    memcpy(out->rid, zmq_msg_data(&id), out->rid_size);
    bool more = has_more(&id);
    SH_CHECK(zmq_msg_close(&id) == 0);
    SH_CHECK(zmq_msg_init(message) == 0);
    out->message = message;
    out->whole = more && zmq_msg_recv(message, s->socket, ZMQ_DONTWAIT) >= 0;
    if (out->whole && has_more(message)) {
        out->whole = false;
        drop_rest(s->socket);
    }
    return true;
}

static bool has_input(void *socket)
{
    int events = 0;
    size_t size = sizeof events;
    SH_CHECK(zmq_getsockopt(socket, ZMQ_EVENTS, &events, &size) == 0);
    return (events & ZMQ_POLLIN) != 0;
}

bool link_socket_pending(struct link_socket *s)
{
    s->quiet = s->quiet || !has_input(s->socket);
    s->monitor_quiet = s->monitor_quiet || !has_input(s->monitor);
    return !link_socket_quiet(s);
}

bool link_socket_quiet(const struct link_socket *s)
{
    return s->quiet && s->monitor_quiet;
}

static enum link_wire_kind kind_of(uint16_t event)
{
    switch (event) {
    case ZMQ_EVENT_CONNECTED:
    case ZMQ_EVENT_ACCEPTED:
        return LINK_WIRE_CONNECTED;
    case ZMQ_EVENT_DISCONNECTED:
        return LINK_WIRE_DISCONNECTED;
    case ZMQ_EVENT_CLOSED:
    case ZMQ_EVENT_CONNECT_RETRIED:
        return LINK_WIRE_NOT_CONNECTED;
    case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
    case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
        return LINK_WIRE_HANDSHAKE_FAILED;
    default:
        return LINK_WIRE_OTHER;
    }
}

/* Event frame: number u16, value u32, in the byte order of this machine (zmq_socket_monitor(3)). */
bool link_socket_watch(struct link_socket *s, struct link_wire *out)
{
    uint8_t frame[6];
    char endpoint[ENDPOINT_MAX];
    uint16_t event;
    uint32_t value;
    if (s->monitor_quiet) {
        return false;
    }
    int size = zmq_recv(s->monitor, frame, sizeof frame, ZMQ_DONTWAIT);
    if (size < 0) {
        s->monitor_quiet = errno == EAGAIN;
        return false;
    }
    SH_CHECK_CMP(size, ==, sizeof frame);
    memcpy(&event, frame, sizeof event);
    memcpy(&value, frame + sizeof event, sizeof value);
    size = zmq_recv(s->monitor, endpoint, sizeof endpoint - 1, ZMQ_DONTWAIT);
    SH_CHECK(size >= 0);
    endpoint[(size_t)size < sizeof endpoint ? (size_t)size : sizeof endpoint - 1] = '\0';
    *out = (struct link_wire){.kind = kind_of(event), .fd = LINK_NO_FD};
    (void)addr_of(endpoint, &out->addr); /* zero when libzmq names none */
    if (out->kind == LINK_WIRE_CONNECTED || out->kind == LINK_WIRE_DISCONNECTED) {
        out->fd = (int)value;
    }
    out->crypto = event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL &&
                  value == ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC;
    return true;
}
