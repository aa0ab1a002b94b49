/* SPDX-License-Identifier: Apache-2.0
 *
 * How samples are read that are neither pictures nor rows: of a job file's data, and of the model
 * that comes of it. */
#include "spec/reading.h"

#include "kernels/data/wav.h"
#include "spec/schema.h"
#include "spec/tree.h"

#include <stdlib.h>

#define AUDIO_U32(name, member, least, most)                                                       \
    {                                                                                              \
        .key = (name), .type = SPEC_FIELD_U32, .offset = offsetof(struct spec_audio, member),      \
        .low = (least), .high = (most)                                                             \
    }

static const struct spec_field AUDIO[] = {AUDIO_U32("mels", mels, 1, KN_MELS_MAX),
                                          AUDIO_U32("frames", frames, 1, KN_FRAMES_MAX),
                                          AUDIO_U32("window", window_ms, 1, KN_WINDOW_MS_MAX),
                                          AUDIO_U32("hop", hop_ms, 1, KN_WINDOW_MS_MAX),
                                          AUDIO_U32("rate", rate, KN_WAV_RATE_MIN, KN_WAV_RATE_MAX),
                                          {.key = "label",
                                           .type = SPEC_FIELD_CHOICE,
                                           .offset = offsetof(struct spec_audio, label),
                                           .choices = SPEC_AUDIO_LABELS}};

void spec_take_audio(struct spec_decode *d, const struct spec_node *node, void *base)
{
    struct spec_audio *audio = &((struct spec_reading *)base)->audio;
    *audio = (struct spec_audio){
        .mels = 40, .frames = 64, .window_ms = 25, .hop_ms = 10, .label = SPEC_AUDIO_LABEL_NAME};
    spec_decode_map(d, node, AUDIO, SH_COUNT(AUDIO), audio);
}

static const struct spec_field TEXT[] = {{.key = "tokens",
                                          .type = SPEC_FIELD_CHOICE,
                                          .offset = offsetof(struct spec_text, tokens),
                                          .choices = SPEC_TOKENS},
                                         {.key = "context",
                                          .type = SPEC_FIELD_U32,
                                          .offset = offsetof(struct spec_text, context),
                                          .low = 1,
                                          .high = SPEC_CHANNELS_MAX,
                                          .required = true}};

void spec_take_text(struct spec_decode *d, const struct spec_node *node, void *base)
{
    struct spec_text *text = &((struct spec_reading *)base)->text;
    *text = (struct spec_text){.tokens = SPEC_TOKENS_CHARACTERS};
    spec_decode_map(d, node, TEXT, SH_COUNT(TEXT), text);
}

json_t *spec_reading_json(const struct spec_reading *reading)
{
    json_t *out = json_object();
    if (reading->audio.mels > 0) {
        const struct spec_audio *a = &reading->audio;
        json_t *audio =
            json_pack("{s:i, s:i, s:i, s:i, s:s}", "mels", (int)a->mels, "frames", (int)a->frames,
                      "window", (int)a->window_ms, "hop", (int)a->hop_ms, "label",
                      spec_choice_name(SPEC_AUDIO_LABELS, (int)a->label));
        if (a->rate > 0) {
            (void)json_object_set_new(audio, "rate", json_integer(a->rate));
        }
        (void)json_object_set_new(out, "audio", audio);
    }
    if (reading->text.context > 0) {
        (void)json_object_set_new(
            out, "text",
            json_pack("{s:i, s:s}", "context", (int)reading->text.context, "tokens",
                      spec_choice_name(SPEC_TOKENS, (int)reading->text.tokens)));
    }
    return out;
}

static const struct spec_field READING[] = {
    {.key = "audio", .type = SPEC_FIELD_CUSTOM, .take = spec_take_audio},
    {.key = "text", .type = SPEC_FIELD_CUSTOM, .take = spec_take_text}};

bool spec_reading_parse(const char *text, size_t size, struct spec_reading *reading)
{
    struct spec_errors *errors = calloc(1, sizeof *errors);
    struct spec_tree *tree = errors != NULL ? spec_tree_open(text, size, errors) : NULL;
    *reading = (struct spec_reading){0};
    if (tree != NULL) {
        struct spec_decode d = {.tree = tree, .errors = errors};
        spec_decode_map(&d, &tree->nodes[SPEC_ROOT], READING, SH_COUNT(READING), reading);
    }
    const bool good = tree != NULL && errors->count == 0;
    spec_tree_close(tree);
    free(errors);
    return good;
}

bool spec_reading_audio(const struct spec_reading *reading, struct kn_audio *out)
{
    const struct spec_audio *a = &reading->audio;
    *out = (struct kn_audio){.mels = a->mels,
                             .frames = a->frames,
                             .window_ms = a->window_ms,
                             .hop_ms = a->hop_ms,
                             .rate = a->rate,
                             .label = a->label == SPEC_AUDIO_LABEL_FOLDER ? KN_AUDIO_LABEL_FOLDER
                                                                          : KN_AUDIO_LABEL_NAME};
    return a->mels > 0;
}

bool spec_reading_text(const struct spec_reading *reading, struct kn_text *out)
{
    *out =
        (struct kn_text){.tokens = reading->text.tokens == SPEC_TOKENS_BYTES ? KN_TOKENS_BYTES
                                                                             : KN_TOKENS_CHARACTERS,
                         .context = reading->text.context};
    return out->context > 0;
}
