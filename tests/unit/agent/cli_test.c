/* SPDX-License-Identifier: Apache-2.0
 *
 * Verbs against an agent's HTTP interface over real sockets (service in memory): what they print on
 * a pipe, and their exit statuses. */
#include "api/api.h"
#include "cli/cli.h"
#include "cli/context.h"
#include "memory_service.h"
#include "model_file.h"
#include "tst.h"

#include "base/host/host.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOOP "api: shoal/v1\nkind: noop\nname: n\nunits: 2\n"
#define TRAIN                                                                                      \
    "api: shoal/v1\nkind: train\nname: t\ndata: {train: builtin:digits}\n"                         \
    "model: {input: [1, 28, 28], layers: [flatten, {dense: 10}]}\n"

static struct service *service;
static struct api *api;
static char *out;
static char *err;
static struct agent_options agent_seen;
static struct demo_options demo_seen;
static struct restore_options restore_seen;

static int agent_double(const struct agent_options *options)
{
    agent_seen = *options;
    return 42;
}

static int demo_double(const struct demo_options *options)
{
    demo_seen = *options;
    return 43;
}

static int restore_double(const struct restore_options *options, uint64_t *index, char *why)
{
    restore_seen = *options;
    *index = 12;
    (void)snprintf(why, AGENT_WHY_BYTES, "%s is not empty", options->data);
    return strcmp(options->data, "full") == 0 ? CLI_CONFLICT : CLI_OK;
}

static const struct cli_programs PROGRAMS = {
    .agent = agent_double, .demo = demo_double, .restore = restore_double};

/* Runs "verb arg arg" split at blanks; the status. out and err hold what it printed. */
static int run(const char *line)
{
    char words[1024];
    char *argv[32] = {(char *)(uintptr_t) "shoal"};
    int argc = 1;
    (void)snprintf(words, sizeof words, "%s", line);
    for (char *at = words; *at != '\0'; argc++) {
        size_t n = strcspn(at, " ");
        argv[argc] = at;
        at += n + (at[n] == ' ' ? 1 : 0);
        argv[argc][n] = '\0';
    }
    free(out);
    free(err);
    size_t out_size = 0;
    size_t err_size = 0;
    FILE *o = open_memstream(&out, &out_size);
    FILE *e = open_memstream(&err, &err_size);
    EXPECT(o != NULL);
    EXPECT(e != NULL);
    int status = cli_main(argc, argv, &PROGRAMS, o, e);
    EXPECT(fclose(o) == 0);
    EXPECT(fclose(e) == 0);
    return status;
}

static void expect_run(int line_number, const char *line, int status)
{
    int got = run(line);
    if (got != status) {
        tst_fail(__FILE__, line_number, "shoal %s: status %d, not %d: %s%s", line, got, status, out,
                 err);
    }
}

#define RUN(line, status) expect_run(__LINE__, line, status)

static void start(void)
{
    char why[256] = "";
    char peer[64];
    struct api_config config = {.listen = "127.0.0.1:0"};
    sh_host_init();
    service = memory_service_open();
    EXPECT(api_start(&config, service, &api, why, sizeof why) == SH_OK);
    (void)snprintf(peer, sizeof peer, "127.0.0.1:1,127.0.0.1:%u", api_port(api));
    EXPECT(setenv("SHOAL_PEER", peer, 1) == 0);
    EXPECT(setenv("USER", "ada", 1) == 0);
    EXPECT(chdir(tst_dir()) == 0);
}

static void stop(void)
{
    api_stop(api);
    memory_service_close(service);
    free(out);
    free(err);
    out = NULL;
    err = NULL;
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(name, "w");
    EXPECT(file != NULL);
    EXPECT(fputs(text, file) >= 0);
    EXPECT(fclose(file) == 0);
}

TEST(every_verb_has_help_that_names_its_options)
{
    char line[128];
    for (size_t i = 0; i < CLI_VERB_COUNT; i++) {
        (void)snprintf(line, sizeof line, "%s --help", CLI_VERBS[i].name);
        RUN(line, CLI_OK);
        EXPECT(strstr(out, CLI_VERBS[i].summary) != NULL);
        EXPECT(strstr(out, "--json") != NULL);
        for (size_t k = 0; k < CLI_VERBS[i].option_count; k++) {
            EXPECT(strstr(out, CLI_VERBS[i].options[k].name) != NULL);
        }
        RUN("help", CLI_OK);
        EXPECT(strstr(out, CLI_VERBS[i].name) != NULL);
        RUN("complete", CLI_OK);
        EXPECT(strstr(out, CLI_VERBS[i].name) != NULL);
    }
}

static const struct {
    const char *line;
    int status;
    const char *error;
} USAGE[] = {
    {"dance", CLI_USAGE, "error: unknown verb dance; shoal help lists them all\n"},
    {"dataset", CLI_USAGE, "error: dataset needs one of: add show preview files remove list\n"},
    {"ps --colour", CLI_USAGE, "error: ps: unknown option --colour; see shoal ps --help\n"},
    {"ps extra", CLI_USAGE, "error: ps: one argument too many: extra\n"},
    {"ps --limit", CLI_USAGE, "error: ps: --limit needs a value: N\n"},
    {"ps --limit=0", CLI_USAGE, "error: ps: --limit must be a whole number from 1 to 500\n"},
    {"ps --json=1", CLI_USAGE, "error: ps: --json takes no value\n"},
    {"submit", CLI_USAGE, "error: submit: needs JOB.yaml; see shoal submit --help\n"},
    {"submit none.yaml", CLI_INTERNAL, "error: none.yaml: No such file or directory\n"},
    {"agent --new --join a:1", CLI_USAGE,
     "error: --new forms a cluster and --join enters one: give one of them\n"},
    {"agent --join somewhere", CLI_USAGE,
     "error: --join: somewhere: must be HOST:PORT, such as somewhere:7711\n"},
    {"agent --voters 4", CLI_USAGE, "error: --voters: 4: must be 1, 3, 5 or 7\n"},
    {"agent --zone a/b", CLI_USAGE, "error: --zone: a/b: must be at most 31 of [A-Za-z0-9._-]\n"},
    {"agent --threads many", CLI_USAGE,
     "error: --threads: many: must be a number of cores, 0: all\n"},
    {"agent --listen here", CLI_USAGE, "error: --listen: here: must be HOST:PORT\n"},
};

TEST_ROWS(a_wrong_command_line_gets_one_line_and_its_status, USAGE)
{
    start();
    RUN(USAGE[tst_row].line, USAGE[tst_row].status);
    EXPECT_STR(err, USAGE[tst_row].error);
    EXPECT_STR(out, "");
    stop();
}

TEST(no_peer_answers_status_6_and_names_those_that_were_tried)
{
    EXPECT(setenv("SHOAL_PEER", "127.0.0.1:1 127.0.0.1:2", 1) == 0);
    RUN("nodes", CLI_UNREACHABLE);
    EXPECT(strstr(err, "error: no agent answers: 127.0.0.1:1: ") == err);
    EXPECT(strstr(err, "; 127.0.0.1:2: ") != NULL);
    EXPECT_EQ(strlen(err) - strcspn(err, "\n"), 1);
    RUN("nodes --peer 127.0.0.1:3", CLI_UNREACHABLE);
    EXPECT(strstr(err, "127.0.0.1:3") != NULL);
    EXPECT(strstr(err, "127.0.0.1:1") == NULL);
}

TEST(a_submitted_job_shows_in_ps_and_can_be_stopped)
{
    start();
    write_file("n.yaml", NOOP);
    RUN("submit n.yaml", CLI_OK);
    EXPECT_STR(out, "job 2 n is waiting\n");
    EXPECT(strstr(err, "shoal watch 2") != NULL);
    RUN("ps", CLI_OK);
    EXPECT(strstr(out, "ID  NAME  KIND  STATE") == out);
    EXPECT(strstr(out, "\n 2  n     noop  waiting  0 %, 0/2 units") != NULL);
    RUN("stop n", CLI_OK);
    EXPECT_STR(out, "job 2 n is stopped\n");
    RUN("ps --state waiting", CLI_OK);
    EXPECT(strstr(out, "noop") == NULL);
    RUN("stop none", CLI_NOT_FOUND);
    EXPECT_STR(err, "error: job: none: no such job\n");
    stop();
}

TEST(json_of_a_verb_is_the_object_of_the_interface)
{
    start();
    write_file("n.yaml", NOOP);
    RUN("submit n.yaml --json", CLI_OK);
    json_t *job = json_loads(out, JSON_REJECT_DUPLICATES, NULL);
    EXPECT_EQ(cli_integer(job, "id"), 2);
    EXPECT_STR(cli_text(job, "owner"), "ada");
    json_decref(job);
    EXPECT_STR(err, "");
    RUN("stop none --json", CLI_NOT_FOUND);
    json_t *answer = json_loads(out, JSON_REJECT_DUPLICATES, NULL);
    EXPECT_STR(cli_text(json_object_get(answer, "error"), "code"), "NOT_FOUND");
    json_decref(answer);
    EXPECT_STR(err, "");
    stop();
}

TEST(the_same_key_twice_is_the_same_job)
{
    start();
    write_file("n.yaml", NOOP);
    RUN("submit n.yaml --idempotency-key k1", CLI_OK);
    RUN("submit n.yaml --idempotency-key k1", CLI_OK);
    EXPECT_STR(out, "job 2 n is waiting (submitted before)\n");
    write_file("t.yaml", TRAIN);
    RUN("submit t.yaml --idempotency-key k1", CLI_CONFLICT);
    EXPECT_STR(err, "error: Idempotency-Key: k1: this key was used for another job file\n");
    stop();
}

TEST(a_lost_quorum_is_named_and_status_6)
{
    start();
    write_file("n.yaml", NOOP);
    memory_service_quorum(service, false);
    RUN("submit n.yaml", CLI_UNREACHABLE);
    EXPECT_STR(err, "error: no quorum: a majority of the voters cannot be reached\n");
    RUN("status", CLI_OK);
    EXPECT(strstr(out, "leader       none known: no quorum") != NULL);
    RUN("ps", CLI_UNREACHABLE);
    EXPECT(strstr(err, "no quorum: a majority of the voters cannot be reached") != NULL);
    EXPECT(strstr(err, "shoal: --stale") != NULL);
    RUN("ps --stale", CLI_OK);
    EXPECT(strstr(err, "stale: as of log index ") != NULL);
    stop();
}

TEST(all_mistakes_of_a_job_file_are_printed_with_file_and_line)
{
    start();
    write_file("bad.yaml", "api: shoal/v1\nkind: noop\nname: n\nunits: x\ncolour: red\n");
    RUN("submit bad.yaml", CLI_INVALID);
    EXPECT_STR(err, "error: bad.yaml:4:8: units: x: must be a whole number from 1 to 10000\n"
                    "error: bad.yaml:5:1: colour: unknown key; there are: api, kind, name, "
                    "priority, retries, keep, units, resources\n");
    RUN("validate bad.yaml --json", CLI_INVALID);
    json_t *answer = json_loads(out, JSON_REJECT_DUPLICATES, NULL);
    EXPECT_EQ(json_array_size(json_object_get(answer, "errors")), 2);
    EXPECT_EQ(cli_integer(json_object_get(answer, "error"), "line"), 4);
    json_decref(answer);
    stop();
}

TEST(validate_prints_the_layer_table)
{
    start();
    write_file("t.yaml", TRAIN);
    RUN("validate t.yaml", CLI_OK);
    EXPECT(strstr(out, "LAYER") == out);
    EXPECT(strstr(out, "\n7850 parameters, 7840 MAC a sample forward\n") != NULL);
    EXPECT(strstr(out, "batch 256 = 16 ranks x 16, 10 epochs, on 1 to 16 agents\n") != NULL);
    EXPECT(strstr(out, "\nvalid  t  ") != NULL);
    stop();
}

#define TABLE_JOB                                                                                  \
    "api: shoal/v1\nkind: train\nname: c\ndata: {train: data/t.csv, validation: 0}\n"              \
    "model: {input: [2], layers: [{dense: 2}]}\ntrain: {batch: 2, ranks: 2}\n"

static const struct {
    const char *csv; /* NULL: there is none */
    int status;
    const char *part; /* of the error */
} TABLES[] = {
    {"1,2,a\n3,4,b\n", CLI_OK, ""},
    {NULL, CLI_NOT_FOUND, "error: j/c.yaml: data.train: j/data/t.csv"},
    {"1,2,a\n3,x,b\n", CLI_INVALID, "error: j/c.yaml: data.train: j/data/t.csv"},
    {"1,2,3,a\n3,4,5,b\n", CLI_INVALID, "error: j/c.yaml: data.train: j/data/t.csv"},
    {"1,2,a\n3,4,b\n5,6,c\n", CLI_INVALID, "error: j/c.yaml: data.train: j/data/t.csv"},
};

TEST_ROWS(data_named_by_a_path_is_checked_before_anything_is_sent, TABLES)
{
    start();
    EXPECT(mkdir("j", 0700) == 0);
    EXPECT(mkdir("j/data", 0700) == 0);
    write_file("j/c.yaml", TABLE_JOB);
    if (TABLES[tst_row].csv != NULL) {
        write_file("j/data/t.csv", TABLES[tst_row].csv);
    }
    RUN("validate j/c.yaml", TABLES[tst_row].status);
    EXPECT(strstr(err, TABLES[tst_row].part) == err);
    RUN("submit j/c.yaml", TABLES[tst_row].status);
    RUN("ps --json", CLI_OK);
    json_t *page = json_loads(out, JSON_REJECT_DUPLICATES, NULL);
    EXPECT_EQ(json_array_size(json_object_get(page, "jobs")),
              TABLES[tst_row].status == CLI_OK ? 1 : 0);
    json_decref(page);
    stop();
}

TEST(an_uploaded_path_becomes_the_digest_of_its_files)
{
    start();
    EXPECT(mkdir("j", 0700) == 0);
    EXPECT(mkdir("j/data", 0700) == 0);
    write_file("j/c.yaml", TABLE_JOB);
    write_file("j/data/t.csv", "1,2,a\n3,4,b\n");
    RUN("submit j/c.yaml --json", CLI_OK);
    char path[64];
    json_t *job = json_loads(out, JSON_REJECT_DUPLICATES, NULL);
    (void)snprintf(path, sizeof path, "%lld", cli_integer(job, "id"));
    json_decref(job);
    struct cli_peers peers = {.count = 1};
    (void)snprintf(peers.at[0], sizeof peers.at[0], "127.0.0.1:%u", api_port(api));
    struct cli_http *http = cli_http_open(&peers);
    struct cli_call call = {.method = "GET", .path = "/api/v1/jobs/c", .timeout_s = 10};
    struct cli_answer answer;
    cli_http_call(http, &call, &answer);
    job = json_loads(answer.body, JSON_REJECT_DUPLICATES, NULL);
    const json_t *data = json_object_get(json_object_get(job, "spec"), "data");
    EXPECT(strncmp(cli_text(data, "train"), "files:", 6) == 0);
    uint8_t digest[SH_DIGEST_BYTES];
    uint64_t size = 0;
    EXPECT(sh_unhex(digest, sizeof digest, cli_text(data, "train") + 6) == SH_OK);
    EXPECT(service_blob_fetch(service, digest, &size, 0) == SH_OK);
    EXPECT(size > 12);
    json_decref(job);
    free(answer.body);
    cli_http_close(http);
    stop();
}

static uint64_t trained(const char *bytes, size_t size)
{
    static const struct service_point LOSS[] = {{1, 1000000, 2.5}, {2, 4000000, 0.5}};
    static const struct service_point EPOCH[] = {{1, 1000000, 0.5}, {2, 4000000, 1.0}};
    static const struct service_point ACCURACY[] = {{2, 4000000, 0.875}};
    write_file("t.yaml", TRAIN);
    RUN("submit t.yaml", CLI_OK);
    uint64_t id = 2;
    struct wire_fence fence = memory_service_place(service, id);
    memory_service_points(service, id, "loss", LOSS, 2);
    memory_service_points(service, id, "epoch", EPOCH, 2);
    memory_service_points(service, id, "accuracy", ACCURACY, 1);
    memory_service_points(service, id, "val_accuracy", ACCURACY, 1);
    struct service_log_line line = {.generation = 3, .text = "hello from rank 0"};
    service_log_append(service, id, &line, 1);
    memory_service_commit(service, id, fence, bytes, size);
    return id;
}

TEST(watch_on_a_pipe_prints_lines_and_the_outcome)
{
    start();
    (void)trained("model", 5);
    RUN("watch t", CLI_OK);
    EXPECT(strstr(out, "event  placed: alpha\n") != NULL);
    EXPECT(strstr(out, "event  committed its result") != NULL);
    /* What came together is one line, and all of it belongs to one step. */
    EXPECT(strstr(out, "\n100 %  epoch 1.00/10  step 2  loss 0.5  accuracy 87.50 %  validation "
                       "87.50 %") != NULL);
    EXPECT(strstr(out, "epoch 0.50") == NULL);
    EXPECT(strstr(out, "step 1") == NULL);
    EXPECT(strstr(out, "completed  job 2 t  model t:1  test accuracy 98.00 % (98/100)\n"
                       "digest  aaaaaaaa") != NULL);
    RUN("watch none", CLI_NOT_FOUND);
    stop();
}

TEST(waiting_for_a_stopped_job_is_status_11_and_for_a_failed_one_10)
{
    start();
    write_file("n.yaml", NOOP);
    RUN("submit n.yaml", CLI_OK);
    RUN("stop n", CLI_OK);
    RUN("watch n", CLI_JOB_STOPPED);
    EXPECT(strstr(out, "stopped  job 2 n\n") != NULL);
    write_file("t.yaml", TRAIN);
    RUN("submit t.yaml --json", CLI_OK);
    json_t *row = json_loads(out, 0, NULL);
    uint64_t id = (uint64_t)cli_integer(row, "id");
    json_decref(row);
    struct jobs_cmd cmd = {.type = JOBS_FAIL};
    struct jobs_result result;
    cmd.u.fail.unit = (struct wire_unit){.job = id, .unit = 0};
    cmd.u.fail.fence = memory_service_place(service, id);
    cmd.u.fail.reason = SH_ERR_DIVERGED;
    cmd.u.fail.final = true;
    (void)snprintf(cmd.u.fail.text, sizeof cmd.u.fail.text, "step 3, rank 1: loss is not finite");
    memory_service_apply(service, &cmd, &result);
    RUN("watch t", CLI_JOB_FAILED);
    EXPECT(strstr(out, "failed  job 4 t: step 3, rank 1: loss is not finite\n") != NULL);
    stop();
}

TEST(a_file_of_conductor_becomes_a_job_that_validates)
{
    start();
    write_file(
        "version.xml",
        "<?xml version=\"1.0\"?>\n<Version><Name>rnn</Name><DatasetType>Cargo2000"
        "</DatasetType><TrainingCommands><Command><FileName>/bin/bash</FileName><Arguments>-c "
        "\"python3 train.py\"</Arguments></Command></TrainingCommands>"
        "<TargetModels>40</TargetModels></Version>\n");
    RUN("convert version.xml", CLI_OK);
    EXPECT(strstr(out, "kind: exec") != NULL);
    EXPECT(strstr(out, "replicas: 40") != NULL);
    EXPECT(strstr(out, "python3 train.py") != NULL);
    char *job = strdup(out);
    EXPECT(job != NULL);
    write_file("job.yaml", job);
    free(job);
    RUN("validate job.yaml", CLI_OK);
    EXPECT(strstr(out, "valid  ") != NULL);
    write_file("version.xml", "<Version><Nam>x</Nam></Version>");
    RUN("convert version.xml", CLI_INVALID);
    EXPECT(strstr(err, "Version") != NULL);
    RUN("convert absent.xml", CLI_INTERNAL);
    stop();
}

TEST(metrics_logs_and_why_print_what_the_agent_knows)
{
    start();
    (void)trained("model", 5);
    RUN("metrics t --csv", CLI_OK);
    EXPECT_STR(out, "step,loss,accuracy,val_accuracy,epoch\n1,2.5,,,0.5\n2,0.5,0.875,0.875,1\n");
    RUN("metrics t", CLI_OK);
    EXPECT(strstr(out, "loss               2          2    0.5\n") != NULL);
    RUN("logs t", CLI_OK);
    EXPECT_STR(out, "[0/0] hello from rank 0\n");
    RUN("logs t -f --no-prefix", CLI_OK);
    EXPECT_STR(out, "hello from rank 0\n");
    RUN("logs t -f --tail 5 --unit 0", CLI_OK);
    EXPECT_STR(out, "[0/0] hello from rank 0\n");
    RUN("logs t --unit 1", CLI_OK);
    EXPECT_STR(out, "");
    RUN("logs t --tail 0", CLI_USAGE);
    RUN("logs t --unit x", CLI_USAGE);
    memory_service_why(service, "placed on 1 agent\nalpha: ranks 0 to 15\n");
    RUN("why t", CLI_OK);
    EXPECT_STR(out, "job 2 t is completed\n  placed on 1 agent\n  alpha: ranks 0 to 15\n");
    stop();
}

TEST(nodes_and_status_print_tables)
{
    start();
    RUN("nodes", CLI_OK);
    EXPECT(strstr(out, "NAME   STATE  ROLE") == out);
    EXPECT(strstr(out, "\nalpha  alive  leader  127.0.0.1:7711     2  8.0 GiB  avx2") != NULL);
    EXPECT(strstr(out, "  strict, user 60600  ") != NULL);
    EXPECT(strstr(out, "  disk=nvme,fast,room=b...  ") != NULL);
    struct service *late = memory_service_join(service, "aaron");
    RUN("nodes", CLI_OK);
    EXPECT(strstr(out, "\naaron") != NULL && strstr(out, "\naaron") < strstr(out, "\nalpha"));
    memory_service_close(late);
    RUN("status", CLI_OK);
    EXPECT(strstr(out, "leader       alpha\n") != NULL);
    stop();
}

static void show_measured(const struct jobs_metrics *measures)
{
    start();
    memory_service_measures(service, measures);
    (void)trained("model", 5);
    RUN("model show t", CLI_OK);
}

TEST(a_model_is_shown_with_what_was_measured_and_nothing_else)
{
    show_measured(&(struct jobs_metrics){
        .val_correct = 75, .val_total = 80, .val_loss = 0.25, .train_loss = 0.125});
    EXPECT(strstr(out, "test") == NULL);
    EXPECT(strstr(out, "validation    93.75 % (75/80), loss 0.25\ntraining      loss 0.125\n") !=
           NULL);
    RUN("model list", CLI_OK);
    EXPECT(strstr(out, "  -  yes") != NULL);
    RUN("watch t", CLI_OK);
    EXPECT(strstr(out, "completed  job 2 t  model t:1\n") != NULL);
    stop();
    show_measured(&(struct jobs_metrics){.val_loss = 0.25, .train_loss = 0.5});
    EXPECT(strstr(out, "steps\nvalidation    loss 0.25\ntraining      loss 0.5\n") != NULL);
    stop();
    show_measured(&(struct jobs_metrics){.train_loss = 0.5});
    EXPECT(strstr(out, "steps\ntraining      loss 0.5\n") != NULL);
    stop();
    show_measured(&(struct jobs_metrics){.train_loss = (double)NAN}); /* stopped early */
    EXPECT(strstr(out, "steps\nreproducible") != NULL);
    stop();
}

TEST(a_model_is_fetched_whole_and_checked_against_its_digest)
{
    start();
    (void)trained("0123456789", 10);
    RUN("model list", CLI_OK);
    EXPECT(strstr(out, "\nt:1      2     40  98.00 %  yes") != NULL);
    RUN("model show t", CLI_OK);
    EXPECT(strstr(out, "test          98.00 % (98/100)\ntraining      loss 0.5\n") != NULL);
    RUN("model get t -o m.bin", CLI_OK);
    EXPECT_STR(out, "m.bin\n");
    FILE *file = fopen("m.bin", "rb");
    EXPECT(file != NULL);
    char bytes[16] = "";
    EXPECT_EQ(fread(bytes, 1, sizeof bytes, file), 10);
    EXPECT_MEM(bytes, "0123456789", 10);
    EXPECT(fclose(file) == 0);
    RUN("model get t", CLI_OK);
    EXPECT_STR(out, "t-1.safetensors\n");
    RUN("model get t -o -", CLI_OK);
    EXPECT_STR(out, "0123456789");
    RUN("model get none -o m2.bin", CLI_NOT_FOUND);
    EXPECT(access("m2.bin", F_OK) != 0);
    RUN("model get t -o no/such/folder", CLI_INTERNAL);
    stop();
}

TEST(predict_prints_sorted_classes_of_every_file)
{
    static struct model_file model;
    start();
    model_file_make(&model, "[1,2,2]", 0, false);
    (void)trained((const char *)model.bytes, model.size);
    write_file("t.csv", "0,0,0,0\n255,255,255,255\n");
    FILE *pgm = fopen("white.pgm", "wb");
    EXPECT(pgm != NULL);
    EXPECT(fwrite("P5\n2 2\n255\n\xff\xff\xff\xff", 1, 15, pgm) == 15);
    EXPECT(fclose(pgm) == 0);
    RUN("predict t white.pgm t.csv --top 1", CLI_OK);
    EXPECT(strstr(out, "white.pgm\n  light             100.00 %") == out);
    EXPECT(strstr(out, "t.csv[0]\n  dark              100.00 %") != NULL);
    EXPECT(strstr(out, "t.csv[1]\n  light             100.00 %") != NULL);
    RUN("predict t:1 white.pgm --invert --json", CLI_OK);
    json_t *answer = json_loads(out, 0, NULL);
    const json_t *sample = json_array_get(json_object_get(answer, "samples"), 0);
    const json_t *best = json_array_get(json_object_get(sample, "classes"), 0);
    EXPECT_STR(cli_text(best, "class"), "dark");
    EXPECT(cli_real(best, "probability") > 0.99);
    json_decref(answer);
    write_file("bad.csv", "1,2,3\n");
    RUN("predict t bad.csv", CLI_INVALID);
    EXPECT_STR(err, "error: bad.csv: 3 numbers a sample; the model takes 4\n");
    write_file("worse.csv", "1,2,3,4\n1,2\n");
    RUN("predict t worse.csv", CLI_INVALID);
    EXPECT(strstr(err, "error: worse.csv:2: ") == err);
    RUN("predict t .", CLI_INTERNAL);
    EXPECT_STR(err, "error: .: Is a directory\n");
    RUN("predict none white.pgm", CLI_NOT_FOUND);
    RUN("predict t absent.png", CLI_INTERNAL);
    stop();
}

TEST(a_data_set_is_declared_and_listed)
{
    start();
    write_file("t.csv", "1,2,a\n3,4,b\n");
    RUN("dataset add mine t.csv", CLI_OK);
    EXPECT(strstr(out, "\nmine      1  12 B  alpha  /") != NULL);
    RUN("dataset list", CLI_OK);
    EXPECT(strstr(out, "\nmine ") != NULL);
    RUN("dataset add mine absent.csv", CLI_INVALID);
    RUN("dataset add other /absent.csv", CLI_NOT_FOUND);
    EXPECT_STR(err, "error: path: /absent.csv: No such file or directory\n");
    RUN("dataset add other /absent.csv --node beta", CLI_NOT_FOUND);
    stop();
}

TEST(flags_beat_the_environment_which_beats_the_file_which_beats_defaults)
{
    start();
    write_file("agent.yaml", "data: /file/data\nname: filed\njoin: [a:1, b:2]\nthreads: 3\n"
                             "zone: rack-7\nvoters: 7\n");
    EXPECT(setenv("SHOAL_NAME", "surrounded", 1) == 0);
    EXPECT(setenv("SHOAL_THREADS", "2", 1) == 0);
    RUN("agent --config agent.yaml --threads 7", 42);
    EXPECT_STR(agent_seen.data_dir, "/file/data");
    EXPECT_STR(agent_seen.name, "surrounded");
    EXPECT_EQ(agent_seen.threads, 7);
    EXPECT_EQ(agent_seen.voters, 7);
    EXPECT_STR(agent_seen.zone, "rack-7");
    EXPECT_EQ(agent_seen.join_count, 2);
    EXPECT_STR(agent_seen.join[1], "b:2");
    EXPECT_STR(agent_seen.listen, "0.0.0.0:7711");
    EXPECT_STR(agent_seen.api, "127.0.0.1:8711");
    EXPECT_EQ(agent_seen.log_entries, AGENT_LOG_ENTRIES);
    RUN("agent --data /d --new --log-entries 64", 42);
    EXPECT_EQ(agent_seen.log_entries, 64);
    RUN("agent --data /d --new --log-entries 15", CLI_USAGE);
    RUN("agent --data /d --new --log-entries 1x", CLI_USAGE);
    EXPECT_EQ(agent_seen.copies, 3);
    EXPECT_EQ(agent_seen.keep_uploads_us, UINT64_C(86400000000));
    RUN("agent --data /d --new --copies 2 --collect-every 90s --collect-grace 1h", 42);
    EXPECT_EQ(agent_seen.copies, 2);
    EXPECT_EQ(agent_seen.collect_every_us, UINT64_C(90000000));
    EXPECT_EQ(agent_seen.collect_grace_us, UINT64_C(3600000000));
    RUN("agent --data /d --new --copies 9", CLI_USAGE);
    RUN("agent --data /d --new --keep-uploads 0", CLI_USAGE);
    EXPECT(strstr(err, "--keep-uploads: 0: must be a time from 1s to 2592000s") != NULL);
    RUN("agent --data /d --new --collect-every soon", CLI_USAGE);
    RUN("agent --join x:1 --join y:2 --data /d --secret s --advertise h:9 --api-token k", 42);
    EXPECT_EQ(agent_seen.join_count, 2);
    EXPECT_STR(agent_seen.join[0], "x:1");
    EXPECT_STR(agent_seen.secret_file, "s");
    EXPECT_STR(agent_seen.advertise, "h:9");
    EXPECT_STR(agent_seen.api_token_file, "k");
    EXPECT(!agent_seen.new_cluster);
    RUN("config show --config agent.yaml", CLI_OK);
    EXPECT(strstr(out, "data            /file/data      agent.yaml\n") != NULL);
    EXPECT(strstr(out, "threads         2               environment\n") != NULL);
    EXPECT(strstr(out, "listen          0.0.0.0:7711    default\n") != NULL);
    EXPECT(strstr(out, "allow-commands  false           default\n") != NULL);
    EXPECT(strstr(out, geteuid() == 0 ? "run-as          60600" : "run-as          0 ") != NULL);
    RUN("agent --run-as 0", 42);
    EXPECT_EQ(agent_seen.run_as, 0);
    EXPECT(agent_seen.run_as_given);
    RUN("agent --run-as 70000", geteuid() == 0 ? 42 : CLI_USAGE);
    RUN("agent --run-as nobody", CLI_USAGE);
    EXPECT(strstr(err, "--run-as: nobody: must be a user id up to 9999900, or 0") != NULL);
    RUN("agent --allow-commands", 42);
    EXPECT(agent_seen.allow_commands && !agent_seen.run_as_given);
    RUN("agent", 42);
    EXPECT(!agent_seen.allow_commands);
    EXPECT_EQ(agent_seen.sandbox_min, WIRE_SANDBOX_BASIC);
    RUN("agent --sandbox-min none", 42);
    EXPECT_EQ(agent_seen.sandbox_min, WIRE_SANDBOX_NONE);
    RUN("agent --sandbox-min off", CLI_USAGE);
    EXPECT(strstr(err, "--sandbox-min: off: must be none, basic or strict") != NULL);
    write_file("commands.yaml", "allow-commands: maybe\n");
    RUN("agent --config commands.yaml", CLI_USAGE);
    EXPECT(strstr(err, "allow-commands: maybe: must be true or false") != NULL);
    RUN("config show --config absent.yaml", CLI_INTERNAL);
    write_file("bad.yaml", "dat: /x\n");
    RUN("config show --config bad.yaml", CLI_INVALID);
    EXPECT_STR(err, "error: bad.yaml:1:1: dat: unknown key; did you mean data?\n");
    stop();
}

TEST(labels_and_policy_come_from_flags_or_the_file)
{
    start();
    write_file("agent.yaml", "label: {disk: nvme, fast: '', rack: 7}\nslots: 2\nhours: "
                             "20:00-08:00\nbusy: 90\non-mains: true\n");
    RUN("agent --config agent.yaml", 42);
    EXPECT_STR(agent_seen.labels, "disk=nvme,fast,rack=7");
    EXPECT_EQ(agent_seen.slots, 2);
    EXPECT(agent_seen.policy.hours && agent_seen.policy.mains);
    EXPECT_EQ(agent_seen.policy.from, 1200);
    EXPECT_EQ(agent_seen.policy.busy_milli, 900);
    write_file("list.yaml", "label: [disk=nvme, fast]\n");
    RUN("agent --config list.yaml", 42);
    EXPECT_STR(agent_seen.labels, "disk=nvme,fast");
    RUN("agent --label a=1 --label b --slots 7", 42);
    EXPECT_STR(agent_seen.labels, "a=1,b");
    EXPECT_EQ(agent_seen.slots, 7);
    EXPECT(!agent_seen.policy.hours && !agent_seen.policy.mains);
    EXPECT_EQ(agent_seen.policy.busy_milli, 0);
    RUN("agent", 42);
    EXPECT_EQ(agent_seen.slots, AGENT_SLOTS);
    RUN("agent --label a=1 --label a=2", CLI_USAGE);
    EXPECT(strstr(err, "--label: a=1,a=2: must be KEY=VALUE or KEY") != NULL);
    RUN("agent --label zone=x", CLI_USAGE);
    EXPECT(strstr(err, "--label: zone=x: every agent has a label zone: --zone sets it") != NULL);
    RUN("agent --slots 0", CLI_USAGE);
    RUN("agent --hours 8-9", CLI_USAGE);
    EXPECT(strstr(err, "--hours: 8-9: must be HH:MM-HH:MM") != NULL);
    RUN("agent --busy 101", CLI_USAGE);
    stop();
}

TEST(settings_of_the_cluster_are_set_read_and_unset)
{
    start();
    RUN("config set reserve=0.34", CLI_OK);
    RUN("config set quota.ada=3", CLI_OK);
    EXPECT(strstr(out, "quota.ada  3\n") != NULL && strstr(out, "reserve    0.34\n") != NULL);
    RUN("config get reserve", CLI_OK);
    EXPECT_STR(out, "0.34\n");
    RUN("config unset reserve", CLI_OK);
    RUN("config get reserve", CLI_OK);
    EXPECT_STR(out, "not set\n");
    RUN("config set reserve=much", CLI_USAGE);
    RUN("config set reserve=2", CLI_INVALID);
    EXPECT(strstr(err, "reserve: 2: must be a number from 0 to 1") != NULL);
    RUN("config set colour=2", CLI_INVALID);
    RUN("node drain alpha", CLI_OK);
    RUN("nodes", CLI_OK);
    EXPECT(strstr(out, "alive, draining") != NULL);
    RUN("node undrain alpha", CLI_OK);
    RUN("node parole alpha", CLI_CONFLICT);
    stop();
}

TEST(demo_options_arrive)
{
    RUN("demo --keep --dir d", 43);
    EXPECT(demo_seen.keep);
    EXPECT(!demo_seen.terminal);
    EXPECT_STR(demo_seen.dir, "d");
}

TEST(backup_and_restore_say_where_and_up_to_which_index)
{
    start();
    RUN("backup /new", CLI_OK);
    EXPECT_STR(out, "/new: all that the agent holds, up to index 7, 4.0 KiB\n");
    RUN("backup /full", CLI_CONFLICT);
    RUN("restore /new", CLI_USAGE);
    RUN("restore /new --data full", CLI_CONFLICT);
    EXPECT(strstr(err, "full is not empty") != NULL);
    RUN("restore /new --data fresh", CLI_OK);
    EXPECT_STR(restore_seen.backup, "/new");
    EXPECT_STR(restore_seen.data, "fresh");
    EXPECT(strstr(out, "shoal agent --new --data fresh\n") != NULL);
    EXPECT(strstr(out, "index 12") != NULL);
    stop();
}

TEST(init_writes_a_secret_once_and_prints_the_commands)
{
    start();
    RUN("init --secret s", CLI_OK);
    EXPECT(strstr(out, "shoal agent --new --secret s\n") != NULL);
    EXPECT(strstr(out, "ufw allow 7711:7712/tcp && ufw allow 7711/udp\n") != NULL);
    struct stat st;
    EXPECT(stat("s", &st) == 0);
    EXPECT_EQ(st.st_mode & 0777, 0600);
    RUN("init --secret s", CLI_CONFLICT);
    stop();
}

TEST(version_is_the_programs)
{
    RUN("version", CLI_OK);
    EXPECT_STR(out, "shoal " SHOAL_VERSION "\n");
    RUN("version --json", CLI_OK);
    EXPECT_STR(out, "{\"version\":\"" SHOAL_VERSION "\"}\n");
}
