/* SPDX-License-Identifier: Apache-2.0
 *
 * How the arithmetic of the cuda table is written: as cells, functions of an index that write what
 * belongs to that index and read nothing that another index writes. So a result depends neither on
 * the order in which cells run nor on how many run at once, and the same text is compiled twice: by
 * nvcc for the device (module.cu), and by the host's compiler for a grid that runs one cell after
 * the other (tests/unit/kernels/grid.c). Both use only IEEE operations rounded to nearest - +, -,
 * *, /, sqrt and explicit fmaf, never contracted - and add in the same order.
 *
 * The *.inc.c files are written in what C and C++ have in common. The including file defines
 *   KN_CELL            what stands before a cell's definition
 *   KN_EACH(cell, T)   defines cell_run(count, const T *a), which has cell(i, a) run for each i in
 *                      [0, count)
 *   KN_SUM(cell, T)    defines cell_run(groups, const T *a), which for each group in [0, groups)
 *                      adds cell_part(group, thread, a) over KN_GRID_WIDTH threads by the tree of
 *                      kn_grid_pair and gives the sum to cell_done(group, &sum, a)
 *   grid_put, grid_get as in struct kn_memory
 *   grid_memory        the struct kn_memory of the table
 *   GRID_TABLE_NAME    its name
 * What runs of one thread ask for happens one after the other. */
#ifndef KN_CUDA_GRID_H
#define KN_CUDA_GRID_H

#include "kernels/inline.h"
#include "kernels/kn.h"
#include "kernels/math.h"
#include "kernels/philox.h"
#include "kernels/window.h"

#define KN_GRID_WIDTH     256u        /* threads of a block; a power of two */
#define KN_GRID_GROUP_MAX 0x7FFFFFFFu /* blocks of a launch */

/* Two sums that are formed together. In double: a sum over a batch has many terms. */
struct kn_grid_sum {
    double a;
    double b;
};

/* One node of the tree: for half = KN_GRID_WIDTH / 2, ..., 2, 1 every thread below half adds the
 * one at half above it. */
static KN_BOTH inline void kn_grid_pair(struct kn_grid_sum *sum, uint32_t thread, uint32_t half)
{
    sum[thread].a += sum[thread + half].a;
    sum[thread].b += sum[thread + half].b;
}

static KN_BOTH inline int kn_grid_nan(float x)
{
    return (kn_f32_bits(x) & 0x7FFFFFFFu) > 0x7F800000u;
}

#endif
