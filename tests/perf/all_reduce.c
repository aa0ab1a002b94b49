/* SPDX-License-Identifier: Apache-2.0
 *
 * The all-reduce of training between processes of one machine, by the code that sessions run
 * (agent/train/exchange.h), as other libraries measure theirs: from a barrier until the last member
 * has the sum of all in its memory. The vectors that are summed lie where training computes them.
 *
 *     all_reduce MEMBERS BYTES ROUNDS [BYTES ROUNDS ...]
 *
 * prints a line a case: bytes, shortest, median and 99th percentile in microseconds. Members are as
 * many processes; 1, 2, 4 or 8. The sums of the last round are checked. */
#include "train/exchange.h"

#include "base/host/host.h"

#include <fcntl.h>
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
    int pid[MEMBERS_MAX];
    int fd[MEMBERS_MAX];
    uint64_t number[MEMBERS_MAX];
    uint64_t took_us10[MEMBERS_MAX]; /* tenths of a microsecond */
};

struct member {
    struct table *table;
    uint32_t members;
    uint32_t me;
    uint64_t elements;
    struct train_sum *sum;
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
    must(train_exchange_open(&m->x, &config) == SH_OK, "no memory");
    must(train_exchange_start(m->x, sh_now_us(), 1, list, m->members, m->me) == SH_OK, "no memory");
    introduce(m);
}

static const float *reduce(struct member *m)
{
    struct train_order order;
    uint32_t spins = 0;
    train_exchange_ready(m->x, sh_now_us(), 0);
    while (train_exchange_result(m->x) == NULL) {
        uint64_t now = sh_now_us();
        bool any = train_exchange_poll(m->x, now) > 0;
        while (train_exchange_pop(m->x, now, &order)) {
            uint8_t head[TRAIN_CHUNK_HEAD + ROUND_FRAME_BYTES];
            struct sh_span body;
            train_exchange_perform(m->x, &order, head, &body);
            must(order.kind != ROUND_SEND, "a frame was not posted");
            train_exchange_done(m->x, now, &order);
            any = true;
        }
        if (!any) {
            pause_once(&spins);
        }
    }
    return train_exchange_result(m->x);
}

/* In tenths of a microsecond. */
static uint64_t now_us10(void)
{
    struct timespec t;
    SH_CHECK(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
    return (uint64_t)t.tv_sec * 10000000 + (uint64_t)t.tv_nsec / 100;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void print(uint64_t bytes, uint64_t *took, uint32_t rounds)
{
    qsort(took, rounds, sizeof *took, compare);
    (void)printf("%llu %.1f %.1f %.1f\n", (unsigned long long)bytes, (double)took[0] / 10,
                 (double)took[rounds / 2] / 10, (double)took[(uint64_t)rounds * 99 / 100] / 10);
    (void)fflush(stdout);
}

static void measure(struct member *m, uint32_t rounds)
{
    uint64_t *took = calloc(rounds, sizeof *took);
    const float *result = NULL;
    must(took != NULL, "no memory");
    open_member(m);
    for (uint32_t i = 0; i < WARM + rounds; i++) {
        (void)train_sum_begin(m->sum, m->me, m->me + 1, m->elements);
        float *vector = train_sum_take(m->sum);
        for (uint64_t k = 0; i == 0 && k < m->elements; k++) {
            vector[k] = (float)(m->me + 1);
        }
        (void)train_sum_add(m->sum, m->me, vector);
        train_exchange_begin(m->x, sh_now_us(), m->elements);
        barrier(m);
        uint64_t start = now_us10();
        result = reduce(m);
        m->table->took_us10[m->me] = now_us10() - start;
        barrier(m);
        for (uint32_t k = 0; i >= WARM && k < m->members; k++) {
            uint64_t one = m->table->took_us10[k];
            took[i - WARM] = one > took[i - WARM] ? one : took[i - WARM];
        }
    }
    float expected = (float)(m->members * (m->members + 1)) / 2;
    for (uint64_t k = 0; k < m->elements; k++) {
        must(!(result[k] < expected) && !(result[k] > expected), "a wrong sum");
    }
    if (m->me == 0) {
        print(m->elements * sizeof(float), took, rounds);
    }
    barrier(m);
    train_exchange_close(m->x);
    train_sum_close(m->sum);
    free(took);
}

static void live(struct member m, int argc, char **argv)
{
    for (int i = 2; i + 1 < argc; i += 2) {
        m.elements = strtoull(argv[i], NULL, 10) / sizeof(float);
        uint32_t rounds = (uint32_t)strtoul(argv[i + 1], NULL, 10);
        must(m.elements > 0 && rounds > 0, "BYTES of at least 4 and ROUNDS of at least 1");
        measure(&m, rounds);
    }
}

int main(int argc, char **argv)
{
    uint32_t members = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 0;
    if (argc < 4 || members == 0 || members > MEMBERS_MAX || (members & (members - 1)) != 0) {
        (void)fprintf(stderr, "usage: all_reduce 1|2|4|8 BYTES ROUNDS [BYTES ROUNDS ...]\n");
        return 2;
    }
    struct table *table =
        mmap(NULL, sizeof *table, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must(table != MAP_FAILED, "no memory");
    for (uint32_t i = 1; i < members; i++) {
        pid_t child = fork();
        must(child >= 0, "no process");
        if (child == 0) {
            must(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0, "prctl");
            live((struct member){.table = table, .members = members, .me = i}, argc, argv);
            return 0;
        }
    }
    live((struct member){.table = table, .members = members}, argc, argv);
    for (uint32_t i = 1; i < members; i++) {
        int status = 1;
        must(wait(&status) > 0 && status == 0, "a member failed");
    }
    return 0;
}
