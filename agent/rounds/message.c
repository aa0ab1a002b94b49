/* SPDX-License-Identifier: Apache-2.0 */
#include "rounds/message.h"

#define VERSION 1u

void rounds_message_head_put(struct sh_writer *w, enum rounds_message kind, struct wire_unit unit)
{
    sh_put_u8(w, (uint8_t)kind);
    sh_put_u8(w, VERSION);
    wire_unit_put(w, unit);
}

enum sh_err rounds_message_head_get(struct sh_reader *r, enum rounds_message want,
                                    struct wire_unit *unit)
{
    uint8_t kind = sh_get_u8(r);
    uint8_t version = sh_get_u8(r);
    *unit = wire_unit_get(r);
    if (r->bad || kind != want) {
        return SH_ERR_CORRUPT;
    }
    return version == VERSION ? SH_OK : SH_ERR_VERSION;
}

enum sh_err rounds_message_peek(struct sh_span bytes, enum rounds_message *kind,
                                struct wire_unit *unit)
{
    struct sh_reader r = sh_reader_over(bytes.at, bytes.size);
    uint8_t number = sh_get_u8(&r);
    (void)sh_get_u8(&r); /* the version: whoever decodes looks at it */
    *unit = wire_unit_get(&r);
    *kind = (enum rounds_message)number;
    bool known = number >= ROUNDS_INVITE && number <= ROUNDS_SUM;
    return known ? sh_reader_end(&r) : SH_ERR_CORRUPT;
}

void rounds_invite_encode(const struct rounds_invite *invite, struct sh_writer *w)
{
    rounds_message_head_put(w, ROUNDS_INVITE, invite->unit);
    sh_put_u64(w, invite->generation);
    sh_put_u64(w, invite->round);
    sh_put_u8(w, invite->evaluates);
    sh_put_bytes(w, invite->state, SH_DIGEST_BYTES);
    sh_put_bytes(w, invite->leader, SH_NODE_ID_BYTES);
}

enum sh_err rounds_invite_decode(struct sh_span bytes, struct rounds_invite *invite)
{
    struct sh_reader r = sh_reader_over(bytes.at, bytes.size);
    *invite = (struct rounds_invite){.round = 0};
    enum sh_err err = rounds_message_head_get(&r, ROUNDS_INVITE, &invite->unit);
    if (err != SH_OK) {
        return err;
    }
    invite->generation = sh_get_u64(&r);
    invite->round = sh_get_u64(&r);
    invite->evaluates = sh_get_bool(&r);
    sh_get_bytes(&r, invite->state, SH_DIGEST_BYTES);
    sh_get_bytes(&r, invite->leader, SH_NODE_ID_BYTES);
    return sh_reader_end(&r);
}

static void put_figures(struct sh_writer *w, const struct rounds_figures *f)
{
    sh_put_u64(w, f->samples);
    sh_put_u64(w, f->steps);
    sh_put_u64(w, f->took_us);
    sh_put_f64(w, f->train_loss);
    sh_put_f64(w, f->val_loss);
    sh_put_u64(w, f->val_correct);
    sh_put_u64(w, f->val_total);
    sh_put_f64(w, f->test_loss);
    sh_put_u64(w, f->test_correct);
    sh_put_u64(w, f->test_total);
}

static void get_figures(struct sh_reader *r, struct rounds_figures *f)
{
    f->samples = sh_get_u64(r);
    f->steps = sh_get_u64(r);
    f->took_us = sh_get_u64(r);
    f->train_loss = sh_get_f64(r);
    f->val_loss = sh_get_f64(r);
    f->val_correct = sh_get_u64(r);
    f->val_total = sh_get_u64(r);
    f->test_loss = sh_get_f64(r);
    f->test_correct = sh_get_u64(r);
    f->test_total = sh_get_u64(r);
    r->bad = r->bad || f->val_correct > f->val_total || f->test_correct > f->test_total;
}

void rounds_report_encode(const struct rounds_report *report, struct sh_writer *w)
{
    rounds_message_head_put(w, ROUNDS_REPORT, report->unit);
    sh_put_u64(w, report->generation);
    sh_put_u64(w, report->round);
    sh_put_bytes(w, report->node, SH_NODE_ID_BYTES);
    sh_put_u8(w, (uint8_t)report->answer);
    sh_put_u8(w, report->evaluated);
    put_figures(w, &report->figures);
    sh_put_bytes(w, report->update, SH_DIGEST_BYTES);
    sh_put_str(w, report->text);
}

enum sh_err rounds_report_decode(struct sh_span bytes, struct rounds_report *report)
{
    struct sh_reader r = sh_reader_over(bytes.at, bytes.size);
    *report = (struct rounds_report){.round = 0};
    enum sh_err err = rounds_message_head_get(&r, ROUNDS_REPORT, &report->unit);
    if (err != SH_OK) {
        return err;
    }
    report->generation = sh_get_u64(&r);
    report->round = sh_get_u64(&r);
    sh_get_bytes(&r, report->node, SH_NODE_ID_BYTES);
    uint8_t answer = sh_get_u8(&r);
    report->answer = (enum rounds_answer)answer;
    report->evaluated = sh_get_bool(&r);
    get_figures(&r, &report->figures);
    sh_get_bytes(&r, report->update, SH_DIGEST_BYTES);
    sh_get_str(&r, report->text, sizeof report->text);
    r.bad = r.bad || answer < ROUNDS_WORKS || answer > ROUNDS_FAILS;
    return sh_reader_end(&r);
}
