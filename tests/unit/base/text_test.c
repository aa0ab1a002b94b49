/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"
#include "tst.h"

#include <string.h>

#define A_UMLAUT "\xc3\xa4"
#define EURO     "\xe2\x82\xac"
#define FACE     "\xf0\x9f\x98\x80"

TEST(a_cut_leaves_whole_characters)
{
    static const char TEXT[] = "x" A_UMLAUT EURO FACE "y";
    static const size_t WHOLE[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11};
    EXPECT_EQ(sizeof TEXT - 1, SH_COUNT(WHOLE) - 1);
    for (size_t i = 0; i < SH_COUNT(WHOLE); i++) {
        EXPECT_EQ(sh_text_fit(TEXT, i), WHOLE[i]);
    }
    EXPECT_EQ(sh_text_fit("\x82\x82\x82\x82\x82", 5), 5); /* no character at all */
    EXPECT_EQ(sh_text_fit("a\x82\x82", 3), 3);
}

static const struct {
    const char *text, *clean;
} FOREIGN[] = {
    {"plain " A_UMLAUT EURO FACE "\t.", "plain " A_UMLAUT EURO FACE "\t."},
    {"latin \xe4 1", "latin ? 1"},
    {"short \xe2\x82 x", "short ?? x"},
    {"long \xc0\xaf \xed\xa0\x80 \xf5.", "long ?? ??? ?."},
    {"\x1b[31mred\x1b[0m\x07\x7f", "red??"},
};

TEST_ROWS(what_is_no_text_becomes_question_marks, FOREIGN)
{
    char out[64];
    EXPECT_EQ(sh_text_copy(out, sizeof out, FOREIGN[tst_row].text), strlen(FOREIGN[tst_row].clean));
    EXPECT_STR(out, FOREIGN[tst_row].clean);
}

TEST(a_copy_is_cut_at_a_character_and_ends_with_a_nul)
{
    char out[6];
    EXPECT_EQ(sh_text_copy(out, sizeof out, "ab" EURO "c"), 5);
    EXPECT_STR(out, "ab" EURO);
    EXPECT_EQ(sh_text_copy(out, sizeof out, "abc" EURO), 3);
    EXPECT_STR(out, "abc");
    EXPECT_EQ(sh_text_copy(out, sizeof out, "ab\xe2\x82"), 2); /* cut by somebody before */
    EXPECT_EQ(sh_text_copy(out, 1, "a"), 0);
    EXPECT_STR(out, "");
}

TEST(a_nul_in_the_middle_is_harmless)
{
    char text[] = "a\0b";
    EXPECT_EQ(sh_text_clean(text, 3), 3);
    EXPECT_STR(text, "a?b");
}
