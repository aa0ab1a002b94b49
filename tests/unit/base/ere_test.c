/* SPDX-License-Identifier: Apache-2.0 */
#include "base/ere.h"
#include "base/rng.h"
#include "tst.h"

#include <regex.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static struct sh_ere ere;

static enum sh_err compile(const char *pattern, const char **why)
{
    return sh_ere_compile(&ere, pattern, strlen(pattern), why);
}

/* "2-5" or "2-5 3-4" with the first group; "" where it is not found. */
static const char *found(const char *pattern, const char *text)
{
    static char out[64];
    const char *why = "";
    struct sh_ere_found at;
    out[0] = '\0';
    EXPECT_EQ(compile(pattern, &why), SH_OK);
    if (sh_ere_search(&ere, text, strlen(text), &at)) {
        int n = snprintf(out, sizeof out, "%zu-%zu", at.begin, at.end);
        if (at.grouped) {
            (void)snprintf(out + n, sizeof out - (size_t)n, " %zu-%zu", at.group_begin,
                           at.group_end);
        }
    }
    return out;
}

static const struct {
    const char *pattern, *text, *found;
} FINDS[] = {
    {"loss: nan", "step 3 loss: nan!", "7-16"},
    {"loss: nan", "step 3 loss: 0", ""},
    {"loss=([0-9.]+)", "a loss=0.25, b", "2-11 7-11"},
    {"f1[:=] *(-?[0-9]+([.][0-9]*)?(e[-+]?[0-9]+)?)", "f1: -1.5e-3;", "0-11 4-11"},
    {"^Epoch ([0-9]+)/[0-9]+$", "Epoch 3/10", "0-10 6-7"},
    {"^Epoch ([0-9]+)/[0-9]+$", "Epoch 3/10 ", ""},
    {"^$", "", "0-0"},
    {"(nan|inf|[0-9]+|[0-9]+[.][0-9]+)", "x 12.5", "2-6 2-6"},
    {"a|ab|abc", "zabcd", "1-4"},
    {"(a|ab)(c|bcd)?", "abcd", "0-4 0-1"},
    {"x*", "yyxx", "0-0"},
    {"(x)?y", "y", "0-1"},
    {"(a){2,3}", "aaaa", "0-3 2-3"},
    {"(ab){2}c", "ababababc", "4-9 6-8"},
    {"^a{0}b", "b", "0-1"},
    {"^(a|b{2,}){2}$", "abbb", "0-4 1-4"},
    {"^a{,2}$", "aa", "0-2"},
    {"^a{,2}$", "aaa", ""},
    {"((a*)*)*b", "aab", "0-3 0-2"},
    {"(a|)+$", "baa", "1-3 2-3"},
    {"[]x]+[^]x]", "a]x]y", "1-5"},
    {"[[:digit:]a-c-]+", "xx1b-9z", "2-6"},
    {"[[.-.][=a=]]+", "xx-a-z", "2-5"},
    {"\\bcat\\b", "concat cat", "7-10"},
    {"\\<no\\>", "not no", "4-6"},
    {"\\Bat", "at cat", "4-6"},
    {"\\w+\\W\\s*\\S", " ab:  c", "1-7"},
    {"\\$\\(\\[\\{\\*\\\\", "$([{*\\", "0-6"},
    {"done)", "(done)", "1-6"},
    {"a.c",
     "a\xc3\xa9"
     "c abc",
     "5-8"}, /* of bytes */
};

TEST_ROWS(the_leftmost_and_longest_match_is_found, FINDS)
{
    EXPECT_STR(found(FINDS[tst_row].pattern, FINDS[tst_row].text), FINDS[tst_row].found);
}

static const struct {
    const char *pattern;
    enum sh_err err;
    const char *why;
} REFUSED[] = {
    {"(a", SH_ERR_INVALID, "has a ( without its )"},
    {"[a", SH_ERR_INVALID, "has a [ without its ]"},
    {"[]", SH_ERR_INVALID, "has a [ without its ]"},
    {"[[:digit:", SH_ERR_INVALID, "has a [ without its ]"},
    {"[[:number:]]", SH_ERR_INVALID, "unknown class"},
    {"[[.ch.]]", SH_ERR_INVALID, "of single characters only"},
    {"[z-a]", SH_ERR_INVALID, "range"},
    {"[[:digit:]-z]", SH_ERR_INVALID, "range"},
    {"a\\", SH_ERR_INVALID, "backslash"},
    {"(a)\\1", SH_ERR_INVALID, "back-reference"},
    {"\\d+", SH_ERR_INVALID, "a digit is [0-9]"},
    {"*a", SH_ERR_INVALID, "repetition of nothing"},
    {"(|+a)", SH_ERR_INVALID, "repetition of nothing"},
    {"^*", SH_ERR_INVALID, "repetition of nothing"},
    {"{\"loss\"", SH_ERR_INVALID, "begins no bounds"},
    {"a{", SH_ERR_INVALID, "begins no bounds"},
    {"a{,}", SH_ERR_INVALID, "begins no bounds"},
    {"a{3,2}", SH_ERR_INVALID, "begins no bounds"},
    {"a{1,20000}", SH_ERR_LIMIT, "too large"},
    {"a{99999999999999999999}", SH_ERR_LIMIT, "too large"},
    {"a{99999999999999999999,}", SH_ERR_LIMIT, "too large"},
    {"(a{40}){40}", SH_ERR_LIMIT, "too large"},
    {"((((((a{9}){9}){9}){9}){9}){9}){9}", SH_ERR_LIMIT, "too large"},
    {"(((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((", SH_ERR_LIMIT,
     "64 groups"},
};

TEST_ROWS(a_refusal_says_what_is_wrong, REFUSED)
{
    const char *why = "";
    EXPECT_EQ(compile(REFUSED[tst_row].pattern, &why), REFUSED[tst_row].err);
    EXPECT(strstr(why, REFUSED[tst_row].why) != NULL);
}

static uint64_t cpu_us(void)
{
    struct timespec now;
    EXPECT(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now) == 0);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* What takes the C library seconds or gigabytes, to compile or on a line of 4 KiB. */
static const char *const HOSTILE[] = {
    "((((((((((((((((((a+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+c",
    "((((((((((((((a*)*)*)*)*)*)*)*)*)*)*)*)*)*)*c",
    "[ab]*a[ab]{20}c",
    "(a|b)*a(a|b){60}c",
    "(.*)(.*)(.*)(.*)(.*)(.*)c",
    "((a?){15}){15}c",
    "(a|a|b|b|(a|b)*|(ab|ba)*)*c",
};

TEST_ROWS(no_pattern_costs_more_than_steps_times_bytes, HOSTILE)
{
    static char text[4096];
    const char *why = "";
    struct sh_ere_found at;
    struct sh_rng rng;
    sh_rng_init(&rng, 1);
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = (char)('a' + sh_rng_below(&rng, 2));
    }
    const uint64_t begin = cpu_us();
    EXPECT_EQ(compile(HOSTILE[tst_row], &why), SH_OK);
    EXPECT(!sh_ere_search(&ere, text, sizeof text, &at));
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = 'c';
    EXPECT(sh_ere_search(&ere, text, sizeof text, &at));
    EXPECT(cpu_us() - begin < 2000000); /* 20 times what a debug build takes */
}

/* ---- beside the C library ---- */

static void grow(struct sh_rng *rng, char *out, size_t room, unsigned depth)
{
    static const char *const ATOMS[] = {"a", "b", "c", ".", "[ab]", "[^a]"};
    static const char *const TIMES[] = {"", "", "", "*", "+", "?", "{2}", "{1,3}", "{0,2}", "{2,}"};
    char inner[256];
    out[0] = '\0';
    const uint64_t pieces = 1 + sh_rng_below(rng, 3);
    for (uint64_t i = 0; i < pieces; i++) {
        const char *bar = i > 0 && sh_rng_below(rng, 4) == 0 ? "|" : "";
        const char *times = TIMES[sh_rng_below(rng, SH_COUNT(TIMES))];
        const size_t used = strlen(out);
        if (depth > 0 && sh_rng_below(rng, 3) == 0) {
            grow(rng, inner, sizeof inner, depth - 1); /* as deep as depth */
            (void)snprintf(out + used, room - used, "%s(%s)%s", bar, inner, times);
        } else {
            (void)snprintf(out + used, room - used, "%s%s%s", bar,
                           ATOMS[sh_rng_below(rng, SH_COUNT(ATOMS))], times);
        }
    }
}

TEST(what_it_finds_is_what_the_c_library_finds)
{
    struct sh_rng rng;
    unsigned hits = 0;
    sh_rng_init(&rng, tst_seed());
    for (unsigned round = 0; round < 4000; round++) {
        char pattern[256];
        char text[13];
        const char *why = "";
        regex_t theirs;
        grow(&rng, pattern, sizeof pattern, 2);
        if (strlen(pattern) > 60 || regcomp(&theirs, pattern, REG_EXTENDED) != 0) {
            continue;
        }
        EXPECT_EQ(compile(pattern, &why), SH_OK);
        for (unsigned k = 0; k < 8; k++) {
            const size_t size = sh_rng_below(&rng, sizeof text);
            for (size_t i = 0; i < size; i++) {
                text[i] = (char)('a' + sh_rng_below(&rng, 3));
            }
            text[size] = '\0';
            regmatch_t at[1];
            struct sh_ere_found ours = {0};
            const bool there = regexec(&theirs, text, 1, at, 0) == 0;
            const bool same =
                sh_ere_search(&ere, text, size, &ours) == there &&
                (!there || (ours.begin == (size_t)at[0].rm_so && ours.end == (size_t)at[0].rm_eo));
            if (!same) {
                (void)fprintf(stderr, "%s on %s\n", pattern, text);
            }
            EXPECT(same);
            hits += there ? 1 : 0;
        }
        regfree(&theirs);
    }
    EXPECT(hits > 1000);
}
