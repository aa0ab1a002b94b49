/* SPDX-License-Identifier: Apache-2.0
 *
 * The agents as one pass of the planner looks at them: what gossip tells of those that were
 * admitted, and what the tables say of them. Belongs to one thread. */
#ifndef AGENT_ROSTER_H
#define AGENT_ROSTER_H

#include "backlog.h"
#include "members.h"

struct roster;

struct roster *roster_open(void); /* NULL: no memory */
void roster_close(struct roster *r);
/* How many; datasets are those of the pass, now_us is the cluster's time. O(members x (log rows +
 * labels + data sets)). */
uint32_t roster_collect(struct roster *r, const struct sh_table *table,
                        const struct service_member *members, size_t count,
                        const struct backlog_datasets *datasets, uint64_t now_us);
/* Of the newest pass, until the next one. */
const struct place_node *roster_nodes(const struct roster *r);

/* Every label of an agent, those it has without being told so first: "name=a,arch=x86_64,...". Cut
 * where it does not fit, which it does in ROSTER_LABELS_BYTES. */
#define ROSTER_LABELS_BYTES 768u
void roster_labels(const struct wire_node *node, char *out, size_t size);

#endif
