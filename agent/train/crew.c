/* SPDX-License-Identifier: Apache-2.0 */
#include "train/crew.h"

#include "base/host/host.h"
#include "kernels/kn.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

struct copy { /* of what training changes */
    float *params;
    float *buffers;
    float *optim;
    float *vector; /* of one step */
};

struct hand { /* one thread and what it computes with */
    struct train_crew *crew;
    pthread_t thread;
    bool running;
    struct kn_work *work;
    float *x;
    int32_t *labels;
    float *targets;
    uint32_t *index;
    struct copy own; /* for LOCAL rounds */
};

struct train_crew {
    struct train_crew_config config;
    struct hand *hands;
    pthread_mutex_t lock; /* what follows */
    pthread_cond_t work_came;
    pthread_cond_t hand_done;
    struct train_work work;
    uint32_t next; /* rank to hand out; work.high: none is left */
    uint32_t busy; /* hands that compute */
    bool failed;
    bool cancelled;
    bool closing;
};

static const struct kn_dataset *gather(struct hand *h, const struct kn_dataset *set, uint32_t n,
                                       struct kn_batch *batch)
{
    bool labelled = set->label != NULL;
    kn_dataset_gather(set, h->index, n, h->x, labelled ? h->labels : NULL,
                      set->target != NULL ? h->targets : NULL);
    *batch = (struct kn_batch){.n = n,
                               .x = h->x,
                               .labels = labelled ? h->labels : NULL,
                               .targets = set->target != NULL ? h->targets : NULL};
    return set;
}

static enum kn_err compute_step(struct hand *h, const struct train_work *work, uint32_t rank,
                                float *out, struct kn_diag *diag)
{
    const struct train_material *m = h->crew->config.m;
    struct kn_batch batch;
    struct kn_step_key key = {.seed = m->job->train.seed, .step = work->round.step, .rank = rank};
    train_material_batch(m, &work->round, 0, rank, h->index);
    gather(h, &m->train, m->microbatch, &batch);
    return kn_model_step(h->work, work->params, &batch, &key, out, diag);
}

static bool is_cancelled(struct train_crew *crew)
{
    SH_CHECK(pthread_mutex_lock(&crew->lock) == 0);
    bool cancelled = crew->cancelled;
    SH_CHECK(pthread_mutex_unlock(&crew->lock) == 0);
    return cancelled;
}

/* One step of a rank alone; adds what it measured. */
static enum kn_err step_alone(struct hand *h, const struct train_work *work, uint64_t ahead,
                              uint32_t rank, float *measured, struct kn_diag *diag)
{
    const struct train_material *m = h->crew->config.m;
    uint64_t step = work->round.step + ahead;
    struct kn_batch batch;
    struct kn_step_key key = {.seed = m->job->train.seed, .step = step, .rank = rank};
    struct kn_update update = {.optim = &m->optim,
                               .lr = train_material_rate(m, step),
                               .step = m->job->train.local.reset ? ahead : step,
                               .batch = m->microbatch,
                               .ranks = 1};
    train_material_batch(m, &work->round, ahead, rank, h->index);
    gather(h, &m->train, m->microbatch, &batch);
    enum kn_err err = kn_model_step(h->work, h->own.params, &batch, &key, h->own.vector, diag);
    if (err != KN_OK) {
        return err;
    }
    measured[0] += h->own.vector[m->vector - 2];
    measured[1] += h->own.vector[m->vector - 1];
    return kn_model_apply(m->model, &update, h->own.vector, h->own.params, h->own.buffers,
                          h->own.optim, diag);
}

/* *cancelled: given up, out is undefined. */
static enum kn_err compute_local(struct hand *h, const struct train_work *work, uint32_t rank,
                                 float *out, bool *cancelled, struct kn_diag *diag)
{
    const struct train_material *m = h->crew->config.m;
    bool reset = m->job->train.local.reset;
    float *measured = out + m->local_vector - 2;
    memcpy(h->own.params, work->params, m->params * sizeof(float));
    memcpy(h->own.buffers, work->buffers, m->buffers * sizeof(float));
    memcpy(h->own.optim, work->optim, m->inner_state * sizeof(float));
    if (reset) {
        memset(h->own.optim, 0, m->inner_state * sizeof(float));
    }
    memset(measured, 0, 2 * sizeof *measured);
    for (uint64_t i = 0; i < work->round.steps; i++) {
        *cancelled = is_cancelled(h->crew);
        enum kn_err err = *cancelled ? KN_OK : step_alone(h, work, i, rank, measured, diag);
        if (err != KN_OK || *cancelled) {
            return err;
        }
    }
    for (size_t i = 0; i < m->params; i++) {
        out[i] = work->params[i] - h->own.params[i];
    }
    memcpy(out + m->params, h->own.buffers, m->buffers * sizeof(float));
    if (!reset) {
        memcpy(out + m->params + m->buffers, h->own.optim, m->inner_state * sizeof(float));
    }
    return KN_OK;
}

static enum kn_err compute_share(struct hand *h, const struct train_work *work, uint32_t rank,
                                 float *out, struct kn_diag *diag)
{
    const struct train_material *m = h->crew->config.m;
    uint64_t total = train_material_count(m, work->round.kind);
    uint32_t first = (uint32_t)(total * rank / m->ranks);
    uint32_t end = (uint32_t)(total * (rank + 1) / m->ranks);
    double loss = 0;
    uint64_t correct = 0;
    while (first < end) {
        uint32_t n = end - first < m->call ? end - first : m->call;
        const struct kn_dataset *set =
            train_material_samples(m, work->round.kind, first, n, h->index);
        struct kn_batch batch;
        double part = 0;
        uint64_t right = 0;
        gather(h, set, n, &batch);
        enum kn_err err =
            kn_model_eval(h->work, work->params, work->buffers, &batch, &part, &right, diag);
        if (err != KN_OK) {
            return err;
        }
        loss += part;
        correct += right;
        first += n;
    }
    out[0] = (float)loss;
    out[1] = (float)(correct % TRAIN_CREW_CORRECT_BASE);
    out[2] = (float)(correct / TRAIN_CREW_CORRECT_BASE);
    return KN_OK;
}

static void compute(struct hand *h, const struct train_work *work, uint32_t rank)
{
    const struct train_crew_config *config = &h->crew->config;
    struct kn_diag diag = {.text = ""};
    float *out = train_sum_take(config->sum);
    kn_fp_enter();
    enum kn_err err = KN_OK;
    bool cancelled = false;
    if (work->round.kind == TRAIN_STEP) {
        err = compute_step(h, work, rank, out, &diag);
    } else if (work->round.kind == TRAIN_LOCAL) {
        err = compute_local(h, work, rank, out, &cancelled, &diag);
    } else {
        err = compute_share(h, work, rank, out, &diag);
    }
    if (err != KN_OK) {
        SH_CHECK(pthread_mutex_lock(&h->crew->lock) == 0);
        h->crew->failed = true;
        SH_CHECK(pthread_mutex_unlock(&h->crew->lock) == 0);
        config->failed(config->ctx, rank, &diag);
        return;
    }
    if (cancelled) {
        return; /* no sum of this round is asked for any more */
    }
    uint32_t subtree = train_sum_add(config->sum, rank, out);
    if (subtree != UINT32_MAX) {
        config->ready(config->ctx, subtree);
    }
}

static void *run(void *arg)
{
    struct hand *h = arg;
    struct train_crew *crew = h->crew;
    sh_thread_name("crew");
    /* Without the right to change it training runs at the usual priority. */
    SH_MAY_FAIL(setpriority(PRIO_PROCESS, (id_t)gettid(), TRAIN_CREW_NICE) == 0);
    SH_CHECK(pthread_mutex_lock(&crew->lock) == 0);
    while (!crew->closing) {
        if (crew->next >= crew->work.high || crew->failed) {
            SH_CHECK(pthread_cond_wait(&crew->work_came, &crew->lock) == 0);
            continue;
        }
        struct train_work work = crew->work;
        uint32_t rank = crew->next++;
        crew->busy++;
        SH_CHECK(pthread_mutex_unlock(&crew->lock) == 0);
        compute(h, &work, rank);
        SH_CHECK(pthread_mutex_lock(&crew->lock) == 0);
        crew->busy--;
        SH_CHECK(pthread_cond_signal(&crew->hand_done) == 0);
    }
    SH_CHECK(pthread_mutex_unlock(&crew->lock) == 0);
    return NULL;
}

static bool take_copy(struct copy *own, const struct train_material *m)
{
    own->params = calloc(m->params + 1, sizeof(float));
    own->buffers = calloc(m->buffers + 1, sizeof(float));
    own->optim = calloc(m->inner_state + 1, sizeof(float));
    own->vector = calloc(m->vector, sizeof(float));
    return own->params != NULL && own->buffers != NULL && own->optim != NULL && own->vector != NULL;
}

static bool equip(struct hand *h)
{
    const struct train_material *m = h->crew->config.m;
    size_t n = m->call;
    h->x = calloc(n * m->train.features, sizeof *h->x);
    h->labels = calloc(n * m->places, sizeof *h->labels);
    h->targets = calloc(n, sizeof *h->targets);
    h->index = calloc(n, sizeof *h->index);
    return h->x != NULL && h->labels != NULL && h->targets != NULL && h->index != NULL &&
           (m->local_vector == 0 || take_copy(&h->own, m)) &&
           kn_work_open(&h->work, m->model, kn_ops_cpu(), m->call, true) == KN_OK;
}

enum sh_err train_crew_open(struct train_crew **out, const struct train_crew_config *config)
{
    SH_CHECK(config->threads > 0 && config->threads <= TRAIN_CREW_THREADS_MAX);
    struct train_crew *crew = calloc(1, sizeof *crew);
    *out = NULL;
    if (crew == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    crew->config = *config;
    SH_CHECK(pthread_mutex_init(&crew->lock, NULL) == 0);
    SH_CHECK(pthread_cond_init(&crew->work_came, NULL) == 0);
    SH_CHECK(pthread_cond_init(&crew->hand_done, NULL) == 0);
    crew->hands = calloc(config->threads, sizeof *crew->hands);
    bool good = crew->hands != NULL;
    for (uint32_t i = 0; good && i < config->threads; i++) {
        struct hand *h = &crew->hands[i];
        h->crew = crew;
        good = equip(h) && pthread_create(&h->thread, NULL, run, h) == 0;
        h->running = good;
    }
    if (!good) {
        train_crew_close(crew);
        return SH_ERR_NO_MEMORY;
    }
    *out = crew;
    return SH_OK;
}

void train_crew_close(struct train_crew *crew)
{
    if (crew == NULL) {
        return;
    }
    SH_CHECK(pthread_mutex_lock(&crew->lock) == 0);
    crew->closing = true;
    SH_CHECK(pthread_cond_broadcast(&crew->work_came) == 0);
    SH_CHECK(pthread_mutex_unlock(&crew->lock) == 0);
    for (uint32_t i = 0; crew->hands != NULL && i < crew->config.threads; i++) {
        struct hand *h = &crew->hands[i];
        if (h->running) {
            SH_CHECK(pthread_join(h->thread, NULL) == 0);
        }
        kn_work_close(h->work);
        free(h->x);
        free(h->labels);
        free(h->targets);
        free(h->index);
        free(h->own.params);
        free(h->own.buffers);
        free(h->own.optim);
        free(h->own.vector);
    }
    free(crew->hands);
    SH_CHECK(pthread_cond_destroy(&crew->hand_done) == 0);
    SH_CHECK(pthread_cond_destroy(&crew->work_came) == 0);
    SH_CHECK(pthread_mutex_destroy(&crew->lock) == 0);
    free(crew);
}

void train_crew_begin(struct train_crew *crew, const struct train_work *work)
{
    SH_CHECK(work->round.kind != TRAIN_END);
    SH_CHECK_CMP(work->low, <, work->high);
    SH_CHECK(pthread_mutex_lock(&crew->lock) == 0);
    SH_CHECK(crew->next >= crew->work.high || crew->failed);
    SH_CHECK_CMP(crew->busy, ==, 0);
    crew->work = *work;
    crew->next = work->low;
    crew->failed = false;
    crew->cancelled = false;
    SH_CHECK(pthread_cond_broadcast(&crew->work_came) == 0);
    SH_CHECK(pthread_mutex_unlock(&crew->lock) == 0);
}

void train_crew_cancel(struct train_crew *crew)
{
    SH_CHECK(pthread_mutex_lock(&crew->lock) == 0);
    crew->next = crew->work.high;
    crew->cancelled = true;
    while (crew->busy > 0) {
        SH_CHECK(pthread_cond_wait(&crew->hand_done, &crew->lock) == 0);
    }
    SH_CHECK(pthread_mutex_unlock(&crew->lock) == 0);
}
