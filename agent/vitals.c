/* SPDX-License-Identifier: Apache-2.0 */
#include "vitals.h"

#include "inventory.h"
#include "journal.h"
#include "parts.h"
#include "selftest.h"

#include "base/host/host.h"
#include "exec/usage.h"
#include "jobs/view.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TELL_US UINT64_C(10000000) /* for the cluster to hear how a self-test came out */

struct vitals {
    struct service *s;
    pthread_t thread;
    bool running;

    pthread_mutex_t lock; /* state, awake, stopping */
    pthread_cond_t changed;
    struct vitals_state state;
    bool awake;
    bool stopping;

    /* The thread's own. */
    struct inventory_load load;
    uint64_t measured_us;
};

/* ---- measuring ---- */

static uint16_t minute_of_day(void)
{
    time_t now = (time_t)(sh_wall_us() / 1000000);
    struct tm local;
    return localtime_r(&now, &local) != NULL ? (uint16_t)(60 * local.tm_hour + local.tm_min) : 0;
}

static void measure(struct vitals *v)
{
    const struct policy_rules *rules = &v->s->options->policy;
    struct vitals_state now = {.load_milli = inventory_load(&v->load),
                               .disk_bytes = exec_usage_free(dir_path(v->s->dir))};
    struct policy_state state = {.load_milli = now.load_milli, .minute = minute_of_day()};
    state.battery = rules->mains && policy_on_battery(POLICY_SUPPLIES);
    now.policy = policy_judge(rules, &state, v->state.policy);
    bool differs = now.policy != v->state.policy;
    SH_CHECK(pthread_mutex_lock(&v->lock) == 0);
    v->state = now;
    SH_CHECK(pthread_mutex_unlock(&v->lock) == 0);
    if (differs && now.policy != WIRE_POLICY_NONE) {
        journal_info("takes no new work by its owner's policy: %s",
                     wire_policy_text((uint32_t)now.policy));
    } else if (differs) {
        journal_info("takes work again");
    }
    v->measured_us = sh_now_us();
}

/* ---- the self-test ---- */

/* The cluster waits for it. */
static bool is_asked(struct vitals *v, uint64_t *cluster_us)
{
    struct fsm_view *view = NULL;
    struct jobs_health health;
    struct jobs_counts counts;
    if (fsm_view_open(v->s->fsm, &view) != SH_OK) {
        return false;
    }
    const struct sh_table *table = fsm_view_table(view);
    bool known = jobs_counts_get(table, &counts) == SH_OK &&
                 jobs_health_get(table, v->s->trust.node, &health) == SH_OK;
    /* The coordinator stamps the answer: it judges by that time. */
    uint64_t wall_us = sh_wall_us();
    *cluster_us = known ? counts.stamp_us : 0;
    uint64_t now_us = wall_us > *cluster_us ? wall_us : *cluster_us;
    fsm_view_close(view);
    return known && jobs_health_untested(&health, now_us);
}

static void test(struct vitals *v)
{
    char why[SELFTEST_WHY_BYTES];
    uint64_t cluster_us = 0;
    if (!is_asked(v, &cluster_us)) {
        return;
    }
    enum sh_err err = selftest_run(v->s->dir, cluster_us, why);
    if (err == SH_OK) {
        journal_info("the self-test after the quarantine passed: on trial now");
    } else {
        journal_error("the self-test after the quarantine failed: %s", why);
    }
    struct jobs_cmd cmd = {.type = JOBS_NODE_MARK};
    struct jobs_result result;
    uint8_t bytes[64];
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    memcpy(cmd.u.node_mark.node, v->s->trust.node, SH_NODE_ID_BYTES);
    cmd.u.node_mark.mark = err == SH_OK ? JOBS_MARK_FIT : JOBS_MARK_UNFIT;
    SH_CHECK(jobs_cmd_encode(&cmd, &w) == SH_OK);
    /* Not told: the cluster still waits, and the next look finds that out. */
    SH_MAY_FAIL(service_propose(v->s, bytes, w.used, TELL_US, &result));
}

/* ---- the thread ---- */

static bool wait_for_work(struct vitals *v)
{
    uint64_t until_us = v->measured_us + VITALS_EVERY_US;
    struct timespec until = {.tv_sec = (time_t)(until_us / 1000000u),
                             .tv_nsec = (long)(until_us % 1000000u * 1000u)};
    int err = 0;
    SH_CHECK(pthread_mutex_lock(&v->lock) == 0);
    while (!v->stopping && !v->awake && err == 0) {
        err = pthread_cond_timedwait(&v->changed, &v->lock, &until);
        SH_CHECK(err == 0 || err == ETIMEDOUT);
    }
    v->awake = false;
    bool go_on = !v->stopping;
    SH_CHECK(pthread_mutex_unlock(&v->lock) == 0);
    return go_on;
}

static void *run(void *arg)
{
    struct vitals *v = arg;
    sh_thread_name("vitals");
    while (wait_for_work(v)) {
        if (sh_now_us() >= v->measured_us + VITALS_EVERY_US) {
            measure(v);
        }
        test(v);
    }
    return NULL;
}

enum sh_err vitals_open(struct vitals **out, struct service *s)
{
    struct vitals *v = calloc(1, sizeof *v);
    pthread_condattr_t attr;
    if (v == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    v->s = s;
    SH_CHECK(pthread_condattr_init(&attr) == 0);
    SH_CHECK(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    SH_CHECK(pthread_mutex_init(&v->lock, NULL) == 0);
    SH_CHECK(pthread_cond_init(&v->changed, &attr) == 0);
    SH_CHECK(pthread_condattr_destroy(&attr) == 0);
    measure(v);
    s->self.disk_bytes = v->state.disk_bytes;
    s->self.policy = v->state.policy;
    *out = v;
    return SH_OK;
}

enum sh_err vitals_start(struct vitals *v)
{
    if (pthread_create(&v->thread, NULL, run, v) != 0) {
        return SH_ERR_NO_MEMORY;
    }
    v->running = true;
    return SH_OK;
}

void vitals_stop(struct vitals *v)
{
    SH_CHECK(pthread_mutex_lock(&v->lock) == 0);
    v->stopping = true;
    SH_CHECK(pthread_cond_broadcast(&v->changed) == 0);
    SH_CHECK(pthread_mutex_unlock(&v->lock) == 0);
    if (v->running) {
        SH_CHECK(pthread_join(v->thread, NULL) == 0);
        v->running = false;
    }
}

void vitals_close(struct vitals *v)
{
    if (v != NULL) {
        SH_CHECK(!v->running);
        SH_CHECK(pthread_cond_destroy(&v->changed) == 0);
        SH_CHECK(pthread_mutex_destroy(&v->lock) == 0);
        free(v);
    }
}

void vitals_read(struct vitals *v, struct vitals_state *out)
{
    SH_CHECK(pthread_mutex_lock(&v->lock) == 0);
    *out = v->state;
    SH_CHECK(pthread_mutex_unlock(&v->lock) == 0);
}

void vitals_wake(struct vitals *v)
{
    SH_CHECK(pthread_mutex_lock(&v->lock) == 0);
    v->awake = true;
    SH_CHECK(pthread_cond_broadcast(&v->changed) == 0);
    SH_CHECK(pthread_mutex_unlock(&v->lock) == 0);
}
