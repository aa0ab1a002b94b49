/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/parser.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES_MAX = 1 << 20 };

void sim_parser_complain(struct sim_parser *p, const char *format, ...)
{
    if (p->bad) {
        return;
    }
    p->bad = true;
    int used = snprintf(p->error, SIM_ERROR_MAX + 1, "%s:%u: ", p->scenario->file, p->line);
    SH_CHECK(used > 0);
    SH_CHECK_CMP(used, <, SIM_ERROR_MAX);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(p->error + used, SIM_ERROR_MAX + 1 - (size_t)used, format, args);
    va_end(args);
}

/* ---- words ---- */

const char *sim_parser_peek(const struct sim_parser *p)
{
    return p->next < p->count ? p->words[p->next] : "";
}

bool sim_parser_more(const struct sim_parser *p)
{
    return p->next < p->count;
}

bool sim_parser_take(struct sim_parser *p, const char *word)
{
    bool same = sim_parser_more(p) && strcmp(p->words[p->next], word) == 0;
    p->next += same;
    return same;
}

const char *sim_parser_word(struct sim_parser *p)
{
    return sim_parser_more(p) ? p->words[p->next++] : "";
}

void sim_parser_want(struct sim_parser *p, const char *text)
{
    if (!sim_parser_take(p, text)) {
        sim_parser_complain(p, "'%s' is expected %s'%s'", text,
                            sim_parser_more(p) ? "in place of " : "at the end, after ",
                            sim_parser_more(p) ? sim_parser_peek(p) : p->words[p->count - 1]);
    }
}

/* Digits with an optional fraction, in millionths. */
static bool decimal(const char *text, uint64_t *millionths, const char **end)
{
    uint64_t value = 0;
    uint64_t unit = 1000000;
    bool point = false;
    const char *at = text;
    for (; isdigit((unsigned char)*at) || (*at == '.' && !point); at++) {
        if (*at == '.') {
            point = true;
            continue;
        }
        if (value > UINT64_MAX / 100000000) {
            return false;
        }
        value = value * 10 + (uint64_t)(*at - '0');
        unit = point ? unit / 10 : unit;
    }
    *millionths = value * unit;
    *end = at;
    return at != text && unit > 0;
}

uint64_t sim_parser_duration(struct sim_parser *p)
{
    static const struct {
        const char *unit;
        uint64_t us;
    } UNITS[] = {{"us", 1}, {"ms", 1000}, {"s", 1000000}, {"m", 60000000}};
    const char *text = sim_parser_word(p);
    const char *end = text;
    uint64_t millionths;
    if (decimal(text, &millionths, &end)) {
        for (size_t i = 0; i < SH_COUNT(UNITS); i++) {
            if (strcmp(end, UNITS[i].unit) == 0) {
                return millionths / 1000000 * UNITS[i].us +
                       millionths % 1000000 * UNITS[i].us / 1000000;
            }
        }
    }
    sim_parser_complain(
        p, "'%s' is not a time; write a number with a unit: 500us, 200ms, 5s or 1.5m", text);
    return 0;
}

uint32_t sim_parser_percent(struct sim_parser *p)
{
    const char *text = sim_parser_word(p);
    const char *end = text;
    uint64_t millionths = 0;
    if (!decimal(text, &millionths, &end) || strcmp(end, "%") != 0 || millionths > 100000000) {
        sim_parser_complain(p, "'%s' is not a share; write a number from 0 to 100 with a sign: 5%%",
                            text);
        return 0;
    }
    return (uint32_t)(millionths / 100);
}

uint64_t sim_parser_number(struct sim_parser *p, uint64_t low, uint64_t high, const char *what)
{
    const char *text = sim_parser_word(p);
    char *end = NULL;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)*text) || *end != '\0' || errno != 0 || value < low ||
        value > high) {
        sim_parser_complain(p, "'%s' is not a number of %s; write one from %" PRIu64 " to %" PRIu64,
                            text, what, low, high);
        return low;
    }
    return value;
}

/* A letter, or one of the words that are resolved at run time. */
bool sim_parser_agent(struct sim_parser *p, const char *text, bool words, uint32_t *out)
{
    static const struct {
        const char *name;
        uint32_t ref;
    } REFS[] = {{"leader", SIM_REF_LEADER}, {"last", SIM_REF_LAST}, {"follower", SIM_REF_FOLLOWER}};
    for (size_t i = 0; i < SH_COUNT(REFS) && words; i++) {
        if (strcmp(text, REFS[i].name) == 0) {
            *out = REFS[i].ref;
            return true;
        }
    }
    if (text[0] < 'a' || text[0] > 'z' || text[1] != '\0') {
        sim_parser_complain(p, "'%s' is not an agent; agents are called a to %s%s", text,
                            sim_name(p->agents - 1),
                            words ? ", or 'leader', 'follower', 'last'" : "");
        return false;
    }
    *out = (uint32_t)(text[0] - 'a');
    if (*out >= p->agents) {
        sim_parser_complain(p, "there is no agent %s; agents here are a to %s", text,
                            sim_name(p->agents - 1));
        return false;
    }
    return true;
}

/* ---- lines ---- */

/* The verb that shares most of its letters with what was written. */
static const char *nearest(const char *text)
{
    const char *best = SIM_VERBS[0].name;
    uint32_t most = 0;
    for (uint32_t v = 0; v < SIM_VERB_COUNT; v++) {
        uint32_t same = text[0] == SIM_VERBS[v].name[0];
        for (const char *at = text; *at != '\0'; at++) {
            same += strchr(SIM_VERBS[v].name, *at) != NULL;
        }
        size_t length = strlen(SIM_VERBS[v].name);
        size_t typed = strlen(text);
        size_t off = length > typed ? length - typed : typed - length;
        same = same > off ? same - (uint32_t)off : 0;
        if (same > most) {
            most = same;
            best = SIM_VERBS[v].name;
        }
    }
    return best;
}

static void parse_time_of(struct sim_parser *p, struct sim_command *c)
{
    if (sim_parser_take(p, "at")) {
        c->timed = true;
        c->at_us = sim_parser_duration(p);
        if (c->at_us < p->at_us) {
            sim_parser_complain(p, "time goes back: a line before says %" PRIu64 " ms",
                                p->at_us / 1000);
        }
    } else if (sim_parser_take(p, "after")) {
        c->timed = true;
        c->at_us = p->at_us + sim_parser_duration(p);
    }
    if (c->timed) {
        p->started = true;
        p->at_us = c->at_us;
    }
}

static void parse_command(struct sim_parser *p, struct sim_command *c)
{
    parse_time_of(p, c);
    const char *name = sim_parser_word(p);
    for (uint32_t v = 0; v < SIM_VERB_COUNT && !p->bad; v++) {
        if (strcmp(SIM_VERBS[v].name, name) == 0) {
            c->verb = (enum sim_verb)v;
            SIM_VERBS[v].parse(p, c);
            if (sim_parser_more(p)) {
                sim_parser_complain(p, "'%s' is too much; write: %s", sim_parser_peek(p),
                                    SIM_VERBS[v].form);
            }
            return;
        }
    }
    sim_parser_complain(p, "'%s' is not a command; did you mean '%s'?", name, nearest(name));
}

static void split(struct sim_parser *p, char *line)
{
    char *state = NULL;
    p->count = 0;
    p->next = 0;
    line[strcspn(line, "#")] = '\0';
    for (char *at = strtok_r(line, " \t\r", &state); at != NULL;
         at = strtok_r(NULL, " \t\r", &state)) {
        if (p->count == SIM_WORDS_MAX) {
            sim_parser_complain(p, "more than %d words", SIM_WORDS_MAX);
            return;
        }
        p->words[p->count++] = at;
    }
}

static void parse_line(struct sim_parser *p, char *line)
{
    struct sim_scenario *s = p->scenario;
    split(p, line);
    if (p->count == 0 || p->bad) {
        return;
    }
    if (s->count == SIM_LINES_MAX) {
        sim_parser_complain(p, "more than %u commands", SIM_LINES_MAX);
        return;
    }
    struct sim_command *c = &s->commands[s->count];
    *c = (struct sim_command){.line = p->line};
    size_t used = 0;
    for (uint32_t i = 0; i < p->count && used < sizeof c->text; i++) {
        int n =
            snprintf(c->text + used, sizeof c->text - used, "%s%s", i > 0 ? " " : "", p->words[i]);
        used += n > 0 ? (size_t)n : 0;
    }
    parse_command(p, c);
    s->count++;
}

enum sh_err sim_scenario_parse(struct sim_scenario *scenario, const char *file, const char *text,
                               size_t size, char error[static SIM_ERROR_MAX + 1])
{
    struct sim_parser p = {.scenario = scenario, .agents = 5, .error = error};
    (void)snprintf(scenario->file, sizeof scenario->file, "%s", file);
    scenario->agents = p.agents;
    scenario->seed = 0;
    scenario->count = 0;
    error[0] = '\0';
    char *copy = malloc(size + 1);
    SH_CHECK(copy != NULL);
    memcpy(copy, text, size);
    copy[size] = '\0';
    char *line = copy;
    while (line != NULL && !p.bad) {
        char *end = strchr(line, '\n');
        if (end != NULL) {
            *end++ = '\0';
        }
        p.line++;
        parse_line(&p, line);
        line = end;
    }
    if (!p.bad && scenario->count == 0) {
        sim_parser_complain(&p, "there is no command in it; see 'shoal-sim help'");
    }
    free(copy);
    return p.bad ? SH_ERR_INVALID : SH_OK;
}

enum sh_err sim_scenario_read(struct sim_scenario *scenario, const char *file,
                              char error[static SIM_ERROR_MAX + 1])
{
    FILE *in = fopen(file, "r");
    if (in == NULL) {
        (void)snprintf(error, SIM_ERROR_MAX + 1, "%s: %s", file, strerror(errno));
        return SH_ERR_IO;
    }
    char *text = malloc(FILE_BYTES_MAX);
    SH_CHECK(text != NULL);
    size_t size = fread(text, 1, FILE_BYTES_MAX, in);
    enum sh_err err = SH_OK;
    if (ferror(in) != 0 || size == FILE_BYTES_MAX) {
        (void)snprintf(error, SIM_ERROR_MAX + 1, "%s: %s", file,
                       ferror(in) != 0 ? "cannot be read" : "larger than 1 MiB");
        err = SH_ERR_IO;
    }
    (void)fclose(in); /* it was only read */
    if (err == SH_OK) {
        err = sim_scenario_parse(scenario, file, text, size, error);
    }
    free(text);
    return err;
}

const char SIM_SCENARIO_HELP[] =
    "A scenario is a text file with one command a line; '#' begins a comment.\n"
    "\n"
    "  seed 7                          in place of 1, where --seed is not given\n"
    "  agents 5                        how many found and join the cluster (before all that\n"
    "                                  happens; a, b, ...)\n"
    "  latency 300us jitter 200us      of every link, at least and on average more\n"
    "  disk write 30us sync 300us      of every disk, on average\n"
    "\n"
    "When: 'at 5s COMMAND' (since the start), 'after 2s COMMAND' (since the time before), or at\n"
    "once. A command waits for an 'expect ... within' before it. Units: us, ms, s, m.\n"
    "\n"
    "  loss 5%                         duplicate 5%          capacity 20 (messages on a link)\n"
    "  batch 4                         entries in a message, of agents that start after this\n"
    "  log 16                          entries in a stretch of the log (1 to 2 are kept)\n"
    "  piece 1024                      bytes of a snapshot in a message\n"
    "  partition a b | c d e           cut a b          cut a -> b (one way)\n"
    "  isolate a b   mute a b          these from all others; mute: only what they say is lost\n"
    "  slow-link a b 200ms             clog a b 2s (a's words to b arrive after that)\n"
    "  heal (all links, no loss)       heal a b         heal a -> b       mend (all links)\n"
    "  kill a      the process ends, its files stay\n"
    "  crash a     the power goes: what was not synced may be lost\n"
    "  tear a      the same, and a part of the write under way may have arrived\n"
    "  kill a in vote-kept     as soon as it comes to that gap; also with crash and tear. Gaps:\n"
    "              stepped elected submitted sent vote-asked vote-kept durable released applying\n"
    "              staged applied replying conf-step conf-kept handle handle-kept boot\n"
    "              compacting compacted served pulled fetched installing installed\n"
    "  wipe a      a new disk: it is another node, and joins as a stranger\n"
    "  rot a 12    a bit of one of its records turns; the number says which\n"
    "  transfer a  whoever leads hands over to it\n"
    "  leave a     as SIGTERM: it hands over what it has, says goodbye and ends\n"
    "  restart a   restart all         pause a          resume a          resume all\n"
    "  slow-disk a 200ms (each sync)   fail-disk a      fail-disk a torn\n"
    "  stall-clock a 300ms             jump-clock a 2s  drift-clock a -500 (ppm)\n"
    "  add agent                       one more joins\n"
    "  submit noop 10 to a [as NAME] [once]\n"
    "  submit train 200 steps [of 10ms] [checkpoint 50] [agents 1..3] to a [as NAME] [once]\n"
    "              once: the client asks nobody else when that agent refuses\n"
    "  chaos for 10s                   random faults and submits, then all is healed and the\n"
    "                                  cluster must converge\n"
    "  calm        calm a b c          all (the others are killed) is healed, and it must "
    "converge\n"
    "  press       submits come faster than a round trip: some must be acknowledged meanwhile\n"
    "  end\n"
    "\n"
    "In place of an agent: leader (of the moment), follower (the first that votes and does not\n"
    "lead), last (the agent named before); in a partition also: others (all that are not named).\n"
    "\n"
    "What must be true, now or within a time:\n"
    "  expect leader [in a b c] [within 5s]          expect no leader in d e\n"
    "  expect a is leader|follower|candidate|learner|joining|paused|down\n"
    "  expect NAME acknowledged                      expect NAME answers NO_QUORUM\n"
    "  expect reads on a [jobs 3]                    (from its own tables, no quorum needed)\n"
    "  expect completed    all acknowledged jobs     expect units 30 (committed, at least)\n"
    "  expect equal        all up, one leader, equal logs and tables, nothing left to do\n"
    "  expect voters 3     expect members 5          (of the leader's configuration)\n"
    "\n"
    "After every event, whatever the script says: raft's five safety properties, durable votes "
    "and\n"
    "entries, and the jobs' (none lost, none committed twice, fences grow, equal tables).\n";
