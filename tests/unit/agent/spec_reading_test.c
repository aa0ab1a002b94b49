/* SPDX-License-Identifier: Apache-2.0
 *
 * Data that are neither pictures nor rows: what a job file says of them, and what is refused. */
#include "spec/reading.h"
#include "spec/spec.h"
#include "tst.h"

#include <stdio.h>
#include <string.h>

static struct spec_job job;
static struct spec_job again;
static struct spec_errors errors;
static char text[SH_SPEC_BYTES_MAX];
static char twice[SH_SPEC_BYTES_MAX];

#define SOUND(audio, input)                                                                        \
    "api: shoal/v1\nkind: train\nname: a\ndata: {train: r, audio: " audio "}\n"                    \
    "model: {input: " input ", layers: [flatten, {dense: 10}]}\n"

static void parse(const char *file)
{
    if (spec_parse(file, strlen(file), &job, &errors) != SH_OK) {
        char line[512];
        (void)spec_error_text(&errors.at[0], "job", line, sizeof line);
        tst_fail(__FILE__, __LINE__, "%s", line);
    }
}

static void expect_round_trip(void)
{
    size_t length = 0;
    size_t second = 0;
    EXPECT_EQ(spec_canonical(&job, text, sizeof text, &length), SH_OK);
    EXPECT_EQ(spec_parse(text, length, &again, &errors), SH_OK);
    EXPECT_EQ(spec_canonical(&again, twice, sizeof twice, &second), SH_OK);
    EXPECT_STR(twice, text);
}

TEST(audio_has_defaults_and_survives_its_canonical_form)
{
    struct kn_audio audio;
    parse(SOUND("{}", "[1, 40, 64]"));
    EXPECT(spec_reading_audio(&job.data.reading, &audio));
    EXPECT_EQ(audio.mels, 40);
    EXPECT_EQ(audio.frames, 64);
    EXPECT_EQ(audio.window_ms, 25);
    EXPECT_EQ(audio.hop_ms, 10);
    EXPECT_EQ(audio.rate, 0);
    EXPECT_EQ(audio.label, KN_AUDIO_LABEL_NAME);
    expect_round_trip();
    parse(SOUND("{mels: 20, frames: 30, window: 32, hop: 16, rate: 16000, label: folder}",
                "[1, 20, 30]"));
    EXPECT(spec_reading_audio(&job.data.reading, &audio));
    EXPECT_EQ(audio.rate, 16000);
    EXPECT_EQ(audio.label, KN_AUDIO_LABEL_FOLDER);
    expect_round_trip();
    EXPECT(strstr(text, "\"audio\":{\"frames\":30,\"hop\":16,\"label\":\"folder\",\"mels\":20,"
                        "\"rate\":16000,\"window\":32}") != NULL);
}

#define LAYERS                                                                                     \
    "[{embedding: {vocab: 65, width: 8}}, positions, "                                             \
    "{residual: [layernorm, {attention: 2}]}, "                                                    \
    "{name: block, residual: [layernorm, {residual: [gelu, {dense: 8}]}]}, {add: block}, "         \
    "{dense: 65}]"
#define TEXT(text, input, layers)                                                                  \
    "api: shoal/v1\nkind: train\nname: a\ndata: {train: t, text: " text "}\n"                      \
    "model: {input: " input ",\n layers: " layers "}\n"

TEST(text_and_blocks_survive_their_canonical_form)
{
    struct kn_text read;
    parse(TEXT("{context: 16}", "[16]", LAYERS));
    EXPECT(spec_reading_text(&job.data.reading, &read));
    EXPECT_EQ(read.tokens, KN_TOKENS_CHARACTERS);
    EXPECT_EQ(read.context, 16);
    EXPECT_EQ(job.train.class_count, 65);
    expect_round_trip();
    EXPECT(strstr(text, "\"text\":{\"context\":16,\"tokens\":\"characters\"}") != NULL);
    EXPECT(strstr(text, "{\"residual\":[{\"layernorm\":{\"epsilon\":1e-5}},{\"attention\":"
                        "{\"bias\":true,\"causal\":true,\"heads\":2}}]}") != NULL);
    EXPECT(strstr(text,
                  "{\"name\":\"block\",\"residual\":[{\"layernorm\":{\"epsilon\":1e-5}},"
                  "{\"residual\":[{\"gelu\":{}},{\"dense\":{\"bias\":true,\"units\":8}}]}]}") !=
           NULL);
}

/* The layer that adds follows the block, and adds what the block began with. */
TEST(a_block_is_its_layers_and_the_sum_that_ends_it)
{
    parse(TEXT("{context: 16}", "[16]", LAYERS));
    const struct spec_model *m = &job.model;
    EXPECT_EQ(m->layer_count, 12);
    EXPECT_EQ(m->layers[4].kind, SPEC_RESIDUAL);
    EXPECT_EQ(m->layers[4].from, 2);
    EXPECT_EQ(m->layers[8].kind, SPEC_RESIDUAL);
    EXPECT_EQ(m->layers[8].from, 6);
    EXPECT_EQ(m->layers[9].from, 5);
    EXPECT_STR(m->layers[9].name, "block");
    EXPECT_EQ(m->layers[10].kind, SPEC_ADD);
    EXPECT_EQ(m->layers[10].from, 9);
}

static const struct {
    const char *file;
    const char *error; /* the first one */
} WRONG[] = {
    {SOUND("{mels: 0}", "[1, 40, 64]"),
     "job:4:32: data.audio.mels: 0: must be a whole number from 1 to 256"},
    {SOUND("{frames: 5000}", "[1, 40, 64]"),
     "job:4:34: data.audio.frames: 5000: must be a whole number from 1 to 4096"},
    {SOUND("{rate: 8}", "[1, 40, 64]"),
     "job:4:32: data.audio.rate: 8: must be a whole number from 1000 to 192000"},
    {SOUND("{label: voice}", "[1, 40, 64]"),
     "job:4:33: data.audio.label: voice: must be one of: name, folder"},
    {SOUND("{mel: 4}", "[1, 40, 64]"),
     "job:4:26: data.audio: mel: unknown key; did you mean mels?"},
    {SOUND("yes", "[1, 40, 64]"), "job:4:25: data.audio: yes: must be a map, such as {mels: ...}"},
    {SOUND("{}", "[1, 64, 40]"),
     "job:5:16: model.input: must be [1, 40, 64]: mels and frames of data.audio"},
    {SOUND("{}", "[640]"),
     "job:5:16: model.input: must be [1, 40, 64]: mels and frames of data.audio"},
    {TEXT("{}", "[16]", LAYERS), "job:4:24: data.text.context: is missing"},
    {TEXT("{context: 16, tokens: words}", "[16]", LAYERS),
     "job:4:46: data.text.tokens: words: must be one of: bytes, characters"},
    {TEXT("{context: 2000}", "[16]", LAYERS),
     "job:4:34: data.text.context: 2000: must be a whole number from 1 to 1024"},
    {TEXT("{context: 16}, audio: {}", "[16]", LAYERS),
     "job:4:24: data.text: the data are recordings: there is data.audio"},
    {TEXT("{context: 8}", "[16]", LAYERS),
     "job:5:16: model.input: must be [8], context of data.text"},
    {TEXT("{context: 16}", "[16]", "[{embedding: {vocab: 9, width: 8}}, {dense: 10}]"),
     "job:6:10: model.layers: embedding has vocab 9; it must be 10, the outputs of the last layer"},
    {TEXT(
         "{context: 16}", "[16]",
         "[{embedding: {vocab: 9, width: 8}}, {attention: {heads: 2, causal: false}}, {dense: 9}]"),
     "job:6:10: model.layers: with data.text attention must be causal: else a place sees the token "
     "that it is asked to tell"},
    {TEXT("{context: 1000}", "[1000]",
          "[{embedding: {vocab: 9, width: 8}}, {dense: 9}]") "train: {batch: 32768}\n",
     "job:7:16: train.batch: 32768: with 1000 places a sample it must be at most 16777"},
    {TEXT("{context: 16}", "[16]", "[{dense: 10}]"),
     "job:6:10: model.layers: data.text needs a class at each of 16 places: begin with embedding "
     "and end with dense"},
    {TEXT("{context: 16}", "[16]", "[{embedding: {vocab: 9, width: 8}}, {attention: {heads: 3}}]"),
     "job:6:46: model.layers[1].attention: layer \"attention1\": 3 heads, expected a number that "
     "divides the width 8"},
    {TEXT("{context: 16}", "[16]",
          "[{embedding: {vocab: 9, width: 8}}, {residual: [gelu, {residual: [{dense: 4}]}]}]"),
     "job:6:64: model.layers[1].residual[1].residual: layer \"add1\": add expects equal shapes, "
     "got "
     "[16 places of 4] from \"dense1\" and [16 places of 8] from \"gelu1\""},
    {TEXT("{context: 16}", "[16]", "[{embedding: {vocab: 9}}]"),
     "job:6:23: model.layers[0].embedding.width: is missing"},
    {TEXT("{context: 16}", "[16]", "[{residual: []}]"),
     "job:6:22: model.layers[0].residual: a list: must be a list of layers, such as [{dense: 64}, "
     "relu]"},
    {TEXT("{context: 16}", "[16]", "[residual]"),
     "job:6:11: model.layers[0]: residual: needs layers: {residual: [{dense: 64}, relu]}"},
    {TEXT("{context: 16}", "[16]",
          "[{residual: [{residual: [{residual: [{residual: [{residual: "
          "[relu]}]}]}]}]}]"),
     "job:6:59: model.layers[0].residual[0].residual[0].residual[0].residual[0]: a map: blocks of "
     "residual layers are at most 4 deep"},
    {TEXT("{context: 16}", "[16]", "[{residual: [{dense: 16}, {conv: 3}]}]"),
     "job:6:37: model.layers[0].residual[1]: conv: unknown layer; did you mean conv2d?"},
};

TEST_ROWS(each_mistake_is_named_with_place_field_value_and_what_is_right, WRONG)
{
    char line[512];
    const char *file = WRONG[tst_row].file;
    EXPECT_EQ(spec_parse(file, strlen(file), &job, &errors), SH_ERR_INVALID);
    (void)spec_error_text(&errors.at[0], "job", line, sizeof line);
    EXPECT_STR(line, WRONG[tst_row].error);
}
