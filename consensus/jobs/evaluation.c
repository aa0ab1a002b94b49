/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/tx.h"

/* Makes room for one more: the oldest goes. */
static void make_room(struct jobs_tx *tx, const char *name, uint32_t version)
{
    struct jobs_row_key prefix = jobs_row_evaluation(name, version, NULL);
    struct jobs_row_key high = jobs_row_beyond(&prefix);
    struct jobs_row_key low = prefix;
    struct jobs_row_key oldest = prefix;
    uint64_t oldest_us = UINT64_MAX;
    uint32_t count = 0;
    struct sh_span key;
    struct sh_span value;
    while (tx->table->seek(tx->table->ctx, jobs_row_span(&low), jobs_row_span(&high), false, &key,
                           &value)) {
        struct jobs_evaluation *e = &tx->core->evaluation;
        low = jobs_row_past(key);
        tx->broken = tx->broken || jobs_row_get_evaluation(value, e) != SH_OK;
        if (e->created_us < oldest_us) {
            oldest_us = e->created_us;
            oldest = jobs_row_evaluation(name, version, e->digest);
        }
        count++;
    }
    if (count >= JOBS_EVALUATIONS_MAX) {
        jobs_tx_del(tx, oldest);
    }
}

void jobs_evaluation_note(struct jobs_tx *tx, const char *name, uint32_t version,
                          const struct jobs_figures *figures)
{
    const struct jobs_job *job = &tx->core->job;
    struct jobs_row_key key = jobs_row_evaluation(name, version, job->about.digest);
    if (!jobs_tx_has(tx, jobs_row_model(name, version))) {
        return; /* it was removed while it was being measured */
    }
    if (!jobs_tx_has(tx, key)) {
        make_room(tx, name, version);
    }
    struct jobs_evaluation *e = &tx->core->evaluation;
    *e = (struct jobs_evaluation){
        .unit = tx->core->unit.id, .created_us = tx->meta.stamp_us, .figures = *figures};
    memcpy(e->data, job->about.data, sizeof e->data);
    memcpy(e->digest, job->about.digest, sizeof e->digest);
    jobs_tx_put(tx, key, jobs_row_put_evaluation(tx->core->buffer, e));
}
