/* SPDX-License-Identifier: Apache-2.0
 *
 * Agents of the demonstration: child processes of this program on loopback ports, each with a
 * directory of its own, its journal in DIR/NAME.log. */
#ifndef AGENT_DEMO_MESH_H
#define AGENT_DEMO_MESH_H

#include "agent.h"

#include "base/err.h"

#include <sys/types.h>

#define DEMO_AGENTS_MAX 5u

struct demo_agent {
    char name[SH_NAME_MAX + 1];
    char dir[AGENT_PATH_MAX + 64];
    char addr[SH_ADDR_MAX + 1]; /* gossip and control */
    char api[SH_ADDR_MAX + 1];
    pid_t pid; /* 0: not running */
};

struct demo_mesh {
    char dir[AGENT_PATH_MAX + 1];
    struct demo_agent agents[DEMO_AGENTS_MAX];
    size_t count;
};

/* Starts one more agent: the first with --new, others told the address of agents[join] and the
 * first one's secret. Waits until its API answers. Text in why (256 bytes) on failure. */
SH_MUST_USE enum sh_err demo_agent_start(struct demo_mesh *mesh, const char *name, size_t join,
                                         char *why);
/* SIGKILL, and waits for the end. */
void demo_agent_kill(struct demo_agent *agent);
/* SIGTERM to all, then SIGKILL to what is left after ten seconds. */
void demo_mesh_stop(struct demo_mesh *mesh);

#endif
