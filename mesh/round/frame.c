/* SPDX-License-Identifier: Apache-2.0 */
#include "round/frame.h"
#include "base/limits.h"
#include "round/plan.h"

enum { FRAME_VERSION = 2 };

static bool is_tensor(const struct round_frame *frame)
{
    return frame->kind == ROUND_FRAME_PART || frame->kind == ROUND_FRAME_RESULT;
}

/* By its payload. */
static bool is_followed(const struct round_frame *frame)
{
    return is_tensor(frame) && frame->shelf_at == 0;
}

void round_frame_encode(const struct round_frame *frame, uint8_t *out)
{
    struct sh_writer w = sh_writer_over(out, ROUND_FRAME_BYTES);
    SH_CHECK(frame->kind >= ROUND_FRAME_PART && frame->kind <= ROUND_FRAME_ASK_RESULT);
    SH_CHECK_CMP(frame->segment, <=, UINT8_MAX);
    SH_CHECK(frame->codec == 0 || is_followed(frame));
    sh_put_u8(&w, FRAME_VERSION);
    sh_put_u8(&w, (uint8_t)frame->kind);
    sh_put_u16(&w, frame->from);
    sh_put_u16(&w, frame->subtree);
    sh_put_u8(&w, (uint8_t)frame->segment);
    sh_put_u8(&w, frame->codec);
    sh_put_u32(&w, frame->chunk);
    sh_put_u32(&w, frame->count);
    sh_put_u64(&w, frame->generation);
    sh_put_u64(&w, frame->sequence);
    sh_put_u64(&w, frame->elements);
    sh_put_u64(&w, frame->offset);
    sh_put_u64(&w, is_followed(frame) ? frame->sum : frame->shelf);
    sh_put_u64(&w, frame->shelf_at);
    SH_CHECK_CMP(w.used, ==, ROUND_FRAME_BYTES);
}

enum sh_err round_frame_decode(struct sh_span bytes, struct round_frame *frame,
                               struct sh_span *payload)
{
    struct sh_reader r = sh_reader_over(bytes.at, bytes.size);
    *frame = (struct round_frame){0};
    *payload = (struct sh_span){0};
    if (bytes.size < ROUND_FRAME_BYTES) {
        return SH_ERR_CORRUPT;
    }
    if (sh_get_u8(&r) != FRAME_VERSION) {
        return SH_ERR_VERSION;
    }
    uint8_t kind = sh_get_u8(&r);
    if (kind < ROUND_FRAME_PART || kind > ROUND_FRAME_ASK_RESULT) {
        return SH_ERR_CORRUPT;
    }
    frame->kind = (enum round_frame_kind)kind;
    frame->from = sh_get_u16(&r);
    frame->subtree = sh_get_u16(&r);
    frame->segment = sh_get_u8(&r);
    frame->codec = sh_get_u8(&r);
    frame->chunk = sh_get_u32(&r);
    frame->count = sh_get_u32(&r);
    frame->generation = sh_get_u64(&r);
    frame->sequence = sh_get_u64(&r);
    frame->elements = sh_get_u64(&r);
    frame->offset = sh_get_u64(&r);
    uint64_t sum_or_shelf = sh_get_u64(&r);
    frame->shelf_at = sh_get_u64(&r);
    frame->sum = is_followed(frame) ? sum_or_shelf : 0;
    frame->shelf = is_followed(frame) ? 0 : sum_or_shelf;
    uint64_t size = is_tensor(frame) ? (uint64_t)frame->count * ROUND_ELEMENT_BYTES : 0;
    uint64_t expected = is_followed(frame) ? size : 0;
    size_t follows = bytes.size - ROUND_FRAME_BYTES;
    bool agree = frame->codec == 0 ? follows == expected : follows > 0 && follows < expected;
    if (!agree || size > SH_BULK_CHUNK_BYTES ||
        (frame->shelf_at != 0 && (!is_tensor(frame) || frame->shelf == 0))) {
        return SH_ERR_CORRUPT;
    }
    *payload = (struct sh_span){.at = bytes.at + ROUND_FRAME_BYTES, .size = follows};
    return sh_reader_end(&r);
}

/* Written out so that compilers make one load of it. */
static uint64_t word_at(const uint8_t *at)
{
    return (uint64_t)at[0] | (uint64_t)at[1] << 8 | (uint64_t)at[2] << 16 | (uint64_t)at[3] << 24 |
           (uint64_t)at[4] << 32 | (uint64_t)at[5] << 40 | (uint64_t)at[6] << 48 |
           (uint64_t)at[7] << 56;
}

static uint64_t lane_add(uint64_t lane, uint64_t word)
{
    lane = (lane ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return lane << 29 | lane >> 35;
}

uint64_t round_frame_sum(const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    uint64_t lane[4] = {1, 2, 3, 4}; /* independent, so that the multiplications overlap */
    size_t left = size;
    for (; left >= 32; left -= 32, at += 32) {
        for (size_t i = 0; i < 4; i++) {
            lane[i] = lane_add(lane[i], word_at(at + 8 * i));
        }
    }
    uint8_t rest[32] = {0};
    memcpy(rest, at, left);
    for (size_t i = 0; i < 4 && left > 0; i++) {
        lane[i] = lane_add(lane[i], word_at(rest + 8 * i));
    }
    uint64_t sum = size;
    for (size_t i = 0; i < 4; i++) {
        sum = lane_add(sum ^ lane[i] >> 32, lane[i]);
    }
    return sum;
}
