/* SPDX-License-Identifier: Apache-2.0 */
#include "script/plan.h"

#include "tst.h"

#include <string.h>

static struct spec_job job;
static struct spec_errors errors;
static struct script_plan plan;
static const char *gpus = "";

static const char *value_of(const char *name)
{
    size_t n = strlen(name);
    const char *found = NULL;
    for (size_t i = 0; plan.env[i] != NULL; i++) {
        if (strncmp(plan.env[i], name, n) == 0 && plan.env[i][n] == '=') {
            EXPECT(found == NULL); /* never twice */
            found = plan.env[i] + n + 1;
        }
    }
    return found;
}

static void make(const char *text, bool resumes)
{
    struct script_place place = {.unit = {.job = 12, .unit = 3},
                                 .fence = {.term = 2, .index = 40},
                                 .units = 5,
                                 .member = 1,
                                 .members = 3,
                                 .node = "beta",
                                 .dir = "/work/12-3-40",
                                 .master_host = "10.0.0.7",
                                 .master_port = 4711,
                                 .gpus = gpus,
                                 .visible = gpus,
                                 .resumes = resumes};
    EXPECT_EQ(spec_parse(text, strlen(text), &job, &errors), SH_OK);
    EXPECT_EQ(script_plan_make(&plan, &job, &place), SH_OK);
}

TEST(a_script_is_told_where_it_is_and_who_else_is_there)
{
    make("{\"api\":\"shoal/v1\",\"kind\":\"exec\",\"name\":\"n\",\"replicas\":5,\"run\":[[\"a\","
         "\"b c\"],\"d e\"],\"resources\":{\"cpus\":4}}",
         true);
    EXPECT_STR(value_of("SHOAL_JOB"), "12");
    EXPECT_STR(value_of("SHOAL_UNIT"), "3");
    EXPECT_STR(value_of("SHOAL_UNITS"), "5");
    EXPECT_STR(value_of("SHOAL_FENCE"), "2.40");
    EXPECT_STR(value_of("SHOAL_NODE"), "beta");
    EXPECT_STR(value_of("RANK"), "1");
    EXPECT_STR(value_of("WORLD_SIZE"), "3");
    EXPECT_STR(value_of("LOCAL_RANK"), "0");
    EXPECT_STR(value_of("MASTER_ADDR"), "10.0.0.7");
    EXPECT_STR(value_of("MASTER_PORT"), "4711");
    EXPECT_STR(value_of("SHOAL_RESUME_FROM"), "/work/12-3-40/.shoal/checkpoint");
    EXPECT_STR(value_of("OMP_NUM_THREADS"), "4");
    EXPECT_STR(value_of("CONDUCTOR_TYPE"), "cpu");
    EXPECT_EQ(plan.command_count, 2);
    EXPECT_STR(plan.commands[0].argv[1], "b c");
    EXPECT(plan.commands[0].argv[2] == NULL);
    EXPECT_STR(plan.commands[1].argv[0], "/bin/sh");
    EXPECT_STR(plan.commands[1].argv[2], "d e");
}

TEST(a_script_sees_the_gpus_of_its_unit_whatever_its_environment_says)
{
    gpus = "1,3";
    make("{\"api\":\"shoal/v1\",\"kind\":\"exec\",\"name\":\"n\",\"run\":[\"a\"],"
         "\"resources\":{\"gpus\":2},\"env\":{\"CUDA_VISIBLE_DEVICES\":\"0\"}}",
         false);
    EXPECT_STR(value_of("SHOAL_GPUS"), "1,3");
    EXPECT_STR(value_of("CUDA_VISIBLE_DEVICES"), "1,3");
    EXPECT_STR(value_of("CONDUCTOR_TYPE"), "gpu");
}

TEST(the_environment_of_the_job_wins_but_for_the_contract)
{
    make("{\"api\":\"shoal/v1\",\"kind\":\"exec\",\"name\":\"n\",\"run\":[\"a\"],\"env\":{\"PATH\":"
         "\"/opt/bin\",\"RANK\":\"9\",\"LR\":\"a=b\",\"CONDUCTOR_TYPE\":\"gpu\"}}",
         false);
    EXPECT_STR(value_of("PATH"), "/opt/bin");
    EXPECT_STR(value_of("CONDUCTOR_TYPE"), "gpu");
    EXPECT_STR(value_of("LR"), "a=b");
    EXPECT_STR(value_of("RANK"), "1");
    EXPECT(value_of("SHOAL_RESUME_FROM") == NULL);
}

TEST(a_script_that_is_asked_is_told_of_the_model_and_the_input)
{
    struct script_place place = {.gpus = "",
                                 .visible = "",
                                 .unit = {.job = 12},
                                 .units = 1,
                                 .members = 1,
                                 .node = "beta",
                                 .dir = "/work/12-0-40",
                                 .master_host = "10.0.0.7",
                                 .model = "/work/12-0-40/m.bin"};
    EXPECT_EQ(script_plan_make(&plan, &job, &place), SH_OK);
    EXPECT_STR(value_of("SHOAL_MODEL"), "/work/12-0-40/m.bin");
    EXPECT(value_of("SHOAL_INPUT") == NULL);
    place.input = "/work/12-0-40/.shoal/input";
    EXPECT_EQ(script_plan_make(&plan, &job, &place), SH_OK);
    EXPECT_STR(value_of("SHOAL_INPUT"), "/work/12-0-40/.shoal/input");
}

TEST(a_script_in_federated_rounds_is_told_of_round_data_and_models)
{
    struct script_round round = {
        .rounds = 9, .dataset = "/data/part", .out = "/work/12-0-rounds/out"};
    struct script_place place = {.gpus = "",
                                 .visible = "",
                                 .unit = {.job = 12},
                                 .units = 1,
                                 .members = 1,
                                 .node = "beta",
                                 .dir = "/work/12-0-rounds",
                                 .master_host = "127.0.0.1",
                                 .round = &round};
    EXPECT_EQ(script_plan_make(&plan, &job, &place), SH_OK);
    EXPECT_STR(value_of("SHOAL_ROUND"), "0");
    EXPECT_STR(value_of("SHOAL_ROUNDS"), "9");
    EXPECT_STR(value_of("SHOAL_DATASET"), "/data/part");
    EXPECT_STR(value_of("SHOAL_MODEL_OUT"), "/work/12-0-rounds/out");
    EXPECT(value_of("SHOAL_MODEL_IN") == NULL);
    round.number = 3;
    round.in = "/work/12-0-rounds/in";
    EXPECT_EQ(script_plan_make(&plan, &job, &place), SH_OK);
    EXPECT_STR(value_of("SHOAL_ROUND"), "3");
    EXPECT_STR(value_of("SHOAL_MODEL_IN"), "/work/12-0-rounds/in");
}
