/* SPDX-License-Identifier: Apache-2.0
 *
 * What this machine has, measured once at start: cores, instruction set, memory, GPUs, and the
 * arithmetic class, which is a digest of everything that decides the bits of a computation (kernel
 * build, BLAS and its core type, instruction set path, a fixed probe run). Load is read anew. */
#ifndef AGENT_INVENTORY_H
#define AGENT_INVENTORY_H

#include "wire/node.h"

/* Fills cpus, arch, isa, ram_bytes, gpus, class, version. threads 0: all cores. Takes some
 * milliseconds (the probe). */
void inventory_read(struct wire_node *node, uint32_t threads);
/* Per mille of all cores that processes other than this one and its descendants kept busy since the
 * last call; 0 at the first. O(processes of the machine). */
struct inventory_load {
    uint64_t busy;
    uint64_t own; /* of it */
    uint64_t total;
};
uint16_t inventory_load(struct inventory_load *last);
/* The text whose digest the class is, for people and `shoal nodes`. */
size_t inventory_class_text(char *out, size_t size);

#endif
