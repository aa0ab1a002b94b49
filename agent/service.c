/* SPDX-License-Identifier: Apache-2.0 */
#include "service.h"

#include "housekeeping.h"
#include "loop.h"
#include "parts.h"
#include "planner.h"
#include "records.h"
#include "train/train.h"
#include "vitals.h"

#include "base/host/host.h"
#include "jobs/view.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RETRY_US UINT64_C(100000) /* of a question to a coordinator that is not one yet */

struct service_view {
    struct fsm_view *fsm;
};

void service_status(struct service *s, struct service_status *out)
{
    struct replica_status status;
    loop_replica_status(s->loop, &status);
    *out = (struct service_status){.raft_handle = status.raft.id,
                                   .term = status.raft.term,
                                   .leader_known = status.leader_known,
                                   .commit_index = status.raft.commit,
                                   .leaderless_us = status.leaderless_us,
                                   .election_us = status.raft.election,
                                   .silence_us = status.silence_us,
                                   .log_first = status.raft.first_index,
                                   .log_last = status.raft.last_index,
                                   .snapshots = status.snapshots,
                                   .fetched_bytes = blobs_fetched_bytes(s->blobs),
                                   .uptime_us = sh_now_us() - s->start_us};
    memcpy(out->cluster_id, s->trust.cluster, SH_CLUSTER_ID_BYTES);
    memcpy(out->node_id, s->trust.node, SH_NODE_ID_BYTES);
    memcpy(out->leader_id, status.leader, SH_NODE_ID_BYTES);
    (void)snprintf(out->name, sizeof out->name, "%s", s->options->name);
    if (status.dormant || !status.raft.promotable) {
        out->role = SERVICE_LEARNER;
    } else if (status.raft.role == RAFT_LEADER) {
        out->role = SERVICE_LEADER;
    } else {
        out->role = status.raft.role == RAFT_FOLLOWER ? SERVICE_FOLLOWER : SERVICE_CANDIDATE;
    }
    struct fsm_view *view;
    if (fsm_view_open(s->fsm, &view) == SH_OK) {
        out->applied_index = fsm_view_index(view);
        out->state_digest = jobs_digest(fsm_view_table(view));
        fsm_view_close(view);
    }
}

size_t service_members(struct service *s, struct service_member *out, size_t capacity)
{
    return members_list(s->members, out, capacity);
}

/* ---- writing ---- */

enum sh_err service_send(void *ctx, uint8_t *envelope, size_t size)
{
    struct service *s = ctx;
    return loop_post_proposal(s->loop, envelope, size);
}

enum sh_err service_late(void *ctx)
{
    struct service *s = ctx;
    struct replica_status status;
    loop_replica_status(s->loop, &status);
    return status.leader_known ? SH_ERR_TIMEOUT : SH_ERR_NO_QUORUM;
}

/* One command and the session it needs. */
struct delivery {
    struct service *s;
    struct sh_span command;
    uint64_t deadline_us;
    uint64_t session;
    service_proposed_fn fn;
    void *ctx;
    size_t open_size;
    uint8_t open[128]; /* the command that opens a session, where there is none */
};

static void end_delivery(struct delivery *d, enum sh_err err, const struct jobs_result *result)
{
    service_proposed_fn fn = d->fn;
    void *ctx = d->ctx;
    free(d);
    fn(ctx, err, result);
}

static enum sh_err deliver(struct delivery *d);

static void go_on(struct delivery *d)
{
    enum sh_err err = deliver(d);
    if (err != SH_OK) {
        end_delivery(d, err, NULL);
    }
}

static void on_session(void *ctx, enum sh_err err, const struct jobs_result *result, unsigned sends)
{
    struct delivery *d = ctx;
    (void)sends;
    if (err != SH_OK) {
        end_delivery(d, err, NULL);
        return;
    }
    atomic_store(&d->s->session, result->handle);
    go_on(d);
}

/* A command that was sent once and met an expired session was not applied and never will be, so it
 * is delivered again in another one. Sent more often, another entry of it may have been applied
 * where this agent could not see it, in a snapshot: then nobody knows. */
static void on_delivered(void *ctx, enum sh_err err, const struct jobs_result *result,
                         unsigned sends)
{
    struct delivery *d = ctx;
    if (result == NULL || result->code != JOBS_CODE_SESSION_UNKNOWN) {
        end_delivery(d, err, result);
        return;
    }
    uint64_t session = d->session;
    (void)atomic_compare_exchange_strong(&d->s->session, &session, 0);
    if (sends > 1) {
        end_delivery(d, SH_ERR_TIMEOUT, NULL);
    } else {
        go_on(d);
    }
}

static enum sh_err encode_open(struct delivery *d)
{
    struct sh_writer w = sh_writer_over(d->open, sizeof d->open);
    struct jobs_cmd *cmd = calloc(1, sizeof *cmd);
    if (cmd == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    cmd->type = JOBS_SESSION_OPEN;
    cmd->u.session_open.life = d->s->life;
    memcpy(cmd->u.session_open.node, d->s->trust.node, SH_NODE_ID_BYTES);
    enum sh_err err = jobs_cmd_encode(cmd, &w);
    free(cmd);
    d->open_size = w.used;
    return err;
}

/* Begins the next proposal of d, which is given unless this fails. Several may open a session at
 * once: one life of an agent has one. */
static enum sh_err deliver(struct delivery *d)
{
    struct service *s = d->s;
    uint64_t now = sh_now_us();
    if (now >= d->deadline_us) {
        return service_late(s);
    }
    d->session = atomic_load(&s->session);
    if (d->session != 0) {
        return proposals_begin(s->proposals, d->session, d->command, d->deadline_us - now,
                               on_delivered, d);
    }
    enum sh_err err = encode_open(d);
    struct sh_span open = {.at = d->open, .size = d->open_size};
    return err != SH_OK
               ? err
               : proposals_begin(s->proposals, 0, open, d->deadline_us - now, on_session, d);
}

enum sh_err service_propose_begin(struct service *s, const void *command, size_t size,
                                  uint64_t timeout_us, service_proposed_fn fn, void *ctx)
{
    if (size == 0 || size > JOBS_CMD_BYTES_MAX) {
        return SH_ERR_INVALID;
    }
    struct delivery *d = malloc(sizeof *d);
    if (d == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    *d = (struct delivery){.s = s,
                           .command = {.at = command, .size = size},
                           .deadline_us = sh_now_us() + timeout_us,
                           .fn = fn,
                           .ctx = ctx};
    enum sh_err err = deliver(d);
    if (err != SH_OK) {
        free(d);
    }
    return err;
}

/* Who waits in service_propose. */
struct proposer {
    pthread_mutex_t lock; /* what follows */
    pthread_cond_t changed;
    bool done;
    enum sh_err err;
    struct jobs_result *out;
};

static void wake_proposer(void *ctx, enum sh_err err, const struct jobs_result *result)
{
    struct proposer *w = ctx;
    SH_CHECK(pthread_mutex_lock(&w->lock) == 0);
    w->done = true;
    w->err = err;
    if (result != NULL) {
        *w->out = *result;
    }
    SH_CHECK(pthread_cond_signal(&w->changed) == 0);
    SH_CHECK(pthread_mutex_unlock(&w->lock) == 0);
}

enum sh_err service_propose(struct service *s, const void *command, size_t size,
                            uint64_t timeout_us, struct jobs_result *out)
{
    struct proposer w = {.out = out};
    SH_CHECK(pthread_mutex_init(&w.lock, NULL) == 0);
    SH_CHECK(pthread_cond_init(&w.changed, NULL) == 0);
    enum sh_err err = service_propose_begin(s, command, size, timeout_us, wake_proposer, &w);
    if (err == SH_OK) { /* proposals keep the deadline */
        SH_CHECK(pthread_mutex_lock(&w.lock) == 0);
        while (!w.done) {
            SH_CHECK(pthread_cond_wait(&w.changed, &w.lock) == 0);
        }
        err = w.err;
        SH_CHECK(pthread_mutex_unlock(&w.lock) == 0);
    }
    SH_CHECK(pthread_cond_destroy(&w.changed) == 0);
    SH_CHECK(pthread_mutex_destroy(&w.lock) == 0);
    return err;
}

void service_on_applied(void *ctx, uint64_t index, const struct jobs_result *results,
                        uint32_t count)
{
    struct service *s = ctx;
    bool nodes_changed = results == NULL;
    bool changed = results == NULL;
    bool units_changed = results == NULL;
    for (uint32_t i = 0; i < count; i++) {
        bool good = results[i].err == SH_OK && results[i].type != 0 && !results[i].duplicate;
        nodes_changed = nodes_changed || results[i].nodes_changed;
        changed = changed || good;
        units_changed = units_changed || (good && results[i].type != JOBS_SUBMIT);
    }
    struct fsm_view *view;
    if (nodes_changed && fsm_view_open(s->fsm, &view) == SH_OK) {
        service_learn_nodes(s, fsm_view_table(view));
        fsm_view_close(view);
        vitals_wake(s->vitals);
    }
    SH_CHECK(pthread_mutex_lock(&s->lock) == 0);
    s->applied_index = index;
    SH_CHECK(pthread_cond_broadcast(&s->applied_more) == 0);
    SH_CHECK(pthread_mutex_unlock(&s->lock) == 0);
    if (changed) { /* what is refused over and over must not make the planner propose at once */
        planner_tables_changed(s->planner, !units_changed);
    }
    if (units_changed) { /* nobody works on a job that is only submitted */
        train_wake(s->train);
    }
}

void service_learn_nodes(struct service *s, const struct sh_table *table)
{
    struct jobs_node rows[64];
    uint32_t count = 0;
    const uint8_t *after = NULL;
    uint8_t last[SH_NODE_ID_BYTES];
    do {
        if (jobs_node_list(table, after, rows, SH_COUNT(rows), &count) != SH_OK) {
            return; /* a damaged row stops the apply thread with its own words */
        }
        for (uint32_t i = 0; i < count; i++) {
            loop_post_node(s->loop, rows[i].handle, rows[i].id, rows[i].addr, rows[i].bulk_port);
            memcpy(last, rows[i].id, SH_NODE_ID_BYTES);
            after = last;
        }
    } while (count == SH_COUNT(rows));
}

/* ---- reading ---- */

void service_ask_read(void *ctx, uint64_t number)
{
    struct service *s = ctx;
    loop_post_read(s->loop, number);
}

enum sh_err service_read(struct service *s, uint64_t timeout_us)
{
    uint64_t deadline = sh_now_us() + timeout_us;
    uint64_t index = 0;
    enum sh_err err = reads_wait(s->reads, timeout_us, &index);
    uint64_t now = sh_now_us();
    uint64_t left = now < deadline ? deadline - now : 0;
    if (err == SH_OK && index > 0 && service_wait_applied(s, index - 1, left) < index) {
        err = SH_ERR_TIMEOUT;
    }
    struct replica_status status;
    if (err == SH_ERR_TIMEOUT) {
        loop_replica_status(s->loop, &status);
        err = status.leader_known ? SH_ERR_TIMEOUT : SH_ERR_NO_QUORUM;
    }
    return err;
}

uint64_t service_age_us(struct service *s, uint64_t applied)
{
    return reads_age_us(s->reads, applied);
}

enum sh_err service_view_open(struct service *s, struct service_view **out)
{
    struct service_view *view = malloc(sizeof *view);
    if (view == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    enum sh_err err = fsm_view_open(s->fsm, &view->fsm);
    if (err != SH_OK) {
        free(view);
        return err;
    }
    *out = view;
    return SH_OK;
}

const struct sh_table *service_view_table(const struct service_view *view)
{
    return fsm_view_table(view->fsm);
}

uint64_t service_view_index(const struct service_view *view)
{
    return fsm_view_index(view->fsm);
}

void service_view_close(struct service_view *view)
{
    fsm_view_close(view->fsm);
    free(view);
}

uint64_t service_wait_applied(struct service *s, uint64_t index, uint64_t timeout_us)
{
    struct timespec until;
    SH_CHECK(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    uint64_t ns = (uint64_t)until.tv_nsec + timeout_us % 1000000u * 1000u;
    until.tv_sec += (time_t)(timeout_us / 1000000u + ns / 1000000000u);
    until.tv_nsec = (long)(ns % 1000000000u);
    SH_CHECK(pthread_mutex_lock(&s->lock) == 0);
    while (s->applied_index <= index && !atomic_load(&s->ending)) {
        if (pthread_cond_timedwait(&s->applied_more, &s->lock, &until) == ETIMEDOUT) {
            break;
        }
    }
    uint64_t applied = s->applied_index;
    SH_CHECK(pthread_mutex_unlock(&s->lock) == 0);
    return applied;
}

void service_end_waits(struct service *s)
{
    SH_CHECK(pthread_mutex_lock(&s->lock) == 0);
    atomic_store(&s->ending, true);
    SH_CHECK(pthread_cond_broadcast(&s->applied_more) == 0);
    SH_CHECK(pthread_mutex_unlock(&s->lock) == 0);
}

bool service_is_stopping(struct service *s)
{
    return atomic_load(&s->ending);
}

/* ---- questions to the coordinator ---- */

/* Waits for a coordinator within the deadline; the loop announces a new one as a change of members.
 */
static enum sh_err ask_leader(struct service *s, enum service_call_kind kind, const void *request,
                              size_t size, uint8_t *reply, size_t capacity, size_t *reply_size,
                              uint64_t timeout_us)
{
    uint64_t deadline = sh_now_us() + timeout_us;
    for (;;) {
        struct replica_status status;
        uint64_t seen = members_version(s->members);
        uint64_t now = sh_now_us();
        uint64_t left = now < deadline ? deadline - now : 0;
        enum sh_err err = SH_ERR_NO_QUORUM;
        *reply_size = 0;
        loop_replica_status(s->loop, &status);
        if (status.leader_known) {
            err = calls_ask(s->calls, CALLS_CONTROL, status.leader, kind, request, size, reply,
                            capacity, reply_size, left);
        }
        bool again =
            err == SH_ERR_NO_QUORUM || err == SH_ERR_NOT_LEADER || err == SH_ERR_UNREACHABLE;
        if (!again || left == 0 || calls_stopped(s->calls)) {
            return err == SH_ERR_NOT_LEADER ? SH_ERR_NO_QUORUM : err;
        }
        (void)members_wait(s->members, seen, left < RETRY_US ? left : RETRY_US);
    }
}

enum sh_err service_why(struct service *s, uint64_t job, char *out, size_t size,
                        uint64_t timeout_us)
{
    uint8_t request[8];
    struct sh_writer w = sh_writer_over(request, sizeof request);
    size_t got = 0;
    SH_CHECK(size > 0);
    sh_put_u64(&w, job);
    uint8_t *reply = malloc(CALLS_REPLY_MAX);
    if (reply == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    enum sh_err err =
        ask_leader(s, SERVICE_CALL_WHY, request, w.used, reply, CALLS_REPLY_MAX, &got, timeout_us);
    if (err == SH_OK) {
        got = got < size - 1 ? got : size - 1;
        memcpy(out, reply, got);
        out[got] = '\0';
    }
    free(reply);
    return err;
}

enum sh_err service_report_lost(struct service *s, struct wire_unit unit, struct wire_fence fence,
                                const uint8_t lost[SH_NODE_ID_BYTES], uint64_t timeout_us)
{
    uint8_t request[128];
    uint8_t reply[1];
    size_t got = 0;
    struct sh_writer w = sh_writer_over(request, sizeof request);
    wire_unit_put(&w, unit);
    wire_fence_put(&w, fence);
    sh_put_bytes(&w, s->trust.node, SH_NODE_ID_BYTES);
    sh_put_bytes(&w, lost, SH_NODE_ID_BYTES);
    SH_CHECK(!w.full);
    return ask_leader(s, SERVICE_CALL_LOST, request, w.used, reply, sizeof reply, &got, timeout_us);
}

void service_on_call(struct service *s, enum service_call_kind kind, service_call_fn fn, void *ctx)
{
    calls_on(s->calls, kind, fn, ctx);
}

enum sh_err service_call(struct service *s, const uint8_t node[SH_NODE_ID_BYTES],
                         enum service_call_kind kind, const void *request, size_t size,
                         uint8_t *reply, size_t capacity, size_t *reply_size, uint64_t timeout_us)
{
    enum calls_plane plane = kind == SERVICE_CALL_BLOB ? CALLS_BULK : CALLS_CONTROL;
    return calls_ask(s->calls, plane, node, kind, request, size, reply, capacity, reply_size,
                     timeout_us);
}

/* ---- blobs ---- */

enum sh_err service_blob_put(struct service *s, const void *bytes, size_t size, unsigned copies,
                             uint8_t digest[SH_DIGEST_BYTES], struct service_holders *holders,
                             uint64_t timeout_us)
{
    struct blob_id id;
    enum sh_err err = blobs_put(s->blobs, bytes, size, copies, &id, holders, timeout_us);
    if (err == SH_OK) {
        memcpy(digest, id.digest, SH_DIGEST_BYTES);
    }
    return err;
}

enum sh_err service_blob_put_patient(struct service *s, const void *bytes, size_t size,
                                     unsigned copies, uint8_t digest[SH_DIGEST_BYTES],
                                     struct service_holders *holders,
                                     const struct service_patience *patience)
{
    struct blob_id id;
    enum sh_err err = blobs_put_patient(s->blobs, bytes, size, copies, &id, holders, patience);
    if (err == SH_OK) {
        memcpy(digest, id.digest, SH_DIGEST_BYTES);
    }
    return err;
}

static struct blob_id id_of(const uint8_t digest[SH_DIGEST_BYTES])
{
    struct blob_id id;
    memcpy(id.digest, digest, SH_DIGEST_BYTES);
    return id;
}

enum sh_err service_blob_upload(struct service *s, const void *bytes, size_t size,
                                uint8_t digest[SH_DIGEST_BYTES], uint64_t timeout_us)
{
    struct blob_id id;
    enum sh_err err = blobs_upload(s->blobs, bytes, size, SERVICE_UPLOAD_COPIES,
                                   s->options->keep_uploads_us, &id, timeout_us);
    if (err == SH_OK) {
        memcpy(digest, id.digest, SH_DIGEST_BYTES);
    }
    return err;
}

enum sh_err service_blob_holders(struct service *s, const uint8_t digest[SH_DIGEST_BYTES],
                                 struct service_holders *out, uint64_t timeout_us)
{
    struct blob_id id = id_of(digest);
    uint8_t alive[BLOBS_HOLDERS_MAX][SH_NODE_ID_BYTES];
    size_t count = members_alive(s->members, alive, SH_COUNT(alive));
    bool has = false;
    out->count = 0;
    enum sh_err err = blob_has(s->blob, &id, &has);
    if (err == SH_OK && has) {
        memcpy(out->ids[out->count++], s->trust.node, SH_NODE_ID_BYTES);
    }
    for (size_t i = 0; err == SH_OK && i < count && out->count < SH_COUNT(out->ids); i++) {
        /* Who does not answer is not listed. */
        if (blobs_ask_held(s->blobs, alive[i], &id, 1, &has, timeout_us / (count + 1)) == SH_OK &&
            has) {
            memcpy(out->ids[out->count++], alive[i], SH_NODE_ID_BYTES);
        }
    }
    return err;
}

void service_garbage_last(struct service *s, struct service_garbage *out)
{
    housekeeping_last(s->housekeeping, out);
}

enum sh_err service_blob_fetch(struct service *s, const uint8_t digest[SH_DIGEST_BYTES],
                               uint64_t *size, uint64_t timeout_us)
{
    struct blob_id id = id_of(digest);
    return blobs_fetch(s->blobs, &id, size, timeout_us);
}

enum sh_err service_blob_fetch_patient(struct service *s, const uint8_t digest[SH_DIGEST_BYTES],
                                       uint64_t *size, const struct service_patience *patience)
{
    struct blob_id id = id_of(digest);
    return blobs_fetch_patient(s->blobs, &id, size, patience);
}

enum sh_err service_blob_read(struct service *s, const uint8_t digest[SH_DIGEST_BYTES],
                              uint64_t offset, void *out, size_t capacity, size_t *read_size)
{
    struct blob_id id = id_of(digest);
    struct blob_reader *reader;
    *read_size = 0;
    enum sh_err err = blob_read_open(s->blob, &id, &reader);
    if (err == SH_OK) {
        err = blob_read(reader, offset, out, capacity, read_size);
        blob_read_close(reader);
    }
    return err;
}

/* ---- records ---- */

void service_series_append(struct service *s, uint64_t job, const struct service_measure *measures,
                           size_t count)
{
    records_points(s->records, job, measures, count);
}

void service_log_append(struct service *s, uint64_t job, const struct service_log_line *lines,
                        size_t count)
{
    records_lines(s->records, job, lines, count);
}

enum sh_err service_records_settle(struct service *s, uint64_t timeout_us)
{
    return records_settle(s->records, timeout_us);
}

enum sh_err service_series_read(struct service *s, uint64_t job, const char *name, uint64_t from,
                                struct service_point *out, size_t capacity, size_t *count,
                                uint64_t timeout_us)
{
    return records_read_points(s->records, job, name, from, out, capacity, count, timeout_us);
}

enum sh_err service_series_newest(struct service *s, uint64_t job, const char *const *names,
                                  size_t count, struct service_newest *out, uint64_t timeout_us)
{
    return records_newest(s->records, job, names, count, out, timeout_us);
}

enum sh_err service_log_read(struct service *s, uint64_t job, const struct service_log_want *want,
                             struct service_log_line *out, size_t capacity, size_t *count,
                             uint64_t timeout_us)
{
    return records_read_lines(s->records, job, want, out, capacity, count, timeout_us);
}

enum sh_err service_series_names(struct service *s, uint64_t job, struct service_series_name *out,
                                 size_t capacity, size_t *count, uint64_t timeout_us)
{
    return records_names(s->records, job, out, capacity, count, timeout_us);
}

enum sh_err service_dataset_path(struct service *s, const char *name, char *path, size_t size)
{
    struct fsm_view *view;
    struct jobs_dataset_holder holder;
    enum sh_err err = fsm_view_open(s->fsm, &view);
    if (err != SH_OK) {
        return err;
    }
    err = jobs_dataset_holder_get(fsm_view_table(view), name, s->trust.node, &holder);
    fsm_view_close(view);
    if (err == SH_OK && strlen(holder.path) >= size) {
        return SH_ERR_LIMIT;
    }
    if (err == SH_OK) {
        (void)snprintf(path, size, "%s", holder.path);
    }
    return err;
}

enum sh_err service_scratch(struct service *s, char *path, size_t size)
{
    char cache[DIR_PATH_MAX + 1];
    dir_entry(s->dir, "cache", cache);
    int n = snprintf(path, size, "%s/%016llx", cache, (unsigned long long)sh_random_u64());
    return n > 0 && (size_t)n < size ? SH_OK : SH_ERR_LIMIT;
}
