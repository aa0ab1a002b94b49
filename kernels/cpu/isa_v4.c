/* SPDX-License-Identifier: Apache-2.0
 *
 * The kernels compiled for x86-64-v4. */
#include "kernels/cpu/vec.h"
#include "kernels/cpu/blas.h"
#include "kernels/cpu/isa.h"
#include "kernels/math.h"
#include "kernels/window.h"

#include <math.h>

#define KN_TABLE      kn_cpu_table_v4
#define KN_TABLE_NAME "cpu-v4"

#include "kernels/cpu/conv.inc.c"
#include "kernels/cpu/dense.inc.c"
#include "kernels/cpu/pool.inc.c"
#include "kernels/cpu/norm.inc.c"
#include "kernels/cpu/point.inc.c"
#include "kernels/cpu/sequence.inc.c"
#include "kernels/cpu/attention.inc.c"
#include "kernels/cpu/table.inc.c"
