/* SPDX-License-Identifier: Apache-2.0
 *
 * etcd's published raft scripts over this project's core: one handler per folder of scripts. */
#ifndef RAFT_SCRIPT_H
#define RAFT_SCRIPT_H

#include "datadriven.h"
#include "raft/progress.h"
#include "raft/raft.h"

void quorum_script(void *ctx, const struct dd_case *c, struct dd_text *out); /* ctx: none */

struct confchange_env {
    struct raft_conf conf;
    struct raft_peers peers;
    uint64_t directives;
};
void confchange_start(struct confchange_env *env); /* before each file */
void confchange_script(void *ctx, const struct dd_case *c, struct dd_text *out);

/* "v1 l2 r3 u4" */
uint32_t script_changes(const char *input, struct raft_change *changes);
void script_put_conf(struct dd_text *out, const struct raft_conf *conf);
void script_put_progress(struct dd_text *out, const struct raft_peer_status *p);

#endif
