/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/tally.h"

#include <inttypes.h>
#include <stdio.h>

static uint64_t more(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t fewer(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void sim_tally_begin(struct sim_tally *tally)
{
    *tally = (struct sim_tally){.worst.fed.plain = UINT64_MAX};
}

static void add_fed(struct sim_tally *t, const struct sim_fed_counts *c)
{
    struct sim_fed_counts *sum = &t->sum.fed;
    struct sim_fed_counts *worst = &t->worst.fed;
    sum->rounds += c->rounds;
    sum->models += c->models;
    sum->updates += c->updates;
    sum->late += c->late;
    sum->leaders += c->leaders;
    worst->longest = more(worst->longest, c->longest);
    worst->estimate = more(worst->estimate, c->estimate);
    if (c->spoils) {
        worst->plain = fewer(worst->plain, c->plain);
    }
}

static void add_gang(struct sim_tally *t, const struct sim_gang_counts *c)
{
    struct sim_gang_counts *sum = &t->sum.gang;
    sum->generations += c->generations;
    sum->steps += c->steps;
    sum->finished += c->finished;
    sum->fetched += c->fetched;
    t->worst.gang.slowest = more(t->worst.gang.slowest, c->slowest);
    for (uint32_t b = 0; b < SIM_BLOW_COUNT; b++) {
        for (uint32_t p = 0; p < SIM_PHASE_COUNT; p++) {
            sum->blows[b][p] += c->blows[b][p];
        }
    }
}

void sim_tally_add(struct sim_tally *tally, const struct sim_verdict *v, bool held)
{
    tally->seeds++;
    tally->failed += !held;
    tally->events += v->counts.events;
    tally->trace = tally->trace * UINT64_C(0x9e3779b97f4a7c15) + v->counts.trace;
    if (held) {
        add_fed(tally, &v->train.fed);
        add_gang(tally, &v->train.gang);
    }
}

static void print_fed(const struct sim_fed_counts *sum, const struct sim_fed_counts *worst)
{
    (void)printf("%" PRIu64 " rounds, %" PRIu64 " models, %" PRIu64 " updates, %" PRIu64
                 " of them late, %" PRIu64 " leaders, longest round %" PRIu64 ".%" PRIu64
                 " %% of its bound, model within %" PRIu64 ".%03" PRIu64 " deviations",
                 sum->rounds, sum->models, sum->updates, sum->late, sum->leaders,
                 worst->longest / 10, worst->longest % 10, worst->estimate / 1000,
                 worst->estimate % 1000);
    if (worst->plain < UINT64_MAX) {
        (void)printf(", of plain averages %" PRIu64 ".%03" PRIu64, worst->plain / 1000,
                     worst->plain % 1000);
    }
}

static uint64_t rarest(const struct sim_gang_counts *c)
{
    uint64_t least = UINT64_MAX;
    for (uint32_t b = 0; b < SIM_BLOW_COUNT; b++) {
        for (uint32_t p = 0; p < SIM_PHASE_COUNT; p++) {
            least = fewer(least, c->blows[b][p]);
        }
    }
    return least;
}

static void print_gang(const struct sim_gang_counts *sum, const struct sim_gang_counts *worst)
{
    (void)printf("%" PRIu64 " generations, %" PRIu64 " steps, finished %" PRIu64
                 " times by members, %" PRIu64
                 " states fetched, steps after healing at most %" PRIu64 ".%" PRIu64
                 " %% of their bound, each fault in each phase %" PRIu64 " times or more",
                 sum->generations, sum->steps, sum->finished, sum->fetched, worst->slowest / 10,
                 worst->slowest % 10, rarest(sum));
}

static void print_blows(const struct sim_gang_counts *c)
{
    for (uint32_t b = 0; b < SIM_BLOW_COUNT; b++) {
        (void)printf("%-7s", sim_blow_name((enum sim_blow)b));
        for (uint32_t p = 0; p < SIM_PHASE_COUNT; p++) {
            (void)printf(" %s %" PRIu64, sim_phase_name((enum sim_phase)p), c->blows[b][p]);
        }
        (void)printf("\n");
    }
}

void sim_tally_print_one(bool together, const struct sim_verdict *v, uint64_t seed)
{
    struct sim_fed_counts fed = v->train.fed;
    fed.plain = fed.spoils ? fed.plain : UINT64_MAX;
    (void)printf("%s: seed %" PRIu64 ", %u nodes, %" PRIu64 " events in %" PRIu64 ".%03" PRIu64
                 " s, %" PRIu64 " messages, %" PRIu64 " lost, ",
                 v->held ? "held" : "BROKEN", seed, v->agents, v->counts.events,
                 v->time_us / 1000000, v->time_us / 1000 % 1000, v->counts.messages,
                 v->counts.lost);
    if (together) {
        print_gang(&v->train.gang, &v->train.gang);
    } else {
        print_fed(&fed, &fed);
    }
    (void)printf(", trace %016" PRIx64 "\n", v->counts.trace);
}

void sim_tally_print(bool together, const struct sim_tally *t)
{
    if (together) {
        print_blows(&t->sum.gang);
    }
    (void)printf("%s: %" PRIu64 " seeds, %" PRIu64 " failed, %" PRIu64 " events, ",
                 t->failed == 0 ? "held" : "BROKEN", t->seeds, t->failed, t->events);
    if (together) {
        print_gang(&t->sum.gang, &t->worst.gang);
    } else {
        print_fed(&t->sum.fed, &t->worst.fed);
    }
    (void)printf(", trace %016" PRIx64 "\n", t->trace);
}
