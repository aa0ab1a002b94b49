/* SPDX-License-Identifier: Apache-2.0 */
#include "disk.h"

#include "base/host/host.h"
#include "base/latency.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct disk {
    struct wal *wal;
    struct queue *todo;
    struct queue *done;
    pthread_t thread;
    atomic_bool stopping;
    bool running;
    bool failed; /* this and the next are the disk thread's */
    struct sh_latency syncs;
    atomic_uint_least32_t p99_us; /* of syncs */
};

#define WAIT_US UINT64_C(60000000) /* for work; queue_stop ends it earlier */

struct batch {
    struct wal_entry *entries; /* DISK_BATCH_ENTRIES places */
    uint32_t count;
    size_t bytes;
    bool sync;
    bool has_hard;
    struct wal_hard hard;
    uint64_t token;
    uint32_t writes;
    void *memory[DISK_QUEUE_MAX];
};

static size_t payload_bytes(const struct disk_write *w)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < w->count; i++) {
        bytes += w->entries[i].bytes.size;
    }
    return bytes;
}

/* Writes are merged while their entries follow one another without a gap or an overwrite. */
static bool fits(const struct batch *b, const struct disk_write *w)
{
    if (b->writes == 0) {
        return true;
    }
    bool follows =
        w->count == 0 || b->count == 0 || w->entries[0].index == b->entries[b->count - 1].index + 1;
    return follows && b->writes < DISK_QUEUE_MAX && b->count + w->count <= DISK_BATCH_ENTRIES &&
           b->bytes + payload_bytes(w) <= DISK_BATCH_BYTES;
}

static void add(struct batch *b, const struct disk_write *w)
{
    SH_CHECK_CMP(b->count + w->count, <=, DISK_BATCH_ENTRIES);
    if (w->count > 0) {
        memcpy(b->entries + b->count, w->entries, w->count * sizeof *w->entries);
    }
    b->count += w->count;
    b->bytes += payload_bytes(w);
    b->sync = b->sync || w->sync;
    if (w->has_hard) {
        b->has_hard = true;
        b->hard = w->hard;
    }
    if (w->token != 0) {
        SH_CHECK_CMP(w->token, >, b->token);
        b->token = w->token;
    }
    b->memory[b->writes++] = w->memory;
}

/* The loop drains this queue at every wake-up and never waits for us: it has room, unless the loop
 * is gone. */
static void tell(struct disk *d, struct disk_done done)
{
    if (done.token != 0 || done.err != SH_OK) {
        enum sh_err err = queue_push(d->done, &done);
        SH_CHECK(err == SH_OK || err == SH_ERR_CANCELLED);
    }
}

/* Notes how a write ended; the token that may be told. */
static uint64_t settle(struct disk *d, enum sh_err err, uint64_t token)
{
    d->failed = d->failed || err != SH_OK;
    return d->failed ? 0 : token;
}

static void flush(struct disk *d, struct batch *b)
{
    struct disk_done done = {.batched = b->writes};
    if (b->writes == 0) {
        return;
    }
    if (!d->failed) {
        uint64_t begun_us = sh_now_us();
        done.err = wal_save(d->wal, b->has_hard ? &b->hard : NULL, b->entries, b->count, b->sync);
        if (b->sync) {
            sh_latency_add(&d->syncs, sh_now_us() - begun_us);
            atomic_store(&d->p99_us, sh_latency_p99(&d->syncs));
        }
        done.token = settle(d, done.err, b->token);
    }
    for (uint32_t i = 0; i < b->writes; i++) {
        free(b->memory[i]);
    }
    b->count = 0;
    b->bytes = 0;
    b->sync = false;
    b->has_hard = false;
    b->token = 0;
    b->writes = 0;
    tell(d, done);
}

static enum sh_err install(struct disk *d, const struct disk_write *w)
{
    const struct disk_install *i = w->install;
    if (!i->quiet(i->ctx)) {
        return SH_ERR_CANCELLED;
    }
    return wal_install(d->wal, i->index, i->term, &w->hard, &i->flip);
}

/* The commit index on the disk may lie behind the one by which the core judged. */
static enum sh_err compact(struct disk *d, const struct disk_write *w)
{
    enum sh_err err = wal_save(d->wal, &w->hard, NULL, 0, false);
    return err == SH_OK ? wal_compact(d->wal, w->compact_to) : err;
}

static bool is_alone(const struct disk_write *w)
{
    return w->install != NULL || w->compact_to != 0;
}

/* A write that shares its batch with no other. */
static void perform(struct disk *d, const struct disk_write *w)
{
    struct disk_done done = {.batched = 1};
    SH_CHECK(w->has_hard && w->count == 0);
    if (!d->failed) {
        done.err = w->install != NULL ? install(d, w) : compact(d, w);
        done.token = settle(d, done.err, w->token);
    }
    disk_install_free(w->install);
    free(w->memory);
    tell(d, done);
}

void disk_install_free(struct disk_install *install)
{
    if (install != NULL) {
        kv_batch_fini(&install->flip);
        free(install);
    }
}

static void *run(void *arg)
{
    struct disk *d = arg;
    struct batch *b = calloc(1, sizeof *b);
    SH_CHECK(b != NULL);
    b->entries = calloc(DISK_BATCH_ENTRIES, sizeof *b->entries);
    SH_CHECK(b->entries != NULL);
    sh_thread_name("disk");
    struct disk_write w;
    for (;;) {
        bool got = queue_wait(d->todo, &w, WAIT_US);
        if (!got) {
            if (atomic_load(&d->stopping)) {
                break;
            }
            continue;
        }
        do {
            if (is_alone(&w) || !fits(b, &w)) {
                flush(d, b);
            }
            if (is_alone(&w)) {
                perform(d, &w);
            } else {
                add(b, &w);
            }
        } while (queue_pop(d->todo, &w));
        flush(d, b);
    }
    free(b->entries);
    free(b);
    return NULL;
}

enum sh_err disk_open(struct disk **out, struct wal *wal)
{
    struct disk *d = calloc(1, sizeof *d);
    if (d == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    d->wal = wal;
    enum sh_err err = queue_open(&d->todo, DISK_QUEUE_MAX, sizeof(struct disk_write));
    if (err == SH_OK) {
        err = queue_open(&d->done, DISK_QUEUE_MAX + 1, sizeof(struct disk_done));
    }
    if (err == SH_OK && pthread_create(&d->thread, NULL, run, d) != 0) {
        err = SH_ERR_NO_MEMORY;
    }
    if (err != SH_OK) {
        queue_close(d->todo);
        queue_close(d->done);
        free(d);
        return err;
    }
    d->running = true;
    *out = d;
    return SH_OK;
}

void disk_stop(struct disk *disk)
{
    atomic_store(&disk->stopping, true);
    queue_stop(disk->todo);
    if (disk->running) {
        SH_CHECK(pthread_join(disk->thread, NULL) == 0);
        disk->running = false;
    }
}

void disk_close(struct disk *disk)
{
    if (disk == NULL) {
        return;
    }
    SH_CHECK(!disk->running);
    struct disk_write w;
    while (queue_pop(disk->todo, &w)) {
        disk_install_free(w.install);
        free(w.memory);
    }
    queue_close(disk->todo);
    queue_close(disk->done);
    free(disk);
}

enum sh_err disk_submit(struct disk *disk, const struct disk_write *write)
{
    SH_CHECK_CMP(write->count, <=, DISK_BATCH_ENTRIES);
    return queue_push(disk->todo, write);
}

uint32_t disk_waiting(struct disk *disk)
{
    return queue_count(disk->todo);
}

uint32_t disk_fsync_p99_us(struct disk *disk)
{
    return (uint32_t)atomic_load(&disk->p99_us);
}

struct queue *disk_done_queue(struct disk *disk)
{
    return disk->done;
}
