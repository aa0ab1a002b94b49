/* SPDX-License-Identifier: Apache-2.0
 *
 * The commands of etcd's interaction scripts. */
#include "interaction.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEVEL_NONE 5u

struct ia_env *ia_new(void)
{
    struct ia_env *env = calloc(1, sizeof *env);
    SH_CHECK(env != NULL);
    return env;
}

void ia_free(struct ia_env *env)
{
    for (uint32_t id = 1; id <= env->count; id++) {
        free(env->nodes[id]->memory);
        free(env->nodes[id]);
    }
    free(env);
}

static unsigned level_of(const char *name)
{
    static const char *const names[] = {"debug", "info", "warn", "error", "fatal", "none"};
    for (unsigned i = 0; i < SH_COUNT(names); i++) {
        if (strcmp(name, names[i]) == 0) {
            return i;
        }
    }
    SH_UNREACHABLE();
}

/* The nodes that are named; all when none is. Returns how many. */
static uint32_t nodes_of(const struct ia_env *env, const struct dd_case *c, uint64_t *ids)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < c->arg_count; i++) {
        if (c->args[i].count == 0) {
            ids[count] = dd_number(c->args[i].key);
            count++;
        }
    }
    if (count == 0) {
        for (uint64_t id = 1; id <= env->count; id++) {
            ids[count] = id;
            count++;
        }
    }
    return count;
}

static struct ia_node *first_node(const struct ia_env *env, const struct dd_case *c)
{
    uint64_t id = dd_number(c->args[0].key);
    SH_CHECK(id >= 1 && id <= env->count);
    return env->nodes[id];
}

typedef void process_fn(struct ia_env *env, struct ia_node *n);

static void for_each(struct ia_env *env, const struct dd_case *c, process_fn *process,
                     const char *what)
{
    uint64_t ids[DD_ARGS_MAX];
    uint32_t count = nodes_of(env, c, ids);
    for (uint32_t i = 0; i < count; i++) {
        if (count == 1) {
            process(env, env->nodes[ids[i]]);
            return;
        }
        ia_print(env, "> %llu %s\n", (unsigned long long)ids[i], what);
        env->indent++;
        process(env, env->nodes[ids[i]]);
        env->indent--;
    }
}

static bool stabilize_ready(struct ia_env *env, const uint64_t *ids, uint32_t count)
{
    bool worked = false;
    for (uint32_t i = 0; i < count; i++) {
        if (ia_has_ready(env->nodes[ids[i]])) {
            ia_print(env, "> %llu handling Ready\n", (unsigned long long)ids[i]);
            env->indent++;
            ia_process_ready(env, env->nodes[ids[i]]);
            env->indent--;
            worked = true;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        if (ia_waiting(env, ids[i])) {
            ia_print(env, "> %llu receiving messages\n", (unsigned long long)ids[i]);
            env->indent++;
            (void)ia_deliver(env, ids[i], 0, false);
            env->indent--;
            worked = true;
        }
    }
    return worked;
}

static bool stabilize_threads(struct ia_env *env, const uint64_t *ids, uint32_t count)
{
    bool worked = false;
    for (uint32_t i = 0; i < count; i++) {
        struct ia_node *n = env->nodes[ids[i]];
        if (n->append_count > 0) {
            ia_print(env, "> %llu processing append thread\n", (unsigned long long)ids[i]);
            env->indent++;
            while (n->append_count > 0) {
                ia_process_append(env, n);
            }
            env->indent--;
            worked = true;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        struct ia_node *n = env->nodes[ids[i]];
        if (n->apply_count > 0) {
            ia_print(env, "> %llu processing apply thread\n", (unsigned long long)ids[i]);
            env->indent++;
            while (n->apply_count > 0) {
                ia_process_apply(env, n);
            }
            env->indent--;
            worked = true;
        }
    }
    return worked;
}

static void stabilize(struct ia_env *env, const struct dd_case *c)
{
    uint64_t ids[DD_ARGS_MAX];
    uint32_t count = nodes_of(env, c, ids);
    unsigned level = env->level;
    const char *asked = dd_value(c, "log-level", NULL);
    env->level = asked != NULL ? level_of(asked) : level;
    bool worked = true;
    while (worked) {
        worked = stabilize_ready(env, ids, count);
        worked |= stabilize_threads(env, ids, count);
    }
    env->level = level;
}

static unsigned type_of(const char *name)
{
    static const char *const names[] = {
        "",        "MsgApp",      "MsgAppResp", "MsgHeartbeat",   "MsgHeartbeatResp",
        "MsgVote", "MsgVoteResp", "MsgPreVote", "MsgPreVoteResp", "MsgSnap"};
    for (unsigned i = 0; i < SH_COUNT(names); i++) {
        if (strcmp(names[i], name) == 0) {
            return i;
        }
    }
    SH_UNREACHABLE();
}

static void deliver(struct ia_env *env, const struct dd_case *c)
{
    unsigned type = type_of(dd_value(c, "type", ""));
    uint32_t delivered = 0;
    for (uint32_t i = 0; i < c->arg_count; i++) {
        const struct dd_arg *arg = &c->args[i];
        if (arg->count == 0) {
            delivered += ia_deliver(env, dd_number(arg->key), type, false);
        }
        for (uint32_t k = 0; strcmp(arg->key, "drop") == 0 && k < arg->count; k++) {
            delivered += ia_deliver(env, dd_number(arg->values[k]), type, true);
        }
    }
    if (delivered == 0) {
        ia_print(env, "no messages\n");
    }
}

static void propose(struct ia_env *env, const struct dd_case *c)
{
    const char *text = c->args[1].key;
    struct raft_entry entry = {.size = (uint32_t)strlen(text), .data = (const uint8_t *)text};
    struct raft_event event = {.type = RAFT_PROPOSE};
    event.propose.entries = &entry;
    event.propose.count = 1;
    struct ia_node *n = first_node(env, c);
    ia_step(env, n, event);
    if (n->refused != SH_OK) {
        ia_print(env, "raft proposal dropped\n");
    }
}

static void propose_conf(struct ia_env *env, const struct dd_case *c)
{
    struct raft_conf_change change = {.transition = RAFT_AUTO};
    const char *transition = dd_value(c, "transition", "auto");
    if (strcmp(transition, "implicit") == 0) {
        change.transition = RAFT_IMPLICIT;
    } else if (strcmp(transition, "explicit") == 0) {
        change.transition = RAFT_EXPLICIT;
    }
    change.count = script_changes(c->input, change.changes);
    struct raft_event event = {.type = RAFT_PROPOSE_CONF};
    event.change = &change;
    env->next_is_v1 = strcmp(dd_value(c, "v1", "false"), "true") == 0;
    ia_step(env, first_node(env, c), event);
    env->next_is_v1 = false;
}

static void raft_log_of(struct ia_env *env, const struct ia_node *n)
{
    const struct ia_log *log = &n->disk;
    if (log->last < log->first) {
        ia_print(env, "log is empty: first index=%llu, last index=%llu\n",
                 (unsigned long long)log->first, (unsigned long long)log->last);
    }
    for (uint64_t i = log->first; i <= log->last; i++) {
        const struct ia_entry *e = &log->entries[i];
        struct dd_text text = {0};
        ia_put_entry(env, &text, e->term, i, e->type, e->data, e->size);
        ia_print(env, "%s\n", text.at);
        dd_free(&text);
    }
}

static void compact(struct ia_env *env, const struct dd_case *c)
{
    struct ia_node *n = first_node(env, c);
    uint64_t index = dd_number(c->args[1].key);
    n->disk.first = index + 1;
    n->live.first = index + 1;
    struct raft_event event = {.type = RAFT_COMPACTED};
    event.index = index;
    ia_step(env, n, event);
    raft_log_of(env, n);
}

static void raft_state(struct ia_env *env)
{
    for (uint64_t id = 1; id <= env->count; id++) {
        const struct raft *r = env->nodes[id]->core;
        ia_print(env, "%llu: %s (%s) Term:%llu Lead:%llu\n", (unsigned long long)id,
                 ia_role(r->role), raft_conf_voter(&r->conf, id) ? "Voter" : "Non-Voter",
                 (unsigned long long)r->term, (unsigned long long)r->leader);
    }
}

static void status(struct ia_env *env, const struct ia_node *n)
{
    struct raft_status st;
    raft_status(n->core, &st);
    for (uint32_t i = 0; i < st.peer_count; i++) {
        struct dd_text text = {0};
        script_put_progress(&text, &st.peers[i]);
        ia_print(env, "%llu: %s\n", (unsigned long long)st.peers[i].id, text.at);
        dd_free(&text);
    }
}

static void tick(struct ia_env *env, struct ia_node *n, uint64_t times)
{
    for (uint64_t i = 0; i < times; i++) {
        n->now++;
        ia_step(env, n, (struct raft_event){.type = RAFT_TICK});
    }
}

static void send_snapshot(struct ia_env *env, const struct dd_case *c)
{
    const struct raft *r = first_node(env, c)->core;
    struct raft_msg m = {.type = RAFT_MSG_SNAP,
                         .from = r->config.id,
                         .to = dd_number(c->args[1].key),
                         .term = r->term};
    m.snapshot = (struct raft_snapshot){.index = r->applied, .conf = r->conf};
    SH_CHECK(raft_log_term(r, r->applied, &m.snapshot.term));
    struct ia_msg msg = ia_copy(&m);
    ia_describe(env, &msg, "");
    ia_push(&env->messages, msg);
}

static void step_peer(struct ia_env *env, struct ia_node *n, enum raft_event_type type,
                      uint64_t peer)
{
    struct raft_event event = {.type = type};
    event.peer = peer;
    ia_step(env, n, event);
}

/* False: not one of these. */
static bool act(struct ia_env *env, const struct dd_case *c)
{
    const char *cmd = c->command;
    if (strcmp(cmd, "campaign") == 0) {
        ia_step(env, first_node(env, c), (struct raft_event){.type = RAFT_CAMPAIGN});
    } else if (strcmp(cmd, "propose") == 0) {
        propose(env, c);
    } else if (strcmp(cmd, "propose-conf-change") == 0) {
        propose_conf(env, c);
    } else if (strcmp(cmd, "tick-heartbeat") == 0) {
        tick(env, first_node(env, c), 1);
    } else if (strcmp(cmd, "tick-election") == 0) {
        tick(env, first_node(env, c), 3);
    } else if (strcmp(cmd, "set-randomized-election-timeout") == 0) {
        first_node(env, c)->core->election_timeout = dd_number(dd_value(c, "timeout", ""));
    } else if (strcmp(cmd, "forget-leader") == 0) {
        ia_step(env, first_node(env, c), (struct raft_event){.type = RAFT_FORGET_LEADER});
    } else if (strcmp(cmd, "transfer-leadership") == 0) {
        uint64_t from = dd_number(dd_value(c, "from", ""));
        step_peer(env, env->nodes[from], RAFT_TRANSFER, dd_number(dd_value(c, "to", "")));
    } else if (strcmp(cmd, "report-unreachable") == 0) {
        step_peer(env, first_node(env, c), RAFT_UNREACHABLE, dd_number(c->args[1].key));
    } else if (strcmp(cmd, "send-snapshot") == 0) {
        send_snapshot(env, c);
    } else if (strcmp(cmd, "compact") == 0) {
        compact(env, c);
    } else {
        return false;
    }
    return true;
}

static bool observe(struct ia_env *env, const struct dd_case *c)
{
    const char *cmd = c->command;
    if (strcmp(cmd, "log-level") == 0) {
        env->level = level_of(c->args[0].key);
    } else if (strcmp(cmd, "add-nodes") == 0) {
        ia_add(env, c);
    } else if (strcmp(cmd, "stabilize") == 0) {
        stabilize(env, c);
    } else if (strcmp(cmd, "process-ready") == 0) {
        for_each(env, c, ia_process_ready, "handling Ready");
    } else if (strcmp(cmd, "process-append-thread") == 0) {
        for_each(env, c, ia_process_append, "processing append thread");
    } else if (strcmp(cmd, "process-apply-thread") == 0) {
        for_each(env, c, ia_process_apply, "processing apply thread");
    } else if (strcmp(cmd, "deliver-msgs") == 0) {
        deliver(env, c);
    } else if (strcmp(cmd, "raft-log") == 0) {
        raft_log_of(env, first_node(env, c));
    } else if (strcmp(cmd, "raft-state") == 0) {
        raft_state(env);
    } else if (strcmp(cmd, "status") == 0) {
        status(env, first_node(env, c));
    } else {
        return false;
    }
    return true;
}

void ia_script(void *ctx, const struct dd_case *c, struct dd_text *out)
{
    struct ia_env *env = ctx;
    env->out = out;
    if (!act(env, c) && !observe(env, c)) {
        dd_printf(out, "unknown command %s\n", c->command);
    }
    if (out->used == 0) {
        dd_printf(out, "ok\n");
    }
}
