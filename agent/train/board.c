/* SPDX-License-Identifier: Apache-2.0 */
#include "train/board.h"

#include "base/check.h"

#include <stdatomic.h>
#include <string.h>

enum { LINE = 64, POSTED = 0, TAKEN = LINE, FRAMES = 2 * LINE };

#define LANE_BYTES (FRAMES + (size_t)TRAIN_BOARD_FRAMES * TRAIN_BOARD_FRAME)

_Static_assert(sizeof(atomic_uint_least64_t) == 8 && sizeof(atomic_uint_least32_t) == 4,
               "a word on a board is a plain one");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2,
               "processes that share memory share no lock");

static size_t lane_at(uint32_t member)
{
    return LINE + member * LANE_BYTES;
}

size_t train_board_bytes(uint32_t members)
{
    return lane_at(members);
}

static uint64_t count_at(const uint8_t *at)
{
    return atomic_load_explicit((const atomic_uint_least64_t *)(const void *)at,
                                memory_order_acquire);
}

static void set_count(uint8_t *at, uint64_t count)
{
    atomic_store_explicit((atomic_uint_least64_t *)(void *)at, count, memory_order_release);
}

static size_t frame_at(uint64_t number)
{
    return FRAMES + (size_t)(number % TRAIN_BOARD_FRAMES) * TRAIN_BOARD_FRAME;
}

bool train_board_post(uint8_t *own, uint32_t me, const uint8_t *theirs, uint32_t other,
                      const uint8_t frame[TRAIN_BOARD_FRAME])
{
    uint8_t *to = own + lane_at(other);
    uint64_t posted = count_at(to + POSTED);
    uint64_t taken = count_at(theirs + lane_at(me) + TAKEN);
    if (posted - taken >= TRAIN_BOARD_FRAMES) {
        return false;
    }
    memcpy(to + frame_at(posted), frame, TRAIN_BOARD_FRAME);
    set_count(to + POSTED, posted + 1);
    return true;
}

enum sh_err train_board_take(uint8_t *own, uint32_t me, const uint8_t *theirs, uint32_t other,
                             uint8_t frame[TRAIN_BOARD_FRAME])
{
    const uint8_t *from = theirs + lane_at(me);
    uint8_t *mine = own + lane_at(other) + TAKEN;
    uint64_t taken = count_at(mine);
    uint64_t posted = count_at(from + POSTED);
    if (posted == taken) {
        return SH_ERR_NOT_FOUND;
    }
    if (posted - taken > TRAIN_BOARD_FRAMES) {
        return SH_ERR_CORRUPT;
    }
    memcpy(frame, from + frame_at(taken), TRAIN_BOARD_FRAME);
    set_count(mine, taken + 1);
    return SH_OK;
}

void train_board_set_awake(uint8_t *own, bool awake)
{
    atomic_store_explicit((atomic_uint_least32_t *)(void *)own, awake ? 1 : 0,
                          memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
}

bool train_board_is_awake(const uint8_t *theirs)
{
    atomic_thread_fence(memory_order_seq_cst);
    return atomic_load_explicit((const atomic_uint_least32_t *)(const void *)theirs,
                                memory_order_relaxed) != 0;
}
