/* SPDX-License-Identifier: Apache-2.0
 *
 * Which taps of a window lie inside the image. Along one axis, output `o` with tap `t` reads input
 * o * stride + t - pad. */
#ifndef KN_WINDOW_H
#define KN_WINDOW_H

#include "kernels/inline.h"
#include "kernels/kn.h"

/* Panics unless every window begins inside or before the image and meets it. */
void kn_window_check(const struct kn_window *w);

/* First tap of output o that is inside, and one past the last: begin <= end <= kernel. */
static KN_BOTH inline uint32_t kn_tap_begin(uint32_t o, uint32_t stride, uint32_t pad)
{
    const uint32_t at = o * stride;
    return at < pad ? pad - at : 0;
}

static KN_BOTH inline uint32_t kn_tap_end(uint32_t o, uint32_t stride, uint32_t pad,
                                          uint32_t kernel, uint32_t in)
{
    const uint32_t room = in + pad - o * stride;
    return room < kernel ? room : kernel;
}

#endif
