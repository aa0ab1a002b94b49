/* SPDX-License-Identifier: Apache-2.0
 *
 * Device files that commands with GPUs need in their sandbox: all that the driver made, since it
 * numbers GPUs by those it can reach. CUDA_VISIBLE_DEVICES says which of them a unit uses. */
#ifndef SCRIPT_DEVICES_H
#define SCRIPT_DEVICES_H

#include <stddef.h>

#define SCRIPT_DEVICES_MAX  40u /* a sandbox can show as many */
#define SCRIPT_DEVICE_BYTES 32u /* of a path, with the NUL */

struct script_devices {
    const char *paths[SCRIPT_DEVICES_MAX + 1]; /* NULL-terminated; point into text */
    char text[SCRIPT_DEVICES_MAX][SCRIPT_DEVICE_BYTES];
};

/* Character devices DIR/nvidia*; of more than SCRIPT_DEVICES_MAX some. */
void script_devices_find(struct script_devices *out, const char *dir);

#endif
