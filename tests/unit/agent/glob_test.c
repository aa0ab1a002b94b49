/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/ignore.h"

#include "tst.h"

#include <string.h>

static const struct {
    const char *pattern;
    const char *path;
    bool matches;
} MATCHES[] = {
    {"a.h5", "a.h5", true},
    {"a.h5", "b/a.h5", false},
    {"a.h5", "a.h5x", false},
    {"a.h5", "a.h", false},
    {"*.h5", "model.h5", true},
    {"*.h5", ".h5", true},
    {"*.h5", "d/model.h5", false},
    {"*", "d/model.h5", false},
    {"d/*", "d/model.h5", true},
    {"*/*", "d/model.h5", true},
    {"a*b*c", "a--b--bc", true},
    {"a*b*c", "a--b--b", false},
    {"m?del", "model", true},
    {"m?del",
     "m\xc3\xb6"
     "del",
     true},
    {"m?del", "m/del", false},
    {"m??del", "model", false},
    {"?", "", false},
    {"**", "a", true},
    {"**", "a/b/c", true},
    {"**/x", "x", true},
    {"**/x", "a/b/x", true},
    {"**/x", "a/bx", false},
    {"logs/**", "logs/a/b", true},
    {"logs/**", "logs", false},
    {"logs/**", "logsx/a", false},
    {"a/**/b", "a/b", true},
    {"a/**/b", "a/x/y/b", true},
    {"a/**/b", "ab", false},
    {"a/**/b", "a/x/yb", false},
    {"**/a/**/b.c", "x/a/y/a/z/b.c", true},
    {"a**b", "axxb", true},
    {"a**b", "ax/xb", false},
    {"**/*.py", "a/b.d/c.py", true},
    {"A", "a", false},
    {"*", "caf\xe9", true},
};

TEST_ROWS(a_pattern_matches_what_it_says, MATCHES)
{
    struct spec_glob glob;
    const char *why = NULL;
    const char *pattern = MATCHES[tst_row].pattern;
    const char *path = MATCHES[tst_row].path;
    EXPECT_EQ(spec_glob_compile(&glob, pattern, strlen(pattern), &why), SH_OK);
    EXPECT_EQ(spec_glob_match(&glob, path, strlen(path)), MATCHES[tst_row].matches);
}

static const char *const WRONG[] = {"",     "/a", "a/",    "a//b", "./a", "a/..",
                                    "[ab]", "a]", "a\\*b", "a\nb", "\xff"};

TEST_ROWS(what_is_no_pattern_is_refused_with_a_reason, WRONG)
{
    struct spec_glob glob;
    const char *why = NULL;
    EXPECT_EQ(spec_glob_compile(&glob, WRONG[tst_row], strlen(WRONG[tst_row]), &why),
              SH_ERR_INVALID);
    EXPECT(why != NULL);
}

TEST(the_longest_pattern_of_wild_cards_takes_a_product_of_lengths)
{
    char pattern[SPEC_GLOB_MAX];
    char path[1024];
    struct spec_glob glob;
    const char *why = NULL;
    for (size_t i = 0; i < sizeof pattern; i++) {
        pattern[i] = i % 2 == 0 ? '*' : 'a';
    }
    memset(path, 'a', sizeof path);
    EXPECT_EQ(spec_glob_compile(&glob, pattern, sizeof pattern, &why), SH_OK);
    EXPECT(spec_glob_match(&glob, path, sizeof path));
    path[sizeof path - 1] = '/';
    for (int i = 0; i < 100; i++) { /* backtracking would need the age of the world for one */
        EXPECT(!spec_glob_match(&glob, path, sizeof path));
    }
    EXPECT_EQ(spec_glob_compile(&glob, path, SPEC_GLOB_MAX + 1, &why), SH_ERR_LIMIT);
}

static const char IGNORED[] = "# remark\n"
                              "\n"
                              "*.log\r\n"
                              "!keep.log  \n"
                              "/data/raw\n"
                              "cache/\n"
                              "src/**/tmp\n";

static const struct {
    const char *path;
    bool folder;
    bool drops;
} DROPS[] = {
    {"models", true, true},
    {"models", false, false},
    {"models/a/b", false, true},
    {"src/models", true, false},
    {"evaluation", true, true},
    {"x.log", false, true},
    {"a/b/x.log", false, true},
    {"keep.log", false, false},
    {"a/keep.log", false, false},
    {"data/raw", false, true},
    {"b/data/raw", false, false},
    {"data/raw/x", false, true},
    {"data/raw/keep.log", false, true},
    {"a/cache", true, true},
    {"a/cache", false, false},
    {"a/cache/x/y", false, true},
    {"src/tmp", true, true},
    {"src/a/b/tmp", false, true},
    {"tmp", true, false},
    {".shoalignore", false, false},
};

TEST_ROWS(a_shoalignore_leaves_out_what_it_says, DROPS)
{
    struct spec_ignore ignore;
    char why[256];
    EXPECT_EQ(spec_ignore_open(&ignore, IGNORED, sizeof IGNORED - 1, why, sizeof why), SH_OK);
    EXPECT_EQ(spec_ignore_drops(&ignore, DROPS[tst_row].path, DROPS[tst_row].folder),
              DROPS[tst_row].drops);
    spec_ignore_close(&ignore);
}

static const struct {
    const char *text;
    const char *why;
} WRONG_LINES[] = {
    {"a\n[bc]\n", ".shoalignore:2: only *, ** and ? are wild cards; write ? for a bracket or a "
                  "backslash"},
    {"\n\n../up", ".shoalignore:3: a pattern is relative, without empty, \".\" and \"..\" parts"},
    {"!", ".shoalignore:1: a pattern is relative, without empty, \".\" and \"..\" parts"},
    {"/", ".shoalignore:1: a pattern is relative, without empty, \".\" and \"..\" parts"},
};

TEST_ROWS(a_wrong_line_of_a_shoalignore_is_named, WRONG_LINES)
{
    struct spec_ignore ignore;
    char why[256] = "";
    const char *text = WRONG_LINES[tst_row].text;
    EXPECT_EQ(spec_ignore_open(&ignore, text, strlen(text), why, sizeof why), SH_ERR_INVALID);
    EXPECT_STR(why, WRONG_LINES[tst_row].why);
    spec_ignore_close(&ignore);
}

TEST(a_shoalignore_has_at_most_256_patterns)
{
    struct spec_ignore ignore;
    char why[256] = "";
    char text[2 * 257];
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = i % 2 == 0 ? 'a' : '\n';
    }
    EXPECT_EQ(spec_ignore_open(&ignore, text, sizeof text - 2, why, sizeof why), SH_OK);
    spec_ignore_close(&ignore);
    EXPECT_EQ(spec_ignore_open(&ignore, text, sizeof text, why, sizeof why), SH_ERR_LIMIT);
    EXPECT_STR(why, ".shoalignore:257: more than 256 patterns");
    spec_ignore_close(&ignore);
}
