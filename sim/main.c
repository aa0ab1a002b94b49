/* SPDX-License-Identifier: Apache-2.0
 *
 * shoal-sim: runs scenarios and storms. Every seed runs in a process of its own, so that a core
 * that panics is one failed seed with the command that shows it again. */
#include "sim/judge.h"
#include "sim/scenario.h"

#include "base/host/host.h"
#include "lin/history.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXIT_BROKEN = 1, EXIT_USAGE = 2, FAILURES_SHOWN = 10 };

#define USAGE                                                                                      \
    "usage: shoal-sim run SCENARIO [--seed N | --seeds A..B] [--quiet]\n"                          \
    "       shoal-sim chaos [--agents N] [--events N] [--seed N | --seeds A..B] [--quiet]\n"       \
    "       shoal-sim check-history [--budget N] FILE...\n"                                        \
    "       shoal-sim help            the language of scenarios, and of histories\n"               \
    "\n"                                                                                           \
    "Runs a whole cluster in virtual time. One seed prints a time line, several a summary.\n"      \
    "Exit status: 0 everything held, 1 something did not, 2 a mistake in the call or the file.\n"

struct options {
    const char *scenario; /* NULL: chaos */
    uint64_t first;
    uint64_t last;
    uint64_t agents;
    uint64_t events;
    bool quiet;
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

/* Takes the options behind the verb; false after having said what is wrong. */
static bool read_options(int argc, char **argv, struct options *o)
{
    for (int i = 2; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        bool ok = true;
        if (strcmp(argv[i], "--quiet") == 0) {
            o->quiet = true;
            continue;
        }
        if (strcmp(argv[i], "--seed") == 0) {
            ok = read_whole(value, &o->first);
            o->last = o->first;
        } else if (strcmp(argv[i], "--seeds") == 0) {
            ok = read_range(value, &o->first, &o->last);
        } else if (strcmp(argv[i], "--agents") == 0 && o->scenario == NULL) {
            ok = read_whole(value, &o->agents) && o->agents >= 1 && o->agents <= SIM_AGENTS_MAX;
        } else if (strcmp(argv[i], "--events") == 0 && o->scenario == NULL) {
            ok = read_whole(value, &o->events);
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
    if (o->scenario != NULL) {
        (void)printf("again: shoal-sim run %s --seed %" PRIu64 "\n", o->scenario, seed);
    } else {
        (void)printf("again: shoal-sim chaos --agents %" PRIu64 " --events %" PRIu64
                     " --seed %" PRIu64 "\n",
                     o->agents, o->events, seed);
    }
}

static void run_here(const struct options *o, const struct sim_scenario *scenario, uint64_t seed,
                     struct sim_verdict *verdict)
{
    bool line = o->first == o->last && !o->quiet;
    if (scenario != NULL) {
        sim_scenario_run(scenario, seed, line ? stdout : NULL, verdict);
    } else {
        sim_storm_run((uint32_t)o->agents, o->events, seed, line ? stdout : NULL, verdict);
    }
    (void)fflush(stdout);
}

static bool read_all(int fd, void *out, size_t size)
{
    uint8_t *at = out;
    while (size > 0) {
        ssize_t n = read(fd, at, size);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        at += n;
        size -= (size_t)n;
    }
    return true;
}

/* Runs one seed in a child. False when it died before it could say how it went. */
static bool run_apart(const struct options *o, const struct sim_scenario *scenario, uint64_t seed,
                      struct sim_verdict *verdict)
{
    int fds[2];
    (void)fflush(stdout);
    SH_CHECK(pipe(fds) == 0);
    pid_t child = fork();
    SH_CHECK(child >= 0);
    if (child == 0) {
        run_here(o, scenario, seed, verdict);
        ssize_t n = write(fds[1], verdict, sizeof *verdict);
        _exit(n == (ssize_t)sizeof *verdict ? 0 : EXIT_USAGE);
    }
    (void)close(fds[1]);
    bool told = read_all(fds[0], verdict, sizeof *verdict);
    (void)close(fds[0]);
    int status = 0;
    SH_CHECK(waitpid(child, &status, 0) == child);
    return told && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void print_verdict(const struct sim_verdict *v, uint64_t seed)
{
    const struct sim_counts *c = &v->counts;
    (void)printf("%s: seed %" PRIu64 ", %u agents, %" PRIu64 " events in %" PRIu64 ".%03" PRIu64
                 " s, %" PRIu64 " leader changes, %" PRIu64 " jobs acknowledged, %" PRIu64
                 " completed, %" PRIu64 " units committed, log of %" PRIu64 ", state %016" PRIx64
                 ", trace %016" PRIx64 "\n",
                 v->held ? "held" : "BROKEN", seed, v->agents, c->events, v->time_us / 1000000,
                 v->time_us / 1000 % 1000, c->leader_changes, c->acknowledged, c->completed,
                 c->units, c->committed_index, c->state, c->trace);
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
    s->fewest = fewer(s->fewest, v->counts.events);
    s->fewest_changes = fewer(s->fewest_changes, v->counts.leader_changes);
    s->fewest_units = fewer(s->fewest_units, v->counts.units);
    s->trace = s->trace * UINT64_C(0x9e3779b97f4a7c15) + v->counts.trace;
}

static void print_sums(const struct sums *s)
{
    (void)printf("%s: %" PRIu64 " seeds, %" PRIu64 " failed; %" PRIu64 " events (fewest %" PRIu64
                 "), %" PRIu64 " leader changes (fewest %" PRIu64 "), %" PRIu64
                 " units committed (fewest %" PRIu64 "), trace %016" PRIx64 "\n",
                 s->failed == 0 ? "held" : "BROKEN", s->seeds, s->failed, s->events, s->fewest,
                 s->changes, s->fewest_changes, s->units, s->fewest_units, s->trace);
}

static int run_seeds(const struct options *o, const struct sim_scenario *scenario)
{
    struct sums sums = {
        .fewest = UINT64_MAX, .fewest_changes = UINT64_MAX, .fewest_units = UINT64_MAX};
    bool one = o->first == o->last;
    for (uint64_t n = 0; n <= o->last - o->first; n++) {
        struct sim_verdict verdict = {0};
        uint64_t seed = o->first + n;
        bool lived = run_apart(o, scenario, seed, &verdict);
        sums.seeds++;
        add(&sums, &verdict);
        if (one && lived) {
            print_verdict(&verdict, seed);
        }
        if (lived && verdict.held) {
            continue;
        }
        sums.failed++;
        if (sums.failed <= FAILURES_SHOWN) {
            (void)printf("seed %" PRIu64 ": %s\n", seed,
                         lived ? verdict.why : "the process died; what it said stands above");
            print_repeat(o, seed);
        }
    }
    if (!one) {
        print_sums(&sums);
    }
    return sums.failed == 0 ? 0 : EXIT_BROKEN;
}

static int run_scenario(const struct options *o)
{
    char error[SIM_ERROR_MAX + 1];
    struct sim_scenario *scenario = calloc(1, sizeof *scenario);
    SH_CHECK(scenario != NULL);
    int status = EXIT_USAGE;
    if (sim_scenario_read(scenario, o->scenario, error) == SH_OK) {
        status = run_seeds(o, scenario);
    } else {
        (void)fprintf(stderr, "shoal-sim: %s\n", error);
    }
    free(scenario);
    return status;
}

int main(int argc, char **argv)
{
    struct options o = {.first = 1, .last = 1, .agents = 5, .events = 20000};
    const char *verb = argc > 1 ? argv[1] : "";
    if (strcmp(verb, "help") == 0 || strcmp(verb, "--help") == 0) {
        (void)printf("%s\n%s\n%s", USAGE, SIM_SCENARIO_HELP, LIN_HISTORY_HELP);
        return 0;
    }
    if (strcmp(verb, "run") == 0 && argc > 2 && argv[2][0] != '-') {
        o.scenario = argv[2];
        return read_options(argc - 1, argv + 1, &o) ? run_scenario(&o) : EXIT_USAGE;
    }
    if (strcmp(verb, "check-history") == 0) {
        return sim_judge_files(argc - 2, argv + 2);
    }
    if (strcmp(verb, "chaos") == 0) {
        return read_options(argc, argv, &o) ? run_seeds(&o, NULL) : EXIT_USAGE;
    }
    (void)fprintf(stderr, "%s", USAGE);
    return EXIT_USAGE;
}
