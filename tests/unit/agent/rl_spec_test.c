/* SPDX-License-Identifier: Apache-2.0
 *
 * Job files of kind rl, the file of their model, and the curve that rides in checkpoints. */
#include "rl/curve.h"
#include "spec/rl.h"

#include "tst.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JOB "api: shoal/v1\nkind: rl\nname: walker\n"
#define CANONICAL                                                                                  \
    "{\"api\":\"shoal/v1\",\"checkpoint\":{\"every\":1000,\"keep\":3},\"env\":{\"areas\":16,"      \
    "\"length\":9,\"name\":\"hallway\",\"slip_per_mille\":20,\"steps\":128,\"width\":5},"          \
    "\"events\":{\"episodes\":100,\"states\":0},\"kind\":\"rl\",\"name\":\"walker\",\"priority\":" \
    "50,\"resources\":{\"cpus\":1},\"retries\":2,\"train\":{\"discount\":0.99,\"entropy\":0.002,"  \
    "\"iterations\":300,\"lr\":2.0,\"seed\":1,\"summary\":10,\"value_lr\":0.1}}"

static struct spec_job job;
static struct spec_errors errors;

TEST(an_rl_job_has_one_canonical_form_with_all_defaults)
{
    static char out[SH_SPEC_BYTES_MAX];
    size_t length = 0;
    EXPECT_EQ(spec_parse(JOB, strlen(JOB), &job, &errors), SH_OK);
    EXPECT_EQ(spec_canonical(&job, out, sizeof out, &length), SH_OK);
    EXPECT_STR(out, CANONICAL);
    EXPECT_EQ(spec_parse(CANONICAL, strlen(CANONICAL), &job, &errors), SH_OK);
    EXPECT_EQ(spec_canonical(&job, out, sizeof out, &length), SH_OK);
    EXPECT_STR(out, CANONICAL);
}

static const struct {
    const char *text;
    const char *error;
} WRONG[] = {
    {JOB "env: {name: maze}\n",
     "job.yaml:4:13: env.name: maze: must be hallway, the built-in environment; other environments "
     "are scripts of kind exec"},
    {JOB "env: {width: 1}\n", "job.yaml:4:14: env.width: 1: must be a whole number from 2 to 64"},
    {JOB "env: {slip_per_mille: 1001}\n",
     "job.yaml:4:23: env.slip_per_mille: 1001: must be a whole number from 0 to 1000"},
    {JOB "train: {lr: 0}\n",
     "job.yaml:4:13: train.lr: 0: must be a number above 0 and at most 100"},
    {JOB "train: {discount: 1.1}\n",
     "job.yaml:4:19: train.discount: 1.1: must be a number from 0 to 1"},
    {JOB "train: {iterations: 100010, summary: 10}\n",
     "job.yaml:1:1: train.summary: 10: gives 10001 points; with at least 11 there are at most "
     "10000"},
    {JOB "train: {epochs: 3}\n", "job.yaml:4:9: train: epochs: unknown key; there are: iterations, "
                                 "seed, lr, value_lr, discount, "
                                 "entropy, summary"},
    {JOB "checkpoint: {every_steps: 3}\n",
     "job.yaml:4:14: checkpoint: every_steps: unknown key; there are: every, keep"},
    {JOB "sweep: {method: grid}\n", "job.yaml:4:1: sweep: unknown key; did you mean keep?"},
};

TEST_ROWS(each_mistake_in_an_rl_job_is_named_with_what_is_right, WRONG)
{
    char line[512];
    const char *text = WRONG[tst_row].text;
    EXPECT_EQ(spec_parse(text, strlen(text), &job, &errors), SH_ERR_INVALID);
    (void)spec_error_text(&errors.at[0], "job.yaml", line, sizeof line);
    EXPECT_STR(line, WRONG[tst_row].error);
}

TEST(the_file_of_a_policy_is_read_back_and_has_the_same_bytes_for_the_same_policy)
{
    uint8_t digest[SH_DIGEST_BYTES] = {7};
    uint8_t model[2][SH_DIGEST_BYTES];
    uint8_t *bytes[2];
    size_t size[2];
    char why[128] = "";
    struct spec_policy back;
    EXPECT_EQ(spec_parse(JOB, strlen(JOB), &job, &errors), SH_OK);
    struct kn_rl_config config = spec_rl_config(&job.rl);
    size_t count = kn_policy_count(&config.env);
    float *policy = calloc(count, sizeof *policy);
    EXPECT(policy != NULL);
    policy[3] = 0.25f;
    for (int i = 0; i < 2; i++) {
        EXPECT_EQ(spec_policy_write(&job.rl, policy, digest, &bytes[i], &size[i], model[i]), SH_OK);
    }
    EXPECT_EQ(size[0], size[1]);
    EXPECT_MEM(bytes[0], bytes[1], size[0]);
    EXPECT_MEM(model[0], model[1], SH_DIGEST_BYTES);
    EXPECT_EQ(spec_policy_read(bytes[0], size[0], &back, why, sizeof why), SH_OK);
    EXPECT_MEM(back.policy, policy, count * sizeof *policy);
    EXPECT_EQ(back.config.env.length, 9);
    EXPECT_EQ(back.config.areas, 16);
    spec_policy_close(&back);
    bytes[1][size[1] - 1] = 0x7f; /* the last preference becomes not-a-number */
    bytes[1][size[1] - 2] = 0xc0;
    EXPECT_EQ(spec_policy_read(bytes[1], size[1], &back, why, sizeof why), SH_ERR_CORRUPT);
    EXPECT(strstr(why, "not finite") != NULL);
    EXPECT_EQ(spec_policy_read(bytes[0], 20, &back, why, sizeof why), SH_ERR_INVALID);
    for (int i = 0; i < 2; i++) {
        free(bytes[i]);
    }
    free(policy);
}

TEST(a_curve_is_read_back_and_a_damaged_one_is_refused)
{
    static struct rl_curve curve;
    static struct rl_curve back;
    uint8_t bytes[256];
    curve.count = 3;
    for (uint32_t i = 0; i < curve.count; i++) {
        curve.at[i] = (struct rl_point){.iteration = 10 * (i + 1), .steps = i, .mean = 0.5 * i};
    }
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    rl_curve_put(&w, &curve);
    EXPECT_EQ(w.used, rl_curve_size(&curve));
    struct sh_reader r = sh_reader_over(bytes, w.used);
    rl_curve_get(&r, &back);
    EXPECT_EQ(sh_reader_end(&r), SH_OK);
    EXPECT_EQ(back.count, 3);
    EXPECT_EQ(back.at[2].iteration, 30);
    EXPECT_NEAR(back.at[2].mean, 1, 0);
    r = sh_reader_over(bytes, w.used - 1);
    rl_curve_get(&r, &back);
    EXPECT(r.bad);
    EXPECT_EQ(back.count, 0);
    bytes[8] = 200; /* the first point is behind the second */
    r = sh_reader_over(bytes, w.used);
    rl_curve_get(&r, &back);
    EXPECT(r.bad);
    bytes[5] = 0xff; /* more points than a curve has */
    r = sh_reader_over(bytes, w.used);
    rl_curve_get(&r, &back);
    EXPECT(r.bad);
}
