/* SPDX-License-Identifier: Apache-2.0 */
#include "store/wal/record.h"

#include "base/rng.h"

enum { VERSION = 1, HASH_BYTES = 8, ENTRY_FIELDS_BYTES = 10 };

static uint64_t hash_of(const char *key, const uint8_t *bytes, size_t size)
{
    return sh_hash64(sh_hash64(0, key, strlen(key)), bytes, size);
}

static size_t seal(struct sh_writer *w, const char *key)
{
    sh_put_u64(w, hash_of(key, w->at, w->used));
    SH_CHECK(!w->full);
    return w->used;
}

/* A reader over the fields when version and hash are right. */
static enum sh_err unseal(struct sh_span value, const char *key, struct sh_reader *r)
{
    if (value.size < 1 + HASH_BYTES) {
        return SH_ERR_CORRUPT;
    }
    size_t size = value.size - HASH_BYTES;
    struct sh_reader tail = sh_reader_over(value.at + size, HASH_BYTES);
    if (sh_get_u64(&tail) != hash_of(key, value.at, size)) {
        return SH_ERR_CORRUPT;
    }
    *r = sh_reader_over(value.at, size);
    return sh_get_u8(r) == VERSION ? SH_OK : SH_ERR_VERSION;
}

size_t wal_identity_encode(const struct wal_identity *identity, uint8_t *out)
{
    struct sh_writer w = sh_writer_over(out, WAL_RECORD_BYTES);
    sh_put_u8(&w, VERSION);
    sh_put_bytes(&w, identity->cluster, sizeof identity->cluster);
    sh_put_bytes(&w, identity->node, sizeof identity->node);
    sh_put_u64(&w, identity->handle);
    sh_put_u64(&w, identity->boots);
    return seal(&w, WAL_KEY_IDENTITY);
}

enum sh_err wal_identity_decode(struct sh_span value, struct wal_identity *out)
{
    struct sh_reader r;
    enum sh_err err = unseal(value, WAL_KEY_IDENTITY, &r);
    if (err != SH_OK) {
        return err;
    }
    sh_get_bytes(&r, out->cluster, sizeof out->cluster);
    sh_get_bytes(&r, out->node, sizeof out->node);
    out->handle = sh_get_u64(&r);
    out->boots = sh_get_u64(&r);
    return sh_reader_end(&r);
}

size_t wal_hard_encode(const struct wal_hard *hard, uint8_t *out)
{
    struct sh_writer w = sh_writer_over(out, WAL_RECORD_BYTES);
    sh_put_u8(&w, VERSION);
    sh_put_u64(&w, hard->term);
    sh_put_u64(&w, hard->vote);
    sh_put_u64(&w, hard->commit);
    return seal(&w, WAL_KEY_HARD);
}

enum sh_err wal_hard_decode(struct sh_span value, struct wal_hard *out)
{
    struct sh_reader r;
    enum sh_err err = unseal(value, WAL_KEY_HARD, &r);
    if (err != SH_OK) {
        return err;
    }
    out->term = sh_get_u64(&r);
    out->vote = sh_get_u64(&r);
    out->commit = sh_get_u64(&r);
    return sh_reader_end(&r);
}

size_t wal_first_encode(uint64_t index, uint64_t term, uint8_t *out)
{
    struct sh_writer w = sh_writer_over(out, WAL_RECORD_BYTES);
    sh_put_u8(&w, VERSION);
    sh_put_u64(&w, index);
    sh_put_u64(&w, term);
    return seal(&w, WAL_KEY_FIRST);
}

enum sh_err wal_first_decode(struct sh_span value, uint64_t *index, uint64_t *term)
{
    struct sh_reader r;
    enum sh_err err = unseal(value, WAL_KEY_FIRST, &r);
    if (err != SH_OK) {
        return err;
    }
    *index = sh_get_u64(&r);
    *term = sh_get_u64(&r);
    return sh_reader_end(&r);
}

static uint64_t entry_hash(uint64_t index, const uint8_t *fields, struct sh_span payload)
{
    return sh_hash64(sh_hash64(index, fields, ENTRY_FIELDS_BYTES), payload.at, payload.size);
}

size_t wal_entry_encode(const struct wal_entry *entry, uint8_t *out)
{
    struct sh_writer w = sh_writer_over(out, WAL_ENTRY_HEAD_BYTES + entry->bytes.size);
    SH_CHECK_CMP(entry->bytes.size, <=, WAL_ENTRY_BYTES_MAX);
    sh_put_u8(&w, VERSION);
    sh_put_u8(&w, entry->type);
    sh_put_u64(&w, entry->term);
    sh_put_u64(&w, entry_hash(entry->index, out, entry->bytes));
    sh_put_bytes(&w, entry->bytes.at, entry->bytes.size);
    SH_CHECK(!w.full);
    return w.used;
}

enum sh_err wal_entry_decode(uint64_t index, struct sh_span value, struct wal_entry *entry)
{
    struct sh_reader r = sh_reader_over(value.at, value.size);
    *entry = (struct wal_entry){.index = index};
    uint8_t version = sh_get_u8(&r);
    entry->type = sh_get_u8(&r);
    entry->term = sh_get_u64(&r);
    uint64_t hash = sh_get_u64(&r);
    size_t size = sh_reader_left(&r);
    if (sh_reader_end(&r) != SH_OK || size > WAL_ENTRY_BYTES_MAX) {
        return SH_ERR_CORRUPT;
    }
    entry->bytes = KV_SPAN(value.at + WAL_ENTRY_HEAD_BYTES, size);
    if (hash != entry_hash(index, value.at, entry->bytes)) {
        return SH_ERR_CORRUPT;
    }
    return version == VERSION ? SH_OK : SH_ERR_VERSION;
}
