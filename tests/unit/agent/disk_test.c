/* SPDX-License-Identifier: Apache-2.0 */
#include "disk.h"

#include "base/host/host.h"
#include "store/kv_mem.h"
#include "tst.h"

#include <stdlib.h>
#include <string.h>

#define SECOND UINT64_C(1000000)

static const struct kv_cf CFS[] = {{"meta", KV_CF_SMALL}, {"log", KV_CF_SMALL}};
enum { CF_META, CF_LOG };

static struct kv *kv;
static struct wal *wal;
static struct disk *disk;

static void open_disk(void)
{
    struct wal_boot boot;
    sh_host_init();
    EXPECT_EQ(kv_mem_open(CFS, SH_COUNT(CFS), &kv), SH_OK);
    EXPECT_EQ(wal_open(kv, CF_LOG, CF_META, &boot, &wal), SH_OK);
    EXPECT_EQ(disk_open(&disk, wal), SH_OK);
}

static void close_disk(void)
{
    disk_stop(disk);
    disk_close(disk);
    wal_close(wal);
    kv_close(kv);
}

/* Entries [first, first + count) of a term with the term as payload. */
static enum sh_err submit(uint64_t token, uint64_t first, uint32_t count, uint64_t term)
{
    size_t head = count * sizeof(struct wal_entry);
    struct disk_write w = {.token = token,
                           .sync = true,
                           .has_hard = true,
                           .hard = {.term = term, .vote = 1},
                           .count = count};
    w.memory = malloc(head + count * sizeof term);
    EXPECT(w.memory != NULL);
    w.entries = w.memory;
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *payload = (uint8_t *)w.memory + head + i * sizeof term;
        memcpy(payload, &term, sizeof term);
        w.entries[i] = (struct wal_entry){
            .index = first + i, .term = term, .bytes = {.at = payload, .size = sizeof term}};
    }
    enum sh_err err = disk_submit(disk, &w);
    if (err != SH_OK) {
        free(w.memory);
    }
    return err;
}

static struct disk_done next_done(void)
{
    struct disk_done done;
    EXPECT(queue_wait(disk_done_queue(disk), &done, 10 * SECOND));
    return done;
}

/* Collects answers up to a token; returns how many writes they covered. */
static uint32_t await_token(uint64_t token)
{
    uint32_t batched = 0;
    uint64_t before = 0;
    for (;;) {
        struct disk_done done = next_done();
        EXPECT_EQ(done.err, SH_OK);
        EXPECT(done.token > before);
        before = done.token;
        batched += done.batched;
        if (done.token == token) {
            return batched;
        }
    }
}

static void expect_log(uint64_t last, uint64_t changed_at)
{
    struct wal_entry entries[64];
    uint8_t buffer[4096];
    uint32_t count = 0;
    EXPECT_EQ(wal_last_index(wal), last);
    for (uint64_t i = 1; i <= last; i += count) {
        EXPECT_EQ(wal_read(wal, i, last + 1, entries, 64, buffer, sizeof buffer, &count), SH_OK);
        for (uint32_t k = 0; k < count; k++) {
            EXPECT_EQ(entries[k].term, entries[k].index < changed_at ? 1 : 2);
            EXPECT_MEM(entries[k].bytes.at, &entries[k].term, sizeof(uint64_t));
        }
    }
}

TEST(writes_become_durable_in_order_each_covered_once)
{
    open_disk();
    for (uint64_t i = 1; i <= 500; i++) {
        EXPECT_EQ(submit(i, i, 1, 1), SH_OK);
    }
    EXPECT_EQ(await_token(500), 500);
    expect_log(500, UINT64_MAX);
    EXPECT_EQ(disk_waiting(disk), 0);
    EXPECT(disk_fsync_p99_us(disk) > 0);
    close_disk();
}

TEST(a_write_that_replaces_entries_is_not_merged_with_those_it_replaces)
{
    open_disk();
    EXPECT_EQ(submit(1, 1, 10, 1), SH_OK);
    EXPECT_EQ(submit(2, 5, 3, 2), SH_OK);
    EXPECT_EQ(submit(3, 8, 1, 2), SH_OK);
    EXPECT_EQ(submit(4, 7, 2, 2), SH_OK);
    EXPECT_EQ(await_token(4), 4);
    expect_log(8, 5);
    close_disk();
}

TEST(more_entries_than_one_batch_takes_are_split)
{
    open_disk();
    for (uint64_t i = 0; i < 5; i++) {
        EXPECT_EQ(submit(i + 1, i * DISK_BATCH_ENTRIES + 1, DISK_BATCH_ENTRIES, 1), SH_OK);
    }
    EXPECT_EQ(await_token(5), 5);
    expect_log(5 * DISK_BATCH_ENTRIES, UINT64_MAX);
    close_disk();
}

TEST(a_hard_state_nobody_waits_for_is_written_without_an_answer)
{
    struct wal_boot boot;
    struct disk_write w = {.has_hard = true, .hard = {.term = 1, .commit = 1}};
    open_disk();
    EXPECT_EQ(submit(1, 1, 1, 1), SH_OK);
    EXPECT_EQ(await_token(1), 1);
    EXPECT_EQ(disk_submit(disk, &w), SH_OK);
    disk_stop(disk);
    struct disk_done done;
    EXPECT(!queue_pop(disk_done_queue(disk), &done));
    disk_close(disk);
    wal_close(wal);
    EXPECT_EQ(wal_open(kv, CF_LOG, CF_META, &boot, &wal), SH_OK);
    EXPECT_EQ(boot.hard.commit, 1);
    wal_close(wal);
    kv_close(kv);
}

TEST(stopping_writes_what_was_submitted)
{
    struct wal_boot boot;
    open_disk();
    for (uint64_t i = 1; i <= 300; i++) {
        EXPECT_EQ(submit(i, i, 1, 1), SH_OK);
    }
    disk_stop(disk);
    EXPECT_EQ(submit(301, 301, 1, 1), SH_ERR_CANCELLED);
    disk_close(disk);
    wal_close(wal);
    kv_mem_crash(kv, 0);
    EXPECT_EQ(wal_open(kv, CF_LOG, CF_META, &boot, &wal), SH_OK);
    EXPECT_EQ(boot.last_index, 300);
    wal_close(wal);
    kv_close(kv);
}

static const enum sh_err FAULTS[] = {SH_ERR_IO, SH_ERR_NO_SPACE, SH_ERR_IO};

TEST_ROWS(after_an_error_that_is_told_once_nothing_is_written_any_more, FAULTS)
{
    struct wal_boot boot;
    struct disk_done done;
    open_disk();
    EXPECT_EQ(submit(1, 1, 3, 1), SH_OK);
    EXPECT_EQ(await_token(1), 1);
    kv_mem_fail(kv, 1, FAULTS[tst_row], tst_row == 2);
    EXPECT_EQ(submit(2, 4, 3, 1), SH_OK);
    done = next_done();
    EXPECT_EQ(done.err, FAULTS[tst_row]);
    EXPECT_EQ(done.token, 0);
    for (uint64_t i = 0; i < 5; i++) { /* they follow what was not written */
        EXPECT_EQ(submit(3 + i, 7 + i, 1, 1), SH_OK);
    }
    disk_stop(disk);
    EXPECT(!queue_pop(disk_done_queue(disk), &done));
    disk_close(disk);
    wal_close(wal);
    kv_mem_crash(kv, UINT32_MAX);
    EXPECT_EQ(wal_open(kv, CF_LOG, CF_META, &boot, &wal), SH_OK);
    EXPECT_EQ(boot.last_index, tst_row == 2 ? 6 : 3);
    wal_close(wal);
    kv_close(kv);
}
