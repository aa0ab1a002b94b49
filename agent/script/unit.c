/* SPDX-License-Identifier: Apache-2.0 */
#include "script/unit.h"

#include "journal.h"
#include "script/files.h"
#include "script/inside.h"
#include "script/say.h"
#include "script/use.h"

#include "base/host/host.h"
#include "base/text.h"
#include "spec/package.h"
#include "train/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENDED_BYTES 110u /* of how commands ended; the rest is for their last words */

const struct scripts_config *script_config(const struct script_unit *x)
{
    return &x->all->config;
}

static struct script_unit *unit_of(struct train_worker *w)
{
    return (struct script_unit *)(void *)w;
}

static void lock(struct script_unit *x)
{
    train_worker_lock(&x->w);
}

static void unlock(struct script_unit *x)
{
    train_worker_unlock(&x->w);
}

/* ---- results ---- */

static void fail(struct script_unit *x, enum sh_err reason, bool final, const char *text)
{
    train_worker_fail(&x->w, reason, final, true, text);
}

/* What is there becomes the result; partial: the unit was asked to stop. */
static void commit(struct script_unit *x, bool partial)
{
    char why[SCRIPT_WHY_BYTES] = "";
    struct train_result result = {.fence = x->w.at.placement.fence, .partial = partial};
    uint64_t step = script_say_step(x->say);
    result.outcome.steps = step > x->step ? step : x->step;
    result.outcome.scored = script_say_score(x->say, &result.outcome.score);
    enum sh_err err = x->dir[0] != '\0' ? script_files_result(x, partial, &result, why) : SH_OK;
    if (err != SH_OK) {
        free(result.outputs);
        free(result.file);
        fail(x, err, false, why[0] != '\0' ? why : sh_err_text(err));
        return;
    }
    train_worker_finish(&x->w, &result);
}

/* ---- GPUs ---- */

static uint32_t gpus_wanted(const struct script_unit *x)
{
    return x->w.job->where.gpus;
}

static bool try_gpus(struct script_unit *x)
{
    struct scripts *all = x->all;
    SH_CHECK(pthread_mutex_lock(&all->lock) == 0);
    bool taken = script_gpus_take(&all->gpus, gpus_wanted(x), &x->gpus);
    SH_CHECK(pthread_mutex_unlock(&all->lock) == 0);
    return taken;
}

static void give_gpus(struct script_unit *x)
{
    struct scripts *all = x->all;
    if (!script_gpus_any(&x->gpus)) {
        return;
    }
    SH_CHECK(pthread_mutex_lock(&all->lock) == 0);
    script_gpus_give(&all->gpus, &x->gpus);
    for (size_t i = 0; i < SCRIPT_UNITS_MAX; i++) {
        if (all->units[i] != NULL) { /* it may wait for them */
            lock(all->units[i]);
            train_worker_signal(&all->units[i]->w);
            unlock(all->units[i]);
        }
    }
    SH_CHECK(pthread_mutex_unlock(&all->lock) == 0);
}

/* Those that the cluster counted for a unit which is on its way out may still be with its
 * commands. False: interrupted, or the unit has failed. */
static bool take_gpus(struct script_unit *x)
{
    uint64_t until = sh_now_us() + SCRIPT_GPUS_US;
    bool interrupted = false;
    bool taken = try_gpus(x);
    while (!taken && !interrupted && sh_now_us() < until) {
        lock(x);
        interrupted = train_worker_has_news(&x->w);
        if (!interrupted) {
            train_clock_wait(&x->w.changed, &x->w.lock, until);
        }
        unlock(x);
        taken = !interrupted && try_gpus(x);
    }
    if (taken) {
        script_gpus_text(&x->gpus, x->gpu_list, sizeof x->gpu_list);
        script_gpus_visible(&x->gpus, x->all->config.visible, x->gpu_names, sizeof x->gpu_names);
        script_devices_find(&x->devices, "/dev");
    } else if (!interrupted) {
        char why[SCRIPT_WHY_BYTES];
        (void)snprintf(why, sizeof why, "%s: resources.gpus: %u are not free of the %u here",
                       x->w.node, gpus_wanted(x), x->all->gpus.count);
        fail(x, SH_ERR_LIMIT, false, why);
    }
    return taken;
}

/* ---- running ---- */

static enum sh_err err_of(enum exec_cause cause)
{
    switch (cause) {
    case EXEC_OK:
        return SH_OK;
    case EXEC_TIMEOUT:
    case EXEC_SILENT:
        return SH_ERR_TIMEOUT;
    case EXEC_ABORTED:
        return SH_ERR_DIVERGED;
    case EXEC_STOPPED:
        return SH_ERR_CANCELLED;
    case EXEC_OOM:
        return SH_ERR_NO_MEMORY;
    case EXEC_DISK:
        return SH_ERR_NO_SPACE;
    case EXEC_TASKS:
        return SH_ERR_LIMIT;
    case EXEC_SANDBOX:
        return SH_ERR_UNSUPPORTED;
    case EXEC_EXIT:
    case EXEC_SIGNAL:
    case EXEC_SPAWN:
    case EXEC_LOST:
    case EXEC_BUSY:
    case EXEC_CAUSE_COUNT:
        break;
    }
    return SH_ERR_CONFLICT;
}

static void on_console(void *ctx)
{
    struct script_unit *x = ctx;
    lock(x);
    x->written = true;
    train_worker_signal(&x->w);
    unlock(x);
}

/* What a person would look for first when the commands fail. */
static void keep_last(struct script_unit *x, const char *text, size_t size)
{
    if (strspn(text, " \t") < size) {
        lock(x);
        (void)sh_text_copy(x->last, sizeof x->last, text);
        unlock(x);
    }
}

static bool on_line(void *ctx, enum exec_channel channel, unsigned flags, const char *text,
                    size_t size)
{
    struct script_unit *x = ctx;
    /* What it means first: the line wakes whoever asks for that. */
    bool go_on = script_say_line(x->say, channel, flags, text, size);
    if (x->use != NULL) {
        script_use_line(x, channel, text, size);
    }
    if (channel != EXEC_METRICS) {
        script_console_line(x->console, text, size);
        keep_last(x, text, size);
    } else {
        on_console(x);
    }
    return go_on;
}

static void on_end(void *ctx, const struct exec_result *result)
{
    struct script_unit *x = ctx;
    lock(x);
    x->result = *result;
    x->over = true;
    train_worker_signal(&x->w);
    unlock(x);
}

/* Its files as they are now, given (free), and x->step the step they are of; NULL: nothing there
 * yet, or nothing new, or it was told why. */
static uint8_t *read_checkpoint(struct script_unit *x, size_t *size)
{
    char why[SCRIPT_WHY_BYTES] = "";
    uint8_t *bytes = NULL;
    if (x->use != NULL) {
        return NULL; /* an answer is made in one go */
    }
    bool again = x->unsettled;
    enum sh_err err = script_files_checkpoint(x, &bytes, size, why);
    x->unsettled = err == SH_ERR_IO;
    if (err != SH_OK && err != SH_ERR_NOT_FOUND && !(again && x->unsettled)) {
        train_scribe_line(x->w.scribe, "no checkpoint%s: %s", x->unsettled ? " yet" : "",
                          why[0] != '\0' ? why : sh_err_text(err));
    }
    if (bytes != NULL) {
        uint64_t step = script_say_step(x->say);
        x->step = step > x->step ? step : x->step + 1;
    }
    return bytes;
}

static void take_checkpoint(struct script_unit *x)
{
    size_t size = 0;
    uint64_t start = sh_now_us();
    uint8_t *bytes = read_checkpoint(x, &size);
    if (bytes == NULL) {
        return;
    }
    if (!train_clerk_checkpoint(x->w.clerk, x->w.at.placement.fence, x->step, sh_now_us() - start,
                                bytes, size)) {
        free(bytes);
        memset(x->saved, 0, sizeof x->saved); /* the next one is new again */
    }
}

static bool checkpoint_due(struct script_unit *x, uint64_t *next_us)
{
    uint64_t every = (uint64_t)x->job->exec.checkpoint_every_s * 1000000;
    bool asked = script_say_checkpoint(x->say);
    bool due = sh_now_us() >= *next_us;
    if (due) {
        *next_us = every > 0 ? sh_now_us() + every : UINT64_MAX;
    }
    return x->index == 0 && (asked || due);
}

/* What attend has asked of the process. */
struct ending {
    bool stopped;
    uint64_t kill_us; /* when its grace is over, whatever the job says */
};

/* With the lock, which is let go meanwhile. */
static void end_when_unwanted(struct script_unit *x, struct exec_process *process,
                              struct ending *ending)
{
    bool stop = train_worker_has_news(&x->w) && !ending->stopped;
    bool leave = x->w.leaving && ending->kill_us == UINT64_MAX;
    unlock(x);
    if (stop) {
        ending->stopped = true;
        script_console_let_go(x->console);
        exec_stop(process, leave ? "its agent is ending, or the unit moved away" : "");
    }
    if (leave) {
        ending->kill_us = sh_now_us() + SCRIPT_LEAVE_US;
    } else if (sh_now_us() >= ending->kill_us) {
        ending->kill_us = UINT64_MAX - 1;
        exec_kill(process);
    }
    lock(x);
}

/* While the commands run: writes what they say, keeps checkpoints, and stops them when they are no
 * longer wanted. */
static void attend(struct script_unit *x, struct exec_process *process)
{
    uint64_t every = (uint64_t)x->job->exec.checkpoint_every_s * 1000000;
    uint64_t checkpoint_us = every > 0 ? sh_now_us() + every : UINT64_MAX;
    struct ending ending = {.kill_us = UINT64_MAX};
    lock(x);
    while (!x->over) {
        end_when_unwanted(x, process, &ending);
        uint64_t until = checkpoint_us < ending.kill_us ? checkpoint_us : ending.kill_us;
        bool news = x->written || (train_worker_has_news(&x->w) && !ending.stopped) ||
                    (x->w.leaving && ending.kill_us == UINT64_MAX);
        if (!news && !x->over && sh_now_us() < until) {
            train_clock_wait(&x->w.changed, &x->w.lock, until);
            continue;
        }
        x->written = false;
        unlock(x);
        script_console_write(x->console);
        train_clerk_progress(x->w.clerk, x->w.at.placement.fence, script_say_permille(x->say));
        if (!ending.stopped && checkpoint_due(x, &checkpoint_us)) {
            take_checkpoint(x);
            uint64_t settled_us = sh_now_us() + SCRIPT_SETTLE_US;
            checkpoint_us = x->unsettled && settled_us < checkpoint_us ? settled_us : checkpoint_us;
        }
        checkpoint_us = ending.stopped ? UINT64_MAX : checkpoint_us;
        lock(x);
    }
    unlock(x);
    script_console_let_go(x->console);
    script_console_write(x->console);
}

static enum exec_level asked_level(enum spec_sandbox sandbox)
{
    switch (sandbox) {
    case SPEC_SANDBOX_STRICT:
        return EXEC_LEVEL_STRICT;
    case SPEC_SANDBOX_BASIC:
        return EXEC_LEVEL_BASIC;
    case SPEC_SANDBOX_NONE:
        return EXEC_LEVEL_NONE;
    }
    SH_UNREACHABLE();
}

enum exec_level script_level_of(const struct scripts *all, enum spec_sandbox sandbox)
{
    enum exec_level asked = asked_level(sandbox);
    return asked > all->config.sandbox_min ? asked : all->config.sandbox_min;
}

struct exec_limits script_limits_of(const struct spec_job *job)
{
    return (struct exec_limits){.memory_bytes = job->ram_bytes,
                                .disk_bytes = job->exec.disk_bytes,
                                .run_us = (uint64_t)job->exec.timeout_s * 1000000,
                                .silence_us = (uint64_t)job->exec.silence_s * 1000000,
                                .grace_us = (uint64_t)job->exec.grace_s * 1000000,
                                .tasks = SCRIPT_TASKS_MAX};
}

static bool has_input(const struct script_unit *x)
{
    return x->use != NULL && x->use->input[0] != '\0';
}

/* Runs the commands; x->result says what became of them. False: they were not begun, and the unit
 * has failed or the placement has changed. */
static bool run_commands(struct script_unit *x, bool resumes)
{
    char host[SH_ADDR_MAX + 1];
    const struct sh_span params = x->w.config.params;
    struct script_place place = {.unit = x->w.config.unit,
                                 .fence = x->w.at.placement.fence,
                                 .member = x->index,
                                 .members = x->w.at.placement.member_count,
                                 .node = x->w.node,
                                 .dir = x->dir,
                                 .master_host = host,
                                 .units = x->w.at.units,
                                 .model = x->use != NULL ? x->use->model : NULL,
                                 .input = has_input(x) ? x->use->input : NULL,
                                 .gpus = x->gpu_list,
                                 .visible = x->gpu_names,
                                 .params = params.size > 0 ? (const char *)params.at : NULL,
                                 .resumes = resumes};
    if (!script_meet(x, host, &place.master_port)) {
        return false;
    }
    /* Libraries that connect the members of a gang look up their network devices. */
    const char *reads[] = {place.members > 1 ? "/sys" : NULL, NULL};
    if (has_input(x) && x->use->outside) {
        reads[0] = x->use->input; /* a model is asked on one agent */
    }
    struct exec_sandbox sandbox = {.level = script_level_of(x->all, x->job->exec.sandbox),
                                   .bwrap = x->all->config.bwrap,
                                   .network = x->job->exec.network || place.members > 1,
                                   .read_only = reads[0] != NULL ? reads : NULL,
                                   .devices = gpus_wanted(x) > 0 ? x->devices.paths : NULL};
    struct exec_spec spec = {.commands = x->plan->commands,
                             .env = x->plan->env,
                             .dir = x->dir,
                             .limits = script_limits_of(x->job),
                             .sandbox = &sandbox,
                             .cgroup = x->all->machine.has_cgroup ? &x->all->machine.cgroup : NULL,
                             .keeper = x->all->config.keeper,
                             .uid = x->user,
                             .gid = x->user,
                             .nice = SCRIPT_NICE};
    struct exec_hooks hooks = {.context = x, .line = on_line, .end = on_end};
    struct exec_process *process = NULL;
    enum sh_err err = script_plan_make(x->plan, x->job, &place);
    spec.command_count = x->plan->command_count;
    err = err != SH_OK ? err : exec_open(&process, &spec, &hooks);
    x->over = false;
    err = err != SH_OK ? err : exec_start(process);
    if (err != SH_OK) {
        exec_close(process);
        fail(x, err, false, "the commands cannot be started");
        return false;
    }
    attend(x, process);
    exec_close(process);
    return true;
}

/* A checkpoint that the commands announced at their very end, for whoever goes on from there. */
static void leave_checkpoint(struct script_unit *x)
{
    struct train_last last = {.fence = x->w.at.placement.fence};
    bool asked = script_say_checkpoint(x->say) || x->unsettled;
    if (x->index > 0 || !asked) {
        return;
    }
    last.bytes = read_checkpoint(x, &last.size);
    last.step = x->step;
    if (last.bytes != NULL) {
        train_clerk_last(x->w.clerk, &last);
    }
}

static void conclude(struct script_unit *x)
{
    const struct exec_result *r = &x->result;
    lock(x);
    bool superseded =
        x->w.leaving || !wire_fence_equal(x->w.next.placement.fence, x->w.at.placement.fence);
    bool stopping = x->w.next.stopping || x->w.next.yielding;
    unlock(x);
    if (superseded) {
        return;
    }
    if (r->cause == EXEC_OK) {
        leave_checkpoint(x);
        if (script_finish_together(x) && x->index == 0) {
            commit(x, false);
        }
        return;
    }
    if (stopping || !script_all_there(x)) {
        return; /* the next turn keeps what there is, or begins anew without whoever is gone */
    }
    char text[SCRIPT_WHY_BYTES];
    bool told = r->cause == EXEC_EXIT || r->cause == EXEC_SIGNAL;
    int what = (int)sh_text_fit(r->text, strnlen(r->text, ENDED_BYTES));
    lock(x);
    int n = snprintf(text, sizeof text, "%s: %.*s%s%s", x->w.node, what, r->text,
                     told && x->last[0] != '\0' ? ": " : "", told ? x->last : "");
    unlock(x);
    SH_CHECK(n > 0);
    fail(x, err_of(r->cause), r->cause == EXEC_SANDBOX, text);
}

static void tell_begin(struct script_unit *x)
{
    bool gpus = script_gpus_any(&x->gpus);
    train_scribe_line(x->w.scribe, "unit %u begins on %s: member %u of %u, generation %llu%s%.60s",
                      x->w.config.unit.unit, x->w.node, x->index, x->w.at.placement.member_count,
                      (unsigned long long)x->w.at.placement.fence.index, gpus ? ", GPUs " : "",
                      gpus ? x->gpu_list : "");
}

static void tell_end(struct script_unit *x)
{
    const struct exec_result *r = &x->result;
    train_scribe_line(x->w.scribe,
                      "unit %u on %s: %s; %.1f s, %.1f s of processor time, at most %llu MiB",
                      x->w.config.unit.unit, x->w.node, r->text, (double)r->wall_us / 1e6,
                      (double)r->cpu_us / 1e6, (unsigned long long)(r->memory_peak_bytes >> 20));
}

/* The unit gives way: what its commands left when they were asked to end is kept, unless they were
 * killed, maybe while they wrote it, and had not said that it is whole. */
static void give_way(struct script_unit *x)
{
    struct train_last last = {.fence = x->w.at.placement.fence, .yields = true};
    if (x->index > 0) {
        return;
    }
    bool whole = x->dir[0] != '\0' && (x->result.code >= 0 || script_say_checkpoint(x->say));
    last.bytes = whole ? read_checkpoint(x, &last.size) : NULL;
    last.step = x->step;
    if (x->step > 0) {
        train_scribe_line(x->w.scribe, "unit %u gives way with checkpoint %llu",
                          x->w.config.unit.unit, (unsigned long long)x->step);
    } else {
        train_scribe_line(x->w.scribe, "unit %u gives way without a checkpoint: begins anew",
                          x->w.config.unit.unit);
    }
    train_clerk_last(x->w.clerk, &last);
}

static void follow(struct train_worker *w, bool anew)
{
    struct script_unit *x = unit_of(w);
    char why[SCRIPT_WHY_BYTES] = "";
    bool resumes = false;
    if (anew) {
        lock(x);
        x->meet_index = 0;
        unlock(x);
    }
    x->index = wire_member_find(w->at.placement.members, w->at.placement.member_count, w->me);
    SH_CHECK_CMP(x->index, <, w->at.placement.member_count);
    if (w->at.stopping) {
        if (x->index == 0) {
            commit(x, true);
        }
        return;
    }
    if (w->at.yielding) {
        give_way(x);
        return;
    }
    script_files_remove(x);
    if (!x->all->config.allowed) {
        fail(x, SH_ERR_DENIED, false,
             "this agent runs no commands (--allow-commands, --sandbox-min)");
        return;
    }
    x->last[0] = '\0';
    x->unsettled = false;
    x->result = (struct exec_result){.code = -1};
    script_console_begin(x->console, x->w.at.placement.fence.index, (uint16_t)x->index);
    enum sh_err err = script_files_prepare(x, &resumes, why);
    script_say_begin(x->say, x->index == 0, x->step);
    if (err == SH_ERR_CANCELLED) {
        return;
    }
    if (err != SH_OK) {
        fail(x, err, err == SH_ERR_CORRUPT, why[0] != '\0' ? why : sh_err_text(err));
        return;
    }
    if (!take_gpus(x)) {
        return;
    }
    tell_begin(x);
    bool ran = run_commands(x, resumes);
    give_gpus(x);
    if (ran) {
        tell_end(x);
        conclude(x);
    }
}

/* ---- life ---- */

static enum sh_err prepare(struct train_worker *w, char *why, size_t size)
{
    struct script_unit *x = unit_of(w);
    struct script_about about = {.unit = w->config.unit.unit, .metric = w->config.metric};
    x->job = w->job;
    enum sh_err err = script_use_open(x, why, size);
    about.job = x->job;
    return err == SH_OK ? script_say_set(x->say, &about, why, size) : err;
}

static void end(struct train_worker *w)
{
    struct script_unit *x = unit_of(w);
    lock(x);
    x->meet_index = 0;
    unlock(x);
    script_files_remove(x);
}

uint32_t scripts_seat(struct scripts *all, struct script_unit *unit, uint32_t *user)
{
    SH_CHECK(pthread_mutex_lock(&all->lock) == 0);
    uint32_t i = 0;
    while (i < SCRIPT_UNITS_MAX && all->seated[i]) {
        i++;
    }
    if (i < SCRIPT_UNITS_MAX) {
        all->seated[i] = true;
        all->units[i] = unit;
    }
    *user = all->config.run_as > 0 ? all->config.run_as + i : 0;
    SH_CHECK(pthread_mutex_unlock(&all->lock) == 0);
    return i;
}

void scripts_unseat(struct scripts *all, uint32_t seat)
{
    if (seat < SCRIPT_UNITS_MAX && all->config.run_as > 0) {
        script_users_clear(all->config.run_as + seat, 1); /* before it is another unit's */
    }
    SH_CHECK(pthread_mutex_lock(&all->lock) == 0);
    if (seat < SCRIPT_UNITS_MAX) {
        all->seated[seat] = false;
        all->units[seat] = NULL;
    }
    SH_CHECK(pthread_mutex_unlock(&all->lock) == 0);
}

static void unit_release(struct train_worker *w)
{
    struct script_unit *x = unit_of(w);
    scripts_unseat(x->all, x->seat);
    script_console_close(x->console);
    script_say_close(x->say);
    train_worker_fini(w);
    script_use_close(x);
    free(x->plan);
    free(x);
}

static const struct train_duty DUTY = {
    .name = "script", .prepare = prepare, .follow = follow, .end = end, .release = unit_release};

static enum sh_err equip(struct script_unit *x)
{
    struct service *s = x->all->config.s;
    x->plan = calloc(1, sizeof *x->plan);
    if (x->plan == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    enum sh_err err = script_console_open(&x->console, s, x->w.config.unit, on_console, x);
    return err != SH_OK ? err : script_say_open(&x->say, x->console);
}

static enum sh_err unit_open(void *ctx, struct train_part **out,
                             const struct train_part_config *config,
                             const struct train_assignment *first)
{
    struct script_unit *x = calloc(1, sizeof *x);
    *out = NULL;
    if (x == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    x->all = ctx;
    x->seat = SCRIPT_UNITS_MAX; /* none yet */
    x->number = sh_random_u64() | 1;
    enum sh_err err = train_worker_init(&x->w, x->all->config.s, &DUTY, config, first);
    err = err != SH_OK ? err : equip(x);
    if (err == SH_OK) {
        x->seat = scripts_seat(x->all, x, &x->user);
    }
    return train_worker_start(&x->w, err, out);
}

/* ---- what the units of one agent share ---- */

_Static_assert(SCRIPT_USERS == SCRIPT_UNITS_MAX + 1, "one each, and one for those beyond");

/* Users of units may pass to their own folder and see no other. */
static mode_t work_mode(const struct scripts *all)
{
    return all->config.run_as > 0 ? 0711 : 0700;
}

static enum sh_err clear_work(struct scripts *all, char *why)
{
    char aside[SPEC_FILESET_ASIDE_BYTES];
    char text[SCRIPT_WHY_BYTES] = "";
    /* What an earlier run left: its commands ended with it. */
    enum sh_err err = spec_fileset_fresh(all->work, work_mode(all), aside, text, sizeof text);
    if (err != SH_OK) {
        (void)snprintf(why, SCRIPT_OPEN_WHY + 1, "%.500s cannot be cleared: %.400s", all->work,
                       text[0] != '\0' ? text : sh_err_text(err));
    } else if (aside[0] != '\0') {
        journal_warn("%s cannot be cleared (%s): what was in it is in %s, to be removed by hand",
                     all->work, text, aside);
    }
    return err;
}

static enum sh_err look_at_machine(struct scripts *all, char *why)
{
    char dir[TRAIN_PATH_MAX];
    uint32_t user = all->config.run_as;
    int n = snprintf(dir, sizeof dir, "%s/probe", all->work);
    if (n >= (int)sizeof dir) {
        return SH_ERR_LIMIT;
    }
    if (mkdir(dir, 0700) != 0 || (user > 0 && chown(dir, user, user) != 0)) {
        (void)snprintf(why, SCRIPT_OPEN_WHY + 1, "%.500s: %s", dir, strerror(errno));
        return sh_err_from_errno(errno);
    }
    exec_sandbox_probe(&all->machine, all->config.keeper, all->config.bwrap, dir, user, user);
    script_files_clear(dir);
    if (user > 0 && !all->machine.has[EXEC_LEVEL_NONE]) {
        (void)snprintf(why, SCRIPT_OPEN_WHY + 1,
                       "commands cannot run as user %u in %.400s: %.300s; choose another --data "
                       "whose parents are open to it (chmod o+x), or say --run-as",
                       user, all->work, all->machine.why[EXEC_LEVEL_NONE]);
        return SH_ERR_DENIED;
    }
    enum exec_level best = exec_machine_best(&all->machine);
    enum exec_level least = all->config.sandbox_min;
    if (best < least) {
        all->config.allowed = false;
        journal_warn("no commands run here: sandbox-min is %s, and this machine gives %s (%.300s)",
                     exec_level_name(least), exec_level_name(best), all->machine.why[least]);
        return SH_OK;
    }
    char as[64] = "";
    if (user > 0) {
        (void)snprintf(as, sizeof as, ", as users %u to %u", user, user + SCRIPT_USERS - 1);
    }
    journal_info("commands are allowed here, in a sandbox of level %s, at least %s%s",
                 exec_level_name(best), exec_level_name(least), as);
    return SH_OK;
}

enum sh_err scripts_open(struct scripts **out, const struct scripts_config *config,
                         char why[static SCRIPT_OPEN_WHY + 1])
{
    struct scripts *all = calloc(1, sizeof *all);
    *out = NULL;
    if (all == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    all->config = *config;
    all->gpus.count = config->gpus;
    all->runner = train_worker_runner(all, unit_open);
    SH_CHECK(pthread_mutex_init(&all->lock, NULL) == 0);
    int n = snprintf(all->work, sizeof all->work, "%s", config->work);
    all->config.work = all->work;
    enum sh_err err = n < (int)sizeof all->work ? clear_work(all, why) : SH_ERR_LIMIT;
    if (config->run_as > 0) {
        script_users_clear(config->run_as, SCRIPT_USERS);
    }
    if (err == SH_OK && config->allowed) {
        err = look_at_machine(all, why);
    }
    if (err != SH_OK) {
        scripts_close(all);
        return err;
    }
    *out = all;
    return SH_OK;
}

void scripts_close(struct scripts *scripts)
{
    if (scripts == NULL) {
        return;
    }
    SH_CHECK(pthread_mutex_destroy(&scripts->lock) == 0);
    free(scripts);
}

enum wire_sandbox scripts_sandbox(const struct scripts *scripts)
{
    if (!scripts->config.allowed) {
        return WIRE_SANDBOX_OFF;
    }
    switch (exec_machine_best(&scripts->machine)) {
    case EXEC_LEVEL_STRICT:
        return WIRE_SANDBOX_STRICT;
    case EXEC_LEVEL_BASIC:
        return WIRE_SANDBOX_BASIC;
    case EXEC_LEVEL_NONE:
    case EXEC_LEVELS:
        break;
    }
    return WIRE_SANDBOX_NONE;
}

const struct train_runner *scripts_runner(const struct scripts *scripts)
{
    return &scripts->runner;
}

enum sh_err scripts_answer(void *ctx, struct sh_span request, uint8_t *reply, size_t capacity,
                           size_t *reply_size)
{
    struct scripts *all = ctx;
    struct wire_unit unit;
    enum sh_err err = script_request_unit(request, &unit);
    if (err != SH_OK) {
        return err;
    }
    err = SH_ERR_NOT_FOUND;
    SH_CHECK(pthread_mutex_lock(&all->lock) == 0);
    for (size_t i = 0; i < SCRIPT_UNITS_MAX; i++) {
        struct script_unit *x = all->units[i];
        if (x != NULL && wire_unit_equal(x->w.config.unit, unit)) {
            err = script_answer(x, request, reply, capacity, reply_size);
        }
    }
    SH_CHECK(pthread_mutex_unlock(&all->lock) == 0);
    return err;
}
