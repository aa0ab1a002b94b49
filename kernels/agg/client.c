/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/agg/client.h"

#include "kernels/kn.h"

#include <math.h>

#define METRIC_UNITS 1048576.0

void kn_client_prox(float *gradient, const float *params, const float *anchor, float mu,
                    uint32_t batch, size_t count)
{
    const float factor = mu * (float)batch;
    for (size_t i = 0; i < count; i++) {
        gradient[i] += factor * (params[i] - anchor[i]);
    }
}

void kn_client_correct(float *gradient, const float *all, const float *own, uint32_t batch,
                       size_t count)
{
    const float factor = (float)batch;
    for (size_t i = 0; i < count; i++) {
        gradient[i] += factor * (all[i] - own[i]);
    }
}

void kn_client_control(float *own, float *change, const float *all, const float *anchor,
                       const float *params, float rates, size_t count)
{
    KN_CHECK(rates > 0.0f);
    for (size_t i = 0; i < count; i++) {
        float next = own[i] - all[i] + (anchor[i] - params[i]) / rates;
        change[i] = next - own[i];
        own[i] = next;
    }
}

static uint32_t aged(double units, uint64_t stale)
{
    double weight = units / sqrt(1.0 + (double)stale) + 0.5;
    return weight < (double)UINT32_MAX ? (uint32_t)weight : UINT32_MAX;
}

uint32_t kn_client_weight(uint64_t samples, uint64_t stale)
{
    uint64_t counted = samples < KN_CLIENT_SAMPLES_MAX ? samples : KN_CLIENT_SAMPLES_MAX;
    return aged((double)(counted * KN_CLIENT_WEIGHT_UNIT), stale);
}

uint32_t kn_client_metric_weight(double measure, uint64_t stale)
{
    bool counts = measure > 0.0; /* false for a NaN */
    double units = counts ? (measure < 1.0 ? measure : 1.0) * METRIC_UNITS : 0.0;
    return counts ? aged(units, stale) : 0;
}
