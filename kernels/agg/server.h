/* SPDX-License-Identifier: Apache-2.0
 *
 * Federated optimisation (Reddi et al., "Adaptive federated optimization", 2021, algorithm 2; for
 * FedAvgM Hsu et al. 2019): what a round's mean change of the clients does to the model. Plain
 * IEEE arithmetic, element by element: equal inputs give equal bits.
 *
 *     FedAvg      x += lr d
 *     FedAvgM     m = beta1 m + d;  x += lr m
 *     the others  m = beta1 m + (1 - beta1) d;  x += lr m / (sqrt(v) + tau)
 *                 FedAdagrad v += d^2
 *                 FedAdam    v = beta2 v + (1 - beta2) d^2
 *                 FedYogi    v -= (1 - beta2) d^2 sign(v - d^2)
 *     v begins as tau^2, as the paper asks. */
#ifndef KN_AGG_SERVER_H
#define KN_AGG_SERVER_H

#include <stddef.h>
#include <stdint.h>

enum kn_server_kind {
    KN_SERVER_AVG = 1,
    KN_SERVER_AVGM = 2,
    KN_SERVER_ADAGRAD = 3,
    KN_SERVER_ADAM = 4,
    KN_SERVER_YOGI = 5
};

struct kn_server {
    enum kn_server_kind kind;
    float lr;    /* > 0 */
    float beta1; /* [0, 1); not of AVG */
    float beta2; /* [0, 1); ADAM, YOGI */
    float tau;   /* > 0; ADAGRAD, ADAM, YOGI */
};

/* The defaults: lr 1 for AVG and AVGM, else 0.1; beta1 0.9 (ADAGRAD 0), beta2 0.99, tau 0.001. */
struct kn_server kn_server_default(enum kn_server_kind kind);
/* Floats of state for so many parameters: m, then v. */
size_t kn_server_state_count(const struct kn_server *s, size_t count);
/* The state before the first round. */
void kn_server_begin(const struct kn_server *s, float *state, size_t count);
/* One round over a vector or a stretch of it: delta is the mean change of the clients, m and v are
 * where these parts of the state lie (NULL where the kind has none). */
void kn_server_update(const struct kn_server *s, float *params, const float *delta, float *m,
                      float *v, size_t count);

#endif
