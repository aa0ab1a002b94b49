/* SPDX-License-Identifier: Apache-2.0
 *
 * Sending the log, taking it in, and committing it. */
#include "raft/core.h"

static struct raft_inflight *rows_of(const struct raft *r)
{
    return raft_part(r, r->layout.inflight);
}

bool raft_append_own(struct raft *r, const struct raft_entry *entries, uint32_t count, bool reserve)
{
    SH_CHECK(r->role == RAFT_LEADER);
    SH_CHECK_CMP(r->out_count, ==, 0); /* no message points into the tail yet */
    uint64_t before = r->log.last;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct raft_entry entry = entries[i];
        entry.term = r->term;
        entry.index = r->log.last + 1;
        if (!raft_log_append(r, &entry, reserve)) {
            if (r->log.last > before) {
                raft_log_truncate(r, before);
            }
            return false;
        }
        bytes += entry.size;
    }
    r->uncommitted += bytes;
    if (r->append_first == 0) {
        r->append_first = before + 1;
    }
    return true;
}

static bool send_snapshot(struct raft *r, struct raft_peer *peer)
{
    if (!peer->active) {
        return false; /* nobody there to take it; its first answer brings us here again */
    }
    struct raft_snapshot snapshot = {.conf = r->conf};
    snapshot.index = r->applied > r->conf_index ? r->applied : r->conf_index;
    bool known = raft_log_term(r, snapshot.index, &snapshot.term);
    SH_CHECK(known);
    struct raft_peer_status progress = raft_peer_status(&r->peers, peer);
    raft_tell(r, (struct raft_trace){.type = RAFT_TRACE_SNAPSHOT_SENT,
                                     .peer = peer->id,
                                     .index = snapshot.index,
                                     .log_term = snapshot.term,
                                     .progress = &progress});
    raft_peer_snapshot(peer, snapshot.index);
    progress = raft_peer_status(&r->peers, peer);
    raft_tell(r, (struct raft_trace){
                     .type = RAFT_TRACE_SNAPSHOT_PAUSE, .peer = peer->id, .progress = &progress});
    raft_out(r, RAFT_MSG_SNAP, peer->id)->snapshot = snapshot;
    return true;
}

static void ask_host(struct raft *r, struct raft_peer *peer)
{
    struct raft_log_read *reads = raft_part(r, r->layout.log_reads);
    if (r->log_read_count == RAFT_PEERS_MAX) {
        return; /* asked for again on the next answer or heartbeat */
    }
    uint64_t held = r->log.tail_first - peer->next;
    uint32_t most = r->config.limits.batch_entries;
    r->request++;
    peer->read_request = r->request;
    reads[r->log_read_count] =
        (struct raft_log_read){.request = r->request,
                               .from = peer->next,
                               .max_count = held < most ? (uint32_t)held : most,
                               .max_bytes = r->config.limits.batch_bytes};
    r->log_read_count++;
}

/* How many of entries fit one message; at least one. */
static uint32_t batch(const struct raft *r, const struct raft_entry *entries, uint32_t count,
                      uint64_t *bytes)
{
    uint32_t n = 0;
    *bytes = 0;
    while (n < count && n < r->config.limits.batch_entries) {
        uint64_t sum = *bytes + entries[n].size;
        if (n > 0 && sum > r->config.limits.batch_bytes) {
            break;
        }
        *bytes = sum;
        n++;
    }
    return n;
}

static void emit_append(struct raft *r, struct raft_peer *peer, const struct raft_entry *entries,
                        uint32_t count)
{
    uint64_t bytes = 0;
    uint64_t prev_term = 0;
    bool known = raft_log_term(r, peer->next - 1, &prev_term);
    SH_CHECK(known);
    uint32_t n = batch(r, entries, count, &bytes);
    struct raft_msg *m = raft_out(r, RAFT_MSG_APP, peer->id);
    m->index = peer->next - 1;
    m->log_term = prev_term;
    m->commit = r->commit;
    m->entries = entries;
    m->entry_count = n;
    raft_peer_sent(&r->peers, peer, rows_of(r), n, bytes);
    peer->sent_commit = r->commit;
}

bool raft_send_append(struct raft *r, struct raft_peer *peer, bool even_empty)
{
    SH_CHECK(r->role == RAFT_LEADER);
    if (raft_peer_paused(peer) || peer->id == r->config.id) {
        return false;
    }
    if (peer->next < r->log.first) {
        return send_snapshot(r, peer);
    }
    bool window = peer->state != RAFT_REPLICATE || !raft_peer_full(&r->peers, peer);
    const struct raft_entry *entries = NULL;
    uint32_t count = 0;
    if (window && peer->next <= r->log.last) {
        if (peer->next < r->log.tail_first) {
            ask_host(r, peer);
            return false;
        }
        uint64_t high = r->log.last;
        if (high - peer->next >= r->config.limits.batch_entries) {
            high = peer->next + r->config.limits.batch_entries - 1;
        }
        entries = raft_log_view(r, peer->next, high);
        count = (uint32_t)(high + 1 - peer->next);
    }
    if (count == 0 && !even_empty) {
        return false;
    }
    emit_append(r, peer, entries, count);
    return true;
}

/* As much as the window allows. */
static void send_all(struct raft *r, struct raft_peer *peer)
{
    while (raft_out_room(r) > 0 && raft_send_append(r, peer, false)) {
    }
}

void raft_broadcast_append(struct raft *r)
{
    for (uint32_t i = 0; i < r->peers.count; i++) {
        (void)raft_send_append(r, &r->peers.list[i], true);
    }
}

void raft_tell_news(struct raft *r)
{
    r->news_due = 0;
    for (uint32_t i = 0; i < r->peers.count; i++) {
        struct raft_peer *peer = &r->peers.list[i];
        if (raft_peer_wants_commit(peer, r->commit)) {
            (void)raft_send_append(r, peer, true);
        }
    }
}

/* The commit index has risen: members hear of it with the entries to come, or a little later. */
static void note_news(struct raft *r)
{
    bool eager = r->config.news_delay == 0 || r->eager_index != 0;
    if (r->commit >= r->eager_index) {
        r->eager_index = 0;
    }
    if (eager) {
        r->news_due = 0;
        raft_broadcast_append(r);
    } else if (r->news_due == 0) {
        r->news_due = r->now + r->config.news_delay;
    }
}

void raft_broadcast_heartbeat(struct raft *r)
{
    if (r->read_ring.count > 0) {
        r->read_sent++; /* every broadcast is a round that waiting reads may count on */
    }
    for (uint32_t i = 0; i < r->peers.count; i++) {
        const struct raft_peer *peer = &r->peers.list[i];
        if (peer->id == r->config.id) {
            continue;
        }
        /* Never more than the member is known to hold: its log may differ beyond. */
        struct raft_msg *m = raft_out(r, RAFT_MSG_HEARTBEAT, peer->id);
        m->commit = peer->match < r->commit ? peer->match : r->commit;
        m->ctx = r->read_ring.count > 0 ? r->read_sent : 0;
    }
}

static bool match_of(void *ctx, uint64_t id, uint64_t *index)
{
    const struct raft_peer *peer = raft_peer_at(ctx, id);
    if (peer == NULL) {
        return false;
    }
    *index = peer->match;
    return true;
}

bool raft_maybe_commit(struct raft *r)
{
    SH_CHECK(r->role == RAFT_LEADER);
    uint64_t index = raft_quorum_index(&r->conf, match_of, &r->peers);
    /* Entries of earlier terms are committed only together with one of this term (5.4.2). */
    if (index <= r->commit || !raft_log_matches(r, index, r->term)) {
        return false;
    }
    raft_commit_to(r, index);
    raft_read_term_committed(r);
    return true;
}

void raft_commit_to(struct raft *r, uint64_t index)
{
    if (index <= r->commit) {
        return;
    }
    SH_CHECK_CMP(index, <=, r->log.last);
    if (r->role == RAFT_LEADER) {
        for (uint64_t i = r->commit + 1; i <= index; i++) {
            uint64_t size = raft_log_size_at(r, i);
            r->uncommitted -= size < r->uncommitted ? size : r->uncommitted;
        }
    }
    r->commit = index;
}

/* Entries consecutive, terms not falling, payloads of a size that can be held, changes readable. */
static bool entries_sound(const struct raft *r, const struct raft_msg *m)
{
    uint64_t before = m->log_term;
    for (uint32_t i = 0; i < m->entry_count; i++) {
        const struct raft_entry *e = &m->entries[i];
        if (e->index != m->index + 1 + i || e->term < before || e->term > m->term ||
            e->size > RAFT_ENTRY_BYTES_MAX || e->size > r->config.limits.tail_bytes / 4) {
            return false;
        }
        if (e->type == RAFT_ENTRY_CONF) {
            struct raft_conf_change change;
            struct sh_reader reader = sh_reader_over(e->data, e->size);
            if (raft_conf_change_decode(&reader, &change) != SH_OK) {
                return false;
            }
        }
        before = e->term;
    }
    return true;
}

static void refuse_append(struct raft *r, const struct raft_msg *m)
{
    uint64_t own = 0;
    bool known = raft_log_term(r, m->index, &own);
    raft_tell(r, (struct raft_trace){.type = RAFT_TRACE_APP_REFUSED,
                                     .message = m,
                                     .index = m->index,
                                     .log_term = known ? own : 0});
    /* The hint: the newest place where our log can still agree with one whose entry at m->index is
     * of term m->log_term. It skips a whole term a message on either side. */
    uint64_t hint = m->index < r->log.last ? m->index : r->log.last;
    uint64_t hint_term = 0;
    hint = raft_log_agree(r, hint, m->log_term, &hint_term);
    struct raft_msg *out = raft_out(r, RAFT_MSG_APP_RESP, m->from);
    out->index = m->index;
    out->reject = true;
    out->hint = hint;
    out->log_term = hint_term;
}

/* Takes the entries that are new. False: they contradict committed ones. *last: matching up to. */
static bool take_entries(struct raft *r, const struct raft_msg *m, uint64_t *last)
{
    *last = m->index;
    uint32_t i = 0;
    while (i < m->entry_count && raft_log_matches(r, m->entries[i].index, m->entries[i].term)) {
        *last = m->entries[i].index;
        i++;
    }
    if (i == m->entry_count) {
        return true;
    }
    uint64_t index = m->entries[i].index;
    if (index <= r->commit) {
        return false;
    }
    if (index <= r->log.last) {
        uint64_t own = 0;
        bool known = raft_log_term(r, index, &own);
        SH_CHECK(known);
        raft_tell(r, (struct raft_trace){.type = RAFT_TRACE_CONFLICT,
                                         .index = index,
                                         .term = own,
                                         .log_term = m->entries[i].term});
        raft_tell(r, (struct raft_trace){.type = RAFT_TRACE_REPLACE, .index = index});
        raft_log_truncate(r, index - 1);
    }
    while (i < m->entry_count && raft_log_append(r, &m->entries[i], false)) {
        *last = m->entries[i].index;
        if (r->append_first == 0) {
            r->append_first = *last;
        }
        i++;
    }
    return true;
}

void raft_on_append(struct raft *r, const struct raft_msg *m)
{
    SH_CHECK(r->role == RAFT_FOLLOWER);
    if (!entries_sound(r, m)) {
        raft_tell(r, (struct raft_trace){.type = RAFT_TRACE_DROPPED, .message = m});
        return;
    }
    if (m->index < r->commit) { /* an old message: tell how far we are */
        raft_out(r, RAFT_MSG_APP_RESP, m->from)->index = r->commit;
        return;
    }
    if (!raft_log_matches(r, m->index, m->log_term)) {
        refuse_append(r, m);
        return;
    }
    uint64_t last = 0;
    if (!take_entries(r, m, &last)) {
        raft_tell(r, (struct raft_trace){.type = RAFT_TRACE_DROPPED, .message = m});
        return;
    }
    raft_commit_to(r, m->commit < last ? m->commit : last);
    raft_out(r, RAFT_MSG_APP_RESP, m->from)->index = last;
}

static void on_refusal(struct raft *r, struct raft_peer *peer, const struct raft_msg *m)
{
    raft_tell(r, (struct raft_trace){.type = RAFT_TRACE_APP_REJECTED, .message = m});
    uint64_t hint = m->hint;
    if (m->log_term > 0) {
        uint64_t ignored = 0;
        hint = raft_log_agree(r, m->hint, m->log_term, &ignored);
    }
    if (!raft_peer_refused(peer, m->index, hint)) {
        return;
    }
    struct raft_peer_status progress = raft_peer_status(&r->peers, peer);
    raft_tell(r, (struct raft_trace){
                     .type = RAFT_TRACE_PROBE_BACK, .peer = peer->id, .progress = &progress});
    if (peer->state == RAFT_REPLICATE) {
        raft_peer_probe(peer);
    }
    (void)raft_send_append(r, peer, true);
}

/* The member holds everything up to m->index. */
static void on_progress(struct raft *r, struct raft_peer *peer, uint64_t index)
{
    if (peer->state == RAFT_PROBE) {
        raft_peer_replicate(peer);
    } else if (peer->state == RAFT_SNAPSHOT && peer->match + 1 >= r->log.first) {
        struct raft_peer_status progress = raft_peer_status(&r->peers, peer);
        raft_tell(r, (struct raft_trace){.type = RAFT_TRACE_SNAPSHOT_DONE,
                                         .peer = peer->id,
                                         .progress = &progress});
        raft_peer_replicate(peer);
    } else if (peer->state == RAFT_REPLICATE) {
        raft_peer_free(&r->peers, peer, rows_of(r), index);
    }
    if (raft_maybe_commit(r)) {
        note_news(r);
    } else if (r->news_due == 0 && raft_peer_wants_commit(peer, r->commit)) {
        (void)raft_send_append(r, peer, true);
    }
    send_all(r, peer);
    if (peer->id == r->transferee && peer->match == r->log.last) {
        raft_timeout_now(r, peer->id);
    }
}

void raft_on_append_resp(struct raft *r, const struct raft_msg *m)
{
    struct raft_peer *peer = raft_peer_of(&r->peers, m->from);
    if (peer == NULL) {
        return;
    }
    peer->active = true;
    if (m->reject) {
        on_refusal(r, peer, m);
        return;
    }
    if (m->index > r->log.last) {
        raft_tell(r, (struct raft_trace){.type = RAFT_TRACE_DROPPED, .message = m});
        return;
    }
    bool recovers = peer->match == m->index && peer->state == RAFT_PROBE;
    if (raft_peer_matched(peer, m->index) || recovers) {
        on_progress(r, peer, m->index);
    }
}

void raft_on_heartbeat(struct raft *r, const struct raft_msg *m)
{
    /* A leader never tells more than it knows us to hold; more means that we lost something. */
    if (m->commit <= r->log.last) {
        raft_commit_to(r, m->commit);
    } else {
        raft_tell(r, (struct raft_trace){.type = RAFT_TRACE_DROPPED, .message = m});
    }
    raft_out(r, RAFT_MSG_HEARTBEAT_RESP, m->from)->ctx = m->ctx;
    raft_pace_beat(r);
}

void raft_on_heartbeat_resp(struct raft *r, const struct raft_msg *m)
{
    struct raft_peer *peer = raft_peer_of(&r->peers, m->from);
    if (peer == NULL) {
        return;
    }
    peer->active = true;
    peer->flow_paused = false;
    raft_pace_answer(r, peer);
    /* Something may have been lost on the way, or the member is still being probed. */
    if (peer->match < r->log.last || peer->state == RAFT_PROBE) {
        (void)raft_send_append(r, peer, true);
    }
    raft_read_ack(r, peer, m->ctx);
}

/* Tells whether the snapshot is to be put in place. */
static bool restore(struct raft *r, const struct raft_snapshot *s)
{
    bool member =
        raft_conf_voter(&s->conf, r->config.id) || raft_conf_learner(&s->conf, r->config.id);
    if (s->index <= r->commit || !member) {
        return false;
    }
    if (raft_log_matches(r, s->index, s->term)) {
        raft_commit_to(r, s->index); /* the log has it all: only the news was missing */
        return false;
    }
    raft_tell(
        r, (struct raft_trace){.type = RAFT_TRACE_RESTORE, .index = s->index, .log_term = s->term});
    raft_log_reset(r, s->index, s->term);
    raft_commit_to(r, s->index);
    r->install = true;
    r->install_index = s->index;
    r->snapshot = *s;
    raft_switch_conf(r, &s->conf, s->index);
    raft_tell(r, (struct raft_trace){
                     .type = RAFT_TRACE_RESTORED, .index = s->index, .log_term = s->term});
    return true;
}

void raft_on_snapshot(struct raft *r, const struct raft_msg *m)
{
    SH_CHECK(r->role == RAFT_FOLLOWER);
    if (m->snapshot.term > m->term || m->snapshot.index == 0) {
        raft_tell(r, (struct raft_trace){.type = RAFT_TRACE_DROPPED, .message = m});
        return;
    }
    bool installed = restore(r, &m->snapshot);
    struct raft_msg *out = raft_out(r, RAFT_MSG_APP_RESP, m->from);
    out->index = installed ? r->log.last : r->commit;
}

void raft_on_durable(struct raft *r)
{
    struct raft_peer *self = raft_peer_of(&r->peers, r->config.id);
    if (self == NULL || !raft_peer_matched(self, r->log.durable)) {
        return;
    }
    if (raft_maybe_commit(r)) {
        note_news(r);
    }
}

void raft_on_log_read(struct raft *r, const struct raft_event *event)
{
    if (r->role != RAFT_LEADER) {
        return;
    }
    struct raft_peer *peer = NULL;
    for (uint32_t i = 0; i < r->peers.count; i++) {
        if (r->peers.list[i].read_request == event->read.request) {
            peer = &r->peers.list[i];
        }
    }
    if (peer == NULL || event->read.request == 0) {
        return; /* nobody waits for it any more */
    }
    peer->read_request = 0;
    const struct raft_entry *entries = event->read.entries;
    uint32_t count = event->read.count;
    if (count == 0) {
        (void)send_snapshot(r, peer);
        return;
    }
    bool window = peer->state == RAFT_PROBE || !raft_peer_full(&r->peers, peer);
    if (!raft_peer_paused(peer) && window && entries[0].index == peer->next &&
        peer->next >= r->log.first) {
        for (uint32_t i = 0; i < count; i++) {
            SH_CHECK_CMP(entries[i].index, ==, peer->next + i);
            SH_CHECK(raft_log_matches(r, entries[i].index, entries[i].term));
        }
        emit_append(r, peer, entries, count);
    }
    send_all(r, peer);
}

void raft_on_snapshot_status(struct raft *r, uint64_t id, bool ok)
{
    struct raft_peer *peer = raft_peer_of(&r->peers, id);
    if (r->role != RAFT_LEADER || peer == NULL || peer->state != RAFT_SNAPSHOT) {
        return;
    }
    if (!ok) {
        peer->pending_snapshot = 0; /* probe where it was before */
    }
    raft_peer_probe(peer);
    peer->flow_paused = true; /* until it answers: the answer to the snapshot, or to a heartbeat */
}

void raft_on_unreachable(struct raft *r, uint64_t id)
{
    struct raft_peer *peer = raft_peer_of(&r->peers, id);
    if (r->role != RAFT_LEADER || peer == NULL || id == r->config.id) {
        return;
    }
    if (peer->state == RAFT_REPLICATE) {
        raft_peer_probe(peer); /* what was under way is probably lost */
    }
    struct raft_peer_status progress = raft_peer_status(&r->peers, peer);
    raft_tell(
        r, (struct raft_trace){.type = RAFT_TRACE_UNREACHABLE, .peer = id, .progress = &progress});
}
