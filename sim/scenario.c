/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/scenario.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS_MAX = 64, FILE_BYTES_MAX = 1 << 20 };

struct parser {
    struct sim_scenario *scenario;
    unsigned line;
    uint32_t agents; /* that exist at this line */
    bool started;    /* a line before took place at a time */
    uint64_t at_us;
    char *words[WORDS_MAX];
    uint32_t count;
    uint32_t next;
    char *error;
    bool bad;
};

struct verb {
    const char *name;
    const char *form;
    void (*parse)(struct parser *p, struct sim_command *c);
};

static void complain(struct parser *p, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void complain(struct parser *p, const char *format, ...)
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

static const char *peek(const struct parser *p)
{
    return p->next < p->count ? p->words[p->next] : "";
}

static bool more(const struct parser *p)
{
    return p->next < p->count;
}

static bool take(struct parser *p, const char *word)
{
    bool same = more(p) && strcmp(p->words[p->next], word) == 0;
    p->next += same;
    return same;
}

static const char *word(struct parser *p)
{
    return more(p) ? p->words[p->next++] : "";
}

static void want(struct parser *p, const char *text)
{
    if (!take(p, text)) {
        complain(p, "'%s' is expected %s'%s'", text,
                 more(p) ? "in place of " : "at the end, after ",
                 more(p) ? peek(p) : p->words[p->count - 1]);
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

static uint64_t duration(struct parser *p)
{
    static const struct {
        const char *unit;
        uint64_t us;
    } UNITS[] = {{"us", 1}, {"ms", 1000}, {"s", 1000000}, {"m", 60000000}};
    const char *text = word(p);
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
    complain(p, "'%s' is not a time; write a number with a unit: 500us, 200ms, 5s or 1.5m", text);
    return 0;
}

static uint32_t percent(struct parser *p)
{
    const char *text = word(p);
    const char *end = text;
    uint64_t millionths = 0;
    if (!decimal(text, &millionths, &end) || strcmp(end, "%") != 0 || millionths > 100000000) {
        complain(p, "'%s' is not a share; write a number from 0 to 100 with a sign: 5%%", text);
        return 0;
    }
    return (uint32_t)(millionths / 100);
}

static uint64_t number(struct parser *p, uint64_t low, uint64_t high, const char *what)
{
    const char *text = word(p);
    char *end = NULL;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)*text) || *end != '\0' || errno != 0 || value < low ||
        value > high) {
        complain(p, "'%s' is not a number of %s; write one from %" PRIu64 " to %" PRIu64, text,
                 what, low, high);
        return low;
    }
    return value;
}

/* A letter, or one of the words that are resolved at run time. */
static bool agent_of(struct parser *p, const char *text, bool words, uint32_t *out)
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
        complain(p, "'%s' is not an agent; agents are called a to %s%s", text,
                 sim_name(p->agents - 1), words ? ", or 'leader', 'follower', 'last'" : "");
        return false;
    }
    *out = (uint32_t)(text[0] - 'a');
    if (*out >= p->agents) {
        complain(p, "there is no agent %s; agents here are a to %s", text, sim_name(p->agents - 1));
        return false;
    }
    return true;
}

static void add_agent(struct parser *p, struct sim_command *c, bool words)
{
    uint32_t agent = 0;
    if (!more(p)) {
        complain(p, "an agent is missing at the end");
    } else if (agent_of(p, word(p), words, &agent)) {
        c->agents[c->agent_count++] = agent;
    }
}

static void no_agent_twice(struct parser *p, const struct sim_command *c)
{
    for (uint32_t i = 0; i < c->agent_count; i++) {
        for (uint32_t k = 0; k < i; k++) {
            if (c->agents[i] == c->agents[k]) {
                complain(p, "one agent stands here twice");
            }
        }
    }
}

/* ---- commands ---- */

static void parse_agents(struct parser *p, struct sim_command *c)
{
    c->number = number(p, 1, SIM_AGENTS_MAX, "agents");
    if (p->started || p->scenario->count > 0) {
        complain(p,
                 "'agents' is the first command of a scenario; later ones join with 'add agent'");
        return;
    }
    p->agents = (uint32_t)c->number;
    p->scenario->agents = p->agents;
}

static void parse_latency(struct parser *p, struct sim_command *c)
{
    c->time_us[0] = duration(p);
    c->has_second = take(p, "jitter");
    c->time_us[1] = c->has_second ? duration(p) : 0;
}

static void parse_disk(struct parser *p, struct sim_command *c)
{
    want(p, "write");
    c->time_us[0] = p->bad ? 0 : duration(p);
    want(p, "sync");
    c->time_us[1] = p->bad ? 0 : duration(p);
}

static void parse_share(struct parser *p, struct sim_command *c)
{
    c->ppm = percent(p);
}

static void parse_partition(struct parser *p, struct sim_command *c)
{
    uint8_t side = 0;
    while (more(p) && !p->bad && c->agent_count < SIM_AGENTS_MAX) {
        if (take(p, "|")) {
            side++;
        } else if (take(p, "others")) {
            c->side[c->agent_count] = side;
            c->agents[c->agent_count++] = SIM_REF_OTHERS;
        } else {
            c->side[c->agent_count] = side;
            add_agent(p, c, true);
        }
    }
    no_agent_twice(p, c);
    if (side == 0 || c->agent_count == 0) {
        complain(p, "a partition needs two sides; write: partition a b | c d e, or: partition "
                    "leader | others");
    }
}

static void parse_two(struct parser *p, struct sim_command *c)
{
    add_agent(p, c, true);
    c->one_way = c->verb == SIM_DO_CUT && take(p, "->");
    add_agent(p, c, true);
    if (c->agent_count == 2 && c->agents[0] == c->agents[1]) {
        complain(p, "a link has two different ends");
    }
    if (c->verb == SIM_DO_SLOW_LINK && !p->bad) {
        c->time_us[0] = duration(p);
    }
}

static void parse_heal(struct parser *p, struct sim_command *c)
{
    if (more(p)) {
        parse_two(p, c);
    }
}

static void parse_one(struct parser *p, struct sim_command *c)
{
    bool many = c->verb == SIM_DO_RESTART || c->verb == SIM_DO_RESUME;
    if (many && take(p, "all")) {
        c->agents[c->agent_count++] = SIM_REF_ALL;
        return;
    }
    do {
        add_agent(p, c, true);
    } while (more(p) && !p->bad && c->agent_count < SIM_AGENTS_MAX);
}

static void parse_one_time(struct parser *p, struct sim_command *c)
{
    add_agent(p, c, true);
    if (!p->bad) {
        c->time_us[0] = duration(p);
    }
}

static void parse_add(struct parser *p, struct sim_command *c)
{
    (void)c;
    want(p, "agent");
    if (p->agents == SIM_AGENTS_MAX) {
        complain(p, "a simulation has at most %u agents", SIM_AGENTS_MAX);
        return;
    }
    p->agents++;
}

/* "1..3": at least one agent, at most three. */
static void parse_range(struct parser *p, struct sim_job *job)
{
    const char *text = word(p);
    char *end = NULL;
    unsigned long low = strtoul(text, &end, 10);
    bool dots = strncmp(end, "..", 2) == 0;
    unsigned long high = dots ? strtoul(end + 2, &end, 10) : 0;
    if (!isdigit((unsigned char)text[0]) || *end != '\0' || low < 1 || high < low || high > 16) {
        complain(p, "'%s' is not a range of agents; write for example: agents 1..3 (at most 16)",
                 text);
        return;
    }
    job->agents_min = (uint16_t)low;
    job->agents_max = (uint16_t)high;
}

static void parse_train(struct parser *p, struct sim_command *c)
{
    c->job.train = true;
    c->job.units = 1;
    c->job.steps = (uint32_t)number(p, 1, 1000000, "steps");
    c->job.step_us = 10000;
    want(p, "steps");
    if (take(p, "of")) {
        c->job.step_us = duration(p);
    }
    if (take(p, "checkpoint")) {
        c->job.every = (uint32_t)number(p, 1, 1000000, "steps between checkpoints");
    }
    if (take(p, "agents")) {
        parse_range(p, &c->job);
    }
}

static void parse_submit(struct parser *p, struct sim_command *c)
{
    c->job = (struct sim_job){.agents_min = 1, .agents_max = 1};
    if (take(p, "noop")) {
        c->job.units = (uint32_t)number(p, 1, 1000, "units");
    } else if (take(p, "train")) {
        c->job.agents_max = 3;
        parse_train(p, c);
    } else {
        complain(p, "'%s' is not a kind of job; write noop or train", peek(p));
    }
    want(p, "to");
    if (!p->bad) {
        add_agent(p, c, true);
    }
    if (take(p, "as")) {
        const char *name = word(p);
        if (name[0] == '\0' || strlen(name) > SIM_WORD_MAX) {
            complain(p, "a name of at most %u characters is expected after 'as'", SIM_WORD_MAX);
        }
        (void)snprintf(c->name, sizeof c->name, "%s", name);
    }
    c->once = take(p, "once");
}

static void parse_chaos(struct parser *p, struct sim_command *c)
{
    want(p, "for");
    c->time_us[0] = p->bad ? 0 : duration(p);
}

static void parse_nothing(struct parser *p, struct sim_command *c)
{
    (void)p;
    (void)c;
}

/* ---- expectations ---- */

static void agents_until_within(struct parser *p, struct sim_command *c)
{
    while (more(p) && strcmp(peek(p), "within") != 0 && !p->bad &&
           c->agent_count < SIM_AGENTS_MAX) {
        add_agent(p, c, true);
    }
}

static bool face_of(const char *text, enum sim_face *out)
{
    static const struct {
        const char *name;
        enum sim_face face;
    } FACES[] = {{"down", SIM_DOWN},       {"paused", SIM_PAUSED},     {"joining", SIM_DORMANT},
                 {"learner", SIM_LEARNER}, {"follower", SIM_FOLLOWER}, {"candidate", SIM_CANDIDATE},
                 {"leader", SIM_LEADER}};
    for (size_t i = 0; i < SH_COUNT(FACES); i++) {
        if (strcmp(text, FACES[i].name) == 0) {
            *out = FACES[i].face;
            return true;
        }
    }
    return false;
}

static bool err_of(const char *text, enum sh_err *out)
{
    for (uint32_t i = 1; i < SH_ERR_COUNT; i++) {
        if (strcmp(text, sh_err_name(sh_err_from_u32(i))) == 0) {
            *out = sh_err_from_u32(i);
            return true;
        }
    }
    return false;
}

/* "NAME acknowledged", "NAME answers NO_QUORUM", "AGENT is FACE" */
static void expect_of_name(struct parser *p, struct sim_command *c)
{
    const char *name = word(p);
    uint32_t agent = 0;
    if (take(p, "is")) {
        c->want = SIM_WANT_FACE;
        if (agent_of(p, name, true, &agent)) {
            c->agents[c->agent_count++] = agent;
        }
        if (!p->bad && !face_of(peek(p), &c->face)) {
            complain(p,
                     "'%s' is none of leader, follower, candidate, learner, joining, paused, down",
                     peek(p));
        }
        p->next++;
        return;
    }
    (void)snprintf(c->name, sizeof c->name, "%s", name);
    if (take(p, "acknowledged")) {
        c->want = SIM_WANT_ACK;
    } else if (take(p, "answers")) {
        c->want = SIM_WANT_ANSWER;
        if (!err_of(word(p), &c->err)) {
            complain(p, "an error's name is expected after 'answers', such as NO_QUORUM");
        }
    } else {
        complain(p, "nothing is known of expecting '%s'; see 'shoal-sim help'", name);
    }
}

static void check_name(struct parser *p, const struct sim_command *c)
{
    for (uint32_t i = 0; i < p->scenario->count; i++) {
        const struct sim_command *s = &p->scenario->commands[i];
        if (s->verb == SIM_DO_SUBMIT && strcmp(s->name, c->name) == 0) {
            return;
        }
    }
    complain(p, "no submit before this line has the name '%s'; write: submit noop 1 to a as %s",
             c->name, c->name);
}

static void expect_no_leader(struct parser *p, struct sim_command *c)
{
    c->want = SIM_WANT_NO_LEADER;
    want(p, "leader");
    want(p, "in");
    agents_until_within(p, c);
}

static void parse_expect(struct parser *p, struct sim_command *c)
{
    bool of_name = false;
    if (strcmp(peek(p), "leader") == 0 && p->next + 1 < p->count &&
        strcmp(p->words[p->next + 1], "is") == 0) {
        complain(p, "who leads is asked like this: expect a is leader");
    } else if (take(p, "leader")) {
        c->want = SIM_WANT_LEADER;
        if (take(p, "in")) {
            agents_until_within(p, c);
        }
    } else if (take(p, "no")) {
        expect_no_leader(p, c);
    } else if (take(p, "reads")) {
        c->want = SIM_WANT_READS;
        want(p, "on");
        add_agent(p, c, true);
        c->counted = take(p, "jobs");
        c->number = c->counted ? number(p, 0, SIM_REQUESTS_MAX, "jobs") : 0;
    } else if (take(p, "equal")) {
        c->want = SIM_WANT_EQUAL;
    } else if (take(p, "completed")) {
        c->want = SIM_WANT_DONE;
    } else if (take(p, "voters")) {
        c->want = SIM_WANT_VOTERS;
        c->number = number(p, 1, SH_VOTERS_MAX, "voters");
    } else if (take(p, "members")) {
        c->want = SIM_WANT_MEMBERS;
        c->number = number(p, 1, SIM_AGENTS_MAX, "members");
    } else if (take(p, "units")) {
        c->want = SIM_WANT_UNITS;
        c->number = number(p, 0, UINT32_MAX, "units");
    } else {
        expect_of_name(p, c);
        of_name = c->want != SIM_WANT_FACE;
    }
    c->within_us = take(p, "within") ? duration(p) : 0;
    if (of_name && !p->bad) {
        check_name(p, c);
    }
}

/* ---- lines ---- */

static const struct verb VERBS[SIM_VERB_COUNT] = {
    [SIM_DO_AGENTS] = {"agents", "agents 5", parse_agents},
    [SIM_DO_LATENCY] = {"latency", "latency 300us [jitter 200us]", parse_latency},
    [SIM_DO_DISK] = {"disk", "disk write 30us sync 300us", parse_disk},
    [SIM_DO_LOSS] = {"loss", "loss 5%", parse_share},
    [SIM_DO_DUPLICATE] = {"duplicate", "duplicate 5%", parse_share},
    [SIM_DO_PARTITION] = {"partition", "partition a b | c d e, or: partition leader | others",
                          parse_partition},
    [SIM_DO_CUT] = {"cut", "cut a b, or one way: cut a -> b", parse_two},
    [SIM_DO_HEAL] = {"heal", "heal, or one link: heal a b", parse_heal},
    [SIM_DO_SLOW_LINK] = {"slow-link", "slow-link a b 200ms", parse_two},
    [SIM_DO_SLOW_DISK] = {"slow-disk", "slow-disk a 200ms", parse_one_time},
    [SIM_DO_FAIL_DISK] = {"fail-disk", "fail-disk a", parse_one},
    [SIM_DO_STALL_CLOCK] = {"stall-clock", "stall-clock a 300ms", parse_one_time},
    [SIM_DO_CRASH] = {"crash", "crash a", parse_one},
    [SIM_DO_KILL] = {"kill", "kill a", parse_one},
    [SIM_DO_LEAVE] = {"leave", "leave a", parse_one},
    [SIM_DO_RESTART] = {"restart", "restart a, or: restart all", parse_one},
    [SIM_DO_PAUSE] = {"pause", "pause a", parse_one},
    [SIM_DO_RESUME] = {"resume", "resume a, or: resume all", parse_one},
    [SIM_DO_ADD] = {"add", "add agent", parse_add},
    [SIM_DO_SUBMIT] = {"submit",
                       "submit noop 10 to a [as NAME] [once], or: submit train 200 steps [of 10ms] "
                       "[checkpoint 50] [agents 1..3] to a [as NAME] [once]",
                       parse_submit},
    [SIM_DO_CHAOS] = {"chaos", "chaos for 10s", parse_chaos},
    [SIM_DO_EXPECT] = {"expect", "expect equal within 10s; see 'shoal-sim help'", parse_expect},
    [SIM_DO_END] = {"end", "end", parse_nothing},
};

/* The verb that shares most of its letters with what was written. */
static const char *nearest(const char *text)
{
    const char *best = VERBS[0].name;
    uint32_t most = 0;
    for (uint32_t v = 0; v < SIM_VERB_COUNT; v++) {
        uint32_t same = text[0] == VERBS[v].name[0];
        for (const char *at = text; *at != '\0'; at++) {
            same += strchr(VERBS[v].name, *at) != NULL;
        }
        size_t length = strlen(VERBS[v].name);
        size_t typed = strlen(text);
        size_t off = length > typed ? length - typed : typed - length;
        same = same > off ? same - (uint32_t)off : 0;
        if (same > most) {
            most = same;
            best = VERBS[v].name;
        }
    }
    return best;
}

static void parse_time_of(struct parser *p, struct sim_command *c)
{
    if (take(p, "at")) {
        c->timed = true;
        c->at_us = duration(p);
        if (c->at_us < p->at_us) {
            complain(p, "time goes back: a line before says %" PRIu64 " ms", p->at_us / 1000);
        }
    } else if (take(p, "after")) {
        c->timed = true;
        c->at_us = p->at_us + duration(p);
    }
    if (c->timed) {
        p->started = true;
        p->at_us = c->at_us;
    }
}

static void parse_command(struct parser *p, struct sim_command *c)
{
    parse_time_of(p, c);
    const char *name = word(p);
    for (uint32_t v = 0; v < SIM_VERB_COUNT && !p->bad; v++) {
        if (strcmp(VERBS[v].name, name) == 0) {
            c->verb = (enum sim_verb)v;
            VERBS[v].parse(p, c);
            if (more(p)) {
                complain(p, "'%s' is too much; write: %s", peek(p), VERBS[v].form);
            }
            return;
        }
    }
    complain(p, "'%s' is not a command; did you mean '%s'?", name, nearest(name));
}

static void split(struct parser *p, char *line)
{
    char *state = NULL;
    p->count = 0;
    p->next = 0;
    line[strcspn(line, "#")] = '\0';
    for (char *at = strtok_r(line, " \t\r", &state); at != NULL;
         at = strtok_r(NULL, " \t\r", &state)) {
        if (p->count == WORDS_MAX) {
            complain(p, "more than %d words", WORDS_MAX);
            return;
        }
        p->words[p->count++] = at;
    }
}

static void parse_line(struct parser *p, char *line)
{
    struct sim_scenario *s = p->scenario;
    split(p, line);
    if (p->count == 0 || p->bad) {
        return;
    }
    if (s->count == SIM_LINES_MAX) {
        complain(p, "more than %u commands", SIM_LINES_MAX);
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
    struct parser p = {.scenario = scenario, .agents = 5, .error = error};
    (void)snprintf(scenario->file, sizeof scenario->file, "%s", file);
    scenario->agents = p.agents;
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
        complain(&p, "there is no command in it; see 'shoal-sim help'");
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
    "  agents 5                        how many found and join the cluster (first line; a, b, "
    "...)\n"
    "  latency 300us jitter 200us      of every link, at least and on average more\n"
    "  disk write 30us sync 300us      of every disk, on average\n"
    "\n"
    "When: 'at 5s COMMAND' (since the start), 'after 2s COMMAND' (since the time before), or at\n"
    "once. A command waits for an 'expect ... within' before it. Units: us, ms, s, m.\n"
    "\n"
    "  loss 5%                         duplicate 5%\n"
    "  partition a b | c d e           cut a b          cut a -> b (one way)\n"
    "  slow-link a b 200ms             heal (all links, no loss)          heal a b\n"
    "  kill a      the process ends, its files stay\n"
    "  crash a     the power goes: what was not synced may be lost\n"
    "  leave a     as SIGTERM: it hands over what it has, says goodbye and ends\n"
    "  restart a   restart all         pause a          resume a          resume all\n"
    "  slow-disk a 200ms (each sync)   fail-disk a      stall-clock a 300ms\n"
    "  add agent                       one more joins\n"
    "  submit noop 10 to a [as NAME] [once]\n"
    "  submit train 200 steps [of 10ms] [checkpoint 50] [agents 1..3] to a [as NAME] [once]\n"
    "              once: the client asks nobody else when that agent refuses\n"
    "  chaos for 10s                   random faults and submits, then all is healed and the\n"
    "                                  cluster must converge\n"
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
