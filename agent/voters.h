/* SPDX-License-Identifier: Apache-2.0
 *
 * The part of the planner that decides who votes: shows consensus/roles what this coordinator knows
 * about the admitted agents and carries out what it answers. Belongs to the planner's thread. */
#ifndef AGENT_VOTERS_H
#define AGENT_VOTERS_H

#include "jobs/view.h"
#include "replica.h"
#include "service.h"

/* A change that was proposed and not seen applied is not proposed again before. */
#define VOTERS_CHANGE_US UINT64_C(1000000)

/* One that does not vote is removed from the tables after being dead or gone for this long, as far
 * as this coordinator has seen: a new one counts anew. */
#define VOTERS_FORGET_US UINT64_C(604800000000)

struct voters;

SH_MUST_USE enum sh_err voters_open(struct voters **out, struct service *s);
void voters_close(struct voters *v);
/* This agent took office: what an earlier time in office remembers is void. */
void voters_begin(struct voters *v, uint64_t now_us);
/* One look. members: who gossip knows. True: look again soon. */
bool voters_plan(struct voters *v, const struct sh_table *table,
                 const struct replica_status *status, const struct service_member *members,
                 size_t member_count, uint64_t now_us);

/* One to be removed, by the newest look; false: nobody. */
bool voters_gone(const struct voters *v, struct jobs_node *out);

#endif
