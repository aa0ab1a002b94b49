/* SPDX-License-Identifier: Apache-2.0
 *
 * Jobs a second that a program gets committed without HTTP and JSON: it is an agent itself, joins
 * the cluster at JOIN, and submits as agents do, with a command each on the control plane to the
 * coordinator, which must be another agent. So many clients, each with one command under way; it is
 * answered when it is committed and this agent has applied it.
 *
 *   submit_rate JOIN SECRET DATA LISTEN API SECONDS JOB CLIENTS...
 *
 * First waits until it has a vote. Prints "<submissions/s> <median us> <99th percentile us>" for
 * each number of clients; 1 where one was not taken. One thread serves all clients, as in
 * http_rate. */
#include "agent.h"
#include "service.h"

#include "base/check.h"
#include "base/host/host.h"
#include "spec/spec.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CLIENTS_MAX 512u
#define SAMPLES_MAX 8000000u
#define COMMAND_MAX 4096u
#define ANSWER_US   UINT64_C(20000000) /* then the cluster counts as gone */
#define VOTE_US     UINT64_C(20000000)
#define LOOK_US     UINT64_C(100000)

struct client {
    uint64_t begun_us;
    enum sh_err err;
    bool taken; /* a new job came of it */
    uint8_t command[COMMAND_MAX];
};

static struct service *agent;
static struct jobs_cmd submission;
static uint64_t seconds;
static unsigned numbers[8];
static size_t number_count;
static struct client clients[CLIENTS_MAX];
static uint32_t *took_us;
static uint32_t count;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* what follows: who has an answer */
static pthread_cond_t more = PTHREAD_COND_INITIALIZER;
static struct client *answered[CLIENTS_MAX];
static unsigned answered_count;

/* The threads of the agent run on until the process is gone. */
static _Noreturn void stop(const char *why, const char *what)
{
    (void)fprintf(stderr, "submit_rate: %s: %s\n", why, what);
    _Exit(1);
}

static void must(enum sh_err err, const char *what)
{
    if (err != SH_OK) {
        stop(what, sh_err_text(err));
    }
}

static void on_answer(void *ctx, enum sh_err err, const struct jobs_result *result)
{
    struct client *c = ctx;
    SH_CHECK(pthread_mutex_lock(&lock) == 0);
    c->err = err;
    c->taken = result != NULL && result->type == JOBS_SUBMIT && !result->duplicate;
    SH_CHECK_CMP(answered_count, <, CLIENTS_MAX);
    answered[answered_count++] = c;
    bool first = answered_count == 1;
    SH_CHECK(pthread_mutex_unlock(&lock) == 0);
    if (first) {
        SH_CHECK(pthread_cond_signal(&more) == 0);
    }
}

static void ask(struct client *c)
{
    struct sh_writer w = sh_writer_over(c->command, sizeof c->command);
    c->begun_us = sh_now_us();
    must(jobs_cmd_encode(&submission, &w), "encoding");
    must(service_propose_begin(agent, c->command, w.used, ANSWER_US, on_answer, c), "proposing");
}

/* Those that have an answer; waits for one. */
static unsigned hear(struct client *out[static CLIENTS_MAX])
{
    SH_CHECK(pthread_mutex_lock(&lock) == 0);
    while (answered_count == 0) { /* each ends by its deadline at the latest */
        SH_CHECK(pthread_cond_wait(&more, &lock) == 0);
    }
    unsigned n = answered_count;
    memcpy(out, answered, n * sizeof *out);
    answered_count = 0;
    SH_CHECK(pthread_mutex_unlock(&lock) == 0);
    for (unsigned i = 0; i < n; i++) {
        must(out[i]->err, "a submission");
        if (!out[i]->taken) {
            stop("a submission", "no new job came of it");
        }
    }
    return n;
}

static int ascending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Here nothing that is submitted would cross the network. */
static void check_follows(void)
{
    struct service_status status;
    service_status(agent, &status);
    if (status.role != SERVICE_FOLLOWER || !status.leader_known) {
        stop("roles", "this agent does not follow a coordinator");
    }
}

static void measure(unsigned number)
{
    struct client *heard[CLIENTS_MAX];
    check_follows();
    count = 0;
    uint64_t start = sh_now_us();
    uint64_t end = start + seconds * 1000000;
    uint64_t now = start;
    for (unsigned i = 0; i < number; i++) {
        ask(&clients[i]);
    }
    unsigned under_way = number;
    while (now < end) {
        unsigned n = hear(heard);
        now = sh_now_us();
        for (unsigned i = 0; i < n; i++) {
            if (count < SAMPLES_MAX) {
                took_us[count++] = (uint32_t)(now - heard[i]->begun_us);
            }
        }
        under_way -= n;
        for (unsigned i = 0; i < n && now < end; i++) {
            ask(heard[i]);
            under_way++;
        }
    }
    double took = (double)(now - start) / 1e6;
    while (under_way > 0) {
        under_way -= hear(heard);
    }
    check_follows();
    qsort(took_us, count, sizeof *took_us, ascending);
    printf("%.0f %u %u\n", count / took, took_us[count / 2],
           took_us[(uint32_t)((uint64_t)count * 99 / 100)]);
}

static void wait_for_vote(void)
{
    struct service_status status;
    uint64_t deadline = sh_now_us() + VOTE_US;
    service_status(agent, &status);
    while (status.role != SERVICE_FOLLOWER || !status.leader_known) {
        if (sh_now_us() > deadline) {
            stop("joining", "no vote within 20 s");
        }
        (void)service_wait_applied(agent, status.applied_index, LOOK_US);
        service_status(agent, &status);
    }
}

static void *submit_all(void *arg)
{
    sh_thread_name("submit");
    wait_for_vote();
    for (size_t i = 0; i < number_count; i++) {
        measure(numbers[i]);
    }
    SH_CHECK(raise(SIGTERM) == 0); /* how an agent is asked to leave */
    return arg;
}

/* What an agent makes of a job file that it is given over HTTP. */
static void read_job(const char *text)
{
    static struct spec_job job;
    static struct spec_errors errors;
    static char canonical[COMMAND_MAX / 2];
    size_t size = 0;
    must(spec_parse(text, strlen(text), &job, &errors), "the job");
    must(spec_canonical(&job, canonical, sizeof canonical, &size), "the job");
    if (job.kind != SPEC_NOOP) {
        stop("the job", "is not of kind noop");
    }
    submission.type = JOBS_SUBMIT;
    struct jobs_submit *s = &submission.u.submit;
    (void)snprintf(s->name, sizeof s->name, "%s", job.name);
    s->kind = WIRE_KIND_NOOP;
    s->spec = (struct sh_span){.at = (const uint8_t *)canonical, .size = size};
    spec_digest(&job, s->spec_digest);
    s->need = (struct wire_need){.ranks = 1,
                                 .agents_min = (uint16_t)job.agents_min,
                                 .agents_max = (uint16_t)job.agents_max,
                                 .cpus = (uint16_t)job.cpus,
                                 .arithmetic = WIRE_ARITHMETIC_SAME};
    s->retries = (uint8_t)job.retries;
    s->priority = (uint8_t)job.priority;
    s->checkpoint_keep = 1;
    s->units = job.units;
}

static void read_options(char **argv, struct agent_options *o)
{
    *o = (struct agent_options){.join_count = 1,
                                .voters = 3,
                                .log_entries = AGENT_LOG_ENTRIES,
                                .name = "submit_rate",
                                .copies = AGENT_COPIES,
                                .keep_uploads_us = AGENT_KEEP_UPLOADS_S * UINT64_C(1000000),
                                .collect_every_us = AGENT_COLLECT_EVERY_S * UINT64_C(1000000),
                                .collect_grace_us = AGENT_COLLECT_GRACE_S * UINT64_C(1000000)};
    (void)snprintf(o->join[0], sizeof o->join[0], "%s", argv[1]);
    (void)snprintf(o->secret_file, sizeof o->secret_file, "%s", argv[2]);
    (void)snprintf(o->data_dir, sizeof o->data_dir, "%s", argv[3]);
    (void)snprintf(o->listen, sizeof o->listen, "%s", argv[4]);
    (void)snprintf(o->api, sizeof o->api, "%s", argv[5]);
}

int main(int argc, char **argv)
{
    static struct agent_options options;
    char why[AGENT_WHY_BYTES];
    pthread_t thread;
    if (argc < 9 || argc > 8 + (int)SH_COUNT(numbers)) {
        stop("usage", "submit_rate JOIN SECRET DATA LISTEN API SECONDS JOB CLIENTS...");
    }
    seconds = strtoul(argv[6], NULL, 10);
    for (int i = 8; i < argc; i++) {
        numbers[number_count++] = (unsigned)strtoul(argv[i], NULL, 10);
        if (numbers[i - 8] < 1 || numbers[i - 8] > CLIENTS_MAX || seconds < 1) {
            stop("usage", "1 to 512 clients, at least 1 second");
        }
    }
    took_us = calloc(SAMPLES_MAX, sizeof *took_us);
    SH_CHECK(took_us != NULL);
    read_options(argv, &options);
    if (agent_open(&options, &agent, why) != SH_OK) {
        stop("the agent", why);
    }
    read_job(argv[7]);
    SH_CHECK(pthread_create(&thread, NULL, submit_all, NULL) == 0);
    must(agent_run(agent), "the agent");
    SH_CHECK(pthread_join(thread, NULL) == 0);
    agent_close(agent);
    free(took_us);
    return 0;
}
