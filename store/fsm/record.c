/* SPDX-License-Identifier: Apache-2.0 */
#include "store/fsm/record.h"

#include "base/rng.h"

#include <stdlib.h>

enum { VERSION = 1, APPLIED_BYTES = 1 + 8 + 8 + 8, CONF_HEAD_BYTES = 1 + 8 + 8 };

#define KEY_APPLIED    KV_SPAN("a", 1)
#define KEY_CONF       KV_SPAN("c", 1)
#define KEY_GENERATION KV_SPAN("g", 1) /* of generation 0 */

static uint64_t record_hash(struct sh_span key, const void *bytes, size_t size)
{
    return sh_hash64(sh_hash64(0, key.at, key.size), bytes, size);
}

static enum sh_err get_record(const struct fsm_rows *rows, uint32_t generation, struct sh_span name,
                              struct kv_value *value)
{
    struct fsm_key key;
    fsm_key_make(&key, generation, FSM_KIND_RECORD, name);
    return kv_get(rows->kv, rows->snap, rows->cf, fsm_key_span(&key), value);
}

enum sh_err fsm_record_generation(const struct fsm_rows *rows, uint32_t *generation)
{
    struct kv_value value;
    *generation = 1;
    enum sh_err err = get_record(rows, 0, KEY_GENERATION, &value);
    if (err != SH_OK) {
        return err == SH_ERR_NOT_FOUND ? SH_OK : err;
    }
    struct sh_reader r = sh_reader_over(value.bytes.at, value.bytes.size);
    uint8_t version = sh_get_u8(&r);
    *generation = sh_get_u32(&r);
    size_t size = r.used;
    uint64_t hash = sh_get_u64(&r);
    err = sh_reader_end(&r);
    if (err == SH_OK && (*generation == 0 || *generation == UINT32_MAX ||
                         hash != record_hash(KEY_GENERATION, value.bytes.at, size))) {
        err = SH_ERR_CORRUPT;
    }
    kv_value_free(&value);
    return err == SH_OK && version != VERSION ? SH_ERR_VERSION : err;
}

enum sh_err fsm_record_applied(const struct fsm_rows *rows, uint64_t *index, uint64_t *term)
{
    struct kv_value value;
    *index = 0;
    *term = 0;
    enum sh_err err = get_record(rows, rows->generation, KEY_APPLIED, &value);
    if (err != SH_OK) {
        return err == SH_ERR_NOT_FOUND ? SH_OK : err;
    }
    struct sh_reader r = sh_reader_over(value.bytes.at, value.bytes.size);
    uint8_t version = sh_get_u8(&r);
    *index = sh_get_u64(&r);
    *term = sh_get_u64(&r);
    size_t size = r.used;
    uint64_t hash = sh_get_u64(&r);
    err = sh_reader_end(&r);
    if (err == SH_OK && hash != record_hash(KEY_APPLIED, value.bytes.at, size)) {
        err = SH_ERR_CORRUPT;
    }
    kv_value_free(&value);
    return err == SH_OK && version != VERSION ? SH_ERR_VERSION : err;
}

/* version, hash over what follows, index, bytes */
static enum sh_err decode_conf(struct sh_span bytes, struct fsm_applied *out)
{
    struct sh_reader r = sh_reader_over(bytes.at, bytes.size);
    uint8_t version = sh_get_u8(&r);
    uint64_t hash = sh_get_u64(&r);
    size_t start = r.used;
    out->conf_index = sh_get_u64(&r);
    size_t size = sh_reader_left(&r);
    if (sh_reader_end(&r) != SH_OK || size > FSM_CONF_BYTES_MAX ||
        hash != record_hash(KEY_CONF, bytes.at + start, bytes.size - start)) {
        return SH_ERR_CORRUPT;
    }
    out->conf_size = size;
    sh_get_bytes(&r, out->conf, size);
    return version == VERSION ? SH_OK : SH_ERR_VERSION;
}

enum sh_err fsm_record_conf(const struct fsm_rows *rows, struct fsm_applied *out)
{
    struct kv_value value;
    out->conf_index = 0;
    out->conf_size = 0;
    enum sh_err err = get_record(rows, rows->generation, KEY_CONF, &value);
    if (err == SH_OK) {
        err = decode_conf(value.bytes, out);
        kv_value_free(&value);
    }
    return err == SH_ERR_NOT_FOUND ? SH_OK : err;
}

static void put_record(struct kv_batch *batch, uint32_t cf, uint32_t generation,
                       struct sh_span name, struct sh_span record)
{
    struct fsm_key key;
    fsm_key_make(&key, generation, FSM_KIND_RECORD, name);
    kv_batch_put(batch, cf, fsm_key_span(&key), record);
}

void fsm_record_put_generation(struct kv_batch *batch, uint32_t cf, uint32_t generation)
{
    uint8_t record[1 + 4 + 8];
    struct sh_writer w = sh_writer_over(record, sizeof record);
    sh_put_u8(&w, VERSION);
    sh_put_u32(&w, generation);
    sh_put_u64(&w, record_hash(KEY_GENERATION, record, w.used));
    SH_CHECK_CMP(w.used, ==, sizeof record);
    put_record(batch, cf, 0, KEY_GENERATION, KV_SPAN(record, w.used));
}

void fsm_record_put_applied(struct kv_batch *batch, uint32_t cf, uint32_t generation,
                            uint64_t index, uint64_t term)
{
    uint8_t record[APPLIED_BYTES];
    struct sh_writer w = sh_writer_over(record, sizeof record);
    sh_put_u8(&w, VERSION);
    sh_put_u64(&w, index);
    sh_put_u64(&w, term);
    sh_put_u64(&w, record_hash(KEY_APPLIED, record, w.used));
    SH_CHECK_CMP(w.used, ==, sizeof record);
    put_record(batch, cf, generation, KEY_APPLIED, KV_SPAN(record, w.used));
}

enum sh_err fsm_record_put_conf(struct kv_batch *batch, uint32_t cf, uint32_t generation,
                                uint64_t conf_index, struct sh_span conf)
{
    uint8_t *record = malloc(CONF_HEAD_BYTES + conf.size);
    if (record == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    struct sh_writer w = sh_writer_over(record + 9, 8 + conf.size);
    sh_put_u64(&w, conf_index);
    sh_put_bytes(&w, conf.at, conf.size);
    SH_CHECK(!w.full);
    struct sh_writer head = sh_writer_over(record, 9);
    sh_put_u8(&head, VERSION);
    sh_put_u64(&head, record_hash(KEY_CONF, record + 9, w.used));
    put_record(batch, cf, generation, KEY_CONF, KV_SPAN(record, CONF_HEAD_BYTES + conf.size));
    free(record);
    return SH_OK;
}

void fsm_record_del(struct kv_batch *batch, uint32_t cf, uint32_t first, uint32_t first_after)
{
    struct fsm_key low;
    struct fsm_key high;
    fsm_key_make(&low, first, FSM_KIND_RECORD, KV_ALL);
    fsm_key_make(&high, first_after, FSM_KIND_RECORD, KV_ALL);
    kv_batch_del_range(batch, cf, fsm_key_span(&low),
                       first_after != 0 ? fsm_key_span(&high) : KV_ALL);
}
