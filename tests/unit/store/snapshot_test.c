/* SPDX-License-Identifier: Apache-2.0
 *
 * Snapshots from one store into another, whole, damaged, and cut off at every write. */
#include "store/fsm/snapshot.h"

#include "base/host/host.h"
#include "base/rng.h"
#include "store/kv_mem.h"
#include "store/kv_rocks.h"
#include "store/wal/wal.h"
#include "tst.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { META, LOG, FSM, SCHEMA = 7, ROWS = 300, VALUE = 9000, CHUNKS_MAX = 16 };

static const struct kv_cf cfs[] = {{.name = "meta"}, {.name = "log"}, {.name = "fsm"}};

static struct kv *open_mem(void)
{
    struct kv *kv = NULL;
    sh_host_init();
    EXPECT_EQ(kv_mem_open(cfs, SH_COUNT(cfs), &kv), SH_OK);
    return kv;
}

static struct kv *open_rocks_at(const char *path)
{
    char why[KV_TEXT_BYTES];
    struct kv *kv = NULL;
    sh_host_init();
    struct kv_rocks_options options = {
        .path = path, .cfs = cfs, .cf_count = SH_COUNT(cfs), .create = true};
    if (kv_rocks_open(&options, &kv, why) != SH_OK) {
        tst_fail(__FILE__, __LINE__, "a store: %s", why);
    }
    return kv;
}

static struct kv *open_rocks(void)
{
    char path[600];
    (void)snprintf(path, sizeof path, "%s/state", tst_dir());
    return open_rocks_at(path);
}

static struct kv *(*const openers[])(void) = {open_mem, open_rocks};

static struct fsm *open_fsm(struct kv *kv, struct fsm_applied *applied)
{
    struct fsm *fsm = NULL;
    EXPECT_EQ(fsm_open(kv, FSM, NULL, &fsm, applied), SH_OK);
    return fsm;
}

/* The tables as of an index: all rows follow from it, and a few are there at some indexes only. */
static struct sh_span value_at(uint64_t index, uint32_t row)
{
    static uint8_t value[VALUE];
    memset(value, (int)(sh_mix64(index + row) & 0xff), sizeof value);
    return KV_SPAN(value, (index + row) * 7919 % VALUE);
}

static bool row_at(uint64_t index, uint32_t row)
{
    return (index + row) % 7 != 0;
}

static void fill(struct fsm *fsm, uint64_t index)
{
    const struct sh_table *t = fsm_begin(fsm);
    for (uint32_t i = 0; i < ROWS; i++) {
        uint8_t key[8];
        sh_key_u64(key, i);
        if (row_at(index, i)) {
            t->put(t->ctx, KV_SPAN(key, sizeof key), value_at(index, i));
        } else {
            t->del(t->ctx, KV_SPAN(key, sizeof key));
        }
    }
    EXPECT_EQ(fsm_commit(fsm, index, 1, index, KV_SPAN(&index, sizeof index), false), SH_OK);
}

static void expect_tables(struct fsm *fsm, uint64_t index)
{
    struct fsm_view *view = NULL;
    EXPECT_EQ(fsm_view_open(fsm, &view), SH_OK);
    const struct sh_table *t = fsm_view_table(view);
    EXPECT_EQ(fsm_view_index(view), index);
    for (uint32_t i = 0; i < ROWS; i++) {
        uint8_t key[8];
        struct sh_span value;
        sh_key_u64(key, i);
        EXPECT_EQ(t->get(t->ctx, KV_SPAN(key, sizeof key), &value), row_at(index, i));
        if (row_at(index, i)) {
            struct sh_span want = value_at(index, i);
            EXPECT_EQ(value.size, want.size);
            EXPECT(value.size == 0 || memcmp(value.at, want.at, want.size) == 0);
        }
    }
    fsm_view_close(view);
}

static uint32_t pairs_of(struct kv *kv, uint32_t cf)
{
    struct kv_iter *iter = NULL;
    uint32_t count = 0;
    EXPECT_EQ(kv_iter_open(kv, NULL, cf, KV_ALL, KV_ALL, &iter), SH_OK);
    for (bool more = kv_iter_first(iter); more; more = kv_iter_next(iter)) {
        count++;
    }
    kv_iter_close(iter);
    return count;
}

static uint32_t rows_at(uint64_t index)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < ROWS; i++) {
        count += row_at(index, i) ? 1 : 0;
    }
    return count;
}

/* The stream of the tables as of an index. */
struct stream {
    uint32_t count;
    size_t size[CHUNKS_MAX];
    uint8_t *chunk[CHUNKS_MAX];
};

static void record(struct stream *s, uint64_t index, uint64_t id)
{
    struct kv *kv = open_mem();
    struct fsm *fsm = open_fsm(kv, NULL);
    struct fsm_out *out = NULL;
    fill(fsm, index);
    EXPECT_EQ(fsm_out_open(fsm, id, SCHEMA, &out), SH_OK);
    fill(fsm, index + 1); /* which the stream does not show */
    s->count = 0;
    for (size_t size = 1; size > 0; s->count += size > 0 ? 1 : 0) {
        EXPECT(s->count < CHUNKS_MAX);
        uint8_t *chunk = malloc(FSM_SNAPSHOT_CHUNK_MAX);
        EXPECT(chunk != NULL);
        size = fsm_out_next(out, chunk);
        s->chunk[s->count] = chunk;
        s->size[s->count] = size;
    }
    free(s->chunk[s->count]);
    EXPECT(s->count >= 4); /* HEAD, two of ROWS, END */
    fsm_out_close(out);
    fsm_close(fsm);
    kv_close(kv);
}

static void forget(struct stream *s)
{
    for (uint32_t i = 0; i < s->count; i++) {
        free(s->chunk[i]);
    }
}

static enum sh_err take(struct fsm_in *in, const struct stream *s, uint32_t at)
{
    return fsm_in_take(in, KV_SPAN(s->chunk[at], s->size[at]));
}

static enum sh_err take_all(struct fsm_in *in, const struct stream *s)
{
    enum sh_err err = SH_OK;
    for (uint32_t i = 0; i < s->count && err == SH_OK; i++) {
        EXPECT_EQ(fsm_in_next(in), i);
        EXPECT(!fsm_in_complete(in));
        err = take(in, s, i);
    }
    return err;
}

/* As the agent does it: rows beside the live ones, then one batch with the log's. */
static enum sh_err install(struct fsm *fsm, struct wal *wal, const struct stream *s)
{
    struct fsm_in *in = NULL;
    struct kv_batch flip;
    enum sh_err err = fsm_in_open(fsm, SCHEMA, &in);
    if (err != SH_OK) {
        return err;
    }
    kv_batch_init(&flip);
    err = take_all(in, s);
    if (err == SH_OK) {
        uint64_t index = fsm_in_applied(in)->index;
        struct wal_hard hard = {.term = 1, .commit = index};
        fsm_in_flip(in, &flip);
        fsm_in_give(in);
        err = wal_install(wal, index, fsm_in_applied(in)->term, &hard, &flip);
    }
    if (err == SH_OK) {
        err = fsm_switch(fsm, NULL);
    }
    kv_batch_fini(&flip);
    fsm_in_close(in);
    return err;
}

TEST_ROWS(an_installed_snapshot_is_the_state_it_was_taken_of, openers)
{
    static struct fsm_applied applied;
    struct stream s;
    struct wal_boot boot;
    struct wal *wal = NULL;
    record(&s, 50, 4711);
    struct kv *kv = openers[tst_row]();
    EXPECT_EQ(wal_open(kv, LOG, META, &boot, &wal), SH_OK);
    struct fsm *fsm = open_fsm(kv, NULL);
    fill(fsm, 3);
    struct fsm_view *before = NULL;
    EXPECT_EQ(fsm_view_open(fsm, &before), SH_OK);
    EXPECT_EQ(install(fsm, wal, &s), SH_OK);
    EXPECT_EQ(fsm_view_index(before), 3); /* an open view stays what it was */
    EXPECT_EQ(fsm_applied_index(fsm), 50);
    fsm_view_close(before);
    expect_tables(fsm, 50);
    EXPECT_EQ(pairs_of(kv, FSM), rows_at(50) + 3); /* nothing is left of the old generation */
    fill(fsm, 51);
    expect_tables(fsm, 51);
    fsm_close(fsm);
    fsm = open_fsm(kv, &applied);
    expect_tables(fsm, 51);
    EXPECT_EQ(applied.index, 51);
    forget(&s);
    record(&s, 90, 4712);
    EXPECT_EQ(install(fsm, wal, &s), SH_OK); /* and once more */
    wal_close(wal);
    fsm_close(fsm);
    fsm = open_fsm(kv, &applied);
    EXPECT_EQ(applied.index, 90);
    EXPECT_EQ(applied.conf_index, 90);
    EXPECT_EQ(applied.conf_size, 8);
    expect_tables(fsm, 90);
    EXPECT_EQ(wal_open(kv, LOG, META, &boot, &wal), SH_OK);
    EXPECT_EQ(boot.compacted_index, 90);
    EXPECT_EQ(boot.last_index, 90);
    EXPECT_EQ(boot.hard.commit, 90);
    forget(&s);
    wal_close(wal);
    fsm_close(fsm);
    kv_close(kv);
}

/* A receiver that takes the first chunks and then this one. */
static enum sh_err after(struct fsm *fsm, const struct stream *s, uint32_t first,
                         struct sh_span chunk)
{
    struct fsm_in *in = NULL;
    EXPECT_EQ(fsm_in_open(fsm, SCHEMA, &in), SH_OK);
    for (uint32_t i = 0; i < first; i++) {
        EXPECT_EQ(take(in, s, i), SH_OK);
    }
    enum sh_err err = fsm_in_take(in, chunk);
    EXPECT(err != SH_OK || !fsm_in_complete(in) || first + 1 == s->count);
    fsm_in_close(in);
    return err;
}

TEST(chunks_are_as_small_as_is_asked_for_and_a_row_is_never_cut)
{
    enum { ENOUGH = 100 };
    struct kv *kv = open_mem();
    struct fsm *fsm = open_fsm(kv, NULL);
    struct fsm_out *out = NULL;
    static uint8_t chunk[FSM_SNAPSHOT_CHUNK_MAX];
    uint32_t chunks = 0;
    fill(fsm, 3);
    EXPECT_EQ(fsm_out_open(fsm, 1, SCHEMA, &out), SH_OK);
    fsm_out_pace(out, ENOUGH);
    for (size_t size = 1; size > 0; chunks++) {
        size = fsm_out_next(out, chunk);
        EXPECT(size <= ENOUGH + VALUE + 64);
    }
    EXPECT(chunks > rows_at(3) / 2);
    fsm_out_close(out);
    fsm_close(fsm);
    kv_close(kv);
}

TEST(what_is_not_the_next_chunk_of_the_stream_is_refused_and_leaves_nothing)
{
    struct stream s;
    struct stream other;
    struct kv *kv = open_mem();
    struct fsm *fsm = open_fsm(kv, NULL);
    fill(fsm, 3);
    uint32_t before = pairs_of(kv, FSM);
    record(&s, 50, 1);
    record(&other, 50, 2);
    for (uint32_t at = 0; at < s.count; at++) {
        for (uint32_t i = 0; i < s.count; i++) {
            enum sh_err err = after(fsm, &s, at, KV_SPAN(s.chunk[i], s.size[i]));
            EXPECT_EQ(err, i == at ? SH_OK : SH_ERR_CORRUPT);
        }
        enum sh_err err = after(fsm, &s, at, KV_SPAN(other.chunk[at], other.size[at]));
        EXPECT_EQ(err, at == 0 ? SH_OK : SH_ERR_CORRUPT); /* of another snapshot */
        EXPECT_EQ(after(fsm, &s, at, KV_SPAN(s.chunk[at], s.size[at] - 1)), SH_ERR_CORRUPT);
        EXPECT_EQ(after(fsm, &s, at, KV_ALL), SH_ERR_CORRUPT);
        for (size_t byte = 0; byte < s.size[at]; byte += byte < 64 ? 1 : 9973) {
            s.chunk[at][byte] ^= 1;
            EXPECT_EQ(after(fsm, &s, at, KV_SPAN(s.chunk[at], s.size[at])), SH_ERR_CORRUPT);
            s.chunk[at][byte] ^= 1;
        }
    }
    EXPECT_EQ(pairs_of(kv, FSM), before);
    expect_tables(fsm, 3);
    forget(&s);
    forget(&other);
    fsm_close(fsm);
    kv_close(kv);
}

TEST(a_snapshot_of_another_schema_is_refused_as_such)
{
    struct stream s;
    struct fsm_in *in = NULL;
    struct kv *kv = open_mem();
    struct fsm *fsm = open_fsm(kv, NULL);
    record(&s, 50, 1);
    EXPECT_EQ(fsm_in_open(fsm, SCHEMA + 1, &in), SH_OK);
    EXPECT_EQ(take(in, &s, 0), SH_ERR_VERSION);
    fsm_in_close(in);
    forget(&s);
    fsm_close(fsm);
    kv_close(kv);
}

TEST_DIES(making_half_a_snapshot_live_is_a_programming_error, "in->complete")
{
    struct stream s;
    struct fsm_in *in = NULL;
    struct kv_batch batch;
    struct fsm *fsm = open_fsm(open_mem(), NULL);
    record(&s, 50, 1);
    kv_batch_init(&batch);
    EXPECT_EQ(fsm_in_open(fsm, SCHEMA, &in), SH_OK);
    EXPECT_EQ(take(in, &s, 0), SH_OK);
    fsm_in_flip(in, &batch);
}

/* ---- a crash at every write ---- */

/* False when the n-th write was never reached. */
static bool cut_off(const struct stream *s, uint32_t n, bool torn, uint32_t keep)
{
    struct wal_boot boot;
    struct wal *wal = NULL;
    struct kv *kv = open_mem();
    struct fsm *fsm = open_fsm(kv, NULL);
    EXPECT_EQ(wal_open(kv, LOG, META, &boot, &wal), SH_OK);
    fill(fsm, 3);
    struct wal_hard hard = {.term = 1, .vote = 1, .commit = 3};
    struct wal_entry e[3] = {
        {.index = 1, .term = 1}, {.index = 2, .term = 1}, {.index = 3, .term = 1}};
    EXPECT_EQ(wal_save(wal, &hard, e, 3, true), SH_OK);
    kv_mem_fail(kv, n, SH_ERR_IO, torn);
    enum sh_err err = install(fsm, wal, s);
    bool fired = !kv_mem_armed(kv);
    EXPECT(err == SH_OK || fired);
    wal_close(wal);
    fsm_close(fsm);
    kv_mem_crash(kv, keep);
    fsm = open_fsm(kv, NULL);
    EXPECT_EQ(wal_open(kv, LOG, META, &boot, &wal), SH_OK);
    bool is_new = fsm_applied_index(fsm) == 50;
    EXPECT(is_new || err != SH_OK); /* what was acknowledged stays */
    EXPECT_EQ(boot.hard.commit, is_new ? 50 : 3);
    EXPECT_EQ(boot.last_index, is_new ? 50 : 3);
    EXPECT_EQ(boot.compacted_index, is_new ? 50 : 0);
    expect_tables(fsm, is_new ? 50 : 3);
    EXPECT_EQ(pairs_of(kv, FSM), is_new ? rows_at(50) + 3 : rows_at(3) + 2);
    EXPECT_EQ(pairs_of(kv, LOG), is_new ? 0 : 3);
    if (!is_new) {
        EXPECT_EQ(install(fsm, wal, s), SH_OK);
        expect_tables(fsm, 50);
    }
    wal_close(wal);
    fsm_close(fsm);
    kv_close(kv);
    return fired;
}

TEST(a_crash_at_any_write_of_an_installation_leaves_the_old_state_or_the_new_one)
{
    static const uint32_t keeps[] = {0, 1, 2, 3, UINT32_MAX};
    struct stream s;
    record(&s, 50, 1);
    for (uint32_t i = 0; i < 2 * SH_COUNT(keeps); i++) {
        uint32_t n = 1;
        while (cut_off(&s, n, i % 2 == 1, keeps[i / 2])) {
            n++;
        }
        EXPECT(n > s.count); /* clearing, each chunk of rows, END, the flip */
    }
    forget(&s);
}

/* ---- kill -9 ---- */

/* Installs one snapshot after the other, each told by a byte before it begins. */
static _Noreturn void install_for_ever(const char *path, int fd)
{
    struct wal_boot boot;
    struct wal *wal = NULL;
    struct kv *kv = open_rocks_at(path);
    struct fsm *fsm = open_fsm(kv, NULL);
    EXPECT_EQ(wal_open(kv, LOG, META, &boot, &wal), SH_OK);
    for (uint64_t index = fsm_applied_index(fsm) + 5;; index += 5) {
        struct stream s;
        record(&s, index, index);
        if (write(fd, "x", 1) != 1 || install(fsm, wal, &s) != SH_OK) {
            _exit(1);
        }
        forget(&s);
    }
}

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

/* The index that the store has, everything in it examined; in a process of its own, as RocksDB's
 * threads do not survive a fork. */
static uint64_t examine(const char *path)
{
    int fds[2];
    int status = 0;
    uint64_t index = 0;
    EXPECT_EQ(pipe(fds), 0);
    pid_t pid = fork_child();
    if (pid == 0) {
        struct wal_boot boot;
        struct wal *wal = NULL;
        struct kv *kv = open_rocks_at(path);
        struct fsm *fsm = open_fsm(kv, NULL);
        EXPECT_EQ(wal_open(kv, LOG, META, &boot, &wal), SH_OK);
        index = fsm_applied_index(fsm);
        EXPECT_EQ(boot.compacted_index, index);
        EXPECT_EQ(boot.hard.commit, index);
        if (index > 0) {
            expect_tables(fsm, index);
            EXPECT_EQ(pairs_of(kv, FSM), rows_at(index) + 3);
        }
        wal_close(wal);
        fsm_close(fsm);
        kv_close(kv);
        _exit(write(fds[1], &index, sizeof index) == sizeof index ? 0 : 1);
    }
    EXPECT_EQ(close(fds[1]), 0);
    EXPECT_EQ(read(fds[0], &index, sizeof index), sizeof index);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(close(fds[0]), 0);
    return index;
}

TEST_LONG(kill_9_within_an_installation_leaves_the_old_state_or_the_new_one, 120)
{
    char path[600];
    struct sh_rng rng;
    uint64_t before = 0;
    (void)snprintf(path, sizeof path, "%s/state", tst_dir());
    sh_rng_init(&rng, tst_seed());
    for (int round = 0; round < 12; round++) {
        int fds[2];
        int status = 0;
        char byte = 0;
        EXPECT_EQ(pipe(fds), 0);
        pid_t pid = fork_child();
        if (pid == 0) {
            install_for_ever(path, fds[1]);
        }
        EXPECT_EQ(close(fds[1]), 0);
        uint64_t begun = 1 + sh_rng_below(&rng, 6);
        for (uint64_t i = 0; i < begun; i++) {
            EXPECT_EQ(read(fds[0], &byte, 1), 1);
        }
        for (uint64_t spin = sh_rng_below(&rng, 3000); spin > 0; spin--) {
            (void)getppid(); /* some way into the newest one */
        }
        EXPECT_EQ(kill(pid, SIGKILL), 0);
        EXPECT_EQ(waitpid(pid, &status, 0), pid);
        while (read(fds[0], &byte, 1) == 1) {
            begun++;
        }
        EXPECT_EQ(close(fds[0]), 0);
        uint64_t now = examine(path);
        EXPECT(now == before + 5 * begun || now == before + 5 * (begun - 1));
        before = now;
    }
}
