/* SPDX-License-Identifier: Apache-2.0
 *
 * Vectors with less in them, so that they take fewer bytes to send.
 *
 * A codec is two things. A projection (kn_codec_project) replaces a vector by the nearest one that
 * the codec can say, and is where something is lost. An encoding of projected vectors loses
 * nothing: decoding gives the very bits back, so that who sends the bytes, who sends them again and
 * who hands over the vector itself all give the same. Both are functions of blocks of
 * KN_CODEC_BLOCK elements, counted from the start of the vector: any slice that begins at a block
 * encodes by itself.
 *
 *   BF16  each element rounded to 8 significant bits, to nearest, ties to even; what is finite
 * stays so. 2 bytes an element. INT8  a block is whole multiples, -127..127, of one scale: its
 * largest magnitude over 127, cut to 17 bits, so that a multiple is exact and the largest one is
 * 127 times the scale, from which the scale is found again. A block with a value that is not finite
 * is all NaN. An f32 and 1 byte an element (QSGD's buckets; Dettmers 2016 for blocks). TOPK  of
 * each block the `keep` largest magnitudes as BF16, of equal ones the first, the others 0. Encoded
 * is what is not 0: a byte, then positions and values. Byte 255: the positions are a bitmap; else
 * it says how many there are, a byte each, as many as a bitmap would have bytes at most. Sums of
 * such vectors need but BF16's projection to be encoded so.
 *
 * Error feedback (Karimireddy et al. 2019): what a projection lost is in `residual` and is added to
 * the next vector, so that nothing is lost for good. Projected again, a projected vector without
 * residual stays as it is. Values that are not finite never become finite. No allocation. */
#ifndef KN_AGG_CODEC_H
#define KN_AGG_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KN_CODEC_BLOCK 256u

/* These numbers go over the wire. */
enum kn_codec_kind { KN_CODEC_F32 = 0, KN_CODEC_BF16 = 1, KN_CODEC_INT8 = 2, KN_CODEC_TOPK = 3 };

struct kn_codec {
    enum kn_codec_kind kind;
    uint32_t keep; /* TOPK: of KN_CODEC_BLOCK elements, 1..KN_CODEC_BLOCK; a shorter block keeps its
                    * share, rounded up */
};

/* x <- the projection of x + residual, residual <- x + residual - that; residual NULL: as zeros and
 * not wanted. F32: nothing changes. O(size). */
void kn_codec_project(const struct kn_codec *codec, float *x, size_t size, float *residual);
/* Bytes that encoding size elements takes at most. */
size_t kn_codec_bytes_max(enum kn_codec_kind kind, size_t size);
/* x was projected (TOPK: at least as BF16). Returns the bytes written. */
size_t kn_codec_encode(enum kn_codec_kind kind, const float *x, size_t size, uint8_t *out);
/* False: these bytes are not what any vector of size elements is encoded as; x is then undefined.
 * What it takes encodes to the same bytes. Any bytes may be given. */
bool kn_codec_decode(enum kn_codec_kind kind, const uint8_t *bytes, size_t count, float *x,
                     size_t size);

#endif
