/* SPDX-License-Identifier: Apache-2.0
 *
 * One table per instruction set; each comes from its own isa_*.c, compiled with its own -march. */
#ifndef KN_ISA_H
#define KN_ISA_H

#include "kernels/kn.h"

const struct kn_ops *kn_cpu_table_base(void);
const struct kn_ops *kn_cpu_table_v3(void); /* x86-64-v3: AVX2, FMA */
const struct kn_ops *kn_cpu_table_v4(void); /* x86-64-v4: AVX-512 F, BW, CD, DQ, VL */

#endif
