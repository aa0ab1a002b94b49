/* SPDX-License-Identifier: Apache-2.0
 *
 * The open units of the tables as one pass of the planner looks at them: all gangs, then waiting
 * units in the order of their jobs. A queue longer than a pass is looked at part by part, so units
 * that nobody can take do not hide later ones for good. Belongs to one thread. */
#ifndef AGENT_BACKLOG_H
#define AGENT_BACKLOG_H

#include "place/place.h"

#include "base/table.h"

#define BACKLOG_UNITS_MAX 4096u /* open units looked at in one pass */
/* Waiting units of one job in one pass: many that nobody can take do not hide later jobs. */
#define BACKLOG_JOB_UNITS_MAX 512u

struct backlog;

/* The data sets that units of this pass need; place_unit.dataset is a place here. Units that need
 * one beyond those wait, or stay as they are. */
struct backlog_datasets {
    uint32_t count;
    char at[PLACE_DATASETS_MAX][SH_NAME_MAX + 1];
};

struct backlog *backlog_open(void); /* NULL: no memory */
void backlog_close(struct backlog *b);
/* The next part; how many units. now_us is the cluster's time. Views must not go back in time: what
 * ended is not looked for again. O(units of the part x log rows). */
uint32_t backlog_collect(struct backlog *b, const struct sh_table *table, uint64_t now_us);
/* Of the newest part, until the next one. */
const struct place_unit *backlog_units(const struct backlog *b);
const struct backlog_datasets *backlog_datasets(const struct backlog *b);
/* Owners of units of this part; place_unit.owner is a place here. */
const struct place_owner *backlog_owners(const struct backlog *b);
uint32_t backlog_owner_count(const struct backlog *b);
/* The next part begins with the oldest again: there was room for some of this one. */
void backlog_again(struct backlog *b);

#endif
