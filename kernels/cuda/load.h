/* SPDX-License-Identifier: Apache-2.0
 *
 * The way to the cuda table. It lives in a shared module, libshoal_cuda.so, which is built only
 * where nvcc is and loaded only where it is wanted: a program without it, and a machine without
 * NVIDIA's driver (libcuda.so.1), are the normal case. The module holds CUDA's runtime and needs
 * nothing of the program; it exports kn_cuda_open alone.
 *
 * The table computes on the first device that CUDA shows (CUDA_VISIBLE_DEVICES chooses), each
 * thread of the host in a stream of its own. Its tensors lie in the device's memory (struct
 * kn_memory). Results depend on the arguments alone: no atomic operation, every sum in a fixed
 * order. A device that has met an illegal access or a hardware fault answers DEVICE to everything
 * until the process ends. */
#ifndef KN_CUDA_LOAD_H
#define KN_CUDA_LOAD_H

#include "kernels/kn.h"

#define KN_CUDA_MODULE     "libshoal_cuda.so"
#define KN_CUDA_OPEN       "kn_cuda_open"
#define KN_CUDA_NAME_BYTES 64u

struct kn_cuda_device {
    char name[KN_CUDA_NAME_BYTES]; /* "NVIDIA H200", cut at the size */
    uint64_t memory;               /* bytes */
    uint32_t major, minor;         /* compute capability */
    uint32_t driver, runtime;      /* newest CUDA the driver knows; CUDA of the module: 13000 */
};

/* Gives the table, constant and good until the process ends, and fills *device. `path` NULL means
 * KN_CUDA_MODULE in the folder of the program. The first call of a process takes up to a second.
 * UNSUPPORTED: no such module, one of another version, no driver, one that is too old, no device,
 * a device that the module has no code for; DEVICE: there is one, and it fails. The text says
 * which. After an error nothing of the module is used again. */
KN_MUST_USE enum kn_err kn_cuda_load(const char *path, const struct kn_ops **ops,
                                     struct kn_cuda_device *device, struct kn_diag *diag);

/* What the module exports. `version` is the KN_OPS_VERSION of the caller. */
enum kn_err kn_cuda_open(uint32_t version, const struct kn_ops **ops, struct kn_cuda_device *device,
                         struct kn_diag *diag);

#endif
