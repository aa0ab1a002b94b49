/* SPDX-License-Identifier: Apache-2.0
 *
 * What the vectors of an exchange lose so that fewer bytes are sent (kernels/agg/codec.h), and what
 * this member lost of its own sums in earlier rounds.
 *
 * A vector loses something at two places, whether it is sent then or not: a member's sum over a
 * subtree of its own when it is complete, and the sum over all ranks when its owner has added it
 * up. What is sent or read from then on is exact, so all members hold the same bits, and a frame
 * that is asked for again is encoded again. What a sum lost is kept and added to that of the next
 * round: at both places with INT8, at the first one with TOPK, nowhere with BF16, as neither has a
 * value too small to be told there. It is this member's alone, in no state or checkpoint, and
 * forgotten with the generation, whose subtrees and owners are others.
 *
 * Only the first elements of a vector may lose something, and nothing does where there is one
 * member. A coded chunk is u32 how many of its elements do, those as kn_codec_encode writes them,
 * then the others as f32.
 *
 * The caller serialises all calls but project, reduced and encode, which may run beside each other
 * for different sums and chunks of a round that has begun. */
#ifndef TRAIN_CODEC_H
#define TRAIN_CODEC_H

#include "base/bytes.h"
#include "base/limits.h"
#include "kernels/agg/codec.h"
#include "round/frame.h"

#define TRAIN_CODED_MAX (SH_BULK_CHUNK_BYTES + 64u) /* bytes that encoding a chunk may write */

struct train_codec {
    struct kn_codec codec;
    uint64_t lossy_max;
    bool on;           /* this generation has several members */
    uint64_t lossy[2]; /* of the vector of a round, by its sequence & 1 */
    uint32_t own;
    float *residual; /* [own + 1][lossy_max]; NULL: nothing is kept */
};

/* No vector has more than lossy_max elements that may lose something. */
void train_codec_init(struct train_codec *c, const struct kn_codec *codec, uint64_t lossy_max);
void train_codec_fini(struct train_codec *c);

/* A generation of so many members, in which this one has `own` subtrees. NO_MEMORY: nothing may be
 * begun. */
SH_MUST_USE enum sh_err train_codec_start(struct train_codec *c, uint32_t members, uint32_t own);
/* A round; anew: what was lost before is not to be added to its sums. */
void train_codec_begin(struct train_codec *c, uint64_t sequence, uint64_t lossy, bool anew);
/* The sum over an own subtree. */
void train_codec_project(struct train_codec *c, uint64_t sequence, uint32_t own, float *sum);
/* The sum over all ranks of the chunk that header names; once a round. */
void train_codec_reduced(struct train_codec *c, const struct round_frame *header, float *chunk);

/* The chunk that header names as it is sent, out has TRAIN_CODED_MAX bytes. Returns how many were
 * written; 0: it is sent as it is, nothing in it may be lost or nothing would be saved. */
size_t train_codec_encode(const struct train_codec *c, const struct round_frame *header,
                          const float *chunk, uint8_t *out);
/* The header->count elements that the payload is of. False: it is of none, or not coded as this
 * job's are. Pure; takes any bytes. */
SH_MUST_USE bool train_codec_decode(const struct train_codec *c, const struct round_frame *header,
                                    struct sh_span payload, float *out);

#endif
