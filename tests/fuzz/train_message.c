/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as what members of a gang send each other: byte 0 names the type and the sender, the
 * rest is the payload. Frames of transfers are told apart from damaged ones by their sum alone.
 * HELLOs go into a meeting, whose verdict must fit what it was told; what a chunk says of its place
 * is looked up on a shelf. */
#include "train/exchange.h"
#include "train/gang.h"
#include "train/mix.h"

#include <string.h>

enum { MEMBERS = 3, FRAME_BYTES_MAX = 160 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void begin(struct train_gang *gang)
{
    struct wire_member members[MEMBERS];
    memset(members, 0, sizeof members);
    for (uint16_t i = 0; i < MEMBERS; i++) {
        members[i].node[0] = (uint8_t)i;
        members[i].rank_lo = i;
        members[i].rank_hi = (uint16_t)(i + 1);
    }
    train_gang_begin(gang, (struct train_about){.generation = 1}, members, MEMBERS, 0, 1);
}

static void judge(struct train_gang *gang, uint64_t position)
{
    uint8_t digest[SH_DIGEST_BYTES] = {0};
    struct train_verdict v = train_gang_judge(gang);
    if (v.advice == TRAIN_LOAD) {
        SH_CHECK(!gang->peers[0].has_state);
        train_gang_stand(gang, position, digest);
        v = train_gang_judge(gang);
        SH_CHECK(v.advice != TRAIN_LOAD);
    }
    if (v.advice == TRAIN_CATCH_UP) {
        const struct train_peer *source = &gang->peers[v.other];
        SH_CHECK(v.other != 0);
        SH_CHECK(source->has_state);
        train_gang_stand(gang, source->position, source->digest);
        v = train_gang_judge(gang);
        SH_CHECK(v.advice != TRAIN_CATCH_UP);
    }
    if (v.advice == TRAIN_GO && !gang->peers[0].running) {
        for (uint32_t i = 1; i < MEMBERS; i++) {
            SH_CHECK_CMP(gang->peers[i].position, ==, gang->peers[0].position);
        }
        train_gang_go(gang);
    }
}

/* Reads what the frame names; a sanitizer finds what lies outside. */
static void look_up(const struct round_frame *h)
{
    static const uint8_t bytes[4096];
    const struct train_view view = {.at = bytes, .size = sizeof bytes, .number = 7};
    size_t size = (size_t)h->count * ROUND_ELEMENT_BYTES;
    struct sh_span span = train_view_span(&view, h->shelf, h->shelf_at, size);
    SH_CHECK(span.size == 0 || span.size == size);
    for (size_t i = 0; i < span.size; i++) {
        SH_CHECK_CMP(span.at[i], ==, 0);
    }
}

static void take(struct train_gang *gang, uint8_t what, struct sh_span bytes)
{
    struct train_hello hello;
    struct train_fetch fetch;
    struct train_note note;
    struct train_offer offer;
    struct wire_unit unit;
    struct round_frame header;
    struct sh_span payload;
    uint8_t again[TRAIN_MESSAGE_BYTES];
    struct sh_writer w = sh_writer_over(again, sizeof again);
    SH_MAY_FAIL(train_message_unit(bytes, &unit) == SH_OK);
    struct push_frame mix;
    if (what >= 0xc0) {
        if (train_mix_decode(bytes, &unit, &mix, &payload) == SH_OK) {
            SH_CHECK_CMP(payload.size, ==, bytes.size - TRAIN_UNIT_HEAD - PUSH_FRAME_BYTES);
        }
    } else if (what >= 0x80) {
        if (train_offer_decode(bytes, &offer) == SH_OK) {
            train_offer_encode(&offer, &w);
        }
    } else if (what % 4 == 0 && train_hello_decode(bytes, &hello) == SH_OK) {
        train_hello_encode(&hello, &w);
        train_gang_hear(gang, 1 + what / 4 % 2, &hello);
        judge(gang, hello.position / 2);
    } else if (what % 4 == 1 && train_fetch_decode(bytes, &fetch) == SH_OK) {
        train_fetch_encode(&fetch, &w);
    } else if (what % 4 == 2 && train_note_decode(bytes, &note) == SH_OK) {
        SH_CHECK_CMP(note.offset + note.piece.size, <=, note.total);
        train_note_encode(&note, &w);
    } else if (what % 4 == 3 && train_exchange_decode(bytes, &unit, &header, &payload) == SH_OK) {
        SH_CHECK_CMP(payload.size, ==, bytes.size - TRAIN_UNIT_HEAD - ROUND_FRAME_BYTES);
        look_up(&header);
    }
    SH_CHECK(memcmp(again, bytes.at, w.used) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct train_gang gang;
    begin(&gang);
    for (size_t at = 0; at + 2 <= size;) {
        uint8_t what = data[at];
        size_t length = data[at + 1] < FRAME_BYTES_MAX ? data[at + 1] : FRAME_BYTES_MAX;
        length = length < size - at - 2 ? length : size - at - 2;
        take(&gang, what, (struct sh_span){.at = data + at + 2, .size = length});
        at += 2 + length;
    }
    return 0;
}
