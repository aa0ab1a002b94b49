/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/check.h"

#include "base/rng.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_PLACES = 256 };

static void log_init(struct sim_log *log)
{
    log->at = calloc(FIRST_PLACES, sizeof *log->at);
    SH_CHECK(log->at != NULL);
    log->capacity = FIRST_PLACES;
}

static void log_set(struct sim_log *log, uint64_t index, struct sim_place place)
{
    if (index == log->capacity) {
        log->capacity *= 2;
        log->at = realloc(log->at, log->capacity * sizeof *log->at);
        SH_CHECK(log->at != NULL);
    }
    SH_CHECK_CMP(index, <, log->capacity);
    log->at[index] = place;
    log->last = index;
}

static void log_copy(struct sim_log *to, const struct sim_log *from)
{
    to->last = 0;
    for (uint64_t i = 1; i <= from->last; i++) {
        log_set(to, i, from->at[i]);
    }
}

void sim_check_init(struct sim_check *check)
{
    *check = (struct sim_check){.capacity = FIRST_PLACES};
    for (uint32_t i = 0; i < SIM_AGENTS_MAX; i++) {
        check->views[i].voter = i + 1;
        log_init(&check->views[i].live);
        log_init(&check->views[i].durable);
    }
    sim_ledger_init(&check->leaders);
    sim_ledger_init(&check->votes);
    sim_ledger_init(&check->matching);
    sim_ledger_init(&check->fences);
    sim_ledger_init(&check->fence_terms);
    sim_ledger_init(&check->commits);
    sim_ledger_init(&check->paused);
    sim_ledger_init(&check->progress);
    sim_ledger_init(&check->contents);
    check->committed = calloc(FIRST_PLACES, sizeof *check->committed);
    check->cmd = calloc(1, sizeof *check->cmd);
    check->job = calloc(1, sizeof *check->job);
    SH_CHECK(check->committed != NULL && check->cmd != NULL && check->job != NULL);
}

void sim_check_fini(struct sim_check *check)
{
    for (uint32_t i = 0; i < SIM_AGENTS_MAX; i++) {
        free(check->views[i].live.at);
        free(check->views[i].durable.at);
    }
    sim_ledger_fini(&check->leaders);
    sim_ledger_fini(&check->votes);
    sim_ledger_fini(&check->matching);
    sim_ledger_fini(&check->fences);
    sim_ledger_fini(&check->fence_terms);
    sim_ledger_fini(&check->commits);
    sim_ledger_fini(&check->paused);
    sim_ledger_fini(&check->progress);
    sim_ledger_fini(&check->contents);
    free(check->committed);
    free(check->acked);
    free(check->cmd);
    free(check->job);
}

void sim_check_fail(struct sim_check *check, const char *format, ...)
{
    if (check->failure[0] == '\0') {
        va_list args;
        va_start(args, format);
        (void)vsnprintf(check->failure, sizeof check->failure, format, args);
        va_end(args);
    }
}

static uint64_t entry_hash(uint64_t index, uint64_t term, uint64_t type, const void *bytes,
                           size_t size)
{
    return sh_words64(sh_mix64(index) ^ sh_mix64(term + 1) ^ type, bytes, size);
}

static uint64_t chain_of(uint64_t before, uint64_t entry)
{
    return sh_mix64(before ^ sh_mix64(entry));
}

/* Numbers that two small ones determine; term and index stay far below these shifts. */
static uint64_t pair(uint64_t high, uint64_t low)
{
    SH_CHECK_CMP(low, <, UINT64_C(1) << 40);
    return (high << 40 | low) + 1;
}

static void check_matching(struct sim_check *check, uint32_t agent, uint64_t index,
                           struct sim_place place)
{
    uint64_t *known = sim_ledger_at(&check->matching, pair(place.term, index));
    if (*known == 0) {
        *known = place.chain;
    } else if (*known != place.chain) {
        sim_check_fail(check,
                       "log matching: agent %s holds another entry %" PRIu64 " of term %" PRIu64
                       " than was seen before",
                       sim_name(agent), index, place.term);
    }
}

/* Appends to a log what a write or an update says; gives false where it cannot follow. */
static bool log_append(struct sim_log *log, uint64_t index, uint64_t term, uint64_t type,
                       const void *bytes, size_t size)
{
    if (index == 0 || index > log->last + 1) {
        return false;
    }
    uint64_t entry = entry_hash(index, term, type, bytes, size);
    log_set(log, index,
            (struct sim_place){.term = term,
                               .chain = chain_of(log->at[index - 1].chain, entry),
                               .conf = type == RAFT_ENTRY_CONF});
    return true;
}

static void check_append(struct sim_check *check, uint32_t agent, const struct raft_update *u)
{
    struct sim_view *v = &check->views[agent];
    bool leads = v->role == RAFT_LEADER && u->role == RAFT_LEADER && v->term == u->term;
    for (uint32_t i = 0; i < u->append_count; i++) {
        const struct raft_entry *e = &u->append[i];
        if (leads && e->index != v->live.last + 1) {
            sim_check_fail(check,
                           "leader append-only: leader %s of term %" PRIu64 " rewrites %" PRIu64,
                           sim_name(agent), u->term, e->index);
        }
        if (e->index <= v->commit) {
            sim_check_fail(check, "agent %s replaces entry %" PRIu64 ", which is committed",
                           sim_name(agent), e->index);
        }
        if (!log_append(&v->live, e->index, e->term, e->type, e->data, e->size)) {
            sim_check_fail(check, "agent %s leaves a gap before entry %" PRIu64, sim_name(agent),
                           e->index);
            return;
        }
        check_matching(check, agent, e->index, v->live.at[e->index]);
    }
}

/* Entries committed in an earlier term than the new leader's are in its log. Commits happen in
 * terms that never fall, so the newest of them speaks for all. */
static void check_complete(struct sim_check *check, uint32_t agent, uint64_t term)
{
    const struct sim_log *log = &check->views[agent].live;
    uint64_t i = check->last;
    while (i > 0 && check->committed[i].in_term >= term) {
        i--;
    }
    if (i > 0 && (log->last < i || log->at[i].chain != check->committed[i].chain)) {
        sim_check_fail(check,
                       "leader completeness: leader %s of term %" PRIu64 " lacks entry %" PRIu64
                       ", committed in term %" PRIu64,
                       sim_name(agent), term, i, check->committed[i].in_term);
    }
}

static void check_leader(struct sim_check *check, uint32_t agent, const struct raft_update *u)
{
    if (u->role != RAFT_LEADER) {
        return;
    }
    uint64_t *leader = sim_ledger_at(&check->leaders, u->term);
    if (*leader == 0) {
        *leader = check->views[agent].voter;
        check->elections++;
        check_complete(check, agent, u->term);
    } else if (*leader != check->views[agent].voter) {
        uint32_t other = (uint32_t)(*leader - 1) % SIM_AGENTS_MAX;
        sim_check_fail(check, "election safety: %s and %s both lead term %" PRIu64, sim_name(other),
                       sim_name(agent), u->term);
    }
}

static const struct sim_view *view_of(const struct sim_check *check, uint64_t handle)
{
    for (uint32_t i = 0; i < SIM_AGENTS_MAX; i++) {
        if (check->views[i].handle == handle) {
            return &check->views[i];
        }
    }
    return NULL;
}

/* Who has lost its disk since it answered counts as if it had it still. */
static bool on_majority(const struct sim_check *check, const uint64_t *voters, uint32_t count,
                        uint64_t index, uint64_t chain)
{
    uint32_t holders = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct sim_view *v = view_of(check, voters[i]);
        holders += v == NULL || (v->durable.last >= index && v->durable.at[index].chain == chain);
    }
    return count == 0 || 2 * holders > count;
}

static void check_quorum(struct sim_check *check, uint32_t agent, const struct raft_update *u)
{
    const struct sim_view *v = &check->views[agent];
    const struct raft_conf *conf = &u->conf;
    struct sim_place last = v->live.at[u->commit];
    if (u->role != RAFT_LEADER || u->commit <= check->last) {
        return; /* others repeat what a leader has committed */
    }
    if (last.term != u->term) {
        sim_check_fail(check,
                       "commit rule: leader %s of term %" PRIu64 " commits entry %" PRIu64
                       " of term %" PRIu64 " by counting",
                       sim_name(agent), u->term, u->commit, last.term);
    }
    if (!on_majority(check, conf->voters, conf->voter_count, u->commit, last.chain) ||
        (conf->outgoing_count > 0 &&
         !on_majority(check, conf->outgoing, conf->outgoing_count, u->commit, last.chain))) {
        sim_check_fail(check,
                       "leader %s commits entry %" PRIu64 ", which no majority has on its disks",
                       sim_name(agent), u->commit);
    }
}

/* Is all that the log begins with on the disk, be it as a snapshot? */
static bool is_in_place(const struct sim_view *v)
{
    uint64_t index = v->snapshot;
    return index == 0 ||
           (v->durable.last >= index && v->durable.at[index].chain == v->live.at[index].chain);
}

/* Nobody runs before a committed change of the configuration is applied: it would count the wrong
 * votes. Nor while a snapshot is being put in place: its log is not what its disk has. */
static void check_runner(struct sim_check *check, uint32_t agent, const struct raft_update *u)
{
    const struct sim_view *v = &check->views[agent];
    if (u->role != RAFT_CANDIDATE && u->role != RAFT_PRE_CANDIDATE) {
        return;
    }
    if (!is_in_place(v)) {
        sim_check_fail(check, "agent %s runs while a snapshot of %" PRIu64 " is put in place",
                       sim_name(agent), v->snapshot);
    }
    for (uint64_t i = v->applied + 1; i <= v->commit; i++) {
        if (v->live.at[i].conf) {
            sim_check_fail(check, "agent %s runs with change %" PRIu64 " committed, not applied",
                           sim_name(agent), i);
            return;
        }
    }
}

/* A candidate's log does not change as long as it is one. */
static void check_grants(struct sim_check *check, uint32_t agent, const struct raft_update *u)
{
    const struct sim_log *own = &check->views[agent].live;
    for (uint32_t i = 0; i < u->message_count; i++) {
        const struct raft_msg *m = &u->messages[i];
        const struct sim_view *c = view_of(check, m->to);
        if (m->type != RAFT_MSG_VOTE_RESP || m->reject || c == NULL || c->term != m->term ||
            c->role != RAFT_CANDIDATE) {
            continue;
        }
        uint64_t term = c->live.at[c->live.last].term;
        uint64_t own_term = own->at[own->last].term;
        if (term < own_term || (term == own_term && c->live.last < own->last)) {
            sim_check_fail(check,
                           "agent %s votes in term %" PRIu64 " for a shorter log than its own",
                           sim_name(agent), m->term);
        }
    }
}

static void commit_first(struct sim_check *check, const struct sim_view *v, uint64_t index,
                         uint64_t term)
{
    if (index == check->capacity) {
        check->capacity *= 2;
        check->committed = realloc(check->committed, check->capacity * sizeof *check->committed);
        SH_CHECK(check->committed != NULL);
    }
    check->committed[index] = (struct sim_committed){.term = v->live.at[index].term,
                                                     .chain = v->live.at[index].chain,
                                                     .in_term = term,
                                                     .conf = v->live.at[index].conf};
    check->last = index;
}

static void check_commit(struct sim_check *check, uint32_t agent, const struct raft_update *u)
{
    struct sim_view *v = &check->views[agent];
    if (u->commit < v->commit) {
        sim_check_fail(check, "agent %s takes back its commit index", sim_name(agent));
    }
    if (u->commit > v->live.last) {
        sim_check_fail(check, "agent %s commits %" PRIu64 " beyond its log", sim_name(agent),
                       u->commit);
        return;
    }
    check_quorum(check, agent, u);
    for (uint64_t i = v->commit + 1; i <= u->commit; i++) {
        if (i > check->last) {
            commit_first(check, v, i, u->term);
        } else if (check->committed[i].chain != v->live.at[i].chain) {
            sim_check_fail(check,
                           "state machine safety: agent %s commits another entry %" PRIu64
                           " than was committed before",
                           sim_name(agent), i);
        }
    }
    v->commit = u->commit;
}

/* The log is as if it held all that was ever committed up to index. */
static void log_snapshot(struct sim_log *log, const struct sim_check *check, uint64_t index)
{
    for (uint64_t i = 1; i <= index; i++) {
        const struct sim_committed *c = &check->committed[i];
        log_set(log, i, (struct sim_place){.term = c->term, .chain = c->chain, .conf = c->conf});
    }
    log->last = index;
}

static bool check_end(struct sim_check *check, uint32_t agent, uint64_t index, uint64_t term)
{
    if (index == 0 || index > check->last || check->committed[index].term != term) {
        sim_check_fail(check,
                       "agent %s takes a snapshot up to entry %" PRIu64 " of term %" PRIu64
                       ", which was never committed",
                       sim_name(agent), index, term);
        return false;
    }
    return true;
}

/* Of the newest committed change up to index; 0: not known. */
static uint64_t conf_hash(const struct sim_check *check, uint64_t index)
{
    while (index > 0 && !check->committed[index].conf) {
        index--;
    }
    return check->committed[index].applied ? check->committed[index].result : 0;
}

static uint64_t hash_of_conf(const struct raft_conf *conf)
{
    uint8_t bytes[RAFT_CONF_BYTES_MAX];
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    raft_conf_encode(conf, &w);
    return sh_words64(1, bytes, w.used) | 1;
}

static void check_snapshot(struct sim_check *check, uint32_t agent, const struct raft_update *u)
{
    struct sim_view *v = &check->views[agent];
    uint64_t index = u->snapshot.index;
    if (!check_end(check, agent, index, u->snapshot.term)) {
        return;
    }
    if (index <= v->commit) {
        sim_check_fail(check,
                       "agent %s goes back to a snapshot of %" PRIu64 " behind its commit index",
                       sim_name(agent), index);
    }
    if (hash_of_conf(&u->snapshot.conf) != conf_hash(check, index) ||
        !raft_conf_equal(&u->snapshot.conf, &u->conf)) {
        sim_check_fail(check, "agent %s takes a snapshot of %" PRIu64 " with another configuration",
                       sim_name(agent), index);
    }
    log_snapshot(&v->live, check, index);
    v->applied = index; /* nothing before it is applied any more */
    v->snapshot = index;
}

void sim_check_update(struct sim_check *check, uint32_t agent, const struct raft_update *update)
{
    struct sim_view *v = &check->views[agent];
    if (update->install) {
        check_snapshot(check, agent, update);
    }
    if (update->term < v->term) {
        sim_check_fail(check, "agent %s goes back to term %" PRIu64, sim_name(agent), update->term);
    }
    check_append(check, agent, update);
    check_leader(check, agent, update);
    check_commit(check, agent, update);
    check_runner(check, agent, update);
    check_grants(check, agent, update);
    if (update->apply_to > update->commit) {
        sim_check_fail(check, "agent %s would apply what is not committed", sim_name(agent));
    }
    v->role = update->role;
    v->term = update->term;
}

/* Do these two logs have the same entries up to index? */
static bool agree(const struct sim_log *a, const struct sim_log *b, uint64_t index)
{
    return a->last >= index && b->last >= index && a->at[index].chain == b->at[index].chain;
}

/* As long as both are in its term, what a leader counts a member for is on that member's disk. */
void sim_check_leader(struct sim_check *check, uint32_t agent, const struct raft_status *status)
{
    const struct sim_view *leader = &check->views[agent];
    for (uint32_t i = 0; i < status->peer_count; i++) {
        const struct raft_peer_status *peer = &status->peers[i];
        const struct sim_view *v = view_of(check, peer->id);
        if (v != NULL && v->term == status->term &&
            !agree(&v->durable, &leader->live, peer->match)) {
            sim_check_fail(check, "leader %s counts a member for entry %" PRIu64 ", which it lacks",
                           sim_name(agent), peer->match);
        }
    }
}

static void check_answer(struct sim_check *check, uint32_t agent, const struct raft_msg *msg)
{
    const struct sim_view *v = &check->views[agent];
    const struct sim_view *leader = view_of(check, msg->to);
    bool same = leader != NULL && leader->role == RAFT_LEADER && leader->term == msg->term &&
                v->term == msg->term && leader->live.last >= msg->index;
    if (same && !agree(&v->live, &leader->live, msg->index)) {
        sim_check_fail(check, "agent %s acknowledges entry %" PRIu64 " and has another one",
                       sim_name(agent), msg->index);
    }
}

void sim_check_message(struct sim_check *check, uint32_t agent, const struct raft_msg *msg)
{
    if (msg->type == RAFT_MSG_APP_RESP && !msg->reject) {
        check_answer(check, agent, msg);
    }
    if (msg->type == RAFT_MSG_VOTE && msg->index > check->views[agent].durable.last) {
        sim_check_fail(check, "candidate %s claims entry %" PRIu64 " before it is durable",
                       sim_name(agent), msg->index);
    }
    if (msg->type == RAFT_MSG_VOTE_RESP && !msg->reject) {
        uint64_t *vote = sim_ledger_at(&check->votes, pair(msg->term, check->views[agent].voter));
        if (*vote != 0 && *vote != msg->to) {
            sim_check_fail(check, "agent %s votes twice in term %" PRIu64, sim_name(agent),
                           msg->term);
        }
        *vote = msg->to;
        const struct wal_hard *hard = &check->views[agent].hard;
        if (hard->term < msg->term || (hard->term == msg->term && hard->vote != msg->to)) {
            sim_check_fail(check, "agent %s grants a vote in term %" PRIu64 " before it is durable",
                           sim_name(agent), msg->term);
        }
    }
    if (msg->type == RAFT_MSG_APP_RESP && !msg->reject &&
        msg->index > check->views[agent].durable.last) {
        sim_check_fail(check, "agent %s acknowledges entry %" PRIu64 " before it is durable",
                       sim_name(agent), msg->index);
    }
}

static void write_hard(struct sim_check *check, uint32_t agent, const struct wal_hard *hard)
{
    struct sim_view *v = &check->views[agent];
    if (hard->term < v->hard.term ||
        (hard->term == v->hard.term && v->hard.vote != 0 && hard->vote != v->hard.vote)) {
        sim_check_fail(check, "agent %s takes back its term or vote on disk (term %" PRIu64 ")",
                       sim_name(agent), hard->term);
    }
    v->hard = *hard;
}

void sim_check_write(struct sim_check *check, uint32_t agent, const struct wal_hard *hard,
                     const struct wal_entry *entries, uint32_t count, bool synced)
{
    struct sim_view *v = &check->views[agent];
    (void)synced; /* raft asks for entries, term and vote only with sync; the rest is a hint */
    for (uint32_t i = 0; i < count; i++) {
        const struct wal_entry *e = &entries[i];
        if (!log_append(&v->durable, e->index, e->term, e->type, e->bytes.at, e->bytes.size)) {
            sim_check_fail(check, "agent %s writes entry %" PRIu64 " behind a gap", sim_name(agent),
                           e->index);
            return;
        }
    }
    if (hard != NULL) {
        write_hard(check, agent, hard);
    }
}

void sim_check_install(struct sim_check *check, uint32_t agent, uint64_t index, uint64_t term,
                       const struct wal_hard *hard)
{
    if (check_end(check, agent, index, term)) {
        log_snapshot(&check->views[agent].durable, check, index);
        write_hard(check, agent, hard);
    }
}

void sim_check_handle(struct sim_check *check, uint32_t agent, uint64_t handle)
{
    check->views[agent].handle = handle;
}

void sim_check_wipe(struct sim_check *check, uint32_t agent)
{
    struct sim_view *v = &check->views[agent];
    struct sim_view old = *v;
    *v = (struct sim_view){
        .live = old.live, .durable = old.durable, .voter = old.voter + SIM_AGENTS_MAX};
    v->live.last = 0;
    v->durable.last = 0;
}

void sim_check_found(struct sim_check *check, uint32_t agent, const struct wal_hard *hard,
                     const struct wal_entry *entries, uint32_t count)
{
    const struct sim_log *log = &check->views[agent].durable;
    sim_check_write(check, agent, hard, entries, count, true);
    for (uint64_t i = 1; i <= count; i++) {
        check->committed[i] = (struct sim_committed){.term = log->at[i].term,
                                                     .chain = log->at[i].chain,
                                                     .in_term = hard->term,
                                                     .conf = log->at[i].conf};
    }
    check->last = count;
}

void sim_check_conf(struct sim_check *check, uint32_t agent, uint64_t index,
                    const struct raft_conf *conf)
{
    struct sim_committed *c = &check->committed[index];
    uint64_t hash = hash_of_conf(conf);
    if (c->applied && c->result != hash) {
        sim_check_fail(check, "agent %s has another configuration than others after entry %" PRIu64,
                       sim_name(agent), index);
    }
    c->applied = true;
    c->result = hash;
}

static uint64_t wal_chain(struct wal *wal, struct wal_entry *entry, uint8_t *buffer, size_t size,
                          uint64_t index, uint64_t before)
{
    uint32_t count = 0;
    if (wal_read(wal, index, index + 1, entry, 1, buffer, size, &count) != SH_OK) {
        return 0;
    }
    return chain_of(before, entry_hash(entry->index, entry->term, entry->type, entry->bytes.at,
                                       entry->bytes.size));
}

void sim_check_start(struct sim_check *check, uint32_t agent, const struct wal_hard *hard,
                     struct wal *wal, uint64_t applied)
{
    struct sim_view *v = &check->views[agent];
    if (hard->term < v->hard.term || (hard->term == v->hard.term && hard->vote != v->hard.vote)) {
        sim_check_fail(check, "agent %s forgot its term or vote of term %" PRIu64 " in a crash",
                       sim_name(agent), v->hard.term);
    }
    if (wal_last_index(wal) != v->durable.last) {
        sim_check_fail(check,
                       "agent %s had %" PRIu64 " durable entries and has %" PRIu64 " after a crash",
                       sim_name(agent), v->durable.last, wal_last_index(wal));
        return;
    }
    uint64_t term = 0;
    uint64_t compacted = wal_compacted_index(wal);
    if (compacted > applied || wal_term(wal, compacted, &term) != SH_OK ||
        term != v->durable.at[compacted].term) {
        sim_check_fail(check,
                       "agent %s has no log up to entry %" PRIu64 " and tables of %" PRIu64
                       " after a crash",
                       sim_name(agent), compacted, applied);
    }
    uint8_t *buffer = malloc(WAL_ENTRY_BYTES_MAX);
    SH_CHECK(buffer != NULL);
    struct wal_entry entry;
    for (uint64_t i = v->durable.last; i > compacted && i + 2 > v->durable.last; i--) {
        uint64_t before = v->durable.at[i - 1].chain;
        if (wal_chain(wal, &entry, buffer, WAL_ENTRY_BYTES_MAX, i, before) !=
            v->durable.at[i].chain) {
            sim_check_fail(check, "agent %s has another entry %" PRIu64 " after a crash",
                           sim_name(agent), i);
        }
    }
    free(buffer);
    if (applied > check->last) {
        sim_check_fail(check, "agent %s starts with more applied than is committed",
                       sim_name(agent));
    }
    log_copy(&v->live, &v->durable);
    v->snapshot = 0;
    v->hard = *hard;
    v->role = RAFT_FOLLOWER;
    v->term = hard->term;
    v->commit = hard->commit < applied ? applied : hard->commit;
    v->applied = applied;
}

void sim_check_apply(struct sim_check *check, uint32_t agent, const struct wal_entry *entry)
{
    struct sim_view *v = &check->views[agent];
    uint64_t hash =
        entry_hash(entry->index, entry->term, entry->type, entry->bytes.at, entry->bytes.size);
    if (entry->index != v->applied + 1 || entry->index > v->commit) {
        sim_check_fail(check, "agent %s applies %" PRIu64 " after %" PRIu64 " with commit %" PRIu64,
                       sim_name(agent), entry->index, v->applied, v->commit);
        return;
    }
    struct sim_committed *c = &check->committed[entry->index];
    if (chain_of(check->committed[entry->index - 1].chain, hash) != c->chain) {
        sim_check_fail(check,
                       "state machine safety: agent %s applies another entry %" PRIu64
                       " than was committed",
                       sim_name(agent), entry->index);
    }
    if (v->durable.last < entry->index || v->durable.at[entry->index].chain != c->chain) {
        sim_check_fail(check, "agent %s applies entry %" PRIu64 " before it is durable there",
                       sim_name(agent), entry->index);
    }
    v->applied = entry->index;
}
