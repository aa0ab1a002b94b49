/* SPDX-License-Identifier: Apache-2.0 */
#include "rounds/sum.h"

#include "base/host/host.h"
#include "secagg/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One try: who is in it, and where it stands. */
struct attempt {
    struct rounds_sum *sum;
    struct secagg_round round;
    struct secagg_server *server;
    uint64_t *words;
    bool here[SPEC_AGENTS_MAX];      /* has answered every step so far */
    uint32_t index[SPEC_AGENTS_MAX]; /* in the list of keys */
    uint8_t question[ROUNDS_SUM_BYTES];
    uint8_t reply[ROUNDS_SUM_BYTES];
};

static void lose(struct attempt *a, uint32_t i, enum rounds_sum_part part, const char *why)
{
    struct rounds_sum_member *m = &a->sum->members[i];
    a->here[i] = false;
    m->part = part;
    (void)snprintf(m->why, sizeof m->why, "secure sum: %.150s", why);
}

/* Writes the message of a step for member i behind the question. */
typedef void (*put_fn)(struct sh_writer *w, const struct attempt *a, uint32_t i);
/* Takes its answer. */
typedef enum sh_err (*take_fn)(struct sh_reader *r, struct attempt *a, uint32_t i);

/* Asks one member. OK: the answer's body is at *r. FULL: it works on it. */
static enum sh_err ask(struct attempt *a, uint32_t i, enum rounds_sum_step step, put_fn put,
                       struct sh_reader *r, char *why)
{
    struct rounds_sum *s = a->sum;
    const struct rounds_sum_question q = {.unit = s->unit,
                                          .round = s->round,
                                          .step = step,
                                          .sum = a->round,
                                          .scale = s->members[i].scale};
    enum rounds_sum_status status = ROUNDS_SUM_REFUSES;
    size_t size = 0;
    struct sh_writer w = sh_writer_over(a->question, sizeof a->question);
    rounds_sum_question_put(&q, &w);
    if (put != NULL) {
        put(&w, a, i);
    }
    SH_CHECK(!w.full);
    const struct sh_span question = {.at = a->question, .size = w.used};
    enum sh_err err = s->ask(s->ctx, i, question, a->reply, sizeof a->reply, &size);
    if (err == SH_OK) {
        *r = sh_reader_over(a->reply, size);
        err = rounds_sum_status_get(r, &status, why);
    }
    if (err != SH_OK) {
        return err;
    }
    if (status == ROUNDS_SUM_REFUSES) {
        return SH_ERR_DENIED;
    }
    return status == ROUNDS_SUM_WORKS ? SH_ERR_FULL : SH_OK;
}

/* True: member i is to be asked again. */
static bool step_one(struct attempt *a, uint32_t i, enum rounds_sum_step step, put_fn put,
                     take_fn take)
{
    struct sh_reader r;
    char why[ROUNDS_TEXT_MAX + 1] = "";
    enum sh_err err = ask(a, i, step, put, &r, why);
    if (err == SH_ERR_FULL) {
        return true;
    }
    err = err != SH_OK ? err : take(&r, a, i);
    if (err != SH_OK) {
        lose(a, i, why[0] != '\0' ? ROUNDS_SUM_REFUSED : ROUNDS_SUM_SILENT,
             why[0] != '\0' ? why : sh_err_text(err));
    }
    return false;
}

/* Everybody who is here takes a step, or is lost. CANCELLED. */
static enum sh_err step_all(struct attempt *a, enum rounds_sum_step step, put_fn put, take_fn take)
{
    bool pending[SPEC_AGENTS_MAX];
    const uint64_t deadline = sh_now_us() + a->sum->deadline_us;
    uint32_t left = 0;
    memcpy(pending, a->here, sizeof pending);
    do {
        left = 0;
        for (uint32_t i = 0; i < a->sum->count; i++) {
            pending[i] = pending[i] && step_one(a, i, step, put, take);
            left += pending[i];
        }
        if (left > 0 && !a->sum->rest(a->sum->ctx)) {
            return SH_ERR_CANCELLED;
        }
    } while (left > 0 && sh_now_us() < deadline);
    for (uint32_t i = 0; i < a->sum->count; i++) {
        if (pending[i]) {
            lose(a, i, ROUNDS_SUM_SILENT, sh_err_text(SH_ERR_TIMEOUT));
        }
    }
    return SH_OK;
}

/* ---- the steps ---- */

static enum sh_err take_keys(struct sh_reader *r, struct attempt *a, uint32_t i)
{
    struct secagg_keys keys;
    secagg_get_keys(r, &keys);
    enum sh_err err = sh_reader_end(r);
    if (err == SH_OK && memcmp(keys.node, a->sum->members[i].node, sizeof keys.node) != 0) {
        err = SH_ERR_DENIED;
    }
    return err != SH_OK ? err : secagg_server_keys(a->server, &keys);
}

static void put_roster(struct sh_writer *w, const struct attempt *a, uint32_t i)
{
    (void)i;
    secagg_put_roster(w, secagg_server_roster(a->server));
}

static enum sh_err take_shares(struct sh_reader *r, struct attempt *a, uint32_t i)
{
    struct secagg_shares shares;
    secagg_get_shares(r, &shares);
    enum sh_err err = sh_reader_end(r);
    return err != SH_OK ? err : secagg_server_shares(a->server, a->index[i], &shares);
}

static void put_delivery(struct sh_writer *w, const struct attempt *a, uint32_t i)
{
    struct secagg_delivery delivery;
    secagg_server_delivery(a->server, a->index[i], &delivery);
    secagg_put_delivery(w, &delivery);
}

static enum sh_err take_masked(struct sh_reader *r, struct attempt *a, uint32_t i)
{
    uint8_t digest[SH_DIGEST_BYTES];
    uint8_t *bytes = NULL;
    const size_t floats = a->sum->floats;
    sh_get_bytes(r, digest, sizeof digest);
    enum sh_err err = sh_reader_end(r);
    err = err != SH_OK ? err : a->sum->fetch(a->sum->ctx, i, digest, &bytes);
    err = err != SH_OK ? err : secagg_server_masked(a->server, a->index[i]);
    if (err == SH_OK) {
        struct sh_reader words = sh_reader_over(bytes, floats * sizeof(uint64_t));
        for (size_t k = 0; k < floats; k++) {
            a->words[k] += sh_get_u64(&words);
        }
    }
    free(bytes);
    return err;
}

static void put_set(struct sh_writer *w, const struct attempt *a, uint32_t i)
{
    (void)i;
    secagg_put_set(w, secagg_server_survivors(a->server));
}

static enum sh_err take_consent(struct sh_reader *r, struct attempt *a, uint32_t i)
{
    struct secagg_consent consent;
    secagg_get_consent(r, &consent);
    enum sh_err err = sh_reader_end(r);
    return err != SH_OK ? err : secagg_server_consent(a->server, a->index[i], &consent);
}

static void put_consents(struct sh_writer *w, const struct attempt *a, uint32_t i)
{
    (void)i;
    secagg_put_consents(w, secagg_server_consents(a->server));
}

static enum sh_err take_reveal(struct sh_reader *r, struct attempt *a, uint32_t i)
{
    struct secagg_reveal reveal;
    secagg_get_reveal(r, &reveal);
    enum sh_err err = sh_reader_end(r);
    return err != SH_OK ? err : secagg_server_reveal(a->server, a->index[i], &reveal);
}

/* ---- a try ---- */

static enum sh_err open_shares(struct attempt *a)
{
    enum sh_err err = secagg_server_open_shares(a->server);
    for (uint32_t i = 0; i < a->sum->count; i++) {
        a->index[i] = secagg_server_index(a->server, a->sum->members[i].node);
    }
    return err == SH_ERR_LIMIT ? SH_ERR_NO_QUORUM : err;
}

static enum sh_err recover(struct attempt *a)
{
    uint32_t bad = 0;
    enum sh_err err = secagg_server_recover(a->server, &bad);
    for (uint32_t i = 0; err == SH_ERR_DENIED && i < a->sum->count; i++) {
        if (a->index[i] == bad) {
            lose(a, i, ROUNDS_SUM_REFUSED, "it dealt shares that make no secret of its own");
        }
    }
    if (err == SH_OK) {
        const struct secagg_slice all = {.at = a->words, .count = a->sum->floats};
        secagg_server_unmask(a->server, all);
    }
    return err == SH_ERR_DENIED ? SH_ERR_NO_QUORUM : err;
}

static enum sh_err run_steps(struct attempt *a)
{
    enum sh_err err = step_all(a, ROUNDS_SUM_KEYS, NULL, take_keys);
    err = err != SH_OK ? err : open_shares(a);
    err = err != SH_OK ? err : step_all(a, ROUNDS_SUM_SHARES, put_roster, take_shares);
    err = err != SH_OK ? err : secagg_server_open_masked(a->server);
    err = err != SH_OK ? err : step_all(a, ROUNDS_SUM_MASKED, put_delivery, take_masked);
    err = err != SH_OK ? err : secagg_server_open_consent(a->server);
    err = err != SH_OK ? err : step_all(a, ROUNDS_SUM_CONSENT, put_set, take_consent);
    err = err != SH_OK ? err : step_all(a, ROUNDS_SUM_REVEAL, put_consents, take_reveal);
    return err != SH_OK ? err : recover(a);
}

/* Those whose words are in, also if they fell silent after that. */
static void name_parts(struct attempt *a)
{
    const struct secagg_set *in = secagg_server_survivors(a->server);
    for (uint32_t i = 0; i < a->sum->count; i++) {
        if (secagg_set_has(in, a->index[i])) {
            a->sum->members[i].part = ROUNDS_SUM_IN;
            a->sum->members[i].why[0] = '\0';
        }
    }
}

static enum sh_err attempt_once(struct attempt *a)
{
    a->round.generation = sh_random_u64();
    a->round.generation += a->round.generation == 0;
    memset(a->words, 0, a->sum->floats * sizeof *a->words);
    enum sh_err err = secagg_server_open(&a->round, SPEC_AGENTS_MAX, &a->server);
    err = err != SH_OK ? err : run_steps(a);
    if (err == SH_OK) {
        name_parts(a);
    }
    secagg_server_close(a->server);
    a->server = NULL;
    return err;
}

enum sh_err rounds_sum_run(struct rounds_sum *sum, uint64_t *words)
{
    struct attempt *a = calloc(1, sizeof *a);
    enum sh_err err = a != NULL ? SH_ERR_NO_QUORUM : SH_ERR_NO_MEMORY;
    SH_CHECK_CMP(sum->count, <=, SPEC_AGENTS_MAX);
    for (uint32_t i = 0; a != NULL && i < sum->count; i++) {
        a->here[i] = true;
        sum->members[i].part = ROUNDS_SUM_SILENT;
        sum->members[i].why[0] = '\0';
    }
    for (uint32_t tries = 0; err == SH_ERR_NO_QUORUM && tries < ROUNDS_SUM_TRIES; tries++) {
        a->sum = sum;
        a->words = words;
        a->round = (struct secagg_round){
            .job = sum->unit.job, .round = sum->round, .count = sum->floats, .bits = 64};
        memcpy(a->round.cluster, sum->cluster, sizeof a->round.cluster);
        err = attempt_once(a);
    }
    free(a);
    return err;
}
