/* SPDX-License-Identifier: Apache-2.0 */
#include "script/unit.h"

#include "journal.h"
#include "script/inside.h"
#include "script/say.h"
#include "script/use.h"

#include "base/host/host.h"
#include "spec/package.h"
#include "train/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct scripts {
    struct scripts_config config;
    char work[TRAIN_PATH_MAX];
    struct exec_machine machine; /* where commands are allowed */
    struct train_runner runner;
    pthread_mutex_t lock; /* what follows */
    struct script_unit *units[SCRIPT_UNITS_MAX];
};

const struct scripts_config *script_config(const struct script_unit *x)
{
    return &x->all->config;
}

static void lock(struct script_unit *x)
{
    SH_CHECK(pthread_mutex_lock(&x->lock) == 0);
}

static void unlock(struct script_unit *x)
{
    SH_CHECK(pthread_mutex_unlock(&x->lock) == 0);
}

static void signal_changed(struct script_unit *x)
{
    SH_CHECK(pthread_cond_signal(&x->changed) == 0);
}

/* ---- results ---- */

static void fail(struct script_unit *x, enum sh_err reason, bool final, const char *text)
{
    struct train_result result = {
        .fence = x->at.placement.fence, .failed = true, .reason = reason, .final = final};
    (void)snprintf(result.text, sizeof result.text, "%s", text);
    memcpy(result.node, x->me, sizeof result.node);
    journal_warn("job %llu unit %u: %s", (unsigned long long)x->config.unit.job,
                 x->config.unit.unit, text);
    train_clerk_result(x->clerk, &result);
}

/* What is there becomes the result; partial: the unit was asked to stop. */
static void commit(struct script_unit *x, bool partial)
{
    x->finished = true;
    char why[SCRIPT_WHY_BYTES] = "";
    struct train_result result = {.fence = x->at.placement.fence, .partial = partial};
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
    train_clerk_result(x->clerk, &result);
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
    signal_changed(x);
    unlock(x);
}

/* What a person would look for first when the commands fail. */
static void keep_last(struct script_unit *x, const char *text, size_t size)
{
    size_t n = size < SCRIPT_LAST_BYTES - 1 ? size : SCRIPT_LAST_BYTES - 1;
    while (n < size && n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80) {
        n--;
    }
    if (strspn(text, " \t") < n) {
        lock(x);
        memcpy(x->last, text, n);
        x->last[n] = '\0';
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
    signal_changed(x);
    unlock(x);
}

/* Its files as they are now, given (free), and x->step the step they are of; NULL: nothing there
 * yet, or nothing new, or it was told why. */
static uint8_t *read_checkpoint(struct script_unit *x, size_t *size)
{
    char why[SCRIPT_WHY_BYTES] = "";
    uint8_t *bytes = NULL;
    enum sh_err err = script_files_checkpoint(x, &bytes, size, why);
    if (err != SH_OK && err != SH_ERR_NOT_FOUND) {
        train_scribe_line(x->scribe, "no checkpoint: %s", why[0] != '\0' ? why : sh_err_text(err));
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
    uint8_t *bytes = read_checkpoint(x, &size);
    if (bytes == NULL) {
        return;
    }
    if (!train_clerk_checkpoint(x->clerk, x->at.placement.fence, x->step, bytes, size)) {
        free(bytes);
        memset(x->saved, 0, sizeof x->saved); /* the next one is new again */
    }
}

static bool checkpoint_due(struct script_unit *x, uint64_t *next_us)
{
    uint64_t every = (uint64_t)x->job->exec.checkpoint_every_s * 1000000;
    bool asked = script_say_checkpoint(x->say);
    bool due = every > 0 && sh_now_us() >= *next_us;
    if (due) {
        *next_us = sh_now_us() + every;
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
    bool stop = script_interrupted(x) && !ending->stopped;
    bool leave = x->leaving && ending->kill_us == UINT64_MAX;
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
        bool news = x->written || (script_interrupted(x) && !ending.stopped) ||
                    (x->leaving && ending.kill_us == UINT64_MAX);
        if (!news && !x->over && sh_now_us() < until) {
            train_clock_wait(&x->changed, &x->lock, until);
            continue;
        }
        x->written = false;
        unlock(x);
        script_console_write(x->console);
        if (!ending.stopped && checkpoint_due(x, &checkpoint_us)) {
            take_checkpoint(x);
        }
        checkpoint_us = ending.stopped ? UINT64_MAX : checkpoint_us;
        lock(x);
    }
    unlock(x);
    script_console_let_go(x->console);
    script_console_write(x->console);
}

static enum exec_level level_of(enum spec_sandbox sandbox)
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

static struct exec_limits limits_of(const struct spec_job *job)
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
    struct script_place place = {.unit = x->config.unit,
                                 .fence = x->at.placement.fence,
                                 .member = x->index,
                                 .members = x->at.placement.member_count,
                                 .node = x->node,
                                 .dir = x->dir,
                                 .master_host = host,
                                 .units = x->at.units,
                                 .model = x->use != NULL ? x->use->model : NULL,
                                 .input = has_input(x) ? x->use->input : NULL,
                                 .params = x->params,
                                 .resumes = resumes};
    if (!script_meet(x, host, &place.master_port)) {
        return false;
    }
    /* Libraries that connect the members of a gang look up their network devices. */
    const char *reads[] = {place.members > 1 ? "/sys" : NULL, NULL};
    if (has_input(x) && x->use->outside) {
        reads[0] = x->use->input; /* a model is asked on one agent */
    }
    struct exec_sandbox sandbox = {.level = level_of(x->job->exec.sandbox),
                                   .network = x->job->exec.network || place.members > 1,
                                   .read_only = reads[0] != NULL ? reads : NULL};
    struct exec_spec spec = {.commands = x->plan->commands,
                             .env = x->plan->env,
                             .dir = x->dir,
                             .limits = limits_of(x->job),
                             .sandbox = &sandbox,
                             .cgroup = x->all->machine.has_cgroup ? &x->all->machine.cgroup : NULL,
                             .keeper = x->all->config.keeper,
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

static void conclude(struct script_unit *x)
{
    const struct exec_result *r = &x->result;
    lock(x);
    bool superseded =
        x->leaving || !wire_fence_equal(x->next.placement.fence, x->at.placement.fence);
    bool stopping = x->next.stopping || x->next.yielding;
    unlock(x);
    if (superseded) {
        return;
    }
    if (r->cause == EXEC_OK) {
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
    lock(x);
    int n = snprintf(text, sizeof text, "%s: %.110s%s%s", x->node, r->text,
                     told && x->last[0] != '\0' ? ": " : "", told ? x->last : "");
    unlock(x);
    SH_CHECK(n > 0);
    fail(x, err_of(r->cause), r->cause == EXEC_SANDBOX, text);
}

static void tell_begin(struct script_unit *x)
{
    train_scribe_line(x->scribe, "unit %u begins on %s: member %u of %u, generation %llu",
                      x->config.unit.unit, x->node, x->index, x->at.placement.member_count,
                      (unsigned long long)x->at.placement.fence.index);
}

static void tell_end(struct script_unit *x)
{
    const struct exec_result *r = &x->result;
    train_scribe_line(x->scribe,
                      "unit %u on %s: %s; %.1f s, %.1f s of processor time, at most %llu MiB",
                      x->config.unit.unit, x->node, r->text, (double)r->wall_us / 1e6,
                      (double)r->cpu_us / 1e6, (unsigned long long)(r->memory_peak_bytes >> 20));
}

/* The unit gives way: what its commands left when they were asked to end is kept, unless they were
 * killed, maybe while they wrote it, and had not said that it is whole. */
static void give_way(struct script_unit *x)
{
    struct train_last last = {.fence = x->at.placement.fence, .yields = true};
    if (x->finished || x->index > 0) {
        return;
    }
    bool whole = x->dir[0] != '\0' && (x->result.code >= 0 || script_say_checkpoint(x->say));
    last.bytes = whole ? read_checkpoint(x, &last.size) : NULL;
    last.step = x->step;
    if (x->step > 0) {
        train_scribe_line(x->scribe, "unit %u gives way with checkpoint %llu", x->config.unit.unit,
                          (unsigned long long)x->step);
    } else {
        train_scribe_line(x->scribe, "unit %u gives way without a checkpoint: begins anew",
                          x->config.unit.unit);
    }
    train_clerk_last(x->clerk, &last);
}

static void follow(struct script_unit *x)
{
    char why[SCRIPT_WHY_BYTES] = "";
    bool resumes = false;
    if (x->at.stopping) {
        if (x->index == 0) {
            commit(x, true);
        }
        return;
    }
    if (x->at.yielding) {
        give_way(x);
        return;
    }
    script_files_remove(x);
    if (!x->all->config.allowed) {
        fail(x, SH_ERR_DENIED, false, "this agent runs no commands (--allow-commands)");
        return;
    }
    x->last[0] = '\0';
    x->result = (struct exec_result){.code = -1};
    script_console_begin(x->console, x->at.placement.fence.index, (uint16_t)x->index);
    enum sh_err err = script_files_prepare(x, &resumes, why);
    script_say_begin(x->say, x->index == 0, x->step);
    if (err != SH_OK) {
        fail(x, err, err == SH_ERR_CORRUPT, why[0] != '\0' ? why : sh_err_text(err));
        return;
    }
    tell_begin(x);
    if (run_commands(x, resumes)) {
        tell_end(x);
        conclude(x);
    }
}

/* ---- the thread ---- */

/* Waits for a placement that is not in force; false: it is to leave. */
static bool take_assignment(struct script_unit *x)
{
    lock(x);
    while (!x->leaving && !script_interrupted(x)) {
        train_clock_wait(&x->changed, &x->lock, UINT64_MAX);
    }
    bool anew = !wire_fence_equal(x->next.placement.fence, x->at.placement.fence);
    x->at = x->next;
    x->meet_index = anew ? 0 : x->meet_index;
    x->finished = x->finished && !anew;
    bool go_on = !x->leaving;
    unlock(x);
    x->index = wire_member_find(x->at.placement.members, x->at.placement.member_count, x->me);
    SH_CHECK_CMP(x->index, <, x->at.placement.member_count);
    if (anew) {
        train_clerk_drop(x->clerk);
    }
    return go_on;
}

static bool prepare(struct script_unit *x)
{
    struct spec_errors *errors = calloc(1, sizeof *errors);
    enum sh_err err = errors == NULL ? SH_ERR_NO_MEMORY
                                     : spec_parse(x->spec, x->config.spec.size, x->job, errors);
    free(errors);
    char why[SCRIPT_WHY_BYTES] = "the job cannot be read by this agent";
    err = err == SH_OK ? script_use_open(x, why, sizeof why) : err;
    if (err == SH_OK) {
        struct script_about about = {
            .job = x->job, .unit = x->config.unit.unit, .metric = x->config.metric};
        err = script_say_set(x->say, &about, why, sizeof why);
    }
    if (err != SH_OK) {
        x->at = x->next;
        fail(x, err, err != SH_ERR_NO_MEMORY, why);
    }
    return err == SH_OK;
}

static void *run(void *arg)
{
    struct script_unit *x = arg;
    sh_thread_name("script-%llu", (unsigned long long)x->config.unit.job);
    bool good = prepare(x);
    while (good && take_assignment(x)) {
        follow(x);
    }
    lock(x);
    x->failed = !good;
    while (!x->leaving) {
        train_clock_wait(&x->changed, &x->lock, UINT64_MAX);
    }
    x->meet_index = 0;
    x->ended = true;
    unlock(x);
    script_files_remove(x);
    x->config.ended(x->config.ctx);
    return NULL;
}

/* ---- life ---- */

static void enlist(struct scripts *all, struct script_unit *x, bool in)
{
    SH_CHECK(pthread_mutex_lock(&all->lock) == 0);
    size_t i = 0;
    while (i < SCRIPT_UNITS_MAX && all->units[i] != (in ? NULL : x)) {
        i++;
    }
    if (i < SCRIPT_UNITS_MAX) {
        all->units[i] = in ? x : NULL;
    }
    SH_CHECK(pthread_mutex_unlock(&all->lock) == 0);
}

static void release(struct script_unit *x)
{
    enlist(x->all, x, false);
    train_clerk_close(x->clerk);
    train_scribe_close(x->scribe);
    script_console_close(x->console);
    script_say_close(x->say);
    SH_CHECK(pthread_cond_destroy(&x->changed) == 0);
    SH_CHECK(pthread_mutex_destroy(&x->lock) == 0);
    free(x->plan);
    script_use_close(x);
    free(x->job);
    free(x->spec);
    free(x->params);
    free(x);
}

static enum sh_err equip(struct script_unit *x)
{
    struct service *s = x->all->config.s;
    x->job = calloc(1, sizeof *x->job);
    x->plan = calloc(1, sizeof *x->plan);
    x->spec = malloc(x->config.spec.size + 1);
    if (x->job == NULL || x->plan == NULL || x->spec == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    memcpy(x->spec, x->config.spec.at, x->config.spec.size);
    if (x->config.params.size > 0) {
        x->params = strndup((const char *)x->config.params.at, x->config.params.size);
        if (x->params == NULL) {
            return SH_ERR_NO_MEMORY;
        }
    }
    enum sh_err err = train_scribe_open(&x->scribe, s, x->config.unit);
    err = err != SH_OK ? err : train_clerk_open(&x->clerk, s, x->scribe, x->config.unit);
    err = err != SH_OK ? err : script_console_open(&x->console, s, x->config.unit, on_console, x);
    return err != SH_OK ? err : script_say_open(&x->say, x->console);
}

static enum sh_err unit_open(void *ctx, struct train_part **out,
                             const struct train_part_config *config,
                             const struct train_assignment *first)
{
    struct script_unit *x = calloc(1, sizeof *x);
    struct service_status status;
    *out = NULL;
    if (x == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    x->all = ctx;
    x->config = *config;
    x->next = *first;
    x->number = sh_random_u64() | 1;
    service_status(x->all->config.s, &status);
    memcpy(x->me, status.node_id, sizeof x->me);
    (void)snprintf(x->node, sizeof x->node, "%s", status.name);
    SH_CHECK(pthread_mutex_init(&x->lock, NULL) == 0);
    train_clock_cond(&x->changed);
    enum sh_err err = equip(x);
    if (err == SH_OK) {
        enlist(x->all, x, true);
        err = pthread_create(&x->thread, NULL, run, x) == 0 ? SH_OK : SH_ERR_NO_MEMORY;
    }
    if (err != SH_OK) {
        release(x);
        return err;
    }
    *out = (struct train_part *)(void *)x;
    return SH_OK;
}

static struct script_unit *unit_of(struct train_part *part)
{
    return (struct script_unit *)(void *)part;
}

static void unit_assign(struct train_part *part, const struct train_assignment *assignment)
{
    struct script_unit *x = unit_of(part);
    lock(x);
    if (wire_fence_cmp(assignment->placement.fence, x->next.placement.fence) >= 0) {
        x->next = *assignment;
        signal_changed(x);
    }
    unlock(x);
}

static void unit_leave(struct train_part *part)
{
    struct script_unit *x = unit_of(part);
    lock(x);
    x->leaving = true;
    signal_changed(x);
    unlock(x);
}

static bool unit_has_ended(struct train_part *part)
{
    struct script_unit *x = unit_of(part);
    lock(x);
    bool ended = x->ended;
    unlock(x);
    return ended;
}

static bool unit_has_failed(struct train_part *part)
{
    struct script_unit *x = unit_of(part);
    lock(x);
    bool failed = x->failed;
    unlock(x);
    return failed;
}

static void unit_close(struct train_part *part)
{
    struct script_unit *x = unit_of(part);
    unit_leave(part);
    SH_CHECK(pthread_join(x->thread, NULL) == 0);
    release(x);
}

/* ---- what the units of one agent share ---- */

static enum sh_err clear_work(struct scripts *all)
{
    /* What an earlier run left: its commands ended with it. */
    bool gone = access(all->work, F_OK) != 0 || spec_fileset_remove(all->work);
    if (!gone || mkdir(all->work, 0700) != 0) {
        journal_warn("%s cannot be cleared: %s", all->work, strerror(errno));
        return SH_ERR_IO;
    }
    return SH_OK;
}

static enum sh_err look_at_machine(struct scripts *all)
{
    char dir[TRAIN_PATH_MAX];
    int n = snprintf(dir, sizeof dir, "%s/probe", all->work);
    if (n >= (int)sizeof dir) {
        return SH_ERR_LIMIT;
    }
    if (mkdir(dir, 0700) != 0) {
        return sh_err_from_errno(errno);
    }
    exec_sandbox_probe(&all->machine, all->config.keeper, NULL, dir, 0, 0);
    SH_MAY_FAIL(spec_fileset_remove(dir)); /* goes when the agent starts */
    journal_info("commands are allowed here, in a sandbox of level %s",
                 exec_level_name(exec_machine_best(&all->machine)));
    return SH_OK;
}

enum sh_err scripts_open(struct scripts **out, const struct scripts_config *config)
{
    struct scripts *all = calloc(1, sizeof *all);
    *out = NULL;
    if (all == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    all->config = *config;
    all->runner = (struct train_runner){.ctx = all,
                                        .open = unit_open,
                                        .assign = unit_assign,
                                        .leave = unit_leave,
                                        .has_ended = unit_has_ended,
                                        .has_failed = unit_has_failed,
                                        .close = unit_close};
    SH_CHECK(pthread_mutex_init(&all->lock, NULL) == 0);
    int n = snprintf(all->work, sizeof all->work, "%s", config->work);
    all->config.work = all->work;
    enum sh_err err = n < (int)sizeof all->work ? clear_work(all) : SH_ERR_LIMIT;
    if (err == SH_OK && config->allowed) {
        err = look_at_machine(all);
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
        if (x != NULL && wire_unit_equal(x->config.unit, unit)) {
            err = script_answer(x, request, reply, capacity, reply_size);
        }
    }
    SH_CHECK(pthread_mutex_unlock(&all->lock) == 0);
    return err;
}
