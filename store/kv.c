/* SPDX-License-Identifier: Apache-2.0 */
#include "store/kv.h"

#include "store/kv_ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An operation in a batch: kind u8, cf u8, two lengths u32, then the bytes. kv_rocks keeps batches
 * as they are in its redo log: a change here is a new KV_BATCH_VERSION. */
enum { OP_HEAD_BYTES = 10, BATCH_BYTES_FIRST = 512 };

void kv_base_init(struct kv *kv, const struct kv_ops *ops, uint32_t cf_count)
{
    kv->ops = ops;
    kv->cf_count = cf_count;
    atomic_init(&kv->broken, SH_OK);
    kv->text[0] = '\0';
    SH_CHECK(pthread_mutex_init(&kv->text_lock, NULL) == 0);
}

void kv_base_fini(struct kv *kv)
{
    SH_CHECK(pthread_mutex_destroy(&kv->text_lock) == 0);
}

void kv_base_mend(struct kv *kv)
{
    atomic_store(&kv->broken, SH_OK);
    kv_base_say(kv, "");
}

void kv_base_say(struct kv *kv, const char *text)
{
    SH_CHECK(pthread_mutex_lock(&kv->text_lock) == 0);
    (void)snprintf(kv->text, sizeof kv->text, "%s", text);
    SH_CHECK(pthread_mutex_unlock(&kv->text_lock) == 0);
}

void kv_close(struct kv *kv)
{
    if (kv != NULL) {
        kv->ops->close(kv);
    }
}

void kv_error_text(struct kv *kv, char *out)
{
    SH_CHECK(pthread_mutex_lock(&kv->text_lock) == 0);
    memcpy(out, kv->text, sizeof kv->text);
    SH_CHECK(pthread_mutex_unlock(&kv->text_lock) == 0);
}

enum sh_err kv_health(const struct kv *kv)
{
    return (enum sh_err)atomic_load(&kv->broken);
}

int kv_compare(struct sh_span a, struct sh_span b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common > 0 ? memcmp(a.at, b.at, common) : 0;
    if (order != 0 || a.size == b.size) {
        return order;
    }
    return a.size < b.size ? -1 : 1;
}

static void check_key(const struct sh_span key)
{
    SH_CHECK_CMP(key.size, >, 0);
    SH_CHECK_CMP(key.size, <=, KV_KEY_BYTES_MAX);
}

enum sh_err kv_get(struct kv *kv, const struct kv_snap *snap, uint32_t cf, struct sh_span key,
                   struct kv_value *value)
{
    SH_CHECK_CMP(cf, <, kv->cf_count);
    check_key(key);
    *value = (struct kv_value){0};
    return kv->ops->get(kv, snap, cf, key, value);
}

void kv_value_free(struct kv_value *value)
{
    if (value->release != NULL) {
        value->release(value->owner);
    }
    *value = (struct kv_value){0};
}

enum sh_err kv_get_into(struct kv *kv, const struct kv_snap *snap, uint32_t cf, struct sh_span key,
                        void *out, size_t size, size_t *used)
{
    struct kv_value value;
    *used = 0;
    enum sh_err err = kv_get(kv, snap, cf, key, &value);
    if (err != SH_OK) {
        return err;
    }
    *used = value.bytes.size;
    if (*used > size) {
        err = SH_ERR_LIMIT;
    } else if (*used > 0) {
        memcpy(out, value.bytes.at, *used);
    }
    kv_value_free(&value);
    return err;
}

enum sh_err kv_snap_open(struct kv *kv, struct kv_snap **out)
{
    *out = NULL;
    return kv->ops->snap_open(kv, out);
}

void kv_snap_close(struct kv *kv, struct kv_snap *snap)
{
    if (snap != NULL) {
        kv->ops->snap_close(kv, snap);
    }
}

enum sh_err kv_iter_open(struct kv *kv, const struct kv_snap *snap, uint32_t cf, struct sh_span low,
                         struct sh_span high, struct kv_iter **out)
{
    SH_CHECK_CMP(cf, <, kv->cf_count);
    SH_CHECK_CMP(low.size, <=, KV_KEY_BYTES_MAX);
    SH_CHECK_CMP(high.size, <=, KV_KEY_BYTES_MAX);
    *out = NULL;
    return kv->ops->iter_open(kv, snap, cf, low, high, out);
}

void kv_iter_close(struct kv_iter *iter)
{
    if (iter != NULL) {
        iter->ops->close(iter);
    }
}

bool kv_iter_first(struct kv_iter *iter)
{
    iter->valid = iter->ops->first(iter);
    return iter->valid;
}

bool kv_iter_last(struct kv_iter *iter)
{
    iter->valid = iter->ops->last(iter);
    return iter->valid;
}

bool kv_iter_seek(struct kv_iter *iter, struct sh_span key)
{
    check_key(key);
    iter->valid = iter->ops->seek(iter, key);
    return iter->valid;
}

bool kv_iter_seek_before(struct kv_iter *iter, struct sh_span key)
{
    check_key(key);
    iter->valid = iter->ops->seek_before(iter, key);
    return iter->valid;
}

bool kv_iter_next(struct kv_iter *iter)
{
    SH_CHECK(iter->valid);
    iter->valid = iter->ops->next(iter);
    return iter->valid;
}

bool kv_iter_prev(struct kv_iter *iter)
{
    SH_CHECK(iter->valid);
    iter->valid = iter->ops->prev(iter);
    return iter->valid;
}

struct sh_span kv_iter_key(const struct kv_iter *iter)
{
    SH_CHECK(iter->valid);
    return iter->ops->key(iter);
}

struct sh_span kv_iter_value(const struct kv_iter *iter)
{
    SH_CHECK(iter->valid);
    return iter->ops->value(iter);
}

enum sh_err kv_iter_error(struct kv_iter *iter)
{
    return iter->ops->error(iter);
}

void kv_batch_init(struct kv_batch *batch)
{
    *batch = (struct kv_batch){.err = SH_OK};
}

void kv_batch_fini(struct kv_batch *batch)
{
    free(batch->at);
    *batch = (struct kv_batch){.err = SH_OK};
}

void kv_batch_clear(struct kv_batch *batch)
{
    batch->used = 0;
    batch->count = 0;
    batch->err = SH_OK;
}

static bool make_room(struct kv_batch *batch, size_t more)
{
    if (batch->err != SH_OK) {
        return false;
    }
    if (more > KV_BATCH_BYTES_MAX - batch->used) {
        batch->err = SH_ERR_LIMIT;
        return false;
    }
    size_t need = batch->used + more;
    if (need <= batch->capacity) {
        return true;
    }
    size_t capacity = batch->capacity > 0 ? batch->capacity : BATCH_BYTES_FIRST;
    while (capacity < need) {
        capacity *= 2;
    }
    uint8_t *at = realloc(batch->at, capacity);
    if (at == NULL) {
        batch->err = SH_ERR_NO_MEMORY;
        return false;
    }
    batch->at = at;
    batch->capacity = capacity;
    return true;
}

static void add_bytes(struct kv_batch *batch, const void *bytes, size_t size)
{
    if (size > 0) {
        memcpy(batch->at + batch->used, bytes, size);
        batch->used += size;
    }
}

static void add_op(struct kv_batch *batch, const struct kv_op *op)
{
    SH_CHECK_CMP(op->cf, <, KV_CFS_MAX);
    if (op->value.size > KV_BATCH_BYTES_MAX ||
        !make_room(batch, OP_HEAD_BYTES + op->key.size + op->value.size)) {
        batch->err = batch->err != SH_OK ? batch->err : SH_ERR_LIMIT;
        return;
    }
    struct sh_writer head = sh_writer_over(batch->at + batch->used, OP_HEAD_BYTES);
    sh_put_u8(&head, (uint8_t)op->kind);
    sh_put_u8(&head, (uint8_t)op->cf);
    sh_put_u32(&head, (uint32_t)op->key.size);
    sh_put_u32(&head, (uint32_t)op->value.size);
    batch->used += head.used;
    add_bytes(batch, op->key.at, op->key.size);
    add_bytes(batch, op->value.at, op->value.size);
    batch->count++;
}

/* False where the bytes at *at are no operation. */
static bool parse_op(const struct kv_batch *batch, size_t *at, struct kv_op *op)
{
    struct sh_reader r = sh_reader_over(batch->at + *at, batch->used - *at);
    uint8_t kind = sh_get_u8(&r);
    uint8_t cf = sh_get_u8(&r);
    uint64_t key = sh_get_u32(&r);
    uint64_t value = sh_get_u32(&r);
    if (sh_reader_end(&r) != SH_OK || key + value > sh_reader_left(&r)) {
        return false;
    }
    const uint8_t *p = batch->at + *at + OP_HEAD_BYTES;
    op->kind = (enum kv_op_kind)kind;
    op->cf = cf;
    op->key = KV_SPAN(p, (size_t)key);
    op->value = KV_SPAN(p + key, (size_t)value);
    *at += OP_HEAD_BYTES + (size_t)(key + value);
    return true;
}

bool kv_batch_next(const struct kv_batch *batch, size_t *at, struct kv_op *op)
{
    if (*at == batch->used) {
        return false;
    }
    SH_CHECK(parse_op(batch, at, op));
    return true;
}

static bool op_allowed(const struct kv_op *op, uint32_t cf_count)
{
    bool ranged = op->kind == KV_OP_DEL_RANGE;
    return op->kind <= KV_OP_DEL_RANGE && op->cf < cf_count && op->key.size <= KV_KEY_BYTES_MAX &&
           (ranged || op->key.size > 0) && (!ranged || op->value.size <= KV_KEY_BYTES_MAX) &&
           (op->kind != KV_OP_DEL || op->value.size == 0);
}

enum sh_err kv_batch_load(struct kv_batch *batch, struct sh_span bytes, uint32_t cf_count)
{
    struct kv_op op;
    size_t at = 0;
    kv_batch_clear(batch);
    if (!make_room(batch, bytes.size)) {
        return batch->err;
    }
    add_bytes(batch, bytes.at, bytes.size);
    while (at < batch->used) {
        if (!parse_op(batch, &at, &op) || !op_allowed(&op, cf_count)) {
            kv_batch_clear(batch);
            return SH_ERR_CORRUPT;
        }
        batch->count++;
    }
    return SH_OK;
}

void kv_batch_put(struct kv_batch *batch, uint32_t cf, struct sh_span key, struct sh_span value)
{
    check_key(key);
    add_op(batch, &(struct kv_op){.kind = KV_OP_PUT, .cf = cf, .key = key, .value = value});
}

void kv_batch_del(struct kv_batch *batch, uint32_t cf, struct sh_span key)
{
    check_key(key);
    add_op(batch, &(struct kv_op){.kind = KV_OP_DEL, .cf = cf, .key = key});
}

void kv_batch_del_range(struct kv_batch *batch, uint32_t cf, struct sh_span low,
                        struct sh_span high)
{
    SH_CHECK_CMP(low.size, <=, KV_KEY_BYTES_MAX);
    SH_CHECK_CMP(high.size, <=, KV_KEY_BYTES_MAX);
    add_op(batch, &(struct kv_op){.kind = KV_OP_DEL_RANGE, .cf = cf, .key = low, .value = high});
}

void kv_batch_add(struct kv_batch *batch, const struct kv_batch *from)
{
    if (from->err != SH_OK) {
        batch->err = batch->err != SH_OK ? batch->err : from->err;
    } else if (make_room(batch, from->used)) {
        add_bytes(batch, from->at, from->used);
        batch->count += from->count;
    }
}

/* Remembers a failed write: the disk's contents are unknown from here on. */
static enum sh_err settle(struct kv *kv, enum sh_err err)
{
    int expected = SH_OK;
    if (err != SH_OK) {
        (void)atomic_compare_exchange_strong(&kv->broken, &expected, (int)err);
    }
    return err;
}

enum sh_err kv_write(struct kv *kv, const struct kv_batch *batch, bool sync)
{
    enum sh_err err = batch->err;
    if (err == SH_OK) {
        err = kv_health(kv);
    }
    if (err == SH_OK) {
        err = kv->ops->room(kv, batch->used);
    }
    if (err != SH_OK) {
        return err;
    }
    return settle(kv, kv->ops->write(kv, batch, sync));
}

enum sh_err kv_flush(struct kv *kv)
{
    enum sh_err err = kv_health(kv);
    return err != SH_OK ? err : settle(kv, kv->ops->flush(kv));
}

enum sh_err kv_compact(struct kv *kv, uint32_t cf, struct sh_span low, struct sh_span high)
{
    SH_CHECK_CMP(cf, <, kv->cf_count);
    if (kv->ops->compact == NULL) {
        return kv_health(kv);
    }
    enum sh_err err = kv_flush(kv);
    if (err == SH_OK) {
        kv->ops->compact(kv, cf, low, high);
    }
    return err;
}

enum sh_err kv_checkpoint(struct kv *kv, const char *path)
{
    if (kv->ops->checkpoint == NULL) {
        return SH_ERR_UNSUPPORTED;
    }
    enum sh_err err = kv_health(kv);
    return err != SH_OK ? err : kv->ops->checkpoint(kv, path);
}
