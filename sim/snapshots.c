/* SPDX-License-Identifier: Apache-2.0
 *
 * How an agent's log is cut, and how one that is behind the cut gets a snapshot, as
 * agent/replica.c and agent/snapshots.c do it: offered by the coordinator, pulled piece by piece
 * and written beside the live tables, judged by the core, and made live by one write. */
#include "sim/parts.h"

#include "base/rng.h"

#include <stdlib.h>
#include <string.h>

void sim_install_free(struct sim_install *install)
{
    if (install != NULL) {
        kv_batch_fini(&install->flip);
        free(install);
    }
}

uint64_t sim_contents(const struct sh_table *table)
{
    uint8_t last[SH_TABLE_KEY_MAX + 1];
    struct sh_span from = {0};
    struct sh_span key;
    struct sh_span value;
    uint64_t hash = 1;
    while (table->seek(table->ctx, from, (struct sh_span){0}, false, &key, &value)) {
        hash = sh_words64(sh_words64(hash, key.at, key.size), value.at, value.size);
        memcpy(last, key.at, key.size);
        last[key.size] = 0;
        from = (struct sh_span){.at = last, .size = key.size + 1};
    }
    return hash;
}

void sim_snapshots_begin(struct sim *sim, struct sim_agent *a, const struct wal_boot *boot)
{
    compaction_init(&a->compaction, sim->options.log, boot->compacted_index, boot->last_index);
}

/* ---- the log is cut ---- */

void sim_snapshots_compact(struct sim *sim, struct sim_agent *a, uint64_t applied)
{
    if (a->doomed || a->pull.install_token != 0) {
        return;
    }
    a->compaction.entries = sim->options.log;
    uint64_t upto = compaction_due(&a->compaction, applied, sim_streams_floor(a));
    if (upto == 0) {
        return;
    }
    struct raft_event event = {.type = RAFT_COMPACTED, .index = upto};
    sim_replica_step(sim, a, &event);
    if (sim_gap(sim, a, SIM_GAP_COMPACTING)) {
        return;
    }
    const struct raft_hard *hard = &sim->scratch->update.hard;
    struct sim_write *w = sim_zeroed(1, sizeof *w);
    w->has_hard = true;
    w->hard = (struct wal_hard){.term = hard->term, .vote = hard->vote, .commit = hard->commit};
    w->compact_to = upto;
    sim->counts.compactions++;
    sim_disk_submit(sim, a, w);
}

/* ---- offered ---- */

static void end_offer(struct sim *sim, struct sim_agent *a, uint64_t handle, bool ok)
{
    struct raft_event event = {.type = RAFT_SNAPSHOT_STATUS};
    event.snapshot.peer = handle;
    event.snapshot.ok = ok;
    if (offers_end(&a->offers, handle)) {
        sim_replica_step(sim, a, &event);
    }
}

void sim_snapshots_sent(struct sim *sim, struct sim_agent *a, uint32_t to, bool ok)
{
    if (a->raft != NULL && sim->agents[to]->identity.handle != 0) {
        end_offer(sim, a, sim->agents[to]->identity.handle, ok);
    }
}

/* An offer lives as long as its member goes on fetching. Each is ended or prolonged once. */
static void watch_offers(struct sim *sim, struct sim_agent *a)
{
    uint64_t handle = 0;
    uint64_t now = sim_local(sim, a);
    while (offers_late(&a->offers, now, &handle)) {
        const struct sim_agent *peer = sim_by_handle(sim, handle);
        if (peer != NULL && sim_streams_serving(sim, a, peer->number)) {
            offers_note(&a->offers, handle, now + SIM_OFFER_US);
        } else {
            end_offer(sim, a, handle, false);
        }
    }
}

/* Where the log turns out to hold the index that is offered, that it is committed is news enough.
 */
void sim_snapshots_offer(struct sim *sim, struct sim_agent *a, const struct raft_msg *msg)
{
    struct raft_event event = {.type = RAFT_RECEIVE, .message = msg};
    struct raft_status status;
    struct sim_pull *p = &a->pull;
    const struct sim_agent *from = sim_by_handle(sim, msg->from);
    uint64_t term = 0;
    raft_status(a->raft, &status);
    bool have = raft_term_at(a->raft, msg->snapshot.index, &term) && term == msg->snapshot.term;
    if (have || msg->snapshot.index <= status.commit) {
        sim_replica_step(sim, a, &event);
        return;
    }
    bool busy = p->state == SIM_PULLING || p->state == SIM_BACKING_OFF;
    if (from != NULL && from != a && !p->ordered &&
        (p->state == SIM_IDLE || (busy && p->source != from->number))) {
        p->ordered = true;
        p->order = from->number;
        p->order_wipes = from->wipes;
    }
}

/* ---- pulled ---- */

static void say(struct sim *sim, struct sim_agent *a, enum sim_stream_op op, uint32_t x, uint32_t y)
{
    uint8_t bytes[32];
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    struct sim_pull *p = &a->pull;
    p->call = ++a->call_next;
    sh_put_u8(&w, (uint8_t)op);
    sh_put_u64(&w, p->call);
    sh_put_u64(&w, p->stream);
    sh_put_u32(&w, x);
    sh_put_u32(&w, y);
    SH_CHECK(!w.full);
    if (sim->agents[p->source]->wipes == p->source_wipes) { /* else nobody is that any more */
        (void)sim_send(sim, a->number, p->source, SIM_SNAPSHOT, bytes, w.used);
    }
}

static void ask(struct sim *sim, struct sim_agent *a)
{
    struct sim_pull *p = &a->pull;
    p->due_us = sim_local(sim, a) + SIM_PULL_ASK_US;
    if (p->stream == 0) {
        say(sim, a, SIM_STREAM_OPEN, 0, 0);
    } else {
        say(sim, a, SIM_STREAM_READ, fsm_in_next(p->in), (uint32_t)p->used);
    }
}

static void begin_pull(struct sim *sim, struct sim_agent *a)
{
    struct sim_pull *p = &a->pull;
    p->state = SIM_PULLING;
    p->ordered = false;
    p->source = p->order;
    p->source_wipes = p->order_wipes;
    p->stream = 0;
    p->used = 0;
    p->piece_us = sim_local(sim, a);
    if (p->chunk == NULL) {
        p->chunk = malloc(FSM_SNAPSHOT_CHUNK_MAX);
        SH_CHECK(p->chunk != NULL);
    }
    ask(sim, a);
}

/* STALE: it was not wanted. */
static void end_pull(struct sim *sim, struct sim_agent *a, enum sh_err err)
{
    struct sim_pull *p = &a->pull;
    if (p->stream != 0) {
        say(sim, a, SIM_STREAM_DONE, (uint32_t)err, 0); /* lost: the other end gives up by itself */
    }
    fsm_in_close(p->in);
    p->in = NULL;
    p->stream = 0;
    p->call = 0;
    p->ordered = p->ordered && err != SH_OK;
    p->state = SIM_IDLE;
    if (err != SH_OK && err != SH_ERR_STALE) {
        p->state = SIM_BACKING_OFF;
        p->due_us = sim_local(sim, a) + SIM_PULL_PAUSE_US;
    }
}

static struct sim_install *take_staged(struct sim_agent *a)
{
    struct sim_pull *p = &a->pull;
    struct sim_install *install = sim_zeroed(1, sizeof *install);
    install->index = fsm_in_applied(p->in)->index;
    install->term = fsm_in_applied(p->in)->term;
    kv_batch_init(&install->flip);
    fsm_in_flip(p->in, &install->flip);
    fsm_in_give(p->in);
    p->state = SIM_FLIPPING;
    return install;
}

/* Has the core judge the snapshot that is staged. What it ends with is committed, so it may come
 * from any coordinator; it needs one to be answered to. */
static void judge(struct sim *sim, struct sim_agent *a)
{
    struct sim_pull *p = &a->pull;
    struct raft_update *u = &sim->scratch->update;
    uint64_t now = sim_local(sim, a);
    bool led = a->leader != 0 && a->leader != a->handle;
    if (p->staged_until_us == 0 || a->doomed) {
        return;
    }
    if (!led && a->role != RAFT_LEADER && now < p->staged_until_us) {
        p->due_us = now + SIM_HEARTBEAT_US;
        return;
    }
    p->staged_until_us = 0;
    struct raft_msg msg = {.type = RAFT_MSG_SNAP,
                           .from = a->leader,
                           .to = a->handle,
                           .term = a->term,
                           .snapshot = p->staged};
    struct raft_event event = {.type = RAFT_RECEIVE, .now = now, .message = &msg};
    u->install = false;
    if (led) {
        raft_step(a->raft, &event, u);
    }
    if (u->install) {
        sim_apply_hold(a);
        p->install = take_staged(a);
        compaction_reset(&a->compaction, p->staged.index);
    } else {
        end_pull(sim, a, SH_ERR_STALE);
    }
    if (led) {
        sim_replica_absorb(sim, a);
    }
}

static enum sh_err stage(struct sim *sim, struct sim_agent *a)
{
    struct sim_pull *p = &a->pull;
    const struct fsm_applied *applied = fsm_in_applied(p->in);
    struct sh_reader r = sh_reader_over(applied->conf, applied->conf_size);
    p->staged = (struct raft_snapshot){.index = applied->index, .term = applied->term};
    enum sh_err err = raft_conf_decode(&r, &p->staged.conf);
    if (err == SH_OK) {
        p->state = SIM_STAGED;
        p->staged_until_us = sim_local(sim, a) + SIM_STAGED_US;
    }
    return err;
}

/* A whole chunk is here. */
static enum sh_err take_chunk(struct sim *sim, struct sim_agent *a)
{
    struct sim_pull *p = &a->pull;
    enum sh_err err = fsm_in_take(p->in, (struct sh_span){.at = p->chunk, .size = p->used});
    p->used = 0;
    if (err == SH_OK && fsm_in_complete(p->in)) {
        err = stage(sim, a);
        if (err == SH_OK && !sim_gap(sim, a, SIM_GAP_FETCHED)) {
            judge(sim, a);
        }
    } else if (err == SH_OK && !sim_gap(sim, a, SIM_GAP_PULLED)) {
        ask(sim, a);
    }
    return err;
}

static enum sh_err take_answer(struct sim *sim, struct sim_agent *a, struct sh_reader *r)
{
    struct sim_pull *p = &a->pull;
    p->piece_us = sim_local(sim, a);
    if (p->stream == 0) {
        p->stream = sh_get_u64(r);
        enum sh_err err = fsm_in_open(a->fsm, JOBS_SCHEMA, &p->in);
        if (err == SH_OK) {
            ask(sim, a);
        }
        return err;
    }
    size_t total = sh_get_u32(r);
    size_t piece = sh_reader_left(r);
    if (r->bad || piece == 0 || total > FSM_SNAPSHOT_CHUNK_MAX || piece > total - p->used) {
        return SH_ERR_CORRUPT;
    }
    memcpy(p->chunk + p->used, r->at + r->used, piece);
    p->used += piece;
    if (p->used == total) {
        return take_chunk(sim, a);
    }
    ask(sim, a);
    return SH_OK;
}

void sim_snapshots_receive(struct sim *sim, struct sim_agent *a, const struct sim_msg *msg)
{
    struct sh_reader r = sh_reader_over(msg->bytes, msg->size);
    struct sim_pull *p = &a->pull;
    if (sh_get_u8(&r) != SIM_STREAM_ANSWER) {
        sim_streams_answer(sim, a, msg);
        return;
    }
    uint64_t call = sh_get_u64(&r);
    enum sh_err err = sh_err_from_u32(sh_get_u32(&r));
    if (p->state != SIM_PULLING || msg->from != p->source || call != p->call) {
        return; /* to a question that was asked again since, or whose asker is gone */
    }
    p->call = 0;
    if (err == SH_ERR_FULL) { /* the other end serves as many as it may */
        p->due_us = sim_local(sim, a) + SIM_PULL_RETRY_US;
        return;
    }
    if (err != SH_OK) {
        end_pull(sim, a, err); /* the other end has no such stream any more */
        return;
    }
    err = take_answer(sim, a, &r);
    if (err != SH_OK && kv_health(a->kv) != SH_OK) {
        sim_agent_fail(sim, a, err, "writing a snapshot failed");
    } else if (err != SH_OK) {
        sim_check_fail(&sim->check, "%s cannot take what %s gives it of a snapshot: %s",
                       sim_name(a->number), sim_name(p->source), sh_err_text(err));
    }
}

/* ---- put in place ---- */

bool sim_snapshots_switch(struct sim *sim, struct sim_agent *a)
{
    if (sim_gap(sim, a, SIM_GAP_INSTALLED)) {
        return false;
    }
    enum sh_err err = fsm_switch(a->fsm, NULL);
    if (err != SH_OK) {
        sim_agent_fail(sim, a, err, "going on from a snapshot failed");
        return false;
    }
    a->apply.applied = fsm_applied_index(a->fsm);
    const struct sh_table *table = fsm_begin(a->fsm);
    sim_check_contents(&sim->check, a->number, a->apply.applied, sim_contents(table));
    sim_check_tables(&sim->check, a->number, a->apply.applied, table);
    if (sim->check.failure[0] == '\0') {
        jobs_check(a->jobs, table);
    }
    fsm_abort(a->fsm);
    return true;
}

void sim_snapshots_durable(struct sim *sim, struct sim_agent *a)
{
    struct sim_pull *p = &a->pull;
    if (a->doomed || p->install_token == 0 || p->install_token > a->durable) {
        return;
    }
    p->install_token = 0;
    sim->counts.snapshots++;
    sim_note(sim, SIM_NOTE_GROUP, "%s goes on from a snapshot of index %llu", sim_name(a->number),
             (unsigned long long)a->apply.applied);
    end_pull(sim, a, SH_OK);
    sim_apply_resume(sim, a);
}

/* ---- time ---- */

/* It makes no headway, or none while another agent offers one. */
static bool is_stuck(const struct sim *sim, const struct sim_agent *a)
{
    uint64_t stuck_us = sim_local(sim, a) - a->pull.piece_us;
    return stuck_us > SIM_PULL_IDLE_US || (a->pull.ordered && stuck_us > SIM_PULL_STUCK_US);
}

void sim_snapshots_tick(struct sim *sim, struct sim_agent *a)
{
    struct sim_pull *p = &a->pull;
    if (a->raft == NULL || a->doomed) {
        return;
    }
    watch_offers(sim, a);
    judge(sim, a);
    bool due = p->due_us <= sim_local(sim, a);
    if (p->state == SIM_BACKING_OFF && due) {
        p->state = SIM_IDLE;
    }
    if (p->state == SIM_IDLE && p->ordered) {
        begin_pull(sim, a);
    } else if (p->state == SIM_PULLING && due) {
        if (is_stuck(sim, a)) {
            end_pull(sim, a, SH_ERR_TIMEOUT);
        } else {
            ask(sim, a);
        }
    }
}

uint64_t sim_snapshots_deadline(const struct sim_agent *a)
{
    const struct sim_pull *p = &a->pull;
    uint64_t least = offers_deadline_us(&a->offers);
    uint64_t due = UINT64_MAX;
    if (p->state == SIM_IDLE) {
        due = p->ordered ? 0 : UINT64_MAX;
    } else if (p->state != SIM_FLIPPING) {
        due = p->due_us;
    }
    return due < least ? due : least;
}

void sim_snapshots_abandon(struct sim_agent *a)
{
    struct sim_pull *p = &a->pull;
    sim_streams_clear(a);
    sim_install_free(p->install);
    kv_mem_fail(a->kv, 1, SH_ERR_IO, false); /* who has ended tidies nothing up */
    fsm_in_close(p->in);
    free(p->chunk);
    *p = (struct sim_pull){0};
    a->offers = (struct offers){0};
}
