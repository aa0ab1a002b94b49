/* SPDX-License-Identifier: Apache-2.0 */
#include "train/message.h"

#define VERSION 1u

enum sh_err train_message_unit(struct sh_span bytes, struct wire_unit *unit)
{
    struct sh_reader r = sh_reader_over(bytes.at, bytes.size);
    unit->job = sh_get_u64(&r);
    unit->unit = sh_get_u32(&r);
    return sh_reader_end(&r);
}

void train_unit_head_encode(struct wire_unit unit, uint8_t out[static TRAIN_UNIT_HEAD])
{
    struct sh_writer w = sh_writer_over(out, TRAIN_UNIT_HEAD);
    sh_put_u64(&w, unit.job);
    sh_put_u32(&w, unit.unit);
    sh_put_u32(&w, 0);
    SH_CHECK_CMP(w.used, ==, TRAIN_UNIT_HEAD);
}

enum sh_err train_unit_head_decode(struct sh_span bytes, struct wire_unit *unit,
                                   struct sh_span *frame)
{
    *frame = (struct sh_span){0};
    enum sh_err err = train_message_unit(bytes, unit);
    if (err != SH_OK || bytes.size < TRAIN_UNIT_HEAD) {
        return SH_ERR_CORRUPT;
    }
    frame->at = bytes.at + TRAIN_UNIT_HEAD;
    frame->size = bytes.size - TRAIN_UNIT_HEAD;
    return SH_OK;
}

static void put_about(struct sh_writer *w, const struct train_about *about)
{
    sh_put_u64(w, about->unit.job);
    sh_put_u32(w, about->unit.unit);
    sh_put_u32(w, VERSION);
    sh_put_u64(w, about->generation);
}

static enum sh_err get_about(struct sh_reader *r, struct train_about *about)
{
    about->unit.job = sh_get_u64(r);
    about->unit.unit = sh_get_u32(r);
    uint32_t version = sh_get_u32(r);
    about->generation = sh_get_u64(r);
    if (r->bad) {
        return SH_ERR_CORRUPT;
    }
    return version == VERSION ? SH_OK : SH_ERR_VERSION;
}

void train_hello_encode(const struct train_hello *hello, struct sh_writer *w)
{
    put_about(w, &hello->about);
    sh_put_u32(w, hello->flags);
    sh_put_u64(w, hello->mine);
    sh_put_u64(w, hello->yours);
    sh_put_u64(w, hello->position);
    sh_put_bytes(w, hello->digest, SH_DIGEST_BYTES);
    SH_CHECK(!w->full);
}

void train_fetch_encode(const struct train_fetch *fetch, struct sh_writer *w)
{
    put_about(w, &fetch->about);
    sh_put_u64(w, fetch->position);
    sh_put_u64(w, fetch->offset);
    sh_put_u32(w, fetch->size);
    SH_CHECK(!w->full);
}

void train_note_encode(const struct train_note *note, struct sh_writer *w)
{
    put_about(w, &note->about);
    sh_put_u64(w, note->position);
    sh_put_u64(w, note->offset);
    sh_put_u64(w, note->total);
    SH_CHECK(!w->full);
}

void train_offer_encode(const struct train_offer *offer, struct sh_writer *w)
{
    put_about(w, &offer->about);
    sh_put_u64(w, offer->number);
    sh_put_u32(w, offer->taken ? 1 : 0);
    SH_CHECK(!w->full);
}

enum sh_err train_hello_decode(struct sh_span bytes, struct train_hello *hello)
{
    struct sh_reader r = sh_reader_over(bytes.at, bytes.size);
    enum sh_err err = get_about(&r, &hello->about);
    if (err != SH_OK) {
        return err;
    }
    hello->flags = sh_get_u32(&r);
    hello->mine = sh_get_u64(&r);
    hello->yours = sh_get_u64(&r);
    hello->position = sh_get_u64(&r);
    sh_get_bytes(&r, hello->digest, SH_DIGEST_BYTES);
    return r.bad || hello->mine == 0 ? SH_ERR_CORRUPT : SH_OK;
}

enum sh_err train_fetch_decode(struct sh_span bytes, struct train_fetch *fetch)
{
    struct sh_reader r = sh_reader_over(bytes.at, bytes.size);
    enum sh_err err = get_about(&r, &fetch->about);
    if (err != SH_OK) {
        return err;
    }
    fetch->position = sh_get_u64(&r);
    fetch->offset = sh_get_u64(&r);
    fetch->size = sh_get_u32(&r);
    bool good = !r.bad && fetch->size > 0 && fetch->size <= TRAIN_PIECE_BYTES;
    return good ? SH_OK : SH_ERR_CORRUPT;
}

enum sh_err train_offer_decode(struct sh_span bytes, struct train_offer *offer)
{
    struct sh_reader r = sh_reader_over(bytes.at, bytes.size);
    enum sh_err err = get_about(&r, &offer->about);
    if (err != SH_OK) {
        return err;
    }
    offer->number = sh_get_u64(&r);
    uint32_t taken = sh_get_u32(&r);
    offer->taken = taken != 0;
    return r.bad || offer->number == 0 || taken > 1 ? SH_ERR_CORRUPT : SH_OK;
}

enum sh_err train_note_decode(struct sh_span bytes, struct train_note *note)
{
    struct sh_reader r = sh_reader_over(bytes.at, bytes.size);
    enum sh_err err = get_about(&r, &note->about);
    if (err != SH_OK) {
        return err;
    }
    note->position = sh_get_u64(&r);
    note->offset = sh_get_u64(&r);
    note->total = sh_get_u64(&r);
    note->piece = (struct sh_span){.at = bytes.at + r.used, .size = sh_reader_left(&r)};
    bool good = !r.bad && note->piece.size > 0 && note->piece.size <= TRAIN_PIECE_BYTES &&
                note->offset <= note->total && note->piece.size <= note->total - note->offset;
    return good ? SH_OK : SH_ERR_CORRUPT;
}
