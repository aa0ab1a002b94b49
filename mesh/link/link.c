/* SPDX-License-Identifier: Apache-2.0 */
#include "link/link.h"

#include "base/host/host.h"
#include "link/plane.h"
#include "link/zap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IO_THREADS      2 /* one per plane: link_plane_specs */
#define IDLE_DEFAULT_US 60000000u

struct link {
    void *context;
    struct link_zap zap;
    bool zap_runs;
    struct link_plane planes[LINK_PLANES];
};

static enum sh_err explain(char why[static LINK_TEXT_MAX + 1], enum sh_err err,
                           const struct link_plane *plane)
{
    char name[SH_ADDR_MAX + 1];
    link_addr_format(&plane->listen, name);
    (void)snprintf(why, LINK_TEXT_MAX + 1, "%s plane: cannot listen on %s (tcp): %s",
                   link_plane_specs[plane->id].name, name,
                   err == SH_ERR_IN_USE ? "the port is in use by another process"
                                        : sh_err_text(err));
    return err;
}

static enum sh_err open_plane(struct link *link, const struct link_options *options,
                              enum link_plane_id id, char why[static LINK_TEXT_MAX + 1])
{
    struct link_plane *plane = &link->planes[id];
    plane->id = id;
    plane->trust = options->trust;
    plane->version = options->program_version != NULL ? options->program_version : SHOAL_VERSION;
    plane->listen = options->listen[id];
    plane->gossip = options->gossip;
    plane->idle_close_us = options->idle_close_us != 0 ? options->idle_close_us : IDLE_DEFAULT_US;
    enum sh_err err = link_plane_open(plane, link->context);
    return err == SH_OK ? SH_OK : explain(why, err, plane);
}

/* Where the planes say they are: what was configured, else what they listen on. */
static void settle_addresses(struct link *link, const struct link_options *options)
{
    for (unsigned i = 0; i < LINK_PLANES; i++) {
        struct link_addr said = options->advertise[i];
        const struct link_addr *heard = &link->planes[i].listen;
        said.port = said.port != 0 ? said.port : heard->port;
        if (link_addr_is_unspecified(&said)) {
            memcpy(said.ip, heard->ip, sizeof said.ip);
        }
        for (unsigned j = 0; j < LINK_PLANES; j++) {
            link->planes[j].advertise[i] = said;
        }
    }
}

enum sh_err link_open(const struct link_options *options, struct link **out,
                      char why[static LINK_TEXT_MAX + 1])
{
    struct link *link = calloc(1, sizeof *link);
    *out = NULL;
    (void)snprintf(why, LINK_TEXT_MAX + 1, "transport: %s", sh_err_text(SH_ERR_NO_MEMORY));
    if (link == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    for (unsigned i = 0; i < LINK_PLANES; i++) {
        link->planes[i].epoll_fd = LINK_NO_FD;
    }
    link->context = zmq_ctx_new();
    enum sh_err err = link->context != NULL ? SH_OK : SH_ERR_NO_MEMORY;
    if (err == SH_OK && zmq_ctx_set(link->context, ZMQ_IO_THREADS, IO_THREADS) != 0) {
        err = SH_ERR_IO;
    }
    if (err == SH_OK) {
        err = link_zap_start(&link->zap, link->context);
        link->zap_runs = err == SH_OK;
    }
    for (unsigned i = 0; i < LINK_PLANES && err == SH_OK; i++) {
        err = open_plane(link, options, (enum link_plane_id)i, why);
    }
    if (err != SH_OK) {
        link_close(link, 0);
        return err;
    }
    settle_addresses(link, options);
    why[0] = '\0';
    *out = link;
    return SH_OK;
}

void link_close(struct link *link, uint32_t flush_ms)
{
    if (link == NULL) {
        return;
    }
    for (unsigned i = 0; i < LINK_PLANES; i++) {
        link_plane_close(&link->planes[i], flush_ms);
    }
    if (link->context != NULL) {
        SH_CHECK(zmq_ctx_shutdown(link->context) == 0); /* ends the ZAP thread */
        if (link->zap_runs) {
            link_zap_join(&link->zap);
        }
        while (zmq_ctx_term(link->context) != 0) { /* waits out flush_ms */
            SH_CHECK(errno == EINTR);
        }
    }
    free(link);
}

struct link_plane *link_plane_of(struct link *link, enum link_plane_id id)
{
    SH_CHECK_CMP(id, <, LINK_PLANES);
    return &link->planes[id];
}
