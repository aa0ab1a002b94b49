/* SPDX-License-Identifier: Apache-2.0 */
#include "herd.h"
#include "job_text.h"
#include "metrics.h"
#include "tst.h"

#include "base/host/host.h"
#include "base/rng.h"
#include "kernels/kn.h"
#include "spec/fileset.h"
#include "wire/frame.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SAMPLES = 320, FEATURES = 8, CLASSES = 3, THREADS = 2 };

static const char *const NAMES[HERD_AGENTS_MAX] = {"alpha",   "beta", "gamma", "delta",
                                                   "epsilon", "zeta", "eta",   "theta"};

/* Wide enough that a vector has several owners and a state several pieces. */
static const char LAYERS[] = "[{dense: 640}, relu, {dense: 128}, relu, {dense: 3}]";
static const char OPTIMIZER[] = "{sgd: {lr: 0.01, momentum: 0.9}}";

static void wake(void *ctx)
{
    train_wake(ctx);
}

void herd_start(struct herd *h, uint32_t agent)
{
    struct herd_agent *a = &h->agents[agent];
    char cache[256];
    (void)snprintf(cache, sizeof cache, "%s/cache%u", tst_dir(), agent);
    struct train_config config = {.s = a->s, .bulk = a->bulk, .threads = THREADS, .cache = cache};
    EXPECT(a->train == NULL);
    EXPECT_EQ(train_open(&a->train, &config), SH_OK);
    EXPECT_EQ(train_start(a->train), SH_OK);
    memory_bulk_start(a->bulk);
    memory_service_on_applied(a->s, wake, a->train);
    train_wake(a->train);
}

/* The bulk thread must not call a training that is gone. */
void herd_stop(struct herd *h, uint32_t agent)
{
    struct herd_agent *a = &h->agents[agent];
    memory_service_on_applied(a->s, NULL, NULL);
    train_stop(a->train);
    memory_bulk_close(a->bulk);
    train_close(a->train);
    a->train = NULL;
    a->bulk = memory_bulk_open(h->net, a->s);
}

void herd_open(struct herd *h, uint32_t agents, const struct memory_net_config *net)
{
    static const struct memory_net_config PLAIN = {.seed = 1};
    struct kn_diag diag;
    sh_host_init();
    EXPECT_EQ(kn_open(&diag), KN_OK);
    EXPECT(agents <= HERD_AGENTS_MAX);
    *h = (struct herd){.count = agents, .net = memory_net_open(net != NULL ? net : &PLAIN)};
    EXPECT(pthread_mutex_init(&h->lock, NULL) == 0);
    EXPECT(pthread_cond_init(&h->lost_changed, NULL) == 0);
    for (uint32_t i = 0; i < agents; i++) {
        struct herd_agent *a = &h->agents[i];
        a->s = i == 0 ? memory_service_open() : memory_service_join(h->agents[0].s, NAMES[i]);
        a->bulk = memory_bulk_open(h->net, a->s);
    }
    for (uint32_t i = 0; i < agents; i++) {
        herd_start(h, i);
    }
}

void herd_close(struct herd *h)
{
    for (uint32_t i = 0; i < h->count; i++) {
        if (h->agents[i].train != NULL) {
            herd_stop(h, i);
        }
        memory_bulk_close(h->agents[i].bulk);
    }
    for (uint32_t i = 0; i < h->count; i++) {
        memory_service_close(h->agents[i].s);
    }
    memory_net_close(h->net);
    EXPECT(pthread_cond_destroy(&h->lost_changed) == 0);
    EXPECT(pthread_mutex_destroy(&h->lock) == 0);
}

/* ---- jobs ---- */

static void write_table(const char *path, const struct herd_job *job)
{
    FILE *file = fopen(path, "w");
    struct sh_rng rng;
    sh_rng_init(&rng, 7);
    EXPECT(file != NULL);
    for (uint32_t i = 0; i < SAMPLES; i++) {
        uint32_t class = i % CLASSES;
        for (uint32_t k = 0; k < FEATURES; k++) {
            double noise = (double)sh_rng_below(&rng, 1000) / 500.0;
            double value = (k % CLASSES == class ? 2.0 : 0.0) + noise;
            if (job->text_cell && i == 100 && k == 3) {
                (void)fprintf(file, "much,");
            } else {
                (void)fprintf(file, "%.6g,", value);
            }
        }
        (void)fprintf(file, "%c\n", job->number ? "123"[class] : "abc"[class]);
    }
    EXPECT_EQ(fclose(file), 0);
}

static void upload_table(struct herd *h, const struct herd_job *job,
                         char hex[2 * SH_DIGEST_BYTES + 1])
{
    char path[256];
    char why[256];
    uint8_t *bytes = NULL;
    size_t size = 0;
    uint8_t digest[SH_DIGEST_BYTES];
    (void)snprintf(path, sizeof path, "%s/table.csv", tst_dir());
    write_table(path, job);
    EXPECT_EQ(spec_fileset_pack(path, SPEC_PACK_TRAIN, &bytes, &size, why, sizeof why), SH_OK);
    EXPECT_EQ(service_blob_put(h->agents[0].s, bytes, size, 1, digest, NULL, HERD_WAIT_US), SH_OK);
    sh_hex(hex, digest, sizeof digest);
    free(bytes);
}

static void submit_text(struct herd *h, const char *text)
{
    static struct jobs_cmd cmd;
    static struct spec_job job;
    struct jobs_result result;
    job_text_submit(text, &cmd, &job);
    struct jobs_submit *s = &cmd.u.submit;
    s->kind = WIRE_KIND_TRAIN;
    s->need = (struct wire_need){.ranks = (uint16_t)job.train.ranks,
                                 .agents_min = 1,
                                 .agents_max = HERD_AGENTS_MAX,
                                 .arithmetic = WIRE_ARITHMETIC_SAME};
    s->reproducible = job.reproducible;
    s->units = 1;
    s->checkpoint_keep = 3;
    memory_service_apply(h->agents[0].s, &cmd, &result);
    h->job = result.unit.job;
}

void herd_submit(struct herd *h, const struct herd_job *job)
{
    char hex[2 * SH_DIGEST_BYTES + 1];
    char text[2048];
    upload_table(h, job, hex);
    (void)snprintf(text, sizeof text,
                   "api: shoal/v1\nkind: train\nname: table\n"
                   "data: {train: \"files:%s\", validation: 0.1, test: \"files:%s\"}\n"
                   "model: {input: [8], layers: %s}\n"
                   "train: {optimizer: %s, batch: 64, ranks: 8, epochs: %u, seed: %u%s%s%s%s%s}\n"
                   "checkpoint: {every_steps: %u, keep: 3}\n",
                   hex, hex, job->layers != NULL ? job->layers : LAYERS,
                   job->optimizer != NULL ? job->optimizer : OPTIMIZER,
                   job->epochs > 0 ? job->epochs : 3, job->seed > 0 ? job->seed : 1,
                   job->number ? ", loss: mse" : "", job->local != NULL ? ", local: " : "",
                   job->local != NULL ? job->local : "", job->wire != NULL ? ", wire: " : "",
                   job->wire != NULL ? job->wire : "",
                   job->checkpoint_every > 0 ? job->checkpoint_every : 1000);
    submit_text(h, text);
}

struct wire_fence herd_place(struct herd *h, const uint32_t *agents, uint32_t count,
                             enum wire_cause cause)
{
    struct service *list[HERD_AGENTS_MAX];
    for (uint32_t i = 0; i < count; i++) {
        list[i] = h->agents[agents[i]].s;
    }
    return memory_service_place_gang(h->agents[0].s, h->job, list, count, cause);
}

void herd_ask_to_stop(struct herd *h)
{
    struct jobs_cmd cmd = {.type = JOBS_STOP};
    struct jobs_result result;
    cmd.u.stop.job = h->job;
    memory_service_apply(h->agents[0].s, &cmd, &result);
}

void herd_add_checkpoint(struct herd *h, const char *bytes)
{
    struct service *stranger = memory_service_join(h->agents[0].s, "stranger");
    struct service_status status;
    struct jobs_result result;
    struct jobs_cmd cmd = {.type = JOBS_CHECKPOINT};
    struct jobs_checkpoint_add *c = &cmd.u.checkpoint;
    c->unit = (struct wire_unit){.job = h->job};
    c->fence = memory_service_place_gang(h->agents[0].s, h->job, &stranger, 1, WIRE_CAUSE_PLACED);
    c->step = 7;
    c->holder_count = 1;
    service_status(stranger, &status);
    memcpy(c->holders[0], status.node_id, sizeof c->holders[0]);
    EXPECT_EQ(service_blob_put(stranger, bytes, strlen(bytes), 1, c->manifest, NULL, HERD_WAIT_US),
              SH_OK);
    memory_service_apply(stranger, &cmd, &result);
    memory_service_close(stranger);
}

/* ---- looking ---- */

void herd_unit(struct herd *h, struct jobs_unit *unit)
{
    struct service_view *view;
    EXPECT_EQ(service_view_open(h->agents[0].s, &view), SH_OK);
    struct wire_unit id = {.job = h->job};
    EXPECT_EQ(jobs_unit_get(service_view_table(view), id, unit), SH_OK);
    service_view_close(view);
}

void herd_job(struct herd *h, struct jobs_job *job)
{
    struct service_view *view;
    EXPECT_EQ(service_view_open(h->agents[0].s, &view), SH_OK);
    EXPECT_EQ(jobs_job_get(service_view_table(view), h->job, job), SH_OK);
    service_view_close(view);
}

void herd_note_lost(struct herd *h, struct wire_fence fence,
                    const uint8_t lost[static SH_NODE_ID_BYTES])
{
    EXPECT(pthread_mutex_lock(&h->lock) == 0);
    h->lost_fence = fence;
    memcpy(h->lost, lost, sizeof h->lost);
    EXPECT(pthread_cond_broadcast(&h->lost_changed) == 0);
    EXPECT(pthread_mutex_unlock(&h->lock) == 0);
}

void herd_await_lost(struct herd *h, struct wire_fence fence, uint32_t agent)
{
    struct service_status status;
    struct timespec until;
    service_status(h->agents[agent].s, &status);
    EXPECT(clock_gettime(CLOCK_REALTIME, &until) == 0);
    until.tv_sec += 30;
    EXPECT(pthread_mutex_lock(&h->lock) == 0);
    while (!wire_fence_equal(h->lost_fence, fence) ||
           memcmp(h->lost, status.node_id, sizeof h->lost) != 0) {
        EXPECT(pthread_cond_timedwait(&h->lost_changed, &h->lock, &until) == 0);
    }
    EXPECT(pthread_mutex_unlock(&h->lock) == 0);
}

static uint64_t applied(struct herd *h)
{
    struct service_status status;
    service_status(h->agents[0].s, &status);
    return status.applied_index;
}

void herd_await_end(struct herd *h, struct jobs_unit *unit)
{
    uint64_t until = sh_now_us() + HERD_WAIT_US;
    for (;;) {
        uint64_t index = applied(h);
        herd_unit(h, unit);
        if (jobs_state_final(unit->state)) {
            return;
        }
        if (sh_now_us() > until) {
            tst_fail(__FILE__, __LINE__, "the unit is still %s", jobs_state_name(unit->state));
        }
        (void)service_wait_applied(h->agents[0].s, index, 1000000);
    }
}

void herd_give_way(struct herd *h, struct jobs_unit *unit)
{
    struct jobs_cmd cmd = {.type = JOBS_EXPIRE};
    struct jobs_result result;
    uint64_t until = sh_now_us() + HERD_WAIT_US;
    herd_unit(h, unit);
    cmd.u.expire = (struct jobs_expire){.unit = unit->id,
                                        .fence = unit->placement.fence,
                                        .cause = WIRE_CAUSE_PREEMPTED,
                                        .grace_us = HERD_WAIT_US};
    memory_service_apply(h->agents[0].s, &cmd, &result);
    EXPECT_EQ(result.err, SH_OK);
    while (unit->state != JOBS_WAITING) {
        uint64_t index = applied(h);
        herd_unit(h, unit);
        EXPECT(!jobs_state_final(unit->state));
        EXPECT(sh_now_us() < until);
        if (unit->state != JOBS_WAITING) {
            (void)service_wait_applied(h->agents[0].s, index, 1000000);
        }
    }
}

void herd_await_checkpoint(struct herd *h, uint64_t step)
{
    uint64_t until = sh_now_us() + HERD_WAIT_US;
    struct jobs_unit unit;
    for (;;) {
        uint64_t index = applied(h);
        herd_unit(h, &unit);
        if (unit.checkpoint_step >= step) {
            return;
        }
        EXPECT(!jobs_state_final(unit.state));
        EXPECT(sh_now_us() < until);
        (void)service_wait_applied(h->agents[0].s, index, 1000000);
    }
}

static struct service_newest newest(struct herd *h, const char *name)
{
    struct service_newest found;
    EXPECT_EQ(service_series_newest(h->agents[0].s, h->job, &name, 1, &found, 1000000), SH_OK);
    return found;
}

uint64_t herd_step(struct herd *h)
{
    struct service_newest found = newest(h, METRIC_LOSS);
    return found.known ? found.point.step : 0;
}

/* One turn of waiting for something that only a job under way can show. */
static void await_more(struct herd *h, uint64_t until_us)
{
    struct jobs_unit unit;
    herd_unit(h, &unit);
    EXPECT(!jobs_state_final(unit.state));
    EXPECT(sh_now_us() < until_us);
    (void)memory_net_wait(h->net, FRAME_TRAIN_HELLO, 1, 50000); /* one that is alone hears none */
}

void herd_await_step(struct herd *h, uint64_t step)
{
    uint64_t until = sh_now_us() + HERD_WAIT_US;
    while (herd_step(h) < step) {
        await_more(h, until);
    }
}

void herd_await_company(struct herd *h, uint32_t agents)
{
    uint64_t until = sh_now_us() + HERD_WAIT_US;
    struct service_newest found = newest(h, METRIC_AGENTS);
    while (!found.known || fabs(found.point.value - agents) > 0.5) {
        await_more(h, until);
        found = newest(h, METRIC_AGENTS);
    }
}

void herd_await_log(struct herd *h, const char *text)
{
    uint64_t until = sh_now_us() + HERD_WAIT_US;
    while (!herd_logged(h, text)) {
        await_more(h, until);
    }
}

uint32_t herd_points(struct herd *h, const char *name, struct service_point *out, uint32_t max)
{
    size_t count = 0;
    EXPECT_EQ(service_series_read(h->agents[0].s, h->job, name, 0, out, max, &count, 1000000),
              SH_OK);
    return (uint32_t)count;
}

uint32_t herd_lines(struct herd *h, const char *text)
{
    enum { LINES = 512 };
    struct service_log_line *lines = calloc(LINES, sizeof *lines);
    struct service_log_want want = {.before = UINT64_MAX, .unit = SERVICE_LINE_ALL};
    size_t count = 0;
    uint32_t found = 0;
    EXPECT(lines != NULL);
    EXPECT_EQ(service_log_read(h->agents[0].s, h->job, &want, lines, LINES, &count, 1000000),
              SH_OK);
    for (size_t i = 0; i < count; i++) {
        found += strstr(lines[i].text, text) != NULL ? 1 : 0;
    }
    free(lines);
    return found;
}

bool herd_logged(struct herd *h, const char *text)
{
    return herd_lines(h, text) > 0;
}

void herd_run(uint32_t agents, const struct memory_net_config *net, const struct herd_job *job,
              struct jobs_unit *unit)
{
    struct herd h;
    uint32_t all[HERD_AGENTS_MAX];
    for (uint32_t i = 0; i < HERD_AGENTS_MAX; i++) {
        all[i] = i;
    }
    herd_open(&h, agents, net);
    herd_submit(&h, job);
    (void)herd_place(&h, all, agents, WIRE_CAUSE_PLACED);
    herd_await_end(&h, unit);
    herd_close(&h);
}

void herd_reference(const struct herd_job *job, struct jobs_unit *unit)
{
    herd_run(1, NULL, job, unit);
    EXPECT_EQ(unit->state, JOBS_COMPLETED);
}

void herd_expect_same(const struct jobs_unit *a, const struct jobs_unit *b)
{
    EXPECT_EQ(a->state, JOBS_COMPLETED);
    EXPECT_MEM(a->outcome.model, b->outcome.model, SH_DIGEST_BYTES);
    EXPECT_MEM(a->outcome.state, b->outcome.state, SH_DIGEST_BYTES);
    EXPECT_MEM(a->outcome.file, b->outcome.file, SH_DIGEST_BYTES);
    EXPECT_MEM(&a->outcome.metrics, &b->outcome.metrics, sizeof a->outcome.metrics);
    EXPECT_EQ(a->outcome.steps, b->outcome.steps);
}
