/* SPDX-License-Identifier: Apache-2.0
 *
 * The commands of a scenario: what may follow each verb. */
#include "sim/parser.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static void add_agent(struct sim_parser *p, struct sim_command *c, bool words)
{
    uint32_t agent = 0;
    if (!sim_parser_more(p)) {
        sim_parser_complain(p, "an agent is missing at the end");
    } else if (sim_parser_agent(p, sim_parser_word(p), words, &agent)) {
        c->agents[c->agent_count++] = agent;
    }
}

static void no_agent_twice(struct sim_parser *p, const struct sim_command *c)
{
    for (uint32_t i = 0; i < c->agent_count; i++) {
        for (uint32_t k = 0; k < i; k++) {
            if (c->agents[i] == c->agents[k]) {
                sim_parser_complain(p, "one agent stands here twice");
            }
        }
    }
}

/* ---- commands ---- */

static void parse_seed(struct sim_parser *p, struct sim_command *c)
{
    c->number = sim_parser_number(p, 1, UINT64_MAX, "a seed");
    p->scenario->seed = c->number;
}

static bool only_seeds(const struct sim_scenario *s)
{
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->commands[i].verb != SIM_DO_SEED) {
            return false;
        }
    }
    return true;
}

static void parse_agents(struct sim_parser *p, struct sim_command *c)
{
    c->number = sim_parser_number(p, 1, SIM_AGENTS_MAX, "agents");
    if (p->started || !only_seeds(p->scenario)) {
        sim_parser_complain(
            p, "'agents' is the first command of a scenario; later ones join with 'add agent'");
        return;
    }
    p->agents = (uint32_t)c->number;
    p->scenario->agents = p->agents;
}

static void parse_latency(struct sim_parser *p, struct sim_command *c)
{
    c->time_us[0] = sim_parser_duration(p);
    c->has_second = sim_parser_take(p, "jitter");
    c->time_us[1] = c->has_second ? sim_parser_duration(p) : 0;
}

static void parse_disk(struct sim_parser *p, struct sim_command *c)
{
    sim_parser_want(p, "write");
    c->time_us[0] = p->bad ? 0 : sim_parser_duration(p);
    sim_parser_want(p, "sync");
    c->time_us[1] = p->bad ? 0 : sim_parser_duration(p);
}

static void parse_share(struct sim_parser *p, struct sim_command *c)
{
    c->ppm = sim_parser_percent(p);
}

static void parse_partition(struct sim_parser *p, struct sim_command *c)
{
    uint8_t side = 0;
    while (sim_parser_more(p) && !p->bad && c->agent_count < SIM_AGENTS_MAX) {
        if (sim_parser_take(p, "|")) {
            side++;
        } else if (sim_parser_take(p, "others")) {
            c->side[c->agent_count] = side;
            c->agents[c->agent_count++] = SIM_REF_OTHERS;
        } else {
            c->side[c->agent_count] = side;
            add_agent(p, c, true);
        }
    }
    no_agent_twice(p, c);
    if (side == 0 || c->agent_count == 0) {
        sim_parser_complain(
            p, "a partition needs two sides; write: partition a b | c d e, or: partition "
               "leader | others");
    }
}

static void parse_capacity(struct sim_parser *p, struct sim_command *c)
{
    c->number = sim_parser_number(p, 1, UINT32_MAX, "messages");
}

static void parse_batch(struct sim_parser *p, struct sim_command *c)
{
    c->number = sim_parser_number(p, 1, SIM_BATCH_MAX, "entries");
}

static void parse_log(struct sim_parser *p, struct sim_command *c)
{
    c->number = sim_parser_number(p, 1, SIM_LOG_MAX, "entries");
}

static void parse_piece(struct sim_parser *p, struct sim_command *c)
{
    c->number = sim_parser_number(p, 1, SIM_PIECE_MAX, "bytes");
}

static void parse_two(struct sim_parser *p, struct sim_command *c)
{
    add_agent(p, c, true);
    c->one_way = (c->verb == SIM_DO_CUT || c->verb == SIM_DO_HEAL) && sim_parser_take(p, "->");
    add_agent(p, c, true);
    if (c->agent_count == 2 && c->agents[0] == c->agents[1]) {
        sim_parser_complain(p, "a link has two different ends");
    }
    if ((c->verb == SIM_DO_SLOW_LINK || c->verb == SIM_DO_CLOG) && !p->bad) {
        c->time_us[0] = sim_parser_duration(p);
    }
}

static void parse_heal(struct sim_parser *p, struct sim_command *c)
{
    if (sim_parser_more(p)) {
        parse_two(p, c);
    }
}

static void parse_one(struct sim_parser *p, struct sim_command *c)
{
    bool many = c->verb == SIM_DO_RESTART || c->verb == SIM_DO_RESUME;
    if (many && sim_parser_take(p, "all")) {
        c->agents[c->agent_count++] = SIM_REF_ALL;
        return;
    }
    do {
        add_agent(p, c, true);
    } while (sim_parser_more(p) && !p->bad && c->agent_count < SIM_AGENTS_MAX &&
             strcmp(sim_parser_peek(p), "in") != 0 && strcmp(sim_parser_peek(p), "torn") != 0);
    if (c->verb == SIM_DO_FAIL_DISK) {
        c->counted = sim_parser_take(p, "torn");
    }
}

static void parse_gap(struct sim_parser *p, struct sim_command *c)
{
    const char *text = sim_parser_word(p);
    for (uint32_t gap = 0; gap < SIM_GAP_COUNT; gap++) {
        if (strcmp(text, sim_gap_name((enum sim_gap)gap)) == 0) {
            c->in_gap = true;
            c->gap = (enum sim_gap)gap;
            return;
        }
    }
    sim_parser_complain(p, "'%s' is not a gap; 'shoal-sim help' names them", text);
}

static void parse_crash(struct sim_parser *p, struct sim_command *c)
{
    parse_one(p, c);
    if (!p->bad && sim_parser_take(p, "in")) {
        parse_gap(p, c);
    }
}

static void parse_drift(struct sim_parser *p, struct sim_command *c)
{
    add_agent(p, c, true);
    const char *text = sim_parser_word(p);
    char *end = NULL;
    long ppm = strtol(text, &end, 10);
    bool number = end != text && *end == '\0';
    if (!p->bad && (!number || ppm < -SIM_DRIFT_PPM_MAX || ppm > SIM_DRIFT_PPM_MAX)) {
        sim_parser_complain(p, "'%s' is not a drift; write parts of a million: -500, +20000", text);
    }
    c->drift = (int32_t)ppm;
}

static void parse_rot(struct sim_parser *p, struct sim_command *c)
{
    add_agent(p, c, true);
    c->number = p->bad ? 0 : sim_parser_number(p, 0, UINT64_MAX, "a record");
}

static void parse_calm(struct sim_parser *p, struct sim_command *c)
{
    while (sim_parser_more(p) && !p->bad && c->agent_count < SIM_AGENTS_MAX) {
        add_agent(p, c, false);
    }
}

static void parse_one_time(struct sim_parser *p, struct sim_command *c)
{
    add_agent(p, c, true);
    if (!p->bad) {
        c->time_us[0] = sim_parser_duration(p);
    }
}

static void parse_add(struct sim_parser *p, struct sim_command *c)
{
    (void)c;
    sim_parser_want(p, "agent");
    if (p->agents == SIM_AGENTS_MAX) {
        sim_parser_complain(p, "a simulation has at most %u agents", SIM_AGENTS_MAX);
        return;
    }
    p->agents++;
}

/* "1..3": at least one agent, at most three. */
static void parse_range(struct sim_parser *p, struct sim_job *job)
{
    const char *text = sim_parser_word(p);
    char *end = NULL;
    unsigned long low = strtoul(text, &end, 10);
    bool dots = strncmp(end, "..", 2) == 0;
    unsigned long high = dots ? strtoul(end + 2, &end, 10) : 0;
    if (!isdigit((unsigned char)text[0]) || *end != '\0' || low < 1 || high < low || high > 16) {
        sim_parser_complain(
            p, "'%s' is not a range of agents; write for example: agents 1..3 (at most 16)", text);
        return;
    }
    job->agents_min = (uint16_t)low;
    job->agents_max = (uint16_t)high;
}

static void parse_train(struct sim_parser *p, struct sim_command *c)
{
    c->job.train = true;
    c->job.units = 1;
    c->job.steps = (uint32_t)sim_parser_number(p, 1, 1000000, "steps");
    c->job.step_us = 10000;
    sim_parser_want(p, "steps");
    if (sim_parser_take(p, "of")) {
        c->job.step_us = sim_parser_duration(p);
    }
    if (sim_parser_take(p, "checkpoint")) {
        c->job.every = (uint32_t)sim_parser_number(p, 1, 1000000, "steps between checkpoints");
    }
    if (sim_parser_take(p, "agents")) {
        parse_range(p, &c->job);
    }
}

static void parse_submit(struct sim_parser *p, struct sim_command *c)
{
    c->job = (struct sim_job){.agents_min = 1, .agents_max = 1};
    if (sim_parser_take(p, "noop")) {
        c->job.units = (uint32_t)sim_parser_number(p, 1, 1000, "units");
    } else if (sim_parser_take(p, "train")) {
        c->job.agents_max = 3;
        parse_train(p, c);
    } else {
        sim_parser_complain(p, "'%s' is not a kind of job; write noop or train",
                            sim_parser_peek(p));
    }
    sim_parser_want(p, "to");
    if (!p->bad) {
        add_agent(p, c, true);
    }
    if (sim_parser_take(p, "as")) {
        const char *name = sim_parser_word(p);
        if (name[0] == '\0' || strlen(name) > SIM_WORD_MAX) {
            sim_parser_complain(p, "a name of at most %u characters is expected after 'as'",
                                SIM_WORD_MAX);
        }
        (void)snprintf(c->name, sizeof c->name, "%s", name);
    }
    c->once = sim_parser_take(p, "once");
}

static void parse_chaos(struct sim_parser *p, struct sim_command *c)
{
    sim_parser_want(p, "for");
    c->time_us[0] = p->bad ? 0 : sim_parser_duration(p);
}

static void parse_nothing(struct sim_parser *p, struct sim_command *c)
{
    (void)p;
    (void)c;
}

/* ---- expectations ---- */

static void agents_until_within(struct sim_parser *p, struct sim_command *c)
{
    while (sim_parser_more(p) && strcmp(sim_parser_peek(p), "within") != 0 && !p->bad &&
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
static void expect_of_name(struct sim_parser *p, struct sim_command *c)
{
    const char *name = sim_parser_word(p);
    uint32_t agent = 0;
    if (sim_parser_take(p, "is")) {
        c->want = SIM_WANT_FACE;
        if (sim_parser_agent(p, name, true, &agent)) {
            c->agents[c->agent_count++] = agent;
        }
        if (!p->bad && !face_of(sim_parser_peek(p), &c->face)) {
            sim_parser_complain(
                p, "'%s' is none of leader, follower, candidate, learner, joining, paused, down",
                sim_parser_peek(p));
        }
        p->next++;
        return;
    }
    (void)snprintf(c->name, sizeof c->name, "%s", name);
    if (sim_parser_take(p, "acknowledged")) {
        c->want = SIM_WANT_ACK;
    } else if (sim_parser_take(p, "answers")) {
        c->want = SIM_WANT_ANSWER;
        if (!err_of(sim_parser_word(p), &c->err)) {
            sim_parser_complain(p,
                                "an error's name is expected after 'answers', such as NO_QUORUM");
        }
    } else {
        sim_parser_complain(p, "nothing is known of expecting '%s'; see 'shoal-sim help'", name);
    }
}

static void check_name(struct sim_parser *p, const struct sim_command *c)
{
    for (uint32_t i = 0; i < p->scenario->count; i++) {
        const struct sim_command *s = &p->scenario->commands[i];
        if (s->verb == SIM_DO_SUBMIT && strcmp(s->name, c->name) == 0) {
            return;
        }
    }
    sim_parser_complain(
        p, "no submit before this line has the name '%s'; write: submit noop 1 to a as %s", c->name,
        c->name);
}

static void expect_no_leader(struct sim_parser *p, struct sim_command *c)
{
    c->want = SIM_WANT_NO_LEADER;
    sim_parser_want(p, "leader");
    sim_parser_want(p, "in");
    agents_until_within(p, c);
}

static void parse_expect(struct sim_parser *p, struct sim_command *c)
{
    bool of_name = false;
    if (strcmp(sim_parser_peek(p), "leader") == 0 && p->next + 1 < p->count &&
        strcmp(p->words[p->next + 1], "is") == 0) {
        sim_parser_complain(p, "who leads is asked like this: expect a is leader");
    } else if (sim_parser_take(p, "leader")) {
        c->want = SIM_WANT_LEADER;
        if (sim_parser_take(p, "in")) {
            agents_until_within(p, c);
        }
    } else if (sim_parser_take(p, "no")) {
        expect_no_leader(p, c);
    } else if (sim_parser_take(p, "reads")) {
        c->want = SIM_WANT_READS;
        sim_parser_want(p, "on");
        add_agent(p, c, true);
        c->counted = sim_parser_take(p, "jobs");
        c->number = c->counted ? sim_parser_number(p, 0, SIM_REQUESTS_MAX, "jobs") : 0;
    } else if (sim_parser_take(p, "equal")) {
        c->want = SIM_WANT_EQUAL;
    } else if (sim_parser_take(p, "completed")) {
        c->want = SIM_WANT_DONE;
    } else if (sim_parser_take(p, "voters")) {
        c->want = SIM_WANT_VOTERS;
        c->number = sim_parser_number(p, 1, SH_VOTERS_MAX, "voters");
    } else if (sim_parser_take(p, "members")) {
        c->want = SIM_WANT_MEMBERS;
        c->number = sim_parser_number(p, 1, SIM_AGENTS_MAX, "members");
    } else if (sim_parser_take(p, "units")) {
        c->want = SIM_WANT_UNITS;
        c->number = sim_parser_number(p, 0, UINT32_MAX, "units");
    } else {
        expect_of_name(p, c);
        of_name = c->want != SIM_WANT_FACE;
    }
    c->within_us = sim_parser_take(p, "within") ? sim_parser_duration(p) : 0;
    if (of_name && !p->bad) {
        check_name(p, c);
    }
}

/* ---- all of them ---- */

const struct sim_verb_form SIM_VERBS[SIM_VERB_COUNT] = {
    [SIM_DO_SEED] = {"seed", "seed 7", parse_seed},
    [SIM_DO_AGENTS] = {"agents", "agents 5", parse_agents},
    [SIM_DO_LATENCY] = {"latency", "latency 300us [jitter 200us]", parse_latency},
    [SIM_DO_DISK] = {"disk", "disk write 30us sync 300us", parse_disk},
    [SIM_DO_LOSS] = {"loss", "loss 5%", parse_share},
    [SIM_DO_DUPLICATE] = {"duplicate", "duplicate 5%", parse_share},
    [SIM_DO_CAPACITY] = {"capacity", "capacity 20", parse_capacity},
    [SIM_DO_BATCH] = {"batch", "batch 4", parse_batch},
    [SIM_DO_LOG] = {"log", "log 16", parse_log},
    [SIM_DO_PIECE] = {"piece", "piece 1024", parse_piece},
    [SIM_DO_ISOLATE] = {"isolate", "isolate a b", parse_one},
    [SIM_DO_MUTE] = {"mute", "mute a b", parse_one},
    [SIM_DO_MEND] = {"mend", "mend", parse_nothing},
    [SIM_DO_CLOG] = {"clog", "clog a b 2s", parse_two},
    [SIM_DO_PARTITION] = {"partition", "partition a b | c d e, or: partition leader | others",
                          parse_partition},
    [SIM_DO_CUT] = {"cut", "cut a b, or one way: cut a -> b", parse_two},
    [SIM_DO_HEAL] = {"heal", "heal, or one link: heal a b, or one way: heal a -> b", parse_heal},
    [SIM_DO_SLOW_LINK] = {"slow-link", "slow-link a b 200ms", parse_two},
    [SIM_DO_SLOW_DISK] = {"slow-disk", "slow-disk a 200ms", parse_one_time},
    [SIM_DO_FAIL_DISK] = {"fail-disk", "fail-disk a, or: fail-disk a torn", parse_one},
    [SIM_DO_STALL_CLOCK] = {"stall-clock", "stall-clock a 300ms", parse_one_time},
    [SIM_DO_ROT] = {"rot", "rot a 12", parse_rot},
    [SIM_DO_WIPE] = {"wipe", "wipe a", parse_one},
    [SIM_DO_JUMP_CLOCK] = {"jump-clock", "jump-clock a 2s", parse_one_time},
    [SIM_DO_DRIFT_CLOCK] = {"drift-clock", "drift-clock a -500", parse_drift},
    [SIM_DO_CRASH] = {"crash", "crash a, or: crash a in sent", parse_crash},
    [SIM_DO_TEAR] = {"tear", "tear a, or: tear a in sent", parse_crash},
    [SIM_DO_KILL] = {"kill", "kill a, or: kill a in sent", parse_crash},
    [SIM_DO_LEAVE] = {"leave", "leave a", parse_one},
    [SIM_DO_TRANSFER] = {"transfer", "transfer a", parse_one},
    [SIM_DO_RESTART] = {"restart", "restart a, or: restart all", parse_one},
    [SIM_DO_PAUSE] = {"pause", "pause a", parse_one},
    [SIM_DO_RESUME] = {"resume", "resume a, or: resume all", parse_one},
    [SIM_DO_ADD] = {"add", "add agent", parse_add},
    [SIM_DO_SUBMIT] = {"submit",
                       "submit noop 10 to a [as NAME] [once], or: submit train 200 steps [of 10ms] "
                       "[checkpoint 50] [agents 1..3] to a [as NAME] [once]",
                       parse_submit},
    [SIM_DO_CHAOS] = {"chaos", "chaos for 10s", parse_chaos},
    [SIM_DO_CALM] = {"calm", "calm, or: calm a b c", parse_calm},
    [SIM_DO_PRESS] = {"press", "press", parse_nothing},
    [SIM_DO_EXPECT] = {"expect", "expect equal within 10s; see 'shoal-sim help'", parse_expect},
    [SIM_DO_END] = {"end", "end", parse_nothing},
};
