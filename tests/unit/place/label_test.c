/* SPDX-License-Identifier: Apache-2.0 */
#include "place/label.h"
#include "tst.h"

#include <string.h>

static struct place_label labels[4];

static void init(void)
{
    EXPECT_EQ(place_label_parse("zone=lab", &labels[0]), SH_OK);
    EXPECT_EQ(place_label_parse("rack=-7", &labels[1]), SH_OK);
    EXPECT_EQ(place_label_parse("fast", &labels[2]), SH_OK);
    EXPECT_EQ(place_label_parse("isa=avx512", &labels[3]), SH_OK);
}

static const struct {
    const char *text;
    bool holds;
} conditions[] = {
    {"zone=lab", true},
    {"zone=attic", false},
    {"zone != attic", true},
    {"zone!=lab", false},
    {"floor!=2", true},
    {"floor=2", false},
    {"fast", true},
    {"slow", false},
    {"!slow", true},
    {"! fast", false},
    {"rack>=-7", true},
    {"rack>=-6", false},
    {"rack <= -7", true},
    {"rack<=-8", false},
    {"zone>=1", false},
    {"floor<=9", false},
    {"zone in (attic, lab)", true},
    {"zone in (attic,cellar)", false},
    {"zone notin (attic)", true},
    {"zone notin (lab, attic)", false},
    {"floor notin (2)", true},
    {"floor in (2)", false},
};

TEST_ROWS(a_condition_holds_or_not, conditions)
{
    struct place_condition condition;
    init();
    EXPECT_EQ(place_condition_parse(conditions[tst_row].text, &condition), SH_OK);
    EXPECT_EQ(place_condition_holds(&condition, labels, SH_COUNT(labels)),
              conditions[tst_row].holds);
    EXPECT(place_condition_equal(&condition, &condition));
}

static const char *const wrong[] = {"",
                                    "=",
                                    "zone=",
                                    "zone==lab",
                                    "zone in",
                                    "zone in ()",
                                    "zone in (a",
                                    "zone in (a b)",
                                    "rack>=x",
                                    "isa>=3",
                                    "rack>=",
                                    "!zone=lab",
                                    "zone lab",
                                    "zone=l b",
                                    "rack>=1000000000000000000000",
                                    "a in (1,2,3,4,5,6,7,8,9)"};

TEST_ROWS(what_is_no_condition_is_refused, wrong)
{
    struct place_condition condition;
    EXPECT_EQ(place_condition_parse(wrong[tst_row], &condition), SH_ERR_INVALID);
}

TEST(what_is_no_label_is_refused)
{
    static const char *const bad[] = {"", "=x", "a b", "zone=a b", "zone=a=b", "\xc3\xa4=1"};
    char longest[2 * PLACE_LABEL_MAX + 8];
    struct place_label label;
    for (uint32_t i = 0; i < SH_COUNT(bad); i++) {
        EXPECT_EQ(place_label_parse(bad[i], &label), SH_ERR_INVALID);
    }
    memset(longest, 'a', sizeof longest);
    longest[PLACE_LABEL_MAX] = '\0';
    EXPECT_EQ(place_label_parse(longest, &label), SH_OK);
    longest[PLACE_LABEL_MAX] = 'a';
    longest[PLACE_LABEL_MAX + 1] = '\0';
    EXPECT_EQ(place_label_parse(longest, &label), SH_ERR_INVALID);
    EXPECT_EQ(place_label_parse("zone=", &label), SH_OK);
    EXPECT(!label.numeric);
    EXPECT_EQ(place_label_parse("rack=12", &label), SH_OK);
    EXPECT(label.numeric && label.number == 12);
}

static const struct {
    const char *label;
    const char *condition;
    bool holds;
} sets[] = {
    {"isa=v4", "isa>=avx512", true},     {"isa=v4", "isa>=avx2", true},
    {"isa=v3", "isa>=avx512", false},    {"isa=v3", "isa=avx2", true},
    {"isa=v3", "isa<=v3", true},         {"isa=base", "isa>=sse4.2", false},
    {"isa=v4", "isa in (v3, v4)", true}, {"isa=v4", "isa!=avx512", false},
    {"isa=neon", "isa>=v3", false},      {"isa=neon", "isa=neon", true},
    {"chip=avx2", "chip>=1", false},
};

TEST_ROWS(instruction_sets_have_an_order_and_two_names, sets)
{
    struct place_label label;
    struct place_condition condition;
    EXPECT_EQ(place_label_parse(sets[tst_row].label, &label), SH_OK);
    EXPECT_EQ(place_condition_parse(sets[tst_row].condition, &condition), SH_OK);
    EXPECT_EQ(place_condition_holds(&condition, &label, 1), sets[tst_row].holds);
}

TEST(conditions_differ_in_any_part)
{
    static const char *const texts[] = {"a=1", "a=2", "b=1", "a!=1", "a>=1", "a>=2", "a in (1, 2)"};
    struct place_condition one;
    struct place_condition two;
    for (uint32_t i = 0; i < SH_COUNT(texts); i++) {
        for (uint32_t j = 0; j < SH_COUNT(texts); j++) {
            EXPECT_EQ(place_condition_parse(texts[i], &one), SH_OK);
            EXPECT_EQ(place_condition_parse(texts[j], &two), SH_OK);
            EXPECT_EQ(place_condition_equal(&one, &two), i == j);
        }
    }
}
