/* SPDX-License-Identifier: Apache-2.0
 *
 * Answers libzmq's authentication requests (ZAP, RFC 27) from a thread of its own: any client whose
 * CURVE handshake with the cluster's key completed may connect, and its messages carry its public
 * key as User-Id (64 hex digits). Who it is, HELLO decides. Internal to link. */
#ifndef LINK_ZAP_H
#define LINK_ZAP_H

#include "base/err.h"

#include <pthread.h>

struct link_zap {
    void *socket;
    pthread_t thread;
};

/* Before any socket of the context is bound. */
SH_MUST_USE enum sh_err link_zap_start(struct link_zap *zap, void *context);
/* Waits for the thread; only after zmq_ctx_shutdown of the context, which ends it. */
void link_zap_join(struct link_zap *zap);

#endif
