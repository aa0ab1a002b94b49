/* SPDX-License-Identifier: Apache-2.0
 *
 * What jobs used, by owner. Fair shares follow from it (place/place.h), so every replica must come
 * to the same number: whole ones, and times of the log. */
#include "jobs/tx.h"

#include "base/decay.h"

#define HALF_US   UINT64_C(86400000000)
#define GPU_CORES 16u /* that one GPU counts as */
#define MOST      (UINT64_MAX / 2)

static void decay(struct jobs_owner *owner, uint64_t now_us)
{
    uint64_t age_us = now_us > owner->at_us ? now_us - owner->at_us : 0;
    owner->core_ms = sh_decay(owner->core_ms, age_us, HALF_US);
    owner->at_us = now_us;
}

enum sh_err jobs_owner_get(const struct sh_table *t, const char *owner, uint64_t now_us,
                           struct jobs_owner *out)
{
    struct jobs_row_key key = jobs_row_name('t', owner);
    struct sh_span value;
    *out = (struct jobs_owner){.at_us = now_us};
    enum sh_err err = SH_OK;
    if (t->get(t->ctx, jobs_row_span(&key), &value)) {
        err = jobs_row_get_owner(value, out);
        decay(out, now_us);
    }
    return err;
}

/* Makes room for a new owner: who used least is as good as one who used nothing. */
static void forget_least(struct jobs_tx *tx)
{
    struct jobs_row_key letter = jobs_row_letter('t');
    struct jobs_row_key high = jobs_row_beyond(&letter);
    struct jobs_row_key low = letter;
    struct jobs_row_key least = letter;
    uint64_t least_ms = UINT64_MAX;
    struct sh_span key;
    struct sh_span value;
    while (!tx->broken && tx->table->seek(tx->table->ctx, jobs_row_span(&low), jobs_row_span(&high),
                                          false, &key, &value)) {
        struct jobs_owner owner;
        if (jobs_tx_found(tx, jobs_row_get_owner(value, &owner))) {
            decay(&owner, tx->meta.stamp_us);
        }
        low = jobs_row_past(key);
        if (owner.core_ms < least_ms) {
            least_ms = owner.core_ms;
            least = low;
            least.size--; /* without what makes it the next one */
        }
    }
    if (!tx->broken) {
        SH_CHECK_CMP(least.size, >, 1);
        jobs_tx_del(tx, least);
        tx->meta.owners--;
    }
}

void jobs_owner_charge(struct jobs_tx *tx, const struct jobs_unit *unit)
{
    const struct jobs_job *job = &tx->core->job;
    uint64_t now_us = tx->meta.stamp_us;
    struct jobs_owner owner;
    if (job->owner[0] == '\0' || now_us <= unit->placed_us) {
        return;
    }
    uint64_t cores = (job->need.cpus > 0 ? job->need.cpus : 1) + GPU_CORES * job->need.gpus;
    uint64_t used_ms = (now_us - unit->placed_us) / 1000 * cores * unit->placement.member_count;
    enum sh_err err = jobs_owner_get(tx->table, job->owner, now_us, &owner);
    tx->broken = tx->broken || err != SH_OK;
    struct jobs_row_key key = jobs_row_name('t', job->owner);
    if (tx->broken || used_ms == 0) {
        return;
    }
    if (!jobs_tx_has(tx, key)) {
        if (tx->meta.owners >= JOBS_OWNERS_MAX) {
            forget_least(tx);
        }
        tx->meta.owners++;
    }
    owner.core_ms = used_ms < MOST - owner.core_ms ? owner.core_ms + used_ms : MOST;
    jobs_tx_put(tx, key, jobs_row_put_owner(tx->core->buffer, &owner));
}
