/* SPDX-License-Identifier: Apache-2.0 */
#include "script/plan.h"

#include "base/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool defines(const char *pair, const char *name)
{
    size_t n = strlen(name);
    return strncmp(pair, name, n) == 0 && pair[n] == '=';
}

static bool is_set(const struct script_plan *plan, const char *name)
{
    bool found = false;
    for (size_t i = 0; i < plan->env_count && !found; i++) {
        found = defines(plan->env[i], name);
    }
    return found;
}

/* Adds NAME=VALUE unless the name is set; false when there is no room. */
static bool set(struct script_plan *plan, const char *name, const char *format, ...)
    SH_PRINTF(3, 4);
static bool set(struct script_plan *plan, const char *name, const char *format, ...)
{
    if (is_set(plan, name)) {
        return true;
    }
    size_t room = sizeof plan->text - plan->used;
    char *at = plan->text + plan->used;
    int head = snprintf(at, room, "%s=", name);
    if (plan->env_count == SCRIPT_PLAN_ENV_MAX || head < 0 || (size_t)head >= room) {
        return false;
    }
    va_list args;
    va_start(args, format);
    int body = vsnprintf(at + head, room - (size_t)head, format, args);
    va_end(args);
    if (body < 0 || (size_t)body >= room - (size_t)head) {
        return false;
    }
    plan->used += (size_t)head + (size_t)body + 1;
    plan->env[plan->env_count++] = at;
    return true;
}

static bool set_round(struct script_plan *plan, const struct script_round *r)
{
    return set(plan, "SHOAL_ROUND", "%llu", (unsigned long long)r->number) &&
           set(plan, "SHOAL_ROUNDS", "%u", r->rounds) &&
           set(plan, "SHOAL_DATASET", "%s", r->dataset) &&
           (r->in == NULL || set(plan, "SHOAL_MODEL_IN", "%s", r->in)) &&
           set(plan, "SHOAL_MODEL_OUT", "%s", r->out);
}

/* What nobody may change. */
static bool set_contract(struct script_plan *plan, const struct spec_job *job,
                         const struct script_place *p)
{
    return set(plan, "SHOAL_JOB", "%llu", (unsigned long long)p->unit.job) &&
           set(plan, "SHOAL_NAME", "%s", job->name) &&
           set(plan, "SHOAL_UNIT", "%u", p->unit.unit) &&
           set(plan, "SHOAL_UNITS", "%u", p->units) &&
           set(plan, "SHOAL_ATTEMPT", "%llu", (unsigned long long)p->fence.index) &&
           set(plan, "SHOAL_FENCE", "%llu.%llu", (unsigned long long)p->fence.term,
               (unsigned long long)p->fence.index) &&
           set(plan, "SHOAL_NODE", "%s", p->node) && set(plan, "SHOAL_WORKDIR", "%s", p->dir) &&
           set(plan, "SHOAL_CHECKPOINT_DIR", "%s/%s", p->dir, SCRIPT_CHECKPOINT_DIR) &&
           set(plan, "SHOAL_METRICS_FD", "3") && set(plan, "SHOAL_GPUS", "%s", p->gpus) &&
           set(plan, "CUDA_VISIBLE_DEVICES", "%s", p->visible) &&
           (p->model == NULL || set(plan, "SHOAL_MODEL", "%s", p->model)) &&
           (p->input == NULL || set(plan, "SHOAL_INPUT", "%s", p->input)) &&
           (p->round == NULL || set_round(plan, p->round)) &&
           (p->params == NULL || set(plan, "SHOAL_PARAMS", "%s", p->params)) &&
           (!p->resumes || set(plan, "SHOAL_RESUME_FROM", "%s/%s", p->dir, SCRIPT_CHECKPOINT_DIR));
}

static bool set_torchrun(struct script_plan *plan, const struct script_place *p)
{
    return set(plan, "RANK", "%u", p->member) && set(plan, "WORLD_SIZE", "%u", p->members) &&
           set(plan, "LOCAL_RANK", "0") && set(plan, "LOCAL_WORLD_SIZE", "1") &&
           set(plan, "GROUP_RANK", "%u", p->member) &&
           set(plan, "MASTER_ADDR", "%s", p->master_host) &&
           set(plan, "MASTER_PORT", "%u", p->master_port);
}

/* What the job file may set otherwise. */
static bool set_usual(struct script_plan *plan, const struct spec_job *job,
                      const struct script_place *p)
{
    for (uint32_t i = 0; i < job->exec.env.count; i++) {
        const char *pair = spec_word(&job->exec, job->exec.env, i);
        char name[SPEC_PATH_MAX + 1];
        size_t n = strcspn(pair, "=");
        SH_CHECK_CMP(n, <, sizeof name);
        memcpy(name, pair, n);
        name[n] = '\0';
        if (!set(plan, name, "%s", pair + n + 1)) {
            return false;
        }
    }
    return set(plan, "PATH", "/usr/local/bin:/usr/bin:/bin") && set(plan, "HOME", "%s", p->dir) &&
           set(plan, "TMPDIR", "%s/%s", p->dir, SCRIPT_TMP_DIR) && set(plan, "LANG", "C.UTF-8") &&
           set(plan, "OMP_NUM_THREADS", "%u", job->cpus > 0 ? job->cpus : 1) &&
           set(plan, "CONDUCTOR_TYPE", p->gpus[0] != '\0' ? "gpu" : "cpu") &&
           set(plan, "PYTHONUNBUFFERED", "1") && set(plan, "NO_COLOR", "1");
}

static void add_command(struct script_plan *plan, const struct spec_exec *exec,
                        struct spec_words words)
{
    const char **argv = plan->argv + plan->argv_used;
    SH_CHECK_CMP(plan->argv_used + words.count + 1, <=, SH_COUNT(plan->argv));
    const char *word = exec->text + words.at;
    for (uint32_t i = 0; i < words.count; i++) {
        argv[i] = word;
        word += strlen(word) + 1;
    }
    argv[words.count] = NULL;
    plan->argv_used += words.count + 1;
    plan->commands[plan->command_count++] = (struct exec_command){.argv = argv};
}

enum sh_err script_plan_make(struct script_plan *plan, const struct spec_job *job,
                             const struct script_place *place)
{
    plan->command_count = 0;
    plan->argv_used = 0;
    plan->env_count = 0;
    plan->used = 0;
    bool good =
        set_contract(plan, job, place) && set_torchrun(plan, place) && set_usual(plan, job, place);
    plan->env[plan->env_count] = NULL;
    for (uint32_t i = 0; i < job->exec.run_count; i++) {
        add_command(plan, &job->exec, job->exec.run[i]);
    }
    return good ? SH_OK : SH_ERR_LIMIT;
}
