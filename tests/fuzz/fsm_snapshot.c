/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a stream of a snapshot's chunks: what is not one is refused, and whatever was taken
 * the live tables stay as they are. Input: u8 kind, u16 size (little-endian), payload; repeated,
 * each sealed with a number and hash that fit, so that what lies behind the hash is reached. */
#include "store/fsm/snapshot.h"
#include "store/kv_mem.h"

#include "base/host/host.h"
#include "base/rng.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HASHED = 14, HEAD = 22, PAYLOAD_MAX = 65535 };

static const struct kv_cf cfs[] = {{.name = "fsm"}};

static size_t seal(uint8_t *chunk, uint8_t kind, uint32_t number, struct sh_span payload)
{
    struct sh_writer w = sh_writer_over(chunk, HEAD + PAYLOAD_MAX);
    sh_put_u8(&w, 1);
    sh_put_u8(&w, kind);
    sh_put_u64(&w, 9);
    sh_put_u32(&w, number);
    uint64_t hash = sh_hash64(sh_hash64(0, chunk, HASHED), payload.at, payload.size);
    sh_put_u64(&w, hash);
    sh_put_bytes(&w, payload.at, payload.size);
    SH_CHECK(!w.full);
    return w.used;
}

static enum sh_err feed(struct fsm_in *in, const uint8_t *data, size_t size)
{
    static uint8_t chunk[HEAD + PAYLOAD_MAX];
    struct sh_reader r = sh_reader_over(data, size);
    enum sh_err err = SH_OK;
    while (err == SH_OK && sh_reader_left(&r) >= 3) {
        uint8_t kind = sh_get_u8(&r);
        size_t want = sh_get_u16(&r);
        size_t left = sh_reader_left(&r);
        struct sh_span payload = {.at = r.at + r.used, .size = want < left ? want : left};
        r.used += payload.size;
        size_t used = seal(chunk, kind, fsm_in_next(in), payload);
        err = fsm_in_take(in, (struct sh_span){.at = chunk, .size = used});
    }
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kv *kv = NULL;
    struct fsm *fsm = NULL;
    struct fsm_in *in = NULL;
    sh_host_init();
    SH_CHECK(kv_mem_open(cfs, 1, &kv) == SH_OK);
    SH_CHECK(fsm_open(kv, 0, NULL, &fsm, NULL) == SH_OK);
    const struct sh_table *t = fsm_begin(fsm);
    t->put(t->ctx, KV_SPAN("a", 1), KV_SPAN("1", 1));
    SH_CHECK(fsm_commit(fsm, 1, 1, 0, KV_ALL, true) == SH_OK);
    SH_CHECK(fsm_in_open(fsm, 0, &in) == SH_OK);
    enum sh_err err = feed(in, data, size);
    SH_CHECK(SH_IMPLIES(fsm_in_complete(in), err == SH_OK));
    fsm_in_close(in);
    SH_CHECK(fsm_switch(fsm, NULL) == SH_OK);
    SH_CHECK(fsm_applied_index(fsm) == 1);
    fsm_close(fsm);
    kv_close(kv);
    return 0;
}
