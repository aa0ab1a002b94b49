/* SPDX-License-Identifier: Apache-2.0
 *
 * Predictions in what a command printed. Scripts written for Conductor print `PredictedBuffer=3.25`
 * (`PredictedValue=` later), which was matched with -?\d+.\d+ and so missed "7" and broke "1e-3";
 * here every number of number.h is read. Bytes are foreign. Nothing is kept or allocated; O(size).
 */
#ifndef KN_SCORE_PREDICTION_H
#define KN_SCORE_PREDICTION_H

#include "kernels/score/number.h"

#include "kernels/err.h"

/* What follows the *last* marker in text, as the last one printed counts: the marker, then '=' (or
 * the end of the marker where that is '=' already), blanks, a number, and then the end or a byte
 * that cannot go on a number or a word (so "3.5.1", "0x10" and "1e" are no predictions, and neither
 * is a marker that is the tail of a longer word). NOT_FOUND: no marker; CORRUPT: what follows the
 * last one is no finite number. `marker` is not empty and holds no blank or NUL, CHECKed. */
KN_MUST_USE enum kn_err kn_prediction_find(const char *text, size_t size, const char *marker,
                                           double *out, struct kn_diag *diag);
/* The same with the later one of Conductor's two markers. */
KN_MUST_USE enum kn_err kn_prediction_conductor(const char *text, size_t size, double *out,
                                                struct kn_diag *diag);

/* A whole text of numbers with commas, semicolons, blanks or line ends between, and one pair of
 * square brackets around all of it or none. At most `room` are written to out; *count gets how many
 * there are. CORRUPT names the first that is no number, or that there is none; LIMIT: more than
 * room. On an error *count is untouched, out may be written. */
KN_MUST_USE enum kn_err kn_prediction_list(const char *text, size_t size, double *out, size_t room,
                                           size_t *count, struct kn_diag *diag);

#endif
