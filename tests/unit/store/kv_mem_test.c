/* SPDX-License-Identifier: Apache-2.0 */
#include "store/kv_mem.h"

#include "base/rng.h"
#include "tst.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>

enum { KEYS = 16, STEPS = 24 };

static const struct kv_cf cfs[] = {{.name = "a"}, {.name = "b"}};

static struct kv *open_mem(void)
{
    struct kv *kv = NULL;
    EXPECT_EQ(kv_mem_open(cfs, SH_COUNT(cfs), &kv), SH_OK);
    return kv;
}

/* One batch of the script: step i puts i under two keys, deletes a third and now and then a range.
 */
static enum sh_err write_step(struct kv *kv, uint64_t seed, uint8_t i, bool sync)
{
    struct sh_rng rng;
    struct kv_batch batch;
    sh_rng_init(&rng, seed * 1000 + i);
    kv_batch_init(&batch);
    for (uint32_t cf = 0; cf < SH_COUNT(cfs); cf++) {
        uint8_t put = (uint8_t)sh_rng_below(&rng, KEYS);
        uint8_t del = (uint8_t)sh_rng_below(&rng, KEYS);
        uint8_t end = (uint8_t)(del + 3);
        kv_batch_del(&batch, cf, KV_SPAN(&del, 1));
        if (sh_rng_chance(&rng, 1, 5)) {
            kv_batch_del_range(&batch, cf, KV_SPAN(&del, 1), KV_SPAN(&end, 1));
        }
        kv_batch_put(&batch, cf, KV_SPAN(&put, 1), KV_SPAN(&i, 1));
    }
    enum sh_err err = kv_write(kv, &batch, sync);
    kv_batch_fini(&batch);
    return err;
}

static uint64_t digest(struct kv *kv)
{
    uint64_t h = 0;
    for (uint32_t cf = 0; cf < SH_COUNT(cfs); cf++) {
        struct kv_iter *iter = NULL;
        EXPECT_EQ(kv_iter_open(kv, NULL, cf, KV_ALL, KV_ALL, &iter), SH_OK);
        for (bool more = kv_iter_first(iter); more; more = kv_iter_next(iter)) {
            struct sh_span key = kv_iter_key(iter);
            struct sh_span value = kv_iter_value(iter);
            h = sh_hash64(sh_hash64(h + cf, key.at, key.size), value.at, value.size);
        }
        kv_iter_close(iter);
    }
    return h;
}

static bool syncs(uint64_t seed, uint8_t i)
{
    return sh_mix64(seed * 100 + i) % 4 == 0;
}

/* digests[n]: the state after n steps without any failure. */
static void plain_run(uint64_t seed, uint64_t digests[static STEPS + 1])
{
    struct kv *kv = open_mem();
    digests[0] = digest(kv);
    for (uint8_t i = 0; i < STEPS; i++) {
        EXPECT_EQ(write_step(kv, seed, i, syncs(seed, i)), SH_OK);
        digests[i + 1] = digest(kv);
    }
    kv_close(kv);
}

TEST(a_crash_anywhere_leaves_what_was_synced_and_a_prefix_of_the_rest)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        uint64_t digests[STEPS + 1];
        plain_run(seed, digests);
        for (uint8_t crash = 0; crash <= STEPS; crash++) {
            for (uint32_t keep = 0; keep < 8; keep++) {
                struct kv *kv = open_mem();
                uint32_t synced = 0;
                for (uint8_t i = 0; i < crash; i++) {
                    EXPECT_EQ(write_step(kv, seed, i, syncs(seed, i)), SH_OK);
                    synced = syncs(seed, i) ? i + 1u : synced;
                }
                uint32_t unsynced = crash - synced;
                EXPECT_EQ(kv_mem_unsynced(kv), unsynced);
                kv_mem_crash(kv, keep);
                EXPECT_EQ(digest(kv), digests[synced + (keep < unsynced ? keep : unsynced)]);
                kv_mem_crash(kv, 0);
                EXPECT_EQ(digest(kv), digests[synced + (keep < unsynced ? keep : unsynced)]);
                kv_close(kv);
            }
        }
    }
}

/* Runs the script with the n-th write failing; false when no write failed. */
static bool run_with_fault(uint64_t seed, uint32_t n, bool torn, const uint64_t *digests)
{
    struct kv *kv = open_mem();
    char text[KV_TEXT_BYTES];
    kv_mem_fail(kv, n, SH_ERR_IO, torn);
    for (uint8_t i = 0; i < STEPS; i++) {
        enum sh_err err = write_step(kv, seed, i, syncs(seed, i));
        EXPECT_EQ(err, i + 1u < n ? SH_OK : SH_ERR_IO);
    }
    bool fired = !kv_mem_armed(kv);
    uint32_t done = fired ? n - 1 : STEPS;
    EXPECT_EQ(digest(kv), digests[done]);
    EXPECT_EQ(kv_health(kv), fired ? SH_ERR_IO : SH_OK);
    kv_error_text(kv, text);
    EXPECT_EQ(text[0] != '\0', fired);
    EXPECT(!fired || kv_flush(kv) == SH_ERR_IO);
    kv_mem_crash(kv, UINT32_MAX);
    EXPECT_EQ(digest(kv), digests[fired && torn ? n : done]);
    EXPECT_EQ(kv_health(kv), SH_OK);
    EXPECT_EQ(write_step(kv, seed, 0, true), SH_OK);
    kv_close(kv);
    return fired;
}

TEST(a_failed_write_changes_nothing_and_ends_writing_until_the_store_is_opened_again)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        uint64_t digests[STEPS + 1];
        plain_run(seed, digests);
        for (int torn = 0; torn < 2; torn++) {
            uint32_t n = 1;
            while (run_with_fault(seed, n, torn == 1, digests)) {
                n++;
            }
            EXPECT_EQ(n, STEPS + 1);
        }
    }
}

TEST(a_fault_can_hit_a_flush_too)
{
    struct kv *kv = open_mem();
    EXPECT_EQ(write_step(kv, 1, 0, false), SH_OK);
    kv_mem_fail(kv, 1, SH_ERR_NO_SPACE, false);
    EXPECT_EQ(kv_flush(kv), SH_ERR_NO_SPACE);
    EXPECT_EQ(kv_mem_unsynced(kv), 1);
    kv_mem_crash(kv, 0);
    EXPECT_EQ(write_step(kv, 1, 0, false), SH_OK);
    EXPECT_EQ(kv_flush(kv), SH_OK);
    EXPECT_EQ(kv_mem_unsynced(kv), 0);
    kv_close(kv);
}

TEST(an_empty_batch_with_sync_makes_everything_before_it_durable)
{
    struct kv *kv = open_mem();
    struct kv_batch empty;
    kv_batch_init(&empty);
    EXPECT_EQ(write_step(kv, 1, 0, false), SH_OK);
    uint64_t before = digest(kv);
    EXPECT_EQ(kv_write(kv, &empty, false), SH_OK);
    EXPECT_EQ(kv_mem_unsynced(kv), 1);
    EXPECT_EQ(kv_write(kv, &empty, true), SH_OK);
    kv_mem_crash(kv, 0);
    EXPECT_EQ(digest(kv), before);
    kv_batch_fini(&empty);
    kv_close(kv);
}

TEST(unsynced_batches_are_bounded_and_the_oldest_becomes_durable)
{
    struct kv *kv = open_mem();
    for (uint32_t i = 0; i < KV_MEM_UNSYNCED_MAX; i++) {
        EXPECT_EQ(write_step(kv, 1, (uint8_t)i, false), SH_OK);
    }
    EXPECT_EQ(kv_mem_unsynced(kv), KV_MEM_UNSYNCED_MAX);
    EXPECT_EQ(write_step(kv, 1, 7, false), SH_OK);
    EXPECT_EQ(kv_mem_unsynced(kv), KV_MEM_UNSYNCED_MAX);
    struct kv *one = open_mem();
    EXPECT_EQ(write_step(one, 1, 0, true), SH_OK);
    kv_mem_crash(kv, 0);
    EXPECT_EQ(digest(kv), digest(one));
    kv_close(one);
    kv_close(kv);
}

TEST(snapshots_outlive_any_number_of_writes)
{
    struct kv *kv = open_mem();
    struct kv_snap *snap = NULL;
    struct kv_value value;
    uint8_t key = 3;
    struct kv_batch batch;
    kv_batch_init(&batch);
    kv_batch_put(&batch, 0, KV_SPAN(&key, 1), KV_SPAN("old", 3));
    EXPECT_EQ(kv_write(kv, &batch, true), SH_OK);
    EXPECT_EQ(kv_snap_open(kv, &snap), SH_OK);
    for (int i = 0; i < 500; i++) {
        EXPECT_EQ(write_step(kv, 2, (uint8_t)i, i % 3 == 0), SH_OK);
    }
    EXPECT_EQ(kv_get(kv, snap, 0, KV_SPAN(&key, 1), &value), SH_OK);
    EXPECT_MEM(value.bytes.at, "old", 3);
    kv_value_free(&value);
    kv_snap_close(kv, snap);
    kv_batch_fini(&batch);
    kv_close(kv);
}

TEST(thousands_of_small_instances_fit_in_little_memory)
{
    enum { INSTANCES = 3000, BYTES_EACH = 4096 };
    static struct kv *all[INSTANCES];
    size_t before = mallinfo2().uordblks;
    for (size_t i = 0; i < INSTANCES; i++) {
        all[i] = open_mem();
        for (uint8_t step = 0; step < 10; step++) {
            EXPECT_EQ(write_step(all[i], i, step, true), SH_OK);
        }
    }
    EXPECT((mallinfo2().uordblks - before) / INSTANCES < BYTES_EACH);
    for (size_t i = 0; i < INSTANCES; i++) {
        kv_close(all[i]);
    }
}

TEST(a_record_that_rots_differs_in_one_bit_until_it_is_written_again)
{
    struct kv *kv = open_mem();
    struct kv_batch batch;
    struct kv_value value;
    uint8_t key = 7;
    kv_batch_init(&batch);
    EXPECT(!kv_mem_rot(kv, 0, 3));
    kv_batch_put(&batch, 0, KV_SPAN(&key, 1), KV_SPAN("good", 4));
    EXPECT_EQ(kv_write(kv, &batch, true), SH_OK);
    EXPECT(!kv_mem_rot(kv, 1, 3));
    EXPECT(kv_mem_rot(kv, 0, 9));
    EXPECT_EQ(kv_get(kv, NULL, 0, KV_SPAN(&key, 1), &value), SH_OK);
    EXPECT_MEM(value.bytes.at, "gmod", 4); /* bit 9 */
    kv_value_free(&value);
    kv_mem_crash(kv, 0);
    EXPECT_EQ(kv_get(kv, NULL, 0, KV_SPAN(&key, 1), &value), SH_OK);
    EXPECT_MEM(value.bytes.at, "gmod", 4);
    kv_value_free(&value);
    EXPECT_EQ(kv_write(kv, &batch, true), SH_OK);
    EXPECT_EQ(kv_get(kv, NULL, 0, KV_SPAN(&key, 1), &value), SH_OK);
    EXPECT_MEM(value.bytes.at, "good", 4);
    kv_value_free(&value);
    kv_batch_fini(&batch);
    kv_close(kv);
}
