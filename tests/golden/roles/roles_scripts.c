/* SPDX-License-Identifier: Apache-2.0
 *
 * usage: roles_scripts FILE... : tells each script's story to the roles of one leader, which is
 * asked every second and whose changes take effect at once, and compares what they decide.
 *
 *   agents ids=(A, B) | agents from=A to=B   that come, or are changed; with any of
 *     alive dead leaving left forgotten        forgotten: no longer in the tables
 *     behind | current | fresh                 of the log; fresh: has acknowledged nothing
 *     zone=Z fsync=MS rtt=MS                   all agents of one zone fail together
 *   group leader=L voters=(A, B) learners=(C, D) | leader id=L | limit voters=N
 *   run s=N            what happened, with the second in which it did, and who votes then
 */
#include "base/check.h"
#include "datadriven.h"
#include "roles/roles.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { AGENTS_MAX = 5000, LAST_INDEX = 1000 };

struct story {
    struct roles_node nodes[AGENTS_MAX];
    struct roles_input in;
    struct roles_limits limits;
    struct roles_memory memory;
    enum roles_cause cause; /* told last, without a change */
    uint64_t standbys[ROLES_STANDBYS_MAX];
};

static const char *const CAUSES[ROLES_CAUSE_COUNT] = {
#define X(number, name, text) [number] = text,
    ROLES_CAUSE_MAP(X)
#undef X
};

static struct roles_node *node_of(struct story *s, uint64_t handle)
{
    for (uint32_t i = 0; i < s->in.node_count; i++) {
        if (s->nodes[i].handle == handle) {
            return &s->nodes[i];
        }
    }
    SH_CHECK_CMP(s->in.node_count, <, AGENTS_MAX);
    struct roles_node *node = &s->nodes[s->in.node_count++];
    *node = (struct roles_node){.handle = handle, .since_us = s->in.now_us, .match = LAST_INDEX};
    return node;
}

static uint32_t figure(const struct dd_case *c, const char *key, uint32_t otherwise)
{
    const char *text = dd_value(c, key, NULL);
    return text == NULL ? otherwise : (uint32_t)(strtod(text, NULL) * 1000);
}

static void be(struct story *s, struct roles_node *node, enum roles_presence presence)
{
    if (node->presence != presence) {
        node->presence = presence;
        node->since_us = s->in.now_us;
    }
}

static void change_agent(struct story *s, const struct dd_case *c, uint64_t handle)
{
    static const char *const WORDS[] = {"alive", "dead", "leaving", "left"};
    struct roles_node *node = node_of(s, handle);
    for (uint32_t i = 0; i < sizeof WORDS / sizeof WORDS[0]; i++) {
        if (dd_arg(c, WORDS[i]) != NULL) {
            be(s, node, (enum roles_presence)i);
        }
    }
    node->match = dd_arg(c, "behind") != NULL ? 10 : node->match;
    node->match = dd_arg(c, "current") != NULL ? LAST_INDEX : node->match;
    node->match = dd_arg(c, "fresh") != NULL ? 0 : node->match;
    node->fsync_p99_us = figure(c, "fsync", node->fsync_p99_us);
    node->rtt_p99_us = figure(c, "rtt", node->rtt_p99_us);
    const char *zone = dd_value(c, "zone", NULL);
    if (zone != NULL) {
        node->domain = strcmp(zone, "none") == 0 ? 0 : (uint64_t)(unsigned char)zone[0];
    }
    if (dd_arg(c, "forgotten") != NULL) {
        *node = s->nodes[--s->in.node_count];
    }
}

static void agents(struct story *s, const struct dd_case *c)
{
    const struct dd_arg *ids = dd_arg(c, "ids");
    for (uint32_t i = 0; ids != NULL && i < ids->count; i++) {
        change_agent(s, c, dd_number(ids->values[i]));
    }
    if (ids == NULL) {
        uint64_t to = dd_number(dd_value(c, "to", ""));
        for (uint64_t id = dd_number(dd_value(c, "from", "")); id <= to; id++) {
            change_agent(s, c, id);
        }
    }
}

static uint32_t read_ids(const struct dd_case *c, const char *key, uint64_t *out)
{
    const struct dd_arg *arg = dd_arg(c, key);
    for (uint32_t i = 0; arg != NULL && i < arg->count; i++) {
        out[i] = dd_number(arg->values[i]);
    }
    return arg == NULL ? 0 : arg->count;
}

static void drop(uint64_t *at, uint32_t *count, uint64_t handle)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < *count; i++) {
        if (at[i] != handle) {
            at[kept++] = at[i];
        }
    }
    *count = kept;
}

static void insert(uint64_t *at, uint32_t *count, uint64_t handle)
{
    uint32_t i = (*count)++;
    while (i > 0 && at[i - 1] > handle) {
        at[i] = at[i - 1];
        i--;
    }
    at[i] = handle;
}

static void apply(struct story *s, const struct roles_change *change)
{
    struct roles_input *in = &s->in;
    for (uint32_t i = 0; i < change->op_count; i++) {
        uint64_t handle = change->ops[i].handle;
        drop(in->voters, &in->voter_count, handle);
        drop(in->learners, &in->learner_count, handle);
        if (change->ops[i].type == ROLES_ADD_VOTER) {
            insert(in->voters, &in->voter_count, handle);
        } else if (change->ops[i].type == ROLES_ADD_LEARNER) {
            insert(in->learners, &in->learner_count, handle);
        }
    }
    if (change->transfer_to != 0) {
        in->leader = change->transfer_to;
        s->memory = roles_memory_new(in->now_us);
    } else if (change->cause == ROLES_CAUSE_HAND_OVER) {
        in->leader = in->voters[0];
        s->memory = roles_memory_new(in->now_us);
    }
}

static void tell(struct story *s, const struct roles_change *change, struct dd_text *out)
{
    static const char *const WORDS[] = {"votes", "follows", "out"};
    bool moved = change->op_count > 0 || change->transfer_to != 0;
    bool standbys = memcmp(s->standbys, change->standbys, sizeof s->standbys) != 0;
    if (moved || (change->cause != s->cause && change->cause != ROLES_CAUSE_NONE)) {
        dd_printf(out, "%4llus  %s", (unsigned long long)(s->in.now_us / 1000000),
                  CAUSES[change->cause]);
        for (uint32_t i = 0; i < change->op_count; i++) {
            dd_printf(out, "%s %llu %s", i == 0 ? ":" : ",",
                      (unsigned long long)change->ops[i].handle, WORDS[change->ops[i].type]);
        }
        if (change->transfer_to != 0) {
            dd_printf(out, ": %llu leads", (unsigned long long)change->transfer_to);
        }
        dd_printf(out, "\n");
    }
    if (standbys && !moved) {
        dd_printf(out, "%4llus  stand by:", (unsigned long long)(s->in.now_us / 1000000));
        for (uint32_t i = 0; i < change->standby_count; i++) {
            dd_printf(out, " %llu", (unsigned long long)change->standbys[i]);
        }
        dd_printf(out, "%s\n", change->standby_count == 0 ? " nobody" : "");
        memcpy(s->standbys, change->standbys, sizeof s->standbys);
    }
    s->cause = moved ? ROLES_CAUSE_NONE : change->cause;
}

static void run(struct story *s, uint64_t seconds, struct dd_text *out)
{
    for (uint64_t i = 0; i < seconds; i++) {
        struct roles_change change;
        s->in.now_us += 1000000;
        roles_plan(&s->in, &s->limits, &s->memory, &change);
        apply(s, &change);
        tell(s, &change, out);
    }
    dd_printf(out, "voters:");
    for (uint32_t i = 0; i < s->in.voter_count; i++) {
        dd_printf(out, " %llu%s", (unsigned long long)s->in.voters[i],
                  s->in.voters[i] == s->in.leader ? "*" : "");
    }
    dd_printf(out, "  learners: %u\n", s->in.learner_count);
}

static void handle(void *ctx, const struct dd_case *c, struct dd_text *out)
{
    struct story *s = ctx;
    if (strcmp(c->command, "agents") == 0) {
        agents(s, c);
    } else if (strcmp(c->command, "group") == 0) {
        s->in.leader = dd_number(dd_value(c, "leader", ""));
        s->in.voter_count = read_ids(c, "voters", s->in.voters);
        s->in.learner_count = read_ids(c, "learners", s->in.learners);
    } else if (strcmp(c->command, "leader") == 0) {
        s->in.leader = dd_number(dd_value(c, "id", ""));
        s->memory = roles_memory_new(s->in.now_us);
    } else if (strcmp(c->command, "limit") == 0) {
        s->limits.voters_max = (uint32_t)dd_number(dd_value(c, "voters", ""));
    } else if (strcmp(c->command, "run") == 0) {
        run(s, dd_number(dd_value(c, "s", "")), out);
    } else {
        dd_printf(out, "unknown directive %s\n", c->command);
    }
}

int main(int argc, char **argv)
{
    static struct story story;
    struct dd_stats stats = {0};
    for (int i = 1; i < argc; i++) {
        story = (struct story){.limits = roles_limits_default()};
        story.in.nodes = story.nodes;
        story.in.last_index = LAST_INDEX;
        if (!dd_run(argv[i], handle, &story, &stats)) {
            (void)fprintf(stderr, "cannot read %s\n", argv[i]);
            return 2;
        }
    }
    (void)printf("%u passed, %u failed\n", stats.passed, stats.failed);
    return argc > 1 && stats.failed == 0 && stats.passed > 0 ? 0 : 1;
}
