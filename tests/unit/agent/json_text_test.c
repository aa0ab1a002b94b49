/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/json.h"

#include "tst.h"

#include <stdlib.h>
#include <string.h>

static void put_all(struct sh_writer *w, const char *text)
{
    static const uint8_t bytes[] = {0x00, 0x9a, 0xff};
    spec_json_open(w, NULL);
    spec_json_put_bool(w, "a", false);
    spec_json_put_hex(w, "b", bytes, sizeof bytes);
    spec_json_put_int(w, "c", INT64_MIN);
    spec_json_open(w, "d");
    spec_json_put_int(w, "e", INT64_MAX);
    spec_json_put_int(w, "f", 0);
    spec_json_put_tree(w, "g", json_pack("[i, f]", 1, 0.1));
    spec_json_close(w);
    spec_json_open(w, "h");
    spec_json_close(w);
    spec_json_put_tree(w, "i", NULL);
    spec_json_put_str(w, "j", text);
    spec_json_close(w);
}

static const char *const TEXTS[] = {"", "plain ~", "\"quoted\" and \\", "a\tb\x01",
                                    "\xc3\xa4 \x7f"};

/* The members are written in the order of their names, as jansson sorts them. */
TEST_ROWS(an_object_written_without_a_tree_is_what_jansson_prints, TEXTS)
{
    char text[1024];
    struct sh_writer w = sh_writer_over(text, sizeof text);
    put_all(&w, TEXTS[tst_row]);
    EXPECT(!w.full);
    json_t *read = json_loadb(text, w.used, 0, NULL);
    EXPECT(read != NULL);
    EXPECT_STR(json_string_value(json_object_get(read, "j")), TEXTS[tst_row]);
    EXPECT_EQ(json_integer_value(json_object_get(read, "c")), INT64_MIN);
    EXPECT_STR(json_string_value(json_object_get(read, "b")), "009aff");
    char again[1024];
    size_t length = 0;
    EXPECT(spec_json_print(read, again, sizeof again, &length) == SH_OK);
    EXPECT_EQ(length, w.used);
    EXPECT(memcmp(again, text, length) == 0);
}

TEST(text_that_is_not_utf8_is_written_as_null)
{
    char text[64];
    struct sh_writer w = sh_writer_over(text, sizeof text);
    spec_json_open(&w, NULL);
    spec_json_put_str(&w, "a", "\xff");
    spec_json_close(&w);
    sh_put_u8(&w, 0);
    EXPECT_STR(text, "{\"a\":null}");
}

TEST(an_object_that_does_not_fit_is_told_at_every_size)
{
    char text[1024];
    struct sh_writer w = sh_writer_over(text, sizeof text);
    put_all(&w, "\"quoted\"");
    size_t whole = w.used;
    for (size_t size = 0; size < whole; size++) {
        char *little =
            malloc(size + 1); /* exactly as large as is said: what lies beyond is foreign */
        EXPECT(little != NULL);
        w = sh_writer_over(little, size);
        put_all(&w, "\"quoted\"");
        EXPECT(w.full);
        EXPECT(w.used <= size);
        free(little);
    }
}
