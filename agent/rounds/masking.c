/* SPDX-License-Identifier: Apache-2.0 */
#include "rounds/masking.h"

#include "rounds/combine.h"

#include "base/host/host.h"
#include "kernels/agg/clip.h"
#include "kernels/agg/fixed.h"
#include "kernels/agg/noise.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void rounds_masking_init(struct rounds_masking *m, const struct rounds_masking_config *config)
{
    *m = (struct rounds_masking){.config = *config};
}

static void end_sum(struct rounds_masking *m)
{
    secagg_client_end(&m->client);
    m->state = ROUNDS_MASKING_IDLE;
    m->generation = 0;
    m->answered = 0;
    m->answer_size = 0;
}

void rounds_masking_drop(struct rounds_masking *m)
{
    end_sum(m);
    free(m->change);
    m->change = NULL;
    m->floats = 0;
    m->spent = false;
}

void rounds_masking_take(struct rounds_masking *m, uint64_t round, float *change, size_t floats)
{
    rounds_masking_drop(m);
    m->round = round;
    m->change = change;
    m->floats = floats;
}

/* ---- steps: each writes its message or answers why not ---- */

static enum sh_err step_keys(struct rounds_masking *m, const struct rounds_sum_question *q,
                             struct sh_writer *w)
{
    uint8_t random[SECAGG_KEY_BYTES];
    struct secagg_keys keys;
    end_sum(m);
    if (m->spent) {
        return SH_ERR_STALE;
    }
    if (q->sum.count != m->floats || q->sum.bits != 64 ||
        memcmp(q->sum.cluster, m->config.trust->cluster, SH_CLUSTER_ID_BYTES) != 0) {
        return SH_ERR_CONFLICT;
    }
    sh_random_bytes(random, sizeof random);
    secagg_client_begin(&m->client, &q->sum, m->config.trust, random, &keys);
    memset(random, 0, sizeof random);
    m->generation = q->sum.generation;
    m->scale = q->scale;
    secagg_put_keys(w, &keys);
    return SH_OK;
}

static enum sh_err step_shares(struct rounds_masking *m, struct sh_reader *body,
                               struct sh_writer *w)
{
    struct secagg_roster *roster = calloc(1, sizeof *roster);
    struct secagg_shares *shares = calloc(1, sizeof *shares);
    uint32_t bad = 0;
    enum sh_err err = roster != NULL && shares != NULL ? SH_OK : SH_ERR_NO_MEMORY;
    if (err == SH_OK) {
        secagg_get_roster(body, roster);
        err = sh_reader_end(body);
    }
    if (err == SH_OK && roster->members < m->config.fed->least) {
        err = SH_ERR_DENIED;
    }
    if (err == SH_OK) {
        err = secagg_client_share(&m->client, roster, m->config.known, m->config.ctx, shares, &bad);
    }
    if (err == SH_OK) {
        secagg_put_shares(w, shares);
    }
    free(roster);
    free(shares);
    return err;
}

static enum sh_err step_masked(struct rounds_masking *m, struct sh_reader *body)
{
    struct secagg_delivery delivery;
    uint32_t bad = 0;
    secagg_get_delivery(body, &delivery);
    enum sh_err err = sh_reader_end(body);
    err = err != SH_OK ? err : secagg_client_deliver(&m->client, &delivery, &bad);
    if (err == SH_OK) {
        m->state = ROUNDS_MASKING_WANTED;
    }
    return err;
}

static enum sh_err step_consent(struct rounds_masking *m, struct sh_reader *body,
                                struct sh_writer *w)
{
    struct secagg_set set;
    struct secagg_consent consent;
    secagg_get_set(body, &set);
    enum sh_err err = sh_reader_end(body);
    err = err != SH_OK ? err : secagg_client_sign(&m->client, &set, &consent);
    if (err == SH_OK) {
        m->spent = true;
        secagg_put_consent(w, &consent);
    }
    return err;
}

static enum sh_err step_reveal(struct rounds_masking *m, struct sh_reader *body,
                               struct sh_writer *w)
{
    struct secagg_consents *consents = calloc(1, sizeof *consents);
    struct secagg_reveal reveal;
    enum sh_err err = consents != NULL ? SH_OK : SH_ERR_NO_MEMORY;
    if (err == SH_OK) {
        secagg_get_consents(body, consents);
        err = sh_reader_end(body);
    }
    err = err != SH_OK ? err : secagg_client_reveal(&m->client, consents, &reveal);
    if (err == SH_OK) {
        secagg_put_reveal(w, &reveal);
    }
    free(consents);
    return err;
}

static enum sh_err take_step(struct rounds_masking *m, const struct rounds_sum_question *q,
                             struct sh_reader *body, struct sh_writer *w)
{
    switch (q->step) {
    case ROUNDS_SUM_KEYS:
        return step_keys(m, q, w);
    case ROUNDS_SUM_SHARES:
        return step_shares(m, body, w);
    case ROUNDS_SUM_MASKED:
        return step_masked(m, body);
    case ROUNDS_SUM_CONSENT:
        return step_consent(m, body, w);
    case ROUNDS_SUM_REVEAL:
        return step_reveal(m, body, w);
    }
    return SH_ERR_INVALID;
}

/* The answer to the last question, again or for the first time. */
static void put_answer(const struct rounds_masking *m, struct sh_writer *w)
{
    if (m->answered == ROUNDS_SUM_MASKED && m->state == ROUNDS_MASKING_WANTED) {
        sh_put_u8(w, ROUNDS_SUM_WORKS);
        return;
    }
    sh_put_u8(w, ROUNDS_SUM_DONE);
    if (m->answered == ROUNDS_SUM_MASKED) {
        sh_put_bytes(w, m->masked, sizeof m->masked);
    } else {
        sh_put_bytes(w, m->answer, m->answer_size);
    }
}

void rounds_masking_answer(struct rounds_masking *m, const struct rounds_sum_question *q,
                           struct sh_reader *body, struct sh_writer *w)
{
    if (m->change == NULL || q->round != m->round) {
        rounds_sum_refuse(w, "it has no update of this round");
        return;
    }
    const bool same_sum = q->sum.generation == m->generation && m->generation != 0;
    if (same_sum && q->step == m->answered) {
        put_answer(m, w);
        return;
    }
    if (!same_sum && q->step != ROUNDS_SUM_KEYS) {
        rounds_sum_refuse(w, "it is not in this sum");
        return;
    }
    struct sh_writer kept = sh_writer_over(m->answer, sizeof m->answer);
    enum sh_err err = take_step(m, q, body, &kept);
    if (err != SH_OK || kept.full) {
        end_sum(m);
        rounds_sum_refuse(w, sh_err_text(err != SH_OK ? err : SH_ERR_LIMIT));
        return;
    }
    m->answered = q->step;
    m->answer_size = kept.used;
    put_answer(m, w);
}

/* ---- the words ---- */

static enum sh_err plain_words(const struct rounds_masking *m, uint64_t *words, char *why)
{
    size_t bad = 0;
    if (!kn_fixed_verify(m->change, m->floats, &bad)) {
        (void)snprintf(why, ROUNDS_TEXT_MAX, "number %zu of its update is too large or not finite",
                       bad);
        return SH_ERR_DIVERGED;
    }
    const double unit = m->scale * (double)(UINT64_C(1) << KN_FIXED_BITS);
    for (size_t i = 0; i < m->floats; i++) {
        words[i] = (uint64_t)(int64_t)nearbyint((double)m->change[i] * unit);
    }
    return SH_OK;
}

/* This member's part of the noise: as many such parts as vectors are needed for a sum make all of
 * it. */
static enum sh_err private_words(const struct rounds_masking *m, uint64_t *words, char *why)
{
    const struct spec_privacy *p = &m->config.fed->privacy;
    const uint32_t bits = rounds_privacy_bits(p);
    const double all = p->noise * p->clip * (double)(UINT64_C(1) << bits);
    struct secagg_stream stream = {.used = 0};
    const struct kn_entropy entropy = {.fill = secagg_stream_fill, .context = &stream};
    struct kn_noise source;
    struct kn_diag diag = {""};
    int64_t *noise = calloc(m->floats, sizeof *noise);
    int64_t *clipped = (int64_t *)(void *)words;
    if (noise == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    sh_random_bytes(stream.key, sizeof stream.key);
    const double part = all / sqrt((double)m->client.plan.survivors_min);
    bool good = kn_clip(m->change, m->floats, p->clip, bits, clipped, NULL, &diag) == KN_OK &&
                kn_noise_open(&source, entropy, part, &diag) == KN_OK &&
                kn_noise_draw(&source, noise, m->floats, &diag) == KN_OK;
    for (size_t i = 0; good && i < m->floats; i++) {
        words[i] += (uint64_t)noise[i];
    }
    kn_noise_close(&source);
    secagg_stream_end(&stream);
    memset(noise, 0, m->floats * sizeof *noise);
    free(noise);
    (void)snprintf(why, ROUNDS_TEXT_MAX, "%.190s", diag.text);
    return good ? SH_OK : SH_ERR_DIVERGED;
}

enum sh_err rounds_masking_work(struct rounds_masking *m, uint64_t **out, char *why)
{
    SH_CHECK(m->state == ROUNDS_MASKING_WANTED);
    uint64_t *words = calloc(m->floats, sizeof *words);
    *out = NULL;
    if (words == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    enum sh_err err =
        m->config.fed->privacy.on ? private_words(m, words, why) : plain_words(m, words, why);
    const struct secagg_slice all = {.at = words, .count = m->floats};
    err = err != SH_OK ? err : secagg_client_mask(&m->client, all);
    if (err != SH_OK) {
        memset(words, 0, m->floats * sizeof *words);
        free(words);
        return err;
    }
    *out = words;
    return SH_OK;
}

void rounds_masking_made(struct rounds_masking *m, const uint8_t digest[static SH_DIGEST_BYTES],
                         enum sh_err err)
{
    if (err != SH_OK) {
        end_sum(m);
        return;
    }
    memcpy(m->masked, digest, sizeof m->masked);
    m->state = ROUNDS_MASKING_MADE;
}
