/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/apart.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXIT_UNTOLD = 3, RUNS_MAX = 256 };

/* Up to size bytes; how many there were before the end. */
static size_t read_all(int fd, void *out, size_t size)
{
    uint8_t *at = out;
    size_t used = 0;
    while (used < size) {
        ssize_t n = read(fd, at + used, size - used);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            break;
        }
        used += (size_t)n;
    }
    return used;
}

static void drain(int fd)
{
    char rest[512];
    while (read_all(fd, rest, sizeof rest) == sizeof rest) {
    }
}

static _Noreturn void child(void (*run)(void *ctx, struct sim_verdict *verdict), void *ctx,
                            int told, int said, bool quiet)
{
    struct sim_verdict verdict;
    if (quiet) {
        (void)dup2(said, STDERR_FILENO); /* else the words go where they always go */
    }
    run(ctx, &verdict);
    (void)fflush(stdout);
    ssize_t n = write(told, &verdict, sizeof verdict);
    _exit(n == (ssize_t)sizeof verdict ? 0 : EXIT_UNTOLD);
}

void sim_apart_run(void (*run)(void *ctx, struct sim_verdict *verdict), void *ctx, bool quiet,
                   struct sim_apart *out)
{
    int told[2];
    int said[2];
    char words[SIM_ERROR_MAX + 1];
    (void)fflush(stdout);
    SH_CHECK(pipe(told) == 0);
    SH_CHECK(pipe(said) == 0);
    pid_t pid = fork();
    SH_CHECK(pid >= 0);
    if (pid == 0) {
        (void)close(told[0]);
        (void)close(said[0]);
        child(run, ctx, told[1], said[1], quiet);
    }
    (void)close(told[1]);
    (void)close(said[1]);
    size_t size = read_all(said[0], words, sizeof words - 1);
    drain(said[0]);
    words[size] = '\0';
    words[strcspn(words, "\n")] = '\0';
    bool whole = read_all(told[0], &out->verdict, sizeof out->verdict) == sizeof out->verdict;
    (void)close(told[0]);
    (void)close(said[0]);
    int status = 0;
    SH_CHECK(waitpid(pid, &status, 0) == pid);
    out->lived = whole && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!out->lived) {
        out->verdict = (struct sim_verdict){0};
        (void)snprintf(out->verdict.why, sizeof out->verdict.why, "%s",
                       words[0] != '\0' ? words : "the process died; what it said stands above");
    }
}

/* ---- many runs ---- */

static _Noreturn void work(const struct sim_worker *w, int asked, int told)
{
    uint64_t number;
    while (read_all(asked, &number, sizeof number) == sizeof number) {
        struct sim_verdict verdict;
        w->run(w->ctx, number, &verdict);
        (void)fflush(stdout);
        if (write(told, &verdict, sizeof verdict) != (ssize_t)sizeof verdict) {
            _exit(EXIT_UNTOLD);
        }
    }
    _exit(0);
}

static void begin(struct sim_worker *w)
{
    int asked[2];
    int told[2];
    (void)fflush(stdout);
    SH_CHECK(pipe(asked) == 0);
    SH_CHECK(pipe(told) == 0);
    pid_t pid = fork();
    SH_CHECK(pid >= 0);
    if (pid == 0) {
        (void)close(asked[1]);
        (void)close(told[0]);
        work(w, asked[0], told[1]);
    }
    (void)close(asked[0]);
    (void)close(told[1]);
    w->pid = (int)pid;
    w->asked = asked[1];
    w->told = told[0];
    w->runs = 0;
}

void sim_worker_end(struct sim_worker *worker)
{
    int status = 0;
    if (worker->pid != 0) {
        (void)close(worker->asked);
        (void)close(worker->told);
        SH_CHECK(waitpid((pid_t)worker->pid, &status, 0) == (pid_t)worker->pid);
        worker->pid = 0;
    }
}

void sim_worker_run(struct sim_worker *worker, uint64_t number, struct sim_apart *out)
{
    if (worker->runs == RUNS_MAX) {
        sim_worker_end(worker);
    }
    if (worker->pid == 0) {
        begin(worker);
    }
    worker->runs++;
    out->lived = write(worker->asked, &number, sizeof number) == (ssize_t)sizeof number &&
                 read_all(worker->told, &out->verdict, sizeof out->verdict) == sizeof out->verdict;
    if (!out->lived) {
        sim_worker_end(worker);
        out->verdict = (struct sim_verdict){0};
        (void)snprintf(out->verdict.why, sizeof out->verdict.why,
                       "the process died; what it said stands above");
    }
}
