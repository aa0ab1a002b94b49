/* SPDX-License-Identifier: Apache-2.0
 *
 * The head of a shelf (train/shelf.h): frames that name places, passed through memory. A board has
 * one lane for each other member, a ring that its owner writes and that member reads; how far a
 * reader has come stands on the reader's own board, because it cannot write to another's. So every
 * word has one writer, and both sides need no more than loads and stores (Lamport 1983, the ring of
 * one writer and one reader).
 *
 *    0 u32 awake: whoever posts for this board's owner need not wake it
 *   64 lanes, one a member:
 *        0 u64 posted: frames for that member so far, by the owner
 *       64 u64 taken: frames so far that the owner took from that member's lane for it
 *      128 frames, number n at n % TRAIN_BOARD_FRAMES
 *
 * To sleep, an owner clears awake and then looks at all lanes once more; who posts puts the frame
 * there and then looks at awake. With a fence between each two, one of them sees what the other
 * did. What others' boards say is not trusted: it decides only what is decoded and who is woken. */
#ifndef TRAIN_BOARD_H
#define TRAIN_BOARD_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRAIN_BOARD_FRAMES 512u /* in a lane; what does not fit goes through the socket */
#define TRAIN_BOARD_FRAME  64u  /* bytes */

/* Of a board among that many members. A new one is all zeros. */
size_t train_board_bytes(uint32_t members);

/* In the following, boards start at addresses that are multiples of 64; own is the caller's, number
 * `me`, and theirs that of member `other`. */

/* False: their lane is full, or what they say of it cannot be. */
bool train_board_post(uint8_t *own, uint32_t me, const uint8_t *theirs, uint32_t other,
                      const uint8_t frame[TRAIN_BOARD_FRAME]);
/* Copies the next frame for the caller. NOT_FOUND: there is none; CORRUPT: the lane says what
 * cannot be, and nothing can be read from it any more. */
SH_MUST_USE enum sh_err train_board_take(uint8_t *own, uint32_t me, const uint8_t *theirs,
                                         uint32_t other, uint8_t frame[TRAIN_BOARD_FRAME]);

/* After clearing it, look at all lanes once more. */
void train_board_set_awake(uint8_t *own, bool awake);
/* Whether a frame posted before this call will be looked for without being told. */
bool train_board_is_awake(const uint8_t *theirs);

#endif
