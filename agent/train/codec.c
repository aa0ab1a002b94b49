/* SPDX-License-Identifier: Apache-2.0 */
#include "train/codec.h"

#include "round/plan.h"

#include <stdlib.h>
#include <string.h>

#define HEAD sizeof(uint32_t)

_Static_assert(ROUND_PAGE_ELEMENTS % KN_CODEC_BLOCK == 0, "a segment begins at a block");

void train_codec_init(struct train_codec *c, const struct kn_codec *codec, uint64_t lossy_max)
{
    SH_CHECK(codec->kind != KN_CODEC_TOPK || (codec->keep >= 1 && codec->keep <= KN_CODEC_BLOCK));
    *c = (struct train_codec){.codec = *codec, .lossy_max = lossy_max};
}

void train_codec_fini(struct train_codec *c)
{
    free(c->residual);
    c->residual = NULL;
}

static bool keeps_rest(enum kn_codec_kind kind)
{
    return kind == KN_CODEC_INT8 || kind == KN_CODEC_TOPK;
}

/* Vectors of what was lost: of the own sums, then of the sum over all ranks. Of the last one pages
 * are used where this member owns chunks, and it keeps something. */
static size_t rest_size(const struct train_codec *c)
{
    return (c->own + (size_t)1) * c->lossy_max;
}

enum sh_err train_codec_start(struct train_codec *c, uint32_t members, uint32_t own)
{
    free(c->residual);
    c->residual = NULL;
    c->on = members > 1 && c->codec.kind != KN_CODEC_F32;
    c->own = own;
    c->lossy[0] = 0;
    c->lossy[1] = 0;
    if (c->on && keeps_rest(c->codec.kind) && c->lossy_max > 0) {
        c->residual = calloc(rest_size(c), sizeof *c->residual);
        return c->residual != NULL ? SH_OK : SH_ERR_NO_MEMORY;
    }
    return SH_OK;
}

void train_codec_begin(struct train_codec *c, uint64_t sequence, uint64_t lossy, bool anew)
{
    SH_CHECK_CMP(lossy, <=, c->lossy_max);
    c->lossy[sequence & 1] = c->on ? lossy : 0;
    if (anew && c->residual != NULL) {
        memset(c->residual, 0, rest_size(c) * sizeof *c->residual);
    }
}

void train_codec_project(struct train_codec *c, uint64_t sequence, uint32_t own, float *sum)
{
    SH_CHECK_CMP(own, <, c->own);
    float *residual = c->residual != NULL ? c->residual + own * c->lossy_max : NULL;
    kn_codec_project(&c->codec, sum, c->lossy[sequence & 1], residual);
}

/* How many elements of the chunk may lose something: the first ones. */
static uint32_t lossy_of(const struct train_codec *c, const struct round_frame *h)
{
    uint64_t end = c->lossy[h->sequence & 1];
    uint64_t inside = end > h->offset ? end - h->offset : 0;
    return inside < h->count ? (uint32_t)inside : h->count;
}

/* A sum of sparse vectors is rounded only: nothing is left out once more, and what rounding lost
 * would make the next one dense. */
void train_codec_reduced(struct train_codec *c, const struct round_frame *header, float *chunk)
{
    struct kn_codec codec = c->codec;
    codec.kind = codec.kind == KN_CODEC_TOPK ? KN_CODEC_BF16 : codec.kind;
    uint32_t lossy = lossy_of(c, header);
    bool keeps = lossy > 0 && c->residual != NULL && keeps_rest(codec.kind);
    float *residual = keeps ? c->residual + c->own * c->lossy_max + header->offset : NULL;
    kn_codec_project(&codec, chunk, lossy, residual);
}

size_t train_codec_encode(const struct train_codec *c, const struct round_frame *header,
                          const float *chunk, uint8_t *out)
{
    uint32_t lossy = lossy_of(c, header);
    size_t exact = (size_t)(header->count - lossy) * sizeof(float);
    if (lossy == 0) {
        return 0;
    }
    SH_CHECK_CMP(HEAD + kn_codec_bytes_max(c->codec.kind, lossy) + exact, <=, TRAIN_CODED_MAX);
    memcpy(out, &lossy, HEAD);
    size_t used = HEAD + kn_codec_encode(c->codec.kind, chunk, lossy, out + HEAD);
    memcpy(out + used, chunk + lossy, exact);
    used += exact;
    return used < (size_t)header->count * sizeof(float) ? used : 0;
}

bool train_codec_decode(const struct train_codec *c, const struct round_frame *header,
                        struct sh_span payload, float *out)
{
    uint32_t lossy = 0;
    if (header->codec != (uint8_t)c->codec.kind || payload.size < HEAD) {
        return false;
    }
    memcpy(&lossy, payload.at, HEAD);
    if (lossy == 0 || lossy > header->count) {
        return false;
    }
    size_t exact = (size_t)(header->count - lossy) * sizeof(float);
    if (payload.size - HEAD < exact) {
        return false;
    }
    size_t coded = payload.size - HEAD - exact;
    memcpy(out + lossy, payload.at + HEAD + coded, exact);
    return kn_codec_decode(c->codec.kind, payload.at + HEAD, coded, out, lossy);
}
