/* SPDX-License-Identifier: Apache-2.0 */
#include "founding.h"

#include "base/host/host.h"
#include "jobs/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ENTRY_MAX = 4096 };

_Static_assert(SH_NODES_MAX + 2 <= WAL_SAVE_COUNT_MAX, "one batch founds a cluster");

struct founding {
    struct service *s;
    uint64_t base; /* index that the tables are as of */
    uint64_t term;
    uint32_t count;
    struct wal_entry entries[SH_NODES_MAX + 2];
    uint8_t (*payloads)[ENTRY_MAX];
};

static void add(struct founding *f, uint8_t type, size_t size)
{
    f->entries[f->count] = (struct wal_entry){.index = f->base + 1 + f->count,
                                              .term = f->term,
                                              .type = type,
                                              .bytes = {.at = f->payloads[f->count], .size = size}};
    f->count++;
}

static void add_voter(struct founding *f, uint64_t handle)
{
    struct raft_conf_change founder = {.count = 1,
                                       .changes = {{.type = RAFT_ADD_VOTER, .id = handle}}};
    struct sh_writer w = sh_writer_over(f->payloads[f->count], ENTRY_MAX);
    raft_conf_change_encode(&founder, &w);
    add(f, RAFT_ENTRY_CONF, w.used);
}

static enum sh_err add_command(struct founding *f, const struct jobs_cmd *cmd)
{
    struct sh_writer w = sh_writer_over(f->payloads[f->count], ENTRY_MAX);
    enum sh_err err = jobs_cmd_encode(cmd, &w);
    if (err == SH_OK) {
        add(f, RAFT_ENTRY_NORMAL, w.used);
    }
    return err;
}

/* Nobody of the cluster that the tables come from is here. */
static enum sh_err add_removals(struct founding *f, const struct sh_table *table)
{
    struct jobs_node rows[64];
    uint8_t last[SH_NODE_ID_BYTES];
    const uint8_t *after = NULL;
    uint32_t count = 0;
    enum sh_err err = SH_OK;
    do {
        err = jobs_node_list(table, after, rows, SH_COUNT(rows), &count);
        for (uint32_t i = 0; err == SH_OK && i < count; i++) {
            struct jobs_cmd cmd = {.type = JOBS_NODE_REMOVE, .stamp_us = sh_wall_us()};
            memcpy(cmd.u.node_remove.node, rows[i].id, SH_NODE_ID_BYTES);
            memcpy(last, rows[i].id, SH_NODE_ID_BYTES);
            after = last;
            err = f->count <= SH_NODES_MAX ? add_command(f, &cmd) : SH_ERR_CORRUPT;
        }
    } while (err == SH_OK && count == SH_COUNT(rows));
    return err;
}

static enum sh_err add_founder(struct founding *f, uint64_t handle)
{
    struct jobs_cmd cmd = {.type = JOBS_NODE_ADMIT, .stamp_us = sh_wall_us()};
    struct jobs_node_admit *a = &cmd.u.node_admit;
    const struct service *s = f->s;
    memcpy(a->node, s->trust.node, SH_NODE_ID_BYTES);
    (void)snprintf(a->name, sizeof a->name, "%s", s->self.name);
    (void)snprintf(a->addr, sizeof a->addr, "%s", s->self.addr);
    (void)snprintf(a->api, sizeof a->api, "%s", s->self.api);
    a->bulk_port = s->self.bulk_port;
    a->handle = handle;
    return add_command(f, &cmd);
}

static enum sh_err write_entries(struct founding *f)
{
    struct service *s = f->s;
    struct fsm_view *view;
    uint64_t handle = f->base + 1;
    enum sh_err err = fsm_view_open(s->fsm, &view);
    if (err != SH_OK) {
        return err;
    }
    add_voter(f, handle);
    err = add_removals(f, fsm_view_table(view));
    fsm_view_close(view);
    if (err == SH_OK) {
        err = add_founder(f, handle);
    }
    struct wal_hard hard = {.term = f->term, .vote = handle, .commit = f->base + f->count};
    if (err == SH_OK && s->boot.last_index == f->base) { /* else a crash came behind this write */
        err = wal_save(s->wal, &hard, f->entries, f->count, true);
    }
    /* The handle comes last: without it this directory founds its cluster again. */
    s->boot.identity.handle = handle;
    return err == SH_OK ? wal_put_identity(s->wal, &s->boot.identity) : err;
}

enum sh_err founding_write(struct service *s)
{
    struct founding *f = calloc(1, sizeof *f);
    enum sh_err err = SH_ERR_NO_MEMORY;
    if (f != NULL) {
        f->s = s;
        f->base = s->boot.compacted_index;
        f->term = s->boot.hard.term + 1;
        f->payloads = calloc(SH_NODES_MAX + 2, sizeof *f->payloads);
        err = f->payloads != NULL ? write_entries(f) : SH_ERR_NO_MEMORY;
        free(f->payloads);
    }
    free(f);
    return err;
}
