/* SPDX-License-Identifier: Apache-2.0 */
#include "rounds/member.h"

#include "journal.h"
#include "rounds/state.h"
#include "rounds/update.h"

#include "base/host/host.h"
#include "train/blob.h"
#include "train/clock.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATE_BYTES_MAX (UINT64_C(16) << 30)

struct rounds_member {
    struct rounds_member_config config;
    uint8_t me[SH_NODE_ID_BYTES];
    pthread_t thread;
    pthread_mutex_t trainer_lock; /* the trainer, and whether it is ready */
    bool ready;
    pthread_mutex_t lock; /* what follows */
    pthread_cond_t changed;
    bool asked; /* an invitation waits, or is worked at */
    struct rounds_invite invite;
    uint64_t serial; /* of the invitation; another one gives up what is at work */
    bool made;       /* report answers the newest invitation */
    struct rounds_report report;
    bool told; /* the leader has it */
    struct rounds_masking masking;
    bool masks; /* the thread is at it, without the lock */
    bool closing;
};

static void lock(struct rounds_member *m)
{
    SH_CHECK(pthread_mutex_lock(&m->lock) == 0);
}

static void unlock(struct rounds_member *m)
{
    SH_CHECK(pthread_mutex_unlock(&m->lock) == 0);
}

/* ---- invitations ---- */

static bool same_work(const struct rounds_invite *a, const struct rounds_invite *b)
{
    return a->round == b->round && a->evaluates == b->evaluates &&
           memcmp(a->state, b->state, sizeof a->state) == 0;
}

void rounds_member_invite(struct rounds_member *m, const struct rounds_invite *invite,
                          struct rounds_report *answer)
{
    lock(m);
    bool older = m->asked && invite->generation < m->invite.generation;
    bool same = m->asked && same_work(invite, &m->invite);
    if (older) {
        *answer = (struct rounds_report){.answer = ROUNDS_DECLINES};
        (void)snprintf(answer->text, sizeof answer->text, "a newer gang is at work");
    } else if (same && m->made) {
        *answer = m->report;
        m->invite = *invite;
        m->told = true; /* with this answer */
    } else {
        m->serial += same ? 0 : 1;
        m->made = same && m->made;
        m->told = false;
        m->asked = true;
        m->invite = *invite; /* perhaps of another leader */
        *answer = (struct rounds_report){.answer = ROUNDS_WORKS};
        SH_CHECK(pthread_cond_signal(&m->changed) == 0);
    }
    answer->unit = invite->unit;
    answer->generation = invite->generation;
    answer->round = invite->round;
    memcpy(answer->node, m->me, sizeof answer->node);
    unlock(m);
}

struct wish { /* of the work at hand */
    struct rounds_member *m;
    uint64_t serial;
};

static bool is_wanted(void *ctx)
{
    const struct wish *wish = ctx;
    lock(wish->m);
    bool wanted = !wish->m->closing && wish->m->serial == wish->serial;
    unlock(wish->m);
    return wanted;
}

/* ---- work ---- */

struct workpiece {  /* of one round */
    uint8_t *bytes; /* the state */
    size_t size;
    struct rounds_state state;
    struct rounds_model model;
    float *controls;
    float *change;
    float *variates;
};

static void drop(struct workpiece *p)
{
    free(p->bytes);
    rounds_model_close(&p->model);
    free(p->controls);
    free(p->change);
    free(p->variates);
}

static enum sh_err take_memory(struct workpiece *p, char *why)
{
    size_t floats = p->model.floats;
    bool controls = p->state.controls.size > 0;
    bool fits = !controls || p->state.controls.size == floats * sizeof(float);
    p->change = malloc(floats * sizeof *p->change);
    p->controls = controls ? malloc(floats * sizeof *p->controls) : NULL;
    p->variates = controls ? malloc(floats * sizeof *p->variates) : NULL;
    if (!fits) {
        (void)snprintf(why, ROUNDS_WHY_BYTES, "the round's state is damaged");
        return SH_ERR_CORRUPT;
    }
    if (p->change == NULL || (controls && (p->controls == NULL || p->variates == NULL))) {
        (void)snprintf(why, ROUNDS_WHY_BYTES, "no memory for this model");
        return SH_ERR_NO_MEMORY;
    }
    if (controls) {
        memcpy(p->controls, p->state.controls.at, floats * sizeof *p->controls);
    }
    return SH_OK;
}

static enum sh_err load(struct rounds_member *m, const struct rounds_invite *invite,
                        struct workpiece *p, char *why)
{
    enum sh_err err = train_blob_read(m->config.s, invite->state, STATE_BYTES_MAX, ROUNDS_STATE_US,
                                      &p->bytes, &p->size);
    if (err != SH_OK) {
        (void)snprintf(why, ROUNDS_WHY_BYTES, "the round's model cannot be fetched: %s",
                       sh_err_text(err));
        return err;
    }
    struct sh_span span = {.at = p->bytes, .size = p->size};
    err = rounds_state_decode(span, &p->state);
    uint8_t *file = err == SH_OK ? malloc(p->state.file.size + 1) : NULL;
    if (err != SH_OK || file == NULL) {
        err = err != SH_OK ? err : SH_ERR_NO_MEMORY;
        (void)snprintf(why, ROUNDS_WHY_BYTES, "the round's state: %s", sh_err_text(err));
        return err;
    }
    memcpy(file, p->state.file.at, p->state.file.size);
    err = rounds_model_open(&p->model, file, p->state.file.size, why, ROUNDS_WHY_BYTES);
    return err != SH_OK ? err : take_memory(p, why);
}

/* The update as a blob of this agent; of a job with secure sums in memory, for masking. */
static enum sh_err keep(struct rounds_member *m, struct workpiece *p, uint64_t round,
                        uint8_t digest[static SH_DIGEST_BYTES], char *why)
{
    if (m->config.masking.fed->secure) {
        lock(m);
        rounds_masking_take(&m->masking, round, p->change, p->model.floats);
        p->change = NULL;
        unlock(m);
        return SH_OK;
    }
    size_t size = rounds_update_size(p->model.floats, p->variates != NULL);
    uint8_t *bytes = malloc(size);
    enum sh_err err = SH_ERR_NO_MEMORY;
    if (bytes != NULL) {
        rounds_update_encode(round, p->change, p->variates, p->model.floats, bytes);
        err = service_blob_put(m->config.s, bytes, size, 1, digest, NULL, ROUNDS_BLOB_US);
    }
    free(bytes);
    if (err != SH_OK) {
        (void)snprintf(why, ROUNDS_WHY_BYTES, "the update cannot be kept: %s", sh_err_text(err));
    }
    return err;
}

/* With the trainer's lock. What is wrong with the data may quote them, so it is told on this
 * machine only. */
static enum sh_err make_ready(struct rounds_member *m, char *why)
{
    char own[ROUNDS_WHY_BYTES] = "";
    if (m->ready) {
        return SH_OK;
    }
    enum sh_err err = m->config.trainer.prepare(m->config.trainer.ctx, own);
    m->ready = err == SH_OK;
    if (err != SH_OK) {
        journal_warn("job %llu: %s", (unsigned long long)m->config.unit.job,
                     own[0] != '\0' ? own : sh_err_text(err));
        (void)snprintf(why, ROUNDS_WHY_BYTES,
                       "its part of the data set cannot be used (%s); its own journal says why",
                       sh_err_name(err));
    }
    return err;
}

static enum sh_err compute(struct rounds_member *m, const struct rounds_invite *invite,
                           struct wish *wish, struct rounds_report *report, char *why)
{
    struct workpiece p = {.bytes = NULL};
    enum sh_err err = load(m, invite, &p, why);
    struct rounds_task task = {.round = invite->round,
                               .evaluates = invite->evaluates,
                               .model = &p.model,
                               .controls = p.controls,
                               .wanted = is_wanted,
                               .ctx = wish,
                               .change = p.change,
                               .variates = p.variates};
    err = err != SH_OK ? err : m->config.trainer.work(m->config.trainer.ctx, &task, why);
    if (err == SH_OK && !invite->evaluates) {
        err = keep(m, &p, invite->round, report->update, why);
    }
    report->figures = task.figures;
    drop(&p);
    return err;
}

/* True: report says what came of it. */
static bool work(struct rounds_member *m, const struct rounds_invite *invite, struct wish *wish,
                 struct rounds_report *report)
{
    char why[ROUNDS_WHY_BYTES] = "";
    *report = (struct rounds_report){.unit = invite->unit,
                                     .generation = invite->generation,
                                     .round = invite->round,
                                     .evaluated = invite->evaluates};
    memcpy(report->node, m->me, sizeof report->node);
    SH_CHECK(pthread_mutex_lock(&m->trainer_lock) == 0);
    enum sh_err err = make_ready(m, why);
    report->answer = err == SH_OK ? ROUNDS_FAILS : ROUNDS_NO_DATA;
    err = err != SH_OK ? err : compute(m, invite, wish, report, why);
    SH_CHECK(pthread_mutex_unlock(&m->trainer_lock) == 0);
    if (err == SH_ERR_CANCELLED) {
        return false;
    }
    if (err == SH_OK) {
        report->answer = ROUNDS_DELIVERS;
    } else {
        (void)snprintf(report->text, sizeof report->text, "%.*s", (int)ROUNDS_TEXT_MAX,
                       why[0] != '\0' ? why : sh_err_text(err));
        train_scribe_line(m->config.scribe, "round %llu: %.180s",
                          (unsigned long long)invite->round + 1, report->text);
    }
    return true;
}

enum sh_err rounds_member_begin(struct rounds_member *m, uint8_t **bytes, size_t *size, char *why)
{
    SH_CHECK(pthread_mutex_lock(&m->trainer_lock) == 0);
    enum sh_err err = make_ready(m, why);
    err = err != SH_OK ? err : m->config.trainer.begin(m->config.trainer.ctx, bytes, size, why);
    SH_CHECK(pthread_mutex_unlock(&m->trainer_lock) == 0);
    return err;
}

/* ---- telling ---- */

/* One try. True: the leader has looked at it, or will. */
static bool tell(struct rounds_member *m, const struct rounds_invite *invite,
                 struct rounds_report *report)
{
    uint8_t bytes[ROUNDS_MESSAGE_BYTES];
    uint8_t heard = 0;
    size_t size = 0;
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    report->generation = invite->generation;
    rounds_report_encode(report, &w);
    SH_CHECK(!w.full);
    enum sh_err err = service_call(m->config.s, invite->leader, SERVICE_CALL_ROUNDS, bytes, w.used,
                                   &heard, sizeof heard, &size, ROUNDS_TELL_US);
    if (err == SH_ERR_UNREACHABLE) {
        m->config.lost(m->config.ctx, invite->generation, invite->leader);
    }
    bool answered = err == SH_OK && size == 1;
    if (answered && heard == ROUNDS_STALE) {
        train_scribe_line(m->config.scribe, "round %llu: its update came too late",
                          (unsigned long long)invite->round + 1);
    }
    return answered && heard != ROUNDS_NOT_HERE;
}

/* With the lock, let go meanwhile. */
static void tell_newest(struct rounds_member *m)
{
    struct rounds_invite invite = m->invite;
    struct rounds_report report = m->report;
    uint64_t serial = m->serial;
    unlock(m);
    bool heard = tell(m, &invite, &report);
    lock(m);
    if (heard && m->serial == serial) {
        m->told = true;
    } else if (!heard && !m->closing) {
        train_clock_wait(&m->changed, &m->lock, sh_now_us() + ROUNDS_RETRY_US);
    }
}

/* With the lock, let go meanwhile. */
static void work_newest(struct rounds_member *m)
{
    struct wish wish = {.m = m, .serial = m->serial};
    struct rounds_invite invite = m->invite;
    struct rounds_report report;
    unlock(m);
    bool done = work(m, &invite, &wish, &report);
    lock(m);
    if (done && m->serial == wish.serial) {
        m->report = report;
        m->made = true;
    }
}

/* ---- secure sums ---- */

enum sh_err rounds_member_sum(struct rounds_member *m, struct sh_span bytes, struct sh_writer *w)
{
    struct rounds_sum_question question;
    struct sh_reader r = sh_reader_over(bytes.at, bytes.size);
    enum sh_err err = rounds_sum_question_get(&r, &question);
    if (err != SH_OK) {
        return err;
    }
    lock(m);
    if (m->masks) {
        sh_put_u8(w, ROUNDS_SUM_WORKS);
    } else {
        rounds_masking_answer(&m->masking, &question, &r, w);
    }
    if (m->masking.state == ROUNDS_MASKING_WANTED) {
        SH_CHECK(pthread_cond_signal(&m->changed) == 0);
    }
    unlock(m);
    return SH_OK;
}

const uint8_t *rounds_member_cluster(const struct rounds_member *m)
{
    return m->config.masking.trust->cluster;
}

/* With the lock, let go meanwhile. */
static void mask_wanted(struct rounds_member *m)
{
    uint8_t digest[SH_DIGEST_BYTES] = {0};
    char why[ROUNDS_WHY_BYTES] = "";
    uint64_t *words = NULL;
    m->masks = true;
    unlock(m);
    enum sh_err err = rounds_masking_work(&m->masking, &words, why);
    if (err == SH_OK) {
        err = service_blob_put(m->config.s, words, m->masking.floats * sizeof *words, 1, digest,
                               NULL, ROUNDS_BLOB_US);
    }
    free(words);
    if (err != SH_OK) {
        train_scribe_line(m->config.scribe, "round %llu: no masked update: %.150s",
                          (unsigned long long)m->masking.round + 1,
                          why[0] != '\0' ? why : sh_err_text(err));
    }
    lock(m);
    m->masks = false;
    rounds_masking_made(&m->masking, digest, err);
}

static void *run(void *arg)
{
    struct rounds_member *m = arg;
    sh_thread_name("rounds-%llu", (unsigned long long)m->config.unit.job);
    lock(m);
    while (!m->closing) {
        if (m->masking.state == ROUNDS_MASKING_WANTED) {
            mask_wanted(m);
        } else if (m->asked && !m->made) {
            work_newest(m);
        } else if (m->asked && !m->told) {
            tell_newest(m);
        } else {
            train_clock_wait(&m->changed, &m->lock, UINT64_MAX);
        }
    }
    unlock(m);
    return NULL;
}

/* ---- life ---- */

enum sh_err rounds_member_open(struct rounds_member **out,
                               const struct rounds_member_config *config)
{
    struct rounds_member *m = calloc(1, sizeof *m);
    struct service_status status;
    *out = NULL;
    if (m == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    m->config = *config;
    m->config.masking.ctx = config->ctx;
    rounds_masking_init(&m->masking, &m->config.masking);
    service_status(config->s, &status);
    memcpy(m->me, status.node_id, sizeof m->me);
    SH_CHECK(pthread_mutex_init(&m->trainer_lock, NULL) == 0);
    SH_CHECK(pthread_mutex_init(&m->lock, NULL) == 0);
    train_clock_cond(&m->changed);
    if (pthread_create(&m->thread, NULL, run, m) != 0) {
        SH_CHECK(pthread_cond_destroy(&m->changed) == 0);
        SH_CHECK(pthread_mutex_destroy(&m->lock) == 0);
        SH_CHECK(pthread_mutex_destroy(&m->trainer_lock) == 0);
        free(m);
        return SH_ERR_NO_MEMORY;
    }
    *out = m;
    return SH_OK;
}

void rounds_member_close(struct rounds_member *m, bool ended)
{
    if (m == NULL) {
        return;
    }
    lock(m);
    m->closing = true;
    SH_CHECK(pthread_cond_signal(&m->changed) == 0);
    unlock(m);
    SH_CHECK(pthread_join(m->thread, NULL) == 0);
    if (ended) {
        m->config.trainer.forget(m->config.trainer.ctx);
    }
    m->config.trainer.close(m->config.trainer.ctx);
    rounds_masking_drop(&m->masking);
    SH_CHECK(pthread_cond_destroy(&m->changed) == 0);
    SH_CHECK(pthread_mutex_destroy(&m->lock) == 0);
    SH_CHECK(pthread_mutex_destroy(&m->trainer_lock) == 0);
    free(m);
}
