/* SPDX-License-Identifier: Apache-2.0
 *
 * A state is one tree root per column family. `now` is what reads see; `durable` is what a power
 * cut leaves; the versions between them, one per unsynced batch, are what a crash may leave
 * besides. */
#include "store/kv_mem.h"

#include "store/kv_ops.h"
#include "store/kv_tree.h"

#include <stdlib.h>
#include <string.h>

struct state {
    struct kv_node *roots[KV_CFS_MAX];
};

struct version {
    struct version *next;
    struct state state;
};

struct fault {
    uint32_t left; /* 0: not armed */
    enum sh_err err;
    bool torn;
};

struct mem {
    struct kv base;
    pthread_mutex_t lock; /* everything below, and the reference counts of all trees */
    struct state now;
    struct state durable;
    struct version *oldest;
    struct version *newest;
    uint32_t unsynced;
    struct fault fault;
};

struct kv_snap {
    struct state state;
};

struct mem_iter {
    struct kv_iter base;
    struct mem *mem;
    struct kv_node *root;
    const struct kv_pair *pair;
    struct sh_span low;
    struct sh_span high;
    uint8_t bounds[];
};

static struct mem *mem_of(struct kv *kv)
{
    return (struct mem *)(void *)kv;
}

static const struct mem *mem_of_const(const struct kv *kv)
{
    return (const struct mem *)(const void *)kv;
}

static void take_lock(struct mem *mem)
{
    SH_CHECK(pthread_mutex_lock(&mem->lock) == 0);
}

static void give_lock(struct mem *mem)
{
    SH_CHECK(pthread_mutex_unlock(&mem->lock) == 0);
}

static struct state hold_state(const struct state *state)
{
    for (uint32_t cf = 0; cf < KV_CFS_MAX; cf++) {
        (void)kv_tree_hold(state->roots[cf]);
    }
    return *state;
}

static void drop_state(struct state *state)
{
    for (uint32_t cf = 0; cf < KV_CFS_MAX; cf++) {
        kv_tree_drop(state->roots[cf]);
        state->roots[cf] = NULL;
    }
}

/* The oldest unsynced version becomes the durable one. */
static void settle_oldest(struct mem *mem)
{
    struct version *version = mem->oldest;
    drop_state(&mem->durable);
    mem->durable = version->state;
    mem->oldest = version->next;
    mem->newest = mem->oldest != NULL ? mem->newest : NULL;
    mem->unsynced--;
    free(version);
}

static void forget_unsynced(struct mem *mem)
{
    while (mem->oldest != NULL) {
        struct version *version = mem->oldest;
        mem->oldest = version->next;
        drop_state(&version->state);
        free(version);
    }
    mem->newest = NULL;
    mem->unsynced = 0;
}

static void make_durable(struct mem *mem)
{
    forget_unsynced(mem);
    drop_state(&mem->durable);
    mem->durable = hold_state(&mem->now);
}

static enum sh_err add_unsynced(struct mem *mem, const struct state *state)
{
    struct version *version = malloc(sizeof *version);
    if (version == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    *version = (struct version){.state = hold_state(state)};
    if (mem->newest != NULL) {
        mem->newest->next = version;
    } else {
        mem->oldest = version;
    }
    mem->newest = version;
    mem->unsynced++;
    if (mem->unsynced > KV_MEM_UNSYNCED_MAX) {
        settle_oldest(mem);
    }
    return SH_OK;
}

static void apply(struct state *state, uint32_t cf_count, const struct kv_batch *batch)
{
    struct kv_op op;
    size_t at = 0;
    while (kv_batch_next(batch, &at, &op)) {
        SH_CHECK_CMP(op.cf, <, cf_count);
        struct kv_node **root = &state->roots[op.cf];
        switch (op.kind) {
        case KV_OP_PUT:
            kv_tree_put(root, op.key, op.value, false);
            break;
        case KV_OP_DEL:
            kv_tree_del(root, op.key);
            break;
        case KV_OP_DEL_RANGE:
            kv_tree_cut(root, op.key, op.value);
            break;
        default:
            SH_UNREACHABLE();
        }
    }
}

/* True when the armed fault hits this write; *err is then the answer. */
static bool fault_hits(struct mem *mem, enum sh_err *err)
{
    if (mem->fault.left == 0 || --mem->fault.left > 0) {
        return false;
    }
    *err = mem->fault.err;
    kv_base_say(&mem->base, sh_err_text(*err));
    return true;
}

static enum sh_err write_torn(struct mem *mem, const struct kv_batch *batch)
{
    struct state torn = hold_state(&mem->now);
    apply(&torn, mem->base.cf_count, batch);
    enum sh_err err = add_unsynced(mem, &torn);
    drop_state(&torn);
    return err;
}

static enum sh_err write_locked(struct mem *mem, const struct kv_batch *batch, bool sync)
{
    enum sh_err err = SH_OK;
    if (fault_hits(mem, &err)) {
        enum sh_err torn = mem->fault.torn ? write_torn(mem, batch) : SH_OK;
        return torn != SH_OK ? torn : err;
    }
    apply(&mem->now, mem->base.cf_count, batch);
    if (sync) {
        make_durable(mem);
    } else if (batch->count > 0) {
        err = add_unsynced(mem, &mem->now);
    }
    return err;
}

static enum sh_err mem_write(struct kv *kv, const struct kv_batch *batch, bool sync)
{
    struct mem *mem = mem_of(kv);
    take_lock(mem);
    enum sh_err err = write_locked(mem, batch, sync);
    give_lock(mem);
    return err;
}

static enum sh_err mem_flush(struct kv *kv)
{
    struct mem *mem = mem_of(kv);
    enum sh_err err = SH_OK;
    take_lock(mem);
    if (!fault_hits(mem, &err)) {
        make_durable(mem);
    }
    give_lock(mem);
    return err;
}

static enum sh_err copy_out(const struct kv_pair *pair, struct kv_value *value)
{
    uint8_t *bytes = malloc(pair->value_size > 0 ? pair->value_size : 1);
    if (bytes == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    memcpy(bytes, kv_pair_value(pair).at, pair->value_size);
    *value = (struct kv_value){
        .bytes = KV_SPAN(bytes, pair->value_size), .owner = bytes, .release = free};
    return SH_OK;
}

static enum sh_err mem_get(struct kv *kv, const struct kv_snap *snap, uint32_t cf,
                           struct sh_span key, struct kv_value *value)
{
    struct mem *mem = mem_of(kv);
    take_lock(mem);
    const struct state *state = snap != NULL ? &snap->state : &mem->now;
    const struct kv_pair *pair = kv_tree_find(state->roots[cf], key);
    enum sh_err err = pair != NULL ? copy_out(pair, value) : SH_ERR_NOT_FOUND;
    give_lock(mem);
    return err;
}

static enum sh_err mem_snap_open(struct kv *kv, struct kv_snap **out)
{
    struct mem *mem = mem_of(kv);
    struct kv_snap *snap = malloc(sizeof *snap);
    if (snap == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    take_lock(mem);
    snap->state = hold_state(&mem->now);
    give_lock(mem);
    *out = snap;
    return SH_OK;
}

static void mem_snap_close(struct kv *kv, struct kv_snap *snap)
{
    struct mem *mem = mem_of(kv);
    take_lock(mem);
    drop_state(&snap->state);
    give_lock(mem);
    free(snap);
}

static struct mem_iter *iter_of(struct kv_iter *iter)
{
    return (struct mem_iter *)(void *)iter;
}

static const struct mem_iter *iter_of_const(const struct kv_iter *iter)
{
    return (const struct mem_iter *)(const void *)iter;
}

static void iter_close(struct kv_iter *base)
{
    struct mem_iter *iter = iter_of(base);
    take_lock(iter->mem);
    kv_tree_drop(iter->root);
    give_lock(iter->mem);
    free(iter);
}

/* Stands on pair if it lies within the bounds. */
static bool stand(struct mem_iter *iter, const struct kv_pair *pair)
{
    iter->pair = pair;
    if (pair == NULL) {
        return false;
    }
    struct sh_span key = kv_pair_key(pair);
    bool above = iter->low.size == 0 || kv_compare(key, iter->low) >= 0;
    bool below = iter->high.size == 0 || kv_compare(key, iter->high) < 0;
    return above && below;
}

static bool iter_seek(struct kv_iter *base, struct sh_span key)
{
    struct mem_iter *iter = iter_of(base);
    bool low_later = kv_compare(iter->low, key) > 0;
    return stand(iter, kv_tree_from(iter->root, low_later ? iter->low : key));
}

static bool iter_first(struct kv_iter *base)
{
    struct mem_iter *iter = iter_of(base);
    return stand(iter, kv_tree_from(iter->root, iter->low));
}

static bool iter_last(struct kv_iter *base)
{
    struct mem_iter *iter = iter_of(base);
    bool bounded = iter->high.size > 0;
    return stand(iter, bounded ? kv_tree_before(iter->root, iter->high) : kv_tree_last(iter->root));
}

static bool iter_seek_before(struct kv_iter *base, struct sh_span key)
{
    struct mem_iter *iter = iter_of(base);
    bool high_sooner = iter->high.size > 0 && kv_compare(iter->high, key) < 0;
    return stand(iter, kv_tree_before(iter->root, high_sooner ? iter->high : key));
}

static bool iter_next(struct kv_iter *base)
{
    struct mem_iter *iter = iter_of(base);
    return stand(iter, kv_tree_after(iter->root, kv_pair_key(iter->pair)));
}

static bool iter_prev(struct kv_iter *base)
{
    struct mem_iter *iter = iter_of(base);
    return stand(iter, kv_tree_before(iter->root, kv_pair_key(iter->pair)));
}

static struct sh_span iter_key(const struct kv_iter *base)
{
    return kv_pair_key(iter_of_const(base)->pair);
}

static struct sh_span iter_value(const struct kv_iter *base)
{
    return kv_pair_value(iter_of_const(base)->pair);
}

static enum sh_err iter_error(struct kv_iter *base)
{
    (void)base; /* memory does not fail while it is read */
    return SH_OK;
}

static const struct kv_iter_ops iter_ops = {.close = iter_close,
                                            .first = iter_first,
                                            .last = iter_last,
                                            .seek = iter_seek,
                                            .seek_before = iter_seek_before,
                                            .next = iter_next,
                                            .prev = iter_prev,
                                            .key = iter_key,
                                            .value = iter_value,
                                            .error = iter_error};

static enum sh_err mem_iter_open(struct kv *kv, const struct kv_snap *snap, uint32_t cf,
                                 struct sh_span low, struct sh_span high, struct kv_iter **out)
{
    struct mem *mem = mem_of(kv);
    struct mem_iter *iter = malloc(sizeof *iter + low.size + high.size);
    if (iter == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    *iter = (struct mem_iter){.base = {.ops = &iter_ops}, .mem = mem};
    if (low.size > 0) {
        memcpy(iter->bounds, low.at, low.size);
    }
    if (high.size > 0) {
        memcpy(iter->bounds + low.size, high.at, high.size);
    }
    iter->low = KV_SPAN(iter->bounds, low.size);
    iter->high = KV_SPAN(iter->bounds + low.size, high.size);
    take_lock(mem);
    const struct state *state = snap != NULL ? &snap->state : &mem->now;
    iter->root = kv_tree_hold(state->roots[cf]);
    give_lock(mem);
    *out = &iter->base;
    return SH_OK;
}

static void mem_close(struct kv *kv)
{
    struct mem *mem = mem_of(kv);
    forget_unsynced(mem);
    drop_state(&mem->now);
    drop_state(&mem->durable);
    SH_CHECK(pthread_mutex_destroy(&mem->lock) == 0);
    kv_base_fini(kv);
    free(mem);
}

static enum sh_err mem_room(struct kv *kv, size_t bytes)
{
    (void)kv;
    (void)bytes;
    return SH_OK; /* faults are injected into the write itself */
}

static const struct kv_ops mem_ops = {.close = mem_close,
                                      .room = mem_room,
                                      .get = mem_get,
                                      .snap_open = mem_snap_open,
                                      .snap_close = mem_snap_close,
                                      .iter_open = mem_iter_open,
                                      .write = mem_write,
                                      .flush = mem_flush};

enum sh_err kv_mem_open(const struct kv_cf *cfs, uint32_t cf_count, struct kv **out)
{
    SH_CHECK(cfs != NULL);
    SH_CHECK_CMP(cf_count, >, 0);
    SH_CHECK_CMP(cf_count, <=, KV_CFS_MAX);
    struct mem *mem = calloc(1, sizeof *mem);
    if (mem == NULL) {
        *out = NULL;
        return SH_ERR_NO_MEMORY;
    }
    kv_base_init(&mem->base, &mem_ops, cf_count);
    SH_CHECK(pthread_mutex_init(&mem->lock, NULL) == 0);
    *out = &mem->base;
    return SH_OK;
}

void kv_mem_crash(struct kv *kv, uint32_t keep)
{
    SH_CHECK(kv->ops == &mem_ops);
    struct mem *mem = mem_of(kv);
    take_lock(mem);
    for (uint32_t i = 0; i < keep && mem->oldest != NULL; i++) {
        settle_oldest(mem);
    }
    forget_unsynced(mem);
    drop_state(&mem->now);
    mem->now = hold_state(&mem->durable);
    mem->fault = (struct fault){0};
    give_lock(mem);
    kv_base_mend(kv);
}

uint32_t kv_mem_unsynced(const struct kv *kv)
{
    SH_CHECK(kv->ops == &mem_ops);
    return mem_of_const(kv)->unsynced;
}

void kv_mem_fail(struct kv *kv, uint32_t n, enum sh_err err, bool torn)
{
    SH_CHECK(kv->ops == &mem_ops);
    SH_CHECK(err != SH_OK);
    struct mem *mem = mem_of(kv);
    take_lock(mem);
    mem->fault = (struct fault){.left = n, .err = err, .torn = torn};
    give_lock(mem);
}

bool kv_mem_armed(const struct kv *kv)
{
    SH_CHECK(kv->ops == &mem_ops);
    return mem_of_const(kv)->fault.left > 0;
}

/* Pairs never change but here: as on a disk, all versions that have the pair see it. */
static uint8_t *value_of(const struct kv_pair *pair)
{
    return (uint8_t *)(uintptr_t)kv_pair_value(pair).at;
}

bool kv_mem_rot(struct kv *kv, uint32_t cf, uint64_t where)
{
    SH_CHECK(kv->ops == &mem_ops);
    SH_CHECK_CMP(cf, <, kv->cf_count);
    struct mem *mem = mem_of(kv);
    uint64_t count = 0;
    take_lock(mem);
    const struct kv_node *root = mem->durable.roots[cf];
    const struct kv_pair *pair = kv_tree_from(root, KV_ALL);
    for (; pair != NULL; pair = kv_tree_after(root, kv_pair_key(pair))) {
        count += pair->value_size > 0;
    }
    uint64_t turn = count > 0 ? where % count : 0;
    pair = count > 0 ? kv_tree_from(root, KV_ALL) : NULL;
    while (pair != NULL && (pair->value_size == 0 || turn > 0)) {
        turn -= pair->value_size > 0;
        pair = kv_tree_after(root, kv_pair_key(pair));
    }
    if (pair != NULL) {
        uint64_t bit = where / count % (UINT64_C(8) * pair->value_size);
        value_of(pair)[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    give_lock(mem);
    return pair != NULL;
}
