/* SPDX-License-Identifier: Apache-2.0
 *
 * replay, evaluate: episodes of reinforcement learning. They are worked out here: what an agent
 * played has the same bits on every machine. */
#include "cli/context.h"

#include "spec/rl.h"
#include "spec/sweep.h"

#include <stdlib.h>
#include <string.h>

#define EPISODES_MAX  1000000u
#define GET_TIMEOUT_S 600u
#define WHY_BYTES     256u

static const char *end_name(enum kn_hallway_end end)
{
    static const char *const NAMES[] = {"goes on", "right", "wrong", "late"};
    return NAMES[end];
}

/* ---- replay ---- */

/* The sections of the job; false with the error printed and *status set. */
static bool read_job(struct cli *c, struct spec_rl *rl, int *status)
{
    json_t *row = cli_get(c, "/jobs/", c->args[0], "", status);
    char *text = row != NULL ? json_dumps(json_object_get(row, "spec"), SPEC_JSON_PRINT) : NULL;
    struct spec_job *job = malloc(sizeof *job);
    struct spec_errors *errors = malloc(sizeof *errors);
    bool good = false;
    if (row == NULL) {
        good = false; /* said already */
    } else if (text == NULL || job == NULL || errors == NULL) {
        *status = cli_fail(c, CLI_INTERNAL, "NO_MEMORY", "no memory");
    } else if (spec_parse_again(text, strlen(text), job, errors) != SH_OK || job->kind != SPEC_RL) {
        *status = cli_fail(c, CLI_INVALID, "INVALID", "%s: is no job of kind rl", c->args[0]);
    } else {
        *rl = job->rl;
        good = true;
    }
    free(errors);
    free(job);
    free(text);
    json_decref(row);
    return good;
}

struct states {
    json_t *list;
};

static void on_state(void *context, const struct kn_hallway *h, enum kn_hallway_action action,
                     int32_t reward_micro)
{
    static const char *const ACTIONS[] = {"north", "east", "south", "west", ""};
    struct states *states = context;
    (void)json_array_append_new(
        states->list, json_pack("{s:i, s:i, s:i, s:s, s:s, s:s, s:i}", "step", (int)h->step, "x",
                                (int)h->x, "y", (int)h->y, "symbol", h->symbol_x ? "X" : "O",
                                "goal_x", h->x_east ? "east" : "west", "action", ACTIONS[action],
                                "reward_micro", (int)reward_micro));
}

/* Takes a trainer from the beginning to the episode, and plays it. */
static enum kn_err play_again(const struct spec_rl *rl, uint64_t number, struct states *states,
                              struct kn_episode *out, uint64_t *policy, struct kn_diag *diag)
{
    const struct kn_rl_config config = spec_rl_config(rl);
    const struct kn_watch watch = {.context = states, .step = on_state};
    struct kn_rl *trainer = NULL;
    enum kn_err err = kn_rl_open(&trainer, &config, diag);
    while (err == KN_OK && kn_rl_iterations(trainer) < number / config.areas) {
        err = kn_rl_iterate(trainer, NULL, diag);
    }
    if (err == KN_OK) {
        *policy = kn_policy_hash(kn_rl_policy(trainer), kn_policy_count(&config.env));
        err = kn_rl_replay(trainer, number, *policy, &watch, out, diag);
    }
    kn_rl_close(trainer);
    return err;
}

static int print_episode(struct cli *c, const struct kn_episode *e, uint64_t policy, json_t *states)
{
    char hash[20];
    char of[20];
    (void)snprintf(hash, sizeof hash, "%016llx", (unsigned long long)e->hash);
    (void)snprintf(of, sizeof of, "%016llx", (unsigned long long)policy);
    if (c->json) {
        return cli_print_json(c, json_pack("{s:s, s:I, s:I, s:i, s:s, s:s, s:s, s:o}", "job",
                                           c->args[0], "number", (json_int_t)e->number,
                                           "return_micro", (json_int_t)e->return_micro, "length",
                                           (int)e->length, "end", end_name(e->end), "hash", hash,
                                           "policy", of, "states", states));
    }
    for (size_t i = 0; i < json_array_size(states) && cli_flag(c, "--states"); i++) {
        const json_t *s = json_array_get(states, i);
        (void)fprintf(c->out, "step %lld: x %lld, y %lld%s%s\n", cli_integer(s, "step"),
                      cli_integer(s, "x"), cli_integer(s, "y"),
                      cli_text(s, "action")[0] != '\0' ? " after " : "", cli_text(s, "action"));
    }
    json_decref(states);
    (void)fprintf(c->out, "episode %llu: return %.6f, %u steps, %s, hash %s, policy %s\n",
                  (unsigned long long)e->number, (double)e->return_micro / 1e6, e->length,
                  end_name(e->end), hash, of);
    return CLI_OK;
}

int cli_run_replay(struct cli *c)
{
    struct spec_rl rl;
    struct kn_episode episode;
    struct kn_diag diag = {.text = ""};
    uint64_t policy = 0;
    int status = CLI_OK;
    const char *text = c->args[1];
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 15 || text[digits] != '\0') {
        return cli_fail(c, CLI_USAGE, "USAGE", "%s: must be the number of an episode", text);
    }
    if (!read_job(c, &rl, &status)) {
        return status;
    }
    uint64_t number = strtoull(text, NULL, 10);
    uint64_t count = (uint64_t)rl.iterations * rl.areas;
    if (number >= count) {
        return cli_fail(c, CLI_NOT_FOUND, "NOT_FOUND", "%s: the job has episodes 0 to %llu", text,
                        (unsigned long long)(count - 1));
    }
    struct states states = {.list = json_array()};
    if (play_again(&rl, number, &states, &episode, &policy, &diag) != KN_OK) {
        json_decref(states.list);
        return cli_fail(c, CLI_INVALID, "INVALID", "episode %s: %s", text, diag.text);
    }
    return print_episode(c, &episode, policy, states.list);
}

/* ---- evaluate ---- */

/* The policy of the model; false with the error printed and *status set. */
static bool fetch_policy(struct cli *c, struct spec_policy *policy, int *status)
{
    struct cli_answer answer;
    char why[WHY_BYTES] = "";
    char *path = cli_path(c, "/models/", c->args[0], "/file");
    if (path == NULL) {
        *status = cli_fail(c, CLI_USAGE, "USAGE", "%s: too long", c->args[0]);
        return false;
    }
    struct cli_call call = {.method = "GET", .path = path, .timeout_s = GET_TIMEOUT_S};
    cli_http_call(c->http, &call, &answer);
    free(path);
    if (answer.status != 200) {
        *status = cli_fail_answer(c, &answer);
        return false;
    }
    enum sh_err err =
        spec_policy_read((const uint8_t *)answer.body, answer.size, policy, why, sizeof why);
    free(answer.body);
    if (err != SH_OK) {
        *status = cli_fail(c, cli_exit_of(sh_err_name(err)), sh_err_name(err), "%s: %s", c->args[0],
                           why[0] != '\0' ? why : sh_err_text(err));
    }
    return err == SH_OK;
}

static int print_evaluation(struct cli *c, const struct kn_evaluation *e)
{
    char hash[20];
    (void)snprintf(hash, sizeof hash, "%016llx", (unsigned long long)e->hash);
    if (c->json) {
        return cli_print_json(c, json_pack("{s:s, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:s}", "model",
                                           c->args[0], "episodes", (json_int_t)e->episodes, "right",
                                           (json_int_t)e->right, "wrong", (json_int_t)e->wrong,
                                           "late", (json_int_t)e->late, "mean_return",
                                           e->mean_return, "std_return", e->std_return,
                                           "mean_length", e->mean_length, "hash", hash));
    }
    (void)fprintf(c->out,
                  "%llu episodes: %llu right, %llu wrong, %llu late; return %.4f (deviation %.4f), "
                  "%.1f steps, hash %s\n",
                  (unsigned long long)e->episodes, (unsigned long long)e->right,
                  (unsigned long long)e->wrong, (unsigned long long)e->late, e->mean_return,
                  e->std_return, e->mean_length, hash);
    return CLI_OK;
}

int cli_run_evaluate(struct cli *c)
{
    uint64_t episodes = 0;
    uint64_t seed = 0;
    struct spec_policy policy;
    struct kn_evaluation evaluation;
    int status = CLI_OK;
    if (!cli_number(c, "--episodes", 1, EPISODES_MAX, 100, &episodes) ||
        !cli_number(c, "--seed", 0, UINT64_MAX >> 11, 1, &seed)) {
        return CLI_USAGE;
    }
    if (!fetch_policy(c, &policy, &status)) {
        return status;
    }
    const struct kn_course course = {
        .config = policy.config.env, .seed = seed, .use = KN_HALLWAY_EVALUATE};
    kn_evaluate(&course, policy.policy,
                cli_flag(c, "--sample") ? KN_CHOICE_SAMPLE : KN_CHOICE_GREEDY, episodes,
                &evaluation);
    spec_policy_close(&policy);
    return print_evaluation(c, &evaluation);
}
