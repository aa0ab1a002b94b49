/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/capture.h"

#include "tst.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static struct exec_capture *capture;
static struct exec_facts facts;
static char told[4096];

static void open_capture(const struct exec_pattern *patterns, size_t count, unsigned presets)
{
    char why[EXEC_TEXT_BYTES];
    EXPECT_EQ(exec_capture_open(&capture, patterns, count, presets, why, sizeof why), SH_OK);
}

static void put(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void put(const char *format, ...)
{
    const size_t used = strlen(told);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(told + used, sizeof told - used, format, args);
    va_end(args);
}

/* "name@step=value", "name=value" without a step, "3/10", "->path@step", "?1.5", "ready", "bad". */
static const char *tell(void)
{
    told[0] = 0;
    for (size_t i = 0; i < facts.count; i++) {
        const struct exec_fact *fact = &facts.at[i];
        put("%s", i > 0 ? " " : "");
        switch (fact->kind) {
        case EXEC_FACT_METRIC:
            put("%s", fact->name);
            if (fact->stepped) {
                put("@%llu", (unsigned long long)fact->step);
            }
            put("=%.10g", fact->value);
            break;
        case EXEC_FACT_PROGRESS:
            put("%.6g/%.10g", fact->value, fact->total);
            break;
        case EXEC_FACT_CHECKPOINT:
            put("->%s", facts.checkpoint);
            if (fact->stepped) {
                put("@%llu", (unsigned long long)fact->step);
            }
            break;
        case EXEC_FACT_PREDICTION:
            put("?%.10g", fact->value);
            break;
        case EXEC_FACT_READY:
            put("ready");
            break;
        }
    }
    if (facts.malformed) {
        put("bad");
    }
    if (facts.not_finite > 0) {
        put(" %u not finite", facts.not_finite);
    }
    if (facts.dropped > 0) {
        put(" %u dropped", facts.dropped);
    }
    return told;
}

static const char *say(enum exec_channel channel, unsigned flags, const char *text)
{
    exec_capture_line(capture, channel, flags, text, strlen(text), &facts);
    return tell();
}

static const struct {
    const char *line, *facts;
} RECORDS[] = {
    {"{\"step\":12,\"loss\":0.3}", "loss@12=0.3"},
    {"{\"loss\":0.3,\"acc\":-1e2,\"step\":12}", "loss@12=0.3 acc@12=-100"},
    {"{\"loss\":0.3}", "loss=0.3"},
    {"{\"step\":12.0,\"loss\":1}", "loss@12=1"},
    {"{\"step\":12.5,\"loss\":1}", "loss=1"},
    {"{\"step\":-1,\"loss\":1}", "loss=1"},
    {"{\"step\":\"x\",\"loss\":1}", "loss=1"},
    {"{\"progress\":{\"done\":3,\"total\":10,\"unit\":\"epoch\"}}", "3/10"},
    {"{\"progress\":{\"done\":3}}", ""},
    {"{\"progress\":{}}", ""},
    {"{\"progress\":{\"done\":11,\"total\":10}}", ""},
    {"{\"progress\":0.5}", ""},
    {"{\"checkpoint\":\"ck/12.pt\"}", "->ck/12.pt"},
    {"{\"checkpoint\":\"a\",\"checkpoint\":\"b\\/\\u00e9\\ud83d\\ude00\\n\"}",
     "->b/\xc3\xa9\xf0\x9f\x98\x80?"},
    {"{\"step\":12,\"checkpoint\":\"last\"}", "->last@12"},
    {"{\"checkpoint\":7}", ""},
    {"{\"checkpoint\":\"\"}", " 1 dropped"},
    {"{\"checkpoint\":\"a\\u0000b\"}", "->a?b"},
    {"{\"prediction\":1.5}", "?1.5"},
    {"{\"ready\":true}", "ready"},
    {"{\"ready\":false,\"x\":true,\"y\":null,\"z\":\"s\"}", ""},
    {" { \"a\" : 1 , \"b\" : [1,{\"c\":[]},\"]\"] , \"d\":{\"e\":{}} , \"f\":2 } ", "a=1 f=2"},
    {"{\"loss\":NaN,\"acc\":-Infinity,\"ok\":1}", "ok=1 2 not finite"},
    {"{\"loss\":1e999}", " 1 not finite"},
    {"{}", ""},
    {"{\"\":1}", " 1 dropped"},
    {"{\"a\":1", "bad"},
    {"{\"a\":1}x", "bad"},
    {"{\"a\":1,}", "bad"},
    {"{\"a\" 1}", "bad"},
    {"{a:1}", "bad"},
    {"{\"a\":+1}", "bad"},
    {"{\"a\":.5}", "bad"},
    {"{\"a\":1x}", "bad"},
    {"{\"a\":tru}", "bad"},
    {"{\"a\":[1}", "bad"},
    {"{\"a\":\"\\x\"}", "bad"},
    {"{\"a\":\"\\ud800\"}", "bad"},
    {"{\"b\":1,\"a\":\"", "bad"},
    {"[1]", "bad"},
    {"12", "bad"},
    {"hello", "bad"},
    {"{\"a\":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}", ""},
    {"{\"a\":[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]}", "bad"},
};

TEST_ROWS(an_object_on_the_metrics_channel_is_understood_or_refused_whole, RECORDS)
{
    char line[512];
    open_capture(NULL, 0, EXEC_PRESET_ALL);
    EXPECT_STR(say(EXEC_METRICS, 0, RECORDS[tst_row].line), RECORDS[tst_row].facts);
    (void)snprintf(line, sizeof line, "SHOAL %s", RECORDS[tst_row].line);
    EXPECT_STR(say(EXEC_STDOUT, 0, line), RECORDS[tst_row].facts);
    EXPECT_STR(say(EXEC_STDERR, 0, line), "");
    exec_capture_close(capture);
}

static const struct {
    const char *line, *facts;
} PROGRAMS[] = {
    {"loss: 0.12 - val_loss: 0.34", "loss=0.12 val_loss=0.34"},
    {"469/469 [==============================] - 5s 10ms/step - loss: 0.1203 - accuracy: 0.9 - "
     "val_loss: 3.4e-2 - val_accuracy: 1",
     "loss=0.1203 accuracy=0.9 val_loss=0.034 val_accuracy=1"},
    {" - 5s - loss: 0.5 - mean_absolute_error: 12", "loss=0.5 mean_absolute_error=12"},
    {"12/469 [>....] - ETA: 5s - loss: 2.3", "loss=2.3"},
    {"loss: nan - val_loss: nan", " 2 not finite"},
    {"2026-01-01 - INFO - retries: 3", ""},
    {"the loss: 3 points", ""},
    {"Epoch 3/10", "2/10"},
    {"Epoch 11/10", ""},
    {"Epoch 0/10", ""},
    {"Epoch [1/10], Train Loss: 0.5, Train Accuracy: 85.30%, Test Loss: 0.25, Test Accuracy: 9e1%, "
     "Epoch Time: 12.34 seconds",
     "1/10 train_loss@1=0.5 train_accuracy@1=85.3 test_loss@1=0.25 test_accuracy@1=90 "
     "epoch_time_seconds@1=12.34"},
    {"Epoch [1/10], Train Loss: x", "1/10"},
    {"[INFO] My Behavior. Step: 10000. Time Elapsed: 12.345 s. Mean Reward: -0.5. Std of Reward: "
     "0.25. Training.",
     "time_elapsed@10000=12.345 mean_reward@10000=-0.5 std_reward@10000=0.25"},
    {"[INFO] B. Step: 10. Time Elapsed: 1 s. Mean Reward: 2. Std of Reward: 3.",
     "time_elapsed@10=1 mean_reward@10=2 std_reward@10=3"},
    {"[INFO] B. Step: 10. No episode was completed since last summary.", ""},
    {"x PredictedBuffer=-12.5 y", "?-12.5"},
    {"PredictedBuffer=3", "?3"},
    {"PredictedBuffer=-1.5e-3", "?-0.0015"},
    {"PredictedBuffer=2E+2,", "?200"},
    {"PredictedBuffer=.5", "?0.5"},
    {"PredictedValue=7", "?7"},
    {"PredictedBuffer=abc", ""},
    {"PredictedBuffer=1abc", ""},
    {"PredictedBuffer=nan", " 1 not finite"},
    {"", ""},
};

TEST_ROWS(lines_of_known_programs_are_understood, PROGRAMS)
{
    open_capture(NULL, 0, EXEC_PRESET_ALL);
    EXPECT_STR(say(EXEC_STDOUT, 0, PROGRAMS[tst_row].line), PROGRAMS[tst_row].facts);
    exec_capture_close(capture);
    open_capture(NULL, 0, EXEC_PRESET_ALL);
    EXPECT_STR(say(EXEC_STDERR, 0, PROGRAMS[tst_row].line), PROGRAMS[tst_row].facts);
    exec_capture_close(capture);
    open_capture(NULL, 0, 0);
    EXPECT_STR(say(EXEC_STDOUT, 0, PROGRAMS[tst_row].line), "");
    exec_capture_close(capture);
}

TEST(metrics_of_keras_belong_to_the_epoch_before_them)
{
    open_capture(NULL, 0, EXEC_PRESET_KERAS);
    EXPECT_STR(say(EXEC_STDOUT, 0, "Epoch 2/4"), "1/4");
    EXPECT_STR(say(EXEC_STDOUT, EXEC_LINE_REDRAW, "5/10 [=>..] - ETA: 1s - loss: 0.9"), "1.5/4");
    EXPECT_STR(say(EXEC_STDOUT, 0, "10/10 [===] - 1s - loss: 0.5"), "2/4 loss@2=0.5");
    EXPECT_STR(say(EXEC_STDOUT, 0, "Epoch 3/4"), "2/4");
    EXPECT_STR(say(EXEC_STDOUT, 0, "loss: 0.25"), "loss@3=0.25");
    exec_capture_close(capture);
}

TEST(presets_have_names)
{
    unsigned preset = 0;
    EXPECT_EQ(exec_preset_parse("sofe4790u", &preset), SH_OK);
    EXPECT_EQ(preset, EXEC_PRESET_SOFE);
    EXPECT_EQ(exec_preset_parse("all", &preset), SH_OK);
    EXPECT_EQ(preset, EXEC_PRESET_ALL);
    EXPECT_EQ(exec_preset_parse("none", &preset), SH_ERR_INVALID);
}

TEST(patterns_of_the_user_find_metrics_predictions_and_reasons_to_abort)
{
    static const struct exec_pattern patterns[] = {
        {.kind = EXEC_PATTERN_METRIC, .text = "^score: ([0-9.eE+-]+)", .name = "score"},
        {.kind = EXEC_PATTERN_METRIC, .text = "[0-9]+% done", .name = "whole"},
        {.kind = EXEC_PATTERN_PREDICTION, .text = "answer=(-?[0-9]+)"},
        {.kind = EXEC_PATTERN_ABORT, .literal = true, .text = "loss: nan - val_loss: nan"},
        {.kind = EXEC_PATTERN_ABORT, .text = "utility[.]exceptions[.]ConductorError"},
    };
    open_capture(patterns, SH_COUNT(patterns), EXEC_PRESET_KERAS);
    EXPECT_STR(say(EXEC_STDOUT, 0, "score: 1.5e1 points"), "score=15");
    EXPECT_STR(say(EXEC_STDOUT, 0, "my score: 1"), "");
    EXPECT_STR(say(EXEC_STDOUT, 0, "score: --"), "");
    EXPECT_STR(say(EXEC_STDERR, 0, "so 50% done"), "whole=50");
    EXPECT_STR(say(EXEC_STDOUT, 0, "answer=-42"), "?-42");
    EXPECT_STR(say(EXEC_STDOUT, EXEC_LINE_REDRAW, "answer=-42"), "");
    EXPECT(facts.aborted == NULL);
    EXPECT_STR(say(EXEC_STDOUT, EXEC_LINE_REDRAW, "x loss: nan - val_loss: nan"), "");
    EXPECT_STR(facts.aborted, "loss: nan - val_loss: nan");
    EXPECT_STR(say(EXEC_STDERR, 0, "utility.exceptions.ConductorError: x"), "");
    EXPECT_STR(facts.aborted, "utility[.]exceptions[.]ConductorError");
    EXPECT_STR(say(EXEC_STDERR, 0, "utilityXexceptionsXConductorError: x"), "");
    EXPECT(facts.aborted == NULL);
    exec_capture_close(capture);
}

TEST(a_pattern_looks_at_the_front_of_a_line_and_literals_at_all_of_it)
{
    static char line[EXEC_LINE_BYTES_MAX + 1];
    static const struct exec_pattern patterns[] = {
        {.kind = EXEC_PATTERN_ABORT, .text = "en+d"},
        {.kind = EXEC_PATTERN_ABORT, .literal = true, .text = "ennd"}};
    memset(line, 'x', EXEC_LINE_BYTES_MAX);
    memcpy(line + EXEC_MATCH_BYTES_MAX - 4, "ennd", 4);
    open_capture(patterns, 1, 0);
    EXPECT_STR(say(EXEC_STDOUT, 0, line), "");
    EXPECT_STR(facts.aborted, "en+d");
    memcpy(line + EXEC_MATCH_BYTES_MAX - 4, "xend", 4);
    line[EXEC_MATCH_BYTES_MAX - 1] = 'x';
    memcpy(line + EXEC_LINE_BYTES_MAX - 4, "ennd", 4);
    EXPECT_STR(say(EXEC_STDOUT, 0, line), "");
    EXPECT(facts.aborted == NULL);
    exec_capture_close(capture);
    open_capture(patterns, 2, 0);
    EXPECT_STR(say(EXEC_STDOUT, 0, line), "");
    EXPECT_STR(facts.aborted, "ennd");
    exec_capture_close(capture);
}

static const struct {
    struct exec_pattern pattern;
    enum sh_err err;
    const char *why;
} REFUSED[] = {
    {{EXEC_PATTERN_ABORT, false, "(a", NULL}, SH_ERR_INVALID, "the pattern \"(a\" has a ("},
    {{EXEC_PATTERN_ABORT, false, "", NULL}, SH_ERR_LIMIT, "1 to 512"},
    {{EXEC_PATTERN_ABORT, false, "(a{40}){40}", NULL}, SH_ERR_LIMIT, "too large"},
    {{EXEC_PATTERN_METRIC, false, "a", NULL}, SH_ERR_INVALID, "needs a name"},
    {{EXEC_PATTERN_METRIC, false, "a", ""}, SH_ERR_INVALID, "needs a name"},
};

TEST_ROWS(patterns_that_could_do_harm_or_mean_nothing_are_refused, REFUSED)
{
    char why[EXEC_TEXT_BYTES] = "";
    EXPECT_EQ(exec_capture_open(&capture, &REFUSED[tst_row].pattern, 1, 0, why, sizeof why),
              REFUSED[tst_row].err);
    EXPECT(strstr(why, REFUSED[tst_row].why) != NULL);
}

TEST(too_many_or_too_long_patterns_are_refused)
{
    static struct exec_pattern patterns[EXEC_PATTERNS_MAX + 1];
    static char large[EXEC_PATTERN_BYTES_MAX + 2];
    char why[EXEC_TEXT_BYTES] = "";
    for (size_t i = 0; i <= EXEC_PATTERNS_MAX; i++) {
        patterns[i] = (struct exec_pattern){.kind = EXEC_PATTERN_ABORT, .text = "a"};
    }
    EXPECT_EQ(exec_capture_open(&capture, patterns, EXEC_PATTERNS_MAX + 1, 0, why, sizeof why),
              SH_ERR_LIMIT);
    EXPECT_EQ(exec_capture_open(&capture, patterns, EXEC_PATTERNS_MAX, 0, why, sizeof why), SH_OK);
    exec_capture_close(capture);
    memset(large, 'a', sizeof large - 1);
    patterns[EXEC_PATTERNS_MAX - 1].text = large;
    EXPECT_EQ(exec_capture_open(&capture, patterns, EXEC_PATTERNS_MAX, 0, why, sizeof why),
              SH_ERR_LIMIT);
    for (size_t i = 0; i < EXEC_PATTERNS_MAX; i++) { /* each is well, but not all together */
        patterns[i].text = "a{60}";
    }
    EXPECT_EQ(exec_capture_open(&capture, patterns, EXEC_PATTERNS_MAX, 0, why, sizeof why),
              SH_ERR_LIMIT);
    EXPECT(strstr(why, "all patterns of a job together") != NULL);
    EXPECT_EQ(exec_capture_open(&capture, patterns, EXEC_PATTERNS_MAX / 2, 0, why, sizeof why),
              SH_OK);
    exec_capture_close(capture);
}

TEST(more_facts_than_fit_and_names_too_long_are_counted)
{
    static char line[4096];
    size_t used = (size_t)snprintf(line, sizeof line, "{");
    for (unsigned i = 0; i < EXEC_FACTS_MAX + 3; i++) {
        used += (size_t)snprintf(line + used, sizeof line - used, "\"m%u\":%u,", i, i);
    }
    used += (size_t)snprintf(line + used, sizeof line - used, "\"%065d\":1}", 0);
    open_capture(NULL, 0, 0);
    exec_capture_line(capture, EXEC_METRICS, 0, line, used, &facts);
    EXPECT_EQ(facts.count, EXEC_FACTS_MAX);
    EXPECT_EQ(facts.dropped, 4);
    EXPECT(!facts.malformed);
    exec_capture_close(capture);
}
