/* SPDX-License-Identifier: Apache-2.0
 *
 * Sweeps: the section of the job file, and what each unit is given. */
#include "spec/sweep.h"

#include "tst.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRAIN                                                                                      \
    "api: shoal/v1\n"                                                                              \
    "kind: train\n"                                                                                \
    "name: digits\n"                                                                               \
    "data: {train: builtin:digits}\n"                                                              \
    "model: {input: [1, 28, 28], layers: [flatten, {dense: 10}]}\n"                                \
    "train: {optimizer: {sgd: {lr: 0.05}}, batch: 256, ranks: 16, epochs: 2}\n"
#define EXEC                                                                                       \
    "api: shoal/v1\n"                                                                              \
    "kind: exec\n"                                                                                 \
    "name: script\n"                                                                               \
    "run: [\"python3 train.py --lr $LR\"]\n"                                                       \
    "env: {MODE: fast}\n"
#define GRID                                                                                       \
    "sweep: {method: grid, parameters: {train.seed: [1, 2, 3], "                                   \
    "train.optimizer.sgd.lr: [0.10, 0.01]}}\n"
#define RANDOM                                                                                     \
    "sweep:\n"                                                                                     \
    "  method: random\n"                                                                           \
    "  trials: 20\n"                                                                               \
    "  seed: 7\n"                                                                                  \
    "  metric: score\n"                                                                            \
    "  goal: max\n"                                                                                \
    "  parameters:\n"                                                                              \
    "    LR: {log_uniform: [1e-4, 1e-1]}\n"                                                        \
    "    DROP: {uniform: [0.1, 0.5]}\n"                                                            \
    "    WIDTH: {int: [8, 64]}\n"                                                                  \
    "    OPT: {choice: [sgd, adam, \"say \\\"x\\\"\"]}\n"
#define HYPERBAND                                                                                  \
    "sweep: {method: hyperband, max_resource: 81, eta: 3, seed: 7, "                               \
    "parameters: {train.optimizer.sgd.lr: {log_uniform: [0.001, 1]}}}\n"

static struct spec_job job;
static struct spec_errors errors;
static struct spec_derived derived;

static void parse_good(const char *text)
{
    if (spec_parse(text, strlen(text), &job, &errors) != SH_OK) {
        char line[512];
        (void)spec_error_text(&errors.at[0], "job.yaml", line, sizeof line);
        tst_fail(__FILE__, __LINE__, "refused: %s", line);
    }
}

static const char *canonical(void)
{
    static char out[SH_SPEC_BYTES_MAX];
    size_t length = 0;
    EXPECT_EQ(spec_canonical(&job, out, sizeof out, &length), SH_OK);
    return out;
}

static const char *params_of(uint32_t unit, uint32_t origin)
{
    EXPECT_EQ(spec_sweep_derive(&job, unit, origin, NULL, &derived, &errors), SH_OK);
    return derived.params;
}

TEST(a_grid_has_a_unit_for_every_combination_the_last_name_changing_fastest)
{
    static const char *const WANT[] = {"{\"train.optimizer.sgd.lr\":0.1,\"train.seed\":1}",
                                       "{\"train.optimizer.sgd.lr\":0.1,\"train.seed\":2}",
                                       "{\"train.optimizer.sgd.lr\":0.1,\"train.seed\":3}",
                                       "{\"train.optimizer.sgd.lr\":0.01,\"train.seed\":1}",
                                       "{\"train.optimizer.sgd.lr\":0.01,\"train.seed\":2}",
                                       "{\"train.optimizer.sgd.lr\":0.01,\"train.seed\":3}"};
    parse_good(TRAIN GRID);
    EXPECT_EQ(job.units, 6);
    for (uint32_t u = 0; u < 6; u++) {
        EXPECT_STR(params_of(u, u), WANT[u]);
    }
}

TEST(the_canonical_form_of_a_sweep_is_read_back)
{
    static char first[SH_SPEC_BYTES_MAX];
    static const char *const JOBS[] = {TRAIN GRID, EXEC RANDOM, TRAIN HYPERBAND};
    for (size_t i = 0; i < SH_COUNT(JOBS); i++) {
        parse_good(JOBS[i]);
        (void)snprintf(first, sizeof first, "%s", canonical());
        parse_good(first);
        EXPECT_STR(canonical(), first);
    }
    EXPECT(strstr(first, "\"sweep\":{\"eta\":3,\"goal\":\"min\",\"max_resource\":81,\"method\":"
                         "\"hyperband\",\"metric\":\"val_loss\",\"parameters\":{"
                         "\"train.optimizer.sgd.lr\":{\"log_uniform\":[0.001,1.0]}},\"resource\":"
                         "\"train.epochs\",\"seed\":7}") != NULL);
}

TEST(a_unit_is_given_the_job_that_a_person_would_write_with_its_values)
{
    static char plain[SH_SPEC_BYTES_MAX];
    uint8_t digest[SH_DIGEST_BYTES];
    parse_good(
        "api: shoal/v1\nkind: train\nname: digits\ndata: {train: builtin:digits}\n"
        "model: {input: [1, 28, 28], layers: [flatten, {dense: 10}]}\n"
        "train: {optimizer: {sgd: {lr: 0.01}}, batch: 256, ranks: 16, epochs: 2, seed: 2}\n");
    (void)snprintf(plain, sizeof plain, "%s", canonical());
    spec_digest(&job, digest);
    parse_good(TRAIN GRID);
    (void)params_of(4, 4);
    EXPECT_STR(derived.spec, plain);
    EXPECT_MEM(derived.digest, digest, sizeof digest);
}

TEST(a_path_may_go_into_a_list)
{
    parse_good("api: shoal/v1\nkind: train\nname: d\ndata: {train: builtin:digits}\n"
               "model: {input: [1, 28, 28], layers: [flatten, {dense: 16}, relu, {dense: 10}]}\n"
               "sweep: {method: grid, parameters: {\"model.layers[1].dense.units\": [4, 32]}}\n");
    (void)params_of(1, 1);
    EXPECT(strstr(derived.spec, "{\"dense\":{\"bias\":true,\"units\":32}},{\"relu\"") != NULL);
}

TEST(one_seed_gives_one_sweep_on_every_machine)
{
    static const char *const WANT[] = {
        "{\"DROP\":0.453945,\"LR\":0.000440602,\"OPT\":\"sgd\",\"WIDTH\":36}",
        "{\"DROP\":0.260071,\"LR\":0.00153814,\"OPT\":\"adam\",\"WIDTH\":12}",
        "{\"DROP\":0.120736,\"LR\":0.00124537,\"OPT\":\"sgd\",\"WIDTH\":33}",
        "{\"DROP\":0.186258,\"LR\":0.00125378,\"OPT\":\"sgd\",\"WIDTH\":61}"};
    parse_good(EXEC RANDOM);
    EXPECT_EQ(job.units, 20);
    for (uint32_t u = 0; u < SH_COUNT(WANT); u++) {
        EXPECT_STR(params_of(u, u), WANT[u]);
    }
}

TEST(draws_keep_within_their_ends_and_fill_them)
{
    char text[SPEC_SCALAR_MAX + 1];
    double low[2] = {1, 64};
    double high[2] = {0, 8};
    parse_good(EXEC RANDOM);
    for (uint32_t u = 0; u < 1000; u++) {
        for (uint32_t p = 0; p < 2; p++) { /* DROP and, by name, the last: WIDTH */
            spec_sweep_value(&job.sweep, u, p * 3, text);
            double value = strtod(text, NULL);
            low[p] = value < low[p] ? value : low[p];
            high[p] = value > high[p] ? value : high[p];
        }
    }
    EXPECT(low[0] >= 0.1 && low[0] < 0.11 && high[0] <= 0.5 && high[0] > 0.49);
    EXPECT_NEAR(low[1], 8, 0);
    EXPECT_NEAR(high[1], 64, 0);
}

TEST(a_logarithmic_draw_is_as_often_below_the_middle_power_as_above)
{
    char text[SPEC_SCALAR_MAX + 1];
    uint32_t below = 0;
    parse_good(EXEC RANDOM);
    for (uint32_t u = 0; u < 1000; u++) {
        spec_sweep_value(&job.sweep, u, 1, text);
        double value = strtod(text, NULL);
        EXPECT(value >= 1e-4 && value <= 1e-1);
        below += value < 0.00316227766 ? 1 : 0;
    }
    EXPECT(below > 440 && below < 560);
}

TEST(values_of_a_script_become_its_environment)
{
    parse_good(EXEC RANDOM);
    (void)params_of(0, 0);
    EXPECT(strstr(derived.spec, "\"MODE\":\"fast\"") != NULL);
    EXPECT(strstr(derived.spec, "\"WIDTH\":\"") != NULL);
    EXPECT(strstr(derived.spec, "\"replicas\":20") != NULL);
    EXPECT(strstr(derived.spec, "\"sweep\"") == NULL);
}

/* Li et al. 2018, table 1. */
TEST(the_brackets_for_81_and_3_are_those_of_the_paper)
{
    static const uint32_t WANT[][2] = {{81, 1}, {27, 3}, {9, 9},  {3, 27}, {1, 81},
                                       {34, 3}, {11, 9}, {3, 27}, {1, 81}, {15, 9},
                                       {5, 27}, {1, 81}, {8, 27}, {2, 81}, {5, 81}};
    struct spec_stage stages[SPEC_STAGES_MAX];
    uint32_t first = 0;
    parse_good(TRAIN HYPERBAND);
    EXPECT_EQ(spec_sweep_stages(&job.sweep, stages), SH_COUNT(WANT));
    for (uint32_t i = 0; i < SH_COUNT(WANT); i++) {
        EXPECT_EQ(stages[i].first, first);
        EXPECT_EQ(stages[i].count, WANT[i][0]);
        EXPECT_EQ(stages[i].resource, WANT[i][1]);
        EXPECT_EQ(stages[i].after, i != 0 && i != 5 && i != 9 && i != 12 && i != 14);
        first += stages[i].count;
    }
    EXPECT_EQ(job.units, first);
    EXPECT_EQ(job.units, 206);
}

TEST(the_best_go_on_failures_rank_last_and_ties_go_to_the_lower_number)
{
    static struct spec_score scores[SPEC_SWEEP_UNITS_MAX];
    static uint32_t origins[SPEC_SWEEP_UNITS_MAX];
    bool ended[SPEC_STAGES_MAX] = {false};
    parse_good("api: shoal/v1\nkind: train\nname: d\ndata: {train: builtin:digits}\n"
               "model: {input: [1, 28, 28], layers: [flatten, {dense: 10}]}\n"
               "sweep: {method: hyperband, max_resource: 4, eta: 2, "
               "parameters: {train.seed: {int: [1, 9]}}}\n");
    /* 4, 2, 1 of 1, 2, 4 epochs; 3, 1 of 2, 4; 3 of 4. */
    EXPECT_EQ(job.units, 14);
    const double values[] = {3, 1, 1, NAN, 5, 4};
    for (uint32_t u = 0; u < SH_COUNT(values); u++) {
        scores[u] = (struct spec_score){.known = isfinite(values[u]) != 0, .value = values[u]};
    }
    spec_sweep_origins(&job.sweep, scores, ended, origins);
    EXPECT_EQ(origins[3], 3);
    EXPECT_EQ(origins[4], SPEC_ORIGIN_NONE);
    EXPECT_EQ(origins[7], 7);
    ended[0] = true;
    spec_sweep_origins(&job.sweep, scores, ended, origins);
    EXPECT_EQ(origins[4], 1);
    EXPECT_EQ(origins[5], 2);
    EXPECT_EQ(origins[6], SPEC_ORIGIN_NONE);
    ended[1] = true;
    spec_sweep_origins(&job.sweep, scores, ended, origins);
    EXPECT_EQ(origins[6], 2);
    EXPECT_EQ(spec_sweep_before(&job.sweep, origins, 0), UINT32_MAX);
    EXPECT_EQ(spec_sweep_before(&job.sweep, origins, 4), 1);
    EXPECT_EQ(spec_sweep_before(&job.sweep, origins, 6), 5); /* which has the values of unit 2 */
    EXPECT_EQ(spec_sweep_best(&job.sweep, scores, 6), 1);
    job.sweep.goal = SPEC_GOAL_MAX;
    spec_sweep_origins(&job.sweep, scores, ended, origins);
    EXPECT_EQ(origins[4], 0);
    EXPECT_EQ(spec_sweep_best(&job.sweep, scores, 6), 4);
    scores[0].known = scores[1].known = false;
    spec_sweep_origins(&job.sweep, scores, ended, origins);
    EXPECT_EQ(origins[4], 2);
    EXPECT_EQ(origins[5], 0);
    EXPECT_STR(params_of(6, origins[6]), "{\"train.epochs\":4,\"train.seed\":9}");
}

static const struct {
    const char *head;
    const char *sweep;
    const char *error; /* the first one, as the command line prints it */
} WRONG[] = {
    {TRAIN, "sweep: {method: gird, parameters: {train.seed: [1]}}\n",
     "job.yaml:7:17: sweep.method: gird: must be one of: grid, random, hyperband"},
    {TRAIN, "sweep: {parameters: {train.seed: [1]}}\n", "job.yaml:7:8: sweep.method: is missing"},
    {TRAIN,
     "start: {job: 3, step: 10, checkpoint: "
     "0011223344556677889900112233445566778899001122334455667788990011}\n"
     "sweep: {method: grid, parameters: {train.seed: [1]}}\n",
     "job.yaml:7:8: start: not possible with a sweep: a checkpoint has the state of one set of "
     "values; each unit begins from its own"},
    {TRAIN, "sweep: {method: grid}\n", "job.yaml:7:8: sweep.parameters: is missing"},
    {TRAIN, "sweep: {method: grid, parameters: {train.sed: [1]}}\n",
     "job.yaml:7:47: sweep.parameters.train.sed: this job has no such value; shoal validate --json "
     "shows those that it has, defaults included"},
    {TRAIN, "sweep: {method: grid, parameters: {train.optimizer.adamw.lr: [1]}}\n",
     "job.yaml:7:62: sweep.parameters.train.optimizer.adamw.lr: this job has no such value; shoal "
     "validate --json shows those that it has, defaults included"},
    {TRAIN, "sweep: {method: grid, parameters: {priority: [1]}}\n",
     "job.yaml:7:46: sweep.parameters.priority: must be a value of train (not train.ranks) or "
     "model, such as train.optimizer.sgd.lr or model.layers[0].conv2d.filters"},
    {TRAIN, "sweep: {method: grid, parameters: {train.ranks: [1]}}\n",
     "job.yaml:7:49: sweep.parameters.train.ranks: must be a value of train (not train.ranks) or "
     "model, such as train.optimizer.sgd.lr or model.layers[0].conv2d.filters"},
    {TRAIN, "sweep: {method: grid, parameters: {train.optimizer.sgd.lr: [0.1, -1]}}\n",
     "job.yaml:7:60: sweep.parameters.train.optimizer.sgd.lr: -1: train.optimizer.sgd.lr: must be "
     "a number above 0 and at most 1000"},
    {TRAIN, "sweep: {method: grid, parameters: {train.batch: [256, 250]}}\n",
     "job.yaml:7:49: sweep.parameters.train.batch: 250: train.batch: must be divisible by "
     "train.ranks (16), such as 256"},
    {TRAIN,
     "sweep: {method: random, trials: 3, parameters: {train.optimizer.sgd.lr: {uniform: [0, "
     "1]}}}\n",
     "job.yaml:7:73: sweep.parameters.train.optimizer.sgd.lr: 0: train.optimizer.sgd.lr: must be a "
     "number above 0 and at most 1000"},
    {TRAIN,
     "sweep: {method: grid, parameters: {train.optimizer.sgd.momentum: [0, 0.9], "
     "train.optimizer.sgd.nesterov: [true]}}\n",
     "job.yaml:7:106: sweep.parameters.train.optimizer.sgd.nesterov: true: "
     "train.optimizer.sgd.nesterov: needs a momentum above 0"},
    {TRAIN, "sweep: {method: grid, trials: 3, parameters: {train.seed: [1]}}\n",
     "job.yaml:7:31: sweep.trials: 3: random search says how many draws it makes: 1 to 1000; the "
     "other methods have none"},
    {TRAIN, "sweep: {method: random, parameters: {train.seed: [1]}}\n",
     "job.yaml:7:8: sweep.trials: random search says how many draws it makes: 1 to 1000; the other "
     "methods have none"},
    {TRAIN, "sweep: {method: grid, parameters: {train.seed: {int: [1, 3]}}}\n",
     "job.yaml:7:48: sweep.parameters.train.seed: a grid needs a list of values; ranges are for "
     "method: random and hyperband"},
    {TRAIN, "sweep: {method: grid, parameters: {train.seed: []}}\n",
     "job.yaml:7:48: sweep.parameters.train.seed: a list: must be a list of 1 to 256 values"},
    {TRAIN, "sweep: {method: grid, parameters: {train.seed: [[1]]}}\n",
     "job.yaml:7:49: sweep.parameters.train.seed[0]: a list: must be a number, true, false, or a "
     "text of at most 255 bytes"},
    {TRAIN, "sweep: {method: random, trials: 3, parameters: {train.seed: {int: [3, 1]}}}\n",
     "job.yaml:7:67: sweep.parameters.train.seed.int: a list: must be [LOW, HIGH], LOW not "
     "above HIGH"},
    {TRAIN, "sweep: {method: random, trials: 3, parameters: {train.seed: {it: [1, 2]}}}\n",
     "job.yaml:7:62: sweep.parameters.train.seed: it: unknown range; did you mean int?"},
    {TRAIN, "sweep: {method: grid, metric: loss, parameters: {train.seed: [1]}}\n",
     "job.yaml:7:31: sweep.metric: loss: must be one of: val_loss, val_accuracy, train_loss"},
    {TRAIN, "sweep: {method: hyperband, parameters: {train.seed: {int: [1, 9]}}}\n",
     "job.yaml:7:8: sweep.max_resource: Hyperband says what the best get, such as 81 epochs; the "
     "other methods have none"},
    {TRAIN,
     "sweep: {method: hyperband, max_resource: 1000, parameters: {train.seed: {int: [1, 9]}}}\n",
     "job.yaml:7:42: sweep.max_resource: gives more than 1000 units"},
    {TRAIN,
     "sweep: {method: hyperband, max_resource: 9, parameters: {train.epochs: {int: [1, 9]}}}\n",
     "job.yaml:7:72: sweep.parameters.train.epochs: is the resource, which Hyperband sets"},
    {EXEC, "sweep: {method: grid, parameters: {train.seed: [1]}}\n",
     "job.yaml:6:48: sweep.parameters.train.seed: must be the name of an environment variable: "
     "letters, digits and '_', the first no digit, and not begin with SHOAL_"},
    {EXEC, "replicas: 3\nsweep: {method: grid, parameters: {LR: [1]}}\n",
     "job.yaml:6:11: replicas: 3: not possible with a sweep, whose units are its combinations or "
     "draws"},
    {EXEC, "sweep: {method: hyperband, max_resource: 9, parameters: {LR: [1]}}\n",
     "job.yaml:6:8: sweep.resource: must be the name of the environment variable that tells the "
     "commands how much they may use, such as EPOCHS"},
};

TEST_ROWS(each_mistake_in_a_sweep_is_named_with_what_is_right, WRONG)
{
    static char text[4096];
    char line[512];
    (void)snprintf(text, sizeof text, "%s%s", WRONG[tst_row].head, WRONG[tst_row].sweep);
    EXPECT_EQ(spec_parse(text, strlen(text), &job, &errors), SH_ERR_INVALID);
    (void)spec_error_text(&errors.at[0], "job.yaml", line, sizeof line);
    EXPECT_STR(line, WRONG[tst_row].error);
}

TEST(values_that_are_wrong_only_together_are_refused_with_their_unit)
{
    char line[512];
    const char *text = "api: shoal/v1\nkind: train\nname: d\ndata: {train: builtin:digits}\n"
                       "model: {input: [1, 28, 28], layers: [flatten, {dense: 10}]}\n"
                       "train: {optimizer: {sgd: {momentum: 0.9}}}\n"
                       "sweep: {method: grid, parameters: {train.optimizer.sgd.momentum: [0.9, 0], "
                       "train.optimizer.sgd.nesterov: [false, true]}}\n";
    EXPECT_EQ(spec_parse(text, strlen(text), &job, &errors), SH_ERR_INVALID);
    (void)spec_error_text(&errors.at[0], "job.yaml", line, sizeof line);
    EXPECT_STR(line, "job.yaml:7:35: sweep.parameters: {\"train.optimizer.sgd.momentum\":0,"
                     "\"train.optimizer.sgd.neste...: unit 3: train.optimizer.sgd.nesterov: needs "
                     "a momentum above 0");
    /* Those that passed it once are not tried again. */
    EXPECT_EQ(spec_parse_again(text, strlen(text), &job, &errors), SH_OK);
}
