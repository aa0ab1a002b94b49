/* SPDX-License-Identifier: Apache-2.0
 *
 * The features of a recording, for log_mel_reference.py to compare:
 *
 *   log_mel FILE.wav MELS FRAMES WINDOW_MS HOP_MS     a line a filter, a number a frame
 *
 * Exit status 1 and one line on stderr where the file is refused. */
#include "kernels/data/data.h"

#include <stdio.h>
#include <stdlib.h>

enum { ARGUMENTS = 6, USAGE = 2 };

static uint32_t number(const char *text)
{
    return (uint32_t)strtoul(text, NULL, 10);
}

int main(int argc, char **argv)
{
    if (argc != ARGUMENTS) {
        fprintf(stderr, "usage: log_mel FILE.wav MELS FRAMES WINDOW_MS HOP_MS\n");
        return USAGE;
    }
    const struct kn_audio audio = {.mels = number(argv[2]),
                                   .frames = number(argv[3]),
                                   .window_ms = number(argv[4]),
                                   .hop_ms = number(argv[5])};
    const struct kn_open options = {.unlabelled = true, .audio = &audio};
    struct kn_dataset set;
    struct kn_diag diag;
    if (kn_dataset_open(&set, argv[1], &options, &diag) != KN_OK) {
        fprintf(stderr, "%s\n", diag.text);
        return 1;
    }
    for (uint32_t i = 0; i < set.features; i++) {
        printf("%.9g%c", (double)set.numbers[i], (i + 1) % audio.frames == 0 ? '\n' : ' ');
    }
    kn_dataset_close(&set);
    return 0;
}
