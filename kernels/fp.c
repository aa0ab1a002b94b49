/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/kn.h"

#if defined(__SSE2__)
#    include <xmmintrin.h>
#endif

void kn_fp_enter(void)
{
#if defined(__SSE2__)
    _mm_setcsr(
        0x1F80); /* all exceptions masked, nearest, no flush-to-zero, no denormals-are-zero */
#endif
}
