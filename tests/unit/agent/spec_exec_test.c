/* SPDX-License-Identifier: Apache-2.0
 *
 * Job files of kind exec. */
#include "spec/spec.h"

#include "tst.h"

#include <stdio.h>
#include <string.h>

#define JOB                                                                                        \
    "api: shoal/v1\n"                                                                              \
    "kind: exec\n"                                                                                 \
    "name: rnn\n"                                                                                  \
    "package: files:0011223344556677889900112233445566778899001122334455667788990011\n"            \
    "run:\n"                                                                                       \
    "  - [python3, train.py, --seed, 7]\n"                                                         \
    "  - ./score.sh > results.csv\n"                                                               \
    "env: {LR: 0.1, CONDUCTOR_TYPE: cpu}\n"                                                        \
    "outputs: [model.h5, logs/**]\n"                                                               \
    "model_file: model.h5\n"                                                                       \
    "abort: [\"loss: nan\"]\n"                                                                     \
    "metrics: {extract: [sofe4790u, keras], patterns: {f1: \"f1=([0-9.]+)\"}}\n"                   \
    "timeout: 2h30m\n"                                                                             \
    "grace: 5s\n"                                                                                  \
    "replicas: 5\n"                                                                                \
    "sandbox: {level: strict, network: true, disk: 2GiB}\n"                                        \
    "resources: {agents: 2, cpus: 4, ram: 8GiB}\n"                                                 \
    "checkpoint: {keep: 1}\n"

#define CANONICAL                                                                                  \
    "{\"abort\":[\"loss: nan\"],\"api\":\"shoal/v1\",\"checkpoint\":{\"keep\":1},\"env\":"         \
    "{\"CONDUCTOR_TYPE\":\"cpu\",\"LR\":\"0.1\"},\"grace\":5,\"kind\":\"exec\",\"metrics\":"       \
    "{\"extract\":[\"keras\",\"sofe4790u\"],\"patterns\":{\"f1\":\"f1=([0-9.]+)\"}},"              \
    "\"model_file\":[\"model.h5\"],\"name\":\"rnn\",\"outputs\":[\"model.h5\",\"logs/**\"],"       \
    "\"package\":\"files:0011223344556677889900112233445566778899001122334455667788990011\","      \
    "\"priority\":50,\"replicas\":5,\"resources\":{\"agents\":{\"max\":2,\"min\":2},\"cpus\":4,"   \
    "\"ram\":8589934592},\"retries\":2,\"run\":[[\"python3\",\"train.py\",\"--seed\",\"7\"],"      \
    "[\"/bin/sh\",\"-c\",\"./score.sh > results.csv\"]],\"sandbox\":{\"disk\":2147483648,"         \
    "\"level\":\"strict\",\"network\":true},\"silence\":0,\"timeout\":9000}"

static struct spec_job job;
static struct spec_errors errors;
static char canonical[SH_SPEC_BYTES_MAX];

static const char *canonical_of(const char *text)
{
    size_t length = 0;
    EXPECT_EQ(spec_parse(text, strlen(text), &job, &errors), SH_OK);
    EXPECT_EQ(spec_canonical(&job, canonical, sizeof canonical, &length), SH_OK);
    return canonical;
}

TEST(an_exec_job_has_one_canonical_form_that_is_read_back)
{
    char first[sizeof CANONICAL];
    EXPECT_STR(canonical_of(JOB), CANONICAL);
    memcpy(first, canonical, sizeof first);
    EXPECT_STR(canonical_of(first), CANONICAL);
}

TEST(the_words_of_an_exec_job_are_as_in_the_file)
{
    (void)canonical_of(JOB);
    const struct spec_exec *x = &job.exec;
    EXPECT_EQ(x->run_count, 2);
    EXPECT_EQ(x->run[0].count, 4);
    EXPECT_STR(spec_word(x, x->run[0], 3), "7");
    EXPECT_STR(spec_word(x, x->run[1], 2), "./score.sh > results.csv");
    EXPECT_STR(spec_word(x, x->env, 1), "LR=0.1");
    EXPECT_STR(spec_word(x, x->patterns, 0), "f1=f1=([0-9.]+)");
    EXPECT_EQ(x->extract, SPEC_EXTRACT_KERAS | SPEC_EXTRACT_SOFE);
    EXPECT_EQ(job.units, 5);
    EXPECT_EQ(job.agents_max, 2);
    EXPECT_EQ(job.ram_bytes, UINT64_C(8) << 30);
}

TEST(an_exec_job_needs_only_commands)
{
    (void)canonical_of(
        "{\"api\":\"shoal/v1\",\"kind\":\"exec\",\"name\":\"n\",\"run\":[\"true\"]}");
    EXPECT_EQ(job.units, 1);
    EXPECT_EQ(job.agents_min, 1);
    EXPECT_EQ(job.agents_max, 1);
    EXPECT_EQ(job.exec.timeout_s, 302400);
    EXPECT_EQ(job.exec.sandbox, SPEC_SANDBOX_BASIC);
    EXPECT(!job.exec.network);
    EXPECT_EQ(job.exec.package.kind, SPEC_SOURCE_NONE);
    EXPECT(!job.reproducible);
}

TEST(the_model_file_is_an_output_where_no_others_are_named)
{
    (void)canonical_of("api: shoal/v1\nkind: exec\nname: n\nrun: [make]\nmodel_file: m.bin\n");
    EXPECT_EQ(job.exec.outputs.count, 1);
    EXPECT_STR(spec_word(&job.exec, job.exec.outputs, 0), "m.bin");
}

#define FIFTY "logs-0123456789-0123456789-0123456789-0123456789-x"
#define LONG  FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY

static const struct {
    const char *from;
    const char *to;
    const char *error;
} WRONG[] = {
    {"run:\n  - [python3, train.py, --seed, 7]\n  - ./score.sh > results.csv\n", "run: []\n",
     "job.yaml:5:6: run: a list: must have at least one command"},
    {"run:\n  - [python3, train.py, --seed, 7]\n  - ./score.sh > results.csv\n", "",
     "job.yaml:1:1: run: is missing"},
    {"[python3, train.py, --seed, 7]", "{a: b}",
     "job.yaml:6:5: run[0]: a map: must be a command: a list of words such as [python3, train.py], "
     "or one text for the shell"},
    {"--seed, 7]", "--seed, [7]]", "job.yaml:6:33: run[0][3]: a list: must be text"},
    {"LR: 0.1", "L-R: 0.1",
     "job.yaml:8:7: env.L-R: L-R: must be letters, digits and '_', the first no digit, and not "
     "begin with SHOAL_, which shoal sets itself"},
    {"LR: 0.1", "SHOAL_UNIT: 0",
     "job.yaml:8:7: env.SHOAL_UNIT: SHOAL_UNIT: must be letters, digits and '_', the first no "
     "digit, and not begin with SHOAL_, which shoal sets itself"},
    {"logs/**", "../logs",
     "job.yaml:9:21: outputs[1]: ../logs: must be a path inside the working folder, or a pattern "
     "of "
     "some: a pattern is relative, without empty, \".\" and \"..\" parts"},
    {"logs/**", "/etc/passwd",
     "job.yaml:9:21: outputs[1]: /etc/passwd: must be a path inside the working folder, or a "
     "pattern "
     "of some: a pattern is relative"},
    {"logs/**", "\"logs[0]\"",
     "job.yaml:9:21: outputs[1]: logs[0]: must be a path inside the working folder, or a pattern "
     "of "
     "some: only *, ** and ? are wild cards; write ? for a bracket or a backslash"},
    {"logs/**", LONG, "job.yaml:9:21: outputs[1]: " FIFTY},
    {"model_file: model.h5", "model_file: model.*",
     "job.yaml:10:13: model_file: model.*: must be the name of one file, without wildcards"},
    {"model_file: model.h5", "model_file: a/model.h5",
     "job.yaml:1:1: model_file: a/model.h5: must be one of outputs: name it, its folder or a "
     "pattern for it there too"},
    {"{keep: 1}", "{keep: 1, files: [\"a[1]\"]}",
     "job.yaml:18:31: checkpoint.files[0]: a[1]: must be a path inside the working folder"},
    {"grace: 5s", "grace: 5s\npredictions: \"p?\"",
     "job.yaml:15:14: predictions: p?: must be the name of one file, without wildcards"},
    {"grace: 5s", "grace: 5s\nresults: /r.csv",
     "job.yaml:15:10: results: /r.csv: must be a path inside the working folder"},
    {"model_file: model.h5", "model_file: [a, b]",
     "job.yaml:10:17: model_file[1]: b: there may be at most 1"},
    {"\"loss: nan\"", "\"loss: (nan\"",
     "job.yaml:11:9: abort[0]: loss: (nan: has a ( without its ); write \\( for the character"},
    {"\"loss: nan\"", "'(a+)\\1'", "job.yaml:11:9: abort[0]: (a+)\\1: has a back-reference"},
    {"\"loss: nan\"", "\"a{1,1025}\"",
     "job.yaml:11:9: abort[0]: a{1,1025}: is too large: at most 512"},
    {"\"loss: nan\"", "\"a{400}\", \"b{400}\", \"c{400}\", \"d{400}\", \"e{450}\"",
     "job.yaml:11:49: abort[4]: e{450}: is too much: all patterns of a job together "
     "may have 2048 characters"},
    {"f1: \"f1=",
     "\""
     "a23456789-123456789-123456789-123456789-123456789-123456789-1234"
     "\": \"f1=",
     "job.yaml:12:51: "
     "metrics.patterns.a23456789-123456789-123456789-123456789-123456789-123456789-1234: a2345"},
    {"\"f1=([0-9.]+)\"", "\"\"", "job.yaml:12:55: metrics.patterns.f1: must have 1 to 512 bytes"},
    {"f1=([0-9.]+)", "f1=[0-9.]+",
     "job.yaml:12:55: metrics.patterns.f1: f1=[0-9.]+: must have a group for the number, such as "
     "loss: ([0-9.]+)"},
    {"[sofe4790u, keras]", "[sofe4790u, torch]",
     "job.yaml:12:32: metrics.extract[1]: torch: must be one of: keras, sofe4790u, mlagents, "
     "conductor"},
    {"2h30m", "0s",
     "job.yaml:13:10: timeout: 0s: must be a time such as 90s, 2h30m or 84h, from 1 s to a year"},
    {"5s", "soon",
     "job.yaml:14:8: grace: soon: must be a time such as 90s, 2h30m or 84h, from 0 s to a year"},
    {"replicas: 5", "replicas: 0",
     "job.yaml:15:11: replicas: 0: must be a whole number from 1 to 10000"},
    {"level: strict", "level: tight",
     "job.yaml:16:18: sandbox.level: tight: must be one of: none, basic, strict"},
    {"disk: 2GiB", "disk: 2GeB",
     "job.yaml:16:47: sandbox.disk: 2GeB: must be a size such as 512MiB or 20GiB"},
    {"ram: 8GiB", "ram: much",
     "job.yaml:17:38: resources.ram: much: must be a size such as 512MiB or 8GiB"},
    {"agents: 2", "agents: {min: 3, max: 2}",
     "job.yaml:1:1: resources.agents.min: 3: must not exceed resources.agents.max (2)"},
    {"files:0011", "dataset:a#0011",
     "job.yaml:4:10: package: dataset:a#00112233445566778899001122334455667788990011223344...: "
     "must "
     "be a folder of at most 511 bytes of name, or files: and the 64 hexadecimal digits of a "
     "package"},
    {"grace: 5s", "gracee: 5s", "job.yaml:14:1: gracee: unknown key; did you mean grace?"},
};

TEST_ROWS(each_mistake_of_an_exec_job_is_named, WRONG)
{
    char text[4096];
    char line[512];
    const char *at = strstr(JOB, WRONG[tst_row].from);
    EXPECT(at != NULL);
    (void)snprintf(text, sizeof text, "%.*s%s%s", (int)(at - JOB), JOB, WRONG[tst_row].to,
                   at + strlen(WRONG[tst_row].from));
    EXPECT_EQ(spec_parse(text, strlen(text), &job, &errors), SH_ERR_INVALID);
    EXPECT_EQ(errors.count, 1);
    (void)spec_error_text(&errors.at[0], "job.yaml", line, sizeof line);
    EXPECT(strncmp(line, WRONG[tst_row].error, strlen(WRONG[tst_row].error)) == 0 ||
           (tst_fail(__FILE__, __LINE__, "%s", line), false));
}
