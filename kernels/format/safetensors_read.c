/* SPDX-License-Identifier: Apache-2.0
 *
 * Room for everything is taken before the header is parsed: its size bounds the entries it can hold
 * and the bytes of its strings. */
#include "kernels/format/json.h"
#include "kernels/format/safetensors.h"

#include <stdlib.h>
#include <string.h>

enum {
    SIZE_BYTES = 8,       /* of the header's size */
    WORD_BYTES_MAX = 16,  /* of a dtype or a field's name, terminator included */
    TENSOR_JSON_MIN = 50, /* bytes of the shortest tensor: "a":{"dtype":"F32","shape":[],... */
    META_JSON_MIN = 5     /* of the shortest entry of metadata */
};

struct reader {
    struct kn_json json;
    struct kn_safetensors *file;
    size_t text_used;
    size_t text_room;
    const uint8_t *data;
    uint64_t data_size;
    bool metas_seen;
    struct kn_diag *diag;
};

static enum kn_err syntax_fail(const struct reader *r, const char *what)
{
    return kn_fail(r->diag, KN_ERR_CORRUPT, "the header at byte %zu: %s", SIZE_BYTES + r->json.at,
                   what);
}

/* A string into the file's text; at most `most` bytes with its terminator. */
static const char *take_string(struct reader *r, size_t most)
{
    size_t room = r->text_room - r->text_used;
    char *out = r->file->text + r->text_used;
    if (!kn_json_string(&r->json, out, room < most ? room : most)) {
        return NULL;
    }
    r->text_used += strlen(out) + 1;
    return out;
}

static enum kn_err read_metas(struct reader *r)
{
    struct kn_safetensors *f = r->file;
    if (r->metas_seen) {
        return syntax_fail(r, "__metadata__ comes twice");
    }
    r->metas_seen = true;
    if (!kn_json_take(&r->json, '{')) {
        return syntax_fail(r, "__metadata__ is an object of strings");
    }
    if (kn_json_take(&r->json, '}')) {
        return KN_OK;
    }
    do {
        if (f->meta_count == KN_SAFETENSORS_META_MAX) {
            return kn_fail(r->diag, KN_ERR_LIMIT, "more than %d entries of metadata",
                           KN_SAFETENSORS_META_MAX);
        }
        struct kn_meta *m = &f->meta[f->meta_count];
        m->key = take_string(r, SIZE_MAX);
        m->value = m->key != NULL && kn_json_take(&r->json, ':') ? take_string(r, SIZE_MAX) : NULL;
        if (m->value == NULL) {
            return syntax_fail(r, "__metadata__ is an object of strings");
        }
        f->meta_count++;
    } while (kn_json_take(&r->json, ','));
    return kn_json_take(&r->json, '}') ? KN_OK : syntax_fail(r, "expected , or }");
}

static enum kn_err read_shape(struct reader *r, struct kn_tensor *t)
{
    if (!kn_json_take(&r->json, '[')) {
        return syntax_fail(r, "a shape is a list of numbers");
    }
    if (kn_json_take(&r->json, ']')) {
        return KN_OK;
    }
    do {
        if (t->rank == KN_TENSOR_RANK_MAX) {
            return syntax_fail(r, "a shape of more than 8 dimensions");
        }
        if (!kn_json_u64(&r->json, &t->shape[t->rank])) {
            return syntax_fail(r, "a shape is a list of numbers");
        }
        t->rank++;
    } while (kn_json_take(&r->json, ','));
    return kn_json_take(&r->json, ']') ? KN_OK : syntax_fail(r, "expected , or ]");
}

static enum kn_err read_offsets(struct reader *r, uint64_t *begin, uint64_t *end)
{
    bool good = kn_json_take(&r->json, '[') && kn_json_u64(&r->json, begin) &&
                kn_json_take(&r->json, ',') && kn_json_u64(&r->json, end) &&
                kn_json_take(&r->json, ']');
    return good ? KN_OK : syntax_fail(r, "data_offsets is a list of two numbers");
}

static enum kn_err read_dtype(struct reader *r, struct kn_tensor *t)
{
    char text[WORD_BYTES_MAX];
    if (!kn_json_string(&r->json, text, sizeof text)) {
        return syntax_fail(r, "dtype is a short string");
    }
    if (strcmp(text, "F32") == 0 || strcmp(text, "I64") == 0) {
        t->dtype = text[0] == 'F' ? KN_DTYPE_F32 : KN_DTYPE_I64;
        return KN_OK;
    }
    return kn_fail(r->diag, KN_ERR_UNSUPPORTED, "a tensor of type %s; F32 and I64 can be read",
                   text);
}

/* Where a tensor lies, kept beside it until all are known. */
struct extent {
    uint64_t begin;
    uint64_t end;
};

enum field { FIELD_NONE = 0, FIELD_DTYPE = 1, FIELD_SHAPE = 2, FIELD_OFFSETS = 4, FIELD_ALL = 7 };

static enum field field_named(const char *key)
{
    if (strcmp(key, "dtype") == 0) {
        return FIELD_DTYPE;
    }
    if (strcmp(key, "shape") == 0) {
        return FIELD_SHAPE;
    }
    return strcmp(key, "data_offsets") == 0 ? FIELD_OFFSETS : FIELD_NONE;
}

static enum kn_err read_field(struct reader *r, struct kn_tensor *t, struct extent *x,
                              unsigned *seen)
{
    char key[WORD_BYTES_MAX];
    enum field field = FIELD_NONE;
    if (kn_json_string(&r->json, key, sizeof key) && kn_json_take(&r->json, ':')) {
        field = field_named(key);
    }
    if (field == FIELD_NONE || (*seen & (unsigned)field) != 0) {
        return syntax_fail(r, "expected dtype, shape or data_offsets, each once");
    }
    *seen |= (unsigned)field;
    if (field == FIELD_DTYPE) {
        return read_dtype(r, t);
    }
    return field == FIELD_SHAPE ? read_shape(r, t) : read_offsets(r, &x->begin, &x->end);
}

static enum kn_err read_tensor(struct reader *r, struct kn_tensor *t)
{
    struct extent x = {0};
    unsigned seen = 0;
    if (!kn_json_take(&r->json, '{')) {
        return syntax_fail(r, "a tensor is an object");
    }
    do {
        enum kn_err err = read_field(r, t, &x, &seen);
        if (err != KN_OK) {
            return err;
        }
    } while (kn_json_take(&r->json, ','));
    if (!kn_json_take(&r->json, '}') || seen != FIELD_ALL) {
        return syntax_fail(r, "a tensor has dtype, shape and data_offsets");
    }
    if (x.begin > x.end || x.end > r->data_size || kn_tensor_size(t) != x.end - x.begin) {
        return kn_fail(r->diag, KN_ERR_CORRUPT,
                       "tensor %.80s: bytes %llu to %llu of %llu do not hold its shape", t->name,
                       (unsigned long long)x.begin, (unsigned long long)x.end,
                       (unsigned long long)r->data_size);
    }
    t->data = r->data + x.begin;
    return KN_OK;
}

static enum kn_err read_entry(struct reader *r)
{
    struct kn_safetensors *f = r->file;
    const char *name = take_string(r, KN_TENSOR_NAME_BYTES_MAX);
    if (name == NULL || name[0] == '\0' || !kn_json_take(&r->json, ':')) {
        return syntax_fail(r, "expected a name of 1 to 511 bytes of UTF-8 and a colon");
    }
    if (strcmp(name, "__metadata__") == 0) {
        return read_metas(r);
    }
    if (f->count == KN_TENSORS_MAX) {
        return kn_fail(r->diag, KN_ERR_LIMIT, "more than %d tensors", KN_TENSORS_MAX);
    }
    struct kn_tensor *t = &f->tensor[f->count];
    t->name = name;
    f->count++;
    return read_tensor(r, t);
}

static enum kn_err read_header(struct reader *r)
{
    if (!kn_json_take(&r->json, '{')) {
        return syntax_fail(r, "it begins with {");
    }
    if (!kn_json_take(&r->json, '}')) {
        do {
            enum kn_err err = read_entry(r);
            if (err != KN_OK) {
                return err;
            }
        } while (kn_json_take(&r->json, ','));
        if (!kn_json_take(&r->json, '}')) {
            return syntax_fail(r, "expected , or }");
        }
    }
    return kn_json_end(&r->json) ? KN_OK : syntax_fail(r, "bytes after its end");
}

static int tensor_by_place(const void *left, const void *right)
{
    const struct kn_tensor *a = left;
    const struct kn_tensor *b = right;
    if (a->data != b->data) {
        return (uintptr_t)a->data < (uintptr_t)b->data ? -1 : 1;
    }
    uint64_t x = kn_tensor_size(a);
    uint64_t y = kn_tensor_size(b);
    return x < y ? -1 : (x > y ? 1 : 0);
}

static int tensor_by_name(const void *left, const void *right)
{
    const struct kn_tensor *a = left;
    const struct kn_tensor *b = right;
    return strcmp(a->name, b->name);
}

static int meta_by_key(const void *left, const void *right)
{
    const struct kn_meta *a = left;
    const struct kn_meta *b = right;
    return strcmp(a->key, b->key);
}

/* No byte belongs to two tensors or to none; no name comes twice. */
static enum kn_err verify(const struct reader *r)
{
    struct kn_safetensors *f = r->file;
    uint64_t at = 0;
    qsort(f->tensor, f->count, sizeof *f->tensor, tensor_by_place);
    for (uint32_t i = 0; i < f->count; i++) {
        if ((const uint8_t *)f->tensor[i].data != r->data + at) {
            return kn_fail(r->diag, KN_ERR_CORRUPT, "tensor %.80s leaves a hole or an overlap",
                           f->tensor[i].name);
        }
        at += kn_tensor_size(&f->tensor[i]);
    }
    if (at != r->data_size) {
        return kn_fail(r->diag, KN_ERR_CORRUPT, "the tensors hold %llu bytes, the file %llu",
                       (unsigned long long)at, (unsigned long long)r->data_size);
    }
    qsort(f->tensor, f->count, sizeof *f->tensor, tensor_by_name);
    for (uint32_t i = 1; i < f->count; i++) {
        if (strcmp(f->tensor[i - 1].name, f->tensor[i].name) == 0) {
            return kn_fail(r->diag, KN_ERR_CORRUPT, "two tensors named %.80s", f->tensor[i].name);
        }
    }
    qsort(f->meta, f->meta_count, sizeof *f->meta, meta_by_key);
    for (uint32_t i = 1; i < f->meta_count; i++) {
        if (strcmp(f->meta[i - 1].key, f->meta[i].key) == 0) {
            return kn_fail(r->diag, KN_ERR_CORRUPT, "two metadata entries named %.80s",
                           f->meta[i].key);
        }
    }
    return KN_OK;
}

static size_t at_most(size_t value, size_t most)
{
    return value < most ? value : most;
}

static enum kn_err read_file(struct reader *r)
{
    struct kn_safetensors *f = r->file;
    size_t json = r->json.size;
    f->tensor = calloc(at_most(json / TENSOR_JSON_MIN + 1, KN_TENSORS_MAX), sizeof *f->tensor);
    f->meta = calloc(at_most(json / META_JSON_MIN + 1, KN_SAFETENSORS_META_MAX), sizeof *f->meta);
    f->text = malloc(json + 1);
    r->text_room = json + 1;
    if (f->tensor == NULL || f->meta == NULL || f->text == NULL) {
        return kn_fail(r->diag, KN_ERR_MEMORY, "no memory for the header");
    }
    enum kn_err err = read_header(r);
    return err == KN_OK ? verify(r) : err;
}

enum kn_err kn_safetensors_read(struct kn_safetensors *file, const uint8_t *bytes, size_t size,
                                struct kn_diag *diag)
{
    uint64_t json = 0;
    *file = (struct kn_safetensors){0};
    if (size < SIZE_BYTES) {
        return kn_fail(diag, KN_ERR_CORRUPT, "%zu bytes are no safetensors file", size);
    }
    memcpy(&json, bytes, sizeof json);
    if (json > KN_SAFETENSORS_HEADER_MAX) {
        return kn_fail(diag, KN_ERR_LIMIT, "a header of %llu bytes, at most %d",
                       (unsigned long long)json, KN_SAFETENSORS_HEADER_MAX);
    }
    if (json > size - SIZE_BYTES) {
        return kn_fail(diag, KN_ERR_CORRUPT, "truncated: a header of %llu bytes in a file of %zu",
                       (unsigned long long)json, size);
    }
    struct reader r = {.json = {.text = bytes + SIZE_BYTES, .size = (size_t)json},
                       .file = file,
                       .data = bytes + SIZE_BYTES + json,
                       .data_size = size - SIZE_BYTES - json,
                       .diag = diag};
    enum kn_err err = read_file(&r);
    if (err != KN_OK) {
        kn_safetensors_close(file);
    }
    return err;
}

void kn_safetensors_close(struct kn_safetensors *file)
{
    free(file->tensor);
    free(file->meta);
    free(file->text);
    *file = (struct kn_safetensors){0};
}

const struct kn_tensor *kn_safetensors_find(const struct kn_safetensors *file, const char *name)
{
    const struct kn_tensor key = {.name = name};
    return file->count > 0 ? bsearch(&key, file->tensor, file->count, sizeof key, tensor_by_name)
                           : NULL;
}

const char *kn_safetensors_meta(const struct kn_safetensors *file, const char *key)
{
    const struct kn_meta wanted = {.key = key};
    const struct kn_meta *found =
        file->meta_count > 0
            ? bsearch(&wanted, file->meta, file->meta_count, sizeof wanted, meta_by_key)
            : NULL;
    return found != NULL ? found->value : NULL;
}
