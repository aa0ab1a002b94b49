/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/agg/server.h"

#include "kernels/kn.h"

#include <math.h>

struct kn_server kn_server_default(enum kn_server_kind kind)
{
    struct kn_server s = {.kind = kind, .lr = 1.0f};
    if (kind != KN_SERVER_AVG) {
        s.beta1 = kind == KN_SERVER_ADAGRAD ? 0.0f : 0.9f;
    }
    if (kind != KN_SERVER_AVG && kind != KN_SERVER_AVGM) {
        s.lr = 0.1f;
        s.beta2 = 0.99f;
        s.tau = 1e-3f;
    }
    return s;
}

size_t kn_server_state_count(const struct kn_server *s, size_t count)
{
    switch (s->kind) {
    case KN_SERVER_AVG:
        return 0;
    case KN_SERVER_AVGM:
        return count;
    case KN_SERVER_ADAGRAD:
    case KN_SERVER_ADAM:
    case KN_SERVER_YOGI:
        break;
    }
    return 2 * count;
}

void kn_server_begin(const struct kn_server *s, float *state, size_t count)
{
    size_t total = kn_server_state_count(s, count);
    for (size_t i = 0; i < total; i++) {
        state[i] = i < count ? 0.0f : s->tau * s->tau;
    }
}

/* The second moment after a change of d. */
static float second(const struct kn_server *s, float v, float d)
{
    float square = d * d;
    if (s->kind == KN_SERVER_ADAGRAD) {
        return v + square;
    }
    if (s->kind == KN_SERVER_ADAM) {
        return s->beta2 * v + (1.0f - s->beta2) * square;
    }
    float step = (1.0f - s->beta2) * square;
    return v > square ? v - step : v < square ? v + step : v;
}

void kn_server_update(const struct kn_server *s, float *params, const float *delta, float *m,
                      float *v, size_t count)
{
    kn_fp_enter();
    for (size_t i = 0; i < count; i++) {
        float change = delta[i];
        if (s->kind == KN_SERVER_AVGM) {
            m[i] = s->beta1 * m[i] + change;
            change = m[i];
        } else if (s->kind != KN_SERVER_AVG) {
            m[i] = s->beta1 * m[i] + (1.0f - s->beta1) * change;
            v[i] = second(s, v[i], change);
            change = m[i] / (sqrtf(v[i]) + s->tau);
        }
        params[i] += s->lr * change;
    }
}
