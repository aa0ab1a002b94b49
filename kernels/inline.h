/* SPDX-License-Identifier: Apache-2.0
 *
 * The mark of inline functions that CUDA's compiler builds for the device as well as for the host.
 * To any other compiler it is nothing. */
#ifndef KN_INLINE_H
#define KN_INLINE_H

#if defined(__CUDACC__)
#    define KN_BOTH __host__ __device__
#else
#    define KN_BOTH
#endif

#endif
