/* SPDX-License-Identifier: Apache-2.0
 *
 * Any rows in any column family of the stores: opening and reading answers errors, never panics.
 * Input: column family u8, key size u8, value size u16 (little-endian), key, value; repeated. */
#include "store/blob/blob.h"
#include "store/fsm/fsm.h"
#include "store/kv_mem.h"
#include "store/series/series.h"
#include "store/wal/wal.h"

#include "base/host/host.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { META, LOG, FSM, BLOB, SERIES };

static const struct kv_cf cfs[] = {
    {.name = "meta"}, {.name = "log"}, {.name = "fsm"}, {.name = "blob"}, {.name = "series"}};

static void put_rows(struct kv *kv, const uint8_t *data, size_t size)
{
    struct sh_reader r = sh_reader_over(data, size);
    struct kv_batch batch;
    kv_batch_init(&batch);
    while (sh_reader_left(&r) >= 4) {
        uint32_t cf = sh_get_u8(&r) % (uint32_t)SH_COUNT(cfs);
        size_t key_size = sh_get_u8(&r);
        size_t value_size = sh_get_u16(&r);
        const uint8_t *at = r.at + r.used;
        if (key_size == 0 || key_size + value_size > sh_reader_left(&r)) {
            break;
        }
        r.used += key_size + value_size;
        kv_batch_put(&batch, cf, KV_SPAN(at, key_size), KV_SPAN(at + key_size, value_size));
    }
    SH_CHECK(kv_write(kv, &batch, true) == SH_OK);
    kv_batch_fini(&batch);
}

static void read_wal(struct kv *kv)
{
    static uint8_t buffer[WAL_ENTRY_BYTES_MAX];
    struct wal_entry entries[16];
    struct wal_boot boot;
    struct wal *wal = NULL;
    uint32_t count = 0;
    if (wal_open(kv, LOG, META, &boot, &wal) != SH_OK) {
        return;
    }
    SH_CHECK_CMP(boot.hard.commit, <=, boot.last_index);
    if (boot.last_index > boot.compacted_index) {
        SH_CHECK(wal_read(wal, boot.compacted_index + 1, boot.last_index + 1, entries, 16, buffer,
                          sizeof buffer, &count) == SH_OK);
        SH_CHECK_CMP(count, >, 0);
    }
    wal_close(wal);
}

static void read_fsm(struct kv *kv)
{
    static struct fsm_applied applied;
    static uint8_t chunk[FSM_CHUNK_BYTES_MIN];
    struct fsm *fsm = NULL;
    struct fsm_view *view = NULL;
    if (fsm_open(kv, FSM, NULL, &fsm, &applied) != SH_OK) {
        return;
    }
    SH_CHECK(fsm_view_open(fsm, &view) == SH_OK);
    for (size_t used = 1; used > 0;) {
        struct sh_span key;
        struct sh_span value;
        used = fsm_view_scan(view, chunk, sizeof chunk, SIZE_MAX);
        struct sh_reader r = sh_reader_over(chunk, used);
        while (fsm_chunk_row(&r, &key, &value)) {
        }
        SH_CHECK(sh_reader_end(&r) == SH_OK);
    }
    fsm_view_close(view);
    fsm_close(fsm);
}

static void read_one_blob(struct blob *blob, const struct blob_id *id)
{
    static uint8_t bytes[2 * BLOB_CHUNK_BYTES];
    struct blob_reader *reader = NULL;
    struct blob_writer *writer = NULL;
    uint64_t received = 0;
    size_t got = 0;
    char why[KV_TEXT_BYTES];
    if (blob_read_open(blob, id, &reader) == SH_OK) {
        if (blob_read(reader, 0, bytes, sizeof bytes, &got) != SH_OK) {
            blob_read_why(reader, why);
        }
        blob_read_close(reader);
    }
    if (blob_write_open(blob, id, &writer, &received) == SH_OK) {
        SH_CHECK(blob_write_close(writer) == SH_OK);
    }
}

static void read_blobs(struct kv *kv)
{
    struct blob *blob = NULL;
    struct blob_id ids[8];
    uint32_t count = 0;
    sh_host_init();
    if (blob_open(kv, BLOB, &blob) != SH_OK) {
        return;
    }
    SH_CHECK(blob_list(blob, NULL, ids, 8, &count) == SH_OK);
    for (uint32_t i = 0; i < count; i++) {
        read_one_blob(blob, &ids[i]);
    }
    struct blob_id zero = {{0}};
    uint64_t received = 0;
    enum sh_err err = blob_received(blob, &zero, &received);
    SH_CHECK(err == SH_OK || err == SH_ERR_CORRUPT);
    read_one_blob(blob, &zero);
    blob_close(blob);
}

static void read_series(struct kv *kv)
{
    static uint8_t buffer[SERIES_TEXT_MAX];
    struct series series = {.kv = kv, .cf = SERIES};
    struct series_name names[4];
    struct series_point points[4];
    struct series_row rows[4];
    uint32_t count = 0;
    uint32_t name_count = 0;
    enum sh_err err = series_names(&series, 1, names, 4, &name_count);
    for (uint32_t i = 0; i < name_count && err == SH_OK; i++) {
        err = strlen(names[i].text) > 0
                  ? series_points(&series, 1, names[i].text, 0, points, 4, &count)
                  : SH_OK;
    }
    err = series_lines(&series, 1, 0, rows, 4, buffer, sizeof buffer, &count);
    SH_CHECK(err == SH_OK || count == 0);
    err = series_events(&series, 1, 0, rows, 4, buffer, sizeof buffer, &count);
    SH_CHECK(err == SH_OK || count == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kv *kv = NULL;
    SH_CHECK(kv_mem_open(cfs, SH_COUNT(cfs), &kv) == SH_OK);
    put_rows(kv, data, size);
    read_wal(kv);
    read_fsm(kv);
    read_blobs(kv);
    read_series(kv);
    kv_close(kv);
    return 0;
}
