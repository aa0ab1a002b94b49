/* SPDX-License-Identifier: Apache-2.0
 *
 * Agents without loop, sockets and log: the calls, blobs and records of each over stores in memory,
 * their frames handed straight to one another. For unit tests and fuzzing of those parts. */
#ifndef TEST_CELLS_H
#define TEST_CELLS_H

#include "parts.h"

#include <pthread.h>

#define CELLS_MAX 4u

enum cells_parts { CELLS_BLOBS = 1, CELLS_RECORDS = 2 };
/* What becomes of frames to and from a cell. */
enum cells_wire { CELLS_CARRY, CELLS_SWALLOW, CELLS_BREAK /* as a connection that is refused */ };

struct cells;

struct cell {
    struct cells *cells;
    struct service *s;
    enum cells_wire wire;
};

struct cells {
    pthread_mutex_t lock; /* what follows */
    pthread_cond_t carried;
    uint64_t frames[2]; /* carried, by enum calls_frame */
    uint64_t budget;    /* frames still carried; then all are swallowed */
    size_t count;
    struct cell at[CELLS_MAX];
};

void cells_open(struct cells *c);
/* A cell that all others know as alive, and it them. */
struct cell *cells_add(struct cells *c, unsigned parts);
/* Stops calls and blobs of one cell as an agent that ends does. */
void cells_stop(struct cell *cell);
void cells_close(struct cells *c);

const uint8_t *cells_id(const struct cell *cell);
void cells_wire_of(struct cell *cell, enum cells_wire wire);
void cells_budget(struct cells *c, uint64_t frames);
uint64_t cells_frames(struct cells *c, enum calls_frame frame);
/* False when fewer than that many frames of the kind were carried within five seconds. */
bool cells_await(struct cells *c, enum calls_frame frame, uint64_t count);
/* What all others are told about a cell. */
void cells_say(struct cell *about, enum service_liveness liveness);
/* Asks the function of a kind as a peer's frame would, on this thread. */
enum sh_err cells_ask(struct cell *cell, enum service_call_kind kind, const void *request,
                      size_t size, void *reply, size_t capacity, size_t *got);

#endif
