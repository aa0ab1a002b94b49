/* SPDX-License-Identifier: Apache-2.0 */
#include "store/wal/wal.h"

#include "store/wal/record.h"
#include "store/wal/tail.h"

#include <stdlib.h>

struct wal {
    struct kv *kv;
    uint32_t cf_log;
    uint32_t cf_meta;
    struct wal_hard hard;
    uint64_t compacted_index;
    uint64_t compacted_term;
    uint64_t last_index;
    struct wal_run *runs; /* covers (compacted_index, last_index] */
    uint32_t run_count;
    uint32_t run_capacity;
    struct kv_batch batch;
    struct wal_tail *tail;
    uint8_t *scratch; /* one encoded entry */
};

static struct sh_span text_key(const char *key)
{
    return KV_SPAN(key, strlen(key));
}

static uint64_t last_term(const struct wal *wal)
{
    return wal->run_count > 0 ? wal->runs[wal->run_count - 1].term : wal->compacted_term;
}

static enum sh_err reserve_runs(struct wal *wal, uint64_t count)
{
    if (count <= wal->run_capacity) {
        return SH_OK;
    }
    if (count > WAL_RUNS_MAX) {
        return SH_ERR_FULL;
    }
    uint32_t capacity = wal->run_capacity > 0 ? wal->run_capacity : 16;
    while (capacity < count) {
        capacity *= 2;
    }
    struct wal_run *runs = realloc(wal->runs, capacity * sizeof *runs);
    if (runs == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    wal->runs = runs;
    wal->run_capacity = capacity;
    return SH_OK;
}

static void note_entry(struct wal *wal, uint64_t index, uint64_t term)
{
    SH_CHECK_CMP(index, ==, wal->last_index + 1);
    if (wal->run_count == 0 || wal->runs[wal->run_count - 1].term != term) {
        SH_CHECK_CMP(wal->run_count, <, wal->run_capacity);
        wal->runs[wal->run_count++] = (struct wal_run){.first = index, .term = term};
    }
    wal->last_index = index;
}

/* Reads a record of meta into buffer; NOT_FOUND leaves value empty. */
static enum sh_err read_meta(struct wal *wal, const char *key, uint8_t *buffer,
                             struct sh_span *value)
{
    size_t used = 0;
    *value = KV_ALL;
    enum sh_err err =
        kv_get_into(wal->kv, NULL, wal->cf_meta, text_key(key), buffer, WAL_RECORD_BYTES, &used);
    if (err == SH_OK) {
        *value = KV_SPAN(buffer, used);
    }
    return err == SH_ERR_LIMIT ? SH_ERR_CORRUPT : err;
}

static enum sh_err load_meta(struct wal *wal, struct wal_boot *boot)
{
    uint8_t buffer[WAL_RECORD_BYTES];
    struct sh_span value;
    enum sh_err err = read_meta(wal, WAL_KEY_IDENTITY, buffer, &value);
    if (err == SH_OK) {
        boot->has_identity = true;
        err = wal_identity_decode(value, &boot->identity);
    }
    if (err != SH_OK && err != SH_ERR_NOT_FOUND) {
        return err;
    }
    err = read_meta(wal, WAL_KEY_HARD, buffer, &value);
    if (err == SH_OK) {
        err = wal_hard_decode(value, &wal->hard);
    }
    if (err != SH_OK && err != SH_ERR_NOT_FOUND) {
        return err;
    }
    err = read_meta(wal, WAL_KEY_FIRST, buffer, &value);
    if (err == SH_OK) {
        err = wal_first_decode(value, &wal->compacted_index, &wal->compacted_term);
    }
    wal->last_index = wal->compacted_index;
    return err == SH_ERR_NOT_FOUND ? SH_OK : err;
}

static enum sh_err load_entry(struct wal *wal, struct kv_iter *iter)
{
    struct sh_span key = kv_iter_key(iter);
    struct wal_entry entry;
    if (key.size != 8 || sh_key_u64_get(key.at) != wal->last_index + 1) {
        return SH_ERR_CORRUPT;
    }
    enum sh_err err = wal_entry_decode(wal->last_index + 1, kv_iter_value(iter), &entry);
    if (err != SH_OK) {
        return err;
    }
    if (entry.term < last_term(wal)) {
        return SH_ERR_CORRUPT;
    }
    err = reserve_runs(wal, (uint64_t)wal->run_count + 1);
    if (err == SH_OK) {
        note_entry(wal, entry.index, entry.term);
    }
    return err;
}

static enum sh_err load_log(struct wal *wal)
{
    struct kv_iter *iter = NULL;
    uint8_t low[8];
    sh_key_u64(low, wal->compacted_index + 1);
    enum sh_err err = kv_iter_open(wal->kv, NULL, wal->cf_log, KV_SPAN(low, 8), KV_ALL, &iter);
    if (err != SH_OK) {
        return err;
    }
    bool more = kv_iter_first(iter);
    while (more && err == SH_OK) {
        err = load_entry(wal, iter);
        more = err == SH_OK && kv_iter_next(iter);
    }
    if (err == SH_OK) {
        err = kv_iter_error(iter);
    }
    kv_iter_close(iter);
    if (err == SH_OK && wal->hard.commit > wal->last_index) {
        err = SH_ERR_CORRUPT; /* entries that this voter promised to keep are gone */
    }
    return err;
}

enum sh_err wal_open(struct kv *kv, uint32_t cf_log, uint32_t cf_meta, struct wal_boot *boot,
                     struct wal **out)
{
    struct wal *wal = calloc(1, sizeof *wal);
    *out = NULL;
    *boot = (struct wal_boot){0};
    if (wal == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    wal->kv = kv;
    wal->cf_log = cf_log;
    wal->cf_meta = cf_meta;
    kv_batch_init(&wal->batch);
    wal->scratch = malloc(WAL_ENTRY_HEAD_BYTES + WAL_ENTRY_BYTES_MAX);
    wal->tail = wal_tail_open();
    enum sh_err err =
        wal->scratch != NULL && wal->tail != NULL ? load_meta(wal, boot) : SH_ERR_NO_MEMORY;
    if (err == SH_OK) {
        err = load_log(wal);
    }
    if (err != SH_OK) {
        wal_close(wal);
        return err;
    }
    boot->hard = wal->hard;
    boot->compacted_index = wal->compacted_index;
    boot->compacted_term = wal->compacted_term;
    boot->last_index = wal->last_index;
    boot->last_term = last_term(wal);
    *out = wal;
    return SH_OK;
}

void wal_close(struct wal *wal)
{
    if (wal != NULL) {
        kv_batch_fini(&wal->batch);
        wal_tail_close(wal->tail);
        free(wal->scratch);
        free(wal->runs);
        free(wal);
    }
}

enum sh_err wal_put_identity(struct wal *wal, const struct wal_identity *identity)
{
    uint8_t record[WAL_RECORD_BYTES];
    size_t size = wal_identity_encode(identity, record);
    kv_batch_clear(&wal->batch);
    kv_batch_put(&wal->batch, wal->cf_meta, text_key(WAL_KEY_IDENTITY), KV_SPAN(record, size));
    return kv_write(wal->kv, &wal->batch, true);
}

/* What Raft must never ask for. */
static void check_save(const struct wal *wal, const struct wal_hard *hard,
                       const struct wal_entry *entries, uint32_t count)
{
    uint64_t last = count > 0 ? entries[count - 1].index : wal->last_index;
    SH_CHECK_CMP(count, <=, WAL_SAVE_COUNT_MAX);
    if (count > 0) {
        SH_CHECK_CMP(entries[0].index, >, wal->compacted_index);
        SH_CHECK_CMP(entries[0].index, >, wal->hard.commit); /* committed entries stay */
        SH_CHECK_CMP(entries[0].index, <=, wal->last_index + 1);
        uint64_t before = 0;
        SH_CHECK(wal_term(wal, entries[0].index - 1, &before) == SH_OK);
        SH_CHECK_CMP(entries[0].term, >=, before);
    }
    for (uint32_t i = 1; i < count; i++) {
        SH_CHECK_CMP(entries[i].index, ==, entries[0].index + i);
        SH_CHECK_CMP(entries[i].term, >=, entries[i - 1].term);
    }
    if (hard != NULL) {
        SH_CHECK_CMP(hard->term, >=, wal->hard.term);
        SH_CHECK_CMP(hard->commit, >=, wal->hard.commit);
        SH_CHECK_CMP(hard->commit, <=, last);
    }
}

static void add_entry(struct wal *wal, const struct wal_entry *entry)
{
    uint8_t key[8];
    sh_key_u64(key, entry->index);
    size_t size = wal_entry_encode(entry, wal->scratch);
    kv_batch_put(&wal->batch, wal->cf_log, KV_SPAN(key, 8), KV_SPAN(wal->scratch, size));
}

static void add_hard(struct wal *wal, const struct wal_hard *hard)
{
    uint8_t record[WAL_RECORD_BYTES];
    size_t size = wal_hard_encode(hard, record);
    kv_batch_put(&wal->batch, wal->cf_meta, text_key(WAL_KEY_HARD), KV_SPAN(record, size));
}

static void cut_log(struct wal *wal, uint64_t low, uint64_t high)
{
    uint8_t from[8];
    uint8_t to[8];
    sh_key_u64(from, low);
    sh_key_u64(to, high);
    kv_batch_del_range(&wal->batch, wal->cf_log, KV_SPAN(from, 8), KV_SPAN(to, 8));
}

/* Forgets, in memory, the entries from first on. */
static void truncate_runs(struct wal *wal, uint64_t first)
{
    while (wal->run_count > 0 && wal->runs[wal->run_count - 1].first >= first) {
        wal->run_count--;
    }
    wal->last_index = first - 1;
}

enum sh_err wal_save(struct wal *wal, const struct wal_hard *hard, const struct wal_entry *entries,
                     uint32_t count, bool sync)
{
    check_save(wal, hard, entries, count);
    enum sh_err err = reserve_runs(wal, (uint64_t)wal->run_count + count);
    if (err != SH_OK) {
        return err;
    }
    kv_batch_clear(&wal->batch);
    for (uint32_t i = 0; i < count; i++) {
        add_entry(wal, &entries[i]);
    }
    if (count > 0 && entries[count - 1].index < wal->last_index) {
        cut_log(wal, entries[count - 1].index + 1, wal->last_index + 1);
    }
    if (hard != NULL) {
        add_hard(wal, hard);
    }
    err = kv_write(wal->kv, &wal->batch, sync);
    if (err != SH_OK) {
        return err;
    }
    if (count > 0) {
        truncate_runs(wal, entries[0].index);
    }
    wal_tail_put(wal->tail, entries, count);
    for (uint32_t i = 0; i < count; i++) {
        note_entry(wal, entries[i].index, entries[i].term);
    }
    wal->hard = hard != NULL ? *hard : wal->hard;
    return SH_OK;
}

struct reading {
    struct wal_entry *out;
    uint32_t capacity;
    uint8_t *buffer;
    size_t size;
    size_t used;
    uint32_t count;
};

/* Takes the entry the iterator stands on; LIMIT when there is no room for it. */
static enum sh_err take_entry(struct reading *reading, uint64_t index, struct kv_iter *iter)
{
    struct sh_span key = kv_iter_key(iter);
    struct wal_entry entry;
    if (key.size != 8) {
        return SH_ERR_CORRUPT;
    }
    if (sh_key_u64_get(key.at) != index) {
        return reading->count == 0 ? SH_ERR_NOT_FOUND : SH_ERR_CORRUPT;
    }
    enum sh_err err = wal_entry_decode(index, kv_iter_value(iter), &entry);
    if (err != SH_OK) {
        return err;
    }
    if (reading->count == reading->capacity || entry.bytes.size > reading->size - reading->used) {
        return SH_ERR_LIMIT;
    }
    uint8_t *at = reading->buffer + reading->used;
    if (entry.bytes.size > 0) {
        memcpy(at, entry.bytes.at, entry.bytes.size);
    }
    entry.bytes.at = at;
    reading->used += entry.bytes.size;
    reading->out[reading->count++] = entry;
    return SH_OK;
}

enum sh_err wal_read(struct wal *wal, uint64_t low, uint64_t high, struct wal_entry *out,
                     uint32_t capacity, void *buffer, size_t size, uint32_t *count)
{
    struct reading reading = {.out = out, .capacity = capacity, .buffer = buffer, .size = size};
    struct kv_iter *iter = NULL;
    uint8_t from[8];
    uint8_t to[8];
    SH_CHECK_CMP(low, <, high);
    SH_CHECK_CMP(capacity, >, 0);
    *count = wal_tail_read(wal->tail, low, high, out, capacity, buffer, size);
    if (*count > 0) {
        return SH_OK;
    }
    sh_key_u64(from, low);
    sh_key_u64(to, high);
    enum sh_err err =
        kv_iter_open(wal->kv, NULL, wal->cf_log, KV_SPAN(from, 8), KV_SPAN(to, 8), &iter);
    if (err != SH_OK) {
        return err;
    }
    bool more = kv_iter_first(iter);
    while (more && err == SH_OK) {
        err = take_entry(&reading, low + reading.count, iter);
        more = err == SH_OK && kv_iter_next(iter);
    }
    if (err == SH_OK) {
        err = kv_iter_error(iter);
    }
    kv_iter_close(iter);
    if (err == SH_ERR_LIMIT && reading.count > 0) {
        err = SH_OK;
    }
    if (err == SH_OK && reading.count == 0) {
        err = SH_ERR_NOT_FOUND;
    }
    *count = err == SH_OK ? reading.count : 0;
    return err;
}

uint64_t wal_last_index(const struct wal *wal)
{
    return wal->last_index;
}

uint64_t wal_compacted_index(const struct wal *wal)
{
    return wal->compacted_index;
}

enum sh_err wal_term(const struct wal *wal, uint64_t index, uint64_t *term)
{
    *term = 0;
    if (index < wal->compacted_index || index > wal->last_index) {
        return SH_ERR_NOT_FOUND;
    }
    if (index == wal->compacted_index) {
        *term = wal->compacted_term;
        return SH_OK;
    }
    uint32_t low = 0; /* runs[low].first <= index < runs[high].first */
    uint32_t high = wal->run_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (wal->runs[middle].first <= index) {
            low = middle;
        } else {
            high = middle;
        }
    }
    SH_CHECK_CMP(wal->runs[low].first, <=, index);
    *term = wal->runs[low].term;
    return SH_OK;
}

const struct wal_run *wal_runs(const struct wal *wal, uint32_t *count)
{
    *count = wal->run_count;
    return wal->runs;
}

/* Forgets, in memory, the entries up to upto. */
static void compact_runs(struct wal *wal, uint64_t upto)
{
    uint32_t gone = 0;
    while (gone < wal->run_count &&
           (gone + 1 < wal->run_count ? wal->runs[gone + 1].first <= upto + 1
                                      : wal->last_index <= upto)) {
        gone++;
    }
    wal->run_count -= gone;
    if (wal->run_count > 0) {
        memmove(wal->runs, wal->runs + gone, wal->run_count * sizeof *wal->runs);
        wal->runs[0].first = upto + 1;
    }
}

enum sh_err wal_compact(struct wal *wal, uint64_t upto)
{
    uint8_t record[WAL_RECORD_BYTES];
    uint64_t term = 0;
    SH_CHECK_CMP(upto, >=, wal->compacted_index);
    SH_CHECK_CMP(upto, <=, wal->hard.commit);
    SH_CHECK(wal_term(wal, upto, &term) == SH_OK);
    size_t size = wal_first_encode(upto, term, record);
    kv_batch_clear(&wal->batch);
    kv_batch_put(&wal->batch, wal->cf_meta, text_key(WAL_KEY_FIRST), KV_SPAN(record, size));
    cut_log(wal, wal->compacted_index + 1, upto + 1);
    enum sh_err err = kv_write(wal->kv, &wal->batch, true);
    if (err != SH_OK) {
        return err;
    }
    compact_runs(wal, upto);
    wal_tail_compact(wal->tail, upto);
    wal->compacted_index = upto;
    wal->compacted_term = term;
    return SH_OK;
}

enum sh_err wal_install(struct wal *wal, uint64_t index, uint64_t term, const struct wal_hard *hard,
                        const struct kv_batch *with)
{
    uint8_t record[WAL_RECORD_BYTES];
    SH_CHECK_CMP(index, >, wal->hard.commit);
    SH_CHECK_CMP(hard->term, >=, wal->hard.term);
    SH_CHECK_CMP(hard->term, >=, term);
    SH_CHECK_CMP(hard->commit, ==, index);
    size_t size = wal_first_encode(index, term, record);
    kv_batch_clear(&wal->batch);
    kv_batch_put(&wal->batch, wal->cf_meta, text_key(WAL_KEY_FIRST), KV_SPAN(record, size));
    add_hard(wal, hard);
    kv_batch_del_range(&wal->batch, wal->cf_log, KV_ALL, KV_ALL);
    if (with != NULL) {
        kv_batch_add(&wal->batch, with);
    }
    enum sh_err err = kv_write(wal->kv, &wal->batch, true);
    if (err != SH_OK) {
        return err;
    }
    wal->hard = *hard;
    wal_tail_install(wal->tail, index);
    wal->compacted_index = index;
    wal->compacted_term = term;
    wal->last_index = index;
    wal->run_count = 0;
    return SH_OK;
}
