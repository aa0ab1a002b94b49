/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/judge.h"

#include "base/check.h"
#include "lin/history.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HELD = 0, BROKEN = 1, MISTAKE = 2, BLOCK = 65536 };

/* The bytes of a file, to be freed; NULL after having said why not. */
static char *read_file(const char *path, size_t *size)
{
    FILE *in = fopen(path, "rb");
    char *bytes = NULL;
    size_t capacity = 0;
    *size = 0;
    while (in != NULL && *size <= LIN_BYTES_MAX) {
        if (capacity - *size < BLOCK) {
            capacity = capacity == 0 ? BLOCK : 2 * capacity;
            bytes = realloc(bytes, capacity);
            SH_CHECK(bytes != NULL);
        }
        size_t n = fread(bytes + *size, 1, capacity - *size, in);
        *size += n;
        if (n == 0) {
            break;
        }
    }
    if (in == NULL || ferror(in) != 0) {
        (void)fprintf(stderr, "shoal-sim: %s: %s\n", path, strerror(errno));
        free(bytes);
        bytes = NULL;
    }
    if (in != NULL) {
        (void)fclose(in);
    }
    return bytes;
}

static void print_report(const char *path, const struct lin_history *h, const struct lin_report *r)
{
    (void)printf("%s: %s: %s, %u calls, %u keys judged, %" PRIu64 " configurations", path,
                 lin_verdict_name(r->verdict), h->model, h->count, r->keys, r->states);
    if (r->verdict != LIN_OK) {
        size_t size = 0;
        const char *key = lin_history_key(h, r->key, &size);
        (void)printf("; key %.*s", (int)size, key);
    }
    if (r->verdict == LIN_ILLEGAL) {
        (void)printf(", no order goes beyond line %u", r->line);
    }
    (void)printf("\n");
}

static int judge_file(const char *path, uint64_t budget)
{
    char error[LIN_ERROR_MAX + 1];
    struct lin_history history;
    struct lin_report report;
    size_t size = 0;
    int status = MISTAKE;
    char *bytes = read_file(path, &size);
    if (bytes == NULL) {
        return MISTAKE;
    }
    if (lin_history_decode(&history, bytes, size, error) == SH_OK) {
        lin_check(history.ops, history.count, history.init, history.step, history.ctx, budget,
                  &report);
        print_report(path, &history, &report);
        lin_history_free(&history);
        status = report.verdict == LIN_OK ? HELD : BROKEN;
    } else {
        (void)fprintf(stderr, "shoal-sim: %s: %s\n", path, error);
    }
    free(bytes);
    return status;
}

static int usage(void)
{
    (void)fprintf(stderr, "usage: shoal-sim check-history [--budget N] FILE...\n\n%s",
                  LIN_HISTORY_HELP);
    return MISTAKE;
}

int sim_judge_files(int argc, char **argv)
{
    uint64_t budget = LIN_BUDGET;
    int first = 0;
    if (argc >= 2 && strcmp(argv[0], "--budget") == 0) {
        char *end = NULL;
        errno = 0;
        budget = strtoull(argv[1], &end, 10);
        if (errno != 0 || *end != '\0' || budget == 0) {
            return usage();
        }
        first = 2;
    }
    if (first >= argc || argv[first][0] == '-') {
        return usage();
    }
    int status = HELD;
    for (int i = first; i < argc; i++) {
        int one = judge_file(argv[i], budget);
        status = one > status ? one : status;
    }
    return status;
}
