/* SPDX-License-Identifier: Apache-2.0
 *
 * usage: fed_rounds [--clients N]... [--rounds N] [--bytes N]
 *
 * Empty federated rounds: so many simulated clients answer every invitation of the real core at
 * once, each with an update of the whole model, which is looked at, added up, and applied. What a
 * round costs besides training and wires. Prints milliseconds a round, the middle one of all
 * rounds, for each number of clients (10, 100, 1000 without any), and how many updates were added.
 */
#include "base/host/host.h"
#include "base/rng.h"
#include "fed/fed.h"
#include "kernels/agg/client.h"
#include "kernels/agg/fixed.h"
#include "kernels/agg/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KINDS 16u /* of updates: more would only take memory */

struct bench {
    uint32_t clients;
    size_t floats;
    struct fed *fed;
    void *memory;
    float *updates; /* KINDS of them */
    float *model;
    float *mean;
    kn_fixed *sums;
    uint64_t now_us;
    uint64_t added;
};

static void *take(size_t count, size_t size)
{
    void *at = aligned_alloc(64, (count * size + 63) / 64 * 64);
    if (at == NULL) {
        (void)fprintf(stderr, "fed_rounds: no memory\n");
        exit(1);
    }
    memset(at, 0, count * size);
    return at;
}

static void open_bench(struct bench *b, uint32_t clients, size_t floats, uint64_t rounds)
{
    struct fed_config config = {.members_max = clients,
                                .seed = 1,
                                .rounds = rounds,
                                .select = FED_ALL,
                                .over_permille = 1000,
                                .goal_ppm = 1000000,
                                .least = 1,
                                .hard_us = 60000000,
                                .skips_max = 1};
    struct sh_arena arena;
    struct sh_rng rng;
    *b = (struct bench){.clients = clients, .floats = floats, .now_us = 1};
    b->memory = take(1, fed_bytes(clients));
    b->updates = take(KINDS * floats, sizeof *b->updates);
    b->model = take(floats, sizeof *b->model);
    b->mean = take(floats, sizeof *b->mean);
    b->sums = take(floats, sizeof *b->sums);
    sh_arena_init(&arena, b->memory, fed_bytes(clients));
    b->fed = fed_init(&config, &arena);
    sh_rng_init(&rng, 1);
    for (size_t i = 0; i < KINDS * floats; i++) {
        b->updates[i] = (float)((double)sh_rng_below(&rng, 2000001) / 1e6 - 1);
    }
}

static void close_bench(struct bench *b)
{
    free(b->memory);
    free(b->updates);
    free(b->model);
    free(b->mean);
    free(b->sums);
}

/* Adds up what counts in the round that has closed, and applies it. */
static void combine(struct bench *b)
{
    struct kn_fixed_sum sum;
    struct kn_server server = kn_server_default(KN_SERVER_AVG);
    struct fed_entry entry;
    size_t bad = 0;
    kn_fixed_begin(&sum, b->sums, b->floats);
    for (uint32_t i = 0; i < b->clients; i++) {
        if (!fed_entry(b->fed, i, &entry)) {
            continue;
        }
        const float *update = b->updates + (entry.update % KINDS) * b->floats;
        SH_CHECK(kn_fixed_verify(update, b->floats, &bad));
        kn_fixed_add(&sum, update, kn_client_weight(100 + i, 0));
        b->added++;
    }
    kn_fixed_divide(&sum, sum.weight, b->mean);
    kn_server_update(&server, b->model, b->mean, NULL, NULL, b->floats);
}

/* What the core asks for, and what clients do: they answer at once. True: the round has closed. */
static bool step(struct bench *b, struct fed_event *e, uint32_t *asked, uint32_t *count)
{
    struct fed_update u;
    bool closed = false;
    e->now_us = b->now_us++;
    fed_step(b->fed, e, &u);
    for (uint32_t i = 0; i < u.count; i++) {
        if (u.actions[i].kind == FED_DO_INVITE) {
            asked[(*count)++] = u.actions[i].member;
        }
        closed = closed || u.actions[i].kind == FED_DO_CLOSE;
    }
    return closed;
}

static void run_round(struct bench *b, struct fed_event *first, uint32_t *asked)
{
    uint32_t count = 0;
    bool closed = step(b, first, asked, &count);
    while (fed_deadline_us(b->fed) == 0) {
        closed = step(b, &(struct fed_event){.kind = FED_EV_TIMER}, asked, &count) || closed;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct fed_event e = {
            .kind = FED_EV_REPLY, .member = asked[i], .round = fed_round(b->fed), .accepted = true};
        closed = step(b, &e, asked, &count) || closed;
        e.kind = FED_EV_UPDATE;
        e.update = asked[i];
        closed = step(b, &e, asked, &count) || closed;
    }
    SH_CHECK(closed);
    combine(b);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(uint32_t clients, size_t bytes, uint64_t rounds)
{
    struct bench b;
    struct fed_event first = {.kind = FED_EV_START};
    open_bench(&b, clients, bytes / sizeof(float), rounds);
    uint32_t *asked = take(clients + 1, sizeof *asked);
    double *ms = take(rounds, sizeof *ms);
    for (uint32_t i = 0; i < clients; i++) {
        uint32_t none = 0;
        (void)step(&b, &(struct fed_event){.kind = FED_EV_JOIN, .member = i, .key = i}, asked,
                   &none);
    }
    for (uint64_t i = 0; i < rounds; i++) {
        uint64_t from = sh_now_us();
        run_round(&b, &first, asked);
        ms[i] = (double)(sh_now_us() - from) / 1000;
        first = (struct fed_event){.kind = FED_EV_COMMITTED};
    }
    SH_CHECK_CMP(b.added, ==, clients * rounds);
    qsort(ms, rounds, sizeof *ms, by_size);
    (void)printf("clients %u bytes %zu rounds %llu ms %.2f updates %llu\n", clients, bytes,
                 (unsigned long long)rounds, ms[rounds / 2], (unsigned long long)b.added);
    free(asked);
    free(ms);
    close_bench(&b);
}

static unsigned long number(const char *text, unsigned long most)
{
    char *end = NULL;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value == 0 || value > most) {
        (void)fprintf(stderr, "fed_rounds: %s: must be a number from 1 to %lu\n", text, most);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv)
{
    uint32_t clients[16] = {10, 100, 1000};
    uint32_t count = 0;
    uint64_t rounds = 5;
    size_t bytes = (size_t)1 << 20;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--clients") == 0 && count < 16) {
            clients[count++] = (uint32_t)number(argv[i + 1], FED_MEMBERS_MAX);
        } else if (strcmp(argv[i], "--rounds") == 0) {
            rounds = number(argv[i + 1], 1000);
        } else if (strcmp(argv[i], "--bytes") == 0) {
            bytes = number(argv[i + 1], (unsigned long)1 << 30) / sizeof(float) * sizeof(float);
        } else {
            (void)fprintf(stderr, "fed_rounds: %s: no such option\n", argv[i]);
            return 2;
        }
    }
    count = count > 0 ? count : 3;
    for (uint32_t i = 0; i < count; i++) {
        measure(clients[i], bytes, rounds);
    }
    return 0;
}
