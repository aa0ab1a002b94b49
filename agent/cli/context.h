/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to agent/cli: one run of one verb. Results go to out as text, or with --json as the API's
 * own objects; errors are one line on err ("error: ..."), or with --json an error object on out. */
#ifndef CLI_CONTEXT_H
#define CLI_CONTEXT_H

#include "cli/cli.h"
#include "cli/http.h"
#include "spec/json.h"
#include "spec/spec.h"

#define CLI_ARGS_MAX  256u
#define CLI_GIVEN_MAX 64u
#define CLI_CALL_S    30u /* seconds a call may take */

struct cli_option {
    const char *name;  /* "--peer" */
    char letter;       /* 'o' for -o; 0: none */
    const char *value; /* "ADDR"; NULL: a flag */
    const char *help;
};

struct cli;

struct cli_verb {
    const char *name;    /* "submit", "dataset add" */
    const char *args;    /* "JOB.yaml" */
    const char *summary; /* one line */
    const struct cli_option *options;
    size_t option_count;
    unsigned args_min;
    unsigned args_max;
    bool peer; /* talks to an agent: takes --peer, --token-file, and --stale for what it reads */
    int (*run)(struct cli *c);
};

struct cli_given {
    const struct cli_option *option;
    const char *value; /* NULL: a flag */
};

struct cli {
    FILE *out;
    FILE *err;
    const struct cli_programs *programs;
    const struct cli_verb *verb;
    const char *args[CLI_ARGS_MAX];
    size_t arg_count;
    struct cli_given given[CLI_GIVEN_MAX];
    size_t given_count;
    bool json;
    bool terminal;     /* out is one */
    unsigned columns;  /* of the terminal; 80 otherwise */
    const char *input; /* file whose bytes an agent is asked about; NULL: none */
    struct cli_http *http;
};

extern const struct cli_verb CLI_VERBS[];
extern const size_t CLI_VERB_COUNT;

/* The last value given, or NULL. */
const char *cli_value(const struct cli *c, const char *name);
bool cli_flag(const struct cli *c, const char *name);
/* A whole number from low to high, or fallback where it is not given; false with the error printed.
 */
bool cli_number(struct cli *c, const char *name, uint64_t low, uint64_t high, uint64_t fallback,
                uint64_t *out);

/* Prints the error and returns status. */
int cli_fail(struct cli *c, enum cli_exit status, const char *code, const char *format, ...)
    SH_PRINTF(4, 5);
/* All errors of a job file, and CLI_INVALID. */
int cli_fail_spec(struct cli *c, const char *file, const struct spec_errors *errors);
/* What an agent answered instead of a result; takes the answer's body. */
int cli_fail_answer(struct cli *c, struct cli_answer *answer);
enum cli_exit cli_exit_of(const char *code);

/* Opens the connection of the verb; CLI_OK or an exit status with the error printed. */
int cli_connect(struct cli *c);
/* One call whose answer is JSON. NULL with the error printed and *status set. */
json_t *cli_ask(struct cli *c, const struct cli_call *call, int *status);
/* GET of a path made of a prefix, one escaped word, and a suffix. */
json_t *cli_get(struct cli *c, const char *prefix, const char *word, const char *suffix,
                int *status);
/* The path itself; given (free), NULL when memory runs out. */
char *cli_path(struct cli *c, const char *prefix, const char *word, const char *suffix);

/* Prints the value as JSON, one line; takes it. CLI_OK. */
int cli_print_json(struct cli *c, json_t *value);

/* Fields of an answer; "" and 0 where they are missing. */
const char *cli_text(const json_t *value, const char *key);
long long cli_integer(const json_t *value, const char *key);
/* NaN where it is missing or null. */
double cli_real(const json_t *value, const char *key);

/* The whole file ("-": standard input), NUL-terminated; given (free). NULL with the error printed.
 */
char *cli_read_file(struct cli *c, const char *path, size_t max, size_t *size);

/* The verbs. */
int cli_run_agent(struct cli *c);
int cli_run_demo(struct cli *c);
int cli_run_backup(struct cli *c);
int cli_run_restore(struct cli *c);
int cli_run_gc(struct cli *c);
int cli_run_init(struct cli *c);
int cli_run_config_show(struct cli *c);
int cli_run_config_get(struct cli *c);
int cli_run_config_set(struct cli *c);
int cli_run_config_unset(struct cli *c);
int cli_run_submit(struct cli *c);
int cli_run_validate(struct cli *c);
int cli_run_ps(struct cli *c);
int cli_run_stop(struct cli *c);
int cli_run_pause(struct cli *c);
int cli_run_resume(struct cli *c);
int cli_run_set(struct cli *c);
int cli_run_checkpoints(struct cli *c);
int cli_run_rm(struct cli *c);
int cli_run_why(struct cli *c);
int cli_run_logs(struct cli *c);
int cli_run_bundle(struct cli *c);
int cli_run_outputs(struct cli *c);
int cli_run_sweep(struct cli *c);
int cli_run_rounds(struct cli *c);
int cli_run_result(struct cli *c);
int cli_run_replay(struct cli *c);
int cli_run_evaluate(struct cli *c);
int cli_run_convert(struct cli *c);
int cli_run_metrics(struct cli *c);
int cli_run_watch(struct cli *c);
int cli_run_nodes(struct cli *c);
int cli_run_node_remove(struct cli *c);
int cli_run_node_drain(struct cli *c);
int cli_run_node_undrain(struct cli *c);
int cli_run_node_parole(struct cli *c);
int cli_run_status(struct cli *c);
int cli_run_dataset_add(struct cli *c);
int cli_run_dataset_show(struct cli *c);
int cli_run_dataset_preview(struct cli *c);
int cli_run_dataset_files(struct cli *c);
int cli_run_dataset_remove(struct cli *c);
int cli_run_dataset_list(struct cli *c);
int cli_run_model_list(struct cli *c);
int cli_run_model_show(struct cli *c);
int cli_run_model_remove(struct cli *c);
int cli_run_model_get(struct cli *c);
int cli_run_predict(struct cli *c);
int cli_predict_together(struct cli *c); /* with --ensemble */
int cli_run_version(struct cli *c);
int cli_run_help(struct cli *c);
int cli_run_complete(struct cli *c);

/* Follows a job to its end. ALL: prints what happens (watch); OUTCOME: only what came of it (submit
 * --wait); SILENT: nothing, but for an error where it did not complete. */
enum cli_follow { CLI_FOLLOW_ALL, CLI_FOLLOW_OUTCOME, CLI_FOLLOW_SILENT };
int cli_follow(struct cli *c, const char *job, enum cli_follow what);
/* Prints changes of all jobs as they happen, across agents (watch without a job). */
int cli_follow_all(struct cli *c);

/* What a job came to (result). */
int cli_print_result(struct cli *c, const char *job);
/* Figures of an evaluation that have a value, one a line. */
void cli_print_figures(struct cli *c, const json_t *figures);

/* Help of one verb, and the list of all. */
void cli_print_help(FILE *out, const struct cli_verb *verb);
void cli_print_verbs(FILE *out);

#endif
