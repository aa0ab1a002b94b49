/* SPDX-License-Identifier: Apache-2.0 */
#include "link/zap.h"

#include "base/host/host.h"
#include "trust/trust.h"

#include <zmq.h>

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>

/* Frames of a request: version, id, domain, address, identity, mechanism, credentials. */
#define FRAME_MAX 256u

struct request {
    uint8_t id[FRAME_MAX];
    size_t id_size;
    char user[2 * TRUST_KEY_BYTES + 1];
    bool curve;
};

/* One request, all frames. False: the context is shutting down. */
static bool receive(void *socket, struct request *out)
{
    uint8_t frame[FRAME_MAX];
    int more = 1;
    bool named_curve = false;
    *out = (struct request){0};
    for (unsigned i = 0; more != 0; i++) {
        int size = zmq_recv(socket, frame, sizeof frame, 0);
        if (size < 0) {
            if (errno == EINTR) {
                i--;
                continue;
            }
            return false;
        }
        size_t used = (size_t)size < sizeof frame ? (size_t)size : sizeof frame;
        if (i == 1) {
            memcpy(out->id, frame, used);
            out->id_size = used;
        } else if (i == 5) {
            named_curve = used == 5 && memcmp(frame, "CURVE", 5) == 0;
        } else if (i == 6 && named_curve && used == TRUST_KEY_BYTES) {
            sh_hex(out->user, frame, TRUST_KEY_BYTES);
            out->curve = true;
        }
        size_t width = sizeof more;
        if (zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &width) != 0) {
            return false;
        }
    }
    return true;
}

static bool send_frame(void *socket, const void *bytes, size_t size, int flags)
{
    return zmq_send(socket, bytes, size, flags) == (int)size;
}

static bool answer(void *socket, const struct request *request)
{
    const char *status = request->curve ? "200" : "400";
    const char *text = request->curve ? "" : "CURVE only";
    return send_frame(socket, "1.0", 3, ZMQ_SNDMORE) &&
           send_frame(socket, request->id, request->id_size, ZMQ_SNDMORE) &&
           send_frame(socket, status, 3, ZMQ_SNDMORE) &&
           send_frame(socket, text, strlen(text), ZMQ_SNDMORE) &&
           send_frame(socket, request->user, strlen(request->user), ZMQ_SNDMORE) &&
           send_frame(socket, "", 0, 0);
}

static void *serve(void *arg)
{
    struct link_zap *zap = arg;
    struct request request;
    bool running = true;
    sh_thread_name("zap");
    while (running) {
        running = receive(zap->socket, &request) && answer(zap->socket, &request);
    }
    SH_CHECK(zmq_close(zap->socket) == 0);
    return NULL;
}

/* Signals belong to the agent's loop. */
static enum sh_err start_thread(struct link_zap *zap)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    SH_CHECK(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
    int code = pthread_create(&zap->thread, NULL, serve, zap);
    SH_CHECK(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    return sh_err_from_errno(code);
}

enum sh_err link_zap_start(struct link_zap *zap, void *context)
{
    zap->socket = zmq_socket(context, ZMQ_REP);
    if (zap->socket == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    enum sh_err err =
        zmq_bind(zap->socket, "inproc://zeromq.zap.01") == 0 ? start_thread(zap) : SH_ERR_IO;
    if (err != SH_OK) {
        SH_CHECK(zmq_close(zap->socket) == 0);
        zap->socket = NULL;
    }
    return err;
}

void link_zap_join(struct link_zap *zap)
{
    SH_CHECK(pthread_join(zap->thread, NULL) == 0);
    zap->socket = NULL;
}
