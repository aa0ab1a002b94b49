/* SPDX-License-Identifier: Apache-2.0 */
#include "runners.h"

#include "answer/unit.h"
#include "parts.h"
#include "rl/unit.h"
#include "rounds/unit.h"
#include "script/client.h"
#include "train/train.h"

#include <stdio.h>
#include <stdlib.h>

_Static_assert(AGENT_RUN_AS == SCRIPT_USERS_FIRST, "the default is the first that is tried");

/* Users of their own for the units, where they are wanted. */
static enum sh_err take_users(struct service *s, char *why, size_t why_size)
{
    s->users.lock = -1;
    if (!s->options->allow_commands || s->options->run_as == 0) {
        return SH_OK;
    }
    enum sh_err err = script_users_take(&s->users, SCRIPT_USERS_LOCKS, s->options->run_as,
                                        s->options->run_as_given, why, why_size);
    s->self.run_as = s->users.first;
    return err;
}

static enum exec_level level_of(enum wire_sandbox sandbox)
{
    switch (sandbox) {
    case WIRE_SANDBOX_STRICT:
        return EXEC_LEVEL_STRICT;
    case WIRE_SANDBOX_BASIC:
        return EXEC_LEVEL_BASIC;
    case WIRE_SANDBOX_NONE:
    case WIRE_SANDBOX_OFF:
        break;
    }
    return EXEC_LEVEL_NONE;
}

enum sh_err runners_open(struct service *s, char text[static SCRIPT_OPEN_WHY + 1])
{
    char cache[DIR_PATH_MAX + 1];
    char work[DIR_PATH_MAX + 1];
    char rounds[DIR_PATH_MAX + 1];
    char why[DIR_TEXT_BYTES] = "";
    dir_entry(s->dir, "cache", cache);
    dir_entry(s->dir, "work", work);
    dir_entry(s->dir, "rounds", rounds);
    enum sh_err err = take_users(s, why, sizeof why);
    err = err == SH_OK && s->self.run_as > 0 ? dir_let_pass(s->dir, why) : err;
    (void)snprintf(text, SCRIPT_OPEN_WHY + 1, "%.1000s", why);
    struct scripts_config scripts = {.s = s,
                                     .allowed = s->options->allow_commands,
                                     .work = work,
                                     .run_as = s->self.run_as,
                                     .sandbox_min = level_of(s->options->sandbox_min),
                                     .gpus = s->self.gpus,
                                     .visible = getenv("CUDA_VISIBLE_DEVICES")};
    err = err != SH_OK ? err : scripts_open(&s->scripts, &scripts, text);
    s->self.sandbox_min = s->options->allow_commands ? s->options->sandbox_min : WIRE_SANDBOX_OFF;
    s->self.sandbox = err == SH_OK ? scripts_sandbox(s->scripts) : WIRE_SANDBOX_OFF;
    err = err != SH_OK ? err : answer_open(&s->answer, s);
    struct rounds_config federated = {.s = s,
                                      .trust = &s->trust,
                                      .threads = s->self.cpus,
                                      .folder = rounds,
                                      .script = script_client_open,
                                      .ctx = s->scripts};
    err = err != SH_OK ? err : rounds_open(&s->rounds, &federated);
    struct train_config train = {.s = s, .bulk = s->bulk, .threads = s->self.cpus, .cache = cache};
    if (err == SH_OK) {
        calls_on(s->calls, SERVICE_CALL_SCRIPT, scripts_answer, s->scripts);
        train.exec = scripts_runner(s->scripts);
        train.answer = answer_runner(s->answer);
        s->rl = rl_runner(s);
        train.rl = &s->rl;
        calls_on(s->calls, SERVICE_CALL_ROUNDS, rounds_answer, s->rounds);
        train.rounds = rounds_runner(s->rounds);
        err = train_open(&s->train, &train);
    }
    return err;
}

void runners_close(struct service *s)
{
    train_close(s->train);
    scripts_close(s->scripts);
    script_users_give(&s->users);
    answer_close(s->answer);
    rounds_close(s->rounds);
}
