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
};

TEST_ROWS(each_mistake_is_named_with_place_field_value_and_what_is_right, WRONG)
{
    char line[512];
    const char *file = WRONG[tst_row].file;
    EXPECT_EQ(spec_parse(file, strlen(file), &job, &errors), SH_ERR_INVALID);
    (void)spec_error_text(&errors.at[0], "job", line, sizeof line);
    EXPECT_STR(line, WRONG[tst_row].error);
}
