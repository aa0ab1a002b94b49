/* SPDX-License-Identifier: Apache-2.0
 *
 * The cells of grid.h on a CUDA device, and the way to it.
 *
 * Everything runs in the calling thread's own stream, in the order asked for. CUDA keeps the newest
 * failure of each host thread until cudaGetLastError asks for it, launches and copies included; so
 * a call that cannot answer leaves its failure there, and settle gives it. */
#include <cuda_runtime.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

extern "C" {
#include "kernels/cuda/grid.h"
#include "kernels/cuda/load.h"
}

#define GRID_TABLE_NAME "cuda"
#define KN_CELL         static __device__

static unsigned grid_blocks(size_t groups)
{
    KN_CHECK(groups >= 1);
    KN_CHECK(groups <= KN_GRID_GROUP_MAX);
    return (unsigned)groups;
}

#define KN_EACH(cell, type)                                                                        \
    static __global__ void cell##_grid(size_t count, type a)                                       \
    {                                                                                              \
        const size_t i = (size_t)blockIdx.x * KN_GRID_WIDTH + threadIdx.x;                         \
        if (i < count) {                                                                           \
            cell(i, &a);                                                                           \
        }                                                                                          \
    }                                                                                              \
    static void cell##_run(size_t count, const type *a)                                            \
    {                                                                                              \
        const unsigned blocks = grid_blocks((count + KN_GRID_WIDTH - 1) / KN_GRID_WIDTH);          \
        cell##_grid<<<blocks, KN_GRID_WIDTH, 0, cudaStreamPerThread>>>(count, *a);                 \
    }

#define KN_SUM(cell, type)                                                                         \
    static __global__ void cell##_grid(type a)                                                     \
    {                                                                                              \
        __shared__ struct kn_grid_sum sum[KN_GRID_WIDTH];                                          \
        sum[threadIdx.x] = cell##_part(blockIdx.x, threadIdx.x, &a);                               \
        for (uint32_t half = KN_GRID_WIDTH / 2; half >= 1; half /= 2) {                            \
            __syncthreads();                                                                       \
            if (threadIdx.x < half) {                                                              \
                kn_grid_pair(sum, threadIdx.x, half);                                              \
            }                                                                                      \
        }                                                                                          \
        if (threadIdx.x == 0) {                                                                    \
            cell##_done(blockIdx.x, sum, &a);                                                      \
        }                                                                                          \
    }                                                                                              \
    static void cell##_run(size_t groups, const type *a)                                           \
    {                                                                                              \
        cell##_grid<<<grid_blocks(groups), KN_GRID_WIDTH, 0, cudaStreamPerThread>>>(*a);           \
    }

/* --- The device's memory. --------------------------------------------------------------------- */

static void left_for_settle(cudaError_t err)
{
    (void)err;
}

/* Moves bytes and waits, so that the host may use its memory again. */
static void grid_move(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
    if (bytes > 0) {
        left_for_settle(cudaMemcpyAsync(to, from, bytes, kind, cudaStreamPerThread));
        left_for_settle(cudaStreamSynchronize(cudaStreamPerThread));
    }
}

static void grid_put(void *to, const void *host, size_t bytes)
{
    grid_move(to, host, bytes, cudaMemcpyHostToDevice);
}

static void grid_get(void *host, const void *from, size_t bytes)
{
    grid_move(host, from, bytes, cudaMemcpyDeviceToHost);
}

static void grid_copy(void *to, const void *from, size_t bytes)
{
    if (bytes > 0) {
        left_for_settle(
            cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, cudaStreamPerThread));
    }
}

static void grid_give(void *at)
{
    left_for_settle(cudaFree(at));
}

static void *grid_take(size_t bytes)
{
    void *at = NULL;
    const size_t whole = bytes > 0 ? bytes : 1;
    cudaError_t err = cudaMalloc(&at, whole);
    if (err == cudaErrorMemoryAllocation) {
        left_for_settle(cudaGetLastError()); /* answered below: taken out of CUDA's keeping */
    }
    if (err != cudaSuccess) {
        return NULL;
    }
    err = cudaMemsetAsync(at, 0, whole, cudaStreamPerThread);
    if (err == cudaSuccess) {
        err = cudaStreamSynchronize(cudaStreamPerThread);
    }
    if (err != cudaSuccess) {
        grid_give(at);
        return NULL;
    }
    return at;
}

static enum kn_err grid_settle(struct kn_diag *diag)
{
    cudaError_t err = cudaStreamSynchronize(cudaStreamPerThread);
    const cudaError_t earlier = cudaGetLastError();
    err = err != cudaSuccess ? err : earlier;
    if (err == cudaSuccess) {
        return KN_OK;
    }
    return kn_fail(diag, KN_ERR_DEVICE, "CUDA: %s (%s)", cudaGetErrorString(err),
                   cudaGetErrorName(err));
}

static const struct kn_memory grid_memory = {
    .take = grid_take,
    .give = grid_give,
    .put = grid_put,
    .get = grid_get,
    .copy = grid_copy,
    .settle = grid_settle,
};

#include "kernels/cuda/attention.inc.c"
#include "kernels/cuda/conv.inc.c"
#include "kernels/cuda/dense.inc.c"
#include "kernels/cuda/norm.inc.c"
#include "kernels/cuda/point.inc.c"
#include "kernels/cuda/pool.inc.c"
#include "kernels/cuda/sequence.inc.c"
#include "kernels/cuda/table.inc.c"

/* --- The way in. ------------------------------------------------------------------------------ */

static enum kn_err driver_verify(struct kn_cuda_device *device, struct kn_diag *diag)
{
    int driver = 0;
    int count = 0;
    cudaError_t err = cudaDriverGetVersion(&driver);
    if (err != cudaSuccess || driver == 0) {
        return kn_fail(diag, KN_ERR_UNSUPPORTED, "no CUDA driver on this machine (libcuda.so.1)");
    }
    err = cudaGetDeviceCount(&count);
    if (err == cudaErrorInsufficientDriver) {
        return kn_fail(diag, KN_ERR_UNSUPPORTED,
                       "the CUDA driver knows CUDA %d.%d, the module needs %d.%d", driver / 1000,
                       driver % 1000 / 10, CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
    }
    if (err != cudaSuccess) {
        return kn_fail(diag, KN_ERR_UNSUPPORTED, "no CUDA device: %s", cudaGetErrorString(err));
    }
    if (count == 0) {
        return kn_fail(diag, KN_ERR_UNSUPPORTED, "no CUDA device");
    }
    device->driver = (uint32_t)driver;
    device->runtime = CUDART_VERSION;
    return KN_OK;
}

static enum kn_err device_describe(struct kn_cuda_device *device, struct kn_diag *diag)
{
    struct cudaDeviceProp found;
    cudaError_t err = cudaGetDeviceProperties(&found, 0);
    if (err == cudaSuccess) {
        err = cudaSetDevice(0);
    }
    if (err != cudaSuccess) {
        return kn_fail(diag, KN_ERR_DEVICE, "CUDA device 0: %s", cudaGetErrorString(err));
    }
    snprintf(device->name, sizeof device->name, "%.*s", (int)KN_CUDA_NAME_BYTES - 1, found.name);
    device->memory = found.totalGlobalMem;
    device->major = (uint32_t)found.major;
    device->minor = (uint32_t)found.minor;
    struct cudaFuncAttributes code;
    err = cudaFuncGetAttributes(&code, add_at_grid);
    if (err == cudaErrorNoKernelImageForDevice || err == cudaErrorUnsupportedPtxVersion) {
        return kn_fail(diag, KN_ERR_UNSUPPORTED, "%s: no code for compute capability %d.%d",
                       device->name, found.major, found.minor);
    }
    return err == cudaSuccess
               ? KN_OK
               : kn_fail(diag, KN_ERR_DEVICE, "%s: %s", device->name, cudaGetErrorString(err));
}

/* One sum, there and back: what cannot do that is told apart here and not in a training step. */
static enum kn_err device_try(const struct kn_cuda_device *device, struct kn_diag *diag)
{
    const float given[2] = {1.5f, -0.25f};
    float got[2] = {0.0f, 0.0f};
    float *at = (float *)grid_take(sizeof given);
    if (at == NULL) {
        return kn_fail(diag, KN_ERR_DEVICE, "%s: no memory is left", device->name);
    }
    grid_put(at, given, sizeof given);
    grid_add(at, at, at, 1, 2);
    grid_get(got, at, sizeof got);
    grid_give(at);
    const enum kn_err err = grid_settle(diag);
    if (err == KN_OK && (got[0] != 3.0f || got[1] != -0.5f)) {
        return kn_fail(diag, KN_ERR_DEVICE, "%s: 1.5 + 1.5 = %g", device->name, (double)got[0]);
    }
    return err;
}

extern "C" __attribute__((visibility("default"))) enum kn_err kn_cuda_open(
    uint32_t version, const struct kn_ops **ops, struct kn_cuda_device *device,
    struct kn_diag *diag)
{
    if (version != KN_OPS_VERSION) {
        return kn_fail(diag, KN_ERR_UNSUPPORTED,
                       "the CUDA module is of version %u, the program of version %u",
                       KN_OPS_VERSION, version);
    }
    memset(device, 0, sizeof *device);
    enum kn_err err = driver_verify(device, diag);
    if (err == KN_OK) {
        err = device_describe(device, diag);
    }
    if (err == KN_OK) {
        err = device_try(device, diag);
    }
    left_for_settle(cudaGetLastError()); /* answered: the next settle is not about this */
    if (err == KN_OK) {
        *ops = &grid_table;
    }
    return err;
}
