/* SPDX-License-Identifier: Apache-2.0 */
#include "apply.h"

#include "journal.h"

#include "base/host/host.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { EVENTS_MAX = 512, READ_BUFFER_BYTES = 4 << 20 };

struct apply {
    struct apply_config config;
    pthread_t thread;
    bool running;
    struct queue *events; /* to the loop */
    struct queue *reads;  /* of struct raft_log_read */
    void *jobs_memory;
    struct jobs *jobs;
    struct wal_entry entries[APPLY_BATCH_ENTRIES];
    struct jobs_result results[APPLY_BATCH_ENTRIES];
    uint8_t *buffer; /* READ_BUFFER_BYTES */
    uint64_t applied;
    atomic_uint_least64_t shown; /* applied, for apply_index */
    bool caught_up;              /* with what was committed when the thread began */

    pthread_mutex_t lock; /* what follows */
    pthread_cond_t wake;
    uint64_t target;
    bool conf_ready;
    uint64_t conf_index;
    struct raft_conf conf;
    bool read_waiting;
    bool hold;     /* apply nothing */
    bool held;     /* nothing is being applied, nor will be before replaced is set */
    bool replaced; /* the store has other tables now */
    bool stopping;
};

/* Takes event->memory. */
static void tell(struct apply *a, const struct apply_event *event)
{
    if (queue_push_wait(a->events, event) != SH_OK) {
        free(event->memory); /* stopped: nobody listens */
    }
}

static void fail(struct apply *a, enum sh_err err, const char *what)
{
    journal_error("applying the log: %s: %s", what, sh_err_text(err));
    tell(a, &(struct apply_event){.kind = APPLY_FAILED, .err = err});
}

static void advance(struct apply *a, uint64_t index)
{
    a->applied = index;
    atomic_store(&a->shown, index);
}

/* Applies one NORMAL entry; false: this program is too old to go on. */
static bool apply_normal(struct apply *a, const struct sh_table *table, const struct wal_entry *e,
                         struct jobs_result *result)
{
    *result = (struct jobs_result){0};
    if (e->bytes.size == 0) { /* a new term begins */
        return true;
    }
    struct jobs_entry entry = {.index = e->index, .term = e->term, .bytes = e->bytes};
    jobs_apply(a->jobs, table, &entry, result);
    return !result->halt;
}

/* Applies entries up to the first CONF entry (not included) in one write. Returns how many. */
static enum sh_err apply_run(struct apply *a, uint32_t count, uint32_t *taken)
{
    *taken = 0;
    while (*taken < count && a->entries[*taken].type == RAFT_ENTRY_NORMAL) {
        (*taken)++;
    }
    if (*taken == 0) {
        return SH_OK;
    }
    const struct sh_table *table = fsm_begin(a->config.fsm);
    for (uint32_t i = 0; i < *taken; i++) {
        if (!apply_normal(a, table, &a->entries[i], &a->results[i])) {
            fsm_abort(a->config.fsm);
            return a->results[i].err != SH_OK ? a->results[i].err : SH_ERR_CORRUPT;
        }
    }
    const struct wal_entry *last = &a->entries[*taken - 1];
    enum sh_err err =
        fsm_commit(a->config.fsm, last->index, last->term, 0, (struct sh_span){0}, false);
    if (err != SH_OK) {
        return err;
    }
    advance(a, last->index);
    a->config.on_applied(a->config.ctx, last->index, a->results, *taken);
    for (uint32_t i = 0; i < *taken; i++) {
        proposals_done(a->config.proposals, a->results[i].number, &a->results[i]);
    }
    return SH_OK;
}

/* Has the loop tell the core, then writes the configuration it answered with. */
static enum sh_err apply_conf_entry(struct apply *a, const struct wal_entry *e)
{
    if (e->bytes.size > RAFT_CHANGE_BYTES_MAX) {
        return SH_ERR_CORRUPT;
    }
    struct apply_event event = {
        .kind = APPLY_CONF, .index = e->index, .data_size = (uint32_t)e->bytes.size};
    if (e->bytes.size > 0) {
        memcpy(event.data, e->bytes.at, e->bytes.size);
    }
    tell(a, &event);
    SH_CHECK(pthread_mutex_lock(&a->lock) == 0);
    while (!a->stopping && !a->hold && !(a->conf_ready && a->conf_index == e->index)) {
        SH_CHECK(pthread_cond_wait(&a->wake, &a->lock) == 0);
    }
    /* On hold the core's configuration may be that of the snapshot already: not for these tables.
     */
    enum sh_err turn = a->hold ? SH_ERR_STALE : SH_OK;
    turn = a->stopping ? SH_ERR_CANCELLED : turn;
    struct raft_conf conf = a->conf;
    a->conf_ready = false;
    SH_CHECK(pthread_mutex_unlock(&a->lock) == 0);
    if (turn != SH_OK) {
        return turn;
    }
    SH_CHECK_CMP(e->index, ==, a->applied + 1);
    uint8_t bytes[RAFT_CONF_BYTES_MAX];
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    raft_conf_encode(&conf, &w);
    (void)fsm_begin(a->config.fsm);
    enum sh_err err = fsm_commit(a->config.fsm, e->index, e->term, e->index,
                                 (struct sh_span){.at = bytes, .size = w.used}, true);
    if (err == SH_OK) {
        advance(a, e->index);
        struct jobs_result none = {0};
        a->config.on_applied(a->config.ctx, e->index, &none, 0);
        tell(a, &(struct apply_event){.kind = APPLY_ADVANCED, .index = e->index});
    }
    return err;
}

/* Entries in one block that the loop frees. A failed read answers "no entries": the core then
 * wishes for a snapshot, is told that there is none, and asks again. */
static void serve_read(struct apply *a, const struct raft_log_read *read)
{
    struct apply_event event = {.kind = APPLY_LOG, .request = read->request};
    uint32_t max = read->max_count < APPLY_BATCH_ENTRIES ? read->max_count : APPLY_BATCH_ENTRIES;
    uint64_t bytes = read->max_bytes < READ_BUFFER_BYTES ? read->max_bytes : READ_BUFFER_BYTES;
    bytes = bytes < WAL_ENTRY_BYTES_MAX ? WAL_ENTRY_BYTES_MAX : bytes;
    size_t head = max * sizeof(struct raft_entry);
    uint8_t *memory = malloc(head + bytes);
    uint32_t count = 0;
    struct wal_entry *found = calloc(max, sizeof *found);
    if (memory != NULL && found != NULL &&
        wal_read(a->config.wal, read->from, read->from + max, found, max, memory + head, bytes,
                 &count) == SH_OK) {
        event.memory = memory;
        event.entries = (struct raft_entry *)(void *)memory;
        event.entry_count = count;
        for (uint32_t i = 0; i < count; i++) {
            event.entries[i] = (struct raft_entry){.term = found[i].term,
                                                   .index = found[i].index,
                                                   .type = (enum raft_entry_type)found[i].type,
                                                   .size = (uint32_t)found[i].bytes.size,
                                                   .data = found[i].bytes.at};
        }
    } else {
        free(memory);
    }
    free(found);
    tell(a, &event);
}

/* OK to go on; CANCELLED: the thread ends; STALE: other tables are coming. */
static enum sh_err may_go_on(struct apply *a)
{
    SH_CHECK(pthread_mutex_lock(&a->lock) == 0);
    enum sh_err err = a->hold ? SH_ERR_STALE : SH_OK;
    err = a->stopping ? SH_ERR_CANCELLED : err;
    SH_CHECK(pthread_mutex_unlock(&a->lock) == 0);
    return err;
}

static void serve_reads(struct apply *a)
{
    struct raft_log_read read;
    while (queue_pop(a->reads, &read)) {
        serve_read(a, &read);
    }
}

/* Reads are served between batches: what others wait for does not wait for a long catching up. */
static enum sh_err apply_up_to(struct apply *a, uint64_t target)
{
    while (a->applied < target) {
        uint32_t count = 0;
        serve_reads(a);
        enum sh_err err = may_go_on(a);
        if (err == SH_OK) {
            err = wal_read(a->config.wal, a->applied + 1, target + 1, a->entries,
                           APPLY_BATCH_ENTRIES, a->buffer, READ_BUFFER_BYTES, &count);
        }
        if (err != SH_OK) {
            return err;
        }
        SH_CHECK(count > 0);
        uint32_t at = 0;
        uint32_t taken = 0;
        err = apply_run(a, count, &taken);
        at += taken;
        if (err == SH_OK && at < count) {
            err = apply_conf_entry(a, &a->entries[at]);
        }
        if (err != SH_OK) {
            return err;
        }
    }
    if (!a->caught_up) { /* the only voter waits for it before it leads */
        a->caught_up = true;
        tell(a, &(struct apply_event){.kind = APPLY_ADVANCED, .index = a->applied});
    }
    return SH_OK;
}

/* The tables are those of a snapshot now. */
static enum sh_err go_on_from_snapshot(struct apply *a)
{
    enum sh_err err = fsm_switch(a->config.fsm, NULL);
    if (err == SH_OK) {
        advance(a, fsm_applied_index(a->config.fsm));
        a->config.on_applied(a->config.ctx, a->applied, NULL, 0);
        tell(a, &(struct apply_event){.kind = APPLY_ADVANCED, .index = a->applied});
    }
    return err;
}

struct task { /* what woke the thread */
    bool stopping;
    bool replaced;
    uint64_t target; /* applied already while on hold */
};

static struct task next_task(struct apply *a)
{
    SH_CHECK(pthread_mutex_lock(&a->lock) == 0);
    while (!a->stopping && !a->replaced && !a->read_waiting &&
           (a->hold || a->target <= a->applied)) {
        if (a->hold && !a->held) {
            a->held = true;
            SH_CHECK(pthread_cond_broadcast(&a->wake) == 0);
        }
        SH_CHECK(pthread_cond_wait(&a->wake, &a->lock) == 0);
    }
    struct task task = {.stopping = a->stopping,
                        .replaced = a->replaced,
                        .target = a->hold ? a->applied : a->target};
    a->read_waiting = false;
    if (a->replaced) {
        a->replaced = false;
        a->hold = false;
        a->held = false;
    }
    SH_CHECK(pthread_mutex_unlock(&a->lock) == 0);
    return task;
}

static void *run(void *arg)
{
    struct apply *a = arg;
    sh_thread_name("apply");
    for (;;) {
        struct task task = next_task(a);
        if (task.stopping) {
            return NULL;
        }
        serve_reads(a);
        enum sh_err err = task.replaced ? go_on_from_snapshot(a) : apply_up_to(a, task.target);
        if (err != SH_OK && err != SH_ERR_STALE) {
            if (err != SH_ERR_CANCELLED) {
                fail(a, err, err == SH_ERR_VERSION ? "an entry of a later program" : "the store");
            }
            return NULL;
        }
    }
}

enum sh_err apply_open(struct apply **out, const struct apply_config *config)
{
    struct apply *a = calloc(1, sizeof *a);
    if (a == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    a->config = *config;
    advance(a, config->applied);
    a->target = config->applied;
    a->buffer = malloc(READ_BUFFER_BYTES);
    size_t size = (jobs_bytes() + 63) & ~(size_t)63;
    a->jobs_memory = aligned_alloc(64, size);
    enum sh_err err = a->buffer == NULL || a->jobs_memory == NULL ? SH_ERR_NO_MEMORY : SH_OK;
    SH_CHECK(pthread_mutex_init(&a->lock, NULL) == 0);
    SH_CHECK(pthread_cond_init(&a->wake, NULL) == 0);
    if (err == SH_OK) {
        struct sh_arena arena;
        sh_arena_init(&arena, a->jobs_memory, size);
        a->jobs = jobs_init(&arena);
        err = queue_open(&a->events, EVENTS_MAX, sizeof(struct apply_event));
    }
    if (err == SH_OK) {
        err = queue_open(&a->reads, APPLY_READS_MAX, sizeof(struct raft_log_read));
    }
    if (err != SH_OK) {
        apply_close(a);
        return err;
    }
    *out = a;
    return SH_OK;
}

enum sh_err apply_start(struct apply *apply)
{
    if (pthread_create(&apply->thread, NULL, run, apply) != 0) {
        return SH_ERR_NO_MEMORY;
    }
    apply->running = true;
    return SH_OK;
}

void apply_stop(struct apply *apply)
{
    queue_stop(apply->events);
    SH_CHECK(pthread_mutex_lock(&apply->lock) == 0);
    apply->stopping = true;
    SH_CHECK(pthread_cond_broadcast(&apply->wake) == 0);
    SH_CHECK(pthread_mutex_unlock(&apply->lock) == 0);
    if (apply->running) {
        SH_CHECK(pthread_join(apply->thread, NULL) == 0);
        apply->running = false;
    }
}

void apply_close(struct apply *apply)
{
    if (apply == NULL) {
        return;
    }
    SH_CHECK(!apply->running);
    struct apply_event event;
    while (apply->events != NULL && queue_pop(apply->events, &event)) {
        free(event.memory);
    }
    queue_close(apply->events);
    queue_close(apply->reads);
    SH_CHECK(pthread_cond_destroy(&apply->wake) == 0);
    SH_CHECK(pthread_mutex_destroy(&apply->lock) == 0);
    free(apply->jobs_memory);
    free(apply->buffer);
    free(apply);
}

static void wake(struct apply *a)
{
    SH_CHECK(pthread_cond_broadcast(&a->wake) == 0);
    SH_CHECK(pthread_mutex_unlock(&a->lock) == 0);
}

void apply_commit(struct apply *apply, uint64_t apply_to)
{
    SH_CHECK(pthread_mutex_lock(&apply->lock) == 0);
    bool more = apply_to > apply->target;
    if (more) {
        apply->target = apply_to;
    }
    SH_CHECK(pthread_mutex_unlock(&apply->lock) == 0);
    if (more) { /* without the lock: whoever wakes wants it at once */
        SH_CHECK(pthread_cond_broadcast(&apply->wake) == 0);
    }
}

void apply_conf(struct apply *apply, uint64_t index, const struct raft_conf *conf)
{
    SH_CHECK(pthread_mutex_lock(&apply->lock) == 0);
    apply->conf_ready = true;
    apply->conf_index = index;
    apply->conf = *conf;
    wake(apply);
}

void apply_hold(struct apply *apply)
{
    SH_CHECK(pthread_mutex_lock(&apply->lock) == 0);
    apply->hold = true;
    SH_CHECK(pthread_cond_broadcast(&apply->wake) == 0);
    SH_CHECK(pthread_mutex_unlock(&apply->lock) == 0);
}

bool apply_await_held(struct apply *apply)
{
    SH_CHECK(pthread_mutex_lock(&apply->lock) == 0);
    while (!apply->held && !apply->stopping) {
        SH_CHECK(pthread_cond_wait(&apply->wake, &apply->lock) == 0);
    }
    bool held = apply->held && !apply->stopping;
    SH_CHECK(pthread_mutex_unlock(&apply->lock) == 0);
    return held;
}

void apply_resume(struct apply *apply)
{
    SH_CHECK(pthread_mutex_lock(&apply->lock) == 0);
    apply->replaced = true;
    SH_CHECK(pthread_cond_broadcast(&apply->wake) == 0);
    SH_CHECK(pthread_mutex_unlock(&apply->lock) == 0);
}

enum sh_err apply_log_read(struct apply *apply, const struct raft_log_read *read)
{
    enum sh_err err = queue_push(apply->reads, read);
    if (err == SH_OK) {
        SH_CHECK(pthread_mutex_lock(&apply->lock) == 0);
        apply->read_waiting = true;
        wake(apply);
    }
    return err;
}

uint64_t apply_index(const struct apply *apply)
{
    return atomic_load(&apply->shown);
}

struct queue *apply_event_queue(struct apply *apply)
{
    return apply->events;
}
