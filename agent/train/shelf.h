/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory that one member writes and members on the same machine read: what it sends in one
 * generation lies there, and a frame names the place instead of carrying the bytes (round/frame.h).
 *
 * A shelf is a file without a name (memfd), mapped by its owner and sealed: it cannot change its
 * size, nobody else can write to it, and the seals cannot be changed. Its descriptor is what
 * readers get. One shelf serves one generation: a reader that is still in an older one keeps the
 * older pages, which nobody writes to any more. */
#ifndef TRAIN_SHELF_H
#define TRAIN_SHELF_H

#include "base/bytes.h"

/* No vector lies before it, so that 0 can mean "not on a shelf". The places of vectors are
 * multiples of it. */
#define TRAIN_SHELF_FIRST 64u

struct train_shelf {
    uint8_t *at;
    size_t size;
    uint64_t number; /* random; 0: plain memory, which nobody else can see */
    int fd;          /* what readers are handed; -1: plain memory */
};

/* size bytes, zeros where it is shared; plain memory unless it is to be shared and can be: where
 * the system commits strictly (vm.overcommit_memory = 2) a page of a file that cannot be had would
 * kill the program. NO_MEMORY: as if closed. */
SH_MUST_USE enum sh_err train_shelf_open(struct train_shelf *shelf, size_t size, bool shared);
/* The pages live on while a reader has them. Closing twice is fine. */
void train_shelf_close(struct train_shelf *shelf);

/* The shelf of another member. */
struct train_view {
    const uint8_t *at; /* NULL: none */
    size_t size;
    uint64_t number; /* 0: none */
};

/* Maps for reading what the descriptor (borrowed) stands for. INVALID: no memory file, not sealed
 * as a shelf is, empty, or larger than size_max; NO_MEMORY. On error the view is none. */
SH_MUST_USE enum sh_err train_view_open(struct train_view *view, int fd, uint64_t number,
                                        size_t size_max);
void train_view_close(struct train_view *view); /* of none: nothing */
/* From now on the bytes [place, place + size) of the shelf are those of the view, for reading only:
 * two processes see one page instead of each keeping a copy. What the shelf had there itself cannot
 * be reached any more. Outlives the view. False, and nothing changed: they are no whole pages, or
 * the view ends before. */
bool train_shelf_lay(struct train_shelf *shelf, const struct train_view *view, uint64_t place,
                     size_t size);
/* Bytes [place, place + size) of shelf `number`, borrowed until the view is closed; empty when the
 * view is of another one or ends before. */
struct sh_span train_view_span(const struct train_view *view, uint64_t number, uint64_t place,
                               size_t size);

#endif
