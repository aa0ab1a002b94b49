/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes of a message: u8 version, u8 type, u8 flags, then the numbers in the order of the struct,
 * the snapshot where the flag says so, u32 count and the entries: u64 term, u8 type, blob. An
 * entry's index is not sent: it follows from the message's. */
#include "raft/message.h"

enum { MSG_VERSION = 1 };
enum { FLAG_REJECT = 1, FLAG_FORCE = 2, FLAG_SNAPSHOT = 4, FLAGS_KNOWN = 7 };
enum { HEAD_BYTES = 3 + 9 * 8 + 4 };
enum { ENTRY_HEAD_BYTES = 8 + 1 + 4 };

_Static_assert(HEAD_BYTES + 16 + RAFT_CONF_BYTES_MAX <= RAFT_MSG_OVERHEAD_MAX, "overhead");
_Static_assert(ENTRY_HEAD_BYTES <= RAFT_ENTRY_OVERHEAD, "overhead of an entry");

size_t raft_msg_bound(const struct raft_msg *msg)
{
    size_t bound = RAFT_MSG_OVERHEAD_MAX;
    for (uint32_t i = 0; i < msg->entry_count; i++) {
        bound += RAFT_ENTRY_OVERHEAD + msg->entries[i].size;
    }
    return bound;
}

size_t raft_msg_encode(const struct raft_msg *msg, void *buffer, size_t size)
{
    SH_CHECK(msg->type >= RAFT_MSG_APP && msg->type <= RAFT_MSG_TRANSFER);
    SH_CHECK_CMP(msg->entry_count, <=, RAFT_MSG_ENTRIES_MAX);
    struct sh_writer w = sh_writer_over(buffer, size);
    bool snapshot = msg->type == RAFT_MSG_SNAP;
    sh_put_u8(&w, MSG_VERSION);
    sh_put_u8(&w, (uint8_t)msg->type);
    sh_put_u8(&w, (uint8_t)((msg->reject ? FLAG_REJECT : 0) | (msg->force ? FLAG_FORCE : 0) |
                            (snapshot ? FLAG_SNAPSHOT : 0)));
    sh_put_u64(&w, msg->from);
    sh_put_u64(&w, msg->to);
    sh_put_u64(&w, msg->term);
    sh_put_u64(&w, msg->log_term);
    sh_put_u64(&w, msg->index);
    sh_put_u64(&w, msg->commit);
    sh_put_u64(&w, msg->hint);
    sh_put_u64(&w, msg->ctx);
    if (snapshot) {
        uint8_t conf[RAFT_CONF_BYTES_MAX];
        struct sh_writer cw = sh_writer_over(conf, sizeof conf);
        raft_conf_encode(&msg->snapshot.conf, &cw);
        sh_put_u64(&w, msg->snapshot.index);
        sh_put_u64(&w, msg->snapshot.term);
        sh_put_blob(&w, conf, cw.used);
    }
    sh_put_u32(&w, msg->entry_count);
    for (uint32_t i = 0; i < msg->entry_count; i++) {
        const struct raft_entry *e = &msg->entries[i];
        sh_put_u64(&w, e->term);
        sh_put_u8(&w, (uint8_t)e->type);
        sh_put_blob(&w, e->data, e->size);
    }
    return w.full ? 0 : w.used;
}

static enum sh_err get_entry(struct sh_reader *r, uint64_t index, struct raft_entry *entry)
{
    *entry = (struct raft_entry){.index = index, .term = sh_get_u64(r)};
    uint8_t type = sh_get_u8(r);
    struct sh_span payload = sh_get_blob(r, RAFT_ENTRY_BYTES_MAX);
    if (r->bad) {
        return SH_ERR_CORRUPT;
    }
    if (type > RAFT_ENTRY_CONF) {
        return SH_ERR_VERSION;
    }
    entry->type = (enum raft_entry_type)type;
    entry->data = payload.at;
    entry->size = (uint32_t)payload.size;
    if (entry->type == RAFT_ENTRY_CONF) {
        struct raft_conf_change change;
        struct sh_reader inner = sh_reader_over(payload.at, payload.size);
        return raft_conf_change_decode(&inner, &change);
    }
    return SH_OK;
}

static enum sh_err get_entries(struct sh_reader *r, struct raft_entry *entries, uint32_t entry_max,
                               struct raft_msg *msg)
{
    uint32_t count = sh_get_u32(r);
    if (r->bad) {
        return SH_ERR_CORRUPT;
    }
    bool carries = msg->type == RAFT_MSG_APP || msg->type == RAFT_MSG_PROP;
    if (count > 0 && !carries) {
        return SH_ERR_CORRUPT;
    }
    if (count > entry_max || count > RAFT_MSG_ENTRIES_MAX) {
        return SH_ERR_LIMIT;
    }
    if (msg->index > UINT64_MAX - RAFT_MSG_ENTRIES_MAX) {
        return SH_ERR_CORRUPT;
    }
    uint64_t before = msg->log_term;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t index = msg->type == RAFT_MSG_APP ? msg->index + 1 + i : 0;
        enum sh_err err = get_entry(r, index, &entries[i]);
        if (err != SH_OK) {
            return err;
        }
        if (msg->type == RAFT_MSG_APP) {
            if (entries[i].term < before || entries[i].term > msg->term) {
                return SH_ERR_CORRUPT;
            }
            before = entries[i].term;
        }
    }
    msg->entry_count = count;
    msg->entries = entries;
    return SH_OK;
}

static enum sh_err get_snapshot(struct sh_reader *r, struct raft_snapshot *snapshot)
{
    snapshot->index = sh_get_u64(r);
    snapshot->term = sh_get_u64(r);
    struct sh_span conf = sh_get_blob(r, RAFT_CONF_BYTES_MAX);
    if (r->bad) {
        return SH_ERR_CORRUPT;
    }
    struct sh_reader inner = sh_reader_over(conf.at, conf.size);
    return raft_conf_decode(&inner, &snapshot->conf);
}

enum sh_err raft_msg_decode(const void *bytes, size_t size, struct raft_entry *entries,
                            uint32_t entry_max, struct raft_msg *msg)
{
    struct sh_reader r = sh_reader_over(bytes, size);
    uint8_t version = sh_get_u8(&r);
    uint8_t type = sh_get_u8(&r);
    uint8_t flags = sh_get_u8(&r);
    if (r.bad) {
        return SH_ERR_CORRUPT;
    }
    if (version != MSG_VERSION || type < RAFT_MSG_APP || type > RAFT_MSG_TRANSFER ||
        (flags & ~FLAGS_KNOWN) != 0) {
        return SH_ERR_VERSION;
    }
    struct raft_msg m = {.type = (enum raft_msg_type)type};
    m.reject = (flags & FLAG_REJECT) != 0;
    m.force = (flags & FLAG_FORCE) != 0;
    m.from = sh_get_u64(&r);
    m.to = sh_get_u64(&r);
    m.term = sh_get_u64(&r);
    m.log_term = sh_get_u64(&r);
    m.index = sh_get_u64(&r);
    m.commit = sh_get_u64(&r);
    m.hint = sh_get_u64(&r);
    m.ctx = sh_get_u64(&r);
    bool termless =
        type == RAFT_MSG_PROP || type == RAFT_MSG_READ_INDEX || type == RAFT_MSG_TRANSFER;
    if (r.bad || m.from == 0 || m.to == 0 || (m.term == 0) != termless) {
        return SH_ERR_CORRUPT;
    }
    if (((flags & FLAG_SNAPSHOT) != 0) != (type == RAFT_MSG_SNAP)) {
        return SH_ERR_CORRUPT;
    }
    if (type == RAFT_MSG_SNAP) {
        enum sh_err err = get_snapshot(&r, &m.snapshot);
        if (err != SH_OK) {
            return err;
        }
        if (m.snapshot.index == 0 || m.snapshot.term > m.term) {
            return SH_ERR_CORRUPT;
        }
    }
    enum sh_err err = get_entries(&r, entries, entry_max, &m);
    if (err != SH_OK) {
        return err;
    }
    *msg = m;
    return SH_OK;
}
