/* SPDX-License-Identifier: Apache-2.0
 *
 * The cells of the cuda table (kernels/cuda/grid.h) on the host: one after the other, and on memory
 * that faults when anything but the table touches it. So their arithmetic, and how a graph treats
 * tensors that lie elsewhere, can be examined where no device is. */
#ifndef GRID_H
#define GRID_H

#include "kernels/kn.h"

enum grid_order {
    GRID_UP = 0,  /* cells by rising index */
    GRID_DOWN = 1 /* by falling index: a device promises no order */
};

const struct kn_ops *grid_ops(void);
void grid_order_set(enum grid_order order);
/* The operation that runs after `after` others fails: settle will answer DEVICE once. */
void grid_fail(uint32_t after);
/* From now on there is no memory left. */
void grid_exhaust(void);
/* Regions taken and not given back. */
uint32_t grid_regions(void);

#endif
