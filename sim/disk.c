/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/parts.h"

#include <stdlib.h>

static void free_write(struct sim_write *w)
{
    sim_install_free(w->install);
    free(w);
}

/* It shares its batch with no other. */
static bool is_alone(const struct sim_write *w)
{
    return w->install != NULL || w->compact_to != 0;
}

/* Writes are merged as agent/disk.c does: while their entries follow one another. */
static uint32_t batch_of(const struct sim_disk *disk, uint32_t *entries, bool *sync)
{
    uint32_t writes = 0;
    uint64_t next = 0;
    *entries = 0;
    *sync = false;
    if (disk->first != NULL && is_alone(disk->first)) {
        *sync = true;
        return 1;
    }
    for (const struct sim_write *w = disk->first; w != NULL && !is_alone(w); w = w->next) {
        if (w->count > 0 && next != 0 && w->entries[0].index != next) {
            break;
        }
        if (*entries + w->count > SIM_BATCH_ENTRIES && writes > 0) {
            break;
        }
        next = w->count > 0 ? w->entries[w->count - 1].index + 1 : next;
        *entries += w->count;
        *sync = *sync || w->sync;
        writes++;
    }
    return writes;
}

static void begin(struct sim *sim, struct sim_agent *a)
{
    struct sim_disk *d = &a->disk;
    uint32_t entries;
    bool sync;
    d->batch = batch_of(d, &entries, &sync);
    d->busy = d->batch > 0;
    if (!d->busy) {
        return;
    }
    uint64_t took = sim_about(&sim->rng, sim->options.disk.write_us);
    if (sync) {
        took += sim_about(&sim->rng, sim->options.disk.sync_us) + d->extra_us;
    }
    sim_queue_push(&sim->queue, (struct sim_event){.at = sim->now_us + took,
                                                   .who = a->number,
                                                   .life = a->life,
                                                   .kind = SIM_EV_DISK});
}

void sim_disk_submit(struct sim *sim, struct sim_agent *a, struct sim_write *write)
{
    struct sim_disk *d = &a->disk;
    if (a->doomed) {
        free_write(write);
        return;
    }
    write->next = NULL;
    if (++d->waiting > SIM_DISK_QUEUE_MAX) {
        sim_check_fail(&sim->check, "the queue of %s's disk overflows", sim_name(a->number));
    }
    if (d->last != NULL) {
        d->last->next = write;
    } else {
        d->first = write;
    }
    d->last = write;
    if (!d->busy) {
        begin(sim, a);
    }
}

/* The batch under way leaves the queue; it has been written, or not. */
static void take_off(struct sim_disk *d)
{
    for (; d->batch > 0; d->batch--) {
        struct sim_write *w = d->first;
        d->first = w->next;
        d->waiting--;
        free_write(w);
    }
    d->last = d->first == NULL ? NULL : d->last;
    d->busy = false;
}

/* Did a write that ended like this reach the disk? It did where the armed failure hit it and keeps
 * its bytes, although the answer is no. */
static bool arrived(const struct sim_agent *a, enum sh_err err, bool armed)
{
    return err == SH_OK || (armed && a->disk.torn && !kv_mem_armed(a->kv));
}

static enum sh_err save_log(struct sim *sim, struct sim_agent *a)
{
    struct sim_disk *d = &a->disk;
    struct wal_entry entries[SIM_BATCH_ENTRIES];
    struct wal_hard hard = {0};
    const struct sim_write *w = d->first;
    bool has_hard = false;
    bool sync = false;
    bool armed = kv_mem_armed(a->kv);
    uint32_t count = 0;
    for (uint32_t i = 0; i < d->batch; i++, w = w->next) {
        SH_CHECK_CMP(count + w->count, <=, SIM_BATCH_ENTRIES);
        for (uint32_t k = 0; k < w->count; k++) {
            entries[count++] = w->entries[k];
        }
        hard = w->has_hard ? w->hard : hard;
        has_hard = has_hard || w->has_hard;
        sync = sync || w->sync;
    }
    enum sh_err err = wal_save(a->wal, has_hard ? &hard : NULL, entries, count, sync && !d->lying);
    if (arrived(a, err, armed)) {
        sim_check_write(&sim->check, a->number, has_hard ? &hard : NULL, entries, count, sync);
    }
    return err;
}

static enum sh_err install(struct sim *sim, struct sim_agent *a, const struct sim_write *w)
{
    const struct sim_install *i = w->install;
    bool armed = kv_mem_armed(a->kv);
    enum sh_err err = wal_install(a->wal, i->index, i->term, &w->hard, &i->flip);
    if (arrived(a, err, armed)) {
        sim_check_install(&sim->check, a->number, i->index, i->term, &w->hard);
    }
    return err;
}

/* The commit index on the disk may lie behind the one by which the core judged. */
static enum sh_err compact(struct sim *sim, struct sim_agent *a, const struct sim_write *w)
{
    bool armed = kv_mem_armed(a->kv);
    enum sh_err err = wal_save(a->wal, &w->hard, NULL, 0, false);
    if (arrived(a, err, armed)) {
        sim_check_write(&sim->check, a->number, &w->hard, NULL, 0, false);
    }
    return err == SH_OK ? wal_compact(a->wal, w->compact_to) : err;
}

/* Writes the batch under way and takes it off the queue. *token: the newest in it. */
static enum sh_err save(struct sim *sim, struct sim_agent *a, uint64_t *token)
{
    struct sim_disk *d = &a->disk;
    const struct sim_write *w = d->first;
    enum sh_err err;
    *token = 0;
    if (w->install != NULL) {
        err = install(sim, a, w);
    } else {
        err = w->compact_to != 0 ? compact(sim, a, w) : save_log(sim, a);
    }
    for (uint32_t i = 0; i < d->batch; i++, w = w->next) {
        *token = w->token != 0 ? w->token : *token;
    }
    take_off(d);
    return err;
}

void sim_disk_event(struct sim *sim, struct sim_agent *a)
{
    uint64_t token;
    SH_CHECK(a->disk.busy);
    bool installs = a->disk.first->install != NULL;
    bool compacts = a->disk.first->compact_to != 0;
    enum sh_err err = save(sim, a, &token);
    if (err != SH_OK) {
        a->disk.failed = true;
        sim_agent_fail(sim, a, err, "writing the log failed");
        return;
    }
    if ((installs && !sim_snapshots_switch(sim, a)) ||
        (compacts && sim_gap(sim, a, SIM_GAP_COMPACTED))) {
        return;
    }
    begin(sim, a);
    if (token != 0 && !sim_gap(sim, a, SIM_GAP_DURABLE)) {
        sim_replica_durable(sim, a, token);
    }
}

void sim_disk_crash(struct sim *sim, struct sim_agent *a, enum sim_loss_kind kind)
{
    struct sim_disk *d = &a->disk;
    uint64_t token;
    kv_mem_fail(a->kv, 0, SH_ERR_IO, false); /* an armed failure has no time left to happen */
    /* Of the write under way nothing has arrived, or all; torn: the records before the torn one,
     * which its hash betrays. Nobody was told. */
    if (d->busy && kv_health(a->kv) == SH_OK) {
        uint64_t keep = sh_rng_chance(&sim->rng, 1, 2) ? d->batch : 0;
        if (kind == SIM_TORN) {
            keep = sh_rng_below(&sim->rng, (uint64_t)d->batch + 1);
        }
        d->batch = (uint32_t)keep;
        if (keep > 0) {
            SH_CHECK(save(sim, a, &token) == SH_OK);
        }
    }
    while (d->first != NULL) {
        struct sim_write *w = d->first;
        d->first = w->next;
        free_write(w);
    }
    d->last = NULL;
    d->busy = false;
    d->batch = 0;
    d->waiting = 0;
    sim_snapshots_abandon(a);
    uint32_t keep = UINT32_MAX;
    if (kind != SIM_KILL) {
        keep = (uint32_t)sh_rng_below(&sim->rng, (uint64_t)kv_mem_unsynced(a->kv) + 1);
    }
    wal_close(a->wal);
    fsm_close(a->fsm);
    a->wal = NULL;
    a->fsm = NULL;
    kv_mem_crash(a->kv, keep);
}
