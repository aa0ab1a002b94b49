/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/tx.h"

static void write_dataset(struct jobs_tx *tx, const struct jobs_dataset *set)
{
    jobs_tx_put(tx, jobs_row_name('d', set->name), jobs_row_put_dataset(tx->core->buffer, set));
    tx->result->datasets_changed = true;
}

enum jobs_code jobs_do_dataset_add(struct jobs_tx *tx, const struct jobs_dataset_add *c)
{
    struct jobs_dataset *set = &tx->core->dataset;
    struct jobs_dataset_holder *holder = &tx->core->holder;
    bool known = jobs_tx_found(tx, jobs_dataset_get(tx->table, c->name, set));
    bool held = jobs_tx_found(tx, jobs_dataset_holder_get(tx->table, c->name, c->node, holder));
    if (!jobs_tx_has(tx, jobs_row_id('n', c->node))) {
        return JOBS_CODE_NODE_UNKNOWN;
    }
    bool same = c->local || memcmp(set->digest, c->digest, SH_DIGEST_BYTES) == 0;
    if (known && (set->unit.job != 0 || set->local != c->local || !same)) {
        return JOBS_CODE_DATASET_DIFFERS;
    }
    if (!known && tx->meta.datasets >= JOBS_DATASETS_MAX) {
        return JOBS_CODE_DATASETS_FULL;
    }
    if (held && strcmp(holder->path, c->path) == 0 && strcmp(holder->summary, c->summary) == 0 &&
        memcmp(holder->digest, c->digest, SH_DIGEST_BYTES) == 0) {
        tx->result->duplicate = true;
        return JOBS_CODE_NONE;
    }
    if (!known) {
        *set = (struct jobs_dataset){.created_us = tx->meta.stamp_us, .local = c->local};
        memcpy(set->name, c->name, sizeof set->name);
        if (!c->local) {
            memcpy(set->digest, c->digest, sizeof set->digest);
        }
        tx->meta.datasets++;
    }
    set->holders += held ? 0 : 1;
    memcpy(set->summary, c->summary, sizeof set->summary);
    *holder = (struct jobs_dataset_holder){.added_us = tx->meta.stamp_us};
    memcpy(holder->node, c->node, sizeof holder->node);
    memcpy(holder->path, c->path, sizeof holder->path);
    memcpy(holder->digest, c->digest, sizeof holder->digest);
    memcpy(holder->summary, c->summary, sizeof holder->summary);
    jobs_tx_put(tx, jobs_row_holder(c->name, c->node),
                jobs_row_put_holder(tx->core->buffer, holder));
    write_dataset(tx, set);
    return JOBS_CODE_NONE;
}

enum jobs_code jobs_dataset_check_made(struct jobs_tx *tx)
{
    struct jobs_dataset *set = &tx->core->dataset;
    bool known = jobs_tx_found(tx, jobs_dataset_get(tx->table, tx->core->job.dataset, set));
    if (known) {
        return set->unit.job == 0 ? JOBS_CODE_DATASET_DIFFERS : JOBS_CODE_NONE;
    }
    return tx->meta.datasets >= JOBS_DATASETS_MAX ? JOBS_CODE_DATASETS_FULL : JOBS_CODE_NONE;
}

void jobs_dataset_make(struct jobs_tx *tx, const struct jobs_commit *c)
{
    const struct jobs_job *job = &tx->core->job;
    struct jobs_dataset *set = &tx->core->dataset;
    /* A newer one takes the place of an older one: jobs name what they read by its digest. */
    tx->meta.datasets += jobs_tx_has(tx, jobs_row_name('d', job->dataset)) ? 0 : 1;
    *set = (struct jobs_dataset){
        .created_us = tx->meta.stamp_us, .unit = c->unit, .blob_holder_count = c->holder_count};
    memcpy(set->name, job->dataset, sizeof set->name);
    memcpy(set->digest, c->outcome.state, sizeof set->digest);
    memcpy(set->blob_holders, c->holders, sizeof set->blob_holders);
    write_dataset(tx, set);
}

static void drop_dataset(struct jobs_tx *tx, const struct jobs_dataset *set)
{
    SH_CHECK_CMP(tx->meta.datasets, >, 0);
    tx->meta.datasets--;
    jobs_tx_del(tx, jobs_row_name('d', set->name));
    tx->result->datasets_changed = true;
}

enum jobs_code jobs_do_dataset_remove(struct jobs_tx *tx, const struct jobs_dataset_remove *c)
{
    struct jobs_dataset *set = &tx->core->dataset;
    bool known = jobs_tx_found(tx, jobs_dataset_get(tx->table, c->name, set));
    if (known && set->unit.job != 0) {
        drop_dataset(tx, set);
        return JOBS_CODE_NONE;
    }
    if (!known || !jobs_tx_has(tx, jobs_row_holder(c->name, c->node))) {
        return JOBS_CODE_DATASET_UNKNOWN;
    }
    SH_CHECK_CMP(set->holders, >, 0);
    jobs_tx_del(tx, jobs_row_holder(c->name, c->node));
    set->holders--;
    if (set->holders > 0) {
        write_dataset(tx, set);
        return JOBS_CODE_NONE;
    }
    drop_dataset(tx, set);
    return JOBS_CODE_NONE;
}
