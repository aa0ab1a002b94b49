/* SPDX-License-Identifier: Apache-2.0 */
#include "tst.h"

#include <errno.h>
#include <ftw.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXIT_SKIPPED = 77, STDERR_BYTES = 65536, TIMEOUT_DEFAULT_S = 60 };

size_t tst_row;
static struct tst_case *cases;
static char dir[256];

void tst_register(struct tst_case *c)
{
    struct tst_case **end = &cases;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = c;
}

void tst_fail(const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)fprintf(stderr, "%s:%d: expected ", file, line);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    va_end(args);
    exit(1);
}

void tst_skip(const char *why)
{
    (void)fprintf(stderr, "SKIP %s\n", why);
    exit(EXIT_SKIPPED);
}

uint64_t tst_seed(void)
{
    const char *text = getenv("TST_SEED");
    return text != NULL ? strtoull(text, NULL, 0) : 1;
}

unsigned tst_slower(void)
{
    const char *text = getenv("TST_SLOWER");
    return text != NULL ? (unsigned)strtoul(text, NULL, 10) : 1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void remove_dir(void)
{
    (void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *tst_dir(void)
{
    if (dir[0] == '\0') {
        const char *root = getenv("TMPDIR");
        (void)snprintf(dir, sizeof dir, "%s/shoal-test-XXXXXX", root != NULL ? root : "/tmp");
        if (mkdtemp(dir) == NULL) {
            tst_fail(__FILE__, __LINE__, "mkdtemp %s: %s", dir, strerror(errno));
        }
        (void)atexit(remove_dir);
    }
    return dir;
}

const char *tst_shared(const char *relative)
{
    static char path[1024];
    const char *root = getenv("SHOAL_SHARED");
    (void)snprintf(path, sizeof path, "%s/%s", root != NULL ? root : TST_SOURCE_DIR "/../shared",
                   relative);
    if (access(path, R_OK) != 0) {
        (void)fprintf(stderr, "%s is absent\n", relative);
        tst_skip("the shared data it reads is absent");
    }
    return path;
}

void tst_expect_str(const char *file, int line, const char *what, const char *a, const char *b)
{
    if (strcmp(a, b) != 0) {
        tst_fail(file, line, "%s: \"%s\", not \"%s\"", what, b, a);
    }
}

void tst_expect_mem(const char *file, int line, const char *what, const void *a, const void *b,
                    size_t size)
{
    const uint8_t *x = a;
    const uint8_t *y = b;
    for (size_t i = 0; i < size; i++) {
        if (x[i] != y[i]) {
            tst_fail(file, line, "%s: byte %zu is %02x, not %02x", what, i, x[i], y[i]);
        }
    }
}

void tst_expect_near(const char *file, int line, const char *what, double a, double b,
                     double tolerance)
{
    double scale = fabs(b) > 1.0 ? fabs(b) : 1.0;
    if (!(fabs(a - b) <= tolerance * scale)) {
        tst_fail(file, line, "%s: %.9g within %.3g of %.9g", what, a, tolerance, b);
    }
}

struct outcome {
    int status;
    char text[STDERR_BYTES]; /* stderr and stdout of the test, the last part where it is long */
};

static void read_all(int fd, struct outcome *out)
{
    size_t used = 0;
    for (;;) {
        if (used == sizeof out->text - 1) {
            memmove(out->text, out->text + used / 2, used - used / 2);
            used -= used / 2;
        }
        ssize_t n = read(fd, out->text + used, sizeof out->text - 1 - used);
        if (n <= 0) {
            break;
        }
        used += (size_t)n;
    }
    out->text[used] = '\0';
}

static unsigned timeout_of(const struct tst_case *c)
{
    const char *text = getenv("TST_TIMEOUT");
    unsigned limit = c->timeout_s > 0 ? c->timeout_s : TIMEOUT_DEFAULT_S;
    if (c->timeout_s == 0 && text != NULL) {
        limit = (unsigned)strtoul(text, NULL, 10);
    }
    return limit * tst_slower();
}

static void run_child(const struct tst_case *c, struct outcome *out)
{
    int fds[2];
    if (pipe(fds) != 0) {
        perror("pipe");
        exit(2);
    }
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) {
        perror("fork");
        exit(2);
    }
    if (pid == 0) {
        (void)dup2(fds[1], STDOUT_FILENO);
        (void)dup2(fds[1], STDERR_FILENO);
        (void)close(fds[0]);
        (void)close(fds[1]);
        (void)setpgid(0, 0);
        (void)alarm(timeout_of(c));
        c->run();
        exit(0);
    }
    (void)close(fds[1]);
    read_all(fds[0], out);
    (void)close(fds[0]);
    while (waitpid(pid, &out->status, 0) < 0 && errno == EINTR) {
    }
}

static bool passed(const struct tst_case *c, const struct outcome *out)
{
    if (c->dies != NULL) {
        bool aborted = WIFSIGNALED(out->status) && WTERMSIG(out->status) == SIGABRT;
        return aborted && strstr(out->text, c->dies) != NULL;
    }
    return WIFEXITED(out->status) && WEXITSTATUS(out->status) == 0;
}

struct tally {
    unsigned passed;
    unsigned failed;
    unsigned skipped;
};

static void run_one(const struct tst_case *c, struct tally *tally)
{
    static struct outcome out;
    char name[256];
    (void)snprintf(name, sizeof name, c->rows > 0 ? "%s[%zu]" : "%s", c->name, tst_row);
    run_child(c, &out);
    if (WIFEXITED(out.status) && WEXITSTATUS(out.status) == EXIT_SKIPPED) {
        const char *why = strstr(out.text, "SKIP ");
        (void)printf("skip %s # %s", name, why != NULL ? why + 5 : "\n");
        tally->skipped++;
    } else if (passed(c, &out)) {
        (void)printf("ok %s\n", name);
        tally->passed++;
    } else {
        (void)printf("%s\nnot ok %s", out.text, name);
        if (WIFSIGNALED(out.status)) {
            (void)printf(" (%s)", strsignal(WTERMSIG(out.status)));
        }
        (void)putchar('\n');
        tally->failed++;
    }
}

int main(int argc, char **argv)
{
    const char *filter = argc > 1 ? argv[1] : "";
    struct tally tally = {0};
    if (strcmp(filter, "--list") == 0) {
        for (const struct tst_case *c = cases; c != NULL; c = c->next) {
            (void)puts(c->name);
        }
        return 0;
    }
    for (const struct tst_case *c = cases; c != NULL; c = c->next) {
        if (strstr(c->name, filter) == NULL) {
            continue;
        }
        tst_row = 0;
        do {
            run_one(c, &tally);
            tst_row++;
        } while (tst_row < c->rows);
    }
    (void)printf("%u passed, %u failed, %u skipped\n", tally.passed, tally.failed, tally.skipped);
    return tally.failed == 0 && tally.passed + tally.skipped > 0 ? 0 : 1;
}
