/* SPDX-License-Identifier: Apache-2.0
 *
 * What an implementation of kv.h supplies. Private to store/kv*.c; everybody else includes kv.h. */
#ifndef SH_STORE_KV_OPS_H
#define SH_STORE_KV_OPS_H

#include "store/kv.h"

#include <pthread.h>
#include <stdatomic.h>

struct kv_ops {
    void (*close)(struct kv *kv);
    enum sh_err (*get)(struct kv *kv, const struct kv_snap *snap, uint32_t cf, struct sh_span key,
                       struct kv_value *value);
    enum sh_err (*snap_open)(struct kv *kv, struct kv_snap **out);
    void (*snap_close)(struct kv *kv, struct kv_snap *snap);
    enum sh_err (*iter_open)(struct kv *kv, const struct kv_snap *snap, uint32_t cf,
                             struct sh_span low, struct sh_span high, struct kv_iter **out);
    /* OK when a batch of that many bytes may be written; NO_SPACE otherwise, with nothing broken.
     */
    enum sh_err (*room)(struct kv *kv, size_t bytes);
    enum sh_err (*write)(struct kv *kv, const struct kv_batch *batch, bool sync);
    enum sh_err (*flush)(struct kv *kv);
    void (*compact)(struct kv *kv, uint32_t cf, struct sh_span low,
                    struct sh_span high);                       /* NULL: no need */
    enum sh_err (*checkpoint)(struct kv *kv, const char *path); /* NULL: UNSUPPORTED */
};

struct kv_iter_ops {
    void (*close)(struct kv_iter *iter);
    bool (*first)(struct kv_iter *iter);
    bool (*last)(struct kv_iter *iter);
    bool (*seek)(struct kv_iter *iter, struct sh_span key);
    bool (*seek_before)(struct kv_iter *iter, struct sh_span key);
    bool (*next)(struct kv_iter *iter);
    bool (*prev)(struct kv_iter *iter);
    struct sh_span (*key)(const struct kv_iter *iter);
    struct sh_span (*value)(const struct kv_iter *iter);
    enum sh_err (*error)(struct kv_iter *iter);
};

struct kv { /* first member of each implementation's struct */
    const struct kv_ops *ops;
    uint32_t cf_count;
    atomic_int broken; /* enum sh_err of the first failed write */
    pthread_mutex_t text_lock;
    char text[KV_TEXT_BYTES];
};

struct kv_iter { /* first member of each implementation's struct */
    const struct kv_iter_ops *ops;
    bool valid;
};

void kv_base_init(struct kv *kv, const struct kv_ops *ops, uint32_t cf_count);
void kv_base_fini(struct kv *kv);
void kv_base_mend(struct kv *kv); /* forget the failure: the store has been opened anew */
void kv_base_say(struct kv *kv, const char *text);

/* Walking a batch. The spans borrow it. */
enum kv_op_kind { KV_OP_PUT, KV_OP_DEL, KV_OP_DEL_RANGE };

struct kv_op {
    enum kv_op_kind kind;
    uint32_t cf;
    struct sh_span key;   /* or the low bound */
    struct sh_span value; /* or the high bound */
};

/* *at starts at 0; false at the end. */
bool kv_batch_next(const struct kv_batch *batch, size_t *at, struct kv_op *op);

#define KV_BATCH_VERSION 1u /* of the bytes of a batch, where they are kept */

/* Makes batch what it was when it had these bytes. They may come from a disk: CORRUPT leaves it
 * empty. NO_MEMORY, LIMIT. */
SH_MUST_USE enum sh_err kv_batch_load(struct kv_batch *batch, struct sh_span bytes,
                                      uint32_t cf_count);

#endif
