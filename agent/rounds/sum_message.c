/* SPDX-License-Identifier: Apache-2.0 */
#include "rounds/sum_message.h"

void rounds_sum_question_put(const struct rounds_sum_question *q, struct sh_writer *w)
{
    rounds_message_head_put(w, ROUNDS_SUM, q->unit);
    sh_put_u64(w, q->round);
    sh_put_u8(w, (uint8_t)q->step);
    secagg_put_round(w, &q->sum);
    if (q->step == ROUNDS_SUM_KEYS) {
        sh_put_f64(w, q->scale);
    }
}

enum sh_err rounds_sum_question_get(struct sh_reader *r, struct rounds_sum_question *q)
{
    *q = (struct rounds_sum_question){.round = 0};
    enum sh_err err = rounds_message_head_get(r, ROUNDS_SUM, &q->unit);
    if (err != SH_OK) {
        return err;
    }
    q->round = sh_get_u64(r);
    const uint8_t step = sh_get_u8(r);
    secagg_get_round(r, &q->sum);
    if (step == ROUNDS_SUM_KEYS) {
        q->scale = sh_get_f64(r);
        r->bad = r->bad || !(q->scale > 0 && q->scale <= 1);
    }
    r->bad = r->bad || step < ROUNDS_SUM_KEYS || step > ROUNDS_SUM_REVEAL;
    q->step = (enum rounds_sum_step)step;
    return sh_reader_end(r);
}

void rounds_sum_refuse(struct sh_writer *w, const char *text)
{
    sh_put_u8(w, ROUNDS_SUM_REFUSES);
    sh_put_str(w, text);
}

enum sh_err rounds_sum_status_get(struct sh_reader *r, enum rounds_sum_status *status, char *why)
{
    const uint8_t number = sh_get_u8(r);
    why[0] = '\0';
    if (number == ROUNDS_SUM_REFUSES) {
        sh_get_str(r, why, ROUNDS_TEXT_MAX + 1);
    }
    r->bad = r->bad || number < ROUNDS_SUM_DONE || number > ROUNDS_SUM_REFUSES;
    *status = (enum rounds_sum_status)number;
    return sh_reader_end(r);
}
