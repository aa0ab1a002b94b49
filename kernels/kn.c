/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/kn.h"

#include "kernels/window.h"

size_t kn_layout_count(const struct kn_ops *ops, uint32_t n, size_t count)
{
    KN_CHECK(ops->lanes >= 1);
    KN_CHECK(ops->lanes <= KN_LANES_MAX);
    const size_t blocks = ((size_t)n + ops->lanes - 1) / ops->lanes;
    return blocks * ops->lanes * count;
}

void kn_window_check(const struct kn_window *w)
{
    KN_CHECK(w->kernel_h >= 1);
    KN_CHECK(w->kernel_w >= 1);
    KN_CHECK(w->stride_h >= 1);
    KN_CHECK(w->stride_w >= 1);
    KN_CHECK(w->out_h >= 1);
    KN_CHECK(w->out_w >= 1);
    KN_CHECK(w->pad_top < w->kernel_h);
    KN_CHECK(w->pad_left < w->kernel_w);
    KN_CHECK((w->out_h - 1) * w->stride_h < w->in_h + w->pad_top);
    KN_CHECK((w->out_w - 1) * w->stride_w < w->in_w + w->pad_left);
}
