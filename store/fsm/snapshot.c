/* SPDX-License-Identifier: Apache-2.0 */
#include "store/fsm/snapshot.h"

#include "store/fsm/record.h"

#include "base/host/host.h"
#include "base/rng.h"

#include <stdlib.h>

enum chunk_kind { CHUNK_HEAD = 1, CHUNK_ROWS = 2, CHUNK_END = 3 };
enum { VERSION = 1, CHUNK_HEAD_BYTES = 1 + 1 + 8 + 4 + 8, HASHED_HEAD = 1 + 1 + 8 + 4 };
enum { ROWS_BYTES = FSM_SNAPSHOT_CHUNK_MAX - CHUNK_HEAD_BYTES - 4 - SH_TABLE_KEY_MAX };

_Static_assert(ROWS_BYTES >= FSM_CHUNK_BYTES_MIN, "the largest row fits a chunk");

/* What both ends count over all chunks before END. */
struct tally {
    uint64_t rows;
    uint64_t bytes;
    struct sh_blake2b digest;
};

struct fsm_out {
    struct fsm_view *view;
    struct fsm_applied applied;
    uint64_t id;
    uint32_t schema;
    uint32_t number; /* of the next chunk */
    bool ended;
    struct tally tally;
    size_t enough; /* bytes of rows in a chunk */
    uint8_t *rows; /* ROWS_BYTES */
};

struct fsm_in {
    struct kv *kv;
    uint32_t cf;
    uint32_t schema;
    uint32_t live;       /* generation */
    uint32_t generation; /* that is being written */
    uint64_t id;
    uint32_t number;
    bool complete;
    bool given; /* it may be live: not ours to delete */
    struct tally tally;
    struct fsm_applied applied;
    struct fsm_key last; /* newest row; keys must grow */
    bool has_last;
    struct kv_batch batch;
};

static uint64_t chunk_hash(const uint8_t *chunk, size_t size)
{
    uint64_t head = sh_hash64(0, chunk, HASHED_HEAD);
    return sh_hash64(head, chunk + CHUNK_HEAD_BYTES, size - CHUNK_HEAD_BYTES);
}

static void tally_chunk(struct tally *t, const uint8_t *chunk, size_t size)
{
    t->bytes += size;
    sh_blake2b_add(&t->digest, chunk, size);
}

/* The digest of what has been counted so far. */
static void tally_digest(const struct tally *t, uint8_t digest[SH_DIGEST_BYTES])
{
    struct sh_blake2b copy = t->digest;
    sh_blake2b_end(&copy, digest, SH_DIGEST_BYTES);
}

static uint64_t count_rows(struct sh_span rows)
{
    struct sh_reader r = sh_reader_over(rows.at, rows.size);
    struct sh_span key;
    struct sh_span value;
    uint64_t count = 0;
    while (fsm_chunk_row(&r, &key, &value)) {
        count++;
    }
    return count;
}

/* ---- going out ---- */

enum sh_err fsm_out_open(struct fsm *fsm, uint64_t id, uint32_t schema, struct fsm_out **out)
{
    *out = NULL;
    struct fsm_out *o = calloc(1, sizeof *o);
    if (o == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    o->id = id;
    o->schema = schema;
    o->enough = ROWS_BYTES;
    o->rows = malloc(ROWS_BYTES);
    sh_blake2b_start(&o->tally.digest, SH_DIGEST_BYTES);
    enum sh_err err = o->rows == NULL ? SH_ERR_NO_MEMORY : fsm_view_open(fsm, &o->view);
    if (err == SH_OK) {
        err = fsm_view_applied(o->view, &o->applied);
    }
    if (err != SH_OK) {
        fsm_out_close(o);
        return err;
    }
    *out = o;
    return SH_OK;
}

void fsm_out_close(struct fsm_out *out)
{
    if (out != NULL) {
        fsm_view_close(out->view);
        free(out->rows);
        free(out);
    }
}

void fsm_out_pace(struct fsm_out *out, size_t bytes)
{
    SH_CHECK_CMP(bytes, >, 0);
    out->enough = bytes;
}

static void put_head(const struct fsm_out *o, struct sh_writer *w)
{
    const struct fsm_applied *a = &o->applied;
    sh_put_u32(w, o->schema);
    sh_put_u64(w, a->index);
    sh_put_u64(w, a->term);
    sh_put_u64(w, a->conf_index);
    sh_put_blob(w, a->conf, a->conf_size);
}

static void put_rows(struct fsm_out *o, struct sh_writer *w, size_t size)
{
    struct sh_reader r = sh_reader_over(o->rows, size);
    struct sh_span key;
    struct sh_span value;
    SH_CHECK(fsm_chunk_row(&r, &key, &value));
    sh_put_blob(w, key.at, key.size);
    sh_put_bytes(w, o->rows, size);
    o->tally.rows += count_rows(KV_SPAN(o->rows, size));
}

static void put_end(struct fsm_out *o, struct sh_writer *w)
{
    uint8_t digest[SH_DIGEST_BYTES];
    tally_digest(&o->tally, digest);
    sh_put_u64(w, o->tally.rows);
    sh_put_u64(w, o->tally.bytes);
    sh_put_bytes(w, digest, sizeof digest);
    o->ended = true;
}

size_t fsm_out_next(struct fsm_out *out, uint8_t *bytes)
{
    if (out->ended) {
        return 0;
    }
    size_t rows =
        out->number > 0 ? fsm_view_scan(out->view, out->rows, ROWS_BYTES, out->enough) : 0;
    enum chunk_kind kind = rows > 0 ? CHUNK_ROWS : CHUNK_END;
    kind = out->number == 0 ? CHUNK_HEAD : kind;
    struct sh_writer w = sh_writer_over(bytes, FSM_SNAPSHOT_CHUNK_MAX);
    sh_put_u8(&w, VERSION);
    sh_put_u8(&w, (uint8_t)kind);
    sh_put_u64(&w, out->id);
    sh_put_u32(&w, out->number);
    sh_put_u64(&w, 0);
    if (kind == CHUNK_HEAD) {
        put_head(out, &w);
    } else if (kind == CHUNK_ROWS) {
        put_rows(out, &w, rows);
    } else {
        put_end(out, &w);
    }
    SH_CHECK(!w.full);
    struct sh_writer hash = sh_writer_over(bytes + HASHED_HEAD, 8);
    sh_put_u64(&hash, chunk_hash(bytes, w.used));
    tally_chunk(&out->tally, bytes, w.used);
    out->number++;
    return w.used;
}

const struct fsm_applied *fsm_out_applied(const struct fsm_out *out)
{
    return &out->applied;
}

/* ---- coming in ---- */

enum sh_err fsm_in_open(struct fsm *fsm, uint32_t schema, struct fsm_in **out)
{
    struct fsm_rows rows;
    *out = NULL;
    struct fsm_in *in = calloc(1, sizeof *in);
    if (in == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    fsm_place(fsm, &rows);
    in->kv = rows.kv;
    in->cf = rows.cf;
    in->schema = schema;
    kv_batch_init(&in->batch);
    sh_blake2b_start(&in->tally.digest, SH_DIGEST_BYTES);
    enum sh_err err = fsm_record_generation(&rows, &in->live);
    if (err == SH_OK) { /* what an earlier one may have left */
        in->generation = in->live + 1;
        fsm_record_del(&in->batch, in->cf, in->generation, 0);
        err = kv_write(in->kv, &in->batch, false);
    }
    if (err != SH_OK) {
        kv_batch_fini(&in->batch);
        free(in);
        return err;
    }
    *out = in;
    return SH_OK;
}

void fsm_in_close(struct fsm_in *in)
{
    if (in == NULL) {
        return;
    }
    if (!in->given) {
        kv_batch_clear(&in->batch);
        fsm_record_del(&in->batch, in->cf, in->generation, 0);
        /* Not written: the next installation or fsm_open deletes it. */
        SH_MAY_FAIL(kv_write(in->kv, &in->batch, false));
    }
    kv_batch_fini(&in->batch);
    free(in);
}

static enum sh_err take_head(struct fsm_in *in, struct sh_reader *r)
{
    struct fsm_applied *a = &in->applied;
    uint32_t schema = sh_get_u32(r);
    a->index = sh_get_u64(r);
    a->term = sh_get_u64(r);
    a->conf_index = sh_get_u64(r);
    struct sh_span conf = sh_get_blob(r, FSM_CONF_BYTES_MAX);
    if (r->bad || a->index == 0 || a->conf_index > a->index) {
        return SH_ERR_CORRUPT;
    }
    a->conf_size = conf.size;
    if (conf.size > 0) {
        memcpy(a->conf, conf.at, conf.size);
    }
    return schema == in->schema ? SH_OK : SH_ERR_VERSION;
}

static enum sh_err take_row(struct fsm_in *in, struct sh_span key, struct sh_span value)
{
    if (in->has_last && kv_compare(key, fsm_key_name(&in->last)) <= 0) {
        return SH_ERR_CORRUPT;
    }
    fsm_key_make(&in->last, in->generation, FSM_KIND_ROW, key);
    in->has_last = true;
    kv_batch_put(&in->batch, in->cf, fsm_key_span(&in->last), value);
    in->tally.rows++;
    return SH_OK;
}

static enum sh_err take_rows(struct fsm_in *in, struct sh_reader *r)
{
    struct sh_span first = sh_get_blob(r, SH_TABLE_KEY_MAX);
    struct sh_span key;
    struct sh_span value;
    uint64_t before = in->tally.rows;
    enum sh_err err = SH_OK;
    kv_batch_clear(&in->batch);
    while (err == SH_OK && fsm_chunk_row(r, &key, &value)) {
        bool wrong = in->tally.rows == before && kv_compare(first, key) != 0;
        err = wrong ? SH_ERR_CORRUPT : take_row(in, key, value);
    }
    if (err == SH_OK && (r->bad || in->tally.rows == before)) {
        err = SH_ERR_CORRUPT;
    }
    return err == SH_OK ? kv_write(in->kv, &in->batch, false) : err;
}

/* With the records of what has been applied the generation is whole. */
static enum sh_err take_end(struct fsm_in *in, struct sh_reader *r)
{
    uint8_t own[SH_DIGEST_BYTES];
    uint8_t told[SH_DIGEST_BYTES];
    const struct fsm_applied *a = &in->applied;
    uint64_t rows = sh_get_u64(r);
    uint64_t bytes = sh_get_u64(r);
    sh_get_bytes(r, told, sizeof told);
    tally_digest(&in->tally, own);
    if (r->bad || rows != in->tally.rows || bytes != in->tally.bytes ||
        memcmp(own, told, sizeof own) != 0) {
        return SH_ERR_CORRUPT;
    }
    kv_batch_clear(&in->batch);
    fsm_record_put_applied(&in->batch, in->cf, in->generation, a->index, a->term);
    enum sh_err err = SH_OK;
    if (a->conf_size > 0) {
        err = fsm_record_put_conf(&in->batch, in->cf, in->generation, a->conf_index,
                                  KV_SPAN(a->conf, a->conf_size));
    }
    if (err == SH_OK) {
        err = kv_write(in->kv, &in->batch, false);
    }
    in->complete = err == SH_OK;
    return err;
}

enum sh_err fsm_in_take(struct fsm_in *in, struct sh_span chunk)
{
    struct sh_reader r = sh_reader_over(chunk.at, chunk.size);
    uint8_t version = sh_get_u8(&r);
    uint8_t kind = sh_get_u8(&r);
    uint64_t id = sh_get_u64(&r);
    uint32_t number = sh_get_u32(&r);
    uint64_t hash = sh_get_u64(&r);
    if (r.bad || in->complete || chunk.size > FSM_SNAPSHOT_CHUNK_MAX ||
        hash != chunk_hash(chunk.at, chunk.size)) {
        return SH_ERR_CORRUPT;
    }
    if (version != VERSION) {
        return SH_ERR_VERSION;
    }
    bool begins = in->number == 0;
    if (number != in->number || begins != (kind == CHUNK_HEAD) || (!begins && id != in->id)) {
        return SH_ERR_CORRUPT;
    }
    enum sh_err err = SH_ERR_CORRUPT;
    in->id = id;
    if (kind == CHUNK_HEAD) {
        err = take_head(in, &r);
    } else if (kind == CHUNK_ROWS) {
        err = take_rows(in, &r);
    } else if (kind == CHUNK_END) {
        err = take_end(in, &r);
    }
    tally_chunk(&in->tally, chunk.at, chunk.size);
    in->number++;
    return err;
}

bool fsm_in_complete(const struct fsm_in *in)
{
    return in->complete;
}

uint32_t fsm_in_next(const struct fsm_in *in)
{
    return in->number;
}

uint64_t fsm_in_rows(const struct fsm_in *in)
{
    return in->tally.rows;
}

uint64_t fsm_in_bytes(const struct fsm_in *in)
{
    return in->tally.bytes;
}

const struct fsm_applied *fsm_in_applied(const struct fsm_in *in)
{
    return &in->applied;
}

void fsm_in_flip(const struct fsm_in *in, struct kv_batch *batch)
{
    SH_CHECK(in->complete);
    fsm_record_put_generation(batch, in->cf, in->generation);
    fsm_record_del(batch, in->cf, in->live, in->generation);
}

void fsm_in_give(struct fsm_in *in)
{
    SH_CHECK(in->complete);
    in->given = true;
}
