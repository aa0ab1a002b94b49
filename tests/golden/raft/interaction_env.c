/* SPDX-License-Identifier: Apache-2.0 */
#include "interaction.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *zeroed(size_t count, size_t size)
{
    void *out = calloc(count, size);
    SH_CHECK(out != NULL);
    return out;
}

void ia_push(struct ia_list *list, struct ia_msg msg)
{
    SH_CHECK_CMP(list->count, <, IA_MSGS);
    list->at[list->count] = msg;
    list->count++;
}

static struct ia_msg copy_entries(const struct raft_msg *m, const struct raft_entry *entries,
                                  uint32_t count)
{
    struct ia_msg out = {.m = *m};
    out.m.entry_count = count;
    if (count > 0) {
        size_t bytes = 0;
        for (uint32_t i = 0; i < count; i++) {
            bytes += entries[i].size;
        }
        out.entries = zeroed(1, count * sizeof *entries + bytes);
        uint8_t *data = (uint8_t *)(out.entries + count);
        for (uint32_t i = 0; i < count; i++) {
            out.entries[i] = entries[i];
            out.entries[i].data = data;
            if (entries[i].size > 0) {
                memcpy(data, entries[i].data, entries[i].size);
                data += entries[i].size;
            }
        }
        out.m.entries = out.entries;
    }
    return out;
}

struct ia_msg ia_copy(const struct raft_msg *m)
{
    return copy_entries(m, m->entries, m->entry_count);
}

/* Entries [low, high] of a log as the entries of a message. */
static struct ia_msg copy_range(const struct ia_log *log, uint64_t low, uint64_t high)
{
    static struct raft_entry entries[IA_LOG];
    uint32_t count = 0;
    for (uint64_t i = low; i <= high; i++) {
        const struct ia_entry *e = &log->entries[i];
        entries[count] = (struct raft_entry){
            .term = e->term, .index = i, .type = e->type, .size = e->size, .data = e->data};
        count++;
    }
    struct raft_msg none = {0};
    return copy_entries(&none, entries, count);
}

static void take_append(struct ia_node *n, const struct raft_update *u)
{
    for (uint32_t i = 0; i < u->append_count; i++) {
        const struct raft_entry *e = &u->append[i];
        SH_CHECK_CMP(e->index, <, IA_LOG);
        struct ia_entry *to = &n->live.entries[e->index];
        *to = (struct ia_entry){.term = e->term, .type = e->type, .size = e->size};
        SH_CHECK_CMP(e->size, <=, sizeof to->data);
        if (e->size > 0) {
            memcpy(to->data, e->data, e->size);
        }
    }
    if (u->append_count > 0) {
        n->live.last = u->append[u->append_count - 1].index;
        if (u->append[0].index < n->unstable) {
            n->unstable = u->append[0].index;
        }
        if (u->append[0].index <= n->acked) {
            n->acked = u->append[0].index - 1;
        }
    }
}

/* What etcd sends to itself, this core is told by PERSISTED; the message is still shown. */
static void add_self(struct ia_node *n, const struct raft_update *u, enum raft_msg_type type)
{
    uint64_t id = n->core->config.id;
    struct raft_msg m = {.type = type, .from = id, .to = id, .term = u->term};
    if (type == RAFT_MSG_APP_RESP) {
        m.index = n->live.last;
    }
    struct ia_msg msg = ia_copy(&m);
    msg.kind = IA_SELF;
    msg.token = u->token;
    ia_push(&n->after_msgs, msg);
}

static bool leaves_after(enum raft_msg_type type)
{
    return type == RAFT_MSG_APP_RESP || type == RAFT_MSG_VOTE_RESP || type == RAFT_MSG_PREVOTE_RESP;
}

void ia_step(struct ia_env *env, struct ia_node *n, struct raft_event event)
{
    (void)env;
    struct raft_update u;
    uint64_t term = n->core->term;
    event.now = n->now;
    raft_step(n->core, &event, &u);
    raft_check(n->core);
    if (u.install) {
        n->snapshot_set = true;
        n->snapshot = u.snapshot;
        n->live.first = u.snapshot.index + 1;
        n->live.last = u.snapshot.index;
        n->live.prev_term = u.snapshot.term;
        n->unstable = u.snapshot.index + 1;
        n->applying = u.snapshot.index;
    }
    take_append(n, &u);
    if (u.token != 0) {
        n->token = u.token;
    }
    if (u.role == RAFT_CANDIDATE && u.term != term) {
        add_self(n, &u, RAFT_MSG_VOTE_RESP);
    }
    if (u.role == RAFT_LEADER && u.append_count > 0) {
        add_self(n, &u, RAFT_MSG_APP_RESP);
    }
    for (uint32_t i = 0; i < u.message_count; i++) {
        const struct raft_msg *m = &u.messages[i];
        struct ia_msg msg = ia_copy(m);
        if (m->type >= RAFT_MSG_VOTE && m->type <= RAFT_MSG_PREVOTE_RESP) {
            msg.m.commit = 0; /* etcd's votes do not carry it: it neither shows nor arrives */
        }
        ia_push(leaves_after(m->type) ? &n->after_msgs : &n->now_msgs, msg);
    }
    if (u.proposed_index != 0 && env->next_is_v1) {
        SH_CHECK_CMP(env->v1_count, <, SH_COUNT(env->v1));
        env->v1[env->v1_count].term = u.proposed_term;
        env->v1[env->v1_count].index = u.proposed_index;
        env->v1_count++;
    }
    n->apply_to = u.apply_to;
    n->refused = u.refused;
}

static bool truth(const struct dd_case *c, const char *key)
{
    return strcmp(dd_value(c, key, "false"), "true") == 0;
}

static void put_ids(const struct dd_case *c, const char *key, uint64_t *ids, uint8_t *count)
{
    const struct dd_arg *arg = dd_arg(c, key);
    for (uint32_t i = 0; arg != NULL && i < arg->count; i++) {
        ids[i] = dd_number(arg->values[i]);
        (*count)++;
    }
}

static struct raft_config config_of(struct ia_env *env, const struct dd_case *c, uint64_t id)
{
    struct raft_config config = {.id = id,
                                 .seed = id,
                                 .election = 3,
                                 .heartbeat = 1,
                                 .pre_vote = truth(c, "prevote"),
                                 .check_quorum = truth(c, "checkquorum"),
                                 .step_down_on_removal = truth(c, "step-down-on-removal"),
                                 .unchecked_changes = truth(c, "disable-conf-change-validation"),
                                 .forward_proposals = true,
                                 .trace = ia_trace,
                                 .trace_ctx = env};
    config.limits = raft_limits_default;
    config.limits.tail_entries = 1200;
    config.limits.batch_entries = 1000;
    config.limits.batch_bytes = 1u << 20;
    config.limits.inflight_msgs = (uint32_t)dd_number(dd_value(c, "inflight", "256"));
    config.limits.inflight_bytes = 0;
    config.limits.uncommitted_bytes = 0;
    return config;
}

static void add_one(struct ia_env *env, const struct dd_case *c)
{
    env->count++;
    uint64_t id = env->count;
    SH_CHECK_CMP(id, <=, IA_NODES);
    struct ia_node *n = zeroed(1, sizeof *n);
    env->nodes[id] = n;
    struct raft_config config = config_of(env, c, id);
    uint64_t index = dd_number(dd_value(c, "index", "0"));
    struct raft_run run = {.first = index, .term = index > 0};
    struct raft_boot boot = {.hard = {.commit = index},
                             .applied = index,
                             .first_index = index + 1,
                             .last_index = index,
                             .runs = &run,
                             .run_count = 1};
    put_ids(c, "voters", boot.conf.voters, &boot.conf.voter_count);
    put_ids(c, "learners", boot.conf.learners, &boot.conf.learner_count);
    n->async = truth(c, "async-storage-writes");
    n->max_committed = dd_number(dd_value(c, "max-committed-size-per-ready", "0"));
    n->live.first = index + 1;
    n->live.last = index;
    n->live.prev_term = run.term;
    n->disk = n->live;
    n->unstable = index + 1;
    n->acked = index;
    n->applying = index;
    n->apply_to = index;
    n->told_hard.commit = index;
    size_t bytes = raft_bytes(&config.limits);
    n->memory = aligned_alloc(64, bytes);
    SH_CHECK(n->memory != NULL);
    struct sh_arena arena;
    sh_arena_init(&arena, n->memory, bytes);
    n->core = n->memory; /* traces of init look at it */
    n->core = raft_init(&arena, &config, &boot, 0);
}

void ia_add(struct ia_env *env, const struct dd_case *c)
{
    SH_CHECK_CMP(c->arg_count, >, 0);
    uint64_t count = dd_number(c->args[0].key);
    for (uint64_t i = 0; i < count; i++) {
        add_one(env, c);
    }
}

/* Newest entry that can be handed out for applying. */
static uint64_t appliable(const struct ia_node *n)
{
    if (n->snapshot_set) {
        return n->applying;
    }
    return n->async ? n->apply_to : n->core->commit;
}

bool ia_has_ready(const struct ia_node *n)
{
    const struct raft *r = n->core;
    return r->role != n->told_role || r->leader != n->told_leader || r->term != n->told_hard.term ||
           r->vote != n->told_hard.vote || r->commit != n->told_hard.commit || n->snapshot_set ||
           n->now_msgs.count > 0 || n->after_msgs.count > 0 || n->unstable <= n->live.last ||
           n->applying < appliable(n);
}

/* A Ready taken apart. */
struct ready {
    bool soft_set;
    bool hard_set;
    bool must_sync;
    bool snapshot_set;
    struct raft_snapshot snapshot;
    struct ia_msg entries;
    struct ia_msg committed;
    uint64_t committed_last;
};

static void put_entries(struct ia_env *env, const char *title, const struct ia_msg *shown)
{
    if (shown->m.entry_count == 0) {
        return;
    }
    ia_print(env, "%s:\n", title);
    for (uint32_t i = 0; i < shown->m.entry_count; i++) {
        const struct raft_entry *e = &shown->m.entries[i];
        struct dd_text text = {0};
        ia_put_entry(env, &text, e->term, e->index, e->type, e->data, e->size);
        ia_print(env, "%s\n", text.at);
        dd_free(&text);
    }
}

static void put_ready(struct ia_env *env, const struct ia_node *n, const struct ready *rd)
{
    const struct raft *r = n->core;
    ia_print(env, "Ready MustSync=%s:\n", rd->must_sync ? "true" : "false");
    if (rd->soft_set) {
        ia_print(env, "Lead:%llu State:%s\n", (unsigned long long)r->leader, ia_role(r->role));
    }
    if (rd->hard_set) {
        struct dd_text text = {0};
        dd_printf(&text, "HardState Term:%llu", (unsigned long long)r->term);
        if (r->vote != 0) {
            dd_printf(&text, " Vote:%llu", (unsigned long long)r->vote);
        }
        dd_printf(&text, " Commit:%llu", (unsigned long long)r->commit);
        ia_print(env, "%s\n", text.at);
        dd_free(&text);
    }
    put_entries(env, "Entries", &rd->entries);
    if (rd->snapshot_set) {
        struct dd_text text = {0};
        ia_put_snapshot(&text, &rd->snapshot);
        ia_print(env, "Snapshot %s\n", text.at);
        dd_free(&text);
    }
    put_entries(env, "CommittedEntries", &rd->committed);
}

static struct ready take_ready(struct ia_node *n)
{
    const struct raft *r = n->core;
    struct ready rd = {.snapshot_set = n->snapshot_set, .snapshot = n->snapshot};
    rd.soft_set = r->role != n->told_role || r->leader != n->told_leader;
    bool term = r->term != n->told_hard.term || r->vote != n->told_hard.vote;
    rd.hard_set = term || r->commit != n->told_hard.commit;
    rd.must_sync = term || n->unstable <= n->live.last;
    if (n->unstable <= n->live.last) {
        rd.entries = copy_range(&n->live, n->unstable, n->live.last);
        n->unstable = n->live.last + 1;
    }
    uint64_t to = appliable(n);
    if (n->max_committed > 0 && to > n->applying) {
        uint64_t bytes = n->live.entries[n->applying + 1].size;
        uint64_t last = n->applying + 1;
        while (last < to && bytes + n->live.entries[last + 1].size + 4 <= n->max_committed) {
            last++;
            bytes += n->live.entries[last].size;
        }
        to = last;
    }
    rd.committed_last = to;
    if (to > n->applying) {
        rd.committed = copy_range(&n->live, n->applying + 1, to);
    }
    n->applying = to;
    n->told_role = r->role;
    n->told_leader = r->leader;
    n->told_hard = (struct raft_hard){.term = r->term, .vote = r->vote, .commit = r->commit};
    n->snapshot_set = false;
    return rd;
}

static void write_disk(struct ia_node *n, const struct ia_msg *entries, bool snapshot_set,
                       const struct raft_snapshot *snapshot)
{
    if (snapshot_set) {
        n->disk.first = snapshot->index + 1;
        n->disk.last = snapshot->index;
        n->disk.prev_term = snapshot->term;
    }
    for (uint32_t i = 0; i < entries->m.entry_count; i++) {
        const struct raft_entry *e = &entries->m.entries[i];
        struct ia_entry *to = &n->disk.entries[e->index];
        *to = (struct ia_entry){.term = e->term, .type = e->type, .size = e->size};
        memcpy(to->data, e->data, e->size);
        n->disk.last = e->index;
    }
}

static void apply(struct ia_env *env, struct ia_node *n, const struct ia_msg *committed)
{
    for (uint32_t i = 0; i < committed->m.entry_count; i++) {
        const struct raft_entry *e = &committed->m.entries[i];
        if (e->type == RAFT_ENTRY_CONF) {
            struct raft_event event = {.type = RAFT_CONF_APPLIED};
            event.conf.index = e->index;
            event.conf.data = e->data;
            event.conf.size = e->size;
            ia_step(env, n, event);
        }
    }
}

static void step_applied(struct ia_env *env, struct ia_node *n, uint64_t index)
{
    struct raft_event event = {.type = RAFT_APPLIED};
    event.index = index;
    ia_step(env, n, event);
}

static void step_persisted(struct ia_env *env, struct ia_node *n, uint64_t token)
{
    if (token > n->core->log.token_durable) {
        struct raft_event event = {.type = RAFT_PERSISTED};
        event.token = token;
        ia_step(env, n, event);
    }
}

static void put_deferred(struct ia_env *env, struct ia_node *n)
{
    if (n->deferred.at != NULL) {
        ia_print(env, "%s", n->deferred.at);
        dd_free(&n->deferred);
    }
}

static void finish_sync(struct ia_env *env, struct ia_node *n, const struct ready *rd,
                        struct ia_list *after)
{
    uint64_t token = n->token;
    write_disk(n, &rd->entries, rd->snapshot_set, &rd->snapshot);
    apply(env, n, &rd->committed);
    for (uint32_t i = 0; i < after->count; i++) {
        if (after->at[i].kind == IA_PEER) {
            ia_push(&env->messages, after->at[i]);
        }
    }
    put_deferred(env, n);
    step_persisted(env, n, token);
    if (rd->committed.m.entry_count > 0) {
        step_applied(env, n, rd->committed_last);
    }
}

/* The two storage messages of an asynchronous Ready. */
static void queue_work(struct ia_env *env, struct ia_node *n, const struct ready *rd,
                       const struct raft_hard *hard, struct ia_list *after)
{
    const struct raft *r = n->core;
    if (rd->entries.m.entry_count > 0 || rd->hard_set || rd->snapshot_set || after->count > 0) {
        SH_CHECK_CMP(n->append_count, <, IA_WORK);
        struct ia_append *work = &n->append_work[n->append_count];
        *work = (struct ia_append){.hard = *hard,
                                   .hard_set = rd->hard_set,
                                   .snapshot_set = rd->snapshot_set,
                                   .snapshot = rd->snapshot,
                                   .shown = rd->entries};
        work->responses = zeroed(1, sizeof *work->responses);
        for (uint32_t i = 0; i < after->count; i++) {
            ia_push(work->responses, after->at[i]);
        }
        if (r->log.durable < r->log.last || rd->snapshot_set) {
            struct ia_msg resp = {.kind = IA_APPEND_RESP, .token = n->token};
            resp.m.to = r->config.id;
            resp.m.term = r->term;
            resp.m.index = r->log.last;
            resp.m.log_term = raft_log_last_term(r);
            ia_push(work->responses, resp);
        }
        n->append_count++;
        ia_describe_append(env, n, work, true);
    }
    if (rd->committed.m.entry_count > 0) {
        SH_CHECK_CMP(n->apply_count, <, IA_WORK);
        struct ia_apply *work = &n->apply_work[n->apply_count];
        work->shown = rd->committed;
        work->shown.kind = IA_APPLY_RESP;
        work->shown.m.to = r->config.id;
        n->apply_count++;
        ia_describe_apply(env, n, work, true);
    }
}

void ia_process_ready(struct ia_env *env, struct ia_node *n)
{
    if (!ia_has_ready(n)) {
        ia_print(env, "<empty Ready>\n");
        return;
    }
    static struct ia_list now;
    static struct ia_list after;
    struct ready rd = take_ready(n);
    struct raft_hard hard = n->told_hard;
    now = n->now_msgs;
    after = n->after_msgs;
    n->now_msgs.count = 0;
    n->after_msgs.count = 0;
    put_ready(env, n, &rd);
    bool title = now.count > 0 || (n->async && (rd.hard_set || rd.entries.m.entry_count > 0 ||
                                                rd.committed.m.entry_count > 0));
    for (uint32_t i = 0; i < after.count; i++) {
        title |= n->async || after.at[i].kind == IA_PEER;
    }
    if (title) {
        ia_print(env, "Messages:\n");
    }
    for (uint32_t i = 0; i < now.count; i++) {
        ia_describe(env, &now.at[i], "");
        ia_push(&env->messages, now.at[i]);
    }
    if (n->async) {
        queue_work(env, n, &rd, &hard, &after);
        return;
    }
    for (uint32_t i = 0; i < after.count; i++) {
        if (after.at[i].kind == IA_PEER) {
            ia_describe(env, &after.at[i], "");
        }
    }
    finish_sync(env, n, &rd, &after);
}

void ia_process_append(struct ia_env *env, struct ia_node *n)
{
    if (n->append_count == 0) {
        ia_print(env, "no append work to perform\n");
        return;
    }
    struct ia_append work = n->append_work[0];
    n->append_count--;
    memmove(n->append_work, n->append_work + 1, n->append_count * sizeof work);
    write_disk(n, &work.shown, work.snapshot_set, &work.snapshot);
    ia_print(env, "Processing:\n");
    ia_describe_append(env, n, &work, false);
    ia_print(env, "Responses:\n");
    for (uint32_t i = 0; i < work.responses->count; i++) {
        ia_describe(env, &work.responses->at[i], "");
        ia_push(&env->messages, work.responses->at[i]);
    }
    free(work.responses);
}

void ia_process_apply(struct ia_env *env, struct ia_node *n)
{
    if (n->apply_count == 0) {
        ia_print(env, "no apply work to perform\n");
        return;
    }
    struct ia_apply work = n->apply_work[0];
    n->apply_count--;
    memmove(n->apply_work, n->apply_work + 1, n->apply_count * sizeof work);
    ia_print(env, "Processing:\n");
    ia_describe_apply(env, n, &work, false);
    apply(env, n, &work.shown);
    ia_print(env, "Responses:\n");
    ia_describe(env, &work.shown, "");
    ia_push(&env->messages, work.shown);
}

bool ia_waiting(const struct ia_env *env, uint64_t id)
{
    bool found = false;
    for (uint32_t i = 0; i < env->messages.count; i++) {
        found |= env->messages.at[i].m.to == id;
    }
    return found;
}

/* etcd decides by index and term whether the end of a write still counts; this core by tokens.
 * Where etcd logs that it does not, this core must not count it either. */
static void append_resp(struct ia_env *env, struct ia_node *n, const struct ia_msg *msg)
{
    const struct raft *r = n->core;
    uint64_t durable = r->log.durable;
    uint64_t own = 0;
    bool known = raft_log_term(r, msg->m.index, &own);
    bool ignored = true;
    if (msg->m.term < r->term) {
        ia_log_line(env, 1,
                    "%llu [term: %llu] ignored entry appends from a MsgStorageAppendResp message "
                    "with lower term [term: %llu]",
                    (unsigned long long)msg->m.to, (unsigned long long)r->term,
                    (unsigned long long)msg->m.term);
    } else if (msg->m.index <= n->acked) {
        ia_log_line(env, 1, "entry at index %llu missing from unstable log; ignoring",
                    (unsigned long long)msg->m.index);
    } else if (known && own != msg->m.log_term) {
        ia_log_line(env, 1,
                    "entry at (index,term)=(%llu,%llu) mismatched with entry at (%llu,%llu) in "
                    "unstable log; ignoring",
                    (unsigned long long)msg->m.index, (unsigned long long)msg->m.log_term,
                    (unsigned long long)msg->m.index, (unsigned long long)own);
    } else {
        ignored = false;
        n->acked = msg->m.index;
    }
    step_persisted(env, n, msg->token);
    SH_CHECK(SH_IMPLIES(ignored, r->log.durable == durable));
}

static void arrive(struct ia_env *env, struct ia_node *n, struct ia_msg *msg)
{
    switch (msg->kind) {
    case IA_PEER: {
        enum raft_msg_type t = msg->m.type;
        bool answer = t == RAFT_MSG_APP_RESP || t == RAFT_MSG_HEARTBEAT_RESP ||
                      t == RAFT_MSG_VOTE_RESP || t == RAFT_MSG_PREVOTE_RESP;
        if (answer && raft_peer_at(&n->core->peers, msg->m.from) == NULL) {
            ia_print(env, "raft: cannot step as peer not found\n");
            return;
        }
        struct raft_event event = {.type = RAFT_RECEIVE};
        event.message = &msg->m;
        ia_step(env, n, event);
        break;
    }
    case IA_SELF:
        step_persisted(env, n, msg->token);
        break;
    case IA_APPEND_RESP:
        append_resp(env, n, msg);
        break;
    case IA_APPLY_RESP:
        step_applied(env, n, msg->m.entries[msg->m.entry_count - 1].index);
        break;
    }
}

uint32_t ia_deliver(struct ia_env *env, uint64_t id, unsigned type, bool drop)
{
    static struct ia_list mine;
    mine.count = 0;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < env->messages.count; i++) {
        struct ia_msg *m = &env->messages.at[i];
        bool wanted = m->m.to == id && (type == 0 || m->m.type == (enum raft_msg_type)type) &&
                      !(drop && m->kind != IA_PEER);
        if (wanted) {
            ia_push(&mine, *m);
        } else {
            env->messages.at[kept] = *m;
            kept++;
        }
    }
    env->messages.count = kept;
    for (uint32_t i = 0; i < mine.count; i++) {
        ia_describe(env, &mine.at[i], drop ? "dropped: " : "");
        if (!drop && id <= env->count) {
            arrive(env, env->nodes[id], &mine.at[i]);
        }
        free(mine.at[i].entries);
    }
    return mine.count;
}
