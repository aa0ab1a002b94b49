/* SPDX-License-Identifier: Apache-2.0
 *
 * How fast a thread codes what is sent (kernels/agg/codec.h), in f32 bytes a second of processor
 * time, of a chunk that stays in the cache.
 *
 *   codec_rate SECONDS
 *
 * Prints "NAME project GB/s, encode GB/s, decode GB/s, times smaller" for each codec. */
#include "base/check.h"
#include "kernels/agg/codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SIZE = 65536, SECONDS_MAX = 3600 };

static const struct {
    const char *name;
    struct kn_codec codec;
} CODECS[] = {{"bf16", {.kind = KN_CODEC_BF16}},
              {"int8", {.kind = KN_CODEC_INT8}},
              {"topk 5 %", {.kind = KN_CODEC_TOPK, .keep = 13}}};

static float vector[SIZE];
static float residual[SIZE];
static uint8_t bytes[4 * SIZE];
static size_t used;

static double processor_s(void)
{
    struct timespec t;
    SH_CHECK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void refill(void)
{
    uint32_t state = 1;
    for (size_t i = 0; i < SIZE; i++) {
        state = state * 1664525u + 1013904223u;
        vector[i] = (float)(int32_t)state * (state >> 28 == 0 ? 1e-9f : 1e-11f);
    }
}

static void project(const struct kn_codec *codec)
{
    kn_codec_project(codec, vector, SIZE, codec->kind == KN_CODEC_BF16 ? NULL : residual);
}

static void encode(const struct kn_codec *codec)
{
    used = kn_codec_encode(codec->kind, vector, SIZE, bytes);
}

static void decode(const struct kn_codec *codec)
{
    SH_CHECK(kn_codec_decode(codec->kind, bytes, used, vector, SIZE));
}

static double rate(void (*work)(const struct kn_codec *codec), const struct kn_codec *codec,
                   double seconds)
{
    double start = processor_s();
    double spent = 0;
    uint64_t count = 0;
    while (spent < seconds) {
        work(codec);
        count++;
        spent = processor_s() - start;
    }
    return (double)count * sizeof vector / spent / 1e9;
}

int main(int argc, char **argv)
{
    long seconds = argc == 2 ? strtol(argv[1], NULL, 10) : 0;
    if (seconds < 1 || seconds > SECONDS_MAX) {
        (void)fprintf(stderr, "usage: codec_rate SECONDS\n");
        return 2;
    }
    for (size_t i = 0; i < sizeof CODECS / sizeof CODECS[0]; i++) {
        const struct kn_codec *codec = &CODECS[i].codec;
        double third = (double)seconds / 3;
        refill();
        memset(residual, 0, sizeof residual);
        double projects = rate(project, codec, third);
        double encodes = rate(encode, codec, third);
        double decodes = rate(decode, codec, third);
        (void)printf("%s project %.1f GB/s, encode %.1f GB/s, decode %.1f GB/s, %.2f times "
                     "smaller\n",
                     CODECS[i].name, projects, encodes, decodes,
                     (double)sizeof vector / (double)used);
    }
    return 0;
}
