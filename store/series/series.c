/* SPDX-License-Identifier: Apache-2.0 */
#include "store/series/series.h"

enum {
    VERSION = 1,
    POINT_BYTES = 1 + 8 + 8,
    ROW_HEAD_BYTES = 1 + 8,
    KEY_BYTES = 1 + 8 + 1 + SH_NAME_MAX + 8 + 1
};

struct key {
    uint8_t bytes[KEY_BYTES];
    size_t size;
};

static void add_u8(struct key *key, uint8_t value)
{
    SH_CHECK_CMP(key->size, <, sizeof key->bytes);
    key->bytes[key->size++] = value;
}

static void add_u64(struct key *key, uint64_t value)
{
    SH_CHECK_CMP(key->size + 8, <=, sizeof key->bytes);
    sh_key_u64(key->bytes + key->size, value);
    key->size += 8;
}

static struct sh_span span_of(const struct key *key)
{
    return KV_SPAN(key->bytes, key->size);
}

/* 'm', 'l' or 'e', then the job. */
static struct key start_key(char kind, uint64_t job)
{
    struct key key = {.size = 0};
    add_u8(&key, (uint8_t)kind);
    add_u64(&key, job);
    return key;
}

static struct key metric_key(uint64_t job, const char *name)
{
    size_t size = strlen(name);
    SH_CHECK_CMP(size, >, 0);
    SH_CHECK_CMP(size, <=, SH_NAME_MAX);
    struct key key = start_key('m', job);
    add_u8(&key, (uint8_t)size);
    memcpy(key.bytes + key.size, name, size);
    key.size += size;
    return key;
}

/* The first key after all that begin with prefix: the number in it plus one. */
static struct key key_past(const struct key *prefix)
{
    struct key past = *prefix;
    while (past.size > 0 && past.bytes[past.size - 1] == 0xff) {
        past.size--;
    }
    SH_CHECK_CMP(past.size, >, 0); /* a key begins with a letter */
    past.bytes[past.size - 1]++;
    return past;
}

void series_put_point(const struct series *series, struct kv_batch *batch, uint64_t job,
                      const char *name, const struct series_point *point)
{
    uint8_t bytes[POINT_BYTES];
    struct key key = metric_key(job, name);
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    add_u64(&key, point->step);
    sh_put_u8(&w, VERSION);
    sh_put_f64(&w, point->value);
    sh_put_u64(&w, point->wall_us);
    SH_CHECK(!w.full);
    kv_batch_put(batch, series->cf, span_of(&key), KV_SPAN(bytes, w.used));
}

static void put_row(const struct series *series, struct kv_batch *batch, struct key *key,
                    const struct series_row *row)
{
    uint8_t bytes[ROW_HEAD_BYTES + SERIES_TEXT_MAX];
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    SH_CHECK_CMP(row->text.size, <=, SERIES_TEXT_MAX);
    add_u64(key, row->seq);
    sh_put_u8(&w, VERSION);
    sh_put_u64(&w, row->wall_us);
    sh_put_bytes(&w, row->text.at, row->text.size);
    SH_CHECK(!w.full);
    kv_batch_put(batch, series->cf, span_of(key), KV_SPAN(bytes, w.used));
}

void series_put_line(const struct series *series, struct kv_batch *batch, uint64_t job,
                     const struct series_row *row)
{
    struct key key = start_key('l', job);
    put_row(series, batch, &key, row);
}

void series_put_event(const struct series *series, struct kv_batch *batch, uint64_t job,
                      const struct series_row *row)
{
    struct key key = start_key('e', job);
    put_row(series, batch, &key, row);
}

void series_drop_job(const struct series *series, struct kv_batch *batch, uint64_t job)
{
    static const char kinds[] = {'m', 'l', 'e'};
    for (size_t i = 0; i < sizeof kinds; i++) {
        struct key low = start_key(kinds[i], job);
        struct key high = key_past(&low);
        kv_batch_del_range(batch, series->cf, span_of(&low), span_of(&high));
    }
}

/* The first job from this one on with rows of a kind; UINT64_MAX: none. */
static enum sh_err next_job(const struct series *series, char kind, uint64_t from, uint64_t *job)
{
    struct key low = start_key(kind, from);
    struct key high = {.size = 0};
    struct kv_iter *iter = NULL;
    *job = UINT64_MAX;
    add_u8(&high, (uint8_t)kind + 1);
    enum sh_err err =
        kv_iter_open(series->kv, NULL, series->cf, span_of(&low), span_of(&high), &iter);
    if (err != SH_OK) {
        return err;
    }
    if (kv_iter_first(iter) && kv_iter_key(iter).size >= 9) {
        *job = sh_key_u64_get(kv_iter_key(iter).at + 1);
    }
    err = kv_iter_error(iter);
    kv_iter_close(iter);
    return err;
}

enum sh_err series_jobs(const struct series *series, uint64_t from, uint64_t *out,
                        uint32_t capacity, uint32_t *count)
{
    static const char kinds[] = {'m', 'l', 'e'};
    enum sh_err err = SH_OK;
    uint64_t least = 0;
    *count = 0;
    while (err == SH_OK && *count < capacity && least != UINT64_MAX) {
        least = UINT64_MAX;
        for (size_t i = 0; err == SH_OK && i < sizeof kinds; i++) {
            uint64_t job = UINT64_MAX;
            err = next_job(series, kinds[i], from, &job);
            least = job < least ? job : least;
        }
        if (err == SH_OK && least != UINT64_MAX) {
            out[(*count)++] = least;
            from = least + 1;
        }
    }
    return err;
}

/* An iterator over the keys that begin with prefix, from the number given on. */
static enum sh_err open_from(const struct series *series, const struct key *prefix, uint64_t from,
                             struct kv_iter **iter)
{
    struct key low = *prefix;
    struct key high = key_past(prefix);
    add_u64(&low, from);
    return kv_iter_open(series->kv, NULL, series->cf, span_of(&low), span_of(&high), iter);
}

/* The number that the iterator's key ends with. */
static enum sh_err read_number(struct kv_iter *iter, const struct key *prefix, uint64_t *number)
{
    struct sh_span key = kv_iter_key(iter);
    if (key.size != prefix->size + 8) {
        return SH_ERR_CORRUPT;
    }
    *number = sh_key_u64_get(key.at + prefix->size);
    return SH_OK;
}

static enum sh_err read_point(struct kv_iter *iter, const struct key *prefix,
                              struct series_point *out)
{
    struct sh_span value = kv_iter_value(iter);
    struct sh_reader r = sh_reader_over(value.at, value.size);
    uint8_t version = sh_get_u8(&r);
    out->value = sh_get_f64(&r);
    out->wall_us = sh_get_u64(&r);
    enum sh_err err = sh_reader_end(&r);
    if (err == SH_OK && version != VERSION) {
        err = SH_ERR_VERSION;
    }
    return err == SH_OK ? read_number(iter, prefix, &out->step) : err;
}

enum sh_err series_points(const struct series *series, uint64_t job, const char *name,
                          uint64_t from, struct series_point *out, uint32_t capacity,
                          uint32_t *count)
{
    struct key prefix = metric_key(job, name);
    struct kv_iter *iter = NULL;
    *count = 0;
    enum sh_err err = open_from(series, &prefix, from, &iter);
    if (err != SH_OK) {
        return err;
    }
    bool more = kv_iter_first(iter);
    while (more && *count < capacity && err == SH_OK) {
        err = read_point(iter, &prefix, &out[*count]);
        *count += err == SH_OK ? 1 : 0;
        more = err == SH_OK && kv_iter_next(iter);
    }
    if (err == SH_OK) {
        err = kv_iter_error(iter);
    }
    kv_iter_close(iter);
    return err;
}

enum sh_err series_newest(const struct series *series, uint64_t job, const char *name,
                          struct series_point *out)
{
    struct key prefix = metric_key(job, name);
    struct kv_iter *iter = NULL;
    enum sh_err err = open_from(series, &prefix, 0, &iter);
    if (err != SH_OK) {
        return err;
    }
    if (kv_iter_last(iter)) {
        err = read_point(iter, &prefix, out);
    } else {
        err = kv_iter_error(iter);
        err = err == SH_OK ? SH_ERR_NOT_FOUND : err;
    }
    kv_iter_close(iter);
    return err;
}

/* Moves past all points of the name the iterator stands on, having copied that name. */
static enum sh_err take_name(struct kv_iter *iter, const struct key *prefix,
                             struct series_name *out, bool *more)
{
    struct sh_span span = kv_iter_key(iter);
    struct key key = {.size = prefix->size + 1};
    size_t size = span.size > prefix->size ? span.at[prefix->size] : 0;
    if (size == 0 || size > SH_NAME_MAX || span.size != key.size + size + 8) {
        return SH_ERR_CORRUPT;
    }
    memcpy(out->text, span.at + key.size, size);
    out->text[size] = '\0';
    key.size += size;
    memcpy(key.bytes, span.at, key.size);
    struct key past = key_past(&key);
    *more = kv_iter_seek(iter, span_of(&past));
    return SH_OK;
}

enum sh_err series_names(const struct series *series, uint64_t job, struct series_name *out,
                         uint32_t capacity, uint32_t *count)
{
    struct key prefix = start_key('m', job);
    struct key high = key_past(&prefix);
    struct kv_iter *iter = NULL;
    *count = 0;
    enum sh_err err =
        kv_iter_open(series->kv, NULL, series->cf, span_of(&prefix), span_of(&high), &iter);
    if (err != SH_OK) {
        return err;
    }
    bool more = kv_iter_first(iter);
    while (more && *count < capacity && err == SH_OK) {
        err = take_name(iter, &prefix, &out[*count], &more);
        *count += err == SH_OK ? 1 : 0;
    }
    if (err == SH_OK) {
        err = kv_iter_error(iter);
    }
    kv_iter_close(iter);
    return err;
}

struct reading {
    struct series_row *out;
    uint32_t capacity;
    uint8_t *buffer;
    size_t size;
    size_t used;
    uint32_t count;
};

/* LIMIT when there is no room for the row. */
static enum sh_err take_row(struct reading *reading, struct kv_iter *iter, const struct key *prefix)
{
    struct sh_span value = kv_iter_value(iter);
    struct series_row row;
    struct sh_reader r = sh_reader_over(value.at, value.size);
    uint8_t version = sh_get_u8(&r);
    row.wall_us = sh_get_u64(&r);
    enum sh_err err = sh_reader_end(&r);
    size_t size = sh_reader_left(&r);
    if (err == SH_OK && version != VERSION) {
        err = SH_ERR_VERSION;
    }
    if (err == SH_OK) {
        err = read_number(iter, prefix, &row.seq);
    }
    if (err != SH_OK) {
        return err;
    }
    if (reading->count == reading->capacity || size > reading->size - reading->used) {
        return SH_ERR_LIMIT;
    }
    row.text = KV_SPAN(reading->buffer + reading->used, size);
    sh_get_bytes(&r, reading->buffer + reading->used, size);
    reading->used += size;
    reading->out[reading->count++] = row;
    return SH_OK;
}

static enum sh_err read_rows(const struct series *series, const struct key *prefix, uint64_t from,
                             struct reading *reading, uint32_t *count)
{
    struct kv_iter *iter = NULL;
    *count = 0;
    SH_CHECK_CMP(reading->capacity, >, 0);
    enum sh_err err = open_from(series, prefix, from, &iter);
    if (err != SH_OK) {
        return err;
    }
    bool more = kv_iter_first(iter);
    while (more && err == SH_OK) {
        err = take_row(reading, iter, prefix);
        more = err == SH_OK && kv_iter_next(iter);
    }
    if (err == SH_OK) {
        err = kv_iter_error(iter);
    }
    kv_iter_close(iter);
    if (err == SH_ERR_LIMIT && reading->count > 0) {
        err = SH_OK;
    }
    *count = err == SH_OK ? reading->count : 0;
    return err;
}

enum sh_err series_lines(const struct series *series, uint64_t job, uint64_t from,
                         struct series_row *out, uint32_t capacity, void *buffer, size_t size,
                         uint32_t *count)
{
    struct key prefix = start_key('l', job);
    struct reading reading = {.out = out, .capacity = capacity, .buffer = buffer, .size = size};
    return read_rows(series, &prefix, from, &reading, count);
}

static void reverse(struct series_row *rows, uint32_t count)
{
    for (uint32_t i = 0; i < count / 2; i++) {
        struct series_row kept = rows[i];
        rows[i] = rows[count - 1 - i];
        rows[count - 1 - i] = kept;
    }
}

enum sh_err series_lines_newest(const struct series *series, uint64_t job, uint64_t from,
                                uint64_t before, struct series_row *out, uint32_t capacity,
                                void *buffer, size_t size, uint32_t *count)
{
    struct key prefix = start_key('l', job);
    struct key high = prefix;
    struct reading reading = {.out = out, .capacity = capacity, .buffer = buffer, .size = size};
    struct kv_iter *iter = NULL;
    *count = 0;
    SH_CHECK_CMP(capacity, >, 0);
    add_u64(&high, before);
    enum sh_err err = open_from(series, &prefix, from, &iter);
    if (err != SH_OK) {
        return err;
    }
    bool more = kv_iter_seek_before(iter, span_of(&high));
    while (more && err == SH_OK) {
        err = take_row(&reading, iter, &prefix);
        more = err == SH_OK && kv_iter_prev(iter);
    }
    if (err == SH_OK) {
        err = kv_iter_error(iter);
    }
    kv_iter_close(iter);
    if (err == SH_ERR_LIMIT && reading.count > 0) {
        err = SH_OK;
    }
    *count = err == SH_OK ? reading.count : 0;
    reverse(out, *count);
    return err;
}

enum sh_err series_events(const struct series *series, uint64_t job, uint64_t from,
                          struct series_row *out, uint32_t capacity, void *buffer, size_t size,
                          uint32_t *count)
{
    struct key prefix = start_key('e', job);
    struct reading reading = {.out = out, .capacity = capacity, .buffer = buffer, .size = size};
    return read_rows(series, &prefix, from, &reading, count);
}
