/* SPDX-License-Identifier: Apache-2.0
 *
 * Which GPUs of this agent its units have: distinct ones, the lowest that are free. The cluster
 * counts GPUs when it places units; which of them a unit gets is known here alone, and forgotten
 * with the commands that have them, which never outlive their agent. Pure; the caller locks. */
#ifndef SCRIPT_GPUS_H
#define SCRIPT_GPUS_H

#include "base/check.h"
#include "wire/job.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCRIPT_GPU_NAME_MAX   47u /* characters of a device as CUDA_VISIBLE_DEVICES names it */
#define SCRIPT_GPU_TEXT_BYTES ((WIRE_GPUS_MAX) * (SCRIPT_GPU_NAME_MAX + 1u))

struct script_gpu_set {
    uint64_t bits[(WIRE_GPUS_MAX + 63u) / 64u]; /* by index */
};

struct script_gpus {
    uint32_t count; /* of this machine */
    struct script_gpu_set taken;
};

/* The lowest free ones; false: so many are not free, and nothing is taken. */
bool script_gpus_take(struct script_gpus *gpus, uint32_t count, struct script_gpu_set *out);
/* Those in set, all of them taken, are free again; set is empty then. */
void script_gpus_give(struct script_gpus *gpus, struct script_gpu_set *set);

bool script_gpus_any(const struct script_gpu_set *set);
/* "0,3", "" for none. SCRIPT_GPU_TEXT_BYTES always suffice. */
void script_gpus_text(const struct script_gpu_set *set, char *out, size_t size);
/* The same for CUDA_VISIBLE_DEVICES, where that of this agent is visible (NULL: not set): index i
 * is what stands there in place i. Names that are longer than SCRIPT_GPU_NAME_MAX are cut. */
void script_gpus_visible(const struct script_gpu_set *set, const char *visible, char *out,
                         size_t size);

#endif
