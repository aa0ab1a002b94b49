/* SPDX-License-Identifier: Apache-2.0 */
#include "tst.h"

#include "sim/scenario.h"

#include <stdlib.h>
#include <string.h>

struct mistake {
    const char *text;
    const char *says;
};

static const struct mistake mistakes[] = {
    {"", "f:1: there is no command in it"},
    {"agents 3\npartitoin a | b", "f:2: 'partitoin' is not a command; did you mean 'partition'?"},
    {"krash a", "f:1: 'krash' is not a command; did you mean 'crash'?"},
    {"agents 0", "f:1: '0' is not a number of agents; write one from 1 to 26"},
    {"agents 27", "write one from 1 to 26"},
    {"agents three", "'three' is not a number of agents"},
    {"crash a\nagents 3", "f:2: 'agents' is the first command"},
    {"agents 3\ncrash d", "f:2: there is no agent d; agents here are a to c"},
    {"agents 3\nadd agent\ncrash e", "f:3: there is no agent e; agents here are a to d"},
    {"crash", "f:1: an agent is missing at the end"},
    {"crash A", "'A' is not an agent; agents are called a to e, or 'leader', 'follower', 'last'"},
    {"at 5 crash a", "'5' is not a time; write a number with a unit: 500us, 200ms, 5s or 1.5m"},
    {"at 5h crash a", "'5h' is not a time"},
    {"at 5s crash a\nat 4s heal", "f:2: time goes back: a line before says 5000 ms"},
    {"loss 5", "'5' is not a share; write a number from 0 to 100 with a sign: 5%"},
    {"loss 101%", "'101%' is not a share"},
    {"partition a b", "a partition needs two sides; write: partition a b | c d e"},
    {"partition a | a", "one agent stands here twice"},
    {"cut a a", "a link has two different ends"},
    {"heal a", "an agent is missing at the end"},
    {"slow-link a b", "'' is not a time"},
    {"pause a\ncrash a 5s", "f:2: '5s' is not an agent"},
    {"add node", "'agent' is expected in place of 'node'"},
    {"add", "'agent' is expected at the end, after 'add'"},
    {"submit noop to a", "'to' is not a number of units; write one from 1 to 1000"},
    {"submit quick 3 to a", "'quick' is not a kind of job; write noop or train"},
    {"submit noop 3", "'to' is expected at the end, after '3'"},
    {"submit noop 3 to a soon", "'soon' is too much; write: submit noop 10 to a"},
    {"submit train 5 steps agents 3 to a",
     "'3' is not a range of agents; write for example: agents"},
    {"submit train 5 steps agents 3..2 to a", "'3..2' is not a range"},
    {"expect peace", "nothing is known of expecting 'peace'; see 'shoal-sim help'"},
    {"expect x acknowledged", "no submit before this line has the name 'x'; write: submit noop 1"},
    {"submit noop 1 to a as x\nexpect x answers FISH",
     "an error's name is expected after 'answers'"},
    {"expect a is happy", "'happy' is none of leader, follower, candidate, learner, joining"},
    {"expect leader is a", "who leads is asked like this: expect a is leader"},
    {"expect equal within 5", "'5' is not a time"},
    {"chaos 5s", "'for' is expected in place of '5s'"},
    {"end now", "'now' is too much; write: end"},
};

TEST_ROWS(each_mistake_is_named_with_its_line_and_what_is_right, mistakes)
{
    const struct mistake *m = &mistakes[tst_row];
    struct sim_scenario *scenario = calloc(1, sizeof *scenario);
    char error[SIM_ERROR_MAX + 1];
    EXPECT(sim_scenario_parse(scenario, "f", m->text, strlen(m->text), error) == SH_ERR_INVALID);
    if (strstr(error, m->says) == NULL) {
        tst_fail(__FILE__, __LINE__, "'%s' is not in '%s'", m->says, error);
    }
    free(scenario);
}

static struct sim_verdict run(const char *text, uint64_t seed)
{
    struct sim_scenario *scenario = calloc(1, sizeof *scenario);
    struct sim_verdict verdict;
    char error[SIM_ERROR_MAX + 1];
    if (sim_scenario_parse(scenario, "f", text, strlen(text), error) != SH_OK) {
        tst_fail(__FILE__, __LINE__, "%s", error);
    }
    sim_scenario_run(scenario, seed, NULL, &verdict);
    free(scenario);
    return verdict;
}

static void expect_held(const char *text)
{
    struct sim_verdict v = run(text, 3);
    if (!v.held) {
        tst_fail(__FILE__, __LINE__, "%s", v.why);
    }
}

TEST(numbers_and_times_mean_what_they_say)
{
    static const char TEXT[] = "agents 4\n"
                               "latency 1.5ms jitter 250us # a comment\n"
                               "\n"
                               "at 1.5m loss 12.5%\n"
                               "after 250ms submit train 40 steps of 2ms checkpoint 7 agents 2..3 "
                               "to leader as j once\n";
    struct sim_scenario *s = calloc(1, sizeof *s);
    char error[SIM_ERROR_MAX + 1];
    EXPECT_EQ(sim_scenario_parse(s, "f", TEXT, strlen(TEXT), error), SH_OK);
    EXPECT_EQ(s->agents, 4);
    EXPECT_EQ(s->count, 4);
    EXPECT_EQ(s->commands[1].time_us[0], 1500);
    EXPECT_EQ(s->commands[1].time_us[1], 250);
    EXPECT_EQ(s->commands[2].at_us, 90000000);
    EXPECT_EQ(s->commands[2].ppm, 125000);
    EXPECT_EQ(s->commands[3].at_us, 90250000);
    EXPECT_EQ(s->commands[3].line, 5);
    EXPECT_EQ(s->commands[3].job.steps, 40);
    EXPECT_EQ(s->commands[3].job.step_us, 2000);
    EXPECT_EQ(s->commands[3].job.every, 7);
    EXPECT_EQ(s->commands[3].job.agents_min, 2);
    EXPECT_EQ(s->commands[3].job.agents_max, 3);
    EXPECT_EQ(s->commands[3].agents[0], SIM_REF_LEADER);
    EXPECT(s->commands[3].once);
    free(s);
}

TEST(a_cut_off_leader_of_three_has_no_quorum_and_still_reads)
{
    expect_held("agents 3\n"
                "expect voters 3 within 20s\n"
                "at 10s submit noop 2 to a as one\n"
                "expect completed within 5s\n"
                "at 20s partition leader | others\n"
                "after 2s submit noop 2 to last as two once\n"
                "expect two answers NO_QUORUM within 10s\n"
                "expect no leader in last\n"
                "expect reads on last jobs 1\n"
                "expect units 2\n"
                "at 40s heal\n"
                "expect equal within 20s\n");
}

TEST(every_kind_of_fault_is_survived)
{
    expect_held("agents 5\n"
                "latency 500us jitter 300us\n"
                "disk write 50us sync 500us\n"
                "expect members 5 within 20s\n"
                "at 10s loss 10%\n"
                "duplicate 10%\n"
                "submit noop 4 to e as job\n"
                "submit train 50 steps of 5ms checkpoint 10 agents 2..4 to d as gang\n"
                "at 11s cut a -> b\n"
                "slow-link c d 50ms\n"
                "at 12s pause b\n"
                "at 13s resume last\n"
                "heal a b\n"
                "expect leader within 10s\n"
                "at 25s stall-clock c 900ms\n"
                "at 27s slow-disk a 50ms\n"
                "at 28s kill follower\n"
                "expect last is down\n"
                "expect leader within 10s\n"
                "crash leader\n"
                "at 45s restart all\n"
                "fail-disk e\n"
                "at 60s heal\n"
                "at 61s slow-disk a 0us\n"
                "after 5s restart all\n"
                "resume all\n"
                "expect job acknowledged within 10s\n"
                "expect gang acknowledged\n"
                "expect completed within 60s\n"
                "expect equal within 60s\n"
                "at 150s chaos for 5s\n"
                "expect equal\n"
                "end\n"
                "crash a\n");
}

TEST(a_leaving_leader_hands_over_and_comes_back_as_the_same_agent)
{
    expect_held("agents 3\n"
                "expect voters 3 within 20s\n"
                "at 10s leave leader\n"
                "expect last is down within 10s\n"
                "expect leader within 1s\n"
                "submit noop 2 to leader as job\n"
                "expect completed within 10s\n"
                "at 30s restart all\n"
                "expect members 3 within 30s\n"
                "expect equal within 30s\n");
}

TEST(an_expectation_that_fails_names_its_line)
{
    struct sim_verdict v = run("agents 2\nexpect voters 1 within 10s\nexpect voters 3 within 1s\n"
                               "expect leader\n",
                               1);
    EXPECT(!v.held);
    EXPECT_STR(v.why, "f:3: expected, and not so after 1000 ms: voters 3 within 1s");
    v = run("agents 2\nexpect equal\n", 1);
    EXPECT(!v.held);
    EXPECT(strstr(v.why, "f:2: expected, and not so after 0 ms: equal; nobody leads") != NULL);
    v = run("agents 2\ncrash leader\n", 1);
    EXPECT(!v.held);
    EXPECT(strstr(v.why, "f:2: there is no such agent now") != NULL);
}

TEST(one_seed_one_trace)
{
    static const char TEXT[] = "agents 5\nat 5s submit noop 3 to c\nchaos for 3s\n";
    struct sim_verdict a = run(TEXT, 7);
    struct sim_verdict b = run(TEXT, 7);
    struct sim_verdict c = run(TEXT, 8);
    EXPECT(a.held && b.held && c.held);
    EXPECT_EQ(a.counts.trace, b.counts.trace);
    EXPECT_EQ(a.counts.events, b.counts.events);
    EXPECT_EQ(a.counts.state, b.counts.state);
    EXPECT(a.counts.trace != c.counts.trace);
}

TEST(a_time_line_changes_nothing)
{
    struct sim_verdict quiet;
    struct sim_verdict loud;
    FILE *out = tmpfile();
    EXPECT(out != NULL);
    sim_storm_run(3, 3000, 5, NULL, &quiet);
    sim_storm_run(3, 3000, 5, out, &loud);
    EXPECT(quiet.held);
    EXPECT_EQ(quiet.counts.trace, loud.counts.trace);
    EXPECT(ftell(out) > 1000);
    EXPECT_EQ(fclose(out), 0);
}
