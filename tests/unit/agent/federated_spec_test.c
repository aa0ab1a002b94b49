/* SPDX-License-Identifier: Apache-2.0
 *
 * The section federated of a job file. */
#include "spec/spec.h"
#include "tst.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BEGIN  "api: shoal/v1\nkind: train\nname: f\n"
#define TABLE  "data: {train: 'dataset:d', label: y}\nmodel: {input: [2], layers: [{dense: 2}]}\n"
#define SCRIPT "api: shoal/v1\nkind: exec\nname: f\nrun: [[true]]\n"
#define HEAD   BEGIN TABLE "train: {batch: 16, ranks: 4, seed: 3}\nfederated: {rounds: 5, "

static struct spec_job *parse(const char *text, struct spec_errors *errors, enum sh_err *err)
{
    struct spec_job *job = calloc(1, sizeof *job);
    EXPECT(job != NULL);
    *err = spec_parse(text, strlen(text), job, errors);
    return job;
}

static struct spec_job *good(const char *text)
{
    struct spec_errors errors = {.count = 0};
    enum sh_err err = SH_OK;
    struct spec_job *job = parse(text, &errors, &err);
    if (err != SH_OK) {
        char line[400];
        (void)spec_error_text(&errors.at[0], "job", line, sizeof line);
        tst_fail(__FILE__, __LINE__, "%s: %s", text, line);
    }
    return job;
}

/* Canonical bytes are a job file too, and parsing them gives the same bytes again. */
static void expect_round_trip(const struct spec_job *job, const char *part)
{
    static char one[SH_SPEC_BYTES_MAX];
    static char two[SH_SPEC_BYTES_MAX];
    size_t length = 0;
    EXPECT_EQ(spec_canonical(job, one, sizeof one, &length), SH_OK);
    if (strstr(one, part) == NULL) {
        tst_fail(__FILE__, __LINE__, "%s is not in %s", part, one);
    }
    struct spec_job *again = good(one);
    EXPECT_EQ(spec_canonical(again, two, sizeof two, &length), SH_OK);
    EXPECT_STR(one, two);
    free(again);
}

TEST(defaults_are_filled_in_and_other_sections_follow)
{
    struct spec_job *job = good(BEGIN TABLE "federated: {rounds: 7, local_epochs: 2}\n");
    const struct spec_federated *f = &job->federated;
    EXPECT(f->on);
    EXPECT_EQ(f->select, SPEC_SELECT_ALL);
    EXPECT_EQ(f->algorithm, SPEC_FEDAVG);
    EXPECT_EQ(f->least, 2);
    EXPECT_EQ(f->deadline_s, 60);
    EXPECT_EQ(job->train.epochs, 14);
    EXPECT_EQ(job->data.normalize, SPEC_NORMALIZE_NONE);
    EXPECT_EQ(job->arithmetic, SPEC_ARITHMETIC_ANY);
    EXPECT_EQ(job->checkpoint_keep, 9);
    EXPECT_EQ(job->agents_max, SPEC_AGENTS_MAX); /* whatever the ranks */
    expect_round_trip(job, "\"algorithm\":{\"fedavg\":{\"lr\":1.0}}");
    free(job);
}

TEST(updates_of_a_script_can_be_hidden_too)
{
    struct spec_job *job = good(SCRIPT "federated: {rounds: 7, dataset: parts, secure: true, "
                                       "privacy: {clip: 1, noise: 2, delta: 0.001}}\n");
    EXPECT_EQ(job->federated.weight, SPEC_WEIGHT_EQUAL);
    expect_round_trip(job, "\"secure\":true");
    free(job);
}

TEST(a_script_names_its_data_set_there)
{
    struct spec_job *job =
        good(SCRIPT "model_file: m\npredict: [[true]]\nfederated: {rounds: 7, dataset: parts}\n");
    EXPECT(job->federated.on);
    EXPECT_EQ(job->data.train.kind, SPEC_SOURCE_DATASET);
    EXPECT_STR(job->data.train.name, "parts");
    EXPECT_EQ(job->checkpoint_keep, 9);
    EXPECT_EQ(job->agents_max, SPEC_AGENTS_MAX);
    expect_round_trip(job, "\"dataset\":\"parts\"");
    free(job);
}

static const struct {
    const char *section;
    const char *canonical;
} FORMS[] = {
    {"select: {fraction: 0.5}, over: 2", "\"over\":2.0,\"rounds\":5,\"select\":{\"fraction\":0.5}"},
    {"select: {count: 3}", "\"select\":{\"count\":3}"},
    {"continuation: 0.75", "\"continuation\":0.75"},
    {"continuation: {updates: 3}", "\"continuation\":{\"updates\":3}"},
    {"algorithm: {fedprox: {mu: 0.5}}", "\"algorithm\":{\"fedprox\":{\"mu\":0.5}}"},
    {"algorithm: fedyogi", "{\"fedyogi\":{\"beta1\":0.9,\"beta2\":0.99,\"lr\":0.1,\"tau\":0.001}}"},
    {"algorithm: fedadagrad", "{\"fedadagrad\":{\"beta1\":0.0,\"lr\":0.1,\"tau\":0.001}}"},
    {"algorithm: fedavgm", "{\"fedavgm\":{\"beta1\":0.9,\"lr\":1.0}}"},
    {"algorithm: {fedbuff: {updates: 4}}",
     "{\"fedbuff\":{\"lr\":1.0,\"staleness\":20,\"updates\":4}}"},
    {"short: carry, skips: 9", "\"short\":\"carry\",\"skips\":9"},
    {"target: {loss: 0.25}, patience: 4", "\"target\":{\"loss\":0.25}"},
    {"aggregate: {rule: median}, min: 3", "{\"byzantine\":1,\"rule\":\"median\"}"},
    {"aggregate: {rule: multi-krum, norm_bound: 2}, min: 5",
     "{\"byzantine\":1,\"norm_bound\":2.0,\"rule\":\"multi-krum\"}"},
    {"deadline: 2m, weight: accuracy", "\"weight\":\"accuracy\""}};

TEST_ROWS(every_form_of_a_value_is_kept, FORMS)
{
    char text[1024];
    (void)snprintf(text, sizeof text, HEAD "%s}\n", FORMS[tst_row].section);
    struct spec_job *job = good(text);
    expect_round_trip(job, FORMS[tst_row].canonical);
    free(job);
}

static const struct {
    const char *text;
    const char *error;
} MISTAKES[] = {
    {BEGIN TABLE "federated: {local_epochs: 1}\n", "federated.rounds"},
    {BEGIN TABLE "federated: {rounds: 1001}\n", "federated.rounds: 1001: must be a whole number"},
    {HEAD "select: some}\n", "unknown selection"},
    {HEAD "select: fraction}\n", "must be all, {fraction: F}"},
    {HEAD "select: {fraction: 1.5}}\n", "select.fraction: 1.5"},
    {HEAD "algorithm: fedadm}\n", "did you mean fedadam?"},
    {HEAD "algorithm: {fedavg: {mu: 1}}}\n", "unknown key"},
    {HEAD "algorithm: scaffold}\n", "sgd without momentum"},
    {HEAD "algorithm: fedbuff, continuation: 1}\n", "fedbuff: {updates: N}"},
    {HEAD "deadline: soon}\n", "must be a time from 1s to 7d"},
    {HEAD "short: wait}\n", "must be skip"},
    {HEAD "min: 4, select: {count: 3}}\n", "federated.min"},
    {HEAD "target: {accuracy: 2}}\n", "target.accuracy: 2"},
    {HEAD "aggregate: {rule: vote}}\n", "aggregate.rule"},
    {BEGIN TABLE "train: {wire: int8}\nfederated: {rounds: 5}\n", "train.wire"},
    {BEGIN TABLE "train: {epochs: 3}\nfederated: {rounds: 5}\n", "train.epochs"},
    {BEGIN TABLE "federated: {rounds: 1000, local_epochs: 101}\n", "federated.local_epochs"},
    {HEAD "aggregate: {rule: mean, byzantine: 1}}\n", "aggregate"},
    {HEAD "aggregate: {rule: krum, byzantine: 0}}\n", "aggregate.byzantine: 0"},
    {HEAD "aggregate: {rule: krum, norm_bound: 0}}\n", "aggregate.norm_bound: 0"},
    {HEAD "aggregate: {rule: krum}, min: 4}\n", "federated.min"},
    {HEAD "aggregate: {rule: median}, min: 3, algorithm: {fedbuff: {updates: 3}}}\n",
     "federated.aggregate"},
    {HEAD "aggregate: {rule: median}, min: 3, weight: accuracy}\n", "federated.weight"},
    {BEGIN TABLE "sweep: {method: grid, parameters: {train.seed: [1, 2]}}\n"
                 "federated: {rounds: 5}\n",
     "sweep"},
    {BEGIN "data: {train: 'builtin:digits'}\nmodel: {input: [1, 28, 28], layers: [flatten, {dense: "
           "10}]}\nfederated: {rounds: 5}\n",
     "data.train"},
    {BEGIN "data: {train: 'dataset:d', normalize: standard}\nmodel: {input: [2], layers: [{dense: "
           "2}]}\nfederated: {rounds: 5}\n",
     "data.normalize"},
    {BEGIN "data: {train: 'dataset:d', validation: 0}\nmodel: {input: [2], layers: [{dense: 2}]}\n"
           "federated: {rounds: 5, patience: 3}\n",
     "federated.patience"},
    {BEGIN TABLE "federated: {rounds: 5, dataset: d}\n", "federated.dataset"},
    {SCRIPT "federated: {rounds: 5}\n", "federated.dataset"},
    {SCRIPT "federated: {rounds: 5, dataset: d, local_epochs: 2}\n", "federated.local_epochs"},
    {SCRIPT "federated: {rounds: 5, dataset: d, patience: 2}\n", "federated.patience"},
    {SCRIPT "federated: {rounds: 5, dataset: d, weight: accuracy}\n", "federated.weight"},
    {SCRIPT "federated: {rounds: 5, dataset: d, algorithm: fedprox}\n", "federated.algorithm"},
    {SCRIPT "replicas: 2\nfederated: {rounds: 5, dataset: d}\n", "replicas"},
    {SCRIPT "outputs: [a]\nfederated: {rounds: 5, dataset: d}\n", "outputs"},
    {SCRIPT "predict: [[true]]\nfederated: {rounds: 5, dataset: d}\n", "model_file"},
    {SCRIPT "checkpoint: {every: 5s}\nfederated: {rounds: 5, dataset: d}\n", "checkpoint.every"},
    {SCRIPT "resources: {gpus: 1}\nfederated: {rounds: 5, dataset: d}\n", "resources.gpus"},
    {"api: shoal/v1\nkind: noop\nname: f\nfederated: {rounds: 5}\n", "federated"}};

TEST_ROWS(each_mistake_names_its_field, MISTAKES)
{
    struct spec_errors errors = {.count = 0};
    enum sh_err err = SH_OK;
    char line[400] = "";
    struct spec_job *job = parse(MISTAKES[tst_row].text, &errors, &err);
    EXPECT_EQ(err, SH_ERR_INVALID);
    EXPECT(errors.count > 0);
    (void)spec_error_text(&errors.at[0], "job", line, sizeof line);
    if (strstr(line, MISTAKES[tst_row].error) == NULL) {
        tst_fail(__FILE__, __LINE__, "\"%s\" does not name \"%s\"", line, MISTAKES[tst_row].error);
    }
    free(job);
}
