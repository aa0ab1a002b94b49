/* SPDX-License-Identifier: Apache-2.0
 *
 * What a leader lets into its log. */
#include "raft/core.h"

static enum sh_err accepts(const struct raft *r)
{
    if (r->role != RAFT_LEADER || raft_peer_at(&r->peers, r->config.id) == NULL) {
        return SH_ERR_NOT_LEADER;
    }
    return r->transferee != 0 ? SH_ERR_FULL
                              : SH_OK; /* leadership is being handed over: try again */
}

static bool over_quota(const struct raft *r, const struct raft_entry *entries, uint32_t count)
{
    uint64_t limit = r->config.limits.uncommitted_bytes;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        bytes += entries[i].size;
    }
    /* Empty entries and a first one always pass: else a large one never could. */
    return limit > 0 && r->uncommitted > 0 && bytes > 0 && r->uncommitted + bytes > limit;
}

static void append_and_send(struct raft *r, const struct raft_entry *entries, uint32_t count)
{
    uint64_t first = r->log.last + 1;
    if (over_quota(r, entries, count) || !raft_append_own(r, entries, count, false)) {
        r->refused = SH_ERR_FULL;
        return;
    }
    r->proposed_index = first;
    raft_broadcast_append(r);
}

static void forward(struct raft *r, const struct raft_entry *entries, uint32_t count)
{
    if (r->role == RAFT_FOLLOWER && r->leader != 0 && r->config.forward_proposals) {
        struct raft_msg *m = raft_out(r, RAFT_MSG_PROP, r->leader);
        m->term = 0;
        m->entries = entries;
        m->entry_count = count;
        return;
    }
    r->refused = SH_ERR_NOT_LEADER;
    if (r->role == RAFT_FOLLOWER && r->leader == 0) {
        raft_tell(r, (struct raft_trace){.type = RAFT_TRACE_NO_LEADER});
    }
}

void raft_propose(struct raft *r, const struct raft_entry *entries, uint32_t count)
{
    SH_CHECK_CMP(count, >=, 1);
    SH_CHECK_CMP(count, <=, r->config.limits.batch_entries);
    for (uint32_t i = 0; i < count; i++) {
        SH_CHECK(entries[i].type == RAFT_ENTRY_NORMAL);
        if (entries[i].size > RAFT_ENTRY_BYTES_MAX ||
            entries[i].size > r->config.limits.tail_bytes / 4) {
            r->refused = SH_ERR_LIMIT;
            return;
        }
    }
    if (r->role != RAFT_LEADER) {
        forward(r, entries, count);
        return;
    }
    r->refused = accepts(r);
    if (r->refused == SH_OK) {
        append_and_send(r, entries, count);
    }
}

/* Why this change may not enter the log now; NULL: it may. */
static const char *objection(struct raft *r, const struct raft_conf_change *change)
{
    bool leave = change->transition == RAFT_AUTO && change->count == 0;
    bool joint = raft_conf_joint(&r->conf);
    if (r->pending_conf > r->applied) {
        return "possible unapplied conf change";
    }
    if (joint && !leave) {
        r->reason = RAFT_CONF_ALREADY_JOINT;
        return "must transition out of joint config first";
    }
    if (!joint && leave) {
        r->reason = RAFT_CONF_NOT_JOINT;
        return "not in joint state; refusing empty conf change";
    }
    struct raft_conf next;
    r->reason = raft_conf_apply(&r->conf, change, &next);
    return r->reason == RAFT_CONF_OK ? NULL : raft_conf_err_text(r->reason);
}

/* As leader. An impossible change becomes an empty entry, so that whoever waits for its index
 * learns the outcome there. */
static void append_change(struct raft *r, const struct raft_conf_change *change,
                          const struct raft_entry *entry)
{
    const char *why = r->config.unchecked_changes ? NULL : objection(r, change);
    uint64_t index = r->log.last + 1;
    if (why != NULL) {
        raft_tell(r, (struct raft_trace){.type = RAFT_TRACE_CONF_REFUSED,
                                         .change = change,
                                         .conf = &r->conf,
                                         .reason = why,
                                         .index = r->pending_conf});
        struct raft_entry empty = {.type = RAFT_ENTRY_NORMAL};
        append_and_send(r, &empty, 1);
        r->refused = r->refused == SH_OK ? SH_ERR_CONFLICT : r->refused;
        return;
    }
    append_and_send(r, entry, 1);
    if (r->refused == SH_OK) {
        r->pending_conf = index;
    }
}

void raft_propose_conf(struct raft *r, const struct raft_conf_change *change)
{
    /* In the core's block: a forwarding message still points there after this call. */
    struct sh_writer w = sh_writer_over(r->change_bytes, sizeof r->change_bytes);
    raft_conf_change_encode(change, &w);
    r->change_entry = (struct raft_entry){
        .type = RAFT_ENTRY_CONF, .data = r->change_bytes, .size = (uint32_t)w.used};
    if (r->role != RAFT_LEADER) {
        forward(r, &r->change_entry, 1);
        return;
    }
    r->refused = accepts(r);
    if (r->refused == SH_OK) {
        append_change(r, change, &r->change_entry);
    }
}

void raft_on_proposal(struct raft *r, const struct raft_msg *m)
{
    uint32_t count = m->entry_count;
    if (count == 0 || count > r->config.limits.batch_entries) {
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct raft_entry *e = &m->entries[i];
        if (e->size > r->config.limits.tail_bytes / 4 || e->size > RAFT_ENTRY_BYTES_MAX ||
            (e->type == RAFT_ENTRY_CONF && count > 1)) {
            return;
        }
    }
    if (r->role != RAFT_LEADER) {
        if (m->from != r->leader) {
            forward(r, m->entries, count);
        }
    } else if (accepts(r) == SH_OK && m->entries[0].type == RAFT_ENTRY_CONF) {
        struct raft_conf_change change;
        struct sh_reader reader = sh_reader_over(m->entries[0].data, m->entries[0].size);
        if (raft_conf_change_decode(&reader, &change) == SH_OK) {
            append_change(r, &change, m->entries);
        }
    } else if (accepts(r) == SH_OK) {
        append_and_send(r, m->entries, count);
    }
    r->refused = SH_OK; /* the outcome of local requests only */
    r->reason = RAFT_CONF_OK;
    r->proposed_index = 0;
}

void raft_auto_leave(struct raft *r)
{
    if (!r->conf.auto_leave || r->applied < r->pending_conf || accepts(r) != SH_OK) {
        return;
    }
    raft_tell(r, (struct raft_trace){.type = RAFT_TRACE_AUTO_LEAVE, .conf = &r->conf});
    struct raft_entry leave = {.type = RAFT_ENTRY_CONF};
    if (raft_append_own(r, &leave, 1, true)) {
        r->pending_conf = r->log.last;
        raft_broadcast_append(r);
    }
}
