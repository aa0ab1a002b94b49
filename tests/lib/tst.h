/* SPDX-License-Identifier: Apache-2.0
 *
 * Test harness: every test runs in a process of its own, so a crash, a leak report or a hang is one
 * failed test and never hides another. A test program is a list of TESTs; main() is in tst.c.
 *
 *   TEST(name) { EXPECT(x == 1); }
 *   TEST_ROWS(name, rows) { EXPECT(rows[tst_row].in == ...); }     one process per row
 *   TEST_DIES(name, "part of the panic message") { ... }           must abort with that on stderr
 *   SKIP("why")                                                    inside a test: counted as
 * skipped
 *
 * Usage: test_x [FILTER] [--list]. Output: "ok NAME", "not ok NAME", "skip NAME # why" lines, then
 * "N passed, N failed, N skipped". TST_SEED seeds tst_seed() (default 1); TST_TIMEOUT is the limit
 * per test in seconds (default 60), TST_SLOWER a factor for every limit (a sanitizer's build). Exit
 * status 0 only if nothing failed and something ran. */
#ifndef TST_H
#define TST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tst_case {
    const char *name;
    void (*run)(void);
    size_t rows;        /* 0: one run */
    const char *dies;   /* not NULL: must abort with this text on stderr */
    unsigned timeout_s; /* 0: the default */
    struct tst_case *next;
};

extern size_t tst_row;
void tst_register(struct tst_case *c);
_Noreturn void tst_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
_Noreturn void tst_skip(const char *why);
uint64_t tst_seed(void);
/* Factor for what a test says about time; 1 but in a sanitizer's build. */
unsigned tst_slower(void);
/* An empty directory of this test, removed when the test process ends. */
const char *tst_dir(void);
/* Path of a file below the folder of shared data sets and oracles ($SHOAL_SHARED, else ../shared
 * beside the source tree); skips the test when it is absent. Static storage. */
const char *tst_shared(const char *relative);

#define TST_DEFINE(id, row_count, death, limit_s)                                                  \
    static void tst_run_##id(void);                                                                \
    static struct tst_case tst_case_##id = {.name = #id,                                           \
                                            .run = tst_run_##id,                                   \
                                            .rows = (row_count),                                   \
                                            .dies = (death),                                       \
                                            .timeout_s = (limit_s)};                               \
    __attribute__((constructor)) static void tst_reg_##id(void)                                    \
    {                                                                                              \
        tst_register(&tst_case_##id);                                                              \
    }                                                                                              \
    static void tst_run_##id(void)

#define TEST(id)               TST_DEFINE(id, 0, NULL, 0)
#define TEST_LONG(id, limit_s) TST_DEFINE(id, 0, NULL, limit_s)
#define TEST_ROWS(id, array)   TST_DEFINE(id, sizeof(array) / sizeof((array)[0]), NULL, 0)
#define TEST_DIES(id, text)    TST_DEFINE(id, 0, text, 0)
#define SKIP(why)              tst_skip(why)

#define EXPECT(e) ((e) ? (void)0 : tst_fail(__FILE__, __LINE__, "%s", #e))
#define EXPECT_EQ(a, b)                                                                            \
    do {                                                                                           \
        unsigned long long tst_a = (unsigned long long)(a);                                        \
        unsigned long long tst_b = (unsigned long long)(b);                                        \
        if (tst_a != tst_b) {                                                                      \
            tst_fail(__FILE__, __LINE__, "%s == %s: %llu, %llu", #a, #b, tst_a, tst_b);            \
        }                                                                                          \
    } while (0)
#define EXPECT_STR(a, b)       tst_expect_str(__FILE__, __LINE__, #a, (a), (b))
#define EXPECT_MEM(a, b, size) tst_expect_mem(__FILE__, __LINE__, #a, (a), (b), (size))
/* |a - b| <= tolerance * max(1, |b|) */
#define EXPECT_NEAR(a, b, tolerance) tst_expect_near(__FILE__, __LINE__, #a, (a), (b), (tolerance))

void tst_expect_str(const char *file, int line, const char *what, const char *a, const char *b);
void tst_expect_mem(const char *file, int line, const char *what, const void *a, const void *b,
                    size_t size);
void tst_expect_near(const char *file, int line, const char *what, double a, double b,
                     double tolerance);

#endif
