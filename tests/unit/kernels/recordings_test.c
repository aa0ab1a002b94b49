/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/data/data.h"
#include "kernels/data/wav.h"
#include "tst.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEAD = 44, ROOM = 1 << 16 };

static struct kn_diag diag;
static uint8_t file[ROOM];

static void put_u16(size_t at, uint32_t value)
{
    file[at] = (uint8_t)value;
    file[at + 1] = (uint8_t)(value >> 8);
}

static void put_u32(size_t at, uint32_t value)
{
    put_u16(at, value);
    put_u16(at + 2, value >> 16);
}

/* A WAV file of n samples of a tone; its size. */
static size_t wav_make(uint32_t n, uint32_t rate, uint32_t bits, double hertz)
{
    const uint32_t width = bits / 8;
    memcpy(file, "RIFF....WAVEfmt ", 16);
    memcpy(file + 36, "data", 4);
    put_u32(4, HEAD - 8 + n * width);
    put_u32(16, 16);
    put_u16(20, 1);
    put_u16(22, 1);
    put_u32(24, rate);
    put_u32(28, rate * width);
    put_u16(32, width);
    put_u16(34, bits);
    put_u32(40, n * width);
    for (uint32_t i = 0; i < n; i++) {
        const double v = 0.5 * sin(6.283185307179586 * hertz * i / rate);
        if (bits == 8) {
            file[HEAD + i] = (uint8_t)(128 + (int)(v * 127));
        } else {
            put_u16(HEAD + 2 * (size_t)i, (uint32_t)(uint16_t)(int16_t)(v * 32767));
        }
    }
    return HEAD + (size_t)n * width;
}

static void write_wav(const char *folder, const char *name, size_t size)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *out = fopen(path, "wb");
    EXPECT(out != NULL);
    EXPECT_EQ(fwrite(file, 1, size, out), size);
    EXPECT(fclose(out) == 0);
}

static const char *folder_make(const char *under, const char *name)
{
    static char path[8][256];
    static int next;
    char *at = path[next++ % 8];
    (void)snprintf(at, 256, "%s/%s", under, name);
    EXPECT(mkdir(at, 0700) == 0);
    return at;
}

static const char *scratch(void)
{
    static char path[] = "/tmp/recordings.XXXXXX";
    EXPECT(mkdtemp(path) != NULL);
    return path;
}

static void forget(const char *folder)
{
    char command[300];
    (void)snprintf(command, sizeof command, "rm -r '%s'", folder);
    FILE *done = popen(command, "r");
    EXPECT(done != NULL);
    EXPECT(pclose(done) == 0);
}

static const struct kn_audio form = {.mels = 20, .frames = 10, .window_ms = 25, .hop_ms = 10};

TEST(samples_of_8_and_16_bits_are_fractions_of_full_scale)
{
    struct kn_wav wav;
    const size_t size = wav_make(4, 8000, 16, 0);
    put_u16(HEAD, 0x8000);
    put_u16(HEAD + 2, 0x7FFF);
    put_u16(HEAD + 4, 0);
    put_u16(HEAD + 6, 0xFFFF);
    EXPECT_EQ(kn_wav_decode(&wav, file, size, "a.wav", &diag), KN_OK);
    EXPECT_EQ(wav.rate, 8000);
    EXPECT_EQ(wav.count, 4);
    EXPECT_NEAR(wav.sample[0], -1, 0);
    EXPECT_NEAR(wav.sample[1], 32767.0 / 32768, 0);
    EXPECT_NEAR(wav.sample[2], 0, 0);
    EXPECT_NEAR(wav.sample[3], -1.0 / 32768, 0);
    kn_wav_close(&wav);
    const size_t small = wav_make(2, 11025, 8, 0);
    file[HEAD] = 0;
    file[HEAD + 1] = 192;
    EXPECT_EQ(kn_wav_decode(&wav, file, small, "a.wav", &diag), KN_OK);
    EXPECT_NEAR(wav.sample[0], -1, 0);
    EXPECT_NEAR(wav.sample[1], 0.5, 0);
    kn_wav_close(&wav);
}

static const struct damage {
    size_t at;
    uint32_t value;
    const char *text; /* that the refusal must have */
} damages[] = {
    {0, 0x46464940, "a.wav: does not begin with RIFF and WAVE"},
    {16, 12, "chunk \"fmt \" has 12 bytes, at least 16"},
    {16, 0xFFFFFFFF, "\"fmt \" at byte 12: its size is 4294967295"},
    {20, 0x00010003, "format 3, only 1 (PCM"},
    {20, 0x00020001, "2 channels, only 1"},
    {24, 100, "rate 100 Hz, only 1000 to 192000"},
    {34, 0x61640018, "24 bits a sample, only 8 and 16"},
    {36, 0x6164, "no chunk \"data\""},
    {40, 0xFFFFFFFF, "cut short"},
    {40, 7, "chunk \"data\" has 7 bytes; samples of 2 bytes"},
    {40, 0, "chunk \"data\" has 0 bytes"},
};

TEST_ROWS(a_damaged_file_is_refused_with_what_would_be_right, damages)
{
    const struct damage *d = &damages[tst_row];
    struct kn_wav wav;
    const size_t size = wav_make(40, 8000, 16, 440);
    put_u32(d->at, d->value);
    EXPECT_EQ(kn_wav_decode(&wav, file, size, "a.wav", &diag), KN_ERR_CORRUPT);
    if (strstr(diag.text, d->text) == NULL) {
        tst_fail(__FILE__, __LINE__, "%s", diag.text);
    }
    EXPECT(wav.sample == NULL);
}

TEST(a_tone_is_loudest_in_the_filter_of_its_frequency)
{
    struct kn_dataset set;
    const struct kn_open options = {.unlabelled = true, .audio = &form};
    const size_t size = wav_make(2000, 8000, 16, 1000);
    EXPECT_EQ(kn_recording_decode(&set, file, size, "a.wav", &options, &diag), KN_OK);
    EXPECT_EQ(set.shape[0], 1);
    EXPECT_EQ(set.shape[1], 20);
    EXPECT_EQ(set.shape[2], 10);
    uint32_t best = 0;
    for (uint32_t m = 1; m < 20; m++) {
        best = set.numbers[m * 10 + 5] > set.numbers[best * 10 + 5] ? m : best;
    }
    /* mel(1000 Hz) = 1000; edges lie 2146.06 / 21 = 102.2 apart, filter 9 has its top at 1022. */
    EXPECT_EQ(best, 9);
    kn_dataset_close(&set);
}

TEST(what_is_longer_is_cut_and_what_is_shorter_ends_in_silence)
{
    struct kn_dataset two[2];
    const struct kn_open options = {.unlabelled = true, .audio = &form};
    const uint32_t counts[2] = {4000, 400};
    for (size_t i = 0; i < 2; i++) {
        const size_t size = wav_make(counts[i], 8000, 16, 700);
        EXPECT_EQ(kn_recording_decode(&two[i], file, size, "a.wav", &options, &diag), KN_OK);
    }
    float loudest = -20.0f;
    for (uint32_t m = 0; m < 20; m++) {
        /* Frames begin every 80 samples and cover 200: 0 to 2 are whole in both. */
        for (uint32_t k = 0; k < 3; k++) {
            EXPECT_NEAR(two[0].numbers[m * 10 + k], two[1].numbers[m * 10 + k], 0);
        }
        EXPECT_NEAR(two[1].numbers[m * 10 + 5], log(1e-6), 1e-6);
        loudest = two[0].numbers[m * 10 + 9] > loudest ? two[0].numbers[m * 10 + 9] : loudest;
    }
    EXPECT(loudest > 0.0f);
    kn_dataset_close(&two[0]);
    kn_dataset_close(&two[1]);
}

TEST(files_of_a_folder_are_classes_by_what_stands_before_the_first_underscore)
{
    struct kn_dataset set;
    const char *folder = scratch();
    const struct kn_open options = {.audio = &form};
    const size_t size = wav_make(900, 8000, 16, 500);
    write_wav(folder, "7_ann_0.wav", size);
    write_wav(folder, "10_ann_1.WAV", size);
    write_wav(folder, "7_bob_0.wav", size);
    write_wav(folder, "notes.txt", size);
    EXPECT_EQ(kn_dataset_open(&set, folder, &options, &diag), KN_OK);
    EXPECT_EQ(set.count, 3);
    EXPECT_EQ(set.rate, 8000);
    EXPECT_EQ(set.class_count, 2);
    EXPECT_STR(set.class_name[0], "10");
    EXPECT_STR(set.class_name[1], "7");
    EXPECT_MEM(set.label, ((const int32_t[]){0, 1, 1}), 3 * sizeof *set.label);
    kn_dataset_close(&set);
    forget(folder);
}

TEST(folders_are_classes_or_speakers_as_the_label_says)
{
    struct kn_dataset set;
    const char *folder = scratch();
    struct kn_audio audio = form;
    const struct kn_open options = {.audio = &audio};
    const size_t size = wav_make(900, 8000, 16, 500);
    write_wav(folder_make(folder, "bob"), "1_0.wav", size);
    write_wav(folder_make(folder, "ann"), "1_0.wav", size);
    EXPECT_EQ(kn_dataset_open(&set, folder, &options, &diag), KN_OK);
    EXPECT_EQ(set.count, 2);
    EXPECT_EQ(set.class_count, 1);
    kn_dataset_close(&set);
    audio.label = KN_AUDIO_LABEL_FOLDER;
    EXPECT_EQ(kn_dataset_open(&set, folder, &options, &diag), KN_OK);
    EXPECT_EQ(set.class_count, 2);
    EXPECT_STR(set.class_name[0], "ann");
    kn_dataset_close(&set);
    write_wav(folder, "2_0.wav", size);
    EXPECT_EQ(kn_dataset_open(&set, folder, &options, &diag), KN_ERR_CORRUPT);
    EXPECT(strstr(diag.text, "2_0.wav: its class is the folder it lies in; it lies in none"));
    forget(folder);
}

TEST(recordings_of_another_rate_are_refused_by_name)
{
    struct kn_dataset set;
    const char *folder = scratch();
    struct kn_audio audio = form;
    const struct kn_open options = {.audio = &audio};
    write_wav(folder, "a_0.wav", wav_make(900, 8000, 16, 500));
    write_wav(folder, "b_0.wav", wav_make(900, 16000, 16, 500));
    EXPECT_EQ(kn_dataset_open(&set, folder, &options, &diag), KN_ERR_CORRUPT);
    EXPECT(strstr(diag.text, "b_0.wav: rate 16000 Hz, the recordings before it have 8000 Hz"));
    audio.rate = 16000;
    EXPECT_EQ(kn_dataset_open(&set, folder, &options, &diag), KN_ERR_CORRUPT);
    EXPECT(strstr(diag.text, "a_0.wav: rate 8000 Hz, expected 16000 Hz"));
    forget(folder);
}

TEST(what_cannot_be_is_said_before_anything_is_computed)
{
    struct kn_dataset set;
    struct kn_audio audio = form;
    struct kn_open options = {.unlabelled = true, .audio = &audio, .shape = {1, 20, 11}};
    const size_t size = wav_make(900, 8000, 16, 500);
    EXPECT_EQ(kn_recording_decode(&set, file, size, "a.wav", &options, &diag), KN_ERR_CORRUPT);
    EXPECT(strstr(diag.text, "samples are 1 x 20 x 10, the model takes 1 x 20 x 11"));
    options.shape[0] = 0;
    audio.mels = 120;
    EXPECT_EQ(kn_recording_decode(&set, file, size, "a.wav", &options, &diag), KN_ERR_INVALID);
    EXPECT(strstr(diag.text, "a.wav: 120 mels are too many for windows of 25 ms at 8000 Hz"));
    options.audio = NULL;
    EXPECT_EQ(kn_recording_decode(&set, file, size, "a.wav", &options, &diag), KN_ERR_CORRUPT);
    EXPECT(strstr(diag.text, "a.wav: a recording; how it becomes numbers is said by audio"));
    options.audio = &form;
    EXPECT_EQ(kn_dataset_open(&set, "builtin:digits", &options, &diag), KN_ERR_NOT_FOUND);
}
