/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to sim/: what waits for an agent's disk. */
#ifndef SIM_DISK_H
#define SIM_DISK_H

#include "store/wal/wal.h"

struct sim_install;

struct sim_write { /* one raft update on its way to the disk */
    struct sim_write *next;
    struct sim_install *install; /* owned; then no entries */
    uint64_t compact_to;         /* not 0: forget the log up to there; no entries */
    uint64_t token;
    bool sync;
    bool has_hard;
    struct wal_hard hard;
    uint32_t count;
    struct wal_entry entries[]; /* payloads behind them */
};

struct sim_disk {
    struct sim_write *first; /* waiting or being written, oldest first */
    struct sim_write *last;
    bool busy;
    uint32_t waiting; /* writes in the list */
    uint32_t batch;   /* writes of the one under way */
    uint64_t extra_us;
    bool lying;
    bool failed; /* a write failed, and the agent has not been started since */
    bool torn;   /* the armed failure keeps its bytes */
};

#endif
