/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/watch.h"

#include "base/host/host.h"
#include "exec/usage.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#define EAGER_US   (EXEC_SAMPLE_US / 10u)
#define COST_TIMES 25u /* a look of 4 ms is followed by at least 100 ms without one */
#define REST_TIMES 10u /* but by no more than ten times the usual: meanwhile nobody looks */
#define GROWTH     16u /* processes more than at the look before: perhaps a bomb */

void exec_watch_start(struct exec_watch *watch, const struct exec_limits *limits, const char *dir,
                      pid_t root, uint64_t now_us)
{
    *watch = (struct exec_watch){.limits = limits, .dir = dir, .root = root};
    watch->tree_at_us = now_us + EAGER_US;
    watch->disk_at_us = now_us + EAGER_US;
}

void exec_watch_end(struct exec_watch *watch)
{
    exec_tree_close(&watch->tree);
}

uint64_t exec_watch_next(const struct exec_watch *watch)
{
    return watch->tree_at_us < watch->disk_at_us ? watch->tree_at_us : watch->disk_at_us;
}

/* By this thread's own time: on a machine that a bomb keeps busy a look takes long, and is cheap.
 */
static uint64_t spent_us(void)
{
    struct timespec now;
    SH_CHECK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static uint64_t pause_after(uint64_t before_us, uint64_t usual_us)
{
    const uint64_t most = usual_us * REST_TIMES;
    uint64_t rest = (spent_us() - before_us) * COST_TIMES;
    rest = rest < most ? rest : most;
    return sh_now_us() + (rest > usual_us ? rest : usual_us);
}

static enum exec_cause look_at_tree(struct exec_watch *watch, uint64_t *usual_us, char *text)
{
    const struct exec_limits *limits = watch->limits;
    if (exec_tree_read(&watch->tree, watch->root) != SH_OK) {
        return EXEC_OK; /* for want of memory: the next look may do better */
    }
    const uint64_t rss = exec_tree_rss(&watch->tree);
    const uint32_t tasks = exec_tree_threads(&watch->tree);
    const uint64_t most = (uint64_t)limits->tasks + watch->tasks_extra;
    const bool growing = tasks > watch->tasks_before + GROWTH;
    const bool near = (limits->memory_bytes > 0 && rss > limits->memory_bytes / 2) ||
                      (limits->tasks > 0 && tasks > most / 2);
    watch->tasks_before = tasks;
    *usual_us = near || growing ? EAGER_US : EXEC_SAMPLE_US;
    watch->peak_bytes = rss > watch->peak_bytes ? rss : watch->peak_bytes;
    if (limits->tasks > 0 && tasks > most) {
        (void)snprintf(text, EXEC_TEXT_BYTES,
                       "%" PRIu32 " processes and threads, %" PRIu32 " are allowed", tasks,
                       limits->tasks);
        return EXEC_TASKS;
    }
    if (limits->memory_bytes == 0 || rss <= limits->memory_bytes) {
        return EXEC_OK;
    }
    /* RSS counts what processes share once each: sure is only this, which takes longer. */
    const uint64_t pss = exec_tree_pss(&watch->tree);
    if (pss <= limits->memory_bytes) {
        return EXEC_OK;
    }
    (void)snprintf(text, EXEC_TEXT_BYTES,
                   "%" PRIu64 " MiB of memory in use, %" PRIu64 " MiB are allowed", pss >> 20,
                   limits->memory_bytes >> 20);
    return EXEC_OOM;
}

static enum exec_cause look_at_disk(const struct exec_watch *watch, uint64_t *usual_us, char *text)
{
    const struct exec_limits *limits = watch->limits;
    const uint64_t free_bytes = exec_usage_free(watch->dir);
    if (limits->disk_free_bytes > 0 && free_bytes < limits->disk_free_bytes) {
        (void)snprintf(text, EXEC_TEXT_BYTES,
                       "%" PRIu64 " MiB left on the disk, %" PRIu64 " MiB have to stay free",
                       free_bytes >> 20, limits->disk_free_bytes >> 20);
        return EXEC_DISK;
    }
    struct exec_usage usage;
    if (limits->disk_bytes == 0 || exec_usage_of(watch->dir, &usage) != SH_OK) {
        return EXEC_OK;
    }
    *usual_us = usage.bytes > limits->disk_bytes / 2 ? EAGER_US : EXEC_SAMPLE_US;
    if (usage.cut) {
        (void)snprintf(text, EXEC_TEXT_BYTES,
                       "more than %" PRIu64 " files in the working directory, or too deep ones",
                       usage.files);
        return EXEC_DISK;
    }
    if (usage.bytes > limits->disk_bytes) {
        (void)snprintf(text, EXEC_TEXT_BYTES,
                       "%" PRIu64 " MiB in the working directory, %" PRIu64 " MiB are allowed",
                       usage.bytes >> 20, limits->disk_bytes >> 20);
        return EXEC_DISK;
    }
    return EXEC_OK;
}

enum exec_cause exec_watch_look(struct exec_watch *watch, uint64_t now_us, char *text)
{
    enum exec_cause cause = EXEC_OK;
    uint64_t usual_us = EXEC_SAMPLE_US;
    if (now_us >= watch->tree_at_us) {
        const uint64_t before_us = spent_us();
        cause = look_at_tree(watch, &usual_us, text);
        watch->tree_at_us = pause_after(before_us, usual_us);
    }
    usual_us = EXEC_SAMPLE_US;
    if (cause == EXEC_OK && now_us >= watch->disk_at_us) {
        const uint64_t before_us = spent_us();
        cause = look_at_disk(watch, &usual_us, text);
        watch->disk_at_us = pause_after(before_us, usual_us);
    }
    return cause;
}
