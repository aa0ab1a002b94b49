/* SPDX-License-Identifier: Apache-2.0 */
#include "push/frame.h"
#include "base/limits.h"

enum { FRAME_VERSION = 1 };

void push_frame_encode(const struct push_frame *frame, uint8_t *out)
{
    struct sh_writer w = sh_writer_over(out, PUSH_FRAME_BYTES);
    SH_CHECK(frame->kind >= PUSH_FRAME_OFFER && frame->kind <= PUSH_FRAME_VOID);
    sh_put_u8(&w, FRAME_VERSION);
    sh_put_u8(&w, (uint8_t)frame->kind);
    sh_put_u16(&w, frame->from);
    sh_put_u32(&w, frame->chunk);
    sh_put_u32(&w, frame->count);
    sh_put_u32(&w, 0);
    sh_put_u64(&w, frame->generation);
    sh_put_u64(&w, frame->transfer);
    sh_put_u64(&w, frame->weight);
    sh_put_u64(&w, frame->elements);
    sh_put_u64(&w, frame->mark);
    sh_put_u64(&w, frame->sum);
    SH_CHECK_CMP(w.used, ==, PUSH_FRAME_BYTES);
}

/* Every kind has the fields that it needs and zero in the others, so that what is said about a
 * frame can be said of its bytes. */
static bool is_whole(const struct push_frame *f)
{
    bool offers = f->kind == PUSH_FRAME_OFFER;
    bool gives = f->kind == PUSH_FRAME_GIVE;
    bool asks = f->kind == PUSH_FRAME_ASK;
    bool data = f->kind == PUSH_FRAME_DATA;
    bool returns = f->kind == PUSH_FRAME_RETURN;
    return (asks || data || f->chunk == 0) && (asks || data ? f->count > 0 : true) &&
           (asks || data || f->count <= (returns ? 1u : 0u)) &&
           (offers || gives || f->weight == 0) && (offers || gives || f->mark == 0) &&
           (offers ? f->elements > 0 : f->elements == 0) && (!gives || f->weight > 0) &&
           (data || f->sum == 0);
}

enum sh_err push_frame_decode(struct sh_span bytes, struct push_frame *frame,
                              struct sh_span *payload)
{
    struct sh_reader r = sh_reader_over(bytes.at, bytes.size);
    *frame = (struct push_frame){0};
    *payload = (struct sh_span){0};
    if (bytes.size < PUSH_FRAME_BYTES) {
        return SH_ERR_CORRUPT;
    }
    if (sh_get_u8(&r) != FRAME_VERSION) {
        return SH_ERR_VERSION;
    }
    uint8_t kind = sh_get_u8(&r);
    if (kind < PUSH_FRAME_OFFER || kind > PUSH_FRAME_VOID) {
        return SH_ERR_CORRUPT;
    }
    frame->kind = (enum push_frame_kind)kind;
    frame->from = sh_get_u16(&r);
    frame->chunk = sh_get_u32(&r);
    frame->count = sh_get_u32(&r);
    uint32_t zero = sh_get_u32(&r);
    frame->generation = sh_get_u64(&r);
    frame->transfer = sh_get_u64(&r);
    frame->weight = sh_get_u64(&r);
    frame->elements = sh_get_u64(&r);
    frame->mark = sh_get_u64(&r);
    frame->sum = sh_get_u64(&r);
    uint64_t size =
        frame->kind == PUSH_FRAME_DATA ? (uint64_t)frame->count * PUSH_ELEMENT_BYTES : 0;
    if (zero != 0 || !is_whole(frame) || size > SH_BULK_CHUNK_BYTES ||
        bytes.size - PUSH_FRAME_BYTES != size) {
        return SH_ERR_CORRUPT;
    }
    *payload = (struct sh_span){.at = bytes.at + PUSH_FRAME_BYTES, .size = (size_t)size};
    return sh_reader_end(&r);
}
