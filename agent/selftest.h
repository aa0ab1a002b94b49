/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether a machine still computes, remembers, stores and tells the time: what an agent tries when
 * its quarantine is over, before it takes a unit again. */
#ifndef AGENT_SELFTEST_H
#define AGENT_SELFTEST_H

#include "base/err.h"
#include "store/dir.h"

#include <stdbool.h>
#include <stdint.h>

#define SELFTEST_MEMORY_BYTES (64u << 20)
#define SELFTEST_CLOCK_US     UINT64_C(300000000) /* that its clock may be behind the cluster's */
#define SELFTEST_WHY_BYTES    256u

/* cluster_us: the cluster's time. OK, or what is broken, with one line in why: DIVERGED arithmetic,
 * CORRUPT memory or disk, INVALID clock, NO_MEMORY, or why the disk refused. Some 100 ms of one
 * core. */
SH_MUST_USE enum sh_err selftest_run(const struct dir *dir, uint64_t cluster_us,
                                     char why[static SELFTEST_WHY_BYTES]);

#endif
