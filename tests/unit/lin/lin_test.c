/* SPDX-License-Identifier: Apache-2.0
 *
 * The checker of histories: small ones whose verdict a reader can see, and random ones against a
 * search that tries every order. */
#include "tst.h"

#include "base/rng.h"
#include "lin/history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct lin_report judge_within(const char *text, uint64_t budget)
{
    char error[LIN_ERROR_MAX + 1];
    struct lin_history h;
    struct lin_report report;
    enum sh_err err = lin_history_decode(&h, text, strlen(text), error);
    EXPECT_STR(error, "");
    EXPECT(err == SH_OK);
    lin_check(h.ops, h.count, h.init, h.step, h.ctx, budget, &report);
    lin_history_free(&h);
    return report;
}

static struct lin_report judge(const char *text)
{
    return judge_within(text, LIN_BUDGET);
}

struct row {
    const char *text;
    enum lin_verdict verdict;
};

#define REGISTER "history 1\nmodel register\n"
#define JOB      "history 1\nmodel job\n"

static const struct row rows[] = {
    {REGISTER, LIN_OK},
    {REGISTER "1 2 a x read = nil\n", LIN_OK},
    {REGISTER "init 7\n1 2 a x read = 7\n", LIN_OK},
    {REGISTER "1 2 a x write 1\n3 4 b x read = 1\n", LIN_OK},
    {REGISTER "1 2 a x write 1\n3 4 b x read = nil\n", LIN_ILLEGAL},
    /* at the same time: either order; the answer at 3 and the call at 3 overlap */
    {REGISTER "1 5 a x write 1\n2 4 b x read = nil\n", LIN_OK},
    {REGISTER "1 3 a x write 1\n3 4 b x read = nil\n", LIN_OK},
    /* a new value was read, and then the old one */
    {REGISTER "1 9 a x write 1\n2 3 b x read = 1\n4 5 c x read = nil\n", LIN_ILLEGAL},
    /* keys are independent */
    {REGISTER "1 2 a x write 1\n3 4 b y read = nil\n", LIN_OK},
    {REGISTER "1 2 a y write 1\n1 2 a x write 1\n3 4 b x read = nil\n", LIN_ILLEGAL},
    {REGISTER "1 2 a x write 1\n3 4 a x cas 1 2 = yes\n5 6 b x read = 2\n", LIN_OK},
    {REGISTER "1 2 a x write 1\n3 4 a x cas 2 3 = yes\n", LIN_ILLEGAL},
    {REGISTER "1 2 a x write 1\n3 4 a x cas 1 3 = no\n", LIN_ILLEGAL},
    /* no answer: never, or long after */
    {REGISTER "1 - a x write 1\n3 4 b x read = nil\n", LIN_OK},
    {REGISTER "1 - a x write 1\n3 4 b x read = nil\n5 6 b x read = 1\n", LIN_OK},
    {REGISTER "1 - a x write 1\n3 4 b x read = 1\n5 6 b x read = nil\n", LIN_ILLEGAL},
    {REGISTER "5 - a x write 1\n3 4 b x read = 1\n", LIN_ILLEGAL},
    {REGISTER "1 - a x cas nil 1\n3 4 b x read = 1\n", LIN_OK},
    {REGISTER "1 - a x cas 5 1\n3 4 b x read = 1\n", LIN_ILLEGAL},
    {"history 1\nmodel mutex\n1 2 a m acquire\n3 4 b m acquire\n", LIN_ILLEGAL},
    {"history 1\nmodel mutex\n1 2 a m acquire\n3 8 b m acquire\n4 5 a m release\n", LIN_OK},
    {"history 1\nmodel text\n1 2 a t get = '\n3 4 a t append 'ab\n5 6 a t append 'c\n"
     "7 8 a t get = 'abc\n9 10 a t put 'a\n11 12 a t append 'bc\n13 14 a t get = 'abc\n",
     LIN_OK},
    {"history 1\nmodel text\n1 4 a t append 'x\n1 4 b t append 'y\n5 6 a t get = 'yx\n", LIN_OK},
    {"history 1\nmodel text\n1 2 a t append 'x\n3 4 b t append 'y\n5 6 a t get = 'yx\n",
     LIN_ILLEGAL},
    {"history 1\nmodel registers\ninit x=0 y=0\n1 2 a - txn x=1 y=2\n3 4 b - txn x?1 y?2\n",
     LIN_OK},
    /* half of a transaction was seen */
    {"history 1\nmodel registers\ninit x=0 y=0\n1 9 a - txn x=1 y=2\n3 4 b - txn x?1 y?0\n",
     LIN_ILLEGAL},
    {JOB "1 2 a k submit = 5\n3 4 b k read 5 = 0\n5 6 b k read 5 = 3\n", LIN_OK},
    {JOB "1 2 a k submit = 5\n3 4 b k submit = 5\n", LIN_OK},
    {JOB "1 2 a k submit = 5\n3 4 b k submit = 6\n", LIN_ILLEGAL},
    {JOB "1 2 a k submit = 5\n3 4 b k read 5 = absent\n", LIN_ILLEGAL}, /* it was acknowledged */
    {JOB "1 4 a k submit = 5\n2 3 b k read 5 = absent\n", LIN_OK},
    {JOB "1 2 a k submit = 5\n3 4 b k read 5 = 3\n5 6 b k read 5 = 2\n", LIN_ILLEGAL},
    {JOB "1 2 a k submit = 5\n3 6 b k read 5 = 3\n3 6 c k read 5 = 2\n", LIN_OK},
    {JOB "1 - a k submit\n3 4 b k submit = 9\n5 6 b k read 9 = 1\n", LIN_OK},
    {JOB "1 - a k submit\n3 4 b k read 9 = 1\n5 6 b k submit = 8\n", LIN_ILLEGAL},
    {JOB "1 - a k submit\n3 4 b k read 9 = 1\n5 6 b k read 9 = absent\n", LIN_ILLEGAL},
};

TEST_ROWS(a_history_gets_the_verdict_that_a_reader_sees, rows)
{
    EXPECT_STR(lin_verdict_name(judge(rows[tst_row].text).verdict),
               lin_verdict_name(rows[tst_row].verdict));
}

TEST(the_report_names_key_and_call_that_nothing_explains)
{
    struct lin_report r = judge(REGISTER "1 2 a x write 1\n"
                                         "1 2 a y write 1\n"
                                         "3 4 a y read = 1\n"
                                         "5 6 a y read = 2\n"
                                         "7 8 a y read = 1\n");
    EXPECT(r.verdict == LIN_ILLEGAL);
    EXPECT_EQ(r.key, 1);
    EXPECT_EQ(r.line, 6);
    EXPECT_EQ(r.keys, 2);
}

/* Calls that all overlap, of which every subset gives another text. */
static char *storm_of_appends(unsigned count, const char *answer)
{
    char *text = calloc(1, 64 * (size_t)count + 256);
    size_t used = (size_t)snprintf(text, 64, "history 1\nmodel text\n");
    for (unsigned i = 0; i < count; i++) {
        used += (size_t)snprintf(text + used, 64, "1 100 c%u t append '%c\n", i, 'a' + (int)i);
    }
    (void)snprintf(text + used, 200, "101 102 r t get = '%s\n", answer);
    return text;
}

TEST(where_the_budget_does_not_last_the_verdict_is_unknown)
{
    char *text = storm_of_appends(16, "none");
    EXPECT(judge_within(text, 10000).verdict == LIN_UNKNOWN);
    free(text);
}

TEST(a_small_storm_is_searched_to_its_end)
{
    char *text = storm_of_appends(7, "none");
    EXPECT(judge(text).verdict == LIN_ILLEGAL);
    free(text);
    text = storm_of_appends(7, "gfedcba");
    EXPECT(judge(text).verdict == LIN_OK);
    free(text);
}

TEST(many_calls_without_answer_that_ask_for_the_same_do_not_multiply)
{
    char *text = calloc(1, 1 << 20);
    size_t used = (size_t)snprintf(text, 64, "%s", REGISTER);
    for (unsigned i = 0; i < 200; i++) {
        used += (size_t)snprintf(text + used, 64, "%u - c x write %u\n", i, i % 3);
    }
    for (unsigned i = 0; i < 50; i++) { /* nobody ever wrote a 3, but that is the last one */
        used += (size_t)snprintf(text + used, 64, "%u %u r x read = %u\n", 300 + 2 * i, 301 + 2 * i,
                                 i == 49 ? 3 : i % 3);
    }
    struct lin_report r = judge(text);
    EXPECT(r.verdict == LIN_ILLEGAL);
    EXPECT(r.states < 1000000);
    free(text);
}

/* ---- against every order ---- */

enum { MOST = 6 };

/* Whether the calls that are not used yet can be put behind those that are. */
static bool any_order(const struct lin_op *ops, uint32_t count, uint32_t used, uint64_t state,
                      lin_step *step)
{
    bool open_only = true;
    for (uint32_t i = 0; i < count; i++) {
        open_only = open_only && ((used >> i & 1) != 0 || ops[i].done == LIN_NEVER);
    }
    for (uint32_t i = 0; i < count && !open_only; i++) {
        bool in_time = (used >> i & 1) == 0;
        for (uint32_t k = 0; k < count; k++) {
            in_time = in_time && ((used >> k & 1) != 0 || ops[k].done >= ops[i].call);
        }
        uint64_t next = 0;
        if (in_time && step(NULL, state, &ops[i], &next) &&
            any_order(ops, count, used | 1u << i, next, step)) {
            return true;
        }
    }
    return open_only;
}

static struct lin_op random_register_call(struct sh_rng *rng)
{
    enum { READ, WRITE, SWAP };
    uint64_t call = sh_rng_below(rng, 10);
    struct lin_op op = {.call = call,
                        .done = call + sh_rng_below(rng, 6),
                        .verb = (uint32_t)sh_rng_below(rng, 3),
                        .arg = {sh_rng_below(rng, 3), sh_rng_below(rng, 3)}};
    if (op.verb != SWAP) {
        op.arg[1] = 0;
    }
    op.reads = op.verb == READ;
    op.sets = op.verb == WRITE;
    if (sh_rng_chance(rng, 1, 3)) {
        op.done = LIN_NEVER;
    } else if (op.verb == SWAP) {
        op.arg[2] = sh_rng_below(rng, 2);
        op.reads = op.arg[2] == 0;
    }
    return op;
}

static struct lin_op random_job_call(struct sh_rng *rng)
{
    uint64_t call = sh_rng_below(rng, 10);
    struct lin_op op = {.call = call,
                        .done = call + sh_rng_below(rng, 6),
                        .verb = sh_rng_chance(rng, 1, 3) ? LIN_JOB_SUBMIT : LIN_JOB_READ,
                        .arg = {1 + sh_rng_below(rng, 2)}};
    if (op.verb == LIN_JOB_SUBMIT && sh_rng_chance(rng, 1, 2)) {
        op.done = LIN_NEVER;
        op.arg[0] = 0;
    } else if (op.verb == LIN_JOB_READ) {
        op.arg[1] = sh_rng_below(rng, 4);
        op.reads = op.arg[1] == 0;
    }
    return op;
}

static void compare_with_every_order(lin_step *step, struct lin_op (*draw)(struct sh_rng *rng))
{
    struct sh_rng rng;
    sh_rng_init(&rng, tst_seed());
    unsigned seen[2] = {0, 0};
    for (unsigned round = 0; round < 60000; round++) {
        struct lin_op ops[MOST];
        uint32_t count = 1 + (uint32_t)sh_rng_below(&rng, MOST);
        for (uint32_t i = 0; i < count; i++) {
            ops[i] = draw(&rng);
            ops[i].line = i;
        }
        bool expected = any_order(ops, count, 0, 0, step);
        struct lin_report report;
        lin_check(ops, count, 0, step, NULL, LIN_BUDGET, &report);
        if (report.verdict != (expected ? LIN_OK : LIN_ILLEGAL)) {
            tst_fail(__FILE__, __LINE__, "round %u: %s", round, lin_verdict_name(report.verdict));
        }
        seen[expected]++;
    }
    EXPECT(seen[0] > 1000);
    EXPECT(seen[1] > 1000);
}

TEST(random_registers_get_the_verdict_of_a_search_through_every_order)
{
    char error[LIN_ERROR_MAX + 1];
    struct lin_history h; /* for the machine alone */
    EXPECT(lin_history_decode(&h, REGISTER, strlen(REGISTER), error) == SH_OK);
    lin_step *step = h.step;
    lin_history_free(&h);
    compare_with_every_order(step, random_register_call);
}

TEST(random_jobs_get_the_verdict_of_a_search_through_every_order)
{
    compare_with_every_order(lin_job_step, random_job_call);
}

/* ---- the format ---- */

static const char *const mistakes[][2] = {
    {"", "line 0: the history ends before it names a model"},
    {"model register\n", "line 1: a history begins with: history 1"},
    {"history 2\n", "line 1: version 2 of the format is not known"},
    {"history 1\nmodel queue\n", "line 2: models are: register, registers, mutex, text, job"},
    {"history 1\n1 2 a x read = 1\n", "line 2: the model comes before the first call"},
    {REGISTER "model register\n", "line 3: there is one line: model NAME"},
    {REGISTER "1 2 a x read = 1\ninit 3\n", "line 4: the first state comes before the first call"},
    {REGISTER "2 1 a x read = 1\n", "line 3: DONE is a number not below CALL, or '-'"},
    {REGISTER "1 2 a x\n", "line 3: a call is: CALL DONE CLIENT KEY VERB ARGUMENT... [= ANSWER]"},
    {REGISTER "1 - a x read = 1\n",
     "line 3: a register knows: read = VALUE, write VALUE, cas OLD NEW = yes|no"},
    {REGISTER "1 2 a x read\n",
     "line 3: a register knows: read = VALUE, write VALUE, cas OLD NEW = yes|no"},
    {REGISTER "1 2 a x cas 1 2 = maybe\n",
     "line 3: a register knows: read = VALUE, write VALUE, cas OLD NEW = yes|no"},
    {JOB "1 2 a x submit = 0\n", "line 3: submit is answered with the number of a job"},
    {JOB "1 2 a x read 5 = x\n", "line 3: progress is a number, at most 16777214"},
    {JOB "init 5\n", "line 3: this model has no first value"},
};

TEST_ROWS(a_mistake_in_a_history_is_named_with_its_line, mistakes)
{
    char error[LIN_ERROR_MAX + 1];
    struct lin_history h;
    const char *text = mistakes[tst_row][0];
    EXPECT(lin_history_decode(&h, text, strlen(text), error) == SH_ERR_INVALID);
    EXPECT_STR(error, mistakes[tst_row][1]);
    EXPECT(h.ops == NULL && h.ctx == NULL);
}

TEST(comments_and_blank_lines_say_nothing)
{
    struct lin_report r = judge("# a\n\nhistory 1 # b\r\nmodel register\n#1 2 a x read = 5\n \n");
    EXPECT(r.verdict == LIN_OK);
    EXPECT_EQ(r.keys, 0);
}
