/* SPDX-License-Identifier: Apache-2.0
 *
 * A core among peers that send anything: the input is a script of events, messages among them with
 * arbitrary fields that pass through encoder and decoder. The core checks all its invariants after
 * each; the host behaves, as a host must. */
#include "raft/raft.h"

#include <stdint.h>
#include <stdlib.h>

#define STEPS_MAX 400u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct host {
    struct raft *core;
    uint64_t now;
    uint64_t issued;
    uint64_t durable;
    uint64_t applied;
    uint64_t apply_to;
    uint64_t installing; /* index; 0: none */
    uint64_t installing_token;
    struct raft_log_read asked;
};

static const struct raft_limits limits = {
    .tail_entries = 24,
    .tail_bytes = 2048,
    .batch_entries = 8,
    .batch_bytes = 256,
    .inflight_msgs = 4,
    .inflight_bytes = 512,
    .uncommitted_bytes = 512,
    .reads = 4,
    .term_runs = 12,
};

static void step(struct host *h, struct raft_event event)
{
    struct raft_update u;
    event.now = h->now;
    raft_step(h->core, &event, &u);
    raft_check(h->core);
    if (u.token != 0) {
        SH_CHECK_CMP(u.token, ==, h->issued + 1);
        h->issued = u.token;
    }
    if (u.install) {
        h->installing = u.snapshot.index;
        h->installing_token = u.token;
    }
    if (u.log_read_count > 0) {
        h->asked = u.log_reads[0];
    }
    SH_CHECK_CMP(u.apply_to, <=, u.commit);
    h->apply_to = u.apply_to;
    for (uint32_t i = 0; i < u.message_count; i++) {
        SH_CHECK_CMP(u.messages[i].after, <=, h->issued);
        SH_CHECK(u.messages[i].entry_count <= limits.batch_entries);
    }
}

static void persist(struct host *h)
{
    if (h->durable == h->issued) {
        return;
    }
    h->durable++;
    struct raft_event event = {.type = RAFT_PERSISTED};
    event.token = h->durable;
    if (h->installing != 0 && h->durable >= h->installing_token) {
        h->applied = h->installing;
        h->installing = 0;
    }
    step(h, event);
}

static void apply_one(struct host *h)
{
    if (h->installing != 0 || h->applied >= h->apply_to) {
        return;
    }
    struct raft_entry entry;
    h->applied++;
    if (raft_entry(h->core, h->applied, &entry) && entry.type == RAFT_ENTRY_CONF) {
        uint8_t bytes[RAFT_CHANGE_BYTES_MAX];
        SH_CHECK_CMP(entry.size, <=, sizeof bytes);
        memcpy(bytes, entry.data, entry.size);
        struct raft_event event = {.type = RAFT_CONF_APPLIED};
        event.conf.index = h->applied;
        event.conf.data = bytes;
        event.conf.size = entry.size;
        step(h, event);
    }
    struct raft_event event = {.type = RAFT_APPLIED};
    event.index = h->applied;
    step(h, event);
}

static void get_entries(struct sh_reader *in, struct raft_msg *m, struct raft_entry *entries)
{
    static const uint8_t payload[64] = {1, 0, 2, 1, 2, 0, 0, 0, 0, 0, 0, 0, 2, 3};
    m->entry_count = sh_get_u8(in) % 9;
    m->entries = entries;
    uint64_t term = m->log_term;
    for (uint32_t i = 0; i < m->entry_count; i++) {
        uint8_t dice = sh_get_u8(in);
        term += dice >> 6;
        entries[i] =
            (struct raft_entry){.term = term,
                                .index = m->index + 1 + i,
                                .size = dice & 63u,
                                .data = payload,
                                .type = (dice & 63u) == 0 ? RAFT_ENTRY_CONF : RAFT_ENTRY_NORMAL};
    }
}

/* Small numbers mostly, so that terms and indexes meet. */
static uint64_t get_number(struct sh_reader *in)
{
    uint8_t small = sh_get_u8(in);
    return small == 255 ? sh_get_u64(in) : small % 40;
}

static void receive(struct host *h, struct sh_reader *in)
{
    struct raft_entry entries[16];
    struct raft_msg m = {.type = (enum raft_msg_type)(1 + sh_get_u8(in) % 14),
                         .from = 1 + sh_get_u8(in) % 5,
                         .to = 1};
    bool termless =
        m.type == RAFT_MSG_PROP || m.type == RAFT_MSG_READ_INDEX || m.type == RAFT_MSG_TRANSFER;
    m.term = termless ? 0 : get_number(in);
    m.log_term = get_number(in);
    m.index = get_number(in);
    m.commit = get_number(in);
    m.hint = get_number(in);
    m.ctx = get_number(in);
    uint8_t flags = sh_get_u8(in);
    m.reject = (flags & 1) != 0;
    m.force = (flags & 2) != 0;
    if (m.type == RAFT_MSG_APP || m.type == RAFT_MSG_PROP) {
        get_entries(in, &m, entries);
    }
    if (m.type == RAFT_MSG_SNAP) {
        m.snapshot = (struct raft_snapshot){.index = get_number(in), .term = get_number(in)};
        m.snapshot.conf = (struct raft_conf){.voters = {1, 2, 3 + flags / 4u}, .voter_count = 3};
    }
    uint8_t bytes[8192];
    size_t size = raft_msg_encode(&m, bytes, sizeof bytes);
    struct raft_entry got[16];
    struct raft_msg back;
    if (size > 0 && raft_msg_decode(bytes, size, got, 16, &back) == SH_OK) {
        struct raft_event event = {.type = RAFT_RECEIVE};
        event.message = &back;
        step(h, event);
    }
}

static void propose(struct host *h, struct sh_reader *in)
{
    static const uint8_t payload[600] = {7};
    struct raft_entry entries[8];
    struct raft_event event = {.type = RAFT_PROPOSE};
    event.propose.count = 1 + sh_get_u8(in) % 8;
    event.propose.entries = entries;
    for (uint32_t i = 0; i < event.propose.count; i++) {
        entries[i] = (struct raft_entry){.size = sh_get_u8(in) * 2u, .data = payload};
    }
    step(h, event);
}

static void propose_conf(struct host *h, struct sh_reader *in)
{
    struct raft_conf_change change = {.transition = (enum raft_transition)(sh_get_u8(in) % 3)};
    change.count = sh_get_u8(in) % 4;
    for (uint32_t i = 0; i < change.count; i++) {
        change.changes[i].type = (enum raft_change_type)(1 + sh_get_u8(in) % 4);
        change.changes[i].id = sh_get_u8(in) % 6;
    }
    struct raft_event event = {.type = RAFT_PROPOSE_CONF};
    event.change = &change;
    step(h, event);
}

static void answer_read(struct host *h, struct sh_reader *in)
{
    struct raft_entry entries[8];
    static const uint8_t payload[64] = {0};
    struct raft_event event = {.type = RAFT_LOG_READ};
    event.read.request = h->asked.request;
    event.read.entries = entries;
    uint32_t want = sh_get_u8(in) % 4;
    while (event.read.count < want && event.read.count < h->asked.max_count) {
        struct raft_entry *e = &entries[event.read.count];
        *e = (struct raft_entry){
            .index = h->asked.from + event.read.count, .size = 16, .data = payload};
        if (!raft_term_at(h->core, e->index, &e->term)) {
            break;
        }
        event.read.count++;
    }
    step(h, event);
}

static void odd_event(struct host *h, struct sh_reader *in)
{
    struct raft_event event = {0};
    uint8_t what = sh_get_u8(in) % 8;
    uint64_t peer = 1 + sh_get_u8(in) % 5;
    static const enum raft_event_type types[] = {
        RAFT_SNAPSHOT_STATUS, RAFT_UNREACHABLE,   RAFT_READ_INDEX, RAFT_TRANSFER,
        RAFT_CAMPAIGN,        RAFT_FORGET_LEADER, RAFT_ROUND_TRIP, RAFT_COMPACTED};
    event.type = types[what];
    if (event.type == RAFT_SNAPSHOT_STATUS) {
        event.snapshot.peer = peer;
        event.snapshot.ok = sh_get_u8(in) % 2 == 0;
    } else if (event.type == RAFT_FORGET_LEADER) {
        event.hint = sh_get_u8(in) % 2 == 0;
    } else if (event.type == RAFT_ROUND_TRIP) {
        event.round_trip = peer;
    } else if (event.type == RAFT_COMPACTED) {
        if (h->installing != 0 || h->applied == 0) {
            return;
        }
        event.index = h->applied;
    } else if (event.type == RAFT_READ_INDEX) {
        event.ctx = h->now;
    } else {
        event.peer = peer;
    }
    step(h, event);
}

static void one(struct host *h, struct sh_reader *in)
{
    uint8_t dice = sh_get_u8(in);
    switch (dice % 12) {
    case 0:
    case 1:
        h->now += dice >> 3;
        step(h, (struct raft_event){.type = RAFT_TICK});
        break;
    case 2:
    case 3:
        persist(h);
        break;
    case 4:
    case 5:
        apply_one(h);
        break;
    case 6:
        propose(h, in);
        break;
    case 7:
        propose_conf(h, in);
        break;
    case 8:
        odd_event(h, in);
        break;
    case 9:
        answer_read(h, in);
        break;
    default:
        receive(h, in);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sh_reader in = sh_reader_over(data, size);
    uint8_t flags = sh_get_u8(&in);
    struct raft_config config = {.id = 1,
                                 .seed = flags,
                                 .election = 10,
                                 .heartbeat = 2,
                                 .election_max = (flags & 65) == 65 ? 100 : 0,
                                 .abdicate = (flags & 64) != 0,
                                 .stagger = 1,
                                 .pre_vote = (flags & 1) != 0,
                                 .check_quorum = (flags & 2) != 0,
                                 .step_down_on_removal = (flags & 4) != 0,
                                 .forward_proposals = (flags & 8) != 0,
                                 .unchecked_changes = (flags & 16) != 0,
                                 .limits = limits};
    struct raft_run run = {0};
    struct raft_boot boot = {.first_index = 1, .runs = &run, .run_count = 1};
    boot.conf = (struct raft_conf){.voters = {1, 2, 3}, .voter_count = (flags & 32) != 0 ? 1 : 3};
    for (uint32_t i = boot.conf.voter_count; i < RAFT_VOTERS_MAX; i++) {
        boot.conf.voters[i] = 0;
    }
    size_t bytes = raft_bytes(&limits);
    void *memory = aligned_alloc(64, bytes);
    SH_CHECK(memory != NULL);
    struct sh_arena arena;
    sh_arena_init(&arena, memory, bytes);
    struct host h = {.core = raft_init(&arena, &config, &boot, 0)};
    for (uint32_t i = 0; i < STEPS_MAX && sh_reader_left(&in) > 0; i++) {
        one(&h, &in);
    }
    (void)raft_digest(h.core);
    free(memory);
    return 0;
}
