/* SPDX-License-Identifier: Apache-2.0 */
#include "replica.h"

#include "compaction.h"
#include "handles.h"
#include "held.h"
#include "journal.h"
#include "offers.h"

#include "base/host/host.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* And beyond which no message of a peer is taken: each could ask for another write, of a term or a
 * vote, that no limit of the core holds back. */
enum { RECEIVE_BACKLOG_MAX = DISK_QUEUE_MAX / 2 };
enum { ENCODE_BYTES = SH_CONTROL_BYTES_MAX };

struct replica {
    struct replica_config config;
    void *memory;
    struct raft *raft; /* NULL: dormant */
    uint64_t handle;
    struct raft_update update;
    struct raft_entry entries[RAFT_MSG_ENTRIES_MAX];
    struct handles handles;
    enum sh_err failure;                            /* not OK: the agent must stop */
    struct jobs_cmd command;                        /* scratch of replica_propose */
    struct raft_entry batch[REPLICA_BATCH_ENTRIES]; /* taken and not proposed yet */
    uint32_t batch_count;
    size_t batch_bytes;
    uint8_t *batch_memory;   /* their payloads; REPLICA_BATCH_BYTES */
    bool batch_eager;        /* a command of another agent is among them */
    uint64_t proposed_index; /* last entry of the newest proposal */
    struct held held;
    uint64_t durable; /* newest token on disk */
    uint8_t *scratch; /* ENCODE_BYTES */
    uint64_t leader;
    enum raft_role role;
    uint64_t lost_us; /* when the last coordinator was given up; 0: one is known */
    uint64_t leaderless_us;
    uint64_t leader_changes;
    uint64_t heard_us; /* from the coordinator that is known; 0: not yet */
    uint64_t silence_us;
    struct compaction compaction;
    uint64_t applied;
    struct offers offers;         /* what became of one is heard from snapshots.h, or by its time */
    uint64_t staged_until_us;     /* 0: no snapshot waits for our decision */
    struct raft_snapshot staged;  /* that one */
    struct disk_install *install; /* the core has taken it: for the next write */
    uint64_t install_token;       /* 0: none is being put in place */
    pthread_mutex_t lock;         /* published */
    struct replica_status published;
};

void replica_learn(struct replica *r, uint64_t handle, const uint8_t node[SH_NODE_ID_BYTES])
{
    handles_learn(&r->handles, handle, node);
}

/* False: it did not leave. */
static bool send_bytes(struct replica *r, uint64_t now_us, uint64_t to, const void *bytes,
                       size_t size)
{
    const uint8_t *node = handles_node(&r->handles, to);
    struct sh_span body = {.at = bytes, .size = size};
    return node != NULL && link_send(r->config.control, now_us, node, FRAME_RAFT,
                                     (struct sh_span){0}, body) == SH_OK;
}

static void release_held(struct replica *r, uint64_t now_us)
{
    struct held_message m;
    while (held_take(&r->held, r->durable, &m)) {
        (void)send_bytes(r, now_us, m.to, m.bytes, m.size); /* lost: raft repeats it */
        free(m.bytes);
    }
}

/* What the core must be told once the present update has been carried out. */
struct answers {
    uint32_t count;
    struct raft_event at[3 * RAFT_PEERS_MAX];
};

static void answer(struct answers *a, const struct raft_event *event)
{
    if (a->count < SH_COUNT(a->at)) {
        a->at[a->count++] = *event;
    }
}

/* Sends or holds the messages of the update. */
static void send_messages(struct replica *r, uint64_t now_us, struct answers *answers)
{
    const struct raft_update *u = &r->update;
    for (uint32_t i = 0; i < u->message_count; i++) {
        const struct raft_msg *msg = &u->messages[i];
        struct raft_event event = {.type = RAFT_UNREACHABLE, .now = now_us, .peer = msg->to};
        size_t size = raft_msg_encode(msg, r->scratch, ENCODE_BYTES);
        SH_CHECK(size > 0);
        bool later = msg->after > r->durable;
        bool sent = later || send_bytes(r, now_us, msg->to, r->scratch, size);
        if (later) {
            held_add(&r->held, msg->after, msg->to, r->scratch, size);
        }
        if (msg->type == RAFT_MSG_SNAP) {
            offers_note(&r->offers, msg->to, now_us + (sent ? REPLICA_OFFER_US : 0));
        } else if (!sent) {
            answer(answers, &event);
        }
    }
}

static void read_log(struct replica *r, uint64_t now_us, struct answers *answers)
{
    const struct raft_update *u = &r->update;
    for (uint32_t i = 0; i < u->log_read_count; i++) {
        if (apply_log_read(r->config.apply, &u->log_reads[i]) != SH_OK) {
            struct raft_event event = {.type = RAFT_LOG_READ, .now = now_us};
            event.read.request = u->log_reads[i].request;
            answer(answers, &event);
        }
    }
}

/* One block: the entry array, then the payloads. */
static void write_update(struct replica *r)
{
    const struct raft_update *u = &r->update;
    if (u->token == 0) {
        return; /* nothing, or a commit index alone, which the next write brings */
    }
    SH_CHECK(u->install == (r->install != NULL));
    size_t bytes = 0;
    for (uint32_t i = 0; i < u->append_count; i++) {
        bytes += u->append[i].size;
    }
    struct disk_write w = {
        .token = u->token,
        .sync = u->must_sync,
        .has_hard = u->hard_changed,
        .hard = {.term = u->hard.term, .vote = u->hard.vote, .commit = u->hard.commit},
        .count = u->append_count,
        .install = r->install};
    r->install_token = r->install != NULL ? u->token : r->install_token;
    r->install = NULL;
    if (u->append_count > 0) {
        compaction_append(&r->compaction, u->append[u->append_count - 1].index, bytes);
        size_t head = u->append_count * sizeof(struct wal_entry);
        w.memory = malloc(head + bytes);
        SH_CHECK(w.memory != NULL);
        w.entries = w.memory;
        uint8_t *at = (uint8_t *)w.memory + head;
        for (uint32_t i = 0; i < u->append_count; i++) {
            const struct raft_entry *e = &u->append[i];
            w.entries[i] = (struct wal_entry){.index = e->index,
                                              .term = e->term,
                                              .type = (uint8_t)e->type,
                                              .bytes = {.at = at, .size = e->size}};
            if (e->size > 0) {
                memcpy(at, e->data, e->size);
            }
            at += e->size;
        }
    }
    /* The core holds back what it cannot keep in its tail, and replica_receive what peers send,
     * before the queue could fill. */
    SH_CHECK(disk_submit(r->config.disk, &w) == SH_OK);
}

static void note_leader(struct replica *r, uint64_t now_us)
{
    const struct raft_update *u = &r->update;
    if (u->leader != r->leader) {
        if (u->leader == 0) {
            r->lost_us = now_us;
        } else {
            const uint8_t *node = handles_node(&r->handles, u->leader);
            r->leader_changes++;
            if (r->lost_us != 0) {
                r->leaderless_us = now_us - r->lost_us;
                r->lost_us = 0;
            }
            char id[2 * SH_NODE_ID_BYTES + 1] = "?";
            if (node != NULL) {
                sh_hex(id, node, SH_NODE_ID_BYTES);
            }
            journal_info("coordinator of term %llu: agent %llu (%.8s)", (unsigned long long)u->term,
                         (unsigned long long)u->leader, id);
        }
    }
    r->heard_us = u->leader == r->leader ? r->heard_us : 0;
    r->leader = u->leader;
    r->role = u->role;
    r->config.on_change(r->config.ctx);
}

/* Carries out what the core's last step asked for; answers collects what it must be told then. */
static void carry_out(struct replica *r, uint64_t now_us, struct answers *answers)
{
    const struct raft_update *u = &r->update;
    write_update(r);
    send_messages(r, now_us, answers);
    read_log(r, now_us, answers);
    apply_commit(r->config.apply, u->apply_to);
    for (uint32_t i = 0; i < u->read_count; i++) {
        r->config.on_read(r->config.ctx, &u->reads[i]);
    }
    if (u->soft_changed || u->leader != r->leader) {
        note_leader(r, now_us);
    }
    if (u->conf_changed) {
        r->config.on_change(r->config.ctx);
    }
}

/* A failed read is answered with a wish for a snapshot, which is answered in turn: no more than
 * that follows from an answer, and what does not fit is repeated by the core. */
static void absorb(struct replica *r, uint64_t now_us)
{
    struct answers answers;
    answers.count = 0;
    carry_out(r, now_us, &answers);
    for (uint32_t i = 0; i < answers.count; i++) {
        raft_step(r->raft, &answers.at[i], &r->update);
        carry_out(r, now_us, &answers);
    }
}

static void step(struct replica *r, const struct raft_event *event)
{
    raft_step(r->raft, event, &r->update);
    absorb(r, event->now);
}

/* The core of a node with this handle, from what its disk holds. */
static enum sh_err wake_core(struct replica *r, uint64_t handle, uint64_t now_us)
{
    const struct wal_boot *b = r->config.boot;
    struct raft_config config = {.id = handle,
                                 .seed = sh_random_u64(),
                                 .election = REPLICA_ELECTION_US,
                                 .election_max = REPLICA_ELECTION_MAX_US,
                                 .abdicate = true,
                                 .heartbeat = REPLICA_HEARTBEAT_US,
                                 .stagger = REPLICA_STAGGER_US,
                                 .news_delay = REPLICA_NEWS_US,
                                 .pre_vote = true,
                                 .check_quorum = true,
                                 .step_down_on_removal = true,
                                 .limits = raft_limits_default};
    uint32_t run_count = 0;
    const struct wal_run *runs = wal_runs(r->config.wal, &run_count);
    struct raft_run *copy = calloc(run_count + 1, sizeof *copy);
    size_t size = (raft_bytes(&config.limits) + 63) & ~(size_t)63;
    r->memory = aligned_alloc(64, size);
    if (copy == NULL || r->memory == NULL) {
        free(copy);
        return SH_ERR_NO_MEMORY;
    }
    copy[0] = (struct raft_run){.first = b->compacted_index, .term = b->compacted_term};
    for (uint32_t i = 0; i < run_count; i++) {
        copy[i + 1] = (struct raft_run){.first = runs[i].first, .term = runs[i].term};
    }
    struct raft_boot boot = {
        .hard = {.term = b->hard.term, .vote = b->hard.vote, .commit = b->hard.commit},
        .applied = r->config.applied->index,
        .first_index = b->compacted_index + 1,
        .last_index = b->last_index,
        .last_conf_index = b->last_index,
        .runs = copy,
        .run_count = run_count + 1};
    enum sh_err err = SH_OK;
    if (r->config.applied->conf_size > 0) {
        struct sh_reader reader =
            sh_reader_over(r->config.applied->conf, r->config.applied->conf_size);
        err = raft_conf_decode(&reader, &boot.conf);
    }
    if (err == SH_OK) {
        struct sh_arena arena;
        sh_arena_init(&arena, r->memory, size);
        r->raft = raft_init(&arena, &config, &boot, now_us);
        r->handle = handle;
        r->applied = r->config.applied->index;
        compaction_init(&r->compaction, r->config.log_entries, b->compacted_index, b->last_index);
        replica_learn(r, handle, r->config.me);
        r->update = (struct raft_update){0};
        apply_commit(r->config.apply,
                     b->hard.commit < b->last_index ? b->hard.commit : b->last_index);
    }
    free(copy);
    return err;
}

enum sh_err replica_open(struct replica **out, const struct replica_config *config, uint64_t now_us)
{
    struct replica *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    r->config = *config;
    held_init(&r->held);
    r->lost_us = now_us;
    r->scratch = malloc(ENCODE_BYTES);
    r->batch_memory = malloc(REPLICA_BATCH_BYTES);
    SH_CHECK(pthread_mutex_init(&r->lock, NULL) == 0);
    enum sh_err err = r->scratch == NULL || r->batch_memory == NULL ? SH_ERR_NO_MEMORY : SH_OK;
    if (err == SH_OK && config->boot->identity.handle != 0) {
        err = wake_core(r, config->boot->identity.handle, now_us);
    }
    if (err != SH_OK) {
        replica_close(r);
        return err;
    }
    replica_publish(r);
    *out = r;
    return SH_OK;
}

void replica_begin(struct replica *r, uint64_t now_us)
{
    struct raft_status status;
    if (r->raft == NULL) {
        return;
    }
    raft_status(r->raft, &status);
    if (status.conf.voter_count == 1 && status.conf.voters[0] == r->handle &&
        status.applied >= status.commit && r->role == RAFT_FOLLOWER) {
        /* Nobody else could lead: no need to wait for an election timeout. */
        struct raft_event event = {.type = RAFT_CAMPAIGN, .now = now_us};
        step(r, &event);
    }
}

void replica_close(struct replica *r)
{
    if (r == NULL) {
        return;
    }
    held_fini(&r->held);
    SH_CHECK(pthread_mutex_destroy(&r->lock) == 0);
    free(r->memory);
    free(r->scratch);
    free(r->batch_memory);
    free(r);
}

/* The first message of a coordinator that has admitted us says which handle we have. */
static enum sh_err take_handle(struct replica *r, uint64_t now_us, uint64_t handle)
{
    struct wal_identity identity = r->config.boot->identity;
    identity.handle = handle;
    /* Once in a life, before the disk thread has anything to write. */
    enum sh_err err = wal_put_identity(r->config.wal, &identity);
    if (err == SH_OK) {
        err = wake_core(r, handle, now_us);
    }
    if (err == SH_OK) {
        journal_info("admitted as agent %llu", (unsigned long long)handle);
    } else {
        journal_error("could not keep the handle %llu, stopping: %s", (unsigned long long)handle,
                      sh_err_text(err));
        r->failure = err;
    }
    return err;
}

/* How long the coordinator has been silent, heartbeats and all. */
static void note_heard(struct replica *r, uint64_t now_us, const struct raft_msg *msg)
{
    if (msg->from != r->leader || r->leader == 0) {
        return;
    }
    if (r->heard_us != 0 && now_us - r->heard_us > r->silence_us) {
        r->silence_us = now_us - r->heard_us;
    }
    r->heard_us = now_us;
}

/* ---- snapshots ---- */

/* The coordinator says that its log begins behind what this member has. The core learns of a
 * snapshot when it is here; but where the log turns out to hold that index, that it is committed is
 * news enough. */
static void take_offer(struct replica *r, uint64_t now_us, const uint8_t *from,
                       const struct raft_msg *msg)
{
    struct raft_event event = {.type = RAFT_RECEIVE, .now = now_us, .message = msg};
    uint64_t term = 0;
    bool have = raft_term_at(r->raft, msg->snapshot.index, &term) && term == msg->snapshot.term;
    if (have || msg->snapshot.index <= r->update.commit) {
        step(r, &event);
    } else {
        snapshots_pull(r->config.snapshots, from);
    }
}

/* Has the core judge the snapshot that is staged. What it ends with is committed, so it may come
 * from any coordinator; it needs one to be answered to. */
static void judge_staged(struct replica *r, uint64_t now_us)
{
    if (r->staged_until_us == 0) {
        return;
    }
    bool led = r->leader != 0 && r->leader != r->handle;
    if (!led && r->role != RAFT_LEADER && now_us < r->staged_until_us) {
        return;
    }
    r->staged_until_us = 0;
    struct raft_msg msg = {.type = RAFT_MSG_SNAP,
                           .from = r->leader,
                           .to = r->handle,
                           .term = r->update.term,
                           .snapshot = r->staged};
    struct raft_event event = {.type = RAFT_RECEIVE, .now = now_us, .message = &msg};
    r->update.install = false;
    if (led) {
        raft_step(r->raft, &event, &r->update);
    }
    if (!r->update.install) {
        snapshots_drop(r->config.snapshots);
    } else {
        apply_hold(r->config.apply);
        r->install = snapshots_take(r->config.snapshots);
        compaction_reset(&r->compaction, r->staged.index);
    }
    if (led) {
        absorb(r, now_us);
    }
}

/* The snapshot is durable in its place: the tables are that far. */
static void finish_install(struct replica *r)
{
    if (r->install_token != 0 && r->install_token <= r->durable) {
        r->install_token = 0;
        snapshots_installed(r->config.snapshots);
        apply_resume(r->config.apply);
    }
}

static void end_offer(struct replica *r, uint64_t now_us, uint64_t handle, bool ok)
{
    struct raft_event event = {.type = RAFT_SNAPSHOT_STATUS, .now = now_us};
    event.snapshot.peer = handle;
    event.snapshot.ok = ok;
    if (offers_end(&r->offers, handle)) {
        step(r, &event);
    }
}

/* An offer lives as long as its member goes on fetching. Each is ended or prolonged once. */
static void watch_offers(struct replica *r, uint64_t now_us)
{
    uint64_t handle = 0;
    while (offers_late(&r->offers, now_us, &handle)) {
        const uint8_t *node = handles_node(&r->handles, handle);
        if (node != NULL && snapshots_serving(r->config.snapshots, node)) {
            offers_note(&r->offers, handle, now_us + REPLICA_OFFER_US);
        } else {
            end_offer(r, now_us, handle, false);
        }
    }
}

void replica_snapshot_event(struct replica *r, uint64_t now_us, const struct snapshots_event *event)
{
    SH_CHECK(r->raft != NULL);
    if (event->kind == SNAPSHOTS_STAGED) {
        r->staged = event->snapshot;
        r->staged_until_us = now_us + REPLICA_STAGED_US;
        judge_staged(r, now_us);
        return;
    }
    uint64_t handle = handles_of(&r->handles, event->node);
    if (handle != 0) {
        end_offer(r, now_us, handle, event->ok);
    }
}

/* The tables hold more than before: perhaps the log need not. */
static void compact(struct replica *r, uint64_t now_us)
{
    uint64_t floor = snapshots_floor(r->config.snapshots);
    uint64_t upto = r->install_token != 0 ? 0 : compaction_due(&r->compaction, r->applied, floor);
    if (upto == 0) {
        return;
    }
    struct raft_event event = {.type = RAFT_COMPACTED, .now = now_us, .index = upto};
    step(r, &event);
    const struct raft_hard *hard = &r->update.hard;
    struct disk_write w = {.has_hard = true,
                           .hard = {.term = hard->term, .vote = hard->vote, .commit = hard->commit},
                           .compact_to = upto};
    SH_CHECK(disk_submit(r->config.disk, &w) == SH_OK);
}

/* ---- events ---- */

/* Members send no proposals: they travel as commands, which are judged before they enter the log.
 */
static bool taken(enum raft_msg_type type)
{
    return type != RAFT_MSG_PROP;
}

void replica_receive(struct replica *r, uint64_t now_us, const uint8_t from[SH_NODE_ID_BYTES],
                     struct sh_span bytes)
{
    struct raft_msg msg;
    if (raft_msg_decode(bytes.at, bytes.size, r->entries, RAFT_MSG_ENTRIES_MAX, &msg) != SH_OK ||
        msg.to == 0 || msg.from == 0 || msg.from == msg.to || !taken(msg.type) ||
        r->failure != SH_OK) {
        return;
    }
    if (r->raft == NULL) {
        bool from_leader =
            msg.type == RAFT_MSG_APP || msg.type == RAFT_MSG_HEARTBEAT || msg.type == RAFT_MSG_SNAP;
        if (!from_leader || take_handle(r, now_us, msg.to) != SH_OK) {
            return;
        }
    }
    if (msg.to > r->handle && (msg.type == RAFT_MSG_APP || msg.type == RAFT_MSG_HEARTBEAT)) {
        journal_error("this agent was removed from the cluster while it was away: start it with "
                      "an empty directory");
        r->failure = SH_ERR_STALE; /* handles are never used again: no way back */
        return;
    }
    if (msg.to != r->handle || !handles_hear(&r->handles, msg.from, from)) {
        return; /* the sender's handle is another agent's */
    }
    if (disk_waiting(r->config.disk) > RECEIVE_BACKLOG_MAX) {
        return; /* lost, as on a wire: raft repeats it */
    }
    note_heard(r, now_us, &msg);
    if (msg.type == RAFT_MSG_SNAP) {
        take_offer(r, now_us, from, &msg);
        return;
    }
    struct raft_event event = {.type = RAFT_RECEIVE, .now = now_us, .message = &msg};
    step(r, &event);
}

void replica_disk_done(struct replica *r, uint64_t now_us, const struct disk_done *done)
{
    SH_CHECK(done->err == SH_OK);
    SH_CHECK_CMP(done->token, >, r->durable);
    r->durable = done->token;
    release_held(r, now_us);
    struct raft_event event = {.type = RAFT_PERSISTED, .now = now_us, .token = done->token};
    step(r, &event);
    finish_install(r);
}

static void note_applied(struct replica *r, uint64_t now_us, uint64_t index)
{
    struct raft_event event = {.type = RAFT_APPLIED, .now = now_us, .index = index};
    if (index > r->applied) {
        r->applied = index;
        step(r, &event);
        compact(r, now_us);
    }
}

void replica_apply_event(struct replica *r, uint64_t now_us, const struct apply_event *event)
{
    struct raft_event e = {.now = now_us};
    struct raft_conf conf;
    switch (event->kind) {
    case APPLY_ADVANCED:
        note_applied(r, now_us, event->index);
        if (r->leader_changes == 0) {
            replica_begin(r, now_us);
        }
        break;
    case APPLY_CONF:
        note_applied(r, now_us, event->index - 1);
        e.type = RAFT_CONF_APPLIED;
        e.conf.index = event->index;
        e.conf.data = event->data;
        e.conf.size = event->data_size;
        raft_step(r->raft, &e, &r->update);
        conf = r->update.conf;
        absorb(r, now_us);
        apply_conf(r->config.apply, event->index, &conf);
        break;
    case APPLY_LOG:
        e.type = RAFT_LOG_READ;
        e.read.request = event->request;
        e.read.entries = event->entries;
        e.read.count = event->entry_count;
        step(r, &e);
        free(event->memory);
        break;
    case APPLY_FAILED:
        break; /* the loop stops the agent */
    }
}

void replica_peer_down(struct replica *r, uint64_t now_us, const uint8_t node[SH_NODE_ID_BYTES])
{
    const uint8_t *leader = handles_node(&r->handles, r->leader);
    if (r->raft == NULL || leader == NULL || memcmp(leader, node, SH_NODE_ID_BYTES) != 0) {
        return;
    }
    struct raft_event event = {.type = RAFT_FORGET_LEADER, .now = now_us, .hint = true};
    step(r, &event);
}

void replica_round_trip(struct replica *r, uint64_t now_us, uint64_t rtt_us)
{
    if (r->raft != NULL) {
        struct raft_event event = {.type = RAFT_ROUND_TRIP, .now = now_us, .round_trip = rtt_us};
        step(r, &event);
    }
}

void replica_tick(struct replica *r, uint64_t now_us)
{
    if (r->raft == NULL) {
        return;
    }
    if (raft_deadline(r->raft) <= now_us) {
        struct raft_event event = {.type = RAFT_TICK, .now = now_us};
        step(r, &event);
    }
    note_applied(r, now_us, apply_index(r->config.apply));
    watch_offers(r, now_us);
    judge_staged(r, now_us);
}

uint64_t replica_deadline_us(const struct replica *r)
{
    uint64_t least = r->raft == NULL ? UINT64_MAX : raft_deadline(r->raft);
    uint64_t offers = offers_deadline_us(&r->offers);
    least = offers < least ? offers : least;
    bool staged = r->staged_until_us != 0 && r->staged_until_us < least;
    return staged ? r->staged_until_us : least;
}

enum sh_err replica_propose(struct replica *r, uint64_t now_us, struct sh_span command,
                            uint64_t stamp_us, bool eager)
{
    if (r->raft == NULL || r->role != RAFT_LEADER) {
        return SH_ERR_NOT_LEADER;
    }
    if (command.size > RAFT_ENTRY_BYTES_MAX) {
        return SH_ERR_INVALID;
    }
    /* A command that somebody cannot decode would halt every agent for good. */
    enum sh_err err = jobs_cmd_decode(command.at, command.size, &r->command);
    if (err != SH_OK) {
        return err;
    }
    if (r->batch_count == REPLICA_BATCH_ENTRIES ||
        r->batch_bytes + command.size > REPLICA_BATCH_BYTES) {
        replica_flush(r, now_us);
    }
    uint8_t *copy = r->batch_memory + r->batch_bytes;
    memcpy(copy, command.at, command.size);
    SH_CHECK(jobs_cmd_stamp(copy, command.size, stamp_us));
    r->batch_eager = r->batch_eager || eager;
    r->batch[r->batch_count++] = (struct raft_entry){
        .type = RAFT_ENTRY_NORMAL, .size = (uint32_t)command.size, .data = copy};
    r->batch_bytes += command.size;
    return SH_OK;
}

void replica_flush(struct replica *r, uint64_t now_us)
{
    if (r->batch_count == 0) {
        return;
    }
    struct raft_event event = {.type = RAFT_PROPOSE, .now = now_us};
    event.propose.entries = r->batch;
    event.propose.count = r->batch_count;
    event.propose.eager = r->batch_eager;
    /* Refused as a whole when leadership is gone or the log is full: their origins send them again.
     */
    raft_step(r->raft, &event, &r->update);
    if (r->update.append_count > 0) {
        r->proposed_index = r->update.append[r->update.append_count - 1].index;
    }
    absorb(r, now_us);
    r->batch_count = 0;
    r->batch_bytes = 0;
    r->batch_eager = false;
}

bool replica_under_way(const struct replica *r)
{
    return r->role == RAFT_LEADER && r->proposed_index > r->update.commit;
}

enum sh_err replica_change(struct replica *r, uint64_t now_us,
                           const struct raft_conf_change *change)
{
    if (r->raft == NULL) {
        return SH_ERR_NOT_LEADER;
    }
    struct raft_event event = {.type = RAFT_PROPOSE_CONF, .now = now_us, .change = change};
    raft_step(r->raft, &event, &r->update);
    enum sh_err refused = r->update.refused;
    absorb(r, now_us);
    return refused;
}

void replica_transfer(struct replica *r, uint64_t now_us, uint64_t to)
{
    if (r->raft != NULL) {
        struct raft_event event = {.type = RAFT_TRANSFER, .now = now_us, .peer = to};
        step(r, &event);
    }
}

void replica_read(struct replica *r, uint64_t now_us, uint64_t number)
{
    enum sh_err refused = SH_ERR_NOT_LEADER;
    if (r->raft != NULL) {
        struct raft_event event = {.type = RAFT_READ_INDEX, .now = now_us, .ctx = number};
        raft_step(r->raft, &event, &r->update);
        refused = r->update.refused;
        absorb(r, now_us);
    }
    if (refused != SH_OK) {
        struct raft_read read = {.ctx = number, .err = refused};
        r->config.on_read(r->config.ctx, &read);
    }
}

bool replica_leader(const struct replica *r, uint8_t out[SH_NODE_ID_BYTES])
{
    const uint8_t *node = handles_node(&r->handles, r->leader);
    if (node != NULL) {
        memcpy(out, node, SH_NODE_ID_BYTES);
    }
    return node != NULL;
}

enum sh_err replica_failure(const struct replica *r)
{
    return r->failure;
}

bool replica_leads(const struct replica *r)
{
    return r->raft != NULL && r->role == RAFT_LEADER;
}

bool replica_is_dormant(const struct replica *r)
{
    return r->raft == NULL;
}

void replica_publish(struct replica *r)
{
    struct replica_status status = {.dormant = r->raft == NULL,
                                    .leaderless_us = r->leaderless_us,
                                    .leader_changes = r->leader_changes,
                                    .silence_us = r->silence_us,
                                    .snapshots = snapshots_count(r->config.snapshots)};
    status.leader_known = replica_leader(r, status.leader);
    if (r->raft != NULL) {
        raft_status(r->raft, &status.raft);
    }
    SH_CHECK(pthread_mutex_lock(&r->lock) == 0);
    r->published = status;
    SH_CHECK(pthread_mutex_unlock(&r->lock) == 0);
}

void replica_status(struct replica *r, struct replica_status *out)
{
    SH_CHECK(pthread_mutex_lock(&r->lock) == 0);
    *out = r->published;
    SH_CHECK(pthread_mutex_unlock(&r->lock) == 0);
}

size_t replica_voters(const struct replica *r, uint8_t (*ids)[SH_NODE_ID_BYTES], size_t capacity)
{
    if (r->raft == NULL) {
        return 0;
    }
    struct raft_status status;
    raft_status(r->raft, &status);
    size_t count = 0;
    for (uint32_t i = 0; i < status.conf.voter_count && count < capacity; i++) {
        const uint8_t *node = handles_node(&r->handles, status.conf.voters[i]);
        if (node != NULL) {
            memcpy(ids[count], node, SH_NODE_ID_BYTES);
            count++;
        }
    }
    return count;
}
