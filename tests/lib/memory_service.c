/* SPDX-License-Identifier: Apache-2.0 */
#include "memory_inside.h"

#include "base/host/host.h"
#include "jobs/view.h"
#include "store/kv_mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TERM 3u

struct service_view {
    struct fsm_view *view;
};

void memory_service_measures(struct service *s, const struct jobs_metrics *measures)
{
    s->c->measures = *measures;
}

/* With the lock held. */
static enum sh_err apply(struct service *s, const void *bytes, size_t size, struct jobs_result *out)
{
    uint8_t *copy = malloc(size);
    SH_CHECK(copy != NULL);
    memcpy(copy, bytes, size);
    SH_CHECK(jobs_cmd_stamp(copy, size, sh_wall_us()));
    s->c->index++;
    struct jobs_entry entry = {
        .index = s->c->index, .term = TERM, .bytes = {.at = copy, .size = size}};
    jobs_apply(s->c->jobs, fsm_begin(s->c->fsm), &entry, out);
    memory_must(fsm_commit(s->c->fsm, s->c->index, TERM, 0, KV_ALL, false));
    free(copy);
    (void)pthread_cond_broadcast(&s->c->applied_changed);
    for (uint32_t i = 0; i < s->c->agent_count; i++) {
        struct service *agent = s->c->agents[i];
        if (agent != NULL && agent->applied != NULL) {
            agent->applied(agent->applied_ctx);
        }
    }
    return out->err;
}

void memory_service_apply(struct service *s, struct jobs_cmd *cmd, struct jobs_result *result)
{
    uint8_t *bytes = malloc(JOBS_CMD_BYTES_MAX);
    struct sh_writer w = sh_writer_over(bytes, JOBS_CMD_BYTES_MAX);
    memory_must(jobs_cmd_encode(cmd, &w));
    (void)pthread_mutex_lock(&s->c->lock);
    memory_must(apply(s, bytes, w.used, result));
    (void)pthread_mutex_unlock(&s->c->lock);
    free(bytes);
}

static struct cluster *open_cluster(void)
{
    static const struct kv_cf CFS[CF_COUNT] = {
        {"fsm", KV_CF_ROWS}, {"blob", KV_CF_LARGE}, {"series", KV_CF_SMALL}};
    struct cluster *c = calloc(1, sizeof *c);
    SH_CHECK(c != NULL);
    (void)pthread_mutex_init(&c->lock, NULL);
    (void)pthread_cond_init(&c->applied_changed, NULL);
    c->quorum = true;
    c->measures = (struct jobs_metrics){.test_correct = 98, .test_total = 100, .train_loss = 0.5};
    memory_must(kv_mem_open(CFS, CF_COUNT, &c->kv));
    memory_must(fsm_open(c->kv, CF_FSM, NULL, &c->fsm, NULL));
    memory_must(blob_open(c->kv, CF_BLOB, &c->blob));
    c->series = (struct series){.kv = c->kv, .cf = CF_SERIES};
    size_t bytes = (jobs_bytes() + 63) / 64 * 64;
    c->memory = aligned_alloc(64, bytes);
    SH_CHECK(c->memory != NULL);
    sh_arena_init(&c->arena, c->memory, bytes);
    c->jobs = jobs_init(&c->arena);
    return c;
}

static void close_cluster(struct cluster *c)
{
    blob_close(c->blob);
    fsm_close(c->fsm);
    kv_close(c->kv);
    free(c->memory);
    (void)pthread_cond_destroy(&c->applied_changed);
    (void)pthread_mutex_destroy(&c->lock);
    free(c);
}

static struct service *join_cluster(struct cluster *c, const char *name)
{
    struct service *s = calloc(1, sizeof *s);
    SH_CHECK(s != NULL);
    s->c = c;
    (void)snprintf(s->name, sizeof s->name, "%s", name);
    (void)pthread_mutex_lock(&c->lock);
    SH_CHECK_CMP(c->agent_count, <, MEMORY_SERVICE_AGENTS_MAX);
    uint32_t number = c->agent_count++;
    memset(s->node_id, (int)(0x11 * (number + 1)), sizeof s->node_id);
    c->agents[number] = s;
    (void)pthread_mutex_unlock(&c->lock);
    struct jobs_cmd cmd = {.type = JOBS_NODE_ADMIT};
    struct jobs_result result;
    memcpy(cmd.u.node_admit.node, s->node_id, sizeof s->node_id);
    (void)snprintf(cmd.u.node_admit.name, sizeof cmd.u.node_admit.name, "%s", name);
    (void)snprintf(cmd.u.node_admit.addr, sizeof cmd.u.node_admit.addr, "127.0.0.1:%u",
                   7711 + number);
    memory_service_apply(s, &cmd, &result);
    return s;
}

struct service *memory_service_open(void)
{
    return join_cluster(open_cluster(), "alpha");
}

struct service *memory_service_join(struct service *s, const char *name)
{
    return join_cluster(s->c, name);
}

void memory_service_close(struct service *s)
{
    struct cluster *c = s->c;
    uint32_t left = 0;
    (void)pthread_mutex_lock(&c->lock);
    for (uint32_t i = 0; i < c->agent_count; i++) {
        c->agents[i] = c->agents[i] == s ? NULL : c->agents[i];
        left += c->agents[i] != NULL ? 1 : 0;
    }
    (void)pthread_mutex_unlock(&c->lock);
    free(s);
    if (left == 0) {
        close_cluster(c);
    }
}

void memory_service_on_applied(struct service *s, memory_service_applied_fn fn, void *ctx)
{
    (void)pthread_mutex_lock(&s->c->lock);
    s->applied = fn;
    s->applied_ctx = ctx;
    (void)pthread_mutex_unlock(&s->c->lock);
}

void memory_service_on_lost(struct service *s, memory_service_lost_fn fn, void *ctx)
{
    (void)pthread_mutex_lock(&s->c->lock);
    s->lost = fn;
    s->lost_ctx = ctx;
    (void)pthread_mutex_unlock(&s->c->lock);
}

void memory_service_quorum(struct service *s, bool on)
{
    (void)pthread_mutex_lock(&s->c->lock);
    s->c->quorum = on;
    (void)pthread_mutex_unlock(&s->c->lock);
}

void memory_service_fetch_error(struct service *s, const uint8_t digest[SH_DIGEST_BYTES],
                                enum sh_err err)
{
    (void)pthread_mutex_lock(&s->c->lock);
    memcpy(s->c->faulty, digest, SH_DIGEST_BYTES);
    s->c->fetch_error = err;
    (void)pthread_mutex_unlock(&s->c->lock);
}

void memory_service_blob_error(struct service *s, enum sh_err err)
{
    (void)pthread_mutex_lock(&s->c->lock);
    s->c->blob_error = err;
    (void)pthread_mutex_unlock(&s->c->lock);
}

void memory_service_why(struct service *s, const char *text)
{
    (void)snprintf(s->c->why, sizeof s->c->why, "%s", text);
}

static void read_unit(struct service *s, uint64_t job, struct jobs_unit *unit, struct jobs_job *row)
{
    struct service_view *view = NULL;
    memory_must(service_view_open(s, &view));
    struct wire_unit id = {.job = job, .unit = 0};
    memory_must(jobs_unit_get(service_view_table(view), id, unit));
    memory_must(jobs_job_get(service_view_table(view), job, row));
    service_view_close(view);
}

struct wire_fence memory_service_place_gang(struct service *s, uint64_t job,
                                            struct service *const *agents, uint32_t count,
                                            enum wire_cause cause)
{
    struct jobs_unit unit;
    struct jobs_job row;
    struct jobs_result result;
    read_unit(s, job, &unit, &row);
    struct jobs_cmd cmd = {.type = JOBS_PLACE};
    cmd.u.place.unit = unit.id;
    cmd.u.place.previous = unit.placement.fence;
    cmd.u.place.cause = cause;
    cmd.u.place.member_count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct wire_member *m = &cmd.u.place.members[i];
        memcpy(m->node, agents[i]->node_id, sizeof m->node);
        m->rank_lo = (uint16_t)(row.need.ranks * i / count);
        m->rank_hi = (uint16_t)(row.need.ranks * (i + 1) / count);
    }
    memory_service_apply(s, &cmd, &result);
    return result.fence;
}

struct wire_fence memory_service_place(struct service *s, uint64_t job)
{
    return memory_service_place_gang(s, job, &s, 1, WIRE_CAUSE_PLACED);
}

static void commit_file(struct service *s, uint64_t job, struct wire_fence fence, const void *file,
                        size_t size, bool partial)
{
    struct jobs_result result;
    struct jobs_cmd cmd = {.type = JOBS_COMMIT};
    struct jobs_commit *commit = &cmd.u.commit;
    commit->partial = partial;
    commit->unit = (struct wire_unit){.job = job, .unit = 0};
    commit->fence = fence;
    if (file != NULL) {
        memory_must(service_blob_put(s, file, size, 1, commit->outcome.file, NULL, 0));
        memset(commit->outcome.model, 0xaa, sizeof commit->outcome.model);
        memset(commit->outcome.state, 0xbb, sizeof commit->outcome.state);
        commit->outcome.steps = 40;
        commit->outcome.metrics = s->c->measures;
        commit->holder_count = 1;
        memcpy(commit->holders[0], s->node_id, sizeof s->node_id);
    }
    memory_service_apply(s, &cmd, &result);
}

void memory_service_commit(struct service *s, uint64_t job, struct wire_fence fence,
                           const void *file, size_t size)
{
    commit_file(s, job, fence, file, size, false);
}

void memory_service_stop(struct service *s, uint64_t job, struct wire_fence fence, const void *file,
                         size_t size)
{
    struct jobs_result result;
    struct jobs_cmd cmd = {.type = JOBS_STOP, .u.stop.job = job};
    memory_service_apply(s, &cmd, &result);
    commit_file(s, job, fence, file, size, true);
}

void service_status(struct service *s, struct service_status *out)
{
    memset(out, 0, sizeof *out);
    (void)pthread_mutex_lock(&s->c->lock);
    memset(out->cluster_id, 0xc1, sizeof out->cluster_id);
    memcpy(out->node_id, s->node_id, sizeof out->node_id);
    (void)snprintf(out->name, sizeof out->name, "%s", s->name);
    out->role = s->c->quorum ? SERVICE_LEADER : SERVICE_CANDIDATE;
    out->raft_handle = 1;
    out->term = TERM;
    out->leader_known = s->c->quorum;
    memcpy(out->leader_id, s->node_id, sizeof out->leader_id);
    out->commit_index = s->c->index;
    out->applied_index = s->c->index;
    out->uptime_us = 1000000;
    (void)pthread_mutex_unlock(&s->c->lock);
}

static void fill_member(const struct service *s, struct service_member *out)
{
    *out = (struct service_member){.liveness = SERVICE_ALIVE, .voter = true};
    memcpy(out->node.id, s->node_id, sizeof out->node.id);
    (void)snprintf(out->node.name, sizeof out->node.name, "%s", s->name);
    (void)snprintf(out->node.addr, sizeof out->node.addr, "127.0.0.1:7711");
    (void)snprintf(out->node.version, sizeof out->node.version, "0.1.0");
    (void)snprintf(out->node.isa, sizeof out->node.isa, "avx2");
    out->node.cpus = 2;
    out->node.ram_bytes = UINT64_C(8) << 30;
    out->node.slots = 1;
    (void)snprintf(out->node.labels, sizeof out->node.labels, "disk=nvme,fast,room=basement");
    out->node.sandbox = WIRE_SANDBOX_STRICT;
    out->node.run_as = 60600;
}

size_t service_members(struct service *s, struct service_member *out, size_t capacity)
{
    size_t count = 0;
    (void)pthread_mutex_lock(&s->c->lock);
    for (uint32_t i = 0; i < MEMORY_SERVICE_AGENTS_MAX && count < capacity; i++) {
        if (s->c->agents[i] != NULL) {
            fill_member(s->c->agents[i], &out[count++]);
        }
    }
    (void)pthread_mutex_unlock(&s->c->lock);
    return count;
}

enum sh_err service_propose(struct service *s, const void *command, size_t size,
                            uint64_t timeout_us, struct jobs_result *out)
{
    (void)timeout_us;
    (void)pthread_mutex_lock(&s->c->lock);
    enum sh_err err = s->c->quorum ? apply(s, command, size, out) : SH_ERR_NO_QUORUM;
    (void)pthread_mutex_unlock(&s->c->lock);
    return err;
}

static void end_proposal(struct service *s, const struct held *h)
{
    struct jobs_result result;
    (void)pthread_mutex_lock(&s->c->lock);
    bool quorum = s->c->quorum;
    enum sh_err err = quorum ? apply(s, h->command, h->size, &result) : SH_ERR_NO_QUORUM;
    (void)pthread_mutex_unlock(&s->c->lock);
    h->fn(h->ctx, err, quorum ? &result : NULL);
}

enum sh_err service_propose_begin(struct service *s, const void *command, size_t size,
                                  uint64_t timeout_us, service_proposed_fn fn, void *ctx)
{
    struct held held = {.command = command, .size = size, .fn = fn, .ctx = ctx};
    (void)timeout_us;
    (void)pthread_mutex_lock(&s->c->lock);
    bool full = s->c->holding && s->c->held_count == MEMORY_SERVICE_HELD_MAX;
    bool kept = s->c->holding && !full;
    if (kept) {
        s->c->held[s->c->held_count++] = held;
        (void)pthread_cond_broadcast(&s->c->applied_changed);
    }
    (void)pthread_mutex_unlock(&s->c->lock);
    if (!kept && !full) {
        end_proposal(s, &held);
    }
    return full ? SH_ERR_FULL : SH_OK;
}

void memory_service_hold(struct service *s)
{
    (void)pthread_mutex_lock(&s->c->lock);
    s->c->holding = true;
    (void)pthread_mutex_unlock(&s->c->lock);
}

void memory_service_await_held(struct service *s, uint32_t count)
{
    (void)pthread_mutex_lock(&s->c->lock);
    while (s->c->held_count < count) {
        (void)pthread_cond_wait(&s->c->applied_changed, &s->c->lock);
    }
    (void)pthread_mutex_unlock(&s->c->lock);
}

void memory_service_let_go(struct service *s)
{
    (void)pthread_mutex_lock(&s->c->lock);
    uint32_t count = s->c->held_count;
    s->c->holding = false;
    s->c->held_count = 0;
    (void)pthread_mutex_unlock(&s->c->lock);
    for (uint32_t i = 0; i < count; i++) {
        end_proposal(s, &s->c->held[i]);
    }
}

enum sh_err service_read(struct service *s, uint64_t timeout_us)
{
    (void)timeout_us;
    (void)pthread_mutex_lock(&s->c->lock);
    bool quorum = s->c->quorum;
    (void)pthread_mutex_unlock(&s->c->lock);
    return quorum ? SH_OK : SH_ERR_NO_QUORUM;
}

uint64_t service_age_us(struct service *s, uint64_t applied)
{
    (void)applied;
    return service_read(s, 0) == SH_OK ? 0 : UINT64_MAX;
}

enum sh_err service_view_open(struct service *s, struct service_view **out)
{
    struct service_view *view = calloc(1, sizeof *view);
    if (view == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    enum sh_err err = fsm_view_open(s->c->fsm, &view->view);
    if (err != SH_OK) {
        free(view);
        return err;
    }
    *out = view;
    return SH_OK;
}

const struct sh_table *service_view_table(const struct service_view *view)
{
    return fsm_view_table(view->view);
}

uint64_t service_view_index(const struct service_view *view)
{
    return fsm_view_index(view->view);
}

void service_view_close(struct service_view *view)
{
    fsm_view_close(view->view);
    free(view);
}

bool service_is_stopping(struct service *s)
{
    (void)s;
    return false;
}

uint64_t service_wait_applied(struct service *s, uint64_t index, uint64_t timeout_us)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    uint64_t us = (uint64_t)until.tv_nsec / 1000 + timeout_us;
    until.tv_sec += (time_t)(us / 1000000);
    until.tv_nsec = (long)(us % 1000000) * 1000;
    (void)pthread_mutex_lock(&s->c->lock);
    int waited = 0;
    while (s->c->index <= index && waited == 0) {
        waited = pthread_cond_timedwait(&s->c->applied_changed, &s->c->lock, &until);
    }
    uint64_t now = s->c->index;
    (void)pthread_mutex_unlock(&s->c->lock);
    return now;
}

enum sh_err service_why(struct service *s, uint64_t job, char *out, size_t size,
                        uint64_t timeout_us)
{
    (void)job;
    (void)timeout_us;
    (void)snprintf(out, size, "%s", s->c->why);
    return SH_OK;
}

void service_on_call(struct service *s, enum service_call_kind kind, service_call_fn fn, void *ctx)
{
    s->calls[kind].fn = fn;
    s->calls[kind].ctx = ctx;
}

enum sh_err service_call(struct service *s, const uint8_t node[SH_NODE_ID_BYTES],
                         enum service_call_kind kind, const void *request, size_t size,
                         uint8_t *reply, size_t capacity, size_t *reply_size, uint64_t timeout_us)
{
    (void)timeout_us;
    struct service *to = NULL;
    (void)pthread_mutex_lock(&s->c->lock);
    for (uint32_t i = 0; i < s->c->agent_count; i++) {
        struct service *agent = s->c->agents[i];
        bool same = agent != NULL && memcmp(node, agent->node_id, SH_NODE_ID_BYTES) == 0;
        to = same ? agent : to;
    }
    (void)pthread_mutex_unlock(&s->c->lock);
    if (to == NULL || to->calls[kind].fn == NULL) {
        return SH_ERR_UNREACHABLE;
    }
    struct sh_span span = {.at = request, .size = size};
    return to->calls[kind].fn(to->calls[kind].ctx, span, reply, capacity, reply_size);
}

enum sh_err service_blob_put(struct service *s, const void *bytes, size_t size, unsigned copies,
                             uint8_t digest[SH_DIGEST_BYTES], struct service_holders *holders,
                             uint64_t timeout_us)
{
    (void)copies;
    (void)timeout_us;
    (void)pthread_mutex_lock(&s->c->lock);
    enum sh_err err = s->c->blob_error;
    s->c->blob_error = SH_OK;
    (void)pthread_mutex_unlock(&s->c->lock);
    struct blob_id id;
    if (err == SH_OK) {
        err = blob_put(s->c->blob, bytes, size, &id);
    }
    if (err == SH_OK) {
        memcpy(digest, id.digest, SH_DIGEST_BYTES);
    }
    if (err == SH_OK && holders != NULL) {
        holders->count = 1;
        memcpy(holders->ids[0], s->node_id, SH_NODE_ID_BYTES);
    }
    return err;
}

enum sh_err service_blob_put_patient(struct service *s, const void *bytes, size_t size,
                                     unsigned copies, uint8_t digest[SH_DIGEST_BYTES],
                                     struct service_holders *holders,
                                     const struct service_patience *patience)
{
    return service_blob_put(s, bytes, size, copies, digest, holders, patience->quiet_us);
}

enum sh_err service_blob_upload(struct service *s, const void *bytes, size_t size,
                                uint8_t digest[SH_DIGEST_BYTES], uint64_t timeout_us)
{
    return service_blob_put(s, bytes, size, SERVICE_UPLOAD_COPIES, digest, NULL, timeout_us);
}

enum sh_err service_blob_holders(struct service *s, const uint8_t digest[SH_DIGEST_BYTES],
                                 struct service_holders *out, uint64_t timeout_us)
{
    uint64_t size = 0;
    enum sh_err err = service_blob_fetch(s, digest, &size, timeout_us);
    out->count = err == SH_OK;
    memcpy(out->ids[0], s->node_id, SH_NODE_ID_BYTES);
    return err == SH_ERR_NOT_FOUND ? SH_OK : err;
}

/* Nothing is collected here. */
enum sh_err service_collect(struct service *s, const uint8_t node[SH_NODE_ID_BYTES], bool go,
                            struct service_garbage *out, uint64_t timeout_us)
{
    (void)s;
    (void)node;
    (void)go;
    (void)timeout_us;
    *out = (struct service_garbage){.at_us = 1};
    return SH_OK;
}

void service_garbage_last(struct service *s, struct service_garbage *out)
{
    (void)s;
    *out = (struct service_garbage){.at_us = 0};
}

enum sh_err service_blob_fetch(struct service *s, const uint8_t digest[SH_DIGEST_BYTES],
                               uint64_t *size, uint64_t timeout_us)
{
    (void)timeout_us;
    struct blob_id id;
    memcpy(id.digest, digest, sizeof id.digest);
    (void)pthread_mutex_lock(&s->c->lock);
    bool faulty = memcmp(s->c->faulty, digest, SH_DIGEST_BYTES) == 0;
    enum sh_err err = faulty ? s->c->fetch_error : SH_OK;
    (void)pthread_mutex_unlock(&s->c->lock);
    return err != SH_OK ? err : blob_size(s->c->blob, &id, size);
}

enum sh_err service_blob_fetch_patient(struct service *s, const uint8_t digest[SH_DIGEST_BYTES],
                                       uint64_t *size, const struct service_patience *patience)
{
    return service_blob_fetch(s, digest, size, patience->quiet_us);
}

enum sh_err service_blob_read(struct service *s, const uint8_t digest[SH_DIGEST_BYTES],
                              uint64_t offset, void *out, size_t capacity, size_t *read_size)
{
    struct blob_id id;
    struct blob_reader *reader = NULL;
    memcpy(id.digest, digest, sizeof id.digest);
    enum sh_err err = blob_read_open(s->c->blob, &id, &reader);
    if (err == SH_OK) {
        err = blob_read(reader, offset, out, capacity, read_size);
        blob_read_close(reader);
    }
    return err;
}

enum sh_err service_backup(struct service *s, const char *dir, struct service_backup *out,
                           char *why, size_t size)
{
    (void)s;
    *out = (struct service_backup){.index = 7, .bytes = 4096};
    if (strcmp(dir, "/full") == 0) {
        (void)snprintf(why, size, "%s is not empty", dir);
        return SH_ERR_EXISTS;
    }
    return SH_OK;
}

enum sh_err service_scratch(struct service *s, char *path, size_t size)
{
    const char *folder = getenv("TMPDIR");
    (void)s;
    int n = snprintf(path, size, "%s/%016llx", folder != NULL ? folder : "/tmp",
                     (unsigned long long)sh_random_u64());
    return n > 0 && (size_t)n < size ? SH_OK : SH_ERR_LIMIT;
}

enum sh_err service_dataset_path(struct service *s, const char *name, char *path, size_t size)
{
    struct jobs_dataset_holder holder;
    struct service_view *view;
    memory_must(service_view_open(s, &view));
    enum sh_err err = jobs_dataset_holder_get(service_view_table(view), name, s->node_id, &holder);
    service_view_close(view);
    if (err == SH_OK) {
        (void)snprintf(path, size, "%s", holder.path);
    }
    return err;
}

enum sh_err service_report_lost(struct service *s, struct wire_unit unit, struct wire_fence fence,
                                const uint8_t lost[SH_NODE_ID_BYTES], uint64_t timeout_us)
{
    (void)timeout_us;
    (void)pthread_mutex_lock(&s->c->lock);
    memory_service_lost_fn fn = s->lost;
    void *ctx = s->lost_ctx;
    (void)pthread_mutex_unlock(&s->c->lock);
    if (fn != NULL) {
        fn(ctx, unit, fence, lost);
    }
    return SH_OK;
}
