/* SPDX-License-Identifier: Apache-2.0
 *
 * What federated algorithms change about the steps of one client, and what its update weighs.
 * Gradients are sums over a batch, as kn_model_step gives them and kn_model_apply takes them. */
#ifndef KN_AGG_CLIENT_H
#define KN_AGG_CLIENT_H

#include <stddef.h>
#include <stdint.h>

/* FedProx (Li et al. 2020): the loss gains mu / 2 |x - anchor|^2, its gradient mu (x - anchor) a
 * sample. */
void kn_client_prox(float *gradient, const float *params, const float *anchor, float mu,
                    uint32_t batch, size_t count);
/* SCAFFOLD (Karimireddy et al. 2020): the gradient is corrected by all - own, the control variates
 * of all clients and of this one. */
void kn_client_correct(float *gradient, const float *all, const float *own, uint32_t batch,
                       size_t count);
/* The client's new variate and what it changed by, after steps whose learning rates sum up to
 * rates > 0: own' = own - all + (anchor - params) / rates (option II). */
void kn_client_control(float *own, float *change, const float *all, const float *anchor,
                       const float *params, float rates, size_t count);

/* Weights of updates are counts in units of 1 / KN_CLIENT_WEIGHT_UNIT samples, so that what is
 * stale can weigh less than a whole one. FedBuff (Nguyen et al. 2022): samples / sqrt(1 + rounds
 * that the model was behind). Samples beyond KN_CLIENT_SAMPLES_MAX count as so many. */
#define KN_CLIENT_WEIGHT_UNIT 1024u
#define KN_CLIENT_SAMPLES_MAX (UINT32_MAX / KN_CLIENT_WEIGHT_UNIT)
uint32_t kn_client_weight(uint64_t samples, uint64_t stale);
/* A measure from 0 to 1 in the place of a number of samples. */
uint32_t kn_client_metric_weight(double measure, uint64_t stale);

#endif
