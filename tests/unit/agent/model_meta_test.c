/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/model_meta.h"

#include "tst.h"

#include <stdio.h>
#include <string.h>

static struct spec_meta meta;
static struct spec_meta back;
static char text[SPEC_META_BYTES_MAX];
static struct spec_meta_pair pairs[SPEC_META_PAIRS];

static void make_meta(void)
{
    static const char MODEL[] = "{\"input\":[1,28,28],\"layers\":[\"flatten\",{\"dense\":3}]}";
    static struct spec_errors errors;
    memset(&meta, 0, sizeof meta);
    EXPECT(spec_model_parse(MODEL, strlen(MODEL), &meta.model, &errors) == SH_OK);
    meta.reading.audio = (struct spec_audio){.mels = 40,
                                             .frames = 64,
                                             .window_ms = 25,
                                             .hop_ms = 10,
                                             .rate = 8000,
                                             .label = SPEC_AUDIO_LABEL_FOLDER};
    meta.loss = SPEC_CROSS_ENTROPY;
    meta.reproducible = true;
    memset(meta.spec, 0xa5, sizeof meta.spec);
    meta.scale = 1.0f / 255.0f;
    meta.channel_count = 1;
    meta.mean[0] = 0.130660f;
    meta.std[0] = 0.308108f;
    meta.class_count = 3;
    (void)snprintf(meta.classes[0], sizeof meta.classes[0], "zero");
    (void)snprintf(meta.classes[1], sizeof meta.classes[1], "\"one\"");
    (void)snprintf(meta.classes[2], sizeof meta.classes[2], "zwei \xc3\xa4");
}

TEST(metadata_is_read_back_bit_for_bit)
{
    const char *wrong = NULL;
    make_meta();
    EXPECT(spec_meta_encode(&meta, text, sizeof text, pairs) == SH_OK);
    EXPECT(spec_meta_decode(pairs, SPEC_META_PAIRS, &back, &wrong) == SH_OK);
    EXPECT_MEM(&back.model, &meta.model, sizeof meta.model);
    EXPECT_MEM(back.mean, meta.mean, sizeof meta.mean);
    EXPECT_MEM(back.std, meta.std, sizeof meta.std);
    EXPECT_MEM(&back.scale, &meta.scale, sizeof meta.scale);
    EXPECT_MEM(back.spec, meta.spec, sizeof meta.spec);
    EXPECT_MEM(&back.reading, &meta.reading, sizeof meta.reading);
    EXPECT_EQ(back.class_count, 3);
    EXPECT_STR(back.classes[1], "\"one\"");
    EXPECT_STR(back.classes[2], "zwei \xc3\xa4");
    EXPECT(back.reproducible);
}

TEST(equal_metadata_has_equal_text_with_sorted_keys)
{
    make_meta();
    EXPECT(spec_meta_encode(&meta, text, sizeof text, pairs) == SH_OK);
    for (unsigned i = 1; i < SPEC_META_PAIRS; i++) {
        EXPECT(strcmp(pairs[i - 1].key, pairs[i].key) < 0);
    }
    EXPECT_STR(pairs[0].value, "[\"zero\",\"\\\"one\\\"\",\"zwei \xc3\xa4\"]");
    EXPECT_STR(pairs[3].value,
               "{\"audio\":{\"frames\":64,\"hop\":10,\"label\":\"folder\",\"mels\":40,"
               "\"rate\":8000,\"window\":25}}");
    EXPECT_STR(pairs[4].value, "cross_entropy");
    EXPECT_STR(pairs[5].value, "{\"input\":[1,28,28],\"layers\":[{\"flatten\":{}},{\"dense\":{"
                               "\"bias\":true,\"units\":3}}]}");
    EXPECT_STR(pairs[6].value, "{\"mean\":[0.130659997],\"scale\":0.00392156886,"
                               "\"std\":[0.308108002]}");
}

TEST(text_that_is_too_small_is_refused)
{
    make_meta();
    EXPECT(spec_meta_encode(&meta, text, 100, pairs) == SH_ERR_LIMIT);
}

static const struct {
    const char *key;
    const char *value; /* NULL: the key is missing */
    enum sh_err err;
} DAMAGE[] = {
    {"shoal.format", NULL, SH_ERR_CORRUPT},
    {"shoal.format", "2", SH_ERR_VERSION},
    {"shoal.model", "{\"input\":[1]}", SH_ERR_CORRUPT},
    {"shoal.model", NULL, SH_ERR_CORRUPT},
    {"shoal.input", NULL, SH_ERR_CORRUPT},
    {"shoal.input", "[]", SH_ERR_CORRUPT},
    {"shoal.input", "{\"audio\":{\"mels\":0}}", SH_ERR_CORRUPT},
    {"shoal.input", "{\"smell\":{}}", SH_ERR_CORRUPT},
    {"shoal.loss", "huber", SH_ERR_CORRUPT},
    {"shoal.reproducible", "yes", SH_ERR_CORRUPT},
    {"shoal.spec", "a5", SH_ERR_CORRUPT},
    {"shoal.classes", "{}", SH_ERR_CORRUPT},
    {"shoal.classes", "[1]", SH_ERR_CORRUPT},
    {"shoal.features", "[\"a\",\"b\"]", SH_ERR_CORRUPT},
    {"shoal.normalize", "{\"mean\":[0,0],\"scale\":1,\"std\":[1,1]}", SH_ERR_CORRUPT},
    {"shoal.normalize", "{\"mean\":[0],\"scale\":1,\"std\":[0]}", SH_ERR_CORRUPT},
    {"shoal.normalize", "{\"mean\":[0],\"std\":[1]}", SH_ERR_CORRUPT},
    {"shoal.normalize", "{\"mean\":[0],\"scale\":0,\"std\":[1]}", SH_ERR_CORRUPT},
    {"shoal.normalize", "{\"mean\":[1e300],\"scale\":1,\"std\":[1]}", SH_ERR_CORRUPT},
    {"shoal.normalize", "nonsense", SH_ERR_CORRUPT},
};

TEST_ROWS(damaged_metadata_names_the_key, DAMAGE)
{
    const char *wrong = NULL;
    make_meta();
    EXPECT(spec_meta_encode(&meta, text, sizeof text, pairs) == SH_OK);
    for (unsigned i = 0; i < SPEC_META_PAIRS; i++) {
        if (strcmp(pairs[i].key, DAMAGE[tst_row].key) == 0) {
            pairs[i].key = DAMAGE[tst_row].value != NULL ? pairs[i].key : "other";
            pairs[i].value = DAMAGE[tst_row].value != NULL ? DAMAGE[tst_row].value : "";
        }
    }
    EXPECT(spec_meta_decode(pairs, SPEC_META_PAIRS, &back, &wrong) == DAMAGE[tst_row].err);
    EXPECT_STR(wrong, DAMAGE[tst_row].key);
}
