/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/shrink.h"

#include "sim/apart.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SLACK_US UINT64_C(5000000) /* with another seed it may take longer */

enum { SEEDS_TRIED = 3, LINE_MAX_BYTES = 128 };

struct line {
    uint64_t at_us;
    char text[LINE_MAX_BYTES]; /* without its time */
};

struct script {
    uint64_t seed;
    uint32_t agents;
    uint32_t count;
    struct line *lines; /* the last is the end */
};

struct search {
    const struct sim_shrink_options *options;
    FILE *log;
    struct script best;
    struct sim_scenario *scenario; /* scratch, as text is */
    char *text;
    size_t text_bytes;
    uint32_t runs;
    char kind[SIM_ERROR_MAX + 1]; /* of the violation */
    char why[SIM_ERROR_MAX + 1];
};

void sim_shrink_kind(const char *why, char kind[static SIM_ERROR_MAX + 1])
{
    size_t used = 0;
    for (size_t i = 0; why[i] != '\0' && used < SIM_ERROR_MAX; i++) {
        bool alone =
            (i == 0 || !isalnum((unsigned char)why[i - 1])) && !isalnum((unsigned char)why[i + 1]);
        bool digit = isdigit((unsigned char)why[i]) != 0;
        if (digit && used > 0 && kind[used - 1] == '#') {
            continue;
        }
        kind[used++] = digit ? '#' : (char)(alone && islower((unsigned char)why[i]) ? '@' : why[i]);
    }
    kind[used] = '\0';
}

/* ---- trying ---- */

static size_t render(const struct script *s, char *text, size_t size)
{
    int used = snprintf(text, size, "seed %" PRIu64 "\nagents %" PRIu32 "\n", s->seed, s->agents);
    for (uint32_t i = 0; i < s->count && used >= 0 && (size_t)used < size; i++) {
        int n = snprintf(text + used, size - (size_t)used, "at %" PRIu64 "us %s\n",
                         s->lines[i].at_us, s->lines[i].text);
        used = n < 0 ? -1 : used + n;
    }
    SH_CHECK(used >= 0);
    SH_CHECK_CMP((size_t)used, <, size);
    return (size_t)used;
}

static void run_scenario(void *ctx, struct sim_verdict *verdict)
{
    const struct sim_scenario *scenario = ctx;
    sim_scenario_run(scenario, scenario->seed, NULL, verdict);
}

/* Does it break the same? Lines that name an agent too many make it no scenario at all. */
static bool breaks(struct search *s, const struct script *candidate)
{
    char error[SIM_ERROR_MAX + 1];
    char kind[SIM_ERROR_MAX + 1];
    struct sim_apart result;
    size_t size = render(candidate, s->text, s->text_bytes);
    if (s->runs >= s->options->runs_max ||
        sim_scenario_parse(s->scenario, "shrinking", s->text, size, error) != SH_OK) {
        return false;
    }
    s->runs++;
    sim_apart_run(run_scenario, s->scenario, true, &result);
    if (result.lived && result.verdict.held) {
        return false;
    }
    sim_shrink_kind(result.verdict.why, kind);
    if (s->kind[0] != '\0' && strcmp(kind, s->kind) != 0) {
        return false;
    }
    memcpy(s->kind, kind, sizeof kind);
    memcpy(s->why, result.verdict.why, sizeof s->why);
    return true;
}

/* With its own seed or another one. Takes the candidate's place when it breaks the same. */
static bool accept(struct search *s, struct script *candidate)
{
    uint64_t own = candidate->seed;
    for (uint64_t n = 0; n <= SEEDS_TRIED; n++) {
        candidate->seed = n == 0 ? own : n;
        if ((n == 0 || n != own) && breaks(s, candidate)) {
            struct line *lines = s->best.lines;
            s->best = *candidate;
            candidate->lines = lines;
            return true;
        }
    }
    return false;
}

static struct script copy_of(struct search *s, struct line *into)
{
    struct script copy = s->best;
    copy.lines = into;
    memcpy(into, s->best.lines, copy.count * sizeof *into);
    return copy;
}

/* ---- taking away ---- */

static bool without_lines(struct search *s, struct line **spare, uint32_t from, uint32_t count)
{
    struct script c = copy_of(s, *spare);
    memmove(c.lines + from, c.lines + from + count, (c.count - from - count) * sizeof c.lines[0]);
    c.count -= count;
    bool smaller = accept(s, &c);
    *spare = c.lines;
    return smaller;
}

static bool drop_lines(struct search *s, struct line **spare)
{
    uint32_t before = s->best.count;
    for (uint32_t chunk = (s->best.count + 1) / 2; chunk > 0; chunk /= 2) {
        uint32_t from = 0;
        while (from + 1 < s->best.count) { /* the end stays */
            uint32_t left = s->best.count - 1 - from;
            uint32_t count = chunk < left ? chunk : left;
            from += without_lines(s, spare, from, count) ? 0 : count;
        }
    }
    return s->best.count < before;
}

static bool names(const struct line *line, char agent)
{
    const char *at = line->text;
    for (size_t i = 0; at[i] != '\0'; i++) {
        if (at[i] == agent && (i == 0 || at[i - 1] == ' ') &&
            (at[i + 1] == ' ' || at[i + 1] == '\0')) {
            return true;
        }
    }
    return false;
}

static bool drop_agents(struct search *s, struct line **spare)
{
    bool smaller = false;
    for (bool again = true; again && s->best.agents > 1;) {
        struct script c = copy_of(s, *spare);
        uint32_t kept = 0;
        c.agents--;
        for (uint32_t i = 0; i < c.count; i++) {
            if (!names(&c.lines[i], sim_name(c.agents)[0])) {
                c.lines[kept++] = c.lines[i];
            }
        }
        c.count = kept;
        again = accept(s, &c);
        *spare = c.lines;
        smaller = smaller || again;
    }
    return smaller;
}

/* What follows line i comes sooner: at once, or after half of the wait. */
static bool sooner(struct search *s, struct line **spare, uint32_t i, uint64_t by_us)
{
    struct script c = copy_of(s, *spare);
    for (uint32_t k = i; k < c.count; k++) {
        c.lines[k].at_us -= by_us;
    }
    bool shorter = by_us > 0 && accept(s, &c);
    *spare = c.lines;
    return shorter;
}

static bool drop_time(struct search *s, struct line **spare)
{
    bool shorter = false;
    for (uint32_t i = 0; i < s->best.count; i++) {
        uint64_t before = i == 0 ? 0 : s->best.lines[i - 1].at_us;
        uint64_t wait = s->best.lines[i].at_us - before;
        bool one = sooner(s, spare, i, wait) || sooner(s, spare, i, wait / 2) ||
                   sooner(s, spare, i, wait % 1000000) || sooner(s, spare, i, wait % 1000);
        shorter = shorter || (one && wait > 1000);
    }
    return shorter;
}

static void search(struct search *s)
{
    struct line *spare = malloc(s->best.count * sizeof *spare);
    SH_CHECK(spare != NULL);
    bool smaller = true;
    while (smaller && s->runs < s->options->runs_max) {
        smaller = drop_lines(s, &spare);
        smaller = drop_agents(s, &spare) || smaller;
        smaller = drop_time(s, &spare) || smaller;
        (void)fprintf(
            s->log, "%" PRIu32 " runs: %" PRIu32 " lines, %" PRIu32 " agents, %" PRIu64 " ms\n",
            s->runs, s->best.count, s->best.agents, s->best.lines[s->best.count - 1].at_us / 1000);
    }
    free(spare);
}

/* ---- the storm ---- */

static void record(void *ctx, struct sim_verdict *verdict)
{
    const struct sim_shrink_options *o = ctx;
    FILE *acts = fopen(o->acts, "w");
    SH_CHECK(acts != NULL);
    sim_storm_record(o->agents, o->events, o->seed, acts, verdict);
    SH_CHECK(fclose(acts) == 0);
}

/* One "at TIMEus TEXT". */
static bool take_line(struct script *s, const char *text)
{
    static const char AT[] = "at ";
    char *rest = NULL;
    if (strncmp(text, AT, strlen(AT)) != 0) {
        return false; /* seed, agents */
    }
    uint64_t at = strtoull(text + strlen(AT), &rest, 10);
    SH_CHECK(strncmp(rest, "us ", 3) == 0);
    s->lines[s->count].at_us = at;
    int n = snprintf(s->lines[s->count].text, LINE_MAX_BYTES, "%s", rest + 3);
    SH_CHECK_CMP(n, <, LINE_MAX_BYTES);
    s->lines[s->count].text[strcspn(s->lines[s->count].text, "\n")] = '\0';
    s->count++;
    return true;
}

static enum sh_err read_acts(struct search *s, uint64_t end_us)
{
    char text[2 * LINE_MAX_BYTES];
    FILE *in = fopen(s->options->acts, "r");
    if (in == NULL) {
        return SH_ERR_IO;
    }
    while (s->best.count + 1 < SIM_LINES_MAX - 2 && fgets(text, sizeof text, in) != NULL) {
        (void)take_line(&s->best, text);
    }
    bool bad = ferror(in) != 0;
    (void)fclose(in); /* it was only read */
    uint64_t last = s->best.count > 0 ? s->best.lines[s->best.count - 1].at_us : 0;
    s->best.lines[s->best.count++] =
        (struct line){.at_us = (end_us > last ? end_us : last) + SLACK_US, .text = "end"};
    return bad ? SH_ERR_IO : SH_OK;
}

static enum sh_err storm_and_search(struct search *s, FILE *out)
{
    struct sim_apart storm;
    struct sim_shrink_options options = *s->options;
    sim_apart_run(record, &options, true, &storm);
    if (storm.lived && storm.verdict.held) {
        return SH_ERR_NOT_FOUND;
    }
    sim_shrink_kind(storm.verdict.why, s->kind);
    enum sh_err err = read_acts(s, storm.verdict.time_us);
    if (err != SH_OK) {
        return err;
    }
    (void)fprintf(s->log, "%s\n%" PRIu32 " acts\n", storm.verdict.why, s->best.count - 1);
    if (!breaks(s, &s->best)) {
        return SH_ERR_CONFLICT;
    }
    search(s);
    size_t size = render(&s->best, s->text, s->text_bytes);
    (void)fprintf(out, "# %s\n", s->why);
    return fwrite(s->text, 1, size, out) == size ? SH_OK : SH_ERR_IO;
}

enum sh_err sim_shrink(const struct sim_shrink_options *options, FILE *out, FILE *log)
{
    struct search s = {.options = options,
                       .log = log,
                       .best = {.seed = options->seed, .agents = options->agents},
                       .text_bytes = (size_t)SIM_LINES_MAX * LINE_MAX_BYTES};
    s.best.lines = calloc(SIM_LINES_MAX, sizeof *s.best.lines);
    s.scenario = calloc(1, sizeof *s.scenario);
    s.text = malloc(s.text_bytes);
    SH_CHECK(s.best.lines != NULL && s.scenario != NULL && s.text != NULL);
    enum sh_err err = storm_and_search(&s, out);
    free(s.best.lines);
    free(s.scenario);
    free(s.text);
    return err;
}
