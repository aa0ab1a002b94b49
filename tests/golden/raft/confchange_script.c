/* SPDX-License-Identifier: Apache-2.0
 *
 * etcd's confchange scripts: simple changes, entering and leaving joint configurations, and the
 * progress of members that the change brings along. */
#include "script.h"
#include "raft/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void confchange_start(struct confchange_env *env)
{
    *env = (struct confchange_env){0};
    struct raft_limits limits = raft_limits_default;
    raft_peers_init(&env->peers, &limits);
}

static uint32_t changes_of(const char *input, struct raft_change *changes)
{
    uint32_t count = 0;
    for (const char *at = input; *at != '\0'; at += strspn(at, " \n")) {
        SH_CHECK_CMP(count, <, RAFT_CHANGES_MAX);
        struct raft_change *change = &changes[count];
        switch (*at) {
        case 'v':
            change->type = RAFT_ADD_VOTER;
            break;
        case 'l':
            change->type = RAFT_ADD_LEARNER;
            break;
        case 'r':
            change->type = RAFT_REMOVE;
            break;
        case 'u':
            change->type = RAFT_UPDATE;
            break;
        default:
            SH_UNREACHABLE();
        }
        char *end = NULL;
        change->id = strtoull(at + 1, &end, 10);
        SH_CHECK(end != at + 1);
        at = end;
        count++;
    }
    return count;
}

uint32_t script_changes(const char *input, struct raft_change *changes)
{
    return changes_of(input, changes);
}

static void put_set(struct dd_text *out, const uint64_t *ids, uint32_t count)
{
    dd_printf(out, "(");
    for (uint32_t i = 0; i < count; i++) {
        dd_printf(out, "%s%llu", i > 0 ? " " : "", (unsigned long long)ids[i]);
    }
    dd_printf(out, ")");
}

void script_put_conf(struct dd_text *out, const struct raft_conf *conf)
{
    dd_printf(out, "voters=");
    put_set(out, conf->voters, conf->voter_count);
    if (conf->outgoing_count > 0) {
        dd_printf(out, "&&");
        put_set(out, conf->outgoing, conf->outgoing_count);
    }
    if (conf->learner_count > 0) {
        dd_printf(out, " learners=");
        put_set(out, conf->learners, conf->learner_count);
    }
    if (conf->learner_next_count > 0) {
        dd_printf(out, " learners_next=");
        put_set(out, conf->learners_next, conf->learner_next_count);
    }
    if (conf->auto_leave) {
        dd_printf(out, " autoleave");
    }
}

void script_put_progress(struct dd_text *out, const struct raft_peer_status *p)
{
    static const char *const names[] = {"StateProbe", "StateReplicate", "StateSnapshot"};
    dd_printf(out, "%s match=%llu next=%llu", names[p->state], (unsigned long long)p->match,
              (unsigned long long)p->next);
    if (p->learner) {
        dd_printf(out, " learner");
    }
    if (p->paused) {
        dd_printf(out, " paused");
    }
    if (p->pending_snapshot > 0) {
        dd_printf(out, " pendingSnap=%llu", (unsigned long long)p->pending_snapshot);
    }
    if (!p->active) {
        dd_printf(out, " inactive");
    }
    if (p->inflight > 0) {
        dd_printf(out, " inflight=%u%s", p->inflight, p->inflight_full ? "[full]" : "");
    }
}

void confchange_script(void *ctx, const struct dd_case *c, struct dd_text *out)
{
    struct confchange_env *env = ctx;
    struct raft_change changes[RAFT_CHANGES_MAX] = {0};
    uint32_t count = changes_of(c->input, changes);
    enum raft_conf_err err = RAFT_CONF_OK;
    uint64_t last = env->directives; /* the log is as long as the script so far */
    env->directives++;
    if (strcmp(c->command, "simple") == 0) {
        err = raft_conf_simple(&env->conf, changes, count, &env->conf);
    } else if (strcmp(c->command, "enter-joint") == 0) {
        bool auto_leave = strcmp(dd_value(c, "autoleave", "false"), "true") == 0;
        err = raft_conf_enter_joint(&env->conf, auto_leave, changes, count, &env->conf);
    } else if (strcmp(c->command, "leave-joint") == 0) {
        err = raft_conf_leave_joint(&env->conf, &env->conf);
    } else {
        dd_printf(out, "unknown command %s\n", c->command);
        return;
    }
    if (err != RAFT_CONF_OK) {
        dd_printf(out, "%s\n", raft_conf_err_text(err));
        return;
    }
    raft_peers_follow(&env->peers, &env->conf, last);
    raft_peers_check(&env->peers);
    script_put_conf(out, &env->conf);
    dd_printf(out, "\n");
    for (uint32_t i = 0; i < env->peers.count; i++) {
        struct raft_peer_status p = raft_peer_status(&env->peers, &env->peers.list[i]);
        dd_printf(out, "%llu: ", (unsigned long long)p.id);
        script_put_progress(out, &p);
        dd_printf(out, "\n");
    }
}
