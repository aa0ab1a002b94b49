/* SPDX-License-Identifier: Apache-2.0 */
#include "all_reduce_net.h"

#include "bulk.h"
#include "parts.h"

#include "base/host/host.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { MEMBERS_MAX = 8 };

#define ROOM_US UINT64_C(10000000)

struct net {
    struct service service; /* trust and link are all that the bulk thread uses here */
    struct bulk *bulk;
    int name; /* holds the name of the short way, so that nobody takes it */
    uint32_t members;
    uint32_t me;
    uint8_t node[MEMBERS_MAX][SH_NODE_ID_BYTES];
    net_frame_fn frame;
    void *ctx;
};

static void take(void *ctx, const uint8_t node[SH_NODE_ID_BYTES], uint16_t type,
                 struct sh_span payload, int fd)
{
    struct net *net = ctx;
    (void)fd;
    for (uint32_t i = 0; type == FRAME_TRAIN_CHUNK && i < net->members; i++) {
        if (memcmp(net->node[i], node, SH_NODE_ID_BYTES) == 0) {
            net->frame(net->ctx, i, payload);
        }
    }
}

static void identify(struct net *net)
{
    struct trust_secret secret;
    memset(&secret, 7, sizeof secret);
    for (uint32_t i = 0; i < net->members; i++) {
        uint8_t seed[TRUST_KEY_BYTES] = {(uint8_t)(i + 1)};
        struct trust trust;
        trust_ephemeral(i == net->me ? &net->service.trust : &trust, &secret, seed, 1);
        memcpy(net->node[i], i == net->me ? net->service.trust.node : trust.node, SH_NODE_ID_BYTES);
    }
}

static void hold_name(struct net *net)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    char hex[2 * SH_NODE_ID_BYTES + 1];
    sh_hex(hex, net->node[net->me], SH_NODE_ID_BYTES);
    int used = snprintf(addr.sun_path + 1, sizeof addr.sun_path - 1, "shoal/%s", hex);
    net->name = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    (void)bind(net->name, (const struct sockaddr *)&addr,
               (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)used));
}

struct net *net_open(uint32_t me, uint32_t members, uint16_t *port, net_frame_fn frame, void *ctx)
{
    struct net *net = calloc(1, sizeof *net);
    struct link_options options = {0};
    char why[LINK_TEXT_MAX + 1];
    if (net == NULL) {
        return NULL;
    }
    sh_host_init();
    net->members = members;
    net->me = me;
    net->frame = frame;
    net->ctx = ctx;
    identify(net);
    hold_name(net);
    options.trust = &net->service.trust;
    for (uint32_t i = 0; i < LINK_PLANES; i++) {
        SH_CHECK(link_addr_parse("127.0.0.1:0", 0, &options.listen[i]) == SH_OK);
    }
    if (link_open(&options, &net->service.link, why) != SH_OK) {
        (void)fprintf(stderr, "%s\n", why);
        return NULL;
    }
    *port = link_plane_addr(link_plane_of(net->service.link, LINK_BULK)).port;
    return net;
}

void net_start(struct net *net, const uint16_t *ports)
{
    SH_CHECK(bulk_open(&net->bulk, &net->service) == SH_OK);
    bulk_on_train(net->bulk, take, NULL, net);
    for (uint32_t i = 0; i < net->members; i++) {
        char addr[SH_ADDR_MAX + 1];
        (void)snprintf(addr, sizeof addr, "127.0.0.1:%u", ports[i]);
        if (i != net->me) {
            bulk_set_addr(net->bulk, net->node[i], addr);
        }
    }
    SH_CHECK(bulk_start(net->bulk) == SH_OK);
}

bool net_send(struct net *net, uint32_t to, struct sh_span head, struct sh_span body)
{
    enum sh_err err = bulk_send(net->bulk, net->node[to], FRAME_TRAIN_CHUNK, head, body);
    while (err == SH_ERR_FULL &&
           bulk_wait_room(net->bulk, net->node[to], head.size + body.size, ROOM_US)) {
        err = bulk_send(net->bulk, net->node[to], FRAME_TRAIN_CHUNK, head, body);
    }
    return err == SH_OK;
}

void net_stop(struct net *net)
{
    bulk_stop(net->bulk);
}

void net_close(struct net *net)
{
    bulk_close(net->bulk);
    link_close(net->service.link, 0);
    (void)close(net->name);
    free(net);
}
