/* SPDX-License-Identifier: Apache-2.0
 *
 * Log-mel features of a recording: what a spectrogram shows, on the scale of pitch that people
 * hear. Internal to data/.
 *
 * Frame k covers the samples [k * hop, k * hop + window) (behind the end: zeros), times a periodic
 * Hann window 1/2 - 1/2 cos(2 pi i / window), padded with zeros to the next power of two N. Its
 * power spectrum |X[b]|^2, b = 0 .. N / 2, goes through triangular filters: filter m rises linearly
 * in Hz from edge m to edge m + 1, where it is 1, and falls to edge m + 2; the edges are mels + 2
 * points at equal distances from 0 to rate / 2 on the mel scale of HTK,
 * mel(f) = 2595 log10(1 + f / 700) (Young et al., The HTK Book 3.4, section 5.4; areas are not
 * made equal, so not Slaney's). A feature is ln(energy + 1e-6) with samples in [-1, 1). All in
 * double and by our own functions (math.h): the same bits on every machine. */
#ifndef KN_DATA_MEL_H
#define KN_DATA_MEL_H

#include "kernels/data/data.h"

#define KN_MEL_FLOOR 1e-6

struct kn_mel; /* of one form; for one thread at a time */

/* Given to the caller. rate in Hz; form as checked by the job file: mels 1 .. KN_MELS_MAX, window
 * and hop > 0. INVALID: at this rate a filter meets no frequency of the spectrum, or a window or
 * hop is less than one sample; the text says what would be right. MEMORY. */
KN_MUST_USE enum kn_err kn_mel_open(struct kn_mel **out, const struct kn_audio *form, uint32_t rate,
                                    struct kn_diag *diag);
void kn_mel_close(struct kn_mel *mel);
/* out[m * frames + k], form->mels rows: the first `frames` frames. Cost O(frames * N log N). */
void kn_mel_run(struct kn_mel *mel, const float *sample, uint32_t count, float *out);

#endif
