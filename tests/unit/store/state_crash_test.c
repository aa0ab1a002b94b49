/* SPDX-License-Identifier: Apache-2.0
 *
 * A voter's whole state (log, hard state, tables) as an agent writes it, snapshots included, with a
 * failed write and a crash at every point: what comes back is a state it had, with everything it
 * promised. */
#include "store/fsm/snapshot.h"
#include "store/kv_mem.h"
#include "store/wal/wal.h"

#include "base/host/host.h"
#include "base/rng.h"
#include "tst.h"

#include <stdlib.h>

enum { META, LOG, FSM, TURNS = 30, KEYS = 8 };

static const struct kv_cf cfs[] = {{.name = "meta"}, {.name = "log"}, {.name = "fsm"}};

struct voter {
    struct kv *kv;
    struct wal *wal;
    struct fsm *fsm;
    struct sh_rng rng;
    struct wal_hard hard;
    uint64_t promised_last; /* entries of a synced save: an acknowledgement may have left */
    struct wal_hard promised;
};

/* The command of an entry: which key becomes which value follows from its index alone, so that a
 * repeated apply is the same apply. */
static void apply(const struct sh_table *t, uint64_t index)
{
    uint8_t key = (uint8_t)(sh_mix64(index) % KEYS);
    uint8_t value[8];
    sh_key_u64(value, index);
    t->put(t->ctx, KV_SPAN(&key, 1), KV_SPAN(value, sizeof value));
}

static void check_tables(struct fsm *fsm, uint64_t applied)
{
    uint64_t want[KEYS] = {0};
    for (uint64_t i = 1; i <= applied; i++) {
        want[sh_mix64(i) % KEYS] = i;
    }
    const struct sh_table *t = fsm_begin(fsm);
    for (uint8_t key = 0; key < KEYS; key++) {
        struct sh_span value;
        bool found = t->get(t->ctx, KV_SPAN(&key, 1), &value);
        EXPECT_EQ(found, want[key] != 0);
        EXPECT(!found || sh_key_u64_get(value.at) == want[key]);
    }
    fsm_abort(fsm);
}

static enum sh_err append(struct voter *v)
{
    struct wal_entry entries[3];
    uint64_t tail = wal_last_index(v->wal) - v->hard.commit;
    uint64_t back = sh_rng_below(&v->rng, tail + 1);
    uint32_t count = 1 + (uint32_t)sh_rng_below(&v->rng, SH_COUNT(entries));
    struct wal_hard hard = v->hard;
    bool sync = sh_rng_chance(&v->rng, 1, 2);
    hard.term += back > 0 || sh_rng_chance(&v->rng, 1, 4) ? 1 : 0;
    for (uint32_t i = 0; i < count; i++) {
        entries[i] = (struct wal_entry){.index = wal_last_index(v->wal) - back + 1 + i,
                                        .term = hard.term,
                                        .bytes = KV_SPAN("payload", 7)};
    }
    enum sh_err err = wal_save(v->wal, &hard, entries, count, sync);
    if (err == SH_OK) {
        v->hard = hard;
    }
    if (err == SH_OK && sync) {
        v->promised_last = wal_last_index(v->wal);
        v->promised = hard;
    } else if (entries[0].index <= v->promised_last) {
        v->promised_last = entries[0].index - 1; /* replaced, or perhaps: the write may have torn */
    }
    return err;
}

static enum sh_err advance_commit(struct voter *v)
{
    struct wal_hard hard = v->hard;
    hard.commit += sh_rng_below(&v->rng, wal_last_index(v->wal) - hard.commit + 1);
    enum sh_err err = wal_save(v->wal, &hard, NULL, 0, false);
    v->hard = err == SH_OK ? hard : v->hard;
    return err;
}

static enum sh_err apply_some(struct voter *v)
{
    uint64_t from = fsm_applied_index(v->fsm);
    uint64_t upto = from + sh_rng_below(&v->rng, v->hard.commit - from + 1);
    uint64_t term = 0;
    const struct sh_table *t = fsm_begin(v->fsm);
    for (uint64_t i = from + 1; i <= upto; i++) {
        apply(t, i);
    }
    EXPECT_EQ(wal_term(v->wal, upto, &term), SH_OK);
    return fsm_commit(v->fsm, upto, term, 0, KV_ALL, false);
}

/* Tables of somebody who has applied more, as a stream from there. */
static struct fsm_out *ahead(struct kv *kv, struct fsm **fsm, uint64_t index)
{
    struct fsm_out *out = NULL;
    EXPECT_EQ(fsm_open(kv, FSM, NULL, fsm, NULL), SH_OK);
    const struct sh_table *t = fsm_begin(*fsm);
    for (uint64_t i = 1; i <= index; i++) {
        apply(t, i);
    }
    EXPECT_EQ(fsm_commit(*fsm, index, 1, 0, KV_ALL, false), SH_OK);
    EXPECT_EQ(fsm_out_open(*fsm, index, 0, &out), SH_OK);
    return out;
}

static enum sh_err install_from(struct voter *v, struct fsm_out *out)
{
    static uint8_t chunk[FSM_SNAPSHOT_CHUNK_MAX];
    struct wal_hard hard = {.term = v->hard.term + 1, .commit = fsm_out_applied(out)->index};
    struct fsm_in *in = NULL;
    struct kv_batch flip;
    kv_batch_init(&flip);
    enum sh_err err = fsm_in_open(v->fsm, 0, &in);
    for (size_t size = 1; err == SH_OK && size > 0;) {
        size = fsm_out_next(out, chunk);
        err = size > 0 ? fsm_in_take(in, KV_SPAN(chunk, size)) : SH_OK;
    }
    if (err == SH_OK) {
        fsm_in_flip(in, &flip);
        fsm_in_give(in);
        err = wal_install(v->wal, hard.commit, 1, &hard, &flip);
    }
    if (err == SH_OK) {
        v->hard = hard;
        v->promised = hard;
        v->promised_last = hard.commit;
        err = fsm_switch(v->fsm, NULL);
    } else if (v->promised_last > hard.commit) {
        v->promised_last = hard.commit; /* the snapshot may have torn its way in */
    }
    kv_batch_fini(&flip);
    fsm_in_close(in);
    return err;
}

static enum sh_err install(struct voter *v)
{
    struct kv *kv = NULL;
    struct fsm *fsm = NULL;
    EXPECT_EQ(kv_mem_open(cfs, SH_COUNT(cfs), &kv), SH_OK);
    struct fsm_out *out = ahead(kv, &fsm, v->hard.commit + 1 + sh_rng_below(&v->rng, 20));
    enum sh_err err = install_from(v, out);
    fsm_out_close(out);
    fsm_close(fsm);
    kv_close(kv);
    return err;
}

static enum sh_err turn(struct voter *v)
{
    uint64_t kind = sh_rng_below(&v->rng, 9);
    if (kind == 8) {
        return install(v);
    }
    if (kind < 3) {
        return append(v);
    }
    if (kind < 5) {
        return advance_commit(v);
    }
    if (kind < 7) {
        return apply_some(v);
    }
    enum sh_err err = wal_compact(v->wal, fsm_applied_index(v->fsm));
    if (err == SH_OK) {
        v->promised_last = wal_last_index(v->wal);
        v->promised = v->hard;
    }
    return err;
}

static void open_voter(struct voter *v)
{
    struct wal_boot boot;
    EXPECT_EQ(wal_open(v->kv, LOG, META, &boot, &v->wal), SH_OK);
    EXPECT_EQ(fsm_open(v->kv, FSM, NULL, &v->fsm, NULL), SH_OK);
    v->hard = boot.hard;
}

static void close_voter(struct voter *v)
{
    wal_close(v->wal);
    fsm_close(v->fsm);
}

static void check_after_crash(struct voter *v)
{
    uint64_t applied = fsm_applied_index(v->fsm);
    EXPECT(v->hard.term >= v->promised.term);
    EXPECT(v->hard.commit >= v->promised.commit);
    EXPECT(wal_last_index(v->wal) >= v->promised_last);
    EXPECT(applied >= wal_compacted_index(v->wal));
    EXPECT(applied <= v->hard.commit);
    EXPECT(v->hard.commit <= wal_last_index(v->wal));
    check_tables(v->fsm, applied);
}

/* False when the n-th write was never reached. */
static bool run(uint64_t seed, uint32_t n, bool torn, uint32_t keep)
{
    struct voter v = {0};
    EXPECT_EQ(kv_mem_open(cfs, SH_COUNT(cfs), &v.kv), SH_OK);
    sh_rng_init(&v.rng, seed);
    open_voter(&v);
    kv_mem_fail(v.kv, n, SH_ERR_IO, torn);
    enum sh_err err = SH_OK;
    for (int i = 0; i < TURNS && err == SH_OK; i++) {
        err = turn(&v);
    }
    bool fired = !kv_mem_armed(v.kv);
    EXPECT_EQ(err, fired ? SH_ERR_IO : SH_OK);
    close_voter(&v);
    kv_mem_crash(v.kv, keep);
    open_voter(&v);
    check_after_crash(&v);
    for (int i = 0; i < TURNS; i++) {
        EXPECT_EQ(turn(&v), SH_OK);
    }
    check_tables(v.fsm, fsm_applied_index(v.fsm));
    close_voter(&v);
    kv_close(v.kv);
    return fired;
}

static const uint32_t keeps[] = {0, 1, 2, 5, UINT32_MAX};

TEST_ROWS(a_voter_comes_back_whole_from_a_crash_at_every_write, keeps)
{
    uint64_t first = tst_seed() * 1000;
    sh_host_init();
    for (uint64_t seed = first; seed < first + 10; seed++) {
        for (uint32_t torn = 0; torn < 2; torn++) {
            uint32_t n = 1;
            while (run(seed, n, torn == 1, keeps[tst_row])) {
                n++;
            }
            EXPECT(n > TURNS / 2);
        }
    }
}
