/* SPDX-License-Identifier: Apache-2.0
 *
 * shoal-sim: runs scenarios and storms. Every seed runs in a process of its own, so that a core
 * that panics is one failed seed with the command that shows it again. */
#include "sim/apart.h"
#include "sim/explore.h"
#include "sim/judge.h"
#include "sim/shrink.h"
#include "sim/tally.h"

#include "base/host/host.h"
#include "lin/history.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_BROKEN = 1, EXIT_USAGE = 2, FAILURES_SHOWN = 10, SHRINK_RUNS = 3000 };

#define USAGE                                                                                      \
    "usage: shoal-sim run SCENARIO [--seed N | --seeds A..B] [--quiet]\n"                          \
    "       shoal-sim chaos [--agents N] [--events N] [--seed N | --seeds A..B] [--quiet]\n"       \
    "                       [--for SECONDS] [--stop] [--pairs]\n"                                  \
    "       shoal-sim train federated|together [--members N] [--seed N | --seeds A..B]\n"          \
    "                       [--for SECONDS] [--stop] [--quiet]\n"                                  \
    "       shoal-sim shrink --seed N [--agents N] [--events N] [--runs N] [--out FILE]\n"         \
    "       shoal-sim check-history [--budget N] FILE...\n"                                        \
    "       shoal-sim explore [--terms N] [--proposals N] [--crashes N] [--writes N]\n"            \
    "                         [--depth N] [--states N] [--no-pre-vote] [--led]\n"                  \
    "       shoal-sim help            the language of scenarios, and of histories\n"               \
    "\n"                                                                                           \
    "Runs a whole cluster in virtual time. One seed prints a time line, several a summary.\n"      \
    "--for: seeds from the first on until the time is over. --stop: at the first that breaks.\n"   \
    "--pairs: how often a crash fell into each gap while each fault was in force.\n"               \
    "train: rounds of training with drawn gradients over the real cores, in storms of faults:\n"   \
    "federated with liars (--members 500..1000), or together, step by step (--members 1..32).\n"   \
    "shrink: from a storm that breaks something to a short scenario that breaks the same.\n"       \
    "Exit status: 0 everything held, 1 something did not, 2 a mistake in the call or the file.\n"

enum kind { SCENARIO, CHAOS, FEDERATED, TOGETHER };

struct options {
    enum kind kind;
    const char *scenario; /* of SCENARIO */
    uint64_t members;     /* of FEDERATED and TOGETHER; 0: drawn, or as many as there may be */
    uint64_t first;
    uint64_t last;
    uint64_t agents;
    uint64_t events;
    uint64_t for_s; /* 0: to the last seed */
    uint64_t runs;
    const char *out; /* shrink: NULL: standard output */
    bool quiet;
    bool stop;
    bool pairs;
};

struct sums {
    uint64_t seeds;
    uint64_t failed;
    uint64_t events;
    uint64_t fewest;
    uint64_t changes;
    uint64_t fewest_changes;
    uint64_t units;
    uint64_t fewest_units;
    uint64_t trace; /* of all seeds */
    uint64_t cuts;  /* of logs */
    uint64_t snapshots;
    struct sim_coverage coverage;
};

static bool read_number(const char *text, uint64_t *out, const char **end)
{
    char *stop = NULL;
    errno = 0;
    *out = strtoull(text, &stop, 10);
    *end = stop;
    return isdigit((unsigned char)text[0]) && errno == 0;
}

static bool read_whole(const char *text, uint64_t *out)
{
    const char *end;
    return text != NULL && read_number(text, out, &end) && *end == '\0';
}

static bool read_range(const char *text, uint64_t *first, uint64_t *last)
{
    const char *end;
    return text != NULL && read_number(text, first, &end) && strncmp(end, "..", 2) == 0 &&
           read_whole(end + 2, last) && *first <= *last;
}

static bool read_flag(const char *text, struct options *o)
{
    if (strcmp(text, "--quiet") == 0) {
        o->quiet = true;
    } else if (strcmp(text, "--stop") == 0 && o->kind != SCENARIO) {
        o->stop = true;
    } else if (strcmp(text, "--pairs") == 0 && o->kind == CHAOS) {
        o->pairs = true;
    } else {
        return false;
    }
    return true;
}

static bool trains(const struct options *o)
{
    return o->kind == FEDERATED || o->kind == TOGETHER;
}

static bool may_have(const struct options *o)
{
    return o->kind == FEDERATED
               ? o->members >= SIM_FED_MEMBERS_MIN && o->members <= SIM_FED_MEMBERS_MAX
               : o->members >= 1 && o->members <= SIM_GANG_MEMBERS_MAX;
}

/* Takes the options behind the verb; false after having said what is wrong. */
static bool read_options(int argc, char **argv, struct options *o)
{
    for (int i = 2; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        bool ok = true;
        if (read_flag(argv[i], o)) {
            continue;
        }
        if (strcmp(argv[i], "--seed") == 0) {
            ok = read_whole(value, &o->first);
            o->last = o->for_s > 0 ? UINT64_MAX : o->first;
        } else if (strcmp(argv[i], "--seeds") == 0) {
            ok = read_range(value, &o->first, &o->last);
        } else if (strcmp(argv[i], "--agents") == 0 && o->kind == CHAOS) {
            ok = read_whole(value, &o->agents) && o->agents >= 1 && o->agents <= SIM_AGENTS_MAX;
        } else if (strcmp(argv[i], "--events") == 0 && o->kind == CHAOS) {
            ok = read_whole(value, &o->events);
        } else if (strcmp(argv[i], "--members") == 0 && trains(o)) {
            ok = read_whole(value, &o->members) && may_have(o);
        } else if (strcmp(argv[i], "--for") == 0 && o->kind != SCENARIO) {
            ok = read_whole(value, &o->for_s);
            o->last = UINT64_MAX;
        } else if (strcmp(argv[i], "--runs") == 0 && o->kind == CHAOS) {
            ok = read_whole(value, &o->runs) && o->runs <= UINT32_MAX;
        } else if (strcmp(argv[i], "--out") == 0 && o->kind == CHAOS) {
            ok = value != NULL;
            o->out = value;
        } else {
            (void)fprintf(stderr, "shoal-sim: '%s' is not known here\n%s", argv[i], USAGE);
            return false;
        }
        if (!ok) {
            (void)fprintf(stderr, "shoal-sim: %s: '%s' is not what it takes\n%s", argv[i],
                          value == NULL ? "" : value, USAGE);
            return false;
        }
        i++;
    }
    return true;
}

static void print_repeat(const struct options *o, uint64_t seed)
{
    if (trains(o)) {
        (void)printf("again: shoal-sim train %s --seed %" PRIu64,
                     o->kind == TOGETHER ? "together" : "federated", seed);
        if (o->members > 0) {
            (void)printf(" --members %" PRIu64, o->members);
        }
        (void)printf("\n");
    } else if (o->kind == SCENARIO) {
        (void)printf("again: shoal-sim run %s --seed %" PRIu64 "\n", o->scenario, seed);
    } else {
        (void)printf("again: shoal-sim chaos --agents %" PRIu64 " --events %" PRIu64
                     " --seed %" PRIu64 "\n",
                     o->agents, o->events, seed);
    }
}

struct job {
    const struct options *options;
    const struct sim_scenario *scenario; /* of SCENARIO */
};

static void run_here(void *ctx, uint64_t seed, struct sim_verdict *verdict)
{
    const struct job *job = ctx;
    const struct options *o = job->options;
    FILE *line = o->first == o->last && !o->quiet ? stdout : NULL;
    switch (o->kind) {
    case SCENARIO:
        sim_scenario_run(job->scenario, seed, line, verdict);
        break;
    case CHAOS:
        sim_storm_run((uint32_t)o->agents, o->events, seed, line, verdict);
        break;
    case FEDERATED:
        sim_fed_run(seed, o->members > 0 ? (uint32_t)o->members : SIM_FED_MEMBERS_MAX, verdict);
        break;
    case TOGETHER:
        sim_gang_run(seed, (uint32_t)o->members, verdict);
        break;
    }
}

static void print_verdict(const struct sim_verdict *v, uint64_t seed)
{
    const struct sim_counts *c = &v->counts;
    (void)printf(
        "%s: seed %" PRIu64 ", %u agents, %" PRIu64 " events in %" PRIu64 ".%03" PRIu64
        " s, %" PRIu64 " leader changes, %" PRIu64 " jobs acknowledged, %" PRIu64 " reads, %" PRIu64
        " completed, %" PRIu64 " units committed, log of %" PRIu64 ", cut %" PRIu64
        " times, %" PRIu64 " snapshots, state %016" PRIx64 ", trace %016" PRIx64 "\n",
        v->held ? "held" : "BROKEN", seed, v->agents, c->events, v->time_us / 1000000,
        v->time_us / 1000 % 1000, c->leader_changes, c->acknowledged, c->reads, c->completed,
        c->units, c->committed_index, c->compactions, c->snapshots, c->state, c->trace);
}

static uint64_t fewer(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void add(struct sums *s, const struct sim_verdict *v)
{
    s->events += v->counts.events;
    s->changes += v->counts.leader_changes;
    s->units += v->counts.units;
    s->cuts += v->counts.compactions;
    s->snapshots += v->counts.snapshots;
    s->fewest = fewer(s->fewest, v->counts.events);
    s->fewest_changes = fewer(s->fewest_changes, v->counts.leader_changes);
    s->fewest_units = fewer(s->fewest_units, v->counts.units);
    s->trace = s->trace * UINT64_C(0x9e3779b97f4a7c15) + v->counts.trace;
    for (uint32_t f = 0; f < SIM_FAULT_COUNT; f++) {
        for (uint32_t g = 0; g < SIM_GAP_COUNT; g++) {
            s->coverage.pairs[f][g] += v->coverage.pairs[f][g];
        }
    }
}

static void print_pairs(const struct sim_coverage *c)
{
    uint64_t least = UINT64_MAX;
    (void)printf("%-11s", "pairs");
    for (uint32_t g = 0; g < SIM_GAP_COUNT; g++) {
        (void)printf(" %11s", sim_gap_name((enum sim_gap)g));
    }
    for (uint32_t f = 0; f < SIM_FAULT_COUNT; f++) {
        (void)printf("\npair %-10s", sim_fault_name((enum sim_fault)f));
        for (uint32_t g = 0; g < SIM_GAP_COUNT; g++) {
            least = fewer(least, c->pairs[f][g]);
            (void)printf(" %*" PRIu64, g == 0 ? 7 : 11, c->pairs[f][g]);
        }
    }
    (void)printf("\npairs: %d, each hit %" PRIu64 " times or more\n",
                 SIM_FAULT_COUNT * SIM_GAP_COUNT, least);
}

static void print_sums(const struct sums *s)
{
    (void)printf("%s: %" PRIu64 " seeds, %" PRIu64 " failed; %" PRIu64 " events (fewest %" PRIu64
                 "), %" PRIu64 " leader changes (fewest %" PRIu64 "), %" PRIu64
                 " units committed (fewest %" PRIu64 "), %" PRIu64 " logs cut, %" PRIu64
                 " snapshots, trace %016" PRIx64 "\n",
                 s->failed == 0 ? "held" : "BROKEN", s->seeds, s->failed, s->events, s->fewest,
                 s->changes, s->fewest_changes, s->units, s->fewest_units, s->cuts, s->snapshots,
                 s->trace);
}

static uint64_t wall_us(void)
{
    struct timespec own;
    SH_CHECK(clock_gettime(CLOCK_MONOTONIC, &own) == 0);
    return (uint64_t)own.tv_sec * 1000000 + (uint64_t)own.tv_nsec / 1000;
}

static void print_broken(const struct options *o, uint64_t seed, const struct sim_apart *result)
{
    (void)printf("seed %" PRIu64 ": %s\n", seed, result->verdict.why);
    print_repeat(o, seed);
}

static void print_one(const struct options *o, const struct sim_verdict *v, uint64_t seed)
{
    if (trains(o)) {
        sim_tally_print_one(o->kind == TOGETHER, v, seed);
    } else {
        print_verdict(v, seed);
    }
}

static void print_all(const struct options *o, const struct sums *sums,
                      const struct sim_tally *tally, uint64_t took_us)
{
    if (o->pairs) {
        print_pairs(&sums->coverage);
    }
    (void)fprintf(stderr, "%" PRIu64 " events/s\n", sums->events * 1000000 / (took_us + 1));
    if (trains(o)) {
        sim_tally_print(o->kind == TOGETHER, tally);
    } else {
        print_sums(sums);
    }
}

static int run_seeds(const struct options *o, const struct sim_scenario *scenario)
{
    struct sums sums = {
        .fewest = UINT64_MAX, .fewest_changes = UINT64_MAX, .fewest_units = UINT64_MAX};
    struct sim_tally tally;
    bool one = o->first == o->last;
    struct job job = {.options = o, .scenario = scenario};
    struct sim_worker worker = {.run = run_here, .ctx = &job};
    uint64_t begun = wall_us();
    uint64_t took = 0;
    sim_tally_begin(&tally);
    for (uint64_t n = 0; n <= o->last - o->first; n++) {
        uint64_t seed = o->first + n;
        struct sim_apart result;
        sim_worker_run(&worker, seed, &result);
        bool held = result.lived && result.verdict.held;
        sums.seeds++;
        sums.failed += !held;
        add(&sums, &result.verdict);
        sim_tally_add(&tally, &result.verdict, held);
        if (one && result.lived) {
            print_one(o, &result.verdict, seed);
        }
        if (!held && sums.failed <= FAILURES_SHOWN) {
            print_broken(o, seed, &result);
        }
        took = wall_us() - begun;
        if ((!held && o->stop) || (o->for_s > 0 && took >= o->for_s * 1000000)) {
            break;
        }
    }
    sim_worker_end(&worker);
    if (!one) {
        print_all(o, &sums, &tally, took);
    }
    return sums.failed == 0 ? 0 : EXIT_BROKEN;
}

static int run_scenario(struct options *o)
{
    char error[SIM_ERROR_MAX + 1];
    struct sim_scenario *scenario = calloc(1, sizeof *scenario);
    SH_CHECK(scenario != NULL);
    int status = EXIT_USAGE;
    if (sim_scenario_read(scenario, o->scenario, error) == SH_OK) {
        if (o->last == 0) {
            o->first = scenario->seed == 0 ? 1 : scenario->seed;
            o->last = o->first;
        }
        status = run_seeds(o, scenario);
    } else {
        (void)fprintf(stderr, "shoal-sim: %s\n", error);
    }
    free(scenario);
    return status;
}

static int shrink(const struct options *o)
{
    char acts[] = "/tmp/shoal-sim-XXXXXX";
    int fd = mkstemp(acts);
    FILE *out = o->out == NULL ? stdout : fopen(o->out, "w");
    if (fd < 0 || out == NULL) {
        (void)fprintf(stderr, "shoal-sim: %s: %s\n", fd < 0 ? acts : o->out, strerror(errno));
        return EXIT_USAGE;
    }
    struct sim_shrink_options options = {.seed = o->first,
                                         .agents = (uint32_t)o->agents,
                                         .events = o->events,
                                         .runs_max = (uint32_t)o->runs,
                                         .acts = acts};
    enum sh_err err = sim_shrink(&options, out, stderr);
    (void)close(fd); /* it is read and written by its name */
    (void)unlink(acts);
    if (out != stdout && fclose(out) != 0 && err == SH_OK) {
        err = SH_ERR_IO;
    }
    if (err != SH_OK) {
        (void)fprintf(stderr, "shoal-sim: seed %" PRIu64 ": %s\n", o->first,
                      err == SH_ERR_NOT_FOUND  ? "everything holds"
                      : err == SH_ERR_CONFLICT ? "its acts alone break nothing, or something else"
                                               : sh_err_text(err));
    }
    return err == SH_OK ? 0 : EXIT_BROKEN;
}

/* ---- explore ---- */

static bool read_bounds(int argc, char **argv, struct sim_explore_bounds *b)
{
    struct {
        const char *name;
        uint32_t *out;
        uint32_t least;
        uint32_t most;
    } rows[] = {{"--terms", &b->terms, 1, SIM_EXPLORE_TERMS_MAX},
                {"--proposals", &b->proposals, 0, SIM_EXPLORE_PROPOSALS_MAX},
                {"--crashes", &b->crashes, 0, 100},
                {"--writes", &b->writes, 1, SIM_EXPLORE_WRITES_MAX - 1},
                {"--depth", &b->depth, 1, 10000}};
    for (int i = 2; i < argc; i++) {
        uint64_t value = 0;
        bool number = i + 1 < argc && read_whole(argv[i + 1], &value);
        bool known = false;
        if (strcmp(argv[i], "--no-pre-vote") == 0) {
            b->pre_vote = false;
            continue;
        }
        if (strcmp(argv[i], "--led") == 0) {
            b->led = true;
            continue;
        }
        if (strcmp(argv[i], "--states") == 0 && number && value > 0 && value < UINT32_MAX) {
            b->states = value;
            i++;
            continue;
        }
        for (size_t k = 0; k < SH_COUNT(rows) && number; k++) {
            if (strcmp(argv[i], rows[k].name) == 0 && value >= rows[k].least &&
                value <= rows[k].most) {
                *rows[k].out = (uint32_t)value;
                known = true;
            }
        }
        if (!known) {
            (void)fprintf(stderr, "shoal-sim: explore: '%s' is not known, or its number\n%s",
                          argv[i], USAGE);
            return false;
        }
        i++;
    }
    return true;
}

static int run_explore(int argc, char **argv)
{
    struct sim_explore_bounds bounds = {.terms = 2,
                                        .proposals = 1,
                                        .crashes = 1,
                                        .writes = 1,
                                        .depth = 16,
                                        .states = 20000000,
                                        .pre_vote = true};
    if (!read_bounds(argc, argv, &bounds)) {
        return EXIT_USAGE;
    }
    struct sim_explore_report *r = malloc(sizeof *r);
    SH_CHECK(r != NULL);
    uint64_t begun = sh_now_us();
    sim_explore(&bounds, r);
    uint64_t took = sh_now_us() - begun;
    if (!r->held) {
        (void)printf("%s", r->failure);
    }
    (void)printf(
        "%s: %" PRIu64 " states, %" PRIu64 " transitions, depth %u%s; %" PRIu64
        " steps of cores gave %" PRIu64 " states of nodes and %u messages; %" PRIu64 " ms\n",
        r->held ? "held" : "BROKEN", r->states, r->transitions, r->depth,
        r->complete ? ", nothing beyond" : "", r->steps, r->node_states, r->messages, took / 1000);
    int status = r->held ? 0 : EXIT_BROKEN;
    free(r);
    return status;
}

static int train(int argc, char **argv, struct options *o)
{
    const char *what = argc > 2 ? argv[2] : "";
    if (strcmp(what, "federated") != 0 && strcmp(what, "together") != 0) {
        (void)fprintf(stderr, "shoal-sim: train federated or train together\n%s", USAGE);
        return EXIT_USAGE;
    }
    o->kind = strcmp(what, "together") == 0 ? TOGETHER : FEDERATED;
    return read_options(argc - 1, argv + 1, o) ? run_seeds(o, NULL) : EXIT_USAGE;
}

int main(int argc, char **argv)
{
    struct options o = {
        .kind = CHAOS, .first = 1, .last = 1, .agents = 5, .events = 20000, .runs = SHRINK_RUNS};
    const char *verb = argc > 1 ? argv[1] : "";
    /* Worlds come and go: their memory stays here. */
    (void)mallopt(M_MMAP_THRESHOLD, 1 << 30);
    (void)mallopt(M_TRIM_THRESHOLD, 1 << 30);
    (void)mallopt(M_TOP_PAD, 64 << 20);
    if (strcmp(verb, "help") == 0 || strcmp(verb, "--help") == 0) {
        (void)printf("%s\n%s\n%s", USAGE, SIM_SCENARIO_HELP, LIN_HISTORY_HELP);
        return 0;
    }
    if (strcmp(verb, "run") == 0 && argc > 2 && argv[2][0] != '-') {
        o.kind = SCENARIO;
        o.scenario = argv[2];
        o.first = 0; /* the scenario's own */
        o.last = 0;
        return read_options(argc - 1, argv + 1, &o) ? run_scenario(&o) : EXIT_USAGE;
    }
    if (strcmp(verb, "explore") == 0) {
        return run_explore(argc, argv);
    }
    if (strcmp(verb, "check-history") == 0) {
        return sim_judge_files(argc - 2, argv + 2);
    }
    if (strcmp(verb, "chaos") == 0) {
        return read_options(argc, argv, &o) ? run_seeds(&o, NULL) : EXIT_USAGE;
    }
    if (strcmp(verb, "train") == 0) {
        return train(argc, argv, &o);
    }
    if (strcmp(verb, "shrink") == 0) {
        return read_options(argc, argv, &o) && o.first == o.last ? shrink(&o) : EXIT_USAGE;
    }
    (void)fprintf(stderr, "%s", USAGE);
    return EXIT_USAGE;
}
