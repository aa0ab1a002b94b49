/* SPDX-License-Identifier: Apache-2.0
 *
 * Recordings: WAV files of one channel, PCM of 8 bits (unsigned) or 16 bits (signed), which is what
 * "RIFF WAVE" of IBM and Microsoft, Multimedia Programming Interface 1.0 (1991), calls format 1. */
#ifndef KN_DATA_WAV_H
#define KN_DATA_WAV_H

#include "kernels/data/data.h"

#define KN_WAV_RATE_MIN    1000u /* samples a second */
#define KN_WAV_RATE_MAX    192000u
#define KN_WAV_SAMPLES_MAX (1u << 26) /* of one file */

struct kn_wav {
    uint32_t rate;  /* samples a second */
    uint32_t count; /* at least 1 */
    float *sample;  /* owned: kn_wav_close. [-1, 1): 16 bits / 32768, (8 bits - 128) / 128 */
};

/* True when the bytes begin like a WAV file. */
bool kn_wav_known(const uint8_t *bytes, size_t size);
/* CORRUPT (damaged, or of another format), LIMIT, MEMORY, each with file, field, what was found and
 * what can be read in `diag`. `name` is used there only. On error *wav is zero. Cost O(size). */
KN_MUST_USE enum kn_err kn_wav_decode(struct kn_wav *wav, const uint8_t *bytes, size_t size,
                                      const char *name, struct kn_diag *diag);
void kn_wav_close(struct kn_wav *wav);

#endif
