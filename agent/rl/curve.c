/* SPDX-License-Identifier: Apache-2.0 */
#include "rl/curve.h"

#define VERSION     1u
#define HEAD_BYTES  8u
#define POINT_BYTES 40u

size_t rl_curve_size(const struct rl_curve *curve)
{
    return HEAD_BYTES + (size_t)curve->count * POINT_BYTES;
}

void rl_curve_put(struct sh_writer *w, const struct rl_curve *curve)
{
    sh_put_u32(w, VERSION);
    sh_put_u32(w, curve->count);
    for (uint32_t i = 0; i < curve->count; i++) {
        const struct rl_point *p = &curve->at[i];
        sh_put_u64(w, p->iteration);
        sh_put_u64(w, p->steps);
        sh_put_u64(w, p->episodes);
        sh_put_f64(w, p->mean);
        sh_put_f64(w, p->deviation);
    }
}

void rl_curve_get(struct sh_reader *r, struct rl_curve *curve)
{
    uint32_t version = sh_get_u32(r);
    uint32_t count = sh_get_u32(r);
    curve->count = 0;
    if (version != VERSION || count > SH_COUNT(curve->at)) {
        r->bad = true;
        return;
    }
    for (uint32_t i = 0; i < count && !r->bad; i++) {
        struct rl_point *p = &curve->at[i];
        p->iteration = sh_get_u64(r);
        p->steps = sh_get_u64(r);
        p->episodes = sh_get_u64(r);
        p->mean = sh_get_f64(r);
        p->deviation = sh_get_f64(r);
        r->bad = r->bad || (i > 0 && p->iteration <= curve->at[i - 1].iteration);
    }
    curve->count = r->bad ? 0 : count;
}
