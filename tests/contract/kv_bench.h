/* SPDX-License-Identifier: Apache-2.0
 *
 * The implementations of store/kv.h as rows of one table, and words for short tests. */
#ifndef KV_BENCH_H
#define KV_BENCH_H

#include "store/kv_mem.h"
#include "store/kv_rocks.h"
#include "tst.h"

#include <stdio.h>
#include <string.h>

enum { A, B, BIG, ROWS, BENCH_CFS };

static const struct kv_cf bench_cfs[] = {
    {.name = "a", .kind = KV_CF_SMALL},
    {.name = "b", .kind = KV_CF_TEXT},
    {.name = "big", .kind = KV_CF_LARGE},
    {.name = "rows", .kind = KV_CF_ROWS},
};

static inline struct sh_span text_span(const char *text)
{
    return KV_SPAN(text, strlen(text));
}

static inline struct kv *bench_open_rocks(const char *name, bool redo)
{
    char path[512];
    char why[KV_TEXT_BYTES];
    struct kv *kv = NULL;
    (void)snprintf(path, sizeof path, "%s/%s", tst_dir(), name);
    struct kv_rocks_options options = {
        .path = path, .cfs = bench_cfs, .cf_count = BENCH_CFS, .create = true, .redo = redo};
    if (kv_rocks_open(&options, &kv, why) != SH_OK) {
        tst_fail(__FILE__, __LINE__, "a store opens: %s", why);
    }
    return kv;
}

static inline struct kv *bench_open_mem(void)
{
    struct kv *kv = NULL;
    EXPECT_EQ(kv_mem_open(bench_cfs, BENCH_CFS, &kv), SH_OK);
    return kv;
}

static inline struct kv *bench_open_rocks_one(void)
{
    return bench_open_rocks("kv", false);
}

static inline struct kv *bench_open_redo(void)
{
    return bench_open_rocks("kv", true);
}

/* Ends the process that had it, as far as the store can tell, and opens it again. */
static inline struct kv *bench_reopen_mem(struct kv *kv)
{
    kv_mem_crash(kv, UINT32_MAX);
    return kv;
}

static inline struct kv *bench_reopen_rocks(struct kv *kv)
{
    kv_close(kv);
    return bench_open_rocks("kv", false);
}

static inline struct kv *bench_reopen_redo(struct kv *kv)
{
    kv_close(kv);
    return bench_open_rocks("kv", true);
}

struct bench {
    const char *name;
    struct kv *(*open)(void);
    struct kv *(*reopen)(struct kv *kv);
};

static const struct bench benches[] = {
    {.name = "mem", .open = bench_open_mem, .reopen = bench_reopen_mem},
    {.name = "rocks", .open = bench_open_rocks_one, .reopen = bench_reopen_rocks},
    {.name = "rocks with redo", .open = bench_open_redo, .reopen = bench_reopen_redo},
};

static inline void put_now(struct kv *kv, uint32_t cf, const char *key, const char *value)
{
    struct kv_batch batch;
    kv_batch_init(&batch);
    kv_batch_put(&batch, cf, text_span(key), text_span(value));
    EXPECT_EQ(kv_write(kv, &batch, false), SH_OK);
    kv_batch_fini(&batch);
}

static inline void expect_value(struct kv *kv, const struct kv_snap *snap, uint32_t cf,
                                const char *key, const char *value)
{
    char text[256];
    size_t used = 0;
    enum sh_err err = kv_get_into(kv, snap, cf, text_span(key), text, sizeof text - 1, &used);
    text[used] = '\0';
    EXPECT_STR(err == SH_OK ? text : sh_err_name(err), value);
}

#endif
