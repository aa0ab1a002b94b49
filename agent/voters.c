/* SPDX-License-Identifier: Apache-2.0 */
#include "voters.h"

#include "journal.h"
#include "loop.h"
#include "parts.h"

#include "base/host/host.h"
#include "roles/roles.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE_ROWS = 64 };

struct presence { /* how long a node has been as it is */
    uint8_t id[SH_NODE_ID_BYTES];
    enum roles_presence presence;
    uint64_t since_us;
};

struct voters {
    struct service *s;
    struct roles_memory memory;
    struct roles_change change; /* the newest answer */
    uint64_t changed_us;        /* when a change was proposed last, and on what; 0: never */
    struct raft_conf changed_from;
    bool has_gone;
    struct jobs_node gone;
    size_t presence_count;
    struct presence *presence; /* SH_NODES_MAX, as all below */
    struct roles_node *nodes;
    struct jobs_node page[PAGE_ROWS];
};

enum sh_err voters_open(struct voters **out, struct service *s)
{
    struct voters *v = calloc(1, sizeof *v);
    if (v == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    v->s = s;
    v->presence = calloc(SH_NODES_MAX, sizeof *v->presence);
    v->nodes = calloc(SH_NODES_MAX, sizeof *v->nodes);
    if (v->presence == NULL || v->nodes == NULL) {
        voters_close(v);
        return SH_ERR_NO_MEMORY;
    }
    *out = v;
    return SH_OK;
}

void voters_close(struct voters *v)
{
    if (v != NULL) {
        free(v->presence);
        free(v->nodes);
        free(v);
    }
}

void voters_begin(struct voters *v, uint64_t now_us)
{
    v->memory = roles_memory_new(now_us);
    v->change = (struct roles_change){.cause = ROLES_CAUSE_NONE};
    v->presence_count = 0;
    v->changed_us = 0;
}

static enum roles_presence presence_of(enum service_liveness liveness)
{
    switch (liveness) {
    case SERVICE_ALIVE:
    case SERVICE_SUSPECT:
        return ROLES_ALIVE;
    case SERVICE_DEAD:
        return ROLES_DEAD;
    case SERVICE_LEFT:
        return ROLES_LEFT;
    }
    SH_UNREACHABLE();
}

static uint64_t since_of(struct voters *v, const uint8_t *id, enum roles_presence now_is,
                         uint64_t now_us)
{
    for (size_t i = 0; i < v->presence_count; i++) {
        struct presence *x = &v->presence[i];
        if (memcmp(x->id, id, SH_NODE_ID_BYTES) == 0) {
            if (x->presence != now_is) {
                x->presence = now_is;
                x->since_us = now_us;
            }
            return x->since_us;
        }
    }
    if (v->presence_count < SH_NODES_MAX) {
        struct presence *x = &v->presence[v->presence_count++];
        memcpy(x->id, id, SH_NODE_ID_BYTES);
        x->presence = now_is;
        x->since_us = now_us;
    }
    return now_us;
}

static uint64_t match_of(const struct raft_status *raft, uint64_t handle)
{
    if (handle == raft->id) {
        return raft->durable_index;
    }
    for (uint32_t i = 0; i < raft->peer_count; i++) {
        if (raft->peers[i].id == handle) {
            return raft->peers[i].match;
        }
    }
    return 0;
}

/* Agents with one zone fail together; those that name none, with the others of their machine. */
static uint64_t domain_of(const struct wire_node *node)
{
    char text[1 + SH_ADDR_MAX + 1] = "z";
    uint64_t domain = 0;
    if (node->zone[0] != '\0') {
        (void)snprintf(text + 1, sizeof text - 1, "%s", node->zone);
    } else {
        (void)snprintf(text, sizeof text, "a%s", node->addr);
        *strrchr(text, ':') = '\0'; /* a record's address has a port */
    }
    sh_blake2b((uint8_t *)&domain, sizeof domain, text, strlen(text));
    return domain;
}

static struct roles_node describe(struct voters *v, const struct jobs_node *row,
                                  const struct raft_status *raft, const struct service_member *m,
                                  uint64_t now_us)
{
    enum roles_presence now_is = m == NULL ? ROLES_DEAD : presence_of(m->liveness);
    if (row->handle == raft->id && loop_is_leaving(v->s->loop)) {
        now_is = ROLES_LEAVING;
    }
    struct roles_node node = {.handle = row->handle,
                              .presence = now_is,
                              .since_us = since_of(v, row->id, now_is, now_us),
                              .match = match_of(raft, row->handle)};
    bool away = now_is == ROLES_DEAD || now_is == ROLES_LEFT;
    if (away && now_us - node.since_us >= VOTERS_FORGET_US &&
        !raft_conf_voter(&raft->conf, row->handle)) {
        v->has_gone = true;
        v->gone = *row;
    }
    if (m != NULL) {
        node.domain = domain_of(&m->node);
        node.fsync_p99_us = m->node.fsync_p99_us;
        node.rtt_p99_us = m->rtt_p99_us;
    }
    return node;
}

static const struct service_member *member_of(const struct service_member *members, size_t count,
                                              const uint8_t *id)
{
    for (size_t i = 0; i < count; i++) {
        if (memcmp(members[i].node.id, id, SH_NODE_ID_BYTES) == 0) {
            return &members[i];
        }
    }
    return NULL;
}

/* What the admitted agents are to the roles; false when this one is not among them yet. */
static bool collect(struct voters *v, const struct sh_table *table, const struct raft_status *raft,
                    const struct service_member *members, size_t member_count, uint64_t now_us,
                    uint32_t *count)
{
    const uint8_t *after = NULL;
    uint32_t rows = PAGE_ROWS;
    bool leader_listed = false;
    uint8_t last[SH_NODE_ID_BYTES];
    *count = 0;
    v->has_gone = false;
    while (rows == PAGE_ROWS && *count < SH_NODES_MAX) {
        if (jobs_node_list(table, after, v->page, PAGE_ROWS, &rows) != SH_OK) {
            return false;
        }
        for (uint32_t i = 0; i < rows && *count < SH_NODES_MAX; i++) {
            const struct jobs_node *row = &v->page[i];
            v->nodes[(*count)++] =
                describe(v, row, raft, member_of(members, member_count, row->id), now_us);
            leader_listed = leader_listed || row->handle == raft->id;
            memcpy(last, row->id, SH_NODE_ID_BYTES);
        }
        after = last;
    }
    return leader_listed;
}

static void carry_out(struct voters *v, const struct roles_change *change)
{
    static const enum raft_change_type TYPES[] = {[ROLES_ADD_VOTER] = RAFT_ADD_VOTER,
                                                  [ROLES_ADD_LEARNER] = RAFT_ADD_LEARNER,
                                                  [ROLES_REMOVE] = RAFT_REMOVE};
    static const char *const WORDS[] = {[ROLES_ADD_VOTER] = "votes",
                                        [ROLES_ADD_LEARNER] = "follows",
                                        [ROLES_REMOVE] = "is taken out"};
    if (change->cause == ROLES_CAUSE_TRANSFER) {
        loop_post_transfer(v->s->loop, change->transfer_to);
        return;
    }
    if (change->op_count == 0) {
        return;
    }
    struct raft_conf_change raft = {.transition = RAFT_AUTO, .count = change->op_count};
    char text[512];
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < change->op_count; i++) {
        const struct roles_op *op = &change->ops[i];
        raft.changes[i] = (struct raft_change){.type = TYPES[op->type], .id = op->handle};
        int n = snprintf(text + used, sizeof text - used, "%s agent %llu %s", i == 0 ? "" : ",",
                         (unsigned long long)op->handle, WORDS[op->type]);
        used += n > 0 && (size_t)n < sizeof text - used ? (size_t)n : 0;
    }
    journal_info("%s:%s", roles_cause_text(change->cause), text);
    loop_post_change(v->s->loop, &raft);
}

/* Which agents would vote next is said when it changes. */
static void tell_standbys(const struct voters *v, const struct roles_change *change)
{
    if (change->cause == ROLES_CAUSE_IN_FLIGHT || change->cause == ROLES_CAUSE_NO_MAJORITY ||
        (change->standby_count == v->change.standby_count &&
         memcmp(change->standbys, v->change.standbys, sizeof change->standbys) == 0)) {
        return;
    }
    if (change->standby_count == 0) {
        journal_info("no agent stands by to vote");
    } else if (change->standby_count == 1) {
        journal_info("agent %llu stands by to vote", (unsigned long long)change->standbys[0]);
    } else {
        journal_info("agents %llu and %llu stand by to vote",
                     (unsigned long long)change->standbys[0],
                     (unsigned long long)change->standbys[1]);
    }
}

bool voters_plan(struct voters *v, const struct sh_table *table,
                 const struct replica_status *status, const struct service_member *members,
                 size_t member_count, uint64_t now_us)
{
    const struct raft_status *raft = &status->raft;
    uint32_t count = 0;
    /* A change that was proposed is on its way as long as the configuration is what it was. */
    bool under_way = v->changed_us != 0 && now_us - v->changed_us < VOTERS_CHANGE_US &&
                     raft_conf_equal(&raft->conf, &v->changed_from);
    if (under_way || !collect(v, table, raft, members, member_count, now_us, &count)) {
        return true;
    }
    struct roles_input input = {.now_us = now_us,
                                .leader = raft->id,
                                .last_index = raft->last_index,
                                .in_flight = raft_conf_joint(&raft->conf),
                                .nodes = v->nodes,
                                .node_count = count,
                                .voter_count = raft->conf.voter_count,
                                .learner_count = raft->conf.learner_count};
    memcpy(input.voters, raft->conf.voters, sizeof input.voters);
    memcpy(input.learners, raft->conf.learners,
           raft->conf.learner_count * sizeof raft->conf.learners[0]);
    struct roles_limits limits = roles_limits_default();
    limits.voters_max = v->s->options->voters;
    struct roles_change change;
    roles_plan(&input, &limits, &v->memory, &change);
    if (change.op_count > 0 || change.cause == ROLES_CAUSE_TRANSFER) {
        v->changed_us = now_us;
        v->changed_from = raft->conf;
    }
    carry_out(v, &change);
    tell_standbys(v, &change);
    bool soon = change.cause != ROLES_CAUSE_NONE && change.cause != ROLES_CAUSE_WISH &&
                change.cause != ROLES_CAUSE_MEMBERS_FULL;
    if (change.cause != ROLES_CAUSE_IN_FLIGHT && change.cause != ROLES_CAUSE_NO_MAJORITY) {
        v->change = change;
    }
    return soon;
}

bool voters_gone(const struct voters *v, struct jobs_node *out)
{
    if (v->has_gone) {
        *out = v->gone;
    }
    return v->has_gone;
}
