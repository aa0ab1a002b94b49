/* SPDX-License-Identifier: Apache-2.0
 *
 * Hosts the Raft core, as agent/replica.c does in the running agent. */
#include "sim/parts.h"

#include <stdlib.h>
#include <string.h>

enum { CHECK_STEPS = 16 }; /* raft_check after every so many steps of one core */

#define ELECTION_MAX_US UINT64_C(5000000) /* these as agent/replica.h */
#define NEWS_DELAY_US   UINT64_C(4000)

static const struct raft_limits LIMITS = {.tail_entries = SIM_TAIL_ENTRIES,
                                          .tail_bytes = 65536,
                                          .batch_entries = SIM_BATCH_ENTRIES,
                                          .batch_bytes = 16384,
                                          .inflight_msgs = 32,
                                          .inflight_bytes = 0,
                                          .uncommitted_bytes = 32768,
                                          .reads = 16,
                                          .term_runs = 256};

void sim_replica_clear(struct sim_agent *a)
{
    while (a->held_ring.count > 0) {
        free(a->held[sh_ring_pop(&a->held_ring)].bytes);
    }
}

static bool send_now(struct sim *sim, struct sim_agent *a, uint64_t to, const void *bytes,
                     size_t size)
{
    const struct sim_agent *peer = sim_by_handle(sim, to);
    return peer != NULL && peer != a &&
           sim_send(sim, a->number, peer->number, SIM_RAFT, bytes, size);
}

static void hold(struct sim *sim, struct sim_agent *a, const struct raft_msg *msg, size_t size)
{
    if (sh_ring_full(&a->held_ring)) {
        return; /* lost, as on a wire: raft repeats it */
    }
    uint8_t *copy = malloc(size);
    SH_CHECK(copy != NULL);
    memcpy(copy, sim->scratch->bytes, size);
    a->held[sh_ring_push(&a->held_ring)] = (struct sim_held){
        .after = msg->after, .to = msg->to, .bytes = copy, .size = (uint32_t)size};
}

static uint32_t send_messages(struct sim *sim, struct sim_agent *a, uint64_t *failed)
{
    const struct raft_update *u = &sim->scratch->update;
    uint32_t count = 0;
    for (uint32_t i = 0; i < u->message_count; i++) {
        const struct raft_msg *msg = &u->messages[i];
        size_t size = raft_msg_encode(msg, sim->scratch->bytes, SIM_SCRATCH_BYTES);
        SH_CHECK(size > 0);
        bool later = msg->after > a->durable;
        if (later) {
            hold(sim, a, msg, size);
        } else {
            sim_check_message(&sim->check, a->number, msg);
        }
        bool sent = later || send_now(sim, a, msg->to, sim->scratch->bytes, size);
        if (msg->type == RAFT_MSG_SNAP) {
            offers_note(&a->offers, msg->to, sim_local(sim, a) + (sent ? SIM_OFFER_US : 0));
        } else if (!sent && count < RAFT_PEERS_MAX) {
            failed[count++] = msg->to;
        }
    }
    return count;
}

static void release_held(struct sim *sim, struct sim_agent *a)
{
    while (a->held_ring.count > 0 && a->held[sh_ring_at(&a->held_ring, 0)].after <= a->durable) {
        struct sim_held *h = &a->held[sh_ring_pop(&a->held_ring)];
        struct raft_msg msg;
        SH_CHECK(raft_msg_decode(h->bytes, h->size, sim->scratch->entries, RAFT_MSG_ENTRIES_MAX,
                                 &msg) == SH_OK);
        sim_check_message(&sim->check, a->number, &msg);
        (void)send_now(sim, a, h->to, h->bytes, h->size); /* lost: raft repeats it */
        free(h->bytes);
    }
}

/* One block: the write, its entries, their payloads. */
static void write_update(struct sim *sim, struct sim_agent *a)
{
    const struct raft_update *u = &sim->scratch->update;
    if (u->token == 0) {
        return; /* nothing, or a commit index alone, which the next write brings */
    }
    SH_CHECK(u->install == (a->pull.install != NULL));
    size_t bytes = 0;
    for (uint32_t i = 0; i < u->append_count; i++) {
        bytes += u->append[i].size;
    }
    struct sim_write *w =
        malloc(sizeof *w + u->append_count * sizeof w->entries[0] + (bytes > 0 ? bytes : 1));
    SH_CHECK(w != NULL);
    *w = (struct sim_write){
        .token = u->token,
        .sync = u->must_sync,
        .has_hard = u->hard_changed,
        .hard = {.term = u->hard.term, .vote = u->hard.vote, .commit = u->hard.commit},
        .count = u->append_count,
        .install = a->pull.install};
    if (u->install) {
        a->pull.install = NULL;
        a->pull.install_token = u->token;
    }
    if (u->append_count > 0) {
        compaction_append(&a->compaction, u->append[u->append_count - 1].index, bytes);
    }
    uint8_t *at = (uint8_t *)(w->entries + u->append_count);
    for (uint32_t i = 0; i < u->append_count; i++) {
        const struct raft_entry *e = &u->append[i];
        w->entries[i] = (struct wal_entry){.index = e->index,
                                           .term = e->term,
                                           .type = (uint8_t)e->type,
                                           .bytes = {.at = at, .size = e->size}};
        if (e->type == RAFT_ENTRY_CONF && e->index > sim->conf_index) {
            sim->conf_index = e->index;
        }
        if (e->size > 0) {
            memcpy(at, e->data, e->size);
        }
        at += e->size;
    }
    sim_disk_submit(sim, a, w);
}

static void note_leading(struct sim *sim, struct sim_agent *a, uint64_t term)
{
    if (term <= sim->last_term) {
        return;
    }
    bool change = sim->last_term != 0 && sim->last_leader != (uint64_t)a->number + 1;
    sim->counts.leader_changes += change;
    sim->last_term = term;
    sim->last_leader = (uint64_t)a->number + 1;
    sim_note(sim, SIM_NOTE_LEADER, "%s leads term %llu", sim_name(a->number),
             (unsigned long long)term);
}

static void note_soft(struct sim *sim, struct sim_agent *a)
{
    const struct raft_update *u = &sim->scratch->update;
    bool leader_changed = u->leader != a->leader;
    a->led = a->led || u->leader != 0;
    bool changed = leader_changed || u->role != a->role || u->term != a->term;
    if (u->role == RAFT_LEADER && (a->role != RAFT_LEADER || a->term != u->term)) {
        note_leading(sim, a, u->term);
    }
    a->leader = u->leader;
    a->role = u->role;
    a->term = u->term;
    if (leader_changed && u->leader != 0) {
        sim_proposals_kick(sim, a);
    }
    if (changed || u->conf_changed) {
        sim_planner_wake(sim, a);
    }
}

static void ask_log(struct sim *sim, struct sim_agent *a)
{
    const struct raft_update *u = &sim->scratch->update;
    for (uint32_t i = 0; i < u->log_read_count; i++) {
        struct raft_log_read *read = malloc(sizeof *read);
        SH_CHECK(read != NULL);
        *read = u->log_reads[i];
        uint64_t took = sim_about(&sim->rng, sim->options.disk.write_us) + 1;
        sim_queue_push(&sim->queue, (struct sim_event){.at = sim->now_us + took,
                                                       .who = a->number,
                                                       .life = a->life,
                                                       .kind = SIM_EV_LOG,
                                                       .body = read});
    }
}

/* The gaps between a step, its write and its messages. True: the agent is doomed. */
static bool write_and_send(struct sim *sim, struct sim_agent *a, uint64_t *failed, uint32_t *count)
{
    const struct raft_update *u = &sim->scratch->update;
    bool elected = u->role == RAFT_LEADER && a->role != RAFT_LEADER;
    bool vote = u->hard_changed && (u->hard.term != a->asked.term || u->hard.vote != a->asked.vote);
    bool asks = u->token != 0 || u->message_count > 0;
    a->asked = u->hard_changed ? u->hard : a->asked;
    if ((asks && sim_gap(sim, a, SIM_GAP_STEPPED)) ||
        (elected && sim_gap(sim, a, SIM_GAP_ELECTED))) {
        return true;
    }
    write_update(sim, a);
    a->vote_token = vote && u->token != 0 ? u->token : a->vote_token;
    if ((u->install && sim_gap(sim, a, SIM_GAP_INSTALLING)) ||
        (u->token != 0 && sim_gap(sim, a, SIM_GAP_SUBMITTED))) {
        return true;
    }
    *count = send_messages(sim, a, failed);
    return (u->token != 0 && sim_gap(sim, a, SIM_GAP_SENT)) ||
           (vote && u->token != 0 && sim_gap(sim, a, SIM_GAP_VOTE_ASKED));
}

static void check_leader(struct sim *sim, struct sim_agent *a)
{
    struct raft_status status;
    if (sim->scratch->update.role == RAFT_LEADER) {
        raft_status(a->raft, &status);
        sim_check_leader(&sim->check, a->number, &status);
    }
}

void sim_replica_absorb(struct sim *sim, struct sim_agent *a)
{
    const struct raft_update *u = &sim->scratch->update;
    uint64_t failed[RAFT_PEERS_MAX];
    uint32_t failed_count = 0;
    sim_check_update(&sim->check, a->number, u);
    if (++a->steps % CHECK_STEPS == 0) {
        raft_check(a->raft);
        check_leader(sim, a);
    }
    if (write_and_send(sim, a, failed, &failed_count)) {
        return;
    }
    a->conf = u->install ? u->conf : a->conf;
    ask_log(sim, a);
    sim_reads_take(sim, a, u);
    sim_apply_to(sim, a, u->apply_to);
    note_soft(sim, a);
    for (uint32_t i = 0; i < failed_count; i++) {
        struct raft_event event = {
            .type = RAFT_UNREACHABLE, .now = sim_local(sim, a), .peer = failed[i]};
        raft_step(a->raft, &event, &sim->scratch->update);
        SH_CHECK(u->token == 0);
        SH_CHECK_CMP(u->message_count, ==, 0);
    }
}

void sim_replica_step(struct sim *sim, struct sim_agent *a, struct raft_event *event)
{
    if (a->doomed) {
        return;
    }
    event->now = sim_local(sim, a);
    raft_step(a->raft, event, &sim->scratch->update);
    sim_replica_absorb(sim, a);
}

void sim_replica_conf(struct sim *sim, struct sim_agent *a, const struct raft_event *event)
{
    raft_step(a->raft, event, &sim->scratch->update);
    a->conf = sim->scratch->update.conf;
    sim_replica_absorb(sim, a);
}

enum sh_err sim_replica_wake(struct sim *sim, struct sim_agent *a, const struct wal_boot *boot,
                             const struct fsm_applied *applied)
{
    struct raft_limits limits = LIMITS;
    limits.batch_entries = sim->options.batch;
    struct raft_config config = {.id = a->identity.handle,
                                 .seed = sh_rng_u64(&sim->rng),
                                 .election = SIM_ELECTION_US,
                                 .election_max = ELECTION_MAX_US,
                                 .abdicate = true,
                                 .heartbeat = SIM_HEARTBEAT_US,
                                 .stagger = SIM_STAGGER_US,
                                 .news_delay = NEWS_DELAY_US,
                                 .pre_vote = true,
                                 .check_quorum = true,
                                 .step_down_on_removal = true,
                                 .limits = limits};
    uint32_t run_count = 0;
    const struct wal_run *runs = wal_runs(a->wal, &run_count);
    struct raft_run *copy = sim_zeroed(run_count + 1, sizeof *copy);
    copy[0] = (struct raft_run){.first = boot->compacted_index, .term = boot->compacted_term};
    for (uint32_t i = 0; i < run_count; i++) {
        copy[i + 1] = (struct raft_run){.first = runs[i].first, .term = runs[i].term};
    }
    struct raft_boot start = {
        .hard = {.term = boot->hard.term, .vote = boot->hard.vote, .commit = boot->hard.commit},
        .applied = applied->index,
        .first_index = boot->compacted_index + 1,
        .last_index = boot->last_index,
        .last_conf_index = boot->last_index,
        .runs = copy,
        .run_count = run_count + 1};
    enum sh_err err = SH_OK;
    if (applied->conf_size > 0) {
        struct sh_reader reader = sh_reader_over(applied->conf, applied->conf_size);
        err = raft_conf_decode(&reader, &start.conf);
    }
    if (err == SH_OK) {
        struct sh_arena arena;
        size_t size = (raft_bytes(&LIMITS) + 63) & ~(size_t)63;
        if (a->raft_memory == NULL) {
            a->raft_memory = aligned_alloc(64, size);
            SH_CHECK(a->raft_memory != NULL);
        }
        sh_arena_init(&arena, a->raft_memory, size);
        a->raft = raft_init(&arena, &config, &start, sim_local(sim, a));
        a->handle = a->identity.handle;
        sim_check_handle(&sim->check, a->number, a->handle);
        a->asked = start.hard;
        a->vote_token = 0;
        sim_snapshots_begin(sim, a, boot);
        sim_apply_to(sim, a,
                     boot->hard.commit < boot->last_index ? boot->hard.commit : boot->last_index);
    }
    free(copy);
    return err;
}

void sim_replica_begin(struct sim *sim, struct sim_agent *a)
{
    struct raft_status status;
    if (a->raft == NULL || a->led) {
        return;
    }
    raft_status(a->raft, &status);
    if (status.conf.voter_count == 1 && status.conf.voters[0] == a->handle &&
        status.applied >= status.commit && a->role == RAFT_FOLLOWER) {
        /* Nobody else could lead: no need to wait for an election timeout. */
        struct raft_event event = {.type = RAFT_CAMPAIGN};
        sim_replica_step(sim, a, &event);
    }
}

/* The first message of a coordinator that has admitted us says which handle we have. */
static bool take_handle(struct sim *sim, struct sim_agent *a, uint64_t handle)
{
    struct wal_boot boot = {0};
    if (sim_gap(sim, a, SIM_GAP_HANDLE)) {
        return false;
    }
    a->identity.handle = handle;
    enum sh_err err = wal_put_identity(a->wal, &a->identity);
    if (err == SH_OK && sim_gap(sim, a, SIM_GAP_HANDLE_KEPT)) {
        return false;
    }
    if (err == SH_OK) {
        sim->scratch->applied.index = 0;
        sim->scratch->applied.conf_size = 0;
        err = sim_replica_wake(sim, a, &boot, &sim->scratch->applied);
    }
    if (err != SH_OK) {
        a->identity.handle = 0;
        sim_agent_fail(sim, a, err, "keeping the handle failed");
    }
    return err == SH_OK;
}

void sim_replica_receive(struct sim *sim, struct sim_agent *a, struct sh_span bytes)
{
    struct raft_msg msg;
    if (raft_msg_decode(bytes.at, bytes.size, sim->scratch->entries, RAFT_MSG_ENTRIES_MAX, &msg) !=
            SH_OK ||
        msg.to == 0 || msg.from == 0 || msg.from == msg.to) {
        sim_check_fail(&sim->check, "%s received a message that does not decode",
                       sim_name(a->number));
        return;
    }
    if (a->raft == NULL) {
        bool from_leader =
            msg.type == RAFT_MSG_APP || msg.type == RAFT_MSG_HEARTBEAT || msg.type == RAFT_MSG_SNAP;
        if (!from_leader || !take_handle(sim, a, msg.to)) {
            return;
        }
    }
    if (msg.to == a->handle && msg.type == RAFT_MSG_SNAP) {
        sim_snapshots_offer(sim, a, &msg);
    } else if (msg.to == a->handle) {
        struct raft_event event = {.type = RAFT_RECEIVE, .message = &msg};
        sim_replica_step(sim, a, &event);
    }
}

void sim_replica_durable(struct sim *sim, struct sim_agent *a, uint64_t token)
{
    SH_CHECK_CMP(token, >, a->durable);
    bool vote = a->vote_token > a->durable && a->vote_token <= token;
    a->durable = token;
    if (vote && sim_gap(sim, a, SIM_GAP_VOTE_KEPT)) {
        return;
    }
    release_held(sim, a);
    if (sim_gap(sim, a, SIM_GAP_RELEASED)) {
        return;
    }
    struct raft_event event = {.type = RAFT_PERSISTED, .token = token};
    sim_replica_step(sim, a, &event);
    sim_snapshots_durable(sim, a);
}

void sim_replica_log_read(struct sim *sim, struct sim_agent *a, const struct raft_log_read *read)
{
    struct sim_scratch *s = sim->scratch;
    struct raft_entry entries[SIM_BATCH_ENTRIES];
    uint32_t count = 0;
    uint32_t max = read->max_count < SIM_BATCH_ENTRIES ? read->max_count : SIM_BATCH_ENTRIES;
    size_t bytes = read->max_bytes < SIM_READ_BYTES ? (size_t)read->max_bytes : SIM_READ_BYTES;
    bytes = bytes < WAL_ENTRY_BYTES_MAX ? WAL_ENTRY_BYTES_MAX : bytes;
    enum sh_err err =
        wal_read(a->wal, read->from, read->from + max, s->wal, max, s->read, bytes, &count);
    if (err != SH_OK && err != SH_ERR_NOT_FOUND) {
        sim_agent_fail(sim, a, err, "reading the log failed");
        return;
    }
    count = err == SH_OK ? count : 0;
    for (uint32_t i = 0; i < count; i++) {
        entries[i] = (struct raft_entry){.term = s->wal[i].term,
                                         .index = s->wal[i].index,
                                         .type = (enum raft_entry_type)s->wal[i].type,
                                         .size = (uint32_t)s->wal[i].bytes.size,
                                         .data = s->wal[i].bytes.at};
    }
    struct raft_event event = {.type = RAFT_LOG_READ};
    event.read.request = read->request;
    event.read.entries = entries;
    event.read.count = count;
    sim_replica_step(sim, a, &event);
}

enum sh_err sim_replica_propose(struct sim *sim, struct sim_agent *a, uint8_t *command, size_t size)
{
    if (a->doomed || a->raft == NULL || a->role != RAFT_LEADER) {
        return SH_ERR_NOT_LEADER;
    }
    SH_CHECK(jobs_cmd_decode(command, size, &sim->scratch->judged) == SH_OK);
    SH_CHECK(jobs_cmd_stamp(command, size, sim_wall(sim, a)));
    struct raft_entry entry = {.type = RAFT_ENTRY_NORMAL, .size = (uint32_t)size, .data = command};
    struct raft_event event = {.type = RAFT_PROPOSE};
    event.propose.entries = &entry;
    event.propose.count = 1;
    event.now = sim_local(sim, a);
    raft_step(a->raft, &event, &sim->scratch->update);
    enum sh_err refused = sim->scratch->update.refused;
    sim_replica_absorb(sim, a);
    return refused;
}
