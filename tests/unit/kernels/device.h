/* SPDX-License-Identifier: Apache-2.0
 *
 * A CUDA device for a test, where there is one. */
#ifndef DEVICE_H
#define DEVICE_H

#include "kernels/cuda/load.h"
#include "tst.h"

#include <stdio.h>
#include <stdlib.h>

/* The module: what SHOAL_CUDA_MODULE names, else the one that the same build has made. */
static inline const char *device_module(void)
{
    const char *named = getenv("SHOAL_CUDA_MODULE");
    return named != NULL ? named : "$ORIGIN/../bin/" KN_CUDA_MODULE;
}

/* The cuda table; skips the test where it cannot be had. */
static inline const struct kn_ops *device_ops(void)
{
    const struct kn_ops *ops = NULL;
    struct kn_cuda_device device;
    struct kn_diag diag;
    const enum kn_err err = kn_cuda_load(device_module(), &ops, &device, &diag);
    if (err == KN_ERR_UNSUPPORTED) {
        SKIP(diag.text);
    }
    if (err != KN_OK) {
        tst_fail(__FILE__, __LINE__, "%s", diag.text);
    }
    printf("# %s, compute capability %u.%u, %llu bytes, CUDA %u, driver %u\n", device.name,
           device.major, device.minor, (unsigned long long)device.memory, device.runtime,
           device.driver);
    return ops;
}

#endif
