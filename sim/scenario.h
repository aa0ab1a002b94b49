/* SPDX-License-Identifier: Apache-2.0
 *
 * Scenario files: what happens to a cluster, when, and what must be true. Plain text, one command a
 * line, '#' begins a comment. SIM_SCENARIO_HELP is the whole language. */
#ifndef SIM_SCENARIO_H
#define SIM_SCENARIO_H

#include "sim/sim.h"
#include "sim/train.h"

#include <stdio.h>

#define SIM_LINES_MAX 16384u /* commands of one scenario */
#define SIM_WORD_MAX  31u    /* characters of a name */
#define SIM_ERROR_MAX 511u   /* characters of an error */

/* Instead of the number of an agent, resolved when the command runs. */
#define SIM_REF_LEADER   100u
#define SIM_REF_LAST     101u /* the agent that the command before was about */
#define SIM_REF_FOLLOWER 102u /* the first running one that votes and does not lead */
#define SIM_REF_ALL      103u
#define SIM_REF_OTHERS   104u /* PARTITION: all that are not named */

enum sim_verb {
    SIM_DO_SEED,
    SIM_DO_AGENTS,
    SIM_DO_LATENCY,
    SIM_DO_DISK,
    SIM_DO_LOSS,
    SIM_DO_DUPLICATE,
    SIM_DO_CAPACITY,
    SIM_DO_BATCH,
    SIM_DO_LOG,
    SIM_DO_PIECE,
    SIM_DO_PARTITION,
    SIM_DO_ISOLATE,
    SIM_DO_MUTE,
    SIM_DO_MEND,
    SIM_DO_CLOG,
    SIM_DO_CUT,
    SIM_DO_HEAL,
    SIM_DO_SLOW_LINK,
    SIM_DO_SLOW_DISK,
    SIM_DO_FAIL_DISK,
    SIM_DO_ROT,
    SIM_DO_WIPE,
    SIM_DO_STALL_CLOCK,
    SIM_DO_JUMP_CLOCK,
    SIM_DO_DRIFT_CLOCK,
    SIM_DO_CRASH,
    SIM_DO_TEAR,
    SIM_DO_KILL,
    SIM_DO_LEAVE,
    SIM_DO_TRANSFER,
    SIM_DO_RESTART,
    SIM_DO_PAUSE,
    SIM_DO_RESUME,
    SIM_DO_ADD,
    SIM_DO_SUBMIT,
    SIM_DO_CHAOS,
    SIM_DO_CALM,
    SIM_DO_PRESS,
    SIM_DO_EXPECT,
    SIM_DO_END,
    SIM_VERB_COUNT
};

enum sim_expectation {
    SIM_WANT_LEADER,    /* one that a majority of its voters' agents follow, agents: among these */
    SIM_WANT_NO_LEADER, /* none of agents leads or knows a leader */
    SIM_WANT_FACE,      /* agents[0] is face */
    SIM_WANT_ANSWER,    /* name was answered with err */
    SIM_WANT_ACK,       /* name was acknowledged */
    SIM_WANT_DONE,      /* all acknowledged jobs are completed */
    SIM_WANT_READS,     /* agents[0] answers local reads; number: of jobs, when counted */
    SIM_WANT_EQUAL,     /* sim_converged */
    SIM_WANT_VOTERS,    /* the leader's configuration has number voters */
    SIM_WANT_MEMBERS,
    SIM_WANT_UNITS, /* at least number units are committed */
};

struct sim_command {
    unsigned line;
    enum sim_verb verb;
    bool timed;
    uint64_t at_us; /* since the start; with timed */
    uint32_t agent_count;
    uint32_t agents[SIM_AGENTS_MAX]; /* or SIM_REF_* */
    uint8_t side[SIM_AGENTS_MAX];    /* PARTITION: group of agents[i] */
    bool one_way;                    /* CUT, HEAL */
    bool in_gap;                     /* KILL, CRASH, TEAR */
    enum sim_gap gap;
    int32_t drift; /* DRIFT_CLOCK: in parts of a million */
    uint64_t time_us[2];
    bool has_second; /* time_us[1] or job's step time was given */
    uint64_t number;
    bool counted; /* FAIL_DISK: torn */
    uint32_t ppm;
    struct sim_job job; /* SUBMIT */
    bool once;
    char name[SIM_WORD_MAX + 1]; /* SUBMIT ... as, EXPECT */
    enum sim_expectation want;
    enum sim_face face;
    enum sh_err err;
    uint64_t within_us;
    char text[112]; /* the command as written, for the time line */
};

struct sim_scenario {
    char file[256];
    uint32_t agents;
    uint64_t seed; /* of its own; 0: none */
    uint32_t count;
    struct sim_command commands[SIM_LINES_MAX];
};

extern const char SIM_SCENARIO_HELP[];

/* Reads text (size bytes). INVALID: error says "FILE:LINE: what is wrong; what is right". */
SH_MUST_USE enum sh_err sim_scenario_parse(struct sim_scenario *scenario, const char *file,
                                           const char *text, size_t size,
                                           char error[static SIM_ERROR_MAX + 1]);
/* The same from a file; IO with the words in error when it cannot be read. */
SH_MUST_USE enum sh_err sim_scenario_read(struct sim_scenario *scenario, const char *file,
                                          char error[static SIM_ERROR_MAX + 1]);

/* How a run ended. */
struct sim_verdict {
    bool held;
    uint64_t time_us;
    struct sim_counts counts;
    uint32_t agents;
    struct sim_coverage coverage;
    struct sim_train_counts train; /* sim/train.h */
    char why[SIM_ERROR_MAX + 1];   /* "" when everything held */
};

/* Runs a scenario from one seed. out: the time line is written there; NULL: none. */
void sim_scenario_run(const struct sim_scenario *scenario, uint64_t seed, FILE *out,
                      struct sim_verdict *verdict);
/* The chaos bar's storm (sim/chaos.h) over so many agents. */
void sim_storm_run(uint32_t agents, uint64_t events, uint64_t seed, FILE *out,
                   struct sim_verdict *verdict);
/* The same, and what was done to the cluster goes to acts as the scenario that does it again. */
void sim_storm_record(uint32_t agents, uint64_t events, uint64_t seed, FILE *acts,
                      struct sim_verdict *verdict);

#endif
