/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cpu/isa.h"

#include <string.h>

static const struct kn_ops *table_v4(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl")) {
        return kn_cpu_table_v4();
    }
#endif
    return NULL;
}

static const struct kn_ops *table_v3(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
        __builtin_cpu_supports("bmi2")) {
        return kn_cpu_table_v3();
    }
#endif
    return NULL;
}

const struct kn_ops *kn_ops_cpu_isa(const char *isa)
{
    if (strcmp(isa, "v4") == 0) {
        return table_v4();
    }
    if (strcmp(isa, "v3") == 0) {
        return table_v3();
    }
    return strcmp(isa, "base") == 0 ? kn_cpu_table_base() : NULL;
}

const struct kn_ops *kn_ops_cpu(void)
{
    const struct kn_ops *best = table_v4();
    best = best != NULL ? best : table_v3();
    return best != NULL ? best : kn_cpu_table_base();
}
