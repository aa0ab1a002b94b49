/* SPDX-License-Identifier: Apache-2.0
 *
 * etcd's way of writing messages, entries and log lines. */
#include "interaction.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEVEL_NONE 5u

static void put_lines(struct ia_env *env, const char *text)
{
    bool start = env->out->used == 0 || env->out->at[env->out->used - 1] == '\n';
    for (const char *at = text; *at != '\0'; at++) {
        if (start && *at != '\n') {
            dd_printf(env->out, "%*s", (int)(2 * env->indent), "");
        }
        dd_printf(env->out, "%c", *at);
        start = *at == '\n';
    }
}

void ia_print(struct ia_env *env, const char *format, ...)
{
    static char text[65536];
    if (env->level >= LEVEL_NONE) {
        return;
    }
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    put_lines(env, text);
}

void ia_log_line(struct ia_env *env, unsigned level, const char *format, ...)
{
    static const char *const names[] = {"DEBUG", "INFO", "WARN", "ERROR"};
    static char text[4096];
    if (level < env->level) {
        return;
    }
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    ia_print(env, "%s %s\n", names[level], text);
}

const char *ia_role(enum raft_role role)
{
    static const char *const names[] = {"StateFollower", "StatePreCandidate", "StateCandidate",
                                        "StateLeader"};
    return names[role];
}

static const char *type_name(enum raft_msg_type type)
{
    static const char *const names[] = {"",
                                        "MsgApp",
                                        "MsgAppResp",
                                        "MsgHeartbeat",
                                        "MsgHeartbeatResp",
                                        "MsgVote",
                                        "MsgVoteResp",
                                        "MsgPreVote",
                                        "MsgPreVoteResp",
                                        "MsgSnap",
                                        "MsgTimeoutNow",
                                        "MsgReadIndex",
                                        "MsgReadIndexResp",
                                        "MsgProp",
                                        "MsgTransferLeader"};
    return names[type];
}

static void put_changes(struct dd_text *text, const uint8_t *data, uint32_t size)
{
    struct raft_conf_change change;
    struct sh_reader r = sh_reader_over(data, size);
    SH_CHECK(raft_conf_change_decode(&r, &change) == SH_OK);
    for (uint32_t i = 0; i < change.count; i++) {
        static const char letters[] = " vlru";
        dd_printf(text, " %c%llu", letters[change.changes[i].type],
                  (unsigned long long)change.changes[i].id);
    }
}

void ia_put_entry(struct ia_env *env, struct dd_text *text, uint64_t term, uint64_t index,
                  enum raft_entry_type type, const uint8_t *data, uint32_t size)
{
    dd_printf(text, "%llu/%llu ", (unsigned long long)term, (unsigned long long)index);
    if (type == RAFT_ENTRY_CONF) {
        bool v1 = false;
        for (uint32_t i = 0; i < env->v1_count; i++) {
            v1 |= env->v1[i].term == term && env->v1[i].index == index;
        }
        dd_printf(text, v1 ? "EntryConfChange" : "EntryConfChangeV2");
        put_changes(text, data, size);
        return;
    }
    dd_printf(text, "EntryNormal \"");
    for (uint32_t i = 0; i < size; i++) {
        dd_printf(text, data[i] == '"' ? "\\%c" : "%c", data[i]);
    }
    dd_printf(text, "\"");
}

static void put_ids(struct dd_text *text, const char *name, const uint64_t *ids, uint32_t count)
{
    dd_printf(text, "%s:[", name);
    for (uint32_t i = 0; i < count; i++) {
        dd_printf(text, "%s%llu", i > 0 ? " " : "", (unsigned long long)ids[i]);
    }
    dd_printf(text, "]");
}

void ia_put_snapshot(struct dd_text *text, const struct raft_snapshot *s)
{
    dd_printf(text, "Index:%llu Term:%llu ConfState:", (unsigned long long)s->index,
              (unsigned long long)s->term);
    put_ids(text, "Voters", s->conf.voters, s->conf.voter_count);
    put_ids(text, " VotersOutgoing", s->conf.outgoing, s->conf.outgoing_count);
    put_ids(text, " Learners", s->conf.learners, s->conf.learner_count);
    put_ids(text, " LearnersNext", s->conf.learners_next, s->conf.learner_next_count);
    dd_printf(text, " AutoLeave:%s", s->conf.auto_leave ? "true" : "false");
}

static void put_entries(struct ia_env *env, struct dd_text *text, const struct raft_entry *entries,
                        uint32_t count)
{
    if (count == 0) {
        return;
    }
    dd_printf(text, " Entries:[");
    for (uint32_t i = 0; i < count; i++) {
        const struct raft_entry *e = &entries[i];
        dd_printf(text, "%s", count > 1 ? "\n  " : "");
        ia_put_entry(env, text, e->term, e->index, e->type, e->data, e->size);
    }
    dd_printf(text, "%s]", count > 1 ? "\n" : "");
}

static void put_message(struct ia_env *env, struct dd_text *text, const struct ia_msg *msg)
{
    const struct raft_msg *m = &msg->m;
    unsigned long long to = (unsigned long long)m->to;
    unsigned long long term = (unsigned long long)m->term;
    if (msg->kind == IA_APPEND_RESP) {
        dd_printf(text, "AppendThread->%llu MsgStorageAppendResp Term:%llu Log:%llu/%llu", to, term,
                  (unsigned long long)m->log_term, (unsigned long long)m->index);
        return;
    }
    if (msg->kind == IA_APPLY_RESP) {
        dd_printf(text, "ApplyThread->%llu MsgStorageApplyResp Term:0 Log:0/0", to);
        put_entries(env, text, m->entries, m->entry_count);
        return;
    }
    dd_printf(text, "%llu->%llu %s Term:%llu Log:%llu/%llu", (unsigned long long)m->from, to,
              type_name(m->type), term, (unsigned long long)m->log_term,
              (unsigned long long)m->index);
    if (m->reject) {
        dd_printf(text, " Rejected (Hint: %llu)", (unsigned long long)m->hint);
    }
    if (m->commit != 0) {
        dd_printf(text, " Commit:%llu", (unsigned long long)m->commit);
    }
    put_entries(env, text, m->entries, m->entry_count);
    if (m->type == RAFT_MSG_SNAP) {
        dd_printf(text, "\n  Snapshot: ");
        ia_put_snapshot(text, &m->snapshot);
    }
}

void ia_describe(struct ia_env *env, const struct ia_msg *msg, const char *prefix)
{
    struct dd_text text = {0};
    put_message(env, &text, msg);
    ia_print(env, "%s%s\n", prefix, text.at);
    dd_free(&text);
}

/* Each line of what follows "Responses:[" is indented by two. */
static void put_responses(struct ia_env *env, struct dd_text *text, const struct ia_list *list)
{
    dd_printf(text, " Responses:[");
    for (uint32_t i = 0; i < list->count; i++) {
        dd_printf(text, "\n  ");
        put_message(env, text, &list->at[i]);
    }
    dd_printf(text, "\n]");
}

void ia_describe_append(struct ia_env *env, const struct ia_node *n, const struct ia_append *work,
                        bool with_responses)
{
    struct dd_text text = {0};
    dd_printf(&text, "%llu->AppendThread MsgStorageAppend Term:%llu Log:0/0",
              (unsigned long long)n->core->config.id,
              (unsigned long long)(work->hard_set ? work->hard.term : 0));
    if (work->hard_set && work->hard.commit != 0) {
        dd_printf(&text, " Commit:%llu", (unsigned long long)work->hard.commit);
    }
    if (work->hard_set && work->hard.vote != 0) {
        dd_printf(&text, " Vote:%llu", (unsigned long long)work->hard.vote);
    }
    put_entries(env, &text, work->shown.m.entries, work->shown.m.entry_count);
    if (work->snapshot_set) {
        dd_printf(&text, "\n  Snapshot: ");
        ia_put_snapshot(&text, &work->snapshot);
    }
    if (with_responses && work->responses->count > 0) {
        put_responses(env, &text, work->responses);
    }
    ia_print(env, "%s\n", text.at);
    dd_free(&text);
}

void ia_describe_apply(struct ia_env *env, const struct ia_node *n, const struct ia_apply *work,
                       bool with_responses)
{
    struct dd_text text = {0};
    dd_printf(&text, "%llu->ApplyThread MsgStorageApply Term:0 Log:0/0",
              (unsigned long long)n->core->config.id);
    put_entries(env, &text, work->shown.m.entries, work->shown.m.entry_count);
    if (with_responses) {
        dd_printf(&text, " Responses:[\n  ");
        put_message(env, &text, &work->shown);
        dd_printf(&text, "\n]");
    }
    ia_print(env, "%s\n", text.at);
    dd_free(&text);
}

#define U(x) ((unsigned long long)(x))

static void trace_votes(struct ia_env *env, const struct raft *r, const struct raft_trace *t)
{
    const struct raft_msg *m = t->message;
    switch ((unsigned)t->type) {
    case RAFT_TRACE_VOTE_ASKED:
        ia_log_line(
            env, 1, "%llu [logterm: %llu, index: %llu] sent %s request to %llu at term %llu",
            U(t->id), U(t->log_term), U(t->index), type_name(m->type), U(t->peer), U(r->term));
        break;
    case RAFT_TRACE_VOTE_CAST:
    case RAFT_TRACE_VOTE_REFUSED: {
        bool cast = t->type == RAFT_TRACE_VOTE_CAST;
        ia_log_line(env, 1,
                    "%llu [logterm: %llu, index: %llu, vote: %llu] %s %s %s %llu [logterm: %llu, "
                    "index: %llu] at term %llu",
                    U(t->id), U(t->log_term), U(t->index), U(r->vote), cast ? "cast" : "rejected",
                    type_name(m->type), cast ? "for" : "from", U(m->from), U(m->log_term),
                    U(m->index), U(r->term));
        break;
    }
    case RAFT_TRACE_VOTE_IGNORED:
        ia_log_line(env, 1,
                    "%llu [logterm: %llu, index: %llu, vote: %llu] ignored %s from %llu [logterm: "
                    "%llu, index: %llu] at term %llu: lease is not expired (remaining ticks: %llu)",
                    U(t->id), U(t->log_term), U(t->index), U(r->vote), type_name(m->type),
                    U(m->from), U(m->log_term), U(m->index), U(r->term), U(t->count));
        break;
    case RAFT_TRACE_BALLOT:
        ia_log_line(env, 1, "%llu received %s%s from %llu at term %llu", U(t->id),
                    type_name(t->message_type), t->reject ? " rejection" : "", U(t->peer),
                    U(r->term));
        break;
    case RAFT_TRACE_TALLY:
        ia_log_line(env, 1, "%llu has received %llu %s votes and %llu vote rejections", U(t->id),
                    U(t->index), type_name(t->message_type), U(t->count));
        break;
    default:
        break;
    }
}

static void put_progress_line(struct ia_env *env, const struct raft_trace *t, const char *before,
                              const char *after)
{
    struct dd_text text = {0};
    script_put_progress(&text, t->progress);
    ia_log_line(env, 0, "%llu %s %llu%s [%s]", U(t->id), before, U(t->peer), after, text.at);
    dd_free(&text);
}

static void trace_replication(struct ia_env *env, const struct raft *r, const struct raft_trace *t)
{
    const struct raft_msg *m = t->message;
    struct dd_text text = {0};
    switch ((unsigned)t->type) {
    case RAFT_TRACE_CONFLICT:
        ia_log_line(env, 1,
                    "found conflict at index %llu [existing term: %llu, conflicting term: %llu]",
                    U(t->index), U(t->term), U(t->log_term));
        break;
    case RAFT_TRACE_REPLACE:
        ia_log_line(env, 1, "replace the unstable entries from index %llu", U(t->index));
        break;
    case RAFT_TRACE_APP_REFUSED:
        ia_log_line(env, 0,
                    "%llu [logterm: %llu, index: %llu] rejected MsgApp [logterm: %llu, index: "
                    "%llu] from %llu",
                    U(t->id), U(t->log_term), U(t->index), U(m->log_term), U(m->index), U(m->from));
        break;
    case RAFT_TRACE_APP_REJECTED:
        ia_log_line(env, 0,
                    "%llu received MsgAppResp(rejected, hint: (index %llu, term %llu)) from %llu "
                    "for index %llu",
                    U(t->id), U(m->hint), U(m->log_term), U(m->from), U(m->index));
        break;
    case RAFT_TRACE_SNAPSHOT_SENT:
        script_put_progress(&text, t->progress);
        ia_log_line(env, 0,
                    "%llu [firstindex: %llu, commit: %llu] sent snapshot[index: %llu, term: %llu] "
                    "to %llu [%s]",
                    U(t->id), U(r->log.first), U(r->commit), U(t->index), U(t->log_term),
                    U(t->peer), text.at);
        break;
    case RAFT_TRACE_RESTORE:
        ia_log_line(env, 1,
                    "log [committed=%llu, applied=%llu, applying=%llu, unstable.offset=%llu, "
                    "unstable.offsetInProgress=%llu, len(unstable.Entries)=%llu] starts to restore "
                    "snapshot [index: %llu, term: %llu]",
                    U(r->commit), U(r->applied), U(r->applied), U(r->log.durable + 1),
                    U(r->log.last + 1), U(r->log.last - r->log.durable), U(t->index),
                    U(t->log_term));
        break;
    case RAFT_TRACE_RESTORED:
        ia_log_line(
            env, 1,
            "%llu [commit: %llu, lastindex: %llu, lastterm: %llu] restored snapshot [index: "
            "%llu, term: %llu]",
            U(t->id), U(r->commit), U(r->log.last), U(t->log_term), U(t->index), U(t->log_term));
        ia_log_line(env, 1, "%llu [commit: %llu] restored snapshot [index: %llu, term: %llu]",
                    U(t->id), U(r->commit), U(t->index), U(t->log_term));
        break;
    default:
        break;
    }
    dd_free(&text);
}

static void trace_progress(struct ia_env *env, const struct raft_trace *t)
{
    if (t->type == RAFT_TRACE_PROBE_BACK) {
        put_progress_line(env, t, "decreased progress of", " to");
    } else if (t->type == RAFT_TRACE_SNAPSHOT_PAUSE) {
        put_progress_line(env, t, "paused sending replication messages to", "");
    } else if (t->type == RAFT_TRACE_SNAPSHOT_DONE) {
        put_progress_line(
            env, t, "recovered from needing snapshot, resumed sending replication messages to", "");
    } else if (t->type == RAFT_TRACE_UNREACHABLE) {
        put_progress_line(env, t, "failed to send message to", " because it is unreachable");
    }
}

static void trace_conf(struct ia_env *env, const struct raft_trace *t)
{
    struct dd_text conf = {0};
    script_put_conf(&conf, t->conf);
    if (t->type == RAFT_TRACE_CONF) {
        ia_log_line(env, 1, "%llu switched to configuration %s", U(t->id), conf.at);
    } else if (t->type == RAFT_TRACE_AUTO_LEAVE) {
        ia_log_line(env, 1, "initiating automatic transition out of joint configuration %s",
                    conf.at);
    } else {
        static const char *const transitions[] = {"Auto", "JointImplicit", "JointExplicit"};
        static const char *const types[] = {"", "AddNode", "AddLearnerNode", "RemoveNode",
                                            "UpdateNode"};
        struct dd_text changes = {0};
        dd_printf(&changes, "%s", "");
        for (uint32_t i = 0; i < t->change->count; i++) {
            dd_printf(&changes, " changes:{type:ConfChange%s node_id:%llu}",
                      types[t->change->changes[i].type], U(t->change->changes[i].id));
        }
        ia_log_line(
            env, 1,
            "%llu ignoring conf change transition:ConfChangeTransition%s%s at config %s: %s",
            U(t->id), transitions[t->change->transition], changes.at, conf.at, t->reason);
        dd_free(&changes);
    }
    dd_free(&conf);
}

static void trace_role(struct ia_env *env, const struct raft *r, const struct raft_trace *t)
{
    static const char *const words[] = {"became follower", "became pre-candidate",
                                        "became candidate", "became leader",
                                        "is starting a new election"};
    if (t->type >= RAFT_TRACE_FOLLOWER && t->type <= RAFT_TRACE_ELECTION) {
        ia_log_line(env, 1, "%llu %s at term %llu", U(t->id), words[t->type - RAFT_TRACE_FOLLOWER],
                    U(r->term));
        return;
    }
    struct dd_text peers = {0};
    dd_printf(&peers, "%s", "");
    for (uint32_t i = 0; i < r->conf.voter_count; i++) {
        dd_printf(&peers, "%s%llu", i > 0 ? "," : "", U(r->conf.voters[i]));
    }
    ia_log_line(env, 1,
                "newRaft %llu [peers: [%s], term: %llu, commit: %llu, applied: %llu, lastindex: "
                "%llu, lastterm: %llu]",
                U(t->id), peers.at, U(r->term), U(r->commit), U(r->applied), U(r->log.last),
                U(raft_log_last_term(r)));
    dd_free(&peers);
}

static void trace_terms(struct ia_env *env, const struct raft *r, const struct raft_trace *t)
{
    const struct raft_msg *m = t->message;
    bool higher = t->type == RAFT_TRACE_HIGHER_TERM;
    ia_log_line(env, 1, "%llu [term: %llu] %s a %s message with %s term from %llu [term: %llu]",
                U(t->id), U(r->term), higher ? "received" : "ignored", type_name(m->type),
                higher ? "higher" : "lower", U(m->from), U(m->term));
}

static void trace_rest(struct ia_env *env, const struct raft *r, const struct raft_trace *t)
{
    switch ((unsigned)t->type) {
    case RAFT_TRACE_UNPROMOTABLE:
        ia_log_line(env, 2, "%llu is unpromotable and can not campaign", U(t->id));
        break;
    case RAFT_TRACE_QUORUM_LOST:
        ia_log_line(env, 2, "%llu stepped down to follower since quorum is not active", U(t->id));
        break;
    case RAFT_TRACE_FORGET_LEADER:
        ia_log_line(env, 1, "%llu forgetting leader %llu at term %llu", U(t->id), U(t->peer),
                    U(r->term));
        break;
    case RAFT_TRACE_NO_LEADER:
        ia_log_line(env, 1, "%llu no leader at term %llu; dropping proposal", U(t->id), U(r->term));
        break;
    case RAFT_TRACE_TRANSFER:
        ia_log_line(env, 1, "%llu [term %llu] starts to transfer leadership to %llu", U(t->id),
                    U(r->term), U(t->peer));
        break;
    case RAFT_TRACE_TIMEOUT_SENT:
        ia_log_line(
            env, 1,
            "%llu sends MsgTimeoutNow to %llu immediately as %llu already has up-to-date log",
            U(t->id), U(t->peer), U(t->peer));
        break;
    case RAFT_TRACE_TIMEOUT_NOW:
        ia_log_line(env, 1,
                    "%llu [term %llu] received MsgTimeoutNow from %llu and starts an election to "
                    "get leadership.",
                    U(t->id), U(r->term), U(t->message->from));
        break;
    case RAFT_TRACE_HIGHER_TERM:
    case RAFT_TRACE_LOWER_TERM:
        trace_terms(env, r, t);
        break;
    case RAFT_TRACE_CONF:
    case RAFT_TRACE_CONF_REFUSED:
    case RAFT_TRACE_AUTO_LEAVE:
        trace_conf(env, t);
        break;
    default:
        trace_votes(env, r, t);
        trace_replication(env, r, t);
        trace_progress(env, t);
        break;
    }
}

void ia_trace(void *ctx, const struct raft_trace *t)
{
    struct ia_env *env = ctx;
    struct ia_node *n = env->nodes[t->id];
    const struct raft *r = n->core;
    bool ballot = t->type == RAFT_TRACE_BALLOT;
    if (ballot) {
        n->own_ballot = t->peer == t->id && t->message_type == RAFT_MSG_PREVOTE_RESP;
    }
    if (n->own_ballot && (ballot || t->type == RAFT_TRACE_TALLY)) {
        struct dd_text *out = env->out;
        unsigned indent = env->indent;
        env->out = &n->deferred;
        env->indent = 0;
        trace_votes(env, r, t);
        env->out = out;
        env->indent = indent;
        return;
    }
    if (t->type <= RAFT_TRACE_ELECTION) {
        trace_role(env, r, t);
    } else {
        trace_rest(env, r, t);
    }
}
