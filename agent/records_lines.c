/* SPDX-License-Identifier: Apache-2.0
 *
 * Log lines among the records. */
#include "records_parts.h"

#include "base/host/host.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

#define LINE_BUFFER (RECORDS_LINES_MAX * (RECORDS_LINE_HEAD_BYTES + SERVICE_LINE_BYTES))

/* ---- lines in the store: generation, unit, member, own, then the text ---- */

static uint16_t put_line(uint8_t out[static RECORDS_LINE_HEAD_BYTES + SERVICE_LINE_BYTES],
                         const struct service_log_line *line)
{
    struct sh_writer w = sh_writer_over(out, RECORDS_LINE_HEAD_BYTES + SERVICE_LINE_BYTES);
    char text[SERVICE_LINE_BYTES];
    sh_put_u64(&w, line->generation);
    sh_put_u32(&w, line->unit);
    sh_put_u16(&w, line->member);
    sh_put_u8(&w, line->own);
    sh_put_bytes(&w, text, sh_text_copy(text, sizeof text, line->text));
    SH_CHECK(!w.full);
    return (uint16_t)w.used;
}

static enum sh_err get_line(struct sh_span bytes, struct service_log_line *line)
{
    struct sh_reader r = sh_reader_over(bytes.at, bytes.size);
    line->generation = sh_get_u64(&r);
    line->unit = sh_get_u32(&r);
    line->member = sh_get_u16(&r);
    line->own = sh_get_bool(&r);
    size_t size = sh_reader_left(&r);
    r.bad = r.bad || size >= sizeof line->text;
    sh_get_bytes(&r, line->text, r.bad ? 0 : size);
    line->text[r.bad ? 0 : size] = '\0';
    return r.bad ? SH_ERR_CORRUPT : SH_OK;
}

/* ---- writing ---- */

/* Grows with the wall clock so that lines of several agents merge in time order; the low bits tell
 * the writers apart. */
static uint64_t next_sequence(struct records *r)
{
    uint64_t now = sh_wall_us();
    SH_CHECK(pthread_mutex_lock(&r->lock) == 0);
    r->sequence = now > r->sequence ? now : r->sequence + 1;
    uint64_t sequence = r->sequence;
    SH_CHECK(pthread_mutex_unlock(&r->lock) == 0);
    return sequence * SERVICE_SEQUENCE_STEP + r->s->trust.node[0] % SERVICE_SEQUENCE_STEP;
}

void records_lines(struct records *r, uint64_t job, const struct service_log_line *lines,
                   size_t count)
{
    struct records_row *rows = calloc(count, sizeof *rows);
    struct kv_batch batch;
    if (rows == NULL) {
        return; /* as where the store refuses them: a job goes on without its words */
    }
    kv_batch_init(&batch);
    for (size_t i = 0; i < count; i++) {
        rows[i] =
            (struct records_row){.job = job, .step = next_sequence(r), .wall_us = sh_wall_us()};
        rows[i].size = put_line(rows[i].line, &lines[i]);
        records_row_store(r, &batch, &rows[i]);
    }
    records_keep(r, &batch);
    for (size_t i = 0; i < count; i++) {
        records_offer(r, &rows[i]);
    }
    free(rows);
}

/* ---- answering ---- */

/* Inserts by sequence. Beyond capacity the largest go, or with newest the smallest. */
static void merge_line(struct service_log_line *out, size_t capacity, bool newest, size_t *count,
                       const struct service_log_line *p)
{
    size_t low = 0;
    size_t high = *count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (out[middle].sequence < p->sequence) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    bool full = *count == capacity;
    bool known = low < *count && out[low].sequence == p->sequence;
    if (known || (full && (newest ? low == 0 : low == capacity))) {
        return;
    }
    if (full && newest) {
        memmove(&out[0], &out[1], (low - 1) * sizeof *out);
        out[low - 1] = *p;
        return;
    }
    size_t moved = (full ? capacity - 1 : *count) - low;
    memmove(&out[low + 1], &out[low], moved * sizeof *out);
    out[low] = *p;
    *count = full ? capacity : *count + 1;
}

/* One page of the store; what is wanted of it goes to out. */
struct page {
    struct series_row rows[RECORDS_LINES_MAX];
    struct service_log_line line;
    uint8_t buffer[LINE_BUFFER];
};

static bool is_wanted(const struct service_log_want *want, const struct service_log_line *line)
{
    bool unit = want->unit == SERVICE_LINE_ALL || line->unit == want->unit;
    return unit && line->sequence < want->before &&
           (want->generation == 0 || line->generation == want->generation);
}

static enum sh_err read_page(struct records *r, uint64_t job, const struct service_log_want *want,
                             uint64_t from, uint64_t before, struct page *page, uint32_t *count)
{
    if (want->newest) {
        return series_lines_newest(&r->s->series, job, from, before, page->rows, RECORDS_LINES_MAX,
                                   page->buffer, sizeof page->buffer, count);
    }
    return series_lines(&r->s->series, job, from, page->rows, RECORDS_LINES_MAX, page->buffer,
                        sizeof page->buffer, count);
}

static enum sh_err local_lines(struct records *r, uint64_t job, const struct service_log_want *want,
                               struct service_log_line *out, uint32_t capacity, size_t *count)
{
    struct page *page = malloc(sizeof *page);
    uint64_t from = want->from;
    uint64_t before = want->before;
    uint32_t read = RECORDS_LINES_MAX;
    enum sh_err err = page == NULL ? SH_ERR_NO_MEMORY : SH_OK;
    *count = 0;
    while (err == SH_OK && read > 0 && *count < capacity) {
        err = read_page(r, job, want, from, before, page, &read);
        for (uint32_t i = 0; err == SH_OK && i < read; i++) {
            page->line.sequence = page->rows[i].seq;
            page->line.wall_us = page->rows[i].wall_us;
            err = get_line(page->rows[i].text, &page->line);
            if (err == SH_OK && is_wanted(want, &page->line)) {
                merge_line(out, capacity, want->newest, count, &page->line);
            }
        }
        if (err == SH_OK && read > 0) {
            before = page->rows[0].seq;
            from = want->newest ? from : page->rows[read - 1].seq + 1;
        }
    }
    free(page);
    return err;
}

static void put_want(struct sh_writer *w, const struct service_log_want *want)
{
    sh_put_u64(w, want->from);
    sh_put_u64(w, want->before);
    sh_put_u8(w, want->newest);
    sh_put_u32(w, want->unit);
    sh_put_u64(w, want->generation);
}

static struct service_log_want get_want(struct sh_reader *r)
{
    struct service_log_want want = {.from = sh_get_u64(r)};
    want.before = sh_get_u64(r);
    want.newest = sh_get_bool(r);
    want.unit = sh_get_u32(r);
    want.generation = sh_get_u64(r);
    return want;
}

static enum sh_err answer_lines(struct records *r, struct sh_reader *request,
                                struct sh_writer *reply)
{
    uint64_t job = sh_get_u64(request);
    struct service_log_want want = get_want(request);
    uint32_t max = sh_get_u32(request);
    struct service_log_line *lines = calloc(RECORDS_LINES_MAX, sizeof *lines);
    size_t count = 0;
    bool good = !request->bad && max > 0 && max <= RECORDS_LINES_MAX;
    enum sh_err err = lines == NULL ? SH_ERR_NO_MEMORY : good ? SH_OK : SH_ERR_CORRUPT;
    if (err == SH_OK) {
        err = local_lines(r, job, &want, lines, max, &count);
    }
    sh_put_u32(reply, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        struct records_row row = {.step = lines[i].sequence, .wall_us = lines[i].wall_us};
        row.size = put_line(row.line, &lines[i]);
        records_row_put(reply, &row);
    }
    free(lines);
    return err == SH_OK && reply->full ? SH_ERR_LIMIT : err;
}

enum sh_err records_answer_logs(void *ctx, struct sh_span bytes, uint8_t *reply, size_t capacity,
                                size_t *reply_size)
{
    struct sh_reader r = sh_reader_over(bytes.at, bytes.size);
    struct sh_writer w = sh_writer_over(reply, capacity);
    enum sh_err err = sh_get_u8(&r) == RECORDS_GET ? answer_lines(ctx, &r, &w) : SH_ERR_INVALID;
    *reply_size = w.used;
    return err;
}

/* ---- reading ---- */

static void take_lines(struct records_question *q, struct sh_reader *reply)
{
    uint32_t count = sh_get_u32(reply);
    for (uint32_t i = 0; i < count && !reply->bad; i++) {
        struct records_row row;
        struct service_log_line line;
        records_row_get(reply, &row);
        line.sequence = row.step;
        line.wall_us = row.wall_us;
        struct sh_span text = {.at = row.line, .size = row.size};
        bool good = !reply->bad && line.sequence >= q->from && get_line(text, &line) == SH_OK;
        if (good) {
            merge_line(q->out, q->capacity, q->newest, &q->count, &line);
        }
    }
}

static int by_sequence(const void *a, const void *b)
{
    const struct service_log_line *x = a;
    const struct service_log_line *y = b;
    return x->sequence < y->sequence ? -1 : x->sequence > y->sequence;
}

/* One page, merged from everybody, to out. */
static enum sh_err ask_page(struct records *r, uint64_t job, const struct service_log_want *want,
                            struct service_log_line *out, size_t page, size_t *count,
                            uint64_t deadline)
{
    struct records_question q = {.kind = SERVICE_CALL_LOGS,
                                 .take = take_lines,
                                 .from = want->from,
                                 .newest = want->newest,
                                 .out = out,
                                 .capacity = page};
    struct sh_writer w = sh_writer_over(q.bytes, sizeof q.bytes);
    sh_put_u8(&w, RECORDS_GET);
    sh_put_u64(&w, job);
    put_want(&w, want);
    sh_put_u32(&w, (uint32_t)page);
    q.size = w.used;
    enum sh_err err = records_ask_all(r, &q, deadline);
    *count = q.count;
    return err;
}

enum sh_err records_read_lines(struct records *r, uint64_t job, const struct service_log_want *want,
                               struct service_log_line *out, size_t capacity, size_t *count,
                               uint64_t timeout_us)
{
    uint64_t deadline = sh_now_us() + timeout_us;
    struct service_log_want now = *want;
    bool more = true;
    *count = 0;
    while (more && *count < capacity) {
        size_t room = capacity - *count;
        size_t page = room < RECORDS_LINES_MAX ? room : RECORDS_LINES_MAX;
        size_t got = 0;
        enum sh_err err = ask_page(r, job, &now, out + *count, page, &got, deadline);
        if (err != SH_OK) {
            return err;
        }
        more = got == page && now.from < now.before;
        if (got > 0) {
            now.before = now.newest ? out[*count].sequence : now.before;
            now.from = now.newest ? now.from : out[*count + got - 1].sequence + 1;
        }
        *count += got;
    }
    if (want->newest) {
        qsort(out, *count, sizeof *out, by_sequence); /* pages came last first */
    }
    return SH_OK;
}
