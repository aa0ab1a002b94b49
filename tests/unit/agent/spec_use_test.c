/* SPDX-License-Identifier: Apache-2.0
 *
 * Job files of the kinds that use models of the registry, and of data preparation. */
#include "spec/models.h"
#include "spec/spec.h"

#include "tst.h"

#include <stdio.h>
#include <string.h>

#define HEAD(kind) "api: shoal/v1\nkind: " kind "\nname: n\n"
#define HEX        "0011223344556677889900112233445566778899001122334455667788990011"
#define REF(name, version)                                                                         \
    "{\"file\":\"" HEX "\",\"job\":7,\"name\":\"" name "\",\"script\":false,\"version\":" version  \
    "}"

static struct spec_job job;
static struct spec_errors errors;
static char canonical[SH_SPEC_BYTES_MAX];

static const char *canonical_of(const char *text)
{
    size_t length = 0;
    char line[512] = "";
    if (spec_parse(text, strlen(text), &job, &errors) != SH_OK) {
        (void)spec_error_text(&errors.at[0], "job", line, sizeof line);
        tst_fail(__FILE__, __LINE__, "%s", line);
    }
    EXPECT_EQ(spec_canonical(&job, canonical, sizeof canonical, &length), SH_OK);
    return canonical;
}

static const struct {
    const char *text;
    const char *canonical;
} FORMS[] = {
    {HEAD("evaluate") "model: digits:3\ndata: {test: builtin:digits-test, label: y}\n",
     "{\"api\":\"shoal/v1\",\"data\":{\"label\":\"y\",\"test\":\"builtin:digits-test\"},\"kind\":"
     "\"evaluate\",\"model\":\"digits:3\",\"name\":\"n\",\"priority\":50,\"resources\":{\"cpus\":1}"
     ","
     "\"retries\":2}"},
    {HEAD("evaluate") "model: model:rnn\n",
     "{\"api\":\"shoal/v1\",\"kind\":\"evaluate\",\"model\":\"rnn\",\"name\":\"n\",\"priority\":50,"
     "\"resources\":{\"cpus\":1},\"retries\":2}"},
    {HEAD("predict") "model: " REF("digits", "3") "\ninput: files:" HEX
                                                  "\nresources: {ram: 1GiB}\n",
     "{\"api\":\"shoal/v1\",\"input\":\"files:" HEX "\",\"kind\":\"predict\",\"model\":" REF(
         "digits", "3") ",\"name\":\"n\",\"priority\":50,\"resources\":{\"cpus\":1,\"ram\":"
                        "1073741824},\"retries\":2}"},
    {HEAD("ensemble") "models: digits\ninput: builtin:digits-test\n",
     "{\"api\":\"shoal/v1\",\"combine\":[\"each\",\"mean\",\"median\",\"vote\"],\"deadline\":1200,"
     "\"input\":\"builtin:digits-test\",\"kind\":\"ensemble\",\"models\":\"digits\",\"name\":\"n\","
     "\"priority\":50,\"resources\":{\"cpus\":1},\"retries\":2}"},
    {HEAD("ensemble") "models: [a, b:2]\ninput: builtin:digits\ncombine: [vote, mean]\ndeadline: "
                      "2m\n",
     "{\"api\":\"shoal/v1\",\"combine\":[\"mean\",\"vote\"],\"deadline\":120,\"input\":\"builtin:"
     "digits\",\"kind\":\"ensemble\",\"models\":[\"a\",\"b:2\"],\"name\":\"n\",\"priority\":50,"
     "\"resources\":{\"cpus\":1},\"retries\":2}"},
    {HEAD("data-prep") "run: [make]\noutputs: clean\ndataset: clean\n",
     "{\"api\":\"shoal/v1\",\"checkpoint\":{\"keep\":3},\"dataset\":\"clean\",\"env\":{},\"grace\":"
     "30,\"kind\":\"data-prep\",\"metrics\":{\"extract\":[\"keras\",\"sofe4790u\",\"mlagents\","
     "\"conductor\"],\"patterns\":{}},\"name\":\"n\",\"outputs\":[\"clean\"],\"priority\":50,"
     "\"replicas\":1,\"resources\":{\"agents\":{\"max\":1,\"min\":1},\"cpus\":1},\"retries\":2,"
     "\"run\":[[\"/bin/sh\",\"-c\",\"make\"]],\"sandbox\":{\"disk\":21474836480,\"level\":"
     "\"basic\",\"network\":false},\"silence\":0,\"timeout\":302400}"},
};

TEST_ROWS(each_kind_that_uses_models_has_one_canonical_form_that_is_read_back, FORMS)
{
    EXPECT_STR(canonical_of(FORMS[tst_row].text), FORMS[tst_row].canonical);
    EXPECT_STR(canonical_of(FORMS[tst_row].canonical), FORMS[tst_row].canonical);
}

TEST(a_model_is_named_with_or_without_a_version)
{
    struct spec_model_ref ref;
    char text[SPEC_MODEL_REF_BYTES];
    EXPECT(spec_model_ref_read("digits", &ref) && ref.version == 0);
    EXPECT(spec_model_ref_read("model:a.b-c_1:12", &ref) && ref.version == 12);
    EXPECT_STR(ref.name, "a.b-c_1");
    spec_model_ref_write(&ref, text);
    EXPECT_STR(text, "a.b-c_1:12");
    EXPECT(spec_model_ref_read("digits@best", &ref) && ref.alias == SPEC_ALIAS_BEST);
    spec_model_ref_write(&ref, text);
    EXPECT_STR(text, "digits@best");
    EXPECT(spec_model_ref_read("digits@latest", &ref) && ref.alias == SPEC_ALIAS_LATEST);
    EXPECT_EQ(ref.version, 0);
    spec_model_ref_write(&ref, text);
    EXPECT_STR(text, "digits@latest");
    static const char *const wrong[] = {
        "",   ":1",     "a:", "a:0",     "a:x",   "a:1x",     "a:1:2",    "a b",
        "-a", "model:", "a@", "a@worst", "@best", "a:1@best", "a@best:1", "a:1234567890"};
    for (size_t i = 0; i < SH_COUNT(wrong); i++) {
        EXPECT(!spec_model_ref_read(wrong[i], &ref));
    }
}

TEST(an_ensemble_has_a_unit_for_each_model_that_it_names)
{
    (void)canonical_of(HEAD("ensemble") "models: [a, b:2, b:3]\ninput: builtin:digits\n");
    EXPECT_EQ(job.units, 3);
    EXPECT(!job.use.all);
    (void)canonical_of(HEAD("ensemble") "models: a\ninput: builtin:digits\n");
    EXPECT(job.use.all);
    (void)canonical_of(HEAD("ensemble") "models: a:4\ninput: builtin:digits\n");
    EXPECT(!job.use.all);
    EXPECT_EQ(job.use.models[0].version, 4);
}

#define TUNE                                                                                       \
    HEAD("fine-tune")                                                                              \
    "from: digits:1\nreset: [head]\ndata: {train: builtin:digits}\n"                               \
    "train: {batch: 64, ranks: 4, epochs: 1}\n"

TEST(fine_tuning_needs_no_model_section_until_it_is_resolved)
{
    char first[SH_SPEC_BYTES_MAX];
    (void)canonical_of(TUNE);
    EXPECT_EQ(job.model.layer_count, 0);
    EXPECT_EQ(job.data.normalize, SPEC_NORMALIZE_INHERIT);
    EXPECT_STR(job.use.reset[0], "head");
    EXPECT_EQ(job.agents_max, 4);
    (void)snprintf(first, sizeof first, "%s", canonical);
    EXPECT(strstr(first, "\"from\":\"digits:1\"") != NULL);
    EXPECT(strstr(first, "\"model\"") == NULL);
    EXPECT_STR(canonical_of(first), first);
    (void)canonical_of(TUNE "model: {input: [1, 28, 28], layers: [flatten, {dense: 10}]}\n");
    EXPECT_EQ(job.train.class_count, 10);
}

TEST(commands_that_predict_and_evaluate_are_kept_with_the_script)
{
    (void)canonical_of(HEAD("exec") "run: [make]\nmodel_file: m\npredict: [[./p]]\n"
                                    "predictions: out.txt\nevaluate: [[./e, x]]\n"
                                    "results: {file: results.csv, bucketing: cargo2000, compat: "
                                    "conductor, beta: 2}\n");
    const struct spec_exec *x = &job.exec;
    EXPECT_EQ(x->evaluate_count, 1);
    EXPECT_STR(spec_word(x, x->evaluate[0], 1), "x");
    EXPECT_STR(spec_word(x, x->predictions, 0), "out.txt");
    EXPECT_STR(spec_word(x, x->results, 0), "results.csv");
    EXPECT(x->bucketing == SPEC_BUCKETING_CARGO2000 && x->compat == SPEC_COMPAT_CONDUCTOR);
    EXPECT_NEAR(x->beta, 2, 1e-15);
    char first[SH_SPEC_BYTES_MAX];
    (void)snprintf(first, sizeof first, "%s", canonical);
    EXPECT_STR(canonical_of(first), first);
    (void)canonical_of(HEAD("exec") "run: [make]\nresults: r.csv\n");
    EXPECT(job.exec.bucketing == SPEC_BUCKETING_GENERIC);
}

static const struct {
    const char *text;
    const char *error;
} WRONG[] = {
    {HEAD("evaluate") "data: {test: builtin:digits}\n", "job:1:1: model: is missing"},
    {HEAD("evaluate") "model: [a, b]\n",
     "job:4:8: model: a list: must be a model of the registry: " SPEC_MODEL_REF_FORMS},
    {HEAD("evaluate") "model: a:0\n",
     "job:4:8: model: a:0: must be a model of the registry: " SPEC_MODEL_REF_FORMS},
    {HEAD("evaluate") "model: a\ndata: {test: builtin:digits, train: builtin:digits}\n",
     "job:5:30: data: train: unknown key; there are: test, label"},
    {HEAD("predict") "model: a\n", "job:1:1: input: is missing"},
    {HEAD("predict") "model: a\ninput: builtin:cats\n",
     "job:5:8: input: builtin:cats: there are: builtin:digits, builtin:digits-test"},
    {HEAD("predict") "model: {name: a, version: 1}\ninput: builtin:digits\n",
     "job:4:8: model.file: is missing"},
    {HEAD("ensemble") "models: []\ninput: builtin:digits\n",
     "job:4:9: models: a list: must be the name of a model, for all its versions, or a list of 1 "
     "to 256 models, such as [digits:1, digits:2]"},
    {HEAD("ensemble") "models: [a, a]\ninput: builtin:digits\n",
     "job:4:13: models[1]: a: is a member already"},
    {HEAD("ensemble") "models: a\ninput: builtin:digits\ncombine: [sum]\n",
     "job:6:11: combine[0]: sum: must be one of: each, mean, median, vote"},
    {HEAD("ensemble") "models: a\ninput: builtin:digits\ndeadline: 0s\n",
     "job:6:11: deadline: 0s: must be a time such as 90s or 20m, from 1 s to a year"},
    {HEAD("data-prep") "run: [make]\noutputs: clean\n", "job:1:1: dataset: is missing"},
    {HEAD("data-prep") "run: [make]\noutputs: [a, b]\ndataset: d\n",
     "job:1:1: outputs: a: must be one file or folder, without wildcards: it becomes the data set"},
    {HEAD("data-prep") "run: [make]\noutputs: \"*.csv\"\ndataset: d\n",
     "job:1:1: outputs: *.csv: must be one file or folder, without wildcards: it becomes the data "
     "set"},
    {HEAD("data-prep") "run: [make]\noutputs: a\ndataset: d\nreplicas: 2\n",
     "job:1:1: replicas: must be 1 with kind: data-prep"},
    {HEAD("exec") "run: [make]\nevaluate: [[./e]]\n",
     "job:1:1: results: is missing: the file that the commands of evaluate leave, such as "
     "results.csv"},
    {HEAD("exec") "run: [make]\nresults: {file: r.csv, beta: 0}\n",
     "job:5:30: results.beta: 0: must be a number above 0 and at most 1000000"},
    {HEAD("exec") "run: [make]\nresults: {bucketing: generic}\n",
     "job:5:10: results.file: is missing"},
    {HEAD("train") "data: {train: builtin:digits, normalize: inherit}\n"
                   "model: {input: [1, 28, 28], layers: [flatten, {dense: 10}]}\n",
     "job:4:42: data.normalize: inherit: is for kind: fine-tune"},
    {HEAD("train") "data: {train: builtin:digits}\n", "job:1:1: model: is missing"},
    {HEAD("fine-tune") "data: {train: builtin:digits}\n", "job:1:1: from: is missing"},
    {HEAD("fine-tune") "from: a\nreset: head\ndata: {train: builtin:digits}\n",
     "job:5:8: reset: head: must be a list of at most 16 names of layers"},
};

TEST_ROWS(each_mistake_of_such_a_job_is_named, WRONG)
{
    char line[512];
    const char *text = WRONG[tst_row].text;
    EXPECT_EQ(spec_parse(text, strlen(text), &job, &errors), SH_ERR_INVALID);
    EXPECT(errors.count >= 1);
    (void)spec_error_text(&errors.at[0], "job", line, sizeof line);
    EXPECT_STR(line, WRONG[tst_row].error);
}
