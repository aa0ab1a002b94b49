/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/tx.h"
#include "base/rng.h"

#define DIGEST_SEED UINT64_C(0x73686f616c6a6f62)

uint64_t jobs_tx_row_hash(struct sh_span key, struct sh_span value)
{
    uint64_t hash = sh_hash64(DIGEST_SEED, key.at, key.size);
    return sh_hash64(hash, value.at, value.size);
}

/* The digest is a sum, so rows come and go in any order and one row costs one hash. */
static void forget(struct jobs_tx *tx, struct jobs_row_key key)
{
    struct sh_span old;
    if (tx->table->get(tx->table->ctx, jobs_row_span(&key), &old)) {
        tx->meta.digest -= jobs_tx_row_hash(jobs_row_span(&key), old);
    }
}

void jobs_tx_put(struct jobs_tx *tx, struct jobs_row_key key, struct sh_span value)
{
    SH_CHECK_CMP(value.size, <=, SH_TABLE_VALUE_MAX);
    SH_CHECK(key.at[0] != 'M');
    if (!tx->fresh) {
        forget(tx, key);
    }
    tx->meta.digest += jobs_tx_row_hash(jobs_row_span(&key), value);
    tx->table->put(tx->table->ctx, jobs_row_span(&key), value);
}

void jobs_tx_del(struct jobs_tx *tx, struct jobs_row_key key)
{
    SH_CHECK(key.at[0] != 'M');
    forget(tx, key);
    tx->table->del(tx->table->ctx, jobs_row_span(&key));
}

bool jobs_tx_has(struct jobs_tx *tx, struct jobs_row_key key)
{
    struct sh_span value;
    return tx->table->get(tx->table->ctx, jobs_row_span(&key), &value);
}

bool jobs_tx_found(struct jobs_tx *tx, enum sh_err err)
{
    tx->broken = tx->broken || (err != SH_OK && err != SH_ERR_NOT_FOUND);
    return err == SH_OK;
}

struct wire_fence jobs_tx_fence(const struct jobs_tx *tx)
{
    return (struct wire_fence){.term = tx->entry->term, .index = tx->entry->index};
}
