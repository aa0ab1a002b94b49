/* SPDX-License-Identifier: Apache-2.0
 *
 * What only a real disk shows: damaged files, killed processes, a full file system. */
#include "store/kv_rocks.h"

#include "base/rng.h"
#include "tst.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { A, B, ACKS = 120, PUTS = 1000, VALUE = 100, SHRUNK_WRITES_MAX = 200000 };

static const struct kv_cf cfs[] = {{.name = "a", .kind = KV_CF_SMALL},
                                   {.name = "b", .kind = KV_CF_TEXT}};
static char why[KV_TEXT_BYTES];
static bool redo; /* how stores are opened */

static const struct {
    bool redo;
} logs[] = {{false}, {true}};

static const char *path_of(const char *name)
{
    static char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", tst_dir(), name);
    return path;
}

static enum sh_err try_open(const char *path, bool create, struct kv **kv)
{
    struct kv_rocks_options options = {
        .path = path, .cfs = cfs, .cf_count = SH_COUNT(cfs), .create = create, .redo = redo};
    return kv_rocks_open(&options, kv, why);
}

static struct kv *open_at(const char *path)
{
    struct kv *kv = NULL;
    enum sh_err err = try_open(path, true, &kv);
    if (err != SH_OK) {
        tst_fail(__FILE__, __LINE__, "a store: %s: %s", sh_err_name(err), why);
    }
    return kv;
}

/* A child that does not outlive its test, however that ends. */
static pid_t fork_child(void)
{
    (void)fflush(NULL);
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0) {
        EXPECT_EQ(prctl(PR_SET_PDEATHSIG, SIGKILL), 0);
    }
    return pid;
}

/* The same number under the same key in both families. */
static enum sh_err put_number(struct kv *kv, uint32_t n, bool sync)
{
    uint8_t key[8];
    uint8_t value[VALUE] = {0};
    struct kv_batch batch;
    kv_batch_init(&batch);
    sh_key_u64(key, n);
    memcpy(value, key, sizeof key);
    kv_batch_put(&batch, A, KV_SPAN(key, 8), KV_SPAN(value, sizeof value));
    kv_batch_put(&batch, B, KV_SPAN(key, 8), KV_SPAN(value, sizeof value));
    enum sh_err err = kv_write(kv, &batch, sync);
    kv_batch_fini(&batch);
    return err;
}

/* How many numbers from 0 on are there; CHECKs that both families have the same and no gaps. */
static uint32_t count_numbers(struct kv *kv)
{
    uint32_t counts[2] = {0, 0};
    for (uint32_t cf = 0; cf < 2; cf++) {
        struct kv_iter *iter = NULL;
        EXPECT_EQ(kv_iter_open(kv, NULL, cf, KV_ALL, KV_ALL, &iter), SH_OK);
        for (bool more = kv_iter_first(iter); more; more = kv_iter_next(iter)) {
            EXPECT_EQ(sh_key_u64_get(kv_iter_key(iter).at), counts[cf]);
            EXPECT_EQ(sh_key_u64_get(kv_iter_value(iter).at), counts[cf]);
            counts[cf]++;
        }
        EXPECT_EQ(kv_iter_error(iter), SH_OK);
        kv_iter_close(iter);
    }
    EXPECT_EQ(counts[0], counts[1]);
    return counts[0];
}

TEST_ROWS(a_checkpoint_is_a_store_of_its_own_with_what_was_there, logs)
{
    char copy[600];
    redo = logs[tst_row].redo;
    (void)snprintf(copy, sizeof copy, "%s", path_of("copy"));
    struct kv *kv = open_at(path_of("kv"));
    for (uint32_t n = 0; n < 100; n++) {
        EXPECT_EQ(put_number(kv, n, false), SH_OK);
    }
    EXPECT_EQ(kv_checkpoint(kv, copy), SH_OK);
    EXPECT_EQ(kv_checkpoint(kv, copy), SH_ERR_EXISTS);
    EXPECT(kv_checkpoint(kv, path_of("nowhere/copy")) != SH_OK);
    EXPECT_EQ(kv_health(kv), SH_OK); /* a checkpoint that failed breaks nothing */
    EXPECT_EQ(put_number(kv, 100, true), SH_OK);
    kv_close(kv);
    kv = open_at(copy);
    EXPECT_EQ(count_numbers(kv), 100);
    EXPECT_EQ(put_number(kv, 100, true), SH_OK);
    EXPECT_EQ(put_number(kv, 101, true), SH_OK);
    kv_close(kv);
    kv = open_at(copy);
    EXPECT_EQ(count_numbers(kv), 102);
    kv_close(kv);
    kv = open_at(path_of("kv"));
    EXPECT_EQ(count_numbers(kv), 101);
    kv_close(kv);
}

/* ---- rows in runs ---- */

static struct kv *open_of_kind(enum kv_cf_kind kind)
{
    struct kv *kv = NULL;
    struct kv_cf family = {.name = "rows", .kind = kind};
    struct kv_rocks_options options = {
        .path = path_of("kv"), .cfs = &family, .cf_count = 1, .create = true, .redo = true};
    SH_MAY_FAIL(kv_rocks_open(&options, &kv, why)); /* kv is NULL then */
    return kv;
}

static enum sh_err del_from(struct kv *kv, const char *low)
{
    struct kv_batch batch;
    kv_batch_init(&batch);
    kv_batch_del_range(&batch, 0, KV_SPAN(low, strlen(low)), KV_ALL);
    enum sh_err err = kv_write(kv, &batch, true);
    kv_batch_fini(&batch);
    return err;
}

TEST_DIES(a_range_that_begins_within_a_run_of_rows_is_a_programming_error, "kv_rocks_takes")
{
    struct kv *kv = open_of_kind(KV_CF_ROWS);
    EXPECT(kv != NULL);
    EXPECT_EQ(del_from(kv, "short"), SH_OK);
    SH_MAY_FAIL(del_from(kv, "longer"));
}

TEST(a_range_within_a_run_of_rows_in_the_redo_log_is_refused)
{
    struct kv *kv = open_of_kind(KV_CF_SMALL);
    EXPECT(kv != NULL);
    EXPECT_EQ(del_from(kv, "longer"), SH_OK);
    kv_close(kv);
    kv = open_of_kind(KV_CF_ROWS);
    EXPECT(kv == NULL);
    EXPECT(strstr(why, "redo log") != NULL);
}

/* ---- damage ---- */

/* The largest file of the store whose name ends so. */
static const char *largest(const char *path, const char *end)
{
    static char found[1024];
    off_t size = -1;
    DIR *dir = opendir(path);
    EXPECT(dir != NULL);
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        size_t length = strlen(e->d_name);
        char full[1024];
        struct stat st;
        if (length < strlen(end) || strcmp(e->d_name + length - strlen(end), end) != 0) {
            continue;
        }
        (void)snprintf(full, sizeof full, "%.500s/%.200s", path, e->d_name);
        EXPECT_EQ(stat(full, &st), 0);
        if (st.st_size > size) {
            size = st.st_size;
            memcpy(found, full, sizeof found);
        }
    }
    EXPECT_EQ(closedir(dir), 0);
    EXPECT(size > 0);
    return found;
}

enum wound { NONE, BIT_MIDDLE, BIT_LAST_RECORD, CUT_TAIL, ZEROS_MIDDLE };

static void wound_file(const char *path, enum wound wound)
{
    static const uint8_t zeros[4096];
    uint8_t byte = 0;
    int fd = open(path, O_RDWR);
    off_t size = lseek(fd, 0, SEEK_END);
    EXPECT(fd >= 0);
    EXPECT(size > 2 * (off_t)sizeof zeros);
    if (wound == CUT_TAIL) {
        EXPECT_EQ(ftruncate(fd, size - 10), 0);
    } else if (wound == ZEROS_MIDDLE) {
        EXPECT_EQ(pwrite(fd, zeros, sizeof zeros, size / 2), sizeof zeros);
    } else if (wound != NONE) {
        off_t at = wound == BIT_MIDDLE ? size / 2 : size - 20;
        EXPECT_EQ(pread(fd, &byte, 1, at), 1);
        byte ^= 0x10;
        EXPECT_EQ(pwrite(fd, &byte, 1, at), 1);
    }
    EXPECT_EQ(close(fd), 0);
}

static void fill_in_child(const char *path)
{
    int status = 0;
    pid_t pid = fork_child();
    if (pid == 0) {
        struct kv *kv = open_at(path);
        for (uint32_t i = 0; i < PUTS; i++) {
            if (put_number(kv, i, i % 100 == 99) != SH_OK) {
                _exit(1);
            }
        }
        _exit(0); /* without closing */
    }
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 0);
}

static const struct {
    enum wound wound;
    enum sh_err err;
    uint32_t left;
} wounds[] = {{NONE, SH_OK, PUTS},
              {BIT_MIDDLE, SH_ERR_CORRUPT, 0},
              {BIT_LAST_RECORD, SH_ERR_CORRUPT, 0},
              {CUT_TAIL, SH_OK, PUTS - 1},
              {ZEROS_MIDDLE, SH_ERR_CORRUPT, 0}};

TEST_ROWS(a_log_that_was_cut_short_opens_and_a_rotten_one_is_refused, wounds)
{
    const char *path = path_of("kv");
    struct kv *kv = NULL;
    fill_in_child(path);
    wound_file(largest(path, ".log"), wounds[tst_row].wound);
    EXPECT_EQ(try_open(path, true, &kv), wounds[tst_row].err);
    if (kv == NULL) {
        EXPECT(strstr(why, "Corruption") != NULL);
        EXPECT_EQ(try_open(path, true, &kv), SH_ERR_CORRUPT); /* refusing mends nothing */
    } else {
        EXPECT_EQ(count_numbers(kv), wounds[tst_row].left);
        kv_close(kv);
    }
}

TEST(a_damaged_table_file_is_corrupt_when_it_is_read_and_the_rest_goes_on)
{
    const char *path = path_of("kv");
    struct kv *kv = open_at(path);
    struct kv_batch batch;
    struct kv_iter *iter = NULL;
    char text[KV_TEXT_BYTES];
    kv_batch_init(&batch);
    for (uint32_t i = 0; i < 4000; i++) {
        uint8_t key[8];
        uint8_t value[VALUE];
        sh_key_u64(key, i);
        memset(value, (int)(sh_mix64(i) & 0xff), sizeof value);
        kv_batch_put(&batch, A, KV_SPAN(key, 8), KV_SPAN(value, sizeof value));
    }
    kv_batch_put(&batch, B, KV_SPAN("x", 1), KV_SPAN("kept", 4));
    EXPECT_EQ(kv_write(kv, &batch, true), SH_OK);
    EXPECT_EQ(kv_flush(kv), SH_OK);
    kv_close(kv);
    wound_file(largest(path, ".sst"), BIT_MIDDLE);
    kv = open_at(path);
    EXPECT_EQ(kv_iter_open(kv, NULL, A, KV_ALL, KV_ALL, &iter), SH_OK);
    bool more = kv_iter_first(iter);
    while (more) {
        more = kv_iter_next(iter);
    }
    EXPECT_EQ(kv_iter_error(iter), SH_ERR_CORRUPT);
    kv_iter_close(iter);
    kv_error_text(kv, text);
    EXPECT(strstr(text, "Corruption") != NULL);
    size_t used = 0;
    EXPECT_EQ(kv_get_into(kv, NULL, B, KV_SPAN("x", 1), text, sizeof text, &used), SH_OK);
    kv_batch_fini(&batch);
    kv_close(kv);
}

TEST(a_store_without_its_head_file_is_never_created_anew)
{
    char head[600];
    const char *path = path_of("kv");
    struct kv *kv = open_at(path);
    EXPECT_EQ(put_number(kv, 0, true), SH_OK);
    kv_close(kv);
    (void)snprintf(head, sizeof head, "%s/CURRENT", path);
    EXPECT_EQ(unlink(head), 0);
    EXPECT_EQ(try_open(path, true, &kv), SH_ERR_CORRUPT);
    EXPECT(strstr(why, "no CURRENT") != NULL);
    EXPECT(kv == NULL);
}

/* ---- opening ---- */

TEST(a_store_that_must_exist_is_not_created)
{
    struct kv *kv = NULL;
    struct stat st;
    EXPECT_EQ(try_open(path_of("kv"), false, &kv), SH_ERR_NOT_FOUND);
    EXPECT(stat(path_of("kv"), &st) != 0);
    kv_close(open_at(path_of("kv")));
    EXPECT_EQ(try_open(path_of("kv"), false, &kv), SH_OK);
    kv_close(kv);
}

TEST(a_store_that_is_open_in_this_process_is_in_use)
{
    struct kv *kv = open_at(path_of("kv"));
    struct kv *second = NULL;
    EXPECT_EQ(try_open(path_of("kv"), true, &second), SH_ERR_IN_USE);
    EXPECT(second == NULL);
    kv_close(kv);
    kv_close(open_at(path_of("kv")));
}

TEST(a_store_that_another_process_has_open_is_in_use)
{
    int fds[2];
    int status = 0;
    char byte = 0;
    struct kv *kv = NULL;
    const char *path = path_of("kv");
    EXPECT_EQ(pipe(fds), 0);
    pid_t pid = fork_child();
    if (pid == 0) {
        kv = open_at(path);
        _exit(write(fds[1], "x", 1) == 1 ? pause() : 1);
    }
    EXPECT_EQ(read(fds[0], &byte, 1), 1);
    EXPECT_EQ(try_open(path, true, &kv), SH_ERR_IN_USE);
    EXPECT_EQ(kill(pid, SIGKILL), 0);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    kv_close(open_at(path));
}

TEST(a_store_with_a_family_of_a_later_version_is_refused_as_such)
{
    static const struct kv_cf later[] = {{.name = "a"}, {.name = "b"}, {.name = "new_kind"}};
    struct kv *kv = NULL;
    struct kv_rocks_options options = {
        .path = path_of("kv"), .cfs = later, .cf_count = SH_COUNT(later), .create = true};
    EXPECT_EQ(kv_rocks_open(&options, &kv, why), SH_OK);
    kv_close(kv);
    EXPECT_EQ(try_open(path_of("kv"), true, &kv), SH_ERR_VERSION);
    EXPECT(strstr(why, "new_kind") != NULL);
}

TEST(a_store_below_a_file_is_refused_with_its_path)
{
    struct kv *kv = NULL;
    FILE *file = fopen(path_of("file"), "w");
    EXPECT(file != NULL);
    EXPECT_EQ(fclose(file), 0);
    EXPECT(try_open(path_of("file/kv"), true, &kv) != SH_OK);
    EXPECT(strstr(why, "file") != NULL);
}

/* ---- kill -9 ---- */

struct murder {
    bool sync;
    uint32_t after; /* acknowledgements */
    bool redo;
};

static const struct murder murders[] = {{true, 1, false},  {true, 40, false},  {true, ACKS, false},
                                        {false, 1, false}, {false, 40, false}, {false, ACKS, false},
                                        {true, 1, true},   {true, 40, true},   {true, ACKS, true},
                                        {false, 1, true},  {false, 40, true},  {false, ACKS, true}};

/* Writes numbers from first on for ever, one byte into fd for each that was acknowledged. */
static _Noreturn void write_for_ever(const char *path, uint32_t first, bool sync, int fd)
{
    struct kv *kv = open_at(path);
    for (uint32_t n = first;; n++) {
        if (put_number(kv, n, sync) != SH_OK || write(fd, "x", 1) != 1) {
            _exit(1);
        }
        if (n % 50 == 49 && kv_flush(kv) != SH_OK) {
            _exit(1);
        }
    }
}

static uint32_t murder_one(const char *path, uint32_t first, const struct murder *m)
{
    int fds[2];
    int status = 0;
    uint32_t acked = 0;
    char bytes[256];
    EXPECT_EQ(pipe(fds), 0);
    pid_t pid = fork_child();
    if (pid == 0) {
        write_for_ever(path, first, m->sync, fds[1]);
    }
    EXPECT_EQ(close(fds[1]), 0);
    while (acked < m->after) {
        ssize_t n = read(fds[0], bytes, m->after - acked < 256 ? m->after - acked : 256);
        EXPECT(n > 0);
        acked += (uint32_t)n;
    }
    EXPECT_EQ(kill(pid, SIGKILL), 0);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT(WIFSIGNALED(status));
    for (ssize_t n = read(fds[0], bytes, sizeof bytes); n > 0;
         n = read(fds[0], bytes, sizeof bytes)) {
        acked += (uint32_t)n;
    }
    EXPECT_EQ(close(fds[0]), 0);
    return acked;
}

/* Opens the store and counts, in a process of its own: RocksDB's threads do not survive a fork, so
 * the one that forks must never have had it open. */
static uint32_t count_in_child(const char *path)
{
    int fds[2];
    int status = 0;
    uint32_t count = 0;
    EXPECT_EQ(pipe(fds), 0);
    pid_t pid = fork_child();
    if (pid == 0) {
        struct kv *kv = open_at(path);
        count = count_numbers(kv);
        kv_close(kv);
        _exit(write(fds[1], &count, sizeof count) == sizeof count ? 0 : 1);
    }
    EXPECT_EQ(close(fds[1]), 0);
    EXPECT_EQ(read(fds[0], &count, sizeof count), sizeof count);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(close(fds[0]), 0);
    return count;
}

TEST_ROWS(kill_9_of_the_writer_loses_no_acknowledged_batch_and_splits_none, murders)
{
    char path[600];
    uint32_t there = 0;
    redo = murders[tst_row].redo;
    (void)snprintf(path, sizeof path, "%s", path_of("kv"));
    for (int round = 0; round < 3; round++) {
        uint32_t acked = murder_one(path, there, &murders[tst_row]);
        uint32_t now = count_in_child(path);
        EXPECT(now >= there + acked);
        EXPECT(now <= there + acked + 1); /* the one under way */
        there = now;
    }
}

/* ---- a redo log ---- */

enum { MIB = 1 << 20, RING_BATCH = 60000, RING_BATCHES = 1500, SMALL_BATCHES = 70000 };

/* Number n in family A under n mod PUTS, as a value of that size that does not compress. */
static void put_sized(struct kv *kv, uint32_t n, uint32_t size, bool sync)
{
    uint8_t key[8];
    uint8_t *value = malloc(size);
    struct kv_batch batch;
    EXPECT(value != NULL);
    for (uint32_t i = 0; i + 8 <= size; i += 8) {
        uint64_t word = sh_mix64(((uint64_t)n << 32) + i);
        memcpy(value + i, &word, sizeof word);
    }
    sh_key_u64(key, n % PUTS);
    memcpy(value, &n, sizeof n);
    kv_batch_init(&batch);
    kv_batch_put(&batch, A, KV_SPAN(key, 8), KV_SPAN(value, size));
    kv_batch_put(&batch, B, KV_SPAN(key, 8), KV_SPAN(value, sizeof n));
    EXPECT_EQ(kv_write(kv, &batch, sync), SH_OK);
    kv_batch_fini(&batch);
    free(value);
}

/* The last of the numbers 0 .. count - 1 is there under each key, in both families. */
static void expect_sized(struct kv *kv, uint32_t count, uint32_t size)
{
    for (uint32_t at = 0; at < PUTS && at < count; at++) {
        uint8_t key[8];
        uint32_t last = at + (count - 1 - at) / PUTS * PUTS;
        sh_key_u64(key, at);
        for (uint32_t cf = 0; cf < 2; cf++) {
            struct kv_value value;
            uint32_t n = 0;
            EXPECT_EQ(kv_get(kv, NULL, cf, KV_SPAN(key, 8), &value), SH_OK);
            EXPECT_EQ(value.bytes.size, cf == A ? size : sizeof n);
            memcpy(&n, value.bytes.at, sizeof n);
            EXPECT_EQ(n, last);
            kv_value_free(&value);
        }
    }
}

static void write_sized_in_child(const char *path, uint32_t first, uint32_t count, uint32_t size)
{
    int status = 0;
    pid_t pid = fork_child();
    if (pid == 0) {
        struct kv *kv = open_at(path);
        for (uint32_t i = first; i < first + count; i++) {
            put_sized(kv, i, size, i % 200 == 0);
        }
        _exit(0); /* without closing */
    }
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 0);
}

static const struct {
    uint32_t size;
    uint32_t count; /* twice: more than twice round the ring */
} rings[] = {{RING_BATCH, RING_BATCHES}, {8, SMALL_BATCHES}};

TEST_ROWS(the_tables_have_what_the_redo_log_overwrites, rings)
{
    char path[600];
    uint32_t size = rings[tst_row].size;
    uint32_t count = rings[tst_row].count;
    redo = true;
    (void)snprintf(path, sizeof path, "%s", path_of("kv"));
    write_sized_in_child(path, 0, count, size);
    write_sized_in_child(path, count, count, size);
    struct kv *kv = open_at(path);
    expect_sized(kv, 2 * count, size);
    kv_close(kv);
}

/* Larger than a file of the log, it goes to the tables at once, with those before it. */
TEST(a_batch_that_is_too_large_for_the_redo_log_is_as_durable_as_others)
{
    char path[600];
    redo = true;
    (void)snprintf(path, sizeof path, "%s", path_of("kv"));
    write_sized_in_child(path, 0, 3, 100);
    write_sized_in_child(path, 3, 1, 10 * MIB);
    write_sized_in_child(path, 4, 1, 30 * MIB);
    write_sized_in_child(path, 5, 2, 100);
    struct kv *kv = open_at(path);
    for (uint32_t n = 0; n < 7; n++) {
        uint8_t key[8];
        struct kv_value value;
        sh_key_u64(key, n);
        EXPECT_EQ(kv_get(kv, NULL, A, KV_SPAN(key, 8), &value), SH_OK);
        EXPECT_EQ(value.bytes.size, n == 3 ? 10 * MIB : n == 4 ? 30 * MIB : 100);
        kv_value_free(&value);
    }
    kv_close(kv);
}

TEST(a_store_with_rocksdbs_log_gets_a_redo_log_and_then_needs_it)
{
    const char *path = path_of("kv");
    struct kv *kv = NULL;
    fill_in_child(path);
    redo = true;
    kv = open_at(path);
    EXPECT_EQ(count_numbers(kv), PUTS);
    EXPECT_EQ(put_number(kv, PUTS, false), SH_OK);
    kv_close(kv);
    redo = false;
    EXPECT_EQ(try_open(path, true, &kv), SH_ERR_VERSION);
    EXPECT(strstr(why, "redo") != NULL);
    redo = true;
    kv = open_at(path);
    EXPECT_EQ(count_numbers(kv), PUTS + 1);
    kv_close(kv);
}

enum redo_wound { REDO_NONE, REDO_BIT, REDO_ZEROS, REDO_LAST_ZERO, REDO_GONE, REDO_NEXT_GONE };

/* fill_in_child writes a sector for each number. */
static void wound_redo(const char *path, enum redo_wound wound)
{
    static const uint8_t zeros[512];
    char name[700];
    uint8_t byte = 0;
    (void)snprintf(name, sizeof name, "%s/redo-%d", path, wound == REDO_NEXT_GONE ? 1 : 0);
    if (wound == REDO_GONE || wound == REDO_NEXT_GONE) {
        EXPECT_EQ(unlink(name), 0);
        return;
    }
    int fd = open(name, O_RDWR);
    off_t at = (off_t)sizeof zeros * (wound == REDO_LAST_ZERO ? PUTS - 1 : PUTS / 2);
    EXPECT(fd >= 0);
    EXPECT_EQ(pread(fd, &byte, 1, at + 100), 1);
    byte ^= 0x10;
    if (wound == REDO_BIT) {
        EXPECT_EQ(pwrite(fd, &byte, 1, at + 100), 1);
    } else if (wound != REDO_NONE) {
        EXPECT_EQ(pwrite(fd, zeros, sizeof zeros, at), sizeof zeros);
    }
    EXPECT_EQ(close(fd), 0);
}

static const struct {
    enum redo_wound wound;
    enum sh_err err;
    uint32_t left;
} redo_wounds[] = {{REDO_NONE, SH_OK, PUTS},        {REDO_BIT, SH_ERR_CORRUPT, 0},
                   {REDO_ZEROS, SH_ERR_CORRUPT, 0}, {REDO_LAST_ZERO, SH_OK, PUTS - 1},
                   {REDO_GONE, SH_ERR_CORRUPT, 0},  {REDO_NEXT_GONE, SH_ERR_CORRUPT, 0}};

TEST_ROWS(a_redo_log_that_was_cut_short_opens_and_a_damaged_one_is_refused, redo_wounds)
{
    const char *path = path_of("kv");
    struct kv *kv = NULL;
    redo = true;
    fill_in_child(path);
    wound_redo(path, redo_wounds[tst_row].wound);
    EXPECT_EQ(try_open(path, true, &kv), redo_wounds[tst_row].err);
    if (kv == NULL) {
        EXPECT(strstr(why, "Corruption") != NULL);
        EXPECT_EQ(try_open(path, true, &kv), SH_ERR_CORRUPT); /* refusing mends nothing */
    } else {
        EXPECT_EQ(count_numbers(kv), redo_wounds[tst_row].left);
        kv_close(kv);
    }
}

/* ---- a full disk ---- */

/* Takes what room there is beyond the reserve of a large batch: then there is none for a small one.
 */
static void take_room(const char *disk)
{
    static const uint8_t bytes[MIB];
    char path[600];
    (void)snprintf(path, sizeof path, "%s/ballast", disk);
    FILE *file = fopen(path, "w");
    EXPECT(file != NULL);
    EXPECT_EQ(fwrite(bytes, sizeof bytes, 1, file), 1);
    EXPECT_EQ(fclose(file), 0);
}

static uint32_t write_until_full(struct kv *kv, enum sh_err *err)
{
    static uint8_t value[64 << 10];
    struct sh_rng rng;
    struct kv_batch batch;
    uint32_t n = 0;
    sh_rng_init(&rng, 1);
    kv_batch_init(&batch);
    do {
        uint8_t key[8];
        for (size_t i = 0; i < sizeof value; i += 8) {
            uint64_t word = sh_rng_u64(&rng);
            memcpy(value + i, &word, sizeof word);
        }
        sh_key_u64(key, n);
        memcpy(value, key, sizeof key);
        kv_batch_clear(&batch);
        kv_batch_put(&batch, A, KV_SPAN(key, 8), KV_SPAN(value, sizeof value));
        kv_batch_put(&batch, B, KV_SPAN(key, 8), KV_SPAN(value, 8));
        *err = kv_write(kv, &batch, true);
        n += *err == SH_OK ? 1 : 0;
    } while (*err == SH_OK && n < 10000);
    kv_batch_fini(&batch);
    return n;
}

TEST_ROWS(a_full_disk_is_told_and_loses_nothing_that_was_acknowledged, logs)
{
    char path[600];
    char text[KV_TEXT_BYTES];
    enum sh_err err = SH_OK;
    const char *disk = path_of("disk");
    redo = logs[tst_row].redo;
    (void)snprintf(path, sizeof path, "%s/kv", disk);
    EXPECT_EQ(mkdir(disk, 0700), 0);
    if (mount("tmpfs", disk, "tmpfs", 0, "size=80m") != 0) {
        SKIP("a small tmpfs cannot be mounted here");
    }
    struct kv *kv = open_at(path);
    uint32_t written = write_until_full(kv, &err);
    take_room(disk);
    enum sh_err again = put_number(kv, UINT32_MAX, true);
    enum sh_err health = kv_health(kv);
    kv_error_text(kv, text);
    uint32_t readable = count_numbers(kv);
    int grown = mount("tmpfs", disk, "tmpfs", MS_REMOUNT, "size=160m");
    enum sh_err after = put_number(kv, readable, true);
    kv_close(kv);
    kv = open_at(path);
    uint32_t left = count_numbers(kv);
    kv_close(kv);
    EXPECT_EQ(umount2(disk, MNT_DETACH), 0);
    EXPECT_EQ(grown, 0);
    EXPECT_EQ(err, SH_ERR_NO_SPACE);
    EXPECT_EQ(again, SH_ERR_NO_SPACE);
    EXPECT_EQ(health, SH_OK);
    EXPECT(strstr(text, "No space left") != NULL);
    EXPECT(written > 20);
    EXPECT_EQ(readable, written);
    EXPECT_EQ(after, SH_OK);
    EXPECT_EQ(left, written + 1);
}

/* Somebody else takes the room while nobody looks: a moment later writes are refused. */
TEST_ROWS(a_disk_that_had_ample_room_is_looked_at_again, logs)
{
    char path[600];
    char text[KV_TEXT_BYTES];
    enum sh_err err = SH_OK;
    uint32_t written = 0;
    const char *disk = path_of("disk");
    redo = logs[tst_row].redo;
    (void)snprintf(path, sizeof path, "%s/kv", disk);
    EXPECT_EQ(mkdir(disk, 0700), 0);
    if (mount("tmpfs", disk, "tmpfs", 0, "size=4g") != 0) {
        SKIP("a tmpfs cannot be mounted here");
    }
    struct kv *kv = open_at(path);
    enum sh_err first = put_number(kv, written++, true);
    int shrunk = mount("tmpfs", disk, "tmpfs", MS_REMOUNT, "size=32m");
    while (err == SH_OK && written < SHRUNK_WRITES_MAX) {
        err = put_number(kv, written, false);
        written += err == SH_OK ? 1 : 0;
    }
    kv_error_text(kv, text);
    enum sh_err health = kv_health(kv);
    uint32_t readable = count_numbers(kv);
    kv_close(kv);
    EXPECT_EQ(umount2(disk, MNT_DETACH), 0);
    EXPECT_EQ(first, SH_OK);
    EXPECT_EQ(shrunk, 0);
    EXPECT_EQ(err, SH_ERR_NO_SPACE);
    EXPECT(strstr(text, "kept in reserve") != NULL);
    EXPECT_EQ(health, SH_OK);
    EXPECT_EQ(readable, written);
}
