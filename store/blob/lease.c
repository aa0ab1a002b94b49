/* SPDX-License-Identifier: Apache-2.0
 *
 * Lease: version 1, life 8, end by the steady clock 8, end by the wall clock 8, given for 8. */
#include "store/blob/rows.h"

#include "base/host/host.h"

enum { VERSION = 1, LEASE_BYTES = 1 + 8 + 8 + 8 + 8, PARTIAL_PAGE = 64 };

struct lease {
    uint64_t life;
    uint64_t until_us;
    uint64_t wall_until_us;
    uint64_t for_us;
};

static void read_clock(const struct blob *blob, uint64_t *now_us, uint64_t *wall_us)
{
    if (blob->leases.clock != NULL) {
        blob->leases.clock(blob->leases.ctx, now_us, wall_us);
    } else {
        *now_us = sh_now_us();
        *wall_us = sh_wall_us();
    }
}

void blob_lease_begin(struct blob *blob, const struct blob_leases *leases)
{
    uint64_t wall_us = 0;
    blob->leases = *leases;
    read_clock(blob, &blob->begun_us, &wall_us);
}

static uint64_t until(uint64_t end, uint64_t now)
{
    return end > now ? end - now : 0;
}

/* A row that does not decode speaks for nothing, as one that was lost. */
static struct lease decode(struct sh_span bytes)
{
    struct sh_reader r = sh_reader_over(bytes.at, bytes.size);
    bool known = sh_get_u8(&r) == VERSION;
    struct lease lease = {.life = sh_get_u64(&r)};
    lease.until_us = sh_get_u64(&r);
    lease.wall_until_us = sh_get_u64(&r);
    lease.for_us = sh_get_u64(&r);
    return known && sh_reader_end(&r) == SH_OK ? lease : (struct lease){.for_us = 0};
}

static uint64_t left_of(const struct blob *blob, const struct lease *lease, bool found)
{
    uint64_t now_us = 0;
    uint64_t wall_us = 0;
    read_clock(blob, &now_us, &wall_us);
    if (found && lease->life == blob->leases.life) {
        return until(lease->until_us, now_us);
    }
    uint64_t grace = until(blob->begun_us + blob->leases.grace_us, now_us);
    uint64_t rest = found ? until(lease->wall_until_us, wall_us) : 0;
    uint64_t most = found ? until(blob->begun_us + lease->for_us, now_us) : 0;
    rest = rest < most ? rest : most;
    return rest > grace ? rest : grace;
}

enum sh_err blob_lease_get(struct blob *blob, const struct blob_id *id, struct blob_lease *out)
{
    struct blob_key key = blob_key_named(BLOB_ROW_LEASE, id);
    struct kv_value value;
    enum sh_err err = kv_get(blob->kv, NULL, blob->cf, blob_key_span(&key), &value);
    bool found = err == SH_OK;
    struct lease lease = {.life = 0};
    if (found) {
        lease = decode(value.bytes);
        kv_value_free(&value);
    }
    *out = (struct blob_lease){.life = lease.life, .until_us = lease.until_us};
    out->left_us = found || err == SH_ERR_NOT_FOUND ? left_of(blob, &lease, found) : UINT64_MAX;
    return err == SH_ERR_NOT_FOUND ? SH_OK : err;
}

enum sh_err blob_lease_give(struct blob *blob, struct kv_batch *batch, const struct blob_id *id,
                            uint64_t for_us)
{
    struct blob_key key = blob_key_named(BLOB_ROW_LEASE, id);
    uint8_t bytes[LEASE_BYTES];
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    uint64_t now_us = 0;
    uint64_t wall_us = 0;
    struct blob_lease before;
    enum sh_err err = blob_lease_get(blob, id, &before);
    if (err != SH_OK) {
        return err;
    }
    for_us = for_us > blob->leases.grace_us ? for_us : blob->leases.grace_us;
    for_us = for_us > before.left_us ? for_us : before.left_us;
    read_clock(blob, &now_us, &wall_us);
    /* One more where the clock stands still: no two are alike. */
    for_us += before.life == blob->leases.life && before.until_us == now_us + for_us ? 1 : 0;
    sh_put_u8(&w, VERSION);
    sh_put_u64(&w, blob->leases.life);
    sh_put_u64(&w, now_us + for_us);
    sh_put_u64(&w, wall_us + for_us);
    sh_put_u64(&w, for_us);
    SH_CHECK(!w.full);
    kv_batch_put(batch, blob->cf, blob_key_span(&key), KV_SPAN(bytes, w.used));
    return SH_OK;
}

enum sh_err blob_keep(struct blob *blob, const struct blob_id *id, uint64_t for_us)
{
    struct kv_batch batch;
    bool has = false;
    struct blob_lease before = {.left_us = 0};
    kv_batch_init(&batch);
    blob_lock(&blob->names);
    enum sh_err err = blob_has(blob, id, &has);
    if (err == SH_OK && !has) {
        err = SH_ERR_NOT_FOUND;
    }
    if (err == SH_OK) {
        err = blob_lease_get(blob, id, &before);
    }
    for_us = for_us > blob->leases.grace_us ? for_us : blob->leases.grace_us;
    /* One that was given a moment ago is not written anew for every reader. */
    if (err == SH_OK && before.left_us < for_us - for_us / 16) {
        err = blob_lease_give(blob, &batch, id, for_us);
        err = err == SH_OK ? kv_write(blob->kv, &batch, false) : err;
    }
    blob_unlock(&blob->names);
    kv_batch_fini(&batch);
    return err;
}

/* The name stays locked from the look at the lease to the end of the blob: whoever writes or keeps
 * it comes before, and finds it, or after, and writes it anew. */
enum sh_err blob_collect(struct blob *blob, const struct blob_id *id, const struct blob_lease *seen,
                         uint64_t *size)
{
    struct blob_lease now;
    blob_lock(&blob->names);
    enum sh_err err = blob_lease_get(blob, id, &now);
    bool same = err == SH_OK && now.life == seen->life && now.until_us == seen->until_us;
    if (err == SH_OK && (!same || now.left_us > 0)) {
        err = SH_ERR_IN_USE;
    }
    if (err == SH_OK) {
        err = blob_delete_named(blob, id, size);
    }
    blob_unlock(&blob->names);
    return err;
}

/* Partial uploads after *after, as blob_list. */
static enum sh_err list_partial(struct blob *blob, const struct blob_id *after,
                                struct blob_id out[static PARTIAL_PAGE], uint32_t *count)
{
    struct blob_key low = {.bytes = {BLOB_ROW_PARTIAL}, .size = 1};
    struct blob_key high = {.bytes = {BLOB_ROW_PARTIAL + 1}, .size = 1};
    struct kv_iter *iter = NULL;
    *count = 0;
    if (after != NULL) {
        low = blob_key_named(BLOB_ROW_PARTIAL, after);
    }
    enum sh_err err =
        kv_iter_open(blob->kv, NULL, blob->cf, blob_key_span(&low), blob_key_span(&high), &iter);
    if (err != SH_OK) {
        return err;
    }
    for (bool more = kv_iter_first(iter); more && *count < PARTIAL_PAGE;
         more = kv_iter_next(iter)) {
        struct sh_span key = kv_iter_key(iter);
        bool given = after != NULL && kv_compare(key, blob_key_span(&low)) == 0;
        if (key.size == 1 + SH_DIGEST_BYTES && !given) {
            memcpy(out[(*count)++].digest, key.at + 1, SH_DIGEST_BYTES);
        }
    }
    err = kv_iter_error(iter);
    kv_iter_close(iter);
    return err;
}

static enum sh_err collect_one_partial(struct blob *blob, const struct blob_id *id, uint32_t *count)
{
    struct blob_lease lease;
    enum sh_err err = blob_lease_get(blob, id, &lease);
    if (err != SH_OK || lease.left_us > 0) {
        return err;
    }
    err = blob_drop_partial(blob, id);
    *count += err == SH_OK;
    return err == SH_ERR_IN_USE || err == SH_ERR_NOT_FOUND || err == SH_ERR_FULL ? SH_OK : err;
}

enum sh_err blob_collect_partial(struct blob *blob, uint32_t *count)
{
    struct blob_id page[PARTIAL_PAGE];
    struct blob_id last;
    uint32_t found = PARTIAL_PAGE;
    bool first = true;
    enum sh_err err = SH_OK;
    *count = 0;
    while (err == SH_OK && found == PARTIAL_PAGE) {
        err = list_partial(blob, first ? NULL : &last, page, &found);
        for (uint32_t i = 0; err == SH_OK && i < found; i++) {
            err = collect_one_partial(blob, &page[i], count);
            last = page[i];
            first = false;
        }
    }
    return err;
}

enum sh_err blob_compact(struct blob *blob)
{
    struct blob_key low = {.bytes = {BLOB_ROW_CHUNK}, .size = 1};
    struct blob_key high = {.bytes = {BLOB_ROW_CHUNK + 1}, .size = 1};
    return kv_compact(blob->kv, blob->cf, blob_key_span(&low), blob_key_span(&high));
}
