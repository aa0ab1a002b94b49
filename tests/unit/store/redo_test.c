/* SPDX-License-Identifier: Apache-2.0
 *
 * The redo log against a model: a list of the batches that were written. The slots are small, so
 * that the ring comes round all the time. */
#include "store/redo.h"

#include "base/rng.h"
#include "tst.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SLOT_SECTORS = 8,
    SLOT = SLOT_SECTORS * REDO_SECTOR_BYTES,
    SECTORS = SLOT_SECTORS * (int)REDO_SLOTS,
    RING = SECTORS * (int)REDO_SECTOR_BYTES,
    BATCHES_MAX = 4096,
    FITS = SLOT_SECTORS * (int)REDO_PAYLOAD_BYTES - 1
};

/* A batch is its size and number: its bytes follow from them. */
struct batch {
    uint32_t size;
    uint32_t seed;
    struct redo_place behind;
};

struct model {
    char path[512];
    struct redo *redo;
    uint32_t lives;
    struct redo_place from;
    uint32_t from_count; /* batches before it */
    uint32_t count;      /* batches that were written */
    uint32_t synced;
    uint32_t replayed;
    struct batch batches[BATCHES_MAX];
};

static char why[REDO_TEXT_BYTES];
static struct model model;

static const uint8_t *bytes_of(const struct batch *b)
{
    static uint8_t bytes[FITS];
    for (uint32_t i = 0; i < b->size; i++) {
        bytes[i] = (uint8_t)(sh_mix64(b->seed + i / 64) >> (i % 56));
    }
    return bytes;
}

static struct model *make_model(void)
{
    struct model *m = &model;
    (void)snprintf(m->path, sizeof m->path, "%s", tst_dir());
    return m;
}

static enum sh_err expect_next(void *ctx, uint8_t kind, struct sh_span bytes,
                               const struct redo_place *behind)
{
    struct model *m = ctx;
    EXPECT(m->from_count + m->replayed < m->count);
    const struct batch *b = &m->batches[m->from_count + m->replayed];
    EXPECT_EQ(kind, b->seed % 256);
    EXPECT_EQ(bytes.size, b->size);
    EXPECT_EQ(behind->number, b->behind.number);
    EXPECT_EQ(behind->link, b->behind.link);
    if (b->size > 0) {
        EXPECT_MEM(bytes.at, bytes_of(b), b->size);
    }
    m->replayed++;
    return SH_OK;
}

static enum sh_err try_open(struct model *m, bool known)
{
    struct redo_options options = {
        .path = m->path, .slot_bytes = SLOT, .from = m->from, .known = known, .life = ++m->lives};
    return redo_open(&options, &m->redo, why);
}

/* Opens, and expects the batches from m->from on that the model has, at least those that were
 * synced; the model then has those. */
static void open_again(struct model *m)
{
    enum sh_err err = try_open(m, false);
    if (err != SH_OK) {
        tst_fail(__FILE__, __LINE__, "it opens: %s: %s", sh_err_name(err), why);
    }
    m->replayed = 0;
    EXPECT_EQ(redo_replay(m->redo, expect_next, m, why), SH_OK);
    EXPECT(m->from_count + m->replayed >= m->synced);
    m->count = m->from_count + m->replayed;
}

static void reopen(struct model *m)
{
    redo_close(m->redo);
    open_again(m);
}

/* The tables have everything up to the count-th batch. */
static void persist(struct model *m, uint32_t count)
{
    EXPECT(count >= m->from_count);
    m->from = count > 0 ? m->batches[count - 1].behind : (struct redo_place){0};
    m->from_count = count;
    m->synced = m->synced > count ? m->synced : count;
}

static enum sh_err try_write(struct model *m, uint32_t size)
{
    struct batch *b = &m->batches[m->count];
    EXPECT(m->count < BATCHES_MAX);
    *b = (struct batch){.size = size, .seed = m->count * 7919 + m->lives * 31};
    if (m->from.number < redo_floor(m->redo, size)) {
        persist(m, m->count);
    }
    struct sh_span bytes = {.at = bytes_of(b), .size = size};
    enum sh_err err = redo_append(m->redo, (uint8_t)(b->seed % 256), bytes, &b->behind);
    m->count += err == SH_OK ? 1 : 0;
    return err;
}

static void write_one(struct model *m, uint32_t size)
{
    EXPECT_EQ(try_write(m, size), SH_OK);
}

static void sync_all(struct model *m)
{
    EXPECT_EQ(redo_sync(m->redo, redo_end(m->redo).number), SH_OK);
    m->synced = m->count;
}

/* ---- the ring as bytes ---- */

static void slot_name(const struct model *m, uint32_t slot, char *out, size_t size)
{
    (void)snprintf(out, size, "%s/redo-%u", m->path, slot);
}

static void load(const struct model *m, uint8_t ring[static RING])
{
    char name[600];
    memset(ring, 0, RING);
    for (uint32_t slot = 0; slot < REDO_SLOTS; slot++) {
        slot_name(m, slot, name, sizeof name);
        FILE *file = fopen(name, "rb");
        if (file != NULL) {
            EXPECT_EQ(fread(ring + (size_t)slot * SLOT, 1, SLOT, file), SLOT);
            EXPECT_EQ(fclose(file), 0);
        }
    }
}

/* Into the files that are there. */
static void store(const struct model *m, const uint8_t ring[static RING])
{
    char name[600];
    for (uint32_t slot = 0; slot < REDO_SLOTS; slot++) {
        slot_name(m, slot, name, sizeof name);
        FILE *file = fopen(name, "r+b");
        if (file != NULL) {
            EXPECT_EQ(fwrite(ring + (size_t)slot * SLOT, 1, SLOT, file), SLOT);
            EXPECT_EQ(fclose(file), 0);
        }
    }
}

static uint8_t *sector_at(uint8_t ring[static RING], uint64_t number)
{
    return ring + number % SECTORS * REDO_SECTOR_BYTES;
}

/* ---- writing and reading ---- */

TEST(batches_of_every_size_come_back_in_their_order)
{
    static const uint32_t sizes[] = {0,
                                     1,
                                     REDO_PAYLOAD_BYTES - 2,
                                     REDO_PAYLOAD_BYTES - 1,
                                     REDO_PAYLOAD_BYTES,
                                     3 * REDO_PAYLOAD_BYTES - 1,
                                     FITS};
    struct model *m = make_model();
    open_again(m);
    for (size_t i = 0; i < SH_COUNT(sizes); i++) {
        write_one(m, sizes[i]);
    }
    EXPECT(!redo_fits(m->redo, FITS + 1));
    m->synced = m->count; /* the end of the process alone loses nothing */
    reopen(m);
    reopen(m);
    EXPECT_EQ(m->count, SH_COUNT(sizes));
    redo_close(m->redo);
}

TEST(the_ring_comes_round_many_times_with_openings_in_between)
{
    struct model *m = make_model();
    struct sh_rng rng;
    sh_rng_init(&rng, tst_seed());
    open_again(m);
    while (redo_end(m->redo).number < 60 * SECTORS && m->count < BATCHES_MAX) {
        write_one(m, (uint32_t)sh_rng_below(&rng, 4 * REDO_PAYLOAD_BYTES));
        m->synced = m->count;
        if (sh_rng_chance(&rng, 1, 10)) {
            reopen(m);
        }
    }
    EXPECT(redo_end(m->redo).number > 40 * SECTORS);
    EXPECT_EQ(redo_missing_bytes(m->redo), 0);
    redo_close(m->redo);
}

TEST(a_new_log_takes_two_files_and_the_others_when_it_comes_near)
{
    struct model *m = make_model();
    open_again(m);
    EXPECT_EQ(redo_missing_bytes(m->redo), 2 * SLOT);
    write_one(m, FITS);
    EXPECT_EQ(redo_missing_bytes(m->redo), 2 * SLOT);
    EXPECT_EQ(redo_room(m->redo, 1), SH_OK);
    EXPECT_EQ(redo_missing_bytes(m->redo), SLOT);
    write_one(m, FITS);
    write_one(m, FITS);
    EXPECT_EQ(redo_missing_bytes(m->redo), 0);
    redo_close(m->redo);
}

TEST(what_would_be_overwritten_is_named_before)
{
    struct model *m = make_model();
    open_again(m);
    for (int i = 0; i < SECTORS; i++) {
        EXPECT_EQ(redo_floor(m->redo, 1), 0);
        write_one(m, 1);
    }
    EXPECT_EQ(redo_floor(m->redo, 1), SLOT_SECTORS);
    write_one(m, 1);
    EXPECT_EQ(redo_floor(m->redo, 1), SLOT_SECTORS);
    EXPECT_EQ(redo_floor(m->redo, FITS), 2 * SLOT_SECTORS); /* it would begin the next too */
    redo_close(m->redo);
}

TEST(after_a_failure_nothing_is_written_or_acknowledged)
{
    static uint8_t before[RING];
    static uint8_t after[RING];
    char text[REDO_TEXT_BYTES];
    struct model *m = make_model();
    open_again(m);
    write_one(m, 10);
    load(m, before);
    redo_fail(m->redo, SH_ERR_NO_SPACE);
    EXPECT_EQ(try_write(m, 10), SH_ERR_NO_SPACE);
    EXPECT_EQ(redo_sync(m->redo, 1), SH_ERR_NO_SPACE);
    redo_error_text(m->redo, text);
    EXPECT(text[0] != '\0');
    load(m, after);
    EXPECT_MEM(before, after, RING);
    reopen(m);
    EXPECT_EQ(m->count, 1);
    redo_close(m->redo);
}

struct crowd {
    struct model *m;
    pthread_mutex_t lock;
};

static void *append_and_sync(void *ctx)
{
    struct crowd *crowd = ctx;
    for (int i = 0; i < 50; i++) {
        EXPECT_EQ(pthread_mutex_lock(&crowd->lock), 0);
        write_one(crowd->m, 700);
        uint32_t mine = crowd->m->count;
        uint64_t upto = redo_end(crowd->m->redo).number;
        EXPECT_EQ(pthread_mutex_unlock(&crowd->lock), 0);
        EXPECT_EQ(redo_sync(crowd->m->redo, upto), SH_OK);
        EXPECT_EQ(pthread_mutex_lock(&crowd->lock), 0);
        crowd->m->synced = crowd->m->synced > mine ? crowd->m->synced : mine;
        EXPECT_EQ(pthread_mutex_unlock(&crowd->lock), 0);
    }
    return NULL;
}

TEST(threads_that_sync_at_the_same_time_all_get_what_they_wrote)
{
    pthread_t threads[4];
    struct crowd crowd = {.m = make_model()};
    EXPECT_EQ(pthread_mutex_init(&crowd.lock, NULL), 0);
    open_again(crowd.m);
    for (size_t i = 0; i < SH_COUNT(threads); i++) {
        EXPECT_EQ(pthread_create(&threads[i], NULL, append_and_sync, &crowd), 0);
    }
    for (size_t i = 0; i < SH_COUNT(threads); i++) {
        EXPECT_EQ(pthread_join(threads[i], NULL), 0);
    }
    EXPECT_EQ(crowd.m->synced, 200);
    reopen(crowd.m);
    EXPECT_EQ(crowd.m->count, 200);
    redo_close(crowd.m->redo);
    EXPECT_EQ(pthread_mutex_destroy(&crowd.lock), 0);
}

/* ---- verdicts ---- */

/* Twelve batches of two sectors each: 0 to 7 synced when the others were written, then 8 to 11.
 * They lie in all of slots 0 to 2; slot 3 is there and empty. */
static void write_twelve(struct model *m)
{
    open_again(m);
    for (int i = 0; i < 12; i++) {
        if (i == 8) {
            sync_all(m);
        }
        write_one(m, 2 * REDO_PAYLOAD_BYTES - 1);
    }
    redo_close(m->redo);
}

static void zero_sector(uint8_t *ring, uint64_t number)
{
    memset(sector_at(ring, number), 0, REDO_SECTOR_BYTES);
}

static void set_u16(uint8_t *sector, size_t at, uint16_t value)
{
    sector[at] = (uint8_t)value;
    sector[at + 1] = (uint8_t)(value >> 8);
    redo_seal(sector);
}

enum { LINK_AT = 24, USED_AT = 32, FLAGS_AT = 34 };

static void nothing(uint8_t *ring)
{
    (void)ring;
}

static void lose_last(uint8_t *ring)
{
    zero_sector(ring, 23);
}

static void lose_unsynced(uint8_t *ring)
{
    zero_sector(ring, 18); /* batch 9; 10 and 11 are whole */
}

static void lose_all_unsynced(uint8_t *ring)
{
    memset(sector_at(ring, 16), 0, 8 * (size_t)REDO_SECTOR_BYTES);
}

static void lose_synced(uint8_t *ring)
{
    zero_sector(ring, 14); /* batch 7; those from 8 on say that it was durable */
}

static void lose_start(uint8_t *ring)
{
    zero_sector(ring, 0);
}

static void flip_payload(uint8_t *ring)
{
    sector_at(ring, 9)[300] ^= 4;
}

static void flip_last(uint8_t *ring)
{
    sector_at(ring, 23)[511] ^= 0x80;
}

static void other_link(uint8_t *ring)
{
    sector_at(ring, 20)[LINK_AT] ^= 1;
    redo_seal(sector_at(ring, 20));
}

static void from_another_place(uint8_t *ring)
{
    memcpy(sector_at(ring, 20), sector_at(ring, 19), REDO_SECTOR_BYTES);
}

static void larger_number(uint8_t *ring)
{
    uint8_t *sector = sector_at(ring, 12);
    sector[0] = 12 + SECTORS;
    redo_seal(sector);
}

static void no_first(uint8_t *ring)
{
    set_u16(sector_at(ring, 22), FLAGS_AT, 0);
}

static void first_within(uint8_t *ring)
{
    set_u16(sector_at(ring, 23), FLAGS_AT, REDO_FIRST | REDO_LAST);
}

static void unknown_flag(uint8_t *ring)
{
    set_u16(sector_at(ring, 23), FLAGS_AT, REDO_LAST | 4);
}

static void used_too_much(uint8_t *ring)
{
    set_u16(sector_at(ring, 23), USED_AT, REDO_PAYLOAD_BYTES + 1);
}

static void used_nothing(uint8_t *ring)
{
    set_u16(sector_at(ring, 23), USED_AT, 0);
}

static void not_full_within(uint8_t *ring)
{
    set_u16(sector_at(ring, 22), USED_AT, REDO_PAYLOAD_BYTES - 1);
}

static const struct {
    const char *name;
    void (*wound)(uint8_t *ring);
    enum sh_err err;
    uint32_t left; /* batches */
} wounds[] = {
    {"nothing", nothing, SH_OK, 12},
    {"the last sector is lost", lose_last, SH_OK, 11},
    {"an unsynced batch is lost, later ones are not", lose_unsynced, SH_OK, 9},
    {"all that was not synced is lost", lose_all_unsynced, SH_OK, 8},
    {"a synced batch is lost", lose_synced, SH_ERR_CORRUPT, 0},
    {"the first of all is lost", lose_start, SH_ERR_CORRUPT, 0},
    {"a bit flips", flip_payload, SH_ERR_CORRUPT, 0},
    {"a bit of the last byte flips", flip_last, SH_ERR_CORRUPT, 0},
    {"a sector does not follow the one before", other_link, SH_OK, 10},
    {"a sector lies in another one's place", from_another_place, SH_ERR_CORRUPT, 0},
    {"a sector is of a later round", larger_number, SH_ERR_CORRUPT, 0},
    {"a batch begins without FIRST", no_first, SH_ERR_CORRUPT, 0},
    {"FIRST within a batch", first_within, SH_ERR_CORRUPT, 0},
    {"a flag of another program", unknown_flag, SH_ERR_CORRUPT, 0},
    {"more payload than there is room", used_too_much, SH_ERR_CORRUPT, 0},
    {"no payload", used_nothing, SH_ERR_CORRUPT, 0},
    {"a sector within a batch that is not full", not_full_within, SH_ERR_CORRUPT, 0},
};

TEST_ROWS(what_is_found_is_taken_dropped_or_refused, wounds)
{
    static uint8_t ring[RING];
    struct model *m = make_model();
    write_twelve(m);
    load(m, ring);
    wounds[tst_row].wound(ring);
    store(m, ring);
    if (wounds[tst_row].err == SH_OK) {
        open_again(m);
        EXPECT_EQ(m->count, wounds[tst_row].left);
        redo_close(m->redo);
    } else {
        EXPECT_EQ(try_open(m, true), wounds[tst_row].err);
        EXPECT(strstr(why, "Corruption") != NULL);
    }
}

static const uint32_t slot_rows[] = {0, 1, 2, 3};

TEST_ROWS(a_file_that_is_gone_or_has_another_size_is_noticed, slot_rows)
{
    char name[600];
    struct model *m = make_model();
    write_twelve(m);
    slot_name(m, slot_rows[tst_row], name, sizeof name);
    EXPECT_EQ(truncate(name, SLOT - REDO_SECTOR_BYTES), 0);
    EXPECT_EQ(try_open(m, true), SH_ERR_CORRUPT);
    EXPECT_EQ(unlink(name), 0);
    EXPECT_EQ(try_open(m, true), SH_ERR_CORRUPT);
}

TEST(a_log_that_is_known_and_gone_as_a_whole_is_noticed)
{
    struct model *m = make_model();
    EXPECT_EQ(try_open(m, true), SH_ERR_CORRUPT);
    open_again(m);
    redo_close(m->redo);
    EXPECT_EQ(try_open(m, true), SH_OK);
    redo_close(m->redo);
}

TEST(tables_that_are_older_than_what_was_overwritten_are_refused)
{
    struct model *m = make_model();
    open_again(m);
    for (int i = 0; i < 2 * SECTORS; i++) {
        write_one(m, 1);
    }
    redo_close(m->redo);
    m->from = m->batches[SECTORS - 4].behind;
    EXPECT_EQ(try_open(m, true), SH_ERR_CORRUPT);
    EXPECT(strstr(why, "older") != NULL);
    m->from = (struct redo_place){.number = UINT64_MAX - 1};
    EXPECT_EQ(try_open(m, true), SH_ERR_CORRUPT);
}

/* The tables got what was never synced: what the log has lost of it is not missed. */
TEST(where_the_log_ends_before_the_tables_it_goes_on_behind_them)
{
    static uint8_t ring[RING];
    struct model *m = make_model();
    write_twelve(m);
    load(m, ring);
    memset(sector_at(ring, 16), 0, 8 * (size_t)REDO_SECTOR_BYTES);
    store(m, ring);
    persist(m, 11);
    open_again(m);
    EXPECT_EQ(m->count, 11);
    EXPECT_EQ(redo_end(m->redo).number, 22);
    write_one(m, 1);
    sync_all(m);
    reopen(m);
    EXPECT_EQ(m->count, 12);
    redo_close(m->redo);
}

/* A life that crashed left a later batch behind. The next life writes the same bytes as that life
 * did before it. */
TEST(a_batch_of_a_life_that_crashed_never_comes_back_behind_an_equal_one)
{
    static uint8_t ring[RING];
    struct model *m = make_model();
    struct redo_place behind;
    struct sh_span same = {.at = (const uint8_t *)"same", .size = 4};
    open_again(m);
    EXPECT_EQ(redo_append(m->redo, 1, same, &behind), SH_OK);
    EXPECT_EQ(redo_append(m->redo, 2, same, &behind), SH_OK);
    redo_close(m->redo);
    load(m, ring);
    zero_sector(ring, 0);
    store(m, ring);
    open_again(m);
    EXPECT_EQ(m->count, 0);
    EXPECT_EQ(redo_append(m->redo, 1, same, &behind), SH_OK);
    redo_close(m->redo);
    EXPECT_EQ(try_open(m, true), SH_OK);
    EXPECT_EQ(redo_end(m->redo).number, 1);
    redo_close(m->redo);
}

TEST(a_bit_that_flips_anywhere_in_the_ring_is_noticed)
{
    static uint8_t ring[RING];
    struct model *m = make_model();
    write_twelve(m);
    persist(m, 4); /* also before what counts, and behind it */
    load(m, ring);
    for (size_t at = 0; at < RING; at++) {
        ring[at] ^= (uint8_t)(1u << at % 8);
        store(m, ring);
        EXPECT_EQ(try_open(m, true), SH_ERR_CORRUPT);
        ring[at] ^= (uint8_t)(1u << at % 8);
    }
    store(m, ring);
    open_again(m);
    EXPECT_EQ(m->count, 12);
    redo_close(m->redo);
}

/* ---- power cuts ---- */

/* Of the sectors that changed since the last sync, each may have reached the disk or not. */
static void crash(struct model *m, struct sh_rng *rng, const uint8_t synced[static RING])
{
    static uint8_t now[RING];
    uint64_t kept = sh_rng_below(rng, 5);
    redo_close(m->redo);
    load(m, now);
    for (size_t at = 0; at < RING; at += REDO_SECTOR_BYTES) {
        if (!sh_rng_chance(rng, kept, 4)) {
            memcpy(now + at, synced + at, REDO_SECTOR_BYTES);
        }
    }
    store(m, now);
}

static const uint64_t crash_seeds[] = {1, 2, 3, 4, 5, 6, 7, 8};

TEST_ROWS(after_any_power_cut_nothing_synced_is_lost_and_nothing_else_comes_back, crash_seeds)
{
    static uint8_t synced[RING];
    struct model *m = make_model();
    struct sh_rng rng;
    uint64_t furthest = 0;
    sh_rng_init(&rng, tst_seed() * 1000 + crash_seeds[tst_row]);
    for (int life = 0; life < 600; life++) {
        open_again(m);
        load(m, synced); /* what a power cut left is what lies on the disk */
        uint64_t steps = sh_rng_below(&rng, 12);
        for (uint64_t i = 0; i < steps && m->count < BATCHES_MAX; i++) {
            write_one(m, (uint32_t)sh_rng_below(&rng, 3 * REDO_PAYLOAD_BYTES));
            if (sh_rng_chance(&rng, 1, 4)) {
                sync_all(m);
                load(m, synced);
            }
            if (sh_rng_chance(&rng, 1, 8)) { /* tables may have what was not synced */
                uint64_t more = sh_rng_below(&rng, m->count - m->from_count + 1);
                persist(m, m->from_count + (uint32_t)more);
            }
        }
        furthest = redo_end(m->redo).number;
        crash(m, &rng, synced);
    }
    EXPECT(furthest > 20 * SECTORS);
}

/* ---- a full disk ---- */

TEST(a_file_for_which_there_is_no_room_breaks_nothing)
{
    char disk[520];
    char text[REDO_TEXT_BYTES];
    struct model *m = make_model();
    (void)snprintf(disk, sizeof disk, "%.500s/disk", tst_dir());
    (void)snprintf(m->path, sizeof m->path, "%.500s", disk);
    EXPECT_EQ(mkdir(disk, 0700), 0);
    if (mount("tmpfs", disk, "tmpfs", 0, "size=12k") != 0) {
        SKIP("a small tmpfs cannot be mounted here");
    }
    open_again(m); /* two files of 4 KiB; the third fits, the fourth does not */
    write_one(m, FITS);
    write_one(m, FITS);
    enum sh_err full = redo_room(m->redo, FITS);
    redo_error_text(m->redo, text);
    enum sh_err synced = redo_sync(m->redo, redo_end(m->redo).number);
    int grown = mount("tmpfs", disk, "tmpfs", MS_REMOUNT, "size=64k");
    enum sh_err after = try_write(m, FITS);
    m->synced = m->count;
    reopen(m);
    redo_close(m->redo);
    EXPECT_EQ(umount2(disk, MNT_DETACH), 0);
    EXPECT_EQ(grown, 0);
    EXPECT_EQ(full, SH_ERR_NO_SPACE);
    EXPECT(strstr(text, "No space") != NULL);
    EXPECT_EQ(synced, SH_OK);
    EXPECT_EQ(after, SH_OK);
    EXPECT_EQ(m->count, 3);
}

/* ---- a copy of the tables without the log ---- */

TEST(a_marked_directory_begins_a_new_log_until_the_mark_is_taken_away)
{
    struct model *m = make_model();
    bool marked = true;
    EXPECT_EQ(redo_wipe_marked(m->path, &marked, why), SH_OK);
    EXPECT(!marked);
    EXPECT(!redo_present(m->path));
    write_twelve(m);
    EXPECT(redo_present(m->path));
    EXPECT_EQ(redo_mark(m->path, why), SH_OK);
    for (int i = 0; i < 2; i++) { /* the second: the first one's process ended too early */
        EXPECT_EQ(redo_wipe_marked(m->path, &marked, why), SH_OK);
        EXPECT(marked);
        EXPECT(!redo_present(m->path));
        m->count = 0;
        m->synced = 0;
        open_again(m);
        EXPECT_EQ(m->count, 0);
        redo_close(m->redo);
    }
    EXPECT_EQ(redo_unmark(m->path, why), SH_OK);
    EXPECT_EQ(redo_wipe_marked(m->path, &marked, why), SH_OK);
    EXPECT(!marked);
    EXPECT(redo_mark("/nowhere/at/all", why) != SH_OK);
    EXPECT(why[0] != '\0');
}
