/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/format/safetensors.h"

#include "tst.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM = 1 << 16 };

struct buffer {
    uint8_t bytes[ROOM];
    size_t size;
    size_t most; /* what goes beyond is refused */
};

static enum kn_err put(void *context, const void *bytes, size_t size)
{
    struct buffer *b = context;
    if (size > b->most - b->size) {
        return KN_ERR_IO;
    }
    memcpy(b->bytes + b->size, bytes, size);
    b->size += size;
    return KN_OK;
}

static const float weights[6] = {1.5f, -2.0f, 0.25f, 3.0f, 1e-30f, -0.0f};
static const int64_t step[1] = {-7};
static const struct kn_tensor tensors[] = {
    {.name = "w", .dtype = KN_DTYPE_F32, .rank = 2, .shape = {2, 3}, .data = weights},
    {.name = "b.\"1\"", .dtype = KN_DTYPE_F32, .rank = 1, .shape = {0}, .data = weights},
    {.name = "a", .dtype = KN_DTYPE_I64, .rank = 0, .data = step},
};
static const struct kn_meta metas[] = {{"model", "line 1\n\xc3\xa4"}, {"format", "1"}};

static const char expected_header[] =
    "{\"__metadata__\":{\"format\":\"1\",\"model\":\"line 1\\u000a\xc3\xa4\"},"
    "\"a\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]},"
    "\"b.\\\"1\\\"\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[8,8]},"
    "\"w\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[8,32]}}";

static void write_all(struct buffer *b)
{
    *b = (struct buffer){.most = ROOM};
    const struct kn_sink sink = {put, b};
    EXPECT_EQ(kn_safetensors_write(tensors, 3, metas, 2, sink, NULL), KN_OK);
}

TEST(a_file_is_written_byte_for_byte_as_specified)
{
    static struct buffer b;
    write_all(&b);
    size_t text = sizeof expected_header - 1;
    size_t padded = (text + 7) / 8 * 8;
    uint64_t stated = 0;
    memcpy(&stated, b.bytes, sizeof stated);
    EXPECT_EQ(stated, padded);
    EXPECT_MEM(b.bytes + 8, expected_header, text);
    for (size_t i = text; i < padded; i++) {
        EXPECT_EQ(b.bytes[8 + i], ' ');
    }
    EXPECT_EQ(b.size, 8 + padded + 8 + sizeof weights);
    EXPECT_MEM(b.bytes + 8 + padded, step, sizeof step);
    EXPECT_MEM(b.bytes + 8 + padded + 8, weights, sizeof weights);
}

TEST(the_order_of_the_arguments_does_not_matter)
{
    static struct buffer b;
    static struct buffer other;
    const struct kn_tensor turned[] = {tensors[2], tensors[0], tensors[1]};
    const struct kn_meta turned_metas[] = {metas[1], metas[0]};
    write_all(&b);
    other.most = ROOM;
    const struct kn_sink sink = {put, &other};
    EXPECT_EQ(kn_safetensors_write(turned, 3, turned_metas, 2, sink, NULL), KN_OK);
    EXPECT_EQ(other.size, b.size);
    EXPECT_MEM(other.bytes, b.bytes, b.size);
}

TEST(what_was_written_is_read_back)
{
    static struct buffer b;
    struct kn_safetensors f;
    struct kn_diag diag = {""};
    write_all(&b);
    EXPECT_EQ(kn_safetensors_read(&f, b.bytes, b.size, &diag), KN_OK);
    EXPECT_EQ(f.count, 3);
    EXPECT_STR(f.tensor[1].name, "b.\"1\"");
    EXPECT_STR(kn_safetensors_meta(&f, "model"), "line 1\n\xc3\xa4");
    EXPECT(kn_safetensors_meta(&f, "absent") == NULL);
    const struct kn_tensor *w = kn_safetensors_find(&f, "w");
    EXPECT(w != NULL && w->rank == 2 && w->shape[1] == 3);
    EXPECT_MEM(w->data, weights, sizeof weights);
    EXPECT(kn_safetensors_find(&f, "v") == NULL);
    EXPECT_EQ(kn_safetensors_find(&f, "a")->dtype, KN_DTYPE_I64);
    static struct buffer again;
    again.most = ROOM;
    const struct kn_sink sink = {put, &again};
    EXPECT_EQ(kn_safetensors_write(f.tensor, f.count, f.meta, f.meta_count, sink, NULL), KN_OK);
    EXPECT_EQ(again.size, b.size);
    EXPECT_MEM(again.bytes, b.bytes, b.size);
    kn_safetensors_close(&f);
}

TEST(no_truncation_of_a_file_is_read)
{
    static struct buffer b;
    write_all(&b);
    for (size_t cut = 0; cut < b.size; cut++) {
        struct kn_safetensors f;
        struct kn_diag diag = {""};
        uint8_t *part = malloc(cut > 0 ? cut : 1);
        EXPECT(part != NULL);
        memcpy(part, b.bytes, cut);
        EXPECT_EQ(kn_safetensors_read(&f, part, cut, &diag), KN_ERR_CORRUPT);
        EXPECT(diag.text[0] != '\0' && f.tensor == NULL);
        free(part);
    }
}

/* Any one byte changed: read or refused, but what is read has every tensor inside the file. */
TEST(a_changed_byte_never_leads_outside_the_file)
{
    static struct buffer b;
    write_all(&b);
    for (size_t i = 0; i < b.size; i++) {
        for (uint32_t bit = 0; bit < 8; bit++) {
            struct kn_safetensors f;
            b.bytes[i] ^= (uint8_t)(1U << bit);
            if (kn_safetensors_read(&f, b.bytes, b.size, NULL) == KN_OK) {
                for (uint32_t t = 0; t < f.count; t++) {
                    const uint8_t *data = f.tensor[t].data;
                    EXPECT(data >= b.bytes);
                    EXPECT(data + kn_tensor_size(&f.tensor[t]) <= b.bytes + b.size);
                }
            }
            kn_safetensors_close(&f);
            b.bytes[i] ^= (uint8_t)(1U << bit);
        }
    }
}

#define F32(name, shape, begin, end)                                                               \
    "\"" name "\":{\"dtype\":\"F32\",\"shape\":[" shape "],\"data_offsets\":[" begin "," end "]}"

static const struct {
    const char *header;
    size_t data;
    enum kn_err err;
    const char *text; /* part of it */
} refused[] = {
    {"{" F32("a", "2", "0", "8") "," F32("b", "2", "4", "12") "}", 12, KN_ERR_CORRUPT, "overlap"},
    {"{" F32("a", "2", "0", "8") "," F32("b", "1", "12", "16") "}", 16, KN_ERR_CORRUPT, "hole"},
    {"{" F32("a", "2", "0", "8") "," F32("a", "1", "8", "12") "}", 12, KN_ERR_CORRUPT,
     "two tensors named a"},
    {"{" F32("a", "2", "0", "8") "}", 12, KN_ERR_CORRUPT, "hold 8 bytes, the file 12"},
    {"{" F32("a", "2", "0", "8") "}", 4, KN_ERR_CORRUPT, "do not hold its shape"},
    {"{" F32("a", "3", "0", "8") "}", 8, KN_ERR_CORRUPT, "do not hold its shape"},
    {"{" F32("a", "2", "8", "0") "}", 8, KN_ERR_CORRUPT, "do not hold its shape"},
    {"{" F32("a", "4611686018427387905,4", "0", "16") "}", 16, KN_ERR_CORRUPT, "do not hold"},
    {"{" F32("a", "18446744073709551616", "0", "8") "}", 8, KN_ERR_CORRUPT, "a shape is"},
    {"{" F32("a", "-2", "0", "8") "}", 8, KN_ERR_CORRUPT, "a shape is a list of numbers"},
    {"{" F32("a", "2.0", "0", "8") "}", 8, KN_ERR_CORRUPT, "expected , or ]"},
    {"{" F32("a", "02", "0", "8") "}", 8, KN_ERR_CORRUPT, "a shape is a list of numbers"},
    {"{" F32("a", "1,1,1,1,1,1,1,1,1", "0", "4") "}", 4, KN_ERR_CORRUPT, "8 dimensions"},
    {"{" F32("", "1", "0", "4") "}", 4, KN_ERR_CORRUPT, "expected a name"},
    {"{" F32("a\\u0000b", "1", "0", "4") "}", 4, KN_ERR_CORRUPT, "expected a name"},
    {"{" F32("a\xc0\x80", "1", "0", "4") "}", 4, KN_ERR_CORRUPT, "expected a name"},
    {"{" F32("a\\ud800", "1", "0", "4") "}", 4, KN_ERR_CORRUPT, "expected a name"},
    {"{" F32("a", "1", "0", "4") ",}", 4, KN_ERR_CORRUPT, "expected a name"},
    {"{" F32("a", "1", "0", "4") "} x", 4, KN_ERR_CORRUPT, "bytes after its end"},
    {"{\"a\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4, KN_ERR_UNSUPPORTED,
     "a tensor of type F16; F32 and I64 can be read"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, KN_ERR_CORRUPT, "has dtype, shape and"},
    {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
     KN_ERR_CORRUPT, "each once"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"shape\":[],\"data_offsets\":[0,4]}}", 4,
     KN_ERR_CORRUPT, "each once"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":1}}", 4, KN_ERR_CORRUPT,
     "each once"},
    {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, KN_ERR_CORRUPT, "comes twice"},
    {"{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}}", 0, KN_ERR_CORRUPT, "entries named k"},
    {"{\"__metadata__\":{\"k\":1}}", 0, KN_ERR_CORRUPT, "object of strings"},
    {"[]", 0, KN_ERR_CORRUPT, "it begins with {"},
    {"", 0, KN_ERR_CORRUPT, "it begins with {"},
};

TEST_ROWS(a_hostile_header_is_refused_and_says_why, refused)
{
    size_t header = strlen(refused[tst_row].header);
    size_t size = 8 + header + refused[tst_row].data;
    uint8_t *bytes = calloc(1, size);
    EXPECT(bytes != NULL);
    uint64_t stated = header;
    memcpy(bytes, &stated, sizeof stated);
    memcpy(bytes + 8, refused[tst_row].header, header);
    struct kn_safetensors f;
    struct kn_diag diag = {""};
    EXPECT_EQ(kn_safetensors_read(&f, bytes, size, &diag), refused[tst_row].err);
    if (strstr(diag.text, refused[tst_row].text) == NULL) {
        tst_fail(__FILE__, __LINE__, "\"%s\" in \"%s\"", refused[tst_row].text, diag.text);
    }
    EXPECT(f.count == 0 && f.text == NULL);
    free(bytes);
}

TEST(a_header_beyond_the_limit_is_refused)
{
    uint8_t bytes[16] = {1, 0, 16};
    struct kn_safetensors f;
    EXPECT_EQ(kn_safetensors_read(&f, bytes, sizeof bytes, NULL), KN_ERR_LIMIT);
}

TEST(escapes_and_white_space_of_other_writers_are_read)
{
    static const char header[] =
        "{ \"\\u0061\\/\\ud83d\\ude00\" : {\"data_offsets\": [0, 4],\n\"shape\":[1],"
        "\"dtype\":\"F32\"}}  ";
    uint8_t bytes[8 + sizeof header - 1 + 4] = {sizeof header - 1};
    memcpy(bytes + 8, header, sizeof header - 1);
    struct kn_safetensors f;
    struct kn_diag diag = {""};
    EXPECT_EQ(kn_safetensors_read(&f, bytes, sizeof bytes, &diag), KN_OK);
    EXPECT_STR(f.tensor[0].name, "a/\xf0\x9f\x98\x80");
    kn_safetensors_close(&f);
}

TEST(what_cannot_be_written_is_named)
{
    static struct buffer b;
    struct kn_diag diag;
    b.most = ROOM;
    const struct kn_sink sink = {put, &b};
    const struct kn_tensor pair[] = {tensors[0], tensors[0]};
    EXPECT_EQ(kn_safetensors_write(pair, 2, NULL, 0, sink, &diag), KN_ERR_INVALID);
    EXPECT_STR(diag.text, "two tensors named w");
    const struct kn_tensor broken = {.name = "\xff", .dtype = KN_DTYPE_F32, .data = weights};
    EXPECT_EQ(kn_safetensors_write(&broken, 1, NULL, 0, sink, &diag), KN_ERR_INVALID);
    const struct kn_meta twice[] = {metas[0], metas[0]};
    EXPECT_EQ(kn_safetensors_write(NULL, 0, twice, 2, sink, &diag), KN_ERR_INVALID);
    EXPECT_STR(diag.text, "two metadata entries named model");
    EXPECT_EQ(b.size, 0);
}

TEST(a_sink_that_fails_stops_the_writer)
{
    static struct buffer b;
    write_all(&b);
    size_t whole = b.size;
    for (size_t most = 0; most < whole; most++) {
        b.size = 0;
        b.most = most;
        const struct kn_sink sink = {put, &b};
        EXPECT_EQ(kn_safetensors_write(tensors, 3, metas, 2, sink, NULL), KN_ERR_IO);
    }
}

static void digest_of(const struct kn_tensor *list, uint32_t count, struct buffer *b)
{
    *b = (struct buffer){.most = ROOM};
    const struct kn_sink sink = {put, b};
    EXPECT_EQ(kn_tensors_digest(list, count, sink, NULL), KN_OK);
}

TEST(a_digest_is_taken_over_names_types_shapes_and_bytes)
{
    static struct buffer a;
    static struct buffer b;
    digest_of(tensors, 3, &a);
    static const uint8_t first[] = {1, 0, 0,    0,    'a',  2,    0,    0,    0,    0,   0,
                                    0, 0, 0xf9, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    EXPECT_MEM(a.bytes, first, sizeof first);
    const struct kn_tensor turned[] = {tensors[1], tensors[2], tensors[0]};
    digest_of(turned, 3, &b);
    EXPECT_EQ(a.size, b.size);
    EXPECT_MEM(a.bytes, b.bytes, a.size);
    struct kn_tensor reshaped[] = {tensors[0], tensors[1], tensors[2]};
    reshaped[0].shape[0] = 3;
    reshaped[0].shape[1] = 2;
    digest_of(reshaped, 3, &b);
    EXPECT(a.size == b.size && memcmp(a.bytes, b.bytes, a.size) != 0);
}
