/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to agent/api: threads for whatever may wait. There are as many as there is work at one
 * time, up to a bound; a thread that had none for API_WORKERS_IDLE_US ends. */
#ifndef API_WORKERS_H
#define API_WORKERS_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define API_WORKERS_IDLE_US UINT64_C(10000000)

struct api_workers;

struct api_work { /* lies in what it works on */
    void (*run)(void *ctx);
    void *ctx;
    struct api_work *next;
};

/* At most `most` threads, which is also the most work at one time; none is started yet. NO_MEMORY.
 */
SH_MUST_USE enum sh_err api_workers_open(uint32_t most, struct api_workers **out);
/* All work has ended, as its owner knows: waits for the threads. */
void api_workers_close(struct api_workers *w);
/* Runs it soon on a thread of its own; w is the worker's until run is called. False, and run is not
 * called, where no thread can be started for it. Any thread. */
bool api_workers_run(struct api_workers *workers, struct api_work *w);

#endif
