/* SPDX-License-Identifier: Apache-2.0
 *
 * The all-reduce of training between processes of one machine, by the code that sessions run
 * (agent/train/exchange.h), as other libraries measure theirs: from a barrier until the last member
 * has the sum of all in its memory. The vectors that are summed lie where training computes them.
 *
 *     all_reduce shelf|curve|bare MEMBERS BYTES ROUNDS [BYTES ROUNDS ...]
 *
 * shelf: as between agents of one machine, curve: as between machines, over the bulk plane, bare:
 * one memory that all write to, nothing that a lost member could be survived with. Prints
 * a line a case: bytes, shortest, median and 99th percentile in microseconds, and microseconds of
 * processor time of all members a round. Members are as many processes; 1, 2, 4 or 8. The sums of
 * the last round are checked. */
#include "all_reduce_net.h"

#include "train/exchange.h"

#include "kernels/agg/tree.h"
#include "kernels/kn.h"

#include "base/host/host.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MEMBERS_MAX = 8, WARM = 5, SPINS = 200 };

struct table { /* shared by all members */
    atomic_uint arrived;
    atomic_uint round;
    uint16_t port[MEMBERS_MAX];
    int pid[MEMBERS_MAX];
    int fd[MEMBERS_MAX];
    uint64_t number[MEMBERS_MAX];
    uint64_t took_us10[MEMBERS_MAX]; /* tenths of a microsecond */
    uint64_t busy_us10[MEMBERS_MAX]; /* processor time of all rounds */
    struct {                         /* bare: rounds so far */
        _Alignas(64) atomic_uint ready;
        _Alignas(64) atomic_uint summed;
    } bare[MEMBERS_MAX];
};

struct member {
    struct table *table;
    uint32_t members;
    uint32_t me;
    uint64_t elements;
    struct train_sum *sum;
    float *memory;   /* bare: a vector of each member, then the sum; else NULL */
    struct net *net; /* curve, else NULL */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct train_exchange *x;
};

static void must(bool good, const char *what)
{
    if (!good) {
        (void)fprintf(stderr, "all_reduce: %s\n", what);
        exit(1);
    }
}

/* With more members than cores whoever waits gives its core away. */
static void pause_once(uint32_t *spins)
{
    if (++*spins >= SPINS) {
        *spins = 0;
        (void)sched_yield();
    }
    atomic_signal_fence(memory_order_seq_cst);
}

static void barrier(struct member *m)
{
    struct table *t = m->table;
    uint32_t spins = 0;
    unsigned round = atomic_load(&t->round);
    if (atomic_fetch_add(&t->arrived, 1) + 1 == m->members) {
        atomic_store(&t->arrived, 0);
        atomic_store(&t->round, round + 1);
        return;
    }
    while (atomic_load(&t->round) == round) {
        pause_once(&spins);
    }
}

static void introduce(struct member *m)
{
    int fd = -1;
    struct table *t = m->table;
    t->number[m->me] = train_exchange_shelf(m->x, &fd);
    t->fd[m->me] = fd;
    t->pid[m->me] = (int)getpid();
    must(fd >= 0, "memory cannot be shared here");
    barrier(m);
    for (uint32_t i = 0; i < m->members; i++) {
        char path[64];
        if (i == m->me) {
            continue;
        }
        (void)snprintf(path, sizeof path, "/proc/%d/fd/%d", t->pid[i], t->fd[i]);
        int theirs = open(path, O_RDONLY | O_CLOEXEC);
        must(theirs >= 0 && train_exchange_offered(m->x, i, t->number[i], theirs),
             "a member's shelf cannot be read");
        (void)close(theirs);
        train_exchange_taken(m->x, i, t->number[m->me]);
    }
    barrier(m);
}

static void open_member(struct member *m)
{
    struct wire_member list[MEMBERS_MAX] = {{.rank_lo = 0}};
    for (uint32_t i = 0; i < m->members; i++) {
        memset(list[i].node, (int)i + 1, sizeof list[i].node);
        list[i].rank_lo = (uint16_t)i;
        list[i].rank_hi = (uint16_t)(i + 1);
    }
    must(train_sum_open(&m->sum, m->members, m->elements, 1) == SH_OK, "no memory");
    struct train_exchange_config config = {
        .ranks = m->members, .elements = m->elements, .shorter = 1, .sum = m->sum};
    struct train_exchange *x = NULL;
    must(train_exchange_open(&x, &config) == SH_OK, "no memory");
    must(train_exchange_start(x, sh_now_us(), 1, list, m->members, m->me) == SH_OK, "no memory");
    SH_CHECK(pthread_mutex_lock(&m->lock) == 0);
    m->x = x;
    SH_CHECK(pthread_mutex_unlock(&m->lock) == 0);
    if (m->net == NULL) {
        introduce(m);
    }
    barrier(m);
}

static void carry_out(struct member *m, const struct train_order *order)
{
    uint8_t head[TRAIN_UNIT_HEAD + ROUND_FRAME_BYTES];
    uint8_t coded[TRAIN_CODED_MAX];
    struct sh_span body;
    SH_CHECK(pthread_mutex_unlock(&m->lock) == 0);
    train_exchange_perform(m->x, order, head, coded, &body);
    if (order->kind == ROUND_SEND) {
        struct sh_span span = {.at = head, .size = sizeof head};
        must(m->net != NULL, "a frame was not posted");
        must(net_send(m->net, order->action.to, span, body), "a frame was not sent");
    }
    SH_CHECK(pthread_mutex_lock(&m->lock) == 0);
    train_exchange_done(m->x, sh_now_us(), order);
}

static bool carry_on(struct member *m)
{
    struct train_order order;
    bool any = train_exchange_poll(m->x, sh_now_us()) > 0;
    while (train_exchange_pop(m->x, sh_now_us(), &order)) {
        carry_out(m, &order);
        any = true;
    }
    return any;
}

static void wait_for_frames(struct member *m, uint32_t *spins)
{
    if (m->net != NULL) {
        SH_CHECK(pthread_cond_wait(&m->changed, &m->lock) == 0);
        return;
    }
    SH_CHECK(pthread_mutex_unlock(&m->lock) == 0);
    pause_once(spins);
    SH_CHECK(pthread_mutex_lock(&m->lock) == 0);
}

static const float *reduce(struct member *m)
{
    uint32_t spins = 0;
    SH_CHECK(pthread_mutex_lock(&m->lock) == 0);
    train_exchange_ready(m->x, sh_now_us(), 0);
    while (train_exchange_result(m->x) == NULL) {
        if (!carry_on(m) && train_exchange_result(m->x) == NULL) {
            wait_for_frames(m, &spins);
        }
    }
    const float *result = train_exchange_result(m->x);
    SH_CHECK(pthread_mutex_unlock(&m->lock) == 0);
    return result;
}

/* On the bulk thread. */
static void take(void *ctx, uint32_t from, struct sh_span bytes)
{
    struct member *m = ctx;
    struct wire_unit unit;
    struct round_frame header;
    struct sh_span payload;
    must(train_exchange_decode(bytes, &unit, &header, &payload) == SH_OK, "a broken frame");
    SH_CHECK(pthread_mutex_lock(&m->lock) == 0);
    if (m->x != NULL) {
        train_exchange_frame(m->x, sh_now_us(), (uint16_t)from, &header, payload);
        if (train_exchange_is_busy(m->x)) {
            SH_CHECK(pthread_cond_signal(&m->changed) == 0);
        }
    }
    SH_CHECK(pthread_mutex_unlock(&m->lock) == 0);
}

static const float *reduce_bare(struct member *m, unsigned round)
{
    struct kn_subtree leaf[MEMBERS_MAX];
    const float *sum[MEMBERS_MAX];
    struct table *t = m->table;
    uint32_t spins = 0;
    uint64_t line = KN_ALIGN / sizeof(float);
    uint64_t first = m->elements * m->me / m->members / line * line;
    uint64_t end = m->elements * (m->me + 1) / m->members / line * line;
    end = m->me + 1 == m->members ? m->elements : end;
    float *out = m->memory + m->members * m->elements;
    atomic_store(&t->bare[m->me].ready, round);
    for (uint32_t i = 0; i < m->members; i++) {
        leaf[i] = (struct kn_subtree){.lo = i};
        sum[i] = m->memory + i * m->elements + first;
        while (atomic_load(&t->bare[i].ready) < round) {
            pause_once(&spins);
        }
    }
    must(kn_tree_root(leaf, sum, m->members, m->members, end - first, out + first), "the tree");
    atomic_store(&t->bare[m->me].summed, round);
    for (uint32_t i = 0; i < m->members; i++) {
        while (atomic_load(&t->bare[i].summed) < round) {
            pause_once(&spins);
        }
    }
    return out;
}

/* In tenths of a microsecond. */
static uint64_t clock_us10(clockid_t clock)
{
    struct timespec t;
    SH_CHECK(clock_gettime(clock, &t) == 0);
    return (uint64_t)t.tv_sec * 10000000 + (uint64_t)t.tv_nsec / 100;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void print(const struct member *m, uint64_t *took, uint32_t rounds)
{
    uint64_t busy = 0;
    for (uint32_t i = 0; i < m->members; i++) {
        busy += m->table->busy_us10[i];
    }
    qsort(took, rounds, sizeof *took, compare);
    (void)printf("%llu %.1f %.1f %.1f %.1f\n", (unsigned long long)(m->elements * sizeof(float)),
                 (double)took[0] / 10, (double)took[rounds / 2] / 10,
                 (double)took[(uint64_t)rounds * 99 / 100] / 10, (double)busy / 10 / rounds);
    (void)fflush(stdout);
}

static void fill(const struct member *m, float *vector)
{
    for (uint64_t k = 0; k < m->elements; k++) {
        vector[k] = (float)(m->me + 1);
    }
}

/* What comes before the barrier: this member's vector is there. */
static void contribute(struct member *m, bool first)
{
    if (m->memory != NULL) {
        if (first) {
            fill(m, m->memory + m->me * m->elements);
        }
        return;
    }
    (void)train_sum_begin(m->sum, m->me, m->me + 1, m->elements);
    float *vector = train_sum_take(m->sum);
    if (first) {
        fill(m, vector);
    }
    (void)train_sum_add(m->sum, m->me, vector);
    SH_CHECK(pthread_mutex_lock(&m->lock) == 0);
    train_exchange_begin(m->x, sh_now_us(), &(struct train_vector){.elements = m->elements});
    SH_CHECK(pthread_mutex_unlock(&m->lock) == 0);
}

static void check(const struct member *m, const float *result)
{
    float expected = (float)(m->members * (m->members + 1)) / 2;
    for (uint64_t k = 0; k < m->elements; k++) {
        must(!(result[k] < expected) && !(result[k] > expected), "a wrong sum");
    }
}

static void close_member(struct member *m)
{
    SH_CHECK(pthread_mutex_lock(&m->lock) == 0);
    train_exchange_close(m->x);
    m->x = NULL;
    SH_CHECK(pthread_mutex_unlock(&m->lock) == 0);
    train_sum_close(m->sum);
    m->sum = NULL;
    barrier(m);
}

static void measure(struct member *m, uint32_t rounds, unsigned before)
{
    uint64_t *took = calloc(rounds, sizeof *took);
    const float *result = NULL;
    uint64_t busy = 0;
    must(took != NULL, "no memory");
    if (m->memory == NULL) {
        open_member(m);
    }
    for (uint32_t i = 0; i < WARM + rounds; i++) {
        busy = i == WARM ? clock_us10(CLOCK_PROCESS_CPUTIME_ID) : busy;
        contribute(m, i == 0);
        barrier(m);
        uint64_t start = clock_us10(CLOCK_MONOTONIC);
        result = m->memory != NULL ? reduce_bare(m, before + i + 1) : reduce(m);
        m->table->took_us10[m->me] = clock_us10(CLOCK_MONOTONIC) - start;
        barrier(m);
        for (uint32_t k = 0; i >= WARM && k < m->members; k++) {
            uint64_t one = m->table->took_us10[k];
            took[i - WARM] = one > took[i - WARM] ? one : took[i - WARM];
        }
    }
    m->table->busy_us10[m->me] = clock_us10(CLOCK_PROCESS_CPUTIME_ID) - busy;
    check(m, result);
    barrier(m);
    if (m->me == 0) {
        print(m, took, rounds);
    }
    close_member(m);
    free(took);
}

static void live(struct member m, bool curve, int argc, char **argv)
{
    unsigned before = 0;
    SH_CHECK(pthread_mutex_init(&m.lock, NULL) == 0);
    SH_CHECK(pthread_cond_init(&m.changed, NULL) == 0);
    if (curve) {
        m.net = net_open(m.me, m.members, &m.table->port[m.me], take, &m);
        must(m.net != NULL, "no bulk plane");
        barrier(&m);
        net_start(m.net, m.table->port);
    }
    for (int i = 3; i + 1 < argc; i += 2) {
        m.elements = strtoull(argv[i], NULL, 10) / sizeof(float);
        uint32_t rounds = (uint32_t)strtoul(argv[i + 1], NULL, 10);
        must(m.elements > 0 && rounds > 0, "BYTES of at least 4 and ROUNDS of at least 1");
        measure(&m, rounds, before);
        before += WARM + rounds;
    }
    if (curve) {
        net_stop(m.net);
        barrier(&m);
        net_close(m.net);
    }
}

static void *shared_memory(size_t size)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must(at != MAP_FAILED, "no memory");
    return at;
}

int main(int argc, char **argv)
{
    uint32_t members = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 0;
    const char *way = argc > 1 ? argv[1] : "";
    bool curve = strcmp(way, "curve") == 0;
    bool bare = strcmp(way, "bare") == 0;
    if (argc < 5 || members == 0 || members > MEMBERS_MAX || (members & (members - 1)) != 0 ||
        (!curve && !bare && strcmp(way, "shelf") != 0)) {
        (void)fprintf(
            stderr, "usage: all_reduce shelf|curve|bare 1|2|4|8 BYTES ROUNDS [BYTES ROUNDS ...]\n");
        return 2;
    }
    size_t longest = 0;
    for (int i = 3; i < argc; i += 2) {
        size_t bytes = strtoull(argv[i], NULL, 10);
        longest = bytes > longest ? bytes : longest;
    }
    struct member first = {.table = shared_memory(sizeof *first.table), .members = members};
    first.memory = bare ? shared_memory((members + 1) * longest) : NULL;
    for (uint32_t i = 1; i < members; i++) {
        pid_t child = fork();
        must(child >= 0, "no process");
        if (child == 0) {
            struct member other = first;
            other.me = i;
            must(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0, "prctl");
            live(other, curve, argc, argv);
            return 0;
        }
    }
    live(first, curve, argc, argv);
    for (uint32_t i = 1; i < members; i++) {
        int status = 1;
        must(wait(&status) > 0 && status == 0, "a member failed");
    }
    return 0;
}
