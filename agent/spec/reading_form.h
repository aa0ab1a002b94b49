/* SPDX-License-Identifier: Apache-2.0
 *
 * How samples are read that are neither pictures nor rows, as it stands in a job file's data. */
#ifndef SPEC_READING_FORM_H
#define SPEC_READING_FORM_H

#include <stdint.h>

enum spec_audio_label { SPEC_AUDIO_LABEL_NAME = 1, SPEC_AUDIO_LABEL_FOLDER };

/* How recordings become numbers (struct kn_audio of kernels/data/data.h). */
struct spec_audio {
    uint32_t mels; /* 0: the data are no recordings */
    uint32_t frames;
    uint32_t window_ms;
    uint32_t hop_ms;
    uint32_t rate; /* Hz; 0: that of the first recording */
    enum spec_audio_label label;
};

enum spec_tokens { SPEC_TOKENS_BYTES = 1, SPEC_TOKENS_CHARACTERS };

/* How a text becomes samples (struct kn_text of kernels/data/data.h). */
struct spec_text {
    uint32_t context; /* 0: the data are no text */
    enum spec_tokens tokens;
};

/* What a sample is made from where it is neither a picture nor a row; a model file says it too. */
struct spec_reading {
    struct spec_audio audio;
    struct spec_text text;
};

#endif
