/* SPDX-License-Identifier: Apache-2.0
 *
 * etcd's quorum scripts: "committed" and "vote" over majorities and joint majorities. */
#include "script.h"
#include "raft/quorum.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IDS_MAX (2u * RAFT_VOTERS_MAX)

struct side {
    uint64_t ids[RAFT_VOTERS_MAX];
    uint32_t count;
};

struct facts { /* what is known of each member */
    uint64_t ids[IDS_MAX];
    uint64_t index[IDS_MAX];
    int ballot[IDS_MAX];
    uint32_t count;
};

static struct side side_of(const struct dd_case *c, const char *key)
{
    struct side side = {0};
    const struct dd_arg *arg = dd_arg(c, key);
    for (uint32_t i = 0; arg != NULL && i < arg->count; i++) {
        if (strcmp(arg->values[i], "zero") != 0) {
            SH_CHECK_CMP(side.count, <, RAFT_VOTERS_MAX);
            side.ids[side.count] = dd_number(arg->values[i]);
            side.count++;
        }
    }
    return side;
}

static void add_ids(struct facts *f, const struct side *side)
{
    for (uint32_t i = 0; i < side->count; i++) {
        bool known = false;
        for (uint32_t k = 0; k < f->count; k++) {
            known |= f->ids[k] == side->ids[i];
        }
        if (!known) {
            f->ids[f->count] = side->ids[i];
            f->ballot[f->count] = -1;
            f->count++;
        }
    }
}

/* Values are listed in the order in which members are first named. */
static void add_values(struct facts *f, const struct dd_case *c)
{
    const struct dd_arg *idx = dd_arg(c, "idx");
    const struct dd_arg *votes = dd_arg(c, "votes");
    for (uint32_t i = 0; idx != NULL && i < idx->count && i < f->count; i++) {
        f->index[i] = strcmp(idx->values[i], "_") == 0 ? 0 : dd_number(idx->values[i]);
    }
    for (uint32_t i = 0; votes != NULL && i < votes->count && i < f->count; i++) {
        f->ballot[i] = votes->values[i][0] == 'y' ? 1 : votes->values[i][0] == 'n' ? 0 : -1;
    }
}

static bool acked(void *ctx, uint64_t id, uint64_t *index)
{
    const struct facts *f = ctx;
    for (uint32_t i = 0; i < f->count; i++) {
        if (f->ids[i] == id && f->index[i] != 0) {
            *index = f->index[i];
            return true;
        }
    }
    return false;
}

static int ballot(void *ctx, uint64_t id)
{
    const struct facts *f = ctx;
    for (uint32_t i = 0; i < f->count; i++) {
        if (f->ids[i] == id) {
            return f->ballot[i];
        }
    }
    return -1;
}

static void sort_by_id(struct facts *f)
{
    for (uint32_t i = 1; i < f->count; i++) {
        for (uint32_t k = i; k > 0 && f->ids[k - 1] > f->ids[k]; k--) {
            uint64_t id = f->ids[k];
            uint64_t index = f->index[k];
            f->ids[k] = f->ids[k - 1];
            f->index[k] = f->index[k - 1];
            f->ids[k - 1] = id;
            f->index[k - 1] = index;
        }
    }
}

/* How many members hold less than member i. */
static uint32_t bar_of(const struct facts *f, uint32_t i)
{
    uint32_t less = 0;
    for (uint32_t k = 0; k < f->count; k++) {
        less += f->index[k] < f->index[i];
    }
    return less;
}

static void draw(const struct facts *f, struct dd_text *out)
{
    if (f->count == 0) {
        dd_printf(out, "<empty majority quorum>");
        return;
    }
    int width = (int)f->count;
    dd_printf(out, "%*s    idx\n", width, "");
    for (uint32_t i = 0; i < f->count; i++) {
        char row[IDS_MAX + 2] = "?";
        if (f->index[i] != 0) {
            uint32_t bar = bar_of(f, i);
            memset(row, 'x', bar);
            row[bar] = '>';
            row[bar + 1] = '\0';
        }
        dd_printf(out, "%-*s %5llu    (id=%llu)\n", width + 1, row, (unsigned long long)f->index[i],
                  (unsigned long long)f->ids[i]);
    }
}

static struct raft_conf conf_of(const struct side *in, const struct side *out)
{
    struct raft_conf conf = {.voter_count = (uint8_t)in->count,
                             .outgoing_count = (uint8_t)out->count};
    memcpy(conf.voters, in->ids, sizeof conf.voters);
    memcpy(conf.outgoing, out->ids, sizeof conf.outgoing);
    return conf;
}

static void committed(const struct raft_conf *conf, const struct raft_conf *swapped,
                      struct facts *f, struct dd_text *out)
{
    uint64_t index = raft_quorum_index(conf, acked, f);
    SH_CHECK_CMP(raft_quorum_index(swapped, acked, f), ==, index); /* sides are equal */
    sort_by_id(f);
    draw(f, out);
    if (index == UINT64_MAX) {
        dd_printf(out, "\xe2\x88\x9e\n");
    } else {
        dd_printf(out, "%llu\n", (unsigned long long)index);
    }
}

void quorum_script(void *ctx, const struct dd_case *c, struct dd_text *out)
{
    (void)ctx;
    struct side in = side_of(c, "cfg");
    struct side outgoing = side_of(c, "cfgj");
    struct facts f = {0};
    add_ids(&f, &in);
    add_ids(&f, &outgoing);
    add_values(&f, c);
    struct raft_conf conf = conf_of(&in, &outgoing);
    struct raft_conf swapped = conf_of(&outgoing, &in);
    if (strcmp(c->command, "committed") == 0) {
        committed(&conf, &swapped, &f, out);
    } else if (strcmp(c->command, "vote") == 0) {
        static const char *const names[] = {"VotePending", "VoteLost", "VoteWon"};
        enum raft_vote vote = raft_quorum_vote(&conf, ballot, &f);
        SH_CHECK(raft_quorum_vote(&swapped, ballot, &f) == vote);
        dd_printf(out, "%s\n", names[vote]);
    } else {
        dd_printf(out, "unknown command %s\n", c->command);
    }
}
